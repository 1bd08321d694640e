//! What every request has: an id, a source, a span, a measure, and an answer whatever happens.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use domain::{
    RequestId,
    ids::IdChance,
    keys::begins_in,
    usage::{clean, clean_user_agent},
};
use futures::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::USER_AGENT};
use ops::{
    RequestInfo,
    ports::{Clock, Entropy},
};
use percent_encoding::percent_decode_str;
use tracing::Instrument as _;

use super::{accept::Peer, metrics::RouteClass};
use crate::config::TrustedProxies;

/// The header that carries the id of the request in every answer.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What the layer needs.
#[derive(Clone)]
pub struct Requests {
    /// The time of arrival.
    pub clock: Arc<dyn Clock>,
    /// The chance in ids.
    pub entropy: Arc<dyn Entropy>,
    /// Whose `X-Forwarded-For` is read.
    pub proxies: TrustedProxies,
}

/// A request that was let in.
pub(super) struct Begun {
    /// Who asks, and when.
    pub info: RequestInfo,
    class: RouteClass,
    span: tracing::Span,
}

impl Requests {
    /// Gives a request its [`RequestInfo`] and opens its span.
    pub(super) fn begin(&self, class: RouteClass, chance: IdChance, request: &Request) -> Begun {
        let arrived_us = self.clock.monotonic_us();
        let arrived_ms = self.clock.now_ms();
        let id = RequestId::new(arrived_ms, chance);
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
        let source = peer.map(|peer| source(peer, request.headers(), &self.proxies));
        let user_agent = request
            .headers()
            .get(USER_AGENT)
            .map(|agent| clean_user_agent(&String::from_utf8_lossy(agent.as_bytes())));
        // The query stays out: it may carry a code, a name, a search.
        let span = tracing::info_span!(
            "request",
            request_id = %id,
            method = short(request.method().as_str(), 20),
            path = shown(request.uri().path())
        );
        Begun { info: RequestInfo { id, source, user_agent, arrived_ms, arrived_us }, class, span }
    }

    /// Waits for the answer inside the span; a defect that stops it is answered 500.
    pub(super) async fn run(&self, begun: &Begun, answer: impl Future<Output = Response>) -> Response {
        let handled = AssertUnwindSafe(answer.instrument(begun.span.clone())).catch_unwind().await;
        handled.unwrap_or_else(|_| defect(&begun.info.id))
    }

    /// Counts and logs a request, and names it in its answer.
    pub(super) fn end(&self, begun: &Begun, response: &mut Response) {
        let Begun { info, class, span } = begun;
        if let Ok(value) = HeaderValue::from_str(info.id.as_str()) {
            response.headers_mut().insert(X_REQUEST_ID.clone(), value);
        }
        let elapsed_us = self.clock.monotonic_us().saturating_sub(info.arrived_us);
        let elapsed_us = u64::try_from(elapsed_us).unwrap_or(0);
        super::metrics::count_request(*class, response.status(), Duration::from_micros(elapsed_us));
        let status = response.status().as_u16();
        let source = info.source.map(tracing::field::display);
        span.in_scope(|| match class {
            // Probes come every few seconds and would bury the rest.
            RouteClass::Health | RouteClass::Asset => {
                tracing::debug!(status, elapsed_us, source, "answered");
            }
            RouteClass::Scim
            | RouteClass::Oauth
            | RouteClass::Leaks
            | RouteClass::Auth
            | RouteClass::Page => {
                tracing::info!(status, elapsed_us, source, "answered");
            }
        });
    }
}

/// A path as the log shows it: not long, and without a key, encoded or not.
fn shown(path: &str) -> String {
    // The rest of it is what opens a key.
    if path.starts_with("/hand-over/") {
        return "/hand-over/…".to_owned();
    }
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    if begins_in(&decoded) { clean(&decoded, 200) } else { short(path, 200).to_owned() }
}

/// The beginning of a text, at most `limit` bytes: a client does not decide how long our lines are.
fn short(text: &str, limit: usize) -> &str {
    text.get(..limit).unwrap_or(text)
}

/// The answer to a defect of ours: nothing but the id under which the log has the rest.
fn defect(id: &RequestId) -> Response {
    let text = format!("Keyward has a defect and could not answer. It is in the log as {id}.\n");
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

/// Where a request came from.
///
/// The peer, unless it is a trusted proxy; then the rightmost address of `X-Forwarded-For` that is
/// not a trusted proxy itself. What stands left of it was written by the client. `Forwarded` and
/// `X-Real-IP` are not read: two headers that may disagree are two truths. An entry that is not an
/// address makes the whole header worthless.
pub fn source(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> IpAddr {
    let peer = peer.to_canonical();
    if !proxies.trusts(peer) {
        return peer;
    }
    let mut hops = Vec::new();
    for value in headers.get_all(&X_FORWARDED_FOR) {
        let Ok(text) = value.to_str() else { return peer };
        hops.extend(text.split(',').map(str::trim));
    }
    let mut source = peer;
    for hop in hops.into_iter().rev() {
        let Some(address) = hop_address(hop) else { return peer };
        source = address;
        if !proxies.trusts(address) {
            break;
        }
    }
    source
}

/// An address, also with a port as some balancers write it. A zone (`fe80::1%eth0`) means
/// something on one machine only and is refused.
fn hop_address(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok().or_else(|| {
        let socket = text.parse::<std::net::SocketAddr>().ok()?;
        (!text.contains('%')).then_some(socket.ip())
    })?;
    Some(address.to_canonical())
}
