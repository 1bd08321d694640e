//! `conformance`: what programs of other people say of Keyward.
//!
//! Two parts. The *checkers* are PyPI's scim2-tester and scim-sanity and a comparison of `/Schemas` with RFC 7643
//! 8.7.1, against a running Keyward on each database; each of their checks is counted. A check that is wrong by the
//! standard stands in `end2end/conformance/allowed.json` with the reason; it counts as passed while it fails, and as
//! failed when it begins to pass. The *differential* tests put 100,000 filters and PATCH requests to `crates/scim` and
//! to four implementations: see `crates/scim/examples/differential`. A new checker is a name in [`CHECKERS`] and a
//! function of that name in `end2end/conformance/checks.py`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::counts::Counts;
use crate::build::{self, Profile};
use crate::out::{Clock, During, Failure, Outcome, say, step};
use crate::{setup, sh};

const CHECKERS: [&str; 3] = ["scim2-tester", "scim-sanity", "schemas"];

/// One line of a checker.
#[derive(Deserialize)]
struct Check {
    #[serde(rename = "check")]
    name: String,
    outcome: CheckOutcome,
    reason: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum CheckOutcome {
    Passed,
    Failed,
    Skipped,
}

/// A check that is wrong, and why.
#[derive(Deserialize)]
struct Allowed {
    checker: String,
    check: String,
    /// The section of the standard that decides.
    section: String,
    reason: String,
}

/// Builds the binary, which is there already after the stage before, and what holds it.
pub fn build() -> Outcome {
    build::server(Profile::Dev)?;
    step("build keyward-load", || {
        let mut cargo = sh::cargo();
        cargo.args(["build", "--package", "xtask", "--bin", "keyward-load"]);
        sh::run(cargo.args(["--no-default-features", "--features", "load"]))
    })
}

/// Runs every checker against a Keyward on SQLite, or on this empty Postgres database.
pub fn checkers(database: Option<&str>) -> Outcome<Counts> {
    let allowed = std::fs::read_to_string(sh::root().join("end2end/conformance/allowed.json"))
        .during("read end2end/conformance/allowed.json")?;
    let allowed: Vec<Allowed> =
        serde_json::from_str(&allowed).during("read end2end/conformance/allowed.json")?;
    let mut counts = Counts::default();
    let held = Held::start(database)?;
    for checker in CHECKERS {
        let clock = Clock::start();
        let checks = held.check(checker)?;
        let of_checker = judge(checker, &checks, &allowed);
        say(format_args!("  {checker}: {of_checker} in {clock}"));
        counts += of_checker;
    }
    held.end()?;
    // The end says that the audit chain was whole.
    Ok(counts + Counts::success())
}

fn judge(checker: &str, checks: &[Check], allowed: &[Allowed]) -> Counts {
    let mut counts = Counts::default();
    let fail = |words: &str| {
        say(format_args!("  FAILED {checker}: {words}"));
        Counts::failure()
    };
    for Check { name: check, outcome, reason } in checks {
        let known = allowed.iter().find(|allowed| allowed.checker == checker && allowed.check == *check);
        counts += match (outcome, known) {
            (CheckOutcome::Passed, None) | (CheckOutcome::Failed, Some(_)) => Counts::success(),
            (CheckOutcome::Failed, None) => fail(&format!("{check}\n    {}", reason.replace('\n', "\n    "))),
            (CheckOutcome::Passed, Some(known)) => fail(&format!(
                "{check} passes now: take it out of allowed.json ({}, {})",
                known.section, known.reason
            )),
            (CheckOutcome::Skipped, _) => Counts { skipped: 1, ..Counts::default() },
        };
    }
    for known in allowed.iter().filter(|allowed| allowed.checker == checker) {
        if !checks.iter().any(|check| check.name == known.check && check.outcome != CheckOutcome::Skipped) {
            counts += fail(&format!("{} is in allowed.json and did not run", known.check));
        }
    }
    if checks.is_empty() {
        counts += fail("it checked nothing");
    }
    counts
}

/// A Keyward that runs until it is let go.
struct Held {
    process: Child,
    base: String,
    token: String,
}

impl Held {
    fn start(database: Option<&str>) -> Outcome<Self> {
        let mut command = sh::program(sh::target().join("debug/keyward-load"));
        command.arg("hold").arg("--keyward").arg(Profile::Dev.binary());
        if let Some(url) = database {
            command.args(["--database", url]);
        }
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().during("start keyward-load hold")?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line).during("read what keyward-load hold says")?;
        }
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        match (said["base"].as_str(), said["token"].as_str()) {
            (Some(base), Some(token)) => Ok(Self { process, base: base.to_owned(), token: token.to_owned() }),
            _ => Err(Failure::new(format!("keyward-load hold said `{}`", line.trim()))),
        }
    }

    fn check(&self, checker: &str) -> Outcome<Vec<Check>> {
        let mut python = Command::new(setup::python_path());
        python.arg(sh::root().join("end2end/conformance/checks.py")).arg(checker);
        let text = sh::read(python.env("KEYWARD_BASE", &self.base).env("KEYWARD_TOKEN", &self.token))?;
        text.lines().map(|line| serde_json::from_str(line).during("read what a checker says")).collect()
    }

    fn end(mut self) -> Outcome {
        drop(self.process.stdin.take());
        let status = self.process.wait().during("wait for keyward-load hold")?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!("keyward-load hold ended with {status}: the audit chain is not whole")))
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // After `end` there is nothing left to stop; after an error the end of its input stops it.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Cases, answers of all, comparison.
pub fn differential() -> Outcome<Counts> {
    let folder = sh::target().join("conformance/cases");
    let example = |verb: &str| {
        let mut cargo = sh::cargo();
        cargo.args(["run", "--quiet", "--package", "scim", "--example", "differential", "--", verb]);
        cargo.arg(&folder);
        cargo
    };
    step("make filters and PATCH requests, and answer them", || sh::run(&mut example("generate")))?;
    step("ask the oracles", || {
        let scripts = sh::root().join("end2end/conformance");
        let mut python = Command::new(setup::python_path());
        let mut python = python
            .arg(scripts.join("oracles.py"))
            .arg(&folder)
            .spawn()
            .during("start the oracles in Python")?;
        let mut node = sh::program("node");
        let npm = sh::run(node.arg(scripts.join("oracles.mjs")).arg(&folder));
        let status = python.wait().during("wait for the oracles in Python")?;
        npm?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("oracles.py ended with {status}"))) }
    })?;
    let seen = sh::watch(&mut example("compare"))?;
    // One claim for each oracle and kind of case: all answers are the same, or a rule says why not.
    let claims = seen.text.lines().filter(|line| line.contains(" different") && line.contains(" the same"));
    let (good, bad): (Vec<&str>, Vec<&str>) = claims.partition(|line| line.contains(", 0 different"));
    let counts = Counts {
        passed: u64::try_from(good.len()).unwrap_or(0),
        failed: u64::try_from(bad.len()).unwrap_or(0),
        skipped: 0,
    };
    Ok(counts.or_failure(seen.success))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcome: CheckOutcome, is_allowed: bool, expect: Counts) {
        let checks = [Check { name: "a".to_owned(), outcome, reason: String::new() }];
        let allowed: Vec<Allowed> = is_allowed
            .then(|| Allowed {
                checker: "x".to_owned(),
                check: "a".to_owned(),
                section: "RFC 7643 4.2".to_owned(),
                reason: "so".to_owned(),
            })
            .into_iter()
            .collect();
        assert_eq!(judge("x", &checks, &allowed), expect);
    }

    #[test]
    fn an_allowed_check_must_fail_and_any_other_must_pass() {
        check(CheckOutcome::Passed, false, Counts::success());
        check(CheckOutcome::Failed, false, Counts::failure());
        check(CheckOutcome::Failed, true, Counts::success());
        check(CheckOutcome::Passed, true, Counts::failure());
        check(CheckOutcome::Skipped, false, Counts { skipped: 1, ..Counts::default() });
        check(CheckOutcome::Skipped, true, Counts { skipped: 1, ..Counts::failure() });
    }

    #[test]
    fn a_checker_that_says_nothing_is_a_failure() {
        assert_eq!(judge("x", &[], &[]), Counts::failure());
    }
}
