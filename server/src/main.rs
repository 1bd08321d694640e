//! `keyward`: understands the command line and does what it says.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(server::cli::main(std::env::args_os()))
}
