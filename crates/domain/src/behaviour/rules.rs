//! What the rules of a federation count from, each number with its default, its bounds, and the direction
//! that makes it laxer.
//!
//! A brake (R1, R2, R4) has no switch: it can be set higher, up to its bound, and never off. Every other rule
//! has an [`Answer`]. To add a number, add a line to the table: form, check, audit and page follow it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// What a rule does when it trips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing: the rule is off.
    Off,
    /// It raises a finding.
    Alert,
    /// It raises a finding, and holds the key (A5, A13: the operation) in the cases that the rule names.
    Hold,
}

impl Answer {
    /// Every answer, the mildest first.
    pub const ALL: [Self; 3] = [Self::Off, Self::Alert, Self::Hold];

    /// The word in forms, API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Alert => "alert",
            Self::Hold => "hold",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Off => "Off",
            Self::Alert => "Alert",
            Self::Hold => "Alert and hold",
        }
    }

    /// Reads the word of [`Answer::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|answer| answer.as_str() == text)
    }
}

/// Which way a number makes its rule laxer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Laxer {
    /// The higher, the laxer.
    Up,
    /// The lower, the laxer.
    Down,
}

/// One number of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// The rule and the number: `r1.most`.
    pub field: &'static str,
    /// What it is, to be read after the name of its rule.
    pub label: &'static str,
    /// What it is counted in.
    pub unit: &'static str,
    /// Its value.
    pub value: u32,
    /// What it is when nothing is said.
    pub default: u32,
    /// What it may be.
    pub allowed: RangeInclusive<u32>,
    /// Which way it is laxer.
    pub laxer: Laxer,
}

/// The switch of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The rule and the word `answer`: `a1.answer`.
    pub field: &'static str,
    /// Its value.
    pub value: Answer,
    /// What it is when nothing is said.
    pub default: Answer,
    /// What it may be.
    pub allowed: &'static [Answer],
}

/// A number or switch that was made laxer, in words: `r1.most: 500 → 800`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which: [`Number::field`], [`Switch::field`].
    pub field: &'static str,
    /// Before and after.
    pub text: String,
    /// Whether less trips it than before.
    pub is_laxer: bool,
}

macro_rules! rules {
    ($(
        $(#[$doc:meta])*
        $rule:ident, $Type:ident $(, $switch:ident: $answer:ident of $allowed:ident)? {
            $($(#[$field_doc:meta])* $field:ident = $default:literal in $low:literal..=$high:literal, $laxer:ident, $label:literal, $unit:literal;)*
        }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $Type {
                $(
                    /// What it does when it trips.
                    #[doc = concat!("By itself [`Answer::", stringify!($answer), "`].")]
                    pub $switch: Answer,
                )?
                $($(#[$field_doc])* pub $field: u32,)*
            }

            impl Default for $Type {
                fn default() -> Self {
                    Self { $($switch: Answer::$answer,)? $($field: $default,)* }
                }
            }
        )*

        /// The rules of a federation. What is not said has its default.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Rules {
            $($(#[$doc])* pub $rule: $Type,)*
        }

        impl Rules {
            /// Every number, in the order of the documentation.
            pub fn numbers(&self) -> Vec<Number> {
                vec![$($(Number {
                    field: concat!(stringify!($rule), ".", stringify!($field)),
                    label: $label,
                    unit: $unit,
                    value: self.$rule.$field,
                    default: $default,
                    allowed: $low..=$high,
                    laxer: Laxer::$laxer,
                },)*)*]
            }

            /// Every switch, in the order of the documentation.
            pub fn switches(&self) -> Vec<Switch> {
                vec![$($(Switch {
                    field: concat!(stringify!($rule), ".", stringify!($switch)),
                    value: self.$rule.$switch,
                    default: Answer::$answer,
                    allowed: $allowed,
                },)?)*]
            }

            fn number_mut(&mut self, field: &str) -> Option<&mut u32> {
                match field {
                    $($(concat!(stringify!($rule), ".", stringify!($field)) => Some(&mut self.$rule.$field),)*)*
                    _ => None,
                }
            }

            fn switch_mut(&mut self, field: &str) -> Option<&mut Answer> {
                match field {
                    $($(concat!(stringify!($rule), ".", stringify!($switch)) => Some(&mut self.$rule.$switch),)?)*
                    _ => None,
                }
            }
        }
    };
}

const ANY: &[Answer] = &[Answer::Off, Answer::Alert, Answer::Hold];
const NO_HOLD: &[Answer] = &[Answer::Off, Answer::Alert];
const NEVER_OFF: &[Answer] = &[Answer::Alert, Answer::Hold];

rules! {
    /// When a profile has learned enough for the rules that compare with what was learned.
    learning, Learning {
        /// At least so long, in days.
        days = 14 in 2..=60, Up, "Learned for at least", "days";
        /// At least so many syncs.
        cycles = 3 in 1..=50, Up, "And at least", "syncs";
    }
    /// R1: deactivations, deletions and removals from protected groups, in 60 minutes and in 24 hours. The limit
    /// is the smallest of `most`, max(`floor`, `share` of the active users) and max(`floor`, `times_p99` × what is
    /// usual in an hour).
    r1, Removals {
        /// Never more than this, in 60 minutes.
        most = 500 in 1..=5_000, Up, "At most", "operations";
        /// In percent of the active users.
        share = 20 in 1..=50, Up, "At most", "% of active users";
        /// So many are let through whatever the shares say.
        floor = 10 in 1..=100, Up, "Never less than", "operations";
        /// In multiples of the 99th percentile of an hour.
        times_p99 = 5 in 2..=20, Up, "At most", "× a busy hour";
    }
    /// R2: one request takes a large part of a group away, or all of it.
    r2, Emptying {
        /// In percent of the members.
        share = 50 in 10..=90, Up, "More than", "% of the members";
        /// Of groups that have so many members.
        least_members = 10 in 2..=100, Up, "Of groups with at least", "members";
    }
    /// R4: userName, mail address or externalId of many users is rewritten in 60 minutes. The limit is the
    /// smaller of `most` and max(`floor`, `share` of the users).
    r4, Rewrites {
        /// Never more than this.
        most = 20 in 1..=1_000, Up, "At most", "users";
        /// In percent of the users.
        share = 5 in 1..=25, Up, "At most", "% of users";
        /// So many are let through whatever the share says.
        floor = 5 in 1..=50, Up, "Never less than", "users";
    }
    /// A1: a network that the key was never used from. Held: when it also writes.
    a1, NewNetwork, answer: Alert of ANY {}
    /// A2: a kind of user agent that was never seen, from a network that was never seen. Held: when it also writes.
    a2, NewAgent, answer: Alert of ANY {}
    /// A3: one key from two networks at once, not both known. Held: when the unknown one writes.
    a3, TwoNetworks, answer: Hold of ANY {
        /// What "at once" means, in minutes.
        minutes = 10 in 1..=120, Down, "Within", "minutes";
    }
    /// A4: what the scope denies or another federation's base does not show. Held: from `holds` on.
    a4, Denials, answer: Hold of ANY {
        /// So many raise a finding; a verb that the key never held raises it at once.
        alerts = 10 in 2..=1_000, Up, "Alerts at", "refusals";
        /// So many hold the key.
        holds = 50 in 2..=5_000, Up, "Holds at", "refusals";
        /// The window, in minutes.
        minutes = 5 in 1..=60, Down, "Within", "minutes";
    }
    /// A5: somebody is added to a group that gives privilege. Alert: every addition. Hold: and those outside the
    /// usual syncs wait for approval.
    a5, Privilege, answer: Hold of NEVER_OFF {}
    /// A7: a key that fell asleep is used. Held: when it writes.
    a7, Dormant, answer: Hold of ANY {
        /// Silent for so long, in days.
        days = 45 in 7..=365, Up, "Silent for", "days";
    }
    /// A8: many writes at an hour and at a distance from the last sync that are both unusual.
    a8, OffSchedule, answer: Alert of ANY {
        /// So many writes in the hour, at least.
        writes = 20 in 1..=10_000, Up, "More than", "writes";
        /// So many standard deviations above what is usual.
        deviations = 4 in 2..=20, Up, "More than", "standard deviations";
    }
    /// A9: no good request for longer than max(`times_gap` × a long gap, `least_minutes`); worse at 4 times that.
    a9, Silence, answer: Alert of NO_HOLD {
        /// Never sooner than after so many minutes.
        least_minutes = 120 in 10..=10_080, Up, "At least", "minutes";
        /// In multiples of the 95th percentile of gaps between syncs.
        times_gap = 3 in 2..=20, Up, "At least", "× a long gap";
    }
    /// A10: many requests of an hour fail.
    a10, Failures, answer: Alert of ANY {
        /// In percent.
        percent = 40 in 5..=100, Up, "More than", "% failed";
        /// Of so many requests, at least.
        least = 50 in 10..=10_000, Up, "Of at least", "requests";
    }
    /// A11: the directory is read through: more reading than `times_p99` × what is usual, or all of it by a key that
    /// never did. Held: at `hold_times`.
    a11, Enumeration, answer: Hold of ANY {
        /// Alerts at so many times the 99th percentile of an hour.
        times_p99 = 5 in 2..=50, Up, "Alerts at", "× a busy hour";
        /// Holds at so many times.
        hold_times = 10 in 2..=100, Up, "Holds at", "× a busy hour";
        /// Never below so many lists in the hour.
        least = 20 in 5..=10_000, Up, "Never below", "lists";
    }
    /// A12: a burst of creations outside the first sync.
    a12, CreateBurst, answer: Alert of ANY {
        /// Never below so many in an hour.
        least = 50 in 10..=10_000, Up, "More than", "users in an hour";
        /// In multiples of the 99th percentile of an hour.
        times_p99 = 5 in 2..=50, Up, "And more than", "× a busy hour";
    }
    /// A13: a mail domain or a shape of externalId that the federation never had. Hold: the operation waits until the
    /// domain is allowed.
    a13, NewIdentity, answer: Hold of ANY {}
    /// A14: keys that nobody issued are presented at the base of the federation. A revoked key is told at its first use
    /// and that cannot be switched off.
    a14, UnknownKeys, answer: Alert of NO_HOLD {
        /// So many a minute.
        per_minute = 20 in 5..=10_000, Up, "At", "a minute";
    }
    /// A16: a canary user or group is read or changed. Held: when it is changed.
    a16, CanaryResource, answer: Alert of ANY {}
    /// A18: an attribute is written that never was (low), or a password (medium).
    a18, NewAttribute, answer: Alert of ANY {}
    /// A20: an admin widened a scope, made a rule laxer, exported for the first time, or tried to approve a request of
    /// their own.
    a20, AdminPlane, answer: Alert of NO_HOLD {}
}

impl Rules {
    /// Sets one number or switch from text; nothing is checked but that it can be read.
    ///
    /// # Errors
    /// [`Invalid`] on the field.
    pub fn set(&mut self, field: &str, text: &str) -> Result<(), Invalid> {
        let text = text.trim();
        if let Some(number) = self.number_mut(field) {
            *number = text
                .parse()
                .map_err(|_| Invalid::new(field, format!("{text:?} is not a whole number, 0 or more")))?;
            return Ok(());
        }
        if let Some(switch) = self.switch_mut(field) {
            *switch = Answer::parse(text)
                .ok_or_else(|| Invalid::new(field, format!("{text:?} is not one of off, alert, hold")))?;
            return Ok(());
        }
        Err(Invalid::new(field, "there is no such rule"))
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// One [`Invalid`] for each field that is out of its bounds, by its name.
    pub fn check(self) -> Result<Self, Vec<Invalid>> {
        let mut faults = Vec::new();
        for Number { field, value, allowed, unit, .. } in self.numbers() {
            if !allowed.contains(&value) {
                let (low, high) = (allowed.start(), allowed.end());
                faults.push(Invalid::new(field, format!("{value} is not {low} to {high} {unit}")));
            }
        }
        for Switch { field, value, allowed, .. } in self.switches() {
            if !allowed.contains(&value) {
                let words: Vec<_> = allowed.iter().map(|answer| answer.as_str()).collect();
                faults.push(Invalid::new(
                    field,
                    format!("{:?} is not one of {}", value.as_str(), words.join(", ")),
                ));
            }
        }
        let ordered = [
            ("a4.holds", self.a4.holds, "a4.alerts", self.a4.alerts),
            ("a11.hold_times", self.a11.hold_times, "a11.times_p99", self.a11.times_p99),
            ("r1.most", self.r1.most, "r1.floor", self.r1.floor),
            ("r4.most", self.r4.most, "r4.floor", self.r4.floor),
        ];
        for (field, high, least, low) in ordered {
            if high < low {
                faults.push(Invalid::new(field, format!("{high} is less than {least}, which is {low}")));
            }
        }
        if faults.is_empty() { Ok(self) } else { Err(faults) }
    }

    /// What differs from rules as they were before.
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (old, new) in before.numbers().into_iter().zip(self.numbers()) {
            if old.value != new.value {
                changes.push(Change {
                    field: new.field,
                    text: format!("{}: {} → {}", new.field, old.value, new.value),
                    is_laxer: match new.laxer {
                        Laxer::Up => new.value > old.value,
                        Laxer::Down => new.value < old.value,
                    },
                });
            }
        }
        for (old, new) in before.switches().into_iter().zip(self.switches()) {
            if old.value != new.value {
                changes.push(Change {
                    field: new.field,
                    text: format!("{}: {} → {}", new.field, old.value.as_str(), new.value.as_str()),
                    is_laxer: new.value < old.value,
                });
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_inside_their_bounds_and_are_what_an_empty_text_says() {
        let rules = Rules::default();
        assert_eq!(rules.check(), Ok(rules));
        assert_eq!(serde_json::from_str::<Rules>("{}").unwrap(), rules);
        assert_eq!(
            serde_json::from_str::<Rules>(r#"{"r1":{"most":100}}"#).unwrap().r1,
            Removals { most: 100, ..Removals::default() }
        );
    }

    #[test]
    fn what_is_not_a_rule_is_refused() {
        for text in [
            r#"{"r9":{}}"#,
            r#"{"r1":{"answer":"off"}}"#,
            r#"{"a1":{"most":1}}"#,
            r#"{"a1":{"answer":"no"}}"#,
        ] {
            assert!(serde_json::from_str::<Rules>(text).is_err(), "{text}");
        }
        let mut rules = Rules::default();
        for (field, text) in [("r1.answer", "off"), ("r1.most", "-1"), ("a1.answer", "no"), ("z", "1")] {
            assert_eq!(rules.set(field, text).unwrap_err().field, field);
        }
        assert_eq!(rules, Rules::default());
    }

    #[test]
    fn each_bound_names_its_field() {
        for number in Rules::default().numbers() {
            for (value, fits) in [
                (*number.allowed.start(), true),
                (*number.allowed.end(), true),
                (number.allowed.end() + 1, false),
                (number.allowed.start().saturating_sub(1), false),
            ] {
                let mut rules = Rules::default();
                rules.set(number.field, &value.to_string()).unwrap();
                let named = rules
                    .check()
                    .err()
                    .into_iter()
                    .flatten()
                    .any(|fault| fault.field == number.field && fault.message.contains(" is not "));
                assert_eq!(named, !fits, "{} = {value}", number.field);
            }
            assert!(number.allowed.contains(&number.default), "{}", number.field);
        }
        for switch in Rules::default().switches() {
            for answer in Answer::ALL {
                let mut rules = Rules::default();
                rules.set(switch.field, answer.as_str()).unwrap();
                assert_eq!(
                    rules.check().is_ok(),
                    switch.allowed.contains(&answer),
                    "{} {answer:?}",
                    switch.field
                );
            }
        }
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let mut rules = Rules::default();
        rules.a4.alerts = 60;
        rules.a11.times_p99 = 20;
        rules.r4.floor = 30;
        let fields: Vec<_> = rules.check().unwrap_err().into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["a4.holds", "a11.hold_times", "r4.most"]);
    }

    #[test]
    fn a_change_says_whether_it_is_laxer() {
        let before = Rules::default();
        let mut after = before;
        after.r1.most = 800;
        after.a3.minutes = 5;
        after.a9.least_minutes = 60;
        after.a1.answer = Answer::Hold;
        after.a12.answer = Answer::Off;
        let changes: Vec<_> =
            after.changes_since(&before).into_iter().map(|change| (change.text, change.is_laxer)).collect();
        let expected = [
            ("r1.most: 500 → 800", true),
            ("a3.minutes: 10 → 5", true),
            ("a9.least_minutes: 120 → 60", false),
            ("a1.answer: alert → hold", false),
            ("a12.answer: alert → off", true),
        ];
        assert_eq!(changes, expected.map(|(text, laxer)| (text.to_owned(), laxer)));
        assert!(before.changes_since(&before).is_empty());
    }
}
