//! The forms of brakes: decisions on what is held, maintenance windows, marks, allowed domains.

use axum::{
    Router,
    extract::{Path, Request, State},
    response::Response,
    routing::post,
};
use domain::{CaseId, WindowId, admins::Admin};
use leptos::prelude::provide_context;
use ops::{Cx, Error, brakes};
use tower_sessions::Session;

use app::{
    forms::{Submitted, Values, brakes as fields},
    ssr::ProvenAt,
};

use super::{Posted, settle, slug_of};
use crate::edge::{
    pages::{Pages, page},
    session::{self, Typed},
};

/// The routes.
pub fn routes() -> Router<Pages> {
    Router::new()
        .route("/cases/{id}/held", post(decide).get(held))
        .route("/federations/{slug}/brakes/window", post(plan).get(page))
        .route("/federations/{slug}/brakes/window/{id}/agree", post(agree))
        .route("/federations/{slug}/brakes/window/{id}/end", post(end))
        .route("/federations/{slug}/brakes/mark", post(mark).get(page))
        .route("/federations/{slug}/brakes/mark/{id}/remove", post(unmark))
        .route("/federations/{slug}/brakes/allow", post(allow).get(page))
}

/// The page; filled in again when its person was sent to sign in.
async fn held(State(pages): State<Pages>, Path(id): Path<String>, request: Request) -> Response {
    let extensions = request.extensions();
    let typed = match (extensions.get::<Session>(), extensions.get::<Cx<Admin>>()) {
        (Some(session), Some(cx)) => session::typed(session, &held_of(&id), cx.now_ms()).await,
        _ => None,
    };
    let Some(typed) = typed else { return pages.render(request, || {}).await };
    let submitted = Submitted { values: Values(typed.values), ..Submitted::default() };
    pages.render(request, move || provide_context(submitted.clone())).await
}

fn held_of(case: &str) -> String {
    format!("/cases/{case}/held")
}

async fn decide(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let proven_ms = posted.parts.extensions.get::<ProvenAt>().map_or(0, |ProvenAt(at_ms)| *at_ms);
    let made = match (CaseId::parse(&id), fields::verdict(&posted.values, proven_ms)) {
        (Some(id), Ok(verdict)) => brakes::decide(&posted.cx, &id, verdict).await,
        (None, _) => Err(Error::NotFound("case")),
        (Some(_), Err(faults)) => Err(faults.into()),
    };
    if let (Err(Error::Unauthenticated(_)), Some(session)) = (&made, posted.parts.extensions.get::<Session>())
    {
        let values = posted.values.clone().fit_to_show().0;
        let typed = Typed { path: held_of(&id), values, at_ms: posted.cx.now_ms() };
        if let Err(error) = session::keep_typed(session, typed).await {
            tracing::error!(%error, "what was typed cannot be kept");
        }
    }
    settle(&pages, posted, made, None, |_| held_of(&id)).await
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
