//! Requests to a federation whose users and groups are kept by an upstream: read as for the embedded
//! directory, and answered with what the upstream says, in addresses of ours.
//!
//! A Bulk request is taken apart here, whatever the upstream has: each of its operations is a change
//! with its own intent, call and outcome. So it holds fewer of them, [`MAX_OPERATIONS`].

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ops::{
    Cx, Error, ScimClient,
    gateway::requests::{self, Shown},
    scim_client::Asked,
};
use scim::{
    ListQuery, ResourceType, Selection,
    bulk::{self, Limits, Outcome},
    discovery,
};

use super::{
    Endpoint,
    answer::{empty, json, problem, told},
    base,
    bulk::limits_of,
    change::{Change, Intake, take_in},
    discovered, features, not_allowed, refuse, search,
};

/// Operations of one Bulk request: each is a call that may take as long as the upstream likes.
const MAX_OPERATIONS: usize = 100;

/// Serves an endpoint of such a federation.
pub(super) async fn serve(
    endpoint: Endpoint,
    cx: &Cx<ScimClient>,
    asked: &Asked,
    mut request: Request,
) -> Response {
    match &endpoint {
        Endpoint::Resources(kind) => return collection(cx, asked, *kind, request).await,
        Endpoint::Resource(kind, id) => return single(cx, asked, *kind, id, request).await,
        Endpoint::ServiceProviderConfig | Endpoint::Bulk => {
            let limits = limits_of(&request);
            let max_operations = limits.max_operations.min(MAX_OPERATIONS);
            request.extensions_mut().insert(Limits { max_operations, ..limits });
        }
        Endpoint::Base
        | Endpoint::Search(_)
        | Endpoint::Schemas(_)
        | Endpoint::ResourceTypes(_)
        | Endpoint::NotOffered(_)
        | Endpoint::Unknown => {}
    }
    if matches!(endpoint, Endpoint::ServiceProviderConfig) {
        // Entity tags are the upstream's. What it does not do of the rest is done here.
        let offers = match requests::offers(cx).await {
            Ok(offers) => offers,
            Err(error) => return problem(&error),
        };
        let features = scim::Features { etag: offers.etag, ..features(cx, &request) };
        let found = discovery::service_provider_config(&base(cx), &features);
        return discovered(cx, asked, request, None, || Some(found)).await;
    }
    endpoint.serve_here(cx, asked, request).await
}

async fn collection(cx: &Cx<ScimClient>, asked: &Asked, kind: ResourceType, request: Request) -> Response {
    match *request.method() {
        Method::POST => change(cx, asked, kind, None, request).await,
        Method::GET => search::list(cx, asked, Some(kind), request).await,
        _ => not_allowed(cx, asked, "GET, HEAD, POST").await,
    }
}

/// A page of a type, or of every type.
pub(super) async fn page(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: Option<ResourceType>,
    query: &ListQuery,
) -> Response {
    let listed = match kind {
        Some(kind) => requests::list(cx, asked, cx.schemas().of(kind), query).await,
        None => requests::everything(cx, asked, query).await,
    };
    listed.map_or_else(|error| problem(&error), |page| json(200, &page.into_json()))
}

/// Does one operation of a Bulk request, and says what became of it.
pub(super) async fn perform(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    (kind, method): (ResourceType, bulk::Method),
    location: Option<String>,
    if_match: Option<String>,
    change: Change,
) -> Outcome {
    let made = match change {
        Change::Create(wanted) => requests::create(cx, asked, wanted).await.map(Some),
        Change::Replace(id, wanted) => requests::replace(cx, asked, &id, if_match, wanted).await.map(Some),
        Change::Patch(id, operations) => {
            requests::patch(cx, asked, (kind, &id), if_match, operations).await.map(Some)
        }
        Change::Delete(id) => requests::delete(cx, asked, kind, &id, if_match).await.map(|()| None),
    };
    match made {
        Ok(Some(Shown { body, etag, location })) => Outcome {
            status: if method == bulk::Method::Post { 201 } else { 200 },
            id: body.get("id").and_then(serde_json::Value::as_str).map(str::to_owned),
            location: Some(location),
            version: etag,
            error: None,
        },
        Ok(None) => Outcome { status: 204, location, ..Outcome::default() },
        Err(error) => Outcome { location, ..Outcome::failed(told(&error)) },
    }
}

async fn single(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    id: &str,
    request: Request,
) -> Response {
    match *request.method() {
        Method::GET => {}
        Method::PUT | Method::PATCH | Method::DELETE => {
            return change(cx, asked, kind, Some(id), request).await;
        }
        _ => return not_allowed(cx, asked, "GET, HEAD, PUT, PATCH, DELETE").await,
    }
    let selection = match scim::query_selection(request.uri().query().unwrap_or_default()) {
        Ok(selection) => selection,
        Err(error) => return refuse(cx, asked, error).await,
    };
    if let Err(error) = cx.allow_selection(asked, kind, &selection).await {
        return problem(&error);
    }
    let seen = text_of(request.headers(), &header::IF_NONE_MATCH);
    let found = requests::get(cx, asked, kind, id).await;
    if let Ok(Shown { etag: Some(etag), .. }) = &found
        && seen.is_some_and(|seen| seen.split(',').any(|tag| same_tag(tag, etag)))
    {
        return with_etag(empty(StatusCode::NOT_MODIFIED, None), Some(etag));
    }
    answer(cx, kind, 200, &selection, found)
}

/// A change of a resource that the upstream keeps.
async fn change(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    id: Option<&str>,
    request: Request,
) -> Response {
    let if_match = text_of(request.headers(), &header::IF_MATCH);
    let taken = match take_in(cx, asked, kind, id, request).await {
        Ok(taken) => taken,
        Err(answer) => return answer,
    };
    let status = taken.status();
    let Intake { change, asked, selection } = taken;
    let made = match change {
        Change::Create(wanted) => requests::create(cx, &asked, wanted).await,
        Change::Replace(id, wanted) => requests::replace(cx, &asked, &id, if_match, wanted).await,
        Change::Patch(id, operations) => requests::patch(cx, &asked, (kind, &id), if_match, operations).await,
        Change::Delete(id) => {
            return match requests::delete(cx, &asked, kind, &id, if_match).await {
                Ok(()) => empty(StatusCode::NO_CONTENT, None),
                Err(error) => problem(&error),
            };
        }
    };
    answer(cx, kind, status, &selection, made)
}

fn answer(
    cx: &Cx<ScimClient>,
    kind: ResourceType,
    status: u16,
    selection: &Selection,
    made: Result<Shown, Error>,
) -> Response {
    let Shown { body, etag, location } = match made {
        Ok(shown) => shown,
        Err(error) => return problem(&error),
    };
    let body = selection.apply(cx.schemas().of(kind), body);
    let mut response = json(status, &cx.readable(kind, body));
    if let Ok(location) = HeaderValue::from_str(&location) {
        let name = if status == 201 { header::LOCATION } else { header::CONTENT_LOCATION };
        response.headers_mut().insert(name, location);
    }
    with_etag(response, etag.as_deref())
}

fn with_etag(mut response: Response, etag: Option<&str>) -> Response {
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// Whether two entity tags are the same, weakly (RFC 9110 8.8.3.2).
fn same_tag(one: &str, other: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    one.trim() == "*" || bare(one) == bare(other)
}

fn text_of(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(|text| text.trim().to_owned())
}
