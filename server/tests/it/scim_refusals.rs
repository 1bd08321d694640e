//! Refusals in the words of RFC 7644 3.12, one status after the other.

use axum::body::Body;
use domain::{
    federations::Slug,
    scopes::{ResourceKind, Scope, Verb, parse_networks},
};
use http::Request;
use serde_json::json;

use crate::house::{Client, NOBODY, USER_URN, filter, houses};

#[tokio::test]
async fn a_request_that_is_wrong_is_400_with_its_keyword() {
    for house in houses().await {
        let client = house.client("okta").await;
        let (user, group) = (client.user("mia").await, client.group("Staff").await);
        let (user, group) = (format!("/Users/{user}"), format!("/Groups/{group}"));
        let cases: &[(&str, &str, &str, &str)] = &[
            ("POST", "/Users", "", "invalidSyntax"),
            ("POST", "/Users", "{", "invalidSyntax"),
            ("POST", "/Users", "[]", "invalidSyntax"),
            ("POST", "/Users", "{}", "invalidValue"),
            ("POST", "/Users", r#"{"userName":""}"#, "invalidValue"),
            ("POST", "/Users", r#"{"userName":"  "}"#, "invalidValue"),
            ("POST", "/Users", r#"{"userName":7}"#, "invalidValue"),
            ("POST", "/Users", r#"{"userName":"a","active":"perhaps"}"#, "invalidValue"),
            ("POST", "/Users", r#"{"userName":"a","name":"Mia"}"#, "invalidValue"),
            ("POST", "/Users", r#"{"userName":"a","emails":[7]}"#, "invalidValue"),
            (
                "POST",
                "/Users",
                r#"{"userName":"a","emails":[{"value":"x","primary":true},{"value":"y","primary":true}]}"#,
                "invalidValue",
            ),
            ("POST", "/Groups", "{}", "invalidValue"),
            ("POST", "/Groups", r#"{"displayName":"A","members":[{"value":""}]}"#, "invalidValue"),
            ("PUT", &user, "{}", "invalidValue"),
            ("PUT", &user, "not json", "invalidSyntax"),
            ("PATCH", &user, "{}", "invalidSyntax"),
            ("PATCH", &user, r#"{"Operations":[]}"#, "invalidValue"),
            ("PATCH", &user, r#"{"Operations":[{"op":"move","path":"active"}]}"#, "invalidSyntax"),
            ("PATCH", &user, r#"{"Operations":[{"op":"remove"}]}"#, "noTarget"),
            ("PATCH", &user, r#"{"Operations":[{"op":"replace","path":"active"}]}"#, "invalidValue"),
            ("PATCH", &user, r#"{"Operations":[{"op":"replace","path":"planet","value":1}]}"#, "invalidPath"),
            ("PATCH", &user, r#"{"Operations":[{"op":"replace","path":"a[","value":1}]}"#, "invalidPath"),
            ("PATCH", &user, r#"{"Operations":[{"op":"replace","path":"id","value":"x"}]}"#, "mutability"),
            ("PATCH", &user, r#"{"Operations":[{"op":"replace","path":"groups","value":[]}]}"#, "mutability"),
            ("PATCH", &user, r#"{"Operations":[{"op":"remove","path":"userName"}]}"#, "mutability"),
            ("PATCH", &group, r#"{"Operations":[{"op":"remove","path":"displayName"}]}"#, "mutability"),
            (
                "PATCH",
                &user,
                r#"{"Operations":[{"op":"replace","path":"emails[type eq","value":"x"}]}"#,
                "invalidPath",
            ),
        ];
        for (method, path, body, keyword) in cases {
            let sent = [("content-type", "application/scim+json")];
            let answer = client.send(method, path, &sent, (*body).to_owned()).await;
            let what = format!("{method} {path} {body}");
            assert_eq!(answer.assert_scim_error(400, &what).as_deref(), Some(*keyword), "{what}");
        }
        for query in
            ["active gt true", "userName eq", "userName like \"m\"", "(", "name eq \"x\"", "password pr"]
        {
            let answer = client.get(&format!("/Users{}", filter(query))).await;
            assert_eq!(answer.assert_scim_error(400, query).as_deref(), Some("invalidFilter"), "{query}");
        }
        assert_eq!(client.get(&user).await.header("etag"), "W/\"1\"", "nothing was changed");
        assert_eq!(house.population("okta").await, (1, 1));
        house.close().await;
    }
}

#[tokio::test]
async fn the_id_in_the_path_decides() {
    for house in houses().await {
        let client = house.client("okta").await;
        let (own, other) = (client.user("own").await, client.user("other").await);
        // Names of attributes have no case (RFC 7643 2.1).
        for name in ["id", "ID", "Id"] {
            let mut body = json!({ "schemas": [USER_URN], "userName": "taken-over" });
            body[name] = json!(other);
            let answer = client.put(&format!("/Users/{own}"), &body).await;
            assert_eq!(answer.assert_scim_error(400, name).as_deref(), Some("mutability"), "{name}");
        }
        let body = json!({ "schemas": [USER_URN], "id": own, "userName": "own" });
        assert_eq!(client.put(&format!("/Users/{own}"), &body).await.status, 200, "the same id is no change");
        assert_eq!(client.get(&format!("/Users/{other}")).await.json()["userName"], json!("other"));
        house.close().await;
    }
}

#[tokio::test]
async fn without_an_accepted_key_it_is_401_whatever_is_asked() {
    for house in houses().await {
        let client = house.client("okta").await;
        let cut = client.key[..client.key.len() - 1].to_owned();
        for key in ["", "x", cut.as_str()] {
            let client = Client { house: &house, base: client.base.clone(), key: key.to_owned() };
            let answer = client.send("POST", "/Users", &[("content-type", "text/html")], "{").await;
            assert_eq!(answer.assert_scim_error(401, key), None);
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"SCIM\"");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn what_the_scope_does_not_grant_is_403_and_on_record() {
    for house in houses().await {
        let full = house.client("okta").await;
        let id = full.user("mia").await;
        let group = full.group("Staff").await;
        let read = Scope::of([(ResourceKind::Users, Verb::Read)]);
        let (_, key) = house.key("okta", "reader", read).await;
        let reader = Client { house: &house, base: full.base.clone(), key };
        assert_eq!(reader.get(&format!("/Users/{id}")).await.status, 200);
        let user = json!({ "userName": "other" });
        let patch = json!({ "Operations": [{ "op": "replace", "value": { "active": false } }] });
        for answer in [
            reader.post("/Users", &user).await,
            reader.put(&format!("/Users/{id}"), &user).await,
            reader.json("PATCH", &format!("/Users/{id}"), &patch).await,
            reader.delete(&format!("/Users/{id}")).await,
            reader.get("/Groups").await,
            reader.get(&format!("/Groups/{group}")).await,
            reader.post("/Groups", &json!({ "displayName": "A" })).await,
            reader.delete(&format!("/Groups/{group}")).await,
            // Whether a user is there is not told to who may not change it.
            reader.delete(&format!("/Users/{NOBODY}")).await,
        ] {
            assert_eq!(answer.assert_scim_error(403, "out of scope"), None);
        }
        let mut elsewhere = Scope::full_directory();
        elsewhere.source_networks = parse_networks("198.51.100.0/24").unwrap();
        let (_, key) = house.key("okta", "elsewhere", elsewhere).await;
        let elsewhere = Client { house: &house, base: full.base.clone(), key };
        elsewhere.get("/Users").await.assert_scim_error(403, "from another network");
        assert_eq!(house.population("okta").await, (1, 1));
        assert_eq!(full.get(&format!("/Users/{id}")).await.header("etag"), "W/\"1\"");
        let refused = house.log().await.into_iter().filter(|line| line.contains(" refused ")).count();
        assert_eq!(refused, 10, "each refusal of a scope and each refused key");
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_a_method_that_is_not_there_is_405() {
    for house in houses().await {
        let client = house.client("okta").await;
        let id = client.user("mia").await;
        for path in ["/users", "/Users/not-an-id", "/Planets", "/Users/a/b", "/ServiceProviderConfigs"] {
            client.get(path).await.assert_scim_error(404, path);
        }
        let user = format!("/Users/{id}");
        for (method, path) in [
            ("PUT", "/Users"),
            ("PATCH", "/Users"),
            ("DELETE", "/Users"),
            ("POST", user.as_str()),
            ("TRACE", "/Groups"),
        ] {
            client.send(method, path, &[], Body::empty()).await.assert_scim_error(405, method);
        }
        client.get("/Me").await.assert_scim_error(501, "/Me");
        house.close().await;
    }
}

#[tokio::test]
async fn a_405_says_which_methods_there_are() {
    // RFC 9110 15.5.6: a 405 must carry Allow.
    for house in houses().await {
        let client = house.client("okta").await;
        for (path, allow) in [
            ("/Users", "GET, HEAD, POST"),
            ("/Groups", "GET, HEAD, POST"),
            (&format!("/Users/{NOBODY}"), "GET, HEAD, PUT, PATCH, DELETE"),
            ("/", "GET, HEAD"),
            ("/Users/.search", "POST"),
            ("/Schemas", "GET, HEAD"),
        ] {
            let answer = client.send("TRACE", path, &[], Body::empty()).await;
            assert_eq!((answer.status, answer.header("allow")), (405, allow), "{path}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_taken_name_is_409_and_adopts_nobody() {
    for house in houses().await {
        let client = house.client("okta").await;
        let mia = client.user("mia").await;
        let max = client.user("max").await;
        client.group("Staff").await;
        let other = client.group("Other").await;
        for answer in [
            client.post("/Users", &json!({ "userName": "MIA", "externalId": "new", "active": false })).await,
            client.put(&format!("/Users/{max}"), &json!({ "userName": "Mia" })).await,
            client
                .patch(
                    &format!("/Users/{max}"),
                    &json!([{ "op": "replace", "path": "userName", "value": "mia" }]),
                )
                .await,
            client.post("/Groups", &json!({ "displayName": "STAFF" })).await,
            client.put(&format!("/Groups/{other}"), &json!({ "displayName": "staff" })).await,
        ] {
            assert_eq!(answer.assert_scim_error(409, "a taken name").as_deref(), Some("uniqueness"));
        }
        let untouched = client.get(&format!("/Users/{mia}")).await;
        assert_eq!(untouched.header("etag"), "W/\"1\"");
        assert_eq!(untouched.json()["externalId"], json!(null));
        house.close().await;
    }
}

#[tokio::test]
async fn only_json_is_read() {
    for house in houses().await {
        let client = house.client("okta").await;
        let body = |name: &str| json!({ "userName": name }).to_string();
        for media_type in [
            "text/plain",
            "application/xml",
            "application/x-www-form-urlencoded",
            "",
            "application/jsonp",
            "json",
        ] {
            let answer = client.send("POST", "/Users", &[("content-type", media_type)], body("a")).await;
            answer.assert_scim_error(415, media_type);
        }
        for (number, media_type) in [
            "application/scim+json",
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/SCIM+JSON;charset=UTF-8",
        ]
        .iter()
        .enumerate()
        {
            let body = body(&format!("u{number}"));
            let answer = client.send("POST", "/Users", &[("content-type", media_type)], body).await;
            assert_eq!(answer.status, 201, "{media_type}: {}", answer.body);
        }
        let silent = client.send("POST", "/Users", &[], body("silent")).await;
        assert_eq!(silent.status, 201, "{}", silent.body);
        house.close().await;
    }
}

#[tokio::test]
async fn a_paused_federation_is_503_with_the_time_to_come_back() {
    for house in houses().await {
        let client = house.client("okta").await;
        let slug = Slug::parse("okta").unwrap();
        ops::federations::pause(&house.admin(), &slug).await.unwrap();
        for (method, path, body) in [
            ("GET", "/Users", ""),
            ("POST", "/Users", r#"{"userName":"a"}"#),
            ("GET", "/Schemas", ""),
            ("GET", "/x", ""),
        ] {
            let answer = client.send(method, path, &[], body).await;
            assert_eq!(answer.assert_scim_error(503, path), None);
            let seconds: u32 = answer.header("retry-after").parse().unwrap();
            assert!((1..=900).contains(&seconds), "{seconds}");
        }
        assert_eq!(house.population("okta").await, (0, 0));
        ops::federations::resume(&house.admin(), &slug).await.unwrap();
        assert_eq!(client.post("/Users", &json!({ "userName": "a" })).await.status, 201);
        ops::federations::archive(&house.admin(), &slug).await.unwrap();
        client.get("/Users").await.assert_scim_error(401, "archived: its keys open nothing any more");
        house.close().await;
    }
}

#[tokio::test]
async fn without_audit_there_is_no_change() {
    for house in houses().await {
        let client = house.client("okta").await;
        let id = client.user("mia").await;
        let group = client.group("all").await;
        ops::testing::break_audit(&house.keyward).await;
        let user = json!({ "userName": "max" });
        let patch = json!({ "Operations": [{ "op": "replace", "value": { "active": false } }] });
        for answer in [
            client.post("/Users", &user).await,
            client.put(&format!("/Users/{id}"), &user).await,
            client.json("PATCH", &format!("/Users/{id}"), &patch).await,
            client.delete(&format!("/Users/{id}")).await,
            client.post("/Groups", &json!({ "displayName": "A" })).await,
            client.put(&format!("/Groups/{group}"), &json!({ "displayName": "B" })).await,
            client
                .patch(
                    &format!("/Groups/{group}"),
                    &json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]),
                )
                .await,
            client.delete(&format!("/Groups/{group}")).await,
        ] {
            answer.assert_scim_error(503, "a change that cannot be recorded");
            assert_eq!(answer.header("retry-after"), "5");
        }
        let mia = client.get(&format!("/Users/{id}")).await;
        assert_eq!((mia.status, mia.header("etag")), (200, "W/\"1\""), "reads go on");
        assert_eq!(house.population("okta").await, (1, 1));
        house.keyward.close().await;
    }
}

#[tokio::test]
async fn a_key_in_the_address_is_refused() {
    for house in houses().await {
        let client = house.client("okta").await;
        let key = &client.key;
        let escaped = key.replace('_', "%5F");
        for query in [
            format!("access_token={key}"),
            format!("count=1&token=Bearer%20{key}"),
            format!("access_token={escaped}"),
            format!("filter=externalId%20eq%20%22{key}%22"),
        ] {
            let answer = client.get(&format!("/Users?{query}")).await;
            answer.assert_scim_error(400, &query);
            assert!(!answer.body.contains(key.as_str()));
            let uri = format!("{}/Users?{query}", client.base);
            let bare = house.ask(Request::get(uri).body(Body::empty()).unwrap()).await;
            assert!(matches!(bare.status, 400 | 401), "{}: a key in the address opens nothing", bare.status);
        }
        house.close().await;
    }
}
