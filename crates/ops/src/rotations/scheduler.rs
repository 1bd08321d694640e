//! What happens to rotations by itself: on one node of all, each second.
//!
//! A round takes nothing but the database and the time. It looks at open rotations and lets happen what was
//! seen of their keys, one event a unit; then it begins the rotations that are due. Every unit checks the
//! fence of the lease first and reads afresh what it changes, so that a node that was away, a crash between
//! two units, or somebody who acts at the same time, leave nothing half done. The next round is the retry.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{
    FederationId, Millis, RotationId,
    audit::{Action, AuditEvent},
    federations::FederationStatus,
    rotations::{
        Event, Stage,
        cadence::{self, Cadence},
        evidence::{Evidence, observe},
        policy::RotationDefaults,
    },
};
use futures::{StreamExt as _, stream};
use serde_json::json;
use store::{Change, Conn, rotations::Live};

use super::{
    Author, cadence_if_proven, cadence_of,
    clock::{self, ClockState, Since},
    due,
    effects::{self, Happening, Pair},
};
use crate::{Error, Keyward, unit::detail};

/// The lease of this work.
const LEASE: &str = "rotation";

/// How long the lease holds.
const LEASE_MS: Millis = 15_000;

/// How much of it must be left.
const LEFT_MS: Millis = 10_000;

/// Nobody watched while there was no round for so long: longer than a lease and what its next holder needs.
const UNWATCHED_MS: Millis = 30_000;

/// How many open rotations one round looks at.
const LOOKED_AT: i64 = 1_000;

/// How many units wait for the committer at once.
pub(super) const AT_ONCE: usize = 256;

/// How many events in a row one rotation may have in one round.
const EVENTS: usize = 8;

/// How long a rhythm that was learned is taken for granted while nothing depends on it.
const LEARNED_MS: Millis = 10 * 60_000;

/// What the scheduler keeps in memory; all of it can be lost.
#[derive(Default)]
pub(crate) struct Runtime {
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The fence of the lease and when it ends, while this node has it.
    lease: Option<(i64, Millis)>,
    /// The last round of this process: the time, and the steady time in microseconds.
    last: Option<(Millis, i64)>,
    /// Whether the time was in doubt at the last look.
    in_doubt: bool,
    /// The last rotation that was looked at.
    cursor: Option<(FederationId, RotationId)>,
    /// When to look for what is due again.
    due_from_ms: Millis,
    /// Rhythms, and when they were learned.
    cadences: BTreeMap<RotationId, (Cadence, Millis)>,
}

impl Runtime {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the next round look for what is due: a policy was changed.
    pub(crate) fn look_again(&self) {
        self.look_from(0);
    }

    /// Lets no round look for what is due before a moment.
    pub(super) fn look_from(&self, due_from_ms: Millis) {
        self.lock().due_from_ms = due_from_ms;
    }
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    /// How many rotations were looked at.
    pub looked_at: usize,
    /// How many events happened.
    pub moved: usize,
    /// How many rotations were begun.
    pub begun: usize,
    /// How many units failed; the next round tries again.
    pub failed: usize,
    /// Whether the time is in doubt.
    pub in_doubt: bool,
}

/// Does what is to be done now, when this node has the lease; `None` while another node works.
///
/// # Errors
/// When the database does not answer.
pub async fn round(keyward: &Arc<Keyward>, node: &str) -> Result<Option<Round>, Error> {
    let Some(Judged { fence, in_doubt, now_ms, steady_us }) = lease(keyward, node).await? else {
        return Ok(None);
    };
    let worked = work(keyward, fence, in_doubt, now_ms).await;
    if worked.is_ok() {
        // However long it took, requests were answered and counted meanwhile. By the steady time: a jump of the
        // other one is seen by the next round.
        let later_us = keyward.clock.monotonic_us();
        keyward.rotation.lock().last = Some((now_ms + (later_us - steady_us) / 1_000, later_us));
    }
    if let Err(Error::Stale(_)) = &worked {
        // Another node has taken over.
        keyward.rotation.lock().lease = None;
        return Ok(None);
    }
    worked.map(Some)
}

/// Gives the lease back, so that another node need not wait for its end.
///
/// # Errors
/// When the database does not answer.
pub async fn release(keyward: &Keyward, node: &str) -> Result<(), Error> {
    let Some((fence, _)) = keyward.rotation.lock().lease.take() else { return Ok(()) };
    let node = node.to_owned();
    let give_back = async move |conn: &mut Conn<'_>| store::leases::release(conn, LEASE, &node, fence).await;
    Ok(keyward.store.committer().upkeep(give_back).await?)
}

/// How many rotations are open at each stage.
///
/// # Errors
/// When the database does not answer.
pub async fn open_by_stage(keyward: &Keyward) -> Result<Vec<(Stage, i64)>, Error> {
    Ok(store::rotations::count_open(&mut keyward.store.read().await?.conn()).await?)
}

/// The lease, and the time that a round goes by: what is judged is also what is written.
struct Judged {
    fence: i64,
    in_doubt: bool,
    now_ms: Millis,
    steady_us: i64,
}

/// Takes or renews the lease, and takes note of the time.
async fn lease(keyward: &Arc<Keyward>, node: &str) -> Result<Option<Judged>, Error> {
    let now_ms = keyward.clock.now_ms();
    let steady_us = keyward.clock.monotonic_us();
    let (last_ms, since) = {
        let mut memory = keyward.rotation.lock();
        let since = memory.last.map(|(wall_ms, us)| Since { wall_ms, passed_ms: (steady_us - us) / 1_000 });
        let held = memory.lease.filter(|(_, ends_ms)| (LEFT_MS..=LEASE_MS).contains(&(ends_ms - now_ms)));
        let jumped = since.is_some_and(|since| {
            let mut state = ClockState { last_round_ms: since.wall_ms, jump: None };
            state.note(now_ms, Some(since));
            state.jump.is_some()
        });
        if let Some((fence, _)) = held.filter(|_| !jumped && !memory.in_doubt) {
            memory.last = Some((now_ms, steady_us));
            return Ok(Some(Judged { fence, in_doubt: false, now_ms, steady_us }));
        }
        (memory.last.map_or(0, |(wall_ms, _)| wall_ms), since)
    };
    let (node, own) = (node.to_owned(), Arc::clone(keyward));
    let author = Author::system(keyward, "rotation");
    // Taking the lease, what is found out of the time, and what follows from it, are one commit: whoever dies in
    // between leaves nothing that the next one would not find out again.
    let taken = keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let fence = store::leases::take(conn, LEASE, &node, now_ms, now_ms + LEASE_MS).await?;
            let Some(fence) = fence else { return Ok(Change::nothing(None)) };
            let (before, version) = store::policies::setting::<ClockState>(conn, clock::SETTING).await?;
            let mut state = before;
            let watched_ms = before.last_round_ms.max(last_ms);
            let is_unwatched = watched_ms > 0 && now_ms - watched_ms > UNWATCHED_MS;
            state.note(now_ms, since);
            let foreign_ms = match state.jump {
                Some(_) => store::leases::foreign_time(conn).await?,
                None => None,
            };
            state.hear(now_ms, foreign_ms);
            store::policies::set(conn, clock::SETTING, version, &state, now_ms).await?;
            let mut events = Vec::new();
            if state.jump.is_some() != before.jump.is_some() {
                clock::tell(conn, &own, &state, now_ms).await?;
                if state.jump.is_none() {
                    events.push(author.plain(Action::ClockAgreed, now_ms));
                }
            }
            if is_unwatched || state.jump != before.jump {
                let rotations = clock::watch_anew(conn, now_ms).await?;
                if rotations > 0 || state.jump.is_some() {
                    let told = json!({ "since_ms": watched_ms, "jump": state.jump, "rotations": rotations });
                    let event = author.plain(Action::RotationUnwatched, now_ms);
                    events.push(AuditEvent { detail: detail(&told), ..event });
                }
            }
            Ok(Change::nothing(Some((fence, state))).with_events(events))
        })
        .await?;
    let mut memory = keyward.rotation.lock();
    let Some((fence, state)) = taken else {
        memory.lease = None;
        return Ok(None);
    };
    memory.lease = Some((fence, now_ms + LEASE_MS));
    memory.last = Some((now_ms, steady_us));
    memory.in_doubt = state.jump.is_some();
    Ok(Some(Judged { fence, in_doubt: memory.in_doubt, now_ms, steady_us }))
}

/// As if this process had made a round at every moment until now, for tests that pass the time at once. It says
/// nothing for a process that has made none.
#[cfg(feature = "testing")]
pub fn watched_until_now(keyward: &Keyward) {
    let now = (keyward.clock.now_ms(), keyward.clock.monotonic_us());
    let mut memory = keyward.rotation.lock();
    memory.last = memory.last.map(|_| now);
}

async fn work(keyward: &Arc<Keyward>, fence: i64, in_doubt: bool, now_ms: Millis) -> Result<Round, Error> {
    let mut round = Round { in_doubt, ..Round::default() };
    let defaults = {
        let mut reader = keyward.store.read().await?;
        crate::policies::defaults_in(&mut reader.conn()).await?.0
    };
    let live = next_page(keyward).await?;
    round.looked_at = live.len();
    let mut candidates = Vec::new();
    for live in live {
        if is_moving(keyward, &live, &defaults, in_doubt, now_ms).await? {
            candidates.push(live.rotation.id);
        }
    }
    let moved = stream::iter(candidates)
        .map(|id| move_on(keyward, fence, id, in_doubt, now_ms))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for moved in moved {
        count(&mut round, moved, |round, events| round.moved += events)?;
    }
    // What is due by a time that nobody trusts is not begun.
    if !in_doubt && now_ms >= keyward.rotation.lock().due_from_ms {
        due::begin_due(keyward, fence, &defaults, now_ms, &mut round).await?;
    }
    Ok(round)
}

pub(super) fn count(
    round: &mut Round,
    outcome: Result<usize, Error>,
    add: impl Fn(&mut Round, usize),
) -> Result<(), Error> {
    match outcome {
        Ok(events) => add(round, events),
        Err(error @ Error::Stale("the lease")) => return Err(error),
        Err(error) => {
            // One that fails takes no other with it; somebody else may have been faster.
            tracing::warn!(%error, "a rotation waits for the next round");
            round.failed += 1;
        }
    }
    Ok(())
}

async fn next_page(keyward: &Keyward) -> Result<Vec<Live>, Error> {
    let cursor = keyward.rotation.lock().cursor.clone();
    let mut reader = keyward.store.read().await?;
    let after = cursor.as_ref().map(|(federation_id, id)| (federation_id, id));
    let mut page = store::rotations::open_after(&mut reader.conn(), after, LOOKED_AT).await?;
    let is_last = i64::try_from(page.len()).unwrap_or(i64::MAX) < LOOKED_AT;
    if is_last && cursor.is_some() && page.is_empty() {
        page = store::rotations::open_after(&mut reader.conn(), None, LOOKED_AT).await?;
    }
    let is_last = i64::try_from(page.len()).unwrap_or(i64::MAX) < LOOKED_AT;
    let last = page.last().map(|live| (live.rotation.federation_id.clone(), live.rotation.id.clone()));
    keyward.rotation.lock().cursor = last.filter(|_| !is_last);
    Ok(page)
}

/// Whether something is to be done with a rotation, as far as can be seen without its unit.
async fn is_moving(
    keyward: &Arc<Keyward>,
    live: &Live,
    defaults: &RotationDefaults,
    in_doubt: bool,
    now_ms: Millis,
) -> Result<bool, Error> {
    let policy = live.federation.rotation.effective(live.federation.policy, defaults);
    let observed = |cadence, promotion_due| {
        let evidence = Evidence {
            old: &live.old,
            new: &live.new,
            cadence,
            is_live: live.federation.status == FederationStatus::Live,
            promotion_due,
            trusts_time: !in_doubt,
        };
        observe(&live.rotation, &evidence, &policy, now_ms)
    };
    // The fastest rhythm there can be: when not even that leads to an event, none is looked for.
    let fastest = Cadence { gap_ms: cadence::FASTEST_MS, basis: cadence::Basis::Assumed };
    match observed(fastest, false) {
        None => Ok(false),
        Some(Event::Silent | Event::Drained) => {
            let promotion_due = {
                let mut reader = keyward.store.read().await?;
                crate::deliveries::promotion_is_due(&mut reader.conn(), &live.rotation).await?
            };
            let cadence = learned(keyward, live, now_ms).await?;
            Ok(observed(cadence, promotion_due).is_some())
        }
        Some(_) => Ok(true),
    }
}

async fn learned(keyward: &Keyward, live: &Live, now_ms: Millis) -> Result<Cadence, Error> {
    let id = &live.rotation.id;
    let known = keyward.rotation.lock().cadences.get(id).copied();
    if let Some((cadence, _)) = known.filter(|(_, at_ms)| (0..LEARNED_MS).contains(&(now_ms - at_ms))) {
        return Ok(cadence);
    }
    let mut reader = keyward.store.read().await?;
    let pair = Pair::of(&mut reader.conn(), live.rotation.clone()).await?;
    let cadence = cadence_of(&mut reader.conn(), &pair, now_ms).await?;
    let mut memory = keyward.rotation.lock();
    if memory.cadences.len() > 20_000 {
        memory.cadences.clear();
    }
    memory.cadences.insert(id.clone(), (cadence, now_ms));
    Ok(cadence)
}

/// Lets happen to a rotation what was seen, one event a unit, until nothing is left.
async fn move_on(
    keyward: &Arc<Keyward>,
    fence: i64,
    id: RotationId,
    in_doubt: bool,
    now_ms: Millis,
) -> Result<usize, Error> {
    let mut moved = 0;
    while moved < EVENTS && step(keyward, fence, &id, in_doubt, now_ms).await? {
        moved += 1;
    }
    Ok(moved)
}

async fn step(
    keyward: &Arc<Keyward>,
    fence: i64,
    id: &RotationId,
    in_doubt: bool,
    now_ms: Millis,
) -> Result<bool, Error> {
    let (own, id) = (Arc::clone(keyward), id.clone());
    let author = Author::system(keyward, "rotation");
    // Much is read for the rhythm: before the unit, which holds up everybody who writes.
    let cadence = {
        let mut reader = keyward.store.read().await?;
        let conn = &mut reader.conn();
        let pair = Pair::read(conn, &id).await?;
        cadence_if_proven(conn, &pair, now_ms).await?
    };
    keyward
        .commit(async move |conn: &mut Conn<'_>| {
            fenced(conn, fence).await?;
            let mut pair = Pair::read(conn, &id).await?;
            let (defaults, _) = crate::policies::defaults_in(conn).await?;
            let policy = pair.federation.rotation.effective(pair.federation.policy, &defaults);
            let evidence = Evidence {
                old: &pair.old.life,
                new: &pair.new.life,
                cadence,
                is_live: pair.federation.status == FederationStatus::Live,
                promotion_due: crate::deliveries::promotion_is_due(conn, &pair.rotation).await?,
                trusts_time: !in_doubt,
            };
            let Some(event) = observe(&pair.rotation, &evidence, &policy, now_ms) else {
                return Ok(Change::nothing(false));
            };
            let happening = Happening { author: &author, event, note: "" };
            let events = effects::apply(conn, &own, &mut pair, &happening, now_ms).await?;
            let has_moved = events.is_some();
            Ok(Change::nothing(has_moved).with_events(events.unwrap_or_default()))
        })
        .await
}

/// The first line of every unit: another node may have the lease by now.
pub(super) async fn fenced(conn: &mut Conn<'_>, fence: i64) -> Result<(), Error> {
    match store::leases::check(conn, LEASE, fence).await {
        Err(store::Error::Stale) => Err(Error::Stale("the lease")),
        checked => Ok(checked?),
    }
}
