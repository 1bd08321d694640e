//! OAuth clients in the dashboard: issued, shown, changed, found; and no secret where none belongs.

use domain::{
    admins::Role,
    keys::{Proof, SecretKind, parse_as},
    scopes::Scope,
};
use ops::keys::KeyFilter;
use serde_json::json;

use crate::{
    house::{Answer, House, houses},
    jws,
    oauth::contains,
};

fn key_form<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("federation", "okta"),
        ("name", "client"),
        ("scope", "read-write"),
        ("lifetime_days", "30"),
        ("source_networks", ""),
        ("justification", ""),
    ];
    fields.extend(more);
    fields
}

fn secrets_in(text: &str) -> Vec<String> {
    let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    words
        .filter(|word| SecretKind::ALL.iter().any(|kind| parse_as(*kind, word).is_ok()))
        .map(str::to_owned)
        .collect()
}

fn assert_shows(answer: &Answer, parts: &[&str]) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    for part in parts {
        assert!(answer.body.contains(part), "{part} is not in {}", answer.body);
    }
}

async fn ids(house: &House, proof: Proof) -> Vec<String> {
    let filter = KeyFilter { proof: Some(proof), ..KeyFilter::default() };
    let views = ops::keys::list(&house.admin(), &filter).await.unwrap();
    views.into_iter().map(|view| view.key.id.to_string()).collect()
}

#[tokio::test]
async fn a_client_that_signs_is_issued_shown_and_given_other_keys() {
    for house in houses().await {
        house.federation("okta").await;
        let admin = house.signed_in(Role::Admin).await;
        let page = admin.get("/keys/new?federation=okta").await;
        assert_shows(&page, &["How does it prove itself?", "OAuth client, signed assertion", "public_keys"]);
        assert!(!page.body.contains("OAuth client, secret"), "not where the federation forbids it");
        let old = json!({ "keys": [jws::RSA.jwk()] }).to_string();
        let form = key_form(&[("proof", "assertion"), ("public_keys", &old), ("idempotency_token", "t1")]);
        let shown = admin.post("/keys/new?federation=okta", &form).await;
        let id = ids(&house, Proof::Assertion).await.pop().unwrap();
        let endpoint = "https://keyward.test/oauth2/token";
        assert_shows(&shown, &[&id, endpoint, "client_assertion", "users:read users:create users:update"]);
        assert_eq!(shown.header("cache-control"), "no-store");
        assert!(secrets_in(&shown.body).is_empty(), "a client that signs has no secret");

        let detail = admin.get(&format!("/keys/{id}")).await;
        assert_shows(&detail, &["Signed assertion", "RSA 2048, kid rsa", endpoint, "Change public keys"]);
        let form = admin.get(&format!("/keys/{id}/client")).await;
        assert_shows(&form, &["Public keys of client", "&quot;kid&quot;", "version"]);
        let new = json!({ "keys": [jws::RSA.jwk(), jws::P256.jwk()] }).to_string();
        let path = format!("/keys/{id}/client");
        let changed = admin.post(&path, &[("version", "1"), ("public_keys", &new), ("jwks_uri", "")]).await;
        assert_eq!(
            (changed.status, changed.header("location")),
            (303, &*format!("/keys/{id}")),
            "{}",
            changed.body
        );
        assert_shows(&admin.get(&format!("/keys/{id}")).await, &["RSA 2048, kid rsa", "EC P-256, kid p256"]);
        let late = admin.post(&path, &[("version", "1"), ("public_keys", &old), ("jwks_uri", "")]).await;
        assert_eq!(late.status, 409);
        let both = [("version", "2"), ("public_keys", &*old), ("jwks_uri", "https://id.example.com/jwks")];
        assert_eq!(admin.post(&path, &both).await.status, 422);
        let uri = [("version", "2"), ("public_keys", ""), ("jwks_uri", "https://id.example.com/jwks")];
        assert_eq!(admin.post(&path, &uri).await.status, 303);
        assert_shows(&admin.get(&format!("/keys/{id}")).await, &["https://id.example.com/jwks"]);
        let log = house.log().await;
        let changes = log.iter().filter(|line| *line == "key.client-changed done client").count();
        assert_eq!(changes, 2, "{log:?}");
        let rotated = admin.post(&format!("/keys/{id}/rotate"), &[("idempotency_token", "t2")]).await;
        assert_shows(&rotated, &["client-2", "client_assertion"]);
        assert_eq!(ids(&house, Proof::Assertion).await.len(), 2);
        house.close().await;
    }
}

#[tokio::test]
async fn a_private_key_is_refused_and_shown_and_kept_nowhere() {
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp-K06_nwoy_HU--CXqI9EdVhC\n-----END PRIVATE KEY-----";
    const INSIDE: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp";
    for house in houses().await {
        house.federation("okta").await;
        let admin = house.signed_in(Role::Admin).await;
        let form = key_form(&[("proof", "assertion"), ("public_keys", PRIVATE), ("idempotency_token", "t1")]);
        let refused = admin.post("/keys/new?federation=okta", &form).await;
        assert_eq!(refused.status, 422);
        assert!(refused.body.contains("private key") && refused.body.contains("value=\"client\""));
        assert!(!refused.body.contains(INSIDE), "it is not shown again");
        assert!(ids(&house, Proof::Assertion).await.is_empty());
        assert!(!house.bytes().windows(INSIDE.len()).any(|window| window == INSIDE.as_bytes()));
        for (field, more) in [
            ("public_keys", vec![("proof", "assertion")]),
            ("public_keys", vec![("proof", "assertion"), ("public_keys", "{}")]),
            ("jwks_uri", vec![("proof", "assertion"), ("jwks_uri", "http://id.example.com")]),
            ("proof", vec![("proof", "secret")]),
            ("proof", vec![("proof", "trust me")]),
        ] {
            let refused = admin.post("/keys/new?federation=okta", &key_form(&more)).await;
            assert_eq!(refused.status, 422, "{more:?}: {}", refused.body);
            assert!(refused.body.contains(&format!("id=\"{field}-error\"")), "{more:?}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_client_secret_is_shown_once_where_the_federation_allows_it() {
    for house in houses().await {
        house.federation("okta").await;
        let admin = house.signed_in(Role::Admin).await;
        let edit = [
            ("version", "1"),
            ("name", "Okta"),
            ("vendor", "okta"),
            ("owners", "a"),
            ("max_age_days", "90"),
            ("overlap_hours", "72"),
            ("warn_days", "14"),
            ("scim_shown", "yes"),
            ("scim", "oauth-secrets"),
        ];
        let too_long = [&edit[..], &[("token_minutes", "61")]].concat();
        let refused = admin.post("/federations/okta/edit", &too_long).await;
        assert_eq!(refused.status, 422);
        assert!(refused.body.contains("61 is not 5 to 60 minutes"), "{}", refused.body);
        let edit = [&edit[..], &[("token_minutes", "5")]].concat();
        assert_eq!(admin.post("/federations/okta/edit", &edit).await.status, 303);
        assert_shows(&admin.get("/keys/new?federation=okta").await, &["OAuth client, secret"]);
        let form = key_form(&[("proof", "secret"), ("idempotency_token", "t1")]);
        let shown = admin.post("/keys/new?federation=okta", &form).await;
        assert_shows(&shown, &["The client secret", "grant_type=client_credentials", "5 minutes each"]);
        let [secret] = <[String; 1]>::try_from(secrets_in(&shown.body)).unwrap();
        let again = admin.post("/keys/new?federation=okta", &form).await;
        assert_shows(&again, &["Shown before."]);
        assert!(secrets_in(&again.body).is_empty());
        let id = ids(&house, Proof::Secret).await.pop().unwrap();
        for path in [
            "/",
            "/keys",
            "/federations/okta",
            "/audit",
            &format!("/keys/{id}"),
            &format!("/keys/{id}/rotate"),
        ] {
            let page = admin.get(path).await;
            assert_eq!(page.status, 200, "{path}");
            assert!(!contains(page.body.as_bytes(), &secret), "{path}");
        }
        assert_eq!(admin.get(&format!("/keys/{id}/client")).await.status, 422, "it has no public keys");
        assert!(!contains(&house.bytes(), &secret));
        house.close().await;
    }
}

#[tokio::test]
async fn who_still_uses_a_static_key_is_told_and_found() {
    for house in houses().await {
        house.federation("okta").await;
        house.federation("entra").await;
        let admin = house.signed_in(Role::Admin).await;
        assert!(!admin.get("/").await.body.contains("Still static keys"));
        house.key("okta", "by-hand", Scope::full_directory()).await;
        let keys = json!({ "keys": [jws::P256.jwk()] }).to_string();
        let form = key_form(&[("proof", "assertion"), ("public_keys", &keys), ("idempotency_token", "t1")]);
        assert_eq!(admin.post("/keys/new?federation=okta", &form).await.status, 200);
        let overview = admin.get("/").await;
        assert_shows(&overview, &["Still static keys", "1 of 2 accepted keys"]);
        let link = "/keys?federation=okta&amp;proof=static&amp;state=accepted";
        assert!(overview.body.contains(link), "{}", overview.body);
        assert_shows(&admin.get("/federations/okta").await, &["1 of 2 accepted", "static keys"]);
        let list = admin.get("/keys?proof=static").await;
        assert_shows(&list, &["by-hand", "Static key"]);
        assert!(!list.body.contains(">client<"));
        let list = admin.get("/keys?proof=assertion").await;
        assert!(list.body.contains(">client<") && !list.body.contains(">by-hand<"));
        house.close().await;
    }
}
