//! What moves: the only views that are compiled to WebAssembly.
//!
//! Each island wakes HTML that already stands on the page and is complete without it. What it does
//! with the browser is in [`browser`], so that the size of the bundle is decided in one folder.

pub mod copy;
pub mod feed;
pub mod live;
pub mod older;
pub mod palette;
pub mod secret;
pub mod shortcuts;
pub mod waiting;

#[cfg(feature = "hydrate")]
mod browser;
