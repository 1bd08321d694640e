//! The load side of `cargo xtask bench` and `cargo xtask chaos`, compiled for speed like what it measures.
//!
//! It speaks to addresses of this machine only, and stops by itself.

mod bare;
mod bench;
mod chaos;
mod client;
mod contestants;
mod hold;
mod house;
mod installation;
mod keyward;
mod lifelike;
mod meter;
mod peers;
mod raw;
mod report;
mod seed;
mod select;
mod stage;
mod upstream;
mod work;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What went wrong, in words.
type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
#[command(
    name = "keyward-load",
    about = "Loads of cargo xtask bench, chaos and test; call them through these"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Answer every request with the bytes of a file: what an HTTP server costs without Keyward
    Bare {
        /// The port on 127.0.0.1
        #[arg(long)]
        port: u16,
        /// The body of every answer
        #[arg(long)]
        body: PathBuf,
    },
    /// Answer with one SELECT: what an HTTP server with a database costs
    Select(select::Args),
    /// Keep users in memory and answer with them: what a gateway forwards to
    Upstream {
        /// The port on 127.0.0.1
        #[arg(long)]
        port: u16,
    },
    /// Write the rows of users in groups: what a database costs
    Raw(raw::Args),
    /// Measure in turn, round after round
    Bench(bench::Args),
    /// Kill with signal 9 while users are provisioned, and look for what is missing
    Chaos(chaos::Args),
    /// Fill a database as a large installation has it
    Seed(lifelike::Args),
    /// Start a Keyward with one key, say where it is, and stop it when standard input ends
    Hold(hold::Args),
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return failed(&cause),
    };
    let outcome = match Cli::parse().verb {
        Verb::Bare { port, body } => runtime.block_on(bare::serve(port, &body)),
        Verb::Select(args) => runtime.block_on(select::serve(args)),
        Verb::Upstream { port } => runtime.block_on(upstream::serve(port)),
        Verb::Raw(args) => runtime.block_on(raw::write(args)),
        Verb::Bench(args) => runtime.block_on(bench::bench(args)),
        Verb::Chaos(args) => runtime.block_on(chaos::chaos(args)),
        Verb::Seed(args) => runtime.block_on(lifelike::seed(args)),
        Verb::Hold(args) => runtime.block_on(hold::hold(args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => failed(cause.as_ref()),
    }
}

fn failed(cause: &(dyn Error + Send + Sync)) -> ExitCode {
    say(&format!("failed: {cause}"));
    ExitCode::FAILURE
}

/// Prints one line. A closed pipe is not an error of ours.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Now, for durations. The one clock of this program.
#[expect(clippy::disallowed_methods, reason = "a load measures time; this is its one clock")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
