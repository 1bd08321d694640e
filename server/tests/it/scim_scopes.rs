//! Scopes over HTTP: what an answer holds, and with which status the rest is refused.

use domain::scopes::{Ceiling, ResourceKind, Scope, Verb};
use serde_json::json;

use crate::house::{Client, filter, houses};

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
