//! Lists and searches: `GET /Users`, `GET /Groups`, `GET /` of the base, and `POST …/.search` of each
//! (RFC 7644 3.4.2 and 3.4.3).

use std::io::Write as _;

use axum::{extract::Request, response::Response};
use domain::federations::FederationTarget;
use http::Method;
use ops::{
    Cx, Error, ScimClient,
    listing::{self, Listed, Page},
    scim_client::Asked,
};
use scim::{ListQuery, ListResponse, Reading, ResourceType, Selection, list::LIST_URN};

use super::{
    answer::{Ready, json, problem, text},
    base,
    change::{body, tolerating},
    gateway, not_allowed, refuse,
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
    if cx.actor().federation.target == FederationTarget::Upstream {
        return Box::pin(gateway::page(cx, asked, kind, query)).await;
    }
    let answered = match kind {
        // What nobody selected from is the same for everybody, and mostly there.
        Some(kind) if query.selection == Selection::Default => {
            let page = listing::list_ready(cx, asked, kind, query, |found| Ready::of(cx, &found)).await;
            page.map(|page| text(200, joined(&page, Ready::body)))
        }
        Some(kind) => listing::list(cx, asked, kind, query).await.map(|listed| page(cx, query, listed)),
        None => listing::everything(cx, asked, query).await.map(|listed| page(cx, query, listed)),
    };
    answered.unwrap_or_else(|error: Error| problem(&error))
}

/// What [`ListResponse::into_json`] says, with resources that are text already.
fn joined<T>(page: &Page<T>, text: fn(&T) -> &[u8]) -> Vec<u8> {
    let texts = || page.found.iter().map(|found| text(found));
    let bytes = texts().map(|text| text.len() + 1).sum::<usize>();
    let mut body = Vec::with_capacity(bytes + 300);
    body.extend_from_slice(b"{\"Resources\":[");
    for (index, text) in texts().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(text);
    }
    // Writing to memory does not fail.
    let _ = write!(body, "],\"itemsPerPage\":{}", page.found.len());
    if let Some(cursor) = &page.next_cursor {
        // Made of unreserved characters: it needs no escapes.
        let _ = write!(body, ",\"nextCursor\":\"{cursor}\"");
    }
    let _ = write!(body, ",\"schemas\":[\"{LIST_URN}\"]");
    if let Some(start_index) = page.start_index {
        let _ = write!(body, ",\"startIndex\":{start_index}");
    }
    let _ = write!(body, ",\"totalResults\":{}}}", page.total);
    body
}

fn page(cx: &Cx<ScimClient>, query: &ListQuery, listed: Listed) -> Response {
    let base = base(cx);
    let Listed { total, start_index, found, next_cursor } = listed;
    let resources = found
        .iter()
        .map(|found| {
            let body = found.render(cx.schemas().of(found.kind()), &base, &query.selection);
            cx.readable(found.kind(), body)
        })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_page_of_texts_is_byte_for_byte_the_page_of_its_resources() {
        let resources =
            [json!({ "id": "a", "userName": "\u{e4}\"\u{1}/" }), json!({ "id": "b", "b": [1, null, 1.5] })];
        for resources in [&resources[..0], &resources[..1], &resources] {
            for (start_index, next_cursor) in
                [(Some(1), None), (None, None), (None, Some("aA0-._~".to_owned()))]
            {
                let response = ListResponse {
                    total_results: 7,
                    start_index,
                    resources: resources.to_vec(),
                    next_cursor: next_cursor.clone(),
                    previous_cursor: None,
                };
                let found = resources.iter().map(|resource| Arc::new(Value::to_string(resource))).collect();
                let page = Page { total: 7, start_index, found, next_cursor };
                let body = String::from_utf8(joined(&page, |text| text.as_bytes())).unwrap();
                assert_eq!(body, response.into_json().to_string());
            }
        }
    }
}
