//! The rhythm of a consumer: how long it may be silent before its silence means something.
//!
//! A consumer that works in cycles shows bursts of requests. The time from one burst to the next is
//! learned from what it did; until it has shown three cycles, what its vendor says of itself counts.

use serde::{Deserialize, Serialize};

use crate::{DAY_MS, HOUR_MS, Millis, federations::Vendor};

/// A pause between requests that begins a new burst.
const PAUSE_MS: Millis = 20_000;

/// No rhythm is taken to be faster.
pub const FASTEST_MS: Millis = 60_000;

/// No rhythm is taken to be slower.
pub const SLOWEST_MS: Millis = 31 * DAY_MS;

/// How far back a rhythm is learned from.
pub const LEARNED_FROM_MS: Millis = 31 * DAY_MS;

/// Activity within so long a time is seen as one stretch.
pub const STRETCH_MS: Millis = 10 * 60_000;

/// How many times the cadence that is known of it a consumer must have been seen to be taken for a faster
/// one: the requests of its first burst are no rhythm.
const SPANS: Millis = 3;

/// How many cycles must have been seen before they count.
pub const LEAST_CYCLES: usize = 3;

/// How long a consumer may be silent within its rhythm, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cadence {
    /// From the beginning of a cycle to the beginning of the next.
    pub gap_ms: Millis,
    /// How that is known.
    pub basis: Basis,
}

/// How a cadence is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "basis", rename_all = "kebab-case")]
pub enum Basis {
    /// From so many cycles that were seen.
    Learned {
        /// How many.
        cycles: usize,
    },
    /// From what the policy of the federation says.
    Policy,
    /// From what the vendor publishes.
    Vendor,
    /// From nothing: the provider pushes when something changes, or its rhythm is not published.
    Assumed,
}

impl Cadence {
    /// How the cadence is known, in words.
    pub fn basis_sentence(&self) -> String {
        match self.basis {
            Basis::Learned { cycles } => format!("learned from its last {cycles} cycles"),
            Basis::Policy => "what the policy says, until three cycles were seen".to_owned(),
            Basis::Vendor => "what the vendor publishes, until three cycles were seen".to_owned(),
            Basis::Assumed => "assumed, until three cycles were seen".to_owned(),
        }
    }
}

/// What is known of a vendor before anything was seen. `docs/guide/rotation.md` names the sources.
pub fn known(vendor: Vendor) -> Cadence {
    let published = |gap_ms| Cadence { gap_ms, basis: Basis::Vendor };
    match vendor {
        // Incremental cycles come typically every 40 minutes.
        Vendor::Entra => published(40 * 60_000),
        // A full synchronisation every hour, beside pushes at each change.
        Vendor::Authentik => published(HOUR_MS),
        Vendor::Okta
        | Vendor::Google
        | Vendor::Keycloak
        | Vendor::Onelogin
        | Vendor::Jumpcloud
        | Vendor::Ping
        | Vendor::Sailpoint
        | Vendor::Rippling
        | Vendor::Other => Cadence { gap_ms: DAY_MS, basis: Basis::Assumed },
    }
}

/// The cadence that a consumer has shown; `active` holds stretches of time in which it was let in, from
/// their first to their last request, in any order.
///
/// It is never faster than what was known before, unless it was seen for several times that. It is not the
/// mean: of all the time between cycle beginnings, 95 % lies in gaps that are no longer than it. So pauses
/// within a cycle count for little, and a long night for much.
pub fn learn(known: Cadence, active: &[(Millis, Millis)]) -> Cadence {
    let mut gaps = gaps(active);
    if gaps.len() < LEAST_CYCLES {
        return known;
    }
    let cycles = gaps.len();
    gaps.sort_unstable();
    let total: Millis = gaps.iter().sum();
    let mut passed = 0;
    let mut gap_ms = SLOWEST_MS;
    for gap in gaps {
        passed += gap;
        if passed >= total - total / 20 {
            gap_ms = gap;
            break;
        }
    }
    let first_ms = active.iter().map(|stretch| stretch.0).min().unwrap_or_default();
    let last_ms = active.iter().map(|stretch| stretch.1).max().unwrap_or_default();
    if gap_ms < known.gap_ms && last_ms - first_ms < known.gap_ms * SPANS {
        return known;
    }
    Cadence { gap_ms: gap_ms.clamp(FASTEST_MS, SLOWEST_MS), basis: Basis::Learned { cycles } }
}

/// From the beginning of each burst to the beginning of the next, in order.
fn gaps(active: &[(Millis, Millis)]) -> Vec<Millis> {
    let mut active = active.to_vec();
    active.sort_unstable();
    let mut starts: Vec<Millis> = Vec::new();
    let mut before: Option<Millis> = None;
    for (first, last) in active {
        if before.is_none_or(|before| first - before >= PAUSE_MS) {
            starts.push(first);
        }
        before = before.max(Some(last));
    }
    starts.iter().zip(starts.iter().skip(1)).map(|(one, next)| next - one).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE_MS: Millis = 60_000;

    /// Bursts of `size` requests, `pause_ms` apart, every `every_ms`.
    fn bursts(count: i64, every_ms: Millis, size: i64, pause_ms: Millis) -> Vec<(Millis, Millis)> {
        let at = |cycle: i64, n: i64| cycle * every_ms + n * pause_ms;
        (0..count).flat_map(|cycle| (0..size).map(move |n| (at(cycle, n), at(cycle, n)))).collect()
    }

    /// The same as the database tells it: one stretch for ten minutes.
    fn stretches(active: &[(Millis, Millis)]) -> Vec<(Millis, Millis)> {
        let mut stretches = std::collections::BTreeMap::new();
        for (first, last) in active {
            let stretch = stretches.entry(last / STRETCH_MS).or_insert((*first, *last));
            *stretch = (stretch.0.min(*first), stretch.1.max(*last));
        }
        stretches.into_values().collect()
    }

    #[test]
    fn the_requests_of_one_burst_are_no_rhythm() {
        // Once a week 2,000 requests, 25 seconds apart: fourteen hours, and then nothing.
        let weekly = |weeks| stretches(&bursts(weeks, 7 * DAY_MS, 2_000, 25_000));
        assert_eq!(learn(known(Vendor::Other), &weekly(1)), known(Vendor::Other));
        let cadence = learn(known(Vendor::Other), &weekly(4));
        assert!(cadence.gap_ms >= 6 * DAY_MS, "{cadence:?}");
        // A rhythm that is faster than the vendor's shows itself in time.
        let quick = |hours| learn(known(Vendor::Other), &stretches(&bursts(hours, HOUR_MS, 5, 1_000)));
        assert_eq!(quick(24), known(Vendor::Other));
        assert_eq!(quick(73).gap_ms, HOUR_MS);
    }

    #[test]
    fn three_cycles_are_learned_and_fewer_are_not() {
        let learned = |count| learn(known(Vendor::Entra), &bursts(count, 90 * MINUTE_MS, 5, 1_000));
        assert_eq!(learned(3), known(Vendor::Entra));
        let four = learned(4);
        assert_eq!((four.gap_ms, four.basis), (90 * MINUTE_MS, Basis::Learned { cycles: 3 }));
        assert_eq!(learn(known(Vendor::Other), &[]).basis, Basis::Assumed);
        assert_eq!(known(Vendor::Entra).gap_ms, 40 * MINUTE_MS);
    }

    #[test]
    fn pauses_within_a_cycle_do_not_make_it_faster() {
        // Thirty requests half a minute apart, then silence until 40 minutes are over.
        let cadence = learn(known(Vendor::Authentik), &bursts(6, 40 * MINUTE_MS, 30, 30_000));
        assert!(cadence.gap_ms >= 25 * MINUTE_MS, "{cadence:?}");
    }

    #[test]
    fn a_night_without_requests_counts() {
        let mut active = bursts(60, MINUTE_MS, 1, 0);
        let morning = active.clone().into_iter().map(|(at, _)| (at + 10 * HOUR_MS, at + 10 * HOUR_MS));
        active.extend(morning);
        assert!(learn(known(Vendor::Other), &active).gap_ms >= 9 * HOUR_MS);
    }

    proptest! {
        #[test]
        fn a_regular_rhythm_is_found_whatever_its_order(every in 2_i64..3_000, count in 5_i64..60, size in 1_i64..5) {
            let every_ms = every * MINUTE_MS;
            let mut active = bursts(count, every_ms, size, 700);
            active.reverse();
            let cadence = learn(known(Vendor::Entra), &active);
            let least_ms = known(Vendor::Entra).gap_ms;
            let is_long = every_ms * (count - 1) >= 3 * least_ms;
            let expected = if is_long { every_ms } else { every_ms.max(least_ms) };
            prop_assert_eq!(cadence.gap_ms, expected.min(SLOWEST_MS));
        }

        #[test]
        fn no_activity_gives_nonsense(active in proptest::collection::vec((0_i64..4_000_000_000_000, 0_i64..STRETCH_MS), 0..60)) {
            let active: Vec<_> = active.into_iter().map(|(at, length)| (at, at + length)).collect();
            let cadence = learn(known(Vendor::Other), &active);
            prop_assert!((FASTEST_MS..=SLOWEST_MS).contains(&cadence.gap_ms));
        }
    }
}
