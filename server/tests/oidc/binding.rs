//! The answer belongs to a question of this browser, and counts once (T-OIDC-02, T-OIDC-06).

use axum::http::StatusCode;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;

use crate::house::{House, MINUTE_MS};

#[tokio::test]
async fn an_answer_in_a_browser_without_the_cookie_is_refused() {
    let house = House::new().await;
    let begun = house.browser().begin("/").await;
    house.evil.says().token["id_token"] = json!(house.draft(&begun.nonce).sign());
    let mut other = house.browser();
    let reply = other.get(&begun.callback("code")).await;
    house.assert_refused(&mut other, &reply, "state", "no cookie").await;
    assert_eq!(house.evil.asked("/token"), 0, "the code is not even redeemed");
}

#[tokio::test]
async fn an_answer_in_another_browser_is_refused() {
    let house = House::new().await;
    let begun = house.browser().begin("/").await;
    let mut other = house.browser();
    other.begin("/").await;
    house.evil.says().token["id_token"] = json!(house.draft(&begun.nonce).sign());
    let reply = other.get(&begun.callback("code")).await;
    house.assert_refused(&mut other, &reply, "state", "another browser's cookie").await;
    assert_eq!(house.evil.asked("/token"), 0);
}

#[tokio::test]
async fn an_answer_that_comes_twice_is_refused_the_second_time() {
    let house = House::new().await;
    let mut browser = house.browser();
    let begun = browser.begin("/").await;
    let before = browser.clone();
    house.evil.says().token["id_token"] = json!(house.draft(&begun.nonce).sign());
    assert_eq!(browser.get(&begun.callback("code")).await.location, "/");
    for (mut again, what) in [(before, "with the cookie from before"), (house.browser(), "without a cookie")]
    {
        let reply = again.get(&begun.callback("code")).await;
        house.assert_refused(&mut again, &reply, "state", what).await;
    }
    let reply = browser.get(&begun.callback("code")).await;
    assert_eq!(reply.location, "/sign-in?error=state");
    assert_eq!(house.evil.asked("/token"), 1);
}

#[tokio::test]
async fn a_state_is_used_up_by_a_refusal_too() {
    let house = House::new().await;
    let mut browser = house.browser();
    let begun = browser.begin("/").await;
    house.evil.says().token["id_token"] = json!("rubbish");
    assert_eq!(browser.get(&begun.callback("code")).await.location, "/sign-in?error=token");
    house.evil.says().token["id_token"] = json!(house.draft(&begun.nonce).sign());
    let reply = browser.get(&begun.callback("code")).await;
    house.assert_refused(&mut browser, &reply, "state", "after a refusal").await;
}

#[tokio::test]
async fn an_answer_after_ten_minutes_is_refused() {
    let house = House::new().await;
    let mut browser = house.browser();
    let begun = browser.begin("/").await;
    house.clock.advance(10 * MINUTE_MS);
    house.evil.says().token["id_token"] = json!(house.draft(&begun.nonce).sign());
    let reply = browser.get(&begun.callback("code")).await;
    house.assert_refused(&mut browser, &reply, "expired", "ten minutes").await;

    let begun = browser.begin("/").await;
    house.clock.advance(10 * MINUTE_MS - 1);
    house.evil.says().token["id_token"] = json!(house.draft(&begun.nonce).sign());
    assert_eq!(browser.get(&begun.callback("code")).await.location, "/");
}

#[tokio::test]
async fn an_answer_after_an_hour_finds_nothing() {
    let house = House::new().await;
    let mut browser = house.browser();
    let begun = browser.begin("/").await;
    house.clock.advance(60 * MINUTE_MS);
    let reply = browser.get(&begun.callback("code")).await;
    house.assert_refused(&mut browser, &reply, "state", "an hour").await;
}

#[tokio::test]
async fn malformed_answers_are_refused() {
    let house = House::new().await;
    let mut browser = house.browser();
    let state = browser.begin("/").await.state;
    for query in [
        String::new(),
        "code=code".to_owned(),
        "code=code&state=".to_owned(),
        "code=code&state=other".to_owned(),
        format!("code=code&state={}", state.to_lowercase()),
        format!("code=code&state={state}&state={state}"),
        format!("code=code&code=other&state={state}"),
        format!("state={state}"),
    ] {
        let reply = browser.get(&format!("/auth/callback?{query}")).await;
        house.assert_refused(&mut browser, &reply, "state", &query).await;
    }
    assert_eq!(house.evil.asked("/token"), 0);
}

#[tokio::test]
async fn sign_ins_in_two_tabs_do_not_disturb_each_other() {
    let house = House::new().await;
    let mut browser = house.browser();
    let first = browser.begin("/keys").await;
    let _second = browser.begin("/audit").await;
    house.evil.says().token["id_token"] = json!(house.draft(&first.nonce).sign());
    assert_eq!(browser.get(&first.callback("code")).await.location, "/keys");
}

#[tokio::test]
async fn what_a_sign_in_is_made_of_is_random_and_unrelated() {
    let house = House::new().await;
    let mut browser = house.browser();
    let begun = browser.begin("/").await;
    let id = browser.cookie.clone().unwrap().split_once('=').unwrap().1.to_owned();
    let mut values = vec![begun.state.clone(), begun.nonce.clone(), begun.param("code_challenge")];
    let mut other = house.browser();
    let begun = other.begin("/").await;
    values.extend([begun.state.clone(), begun.nonce.clone(), begun.param("code_challenge"), id]);
    for (index, value) in values.iter().enumerate() {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(value).unwrap();
        assert!(bytes.len() >= 16, "{value}");
        for other in &values[index + 1..] {
            assert_ne!(value, other);
            assert!(!other.contains(&value[..8]), "{value} and {other} are related");
        }
    }
}

#[tokio::test]
async fn the_answer_of_another_issuer_is_refused() {
    // RFC 9207: whatever the provider advertises, an `iss` that is sent must be right.
    for advertised in [false, true] {
        let house = House::new().await;
        house.evil.says().discovery = json!({ "authorization_response_iss_parameter_supported": advertised });
        let right = house.evil.issuer.clone();
        for (issuer, is_right) in [
            (Some(right.clone()), true),
            (Some(format!("{right}/")), false),
            (Some("https://other.example".to_owned()), false),
            (Some(String::new()), false),
            (None, !advertised),
        ] {
            let mut browser = house.browser();
            let begun = browser.begin("/").await;
            house.evil.says().token["id_token"] = json!(house.draft(&begun.nonce).sign());
            let mut callback = begun.callback("code");
            if let Some(issuer) = &issuer {
                callback.extend(["&iss=", issuer]);
            }
            let asked = house.evil.asked("/token");
            let reply = browser.get(&callback).await;
            if is_right {
                assert_eq!(reply.location, "/", "advertised: {advertised}, iss: {issuer:?}");
            } else {
                let what = format!("advertised: {advertised}, iss: {issuer:?}");
                house.assert_refused(&mut browser, &reply, "issuer", &what).await;
                assert_eq!(house.evil.asked("/token"), asked, "a code of another issuer is not redeemed");
            }
        }
    }
}

#[tokio::test]
async fn the_answer_of_another_house_of_the_same_browser_is_refused() {
    let (house, other) = (House::new().await, House::new().await);
    let mut browser = house.browser();
    browser.begin("/").await;
    // The second one there: chance is the same in both houses.
    other.browser().begin("/").await;
    let of_other = other.browser().begin("/").await;
    let reply = browser.get(&format!("{}&iss={}", of_other.callback("code"), other.evil.issuer)).await;
    house.assert_refused(&mut browser, &reply, "state", "mix-up").await;
}

#[tokio::test]
async fn what_the_provider_says_is_not_repeated() {
    let house = House::new().await;
    for (error, code) in [
        ("access_denied", "denied"),
        ("login_required", "denied"),
        ("temporarily_unavailable", "provider-unreachable"),
        ("%3Cscript%3Ealert(1)%3C/script%3E", "denied"),
        ("x%0D%0ASet-Cookie:%20a=b", "denied"),
    ] {
        let mut browser = house.browser();
        let begun = browser.begin("/").await;
        let path = format!(
            "/auth/callback?state={}&error={error}&error_description=%3Cimg%20src=x%3E&error_uri=https://evil.example",
            begun.state
        );
        let reply = browser.get(&path).await;
        house.assert_refused(&mut browser, &reply, code, error).await;
        assert!(!reply.body.contains('<'), "{}", reply.body);
        let record = house.newest(domain::audit::Action::AdminSignInRefused).await.unwrap();
        assert!(!record.event.reason.unwrap().contains(['<', '\r', '\n']));
    }
}

#[tokio::test]
async fn after_sign_in_the_browser_stays_on_this_server() {
    let house = House::new().await;
    for (next, lands_on) in [
        ("/keys?federation=okta-production", "/keys?federation=okta-production"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/\t/evil.example/", "/"),
        ("/auth/start", "/"),
    ] {
        let mut browser = house.browser();
        let begun = browser.begin(next).await;
        house.evil.says().token["id_token"] = json!(house.draft(&begun.nonce).sign());
        let reply = browser.get(&begun.callback("code")).await;
        assert_eq!((reply.status, reply.location.as_str()), (StatusCode::SEE_OTHER, lands_on), "{next:?}");
    }
}
