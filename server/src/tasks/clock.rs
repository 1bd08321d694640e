//! The ports for time and chance, on the operating system.

use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use domain::Millis;
use ops::ports::{Clock, Entropy};

/// The moment from which durations are counted.
static BEGINNING: LazyLock<Instant> = LazyLock::new(instant);

#[expect(clippy::disallowed_methods, reason = "this is the port that everybody else takes durations from")]
fn instant() -> Instant {
    Instant::now()
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the port that everybody else takes the time from")]
    fn now_ms(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }

    fn monotonic_us(&self) -> i64 {
        let beginning = *BEGINNING;
        i64::try_from(instant().duration_since(beginning).as_micros()).unwrap_or(i64::MAX)
    }
}

/// The randomness of the operating system, through aws-lc.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the port that everybody else takes chance from")]
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("aws-lc aborts the process before it returns without randomness");
    }
}
