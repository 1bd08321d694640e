//! Rotations: a successor takes over from a key, on evidence and never on a timer alone.
//!
//! A rotation is in a [`Stage`]; what happens to it is an [`Event`]; [`machine::apply`] decides every
//! pair and says what is to be done, as values of [`Effect`]. What was seen of the two keys becomes
//! events in [`evidence`], the rhythm of a provider is learned in [`cadence`].
//!
//! The law: a federation that is live always has an accepted key, and no rotation ever makes it
//! more than two. An old key is accepted until an event retires or revokes it: the end of its life and
//! the deadline of the overlap only raise findings, unless the policy says otherwise.

pub mod cadence;
pub mod evidence;
pub mod machine;
pub mod policy;
pub mod turns;

use serde::{Deserialize, Serialize};

use crate::{FederationId, KeyId, Millis, RotationId};

/// One key taking over from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Made by the server.
    pub id: RotationId,
    /// The federation of both keys.
    pub federation_id: FederationId,
    /// The key that is replaced.
    pub old_key_id: KeyId,
    /// Its successor.
    pub new_key_id: KeyId,
    /// Where it stands.
    pub stage: Stage,
    /// Why it began.
    pub cause: Cause,
    /// The name of who began it.
    pub begun_by: String,
    /// When it began.
    pub begun_ms: Millis,
    /// When it came to its step.
    pub since_ms: Millis,
    /// By when the overlap should be over.
    pub deadline_ms: Millis,
    /// How often the overlap was extended.
    pub extended: i64,
    /// The moments of the steps that are behind it, and what was last seen.
    pub moments: Moments,
    /// Why a person held, finished or rolled it back; empty for none.
    pub note: String,
    /// When it ended.
    pub ended_ms: Option<Millis>,
    /// Counts its changes.
    pub version: i64,
}

/// Why a rotation began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A person wanted it.
    ByHand,
    /// The policy of the federation: the key comes to its end.
    Policy,
    /// The key had expired.
    Expiry,
    /// The key, or its last successor, is in wrong hands.
    Compromise,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::ByHand, Self::Policy, Self::Expiry, Self::Compromise];

    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByHand => "by-hand",
            Self::Policy => "policy",
            Self::Expiry => "expiry",
            Self::Compromise => "compromise",
        }
    }

    /// What people read, to follow "begun".
    pub const fn label(self) -> &'static str {
        match self {
            Self::ByHand => "by hand",
            Self::Policy => "by the policy",
            Self::Expiry => "because the key had expired",
            Self::Compromise => "because of a compromise",
        }
    }

    /// Reads the word of [`Cause::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text)
    }
}

/// What a rotation remembers of its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moments {
    /// How long the overlap was to last; an extension is for as long again.
    pub overlap_ms: Option<Millis>,
    /// When the secret was brought, or shown to a person.
    pub delivered_ms: Option<Millis>,
    /// When the successor was first tried.
    pub tested_ms: Option<Millis>,
    /// When the successor did its first work, as Keyward noticed.
    pub used_ms: Option<Millis>,
    /// When the old key was found to be silent.
    pub silent_ms: Option<Millis>,
    /// The last use of the old key that has been taken into account.
    pub old_last_ms: Option<Millis>,
    /// The longest silence after which the old key was used again.
    pub longest_return_ms: Option<Millis>,
    /// How often the old key was used again after it had fallen silent.
    pub returns: i64,
    /// Silence before this says nothing: nobody watched, or requests were held off.
    pub watched_from_ms: Option<Millis>,
    /// When the old key was found to be in wrong hands.
    pub compromised_ms: Option<Millis>,
    /// When a person rolled it back; `None` when Keyward did.
    pub rolled_back_ms: Option<Millis>,
}

/// How far a rotation has come while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The successor exists; nobody has its secret yet.
    Issued,
    /// The secret was brought to the consumer, or shown to the person who will bring it.
    Delivered,
    /// The consumer has tried it: a connection test, which proves that it can, not that it does.
    Tested,
    /// A real operation was done with it. The old key may still be in use beside it.
    InUse,
    /// The old key has been silent for a cycle of the provider; more cycles are waited for.
    Draining,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 5] = [Self::Issued, Self::Delivered, Self::Tested, Self::InUse, Self::Draining];

    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Delivered => "delivered",
            Self::Tested => "tested",
            Self::InUse => "in-use",
            Self::Draining => "draining",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Issued => "Issued",
            Self::Delivered => "Delivered",
            Self::Tested => "Tested",
            Self::InUse => "In use",
            Self::Draining => "Draining",
        }
    }

    /// Whether a real operation has been seen: the consumer has moved to the successor.
    pub const fn is_proven(self) -> bool {
        match self {
            Self::Issued | Self::Delivered | Self::Tested => false,
            Self::InUse | Self::Draining => true,
        }
    }
}

/// Where a rotation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "condition", content = "step", rename_all = "kebab-case")]
pub enum Stage {
    /// It goes on.
    Open(Step),
    /// Its deadline passed without proof. Everything works as before, and proof moves it on.
    Stalled(Step),
    /// A person has stopped it: nothing is delivered and nothing retires until it is released.
    Held(Step),
    /// The successor has taken over and the old key was retired.
    Retired,
    /// The successor was withdrawn; the old key goes on.
    RolledBack,
    /// The old key was revoked; the successor goes on alone.
    Revoked,
}

impl Stage {
    /// Every stage.
    pub fn all() -> impl Iterator<Item = Self> {
        let beside = [Self::Open as fn(Step) -> Self, Self::Stalled, Self::Held];
        let going = beside.into_iter().flat_map(|stage| Step::ALL.into_iter().map(stage));
        going.chain([Self::Retired, Self::RolledBack, Self::Revoked])
    }

    /// The step of a rotation that has not ended.
    pub const fn step(self) -> Option<Step> {
        match self {
            Self::Open(step) | Self::Stalled(step) | Self::Held(step) => Some(step),
            Self::Retired | Self::RolledBack | Self::Revoked => None,
        }
    }

    /// Whether nothing happens to it any more.
    pub const fn has_ended(self) -> bool {
        self.step().is_none()
    }

    /// The words of the columns `step` and `condition`.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Open(step) => (step.as_str(), "open"),
            Self::Stalled(step) => (step.as_str(), "stalled"),
            Self::Held(step) => (step.as_str(), "held"),
            Self::Retired => ("retired", "ended"),
            Self::RolledBack => ("rolled-back", "ended"),
            Self::Revoked => ("revoked", "ended"),
        }
    }

    /// Reads the words of [`Stage::words`].
    pub fn parse(step: &str, condition: &str) -> Option<Self> {
        Self::all().find(|stage| stage.words() == (step, condition))
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Open(step) => step.label(),
            Self::Stalled(_) => "Stalled",
            Self::Held(_) => "Held",
            Self::Retired => "Retired",
            Self::RolledBack => "Rolled back",
            Self::Revoked => "Revoked",
        }
    }
}

/// One of the two keys of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// The key that is replaced.
    Old,
    /// Its successor.
    New,
}

/// What happens to a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The successor's secret was brought and read back, or shown to a person.
    Delivered,
    /// The successor was tried by a connection test.
    Probed,
    /// The successor did real work.
    Used,
    /// The old key did anything after it had fallen silent for a cycle.
    OldUsed,
    /// The old key has been silent for one cycle of the provider, or has ended.
    Silent,
    /// The old key has been silent for as many cycles as the policy wants, or has ended.
    Drained,
    /// The overlap is longer than it should be. `may_retire` is the policy's word that it ends then.
    Deadline {
        /// Whether the old key may be retired without proof.
        may_retire: bool,
    },
    /// A person stops it.
    Hold,
    /// A person lets it go on.
    Release,
    /// A person withdraws the successor.
    RollBack,
    /// A person retires the old key without waiting for its silence.
    Finish,
    /// A person revokes one of the keys.
    Revoke {
        /// Which.
        half: Half,
    },
    /// One of the keys is in wrong hands.
    Compromised {
        /// Which.
        half: Half,
    },
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 16] = [
        Self::Delivered,
        Self::Probed,
        Self::Used,
        Self::OldUsed,
        Self::Silent,
        Self::Drained,
        Self::Deadline { may_retire: false },
        Self::Deadline { may_retire: true },
        Self::Hold,
        Self::Release,
        Self::RollBack,
        Self::Finish,
        Self::Revoke { half: Half::Old },
        Self::Revoke { half: Half::New },
        Self::Compromised { half: Half::Old },
        Self::Compromised { half: Half::New },
    ];

    /// What the table calls it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Probed => "probed",
            Self::Used => "used",
            Self::OldUsed => "old key used",
            Self::Silent => "old key silent for a cycle",
            Self::Drained => "old key silent for N cycles",
            Self::Deadline { may_retire: false } => "deadline",
            Self::Deadline { may_retire: true } => "deadline, policy retires",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::RollBack => "roll back",
            Self::Finish => "finish",
            Self::Revoke { half: Half::Old } => "old key revoked",
            Self::Revoke { half: Half::New } => "new key revoked",
            Self::Compromised { half: Half::Old } => "old key compromised",
            Self::Compromised { half: Half::New } => "new key compromised",
        }
    }
}

/// What is to be done because of an event, in the unit that writes the new stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum Effect {
    /// Bring the secret to the consumer, by the first target that takes it.
    Deliver,
    /// Tell the targets that the successor has taken over: AWSCURRENT moves, hand-offs close.
    Promote,
    /// Take back what still waits to be delivered.
    Withdraw,
    /// The overlap goes on for as long again.
    Extend,
    /// The old key opens nothing any more; planned.
    RetireOld,
    /// A key opens nothing any more; at once.
    Revoke {
        /// Which.
        half: Half,
    },
    /// A key is answered 503 until it is released or retired.
    HoldKey {
        /// Which.
        half: Half,
    },
    /// The old key stands by itself again: no successor, no deadline.
    RestoreOld,
    /// A new rotation of a key begins in the same unit.
    Begin {
        /// Of which.
        half: Half,
    },
    /// A finding is raised, or the one that is open is counted.
    Raise {
        /// What of.
        rule: Rule,
    },
    /// An open finding is over.
    Settle {
        /// Which.
        rule: Rule,
    },
    /// A case of compromise is opened.
    OpenCase,
}

/// What a rotation raises findings of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The deadline passed and the successor has not done any work.
    NoProof,
    /// The deadline passed and the old key is still in use beside its successor.
    StillUsed,
    /// The old key was used after it had fallen silent: a stale copy of the consumer, or a thief.
    TwoHolders,
}

#[cfg(test)]
mod tests;
