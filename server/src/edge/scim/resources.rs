//! `/Users` and `/Groups`: reading requests, calling one operation, writing its answer.

use axum::{extract::Request, response::Response};
use http::{Method, StatusCode, header};
use ops::{Cx, Error, ScimClient, groups, listing::Found, ready, scim_client::Asked, users};
use scim::{ResourceType, Selection};

use super::{
    answer::{Ready, empty, problem, resource},
    base,
    change::{change, versions},
    not_allowed, refuse, search,
};

/// `/Users` and `/Groups`.
pub(super) async fn collection(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    request: Request,
) -> Response {
    match *request.method() {
        Method::GET => search::list(cx, asked, Some(kind), request).await,
        Method::POST => change(cx, asked, kind, None, request).await,
        _ => not_allowed(cx, asked, "GET, HEAD, POST").await,
    }
}

/// `/Users/{id}` and `/Groups/{id}`.
pub(super) async fn single(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    id: &str,
    request: Request,
) -> Response {
    match *request.method() {
        Method::GET if request.uri().query().is_none() => {
            let if_none_match = versions(request.headers(), header::IF_NONE_MATCH);
            get_ready(cx, asked, kind, id, if_none_match).await.unwrap_or_else(|error| problem(&error))
        }
        Method::GET => {
            let selection = match scim::query_selection(request.uri().query().unwrap_or_default()) {
                Ok(selection) => selection,
                Err(error) => return refuse(cx, asked, error).await,
            };
            if let Err(error) = cx.allow_selection(asked, kind, &selection).await {
                return problem(&error);
            }
            let if_none_match = versions(request.headers(), header::IF_NONE_MATCH);
            let got = Box::pin(get(cx, asked, kind, id, if_none_match, &selection));
            got.await.unwrap_or_else(|error| problem(&error))
        }
        Method::PUT | Method::PATCH | Method::DELETE => {
            Box::pin(change(cx, asked, kind, Some(id), request)).await
        }
        _ => not_allowed(cx, asked, "GET, HEAD, PUT, PATCH, DELETE").await,
    }
}

/// What nobody selected from is the same for everybody: made once, and given until it changes.
async fn get_ready(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    id: &str,
    if_none_match: Option<Vec<i64>>,
) -> Result<Response, Error> {
    let ready = match kind {
        ResourceType::User => ready::user(cx, asked, id, |user| Ready::of(cx, &Found::User(user))).await?,
        ResourceType::Group => {
            ready::group(cx, asked, id, |group| Ready::of(cx, &Found::Group(group))).await?
        }
    };
    if if_none_match.is_some_and(|seen| seen.contains(&ready.version)) {
        return Ok(empty(StatusCode::NOT_MODIFIED, Some(ready.version)));
    }
    Ok(ready.answer())
}

async fn get(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    id: &str,
    if_none_match: Option<Vec<i64>>,
    selection: &Selection,
) -> Result<Response, Error> {
    let found = match kind {
        ResourceType::User => Found::User(users::get(cx, asked, id).await?),
        ResourceType::Group => Found::Group(groups::get(cx, asked, id).await?),
    };
    if if_none_match.is_some_and(|seen| seen.contains(&found.version())) {
        return Ok(empty(StatusCode::NOT_MODIFIED, Some(found.version())));
    }
    Ok(show(cx, &found, 200, selection))
}

/// An answer with one resource.
pub(super) fn show(cx: &Cx<ScimClient>, found: &Found, status: u16, selection: &Selection) -> Response {
    let base = base(cx);
    let body = found.render(cx.schemas().of(found.kind()), &base, selection);
    let body = cx.readable(found.kind(), body);
    resource(status, &body, found.version(), &found.location(&base))
}
