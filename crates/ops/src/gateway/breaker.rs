//! Keeps one upstream from costing others anything: a breaker and a bulkhead for each.
//!
//! The breaker is closed while calls come back. After [`FAILURES`] in a row that did not, it opens:
//! for [`OPEN_US`] nothing is sent. Then one call is let through; when it comes back the breaker
//! closes, else it stays open as long again. The bulkhead lets so many calls through at once, lets a
//! few wait for a moment, and turns the rest away.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Failures in a row that open the breaker.
pub const FAILURES: u32 = 5;

/// How long it stays open, in microseconds.
pub const OPEN_US: i64 = 30_000_000;

/// How long a call may wait for its turn.
const WAIT: Duration = Duration::from_secs(2);

/// The state of a breaker, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls are sent.
    Closed,
    /// Nothing is sent for a while.
    Open,
    /// One call finds out.
    HalfOpen,
}

impl BreakerState {
    /// The word in figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Circuit {
    Closed { failures: u32 },
    Open { until_us: i64 },
    HalfOpen,
}

/// A breaker and a bulkhead.
pub struct Bulkhead {
    circuit: Mutex<Circuit>,
    places: Semaphore,
    waiting: AtomicUsize,
    queue: usize,
}

/// Why a call may not go out now; seconds after which to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedAway {
    /// The breaker is open.
    Open(u32),
    /// Too many calls are under way.
    Full,
}

/// Leave to make one call. What comes of it is told by [`Leave::came_back`] or [`Leave::failed`]. A
/// call of which nobody tells was given up by who asked for it, which says nothing of the upstream.
pub struct Leave<'b> {
    bulkhead: &'b Bulkhead,
    _place: SemaphorePermit<'b>,
    is_told: bool,
}

impl Bulkhead {
    /// Lets `concurrency` calls through at once.
    pub fn new(concurrency: usize) -> Self {
        Self {
            circuit: Mutex::new(Circuit::Closed { failures: 0 }),
            places: Semaphore::new(concurrency),
            waiting: AtomicUsize::new(0),
            queue: concurrency * 2,
        }
    }

    /// The state, for people.
    pub fn state(&self, now_us: i64) -> BreakerState {
        match self.with_circuit(|circuit| *circuit) {
            Circuit::Closed { .. } => BreakerState::Closed,
            Circuit::Open { until_us } if now_us < until_us => BreakerState::Open,
            Circuit::Open { .. } | Circuit::HalfOpen => BreakerState::HalfOpen,
        }
    }

    /// Asks for leave to call, and waits for a place for a moment.
    ///
    /// # Errors
    /// [`TurnedAway`]; nothing was sent then.
    pub async fn enter(&self, now_us: i64) -> Result<Leave<'_>, TurnedAway> {
        self.check(now_us)?;
        let place = match self.places.try_acquire() {
            Ok(place) => place,
            Err(_) => self.wait().await?,
        };
        // It may have opened while this call waited.
        self.with_circuit(|circuit| match *circuit {
            Circuit::Closed { .. } => Ok(()),
            Circuit::Open { until_us } if now_us >= until_us => {
                *circuit = Circuit::HalfOpen;
                Ok(())
            }
            Circuit::Open { until_us } => Err(TurnedAway::Open(seconds(until_us - now_us))),
            Circuit::HalfOpen => Err(TurnedAway::Open(1)),
        })?;
        Ok(Leave { bulkhead: self, _place: place, is_told: false })
    }

    fn check(&self, now_us: i64) -> Result<(), TurnedAway> {
        match self.with_circuit(|circuit| *circuit) {
            Circuit::Open { until_us } if now_us < until_us => {
                Err(TurnedAway::Open(seconds(until_us - now_us)))
            }
            Circuit::HalfOpen => Err(TurnedAway::Open(1)),
            Circuit::Open { .. } | Circuit::Closed { .. } => Ok(()),
        }
    }

    async fn wait(&self) -> Result<SemaphorePermit<'_>, TurnedAway> {
        /// Counts one that waits, however its waiting ends.
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.queue {
            return Err(TurnedAway::Full);
        }
        match tokio::time::timeout(WAIT, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(TurnedAway::Full),
        }
    }

    fn failed(&self, now_us: i64) {
        self.with_circuit(|circuit| {
            *circuit = match *circuit {
                Circuit::Closed { failures } if failures + 1 < FAILURES => {
                    Circuit::Closed { failures: failures + 1 }
                }
                Circuit::Closed { .. } | Circuit::HalfOpen => Circuit::Open { until_us: now_us + OPEN_US },
                open @ Circuit::Open { .. } => open,
            };
        });
    }

    fn with_circuit<T>(&self, act: impl FnOnce(&mut Circuit) -> T) -> T {
        // Nothing in here panics; what a poisoned lock holds is whole.
        let mut circuit = self.circuit.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        act(&mut circuit)
    }
}

impl Leave<'_> {
    /// The call came back with an answer that can be used.
    pub fn came_back(mut self) {
        self.is_told = true;
        self.bulkhead.with_circuit(|circuit| *circuit = Circuit::Closed { failures: 0 });
    }

    /// The call did not come back, or with what no SCIM service answers.
    pub fn failed(mut self, now_us: i64) {
        self.is_told = true;
        self.bulkhead.failed(now_us);
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.bulkhead.with_circuit(|circuit| {
                // The next call finds out instead.
                if *circuit == Circuit::HalfOpen {
                    *circuit = Circuit::Open { until_us: i64::MIN };
                }
            });
        }
    }
}

fn seconds(us: i64) -> u32 {
    u32::try_from((us + 999_999) / 1_000_000).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fail(bulkhead: &Bulkhead, now_us: i64) {
        bulkhead.enter(now_us).await.ok().unwrap().failed(now_us);
    }

    #[tokio::test]
    async fn it_opens_after_failures_in_a_row_and_one_call_finds_out() {
        let bulkhead = Bulkhead::new(4);
        for _ in 1..FAILURES {
            fail(&bulkhead, 0).await;
        }
        bulkhead.enter(0).await.ok().unwrap().came_back();
        for _ in 0..FAILURES {
            assert_eq!(bulkhead.state(0), BreakerState::Closed);
            fail(&bulkhead, 0).await;
        }
        assert_eq!(bulkhead.state(1), BreakerState::Open);
        assert_eq!(bulkhead.enter(1).await.err(), Some(TurnedAway::Open(30)));

        assert_eq!(bulkhead.state(OPEN_US), BreakerState::HalfOpen);
        let probe = bulkhead.enter(OPEN_US).await.ok().unwrap();
        assert_eq!(bulkhead.enter(OPEN_US).await.err(), Some(TurnedAway::Open(1)), "one at a time");
        probe.failed(OPEN_US);
        assert_eq!(bulkhead.state(OPEN_US + 1), BreakerState::Open);
        bulkhead.enter(2 * OPEN_US).await.ok().unwrap().came_back();
        assert_eq!(bulkhead.state(2 * OPEN_US), BreakerState::Closed);
    }

    #[tokio::test]
    async fn a_call_that_was_given_up_says_nothing() {
        let bulkhead = Bulkhead::new(1);
        for _ in 0..=FAILURES {
            drop(bulkhead.enter(0).await.ok().unwrap());
        }
        assert_eq!(bulkhead.state(0), BreakerState::Closed);
        for _ in 0..FAILURES {
            fail(&bulkhead, 0).await;
        }
        drop(bulkhead.enter(OPEN_US).await.ok().unwrap());
        bulkhead.enter(OPEN_US).await.ok().unwrap().came_back();
        assert_eq!(bulkhead.state(OPEN_US), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_wait_for_a_moment_and_the_rest_is_turned_away() {
        let bulkhead = Bulkhead::new(1);
        let first = bulkhead.enter(0).await.ok().unwrap();
        // Two wait in vain, two do not even wait.
        let enter = || async { bulkhead.enter(0).await.err().unwrap() };
        let (a, b, c, d) = tokio::join!(enter(), enter(), enter(), enter());
        let crowd = [a, b, c, d];
        assert_eq!(crowd, [TurnedAway::Full; 4]);
        first.came_back();
        bulkhead.enter(0).await.ok().unwrap().came_back();
    }
}
