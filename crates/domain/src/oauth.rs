//! OAuth 2.0 for identity providers: client credentials beside static keys.
//!
//! An OAuth client is a key record whose holder proves itself at the token endpoint, by an
//! assertion that it signs (RFC 7523) or by a secret, and presents a short-lived token with each
//! request. The record decides what the token may do; a token never does more than its record, and
//! ends with it. The id of the key is the `client_id`.
//!
//! To accept one more algorithm, add it to [`Algorithm`] and to the verification in `ops`.

pub mod assertion;
mod der;
pub mod jwk;
pub mod words;

pub use self::{
    jwk::{Jwk, Jwks, Material},
    words::ScopeWords,
};

use crate::Invalid;

/// The longest address of a client's keys.
const URI_LIMIT: usize = 500;

/// Signatures that a client may prove itself by: of public keys only. With an HMAC the published
/// key could be taken for a shared secret, and `none` needs no key at all (RFC 8725 2.1, 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519 (RFC 8037).
    EdDsa,
}

impl Algorithm {
    /// Every algorithm, in the order of the metadata.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    /// The name in JOSE headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads the name; its case counts (RFC 7515 4.1.1).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    /// Whether signatures of this kind are made by keys of that kind.
    pub const fn fits(self, material: &Material) -> bool {
        match material {
            Material::Rsa { .. } => matches!(self, Self::Rs256 | Self::Ps256),
            Material::P256 { .. } => matches!(self, Self::Es256),
            Material::Ed25519 { .. } => matches!(self, Self::EdDsa),
        }
    }
}

/// Why a client was not believed, for the audit log; it never leaves the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub &'static str);

/// Checks the address of a client's keys: `https`, a host, no user, no fragment. Where it leads is
/// judged again whenever it is called.
///
/// # Errors
/// [`Invalid`] on `jwks_uri`.
pub fn check_jwks_uri(text: &str) -> Result<String, Invalid> {
    let text = text.trim();
    let authority = text.strip_prefix("https://").map(|rest| rest.split(['/', '?']).next().unwrap_or(rest));
    let fits = text.len() <= URI_LIMIT
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !text.contains(['#', '\\'])
        && authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('@'));
    if fits {
        Ok(text.to_owned())
    } else {
        let text =
            "an https address without user and fragment is expected, such as https://id.example.com/jwks";
        Err(Invalid::new("jwks_uri", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signatures_of_public_keys_have_a_name() {
        for name in ["none", "None", "nOnE", "", "HS256", "rs256", "RS512", "ES384", "dir", "RSA-OAEP"] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
        }
    }

    #[test]
    fn keys_are_found_at_plain_https_addresses_only() {
        assert!(check_jwks_uri(" https://id.example.com/a/jwks?tenant=1 ").is_ok());
        for text in [
            "",
            "http://id.example.com/jwks",
            "https://",
            "https:///jwks",
            "https://user@id.example.com/",
            "https://user:password@id.example.com/",
            "https://id.example.com/#keys",
            "https://id.example.com\\@evil.example/",
            "https://id.example.com/a b",
            "https://id.example.com/\u{0}",
            "file:///etc/passwd",
            "HTTPS://id.example.com/",
            &format!("https://id.example.com/{}", "a".repeat(500)),
        ] {
            assert!(check_jwks_uri(text).is_err(), "{text}");
        }
    }
}
