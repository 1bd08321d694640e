//! `keyward`: understands the command line and does what it says.

use std::process::ExitCode;

/// A request is made of many small pieces: the allocator of the C library took a fifth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(server::cli::main(std::env::args_os()))
}
