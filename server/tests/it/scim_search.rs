//! Lists and searches as a provider asks for them (RFC 7644 3.4.2 and 3.4.3, RFC 9865).

use domain::scopes::{ResourceKind, Scope, Verb};
use serde_json::{Value, json};

use crate::house::{Answer, Client, ENTERPRISE_URN, House, SCIM_JSON, filter, houses};

const SEARCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// Five users and two groups, made one after the other.
async fn directory(client: &Client<'_>) -> Vec<String> {
    let mut ids = Vec::new();
    let titles = ["Nurse", "doctor", "Nurse", "Porter", "Clerk"];
    for (index, (name, title)) in ["mia", "max", "Ada", "eve", "zoe"].into_iter().zip(titles).enumerate() {
        client.house.clock.advance(1_000);
        let made = client
            .post(
                "/Users",
                &json!({
                    "userName": name, "externalId": format!("x{index}"), "title": title, "active": index != 3,
                    "emails": [
                        { "value": format!("{name}@Example.com"), "type": "work", "primary": true },
                        { "value": format!("{name}@home.test"), "type": "home" },
                    ],
                    ENTERPRISE_URN: { "employeeNumber": format!("N{index}"), "department": "Care" },
                }),
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.body);
        ids.push(made.id());
    }
    for (name, member) in [("Staff", 0), ("Guests", 1)] {
        client.house.clock.advance(1_000);
        let members = json!([{ "value": ids[member] }]);
        let made = client.post("/Groups", &json!({ "displayName": name, "members": members })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        ids.push(made.id());
    }
    ids
}

/// The names in a list, in its order.
fn names(answer: &Answer) -> Vec<String> {
    assert_eq!((answer.status, answer.header("content-type")), (200, SCIM_JSON), "{}", answer.body);
    let body = answer.json();
    let resources = body["Resources"].as_array().unwrap();
    assert_eq!(body["itemsPerPage"], json!(resources.len()), "the number really returned");
    let name = |resource: &Value| {
        let name = resource.get("userName").or_else(|| resource.get("displayName")).unwrap();
        name.as_str().unwrap().to_owned()
    };
    resources.iter().map(name).collect()
}

#[tokio::test]
async fn every_attribute_can_be_filtered_and_the_forms_of_providers_are_understood() {
    for house in houses().await {
        let client = house.client("entra").await;
        let ids = directory(&client).await;
        for (query, expect) in [
            // Entra's look-ups, with the value path that the grammar does not have.
            ("userName eq \"MAX\"".to_owned(), vec!["max"]),
            ("externalId eq \"x2\"".to_owned(), vec!["Ada"]),
            ("emails[type eq \"work\"].value eq \"eve@example.COM\"".to_owned(), vec!["eve"]),
            ("emails[type eq \"home\"].value eq \"eve@example.com\"".to_owned(), vec![]),
            ("emails.value eq \"mia@home.test\"".to_owned(), vec!["mia"]),
            (format!("{ENTERPRISE_URN}:employeeNumber eq \"n4\""), vec!["zoe"]),
            (
                "(ActiVe eq true) and meta.lastmodified ge \"2026-01-01T00:00:03Z\"".to_owned(),
                vec!["Ada", "zoe"],
            ),
            // What no index serves.
            ("title eq \"nurse\" and not (userName sw \"a\")".to_owned(), vec!["mia"]),
            ("userName ew \"e\" or title pr and active eq false".to_owned(), vec!["eve", "zoe"]),
            (format!("{ENTERPRISE_URN}:department co \"ar\" and userName sw \"m\""), vec!["max", "mia"]),
            (format!("groups.value eq \"{}\"", ids[5]), vec!["mia"]),
            ("colour eq \"red\"".to_owned(), vec![]),
        ] {
            let mut found = names(&client.get(&format!("/Users{}", filter(&query))).await);
            found.sort_by_key(|name| name.to_lowercase());
            let mut expect: Vec<String> = expect.into_iter().map(str::to_owned).collect();
            expect.sort_by_key(|name| name.to_lowercase());
            assert_eq!(found, expect, "{query}");
        }
        for (query, expect) in [
            ("displayName eq \"staff\"".to_owned(), vec!["Staff"]),
            (format!("members.value eq \"{}\"", ids[1]), vec!["Guests"]),
            (format!("members[value eq \"{}\" and type eq \"User\"]", ids[1]), vec!["Guests"]),
            (format!("members[value eq \"{}\" and type eq \"Group\"]", ids[1]), vec![]),
            ("members.display eq \"mia\"".to_owned(), vec!["Staff"]),
            (
                "displayName co \"t\" and meta.created gt \"2026-01-01T00:00:06.000Z\"".to_owned(),
                vec!["Guests"],
            ),
        ] {
            assert_eq!(names(&client.get(&format!("/Groups{}", filter(&query))).await), expect, "{query}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_list_is_sorted_by_any_attribute_in_either_direction() {
    for house in houses().await {
        let client = house.client("okta").await;
        directory(&client).await;
        for (query, expect) in [
            ("", ["mia", "max", "Ada", "eve", "zoe"]),
            ("sortBy=userName", ["Ada", "eve", "max", "mia", "zoe"]),
            ("sortBy=username&sortOrder=descending", ["zoe", "mia", "max", "eve", "Ada"]),
            ("sortBy=meta.created&sortOrder=descending", ["zoe", "eve", "Ada", "max", "mia"]),
            // Two nurses stay in the order of their ids.
            ("sortBy=title", ["zoe", "max", "mia", "Ada", "eve"]),
            ("sortBy=title&sortOrder=descending", ["eve", "Ada", "mia", "max", "zoe"]),
            ("sortBy=emails", ["Ada", "eve", "max", "mia", "zoe"]),
        ] {
            assert_eq!(names(&client.get(&format!("/Users?{query}")).await), expect, "{query}");
        }
        let page = client.get("/Users?sortBy=title&startIndex=2&count=2").await;
        assert_eq!(names(&page), ["max", "mia"]);
        assert_eq!(page.json()["totalResults"], json!(5));
        house.close().await;
    }
}

#[tokio::test]
async fn a_list_goes_on_by_its_cursor_until_the_last_page() {
    for house in houses().await {
        let client = house.client("pager").await;
        directory(&client).await;
        for query in ["", "&sortBy=userName&sortOrder=descending", "&sortBy=title", "&filter=title%20pr"] {
            let (mut all, mut cursor) = (Vec::new(), String::new());
            for page in 1..=3 {
                let answer = client.get(&format!("/Users?count=2&cursor={cursor}{query}")).await;
                all.extend(names(&answer));
                let body = answer.json();
                assert_eq!(body["totalResults"], json!(5));
                assert_eq!((body.get("startIndex"), body.get("previousCursor")), (None, None), "{body}");
                assert_eq!(body.get("nextCursor").is_some(), page < 3, "page {page} of {query}");
                cursor = body["nextCursor"].as_str().unwrap_or_default().to_owned();
                let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                assert!(cursor.bytes().all(is_unreserved), "{cursor}");
            }
            assert_eq!(all, names(&client.get(&format!("/Users?{}", query.trim_start_matches('&'))).await));
        }
        // By index there are no cursors, and a cursor of nothing is none.
        assert_eq!(client.get("/Users?count=2").await.json().get("nextCursor"), None);
        let empty = client.get(&format!("/Users{}&cursor=", filter("userName eq \"nobody\""))).await.json();
        assert_eq!((&empty["totalResults"], empty.get("nextCursor")), (&json!(0), None));
        house.close().await;
    }
}

#[tokio::test]
async fn a_cursor_that_is_not_good_is_refused_in_the_words_of_the_standard() {
    for house in houses().await {
        let client = house.client("pager").await;
        directory(&client).await;
        let first = client.get("/Users?count=2&cursor=").await.json();
        let cursor = first["nextCursor"].as_str().unwrap();
        let other = house.client("other").await;
        let check = |answer: &Answer, keyword: &str, what: &str| {
            assert_eq!(
                answer.assert_scim_error(400, what).as_deref(),
                Some(keyword),
                "{what}: {}",
                answer.body
            );
        };
        for text in ["x", "VZUTiyhEQJ94IR", &cursor[..cursor.len() - 2], &format!("{cursor}{cursor}")] {
            let answer = client.get(&format!("/Users?count=2&cursor={text}")).await;
            check(&answer, "invalidCursor", text);
        }
        let again = format!("count=2&cursor={cursor}");
        check(&other.get(&format!("/Users?{again}")).await, "invalidCursor", "another federation");
        check(&client.get(&format!("/Groups?{again}")).await, "invalidCursor", "another type");
        check(&client.get(&format!("/Users?{again}&sortBy=title")).await, "invalidCursor", "another order");
        let filtered = format!("/Users{}&{again}", filter("title pr"));
        check(&client.get(&filtered).await, "invalidCursor", "another filter");
        check(&client.get(&format!("/Users?count=3&cursor={cursor}")).await, "invalidCount", "another count");
        check(&client.get("/Users?count=1001&cursor=").await, "invalidCount", "above the limit");
        let body = json!({ "schemas": [SEARCH_URN], "count": 3, "cursor": cursor });
        check(&client.post("/Users/.search", &body).await, "invalidCount", "another count in a search");
        assert_eq!(names(&client.get(&format!("/Users?{again}")).await), ["Ada", "eve"]);
        house.clock.advance(3_600_000);
        check(&client.get(&format!("/Users?{again}")).await, "expiredCursor", "an hour later");
        house.close().await;
    }
}

#[tokio::test]
async fn a_search_is_a_list_whose_question_is_in_the_body() {
    for house in houses().await {
        let client = house.client("searcher").await;
        let ids = directory(&client).await;
        let before = client.get(&format!("/Users/{}", ids[0])).await;
        let search = async |path: &str, body: Value| client.post(path, &body).await;
        let body = json!({
            "schemas": [SEARCH_URN], "filter": "title eq \"Nurse\"", "sortBy": "userName", "sortOrder": "descending",
            "attributes": ["userName", "emails.value"], "startIndex": 1, "count": 1,
        });
        let answer = search("/Users/.search", body).await;
        assert_eq!(names(&answer), ["mia"]);
        let body = answer.json();
        assert_eq!((&body["totalResults"], &body["startIndex"]), (&json!(2), &json!(1)));
        let keys: Vec<&String> = body["Resources"][0].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["emails", "id", "schemas", "userName"]);

        let groups = search("/Groups/.search", json!({ "excludedAttributes": ["members"] })).await;
        assert_eq!(names(&groups), ["Staff", "Guests"]);
        assert_eq!(groups.json()["Resources"][0].get("members"), None);

        // Everything: the users, then the groups.
        let all = ["mia", "max", "Ada", "eve", "zoe", "Staff", "Guests"];
        assert_eq!(names(&search("/.search", json!({ "schemas": [SEARCH_URN] })).await), all);
        for path in ["", "/", "?count=7"] {
            assert_eq!(names(&client.get(path).await), all, "GET {path:?}");
        }
        assert_eq!(names(&client.get("/?startIndex=5&count=2").await), ["zoe", "Staff"]);
        let either = "userName eq \"max\" or displayName eq \"staff\"";
        assert_eq!(names(&search("/.search", json!({ "filter": either })).await), ["max", "Staff"]);
        let (mut found, mut cursor) = (Vec::new(), Some(String::new()));
        while let Some(text) = cursor {
            let page = search("/.search", json!({ "count": 3, "cursor": text })).await;
            found.extend(names(&page));
            cursor = page.json()["nextCursor"].as_str().map(str::to_owned);
        }
        assert_eq!(found, all);

        for (path, body) in [("/Users/.search", "[]"), ("/.search", "{"), ("/Groups/.search", "\"x\"")] {
            let answer = client.send("POST", path, &[("content-type", "application/scim+json")], body).await;
            assert_eq!(answer.assert_scim_error(400, path).as_deref(), Some("invalidSyntax"));
        }
        for path in ["/Users/.search", "/.search"] {
            let answer = client.get(path).await;
            answer.assert_scim_error(405, path);
            assert_eq!(answer.header("allow"), "POST");
        }
        client.post("/", &json!({})).await.assert_scim_error(405, "POST to the base");
        let after = client.get(&format!("/Users/{}", ids[0])).await;
        assert_eq!(
            (after.json(), after.header("etag")),
            (before.json(), before.header("etag")),
            "it changes nothing"
        );
        house.close().await;
    }
}

#[tokio::test]
async fn a_search_of_everything_shows_only_what_the_key_may_read() {
    for house in houses().await {
        let client = house.client("scoped").await;
        directory(&client).await;
        let narrow = async |house: &House, kind, verb| {
            let (_, key) = house.key("scoped", &format!("{kind} {verb}"), Scope::of([(kind, verb)])).await;
            let client = Client { house, base: "/scim/scoped/v2".to_owned(), key };
            client.get("/").await.status.to_string() + &client.post("/.search", &json!({})).await.body
        };
        let users = narrow(&house, ResourceKind::Users, Verb::Read).await;
        assert!(users.contains("\"totalResults\":5") && !users.contains("displayName"), "{users}");
        let groups = narrow(&house, ResourceKind::Groups, Verb::Read).await;
        assert!(groups.contains("\"totalResults\":2") && !groups.contains("employeeNumber"), "{groups}");
        let neither = narrow(&house, ResourceKind::Users, Verb::Create).await;
        assert!(neither.starts_with("403") && neither.contains("may not read"), "{neither}");
        house.close().await;
    }
}
