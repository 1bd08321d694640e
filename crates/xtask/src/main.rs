//! Keyward's task runner: `cargo xtask <verb>`.
//!
//! One verb is one module. A step prints a line when it begins and the seconds it took; a failure says what failed
//! and what to do about it. A new verb is a variant of [`Verb`] and a module with a function of its name.

mod budgets;
mod build;
mod css;
mod demo;
mod dev;
mod fuzz;
mod load;
mod out;
mod postgres;
mod setup;
mod sh;
mod site;
mod test;
mod tidy;
mod wasm;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::build::Profile;
use crate::out::{Outcome, say};

/// Everything that is done to Keyward's source: build it, try it, test it, measure it.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "Begin with `cargo xtask demo`: it builds Keyward and opens it with lifelike data.\n\
                  Before a commit: `cargo xtask test`, which is exactly what CI runs."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what the build needs (the wasm target); with --tests, what the tests need too
    #[command(
        after_help = "Quick when everything is there. `--tests` adds Debian's chromium and postgresql (when \
                            root), the npm packages of end2end, Python's public SCIM checkers in target/conformance, and \
                            cargo-deny in target/tools."
    )]
    Setup {
        /// Also what the tests need: chromium, postgresql, npm packages, SCIM checkers, cargo-deny
        #[arg(long)]
        tests: bool,
        /// Also what the bench likes to have: wrk
        #[arg(long)]
        bench: bool,
        /// Also the SCIM services that the bench compares with: SCIMMY (npm) and scim2-server (PyPI)
        #[arg(long)]
        peers: bool,
    },
    /// Build the front end and the one binary `keyward` that has it inside
    #[command(
        after_help = "Writes target/site (front end) and target/debug/keyward or target/release/keyward.\n\
                            A release build also checks the size budgets and fails above them."
    )]
    Build(BuildArgs),
    /// Build, then start Keyward with demo data and print its address
    Demo,
    /// Like demo, and build again and restart when a source file changes
    Dev,
    /// Run every check and every test; ends with `N passed, N failed`
    #[command(
        after_help = "Stages, in order: fmt, tidy, clippy, deny, site, unit, build, conformance, end2end.\n\
                            All stages run even when one fails. For one of them: `cargo xtask test --only clippy`.\n\
                            KEYWARD_TEST_POSTGRES=postgres://… uses a Postgres of yours instead of a temporary one."
    )]
    Test {
        /// Only these stages (may be given more than once)
        #[arg(long, value_enum)]
        only: Vec<test::Stage>,
    },
    /// Check the laws that need no compiler: headers, sizes, the map, migrations, who depends on whom
    Tidy,
    /// Measure Keyward against what the machine can do, and against other services, in interleaved runs
    #[command(
        after_help = "Less than 15 minutes; with --growth 15 more, and 3 GB of disk. Replaces the tables of docs/performance.md.\n\
                            `cargo xtask setup --peers` brings the services that others made; without them, it says so."
    )]
    Bench(load::BenchArgs),
    /// Fill a database as a large installation has it after three months, to try lists on
    #[command(
        after_help = "1,000 federations, 10,000 keys, a million usage records and a million audit records, sealed and signed:\n\
                            minutes, and 2 GB of disk. The same --seed makes the same installation."
    )]
    Seed(load::SeedArgs),
    /// Feed filters, paths, PATCH, bodies, Bulk, queries, keys and cursors with what nobody would write
    #[command(
        after_help = "Needs the nightly toolchain (`rustup toolchain install nightly`) and cargo-fuzz\n\
                            (`cargo install cargo-fuzz --locked`); says so when one of them is missing."
    )]
    Fuzz(fuzz::FuzzArgs),
    /// Kill Keyward with signal 9 again and again while it works, and look for lost writes
    Chaos(load::ChaosArgs),
}

#[derive(Args)]
struct BuildArgs {
    /// Small and fast: minutes instead of seconds, and the size budgets are checked
    #[arg(long)]
    release: bool,
    /// Only the front end (target/site), not the binary
    #[arg(long)]
    site: bool,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Setup { tests, bench, peers } => {
            setup::setup(setup::Wanted { tests, conformance: tests, bench, peers })
        }
        Verb::Build(args) => build(&args),
        Verb::Demo => demo::demo(),
        Verb::Dev => dev::dev(),
        Verb::Test { only } => test::test(&only),
        Verb::Tidy => tidy::tidy(),
        Verb::Bench(args) => load::bench(args),
        Verb::Seed(args) => load::seed(args),
        Verb::Fuzz(args) => fuzz::fuzz(&args),
        Verb::Chaos(args) => load::chaos(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(format_args!("\nxtask: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn build(args: &BuildArgs) -> Outcome {
    let profile = if args.release { Profile::Release } else { Profile::Dev };
    if args.site { site::site(profile).map(drop) } else { build::build(profile) }
}
