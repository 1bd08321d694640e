//! HTTP in: one file for each kind of client, and what stands around them all.

pub mod accept;
pub mod shell;

pub mod headers;
pub mod limits;
pub mod origin;
pub mod request;
pub mod throttle;

pub mod leaks;
pub mod oauth;
pub mod scim;

pub mod api_usage;
pub mod export;
pub mod forms;
pub mod live;
pub mod oidc;
pub mod pages;
pub mod session;

pub mod assets;
pub mod health;
pub mod metrics;
