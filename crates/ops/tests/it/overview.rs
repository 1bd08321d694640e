//! What needs somebody.

use domain::{
    DAY_MS, HOUR_MS,
    admins::{Admin, Role},
    federations::Slug,
    scopes::{ResourceKind, Scope, Verb},
};
use ops::{
    Cx,
    keys::{Rotate, issue, rotate},
    overview::{Need, open},
    search,
};

use crate::{
    brakes::user,
    support::{asked, houses, listed, new_key},
};

fn words(needs: &[Need]) -> Vec<String> {
    needs
        .iter()
        .map(|need| match need {
            Need::Ended(view) => format!("ended {}", view.key.name),
            Need::EndsSoon(view) => format!("ends {}", view.key.name),
            Need::Finding(view) => format!("finding {}", view.finding.rule.as_str()),
            Need::Rotation(view) => format!("rotation {} {}", view.old.name, view.rotation.stage.label()),
            Need::Held(view) => format!("held {}", view.key.name),
            Need::OverAge(view) => format!("over age {}", view.key.name),
            Need::Paused(view) => format!("paused {}", view.federation.slug),
            Need::NoKey(view) => format!("no key {}", view.federation.slug),
            Need::NeverUsed(view) => format!("never used {}", view.key.name),
        })
        .collect()
}

#[tokio::test]
async fn the_most_urgent_comes_first_and_goes_away_by_itself() {
    for house in houses().await {
        let cx = house.admin();
        let okta = house.federation("okta").await;
        let paused = house.federation("paused").await;
        house.federation("empty").await;
        let scope = Scope::of([(ResourceKind::Users, Verb::Read)]);
        for (name, days) in [("gone", 1), ("soon", 10), ("fresh", 90)] {
            let mut new = new_key(&okta.slug, name, scope.clone());
            new.lifetime_days = days;
            issue(&cx, new).await.unwrap();
        }
        let (old, _) = house.scoped(&okta, "old", scope.clone()).await;
        rotate(&cx, &old, Rotate::default()).await.unwrap();
        ops::federations::pause(&cx, &paused.slug).await.unwrap();
        house.clock.advance(DAY_MS + 1);
        let seen = open(&cx).await.unwrap();
        assert_eq!(
            words(&seen.needs),
            ["ended gone", "ends soon", "paused paused", "no key empty", "never used fresh",]
        );
        assert_eq!((seen.federations, seen.accepted_keys, seen.inside_policy), (3, 4, 4));
        assert_eq!(seen.ending[0].key.name, "old");
        // A rotation that goes on by itself needs nobody; one that a person stopped does, and so does a held key.
        let turn = ops::rotations::of_key(&cx, &old).await.unwrap().unwrap().rotation.id;
        ops::rotations::hold(&cx, &turn, "not today").await.unwrap();
        let fresh = seen.needs.iter().find_map(|need| match need {
            Need::NeverUsed(view) => Some(view.key.id.clone()),
            _ => None,
        });
        ops::keys::hold(&cx, &fresh.unwrap(), "looking into it").await.unwrap();
        let needs = words(&open(&cx).await.unwrap().needs);
        assert_eq!(needs[2..4], ["rotation old Held", "held fresh"], "{needs:?}");
        ops::federations::resume(&cx, &paused.slug).await.unwrap();
        assert!(!words(&open(&cx).await.unwrap().needs).contains(&"paused paused".to_owned()));
        house.close().await;
    }
}

#[tokio::test]
async fn requests_are_counted_by_hour_and_decision() {
    for house in houses().await {
        let cx = house.admin();
        let okta = house.federation("okta").await;
        let (_, secret) = house.scoped(&okta, "a", Scope::of([(ResourceKind::Users, Verb::Read)])).await;
        for _ in 0..3 {
            let client = house.client(&okta, &secret).await;
            listed(&client, scim::ResourceType::User, None, 1).await.unwrap();
        }
        let client = house.client(&okta, &secret).await;
        ops::users::delete(&client, &asked("DELETE", "Users"), "x", None).await.unwrap_err();
        house.present("elsewhere", Some(secret.expose())).await.err().unwrap();
        let seen = open(&cx).await.unwrap();
        let last = seen.hours.last().unwrap();
        assert_eq!((last.allowed, last.denied, last.refused), (3, 1, 1));
        assert_eq!((seen.requests_24h, seen.denied_24h, seen.hours.len()), (5, 2, 48));
        house.close().await;
    }
}

#[tokio::test]
async fn requests_of_a_key_are_counted_by_hour() {
    for house in houses().await {
        let okta = house.federation("okta").await;
        let (id, secret) = house.scoped(&okta, "a", Scope::of([(ResourceKind::Users, Verb::Read)])).await;
        let (other, _) = house.scoped(&okta, "b", Scope::of([(ResourceKind::Users, Verb::Read)])).await;
        for wait_ms in [0, 0, HOUR_MS, 2 * HOUR_MS] {
            house.clock.advance(wait_ms);
            let client = house.client(&okta, &secret).await;
            listed(&client, scim::ResourceType::User, None, 1).await.unwrap();
        }
        let cx = house.admin();
        let hours = ops::usage::hours_of_key(&cx, &id, 5).await.unwrap();
        assert_eq!(hours.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [0, 2, 1, 0, 1]);
        assert_eq!(hours[4].0, cx.now_ms() / HOUR_MS * HOUR_MS, "the last one has begun");
        assert_eq!(ops::usage::hours_of_key(&cx, &id, 2).await.unwrap().len(), 2);
        let silent = ops::usage::hours_of_key(&cx, &other, 5).await.unwrap();
        assert!(silent.iter().all(|(_, count)| *count == 0));
        house.close().await;
    }
}

#[tokio::test]
async fn a_few_letters_find_federations_and_keys() {
    for house in houses().await {
        let okta = house.federation("okta").await;
        house.key(&okta, "provisioning").await;
        let titles = |text: &'static str| {
            let cx = house.admin();
            async move {
                search::find(&cx, text, 10)
                    .await
                    .unwrap()
                    .into_iter()
                    .map(|hit| hit.title)
                    .collect::<Vec<_>>()
            }
        };
        assert_eq!(titles("OKT").await, ["Federation okta"]);
        assert_eq!(titles("provis").await, ["provisioning"]);
        assert!(titles("  ").await.is_empty());
        house.close().await;
    }
}

#[tokio::test]
async fn a_few_letters_find_people_of_federations_that_one_may_see() {
    for house in houses().await {
        let pushers = [house.pusher("okta").await, house.pusher("other").await];
        for (pusher, name) in pushers.iter().zip(["Mia.Lang", "mia.other"]) {
            user(&pusher.cx().await, name).await.unwrap();
        }
        let found = async |cx: &Cx<Admin>, text: &str| {
            let hits = search::find(cx, text, 10).await.unwrap();
            hits.into_iter().map(|hit| format!("{} ({})", hit.title, hit.detail)).collect::<Vec<_>>()
        };
        let (mine, others) = ("Mia.Lang (User of Federation okta)", "mia.other (User of Federation other)");
        let okta = Slug::parse("okta").unwrap();
        let operator = house.person(Role::Operator(vec![okta.clone()]));
        assert_eq!(found(&house.admin(), "MIA").await, [mine, others]);
        assert_eq!(found(&house.admin(), "mia.l").await, [mine]);
        assert_eq!(found(&operator, "mia").await, [mine]);
        assert!(found(&house.admin(), "lang").await.is_empty(), "people are found by how their name begins");
        // Many keys of the name leave room for the person.
        let federation = ops::federations::open(&house.admin(), &okta).await.unwrap().federation;
        for number in 0..12 {
            house.key(&federation, &format!("mia-{number}")).await;
        }
        let crowded = found(&house.admin(), "mia").await;
        assert_eq!(crowded.len(), 10);
        assert!(crowded.iter().any(|line| line == mine), "{crowded:?}");
        house.close().await;
    }
}
