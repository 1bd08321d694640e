//! Scopes: what a provisioning key may do.
//!
//! A scope is closed: what it does not grant is refused. It narrows in several dimensions, and all of
//! them hold together. What the directory decides (attributes, filters, groups, provenance, ceilings)
//! is enforced by `ops::scoped`; where a dimension cannot be enforced, [`Scope::not_kept_upstream`] says
//! so, and the scope is refused instead of promising more narrowing than it gets.
//!
//! - [`attributes`]: which names a set of attributes covers;
//! - [`filters`]: what a filter says, as far as its text tells;
//! - [`within`]: whether one scope allows no more than another, and what two have in common;
//! - [`words`]: a scope for people, and how two differ.
//!
//! A new dimension is a field with a default that narrows nothing, and its line in each of these.

pub mod attributes;
pub mod filters;
pub mod within;
pub mod words;

use std::{collections::BTreeSet, fmt, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{Invalid, Millis, rotations::policy::Window};

/// The most attributes that a list of a scope names.
pub const MOST_ATTRIBUTES: usize = 100;

/// The most groups that a scope names.
pub const MOST_GROUPS: usize = 100;

/// The longest filter of a scope, in bytes.
pub const LONGEST_FILTER: usize = 1_000;

/// The most operations that a ceiling may allow in an hour.
pub const HIGHEST_CEILING: u32 = 10_000_000;

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// GET and search.
    Read,
    /// POST.
    Create,
    /// PUT and PATCH.
    Update,
    /// DELETE.
    Delete,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 4] = [Self::Read, Self::Create, Self::Update, Self::Delete];

    /// The word in forms, API and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The SCIM resource types that a scope speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// `/Users`.
    Users,
    /// `/Groups`.
    Groups,
}

impl ResourceKind {
    /// Every resource type.
    pub const ALL: [Self; 2] = [Self::Users, Self::Groups];

    /// The word in forms, API and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The verbs granted on one resource type, and the attributes they may touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// On what.
    pub resource: ResourceKind,
    /// What may be done.
    pub verbs: BTreeSet<Verb>,
    /// Attributes that may be read, in the spelling of the schemas: `emails`, `name.familyName`,
    /// `urn:…:User:department`, or the URN of an extension for all of it; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_attributes: Option<BTreeSet<String>>,
    /// Attributes that may be written; `None` is all that may be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_attributes: Option<BTreeSet<String>>,
    /// A SCIM filter that the resource must match before and after a change, as it is written by the
    /// `scim` crate. What does not match is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// Whose resources a key may touch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// Every resource of the federation.
    #[default]
    Federation,
    /// Only what this key and its predecessors made.
    KeyLine,
}

impl Provenance {
    /// Every provenance.
    pub const ALL: [Self; 2] = [Self::Federation, Self::KeyLine];

    /// The word in forms, API and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Federation => "federation",
            Self::KeyLine => "key-line",
        }
    }
}

/// At most so many operations of one kind in one hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// On what.
    pub resource: ResourceKind,
    /// Which verb.
    pub verb: Verb,
    /// How many in any hour.
    pub per_hour: u32,
}

/// What a key may do. A key without a scope cannot exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Verbs by resource type; at most one grant for each type.
    pub grants: Vec<Grant>,
    /// The ids of the only groups that are seen and touched; `None` is all. With it, none is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<BTreeSet<String>>,
    /// Whose resources.
    #[serde(default)]
    pub provenance: Provenance,
    /// Most operations per hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ceilings: Vec<Ceiling>,
    /// The only networks that requests may come from; empty is anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_networks: Vec<IpNet>,
    /// The only hours that requests may come in; empty is always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Window>,
}

/// Why a scope refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The verb is not granted on the resource type.
    #[error("this key may not {verb} {resource}")]
    Verb {
        /// The verb that was asked for.
        verb: Verb,
        /// The resource type that it was asked on.
        resource: ResourceKind,
    },
    /// The request came from outside the networks of the scope.
    #[error("this key may not be used from {0}")]
    Network(IpAddr),
    /// The request came outside the hours of the scope.
    #[error("this key may not be used at this time, only {0}")]
    Hours(String),
    /// The scope narrows by something that cannot be enforced at an upstream.
    #[error("this key's scope narrows by {0}, which cannot be enforced at an upstream")]
    NotEnforced(&'static str),
}

impl Scope {
    /// A scope of verbs by resource type and nothing else.
    pub fn of(grants: impl IntoIterator<Item = (ResourceKind, Verb)>) -> Self {
        let mut scope = Self {
            grants: Vec::new(),
            groups: None,
            provenance: Provenance::Federation,
            ceilings: Vec::new(),
            source_networks: Vec::new(),
            hours: Vec::new(),
        };
        for (resource, verb) in grants {
            scope.grant_mut(resource).verbs.insert(verb);
        }
        scope
    }

    /// Every verb on every resource type.
    pub fn full_directory() -> Self {
        Self::of(ResourceKind::ALL.into_iter().flat_map(|r| Verb::ALL.into_iter().map(move |v| (r, v))))
    }

    /// The grant on a resource type.
    pub fn grant(&self, resource: ResourceKind) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.resource == resource)
    }

    /// The grant on a resource type, which is made when there is none.
    pub fn grant_mut(&mut self, resource: ResourceKind) -> &mut Grant {
        let index = self.grants.iter().position(|grant| grant.resource == resource).unwrap_or_else(|| {
            self.grants.push(Grant {
                resource,
                verbs: BTreeSet::new(),
                read_attributes: None,
                write_attributes: None,
                filter: None,
            });
            self.grants.len() - 1
        });
        &mut self.grants[index]
    }

    /// Whether the verb is granted on the resource type, whatever else narrows it.
    pub fn grants(&self, resource: ResourceKind, verb: Verb) -> bool {
        self.grants.iter().any(|grant| grant.resource == resource && grant.verbs.contains(&verb))
    }

    /// Whether any verb is granted on the resource type.
    pub fn grants_any(&self, resource: ResourceKind) -> bool {
        self.grants.iter().any(|grant| grant.resource == resource && !grant.verbs.is_empty())
    }

    /// Whether every verb on every resource type is granted; asks for a justification.
    pub fn is_full_directory(&self) -> bool {
        ResourceKind::ALL.into_iter().all(|r| Verb::ALL.into_iter().all(|v| self.grants(r, v)))
    }

    /// Whether some resources of a type are not there for this key.
    pub fn hides(&self, resource: ResourceKind) -> bool {
        self.provenance == Provenance::KeyLine
            || (resource == ResourceKind::Groups && self.groups.is_some())
            || self.filter(resource).is_some()
    }

    /// The filter on a resource type.
    pub fn filter(&self, resource: ResourceKind) -> Option<&str> {
        self.grant(resource).and_then(|grant| grant.filter.as_deref())
    }

    /// The attributes of a type that may be read; `None` is all.
    pub fn readable(&self, resource: ResourceKind) -> Option<&BTreeSet<String>> {
        self.grant(resource).and_then(|grant| grant.read_attributes.as_ref())
    }

    /// Whether an attribute, in the spelling of the schemas, may be read.
    pub fn may_read(&self, resource: ResourceKind, path: &str) -> bool {
        self.readable(resource).is_none_or(|set| attributes::covers(set, path))
    }

    /// Whether an attribute, in the spelling of the schemas, may be written. What may not be read may not
    /// be written: whether a write changed it would tell what it was.
    pub fn may_write(&self, resource: ResourceKind, path: &str) -> bool {
        let written = self.grant(resource).and_then(|grant| grant.write_attributes.as_ref());
        written.is_none_or(|set| attributes::covers(set, path)) && self.may_read(resource, path)
    }

    /// Whether any attribute of a type may not be written.
    pub fn restricts_writing(&self, resource: ResourceKind) -> bool {
        self.grant(resource)
            .is_some_and(|grant| grant.read_attributes.is_some() || grant.write_attributes.is_some())
    }

    /// How many operations of a kind one hour may have.
    pub fn ceiling(&self, resource: ResourceKind, verb: Verb) -> Option<u32> {
        let of = |ceiling: &&Ceiling| ceiling.resource == resource && ceiling.verb == verb;
        self.ceilings.iter().filter(of).map(|ceiling| ceiling.per_hour).min()
    }

    /// Decides one operation by what is known before it is looked at.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    pub fn admits(&self, verb: Verb, resource: ResourceKind, source: Option<IpAddr>) -> Result<(), Refusal> {
        self.admits_source(source)?;
        if self.grants(resource, verb) { Ok(()) } else { Err(Refusal::Verb { verb, resource }) }
    }

    /// Decides whether the key may be used from an address at all; an unknown address is outside
    /// every network.
    ///
    /// # Errors
    /// [`Refusal::Network`].
    pub fn admits_source(&self, source: Option<IpAddr>) -> Result<(), Refusal> {
        if self.source_networks.is_empty() {
            return Ok(());
        }
        let known = source.map(|address| address.to_canonical());
        let inside = known
            .is_some_and(|address| self.source_networks.iter().any(|network| network.contains(&address)));
        if inside { Ok(()) } else { Err(Refusal::Network(known.unwrap_or(IpAddr::from([0, 0, 0, 0])))) }
    }

    /// Decides whether the key may be used at a moment at all.
    ///
    /// # Errors
    /// [`Refusal::Hours`].
    pub fn admits_time(&self, at_ms: Millis) -> Result<(), Refusal> {
        if self.hours.is_empty() || self.hours.iter().any(|window| window.holds(at_ms)) {
            return Ok(());
        }
        let hours: Vec<String> = self.hours.iter().map(Window::to_string).collect();
        Err(Refusal::Hours(hours.join(", ")))
    }

    /// The first dimension that cannot be enforced where an upstream keeps the resources: its groups name
    /// their members whatever those are, and it knows no keys of ours.
    pub fn not_kept_upstream(&self) -> Option<&'static str> {
        if self.provenance != Provenance::Federation {
            Some("provenance")
        } else if self.filter(ResourceKind::Groups).is_some() {
            Some("a filter on groups")
        } else if self.filter(ResourceKind::Users).is_some() && self.grants_any(ResourceKind::Groups) {
            Some("a filter on users beside groups")
        } else {
            None
        }
    }

    /// What speaks against a scope that is about to be given to a key, as far as the scope alone tells.
    pub fn faults(&self) -> Vec<Invalid> {
        let mut faults = Vec::new();
        if self.grants.iter().all(|grant| grant.verbs.is_empty()) {
            faults.push(Invalid::new("scope", "choose at least one thing that the key may do"));
        }
        for kind in ResourceKind::ALL {
            let mut of_kind = self.grants.iter().filter(|grant| grant.resource == kind);
            let first = of_kind.next();
            if of_kind.next().is_some() {
                faults.push(Invalid::new("scope", format!("{kind} is granted twice")));
            }
            if let Some(grant) = first {
                faults.extend(grant.faults());
            }
        }
        if let Some(groups) = &self.groups {
            faults.extend(count_fault("groups", groups.len(), MOST_GROUPS, "group"));
        }
        for (index, ceiling) in self.ceilings.iter().enumerate() {
            let Ceiling { resource, verb, per_hour } = ceiling;
            let field = ceiling_field(*resource, *verb);
            if !(1..=HIGHEST_CEILING).contains(per_hour) {
                let text = format!("1 to {HIGHEST_CEILING} in an hour are possible, not {per_hour}");
                faults.push(Invalid::new(&field, text));
            }
            let is_same = |other: &Ceiling| other.resource == *resource && other.verb == *verb;
            if self.ceilings.iter().take(index).any(is_same) {
                faults.push(Invalid::new(&field, format!("{verb} {resource} has two ceilings")));
            }
        }
        faults.extend(most_fault("source_networks", self.source_networks.len(), 50, "network"));
        faults.extend(most_fault("hours", self.hours.len(), 20, "window"));
        faults
    }

    /// Checks a scope that is about to be given to a key, as far as the scope alone tells.
    ///
    /// # Errors
    /// The first of [`Scope::faults`].
    pub fn check(self) -> Result<Self, Invalid> {
        match self.faults().into_iter().next() {
            Some(fault) => Err(fault),
            None => Ok(self),
        }
    }
}

impl Grant {
    fn faults(&self) -> Vec<Invalid> {
        let mut faults = Vec::new();
        for (field, set) in [("read", &self.read_attributes), ("write", &self.write_attributes)] {
            if let Some(set) = set {
                let field = format!("{}-{field}-attributes", self.resource);
                faults.extend(count_fault(&field, set.len(), MOST_ATTRIBUTES, "attribute"));
            }
        }
        if let Some(filter) = &self.filter {
            let field = filter_field(self.resource);
            if filter.trim().is_empty() || filter.len() > LONGEST_FILTER {
                let text = format!("1 to {LONGEST_FILTER} bytes are possible, not {}", filter.len());
                faults.push(Invalid::new(&field, text));
            }
        }
        faults
    }
}

/// The field of the filter on a type, as forms name it.
pub fn filter_field(resource: ResourceKind) -> String {
    format!("{resource}-filter")
}

/// The field of a ceiling, as forms name it.
pub fn ceiling_field(resource: ResourceKind, verb: Verb) -> String {
    format!("{resource}-{verb}-per-hour")
}

fn count_fault(field: &str, count: usize, most: usize, what: &str) -> Option<Invalid> {
    if count == 0 {
        return Some(Invalid::new(field, format!("name at least one {what}, or leave it open")));
    }
    most_fault(field, count, most, what)
}

fn most_fault(field: &str, count: usize, most: usize, what: &str) -> Option<Invalid> {
    (count > most).then(|| Invalid::new(field, format!("at most {most} {what}s are possible, not {count}")))
}

/// Reads networks from lines or commas: CIDR or single addresses, at most 50.
///
/// # Errors
/// [`Invalid`] on `source_networks`, naming the text that is not a network.
pub fn parse_networks(text: &str) -> Result<Vec<IpNet>, Invalid> {
    let mut networks = Vec::new();
    for part in text.split(['\n', ',']).map(str::trim).filter(|part| !part.is_empty()) {
        let network =
            part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                Invalid::new(
                    "source_networks",
                    format!("{part:?} is not an address or a network such as 192.0.2.0/24"),
                )
            })?;
        networks.push(network);
    }
    if networks.len() > 50 {
        return Err(Invalid::new(
            "source_networks",
            format!("at most 50 networks are allowed, not {}", networks.len()),
        ));
    }
    Ok(networks)
}

#[cfg(test)]
mod tests;
