//! Usage records: one for every request that presented a key, with the decision and its reason.
//!
//! Never a body, never a secret.

use serde::{Deserialize, Serialize};

use crate::{FederationId, KeyId, Millis, RequestId, keys};

/// What was decided on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The key was accepted and its scope allowed the operation.
    Allowed,
    /// The key was accepted, the operation was not: scope, network, paused federation.
    Denied,
    /// The key was not accepted: unknown, revoked, expired, another federation's.
    Refused,
}

impl Decision {
    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Refused => "refused",
        }
    }

    /// Reads the word of [`Decision::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Allowed, Self::Denied, Self::Refused].into_iter().find(|d| d.as_str() == text)
    }
}

/// One request that presented a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// The request; unique, and in order of time.
    pub request_id: RequestId,
    /// When it arrived.
    pub at_ms: Millis,
    /// The federation of the key; `None` for a key that is not ours.
    pub federation_id: Option<FederationId>,
    /// The key, or the id that an unknown key claimed.
    pub key_id: KeyId,
    /// HTTP method.
    pub method: String,
    /// `Users`, `Groups`, or the discovery endpoint.
    pub resource_type: String,
    /// The resource, when the path names one or one was created.
    pub resource_id: Option<String>,
    /// HTTP status of the answer.
    pub status: u16,
    /// What was decided.
    pub decision: Decision,
    /// Why it was not allowed, or what failed.
    pub reason: Option<String>,
    /// From arrival to the decision being written, in microseconds.
    pub duration_us: i64,
    /// Source address, through trusted proxies only.
    pub source: Option<String>,
    /// User agent, at most 200 characters, control characters removed.
    pub user_agent: Option<String>,
    /// What was understood of it although no standard says so, in words of the SCIM edge.
    #[serde(default)]
    pub tolerated: Vec<String>,
}

/// Makes a user agent fit to be kept: at most 200 characters, no control characters.
pub fn clean_user_agent(text: &str) -> String {
    clean(text, 200)
}

/// Makes what a client sent fit for a record: at most `limit` characters, no control characters, no
/// key.
pub fn clean(text: &str, limit: usize) -> String {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte);
    if text.len() <= limit && text.bytes().all(is_plain) && !keys::begins_in(text) {
        return text.to_owned();
    }
    let text: String = keys::masked(text).chars().filter(|character| !character.is_control()).collect();
    match text.char_indices().nth(limit) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_short_and_shows_no_key() {
        assert_eq!(clean("a\0b\r\nc", 10), "abc");
        assert_eq!(clean("éééé", 3), "ééé");
        assert_eq!(clean("at kwd_0123/Users", 100), "at kwd_…/Users");
    }
}
