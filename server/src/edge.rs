//! HTTP in.

pub mod accept;
pub mod assets;
pub mod headers;
pub mod health;
pub mod limits;
pub mod metrics;
pub mod origin;
pub mod request;
pub mod shell;
