//! Scopes over HTTP: what an answer holds, and with which status the rest is refused.

use domain::scopes::{Ceiling, ResourceKind, Scope, Verb};
use serde_json::json;

use crate::house::{Client, GROUP_URN, PATCH_URN, USER_URN, filter, houses};

#[tokio::test]
async fn every_answer_holds_what_the_key_may_read_whichever_way_it_was_asked_for() {
    for house in houses().await {
        let all = house.client("okta").await;
        let id = all
            .post("/Users", &json!({ "userName": "mia", "title": "Lead", "emails": [{ "value": "m@x" }] }))
            .await
            .id();
        let mut scope = Scope::full_directory();
        scope.grant_mut(ResourceKind::Users).read_attributes = Some(["userName".to_owned()].into());
        let (_, key) = house.key("okta", "narrow", scope).await;
        let narrow = Client { house: &house, base: "/scim/okta/v2".to_owned(), key };
        let path = format!("/Users/{id}");
        let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"] });
        let changed = json!([{ "op": "replace", "path": "userName", "value": "mia2" }]);
        for answer in [
            narrow.get(&path).await,
            narrow.get(&format!("{path}?attributes=userName")).await,
            narrow.get("/Users").await,
            narrow.get(&format!("/Users{}", filter("userName sw \"m\""))).await,
            narrow.get("/").await,
            narrow.post("/Users/.search", &search).await,
            narrow.patch(&path, &changed).await,
        ] {
            assert!((200..300).contains(&answer.status), "{}", answer.body);
            assert!(answer.body.contains("mia") && answer.body.contains(&id), "{}", answer.body);
            assert!(!answer.body.contains("Lead") && !answer.body.contains("m@x"), "{}", answer.body);
        }
        for asked in [
            filter("title eq \"Lead\""),
            filter("title eq \"x\""),
            "?attributes=title".to_owned(),
            "?sortBy=title".to_owned(),
        ] {
            narrow.get(&format!("/Users{asked}")).await.assert_scim_error(403, &asked);
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_full_hour_is_429_with_the_seconds_to_wait() {
    for house in houses().await {
        let scope = Scope {
            ceilings: vec![Ceiling { resource: ResourceKind::Users, verb: Verb::Create, per_hour: 1 }],
            ..Scope::full_directory()
        };
        house.client("okta").await;
        let (_, key) = house.key("okta", "narrow", scope).await;
        let narrow = Client { house: &house, base: "/scim/okta/v2".to_owned(), key };
        assert_eq!(narrow.post("/Users", &json!({ "userName": "a" })).await.status, 201);
        let late = narrow.post("/Users", &json!({ "userName": "b" })).await;
        late.assert_scim_error(429, "the second in an hour");
        let wait: u32 = late.header("retry-after").parse().unwrap();
        assert!((3_540..=3_660).contains(&wait), "{wait}");
        assert_eq!(house.population("okta").await.0, 1);
        house.close().await;
    }
}

#[tokio::test]
async fn a_bulk_request_is_held_against_the_scope_operation_by_operation() {
    for house in houses().await {
        let all = house.client("okta").await;
        let (mine, other) = (all.user("mia").await, all.user("leo").await);
        let mut scope = Scope::of([
            (ResourceKind::Users, Verb::Read),
            (ResourceKind::Users, Verb::Create),
            (ResourceKind::Users, Verb::Update),
        ]);
        let grant = scope.grant_mut(ResourceKind::Users);
        grant.filter = Some("userName sw \"m\"".to_owned());
        grant.write_attributes = Some(["userName", "active"].map(str::to_owned).into());
        scope.ceilings = vec![Ceiling { resource: ResourceKind::Users, verb: Verb::Create, per_hour: 1 }];
        let (_, key) = house.key("okta", "narrow", scope).await;
        let narrow = Client { house: &house, base: "/scim/okta/v2".to_owned(), key };
        let patch = |path: &str, value: serde_json::Value| json!({ "schemas": [PATCH_URN], "Operations": [{ "op": "replace", "path": path, "value": value }] });
        let user = |name: &str| json!({ "schemas": [USER_URN], "userName": name });
        let asked = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": [
                { "method": "PATCH", "path": format!("/Users/{mine}"), "data": patch("active", json!(false)) },
                { "method": "PATCH", "path": format!("/Users/{mine}"), "data": patch("title", json!("Boss")) },
                { "method": "PATCH", "path": format!("/Users/{mine}"), "data": patch("userName", json!("leo2")) },
                { "method": "PATCH", "path": format!("/Users/{other}"), "data": patch("active", json!(false)) },
                { "method": "DELETE", "path": format!("/Users/{mine}") },
                { "method": "POST", "path": "/Groups", "bulkId": "g",
                    "data": { "schemas": [GROUP_URN], "displayName": "Staff" } },
                { "method": "POST", "path": "/Users", "bulkId": "a", "data": user("max") },
                { "method": "POST", "path": "/Users", "bulkId": "b", "data": user("moritz") },
                { "method": "POST", "path": "/Users", "bulkId": "c", "data": user("otto") },
            ],
        });
        let answer = narrow.post("/Bulk", &asked).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let body = answer.json();
        let statuses: Vec<&str> = body["Operations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["status"].as_str().unwrap())
            .collect();
        // Changed; an attribute, a way out of the filter; not there; verbs; made; the hour is full, whoever it is.
        assert_eq!(statuses, ["200", "403", "403", "404", "403", "403", "201", "429", "403"]);
        assert_eq!(house.population("okta").await, (3, 0));
        let now = all.get(&format!("/Users/{mine}")).await.json();
        assert_eq!(
            (&now["active"], &now["userName"], now.get("title")),
            (&json!(false), &json!("mia"), None)
        );
        assert_eq!(all.get(&format!("/Users/{other}")).await.json()["active"], json!(true));
        house.close().await;
    }
}

#[tokio::test]
async fn a_put_keeps_what_it_may_not_write_and_is_refused_what_it_names() {
    for house in houses().await {
        let all = house.client("okta").await;
        let emails = json!([{ "value": "m@home.example", "type": "work" }]);
        let whole = json!({ "schemas": [USER_URN], "userName": "mia", "title": "Lead", "emails": emails });
        let id = all.post("/Users", &whole).await.id();
        let path = format!("/Users/{id}");
        let mut scope = Scope::full_directory();
        scope.grant_mut(ResourceKind::Users).write_attributes =
            Some(["userName", "displayName"].map(str::to_owned).into());
        let (_, key) = house.key("okta", "narrow", scope).await;
        let narrow = Client { house: &house, base: "/scim/okta/v2".to_owned(), key };
        // What it does not name and may not write stays as it is.
        let put = json!({ "schemas": [USER_URN], "userName": "mia2", "displayName": "Mia" });
        assert_eq!(narrow.put(&path, &put).await.status, 200);
        let now = all.get(&path).await.json();
        assert_eq!(
            (&now["title"], &now["userName"], &now["displayName"]),
            (&json!("Lead"), &json!("mia2"), &json!("Mia"))
        );
        assert_eq!(now["emails"][0]["value"], "m@home.example");
        // What it sends back unchanged is no change; what it changes is refused by its name, and nothing is done.
        let same =
            json!({ "schemas": [USER_URN], "userName": "mia2", "displayName": "Mia", "title": "Lead" });
        assert_eq!(narrow.put(&path, &same).await.status, 200);
        let other = json!({ "schemas": [USER_URN], "userName": "mia3", "title": "Boss" });
        let refused = narrow.put(&path, &other).await;
        refused.assert_scim_error(403, "an attribute");
        assert!(refused.body.contains("title"), "{}", refused.body);
        assert_eq!(all.get(&path).await.json(), now);
        house.close().await;
    }
}
