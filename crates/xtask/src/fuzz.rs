//! `fuzz`: feeds what reads strangers' input with what nobody would write.
//!
//! The targets are in `fuzz/`, a workspace of its own. They need the nightly toolchain and `cargo-fuzz`, which nothing
//! else here does. A run begins with what is kept in `fuzz/corpus` and with what the recordings in
//! `crates/scim/tests/dialects` send; what it finds goes to `fuzz/found`, and with `--keep` what reaches a place in
//! the code that nothing else reaches becomes the corpus.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use clap::Args;
use serde_json::Value;

use crate::out::{During, Failure, Outcome, step};
use crate::sh;

/// The longest input that is fed, in bytes: what a longer one reaches, a shorter one does.
const MOST_BYTES: &str = "-max_len=4096";

/// What to feed, and how long.
#[derive(Args)]
pub struct FuzzArgs {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only these targets (may be given more than once)
    #[arg(long)]
    only: Vec<String>,
    /// Afterwards write the smallest set of inputs that reaches as much into fuzz/corpus
    #[arg(long)]
    keep: bool,
}

/// Runs the targets one after the other. All run, even when one finds something.
///
/// # Errors
/// When the nightly toolchain or `cargo-fuzz` is missing, a target does not build, or one finds something.
pub fn fuzz(args: &FuzzArgs) -> Outcome {
    if !sh::succeeds(nightly().arg("--version")) {
        return Err(Failure::new("fuzzing needs the nightly toolchain, which is not installed")
            .cure("`rustup toolchain install nightly --profile minimal`"));
    }
    if !sh::succeeds(nightly().args(["fuzz", "--version"])) {
        return Err(Failure::new("fuzzing needs cargo-fuzz, which is not installed")
            .cure("`cargo install cargo-fuzz --locked`"));
    }
    let listed = sh::read(nightly().args(["fuzz", "list", FOLDER]))?;
    let all: Vec<&str> = listed.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = args.only.iter().find(|name| !all.contains(&name.as_str())) {
        return Err(
            Failure::new(format!("there is no target {unknown}")).cure(format!("one of: {}", all.join(", ")))
        );
    }
    step("write what the dialects send into fuzz/found", || {
        let mut seeds = seeds(&sh::root().join("crates/scim/tests/dialects"))?;
        for name in &all {
            sow(&sh::root().join("fuzz/found").join(name), &seeds.remove(*name).unwrap_or_default())?;
        }
        Ok(())
    })?;
    step("build the targets", || sh::run(nightly().args(["fuzz", "build", FOLDER])))?;
    let mut found = Vec::new();
    for name in all.iter().filter(|name| args.only.is_empty() || args.only.iter().any(|only| only == *name)) {
        let limit = format!("-max_total_time={}", args.seconds);
        // Five seconds are a hundred times what any input may take; a gibibyte is more than all of Keyward needs.
        let limits = [limit.as_str(), MOST_BYTES, "-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"];
        // What is new is written into the first folder.
        let folders = [format!("found/{name}"), format!("corpus/{name}")];
        let outcome = step(format_args!("{name}, {} s", args.seconds), || {
            std::fs::create_dir_all(sh::root().join("fuzz").join(&folders[1]))
                .during(format_args!("make fuzz/{}", folders[1]))?;
            sh::run(nightly().args(["fuzz", "run", FOLDER, name]).args(&folders).arg("--").args(limits))
        });
        if outcome.is_err() {
            found.push(*name);
        } else if args.keep {
            step(format_args!("{name}: keep what reaches most"), || keep(name))?;
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("found something: {}", found.join(", ")))
        .cure("the lines above name the file in fuzz/artifacts; keep its input as a test"))
}

/// Makes the smallest set of inputs that reaches every edge which the corpus and what was found reach the corpus.
fn keep(name: &str) -> Outcome {
    let at = |folder: &str| sh::root().join("fuzz").join(folder).join(name);
    let (corpus, found, chosen) = (at("corpus"), at("found"), at("found/chosen"));
    if chosen.exists() {
        std::fs::remove_dir_all(&chosen).during(format_args!("empty {}", chosen.display()))?;
    }
    std::fs::create_dir_all(&chosen).during(format_args!("make {}", chosen.display()))?;
    // Edges, not how often each was passed: a tenth of the files.
    sh::run(nightly().args(["fuzz", "run", FOLDER, name]).args([&chosen, &corpus, &found]).args([
        "--",
        "-merge=1",
        "-use_counters=0",
        MOST_BYTES,
    ]))?;
    std::fs::remove_dir_all(&corpus).during(format_args!("empty {}", corpus.display()))?;
    std::fs::rename(&chosen, &corpus).during(format_args!(
        "move {} to {}",
        chosen.display(),
        corpus.display()
    ))
}

/// Where cargo-fuzz finds the targets, as seen from the folder that it is run in.
const FOLDER: &str = "--fuzz-dir=.";

/// The cargo of the nightly toolchain, in the workspace of the targets.
fn nightly() -> Command {
    // `CARGO` is the cargo of this toolchain and knows no other; the one on the path asks rustup.
    let mut cargo = sh::program("cargo");
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "CARGO_MANIFEST_DIR", "CARGO_TARGET_DIR"] {
        cargo.env_remove(name);
    }
    cargo.current_dir(sh::root().join("fuzz")).arg("+nightly");
    cargo
}

/// What the recordings hold for each target.
fn seeds(folder: &Path) -> Outcome<BTreeMap<String, BTreeSet<Vec<u8>>>> {
    let mut seeds = BTreeMap::new();
    for entry in std::fs::read_dir(folder).during(format_args!("read {}", folder.display()))?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "json") {
            let text = std::fs::read(&path).during(format_args!("read {}", path.display()))?;
            let recording: Value =
                serde_json::from_slice(&text).during(format_args!("read {}", path.display()))?;
            collect(&recording, &mut seeds);
        }
    }
    Ok(seeds)
}

fn collect(recording: &Value, seeds: &mut BTreeMap<String, BTreeSet<Vec<u8>>>) {
    let mut add = |target: &str, seed: Vec<u8>| {
        seeds.entry(target.to_owned()).or_default().insert(seed);
    };
    // The resources so far, for PATCH to work on: the last one that was written to each endpoint.
    let mut documents = BTreeMap::new();
    for exchange in recording["exchanges"].as_array().into_iter().flatten() {
        let request = &exchange["request"];
        let text = |name: &str| request[name].as_str().unwrap_or_default();
        if let Some(query) = request["query"].as_str() {
            add("list_query", query.as_bytes().to_vec());
            for filter in query.split('&').filter_map(|pair| pair.strip_prefix("filter=")) {
                add("filter", decoded(filter));
            }
        }
        let body = &request["body"];
        if body.is_null() {
            continue;
        }
        let bytes = body.to_string().into_bytes();
        let endpoint = text("path").split('/').nth(1).unwrap_or_default().to_owned();
        match text("method") {
            "POST" if endpoint == "Bulk" => add("bulk", bytes),
            "POST" if text("path").ends_with("/.search") => add("list_query", bytes),
            "POST" | "PUT" => {
                add("body", bytes.clone());
                documents.insert(endpoint, bytes);
            }
            "PATCH" => {
                let mut seed = documents.get(&endpoint).cloned().unwrap_or_default();
                seed.push(0);
                seed.extend(bytes);
                add("patch", seed);
                let operations = body["Operations"].as_array().into_iter().flatten();
                for path in operations.filter_map(|operation| operation["path"].as_str()) {
                    add("path", path.as_bytes().to_vec());
                }
            }
            _ => {}
        }
    }
}

/// A part of a query as it was before it was encoded.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let code = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                bytes.extend(code);
            }
            byte => bytes.push(byte),
        }
    }
    bytes
}

/// Writes seeds into a corpus, each under its number.
fn sow(folder: &Path, seeds: &BTreeSet<Vec<u8>>) -> Outcome {
    std::fs::create_dir_all(folder).during(format_args!("make {}", folder.display()))?;
    for (number, seed) in seeds.iter().enumerate() {
        let path = folder.join(format!("dialect-{number:03}"));
        std::fs::write(&path, seed).during(format_args!("write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects_give_seeds_to_every_target_that_reads_scim() {
        let seeds = seeds(&sh::root().join("crates/scim/tests/dialects")).unwrap();
        for (target, seed) in [
            ("filter", "emails[type eq \"work\"].value eq \"adele@contoso.test\""),
            ("path", "phoneNumbers[type eq \"mobile\"].value"),
            ("list_query", "startIndex=1&count=2"),
        ] {
            assert!(seeds[target].contains(seed.as_bytes()), "{target}: {seed}");
        }
        for target in ["body", "bulk", "patch"] {
            assert!(seeds[target].len() >= 4, "{target}");
        }
        assert!(seeds["patch"].iter().all(|seed| seed.split(|byte| *byte == 0).count() == 2));
        let size: usize = seeds.values().flatten().map(Vec::len).sum();
        assert!(size < 200_000, "{size}");
    }

    #[test]
    fn queries_are_decoded() {
        assert_eq!(decoded("a%20b+c%C3%BC%"), "a b cü".as_bytes());
    }
}
