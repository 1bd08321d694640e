//! Rotations when things go wrong: crashes, clocks, two nodes, copies of a consumer that do not move.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    DAY_MS, HOUR_MS, KeyId, Millis, Secret,
    admins::Role,
    federations::Federation,
    findings::Rule,
    keys::KeyState,
    rotations::{
        Stage, Step,
        evidence::Verdict,
        policy::{RotationDefaults, RotationRules},
    },
};
use futures::{StreamExt as _, stream};
use ops::{
    Error, Keyward,
    keys::{self, Rotate},
    policies,
    rotations::{self, BoardFilter, RotationView, scheduler},
    testing::{self, TestClock},
};
use store::Engine;

use crate::{
    cache::{close_others, nodes},
    rotations::{MINUTE_MS, automatic, raised, rotated, round, rules, seen, state, test, work},
    support::{House, houses, new_federation},
};

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

#[tokio::test]
async fn silence_that_nobody_watched_says_nothing_and_the_mark_of_it_is_never_lost() {
    for house in houses().await {
        let rules = RotationRules {
            silence_cycles: Some(1),
            least_silence_minutes: Some(1),
            ..RotationRules::default()
        };
        let federation = house.federation("okta").await;
        self::rules(&house, &federation, rules).await;
        let (old, old_secret) = house.key(&federation, "okta-1").await;
        work(&house, &federation, &old_secret).await.unwrap();
        let (_, secret) = rotated(&house, &old).await;
        work(&house, &federation, &secret).await.unwrap();
        round(&house).await;
        // The process is there all the time, and its database is not.
        house.clock.advance(20 * HOUR_MS);
        break_records(&house).await;
        let failed = scheduler::round(&house.keyward, "node").await;
        assert!(failed.is_err(), "what cannot be recorded is not done: {failed:?}");
        mend_records(&house).await;
        // It dies in between; the next one finds out as well.
        let house = restarted(house).await;
        for _ in 0..3 {
            assert!(
                scheduler::round(&house.keyward, "node").await.unwrap().is_some_and(|round| round.moved == 0)
            );
        }
        let marked_ms = seen(&house, &old).await.rotation.moments.watched_from_ms;
        assert_eq!(marked_ms, Some(clock_now(&house.clock)));
        let log = house.log().await;
        assert_eq!(log.iter().filter(|line| line.starts_with("rotation.unwatched")).count(), 1, "{log:#?}");
        house.clock.advance(24 * HOUR_MS - MINUTE_MS);
        round(&house).await;
        // A restart that takes a minute.
        let house = restarted(house).await;
        house.clock.advance(MINUTE_MS);
        scheduler::round(&house.keyward, "node").await.unwrap().unwrap();
        assert_eq!(state(&house, &old).await, KeyState::Retiring);
        house.clock.advance(24 * HOUR_MS);
        round(&house).await;
        assert_eq!(state(&house, &old).await, KeyState::Retired);
        house.close().await;
    }
}

#[tokio::test]
async fn a_key_that_ends_by_a_time_in_doubt_is_told_to_come_back() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "okta-1").await;
        work(&house, &federation, &secret).await.unwrap();
        round(&house).await;
        let house = restarted(house).await;
        house.clock.advance(100 * DAY_MS);
        assert!(round(&house).await.in_doubt);
        let doubted = house.present("okta", Some(secret.expose())).await.err().unwrap();
        assert!(matches!(doubted, Error::Held { .. }), "{doubted:?}");
        rotations::agree(&house.admin()).await.unwrap();
        let ended = house.present("okta", Some(secret.expose())).await.err().unwrap();
        assert!(matches!(ended, Error::Unauthenticated(_)), "{ended:?}");
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
        Engine::Sqlite => {
            "CREATE TRIGGER broken BEFORE INSERT ON audit_records BEGIN SELECT RAISE(ABORT, 'broken'); END"
        }
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
            scheduler::watched_until_now(&house.keyward);
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
            if step >= 2 {
                work(&house, &federation, &new_secret).await.unwrap();
            }
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
        lines.push(format!(
            "{:?} {} {old_state:?} {new_state:?} {deliveries:?}",
            rotation.stage, rotation.version
        ));
    }
    let keys = keys::list(&house.admin(), &Default::default()).await.unwrap();
    lines.extend(
        keys.iter().map(|view| format!("{} {:?} {:?}", view.key.name, view.state, view.key.life.retires_ms)),
    );
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
    let new = ops::federations::NewFederation { vendor: "entra".to_owned(), ..new_federation(&slug) };
    let federation = ops::federations::register(&house.admin(), new).await.unwrap();
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
                refused +=
                    usize::from(work(house, &consumer.federation, &consumer.old_secret).await.is_err());
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
            let made =
                stream::iter(0..size).map(|number| consumer(&house, format!("{name}-{number}"), number == 0));
            let mut consumers: Vec<Consumer> = made.buffered(64).collect().await;
            if cadence_ms < 40 * MINUTE_MS {
                // Faster than its vendor: somebody says so, or it is seen for two hours.
                let own = RotationRules { cycle_minutes: Some(1), ..RotationRules::default() };
                let said =
                    stream::iter(&consumers).map(|one| self::rules(&house, &one.federation, own.clone()));
                said.buffered(64).collect::<Vec<_>>().await;
            }
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
                if consumer.is_stale {
                    assert_eq!(state, KeyState::Retiring, "{name}: the stale copy keeps its key alive");
                } else {
                    ended += usize::from(state == KeyState::Retired);
                }
            }
            assert_eq!(ended, consumers.len() - 1, "{name}");
            let stale = seen(&house, &consumers[0].old).await;
            assert!(!stale.rotation.stage.has_ended());
            // It is found: the old key came back after the silence of a cycle.
            let found = raised(&house, Rule::TwoHolders).await;
            let found: Vec<_> =
                found.iter().filter(|f| f.rotation_id.as_ref() == Some(&stale.rotation.id)).collect();
            assert_eq!(found.len(), 1, "{name}");
            assert!(found[0].count >= 3 && stale.rotation.moments.returns >= 3, "{name}: {:?}", found[0]);
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
            let turns =
                (keys::rotate(&left, id, Rotate::default()), keys::rotate(&right, id, Rotate::default()));
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
        let other =
            Keyward::open(target, &key, Arc::clone(&time) as _, chance, testing::settings()).await.unwrap();
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
        let spread =
            RotationRules { automatic: Some(true), jitter_minutes: Some(60), ..RotationRules::default() };
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
