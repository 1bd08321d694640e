//! Whether a scope allows no more than another, and what two scopes have in common.
//!
//! Both are asked of two scopes of one key: "what this key and its predecessors made" is the same in
//! both. The answer is on the safe side: two filters whose texts do not tell that one leaves no more are
//! taken as different.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Ceiling, Grant, Provenance, ResourceKind, Scope, Verb, attributes, filters};
use crate::rotations::policy::{Window, minutes_of_week};

impl Scope {
    /// Whether this scope allows nothing that the other does not.
    pub fn is_within(&self, wider: &Self) -> bool {
        if !ResourceKind::ALL.into_iter().any(|resource| self.grants_any(resource)) {
            return true;
        }
        ResourceKind::ALL.into_iter().all(|resource| self.is_grant_within(wider, resource))
            && self.are_groups_within(wider)
            && (wider.provenance == Provenance::Federation || self.provenance == Provenance::KeyLine)
            && wider.ceilings.iter().all(|ceiling| self.keeps(ceiling))
            && are_networks_within(&self.source_networks, &wider.source_networks)
            && are_hours_within(&self.hours, &wider.hours)
    }

    fn is_grant_within(&self, wider: &Self, resource: ResourceKind) -> bool {
        let granted = |verb| self.grants(resource, verb);
        let verbs = Verb::ALL.into_iter().all(|verb| !granted(verb) || wider.grants(resource, verb));
        let writes = granted(Verb::Create) || granted(Verb::Update);
        let (own, other) = (self.grant(resource), wider.grant(resource));
        let read = |grant: Option<&Grant>| grant.and_then(|grant| grant.read_attributes.clone());
        // Answers to changes show the resource, so whatever is granted reads.
        let reads =
            !self.grants_any(resource) || attributes::is_within(read(own).as_ref(), read(other).as_ref());
        let writable = !writes || attributes::is_within(written(own).as_ref(), written(other).as_ref());
        // What is hidden of a type is hidden beside the other type too, whatever verbs there are.
        let filter = match (self.filter(resource), wider.filter(resource)) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(other)) => filters::parts(other).is_subset(&filters::parts(own)),
        };
        verbs && reads && writable && filter
    }

    fn are_groups_within(&self, wider: &Self) -> bool {
        match (&self.groups, &wider.groups) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(other)) => own.is_subset(other),
        }
    }

    fn keeps(&self, ceiling: &Ceiling) -> bool {
        let Ceiling { resource, verb, per_hour } = *ceiling;
        !self.grants(resource, verb) || self.ceiling(resource, verb).is_some_and(|own| own <= per_hour)
    }

    /// A scope that allows what both allow. Where that cannot be said in one scope, it allows nothing.
    #[must_use]
    pub fn narrowed_to(&self, other: &Self) -> Self {
        let mut scope = Self::of([]);
        for resource in ResourceKind::ALL {
            let (one, two) = (self.grant(resource), other.grant(resource));
            let none = BTreeSet::new();
            let verbs = |grant: Option<&Grant>| grant.map_or(none.clone(), |grant| grant.verbs.clone());
            let read = |grant: Option<&'_ Grant>| grant.and_then(|grant| grant.read_attributes.clone());
            let filter = match (self.filter(resource), other.filter(resource)) {
                (None, None) => None,
                (Some(filter), None) | (None, Some(filter)) => Some(filter.to_owned()),
                (Some(one), Some(two)) => Some(filters::both(one, two)),
            };
            let verbs = verbs(one).intersection(&verbs(two)).copied().collect();
            let read_attributes = attributes::common(read(one).as_ref(), read(two).as_ref());
            let write_attributes = attributes::common(written(one).as_ref(), written(two).as_ref());
            let grant = Grant { resource, verbs, read_attributes, write_attributes, filter };
            let says_nothing = grant.verbs.is_empty() && grant.filter.is_none();
            if !says_nothing {
                scope.grants.push(grant);
            }
        }
        scope.groups = match (&self.groups, &other.groups) {
            (None, None) => None,
            (Some(groups), None) | (None, Some(groups)) => Some(groups.clone()),
            (Some(one), Some(two)) => Some(one.intersection(two).cloned().collect()),
        };
        if [self, other].iter().any(|scope| scope.provenance == Provenance::KeyLine) {
            scope.provenance = Provenance::KeyLine;
        }
        for resource in ResourceKind::ALL {
            for verb in Verb::ALL {
                let ceilings = [self.ceiling(resource, verb), other.ceiling(resource, verb)];
                if let Some(per_hour) = ceilings.into_iter().flatten().min() {
                    scope.ceilings.push(Ceiling { resource, verb, per_hour });
                }
            }
        }
        let networks = common_networks(&self.source_networks, &other.source_networks);
        let hours = if are_hours_within(&self.hours, &other.hours) {
            Some(self.hours.clone())
        } else if are_hours_within(&other.hours, &self.hours) {
            Some(other.hours.clone())
        } else {
            None
        };
        match (networks, hours) {
            (Some(networks), Some(hours)) => (scope.source_networks, scope.hours) = (networks, hours),
            (networks, hours) => {
                // An empty list would be anywhere, and always.
                scope.grants.iter_mut().for_each(|grant| grant.verbs.clear());
                scope.source_networks = networks.unwrap_or_else(|| self.source_networks.clone());
                scope.hours = hours.unwrap_or_else(|| self.hours.clone());
            }
        }
        scope
    }
}

/// What may be written: of that which may be read.
fn written(grant: Option<&Grant>) -> Option<BTreeSet<String>> {
    let grant = grant?;
    attributes::common(grant.write_attributes.as_ref(), grant.read_attributes.as_ref())
}

fn are_networks_within(own: &[IpNet], wider: &[IpNet]) -> bool {
    let is_inside = |network: &IpNet| wider.iter().any(|other| other.contains(network));
    wider.is_empty() || (!own.is_empty() && own.iter().all(is_inside))
}

/// The networks that are in both; `None` when there are none.
fn common_networks(one: &[IpNet], other: &[IpNet]) -> Option<Vec<IpNet>> {
    if one.is_empty() || other.is_empty() {
        return Some(if one.is_empty() { other.to_vec() } else { one.to_vec() });
    }
    let mut common = Vec::new();
    for network in one {
        for two in other {
            // Two networks hold each other or have nothing in common.
            let inner = if network.contains(two) {
                Some(*two)
            } else if two.contains(network) {
                Some(*network)
            } else {
                None
            };
            common.extend(inner.filter(|inner| !common.contains(inner)));
        }
    }
    (!common.is_empty()).then_some(common)
}

fn are_hours_within(own: &[Window], wider: &[Window]) -> bool {
    if wider.is_empty() || own == wider {
        return true;
    }
    if own.is_empty() {
        return false;
    }
    minutes_of_week(own).into_iter().zip(minutes_of_week(wider)).all(|(own, wider)| !own || wider)
}

#[cfg(test)]
mod tests;
