//! The WebAssembly that wakes the islands of a page.

use wasm_bindgen::prelude::wasm_bindgen;

// Each island is an exported function of `app`; naming the crate keeps them.
use app as _;

/// Wakes the islands; the script of the page calls it once.
#[wasm_bindgen]
pub fn hydrate() {
    leptos::mount::hydrate_islands();
}
