//! The HTTP shell.
mod placeholder {}
