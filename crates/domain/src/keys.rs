//! Provisioning keys: the text that a provider presents, and the states of a key's life.
//!
//! A key reads `kwd_<id>_<secret><checksum>`: 22 base62 digits of the id, 43 of 256 random bits,
//! 6 of a CRC32 over everything before it. The checksum lets a scanner, and Keyward before any
//! look-up, tell a real key from a look-alike without asking anybody. The client secrets and access
//! tokens of OAuth have the same form under a prefix of their own ([`SecretKind`]), and the id in
//! them is that of the same key record.

use serde::{Deserialize, Serialize};

use crate::{FederationId, Millis, Secret, base62, federations::RotationPolicy, ids::KeyId, scopes::Scope};

/// What every key begins with.
pub const KEY_PREFIX: &str = "kwd_";

/// The kinds of secret texts that Keyward gives out. To add one, add a variant: it is then masked
/// wherever a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// A provisioning key, presented with each request.
    Key,
    /// An access token of OAuth, presented with each request until it expires.
    Token,
    /// The secret of an OAuth client, presented at the token endpoint only.
    ClientSecret,
}

impl SecretKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Key, Self::Token, Self::ClientSecret];

    /// What every text of the kind begins with; all are of one length.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Key => KEY_PREFIX,
            Self::Token => "kwt_",
            Self::ClientSecret => "kwc_",
        }
    }
}

/// How long every prefix is.
const PREFIX_LENGTH: usize = KEY_PREFIX.len();

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

/// A key, token or client secret that was read: whose it claims to be, and the whole text to be
/// verified.
pub struct PresentedKey<'a> {
    /// What it says that it is.
    pub kind: SecretKind,
    /// The id of the key in it.
    pub id: KeyId,
    /// The whole text.
    pub text: &'a str,
}

/// Composes a key from its id and 256 random bits.
pub fn compose(id: &KeyId, chance: &[u8; 32]) -> Secret {
    compose_as(SecretKind::Key, id, chance)
}

/// Composes a secret text of a kind from the id of its key and 256 random bits.
pub fn compose_as(kind: SecretKind, id: &KeyId, chance: &[u8; 32]) -> Secret {
    let body = format!("{}{}_{}", kind.prefix(), id.digits(), base62::encode(chance, SECRET_DIGITS));
    let checksum = checksum(&body);
    Secret::new(body + &checksum)
}

/// Reads a key: form and checksum, no look-up.
///
/// # Errors
/// [`NotAKey`]; its text never repeats what was presented.
pub fn parse(text: &str) -> Result<PresentedKey<'_>, NotAKey> {
    parse_as(SecretKind::Key, text)
}

/// Reads a secret text of one kind: form and checksum, no look-up.
///
/// # Errors
/// [`NotAKey`]; its text never repeats what was presented.
pub fn parse_as(kind: SecretKind, text: &str) -> Result<PresentedKey<'_>, NotAKey> {
    let inner = text.strip_prefix(kind.prefix()).ok_or(NotAKey::Form)?;
    if text.len() != KEY_LENGTH || !text.is_ascii() {
        return Err(NotAKey::Form);
    }
    let (digits, rest) = inner.split_once('_').ok_or(NotAKey::Form)?;
    if !base62::is_base62(digits) || !base62::is_base62(rest) {
        return Err(NotAKey::Form);
    }
    let id = KeyId::parse(&format!("{}{digits}", KeyId::PREFIX)).ok_or(NotAKey::Form)?;
    let (body, given) = text.split_at_checked(KEY_LENGTH - CHECKSUM_DIGITS).ok_or(NotAKey::Form)?;
    if checksum(body) == given { Ok(PresentedKey { kind, id, text }) } else { Err(NotAKey::Checksum) }
}

/// Reads what a request of a provider may present: a key or an access token.
///
/// # Errors
/// [`NotAKey`]; its text never repeats what was presented.
pub fn parse_bearer(text: &str) -> Result<PresentedKey<'_>, NotAKey> {
    let kind = if text.starts_with(SecretKind::Token.prefix()) { SecretKind::Token } else { SecretKind::Key };
    parse_as(kind, text)
}

/// Whether a key, token or client secret, whole and with its checksum, stands somewhere in a text.
pub fn is_in(text: &str) -> bool {
    occurrences(text)
        .any(|(at, kind)| text.get(at..at + KEY_LENGTH).is_some_and(|part| parse_as(kind, part).is_ok()))
}

/// Whether something begins like a key, token or client secret somewhere in a text.
pub fn begins_in(text: &str) -> bool {
    occurrences(text).next().is_some()
}

/// A text fit to be kept: whatever begins like a key, token or client secret ends with its prefix.
pub fn masked(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, _)) = occurrences(rest).next() {
        let Some((before, after)) = rest.split_at_checked(at + PREFIX_LENGTH) else { break };
        kept.push_str(before);
        rest =
            after.trim_start_matches(|character: char| character.is_ascii_alphanumeric() || character == '_');
        if rest.len() < after.len() {
            kept.push('…');
        }
    }
    kept + rest
}

/// Where a prefix stands. What all have in common is looked for, so that it is one walk.
fn occurrences(text: &str) -> impl Iterator<Item = (usize, SecretKind)> + '_ {
    text.match_indices("kw").filter_map(|(at, _)| {
        let rest = text.get(at..)?;
        SecretKind::ALL.into_iter().find(|kind| rest.starts_with(kind.prefix())).map(|kind| (at, kind))
    })
}

/// The last four characters, by which people recognise a key.
pub fn last_four(key: &Secret) -> String {
    let text = key.expose();
    text.get(text.len().saturating_sub(4)..).unwrap_or_default().to_owned()
}

fn checksum(body: &str) -> String {
    base62::encode(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS)
}

/// How whoever holds a key proves that it is theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// The key itself goes with each request.
    Static,
    /// An OAuth client signs an assertion with a private key of its own (RFC 7523).
    Assertion,
    /// An OAuth client presents a secret at the token endpoint (RFC 6749 2.3.1).
    Secret,
}

impl Proof {
    /// Every proof, in the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::Static, Self::Assertion, Self::Secret];

    /// The word in forms, addresses and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Assertion => "assertion",
            Self::Secret => "secret",
        }
    }

    /// The words that people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Static => "Static key",
            Self::Assertion => "Signed assertion",
            Self::Secret => "Client secret",
        }
    }

    /// Reads the word of [`Proof::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|proof| proof.as_str() == text)
    }

    /// Whether requests present a short-lived token instead of the key.
    pub const fn is_oauth(self) -> bool {
        match self {
            Self::Static => false,
            Self::Assertion | Self::Secret => true,
        }
    }
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
    /// The last four characters of the key or client secret; of the id when there is neither.
    pub last_four: String,
    /// How whoever holds it proves that.
    pub proof: Proof,
    /// What it may do.
    pub scope: Scope,
    /// What its successor will be allowed to do; `None` is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_scope: Option<Scope>,
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
    /// The name of who holds it, while it is held.
    pub held_by: Option<String>,
    /// Why it is held.
    pub held_reason: Option<String>,
    /// Where its last accepted request came from.
    pub last_used_source: Option<String>,
    /// The user agent of its last accepted request.
    pub last_used_agent: Option<String>,
    /// Whether it is a bait: it opens nothing, and its use is a compromise.
    pub canary: bool,
    /// How many requests were accepted.
    pub uses: i64,
    /// Counts its changes, uses aside.
    pub version: i64,
}

/// The moments of a key's life that decide its state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// When it was issued.
    pub issued_ms: Millis,
    /// When it ends by itself, unless an overlap is open then.
    pub expires_ms: Millis,
    /// By when its overlap with a successor should be over; `None` while there is no overlap. Nothing
    /// ends then: while this is set, the key is accepted until it is retired or revoked.
    pub retires_ms: Option<Millis>,
    /// When it was retired: its successor has taken over.
    pub retired_ms: Option<Millis>,
    /// When it was revoked.
    pub revoked_ms: Option<Millis>,
    /// Since when its requests are answered with "come back later".
    pub held_ms: Option<Millis>,
    /// Its first accepted request, of whatever kind.
    pub first_used_ms: Option<Millis>,
    /// Its last accepted request, of whatever kind.
    pub last_used_ms: Option<Millis>,
    /// Its last connection test.
    pub tested_ms: Option<Millis>,
    /// The first real work that was done with it.
    pub first_work_ms: Option<Millis>,
    /// The last real work that was done with it.
    pub last_work_ms: Option<Millis>,
}

/// The state of a key at a moment. NIST SP 800-57 part 1, 7: active, deactivated, compromised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Accepted, and never yet used.
    Unused,
    /// Accepted and used.
    InUse,
    /// Accepted beside its successor until that has taken over.
    Retiring,
    /// Frozen by a person: known and kept, and answered with "come back later".
    Held,
    /// Its successor has taken over.
    Retired,
    /// Its time is over.
    Expired,
    /// Ended by a person, at once.
    Revoked,
}

impl KeyState {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Unused, Self::InUse, Self::Retiring, Self::Held, Self::Retired, Self::Expired, Self::Revoked];

    /// The word in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::InUse => "in-use",
            Self::Retiring => "retiring",
            Self::Held => "held",
            Self::Retired => "retired",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Reads the word of [`KeyState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether the key has not ended. A held one has not: it opens again when it is released.
    pub const fn is_accepted(self) -> bool {
        match self {
            Self::Unused | Self::InUse | Self::Retiring | Self::Held => true,
            Self::Retired | Self::Expired | Self::Revoked => false,
        }
    }

    /// Whether a request with the key is let in now.
    pub const fn opens(self) -> bool {
        match self {
            Self::Unused | Self::InUse | Self::Retiring => true,
            Self::Held | Self::Retired | Self::Expired | Self::Revoked => false,
        }
    }

    /// The words that people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unused => "Never used",
            Self::InUse => "In use",
            Self::Retiring => "Retiring",
            Self::Held => "Held",
            Self::Retired => "Retired",
            Self::Expired => "Expired",
            Self::Revoked => "Revoked",
        }
    }
}

impl Life {
    /// The life of a key that is issued now and nothing has happened to.
    pub fn new(issued_ms: Millis, expires_ms: Millis) -> Self {
        Self { issued_ms, expires_ms, ..Self::default() }
    }

    /// The state at `now_ms`. What a person or a rotation has ended stays so; an open overlap keeps a
    /// key accepted beyond its time.
    pub const fn state(&self, now_ms: Millis) -> KeyState {
        if self.revoked_ms.is_some() {
            KeyState::Revoked
        } else if self.retired_ms.is_some() {
            KeyState::Retired
        } else if self.held_ms.is_some() {
            // Also beyond its time: whoever works with it waits, and is not told that it is unknown.
            KeyState::Held
        } else if self.retires_ms.is_some() {
            KeyState::Retiring
        } else if now_ms >= self.expires_ms {
            KeyState::Expired
        } else if self.first_used_ms.is_some() {
            KeyState::InUse
        } else {
            KeyState::Unused
        }
    }

    /// The moment from which the key is no longer accepted, whatever ends it; [`Millis::MAX`] while an
    /// overlap is open, which has no end of its own.
    pub fn ends_ms(&self) -> Millis {
        let planned = if self.retires_ms.is_some() { Millis::MAX } else { self.expires_ms };
        [self.retired_ms, self.revoked_ms].into_iter().flatten().fold(planned, Millis::min)
    }

    /// The moment that people are told: the end, or by when an open overlap should be over.
    pub fn planned_end_ms(&self) -> Millis {
        match (self.ends_ms(), self.retires_ms) {
            (Millis::MAX, Some(retires_ms)) => retires_ms,
            (ends_ms, _) => ends_ms,
        }
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
    fn tokens_and_client_secrets_are_masked_like_keys_and_never_taken_for_one() {
        let id = KeyId::new(1_700_000_000_000, [3; 10]);
        let texts = SecretKind::ALL.map(|kind| compose_as(kind, &id, &[9; 32]));
        for (kind, text) in SecretKind::ALL.into_iter().zip(&texts) {
            let text = text.expose();
            assert!(is_in(&format!("kwkw_{text}.")) && begins_in(&text[..4]));
            assert_eq!(masked(&format!("a {text} b")), format!("a {}… b", kind.prefix()));
            for other in SecretKind::ALL {
                assert_eq!(parse_as(other, text).is_ok(), other == kind, "{other:?}");
                // The checksum covers the prefix: exchanging it makes nothing of another kind.
                let changed = format!("{}{}", other.prefix(), &text[4..]);
                assert_eq!(parse_as(other, &changed).is_ok(), other == kind, "{other:?}");
            }
        }
        let bearer = texts.each_ref().map(|text| parse_bearer(text.expose()).ok().map(|read| read.kind));
        assert_eq!(bearer, [Some(SecretKind::Key), Some(SecretKind::Token), None]);
        let all = texts.each_ref().map(Secret::expose).join(" ");
        assert_eq!(masked(&all), "kwd_… kwt_… kwc_…");
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
        retired_ms: None,
        revoked_ms: None,
        held_ms: None,
        first_used_ms: None,
        last_used_ms: None,
        tested_ms: None,
        first_work_ms: None,
        last_work_ms: None,
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
        let held = Life { held_ms: Some(3), ..used };
        check(held, 4, KeyState::Held);
        check(held, 1_000, KeyState::Held);
        check(Life { retires_ms: Some(500), ..held }, 5_000, KeyState::Held);
        let retiring = Life { retires_ms: Some(500), ..used };
        for now_ms in [2, 500, 1_000, 50_000] {
            check(retiring, now_ms, KeyState::Retiring);
        }
        check(Life { retired_ms: Some(600), ..retiring }, 600, KeyState::Retired);
        check(Life { retired_ms: Some(600), held_ms: Some(500), ..retiring }, 600, KeyState::Retired);
        check(Life { revoked_ms: Some(10), retired_ms: Some(600), ..retiring }, 0, KeyState::Revoked);
    }

    #[test]
    fn an_overlap_has_no_end_of_its_own() {
        assert_eq!((LIFE.ends_ms(), LIFE.planned_end_ms()), (1_000, 1_000));
        let retiring = Life { retires_ms: Some(500), ..LIFE };
        assert_eq!((retiring.ends_ms(), retiring.planned_end_ms()), (Millis::MAX, 500));
        let retired = Life { retired_ms: Some(700), ..retiring };
        assert_eq!((retired.ends_ms(), retired.planned_end_ms()), (700, 700));
        assert_eq!(Life { revoked_ms: Some(20), ..retired }.ends_ms(), 20);
    }
}
