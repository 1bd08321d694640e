//! The form of the rules of a federation.

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::post,
};
use ops::behaviour;

use app::forms::behaviour as fields;

use super::{Posted, settle, slug_of};
use crate::edge::pages::{Pages, page};

/// The route.
pub fn routes() -> Router<Pages> {
    Router::new().route("/federations/{slug}/behaviour", post(set).get(page))
}

async fn set(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match (slug_of(&slug), fields::rules(&posted.values)) {
        (Ok(slug), Ok(sent)) => {
            behaviour::set_fields(&posted.cx, &slug, &sent.fields, sent.reason, sent.version).await
        }
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |_| format!("/federations/{slug}/behaviour")).await
}
