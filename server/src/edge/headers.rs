//! Headers that every answer carries, errors too: what a browser may do with it, and who may keep it.
//!
//! The nonce of the content security policy is made here, for each request, from the entropy port,
//! and travels as [`CspNonce`] among the request's extensions. Leptos marks its inline scripts with
//! the `leptos::nonce::Nonce` of its context; `leptos_axum` puts a nonce of its own there, and then
//! runs the `additional_context` of the handler. So that both are the same one, the page handler
//! calls [`provide_nonce`] in its `additional_context`. Nothing has to be written after rendering.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use base64::Engine as _;
use http::{
    HeaderName, HeaderValue,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, SERVER, STRICT_TRANSPORT_SECURITY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use ops::ports::Entropy;

/// The nonce of one answer: 128 bits in URL-safe base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CspNonce(pub String);

/// Lets Leptos mark its inline scripts with the nonce that the header names. To be called in the
/// `additional_context` of every handler that renders a page.
pub fn provide_nonce() {
    use leptos::prelude::{provide_context, use_context};
    let parts = use_context::<http::request::Parts>();
    if let Some(CspNonce(nonce)) = parts.and_then(|parts| parts.extensions.get::<CspNonce>().cloned()) {
        provide_context(leptos::nonce::Nonce::from_value(nonce));
    }
}

/// What the headers say.
#[derive(Clone)]
pub struct HeaderPolicy {
    entropy: Arc<dyn Entropy>,
    https: bool,
}

impl HeaderPolicy {
    /// `https`: whether the public address is https, so that browsers are told to stay there.
    pub fn new(entropy: Arc<dyn Entropy>, https: bool) -> Self {
        Self { entropy, https }
    }
}

/// What stands before and after the nonce.
const POLICY: [&str; 2] = [
    "default-src 'none'; script-src 'self' 'nonce-",
    "' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; \
     form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
];

/// Random bytes of one nonce.
pub(super) type NonceChance = [u8; 16];

impl HeaderPolicy {
    /// Makes a nonce, and the policy that names it.
    pub(super) fn nonce(chance: NonceChance) -> (CspNonce, Option<HeaderValue>) {
        let nonce = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(chance);
        let [before, after] = POLICY;
        let mut policy = String::with_capacity(before.len() + nonce.len() + after.len());
        policy.push_str(before);
        policy.push_str(&nonce);
        policy.push_str(after);
        (CspNonce(nonce), HeaderValue::try_from(policy).ok())
    }

    /// Sets the headers of an answer.
    pub(super) fn set(&self, policy: Option<HeaderValue>, response: &mut Response) {
        let headers = response.headers_mut();
        headers.reserve(10);
        if let Some(policy) = policy {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        for (name, value) in FIXED {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if self.https {
            let year = HeaderValue::from_static("max-age=31536000; includeSubDomains");
            headers.insert(STRICT_TRANSPORT_SECURITY, year);
        }
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        headers.remove(SERVER);
    }
}

/// Sets the headers of every answer, and the nonce of its request, where there is no shell.
pub async fn layer(State(policy): State<HeaderPolicy>, mut request: Request, next: Next) -> Response {
    let mut chance = NonceChance::default();
    policy.entropy.fill(&mut chance);
    let (nonce, csp) = HeaderPolicy::nonce(chance);
    request.extensions_mut().insert(nonce);
    let mut response = next.run(request).await;
    policy.set(csp, &mut response);
    response
}

const FIXED: [(&str, &str); 3] = [
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), display-capture=(), geolocation=(), hid=(), microphone=(), midi=(), payment=(), \
         publickey-credentials-get=(), serial=(), usb=(), clipboard-read=(), clipboard-write=(self)",
    ),
];

/// The value that lets everybody keep an answer for ever: its address changes with its content.
pub const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
