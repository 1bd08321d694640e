//! Requests to a federation whose users and groups are kept by an upstream: read as for the embedded
//! directory, and answered with what the upstream says, in addresses of ours.

use axum::{extract::Request, response::Response};
use domain::scopes::Verb;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ops::{
    Cx, Error, ScimClient,
    gateway::requests::{self, Shown},
    scim_client::Asked,
};
use scim::{ListQuery, Reading, ResourceType, ScimError, Selection, discovery};

use super::{
    Endpoint,
    answer::{empty, json, problem},
    base,
    change::{Change, read, resource_kind, tolerating},
    discovered, features, not_allowed, refuse,
};

/// Serves an endpoint of such a federation.
pub(super) async fn serve(
    endpoint: Endpoint,
    cx: &Cx<ScimClient>,
    asked: &Asked,
    request: Request,
) -> Response {
    if let Endpoint::Resources(kind) = endpoint {
        return collection(cx, asked, kind, request).await;
    }
    if let Endpoint::Resource(kind, id) = &endpoint {
        return single(cx, asked, *kind, id, request).await;
    }
    if matches!(endpoint, Endpoint::ServiceProviderConfig) {
        // What the upstream may not have is not promised. Entity tags are passed on, where there are any.
        let features = scim::Features {
            bulk: None,
            cursor: None,
            sort: false,
            etag: false,
            patch: true,
            ..features(cx, &request)
        };
        let found = discovery::service_provider_config(&base(cx), &features);
        return discovered(cx, asked, request, Some(found)).await;
    }
    if matches!(endpoint, Endpoint::Schemas(_) | Endpoint::ResourceTypes(_) | Endpoint::Unknown) {
        return endpoint.serve_here(cx, asked, request).await;
    }
    refuse(cx, asked, ScimError::not_implemented("this is not offered by a federation with an upstream"))
        .await
}

async fn collection(cx: &Cx<ScimClient>, asked: &Asked, kind: ResourceType, request: Request) -> Response {
    if request.method() == Method::POST {
        return change(cx, asked, kind, None, request).await;
    }
    if request.method() != Method::GET {
        return not_allowed(cx, asked, "GET, HEAD, POST").await;
    }
    let of = cx.schemas().of(kind);
    let mut reading = Reading::new(cx.actor().federation.scim.strict);
    let query = ListQuery::read(of, request.uri().query().unwrap_or_default(), &mut reading);
    let asked = &tolerating(asked, reading);
    match query {
        Ok(query) => match requests::list(cx, asked, of, &query).await {
            Ok(page) => json(200, &page.into_json()),
            Err(error) => problem(&error),
        },
        Err(error) => refuse(cx, asked, error).await,
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
    let seen = text_of(request.headers(), &header::IF_NONE_MATCH);
    let found = requests::get(cx, asked, kind, id).await;
    if let Ok(Shown { etag: Some(etag), .. }) = &found
        && seen.is_some_and(|seen| seen.split(',').any(|tag| same_tag(tag, etag)))
    {
        return with_etag(empty(StatusCode::NOT_MODIFIED, None), Some(etag));
    }
    answer(cx, kind, 200, &selection, found)
}

async fn change(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    id: Option<&str>,
    request: Request,
) -> Response {
    let selection = match scim::query_selection(request.uri().query().unwrap_or_default()) {
        Ok(selection) => selection,
        Err(error) => return refuse(cx, asked, error).await,
    };
    let verb = match *request.method() {
        Method::POST => Verb::Create,
        Method::DELETE => Verb::Delete,
        _ => Verb::Update,
    };
    if let Err(error) = cx.allow(asked, verb, resource_kind(kind)).await {
        return problem(&error);
    }
    let if_match = text_of(request.headers(), &header::IF_MATCH);
    let mut reading = Reading::new(cx.actor().federation.scim.strict);
    let read = read(cx, kind, id, request, &mut reading).await;
    let asked = &tolerating(asked, reading);
    match read {
        Ok(Change::Create(wanted)) => {
            answer(cx, kind, 201, &selection, requests::create(cx, asked, wanted).await)
        }
        Ok(Change::Replace(id, wanted)) => {
            let made = requests::replace(cx, asked, &id, if_match, wanted).await;
            answer(cx, kind, 200, &selection, made)
        }
        Ok(Change::Patch(id, operations)) => {
            let made = requests::patch(cx, asked, (kind, &id), if_match, operations).await;
            answer(cx, kind, 200, &selection, made)
        }
        Ok(Change::Delete(id)) => match requests::delete(cx, asked, kind, &id, if_match).await {
            Ok(()) => empty(StatusCode::NO_CONTENT, None),
            Err(error) => problem(&error),
        },
        Err(error) => refuse(cx, asked, error).await,
    }
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
    let mut response = json(status, &selection.apply(cx.schemas().of(kind), body));
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
