//! What operations need from outside: time and chance.

use domain::Millis;

/// Time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> Millis;

    /// Microseconds since some fixed moment, never going back: for durations only.
    fn monotonic_us(&self) -> i64;
}

/// Chance that nobody can guess.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}
