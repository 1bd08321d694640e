//! The contestant that only writes: the rows of a provisioned user, in groups, each group synced by one commit.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Outcome, meter, now, say};

/// What the bench hands over.
#[derive(clap::Args)]
pub struct Args {
    /// A new SQLite file, or the address of an empty Postgres database
    #[arg(long)]
    database: PathBuf,
    /// Rows of one commit
    #[arg(long)]
    group: usize,
    /// Seconds
    #[arg(long)]
    seconds: u64,
}

/// Writes, and prints how many users a second and what CPU time each took.
///
/// # Errors
/// When the database does not take them.
pub async fn write(args: Args) -> Outcome {
    let url = args.database.to_string_lossy();
    let target = match url.strip_prefix("postgres") {
        Some(_) => store::Target::parse(&url)?,
        None => store::Target::sqlite(args.database.clone()),
    };
    store::migrate(&target).await?;
    let until = Duration::from_secs(args.seconds);
    let since = now();
    let written = store::raw::write(&target, args.group, || since.elapsed() < until).await?;
    let seconds = since.elapsed().as_secs_f64();
    let count = u32::try_from(written).map_or(f64::MAX, f64::from);
    let cpu_us = meter::cpu_seconds(std::process::id())? * 1e6 / count.max(1.0);
    say(&format!("{{\"per_second\":{},\"cpu_us\":{cpu_us}}}", count / seconds));
    Ok(())
}
