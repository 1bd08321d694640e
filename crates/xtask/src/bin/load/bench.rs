//! `bench`: every contestant in turn, round after round.
//!
//! A figure compares two contestants of the same rounds. To add one: its contestants and its line in one of the
//! stages. What is compared with each other stands in one stage.

mod cost;
mod gateway;
mod growth;
mod limits;
mod lists;
mod peers;
mod postgres;
mod sync;

use std::path::PathBuf;

use clap::ValueEnum;

use crate::contestants::Doing;
use crate::house::House;
use crate::keyward::Plan;
use crate::lifelike::Sizes;
use crate::peers::Peer;
use crate::report::{self, Circumstances};
use crate::stage::Stage;
use crate::work::Work;
use crate::{Outcome, now, say};

/// A part of the bench; its figures have a table of their own on the page.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Against what the machine and the database can do
    Limits,
    /// Against SCIM services that others made
    Peers,
    /// What the records of a request cost
    Cost,
    /// What forwarding adds
    Gateway,
    /// Postgres against SQLite, two nodes against one
    Postgres,
    /// Writes where a sync takes longer
    Sync,
    /// From 1,000 to 1,000,000 users
    Growth,
    /// The pages of a large installation
    Lists,
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Self::Limits => "Against the limits of the machine",
            Self::Peers => "Against SCIM services that others made",
            Self::Cost => "What the records of a request cost",
            Self::Gateway => "What the gateway adds",
            Self::Postgres => "Postgres",
            Self::Sync => "Writes where each sync takes 2 ms longer",
            Self::Growth => "Growth: from 1,000 to 1,000,000 users",
            Self::Lists => "The pages of a large installation",
        }
    }

    fn word(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What `cargo xtask bench` hands over.
#[derive(clap::Args)]
pub struct Args {
    /// The binary to measure
    #[arg(long)]
    pub keyward: PathBuf,
    /// A build of it that can be told to leave no records
    #[arg(long)]
    pub switchable: Option<PathBuf>,
    /// What to measure
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// How often each contestant runs
    #[arg(long)]
    pub rounds: u32,
    /// Seconds of each run
    #[arg(long)]
    pub seconds: u32,
    /// Open connections
    #[arg(long)]
    pub connections: u32,
    /// Users in the directory that is measured against the limits
    #[arg(long)]
    pub users: u32,
    /// Live keys in the database of many keys
    #[arg(long)]
    pub keys: u32,
    /// Users in the largest directory
    #[arg(long)]
    pub most_users: u32,
    /// The address of an empty Postgres database
    #[arg(long)]
    pub postgres: Option<String>,
    /// The address of an empty Postgres database for the pages of a large installation
    #[arg(long)]
    pub lists_postgres: Option<String>,
    /// How large that installation is
    #[command(flatten)]
    pub sizes: Sizes,
    /// A peer: {"name": …, "command": […], "target": …}
    #[arg(long = "peer", value_parser = Peer::parse)]
    pub peers: Vec<Peer>,
    /// A library that makes each sync last 2 ms longer
    #[arg(long)]
    pub slow_sync: Option<PathBuf>,
    /// Where databases are made, and kept
    #[arg(long)]
    pub scratch: PathBuf,
    /// What was typed, for the page
    #[arg(long)]
    command: String,
    /// The page whose tables are replaced
    #[arg(long)]
    write: Option<PathBuf>,
}

/// Users in a small directory.
const FEW: u32 = 1_000;

/// Connections that ask for lists where one takes long: what many of them ask for at once goes on after the turn.
const LISTING: u32 = 8;

impl Args {
    /// A directory of so many users, on SQLite.
    async fn house(&self, name: &str, users: u32) -> Outcome<House> {
        self.house_with(name, Plan { users, ..Plan::default() }).await
    }

    async fn house_with(&self, name: &str, plan: Plan<'_>) -> Outcome<House> {
        let name = format!("bench-{name}");
        House::build(&self.keyward, &name, Plan { scratch: Some(&self.scratch), ..plan }).await
    }

    /// So many rounds at the most.
    fn at_most(&self, rounds: u32) -> Stage {
        Stage::new(self.rounds.min(rounds), self.seconds)
    }
}

/// Runs the parts, prints their tables and writes them to the page, each as soon as it is there.
///
/// # Errors
/// When a contestant does not start, or an answer is not what it should be: a fast error never counts.
pub async fn bench(mut args: Args) -> Outcome {
    std::fs::create_dir_all(&args.scratch)?;
    args.scratch = args.scratch.canonicalize()?;
    let circumstances = Circumstances::of(&args.command);
    for part in &args.parts {
        let since = now();
        say(&format!("▸ {}", part.title()));
        let stage = match part {
            Part::Limits => limits::run(&args).await,
            Part::Peers => peers::run(&args).await,
            Part::Cost => cost::run(&args).await,
            Part::Gateway => gateway::run(&args).await,
            Part::Postgres => postgres::run(&args).await,
            Part::Sync => sync::run(&args).await,
            Part::Growth => growth::run(&args).await,
            Part::Lists => {
                let table = lists::run(&args).await?;
                say(&format!("\n{table}\n  done in {:.0} s", since.elapsed().as_secs_f64()));
                if let Some(page) = &args.write {
                    let said = circumstances.once();
                    let text = format!("## {}\n\n{table}\n{said}\n", part.title());
                    report::replace(page, &part.word(), &text)?;
                }
                continue;
            }
        };
        let Some((rounds, seconds, rows)) = stage?.map(Stage::result) else {
            say("  left out");
            continue;
        };
        let table = report::table(&rows);
        say(&format!("\n{table}\n  done in {:.0} s", since.elapsed().as_secs_f64()));
        if let Some(page) = &args.write {
            let said = circumstances.sentence(rounds, seconds);
            let text = format!("## {}\n\n{table}\n{said}\n", part.title());
            report::replace(page, &part.word(), &text)?;
        }
    }
    Ok(())
}

/// The writes that are compared with a raw writer: in a house of its own, and by the writer.
async fn add_writes(stage: &mut Stage, args: &Args, house: &House, preload: Option<&PathBuf>) -> Outcome {
    stage.add("raw", Doing::Writes(usize::try_from(args.connections)?, preload.cloned()));
    stage.add("change", house.does(Work::Change(house.sample()), args.connections));
    let create = Work::Create(house.at("/Users"));
    stage.add("create", house.does(create.clone(), args.connections));
    stage.add("raw alone", Doing::Writes(1, preload.cloned()));
    stage.add("create alone", house.does(create, 1));
    Ok(())
}

fn write_figures(stage: &mut Stage) -> Outcome {
    stage.ratio("PATCH title, durable / raw group commit", 0.75, "change", "raw")?;
    stage.ratio("POST, durable / raw group commit", 0.75, "create", "raw")?;
    stage.ratio("POST, 1 connection / raw single commit", 0.85, "create alone", "raw alone")
}
