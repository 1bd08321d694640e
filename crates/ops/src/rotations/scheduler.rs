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
    FederationId, HOUR_MS, KeyId, Millis, RotationId,
    federations::{Federation, FederationStatus},
    rotations::{
        Cause, Event, Stage,
        cadence::{self, Cadence},
        evidence::{Evidence, observe},
        policy::{Due, Effective, RotationDefaults, due},
    },
};
use futures::{StreamExt as _, stream};
use store::{Change, Conn, rotations::Live};

use super::{
    Author,
    begin::{self, Begin},
    cadence_of,
    clock::{self, ClockState, Since},
    effects::{self, Happening, Pair},
};
use crate::{Error, Keyward};

/// The lease of this work.
const LEASE: &str = "rotation";

/// How long the lease holds.
const LEASE_MS: Millis = 15_000;

/// How much of it must be left.
const LEFT_MS: Millis = 10_000;

/// Nobody watched while no process was there for so long.
const UNWATCHED_MS: Millis = 5 * 60_000;

/// How many open rotations one round looks at.
const LOOKED_AT: i64 = 1_000;

/// How many rotations one round begins.
const BEGUN: usize = 10_000;

/// How many units wait for the committer at once.
const AT_ONCE: usize = 256;

/// How many events in a row one rotation may have in one round.
const EVENTS: usize = 8;

/// How long what is due is looked for again at the earliest.
const DUE_EVERY_MS: Millis = 5_000;

/// Of all time, the part that looking for what is due may take: one in so many.
const DUE_SHARE: i64 = 50;

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
        self.lock().due_from_ms = 0;
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
    let Some((fence, in_doubt)) = lease(keyward, node).await? else { return Ok(None) };
    let worked = work(keyward, fence, in_doubt).await;
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

/// Takes or renews the lease, and takes note of the time.
async fn lease(keyward: &Arc<Keyward>, node: &str) -> Result<Option<(i64, bool)>, Error> {
    let now_ms = keyward.clock.now_ms();
    let steady_us = keyward.clock.monotonic_us();
    let (held, since) = {
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
            return Ok(Some((fence, false)));
        }
        (held, since)
    };
    // A process that has just come cannot say what happened before.
    let is_first = since.is_none() && held.is_none();
    let (node, own) = (node.to_owned(), Arc::clone(keyward));
    let taken = keyward
        .store
        .committer()
        .upkeep(async move |conn: &mut Conn<'_>| {
            let fence = store::leases::take(conn, LEASE, &node, now_ms, now_ms + LEASE_MS).await?;
            let Some(fence) = fence else { return Ok(None) };
            let (before, version) = store::policies::setting::<ClockState>(conn, clock::SETTING).await?;
            let mut state = before;
            let unwatched =
                is_first && before.last_round_ms > 0 && now_ms - before.last_round_ms > UNWATCHED_MS;
            state.note(now_ms, since);
            let foreign_ms = match state.jump {
                Some(_) => store::leases::foreign_time(conn).await?,
                None => None,
            };
            state.hear(now_ms, foreign_ms);
            store::policies::set(conn, clock::SETTING, version, &state, now_ms).await?;
            let is_told = state.jump.is_some() != before.jump.is_some();
            Ok(Some((fence, state, is_told, unwatched)))
        })
        .await?;
    let Some((fence, state, is_told, unwatched)) = taken else {
        keyward.rotation.lock().lease = None;
        return Ok(None);
    };
    if is_told {
        tell(keyward, fence, state, now_ms).await?;
    }
    if unwatched {
        unseen(keyward, fence, now_ms).await?;
    }
    let mut memory = own_memory(&own);
    memory.lease = Some((fence, now_ms + LEASE_MS));
    memory.last = Some((now_ms, steady_us));
    memory.in_doubt = state.jump.is_some();
    Ok(Some((fence, memory.in_doubt)))
}

fn own_memory(keyward: &Keyward) -> MutexGuard<'_, Memory> {
    keyward.rotation.lock()
}

async fn tell(keyward: &Arc<Keyward>, fence: i64, state: ClockState, now_ms: Millis) -> Result<(), Error> {
    let own = Arc::clone(keyward);
    let event = Author::system(keyward, "rotation").plain(domain::audit::Action::ClockAgreed, now_ms);
    keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::leases::check(conn, LEASE, fence).await?;
            clock::tell(conn, &own, &state, now_ms).await?;
            // A jump is told by its finding; that it is over, by whoever agreed: here, the database.
            let events = state.jump.is_none().then(|| event.clone());
            Ok(Change::nothing(()).with_events(events))
        })
        .await
}

/// Nobody watched for a while: silence that ends now says nothing.
async fn unseen(keyward: &Arc<Keyward>, fence: i64, now_ms: Millis) -> Result<(), Error> {
    keyward
        .store
        .committer()
        .upkeep(async move |conn: &mut Conn<'_>| {
            store::leases::check(conn, LEASE, fence).await?;
            let mut after: Option<(FederationId, RotationId)> = None;
            loop {
                let page =
                    store::rotations::open_after(conn, after.as_ref().map(|(f, id)| (f, id)), LOOKED_AT);
                let page = page.await?;
                let Some(last) = page.last() else { return Ok(()) };
                after = Some((last.rotation.federation_id.clone(), last.rotation.id.clone()));
                for mut live in page {
                    live.rotation.moments.watched_from_ms = Some(now_ms);
                    store::rotations::update(conn, &live.rotation).await?;
                }
            }
        })
        .await?;
    Ok(())
}

async fn work(keyward: &Arc<Keyward>, fence: i64, in_doubt: bool) -> Result<Round, Error> {
    let mut round = Round { in_doubt, ..Round::default() };
    let now_ms = keyward.clock.now_ms();
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
        .map(|id| move_on(keyward, fence, id, in_doubt))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for moved in moved {
        count(&mut round, moved, |round, events| round.moved += events)?;
    }
    // What is due by a time that nobody trusts is not begun.
    if !in_doubt && now_ms >= keyward.rotation.lock().due_from_ms {
        begin_due(keyward, fence, &defaults, &mut round).await?;
    }
    Ok(round)
}

fn count(
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
    let observed = |cadence| {
        let evidence = Evidence {
            old: &live.old,
            new: &live.new,
            cadence,
            is_live: live.federation.status == FederationStatus::Live,
            trusts_time: !in_doubt,
        };
        observe(&live.rotation, &evidence, &policy, now_ms)
    };
    // The fastest rhythm there can be: when not even that leads to an event, none is looked for.
    let fastest = Cadence { gap_ms: cadence::FASTEST_MS, basis: cadence::Basis::Assumed };
    match observed(fastest) {
        None => Ok(false),
        Some(Event::Silent | Event::Drained) => {
            let cadence = learned(keyward, live, now_ms).await?;
            Ok(observed(cadence).is_some())
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
    let cadence = cadence_of(&mut reader.conn(), live.federation.vendor, &pair).await?;
    let mut memory = keyward.rotation.lock();
    if memory.cadences.len() > 20_000 {
        memory.cadences.clear();
    }
    memory.cadences.insert(id.clone(), (cadence, now_ms));
    Ok(cadence)
}

/// Lets happen to a rotation what was seen, one event a unit, until nothing is left.
async fn move_on(keyward: &Arc<Keyward>, fence: i64, id: RotationId, in_doubt: bool) -> Result<usize, Error> {
    let mut moved = 0;
    while moved < EVENTS && step(keyward, fence, &id, in_doubt).await? {
        moved += 1;
    }
    Ok(moved)
}

async fn step(keyward: &Arc<Keyward>, fence: i64, id: &RotationId, in_doubt: bool) -> Result<bool, Error> {
    let (own, id) = (Arc::clone(keyward), id.clone());
    let author = Author::system(keyward, "rotation");
    keyward
        .commit(async move |conn: &mut Conn<'_>| {
            fenced(conn, fence).await?;
            let now_ms = own.clock.now_ms();
            let mut pair = Pair::read(conn, &id).await?;
            let (defaults, _) = crate::policies::defaults_in(conn).await?;
            let policy = pair.federation.rotation.effective(pair.federation.policy, &defaults);
            let evidence = Evidence {
                old: &pair.old.life,
                new: &pair.new.life,
                cadence: cadence_of(conn, pair.federation.vendor, &pair).await?,
                is_live: pair.federation.status == FederationStatus::Live,
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
async fn fenced(conn: &mut Conn<'_>, fence: i64) -> Result<(), Error> {
    match store::leases::check(conn, LEASE, fence).await {
        Err(store::Error::Stale) => Err(Error::Stale("the lease")),
        checked => Ok(checked?),
    }
}

/// A key whose rotation is to begin.
struct Wanted {
    key_id: KeyId,
    due: Due,
    vendor: &'static str,
    pair: Option<FederationId>,
    policy: Effective,
}

/// Begins the rotations that are due, as many as may be open.
async fn begin_due(
    keyward: &Arc<Keyward>,
    fence: i64,
    defaults: &RotationDefaults,
    round: &mut Round,
) -> Result<(), Error> {
    let now_ms = keyward.clock.now_ms();
    let began_us = keyward.clock.monotonic_us();
    let wanted = due_now(keyward, defaults, now_ms).await?;
    let took_ms = (keyward.clock.monotonic_us() - began_us) / 1_000;
    keyward.rotation.lock().due_from_ms = now_ms + DUE_EVERY_MS.max(took_ms * DUE_SHARE);
    if wanted.is_empty() {
        return Ok(());
    }
    let mut open: BTreeMap<String, i64> = {
        let mut reader = keyward.store.read().await?;
        store::rotations::open_by_vendor(&mut reader.conn()).await?.into_iter().collect()
    };
    let mut chosen = Vec::new();
    for wanted in wanted {
        let open = open.entry(wanted.vendor.to_owned()).or_default();
        if *open < defaults.max_open_per_vendor && chosen.len() < BEGUN {
            *open += 1;
            chosen.push(wanted);
        }
    }
    // The halves of a pair take turns: units run in an order of their own.
    let (pairs, alone): (Vec<Wanted>, Vec<Wanted>) =
        chosen.into_iter().partition(|wanted| wanted.pair.is_some());
    let begun = stream::iter(alone)
        .map(|wanted| begin_one(keyward, fence, wanted))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for begun in begun {
        count(round, begun, |round, begun| round.begun += begun)?;
    }
    for wanted in pairs {
        let begun = begin_one(keyward, fence, wanted).await;
        count(round, begun, |round, begun| round.begun += begun)?;
    }
    Ok(())
}

/// The keys that are due, the longest due first.
async fn due_now(
    keyward: &Keyward,
    defaults: &RotationDefaults,
    now_ms: Millis,
) -> Result<Vec<Wanted>, Error> {
    let mut reader = keyward.store.read().await?;
    let conn = &mut reader.conn();
    let federations = store::federations::list(conn).await?;
    let slugs: BTreeMap<&str, &FederationId> =
        federations.iter().map(|federation| (federation.slug.as_str(), &federation.id)).collect();
    let mut policies: BTreeMap<&FederationId, (&Federation, Effective)> = BTreeMap::new();
    for federation in &federations {
        let policy = federation.rotation.effective(federation.policy, defaults);
        if federation.status == FederationStatus::Live && policy.automatic {
            policies.insert(&federation.id, (federation, policy));
        }
    }
    if policies.is_empty() {
        return Ok(Vec::new());
    }
    let exceptions = store::policies::open(conn, now_ms).await?;
    let mut wanted = Vec::new();
    for key in store::keys::list(conn).await? {
        let Some((federation, policy)) = policies.get(&key.federation_id) else { continue };
        let Some(due) = due(&key, policy, now_ms).filter(|due| due.at_ms <= now_ms) else { continue };
        if exceptions.iter().any(|exception| exception.covers(&key, now_ms)) {
            continue;
        }
        let pair = policy.pair.as_ref().and_then(|slug| slugs.get(slug.as_str())).map(|id| (*id).clone());
        wanted.push(Wanted {
            key_id: key.id,
            due,
            vendor: federation.vendor.as_str(),
            pair,
            policy: policy.clone(),
        });
    }
    wanted.sort_by_key(|wanted| wanted.due.at_ms);
    Ok(wanted)
}

/// How far apart the halves of a pair are rotated when no window says it.
const PAIR_APART_MS: Millis = 24 * HOUR_MS;

async fn begin_one(keyward: &Arc<Keyward>, fence: i64, wanted: Wanted) -> Result<usize, Error> {
    let own = Arc::clone(keyward);
    let author = Author::system(keyward, "rotation");
    keyward
        .commit(async move |conn: &mut Conn<'_>| {
            fenced(conn, fence).await?;
            let now_ms = own.clock.now_ms();
            let found = store::keys::with_federation(conn, &wanted.key_id).await?;
            let Some((stored, federation)) = found else { return Ok(Change::nothing(0)) };
            let key = stored.key;
            let is_due = due(&key, &wanted.policy, now_ms).is_some_and(|due| due.at_ms <= now_ms);
            if !is_due || federation.status != FederationStatus::Live {
                return Ok(Change::nothing(0));
            }
            let of_own = store::rotations::of_new_key(conn, &key.federation_id, &key.id).await?;
            if of_own.is_some_and(|rotation| !rotation.stage.has_ended()) {
                return Ok(Change::nothing(0));
            }
            if let Some(other) = &wanted.pair
                && is_in_turn(conn, other, &wanted.policy, now_ms).await?
            {
                return Ok(Change::nothing(0));
            }
            let begin = Begin {
                author: &author,
                federation: &federation,
                old: &key,
                cause: wanted.due.cause,
                overlap_ms: wanted.policy.overlap_ms,
                lifetime_days: begin::longest_life(&federation),
                is_shown: false,
                note: match wanted.due.cause {
                    Cause::Policy | Cause::ByHand | Cause::Compromise => "",
                    Cause::Expiry => "its own time is over",
                },
            };
            let begun = begin::in_unit(conn, &own, &begin, now_ms).await?;
            Ok(Change::new(1, begun.event))
        })
        .await
}

/// Whether the other half of a pair has its turn: a rotation of it is open, or began in this window.
async fn is_in_turn(
    conn: &mut Conn<'_>,
    other: &FederationId,
    policy: &Effective,
    now_ms: Millis,
) -> Result<bool, Error> {
    if !store::rotations::open_of(conn, other).await?.is_empty() {
        return Ok(true);
    }
    let Some(begun_ms) = store::rotations::last_begun(conn, other).await? else { return Ok(false) };
    // Within a window everything from its beginning on is in it.
    let window_ends_ms = domain::rotations::policy::opens(&policy.windows, begun_ms).1;
    Ok(if policy.windows.is_empty() { now_ms - begun_ms < PAIR_APART_MS } else { now_ms < window_ends_ms })
}
