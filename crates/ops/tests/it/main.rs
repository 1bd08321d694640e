//! Operations on both databases: what they do, what they refuse, what they record.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::default_trait_access,
    clippy::needless_pass_by_value,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "a test that cannot go on ends here"
)]

mod support;

mod installation;

mod federations;
mod keys;
mod roles;

mod directory;
mod gate;

mod laws;
mod overview;
