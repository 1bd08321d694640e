//! Rows 43 to 53: PATCH (RFC 7644 3.5.2).

use serde_json::{Value, json};

use crate::house::{Client, ENTERPRISE_URN, NOBODY, USER_URN, houses};

async fn mia(client: &Client<'_>) -> String {
    let body = json!({
        "userName": "mia", "title": "Lead", "name": { "givenName": "Mia", "familyName": "Berg" },
        "emails": [{ "value": "w@a.example", "type": "work", "primary": true }, { "value": "h@a.example", "type": "home" }],
        ENTERPRISE_URN: { "department": "R" },
    });
    format!("/Users/{}", client.post("/Users", &body).await.id())
}

#[tokio::test]
async fn a_patch_changes_all_or_nothing() {
    // Row 44.
    for house in houses().await {
        let client = house.client("okta").await;
        client.user("taken").await;
        let path = mia(&client).await;
        let before = client.get(&path).await.json();
        let good = json!({ "op": "replace", "path": "title", "value": "Head" });
        for (bad, status, keyword) in [
            (json!({ "op": "replace", "path": "planet", "value": 1 }), 400, "invalidPath"),
            (json!({ "op": "remove", "path": "userName" }), 400, "mutability"),
            (json!({ "op": "remove" }), 400, "noTarget"),
            (json!({ "op": "replace", "path": "active", "value": "perhaps" }), 400, "invalidValue"),
            (json!({ "op": "replace", "path": "name", "value": "Mia" }), 400, "invalidValue"),
            (json!({ "op": "replace", "path": "userName", "value": "TAKEN" }), 409, "uniqueness"),
            (
                json!({ "op": "replace", "path": "emails[type eq \"other\"]", "value": { "value": "x@a.example" } }),
                400,
                "noTarget",
            ),
        ] {
            let answer = client.patch(&path, &json!([good, bad])).await;
            assert_eq!(answer.assert_scim_error(status, &bad.to_string()).as_deref(), Some(keyword), "{bad}");
            assert_eq!(client.get(&path).await.json(), before, "{bad}");
        }
        let answer = client.patch(&format!("/Users/{NOBODY}"), &json!([good])).await;
        answer.assert_scim_error(404, "row 53: an unknown id");
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_added_twice_is_there_once_and_is_no_change() {
    // Row 46. RFC 7644 3.5.2.1.
    for house in houses().await {
        let client = house.client("okta").await;
        let path = mia(&client).await;
        let new = json!({ "value": "o@a.example", "type": "other" });
        let added =
            client.patch(&path, &json!([{ "op": "add", "path": "emails", "value": [new] }])).await.json();
        assert_eq!(added["emails"].as_array().map(Vec::len), Some(3), "appended");
        house.clock.advance(5_000);
        for operations in [
            json!([{ "op": "add", "path": "emails", "value": [new] }]),
            json!([{ "op": "add", "path": "emails", "value": new }]),
            json!([{ "op": "add", "value": { "emails": [new], "title": "Lead" } }]),
            json!([{ "op": "replace", "path": "title", "value": "Lead" }]),
            json!([{ "op": "remove", "path": "nickName" }]),
        ] {
            let again = client.patch(&path, &operations).await;
            assert_eq!((again.status, again.json()), (200, added.clone()), "{operations}");
        }
        let merged = client
            .patch(&path, &json!([{ "op": "add", "path": "name", "value": { "middleName": "M" } }]))
            .await
            .json();
        assert_eq!(merged["name"], json!({ "givenName": "Mia", "familyName": "Berg", "middleName": "M" }));
        assert_ne!(merged["meta"]["lastModified"], added["meta"]["lastModified"]);
        let object = json!([{ "op": "add", "value": { "nickName": "M", "title": "Head" } }]);
        let set = client.patch(&path, &object).await.json();
        assert_eq!((&set["nickName"], &set["title"]), (&json!("M"), &json!("Head")));
        house.close().await;
    }
}

#[tokio::test]
async fn a_new_primary_value_clears_the_old_one() {
    // Row 47. RFC 7644 3.5.2.
    for house in houses().await {
        let client = house.client("okta").await;
        let primary = |user: &Value| -> Vec<Value> {
            let emails = user["emails"].as_array().unwrap().iter();
            emails
                .filter(|email| email["primary"] == json!(true))
                .map(|email| email["type"].clone())
                .collect()
        };
        let path = mia(&client).await;
        for (operations, expect) in [
            (
                json!([{ "op": "add", "path": "emails", "value": [{ "value": "o@a.example", "type": "other", "primary": true }] }]),
                "other",
            ),
            (json!([{ "op": "replace", "path": "emails[type eq \"home\"].primary", "value": true }]), "home"),
            (json!([{ "op": "add", "path": "emails[type eq \"work\"].primary", "value": "True" }]), "work"),
        ] {
            let patched = client.patch(&path, &operations).await;
            assert_eq!(patched.status, 200, "{operations}: {}", patched.body);
            assert_eq!(primary(&patched.json()), [json!(expect)], "{operations}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_removal_takes_what_its_filter_selects_and_no_more() {
    // Row 50. RFC 7644 3.5.2.2.
    for house in houses().await {
        let client = house.client("okta").await;
        let path = mia(&client).await;
        let remove =
            async |target: &str| client.patch(&path, &json!([{ "op": "remove", "path": target }])).await;
        let left = remove("emails[type eq \"home\"]").await.json();
        assert_eq!(left["emails"], json!([{ "value": "w@a.example", "type": "work", "primary": true }]));
        let left = remove("name.familyName").await.json();
        assert_eq!(left["name"], json!({ "givenName": "Mia" }));
        let left = remove("emails[value sw \"w\" and type eq \"work\"]").await.json();
        assert_eq!(left.get("emails"), None, "the last one is gone, and so is the attribute");
        let left = remove(&format!("{ENTERPRISE_URN}:department")).await.json();
        assert_eq!((left.get(ENTERPRISE_URN), &left["schemas"]), (None, &json!([USER_URN])));
        house.close().await;
    }
}

#[tokio::test]
async fn a_replacement_adds_what_is_absent_and_needs_what_it_selects() {
    // Row 51. RFC 7644 3.5.2.3.
    for house in houses().await {
        let client = house.client("okta").await;
        let path = mia(&client).await;
        let replace = async |target: &str, value: Value| {
            client.patch(&path, &json!([{ "op": "replace", "path": target, "value": value }])).await
        };
        assert_eq!(replace("nickName", json!("M")).await.json()["nickName"], json!("M"));
        let whole = replace("emails", json!([{ "value": "n@a.example", "type": "work" }])).await.json();
        assert_eq!(whole["emails"], json!([{ "value": "n@a.example", "type": "work" }]));
        let one = replace("emails[type eq \"work\"].value", json!("z@a.example")).await.json();
        assert_eq!(one["emails"], json!([{ "value": "z@a.example", "type": "work" }]));
        let parts = replace("name", json!({ "givenName": "Mina" })).await.json();
        assert_eq!(parts["name"], json!({ "givenName": "Mina", "familyName": "Berg" }));
        let none = replace("emails[type eq \"home\"]", json!({ "value": "q@a.example" })).await;
        assert_eq!(none.assert_scim_error(400, "nothing selected").as_deref(), Some("noTarget"));
        house.close().await;
    }
}

#[tokio::test]
async fn a_path_may_have_a_urn_a_filter_and_a_part_or_is_refused() {
    // Row 52. RFC 7644 3.5.2, figure 7.
    for house in houses().await {
        let client = house.client("okta").await;
        let path = mia(&client).await;
        for (target, value, pointer) in [
            (format!("{USER_URN}:title"), json!("Head"), "/title"),
            (format!("{USER_URN}:name.givenName"), json!("Mina"), "/name/givenName"),
            (
                format!("{ENTERPRISE_URN}:department"),
                json!("S"),
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/department",
            ),
            ("emails[type eq \"work\"].display".to_owned(), json!("d"), "/emails/0/display"),
            (
                format!("{USER_URN}:emails[value ew \"a.example\" and not (type eq \"home\")].value"),
                json!("k@a.example"),
                "/emails/0/value",
            ),
        ] {
            let patched =
                client.patch(&path, &json!([{ "op": "replace", "path": target, "value": value }])).await;
            assert_eq!(
                (patched.status, patched.json().pointer(pointer)),
                (200, Some(&value)),
                "{target}: {}",
                patched.body
            );
        }
        for target in [
            "",
            "emails[",
            "emails[]",
            "emails[type]",
            "emails]",
            ".",
            "name..givenName",
            "emails[type eq \"work\"]]",
            "urn:",
            "na me",
            "emails[type eq \"work\"].value.x",
        ] {
            let answer =
                client.patch(&path, &json!([{ "op": "replace", "path": target, "value": "x" }])).await;
            let keyword = answer.assert_scim_error(400, target);
            assert!(
                matches!(keyword.as_deref(), Some("invalidPath" | "invalidFilter" | "invalidValue")),
                "{target}: {keyword:?}"
            );
        }
        house.close().await;
    }
}
