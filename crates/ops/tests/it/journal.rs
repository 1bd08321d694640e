//! The journal: what a key did, and taking it back, on both databases.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    DAY_MS, KeyId, ResourceId, UndoId,
    admins::Role,
    audit::Action,
    cases::{CaseKind, Moment, at},
    federations::Federation,
    journal::{ChangeKind, Selection},
    scopes::Scope,
};
use ops::{
    Cx, Error, ScimClient,
    compromise::{Compromise, Stop},
    groups::{self, Shown},
    journal::{
        blast, browse, history,
        undo::{self, Doing, Plan, Verdict, Wish},
    },
    listing::{self, Found},
    users,
};
use scim::{ListQuery, Op, ResourceType};
use serde_json::{Value, json};

use crate::support::{House, Pusher, asked, houses, resource};

/// Every user and group, as text without version and time of the last change, by id.
pub async fn snapshot(cx: &Cx<ScimClient>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for kind in ResourceType::ALL {
        let mut start_index = 1;
        loop {
            let query = ListQuery { count: 200, start_index, ..ListQuery::default() };
            let page = listing::list(cx, &asked("GET", "Users"), kind, &query).await.unwrap();
            if page.found.is_empty() {
                break;
            }
            start_index += page.found.len() as u64;
            for found in page.found {
                let (id, text) = as_text(found);
                all.insert(id, text);
            }
        }
    }
    all
}

fn as_text(found: Found) -> (String, String) {
    match found {
        Found::User(user) => {
            let mut groups: Vec<String> =
                user.groups.iter().map(|group| format!("{} {}", group.value, group.is_direct)).collect();
            groups.sort();
            let text =
                format!("{} {} {} {groups:?}", user.resource.as_value(), user.created_ms, user.made_by);
            (user.id.to_string(), text)
        }
        Found::Group(group) => {
            let mut members: Vec<String> = group.members.iter().map(|member| member.value.clone()).collect();
            members.sort();
            let text =
                format!("{} {} {} {members:?}", group.resource.as_value(), group.created_ms, group.made_by);
            (group.id.to_string(), text)
        }
    }
}

pub fn ops_of(value: Value) -> Vec<Op> {
    scim::patch::from_value(json!({ "Operations": value })).unwrap()
}

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A provider whose requests are made with one key.
pub struct Hand<'h> {
    pub pusher: Pusher<'h>,
    pub key_id: KeyId,
}

impl<'h> Hand<'h> {
    pub async fn new(house: &'h House, federation: &Federation, name: &str) -> Self {
        let pusher = house.pusher_of(federation, name, Scope::full_directory()).await;
        let views = ops::keys::list(&house.admin(), &Default::default()).await.unwrap();
        let key = views.into_iter().find(|view| view.key.name == name && view.federation.id == federation.id);
        Self { pusher, key_id: key.unwrap().key.id }
    }

    pub async fn cx(&self) -> Cx<ScimClient> {
        self.pusher.cx().await
    }

    pub async fn user(&self, body: Value) -> String {
        let new = resource(ResourceType::User, body);
        users::create(&self.cx().await, &asked("POST", "Users"), new).await.unwrap().id.to_string()
    }

    pub async fn group(&self, name: &str, members: &[String]) -> String {
        let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
        let new = resource(ResourceType::Group, json!({ "displayName": name, "members": members }));
        let made = groups::create(&self.cx().await, &asked("POST", "Groups"), new, Shown::NoMembers).await;
        made.unwrap().id.to_string()
    }

    pub async fn set(&self, id: &str, path: &str, value: Value) -> Result<(), Error> {
        let patch = ops_of(json!([{ "op": "replace", "path": path, "value": value }]));
        users::patch(&self.cx().await, &asked("PATCH", "Users"), id, None, patch).await.map(drop)
    }

    pub async fn set_group(&self, id: &str, operations: Value) -> Result<(), Error> {
        let (cx, patch) = (self.cx().await, ops_of(operations));
        groups::patch(&cx, &asked("PATCH", "Groups"), id, None, patch, Shown::NoMembers).await.map(drop)
    }

    pub async fn join(&self, group: &str, ids: &[&str]) -> Result<(), Error> {
        let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
        self.set_group(group, json!([{ "op": "add", "path": "members", "value": members }])).await
    }

    pub async fn leave(&self, group: &str, ids: &[&str]) -> Result<(), Error> {
        let leave = |id: &&str| json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]") });
        self.set_group(group, Value::Array(ids.iter().map(leave).collect())).await
    }

    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        users::delete(&self.cx().await, &asked("DELETE", "Users"), id, None).await
    }

    pub async fn delete_group(&self, id: &str) -> Result<(), Error> {
        groups::delete(&self.cx().await, &asked("DELETE", "Groups"), id, None).await
    }
}

pub async fn plan(house: &House, federation: &Federation, wish: &Wish) -> Plan {
    undo::plan(&house.admin(), &federation.slug, wish).await.unwrap()
}

pub fn by(key_id: &KeyId) -> Wish {
    Wish { selection: Selection::of_key(key_id.clone()), ..Wish::default() }
}

/// Confirms the plan of a wish and carries it out.
pub async fn take_back(house: &House, federation: &Federation, wish: &Wish) -> UndoId {
    let cx = house.admin();
    let plan = plan(house, federation, wish).await;
    let id = undo::begin(&cx, &federation.slug, wish, &plan.hash).await.unwrap();
    undo::run(&cx, &federation.slug, &id).await.unwrap();
    let view = undo::open(&cx, &federation.slug, &id).await.unwrap();
    assert!(view.undo.ended_ms.is_some() && view.report.not_done == 0, "{:?}", view.report);
    id
}

/// What the walk of every action needs: a case, a plan that waits, and a change to be taken back.
pub struct Prepared {
    federation: Federation,
    case: domain::CaseId,
    begun: UndoId,
    wish: Wish,
}

pub async fn prepared(house: &House) -> Prepared {
    let federation = house.federation("journal").await;
    let hand = Hand::new(house, &federation, "journal").await;
    let id = hand.user(json!({ "userName": "ada", "title": "a", "nickName": "a" })).await;
    hand.set(&id, "title", json!("b")).await.unwrap();
    hand.set(&id, "nickName", json!("b")).await.unwrap();
    let of = |attribute: &str| Wish {
        selection: Selection {
            attribute: Some(attribute.to_owned()),
            entry: None,
            resource: ResourceId::parse(&id),
            ..Selection::default()
        },
        ..Wish::default()
    };
    let first = of("title");
    let hash = plan(house, &federation, &first).await.hash;
    let begun = undo::begin(&house.admin(), &federation.slug, &first, &hash).await.unwrap();
    let report = Compromise { stop: Stop::Revoke, reason: "seen in a paste".to_owned(), leaked_ms: None };
    let case = ops::compromise::report(&house.admin(), &hand.key_id, report).await.unwrap().id;
    Prepared { federation, case, begun, wish: of("nickName") }
}

pub async fn steps(house: &House, prepared: &Prepared) -> Vec<(Action, Result<(), Error>)> {
    let (cx, slug) = (house.admin(), &prepared.federation.slug);
    let hash = plan(house, &prepared.federation, &prepared.wish).await.hash;
    vec![
        (Action::BlastKnown, blast::known(&cx, &prepared.case).await),
        (Action::UndoBegun, undo::begin(&cx, slug, &prepared.wish, &hash).await.map(drop)),
        (Action::UndoApplied, undo::run(&cx, slug, &prepared.begun).await),
    ]
}

pub fn person(number: usize) -> Value {
    json!({
        "userName": format!("u{number}"), "title": "Engineer", "active": true,
        "emails": [{ "value": format!("u{number}@example.com"), "type": "work" }],
        ENTERPRISE: { "department": "Ships", "employeeNumber": number.to_string() },
    })
}

/// What a key has done: attributes of resources, how many changes, whose address first, and who was hit worst.
struct Done {
    did: BTreeSet<(String, &'static str)>,
    changes: u64,
    deactivated: u64,
    worst: String,
    address: String,
}

async fn check_blast(house: &House, federation: &Federation, key_id: &KeyId, done: &Done) {
    let (cx, selection) = (house.admin(), Selection::of_key(key_id.clone()));
    let blast = blast::radius(&cx, &federation.slug, &selection, None).await.unwrap();
    let mut listed = Vec::new();
    let mut page = blast.clone();
    loop {
        listed.extend(page.entries);
        let Some(next) = page.next else { break };
        page = blast::radius(&cx, &federation.slug, &selection, Some(&next)).await.unwrap();
    }
    assert_eq!((blast.changes, listed.len()), (done.changes, usize::try_from(done.changes).unwrap()));
    assert_eq!((blast.deactivated, blast.memberships), (done.deactivated, (0, 20)));
    let told: BTreeSet<(String, &str)> = listed
        .iter()
        .flat_map(|entry| entry.attributes().into_iter().map(|name| (entry.resource_id.to_string(), name)))
        .collect();
    assert_eq!(told, done.did);
    assert!(listed.iter().all(|entry| entry.key_id.as_ref() == Some(key_id)));
    let address = listed.iter().find(|entry| entry.resource_id.as_str() == done.address).unwrap();
    assert_eq!(address.was["emails"][0]["value"], "u20@example.com");
    assert_eq!(address.became["emails"][0]["value"], "thief@example.net");
    assert_eq!(blast.hits.first().map(|hit| hit.id.as_str()), Some(done.worst.as_str()), "hit hardest");
}

/// A plan that is not the confirmed one is refused, and a manager may only look.
async fn check_confirmation(house: &House, federation: &Federation, wish: &Wish) {
    let planned = plan(house, federation, wish).await;
    assert_eq!((planned.counts.skipped, planned.counts.cannot), (1, 0), "{:#?}", planned.items);
    let wrong = undo::begin(&house.admin(), &federation.slug, wish, "00").await;
    assert!(matches!(wrong, Err(Error::Conflict(_))), "{wrong:?}");
    let manager = house.person(Role::Manager);
    assert_eq!(undo::plan(&manager, &federation.slug, wish).await.unwrap().hash, planned.hash);
    let refused = undo::begin(&manager, &federation.slug, wish, &planned.hash).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
}

#[tokio::test]
async fn what_a_compromised_key_did_is_listed_and_taken_back_and_later_changes_stay() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (good, bad) =
            (Hand::new(&house, &federation, "good").await, Hand::new(&house, &federation, "bad").await);
        let mut people = Vec::new();
        for number in 0..60 {
            people.push(good.user(person(number)).await);
        }
        let staff = good.group("staff", &people[..20]).await;
        let all = good.group("all", &[staff.clone(), people[30].clone()]).await;
        let before = snapshot(&good.cx().await).await;
        house.clock.advance(DAY_MS * 2);

        // The bad key empties a group little by little, rewrites addresses and deactivates people until a
        // brake stops it. Meanwhile the good one works.
        let mut did: BTreeSet<(String, &'static str)> = BTreeSet::new();
        let mut changes = 0;
        for pair in people[..20].chunks(2) {
            bad.leave(&staff, &[&pair[0], &pair[1]]).await.unwrap();
            changes += 1;
        }
        did.insert((staff.clone(), "members"));
        let mut rewritten = Vec::new();
        for id in &people[20..40] {
            match bad.set(id, "emails", json!([{ "value": "thief@example.net" }])).await {
                Ok(()) => {
                    rewritten.push(id.clone());
                    did.insert((id.clone(), "emails"));
                    changes += 1;
                }
                Err(Error::Throttled { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(rewritten.len() >= 3, "{}", rewritten.len());
        // While the bad key is at work: another attribute, the same attribute, the same group.
        good.set(&rewritten[0], "title", json!("Captain")).await.unwrap();
        let own = json!([{ "value": "new@example.com", "type": "work" }]);
        good.set(&rewritten[1], "emails", own.clone()).await.unwrap();
        good.set(&rewritten[2], &format!("{ENTERPRISE}:department"), json!("Bridge")).await.unwrap();
        good.join(&staff, &[&people[50]]).await.unwrap();
        let mut deactivated = 0;
        for id in &people[40..60] {
            match bad.set(id, "active", json!(false)).await {
                Ok(()) => {
                    deactivated += 1;
                    did.insert((id.clone(), "active"));
                    changes += 1;
                }
                Err(Error::Throttled { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!((5..20).contains(&deactivated), "the brake stops it: {deactivated}");
        house.clock.advance(1_000);
        good.set(&people[59], "nickName", json!("Bo")).await.unwrap();

        // The blast radius is exactly that.
        let done = Done { did, changes, deactivated, worst: staff.clone(), address: rewritten[0].clone() };
        check_blast(&house, &federation, &bad.key_id, &done).await;

        let wish = by(&bad.key_id);
        check_confirmation(&house, &federation, &wish).await;
        let harmed = snapshot(&good.cx().await).await;
        let undone = take_back(&house, &federation, &wish).await;
        let after = snapshot(&good.cx().await).await;
        let mut expected = before.clone();
        let mut edit = |id: &str, from: &str, to: &str| {
            let text = expected.get_mut(id).unwrap();
            assert!(text.contains(from), "{from} in {text}");
            *text = text.replacen(from, to, 1);
        };
        edit(&rewritten[0], "\"title\":\"Engineer\"", "\"title\":\"Captain\"");
        edit(&rewritten[1], "u21@example.com", "new@example.com");
        edit(&rewritten[2], "\"department\":\"Ships\"", "\"department\":\"Bridge\"");
        edit(&people[59], "\"schemas\"", "\"nickName\":\"Bo\",\"schemas\"");
        let mut members: Vec<String> = people[..20].iter().chain([&people[50]]).cloned().collect();
        members.sort();
        let mut staff_before = people[..20].to_vec();
        staff_before.sort();
        edit(&staff, &format!("{staff_before:?}"), &format!("{members:?}"));
        let mut groups = vec![format!("{all} false"), format!("{staff} true")];
        groups.sort();
        edit(&people[50], " []", &format!(" {groups:?}"));
        for (id, text) in &expected {
            assert_eq!(after.get(id), Some(text));
        }
        assert_eq!(after.len(), expected.len());
        // What is taken back has nothing left to take back.
        let again = plan(&house, &federation, &wish).await;
        assert_eq!(again.counts.restored, 0, "{:#?}", again.items);

        // An undo can be undone.
        let back =
            Wish { selection: Selection { undo: Some(undone), ..Selection::default() }, ..Wish::default() };
        take_back(&house, &federation, &back).await;
        assert_eq!(snapshot(&good.cx().await).await, harmed);
        house.close().await;
    }
}

#[tokio::test]
async fn deleted_users_and_groups_come_back_with_their_ids_names_and_memberships() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (good, bad) =
            (Hand::new(&house, &federation, "good").await, Hand::new(&house, &federation, "bad").await);
        let mut people = Vec::new();
        for number in 0..8 {
            people.push(good.user(person(number)).await);
        }
        let inner = good.group("inner", &people[..3]).await;
        let outer = good.group("outer", &[inner.clone(), people[4].clone()]).await;
        let before = snapshot(&good.cx().await).await;
        // A day between: brakes are not the matter here.
        let day = || house.clock.advance(DAY_MS + 3_600_000);
        day();
        // First changed, then deleted: what comes back is what was there before both.
        bad.set(&people[0], "title", json!("Nobody")).await.unwrap();
        bad.delete(&people[0]).await.unwrap();
        day();
        bad.delete(&people[4]).await.unwrap();
        day();
        bad.delete_group(&inner).await.unwrap();
        day();
        // Two exchange their names by way of a third.
        for (id, name) in [(5, "gone"), (6, "u5"), (5, "u6")] {
            bad.set(&people[id], "userName", json!(name)).await.unwrap();
            day();
        }
        let made = bad.user(json!({ "userName": "intruder" })).await;
        bad.join(&outer, &[&made]).await.unwrap();
        let harmed = snapshot(&good.cx().await).await;

        let planned = plan(&house, &federation, &by(&bad.key_id)).await;
        let doing = |doing: Doing| planned.items.iter().filter(|item| item.doing == doing).count();
        assert_eq!((doing(Doing::Revive), doing(Doing::Remove)), (3, 1), "{:#?}", planned.items);
        assert_eq!((planned.counts.skipped, planned.counts.cannot), (0, 0), "{:#?}", planned.items);
        let undone = take_back(&house, &federation, &by(&bad.key_id)).await;
        assert_eq!(snapshot(&good.cx().await).await, before);
        // No version is given twice.
        let cx = good.cx().await;
        let user = users::get(&cx, &asked("GET", "Users"), &people[0]).await.unwrap();
        assert!(user.version > 2, "{}", user.version);
        // What is looked up by is there as well.
        let wanted =
            browse::Wanted { text: "U0@example.com".to_owned(), by: browse::By::Email, ..Default::default() };
        let found =
            browse::list(&house.admin(), &federation.slug, ResourceType::User, &wanted).await.unwrap();
        assert_eq!(found.rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), [people[0].as_str()]);

        let back =
            Wish { selection: Selection { undo: Some(undone), ..Selection::default() }, ..Wish::default() };
        take_back(&house, &federation, &back).await;
        let again = snapshot(&good.cx().await).await;
        // The intruder is back with its id, and its creation is as old as it was.
        assert_eq!(again, harmed);
        house.close().await;
    }
}

#[tokio::test]
async fn what_cannot_come_back_is_told_with_its_reason_and_what_others_touched_waits_to_be_told() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (good, bad) =
            (Hand::new(&house, &federation, "good").await, Hand::new(&house, &federation, "bad").await);
        let mut people = Vec::new();
        for number in 0..6 {
            people.push(good.user(person(number)).await);
        }
        let group = good.group("staff", &people).await;
        let day = || house.clock.advance(DAY_MS + 3_600_000);
        day();
        bad.delete(&people[0]).await.unwrap();
        bad.leave(&group, &[&people[1]]).await.unwrap();
        bad.set(&people[2], "title", json!("Nobody")).await.unwrap();
        bad.set(&people[3], "title", json!("Nobody")).await.unwrap();
        let made = bad.user(json!({ "userName": "intruder" })).await;
        day();
        // Somebody else takes the name, deletes a member, changes the same value, uses what was made.
        good.user(json!({ "userName": "U0" })).await;
        good.delete(&people[1]).await.unwrap();
        day();
        good.set(&people[2], "title", json!("Captain")).await.unwrap();
        good.delete(&people[3]).await.unwrap();
        good.set(&made, "title", json!("Guest")).await.unwrap();
        let wish = by(&bad.key_id);
        let planned = plan(&house, &federation, &wish).await;
        let item = |id: &str| planned.items.iter().find(|item| item.id == id).unwrap();
        let cannot = |verdict: &Verdict, word: &str| {
            assert!(matches!(verdict, Verdict::Cannot(text) if text.contains(word)), "{word}: {verdict:?}");
        };
        cannot(&item(&people[0]).verdict, "taken");
        cannot(&item(&people[3]).lines[0].verdict, "good has deleted it");
        let line = |id: &str| item(&group).members.iter().find(|line| line.id == id).unwrap().verdict.clone();
        cannot(&line(&people[0]), "the member is gone");
        cannot(&line(&people[1]), "the member is gone");
        assert!(matches!(&item(&people[2]).lines[0].verdict, Verdict::Skipped(by) if by.name == "good"));
        assert!(matches!(&item(&made).verdict, Verdict::Skipped(by) if by.name == "good"));
        let nothing = undo::begin(&house.admin(), &federation.slug, &wish, &planned.hash).await;
        assert!(matches!(nothing, Err(Error::Conflict(_))), "{nothing:?}");

        // Told so for one of them, that one comes back; told so for all, all do.
        let one = Wish { over: BTreeSet::from([people[2].clone()]), ..wish.clone() };
        take_back(&house, &federation, &one).await;
        let title = |user: &users::User| user.resource.as_value()["title"].clone();
        let cx = good.cx().await;
        let user = users::get(&cx, &asked("GET", "Users"), &people[2]).await.unwrap();
        assert_eq!(title(&user), "Engineer");
        assert!(users::get(&cx, &asked("GET", "Users"), &made).await.is_ok());
        take_back(&house, &federation, &Wish { over_all: true, ..wish }).await;
        let gone = users::get(&good.cx().await, &asked("GET", "Users"), &made).await;
        assert!(matches!(gone, Err(Error::NotFound(_))));
        house.close().await;
    }
}

#[tokio::test]
async fn one_attribute_one_resource_or_one_change_is_taken_back_alone() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (good, bad) =
            (Hand::new(&house, &federation, "good").await, Hand::new(&house, &federation, "bad").await);
        let ids = [good.user(person(0)).await, good.user(person(1)).await];
        for id in &ids {
            bad.set(id, "title", json!("Nobody")).await.unwrap();
            bad.set(id, "nickName", json!("No")).await.unwrap();
            bad.set(id, &format!("{ENTERPRISE}:department"), json!("None")).await.unwrap();
        }
        let body = async |id: &str| {
            let user = users::get(&good.cx().await, &asked("GET", "Users"), id).await.unwrap();
            let body = user.resource.as_value().clone();
            (body["title"].clone(), body["nickName"].clone(), body[ENTERPRISE]["department"].clone())
        };
        let narrow = |selection: Selection| Wish { selection, ..Wish::default() };
        let attribute = Some(format!("{ENTERPRISE}:department"));
        take_back(&house, &federation, &narrow(Selection { attribute, ..by(&bad.key_id).selection })).await;
        assert_eq!(body(&ids[0]).await, (json!("Nobody"), json!("No"), json!("Ships")));
        let one = ResourceId::parse(&ids[0]).unwrap();
        let past = history::of(&house.admin(), &federation.slug, &one, None).await.unwrap().entries;
        let told: Vec<(ChangeKind, &str)> =
            past.iter().map(|entry| (entry.change, entry.actor.name.as_str())).collect();
        let update = ChangeKind::Update;
        let expected = [
            (update, "The admin"),
            (update, "bad"),
            (update, "bad"),
            (update, "bad"),
            (ChangeKind::Create, "good"),
        ];
        assert_eq!(told, expected);
        assert_eq!((&past[3].was["title"], &past[3].became["title"]), (&json!("Engineer"), &json!("Nobody")));
        let entry = Some(past[3].id.clone());
        take_back(&house, &federation, &narrow(Selection { entry, ..Selection::default() })).await;
        assert_eq!(body(&ids[0]).await, (json!("Engineer"), json!("No"), json!("Ships")));
        assert_eq!(body(&ids[1]).await, (json!("Nobody"), json!("No"), json!("Ships")));
        let resource = Some(ResourceId::parse(&ids[1]).unwrap());
        take_back(&house, &federation, &narrow(Selection { resource, ..by(&bad.key_id).selection })).await;
        assert_eq!(body(&ids[1]).await, (json!("Engineer"), Value::Null, json!("Ships")));
        house.close().await;
    }
}

#[tokio::test]
async fn a_change_between_plan_and_confirmation_is_told_and_one_while_it_runs_is_left_alone() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (good, bad) =
            (Hand::new(&house, &federation, "good").await, Hand::new(&house, &federation, "bad").await);
        let ids = [good.user(person(0)).await, good.user(person(1)).await];
        for id in &ids {
            bad.set(id, "title", json!("Nobody")).await.unwrap();
        }
        let (cx, slug, wish) = (house.admin(), &federation.slug, by(&bad.key_id));
        let old = plan(&house, &federation, &wish).await;
        good.set(&ids[0], "title", json!("Captain")).await.unwrap();
        let stale = undo::begin(&cx, slug, &wish, &old.hash).await;
        assert!(
            matches!(&stale, Err(Error::Conflict(text)) if text.contains("has changed since")),
            "{stale:?}"
        );
        let new = plan(&house, &federation, &wish).await;
        let id = undo::begin(&cx, slug, &wish, &new.hash).await.unwrap();
        good.set(&ids[1], "title", json!("Cook")).await.unwrap();
        undo::run(&cx, slug, &id).await.unwrap();
        let view = undo::open(&cx, slug, &id).await.unwrap();
        assert_eq!((view.report.resources, view.report.not_done), (0, 1), "{:?}", view.report);
        assert!(view.report.notes[0].text.contains("changed since the plan"));
        house.close().await;
    }
}

#[tokio::test]
async fn the_clock_of_a_case_is_told_when_the_blast_radius_is_known_and_when_it_is_undone() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (good, bad) =
            (Hand::new(&house, &federation, "good").await, Hand::new(&house, &federation, "bad").await);
        let id = good.user(person(0)).await;
        bad.set(&id, "title", json!("Nobody")).await.unwrap();
        let report = Compromise { stop: Stop::Revoke, reason: "seen in a paste".to_owned(), leaked_ms: None };
        let case = ops::compromise::report(&house.admin(), &bad.key_id, report).await.unwrap();
        assert_eq!(case.kind, CaseKind::Compromise);
        blast::known(&house.admin(), &case.id).await.unwrap();
        let (slug, selection) = ops::journal::of_case(&house.admin(), &case.id).await.unwrap();
        assert_eq!(slug, federation.slug);
        let wish = Wish { selection, case: Some(case.id.clone()), ..Wish::default() };
        take_back(&house, &federation, &wish).await;
        let view = ops::cases::open(&house.admin(), &case.id).await.unwrap();
        for mark in [Moment::T9, Moment::T10] {
            assert!(at(&view.moments, mark).is_some(), "{mark:?}: {:?}", view.moments);
        }
        house.close().await;
    }
}
