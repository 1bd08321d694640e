//! The store on both databases.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::default_trait_access,
    clippy::needless_pass_by_value,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "a test that cannot go on ends here"
)]

mod committer;
mod journal;
mod plans;
mod schema;
mod tables;
mod tenancy;
mod upgrade;
mod usage;
mod usage_plans;
