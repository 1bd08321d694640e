//! Assembly: from a configuration to a running server.

#![expect(clippy::unused_async, reason = "the assembly is not built yet")]

use crate::{
    cli::{DemoOptions, Exit},
    config::Config,
};

/// Runs the server until it is told to stop.
///
/// # Errors
/// What kept it from starting, or from running on.
pub async fn run(_config: Config) -> Result<(), Exit> {
    Err(Exit::failed("serve is not built yet"))
}

/// Runs a throw-away instance with lifelike data.
///
/// # Errors
/// What kept it from starting, or from running on.
pub async fn demo(_options: DemoOptions) -> Result<(), Exit> {
    Err(Exit::failed("demo is not built yet"))
}

/// Brings the database to the newest schema.
///
/// # Errors
/// The database does not answer, or is newer than this program.
pub async fn migrate(_config: Config) -> Result<(), Exit> {
    Err(Exit::failed("migrate is not built yet"))
}

/// Walks the audit chain.
///
/// # Errors
/// The first row that does not fit, or a database that does not answer.
pub async fn audit_verify(_config: Config) -> Result<(), Exit> {
    Err(Exit::failed("audit verify is not built yet"))
}
