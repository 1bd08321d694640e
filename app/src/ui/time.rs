//! Times: relative where a person judges, exact where a person proves, always UTC.

use domain::{DAY_MS, HOUR_MS, Millis};
use leptos::prelude::*;
use time::{
    Date, OffsetDateTime,
    format_description::BorrowedFormatItem,
    macros::{format_description, time},
};

const MINUTE_MS: Millis = 60_000;

const ISO: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
const EXACT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
const CLOCK: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]:[second]Z");
const DAY: &[BorrowedFormatItem<'_>] = format_description!("[day padding:none] [month repr:short] [year]");
const DAY_KEY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const HOUR: &[BorrowedFormatItem<'_>] =
    format_description!("[day padding:none] [month repr:short] [hour]:[minute]");

fn text(at_ms: Millis, format: &[BorrowedFormatItem<'_>]) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000)
        .ok()
        .and_then(|moment| moment.format(format).ok())
        .unwrap_or_else(|| format!("{at_ms} ms"))
}

/// `2026-11-23T20:29:11Z`, for `datetime`.
pub fn iso(at_ms: Millis) -> String {
    text(at_ms, ISO)
}

/// `2026-11-23 20:29:11Z`, where it must be exact.
pub fn exact(at_ms: Millis) -> String {
    text(at_ms, EXACT)
}

/// `20:29:11Z`, under the heading of its day.
pub fn clock(at_ms: Millis) -> String {
    text(at_ms, CLOCK)
}

/// `23 Nov 2026`.
pub fn day(at_ms: Millis) -> String {
    text(at_ms, DAY)
}

/// `2026-11-23`, as a date field writes it.
pub fn day_key(at_ms: Millis) -> String {
    text(at_ms, DAY_KEY)
}

/// `23 Nov 20:00`, on an axis.
pub fn hour(at_ms: Millis) -> String {
    text(at_ms, HOUR)
}

/// The first millisecond of a day that a date field wrote.
pub fn start_of_day(text: &str) -> Option<Millis> {
    let date = Date::parse(text, DAY_KEY).ok()?;
    Some(date.with_time(time!(0:00)).assume_utc().unix_timestamp() * 1000)
}

/// `12 min ago`, `in 9 days`; beyond 30 days the date.
pub fn relative(at_ms: Millis, now_ms: Millis) -> String {
    let distance = (at_ms - now_ms).abs();
    if distance > 30 * DAY_MS {
        return if at_ms > now_ms { format!("on {}", day(at_ms)) } else { day(at_ms) };
    }
    let span = span(distance);
    if at_ms > now_ms { format!("in {span}") } else { format!("{span} ago") }
}

/// A length of time by its largest unit: `40 s`, `12 min`, `19 h`, `9 days`.
pub fn span(length_ms: Millis) -> String {
    match length_ms {
        ..MINUTE_MS => format!("{} s", (length_ms / 1000).max(1)),
        MINUTE_MS..HOUR_MS => format!("{} min", length_ms / MINUTE_MS),
        HOUR_MS..172_800_000 => format!("{} h", length_ms / HOUR_MS),
        _ => format!("{} days", length_ms / DAY_MS),
    }
}

/// A moment as people say it, exact on hover and for machines.
#[component]
pub fn Ago(
    /// The moment.
    at: Millis,
    /// The time of the page.
    now: Millis,
) -> impl IntoView {
    view! { <time datetime=iso(at) title=exact(at)>{relative(at, now)}</time> }
}

/// A moment, exact.
#[component]
pub fn Exact(
    /// The moment.
    at: Millis,
) -> impl IntoView {
    view! { <time datetime=iso(at)>{exact(at)}</time> }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Millis = 1_795_465_751_000;

    #[test]
    fn a_moment_has_its_texts() {
        assert_eq!(iso(AT), "2026-11-23T20:29:11Z");
        assert_eq!(exact(AT), "2026-11-23 20:29:11Z");
        assert_eq!(
            [clock(AT), day(AT), day_key(AT), hour(AT)],
            ["20:29:11Z", "23 Nov 2026", "2026-11-23", "23 Nov 20:29"]
        );
    }

    #[test]
    fn distances_are_said_by_their_largest_unit() {
        let ago = |ms| relative(AT - ms, AT);
        assert_eq!(
            [ago(0), ago(40_000), ago(12 * MINUTE_MS), ago(47 * HOUR_MS), ago(9 * DAY_MS), ago(31 * DAY_MS)],
            ["1 s ago", "40 s ago", "12 min ago", "47 h ago", "9 days ago", "23 Oct 2026"]
        );
        assert_eq!(relative(AT + 27 * DAY_MS, AT), "in 27 days");
        assert_eq!(relative(AT + 40 * DAY_MS, AT), "on 2 Jan 2027");
    }

    #[test]
    fn a_date_field_is_the_start_of_that_day() {
        assert_eq!(start_of_day("2026-11-23").map(exact).as_deref(), Some("2026-11-23 00:00:00Z"));
        assert_eq!(start_of_day("23.11.2026"), None);
    }

    #[test]
    fn a_moment_outside_the_calendar_is_still_said() {
        assert_eq!(exact(Millis::MAX), format!("{} ms", Millis::MAX));
    }
}
