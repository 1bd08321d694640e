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

mod signer;
mod support;
mod telling;
mod telling_faults;
mod telling_steps;

mod installation;

mod deliveries;
mod deliveries_staged;
mod federations;
mod keys;
mod oauth;
mod roles;

mod audit_log;
mod audit_tamper;
mod behaviour;
mod behaviour_keys;
mod brakes;
mod brakes_review;
mod brakes_upstream;
mod cache;
mod compliance;
mod corpus;
mod cost;
mod directory;
mod extensions;
mod filters;
mod gate;
mod listing;
mod members;
mod policies;
mod ready_lists;
mod rotation_faults;
mod rotation_steps;
mod rotation_turns;
mod rotations;
mod rules;
mod scoped;
mod scoped_random;
mod scoped_tight;

mod journal;
mod journal_large;
mod journal_model;
mod journal_names;
mod laws;
mod overview;

mod gateway;
mod sight;
mod targets;
mod upstream;
mod usage;
