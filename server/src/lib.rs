//! The server: configuration, command line, HTTP edges, outbound calls, timers.

pub mod cli;
pub mod config;
pub mod logging;

pub mod edge;
pub mod tasks;

pub mod serve;
