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

use zeroize::{Zeroize, ZeroizeOnDrop};

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
