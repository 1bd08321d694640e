//! Channels: where the people who run Keyward are told; and how often a message is tried.

use serde::{Deserialize, Serialize};

use crate::{ChannelId, HOUR_MS, Invalid, Millis, findings::Severity};

const MINUTE_MS: Millis = 60_000;

/// How people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// By mail.
    Mail,
    /// By a signed webhook.
    Webhook,
}

impl ChannelKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Mail, Self::Webhook];

    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Mail => "Mail",
            Self::Webhook => "Webhook",
        }
    }

    /// Reads the word of [`ChannelKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What is not secret of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSettings {
    /// Addresses of a mail channel.
    #[serde(default)]
    pub to: Vec<String>,
    /// The address of a webhook.
    #[serde(default)]
    pub url: String,
    /// The mildest finding that is told here.
    pub least: Severity,
}

/// What became of the last message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastResult {
    /// When.
    pub at_ms: Millis,
    /// What went wrong; `None` when it arrived.
    pub fault: Option<String>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// How people are told.
    pub kind: ChannelKind,
    /// The name that people read.
    pub name: String,
    /// What is not secret of it.
    pub settings: ChannelSettings,
    /// What became of its last message.
    pub last_result: Option<LastResult>,
    /// Counts its changes.
    pub version: i64,
    /// Its last change.
    pub updated_ms: Millis,
}

/// How long to wait after an attempt that failed, the first being 1; `None` when it was the last.
pub const fn wait_after(attempt: i64) -> Option<Millis> {
    match attempt {
        ..=1 => Some(10_000),
        2 => Some(MINUTE_MS),
        3 => Some(5 * MINUTE_MS),
        4 => Some(15 * MINUTE_MS),
        5 => Some(HOUR_MS),
        6 => Some(3 * HOUR_MS),
        7 => Some(6 * HOUR_MS),
        _ => None,
    }
}

/// After how many failures in a row a channel is a finding.
pub const FAILURES_TOLD: i64 = 3;

/// Reads a mail address: one `@`, a host with a dot or `localhost`, nothing that a header could be broken
/// with. Folded, so that two spellings of a person are one.
pub fn mail_address(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, host) = text.rsplit_once('@')?;
    let is_local = !local.is_empty()
        && local.len() <= 64
        && local.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte));
    let is_host = (host.contains('.') || host == "localhost")
        && host.len() <= 253
        && !host.starts_with(['.', '-'])
        && !host.ends_with(['.', '-'])
        && !host.contains("..")
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    (is_local && is_host).then(|| text.to_ascii_lowercase())
}

/// Reads the addresses of a mail channel from lines or commas: 1 to 20.
///
/// # Errors
/// [`Invalid`] on `to`.
pub fn parse_addresses(text: &str) -> Result<Vec<String>, Invalid> {
    let mut addresses = Vec::new();
    for part in text.split(['\n', ',']).map(str::trim).filter(|part| !part.is_empty()) {
        let address = mail_address(part)
            .ok_or_else(|| Invalid::new("to", format!("{part:?} is not a mail address")))?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.len() {
        1..=20 => Ok(addresses),
        0 => Err(Invalid::new("to", "at least one mail address is expected")),
        many => Err(Invalid::new("to", format!("at most 20 addresses are allowed, not {many}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_tried_eight_times_in_half_a_day_and_then_given_up() {
        let waits: Vec<Millis> = (1..).map_while(wait_after).collect();
        assert_eq!(waits.len(), 7);
        assert!(waits.is_sorted());
        assert!(waits.iter().sum::<Millis>() < 12 * HOUR_MS);
    }

    #[test]
    fn addresses_hold_nothing_that_breaks_a_header() {
        assert_eq!(mail_address(" Ana.B+x@Example.COM ").as_deref(), Some("ana.b+x@example.com"));
        assert_eq!(mail_address("root@localhost").as_deref(), Some("root@localhost"));
        for text in [
            "",
            "ana",
            "@example.com",
            "a@b",
            "a b@example.com",
            "a@example.com\r\nBcc: c@d.e",
            "a@b..c",
            "<a@b.c>",
            "a@b@c d.e",
        ] {
            assert_eq!(mail_address(text), None, "{text:?}");
        }
        assert_eq!(parse_addresses("a@b.c, A@B.C\nd@e.f").unwrap(), ["a@b.c", "d@e.f"]);
        assert!(parse_addresses("").is_err() && parse_addresses("a@b.c, nobody").is_err());
    }
}
