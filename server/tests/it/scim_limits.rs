//! Limits at their exact boundary: so much passes, one more is refused and told the limit.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::house::{BODY_BYTES, filter, houses};

/// A user whose body is exactly so many bytes.
fn body_of(bytes: usize) -> String {
    let bare = json!({ "userName": "large", "title": "" }).to_string();
    json!({ "userName": "large", "title": "x".repeat(bytes - bare.len()) }).to_string()
}

#[tokio::test]
async fn a_body_of_one_mebibyte_passes_and_one_byte_more_is_413() {
    for house in houses().await {
        let client = house.client("okta").await;
        let sent = [("content-type", "application/scim+json")];
        let larger = client.send("POST", "/Users", &sent, body_of(BODY_BYTES + 1)).await;
        larger.assert_scim_error(413, "one byte more");
        assert!(larger.body.contains("1048576"), "{}", larger.body);
        // Without a length that could be believed, the bytes are counted as they come.
        let streamed = axum::body::Body::from_stream(futures::stream::iter(
            body_of(BODY_BYTES + 1)
                .into_bytes()
                .chunks(100_000)
                .map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()))
                .collect::<Vec<_>>(),
        ));
        client
            .send("POST", "/Users", &sent, streamed)
            .await
            .assert_scim_error(413, "one byte more, streamed");
        assert_eq!(house.population("okta").await, (0, 0));

        let whole = client.send("POST", "/Users", &sent, body_of(BODY_BYTES)).await;
        assert_eq!(whole.status, 201, "{:.200}", whole.body);
        house.close().await;
    }
}

#[tokio::test]
async fn a_thousand_operations_pass_and_one_more_is_too_many() {
    for house in houses().await {
        let client = house.client("okta").await;
        let path = format!("/Users/{}", client.user("mia").await);
        let operations = |count: usize| {
            let one = |number| json!({ "op": "replace", "path": "title", "value": format!("t{number}") });
            Value::from((0..count).map(one).collect::<Vec<_>>())
        };
        let larger = client.patch(&path, &operations(1_001)).await;
        assert_eq!(larger.assert_scim_error(400, "1,001").as_deref(), Some("tooMany"));
        assert!(larger.body.contains("1000"), "{}", larger.body);
        let whole = client.patch(&path, &operations(1_000)).await;
        assert_eq!((whole.status, &whole.json()["title"]), (200, &json!("t999")));
        house.close().await;
    }
}

#[tokio::test]
async fn twenty_thousand_members_pass_the_limit_and_one_more_is_too_many() {
    for house in houses().await {
        let client = house.client("okta").await;
        let members = |count: usize| {
            let one = |number| json!({ "value": format!("01900000-0000-7000-8000-{number:012}") });
            Value::from((0..count).map(one).collect::<Vec<_>>())
        };
        let group = |count| json!({ "displayName": "Staff", "members": members(count) });
        let larger = client.post("/Groups", &group(20_001)).await;
        assert_eq!(larger.assert_scim_error(400, "20,001").as_deref(), Some("tooMany"));
        assert!(larger.body.contains("20000"), "{}", larger.body);
        // Nobody has these ids: the limit is passed, the first member is not.
        let whole = client.post("/Groups", &group(20_000)).await;
        assert_eq!(whole.assert_scim_error(400, "20,000").as_deref(), Some("invalidValue"));
        house.close().await;
    }
}

#[tokio::test]
async fn a_filter_has_so_many_terms_and_levels_and_no_more() {
    for house in houses().await {
        let client = house.client("okta").await;
        let terms = |count: usize| vec!["userName eq \"a\""; count].join(" and ");
        assert_eq!(client.get(&format!("/Users{}", filter(&terms(100)))).await.status, 200);
        let levels = |count: usize| format!("{}userName eq \"a\"{}", "(".repeat(count), ")".repeat(count));
        assert_eq!(client.get(&format!("/Users{}", filter(&levels(30)))).await.status, 200);
        for (text, limit) in [(terms(101), "100"), (levels(40), "32"), (levels(1_000), "32")] {
            let answer = client.get(&format!("/Users{}", filter(&text))).await;
            let keyword = answer.assert_scim_error(400, limit);
            assert!(matches!(keyword.as_deref(), Some("invalidFilter" | "tooMany")), "{keyword:?}");
            assert!(answer.body.contains(limit), "{}", answer.body);
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_body_is_nested_64_levels_and_no_more() {
    for house in houses().await {
        let client = house.client("okta").await;
        let nested = |levels: usize| {
            let mut body = String::from(r#"{"userName":"deep","unknown":"#);
            for _ in 1..levels {
                body.push('[');
            }
            body.push('1');
            for _ in 1..levels {
                body.push(']');
            }
            write!(body, "}}").unwrap();
            body
        };
        let sent = [("content-type", "application/scim+json")];
        for levels in [65, 1_000, 100_000] {
            let answer = client.send("POST", "/Users", &sent, nested(levels)).await;
            assert_eq!(answer.assert_scim_error(400, "too deep").as_deref(), Some("invalidSyntax"));
        }
        assert_eq!(client.send("POST", "/Users", &sent, nested(64)).await.status, 201);
        house.close().await;
    }
}

#[tokio::test]
async fn an_address_of_8_kib_and_headers_of_16_kib_are_the_largest() {
    for house in houses().await {
        let client = house.client("okta").await;
        let path_of = |bytes: usize| {
            let bare = format!("{}/Users?x=", client.base);
            format!("/Users?x={}", "y".repeat(bytes - bare.len()))
        };
        assert_eq!(client.get(&path_of(8 * 1024)).await.status, 200);
        client.get(&path_of(8 * 1024 + 1)).await.assert_scim_error(414, "the address");
        let large = "z".repeat(16 * 1024);
        let answer = client.send("GET", "/Users", &[("x-large", &large)], "").await;
        answer.assert_scim_error(431, "the headers");
        house.close().await;
    }
}

#[tokio::test]
async fn a_name_of_any_length_is_created_or_refused_and_never_fails() {
    let mut wrong = Vec::new();
    // An index of Postgres takes rows of 2,704 bytes: what is longer must be refused in words.
    for house in houses().await {
        let client = house.client("okta").await;
        // Not compressible, so that no database stores it as less than it is.
        let mut state = 1_u64;
        let mut noise = |length: usize| -> String {
            let mut character = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from_digit(u32::try_from(state >> 33).unwrap() % 36, 36).unwrap()
            };
            (0..length).map(|_| character()).collect()
        };
        for length in [256, 1_000, 2_000, 4_000, 20_000, 200_000] {
            let (name, other) = (noise(length), noise(length));
            let bodies = [
                ("/Users", json!({ "userName": name })),
                ("/Users", json!({ "userName": format!("short{length}"), "externalId": other })),
                ("/Groups", json!({ "displayName": name })),
                ("/Groups", json!({ "displayName": format!("short{length}"), "externalId": other })),
            ];
            for (path, body) in bodies {
                let answer = client.post(path, &body).await;
                if !matches!(answer.status, 201 | 400) {
                    let engine = house.database.engine;
                    let field = body.as_object().unwrap().keys().next().unwrap();
                    wrong.push(format!(
                        "{engine:?}: {path} {field} of {length} characters: {:.200}",
                        answer.body
                    ));
                }
            }
        }
        house.close().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
