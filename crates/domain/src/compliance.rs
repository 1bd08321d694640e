//! Compliance: how each federation stands against its rotation policy, now and at moments that have passed.
//!
//! Everything is computed from what the records hold: when a key was issued, when its successor came, when it
//! ended, what the policy was, which exception held. The standing of today and a point of the trend come from the
//! same function, so that the last point is the verdict.
//!
//! To add a status, add a variant to [`Status`] at its place in the order of attention, and decide it in
//! [`assess`].

pub mod attestation;
pub mod evidence;
pub mod pdf;
pub mod period;

use serde::{Deserialize, Serialize};

pub use self::period::Period;
use crate::{
    DAY_MS, FederationId, KeyId, Millis,
    keys::{Key, Life},
    rotations::policy::PolicyException,
};

/// How long a key that has ended by itself, was in use and has no successor is held against its federation: its
/// provider is cut off.
pub const LAPSED_MS: Millis = 30 * DAY_MS;

/// How long a key may do no work before it counts as unused.
pub const UNUSED_MS: Millis = 30 * DAY_MS;

/// How many points the trend has, today's included.
pub const TREND_MONTHS: usize = 12;

/// How a federation stands against its policy. The order is that of attention: what needs somebody first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A key is accepted beyond its limit, or has ended in use without a successor.
    Overdue,
    /// A key has come to the time before its end at which its rotation begins.
    Due,
    /// A key is due or overdue, and an exception holds for it.
    Excepted,
    /// Every key is inside its limit, and none of the federation has ever been rotated.
    NeverRotated,
    /// It has no key to be held against the policy.
    NoKeys,
    /// Every key is inside its limit.
    InPolicy,
}

impl Status {
    /// Every status, in the order of attention.
    pub const ALL: [Self; 6] =
        [Self::Overdue, Self::Due, Self::Excepted, Self::NeverRotated, Self::NoKeys, Self::InPolicy];

    /// The word in addresses, files and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::Due => "due",
            Self::Excepted => "excepted",
            Self::NeverRotated => "never-rotated",
            Self::NoKeys => "no-keys",
            Self::InPolicy => "in-policy",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Overdue => "Overdue",
            Self::Due => "Due",
            Self::Excepted => "Exception",
            Self::NeverRotated => "Never rotated",
            Self::NoKeys => "No keys",
            Self::InPolicy => "In policy",
        }
    }

    /// What it means, in one sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Overdue => {
                "A key is accepted beyond its limit, or ended in use within 30 days without a successor."
            }
            Self::Due => {
                "Every key is inside its limit; one has come to the time at which its rotation begins."
            }
            Self::Excepted => {
                "A key is due or overdue, and somebody answers for it until the exception ends."
            }
            Self::NeverRotated => "Every key is inside its limit; no key of it has ever been replaced.",
            Self::NoKeys => "There is no accepted key to be held against the policy.",
            Self::InPolicy => "Every key is inside its limit, and keys of it have been replaced before.",
        }
    }

    /// Reads the word of [`Status::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether it is inside policy. An exception is not: it says that the policy does not hold.
    pub const fn is_inside(self) -> bool {
        match self {
            Self::Due | Self::NeverRotated | Self::InPolicy => true,
            Self::Overdue | Self::Excepted | Self::NoKeys => false,
        }
    }

    /// Whether there is something to be inside or outside of policy.
    pub const fn is_counted(self) -> bool {
        match self {
            Self::NoKeys => false,
            Self::Overdue | Self::Due | Self::Excepted | Self::NeverRotated | Self::InPolicy => true,
        }
    }
}

/// What the records say of a key's life, for any moment of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPast {
    /// Which key.
    pub id: KeyId,
    /// When it was issued.
    pub issued_ms: Millis,
    /// When it ends by itself.
    pub expires_ms: Millis,
    /// When it was retired or revoked.
    pub ended_ms: Option<Millis>,
    /// When its successor was issued.
    pub successor_ms: Option<Millis>,
    /// Since when an overlap keeps it accepted, also beyond its own end.
    pub overlap_ms: Option<Millis>,
    /// Since when it is held, which keeps it accepted as well.
    pub held_ms: Option<Millis>,
    /// Its first accepted request.
    pub first_used_ms: Option<Millis>,
    /// Whether it replaced another.
    pub is_successor: bool,
}

/// What a key was at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not yet, or no longer, there.
    Absent,
    /// Accepted.
    Accepted,
    /// It ended by itself a short time ago, was in use, and nothing has replaced it.
    Lapsed,
}

impl KeyPast {
    /// What is known of a key; `successor_ms` is when the key that replaces it was issued.
    pub fn of(key: &Key, successor_ms: Option<Millis>) -> Self {
        let Life {
            issued_ms, expires_ms, retires_ms, retired_ms, revoked_ms, held_ms, first_used_ms, ..
        } = key.life;
        let is_overlap = retires_ms.is_some() || retired_ms.is_some();
        Self {
            id: key.id.clone(),
            issued_ms,
            expires_ms,
            ended_ms: [retired_ms, revoked_ms].into_iter().flatten().min(),
            successor_ms,
            overlap_ms: is_overlap.then(|| successor_ms.unwrap_or(issued_ms)),
            held_ms,
            first_used_ms,
            is_successor: key.predecessor_id.is_some(),
        }
    }

    fn phase(&self, at_ms: Millis) -> Phase {
        let is_past = |moment: Option<Millis>| moment.is_some_and(|moment| moment <= at_ms);
        if at_ms < self.issued_ms || is_past(self.ended_ms) {
            Phase::Absent
        } else if at_ms < self.expires_ms || is_past(self.overlap_ms) || is_past(self.held_ms) {
            Phase::Accepted
        } else if at_ms - self.expires_ms < LAPSED_MS
            && is_past(self.first_used_ms)
            && !is_past(self.successor_ms)
        {
            Phase::Lapsed
        } else {
            Phase::Absent
        }
    }

    /// The moment from which it is too old.
    pub fn limit_ms(&self, limits: Limits) -> Millis {
        self.expires_ms.min(self.issued_ms + limits.max_age_ms)
    }

    /// Whether it is accepted at a moment.
    pub fn is_accepted(&self, at_ms: Millis) -> bool {
        self.phase(at_ms) == Phase::Accepted
    }

    fn standing(&self, limits: Limits, at_ms: Millis) -> Option<Standing> {
        match self.phase(at_ms) {
            Phase::Absent => None,
            Phase::Lapsed => Some(Standing::Overdue),
            Phase::Accepted => {
                let limit_ms = self.limit_ms(limits);
                Some(if at_ms >= limit_ms {
                    Standing::Overdue
                } else if self.successor_ms.is_some_and(|moment| moment <= at_ms) {
                    // Its rotation is under way.
                    Standing::Inside
                } else if at_ms >= limit_ms - limits.rotate_before_ms {
                    Standing::Due
                } else {
                    Standing::Inside
                })
            }
        }
    }
}

/// What a policy asks of the age of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest life of a key.
    pub max_age_ms: Millis,
    /// How long before its limit a key is due.
    pub rotate_before_ms: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Inside,
    Due,
    Overdue,
}

/// How a federation stands at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessed {
    /// In one word.
    pub status: Status,
    /// How many keys are accepted.
    pub accepted: usize,
    /// When the oldest of them was issued.
    pub oldest_ms: Option<Millis>,
    /// When the first of those that count is, or was, too old.
    pub limit_ms: Option<Millis>,
    /// When the first exception ends that keeps a due or overdue key.
    pub excepted_until_ms: Option<Millis>,
}

fn holds(exception: &PolicyException, key: &KeyId, at_ms: Millis) -> bool {
    exception.made_ms <= at_ms
        && at_ms < exception.ends_ms
        && exception.ended_ms.is_none_or(|ended_ms| at_ms < ended_ms)
        && exception.key_id.as_ref().is_none_or(|id| id == key)
}

/// How a federation stands at a moment: its keys, canaries aside, against limits, with its exceptions.
pub fn assess(keys: &[KeyPast], exceptions: &[PolicyException], limits: Limits, at_ms: Millis) -> Assessed {
    let (mut overdue, mut due, mut counted, mut was_rotated) = (false, false, false, false);
    let (mut accepted, mut oldest_ms, mut limit_ms, mut until_ms) = (0, None::<Millis>, None, None);
    let least = |known: Option<Millis>, new: Millis| Some(known.map_or(new, |known| known.min(new)));
    for key in keys {
        was_rotated |= key.is_successor && key.issued_ms <= at_ms;
        let Some(standing) = key.standing(limits, at_ms) else { continue };
        counted = true;
        limit_ms = least(limit_ms, key.limit_ms(limits));
        if key.is_accepted(at_ms) {
            accepted += 1;
            oldest_ms = least(oldest_ms, key.issued_ms);
        }
        if standing == Standing::Inside {
            continue;
        }
        // The last of those that hold for it keeps it.
        let kept = exceptions.iter().filter(|exception| holds(exception, &key.id, at_ms));
        match kept.map(|exception| exception.ends_ms).max() {
            Some(ends_ms) => until_ms = least(until_ms, ends_ms),
            None if standing == Standing::Overdue => overdue = true,
            None => due = true,
        }
    }
    let status = if overdue {
        Status::Overdue
    } else if due {
        Status::Due
    } else if until_ms.is_some() {
        Status::Excepted
    } else if !counted {
        Status::NoKeys
    } else if was_rotated {
        Status::InPolicy
    } else {
        Status::NeverRotated
    };
    Assessed { status, accepted, oldest_ms, limit_ms, excepted_until_ms: until_ms }
}

/// How many federations stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Inside policy.
    pub inside: i64,
    /// Kept by an exception.
    pub excepted: i64,
    /// With keys that can be held against a policy.
    pub of: i64,
}

impl Counted {
    /// Counts one more.
    pub fn add(&mut self, status: Status) {
        self.inside += i64::from(status.is_inside());
        self.excepted += i64::from(status == Status::Excepted);
        self.of += i64::from(status.is_counted());
    }

    /// The share inside policy in whole percent, rounded down: 99 is not all. `None` without any federation.
    pub const fn percent(self) -> Option<i64> {
        if self.of == 0 { None } else { Some(self.inside * 100 / self.of) }
    }

    /// `41 of 43 federations inside policy, 1 by exception`.
    pub fn verdict(self) -> String {
        let Self { inside, excepted, of } = self;
        if of == 0 {
            return "No federation has a key to be held against a policy".to_owned();
        }
        let noun = if of == 1 { "federation" } else { "federations" };
        let besides = match excepted {
            0 => String::new(),
            1 => ", 1 outside by exception".to_owned(),
            more => format!(", {more} outside by exception"),
        };
        format!("{inside} of {of} {noun} inside policy{besides}")
    }
}

/// A federation with everything that its past is computed from.
#[derive(Debug, Clone)]
pub struct Past {
    /// Which.
    pub id: FederationId,
    /// Since when it is there.
    pub created_ms: Millis,
    /// When it was archived.
    pub archived_ms: Option<Millis>,
    /// Its keys, canaries aside, also those that have ended.
    pub keys: Vec<KeyPast>,
    /// Its exceptions, also those that have ended.
    pub exceptions: Vec<PolicyException>,
    /// What its policy asks today.
    pub limits: Limits,
    /// What it asked before: until when, and the longest life of a key, the first first.
    pub before: Vec<(Millis, Millis)>,
}

impl Past {
    /// What the policy asked at a moment.
    pub fn limits_at(&self, at_ms: Millis) -> Limits {
        let held = self.before.iter().find(|(until_ms, _)| at_ms < *until_ms);
        held.map_or(self.limits, |(_, max_age_ms)| Limits { max_age_ms: *max_age_ms, ..self.limits })
    }

    /// How it stood at a moment; `None` while it was not there.
    pub fn at(&self, at_ms: Millis) -> Option<Assessed> {
        let is_there =
            self.created_ms <= at_ms && self.archived_ms.is_none_or(|archived_ms| at_ms < archived_ms);
        is_there.then(|| assess(&self.keys, &self.exceptions, self.limits_at(at_ms), at_ms))
    }
}

/// How things stood at the end of a month, or now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The month, `2026-11`.
    pub month: String,
    /// The moment that was looked at: the end of the month, or now.
    pub at_ms: Millis,
    /// How many stood how.
    pub counted: Counted,
}

/// How many federations were inside policy at the end of each of the last months, and now, the oldest first.
pub fn trend(pasts: &[Past], now_ms: Millis) -> Vec<Point> {
    let mut points = Vec::new();
    for period in Period::months_until(now_ms, TREND_MONTHS) {
        // What begins with the next month is not of this one.
        let at_ms = (period.to_ms - 1).min(now_ms);
        let mut counted = Counted::default();
        for past in pasts {
            if let Some(assessed) = past.at(at_ms) {
                counted.add(assessed.status);
            }
        }
        points.push(Point { month: period.label, at_ms, counted });
    }
    points
}

/// Since when the records say anything: the first key that was ever issued.
pub fn known_since_ms(pasts: &[Past]) -> Option<Millis> {
    pasts.iter().flat_map(|past| &past.keys).map(|key| key.issued_ms).min()
}

#[cfg(test)]
mod tests;
