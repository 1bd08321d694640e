//! What is counted of a federation for R1: minutes for the last hour, hours for a day and for what is
//! usual in 30 days.
//!
//! A bucket counts until every moment in it is outside of the window, so that no window of exactly 60
//! minutes or 24 hours ever holds more than the limit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Brake;
use crate::{CaseId, DAY_MS, HOUR_MS, Millis, behaviour::Removals};

const MINUTE_MS: Millis = 60_000;

/// How long the users of a federation are not counted anew.
pub const RECOUNT_MS: Millis = HOUR_MS;

/// The most operations of a federation that are held at once; what comes beyond is held without being
/// listed.
pub const MOST_HELD: i64 = 20_000;

/// What is usual is known after so many days.
const KNOWN_DAYS: i64 = 14;

/// How far back it looks.
const USUAL_DAYS: i64 = 30;

/// In thousandths a week: counted anew each hour, it comes to a quarter a week.
const GROWTH_A_WEEK: i64 = 223;

/// What one federation has spent of its brakes, and what its limits are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// Since when it is counted.
    pub since_ms: Millis,
    /// Removals by minute since 1970.
    minutes: BTreeMap<i64, i64>,
    /// Removals by hour since 1970.
    hours: BTreeMap<i64, i64>,
    /// When the users were counted.
    pub counted_ms: Millis,
    /// Active users, as they were counted.
    pub active: i64,
    /// Users, as they were counted.
    pub users: i64,
    /// What is usual in an hour and in a day, in thousandths.
    learned: Option<(i64, i64)>,
    /// The last case of each brake.
    pub cases: BTreeMap<Brake, CaseId>,
    /// The number of the last operation that was held.
    pub last_held: i64,
    /// How many are held, decided ones that are remembered included.
    pub held: i64,
}

/// The limits of R1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In 60 minutes.
    pub hour: i64,
    /// In 24 hours.
    pub day: i64,
}

impl Ledger {
    /// A new one.
    pub fn new(since_ms: Millis) -> Self {
        Self { since_ms, ..Self::default() }
    }

    /// What was removed in the last 60 minutes.
    pub fn in_hour(&self, now_ms: Millis) -> i64 {
        self.minutes.range(now_ms.div_euclid(MINUTE_MS) - 60..).map(|(_, count)| count).sum()
    }

    /// What was removed in the last 24 hours.
    pub fn in_day(&self, now_ms: Millis) -> i64 {
        self.hours.range(now_ms.div_euclid(HOUR_MS) - 24..).map(|(_, count)| count).sum()
    }

    /// Counts removals.
    pub fn count(&mut self, removals: i64, now_ms: Millis) {
        let (minute, hour) = (now_ms.div_euclid(MINUTE_MS), now_ms.div_euclid(HOUR_MS));
        *self.minutes.entry(minute).or_default() += removals;
        *self.hours.entry(hour).or_default() += removals;
        self.minutes = self.minutes.split_off(&(minute - 60));
        self.hours = self.hours.split_off(&(hour - USUAL_DAYS * 24));
    }

    /// Whether the users have to be counted anew.
    pub const fn is_stale(&self, now_ms: Millis) -> bool {
        self.counted_ms == 0 || now_ms - self.counted_ms >= RECOUNT_MS
    }

    /// Notes how many users there are, and what is usual by now.
    pub fn recount(&mut self, rule: &Removals, active: i64, users: i64, now_ms: Millis) {
        let (active, users) = (active.max(0), users.max(0));
        let elapsed_ms = if self.counted_ms == 0 { 0 } else { now_ms - self.counted_ms };
        (self.active, self.users, self.counted_ms) = (active, users, now_ms);
        let Some((hour, day)) = self.usual(now_ms) else { return };
        let (times, floor) = (i64::from(rule.times_p99) * 1_000, i64::from(rule.floor) * 1_000);
        let measured = (hour * times, day * times);
        self.learned = Some(match self.learned {
            None => measured,
            Some(before) => {
                let grown = |before: i64| {
                    let before = before.max(floor);
                    before + before * GROWTH_A_WEEK / 1_000 * elapsed_ms.min(7 * DAY_MS) / (7 * DAY_MS)
                };
                (measured.0.min(grown(before.0)), measured.1.min(grown(before.1)))
            }
        });
    }

    /// The 99th percentile of an hour and of a day; `None` before 14 days are known.
    fn usual(&self, now_ms: Millis) -> Option<(i64, i64)> {
        let known_ms = now_ms - self.since_ms;
        if known_ms < KNOWN_DAYS * DAY_MS {
            return None;
        }
        let days = (known_ms / DAY_MS).min(USUAL_DAYS);
        let first = now_ms.div_euclid(HOUR_MS) - days * 24;
        let mut by_day: BTreeMap<i64, i64> = BTreeMap::new();
        let mut by_hour = Vec::new();
        // The hour that is running is not whole.
        for (hour, count) in self.hours.range(first..now_ms.div_euclid(HOUR_MS)) {
            by_hour.push(*count);
            *by_day.entry((hour - first).div_euclid(24)).or_default() += count;
        }
        Some((p99(by_hour, days * 24), p99(by_day.into_values().collect(), days)))
    }

    /// The limits of R1 as they stand.
    pub fn limits(&self, rule: &Removals) -> Limits {
        let (most, floor) = (i64::from(rule.most), i64::from(rule.floor));
        let share = self.active * i64::from(rule.share) / 100;
        let cap = most.min(share.max(floor));
        let learned = |learned: i64| cap.min((learned / 1_000).max(floor));
        match self.learned {
            None => Limits { hour: cap, day: cap },
            Some((hour, day)) => Limits { hour: learned(hour), day: learned(day) },
        }
    }
}

/// The 99th percentile of so many values, of which only those are given that are not 0.
fn p99(mut values: Vec<i64>, of: i64) -> i64 {
    values.sort_unstable_by(|one, other| other.cmp(one));
    let above = of - (of * 99 + 99) / 100;
    usize::try_from(above).ok().and_then(|index| values.get(index)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Rules;

    const NOW: Millis = 2_000 * DAY_MS + 7 * MINUTE_MS + 30_000;

    fn ledger(active: i64) -> Ledger {
        let mut ledger = Ledger::new(NOW);
        ledger.recount(&Rules::default().r1, active, active, NOW);
        ledger
    }

    #[test]
    fn the_limit_has_a_floor_a_share_and_a_cap() {
        let rule = Rules::default().r1;
        for (active, limit) in
            [(0, 10), (50, 10), (54, 10), (55, 11), (1_000, 200), (2_500, 500), (99_999, 500)]
        {
            assert_eq!(ledger(active).limits(&rule), Limits { hour: limit, day: limit }, "{active} users");
        }
    }

    #[test]
    fn no_window_of_sixty_minutes_holds_more_than_was_counted_in_it() {
        let mut ledger = Ledger::new(0);
        ledger.count(3, NOW);
        assert_eq!(ledger.in_hour(NOW + HOUR_MS - 1), 3);
        assert_eq!(ledger.in_hour(NOW + HOUR_MS), 3, "the minute is not over");
        assert_eq!(ledger.in_hour(NOW + HOUR_MS + MINUTE_MS), 0);
        assert_eq!(ledger.in_day(NOW + DAY_MS), 3);
        assert_eq!(ledger.in_day(NOW + DAY_MS + HOUR_MS), 0);
    }

    #[test]
    fn what_is_usual_counts_from_the_fourteenth_day() {
        let rule = Rules::default().r1;
        let mut ledger = Ledger::new(0);
        let busy = |ledger: &mut Ledger, days: i64| {
            for day in 0..days {
                ledger.count(3, day * DAY_MS + 9 * HOUR_MS);
            }
        };
        busy(&mut ledger, 13);
        ledger.recount(&rule, 100_000, 100_000, 14 * DAY_MS - 1);
        assert_eq!(ledger.limits(&rule).hour, 500);
        busy(&mut ledger, 14);
        ledger.recount(&rule, 100_000, 100_000, 14 * DAY_MS);
        assert!(ledger.limits(&rule).hour < 500, "{:?}", ledger.limits(&rule));
    }

    #[test]
    fn five_times_a_busy_hour_is_let_through() {
        let rule = Rules::default().r1;
        let mut ledger = Ledger::new(0);
        // One hour in ten has eight leavers.
        for hour in (0..20 * 24).step_by(10) {
            ledger.count(8, hour * HOUR_MS);
        }
        ledger.recount(&rule, 100_000, 100_000, 20 * DAY_MS);
        assert_eq!(ledger.limits(&rule).hour, 40);
        assert!(ledger.limits(&rule).day > 40, "a day has more of them than an hour");
    }

    #[test]
    fn a_learned_limit_grows_by_a_quarter_a_week_at_most() {
        let rule = Rules::default().r1;
        let mut ledger = Ledger::new(0);
        ledger.recount(&rule, 100_000, 100_000, 20 * DAY_MS);
        let mut before = ledger.limits(&rule).hour;
        assert_eq!(before, 10, "nothing is usual");
        for week in 1..5 {
            for hour in 0..7 * 24 {
                let now_ms = (20 + 7 * (week - 1)) * DAY_MS + hour * HOUR_MS;
                ledger.count(50, now_ms);
                ledger.recount(&rule, 100_000, 100_000, now_ms + 1);
            }
            let after = ledger.limits(&rule).hour;
            assert!(after * 100 <= before * 125 + 100, "week {week}: {before} → {after}");
            before = after;
        }
        assert!(before > 10, "it grows");
    }

    #[test]
    fn p99_of_thirty_days_leaves_the_seven_busiest_hours_out() {
        let mut values = vec![100; 7];
        values.push(4);
        assert_eq!(p99(values, 720), 4);
        assert_eq!(p99(vec![9], 30), 9);
        assert_eq!(p99(Vec::new(), 720), 0);
    }

    #[test]
    fn it_is_read_back_as_it_was_written() {
        let mut ledger = ledger(77);
        ledger.count(3, NOW);
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
        assert_eq!(serde_json::from_str::<Ledger>("{}").unwrap(), Ledger::default());
    }
}
