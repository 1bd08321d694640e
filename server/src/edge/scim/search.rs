//! Lists and searches: `GET /Users`, `GET /Groups`, `GET /` of the base, and `POST …/.search` of each
//! (RFC 7644 3.4.2 and 3.4.3).

use axum::{extract::Request, response::Response};
use http::Method;
use ops::{
    Cx, Error, ScimClient,
    listing::{self, Listed},
    scim_client::Asked,
};
use scim::{ListQuery, ListResponse, Reading, ResourceType};

use super::{
    answer::{json, problem},
    base,
    change::{body, tolerating},
    not_allowed, refuse,
};

/// `GET` of a type, or of the base, which has every type.
pub(super) async fn list(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: Option<ResourceType>,
    request: Request,
) -> Response {
    if request.method() != Method::GET {
        return not_allowed(cx, asked, "GET, HEAD").await;
    }
    let raw = request.uri().query().unwrap_or_default();
    let mut reading = Reading::new(cx.actor().federation.scim.strict);
    let query = match kind {
        Some(kind) => ListQuery::read(cx.schemas().of(kind), raw, &mut reading),
        None => ListQuery::read_root(cx.schemas(), raw, &mut reading),
    };
    let asked = &tolerating(asked, reading);
    match query {
        Ok(query) => answer(cx, asked, kind, &query).await,
        Err(error) => refuse(cx, asked, error).await,
    }
}

/// `POST …/.search`: the same question in a body, which keeps it out of addresses and their logs.
pub(super) async fn search(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: Option<ResourceType>,
    request: Request,
) -> Response {
    if request.method() != Method::POST {
        return not_allowed(cx, asked, "POST").await;
    }
    let mut reading = Reading::new(cx.actor().federation.scim.strict);
    let read = async {
        let bytes = body(request).await?;
        match kind {
            Some(kind) => ListQuery::read_search(Some(cx.schemas().of(kind)), &bytes, &mut reading),
            None => ListQuery::read_root_search(cx.schemas(), &bytes, &mut reading),
        }
    };
    let query = read.await;
    let asked = &tolerating(asked, reading);
    match query {
        Ok(query) => answer(cx, asked, kind, &query).await,
        Err(error) => refuse(cx, asked, error).await,
    }
}

async fn answer(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: Option<ResourceType>,
    query: &ListQuery,
) -> Response {
    let listed = match kind {
        Some(kind) => listing::list(cx, asked, kind, query).await,
        None => listing::everything(cx, asked, query).await,
    };
    listed.map_or_else(|error: Error| problem(&error), |listed| page(cx, query, listed))
}

fn page(cx: &Cx<ScimClient>, query: &ListQuery, listed: Listed) -> Response {
    let base = base(cx);
    let Listed { total, start_index, found, next_cursor } = listed;
    let resources = found
        .iter()
        .map(|found| found.render(cx.schemas().of(found.kind()), &base, &query.selection))
        .collect();
    let response = ListResponse {
        total_results: total,
        start_index,
        resources,
        next_cursor,
        // A cursor goes one way: RFC 9865 2 leaves the way back to the server.
        previous_cursor: None,
    };
    json(200, &response.into_json())
}
