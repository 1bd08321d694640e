//! A whole Keyward in one process: its router in the shell, on each database that is here, with a
//! clock that is moved by hand.

use std::{net::SocketAddr, sync::Arc};

use axum::{Extension, Router, body::Body, routing::get};
use domain::{
    KeyId,
    admins::{Admin, Role},
    federations::{Federation, Slug},
    scopes::Scope,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::BodyExt as _;
use ops::{
    Cx, Keyward,
    audit::{AuditFilter, Verdict},
    federations::NewFederation,
    keys::NewKey,
    ports::{Clock, Entropy},
    testing::{self, TestClock, TestEntropy},
};
use serde_json::Value;
use server::{
    config::TrustedProxies,
    edge::{
        accept::Peer,
        headers::HeaderPolicy,
        health::Readiness,
        limits::RequestLimits,
        oidc::{
            OidcEdge,
            settings::{OidcSettings, RoleMap},
        },
        origin::OwnOrigin,
        request::Requests,
        session::{self, SessionPolicy},
        shell::Shell,
        throttle::{Rates, Throttle},
    },
    out::{
        deliver::DeliverHttp,
        egress::{Allowed, Egress},
        http::OidcHttp,
        jwks::JwksHttp,
        notify::Notifier,
        upstream::UpstreamHttp,
    },
    serve,
};
use store::testing::{TestDatabase, databases};
use tower::ServiceExt as _;
use tower_sessions::Session;
use url::Url;

pub const OWN: &str = "https://keyward.test";
pub const BODY_BYTES: usize = 1024 * 1024;
pub const SCIM_JSON: &str = "application/scim+json; charset=utf-8";
pub const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// An id that no resource has.
pub const NOBODY: &str = "01900000-0000-7000-8000-000000000000";

const POLICY: SessionPolicy = SessionPolicy::new(true);

/// One installation on one database.
pub struct House {
    pub keyward: Arc<Keyward>,
    pub clock: Arc<TestClock>,
    pub database: TestDatabase,
    pub router: Router,
    /// Lets somebody in without a provider.
    door: Router,
}

/// An installation on each database that is here.
pub async fn houses() -> Vec<House> {
    let mut houses = Vec::new();
    for database in databases().await {
        houses.push(House::on(database).await);
    }
    houses
}

/// An installation on SQLite, for what no database decides.
pub async fn house() -> House {
    House::on(store::testing::sqlite()).await
}

impl House {
    async fn on(database: TestDatabase) -> Self {
        let clock = Arc::new(TestClock::default());
        let keyward = testing::open(database.target.clone(), Arc::clone(&clock)).await;
        let router =
            serve::router(&keyward, &shell(&keyward), oidc(), POLICY, always_ready(), Egress::default())
                .expect("a router");
        // Upstreams of the tests are on this machine.
        let allowed = vec![Allowed::parse("http://127.0.0.0/8").unwrap()];
        let upstreams = UpstreamHttp::new(Egress::new(allowed, Vec::new()), Arc::clone(keyward.clock()));
        keyward.connect_upstreams(Arc::new(upstreams));
        let allowed = vec![Allowed::parse("http://127.0.0.0/8").unwrap()];
        let targets = DeliverHttp::new(
            Egress::new(allowed, Vec::new()),
            Arc::clone(keyward.clock()),
            Arc::clone(keyward.entropy()),
        );
        keyward.connect_deliveries(Arc::new(targets));
        let hooks = Egress::new(vec![Allowed::parse("http://127.0.0.0/8").unwrap()], Vec::new());
        keyward.connect_notifier(Arc::new(Notifier::new(hooks, None).expect("a notifier")));
        let door = door(&keyward, POLICY);
        Self { keyward, clock, database, router, door }
    }

    /// The same with limits on how often.
    pub fn with_rates(self, rates: Rates) -> Self {
        let throttle = Throttle::new(Arc::clone(self.keyward.clock()), rates);
        let shell = Shell { throttle, ..shell(&self.keyward) };
        let router = serve::router(&self.keyward, &shell, oidc(), POLICY, always_ready(), Egress::default());
        Self { router: router.expect("a router"), ..self }
    }

    pub async fn ask(&self, mut request: Request<Body>) -> Answer {
        let peer: SocketAddr = "192.0.2.7:4711".parse().unwrap();
        request.extensions_mut().insert(Peer(peer));
        Answer::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub fn admin(&self) -> Cx<Admin> {
        testing::cx(&self.keyward, Role::Admin)
    }

    /// Lets a federation remove so many, as people plan it: a day from now on, agreed by a second person.
    pub async fn planned(&self, slug: &str, ceiling: i64) -> domain::WindowId {
        let slug = Slug::parse(slug).unwrap();
        let now_ms = self.admin().now_ms();
        let new = ops::brakes::NewWindow {
            ceiling,
            begins_ms: now_ms,
            ends_ms: now_ms + domain::DAY_MS,
            reason: "the test removes many".to_owned(),
        };
        let window = ops::brakes::plan(&self.admin(), &slug, new).await.unwrap();
        let second = testing::cx(&self.keyward, Role::Manager);
        ops::brakes::agree(&second, &slug, &window.id).await.unwrap();
        window.id
    }

    pub async fn federation(&self, slug: &str) -> Federation {
        ops::federations::register(&self.admin(), new_federation(slug)).await.unwrap()
    }

    /// A key, and its text.
    pub async fn key(&self, slug: &str, name: &str, scope: Scope) -> (KeyId, String) {
        let new = new_key(&Slug::parse(slug).unwrap(), name, scope);
        let issued = ops::keys::issue(&self.admin(), new).await.unwrap();
        (issued.key.id, issued.secret.unwrap().expose().to_owned())
    }

    /// A new federation and a client of it that may do everything.
    pub async fn client(&self, slug: &str) -> Client<'_> {
        self.federation(slug).await;
        let (_, key) = self.key(slug, "everything", Scope::full_directory()).await;
        Client { house: self, base: format!("/scim/{slug}/v2"), key }
    }

    /// Somebody who has signed in with a role.
    pub async fn signed_in(&self, role: Role) -> Browser<'_> {
        self.signed_in_as(testing::person(role)).await
    }

    /// One person who has signed in.
    pub async fn signed_in_as(&self, person: Admin) -> Browser<'_> {
        let mut request = Request::get("/").body(Body::empty()).unwrap();
        request.extensions_mut().insert(person);
        let answer = Answer::of(self.door.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(answer.status, 200);
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        assert!(cookie.starts_with("__Host-keyward="), "{cookie}");
        Browser { house: self, cookie: Some(cookie) }
    }

    /// Somebody who has not signed in.
    pub fn stranger(&self) -> Browser<'_> {
        Browser { house: self, cookie: None }
    }

    /// The words of every audit record, oldest first: `action outcome target`.
    pub async fn log(&self) -> Vec<String> {
        let page = ops::audit::list(&self.admin(), &AuditFilter::default(), None, 200).await.unwrap();
        let words = page.records.into_iter().rev().map(|record| {
            let event = record.event;
            let target = event.target.unwrap_or_default();
            format!("{} {} {target}", event.action.as_str(), event.outcome.as_str())
        });
        words.collect()
    }

    /// How many users and groups a federation has.
    pub async fn population(&self, slug: &str) -> (i64, i64) {
        let view = ops::federations::open(&self.admin(), &Slug::parse(slug).unwrap()).await.unwrap();
        (view.users, view.groups)
    }

    /// Every byte that the database keeps, as a thief of it would read them.
    pub fn bytes(&self) -> Vec<u8> {
        crate::process::database_bytes(&self.database)
    }

    /// Verifies the chain and closes.
    pub async fn close(self) {
        let verdict = ops::audit::verify(&self.keyward).await.unwrap();
        assert!(matches!(verdict, Verdict::Whole(_)), "{verdict:?}");
        self.keyward.close().await;
    }
}

fn shell(keyward: &Arc<Keyward>) -> Shell {
    let clock: Arc<dyn Clock> = Arc::clone(keyward.clock());
    let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy::default());
    Shell {
        headers: HeaderPolicy::new(Arc::clone(&entropy), true),
        requests: Requests {
            clock,
            entropy: Arc::clone(keyward.entropy()),
            proxies: TrustedProxies::default(),
        },
        limits: RequestLimits::new(BODY_BYTES),
        origin: OwnOrigin::new(OWN),
        // Tests send more in a moment of a clock that stands still than any limit allows.
        throttle: Throttle::off(Arc::clone(keyward.clock())),
    }
}

/// Routes in a shell of their own.
pub fn around(keyward: &Arc<Keyward>, routes: Router) -> Router {
    shell(keyward).around(routes)
}

/// The parts of the router that no session opens: what [`serve::open_routes`] has, and where people sign in.
pub fn open_parts(house: &House) -> [Router; 2] {
    let keyward = &house.keyward;
    let settings = oidc();
    let http = OidcHttp::new(&Url::parse(&settings.issuer).unwrap()).unwrap();
    let edge = OidcEdge::new(settings, Arc::clone(keyward), http, POLICY).unwrap();
    let jwks = Arc::new(JwksHttp::new(Egress::default()).unwrap());
    [serve::open_routes(keyward, always_ready(), None, jwks), edge.router()]
}

fn oidc() -> OidcSettings {
    OidcSettings {
        issuer: "https://idp.test".to_owned(),
        client_id: "keyward".to_owned(),
        client_secret: None,
        redirect_uri: Url::parse("https://keyward.test/auth/callback").unwrap(),
        scopes: vec!["openid".to_owned()],
        roles_claim: "groups".to_owned(),
        roles: RoleMap { admin: vec!["keyward-admins".to_owned()], ..RoleMap::default() },
        post_logout_redirect: Url::parse("https://keyward.test/sign-in").unwrap(),
        provider_name: "idp.test".to_owned(),
    }
}

fn always_ready() -> Readiness {
    Readiness::new(Arc::new(|| Box::pin(async { Ok(()) })))
}

/// A way in without a provider: begins a session for the [`Admin`] of the request's extensions.
pub fn door(keyward: &Arc<Keyward>, policy: SessionPolicy) -> Router {
    let now = Arc::clone(keyward.clock());
    let enter = move |session: Session, Extension(admin): Extension<Admin>| async move {
        session::sign_in(&session, admin, None, policy, now.now_ms()).await.unwrap();
    };
    Router::new().route("/", get(enter)).layer(session::layer(Arc::clone(keyward), policy))
}

pub fn new_federation(slug: &str) -> NewFederation {
    NewFederation {
        slug: slug.to_owned(),
        name: format!("Federation {slug}"),
        vendor: "okta".to_owned(),
        owners: "owner@example.com".to_owned(),
        notes: String::new(),
        max_age_days: 90,
        overlap_hours: 72,
        warn_days: 14,
    }
}

pub fn new_key(slug: &Slug, name: &str, scope: Scope) -> NewKey {
    NewKey {
        federation: slug.clone(),
        name: name.to_owned(),
        scope,
        lifetime_days: 90,
        justification: "needed for the tests".to_owned(),
        idempotency_token: String::new(),
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub async fn of(response: http::Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The id in the body.
    pub fn id(&self) -> String {
        self.json()["id"].as_str().unwrap_or_else(|| panic!("no id in {}", self.body)).to_owned()
    }

    /// Headers that say the same in every such answer: without the nonce and the request's id.
    pub fn steady_headers(&self) -> Vec<(String, String)> {
        let changing = ["content-security-policy", "x-request-id"];
        let steady = self.headers.iter().filter(|(name, _)| !changing.contains(&name.as_str()));
        let mut steady: Vec<_> =
            steady.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        steady.sort();
        steady
    }

    /// Asserts that it is an error as RFC 7644 3.12 words it; returns its `scimType`.
    pub fn assert_scim_error(&self, status: u16, what: &str) -> Option<String> {
        assert_eq!(self.status, status, "{what}: {}", self.body);
        let media_type = self.header("content-type");
        assert!(media_type.starts_with("application/scim+json"), "{what}: {media_type}");
        let body = self.json();
        let object = body.as_object().unwrap();
        assert_eq!(
            body["schemas"],
            serde_json::json!(["urn:ietf:params:scim:api:messages:2.0:Error"]),
            "{what}"
        );
        assert_eq!(body["status"], serde_json::json!(status.to_string()), "{what}");
        assert!(body["detail"].as_str().is_some_and(|text| !text.is_empty()), "{what}: {body}");
        let known = ["schemas", "status", "detail", "scimType"];
        assert!(object.keys().all(|name| known.contains(&name.as_str())), "{what}: {body}");
        body.get("scimType").map(|keyword| keyword.as_str().unwrap().to_owned())
    }
}

/// An identity provider with its key.
pub struct Client<'a> {
    pub house: &'a House,
    /// `/scim/{federation}/v2`.
    pub base: String,
    pub key: String,
}

impl Client<'_> {
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key));
        for (name, value) in headers {
            request = request.header(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        self.house.ask(request.body(body.into()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Body::empty()).await
    }

    pub async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, &[("content-type", "application/scim+json")], body.to_string()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, body).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.json("PUT", path, body).await
    }

    pub async fn patch(&self, path: &str, operations: &Value) -> Answer {
        let body = serde_json::json!({ "schemas": [PATCH_URN], "Operations": operations });
        self.json("PATCH", path, &body).await
    }

    /// Creates a user and returns its id.
    pub async fn user(&self, name: &str) -> String {
        let made = self.post("/Users", &serde_json::json!({ "schemas": [USER_URN], "userName": name })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.id()
    }

    /// Creates a group and returns its id.
    pub async fn group(&self, name: &str) -> String {
        let made =
            self.post("/Groups", &serde_json::json!({ "schemas": [GROUP_URN], "displayName": name })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.id()
    }
}

/// The query of a filter.
pub fn filter(text: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    format!("?filter={encoded}")
}

/// A browser with the cookie of a session.
pub struct Browser<'a> {
    pub house: &'a House,
    pub cookie: Option<String>,
}

/// Headers of a form that was sent from a page of ours.
pub const FROM_OUR_PAGE: [(&str, &str); 2] = [("origin", OWN), ("sec-fetch-site", "same-origin")];

impl Browser<'_> {
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        self.house.ask(request.body(body.into()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    /// Signs in once more, with the session that it has.
    pub async fn signs_in_again(&mut self, role: Role) {
        let mut request =
            Request::get("/").header(header::COOKIE, self.cookie.as_deref().unwrap_or_default());
        if let Some(extensions) = request.extensions_mut() {
            extensions.insert(testing::person(role));
        }
        let request = request.body(Body::empty()).unwrap();
        let answer = Answer::of(self.house.door.clone().oneshot(request).await.unwrap()).await;
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        assert_ne!(Some(&cookie), self.cookie.as_ref(), "a new id");
        self.cookie = Some(cookie);
    }

    /// Sends a form as a browser does from a page of ours.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut headers = FROM_OUR_PAGE.to_vec();
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        self.send("POST", path, &headers, form(fields)).await
    }
}

/// The body of a form.
pub fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
