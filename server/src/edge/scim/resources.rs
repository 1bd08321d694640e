//! `/Users` and `/Groups`: reading requests, calling one operation, writing its answer.

use axum::{
    body::{Bytes, to_bytes},
    extract::Request,
    response::Response,
};
use http::{HeaderMap, Method, StatusCode, header};
use ops::{
    Cx, Error, ScimClient,
    groups::{self, Group},
    scim_client::Asked,
    users::{self, User},
};
use scim::{ListQuery, ListResponse, Meta, Related, Resource, ResourceType, ScimError, Selection};
use serde_json::Value;

use super::{
    answer::{empty, json, problem, resource},
    base, not_allowed, refuse,
};

/// A change that a client may ask for on one resource.
enum Change {
    Replace(Resource),
    Patch(Vec<scim::Op>),
    Delete,
}

/// `/Users` and `/Groups`.
pub(super) async fn collection(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    request: Request,
) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    if request.method() == Method::GET {
        return match ListQuery::parse(kind, &query) {
            Ok(query) => list(cx, asked, kind, query).await.unwrap_or_else(|error| problem(&error)),
            Err(error) => refuse(cx, asked, error).await,
        };
    }
    if request.method() != Method::POST {
        return not_allowed(cx, asked, "GET, POST").await;
    }
    let read = async {
        let selection = scim::query_selection(&query)?;
        Ok((selection, Resource::parse(kind, &body(request).await?)?))
    };
    let (selection, wanted) = match read.await {
        Ok(read) => read,
        Err(error) => return refuse(cx, asked, error).await,
    };
    let made = match kind {
        ResourceType::User => users::create(cx, asked, wanted).await.map(Found::User),
        ResourceType::Group => groups::create(cx, asked, wanted).await.map(Found::Group),
    };
    match made {
        Ok(found) => found.answer(cx, 201, &selection),
        Err(error) => problem(&error),
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
    let selection = match scim::query_selection(request.uri().query().unwrap_or_default()) {
        Ok(selection) => selection,
        Err(error) => return refuse(cx, asked, error).await,
    };
    let if_match = versions(request.headers(), header::IF_MATCH);
    let change = match *request.method() {
        Method::GET => {
            let if_none_match = versions(request.headers(), header::IF_NONE_MATCH);
            return get(cx, asked, kind, id, if_none_match, &selection)
                .await
                .unwrap_or_else(|error| problem(&error));
        }
        Method::PUT => read_replace(kind, id, request).await.map(Change::Replace),
        Method::PATCH => read_patch(request).await.map(Change::Patch),
        Method::DELETE => Ok(Change::Delete),
        _ => return not_allowed(cx, asked, "GET, PUT, PATCH, DELETE").await,
    };
    let change = match change {
        Ok(change) => change,
        Err(error) => return refuse(cx, asked, error).await,
    };
    let made = match (kind, change) {
        (ResourceType::User, Change::Replace(wanted)) => {
            users::replace(cx, asked, id, if_match, wanted).await.map(|user| Some(Found::User(user)))
        }
        (ResourceType::User, Change::Patch(operations)) => {
            users::patch(cx, asked, id, if_match, operations).await.map(|user| Some(Found::User(user)))
        }
        (ResourceType::User, Change::Delete) => users::delete(cx, asked, id, if_match).await.map(|()| None),
        (ResourceType::Group, Change::Replace(wanted)) => {
            groups::replace(cx, asked, id, if_match, wanted).await.map(|group| Some(Found::Group(group)))
        }
        (ResourceType::Group, Change::Patch(operations)) => {
            groups::patch(cx, asked, id, if_match, operations).await.map(|group| Some(Found::Group(group)))
        }
        (ResourceType::Group, Change::Delete) => groups::delete(cx, asked, id, if_match).await.map(|()| None),
    };
    match made {
        Ok(Some(found)) => found.answer(cx, 200, &selection),
        Ok(None) => empty(StatusCode::NO_CONTENT, None),
        Err(error) => problem(&error),
    }
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
    Ok(found.answer(cx, 200, selection))
}

async fn list(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    query: ListQuery,
) -> Result<Response, Error> {
    let (filter, start, count) = (query.filter.as_ref(), query.start_index, query.count);
    let (total_results, found) = match kind {
        ResourceType::User => {
            let page = users::list(cx, asked, filter, start, count).await?;
            (page.total, page.resources.into_iter().map(Found::User).collect::<Vec<_>>())
        }
        ResourceType::Group => {
            let wants_members = query.selection.wants(kind, "members");
            let page = groups::list(cx, asked, filter, start, count, wants_members).await?;
            (page.total, page.resources.into_iter().map(Found::Group).collect())
        }
    };
    let base = base(cx);
    let resources = found.iter().map(|found| found.render(&base, &query.selection)).collect();
    let response = ListResponse {
        total_results,
        start_index: Some(start),
        resources,
        next_cursor: None,
        previous_cursor: None,
    };
    Ok(json(200, &response.into_json()))
}

/// A resource of either type.
enum Found {
    User(User),
    Group(Group),
}

impl Found {
    fn version(&self) -> i64 {
        match self {
            Self::User(user) => user.version,
            Self::Group(group) => group.version,
        }
    }

    fn location(&self, base: &str) -> String {
        match self {
            Self::User(user) => format!("{base}/Users/{}", user.id),
            Self::Group(group) => format!("{base}/Groups/{}", group.id),
        }
    }

    fn render(&self, base: &str, selection: &Selection) -> Value {
        let location = &self.location(base);
        match self {
            Self::User(User { id, resource, version, created_ms, modified_ms, groups }) => {
                let meta = Meta {
                    id: id.as_str(),
                    created_ms: *created_ms,
                    modified_ms: *modified_ms,
                    version: *version,
                    location,
                };
                scim::render(resource, &meta, &Related { groups, members: &[] }, selection)
            }
            Self::Group(Group { id, resource, version, created_ms, modified_ms, members }) => {
                let meta = Meta {
                    id: id.as_str(),
                    created_ms: *created_ms,
                    modified_ms: *modified_ms,
                    version: *version,
                    location,
                };
                scim::render(resource, &meta, &Related { groups: &[], members }, selection)
            }
        }
    }

    fn answer(&self, cx: &Cx<ScimClient>, status: u16, selection: &Selection) -> Response {
        let base = base(cx);
        resource(status, &self.render(&base, selection), self.version(), &self.location(&base))
    }
}

async fn read_replace(kind: ResourceType, id: &str, request: Request) -> Result<Resource, ScimError> {
    let bytes = body(request).await?;
    // The id of the path decides; another one in the body is a client that mixes two resources up.
    let value = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
    let ids = value.as_object().into_iter().flatten().filter(|(name, _)| name.eq_ignore_ascii_case("id"));
    if ids.filter_map(|(_, value)| value.as_str()).any(|named| named != id) {
        return Err(ScimError::mutability("id in the body is not the id in the path"));
    }
    Resource::parse(kind, &bytes)
}

async fn read_patch(request: Request) -> Result<Vec<scim::Op>, ScimError> {
    scim::patch::parse(&body(request).await?)
}

/// The body of a request, once its media type is one of the two (RFC 7644 3.1).
async fn body(request: Request) -> Result<Bytes, ScimError> {
    let media_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    if let Some(media_type) = media_type {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let is_json = ["application/scim+json", "application/json"]
            .iter()
            .any(|json| essence.eq_ignore_ascii_case(json));
        if !is_json {
            return Err(ScimError::new(415, "application/scim+json was expected"));
        }
    }
    // The size is limited by the layer outside, which answers 413 by itself.
    let bytes = to_bytes(request.into_body(), usize::MAX)
        .await
        .map_err(|_| ScimError::invalid_syntax("the body ended before it was whole"))?;
    if domain::keys::is_in(&String::from_utf8_lossy(&bytes)) {
        return Err(ScimError::invalid_value(
            "a key was sent in the body; send it in the Authorization header only",
        ));
    }
    Ok(bytes)
}

/// The versions that a conditional header lists (RFC 9110 13.1); `None` for no condition or `*`.
/// What is no version of ours is a version that no resource has.
fn versions(headers: &HeaderMap, name: header::HeaderName) -> Option<Vec<i64>> {
    let text = headers.get(name)?.to_str().unwrap_or_default().trim();
    let version = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').parse().unwrap_or(-1);
    (text != "*").then(|| text.split(',').map(version).collect())
}
