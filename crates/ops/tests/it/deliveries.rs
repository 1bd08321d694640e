//! Deliveries: what is brought where, what happens when a target does not do as it should, and what is on record.

use std::sync::Arc;

use domain::{
    DAY_MS, HOUR_MS, KeyId,
    audit::Action,
    deliveries::{Connector, Delivery, DeliveryState, DeliveryStep, FailureKind},
    federations::{Federation, Slug},
    rotations::{Stage, Step},
};
use ops::{
    Error,
    deliveries::{self, Move},
    keys::Rotate,
    rotations,
};

use crate::{
    support::{House, houses},
    targets::{CREDENTIAL, Memory, Mishap, add, connect, new_target},
};

/// A federation, its key, and targets in memory.
pub struct Scene {
    pub federation: Federation,
    pub key: KeyId,
    pub memory: Arc<Memory>,
}

pub async fn scene(house: &House, slug: &str) -> Scene {
    let federation = house.federation(slug).await;
    let (key, _) = house.key(&federation, "first").await;
    Scene { federation, key, memory: connect(house) }
}

impl Scene {
    pub fn slug(&self) -> &Slug {
        &self.federation.slug
    }

    pub async fn rotate(&self, house: &House) -> KeyId {
        let rotate = Rotate { deliver: true, ..Rotate::default() };
        let issued = ops::keys::rotate(&house.admin(), &self.key, rotate).await.unwrap();
        assert!(issued.secret.is_none(), "what is brought is not shown");
        issued.key.id
    }

    pub async fn deliveries(&self, house: &House) -> Vec<Delivery> {
        let page = deliveries::view(&house.admin(), self.slug()).await.unwrap();
        page.deliveries.into_iter().map(|row| row.delivery).collect()
    }

    pub async fn states(&self, house: &House) -> Vec<&'static str> {
        let mut states: Vec<_> =
            self.deliveries(house).await.iter().map(|delivery| delivery.state.as_str()).collect();
        // What was made in the same millisecond has no order.
        states.sort_unstable();
        states
    }

    pub async fn stage(&self, house: &House) -> Stage {
        rotations::of_key(&house.admin(), &self.key).await.unwrap().unwrap().rotation.stage
    }
}

/// Runs until nothing is due; the time does not pass.
pub async fn run(house: &House) {
    while deliveries::run(&house.keyward).await.unwrap() > 0 {}
}

/// Every text of a database, to look for what must not be there.
async fn everything(house: &House) -> String {
    let page = ops::audit::list(&house.admin(), &Default::default(), None, 200).await.unwrap();
    let findings = ops::findings::list(&house.admin(), &Default::default()).await.unwrap();
    format!("{:?} {findings:?}", page.records)
}

#[tokio::test]
async fn a_successor_is_brought_read_back_and_wiped_and_the_rotation_moves_on() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::Vault, "one").await;
        scene.rotate(&house).await;
        assert_eq!(scene.stage(&house).await, Stage::Open(Step::Issued));
        run(&house).await;
        assert_eq!(scene.memory.stepped(), ["validate vault", "write vault", "read-back vault"]);
        assert_eq!(scene.states(&house).await, ["delivered"]);
        assert_eq!(scene.stage(&house).await, Stage::Open(Step::Delivered));
        let held = scene.memory.held.lock().unwrap().values().next().cloned().unwrap();
        house.present("own", Some(&held)).await.unwrap();
        let told = everything(&house).await;
        for secret in [held.as_str(), CREDENTIAL] {
            assert!(!told.contains(secret));
        }
        let log = house.log().await;
        let place = log.iter().position(|line| line == "delivery.asked done one").unwrap();
        assert_eq!(log[place + 1], "delivery.made done one");
        // Nothing is left to bring.
        house.clock.advance(DAY_MS);
        assert_eq!(deliveries::run(&house.keyward).await.unwrap(), 0);
        house.close().await;
    }
}

#[tokio::test]
async fn whatever_a_target_does_the_rotation_stays_the_old_key_lives_and_it_is_tried_again() {
    let mishaps = [
        (DeliveryStep::Validate, Mishap::Not(FailureKind::Weather)),
        (DeliveryStep::Validate, Mishap::Not(FailureKind::Refused)),
        (DeliveryStep::Write, Mishap::Not(FailureKind::Refused)),
        (DeliveryStep::Write, Mishap::Not(FailureKind::Unclear)),
        (DeliveryStep::Write, Mishap::Lie),
        (DeliveryStep::ReadBack, Mishap::Not(FailureKind::Weather)),
    ];
    for house in houses().await {
        let federation = house.federation("own").await;
        let (key, old) = house.key(&federation, "first").await;
        let scene = Scene { federation, key, memory: connect(&house) };
        add(&house, scene.slug(), Connector::Vault, "one").await;
        scene.rotate(&house).await;
        for (step, mishap) in mishaps.clone() {
            scene.memory.next(step, mishap.clone());
            deliveries::run(&house.keyward).await.unwrap();
            assert_eq!(scene.states(&house).await, ["waiting"], "{step:?} {mishap:?}");
            assert_eq!(scene.stage(&house).await, Stage::Open(Step::Issued));
            house.present("own", Some(old.expose())).await.unwrap();
            let delivery = scene.deliveries(&house).await.remove(0);
            assert!(
                delivery.due_ms > house.keyward.clock().now_ms() && !delivery.report.sentence().is_empty()
            );
            // Not before its time.
            assert_eq!(deliveries::run(&house.keyward).await.unwrap(), 0);
            house.clock.advance(2 * HOUR_MS);
        }
        let open = ops::findings::list(&house.admin(), &Default::default()).await.unwrap();
        assert_eq!(open.len(), 1, "one finding that counts: {open:?}");
        run(&house).await;
        assert_eq!(scene.states(&house).await, ["delivered"]);
        assert!(ops::findings::list(&house.admin(), &Default::default()).await.unwrap().is_empty());
        house.close().await;
    }
}

#[tokio::test]
async fn an_unknown_write_is_looked_at_and_never_repeated_blindly() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::Vault, "one").await;
        scene.rotate(&house).await;
        scene.memory.next(DeliveryStep::Write, Mishap::DoneUnclear);
        run(&house).await;
        scene.memory.stepped();
        house.clock.advance(HOUR_MS);
        run(&house).await;
        assert_eq!(scene.memory.stepped(), ["read-back vault"], "it was there");
        assert_eq!(scene.states(&house).await, ["delivered"]);
        house.close().await;
    }
}

#[tokio::test]
async fn a_node_that_dies_between_call_and_outcome_leaves_a_delivery_that_is_looked_at() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::Vault, "one").await;
        scene.rotate(&house).await;
        *scene.memory.hangs.lock().unwrap() = true;
        let keyward = Arc::clone(&house.keyward);
        let dying = tokio::spawn(async move { deliveries::run(&keyward).await });
        while scene.memory.held.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        dying.abort();
        assert!(dying.await.unwrap_err().is_cancelled());
        *scene.memory.hangs.lock().unwrap() = false;
        scene.memory.stepped();
        assert_eq!(scene.states(&house).await, ["under-way"]);
        assert_eq!(deliveries::run(&house.keyward).await.unwrap(), 0, "it may still be at it");
        house.clock.advance(5 * 60_000);
        run(&house).await;
        assert_eq!(scene.memory.stepped(), ["read-back vault"], "the key was there");
        assert_eq!(scene.states(&house).await, ["delivered"]);
        house.close().await;
    }
}

#[tokio::test]
async fn a_consumer_is_started_once_whatever_becomes_of_the_start() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::EntraGraph, "job").await;
        *scene.memory.stands.lock().unwrap() = true;
        scene.rotate(&house).await;
        scene.memory.next(DeliveryStep::Kick, Mishap::DoneUnclear);
        run(&house).await;
        assert_eq!(scene.memory.stepped(), ["validate entra-graph", "write entra-graph", "kick entra-graph"],);
        house.clock.advance(HOUR_MS);
        run(&house).await;
        assert_eq!(scene.memory.stepped(), ["read-back entra-graph"], "it runs: no second start");
        assert_eq!(scene.states(&house).await, ["delivered"]);
        house.close().await;
    }
}

#[tokio::test]
async fn a_consumer_that_stands_still_after_its_start_is_not_started_again() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::EntraGraph, "job").await;
        scene.rotate(&house).await;
        // The quarantine comes back between start and read-back.
        scene.memory.next(DeliveryStep::ReadBack, Mishap::Later(600));
        run(&house).await;
        *scene.memory.stands.lock().unwrap() = true;
        let delivery = scene.deliveries(&house).await.remove(0);
        assert_eq!(delivery.due_ms - house.keyward.clock().now_ms(), 600_000, "it asked for ten minutes");
        scene.memory.stepped();
        for _ in 0..3 {
            house.clock.advance(2 * HOUR_MS);
            run(&house).await;
        }
        assert_eq!(scene.memory.stepped(), vec!["read-back entra-graph"; 3]);
        assert_eq!(scene.stage(&house).await, Stage::Open(Step::Issued));
        *scene.memory.stands.lock().unwrap() = false;
        house.clock.advance(2 * HOUR_MS);
        run(&house).await;
        assert_eq!(scene.states(&house).await, ["delivered"]);
        house.close().await;
    }
}

#[tokio::test]
async fn the_next_target_has_its_turn_and_then_a_person() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::OktaConnection, "okta").await;
        add(&house, scene.slug(), Connector::Vault, "vault").await;
        scene.rotate(&house).await;
        scene.memory.next(DeliveryStep::Write, Mishap::Not(FailureKind::Unsupported));
        scene.memory.next(DeliveryStep::Validate, Mishap::Not(FailureKind::Distrusted));
        run(&house).await;
        // Okta is out; the vault may be approved again; an owner has a link.
        assert_eq!(scene.states(&house).await, ["failed", "waiting", "waiting"]);
        let all = scene.deliveries(&house).await;
        let person = all.into_iter().find(|delivery| delivery.target_id.is_none()).unwrap();
        let links = ops::hand_offs::of_key(&house.admin(), &person.key_id).await.unwrap();
        assert_eq!(links.len(), 1);
        // A second refusal makes no second link.
        scene.memory.next(DeliveryStep::Validate, Mishap::Not(FailureKind::Distrusted));
        house.clock.advance(HOUR_MS);
        run(&house).await;
        assert_eq!(ops::hand_offs::of_key(&house.admin(), &person.key_id).await.unwrap().len(), 1);
        // Once the vault is trusted again, nobody needs the link.
        house.clock.advance(HOUR_MS);
        run(&house).await;
        assert_eq!(scene.stage(&house).await, Stage::Open(Step::Delivered));
        house.close().await;
    }
}

#[tokio::test]
async fn a_target_that_is_not_trusted_is_tried_again_only_when_it_is_the_last() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::Vault, "one").await;
        add(&house, scene.slug(), Connector::Vault, "two").await;
        scene.rotate(&house).await;
        scene.memory.next(DeliveryStep::Validate, Mishap::Not(FailureKind::Distrusted));
        run(&house).await;
        assert_eq!(scene.states(&house).await, ["delivered", "failed"]);
        house.clock.advance(DAY_MS);
        run(&house).await;
        let places: Vec<String> = scene.memory.held.lock().unwrap().keys().cloned().collect();
        assert_eq!(places, ["scim_token in secret/two at https://vault.example.com"], "one of them has it");
        house.close().await;
    }
}

#[tokio::test]
async fn without_a_target_a_person_brings_the_key() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        let successor = scene.rotate(&house).await;
        assert_eq!(scene.states(&house).await, ["waiting"]);
        assert_eq!(ops::hand_offs::of_key(&house.admin(), &successor).await.unwrap().len(), 1);
        assert_eq!(deliveries::run(&house.keyward).await.unwrap(), 0, "no machine carries it");
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_kept_in_stages_moves_on_proof_of_use_and_what_waits_is_over() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::AwsSecretsManager, "aws").await;
        scene.rotate(&house).await;
        run(&house).await;
        let held = scene.memory.held.lock().unwrap().values().next().cloned().unwrap();
        assert_eq!(scene.memory.held.lock().unwrap().len(), 1);
        work(&house, "own", &held).await;
        assert_eq!(scene.stage(&house).await, Stage::Open(Step::InUse));
        scene.memory.next(DeliveryStep::Promote, Mishap::Not(FailureKind::Weather));
        run(&house).await;
        assert_eq!(scene.states(&house).await, ["delivered"], "not yet");
        house.clock.advance(HOUR_MS);
        run(&house).await;
        assert_eq!(scene.states(&house).await, ["promoted"]);
        assert!(scene.memory.held.lock().unwrap().keys().any(|place| place.ends_with("current")));
        house.close().await;
    }
}

/// Does real work with a key, and lets the scheduler see it.
pub async fn work(house: &House, slug: &str, key: &str) {
    let cx = house.present(slug, Some(key)).await.unwrap();
    let user = crate::support::resource(
        scim::ResourceType::User,
        serde_json::json!({ "userName": format!("user-{slug}") }),
    );
    ops::users::create(&cx, &crate::support::asked("POST", "Users"), user).await.unwrap();
    rotations::scheduler::round(&house.keyward, "node").await.unwrap();
}

#[tokio::test]
async fn a_withdrawn_key_is_not_brought_and_one_that_was_leaves_a_finding() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::Vault, "one").await;
        scene.rotate(&house).await;
        let id = rotations::of_key(&house.admin(), &scene.key).await.unwrap().unwrap().rotation.id;
        rotations::roll_back(&house.admin(), &id, "not yet").await.unwrap();
        assert_eq!(deliveries::run(&house.keyward).await.unwrap(), 0);
        assert_eq!(scene.states(&house).await, ["cancelled"]);
        assert!(scene.memory.stepped().is_empty());
        scene.rotate(&house).await;
        run(&house).await;
        let id = rotations::of_key(&house.admin(), &scene.key).await.unwrap().unwrap().rotation.id;
        rotations::roll_back(&house.admin(), &id, "not yet").await.unwrap();
        let open = ops::findings::list(&house.admin(), &Default::default()).await.unwrap();
        assert_eq!(open.len(), 1, "the vault holds a key that opens nothing: {open:?}");
        house.close().await;
    }
}

#[tokio::test]
async fn a_target_that_was_changed_behind_our_back_gets_nothing() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        let target = add(&house, scene.slug(), Connector::Vault, "one").await;
        scene.rotate(&house).await;
        let moved = serde_json::json!({
            "connection": {
                "connector": "vault", "address": "https://evil.example.com", "namespace": "", "mount": "secret",
                "path": "one", "field": "scim_token", "sign_in": "token", "role_id": "", "approle_mount": "",
            },
            "trust": {},
        });
        let sql = format!("UPDATE delivery_targets SET settings = '{moved}' WHERE id = '{}'", target.id);
        store::testing::run_sql(&house.database.target, sql).await;
        run(&house).await;
        assert!(scene.memory.stepped().is_empty(), "nothing was sent");
        let all = scene.deliveries(&house).await;
        let delivery = all.into_iter().find(|delivery| delivery.target_id.is_some()).unwrap();
        assert_eq!(delivery.report.failure, Some(FailureKind::Distrusted));
        let report = deliveries::test(&house.admin(), scene.slug(), &target.id).await.unwrap();
        assert!(!report.is_good() && scene.memory.stepped().is_empty());
        house.close().await;
    }
}

#[tokio::test]
async fn two_nodes_bring_a_delivery_once() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::Vault, "one").await;
        scene.rotate(&house).await;
        let due = deliveries::due(&house.keyward).await.unwrap();
        let (federation_id, id) = due.into_iter().next().unwrap();
        let many = (0..8).map(|_| {
            let (keyward, federation_id, id) =
                (Arc::clone(&house.keyward), federation_id.clone(), id.clone());
            tokio::spawn(async move { deliveries::bring(&keyward, &federation_id, &id).await.unwrap() })
        });
        let mut ours = 0;
        for one in many.collect::<Vec<_>>() {
            ours += usize::from(one.await.unwrap());
        }
        assert_eq!(ours, 1);
        assert_eq!(scene.memory.stepped().iter().filter(|step| step.starts_with("write")).count(), 1);
        house.close().await;
    }
}

#[tokio::test]
async fn a_credential_stays_with_the_place_that_it_was_typed_in_for() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        let target = add(&house, scene.slug(), Connector::Vault, "one").await;
        let change = |name: &str, path: &str, credential: &str| {
            let mut new = new_target(Connector::Vault, name);
            new.id = Some(target.id.clone());
            new.version = target.version;
            new.fields.insert("path".to_owned(), path.to_owned());
            new.credential = domain::Secret::new(credential.to_owned());
            new
        };
        let elsewhere = deliveries::set(&house.admin(), scene.slug(), change("one", "two", "")).await;
        assert!(matches!(&elsewhere, Err(Error::Invalid(faults)) if faults[0].field == "credential"));
        let renamed =
            deliveries::set(&house.admin(), scene.slug(), change("other", "one", "")).await.unwrap();
        assert_eq!((renamed.name.as_str(), renamed.version), ("other", 2));
        let late = deliveries::set(&house.admin(), scene.slug(), change("late", "one", "")).await;
        assert!(matches!(late, Err(Error::Stale(_))));
        let mut barred = new_target(Connector::Webhook, "metadata");
        barred.fields.insert("url".to_owned(), "https://169.254.169.254/latest".to_owned());
        let barred = deliveries::set(&house.admin(), scene.slug(), barred).await;
        assert!(matches!(&barred, Err(Error::Invalid(faults)) if faults[0].field == "url"));
        house.close().await;
    }
}

#[tokio::test]
async fn targets_are_tried_in_the_order_in_which_they_stand() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        let mut ids = Vec::new();
        for name in ["one", "two", "three"] {
            ids.push(add(&house, scene.slug(), Connector::Vault, name).await.id);
        }
        let names = async || -> Vec<String> {
            let page = deliveries::view(&house.admin(), scene.slug()).await.unwrap();
            page.targets.iter().map(|target| format!("{} {}", target.position, target.name)).collect()
        };
        deliveries::move_target(&house.admin(), scene.slug(), &ids[2], Move::Earlier).await.unwrap();
        assert_eq!(names().await, ["1 one", "2 three", "3 two"]);
        deliveries::remove(&house.admin(), scene.slug(), &ids[0]).await.unwrap();
        assert_eq!(names().await, ["1 three", "2 two"]);
        let far = deliveries::move_target(&house.admin(), scene.slug(), &ids[2], Move::Earlier).await;
        assert!(matches!(far, Err(Error::Conflict(_))));
        scene.rotate(&house).await;
        run(&house).await;
        assert_eq!(
            scene.memory.held.lock().unwrap().keys().next().unwrap(),
            "scim_token in secret/three at https://vault.example.com"
        );
        house.close().await;
    }
}

#[tokio::test]
async fn a_key_that_ended_is_not_brought() {
    for house in houses().await {
        let scene = scene(&house, "own").await;
        add(&house, scene.slug(), Connector::Vault, "one").await;
        scene.rotate(&house).await;
        scene.memory.next(DeliveryStep::Validate, Mishap::Not(FailureKind::Weather));
        run(&house).await;
        house.clock.advance(91 * DAY_MS);
        run(&house).await;
        assert_eq!(scene.states(&house).await, [DeliveryState::GivenUp.as_str()]);
        house.close().await;
    }
}

/// How each operation on targets is answered: view, set, move, test, remove.
async fn answers(house: &House, scene: &Scene, role: domain::admins::Role) -> String {
    let (cx, slug) = (house.person(role), scene.slug());
    let first = add(house, slug, Connector::Vault, "first").await.id;
    let second = add(house, slug, Connector::Vault, "second").await.id;
    let word = |result: Result<(), Error>| match result {
        Ok(()) => "done ",
        Err(Error::Forbidden(_)) => "forbidden ",
        Err(Error::NotFound(_)) => "hidden ",
        Err(error) => panic!("{error}"),
    };
    let told = [
        word(deliveries::view(&cx, slug).await.map(drop)),
        word(deliveries::set(&cx, slug, new_target(Connector::Vault, "third")).await.map(drop)),
        word(deliveries::move_target(&cx, slug, &second, Move::Earlier).await),
        word(deliveries::test(&cx, slug, &first).await.map(drop)),
        word(deliveries::remove(&cx, slug, &first).await),
    ];
    for target in deliveries::view(&house.admin(), slug).await.unwrap().targets {
        deliveries::remove(&house.admin(), slug, &target.id).await.unwrap();
    }
    told.concat()
}

#[tokio::test]
async fn every_operation_on_targets_for_every_role() {
    use domain::admins::Role;
    for house in houses().await {
        let scene = scene(&house, "own").await;
        let operator = |slug: &str| Role::Operator(vec![Slug::parse(slug).unwrap()]);
        let may = "done done done done done ";
        assert_eq!(answers(&house, &scene, Role::Admin).await, may);
        assert_eq!(answers(&house, &scene, operator("own")).await, may);
        assert_eq!(
            answers(&house, &scene, Role::Manager).await,
            "done forbidden forbidden forbidden forbidden "
        );
        let hidden = answers(&house, &scene, operator("elsewhere")).await;
        assert_eq!(hidden, "hidden hidden hidden hidden hidden ");
        house.close().await;
    }
}

/// What [`crate::laws`] walks: two federations whose deliveries wait, and one that waits for the promotion.
pub struct Prepared {
    memory: Arc<Memory>,
    target: domain::TargetId,
    second: domain::TargetId,
}

pub async fn prepared(house: &House) -> Prepared {
    let memory = connect(house);
    let mut ids = Vec::new();
    for (slug, connector) in [
        ("brought", Connector::Vault),
        ("refusing", Connector::Vault),
        ("staged", Connector::AwsSecretsManager),
    ] {
        let federation = house.federation(slug).await;
        let (key, _) = house.key(&federation, "first").await;
        ids.push(add(house, &federation.slug, connector, slug).await.id);
        let scene = Scene { federation, key, memory: Arc::clone(&memory) };
        scene.rotate(house).await;
        if slug == "staged" {
            let due = deliveries::due(&house.keyward).await.unwrap();
            let (federation_id, id) = due.into_iter().find(|(of, _)| *of == scene.federation.id).unwrap();
            deliveries::bring(&house.keyward, &federation_id, &id).await.unwrap();
            let held = memory.held.lock().unwrap().values().next().cloned().unwrap();
            work(house, slug, &held).await;
        }
    }
    let slug = Slug::parse("brought").unwrap();
    let second = add(house, &slug, Connector::Webhook, "second").await.id;
    Prepared { memory, target: ids.remove(0), second }
}

/// Everything that deliveries put on record, once.
pub async fn steps(house: &House, prepared: &Prepared) -> Vec<(Action, Result<(), Error>)> {
    let (cx, slug) = (house.admin(), Slug::parse("brought").unwrap());
    let mut done = vec![
        (
            Action::DeliveryTargetSet,
            deliveries::set(&cx, &slug, new_target(Connector::Kubernetes, "third")).await.map(drop),
        ),
        (
            Action::DeliveryTargetMoved,
            deliveries::move_target(&cx, &slug, &prepared.target, Move::Later).await,
        ),
        (Action::DeliveryTargetTested, deliveries::test(&cx, &slug, &prepared.target).await.map(drop)),
        (Action::DeliveryTargetRemoved, deliveries::remove(&cx, &slug, &prepared.second).await),
    ];
    let mut due = deliveries::due(&house.keyward).await.unwrap();
    due.sort_by_key(|(_, id)| id.to_string());
    for (federation_id, id) in due {
        let federations = ops::federations::list(&cx).await.unwrap();
        let slug = federations.iter().find(|view| view.federation.id == federation_id).unwrap();
        let words: &[Action] = match slug.federation.slug.as_str() {
            "brought" => &[Action::DeliveryAsked, Action::DeliveryMade, Action::RotationMoved],
            "refusing" => {
                prepared.memory.next(DeliveryStep::Validate, Mishap::Not(FailureKind::Refused));
                &[Action::DeliveryAsked, Action::DeliveryFailed]
            }
            _ => &[Action::DeliveryAsked, Action::DeliveryPromoted],
        };
        let brought = deliveries::bring(&house.keyward, &federation_id, &id).await;
        for action in words {
            let result = match &brought {
                Ok(true) => Ok(()),
                Ok(false) => panic!("a delivery of {} was not due", slug.federation.slug),
                Err(_) => Err(Error::Unavailable(store::Error::Stale)),
            };
            done.push((*action, result));
        }
    }
    done
}
