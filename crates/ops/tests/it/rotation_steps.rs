//! The steps of rotation, policies and holds, for the walk over every action.

use domain::{
    DAY_MS, ExceptionId, KeyId, RotationId, Secret,
    audit::Action,
    federations::{Federation, RotationPolicy},
    rotations::policy::{RotationDefaults, RotationRules},
};
use ops::{
    Error, keys,
    keys::Rotate,
    policies::{self, EditPolicy, NewException},
    rotations::{self, BoardFilter, scheduler},
    testing, users,
};

use crate::support::{House, asked, listed};

/// What the steps act on.
pub struct Prepared {
    federation: Federation,
    /// Of a federation whose keys are due.
    due: KeyId,
    free: KeyId,
    held: KeyId,
    /// Rotations: one that is proven, one to hold, one that is held, one to roll back, one to move.
    turns: [RotationId; 5],
    moving: Secret,
    exception: ExceptionId,
}

async fn work(house: &House, federation: &Federation, secret: &Secret) {
    let cx = house.client(federation, secret).await;
    let gone = users::get(&cx, &asked("GET", "Users"), "nobody").await;
    assert!(matches!(gone, Err(Error::NotFound(_))));
}

async fn turn(house: &House, federation: &Federation, name: &str) -> (RotationId, Secret) {
    let (old, _) = house.key(federation, name).await;
    let issued = keys::rotate(&house.admin(), &old, Rotate::default()).await.unwrap();
    let board = rotations::board(&house.admin(), &BoardFilter::default()).await.unwrap();
    let view = board.open.into_iter().find(|view| view.old.id == old).unwrap();
    (view.rotation.id, issued.secret.unwrap())
}

fn exception() -> NewException {
    NewException {
        key_id: None,
        owner: "Mia".to_owned(),
        reason: "the vendor moves house".to_owned(),
        ends_ms: testing::START_MS + DAY_MS,
    }
}

pub async fn prepared(house: &House) -> Prepared {
    let admin = house.admin();
    let federation = house.federation("turning").await;
    let (free, _) = house.key(&federation, "free").await;
    let (held, _) = house.key(&federation, "held").await;
    keys::hold(&admin, &held, "a test").await.unwrap();
    let (proven, secret) = turn(house, &federation, "proven").await;
    work(house, &federation, &secret).await;
    let (to_hold, _) = turn(house, &federation, "to hold").await;
    let (is_held, _) = turn(house, &federation, "is held").await;
    rotations::hold(&admin, &is_held, "a test").await.unwrap();
    let (back, _) = turn(house, &federation, "back").await;
    let (moves, moving) = turn(house, &federation, "moves").await;
    // A connection test, so that the work that follows is not its first use.
    let cx = house.client(&federation, &moving).await;
    listed(&cx, scim::ResourceType::User, None, 1).await.unwrap();
    while scheduler::round(&house.keyward, "laws").await.unwrap().unwrap().moved > 0 {}
    let exception = policies::except(&admin, &federation.slug, exception()).await.unwrap().id;
    let overdue = house.federation("due").await;
    let (due, secret) = house.key(&overdue, "due").await;
    work(house, &overdue, &secret).await;
    let rules = RotationRules {
        automatic: Some(true),
        rotate_before_days: Some(45),
        jitter_minutes: Some(0),
        ..RotationRules::default()
    };
    let edit = EditPolicy { version: overdue.version, policy: RotationPolicy::default(), rules };
    policies::edit(&admin, &overdue.slug, edit).await.unwrap();
    let near = format!(
        "UPDATE provisioning_keys SET expires_ms = {} WHERE id = '{due}'",
        testing::START_MS + 40 * DAY_MS
    );
    store::testing::run_sql(&house.database.target, near).await;
    let turns = [proven, to_hold, is_held, back, moves];
    Prepared { federation, due, free, held, turns, moving, exception }
}

/// A round that was to do one thing; what could not be written is told like any other refusal.
async fn round(house: &House, done: impl Fn(scheduler::Round) -> bool) -> Result<(), Error> {
    match scheduler::round(&house.keyward, "laws").await? {
        Some(round) if done(round) && round.failed == 0 => Ok(()),
        Some(_) | None => Err(Error::Unavailable(store::Error::Stale)),
    }
}

pub async fn steps(house: &House, prepared: &Prepared) -> Vec<(Action, Result<(), Error>)> {
    let admin = house.admin();
    let Prepared { federation, due, free, held, turns, moving, exception } = prepared;
    let [proven, to_hold, is_held, back, _] = turns;
    let slug = &federation.slug;
    let mut done =
        vec![(Action::RotationBegun, round(house, |round| (round.begun, round.moved) == (1, 0)).await)];
    // Nobody makes a round for a while.
    house.clock.advance(31_000);
    done.push((Action::RotationUnwatched, round(house, |_| true).await));
    work(house, federation, moving).await;
    done.push((Action::RotationMoved, round(house, |round| (round.begun, round.moved) == (0, 1)).await));
    let edit = EditPolicy {
        version: federation.version,
        policy: RotationPolicy::default(),
        rules: RotationRules { silence_cycles: Some(4), ..RotationRules::default() },
    };
    done.push((Action::PolicySet, policies::edit(&admin, slug, edit).await.map(drop)));
    let all = RotationDefaults { silence_cycles: 4, ..RotationDefaults::default() };
    done.push((Action::PolicySet, policies::edit_defaults(&admin, 0, all).await.map(drop)));
    done.push((Action::ExceptionMade, policies::except(&admin, slug, self::exception()).await.map(drop)));
    done.push((Action::ExceptionEnded, policies::end_exception(&admin, slug, exception).await));
    done.push((Action::KeyHeld, keys::hold(&admin, free, "a test").await.map(drop)));
    done.push((Action::KeyReleased, keys::release(&admin, held).await.map(drop)));
    done.push((Action::RotationHeld, rotations::hold(&admin, to_hold, "a test").await.map(drop)));
    done.push((Action::RotationReleased, rotations::release(&admin, is_held).await.map(drop)));
    done.push((Action::RotationRolledBack, rotations::roll_back(&admin, back, "a test").await.map(drop)));
    done.push((Action::KeyRetired, rotations::finish(&admin, proven, "a test").await.map(drop)));
    let jumped = "UPDATE installation_settings SET body =
        '{\"last_round_ms\":1,\"jump\":{\"from_ms\":1,\"to_ms\":2}}', version = version + 1 WHERE name = 'rotation.clock'";
    store::testing::run_sql(&house.database.target, jumped.to_owned()).await;
    done.push((Action::ClockAgreed, rotations::agree(&admin).await));
    // The key that is due has its successor, or nothing has happened.
    let due = keys::open(&admin, due).await.unwrap().key;
    let begun = done.first().is_some_and(|(_, result)| result.is_ok());
    assert_eq!(due.successor_id.is_some(), begun);
    done
}
