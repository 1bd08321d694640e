//! Sessions: a new id at sign-in, an end in time, an end on the server (T-SESS-01 to 03).

use axum::http::{Method, StatusCode};
use domain::{HOUR_MS, audit::Action};
use ops::Clock as _;
use serde_json::json;

use crate::house::{House, MINUTE_MS, Ways};

#[tokio::test]
async fn the_id_changes_at_sign_in_and_the_old_one_is_worth_nothing() {
    let house = House::new().await;
    let mut browser = house.browser();
    let begun = browser.begin("/").await;
    let mut before = browser.clone();
    house.evil.says().token["id_token"] = json!(house.draft(&begun.nonce).sign());
    browser.get(&begun.callback("code")).await;
    assert!(browser.who().await.is_some());
    assert_ne!(before.cookie, browser.cookie);
    assert_eq!(before.who().await, None, "the cookie from before");

    let mut first = browser.clone();
    house.sign_in(&mut browser, |_| {}).await;
    assert_ne!(first.cookie, browser.cookie);
    assert_eq!(first.who().await, None, "the cookie of the first sign-in");
}

#[tokio::test]
async fn an_id_that_the_browser_made_up_is_not_taken() {
    let house = House::new().await;
    let mut browser = house.browser();
    browser.cookie = Some("keyward=AAAAAAAAAAAAAAAAAAAAAA".to_owned());
    house.sign_in(&mut browser, |_| {}).await;
    assert!(browser.who().await.is_some());
    assert_ne!(browser.cookie.unwrap(), "keyward=AAAAAAAAAAAAAAAAAAAAAA");
}

#[tokio::test]
async fn the_cookie_is_for_this_host_and_not_for_scripts() {
    for (secure, name) in [(true, "__Host-keyward="), (false, "keyward=")] {
        let house = House::with(Ways { secure, ..Default::default() }).await;
        let cookie = house.browser().get("/auth/start").await.set_cookie.unwrap();
        assert!(cookie.starts_with(name), "{cookie}");
        assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax"), "{cookie}");
        assert!(cookie.contains("; Path=/") && !cookie.contains("Domain"), "{cookie}");
        assert_eq!(cookie.contains("; Secure"), secure, "{cookie}");
    }
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_for_half_an_hour() {
    let house = House::new().await;
    let mut browser = house.browser();
    house.sign_in(&mut browser, |_| {}).await;
    for _ in 0..5 {
        house.clock.advance(29 * MINUTE_MS);
        assert!(browser.who().await.is_some());
    }
    let mut copy = browser.clone();
    house.clock.advance(30 * MINUTE_MS);
    assert_eq!(browser.who().await, None);
    assert_eq!(copy.who().await, None);
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_however_busy() {
    let house = House::new().await;
    let mut browser = house.browser();
    house.sign_in(&mut browser, |_| {}).await;
    for _ in 0..12 * 4 - 1 {
        house.clock.advance(15 * MINUTE_MS);
        assert!(browser.who().await.is_some());
    }
    house.clock.advance(15 * MINUTE_MS);
    assert_eq!(browser.who().await, None);
}

#[tokio::test]
async fn a_session_of_a_time_to_come_is_nobodys() {
    let house = House::new().await;
    let mut browser = house.browser();
    house.sign_in(&mut browser, |_| {}).await;
    house.clock.advance(-HOUR_MS);
    assert_eq!(browser.who().await, None);
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server() {
    let house = House::new().await;
    let mut browser = house.browser();
    house.sign_in(&mut browser, |_| {}).await;
    let mut copy = browser.clone();
    let reply = browser.send(Method::POST, "/auth/sign-out", &[]).await;
    assert_eq!((reply.status, reply.location.as_str()), (StatusCode::SEE_OTHER, "/sign-in"));
    assert_eq!(browser.cookie, None, "the cookie is taken back");
    assert_eq!(copy.who().await, None, "a copy of it opens nothing");
    let record = house.newest(Action::AdminSignedOut).await.unwrap();
    assert_eq!(record.event.actor.id, format!("{} ana", house.evil.issuer));
}

#[tokio::test]
async fn signing_out_goes_on_at_a_provider_that_can() {
    let house = House::new().await;
    house.evil.says().discovery =
        json!({ "end_session_endpoint": format!("{}/end?tenant=1", house.evil.issuer) });
    let mut browser = house.browser();
    house.sign_in(&mut browser, |_| {}).await;
    let hint = house.evil.says().token["id_token"].as_str().unwrap().to_owned();
    let reply = browser.send(Method::POST, "/auth/sign-out", &[]).await;
    // A redirect would be stopped by `form-action 'self'`: the page goes on by itself.
    assert_eq!(reply.status, StatusCode::OK);
    let there = format!(
        "{}/end?tenant=1&amp;client_id=keyward&amp;post_logout_redirect_uri=https%3A%2F%2Fkeyward.test%2Fsign-in\
         &amp;id_token_hint={hint}",
        house.evil.issuer
    );
    assert!(reply.body.contains(&format!("content=\"0; url={there}\"")), "{}", reply.body);
    assert!(
        reply.body.contains(&format!("<a href=\"{there}\">Sign out of &lt;Evil &amp; Co&gt; as well</a>"))
    );
    assert_eq!(browser.who().await, None);
}

#[tokio::test]
async fn signing_out_takes_a_post() {
    let house = House::new().await;
    let mut browser = house.browser();
    house.sign_in(&mut browser, |_| {}).await;
    assert_eq!(browser.get("/auth/sign-out").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(browser.who().await.is_some());
    let reply = house.browser().send(Method::POST, "/auth/sign-out", &[]).await;
    assert_eq!(reply.location, "/sign-in", "nobody is signed out to the same place");
}

#[tokio::test]
async fn who_is_not_signed_in_is_led_to_sign_in_or_told() {
    let house = House::new().await;
    let mut browser = house.browser();
    let reply = browser.send(Method::GET, "/whoami?a=b", &[("accept", "text/html")]).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!(reply.location, "/sign-in?next=%2Fwhoami%3Fa%3Db");
    let reply = browser.send(Method::POST, "/whoami", &[]).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let reply = browser.send(Method::GET, "/whoami", &[("accept", "application/json")]).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_database_opens_no_session() {
    let house = House::new().await;
    let mut browser = house.browser();
    let begun = browser.begin("/").await;
    let token = house.draft(&begun.nonce).sign();
    house.evil.says().token["id_token"] = json!(token);
    house.evil.says().discovery = json!({ "end_session_endpoint": format!("{}/end", house.evil.issuer) });
    browser.get(&begun.callback("code")).await;
    let (_, verifier) = house.evil.says().redeemed.clone().unwrap();
    let id = browser.cookie.as_ref().unwrap().split_once('=').unwrap().1.to_owned();
    let secrets = [&id, &token, &begun.state, &begun.nonce, &verifier["code_verifier"]];
    for entry in std::fs::read_dir(house.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for secret in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} has {secret}", path.display());
        }
    }
}

#[tokio::test]
async fn without_its_audit_record_nobody_is_let_in_and_nobody_is_refused() {
    let house = House::new().await;
    let mut browser = house.browser();
    for changes in [true, false] {
        let begun = browser.begin("/").await;
        house.evil.says().token["id_token"] = json!(house.draft(&begun.nonce).sign());
        let wrong = format!("/auth/callback?code=code&state={}x", begun.state);
        let path = if changes { begun.callback("code") } else { wrong };
        ops::testing::refuse_audit(&house.keyward).await;
        let before = ops::testing::rows(&house.keyward, &["sessions"]).await;
        let reply = browser.get(&path).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {}", reply.body);
        assert_eq!(ops::testing::rows(&house.keyward, &["sessions"]).await, before, "{path}");
        assert_eq!(browser.who().await, None, "{path}");
        ops::testing::mend_audit(&house.keyward).await;
    }
    house.sign_in(&mut browser, |_| {}).await;
    assert!(browser.who().await.is_some());
}

#[tokio::test]
async fn who_signs_in_again_is_asked_for_it_and_an_old_proof_is_not_taken() {
    let house = House::new().await;
    let mut browser = house.browser();
    let first = browser.begin("/").await;
    assert!(!first.url.query().unwrap().contains("max_age"), "an ordinary sign-in asks for nothing");
    // Seconds before now at which the person proved who they are, as the provider tells it.
    for (told_s, is_taken) in [(Some(5), true), (Some(3_600), false), (Some(-3_600), false), (None, true)] {
        let mut browser = house.browser();
        let begun = browser.begin_at("/auth/start?again=1&next=%2Fcases").await;
        assert_eq!(begun.param("max_age"), "0");
        let now_s = house.clock.now_ms() / 1_000;
        let mut draft = house.draft(&begun.nonce);
        if let Some(told_s) = told_s {
            draft.claims["auth_time"] = json!(now_s - told_s);
        }
        house.evil.says().token["id_token"] = json!(draft.sign());
        let reply = browser.get(&begun.callback("code")).await;
        if is_taken {
            assert_eq!(reply.location, "/cases", "{told_s:?}");
            assert!(browser.who().await.is_some());
        } else {
            house.assert_refused(&mut browser, &reply, "token", &format!("{told_s:?}")).await;
        }
    }
    // Who only signs in may have proven it long ago.
    let mut browser = house.browser();
    let hours_ago = house.clock.now_ms() / 1_000 - 7_200;
    house.sign_in(&mut browser, |draft| draft.claims["auth_time"] = json!(hours_ago)).await;
    assert_eq!(browser.get("/proven").await.body, (hours_ago * 1_000).to_string());
}
