//! The contestant that does one SELECT: an axum handler that looks a user up by id and answers with the stored
//! text. What an HTTP server with a database costs, without keys, rights, records and rendering.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::federations::Slug;
use domain::{FederationId, ResourceId};
use store::{Store, Target};

use crate::Outcome;

/// What the bench hands over.
#[derive(clap::Args)]
pub struct Args {
    /// The port on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// The SQLite file of the Keyward that is measured
    #[arg(long)]
    database: PathBuf,
}

/// Serves until it is killed.
///
/// # Errors
/// When the database has no federation `bench`, or the port is taken.
pub async fn serve(args: Args) -> Outcome {
    let store = Store::open(Target::sqlite(args.database)).await?;
    let slug = Slug::parse("bench").map_err(|_| "bench is a slug")?;
    let federation = store::federations::by_slug(&mut store.read().await?.conn(), &slug).await?;
    let federation = federation.ok_or("there is no federation bench")?.id;
    let router = Router::new().route("/Users/{id}", get(answer)).with_state(Arc::new((store, federation)));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", args.port)).await?;
    axum::serve(listener, router).await?;
    Ok(())
}

async fn answer(State(state): State<Arc<(Store, FederationId)>>, Path(id): Path<String>) -> Response {
    let (store, federation) = &*state;
    let found = async {
        let id = ResourceId::parse(&id).ok_or("no id")?;
        let row = store::users::by_id(&mut store.read().await?.conn(), federation, &id).await?;
        Outcome::Ok(row.ok_or("no user")?)
    };
    match found.await {
        Ok(row) => ([(header::CONTENT_TYPE, "application/scim+json")], row.body).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}
