//! Sign-in of administrators: OpenID Connect, authorization code with PKCE (RFC 9700 2.1).
//!
//! `/auth/start` sends the browser to the provider, `/auth/callback` takes the answer,
//! `POST /auth/sign-out` ends the session here and, where the provider can, there. A person is the
//! pair of issuer and subject; an e-mail address never decides anything. Whatever is not exactly as
//! it must be is refused: no session, an audit record with our own words, and a code for the page.
//!
//! To refuse something more, add it to [`token`] when it is about the token, else to
//! [`OidcEdge::finish`], with a test against the hostile provider in `tests/oidc`.

pub mod answer;
pub mod flow;
pub mod next;
pub mod provider;
mod redeem;
pub mod refusal;
pub mod roles;
pub mod settings;
mod sign_out;
pub mod token;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::{Millis, admins::Admin, audit::Action};
use openidconnect::{
    CsrfToken, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, Scope, core::CoreAuthenticationFlow,
};
use ops::{Keyward, Kind, RequestInfo, admins::SignIn, scim_client::check_refusals};
use serde_json::Value;
use tower_sessions::Session;

use self::{
    answer::Answer,
    flow::Flow,
    provider::Provider,
    refusal::{Code, NoRole, Refusal},
    settings::OidcSettings,
    token::{Claims, Expected},
};
use super::{
    session::{self, SessionPolicy},
    throttle::Throttle,
};
use crate::out::http::OidcHttp;

const NO_ROLE: &str = "no-role";

/// The edge where administrators sign in and out. Cheap to clone.
#[derive(Clone)]
pub struct OidcEdge(Arc<Inner>);

struct Inner {
    settings: OidcSettings,
    keyward: Arc<Keyward>,
    provider: Provider,
    policy: SessionPolicy,
}

/// How a callback ended without a sign-in.
enum End {
    Refused(Refusal),
    /// `ops` has written its record already.
    NoRole,
    Failed(StatusCode),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<tower_sessions::session::Error> for End {
    fn from(error: tower_sessions::session::Error) -> Self {
        tracing::error!(%error, "the session store does not answer");
        Self::Failed(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl From<ops::Error> for End {
    fn from(error: ops::Error) -> Self {
        tracing::error!(%error, "a sign-in cannot be recorded");
        Self::Failed(status(&error))
    }
}

impl OidcEdge {
    /// Makes the edge. Nothing is fetched until somebody signs in.
    ///
    /// # Errors
    /// When the issuer is not a URL.
    pub fn new(
        settings: OidcSettings,
        keyward: Arc<Keyward>,
        http: OidcHttp,
        policy: SessionPolicy,
    ) -> Result<Self, url::ParseError> {
        let provider = Provider::new(IssuerUrl::new(settings.issuer.clone())?, http);
        Ok(Self(Arc::new(Inner { settings, keyward, provider, policy })))
    }

    /// The routes. They need the layer of [`session::layer`] and a [`RequestInfo`] extension outside.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/auth/start", get(start))
            .route("/auth/callback", get(callback))
            .route("/auth/sign-out", post(sign_out::sign_out))
            .with_state(self.clone())
    }

    /// Whether the provider can be used now, for the sign-in page. Waits for two seconds at most; a
    /// question that takes longer goes on, so that its answer is there for who comes next.
    pub async fn provider_answers(&self, now_ms: Millis) -> bool {
        let edge = self.clone();
        let asked = tokio::spawn(async move { edge.0.provider.known(now_ms).await.is_ok() });
        matches!(tokio::time::timeout(Duration::from_secs(2), asked).await, Ok(Ok(true)))
    }

    /// The provider's name, for the sign-in page.
    pub fn provider_name(&self) -> &str {
        &self.0.settings.provider_name
    }

    fn random(&self) -> String {
        let mut bytes = [0; 32];
        self.0.keyward.entropy().fill(&mut bytes);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Begins a sign-in and says where to send the browser. `again` asks the provider to let the person prove anew
    /// who they are, whoever is signed in there.
    async fn begin(
        &self,
        session: &Session,
        now_ms: Millis,
        next: String,
        again: bool,
    ) -> Result<String, End> {
        let known = self.0.provider.known(now_ms).await?;
        let (state, nonce) = (CsrfToken::new(self.random()), Nonce::new(self.random()));
        let verifier = PkceCodeVerifier::new(self.random());
        let client = self.client(&known);
        let mut request = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, || state, || nonce)
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        for scope in self.0.settings.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        if again {
            // OIDC Core 3.1.2.1: the same as prompt=login, and the ID token then says when it was.
            request = request.set_max_age(Duration::ZERO);
        }
        let (url, state, nonce) = request.url();
        session.remove_value(NO_ROLE).await?;
        let flow = Flow {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier,
            issuer: self.0.settings.issuer.clone(),
            next,
            begun_ms: now_ms,
            again,
        };
        flow.begin(session).await?;
        Ok(url.into())
    }

    /// Takes the provider's answer and says where to send the browser, or why nobody is let in.
    async fn finish(&self, session: &Session, info: &RequestInfo, query: &str) -> Result<String, End> {
        let Inner { settings, provider, policy, .. } = &*self.0;
        let now_ms = info.arrived_ms;
        let answer = Answer::read(query)?;
        let flow = Flow::take(session, &answer.state)
            .await?
            .ok_or_else(|| Refusal::new(Code::State, "no sign-in with this state is open in this browser"))?;
        if flow.is_expired(now_ms) {
            return Err(Refusal::new(Code::Expired, "the sign-in took longer than ten minutes").into());
        }
        let known = provider.known(now_ms).await?;
        // RFC 9207 2.4, before anything else in the answer is believed.
        let from_issuer = match &answer.issuer {
            Some(issuer) => *issuer == settings.issuer,
            None => !known.sends_issuer(),
        };
        if !from_issuer || flow.issuer != settings.issuer {
            return Err(Refusal::new(
                Code::Issuer,
                "the answer does not come from the issuer that was asked",
            )
            .into());
        }
        let code = answer.outcome?;

        let expected = Expected {
            issuer: provider.issuer(),
            client_id: &settings.client_id,
            nonce: &flow.nonce,
            now_ms,
        };
        let (id_token, access_token) = self.redeem(&known, code, flow.verifier, &expected).await?;
        let raw = id_token.to_string();
        let mut claims = token::read(&raw, &expected)?;
        self.prove(&id_token, &access_token, &known, &expected).await?;
        let proven_ms = token::proven_ms(&claims, flow.again.then_some(flow.begun_ms), now_ms)?;
        self.complete(&known, &access_token, &mut claims).await?;

        let admin = self.admit(session, info, &claims).await?;
        let hint = known.end_session().is_some().then_some(raw);
        // Who came for no page in particular is brought to the one that is theirs.
        let next = if flow.next == "/" { next::home(&admin.role).to_owned() } else { flow.next };
        session::sign_in_proven(session, admin, hint, *policy, proven_ms, now_ms).await?;
        Ok(next)
    }

    /// Asks `ops` to let the person in, by the role that their claims give.
    async fn admit(&self, session: &Session, info: &RequestInfo, claims: &Claims) -> Result<Admin, End> {
        let Inner { settings, keyward, .. } = &*self.0;
        let claim_values = roles::values(claims, &settings.roles_claim).unwrap_or_default();
        let role = roles::role(&settings.roles, &claim_values);
        let text = |name: &str| claims.get(name).and_then(Value::as_str).and_then(clean);
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = text("name")
            .or_else(|| text("preferred_username"))
            .or_else(|| text("email"))
            .unwrap_or_else(|| subject.clone());
        let no_role = role.is_none().then(|| NoRole {
            name: name.clone(),
            claim: settings.roles_claim.clone(),
            received: claim_values.iter().filter_map(|value| clean(value)).take(20).collect(),
            expected: roles::expected(&settings.roles),
        });
        let sign_in = SignIn {
            issuer: settings.issuer.clone(),
            subject,
            name,
            email: text("email"),
            role,
            claim_values,
        };
        let cx = session::visitor_cx(Arc::clone(keyward), info.clone());
        match (ops::admins::sign_in(&cx, sign_in).await, no_role) {
            (Ok(admin), None) => Ok(admin),
            (Err(error), Some(no_role)) if error.kind() == Kind::Forbidden => {
                session::forget_admin(session).await?;
                session.insert(NO_ROLE, no_role).await?;
                Err(End::NoRole)
            }
            (Err(error), _) => Err(error.into()),
            (Ok(_), Some(_)) => {
                Err(ops::Error::Internal("somebody without a role was let in".to_owned()).into())
            }
        }
    }

    async fn refuse(&self, info: &RequestInfo, refusal: &Refusal, throttle: Option<&Throttle>) -> Response {
        let Refusal { code, reason } = refusal;
        if let Some(throttle) = throttle
            && let Err(error) =
                check_refusals(&self.0.keyward, info, throttle, Action::AdminSignInRefused).await
        {
            return too_many(&error);
        }
        tracing::info!(code = code.as_str(), reason, "a sign-in was refused");
        let cx = session::visitor_cx(Arc::clone(&self.0.keyward), info.clone());
        match ops::admins::refuse_sign_in(&cx, &format!("{}: {reason}", code.as_str())).await {
            Ok(()) => sign_in_page(*code),
            Err(error) => failure(status(&error)),
        }
    }
}

/// What the page must say to somebody who was known and has no role.
pub async fn no_role(session: &Session) -> Option<NoRole> {
    session.get(NO_ROLE).await.ok().flatten()
}

async fn start(
    State(edge): State<OidcEdge>,
    session: Session,
    Extension(info): Extension<RequestInfo>,
    throttle: Option<Extension<Throttle>>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let asked = |wanted: &str| {
        url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value)
    };
    let next = asked("next").map_or_else(|| "/".to_owned(), |path| next::local_path(&path));
    let again = asked("again").is_some();
    let begun = edge.begin(&session, info.arrived_ms, next, again).await;
    edge.answer(&info, begun, throttle.as_deref()).await
}

async fn callback(
    State(edge): State<OidcEdge>,
    session: Session,
    Extension(info): Extension<RequestInfo>,
    throttle: Option<Extension<Throttle>>,
    RawQuery(query): RawQuery,
) -> Response {
    let finished = edge.finish(&session, &info, &query.unwrap_or_default()).await;
    edge.answer(&info, finished, throttle.as_deref()).await
}

impl OidcEdge {
    async fn answer(
        &self,
        info: &RequestInfo,
        came_to: Result<String, End>,
        throttle: Option<&Throttle>,
    ) -> Response {
        match came_to {
            Ok(location) => see_other(&location),
            Err(End::Refused(refusal)) => self.refuse(info, &refusal, throttle).await,
            Err(End::NoRole) => sign_in_page(Code::NoRole),
            Err(End::Failed(status)) => failure(status),
        }
    }
}

/// A text of the provider as people may see it: at most 100 characters, no control characters and
/// nothing that turns the direction of writing; `None` when nothing is left.
fn clean(text: &str) -> Option<String> {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let kept: String = text.chars().filter(|c| !c.is_control() && !turns(*c)).take(100).collect();
    let kept = kept.trim();
    (!kept.is_empty()).then(|| kept.to_owned())
}

fn see_other(location: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::CACHE_CONTROL, "no-store"), (header::LOCATION, location)])
        .into_response()
}

fn sign_in_page(code: Code) -> Response {
    see_other(&format!("/sign-in?error={}", code.as_str()))
}

fn failure(status: StatusCode) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::RETRY_AFTER, "5")];
    (status, headers, "Signing in is not possible at the moment. Try again in a few seconds.\n")
        .into_response()
}

/// The answer to an address that was refused too often; or that this could not be recorded.
fn too_many(error: &ops::Error) -> Response {
    let ops::Error::Throttled { retry_after_s, .. } = error else { return failure(status(error)) };
    let headers =
        [(header::CACHE_CONTROL, "no-store".to_owned()), (header::RETRY_AFTER, retry_after_s.to_string())];
    let text = format!("Too many sign-ins from your address failed. Try again in {retry_after_s} seconds.\n");
    (StatusCode::TOO_MANY_REQUESTS, headers, text).into_response()
}

fn status(error: &ops::Error) -> StatusCode {
    match error.kind() {
        Kind::Unavailable | Kind::Throttled | Kind::Held => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Invalid
        | Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::Conflict
        | Kind::Stale
        | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
