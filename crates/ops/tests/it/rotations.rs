//! Rotations: nobody is cut off, whatever happens when.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    DAY_MS, HOUR_MS, KeyId, Millis, Secret,
    admins::Role,
    federations::{Federation, RotationPolicy},
    findings::Rule,
    keys::KeyState,
    rotations::{
        Stage, Step,
        evidence::Verdict,
        policy::{OnDeadline, RotationDefaults, RotationRules, Window},
    },
    usage::Decision,
};
use futures::{StreamExt as _, stream};
use ops::{
    Error, Keyward,
    findings::{self, Wanted},
    keys::{self, Rotate},
    policies::{self, EditPolicy, NewException, Proposal},
    rotations::{self, BoardFilter, RotationView, Wait, scheduler},
    testing::{self, TestClock},
    users,
};
use store::Engine;

use crate::{
    cache::{close_others, nodes, present},
    support::{House, asked, houses, listed, new_federation},
};

const MINUTE_MS: Millis = 60_000;

async fn round(house: &House) -> scheduler::Round {
    scheduler::round(&house.keyward, "node").await.unwrap().expect("this node has the lease")
}

/// One real operation of a consumer. Whatever it is refused with is its answer.
async fn work(house: &House, federation: &Federation, secret: &Secret) -> Result<(), Error> {
    let cx = house.present(federation.slug.as_str(), Some(secret.expose())).await?;
    // Asking for somebody who is not there is asked of the directory all the same.
    match users::get(&cx, &asked("GET", "Users"), "nobody").await {
        Err(Error::NotFound(_)) => Ok(()),
        other => other.map(drop),
    }
}

/// A connection test, as Entra ID does it.
async fn test(house: &House, federation: &Federation, secret: &Secret) {
    let cx = house.client(federation, secret).await;
    let filter = Some("userName eq \"3f1c0a52-1111-2222-3333-444455556666\"");
    listed(&cx, scim::ResourceType::User, filter, 10).await.unwrap();
}

async fn rules(house: &House, federation: &Federation, rules: RotationRules) {
    set_policy(house, federation, RotationPolicy::default(), rules).await.unwrap();
}

async fn set_policy(
    house: &House,
    federation: &Federation,
    policy: RotationPolicy,
    rules: RotationRules,
) -> Result<(), Error> {
    let version = policies::effective(&house.admin(), &federation.slug).await.unwrap().federation.version;
    policies::edit(&house.admin(), &federation.slug, EditPolicy { version, policy, rules }).await.map(drop)
}

/// What the board shows of a key that is replaced.
async fn seen(house: &House, old: &KeyId) -> RotationView {
    let board = rotations::board(&house.admin(), &BoardFilter::default()).await.unwrap();
    let mut views = board.open.into_iter().chain(board.ended);
    views.find(|view| view.old.id == *old).expect("a rotation of the key")
}

async fn state(house: &House, id: &KeyId) -> KeyState {
    keys::open(&house.admin(), id).await.unwrap().state
}

async fn rotated(house: &House, old: &KeyId) -> (KeyId, Secret) {
    let issued = keys::rotate(&house.admin(), old, Rotate::default()).await.unwrap();
    (issued.key.id, issued.secret.unwrap())
}

async fn raised(house: &House, rule: Rule) -> Vec<domain::findings::Finding> {
    let wanted = Wanted { rule: Some(rule), ..Wanted::default() };
    let views = findings::list(&house.admin(), &wanted).await.unwrap();
    views.into_iter().map(|view| view.finding).collect()
}

#[tokio::test]
async fn a_rotation_goes_from_delivered_to_retired_on_what_is_seen() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (old, old_secret) = house.key(&federation, "okta-1").await;
        for _ in 0..4 {
            work(&house, &federation, &old_secret).await.unwrap();
            house.clock.advance(HOUR_MS);
        }
        work(&house, &federation, &old_secret).await.unwrap();
        let (new, new_secret) = rotated(&house, &old).await;
        round(&house).await;
        assert_eq!(seen(&house, &old).await.rotation.stage, Stage::Open(Step::Delivered));

        test(&house, &federation, &new_secret).await;
        house.clock.advance(1_000);
        round(&house).await;
        let view = seen(&house, &old).await;
        assert_eq!(view.rotation.stage, Stage::Open(Step::Tested));
        assert_eq!(view.verdict, Verdict::WaitsForUse { is_tested: true });

        work(&house, &federation, &new_secret).await.unwrap();
        round(&house).await;
        let view = seen(&house, &old).await;
        assert_eq!(view.rotation.stage, Stage::Open(Step::InUse));
        assert_eq!(view.cadence.gap_ms, HOUR_MS, "{:?}", view.cadence);

        house.clock.advance(HOUR_MS);
        round(&house).await;
        assert_eq!(seen(&house, &old).await.rotation.stage, Stage::Open(Step::Draining));
        // At least a day and an hour, so that what runs once a day is heard.
        house.clock.advance(24 * HOUR_MS - MINUTE_MS);
        round(&house).await;
        assert_eq!(state(&house, &old).await, KeyState::Retiring);
        work(&house, &federation, &new_secret).await.unwrap();
        house.clock.advance(MINUTE_MS);
        let done = round(&house).await;
        assert_eq!((done.moved, done.failed), (1, 0));
        assert_eq!(seen(&house, &old).await.rotation.stage, Stage::Retired);
        assert_eq!((state(&house, &old).await, state(&house, &new).await), (KeyState::Retired, KeyState::InUse));
        let refused = house.present("okta", Some(old_secret.expose())).await.err().unwrap();
        assert!(matches!(refused, Error::Unauthenticated(_)), "{refused:?}");
        assert_eq!(raised(&house, Rule::EndedKeyUsed).await.len(), 1);
        house.close().await;
    }
}

#[tokio::test]
async fn an_overlap_without_proof_is_extended_and_told_and_the_old_key_outlives_its_own_time() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (old, old_secret) = house.key(&federation, "okta-1").await;
        work(&house, &federation, &old_secret).await.unwrap();
        house.clock.advance(80 * DAY_MS);
        rotated(&house, &old).await;
        for overlaps in 1..=6 {
            house.clock.advance(73 * HOUR_MS);
            round(&house).await;
            let view = seen(&house, &old).await;
            assert_eq!(view.rotation.stage, Stage::Stalled(Step::Delivered));
            assert_eq!(view.rotation.extended, overlaps);
            work(&house, &federation, &old_secret).await.unwrap();
        }
        assert_eq!(state(&house, &old).await, KeyState::Retiring, "98 days old");
        let found = raised(&house, Rule::NoProof).await;
        assert_eq!((found.len(), found[0].count), (1, 6));
        house.close().await;
    }
}

#[tokio::test]
async fn an_expired_key_is_rotated_and_its_successor_needs_no_silence() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (old, _) = house.key(&federation, "okta-1").await;
        house.clock.advance(90 * DAY_MS);
        let (new, secret) = rotated(&house, &old).await;
        assert_eq!(state(&house, &old).await, KeyState::Expired, "an overlap does not wake the dead");
        work(&house, &federation, &secret).await.unwrap();
        round(&house).await;
        assert_eq!(seen(&house, &old).await.rotation.stage, Stage::Retired);
        assert_eq!(state(&house, &new).await, KeyState::InUse);
        house.close().await;
    }
}

#[tokio::test]
async fn people_hold_release_roll_back_and_finish() {
    for house in houses().await {
        let admin = house.admin();
        let federation = house.federation("okta").await;
        let (old, old_secret) = house.key(&federation, "okta-1").await;
        let (new, new_secret) = rotated(&house, &old).await;
        let id = seen(&house, &old).await.rotation.id;
        let early = rotations::finish(&admin, &id, "hurry").await;
        assert!(matches!(early, Err(Error::Conflict(_))), "it would cut the consumer off: {early:?}");
        assert!(matches!(rotations::hold(&admin, &id, " ").await, Err(Error::Invalid(_))));
        rotations::hold(&admin, &id, "a freeze").await.unwrap();
        work(&house, &federation, &new_secret).await.unwrap();
        house.clock.advance(80 * DAY_MS);
        round(&house).await;
        assert_eq!(seen(&house, &old).await.rotation.stage, Stage::Held(Step::InUse));
        assert_eq!(state(&house, &old).await, KeyState::Retiring);
        rotations::release(&admin, &id).await.unwrap();
        let late = rotations::roll_back(&admin, &id, "no").await;
        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        rotations::finish(&admin, &id, "the replica is gone").await.unwrap();
        assert_eq!(state(&house, &old).await, KeyState::Retired);
        assert!(work(&house, &federation, &old_secret).await.is_err());

        let (next, _) = rotated(&house, &new).await;
        let id = seen(&house, &new).await.rotation.id;
        let third = keys::rotate(&admin, &next, Rotate::default()).await.err().unwrap();
        assert!(matches!(third, Error::Conflict(_)), "never three keys: {third}");
        rotations::roll_back(&admin, &id, "a mistake").await.unwrap();
        assert_eq!((state(&house, &new).await, state(&house, &next).await), (KeyState::InUse, KeyState::Revoked));
        // And it can be rotated again.
        rotated(&house, &new).await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_held_key_is_told_to_come_back_on_every_node_and_loses_nothing() {
    for house in houses().await {
        let nodes = nodes(&house).await;
        let other = nodes.last().unwrap();
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "okta-1").await;
        for node in nodes.iter().chain(&nodes) {
            present(node, "okta", secret.expose()).await.unwrap();
        }
        let cx = present(&nodes[0], "okta", secret.expose()).await.unwrap();
        keys::hold(&testing::cx(other, Role::Admin), &id, "it may have leaked").await.unwrap();
        for node in &nodes {
            let held = present(node, "okta", secret.expose()).await.err().unwrap();
            assert!(matches!(held, Error::Held { retry_after_s: 300, .. }), "{held:?}");
        }
        // Also a request whose key was accepted before.
        let user = crate::support::resource(scim::ResourceType::User, serde_json::json!({ "userName": "a" }));
        let late = users::create(&cx, &asked("POST", "Users"), user).await.err().unwrap();
        assert!(matches!(late, Error::Held { .. }), "{late:?}");
        let uses = ops::usage::of_key(&house.admin(), &id, 10).await.unwrap();
        assert!(uses.iter().all(|use_| use_.status == 503 && use_.decision == Decision::Denied && !use_.is_work));
        assert_eq!(state(&house, &id).await, KeyState::Held);
        assert!(matches!(keys::hold(&house.admin(), &id, "again").await, Err(Error::Conflict(_))));
        keys::release(&house.admin(), &id).await.unwrap();
        for node in &nodes {
            present(node, "okta", secret.expose()).await.unwrap();
        }
        close_others(nodes).await;
        house.close().await;
    }
}

fn automatic() -> RotationRules {
    RotationRules { automatic: Some(true), jitter_minutes: Some(0), ..RotationRules::default() }
}

#[tokio::test]
async fn the_policy_rotates_what_is_due_once_and_shows_its_secret_to_nobody() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (old, secret) = house.key(&federation, "used").await;
        let (unused, _) = house.key(&federation, "unused").await;
        work(&house, &federation, &secret).await.unwrap();
        house.clock.advance(77 * DAY_MS);
        assert_eq!(round(&house).await.begun, 0, "rotations begin by hand");
        rules(&house, &federation, automatic()).await;
        assert_eq!(round(&house).await.begun, 1);
        for _ in 0..3 {
            house.clock.advance(10_000);
            assert_eq!(round(&house).await.begun, 0);
        }
        let view = seen(&house, &old).await;
        assert_eq!(view.rotation.stage, Stage::Open(Step::Issued));
        assert_eq!(view.deliveries.len(), 1);
        assert_eq!(state(&house, &unused).await, KeyState::Unused);
        let log = house.log().await;
        assert_eq!(log.iter().filter(|line| line.starts_with("rotation.begun")).count(), 1, "{log:#?}");
        let board = rotations::board(&house.admin(), &BoardFilter::default()).await.unwrap();
        assert_eq!(board.exempt.iter().map(|due| due.waits).collect::<Vec<_>>(), [Some(Wait::NeverUsed)]);
        house.close().await;
    }
}

#[tokio::test]
async fn exceptions_windows_pairs_and_the_most_open_hold_rotations_back() {
    for house in houses().await {
        let admin = house.admin();
        let mut made = Vec::new();
        for slug in ["aa", "bb", "cc", "dd", "ee"] {
            let federation = house.federation(slug).await;
            let (id, secret) = house.key(&federation, slug).await;
            work(&house, &federation, &secret).await.unwrap();
            made.push((federation, id));
        }
        house.clock.advance(77 * DAY_MS);
        let now_ms = testing::START_MS + 77 * DAY_MS;
        let slug = |at: usize| made[at].0.slug.clone();
        // aa and bb are a pair; cc has an exception; dd has a window that is not open; ee is one too many.
        rules(&house, &made[0].0, RotationRules { pair: Some(slug(1)), ..automatic() }).await;
        rules(&house, &made[1].0, RotationRules { pair: Some(slug(0)), ..automatic() }).await;
        rules(&house, &made[2].0, automatic()).await;
        let except = |ends_ms| NewException {
            key_id: None,
            owner: "Mia".to_owned(),
            reason: "the vendor changes its console".to_owned(),
            ends_ms,
        };
        assert!(matches!(policies::except(&admin, &slug(2), except(now_ms)).await, Err(Error::Invalid(_))));
        policies::except(&admin, &slug(2), except(now_ms + 5 * DAY_MS)).await.unwrap();
        // 2026-03-19 is a Thursday.
        let window = Window::parse("fri 00:00-06:00").unwrap();
        rules(&house, &made[3].0, RotationRules { windows: Some(vec![window]), ..automatic() }).await;
        rules(&house, &made[4].0, automatic()).await;
        let defaults = RotationDefaults { max_open_per_vendor: 2, ..RotationDefaults::default() };
        policies::edit_defaults(&admin, 0, defaults.clone()).await.unwrap();
        assert!(matches!(policies::edit_defaults(&admin, 0, defaults).await, Err(Error::Stale(_))));

        let open = async || {
            let board = rotations::board(&admin, &BoardFilter::default()).await.unwrap();
            board.open.into_iter().map(|view| view.federation.slug.to_string()).collect::<BTreeSet<_>>()
        };
        round(&house).await;
        let first = open().await;
        assert!(first.len() <= 2 && !(first.contains("aa") && first.contains("bb")), "{first:?}");
        assert!(!first.contains("cc") && !first.contains("dd"), "{first:?}");
        // A day later the window of dd is open, and there is room.
        let more = RotationDefaults { max_open_per_vendor: 100, ..RotationDefaults::default() };
        policies::edit_defaults(&admin, 1, more).await.unwrap();
        house.clock.advance(DAY_MS);
        round(&house).await;
        let second = open().await;
        assert!(second.contains("dd") && second.contains("ee") && !second.contains("cc"), "{second:?}");
        assert!(!(second.contains("aa") && second.contains("bb")), "{second:?}");
        // The exception is over.
        house.clock.advance(5 * DAY_MS);
        round(&house).await;
        assert!(open().await.contains("cc"));
        house.close().await;
    }
}

#[tokio::test]
async fn a_policy_that_would_end_keys_in_use_is_refused_with_their_number() {
    for house in houses().await {
        let admin = house.admin();
        let federation = house.federation("okta").await;
        let mut secrets = Vec::new();
        for name in ["a", "b", "c"] {
            let (id, _) = house.key(&federation, name).await;
            secrets.push(rotated(&house, &id).await.1);
        }
        house.clock.advance(71 * HOUR_MS);
        let retire = RotationRules { on_deadline: Some(OnDeadline::Retire), ..RotationRules::default() };
        let refused = set_policy(&house, &federation, RotationPolicy::default(), retire.clone()).await;
        let Err(Error::Conflict(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains("3 old keys"), "{text}");
        let version = policies::effective(&admin, &federation.slug).await.unwrap().federation.version;
        let edit = EditPolicy { version, policy: RotationPolicy::default(), rules: retire };
        let proposal = Proposal::Federation(federation.slug.clone(), edit);
        assert_eq!(policies::preview(&admin, &proposal).await.unwrap().cut_off, 3);
        // Successors that work, and old keys that are silent: a smaller silence would retire all at once.
        for secret in &secrets {
            work(&house, &federation, secret).await.unwrap();
        }
        round(&house).await;
        house.clock.advance(24 * HOUR_MS);
        round(&house).await;
        let hasty = RotationRules { silence_cycles: Some(1), least_silence_minutes: Some(1), ..RotationRules::default() };
        let refused = set_policy(&house, &federation, RotationPolicy::default(), hasty).await;
        let Err(Error::Conflict(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains("all 3 old keys"), "{text}");
        let wrong = RotationRules { silence_cycles: Some(0), ..RotationRules::default() };
        assert!(matches!(set_policy(&house, &federation, RotationPolicy::default(), wrong).await, Err(Error::Invalid(_))));
        house.close().await;
    }
}

#[tokio::test]
async fn after_a_jump_of_the_clock_nothing_retires_until_an_admin_agrees() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (old, old_secret) = house.key(&federation, "okta-1").await;
        work(&house, &federation, &old_secret).await.unwrap();
        let (_, secret) = rotated(&house, &old).await;
        work(&house, &federation, &secret).await.unwrap();
        round(&house).await;
        // A process that starts again, and finds that ten days have gone by.
        let house = restarted(house).await;
        house.clock.advance(10 * DAY_MS);
        for _ in 0..2 {
            assert!(round(&house).await.in_doubt);
        }
        assert_eq!(state(&house, &old).await, KeyState::Retiring);
        assert_eq!(seen(&house, &old).await.verdict, Verdict::TimeInDoubt);
        let board = rotations::board(&house.admin(), &BoardFilter::default()).await.unwrap();
        assert_eq!(board.clock.jump.map(|jump| jump.to_ms - jump.from_ms), Some(10 * DAY_MS));
        assert!(board.plan.is_empty());
        assert_eq!(raised(&house, Rule::ClockJumped).await.len(), 1);
        let manager = rotations::agree(&house.person(Role::Manager)).await;
        assert!(matches!(manager, Err(Error::Forbidden(_))), "{manager:?}");
        rotations::agree(&house.admin()).await.unwrap();
        assert!(raised(&house, Rule::ClockJumped).await.is_empty());
        // Nobody watched in those ten days: their silence says nothing, and what follows does.
        assert!(!round(&house).await.in_doubt);
        assert_eq!(state(&house, &old).await, KeyState::Retiring);
        for _ in 0..4 {
            house.clock.advance(20 * HOUR_MS);
            round(&house).await;
        }
        assert_eq!(state(&house, &old).await, KeyState::Retired);
        house.close().await;
    }
}

/// The same database in a process that has just started.
async fn restarted(house: House) -> House {
    let House { keyward, clock, database } = house;
    keyward.close().await;
    let chance = Arc::new(testing::TestEntropy::default());
    // No process makes the ids of the one before it.
    let skip = u32::try_from(clock_now(&clock) % 1_000).unwrap() + 1;
    ops::Entropy::fill(&*chance, &mut vec![0; 4_000 * skip as usize]);
    let (master, settings) = (testing::master_key(), testing::settings());
    let (target, time) = (database.target.clone(), Arc::clone(&clock));
    let keyward = Keyward::open(target, &master, time, chance, settings).await.unwrap();
    House { keyward, clock, database }
}

fn clock_now(clock: &TestClock) -> Millis {
    ops::Clock::now_ms(clock)
}

async fn break_records(house: &House) {
    let sql = match house.database.engine {
        Engine::Sqlite => "CREATE TRIGGER broken BEFORE INSERT ON audit_records BEGIN SELECT RAISE(ABORT, 'broken'); END",
        Engine::Postgres => "ALTER TABLE audit_records ADD CONSTRAINT broken CHECK (false) NOT VALID",
    };
    store::testing::run_sql(&house.database.target, sql.to_owned()).await;
}

async fn mend_records(house: &House) {
    let sql = match house.database.engine {
        Engine::Sqlite => "DROP TRIGGER broken",
        Engine::Postgres => "ALTER TABLE audit_records DROP CONSTRAINT broken",
    };
    store::testing::run_sql(&house.database.target, sql.to_owned()).await;
}

#[tokio::test]
async fn a_crash_at_any_step_changes_nothing_and_the_next_round_goes_on() {
    for mut house in houses().await {
        let federation = house.federation("okta").await;
        let (due, due_secret) = house.key(&federation, "due").await;
        work(&house, &federation, &due_secret).await.unwrap();
        house.clock.advance(77 * DAY_MS);
        let (old, old_secret) = house.key(&federation, "okta-1").await;
        work(&house, &federation, &old_secret).await.unwrap();
        let (_, new_secret) = rotated(&house, &old).await;
        round(&house).await;
        rules(&house, &federation, automatic()).await;
        let mut stages = Vec::new();
        for step in 0..6 {
            match step {
                1 => test(&house, &federation, &new_secret).await,
                2 => work(&house, &federation, &new_secret).await.unwrap(),
                // In steps of which each is believed.
                3..=5 => house.clock.advance(24 * HOUR_MS),
                _ => {}
            }
            let before = board(&house).await;
            break_records(&house).await;
            // The unit fails, and whatever it has done is undone.
            let failed = scheduler::round(&house.keyward, "node").await;
            let failed = failed.map(|round| round.map(|round| (round.moved, round.begun)));
            assert!(matches!(failed, Ok(Some((0, 0))) | Err(_)), "{failed:?}");
            assert_eq!(board(&house).await, before, "step {step}");
            mend_records(&house).await;
            // The process dies, another one comes.
            house = restarted(house).await;
            round(&house).await;
            // And once more: nothing happens twice.
            let again = round(&house).await;
            assert_eq!((again.moved, again.begun), (0, 0), "step {step}");
            stages.push(seen(&house, &old).await.rotation.stage);
            work(&house, &federation, &new_secret).await.ok();
        }
        assert_eq!(stages[0], Stage::Open(Step::Delivered), "{stages:?}");
        assert_eq!(stages[1..4], [Step::Tested, Step::InUse, Step::Draining].map(Stage::Open), "{stages:?}");
        assert_eq!(stages[5], Stage::Retired, "{stages:?}");
        assert!(!seen(&house, &due).await.rotation.stage.has_ended());
        let log = house.log().await;
        let count = |word: &str| log.iter().filter(|line| line.starts_with(word)).count();
        assert_eq!((count("rotation.begun"), count("key.retired")), (1, 1), "{log:#?}");
        house.close().await;
    }
}

/// Everything that a crash could leave half done.
async fn board(house: &House) -> String {
    let board = rotations::board(&house.admin(), &BoardFilter::default()).await.unwrap();
    let mut lines = Vec::new();
    for view in board.open.iter().chain(&board.ended) {
        let RotationView { rotation, old_state, new_state, .. } = view;
        let deliveries: Vec<_> = view.deliveries.iter().map(|row| row.delivery.state).collect();
        lines.push(format!("{:?} {} {old_state:?} {new_state:?} {deliveries:?}", rotation.stage, rotation.version));
    }
    let keys = keys::list(&house.admin(), &Default::default()).await.unwrap();
    lines.extend(keys.iter().map(|view| format!("{} {:?} {:?}", view.key.name, view.state, view.key.life.retires_ms)));
    lines.join("\n")
}

/// A consumer of the simulation.
struct Consumer {
    federation: Federation,
    old: KeyId,
    old_secret: Secret,
    /// The successor and its secret, and after how many cycles the consumer takes it up.
    next: Option<(Secret, u64)>,
    /// A copy of the consumer that never takes it up.
    is_stale: bool,
}

async fn consumer(house: &House, slug: String, is_stale: bool) -> Consumer {
    let federation = ops::federations::register(&house.admin(), new_federation(&slug)).await.unwrap();
    let (old, old_secret) = house.key(&federation, "key").await;
    Consumer { federation, old, old_secret, next: None, is_stale }
}

/// Every consumer does its work of one cycle; how many were not let in.
async fn cycle(house: &House, consumers: &mut [Consumer]) -> usize {
    let done = stream::iter(consumers.iter_mut())
        .map(|consumer| async move {
            let secret = match &mut consumer.next {
                Some((_, cycles)) if *cycles > 0 => {
                    *cycles -= 1;
                    &consumer.old_secret
                }
                Some((new, _)) => new,
                None => &consumer.old_secret,
            };
            let mut refused = usize::from(work(house, &consumer.federation, secret).await.is_err());
            if consumer.is_stale {
                refused += usize::from(work(house, &consumer.federation, &consumer.old_secret).await.is_err());
            }
            refused
        })
        .buffer_unordered(64)
        .collect::<Vec<_>>()
        .await;
    done.into_iter().sum()
}

#[tokio::test]
async fn a_thousand_rotations_cut_no_consumer_off_and_find_the_stale_copy() {
    for house in houses().await {
        // Postgres is slower by far and shows the same.
        let size = if house.database.engine == Engine::Sqlite { 334 } else { 12 };
        let mut refused = 0;
        for (name, cadence_ms, least_minutes) in
            [("minute", MINUTE_MS, 2), ("forty", 40 * MINUTE_MS, 60), ("daily", 24 * HOUR_MS, 25 * 60)]
        {
            let defaults = policies::defaults(&house.admin()).await.unwrap();
            let rules = RotationDefaults { least_silence_minutes: least_minutes, ..defaults.0 };
            policies::edit_defaults(&house.admin(), defaults.1, rules).await.unwrap();
            let made = stream::iter(0..size).map(|number| consumer(&house, format!("{name}-{number}"), number == 0));
            let mut consumers: Vec<Consumer> = made.buffered(64).collect().await;
            for _ in 0..5 {
                refused += cycle(&house, &mut consumers).await;
                house.clock.advance(cadence_ms);
            }
            let turned = stream::iter(&consumers).map(|consumer| rotated(&house, &consumer.old)).buffered(64);
            let turned: Vec<(KeyId, Secret)> = turned.collect().await;
            for (number, (consumer, (_, secret))) in consumers.iter_mut().zip(turned).enumerate() {
                consumer.next = Some((secret, number as u64 % 3));
            }
            for _ in 0..9 {
                refused += cycle(&house, &mut consumers).await;
                for _ in 0..3 {
                    house.clock.advance(cadence_ms / 3);
                    // Whoever is due must not wait for its turn among many.
                    assert_eq!(round(&house).await.failed, 0);
                }
            }
            assert_eq!(refused, 0, "{name}");
            let mut ended = 0;
            for consumer in &consumers {
                let state = state(&house, &consumer.old).await;
                match consumer.is_stale {
                    true => assert_eq!(state, KeyState::Retiring, "{name}: the stale copy keeps its key alive"),
                    false => ended += usize::from(state == KeyState::Retired),
                }
            }
            assert_eq!(ended, consumers.len() - 1, "{name}");
            let stale = seen(&house, &consumers[0].old).await;
            assert!(!stale.rotation.stage.has_ended());
            if cadence_ms > HOUR_MS {
                let found = raised(&house, Rule::StillUsed).await;
                assert_eq!(found.len(), 1, "{name}");
                assert_eq!(found[0].rotation_id, Some(stale.rotation.id.clone()));
            }
        }
        house.close().await;
    }
}

#[tokio::test]
async fn two_nodes_that_rotate_a_key_at_once_make_one_successor() {
    for house in houses().await {
        if house.database.engine != Engine::Postgres {
            continue;
        }
        let nodes = nodes(&house).await;
        let [one, other] = nodes.as_slice() else { panic!("two nodes") };
        let federation = house.federation("okta").await;
        let names = stream::iter(0..1_000).map(|number| {
            let (house, federation) = (&house, &federation);
            async move { house.key(federation, &format!("key {number}")).await.0 }
        });
        let ids: Vec<KeyId> = names.buffered(64).collect().await;
        let raced = stream::iter(&ids).map(|id| async move {
            let cx = |node: &Arc<Keyward>| testing::cx(node, Role::Admin);
            let (left, right) = (cx(one), cx(other));
            let turns = (keys::rotate(&left, id, Rotate::default()), keys::rotate(&right, id, Rotate::default()));
            let (left, right) = tokio::join!(turns.0, turns.1);
            let (won, lost) = match (left, right) {
                (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
                (Ok(_), Ok(_)) => panic!("two successors of {id}"),
                (Err(left), Err(right)) => panic!("no successor of {id}: {left}; {right}"),
            };
            let Error::Conflict(text) = &lost else { panic!("{lost:?}") };
            assert!(text.contains(won.key.id.as_str()), "the loser learns who won: {text}");
            won.key.id
        });
        let made: BTreeSet<KeyId> = raced.buffer_unordered(16).collect().await;
        assert_eq!(made.len(), 1_000);
        let all = keys::list(&house.admin(), &Default::default()).await.unwrap();
        assert_eq!(all.len(), 2_000);
        close_others(nodes).await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_node_that_was_away_while_another_took_over_changes_nothing() {
    for house in houses().await {
        if house.database.engine != Engine::Postgres {
            continue;
        }
        let federation = house.federation("okta").await;
        let (old, old_secret) = house.key(&federation, "okta-1").await;
        work(&house, &federation, &old_secret).await.unwrap();
        let (_, secret) = rotated(&house, &old).await;
        // The clock of this node stands still, as if it were stopped; that of the other goes on.
        let time = Arc::new(TestClock::default());
        let chance = Arc::new(testing::TestEntropy::default());
        ops::Entropy::fill(&*chance, &mut vec![0; 8_000_000]);
        let (target, key) = (house.database.target.clone(), testing::master_key());
        let other = Keyward::open(target, &key, Arc::clone(&time) as _, chance, testing::settings()).await.unwrap();
        assert!(scheduler::round(&house.keyward, "stopped").await.unwrap().is_some());
        assert!(scheduler::round(&other, "other").await.unwrap().is_none(), "one works");
        time.advance(16_000);
        assert!(scheduler::round(&other, "other").await.unwrap().is_some(), "the lease has ended");
        work(&house, &federation, &secret).await.unwrap();
        let before = board(&house).await;
        assert!(scheduler::round(&house.keyward, "stopped").await.unwrap().is_none(), "it is fenced");
        assert_eq!(board(&house).await, before);
        assert_eq!(scheduler::round(&other, "other").await.unwrap().map(|round| round.moved), Some(1));
        other.close().await;
        house.close().await;
    }
}

#[tokio::test]
async fn five_hundred_keys_that_are_due_at_once_begin_as_many_as_may_be_open() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let made = stream::iter(0..500).map(|number| {
            let (house, federation) = (&house, &federation);
            async move {
                let (_, secret) = house.key(federation, &format!("key {number}")).await;
                work(house, federation, &secret).await.unwrap();
            }
        });
        made.buffer_unordered(64).collect::<Vec<()>>().await;
        house.clock.advance(76 * DAY_MS);
        round(&house).await;
        let spread = RotationRules { automatic: Some(true), jitter_minutes: Some(60), ..RotationRules::default() };
        rules(&house, &federation, spread).await;
        let more = RotationDefaults { max_open_per_vendor: 400, ..RotationDefaults::default() };
        policies::edit_defaults(&house.admin(), 0, more).await.unwrap();
        let mut begun = Vec::new();
        for _ in 0..60 {
            house.clock.advance(MINUTE_MS);
            begun.push(round(&house).await.begun);
        }
        assert_eq!(begun.iter().sum::<usize>(), 400, "{begun:?}");
        assert!(begun.iter().all(|begun| *begun <= 30), "spread over the hour: {begun:?}");
        house.close().await;
    }
}
