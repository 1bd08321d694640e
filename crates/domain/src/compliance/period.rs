//! Periods that somebody signs for: months and quarters of the calendar, in UTC.

use serde::{Deserialize, Serialize};

use crate::{DAY_MS, Invalid, Millis};

/// A month or a quarter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// `2026-11` or `2026-Q4`.
    pub label: String,
    /// Its first moment.
    pub from_ms: Millis,
    /// The first moment after it.
    pub to_ms: Millis,
}

/// Days since 1970 of the first of a month; the calendar in eras of 400 years that begin in March.
fn first_of(year: i64, month: i64) -> Millis {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468) * DAY_MS
}

/// The year and month of a moment.
fn month_of(at_ms: Millis) -> (i64, i64) {
    let text = crate::exports::rfc3339(at_ms);
    let year = text.get(..4).and_then(|digits| digits.parse().ok()).unwrap_or(1970);
    let month = text.get(5..7).and_then(|digits| digits.parse().ok()).unwrap_or(1);
    (year, month)
}

/// A month that is `by` months after another.
const fn moved((year, month): (i64, i64), by: i64) -> (i64, i64) {
    let number = year * 12 + month - 1 + by;
    (number.div_euclid(12), number.rem_euclid(12) + 1)
}

impl Period {
    fn month((year, month): (i64, i64)) -> Self {
        let (next_year, next) = moved((year, month), 1);
        Self {
            label: format!("{year:04}-{month:02}"),
            from_ms: first_of(year, month),
            to_ms: first_of(next_year, next),
        }
    }

    fn quarter(year: i64, quarter: i64) -> Self {
        let first = quarter * 3 - 2;
        let (next_year, next) = moved((year, first), 3);
        Self {
            label: format!("{year:04}-Q{quarter}"),
            from_ms: first_of(year, first),
            to_ms: first_of(next_year, next),
        }
    }

    /// Reads `2026-11` or `2026-Q4`, of the years 1970 to 9999.
    ///
    /// # Errors
    /// [`Invalid`] on `period`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let read = || {
            let (year, rest) = text.split_once('-')?;
            let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let year: i64 = (year.len() == 4 && is_number(year)).then(|| year.parse().ok())??;
            let number = rest.strip_prefix('Q').unwrap_or(rest);
            let length = if rest.starts_with('Q') { 1 } else { 2 };
            let number: i64 =
                (number.len() == length && is_number(number)).then(|| number.parse().ok())??;
            match (rest.starts_with('Q'), number) {
                _ if year < 1970 => None,
                (true, 1..=4) => Some(Self::quarter(year, number)),
                (false, 1..=12) => Some(Self::month((year, number))),
                (true | false, _) => None,
            }
        };
        read().ok_or_else(|| {
            Invalid::new(
                "period",
                format!("{text:?} is no month such as 2026-11 and no quarter such as 2026-Q4"),
            )
        })
    }

    /// The last months up to the one that a moment is in, the oldest first.
    pub fn months_until(at_ms: Millis, count: usize) -> Vec<Self> {
        let last = month_of(at_ms);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        (0..count).rev().map(|back| Self::month(moved(last, -back))).collect()
    }

    /// What may be signed for or shown: the quarter and the month that a moment is in, and those before, the
    /// latest first.
    pub fn offered(at_ms: Millis) -> Vec<Self> {
        let (year, month) = month_of(at_ms);
        let quarters = (0..5).map(|back| {
            let number = year * 4 + (month - 1) / 3 - back;
            Self::quarter(number.div_euclid(4), number.rem_euclid(4) + 1)
        });
        let months = Self::months_until(at_ms, 13);
        quarters.chain(months.into_iter().rev()).collect()
    }

    /// Whether it has not begun.
    pub const fn is_ahead(&self, now_ms: Millis) -> bool {
        now_ms < self.from_ms
    }

    /// Whether it has not ended.
    pub const fn is_running(&self, now_ms: Millis) -> bool {
        self.from_ms <= now_ms && now_ms < self.to_ms
    }

    /// Whether a moment is in it.
    pub const fn holds(&self, at_ms: Millis) -> bool {
        self.from_ms <= at_ms && at_ms < self.to_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exports::rfc3339;

    fn days(text: &str) -> Option<(String, String)> {
        let period = Period::parse(text).ok()?;
        let day = |at_ms| rfc3339(at_ms).replace("T00:00:00.000Z", "");
        Some((day(period.from_ms), day(period.to_ms)))
    }

    #[test]
    fn months_and_quarters_begin_and_end_with_the_calendar() {
        let both = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
        assert_eq!(days("2026-11"), both("2026-11-01", "2026-12-01"));
        assert_eq!(days("2026-12"), both("2026-12-01", "2027-01-01"));
        assert_eq!(days("2028-02"), both("2028-02-01", "2028-03-01"));
        assert_eq!(days("1970-01"), both("1970-01-01", "1970-02-01"));
        assert_eq!(days("2026-Q1"), both("2026-01-01", "2026-04-01"));
        assert_eq!(days("2026-Q4"), both("2026-10-01", "2027-01-01"));
        for text in [
            "",
            "2026",
            "2026-",
            "2026-0",
            "2026-1",
            "2026-00",
            "2026-13",
            "2026-Q0",
            "2026-Q5",
            "2026-Q",
            "2026-q1",
            "1969-12",
            "99999-01",
            "-026-01",
            "2026-+1",
            "2026-11-01",
            " 2026-11",
            "2026-Q04",
        ] {
            assert_eq!(days(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_month_of_four_centuries_follows_the_one_before() {
        let mut from_ms = 0;
        for number in 0..400 * 12 {
            let period = Period::month((1970 + number / 12, number % 12 + 1));
            assert_eq!(period.from_ms, from_ms, "{}", period.label);
            assert_eq!(month_of(period.from_ms), (1970 + number / 12, number % 12 + 1));
            assert_eq!(month_of(period.to_ms - 1), (1970 + number / 12, number % 12 + 1));
            assert_eq!(Period::parse(&period.label).as_ref(), Ok(&period));
            from_ms = period.to_ms;
        }
    }

    #[test]
    fn what_is_offered_holds_now_and_goes_back() {
        let at_ms = Period::parse("2026-02").unwrap().from_ms + 5 * DAY_MS;
        let offered = Period::offered(at_ms);
        let labels: Vec<&str> = offered.iter().map(|period| period.label.as_str()).collect();
        assert_eq!(
            labels[..7],
            ["2026-Q1", "2025-Q4", "2025-Q3", "2025-Q2", "2025-Q1", "2026-02", "2026-01"]
        );
        assert_eq!(labels.len(), 18);
        assert!(offered[0].is_running(at_ms) && offered[5].holds(at_ms));
        assert!(!offered[1].is_running(at_ms) && !offered[1].is_ahead(at_ms));
        assert!(Period::parse("2026-03").unwrap().is_ahead(at_ms));
    }
}
