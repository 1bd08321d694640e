//! OAuth over HTTP: the token endpoint, its attackers, and its tokens at the SCIM edge (T-OIDC-07,
//! T-OAUTH-01, T-AUTHZ-05).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{
    KeyId,
    federations::{ScimSettings, Slug},
    keys::{SecretKind, compose_as},
    scopes::{ResourceKind, Scope, Verb},
};
use http::Request;
use ops::{
    federations::EditFederation,
    oauth::{ChangeClient, NewClient},
};
use serde_json::{Value, json};

use crate::{
    house::{Answer, Client, House, OWN, form, house, houses, new_key},
    jws::{self, Key},
};

const ENDPOINT: &str = "https://keyward.test/oauth2/token";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

static JTI: AtomicU64 = AtomicU64::new(0);

/// Sends a form to the token endpoint, as a program does: no cookie, no origin.
pub async fn post(house: &House, headers: &[(&str, &str)], body: impl Into<String>) -> Answer {
    let mut request =
        Request::post("/oauth2/token").header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    house.ask(request.body(body.into().into()).unwrap()).await
}

pub async fn ask(house: &House, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("grant_type", "client_credentials"),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
    ];
    fields.extend(more);
    post(house, &[], form(&fields)).await
}

/// An assertion before it is signed.
pub struct Draft {
    header: Value,
    claims: Value,
    key: Arc<Key>,
}

impl Draft {
    pub fn of(house: &House, client: &KeyId, algorithm: &str, key: &Arc<Key>) -> Self {
        let now = house.keyward.clock().now_ms() / 1_000;
        let jti = JTI.fetch_add(1, Ordering::Relaxed).to_string();
        Self {
            header: json!({ "alg": algorithm, "typ": "JWT", "kid": key.kid }),
            claims: json!({
                "iss": client, "sub": client, "aud": OWN, "jti": jti, "iat": now, "exp": now + 120
            }),
            key: Arc::clone(key),
        }
    }

    pub fn sign(&self) -> String {
        let algorithm = self.header["alg"].as_str().unwrap_or_default();
        jws::sign(&self.header.to_string(), &self.claims.to_string(), algorithm, &self.key)
    }
}

fn jwks(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// A client of the federation `okta` that signs with some keys.
pub async fn client(house: &House, name: &str, scope: Scope, keys: &[&Key]) -> KeyId {
    let new = new_key(&Slug::parse("okta").unwrap(), name, scope);
    let keys = NewClient::PublicKeys(jwks(keys));
    ops::keys::issue_client(&house.admin(), new, keys).await.unwrap().key.id
}

async fn token(house: &House, client: &KeyId, key: &Arc<Key>, algorithm: &str) -> String {
    let answer = ask(house, &Draft::of(house, client, algorithm, key).sign(), &[]).await;
    assert_eq!(answer.status, 200, "{algorithm}: {}", answer.body);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

fn bearer<'a>(house: &'a House, token: &str) -> Client<'a> {
    Client { house, base: "/scim/okta/v2".to_owned(), key: token.to_owned() }
}

async fn allow_secrets(house: &House, slug: &str) {
    let slug = Slug::parse(slug).unwrap();
    let before = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
    let edit = EditFederation {
        version: before.version,
        name: before.name,
        vendor: before.vendor.as_str().to_owned(),
        owners: before.owners.join(","),
        notes: before.notes,
        max_age_days: 90,
        overlap_hours: 72,
        warn_days: 14,
        scim: Some(ScimSettings { oauth_secrets: true, ..ScimSettings::default() }),
    };
    ops::federations::edit(&house.admin(), &slug, edit).await.unwrap();
}

/// Asserts that an answer is a refusal of RFC 6749 5.2.
fn assert_refused(answer: &Answer, status: u16, error: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.body);
    assert_eq!(answer.json()["error"], error, "{what}");
    assert_eq!(answer.header("content-type"), "application/json", "{what}");
    assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    let names: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["error", "error_description"], "{what}");
}

#[tokio::test]
async fn the_metadata_says_what_is_offered() {
    let house = house().await;
    let request = Request::get("/.well-known/oauth-authorization-server").body(String::new().into()).unwrap();
    let answer = house.ask(request).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(
        answer.json(),
        json!({
            "issuer": OWN,
            "token_endpoint": ENDPOINT,
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic", "client_secret_post"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
            "scopes_supported": [
                "users:read", "users:create", "users:update", "users:delete",
                "groups:read", "groups:create", "groups:update", "groups:delete"
            ],
        })
    );
    house.close().await;
}

#[tokio::test]
async fn a_signed_assertion_gets_a_token_that_opens_scim() {
    for house in houses().await {
        house.federation("okta").await;
        let all = [&**jws::RSA, &**jws::P256, &**jws::ED25519];
        let id = client(&house, "client", Scope::full_directory(), &all).await;
        for (algorithm, key) in
            [("RS256", &*jws::RSA), ("PS256", &*jws::RSA), ("ES256", &*jws::P256), ("EdDSA", &*jws::ED25519)]
        {
            for audience in [json!(OWN), json!(ENDPOINT), json!([ENDPOINT])] {
                let mut draft = Draft::of(&house, &id, algorithm, key);
                draft.claims["aud"] = audience;
                let answer = ask(&house, &draft.sign(), &[("client_id", id.as_str())]).await;
                assert_eq!(answer.status, 200, "{algorithm}: {}", answer.body);
                assert_eq!(answer.header("cache-control"), "no-store");
                assert_eq!(answer.header("pragma"), "no-cache");
                assert_eq!(answer.header("content-type"), "application/json");
                let body = answer.json();
                assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(900)));
                assert!(body.get("refresh_token").is_none());
                let token = body["access_token"].as_str().unwrap();
                assert!(token.starts_with("kwt_"), "{token}");
                let name = format!("{algorithm}-{}", JTI.fetch_add(1, Ordering::Relaxed));
                bearer(&house, token).user(&name).await;
                assert!(!contains(&house.bytes(), token), "{algorithm}: the token is stored");
            }
        }
        let usage = ops::usage::of_key(&house.admin(), &id, 50).await.unwrap();
        assert_eq!(usage.len(), 12, "one record for each request, none for the tokens");
        let given = house.log().await.iter().filter(|line| *line == "token.issued done client").count();
        assert_eq!(given, 12);
        house.close().await;
    }
}

/// Whether the digits of a secret stand somewhere.
pub fn contains(hay: &[u8], secret: &str) -> bool {
    let digits = &secret.as_bytes()[27..];
    hay.windows(digits.len()).any(|window| window == digits)
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one ring of attacks, each a line")]
async fn no_attacker_gets_a_token_and_all_are_told_the_same() {
    for house in houses().await {
        house.federation("okta").await;
        let id = client(&house, "client", Scope::full_directory(), &[&jws::RSA, &jws::P256]).await;
        let other = client(&house, "other", Scope::full_directory(), &[&jws::OTHER_RSA]).await;
        let unknown = KeyId::new(1, [9; 10]);
        let (static_id, _) = house.key("okta", "static", Scope::full_directory()).await;
        let draft = |change: &dyn Fn(&mut Draft)| {
            let mut draft = Draft::of(&house, &id, "RS256", &jws::RSA);
            change(&mut draft);
            draft.sign()
        };
        let fresh = || Draft::of(&house, &id, "RS256", &jws::RSA);
        let header = |name: &'static str, value: Value| draft(&|draft| draft.header[name] = value.clone());
        let claim = |name: &'static str, value: Value| draft(&|draft| draft.claims[name] = value.clone());
        let now = house.keyward.clock().now_ms() / 1_000;
        let mut attacks: Vec<(String, String)> = Vec::new();
        let mut attack = |what: &str, assertion: String| attacks.push((what.to_owned(), assertion));
        for algorithm in ["none", "None", "nOnE", ""] {
            let mut draft = fresh();
            draft.header["alg"] = json!(algorithm);
            attack("no signature", jws::unsigned(&draft.header.to_string(), &draft.claims.to_string()));
        }
        for secret in jws::public_forms(&jws::RSA) {
            let mut draft = fresh();
            draft.header["alg"] = json!("HS256");
            let (header, claims) = (draft.header.to_string(), draft.claims.to_string());
            attack("an HMAC under the public key", jws::hmac(&header, &claims, &secret));
            draft.header["alg"] = json!("RS256");
            let header = draft.header.to_string();
            attack("the same under the name of RS256", jws::hmac(&header, &claims, &secret));
        }
        for algorithm in ["RS384", "RS512", "PS384", "PS512"] {
            attack("an algorithm that is not offered", header("alg", json!(algorithm)));
        }
        let swapped = |name: &str, key: &Arc<Key>, with: &str| {
            let mut draft = fresh();
            draft.header["alg"] = json!(name);
            draft.header["kid"] = json!(key.kid);
            jws::sign(&draft.header.to_string(), &draft.claims.to_string(), with, key)
        };
        attack("ES256 said and RS256 done", swapped("ES256", &jws::RSA, "RS256"));
        attack("RS256 said and ES256 done", swapped("RS256", &jws::P256, "ES256"));
        attack("PS256 said and RS256 done", swapped("PS256", &jws::RSA, "RS256"));
        attack("a curve that is not offered", swapped("ES384", &jws::P384, "ES384"));
        attack("another key under the right name", {
            let draft = fresh();
            jws::sign(&draft.header.to_string(), &draft.claims.to_string(), "RS256", &jws::OTHER_RSA)
        });
        for (name, value) in [
            ("jwk", jws::OTHER_RSA.jwk()),
            ("jku", json!("https://evil.example/jwks")),
            ("x5u", json!("https://evil.example/x5u")),
            ("x5c", json!(["AAAA"])),
        ] {
            let mut draft = fresh();
            draft.header[name] = value.clone();
            draft.key = Arc::clone(&jws::OTHER_RSA);
            attack("a key of its own", draft.sign());
            attack("a key of its own beside the right one", header(name, value));
        }
        for (name, value) in [
            ("crit", json!(["exp"])),
            ("b64", json!(false)),
            ("cty", json!("JWT")),
            ("zip", json!("DEF")),
            ("typ", json!("at+jwt")),
            ("typ", json!("logout+jwt")),
            ("kid", json!("../../../../dev/null")),
            ("kid", json!("' UNION SELECT 'x")),
            ("kid", json!(["rsa"])),
        ] {
            attack(&format!("{name} {value}"), header(name, value));
        }
        for (name, value) in [
            ("iss", json!(other)),
            ("sub", json!(other)),
            ("iss", Value::Null),
            ("aud", json!("https://other.example")),
            ("aud", json!("https://keyward.test/scim/okta/v2")),
            ("aud", json!([])),
            ("aud", Value::Null),
            ("exp", json!(now - 60)),
            ("exp", json!(now + 3_600)),
            ("exp", json!(9_999_999_999_999_i64)),
            ("exp", Value::Null),
            ("iat", json!(now + 120)),
            ("nbf", json!(now + 120)),
            ("jti", Value::Null),
            ("jti", json!("")),
        ] {
            attack(&format!("{name} {value}"), claim(name, value));
        }
        for somebody in [&other, &unknown, &static_id] {
            let both = |draft: &mut Draft| {
                draft.claims["iss"] = json!(somebody);
                draft.claims["sub"] = json!(somebody);
            };
            attack("somebody else", draft(&both));
        }
        let twice = fresh().claims.to_string().replacen('{', &format!("{{\"sub\":\"{other}\","), 1);
        attack("a claim twice", jws::sign(&fresh().header.to_string(), &twice, "RS256", &jws::RSA));
        let good = fresh().sign();
        let parts: Vec<&str> = good.split('.').collect();
        attack("cut", good[..good.len() - 2].to_owned());
        attack("no signature at all", format!("{}.{}.", parts[0], parts[1]));
        attack("two parts", format!("{}.{}", parts[0], parts[1]));
        attack("five parts", format!("{good}.AAAA.AAAA"));
        attack("padded", format!("{good}=="));
        attack("garbage", "garbage".to_owned());
        attack("a bomb", format!("{good}{}", "A".repeat(20_000)));

        let mut first: Option<Answer> = None;
        for (what, assertion) in &attacks {
            let answer = ask(&house, assertion, &[]).await;
            assert_refused(&answer, 401, "invalid_client", what);
            assert!(answer.header("www-authenticate").starts_with("Basic "), "{what}");
            match &first {
                None => first = Some(answer),
                Some(first) => {
                    assert_eq!(answer.body, first.body, "{what}");
                    assert_eq!(answer.steady_headers(), first.steady_headers(), "{what}");
                }
            }
        }
        assert!(attacks.len() > 50);
        assert!(!house.log().await.iter().any(|line| line.starts_with("token.issued")));
        assert_eq!(ask(&house, &good, &[]).await.status, 200, "the one that all were made of");
        let again = ask(&house, &good, &[]).await;
        assert_refused(&again, 401, "invalid_client", "replayed");
        assert_eq!(again.body, first.unwrap().body);
        house.close().await;
    }
}

#[tokio::test]
async fn a_token_does_what_its_key_may_or_less_and_nothing_of_another_federation() {
    for house in houses().await {
        house.federation("okta").await;
        house.federation("entra").await;
        let scope = Scope::of([(ResourceKind::Users, Verb::Read), (ResourceKind::Users, Verb::Create)]);
        let id = client(&house, "client", scope, &[&jws::P256]).await;
        let with = async |scope: &str| {
            let draft = Draft::of(&house, &id, "ES256", &jws::P256);
            ask(&house, &draft.sign(), &[("scope", scope)]).await
        };
        for scope in ["users:delete", "users:read groups:read", "openid", "users:read users:*", "USERS:READ"]
        {
            assert_refused(&with(scope).await, 400, "invalid_scope", scope);
        }
        let narrow = with("users:read").await;
        assert_eq!(narrow.json()["scope"], "users:read");
        let narrow = narrow.json()["access_token"].as_str().unwrap().to_owned();
        let user = json!({ "userName": "mia" });
        assert_eq!(bearer(&house, &narrow).get("/Users").await.status, 200);
        bearer(&house, &narrow).post("/Users", &user).await.assert_scim_error(403, "narrowed");
        let whole = with("").await;
        assert_eq!(whole.json()["scope"], "users:read users:create");
        let whole = whole.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(bearer(&house, &whole).post("/Users", &user).await.status, 201);
        bearer(&house, &whole).get("/Groups").await.assert_scim_error(403, "not of the key");
        let elsewhere = Client { house: &house, base: "/scim/entra/v2".to_owned(), key: whole.clone() };
        elsewhere.get("/Users").await.assert_scim_error(404, "another federation");
        let address = format!("/Users?access_token={whole}");
        bearer(&house, &whole).get(&address).await.assert_scim_error(400, "a token in the address");
        house.close().await;
    }
}

#[tokio::test]
async fn a_dead_token_looks_like_no_token_of_ours() {
    for house in houses().await {
        house.federation("okta").await;
        let id = client(&house, "client", Scope::full_directory(), &[&jws::P256, &jws::RSA]).await;
        let revoked_id = client(&house, "revoked", Scope::full_directory(), &[&jws::P256]).await;
        let expired = token(&house, &id, &jws::P256, "ES256").await;
        house.clock.advance(900_000);
        let removed = token(&house, &id, &jws::RSA, "RS256").await;
        let kept = token(&house, &id, &jws::P256, "ES256").await;
        let revoked = token(&house, &revoked_id, &jws::P256, "ES256").await;
        for token in [&removed, &kept, &revoked] {
            assert_eq!(bearer(&house, token).get("/Users").await.status, 200);
        }
        ops::keys::revoke(&house.admin(), &revoked_id, "leaked").await.unwrap();
        let version = ops::keys::open(&house.admin(), &id).await.unwrap().key.version;
        let only = ChangeClient { version, client: NewClient::PublicKeys(jwks(&[&jws::P256])) };
        ops::oauth::change(&house.admin(), &id, only).await.unwrap();
        let guessed = compose_as(SecretKind::Token, &id, &[1; 32]).expose().to_owned();
        let secret = compose_as(SecretKind::ClientSecret, &id, &[1; 32]).expose().to_owned();
        let none = bearer(&house, "nothing").get("/Users").await;
        for (what, token) in [
            ("expired", &expired),
            ("removed", &removed),
            ("revoked", &revoked),
            ("guessed", &guessed),
            ("a secret", &secret),
            ("cut", &kept[..60].to_owned()),
        ] {
            let answer = bearer(&house, token).get("/Users").await;
            answer.assert_scim_error(401, what);
            assert_eq!(answer.body, none.body, "{what}");
            assert_eq!(answer.steady_headers(), none.steady_headers(), "{what}");
        }
        assert_eq!(bearer(&house, &kept).get("/Users").await.status, 200);
        let draft = Draft::of(&house, &id, "RS256", &jws::RSA);
        assert_refused(&ask(&house, &draft.sign(), &[]).await, 401, "invalid_client", "a key that is gone");
        house.close().await;
    }
}

#[tokio::test]
async fn a_secret_is_taken_by_basic_and_in_the_form_where_policy_allows_it() {
    for house in houses().await {
        house.federation("okta").await;
        house.federation("strict").await;
        allow_secrets(&house, "okta").await;
        allow_secrets(&house, "strict").await;
        let secret_of = async |slug: &str| {
            let new = new_key(&Slug::parse(slug).unwrap(), "client", Scope::full_directory());
            let issued = ops::keys::issue_client(&house.admin(), new, NewClient::Secret).await.unwrap();
            (issued.key.id, issued.secret.unwrap().expose().to_owned())
        };
        let (id, secret) = secret_of("okta").await;
        let (strict_id, strict_secret) = secret_of("strict").await;
        let basic =
            |id: &KeyId, secret: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")));
        let by_basic = async |id: &KeyId, secret: &str| {
            let header = basic(id, secret);
            post(&house, &[("authorization", header.as_str())], "grant_type=client_credentials").await
        };
        let by_form = async |id: &KeyId, secret: &str| {
            let fields =
                [("grant_type", "client_credentials"), ("client_id", id.as_str()), ("client_secret", secret)];
            post(&house, &[], form(&fields)).await
        };
        for answer in [by_basic(&id, &secret).await, by_form(&id, &secret).await] {
            assert_eq!(answer.status, 200, "{}", answer.body);
            let token = answer.json()["access_token"].as_str().unwrap().to_owned();
            assert_eq!(bearer(&house, &token).get("/Users").await.status, 200);
        }
        assert!(!contains(&house.bytes(), &secret));
        // The same for whoever is not the one.
        let slug = Slug::parse("strict").unwrap();
        let before = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
        let forbid = EditFederation {
            version: before.version,
            name: before.name,
            vendor: "okta".to_owned(),
            owners: "a".to_owned(),
            notes: String::new(),
            max_age_days: 90,
            overlap_hours: 72,
            warn_days: 14,
            scim: Some(ScimSettings::default()),
        };
        ops::federations::edit(&house.admin(), &slug, forbid).await.unwrap();
        let signer = client(&house, "signer", Scope::full_directory(), &[&jws::P256]).await;
        let unknown = KeyId::new(1, [9; 10]);
        let guessed = compose_as(SecretKind::ClientSecret, &id, &[1; 32]).expose().to_owned();
        for (what, id, secret) in [
            ("where policy forbids", &strict_id, &strict_secret),
            ("another client's", &id, &strict_secret),
            ("guessed", &id, &guessed),
            ("unknown client", &unknown, &secret),
            ("a client that signs", &signer, &secret),
            ("no secret of ours", &id, &"secret".to_owned()),
        ] {
            let first = by_basic(id, secret).await;
            let second = by_form(id, secret).await;
            for answer in [&first, &second] {
                assert_refused(answer, 401, "invalid_client", what);
                assert!(answer.header("www-authenticate").starts_with("Basic "), "{what}");
            }
            assert_eq!(first.body, second.body);
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_request_is_one_form_with_one_proof() {
    for house in houses().await {
        house.federation("okta").await;
        let id = client(&house, "client", Scope::full_directory(), &[&jws::P256]).await;
        let secret = compose_as(SecretKind::ClientSecret, &id, &[1; 32]).expose().to_owned();
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")));
        let fields = |extra: &[(&str, &str)]| {
            let assertion = Draft::of(&house, &id, "ES256", &jws::P256).sign();
            let mut fields = vec![
                ("grant_type", "client_credentials"),
                ("client_assertion_type", JWT_BEARER),
                ("client_assertion", &assertion),
            ];
            fields.extend(extra);
            form(&fields)
        };
        let whole = fields(&[]);
        for (what, headers, body) in [
            ("basic and assertion", vec![("authorization", basic.as_str())], whole.clone()),
            (
                "secret and assertion",
                vec![],
                fields(&[("client_id", id.as_str()), ("client_secret", &secret)]),
            ),
            (
                "basic twice",
                vec![("authorization", basic.as_str()); 2],
                "grant_type=client_credentials".to_owned(),
            ),
            ("assertion twice", vec![], format!("{whole}&client_assertion=x")),
            ("grant twice", vec![], format!("{whole}&grant_type=client_credentials")),
            ("no grant", vec![], whole.replacen("grant_type", "grant", 1)),
            ("no type", vec![], whole.replacen("client_assertion_type", "type", 1)),
            ("broken bytes", vec![], "%ff=%ff&grant_type=client_credentials&grant_type=x".to_owned()),
        ] {
            assert_refused(&post(&house, &headers, body).await, 400, "invalid_request", what);
        }
        for grant in ["password", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange"] {
            let body = whole.replacen("client_credentials", grant, 1);
            assert_refused(&post(&house, &[], body).await, 400, "unsupported_grant_type", grant);
        }
        // Nobody is proven, and nobody is impersonated.
        assert_refused(
            &post(&house, &[], "grant_type=client_credentials").await,
            401,
            "invalid_client",
            "nobody",
        );
        let bearer_header = [("authorization", "Bearer x")];
        let answer = post(&house, &bearer_header, "grant_type=client_credentials").await;
        assert_refused(&answer, 401, "invalid_client", "bearer");
        let (_, key) = house.key("okta", "static", Scope::full_directory()).await;
        let answer = ask(
            &house,
            &Draft::of(&house, &id, "ES256", &jws::P256).sign(),
            &[
                ("sub", "admin"),
                ("subject_token", &key),
                ("requested_subject", "admin"),
                ("resource", "https://keyward.test/scim/other/v2"),
            ],
        )
        .await;
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let actor = bearer(&house, &token).user("mia").await;
        assert!(!actor.is_empty());
        let named =
            ask(&house, &Draft::of(&house, &id, "ES256", &jws::P256).sign(), &[("client_id", "other")]).await;
        assert_refused(&named, 401, "invalid_client", "client_id is another");

        let json_headers = [("content-type", "application/json")];
        let request = Request::post("/oauth2/token").header(json_headers[0].0, json_headers[0].1);
        let answer = house.ask(request.body(json!({}).to_string().into()).unwrap()).await;
        assert_refused(&answer, 400, "invalid_request", "JSON");
        let request = Request::post("/oauth2/token?client_secret=x")
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = house.ask(request.body(whole.clone().into()).unwrap()).await;
        assert_refused(&answer, 400, "invalid_request", "in the address");
        let answer = house.ask(Request::get("/oauth2/token").body(String::new().into()).unwrap()).await;
        assert_refused(&answer, 405, "invalid_request", "GET");
        assert_eq!(answer.header("allow"), "POST");
        let large = format!("{whole}&more={}", "x".repeat(64 * 1024));
        assert_refused(&post(&house, &[], large).await, 413, "invalid_request", "too large");
        house.close().await;
    }
}

#[tokio::test]
async fn a_paused_federation_asks_for_patience_and_a_broken_audit_log_gives_nothing() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let id = client(&house, "client", Scope::full_directory(), &[&jws::P256]).await;
        let live = token(&house, &id, &jws::P256, "ES256").await;
        ops::federations::pause(&house.admin(), &federation.slug).await.unwrap();
        let held = ask(&house, &Draft::of(&house, &id, "ES256", &jws::P256).sign(), &[]).await;
        assert_refused(&held, 503, "temporarily_unavailable", "paused");
        assert_eq!(held.header("retry-after"), "300");
        let scim = bearer(&house, &live).get("/Users").await;
        scim.assert_scim_error(503, "paused");
        ops::federations::resume(&house.admin(), &federation.slug).await.unwrap();
        ops::testing::break_audit(&house.keyward).await;
        let refused = ask(&house, &Draft::of(&house, &id, "ES256", &jws::P256).sign(), &[]).await;
        assert_refused(&refused, 503, "temporarily_unavailable", "without its record");
        let refused = ask(&house, &Draft::of(&house, &id, "ES256", &jws::RSA).sign(), &[]).await;
        assert_refused(&refused, 503, "temporarily_unavailable", "a refusal without its record");
        house.keyward.close().await;
    }
}
