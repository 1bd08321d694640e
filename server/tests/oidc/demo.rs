//! The demo's identity provider and its cast.

use std::{cell::Cell, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{Next, from_fn},
};
use domain::{
    Secret,
    admins::Role,
    federations::{FederationStatus, Slug},
};
use ops::{
    Clock as _, Keyward,
    rotations::{BoardFilter, DueKey},
    testing::{TestClock, TestEntropy, cx},
};
use server::{
    config::TrustedProxies,
    demo::{self, people::SIGN_INS, provider::DemoProvider, push::Push, receiver::Receiver},
    edge::{
        headers::HeaderPolicy, limits::RequestLimits, origin::OwnOrigin, request::Requests, scim::Scim,
        session::SessionPolicy, shell::Shell, throttle::Throttle,
    },
    out::standard_webhooks,
};
use tempfile::TempDir;
use tokio::sync::watch;
use url::Url;

use crate::house::{self, House};

async fn start(bind: &str) -> Result<DemoProvider, demo::provider::DemoProviderError> {
    let public_url = Url::parse("http://127.0.0.1:8080").unwrap();
    DemoProvider::start(
        bind.parse().unwrap(),
        &public_url,
        Arc::new(TestClock::default()),
        Arc::new(TestEntropy::default()),
        std::future::pending(),
    )
    .await
}

#[tokio::test]
async fn everybody_of_the_demo_is_who_they_are_said_to_be() {
    let provider = start("127.0.0.1:0").await.unwrap();
    let folder = TempDir::new().unwrap();
    let keyward = house::open(folder.path(), Arc::new(TestClock::default())).await;
    let policy = SessionPolicy::new(false);
    let app = house::app(&keyward, &house::edge(&keyward, provider.settings(), policy), policy);
    let person =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let operator = Role::Operator(vec![Slug::parse("okta-production").unwrap()]);
    let roles = [Some(Role::Admin), Some(operator), Some(Role::Manager), None];
    for (who, role) in SIGN_INS.iter().zip(roles) {
        let mut browser = house::Browser::new(app.clone());
        let begun = browser.begin("/keys").await;
        let page = person.get(begun.url.clone()).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        let html = page.text().await.unwrap();
        assert!(html.contains(&format!("Sign in as {}", who.label)), "{html}");

        let mut choice = begun.url.clone();
        choice.set_path("/authorize/as");
        choice.query_pairs_mut().append_pair("person", who.word);
        let answer = person.get(choice).send().await.unwrap();
        let back = Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
        assert_eq!(back.path(), "/auth/callback");
        let reply = browser.get(&back[url::Position::BeforePath..]).await;
        let admin = browser.who().await;
        match role {
            Some(role) => {
                assert_eq!(reply.location, "/keys");
                let admin = admin.unwrap();
                assert_eq!((admin.subject.as_str(), admin.role), (who.subject, role));
            }
            None => assert_eq!((reply.location.as_str(), admin), ("/sign-in?error=no-role", None)),
        }
    }
}

#[tokio::test]
async fn the_demo_provider_gives_codes_to_its_own_keyward_only() {
    let provider = start("127.0.0.1:0").await.unwrap();
    server::out::http::install_crypto();
    let person = reqwest::Client::builder().no_proxy().build().unwrap();
    let good = "client_id=keyward-demo&redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Fauth%2Fcallback\
                &response_type=code&state=s&code_challenge=c&code_challenge_method=S256&person=ana";
    for query in [
        good.replace("keyward-demo", "other"),
        good.replace("127.0.0.1%3A8080", "evil.example"),
        good.replace("S256", "plain"),
        good.replace("person=ana", "person=root"),
    ] {
        let url = provider.issuer().join(&format!("/authorize/as?{query}")).unwrap();
        assert_eq!(person.get(url).send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn the_demo_provider_is_on_loopback_or_not_at_all() {
    for bind in ["0.0.0.0:0", "[::]:0", "192.168.1.1:0"] {
        let error = start(bind).await.err().expect("it is refused").to_string();
        assert!(error.contains("only on loopback"), "{error}");
    }
}

/// The cast, with keys as old as they are said to be.
async fn cast(keyward: &Arc<Keyward>, clock: &TestClock) -> Vec<Push> {
    let bind = "127.0.0.1:0".parse().unwrap();
    let (own, entropy) = (Arc::clone(keyward.clock()), keyward.entropy().as_ref());
    let receiver = Receiver::start(bind, own, entropy, std::future::pending()).await.unwrap();
    let behind = Cell::new(0);
    let stand_back = |by_ms| clock.advance(behind.replace(by_ms) - by_ms);
    demo::seed(&cx(keyward, Role::Admin), &receiver, stand_back).await.unwrap().pushes
}

#[tokio::test]
async fn an_agent_of_the_demo_takes_keys_from_keyward_only() {
    let (clock, entropy) = (Arc::new(TestClock::default()), TestEntropy::default());
    let bind = "127.0.0.1:0".parse().unwrap();
    let receiver = Receiver::start(bind, clock.clone(), &entropy, std::future::pending()).await.unwrap();
    server::out::http::install_crypto();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = r#"{"data":{"secret":"kwd_new"}}"#;
    let now_s = clock.now_ms() / 1_000;
    let other = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
    for (secret, at_s, status) in
        [(&other, now_s, 401), (&receiver.signing(), now_s - 301, 401), (&receiver.signing(), now_s, 204)]
    {
        assert!(receiver.keys().borrow().is_none());
        let mut request = client.post(&receiver.url).body(body);
        for (name, value) in standard_webhooks::headers(secret, "msg_1", at_s, body.as_bytes()).unwrap() {
            request = request.header(name, value);
        }
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    let taken = receiver.keys().borrow().clone().unwrap();
    assert_eq!(taken.expose(), "kwd_new");
    assert_eq!(client.get(&receiver.url).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn the_cast_has_a_story_for_every_page() {
    let house = House::new().await;
    let pushes = cast(&house.keyward, &house.clock).await;
    assert_eq!(pushes.len(), 5);
    assert!(pushes.iter().all(|push| push.base_url.starts_with("https://keyward.test/scim/")));
    let admin = cx(&house.keyward, Role::Admin);
    let federations = ops::federations::list(&admin).await.unwrap();
    assert_eq!(federations.len(), 9);
    let paused = federations.iter().filter(|view| view.federation.status == FederationStatus::Paused);
    assert_eq!(paused.count(), 1);
    let keys = ops::keys::list(&admin, &ops::keys::KeyFilter::default()).await.unwrap();
    assert_eq!(keys.iter().filter(|view| view.ends_soon).count(), 2);
    let board = ops::rotations::board(&admin, &BoardFilter::default()).await.unwrap();
    let shelf =
        |keys: &[DueKey]| -> Vec<String> { keys.iter().map(|due| due.federation.slug.to_string()).collect() };
    assert_eq!(board.open.len(), 2);
    assert_eq!(shelf(&board.overdue), ["rippling-pilot"]);
    assert_eq!(shelf(&board.this_week), ["keycloak-eu"]);
    assert_eq!(shelf(&board.exempt), ["authentik-labs", "partner-portal"]);
    let rotating = keys.iter().filter(|view| view.federation.slug.as_str() == "workday-entra");
    assert_eq!(rotating.filter(|view| view.state.is_accepted()).count(), 2);
}

#[tokio::test]
async fn the_simulated_providers_are_understood_and_stop_when_told() {
    let folder = TempDir::new().unwrap();
    let clock = Arc::new(TestClock::default());
    let keyward = house::open(folder.path(), Arc::clone(&clock)).await;
    let pushes = cast(&keyward, &clock).await;

    // The real SCIM edge, with an ear at the door.
    let (heard, mut hearing) = watch::channel(Vec::<(String, StatusCode)>::new());
    let forget = heard.clone();
    let (clock, entropy) = (Arc::clone(keyward.clock()), Arc::clone(keyward.entropy()));
    let shell = Shell {
        headers: HeaderPolicy::new(Arc::clone(&entropy), false),
        throttle: Throttle::off(Arc::clone(&clock)),
        requests: Requests { clock, entropy, proxies: TrustedProxies::default() },
        limits: RequestLimits::new(1024 * 1024),
        origin: OwnOrigin::new("http://127.0.0.1"),
    };
    let scim = Scim::new(Arc::clone(&keyward));
    let app = shell.around_scim(scim, Router::new()).layer(from_fn(move |request: Request, next: Next| {
        let (asked, heard) = (format!("{} {}", request.method(), request.uri().path()), heard.clone());
        async move {
            let response = next.run(request).await;
            heard.send_modify(|list| list.push((asked, response.status())));
            response
        }
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });

    for mut push in pushes {
        let dialect = push.dialect;
        push.base_url = push.base_url.replace("https://keyward.test", &format!("http://{address}"));
        push.people = 6;
        push.pace = Duration::ZERO;
        forget.send_modify(Vec::clear);
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(demo::push::run(push, stopped));
        let enough = |list: &Vec<(String, StatusCode)>| {
            let count = |what: &str| list.iter().filter(|(asked, _)| asked.starts_with(what)).count();
            count("PUT") >= 6 && count("PATCH") >= 12
        };
        let heard: Vec<_> = hearing.wait_for(enough).await.unwrap().clone();
        stop.send(true).unwrap();
        running.await.unwrap();
        let troubled: Vec<_> = heard.iter().filter(|(_, status)| !status.is_success()).collect();
        assert!(troubled.is_empty(), "{dialect:?}: {troubled:?}");
        let made = heard.iter().filter(|(asked, _)| asked.starts_with("POST")).count();
        assert_eq!(made, 6 + 4, "{dialect:?}");
    }
}
