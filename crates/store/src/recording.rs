//! Whether what happens leaves records. It always does; a bench build can be told otherwise at its start, to
//! measure what the records cost.
//!
//! In a build without the feature `bench` this is a constant, and what asks it is not there.

/// Whether this process was told to leave no record. Never in a build that ships.
#[cfg(not(feature = "bench"))]
pub const fn is_off() -> bool {
    false
}

#[cfg(feature = "bench")]
pub use switch::{is_off, turn_off};

#[cfg(feature = "bench")]
mod switch {
    use std::sync::atomic::{AtomicBool, Ordering};

    static OFF: AtomicBool = AtomicBool::new(false);

    /// Whether this process was told to leave no record.
    pub fn is_off() -> bool {
        OFF.load(Ordering::Relaxed)
    }

    /// From now on nothing leaves a record: no audit event, no usage record. For a bench, before it is asked.
    pub fn turn_off() {
        OFF.store(true, Ordering::Relaxed);
    }
}
