//! Findings: something that is not as it should be, and that a person should know of.
//!
//! A finding has a rule and a subject. While it is open, the same rule about the same subject counts
//! up and raises nothing new. It says three things: what was expected, what came, and why that matters.
//!
//! To add a rule, add one row to the table below: its variant, word, severity, title and why it
//! matters.

pub mod mutes;

use serde::{Deserialize, Serialize};

use crate::{CaseId, DAY_MS, FederationId, FindingId, KeyId, Millis, RotationId, rotations};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know; told nobody.
    Low,
    /// Look at it this week.
    Medium,
    /// Look at it today.
    High,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// Every severity, the mildest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }

    /// Reads the word of [`Severity::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == text)
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $severity:ident, $title:literal, $why:literal;)*) => {
        /// What a finding is of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Rule {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl Rule {
            /// Every rule, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word in API, addresses and database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// How bad it is when nothing else is said.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// What people read: a statement about the subject.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// Why it matters, in one sentence.
            pub const fn why(self) -> &'static str {
                match self { $(Self::$variant => $why,)* }
            }
        }
    };
}

rules! {
    /// The deadline of an overlap passed and the successor has done no work.
    NoProof = "no-proof", Medium, "The new key is not in use",
        "The old key goes on until the new one has worked: an old secret lives longer than the policy wants.";
    /// The deadline of an overlap passed and the old key is still in use beside its successor.
    StillUsed = "still-used", Medium, "Both keys are in use",
        "A copy of the consumer still holds the old key, and would be cut off if it ended.";
    /// The old key was used after it had fallen silent, or after it was retired.
    TwoHolders = "two-holders", High, "Two holders of one key",
        "Whoever still presents the old key is a stale copy of the consumer, or a thief.";
    /// A key that was retired or revoked was presented.
    EndedKeyUsed = "ended-key-used", High, "An ended key was used",
        "The whole key was presented, so somebody still has it: a stale copy of the consumer, or a thief.";
    /// A delivery was given up.
    DeliveryFailed = "delivery-failed", High, "A key was not delivered",
        "The successor waits; the old key goes on, and grows older than the policy wants.";
    /// A hand-off has nobody to go to, or nobody opened it in time.
    HandOffWaits = "hand-off-waits", Medium, "A key waits to be handed over",
        "Nobody has brought the successor to the provider; the old key goes on.";
    /// A key ends soon and nothing replaces it: 30, 14, 7, 3, 1 days.
    EndsSoon = "ends-soon", Medium, "A key ends soon",
        "From its end on the provider gets 401, and accounts are neither created nor removed.";
    /// A key has ended by its date and nothing replaces it.
    Expired = "expired", High, "A key has expired",
        "The provider gets 401: accounts are neither created nor removed until it has a new key.";
    /// A key is older than the policy allows and was never rotated.
    OverAge = "over-age", Medium, "A key is older than its policy allows",
        "The longer a key lives, the more copies of it there are.";
    /// The clock of a node jumped forward by more than a day.
    ClockJumped = "clock-jumped", High, "The clock jumped",
        "Keys would expire or retire by a time that may be wrong; automatic retirement waits for a person.";
    /// People could not be told.
    ChannelFailed = "channel-failed", High, "A channel does not deliver",
        "What should be told on it reaches nobody.";
    /// A canary key was presented.
    CanaryUsed = "canary-used", Critical, "A canary key was used",
        "Nobody has a reason to use it: whoever did has read something that was not theirs.";
    /// A valid key was found where it should not be.
    LeakReported = "leak-reported", Critical, "A key was found outside",
        "Whoever can read that place can use the key.";
    /// R1: more users were to be taken away than a brake lets through.
    MassRemoval = "mass-removal", Critical, "Too many users would be taken away",
        "A mistake or a thief at the provider takes everybody's access away in minutes.";
    /// R2: one request was to take most of a group away.
    GroupEmptied = "group-emptied", High, "A group would be emptied",
        "Whoever empties a group takes from all of its members what the group gives them.";
    /// R3: a key was to change what is protected.
    ProtectedChange = "protected-change", High, "Something protected was to be changed",
        "Whoever can change a protected account or group can change who rules over everything else.";
    /// R4: more users were to be rewritten than a brake lets through.
    MassRewrite = "mass-rewrite", Critical, "Too many names or addresses would be rewritten",
        "Whoever has the address of a user can take over the account.";
    /// A5: somebody joined, or was to join, a privileged group.
    PrivilegedAdd = "privileged-add", High, "Somebody was added to a privileged group",
        "The group gives rights that a thief wants first.";
    /// A13: a mail domain or shape of externalId that the federation never had.
    NewIdentity = "new-identity", High, "A new mail domain or kind of id",
        "An account under a foreign domain belongs to somebody else.";
    /// A1: a key came from a network that it never came from.
    NewNetwork = "new-network", Medium, "A key is used from a new network",
        "Providers move seldom; a thief is always somewhere else.";
    /// A2: a new kind of user agent from a new network.
    NewAgent = "new-agent", High, "A key is used by another program from elsewhere",
        "Another program at another place is another holder of the key.";
    /// A3: one key from two networks in turns.
    TwoNetworks = "two-networks", High, "A key is used from two places at once",
        "One consumer is at one place: somebody else has the key too.";
    /// A4: many requests that the scope denies, or one that the key never made.
    ManyDenials = "many-denials", Medium, "A key tries what it may not",
        "Whoever tries out what a key opens does not know what it is for.";
    /// A7: a key that was asleep is used.
    DormantKey = "dormant-key", High, "A sleeping key woke up",
        "A key that nobody uses is a key that nobody misses when it is stolen.";
    /// A7: a key has not been used for long.
    UnusedKey = "unused-key", Medium, "A key is not used",
        "Nobody would miss it, so nobody would see that somebody else uses it.";
    /// A8: many writes outside of the usual hours.
    OffSchedule = "off-schedule", Medium, "Many changes at an unusual hour",
        "Work that comes when nobody works is often not the provider's.";
    /// A9: no good request for longer than the rhythm of the provider.
    Silence = "silence", Medium, "A provider has fallen silent",
        "Who leaves keeps their access, and who joins has none, until it talks again.";
    /// A10: a large part of the requests fails.
    ManyFailures = "many-failures", Medium, "Many requests fail",
        "Accounts are not as the provider believes, and some providers give up after a while.";
    /// A11: the directory is read through.
    Enumeration = "enumeration", High, "The directory is read through",
        "A stolen key is first used to see whom it reaches.";
    /// A12: many users are created at once.
    CreateBurst = "create-burst", Medium, "Many users are created at once",
        "Accounts that nobody asked for are a way back in.";
    /// A14: keys that nobody issued are presented.
    UnknownKeys = "unknown-keys", Medium, "Keys that nobody issued are tried",
        "Somebody guesses, or uses keys of another installation here.";
    /// A16: a canary user or group was read or changed.
    CanaryResource = "canary-resource", High, "A canary in the directory was touched",
        "It belongs to nobody: whoever touches it goes through everything.";
    /// A18: an attribute that was never written, or a password.
    NewAttribute = "new-attribute", Low, "An attribute is written for the first time",
        "A mapping was changed at the provider; passwords in a directory are loot.";
    /// A20: an admin made protection weaker.
    AdminPlane = "admin-plane", Medium, "Protection was made weaker",
        "Whoever takes over an admin widens first what they may do.";
    /// The audit log does not continue its last checkpoint.
    AuditBroken = "audit-broken", Critical, "The audit log was altered",
        "Somebody with access to the database has changed what is on record, or its disk is failing.";
    /// An anchor has seen more records, or other ones, than the database holds.
    AuditRolledBack = "audit-rolled-back", Critical, "The audit log was rolled back",
        "What happened since is gone from the record, and keys that were revoked since are accepted again.";
    /// Records wait for a checkpoint longer than they may.
    CheckpointOverdue = "checkpoint-overdue", High, "No checkpoint is signed",
        "Records that no checkpoint covers can be changed by whoever has the database, and nobody would know.";
    /// An anchor is not told checkpoints.
    AnchorFailed = "anchor-failed", High, "An anchor is not told",
        "A database that is rolled back to what this anchor knows would not be noticed by it.";
    /// A stream to another system lags.
    StreamBehind = "stream-behind", High, "A stream is behind",
        "Whoever watches the other system does not see what happens here.";
    /// Records were removed before a stream had sent them.
    StreamGap = "stream-gap", High, "A stream has lost records",
        "The other system will never have them; the audit log says when they were removed.";
}

impl Rule {
    /// The code of the rule in the documentation: R1 to R4 of the brakes, A1 to A20 of what is expected; `None` for
    /// what is no rule about behaviour.
    pub const fn code(self) -> Option<&'static str> {
        Some(match self {
            Self::MassRemoval => "R1",
            Self::GroupEmptied => "R2",
            Self::ProtectedChange => "R3",
            Self::MassRewrite => "R4",
            Self::NewNetwork => "A1",
            Self::NewAgent => "A2",
            Self::TwoNetworks => "A3",
            Self::ManyDenials => "A4",
            Self::PrivilegedAdd => "A5",
            Self::TwoHolders => "A6",
            Self::DormantKey | Self::UnusedKey => "A7",
            Self::OffSchedule => "A8",
            Self::Silence => "A9",
            Self::ManyFailures => "A10",
            Self::Enumeration => "A11",
            Self::CreateBurst => "A12",
            Self::NewIdentity => "A13",
            Self::EndedKeyUsed | Self::UnknownKeys => "A14",
            Self::CanaryUsed => "A15",
            Self::CanaryResource => "A16",
            Self::LeakReported => "A17",
            Self::NewAttribute => "A18",
            Self::EndsSoon | Self::Expired | Self::OverAge => "A19",
            Self::AdminPlane => "A20",
            Self::NoProof
            | Self::StillUsed
            | Self::DeliveryFailed
            | Self::HandOffWaits
            | Self::ClockJumped
            | Self::ChannelFailed
            | Self::AuditBroken
            | Self::AuditRolledBack
            | Self::CheckpointOverdue
            | Self::AnchorFailed
            | Self::StreamBehind
            | Self::StreamGap => return None,
        })
    }

    /// Reads the word of [`Rule::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.as_str() == text)
    }
}

impl From<rotations::Rule> for Rule {
    fn from(rule: rotations::Rule) -> Self {
        match rule {
            rotations::Rule::NoProof => Self::NoProof,
            rotations::Rule::StillUsed => Self::StillUsed,
            rotations::Rule::TwoHolders => Self::TwoHolders,
        }
    }
}

/// What a finding says beside its rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// What was expected.
    pub expected: String,
    /// What came, the last time.
    pub came: String,
    /// Where it came from, when it came from a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Its user agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The rung of the ladder that was reached, in days before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rung: Option<i64>,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its id.
    pub id: FindingId,
    /// Of which federation; `None` for the installation as a whole.
    pub federation_id: Option<FederationId>,
    /// What it is of.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a key, a rotation, a channel, a node.
    pub subject: String,
    /// The key, when it is about one.
    pub key_id: Option<KeyId>,
    /// The rotation, when it is about one.
    pub rotation_id: Option<RotationId>,
    /// The case that it belongs to.
    pub case_id: Option<CaseId>,
    /// What was expected and what came.
    pub detail: Detail,
    /// How often it came.
    pub count: i64,
    /// When it came first.
    pub first_ms: Millis,
    /// When it came last.
    pub last_ms: Millis,
    /// When it was over.
    pub closed_ms: Option<Millis>,
    /// Who closed it; Keyward when it was over by itself.
    pub closed_by: Option<String>,
    /// Why.
    pub closed_reason: Option<String>,
    /// Counts its changes.
    pub version: i64,
}

impl Finding {
    /// Whether it is open.
    pub const fn is_open(&self) -> bool {
        self.closed_ms.is_none()
    }
}

/// What to find among findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindingFilter {
    /// At least so bad.
    pub least: Option<Severity>,
    /// Of one rule.
    pub rule: Option<Rule>,
    /// Of one federation.
    pub federation_id: Option<FederationId>,
    /// Of one key.
    pub key_id: Option<KeyId>,
    /// Whether closed ones are found instead of open ones.
    pub closed: bool,
}

/// The days before a key's end at which its owners are told, the farthest first.
pub const LADDER_DAYS: [i64; 5] = [30, 14, 7, 3, 1];

/// The rung of the ladder that stands at a moment: the nearest that was reached; `None` while the end is
/// farther than the first, or behind.
pub fn rung(expires_ms: Millis, now_ms: Millis) -> Option<i64> {
    let left_ms = expires_ms - now_ms;
    LADDER_DAYS.into_iter().rev().find(|days| left_ms <= days * DAY_MS).filter(|_| left_ms > 0)
}

/// How bad a rung is.
pub const fn severity_of_rung(days: i64) -> Severity {
    match days {
        15.. => Severity::Low,
        4..15 => Severity::Medium,
        _ => Severity::High,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::federations::check_reason;

    #[test]
    fn every_rule_has_its_own_word_title_and_reason() {
        let words: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        let titles: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.title()).collect();
        assert_eq!((words.len(), titles.len()), (Rule::ALL.len(), Rule::ALL.len()));
        for rule in Rule::ALL {
            assert_eq!(Rule::parse(rule.as_str()), Some(*rule));
            assert!(rule.why().ends_with('.') && rule.why().len() <= 140, "{}", rule.why());
        }
    }

    #[test]
    fn the_ladder_has_five_rungs_and_each_is_reached_once() {
        let end = 100 * DAY_MS;
        let mut seen = Vec::new();
        for hour in 0..=100 * 24 {
            if let Some(rung) = rung(end, hour * crate::HOUR_MS)
                && seen.last() != Some(&rung)
            {
                seen.push(rung);
            }
        }
        assert_eq!(seen, LADDER_DAYS);
        assert_eq!(rung(end, end), None, "what has ended does not end soon");
        assert_eq!(rung(end, end - 1), Some(1));
        assert_eq!(rung(end, end - 30 * DAY_MS - 1), None);
    }

    #[test]
    fn rungs_grow_worse() {
        let severities = LADDER_DAYS.map(severity_of_rung);
        assert!(severities.is_sorted(), "{severities:?}");
        assert_eq!(severities[4], Severity::High);
    }

    #[test]
    fn closing_wants_a_reason() {
        assert!(check_reason(" x ").is_err());
        assert_eq!(check_reason(" known: drill ").unwrap(), "known: drill");
        assert!(check_reason(&"x".repeat(501)).is_err());
    }
}
