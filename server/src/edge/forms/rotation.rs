//! The forms of rotation: what is done to one, to a key, and to a policy.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::post,
};
use domain::{ExceptionId, RotationId};
use leptos::prelude::provide_context;
use ops::{
    Error, keys,
    policies::{self, Proposal},
    rotations, tighten,
};

use app::forms::{
    Submitted, Values, rotation as fields,
    scope::{self, Narrowing},
};

use super::{Posted, as_get, key_of, refused, settle, slug_of};
use crate::edge::pages::{Pages, page};

/// The routes.
pub fn routes() -> Router<Pages> {
    Router::new()
        .route("/keys/{id}/hold", post(hold_key).get(page))
        .route("/keys/{id}/scope", post(narrow_key).get(page))
        .route("/keys/{id}/tighten", post(narrow_key).get(page))
        .route("/keys/{id}/release", post(release_key))
        .route("/rotation/clock", post(agree))
        .route("/rotation/{id}/hold", post(hold).get(page))
        .route("/rotation/{id}/release", post(release).get(page))
        .route("/rotation/{id}/finish", post(finish).get(page))
        .route("/rotation/{id}/roll-back", post(roll_back).get(page))
        .route("/federations/{slug}/rotation", post(set_policy).get(page))
        .route("/federations/{slug}/rotation/preview", post(preview_policy))
        .route("/federations/{slug}/rotation/exceptions", post(except))
        .route("/federations/{slug}/rotation/exceptions/{id}/end", post(end_exception))
        .route("/settings/rotation", post(set_defaults).get(page))
        .route("/settings/rotation/preview", post(preview_defaults))
}

async fn hold_key(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match (key_of(&id), fields::reason(&posted.values)) {
        (Ok(id), Ok(reason)) => keys::hold(&posted.cx, &id, &reason).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |key| format!("/keys/{}", key.id)).await
}

/// A narrower scope, made by hand or proposed from what is used.
async fn narrow_key(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match (key_of(&id), scope::narrowing(&posted.values)) {
        (Ok(id), Ok(Narrowing { version, scope, when })) => {
            tighten::narrow(&posted.cx, &id, version, scope, when).await
        }
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |key| format!("/keys/{}", key.id)).await
}

async fn release_key(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match key_of(&id) {
        Ok(id) => keys::release(&posted.cx, &id).await,
        Err(error) => Err(error),
    };
    let path = format!("/keys/{id}");
    settle(&pages, posted, made, Some(path.clone()), |_| path).await
}

async fn agree(State(pages): State<Pages>, posted: Posted) -> Response {
    let made = rotations::agree(&posted.cx).await;
    let path = "/rotation".to_owned();
    settle(&pages, posted, made, Some(path.clone()), |()| path).await
}

async fn hold(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match (rotation_of(&id), fields::reason(&posted.values)) {
        (Ok(id), Ok(reason)) => rotations::hold(&posted.cx, &id, &reason).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |rotation| format!("/rotation/{}", rotation.id)).await
}

async fn release(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match rotation_of(&id) {
        Ok(id) => rotations::release(&posted.cx, &id).await,
        Err(error) => Err(error),
    };
    settle(&pages, posted, made, None, |rotation| format!("/rotation/{}", rotation.id)).await
}

async fn finish(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match (rotation_of(&id), fields::reason(&posted.values)) {
        (Ok(id), Ok(reason)) => rotations::finish(&posted.cx, &id, &reason).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |rotation| format!("/rotation/{}", rotation.id)).await
}

async fn roll_back(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match (rotation_of(&id), fields::reason(&posted.values)) {
        (Ok(id), Ok(reason)) => rotations::roll_back(&posted.cx, &id, &reason).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |rotation| format!("/rotation/{}", rotation.id)).await
}

async fn set_policy(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match (slug_of(&slug), fields::policy(&posted.values)) {
        (Ok(slug), Ok(edit)) => policies::edit(&posted.cx, &slug, edit).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |federation| format!("/federations/{}/rotation", federation.slug))
        .await
}

async fn preview_policy(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let proposal = match (slug_of(&slug), fields::policy(&posted.values)) {
        (Ok(slug), Ok(edit)) => Ok(Proposal::Federation(slug, edit)),
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    preview(&pages, posted, proposal, format!("/federations/{slug}/rotation")).await
}

async fn set_defaults(State(pages): State<Pages>, posted: Posted) -> Response {
    let made = match fields::defaults(&posted.values) {
        Ok((version, defaults)) => policies::edit_defaults(&posted.cx, version, defaults).await,
        Err(faults) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |_| "/rotation".to_owned()).await
}

async fn preview_defaults(State(pages): State<Pages>, posted: Posted) -> Response {
    let proposal = match fields::defaults(&posted.values) {
        Ok((_, defaults)) => Ok(Proposal::Installation(defaults)),
        Err(faults) => Err(faults.into()),
    };
    preview(&pages, posted, proposal, "/settings/rotation".to_owned()).await
}

/// The page of the form again, with what was typed and what it would do.
async fn preview(pages: &Pages, posted: Posted, proposal: Result<Proposal, Error>, path: String) -> Response {
    let made = match proposal {
        Ok(proposal) => policies::preview(&posted.cx, &proposal).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(preview) => {
            let Posted { values, parts, .. } = posted;
            let previewed = fields::Previewed(Arc::new(preview));
            let typed = typed(values);
            let more = move || {
                provide_context(typed.clone());
                provide_context(previewed.clone());
            };
            pages.render(as_get(parts, Some(path)), more).await
        }
        Err(error) => refused(pages, posted, &error, Some(path)).await,
    }
}

/// What was typed, without anything to fix.
fn typed(values: Values) -> Submitted {
    Submitted { values: values.fit_to_show(), ..Submitted::default() }
}

async fn except(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match (slug_of(&slug), fields::exception(&posted.values)) {
        (Ok(slug), Ok(new)) => policies::except(&posted.cx, &slug, new).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    let path = format!("/federations/{slug}/rotation");
    settle(&pages, posted, made, Some(path.clone()), |_| path).await
}

async fn end_exception(
    State(pages): State<Pages>,
    Path((slug, id)): Path<(String, String)>,
    posted: Posted,
) -> Response {
    let made = match (slug_of(&slug), ExceptionId::parse(&id)) {
        (Ok(slug), Some(id)) => policies::end_exception(&posted.cx, &slug, &id).await,
        (Ok(_), None) => Err(Error::NotFound("exception")),
        (Err(error), _) => Err(error),
    };
    let path = format!("/federations/{slug}/rotation");
    settle(&pages, posted, made, Some(path.clone()), |()| path).await
}

fn rotation_of(text: &str) -> Result<RotationId, Error> {
    RotationId::parse(text).ok_or(Error::NotFound("rotation"))
}
