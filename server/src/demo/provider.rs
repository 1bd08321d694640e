//! The identity provider of the demo: whoever clicks a name is that person.
//!
//! It speaks real OpenID Connect (code, PKCE, `EdDSA`, `iss` in the answer, RP-initiated logout)
//! with a key made at start, and it asks for no password, so it is only ever on loopback: anything
//! else is refused before a port is opened.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Form, Query, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Millis, federations::Slug};
use openidconnect::{
    AdditionalClaims, Audience, AuthUrl, EndUserEmail, EndUserName, IdToken, IdTokenClaims, IssuerUrl,
    JsonWebKeyId, JsonWebKeySetUrl, LocalizedClaim, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    PrivateSigningKey, ResponseTypes, StandardClaims, SubjectIdentifier, TokenUrl,
    core::{
        CoreClientAuthMethod, CoreEdDsaPrivateSigningKey, CoreGenderClaim, CoreJsonWebKeySet,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use ops::{Clock, Entropy};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{net::TcpListener, sync::Mutex};
use url::Url;

use super::people::{ADMINS, MANAGERS, OKTA_OPERATORS, SIGN_INS, SignInPerson};
use crate::edge::oidc::{
    provider::{Beside, Metadata},
    settings::{OidcSettings, RoleMap},
};

const CLIENT_ID: &str = "keyward-demo";
const CODE_LASTS_MS: Millis = 60_000;
const MOST_CODES: usize = 1_000;

/// Why the demo's identity provider does not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoProviderError {
    /// Somebody wants to show it to others.
    #[error("the demo identity provider signs in anybody, so it is only on loopback, not on {0}")]
    NotLoopback(SocketAddr),
    /// The port cannot be had.
    #[error("the demo identity provider cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The key cannot be made, or an address not be read.
    #[error("the demo identity provider cannot be set up: {0}")]
    Setup(String),
}

/// A running demo provider.
pub struct DemoProvider {
    issuer: Url,
    client: Client,
}

/// Where Keyward is, as the provider knows it.
#[derive(Clone)]
struct Client {
    redirect_uri: Url,
    post_logout_redirect: Url,
}

struct Inner {
    issuer: IssuerUrl,
    client: Client,
    key: CoreEdDsaPrivateSigningKey,
    codes: Mutex<HashMap<String, Grant>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

struct Grant {
    person: &'static SignInPerson,
    nonce: Option<String>,
    challenge: String,
    ends_ms: Millis,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Groups {
    groups: Vec<String>,
}

impl AdditionalClaims for Groups {}

type GroupsIdToken =
    IdToken<Groups, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

impl DemoProvider {
    /// Starts the provider for the Keyward at `public_url`; it runs until `stop` is done.
    ///
    /// # Errors
    /// [`DemoProviderError`]; anything but a loopback address is refused.
    pub async fn start(
        bind: SocketAddr,
        public_url: &Url,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, DemoProviderError> {
        if !bind.ip().is_loopback() {
            return Err(DemoProviderError::NotLoopback(bind));
        }
        let setup = |error: &dyn std::fmt::Display| DemoProviderError::Setup(error.to_string());
        let listen = |error| DemoProviderError::Listen(bind, error);
        let listener = TcpListener::bind(bind).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let issuer = Url::parse(&format!("http://{address}")).map_err(|error| setup(&error))?;
        let client = Client {
            redirect_uri: public_url.join("/auth/callback").map_err(|error| setup(&error))?,
            post_logout_redirect: public_url.join("/sign-in").map_err(|error| setup(&error))?,
        };
        let inner = Arc::new(Inner {
            issuer: IssuerUrl::new(origin(&issuer)).map_err(|error| setup(&error))?,
            client: client.clone(),
            key: signing_key(&*entropy).map_err(|error| setup(&error))?,
            codes: Mutex::default(),
            clock,
            entropy,
        });
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/authorize", get(authorize))
            .route("/authorize/as", get(authorize_as))
            .route("/token", post(token))
            .route("/end-session", get(end_session))
            .with_state(inner);
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stop).await {
                tracing::warn!(%error, "the demo identity provider stopped");
            }
        });
        Ok(Self { issuer, client })
    }

    /// The settings with which Keyward signs people in here.
    pub fn settings(&self) -> OidcSettings {
        let operator = Slug::parse("okta-production").map(|slug| (OKTA_OPERATORS.to_owned(), vec![slug]));
        OidcSettings {
            issuer: origin(&self.issuer),
            client_id: CLIENT_ID.to_owned(),
            client_secret: None,
            redirect_uri: self.client.redirect_uri.clone(),
            scopes: ["openid", "profile", "email", "groups"].map(str::to_owned).into(),
            roles_claim: "groups".to_owned(),
            roles: RoleMap {
                admin: vec![ADMINS.to_owned()],
                manager: vec![MANAGERS.to_owned()],
                operator: operator.into_iter().collect(),
            },
            post_logout_redirect: self.client.post_logout_redirect.clone(),
            provider_name: "the demo identity provider".to_owned(),
        }
    }

    /// Its issuer.
    pub fn issuer(&self) -> &Url {
        &self.issuer
    }
}

/// A URL as an issuer is written: without the slash at the end.
fn origin(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// A fresh Ed25519 key in PKCS #8 (RFC 8410 7), which is what openidconnect reads.
fn signing_key(entropy: &dyn Entropy) -> Result<CoreEdDsaPrivateSigningKey, String> {
    const HEAD: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let mut der = [0; 48];
    let (head, seed) = der.split_at_mut(HEAD.len());
    head.copy_from_slice(&HEAD);
    entropy.fill(seed);
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der));
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new("demo".to_owned())))
}

impl Inner {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer.as_str())
    }

    fn random(&self) -> String {
        let mut bytes = [0; 32];
        self.entropy.fill(&mut bytes);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn metadata(&self) -> Result<Metadata, url::ParseError> {
        let beside = Beside {
            end_session_endpoint: Some(Url::parse(&self.url("/end-session"))?),
            authorization_response_iss_parameter_supported: Some(true),
        };
        let metadata = Metadata::new(
            self.issuer.clone(),
            AuthUrl::new(self.url("/authorize"))?,
            JsonWebKeySetUrl::new(self.url("/jwks"))?,
            vec![ResponseTypes::new(vec![CoreResponseType::Code])],
            vec![CoreSubjectIdentifierType::Public],
            vec![CoreJwsSigningAlgorithm::EdDsa],
            beside,
        );
        Ok(metadata
            .set_token_endpoint(Some(TokenUrl::new(self.url("/token"))?))
            .set_token_endpoint_auth_methods_supported(Some(vec![CoreClientAuthMethod::None])))
    }

    fn id_token(&self, grant: &Grant) -> Result<GroupsIdToken, openidconnect::JsonWebTokenError> {
        let person = grant.person;
        let now = DateTime::<Utc>::from_timestamp_millis(self.clock.now_ms()).unwrap_or_default();
        let mut name = LocalizedClaim::new();
        name.insert(None, EndUserName::new(person.name.to_owned()));
        let standard = StandardClaims::new(SubjectIdentifier::new(person.subject.to_owned()))
            .set_name(Some(name))
            .set_email(Some(EndUserEmail::new(person.email.to_owned())))
            .set_email_verified(Some(true));
        let groups = Groups { groups: person.groups.iter().map(ToString::to_string).collect() };
        let claims = IdTokenClaims::new(
            self.issuer.clone(),
            vec![Audience::new(CLIENT_ID.to_owned())],
            now + TimeDelta::minutes(5),
            now,
            standard,
            groups,
        )
        .set_nonce(grant.nonce.clone().map(Nonce::new))
        // Whoever is asked chooses anew who they are.
        .set_auth_time(Some(now));
        GroupsIdToken::new(claims, &self.key, CoreJwsSigningAlgorithm::EdDsa, None, None)
    }
}

async fn discovery(State(provider): State<Arc<Inner>>) -> Response {
    match provider.metadata() {
        Ok(metadata) => Json(metadata).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn jwks(State(provider): State<Arc<Inner>>) -> Response {
    Json(CoreJsonWebKeySet::new(vec![provider.key.as_verification_key()])).into_response()
}

/// An authentication request (OIDC Core 3.1.2.1).
#[derive(Deserialize)]
struct Authorize {
    client_id: String,
    redirect_uri: String,
    response_type: String,
    state: String,
    nonce: Option<String>,
    code_challenge: String,
    code_challenge_method: String,
    person: Option<String>,
}

impl Authorize {
    fn is_known(&self, client: &Client) -> bool {
        self.client_id == CLIENT_ID
            && self.redirect_uri == client.redirect_uri.as_str()
            && self.response_type == "code"
            && self.code_challenge_method == "S256"
    }
}

const UNKNOWN: (StatusCode, &str) =
    (StatusCode::BAD_REQUEST, "This is not a request of the Keyward that this demo provider belongs to.\n");

async fn authorize(State(provider): State<Arc<Inner>>, Query(request): Query<Authorize>) -> Response {
    if !request.is_known(&provider.client) {
        return UNKNOWN.into_response();
    }
    let hidden = [
        ("client_id", &request.client_id),
        ("redirect_uri", &request.redirect_uri),
        ("response_type", &request.response_type),
        ("state", &request.state),
        ("nonce", request.nonce.as_ref().unwrap_or(&String::new())),
        ("code_challenge", &request.code_challenge),
        ("code_challenge_method", &request.code_challenge_method),
    ]
    .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value)));
    let buttons = SIGN_INS.iter().map(|SignInPerson { word, label, .. }| {
        format!("<button name=\"person\" value=\"{word}\">Sign in as {label}</button>")
    });
    let form = hidden.into_iter().chain(buttons).collect::<Vec<_>>().join("\n");
    page(PAGE.replace("{form}", &form))
}

async fn authorize_as(State(provider): State<Arc<Inner>>, Query(request): Query<Authorize>) -> Response {
    let chosen = request.person.as_deref().and_then(|word| SIGN_INS.iter().find(|one| one.word == word));
    let Some(person) = chosen.filter(|_| request.is_known(&provider.client)) else {
        return UNKNOWN.into_response();
    };
    let code = provider.random();
    let now_ms = provider.clock.now_ms();
    let grant = Grant {
        person,
        nonce: request.nonce.filter(|nonce| !nonce.is_empty()),
        challenge: request.code_challenge,
        ends_ms: now_ms + CODE_LASTS_MS,
    };
    {
        let mut codes = provider.codes.lock().await;
        codes.retain(|_, grant| grant.ends_ms > now_ms);
        if codes.len() < MOST_CODES {
            codes.insert(code.clone(), grant);
        }
    }
    let mut location = provider.client.redirect_uri.clone();
    location
        .query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &request.state)
        .append_pair("iss", provider.issuer.as_str());
    see_other(&location)
}

/// A token request (RFC 6749 4.1.3, RFC 7636 4.5).
#[derive(Deserialize)]
struct Redeem {
    grant_type: String,
    code: String,
    redirect_uri: String,
    client_id: String,
    code_verifier: String,
}

async fn token(State(provider): State<Arc<Inner>>, Form(request): Form<Redeem>) -> Response {
    // Taken out first: a code counts once, whatever comes of it.
    let grant = provider.codes.lock().await.remove(&request.code);
    let challenge =
        PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(request.code_verifier));
    let good = grant.filter(|grant| {
        grant.ends_ms > provider.clock.now_ms()
            && grant.challenge == challenge.as_str()
            && request.grant_type == "authorization_code"
            && request.client_id == CLIENT_ID
            && request.redirect_uri == provider.client.redirect_uri.as_str()
    });
    let Some(id_token) = good.and_then(|grant| provider.id_token(&grant).ok()) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    };
    let answer = json!({
        "access_token": provider.random(),
        "token_type": "Bearer",
        "expires_in": 300,
        "id_token": id_token.to_string(),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

#[derive(Deserialize)]
struct EndSession {
    post_logout_redirect_uri: Option<String>,
}

async fn end_session(State(provider): State<Arc<Inner>>, Query(request): Query<EndSession>) -> Response {
    let known = &provider.client.post_logout_redirect;
    if request.post_logout_redirect_uri.as_deref() == Some(known.as_str()) {
        see_other(known)
    } else {
        page(
            "<!DOCTYPE html><html lang=\"en\"><title>Signed out</title><main><h1>Signed out</h1></main>"
                .to_owned(),
        )
    }
}

fn see_other(location: &Url) -> Response {
    (StatusCode::SEE_OTHER, [(header::CACHE_CONTROL, "no-store"), (header::LOCATION, location.as_str())])
        .into_response()
}

fn page(html: String) -> Response {
    const CSP: &str =
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(html)).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Demo identity provider</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5; }
main { max-inline-size: 26rem; margin: 12vh auto 0; padding: 0 1rem; }
form { display: grid; gap: 0.75rem; margin-block-start: 1.5rem; }
button { font: inherit; padding: 0.75rem 1rem; text-align: start; border: 1px solid GrayText;
  border-radius: 0.5rem; background: Canvas; color: CanvasText; cursor: pointer; }
button:hover { border-color: CanvasText; }
</style>
</head>
<body>
<main>
<h1>Demo identity provider</h1>
<p>This stands in for your own. It asks for no password and answers on this machine only.</p>
<form method="get" action="/authorize/as">
{form}
</form>
</main>
</body>
</html>
"#;
