//! Beginning a rotation, inside the unit of whoever wants it: the successor, the overlap, the row and the
//! delivery are one commit.

use domain::{
    DAY_MS, KeyId, Millis, RotationId, Secret,
    audit::{Action, AuditEvent},
    federations::Federation,
    keys::{Key, KeyState},
    rotations::{Cause, Moments, Rotation, Stage, Step},
};
use serde_json::json;
use store::Conn;

use super::Author;
use crate::{
    Error, Keyward,
    keys::draft::{self, Draft, Wanted},
    unit::detail,
};

/// A rotation to be begun.
pub(crate) struct Begin<'a> {
    /// Who wants it.
    pub author: &'a Author,
    /// The federation of the key.
    pub federation: &'a Federation,
    /// The key, as the unit has read it.
    pub old: &'a Key,
    /// Why.
    pub cause: Cause,
    /// How long the overlap should last.
    pub overlap_ms: Millis,
    /// How long the successor lives, in days.
    pub lifetime_days: i64,
    /// Whether the secret is shown to the person who asked: then it is delivered, and goes nowhere else.
    pub is_shown: bool,
    /// Why, in words; empty for none.
    pub note: &'a str,
}

/// A rotation that was begun.
pub(crate) struct Begun {
    /// The rotation.
    pub rotation: Rotation,
    /// Its successor.
    pub key: Key,
    /// The successor's secret; whoever does not show it drops it.
    pub secret: Option<Secret>,
    /// What the audit log is to say.
    pub event: AuditEvent,
}

/// Begins a rotation. Both keys are accepted from the commit on; one that has expired gets a successor and no
/// overlap.
///
/// # Errors
/// Conflict when the key has a successor, has ended for good, or is a successor itself that has not taken over;
/// Stale when it is not as it was read.
pub(crate) async fn in_unit(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    begin: &Begin<'_>,
    now_ms: Millis,
) -> Result<Begun, Error> {
    let Begin { author, federation, old, cause, overlap_ms, lifetime_days, is_shown, note } = begin;
    let state = old.life.state(now_ms);
    check(conn, old, state, *cause).await?;
    let wanted = Wanted {
        federation_id: old.federation_id.clone(),
        name: draft::successor_name(&old.name),
        scope: old.next_scope.as_ref().unwrap_or(&old.scope).clone(),
        lifetime_days: *lifetime_days,
        justification: old.justification.clone().unwrap_or_default(),
        predecessor_id: Some(old.id.clone()),
        registered: crate::oauth::registered(conn, old, federation).await?,
        issued_by: author.name().to_owned(),
    };
    let Draft { key, hash, secret, client } = Draft::compose(keyward, wanted, now_ms);
    let deadline_ms = now_ms + overlap_ms;
    let retires_ms = state.is_accepted().then_some(deadline_ms);
    store::keys::succeed(conn, old, &key.id, retires_ms).await?;
    let key = draft::write(conn, &key, &hash, client.as_ref(), true, now_ms).await?;
    let mut old = Key { successor_id: Some(key.id.clone()), version: old.version + 1, ..(*old).clone() };
    old.life.retires_ms = retires_ms;
    // A client that signs has nothing that could be brought: it knows its own key.
    let is_delivered = *is_shown || secret.is_none();
    let step = if is_delivered { Step::Delivered } else { Step::Issued };
    let rotation = Rotation {
        id: RotationId::new(now_ms, keyward.id_chance()),
        federation_id: federation.id.clone(),
        old_key_id: old.id.clone(),
        new_key_id: key.id.clone(),
        stage: Stage::Open(step),
        cause: *cause,
        begun_by: author.name().to_owned(),
        begun_ms: now_ms,
        since_ms: now_ms,
        deadline_ms,
        extended: 0,
        moments: Moments {
            overlap_ms: Some(*overlap_ms),
            delivered_ms: is_delivered.then_some(now_ms),
            compromised_ms: (*cause == Cause::Compromise).then_some(now_ms),
            ..Moments::default()
        },
        note: (*note).to_owned(),
        ended_ms: None,
        version: 1,
    };
    store::rotations::insert(conn, &rotation).await?;
    if let Some(secret) = secret.as_ref().filter(|_| !is_shown) {
        crate::deliveries::enqueue(conn, keyward, federation, &rotation, &key, secret, now_ms).await?;
    }
    let action = if *cause == Cause::ByHand { Action::KeyRotated } else { Action::RotationBegun };
    let told = detail(&json!({
        "rotation": rotation.id, "cause": cause, "successor": key.id, "successor_name": key.name,
        "successor_last_four": key.last_four, "successor_expires_ms": key.life.expires_ms,
        "overlap_hours": overlap_ms / domain::HOUR_MS, "overlap_until_ms": retires_ms, "reason": note,
    }));
    let event = author.event(action, &old, now_ms, told);
    Ok(Begun { rotation, key, secret, event })
}

async fn check(conn: &mut Conn<'_>, old: &Key, state: KeyState, cause: Cause) -> Result<(), Error> {
    if let Some(successor) = &old.successor_id
        && !(cause == Cause::Compromise && is_withdrawn(conn, successor).await?)
    {
        return Err(Error::Conflict(format!("{} has a successor already: {successor}", old.name)));
    }
    match state {
        KeyState::Unused | KeyState::InUse | KeyState::Retiring | KeyState::Held | KeyState::Expired => {}
        // What is answered is the compromise: the successor takes the place of a key that is gone.
        KeyState::Retired | KeyState::Revoked if cause == Cause::Compromise => {}
        KeyState::Retired | KeyState::Revoked => {
            return Err(Error::Conflict(format!(
                "{} is {} and has no rotation any more; issue a new key",
                old.name,
                state.label().to_lowercase()
            )));
        }
    }
    if old.canary {
        return Err(Error::Conflict(format!("{} is a canary: it opens nothing", old.name)));
    }
    // Never three keys that open the same.
    let own = store::rotations::of_new_key(conn, &old.federation_id, &old.id).await?;
    if own.is_some_and(|rotation| !rotation.stage.has_ended()) {
        return Err(Error::Conflict(format!(
            "{} is a successor that has not taken over yet; finish that rotation first",
            old.name
        )));
    }
    Ok(())
}

/// Whether a successor was withdrawn: it is in wrong hands as well, and another takes its place.
async fn is_withdrawn(conn: &mut Conn<'_>, successor: &KeyId) -> Result<bool, Error> {
    let stored = store::keys::by_id(conn, successor).await?;
    Ok(stored.is_some_and(|stored| stored.key.life.revoked_ms.is_some()))
}

/// The longest life that a policy allows, in days.
pub(crate) const fn longest_life(federation: &Federation) -> i64 {
    federation.policy.max_age_ms() / DAY_MS
}
