//! The form that signs the state of a period.

use app::forms::compliance as fields;
use axum::{Router, extract::State, response::Response, routing::post};
use ops::compliance::attestations;

use super::{Posted, settle};
use crate::edge::pages::{Pages, page};

/// The routes.
pub fn routes() -> Router<Pages> {
    Router::new().route("/compliance/attestations/new", post(sign).get(page))
}

async fn sign(State(pages): State<Pages>, posted: Posted) -> Response {
    let made = attestations::sign(&posted.cx, fields::sign(&posted.values)).await;
    settle(&pages, posted, made, None, |id| format!("/compliance/attestations/{id}")).await
}
