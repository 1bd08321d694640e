//! Leak reports in: `POST /api/leaks`, in the shape of the secret scanning partner programme of GitHub, which
//! other scanners speak as well.
//!
//! A JSON array of `{token, type, url, source}` is answered by one of `{token_hash, token_type, label}`: the
//! label says whether the token was given out here. No cookie opens anything, the token is never logged, never
//! answered (its SHA-256 is) and kept nowhere. The whole token is its own proof; with a public key in the
//! configuration a report must also be signed (ECDSA P-256, SHA-256).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use domain::Millis;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ops::{
    Keyward, RequestInfo,
    compromise::leaks::{Found, leaked},
};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::accept::household;

/// Where reports are taken.
pub const PATH: &str = "/api/leaks";

/// The largest report.
const BODY_BYTES: usize = 256 * 1024;

/// The most tokens of a report.
const TOKENS: usize = 100;

/// Reports of one address (IPv6: one /64) in a minute.
const PER_MINUTE: u32 = 60;

/// Addresses that are told apart within a minute; more share one allowance.
const ADDRESSES: usize = 16_384;

/// How many reports are looked into at the same time.
const CONCURRENT: usize = 8;

/// The signature of a report, in base64.
const SIGNATURE: &str = "github-public-key-signature";

/// The public key that reports must be signed with.
#[derive(Debug, Clone)]
pub struct ReporterKey(Vec<u8>);

impl ReporterKey {
    /// Reads a public key on P-256 in PEM (`SubjectPublicKeyInfo`).
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(pem: &str) -> Result<Self, String> {
        let expected = || "a public key on P-256 in PEM, from BEGIN PUBLIC KEY to END PUBLIC KEY".to_owned();
        let inner = pem
            .trim()
            .strip_prefix("-----BEGIN PUBLIC KEY-----")
            .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"))
            .ok_or_else(expected)?;
        let text: String = inner.split_whitespace().collect();
        let der = BASE64.decode(text).map_err(|_| expected())?;
        // The algorithm identifier of a key on P-256 (RFC 5480) and an uncompressed point.
        let prefix: &[u8] = &[
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        match der.strip_prefix(prefix) {
            Some(point) if point.len() == 65 && point.first() == Some(&4) => Ok(Self(point.to_vec())),
            Some(_) | None => Err(expected()),
        }
    }

    fn verifies(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let mut values = headers.get_all(SIGNATURE).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let signature = value.to_str().ok().and_then(|text| BASE64.decode(text.trim()).ok());
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0);
        signature.is_some_and(|signature| key.verify(body, &signature).is_ok())
    }
}

struct Edge {
    keyward: Arc<Keyward>,
    key: Option<ReporterKey>,
    places: Semaphore,
    minute: Mutex<Minute>,
}

/// How many reports came in this minute, by address.
#[derive(Default)]
struct Minute {
    began_ms: Millis,
    counts: HashMap<Option<IpAddr>, u32>,
}

impl Edge {
    /// Whether one more report of an address is taken now.
    fn admits(&self, source: Option<IpAddr>) -> bool {
        let now_ms = self.keyward.clock().now_ms();
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if !(minute.began_ms..minute.began_ms + 60_000).contains(&now_ms) {
            *minute = Minute { began_ms: now_ms, counts: HashMap::new() };
        }
        let source = source.map(household);
        let is_known = minute.counts.contains_key(&source) || minute.counts.len() < ADDRESSES;
        let count = minute.counts.entry(source.filter(|_| is_known)).or_default();
        *count += 1;
        *count <= PER_MINUTE
    }
}

/// The route; with a key only signed reports are taken.
pub fn routes(keyward: Arc<Keyward>, key: Option<ReporterKey>) -> Router {
    let edge = Edge { keyward, key, places: Semaphore::new(CONCURRENT), minute: Mutex::default() };
    Router::new().route(PATH, post(report)).with_state(Arc::new(edge))
}

/// One find, as a scanner writes it; what else it writes is not read.
#[derive(Deserialize)]
struct Reported {
    token: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    source: String,
}

impl Drop for Reported {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.token);
    }
}

async fn report(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(info) = parts.extensions.get::<RequestInfo>() else {
        tracing::error!("the shell is missing around the route of leak reports");
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the report was not taken");
    };
    if !edge.admits(info.source) {
        return later(StatusCode::TOO_MANY_REQUESTS, "too many reports from this address", "60");
    }
    let Ok(_place) = edge.places.try_acquire() else {
        return later(StatusCode::SERVICE_UNAVAILABLE, "too many reports at once", "2");
    };
    let Ok(bytes) = to_bytes(body, BODY_BYTES).await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "a report has at most 256 KiB");
    };
    let bytes = zeroize::Zeroizing::new(bytes.to_vec());
    if edge.key.as_ref().is_some_and(|key| !key.verifies(&parts.headers, &bytes)) {
        return refusal(StatusCode::UNAUTHORIZED, "the report is not signed by the configured reporter");
    }
    // The text of the fault may repeat what was sent.
    let Ok(found) = serde_json::from_slice::<Vec<Reported>>(&bytes) else {
        return refusal(StatusCode::BAD_REQUEST, "an array of {token, type, url, source} was expected");
    };
    if found.len() > TOKENS {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "a report has at most 100 tokens");
    }
    let (mut labels, mut is_whole) = (Vec::new(), true);
    for one in &found {
        let text = Found { text: &one.token, url: &one.url, source: &one.source };
        let is_ours = match leaked(&edge.keyward, info, &text).await {
            Ok(is_ours) => is_ours,
            Err(error) => {
                // The others are looked into all the same: each of them may be somebody's key.
                tracing::error!(%error, "a leak report was not taken");
                is_whole = false;
                continue;
            }
        };
        labels.push(json!({
            "token_hash": BASE64.encode(Sha256::digest(one.token.as_bytes())),
            "token_type": domain::usage::clean(&one.kind, 100),
            "label": if is_ours { "true_positive" } else { "false_positive" },
        }));
    }
    if !is_whole {
        // Reported once more, those that were taken are counted, and the rest has its turn.
        return later(StatusCode::SERVICE_UNAVAILABLE, "the report was not taken as a whole", "5");
    }
    answer(StatusCode::OK, &serde_json::Value::Array(labels))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

fn refusal(status: StatusCode, message: &str) -> Response {
    answer(status, &json!({ "error": message }))
}

fn later(status: StatusCode, message: &str, seconds: &'static str) -> Response {
    let mut response = refusal(status, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    response
}
