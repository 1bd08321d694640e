//! The dashboard out: finished HTML, and the server functions of its islands.

use std::sync::Arc;

use app::ssr::ProvenAt;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use base64::Engine as _;
use domain::admins::Admin;
use leptos::prelude::{LeptosOptions, provide_context, use_context};
use ops::{Cx, Keyward};
use tower_sessions::Session;

use super::{api_usage, assets, export, forms, headers, live, oidc, session};

/// What every page needs.
#[derive(Clone)]
pub struct Pages {
    keyward: Arc<Keyward>,
    options: LeptosOptions,
    bundle: String,
    oidc: oidc::OidcEdge,
}

impl Pages {
    /// Pages of an installation, with the edge where people sign in.
    pub fn new(keyward: Arc<Keyward>, oidc: oidc::OidcEdge) -> Self {
        // Leptos renders on the runtime that it is told of; a second time is told it is known.
        let _ = any_spawner::Executor::init_tokio();
        let bundle = assets::bundle_hash();
        let options =
            LeptosOptions::builder().output_name("keyward").site_pkg_dir(format!("pkg/{bundle}")).build();
        Self { keyward, options, bundle, oidc }
    }

    /// The installation.
    pub(super) fn keyward(&self) -> Arc<Keyward> {
        Arc::clone(&self.keyward)
    }

    /// The routes. They need the layer of [`session::layer`] outside.
    pub fn routes(self) -> Router {
        let guard = from_fn_with_state(Arc::clone(&self.keyward), session::require_admin);
        let guarded = Self::guarded().fallback(page).layer(guard);
        Router::new()
            .route("/sign-in", get(sign_in))
            .fallback_service(guarded.with_state(self.clone()))
            .with_state(self)
    }

    /// The routes for people who are signed in, before the guard is around them. What is not among them is a page.
    pub fn guarded() -> Router<Self> {
        Router::new()
            .merge(forms::routes())
            .merge(api_usage::routes())
            .merge(export::routes())
            .merge(live::routes())
            .route("/api/{*path}", any(server_function))
    }

    /// Renders the page that a request names. `more` adds to the context: a form that was refused,
    /// a key that is shown once.
    pub async fn render(
        &self,
        request: Request,
        more: impl Fn() + Clone + Send + Sync + 'static,
    ) -> Response {
        self.render_with(request, None, more).await
    }

    async fn render_with(
        &self,
        request: Request,
        signed_out_error: Option<String>,
        more: impl Fn() + Clone + Send + Sync + 'static,
    ) -> Response {
        let mut token = [0; 18];
        self.keyward.entropy().fill(&mut token);
        let context = app::ssr::PageContext {
            token: base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token),
            bundle: self.bundle.clone(),
            version: env!("CARGO_PKG_VERSION"),
            provider_name: self.oidc.provider_name().to_owned(),
            signed_out_error,
        };
        let options = self.options.clone();
        let render = leptos_axum::render_app_async_with_context(
            move || {
                provide_page(context.clone());
                more();
            },
            move || app::shell(options.clone()),
        );
        render(request).await
    }
}

/// Provides what a page and a server function find in their context.
fn provide_page(context: app::ssr::PageContext) {
    headers::provide_nonce();
    provide_context(context);
    provide_admin();
}

fn provide_admin() {
    let Some(parts) = use_context::<http::request::Parts>() else { return };
    if let Some(cx) = parts.extensions.get::<Cx<Admin>>().cloned() {
        provide_context(cx);
    }
    if let Some(proven) = parts.extensions.get::<ProvenAt>().copied() {
        provide_context(proven);
    }
}

pub(super) async fn page(State(pages): State<Pages>, request: Request) -> Response {
    pages.render(request, || {}).await
}

async fn sign_in(State(pages): State<Pages>, session: Session, mut request: Request) -> Response {
    // Somebody who has not tried yet learns here, not after a click, that trying is in vain.
    let has_tried = request.uri().query().is_some_and(|query| query.contains("error="));
    if !has_tried && !pages.oidc.provider_answers(pages.keyward.clock().now_ms()).await {
        let query = request.uri().query().map(|query| format!("{query}&")).unwrap_or_default();
        if let Ok(uri) = format!("/sign-in?{query}error=provider-unreachable").parse() {
            *request.uri_mut() = uri;
        }
    }
    let told = oidc::no_role(&session).await.map(|told| {
        let received = if told.received.is_empty() { "nothing".to_owned() } else { told.received.join(", ") };
        let oidc::refusal::NoRole { name, claim, expected, .. } = told;
        format!("{name} has {received} in the claim {claim}; one of {} was expected", expected.join(", "))
    });
    pages.render_with(request, told, || {}).await
}

async fn server_function(mut request: Request<Body>) -> Response {
    // To somebody who asks for HTML, Leptos would answer with a redirect to wherever they came from.
    request.headers_mut().remove(http::header::REFERER);
    leptos_axum::handle_server_fns_with_context(provide_admin, request).await.into_response()
}
