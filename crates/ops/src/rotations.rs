//! Rotations: beginning them, what happens to them, and how they stand.
//!
//! - [`begin`]: the successor, the overlap, the row and the delivery, in one unit;
//! - [`effects`]: an event and what follows from it, in one unit; what the events are is decided in
//!   [`domain::rotations`];
//! - [`scheduler`]: what happens by itself, on one node of all; [`due`]: what begins by itself;
//! - [`board`], [`plan`]: what people see of it.

mod author;
mod board;

pub(crate) mod begin;
pub(crate) mod clock;
mod due;
pub(crate) mod effects;
pub mod scheduler;

use domain::{
    FederationId, KeyId, Millis, RotationId,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    federations::{Federation, FederationStatus, check_reason},
    keys::Key,
    rotations::{Cause, Event, Half, Rotation, Stage, Step, cadence, cadence::Cadence},
};
use store::{Change, Conn};

pub(crate) use self::author::Author;
use self::effects::{Happening, Pair};
pub use self::{
    board::{
        Board, BoardFilter, Brought, DueKey, Planned, RotationView, Wait, What, board, of_federation, of_key,
        open, open_views, plan,
    },
    clock::{ClockView, Jump, agree},
};
use crate::{Cx, Error, Keyward};

/// Lets something that was seen happen to a rotation, inside a unit of whoever saw it. Gives the audit events
/// that belong into its commit; none when it changes nothing.
///
/// # Errors
/// NotFound; Conflict for what cannot happen at its stage.
pub(crate) async fn happened(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    id: &RotationId,
    event: Event,
    by: &str,
    now_ms: Millis,
) -> Result<Vec<AuditEvent>, Error> {
    let author = Author::system(keyward, "rotation");
    let mut pair = Pair::read(conn, id).await?;
    let happening = Happening { author: &author, event, note: "" };
    let mut events = effects::apply(conn, keyward, &mut pair, &happening, now_ms).await?.unwrap_or_default();
    // Nobody works with the old key any more, or its last successor was withdrawn where consumers read it: what
    // is kept in stages moves on without waiting for proof.
    let is_urgent = !pair.old.life.state(now_ms).opens() || pair.rotation.cause == Cause::Compromise;
    if event == Event::Delivered && is_urgent && !pair.rotation.stage.has_ended() {
        crate::deliveries::promote(conn, &pair.rotation, now_ms).await?;
    }
    for told in &mut events {
        told.reason = Some(by.to_owned()).filter(|by| !by.is_empty());
    }
    Ok(events)
}

/// The rhythm of the consumer of a rotation, from what it did with the old key, the new one, and the one
/// before.
pub(crate) async fn cadence_of(conn: &mut Conn<'_>, pair: &Pair, now_ms: Millis) -> Result<Cadence, Error> {
    let since_ms = now_ms - cadence::LEARNED_FROM_MS;
    let federation_id = &pair.rotation.federation_id;
    let mut active = Vec::new();
    for key_id in teachers(&pair.old, &pair.new) {
        let stretches = store::usage::active(conn, federation_id, key_id, since_ms, cadence::STRETCH_MS);
        active.extend(stretches.await?);
    }
    Ok(cadence::learn(known_cadence(&pair.federation), &active))
}

/// The keys that a rhythm is learned from.
fn teachers<'a>(old: &'a Key, new: &'a Key) -> impl Iterator<Item = &'a KeyId> {
    [Some(&old.id), Some(&new.id), old.predecessor_id.as_ref()].into_iter().flatten()
}

/// What [`cadence_of`] gives once the successor has worked. Before that nothing depends on it, and it is not
/// looked for.
pub(crate) async fn cadence_if_proven(
    conn: &mut Conn<'_>,
    pair: &Pair,
    now_ms: Millis,
) -> Result<Cadence, Error> {
    if is_learned(&pair.rotation, now_ms) {
        cadence_of(conn, pair, now_ms).await
    } else {
        Ok(known_cadence(&pair.federation))
    }
}

/// Whether something depends on the rhythm.
fn is_learned(rotation: &Rotation, now_ms: Millis) -> bool {
    let is_proven = rotation.stage.step().is_some_and(Step::is_proven);
    // At a deadline without proof the old key must have been silent for as long.
    is_proven || now_ms >= rotation.deadline_ms
}

fn known_cadence(federation: &Federation) -> Cadence {
    federation.rotation.known_cadence(federation.vendor)
}

/// The open rotation of a key, and which half of it the key is.
pub(crate) async fn under_way(conn: &mut Conn<'_>, key: &Key) -> Result<Option<(Rotation, Half)>, Error> {
    let own = store::rotations::of_old_key(conn, &key.federation_id, &key.id).await?;
    if let Some(rotation) = own.filter(|rotation| !rotation.stage.has_ended()) {
        return Ok(Some((rotation, Half::Old)));
    }
    let own = store::rotations::of_new_key(conn, &key.federation_id, &key.id).await?;
    Ok(own.filter(|rotation| !rotation.stage.has_ended()).map(|rotation| (rotation, Half::New)))
}

/// Silence before a moment says nothing about a rotation.
pub(crate) async fn watch_from(
    conn: &mut Conn<'_>,
    mut rotation: Rotation,
    now_ms: Millis,
) -> Result<(), Error> {
    rotation.moments.watched_from_ms = Some(now_ms);
    Ok(store::rotations::update(conn, &rotation).await?)
}

/// Requests of a federation were held off until now: the silence of its keys said nothing.
pub(crate) async fn resumed(conn: &mut Conn<'_>, id: &FederationId, now_ms: Millis) -> Result<(), Error> {
    for rotation in store::rotations::open_of(conn, id).await? {
        watch_from(conn, rotation, now_ms).await?;
    }
    Ok(())
}

/// Ends what is under way in a federation that is closed: a successor that works takes over, any other is
/// withdrawn.
pub(crate) async fn closed(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    author: &Author,
    id: &FederationId,
    now_ms: Millis,
) -> Result<Vec<AuditEvent>, Error> {
    let note = "the federation was archived";
    let mut events = Vec::new();
    for rotation in store::rotations::open_of(conn, id).await? {
        let mut pair = Pair::of(conn, rotation).await?;
        let takes_over =
            pair.rotation.stage.step().is_some_and(Step::is_proven) && pair.new.life.state(now_ms).opens();
        let ending: &[Event] = match pair.rotation.stage {
            Stage::Held(_) if takes_over => &[Event::Release, Event::Finish],
            Stage::Open(_)
            | Stage::Stalled(_)
            | Stage::Held(_)
            | Stage::Retired
            | Stage::RolledBack
            | Stage::Revoked => {
                if takes_over {
                    &[Event::Finish]
                } else {
                    &[Event::Revoke { half: Half::New }]
                }
            }
        };
        for event in ending {
            let happening = Happening { author, event: *event, note };
            let told = effects::apply(conn, keyward, &mut pair, &happening, now_ms).await?;
            events.extend(told.unwrap_or_default());
        }
    }
    Ok(events)
}

/// Stops a rotation: both keys work, nothing is delivered, nothing retires.
///
/// # Errors
/// Invalid without a reason; Conflict when it is held or has ended; Forbidden; NotFound.
pub async fn hold(cx: &Cx<Admin>, id: &RotationId, reason: &str) -> Result<Rotation, Error> {
    act(cx, id, Event::Hold, Action::RotationHeld, &check_reason(reason)?).await
}

/// Lets a held rotation go on.
///
/// # Errors
/// Conflict when it is not held; Forbidden; NotFound.
pub async fn release(cx: &Cx<Admin>, id: &RotationId) -> Result<Rotation, Error> {
    act(cx, id, Event::Release, Action::RotationReleased, "").await
}

/// Withdraws the successor; the old key goes on.
///
/// # Errors
/// Invalid without a reason; Conflict when the consumer works with the successor already, when the old key has
/// ended, or when it has ended; Forbidden; NotFound.
pub async fn roll_back(cx: &Cx<Admin>, id: &RotationId, reason: &str) -> Result<Rotation, Error> {
    act(cx, id, Event::RollBack, Action::RotationRolledBack, &check_reason(reason)?).await
}

/// Retires the old key without waiting for its silence.
///
/// # Errors
/// Invalid without a reason; Conflict when the successor has done no work, or when it is held or has ended;
/// Forbidden; NotFound.
pub async fn finish(cx: &Cx<Admin>, id: &RotationId, reason: &str) -> Result<Rotation, Error> {
    act(cx, id, Event::Finish, Action::KeyRetired, &check_reason(reason)?).await
}

async fn act(
    cx: &Cx<Admin>,
    id: &RotationId,
    event: Event,
    action: Action,
    note: &str,
) -> Result<Rotation, Error> {
    managed(cx, id, action).await?;
    let now_ms = cx.now_ms();
    let (author, id, note, own) = (Author::of(cx), id.clone(), note.to_owned(), cx.keyward.clone());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let mut pair = Pair::read(conn, &id).await?;
            let happening = Happening { author: &author, event, note: &note };
            let events = effects::apply(conn, &own, &mut pair, &happening, now_ms).await?;
            Ok(Change::nothing(pair.rotation).with_events(events.unwrap_or_default()))
        })
        .await
}

/// The federation of a rotation that the viewer may act on; else the refusal is recorded.
async fn managed(cx: &Cx<Admin>, id: &RotationId, action: Action) -> Result<Federation, Error> {
    let rotation = store::rotations::by_id(&mut cx.read().await?.conn(), id).await?;
    let rotation = rotation.ok_or(Error::NotFound("rotation"))?;
    let managed = crate::keys::managed(cx, &rotation.old_key_id, action).await;
    let (_, federation) = managed.map_err(|error| {
        if matches!(error, Error::NotFound(_)) { Error::NotFound("rotation") } else { error }
    })?;
    Ok(federation)
}

fn may_act(cx: &Cx<Admin>, federation: &Federation) -> bool {
    federation.status != FederationStatus::Archived
        && cx.actor.role.may(Right::ManageKeys, Some(&federation.slug))
}
