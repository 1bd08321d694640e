//! `seed`: a database as a large installation has it after three months, for lists to be measured on.
//!
//! Everything follows from a number: the same number and the same last day make the same rows, but for what is
//! sealed. Rows are written with the functions of `store` that the product writes them with; the seals of usage
//! records and the checkpoints of the audit log are made by `ops`, so that `keyward audit verify` has what it needs.

mod chance;
mod directory;
mod incidents;
mod keys;
mod traffic;

use std::path::PathBuf;
use std::sync::Arc;

use domain::{DAY_MS, FederationId, HOUR_MS, KeyId, Millis};
use ops::Clock as _;
use store::bulk::Bulk;

use self::chance::Chance;
use crate::installation::{self, Now, Place};
use crate::{Outcome, now, say};

/// How long the history is.
const HISTORY_DAYS: i64 = 90;

/// How much of everything.
#[derive(clap::Args, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Federations
    #[arg(long, default_value_t = 1_000)]
    pub federations: u32,
    /// Keys, in all states
    #[arg(long, default_value_t = 10_000)]
    pub provisioning_keys: u32,
    /// Usage records
    #[arg(long, default_value_t = 1_000_000)]
    pub usage_records: u32,
    /// Audit records, before the seals of usage records
    #[arg(long, default_value_t = 1_000_000)]
    pub audit_records: u32,
    /// Users of all directories together
    #[arg(long, default_value_t = 60_000)]
    pub people: u32,
    /// Findings, open ones and closed ones
    #[arg(long, default_value_t = 12_000)]
    pub findings: u32,
    /// Cases, open ones and closed ones
    #[arg(long, default_value_t = 400)]
    pub cases: u32,
    /// Journal entries
    #[arg(long, default_value_t = 100_000)]
    pub journal: u32,
    /// The number that everything follows from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What `cargo xtask seed` hands over.
#[derive(clap::Args)]
pub struct Args {
    /// A SQLite file, or the address of a Postgres database; made when it is not there, and filled where it is
    #[arg(long)]
    pub database: String,
    /// The file with the master key in hexadecimal; made when it is not there
    #[arg(long)]
    pub master_key: PathBuf,
    /// Sizes
    #[command(flatten)]
    pub sizes: Sizes,
    /// The last moment of the history in milliseconds since 1970; now when it is not said
    #[arg(long)]
    pub until_ms: Option<i64>,
}

/// A federation of the set.
pub struct House {
    /// Its id.
    pub id: FederationId,
    /// Its name.
    pub name: String,
    /// What its provider calls itself.
    pub agent: &'static str,
    /// Where its provider is.
    pub source: String,
    /// Its keys that were ever used: from when and until when.
    pub used: Vec<(KeyId, Millis, Millis)>,
    /// Its users: id and name.
    pub people: Vec<(String, String)>,
}

/// What fills the database.
pub struct Filler {
    bulk: Bulk,
    chance: Chance,
    sizes: Sizes,
    until_ms: Millis,
}

impl Filler {
    /// When the history begins.
    fn begins_ms(&self) -> Millis {
        self.until_ms - HISTORY_DAYS * DAY_MS
    }

    /// Some moment between two.
    fn between(&mut self, from_ms: Millis, to_ms: Millis) -> Millis {
        from_ms + self.chance.below(u64::try_from(to_ms - from_ms).unwrap_or(1).max(1)).cast_signed()
    }

    /// Commits what was written and goes on.
    async fn step(&mut self) -> Outcome {
        self.bulk.commit().await?;
        Ok(self.bulk.begin().await?)
    }
}

/// Fills a database.
///
/// # Errors
/// When it does not take the rows, is not opened by the master key, or was filled before.
pub async fn seed(args: Args) -> Outcome {
    let master_key = if let Ok(text) = std::fs::read_to_string(&args.master_key) {
        text.trim().to_owned()
    } else {
        let made = installation::master_key();
        std::fs::write(&args.master_key, &made)?;
        made
    };
    let target = if args.database.starts_with("postgres") {
        store::Target::parse(&args.database)?
    } else {
        store::Target::sqlite(PathBuf::from(&args.database))
    };
    let until_ms = args.until_ms.unwrap_or_else(settled_ms);
    fill(&Place { target, master_key }, args.sizes, until_ms).await
}

/// Fills a database with so much, up to a moment.
///
/// # Errors
/// See [`seed`].
pub async fn fill(place: &Place, sizes: Sizes, until_ms: Millis) -> Outcome {
    let since = now();
    store::migrate(&place.target).await?;
    // Who has another master key is told before anything is written.
    installation::open(place).await?.close().await;
    let mut filler =
        Filler { bulk: Bulk::open(&place.target).await?, chance: Chance::new(sizes.seed), sizes, until_ms };
    let told = |what: &str| say(&format!("  {what}: {:.0} s", since.elapsed().as_secs_f64()));
    filler.bulk.begin().await?;
    let mut houses = keys::write(&mut filler).await?;
    told(&format!("{} federations, {} keys and their rotations", houses.len(), sizes.provisioning_keys));
    directory::write(&mut filler, &mut houses).await?;
    told(&format!("{} users with their groups, {} journal entries", sizes.people, sizes.journal));
    incidents::write(&mut filler, &houses).await?;
    told(&format!("{} findings, {} cases", sizes.findings, sizes.cases));
    traffic::usage(&mut filler, &houses).await?;
    told(&format!("{} usage records", sizes.usage_records));
    traffic::audit(&mut filler, &houses).await?;
    told(&format!("{} audit records", sizes.audit_records));
    filler.bulk.commit().await?;
    filler.bulk.close().await?;
    seal(place).await?;
    told("sealed and signed");
    Ok(())
}

/// Seals the usage records and signs the audit log, as the timers of a server would.
async fn seal(place: &Place) -> Outcome {
    let keyward = installation::open(place).await?;
    while ops::usage::seals::seal(&keyward, "seed").await?.is_some_and(|made| made > 0) {}
    let round = ops::audit::checkpoint::sign_now(&keyward).await?;
    ops::audit::checkpoint::release(&keyward).await?;
    let is_broken = round.as_ref().and_then(|round| round.broken.clone());
    Arc::clone(&keyward).close().await;
    match is_broken {
        Some(text) => Err(text.into()),
        None => Ok(()),
    }
}

/// The last moment that a timer seals: what is younger than some seconds waits.
pub fn settled_ms() -> Millis {
    Now.now_ms() - 10_000
}

/// How long before its end a key was used last, at the most.
const SPREAD_MS: Millis = 20 * HOUR_MS;
