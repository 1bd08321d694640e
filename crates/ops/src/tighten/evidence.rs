//! What usage records say of a scope: what was done, with what, from where and when.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use domain::{
    DAY_MS, HOUR_MS, Millis,
    rotations::policy::Window,
    scopes::{ResourceKind, Scope, Verb, words::short},
    usage::UsageRecord,
};
use ipnet::IpNet;

/// The most networks that are proposed; a provider that comes from more comes from anywhere.
const MOST_NETWORKS: usize = 20;

/// Addresses that are proposed one by one; more are taken together by their /24 or /64.
const FEW_ADDRESSES: usize = 8;

/// The most groups that are proposed by name.
const MOST_GROUPS: usize = 50;

/// Requests and days below which hours show no pattern.
const PATTERN_REQUESTS: u64 = 100;
const PATTERN_DAYS: usize = 8;

/// The longest working day that is a pattern, in hours, before it is widened by one on each side.
const LONGEST_DAY: i64 = 12;

/// Days of usage below which nothing is applied.
const LEAST_DAYS: i64 = 14;

/// One thing that the key may do or that was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What, in plain words: `create users`, `write displayName of groups`, `come from 192.0.2.7/32`.
    pub what: String,
    /// How often it was seen; 0 for what falls away.
    pub count: u64,
    /// When it was last seen.
    pub last_ms: Option<Millis>,
}

#[derive(Default, Clone, Copy)]
struct Tally {
    count: u64,
    last_ms: Millis,
}

impl Tally {
    fn add(&mut self, at_ms: Millis) {
        self.count += 1;
        self.last_ms = self.last_ms.max(at_ms);
    }
}

/// What was seen of a line of keys.
#[derive(Default)]
pub(super) struct Evidence {
    pub requests: u64,
    span: Option<(Millis, Millis)>,
    verbs: BTreeMap<(ResourceKind, Verb), Tally>,
    written: BTreeMap<(ResourceKind, String), Tally>,
    /// Types of which something was created and nothing is known of what was written.
    unknown: BTreeSet<ResourceKind>,
    sources: BTreeMap<IpAddr, Tally>,
    is_from_nowhere: bool,
    groups: BTreeMap<String, Tally>,
    /// Groups were listed or created: then no names are enough.
    saw_all_groups: bool,
    hours: BTreeMap<i64, u64>,
}

impl Evidence {
    /// Takes in a request that was let through.
    pub fn add(&mut self, record: &UsageRecord) {
        self.requests += 1;
        let at_ms = record.at_ms;
        self.span =
            Some(self.span.map_or((at_ms, at_ms), |(first, last)| (first.min(at_ms), last.max(at_ms))));
        *self.hours.entry(at_ms.div_euclid(HOUR_MS)).or_default() += 1;
        match record.source.as_deref().map(str::parse::<IpAddr>) {
            Some(Ok(address)) => self.sources.entry(address.to_canonical()).or_default().add(at_ms),
            Some(Err(_)) | None => self.is_from_nowhere = true,
        }
        let kinds: &[ResourceKind] = match record.resource_type.as_str() {
            "Users" => &[ResourceKind::Users],
            "Groups" => &[ResourceKind::Groups],
            "base" | ".search" => &ResourceKind::ALL,
            _ => &[],
        };
        let is_fine = matches!(record.status, 200..=399);
        let is_on_its_merits = is_fine || matches!(record.status, 404 | 409 | 412);
        for kind in kinds {
            let verb = match record.method.as_str() {
                "GET" | "HEAD" => Verb::Read,
                // A search is a POST as well; it creates nothing.
                "POST" if record.status == 200 => Verb::Read,
                "POST" => Verb::Create,
                "PUT" | "PATCH" => Verb::Update,
                "DELETE" => Verb::Delete,
                _ => continue,
            };
            if !is_on_its_merits {
                continue;
            }
            self.verbs.entry((*kind, verb)).or_default().add(at_ms);
            for name in record.attributes.iter().filter(|name| *name != "schemas") {
                self.written.entry((*kind, name.clone())).or_default().add(at_ms);
            }
            if verb == Verb::Create && is_fine && record.attributes.is_empty() {
                self.unknown.insert(*kind);
            }
            if *kind == ResourceKind::Groups {
                match &record.resource_id {
                    Some(id) if verb != Verb::Create => self.groups.entry(id.clone()).or_default().add(at_ms),
                    Some(_) | None => self.saw_all_groups = true,
                }
            }
        }
    }

    /// The first and the last of them.
    pub fn seen_ms(&self) -> Option<(Millis, Millis)> {
        self.span
    }

    /// Why nothing of it should be applied yet.
    pub fn too_early(&self, is_cut: bool) -> Option<String> {
        let Some((first_ms, last_ms)) = self.span else {
            return Some("Nothing was done with this key in that time: revoke it, or wait.".to_owned());
        };
        let days = (last_ms - first_ms) / DAY_MS;
        if days >= LEAST_DAYS - 1 {
            return None;
        }
        let spans = if is_cut {
            format!("It is used so much that only the last {days} days were looked at.")
        } else {
            format!("Its usage spans {days} days so far.")
        };
        Some(format!(
            "{spans} A proposal is applied from {LEAST_DAYS} days on, so that what is done once a fortnight is in it."
        ))
    }

    /// The smallest scope within `now` that lets all of it through.
    pub fn scope(&self, now: &Scope) -> Scope {
        let mut scope = now.clone();
        for grant in &mut scope.grants {
            let kind = grant.resource;
            grant.verbs.retain(|verb| self.verbs.contains_key(&(kind, *verb)));
            let names: BTreeSet<String> =
                self.written.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.clone()).collect();
            if names.is_empty() || self.unknown.contains(&kind) {
                continue;
            }
            // Names in records are those of whole attributes; what is narrower already stays so.
            let wider = grant.write_attributes.as_ref();
            grant.write_attributes = domain::scopes::attributes::common(wider, Some(&names));
        }
        scope.grants.retain(|grant| !grant.verbs.is_empty() || grant.filter.is_some());
        if let Some(networks) = self.networks(now) {
            scope.source_networks = networks;
        }
        if let Some(window) = self.pattern().filter(|_| now.hours.is_empty()) {
            scope.hours = vec![window];
        }
        if !self.saw_all_groups && !self.groups.is_empty() && self.groups.len() <= MOST_GROUPS {
            let named: BTreeSet<String> = self.groups.keys().cloned().collect();
            scope.groups = Some(match &now.groups {
                Some(groups) => groups.intersection(&named).cloned().collect(),
                None => named,
            });
        }
        // Whatever was not seen through is left as it is.
        if scope.is_within(now) { scope } else { now.clone() }
    }

    fn networks(&self, now: &Scope) -> Option<Vec<IpNet>> {
        if self.is_from_nowhere || self.sources.is_empty() {
            return None;
        }
        let whole = self.sources.len() > FEW_ADDRESSES;
        let mut networks: Vec<IpNet> = Vec::new();
        for address in self.sources.keys() {
            let one = IpNet::from(*address);
            let bits = match (whole, address) {
                (false, _) => one.prefix_len(),
                (true, IpAddr::V4(_)) => 24,
                (true, IpAddr::V6(_)) => 64,
            };
            let wide = IpNet::new(*address, bits).map_or(one, |network| network.trunc());
            let allowed = now.source_networks.iter().find(|network| network.contains(address));
            let network = match allowed {
                // What the scope says already is narrower.
                Some(allowed) if wide.contains(allowed) => *allowed,
                Some(_) | None => wide,
            };
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        (networks.len() <= MOST_NETWORKS).then_some(networks)
    }

    /// The hours that it keeps to, in UTC, with one more on each side; none without a clear pattern.
    fn pattern(&self) -> Option<Window> {
        let days: BTreeSet<i64> = self.hours.keys().map(|hour| hour.div_euclid(24)).collect();
        let (first, last) = (days.first()?, days.last()?);
        if self.requests < PATTERN_REQUESTS || days.len() < PATTERN_DAYS || last - first + 1 < LEAST_DAYS {
            return None;
        }
        let mut used = [false; 24];
        for hour in self.hours.keys() {
            if let Some(slot) = usize::try_from(hour.rem_euclid(24)).ok().and_then(|hour| used.get_mut(hour))
            {
                *slot = true;
            }
        }
        let (start, length) = busy(used)?;
        // The first day of 1970 was a Thursday.
        let is_weekend = |day: &i64| (day + 3).rem_euclid(7) > 4;
        let (from, to) = (start - 1, start + length + 1);
        let crosses = from < 0 || to > 24;
        let days = if crosses || days.iter().any(is_weekend) { "daily" } else { "mon-fri" };
        let text =
            format!("{days} {:02}:00-{:02}:00", from.rem_euclid(24), if to == 24 { 24 } else { to % 24 });
        let window = Window::parse(&text).ok()?;
        self.hours.keys().all(|hour| window.holds(hour * HOUR_MS)).then_some(window)
    }

    /// What each part rests on, and what falls away.
    pub fn told(&self, now: &Scope) -> Vec<Seen> {
        let mut told = Vec::new();
        for kind in ResourceKind::ALL {
            for verb in Verb::ALL.into_iter().filter(|verb| now.grants(kind, *verb)) {
                let tally = self.verbs.get(&(kind, verb)).copied().unwrap_or_default();
                told.push(seen(format!("{verb} {kind}"), tally));
            }
        }
        for ((kind, name), tally) in &self.written {
            told.push(seen(format!("write {} of {kind}", short(name)), *tally));
        }
        for (address, tally) in self.sources.iter().take(MOST_NETWORKS) {
            told.push(seen(format!("come from {address}"), *tally));
        }
        if !self.saw_all_groups {
            for (id, tally) in self.groups.iter().take(MOST_GROUPS) {
                told.push(seen(format!("touch the group {id}"), *tally));
            }
        }
        told
    }
}

fn seen(what: String, tally: Tally) -> Seen {
    Seen { what, count: tally.count, last_ms: (tally.count > 0).then_some(tally.last_ms) }
}

/// Where the hours that are used begin, and how many there are with those between; none when they are spread
/// over the day.
fn busy(used: [bool; 24]) -> Option<(i64, i64)> {
    // The longest stretch without anything is the night.
    let is_used =
        |hour: i64| usize::try_from(hour.rem_euclid(24)).is_ok_and(|hour| used.get(hour) == Some(&true));
    let night = (0..24)
        .filter(|hour| is_used(*hour))
        .map(|hour| ((1..=24).take_while(|ahead| !is_used(hour + ahead)).count(), hour))
        .max()?;
    let (quiet, last) = (i64::try_from(night.0).ok()?, night.1);
    let length = 24 - quiet;
    (length <= LONGEST_DAY && length > 0).then(|| ((last + quiet + 1).rem_euclid(24), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(hours: &[usize]) -> [bool; 24] {
        let mut used = [false; 24];
        for hour in hours {
            used[*hour] = true;
        }
        used
    }

    #[test]
    fn what_was_not_looked_at_for_a_fortnight_is_too_early_however_much_it_was() {
        let spanning = |days: i64| Evidence { span: Some((0, days * DAY_MS)), ..Evidence::default() };
        for is_cut in [false, true] {
            assert!(spanning(12).too_early(is_cut).is_some_and(|text| text.contains("12 days")));
            assert_eq!(spanning(13).too_early(is_cut), None);
        }
    }

    #[test]
    fn a_working_day_is_seen_also_past_midnight() {
        assert_eq!(busy(used(&[8, 9, 12, 17])), Some((8, 10)));
        assert_eq!(busy(used(&[22, 23, 1])), Some((22, 4)));
        assert_eq!(busy(used(&[3])), Some((3, 1)));
        assert_eq!(busy(used(&[0, 6, 12, 18])), None);
        assert_eq!(busy(used(&[])), None);
        assert_eq!(busy([true; 24]), None);
    }
}
