//! Identifiers: newtypes over text, UUIDv7 inside, each with its own prefix.
//!
//! The prefix keeps the namespaces disjoint: the id of a federation can never be taken for the id
//! of a key, nor for anything that a SCIM client wrote. SCIM resources carry the plain UUID text,
//! because clients expect one. Made from a time and ten random bytes that the caller brings.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Builder;

use crate::{Millis, base62};

/// Random bytes that an id takes beside its time.
pub type IdChance = [u8; 10];

fn uuid_v7(at_ms: Millis, chance: IdChance) -> uuid::Uuid {
    let millis = u64::try_from(at_ms).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &chance).into_uuid()
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// What every such id begins with.
            pub const PREFIX: &str = $prefix;

            /// Makes the id of something that comes into being at `at_ms`.
            pub fn new(at_ms: Millis, chance: IdChance) -> Self {
                let digits = base62::encode(uuid_v7(at_ms, chance).as_bytes(), 22);
                Self(format!("{}{digits}", Self::PREFIX))
            }

            /// Reads an id; `None` when the prefix, length or alphabet is wrong.
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.strip_prefix(Self::PREFIX)?;
                (digits.len() == 22 && base62::is_base62(digits)).then(|| Self(text.to_owned()))
            }

            /// The id as text, prefix included.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// When it was made, as its first 48 bits say.
            pub fn made_ms(&self) -> Millis {
                let number = base62::decode(self.digits());
                Millis::try_from(number >> 80).unwrap_or(Millis::MAX)
            }

            /// The id without its prefix: 22 base62 digits.
            pub fn digits(&self) -> &str {
                self.0.get(Self::PREFIX.len()..).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text)
                    .ok_or_else(|| format!("{text:?} is not an id that begins with {:?}", Self::PREFIX))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

prefixed_id!(
    /// A federation, `fed_…`.
    FederationId,
    "fed_"
);
prefixed_id!(
    /// A provisioning key, `key_…`; the digits also stand in the key itself.
    KeyId,
    "key_"
);
prefixed_id!(
    /// One HTTP request, `req_…`; returned as `x-request-id` and kept in every record it caused.
    RequestId,
    "req_"
);
prefixed_id!(
    /// A rotation, `rot_…`.
    RotationId,
    "rot_"
);
prefixed_id!(
    /// An exception from a rotation policy, `exc_…`.
    ExceptionId,
    "exc_"
);
prefixed_id!(
    /// A place where the successors of a federation's keys are brought, `tgt_…`.
    TargetId,
    "tgt_"
);
prefixed_id!(
    /// One bringing of one secret, `dlv_…`.
    DeliveryId,
    "dlv_"
);
prefixed_id!(
    /// A link for one person, opened once, `hnd_…`.
    HandOffId,
    "hnd_"
);
prefixed_id!(
    /// A finding, `fnd_…`.
    FindingId,
    "fnd_"
);
prefixed_id!(
    /// A case, `case_…`.
    CaseId,
    "case_"
);
prefixed_id!(
    /// An operation that a brake holds, `hld_…`.
    HeldId,
    "hld_"
);
prefixed_id!(
    /// A maintenance window, `win_…`.
    WindowId,
    "win_"
);
prefixed_id!(
    /// A channel on which people are told, `chn_…`.
    ChannelId,
    "chn_"
);
prefixed_id!(
    /// A mute of findings, `mut_…`.
    MuteId,
    "mut_"
);

prefixed_id!(
    /// A change in the journal, `jrn_…`; in order of time.
    JournalId,
    "jrn_"
);
prefixed_id!(
    /// The taking back of changes, `undo_…`.
    UndoId,
    "undo_"
);
prefixed_id!(
    /// What somebody signed for a period, `att_…`.
    AttestationId,
    "att_"
);

/// The id of a SCIM resource: a UUIDv7 in its usual text, made by the server, never by a client
/// (RFC 7643 3.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(String);

impl ResourceId {
    /// Makes the id of a resource created at `at_ms`.
    pub fn new(at_ms: Millis, chance: IdChance) -> Self {
        Self(uuid_v7(at_ms, chance).to_string())
    }

    /// The text that no id made at `at_ms` or later stands before, and every earlier one does: the
    /// order of ids is that of creation.
    pub fn floor(at_ms: Millis) -> String {
        // 48 bits, as a UUIDv7 begins.
        let millis = u64::try_from(at_ms).unwrap_or(0).min(0xFFFF_FFFF_FFFF);
        format!("{:08x}-{:04x}", millis >> 16, millis & 0xFFFF)
    }

    /// Reads an id; `None` when it is not the lower-case hyphenated text of a UUID.
    pub fn parse(text: &str) -> Option<Self> {
        let uuid = uuid::Uuid::try_parse(text).ok()?;
        (uuid.to_string() == text).then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_when_it_was_made() {
        for at_ms in [0, 1, 1_767_225_600_000, (1 << 48) - 1] {
            assert_eq!(RequestId::new(at_ms, [255; 10]).made_ms(), at_ms);
        }
        assert!(RequestId::parse(&format!("req_{}", "z".repeat(22))).is_some_and(|id| id.made_ms() > 0));
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let earlier = FederationId::new(1_700_000_000_000, [255; 10]);
        let later = FederationId::new(1_700_000_000_001, [0; 10]);
        assert!(earlier < later);
    }

    #[test]
    fn ids_of_other_kinds_are_refused() {
        let key = KeyId::new(1_700_000_000_000, [7; 10]);
        assert_eq!(FederationId::parse(key.as_str()), None);
        assert_eq!(KeyId::parse(key.as_str()), Some(key));
        for text in ["", "fed_", "fed_1", "fed_0000000000000000000000_", "FED_0000000000000000000000"] {
            assert_eq!(FederationId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ids_stand_on_the_side_of_a_time_that_they_were_made_on() {
        let at_ms = 1_700_000_000_000;
        for chance in [[0; 10], [255; 10]] {
            assert!(ResourceId::new(at_ms - 1, chance).as_str() < ResourceId::floor(at_ms).as_str());
            assert!(ResourceId::new(at_ms, chance).as_str() > ResourceId::floor(at_ms).as_str());
        }
        assert!(ResourceId::floor(i64::MIN) < ResourceId::floor(i64::MAX));
    }

    #[test]
    fn resource_ids_are_canonical_uuids_only() {
        let id = ResourceId::new(1_700_000_000_000, [7; 10]);
        assert_eq!(ResourceId::parse(id.as_str()), Some(id.clone()));
        for text in ["1", "0", "admin", "", &id.as_str().to_uppercase(), &id.as_str().replace('-', "")] {
            assert_eq!(ResourceId::parse(text), None, "{text}");
        }
    }
}
