//! The switch of `cargo xtask bench`, which asks what the records of a request cost. Only in a build with the
//! feature `bench`: in one that ships the variable is refused like every name that is no setting.

use crate::cli::Exit;

/// What it is called.
pub const VARIABLE: &str = "KEYWARD_BENCH_WITHOUT";

/// Does what the variable says.
///
/// # Errors
/// When it says something else than `records`.
pub fn obey() -> Result<(), Exit> {
    match std::env::var_os(VARIABLE) {
        None => Ok(()),
        Some(word) if word == "records" => {
            ops::turn_records_off();
            tracing::warn!("for a bench: no request leaves a record");
            Ok(())
        }
        Some(word) => Err(Exit::failed(format!("{VARIABLE} is {word:?}: only \"records\" can be left out"))),
    }
}
