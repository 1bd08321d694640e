//! The clock of the demo: while its cast is set up it stands back, so that keys have an age; from the
//! first request on it is the clock of this machine.

use std::sync::atomic::{AtomicI64, Ordering};

use domain::Millis;
use ops::Clock;

use crate::tasks::clock::SystemClock;

/// The clock of this machine, behind by a while.
#[derive(Debug, Default)]
pub struct DemoClock {
    behind_ms: AtomicI64,
}

impl DemoClock {
    /// Stands back by so much from now on.
    pub fn stand_back(&self, by_ms: Millis) {
        self.behind_ms.store(by_ms, Ordering::SeqCst);
    }
}

impl Clock for DemoClock {
    fn now_ms(&self) -> Millis {
        SystemClock.now_ms() - self.behind_ms.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> i64 {
        SystemClock.monotonic_us()
    }
}
