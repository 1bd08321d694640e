//! Signed notes as C2SP has them (<https://c2sp.org/signed-note>): a text, and who signed it with Ed25519.
//!
//! A note is a text that ends in a newline, an empty line, and lines `— name base64(key id, signature)`. A
//! verifier has a key as `name+id+base64(1, public key)`. Signatures of others are left alone, so that a
//! witness may add its own.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::hex;

/// The byte that says Ed25519.
const ED25519: u8 = 1;

/// The most signatures that are read.
const SIGNATURES: usize = 64;

/// Why a text is no note, or no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteFault {
    /// It is no signed note.
    #[error("it is not a signed note")]
    Form,
    /// It is no key of a verifier.
    #[error("it is not a verifier key: NAME+ID+BASE64 was expected")]
    Key,
    /// It names a key that did not sign it.
    #[error("it names the key, and the signature is not of that key")]
    Signature,
}

/// The public key that notes of a name are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: [u8; 32],
}

/// Whether a text can name a key: no space, no plus.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

impl VerifierKey {
    /// The key of a name.
    ///
    /// # Errors
    /// [`NoteFault::Key`] for a name with a space or a plus.
    pub fn new(name: &str, key: [u8; 32]) -> Result<Self, NoteFault> {
        if is_name(name) { Ok(Self { name: name.to_owned(), key }) } else { Err(NoteFault::Key) }
    }

    /// Reads `name+id+base64(1, key)`.
    ///
    /// # Errors
    /// [`NoteFault::Key`], also when the id is not that of the key.
    pub fn parse(text: &str) -> Result<Self, NoteFault> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteFault::Key);
        };
        let bytes = BASE64.decode(key).map_err(|_| NoteFault::Key)?;
        let Some((&ED25519, key)) = bytes.split_first() else { return Err(NoteFault::Key) };
        let found = Self::new(name, key.try_into().map_err(|_| NoteFault::Key)?)?;
        if hex(&found.id()) == id { Ok(found) } else { Err(NoteFault::Key) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that signatures name: the beginning of SHA-256(name, newline, 1, public key).
    pub fn id(&self) -> [u8; 4] {
        let mut hasher = Sha256::new_with_prefix(self.name.as_bytes());
        hasher.update([b'\n', ED25519]);
        hasher.update(self.key);
        let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
        [a, b, c, d]
    }

    /// Whether a signature is of this key (RFC 8032; strictly, so that no two keys have one signature).
    pub fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.key) else { return false };
        Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(text, &signature).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519], self.key.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), BASE64.encode(key))
    }
}

/// A note that was read; nothing of it is trusted until [`Note::is_signed_by`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<(String, [u8; 4], Vec<u8>)>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteFault::Form`].
    pub fn parse(note: &str) -> Result<Self, NoteFault> {
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteFault::Form);
        }
        let cut = note.rfind("\n\n").ok_or(NoteFault::Form)?;
        let (text, rest) = note.split_at(cut + 1);
        let lines =
            rest.strip_prefix('\n').and_then(|rest| rest.strip_suffix('\n')).ok_or(NoteFault::Form)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            let (name, bytes) =
                line.strip_prefix("— ").and_then(|line| line.split_once(' ')).ok_or(NoteFault::Form)?;
            let bytes = BASE64.decode(bytes).map_err(|_| NoteFault::Form)?;
            let (id, signature) = bytes.split_first_chunk::<4>().ok_or(NoteFault::Form)?;
            if !is_name(name) || signature.is_empty() || signatures.len() == SIGNATURES {
                return Err(NoteFault::Form);
            }
            signatures.push((name.to_owned(), *id, signature.to_vec()));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text that is signed, its last newline included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a key has signed it; false when no signature names the key.
    ///
    /// # Errors
    /// [`NoteFault::Signature`] when a signature names the key and is not of it.
    pub fn is_signed_by(&self, key: &VerifierKey) -> Result<bool, NoteFault> {
        let id = key.id();
        let mut is_signed = false;
        for (_, _, signature) in self.signatures.iter().filter(|(name, of, _)| *name == key.name && *of == id)
        {
            if !key.has_signed(self.text.as_bytes(), signature) {
                return Err(NoteFault::Signature);
            }
            is_signed = true;
        }
        Ok(is_signed)
    }
}

/// A note of a text, which ends in a newline, with one signature.
pub fn signed(text: &str, key: &VerifierKey, signature: &[u8]) -> String {
    let bytes = [key.id().as_slice(), signature].concat();
    format!("{text}\n— {} {}\n", key.name, BASE64.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of golang.org/x/mod/sumdb/note.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_known_note_is_signed_by_its_known_key() {
        let key = VerifierKey::parse(KEY).unwrap();
        assert_eq!((key.name(), key.to_string().as_str()), ("PeterNeumann", KEY));
        let note = Note::parse(NOTE).unwrap();
        assert_eq!(note.is_signed_by(&key), Ok(true));
        assert!(note.text().ends_with("your problem is.\n"));
        let again = signed(note.text(), &key, &note.signatures[0].2);
        assert_eq!(again, NOTE, "written byte for byte");
    }

    #[test]
    fn a_changed_text_a_changed_signature_and_another_key_are_told_apart() {
        let key = VerifierKey::parse(KEY).unwrap();
        let changed = Note::parse(&NOTE.replace("answer", "Answer")).unwrap();
        assert_eq!(changed.is_signed_by(&key), Err(NoteFault::Signature));
        let other = VerifierKey::new("PeterNeumann", [7; 32]).unwrap();
        assert_eq!(Note::parse(NOTE).unwrap().is_signed_by(&other), Ok(false), "another id");
        // The same name and id, and a signature that is cut short.
        let line = NOTE.lines().last().unwrap();
        let short = BASE64.encode(&BASE64.decode(line.rsplit(' ').next().unwrap()).unwrap()[..40]);
        let short = NOTE.replace(line.rsplit(' ').next().unwrap(), &short);
        assert_eq!(Note::parse(&short).unwrap().is_signed_by(&key), Err(NoteFault::Signature));
    }

    #[test]
    fn a_witness_may_sign_beside_and_is_left_alone() {
        let key = VerifierKey::parse(KEY).unwrap();
        let beside = format!("{NOTE}— witness.example/w {}\n", BASE64.encode([9; 68]));
        let note = Note::parse(&beside).unwrap();
        assert_eq!(note.is_signed_by(&key), Ok(true));
        assert_eq!(note.signatures.len(), 2);
    }

    #[test]
    fn what_is_no_note_and_no_key_is_refused() {
        for text in [
            "",
            "\n",
            "text\n",
            "text\n\n",
            "text\n\n— a\n",
            "text\n\n- a AAAAAAA=\n",
            "text\n\n— a AAAA\n",
            "text\n\n— a AAAAAAA=",
            "te\txt\n\n— a AAAAAAA=\n",
            "text\n\n— a+b AAAAAAA=\n",
        ] {
            assert_eq!(Note::parse(text), Err(NoteFault::Form), "{text:?}");
        }
        for text in [
            "",
            "a",
            "a+b",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "a b+00000000+AQ==",
        ] {
            assert_eq!(VerifierKey::parse(text), Err(NoteFault::Key), "{text}");
        }
        assert!(VerifierKey::new("a b", [0; 32]).is_err() && VerifierKey::new("", [0; 32]).is_err());
    }
}
