//! What a provider may ask of an embedded directory, asked of one that an upstream keeps.

use serde_json::{Value, json};

use super::user;
use crate::house::{Answer, Client, filter};

const BULK_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

fn listed(answer: &Answer, what: &str) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{what}: {}", answer.body);
    let page = answer.json();
    assert_eq!(page["itemsPerPage"], json!(page["Resources"].as_array().unwrap().len()), "{what}");
    page["Resources"].as_array().unwrap().clone()
}

fn names(resources: &[Value], name: &str) -> Vec<String> {
    resources.iter().filter_map(|resource| resource[name].as_str()).map(str::to_owned).collect()
}

fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::from("?"));
    query.extend_pairs(pairs).finish()
}

/// Asks everything of a federation that is empty, and leaves it empty. `has_tags` is whether the
/// upstream has entity tags.
pub async fn asks(client: &Client<'_>, has_tags: bool) {
    let config = client.get("/ServiceProviderConfig").await.json();
    let said = |name: &str| config[name]["supported"].clone();
    for name in ["patch", "bulk", "filter", "sort"] {
        assert_eq!(said(name), json!(true), "{name}: {config}");
    }
    assert_eq!(said("etag"), json!(has_tags), "{config}");
    assert_eq!(
        (&config["pagination"]["cursor"], &config["bulk"]["maxOperations"]),
        (&json!(true), &json!(100))
    );
    client.get("/Me").await.assert_scim_error(501, "/Me");

    let mut ids = Vec::new();
    for letter in ["c", "a", "e", "b", "d"] {
        let mut new = user(&format!("q-{letter}"));
        new["displayName"] = json!(format!("Shown {letter}"));
        let made = client.post("/Users", &new).await;
        assert_eq!(made.status, 201, "{}", made.body);
        ids.push(made.id());
    }
    let mut groups = Vec::new();
    for name in ["q-red", "q-blue"] {
        let group = json!({ "displayName": name, "members": [{ "value": ids[0] }] });
        let made = client.post("/Groups", &group).await;
        assert_eq!(made.status, 201, "{}", made.body);
        groups.push(made.id());
    }
    searches(client).await;
    pages(client, &ids).await;
    selects(client).await;
    everything(client).await;
    for id in groups {
        assert_eq!(client.delete(&format!("/Groups/{id}")).await.status, 204);
    }
    for id in ids {
        assert_eq!(client.delete(&format!("/Users/{id}")).await.status, 204);
    }
    bulk(client).await;
}

/// `.search`, filters and orders.
async fn searches(client: &Client<'_>) {
    let wanted = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": "userName sw \"q-\"",
        "sortBy": "userName", "sortOrder": "descending", "attributes": ["userName"], "startIndex": 2, "count": 3,
    });
    let answer = client.post("/Users/.search", &wanted).await;
    let found = listed(&answer, "search");
    assert_eq!((&answer.json()["totalResults"], &answer.json()["startIndex"]), (&json!(5), &json!(2)));
    assert_eq!(names(&found, "userName"), ["q-d", "q-c", "q-b"]);
    assert!(
        found.iter().all(|user| user.get("displayName").is_none() && user["id"].is_string()),
        "{found:?}"
    );
    let wrong = json!({ "filter": "userName eq" });
    let refused = client.post("/Users/.search", &wrong).await.assert_scim_error(400, "a filter that is none");
    assert_eq!(refused.as_deref(), Some("invalidFilter"));

    let up = listed(&client.get("/Users?sortBy=displayName").await, "sorted");
    assert_eq!(names(&up, "displayName").first().map(String::as_str), Some("Shown a"), "{up:?}");
    // An order of ids is one of the ids that are shown.
    let mut by_id = names(&listed(&client.get("/Users?sortBy=id").await, "by id"), "id");
    assert!(by_id.is_sorted(), "{by_id:?}");
    by_id.dedup();
    assert_eq!(by_id.len(), 5);
    let own = format!("id eq \"{}\"", by_id[1]);
    assert_eq!(
        names(&listed(&client.get(&format!("/Users{}", filter(&own))).await, "id"), "id"),
        [by_id[1].clone()]
    );
}

/// By number and by cursor.
async fn pages(client: &Client<'_>, ids: &[String]) {
    let mut expect = ids.to_vec();
    expect.sort();
    for order in [&[][..], &[("sortBy", "userName")][..]] {
        let mut seen = Vec::new();
        for start in ["1", "3", "5", "7"] {
            let asked = [&[("startIndex", start), ("count", "2")], order].concat();
            let answer = client.get(&format!("/Users{}", query(&asked))).await;
            assert_eq!(answer.json()["totalResults"], json!(5), "{}", answer.body);
            seen.extend(names(&listed(&answer, start), "id"));
        }
        seen.sort();
        assert_eq!(seen, expect, "by number, {order:?}");

        let (mut seen, mut by_name, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let asked = [&[("cursor", cursor.as_str()), ("count", "2")], order].concat();
            let answer = client.get(&format!("/Users{}", query(&asked))).await;
            let found = listed(&answer, "by cursor");
            assert!(found.len() <= 2 && answer.json().get("startIndex").is_none(), "{}", answer.body);
            seen.extend(names(&found, "id"));
            by_name.extend(names(&found, "userName"));
            let Some(next) = answer.json()["nextCursor"].as_str().map(str::to_owned) else { break };
            assert!(seen.len() < 5, "a page after the last: {}", answer.body);
            // A cursor is good for its own query and no other.
            let other = [("cursor", next.as_str()), ("count", "2"), ("sortBy", "meta.created")];
            let refused =
                client.get(&format!("/Users{}", query(&other))).await.assert_scim_error(400, "other");
            assert_eq!(refused.as_deref(), Some("invalidCursor"));
            let other = [&[("cursor", next.as_str()), ("count", "3")], order].concat();
            let refused =
                client.get(&format!("/Users{}", query(&other))).await.assert_scim_error(400, "count");
            assert_eq!(refused.as_deref(), Some("invalidCount"));
            cursor = next;
        }
        assert!(order.is_empty() || by_name.is_sorted(), "{by_name:?}");
        seen.sort();
        assert_eq!(seen, expect, "by cursor, {order:?}");
    }
    let refused = client.get("/Users?cursor=guessed").await.assert_scim_error(400, "guessed");
    assert_eq!(refused.as_deref(), Some("invalidCursor"));
}

/// `attributes` and `excludedAttributes`.
async fn selects(client: &Client<'_>) {
    let without = listed(&client.get("/Groups?excludedAttributes=members").await, "without");
    assert!(without.iter().all(|group| group.get("members").is_none()), "{without:?}");
    let only = listed(&client.get("/Groups?attributes=members").await, "only");
    assert!(only.iter().all(|group| group.get("displayName").is_none() || group["id"].is_string()));
    assert!(only.iter().all(|group| group["members"][0]["value"].is_string()), "{only:?}");
    let path = format!("/Groups/{}", without[0]["id"].as_str().unwrap());
    assert!(client.get(&format!("{path}?excludedAttributes=members")).await.json().get("members").is_none());
    assert!(client.get(&path).await.json()["members"][0]["value"].is_string());
    let both = client.get(&format!("{path}?attributes=a&excludedAttributes=b")).await;
    both.assert_scim_error(400, "both lists at once");
}

/// The base, with every type.
async fn everything(client: &Client<'_>) {
    let all = client.get("").await;
    assert_eq!(all.json()["totalResults"], json!(7), "{}", all.body);
    let found = listed(&all, "everything");
    assert_eq!((names(&found, "userName").len(), found.len()), (5, 7), "the users, then the groups");
    let page = listed(&client.get("?startIndex=5&count=2").await, "across");
    assert_eq!(
        (page[0]["userName"].is_string(), page[1]["displayName"].is_string()),
        (true, true),
        "{page:?}"
    );
    assert!(page[1]["userName"].is_null());
    let groups = client.post("/.search", &json!({ "filter": "meta.resourceType eq \"Group\"" })).await;
    assert!(names(&listed(&groups, "groups"), "userName").is_empty());
    let mia = listed(&client.get(&filter("userName eq \"q-a\"")).await, "one user of all");
    assert_eq!(names(&mia, "userName"), ["q-a"]);
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let answer = client.get(&query(&[("cursor", &cursor), ("count", "3")])).await;
        seen += listed(&answer, "everything by cursor").len();
        assert!(seen <= 7, "{}", answer.body);
        let Some(next) = answer.json()["nextCursor"].as_str().map(str::to_owned) else { break };
        cursor = next;
    }
    assert_eq!(seen, 7);
}

/// Operations that refer to each other, one that fails, and too many of them.
async fn bulk(client: &Client<'_>) {
    let request = json!({
        "schemas": [BULK_URN],
        "Operations": [
            { "method": "POST", "path": "/Groups", "bulkId": "g",
              "data": { "displayName": "q-bulk", "members": [{ "value": "bulkId:u" }] } },
            { "method": "POST", "path": "/Users", "bulkId": "u", "data": user("q-first") },
            { "method": "PATCH", "path": "/Users/bulkId:u", "data": {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{ "op": "Replace", "path": "active", "value": "False" }] } },
            { "method": "DELETE", "path": "/Users/01900000-0000-7000-8000-000000000000" },
            { "method": "POST", "path": "/Users", "bulkId": "again", "data": user("q-first") },
        ],
    });
    let answer = client.post("/Bulk", &request).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let done = answer.json()["Operations"].as_array().unwrap().clone();
    let statuses: Vec<&str> = done.iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["201", "201", "200", "404", "409"], "{}", answer.body);
    assert_eq!(done[4]["response"]["scimType"], json!("uniqueness"));
    let path = |at: usize| {
        let location = done[at]["location"].as_str().unwrap();
        let path = location.split_once(&client.base).unwrap_or_else(|| panic!("{location}")).1;
        path.to_owned()
    };
    let (group, user_path) = (path(0), path(1));
    let id = user_path.rsplit_once('/').unwrap().1;
    assert_eq!(client.get(&group).await.json()["members"][0]["value"], json!(id));
    assert_eq!(client.get(&user_path).await.json()["active"], json!(false));

    let removal = |path: &str| json!({ "method": "DELETE", "path": path });
    let over = json!({
        "schemas": [BULK_URN], "failOnErrors": 1,
        "Operations": [removal(&group), removal(&group), removal(&user_path)],
    });
    let answer = client.post("/Bulk", &over).await;
    let done = answer.json()["Operations"].as_array().unwrap().len();
    assert_eq!((answer.status, done), (200, 2), "the rest is left: {}", answer.body);
    assert_eq!(client.delete(&user_path).await.status, 204);

    let many: Vec<Value> = (0..101).map(|_| removal(&group)).collect();
    let answer = client.post("/Bulk", &json!({ "schemas": [BULK_URN], "Operations": many })).await;
    answer.assert_scim_error(413, "101 operations");
    assert!(answer.body.contains("100"), "{}", answer.body);
}
