//! Targets that give out the old key until the new one has proved itself, and what they have when a rotation ends
//! otherwise.

use domain::{
    HOUR_MS, Secret,
    deliveries::{Connector, DeliveryStep, FailureKind, Target},
    rotations::{Stage, Step, evidence::Verdict},
};
use ops::{deliveries, rotations};

use crate::{
    deliveries::{Scene, run, scene, work},
    rotations::{round, seen},
    support::{House, houses},
    targets::{CREDENTIAL, Mishap, add, new_target},
};

/// A successor that works and lies as AWSPENDING.
async fn staged(house: &House) -> (Scene, Target) {
    let scene = scene(house, "own").await;
    let target = add(house, scene.slug(), Connector::AwsSecretsManager, "aws").await;
    scene.rotate(house).await;
    run(house).await;
    (scene, target)
}

async fn used(house: &House, scene: &Scene) {
    let held = scene.memory.held.lock().unwrap().values().next().cloned().unwrap();
    work(house, "own", &held).await;
    assert_eq!(scene.stage(house).await, Stage::Open(Step::InUse));
}

/// Time goes by, and somebody watches.
async fn days(house: &House, days: i64) {
    for _ in 0..days * 24 {
        house.clock.advance(HOUR_MS);
        rotations::scheduler::watched_until_now(&house.keyward);
        round(house).await;
    }
}

fn has_ended(stage: Stage) -> bool {
    stage.has_ended()
}

/// Changes a target, as an admin who types in its credential.
async fn change(house: &House, scene: &Scene, target: &Target, fields: &[(&str, &str)]) -> Target {
    let mut new = new_target(Connector::AwsSecretsManager, &target.name);
    new.id = Some(target.id.clone());
    new.version = target.version;
    new.credential = Secret::new(CREDENTIAL.to_owned());
    new.fields.extend(fields.iter().map(|(field, text)| ((*field).to_owned(), (*text).to_owned())));
    deliveries::set(&house.admin(), scene.slug(), new).await.unwrap()
}

fn promotions(scene: &Scene) -> usize {
    scene.memory.stepped().iter().filter(|step| step.starts_with("promote")).count()
}

async fn told(house: &House) -> String {
    let open = ops::findings::list(&house.admin(), &Default::default()).await.unwrap();
    format!("{open:?}")
}

#[tokio::test]
async fn the_old_key_lives_as_long_as_its_target_gives_it_out() {
    for house in houses().await {
        let (scene, _) = Box::pin(staged(&house)).await;
        used(&house, &scene).await;
        scene.memory.next(DeliveryStep::Promote, Mishap::Not(FailureKind::Refused));
        run(&house).await;
        days(&house, 5).await;
        let view = seen(&house, &scene.key).await;
        assert!(!has_ended(view.rotation.stage), "{:?}", view.rotation.stage);
        assert_eq!(view.verdict, Verdict::WaitsForTarget);
        assert!(view.old_state.opens(), "{:?}", view.old_state);
        run(&house).await;
        assert_eq!(scene.states(&house).await, ["promoted"]);
        days(&house, 5).await;
        assert_eq!(scene.stage(&house).await, Stage::Retired);
        house.close().await;
    }
}

#[tokio::test]
async fn a_target_that_was_removed_moves_nothing_and_says_so_until_a_person_finishes() {
    for is_early in [true, false] {
        for house in houses().await {
            let (scene, target) = Box::pin(staged(&house)).await;
            if is_early {
                deliveries::remove(&house.admin(), scene.slug(), &target.id).await.unwrap();
                used(&house, &scene).await;
            } else {
                used(&house, &scene).await;
                deliveries::remove(&house.admin(), scene.slug(), &target.id).await.unwrap();
            }
            run(&house).await;
            days(&house, 5).await;
            run(&house).await;
            assert_eq!(scene.states(&house).await, ["delivered"], "it was not moved");
            assert!(!has_ended(scene.stage(&house).await));
            assert!(told(&house).await.contains("removed before"), "{}", told(&house).await);
            let id = seen(&house, &scene.key).await.rotation.id;
            rotations::finish(&house.admin(), &id, "AWSCURRENT was moved by hand").await.unwrap();
            house.clock.advance(2 * HOUR_MS);
            run(&house).await;
            assert_eq!(scene.states(&house).await, ["failed"], "nobody waits for it any more");
            assert_eq!(promotions(&scene), 0);
            house.close().await;
        }
    }
}

#[tokio::test]
async fn a_target_that_was_changed_is_told_to_move_only_what_it_has() {
    for house in houses().await {
        let (scene, target) = Box::pin(staged(&house)).await;
        // Another right for the same secret, which moves at once from now on: it still has to move.
        let again = [("access_key_id", "AKIDOTHER"), ("current", "at-once")];
        let target = change(&house, &scene, &target, &again).await;
        // Another secret: it does not have the key.
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:other";
        let target = change(&house, &scene, &target, &[("arn", arn)]).await;
        used(&house, &scene).await;
        run(&house).await;
        assert_eq!(promotions(&scene), 0);
        assert_eq!(scene.states(&house).await, ["delivered"]);
        assert!(told(&house).await.contains("changed before"), "{}", told(&house).await);
        change(&house, &scene, &target, &again).await;
        house.clock.advance(HOUR_MS);
        run(&house).await;
        assert_eq!(promotions(&scene), 1, "the first secret is there again");
        assert_eq!(scene.states(&house).await, ["promoted"]);
        house.close().await;
    }
}

#[tokio::test]
async fn what_a_target_may_have_kept_is_told_when_the_key_is_withdrawn() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::OktaConnection, "okta").await;
        add(&house, scene.slug(), Connector::AwsSecretsManager, "aws").await;
        scene.rotate(&house).await;
        // Okta was given the key, and says afterwards that it takes none.
        scene.memory.next(DeliveryStep::Write, Mishap::DoneUnclear);
        scene.memory.next(DeliveryStep::ReadBack, Mishap::Not(FailureKind::Unsupported));
        run(&house).await;
        house.clock.advance(HOUR_MS);
        run(&house).await;
        assert_eq!(scene.states(&house).await, ["delivered", "failed"]);
        let id = seen(&house, &scene.key).await.rotation.id;
        rotations::roll_back(&house.admin(), &id, "not yet").await.unwrap();
        let told = told(&house).await;
        assert!(told.contains("okta may hold the key"), "{told}");
        assert!(!told.contains("aws may hold the key"), "AWSCURRENT is the old one: {told}");
        house.close().await;
    }
}

#[tokio::test]
async fn what_a_test_showed_is_approved_without_the_credential_and_another_key_is_not() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        let target = add(&house, scene.slug(), Connector::EntraGraph, "job").await;
        let shown =
            format!("graph.microsoft.com {}, login.microsoftonline.com {}", "a".repeat(64), "b".repeat(64));
        let with = |version: i64, field: &str, keys: &str, credential: &str| {
            let mut new = new_target(Connector::EntraGraph, "job");
            new.id = Some(target.id.clone());
            new.version = version;
            new.credential = Secret::new(credential.to_owned());
            new.fields.insert(field.to_owned(), keys.to_owned());
            new
        };
        let (cx, slug) = (house.admin(), scene.slug());
        let pinned = deliveries::set(&cx, slug, with(1, "pin_shown", &shown, "")).await.unwrap();
        assert_eq!(pinned.settings.trust.public_key, shown);
        assert_ne!(pinned.pinned, target.pinned);
        // Another certificate, or any, is another place for a credential.
        let faults = [
            deliveries::set(&cx, slug, with(2, "public_key", "", "")).await,
            deliveries::set(&cx, slug, with(2, "public_key", &shown.replace("aaaa", "cccc"), "")).await,
            // One for two hosts fits neither.
            deliveries::set(&cx, slug, with(2, "public_key", &"a".repeat(64), CREDENTIAL)).await,
        ];
        let fields: Vec<String> = faults
            .into_iter()
            .map(|fault| match fault {
                Err(ops::Error::Invalid(faults)) => faults[0].field.clone(),
                other => panic!("{:?}", other.map(drop)),
            })
            .collect();
        assert_eq!(fields, ["credential", "credential", "public_key"]);
        house.close().await;
    }
}
