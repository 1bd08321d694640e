//! `test`: every check and every test, on both databases, to the end even when one fails.
//!
//! A new check is a variant of [`Stage`] and an arm of [`run`]; it is counted by itself.

mod conformance;
mod counts;

use std::path::Path;
use std::thread;

use clap::ValueEnum;

use crate::build::{self, Profile};
use crate::out::{Clock, Outcome, say};
use crate::postgres::{self, Postgres};
use crate::{setup, sh, site, tidy};
use counts::Counts;

const WASM: [&str; 4] = ["--package", "frontend", "--target", "wasm32-unknown-unknown"];
/// All that runs on this machine; the front end would switch `app` to hydration.
const HOST: [&str; 3] = ["--workspace", "--exclude", "frontend"];

/// One part of the whole.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// cargo fmt --check
    Fmt,
    /// The laws that need no compiler
    Tidy,
    /// clippy, for the server's side and for wasm
    Clippy,
    /// cargo-deny: licences, bans, sources, advisories
    Deny,
    /// The front end
    Site,
    /// Unit and integration tests, on SQLite and Postgres; documentation tests
    Unit,
    /// The binary
    Build,
    /// Public SCIM checkers on both databases; filters and PATCH beside programs of other people
    Conformance,
    /// Playwright, on SQLite and then on Postgres
    End2end,
}

impl Stage {
    const ALL: [Self; 9] = [
        Self::Fmt,
        Self::Tidy,
        Self::Clippy,
        Self::Deny,
        Self::Site,
        Self::Unit,
        Self::Build,
        Self::Conformance,
        Self::End2end,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Fmt => "format",
            Self::Tidy => "tidy: the laws that need no compiler",
            Self::Clippy => "clippy, server and wasm",
            Self::Deny => "deny: licences, bans, sources, advisories",
            Self::Site => "front end",
            Self::Unit => "unit and integration tests, on SQLite and Postgres",
            Self::Build => "the binary",
            Self::Conformance => "conformance: public SCIM checkers, on SQLite and Postgres",
            Self::End2end => "end to end: Playwright, on SQLite and Postgres",
        }
    }
}

/// Runs the stages that are named, or all.
///
/// # Errors
/// When anything failed; the last line then still has both numbers.
pub fn test(only: &[Stage]) -> Outcome {
    let whole = Clock::start();
    let stages = Stage::ALL.into_iter().filter(|stage| only.is_empty() || only.contains(stage));
    let stages: Vec<Stage> = stages.collect();
    let needs = |list: &[Stage]| list.iter().any(|stage| stages.contains(stage));
    setup::setup(setup::Wanted {
        tests: needs(&[Stage::Deny, Stage::Unit, Stage::End2end]),
        // The upstreams of the gateway's tests come with the checkers.
        conformance: needs(&[Stage::Unit, Stage::Conformance]),
        ..setup::Wanted::default()
    })?;
    let needs_postgres = needs(&[Stage::Unit, Stage::Conformance, Stage::End2end]);
    let postgres = if needs_postgres { Some(Server::find()?) } else { None };

    let mut total = Counts::default();
    let mut summary = Vec::new();
    for stage in stages {
        say(format_args!("\n━━ {}", stage.title()));
        let clock = Clock::start();
        let counts = run(stage, postgres.as_ref()).unwrap_or_else(|failure| {
            say(format_args!("{failure}"));
            Counts::failure()
        });
        let mark = if counts.failed == 0 { "ok" } else { "FAILED" };
        summary.push(format!("  {mark:<7}{:>8}  {:<58} {counts}", clock.to_string(), stage.title()));
        total += counts;
    }
    drop(postgres);

    say(format_args!("\n━━ all stages, {whole}"));
    for line in &summary {
        say(line);
    }
    say(format_args!("{total}"));
    // The line above is the last one, so a failure says no more than that.
    if total.failed == 0 { Ok(()) } else { std::process::exit(1) }
}

fn run(stage: Stage, postgres: Option<&Server>) -> Outcome<Counts> {
    match stage {
        Stage::Fmt => {
            let check = sh::run(sh::cargo().args(["fmt", "--all", "--check"]));
            check.map_err(|failure| failure.cure("run `cargo fmt --all`")).map(|()| Counts::success())
        }
        Stage::Tidy => tidy::tidy().map(|()| Counts::success()),
        Stage::Clippy => Ok(clippy()),
        Stage::Deny => deny(),
        Stage::Site => site::site(Profile::Dev).map(|_| Counts::success()),
        Stage::Unit => unit(postgres),
        Stage::Build => build::server(Profile::Dev).map(|()| Counts::success()),
        Stage::Conformance => conformance(postgres),
        Stage::End2end => end2end(postgres),
    }
}

fn clippy() -> Counts {
    let mut host = sh::cargo();
    host.arg("clippy").args(HOST).args([
        "--all-targets",
        "--features",
        "xtask/load",
        "--",
        "--deny",
        "warnings",
    ]);
    let mut wasm = sh::cargo();
    wasm.arg("clippy").args(WASM).args(["--", "--deny", "warnings"]);
    counted(&sh::run(&mut host)) + counted(&sh::run(&mut wasm))
}

/// Advisories come from a database on the network; where it cannot be had, the rest is still checked.
fn deny() -> Outcome<Counts> {
    let deny = |what: &[&str]| {
        let mut command = sh::program(setup::deny_path());
        command.args(["check", "--hide-inclusion-graph"]).args(what);
        command
    };
    let rules = counted(&sh::run(&mut deny(&["bans", "licenses", "sources"])));
    let advisories = sh::watch(&mut deny(&["advisories"]))?;
    if advisories.success {
        return Ok(rules + Counts::success());
    }
    if ["failed to fetch advisory database", "failed to load advisory database"]
        .iter()
        .any(|s| advisories.text.contains(s))
    {
        say("  the advisory database cannot be fetched from here: advisories are not checked, the rest is");
        return Ok(rules + Counts { skipped: 1, ..Counts::default() });
    }
    Ok(rules + Counts::failure())
}

fn unit(postgres: Option<&Server>) -> Outcome<Counts> {
    let url = postgres.map(Server::url).unwrap_or_default();
    let mut tests = sh::cargo();
    let nextest = sh::has("cargo-nextest");
    if nextest {
        tests.args(["nextest", "run", "--no-fail-fast", "--color", "never"]).args(HOST);
    } else {
        tests.args(["test", "--no-fail-fast", "--lib", "--bins", "--tests"]).args(HOST);
    }
    tests.env("KEYWARD_TEST_UPSTREAMS", setup::python_path().with_file_name(""));
    let seen = sh::watch(tests.env("KEYWARD_TEST_POSTGRES", url))?;
    let counts = if nextest { counts::of_nextest(&seen.text) } else { counts::of_libtest(&seen.text) };
    let mut docs = sh::cargo();
    docs.args(["test", "--doc", "--quiet"]).args(HOST);
    let docs = sh::watch(&mut docs)?;
    let doc_counts = counts::of_libtest(&docs.text);
    Ok(counts.or_failure(seen.success) + doc_counts.or_failure(docs.success))
}

fn conformance(postgres: Option<&Server>) -> Outcome<Counts> {
    let mut counts = conformance::differential()?;
    conformance::build()?;
    say("▸ the checkers, on SQLite");
    counts += conformance::checkers(None)?;
    say("▸ the checkers, on Postgres");
    match postgres {
        Some(server) => counts += conformance::checkers(Some(&server.database("keyward_conformance")?))?,
        None => counts += Counts::failure(),
    }
    Ok(counts)
}

/// Both databases at the same time: most of a run is waiting for cycles of a provider.
fn end2end(postgres: Option<&Server>) -> Outcome<Counts> {
    let database = postgres.map(|server| server.database("keyward_end2end")).transpose()?;
    let counts = thread::scope(|scope| {
        let sqlite = scope.spawn(|| playwright("sqlite", "sqlite"));
        let postgres = database.map_or_else(Counts::failure, |url| playwright("postgres", &url));
        sqlite.join().map_or_else(|_| Counts::failure(), |sqlite| sqlite + postgres)
    });
    Ok(counts)
}

fn playwright(name: &str, database: &str) -> Counts {
    let folder = sh::root().join("end2end");
    let report = folder.join(format!("test-results/{name}.json"));
    let _ = std::fs::remove_file(&report);
    let mut playwright = sh::program(folder.join("node_modules/.bin/playwright"));
    playwright.arg("test").current_dir(&folder);
    playwright.env("KEYWARD_E2E_DATABASE", database).env("KEYWARD_E2E_BINARY", Profile::Dev.binary());
    let ran = sh::run(playwright.env("PLAYWRIGHT_JSON_OUTPUT_NAME", &report));
    if let Err(failure) = &ran {
        say(format_args!("{failure}"));
    }
    counts_of_report(&report).or_failure(ran.is_ok())
}

fn counts_of_report(report: &Path) -> Counts {
    std::fs::read_to_string(report).map(|text| counts::of_playwright(&text)).unwrap_or_default()
}

fn counted(outcome: &Outcome) -> Counts {
    match outcome {
        Ok(()) => Counts::success(),
        Err(failure) => {
            say(format_args!("{failure}"));
            Counts::failure()
        }
    }
}

/// The Postgres of the tests: the one that the environment names, or one of our own.
enum Server {
    Given(String),
    Own(Postgres),
}

impl Server {
    fn find() -> Outcome<Self> {
        match std::env::var("KEYWARD_TEST_POSTGRES") {
            Ok(url) if !url.is_empty() => Ok(Self::Given(url)),
            _ => Postgres::start().map(Self::Own),
        }
    }

    fn url(&self) -> &str {
        match self {
            Self::Given(url) => url,
            Self::Own(own) => own.url(),
        }
    }

    /// An empty database for one run.
    fn database(&self, name: &str) -> Outcome<String> {
        let name = format!("{name}_{}", std::process::id());
        postgres::database(self.url(), &name)
    }
}
