//! Figures for Prometheus, on an address of their own.
//!
//! Labels have few values: a class of route and a class of status, never a path, a name or an id.
//! To add a figure, name it `keyward_…` with its unit, and describe it in [`Metrics::install`].

use std::time::Duration;

use axum::{Router, extract::State, routing::get};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

use super::{
    accept::{AcceptLimits, Stop, serve_on},
    headers::HeaderPolicy,
};

const REQUESTS: &str = "keyward_requests_total";
const REQUEST_SECONDS: &str = "keyward_request_seconds";

/// From half a millisecond to ten seconds.
const BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The kinds of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteClass {
    /// Identity providers.
    Scim,
    /// Tokens for identity providers.
    Oauth,
    /// Leak reports of scanners.
    Leaks,
    /// Sign-in and sign-out.
    Auth,
    /// Files with a hash in their address, icons.
    Asset,
    /// Probes.
    Health,
    /// Pages and their forms.
    Page,
}

impl RouteClass {
    /// The class of a path.
    pub fn of(path: &str) -> Self {
        match path {
            "/healthz" | "/readyz" => Self::Health,
            "/favicon.svg" | "/robots.txt" => Self::Asset,
            "/scim" => Self::Scim,
            _ if path.starts_with("/scim/") => Self::Scim,
            super::oauth::METADATA_PATH => Self::Oauth,
            _ if path.starts_with("/oauth2/") => Self::Oauth,
            super::leaks::PATH => Self::Leaks,
            _ if path.starts_with("/auth/") => Self::Auth,
            _ if path.starts_with("/pkg/") => Self::Asset,
            _ => Self::Page,
        }
    }

    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scim => "scim",
            Self::Oauth => "oauth",
            Self::Leaks => "leaks",
            Self::Auth => "auth",
            Self::Asset => "asset",
            Self::Health => "health",
            Self::Page => "page",
        }
    }
}

/// Counts one answered request.
pub fn count_request(class: RouteClass, status: StatusCode, elapsed: Duration) {
    let status = match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    metrics::counter!(REQUESTS, "route" => class.as_str(), "status" => status).increment(1);
    metrics::histogram!(REQUEST_SECONDS, "route" => class.as_str()).record(elapsed.as_secs_f64());
}

/// The figures of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Begins to count; once for each process.
    ///
    /// # Errors
    /// Somebody else counts already.
    pub fn install() -> Result<Self, String> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(REQUEST_SECONDS.to_owned()), BUCKETS)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|error| format!("metrics cannot be counted: {error}"))?;
        metrics::describe_counter!(REQUESTS, "Requests answered, by class of route and of status");
        metrics::describe_histogram!(REQUEST_SECONDS, metrics::Unit::Seconds, "Time from request to answer");
        metrics::describe_counter!(
            super::throttle::THROTTLED,
            "Requests that came too soon, by limit: of a key, or refused ones of an address"
        );
        metrics::describe_counter!(
            "keyward_connections_refused_total",
            "Connections over a limit, turned away"
        );
        Ok(Self(handle))
    }

    /// The figures in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Tidies up what was recorded since; to be called every few seconds, or memory grows with
    /// each request when nobody scrapes.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// `/metrics`, and the headers of every answer.
pub fn router(metrics: Metrics, headers: HeaderPolicy) -> Router {
    Router::new()
        .route("/metrics", get(render))
        .with_state(metrics)
        .layer(axum::middleware::from_fn_with_state(headers, super::headers::layer))
}

async fn render(State(metrics): State<Metrics>) -> ([(http::HeaderName, HeaderValue); 1], String) {
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, text)], metrics.render())
}

/// Serves the figures on an address of their own until `stop`, and tidies up.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    headers: HeaderPolicy,
    limits: AcceptLimits,
    stop: Stop,
) {
    let server = serve_on(listener, router(metrics, headers), limits, stop);
    server.await;
}

/// Tidies up every five seconds until `stop`.
pub async fn upkeep(metrics: Metrics, mut stop: Stop) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            () = stop.wait() => return,
            _ = ticks.tick() => metrics.upkeep(),
        }
    }
}
