//! The journal in the large, and for how long it is kept.

use domain::{DAY_MS, journal::Selection};
use ops::{
    groups,
    journal::{blast, undo},
    users,
};
use scim::ResourceType;
use serde_json::json;

use crate::{
    journal::{Hand, by, person, plan, snapshot},
    support::{asked, houses, resource},
};

#[tokio::test]
async fn a_thousand_deletions_in_a_group_of_ten_thousand_come_back_also_after_a_stop_in_between() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (good, bad) =
            (Hand::new(&house, &federation, "good").await, Hand::new(&house, &federation, "bad").await);
        let cx = good.cx().await;
        let mut people = Vec::new();
        for block in 0..50 {
            let made = (0..200).map(|number| {
                let new = resource(ResourceType::User, json!({ "userName": format!("u{block}-{number}") }));
                let cx = &cx;
                async move { users::create(cx, &asked("POST", "Users"), new).await.unwrap().id.to_string() }
            });
            people.extend(futures_all(made).await);
        }
        let group = good.group("all", &people).await;
        let before = snapshot(&good.cx().await).await;
        for part in people[..1_000].chunks(250) {
            house.clock.advance(DAY_MS + 3_600_000);
            let (cx, delete) = (bad.cx().await, asked("DELETE", "Users"));
            for ids in part.chunks(50) {
                let deleted = ids.iter().map(|id| users::delete(&cx, &delete, id, None));
                for result in futures_all(deleted).await {
                    result.unwrap();
                }
            }
        }
        let left = groups::get(&good.cx().await, &asked("GET", "Groups"), &group).await.unwrap();
        assert_eq!(left.members.len(), 9_000);

        let (admin, slug, wish) = (house.admin(), &federation.slug, by(&bad.key_id));
        let planned = plan(&house, &federation, &wish).await;
        assert_eq!((planned.changes, planned.counts.skipped, planned.counts.cannot), (1_000, 0, 0));
        let id = undo::begin(&admin, slug, &wish, &planned.hash).await.unwrap();
        // Whoever carries it out is gone after the first units.
        let some_are_done = async {
            while undo::open(&admin, slug, &id).await.unwrap().done == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = some_are_done => {}
            ended = undo::run(&admin, slug, &id) => ended.unwrap(),
        }
        undo::run(&admin, slug, &id).await.unwrap();
        let view = undo::open(&admin, slug, &id).await.unwrap();
        assert_eq!((view.done, view.report.not_done), (view.undo.units, 0), "{:?}", view.report);
        assert!(view.undo.units >= 10, "in bounded units: {}", view.undo.units);
        assert_eq!((view.report.resources, view.report.members), (1_000, 1_000));
        let after = snapshot(&good.cx().await).await;
        assert_eq!(after.len(), before.len());
        assert!(before.iter().all(|(id, text)| after.get(id) == Some(text)));
        house.close().await;
    }
}

#[tokio::test]
async fn a_large_undo_is_carried_out_by_the_timer_and_a_small_one_at_once() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (good, bad) =
            (Hand::new(&house, &federation, "good").await, Hand::new(&house, &federation, "bad").await);
        let people = futures_all((0..320).map(|number| good.user(person(number)))).await;
        let rename = |id: &str, to: &'static str| {
            let id = id.to_owned();
            let bad = &bad;
            async move { bad.set(&id, "title", json!(to)).await.unwrap() }
        };
        futures_all(people.iter().map(|id| rename(id, "Thief"))).await;
        let (admin, slug, wish) = (house.admin(), &federation.slug, by(&bad.key_id));
        let planned = plan(&house, &federation, &wish).await;
        let id = undo::apply(&admin, slug, &wish, &planned.hash).await.unwrap();
        let begun = undo::open(&admin, slug, &id).await.unwrap();
        assert!(begun.undo.units > undo::AT_ONCE, "{} units", begun.undo.units);
        assert_eq!((begun.done, begun.undo.ended_ms), (0, None), "the form does not wait for it");
        assert_eq!(undo::round(&house.keyward, "node").await.unwrap(), Some(1));
        let ended = undo::open(&admin, slug, &id).await.unwrap();
        assert_eq!((ended.done, ended.report.resources), (ended.undo.units, 320), "{:?}", ended.report);
        assert!(ended.undo.ended_ms.is_some());
        assert_eq!(undo::round(&house.keyward, "node").await.unwrap(), Some(0), "nothing is left");

        rename(&people[0], "Again").await;
        let planned = plan(&house, &federation, &wish).await;
        let id = undo::apply(&admin, slug, &wish, &planned.hash).await.unwrap();
        assert!(undo::open(&admin, slug, &id).await.unwrap().undo.ended_ms.is_some());
        house.close().await;
    }
}

async fn futures_all<F: Future>(all: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    futures::future::join_all(all).await
}

#[tokio::test]
async fn the_journal_is_kept_for_as_long_as_it_is_set() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let good = Hand::new(&house, &federation, "good").await;
        good.user(person(0)).await;
        house.clock.advance(80 * DAY_MS);
        good.user(person(1)).await;
        let everything = Selection::default();
        let count = async || {
            blast::radius(&house.admin(), &federation.slug, &everything, None).await.unwrap().changes
        };
        for (days, expected) in [(319, 2), (2, 1), (80, 0)] {
            house.clock.advance(days * DAY_MS);
            ops::upkeep::run(&house.keyward, "node").await.unwrap();
            assert_eq!(count().await, expected, "after {days} more days");
        }
        house.close().await;
    }
}
