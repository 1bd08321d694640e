//! What the runner says: lines, steps with their seconds, and failures that carry their cure.
//!
//! The only place of this crate that prints and that reads the clock.

use std::fmt::{self, Display};
use std::io::Write;
use std::time::{Duration, Instant};

/// What a verb returns: nothing, or why not.
pub type Outcome<T = ()> = Result<T, Failure>;

/// What failed, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    what: String,
    cure: Option<String>,
}

impl Failure {
    /// A failure without a known cure.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cure: None }
    }

    /// The same failure with what a person can do.
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.cure {
            Some(cure) => write!(f, "\n  what to do: {cure}"),
            None => Ok(()),
        }
    }
}

/// Says what was being done when an error of the system came up.
pub trait During<T> {
    /// `doing` is a phrase like "read Cargo.lock".
    fn during(self, doing: impl Display) -> Outcome<T>;
}

impl<T, E: Display> During<T> for Result<T, E> {
    fn during(self, doing: impl Display) -> Outcome<T> {
        self.map_err(|cause| Failure::new(format!("could not {doing}: {cause}")))
    }
}

/// Prints one line. A closed pipe is not an error of ours.
pub fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Seconds since it was started.
pub struct Clock(Instant);

impl Clock {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the runner measures itself; this is its one clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago it was started.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.elapsed().as_secs_f64())
    }
}

/// Runs one step between a line that announces it and a line with its seconds.
pub fn step<T>(label: impl Display, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    say(format_args!("▸ {label}"));
    let clock = Clock::start();
    let outcome = work();
    match &outcome {
        Ok(_) => say(format_args!("  done in {clock}")),
        Err(_) => say(format_args!("  failed after {clock}")),
    }
    outcome
}
