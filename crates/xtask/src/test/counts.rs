//! How many tests passed and failed, read from what the runners say.

use std::fmt;
use std::ops::{Add, AddAssign};

/// Tests and checks of one stage, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ended well.
    pub passed: u64,
    /// Ended badly, or did not end.
    pub failed: u64,
    /// Did not run.
    pub skipped: u64,
}

impl Counts {
    /// One check that passed.
    pub fn success() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One check that failed.
    pub fn failure() -> Self {
        Self { failed: 1, ..Self::default() }
    }

    /// A runner that ended badly without a failed test (it did not compile, it crashed) is one failure.
    pub fn or_failure(self, success: bool) -> Self {
        if success || self.failed > 0 { self } else { self + Self::failure() }
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 { write!(f, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

/// `Summary [ 1.2s] 5 tests run: 4 passed (1 slow), 1 failed, 2 skipped`.
pub fn of_nextest(text: &str) -> Counts {
    let summary = text.lines().rev().find(|line| line.trim_start().starts_with("Summary ["));
    let Some((_, parts)) = summary.and_then(|line| line.split_once("run:")) else {
        return Counts::default();
    };
    let mut counts = Counts::default();
    for part in parts.split([',', '(']) {
        let mut words = part.split_whitespace();
        let (number, word) =
            (words.next().and_then(|number| number.parse().ok()).unwrap_or(0), words.next().unwrap_or(""));
        match word {
            "passed" => counts.passed += number,
            "failed" | "exec" | "timed" => counts.failed += number,
            "skipped" => counts.skipped += number,
            // `slow`, `flaky`, `leaky`: said of tests that are counted already.
            _ => {}
        }
    }
    counts
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; …`, once for each binary.
pub fn of_libtest(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("test result: ")) {
        for part in line.split([';', '.']) {
            let mut words = part.split_whitespace();
            let number: u64 = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
            match words.next() {
                Some("passed") => counts.passed += number,
                Some("failed") => counts.failed += number,
                Some("ignored") => counts.skipped += number,
                _ => {}
            }
        }
    }
    counts
}

/// The `stats` of Playwright's JSON report.
pub fn of_playwright(json: &str) -> Counts {
    let report: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let number = |name: &str| report["stats"][name].as_u64().unwrap_or(0);
    // A test that passes only at a second try is not a test that passes.
    Counts {
        passed: number("expected"),
        failed: number("unexpected") + number("flaky"),
        skipped: number("skipped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextest_summary_is_read() {
        let text = "        PASS [   0.1s] a::b\n------\n     Summary [   1.204s] 123 tests run: 118 passed (2 slow, 1 leaky), 3 failed, 1 timed out, 1 exec failed, 7 skipped\n";
        assert_eq!(of_nextest(text), Counts { passed: 118, failed: 5, skipped: 7 });
        assert_eq!(of_nextest("Summary [ 0.1s] 1 test run: 1 passed, 0 skipped"), Counts::success());
    }

    #[test]
    fn a_run_that_did_not_compile_is_one_failure() {
        assert_eq!(of_nextest("error[E0308]: mismatched types\n").or_failure(false), Counts::failure());
        assert_eq!(of_playwright("").or_failure(false), Counts::failure());
    }

    #[test]
    fn libtest_lines_are_added_up() {
        let text = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
                    test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        assert_eq!(of_libtest(text), Counts { passed: 15, failed: 2, skipped: 1 });
    }

    #[test]
    fn playwright_report_is_read_and_flaky_is_failed() {
        let json = r#"{"stats":{"expected":9,"unexpected":1,"flaky":1,"skipped":2}}"#;
        assert_eq!(of_playwright(json), Counts { passed: 9, failed: 2, skipped: 2 });
    }

    #[test]
    fn the_last_line_has_the_form_that_ci_reads() {
        assert_eq!(Counts { passed: 7, failed: 0, skipped: 0 }.to_string(), "7 passed, 0 failed");
        assert_eq!(Counts { passed: 7, failed: 1, skipped: 2 }.to_string(), "7 passed, 1 failed, 2 skipped");
    }
}
