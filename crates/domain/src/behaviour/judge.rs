//! One request held against what is usual. Pure and quick: it is done for every request.

mod volume;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Answer, Metric, Rules, Seen,
    profile::{MINUTE_MS, Profile, family_of, network_of, short},
};
use crate::{
    DAY_MS, HOUR_MS, Millis,
    federations::Vendor,
    findings::{Rule, Severity},
    rotations::cadence,
};

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A user or group was created.
    Create,
    /// One was changed.
    Update,
    /// A user was deactivated.
    Deactivate,
    /// One was deleted.
    Delete,
    /// One was looked at.
    Read,
    /// A list or search.
    List,
    /// Discovery, or nothing of these.
    Other,
}

/// What was decided of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// Its scope denied it, or it asked at another federation's base.
    Denied,
    /// It was held, throttled or paused by us, which says nothing about it.
    Stopped,
}

/// One request as the rules see it.
#[derive(Debug, Clone)]
pub struct Observation<'a> {
    /// When it arrived.
    pub at_ms: Millis,
    /// What it came to.
    pub operation: Operation,
    /// `Users`, `Groups`, or the discovery endpoint.
    pub resource_type: &'a str,
    /// The status of its answer.
    pub status: u16,
    /// What was decided.
    pub outcome: Outcome,
    /// Its network: [`network_of`].
    pub network: Option<String>,
    /// The family of its user agent: [`family_of`].
    pub agent: Option<String>,
    /// Top-level attributes that it wrote.
    pub attributes: &'a [String],
    /// Members that it took out of groups.
    pub left: u32,
    /// Resources that it was given.
    pub given: u32,
    /// Whether a list had a filter.
    pub is_filtered: bool,
    /// Whether what it read or changed is a canary.
    pub is_canary: bool,
}

impl<'a> Observation<'a> {
    /// A request that was answered with success.
    pub fn new(at_ms: Millis, operation: Operation, resource_type: &'a str, status: u16) -> Self {
        Self {
            at_ms,
            operation,
            resource_type,
            status,
            outcome: Outcome::Answered,
            network: None,
            agent: None,
            attributes: &[],
            left: 0,
            given: 0,
            is_filtered: false,
            is_canary: false,
        }
    }

    /// From where it came.
    #[must_use]
    pub fn from(mut self, source: Option<IpAddr>, agent: Option<&str>) -> Self {
        self.network = source.map(network_of);
        self.agent = agent.map(family_of);
        self
    }

    /// Whether it was let in and did what it asked for.
    pub const fn is_good(&self) -> bool {
        matches!(self.outcome, Outcome::Answered) && matches!(self.status, 200..=299)
    }

    /// Whether it asked to change something.
    pub const fn asks_to_write(&self) -> bool {
        match self.operation {
            Operation::Create | Operation::Update | Operation::Deactivate | Operation::Delete => true,
            Operation::Read | Operation::List | Operation::Other => false,
        }
    }

    /// Whether it changed something.
    pub const fn is_write(&self) -> bool {
        self.asks_to_write() && self.is_good()
    }

    pub(super) const fn is_denial(&self) -> bool {
        matches!(self.outcome, Outcome::Denied)
    }

    pub(super) const fn is_failure(&self) -> bool {
        // Who looks for what is not there, or makes what is, has not failed.
        matches!(self.outcome, Outcome::Answered) && self.status >= 400 && !matches!(self.status, 404 | 409)
    }

    pub(super) fn word(&self) -> String {
        let verb = match self.operation {
            Operation::Create => "create",
            Operation::Update | Operation::Deactivate => "update",
            Operation::Delete => "delete",
            Operation::Read | Operation::List => "read",
            Operation::Other => "other",
        };
        let kind = match self.resource_type {
            "Users" => "users",
            "Groups" => "groups",
            _ => "rest",
        };
        format!("{verb} {kind}")
    }
}

/// A rule that tripped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// Which.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What was expected, with numbers.
    pub expected: String,
    /// What came, with numbers.
    pub came: String,
    /// Whether the key is to be held.
    pub holds: bool,
}

/// A finding of one rule is raised again after so long at the soonest, unless it grew worse.
const AGAIN_MS: Millis = 5 * MINUTE_MS;

/// A key under watch on one node: what is in the database, and what this node saw since.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// What all nodes have written.
    pub base: Profile,
    /// What this node has not written yet.
    pub fresh: Profile,
    told: BTreeMap<Rule, (Millis, Severity, bool)>,
}

impl Watch {
    /// A watch from what was learned.
    pub fn new(base: Profile) -> Self {
        Self { base, ..Self::default() }
    }

    /// Notes a request and says what is suspicious of it.
    pub fn observe(&mut self, seen: &Observation<'_>, rules: &Rules) -> Vec<Suspicion> {
        let is_learned = self.base.is_learned(rules.learning, seen.at_ms);
        let mut found = Vec::new();
        let judge = Judge { base: &self.base, fresh: &self.fresh, seen, rules, is_learned };
        judge.before(&mut found);
        self.fresh.note(seen, !is_learned, &self.base);
        let judge = Judge { base: &self.base, fresh: &self.fresh, seen, rules, is_learned };
        judge.after(&mut found);
        if judge.reads_all() {
            self.fresh.read_all = true;
        }
        found.retain(|suspicion| self.is_news(suspicion, seen.at_ms));
        found
    }

    /// Notes a request without judging it.
    pub fn note(&mut self, seen: &Observation<'_>, rules: &Rules) {
        let is_learned = self.base.is_learned(rules.learning, seen.at_ms);
        self.fresh.note(seen, !is_learned, &self.base);
    }

    fn is_news(&mut self, Suspicion { rule, severity, holds, .. }: &Suspicion, at_ms: Millis) -> bool {
        if let Some((told_ms, told, held)) = self.told.get(rule)
            && at_ms - told_ms < AGAIN_MS
            && severity <= told
            && (!holds || *held)
        {
            return false;
        }
        self.told.insert(*rule, (at_ms, *severity, *holds));
        true
    }

    /// What has not been written yet, to be written; it is counted in the base from now on.
    pub fn take(&mut self, rules: &Rules, now_ms: Millis) -> Profile {
        let fresh = std::mem::take(&mut self.fresh);
        self.base.merge(&fresh, rules.learning, now_ms);
        fresh
    }
}

struct Judge<'a> {
    base: &'a Profile,
    fresh: &'a Profile,
    seen: &'a Observation<'a>,
    rules: &'a Rules,
    is_learned: bool,
}

/// What the key did with a thing that is new.
fn did(seen: &Observation<'_>) -> String {
    format!("{} ({}) with status {}", seen.word(), seen.resource_type, seen.status)
}

impl Judge<'_> {
    /// What is compared with what was known before this request.
    fn before(&self, found: &mut Vec<Suspicion>) {
        self.dormant(found);
        self.canary(found);
        if self.seen.is_good() {
            let is_new = self.new_network(found);
            self.new_agent(found, is_new);
            self.new_attribute(found);
            self.first_list(found);
        }
    }

    /// What is counted with it.
    fn after(&self, found: &mut Vec<Suspicion>) {
        self.denials(found);
        self.two_networks(found);
        self.failures(found);
        if self.is_learned && self.seen.is_good() {
            self.enumeration(found);
            self.create_burst(found);
            self.off_schedule(found);
        }
    }

    fn window(&self, metric: Metric, minutes: u32) -> u64 {
        let at_ms = self.seen.at_ms;
        self.base.window(metric, minutes, at_ms) + self.fresh.window(metric, minutes, at_ms)
    }

    fn trip(
        found: &mut Vec<Suspicion>,
        (rule, answer): (Rule, Answer),
        holds: bool,
        expected: String,
        came: String,
    ) {
        let holds = holds && answer == Answer::Hold;
        let severity = if holds { rule.severity().max(Severity::High) } else { rule.severity() };
        if answer != Answer::Off {
            found.push(Suspicion { rule, severity, expected, came, holds });
        }
    }

    fn is_known_network(&self, network: &str) -> bool {
        let at_ms = self.seen.at_ms;
        if self.base.networks.get(network).is_some_and(|seen| seen.is_known(at_ms)) {
            return true;
        }
        // A provider that has used three networks of a range has the range.
        let Some(range) = range_of(network) else { return false };
        let near = |(name, seen): &(&String, &Seen)| seen.is_known(at_ms) && name.starts_with(range);
        self.base.networks.iter().filter(near).take(3).count() == 3
    }

    fn new_network(&self, found: &mut Vec<Suspicion>) -> bool {
        let Some(network) = self.seen.network.as_deref().filter(|_| self.is_learned) else { return false };
        if self.is_known_network(network) {
            return false;
        }
        // Each of them is told once; a stranger who writes is held however often it came before.
        let is_first = !self.has_seen(|profile| &profile.networks, network);
        let is_held = self.seen.is_write() && self.rules.a1.answer == Answer::Hold;
        if !is_first && !is_held {
            return true;
        }
        let known = self.base.networks.values().filter(|seen| seen.is_known(self.seen.at_ms)).count();
        let examples: Vec<&str> = self.base.networks.keys().take(3).map(String::as_str).collect();
        Self::trip(
            found,
            (Rule::NewNetwork, self.rules.a1.answer),
            self.seen.is_write(),
            format!("One of {known} known networks, among them {}.", examples.join(", ")),
            format!("{network}: {}.", did(self.seen)),
        );
        // A provider moves to one or two networks; what comes beside them is worse, and is told again.
        if is_first && let Some(last) = found.last_mut().filter(|one| one.rule == Rule::NewNetwork) {
            last.severity = last.severity.max(match self.strangers() {
                0 => Severity::Medium,
                1 => Severity::High,
                _ => Severity::Critical,
            });
        }
        true
    }

    /// Whether a network or an agent was ever seen, known or not.
    fn has_seen(&self, of: fn(&Profile) -> &BTreeMap<String, Seen>, name: &str) -> bool {
        let name = short(name);
        of(self.base).contains_key(name) || of(self.fresh).contains_key(name)
    }

    /// How many networks were seen in two weeks that are not known.
    fn strangers(&self) -> usize {
        let at_ms = self.seen.at_ms;
        let is_stranger = |name: &String, seen: &Seen| {
            at_ms - seen.last_ms < 14 * DAY_MS && !seen.learned && !self.is_known_network(name)
        };
        let base = self.base.networks.iter().filter(|(name, seen)| is_stranger(name, seen));
        let fresh = self.fresh.networks.iter().filter(|(name, seen)| is_stranger(name, seen));
        base.map(|(name, _)| name).chain(fresh.map(|(name, _)| name)).collect::<BTreeSet<_>>().len()
    }

    fn new_agent(&self, found: &mut Vec<Suspicion>, is_new_network: bool) {
        let Some(agent) = self.seen.agent.as_deref().filter(|_| is_new_network) else { return };
        if self.base.agents.get(agent).is_some_and(|seen| seen.is_known(self.seen.at_ms)) {
            return;
        }
        let is_first = !self.has_seen(|profile| &profile.agents, agent);
        let is_held = self.seen.is_write() && self.rules.a2.answer == Answer::Hold;
        if !is_first && !is_held {
            return;
        }
        let agents: Vec<&str> = self.base.agents.keys().take(5).map(String::as_str).collect();
        Self::trip(
            found,
            (Rule::NewAgent, self.rules.a2.answer),
            self.seen.is_write(),
            format!("One of {} families of user agents: {}.", self.base.agents.len(), agents.join(", ")),
            format!("{agent}, from a network that is new too: {}.", did(self.seen)),
        );
    }

    fn new_attribute(&self, found: &mut Vec<Suspicion>) {
        let fresh = &self.fresh.attributes;
        for attribute in self.seen.attributes {
            let name = attribute.to_lowercase();
            let name = short(&name);
            if self.base.attributes.contains_key(name) || fresh.contains_key(name) {
                continue;
            }
            let is_password = name == "password";
            if !is_password && !self.is_learned {
                continue;
            }
            let known = self.base.attributes.len();
            Self::trip(
                found,
                (Rule::NewAttribute, self.rules.a18.answer),
                is_password,
                format!("One of the {known} attributes that it has written before."),
                format!("{attribute} was written for the first time: {}.", did(self.seen)),
            );
            if is_password && let Some(last) = found.last_mut().filter(|one| one.rule == Rule::NewAttribute) {
                last.severity = last.severity.max(Severity::Medium);
            }
        }
    }

    fn dormant(&self, found: &mut Vec<Suspicion>) {
        let Some(last_ms) = self.base.last_ms.max(self.fresh.last_ms) else { return };
        let days = i64::from(self.rules.a7.days);
        let silent = (self.seen.at_ms - last_ms) / DAY_MS;
        if silent < days {
            return;
        }
        Self::trip(
            found,
            (Rule::DormantKey, self.rules.a7.answer),
            self.seen.asks_to_write(),
            format!("Silence: it was not used for {silent} days, and {days} count as asleep."),
            format!("{}.", did(self.seen)),
        );
    }

    fn canary(&self, found: &mut Vec<Suspicion>) {
        if self.seen.is_canary {
            Self::trip(
                found,
                (Rule::CanaryResource, self.rules.a16.answer),
                self.seen.asks_to_write(),
                "Nobody reads or changes it: it belongs to no person.".to_owned(),
                format!("{}.", did(self.seen)),
            );
        }
    }

    fn denials(&self, found: &mut Vec<Suspicion>) {
        if !self.seen.is_denial() {
            return;
        }
        let rule = &self.rules.a4;
        let count = self.window(Metric::Denials, rule.minutes);
        let word = self.seen.word();
        let did_before =
            self.base.operations.contains_key(&word) || self.fresh.operations.contains_key(&word);
        let is_new_verb = self.seen.status == 403 && !did_before && self.seen.operation != Operation::Other;
        if count < u64::from(rule.alerts) && !is_new_verb {
            return;
        }
        Self::trip(
            found,
            (Rule::ManyDenials, rule.answer),
            count >= u64::from(rule.holds),
            format!(
                "Fewer than {} refusals within {} minutes, and none of what it never did; it is held at {}.",
                rule.alerts, rule.minutes, rule.holds
            ),
            format!("{count} refusals within {} minutes, the last of them {}.", rule.minutes, did(self.seen)),
        );
    }

    /// Whether a network is known, or was told a day ago and not answered by a hold of the key since.
    fn is_settled(&self, network: &str) -> bool {
        let at_ms = self.seen.at_ms;
        let is_old = |seen: &Seen| seen.days >= 2 && at_ms - seen.first_ms >= DAY_MS;
        self.is_known_network(network) || self.base.networks.get(network).is_some_and(is_old)
    }

    /// Whether a program was at work in a stretch of time that is not known.
    fn has_strange_agent(&self, since_ms: Millis) -> bool {
        let at_ms = self.seen.at_ms;
        let is_known = |name: &str| self.base.agents.get(name).is_some_and(|seen| seen.is_known(at_ms));
        let mut all = self.base.agents.iter().chain(&self.fresh.agents);
        all.any(|(name, seen)| seen.last_ms >= since_ms && !is_known(name))
    }

    /// There, elsewhere, and there again: a move is made once. A key that always took turns between networks moves one
    /// of them at a time, and takes turns with the new one on its first day: that is told, and held only when another
    /// program is at work too.
    fn two_networks(&self, found: &mut Vec<Suspicion>) {
        let Some(here) = self.seen.network.as_deref().filter(|_| self.seen.is_good()) else { return };
        let since_ms = self.seen.at_ms - i64::from(self.rules.a3.minutes) * MINUTE_MS;
        let trail = || {
            let all = self.base.trail.iter().chain(&self.fresh.trail);
            all.filter(|crossing| crossing.last_ms >= since_ms)
        };
        let Some(other) = trail().rev().find(|crossing| crossing.network != here) else { return };
        let was_here_before =
            trail().any(|crossing| crossing.network == here && crossing.at_ms < other.at_ms);
        let (here_known, other_known) = (self.is_settled(here), self.is_settled(&other.network));
        if !self.is_learned || !was_here_before || (here_known && other_known) {
            return;
        }
        let stranger = if here_known { other.network.as_str() } else { here };
        let wrote = trail().any(|crossing| crossing.wrote && crossing.network == stranger);
        let is_pool = self.base.is_pooled() && !self.has_strange_agent(since_ms);
        Self::trip(
            found,
            (Rule::TwoNetworks, self.rules.a3.answer),
            wrote && !is_pool,
            format!("One network at a time, or known ones, within {} minutes.", self.rules.a3.minutes),
            format!(
                "{here} and {} in turns; {stranger} is not known{}.",
                other.network,
                if wrote { " and wrote" } else { "" }
            ),
        );
    }
}

/// The /16 of a /24, the /32 of a /48: as far as their text goes.
fn range_of(network: &str) -> Option<&str> {
    let mark = if network.contains(':') { ':' } else { '.' };
    let end = network.match_indices(mark).nth(1)?.0;
    network.get(..=end)
}

/// How long a key or a federation may be silent before it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// So long.
    pub limit_ms: Millis,
    /// A long gap between its syncs.
    pub gap_ms: Millis,
    /// Whether that was learned; else it is what its vendor says of itself.
    pub is_learned: bool,
}

/// How long a key or a federation may be silent.
pub fn patience(profile: &Profile, rules: &Rules, vendor: Vendor, now_ms: Millis) -> Patience {
    let published = cadence::known(vendor).gap_ms;
    let learned = profile.gap_ms(950).filter(|_| profile.is_learned(rules.learning, now_ms));
    let gap_ms = learned.unwrap_or(published);
    let limit_ms =
        (gap_ms * i64::from(rules.a9.times_gap)).max(i64::from(rules.a9.least_minutes) * MINUTE_MS);
    Patience { limit_ms, gap_ms, is_learned: learned.is_some() }
}

/// Whether a key is expected to speak by itself: its rhythm is known, or it has changed something in several syncs
/// already. Of one that only reads now and then nothing is expected before it was learned.
pub fn is_expected(profile: &Profile, rules: &Rules, now_ms: Millis) -> bool {
    let changes = |word: &String| ["create ", "update ", "delete "].iter().any(|verb| word.starts_with(verb));
    profile.last_ms.is_some()
        && (profile.is_learned(rules.learning, now_ms)
            || (profile.syncs >= rules.learning.cycles && profile.operations.keys().any(changes)))
}

/// A9: what is to be said of the silence of a key or a federation, if anything.
pub fn silence(profile: &Profile, rules: &Rules, vendor: Vendor, now_ms: Millis) -> Option<Suspicion> {
    let last_ms = profile.last_ms?;
    let Patience { limit_ms, gap_ms, is_learned } = patience(profile, rules, vendor, now_ms);
    let silent_ms = now_ms - last_ms;
    if rules.a9.answer == Answer::Off || silent_ms <= limit_ms {
        return None;
    }
    let basis = if is_learned { "learned from its syncs" } else { "what is published of its vendor" };
    let hours = |ms: Millis| {
        let minutes = ms / MINUTE_MS;
        if ms < 2 * HOUR_MS {
            format!("{minutes} min")
        } else {
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
    };
    Some(Suspicion {
        rule: Rule::Silence,
        severity: if silent_ms > limit_ms * 4 { Severity::High } else { Rule::Silence.severity() },
        expected: format!(
            "A good request at least every {} (a long gap is {}, {basis}).",
            hours(limit_ms),
            hours(gap_ms)
        ),
        came: format!("None for {}.", hours(silent_ms)),
        holds: false,
    })
}
