//! What begins by itself: keys that are due by their policy, as many at once as may be under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    FederationId, HOUR_MS, KeyId, Millis,
    federations::{Federation, FederationStatus},
    keys::Key,
    rotations::{
        Cause, Stage,
        policy::{Due, Effective, RotationDefaults, due, opens},
        turns,
    },
};
use futures::{StreamExt as _, stream};
use store::{Change, Conn};

use super::{
    Author,
    begin::{self, Begin},
    scheduler::{AT_ONCE, Round, count, fenced},
};
use crate::{Error, Keyward};

/// How long what is due is looked for again at the earliest.
const DUE_EVERY_MS: Millis = 5_000;

/// Of all time, the part that looking for what is due may take: one in so many.
const DUE_SHARE: i64 = 50;

/// How many rotations one round begins.
const BEGUN: usize = 10_000;

/// How far apart the halves of a pair are rotated when no window says it.
const PAIR_APART_MS: Millis = 24 * HOUR_MS;

/// A key whose rotation is to begin.
struct Wanted {
    key_id: KeyId,
    due: Due,
    vendor: &'static str,
    /// The other half of its pair, whichever of them says that they are one.
    others: BTreeSet<FederationId>,
    /// Whether nothing but a person holds it back any more: its end is near.
    is_pressing: bool,
    policy: Effective,
}

/// Begins the rotations that are due, as many as may be under way.
pub(super) async fn begin_due(
    keyward: &Arc<Keyward>,
    fence: i64,
    defaults: &RotationDefaults,
    now_ms: Millis,
    round: &mut Round,
) -> Result<(), Error> {
    let began_us = keyward.clock.monotonic_us();
    let mut waiting = due_now(keyward, defaults, now_ms).await?;
    let took_ms = (keyward.clock.monotonic_us() - began_us) / 1_000;
    keyward.rotation.look_from(now_ms + DUE_EVERY_MS.max(took_ms * DUE_SHARE));
    if waiting.is_empty() {
        return Ok(());
    }
    let mut under_way: BTreeMap<String, i64> = {
        let mut reader = keyward.store.read().await?;
        store::rotations::open_by_vendor(&mut reader.conn()).await?.into_iter().collect()
    };
    // A place is taken by what has begun. What could not begin leaves it to the next.
    while round.begun < BEGUN {
        let (chosen, rest) = choose(waiting, &under_way, defaults.max_open_per_vendor);
        if chosen.is_empty() {
            return Ok(());
        }
        waiting = rest;
        // The halves of a pair take turns: units run in an order of their own.
        let (pairs, alone): (Vec<Wanted>, Vec<Wanted>) =
            chosen.into_iter().partition(|wanted| !wanted.others.is_empty());
        let mut begun = stream::iter(alone)
            .map(|wanted| async move { (wanted.vendor, begin_one(keyward, fence, wanted, now_ms).await) })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        for wanted in pairs {
            begun.push((wanted.vendor, begin_one(keyward, fence, wanted, now_ms).await));
        }
        for (vendor, begun) in begun {
            let before = round.begun;
            count(round, begun, |round, begun| round.begun += begun)?;
            *under_way.entry(vendor.to_owned()).or_default() += i64::from(round.begun > before);
        }
    }
    Ok(())
}

/// Those that may begin now, if each of them does, and the rest; in their order.
fn choose(waiting: Vec<Wanted>, under_way: &BTreeMap<String, i64>, most: i64) -> (Vec<Wanted>, Vec<Wanted>) {
    let mut taken: BTreeMap<&str, i64> = BTreeMap::new();
    let (mut chosen, mut rest) = (Vec::new(), Vec::new());
    for wanted in waiting {
        let taken = taken.entry(wanted.vendor).or_default();
        let has_place = *taken + under_way.get(wanted.vendor).copied().unwrap_or_default() < most;
        if chosen.len() < AT_ONCE && (has_place || wanted.is_pressing) {
            *taken += 1;
            chosen.push(wanted);
        } else {
            rest.push(wanted);
        }
    }
    (chosen, rest)
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
    let pairs = pairs(&federations);
    let exceptions = store::policies::open(conn, now_ms).await?;
    let mut wanted = Vec::new();
    for key in store::keys::list(conn).await? {
        let Some((federation, policy)) = policies.get(&key.federation_id) else { continue };
        let Some(due) = due(&key, policy, now_ms).filter(|due| due.at_ms <= now_ms) else { continue };
        if exceptions.iter().any(|exception| exception.covers(&key, now_ms)) {
            continue;
        }
        wanted.push(Wanted {
            is_pressing: turns::is_pressing(&key, policy, now_ms),
            key_id: key.id,
            due,
            vendor: federation.vendor.as_str(),
            others: pairs.get(&federation.id).cloned().unwrap_or_default(),
            policy: policy.clone(),
        });
    }
    wanted.sort_by_key(|wanted| wanted.due.at_ms);
    Ok(wanted)
}

/// The other half of each federation that is one of a pair: it is enough that one of them says so.
fn pairs(federations: &[Federation]) -> BTreeMap<FederationId, BTreeSet<FederationId>> {
    let slugs: BTreeMap<&str, &FederationId> =
        federations.iter().map(|federation| (federation.slug.as_str(), &federation.id)).collect();
    let mut pairs: BTreeMap<FederationId, BTreeSet<FederationId>> = BTreeMap::new();
    for federation in federations {
        let other = federation.rotation.pair.as_ref().and_then(|slug| slugs.get(slug.as_str()).copied());
        if let Some(other) = other {
            pairs.entry(federation.id.clone()).or_default().insert(other.clone());
            pairs.entry(other.clone()).or_default().insert(federation.id.clone());
        }
    }
    pairs
}

async fn begin_one(
    keyward: &Arc<Keyward>,
    fence: i64,
    wanted: Wanted,
    now_ms: Millis,
) -> Result<usize, Error> {
    let own = Arc::clone(keyward);
    let author = Author::system(keyward, "rotation");
    keyward
        .commit(async move |conn: &mut Conn<'_>| {
            fenced(conn, fence).await?;
            let found = store::keys::with_federation(conn, &wanted.key_id).await?;
            let Some((stored, federation)) = found else { return Ok(Change::nothing(0)) };
            let key = stored.key;
            let is_due = due(&key, &wanted.policy, now_ms).is_some_and(|due| due.at_ms <= now_ms);
            if !is_due || federation.status != FederationStatus::Live {
                return Ok(Change::nothing(0));
            }
            let of_own = store::rotations::of_new_key(conn, &key.federation_id, &key.id).await?;
            if of_own.is_some_and(|rotation| !rotation.stage.has_ended())
                || rests(conn, &key, &wanted.policy, now_ms).await?
            {
                return Ok(Change::nothing(0));
            }
            for other in wanted.others.iter().filter(|_| !wanted.is_pressing) {
                if is_in_turn(conn, other, &wanted.policy, now_ms).await? {
                    return Ok(Change::nothing(0));
                }
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

/// Whether a key is left alone because a person has rolled its last rotation back. An exception that has ended
/// since says that its time has come again.
async fn rests(conn: &mut Conn<'_>, key: &Key, policy: &Effective, now_ms: Millis) -> Result<bool, Error> {
    let last = store::rotations::of_old_key(conn, &key.federation_id, &key.id).await?;
    let Some(last) = last.filter(|last| last.stage == Stage::RolledBack) else { return Ok(false) };
    let Some(rolled_back_ms) = last.moments.rolled_back_ms else { return Ok(false) };
    if now_ms >= turns::rests_until(rolled_back_ms, key, policy) {
        return Ok(false);
    }
    let exceptions = store::policies::of_federation(conn, &key.federation_id).await?;
    let is_over = exceptions.iter().any(|exception| {
        let ended_ms = exception.ended_ms.unwrap_or(exception.ends_ms);
        let is_of_it = exception.key_id.as_ref().is_none_or(|id| *id == key.id);
        is_of_it && exception.made_ms >= rolled_back_ms && ended_ms <= now_ms
    });
    Ok(!is_over)
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
    let window_ends_ms = opens(&policy.windows, begun_ms).1;
    Ok(if policy.windows.is_empty() { now_ms - begun_ms < PAIR_APART_MS } else { now_ms < window_ends_ms })
}
