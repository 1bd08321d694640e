//! The HTTP shell: what every answer has, what is refused, what a connection may take.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail the test")]

mod assets;
mod connections;
mod headers;
mod health;
mod limits;
mod log_lines;
mod origin;
mod requests;
mod support;
