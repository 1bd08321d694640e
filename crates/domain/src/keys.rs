//! Provisioning keys: the text that a provider presents, and the states of a key's life.
//!
//! A key reads `kwd_<id>_<secret><checksum>`: 22 base62 digits of the id, 43 of 256 random bits,
//! 6 of a CRC32 over everything before it. The checksum lets a scanner, and Keyward before any
//! look-up, tell a real key from a look-alike without asking anybody.

use serde::{Deserialize, Serialize};

use crate::{FederationId, Millis, Secret, base62, federations::RotationPolicy, ids::KeyId, scopes::Scope};

/// What every key begins with.
pub const KEY_PREFIX: &str = "kwd_";

const SECRET_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 6;
const KEY_LENGTH: usize = 4 + 22 + 1 + SECRET_DIGITS + CHECKSUM_DIGITS;

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// The prefix, length or alphabet is wrong.
    #[error("not of the form kwd_<id>_<secret><checksum>")]
    Form,
    /// The form is right and the checksum is not: a typing error or a look-alike.
    #[error("the checksum does not fit: mistyped, cut or invented")]
    Checksum,
}

/// A key that was read: whose it claims to be, and the whole text to be verified.
pub struct PresentedKey<'a> {
    /// The id in the key.
    pub id: KeyId,
    /// The whole key.
    pub text: &'a str,
}

/// Composes a key from its id and 256 random bits.
pub fn compose(id: &KeyId, chance: &[u8; 32]) -> Secret {
    let body = format!("{KEY_PREFIX}{}_{}", id.digits(), base62::encode(chance, SECRET_DIGITS));
    let checksum = checksum(&body);
    Secret::new(body + &checksum)
}

/// Reads a key: form and checksum, no look-up.
///
/// # Errors
/// [`NotAKey`]; its text never repeats what was presented.
pub fn parse(text: &str) -> Result<PresentedKey<'_>, NotAKey> {
    let inner = text.strip_prefix(KEY_PREFIX).ok_or(NotAKey::Form)?;
    if text.len() != KEY_LENGTH || !text.is_ascii() {
        return Err(NotAKey::Form);
    }
    let (digits, rest) = inner.split_once('_').ok_or(NotAKey::Form)?;
    if !base62::is_base62(digits) || !base62::is_base62(rest) {
        return Err(NotAKey::Form);
    }
    let id = KeyId::parse(&format!("{}{digits}", KeyId::PREFIX)).ok_or(NotAKey::Form)?;
    let (body, given) = text.split_at_checked(KEY_LENGTH - CHECKSUM_DIGITS).ok_or(NotAKey::Form)?;
    if checksum(body) == given { Ok(PresentedKey { id, text }) } else { Err(NotAKey::Checksum) }
}

/// Whether a key, whole and with its checksum, stands somewhere in a text.
pub fn is_in(text: &str) -> bool {
    occurrences(text).any(|at| text.get(at..at + KEY_LENGTH).is_some_and(|part| parse(part).is_ok()))
}

/// A text fit to be kept: whatever begins like a key ends with its prefix.
pub fn masked(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(KEY_PREFIX) {
        kept.push_str(before);
        kept.push_str(KEY_PREFIX);
        rest =
            after.trim_start_matches(|character: char| character.is_ascii_alphanumeric() || character == '_');
        if rest.len() < after.len() {
            kept.push('…');
        }
    }
    kept + rest
}

fn occurrences(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.match_indices(KEY_PREFIX).map(|(at, _)| at)
}

/// The last four characters, by which people recognise a key.
pub fn last_four(key: &Secret) -> String {
    let text = key.expose();
    text.get(text.len().saturating_sub(4)..).unwrap_or_default().to_owned()
}

fn checksum(body: &str) -> String {
    base62::encode(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS)
}

/// A provisioning key: everything but its secret, which nobody keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Made by the server; its digits stand in the key itself.
    pub id: KeyId,
    /// The federation that it opens.
    pub federation_id: FederationId,
    /// The name that people read, unique among the accepted keys of its federation.
    pub name: String,
    /// The last four characters of the key.
    pub last_four: String,
    /// What it may do.
    pub scope: Scope,
    /// Why it has the full directory, when it has.
    pub justification: Option<String>,
    /// Its moments.
    pub life: Life,
    /// The key that it replaces.
    pub predecessor_id: Option<KeyId>,
    /// The key that replaces it.
    pub successor_id: Option<KeyId>,
    /// The name of who issued it.
    pub issued_by: String,
    /// The name of who revoked it.
    pub revoked_by: Option<String>,
    /// Where its last accepted request came from.
    pub last_used_source: Option<String>,
    /// How many requests were accepted.
    pub uses: i64,
    /// Counts its changes, uses aside.
    pub version: i64,
}

/// The moments of a key's life that decide its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// When it was issued.
    pub issued_ms: Millis,
    /// When it ends by itself.
    pub expires_ms: Millis,
    /// When its overlap with a successor ends; `None` while it has no successor.
    pub retires_ms: Option<Millis>,
    /// When it was revoked.
    pub revoked_ms: Option<Millis>,
    /// Its first accepted request.
    pub first_used_ms: Option<Millis>,
    /// Its last accepted request.
    pub last_used_ms: Option<Millis>,
}

/// The state of a key at a moment. NIST SP 800-57 part 1, 7: active, deactivated, compromised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Accepted, and never yet used.
    Unused,
    /// Accepted and used.
    InUse,
    /// Accepted beside its successor until the overlap ends.
    Retiring,
    /// The overlap has ended.
    Retired,
    /// Its time is over.
    Expired,
    /// Ended by a person, at once.
    Revoked,
}

impl KeyState {
    /// Whether the key opens anything.
    pub const fn is_accepted(self) -> bool {
        match self {
            Self::Unused | Self::InUse | Self::Retiring => true,
            Self::Retired | Self::Expired | Self::Revoked => false,
        }
    }

    /// The words that people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unused => "Never used",
            Self::InUse => "In use",
            Self::Retiring => "Retiring",
            Self::Retired => "Retired",
            Self::Expired => "Expired",
            Self::Revoked => "Revoked",
        }
    }
}

impl Life {
    /// The state at `now_ms`. Revoked wins, then the earlier of expiry and the overlap's end.
    pub fn state(&self, now_ms: Millis) -> KeyState {
        if self.revoked_ms.is_some() {
            KeyState::Revoked
        } else if self.retires_ms.is_some_and(|at| now_ms >= at && at <= self.expires_ms) {
            KeyState::Retired
        } else if now_ms >= self.expires_ms {
            KeyState::Expired
        } else if self.retires_ms.is_some() {
            KeyState::Retiring
        } else if self.first_used_ms.is_some() {
            KeyState::InUse
        } else {
            KeyState::Unused
        }
    }

    /// The moment after which the key is no longer accepted, whatever ends it.
    pub fn ends_ms(&self) -> Millis {
        let planned = self.retires_ms.map_or(self.expires_ms, |at| at.min(self.expires_ms));
        self.revoked_ms.map_or(planned, |at| at.min(planned))
    }

    /// Whether the end is near enough for a warning by the policy.
    pub fn ends_soon(&self, policy: RotationPolicy, now_ms: Millis) -> bool {
        self.state(now_ms).is_accepted()
            && self.retires_ms.is_none()
            && self.expires_ms - now_ms <= policy.warn_ms()
    }

    /// Whether the key, accepted today, is older than the policy allows.
    pub fn is_over_age(&self, policy: RotationPolicy, now_ms: Millis) -> bool {
        self.state(now_ms).is_accepted() && now_ms - self.issued_ms > policy.max_age_ms()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> Secret {
        compose(&KeyId::new(1_700_000_000_000, [3; 10]), &[9; 32])
    }

    #[test]
    fn a_composed_key_reads_back() {
        let id = KeyId::new(1_700_000_000_000, [3; 10]);
        let key = key();
        assert_eq!(key.expose().len(), KEY_LENGTH);
        assert_eq!(parse(key.expose()).ok().map(|k| k.id), Some(id));
        assert_eq!(last_four(&key), key.expose()[KEY_LENGTH - 4..]);
    }

    #[test]
    fn a_key_is_found_and_masked_wherever_it_stands() {
        let key = key();
        let text = format!("kwd_ and \"{}\", then kwd_x", key.expose());
        assert!(is_in(&text));
        assert_eq!(masked(&text), "kwd_ and \"kwd_…\", then kwd_…");
        assert!(!is_in(&masked(&text)));
        let cut = &key.expose()[..KEY_LENGTH - 1];
        assert!(!is_in(cut) && !is_in("kwd_é") && !is_in(""));
        assert_eq!(masked("nothing"), "nothing");
    }

    #[test]
    fn every_single_character_edit_is_refused() {
        let key = key();
        let text = key.expose();
        for position in 0..text.len() {
            for replacement in "0aZ_-é".chars() {
                let mut edited: String = text[..position].to_owned();
                edited.push(replacement);
                edited.push_str(&text[position + 1..]);
                if edited != text {
                    assert!(parse(&edited).is_err(), "{position} {replacement}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,120}") {
            let _ = parse(&text);
        }

        #[test]
        fn every_key_reads_back(at in 0_i64..4_000_000_000_000, a in any::<[u8; 10]>(), b in any::<[u8; 32]>()) {
            let id = KeyId::new(at, a);
            let key = compose(&id, &b);
            prop_assert_eq!(parse(key.expose()).map(|k| k.id).ok(), Some(id));
        }
    }

    const LIFE: Life = Life {
        issued_ms: 0,
        expires_ms: 1_000,
        retires_ms: None,
        revoked_ms: None,
        first_used_ms: None,
        last_used_ms: None,
    };

    #[test]
    fn states_follow_the_moments() {
        let check =
            |life: Life, now_ms, expect| assert_eq!(life.state(now_ms), expect, "{life:?} at {now_ms}");
        check(LIFE, 0, KeyState::Unused);
        check(LIFE, 999, KeyState::Unused);
        check(LIFE, 1_000, KeyState::Expired);
        let used = Life { first_used_ms: Some(1), ..LIFE };
        check(used, 2, KeyState::InUse);
        let retiring = Life { retires_ms: Some(500), ..used };
        check(retiring, 499, KeyState::Retiring);
        check(retiring, 500, KeyState::Retired);
        check(retiring, 5_000, KeyState::Retired);
        let late = Life { retires_ms: Some(5_000), ..used };
        check(late, 1_000, KeyState::Expired);
        let revoked = Life { revoked_ms: Some(10), ..retiring };
        check(revoked, 0, KeyState::Revoked);
    }

    #[test]
    fn the_end_is_the_earliest_of_all() {
        assert_eq!(LIFE.ends_ms(), 1_000);
        assert_eq!(Life { retires_ms: Some(500), ..LIFE }.ends_ms(), 500);
        assert_eq!(Life { retires_ms: Some(500), revoked_ms: Some(20), ..LIFE }.ends_ms(), 20);
    }
}
