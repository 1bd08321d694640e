//! Rotations: beginning them, what happens to them, and how they stand.
//!
//! - [`begin`]: the successor, the overlap, the row and the delivery, in one unit;
//! - [`effects`]: an event and what follows from it, in one unit; what the events are is decided in
//!   [`domain::rotations`];
//! - [`scheduler`]: what happens by itself, on one node of all;
//! - [`board`], [`plan`]: what people see of it.

mod author;
mod board;
mod clock;

pub(crate) mod begin;
pub(crate) mod effects;
pub mod scheduler;

use domain::{
    FederationId, Millis, RotationId,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    federations::{Federation, FederationStatus, Vendor},
    keys::KeyState,
    rotations::{Event, Rotation, cadence, cadence::Cadence},
};
use store::{Change, Conn};

pub(crate) use self::author::Author;
use self::effects::{Happening, Pair};
pub use self::{
    board::{
        Board, BoardFilter, Brought, DueKey, Planned, RotationView, Wait, What, board, of_federation, of_key,
        open, plan,
    },
    clock::{ClockView, Jump, agree},
};
use crate::{Cx, Error, Keyward, keys::check_reason};

/// How many batches of requests of the old key are looked at for its rhythm.
const BATCHES: i64 = 512;

/// How many of the keys before and after it.
const FEWER_BATCHES: i64 = 128;

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
    if event == Event::Delivered && !pair.old.life.state(now_ms).opens() && !pair.rotation.stage.has_ended() {
        // Nobody works with the old key any more: what is kept in stages moves on without waiting for proof.
        crate::deliveries::promote(conn, &pair.rotation, now_ms).await?;
    }
    for told in &mut events {
        told.reason = Some(by.to_owned()).filter(|by| !by.is_empty());
    }
    Ok(events)
}

/// The rhythm of the consumer of a rotation, from what it did with the old key, the new one, and the one
/// before.
pub(crate) async fn cadence_of(conn: &mut Conn<'_>, vendor: Vendor, pair: &Pair) -> Result<Cadence, Error> {
    let federation_id = &pair.rotation.federation_id;
    let mut active = store::usage::active(conn, federation_id, &pair.old.id, BATCHES).await?;
    active.extend(store::usage::active(conn, federation_id, &pair.new.id, FEWER_BATCHES).await?);
    if let Some(before) = &pair.old.predecessor_id {
        active.extend(store::usage::active(conn, federation_id, before, FEWER_BATCHES).await?);
    }
    Ok(cadence::learn(vendor, &active))
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

/// Whether a key still has its life before it.
const fn is_living(state: KeyState) -> bool {
    state.is_accepted()
}
