//! What a probe finds at a service that really has the quirk, and what is made up for after one click.

use domain::{admins::Role, federations::Slug};
use ops::gateway::{probe, target};
use scim::ResourceType;
use serde_json::{Value, json};

use super::{
    forwarding,
    quirky::{Habit, Quirky},
    user,
};
use crate::house::{Client, House, houses};

async fn probed(house: &House) -> probe::Kept {
    probe::probe(&house.admin(), &Slug::parse("gate").unwrap()).await.unwrap()
}

/// Probes, and applies what was found as a person does.
async fn made_up_for(house: &House, words: &[&str]) {
    let kept = probed(house).await;
    assert_eq!(kept.quirks.words(), words, "{:#?}", kept.findings);
    assert_eq!(kept.left_behind, Vec::<String>::new());
    let browser = house.signed_in(Role::Admin).await;
    let page = browser.get("/federations/gate").await;
    for quirk in domain::upstreams::Quirks::ALL.iter().filter(|quirk| words.contains(&quirk.word)) {
        assert!(page.body.contains(quirk.label), "{}", page.body);
    }
    let applied = browser.post("/federations/gate/target/quirks", &[]).await;
    assert_eq!(applied.status, 303, "{}", applied.body);
    let slug = Slug::parse("gate").unwrap();
    let upstream = target::view(&house.admin(), &slug).await.unwrap().upstream.unwrap();
    assert_eq!(upstream.upstream.quirks.words(), words);
}

/// A group with three members, as a provider makes it: their ids, and its path.
async fn team(client: &Client<'_>) -> (Vec<String>, String) {
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        let made = client.post("/Users", &user(name)).await;
        assert_eq!(made.status, 201, "{}", made.body);
        ids.push(made.id());
    }
    let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
    let made = client.post("/Groups", &json!({ "displayName": "Team", "members": members })).await;
    assert_eq!(made.status, 201, "{}", made.body);
    (ids, format!("/Groups/{}", made.id()))
}

async fn members(client: &Client<'_>, path: &str) -> Vec<String> {
    let group = client.get(path).await.json();
    let members = group["members"].as_array().into_iter().flatten();
    members.map(|member| member["value"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_reaches_a_service_that_knows_only_patch() {
    for house in houses().await {
        let quirky = Quirky::start(&[Habit::NoPut]).await;
        let client = forwarding(&house, "gate", &quirky.base(), "a-credential").await;
        let mut mia = user("mia");
        mia["title"] = json!("Lead");
        mia["emails"] = json!([{ "value": "mia@example.com", "type": "work" }]);
        let made = client.post("/Users", &mia).await;
        let path = format!("/Users/{}", made.id());
        mia["title"].take();
        mia["displayName"] = json!("Mia");
        assert_eq!(client.put(&path, &mia).await.assert_scim_error(501, "not known yet"), None);
        made_up_for(&house, &["no-put"]).await;
        quirky.asked();

        let replaced = client.put(&path, &mia).await;
        assert_eq!(replaced.status, 200, "{}", replaced.body);
        let shown = replaced.json();
        assert_eq!((&shown["displayName"], shown.get("title")), (&json!("Mia"), None), "{shown}");
        assert_eq!(shown["emails"][0]["value"], "mia@example.com");
        let asked = quirky.asked();
        let methods: Vec<&str> = asked.iter().map(|(line, _)| line.split(' ').next().unwrap()).collect();
        assert_eq!(methods, ["GET", "PATCH"], "{asked:?}");
        assert_eq!(
            asked[1].1["Operations"],
            json!([
                { "op": "add", "path": "displayName", "value": "Mia" },
                { "op": "remove", "path": "title" },
            ])
        );
        // What is so already is not asked for, and another version is still refused.
        assert_eq!(client.put(&path, &mia).await.status, 200);
        assert_eq!(quirky.asked().len(), 1, "only a look");
        let stale = client.send("PUT", &path, &[("if-match", "W/\"7\"")], mia.to_string()).await;
        stale.assert_scim_error(412, "stale");

        let (ids, group) = team(&client).await;
        let fewer = json!({ "displayName": "Crew", "members": [{ "value": ids[2] }, { "value": ids[0] }] });
        let replaced = client.put(&group, &fewer).await;
        assert_eq!(
            (replaced.status, &replaced.json()["displayName"]),
            (200, &json!("Crew")),
            "{}",
            replaced.body
        );
        let mut left = members(&client, &group).await;
        left.sort();
        let mut expect = vec![ids[0].clone(), ids[2].clone()];
        expect.sort();
        assert_eq!(left, expect);

        // An account that was there is adopted in the same way.
        quirky.put(ResourceType::User, json!({ "userName": "tom", "externalId": "x-tom", "title": "Old" }));
        let adopted = client.post("/Users", &user("tom")).await;
        assert_eq!((adopted.status, adopted.json().get("title")), (201, None), "{}", adopted.body);
        let view = target::view(&house.admin(), &Slug::parse("gate").unwrap()).await.unwrap();
        assert_eq!(view.upstream.unwrap().open_calls, 0);
        house.close().await;
    }
}

/// Removes members in every form in which providers do, one after the other.
async fn removes_in_every_form(client: &Client<'_>) {
    let (ids, path) = team(client).await;
    let by_filter = format!("members[value eq \"{}\"]", ids[0]);
    for (form, left) in [
        (json!([{ "op": "remove", "path": by_filter }]), 2),
        (json!([{ "op": "Remove", "path": "members", "value": [{ "value": ids[1] }] }]), 1),
        (json!([{ "op": "remove", "path": format!("members[not (value eq \"{}\")]", ids[0]) }]), 0),
    ] {
        let patched = client.patch(&path, &form).await;
        assert_eq!(patched.status, 200, "{form}: {}", patched.body);
        assert_eq!(members(client, &path).await.len(), left, "{form}");
    }
    let back =
        json!([{ "op": "add", "path": "members", "value": [{ "value": ids[0] }, { "value": ids[1] }] }]);
    assert_eq!(client.patch(&path, &back).await.status, 200);
    let none = json!([{ "op": "remove", "path": "members[value eq \"nobody\"]" }]);
    client.patch(&path, &none).await;
    assert_eq!(members(client, &path).await.len(), 2, "nobody goes because nobody was found");
    assert_eq!(client.patch(&path, &json!([{ "op": "remove", "path": "members" }])).await.status, 200);
    assert_eq!(members(client, &path).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_removed_by_values_where_no_filter_is_understood() {
    for house in houses().await {
        let quirky = Quirky::start(&[Habit::ValuesOnly]).await;
        let client = forwarding(&house, "gate", &quirky.base(), "a-credential").await;
        let (ids, path) = team(&client).await;
        let form = json!([{ "op": "remove", "path": "members", "value": [{ "value": ids[0] }] }]);
        let refused = client.patch(&path, &form).await.assert_scim_error(400, "not known yet");
        assert_eq!(refused.as_deref(), Some("invalidPath"));
        assert_eq!(client.delete(&path).await.status, 204);
        for id in ids {
            assert_eq!(client.delete(&format!("/Users/{id}")).await.status, 204);
        }
        made_up_for(&house, &["member-values"]).await;
        removes_in_every_form(&client).await;
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_removed_by_filter_where_no_value_is_understood() {
    for house in houses().await {
        let quirky = Quirky::start(&[Habit::FilterOnly]).await;
        let client = forwarding(&house, "gate", &quirky.base(), "a-credential").await;
        // The words of the standard are what is sent anyway.
        assert_eq!(probed(&house).await.quirks.words(), Vec::<&str>::new());
        removes_in_every_form(&client).await;
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_with_several_habits_is_made_up_for_at_once() {
    for house in houses().await {
        let quirky = Quirky::start(&[Habit::NoPut, Habit::ValuesOnly, Habit::Hundred]).await;
        let client = forwarding(&house, "gate", &quirky.base(), "a-credential").await;
        house.planned("gate", 1_000).await;
        made_up_for(&house, &["member-chunks", "no-put", "member-values"]).await;
        let mut ids = Vec::new();
        for number in 0..150 {
            ids.push(client.post("/Users", &user(&format!("u{number}"))).await.id());
        }
        let group = |ids: &[String]| {
            let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
            json!({ "displayName": "All", "members": members })
        };
        let made = client.post("/Groups", &group(&ids[..10])).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let path = format!("/Groups/{}", made.id());
        for wanted in [&ids[..], &ids[140..], &ids[..1]] {
            let replaced = client.put(&path, &group(wanted)).await;
            assert_eq!(replaced.status, 200, "{}", replaced.body);
            let (mut left, mut wanted) = (members(&client, &path).await, wanted.to_vec());
            left.sort();
            wanted.sort();
            assert_eq!(left, wanted);
        }
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_cannot_be_changed_at_all_is_not_made_up_for() {
    for house in houses().await {
        let quirky = Quirky::start(&[Habit::NoPut, Habit::NoPatch]).await;
        forwarding(&house, "gate", &quirky.base(), "a-credential").await;
        let kept = probed(&house).await;
        assert_eq!(kept.quirks.words(), Vec::<&str>::new());
        assert!(kept.counts[3] > 0, "{:#?}", kept.findings);
        let browser = house.signed_in(Role::Admin).await;
        let version = ops::federations::open(&house.admin(), &Slug::parse("gate").unwrap()).await.unwrap();
        let version = version.federation.version.to_string();
        let base = quirky.base();
        let fields = [
            ("version", version.as_str()),
            ("base_url", base.as_str()),
            ("sign_in", "bearer"),
            ("timeout_ms", "1000"),
            ("concurrency", "4"),
            ("quirk", "no-put"),
            ("quirk", "no-patch"),
        ];
        let page = browser.post("/federations/gate/target", &fields).await;
        assert_eq!(page.status, 422);
        assert!(page.body.contains("neither PUT nor PATCH"), "{}", page.body);
        house.close().await;
    }
}
