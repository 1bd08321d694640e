//! Rows 3 to 23, 37 to 42, 63 to 68: what a resource is, and how it comes and goes.

use serde_json::{Value, json};

use crate::house::{ENTERPRISE_URN, GROUP_URN, NOBODY, SCIM_JSON, USER_URN, filter, houses};

#[tokio::test]
async fn answers_are_scim_json_whatever_is_accepted() {
    // Row 3. RFC 7644 3.1 and 3.8: an answer in the one format there is, errors too.
    for house in houses().await {
        let client = house.client("okta").await;
        let id = client.user("mia").await;
        for accept in
            ["application/scim+json", "application/json", "*/*", "application/json;q=0.5, text/html"]
        {
            for path in [
                format!("/Users/{id}"),
                "/Users".to_owned(),
                format!("/Users/{NOBODY}"),
                "/Schemas".to_owned(),
            ] {
                let answer = client.send("GET", &path, &[("accept", accept)], "").await;
                assert_eq!(answer.header("content-type"), SCIM_JSON, "{accept} {path}");
            }
        }
        house.close().await;
    }
}

#[tokio::test]
async fn names_operators_and_urns_have_no_case() {
    // Row 8. RFC 7643 2.1, RFC 7644 3.4.2.2.
    for house in houses().await {
        let client = house.client("okta").await;
        let body = json!({
            "SCHEMAS": [USER_URN.to_uppercase()], "USERNAME": "mia", "Name": { "GIVENNAME": "Mia" },
            ENTERPRISE_URN.to_lowercase(): { "Department": "R&D" },
        });
        let made = client.post("/Users", &body).await;
        let shown = made.json();
        assert_eq!(
            (made.status, &shown["userName"], &shown["name"]),
            (201, &json!("mia"), &json!({ "givenName": "Mia" }))
        );
        assert_eq!(shown[ENTERPRISE_URN], json!({ "department": "R&D" }));
        for query in ["USERNAME EQ \"mia\"", "username Eq \"mia\" AND active eq true"] {
            let found = client.get(&format!("/Users{}", filter(query))).await.json();
            assert_eq!(found["totalResults"], json!(1), "{query}");
        }
        let path = format!("/Users/{}", made.id());
        let slim = client
            .get(&format!("{path}?attributes=USERNAME,{}:DEPARTMENT", ENTERPRISE_URN.to_uppercase()))
            .await
            .json();
        assert_eq!(
            (&slim["userName"], &slim[ENTERPRISE_URN]),
            (&json!("mia"), &json!({ "department": "R&D" }))
        );
        let patched = client
            .patch(&path, &json!([{ "op": "replace", "path": "NAME.givenname", "value": "Mina" }]))
            .await;
        assert_eq!((patched.status, &patched.json()["name"]["givenName"]), (200, &json!("Mina")));
        house.close().await;
    }
}

#[tokio::test]
async fn a_resource_type_names_its_schema_its_extensions_and_its_endpoint() {
    // Row 10. RFC 7643 6.
    for house in houses().await {
        let client = house.client("okta").await;
        let user = client.get("/ResourceTypes/User").await.json();
        assert_eq!(
            (&user["id"], &user["schema"], &user["endpoint"]),
            (&json!("User"), &json!(USER_URN), &json!("/Users"))
        );
        assert_eq!(user["schemaExtensions"], json!([{ "schema": ENTERPRISE_URN, "required": false }]));
        assert_eq!(user["meta"]["resourceType"], json!("ResourceType"));
        let list = client.get("/ResourceTypes").await.json();
        assert_eq!(list["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
        let group = list["Resources"].as_array().unwrap().iter().find(|kind| kind["id"] == "Group").unwrap();
        assert_eq!(group["schema"], json!(GROUP_URN));
        client.get("/ResourceTypes/Planet").await.assert_scim_error(404, "no such type");
        house.close().await;
    }
}

#[tokio::test]
async fn an_id_is_made_by_the_server_and_never_used_again() {
    // Row 14. RFC 7643 3.1.
    for house in houses().await {
        let client = house.client("okta").await;
        let mut ids = Vec::new();
        for number in 0..5 {
            let body = json!({ "userName": "same", "id": format!("bulkId:{number}"), "meta": { "created": "1970-01-01T00:00:00Z" } });
            let made = client.post("/Users", &body).await;
            let id = made.id();
            assert!(!id.is_empty() && !id.contains("bulkId") && !ids.contains(&id), "{id}");
            assert_eq!(made.json()["meta"]["created"], made.json()["meta"]["lastModified"], "row 15");
            assert_eq!(client.delete(&format!("/Users/{id}")).await.status, 204);
            ids.push(id);
        }
        for id in ids {
            client.get(&format!("/Users/{id}")).await.assert_scim_error(404, "one that was deleted");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn an_external_id_has_its_case_and_belongs_to_its_federation() {
    // Row 20. RFC 7643 3.1: caseExact, and scoped to who provisions.
    for house in houses().await {
        let (okta, entra) = (house.client("okta").await, house.client("entra").await);
        okta.post("/Users", &json!({ "userName": "mia", "externalId": "Ab1" })).await;
        entra.post("/Users", &json!({ "userName": "mia", "externalId": "Ab1" })).await;
        for (client, text, count) in
            [(&okta, "Ab1", 1), (&okta, "ab1", 0), (&entra, "Ab1", 1), (&entra, "AB1", 0)]
        {
            let found =
                client.get(&format!("/Users{}", filter(&format!("externalId eq \"{text}\"")))).await.json();
            assert_eq!(found["totalResults"], json!(count), "{} {text}", client.base);
        }
        house.close().await;
    }
}

#[tokio::test]
async fn schemas_name_what_is_there_and_each_once() {
    // Row 21. RFC 7643 3.
    for house in houses().await {
        let client = house.client("okta").await;
        for (name, schemas, extension, expect) in [
            ("a", json!([USER_URN, ENTERPRISE_URN, "urn:example:unknown"]), None, json!([USER_URN])),
            (
                "b",
                json!([ENTERPRISE_URN, USER_URN, USER_URN]),
                Some(json!({ "costCenter": "1" })),
                json!([USER_URN, ENTERPRISE_URN]),
            ),
            ("c", json!([USER_URN]), Some(json!({ "costCenter": "1" })), json!([USER_URN, ENTERPRISE_URN])),
            ("d", json!([]), None, json!([USER_URN])),
        ] {
            let mut body = json!({ "schemas": schemas, "userName": name });
            if let Some(extension) = extension {
                body[ENTERPRISE_URN] = extension;
            }
            let made = client.post("/Users", &body).await;
            assert_eq!((made.status, &made.json()["schemas"]), (201, &expect), "{body}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn null_and_empty_are_nothing() {
    // Row 23. RFC 7643 2.5.
    for house in houses().await {
        let client = house.client("okta").await;
        let body = json!({ "userName": "mia", "title": null, "emails": [], "name": {}, "nickName": null, "roles": null });
        let made = client.post("/Users", &body).await;
        let shown = made.json();
        for name in ["title", "emails", "name", "nickName", "roles"] {
            assert_eq!(shown.get(name), None, "{name}");
        }
        let path = format!("/Users/{}", made.id());
        client
            .put(
                &path,
                &json!({ "userName": "mia", "title": "Lead", "emails": [{ "value": "m@a.example" }] }),
            )
            .await;
        let patched = client
            .patch(&path, &json!([{ "op": "replace", "path": "title", "value": null }, { "op": "replace", "path": "emails", "value": [] }]))
            .await;
        assert_eq!(
            (patched.status, patched.json().get("title"), patched.json().get("emails")),
            (200, None, None)
        );
        let none = client.get(&format!("/Users{}", filter("title pr"))).await;
        assert_eq!((none.status, &none.json()["totalResults"]), (200, &json!(0)));
        house.close().await;
    }
}

#[tokio::test]
async fn attributes_and_excluded_attributes_choose_what_is_shown() {
    // Rows 37 and 38. RFC 7644 3.4.2.5, 3.9.
    for house in houses().await {
        let client = house.client("okta").await;
        let body = json!({
            "userName": "mia", "title": "Lead", "name": { "givenName": "Mia", "familyName": "Berg" },
            "emails": [{ "value": "m@a.example", "type": "work" }], ENTERPRISE_URN: { "costCenter": "1", "department": "R" },
        });
        let id = client.post("/Users", &body).await.id();
        let shown = async |query: &str| -> Value {
            let one = client.get(&format!("/Users/{id}?{query}")).await.json();
            let listed = client.get(&format!("/Users?{query}")).await.json()["Resources"][0].clone();
            assert_eq!(one, listed, "{query}");
            one
        };
        let with_always = |mut more: Value, schemas: Value| {
            more["id"] = json!(id);
            more["schemas"] = schemas;
            more
        };
        let core = || json!([USER_URN]);
        let both = || json!([USER_URN, ENTERPRISE_URN]);
        let found = shown("attributes=userName").await;
        assert!(found["schemas"] == core() || found["schemas"] == both());
        assert_eq!(found, with_always(json!({ "userName": "mia" }), found["schemas"].clone()));
        let found = shown("attributes=name.givenName,emails.value").await;
        let expect = json!({ "name": { "givenName": "Mia" }, "emails": [{ "value": "m@a.example" }] });
        assert_eq!(found, with_always(expect, found["schemas"].clone()));
        let found = shown(&format!("attributes={USER_URN}:title,{ENTERPRISE_URN}:department")).await;
        let expect = json!({ "title": "Lead", ENTERPRISE_URN: { "department": "R" } });
        assert_eq!(found, with_always(expect, found["schemas"].clone()));
        let found = shown(&format!("excludedAttributes=emails,name.familyName,id,{ENTERPRISE_URN}")).await;
        assert_eq!((&found["id"], found.get("emails"), found.get(ENTERPRISE_URN)), (&json!(id), None, None));
        assert_eq!(found["name"], json!({ "givenName": "Mia" }));
        let answer = client.get(&format!("/Users/{id}?attributes=title&excludedAttributes=name")).await;
        answer.assert_scim_error(400, "both");
        house.close().await;
    }
}

#[tokio::test]
async fn what_a_change_shows_can_be_chosen_too() {
    // Row 39. RFC 7644 3.9, 3.5.2.
    for house in houses().await {
        let client = house.client("okta").await;
        let body = json!({ "userName": "mia", "title": "Lead" });
        let made = client.post("/Users?attributes=title", &body).await;
        assert_eq!(
            (made.status, made.json().get("userName"), &made.json()["title"]),
            (201, None, &json!("Lead"))
        );
        let path = format!("/Users/{}", made.id());
        let replaced = client.put(&format!("{path}?excludedAttributes=title"), &body).await;
        assert_eq!(
            (replaced.status, &replaced.json()["userName"], replaced.json().get("title")),
            (200, &json!("mia"), None)
        );
        let operations = json!([{ "op": "replace", "path": "title", "value": "Head" }]);
        let patched = client.patch(&format!("{path}?attributes=title"), &operations).await;
        assert_eq!(
            (patched.status, patched.json().get("userName"), &patched.json()["title"]),
            (200, None, &json!("Head"))
        );
        let refused =
            client.patch(&format!("{path}?attributes=title&excludedAttributes=name"), &operations).await;
        refused.assert_scim_error(400, "both");
        house.close().await;
    }
}

#[tokio::test]
async fn a_put_creates_nobody_and_keeps_what_is_required() {
    // Row 42. RFC 7644 3.5.1.
    for house in houses().await {
        let client = house.client("okta").await;
        let id = client.user("mia").await;
        client.user("max").await;
        let body = json!({ "userName": "new" });
        client.put(&format!("/Users/{NOBODY}"), &body).await.assert_scim_error(404, "nobody");
        client.put("/Users/chosen", &body).await.assert_scim_error(404, "an id of one's own");
        let path = format!("/Users/{id}");
        for (body, status, keyword) in [
            (json!({ "title": "x" }), 400, "invalidValue"),
            (json!({ "userName": null }), 400, "invalidValue"),
            (json!({ "userName": "mia", "id": NOBODY }), 400, "mutability"),
            (json!({ "userName": "MAX" }), 409, "uniqueness"),
        ] {
            let answer = client.put(&path, &body).await;
            assert_eq!(
                answer.assert_scim_error(status, &body.to_string()).as_deref(),
                Some(keyword),
                "{body}"
            );
        }
        let read_only = json!({ "userName": "mia", "id": id, "meta": { "version": "x" }, "groups": [{ "value": NOBODY }] });
        let replaced = client.put(&path, &read_only).await;
        assert_eq!((replaced.status, replaced.json().get("groups")), (200, None));
        assert_eq!(house.population("okta").await, (2, 0));
        house.close().await;
    }
}

#[tokio::test]
async fn members_are_values_that_do_not_change() {
    // Row 63. RFC 7643 4.2: the sub-attributes of a member are immutable.
    for house in houses().await {
        let client = house.client("okta").await;
        let (mia, max) = (client.user("mia").await, client.user("max").await);
        let inner = client.group("Inner").await;
        let body = json!({ "schemas": [GROUP_URN], "displayName": "Staff", "members": [{ "value": mia }, { "value": inner, "type": "Group" }] });
        let made = client.post("/Groups", &body).await;
        let members = made.json()["members"].clone();
        for (id, kind, endpoint) in [(&mia, "User", "Users"), (&inner, "Group", "Groups")] {
            let member =
                members.as_array().unwrap().iter().find(|member| member["value"] == json!(id)).unwrap();
            assert_eq!(member["type"], json!(kind));
            assert_eq!(member["$ref"], json!(format!("https://keyward.test/scim/okta/v2/{endpoint}/{id}")));
        }
        let path = format!("/Groups/{}", made.id());
        let change =
            json!([{ "op": "replace", "path": format!("members[value eq \"{mia}\"].value"), "value": max }]);
        let answer = client.patch(&path, &change).await;
        assert_eq!(answer.assert_scim_error(400, "an immutable part").as_deref(), Some("mutability"));
        client.post("/Groups", &json!({ "members": [] })).await.assert_scim_error(400, "a name is required");
        house.close().await;
    }
}

#[tokio::test]
async fn the_groups_of_a_user_are_the_servers_to_say() {
    // Row 64. RFC 7643 4.1.2: read-only, direct and indirect.
    for house in houses().await {
        let client = house.client("okta").await;
        let mia = client.user("mia").await;
        let inner = client
            .post("/Groups", &json!({ "displayName": "Inner", "members": [{ "value": mia }] }))
            .await
            .id();
        let outer = client
            .post(
                "/Groups",
                &json!({ "displayName": "Outer", "members": [{ "value": inner, "type": "Group" }] }),
            )
            .await
            .id();
        let groups = client.get(&format!("/Users/{mia}")).await.json()["groups"].clone();
        let kind = |id: &str| {
            let found = groups.as_array().unwrap().iter().find(|group| group["value"] == json!(id));
            found.map(|group| group["type"].clone())
        };
        assert_eq!(kind(&inner), Some(json!("direct")), "{groups}");
        assert!(kind(&outer).is_none_or(|kind| kind == json!("indirect")), "{groups}");
        let path = format!("/Users/{mia}");
        for operations in [
            json!([{ "op": "add", "path": "groups", "value": [{ "value": outer }] }]),
            json!([{ "op": "remove", "path": "groups" }]),
            json!([{ "op": "replace", "path": "groups[value eq \"x\"].display", "value": "y" }]),
        ] {
            let answer = client.patch(&path, &operations).await;
            assert_eq!(answer.assert_scim_error(400, &operations.to_string()).as_deref(), Some("mutability"));
        }
        house.close().await;
    }
}

#[tokio::test]
async fn the_name_of_a_manager_is_read_only() {
    // Row 65. RFC 7643 4.3.
    for house in houses().await {
        let client = house.client("okta").await;
        let boss =
            client.post("/Users", &json!({ "userName": "boss", "displayName": "The Boss" })).await.id();
        let body = json!({ "userName": "mia", ENTERPRISE_URN: { "manager": { "value": boss, "displayName": "Somebody else" } } });
        let made = client.post("/Users", &body).await;
        let manager = made.json()[ENTERPRISE_URN]["manager"].clone();
        assert_eq!((made.status, &manager["value"]), (201, &json!(boss)));
        assert_ne!(manager["displayName"], json!("Somebody else"), "{manager}");
        let path = format!("/Users/{}", made.id());
        let change = json!([{ "op": "replace", "path": format!("{ENTERPRISE_URN}:manager.displayName"), "value": "x" }]);
        assert_eq!(
            client.patch(&path, &change).await.assert_scim_error(400, "read-only").as_deref(),
            Some("mutability")
        );
        house.close().await;
    }
}

#[tokio::test]
async fn names_are_compared_after_normalisation() {
    // Row 68. RFC 7644 5: the same name in two forms of Unicode is one name.
    for house in houses().await {
        let client = house.client("okta").await;
        let (composed, decomposed) = ("zo\u{eb}@example.com", "ZOE\u{308}@example.com");
        client.user(composed).await;
        let again = client.post("/Users", &json!({ "userName": decomposed })).await;
        assert_eq!(again.assert_scim_error(409, "the same name").as_deref(), Some("uniqueness"));
        for name in [composed, decomposed] {
            let found =
                client.get(&format!("/Users{}", filter(&format!("userName eq \"{name}\"")))).await.json();
            assert_eq!(found["totalResults"], json!(1), "{name}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn what_was_deleted_is_in_nobodys_way() {
    // Rows 54 and 80. RFC 7644 3.6: it does not count as a conflict, and is found by nobody.
    for house in houses().await {
        let client = house.client("okta").await;
        let first = client.post("/Users", &json!({ "userName": "mia", "externalId": "e1" })).await.id();
        let group = client
            .post("/Groups", &json!({ "displayName": "Staff", "members": [{ "value": first }] }))
            .await
            .id();
        let gone = client.delete(&format!("/Users/{first}")).await;
        assert_eq!((gone.status, gone.body.as_str()), (204, ""));
        assert_eq!(client.get(&format!("/Groups/{group}")).await.json().get("members"), None);
        for query in ["userName eq \"mia\"", "externalId eq \"e1\"", &format!("id eq \"{first}\"")] {
            assert_eq!(
                client.get(&format!("/Users{}", filter(query))).await.json()["totalResults"],
                json!(0),
                "{query}"
            );
        }
        let second = client.post("/Users", &json!({ "userName": "mia", "externalId": "e1" })).await;
        assert_eq!(second.status, 201, "{}", second.body);
        assert_ne!(second.id(), first);
        client.delete(&format!("/Groups/{group}")).await;
        client.group("Staff").await;
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_not_offered_is_not_announced() {
    // Rows 75 to 79. RFC 9967 4: what is absent is unsupported, and `Prefer` is then as if it were not there.
    for house in houses().await {
        let client = house.client("okta").await;
        let config = client.get("/ServiceProviderConfig").await.json();
        let offered = &config["securityEvents"];
        assert!(offered.is_null() || offered["asyncRequest"] == json!("none"), "{offered}");
        let sent = [("content-type", "application/scim+json"), ("prefer", "respond-async, wait=1")];
        let made = client.send("POST", "/Users", &sent, json!({ "userName": "mia" }).to_string()).await;
        assert_eq!(made.status, 201, "{}", made.body);
        for name in ["preference-applied", "set-txn"] {
            assert_eq!(made.header(name), "");
        }
        house.close().await;
    }
}
