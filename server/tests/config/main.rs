//! Configurations: what is accepted, what is refused and in which words.

mod accepted;
mod binary;
mod refused;
mod support;
