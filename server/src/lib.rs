//! The server: configuration, command line, HTTP edges, outbound calls, timers.

pub mod cli;
pub mod config;
pub mod control;
pub mod logging;

pub mod edge;
pub mod out;
pub mod tasks;

pub mod demo;
pub mod probe;
pub mod serve;
