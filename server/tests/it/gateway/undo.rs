//! A key in wrong hands at a federation whose users are kept by another service: what it did is listed, and
//! taken back there, from the pages, and what others did later stays.

use std::collections::BTreeMap;

use domain::{admins::Role, federations::Slug, scopes::Scope};
use ops::{
    gateway::{probe, target},
    journal::{blast, undo},
};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{
    forwarding,
    real::{installed, programs, started},
    user,
};
use crate::{
    house::{Client, House, houses},
    process::{Place, free_address, http_client},
};

/// What the service holds, as whoever asks it without Keyward sees it: users by name, groups by name with the
/// names of their members. Its ids and what it says of times are left out.
async fn state(base: &str, credential: &str) -> BTreeMap<String, Value> {
    let read = async |path: &str| -> Vec<Value> {
        let asked = http_client().get(format!("{base}{path}?count=100")).bearer_auth(credential).send().await;
        let page: Value = serde_json::from_slice(&asked.unwrap().bytes().await.unwrap()).unwrap();
        page["Resources"].as_array().cloned().unwrap_or_default()
    };
    let (mut names, mut found) = (BTreeMap::new(), BTreeMap::new());
    for mut user in read("/Users").await {
        let name = user["userName"].as_str().unwrap().to_owned();
        let parts = user.as_object_mut().unwrap();
        names.insert(parts.remove("id").unwrap().to_string(), name.clone());
        parts.remove("meta");
        parts.remove("groups");
        found.insert(name, user);
    }
    for group in read("/Groups").await {
        let members = group["members"].as_array().into_iter().flatten();
        let mut members: Vec<String> =
            members.map(|member| names[&member["value"].to_string()].clone()).collect();
        members.sort();
        let name = group["displayName"].as_str().unwrap().to_owned();
        found.insert(name, json!({ "members": members, "externalId": group["externalId"] }));
    }
    found
}

fn person(name: &str) -> Value {
    let mut person = user(name);
    person["active"] = json!(true);
    person["title"] = json!("Engineer");
    person["emails"] = json!([{ "value": format!("{name}@example.com"), "type": "work" }]);
    person
}

async fn done(client: &Client<'_>, path: &str, operations: Value) {
    let answer = client.patch(path, &operations).await;
    assert!([200, 204].contains(&answer.status), "{path}: {}", answer.body);
}

fn hidden(html: &str, name: &str) -> String {
    let field = html.split("<input").find(|input| input.contains(&format!("name=\"{name}\""))).unwrap();
    field.split("value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

async fn is_taken_back(house: &House, base: &str, credential: &str) {
    let good = forwarding(house, "gate", base, credential).await;
    let slug = Slug::parse("gate").unwrap();
    let kept = probe::probe(&house.admin(), &slug).await.unwrap();
    if kept.quirks != domain::upstreams::Quirks::default() {
        target::apply_quirks(&house.admin(), &slug).await.unwrap();
    }
    let mut ids = BTreeMap::new();
    for name in ["ada", "ben", "cleo", "dan"] {
        let made = good.post("/Users", &person(name)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        ids.insert(name, made.id());
    }
    let members: Vec<Value> = ids.values().map(|id| json!({ "value": id })).collect();
    let team = good.post("/Groups", &json!({ "displayName": "Team", "members": members })).await;
    assert_eq!(team.status, 201, "{}", team.body);
    let before = state(base, credential).await;
    assert_eq!(before["Team"]["members"], json!(["ada", "ben", "cleo", "dan"]));

    let (stolen, key) = house.key("gate", "stolen", Scope::full_directory()).await;
    let bad = Client { house, base: good.base.clone(), key };
    let of = |name: &str| format!("/Users/{}", ids[name]);
    done(&bad, &format!("/Groups/{}", team.id()), json!([{ "op": "remove", "path": "members" }])).await;
    for name in ["ada", "ben"] {
        let emails = json!([{ "value": format!("{name}@evil.example"), "type": "work" }]);
        done(&bad, &of(name), json!([{ "op": "replace", "path": "emails", "value": emails }])).await;
    }
    done(&bad, &of("cleo"), json!([{ "op": "replace", "path": "active", "value": false }])).await;
    assert_eq!(bad.delete(&of("dan")).await.status, 204);
    assert_eq!(bad.post("/Users", &person("eve")).await.status, 201);
    // Others go on working: another value of one that was hit, and somebody new.
    done(&good, &of("ada"), json!([{ "op": "replace", "path": "title", "value": "Lead" }])).await;
    assert_eq!(good.post("/Users", &person("fay")).await.status, 201);

    let (cx, selection) = (house.admin(), domain::journal::Selection::of_key(stolen.clone()));
    let done_by = blast::radius(&cx, &slug, &selection, None).await.unwrap();
    let mut hit: Vec<&str> = done_by.hits.iter().map(|hit| hit.name.as_str()).collect();
    hit.sort_unstable();
    assert_eq!(hit, ["Team", "ada", "ben", "cleo", "dan", "eve"]);
    assert_eq!((done_by.changes, done_by.deactivated, done_by.memberships.1), (6, 1, 4), "{done_by:#?}");

    let browser = house.signed_in(Role::Admin).await;
    let page = browser.get(&format!("/federations/gate/undo?key={stolen}")).await;
    assert_eq!(page.status, 200, "{:.2000}", page.body);
    assert!(page.body.contains("Everything comes back."), "{:.6000}", page.body);
    let (key, plan) = (stolen.to_string(), hidden(&page.body, "plan"));
    let begun = browser.post("/federations/gate/undo", &[("key", &key), ("plan", &plan)]).await;
    assert_eq!(begun.status, 303, "{:.2000}", begun.body);
    let undo_page = begun.header("location").to_owned();
    let page = browser.get(&undo_page).await;
    assert!(page.body.contains("It goes on.") && page.body.contains("0 of 6 units"), "{:.6000}", page.body);
    assert_eq!(undo::round(&house.keyward, "node").await.unwrap(), Some(1));
    let page = browser.get(&undo_page).await;
    assert!(page.body.contains("Done.") && page.body.contains("6 of 6 units"), "{:.6000}", page.body);
    assert!(page.body.contains("created again"), "each resource is told: {:.6000}", page.body);

    let mut expected = before;
    expected.get_mut("ada").unwrap()["title"] = json!("Lead");
    let after = state(base, credential).await;
    let fay = after.get("fay").expect("who came later stays").clone();
    expected.insert("fay".to_owned(), fay);
    assert_eq!(after, expected);
    // Under the ids that the provider knows.
    let dan = good.get(&of("dan")).await;
    assert_eq!((dan.status, &dan.json()["userName"]), (200, &json!("dan")), "{}", dan.body);
    let view = target::view(&house.admin(), &slug).await.unwrap().upstream.unwrap();
    assert_eq!(view.open_calls, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stolen_key_did_at_another_keyward_is_taken_back_there() {
    let upstream = Place::on(store::testing::sqlite());
    let key = upstream.with_key("target").await;
    let running = upstream.start("info").await;
    let base = running.url("/scim/target/v2");
    for house in houses().await {
        is_taken_back(&house, &base, &key).await;
        for kind in ["Users", "Groups"] {
            let url = format!("{base}/{kind}");
            let page = http_client().get(format!("{url}?count=100")).bearer_auth(&key).send().await.unwrap();
            let page: Value = serde_json::from_slice(&page.bytes().await.unwrap()).unwrap();
            for resource in page["Resources"].as_array().unwrap() {
                let one = format!("{url}/{}", resource["id"].as_str().unwrap());
                assert_eq!(http_client().delete(one).bearer_auth(&key).send().await.unwrap().status(), 204);
            }
        }
        house.close().await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stolen_key_did_at_scim2_server_is_taken_back_there() {
    let Some(program) = installed(programs().join("scim2-server")) else { return };
    for house in houses().await {
        let address = free_address();
        let mut command = Command::new(&program);
        command.args(["--hostname", "127.0.0.1", "--port", &address.port().to_string()]);
        let _child = started(command, address).await;
        is_taken_back(&house, &format!("http://{address}/v2"), "a-token-of-the-tests").await;
        house.close().await;
    }
}
