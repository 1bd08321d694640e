//! SCIM 2.0 in: `/scim/{federation}/v2/…` (RFC 7644).
//!
//! A request is authenticated before its body is read. Every failure is answered as RFC 7644 3.12
//! says, in SCIM JSON; the table of statuses is `ops::scim_client::status_of`, which the usage
//! record is written from as well.

mod answer;
mod bulk;
mod change;
mod gateway;
mod resources;
mod search;

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::Response,
};
use domain::federations::FederationTarget;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use hyper::body::Body as _;
use ops::{
    Cx, Keyward, RequestInfo, ScimClient,
    listing::CURSOR_TIMEOUT_MS,
    ready,
    scim_client::{self, Asked},
};
use percent_encoding::percent_decode_str;
use scim::{ResourceType, ScimError, Tolerance, discovery};

use self::answer::{problem, text};
use super::throttle::{Throttle, TooSoon};

/// Whatever is below `/scim/` is answered here, so that nothing there can be told apart without a
/// key.
#[derive(Clone)]
pub struct Scim {
    keyward: Arc<Keyward>,
    bulk: scim::bulk::Limits,
}

impl Scim {
    /// The edge of an installation.
    pub fn new(keyward: Arc<Keyward>) -> Self {
        Self { keyward, bulk: scim::bulk::Limits::default() }
    }

    /// The edge behind a limit on bodies.
    pub(super) fn within(self, body_bytes: usize) -> Self {
        Self { bulk: bulk::limits(body_bytes), ..self }
    }

    pub(super) async fn answer(&self, info: &RequestInfo, throttle: &Throttle, request: Request) -> Response {
        // What is no UTF-8 names nothing, and is refused like any other path that names nothing.
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
        let path = path.strip_prefix("/scim").unwrap_or_default().trim_start_matches('/');
        // What is not a base belongs to no federation.
        let (federation, endpoint) = path.split_once("/v2").unwrap_or(("", ""));
        let is_base = endpoint.is_empty() || endpoint.starts_with('/');
        let federation = if is_base { federation } else { "" };
        let is_head = request.method() == Method::HEAD;
        let response = serve(self, (info, throttle), federation, endpoint, request).await;
        if is_head { without_body(response) } else { response }
    }
}

/// The answer to HEAD: that to GET without its body (RFC 9110 9.3.2).
fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::empty())
}

async fn serve(
    Scim { keyward, bulk }: &Scim,
    (info, throttle): (&RequestInfo, &Throttle),
    federation: &str,
    path: &str,
    mut request: Request,
) -> Response {
    let endpoint = Endpoint::of(path);
    let mut asked = endpoint.asked(request.method());
    if path.len() > 1 && path.ends_with('/') {
        asked.tolerated.push(Tolerance::TrailingSlash.as_str().to_owned());
    }
    // From here on HEAD is GET; the records keep its name.
    if request.method() == Method::HEAD {
        *request.method_mut() = Method::GET;
    }
    if names_a_key(request.uri()) {
        let error =
            ScimError::new(400, "a key was sent in the address; send it in the Authorization header only");
        return problem(&error.into());
    }
    let bearer = bearer(request.headers());
    let came =
        scim_client::authenticate_within(keyward, info, federation, bearer.as_deref(), &asked, throttle);
    let cx = match came.await {
        Ok(cx) => cx,
        Err(error) => return problem(&error),
    };
    // Only who is known has an allowance to spend: nobody can use up that of another's key.
    match throttle.enter(&cx.actor().key_id) {
        Ok(_place) => {
            if matches!(endpoint, Endpoint::Bulk | Endpoint::ServiceProviderConfig) {
                request.extensions_mut().insert(*bulk);
            }
            endpoint.serve(&cx, &asked, request).await
        }
        Err(TooSoon { retry_after_s, is_told }) => {
            problem(&cx.too_soon(&asked, throttle.key_limit(), retry_after_s, is_told).await)
        }
    }
}

/// Whether an address holds something that begins like a key, encoded or not. Addresses end up in
/// logs and histories.
fn names_a_key(uri: &Uri) -> bool {
    let is_suspect = |part: &str| {
        let part = percent_decode_str(part).decode_utf8_lossy();
        match part.split_once('=') {
            // A cursor is 64 characters of chance and more: the beginning of a key may come up in it, a
            // whole key with its checksum does not.
            Some((name, value)) if name.eq_ignore_ascii_case("cursor") => domain::keys::is_in(value),
            Some(_) | None => domain::keys::begins_in(&part),
        }
    };
    is_suspect(uri.path()) || uri.query().is_some_and(|query| query.split('&').any(is_suspect))
}

/// The bearer token (RFC 6750 2.1). More than one `Authorization` header is as good as none: one of
/// them would win by accident.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' ').to_owned())
}

/// One path of each kind below a base, `{id}` for what a client names: for tests that walk every route. The methods of
/// each are in the `Allow` of its answer to another one.
pub const PATHS: [&str; 16] = [
    "",
    "/.search",
    "/Users/.search",
    "/Groups/.search",
    "/Users",
    "/Groups",
    "/Users/{id}",
    "/Groups/{id}",
    "/ServiceProviderConfig",
    "/Schemas",
    "/Schemas/{id}",
    "/ResourceTypes",
    "/ResourceTypes/{id}",
    "/Bulk",
    "/Me",
    "/Planets",
];

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Endpoint {
    /// The base itself: resources of every type.
    Base,
    /// `.search` of a type, or of the base.
    Search(Option<ResourceType>),
    Resources(ResourceType),
    Resource(ResourceType, String),
    ServiceProviderConfig,
    Schemas(Option<String>),
    ResourceTypes(Option<String>),
    Bulk,
    /// Named by RFC 7644 and not offered.
    NotOffered(&'static str),
    Unknown,
}

impl Endpoint {
    fn of(path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            ["Users"] => Self::Resources(ResourceType::User),
            ["Groups"] => Self::Resources(ResourceType::Group),
            [] => Self::Base,
            [".search"] => Self::Search(None),
            ["Users", ".search"] => Self::Search(Some(ResourceType::User)),
            ["Groups", ".search"] => Self::Search(Some(ResourceType::Group)),
            ["Users", id] => Self::Resource(ResourceType::User, (*id).to_owned()),
            ["Groups", id] => Self::Resource(ResourceType::Group, (*id).to_owned()),
            ["ServiceProviderConfig"] => Self::ServiceProviderConfig,
            ["Schemas"] => Self::Schemas(None),
            ["Schemas", urn] => Self::Schemas(Some((*urn).to_owned())),
            ["ResourceTypes"] => Self::ResourceTypes(None),
            ["ResourceTypes", name] => Self::ResourceTypes(Some((*name).to_owned())),
            ["Bulk"] => Self::Bulk,
            ["Me", ..] => Self::NotOffered("/Me"),
            _ => Self::Unknown,
        }
    }

    fn asked(&self, method: &Method) -> Asked {
        let (resource_type, resource_id) = match self {
            Self::Base => ("base", None),
            Self::Search(None) => (".search", None),
            Self::Search(Some(kind)) | Self::Resources(kind) => (kind.endpoint(), None),
            Self::Resource(kind, id) => (kind.endpoint(), Some(id.chars().take(100).collect())),
            Self::ServiceProviderConfig => ("ServiceProviderConfig", None),
            Self::Schemas(_) => ("Schemas", None),
            Self::ResourceTypes(_) => ("ResourceTypes", None),
            Self::Bulk => ("Bulk", None),
            Self::NotOffered(name) => (*name, None),
            Self::Unknown => ("unknown", None),
        };
        Asked {
            method: method.as_str().chars().take(20).collect(),
            resource_type: resource_type.trim_start_matches('/').to_owned(),
            resource_id,
            tolerated: Vec::new(),
            operation: None,
        }
    }

    async fn serve(self, cx: &Cx<ScimClient>, asked: &Asked, request: Request) -> Response {
        if cx.actor().federation.target == FederationTarget::Upstream {
            return Box::pin(gateway::serve(self, cx, asked, request)).await;
        }
        self.serve_here(cx, asked, request).await
    }

    /// What this server answers by itself.
    /// One resource is what is asked for most. The rest is boxed, so that the way of that one stays
    /// small: the future of a request is moved.
    async fn serve_here(self, cx: &Cx<ScimClient>, asked: &Asked, request: Request) -> Response {
        match self {
            Self::Base => Box::pin(search::list(cx, asked, None, request)).await,
            Self::Search(kind) => Box::pin(search::search(cx, asked, kind, request)).await,
            Self::Resources(kind) => Box::pin(resources::collection(cx, asked, kind, request)).await,
            Self::Resource(kind, id) => resources::single(cx, asked, kind, &id, request).await,
            Self::Bulk => Box::pin(bulk::serve(cx, asked, request)).await,
            Self::ServiceProviderConfig => {
                let features = features(cx, &request);
                let make = || Some(discovery::service_provider_config(&base(cx), &features));
                Box::pin(discovered(cx, asked, request, Some("ServiceProviderConfig"), make)).await
            }
            Self::Schemas(None) => {
                let make = || Some(discovery::schemas_of(cx.schemas(), &base(cx)));
                Box::pin(discovered(cx, asked, request, Some("Schemas"), make)).await
            }
            Self::Schemas(Some(urn)) => {
                let make = || discovery::schema_of(cx.schemas(), &base(cx), &urn);
                Box::pin(discovered(cx, asked, request, None, make)).await
            }
            Self::ResourceTypes(None) => {
                let make = || Some(discovery::resource_types_of(cx.schemas(), &base(cx)));
                Box::pin(discovered(cx, asked, request, Some("ResourceTypes"), make)).await
            }
            Self::ResourceTypes(Some(name)) => {
                let make = || discovery::resource_type_of(cx.schemas(), &base(cx), &name);
                Box::pin(discovered(cx, asked, request, None, make)).await
            }
            Self::NotOffered(name) => {
                refuse(cx, asked, ScimError::not_implemented(format!("{name} is not offered"))).await
            }
            Self::Unknown => refuse(cx, asked, ScimError::not_found("there is no such endpoint")).await,
        }
    }
}

/// What is offered, and nothing else (RFC 7643 5).
fn features(cx: &Cx<ScimClient>, request: &Request) -> scim::Features {
    let bulk = bulk::limits_of(request);
    let number = |number| u64::try_from(number).unwrap_or(u64::MAX);
    scim::Features {
        patch: true,
        bulk: Some(scim::Bulk {
            max_operations: number(bulk.max_operations),
            max_payload_size: number(bulk.max_payload_bytes),
        }),
        filter_max_results: scim::list::MAX_COUNT,
        sort: true,
        etag: cx.actor().federation.scim.etag,
        change_password: false,
        cursor: Some(scim::Cursor { timeout_seconds: CURSOR_TIMEOUT_MS.unsigned_abs() / 1_000 }),
        documentation_uri: None,
    }
}

/// The base URL of the client's federation.
fn base(cx: &Cx<ScimClient>) -> String {
    cx.keyward().base_url(&cx.actor().federation.slug)
}

/// A discovery document. Paging, sorting and attributes are ignored, a filter is refused
/// (RFC 7644 4). One with a name is made once, until the settings of the federation change.
async fn discovered(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    request: Request,
    name: Option<&'static str>,
    make: impl FnOnce() -> Option<serde_json::Value> + Send,
) -> Response {
    let (parts, _body) = request.into_parts();
    if parts.method != Method::GET {
        return not_allowed(cx, asked, "GET, HEAD").await;
    }
    let has_filter = parts.uri.query().is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("filter")))
    });
    if has_filter {
        return refuse(cx, asked, ScimError::forbidden("discovery takes no filter")).await;
    }
    let written = || make().map(|document| Bytes::from(document.to_string()));
    let document = match name {
        Some(name) => {
            let made = ready::document(cx, name, || {
                let text = written();
                let bytes = text.as_ref().map_or(0, Bytes::len);
                (text, bytes)
            });
            match made.await {
                Ok(document) => document.as_ref().clone(),
                Err(error) => return problem(&error),
            }
        }
        None => written(),
    };
    let Some(document) = document else {
        return refuse(cx, asked, ScimError::not_found("there is no such document")).await;
    };
    match cx.discovered(asked).await {
        Ok(()) => text(200, document),
        Err(error) => problem(&error),
    }
}

/// Refuses a method, and names those that there are (RFC 9110 15.5.6).
async fn not_allowed(cx: &Cx<ScimClient>, asked: &Asked, methods: &'static str) -> Response {
    let error = ScimError::new(405, format!("the methods of this endpoint are {methods}"));
    let mut response = refuse(cx, asked, error).await;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

/// Refuses a request of an accepted key, once that is recorded.
async fn refuse(cx: &Cx<ScimClient>, asked: &Asked, error: ScimError) -> Response {
    match cx.refused_at_edge(asked, error.status, &error.detail).await {
        Ok(()) => problem(&error.into()),
        Err(error) => problem(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_endpoints_with_and_without_a_slash_at_the_end() {
        assert_eq!(Endpoint::of("Users/"), Endpoint::Resources(ResourceType::User));
        assert_eq!(Endpoint::of("Groups/a"), Endpoint::Resource(ResourceType::Group, "a".to_owned()));
        assert_eq!(Endpoint::of("users"), Endpoint::Unknown);
        assert_eq!(Endpoint::of("Users/a/b"), Endpoint::Unknown);
        assert_eq!(Endpoint::of(""), Endpoint::Base);
        assert_eq!(Endpoint::of("/.search"), Endpoint::Search(None));
        assert_eq!(Endpoint::of("Groups/.search/"), Endpoint::Search(Some(ResourceType::Group)));
    }

    #[test]
    fn the_paths_name_every_endpoint_for_every_type() {
        // A new endpoint has to have its number here, and then its path.
        let number = |endpoint: &Endpoint| {
            let of = |kind: &ResourceType| match kind {
                ResourceType::User => 0,
                ResourceType::Group => 1,
            };
            match endpoint {
                Endpoint::Base => 0,
                Endpoint::Search(None) => 1,
                Endpoint::Search(Some(kind)) => 2 + of(kind),
                Endpoint::Resources(kind) => 4 + of(kind),
                Endpoint::Resource(kind, _) => 6 + of(kind),
                Endpoint::ServiceProviderConfig => 8,
                Endpoint::Schemas(None) => 9,
                Endpoint::Schemas(Some(_)) => 10,
                Endpoint::ResourceTypes(None) => 11,
                Endpoint::ResourceTypes(Some(_)) => 12,
                Endpoint::Bulk => 13,
                Endpoint::NotOffered(_) => 14,
                Endpoint::Unknown => 15,
            }
        };
        let numbers: Vec<usize> = PATHS.iter().map(|path| number(&Endpoint::of(path))).collect();
        assert_eq!(numbers, (0..PATHS.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_key_in_an_address_is_seen_and_a_cursor_is_not_taken_for_one() {
        let key = domain::keys::compose(&domain::KeyId::new(1_700_000_000_000, [3; 10]), &[9; 32]);
        let check = |address: String, expect| {
            assert_eq!(names_a_key(&address.parse().unwrap()), expect, "{address}");
        };
        for suspect in [key.expose(), "kwd_01", "%6bwd_01", "kwt%5f1"] {
            check(format!("/scim/a/v2/Users/{suspect}"), true);
            check(format!("/scim/a/v2/Users?count=1&key={suspect}"), true);
            check(format!("/scim/a/v2/Users?{suspect}"), true);
        }
        check(format!("/scim/a/v2/Users?cursor={}", key.expose()), true);
        check(format!("/scim/a/v2/Users?cursor=a{}b", key.expose().replace('_', "%5F")), true);
        for plain in
            ["/scim/a/v2/Users?cursor=aXkwd_9d-kwt_x&count=2", "/scim/a/v2/Users?count=1", "/scim/a/v2/Users"]
        {
            check(plain.to_owned(), false);
        }
    }

    #[test]
    fn only_one_bearer_token_counts() {
        let check = |values: &[&str], expect: Option<&str>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(bearer(&headers).as_deref(), expect, "{values:?}");
        };
        check(&["Bearer abc"], Some("abc"));
        check(&["bEARER  abc"], Some("abc"));
        check(&["Bearer a", "Bearer a"], None);
        check(&["Basic abc"], None);
        check(&["abc"], None);
        check(&[""], None);
        check(&[], None);
    }
}
