//! Scopes: what a provisioning key may do.
//!
//! A scope is closed: what it does not grant is refused. It already carries every dimension that
//! the product narrows by; a dimension that no edge enforces yet makes [`Scope::admits`] refuse, so
//! that a stored scope can never promise more narrowing than it gets.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::Invalid;

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
    /// Attributes that may be read; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_attributes: Option<BTreeSet<String>>,
    /// Attributes that may be written; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_attributes: Option<BTreeSet<String>>,
}

/// Whose resources a key may touch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// Every resource of the federation. The embedded directory holds only what the federation
    /// itself made, so this is the narrowest there.
    #[default]
    Federation,
    /// Only what this key and its predecessors made.
    KeyLine,
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
    /// A SCIM filter that the resource must match before and after a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The ids of the only groups that may be touched; `None` is all.
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
    /// The scope narrows by something that is not enforced here.
    #[error("this key's scope narrows by {0}, which this version does not enforce")]
    NotEnforced(&'static str),
}

impl Scope {
    /// A scope of verbs by resource type and nothing else.
    pub fn of(grants: impl IntoIterator<Item = (ResourceKind, Verb)>) -> Self {
        let mut scope = Self {
            grants: Vec::new(),
            filter: None,
            groups: None,
            provenance: Provenance::Federation,
            ceilings: Vec::new(),
            source_networks: Vec::new(),
        };
        for (resource, verb) in grants {
            match scope.grants.iter_mut().find(|grant| grant.resource == resource) {
                Some(grant) => {
                    grant.verbs.insert(verb);
                }
                None => scope.grants.push(Grant {
                    resource,
                    verbs: BTreeSet::from([verb]),
                    read_attributes: None,
                    write_attributes: None,
                }),
            }
        }
        scope
    }

    /// Every verb on every resource type.
    pub fn full_directory() -> Self {
        Self::of(ResourceKind::ALL.into_iter().flat_map(|r| Verb::ALL.into_iter().map(move |v| (r, v))))
    }

    /// Whether the verb is granted on the resource type, whatever else narrows it.
    pub fn grants(&self, resource: ResourceKind, verb: Verb) -> bool {
        self.grants.iter().any(|grant| grant.resource == resource && grant.verbs.contains(&verb))
    }

    /// Whether every verb on every resource type is granted; asks for a justification.
    pub fn is_full_directory(&self) -> bool {
        ResourceKind::ALL.into_iter().all(|r| Verb::ALL.into_iter().all(|v| self.grants(r, v)))
    }

    /// Decides one operation.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies; what is not enforced refuses.
    pub fn admits(&self, verb: Verb, resource: ResourceKind, source: Option<IpAddr>) -> Result<(), Refusal> {
        self.admits_source(source)?;
        if let Some(dimension) = self.not_enforced() {
            return Err(Refusal::NotEnforced(dimension));
        }
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
        let source = source.map_or(IpAddr::from([0, 0, 0, 0]), |address| address.to_canonical());
        let inside = self.source_networks.iter().any(|network| network.contains(&source));
        if inside { Ok(()) } else { Err(Refusal::Network(source)) }
    }

    /// The first dimension that is set and that no edge enforces.
    pub fn not_enforced(&self) -> Option<&'static str> {
        if self.grants.iter().any(|g| g.read_attributes.is_some() || g.write_attributes.is_some()) {
            Some("attributes")
        } else if self.filter.is_some() {
            Some("a filter")
        } else if self.groups.is_some() {
            Some("named groups")
        } else if self.provenance != Provenance::Federation {
            Some("provenance")
        } else if !self.ceilings.is_empty() {
            Some("ceilings")
        } else {
            None
        }
    }

    /// Checks a scope that is about to be given to a key.
    ///
    /// # Errors
    /// [`Invalid`] on `scope` when nothing is granted, a type is granted twice, or a dimension is
    /// not enforced.
    pub fn check(self) -> Result<Self, Invalid> {
        if self.grants.iter().all(|grant| grant.verbs.is_empty()) {
            return Err(Invalid::new("scope", "choose at least one thing that the key may do"));
        }
        for kind in ResourceKind::ALL {
            if self.grants.iter().filter(|grant| grant.resource == kind).count() > 1 {
                return Err(Invalid::new("scope", format!("{kind} is granted twice")));
            }
        }
        match self.not_enforced() {
            Some(dimension) => Err(Invalid::new(
                "scope",
                format!("narrowing by {dimension} is not enforced by this version"),
            )),
            None => Ok(self),
        }
    }

    /// The scope in a sentence per resource type, for people: `read, create users`.
    pub fn in_words(&self) -> Vec<String> {
        self.grants
            .iter()
            .filter(|grant| !grant.verbs.is_empty())
            .map(|grant| {
                let verbs: Vec<&str> = grant.verbs.iter().map(|verb| verb.as_str()).collect();
                format!("{} {}", verbs.join(", "), grant.resource)
            })
            .collect()
    }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_granted_is_refused() {
        let scope = Scope::of([(ResourceKind::Users, Verb::Read)]);
        assert_eq!(scope.admits(Verb::Read, ResourceKind::Users, None), Ok(()));
        assert_eq!(
            scope.admits(Verb::Delete, ResourceKind::Users, None).unwrap_err().to_string(),
            "this key may not delete users"
        );
        assert!(scope.admits(Verb::Read, ResourceKind::Groups, None).is_err());
    }

    #[test]
    fn a_dimension_that_is_not_enforced_refuses() {
        let mut scope = Scope::full_directory();
        scope.filter = Some("userName sw \"a\"".to_owned());
        assert_eq!(
            scope.admits(Verb::Read, ResourceKind::Users, None),
            Err(Refusal::NotEnforced("a filter"))
        );
        assert!(scope.check().is_err());
    }

    #[test]
    fn a_network_narrows_and_mapped_addresses_count_as_what_they_map() {
        let mut scope = Scope::full_directory();
        scope.source_networks = parse_networks("192.0.2.0/24, 2001:db8::/32").unwrap();
        let admits = |text: &str| scope.admits_source(Some(text.parse().unwrap())).is_ok();
        assert!(admits("192.0.2.7"));
        assert!(admits("::ffff:192.0.2.7"));
        assert!(admits("2001:db8::1"));
        assert!(!admits("198.51.100.7"));
        assert!(scope.admits_source(None).is_err());
    }

    #[test]
    fn an_unknown_field_in_a_stored_scope_is_refused() {
        let text = r#"{"grants":[],"only_on_sundays":true}"#;
        assert!(serde_json::from_str::<Scope>(text).is_err());
    }

    #[test]
    fn scope_reads_back_from_its_json() {
        let scope = Scope::full_directory();
        let text = serde_json::to_string(&scope).unwrap();
        assert_eq!(serde_json::from_str::<Scope>(&text).unwrap(), scope);
        assert!(scope.is_full_directory());
        assert_eq!(
            scope.in_words(),
            ["read, create, update, delete users", "read, create, update, delete groups"]
        );
    }

    proptest! {
        #[test]
        fn fewer_grants_never_allow_more(bits in 0_u8..=255, mask in 0_u8..=255) {
            let build = |bits: u8| {
                Scope::of(ResourceKind::ALL.into_iter().enumerate().flat_map(|(r, kind)| {
                    Verb::ALL.into_iter().enumerate().filter_map(move |(v, verb)| {
                        (bits >> (r * 4 + v) & 1 == 1).then_some((kind, verb))
                    })
                }))
            };
            let (wide, narrow) = (build(bits), build(bits & mask));
            for kind in ResourceKind::ALL {
                for verb in Verb::ALL {
                    if narrow.admits(verb, kind, None).is_ok() {
                        prop_assert!(wide.admits(verb, kind, None).is_ok());
                    }
                }
            }
        }
    }
}
