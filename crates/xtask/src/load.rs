//! `bench` and `chaos`: builds what they need and hands over to `keyward-load`.
//!
//! The loads are a binary of their own, so that they are compiled for speed like what they measure, and so that
//! `demo` and `test` need neither an HTTP server nor clients.

use std::path::PathBuf;
use std::process::Command;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::build::{self, Profile};
use crate::out::{During, Outcome, say, step};
use crate::postgres::{self, Postgres};
use crate::{setup, sh};

/// A part of the bench.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Against what the machine and the database can do
    Limits,
    /// Against SCIM services that others made
    Peers,
    /// What the records of a request cost
    Cost,
    /// What forwarding to an upstream adds
    Gateway,
    /// Postgres against SQLite, two nodes against one
    Postgres,
    /// Writes where each sync takes longer
    Sync,
    /// From 1,000 to 1,000,000 users
    Growth,
    /// The pages of a large installation
    Lists,
}

impl Part {
    fn word(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// How long to measure.
#[derive(Args)]
pub struct BenchArgs {
    /// How often each contestant runs; parts with many contestants or a clear answer take fewer
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Seconds of each run
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Connections that are open at the same time
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Users in the directory that is measured against the limits
    #[arg(long, default_value_t = 10_000)]
    users: u32,
    /// Keys in the database of many keys
    #[arg(long, default_value_t = 10_000)]
    keys: u32,
    /// Users in the largest directory of the part `growth`
    #[arg(long, default_value_t = 1_000_000)]
    most_users: u32,
    /// Also from 1,000 to 1,000,000 users
    #[arg(long)]
    growth: bool,
    /// Only these parts (may be given more than once)
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// A look in three minutes: two rounds of a second, 2000 users, 200 keys
    #[arg(long)]
    quick: bool,
    /// The size of the installation of the part `lists`
    #[command(flatten)]
    sizes: Sizes,
    /// Do not write the result to docs/performance.md
    #[arg(long)]
    dry: bool,
}

impl BenchArgs {
    /// What a quick look leaves out.
    fn quickly(self) -> Self {
        if !self.quick {
            return self;
        }
        let sizes = self.sizes.tenth();
        Self { rounds: 2, seconds: 1, users: 2_000, keys: 200, most_users: 20_000, sizes, ..self }
    }

    fn parts(&self) -> Vec<Part> {
        let all = Part::value_variants().iter().copied();
        let wanted = |part: &Part| {
            if self.only.is_empty() {
                *part != Part::Lists && (*part != Part::Growth || self.growth)
            } else {
                self.only.contains(part)
            }
        };
        all.filter(wanted).collect()
    }

    /// What was typed, without what is as it comes.
    fn typed() -> String {
        let typed = std::env::args().skip(1).filter(|word| word != "--dry");
        typed.fold("cargo xtask".to_owned(), |text, word| text + " " + &word)
    }
}

/// How much a large installation has; what is not said is as the load has it.
#[derive(Args, Clone, Copy)]
struct Sizes {
    /// Federations
    #[arg(long, default_value_t = 1_000)]
    federations: u32,
    /// Keys of that installation, in all states
    #[arg(long, default_value_t = 10_000)]
    provisioning_keys: u32,
    /// Usage records
    #[arg(long, default_value_t = 1_000_000)]
    usage_records: u32,
    /// Audit records
    #[arg(long, default_value_t = 1_000_000)]
    audit_records: u32,
    /// Users of all its directories together
    #[arg(long, default_value_t = 60_000)]
    people: u32,
    /// The number that everything in it follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Sizes {
    /// A tenth of everything.
    const fn tenth(self) -> Self {
        Self {
            federations: self.federations / 10,
            provisioning_keys: self.provisioning_keys / 10,
            usage_records: self.usage_records / 10,
            audit_records: self.audit_records / 10,
            people: self.people / 10,
            seed: self.seed,
        }
    }

    /// As the load takes them.
    fn words(self) -> Vec<String> {
        let sizes = [
            ("federations", self.federations.into()),
            ("provisioning-keys", self.provisioning_keys.into()),
            ("usage-records", self.usage_records.into()),
            ("audit-records", self.audit_records.into()),
            ("people", self.people.into()),
            ("seed", self.seed),
        ];
        sizes
            .into_iter()
            .flat_map(|(name, value): (&str, u64)| [format!("--{name}"), value.to_string()])
            .collect()
    }
}

/// Where a large installation is made.
#[derive(Args)]
pub struct SeedArgs {
    /// A SQLite file, or the address of a Postgres database; target/seed/keyward.db when it is not said
    #[arg(long)]
    database: Option<String>,
    /// The file with its master key in hexadecimal; made beside the SQLite file when there is none
    #[arg(long)]
    master_key: Option<PathBuf>,
    /// How much
    #[command(flatten)]
    sizes: Sizes,
}

/// Builds the load, and fills a database with it.
pub fn seed(args: SeedArgs) -> Outcome {
    let folder = sh::target().join("seed");
    std::fs::create_dir_all(&folder).during("make the folder of the seed")?;
    let database = args.database.unwrap_or_else(|| folder.join("keyward.db").display().to_string());
    let master_key = args.master_key.unwrap_or_else(|| folder.join("master.key"));
    let mut load = loader()?;
    load.args(["seed", "--database", &database, "--master-key"]).arg(&master_key).args(args.sizes.words());
    sh::run(&mut load)?;
    say(format_args!("\nStart it with KEYWARD_MASTER_KEY=$(cat {})", master_key.display()));
    Ok(())
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
    let parts = args.parts();
    // Before the other, which then takes its place: this one must never be shipped.
    let switchable = if parts.contains(&Part::Cost) { Some(switchable()?) } else { None };
    build::build(Profile::Release)?;
    let mut load = loader()?;
    load.arg("bench")
        .arg("--keyward")
        .arg(Profile::Release.binary())
        .args(["--command", &BenchArgs::typed()]);
    load.arg("--scratch").arg(scratch());
    load.args(["--rounds", &args.rounds.to_string(), "--seconds", &args.seconds.to_string()]);
    load.args(["--connections", &args.connections.to_string(), "--users", &args.users.to_string()]);
    load.args(["--keys", &args.keys.to_string(), "--most-users", &args.most_users.to_string()]);
    for part in &parts {
        load.args(["--part", &part.word()]);
    }
    if parts.contains(&Part::Peers) {
        for peer in peers() {
            load.args(["--peer", &peer.to_string()]);
        }
    }
    if parts.contains(&Part::Sync)
        && let Some(library) = slow_sync()?
    {
        load.arg("--slow-sync").arg(library);
    }
    if let Some(binary) = switchable {
        load.arg("--switchable").arg(binary);
    }
    // It lives as long as the run.
    let needs_postgres = parts.contains(&Part::Postgres) || parts.contains(&Part::Lists);
    let postgres = if needs_postgres { Some(Postgres::start()?) } else { None };
    if let Some(postgres) = postgres.as_ref().filter(|_| parts.contains(&Part::Lists)) {
        load.args(["--lists-postgres", &postgres::database(postgres.url(), "keyward_lists")?]);
        load.args(args.sizes.words());
    }
    if let Some(postgres) = postgres.as_ref().filter(|_| parts.contains(&Part::Postgres)) {
        load.args(["--postgres", &postgres::database(postgres.url(), "keyward_bench")?]);
    }
    if !args.dry {
        load.arg("--write").arg(sh::root().join("docs/performance.md"));
    }
    sh::run(&mut load)
}

/// Where the bench makes databases, and keeps the large ones.
fn scratch() -> PathBuf {
    sh::target().join("bench")
}

/// A build of Keyward that can be told to leave no records, beside the bench's databases.
fn switchable() -> Outcome<PathBuf> {
    build::server_for_bench()?;
    let binary = scratch().join("keyward-for-bench");
    std::fs::create_dir_all(scratch()).during("make the folder of the bench")?;
    std::fs::rename(Profile::Release.binary(), &binary).during("put the binary of the bench aside")?;
    Ok(binary)
}

/// The peers that are installed; says which are not.
fn peers() -> Vec<Value> {
    let folder = sh::root().join("end2end");
    let mut peers = Vec::new();
    let version = |file: PathBuf, line: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().find_map(|text| text.trim().strip_prefix(line).map(str::to_owned)).unwrap_or_default()
    };
    let scimmy = folder.join("node_modules/scimmy");
    if scimmy.is_dir() && folder.join("node_modules/scimmy-routers").is_dir() && sh::has("node") {
        let version = version(scimmy.join("package.json"), "\"version\": ");
        let name = format!("SCIMMY {}", version.trim_matches(['"', ',']));
        peers.push(
            json!({ "name": name, "command": ["node", folder.join("peers/scimmy.mjs")], "target": 10 }),
        );
    } else {
        say("  SCIMMY is not installed: `cargo xtask setup --peers`");
    }
    if let Some(python) = setup::peers_python() {
        let name =
            format!("scim2-server {}", version(folder.join("peers/requirements.txt"), "scim2-server=="));
        let command = json!([python, folder.join("peers/scim2-server.py")]);
        peers.push(json!({ "name": name, "command": command, "target": 10 }));
    } else {
        say("  scim2-server is not installed: `cargo xtask setup --peers`");
    }
    peers
}

/// The library that makes each sync last longer; none where there is no C compiler.
fn slow_sync() -> Outcome<Option<PathBuf>> {
    if !sh::has("cc") {
        say("  no C compiler is installed: nothing is measured with a slower sync");
        return Ok(None);
    }
    let library = scratch().join("slow_sync.so");
    std::fs::create_dir_all(scratch()).during("make the folder of the bench")?;
    let mut cc = sh::program("cc");
    cc.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library);
    sh::run(cc.arg(sh::root().join("crates/xtask/src/bin/load/slow_sync.c")).arg("-ldl"))?;
    Ok(Some(library))
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

fn loader() -> Outcome<Command> {
    step("build the load", || {
        let mut cargo = sh::cargo();
        cargo.args(["build", "--release", "--package", "xtask", "--bin", "keyward-load"]);
        sh::run(cargo.args(["--no-default-features", "--features", "load"]))
    })?;
    Ok(sh::program(sh::target().join("release/keyward-load")))
}
