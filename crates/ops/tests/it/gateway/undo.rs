//! Taking back what was done at an upstream: resource by resource, once each, whatever happens in between.

use domain::{DAY_MS, KeyId, ResourceId, Secret, UndoId, federations::Federation, journal::Selection};
use ops::{
    gateway::{requests, target},
    journal::{
        blast, history,
        undo::{self, Doing, Verdict, Wish},
    },
};
use scim::ResourceType;
use serde_json::{Value, json};

use super::{KIND, id_of, open_calls};
use crate::{
    journal::{by, ops_of, plan, take_back},
    support::{House, asked, houses, resource},
    upstream::{Memory, Mishap, new_upstream},
};

const GROUP: ResourceType = ResourceType::Group;

/// Whoever pushes to the federation with one key.
struct Hand<'h> {
    house: &'h House,
    federation: &'h Federation,
    key_id: KeyId,
    secret: Secret,
}

impl<'h> Hand<'h> {
    async fn new(house: &'h House, federation: &'h Federation, name: &str) -> Self {
        let (key_id, secret) = house.key(federation, name).await;
        Self { house, federation, key_id, secret }
    }

    async fn create(&self, kind: ResourceType, body: Value) -> String {
        let cx = self.house.client(self.federation, &self.secret).await;
        let made = requests::create(&cx, &asked("POST", kind.name()), resource(kind, body)).await;
        id_of(&made.unwrap())
    }

    async fn user(&self, name: &str) -> String {
        let emails = json!([{ "value": format!("{name}@example.com"), "type": "work" }]);
        let body = json!({
            "userName": name, "externalId": format!("x-{name}"), "active": true, "title": "Engineer",
            "emails": emails,
        });
        self.create(KIND, body).await
    }

    async fn patch(&self, kind: ResourceType, id: &str, operations: Value) {
        let cx = self.house.client(self.federation, &self.secret).await;
        let asks = asked("PATCH", kind.name());
        requests::patch(&cx, &asks, (kind, id), None, ops_of(operations)).await.unwrap();
    }

    async fn set(&self, id: &str, path: &str, value: Value) {
        self.patch(KIND, id, json!([{ "op": "replace", "path": path, "value": value }])).await;
    }

    async fn delete(&self, kind: ResourceType, id: &str) {
        let cx = self.house.client(self.federation, &self.secret).await;
        requests::delete(&cx, &asked("DELETE", kind.name()), kind, id, None).await.unwrap();
    }

    async fn get(&self, kind: ResourceType, id: &str) -> Value {
        let cx = self.house.client(self.federation, &self.secret).await;
        requests::get(&cx, &asked("GET", kind.name()), kind, id).await.unwrap().body
    }
}

/// The resource of a name at the service.
fn there(memory: &Memory, name: &str) -> Option<Value> {
    let resources = memory.resources.lock().unwrap();
    let is_it = |value: &&Value| value["userName"] == name || value["displayName"] == name;
    resources.values().map(|(_, value)| value).find(is_it).cloned()
}

fn count(calls: &[String], method: &str) -> usize {
    calls.iter().filter(|call| call.starts_with(method)).count()
}

/// Confirms the plan of a wish; nothing of it is done yet.
async fn begin(house: &House, federation: &Federation, wish: &Wish) -> UndoId {
    let planned = plan(house, federation, wish).await;
    undo::begin(&house.admin(), &federation.slug, wish, &planned.hash).await.unwrap()
}

async fn view(house: &House, federation: &Federation, id: &UndoId) -> undo::View {
    undo::open(&house.admin(), &federation.slug, id).await.unwrap()
}

#[tokio::test]
async fn what_a_key_did_at_an_upstream_comes_back_there_and_later_changes_stay() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let good = Hand::new(&house, &federation, "good").await;
        let bad = Hand::new(&house, &federation, "bad").await;
        let [ada, ben, cleo] = [good.user("ada").await, good.user("ben").await, good.user("cleo").await];
        let members = json!([{ "value": ada }, { "value": ben }, { "value": cleo }]);
        let team = good.create(GROUP, json!({ "displayName": "Team", "members": members })).await;
        let before = there(&memory, "Team").unwrap()["members"].clone();
        let old_cleo = there(&memory, "cleo").unwrap()["id"].clone();

        bad.patch(GROUP, &team, json!([{ "op": "remove", "path": "members" }])).await;
        bad.set(&ada, "emails", json!([{ "value": "ada@evil.example", "type": "work" }])).await;
        bad.set(&ben, "active", json!(false)).await;
        bad.delete(KIND, &cleo).await;
        let eve = bad.user("eve").await;
        good.set(&ada, "title", json!("Lead")).await;

        let done = blast::radius(&house.admin(), &federation.slug, &by(&bad.key_id).selection, None).await;
        let done = done.unwrap();
        assert_eq!((done.changes, done.resources, done.deactivated, done.memberships), (5, 5, 1, (0, 3)));
        memory.called();
        let planned = plan(&house, &federation, &by(&bad.key_id)).await;
        assert_eq!((planned.counts.skipped, planned.counts.cannot), (0, 0), "{:#?}", planned.items);
        assert_eq!(count(&memory.called(), "Get"), 4, "what is there was looked at");
        let id = take_back(&house, &federation, &by(&bad.key_id)).await;

        let calls = memory.called();
        assert_eq!((count(&calls, "Post"), count(&calls, "Delete")), (1, 1), "{calls:#?}");
        assert_eq!(there(&memory, "ada").unwrap()["emails"][0]["value"], "ada@example.com");
        assert_eq!(there(&memory, "ada").unwrap()["title"], "Lead", "a later change stays");
        assert_eq!(there(&memory, "ben").unwrap()["active"], true);
        assert!(there(&memory, "eve").is_none());
        let new_cleo = there(&memory, "cleo").unwrap()["id"].clone();
        assert_ne!(new_cleo, old_cleo, "the service gives its own ids");
        let inside = there(&memory, "Team").unwrap()["members"].clone();
        let ids = |members: &Value| -> Vec<String> {
            let mut ids: Vec<String> =
                members.as_array().unwrap().iter().map(|m| m["value"].to_string()).collect();
            ids.sort();
            ids
        };
        let expected = before.to_string().replace(&old_cleo.to_string(), &new_cleo.to_string());
        assert_eq!(ids(&inside), ids(&serde_json::from_str(&expected).unwrap()));
        // Under the ids of before.
        assert_eq!(good.get(KIND, &cleo).await["userName"], "cleo");
        let shown = good.get(GROUP, &team).await["members"].clone();
        for id in [&ada, &ben, &cleo] {
            assert!(shown.to_string().contains(id), "{shown}");
        }
        let view = view(&house, &federation, &id).await;
        assert_eq!((view.report.resources, view.report.members, view.done), (4, 3, view.undo.units));
        assert_eq!(view.report.did.len(), 5, "{:?}", view.report.did);
        assert_eq!(open_calls(&house, "gate").await, 0);

        // In the journal and the log, by the person who confirmed it, and to be undone in turn.
        let (admin, cleo_id) = (house.admin(), ResourceId::parse(&cleo).unwrap());
        let past = history::of(&admin, &federation.slug, &cleo_id, None).await.unwrap().entries;
        assert_eq!((past[0].undo_of.as_ref(), past[0].key_id.as_ref()), (Some(&id), None));
        assert_eq!(past[0].actor.name, house.admin().actor().name);
        let again =
            Wish { selection: Selection { undo: Some(id), ..Selection::default() }, ..Wish::default() };
        let again = plan(&house, &federation, &again).await;
        assert_eq!(
            (again.changes, again.counts.skipped, again.counts.cannot),
            (5, 0, 0),
            "{:#?}",
            again.items
        );
        assert!(again.items.iter().any(|item| item.id == cleo && item.doing == Doing::Remove));
        assert!(again.items.iter().any(|item| item.id == eve && item.doing == Doing::Revive));
        let log = house.log().await;
        assert_eq!(log.iter().filter(|line| line.starts_with("undo.applied done")).count(), 5, "{log:#?}");
        house.close().await;
    }
}

#[tokio::test]
async fn what_was_changed_at_the_service_is_left_alone_unless_told() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let good = Hand::new(&house, &federation, "good").await;
        let bad = Hand::new(&house, &federation, "bad").await;
        let [ada, ben] = [good.user("ada").await, good.user("ben").await];
        for id in [&ada, &ben] {
            bad.set(id, "title", json!("Thief")).await;
        }
        let behind = |name: &str, title: &str| {
            let mut resources = memory.resources.lock().unwrap();
            let (_, value) = resources.values_mut().find(|(_, value)| value["userName"] == name).unwrap();
            value["title"] = json!(title);
        };
        behind("ada", "Lead");
        let wish = by(&bad.key_id);
        let planned = plan(&house, &federation, &wish).await;
        let of = |id: &str| &planned.items.iter().find(|item| item.id == id).unwrap().lines[0];
        assert!(matches!(&of(&ada).verdict, Verdict::Skipped(by) if by.name == "somebody"), "{planned:#?}");
        assert_eq!((&of(&ada).now, &of(&ben).verdict), (&Some(json!("Lead")), &Verdict::Restored));

        // What is changed after the plan is left alone too.
        let id = undo::begin(&house.admin(), &federation.slug, &wish, &planned.hash).await.unwrap();
        behind("ben", "Head");
        undo::run(&house.admin(), &federation.slug, &id).await.unwrap();
        let ended = view(&house, &federation, &id).await;
        assert_eq!((ended.report.resources, ended.report.not_done), (0, 1), "{:?}", ended.report);
        assert!(ended.report.notes[0].text.contains("changed at the service since"), "{:?}", ended.report);
        assert!(ended.undo.ended_ms.is_some());
        assert_eq!(there(&memory, "ada").unwrap()["title"], "Lead");
        assert_eq!(there(&memory, "ben").unwrap()["title"], "Head");

        let one = Wish { over: [ada.clone()].into(), ..wish.clone() };
        take_back(&house, &federation, &one).await;
        assert_eq!(there(&memory, "ada").unwrap()["title"], "Engineer");
        assert_eq!(there(&memory, "ben").unwrap()["title"], "Head");
        let all = Wish { over_all: true, ..wish };
        take_back(&house, &federation, &all).await;
        assert_eq!(there(&memory, "ben").unwrap()["title"], "Engineer");
        house.close().await;
    }
}

#[tokio::test]
async fn a_creation_of_which_nobody_knows_is_looked_for_and_made_once() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let good = Hand::new(&house, &federation, "good").await;
        let bad = Hand::new(&house, &federation, "bad").await;
        let ada = good.user("ada").await;
        bad.delete(KIND, &ada).await;
        let id = begin(&house, &federation, &by(&bad.key_id)).await;
        memory.called();
        // Nobody has the name, by external id and by name; then it is created, and the answer is lost.
        for mishap in [Mishap::Fine, Mishap::Fine, Mishap::DoneSilent] {
            memory.next(mishap);
        }
        undo::run(&house.admin(), &federation.slug, &id).await.unwrap();
        let waits = view(&house, &federation, &id).await;
        assert_eq!((waits.done, waits.waiting.len(), waits.undo.ended_ms), (0, 1, None));
        assert!(waits.waiting[0].text.contains("not known"), "{:?}", waits.waiting);
        assert_eq!(open_calls(&house, "gate").await, 1);
        assert_eq!(undo::round(&house.keyward, "node").await.unwrap(), Some(0), "it waits for a while");
        house.clock.advance(10_000);
        assert_eq!(undo::round(&house.keyward, "node").await.unwrap(), Some(1));
        let ended = view(&house, &federation, &id).await;
        assert_eq!((ended.report.resources, ended.report.not_done), (1, 0), "{:?}", ended.report);
        assert!(ended.undo.ended_ms.is_some() && ended.waiting.is_empty());
        assert_eq!(count(&memory.called(), "Post"), 1);
        assert_eq!(memory.names(), ["ada"]);
        assert_eq!(good.get(KIND, &ada).await["userName"], "ada");
        house.close().await;
    }
}

/// Carries an undo out until the service is asked for something by a method, and dies there.
async fn dies_at(house: &House, federation: &Federation, id: &UndoId, memory: &Memory, method: &str) {
    let admin = house.admin();
    let is_asked = async {
        while count(&memory.calls.lock().unwrap(), method) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = is_asked => {}
        ended = undo::run(&admin, &federation.slug, id) => panic!("it did not hang: {ended:?}"),
    }
}

#[tokio::test]
async fn who_dies_after_a_call_goes_on_and_each_resource_comes_back_exactly_once() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let good = Hand::new(&house, &federation, "good").await;
        let bad = Hand::new(&house, &federation, "bad").await;
        let [ada, ben] = [good.user("ada").await, good.user("ben").await];
        bad.set(&ada, "title", json!("Thief")).await;
        bad.delete(KIND, &ben).await;
        let eve = bad.user("eve").await;
        let id = begin(&house, &federation, &by(&bad.key_id)).await;
        memory.called();
        // Before each call there is one look, and two before a creation; what was under way when it died is
        // found to be done first: that it is gone by one look, that it is changed by two.
        for (method, looks) in [("Delete", 1), ("Patch", 1 + 1), ("Post", 2 + 2)] {
            for _ in 0..looks {
                memory.next(Mishap::Fine);
            }
            memory.next(Mishap::DoneHang);
            dies_at(&house, &federation, &id, &memory, method).await;
            house.clock.advance(70_000);
        }
        let done = undo::round(&house.keyward, "other").await.unwrap();
        assert_eq!(done, Some(1));
        let ended = view(&house, &federation, &id).await;
        assert!(ended.undo.ended_ms.is_some(), "{ended:#?}");
        assert_eq!((ended.report.resources, ended.report.not_done), (3, 0), "{:?}", ended.report);
        let calls = memory.called();
        for method in ["Delete", "Patch", "Post"] {
            assert_eq!(count(&calls, method), 1, "{calls:#?}");
        }
        assert_eq!(there(&memory, "ada").unwrap()["title"], "Engineer");
        assert!(there(&memory, "ben").is_some() && there(&memory, "eve").is_none());
        for resource in [&ada, &ben, &eve] {
            let resource = ResourceId::parse(resource).unwrap();
            let past = history::of(&house.admin(), &federation.slug, &resource, None).await.unwrap().entries;
            let own = past.iter().filter(|entry| entry.undo_of.as_ref() == Some(&id));
            assert_eq!(own.count(), 1, "{past:#?}");
        }
        assert_eq!(open_calls(&house, "gate").await, 0);
        house.close().await;
    }
}

#[tokio::test]
async fn a_service_that_is_away_is_waited_for_and_one_refusal_stops_nothing() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let good = Hand::new(&house, &federation, "good").await;
        let bad = Hand::new(&house, &federation, "bad").await;
        let mut ids = Vec::new();
        for name in ["ada", "ben", "cleo", "dan", "eva"] {
            let id = good.user(name).await;
            bad.set(&id, "title", json!("Thief")).await;
            ids.push(id);
        }
        let id = begin(&house, &federation, &by(&bad.key_id)).await;
        memory.called();
        // A look that is refused is tried once more; three that wait say that the others would.
        for _ in 0..6 {
            memory.next(Mishap::Refused);
        }
        undo::run(&house.admin(), &federation.slug, &id).await.unwrap();
        let waits = view(&house, &federation, &id).await;
        // Five failures have opened the breaker.
        assert_eq!((waits.done, waits.undo.ended_ms), (0, None));
        assert!((1..=3).contains(&waits.waiting.len()), "{:?}", waits.waiting);
        assert_eq!(count(&memory.called(), "Patch"), 0);
        memory.mishaps.lock().unwrap().clear();

        house.clock.advance(60_000);
        memory.next(Mishap::Fine);
        memory
            .next(Mishap::Answer(400, r#"{"scimType":"mutability","detail":"not that one","status":"400"}"#));
        assert_eq!(undo::round(&house.keyward, "node").await.unwrap(), Some(1));
        let ended = view(&house, &federation, &id).await;
        assert!(ended.undo.ended_ms.is_some(), "{ended:#?}");
        assert_eq!((ended.report.resources, ended.report.not_done), (4, 1), "{:?}", ended.report);
        assert!(ended.report.notes[0].text.contains("not that one"), "{:?}", ended.report);
        house.close().await;
    }
}

#[tokio::test]
async fn what_a_service_did_not_do_within_a_day_is_given_up_and_told() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let good = Hand::new(&house, &federation, "good").await;
        let bad = Hand::new(&house, &federation, "bad").await;
        let ada = good.user("ada").await;
        bad.set(&ada, "title", json!("Thief")).await;
        let id = begin(&house, &federation, &by(&bad.key_id)).await;
        for _ in 0..2 {
            memory.next(Mishap::Answer(401, ""));
        }
        undo::run(&house.admin(), &federation.slug, &id).await.unwrap();
        assert_eq!(view(&house, &federation, &id).await.done, 0);
        house.clock.advance(DAY_MS + 1_000);
        assert_eq!(undo::round(&house.keyward, "node").await.unwrap(), Some(1));
        let ended = view(&house, &federation, &id).await;
        assert_eq!((ended.undo.ended_ms.is_some(), ended.report.not_done), (true, 1), "{ended:#?}");
        assert!(ended.report.notes[0].text.contains("within a day"), "{:?}", ended.report);
        assert_eq!(there(&memory, "ada").unwrap()["title"], "Thief");
        let log = house.log().await;
        assert_eq!(log.iter().filter(|line| line.starts_with("upstream.refused-us")).count(), 2, "{log:#?}");
        house.close().await;
    }
}

#[tokio::test]
async fn an_upstream_without_patch_gets_whole_resources_and_keeps_what_it_knows_besides() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let slug = &federation.slug;
        let mut new = new_upstream(federation.version);
        new.quirks = vec!["no-patch".to_owned()];
        target::set_upstream(&house.admin(), slug, new).await.unwrap();
        let good = Hand::new(&house, &federation, "good").await;
        let bad = Hand::new(&house, &federation, "bad").await;
        let [ada, ben] = [good.user("ada").await, good.user("ben").await];
        let members = json!([{ "value": ada }, { "value": ben }]);
        let team = good.create(GROUP, json!({ "displayName": "Team", "members": members })).await;
        let behind = |size: i64| {
            for (_, value) in memory.resources.lock().unwrap().values_mut() {
                value["shoeSize"] = json!(size);
            }
        };
        // What the schemas do not know is the service's own, also what it changes when a key writes.
        behind(38);
        bad.set(&ada, "title", json!("Thief")).await;
        bad.patch(GROUP, &team, json!([{ "op": "remove", "path": "members" }])).await;
        behind(39);
        memory.called();
        take_back(&house, &federation, &by(&bad.key_id)).await;
        let calls = memory.called();
        assert_eq!((count(&calls, "Put"), count(&calls, "Patch")), (2, 0), "{calls:#?}");
        let ada = there(&memory, "ada").unwrap();
        assert_eq!((&ada["title"], &ada["shoeSize"]), (&json!("Engineer"), &json!(39)));
        assert_eq!(there(&memory, "Team").unwrap()["members"].as_array().unwrap().len(), 2);
        house.close().await;
    }
}

#[tokio::test]
async fn two_nodes_and_a_form_that_carry_an_undo_out_at_once_ask_for_each_resource_once() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let good = Hand::new(&house, &federation, "good").await;
        let bad = Hand::new(&house, &federation, "bad").await;
        for name in ["ada", "ben", "cleo", "dan"] {
            let id = good.user(name).await;
            bad.delete(KIND, &id).await;
        }
        let id = begin(&house, &federation, &by(&bad.key_id)).await;
        memory.called();
        let admin = house.admin();
        let (one, other, form) = tokio::join!(
            undo::round(&house.keyward, "one"),
            undo::round(&house.keyward, "other"),
            undo::run(&admin, &federation.slug, &id),
        );
        for ended in [one.map(drop), other.map(drop), form] {
            ended.unwrap();
        }
        house.clock.advance(70_000);
        undo::round(&house.keyward, "one").await.unwrap();
        let ended = view(&house, &federation, &id).await;
        assert_eq!((ended.report.resources, ended.report.not_done), (4, 0), "{:?}", ended.report);
        assert_eq!(count(&memory.called(), "Post"), 4);
        house.close().await;
    }
}

#[tokio::test]
async fn without_audit_nothing_is_taken_back_at_an_upstream() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let good = Hand::new(&house, &federation, "good").await;
        let bad = Hand::new(&house, &federation, "bad").await;
        let ada = good.user("ada").await;
        bad.set(&ada, "title", json!("Thief")).await;
        let id = begin(&house, &federation, &by(&bad.key_id)).await;
        memory.called();
        ops::testing::break_audit(&house.keyward).await;
        undo::run(&house.admin(), &federation.slug, &id).await.unwrap_err();
        assert_eq!(count(&memory.called(), "Patch"), 0);
        assert_eq!(there(&memory, "ada").unwrap()["title"], "Thief");
        house.keyward.close().await;
    }
}
