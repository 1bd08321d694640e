//! Rows 55 to 59: Bulk (RFC 7644 3.7).

use serde_json::{Value, json};

use crate::house::{Answer, Client, GROUP_URN, NOBODY, filter, houses};

const REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

async fn send(client: &Client<'_>, more: Value, operations: Value) -> Answer {
    let mut body = json!({ "schemas": [REQUEST_URN], "Operations": operations });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post("/Bulk", &body).await
}

fn statuses(answer: &Answer) -> Vec<String> {
    let operations = answer.json()["Operations"].as_array().cloned().unwrap_or_default();
    operations
        .iter()
        .map(|operation| operation["status"].as_str().unwrap_or_else(|| panic!("{operation}")).to_owned())
        .collect()
}

#[tokio::test]
async fn operations_are_done_in_their_order_and_know_what_others_created() {
    // Rows 55 and 56.
    for house in houses().await {
        let client = house.client("okta").await;
        let mia = client.user("mia").await;
        let answer = send(&client, json!({}), json!([
            { "method": "POST", "path": "/Users", "bulkId": "u1", "data": { "userName": "new" } },
            { "method": "POST", "path": "/Groups", "bulkId": "g1", "data": { "displayName": "Staff", "members": [{ "value": "bulkId:u1" }, { "value": mia }] } },
            { "method": "PATCH", "path": "/Groups/bulkId:g1", "data": { "Operations": [{ "op": "remove", "path": format!("members[value eq \"{mia}\"]") }] } },
            { "method": "PUT", "path": format!("/Users/{mia}"), "version": "W/\"1\"", "data": { "userName": "mia", "title": "Lead" } },
            { "method": "PUT", "path": format!("/Users/{mia}"), "version": "W/\"1\"", "data": { "userName": "mia", "title": "Late" } },
            { "method": "DELETE", "path": format!("/Users/{NOBODY}") },
            { "method": "POST", "path": "/Users", "bulkId": "u2", "data": { "userName": "NEW" } },
        ])).await;
        assert_eq!(
            (answer.status, &answer.json()["schemas"]),
            (200, &json!([RESPONSE_URN])),
            "{}",
            answer.body
        );
        assert_eq!(statuses(&answer), ["201", "201", "200", "200", "412", "404", "409"]);
        let done = answer.json()["Operations"].clone();
        for (index, operation) in done.as_array().unwrap().iter().enumerate() {
            let is_failed_post = index == 6;
            assert_eq!(operation.get("location").is_none(), is_failed_post, "{operation}");
            let failed = operation["status"].as_str().unwrap() >= "400";
            assert_eq!(operation.get("response").is_some(), failed, "{operation}");
            if failed {
                assert_eq!(operation["response"]["status"], operation["status"]);
                assert_eq!(
                    operation["response"]["schemas"],
                    json!(["urn:ietf:params:scim:api:messages:2.0:Error"])
                );
            } else {
                assert!(
                    operation["version"].as_str().is_some_and(|version| version.starts_with("W/\"")),
                    "{operation}"
                );
            }
        }
        assert_eq!(
            (&done[0]["bulkId"], &done[0]["method"], &done[6]["bulkId"]),
            (&json!("u1"), &json!("POST"), &json!("u2"))
        );
        assert_eq!(done[6]["response"]["scimType"], json!("uniqueness"));
        let location = done[1]["location"].as_str().unwrap();
        let group = client.get(location.trim_start_matches("https://keyward.test/scim/okta/v2")).await.json();
        let created = done[0]["location"].as_str().unwrap().rsplit('/').next().unwrap();
        assert_eq!(group["members"].as_array().map(Vec::len), Some(1));
        assert_eq!(group["members"][0]["value"], json!(created));
        assert!(!String::from_utf8_lossy(&house.bytes()).contains("bulkId:u1"), "no temporary id is stored");
        house.close().await;
    }
}

#[tokio::test]
async fn errors_stop_a_request_only_when_it_says_so() {
    // Row 57.
    for house in houses().await {
        let client = house.client("okta").await;
        let operations = |name: &str| {
            let bad = json!({ "method": "DELETE", "path": format!("/Users/{NOBODY}") });
            let good = |number: u32| json!({ "method": "POST", "path": "/Users", "bulkId": format!("b{number}"), "data": { "userName": format!("{name}{number}") } });
            json!([bad, good(1), bad, good(2)])
        };
        let on = send(&client, json!({}), operations("on")).await;
        assert_eq!(statuses(&on), ["404", "201", "404", "201"]);
        let stopped = send(&client, json!({ "failOnErrors": 2 }), operations("two")).await;
        assert_eq!(
            (stopped.status, statuses(&stopped)),
            (200, vec!["404".to_owned(), "201".to_owned(), "404".to_owned()])
        );
        let at_once = send(&client, json!({ "failOnErrors": 1 }), operations("one")).await;
        assert_eq!(statuses(&at_once), ["404"]);
        for (name, count) in [("on1", 1), ("on2", 1), ("two1", 1), ("two2", 0), ("one1", 0)] {
            let found =
                client.get(&format!("/Users{}", filter(&format!("userName eq \"{name}\"")))).await.json();
            assert_eq!(found["totalResults"], json!(count), "{name}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn the_circle_of_rfc_7644_section_3_7_1_is_created() {
    // Row 58. The example of the standard: two groups, each a member of the other.
    for house in houses().await {
        let client = house.client("okta").await;
        let group = |name: &str, bulk_id: &str, member: &str| {
            json!({
                "method": "POST", "path": "/Groups", "bulkId": bulk_id,
                "data": {
                    "schemas": [GROUP_URN], "displayName": name,
                    "members": [{ "type": "Group", "value": format!("bulkId:{member}") }],
                },
            })
        };
        let answer = send(
            &client,
            json!({}),
            json!([group("Group A", "qwerty", "ytrewq"), group("Group B", "ytrewq", "qwerty")]),
        )
        .await;
        assert_eq!((answer.status, statuses(&answer)), (200, vec!["201".to_owned(), "201".to_owned()]));
        let done = answer.json()["Operations"].clone();
        let mut groups = Vec::new();
        for (index, (name, bulk_id)) in [("Group A", "qwerty"), ("Group B", "ytrewq")].into_iter().enumerate()
        {
            assert_eq!(done[index]["bulkId"], json!(bulk_id));
            let location = done[index]["location"].as_str().unwrap().to_owned();
            let group = client.get(location.trim_start_matches("https://keyward.test/scim/okta/v2")).await;
            assert_eq!(group.json()["displayName"], json!(name));
            assert_eq!(
                group.json()["meta"]["version"],
                done[index]["version"],
                "the version is the last one"
            );
            groups.push((location, group.json()));
        }
        for (index, other) in [(0, 1), (1, 0)] {
            let members = groups[index].1["members"].as_array().unwrap();
            let [member] = members.as_slice() else { panic!("one member: {members:?}") };
            let (location, held) = &groups[other];
            assert_eq!((&member["value"], &member["type"]), (&held["id"], &json!("Group")));
            assert_eq!((&member["$ref"], &member["display"]), (&json!(location), &held["displayName"]));
        }
        // Who is in one of them is in both.
        let mia = client.user("mia").await;
        let path = format!("/Groups/{}", groups[0].1["id"].as_str().unwrap());
        let join = json!([{ "op": "add", "path": "members", "value": [{ "value": mia }] }]);
        assert_eq!(client.patch(&path, &join).await.status, 200);
        let user = client.get(&format!("/Users/{mia}")).await.json();
        let mut found: Vec<String> = user["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| {
                format!("{} {}", group["display"].as_str().unwrap(), group["type"].as_str().unwrap())
            })
            .collect();
        found.sort();
        assert_eq!(found, ["Group A direct", "Group B indirect"]);
        house.close().await;
    }
}

#[tokio::test]
async fn a_reference_to_nothing_is_refused_and_never_stored() {
    // Row 58.
    for house in houses().await {
        let client = house.client("okta").await;
        let answer = send(&client, json!({}), json!([
            { "method": "POST", "path": "/Groups", "bulkId": "c", "data": { "displayName": "C", "members": [{ "value": "bulkId:nobody" }] } },
        ])).await;
        assert_eq!((answer.status, statuses(&answer)), (200, vec!["409".to_owned()]));
        let groups = client.get("/Groups").await;
        assert_eq!(groups.json()["totalResults"], json!(0), "{}", groups.body);
        house.close().await;
    }
}

#[tokio::test]
async fn a_bulk_request_over_a_limit_is_413_and_names_it() {
    // Row 59. RFC 7644 3.7.4.
    for house in houses().await {
        let client = house.client("okta").await;
        let bulk = client.get("/ServiceProviderConfig").await.json()["bulk"].clone();
        assert_eq!(bulk["supported"], json!(true));
        let number = |name: &str| usize::try_from(bulk[name].as_u64().unwrap()).unwrap();
        let (operations, payload) = (number("maxOperations"), number("maxPayloadSize"));
        let many = |count: usize| {
            Value::from(vec![json!({ "method": "DELETE", "path": format!("/Users/{NOBODY}") }); count])
        };
        let answer = send(&client, json!({}), many(operations + 1)).await;
        answer.assert_scim_error(413, "one operation more");
        assert!(answer.body.contains(&operations.to_string()), "{}", answer.body);
        let padded = |bytes: usize| {
            let bare = json!({ "schemas": [REQUEST_URN], "Operations": many(1), "x": "" }).to_string();
            json!({ "schemas": [REQUEST_URN], "Operations": many(1), "x": "y".repeat(bytes - bare.len()) })
                .to_string()
        };
        let sent = [("content-type", "application/scim+json")];
        let answer = client.send("POST", "/Bulk", &sent, padded(payload + 1)).await;
        answer.assert_scim_error(413, "one byte more");
        assert!(answer.body.contains(&payload.to_string()), "{}", answer.body);
        let answer = client.send("POST", "/Bulk", &sent, padded(payload)).await;
        assert_eq!((answer.status, statuses(&answer)), (200, vec!["404".to_owned()]));
        let answer = send(&client, json!({}), many(operations)).await;
        assert_eq!((answer.status, statuses(&answer).len()), (200, operations));
        house.close().await;
    }
}

#[tokio::test]
async fn an_operation_that_is_none_fails_alone() {
    // Row 55. RFC 7644 3.7.3: each with a status of its own.
    for house in houses().await {
        let client = house.client("okta").await;
        let answer = send(&client, json!({}), json!([
            { "method": "POST", "path": "/Users", "data": { "userName": "no-bulk-id" } },
            { "method": "GET", "path": "/Users" },
            { "method": "POST", "path": "/Planets", "bulkId": "p", "data": {} },
            { "method": "POST", "path": "/Users", "bulkId": "u", "data": { "title": "nobody" } },
            { "method": "PATCH", "path": "/Users/bulkId:u", "data": { "Operations": [{ "op": "replace", "path": "title", "value": "x" }] } },
            { "method": "POST", "path": "/Users", "bulkId": "v", "data": { "userName": "somebody" } },
        ])).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let found = statuses(&answer);
        assert_eq!(found.len(), 6, "{}", answer.body);
        assert!(found[1..5].iter().all(|status| status.starts_with('4')), "{found:?}");
        assert_eq!(found[5], "201");
        for body in [json!({}), json!({ "Operations": {} }), json!([])] {
            client.post("/Bulk", &body).await.assert_scim_error(400, &body.to_string());
        }
        house.close().await;
    }
}
