//! What was seen of the two keys of a rotation, as the next event.
//!
//! [`observe`] is asked again and again and gives one event at a time, until nothing is left to say.

use serde::{Deserialize, Serialize};

use super::{
    Event, Half, Moments, Rotation, Stage, Step,
    cadence::Cadence,
    policy::{Effective, OnDeadline},
};
use crate::{
    DAY_MS, Millis,
    keys::{KeyState, Life},
};

/// What is known around a rotation.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The life of the key that is replaced.
    pub old: &'a Life,
    /// That of its successor.
    pub new: &'a Life,
    /// The rhythm of the consumer.
    pub cadence: Cadence,
    /// Whether the federation answers requests: silence of one that does not says nothing.
    pub is_live: bool,
    /// Whether a target still has to make the successor the current one: its consumers read the old key.
    pub promotion_due: bool,
    /// Whether the time is trusted: else nothing retires by itself.
    pub trusts_time: bool,
}

/// The next event that was seen, if any; applying it makes the next call say something else.
pub fn observe(
    rotation: &Rotation,
    evidence: &Evidence<'_>,
    policy: &Effective,
    now_ms: Millis,
) -> Option<Event> {
    let step = rotation.stage.step()?;
    let (old, new) = (evidence.old.state(now_ms), evidence.new.state(now_ms));
    if new == KeyState::Revoked || new == KeyState::Retired {
        return Some(Event::Revoke { half: Half::New });
    }
    if evidence.new.first_work_ms.is_some() && !step.is_proven() {
        return Some(Event::Used);
    }
    if evidence.new.first_used_ms.is_some() && step < Step::Tested {
        return Some(Event::Probed);
    }
    if step == Step::Draining && evidence.old.last_used_ms != rotation.moments.old_last_ms {
        return Some(Event::OldUsed);
    }
    let is_held = match rotation.stage {
        Stage::Held(_) => true,
        Stage::Open(_) | Stage::Stalled(_) | Stage::Retired | Stage::RolledBack | Stage::Revoked => false,
    };
    if new == KeyState::Expired && !step.is_proven() && !is_held {
        // Nobody can take up a successor that has expired; the next one can be had.
        return Some(Event::RollBack);
    }
    if !is_held
        && step.is_proven()
        && new.opens()
        && let Some(event) = silence(rotation, evidence, policy, old, now_ms)
    {
        return Some(event);
    }
    let outlives = step.is_proven()
        && evidence.new.retires_ms.is_none()
        && ends_within(evidence.new, last_part(evidence.new), now_ms);
    if now_ms >= rotation.deadline_ms || outlives {
        let may_retire = now_ms >= rotation.deadline_ms
            && policy.on_deadline == OnDeadline::Retire
            && new.opens()
            && !evidence.promotion_due
            && evidence.is_live
            && (step.is_proven() || is_abandoned(rotation, evidence, policy, old, now_ms));
        // While the time is not trusted, what only time says is not heard.
        return evidence.trusts_time.then_some(Event::Deadline { may_retire });
    }
    None
}

/// Whether nobody has used the old key through a whole overlap, and for as long as silence must last: then
/// it is not the only key in use, even without proof of its successor.
fn is_abandoned(
    rotation: &Rotation,
    evidence: &Evidence<'_>,
    policy: &Effective,
    old: KeyState,
    now_ms: Millis,
) -> bool {
    let Moments { watched_from_ms, overlap_ms, .. } = rotation.moments;
    let others = [watched_from_ms, evidence.old.last_used_ms];
    let since_ms = others.into_iter().flatten().fold(rotation.begun_ms, Millis::max);
    let least_ms = needed(&rotation.moments, evidence.cadence, policy);
    // What is held off is not silent.
    old != KeyState::Held && now_ms - since_ms >= least_ms.max(overlap_ms.unwrap_or(policy.overlap_ms))
}

/// The last part of a life, in which an open rotation keeps its successor from ending.
fn last_part(life: &Life) -> Millis {
    ((life.expires_ms - life.issued_ms) / 10).min(DAY_MS)
}

/// Whether a key that nobody has ended comes to the end of its own time within `within_ms`, or has come to it.
fn ends_within(life: &Life, within_ms: Millis, now_ms: Millis) -> bool {
    match life.state(now_ms) {
        KeyState::Unused | KeyState::InUse | KeyState::Retiring | KeyState::Held | KeyState::Expired => {
            life.expires_ms - now_ms <= within_ms
        }
        KeyState::Retired | KeyState::Revoked => false,
    }
}

/// What `retires_ms` of the successor is to be after an event: while its rotation is open, one that works
/// does not end by time, and neither does it in the moment in which the rotation ends well. Then it is a key
/// whose time is over and that needs a successor of its own.
pub fn successor_retires_ms(rotation: &Rotation, new: &Life, now_ms: Millis) -> Option<Millis> {
    match rotation.stage {
        Stage::Open(step) | Stage::Stalled(step) | Stage::Held(step) => {
            let reaches_ms = rotation.deadline_ms - now_ms + last_part(new);
            let is_kept = step.is_proven() && ends_within(new, reaches_ms, now_ms);
            if is_kept { Some(rotation.deadline_ms) } else { new.retires_ms }
        }
        Stage::Retired | Stage::Revoked => {
            new.retires_ms.filter(|_| ends_within(new, last_part(new), now_ms))
        }
        Stage::RolledBack => new.retires_ms,
    }
}

fn silence(
    rotation: &Rotation,
    evidence: &Evidence<'_>,
    policy: &Effective,
    old: KeyState,
    now_ms: Millis,
) -> Option<Event> {
    match old {
        KeyState::Expired | KeyState::Retired | KeyState::Revoked => return Some(Event::Drained),
        // Whoever starts now reads the old key there, however silent it has been.
        KeyState::Unused | KeyState::InUse | KeyState::Retiring | KeyState::Held
            if evidence.promotion_due =>
        {
            return None;
        }
        KeyState::Held => return held(rotation, evidence, policy, now_ms),
        KeyState::Unused | KeyState::InUse | KeyState::Retiring => {}
    }
    let since_ms = quiet_since(rotation, evidence).filter(|_| evidence.trusts_time)?;
    let silent_ms = now_ms - since_ms;
    if silent_ms >= needed(&rotation.moments, evidence.cadence, policy) {
        return Some(Event::Drained);
    }
    let is_open = rotation.stage.step() == Some(Step::InUse);
    (is_open && silent_ms >= evidence.cadence.gap_ms).then_some(Event::Silent)
}

/// A held old key: its requests are held off, and that it is silent says nothing. Only one in wrong hands is
/// retired: at once when its consumer took the successor up because of that; when the consumer was on its way
/// before, what has not moved yet has as long as the silence that is needed.
fn held(rotation: &Rotation, evidence: &Evidence<'_>, policy: &Effective, now_ms: Millis) -> Option<Event> {
    let Moments { compromised_ms, used_ms, .. } = rotation.moments;
    let compromised_ms = compromised_ms?;
    if used_ms.is_none_or(|used_ms| compromised_ms < used_ms) {
        return Some(Event::Drained);
    }
    let since_ms = quiet_since(rotation, evidence).filter(|_| evidence.trusts_time)?;
    let is_over = now_ms - since_ms >= needed(&rotation.moments, evidence.cadence, policy);
    is_over.then_some(Event::Drained)
}

/// Why an event may not happen although its stage allows it: it would leave the federation without a key
/// that is accepted.
pub const fn forbids(event: Event, old: KeyState, new: KeyState) -> Option<&'static str> {
    match event {
        Event::RollBack if !old.is_accepted() && new.is_accepted() => {
            Some("the old key has ended: without the new one nothing would be accepted")
        }
        Event::Finish | Event::Drained | Event::Deadline { may_retire: true } if !new.opens() => {
            Some("the new key opens nothing now: without the old one nothing would be accepted")
        }
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
        | Event::Revoke { .. }
        | Event::Compromised { .. } => None,
    }
}

/// Since when the old key has been silent under observation; `None` when nothing can be said: the
/// successor has not worked yet, or requests are held off.
pub fn quiet_since(rotation: &Rotation, evidence: &Evidence<'_>) -> Option<Millis> {
    let Moments { used_ms, watched_from_ms, compromised_ms, .. } = rotation.moments;
    let used_ms = used_ms.or(evidence.new.first_work_ms).filter(|_| evidence.is_live)?;
    let others = [watched_from_ms, evidence.old.last_used_ms, compromised_ms];
    Some(others.into_iter().flatten().fold(used_ms, Millis::max))
}

/// For how long the old key must be silent: as many cycles as the policy wants, and as many times the
/// longest silence that it has come back from. Not beyond the moment at which the successor is to be rotated
/// itself, unless that is less than one such silence.
pub fn needed(moments: &Moments, cadence: Cadence, policy: &Effective) -> Millis {
    let gap_ms = cadence.gap_ms.max(moments.longest_return_ms.unwrap_or(0));
    let most_ms = (policy.max_age_ms - policy.rotate_before_ms).max(gap_ms.saturating_add(gap_ms / 10));
    gap_ms.saturating_mul(policy.silence_cycles).min(most_ms).max(policy.least_silence_ms)
}

/// How a rotation stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The secret has not reached its consumer.
    WaitsForDelivery,
    /// The consumer has the secret and has not worked with it.
    WaitsForUse {
        /// Whether it has tried it.
        is_tested: bool,
    },
    /// The successor works, and the old key was used within a cycle.
    BothInUse,
    /// The successor works, and the old key has been silent for a while.
    Draining {
        /// Since when.
        since_ms: Millis,
        /// For how long it must be.
        needed_ms: Millis,
    },
    /// The successor works, the old key came back after it had fallen silent: somebody else has it.
    TwoHolders {
        /// How often it came back.
        returns: i64,
    },
    /// The successor works, and its target has not made it the current one yet.
    WaitsForTarget,
    /// Requests of the federation are held off, so silence says nothing.
    NotWatched,
    /// The time has jumped: nothing retires by itself until somebody agrees.
    TimeInDoubt,
    /// A person has stopped it.
    Held,
    /// The successor has taken over.
    Retired,
    /// The successor was withdrawn.
    RolledBack,
    /// The old key was revoked.
    Revoked,
}

impl Verdict {
    /// One sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::WaitsForDelivery => {
                "The new key has not reached its consumer yet. The old key works as before."
            }
            Self::WaitsForUse { is_tested: false } => {
                "The consumer has the new key and has not used it. The old key works as before."
            }
            Self::WaitsForUse { is_tested: true } => {
                "The consumer has tried the new key and done no work with it. The old key works as before."
            }
            Self::BothInUse => "The new key works. The old one is still used beside it.",
            Self::Draining { .. } => {
                "The new key works, the old one is silent. It is retired when it has been silent for long enough."
            }
            Self::TwoHolders { .. } => {
                "The new key works, and the old one came back after a silence: a copy of the consumer has not moved, or somebody else has the key."
            }
            Self::WaitsForTarget => {
                "The new key works. Its target still gives out the old one, which is not retired before that has changed."
            }
            Self::NotWatched => {
                "The federation is paused. Silence of the old key says nothing until it is resumed."
            }
            Self::TimeInDoubt => {
                "The clock has jumped. Nothing is retired until somebody agrees that the time is right."
            }
            Self::Held => "Held by a person. Both keys work; nothing is delivered and nothing retires.",
            Self::Retired => "Done. The new key has taken over and the old one was retired.",
            Self::RolledBack => "Rolled back. The old key goes on.",
            Self::Revoked => "The old key was revoked. The new one goes on alone.",
        }
    }
}

/// How a rotation stands, and when something happens by itself next.
pub fn assess(
    rotation: &Rotation,
    evidence: &Evidence<'_>,
    policy: &Effective,
    now_ms: Millis,
) -> (Verdict, Option<Millis>) {
    let step = match rotation.stage {
        Stage::Retired => return (Verdict::Retired, None),
        Stage::RolledBack => return (Verdict::RolledBack, None),
        Stage::Revoked => return (Verdict::Revoked, None),
        Stage::Held(_) => return (Verdict::Held, None),
        Stage::Open(step) | Stage::Stalled(step) => step,
    };
    let deadline = Some(rotation.deadline_ms);
    if !evidence.trusts_time {
        return (Verdict::TimeInDoubt, None);
    }
    match step {
        Step::Issued => (Verdict::WaitsForDelivery, deadline),
        Step::Delivered => (Verdict::WaitsForUse { is_tested: false }, deadline),
        Step::Tested => (Verdict::WaitsForUse { is_tested: true }, deadline),
        Step::InUse | Step::Draining if evidence.promotion_due => (Verdict::WaitsForTarget, deadline),
        Step::InUse | Step::Draining => {
            let Some(since_ms) = quiet_since(rotation, evidence) else { return (Verdict::NotWatched, None) };
            let needed_ms = needed(&rotation.moments, evidence.cadence, policy);
            let next = Some(since_ms + needed_ms);
            if step == Step::Draining || now_ms - since_ms >= evidence.cadence.gap_ms {
                (Verdict::Draining { since_ms, needed_ms }, next)
            } else if rotation.moments.returns > 0 {
                (Verdict::TwoHolders { returns: rotation.moments.returns }, next)
            } else {
                (Verdict::BothInUse, next)
            }
        }
    }
}

impl Moments {
    /// Takes an event into account that led to a stage.
    pub fn note(&mut self, event: Event, old_last_ms: Option<Millis>, now_ms: Millis) {
        match event {
            Event::Delivered => self.delivered_ms = self.delivered_ms.or(Some(now_ms)),
            Event::Probed => self.tested_ms = self.tested_ms.or(Some(now_ms)),
            Event::Used => self.used_ms = self.used_ms.or(Some(now_ms)),
            Event::Silent => {
                self.silent_ms = Some(now_ms);
                self.old_last_ms = old_last_ms;
            }
            Event::OldUsed => {
                let before = self.old_last_ms.or(self.used_ms);
                if let (Some(before), Some(last)) = (before, old_last_ms) {
                    self.longest_return_ms = self.longest_return_ms.max(Some(last - before));
                }
                self.returns += 1;
                self.silent_ms = None;
                self.old_last_ms = old_last_ms;
            }
            Event::Compromised { half: Half::Old } => {
                self.compromised_ms = self.compromised_ms.or(Some(now_ms));
            }
            Event::Drained
            | Event::Deadline { .. }
            | Event::Hold
            | Event::Release
            | Event::RollBack
            | Event::Finish
            | Event::Revoke { .. }
            | Event::Compromised { half: Half::New } => {}
        }
    }
}
