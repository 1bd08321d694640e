//! Users and groups from their creation to their end, as a provider sees them (RFC 7644 3.3 to 3.6).

use axum::body::Body;
use domain::scopes::Scope;
use serde_json::{Value, json};

use crate::house::{
    Answer, Client, ENTERPRISE_URN, GROUP_URN, House, NOBODY, SCIM_JSON, USER_URN, filter, houses,
};

const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// Asserts status, media type, ETag, and the location under the name of the status.
fn assert_resource(answer: &Answer, status: u16, version: u32, location: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), SCIM_JSON);
    assert_eq!(answer.header("etag"), format!("W/\"{version}\""));
    let name = if status == 201 { "location" } else { "content-location" };
    assert_eq!(answer.header(name), location);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.header("x-request-id").starts_with("req_"));
}

fn list_of(resources: &[Value]) -> Value {
    json!({
        "schemas": [LIST_URN], "totalResults": resources.len(), "itemsPerPage": resources.len(), "startIndex": 1,
        "Resources": resources,
    })
}

#[tokio::test]
async fn a_user_lives_from_creation_to_deletion() {
    for house in houses().await {
        let client = house.client("okta").await;
        let made = client
            .post(
                "/Users",
                &json!({
                    "schemas": [USER_URN, ENTERPRISE_URN],
                    "id": "chosen-by-the-client", "meta": { "resourceType": "Other", "version": "W/\"9\"" },
                    "externalId": "00u1", "userName": "Mia@example.com", "active": true,
                    "name": { "givenName": "Mia", "familyName": "Berg" },
                    "emails": [{ "value": "mia@example.com", "type": "work", "primary": true }],
                    ENTERPRISE_URN: { "employeeNumber": "7" },
                }),
            )
            .await;
        let id = made.id();
        let location = format!("https://keyward.test/scim/okta/v2/Users/{id}");
        assert_resource(&made, 201, 1, &location);
        assert_ne!(id, "chosen-by-the-client");
        let mut expect = json!({
            "schemas": [USER_URN, ENTERPRISE_URN], "id": id,
            "externalId": "00u1", "userName": "Mia@example.com", "active": true,
            "name": { "givenName": "Mia", "familyName": "Berg" },
            "emails": [{ "value": "mia@example.com", "type": "work", "primary": true }],
            ENTERPRISE_URN: { "employeeNumber": "7" },
            "meta": {
                "resourceType": "User", "created": "2026-01-01T00:00:00.000Z",
                "lastModified": "2026-01-01T00:00:00.000Z", "location": location, "version": "W/\"1\"",
            },
        });
        assert_eq!(made.json(), expect);

        let path = format!("/Users/{id}");
        let got = client.get(&path).await;
        assert_resource(&got, 200, 1, &location);
        assert_eq!(got.json(), expect);
        for query in ["userName eq \"mIA@EXAMPLE.com\"", "externalId eq \"00u1\"", "active eq true"] {
            let found = client.get(&format!("/Users{}", filter(query))).await;
            assert_eq!((found.status, found.header("content-type")), (200, SCIM_JSON), "{query}");
            assert_eq!(found.json(), list_of(std::slice::from_ref(&expect)), "{query}");
        }

        house.clock.advance(1_000);
        let replaced =
            client.put(&path, &json!({ "schemas": [USER_URN], "userName": "mia", "active": true })).await;
        assert_resource(&replaced, 200, 2, &location);
        expect = json!({
            "schemas": [USER_URN], "id": id, "userName": "mia", "active": true,
            "meta": {
                "resourceType": "User", "created": "2026-01-01T00:00:00.000Z",
                "lastModified": "2026-01-01T00:00:01.000Z", "location": location, "version": "W/\"2\"",
            },
        });
        assert_eq!(replaced.json(), expect, "what is not in a PUT is gone");

        house.clock.advance(1_000);
        let off = json!([{ "op": "replace", "path": "active", "value": false }]);
        let patched = client.patch(&path, &off).await;
        assert_resource(&patched, 200, 3, &location);
        expect["active"] = json!(false);
        expect["meta"]["version"] = json!("W/\"3\"");
        expect["meta"]["lastModified"] = json!("2026-01-01T00:00:02.000Z");
        assert_eq!(patched.json(), expect);
        assert_eq!(client.get(&path).await.json(), expect, "an inactive user can be read");

        house.clock.advance(1_000);
        assert_eq!(client.patch(&path, &off).await.json(), expect, "what changes nothing is not a change");

        let gone = client.delete(&path).await;
        assert_eq!((gone.status, gone.body.as_str()), (204, ""));
        assert_eq!(gone.header("content-type"), "");
        for answer in [
            client.get(&path).await,
            client.put(&path, &json!({ "userName": "mia" })).await,
            client.patch(&path, &off).await,
            client.delete(&path).await,
        ] {
            answer.assert_scim_error(404, "a deleted user");
        }
        assert_eq!(
            client.get(&format!("/Users{}", filter("userName eq \"mia\""))).await.json(),
            list_of(&[])
        );
        assert_ne!(client.user("mia").await, id, "an id is never used again");
        house.close().await;
    }
}

#[tokio::test]
async fn a_group_lives_from_creation_to_deletion() {
    for house in houses().await {
        let client = house.client("entra").await;
        let (mia, max) = (client.user("mia").await, client.user("max").await);
        let base = "https://keyward.test/scim/entra/v2";
        let made = client
            .post(
                "/Groups",
                &json!({
                    "schemas": [GROUP_URN], "displayName": "Staff", "externalId": "g1",
                    "members": [{ "value": mia }],
                }),
            )
            .await;
        let id = made.id();
        let location = format!("{base}/Groups/{id}");
        assert_resource(&made, 201, 1, &location);
        let member = |id: &str| json!({ "value": id, "type": "User", "$ref": format!("{base}/Users/{id}") });
        let without_display = |mut body: Value| {
            for member in body["members"].as_array_mut().into_iter().flatten() {
                member.as_object_mut().unwrap().remove("display");
            }
            body
        };
        let mut expect = json!({
            "schemas": [GROUP_URN], "id": id, "displayName": "Staff", "externalId": "g1",
            "members": [member(&mia)],
            "meta": {
                "resourceType": "Group", "created": "2026-01-01T00:00:00.000Z",
                "lastModified": "2026-01-01T00:00:00.000Z", "location": location, "version": "W/\"1\"",
            },
        });
        assert_eq!(without_display(made.json()), expect);
        let path = format!("/Groups/{id}");
        assert_eq!(without_display(client.get(&path).await.json()), expect);
        let groups = client.get(&format!("/Users/{mia}")).await.json()["groups"].clone();
        assert_eq!(
            groups,
            json!([{ "value": id, "display": "Staff", "type": "direct", "$ref": location }]),
            "a user names its groups"
        );

        let query = format!("/Groups{}&excludedAttributes=members", filter("displayName eq \"STAFF\""));
        let mut slim = expect.clone();
        slim.as_object_mut().unwrap().remove("members");
        assert_eq!(client.get(&query).await.json(), list_of(&[slim]));

        house.clock.advance(1_000);
        let operations = json!([
            { "op": "Add", "path": "members", "value": [{ "$ref": null, "value": max }] },
            { "op": "remove", "path": format!("members[value eq \"{mia}\"]") },
        ]);
        let patched = client.patch(&path, &operations).await;
        assert_resource(&patched, 200, 2, &location);
        expect["members"] = json!([member(&max)]);
        expect["meta"]["version"] = json!("W/\"2\"");
        expect["meta"]["lastModified"] = json!("2026-01-01T00:00:01.000Z");
        assert_eq!(without_display(patched.json()), expect);

        let foreign = json!([{ "op": "add", "path": "members", "value": [{ "value": NOBODY }] }]);
        assert_eq!(
            client.patch(&path, &foreign).await.assert_scim_error(400, "a member that is nobody").as_deref(),
            Some("invalidValue")
        );
        assert_eq!(without_display(client.get(&path).await.json()), expect, "all or nothing");

        let replaced =
            client.put(&path, &json!({ "schemas": [GROUP_URN], "displayName": "Everybody" })).await;
        assert_resource(&replaced, 200, 3, &location);
        assert_eq!(replaced.json()["members"], Value::Null);
        assert_eq!(client.delete(&path).await.status, 204);
        client.get(&path).await.assert_scim_error(404, "a deleted group");
        assert_eq!(client.get(&format!("/Users/{max}")).await.status, 200, "its members stay");
        house.close().await;
    }
}

#[tokio::test]
async fn pages_are_counted_as_they_are() {
    for house in houses().await {
        let client = house.client("okta").await;
        for number in 0..5 {
            house.clock.advance(1);
            client.user(&format!("user{number}")).await;
        }
        let page = |query: &'static str| {
            let client = &client;
            async move {
                let body = client.get(&format!("/Users?{query}")).await.json();
                let names: Vec<String> = body["Resources"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|user| user["userName"].as_str().unwrap().to_owned())
                    .collect();
                let number = |name: &str| body[name].as_i64().unwrap_or_else(|| panic!("{name}: {body}"));
                assert_eq!(number("totalResults"), 5, "{query}");
                assert_eq!(number("itemsPerPage"), i64::try_from(names.len()).unwrap(), "{query}");
                (number("startIndex"), names)
            }
        };
        assert_eq!(page("startIndex=1&count=2").await, (1, vec!["user0".to_owned(), "user1".to_owned()]));
        assert_eq!(page("startIndex=5&count=2").await, (5, vec!["user4".to_owned()]));
        assert_eq!(page("startIndex=6&count=2").await, (6, vec![]));
        assert_eq!(page("startIndex=0&count=1").await, (1, vec!["user0".to_owned()]));
        assert_eq!(page("count=0").await, (1, vec![]));
        assert_eq!(page("count=-3").await, (1, vec![]));
        assert_eq!(page("count=1000000").await.1.len(), 5);
        assert_eq!(page("aadOptscim062020").await.1.len(), 5, "what is not ours is ignored");
        house.close().await;
    }
}

#[tokio::test]
async fn a_version_that_is_not_the_current_one_changes_nothing() {
    for house in houses().await {
        let client = house.client("okta").await;
        let path = format!("/Users/{}", client.user("mia").await);
        let body = json!({ "schemas": [USER_URN], "userName": "mia", "title": "Lead" }).to_string();
        let json_body = ("content-type", "application/scim+json");
        let patch = json!({ "Operations": [{ "op": "replace", "value": { "title": "Head" } }] }).to_string();
        for stale in ["W/\"0\"", "W/\"2\"", "\"99\"", "made-up"] {
            let named = ("if-match", stale);
            for (method, body) in [("PUT", body.clone()), ("PATCH", patch.clone()), ("DELETE", String::new())]
            {
                let answer = client.send(method, &path, &[json_body, named], body).await;
                answer.assert_scim_error(412, &format!("{method} {stale}"));
            }
        }
        let current = client.send("PUT", &path, &[json_body, ("if-match", "W/\"1\"")], body).await;
        assert_eq!((current.status, current.header("etag")), (200, "W/\"2\""));
        let strong = client.send("PATCH", &path, &[json_body, ("if-match", "\"2\"")], patch.clone()).await;
        assert_eq!((strong.status, strong.header("etag")), (200, "W/\"3\""), "a client that drops the W/");
        let any = client.send("PATCH", &path, &[json_body, ("if-match", "*")], patch).await;
        assert_eq!(any.status, 200);

        let same = client.send("GET", &path, &[("if-none-match", "W/\"3\"")], Body::empty()).await;
        assert_eq!((same.status, same.body.as_str(), same.header("etag")), (304, "", "W/\"3\""));
        let other = client.send("GET", &path, &[("if-none-match", "W/\"2\"")], Body::empty()).await;
        assert_eq!(other.status, 200);
        let gone = client.send("DELETE", &path, &[("if-match", "W/\"3\"")], Body::empty()).await;
        assert_eq!(gone.status, 204);
        house.close().await;
    }
}

#[tokio::test]
async fn a_list_of_versions_matches_when_one_of_them_does() {
    // RFC 9110 13.1.1 and 13.1.2: both headers take a list.
    for house in houses().await {
        let client = house.client("okta").await;
        let path = format!("/Users/{}", client.user("mia").await);
        let list = "W/\"7\", W/\"1\"";
        let same = client.send("GET", &path, &[("if-none-match", list)], Body::empty()).await;
        assert_eq!(same.status, 304);
        let gone = client.send("DELETE", &path, &[("if-match", list)], Body::empty()).await;
        assert_eq!(gone.status, 204);
        house.close().await;
    }
}

#[tokio::test]
async fn of_two_writers_with_one_version_exactly_one_wins() {
    for house in houses().await {
        let client = house.client("okta").await;
        let path = format!("/Users/{}", client.user("mia").await);
        let headers = [("content-type", "application/scim+json"), ("if-match", "W/\"1\"")];
        let writers = (0..8).map(|number| {
            let body = json!({ "userName": "mia", "title": format!("writer {number}") }).to_string();
            client.send("PUT", &path, &headers, body)
        });
        let answers = futures::future::join_all(writers).await;
        let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(200), count(412)), (1, 7));
        assert_eq!(client.get(&path).await.header("etag"), "W/\"2\"");
        house.close().await;
    }
}

#[tokio::test]
async fn no_member_is_lost_when_many_join_and_leave_at_once() {
    for house in houses().await {
        let client = house.client("okta").await;
        let mut ids = Vec::new();
        for number in 0..40 {
            ids.push(client.user(&format!("user{number}")).await);
        }
        let (leavers, joiners) = ids.split_at(20);
        let members: Vec<Value> = leavers.iter().map(|id| json!({ "value": id })).collect();
        let made = client.post("/Groups", &json!({ "displayName": "Staff", "members": members })).await;
        let path = format!("/Groups/{}", made.id());
        let join =
            joiners.iter().map(|id| json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]));
        let leave = leavers
            .iter()
            .map(|id| json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]));
        let operations: Vec<Value> = join.zip(leave).flat_map(|(join, leave)| [join, leave]).collect();
        let changes = operations.iter().map(|operations| client.patch(&path, operations));
        let answers = futures::future::join_all(changes).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        let group = client.get(&path).await;
        assert_eq!(group.header("etag"), "W/\"41\"", "each of the changes counts");
        let mut left: Vec<String> = group.json()["members"]
            .as_array()
            .unwrap()
            .iter()
            .map(|member| member["value"].as_str().unwrap().to_owned())
            .collect();
        left.sort();
        let mut expect = joiners.to_vec();
        expect.sort();
        assert_eq!(left, expect);
        house.close().await;
    }
}

#[tokio::test]
async fn what_the_server_says_about_itself_is_what_it_does() {
    for house in houses().await {
        let client = house.client("sailpoint").await;
        let config = client.get("/ServiceProviderConfig").await;
        assert_eq!((config.status, config.header("content-type")), (200, SCIM_JSON));
        let config = config.json();
        for (feature, offered) in [
            ("patch", true),
            ("bulk", true),
            ("filter", true),
            ("changePassword", false),
            ("sort", true),
            ("etag", true),
        ] {
            assert_eq!(config[feature]["supported"], json!(offered), "{feature}");
        }
        assert_eq!(config["authenticationSchemes"][0]["type"], json!("oauthbearertoken"));
        let pagination = json!({
            "cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": 200,
            "maxPageSize": 1_000, "cursorTimeout": 3_600,
        });
        assert_eq!(config["pagination"], pagination);

        let types = client.get("/ResourceTypes").await.json();
        assert_eq!((&types["schemas"], &types["totalResults"]), (&json!([LIST_URN]), &json!(2)));
        for (name, endpoint) in [("User", "/Users"), ("Group", "/Groups")] {
            let found = client.get(&format!("/ResourceTypes/{name}")).await.json();
            assert_eq!((&found["id"], &found["endpoint"]), (&json!(name), &json!(endpoint)));
        }
        let schemas = client.get("/Schemas").await.json();
        assert_eq!(schemas["totalResults"], json!(3));
        for urn in [USER_URN, GROUP_URN, ENTERPRISE_URN] {
            assert_eq!(client.get(&format!("/Schemas/{urn}")).await.json()["id"], json!(urn));
        }
        for path in ["/Schemas/urn:nobody", "/ResourceTypes/Planet"] {
            client.get(path).await.assert_scim_error(404, path);
        }
        for path in ["/ServiceProviderConfig", "/Schemas", "/ResourceTypes"] {
            // RFC 7644 4: paging is ignored, a filter is forbidden, only GET is there.
            assert_eq!(client.get(&format!("{path}?startIndex=2&count=0")).await.status, 200, "{path}");
            client.get(&format!("{path}{}", filter("id pr"))).await.assert_scim_error(403, path);
            client.post(path, &json!({})).await.assert_scim_error(405, path);
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_password_is_nowhere_afterwards() {
    const PASSWORD: &str = "correct-horse-battery-staple-77";
    for house in houses().await {
        let client = house.client("okta").await;
        let body = |extra: Value| {
            let mut body = json!({ "schemas": [USER_URN], "userName": "mia", "password": PASSWORD });
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            body
        };
        let made = client.post("/Users", &body(json!({}))).await;
        let path = format!("/Users/{}", made.id());
        let answers = [
            client.put(&path, &body(json!({ "title": "Lead" }))).await,
            client.patch(&path, &json!([{ "op": "replace", "path": "password", "value": PASSWORD }])).await,
            client.patch(&path, &json!([{ "op": "replace", "value": { "password": PASSWORD } }])).await,
            client.post("/Users", &body(json!({}))).await,
            client.post("/Users", &body(json!({ "userName": "max", "active": "perhaps" }))).await,
            client.get(&format!("{path}?attributes=password,userName")).await,
            client.get("/Users").await,
            client.get(&format!("/Users{}", filter(&format!("password eq \"{PASSWORD}\"")))).await,
            made,
        ];
        for answer in &answers {
            assert!(answer.status < 500, "{}", answer.body);
            assert!(!answer.body.contains(PASSWORD), "{}", answer.body);
            assert!(!format!("{:?}", answer.headers).contains(PASSWORD));
        }
        assert_eq!(answers[7].status, 400, "who may ask for a password can guess it");
        let text = String::from_utf8_lossy(&house.bytes()).into_owned();
        assert!(text.contains("mia") && !text.contains(PASSWORD));
        house.close().await;
    }
}

/// A second federation, its client, and a user and a group of its own.
async fn neighbour(house: &House) -> (Client<'_>, String, String) {
    let client = house.client("neighbour").await;
    let (user, group) = (client.user("theirs").await, client.group("Theirs").await);
    (client, user, group)
}

#[tokio::test]
async fn what_belongs_to_another_federation_looks_like_nothing() {
    for house in houses().await {
        let client = house.client("okta").await;
        let (theirs, user, group) = neighbour(&house).await;
        let foreign_and_missing = [
            (format!("/Users/{user}"), format!("/Users/{NOBODY}")),
            (format!("/Groups/{group}"), format!("/Groups/{NOBODY}")),
        ];
        let patch = json!({ "Operations": [{ "op": "replace", "value": { "active": false } }] });
        let put = json!({ "userName": "theirs", "displayName": "Theirs" });
        for (foreign, missing) in &foreign_and_missing {
            for (method, body) in
                [("GET", &json!(null)), ("PUT", &put), ("PATCH", &patch), ("DELETE", &json!(null))]
            {
                let foreign = client.json(method, foreign, body).await;
                let missing = client.json(method, missing, body).await;
                foreign.assert_scim_error(404, method);
                assert_eq!(foreign.body, missing.body, "{method}");
                assert_eq!(foreign.steady_headers(), missing.steady_headers(), "{method}");
            }
        }
        for query in [format!("id eq \"{user}\""), "userName eq \"theirs\"".to_owned()] {
            let found = client.get(&format!("/Users{}", filter(&query))).await.json();
            assert_eq!(found["totalResults"], json!(0), "{query}");
        }
        let adopt = json!({ "displayName": "Ours", "members": [{ "value": user }] });
        client.post("/Groups", &adopt).await.assert_scim_error(400, "a foreign member");
        assert_eq!(
            client.post("/Users", &json!({ "userName": "theirs" })).await.status,
            201,
            "no shared names"
        );
        assert_eq!(theirs.get(&format!("/Users/{user}")).await.header("etag"), "W/\"1\"", "untouched");
        assert_eq!(house.population("neighbour").await, (1, 1));
        house.close().await;
    }
}

#[tokio::test]
async fn an_external_id_never_finds_somebody_else() {
    for house in houses().await {
        let client = house.client("okta").await;
        let other = client.user("other").await;
        let long = "x".repeat(4096);
        for (number, external) in
            ["1", "0", "-1", "admin", other.as_str(), NOBODY, "' OR 1=1 --", long.as_str()].iter().enumerate()
        {
            let body = json!({ "userName": format!("u{number}"), "externalId": external });
            let made = client.post("/Users", &body).await;
            if external.len() > 1_000 && made.status == 400 {
                made.assert_scim_error(400, "too long, and said so");
                continue;
            }
            assert_eq!(made.status, 201, "{external:.40}: {}", made.body);
            let id = made.id();
            assert!(id != *external && id != other, "{external:.40}");
            if external.len() < 100 && *external != other {
                let encoded = external.replace(' ', "%20");
                let by_external = client.get(&format!("/Users/{encoded}")).await;
                by_external.assert_scim_error(404, external);
            }
        }
        for number in [json!(1), json!(true), json!({}), json!(["1"])] {
            let body = json!({ "userName": "typed", "externalId": number });
            client.post("/Users", &body).await.assert_scim_error(400, &number.to_string());
        }
        let unchanged = client.get(&format!("/Users/{other}")).await.json();
        assert_eq!(
            (&unchanged["userName"], &unchanged["meta"]["version"]),
            (&json!("other"), &json!("W/\"1\""))
        );
        house.close().await;
    }
}

#[tokio::test]
async fn every_answered_request_is_on_record_with_its_status() {
    for house in houses().await {
        house.federation("okta").await;
        let (key_id, key) = house.key("okta", "everything", Scope::full_directory()).await;
        let client = Client { house: &house, base: "/scim/okta/v2".to_owned(), key };
        let id = client.user("mia").await;
        let expect: Vec<(String, u16)> = [
            ("POST Users", 201),
            ("GET Users", client.get(&format!("/Users/{id}")).await.status),
            ("GET Users", client.get(&format!("/Users/{NOBODY}")).await.status),
            ("POST Users", client.post("/Users", &json!({ "userName": "mia" })).await.status),
            ("PUT Users", client.send("PUT", &format!("/Users/{id}"), &[], "{").await.status),
            ("PATCH Users", client.send("PATCH", "/Users", &[], "").await.status),
            ("GET Schemas", client.get("/Schemas").await.status),
            ("POST Bulk", client.post("/Bulk", &json!({})).await.status),
            ("GET unknown", client.get("/Planets").await.status),
            ("DELETE Users", client.delete(&format!("/Users/{id}")).await.status),
        ]
        .into_iter()
        .map(|(what, status)| (what.to_owned(), status))
        .collect();
        let mut records = ops::usage::of_key(&house.admin(), &key_id, 100).await.unwrap();
        records.sort_by(|a, b| a.request_id.as_str().cmp(b.request_id.as_str()));
        let mut found: Vec<(String, u16)> = records
            .iter()
            .map(|record| (format!("{} {}", record.method, record.resource_type), record.status))
            .collect();
        let mut expect = expect;
        found.sort();
        expect.sort();
        assert_eq!(found, expect);
        assert!(records.iter().all(|record| record.source.as_deref() == Some("192.0.2.7")));
        house.close().await;
    }
}

#[tokio::test]
async fn a_federation_may_be_called_like_its_path() {
    let house = crate::house::house().await;
    for slug in ["scim", "scim-prod", "v2"] {
        let answer = house.client(slug).await.get("/Users").await;
        assert_eq!(answer.status, 200, "{slug}");
    }
    house.close().await;
}
