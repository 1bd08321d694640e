//! The pages, one noun a file. Each loads what it shows in one call of `api` and is rendered whole.

pub mod audit;
pub mod behaviour;
pub mod blast;
pub mod brakes;
pub mod cases;
pub mod compliance;
pub mod compromise;
mod configuration;
pub mod directory;
pub mod federations;
pub mod findings;
pub mod hand_off;
pub mod keys;
pub mod not_found;
pub mod overview;
pub mod rotation;
pub mod settings;
pub mod sign_in;
mod streams;
pub mod undo;
pub mod usage;
