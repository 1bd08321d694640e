//! Figures with their spread, and the page that they are written to.

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
        let last = numbers.len().saturating_sub(1);
        let at = |place: usize| numbers.get(place).copied().unwrap_or(0.0);
        // As far from the end as the lower one is from the beginning.
        Self { median: at(last / 2), low: at(last / 4), high: at(last - last / 4) }
    }
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Bound {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// A figure.
pub struct Row {
    /// What it is.
    pub name: String,
    /// What it was.
    pub value: Spread,
    /// What it should be.
    pub bound: Option<Bound>,
    /// The middle run of the contestant and of its base.
    pub runs: Option<(Run, Run)>,
}

impl Row {
    /// Whether it is what it should be: a spread that reaches over the bound decides nothing.
    fn verdict(&self) -> &'static str {
        let Spread { low, high, .. } = self.value;
        match self.bound {
            None => "",
            Some(Bound::AtLeast(bound)) if low >= bound => "met",
            Some(Bound::AtLeast(bound)) if high < bound => "missed",
            Some(Bound::AtMost(bound)) if high <= bound => "met",
            Some(Bound::AtMost(bound)) if low > bound => "missed",
            Some(Bound::AtLeast(_) | Bound::AtMost(_)) => "noise",
        }
    }

    fn line(&self) -> String {
        let Spread { median, low, high } = self.value;
        let places = match median.abs() {
            small if small < 0.1 => 3,
            some if some < 10.0 => 2,
            more => usize::from(more < 100.0),
        };
        let target = match self.bound {
            None => String::new(),
            Some(Bound::AtLeast(bound)) => format!("≥ {bound}"),
            Some(Bound::AtMost(bound)) => format!("≤ {bound}"),
        };
        let spread =
            if self.runs.is_some() { format!(" ({low:.places$}–{high:.places$})") } else { String::new() };
        let (rates, cpu, latency) = self.runs.map_or_else(Default::default, |(ours, base)| {
            let latency = if ours.p99_ms > 0.0 && base.p99_ms > 0.0 {
                format!("{:.2} / {:.2}, {:.2} / {:.2}", ours.p50_ms, base.p50_ms, ours.p99_ms, base.p99_ms)
            } else if ours.p99_ms > 0.0 {
                format!("{:.2}, {:.2}", ours.p50_ms, ours.p99_ms)
            } else {
                String::new()
            };
            (
                format!("{} / {}", rate(ours.per_second), rate(base.per_second)),
                format!("{:.0} / {:.0}", ours.cpu_us, base.cpu_us),
                latency,
            )
        });
        let name = &self.name;
        let verdict = self.verdict();
        format!(
            "| {name} | **{median:.places$}**{spread} | {target} | {verdict} | {rates} | {cpu} | {latency} |\n"
        )
    }
}

/// Requests in a second, in three digits.
fn rate(per_second: f64) -> String {
    match per_second {
        few if few < 10.0 => format!("{few:.1}"),
        some if some < 1_000.0 => format!("{some:.0}"),
        more if more < 99_950.0 => format!("{:.1} k", more / 1e3),
        many => format!("{:.0} k", many / 1e3),
    }
}

/// A table in markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| figure | value (quartiles) | target | | requests/s: it / base | CPU µs a request: it / base | p50, p99 ms: it / base |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        text.push_str(&row.line());
    }
    text
}

/// What is said above a table: how it was measured, and on what.
pub struct Circumstances {
    commit: String,
    day: String,
    machine: String,
    /// Processes that wanted to run before anything was measured.
    load: f64,
    command: String,
}

impl Circumstances {
    /// Of now.
    pub fn of(command: &str) -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            commit: said("git", &["describe", "--always", "--dirty"]),
            day: said("date", &["-u", "+%Y-%m-%d"]),
            machine: format!("{}, {}", said("uname", &["-sr"]), cpu()),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            command: command.to_owned(),
        }
    }

    /// One paragraph.
    pub fn sentence(&self, rounds: u32, seconds: u32) -> String {
        self.said(&format!(": {rounds} rounds of {seconds} s"))
    }

    /// The same, of what has no rounds.
    pub fn once(&self) -> String {
        self.said("")
    }

    fn said(&self, how: &str) -> String {
        let Self { commit, day, machine, load, command } = self;
        let quiet = if *load > 0.5 {
            format!("**The machine was not quiet** (load {load:.1} before the run): judge by the CPU time.")
        } else {
            format!("The machine was quiet (load {load:.1} before the run).")
        };
        let mut text = format!("{day}, commit {commit}, `{command}`{how}. ");
        let _ = write!(text, "{machine}. {quiet}");
        text
    }
}

/// Puts a part of the page in the place of the one with the same name, or at the end.
///
/// # Errors
/// When the page cannot be read or written.
pub fn replace(page: &Path, name: &str, text: &str) -> Outcome {
    let old = std::fs::read_to_string(page)?;
    std::fs::write(page, replaced(&old, name, text))?;
    Ok(())
}

fn replaced(old: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- bench: {name} -->\n"), format!("<!-- end: {name} -->\n"));
    let part = format!("{begin}{text}{end}");
    match (old.split_once(&begin), old.split_once(&end)) {
        (Some((before, _)), Some((_, after))) => format!("{before}{part}{after}"),
        _ => format!("{}\n\n{part}", old.trim_end()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bound: Bound, low: f64, high: f64) -> Row {
        Row {
            name: "x".into(),
            value: Spread { median: f64::midpoint(low, high), low, high },
            bound: Some(bound),
            runs: None,
        }
    }

    #[test]
    fn a_spread_over_the_bound_decides_nothing() {
        assert_eq!(row(Bound::AtLeast(1.0), 1.0, 1.2).verdict(), "met");
        assert_eq!(row(Bound::AtLeast(1.0), 0.9, 1.2).verdict(), "noise");
        assert_eq!(row(Bound::AtLeast(1.0), 0.8, 0.9).verdict(), "missed");
        assert_eq!(row(Bound::AtMost(1.0), 0.8, 1.0).verdict(), "met");
        assert_eq!(row(Bound::AtMost(1.0), 0.8, 1.1).verdict(), "noise");
        assert_eq!(row(Bound::AtMost(1.0), 1.1, 1.2).verdict(), "missed");
    }

    #[test]
    fn the_quartiles_of_few_rounds_are_their_ends() {
        for (rounds, expect) in [(3, ["1", "2", "3"]), (7, ["2", "4", "6"])] {
            let spread = Spread::of((1..=rounds).map(f64::from));
            assert_eq!([spread.low, spread.median, spread.high].map(|value| value.to_string()), expect);
        }
    }

    #[test]
    fn a_part_of_the_page_takes_the_place_of_the_older_one() {
        let page = replaced("# Page\n", "a", "one\n");
        let page = replaced(&page, "b", "two\n");
        let page = replaced(&page, "a", "three\n");
        let expect = "# Page\n\n<!-- bench: a -->\nthree\n<!-- end: a -->\n\n<!-- bench: b -->\ntwo\n<!-- end: b -->\n";
        assert_eq!(page, expect);
    }
}
