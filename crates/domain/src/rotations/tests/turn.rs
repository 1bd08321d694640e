//! When a key is due.

use super::{key, policy};
use crate::{
    DAY_MS, HOUR_MS, Millis,
    keys::Life,
    rotations::policy::{Effective, Window, due, opens, parse_windows},
};

/// 2026-01-05T00:00:00Z, a Monday.
const MONDAY_MS: Millis = 1_767_571_200_000;

#[test]
fn windows_open_on_their_days_at_their_offset() {
    let window = |text: &str| vec![Window::parse(text).unwrap()];
    let work = window("mon-fri 08:00-17:00 +01:00");
    assert_eq!(opens(&work, MONDAY_MS), (MONDAY_MS + 7 * HOUR_MS, MONDAY_MS + 16 * HOUR_MS));
    let (noon, four) = (MONDAY_MS + 12 * HOUR_MS, MONDAY_MS + 16 * HOUR_MS);
    assert_eq!(opens(&work, noon).0, noon);
    assert_eq!(opens(&work, four).0, MONDAY_MS + (24 + 7) * HOUR_MS, "closed at its end");
    let saturday = MONDAY_MS + 5 * DAY_MS;
    assert_eq!(opens(&work, saturday).0, MONDAY_MS + 7 * DAY_MS + 7 * HOUR_MS);
    // Past midnight, and the day before yesterday's does not count.
    let night = window("sun 22:00-02:00");
    assert_eq!(opens(&night, MONDAY_MS + HOUR_MS).0, MONDAY_MS + HOUR_MS);
    assert_eq!(opens(&night, MONDAY_MS + 3 * HOUR_MS).0, MONDAY_MS + 6 * DAY_MS + 22 * HOUR_MS);
    assert_eq!(opens(&[], noon), (noon, Millis::MAX));
    for text in ["mon-fri 08:00-17:00 +01:00", "sat,sun 22:00-02:00 -05:30", "daily 00:00-24:00"] {
        let window = Window::parse(text).unwrap();
        assert_eq!(Window::parse(&window.to_string()), Ok(window), "{text}");
    }
    for text in [
        "",
        "mon",
        "mon 8-17",
        "mon 08:00-25:00",
        "xyz 08:00-09:00",
        "mon 08:00-09:00 +15:00",
        "mon 24:00-01:00",
    ] {
        assert_eq!(Window::parse(text).unwrap_err().field, "windows", "{text}");
    }
    assert_eq!(parse_windows("mon 08:00-09:00\n\n tue 08:00-09:00 ").map(|all| all.len()), Ok(2));
}

#[test]
fn a_key_is_due_before_its_end_in_a_window_and_never_after_it() {
    let mut policy = policy();
    policy.jitter_ms = 0;
    let life = Life { first_used_ms: Some(1), ..Life::new(MONDAY_MS - 76 * DAY_MS, MONDAY_MS + 14 * DAY_MS) };
    let at = |policy: &Effective, now_ms| due(&key(life), policy, now_ms).map(|due| due.at_ms);
    assert_eq!(at(&policy, MONDAY_MS - DAY_MS), Some(MONDAY_MS));
    policy.windows = vec![Window::parse("wed 03:00-04:00").unwrap()];
    assert_eq!(at(&policy, MONDAY_MS), Some(MONDAY_MS + 2 * DAY_MS + 3 * HOUR_MS));
    // It fell due on a day without a window, and the next one would be too late.
    policy.rotate_before_ms = DAY_MS;
    let wanted = MONDAY_MS + 13 * DAY_MS;
    policy.windows = vec![Window::parse("wed 03:00-04:00").unwrap()];
    assert_eq!(at(&policy, wanted), Some(wanted));
    let unused = Life { first_used_ms: None, ..life };
    assert_eq!(due(&key(unused), &policy, wanted), None, "nobody needs a successor of it");
    // A held key comes to its end as well, and beyond it.
    let held = Life { held_ms: Some(1), ..life };
    let due_of = |now_ms| due(&key(held), &policy, now_ms).map(|due| due.at_ms);
    assert_eq!((due_of(wanted), due_of(wanted + 2 * DAY_MS)), (Some(wanted), Some(wanted)));
}
