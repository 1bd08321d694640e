//! Bulk over HTTP (RFC 7644 3.7): what it does, what it leaves, and its limits.

use domain::scopes::{ResourceKind, Scope, Verb};
use ops::audit::AuditFilter;
use serde_json::{Value, json};

use crate::house::{Client, GROUP_URN, PATCH_URN, USER_URN, houses};

const BULK_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

fn bulk(operations: &Value) -> Value {
    json!({ "schemas": [BULK_URN], "Operations": operations })
}

fn statuses(answer: &Value) -> Vec<&str> {
    answer["Operations"].as_array().unwrap().iter().map(|done| done["status"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn users_and_a_group_of_them_come_in_one_request_and_each_leaves_its_records() {
    for house in houses().await {
        let client = house.client("okta").await;
        let before = house.log().await.len();
        let answer = client
            .post(
                "/Bulk",
                &bulk(&json!([
                    { "method": "POST", "path": "/Groups", "bulkId": "g", "data": {
                        "schemas": [GROUP_URN], "displayName": "Staff",
                        "members": [{ "value": "bulkId:u" }, { "value": "bulkId:v" }] } },
                    { "method": "POST", "path": "/Users", "bulkId": "u",
                        "data": { "schemas": [USER_URN], "userName": "mia" } },
                    { "method": "POST", "path": "/Users", "bulkId": "v",
                        "data": { "schemas": [USER_URN], "userName": "tom" } },
                    { "method": "POST", "path": "/Users", "bulkId": "w",
                        "data": { "schemas": [USER_URN], "userName": "MIA" } },
                ])),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let body = answer.json();
        assert_eq!(statuses(&body), ["201", "201", "201", "409"]);
        assert_eq!(body["Operations"][3]["response"]["scimType"], json!("uniqueness"));
        assert_eq!(body["Operations"][3].get("location"), None);
        let location = body["Operations"][0]["location"].as_str().unwrap();
        let id = location.rsplit('/').next().unwrap();
        let group = client.get(&format!("/Groups/{id}")).await;
        assert_eq!(group.json()["members"].as_array().unwrap().len(), 2);
        assert_eq!(body["Operations"][0]["version"], group.json()["meta"]["version"]);

        let log = house.log().await;
        assert_eq!(
            log[before..],
            ["user.created done mia", "user.created done tom", "group.created done Staff"]
        );
        // Every record that it caused carries the id of its answer.
        let page = ops::audit::list(&house.admin(), &AuditFilter::default(), None, 3).await.unwrap();
        let request = answer.header("x-request-id");
        assert!(page.records.iter().all(|record| record.event.request_id == request));
        let slug = domain::federations::Slug::parse("okta").unwrap();
        let uses = ops::usage::of_federation(&house.admin(), &slug, 20).await.unwrap();
        let mut told: Vec<String> = uses
            .iter()
            .map(|used| format!("{} {} {}", used.method, used.resource_type, used.status))
            .collect();
        told.sort();
        assert_eq!(
            told,
            [
                "GET Groups 200",
                "POST Bulk 200",
                "POST Groups 201",
                "POST Users 201",
                "POST Users 201",
                "POST Users 409"
            ]
        );
        house.close().await;
    }
}

#[tokio::test]
async fn changes_conditions_and_deletions_keep_their_order_and_fail_alone() {
    for house in houses().await {
        let client = house.client("okta").await;
        let (mia, tom) = (client.user("mia").await, client.user("tom").await);
        let patch = |value: &str| {
            json!({ "schemas": [PATCH_URN],
            "Operations": [{ "op": "replace", "path": "title", "value": value }] })
        };
        let answer = client
            .post(
                "/Bulk",
                &bulk(&json!([
                    { "method": "PATCH", "path": format!("/Users/{mia}"), "version": "W/\"1\"", "data": patch("A") },
                    { "method": "PATCH", "path": format!("/Users/{mia}"), "version": "W/\"1\"", "data": patch("B") },
                    { "method": "PUT", "path": format!("/Users/{tom}"),
                        "data": { "schemas": [USER_URN], "userName": "tom", "title": "C" } },
                    { "method": "PUT", "path": format!("/Users/{tom}"),
                        "data": { "schemas": [USER_URN], "id": mia, "userName": "tom" } },
                    { "method": "PATCH", "path": format!("/Users/{tom}"), "data": { "Operations": "x" } },
                    { "method": "DELETE", "path": format!("/Users/{tom}") },
                    { "method": "DELETE", "path": format!("/Users/{tom}") },
                    { "method": "GET", "path": format!("/Users/{mia}") },
                ])),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let body = answer.json();
        assert_eq!(statuses(&body)[..7], ["200", "412", "200", "400", "400", "204", "404"]);
        assert_eq!(body["Operations"][3]["response"]["scimType"], json!("mutability"));
        let seen = client.get(&format!("/Users/{mia}")).await.json();
        assert_eq!((&seen["title"], &seen["meta"]["version"]), (&json!("A"), &json!("W/\"2\"")));
        assert_eq!(client.get(&format!("/Users/{tom}")).await.status, 404);
        house.close().await;
    }
}

#[tokio::test]
async fn the_scope_decides_each_operation() {
    for house in houses().await {
        house.client("okta").await;
        let scope = Scope::of([(ResourceKind::Users, Verb::Create)]);
        let (_, key) = house.key("okta", "narrow", scope).await;
        let narrow = Client { house: &house, base: "/scim/okta/v2".to_owned(), key };
        let answer = narrow
            .post(
                "/Bulk",
                &bulk(&json!([
                    { "method": "POST", "path": "/Groups", "bulkId": "g",
                        "data": { "schemas": [GROUP_URN], "displayName": "Staff" } },
                    { "method": "POST", "path": "/Users", "bulkId": "u",
                        "data": { "schemas": [USER_URN], "userName": "mia" } },
                ])),
            )
            .await;
        assert_eq!(statuses(&answer.json()), ["403", "201"]);
        let log = house.log().await;
        // A verb that the key never had is a trial (A4), told beside its refusal.
        let last = log[log.len() - 3..].iter().map(String::as_str);
        assert_eq!(
            last.collect::<Vec<_>>(),
            [
                "group.created refused ",
                "finding.raised done A key tries what it may not",
                "user.created done mia"
            ]
        );
        assert_eq!(house.population("okta").await, (1, 0));
        house.close().await;
    }
}

#[tokio::test]
async fn the_advertised_limits_are_kept() {
    for house in houses().await {
        let client = house.client("okta").await;
        let advertised = client.get("/ServiceProviderConfig").await.json()["bulk"].clone();
        assert_eq!(advertised["supported"], json!(true));
        let most = usize::try_from(advertised["maxOperations"].as_u64().unwrap()).unwrap();
        let bytes = usize::try_from(advertised["maxPayloadSize"].as_u64().unwrap()).unwrap();
        // Cheap ones: what is being tested is that they are taken.
        let operations = |count: usize| {
            (0..count).map(|_| json!({ "method": "DELETE", "path": "/Users/nobody" })).collect()
        };
        let at_limit = client.post("/Bulk", &bulk(&operations(most))).await;
        assert_eq!(statuses(&at_limit.json()), vec!["404"; most]);
        let over = client.post("/Bulk", &bulk(&operations(most + 1))).await;
        over.assert_scim_error(413, "one operation too many");
        assert!(over.body.contains(&most.to_string()), "{}", over.body);

        let padded = |size: usize| {
            let mut body = bulk(&operations(1)).to_string();
            body.push_str(&" ".repeat(size - body.len()));
            body
        };
        let headers = [("content-type", "application/scim+json")];
        assert_eq!(client.send("POST", "/Bulk", &headers, padded(bytes)).await.status, 200);
        let over = client.send("POST", "/Bulk", &headers, padded(bytes + 1)).await;
        over.assert_scim_error(413, "one byte too many");
        assert!(over.body.contains(&bytes.to_string()), "{}", over.body);

        let failing = json!({ "schemas": [BULK_URN], "failOnErrors": 1, "Operations": [
            { "method": "DELETE", "path": "/Users/nobody" },
            { "method": "POST", "path": "/Users", "bulkId": "u", "data": { "userName": "late" } },
        ] });
        let stopped = client.post("/Bulk", &failing).await;
        assert_eq!(statuses(&stopped.json()), ["404"]);
        assert_eq!(house.population("okta").await, (0, 0));
        for (method, path, status) in [("GET", "/Bulk", 405), ("PUT", "/Bulk", 405)] {
            let refused = client.send(method, path, &[], "{}").await;
            refused.assert_scim_error(status, method);
            assert_eq!(refused.header("allow"), "POST");
        }
        client.send("POST", "/Bulk", &headers, "[]").await.assert_scim_error(400, "an array");
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_protected_is_refused_in_a_bulk_request_and_what_stands_beside_it_is_done() {
    for house in houses().await {
        let client = house.client("okta").await;
        let (root, other) = (client.user("root").await, client.user("other").await);
        let admins = client.group("admins").await;
        let slug = domain::federations::Slug::parse("okta").unwrap();
        for resource in [&root, &admins] {
            let (kind, reason) = ("protected".to_owned(), "root".to_owned());
            let new = ops::brakes::NewMark { resource: resource.clone(), kind, reason };
            ops::brakes::mark(&house.admin(), &slug, new).await.unwrap();
        }
        let before = (
            client.get(&format!("/Users/{root}")).await.json(),
            client.get(&format!("/Groups/{admins}")).await.json(),
        );
        let patch = |operation: Value| json!({ "schemas": [PATCH_URN], "Operations": [operation] });
        let off = || patch(json!({ "op": "replace", "path": "active", "value": false }));
        let answer = client
            .post(
                "/Bulk",
                &bulk(&json!([
                    { "method": "PATCH", "path": format!("/Users/{root}"), "data": off() },
                    { "method": "PATCH", "path": format!("/Users/{other}"), "data": off() },
                    { "method": "PUT", "path": format!("/Users/{root}"),
                        "data": { "schemas": [USER_URN], "userName": "taken" } },
                    { "method": "DELETE", "path": format!("/Users/{root}") },
                    { "method": "PATCH", "path": format!("/Groups/{admins}"),
                        "data": patch(json!({ "op": "add", "path": "members", "value": [{ "value": other }] })) },
                    { "method": "PUT", "path": format!("/Groups/{admins}"),
                        "data": { "schemas": [GROUP_URN], "displayName": "x" } },
                    { "method": "DELETE", "path": format!("/Groups/{admins}") },
                    // With somebody who is protected, by an id and by what the request makes itself.
                    { "method": "POST", "path": "/Groups", "bulkId": "g", "data": {
                        "schemas": [GROUP_URN], "displayName": "made", "members": [{ "value": root }] } },
                    { "method": "POST", "path": "/Users", "bulkId": "u",
                        "data": { "schemas": [USER_URN], "userName": "new" } },
                    { "method": "PATCH", "path": format!("/Groups/{admins}"), "data": patch(json!({
                        "op": "add", "path": "members", "value": [{ "value": "bulkId:u" }] })) },
                ])),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(
            statuses(&answer.json()),
            ["403", "200", "403", "403", "403", "403", "403", "403", "201", "403"]
        );
        let after = (
            client.get(&format!("/Users/{root}")).await.json(),
            client.get(&format!("/Groups/{admins}")).await.json(),
        );
        assert_eq!(after, before);
        assert_eq!(client.get(&format!("/Users/{other}")).await.json()["active"], json!(false));
        assert_eq!(house.population("okta").await, (3, 1));
        let rule = Some(domain::findings::Rule::ProtectedChange);
        let wanted = ops::findings::Wanted { rule, ..ops::findings::Wanted::default() };
        let found = ops::findings::list(&house.admin(), &wanted).await.unwrap();
        assert_eq!((found.len(), found[0].finding.count), (1, 8), "each attempt counts");
        house.close().await;
    }
}
