//! Configurations: what is accepted, what is refused and in which words.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail the test")]

mod accepted;
mod binary;
mod documented;
mod refused;
mod support;
