//! When rotations may begin: days of the week and times of the day, as one line of text each.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::MINUTE_MS;
use crate::{DAY_MS, Invalid, Millis};

/// The days of the week, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// When rotations may begin: some days of the week, between two times of the day, at an offset from
/// UTC. Written `mon-fri 08:00-17:00 +01:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// One bit for each day, Monday the lowest.
    days: u8,
    /// Minutes after midnight.
    from: i64,
    /// Minutes after midnight; not after `from` means the day after.
    to: i64,
    /// Minutes east of UTC.
    offset: i64,
}

impl Window {
    /// Reads a window: `mon-fri 08:00-17:00 +01:00`, `sat,sun 22:00-02:00`.
    ///
    /// # Errors
    /// [`Invalid`] on `windows`, saying what was expected.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let fault = || {
            Invalid::new(
                "windows",
                format!(
                    "{text:?} is not like \"mon-fri 08:00-17:00 +01:00\": days, times and the offset from UTC"
                ),
            )
        };
        let mut words = text.split_whitespace();
        let days = words.next().and_then(days).ok_or_else(fault)?;
        let (from, to) = words.next().and_then(|times| times.split_once('-')).ok_or_else(fault)?;
        let (from, to) = (minutes(from).ok_or_else(fault)?, minutes(to).ok_or_else(fault)?);
        let offset = words.next().map_or(Some(0), offset).ok_or_else(fault)?;
        if words.next().is_some() || from == 24 * 60 {
            return Err(fault());
        }
        Ok(Self { days, from, to, offset })
    }

    /// Whether a moment is in it.
    pub fn holds(&self, at_ms: Millis) -> bool {
        self.next(at_ms).is_some_and(|(from_ms, _)| from_ms <= at_ms)
    }

    /// From when on rotations may begin, at `at_ms` or after it, and until when.
    fn next(&self, at_ms: Millis) -> Option<(Millis, Millis)> {
        let local = at_ms + self.offset * MINUTE_MS;
        let today = local.div_euclid(DAY_MS);
        // One that began yesterday may go on past midnight.
        (-1..=8).find_map(|ahead| {
            let day = today + ahead;
            // The first day of 1970 was a Thursday.
            let weekday = u32::try_from((day + 3).rem_euclid(7)).unwrap_or(0);
            let begins = day * DAY_MS + (self.from - self.offset) * MINUTE_MS;
            let length =
                if self.to > self.from { self.to - self.from } else { self.to + 24 * 60 - self.from };
            let ends = begins + length * MINUTE_MS;
            (self.days & (1 << weekday) != 0 && at_ms < ends).then(|| (begins.max(at_ms), ends))
        })
    }
}

fn days(text: &str) -> Option<u8> {
    let index = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let mut bits = 0;
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (index(first)?, index(last)?),
            None if part.eq_ignore_ascii_case("daily") => (0, 6),
            None => (index(part)?, index(part)?),
        };
        let length = (last + 7 - first) % 7;
        for day in first..=first + length {
            bits |= 1_u8 << (day % 7);
        }
    }
    Some(bits)
}

fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    let all = i64::from(hours) * 60 + i64::from(minutes);
    (minutes < 60 && all <= 24 * 60).then_some(all)
}

fn offset(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("utc") || text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    minutes(rest).filter(|minutes| *minutes <= 14 * 60).map(|minutes| sign * minutes)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen = |day: &(usize, &&str)| self.days & (1 << day.0) != 0;
        let names: Vec<&str> = DAYS.iter().enumerate().filter(chosen).map(|(_, name)| *name).collect();
        let time = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let sign = if self.offset < 0 { '-' } else { '+' };
        write!(
            f,
            "{} {}-{} {sign}{}",
            if self.days == 0x7F { "daily".to_owned() } else { names.join(",") },
            time(self.from),
            time(self.to),
            time(self.offset.abs())
        )
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

impl TryFrom<String> for Window {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

/// Reads windows, one a line.
///
/// # Errors
/// [`Invalid`] on `windows`.
pub fn parse_windows(text: &str) -> Result<Vec<Window>, Invalid> {
    let windows: Vec<Window> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(Window::parse)
        .collect::<Result<_, _>>()?;
    if windows.len() > 20 {
        return Err(Invalid::new("windows", format!("at most 20 are allowed, not {}", windows.len())));
    }
    Ok(windows)
}

/// Which minutes of a week in UTC, from Monday's first, are in one of the windows: they have no more than a
/// week says.
pub fn minutes_of_week(windows: &[Window]) -> Vec<bool> {
    const WEEK: i64 = 7 * 24 * 60;
    let mut minutes = vec![false; 7 * 24 * 60];
    for Window { days, from, to, offset } in windows {
        let length = if to > from { to - from } else { to + 24 * 60 - from };
        for day in (0..7).filter(|day| days & (1 << day) != 0) {
            for minute in 0..length {
                let at = (day * 24 * 60 + from - offset + minute).rem_euclid(WEEK);
                if let Some(slot) = usize::try_from(at).ok().and_then(|at| minutes.get_mut(at)) {
                    *slot = true;
                }
            }
        }
    }
    minutes
}

/// From when on rotations may begin, at `at_ms` or after it, and until when; always when there is no
/// window.
pub fn opens(windows: &[Window], at_ms: Millis) -> (Millis, Millis) {
    let next = windows.iter().filter_map(|window| window.next(at_ms)).min();
    next.unwrap_or((at_ms, Millis::MAX))
}
