//! What the master key is for: sealing records, and hashing provisioning keys.
//!
//! Nothing is encrypted under the master key itself. HKDF-SHA-256 derives from it a key that wraps
//! data keys, a pepper for key hashes, and an id. Each record has a data key of its own
//! (AES-256-GCM, NIST SP 800-38D), wrapped beside it; both seals are bound to table, id, column and
//! version, so that a ciphertext that is moved to another place does not open.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD as BASE64, URL_SAFE_NO_PAD as BASE64_URL},
};
use domain::hex;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Entropy;

/// 256 bits that open everything.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// Takes the bytes into custody.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Where a sealed text belongs; it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row's id.
    pub id: &'a str,
    /// The column.
    pub column: &'a str,
    /// The row's version.
    pub version: i64,
}

impl Place<'_> {
    fn associated_data(&self, purpose: &str) -> Vec<u8> {
        let version = self.version.to_string();
        let mut bytes = Vec::new();
        for part in [purpose, self.table, self.id, self.column, &version] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// A sealed text and its wrapped data key, both base64 without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Nonce and ciphertext.
    pub text: String,
    /// Nonce and wrapped data key.
    pub data_key: String,
}

/// It does not open: another master key, another place, or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed text does not open: it was changed, moved, or sealed under another master key")]
pub struct DoesNotOpen;

/// Reads the text of [`Vault::hash_key`].
pub(crate) fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let mut digest = [0; 32];
    if pairs.len() != digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

/// Keys derived from the master key.
pub struct Vault {
    wrapping: LessSafeKey,
    pepper: hmac::Key,
    /// Derives for each caller the key of its cursors.
    cursors: hmac::Key,
    /// Signs checkpoints of the audit log.
    checkpoints: Ed25519KeyPair,
    master_key_id: String,
}

impl Vault {
    /// Derives the keys.
    ///
    /// # Errors
    /// A sentence when the cryptographic library refuses, which it does only when it is broken.
    pub fn new(master_key: &MasterKey) -> Result<Self, String> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"keyward").extract(&master_key.0);
        let derive = |info: &[u8]| -> Result<Zeroizing<[u8; 32]>, String> {
            let mut bytes = Zeroizing::new([0; 32]);
            prk.expand(&[info], hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(bytes.as_mut()))
                .map_err(|_| "a key could not be derived from the master key".to_owned())?;
            Ok(bytes)
        };
        let id = derive(b"keyward master key id v1")?;
        let wrapping = derive(b"keyward data key wrapping v1")?;
        Ok(Self {
            wrapping: aead_key(&wrapping)?,
            pepper: hmac::Key::new(hmac::HMAC_SHA256, derive(b"keyward key pepper v1")?.as_ref()),
            cursors: hmac::Key::new(hmac::HMAC_SHA256, derive(b"keyward cursors v1")?.as_ref()),
            checkpoints: Ed25519KeyPair::from_seed_unchecked(
                derive(b"keyward audit checkpoints v1")?.as_ref(),
            )
            .map_err(|_| "the key that signs checkpoints was refused".to_owned())?,
            master_key_id: format!("mk_{}", hex(id.get(..8).unwrap_or_default())),
        })
    }

    /// The id of the master key; says which key it is, and nothing about it.
    pub fn master_key_id(&self) -> &str {
        &self.master_key_id
    }

    /// The public key of checkpoints of the audit log. The private one is derived from the master key at each
    /// start, and kept nowhere.
    pub fn checkpoint_key(&self) -> [u8; 32] {
        self.checkpoints.public_key().as_ref().try_into().unwrap_or_default()
    }

    /// Signs the text of a checkpoint (Ed25519, RFC 8032).
    pub(crate) fn sign_checkpoint(&self, text: &str) -> Vec<u8> {
        self.checkpoints.sign(text.as_bytes()).as_ref().to_vec()
    }

    /// The keyed hash of a provisioning key: HMAC-SHA-256 under the pepper, in hexadecimal.
    pub fn hash_key(&self, key: &str) -> String {
        hex(hmac::sign(&self.pepper, key.as_bytes()).as_ref())
    }

    /// Whether a provisioning key has a hash that was read by [`parse_hash`], in a time that does
    /// not depend on where they differ.
    pub(crate) fn is_digest_of(&self, key: &str, digest: &[u8; 32]) -> bool {
        hmac::sign(&self.pepper, key.as_bytes()).as_ref().ct_eq(digest).into()
    }

    /// Whether a provisioning key has a hash, in a time that does not depend on where they differ.
    pub fn is_hash_of(&self, key: &str, hash: &str) -> bool {
        self.hash_key(key).as_bytes().ct_eq(hash.as_bytes()).into()
    }

    /// Seals a text for one place under a new data key.
    ///
    /// # Errors
    /// A sentence when the cryptographic library refuses.
    pub fn seal(&self, entropy: &dyn Entropy, place: Place<'_>, plain: &[u8]) -> Result<Sealed, String> {
        let mut data_key = Zeroizing::new([0; 32]);
        entropy.fill(data_key.as_mut());
        let text = seal(&aead_key(&data_key)?, entropy, &place.associated_data("text"), plain)?;
        let data_key = seal(&self.wrapping, entropy, &place.associated_data("data key"), data_key.as_ref())?;
        Ok(Sealed { text, data_key })
    }

    /// Opens a sealed text at its place.
    ///
    /// # Errors
    /// [`DoesNotOpen`].
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let data_key = open(&self.wrapping, &place.associated_data("data key"), &sealed.data_key)?;
        let data_key: [u8; 32] = data_key.as_slice().try_into().map_err(|_| DoesNotOpen)?;
        let key = aead_key(&Zeroizing::new(data_key)).map_err(|_| DoesNotOpen)?;
        open(&key, &place.associated_data("text"), &sealed.text)
    }
}

/// Cursors (RFC 9865 5) are given away and brought back: nobody else may use one, change one, or learn
/// from it. Each caller has a key of its own (HMAC-SHA-256 over its name), so that even the cursors of
/// years stay far from the 2^32 texts that random nonces allow one AES-GCM key.
impl Vault {
    /// Seals a cursor for a caller and what it asked: unreserved characters of a URI only.
    ///
    /// # Errors
    /// A sentence when the cryptographic library refuses.
    pub fn seal_cursor(
        &self,
        entropy: &dyn Entropy,
        caller: &str,
        asked: &str,
        plain: &[u8],
    ) -> Result<String, String> {
        let key = self.cursor_key(caller).ok_or_else(|| "an AES-256 key was refused".to_owned())?;
        Ok(BASE64_URL.encode(seal_bytes(&key, entropy, asked.as_bytes(), plain)?))
    }

    /// Opens a cursor that a caller brings with what it asks.
    ///
    /// # Errors
    /// [`DoesNotOpen`].
    pub fn open_cursor(
        &self,
        caller: &str,
        asked: &str,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let key = self.cursor_key(caller).ok_or(DoesNotOpen)?;
        open_bytes(&key, asked.as_bytes(), &BASE64_URL.decode(sealed).map_err(|_| DoesNotOpen)?)
    }

    fn cursor_key(&self, caller: &str) -> Option<LessSafeKey> {
        let tag = hmac::sign(&self.cursors, caller.as_bytes());
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(tag.as_ref().try_into().ok()?);
        aead_key(&bytes).ok()
    }
}

fn aead_key(bytes: &[u8; 32]) -> Result<LessSafeKey, String> {
    UnboundKey::new(&AES_256_GCM, bytes)
        .map(LessSafeKey::new)
        .map_err(|_| "an AES-256 key was refused".to_owned())
}

fn seal(key: &LessSafeKey, entropy: &dyn Entropy, aad: &[u8], plain: &[u8]) -> Result<String, String> {
    Ok(BASE64.encode(seal_bytes(key, entropy, aad, plain)?))
}

fn seal_bytes(key: &LessSafeKey, entropy: &dyn Entropy, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, String> {
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce);
    let mut bytes = plain.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut bytes)
        .map_err(|_| "a text could not be sealed".to_owned())?;
    Ok([nonce.as_slice(), &bytes].concat())
}

fn open(key: &LessSafeKey, aad: &[u8], sealed: &str) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    open_bytes(key, aad, &BASE64.decode(sealed).map_err(|_| DoesNotOpen)?)
}

fn open_bytes(key: &LessSafeKey, aad: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let (nonce, cipher) = bytes.split_at_checked(NONCE_LEN).ok_or(DoesNotOpen)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
    let mut bytes = Zeroizing::new(cipher.to_vec());
    let length = key.open_in_place(nonce, Aad::from(aad), &mut bytes).map_err(|_| DoesNotOpen)?.len();
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    struct Counting(AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    const PLACE: Place<'_> = Place { table: "sessions", id: "a", column: "sealed", version: 1 };

    fn vault(byte: u8) -> Vault {
        Vault::new(&MasterKey::new([byte; 32])).unwrap()
    }

    #[test]
    fn a_sealed_text_opens_at_its_place() {
        let sealed = vault(1).seal(&Counting(AtomicU8::new(0)), PLACE, b"text").unwrap();
        assert_eq!(vault(1).open(PLACE, &sealed).unwrap().as_slice(), b"text");
    }

    #[test]
    fn it_opens_nowhere_else_and_under_no_other_master_key() {
        let sealed = vault(1).seal(&Counting(AtomicU8::new(0)), PLACE, b"text").unwrap();
        let places = [
            Place { table: "outbox", ..PLACE },
            Place { id: "b", ..PLACE },
            Place { column: "data", ..PLACE },
            Place { version: 2, ..PLACE },
        ];
        for place in places {
            assert!(vault(1).open(place, &sealed).is_err(), "{place:?}");
        }
        assert!(vault(2).open(PLACE, &sealed).is_err());
    }

    #[test]
    fn swapped_cut_and_flipped_texts_do_not_open() {
        let entropy = Counting(AtomicU8::new(0));
        let one = vault(1).seal(&entropy, PLACE, b"one").unwrap();
        let two = vault(1).seal(&entropy, PLACE, b"two").unwrap();
        let check = |sealed: Sealed| assert!(vault(1).open(PLACE, &sealed).is_err());
        check(Sealed { text: one.text.clone(), data_key: two.data_key.clone() });
        check(Sealed { text: one.text[..one.text.len() - 2].to_owned(), ..one.clone() });
        check(Sealed { text: String::new(), ..one.clone() });
        for position in 0..one.text.len() {
            let mut bytes = one.text.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            check(Sealed { text: String::from_utf8(bytes).unwrap(), ..one.clone() });
        }
    }

    #[test]
    fn a_cursor_opens_for_its_caller_and_query_only_and_is_unreserved_text() {
        let entropy = Counting(AtomicU8::new(251));
        let sealed = vault(1).seal_cursor(&entropy, "a", "q", b"place").unwrap();
        assert!(
            sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)),
            "{sealed}"
        );
        assert_eq!(vault(1).open_cursor("a", "q", &sealed).unwrap().as_slice(), b"place");
        let check = |vault: &Vault, caller: &str, asked: &str, sealed: &str| {
            assert!(vault.open_cursor(caller, asked, sealed).is_err(), "{caller} {asked} {sealed}");
        };
        check(&vault(1), "b", "q", &sealed);
        check(&vault(1), "a", "r", &sealed);
        check(&vault(2), "a", "q", &sealed);
        for position in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            check(&vault(1), "a", "q", std::str::from_utf8(&bytes).unwrap());
        }
        for text in ["", "A", "AAAA", "not+base64", "ä"] {
            check(&vault(1), "a", "q", text);
        }
    }

    #[test]
    fn a_hash_verifies_only_its_key_under_its_pepper() {
        let hash = vault(1).hash_key("kwd_a");
        assert!(vault(1).is_hash_of("kwd_a", &hash));
        assert!(!vault(1).is_hash_of("kwd_b", &hash));
        assert!(!vault(2).is_hash_of("kwd_a", &hash));
    }

    #[test]
    fn the_id_of_a_master_key_is_its_own_and_stays() {
        assert_eq!(vault(1).master_key_id(), vault(1).master_key_id());
        assert_ne!(vault(1).master_key_id(), vault(2).master_key_id());
    }
}
