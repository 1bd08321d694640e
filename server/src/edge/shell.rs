//! What stands around every route, in its order.
//!
//! From outside: headers (every answer has them, whatever happens below), request (id, span,
//! measure, defects), limits, origin; then the router. A router that is served without the shell
//! has no protection, so there is one way to put it on.

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, middleware::from_fn_with_state};
use ops::ports::{Clock, Entropy};

use super::{
    headers::{self, HeaderPolicy},
    limits::{self, RequestLimits},
    origin::{self, OwnOrigin},
    request::{self, Requests},
};
use crate::config::{PublicUrl, TrustedProxies};

/// The parts of the shell.
#[derive(Clone)]
pub struct Shell {
    /// Headers of answers.
    pub headers: HeaderPolicy,
    /// Ids, sources, spans.
    pub requests: Requests,
    /// Sizes and times.
    pub limits: RequestLimits,
    /// Where changes may be begun.
    pub origin: OwnOrigin,
}

impl Shell {
    /// The shell of a server that is reached at `public_url`.
    pub fn new(
        public_url: &PublicUrl,
        proxies: TrustedProxies,
        body_bytes: usize,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            headers: HeaderPolicy::new(Arc::clone(&entropy), public_url.is_https()),
            requests: Requests { clock, entropy, proxies },
            limits: RequestLimits::new(body_bytes),
            origin: OwnOrigin::new(public_url.origin()),
        }
    }

    /// Puts the shell around a router.
    pub fn around(&self, router: Router) -> Router {
        router
            // The limit is ours, below; axum's own would cap it at 2 MB.
            .layer(DefaultBodyLimit::disable())
            .layer(from_fn_with_state(self.origin.clone(), origin::layer))
            .layer(from_fn_with_state(self.limits.clone(), limits::layer))
            .layer(from_fn_with_state(self.requests.clone(), request::layer))
            .layer(from_fn_with_state(self.headers.clone(), headers::layer))
    }
}
