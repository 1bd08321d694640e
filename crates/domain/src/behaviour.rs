//! What is expected of a federation and of each of its keys, and what is not.
//!
//! [`Rules`] are the numbers that rules count from; they belong to the federation. A [`Profile`] is what was
//! learned. A [`Watch`] holds one request against both and gives what is suspicious of it.
//!
//! To add a rule: its numbers in `rules.rs`, a function in `judge.rs`, its row in [`crate::findings::Rule`],
//! and in `tests.rs` a case that trips it and one that does not.

mod judge;
mod profile;
mod rules;
#[cfg(test)]
mod tests;

pub use judge::{
    Observation, Operation, Outcome, Patience, Suspicion, Watch, is_expected, patience, silence,
};
pub use profile::{Crossing, MOST_BYTES, Metric, Profile, Seen, family_of, hour_of_week, network_of};
pub use rules::{
    AdminPlane, Answer, CanaryResource, Change, CreateBurst, Denials, Dormant, Emptying, Enumeration,
    Failures, Laxer, Learning, NewAgent, NewAttribute, NewIdentity, NewNetwork, Number, OffSchedule,
    Privilege, Removals, Rewrites, Rules, Silence, Switch, TwoNetworks, UnknownKeys,
};
