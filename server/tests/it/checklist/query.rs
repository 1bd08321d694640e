//! Rows 25 to 33, 36, 40 and 80: filters, sorting, searching (RFC 7644 3.4.2, 3.4.3).

use serde_json::{Value, json};

use crate::house::{Client, ENTERPRISE_URN, filter, houses};

const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const SEARCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// Four people of whom filters tell something apart.
async fn people(client: &Client<'_>) {
    for body in [
        json!({ "userName": "ada", "title": "Lead", "active": true, "externalId": "X1", "name": { "familyName": "Lovelace" },
            "emails": [{ "value": "ada@work.example", "type": "work" }, { "value": "ada@home.example", "type": "home" }],
            ENTERPRISE_URN: { "department": "Engines" } }),
        json!({ "userName": "bob", "title": "lead engineer", "active": false, "name": { "familyName": "Smith" },
            "emails": [{ "value": "bob@home.example", "type": "home" }] }),
        json!({ "userName": "cy", "displayName": "100% \"Cy\" \\ _x", "active": true, "externalId": "x1" }),
        json!({ "userName": "Dan", "title": "Ops", "name": { "familyName": "Lovelace" },
            "emails": [{ "value": "dan@work.example", "type": "work", "primary": true }, { "value": "a@a.example", "type": "other" }] }),
    ] {
        client.house.clock.advance(1_000);
        let made = client.post("/Users", &body).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }
}

/// The names that a query finds, in their order.
async fn names(client: &Client<'_>, query: &str) -> Vec<String> {
    let answer = client.get(&format!("/Users?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    names_in(&answer.json())
}

fn names_in(list: &Value) -> Vec<String> {
    let resources = list["Resources"].as_array().cloned().unwrap_or_default();
    assert_eq!(list["itemsPerPage"], json!(resources.len()), "{list}");
    let name = |user: &Value| {
        user["userName"].as_str().or(user["displayName"].as_str()).unwrap_or_default().to_owned()
    };
    resources.iter().map(name).collect()
}

async fn found(client: &Client<'_>, text: &str) -> Vec<String> {
    let mut names = names(client, filter(text).trim_start_matches('?')).await;
    names.sort();
    names
}

#[tokio::test]
async fn every_operator_of_the_grammar_finds_what_it_should() {
    // Rows 27 and 80.
    for house in houses().await {
        let client = house.client("okta").await;
        people(&client).await;
        for (text, expect) in [
            ("userName eq \"ADA\"", &["ada"][..]),
            ("userName ne \"ada\"", &["Dan", "bob", "cy"]),
            ("title co \"EAD\"", &["ada", "bob"]),
            ("title sw \"lead\"", &["ada", "bob"]),
            ("title ew \"engineer\"", &["bob"]),
            ("title pr", &["Dan", "ada", "bob"]),
            ("userName gt \"bob\"", &["Dan", "cy"]),
            ("userName ge \"bob\"", &["Dan", "bob", "cy"]),
            ("userName lt \"bob\"", &["ada"]),
            ("userName le \"bob\"", &["ada", "bob"]),
            ("active eq true and title pr", &["Dan", "ada"]),
            ("title eq \"ops\" or active eq false", &["Dan", "bob"]),
            ("not (title pr)", &["cy"]),
            ("emails[type eq \"work\" and value co \"ada\"]", &["ada"]),
            ("emails[type eq \"work\"] and not (userName eq \"ada\")", &["Dan"]),
            ("emails[value eq \"a@a.example\"]", &["Dan"]),
            ("emails[type eq \"home\"].value eq \"BOB@home.example\"", &["bob"]),
            ("emails.value ew \"home.example\"", &["ada", "bob"]),
            ("emails co \"work\"", &["Dan", "ada"]),
            ("name.familyName eq \"lovelace\"", &["Dan", "ada"]),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"engines\"",
                &["ada"],
            ),
            ("externalId eq \"X1\"", &["ada"]),
            ("externalId pr", &["ada", "cy"]),
            ("meta.created gt \"2026-01-01T00:00:02.500Z\"", &["Dan", "cy"]),
            ("meta.created le \"2026-01-01T01:00:02+01:00\"", &["ada", "bob"]),
            ("meta.resourceType eq \"User\"", &["Dan", "ada", "bob", "cy"]),
        ] {
            assert_eq!(found(&client, text).await, expect, "{:?}: {text}", house.database.engine);
        }
        house.close().await;
    }
}

#[tokio::test]
async fn and_binds_before_or_and_not_before_both() {
    // Row 28.
    for house in houses().await {
        let client = house.client("okta").await;
        people(&client).await;
        for (text, expect) in [
            ("userName eq \"ada\" or userName eq \"bob\" and active eq true", &["ada"][..]),
            ("(userName eq \"ada\" or userName eq \"bob\") and active eq false", &["bob"]),
            ("active eq true and userName eq \"bob\" or userName eq \"cy\"", &["cy"]),
            ("not (userName eq \"ada\") and title pr or userName eq \"ada\"", &["Dan", "ada", "bob"]),
            ("not (userName eq \"ada\" or title pr)", &["cy"]),
        ] {
            assert_eq!(found(&client, text).await, expect, "{text}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn what_cannot_be_compared_is_refused() {
    // Rows 29 to 31. RFC 7644 3.4.2.2, table 3.
    for house in houses().await {
        let client = house.client("okta").await;
        people(&client).await;
        for text in [
            "active gt true",
            "active le false",
            "x509Certificates.value gt \"a\"",
            "userName regex \"a\"",
            "userName",
            "userName eq",
            "eq \"a\"",
            "userName eq \"a",
            "(userName pr",
            "userName pr)",
            "userName pr and",
            "not userName pr",
            "emails[type eq \"work\"",
            "emails[]",
            "userName eq \"a\" xor title pr",
            "name eq \"x\"",
            "meta.created gt \"yesterday\"",
            "active eq \"perhaps\"",
            "password eq \"x\"",
            "password pr",
            "userName eq \"\\x\"",
        ] {
            let answer = client.get(&format!("/Users{}", filter(text))).await;
            assert_eq!(answer.assert_scim_error(400, text).as_deref(), Some("invalidFilter"), "{text}");
        }
        assert_eq!(
            found(&client, "planet eq \"earth\"").await,
            Vec::<String>::new(),
            "an unknown attribute has no value"
        );
        house.close().await;
    }
}

#[tokio::test]
async fn a_text_in_a_filter_is_json_and_no_pattern() {
    // Row 33.
    for house in houses().await {
        let client = house.client("okta").await;
        people(&client).await;
        for (text, expect) in [
            ("displayName co \"\\\"Cy\\\"\"", &["cy"][..]),
            ("displayName co \"\\\\\"", &["cy"]),
            ("displayName co \"0%\"", &["cy"]),
            ("displayName sw \"1%\"", &[]),
            ("userName co \"%\"", &[]),
            ("userName sw \"_\"", &[]),
            ("displayName ew \"_x\"", &["cy"]),
            ("userName eq \"\\u0061da\"", &["ada"]),
            ("userName co \"*\"", &[]),
        ] {
            assert_eq!(found(&client, text).await, expect, "{text}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_list_is_sorted_as_it_was_asked_for() {
    // Row 36. RFC 7644 3.4.2.3.
    for house in houses().await {
        let client = house.client("okta").await;
        people(&client).await;
        let config = client.get("/ServiceProviderConfig").await.json();
        assert_eq!(config["sort"]["supported"], json!(true));
        assert_eq!(names(&client, "sortBy=userName").await, ["ada", "bob", "cy", "Dan"]);
        assert_eq!(names(&client, "sortBy=userName&sortOrder=descending").await, ["Dan", "cy", "bob", "ada"]);
        assert_eq!(
            names(&client, "sortBy=USERNAME&sortOrder=Ascending&count=2&startIndex=3").await,
            ["cy", "Dan"]
        );
        assert_eq!(names(&client, "sortBy=meta.created&sortOrder=descending&count=1").await, ["Dan"]);
        // Nobody without a value is lost; where they stand is at an end of the list.
        let by_title = names(&client, "sortBy=title").await;
        let with_title: Vec<&String> = by_title.iter().filter(|name| *name != "cy").collect();
        assert_eq!(
            (with_title, by_title.len()),
            (vec![&"ada".to_owned(), &"bob".to_owned(), &"Dan".to_owned()], 4)
        );
        let by_mail = names(&client, "sortBy=emails.value").await;
        let with_mail: Vec<&str> = by_mail.iter().map(String::as_str).filter(|name| *name != "cy").collect();
        assert_eq!(with_mail, ["ada", "bob", "Dan"], "by the primary value, or the first");
        house.close().await;
    }
}

#[tokio::test]
async fn a_search_by_post_is_a_list_and_changes_nothing() {
    // Row 40. RFC 7644 3.4.3.
    for house in houses().await {
        let client = house.client("okta").await;
        people(&client).await;
        client.group("Staff").await;
        let body = json!({
            "schemas": [SEARCH_URN], "filter": "title pr", "sortBy": "userName", "sortOrder": "descending", "startIndex": 1, "count": 2,
            "attributes": ["userName", "title"],
        });
        let answer = client.post("/Users/.search", &body).await;
        let list = answer.json();
        assert_eq!(
            (answer.status, &list["schemas"], &list["totalResults"]),
            (200, &json!([LIST_URN]), &json!(3))
        );
        assert_eq!(names_in(&list), ["Dan", "bob"]);
        assert_eq!(list["Resources"][0].get("emails"), None);
        let by_get = client.get("/Users?filter=title%20pr&sortBy=userName&sortOrder=descending&count=2&attributes=userName,title").await;
        assert_eq!(by_get.json(), list, "the same by GET");
        for (body, keyword) in [
            (json!({ "schemas": [SEARCH_URN], "filter": "title xx" }), "invalidFilter"),
            (json!({ "schemas": [SEARCH_URN], "count": "many" }), "invalidValue"),
            (json!([]), "invalidSyntax"),
        ] {
            let answer = client.post("/Users/.search", &body).await;
            let found = answer.assert_scim_error(400, &body.to_string());
            assert!(
                found.as_deref() == Some(keyword) || found.as_deref() == Some("invalidSyntax"),
                "{body}: {found:?}"
            );
        }
        client.get("/Users/.search").await.assert_scim_error(405, "a search is a POST");
        assert_eq!(house.population("okta").await, (4, 1));
        house.close().await;
    }
}

#[tokio::test]
async fn a_query_of_the_root_is_one_of_every_type() {
    // Row 26. RFC 7644 3.4.2.1.
    for house in houses().await {
        let client = house.client("okta").await;
        people(&client).await;
        client.post("/Groups", &json!({ "displayName": "ada" })).await;
        for text in [
            "displayName eq \"ada\" or userName eq \"ada\"",
            "meta.resourceType eq \"Group\" or userName eq \"ADA\"",
        ] {
            let by_get = client.get(&format!("/{}", filter(text))).await;
            assert_eq!(by_get.status, 200, "{}", by_get.body);
            let by_post = client.post("/.search", &json!({ "schemas": [SEARCH_URN], "filter": text })).await;
            for list in [by_get.json(), by_post.json()] {
                assert_eq!(
                    (&list["totalResults"], names_in(&list)),
                    (&json!(2), vec!["ada".to_owned(), "ada".to_owned()]),
                    "{text}: {list}"
                );
                let kinds: Vec<&Value> = list["Resources"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|found| &found["meta"]["resourceType"])
                    .collect();
                assert!(kinds.contains(&&json!("User")) && kinds.contains(&&json!("Group")));
            }
        }
        house.close().await;
    }
}
