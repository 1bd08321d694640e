//! Keyward's sign-in with a browser in front and a hostile provider behind.

use std::{path::Path, sync::Arc};

use app::ssr::ProvenAt;
use axum::{
    Extension, Json, Router,
    body::Body,
    extract::Request,
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    routing::get,
};
use domain::{
    Secret,
    admins::{Admin, Role},
    audit::{Action, AuditRecord},
    federations::Slug,
};
use http_body_util::BodyExt;
use ops::{
    Clock, Cx, Keyward,
    audit::AuditFilter,
    testing::{TestClock, cx},
};
use serde_json::{Value, json};
use server::{
    edge::{
        oidc::{
            OidcEdge, no_role,
            settings::{OidcSettings, RoleMap},
        },
        session::{self, SessionPolicy},
    },
    out::http::OidcHttp,
};
use store::Target;
use tempfile::TempDir;
use tower::ServiceExt;
use tower_sessions::Session;
use url::Url;

use crate::{
    evil::Evil,
    jws::{self, Key},
};

pub const CLIENT_ID: &str = "keyward";
pub const MINUTE_MS: i64 = 60_000;

pub struct House {
    pub evil: Evil,
    pub clock: Arc<TestClock>,
    pub keyward: Arc<Keyward>,
    pub folder: TempDir,
    pub edge: OidcEdge,
    pub app: Router,
}

/// What is different in this house.
#[derive(Default)]
pub struct Ways {
    pub path: &'static str,
    pub secret: Option<&'static str>,
    pub roles_claim: Option<&'static str>,
    pub secure: bool,
    /// The issuer is `localhost`, not an address.
    pub by_name: bool,
}

impl House {
    pub async fn new() -> Self {
        Self::with(Ways::default()).await
    }

    pub async fn with(ways: Ways) -> Self {
        let host = if ways.by_name { "localhost" } else { "127.0.0.1" };
        let evil = Evil::start(host, ways.path).await;
        let settings = settings(&evil.issuer, &ways);
        let (folder, clock) = (TempDir::new().unwrap(), Arc::new(TestClock::default()));
        let keyward = open(folder.path(), Arc::clone(&clock)).await;
        let policy = SessionPolicy::new(ways.secure);
        let edge = edge(&keyward, settings, policy);
        let app = app(&keyward, &edge, policy);
        Self { evil, clock, keyward, folder, edge, app }
    }

    pub fn browser(&self) -> Browser {
        Browser::new(self.app.clone())
    }

    /// An ID token as it should be.
    pub fn draft(&self, nonce: &str) -> Draft {
        let now_s = self.clock.now_ms() / 1000;
        Draft {
            header: json!({ "alg": "RS256", "typ": "JWT", "kid": "rsa" }),
            claims: json!({
                "iss": self.evil.issuer,
                "sub": "ana",
                "aud": CLIENT_ID,
                "exp": now_s + 300,
                "iat": now_s,
                "nonce": nonce,
                "name": "Ana Ferreira",
                "email": "ana@example.com",
                "groups": ["staff", "keyward-admins"],
            }),
            key: Arc::clone(&jws::RSA),
        }
    }

    /// Goes through a sign-in for which the provider gives a changed token.
    pub async fn sign_in(&self, browser: &mut Browser, change: impl FnOnce(&mut Draft)) -> Reply {
        self.sign_in_with(browser, |mut draft| {
            change(&mut draft);
            draft.sign()
        })
        .await
    }

    /// Goes through a sign-in for which the provider gives any text as a token.
    pub async fn sign_in_with(&self, browser: &mut Browser, token: impl FnOnce(Draft) -> String) -> Reply {
        let begun = browser.begin("/").await;
        self.evil.says().token["id_token"] = json!(token(self.draft(&begun.nonce)));
        browser.get(&begun.callback("code")).await
    }

    /// The newest audit record of an action.
    pub async fn newest(&self, action: Action) -> Option<AuditRecord> {
        let filter = AuditFilter { action: Some(action), ..AuditFilter::default() };
        let page = ops::audit::list(&cx(&self.keyward, Role::Admin), &filter, None, 1).await.unwrap();
        page.records.into_iter().next()
    }

    /// Asserts that a sign-in was refused with this code: no session, and on record.
    pub async fn assert_refused(&self, browser: &mut Browser, reply: &Reply, code: &str, what: &str) {
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{what}: {}", reply.body);
        assert_eq!(reply.location, format!("/sign-in?error={code}"), "{what}");
        assert_eq!(browser.who().await, None, "{what}");
        let record = self.newest(Action::AdminSignInRefused).await.expect("a refusal is on record");
        let reason = record.event.reason.unwrap_or_default();
        assert!(reason.starts_with(&format!("{code}: ")), "{what}: {reason}");
    }
}

/// An installation of its own in a folder.
pub async fn open(folder: &Path, clock: Arc<TestClock>) -> Arc<Keyward> {
    ops::testing::open(Target::sqlite(folder.join("keyward.db")), clock).await
}

fn settings(issuer: &str, ways: &Ways) -> OidcSettings {
    let slug = |text: &str| Slug::parse(text).unwrap();
    OidcSettings {
        issuer: issuer.to_owned(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: ways.secret.map(|secret| Secret::new(secret.to_owned())),
        redirect_uri: Url::parse("https://keyward.test/auth/callback").unwrap(),
        scopes: vec!["openid".to_owned(), "profile".to_owned(), "groups".to_owned()],
        roles_claim: ways.roles_claim.unwrap_or("groups").to_owned(),
        roles: RoleMap {
            admin: vec!["keyward-admins".to_owned()],
            manager: vec!["keyward-managers".to_owned()],
            operator: [
                ("okta-operators".to_owned(), vec![slug("okta-production")]),
                ("hr-operators".to_owned(), vec![slug("workday-entra")]),
            ]
            .into(),
        },
        post_logout_redirect: Url::parse("https://keyward.test/sign-in").unwrap(),
        provider_name: "<Evil & Co>".to_owned(),
    }
}

pub fn edge(keyward: &Arc<Keyward>, settings: OidcSettings, policy: SessionPolicy) -> OidcEdge {
    let http = OidcHttp::new(&Url::parse(&settings.issuer).unwrap()).unwrap();
    OidcEdge::new(settings, Arc::clone(keyward), http, policy).unwrap()
}

pub fn app(keyward: &Arc<Keyward>, edge: &OidcEdge, policy: SessionPolicy) -> Router {
    let inside = Router::new()
        .route("/whoami", get(who).post(who))
        .route("/proven", get(async |Extension(ProvenAt(at_ms)): Extension<ProvenAt>| at_ms.to_string()))
        .layer(from_fn_with_state(Arc::clone(keyward), session::require_admin));
    let keyward_of_requests = Arc::clone(keyward);
    Router::new()
        .merge(inside)
        .route("/no-role", get(async |session: Session| Json(no_role(&session).await)))
        .merge(edge.router())
        .layer(session::layer(Arc::clone(keyward), policy))
        .layer(from_fn(move |mut request: Request, next: Next| {
            request.extensions_mut().insert(keyward_of_requests.request_info());
            next.run(request)
        }))
}

async fn who(Extension(cx): Extension<Cx<Admin>>) -> Json<Admin> {
    Json(cx.actor().clone())
}

/// An ID token before it is signed.
pub struct Draft {
    pub header: Value,
    pub claims: Value,
    pub key: Arc<Key>,
}

impl Draft {
    pub fn sign(&self) -> String {
        let algorithm = self.header["alg"].as_str().unwrap_or_default();
        jws::sign(&self.header.to_string(), &self.claims.to_string(), algorithm, &self.key)
    }

    /// Signs with another key, under its name.
    pub fn by(&mut self, algorithm: &str, key: &Arc<Key>) {
        self.header["alg"] = json!(algorithm);
        self.header["kid"] = json!(key.kid);
        self.key = Arc::clone(key);
    }
}

/// A browser that keeps one cookie.
#[derive(Clone)]
pub struct Browser {
    app: Router,
    /// `name=value`.
    pub cookie: Option<String>,
}

pub struct Reply {
    pub status: StatusCode,
    pub location: String,
    pub set_cookie: Option<String>,
    pub body: String,
}

/// A sign-in that was begun, as the provider sees it.
pub struct Begun {
    pub url: Url,
    pub state: String,
    pub nonce: String,
}

impl Begun {
    pub fn param(&self, name: &str) -> String {
        self.url
            .query_pairs()
            .find(|(found, _)| found == name)
            .map_or_else(|| panic!("{} has no {name}", self.url), |(_, value)| value.into_owned())
    }

    pub fn callback(&self, code: &str) -> String {
        format!("/auth/callback?code={code}&state={}", self.state)
    }
}

impl Browser {
    pub fn new(app: Router) -> Self {
        Self { app, cookie: None }
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(Method::GET, path, &[]).await
    }

    pub async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let response = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = |name| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let set_cookie = text(header::SET_COOKIE);
        if let Some(set_cookie) = &set_cookie {
            let kept = !set_cookie.contains("Max-Age=0");
            self.cookie = kept.then(|| set_cookie.split(';').next().unwrap().to_owned());
        }
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Reply { status: parts.status, location: text(header::LOCATION).unwrap_or_default(), set_cookie, body }
    }

    pub async fn begin(&mut self, next: &str) -> Begun {
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        self.begin_at(&format!("/auth/start?next={next}")).await
    }

    /// Begins a sign-in by a link.
    pub async fn begin_at(&mut self, link: &str) -> Begun {
        let reply = self.get(link).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
        let url = Url::parse(&reply.location)
            .unwrap_or_else(|_| panic!("not sent to the provider but to {}", reply.location));
        let mut begun = Begun { url, state: String::new(), nonce: String::new() };
        begun.state = begun.param("state");
        begun.nonce = begun.param("nonce");
        begun
    }

    /// Who is signed in.
    pub async fn who(&mut self) -> Option<Admin> {
        let reply = self.get("/whoami").await;
        (reply.status == StatusCode::OK).then(|| serde_json::from_str(&reply.body).unwrap())
    }
}
