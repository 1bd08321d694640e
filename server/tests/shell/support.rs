//! A shell around a few routes, with a fixed clock and counted chance.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    routing::{get, post},
};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use ops::{
    RequestInfo,
    ports::{Clock, Entropy},
};
use server::{
    config::TrustedProxies,
    edge::{
        headers::{CspNonce, HeaderPolicy},
        limits::RequestLimits,
        origin::OwnOrigin,
        request::Requests,
        shell::Shell,
        throttle::Throttle,
    },
};
use tower::ServiceExt as _;

/// Names and values of headers.
pub type Lines = &'static [(&'static str, &'static str)];

pub const OWN: &str = "https://keyward.example.com";

/// It is always the same moment.
pub struct Still;

impl Clock for Still {
    fn now_ms(&self) -> i64 {
        1_800_000_000_000
    }

    fn monotonic_us(&self) -> i64 {
        0
    }
}

/// Each byte is the next number.
#[derive(Default)]
pub struct Counted(AtomicU8);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
    }
}

pub fn shell(proxies: &[&str]) -> Shell {
    let proxies = TrustedProxies::new(proxies.iter().map(|network| network.parse().unwrap()).collect());
    let entropy: Arc<dyn Entropy> = Arc::new(Counted::default());
    Shell {
        headers: HeaderPolicy::new(Arc::clone(&entropy), true),
        requests: Requests { clock: Arc::new(Still), entropy, proxies },
        limits: RequestLimits::new(1024),
        origin: OwnOrigin::new(OWN),
        throttle: Throttle::off(Arc::new(Still)),
    }
}

pub fn routes() -> Router {
    let source = async |Extension(request): Extension<RequestInfo>| {
        request.source.map_or_else(|| "nowhere".to_owned(), |source| source.to_string())
    };
    let user_agent =
        async |Extension(request): Extension<RequestInfo>| request.user_agent.unwrap_or_default();
    let echo = async |body: Bytes| body;
    let swallow = async |body: Body| match body.collect().await {
        Ok(_) => "all of it",
        Err(_) => "a part of it",
    };
    Router::new()
        .route("/source", get(source))
        .route("/user-agent", get(user_agent))
        .route("/id", get(async |Extension(request): Extension<RequestInfo>| request.id.to_string()))
        .route("/nonce", get(async |Extension(nonce): Extension<CspNonce>| nonce.0))
        .route("/kept", get(async || ([("cache-control", "public, max-age=60"), ("server", "axum")], "kept")))
        .route("/defect", get(defect))
        .route("/change", post(echo).get(async || "a form"))
        .route("/scim/okta/v2/Users", post(echo))
        .route("/swallow", post(swallow))
}

async fn defect() -> &'static str {
    panic!("a defect that must not be seen outside: s3cret")
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub async fn answer(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

pub async fn ask(router: &Router, request: Request<Body>) -> Answer {
    answer(router.clone().oneshot(request).await.unwrap()).await
}

pub fn get_request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

/// A change that was begun on a page of ours.
pub fn post_request(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("origin", OWN).body(body.into()).unwrap()
}
