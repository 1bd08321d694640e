//! A scope for people: what a key may do, and how two scopes differ.

use std::collections::BTreeSet;

use super::{Grant, Provenance, ResourceKind, Scope, Verb};

/// The attributes that are named in a sentence; more are counted.
const NAMED: usize = 12;

/// One dimension in which two scopes differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is about, such as `Users: verbs`.
    pub dimension: String,
    /// How it was.
    pub before: String,
    /// How it is.
    pub after: String,
}

impl Scope {
    /// The scope in phrases that follow "this key may": what it does, and then all that narrows that.
    pub fn in_words(&self) -> Vec<String> {
        let mut phrases: Vec<String> = self
            .grants
            .iter()
            .filter(|grant| !grant.verbs.is_empty())
            .map(|grant| format!("{} {}", verbs(grant), grant.resource))
            .collect();
        for grant in &self.grants {
            let of = grant.resource;
            if let Some(set) = &grant.read_attributes {
                phrases.push(format!("see of {of} only {}", list(set)));
            }
            if let Some(set) = &grant.write_attributes {
                phrases.push(format!("write of {of} only {}", list(set)));
            }
            if let Some(filter) = &grant.filter {
                phrases.push(format!("touch only {of} that match {filter}"));
            }
        }
        if let Some(groups) = &self.groups {
            let noun = if groups.len() == 1 { "group" } else { "groups" };
            phrases.push(format!("touch only the {noun} {}, and create none", list(groups)));
        }
        match self.provenance {
            Provenance::Federation => {}
            Provenance::KeyLine => phrases.push("touch only what it or a key before it has made".to_owned()),
        }
        for ceiling in &self.ceilings {
            let (verb, of) = (ceiling.verb, ceiling.resource);
            phrases.push(match verb {
                Verb::Read => format!("ask for {of} at most {} times an hour", ceiling.per_hour),
                Verb::Create | Verb::Update | Verb::Delete => {
                    format!("{verb} at most {} {of} an hour", ceiling.per_hour)
                }
            });
        }
        if !self.source_networks.is_empty() {
            phrases.push(format!("be used only from {}", joined(&self.source_networks)));
        }
        if !self.hours.is_empty() {
            phrases.push(format!("be used only {}", joined(&self.hours)));
        }
        phrases
    }

    /// Every dimension with what this scope says of it, always in the same order.
    fn dimensions(&self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        for kind in ResourceKind::ALL {
            let title = match kind {
                ResourceKind::Users => "Users",
                ResourceKind::Groups => "Groups",
            };
            let grant = self.grant(kind);
            let set = |set: Option<&BTreeSet<String>>| set.map_or_else(|| "all".to_owned(), list);
            let read = grant.and_then(|grant| grant.read_attributes.as_ref());
            let written = grant.and_then(|grant| grant.write_attributes.as_ref());
            let verbs = grant.filter(|grant| !grant.verbs.is_empty()).map(verbs);
            lines.push((format!("{title}: verbs"), verbs.unwrap_or_else(|| "none".to_owned())));
            lines.push((format!("{title}: attributes that are seen"), set(read)));
            lines.push((format!("{title}: attributes that are written"), set(written)));
            lines.push((format!("{title}: filter"), self.filter(kind).unwrap_or("none").to_owned()));
        }
        let groups = self.groups.as_ref().map_or_else(|| "all".to_owned(), list);
        let provenance = match self.provenance {
            Provenance::Federation => "everything in the federation",
            Provenance::KeyLine => "what it or a key before it has made",
        };
        let ceilings: Vec<String> = self
            .ceilings
            .iter()
            .map(|ceiling| format!("{} {} {}", ceiling.verb, ceiling.resource, ceiling.per_hour))
            .collect();
        let or = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
        lines.push(("Named groups".to_owned(), groups));
        lines.push(("Whose resources".to_owned(), provenance.to_owned()));
        lines.push(("Ceilings an hour".to_owned(), or(ceilings.join(", "), "none")));
        lines.push(("Source networks".to_owned(), or(joined(&self.source_networks), "anywhere")));
        lines.push(("Hours".to_owned(), or(joined(&self.hours), "always")));
        lines
    }

    /// How another scope differs from this one.
    pub fn differences(&self, to: &Self) -> Vec<Difference> {
        let (before, after) = (self.dimensions().into_iter(), to.dimensions().into_iter());
        before
            .zip(after)
            .filter(|((_, before), (_, after))| before != after)
            .map(|((dimension, before), (_, after))| Difference { dimension, before, after })
            .collect()
    }
}

fn verbs(grant: &Grant) -> String {
    let verbs: Vec<&str> = grant.verbs.iter().map(|verb| verb.as_str()).collect();
    verbs.join(", ")
}

fn list(set: &BTreeSet<String>) -> String {
    let named: Vec<&str> = set.iter().take(NAMED).map(|name| short(name)).collect();
    let more = set.len().saturating_sub(NAMED);
    let named = named.join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// The name without the long URN before it, which says nothing to people.
pub fn short(name: &str) -> &str {
    name.strip_prefix("urn:ietf:params:scim:schemas:extension:").unwrap_or(name)
}

fn joined(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rotations::policy::Window,
        scopes::{Ceiling, parse_networks},
    };

    #[test]
    fn every_dimension_is_said_in_words() {
        let mut scope = Scope::of([(ResourceKind::Users, Verb::Read), (ResourceKind::Users, Verb::Update)]);
        let grant = scope.grant_mut(ResourceKind::Users);
        grant.read_attributes = Some(["userName".to_owned(), "active".to_owned()].into());
        grant.write_attributes = Some(["active".to_owned()].into());
        grant.filter = Some("userName ew \"@example.com\"".to_owned());
        scope.groups = Some(["0190".to_owned()].into());
        scope.provenance = Provenance::KeyLine;
        scope.ceilings = vec![Ceiling { resource: ResourceKind::Users, verb: Verb::Update, per_hour: 50 }];
        scope.source_networks = parse_networks("192.0.2.0/24").unwrap();
        scope.hours = vec![Window::parse("daily 08:00-17:00").unwrap()];
        assert_eq!(
            scope.in_words(),
            [
                "read, update users",
                "see of users only active, userName",
                "write of users only active",
                "touch only users that match userName ew \"@example.com\"",
                "touch only the group 0190, and create none",
                "touch only what it or a key before it has made",
                "update at most 50 users an hour",
                "be used only from 192.0.2.0/24",
                "be used only daily 08:00-17:00 +00:00",
            ]
        );
        // Whatever narrows is a difference to the same verbs without it.
        let bare = Scope::of([(ResourceKind::Users, Verb::Read), (ResourceKind::Users, Verb::Update)]);
        let differences = bare.differences(&scope);
        assert_eq!(differences.len(), 8);
        assert_eq!(
            (
                differences[0].dimension.as_str(),
                differences[0].before.as_str(),
                differences[0].after.as_str()
            ),
            ("Users: attributes that are seen", "all", "active, userName")
        );
        assert_eq!(scope.differences(&scope), []);
    }

    #[test]
    fn a_long_list_is_counted() {
        let set: BTreeSet<String> = (0..15).map(|n| format!("a{n:02}")).collect();
        assert!(list(&set).ends_with("a11 and 3 more"));
        assert_eq!(
            short("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"),
            "enterprise:2.0:User:department"
        );
    }
}
