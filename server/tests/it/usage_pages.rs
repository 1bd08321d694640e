//! The pages of usage: from a request to what it changed, and on to everything that its key did around it.

use domain::{HOUR_MS, admins::Role, federations::Slug};
use ops::testing::START_MS;
use serde_json::json;

use crate::house::{Answer, Client, houses};

fn id_of(answer: &Answer) -> String {
    answer.header("x-request-id").to_owned()
}

/// The addresses that a page links to.
fn links(page: &Answer) -> Vec<String> {
    let links = page.body.split("href=\"").skip(1);
    links.map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&")).collect()
}

/// The one link of a page to a blast radius beside that of the whole federation.
fn blast(page: &Answer) -> String {
    let found: Vec<String> = links(page).into_iter().filter(|link| link.contains("/blast?")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[tokio::test]
async fn a_request_leads_to_what_it_changed_and_to_what_its_key_did_in_that_hour() {
    for house in houses().await {
        let client = house.client("okta").await;
        let ada = client.post("/Users", &json!({ "userName": "ada", "title": "first title" })).await;
        house.clock.advance(HOUR_MS + 60_000);
        let patch = json!([{ "op": "replace", "path": "title", "value": "second title" }]);
        let patched = client.patch(&format!("/Users/{}", ada.id()), &patch).await;
        assert_eq!(patched.status, 200);
        let admin = house.signed_in(Role::Admin).await;
        let bob = client.post("/Users", &json!({ "userName": "bob" })).await;
        let read = client.get("/Users").await;

        let page = admin.get(&format!("/usage/requests/{}", id_of(&patched))).await;
        assert_eq!(page.status, 200);
        let (_, journal) = page.body.split_once("In the journal").expect("the page has the journal");
        let (journal, _) = journal.split_once("In the audit log").expect("the audit log comes after it");
        for words in ["ada", "first title", "second title", "undo this"] {
            assert!(journal.contains(words), "{words}: {journal}");
        }
        assert!(!journal.contains("bob"), "a change of another request: {journal}");
        let user = format!("/federations/okta/users/{}", ada.id());
        assert!(links(&page).contains(&user), "{:?}", links(&page));
        assert_eq!(admin.get(&user).await.status, 200);

        let address = blast(&page);
        let from = START_MS + HOUR_MS;
        let until = from + HOUR_MS - 1;
        assert!(address.ends_with(&format!("&from={from}&until={until}")), "{address}");
        let around = admin.get(&address).await;
        assert_eq!(around.status, 200);
        assert!(
            around.body.contains("2 changes of 2 resources"),
            "the hour has two of three: {}",
            around.body
        );

        // What changed nothing says so, and leads to its key all the same.
        let page = admin.get(&format!("/usage/requests/{}", id_of(&read))).await;
        assert!(page.body.contains("It changed no user and no group"), "{}", page.body);
        assert_eq!(blast(&page), address);
        drop(bob);
        house.close().await;
    }
}

#[tokio::test]
async fn a_bulk_leads_to_its_operations_and_each_of_them_to_what_it_changed_for_who_may_see_it() {
    for house in houses().await {
        let client = house.client("okta").await;
        let operation = |name: &str| json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": { "userName": name } });
        let bulk = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": [operation("one"), operation("two")],
        });
        let done = client.post("/Bulk", &bulk).await;
        assert_eq!(done.status, 200);
        let operator = |slug: &str| Role::Operator(vec![Slug::parse(slug).unwrap()]);
        house.federation("other").await;
        for role in [Role::Admin, Role::Manager, operator("okta")] {
            let may_undo = role != Role::Manager;
            let browser = house.signed_in(role).await;
            let page = browser.get(&format!("/usage/requests/{}", id_of(&done))).await;
            assert_eq!(page.status, 200);
            let around = links(&page).into_iter().find(|link| link.starts_with("/usage?key=")).unwrap();
            let list = browser.get(&around).await;
            let requests = links(&list).into_iter().filter(|link| link.starts_with("/usage/requests/"));
            let mut named = Vec::new();
            for request in requests.filter(|link| !link.ends_with(&id_of(&done))) {
                let page = browser.get(&request).await;
                let (_, journal) = page.body.split_once("In the journal").unwrap();
                let (journal, _) = journal.split_once("In the audit log").unwrap();
                named
                    .extend(["one", "two"].into_iter().filter(|name| journal.contains(&format!(">{name}<"))));
                assert_eq!(journal.contains("undo this"), may_undo, "{journal}");
                let stranger = house.signed_in(operator("other")).await.get(&request).await;
                assert_eq!(stranger.status, 404);
            }
            named.sort_unstable();
            assert_eq!(named, ["one", "two"], "each in the journal of its own operation");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_search_of_one_federation_leads_to_its_blast_radius_with_what_it_was_narrowed_by() {
    for house in houses().await {
        let client: Client<'_> = house.client("okta").await;
        let ada = client.user("ada").await;
        let admin = house.signed_in(Role::Admin).await;
        let key = domain::keys::parse(&client.key).ok().unwrap().id;
        let everything = admin.get("/usage").await;
        assert!(!everything.body.contains("/blast"), "of which federation?");
        for (query, expect) in [
            ("federation=okta".to_owned(), "/federations/okta/blast".to_owned()),
            (format!("federation=okta&resource={ada}"), format!("/federations/okta/blast?resource={ada}")),
            ("federation=okta&resource=abc".to_owned(), "/federations/okta/blast".to_owned()),
            (
                "federation=okta&source=192.0.2.0/24&from=2026-01-01&to=2026-01-01&attribute=title"
                    .to_owned(),
                format!(
                    "/federations/okta/blast?source=192.0.2.0%2F24&from={START_MS}&until={}&attribute=title",
                    START_MS + domain::DAY_MS - 1
                ),
            ),
        ] {
            let page = admin.get(&format!("/usage?{query}")).await;
            assert_eq!(page.status, 200, "{query}");
            assert!(links(&page).contains(&expect), "{query}: {:?}", links(&page));
            assert_eq!(admin.get(&expect).await.status, 200, "{expect}");
        }
        for path in ["/usage", "/usage/live"] {
            let page = admin.get(&format!("{path}?key={key}")).await;
            let expect = format!("/federations/okta/blast?key={key}");
            assert!(links(&page).contains(&expect), "{path}: {:?}", links(&page));
        }
        house.close().await;
    }
}
