//! Brakes: the limit passes and one more is held, on both databases, whoever asks at the same time.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use domain::{
    DAY_MS, HOUR_MS,
    admins::{Admin, Role},
    brakes::{HeldOperation, HeldState},
    cases::CaseKind,
    findings::Rule,
};
use ops::{
    Cx, Error, ScimClient,
    brakes::{self, NewMark},
    cases,
    findings::{self, Wanted},
    groups::{self, Shown},
    scim_client::status_of,
    testing, users,
};
use scim::{Op, ResourceType};
use serde_json::{Value, json};
use store::testing::databases;

use crate::support::{House, Pusher, asked, houses, resource};

/// PATCH operations from their JSON.
pub fn ops_of(value: Value) -> Vec<Op> {
    scim::patch::from_value(json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": value,
    }))
    .unwrap()
}

pub async fn user(cx: &Cx<ScimClient>, name: &str) -> Result<String, Error> {
    let new = resource(ResourceType::User, json!({ "userName": name }));
    Ok(users::create(cx, &asked("POST", "Users"), new).await?.id.to_string())
}

/// So many users, by their ids.
pub async fn people(pusher: &Pusher<'_>, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(user(&pusher.cx().await, &format!("u{number}")).await.unwrap());
    }
    ids
}

pub async fn change(cx: &Cx<ScimClient>, id: &str, operations: Value) -> Result<(), Error> {
    users::patch(cx, &asked("PATCH", "Users"), id, None, ops_of(operations)).await.map(drop)
}

pub async fn deactivate(cx: &Cx<ScimClient>, id: &str) -> Result<(), Error> {
    change(cx, id, json!([{ "op": "replace", "path": "active", "value": false }])).await
}

pub async fn delete(cx: &Cx<ScimClient>, id: &str) -> Result<(), Error> {
    users::delete(cx, &asked("DELETE", "Users"), id, None).await
}

async fn rename(cx: &Cx<ScimClient>, id: &str, name: &str) -> Result<(), Error> {
    change(cx, id, json!([{ "op": "replace", "path": "userName", "value": name }])).await
}

pub async fn group(cx: &Cx<ScimClient>, name: &str, members: &[String]) -> Result<String, Error> {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    let new = resource(ResourceType::Group, json!({ "displayName": name, "members": members }));
    Ok(groups::create(cx, &asked("POST", "Groups"), new, Shown::NoMembers).await?.id.to_string())
}

pub async fn change_group(cx: &Cx<ScimClient>, id: &str, operations: Value) -> Result<(), Error> {
    let asked = asked("PATCH", "Groups");
    groups::patch(cx, &asked, id, None, ops_of(operations), Shown::NoMembers).await.map(drop)
}

async fn put_group(cx: &Cx<ScimClient>, id: &str, name: &str, members: &[String]) -> Result<(), Error> {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    let new = resource(ResourceType::Group, json!({ "displayName": name, "members": members }));
    groups::replace(cx, &asked("PUT", "Groups"), id, None, new, Shown::NoMembers).await.map(drop)
}

async fn delete_group(cx: &Cx<ScimClient>, id: &str) -> Result<(), Error> {
    groups::delete(cx, &asked("DELETE", "Groups"), id, None).await
}

/// Says that a change is held, as the provider is told it: 429, 15 minutes, the case.
pub fn check_held(made: Result<(), Error>) -> String {
    let error = made.unwrap_err();
    assert_eq!(status_of(&error), 429, "{error}");
    let Error::Throttled { message, retry_after_s: 900 } = error else { panic!("{error:?}") };
    let at = message.find("case_").unwrap_or_else(|| panic!("no case in {message}"));
    message[at..at + 27].to_owned()
}

/// An admin who issued nothing.
pub fn second(house: &House) -> Cx<Admin> {
    let person =
        Admin { subject: "second".to_owned(), name: "Second".to_owned(), ..testing::person(Role::Admin) };
    testing::cx_as(&house.keyward, person)
}

pub async fn held(house: &House, case: &str) -> Vec<HeldOperation> {
    let case = domain::CaseId::parse(case).unwrap();
    brakes::of_case(&house.admin(), &case, 0).await.unwrap().operations
}

async fn active(pusher: &Pusher<'_>, id: &str) -> bool {
    let found = users::get(&pusher.cx().await, &asked("GET", "Users"), id).await;
    found.is_ok_and(|user| user.resource.active())
}

#[tokio::test]
async fn ten_users_go_in_an_hour_and_the_eleventh_is_held_while_the_rest_flows() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 30).await;
        for id in &ids[..5] {
            deactivate(&pusher.cx().await, id).await.unwrap();
        }
        for id in &ids[5..10] {
            delete(&pusher.cx().await, id).await.unwrap();
        }
        let before = house.log().await.len();
        let case = check_held(deactivate(&pusher.cx().await, &ids[10]).await);
        assert!(active(&pusher, &ids[10]).await, "nothing of it is done");
        assert_eq!(house.log().await[before..], ["operation.held done u10"]);
        assert_eq!(check_held(delete(&pusher.cx().await, &ids[11]).await), case, "one case for the brake");
        // The same again counts up, by PUT as by PATCH, and makes nothing new.
        for _ in 0..3 {
            assert_eq!(check_held(deactivate(&pusher.cx().await, &ids[10]).await), case);
        }
        let put = resource(ResourceType::User, json!({ "userName": "u10", "active": false }));
        let put = users::replace(&pusher.cx().await, &asked("PUT", "Users"), &ids[10], None, put).await;
        assert_eq!(check_held(put.map(drop)), case);
        let list = held(&house, &case).await;
        let told: Vec<_> = list.iter().map(|held| (held.name.as_str(), held.count, held.state)).collect();
        assert_eq!(told, [("u10", 5, HeldState::Held), ("u11", 1, HeldState::Held)]);
        assert_eq!(list[0].image.before["userName"], "u10");
        assert_eq!(list[0].image.after, json!({ "active": false }));
        assert_eq!((list[0].image.counted, list[0].image.limit, list[0].image.population), (10, 10, 30));
        assert_eq!(house.log().await.len() - before, 2);
        let view = cases::open(&house.admin(), &list[0].case_id).await.unwrap();
        assert_eq!((view.case.kind, view.waits_for), (CaseKind::Brake, Some(domain::cases::Moment::T3)));
        let wanted = Wanted { rule: Some(Rule::MassRemoval), ..Wanted::default() };
        assert_eq!(findings::list(&house.admin(), &wanted).await.unwrap().len(), 1);
        // Everything else goes on.
        user(&pusher.cx().await, "new").await.unwrap();
        let title = json!([{ "op": "replace", "path": "title", "value": "x" }]);
        change(&pusher.cx().await, &ids[10], title).await.unwrap();
        house.close().await;
    }
}

#[tokio::test]
async fn the_hour_and_the_day_have_their_own_windows() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 30).await;
        for id in &ids[..10] {
            deactivate(&pusher.cx().await, id).await.unwrap();
        }
        house.clock.advance(HOUR_MS + 60_000);
        let case = check_held(deactivate(&pusher.cx().await, &ids[10]).await);
        assert!(held(&house, &case).await[0].image.why.contains("24 hours"));
        house.clock.advance(DAY_MS);
        deactivate(&pusher.cx().await, &ids[11]).await.unwrap();
        house.close().await;
    }
}

#[tokio::test]
async fn a_fifth_of_the_active_users_goes_and_no_more() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        // Their mail domain is learned with the first of them: that is no time to count the others.
        user(&pusher.cx().await, "first@home.example").await.unwrap();
        let ids = people(&pusher, 60).await;
        for id in &ids[..12] {
            deactivate(&pusher.cx().await, id).await.unwrap();
        }
        check_held(deactivate(&pusher.cx().await, &ids[12]).await);
        house.close().await;
    }
}

#[tokio::test]
async fn half_of_a_group_leaves_and_more_is_held_by_patch_put_and_delete_alike() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 12).await;
        let cx = || pusher.cx();
        let ten = group(&cx().await, "ten", &ids[..10]).await.unwrap();
        let values = |ids: &[String]| ids.iter().map(|id| json!({ "value": id })).collect::<Vec<_>>();
        let removal = |ids: &[String]| json!([{ "op": "remove", "path": "members", "value": values(ids) }]);
        let case = check_held(change_group(&cx().await, &ten, removal(&ids[..6])).await);
        assert_eq!(check_held(put_group(&cx().await, &ten, "ten", &ids[6..10]).await), case);
        assert_eq!(check_held(put_group(&cx().await, &ten, "ten", &[]).await), case);
        let all = json!([{ "op": "remove", "path": "members" }]);
        assert_eq!(check_held(change_group(&cx().await, &ten, all).await), case);
        let swap = json!([{ "op": "replace", "path": "members", "value": values(&ids[10..]) }]);
        assert_eq!(check_held(change_group(&cx().await, &ten, swap).await), case);
        assert_eq!(check_held(delete_group(&cx().await, &ten).await), case);
        let list = held(&house, &case).await;
        // The PATCH and the PUT that take the same six are one operation, as are the two that empty it.
        assert_eq!(list.iter().map(|held| held.count).collect::<Vec<_>>(), [2, 2, 1, 1]);
        assert_eq!((list[0].image.leaving_count, list[0].image.members), (6, Some(10)));
        assert_eq!(list[3].verb, domain::scopes::Verb::Delete);
        change_group(&cx().await, &ten, removal(&ids[..5])).await.unwrap();
        // Five are left: a small group may go.
        delete_group(&cx().await, &ten).await.unwrap();
        let nine = group(&cx().await, "nine", &ids[..9]).await.unwrap();
        put_group(&cx().await, &nine, "nine", &[]).await.unwrap();
        house.close().await;
    }
}

#[tokio::test]
async fn five_users_are_rewritten_in_an_hour_and_the_sixth_is_held() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 30).await;
        for (number, id) in ids[..5].iter().enumerate() {
            rename(&pusher.cx().await, id, &format!("other{number}")).await.unwrap();
        }
        rename(&pusher.cx().await, &ids[0], "again").await.unwrap();
        let case = check_held(rename(&pusher.cx().await, &ids[5], "sixth").await);
        let external = json!([{ "op": "add", "path": "externalId", "value": "7" }]);
        change(&pusher.cx().await, &ids[6], external).await.unwrap();
        let other = json!([{ "op": "replace", "path": "externalId", "value": "8" }]);
        assert_eq!(check_held(change(&pusher.cx().await, &ids[6], other).await), case);
        house.clock.advance(HOUR_MS);
        rename(&pusher.cx().await, &ids[7], "later").await.unwrap();
        // What waits for a decision goes on waiting.
        assert_eq!(check_held(rename(&pusher.cx().await, &ids[5], "sixth").await), case);
        house.close().await;
    }
}

#[tokio::test]
async fn an_address_that_is_taken_away_and_set_anew_is_a_rewrite() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 30).await;
        let address = |value: &str| json!([{ "op": "add", "path": "emails", "value": [{ "value": value }] }]);
        for (number, id) in ids[..7].iter().enumerate() {
            change(&pusher.cx().await, id, address(&format!("u{number}@a.example"))).await.unwrap();
        }
        let away = json!([{ "op": "remove", "path": "emails" }]);
        for (number, id) in ids[..5].iter().enumerate() {
            change(&pusher.cx().await, id, away.clone()).await.unwrap();
            change(&pusher.cx().await, id, address(&format!("m{number}@a.example"))).await.unwrap();
        }
        check_held(change(&pusher.cx().await, &ids[5], away).await);
        house.close().await;
    }
}

async fn mark(house: &House, pusher: &Pusher<'_>, resource: &str, kind: &str) {
    let new = NewMark { resource: resource.to_owned(), kind: kind.to_owned(), reason: "root".to_owned() };
    brakes::mark(&house.admin(), &pusher.federation.slug, new).await.unwrap();
}

#[tokio::test]
async fn nobody_touches_what_is_protected_in_any_way() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 4).await;
        let cx = || pusher.cx();
        let of = |ids: &[&String]| ids.iter().map(|id| (*id).clone()).collect::<Vec<_>>();
        let (root, other) = (&ids[0], &ids[1]);
        let admins = group(&cx().await, "admins", &of(&[&ids[2]])).await.unwrap();
        let nested = group(&cx().await, "nested", &[]).await.unwrap();
        let value = |id: &str| json!([{ "value": id }]);
        let add = |id: &str| json!([{ "op": "add", "path": "members", "value": value(id) }]);
        change_group(&cx().await, &admins, add(&nested)).await.unwrap();
        let holds_root = group(&cx().await, "holds-root", &of(&[root])).await.unwrap();
        mark(&house, &pusher, "u0", "protected").await;
        mark(&house, &pusher, &admins, "protected").await;
        let before = (house.log().await, state(&pusher, &[root, &ids[2]], &[&admins, &holds_root]).await);

        let put = resource(ResourceType::User, json!({ "userName": "taken-over" }));
        let title = json!([{ "op": "replace", "path": "title", "value": "x" }]);
        let remove = |id: &str| json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]);
        let replace = |id: &str| json!([{ "op": "replace", "path": "members", "value": value(id) }]);
        let rename = json!([{ "op": "replace", "path": "displayName", "value": "x" }]);
        let made = vec![
            // The user itself.
            deactivate(&cx().await, root).await,
            change(&cx().await, root, title).await,
            users::replace(&cx().await, &asked("PUT", "Users"), root, None, put).await.map(drop),
            delete(&cx().await, root).await,
            // Its memberships: joining, leaving, with a group that is made, with one that is deleted.
            change_group(&cx().await, &nested, add(root)).await,
            change_group(&cx().await, &holds_root, remove(root)).await,
            change_group(&cx().await, &holds_root, replace(other)).await,
            put_group(&cx().await, &holds_root, "holds-root", &[]).await,
            delete_group(&cx().await, &holds_root).await,
            group(&cx().await, "made-for-it", &of(&[root])).await.map(drop),
            // The group: name, members by each verb, itself.
            change_group(&cx().await, &admins, rename).await,
            change_group(&cx().await, &admins, add(other)).await,
            change_group(&cx().await, &admins, remove(&ids[2])).await,
            change_group(&cx().await, &admins, replace(other)).await,
            put_group(&cx().await, &admins, "admins", &of(&[other])).await,
            put_group(&cx().await, &admins, "renamed", &of(&[&ids[2]])).await,
            delete_group(&cx().await, &admins).await,
            // Cascades: whoever is in it and would be deleted, user or group.
            delete(&cx().await, &ids[2]).await,
            delete_group(&cx().await, &nested).await,
        ];
        for (number, made) in made.iter().enumerate() {
            assert!(matches!(made, Err(Error::Protected(_))), "{number}: {made:?}");
        }
        let after = state(&pusher, &[root, &ids[2]], &[&admins, &holds_root]).await;
        assert_eq!(after, before.1);
        let log = house.log().await.split_off(before.0.len());
        let refusals = log.iter().filter(|line| line.contains(" refused ")).count();
        assert_eq!(refusals, made.len(), "each refusal is on record: {log:?}");
        let wanted = Wanted { rule: Some(Rule::ProtectedChange), ..Wanted::default() };
        let told = findings::list(&house.admin(), &wanted).await.unwrap();
        assert_eq!(
            (told.len(), told[0].finding.count),
            (1, i64::try_from(made.len()).unwrap()),
            "and is a finding"
        );
        // What is not protected goes on, and what was taken from protection.
        deactivate(&cx().await, other).await.unwrap();
        brakes::unmark(&house.admin(), &pusher.federation.slug, root, "left").await.unwrap();
        deactivate(&cx().await, root).await.unwrap();
        house.close().await;
    }
}

async fn state(pusher: &Pusher<'_>, users: &[&String], groups: &[&String]) -> String {
    let mut text = String::new();
    for id in users {
        let user = users::get(&pusher.cx().await, &asked("GET", "Users"), id).await.unwrap();
        write!(text, "{} {} {:?};", user.resource.as_value(), user.version, user.groups).unwrap();
    }
    for id in groups {
        let group = groups::get(&pusher.cx().await, &asked("GET", "Groups"), id).await.unwrap();
        write!(text, "{} {} {:?};", group.resource.as_value(), group.version, group.members).unwrap();
    }
    text
}

#[tokio::test]
async fn a_key_that_was_let_in_before_a_mark_is_refused_after_it() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 1).await;
        let early = pusher.cx().await;
        mark(&house, &pusher, "u0", "protected").await;
        let made = deactivate(&early, &ids[0]).await;
        assert!(matches!(made, Err(Error::Protected(_))), "{made:?}");
        house.close().await;
    }
}

/// Fifteen days on which something is asked for at 0:00 UTC.
#[tokio::test]
async fn who_leaves_a_group_within_a_privileged_one_counts_as_a_removal_like_who_leaves_that_one() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 30).await;
        let inner = group(&pusher.cx().await, "inner", &ids[..24]).await.unwrap();
        let plain = group(&pusher.cx().await, "plain", &ids[..24]).await.unwrap();
        let admins = group(&pusher.cx().await, "admins", std::slice::from_ref(&inner)).await.unwrap();
        mark(&house, &pusher, &admins, "privileged").await;
        let remove = |id: &str| json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]);
        for id in &ids[..10] {
            change_group(&pusher.cx().await, &inner, remove(id)).await.unwrap();
        }
        let case = check_held(change_group(&pusher.cx().await, &inner, remove(&ids[10])).await);
        assert_eq!(held(&house, &case).await[0].brake, domain::brakes::Brake::R1);
        // Who leaves another group loses no privilege.
        for id in &ids[..11] {
            change_group(&pusher.cx().await, &plain, remove(id)).await.unwrap();
        }
        house.close().await;
    }
}

async fn fortnight(house: &House, pusher: &Pusher<'_>, id: &str) {
    for _ in 0..15 {
        users::get(&pusher.cx().await, &asked("GET", "Users"), id).await.unwrap();
        house.clock.advance(DAY_MS);
    }
}

#[tokio::test]
async fn additions_to_a_privileged_group_are_told_and_held_at_an_unusual_hour() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 4).await;
        let admins = group(&pusher.cx().await, "admins", &[]).await.unwrap();
        let nested = group(&pusher.cx().await, "nested", &[]).await.unwrap();
        let add = |id: &str| json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]);
        change_group(&pusher.cx().await, &admins, add(&nested)).await.unwrap();
        mark(&house, &pusher, "admins", "privileged").await;
        let told = async || {
            let wanted = Wanted { rule: Some(Rule::PrivilegedAdd), ..Wanted::default() };
            findings::list(&house.admin(), &wanted).await.unwrap().len()
        };
        change_group(&pusher.cx().await, &admins, add(&ids[0])).await.unwrap();
        assert_eq!(told().await, 1, "while it learns it is told, and not held");
        fortnight(&house, &pusher, &ids[0]).await;
        change_group(&pusher.cx().await, &admins, add(&ids[1])).await.unwrap();
        assert_eq!(told().await, 2);
        house.clock.advance(5 * HOUR_MS);
        let case = check_held(change_group(&pusher.cx().await, &admins, add(&ids[2])).await);
        assert_eq!(check_held(change_group(&pusher.cx().await, &nested, add(&ids[3])).await), case);
        assert_eq!(held(&house, &case).await.len(), 2, "a group in it gives the same");
        assert_eq!(told().await, 3);
        // Leaving it is none of its business, another group neither.
        let out = json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", ids[0]) }]);
        change_group(&pusher.cx().await, &admins, out).await.unwrap();
        let plain = group(&pusher.cx().await, "plain", &[]).await.unwrap();
        change_group(&pusher.cx().await, &plain, add(&ids[2])).await.unwrap();
        house.close().await;
    }
}

#[tokio::test]
async fn a_new_mail_domain_is_learned_at_first_and_held_later_until_it_is_allowed() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let first = user(&pusher.cx().await, "ada@home.example").await.unwrap();
        user(&pusher.cx().await, "bob@branch.example").await.unwrap();
        fortnight(&house, &pusher, &first).await;
        user(&pusher.cx().await, "carl@branch.example").await.unwrap();
        let case = check_held(user(&pusher.cx().await, "eve@evil.example").await.map(drop));
        assert_eq!(check_held(user(&pusher.cx().await, "eve@evil.example").await.map(drop)), case);
        let mail = json!([{ "op": "add", "path": "emails", "value": [{ "value": "x@evil.example" }] }]);
        assert_eq!(check_held(change(&pusher.cx().await, &first, mail).await), case);
        let list = held(&house, &case).await;
        assert_eq!(list.iter().map(|held| held.count).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(list[0].subject, "domain evil.example");
        let slug = &pusher.federation.slug;
        let manager = house.person(Role::Manager);
        brakes::allow(&manager, slug, "domain", "@Evil.example", "a merger").await.unwrap();
        user(&pusher.cx().await, "eve@evil.example").await.unwrap();
        assert!(held(&house, &case).await.iter().all(|held| held.state == HeldState::Over));
        house.close().await;
    }
}

#[tokio::test]
async fn a_new_kind_of_external_id_is_held_once_the_federation_is_known() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let with = |name: &str, id: &str| {
            resource(ResourceType::User, json!({ "userName": name, "externalId": id }))
        };
        let create = async |name: &str, id: &str| {
            users::create(&pusher.cx().await, &asked("POST", "Users"), with(name, id)).await
        };
        let first = create("a", "1001").await.unwrap().id.to_string();
        fortnight(&house, &pusher, &first).await;
        create("b", "1002").await.unwrap();
        let foreign = create("c", "0f8fad5b-d9cb-469f-a165-70867728950e").await;
        check_held(foreign.map(drop));
        house.close().await;
    }
}

/// Sixty-four requests at once on two nodes: exactly the limit passes, and the rest is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_operation_is_past_the_limit_with_sixty_four_requests_on_two_nodes() {
    for database in databases().await {
        let clock = Arc::new(testing::TestClock::default());
        let one = testing::open(database.target.clone(), Arc::clone(&clock)).await;
        let other = match database.engine {
            // A file has one process that writes.
            store::Engine::Sqlite => Arc::clone(&one),
            store::Engine::Postgres => testing::open(database.target.clone(), Arc::clone(&clock)).await,
        };
        let house = House { keyward: Arc::clone(&one), clock, database };
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "a").await;
        let mut ids = Vec::new();
        for number in 0..70 {
            ids.push(user(&house.client(&federation, &secret).await, &format!("u{number}")).await.unwrap());
        }
        let told = Arc::new(Mutex::new((0, 0)));
        let mut tasks = Vec::new();
        for (number, id) in ids.iter().take(64).enumerate() {
            let node = if number % 2 == 0 { Arc::clone(&one) } else { Arc::clone(&other) };
            let (id, told, bearer) = (id.clone(), Arc::clone(&told), secret.expose().to_owned());
            tasks.push(tokio::spawn(async move {
                let request = node.request_info();
                let asked = asked("DELETE", "Users");
                let cx =
                    ops::scim_client::authenticate(&node, &request, "okta", Some(bearer.as_str()), &asked)
                        .await;
                let made = if number % 3 == 0 {
                    deactivate(&cx.unwrap(), &id).await
                } else {
                    delete(&cx.unwrap(), &id).await
                };
                let mut told = told.lock().unwrap();
                match made {
                    Ok(()) => told.0 += 1,
                    Err(Error::Throttled { retry_after_s: 900, .. }) => told.1 += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*told.lock().unwrap(), (14, 50), "a fifth of seventy, and all the others");
        let mut gone = 0;
        for id in &ids {
            let cx = house.client(&federation, &secret).await;
            let found = users::get(&cx, &asked("GET", "Users"), id).await;
            gone += usize::from(!found.is_ok_and(|user| user.resource.active()));
        }
        assert_eq!(gone, 14, "effects");
        let cases = cases::list(&house.admin()).await.unwrap();
        assert_eq!(cases.len(), 1, "one case, whoever came first");
        assert_eq!(held(&house, cases[0].case.id.as_str()).await.len(), 50);
        if !Arc::ptr_eq(&one, &other) {
            other.close().await;
        }
        house.close().await;
    }
}

#[tokio::test]
async fn at_an_upstream_no_brake_is_passed_in_words_that_only_the_upstream_understands() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "a").await;
        let cx = || house.client(&federation, &secret);
        let mut ids = Vec::new();
        for number in 0..24 {
            let new = resource(ResourceType::User, json!({ "userName": format!("u{number}") }));
            let made =
                ops::gateway::requests::create(&cx().await, &asked("POST", "Users"), new).await.unwrap();
            ids.push(made.body["id"].as_str().unwrap().to_owned());
        }
        let new = resource(ResourceType::Group, json!({ "displayName": "bare" }));
        let made = ops::gateway::requests::create(&cx().await, &asked("POST", "Groups"), new).await.unwrap();
        let group = made.body["id"].as_str().unwrap().to_owned();
        // Somebody else has put twelve into it: what is known here does not have them.
        let members: Vec<Value> = (1..=12).map(|number| json!({ "value": format!("up-{number}") })).collect();
        memory.put(ResourceType::Group, "up-25", json!({ "displayName": "bare", "members": members }));
        let patch = async |kind: ResourceType, id: &str, operations: Value| {
            let asked = asked("PATCH", kind.endpoint().trim_start_matches('/'));
            let ops = ops_of(operations);
            ops::gateway::requests::patch(&cx().await, &asked, (kind, id), None, ops).await.map(drop)
        };
        for id in &ids[12..22] {
            let off = json!([{ "op": "replace", "path": "active", "value": false }]);
            patch(ResourceType::User, id, off).await.unwrap();
        }
        memory.called();
        // An operation beside it that is unknown here takes nothing from what the other one comes to.
        let beside = json!([
            { "op": "replace", "path": "active", "value": false },
            { "op": "replace", "path": "shoeSize", "value": 7 },
        ]);
        check_held(patch(ResourceType::User, &ids[22], beside).await);
        // What it comes to cannot be said: it is not sent.
        let unclear = json!([{ "op": "replace", "path": "active", "value": "perhaps" }]);
        let refused = patch(ResourceType::User, &ids[23], unclear).await;
        assert!(matches!(&refused, Err(Error::Scim(error)) if error.status == 400), "{refused:?}");
        let urn = "urn:ietf:params:scim:schemas:core:2.0:Group";
        for all in [
            json!([{ "op": "remove", "path": format!("{urn}:members") }]),
            json!([{ "op": "replace", "value": { format!("{urn}:members"): [] } }]),
        ] {
            check_held(patch(ResourceType::Group, &group, all).await);
        }
        let calls = memory.called();
        assert!(calls.iter().all(|call| call.starts_with("Get")), "nothing was changed there: {calls:?}");
        // What no brake weighs is for the upstream to judge.
        let unknown = json!([{ "op": "replace", "path": "shoeSize", "value": 7 }]);
        let refused = patch(ResourceType::User, &ids[23], unknown).await;
        assert!(refused.is_err() && memory.called().iter().any(|call| call.starts_with("Patch")));
        house.close().await;
    }
}
