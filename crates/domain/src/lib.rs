//! Keyward's rules on values.
//!
//! Whatever can be decided from values that the caller already holds is decided here: whether a
//! key is well formed, whether a scope admits an operation, what state a key is in at a moment,
//! whether an audit chain is whole. No I/O, no clock, no chance, no SQL, no HTTP, so that it also
//! runs in the browser. Time comes in as milliseconds since 1970, chance as bytes.
//!
//! To add a noun, add one file named after it, and the same file name in `store`, `ops` and `app`.

mod base62;
pub mod ids;
pub mod journal;
pub mod json;

pub mod deliveries;
pub mod federations;
pub mod keys;
pub mod oauth;
pub mod rotations;
pub mod scopes;
pub mod secret;
pub mod upstreams;

pub mod behaviour;
pub mod brakes;
pub mod cases;
pub mod channels;
pub mod findings;
pub mod guides;
pub mod hand_offs;

pub mod admins;
pub mod audit;
pub mod compliance;
pub mod exports;
pub mod usage;

pub use ids::{
    AttestationId, CaseId, ChannelId, DeliveryId, ExceptionId, FederationId, FindingId, HandOffId, HeldId,
    IdChance, JournalId, KeyId, MuteId, RequestId, ResourceId, RotationId, TargetId, UndoId, WindowId,
};
pub use secret::Secret;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// One hour in milliseconds.
pub const HOUR_MS: Millis = 3_600_000;

/// One day in milliseconds.
pub const DAY_MS: Millis = 24 * HOUR_MS;

/// Bytes in lower-case hexadecimal, two digits each.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 });
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
        text
    })
}

/// A value that cannot be accepted, in the words that the person who sent it reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// The field as the form or the API names it.
    pub field: String,
    /// Which value, and what was expected.
    pub message: String,
}

impl Invalid {
    /// Says that `field` cannot be accepted, and why.
    pub fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_byte_is_two_lower_case_digits() {
        assert_eq!(super::hex(&[0, 0x0f, 0xab, 0xff]), "000fabff");
        assert_eq!(super::hex(&[]), "");
    }
}
