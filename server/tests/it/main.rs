//! Keyward over HTTP: the SCIM protocol, who may do what, the dashboard's forms; and the program
//! itself, killed, stopped, searched for secrets and tampered with.
//!
//! `house` is a whole Keyward in this process, on each database that is here; `process` is the
//! program beside it. A new route belongs into the tables of `authz`.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that cannot go on ends here")]

mod house;
mod process;

mod bulk;
mod checklist;
mod dialects;
mod scim;
mod scim_edge;
mod scim_limits;
mod scim_malformed;
mod scim_providers;
mod scim_refusals;
mod scim_schemas;
mod scim_scopes;
mod scim_search;

#[path = "../oidc/jws.rs"]
mod jws;
mod oauth;
mod oauth_pages;

mod approvals;
mod authz_dashboard;
mod authz_scim;
mod compliance;
mod forms;
mod live;
mod rotation_pages;
mod typed_text;
mod undo;
mod usage_api;
mod usage_pages;

mod delivery;
mod gateway;
mod telling;

mod anchors;
mod audit_proof;
mod command_line;
mod crash;
mod leaks;
mod mutated;
mod races;
mod stop;
mod streams;
mod tamper;
mod throttle;
