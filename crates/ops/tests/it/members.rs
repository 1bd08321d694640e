//! Members of groups: deltas, races, circles, limits, and what an answer shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::federations::Federation;
use ops::{
    Error,
    groups::{self, Changed, Group, MEMBERS_SHOWN, Shown},
    scim_client::{self, status_of},
    testing::{self, TestClock},
    users,
};
use scim::ResourceType;
use serde_json::{Value, json};

use crate::support::{House, asked, houses, resource};

/// A client of a federation that may do everything.
struct Client<'h> {
    house: &'h House,
    federation: Federation,
    secret: domain::Secret,
}

impl<'h> Client<'h> {
    async fn new(house: &'h House) -> Self {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "a").await;
        Self { house, federation, secret }
    }

    async fn cx(&self) -> ops::Cx<ops::ScimClient> {
        self.house.client(&self.federation, &self.secret).await
    }

    async fn user(&self, name: &str) -> String {
        let new = resource(ResourceType::User, json!({ "userName": name }));
        let made = users::create(&self.cx().await, &asked("POST", "Users"), new).await;
        made.unwrap().id.to_string()
    }

    async fn users(&self, count: usize) -> Vec<String> {
        let mut ids = Vec::with_capacity(count);
        for number in 0..count {
            ids.push(self.user(&format!("u{number}")).await);
        }
        ids
    }

    async fn group(&self, name: &str, members: &[String]) -> Result<Group, Error> {
        let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
        let new = resource(ResourceType::Group, json!({ "displayName": name, "members": members }));
        groups::create(&self.cx().await, &asked("POST", "Groups"), new, Shown::Members).await
    }

    async fn get(&self, id: &str) -> Group {
        groups::get(&self.cx().await, &asked("GET", "Groups"), id).await.unwrap()
    }

    async fn patch(&self, id: &str, operations: Value) -> Result<Group, Error> {
        let changed = self.patch_if(id, None, operations, Shown::Members).await?;
        Ok(changed.group().expect("the members were asked for"))
    }

    async fn patch_if(
        &self,
        id: &str,
        if_match: Option<Vec<i64>>,
        operations: Value,
        shown: Shown,
    ) -> Result<Changed, Error> {
        let read = scim::patch::from_value(json!({ "Operations": operations })).unwrap();
        groups::patch(&self.cx().await, &asked("PATCH", "Groups"), id, if_match, read, shown).await
    }

    async fn put(&self, id: &str, body: Value, shown: Shown) -> Result<Changed, Error> {
        let wanted = resource(ResourceType::Group, body);
        groups::replace(&self.cx().await, &asked("PUT", "Groups"), id, None, wanted, shown).await
    }

    /// The groups of a user by name, each with how the user is in it.
    async fn groups_of(&self, id: &str) -> Vec<String> {
        let user = users::get(&self.cx().await, &asked("GET", "Users"), id).await.unwrap();
        let mut groups: Vec<String> = user
            .groups
            .into_iter()
            .map(|group| {
                let how = if group.is_direct { "direct" } else { "indirect" };
                format!("{} {how}", group.display.unwrap_or_default())
            })
            .collect();
        groups.sort();
        groups
    }
}

fn values(ids: &[String]) -> Vec<Value> {
    ids.iter().map(|id| json!({ "value": id })).collect()
}

fn ids(group: &Group) -> BTreeSet<String> {
    group.members.iter().map(|member| member.value.clone()).collect()
}

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

/// T-SCIM-09. The order of the audit log is the serial order: replayed in it, every change finds
/// what it says that it found, and the end is what is stored.
#[tokio::test]
async fn two_hundred_writers_of_one_group_are_a_serial_order() {
    for house in houses().await {
        let client = Client::new(&house).await;
        let people = client.users(30).await;
        let start = people[..10].to_vec();
        let made = client.group("All", &start).await.unwrap();
        let id = made.id.to_string();
        let mut writers = Vec::new();
        let mut state = 7_u64;
        let mut chance = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for number in 0..200 {
            let (one, two) = (people[chance(30)].clone(), people[chance(30)].clone());
            let operations = match number % 5 {
                0 | 1 => json!([{ "op": "add", "path": "members", "value": [{ "value": one }] }]),
                2 => json!([{ "op": "remove", "path": format!("members[value eq \"{one}\"]") }]),
                3 => json!([
                    { "op": "add", "path": "members", "value": [{ "value": one }] },
                    { "op": "remove", "path": "members", "value": [{ "value": two }] },
                ]),
                // Reads what is there and writes the difference.
                _ => json!([
                    { "op": "replace", "path": "displayName", "value": format!("All {number}") },
                    { "op": "remove", "path": format!("members[value eq \"{two}\"]") },
                ]),
            };
            let read = scim::patch::from_value(json!({ "Operations": operations })).unwrap();
            let (cx, id) = (client.cx().await, id.clone());
            writers.push(tokio::spawn(async move {
                groups::patch(&cx, &asked("PATCH", "Groups"), &id, None, read, Shown::NoMembers)
                    .await
                    .map(drop)
            }));
        }
        for writer in writers {
            writer.await.unwrap().unwrap();
        }
        let whole = client.get(&id).await;
        let mut replayed = set(&start);
        let mut changes = 0;
        let mut before = None;
        let mut events = Vec::new();
        loop {
            let page = ops::audit::list(&house.admin(), &Default::default(), before, 100).await.unwrap();
            let Some(last) = page.records.last() else { break };
            before = Some(last.seq);
            events.extend(page.records.into_iter().map(|record| record.event));
        }
        for event in events.into_iter().rev().filter(|event| event.action.as_str() == "group.updated") {
            let told: Value = serde_json::from_str(&event.detail).unwrap();
            let list = |name: &str| -> Vec<String> {
                told[name].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
            };
            for joined in list("added") {
                assert!(replayed.insert(joined), "joined twice: {}", event.detail);
            }
            for left in list("removed") {
                assert!(replayed.remove(&left), "left and was not there: {}", event.detail);
            }
            changes += 1;
        }
        assert_eq!(ids(&whole), replayed);
        assert_eq!(whole.version, 1 + changes, "each change counts once, and nothing else does");
        house.close().await;
    }
}

#[tokio::test]
async fn of_writers_with_one_if_match_exactly_one_wins() {
    for house in houses().await {
        let client = Client::new(&house).await;
        let people = client.users(12).await;
        let id = client.group("All", &[]).await.unwrap().id.to_string();
        let user = people[0].clone();
        for round in 1..3 {
            let mut writers = Vec::new();
            for (number, person) in people.iter().enumerate() {
                let (cx, other, id, user) = (client.cx().await, client.cx().await, id.clone(), user.clone());
                let add = json!([{ "op": "add", "path": "members", "value": [{ "value": person }] }]);
                let rename =
                    json!([{ "op": "replace", "path": "displayName", "value": format!("{round} {number}") }]);
                // In the second round a joiner may be there already, and changes nothing.
                let operations = if number % 2 == 0 && round == 1 { add } else { rename };
                let group = scim::patch::from_value(json!({ "Operations": operations })).unwrap();
                let title =
                    json!([{ "op": "replace", "path": "title", "value": format!("{round} {number}") }]);
                let title = scim::patch::from_value(json!({ "Operations": title })).unwrap();
                writers.push(tokio::spawn(async move {
                    let seen = Some(vec![round]);
                    let group = groups::patch(
                        &cx,
                        &asked("PATCH", "Groups"),
                        &id,
                        seen.clone(),
                        group,
                        Shown::NoMembers,
                    )
                    .await
                    .map(drop);
                    let user =
                        users::patch(&other, &asked("PATCH", "Users"), &user, seen, title).await.map(drop);
                    [group, user]
                }));
            }
            let mut answers = [Vec::new(), Vec::new()];
            for writer in writers {
                for (answers, answer) in answers.iter_mut().zip(writer.await.unwrap()) {
                    answers.push(answer.map_err(|error| status_of(&error)));
                }
            }
            for answers in answers {
                assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
                assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(412))), "{answers:?}");
            }
        }
        house.close().await;
    }
}

#[tokio::test]
async fn writers_of_one_user_lose_nothing_and_are_not_refused() {
    for house in houses().await {
        let client = Client::new(&house).await;
        let id = client.user("mia").await;
        let mut writers = Vec::new();
        for number in 0..40 {
            let email = json!([{ "op": "add", "path": "emails", "value": [{ "value": format!("{number}@example.com") }] }]);
            let read = scim::patch::from_value(json!({ "Operations": email })).unwrap();
            let (cx, id) = (client.cx().await, id.clone());
            writers.push(tokio::spawn(async move {
                users::patch(&cx, &asked("PATCH", "Users"), &id, None, read).await.map(drop)
            }));
        }
        for writer in writers {
            writer.await.unwrap().unwrap();
        }
        let user = users::get(&client.cx().await, &asked("GET", "Users"), &id).await.unwrap();
        assert_eq!(user.version, 41);
        assert_eq!(user.resource.as_value()["emails"].as_array().unwrap().len(), 40);
        house.close().await;
    }
}

#[tokio::test]
async fn every_form_of_a_membership_change_ends_where_it_says() {
    for house in houses().await {
        let client = Client::new(&house).await;
        let people = client.users(6).await;
        let made = client.group("All", &people[..2]).await.unwrap();
        let id = made.id.to_string();
        let version = |expect: i64, group: &Group| assert_eq!(group.version, expect);

        let both = client
            .patch(
                &id,
                json!([
                    { "op": "replace", "path": "displayName", "value": "Everybody" },
                    { "op": "add", "path": "members", "value": values(&people[1..4]) },
                    { "op": "remove", "path": format!("members[value eq \"{}\"]", people[0]) },
                ]),
            )
            .await
            .unwrap();
        version(2, &both);
        assert_eq!((ids(&both), both.resource.display_name()), (set(&people[1..4]), Some("Everybody")));

        let same = json!([{ "op": "replace", "path": "members", "value": values(&people[1..4]) }]);
        version(2, &client.patch(&id, same).await.unwrap());
        let listed = json!([{ "op": "replace", "value": { "members": values(&people[3..5]) } }]);
        let listed = client.patch(&id, listed).await.unwrap();
        version(3, &listed);
        assert_eq!(ids(&listed), set(&people[3..5]));

        // What only the engine understands.
        let named = json!([{ "op": "remove", "path": "members[display eq \"u3\"]" }]);
        let named = client.patch(&id, named).await.unwrap();
        version(4, &named);
        assert_eq!(ids(&named), set(&people[4..5]));

        let put = json!({ "displayName": "Everybody", "members": values(&people[4..6]) });
        let put = client.put(&id, put, Shown::Members).await.unwrap().group().unwrap();
        version(5, &put);
        assert_eq!(ids(&put), set(&people[4..6]));
        let put = json!({ "displayName": "Everybody", "externalId": "x", "members": values(&people[4..6]) });
        let put = client.put(&id, put, Shown::Members).await.unwrap().group().unwrap();
        version(6, &put);
        assert_eq!((ids(&put), put.resource.external_id()), (set(&people[4..6]), Some("x")));

        let gone = client.patch(&id, json!([{ "op": "remove", "path": "members" }])).await.unwrap();
        version(7, &gone);
        assert!(ids(&gone).is_empty());
        let nobody = json!([{ "op": "remove", "path": "members", "value": values(&people[..1]) }]);
        version(7, &client.patch(&id, nobody).await.unwrap());

        // A refusal undoes the whole, the name too.
        let half = json!([
            { "op": "replace", "path": "displayName", "value": "Half" },
            { "op": "add", "path": "members", "value": [{ "value": people[0] }, { "value": "nobody" }] },
        ]);
        assert_eq!(status_of(&client.patch(&id, half).await.unwrap_err()), 400);
        let unknown = json!([{ "op": "remove", "path": "membres" }]);
        assert_eq!(status_of(&client.patch(&id, unknown).await.unwrap_err()), 400);
        let after = client.get(&id).await;
        assert_eq!((after.resource.display_name(), after.version), (Some("Everybody"), 7));
        house.close().await;
    }
}

#[tokio::test]
async fn groups_nest_and_may_hold_each_other() {
    for house in houses().await {
        let client = Client::new(&house).await;
        let person = client.user("mia").await;
        let mut chain = Vec::new();
        for name in ["a", "b", "c"] {
            chain.push(client.group(name, &[]).await.unwrap().id.to_string());
        }
        let [a, b, c] = chain.as_slice() else { panic!("three groups were made") };
        let join = |id: &str| json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]);
        let nested = client.patch(a, join(b)).await.unwrap();
        assert_eq!(nested.members[0].kind, Some(ResourceType::Group));
        assert_eq!(nested.members[0].display.as_deref(), Some("b"));
        client.patch(b, join(c)).await.unwrap();
        client.patch(c, join(&person)).await.unwrap();
        assert_eq!(client.groups_of(&person).await, ["a indirect", "b indirect", "c direct"]);
        // By PATCH, by PUT, and a group in itself.
        assert_eq!(ids(&client.patch(c, join(a)).await.unwrap()), set(&[a.clone(), person.clone()]));
        let whole =
            json!({ "displayName": "b", "members": [{ "value": a }, { "value": b }, { "value": c }] });
        client.put(b, whole, Shown::Members).await.unwrap();
        assert_eq!(ids(&client.get(b).await), set(&chain));
        assert_eq!(client.groups_of(&person).await, ["a indirect", "b indirect", "c direct"]);
        let made = client.group("d", &[a.clone(), person.clone()]).await.unwrap();
        let kinds: BTreeMap<&str, Option<ResourceType>> =
            made.members.iter().map(|member| (member.value.as_str(), member.kind)).collect();
        assert_eq!(
            kinds,
            BTreeMap::from([(a.as_str(), Some(ResourceType::Group)), (&person, Some(ResourceType::User))])
        );
        // A group that goes leaves those that it was in, which changes them.
        let before = client.get(c).await.version;
        groups::delete(&client.cx().await, &asked("DELETE", "Groups"), a, None).await.unwrap();
        let left = client.get(c).await;
        assert_eq!((ids(&left), left.version), (set(std::slice::from_ref(&person)), before + 1));
        assert_eq!(client.groups_of(&person).await, ["b indirect", "c direct", "d direct"]);
        // So does one that was in itself.
        groups::delete(&client.cx().await, &asked("DELETE", "Groups"), b, None).await.unwrap();
        assert_eq!(client.groups_of(&person).await, ["c direct", "d direct"]);
        house.close().await;
    }
}

#[tokio::test]
async fn a_user_in_a_large_circle_has_each_group_of_it_once() {
    for house in houses().await {
        let client = Client::new(&house).await;
        let person = client.user("mia").await;
        // Each group is made with the one before it as its member, and the first one takes the last.
        let first = client.group("g000", std::slice::from_ref(&person)).await.unwrap().id.to_string();
        let mut last = first.clone();
        for number in 1..100 {
            last = client.group(&format!("g{number:03}"), &[last]).await.unwrap().id.to_string();
        }
        let close = json!([{ "op": "add", "path": "members", "value": [{ "value": last }] }]);
        client.patch(&first, close).await.unwrap();
        let found = client.groups_of(&person).await;
        let how = |number: u32| if number == 0 { "direct" } else { "indirect" };
        let expect: Vec<String> = (0..100).map(|number| format!("g{number:03} {}", how(number))).collect();
        assert_eq!(found, expect);
        house.close().await;
    }
}

#[tokio::test]
async fn a_large_group_is_not_shown_unless_it_was_asked_for() {
    for house in houses().await {
        let client = Client::new(&house).await;
        house.planned(&client.federation.slug, 1).await;
        let people = client.users(MEMBERS_SHOWN + 1).await;
        let made = client.group("Large", &people[..MEMBERS_SHOWN]).await.unwrap();
        let id = made.id.to_string();
        let join = json!([{ "op": "add", "path": "members", "value": [{ "value": people[MEMBERS_SHOWN] }] }]);
        let leave = json!([{ "op": "remove", "path": "members", "value": [{ "value": people[0] }] }]);
        let rename = |name: &str| json!([{ "op": "replace", "path": "displayName", "value": name }]);
        let by_default = async |operations: Value| {
            let changed = client.patch_if(&id, None, operations, Shown::ByDefault).await.unwrap();
            match changed {
                Changed::Group(group) => (group.version, Some(group.members.len())),
                Changed::TooLargeToShow { version, .. } => (version, None),
            }
        };
        assert_eq!(by_default(rename("One")).await, (2, Some(MEMBERS_SHOWN)));
        assert_eq!(by_default(join.clone()).await, (3, None));
        assert_eq!(by_default(join.clone()).await, (3, None), "nothing changed, and it is as large");
        assert_eq!(by_default(rename("Two")).await, (4, None));
        let asked_for = client.patch_if(&id, None, rename("Three"), Shown::Members).await.unwrap();
        assert_eq!(asked_for.group().unwrap().members.len(), MEMBERS_SHOWN + 1);
        let without = client.patch_if(&id, None, rename("Four"), Shown::NoMembers).await.unwrap();
        assert!(without.group().unwrap().members.is_empty());
        assert_eq!(by_default(leave).await, (7, Some(MEMBERS_SHOWN)));
        let put = json!({ "displayName": "Five", "members": values(&people) });
        // Within a millisecond the order of records is chance, and only the newest are listed.
        house.clock.advance(1);
        let put = client.put(&id, put, Shown::ByDefault).await.unwrap();
        assert!(matches!(put, Changed::TooLargeToShow { version: 8, .. }), "{put:?}");
        // The record says what was answered.
        let log = ops::usage::of_federation(&house.admin(), &client.federation.slug, 5_000).await.unwrap();
        let put = log.iter().find(|record| record.method == "PUT").unwrap();
        assert_eq!(put.status, 204);
        // One statement empties it, whatever its size.
        assert_eq!(
            by_default(json!([{ "op": "replace", "path": "members", "value": [] }])).await,
            (9, Some(0))
        );
        house.close().await;
    }
}

#[tokio::test]
async fn the_limit_on_members_of_a_request_is_kept_and_named() {
    for house in houses().await {
        let client = Client::new(&house).await;
        let id = client.group("All", &[]).await.unwrap().id.to_string();
        let limit = groups::MEMBERS_PER_REQUEST;
        let strangers =
            |count: usize| -> Vec<String> { (0..count).map(|number| format!("s{number}")).collect() };
        let add = |count| json!([{ "op": "add", "path": "members", "value": values(&strangers(count)) }]);
        let at_limit = client.patch(&id, add(limit)).await.unwrap_err();
        assert!(at_limit.to_string().contains("s0"), "it is about the strangers: {at_limit}");
        for refused in [
            client.patch(&id, add(limit + 1)).await.unwrap_err(),
            client
                .put(
                    &id,
                    json!({ "displayName": "x", "members": values(&strangers(limit + 1)) }),
                    Shown::Members,
                )
                .await
                .unwrap_err(),
            client.group("Other", &strangers(limit + 1)).await.unwrap_err(),
        ] {
            assert_eq!(status_of(&refused), 400);
            assert!(refused.to_string().contains(&limit.to_string()), "{refused}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn the_audit_record_counts_everybody_and_lists_twenty() {
    for house in houses().await {
        let client = Client::new(&house).await;
        let people = client.users(25).await;
        let id = client.group("All", &[]).await.unwrap().id.to_string();
        client
            .patch(&id, json!([{ "op": "add", "path": "members", "value": values(&people) }]))
            .await
            .unwrap();
        let page = ops::audit::list(&house.admin(), &Default::default(), None, 1).await.unwrap();
        let told: Value = serde_json::from_str(&page.records[0].event.detail).unwrap();
        assert_eq!((&told["members_added"], &told["members_removed"]), (&json!(25), &json!(0)));
        assert_eq!(told["added"].as_array().unwrap().len(), 20);
        house.close().await;
    }
}

#[tokio::test]
async fn nobody_joins_a_group_who_is_being_deleted() {
    for house in houses().await {
        let client = Client::new(&house).await;
        house.planned(&client.federation.slug, 20).await;
        let people = client.users(20).await;
        let id = client.group("All", &[]).await.unwrap().id.to_string();
        let mut tasks = Vec::new();
        for person in &people {
            let join = json!([{ "op": "add", "path": "members", "value": [{ "value": person }] }]);
            let join = scim::patch::from_value(json!({ "Operations": join })).unwrap();
            let (one, two, id, person) = (client.cx().await, client.cx().await, id.clone(), person.clone());
            tasks.push(tokio::spawn(async move {
                let (patch, delete) = (asked("PATCH", "Groups"), asked("DELETE", "Users"));
                let joined = groups::patch(&one, &patch, &id, None, join, Shown::NoMembers);
                let left = users::delete(&two, &delete, &person, None);
                let (joined, left) = tokio::join!(joined, left);
                left.unwrap();
                assert!(joined.is_ok() || joined.is_err_and(|error| status_of(&error) == 400));
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert!(client.get(&id).await.members.is_empty());
        house.close().await;
    }
}

/// Two nodes on one Postgres: what neither sees of the other until the commit.
#[tokio::test]
async fn two_nodes_close_a_circle_and_leave_nobody_behind_who_was_deleted() {
    let Some(database) = store::testing::postgres().await else { return };
    let clock = Arc::new(TestClock::default());
    let one = testing::open(database.target.clone(), Arc::clone(&clock)).await;
    // Chance of its own, or both nodes give out the same ids.
    let other = testing::open(database.target.clone(), Arc::clone(&clock)).await;
    for _ in 0..1_000 {
        other.request_info();
    }
    let house = House { keyward: one, clock, database };
    let client = Client::new(&house).await;
    let slug = client.federation.slug.as_str();
    let there = async || {
        let bearer = Some(client.secret.expose());
        scim_client::authenticate(&other, &other.request_info(), slug, bearer, &asked("PATCH", "Groups"))
            .await
            .unwrap()
    };
    let join = |id: &str| {
        let operations = json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]);
        scim::patch::from_value(json!({ "Operations": operations })).unwrap()
    };
    for round in 0..10 {
        // a takes b and b takes a, at once: neither waits for the other for ever, and both are done.
        let mut groups = Vec::new();
        for name in ["a", "b", "c"] {
            groups.push(client.group(&format!("{name}{round}"), &[]).await.unwrap().id.to_string());
        }
        let [a, b, c] = groups.as_slice() else { panic!("three groups were made") };
        let patch = asked("PATCH", "Groups");
        let (here, there_cx) = (client.cx().await, there().await);
        let (first, second) = tokio::join!(
            groups::patch(&here, &patch, a, None, join(b), Shown::NoMembers),
            groups::patch(&there_cx, &patch, b, None, join(a), Shown::NoMembers),
        );
        first.unwrap();
        second.unwrap();
        assert_eq!(ids(&client.get(a).await), set(std::slice::from_ref(b)));
        assert_eq!(ids(&client.get(b).await), set(std::slice::from_ref(a)));

        // c joins a and is deleted, at once.
        let (here, there_cx) = (client.cx().await, there().await);
        let delete = asked("DELETE", "Groups");
        let (joined, left) = tokio::join!(
            groups::patch(&here, &patch, a, None, join(c), Shown::NoMembers),
            groups::delete(&there_cx, &delete, c, None),
        );
        left.unwrap();
        assert!(joined.is_ok() || joined.is_err_and(|error| status_of(&error) == 400));
        assert!(!ids(&client.get(a).await).contains(c), "a member that nobody is");

        let person = client.user(&format!("u{round}")).await;
        let (here, there_cx) = (client.cx().await, there().await);
        let delete = asked("DELETE", "Users");
        let (joined, left) = tokio::join!(
            groups::patch(&here, &patch, a, None, join(&person), Shown::NoMembers),
            users::delete(&there_cx, &delete, &person, None),
        );
        left.unwrap();
        assert!(joined.is_ok() || joined.is_err_and(|error| status_of(&error) == 400));
        assert!(!ids(&client.get(a).await).contains(&person), "a member that nobody is");
    }
    other.close().await;
    house.close().await;
}
