//! Whether Keyward lives, and whether it should be sent requests.
//!
//! `/healthz`: the process answers. `/readyz`: it is not stopping, and the database answers; with `?verbose` as JSON, part by part.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::StatusCode;

/// How long the database may take to answer a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks whether the database answers; the error is a sentence
/// for operators, without addresses and passwords.
pub type Probe = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// Whether Keyward should be sent requests.
#[derive(Clone)]
pub struct Readiness {
    draining: Arc<AtomicBool>,
    probe: Probe,
}

impl Readiness {
    /// Ready when `probe` is.
    pub fn new(probe: Probe) -> Self {
        Self { draining: Arc::default(), probe }
    }

    /// Says from now on that no more requests should be sent: the first step of a stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether [`Readiness::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    async fn database(&self) -> Result<(), String> {
        match tokio::time::timeout(PROBE_TIMEOUT, (self.probe)()).await {
            Ok(result) => result,
            Err(_) => Err(format!("the database did not answer within {} s", PROBE_TIMEOUT.as_secs())),
        }
    }
}

/// The two routes.
pub fn routes<S: Clone + Send + Sync + 'static>(readiness: Readiness) -> Router<S> {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready)).with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>, RawQuery(query): RawQuery) -> Response {
    let draining = readiness.is_draining();
    let database = readiness.database().await;
    let is_ready = !draining && database.is_ok();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose =
        query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")));
    if verbose {
        let report = serde_json::json!({
            "ready": is_ready,
            "stopping": draining,
            "database": database.as_ref().map_or_else(String::as_str, |()| "ok"),
        });
        return (status, Json(report)).into_response();
    }
    let text = match (draining, &database) {
        (true, _) => "not ready: Keyward is stopping\n".to_owned(),
        (false, Err(reason)) => format!("not ready: {reason}\n"),
        (false, Ok(())) => "ready\n".to_owned(),
    };
    (status, text).into_response()
}
