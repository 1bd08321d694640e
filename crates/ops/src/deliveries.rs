//! Deliveries: bringing the secret of a successor to its consumer.
//!
//! In the unit that begins a rotation, [`enqueue`] writes down what is to be brought, sealed. It leaves later:
//! [`bring`] claims what is [`due`], writes down that it begins, calls outside of any unit, and writes down what
//! became of it. The secret is wiped from its row by the same commit that says that it has arrived.
//!
//! - `targets`: what an admin sets, tests, moves and removes;
//! - `attempt`: one attempt, step by step: validate, write, kick, read back. After a crash, or an answer that
//!   never came, the target is looked at before anything is repeated;
//! - `outcome`: what an attempt leads to: delivered, later again, the next target, the hand-off to a person.

mod attempt;
mod outcome;
mod targets;

use std::sync::{Arc, OnceLock};

use domain::{
    DeliveryId, FederationId, KeyId, Millis, RotationId, Secret, TargetId,
    audit::AuditEvent,
    deliveries::{Delivery, DeliveryState, Report, Target},
    federations::Federation,
    findings::{Rule, Severity},
    hand_offs::HandOff,
    keys::Key,
    rotations::{Event, Rotation},
};
use store::{
    Conn,
    deliveries::{StoredDelivery, StoredTarget},
};

#[cfg(feature = "testing")]
pub use attempt::run;
pub use attempt::{bring, due};
pub use targets::{DeliveryPage, Move, NewTarget, Row, move_target, remove, set, test, view};

use crate::{
    Error, Keyward,
    findings::{self, NewFinding},
    hand_offs::{self, MakeHandOff},
    ports::Deliver,
    vault::{Place, Sealed},
};

/// No time comes: a delivery that has arrived waits for the proof of use.
const NEVER_MS: Millis = Millis::MAX;

/// What deliveries keep in memory.
#[derive(Default)]
pub(crate) struct Runtime {
    port: OnceLock<Arc<dyn Deliver>>,
}

impl Keyward {
    /// Gives deliveries their way out. Without one, every target is out of reach.
    pub fn connect_deliveries(&self, port: Arc<dyn Deliver>) {
        // A second one is refused: the first is the one that was configured.
        let _ = self.deliveries.port.set(port);
    }
}

/// Where the credential of a target is sealed.
fn credential_place(id: &TargetId, version: i64) -> Place<'_> {
    Place { table: "delivery_targets", id: id.as_str(), column: "sealed", version }
}

/// Where the secret of a delivery is sealed.
fn secret_place(id: &DeliveryId) -> Place<'_> {
    Place { table: "deliveries", id: id.as_str(), column: "sealed", version: 1 }
}

/// What was approved of a target, under the pepper: who can write the database and no more cannot make one.
fn pin(keyward: &Keyward, target: &Target) -> String {
    let Target { federation_id, id, settings, .. } = target;
    keyward.vault.hash_key(&format!("delivery target {federation_id} {id} {}", settings.digest()))
}

fn opened(keyward: &Keyward, place: Place<'_>, sealed: &Sealed) -> Result<Secret, Error> {
    let bytes = keyward
        .vault
        .open(place, sealed)
        .map_err(|error| Error::Internal(format!("{} {}: {error}", place.table, place.id)))?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Error::Internal(format!("{} {}: it is no text", place.table, place.id)))?;
    Ok(Secret::new(text.to_owned()))
}

fn secret_of(keyward: &Keyward, stored: &StoredDelivery) -> Result<Secret, Error> {
    let sealed = Sealed { text: stored.sealed.clone(), data_key: stored.data_key.clone() };
    opened(keyward, secret_place(&stored.delivery.id), &sealed)
}

fn credential_of(keyward: &Keyward, stored: &StoredTarget) -> Result<Secret, Error> {
    let sealed = Sealed { text: stored.sealed.clone(), data_key: stored.data_key.clone() };
    opened(keyward, credential_place(&stored.target.id, stored.seal_version), &sealed)
}

/// Forgets the secret of a delivery.
fn wipe(stored: &mut StoredDelivery) {
    stored.sealed.clear();
    stored.data_key.clear();
}

/// Ends a delivery; its secret is forgotten.
fn end(stored: &mut StoredDelivery, state: DeliveryState, now_ms: Millis) {
    stored.delivery.state = state;
    stored.delivery.ended_ms = Some(now_ms);
    wipe(stored);
}

/// What is brought, before it is known whereto.
struct Cargo<'c> {
    federation_id: &'c FederationId,
    rotation_id: &'c RotationId,
    key_id: &'c KeyId,
    secret: &'c Secret,
}

/// A delivery of a secret to a target, due at once.
fn fresh(
    keyward: &Keyward,
    cargo: &Cargo<'_>,
    target_id: Option<TargetId>,
    now_ms: Millis,
) -> Result<StoredDelivery, Error> {
    let id = DeliveryId::new(now_ms, keyward.id_chance());
    let sealed = match target_id {
        Some(_) => keyward
            .vault
            .seal(keyward.entropy.as_ref(), secret_place(&id), cargo.secret.expose().as_bytes())
            .map_err(Error::Internal)?,
        // The link holds it.
        None => Sealed { text: String::new(), data_key: String::new() },
    };
    Ok(StoredDelivery {
        delivery: Delivery {
            federation_id: cargo.federation_id.clone(),
            id,
            rotation_id: cargo.rotation_id.clone(),
            key_id: cargo.key_id.clone(),
            target_id,
            state: DeliveryState::Waiting,
            attempts: 0,
            due_ms: now_ms,
            report: Report::default(),
            made_ms: now_ms,
            ended_ms: None,
            version: 1,
        },
        sealed: sealed.text,
        data_key: sealed.data_key,
    })
}

/// Writes down, in the unit that begins a rotation, that the secret of its successor is to be brought to the
/// first target; where a federation has none, a person gets it.
///
/// # Errors
/// When the database or the vault refuses.
pub async fn enqueue(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    federation: &Federation,
    rotation: &Rotation,
    key: &Key,
    secret: &Secret,
    now_ms: Millis,
) -> Result<(), Error> {
    let cargo = Cargo { federation_id: &federation.id, rotation_id: &rotation.id, key_id: &key.id, secret };
    let targets = store::deliveries::targets(conn, &federation.id).await?;
    let Some(first) = targets.into_iter().next() else {
        return hand_over(conn, keyward, federation, &cargo, now_ms).await;
    };
    let stored = fresh(keyward, &cargo, Some(first.target.id), now_ms)?;
    store::deliveries::insert(conn, &stored).await?;
    Ok(())
}

/// Leaves a secret to a person.
async fn hand_over(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    federation: &Federation,
    cargo: &Cargo<'_>,
    now_ms: Millis,
) -> Result<(), Error> {
    let mut stored = fresh(keyward, cargo, None, now_ms)?;
    stored.delivery.due_ms = NEVER_MS;
    store::deliveries::insert(conn, &stored).await?;
    let wanted = MakeHandOff {
        federation,
        rotation_id: cargo.rotation_id,
        delivery_id: &stored.delivery.id,
        key_id: cargo.key_id,
        secret: cargo.secret,
    };
    hand_offs::make(conn, keyward, &wanted, now_ms).await?;
    Ok(())
}

/// A person has opened the link of a hand-off, in the unit that says so: the secret has left, and no target
/// gets it any more. What else is to be on record of it is returned.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn handed_over(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    hand_off: &HandOff,
    by: &str,
    now_ms: Millis,
) -> Result<Vec<AuditEvent>, Error> {
    let (federation_id, rotation_id) = (&hand_off.federation_id, &hand_off.rotation_id);
    for mut stored in store::deliveries::of_rotation(conn, federation_id, rotation_id).await? {
        if !stored.delivery.state.is_open() {
            continue;
        }
        if stored.delivery.target_id.is_none() {
            stored.delivery.state = DeliveryState::Delivered;
            stored.delivery.due_ms = NEVER_MS;
            wipe(&mut stored);
        } else {
            end(&mut stored, DeliveryState::Cancelled, now_ms);
        }
        store::deliveries::write(conn, &stored).await?;
    }
    settle(conn, federation_id, rotation_id, "a person has the key", now_ms).await?;
    arrived(conn, keyward, rotation_id, by, now_ms).await
}

/// Brings what waits at once: a compromise does not wait for a back-off.
///
/// # Errors
/// When the database refuses.
pub async fn hurry(conn: &mut Conn<'_>, rotation: &Rotation, now_ms: Millis) -> Result<(), Error> {
    for mut stored in store::deliveries::of_rotation(conn, &rotation.federation_id, &rotation.id).await? {
        let waits = stored.delivery.state == DeliveryState::Waiting && stored.delivery.target_id.is_some();
        if waits && stored.delivery.due_ms > now_ms {
            stored.delivery.due_ms = now_ms;
            store::deliveries::write(conn, &stored).await?;
        }
    }
    Ok(())
}

/// The consumer works with the successor: targets that keep it in stages are told, whatever still waits is
/// over, and links close.
///
/// # Errors
/// When the database refuses.
pub async fn promote(conn: &mut Conn<'_>, rotation: &Rotation, now_ms: Millis) -> Result<(), Error> {
    let (federation_id, rotation_id) = (&rotation.federation_id, &rotation.id);
    let targets = store::deliveries::targets(conn, federation_id).await?;
    let waits_for_proof = |id: &TargetId| {
        targets.iter().any(|stored| stored.target.id == *id && stored.target.settings.waits_for_proof())
    };
    for mut stored in store::deliveries::of_rotation(conn, federation_id, rotation_id).await? {
        // As it was when the secret went out: a target that was edited or removed since has not moved it.
        let has_stages = stored.delivery.report.staged_at.is_some()
            || stored.delivery.target_id.as_ref().is_some_and(waits_for_proof);
        let has_left = match stored.delivery.state {
            DeliveryState::Delivered => true,
            // It was seen in use, so the target has it, whether or not anybody wrote that down.
            DeliveryState::Waiting | DeliveryState::UnderWay => stored.delivery.report.may_have_left(),
            DeliveryState::Failed
            | DeliveryState::GivenUp
            | DeliveryState::Promoted
            | DeliveryState::Cancelled => continue,
        };
        match (has_left, has_stages) {
            (true, true) => {
                stored.delivery.state = DeliveryState::Delivered;
                stored.delivery.due_ms = now_ms;
                stored.delivery.attempts = 0;
                wipe(&mut stored);
            }
            (true, false) => end(&mut stored, DeliveryState::Promoted, now_ms),
            (false, _) => end(&mut stored, DeliveryState::Cancelled, now_ms),
        }
        store::deliveries::write(conn, &stored).await?;
    }
    settle(conn, federation_id, rotation_id, "the key is in use", now_ms).await?;
    hand_offs::close_of(conn, federation_id, rotation_id, now_ms).await
}

/// Whether the target of a delivery still has to make the successor the current one: until it has, its consumers
/// read the old key, which must not retire.
pub(crate) fn is_promotion(delivery: &Delivery) -> bool {
    delivery.state == DeliveryState::Delivered
        && delivery.ended_ms.is_none()
        && delivery.target_id.is_some()
        && delivery.due_ms < NEVER_MS
}

/// As [`is_promotion`], of any delivery of a rotation.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn promotion_is_due(conn: &mut Conn<'_>, rotation: &Rotation) -> Result<bool, Error> {
    let Rotation { federation_id, id, .. } = rotation;
    Ok(store::deliveries::promotions_due(conn, federation_id, id, NEVER_MS).await? > 0)
}

/// Takes back what was not brought yet. What a target has already stays there: it is the secret of a key that
/// opens nothing any more, and a finding says where.
///
/// # Errors
/// When the database refuses.
pub async fn withdraw(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    rotation: &Rotation,
    now_ms: Millis,
) -> Result<(), Error> {
    let (federation_id, rotation_id) = (&rotation.federation_id, &rotation.id);
    let targets = store::deliveries::targets(conn, federation_id).await?;
    settle(conn, federation_id, rotation_id, "the new key was withdrawn", now_ms).await?;
    for mut stored in store::deliveries::of_rotation(conn, federation_id, rotation_id).await? {
        let delivery = &stored.delivery;
        let (may_have_left, is_promoted) = match delivery.state {
            DeliveryState::Delivered => (true, false),
            DeliveryState::Promoted => (true, true),
            // One that was not taken may have kept it all the same (Okta).
            DeliveryState::Waiting | DeliveryState::UnderWay | DeliveryState::Failed => {
                (delivery.report.may_have_left(), false)
            }
            DeliveryState::GivenUp | DeliveryState::Cancelled => continue,
        };
        let target = targets.iter().map(|stored| &stored.target).find(|target| {
            // In stages the old secret is the current one until the proof of use.
            let is_staged = delivery.report.staged_at.is_some() || target.settings.waits_for_proof();
            delivery.target_id.as_ref() == Some(&target.id) && (is_promoted || !is_staged)
        });
        if let Some(target) = target.filter(|_| may_have_left) {
            let new = NewFinding::new(
                keyward,
                Some(federation_id),
                Rule::DeliveryFailed,
                delivery.id.as_str(),
                "A target holds a key that is accepted.",
                format!(
                    "{} may hold the key that was withdrawn. Keyward does not know the secret before it: put the old \
                     one back there.",
                    target.name
                ),
            );
            let new = new.of_key(&rotation.old_key_id).of_rotation(rotation_id);
            findings::raise(conn, &new, now_ms).await?;
        }
        if stored.delivery.ended_ms.is_none() {
            end(&mut stored, DeliveryState::Cancelled, now_ms);
            store::deliveries::write(conn, &stored).await?;
        }
    }
    hand_offs::close_of(conn, federation_id, rotation_id, now_ms).await
}

/// Raises the finding that a secret does not arrive.
async fn raise(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    delivery: &Delivery,
    (target, came, severity): (&str, &str, Severity),
    now_ms: Millis,
) -> Result<(), Error> {
    let new = NewFinding::new(
        keyward,
        Some(&delivery.federation_id),
        Rule::DeliveryFailed,
        delivery.rotation_id.as_str(),
        format!("{target} takes the new key."),
        came,
    );
    let new = new.of_key(&delivery.key_id).of_rotation(&delivery.rotation_id).severity(severity);
    findings::raise(conn, &new, now_ms).await?;
    Ok(())
}

async fn settle(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    rotation_id: &RotationId,
    reason: &str,
    now_ms: Millis,
) -> Result<(), Error> {
    let subject = rotation_id.as_str();
    findings::settle(conn, Some(federation_id), Rule::DeliveryFailed, subject, reason, now_ms).await?;
    Ok(())
}

/// Tells the rotation that the secret has arrived; what is to be on record of it.
async fn arrived(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    rotation_id: &RotationId,
    by: &str,
    now_ms: Millis,
) -> Result<Vec<AuditEvent>, Error> {
    crate::rotations::happened(conn, keyward, rotation_id, Event::Delivered, by, now_ms).await
}
