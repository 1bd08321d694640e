//! The forms of blast radii and undos.

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::post,
};
use domain::{CaseId, UndoId};
use ops::{
    Error,
    journal::{blast, undo},
};

use app::forms::journal as fields;

use super::{Posted, settle, slug_of};
use crate::edge::pages::{Pages, page};

/// The routes.
pub fn routes() -> Router<Pages> {
    Router::new()
        .route("/cases/{id}/blast", post(known))
        .route("/federations/{slug}/undo", post(begin).get(page))
        .route("/federations/{slug}/undo/{id}", post(go_on).get(page))
}

async fn known(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match CaseId::parse(&id) {
        Some(id) => blast::known(&posted.cx, &id).await,
        None => Err(Error::NotFound("case")),
    };
    let path = format!("/cases/{id}");
    settle(&pages, posted, made, Some(path.clone()), |()| path).await
}

/// Confirms a plan. A small one is carried out at once, a large one goes on by itself.
async fn begin(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = async {
        let slug = slug_of(&slug)?;
        let (wish, plan) = fields::undo(&posted.cx, &slug, &posted.values).await?;
        undo::apply(&posted.cx, &slug, &wish, &plan).await
    };
    let made: Result<UndoId, Error> = made.await;
    // Where the fields are that cannot be read; everything else is about the plan.
    let stands_on = match &made {
        Err(Error::Invalid(_)) => fields::blast_address(&slug, &posted.values),
        Ok(_) | Err(_) => fields::plan_address(&slug, &posted.values),
    };
    settle(&pages, posted, made, Some(stands_on), |id| format!("/federations/{slug}/undo/{id}")).await
}

async fn go_on(
    State(pages): State<Pages>,
    Path((slug, id)): Path<(String, String)>,
    posted: Posted,
) -> Response {
    let made = match (slug_of(&slug), UndoId::parse(&id)) {
        (Ok(slug), Some(id)) => undo::go_on(&posted.cx, &slug, &id).await,
        (Err(error), _) => Err(error),
        (Ok(_), None) => Err(Error::NotFound("undo")),
    };
    let path = format!("/federations/{slug}/undo/{id}");
    settle(&pages, posted, made, Some(path.clone()), |()| path).await
}
