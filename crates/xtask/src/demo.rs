//! `demo`: from a fresh clone to a page with lifelike data.

use std::os::unix::process::CommandExt;

use crate::build::{self, Profile};
use crate::out::{Clock, Failure, Outcome, say};
use crate::sh;

/// Builds, then becomes `keyward demo`.
pub fn demo() -> Outcome {
    let clock = Clock::start();
    say(
        "Keyward is built and started with demo data. The first build takes some minutes; later ones take seconds.",
    );
    build::build(Profile::Dev)?;
    say(format_args!("▸ built in {clock}; starting `keyward demo` (Ctrl+C stops it)"));
    // Replaces this process, so that signals reach Keyward itself. It returns only when that fails.
    let cause = sh::program(Profile::Dev.binary()).arg("demo").exec();
    Err(Failure::new(format!("could not start {}: {cause}", Profile::Dev.binary().display())))
}
