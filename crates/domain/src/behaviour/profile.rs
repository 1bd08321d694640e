//! What was learned: counts that two nodes can add up, and what follows from them.
//!
//! A profile is a sum: [`Profile::merge`] adds what another node saw, in any order. Minutes are kept for two
//! hours and then folded, hour by hour, into a distribution for each of the last five weeks. Whatever a
//! stranger sends, it stays within [`MOST_BYTES`]: every list has an end, and every name a length.

mod places;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::places::{family_of, network_of};
use super::{Learning, Observation, Operation};
use crate::{DAY_MS, HOUR_MS, Millis};

/// What a profile weighs at most, as JSON.
pub const MOST_BYTES: usize = 64 * 1024;

pub(super) const MINUTE_MS: Millis = 60_000;

const WEEK_MS: Millis = 7 * DAY_MS;

/// A pause between requests that begins a new sync.
const PAUSE_MS: Millis = 2 * MINUTE_MS;

/// For how long minutes are kept as they are.
const RAW_MINUTES: i64 = 120;

/// How many weeks back volumes are learned from.
const WEEKS: i64 = 5;

/// How much a learned limit may grow in a week, in thousandths: it is added hour by hour, and 1.25 is e to the 0.223.
const GROWTH: i64 = 223;

/// How many networks, agents, attributes and changes of network are remembered.
const NETWORKS: usize = 64;
const AGENTS: usize = 24;
const ATTRIBUTES: usize = 96;
const TRAIL: usize = 8;

/// What counts as taking turns: back at a network within so long.
const TURN_MS: Millis = 10 * MINUTE_MS;

/// From so many turns between known networks on, a key is known to come from several at once.
const POOL_TURNS: u32 = 20;

/// How long a name is at most.
const NAME: usize = 48;

/// Whatever is new stays new for so long, and until it was seen on three days.
const PROBATION_MS: Millis = 7 * DAY_MS;

/// What is counted in each minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Users and groups created.
    Creates,
    /// Changes of users and groups.
    Updates,
    /// Users deactivated.
    Deactivations,
    /// Users and groups deleted.
    Deletes,
    /// Members taken out of groups.
    Leaves,
    /// Lists without a filter, or that gave more than one resource.
    Lists,
    /// Single resources looked at.
    Looks,
    /// Requests.
    Requests,
    /// Those that failed.
    Failures,
    /// Those that scope or federation forbade.
    Denials,
    /// Filters that found nothing.
    Misses,
    /// Resources that lists gave.
    Given,
}

impl Metric {
    /// Every metric, in the order in which it is kept.
    pub const ALL: [Self; 12] = [
        Self::Creates,
        Self::Updates,
        Self::Deactivations,
        Self::Deletes,
        Self::Leaves,
        Self::Lists,
        Self::Looks,
        Self::Requests,
        Self::Failures,
        Self::Denials,
        Self::Misses,
        Self::Given,
    ];

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Creates => "Created",
            Self::Updates => "Changed",
            Self::Deactivations => "Deactivated",
            Self::Deletes => "Deleted",
            Self::Leaves => "Taken out of groups",
            Self::Lists => "Lists",
            Self::Looks => "Looked at one by one",
            Self::Requests => "Requests",
            Self::Failures => "Failed",
            Self::Denials => "Not allowed",
            Self::Misses => "Looked for and not found",
            Self::Given => "Resources given by lists",
        }
    }

    /// No learned limit passes this, an hour.
    const fn cap(self) -> i64 {
        match self {
            Self::Deactivations | Self::Deletes | Self::Leaves => 500,
            Self::Creates | Self::Updates | Self::Lists | Self::Denials | Self::Failures => 5_000,
            Self::Looks | Self::Requests | Self::Misses => 50_000,
            Self::Given => 500_000,
        }
    }
}

const METRICS: usize = Metric::ALL.len();

type Counts = [u32; METRICS];

/// How often something was seen, and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// First.
    pub first_ms: Millis,
    /// Last.
    pub last_ms: Millis,
    /// On how many days.
    pub days: u32,
    /// How often.
    pub count: u32,
    /// Whether it was seen while the key was learned.
    pub learned: bool,
}

impl Seen {
    /// Whether it is part of what is usual.
    pub const fn is_known(&self, now_ms: Millis) -> bool {
        self.learned || (self.days >= 3 && now_ms - self.first_ms >= PROBATION_MS)
    }

    fn add(&mut self, other: &Self) {
        let same_day = self.last_ms.div_euclid(DAY_MS) == other.first_ms.div_euclid(DAY_MS);
        self.days = self.days.saturating_add(other.days).saturating_sub(u32::from(same_day));
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self.count = self.count.saturating_add(other.count);
        self.learned |= other.learned;
    }
}

/// The key came from another network than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// When its first request came from there.
    pub at_ms: Millis,
    /// The last before the next crossing.
    pub last_ms: Millis,
    /// From where.
    pub network: String,
    /// Whether it wrote from there.
    pub wrote: bool,
}

/// What is known of a federation or of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Since when it is learned.
    pub since_ms: Option<Millis>,
    /// The last request that was let in and answered.
    pub last_ms: Option<Millis>,
    /// When its last sync began.
    pub sync_ms: Option<Millis>,
    /// How many syncs were seen.
    pub syncs: u32,
    /// Users and groups in its directory, as they were last counted.
    pub population: u32,
    /// Whether it was ever given most of its directory by lists within an hour.
    pub read_all: bool,
    /// Source networks: /24 and /48.
    pub networks: BTreeMap<String, Seen>,
    /// Families of user agents.
    pub agents: BTreeMap<String, Seen>,
    /// Attributes that were written.
    pub attributes: BTreeMap<String, Seen>,
    /// What it did with success, by `verb kind`.
    pub operations: BTreeMap<String, u32>,
    /// The last changes of network, the latest last.
    pub trail: Vec<Crossing>,
    /// How often it was back at a known network within ten minutes, with another known one between.
    pub turns: u32,
    minutes: BTreeMap<i64, Counts>,
    /// Requests and writes by hour of the week, Thursday 00:00 UTC first: as 1970 began.
    week: BTreeMap<u8, (u32, u32)>,
    /// Gaps between syncs in seconds, by [`bucket`].
    gaps: BTreeMap<u8, u32>,
    /// Counts of an hour by week since 1970, metric and [`bucket`].
    hours: BTreeMap<i64, BTreeMap<u8, BTreeMap<u8, u32>>>,
    /// The 99th percentile of an hour by metric, in thousandths, as it is allowed to have grown.
    usual: Vec<i64>,
    usual_ms: Millis,
    aged_week: i64,
}

/// The number of the bucket of a value: four for each doubling.
fn bucket(value: u64) -> u8 {
    if value < 4 {
        return u8::try_from(value).unwrap_or(3);
    }
    let octave = u64::from(value.ilog2());
    u8::try_from(octave * 4 + ((value >> (octave - 2)) & 3) - 4).unwrap_or(u8::MAX)
}

/// The largest value of a bucket.
fn top(bucket: u8) -> u64 {
    if bucket < 4 {
        return u64::from(bucket);
    }
    let (octave, part) = ((u64::from(bucket) + 4) / 4, (u64::from(bucket) + 4) % 4);
    ((5 + part) << (octave - 2)) - 1
}

/// The hour of the week of a moment.
pub fn hour_of_week(at_ms: Millis) -> u8 {
    u8::try_from(at_ms.div_euclid(HOUR_MS).rem_euclid(168)).unwrap_or(0)
}

/// Adds to a map that holds so many at most: what was not seen for the longest makes place.
fn remember(map: &mut BTreeMap<String, Seen>, name: &str, seen: &Seen, most: usize) {
    let name = short(name);
    if let Some(known) = map.get_mut(name) {
        known.add(seen);
        return;
    }
    if map.len() >= most {
        let key = |seen: &Seen| (seen.learned, seen.last_ms);
        let oldest = map.iter().min_by_key(|(_, seen)| key(seen)).map(|(name, _)| name.clone());
        if let Some(oldest) = oldest {
            map.remove(&oldest);
        }
    }
    map.insert(name.to_owned(), *seen);
}

/// A name as it is remembered.
pub(super) fn short(name: &str) -> &str {
    name.char_indices().nth(NAME).map_or(name, |(end, _)| name.get(..end).unwrap_or(name))
}

impl Profile {
    /// Whether enough was learned for what is compared with it.
    pub fn is_learned(&self, rule: Learning, now_ms: Millis) -> bool {
        self.syncs >= rule.cycles
            && self.since_ms.is_some_and(|since| now_ms - since >= i64::from(rule.days) * DAY_MS)
    }

    /// Notes one observation. `learns` is set while nothing is compared yet: what is seen then is usual.
    /// `before` is what other nodes and this one saw earlier.
    pub(super) fn note(&mut self, seen: &Observation<'_>, learns: bool, before: &Self) {
        let at_ms = seen.at_ms;
        self.since_ms = Some(self.since_ms.map_or(at_ms, |since| since.min(at_ms)));
        let mut counts = [0_u32; METRICS];
        seen.count(&mut counts);
        let minute = self.minutes.entry(at_ms.div_euclid(MINUTE_MS)).or_default();
        for (sum, count) in minute.iter_mut().zip(counts) {
            *sum = sum.saturating_add(count);
        }
        while self.minutes.len() > 2 * usize::try_from(RAW_MINUTES).unwrap_or(120) {
            self.minutes.pop_first();
        }
        let hour = self.week.entry(hour_of_week(at_ms)).or_default();
        hour.0 = hour.0.saturating_add(1);
        hour.1 = hour.1.saturating_add(u32::from(seen.is_write()));
        if !seen.is_good() {
            return;
        }
        let last = self.last_ms.max(before.last_ms);
        if last.is_none_or(|last| at_ms - last >= PAUSE_MS) {
            if let Some(began) = self.sync_ms.max(before.sync_ms) {
                let gap_s = u64::try_from((at_ms - began) / 1_000).unwrap_or(0);
                *self.gaps.entry(bucket(gap_s.min(32 * 86_400))).or_default() += 1;
            }
            self.syncs = self.syncs.saturating_add(1);
            self.sync_ms = Some(at_ms);
        }
        self.last_ms = Some(self.last_ms.map_or(at_ms, |last| last.max(at_ms)));
        let once = Seen { first_ms: at_ms, last_ms: at_ms, days: 1, count: 1, learned: learns };
        if let Some(network) = &seen.network {
            self.turns =
                self.turns.saturating_add(u32::from(self.takes_turns(network, at_ms, learns, before)));
            remember(&mut self.networks, network, &once, NETWORKS);
            self.cross(network, at_ms, seen.is_write(), before);
        }
        if let Some(agent) = &seen.agent {
            remember(&mut self.agents, agent, &once, AGENTS);
        }
        for attribute in seen.attributes.iter().take(ATTRIBUTES) {
            remember(&mut self.attributes, &attribute.to_lowercase(), &once, ATTRIBUTES);
        }
        let count = self.operations.entry(seen.word()).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether a request comes from where the key was a moment ago, and was elsewhere since; both of them known, or
    /// all of it being learned.
    fn takes_turns(&self, network: &str, at_ms: Millis, learns: bool, before: &Self) -> bool {
        let mut trail = before.trail.iter().chain(&self.trail).rev();
        let Some(last) = trail.next().filter(|last| last.network != network) else { return false };
        let is_known = |name: &str| before.networks.get(name).is_some_and(|seen| seen.is_known(at_ms));
        (learns || (is_known(network) && is_known(&last.network)))
            && trail.any(|earlier| earlier.network == network && at_ms - earlier.last_ms <= TURN_MS)
    }

    /// Whether it usually comes from several networks at once, as a provider with a pool of them does.
    pub const fn is_pooled(&self) -> bool {
        self.turns >= POOL_TURNS
    }

    fn cross(&mut self, network: &str, at_ms: Millis, wrote: bool, before: &Self) {
        match self.trail.last_mut() {
            Some(last) if last.network == network => {
                last.last_ms = at_ms;
                last.wrote |= wrote;
            }
            None if !wrote && before.trail.last().is_some_and(|last| last.network == network) => {}
            Some(_) | None => {
                let network = network.to_owned();
                self.trail.push(Crossing { at_ms, last_ms: at_ms, network, wrote });
                if self.trail.len() > TRAIL {
                    self.trail.remove(0);
                }
            }
        }
    }

    /// Adds what another has seen, or this one since it last wrote, and folds what is old.
    pub fn merge(&mut self, other: &Self, rule: Learning, now_ms: Millis) {
        self.since_ms = self.since_ms.into_iter().chain(other.since_ms).min();
        self.last_ms = self.last_ms.max(other.last_ms);
        self.sync_ms = self.sync_ms.max(other.sync_ms);
        self.syncs = self.syncs.saturating_add(other.syncs);
        if other.population > 0 {
            self.population = other.population;
        }
        self.read_all |= other.read_all;
        for (mine, theirs, most) in [
            (&mut self.networks, &other.networks, NETWORKS),
            (&mut self.agents, &other.agents, AGENTS),
            (&mut self.attributes, &other.attributes, ATTRIBUTES),
        ] {
            for (name, seen) in theirs {
                remember(mine, name, seen, most);
            }
        }
        for (word, count) in &other.operations {
            let sum = self.operations.entry(word.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.turns = self.turns.saturating_add(other.turns);
        self.trail.extend(other.trail.iter().cloned());
        self.trail.sort_by_key(|crossing| crossing.at_ms);
        self.trail.drain(..self.trail.len().saturating_sub(TRAIL));
        for (minute, counts) in &other.minutes {
            let sums = self.minutes.entry(*minute).or_default();
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.saturating_add(*count);
            }
        }
        for (hour, (requests, writes)) in &other.week {
            let sum = self.week.entry(*hour).or_default();
            *sum = (sum.0.saturating_add(*requests), sum.1.saturating_add(*writes));
        }
        for (bucket, count) in &other.gaps {
            let sum = self.gaps.entry(*bucket).or_default();
            *sum = sum.saturating_add(*count);
        }
        for (week, metrics) in &other.hours {
            let mine = self.hours.entry(*week).or_default();
            for (metric, buckets) in metrics {
                let mine = mine.entry(*metric).or_default();
                for (bucket, count) in buckets {
                    let sum = mine.entry(*bucket).or_default();
                    *sum = sum.saturating_add(*count);
                }
            }
        }
        self.fold(rule, now_ms);
    }

    /// Moves hours that are over into the distribution of their week, and learns from it.
    fn fold(&mut self, rule: Learning, now_ms: Millis) {
        let oldest = (now_ms.div_euclid(MINUTE_MS) - RAW_MINUTES).div_euclid(60) * 60;
        let young = self.minutes.split_off(&oldest);
        let over = std::mem::replace(&mut self.minutes, young);
        let mut hours: BTreeMap<i64, [u64; METRICS]> = BTreeMap::new();
        for (minute, counts) in over {
            let sums = hours.entry(minute.div_euclid(60)).or_default();
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += u64::from(count);
            }
        }
        let is_news = !hours.is_empty();
        for (hour, sums) in hours {
            let week = self.hours.entry((hour * HOUR_MS).div_euclid(WEEK_MS)).or_default();
            for (metric, sum) in (0_u8..).zip(sums) {
                if sum > 0 {
                    *week.entry(metric).or_default().entry(bucket(sum)).or_default() += 1;
                }
            }
        }
        let this_week = now_ms.div_euclid(WEEK_MS);
        self.hours = self.hours.split_off(&(this_week - WEEKS + 1));
        if self.aged_week != this_week {
            // What is older counts for less, so that a new rhythm is learned within weeks.
            if self.aged_week != 0 {
                let aged = |count: &mut u32| *count -= *count / 4;
                self.gaps.values_mut().for_each(aged);
                aged(&mut self.turns);
                self.week.values_mut().for_each(|(requests, writes)| {
                    aged(requests);
                    aged(writes);
                });
            }
            self.aged_week = this_week;
        }
        if is_news || now_ms - self.usual_ms >= HOUR_MS {
            self.learn(rule, now_ms);
        }
    }

    fn learn(&mut self, rule: Learning, now_ms: Millis) {
        let is_learned = self.is_learned(rule, now_ms);
        let elapsed_ms = (now_ms - self.usual_ms).clamp(0, WEEK_MS);
        let mut usual = Vec::with_capacity(METRICS);
        for (index, metric) in Metric::ALL.into_iter().enumerate() {
            let measured = i64::try_from(self.quantile(metric, 990, now_ms)).unwrap_or(i64::MAX / 1_000);
            let measured = measured.min(metric.cap()) * 1_000;
            usual.push(match self.usual.get(index) {
                Some(before) if is_learned => {
                    let before = (*before).max(1_000);
                    measured.min(before + before * GROWTH / 1_000 * elapsed_ms / WEEK_MS)
                }
                Some(_) | None => measured,
            });
        }
        (self.usual, self.usual_ms) = (usual, now_ms);
    }

    /// A quantile in thousandths of what an hour of the last 30 days had.
    pub fn quantile(&self, metric: Metric, thousandths: u64, now_ms: Millis) -> u64 {
        let mut buckets: BTreeMap<u8, u64> = BTreeMap::new();
        let index = Metric::ALL.into_iter().position(|one| one == metric);
        let index = index.and_then(|index| u8::try_from(index).ok()).unwrap_or(0);
        for (bucket, count) in self.hours.values().filter_map(|week| week.get(&index)).flatten() {
            *buckets.entry(*bucket).or_default() += u64::from(*count);
        }
        let since_ms = self.since_ms.unwrap_or(now_ms);
        let hours = u64::try_from((now_ms - since_ms).min(30 * DAY_MS) / HOUR_MS).unwrap_or(0);
        let mut above = hours.max(1) * (1_000 - thousandths.min(1_000)) / 1_000;
        for (bucket, count) in buckets.into_iter().rev() {
            if count > above {
                return top(bucket);
            }
            above -= count;
        }
        0
    }

    /// What a busy hour has: the 99th percentile, as it was allowed to grow. A quarter a week at most.
    pub fn busy(&self, metric: Metric) -> u64 {
        let index = Metric::ALL.into_iter().position(|one| one == metric).unwrap_or(0);
        self.usual.get(index).and_then(|usual| u64::try_from(usual / 1_000).ok()).unwrap_or(0)
    }

    /// What was counted in the minutes before a moment, and in it.
    pub(super) fn window(&self, metric: Metric, minutes: u32, now_ms: Millis) -> u64 {
        let now = now_ms.div_euclid(MINUTE_MS);
        let index = Metric::ALL.into_iter().position(|one| one == metric).unwrap_or(0);
        let range = self.minutes.range(now - i64::from(minutes) + 1..=now);
        range.filter_map(|(_, counts)| counts.get(index)).map(|count| u64::from(*count)).sum()
    }

    /// The gap between syncs that this share of all time, in thousandths, lies within; `None` when fewer than three were seen.
    pub fn gap_ms(&self, thousandths: u64) -> Option<Millis> {
        if self.gaps.values().sum::<u32>() < 3 {
            return None;
        }
        let total: u64 = self.gaps.iter().map(|(bucket, count)| top(*bucket) * u64::from(*count)).sum();
        let mut passed = 0;
        for (bucket, count) in &self.gaps {
            passed += top(*bucket) * u64::from(*count);
            if passed * 1_000 >= total * thousandths {
                return i64::try_from(top(*bucket) * 1_000).ok();
            }
        }
        None
    }

    /// Requests and writes of an hour of the week.
    pub fn hour(&self, hour: u8) -> (u32, u32) {
        self.week.get(&hour).copied().unwrap_or_default()
    }

    /// Writes at this hour of the day or one beside it, and of all; working days and weekends apart.
    pub(super) fn writes_around(&self, at_ms: Millis) -> (u64, u64) {
        // The week begins on a Thursday.
        let is_weekend = |hour: u8| matches!(hour / 24, 2 | 3);
        let own = hour_of_week(at_ms);
        let (mut around, mut all) = (0, 0);
        for (hour, (_, writes)) in &self.week {
            all += u64::from(*writes);
            let distance = (i16::from(hour % 24) - i16::from(own % 24)).rem_euclid(24);
            if matches!(distance, 0 | 1 | 23) && is_weekend(*hour) == is_weekend(own) {
                around += u64::from(*writes);
            }
        }
        (around, all)
    }

    /// Whether nothing was noted since it was new.
    pub fn is_empty(&self) -> bool {
        self.since_ms.is_none() && !self.read_all && self.population == 0
    }

    /// What a successor knows of its predecessor: everything but its rhythm of the last two hours.
    #[must_use]
    pub fn inherited(&self) -> Self {
        Self { minutes: BTreeMap::new(), trail: Vec::new(), ..self.clone() }
    }
}

impl Observation<'_> {
    fn count(&self, counts: &mut Counts) {
        let mut add = |metric: Metric, number: u32| {
            let index = Metric::ALL.into_iter().position(|one| one == metric);
            if let Some(count) = index.and_then(|index| counts.get_mut(index)) {
                *count = count.saturating_add(number);
            }
        };
        add(Metric::Requests, 1);
        if self.is_failure() {
            add(Metric::Failures, 1);
        }
        if self.is_denial() {
            add(Metric::Denials, 1);
        }
        if !self.is_good() {
            return;
        }
        match self.operation {
            Operation::Create => add(Metric::Creates, 1),
            Operation::Update => add(Metric::Updates, 1),
            Operation::Deactivate => {
                add(Metric::Updates, 1);
                add(Metric::Deactivations, 1);
            }
            Operation::Delete => add(Metric::Deletes, 1),
            Operation::List if !self.is_filtered || self.given > 1 => {
                add(Metric::Lists, 1);
                add(Metric::Given, self.given);
            }
            Operation::List if self.given == 0 => add(Metric::Misses, 1),
            Operation::Read | Operation::List => add(Metric::Looks, 1),
            Operation::Other => {}
        }
        add(Metric::Leaves, self.left);
    }
}

#[cfg(test)]
mod tests;
