//! ID tokens that must be refused (T-OIDC-01, T-OIDC-07), and the odd ones that must not.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    house::{CLIENT_ID, Draft, House},
    jws,
};

async fn check(house: &House, what: &str, code: &str, change: impl FnOnce(&mut Draft)) {
    let mut browser = house.browser();
    let reply = house.sign_in(&mut browser, change).await;
    house.assert_refused(&mut browser, &reply, code, what).await;
}

async fn check_text(house: &House, what: &str, code: &str, token: impl FnOnce(Draft) -> String) {
    let mut browser = house.browser();
    let reply = house.sign_in_with(&mut browser, token).await;
    house.assert_refused(&mut browser, &reply, code, what).await;
}

async fn accept(house: &House, what: &str, change: impl FnOnce(&mut Draft)) {
    let mut browser = house.browser();
    let reply = house.sign_in(&mut browser, change).await;
    assert_eq!(reply.location, "/", "{what}: {}", reply.body);
    assert!(browser.who().await.is_some(), "{what}");
}

/// Sets a claim, or removes it when the value is null.
fn set(draft: &mut Draft, name: &str, value: Value) {
    let claims = draft.claims.as_object_mut().unwrap();
    if value.is_null() {
        claims.remove(name);
    } else {
        claims.insert(name.to_owned(), value);
    }
}

#[tokio::test]
async fn a_nonce_that_is_not_exactly_ours_is_refused() {
    let house = House::new().await;
    check(&house, "missing", "nonce", |draft| set(draft, "nonce", json!(null))).await;
    check(&house, "empty", "nonce", |draft| set(draft, "nonce", json!(""))).await;
    check(&house, "other", "nonce", |draft| set(draft, "nonce", json!("other"))).await;
    check(&house, "null", "nonce", |draft| draft.claims["nonce"] = json!(null)).await;
    check(&house, "array", "nonce", |draft| draft.claims["nonce"] = json!([draft.claims["nonce"]])).await;
    check(&house, "of another sign-in", "nonce", |draft| {
        let nonce = BASE64_URL_SAFE_NO_PAD.encode([7; 32]);
        set(draft, "nonce", json!(nonce));
    })
    .await;
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let house = House::new().await;
    for algorithm in ["none", "None", "nOnE", "NONE", "", "HS256"] {
        check_text(&house, algorithm, "token", |mut draft| {
            draft.header["alg"] = json!(algorithm);
            jws::unsigned(&draft.header.to_string(), &draft.claims.to_string())
        })
        .await;
    }
    check_text(&house, "RS256, signature cut off", "token", |draft| {
        jws::unsigned(&draft.header.to_string(), &draft.claims.to_string())
    })
    .await;
    check_text(&house, "no alg", "token", |draft| {
        jws::unsigned(&json!({ "typ": "JWT" }).to_string(), &draft.claims.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_published_key_is_not_a_shared_secret() {
    let house = House::with(crate::house::Ways { secret: Some("client secret"), ..Default::default() }).await;
    let secrets = jws::public_forms(&jws::RSA).into_iter().chain([b"client secret".to_vec(), vec![]]);
    for secret in secrets {
        check_text(&house, "HS256", "token", |mut draft| {
            draft.header["alg"] = json!("HS256");
            jws::hmac(&draft.header.to_string(), &draft.claims.to_string(), &secret)
        })
        .await;
    }
}

#[tokio::test]
async fn a_signature_of_another_kind_or_by_another_key_is_refused() {
    let house = House::new().await;
    house.evil.says().keys = vec![jws::RSA.jwk(), jws::P256.jwk(), jws::P384.jwk(), jws::ED25519.jwk()];
    check(&house, "another key under this name", "token", |draft| draft.key = jws::OTHER_RSA.clone()).await;
    check(&house, "a key that nobody knows", "token", |draft| draft.by("RS256", &jws::OTHER_RSA)).await;
    check(&house, "ES256 said, RSA signed", "token", |draft| draft.header["alg"] = json!("ES256")).await;
    check(&house, "RS256 said, EC key named", "token", |draft| draft.header["kid"] = json!("p256")).await;
    check(&house, "RS256 said, EC key signed", "token", |draft| draft.by("RS256", &jws::P256)).await;
    check(&house, "ES256 with a P-384 key", "token", |draft| draft.by("ES256", &jws::P384)).await;
    check(&house, "EdDSA with an EC key", "token", |draft| draft.by("EdDSA", &jws::P256)).await;
    check_text(&house, "PS256 said, PKCS 1 padded", "token", |mut draft| {
        draft.header["alg"] = json!("PS256");
        jws::sign(&draft.header.to_string(), &draft.claims.to_string(), "RS256", &jws::RSA)
    })
    .await;
    for algorithm in ["ES512", "ES256K", "RS1", "HS512", "RSA-OAEP", "rs256"] {
        check(&house, algorithm, "token", |draft| draft.header["alg"] = json!(algorithm)).await;
    }
    check_text(&house, "claims changed after signing", "token", |draft| {
        let token = draft.sign();
        let parts: Vec<&str> = token.split('.').collect();
        let mut claims = draft.claims.clone();
        claims["sub"] = json!("root");
        format!("{}.{}.{}", parts[0], BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
    })
    .await;
}

#[tokio::test]
async fn keys_and_addresses_in_the_token_are_never_used() {
    let house = House::new().await;
    let jku = format!("{}/attacker-keys", house.evil.issuer);
    check(&house, "jwk", "token", |draft| {
        draft.by("RS256", &jws::OTHER_RSA);
        draft.header["jwk"] = jws::OTHER_RSA.jwk();
    })
    .await;
    for name in ["jku", "x5u"] {
        check(&house, name, "token", |draft| {
            draft.by("RS256", &jws::OTHER_RSA);
            draft.header[name] = json!(jku);
        })
        .await;
    }
    assert_eq!(house.evil.asked("/attacker-keys"), 0);
    accept(&house, "harmless beside a good signature", |draft| draft.header["jku"] = json!(jku)).await;
    assert_eq!(house.evil.asked("/attacker-keys"), 0);
    for kid in ["../../../../dev/null", "' OR '1'='1", "rsa\u{0}", "RSA", &"k".repeat(600)] {
        check(&house, kid, "token", |draft| draft.header["kid"] = json!(kid)).await;
    }
    check(&house, "kid is a number", "token", |draft| draft.header["kid"] = json!(1)).await;
}

#[tokio::test]
async fn headers_that_change_the_meaning_are_refused() {
    let house = House::new().await;
    check(&house, "crit", "token", |draft| draft.header["crit"] = json!(["exp"])).await;
    check(&house, "crit, empty", "token", |draft| draft.header["crit"] = json!([])).await;
    check(&house, "b64", "token", |draft| draft.header["b64"] = json!(false)).await;
    check(&house, "cty", "token", |draft| draft.header["cty"] = json!("JWT")).await;
    check(&house, "zip", "token", |draft| draft.header["zip"] = json!("DEF")).await;
    for typ in ["at+jwt", "application/at+jwt", "logout+jwt", "secevent+jwt", "JOSE", ""] {
        check(&house, typ, "token", |draft| draft.header["typ"] = json!(typ)).await;
    }
    for typ in ["JWT", "jwt", "application/jwt"] {
        accept(&house, typ, |draft| draft.header["typ"] = json!(typ)).await;
    }
    accept(&house, "no typ", |draft| {
        draft.header.as_object_mut().unwrap().remove("typ");
    })
    .await;
}

#[tokio::test]
async fn a_name_that_stands_twice_is_refused() {
    let house = House::new().await;
    for (name, value) in [("sub", "\"root\""), ("groups", "[\"keyward-admins\"]"), ("x", "{\"a\":1,\"a\":2}")]
    {
        check_text(&house, name, "token", |draft| {
            let claims = draft.claims.to_string();
            let claims = format!("{{\"{name}\":{value},\"x\":1,{}", &claims[1..]);
            jws::sign(&draft.header.to_string(), &claims, "RS256", &jws::RSA)
        })
        .await;
    }
    check_text(&house, "alg", "token", |draft| {
        let header = r#"{"alg":"none","typ":"JWT","kid":"rsa","alg":"RS256"}"#;
        jws::sign(header, &draft.claims.to_string(), "RS256", &jws::RSA)
    })
    .await;
}

#[tokio::test]
async fn what_is_not_a_token_of_a_size_to_be_read_is_refused() {
    let house = House::new().await;
    for text in ["", ".", "..", "a.b.c", "a.b.c.d.e", "e30.e30.e30"] {
        check_text(&house, text, "token", |_| text.to_owned()).await;
    }
    check(&house, "64 KiB", "token", |draft| set(draft, "padding", json!("p".repeat(64 * 1024)))).await;
    check_text(&house, "an encrypted token", "token", |draft| {
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF"}"#);
        format!("{header}.a2V5.aXY.{}.dGFn", BASE64_URL_SAFE_NO_PAD.encode(draft.sign()))
    })
    .await;
    house.evil.says().token = json!({});
    let mut browser = house.browser();
    let begun = browser.begin("/").await;
    let reply = browser.get(&begun.callback("code")).await;
    house.assert_refused(&mut browser, &reply, "token", "no ID token at all").await;
}

#[tokio::test]
async fn a_token_of_another_issuer_is_refused() {
    let house = House::new().await;
    let issuer = house.evil.issuer.clone();
    for other in [json!("https://other.example"), json!(format!("{issuer}/")), json!(""), json!(null)] {
        check(&house, "iss", "issuer", |draft| set(draft, "iss", other)).await;
    }
    check(&house, "an array", "issuer", |draft| set(draft, "iss", json!([issuer]))).await;
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused() {
    let house = House::new().await;
    for audience in [
        json!("other"),
        json!(null),
        json!([]),
        json!(["other"]),
        json!(1),
        json!({"keyward": 1}),
        json!("KEYWARD"),
    ] {
        check(&house, "aud", "token", |draft| set(draft, "aud", audience)).await;
    }
    check(&house, "several, azp missing", "token", |draft| set(draft, "aud", json!([CLIENT_ID, "other"])))
        .await;
    check(&house, "several, azp other", "token", |draft| {
        set(draft, "aud", json!([CLIENT_ID, "other"]));
        set(draft, "azp", json!("other"));
    })
    .await;
    check(&house, "one, azp other", "token", |draft| set(draft, "azp", json!("other"))).await;
    check(&house, "one, azp an array", "token", |draft| set(draft, "azp", json!([CLIENT_ID]))).await;
    check(&house, "a number beside us", "token", |draft| set(draft, "aud", json!([CLIENT_ID, 1]))).await;
    accept(&house, "one in an array", |draft| set(draft, "aud", json!([CLIENT_ID]))).await;
    accept(&house, "one, azp ours", |draft| set(draft, "azp", json!(CLIENT_ID))).await;
    accept(&house, "several, azp ours", |draft| {
        set(draft, "aud", json!(["other", CLIENT_ID]));
        set(draft, "azp", json!(CLIENT_ID));
    })
    .await;
}

#[tokio::test]
async fn a_token_out_of_its_time_is_refused() {
    let house = House::new().await;
    let now_s = ops::Clock::now_ms(&*house.clock) / 1000;
    for (what, name, value) in [
        ("expired", "exp", json!(now_s - 60)),
        ("long expired", "exp", json!(0)),
        ("never expires", "exp", json!(null)),
        ("expires at a text", "exp", json!("tomorrow")),
        ("expires before time began", "exp", json!(-1)),
        ("expires after the end of time", "exp", json!(1e300)),
        ("issued in the future", "iat", json!(now_s + 61)),
        ("never issued", "iat", json!(null)),
        ("not valid yet", "nbf", json!(now_s + 61)),
    ] {
        check(&house, what, "token", |draft| set(draft, name, value)).await;
    }
    for (what, name, value) in [
        ("expired within the tolerance", "exp", json!(now_s - 59)),
        ("lives ten years", "exp", json!(now_s + 315_360_000)),
        ("issued within the tolerance", "iat", json!(now_s + 60)),
        ("valid within the tolerance", "nbf", json!(now_s + 60)),
    ] {
        accept(&house, what, |draft| set(draft, name, value)).await;
    }
}

#[tokio::test]
async fn a_subject_that_names_nobody_is_refused() {
    let house = House::new().await;
    for subject in
        [json!(null), json!(""), json!(1), json!(["ana"]), json!("a".repeat(256)), json!("ana\u{0}")]
    {
        check(&house, &subject.to_string(), "token", |draft| set(draft, "sub", subject.clone())).await;
    }
}

#[tokio::test]
async fn an_access_token_that_the_id_token_does_not_speak_of_is_refused() {
    let house = House::new().await;
    check(&house, "at_hash", "token", |draft| set(draft, "at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"))).await;
}
