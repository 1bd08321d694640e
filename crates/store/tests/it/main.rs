//! The store on both databases.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that cannot go on ends here")]

mod committer;
mod schema;
mod tables;
