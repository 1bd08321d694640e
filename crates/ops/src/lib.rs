//! One function for each thing that can happen.
//!
//! An operation takes its context first (who, from where), checks the right, runs one unit through
//! the committer (the change and its audit record, or nothing), and returns values. No HTTP, no SQL
//! text. The dashboard, the SCIM edge, the command line and the timers all call these.
//!
//! To add an operation: a function in the noun's file, its [`domain::audit::Action`], and the test
//! that walks every operation will ask for its audit record.

mod cx;
mod error;
mod unit;

pub mod ports;
pub mod vault;

pub mod installation;

pub mod admins;
pub mod deliveries;
pub mod extensions;
pub mod federations;
pub mod keys;
pub mod oauth;
pub mod policies;
pub mod rotations;

pub mod behaviour;
pub mod cases;
pub mod channels;
pub mod compromise;
pub mod configuration;
pub mod findings;
pub mod hand_offs;
pub mod notify;

pub mod brakes;
pub mod journal;

mod cursors;
mod directory;
mod effect;
pub mod gateway;
pub mod groups;
pub mod listing;
pub mod ready;
pub mod scim_client;
mod scoped;
pub mod users;

pub mod audit;
pub mod compliance;
pub mod exports;
pub mod overview;
pub mod search;
pub mod sessions;
pub mod streams;
pub mod tighten;
pub mod upkeep;
pub mod usage;

#[cfg(feature = "testing")]
pub mod testing;

/// What a bench build switches off, to measure what it costs.
#[cfg(feature = "bench")]
pub use store::recording::turn_off as turn_records_off;

pub use channels::rfc3339;
pub use cx::{Actor, Cx, RequestInfo, ScimClient, System, Visitor};
pub use error::{Error, Kind};
pub use installation::{Keyward, OpenError, Settings};
pub use ports::{Clock, Entropy};
