//! Answers in SCIM JSON.

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use ops::{
    Cx, Error, ScimClient,
    listing::{Found, Made},
    scim_client::status_of,
};
use scim::{ScimError, Selection};
use serde_json::Value;

use super::base;

/// The media type of every answer (RFC 7644 8.1).
const SCIM_JSON: HeaderValue = HeaderValue::from_static("application/scim+json; charset=utf-8");

/// An answer with a body.
pub(super) fn json(status: u16, body: &Value) -> Response {
    text(status, body.to_string())
}

/// An answer with a body that is JSON already.
pub(super) fn text(status: u16, body: impl Into<Body>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body.into()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, SCIM_JSON);
    response
}

/// An answer with a resource: its ETag and its location beside it (RFC 7644 3.1, 3.14).
pub(super) fn resource(status: u16, body: &Value, version: i64, location: &str) -> Response {
    let mut response = json(status, body);
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&scim::etag(version)) {
        headers.insert(header::ETAG, etag);
    }
    if let Ok(location) = HeaderValue::from_str(location) {
        let name = if status == 201 { header::LOCATION } else { header::CONTENT_LOCATION };
        headers.insert(name, location);
    }
    response
}

/// An answer with a resource that is made once and given many times.
pub(super) struct Ready {
    body: Bytes,
    /// The version that it shows.
    pub(super) version: i64,
    members: usize,
    etag: Option<HeaderValue>,
    location: Option<HeaderValue>,
}

impl Ready {
    /// Makes it of a resource with all that is shown by default, and says what it weighs.
    pub(super) fn of(cx: &Cx<ScimClient>, found: &Found) -> (Self, usize) {
        let base = base(cx);
        let (version, location) = (found.version(), found.location(&base));
        let body = found.render(cx.schemas().of(found.kind()), &base, &Selection::Default);
        let body = cx.readable(found.kind(), body);
        let body = Bytes::from(body.to_string());
        let bytes = body.len() + location.len() + 200;
        let etag = HeaderValue::from_str(&scim::etag(version)).ok();
        let location = HeaderValue::from_str(&location).ok();
        (Self { body, version, members: found.members(), etag, location }, bytes)
    }

    /// The resource as JSON.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// 200 with it.
    pub(super) fn answer(&self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        let headers = response.headers_mut();
        // Room for those of the shell as well: growing moves them all.
        headers.reserve(16);
        headers.insert(header::CONTENT_TYPE, SCIM_JSON);
        for (name, value) in [(header::ETAG, &self.etag), (header::CONTENT_LOCATION, &self.location)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        response
    }
}

impl Made for Ready {
    fn version(&self) -> i64 {
        self.version
    }

    fn members(&self) -> usize {
        self.members
    }
}

/// 204, or 304 with the ETag that it is about.
pub(super) fn empty(status: StatusCode, version: Option<i64>) -> Response {
    let mut response = (status, Body::empty()).into_response();
    if let Some(etag) = version.and_then(|version| HeaderValue::from_str(&scim::etag(version)).ok()) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// A failure, as RFC 7644 3.12 words it. A failure of ours is logged here, once, and says nothing
/// outside.
pub(super) fn problem(error: &Error) -> Response {
    let mut response = json(status_of(error), &told(error).to_json());
    let headers = response.headers_mut();
    match error {
        // RFC 6750 3: no error code when nothing was said about the token.
        Error::Unauthenticated(_) => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"SCIM\""));
        }
        Error::Held { retry_after_s, .. }
        | Error::Throttled { retry_after_s, .. }
        | Error::Upstream { retry_after_s, .. } => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_s));
        }
        Error::Unavailable(_) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        Error::Scim(_)
        | Error::Internal(_)
        | Error::NotFound(_)
        | Error::Invalid(_)
        | Error::Forbidden(_)
        | Error::Protected(_)
        | Error::Conflict(_)
        | Error::Stale(_) => {}
    }
    response
}

/// What is told of a failure.
pub(super) fn told(error: &Error) -> ScimError {
    match error {
        Error::Scim(error) => error.clone(),
        Error::Unavailable(source) => {
            tracing::error!(error = %source, "a SCIM request was not served");
            ScimError::new(503, "the service is not available at the moment; come back soon")
        }
        Error::Internal(text) => {
            tracing::error!(error = %text, "a SCIM request failed");
            ScimError::new(500, "internal error; the request id names it in the log")
        }
        Error::NotFound(_) => ScimError::not_found("there is no such resource"),
        Error::Invalid(_)
        | Error::Unauthenticated(_)
        | Error::Forbidden(_)
        | Error::Protected(_)
        | Error::Conflict(_)
        | Error::Stale(_)
        | Error::Throttled { .. }
        | Error::Upstream { .. }
        | Error::Held { .. } => ScimError::new(status_of(error), error.to_string()),
    }
}
