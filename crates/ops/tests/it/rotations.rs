//! Rotations: nobody is cut off, whatever happens when.

use std::collections::BTreeSet;

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
use ops::{
    Error,
    findings::{self, Wanted},
    keys::{self, Rotate},
    policies::{self, EditPolicy, NewException, Proposal},
    rotations::{self, BoardFilter, RotationView, Wait, scheduler},
    testing, users,
};

use crate::{
    cache::{close_others, nodes, present},
    support::{House, asked, houses, listed},
};

pub const MINUTE_MS: Millis = 60_000;

/// A round of a process that has made rounds all the time.
pub async fn round(house: &House) -> scheduler::Round {
    scheduler::watched_until_now(&house.keyward);
    scheduler::round(&house.keyward, "node").await.unwrap().expect("this node has the lease")
}

/// One real operation of a consumer. Whatever it is refused with is its answer.
pub async fn work(house: &House, federation: &Federation, secret: &Secret) -> Result<(), Error> {
    let cx = house.present(federation.slug.as_str(), Some(secret.expose())).await?;
    // Asking for somebody who is not there is asked of the directory all the same.
    match users::get(&cx, &asked("GET", "Users"), "nobody").await {
        Err(Error::NotFound(_)) => Ok(()),
        other => other.map(drop),
    }
}

/// A connection test, as Entra ID does it.
pub async fn test(house: &House, federation: &Federation, secret: &Secret) {
    let cx = house.client(federation, secret).await;
    let filter = Some("userName eq \"3f1c0a52-1111-2222-3333-444455556666\"");
    listed(&cx, scim::ResourceType::User, filter, 10).await.unwrap();
}

pub async fn rules(house: &House, federation: &Federation, rules: RotationRules) {
    set_policy(house, federation, RotationPolicy::default(), rules).await.unwrap();
}

pub async fn set_policy(
    house: &House,
    federation: &Federation,
    policy: RotationPolicy,
    rules: RotationRules,
) -> Result<(), Error> {
    let version = policies::effective(&house.admin(), &federation.slug).await.unwrap().federation.version;
    policies::edit(&house.admin(), &federation.slug, EditPolicy { version, policy, rules }).await.map(drop)
}

/// What the board shows of a key that is replaced.
pub async fn seen(house: &House, old: &KeyId) -> RotationView {
    let board = rotations::board(&house.admin(), &BoardFilter::default()).await.unwrap();
    let mut views = board.open.into_iter().chain(board.ended);
    views.find(|view| view.old.id == *old).expect("a rotation of the key")
}

pub async fn state(house: &House, id: &KeyId) -> KeyState {
    keys::open(&house.admin(), id).await.unwrap().state
}

pub async fn rotated(house: &House, old: &KeyId) -> (KeyId, Secret) {
    let issued = keys::rotate(&house.admin(), old, Rotate::default()).await.unwrap();
    (issued.key.id, issued.secret.unwrap())
}

pub async fn raised(house: &House, rule: Rule) -> Vec<domain::findings::Finding> {
    let wanted = Wanted { rule: Some(rule), ..Wanted::default() };
    let views = findings::list(&house.admin(), &wanted).await.unwrap();
    views.into_iter().map(|view| view.finding).collect()
}

#[tokio::test]
async fn a_rotation_goes_from_delivered_to_retired_on_what_is_seen() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (old, old_secret) = house.key(&federation, "okta-1").await;
        // For three days: an hour is faster than what is known of its vendor.
        for _ in 0..72 {
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
        for _ in 0..24 {
            work(&house, &federation, &new_secret).await.unwrap();
            house.clock.advance(HOUR_MS);
        }
        house.clock.advance(-MINUTE_MS);
        round(&house).await;
        assert_eq!(state(&house, &old).await, KeyState::Retiring);
        house.clock.advance(MINUTE_MS);
        let done = round(&house).await;
        assert_eq!((done.moved, done.failed), (1, 0));
        assert_eq!(seen(&house, &old).await.rotation.stage, Stage::Retired);
        assert_eq!(
            (state(&house, &old).await, state(&house, &new).await),
            (KeyState::Retired, KeyState::InUse)
        );
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
async fn a_successor_in_use_outlives_its_own_time_while_the_old_key_is_still_used() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (old, old_secret) = house.key(&federation, "okta-1").await;
        let (new, secret) = rotated(&house, &old).await;
        for day in 0..100 {
            work(&house, &federation, &secret).await.unwrap_or_else(|error| panic!("day {day}: {error}"));
            work(&house, &federation, &old_secret).await.unwrap();
            round(&house).await;
            house.clock.advance(DAY_MS);
        }
        assert_eq!(state(&house, &new).await, KeyState::Retiring, "100 days old");
        // There is a way out, and it leaves a key that works and can be rotated.
        rotations::finish(&house.admin(), &seen(&house, &old).await.rotation.id, "moved").await.unwrap();
        work(&house, &federation, &secret).await.unwrap();
        rotated(&house, &new).await;
        house.close().await;
    }
}

#[tokio::test]
async fn the_first_of_a_large_directory_is_a_connection_test() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "okta-1").await;
        let cx = house.client(&federation, &secret).await;
        for name in ["a", "b", "c", "d"] {
            let user =
                crate::support::resource(scim::ResourceType::User, serde_json::json!({ "userName": name }));
            users::create(&cx, &asked("POST", "Users"), user).await.unwrap();
        }
        let mut is_work = Vec::new();
        for count in [0, 1, 2, 3, 100] {
            house.clock.advance(1_000);
            let cx = house.client(&federation, &secret).await;
            listed(&cx, scim::ResourceType::User, None, count).await.unwrap();
            is_work.push(ops::usage::of_key(&house.admin(), &id, 1).await.unwrap()[0].is_work);
        }
        assert_eq!(is_work, [false, false, false, true, true]);
        house.close().await;
    }
}

#[tokio::test]
async fn the_last_use_of_a_key_never_goes_back() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "okta-1").await;
        work(&house, &federation, &secret).await.unwrap();
        let last_ms = ops::Clock::now_ms(&*house.clock);
        house.clock.advance(-5_000);
        work(&house, &federation, &secret).await.unwrap();
        test(&house, &federation, &secret).await;
        let life = keys::open(&house.admin(), &id).await.unwrap().key.life;
        assert_eq!((life.last_used_ms, life.last_work_ms), (Some(last_ms), Some(last_ms)));
        assert_eq!(life.tested_ms, Some(last_ms - 5_000));
        house.close().await;
    }
}

#[tokio::test]
async fn a_burst_hides_no_rhythm() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (old, secret) = house.key(&federation, "okta-1").await;
        for _ in 0..4 {
            work(&house, &federation, &secret).await.unwrap();
            house.clock.advance(2 * DAY_MS);
        }
        // More requests than were ever looked at, one after the other.
        for _ in 0..520 {
            work(&house, &federation, &secret).await.unwrap();
            house.clock.advance(25_000);
        }
        let (_, new_secret) = rotated(&house, &old).await;
        work(&house, &federation, &new_secret).await.unwrap();
        round(&house).await;
        let cadence = seen(&house, &old).await.cadence;
        assert_eq!(cadence.gap_ms, 2 * DAY_MS, "{cadence:?}");
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
        let late = rotations::roll_back(&admin, &id, "not now").await;
        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        rotations::finish(&admin, &id, "the replica is gone").await.unwrap();
        assert_eq!(state(&house, &old).await, KeyState::Retired);
        assert!(work(&house, &federation, &old_secret).await.is_err());

        let (next, _) = rotated(&house, &new).await;
        let id = seen(&house, &new).await.rotation.id;
        let third = keys::rotate(&admin, &next, Rotate::default()).await.err().unwrap();
        assert!(matches!(third, Error::Conflict(_)), "never three keys: {third}");
        rotations::roll_back(&admin, &id, "a mistake").await.unwrap();
        assert_eq!(
            (state(&house, &new).await, state(&house, &next).await),
            (KeyState::InUse, KeyState::Revoked)
        );
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
        assert!(
            uses.iter().all(|use_| use_.status == 503 && use_.decision == Decision::Denied && !use_.is_work)
        );
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

pub fn automatic() -> RotationRules {
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
        let hasty = RotationRules {
            silence_cycles: Some(1),
            least_silence_minutes: Some(1),
            ..RotationRules::default()
        };
        let refused = set_policy(&house, &federation, RotationPolicy::default(), hasty).await;
        let Err(Error::Conflict(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains("all 3 old keys"), "{text}");
        let wrong = RotationRules { silence_cycles: Some(0), ..RotationRules::default() };
        assert!(matches!(
            set_policy(&house, &federation, RotationPolicy::default(), wrong).await,
            Err(Error::Invalid(_))
        ));
        house.close().await;
    }
}
