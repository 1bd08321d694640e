//! Every SCIM route against every credential that opens nothing (T-AUTHZ-01, T-AUTHZ-05).
//!
//! To add a route, add a row to [`ROUTES`].

use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{DAY_MS, KeyId, federations::Slug, keys::compose, scopes::Scope};
use http::{HeaderValue, Request, header::AUTHORIZATION};
use ops::keys::Rotate;

use crate::house::{Answer, House, NOBODY, houses, new_key};

const ROUTES: &[(&str, &str)] = &[
    ("GET", "/Users"),
    ("POST", "/Users"),
    ("GET", "/Users/{id}"),
    ("PUT", "/Users/{id}"),
    ("PATCH", "/Users/{id}"),
    ("DELETE", "/Users/{id}"),
    ("GET", "/Groups"),
    ("POST", "/Groups"),
    ("GET", "/Groups/{id}"),
    ("PUT", "/Groups/{id}"),
    ("PATCH", "/Groups/{id}"),
    ("DELETE", "/Groups/{id}"),
    ("GET", "/ServiceProviderConfig"),
    ("GET", "/Schemas"),
    ("GET", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User"),
    ("GET", "/ResourceTypes"),
    ("GET", "/ResourceTypes/User"),
    ("POST", "/Bulk"),
    ("GET", "/Me"),
    ("POST", "/.search"),
    ("POST", "/Users/.search"),
    ("OPTIONS", "/Users"),
    ("TRACE", "/Users"),
    ("GET", "/Planets"),
    ("GET", "/"),
    ("GET", ""),
];

const BODY: &str = r#"{"userName":"stranger","displayName":"stranger","Operations":[{"op":"replace","value":{"active":false}}]}"#;

async fn ask(house: &House, method: &str, path: &str, credentials: &[Vec<u8>]) -> Answer {
    let mut request =
        Request::builder().method(method).uri(path).header("content-type", "application/scim+json");
    for credential in credentials {
        request = request.header(AUTHORIZATION, HeaderValue::from_bytes(credential).unwrap());
    }
    house.ask(request.body(Body::from(BODY)).unwrap()).await
}

fn bearer(key: &str) -> Vec<Vec<u8>> {
    vec![format!("Bearer {key}").into_bytes()]
}

/// A federation with a user and a group, and keys of it that have ended.
struct Scene {
    good: String,
    revoked: String,
    retired: String,
    expired: String,
    id: KeyId,
}

async fn scene(house: &House) -> Scene {
    let client = house.client("okta").await;
    client.user("mia").await;
    client.group("Staff").await;
    let slug = Slug::parse("okta").unwrap();
    let (revoked_id, revoked) = house.key("okta", "revoked", Scope::full_directory()).await;
    ops::keys::revoke(&house.admin(), &revoked_id, "leaked").await.unwrap();
    let (retired_id, retired) = house.key("okta", "retired", Scope::full_directory()).await;
    let rotate = Rotate { overlap_hours: Some(1), ..Rotate::default() };
    let successor = ops::keys::rotate(&house.admin(), &retired_id, rotate).await.unwrap().secret.unwrap();
    // The old key is retired once its successor has worked and a person does not wait for its silence.
    let path = format!("/scim/okta/v2/Users/{NOBODY}");
    assert_eq!(ask(house, "GET", &path, &bearer(successor.expose())).await.status, 404);
    ops::rotations::scheduler::round(&house.keyward, "a node").await.unwrap();
    let board = ops::rotations::board(&house.admin(), &ops::rotations::BoardFilter::default()).await.unwrap();
    ops::rotations::finish(&house.admin(), &board.open[0].rotation.id, "it has moved").await.unwrap();
    let short = ops::keys::NewKey { lifetime_days: 1, ..new_key(&slug, "short", Scope::full_directory()) };
    let expired = ops::keys::issue(&house.admin(), short).await.unwrap().secret.unwrap().expose().to_owned();
    house.clock.advance(2 * DAY_MS);
    let (id, good) = house.key("okta", "good", Scope::full_directory()).await;
    Scene { good, revoked, retired, expired, id }
}

#[tokio::test]
async fn no_route_opens_without_an_accepted_key_and_all_refusals_are_alike() {
    for house in houses().await {
        let Scene { good, revoked, retired, expired, id } = scene(&house).await;
        let unknown = compose(&KeyId::new(1, [7; 10]), &[9; 32]).expose().to_owned();
        let guessed = compose(&id, &[9; 32]).expose().to_owned();
        let text = |text: String| vec![text.into_bytes()];
        let credentials: Vec<(&str, Vec<Vec<u8>>)> = vec![
            ("none", vec![]),
            ("empty", text(String::new())),
            ("a scheme alone", text("Bearer".to_owned())),
            ("no token", text("Bearer ".to_owned())),
            ("garbage", text("Bearer !!!".to_owned())),
            ("bytes", vec![b"Bearer \xff\xfe".to_vec()]),
            ("a large token", bearer(&"k".repeat(10_000))),
            ("a bare key", text(good.clone())),
            ("another scheme", text(format!("Token {good}"))),
            ("basic", text(format!("Basic {}", BASE64_STANDARD.encode(format!("key:{good}"))))),
            ("twice", [bearer(&good), bearer(&good)].concat()),
            ("good and garbage", [bearer(&good), bearer("x")].concat()),
            ("garbage and good", [bearer("x"), bearer(&good)].concat()),
            ("a list", text(format!("Bearer {good}, Bearer {good}"))),
            ("cut", bearer(&good[..good.len() - 1])),
            ("longer", bearer(&format!("{good}0"))),
            ("upper case", bearer(&good.to_uppercase())),
            ("quoted", bearer(&format!("\"{good}\""))),
            ("unknown", bearer(&unknown)),
            ("a guessed secret", bearer(&guessed)),
            ("revoked", bearer(&revoked)),
            ("retired", bearer(&retired)),
            ("expired", bearer(&expired)),
        ];
        let population = house.population("okta").await;
        let changes = house.log().await.iter().filter(|line| line.contains(" done ")).count();
        let mut first: Option<Answer> = None;
        for base in ["/scim/okta/v2", "/scim/nobody/v2"] {
            for (method, path) in ROUTES {
                let path = format!("{base}{}", path.replace("{id}", NOBODY));
                for (what, credentials) in &credentials {
                    let answer = ask(&house, method, &path, credentials).await;
                    let what = format!("{method} {path}, {what}");
                    answer.assert_scim_error(401, &what);
                    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"SCIM\"", "{what}");
                    match &first {
                        None => first = Some(answer),
                        Some(first) => {
                            assert_eq!(answer.body, first.body, "{what}");
                            assert_eq!(answer.steady_headers(), first.steady_headers(), "{what}");
                        }
                    }
                }
            }
        }
        assert_eq!(house.population("okta").await, population);
        // The log is read by its last 200 records: none of them is a change.
        assert!(changes > 0);
        assert!(house.log().await.iter().all(|line| line.starts_with("key.refused refused")));
        house.close().await;
    }
}

#[tokio::test]
async fn a_key_of_another_federation_finds_nothing_anywhere() {
    for house in houses().await {
        let okta = house.client("okta").await;
        let (user, group) = (okta.user("mia").await, okta.group("Staff").await);
        let entra = house.federation("entra").await;
        // So many at other doors would have the key held (A4); here each door is to be seen.
        let rules = [("a4.holds".to_owned(), "1000".to_owned())];
        let reason = "the test tries every door".to_owned();
        ops::behaviour::set_fields(&house.admin(), &entra.slug, &rules, reason, entra.version).await.unwrap();
        let (_, foreign) = house.key("entra", "foreign", Scope::full_directory()).await;
        let mut first: Option<Answer> = None;
        for base in ["/scim/okta/v2", "/scim/nobody/v2", "/scim/Okta/v2", "/scim/okta"] {
            for (method, path) in ROUTES {
                let id = if path.starts_with("/Users") { &user } else { &group };
                let path = format!("{base}{}", path.replace("{id}", id));
                let answer = ask(&house, method, &path, &bearer(&foreign)).await;
                answer.assert_scim_error(404, &format!("{method} {path}"));
                match &first {
                    None => first = Some(answer),
                    Some(first) => {
                        assert_eq!(answer.body, first.body, "{method} {path}");
                        assert_eq!(answer.steady_headers(), first.steady_headers(), "{method} {path}");
                    }
                }
            }
        }
        // What its own federation does not have looks the same as well.
        let missing = ask(&house, "GET", &format!("/scim/entra/v2/Users/{NOBODY}"), &bearer(&foreign)).await;
        missing.assert_scim_error(404, "a missing user of its own");
        assert_eq!(house.population("okta").await, (1, 1));
        assert_eq!(okta.get(&format!("/Users/{user}")).await.header("etag"), "W/\"1\"");
        house.close().await;
    }
}

#[tokio::test]
async fn the_name_of_the_scheme_has_no_case() {
    let house = crate::house::house().await;
    let client = house.client("okta").await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let credential = vec![format!("{scheme} {}", client.key).into_bytes()];
        assert_eq!(ask(&house, "GET", "/scim/okta/v2/Users", &credential).await.status, 200, "{scheme}");
    }
    house.close().await;
}

#[tokio::test]
async fn what_is_below_scim_answers_as_scim_whatever_the_path() {
    let house = crate::house::house().await;
    let mut wrong = Vec::new();
    for path in ["/scim", "/scim/", "/scim//", "/scim/okta/", "/scim/%FF/v2/Users", "/scim/okta/v2/Users/%FF"]
    {
        for method in ["GET", "POST"] {
            let answer = ask(&house, method, path, &[]).await;
            let is_scim = answer.header("content-type").starts_with("application/scim+json");
            if answer.status != 401 || !is_scim {
                wrong.push(format!("{method} {path}: {} {}", answer.status, answer.header("content-type")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    house.close().await;
}

#[tokio::test]
async fn a_session_of_the_dashboard_opens_no_scim() {
    let house = crate::house::house().await;
    house.client("okta").await;
    let admin = house.signed_in(domain::admins::Role::Admin).await;
    assert_eq!(admin.get("/federations").await.status, 200);
    let answer = admin.get("/scim/okta/v2/Users").await;
    answer.assert_scim_error(401, "a cookie");
    house.close().await;
}
