//! The store on both databases.

mod committer;
mod schema;
mod tables;
