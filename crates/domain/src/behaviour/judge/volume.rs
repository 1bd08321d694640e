//! Rules of how much and when: failures, lists, creations, syncs.

use super::{Judge, Metric, Operation, Rule, Suspicion};

impl Judge<'_> {
    pub(super) fn failures(&self, found: &mut Vec<Suspicion>) {
        if !self.seen.is_failure() {
            return;
        }
        let rule = &self.rules.a10;
        let (failed, all) = (self.window(Metric::Failures, 60), self.window(Metric::Requests, 60));
        if all < u64::from(rule.least) || failed * 100 <= all * u64::from(rule.percent) {
            return;
        }
        Self::trip(
            found,
            (Rule::ManyFailures, rule.answer),
            true,
            format!("At most {} % of {} requests or more fail in 60 minutes.", rule.percent, rule.least),
            format!(
                "{failed} of {all} failed ({} %), the last with {}.",
                failed * 100 / all,
                self.seen.status
            ),
        );
    }

    fn is_broad(&self) -> bool {
        self.seen.operation == Operation::List && (!self.seen.is_filtered || self.seen.given > 1)
    }

    /// A key that only ever looked at one at a time begins to list.
    pub(super) fn first_list(&self, found: &mut Vec<Suspicion>) {
        let has_listed = self.base.quantile(Metric::Lists, 1_000, self.seen.at_ms) > 0
            || self.base.window(Metric::Lists, 120, self.seen.at_ms) > 0;
        if !self.is_learned || has_listed || !self.is_broad() || self.seen.given < 10 {
            return;
        }
        let given = self.seen.given;
        Self::trip(
            found,
            (Rule::Enumeration, self.rules.a11.answer),
            false,
            "One resource at a time: in 30 days it has never read a list.".to_owned(),
            format!("A list that gave {given} resources, of {} in the directory.", self.base.population),
        );
    }

    pub(super) fn reads_all(&self) -> bool {
        let population = u64::from(self.base.population);
        population >= 50 && self.window(Metric::Given, 60) * 10 >= population * 8
    }

    pub(super) fn enumeration(&self, found: &mut Vec<Suspicion>) {
        let rule = &self.rules.a11;
        let (least, population) = (u64::from(rule.least), u64::from(self.base.population));
        let (times, hold) = (u64::from(rule.times_p99), u64::from(rule.hold_times));
        let lists = self.window(Metric::Lists, 60);
        let usual = self.base.busy(Metric::Lists);
        if self.is_broad() && self.reads_all() && !self.base.read_all && !self.fresh.read_all {
            Self::trip(
                found,
                (Rule::Enumeration, rule.answer),
                lists >= least.max(usual * hold),
                format!("It has never read through the directory; a busy hour has {usual} lists."),
                format!(
                    "Lists of 60 minutes gave {} resources, of {population} in the directory.",
                    self.window(Metric::Given, 60)
                ),
            );
        }
        if self.is_broad() && lists > least.max(usual * times) {
            Self::trip(
                found,
                (Rule::Enumeration, rule.answer),
                lists > least.max(usual * hold),
                format!("{usual} lists in a busy hour; {times} times that is told, never below {least}."),
                format!("{lists} lists in 60 minutes."),
            );
        }
        // Who creates looks first whether it is there.
        let misses = self.window(Metric::Misses, 60).saturating_sub(self.window(Metric::Creates, 60));
        // Who changes something looks at it first.
        let writes = self.window(Metric::Updates, 60) + self.window(Metric::Deletes, 60);
        let looks = self.window(Metric::Looks, 60).saturating_sub(writes) + misses;
        let usual = self.base.busy(Metric::Looks);
        // One look at everybody is a full sync, and half of one more is a repetition.
        let alerts = (5 * least).max(usual * times).max(population * 3 / 2);
        if looks > alerts && !self.is_broad() && !self.seen.asks_to_write() {
            let holds = (10 * least).max(usual * hold).max(population * 3);
            Self::trip(
                found,
                (Rule::Enumeration, rule.answer),
                looks > holds,
                format!(
                    "{usual} looks in a busy hour at {population} resources; more than {alerts} are told."
                ),
                format!("{looks} looks in 60 minutes, {misses} of them at what is not there."),
            );
        }
    }

    pub(super) fn create_burst(&self, found: &mut Vec<Suspicion>) {
        let rule = &self.rules.a12;
        let creates = self.window(Metric::Creates, 60);
        let usual = self.base.busy(Metric::Creates);
        let limit = u64::from(rule.least).max(usual * u64::from(rule.times_p99));
        if self.seen.operation != Operation::Create || creates <= limit {
            return;
        }
        Self::trip(
            found,
            (Rule::CreateBurst, rule.answer),
            true,
            format!("{usual} creations in a busy hour; at most {limit} are usual."),
            format!("{creates} creations in 60 minutes."),
        );
    }

    pub(super) fn off_schedule(&self, found: &mut Vec<Suspicion>) {
        let rule = &self.rules.a8;
        if !self.seen.is_write() {
            return;
        }
        let minutes = 60;
        let writes = self.window(Metric::Creates, minutes)
            + self.window(Metric::Updates, minutes)
            + self.window(Metric::Deletes, minutes);
        let (around, all) = self.base.writes_around(self.seen.at_ms);
        if writes <= u64::from(rule.writes) || all < 100 || around * 500 > all || self.is_on_cadence() {
            return;
        }
        // Six hours in each of five days, or two: what is usual in one of them.
        let usual = around / 6;
        let above = writes.saturating_sub(usual);
        let deviations = u64::from(rule.deviations);
        if above * above <= deviations * deviations * usual.max(1) {
            return;
        }
        Self::trip(
            found,
            (Rule::OffSchedule, rule.answer),
            true,
            format!("{around} of {all} writes came around this hour of the day so far."),
            format!("{writes} writes in 60 minutes, more than {deviations} standard deviations above that."),
        );
    }

    /// Whether this sync began about as long after the one before as usual, for one that is regular.
    fn is_on_cadence(&self) -> bool {
        let (Some(middle), Some(long)) = (self.base.gap_ms(500), self.base.gap_ms(950)) else { return false };
        let (Some(last), Some(began)) = (self.base.sync_ms, self.fresh.sync_ms) else { return false };
        let gap = began - last;
        long <= middle * 3 / 2 && gap >= middle * 9 / 10 && gap <= middle * 11 / 10
    }
}
