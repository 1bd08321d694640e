//! What runs beside requests: time, chance, signals, timers. The only place but `main` that reads
//! the clock and the randomness of the operating system.

pub mod behaviour;
pub mod checkpoint;
pub mod clock;
pub mod delivery;
pub mod gateway;
pub mod notify;
pub mod rotation;
pub mod signals;
pub mod streams;
pub mod undo;
pub mod upkeep;
pub mod usage;
