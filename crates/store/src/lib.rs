//! The only crate with SQL.
//!
//! SQLite and Postgres with one text for both (`$1` binds work on either), migrations, rows, and
//! the committer through which every change goes. No rules and no HTTP.
//!
//! To add a table: a migration in both folders, a file here named after the noun whose statements
//! stand in one [`statements!`] list (a test prepares each on both databases), functions that take
//! a [`Conn`].

mod db;
mod error;
mod readers;
mod statements;

pub mod cache;
pub mod committer;

pub mod attestations;
pub mod audit;
pub mod behaviours;
pub mod brakes;
pub mod calls;
pub mod cases;
pub mod channels;
pub mod checkpoints;
pub mod counters;
pub mod deliveries;
pub mod directory;
pub mod extensions;
pub mod federations;
pub mod feed;
pub mod findings;
pub mod groups;
pub mod hand_offs;
pub mod held;
pub mod idempotency;
pub mod installation;
pub mod journal;
pub mod keys;
pub mod leases;
pub mod links;
pub mod members;
pub mod mutes;
pub mod oauth;
pub mod outbox;
pub mod policies;
pub mod protected;
pub mod recording;
pub mod rotations;
pub mod seals;
pub mod sessions;
pub mod streams;
pub mod undos;
pub mod upstreams;
pub mod usage;
pub mod users;
pub mod windows;

#[cfg(feature = "bench")]
pub mod bulk;
#[cfg(feature = "bench")]
pub mod raw;
#[cfg(feature = "testing")]
pub mod testing;

pub use cache::Cache;
pub use committer::{Change, Committer};
pub use db::{Conn, Engine, Reader, Store, Target, View, migrate};
pub use error::{Error, Retry};
pub use statements::all_statements;
