//! Differential tests: the same filters and PATCH requests are put to this crate and to programs of other people.
//!
//! `cargo run --package scim --example differential -- generate FOLDER` writes cases, which are the same for the same
//! seed, each with the answer of this crate. The oracles in `end2end/conformance` read them and write answers of their
//! own beside them. `differential compare FOLDER` then looks at every pair of answers: they are equal, or a rule in
//! [`rules`] says what the oracle does otherwise and which section of the standard decides. Everything else is a
//! failure, and so is a rule that explains nothing any more. `cargo xtask test --only conformance` runs all three.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of the tests says what it found")]

mod chance;
mod filters;
mod patches;
mod people;
mod rules;

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::{Value, json};

use self::chance::Chance;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Filters; each is put to [`people::COUNT`] users.
const FILTERS: usize = 12_000;
/// PATCH requests.
const PATCHES: usize = 30_000;
/// How many differences are shown whole.
const SHOWN: usize = 12;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["generate", folder] => generate(Path::new(folder), chance::SEED),
        ["generate", folder, seed] => {
            seed.parse().map_err(Into::into).and_then(|seed| generate(Path::new(folder), seed))
        }
        ["compare", folder] => compare(Path::new(folder)),
        _ => Err("usage: differential generate FOLDER [SEED] | differential compare FOLDER".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(folder: &Path, seed: u64) -> Outcome {
    fs::create_dir_all(folder)?;
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    let people: Vec<Value> = (0..people::COUNT).map(|number| people::rendered(&mut chance, number)).collect();
    let folded: Vec<Value> = people.iter().map(filters::fold_person).collect();
    fs::write(folder.join("people.json"), json!({ "people": people, "folded": folded }).to_string())?;
    let mut lines = String::new();
    for _ in 0..FILTERS {
        lines.push_str(&filters::case(&mut chance, &people).to_string());
        lines.push('\n');
    }
    fs::write(folder.join("filters.jsonl"), lines)?;
    let mut lines = String::new();
    for _ in 0..PATCHES {
        lines.push_str(&patches::case(&mut chance).to_string());
        lines.push('\n');
    }
    fs::write(folder.join("patches.jsonl"), lines)?;
    println!("{} cases of filters, {PATCHES} of PATCH", FILTERS * people::COUNT);
    Ok(())
}

/// What was found in the answers of one oracle.
#[derive(Default)]
struct Tally {
    same: usize,
    explained: BTreeMap<&'static str, usize>,
    differences: usize,
}

fn compare(folder: &Path) -> Outcome {
    let mut failed = 0;
    for (oracle, subject) in rules::ORACLES {
        let cases = lines(&folder.join(format!("{subject}.jsonl")))?;
        let answers = lines(&folder.join(format!("{oracle}.{subject}.jsonl")))?;
        if cases.len() != answers.len() {
            return Err(format!("{oracle}: {} answers to {} {subject}", answers.len(), cases.len()).into());
        }
        let mut tally = Tally::default();
        for (case, answer) in cases.iter().zip(&answers) {
            for pair in rules::pairs(oracle, subject, case, answer) {
                if pair.ours == pair.theirs {
                    tally.same += 1;
                } else if let Some(rule) = rules::explanation(oracle, subject, case, &pair) {
                    *tally.explained.entry(rule).or_default() += 1;
                } else {
                    tally.differences += 1;
                    if tally.differences <= SHOWN {
                        println!(
                            "  DIFFERENT {oracle}: {}\n    ours   {}\n    theirs {}",
                            rules::shown(case),
                            pair.ours,
                            pair.theirs
                        );
                    }
                }
            }
        }
        let explained: usize = tally.explained.values().sum();
        println!(
            "{oracle}, {subject}: {} the same, {explained} explained by a rule, {} different",
            tally.same, tally.differences
        );
        for (rule, count) in &tally.explained {
            println!("  {count:>7}  {rule}");
        }
        failed += tally.differences;
        for rule in rules::of(oracle, subject).filter(|rule| !tally.explained.contains_key(rule)) {
            println!("  STALE rule of {oracle}: explains nothing any more: {rule}");
            failed += 1;
        }
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} differences without a reason").into()) }
}

fn lines(path: &PathBuf) -> Outcome<Vec<Value>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines().map(|line| serde_json::from_str(line).map_err(Into::into)).collect()
}
