//! Public keys of receivers, for whom a secret is encrypted.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

/// The bytes of an X25519 or P-256 public key in a JWK (RFC 7517, RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiverKey {
    /// A point on Curve25519.
    X25519([u8; 32]),
    /// A point on P-256, uncompressed (SEC 1).
    P256([u8; 65]),
}

impl ReceiverKey {
    /// Reads a JWK, and its `kid`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<(Self, Option<String>), &'static str> {
        let jwk: Value =
            serde_json::from_str(text).map_err(|_| "a JWK, which is a JSON object, is expected")?;
        if ["d", "k", "p", "q"].iter().any(|member| jwk.get(member).is_some()) {
            return Err(
                "this holds a private key, which nobody but the receiver may have; paste its public half",
            );
        }
        let coordinate = |member: &str| {
            let text = jwk.get(member).and_then(Value::as_str)?;
            <[u8; 32]>::try_from(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()
        };
        let word = |member: &str| jwk.get(member).and_then(Value::as_str);
        let key = match (word("kty"), word("crv")) {
            (Some("OKP"), Some("X25519")) => {
                Self::X25519(coordinate("x").ok_or("x of 32 bytes in base64url is expected")?)
            }
            (Some("EC"), Some("P-256")) => {
                let (Some(x), Some(y)) = (coordinate("x"), coordinate("y")) else {
                    return Err("x and y of 32 bytes each in base64url are expected");
                };
                let mut point = [4; 65];
                for (place, byte) in point.iter_mut().skip(1).zip(x.into_iter().chain(y)) {
                    *place = byte;
                }
                Self::P256(point)
            }
            _ => return Err("a key of kty OKP and crv X25519, or of kty EC and crv P-256, is expected"),
        };
        Ok((key, word("kid").map(str::to_owned)))
    }
}
