//! `bench` and `chaos`: builds what they need and hands over to `keyward-load`.
//!
//! The loads are a binary of their own, so that they are compiled for speed like what they measure, and so that
//! `demo` and `test` need neither an HTTP server nor clients.

use clap::Args;

use crate::build::{self, Profile};
use crate::out::{Outcome, step};
use crate::postgres::{self, Postgres};
use crate::{setup, sh};

/// How long to measure.
#[derive(Args)]
pub struct BenchArgs {
    /// How often each contestant runs
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Seconds of each run
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Connections that are open at the same time
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Users in the large database; 1000 are in the small one
    #[arg(long, default_value_t = 100_000)]
    users: u32,
    /// Keys in the database of many keys
    #[arg(long, default_value_t = 10_000)]
    keys: u32,
    /// Nothing on Postgres
    #[arg(long)]
    no_postgres: bool,
    /// A look in two minutes: two rounds of a second, 2000 users, 200 keys
    #[arg(long)]
    quick: bool,
    /// Do not write the result to docs/performance.md
    #[arg(long)]
    dry: bool,
}

impl BenchArgs {
    /// What a quick look leaves out.
    fn quickly(self) -> Self {
        if self.quick { Self { rounds: 2, seconds: 1, users: 2_000, keys: 200, ..self } } else { self }
    }

    fn typed(&self) -> String {
        let Self { rounds, seconds, connections, users, keys, .. } = self;
        let postgres = if self.no_postgres { " --no-postgres" } else { "" };
        format!(
            "cargo xtask bench --rounds {rounds} --seconds {seconds} --connections {connections} --users {users} \
             --keys {keys}{postgres}"
        )
    }
}

/// How long to kill.
#[derive(Args)]
pub struct ChaosArgs {
    /// How often keyward is killed
    #[arg(long, default_value_t = 100)]
    kills: u32,
    /// The seed of the moments; a run prints its own, so that it can be repeated
    #[arg(long)]
    seed: Option<u64>,
}

/// Builds release, then measures.
pub fn bench(args: BenchArgs) -> Outcome {
    let args = args.quickly();
    setup::setup(setup::Wanted { bench: true, ..setup::Wanted::default() })?;
    build::build(Profile::Release)?;
    let mut load = loader()?;
    load.arg("bench").arg("--keyward").arg(Profile::Release.binary()).args(["--command", &args.typed()]);
    load.args(["--rounds", &args.rounds.to_string(), "--seconds", &args.seconds.to_string()]);
    load.args(["--connections", &args.connections.to_string(), "--users", &args.users.to_string()]);
    load.args(["--keys", &args.keys.to_string(), "--few-users", &args.users.min(1_000).to_string()]);
    // It lives as long as the run.
    let postgres = if args.no_postgres { None } else { Some(Postgres::start()?) };
    if let Some(postgres) = &postgres {
        load.args(["--postgres", &postgres::database(postgres.url(), "keyward_bench")?]);
    }
    if !args.dry {
        load.arg("--write").arg(sh::root().join("docs/performance.md"));
    }
    sh::run(&mut load)
}

/// Builds, then kills.
pub fn chaos(args: &ChaosArgs) -> Outcome {
    build::build(Profile::Dev)?;
    let mut load = loader()?;
    load.arg("chaos").arg("--keyward").arg(Profile::Dev.binary()).args(["--kills", &args.kills.to_string()]);
    if let Some(seed) = args.seed {
        load.args(["--seed", &seed.to_string()]);
    }
    sh::run(&mut load)
}

fn loader() -> Outcome<std::process::Command> {
    step("build the load", || {
        let mut cargo = sh::cargo();
        cargo.args(["build", "--release", "--package", "xtask", "--bin", "keyward-load"]);
        sh::run(cargo.args(["--no-default-features", "--features", "load"]))
    })?;
    Ok(sh::program(sh::target().join("release/keyward-load")))
}
