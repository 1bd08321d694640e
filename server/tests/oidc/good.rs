//! Who is let in, as what, and as whom (T-OIDC-05).

use axum::http::StatusCode;
use domain::{
    admins::Role,
    audit::{Action, Outcome},
    federations::Slug,
};
use openidconnect::{PkceCodeChallenge, PkceCodeVerifier};
use serde_json::{Value, json};

use crate::{
    house::{CLIENT_ID, House, Ways},
    jws,
};

#[tokio::test]
async fn somebody_whose_claim_maps_to_a_role_is_let_in() {
    let house = House::with(Ways { secret: Some("sec:ret"), ..Default::default() }).await;
    let mut browser = house.browser();
    let begun = browser.begin("/federations").await;
    assert!(begun.url.as_str().starts_with(&format!("{}/authorize?", house.evil.issuer)));
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", "https://keyward.test/auth/callback"),
        ("scope", "openid profile groups"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(begun.param(name), value, "{name}");
    }
    house.evil.says().token["id_token"] = json!(house.draft(&begun.nonce).sign());
    let reply = browser.get(&begun.callback("the-code")).await;
    assert_eq!((reply.status, reply.location.as_str()), (StatusCode::SEE_OTHER, "/federations"));

    let (authorization, form) = house.evil.says().redeemed.clone().unwrap();
    assert_eq!(authorization.unwrap(), "Basic a2V5d2FyZDpzZWMlM0FyZXQ=");
    assert_eq!(form["code"], "the-code");
    assert_eq!(form["redirect_uri"], "https://keyward.test/auth/callback");
    let challenge =
        PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(form["code_verifier"].clone()));
    assert_eq!(challenge.as_str(), begun.param("code_challenge"));

    let admin = browser.who().await.unwrap();
    assert_eq!((admin.issuer.as_str(), admin.subject.as_str()), (house.evil.issuer.as_str(), "ana"));
    assert_eq!(admin.name, "Ana Ferreira");
    assert_eq!(admin.role, Role::Admin);
    let record = house.newest(Action::AdminSignedIn).await.unwrap();
    assert_eq!(record.event.outcome, Outcome::Done);
    assert_eq!(record.event.actor.id, format!("{} ana", house.evil.issuer));
}

#[tokio::test]
async fn a_secret_goes_into_the_body_where_the_provider_wants_it_there() {
    let house = House::with(Ways { secret: Some("secret"), ..Default::default() }).await;
    house.evil.says().discovery = json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] });
    assert_eq!(house.sign_in(&mut house.browser(), |_| {}).await.location, "/");
    let (authorization, form) = house.evil.says().redeemed.clone().unwrap();
    assert_eq!((authorization, form["client_secret"].as_str()), (None, "secret"));
}

#[tokio::test]
async fn every_public_key_signature_of_the_list_is_accepted() {
    let house = House::new().await;
    house.evil.says().keys = vec![jws::RSA.jwk(), jws::P256.jwk(), jws::P384.jwk(), jws::ED25519.jwk()];
    for (algorithm, key) in [
        ("RS256", &jws::RSA),
        ("RS384", &jws::RSA),
        ("RS512", &jws::RSA),
        ("PS256", &jws::RSA),
        ("PS384", &jws::RSA),
        ("PS512", &jws::RSA),
        ("ES256", &jws::P256),
        ("ES384", &jws::P384),
        ("EdDSA", &jws::ED25519),
    ] {
        let mut browser = house.browser();
        let reply = house.sign_in(&mut browser, |draft| draft.by(algorithm, key)).await;
        assert_eq!(reply.location, "/", "{algorithm}");
        assert!(browser.who().await.is_some(), "{algorithm}");
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_is_asked_below_it() {
    let house = House::with(Ways { path: "/realms/house", ..Default::default() }).await;
    let mut browser = house.browser();
    assert_eq!(house.sign_in(&mut browser, |_| {}).await.location, "/");
    assert_eq!(browser.who().await.unwrap().issuer, house.evil.issuer);
    assert!(house.evil.issuer.ends_with("/realms/house"));
}

#[tokio::test]
async fn roles_come_from_the_claim_and_the_widest_wins() {
    let house = House::new().await;
    let slug = |text: &str| Slug::parse(text).unwrap();
    for (groups, role) in [
        (json!("keyward-managers"), Role::Manager),
        (json!(["okta-operators", "staff"]), Role::Operator(vec![slug("okta-production")])),
        (
            json!(["okta-operators", "hr-operators"]),
            Role::Operator(vec![slug("okta-production"), slug("workday-entra")]),
        ),
        (json!(["okta-operators", "keyward-managers"]), Role::Manager),
        (json!(["keyward-managers", "keyward-admins"]), Role::Admin),
    ] {
        let mut browser = house.browser();
        house.sign_in(&mut browser, |draft| draft.claims["groups"] = groups.clone()).await;
        assert_eq!(browser.who().await.unwrap().role, role, "{groups}");
    }
}

#[tokio::test]
async fn a_role_may_be_deep_in_the_claims() {
    let house = House::with(Ways { roles_claim: Some("realm_access.roles"), ..Default::default() }).await;
    let mut browser = house.browser();
    let roles = json!({ "roles": ["keyward-managers"] });
    house.sign_in(&mut browser, |draft| draft.claims["realm_access"] = roles).await;
    assert_eq!(browser.who().await.unwrap().role, Role::Manager);
}

#[tokio::test]
async fn roles_that_the_token_does_not_have_come_from_userinfo_of_the_same_person() {
    let house = House::new().await;
    let without = |claims: &mut Value| {
        claims.as_object_mut().unwrap().remove("groups");
    };
    house.evil.says().userinfo =
        json!({ "sub": "ana", "groups": ["keyward-managers"], "name": "Somebody else" });
    let mut browser = house.browser();
    house.sign_in(&mut browser, |draft| without(&mut draft.claims)).await;
    let admin = browser.who().await.unwrap();
    assert_eq!((admin.role, admin.name.as_str()), (Role::Manager, "Ana Ferreira"), "the token goes first");

    for userinfo in [
        json!({ "sub": "rui", "groups": ["keyward-admins"] }),
        json!({ "groups": ["keyward-admins"] }),
        json!(["keyward-admins"]),
    ] {
        house.evil.says().userinfo = userinfo;
        let mut browser = house.browser();
        let reply = house.sign_in(&mut browser, |draft| without(&mut draft.claims)).await;
        house.assert_refused(&mut browser, &reply, "token", "userinfo of somebody else").await;
    }

    let asked = house.evil.asked("/userinfo");
    house.sign_in(&mut house.browser(), |_| {}).await;
    assert_eq!(house.evil.asked("/userinfo"), asked, "what the token says is not asked again");
}

#[tokio::test]
async fn somebody_without_a_role_gets_no_session_and_learns_what_is_missing() {
    let house = House::new().await;
    let mut browser = house.browser();
    let reply = house
        .sign_in(&mut browser, |draft| {
            draft.claims["groups"] = json!(["staff", "<script>alert(1)</script>", "a".repeat(500)]);
        })
        .await;
    assert_eq!(reply.location, "/sign-in?error=no-role");
    assert_eq!(browser.who().await, None);
    let record = house.newest(Action::AdminSignInRefused).await.unwrap();
    assert_eq!(record.event.actor.id, format!("{} ana", house.evil.issuer));
    let page: Value = serde_json::from_str(&browser.get("/no-role").await.body).unwrap();
    assert_eq!(
        page,
        json!({
            "name": "Ana Ferreira",
            "claim": "groups",
            "received": ["staff", "<script>alert(1)</script>", "a".repeat(100)],
            "expected": ["hr-operators", "keyward-admins", "keyward-managers", "okta-operators"],
        })
    );
    assert_eq!(house.browser().get("/no-role").await.body, "null", "nobody else is told");
}

#[tokio::test]
async fn who_had_a_session_and_comes_back_without_a_role_has_none() {
    let house = House::new().await;
    let mut browser = house.browser();
    house.sign_in(&mut browser, |_| {}).await;
    assert!(browser.who().await.is_some());
    house.sign_in(&mut browser, |draft| draft.claims["groups"] = json!([])).await;
    assert_eq!(browser.who().await, None);
}

#[tokio::test]
async fn an_e_mail_address_links_nobody_to_nobody() {
    let house = House::new().await;
    for verified in [json!(true), json!(false), json!("true"), json!(null)] {
        let mut first = house.browser();
        house.sign_in(&mut first, |draft| draft.claims["email"] = json!("ceo@example.com")).await;
        let mut second = house.browser();
        let reply = house
            .sign_in(&mut second, |draft| {
                draft.claims["sub"] = json!("mallory");
                draft.claims["email"] = json!("ceo@example.com");
                draft.claims["groups"] = json!("keyward-managers");
                if !verified.is_null() {
                    draft.claims["email_verified"] = verified.clone();
                }
            })
            .await;
        assert_eq!(reply.location, "/compliance", "{verified}");
        let (first, second) = (first.who().await.unwrap(), second.who().await.unwrap());
        assert_eq!(first.email, second.email);
        assert_eq!((first.subject.as_str(), first.role), ("ana", Role::Admin));
        assert_eq!((second.subject.as_str(), second.role), ("mallory", Role::Manager), "{verified}");
    }
}

#[tokio::test]
async fn names_come_without_what_confuses_their_reader() {
    let house = House::new().await;
    let mut browser = house.browser();
    house
        .sign_in(&mut browser, |draft| draft.claims["name"] = json!("Ana\r\n\u{1b}[31m\u{202e}Ferreira\u{0}"))
        .await;
    assert_eq!(browser.who().await.unwrap().name, "Ana[31mFerreira");
}

#[tokio::test]
async fn a_code_that_is_not_redeemed_is_a_refusal() {
    let house = House::new().await;
    house.evil.says().token = json!({ "error": "invalid_grant", "error_description": "<b>no</b>" });
    let mut browser = house.browser();
    let begun = browser.begin("/").await;
    let reply = browser.get(&begun.callback("code")).await;
    house.assert_refused(&mut browser, &reply, "token", "invalid_grant").await;
}

#[tokio::test]
async fn a_manager_who_came_for_no_page_is_brought_to_compliance_and_others_to_the_overview() {
    let house = House::new().await;
    for (groups, next, location) in [
        ("keyward-managers", "/", "/compliance"),
        ("keyward-managers", "/keys?q=a", "/keys?q=a"),
        ("keyward-admins", "/", "/"),
        ("okta-operators", "/", "/"),
    ] {
        let mut browser = house.browser();
        let begun = browser.begin(next).await;
        let mut draft = house.draft(&begun.nonce);
        draft.claims["groups"] = json!(groups);
        house.evil.says().token["id_token"] = json!(draft.sign());
        assert_eq!(browser.get(&begun.callback("code")).await.location, location, "{groups} to {next}");
    }
}
