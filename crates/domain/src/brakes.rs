//! Brakes: what stops a change before it does harm, decided from numbers that the caller holds.
//!
//! | brake | holds |
//! |---|---|
//! | R1 | deactivations and deletions of users, and removals from privileged groups, past a limit in 60 minutes or in 24 hours |
//! | R2 | one request that takes most of a group away, or all of it |
//! | R4 | userName, mail address or externalId of too many users rewritten in 60 minutes |
//! | A5 | an addition to a privileged group outside the hours in which the federation works |
//! | A13 | a mail domain or a shape of externalId that the federation never had |
//!
//! R3, what is protected, refuses and holds nothing: see [`Guards`]. The thresholds are those of
//! [`crate::behaviour::Rules`].

mod held;
mod identity;
mod ledger;
mod marks;
mod windows;

use serde::{Deserialize, Serialize};

pub use held::{
    DECIDE_MS, HeldOperation, HeldState, Image, MEMORY_MS, PASS_MS, fingerprint, list_hash, short_hash,
};
pub use identity::{MOST_LEARNED, New, is_rewritten, mail_domains, shape};
pub use ledger::{Ledger, Limits, MOST_HELD, RECOUNT_MS};
pub use marks::{Guards, Learned, LearnedKind, Mark, MarkKind, NewMark};
pub use windows::{LONGEST_WINDOW_MS, MOST_CEILING, NewWindow, Window, WindowState};

use crate::{
    HOUR_MS, Millis,
    behaviour::{Emptying, Learning, Rewrites},
    findings,
};

/// A brake that holds operations for approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Brake {
    /// R1: too many users are taken away.
    R1,
    /// R2: most of a group is taken away at once.
    R2,
    /// R4: too many users get another name or address.
    R4,
    /// A5: somebody joins a privileged group at an unusual hour.
    A5,
    /// A13: a new mail domain or shape of externalId.
    A13,
}

impl Brake {
    /// Every brake, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::R1, Self::R2, Self::R4, Self::A5, Self::A13];

    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::R1 => "r1",
            Self::R2 => "r2",
            Self::R4 => "r4",
            Self::A5 => "a5",
            Self::A13 => "a13",
        }
    }

    /// Its name in the documentation.
    pub const fn code(self) -> &'static str {
        match self {
            Self::R1 => "R1",
            Self::R2 => "R2",
            Self::R4 => "R4",
            Self::A5 => "A5",
            Self::A13 => "A13",
        }
    }

    /// What people read: what the operations of a case have in common.
    pub const fn title(self) -> &'static str {
        match self {
            Self::R1 => "Many users taken away",
            Self::R2 => "A group emptied",
            Self::R4 => "Many names or addresses rewritten",
            Self::A5 => "Privilege given at an unusual hour",
            Self::A13 => "A new domain or kind of id",
        }
    }

    /// The rule of its findings.
    pub const fn rule(self) -> findings::Rule {
        match self {
            Self::R1 => findings::Rule::MassRemoval,
            Self::R2 => findings::Rule::GroupEmptied,
            Self::R4 => findings::Rule::MassRewrite,
            Self::A5 => findings::Rule::PrivilegedAdd,
            Self::A13 => findings::Rule::NewIdentity,
        }
    }

    /// Reads the word of [`Brake::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|brake| brake.as_str() == text)
    }
}

/// Whether a request that takes `leaving` members from a group of `size` trips R2.
pub const fn is_emptied(rule: &Emptying, size: i64, leaving: i64) -> bool {
    size >= rule.least_members as i64 && leaving * 100 > size * rule.share as i64
}

/// The fewest members that have to leave before the size of their group matters to R2.
pub const fn least_leaving(rule: &Emptying) -> i64 {
    rule.least_members as i64 * rule.share as i64 / 100 + 1
}

/// How many users R4 lets be rewritten in 60 minutes, of so many.
pub fn rewrite_limit(rule: &Rewrites, users: i64) -> i64 {
    let share = users * i64::from(rule.share) / 100;
    i64::from(rule.most).min(share.max(i64::from(rule.floor)))
}

/// Whether a federation is known well enough for A5 and A13: for so many days, with traffic in so many
/// hours.
pub fn is_learned(rule: &Learning, since_ms: Millis, hours: &[i64], now_ms: Millis) -> bool {
    let is_old = now_ms - since_ms >= i64::from(rule.days) * 24 * HOUR_MS;
    let before = hours.iter().filter(|hour| **hour < now_ms / HOUR_MS).count();
    is_old && before >= rule.cycles as usize
}

/// Whether a federation usually works at this hour of the day: it did so on two days before, within an hour
/// of it. `hours` are those of the last 30 days that had traffic, counted from 1970.
pub fn is_usual_hour(hours: &[i64], now_ms: Millis) -> bool {
    let now = now_ms.div_euclid(HOUR_MS);
    let today = now.div_euclid(24);
    let mut days: Vec<i64> = hours
        .iter()
        .filter(|hour| {
            let apart = (hour.rem_euclid(24) - now.rem_euclid(24)).rem_euclid(24);
            matches!(apart, 0 | 1 | 23)
        })
        .map(|hour| hour.div_euclid(24))
        .filter(|day| *day < today)
        .collect();
    days.sort_unstable();
    days.dedup();
    days.len() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Rules;

    #[test]
    fn more_than_half_of_ten_members_is_emptied_and_half_is_not() {
        let rule = Rules::default().r2;
        assert!(is_emptied(&rule, 10, 6));
        assert!(!is_emptied(&rule, 10, 5));
        assert!(!is_emptied(&rule, 9, 9), "a group of nine is small");
        assert!(!is_emptied(&rule, 101, 50));
        assert!(is_emptied(&rule, 101, 51));
        for (size, leaving) in (10..200).flat_map(|size| (0..=size).map(move |leaving| (size, leaving))) {
            assert!(
                !is_emptied(&rule, size, leaving) || leaving >= least_leaving(&rule),
                "{leaving} of {size}"
            );
        }
    }

    #[test]
    fn the_limit_of_rewrites_has_a_floor_a_share_and_a_cap() {
        let rule = Rules::default().r4;
        for (users, limit) in [(0, 5), (100, 5), (119, 5), (120, 6), (399, 19), (400, 20), (100_000, 20)] {
            assert_eq!(rewrite_limit(&rule, users), limit, "{users} users");
        }
    }

    #[test]
    fn an_hour_is_usual_when_two_days_before_had_it() {
        let day = 20_000;
        let at = |hour: i64| (day * 24 + hour) * HOUR_MS + 1;
        let worked = [(day - 1) * 24 + 9, (day - 2) * 24 + 9, (day - 2) * 24 + 3];
        for (hour, usual) in [(8, true), (9, true), (10, true), (11, false), (7, false), (3, false)] {
            assert_eq!(is_usual_hour(&worked, at(hour)), usual, "{hour}");
        }
        let midnight = [(day - 1) * 24 + 23, (day - 3) * 24 + 23];
        assert!(is_usual_hour(&midnight, at(0)));
        assert!(!is_usual_hour(&[day * 24 + 3, day * 24 + 4], at(3)), "what is done today proves nothing");
    }

    #[test]
    fn learning_takes_its_days_and_its_syncs() {
        let rule = Rules::default().learning;
        let now = 100 * 24 * HOUR_MS;
        let hours = [1, 2, 3];
        assert!(is_learned(&rule, now - 14 * 24 * HOUR_MS, &hours, now));
        assert!(!is_learned(&rule, now - 14 * 24 * HOUR_MS + 1, &hours, now));
        assert!(!is_learned(&rule, 0, &hours[..2], now));
        assert!(
            !is_learned(&rule, 0, &[1, 2, now / HOUR_MS], now),
            "the hour that is running proves nothing"
        );
    }

    #[test]
    fn words_are_read_back() {
        for brake in Brake::ALL {
            assert_eq!(Brake::parse(brake.as_str()), Some(brake));
        }
    }
}
