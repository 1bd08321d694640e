//! What people see: the pages of the dashboard, and what their moving parts ask the server.
//!
//! A page is finished HTML when it leaves the server and reads without script. Only `islands`,
//! `api` and [`error`] are compiled to WebAssembly; everything else exists under the feature
//! `ssr` alone, so that the size of what the browser loads does not grow with the pages.
//!
//! To add a page: one function in `pages`, one `Route` in [`App`]. To add what it shows: a loader
//! in `api`, in the file of its noun. To add something that moves: one file in `islands`.

// The type of a page names every element of it.
#![recursion_limit = "256"]
#![allow(clippy::needless_pass_by_value, reason = "a component owns its props")]

#[cfg(feature = "ssr")]
mod app;
#[cfg(feature = "ssr")]
mod pages;

#[cfg(feature = "ssr")]
mod ui;

mod api;
pub mod error;
mod islands;

#[cfg(feature = "ssr")]
pub mod forms;
#[cfg(feature = "ssr")]
pub mod ssr;
#[cfg(feature = "ssr")]
pub mod words;

#[cfg(feature = "ssr")]
pub use app::{App, shell};
