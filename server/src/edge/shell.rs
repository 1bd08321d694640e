//! What stands around every route, in its order.
//!
//! From outside: headers (every answer has them, whatever happens below), request (id, span,
//! measure, defects), limits, origin, how often; then the router. A router that is served without the shell
//! has no protection, so there is one way to put it on.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    response::Response,
};
use domain::ids::IdChance;
use ops::ports::{Clock, Entropy};
use tower::{Service, ServiceExt as _};

use super::{
    headers::{HeaderPolicy, NonceChance},
    limits::RequestLimits,
    metrics::RouteClass,
    origin::{self, OwnOrigin},
    request::Requests,
    scim::Scim,
    throttle::{Rates, Throttle},
};
use crate::config::{Limits, PublicUrl, TrustedProxies};

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
    /// How often.
    pub throttle: Throttle,
}

impl Shell {
    /// The shell of a server that is reached at `public_url`.
    pub fn new(
        public_url: &PublicUrl,
        proxies: TrustedProxies,
        limits: &Limits,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            headers: HeaderPolicy::new(Arc::clone(&entropy), public_url.is_https()),
            throttle: Throttle::new(Arc::clone(&clock), Rates::from(limits)),
            requests: Requests { clock, entropy, proxies },
            limits: RequestLimits::new(limits.body_bytes),
            origin: OwnOrigin::new(public_url.origin()),
        }
    }

    /// Puts the shell around a router.
    pub fn around(&self, router: Router) -> Router {
        self.put_around(None, router)
    }

    /// Puts the shell around a router and the edge of SCIM. That edge is called by the shell itself:
    /// a router that finds one of three routes, boxes what it calls and looks for extensions costs as
    /// much as the answer.
    pub fn around_scim(&self, scim: Scim, router: Router) -> Router {
        self.put_around(Some(scim.within(self.limits.body_bytes())), router)
    }

    fn put_around(&self, scim: Option<Scim>, router: Router) -> Router {
        // The limit is ours, below; axum's own would cap it at 2 MB.
        let router = router.layer(DefaultBodyLimit::disable());
        Router::new().fallback_service(Inside(Arc::new(Parts { shell: self.clone(), scim, router })))
    }
}

/// What the shell stands around, and the shell.
struct Parts {
    shell: Shell,
    scim: Option<Scim>,
    router: Router,
}

impl Parts {
    async fn answer(&self, mut request: Request) -> Response {
        let Shell { headers, requests, limits, origin, throttle } = &self.shell;
        let class = RouteClass::of(request.uri().path());
        // The nonce and the id of the request by one question.
        let mut chance = [0; size_of::<NonceChance>() + size_of::<IdChance>()];
        requests.entropy.fill(&mut chance);
        let (nonce, id) = split(chance);
        let (nonce, policy) = HeaderPolicy::nonce(nonce);
        let begun = requests.begin(class, id, &request);
        // Pinned where it stands: moving it would copy the whole way of a request.
        let answered = pin!(async {
            let scim = self.scim.as_ref().filter(|_| class == RouteClass::Scim);
            if scim.is_none() {
                let extensions = request.extensions_mut();
                extensions.insert(nonce);
                extensions.insert(begun.info.clone());
                extensions.insert(throttle.clone());
            }
            let (admitted, request) = match limits.admit(class, request) {
                Ok(admitted) => admitted,
                Err(refused) => return *refused,
            };
            let response = match (origin::refuse(origin, &request), scim) {
                (Some(refused), _) => refused,
                (None, Some(scim)) => scim.answer(&begun.info, throttle, request).await,
                (None, None) => match Box::pin(self.router.clone().oneshot(request)).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
            };
            admitted.answer(response)
        });
        let mut response = requests.run(&begun, answered).await;
        requests.end(&begun, &mut response);
        headers.set(policy, &mut response);
        response
    }
}

fn split<const N: usize>(chance: [u8; N]) -> (NonceChance, IdChance) {
    let (mut nonce, mut id) = (NonceChance::default(), IdChance::default());
    let bytes = nonce.iter_mut().chain(&mut id);
    for (byte, value) in bytes.zip(chance) {
        *byte = value;
    }
    (nonce, id)
}

/// Cheap to clone, as a service has to be.
#[derive(Clone)]
struct Inside(Arc<Parts>);

impl Service<Request> for Inside {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let parts = Arc::clone(&self.0);
        Box::pin(async move { Ok(parts.answer(request).await) })
    }
}
