//! Usage records: one for every request that presented a key, with the decision and its reason.
//!
//! Never a body, never a secret.

pub mod filter;
pub mod seal;

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
    /// Whether it was real work of the consumer, and not a connection test: [`is_work`].
    #[serde(default)]
    pub is_work: bool,
    /// The attributes that a change wrote: top-level names, the URNs of extensions, and `members`.
    #[serde(default)]
    pub attributes: Vec<String>,
    /// What it came to; not kept.
    #[serde(skip)]
    pub facts: Facts,
}

impl UsageRecord {
    /// The record of a request that wrote these attributes.
    #[must_use]
    pub fn writing(self, attributes: &[String]) -> Self {
        Self { attributes: attributes.to_vec(), ..self }
    }
}

/// What a request came to beyond what is kept of it: what is expected is held against it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether it deactivated a user.
    pub deactivates: bool,
    /// How many members it took out of groups.
    pub left: u32,
    /// What it asked for and found, when it was a list.
    pub list: Option<ListSeen>,
    /// Whether what its path names is a canary.
    pub is_canary: bool,
}

/// What a list asked for and found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListSeen {
    /// Whether it had a filter.
    pub is_filtered: bool,
    /// How many it asked for at most.
    pub wanted: u64,
    /// How many it was given; the directory may hold more.
    pub given: u64,
}

/// A list without filter that asks for so few is a probe: Okta asks for the first two, others for the first.
const PROBED: u64 = 2;

/// Whether an answered request shows that its consumer works with the key, and not only that it can.
///
/// Connection tests are lists: Entra ID looks for a random name, Okta for the first user or two. So
/// neither a filter that found nothing is work, nor a list without filter that asked for so few or was
/// given one at most, however large the directory is. Of what failed, only what failed on its merits is:
/// the operation was a real one.
pub const fn is_work(decision: Decision, status: u16, list: Option<ListSeen>) -> bool {
    let is_let_in = match decision {
        Decision::Allowed => true,
        Decision::Denied | Decision::Refused => false,
    };
    let is_real = matches!(status, 200..=299 | 404 | 409 | 412);
    let is_test = match list {
        None => false,
        Some(ListSeen { is_filtered: true, given, .. }) => given == 0,
        Some(ListSeen { is_filtered: false, wanted, given }) => wanted <= PROBED || given <= 1,
    };
    is_let_in && is_real && !is_test
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
    fn a_connection_test_is_not_work() {
        let of = |is_filtered, wanted, given| Some(ListSeen { is_filtered, wanted, given });
        let list = |is_filtered, given| of(is_filtered, 100, given);
        let tests = [
            (200, list(true, 0)),
            (200, list(false, 0)),
            (200, list(false, 1)),
            // The first one or two of a large directory.
            (200, of(false, 1, 1)),
            (200, of(false, 2, 2)),
            (200, of(false, 0, 0)),
            (200, of(true, 0, 0)),
            (400, None),
            (500, None),
        ];
        for (status, list) in tests {
            assert!(!is_work(Decision::Allowed, status, list), "{status} {list:?}");
        }
        let work = [(200, None), (201, None), (204, None), (404, None), (409, None), (412, None)];
        for (status, list) in work.into_iter().chain([
            (200, list(true, 1)),
            (200, list(false, 2)),
            (200, of(true, 1, 1)),
            (200, of(false, 3, 3)),
        ]) {
            assert!(is_work(Decision::Allowed, status, list), "{status} {list:?}");
            assert!(!is_work(Decision::Denied, status, list) && !is_work(Decision::Refused, status, list));
        }
    }

    #[test]
    fn what_is_kept_is_short_and_shows_no_key() {
        assert_eq!(clean("a\0b\r\nc", 10), "abc");
        assert_eq!(clean("éééé", 3), "ééé");
        assert_eq!(clean("at kwd_0123/Users", 100), "at kwd_…/Users");
    }
}
