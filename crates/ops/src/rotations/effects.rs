//! An event and what follows from it, inside one unit: the stage, the keys, the deliveries, the findings.

use domain::{
    HOUR_MS, Millis, RotationId,
    audit::{Action, AuditEvent},
    cases::{CaseKind, Moment},
    federations::Federation,
    findings,
    keys::{Key, KeyState},
    rotations::{Cause, Effect, Event, Half, Rotation, Rule, evidence, machine},
};
use serde_json::json;
use store::{Conn, keys::Hold};

use super::{Author, begin};
use crate::{Error, Keyward, cases, deliveries, findings::NewFinding, rotations::begin::Begin, unit::detail};

/// A rotation with both of its keys, as a unit has read them.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub rotation: Rotation,
    pub federation: Federation,
    pub old: Key,
    pub new: Key,
}

impl Pair {
    /// Reads a rotation with its keys.
    ///
    /// # Errors
    /// NotFound.
    pub(crate) async fn read(conn: &mut Conn<'_>, id: &RotationId) -> Result<Self, Error> {
        let rotation = store::rotations::by_id(conn, id).await?.ok_or(Error::NotFound("rotation"))?;
        Self::of(conn, rotation).await
    }

    /// Reads the keys of a rotation.
    ///
    /// # Errors
    /// When the database does not answer, or one is not there.
    pub(crate) async fn of(conn: &mut Conn<'_>, rotation: Rotation) -> Result<Self, Error> {
        let absent = || Error::Internal(format!("rotation {} has no key", rotation.id));
        let (old, federation) =
            store::keys::with_federation(conn, &rotation.old_key_id).await?.ok_or_else(absent)?;
        let new = store::keys::by_id(conn, &rotation.new_key_id).await?.ok_or_else(absent)?;
        Ok(Self { rotation, federation, old: old.key, new: new.key })
    }

    fn half(&mut self, half: Half) -> &mut Key {
        match half {
            Half::Old => &mut self.old,
            Half::New => &mut self.new,
        }
    }
}

/// Something that happens to a rotation.
pub(crate) struct Happening<'a> {
    pub author: &'a Author,
    pub event: Event,
    /// Why, in words; empty for none.
    pub note: &'a str,
}

/// Applies an event to a rotation and carries out what follows. `None` when it changes nothing.
///
/// # Errors
/// Conflict for what cannot happen at its stage; Stale when something is not as it was read.
pub(crate) async fn apply(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    pair: &mut Pair,
    happening: &Happening<'_>,
    now_ms: Millis,
) -> Result<Option<Vec<AuditEvent>>, Error> {
    let Happening { author, event, note } = *happening;
    let before = pair.rotation.stage;
    let next = machine::apply(before, event).map_err(|refused| Error::Conflict(refused.to_string()))?;
    if next.stage == before && next.effects.is_empty() {
        return Ok(None);
    }
    let states = (pair.old.life.state(now_ms), pair.new.life.state(now_ms));
    if let Some(reason) = evidence::forbids(event, states.0, states.1) {
        return Err(Error::Conflict(reason.to_owned()));
    }
    pair.rotation.moments.note(event, pair.old.life.last_used_ms, now_ms);
    if event == Event::RollBack && !author.is_system() {
        pair.rotation.moments.rolled_back_ms = Some(now_ms);
    }
    pair.rotation.stage = next.stage;
    if next.stage.step() != before.step() {
        pair.rotation.since_ms = now_ms;
    }
    if next.stage.has_ended() && pair.rotation.ended_ms.is_none() {
        pair.rotation.ended_ms = Some(now_ms);
    }
    if !note.is_empty() {
        note.clone_into(&mut pair.rotation.note);
    }
    let mut events = vec![author.event(action(event, &next.effects), of_event(pair, event), now_ms, detail(&json!({
        "rotation": pair.rotation.id, "event": event.label(), "before": before.label(), "after": next.stage.label(),
        "old_key": pair.old.id, "new_key": pair.new.id, "reason": note,
        "old_last_used_ms": pair.old.life.last_used_ms,
    })))];
    // The row first: a new rotation of the same key may begin among the effects.
    let begins: Vec<Half> = next.effects.iter().copied().filter_map(begun).collect();
    for effect in next.effects.iter().filter(|effect| begun(**effect).is_none()) {
        carry_out(conn, keyward, pair, *effect, happening, now_ms).await?;
    }
    keep_successor(conn, pair, now_ms).await?;
    store::rotations::update(conn, &pair.rotation).await?;
    pair.rotation.version += 1;
    marks(conn, pair, event, now_ms).await?;
    for half in begins {
        events.push(begin_anew(conn, keyward, pair, half, author, note, now_ms).await?);
    }
    Ok(Some(events))
}

const fn begun(effect: Effect) -> Option<Half> {
    match effect {
        Effect::Begin { half } => Some(half),
        Effect::Deliver
        | Effect::Promote
        | Effect::Withdraw
        | Effect::Extend
        | Effect::RetireOld
        | Effect::Revoke { .. }
        | Effect::HoldKey { .. }
        | Effect::RestoreOld
        | Effect::Raise { .. }
        | Effect::Settle { .. }
        | Effect::OpenCase => None,
    }
}

/// What the audit log calls it.
fn action(event: Event, effects: &[Effect]) -> Action {
    match event {
        Event::Hold => Action::RotationHeld,
        Event::Release => Action::RotationReleased,
        Event::RollBack => Action::RotationRolledBack,
        Event::Revoke { .. } => Action::KeyRevoked,
        Event::Delivered
        | Event::Probed
        | Event::Used
        | Event::OldUsed
        | Event::Silent
        | Event::Drained
        | Event::Deadline { .. }
        | Event::Finish
        | Event::Compromised { .. } => {
            if effects.contains(&Effect::RetireOld) {
                Action::KeyRetired
            } else {
                Action::RotationMoved
            }
        }
    }
}

/// Which key the audit record is about.
fn of_event(pair: &Pair, event: Event) -> &Key {
    match event {
        Event::Revoke { half: Half::New } | Event::Compromised { half: Half::New } => &pair.new,
        Event::Delivered
        | Event::Probed
        | Event::Used
        | Event::OldUsed
        | Event::Silent
        | Event::Drained
        | Event::Deadline { .. }
        | Event::Hold
        | Event::Release
        | Event::RollBack
        | Event::Finish
        | Event::Revoke { half: Half::Old }
        | Event::Compromised { half: Half::Old } => &pair.old,
    }
}

async fn carry_out(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    pair: &mut Pair,
    effect: Effect,
    happening: &Happening<'_>,
    now_ms: Millis,
) -> Result<(), Error> {
    let Happening { author, event, note } = *happening;
    match effect {
        Effect::Deliver => deliveries::hurry(conn, &pair.rotation, now_ms).await,
        Effect::Promote => deliveries::promote(conn, &pair.rotation, now_ms).await,
        Effect::Withdraw => deliveries::withdraw(conn, keyward, &pair.rotation, now_ms).await,
        Effect::Extend => extend(conn, pair, now_ms).await,
        Effect::RetireOld => match pair.old.life.state(now_ms) {
            KeyState::Retired | KeyState::Revoked => Ok(()),
            KeyState::Unused | KeyState::InUse | KeyState::Retiring | KeyState::Held | KeyState::Expired => {
                store::keys::retire(conn, &pair.old, now_ms).await?;
                pair.old.life.retired_ms = Some(now_ms);
                pair.old.version += 1;
                Ok(())
            }
        },
        Effect::Revoke { half } => {
            let key = pair.half(half);
            if key.life.revoked_ms.is_some() {
                return Ok(());
            }
            store::keys::revoke(conn, key, now_ms, author.name()).await?;
            key.life.revoked_ms = Some(now_ms);
            key.revoked_by = Some(author.name().to_owned());
            key.version += 1;
            Ok(())
        }
        Effect::HoldKey { half } => {
            let key = pair.half(half);
            if !key.life.state(now_ms).opens() {
                return Ok(());
            }
            let reason = if note.is_empty() { "in wrong hands" } else { note };
            let hold = Hold { at_ms: now_ms, by: author.name().to_owned(), reason: reason.to_owned() };
            store::keys::hold(conn, key, Some(&hold)).await?;
            key.life.held_ms = Some(now_ms);
            key.held_by = Some(hold.by);
            key.held_reason = Some(hold.reason);
            key.version += 1;
            Ok(())
        }
        Effect::RestoreOld => restore(conn, pair, now_ms).await,
        Effect::Begin { .. } => Ok(()),
        Effect::Raise { rule } => {
            crate::findings::raise(conn, &finding(keyward, pair, rule), now_ms).await?;
            Ok(())
        }
        Effect::Settle { rule } => {
            let (federation_id, subject) = (&pair.rotation.federation_id, pair.rotation.id.as_str());
            let why = "the rotation has moved on";
            crate::findings::settle(conn, Some(federation_id), rule.into(), subject, why, now_ms).await?;
            Ok(())
        }
        Effect::OpenCase => {
            // Of the key that the event is about, whatever else was reported of the rotation before.
            let key = of_event(pair, event);
            let case = cases::NewCase::new(keyward, key, CaseKind::Compromise, author.name());
            cases::open_in(conn, &case, now_ms).await?;
            Ok(())
        }
    }
}

async fn extend(conn: &mut Conn<'_>, pair: &mut Pair, now_ms: Millis) -> Result<(), Error> {
    let planned = pair.federation.policy.overlap_hours * HOUR_MS;
    let deadline_ms = now_ms + pair.rotation.moments.overlap_ms.unwrap_or(planned);
    pair.rotation.deadline_ms = deadline_ms;
    pair.rotation.extended += 1;
    if pair.old.life.retires_ms.is_some() && pair.old.life.state(now_ms).is_accepted() {
        store::keys::extend(conn, &pair.old, Some(deadline_ms)).await?;
        pair.old.life.retires_ms = Some(deadline_ms);
        pair.old.version += 1;
    }
    Ok(())
}

/// A successor that works does not end by time while its rotation is open.
async fn keep_successor(conn: &mut Conn<'_>, pair: &mut Pair, now_ms: Millis) -> Result<(), Error> {
    let retires_ms = evidence::successor_retires_ms(&pair.rotation, &pair.new.life, now_ms);
    if retires_ms != pair.new.life.retires_ms {
        store::keys::extend(conn, &pair.new, retires_ms).await?;
        pair.new.life.retires_ms = retires_ms;
        pair.new.version += 1;
    }
    Ok(())
}

/// The old key stands by itself again. One whose own time went by during the overlap is accepted until it has
/// another successor: a rotation that is rolled back cuts nobody off.
async fn restore(conn: &mut Conn<'_>, pair: &mut Pair, now_ms: Millis) -> Result<(), Error> {
    let is_accepted = match pair.old.life.state(now_ms) {
        // What has ended for good has no name to take back.
        KeyState::Retired | KeyState::Revoked => return Ok(()),
        KeyState::Expired => false,
        KeyState::Unused | KeyState::InUse | KeyState::Retiring | KeyState::Held => true,
    };
    let is_over = now_ms >= pair.old.life.expires_ms;
    let planned = pair.federation.policy.overlap_hours * HOUR_MS;
    let retires_ms = (is_accepted && is_over).then_some(now_ms + planned);
    store::keys::restore(conn, &pair.old, retires_ms).await?;
    pair.old.successor_id = None;
    pair.old.life.retires_ms = retires_ms;
    pair.old.version += 1;
    Ok(())
}

async fn begin_anew(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    pair: &Pair,
    half: Half,
    author: &Author,
    note: &str,
    now_ms: Millis,
) -> Result<AuditEvent, Error> {
    let old = match half {
        Half::Old => &pair.old,
        Half::New => &pair.new,
    };
    let begin = Begin {
        author,
        federation: &pair.federation,
        old,
        cause: Cause::Compromise,
        overlap_ms: pair.federation.policy.overlap_hours * HOUR_MS,
        lifetime_days: begin::longest_life(&pair.federation),
        is_shown: false,
        note,
    };
    let begun = begin::in_unit(conn, keyward, &begin, now_ms).await?;
    Ok(begun.event)
}

fn finding(keyward: &Keyward, pair: &Pair, rule: Rule) -> NewFinding {
    let (old, new) = (&pair.old, &pair.new);
    let (expected, came) = match rule {
        Rule::NoProof => (
            format!("{} does real work before the overlap should be over.", new.name),
            match new.life.last_used_ms {
                Some(_) => format!("{} was tried and has done no work.", new.name),
                None => format!("{} was never used.", new.name),
            },
        ),
        Rule::StillUsed => (
            format!("{} falls silent before the overlap should be over.", old.name),
            format!("{} is still used beside {}.", old.name, new.name),
        ),
        Rule::TwoHolders => (
            format!("{} stays silent once {} works.", old.name, new.name),
            format!("{} was used again after it had fallen silent.", old.name),
        ),
    };
    let rotation = &pair.rotation;
    let rule = findings::Rule::from(rule);
    NewFinding::new(keyward, Some(&rotation.federation_id), rule, rotation.id.as_str(), expected, came)
        .of_key(&old.id)
        .of_rotation(&rotation.id)
        .from_network(old.last_used_source.clone(), old.last_used_agent.clone())
}

/// The marks on the clock of the case that the rotation answers.
async fn marks(conn: &mut Conn<'_>, pair: &Pair, event: Event, now_ms: Millis) -> Result<(), Error> {
    let (moment, at_ms, text) = match event {
        Event::Delivered => (Moment::T6, now_ms, format!("{} was brought to its consumer.", pair.new.name)),
        Event::Used => {
            let at_ms = pair.new.life.first_work_ms.unwrap_or(now_ms);
            (Moment::T8, at_ms, format!("{} does real work.", pair.new.name))
        }
        Event::Drained
        | Event::Finish
        | Event::Revoke { half: Half::Old }
        | Event::Compromised { half: Half::Old } => {
            (Moment::T4, now_ms, format!("{} opens nothing any more.", pair.old.name))
        }
        Event::Probed
        | Event::OldUsed
        | Event::Silent
        | Event::Deadline { .. }
        | Event::Hold
        | Event::Release
        | Event::RollBack
        | Event::Revoke { half: Half::New }
        | Event::Compromised { half: Half::New } => return Ok(()),
    };
    cases::moment(conn, &pair.rotation.federation_id, &pair.rotation.id, moment, at_ms, &text).await
}
