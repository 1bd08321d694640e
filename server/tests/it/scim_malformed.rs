//! Requests that no client should send: an error of theirs, never of ours.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::house::houses;

const BODIES: &[&str] = &[
    "",
    " ",
    "null",
    "true",
    "0",
    "\"text\"",
    "[]",
    "[{}]",
    "{",
    "}",
    "{]",
    "{\"userName\"}",
    "{\"userName\":}",
    "{\"userName\":\"a\",}",
    "{\"userName\":\"a\"} trailing",
    "{'userName':'a'}",
    "{userName:\"a\"}",
    "{\"userName\":\"a\n\"}",
    "{\"userName\":\"\\ud800\"}",
    "{\"userName\":\"\\u0000\"}",
    "{\"userName\":\"\\x41\"}",
    "{\"userName\":null}",
    "{\"userName\":[]}",
    "{\"userName\":{}}",
    "{\"userName\":1e999}",
    "{\"userName\":NaN}",
    "{\"userName\":[\"a\",\"b\"]}",
    "{\"userName\":\"a\",\"active\":2}",
    "{\"userName\":\"a\",\"active\":{}}",
    "{\"userName\":\"a\",\"name\":7}",
    "{\"userName\":\"a\",\"name\":[{},{}]}",
    "{\"userName\":\"a\",\"name\":{\"givenName\":[]}}",
    "{\"userName\":\"a\",\"emails\":7}",
    "{\"userName\":\"a\",\"emails\":[[]]}",
    "{\"userName\":\"a\",\"emails\":[{\"value\":{}}]}",
    "{\"userName\":\"a\",\"emails\":[{\"primary\":\"maybe\"}]}",
    "{\"userName\":\"a\",\"externalId\":\"\\u0000\"}",
    "{\"userName\":\"a\",\"externalId\":{}}",
    "{\"userName\":\"a\",\"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User\":7}",
    "{\"displayName\":7}",
    "{\"displayName\":\"a\",\"members\":7}",
    "{\"displayName\":\"a\",\"members\":[7]}",
    "{\"displayName\":\"a\",\"members\":[{\"value\":7}]}",
    "{\"displayName\":\"a\",\"members\":[{\"value\":\"../../etc\"}]}",
    "{\"Operations\":7}",
    "{\"Operations\":[7]}",
    "{\"Operations\":[{}]}",
    "{\"Operations\":[{\"op\":7}]}",
    "{\"Operations\":[{\"op\":\"re\\u0000place\",\"value\":{}}]}",
    "{\"Operations\":[{\"op\":\"replace\",\"path\":7,\"value\":1}]}",
    "{\"Operations\":[{\"op\":\"replace\",\"path\":\"\\u0000\",\"value\":1}]}",
    "{\"Operations\":[{\"op\":\"replace\",\"path\":\"[\",\"value\":1}]}",
    "{\"Operations\":[{\"op\":\"replace\",\"path\":\"a.b.c.d\",\"value\":1}]}",
    "{\"Operations\":[{\"op\":\"replace\",\"path\":\"members[\",\"value\":1}]}",
    "{\"Operations\":[{\"op\":\"remove\",\"path\":\"members[value eq \\\"\\\\u0000\\\"]\"}]}",
    "{\"Operations\":[{\"op\":\"replace\",\"path\":\"active\",\"value\":\"perhaps\"}]}",
    "{\"Operations\":[{\"op\":\"replace\",\"value\":7}]}",
    "{\"Operations\":[{\"op\":\"replace\",\"path\":\"userName\",\"value\":\"\\u0000\"}]}",
    "{\"Operations\":[{\"op\":\"replace\",\"path\":\"displayName\",\"value\":\"\\u0000\"}]}",
];

#[tokio::test]
async fn no_body_is_a_failure_of_ours() {
    let mut wrong = Vec::new();
    for house in houses().await {
        let client = house.client("okta").await;
        let user = format!("/Users/{}", client.user("mia").await);
        let group = format!("/Groups/{}", client.group("Staff").await);
        let before = house.population("okta").await;
        let sent = [("content-type", "application/scim+json")];
        for body in BODIES {
            for (method, path) in [
                ("POST", "/Users"),
                ("POST", "/Groups"),
                ("PUT", user.as_str()),
                ("PUT", group.as_str()),
                ("PATCH", user.as_str()),
                ("PATCH", group.as_str()),
            ] {
                let answer = client.send(method, path, &sent, *body).await;
                let what = format!("{:?}: {method} {path} {body:?}", house.database.engine);
                if (400..500).contains(&answer.status) {
                    answer.assert_scim_error(answer.status, &what);
                } else {
                    wrong.push(format!("{what}: {} {}", answer.status, answer.body));
                }
            }
        }
        let bytes: [&[u8]; 4] =
            [b"\xff\xfe{\x00}\x00", b"\xc3\x28", b"{\"userName\":\"\xff\"}", b"\x1f\x8b\x08\x00\x00"];
        for body in bytes {
            let answer = client.send("POST", "/Users", &sent, body.to_vec()).await;
            answer.assert_scim_error(400, "bytes that are no text");
        }
        let zipped = [sent[0], ("content-encoding", "gzip")];
        let answer = client.send("POST", "/Users", &zipped, b"\x1f\x8b\x08\x00\x00".to_vec()).await;
        assert!(matches!(answer.status, 400 | 415), "{}", answer.body);
        assert_eq!(house.population("okta").await, before);
        house.close().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Paths and queries below the base, and the statuses that they may have.
const ADDRESSES: &[(&str, &[u16])] = &[
    ("/Users?count=many", &[400]),
    ("/Users?count=1.5", &[400]),
    ("/Users?count=99999999999999999999", &[200]),
    ("/Users?startIndex=99999999999999999999", &[200]),
    ("/Users?startIndex=--1", &[400]),
    ("/Users?count=%00", &[400]),
    ("/Users?startIndex=%ff", &[400]),
    ("/Users?filter=%00", &[400]),
    ("/Users?filter=%ff", &[400]),
    ("/Users?filter=userName", &[400]),
    ("/Users?filter=userName%20eq%20%22a%00b%22", &[200, 400]),
    ("/Users?filter=userName%20eq%20%22a%5Cu0000b%22", &[200, 400]),
    ("/Users?filter=externalId%20eq%20%22%5Cu0000%22", &[200, 400]),
    ("/Users?filter=id%20eq%20%22%5Cu0000%22", &[200, 400]),
    ("/Groups?filter=displayName%20eq%20%22%5Cu0000%22", &[200, 400]),
    ("/Users?filter=userName%20eq%20%22%5Cud800%22", &[400]),
    ("/Users?filter=userName%20eq%20null", &[200, 400]),
    ("/Users?filter=userName%20eq%20true", &[200, 400]),
    ("/Users?filter=active%20eq%20%22yes%22", &[200, 400]),
    ("/Users?filter=planet%20eq%20%22x%22", &[200, 400]),
    ("/Users?filter=not%20(userName%20eq%20%22x%22)", &[200]),
    ("/Users?filter=%28%28%28", &[400]),
    ("/Users?filter=userName%20eq%20%22x", &[400]),
    ("/Users?sortOrder=sideways", &[400]),
    ("/Users?sortBy=%00", &[400]),
    ("/Users?sortOrder=%00", &[400]),
    ("/Users?attributes=userName&excludedAttributes=userName", &[400]),
    ("/Users?attributes=%00", &[200, 400]),
    ("/Users?=&&&==", &[200]),
    ("/Users/%00", &[404]),
    ("/Users/%00?attributes=a&excludedAttributes=b", &[400, 404]),
    ("/Users/%20", &[404]),
    ("/Users/%2e%2e%2f", &[404]),
    ("/Users/..%2F..%2Fetc", &[404]),
    ("/Users/%FF", &[400, 404]),
    ("/Users/0", &[404]),
    ("/Users/-1", &[404]),
    ("/Users/null", &[404]),
    ("/Users/01900000-0000-7000-8000-000000000000%00", &[404]),
    ("/Users/01900000-0000-7000-8000-00000000000G", &[404]),
    ("/Users/{01900000-0000-7000-8000-000000000000}", &[404]),
    ("/Users/01900000000070008000000000000000", &[404]),
    ("/Schemas/%00", &[404]),
    ("/ResourceTypes/%00", &[404]),
    ("/%00", &[404]),
    ("/%F0%9F%94%91", &[404]),
    ("//Users", &[200, 404]),
    ("/Users//", &[200, 404]),
];

#[tokio::test]
async fn no_address_is_a_failure_of_ours() {
    let mut wrong = Vec::new();
    for house in houses().await {
        let client = house.client("okta").await;
        client.user("mia").await;
        for (path, statuses) in ADDRESSES {
            let path = path.replace('{', "%7B").replace('}', "%7D");
            let answer = client.get(&path).await;
            let is_scim = answer.header("content-type").starts_with("application/scim+json");
            if !statuses.contains(&answer.status) || !is_scim {
                wrong.push(format!("{:?} {path}: {} {}", house.database.engine, answer.status, answer.body));
            } else if answer.status != 200 {
                answer.assert_scim_error(answer.status, &path);
            }
        }
        house.close().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_base_is_a_failure_of_ours() {
    for house in houses().await {
        let client = house.client("okta").await;
        let long = format!("/scim/{}/v2/Users", "x".repeat(4_000));
        for path in [
            "/scim/okta",
            "/scim/okta/v1/Users",
            "/scim/okta/v22/Users",
            "/scim/okta/v2Users",
            "/scim//v2/Users",
            "/scim/OKTA/v2/Users",
            "/scim/okta%00/v2/Users",
            "/scim/%00/v2/Users",
            "/scim/okta%2Fv2%2FUsers/v2/Users",
            "/scim/nobody/v2/Users",
            "/scim/v2/Users",
            "/scim/Users",
            "/scim/%F0%9F%94%91/v2/Users",
            long.as_str(),
        ] {
            let request = Request::get(path).header("authorization", format!("Bearer {}", client.key));
            let answer = house.ask(request.body(Body::empty()).unwrap()).await;
            answer.assert_scim_error(404, &format!("{:?} {path:.60}", house.database.engine));
        }
        house.close().await;
    }
}

#[tokio::test]
async fn no_header_is_a_failure_of_ours() {
    for house in houses().await {
        let client = house.client("okta").await;
        let id = client.user("mia").await;
        let path = format!("/Users/{id}");
        let large = "9".repeat(100);
        for value in
            ["", "*", "W/", "\"\"", "W/\"1", "1", large.as_str(), "W/\"-1\"", "a, b", "W/\"1\", \"2\""]
        {
            for name in ["if-match", "if-none-match"] {
                let answer = client.send("GET", &path, &[(name, value)], "").await;
                assert!(matches!(answer.status, 200 | 304 | 412), "{name} {value}: {}", answer.body);
                let body = json!({ "userName": "mia" }).to_string();
                let answer = client.send("PUT", &path, &[(name, value)], body).await;
                assert!(matches!(answer.status, 200 | 412), "{name} {value}: {}", answer.body);
            }
        }
        for (name, value) in [
            ("user-agent", "\u{1}\u{7f}"),
            ("accept", "text/html"),
            ("accept", ";;;"),
            ("content-length", "0"),
            ("x-forwarded-for", "not an address"),
            ("expect", "200-maybe"),
            ("range", "bytes=0-1"),
            ("prefer", "respond-async, wait=999999999999"),
        ] {
            let Ok(value) = http::HeaderValue::from_bytes(value.as_bytes()) else { continue };
            let request = Request::get(format!("{}{path}", client.base))
                .header("authorization", format!("Bearer {}", client.key))
                .header(name, value);
            let answer = house.ask(request.body(Body::empty()).unwrap()).await;
            assert!(matches!(answer.status, 200 | 406), "{name}: {} {}", answer.status, answer.body);
        }
        let latin = http::HeaderValue::from_bytes(b"Okta \xe9\xff").unwrap();
        let request = Request::get(format!("{}{path}", client.base))
            .header("authorization", format!("Bearer {}", client.key))
            .header("user-agent", latin);
        assert_eq!(house.ask(request.body(Body::empty()).unwrap()).await.status, 200);
        house.close().await;
    }
}
