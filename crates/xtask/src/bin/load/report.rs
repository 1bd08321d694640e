//! Ratios with their spread, and the page that they are written to.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::meter::Run;

/// The middle of some numbers and how far they lie apart.
#[derive(Clone, Copy)]
pub struct Spread {
    /// Half are above.
    pub median: f64,
    /// A quarter is below.
    pub low: f64,
    /// A quarter is above.
    pub high: f64,
}

impl Spread {
    /// Of at least one number.
    pub fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            numbers.get((numbers.len().saturating_sub(1)) * quarter / 4).copied().unwrap_or(0.0)
        };
        Self { median: at(2), low: at(1), high: at(3) }
    }
}

/// One figure: a contestant against its base, round by round.
pub struct Figure {
    /// What it is.
    pub name: String,
    /// The least that it should be, when there is a target.
    pub target: Option<f64>,
    /// The contestant's runs.
    pub ours: Vec<Run>,
    /// The base's runs, of the same rounds.
    pub base: Vec<Run>,
}

impl Figure {
    /// The median of the ratios of each round.
    pub fn ratio(&self) -> Spread {
        Spread::of(self.ours.iter().zip(&self.base).map(|(ours, base)| ours.per_second / base.per_second))
    }

    /// Whether the target is met: a spread wider than the distance to the target decides nothing.
    pub fn verdict(&self) -> &'static str {
        let ratio = self.ratio();
        match self.target {
            None => "",
            Some(target) if ratio.low > target => "met",
            Some(target) if ratio.high < target => "missed",
            Some(_) => "noise",
        }
    }
}

/// A table in markdown.
pub fn table(figures: &[Figure]) -> String {
    let mut text = String::from(
        "| figure | ratio (quartiles) | target | | req/s | base req/s | CPU µs/request | base CPU µs | p50 ms | p99 ms |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for figure in figures {
        let ratio = figure.ratio();
        let ours = |field: fn(&Run) -> f64| Spread::of(figure.ours.iter().map(field)).median;
        let base = |field: fn(&Run) -> f64| Spread::of(figure.base.iter().map(field)).median;
        let target = figure.target.map_or_else(String::new, |target| format!("≥ {target:.2}"));
        let _ = writeln!(
            text,
            "| {} | **{:.3}** ({:.3}–{:.3}) | {target} | {} | {:.0} | {:.0} | {:.1} | {:.1} | {:.2} | {:.2} |",
            figure.name,
            ratio.median,
            ratio.low,
            ratio.high,
            figure.verdict(),
            ours(|run| run.per_second),
            base(|run| run.per_second),
            ours(|run| run.cpu_us),
            base(|run| run.cpu_us),
            ours(|run| run.p50_ms),
            ours(|run| run.p99_ms),
        );
    }
    text
}

/// A figure that is no ratio: measured once.
pub struct Plain {
    name: String,
    at_most: f64,
    value: f64,
}

impl Plain {
    /// One that should be this at the most.
    pub fn at_most(name: impl Into<String>, at_most: f64, value: f64) -> Self {
        Self { name: name.into(), at_most, value }
    }
}

/// A table in markdown.
pub fn plain(figures: &[Plain]) -> String {
    let mut text = String::from("| figure | value | target | |\n|---|---|---|---|\n");
    for Plain { name, at_most, value } in figures {
        let verdict = if value <= at_most { "met" } else { "missed" };
        let _ = writeln!(text, "| {name} | **{value:.1}** | ≤ {at_most:.0} | {verdict} |");
    }
    text
}

/// Appends a run to the page, with what is needed to repeat it.
pub fn append(page: &Path, table: &str, command: &str) -> Outcome {
    let old = std::fs::read_to_string(page).unwrap_or_default();
    let heading = if old.is_empty() {
        "# Performance\n\nEach run below is written by `cargo xtask bench`.\n"
    } else {
        ""
    };
    let commit = said("git", &["describe", "--always", "--dirty"]);
    let kernel = said("uname", &["-sr"]);
    let day = said("date", &["-u", "+%Y-%m-%d"]);
    let run = format!("{heading}\n## {day}, commit {commit}\n\n{kernel}, {}. `{command}`\n\n{table}", cpu());
    std::fs::write(page, old + &run)?;
    Ok(())
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output
        .map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    format!("{} × {cores} cores", model.map_or("unknown CPU", |(_, name)| name.trim()))
}
