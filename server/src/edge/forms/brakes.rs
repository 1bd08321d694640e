//! The forms of brakes: decisions on what is held, maintenance windows, marks, allowed domains.

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::post,
};
use domain::{CaseId, WindowId};
use ops::{Error, brakes};

use app::forms::brakes as fields;

use super::{Posted, settle, slug_of};
use crate::edge::pages::{Pages, page};

/// The routes.
pub fn routes() -> Router<Pages> {
    Router::new()
        .route("/cases/{id}/held", post(decide).get(page))
        .route("/federations/{slug}/brakes/window", post(plan).get(page))
        .route("/federations/{slug}/brakes/window/{id}/agree", post(agree))
        .route("/federations/{slug}/brakes/window/{id}/end", post(end))
        .route("/federations/{slug}/brakes/mark", post(mark).get(page))
        .route("/federations/{slug}/brakes/mark/{id}/remove", post(unmark))
        .route("/federations/{slug}/brakes/allow", post(allow).get(page))
}

async fn decide(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match (CaseId::parse(&id), fields::verdict(&posted.values)) {
        (Some(id), Ok(verdict)) => brakes::decide(&posted.cx, &id, verdict).await,
        (None, _) => Err(Error::NotFound("case")),
        (Some(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |_| format!("/cases/{id}/held")).await
}

async fn plan(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match (slug_of(&slug), fields::window(&posted.values)) {
        (Ok(slug), Ok(new)) => brakes::plan(&posted.cx, &slug, new).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |_| brakes_of(&slug)).await
}

fn brakes_of(slug: &str) -> String {
    format!("/federations/{slug}/brakes")
}

fn window_of(text: &str) -> Result<WindowId, Error> {
    WindowId::parse(text).ok_or(Error::NotFound("maintenance window"))
}

async fn agree(
    State(pages): State<Pages>,
    Path((slug, id)): Path<(String, String)>,
    posted: Posted,
) -> Response {
    let made = match (slug_of(&slug), window_of(&id)) {
        (Ok(slug), Ok(id)) => brakes::agree(&posted.cx, &slug, &id).await,
        (Err(error), _) | (_, Err(error)) => Err(error),
    };
    let path = brakes_of(&slug);
    settle(&pages, posted, made, Some(path.clone()), |_| path).await
}

async fn end(
    State(pages): State<Pages>,
    Path((slug, id)): Path<(String, String)>,
    posted: Posted,
) -> Response {
    let made = match (slug_of(&slug), window_of(&id)) {
        (Ok(slug), Ok(id)) => brakes::end(&posted.cx, &slug, &id).await,
        (Err(error), _) | (_, Err(error)) => Err(error),
    };
    let path = brakes_of(&slug);
    settle(&pages, posted, made, Some(path.clone()), |_| path).await
}

async fn mark(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match slug_of(&slug) {
        Ok(slug) => brakes::mark(&posted.cx, &slug, fields::mark(&posted.values)).await,
        Err(error) => Err(error),
    };
    settle(&pages, posted, made, None, |_| brakes_of(&slug)).await
}

async fn unmark(
    State(pages): State<Pages>,
    Path((slug, id)): Path<(String, String)>,
    posted: Posted,
) -> Response {
    let made = match slug_of(&slug) {
        Ok(slug) => brakes::unmark(&posted.cx, &slug, &id, &posted.values.text("reason")).await,
        Err(error) => Err(error),
    };
    let path = brakes_of(&slug);
    settle(&pages, posted, made, Some(path.clone()), |()| path).await
}

async fn allow(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let text = |name: &str| posted.values.text(name);
    let made = match slug_of(&slug) {
        Ok(slug) => brakes::allow(&posted.cx, &slug, &text("kind"), &text("value"), &text("reason")).await,
        Err(error) => Err(error),
    };
    settle(&pages, posted, made, None, |()| brakes_of(&slug)).await
}
