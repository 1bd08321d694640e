//! Rows 71 to 74: paging by cursor (RFC 9865).

use serde_json::{Value, json};

use crate::house::{Client, houses};

async fn people(client: &Client<'_>, count: usize) {
    for number in 0..count {
        client.house.clock.advance(1);
        client.user(&format!("user{number:02}")).await;
    }
}

fn names(list: &Value) -> Vec<String> {
    let users = list["Resources"].as_array().into_iter().flatten();
    users.map(|user| user["userName"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_cursor_goes_from_the_first_page_to_the_last() {
    // Row 71. RFC 9865 2.
    for house in houses().await {
        let client = house.client("okta").await;
        people(&client, 7).await;
        let mut seen = Vec::new();
        let mut cursor = String::new();
        for page in 1..=3 {
            let list = client.get(&format!("/Users?cursor={cursor}&count=3")).await;
            assert_eq!(list.status, 200, "{}", list.body);
            let list = list.json();
            assert_eq!((list.get("startIndex"), &list["totalResults"]), (None, &json!(7)), "{list}");
            if page == 1 {
                assert_eq!(list.get("previousCursor"), None, "never on the first page");
            }
            seen.extend(names(&list));
            match list["nextCursor"].as_str() {
                Some(next) => {
                    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                    assert!(page < 3 && !next.is_empty() && next.bytes().all(unreserved), "{next}");
                    next.clone_into(&mut cursor);
                }
                None => assert_eq!(page, 3, "on every page but the last"),
            }
            // What comes later does not shift what was seen.
            client.user(&format!("zz{page}")).await;
            if page == 1 {
                client.delete(&format!("/Users/{}", list["Resources"][0]["id"].as_str().unwrap())).await;
            }
            if page > 1 {
                break;
            }
        }
        assert_eq!(seen[..6], ["user00", "user01", "user02", "user03", "user04", "user05"]);
        house.close().await;
    }
}

#[tokio::test]
async fn a_cursor_that_is_not_ours_is_refused_with_its_keyword() {
    // Rows 72 and 74. RFC 9865 2.1, 5.
    for house in houses().await {
        let (client, other) = (house.client("okta").await, house.client("entra").await);
        people(&client, 5).await;
        people(&other, 5).await;
        let first = client.get("/Users?cursor=&count=2").await.json();
        let cursor = first["nextCursor"].as_str().unwrap().to_owned();
        let last = if cursor.ends_with('A') { 'B' } else { 'A' };
        let changed = format!("{}{last}", &cursor[..cursor.len() - 1]);
        for wrong in ["x", "AAAA", changed.as_str(), &cursor[1..], "%00"] {
            let answer = client.get(&format!("/Users?cursor={wrong}&count=2")).await;
            assert_eq!(answer.assert_scim_error(400, wrong).as_deref(), Some("invalidCursor"), "{wrong}");
        }
        for (whose, path) in [
            (&other, format!("/Users?cursor={cursor}&count=2")),
            (&client, format!("/Groups?cursor={cursor}&count=2")),
            (&client, format!("/Users?cursor={cursor}&count=2&filter=active%20eq%20true")),
            (&client, format!("/Users?cursor={cursor}&count=2&sortBy=userName")),
        ] {
            let answer = whose.get(&path).await;
            assert_eq!(answer.assert_scim_error(400, &path).as_deref(), Some("invalidCursor"), "{path}");
        }
        for count in ["1001", "100000"] {
            let answer = client.get(&format!("/Users?cursor=&count={count}")).await;
            assert_eq!(answer.assert_scim_error(400, count).as_deref(), Some("invalidCount"), "{count}");
        }
        let same = client.get(&format!("/Users?cursor={cursor}&count=2")).await;
        assert_eq!((same.status, names(&same.json())), (200, vec!["user02".to_owned(), "user03".to_owned()]));
        let timeout = client.get("/ServiceProviderConfig").await.json()["pagination"]["cursorTimeout"]
            .as_i64()
            .unwrap();
        house.clock.advance((timeout + 1) * 1_000);
        let late = client.get(&format!("/Users?cursor={cursor}&count=2")).await;
        assert_eq!(late.assert_scim_error(400, "too late").as_deref(), Some("expiredCursor"));
        house.close().await;
    }
}

#[tokio::test]
async fn a_cursor_is_taken_in_a_search_and_announced() {
    // Row 73. RFC 9865 2.4, 3, 4.
    for house in houses().await {
        let client = house.client("okta").await;
        people(&client, 4).await;
        let pagination = client.get("/ServiceProviderConfig").await.json()["pagination"].clone();
        assert_eq!((&pagination["cursor"], &pagination["index"]), (&json!(true), &json!(true)));
        assert_eq!(pagination["defaultPaginationMethod"], json!("index"), "for who knows nothing of cursors");
        for name in ["defaultPageSize", "maxPageSize", "cursorTimeout"] {
            assert!(pagination[name].as_i64().is_some_and(|number| number > 0), "{name}: {pagination}");
        }
        let schemas = json!(["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]);
        let first =
            client.post("/Users/.search", &json!({ "schemas": schemas, "cursor": "", "count": 3 })).await;
        assert_eq!(first.status, 200, "{}", first.body);
        let cursor = first.json()["nextCursor"].clone();
        let second = client
            .post("/Users/.search", &json!({ "schemas": schemas, "cursor": cursor, "count": 3 }))
            .await
            .json();
        assert_eq!((names(&second), second.get("nextCursor")), (vec!["user03".to_owned()], None));
        assert_eq!(
            client.get("/Users").await.json()["startIndex"],
            json!(1),
            "without a cursor the index pages"
        );
        house.close().await;
    }
}
