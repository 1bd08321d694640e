//! OAuth 2.0 in: `POST /oauth2/token` (RFC 6749 3.2, 4.4) and the metadata (RFC 8414).
//!
//! A form is read in [`form`], decided by `ops::oauth::grant`, and answered by the one table of
//! this file. Nothing in an answer tells an unknown client from a wrong proof; what was wrong is in
//! the audit log. No cookie opens anything here, and no page of another origin can read an answer.

pub mod form;

use std::sync::Arc;

use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use http::{HeaderValue, Method, StatusCode, header};
use ops::{
    Keyward, Kind, RequestInfo,
    oauth::{self, ClientKeys, GrantError, TOKEN_PATH},
    ports::FetchJwks,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::form::Fault;
use super::throttle::Throttle;

/// Where the metadata is (RFC 8414 3).
pub const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

/// The largest form: an assertion of 16 KiB, and room.
const FORM_BYTES: usize = 32 * 1024;

/// How many requests are decided at the same time. One may wait for the keys of its client, and
/// those who are not proven must not keep others from the rest of Keyward by it.
const CONCURRENT: usize = 64;

struct Edge {
    keyward: Arc<Keyward>,
    keys: ClientKeys,
    places: Semaphore,
}

/// The routes; `source` fetches the keys of clients.
pub fn routes(keyward: Arc<Keyward>, source: Arc<dyn FetchJwks>) -> Router {
    let edge = Edge { keyward, keys: ClientKeys::new(source), places: Semaphore::new(CONCURRENT) };
    Router::new().route(TOKEN_PATH, any(token)).route(METADATA_PATH, get(metadata)).with_state(Arc::new(edge))
}

async fn metadata(State(edge): State<Arc<Edge>>) -> Response {
    let mut response = json_answer(StatusCode::OK, &oauth::metadata(&edge.keyward));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

async fn token(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    match serve(&edge, request).await {
        Ok(granted) => {
            let body = json!({
                "access_token": granted.token.expose(),
                "token_type": "Bearer",
                "expires_in": granted.expires_in_s,
                "scope": granted.scope.to_string(),
            });
            json_answer(StatusCode::OK, &body)
        }
        Err(refusal) => refusal.answer(),
    }
}

async fn serve(edge: &Edge, request: Request) -> Result<oauth::Granted, Refusal> {
    let (parts, body) = request.into_parts();
    let extensions = &parts.extensions;
    let (Some(info), Some(throttle)) = (extensions.get::<RequestInfo>(), extensions.get::<Throttle>()) else {
        let error = ops::Error::Internal("the shell is missing around this route".to_owned());
        return Err(Refusal::Grant(error.into()));
    };
    if parts.method != Method::POST {
        return Err(Refusal::Method);
    }
    // RFC 6749 2.3.1: addresses end up in logs and histories.
    if parts.uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(Fault::Request("parameters are sent in the body, never in the address").into());
    }
    form::check_media_type(&parts.headers)?;
    let bytes = to_bytes(body, FORM_BYTES).await.map_err(|_| Refusal::TooLarge)?;
    let asked = match form::read(&parts.headers, &bytes) {
        Ok(asked) => asked,
        Err(Fault::Client) => return Err(oauth::unproven(&edge.keyward, info, throttle).await.into()),
        Err(fault) => return Err(fault.into()),
    };
    let _place = edge.places.try_acquire().map_err(|_| Refusal::Busy)?;
    Ok(oauth::grant(&edge.keyward, &edge.keys, info, throttle, &asked).await?)
}

/// Why there is no token.
#[derive(Debug)]
enum Refusal {
    Form(Fault),
    Grant(GrantError),
    Method,
    TooLarge,
    Busy,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Form(fault)
    }
}

impl From<GrantError> for Refusal {
    fn from(error: GrantError) -> Self {
        Self::Grant(error)
    }
}

impl Refusal {
    /// The one table of failures of this edge (RFC 6749 5.2).
    fn answer(&self) -> Response {
        let client = GrantError::InvalidClient.to_string();
        let (status, error, description, retry_after_s) = match self {
            Self::Method => {
                let text = "the method of this endpoint is POST".to_owned();
                let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", &text);
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
                return response;
            }
            Self::TooLarge => {
                let text = format!("the form is larger than {FORM_BYTES} bytes, or not whole");
                (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", text, None)
            }
            Self::Busy => {
                let text = "too many requests at once; try again".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", text, Some(2))
            }
            Self::Form(Fault::Request(text)) => {
                (StatusCode::BAD_REQUEST, "invalid_request", (*text).to_owned(), None)
            }
            Self::Form(Fault::GrantType) => {
                let text = "the grant type is client_credentials".to_owned();
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", text, None)
            }
            Self::Form(Fault::Client) => (StatusCode::UNAUTHORIZED, "invalid_client", client, None),
            Self::Grant(error) => match error {
                GrantError::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client", client, None),
                GrantError::InvalidScope => {
                    (StatusCode::BAD_REQUEST, "invalid_scope", error.to_string(), None)
                }
                GrantError::UnauthorizedClient => {
                    (StatusCode::BAD_REQUEST, "unauthorized_client", error.to_string(), None)
                }
                GrantError::Held { retry_after_s } => {
                    let retry = Some(*retry_after_s);
                    (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", error.to_string(), retry)
                }
                GrantError::Failed(error) => failed(error),
            },
        };
        let mut response = refusal(status, error, &description);
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 15.5.2: whatever the client tried, a 401 names a way.
            let basic = HeaderValue::from_static("Basic realm=\"OAuth\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, basic);
        }
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

type Row = (StatusCode, &'static str, String, Option<u32>);

fn failed(error: &ops::Error) -> Row {
    if let ops::Error::Throttled { message, retry_after_s } = error {
        let retry = Some(*retry_after_s);
        return (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", message.clone(), retry);
    }
    match error.kind() {
        Kind::Unavailable | Kind::Stale | Kind::Held | Kind::Throttled => {
            tracing::error!(?error, "a token was not given");
            let text = "the database does not answer; try again in a moment".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", text, Some(5))
        }
        Kind::Invalid
        | Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::Conflict
        | Kind::Internal => {
            tracing::error!(?error, "a token was not given");
            let text = "something failed here; the log of the server has it".to_owned();
            (StatusCode::INTERNAL_SERVER_ERROR, "server_error", text, None)
        }
    }
}

fn refusal(status: StatusCode, error: &str, description: &str) -> Response {
    json_answer(status, &json!({ "error": error, "error_description": description }))
}

/// JSON that no cache keeps (RFC 6749 5.1).
fn json_answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ];
    (status, headers, body.to_string()).into_response()
}
