//! `bench` and `chaos`: builds what they need and hands over to `keyward-load`.
//!
//! The loads are a binary of their own, so that they are compiled for speed like what they measure, and so that
//! `demo` and `test` need neither an HTTP server nor clients.

use clap::Args;

use crate::build::{self, Profile};
use crate::out::{Outcome, step};
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
    /// Users in the database
    #[arg(long, default_value_t = 1000)]
    users: u32,
    /// Do not write the result to docs/performance.md
    #[arg(long)]
    dry: bool,
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
pub fn bench(args: &BenchArgs) -> Outcome {
    setup::setup(setup::Wanted { bench: true, ..setup::Wanted::default() })?;
    build::build(Profile::Release)?;
    let mut load = loader()?;
    load.arg("bench").arg("--keyward").arg(Profile::Release.binary());
    load.args(["--rounds", &args.rounds.to_string(), "--seconds", &args.seconds.to_string()]);
    load.args(["--connections", &args.connections.to_string(), "--users", &args.users.to_string()]);
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
