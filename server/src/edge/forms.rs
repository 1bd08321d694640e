//! Changes in: forms that the dashboard posts.
//!
//! A form posts to the page it stands on. When its operation is done, the browser is sent on with
//! 303; when it is refused, the same page is rendered again with what was typed and why. A form
//! whose answer holds a secret is answered by the page that shows it, kept by nobody.

mod audit;
mod behaviour;
mod brakes;
mod compliance;
mod delivery;
mod journal;
mod mutes;
mod rotation;
mod telling;

use axum::{
    Router,
    body::to_bytes,
    extract::{FromRequest, Path, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use domain::{KeyId, admins::Admin, federations::Slug};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use leptos::prelude::provide_context;
use ops::{
    Cx, Error, Kind, extensions, federations,
    gateway::{probe, target},
    keys, oauth,
};

use app::forms::{self as fields, ShownKey, Submitted, Values};

use super::pages::Pages;

/// The routes; every one is behind the guard of [`Pages::routes`].
pub fn routes() -> Router<Pages> {
    let page = super::pages::page;
    Router::new()
        .route("/federations/new", post(register_federation).get(page))
        .route("/federations/{slug}/edit", post(edit_federation).get(page))
        .route("/federations/{slug}/pause", post(pause_federation))
        .route("/federations/{slug}/resume", post(resume_federation))
        .route("/federations/{slug}/archive", post(archive_federation))
        .route("/federations/{slug}/schemas", post(register_schema).get(page))
        .route("/federations/{slug}/schemas/remove", post(remove_schema))
        .route("/federations/{slug}/target", post(set_target).get(page))
        .route("/federations/{slug}/target/embedded", post(keep_here))
        .route("/federations/{slug}/target/test", post(test_target))
        .route("/federations/{slug}/target/probe", post(probe_target))
        .route("/federations/{slug}/target/quirks", post(apply_quirks))
        .route("/federations/{slug}/target/approve", post(approve_adoption))
        .route("/keys/new", post(issue_key).get(page))
        .route("/keys/{id}/rotate", post(rotate_key).get(page))
        .route("/keys/{id}/client", post(change_client).get(page))
        .route("/keys/{id}/revoke", post(revoke_key).get(page))
        .merge(audit::routes())
        .merge(behaviour::routes())
        .merge(brakes::routes())
        .merge(compliance::routes())
        .merge(delivery::routes())
        .merge(journal::routes())
        .merge(mutes::routes())
        .merge(rotation::routes())
        .merge(telling::routes())
}

/// A form, who sent it, and the rest of the request, from which its page can be rendered again.
struct Posted {
    cx: Cx<Admin>,
    values: Values,
    parts: Parts,
}

impl FromRequest<Pages> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, _pages: &Pages) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let Some(cx) = parts.extensions.get::<Cx<Admin>>().cloned() else {
            return Err(StatusCode::UNAUTHORIZED.into_response());
        };
        let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !media_type.is_some_and(|text| text.starts_with("application/x-www-form-urlencoded")) {
            let text = "application/x-www-form-urlencoded was expected\n";
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response());
        }
        // The size is limited by the layer outside, which answers 413 by itself.
        let cut = |_| (StatusCode::BAD_REQUEST, "the form ended before it was whole\n").into_response();
        let bytes = to_bytes(body, usize::MAX).await.map_err(cut)?;
        let garbled = |_| (StatusCode::BAD_REQUEST, "the form cannot be read\n").into_response();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(&bytes).map_err(garbled)?;
        Ok(Self { cx, values: Values::parse(pairs), parts })
    }
}

async fn register_federation(State(pages): State<Pages>, posted: Posted) -> Response {
    let made = match fields::new_federation(&posted.values) {
        Ok(new) => federations::register(&posted.cx, new).await,
        Err(faults) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |federation| format!("/federations/{}/setup", federation.slug)).await
}

async fn edit_federation(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match (slug_of(&slug), fields::edit_federation(&posted.values)) {
        (Ok(slug), Ok(edit)) => federations::edit(&posted.cx, &slug, edit).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |federation| format!("/federations/{}", federation.slug)).await
}

async fn pause_federation(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match slug_of(&slug) {
        Ok(slug) => federations::pause(&posted.cx, &slug).await,
        Err(error) => Err(error),
    };
    back_to_federation(&pages, &slug, posted, made).await
}

async fn resume_federation(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match slug_of(&slug) {
        Ok(slug) => federations::resume(&posted.cx, &slug).await,
        Err(error) => Err(error),
    };
    back_to_federation(&pages, &slug, posted, made).await
}

async fn archive_federation(
    State(pages): State<Pages>,
    Path(slug): Path<String>,
    posted: Posted,
) -> Response {
    let made = match slug_of(&slug) {
        Ok(slug) => federations::archive(&posted.cx, &slug).await,
        Err(error) => Err(error),
    };
    back_to_federation(&pages, &slug, posted, made).await
}

async fn register_schema(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match slug_of(&slug) {
        Ok(slug) => extensions::register(&posted.cx, &slug, fields::new_extension(&posted.values)).await,
        Err(error) => Err(error),
    };
    settle(&pages, posted, made, None, |_| format!("/federations/{slug}/schemas")).await
}

async fn remove_schema(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match slug_of(&slug) {
        Ok(slug) => extensions::remove(&posted.cx, &slug, &posted.values.text("urn")).await,
        Err(error) => Err(error),
    };
    let path = format!("/federations/{slug}/schemas");
    settle(&pages, posted, made, Some(path.clone()), |()| path).await
}

async fn set_target(State(pages): State<Pages>, Path(slug): Path<String>, mut posted: Posted) -> Response {
    let made = match (slug_of(&slug), fields::upstream(&mut posted.values)) {
        (Ok(slug), Ok(new)) => target::set_upstream(&posted.cx, &slug, new).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |federation| format!("/federations/{}", federation.slug)).await
}

async fn keep_here(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let version = posted.values.text("version").parse();
    let made = match (slug_of(&slug), version) {
        (Ok(slug), Ok(version)) => target::set_embedded(&posted.cx, &slug, version).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(_)) => Err(Error::invalid("version", "it is not a whole number")),
    };
    let path = format!("/federations/{slug}");
    settle(&pages, posted, made, Some(format!("{path}/target")), |_| path).await
}

async fn test_target(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match slug_of(&slug) {
        Ok(slug) => target::test(&posted.cx, &slug).await,
        Err(error) => Err(error),
    };
    back_to(&pages, &slug, posted, made).await
}

async fn probe_target(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match slug_of(&slug) {
        Ok(slug) => probe::probe(&posted.cx, &slug).await,
        Err(error) => Err(error),
    };
    back_to(&pages, &slug, posted, made).await
}

async fn apply_quirks(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match slug_of(&slug) {
        Ok(slug) => target::apply_quirks(&posted.cx, &slug).await,
        Err(error) => Err(error),
    };
    back_to(&pages, &slug, posted, made).await
}

async fn approve_adoption(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let (kind, id) = (posted.values.text("type"), posted.values.text("id"));
    let made = match (slug_of(&slug), scim::ResourceType::from_name(&kind)) {
        (Ok(slug), Some(kind)) => target::approve(&posted.cx, &slug, kind, &id).await,
        (Ok(_), None) => Err(Error::NotFound("account")),
        (Err(error), _) => Err(error),
    };
    back_to(&pages, &slug, posted, made).await
}

async fn issue_key(State(pages): State<Pages>, posted: Posted) -> Response {
    let made = match (fields::issue_key(&posted.values), fields::new_client(&posted.values)) {
        (Ok(new), Ok(None)) => keys::issue(&posted.cx, new).await,
        (Ok(new), Ok(Some(client))) => keys::issue_client(&posted.cx, new, client).await,
        (Err(faults), Ok(_)) | (Ok(_), Err(faults)) => Err(faults.into()),
        (Err(faults), Err(more)) => Err(faults.into_iter().chain(more).collect::<Vec<_>>().into()),
    };
    show_secret(&pages, posted, made).await
}

async fn change_client(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match (key_of(&id), fields::change_client(&posted.values)) {
        (Ok(id), Ok(change)) => oauth::change(&posted.cx, &id, change).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |key| format!("/keys/{}", key.id)).await
}

async fn rotate_key(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match (key_of(&id), fields::rotate_key(&posted.values)) {
        (Ok(id), Ok(rotate)) => keys::rotate(&posted.cx, &id, rotate).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    match made {
        // Nobody is shown the secret: it is on its way.
        Ok(issued) if issued.secret.is_none() && posted.values.text("deliver") == "yes" => {
            let begun = ops::rotations::of_key(&posted.cx, &issued.key.id).await.ok().flatten();
            see_other(&begun.map_or_else(
                || format!("/keys/{}", issued.key.id),
                |view| format!("/rotation/{}", view.rotation.id),
            ))
        }
        made => show_secret(&pages, posted, made).await,
    }
}

async fn revoke_key(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match (key_of(&id), fields::revoke_key(&posted.values)) {
        (Ok(id), Ok(reason)) => keys::revoke(&posted.cx, &id, &reason).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |key| format!("/keys/{}", key.id)).await
}

fn slug_of(text: &str) -> Result<Slug, Error> {
    Slug::parse(text).map_err(|_| Error::NotFound("federation"))
}

fn key_of(text: &str) -> Result<KeyId, Error> {
    KeyId::parse(text).ok_or(Error::NotFound("key"))
}

/// A button of the federation's page: done or refused, that page comes next.
async fn back_to_federation(
    pages: &Pages,
    slug: &str,
    posted: Posted,
    made: Result<domain::federations::Federation, Error>,
) -> Response {
    back_to(pages, slug, posted, made).await
}

async fn back_to<T>(pages: &Pages, slug: &str, posted: Posted, made: Result<T, Error>) -> Response {
    let path = format!("/federations/{slug}");
    settle(pages, posted, made, Some(path.clone()), |_| path).await
}

/// Sends the browser on, or renders the page of the form (or `stands_on`) again.
async fn settle<T>(
    pages: &Pages,
    posted: Posted,
    made: Result<T, Error>,
    stands_on: Option<String>,
    next: impl FnOnce(T) -> String,
) -> Response {
    match made {
        Ok(value) => see_other(&next(value)),
        Err(error) => refused(pages, posted, &error, stands_on).await,
    }
}

/// The page that shows a secret once, and that no cache keeps.
async fn show_secret(pages: &Pages, posted: Posted, made: Result<keys::Issued, Error>) -> Response {
    match made {
        Ok(issued) => {
            let shown = ShownKey::new(issued);
            let mut response =
                pages.render(as_get(posted.parts, None), move || provide_context(shown.clone())).await;
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => refused(pages, posted, &error, None).await,
    }
}

async fn refused(pages: &Pages, posted: Posted, error: &Error, stands_on: Option<String>) -> Response {
    let status = status(error);
    let Posted { cx, values, parts } = posted;
    let values = values.fit_to_show();
    let submitted = Submitted::refused(values.clone(), error).unwrap_or_else(|| {
        let message = match error.kind() {
            Kind::Internal => {
                tracing::error!(%error, "a form failed");
                format!(
                    "Something failed here, and nothing was changed. The log has it under {}.",
                    cx.request().id
                )
            }
            Kind::Unavailable => {
                tracing::error!(%error, "a form was not served");
                "The database does not answer. Nothing was changed; try again in a moment.".to_owned()
            }
            Kind::Invalid
            | Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::Conflict
            | Kind::Stale
            | Kind::Throttled
            | Kind::Held => format!("{error}."),
        };
        Submitted { values, faults: Vec::new(), message: Some(message) }
    });
    let mut response =
        pages.render(as_get(parts, stands_on), move || provide_context(submitted.clone())).await;
    // Whatever the page made of it, the operation was refused for this reason.
    *response.status_mut() = status;
    response
}

/// The one table of failures of this edge.
fn status(error: &Error) -> StatusCode {
    match error.kind() {
        Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict | Kind::Stale => StatusCode::CONFLICT,
        Kind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        Kind::Held | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn see_other(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}

/// The request for the page that a form stands on.
fn as_get(mut parts: Parts, stands_on: Option<String>) -> Request {
    parts.method = Method::GET;
    if let Some(uri) = stands_on.and_then(|path| path.parse().ok()) {
        parts.uri = uri;
    }
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    Request::from_parts(parts, axum::body::Body::empty())
}
