//! What crosses between browser and server, and what pages load.
//!
//! One file a noun. A function that a moving part of a page calls is a `#[server]` function with
//! its wire types beside it; a function that only pages call is plain, runs on the server alone and
//! is no endpoint, so that nothing is exposed that nobody uses. Both are thin: context, parse, one
//! operation, convert. Changes are forms, not server functions: see `forms`.

#[cfg(feature = "ssr")]
pub mod deliveries;
#[cfg(feature = "ssr")]
pub mod federations;
#[cfg(feature = "ssr")]
pub mod journal;
#[cfg(feature = "ssr")]
pub mod overview;
#[cfg(feature = "ssr")]
pub mod rotation;

pub mod keys;
pub mod search;

#[cfg(feature = "ssr")]
pub mod telling;

#[cfg(feature = "ssr")]
pub mod audit;
#[cfg(feature = "ssr")]
pub mod behaviour;
#[cfg(feature = "ssr")]
pub mod brakes;
#[cfg(feature = "ssr")]
pub mod compliance;
#[cfg(feature = "ssr")]
pub mod usage;
