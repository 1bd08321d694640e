//! The pages, one noun a file. Each loads what it shows in one call of `api` and is rendered whole.

pub mod audit;
pub mod federations;
pub mod keys;
pub mod not_found;
pub mod overview;
pub mod sign_in;
