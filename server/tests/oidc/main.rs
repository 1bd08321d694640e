//! Sign-in against a provider of ours that lies, and the sessions that come of it.
//!
//! `evil` is the provider, `jws` signs what it says, `house` is Keyward with a browser in front. To
//! add an attack on the token, add a row to the table in `tokens`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that cannot go on stops its test")]

mod binding;
mod demo;
mod evil;
mod good;
mod house;
mod jws;
mod keys;
mod sessions;
mod tokens;
