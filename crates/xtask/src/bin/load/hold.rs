//! `hold`: a Keyward with a federation and a key for it, for as long as somebody wants it.
//!
//! `cargo xtask test` lets the public SCIM checkers at it.

use std::io::Read as _;
use std::path::PathBuf;

use serde_json::json;

use crate::keyward::{Keyward, Plan};
use crate::{Outcome, say};

/// What `cargo xtask test` hands over.
#[derive(clap::Args)]
pub struct Args {
    /// The binary to start
    #[arg(long)]
    keyward: PathBuf,
    /// An empty database, such as postgres://…; SQLite in a temporary folder when there is none
    #[arg(long)]
    database: Option<String>,
}

/// Starts it, writes one line of JSON with `base` and `token`, and waits until standard input ends.
///
/// # Errors
/// When it does not start, or the audit chain is not whole afterwards.
pub async fn hold(args: Args) -> Outcome {
    let mut keyward = Keyward::prepare_with(
        &args.keyward,
        "hold",
        Plan { database: args.database.as_deref(), ..Plan::default() },
    )
    .await?;
    keyward.start().await?;
    let base = format!("http://127.0.0.1:{}{}", keyward.port, keyward.base);
    say(&json!({ "base": base, "token": keyward.key }).to_string());
    // Who holds the other end has ended, or closes it when it is done.
    let _ = std::io::stdin().read(&mut [0])?;
    keyward.kill();
    keyward.audit_verify().map(drop)
}
