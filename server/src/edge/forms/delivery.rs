//! The forms of deliveries: the targets of a federation.

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::post,
};
use domain::TargetId;
use ops::{
    Error,
    deliveries::{self, Move},
};

use app::forms::delivery as fields;

use super::{Posted, settle, slug_of};
use crate::edge::pages::{Pages, page};

/// The routes.
pub fn routes() -> Router<Pages> {
    Router::new()
        .route("/federations/{slug}/delivery/new", post(add).get(page))
        .route("/federations/{slug}/delivery/{id}", post(change).get(page))
        .route("/federations/{slug}/delivery/{id}/test", post(test))
        .route("/federations/{slug}/delivery/{id}/remove", post(remove))
        .route("/federations/{slug}/delivery/{id}/earlier", post(earlier))
        .route("/federations/{slug}/delivery/{id}/later", post(later))
}

fn target_of(text: &str) -> Result<TargetId, Error> {
    TargetId::parse(text).ok_or(Error::NotFound("delivery target"))
}

async fn add(State(pages): State<Pages>, Path(slug): Path<String>, mut posted: Posted) -> Response {
    let made = match (slug_of(&slug), fields::target(&mut posted.values, None)) {
        (Ok(slug), Ok(new)) => deliveries::set(&posted.cx, &slug, new).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |_| format!("/federations/{slug}/delivery")).await
}

async fn change(
    State(pages): State<Pages>,
    Path((slug, id)): Path<(String, String)>,
    mut posted: Posted,
) -> Response {
    let made = match (slug_of(&slug), target_of(&id)) {
        (Ok(slug), Ok(id)) => match fields::target(&mut posted.values, Some(id)) {
            Ok(new) => deliveries::set(&posted.cx, &slug, new).await,
            Err(faults) => Err(faults.into()),
        },
        (Err(error), _) | (_, Err(error)) => Err(error),
    };
    settle(&pages, posted, made, None, |_| format!("/federations/{slug}/delivery")).await
}

async fn test(
    State(pages): State<Pages>,
    Path((slug, id)): Path<(String, String)>,
    posted: Posted,
) -> Response {
    let made = match (slug_of(&slug), target_of(&id)) {
        (Ok(slug), Ok(id)) => deliveries::test(&posted.cx, &slug, &id).await,
        (Err(error), _) | (_, Err(error)) => Err(error),
    };
    back(&pages, &slug, posted, made).await
}

async fn remove(
    State(pages): State<Pages>,
    Path((slug, id)): Path<(String, String)>,
    posted: Posted,
) -> Response {
    let made = match (slug_of(&slug), target_of(&id)) {
        (Ok(slug), Ok(id)) => deliveries::remove(&posted.cx, &slug, &id).await,
        (Err(error), _) | (_, Err(error)) => Err(error),
    };
    back(&pages, &slug, posted, made).await
}

async fn earlier(
    State(pages): State<Pages>,
    Path((slug, id)): Path<(String, String)>,
    posted: Posted,
) -> Response {
    move_it(&pages, (slug, id), posted, Move::Earlier).await
}

async fn later(
    State(pages): State<Pages>,
    Path((slug, id)): Path<(String, String)>,
    posted: Posted,
) -> Response {
    move_it(&pages, (slug, id), posted, Move::Later).await
}

async fn move_it(pages: &Pages, (slug, id): (String, String), posted: Posted, way: Move) -> Response {
    let made = match (slug_of(&slug), target_of(&id)) {
        (Ok(slug), Ok(id)) => deliveries::move_target(&posted.cx, &slug, &id, way).await,
        (Err(error), _) | (_, Err(error)) => Err(error),
    };
    back(pages, &slug, posted, made).await
}

/// A button of the list: done or refused, the list comes next.
async fn back<T>(pages: &Pages, slug: &str, posted: Posted, made: Result<T, Error>) -> Response {
    let path = format!("/federations/{slug}/delivery");
    settle(pages, posted, made, Some(path.clone()), |_| path).await
}
