//! Text that must not be seen: no Debug, no Display, no Clone, no Serialize.
//!
//! A secret leaves this type in one way, [`Secret::expose`], so that every place that lets one out
//! can be found by searching for that word.
//!
//! ```compile_fail,E0277
//! fn into_a_log(secret: &domain::Secret) -> String {
//!     format!("{secret:?}")
//! }
//! ```

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What every signing secret of Standard Webhooks begins with.
pub const SIGNING_PREFIX: &str = "whsec_";

/// Secrets are written with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret text, wiped from memory when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Lets the text out. Every call is a place to justify.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The bytes of a signing secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64.
pub fn signing_bytes(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim().strip_prefix(SIGNING_PREFIX)?;
    let bytes = Zeroizing::new(LENIENT.decode(text).ok()?);
    (24..=64).contains(&bytes.len()).then_some(bytes)
}
