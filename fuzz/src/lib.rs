//! What must hold of whatever Keyward reads from strangers, one module for each fuzz target.
//!
//! `fuzz_targets/` calls these with what nobody would write. A test (`crates/ops/tests/it/corpus.rs`) takes this
//! file in as a module and calls them with what was found worth keeping in `corpus/`.

pub mod body;
pub mod bulk;
pub mod cursor;
pub mod filter;
pub mod key;
pub mod list_query;
pub mod patch;
pub mod path;

/// A promise about some bytes: panics when it does not hold.
pub type Promise = fn(&[u8]);

/// Every target by its name, which is that of its folder in `corpus/`.
pub const TARGETS: [(&str, Promise); 8] = [
    ("body", body::check),
    ("bulk", bulk::check),
    ("cursor", cursor::check),
    ("filter", filter::check),
    ("key", key::check),
    ("list_query", list_query::check),
    ("patch", patch::check),
    ("path", path::check),
];
