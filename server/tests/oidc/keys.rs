//! What the provider says about itself: discovery and keys (T-OIDC-08, T-SSRF-01).

use axum::http::StatusCode;
use domain::HOUR_MS;
use ops::Clock;
use serde_json::{Value, json};

use crate::{
    house::{House, Ways},
    jws,
};

async fn unreachable(house: &House, what: &str) {
    let mut browser = house.browser();
    let reply = browser.get("/auth/start").await;
    house.assert_refused(&mut browser, &reply, "provider-unreachable", what).await;
}

#[tokio::test]
async fn a_provider_that_is_down_is_said_to_be_and_asked_again() {
    let house = House::new().await;
    house.evil.says().is_down = true;
    for _ in 0..5 {
        unreachable(&house, "down").await;
    }
    assert_eq!(house.evil.asked("/.well-known/openid-configuration"), 1, "not for everybody who comes");
    house.evil.says().is_down = false;
    unreachable(&house, "asked a moment ago").await;
    house.clock.advance(5_000);
    assert_eq!(house.sign_in(&mut house.browser(), |_| {}).await.location, "/");
}

#[tokio::test]
async fn the_sign_in_page_learns_whether_the_provider_answers() {
    let house = House::new().await;
    house.evil.says().is_down = true;
    assert!(!house.edge.provider_answers(house.clock.now_ms()).await);
    house.evil.says().is_down = false;
    house.clock.advance(5_000);
    assert!(house.edge.provider_answers(house.clock.now_ms()).await);
}

#[tokio::test]
async fn a_provider_that_has_a_name_is_found_by_it() {
    let house = House::with(Ways { by_name: true, ..Default::default() }).await;
    assert_eq!(house.sign_in(&mut house.browser(), |_| {}).await.location, "/");
    assert!(house.evil.issuer.starts_with("http://localhost:"));
}

#[tokio::test]
async fn a_new_key_of_the_provider_is_fetched_when_a_token_names_it() {
    let house = House::new().await;
    assert_eq!(house.sign_in(&mut house.browser(), |_| {}).await.location, "/");
    house.evil.says().keys = vec![jws::RSA.jwk(), jws::P256.jwk()];
    house.clock.advance(30_000);
    assert_eq!(
        house.sign_in(&mut house.browser(), |draft| draft.by("ES256", &jws::P256)).await.location,
        "/"
    );
    assert_eq!(house.sign_in(&mut house.browser(), |_| {}).await.location, "/");
    assert_eq!(house.evil.asked("/jwks"), 2);
}

#[tokio::test]
async fn a_new_key_without_a_name_is_fetched_too() {
    let nameless = |key: &jws::Key| {
        let mut jwk = key.jwk();
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let house = House::new().await;
    house.evil.says().keys = vec![nameless(&jws::RSA)];
    let unnamed = |header: &mut Value| {
        header.as_object_mut().unwrap().remove("kid");
    };
    let reply = house.sign_in(&mut house.browser(), |draft| unnamed(&mut draft.header)).await;
    assert_eq!(reply.location, "/");
    house.evil.says().keys = vec![nameless(&jws::OTHER_RSA)];
    house.clock.advance(30_000);
    let reply = house
        .sign_in(&mut house.browser(), |draft| {
            draft.key = jws::OTHER_RSA.clone();
            unnamed(&mut draft.header);
        })
        .await;
    assert_eq!(reply.location, "/");
}

#[tokio::test]
async fn a_storm_of_unknown_keys_fetches_once_in_thirty_seconds() {
    let house = House::new().await;
    for round in 1..=3 {
        for attempt in 0..10 {
            let mut browser = house.browser();
            let reply = house
                .sign_in(&mut browser, |draft| {
                    draft.header["kid"] = json!(format!("made-up-{round}-{attempt}"));
                })
                .await;
            house.assert_refused(&mut browser, &reply, "token", "unknown kid").await;
        }
        assert_eq!(house.evil.asked("/jwks"), round);
        house.clock.advance(30_000);
    }
}

#[tokio::test]
async fn keys_are_believed_for_a_day_while_the_provider_does_not_show_them() {
    let house = House::new().await;
    assert_eq!(house.sign_in(&mut house.browser(), |_| {}).await.location, "/");
    house.evil.says().is_down = true;
    house.clock.advance(24 * HOUR_MS - 1);
    assert_eq!(house.sign_in(&mut house.browser(), |_| {}).await.location, "/");
    house.clock.advance(10_000);
    unreachable(&house, "a day later").await;
}

#[tokio::test]
async fn a_key_that_was_withdrawn_is_forgotten_within_the_hour() {
    let house = House::new().await;
    assert_eq!(house.sign_in(&mut house.browser(), |_| {}).await.location, "/");
    house.evil.says().keys = vec![jws::P256.jwk()];
    house.clock.advance(HOUR_MS);
    let mut browser = house.browser();
    let reply = house.sign_in(&mut browser, |_| {}).await;
    house.assert_refused(&mut browser, &reply, "token", "withdrawn").await;
}

#[tokio::test]
async fn more_than_a_mebibyte_of_keys_is_refused() {
    let house = House::new().await;
    house.evil.says().keys_padding = 10 * 1024 * 1024;
    unreachable(&house, "10 MB of keys").await;
}

#[tokio::test]
async fn a_redirect_from_discovery_is_not_followed() {
    let house = House::new().await;
    house.evil.says().redirects_discovery = true;
    unreachable(&house, "307").await;
    assert_eq!(house.evil.asked("/elsewhere"), 0);
}

#[tokio::test]
async fn descriptions_of_somebody_else_or_of_nowhere_are_refused() {
    for (what, discovery) in [
        ("another issuer", json!({ "issuer": "https://other.example" })),
        ("an issuer with a slash more", json!({ "issuer": "SLASH" })),
        ("keys at the metadata address", json!({ "jwks_uri": "http://169.254.169.254/latest/meta-data" })),
        ("keys in plain text", json!({ "jwks_uri": "http://keys.example/jwks" })),
        ("keys in a file", json!({ "jwks_uri": "file:///etc/passwd" })),
        ("a token endpoint at the metadata address", json!({ "token_endpoint": "https://169.254.169.254/" })),
        ("a token endpoint in plain text", json!({ "token_endpoint": "http://10.0.0.1/token" })),
        ("no token endpoint", json!({ "token_endpoint": null })),
        ("a page that is a script", json!({ "authorization_endpoint": "javascript:alert(1)" })),
        ("userinfo elsewhere", json!({ "userinfo_endpoint": "http://[fd00:ec2::254]/" })),
        ("sign-out that is a script", json!({ "end_session_endpoint": "javascript:alert(1)" })),
    ] {
        let house = House::new().await;
        let slash = format!("{}/", house.evil.issuer);
        let discovery = if what.contains("slash") { json!({ "issuer": slash }) } else { discovery };
        house.evil.says().discovery = discovery;
        unreachable(&house, what).await;
    }
}

#[tokio::test]
async fn keys_of_kinds_that_are_not_known_disturb_nobody() {
    let house = House::new().await;
    house.evil.says().keys = vec![
        json!({ "kty": "AKP", "alg": "ML-DSA-65", "kid": "new", "pub": "AAAA" }),
        json!({ "kty": "oct", "kid": "rsa", "k": "AAAA" }),
        json!({}),
        jws::RSA.jwk(),
    ];
    let reply = house.sign_in(&mut house.browser(), |_| {}).await;
    assert_eq!((reply.status, reply.location.as_str()), (StatusCode::SEE_OTHER, "/"));
}
