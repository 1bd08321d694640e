//! What the SCIM edge does before an operation is called: methods, bodies, policies of a federation.

use axum::body::Body;
use domain::scopes::{ResourceKind, Scope, Verb};
use futures::stream;
use http::{Request, header};
use serde_json::json;

use crate::house::{Client, PATCH_URN, houses};

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    for house in houses().await {
        let client = house.client("okta").await;
        let id = client.user("mia").await;
        for path in [&format!("/Users/{id}"), "/Users", "/Schemas", "/ServiceProviderConfig", "/Users/nobody"]
        {
            let get = client.get(path).await;
            let head = client.send("HEAD", path, &[], Body::empty()).await;
            assert_eq!(head.status, get.status, "{path}");
            assert_eq!(head.body, "", "{path}");
            assert_eq!(head.header("etag"), get.header("etag"), "{path}");
            assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_packed_body_is_not_unpacked() {
    for house in houses().await {
        let client = house.client("okta").await;
        let body = json!({ "userName": "mia" }).to_string();
        for coding in ["gzip", "identity, gzip", "GZIP", "br", "x"] {
            let headers = [("content-type", "application/json"), ("content-encoding", coding)];
            for (method, path) in [("POST", "/Users"), ("PATCH", "/Users/x"), ("POST", "/Bulk")] {
                let refused = client.send(method, path, &headers, body.clone()).await;
                refused.assert_scim_error(415, coding);
            }
        }
        let headers = [("content-type", "application/json"), ("content-encoding", "identity")];
        assert_eq!(client.send("POST", "/Users", &headers, body).await.status, 201);
        house.close().await;
    }
}

#[tokio::test]
async fn the_scope_decides_before_a_body_is_read() {
    for house in houses().await {
        house.client("okta").await;
        let scope = Scope::of([(ResourceKind::Users, Verb::Read)]);
        let (_, key) = house.key("okta", "reads", scope).await;
        let reader = Client { house: &house, base: "/scim/okta/v2".to_owned(), key };
        for (method, path) in
            [("POST", "/Users"), ("PUT", "/Users/x"), ("PATCH", "/Groups/x"), ("POST", "/Groups")]
        {
            // A body that never ends: whoever reads it does not answer.
            let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
            let request = Request::builder()
                .method(method)
                .uri(format!("{}{path}", reader.base))
                .header(header::AUTHORIZATION, format!("Bearer {}", reader.key))
                .header(header::CONTENT_TYPE, "application/json")
                .body(never)
                .unwrap();
            let refused = house.ask(request).await;
            refused.assert_scim_error(403, path);
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_patch_of_a_large_group_is_answered_without_it() {
    for house in houses().await {
        let client = house.client("okta").await;
        let mut members = Vec::new();
        for chunk in 0..2 {
            let operations: Vec<_> = (0..501)
                .map(|number| {
                    let name = format!("u{chunk}-{number}");
                    json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": { "userName": name } })
                })
                .collect();
            let made = client.post("/Bulk", &json!({ "Operations": operations })).await.json();
            members.extend(made["Operations"].as_array().unwrap().iter().map(
                |done| json!({ "value": done["location"].as_str().unwrap().rsplit('/').next().unwrap() }),
            ));
        }
        let made = client.post("/Groups", &json!({ "displayName": "All", "members": members })).await;
        let path = format!("/Groups/{}", made.id());
        let rename = |name: &str| json!([{ "op": "replace", "path": "displayName", "value": name }]);
        let answer = client.patch(&path, &rename("One")).await;
        assert_eq!((answer.status, answer.body.as_str(), answer.header("etag")), (204, "", "W/\"2\""));
        let body = json!({ "schemas": [PATCH_URN], "Operations": rename("Two") });
        let without = client.json("PATCH", &format!("{path}?excludedAttributes=members"), &body).await;
        assert_eq!((without.status, without.json().get("members")), (200, None));
        let with = client.json("PATCH", &format!("{path}?attributes=members"), &body).await;
        assert_eq!(with.status, 200);
        assert_eq!(with.json()["members"].as_array().unwrap().len(), 1_002);
        house.close().await;
    }
}

#[tokio::test]
async fn two_users_may_share_an_external_id_and_it_is_never_an_id() {
    for house in houses().await {
        let client = house.client("okta").await;
        let mia = client.user("mia").await;
        for (name, external) in [("a", mia.as_str()), ("b", mia.as_str()), ("c", "1"), ("d", "1")] {
            let made = client.post("/Users", &json!({ "userName": name, "externalId": external })).await;
            assert_eq!(made.status, 201, "{}", made.body);
            assert_ne!(made.id(), external);
        }
        assert_eq!(client.get(&format!("/Users/{mia}")).await.json()["userName"], json!("mia"));
        assert_eq!(client.get("/Users/1").await.status, 404);
        let found =
            client.get(&crate::house::filter("externalId eq \"1\"").replace('?', "/Users?")).await.json();
        assert_eq!(found["totalResults"], json!(2));
        house.close().await;
    }
}
