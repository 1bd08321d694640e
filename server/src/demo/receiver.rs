//! A consumer of the demo that takes its keys by itself: a receiver of signed webhooks, as an agent
//! beside an identity provider would have one. It verifies who sends, keeps the key in memory, and
//! says the last four of what it holds.

use std::{net::SocketAddr, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{Secret, secret::SIGNING_PREFIX};
use ops::{Clock, Entropy};
use serde::Deserialize;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};
use zeroize::Zeroizing;

use crate::out::standard_webhooks;

/// How old a message may be, and how far ahead, in seconds.
const APART_S: i64 = 300;

/// The receiver, and where it listens.
pub struct Receiver {
    /// Where its webhook is.
    pub url: String,
    signing: Zeroizing<String>,
    keys: watch::Receiver<Option<Arc<Secret>>>,
}

struct Held {
    signing: Secret,
    clock: Arc<dyn Clock>,
    keys: watch::Sender<Option<Arc<Secret>>>,
}

#[derive(Deserialize)]
struct Message {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    secret: String,
}

impl Receiver {
    /// Listens on an address of this machine until `end` comes.
    ///
    /// # Errors
    /// The port cannot be had.
    pub async fn start(
        bind: SocketAddr,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<Self> {
        let mut chance = Zeroizing::new([0; 32]);
        entropy.fill(chance.as_mut());
        let signing =
            Zeroizing::new(format!("{SIGNING_PREFIX}{}", BASE64_STANDARD.encode(chance.as_slice())));
        let listener = TcpListener::bind(bind).await?;
        let url = format!("http://{}/keys", listener.local_addr()?);
        let (sender, keys) = watch::channel(None);
        let held = Held { signing: Secret::new(signing.to_string()), clock, keys: sender };
        let app = Router::new().route("/keys", get(show).post(take)).with_state(Arc::new(held));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(end).await {
                tracing::warn!(%error, "the receiver of the demo ended");
            }
        });
        Ok(Self { url, signing, keys })
    }

    /// The secret by which it knows who sends.
    pub fn signing(&self) -> Secret {
        Secret::new(self.signing.to_string())
    }

    /// The keys that arrive.
    pub fn keys(&self) -> watch::Receiver<Option<Arc<Secret>>> {
        self.keys.clone()
    }
}

/// Whether a message is from Keyward, and fresh.
fn is_signed(held: &Held, headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(at), Some(given)) =
        (text("webhook-id"), text("webhook-timestamp"), text("webhook-signature"))
    else {
        return false;
    };
    let Ok(at_s) = at.parse::<i64>() else { return false };
    if (held.clock.now_ms() / 1_000 - at_s).abs() > APART_S {
        return false;
    }
    let Ok([_, _, (_, expected)]) = standard_webhooks::headers(&held.signing, id, at_s, body) else {
        return false;
    };
    given.split(' ').any(|one| verify_slices_are_equal(one.as_bytes(), expected.as_bytes()).is_ok())
}

async fn take(State(held): State<Arc<Held>>, headers: HeaderMap, body: Bytes) -> Response {
    if !is_signed(&held, &headers, &body) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(message) = serde_json::from_slice::<Message>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    held.keys.send_replace(Some(Arc::new(Secret::new(message.data.secret))));
    StatusCode::NO_CONTENT.into_response()
}

async fn show(State(held): State<Arc<Held>>, headers: HeaderMap) -> Response {
    if !is_signed(&held, &headers, b"") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let last_four = held.keys.borrow().as_ref().map(|key| domain::keys::last_four(key)).unwrap_or_default();
    Json(json!({ "last_four": last_four })).into_response()
}
