//! Calls that leave the process: HTTP clients, each with its own guard on where it may go.

pub mod anchors;
pub mod deliver;
pub mod egress;
pub mod http;
pub mod jwks;
pub mod mail;
pub mod notify;
pub mod standard_webhooks;
pub mod streams;
pub mod syslog;
pub mod upstream;
