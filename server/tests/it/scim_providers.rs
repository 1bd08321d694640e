//! First contact, as the large providers really make it (their pages are named in `scim::coerce`).

use domain::scopes::Scope;
use serde_json::{Value, json};

use crate::house::{Client, ENTERPRISE_URN, GROUP_URN, NOBODY, PATCH_URN, SCIM_JSON, USER_URN, houses};

const EMPTY_LIST: &str = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":0,"startIndex":1,"itemsPerPage":0}"#;

fn assert_nobody_found(body: &Value) {
    let mut body = body.clone();
    // Entra's test connection reads an empty `Resources` as well as none.
    if let Some(resources) = body.as_object_mut().unwrap().remove("Resources") {
        assert_eq!(resources, json!([]));
    }
    assert_eq!(body, serde_json::from_str::<Value>(EMPTY_LIST).unwrap());
}

#[tokio::test]
async fn entra_connects_creates_disables_and_groups() {
    for house in houses().await {
        let mut client = house.client("entra").await;
        let guid = "%22f9c3a1d4-7d5b-4bfa-8d5f-0b8b1f7e6a55%22";
        for path in [
            format!("/Users?filter=userName+eq+{guid}"),
            format!("/Users?filter=userName%20eq%20{guid}&aadOptscim062020"),
            format!("/Groups?excludedAttributes=members&filter=displayName+eq+{guid}"),
            format!("/Users?filter=externalId+eq+{guid}"),
        ] {
            let found = client.get(&path).await;
            assert_eq!((found.status, found.header("content-type")), (200, SCIM_JSON), "{path}");
            assert_nobody_found(&found.json());
        }
        let made = client
            .post(
                "/Users",
                &json!({
                    "schemas": [USER_URN, ENTERPRISE_URN], "externalId": "0a21f0f2", "userName": "mia@a.example",
                    "active": true,
                    "emails": [{ "primary": true, "type": "work", "value": "mia@a.example" }],
                    "meta": { "resourceType": "User" },
                    "name": { "formatted": "Mia Berg", "familyName": "Berg", "givenName": "Mia" },
                    "roles": [],
                }),
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.body);
        let id = made.id();
        let path = format!("/Users/{id}");
        for (operations, pointer, expect) in [
            (json!([{ "op": "Replace", "path": "active", "value": "False" }]), "/active", json!(false)),
            (json!([{ "op": "Replace", "path": "active", "value": "True" }]), "/active", json!(true)),
            (
                json!([{ "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "m@a.example" }]),
                "/emails/0/value",
                json!("m@a.example"),
            ),
            (
                json!([{ "op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+49 1" }]),
                "/phoneNumbers/0",
                json!({ "type": "mobile", "value": "+49 1" }),
            ),
            (
                json!([{ "op": "replace", "value": { "displayName": "B", "name.givenName": "K",
                    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber": "A" } }]),
                "/name/givenName",
                json!("K"),
            ),
        ] {
            let patched = client.patch(&path, &operations).await;
            assert_eq!(patched.status, 200, "{operations}: {}", patched.body);
            assert_eq!(patched.json().pointer(pointer), Some(&expect), "{operations}");
        }
        assert_eq!(client.get(&path).await.json()[ENTERPRISE_URN]["employeeNumber"], json!("A"));

        let group = client
            .post(
                "/Groups",
                &json!({
                    "schemas": [GROUP_URN, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
                    "externalId": "8aa1", "displayName": "Staff", "meta": { "resourceType": "Group" },
                }),
            )
            .await;
        assert_eq!((group.status, &group.json()["schemas"]), (201, &json!([GROUP_URN])));
        let group = format!("/Groups/{}", group.id());
        let max = client.user("max@a.example").await;
        let both = json!([{ "op": "Add", "path": "members",
            "value": [{ "$ref": null, "value": id }, { "$ref": null, "value": max }] }]);
        assert_eq!(client.patch(&group, &both).await.status, 200);
        let one = json!([{ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": id }] }]);
        let left = client.patch(&group, &one).await.json();
        assert_eq!(left["members"].as_array().map(Vec::len), Some(1), "only the named member is removed");
        assert_eq!(left["members"][0]["value"], json!(max));
        client.get(&format!("/Users/{NOBODY}")).await.assert_scim_error(404, "an unknown id");

        // The address as Entra writes it, with a slash at its end.
        client.base.push('/');
        assert_eq!(client.get("/Users?filter=userName+eq+%22mia%40a.example%22").await.status, 200);
        house.close().await;
    }
}

#[tokio::test]
async fn okta_looks_up_creates_updates_and_deactivates() {
    for house in houses().await {
        let client = house.client("okta").await;
        let agent = ("user-agent", "Okta SCIM Client 1.0.0");
        let look_up = "/Users?filter=userName%20eq%20%22x%40y.example%22&startIndex=1&count=100";
        let found = client.send("GET", look_up, &[agent], "").await;
        assert_eq!(found.status, 200);
        assert_nobody_found(&found.json());

        let body = json!({
            "schemas": [USER_URN], "userName": "x@y.example", "name": { "givenName": "X", "familyName": "Y" },
            "emails": [{ "primary": true, "value": "x@y.example", "type": "work", "display": "x@y.example" }],
            "displayName": "X Y", "locale": "en-US", "externalId": "00ujl29u0le5T6Aj10h7", "groups": [],
            "password": "1mz050nq", "active": true,
        });
        let sent = [agent, ("content-type", "application/scim+json; charset=utf-8")];
        let made = client.send("POST", "/Users", &sent, body.to_string()).await;
        assert_eq!(made.status, 201, "{}", made.body);
        assert!(!made.body.is_empty(), "an empty 201 is a failure to Okta");
        let again = client.send("POST", "/Users", &sent, body.to_string()).await;
        assert_eq!(again.assert_scim_error(409, "the same user again").as_deref(), Some("uniqueness"));

        // Okta sends back the whole object that it read.
        let path = format!("/Users/{}", made.id());
        let mut whole = client.get(&path).await.json();
        whole["name"]["familyName"] = json!("Z");
        let replaced = client.send("PUT", &path, &sent, whole.to_string()).await;
        assert_eq!((replaced.status, &replaced.json()["name"]["familyName"]), (200, &json!("Z")));
        let off = json!([{ "op": "replace", "value": { "active": false } }]);
        assert_eq!(client.patch(&path, &off).await.json()["active"], json!(false));

        let group = client
            .post("/Groups", &json!({ "schemas": [GROUP_URN], "displayName": "Staff", "members": [] }))
            .await;
        assert_eq!(group.status, 201);
        let id = group.id();
        let group = format!("/Groups/{id}");
        let same = json!([{ "op": "replace", "value": { "id": id, "displayName": "Staff" } }]);
        assert_eq!(client.patch(&group, &same).await.status, 200, "the id in the value is its own");
        let user = made.id();
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": user, "display": "x@y.example" }] }]);
        assert_eq!(client.patch(&group, &add).await.json()["members"][0]["value"], json!(user));
        let push = json!([{ "op": "replace", "path": "members", "value": [] }]);
        assert_eq!(client.patch(&group, &push).await.json()["members"], json!(null));
        assert_eq!(client.delete(&group).await.status, 204);
        house.close().await;
    }
}

#[tokio::test]
async fn an_old_schema_a_silent_one_and_capital_letters_are_understood() {
    for house in houses().await {
        house.federation("onelogin").await;
        let (_, key) = house.key("onelogin", "a", Scope::full_directory()).await;
        let client = Client { house: &house, base: "/scim/onelogin/v2".to_owned(), key };
        for (number, body) in [
            json!({ "schemas": ["urn:scim:schemas:core:1.0"], "userName": "u0" }),
            json!({ "userName": "u1", "title": "", "phoneNumbers": null, "password": null, "name": { "formatted": null } }),
            json!({ "USERNAME": "u2", "Active": "True", "Emails": [{ "Primary": true, "Value": "a@b" }] }),
            json!({ "userName": "u3", "custom": { "a": [1, 2] }, "adreses": "Berlin" }),
        ]
        .iter()
        .enumerate()
        {
            let made = client.post("/Users", body).await;
            assert_eq!(made.status, 201, "{body}: {}", made.body);
            let shown = made.json();
            assert_eq!((&shown["schemas"], &shown["active"]), (&json!([USER_URN]), &json!(true)), "{body}");
            assert_eq!(shown["userName"], json!(format!("u{number}")));
            let unknown = ["custom", "adreses", "phoneNumbers", "name"];
            assert!(unknown.iter().all(|name| shown.get(name).is_none()), "{shown}");
        }
        let user = client.get("/Users?attributes=").await.json()["Resources"][0].clone();
        let path = format!("/Users/{}", user["id"].as_str().unwrap());
        // scimgateway: no `schemas`.
        let bare = json!({ "Operations": [{ "op": "replace", "value": { "active": false } }] });
        assert_eq!(client.json("PATCH", &path, &bare).await.status, 200);
        let lower = json!({ "schemas": [PATCH_URN], "operations": [{ "op": "replace", "value": { "active": true } }] });
        assert_eq!(client.json("PATCH", &path, &lower).await.json()["active"], json!(true));
        house.close().await;
    }
}
