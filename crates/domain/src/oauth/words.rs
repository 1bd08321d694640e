//! The words of the parameter `scope` (RFC 6749 3.3): `users:read groups:update`.
//!
//! They only narrow: a token that names them may do what they say and what its key may do.

use std::collections::BTreeSet;

use crate::scopes::{ResourceKind, Scope, Verb};

/// A set of words; in the order of their reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeWords(BTreeSet<(ResourceKind, Verb)>);

impl ScopeWords {
    /// Every word that there is.
    pub fn all() -> impl Iterator<Item = String> {
        pairs().map(|(resource, verb)| format!("{resource}:{verb}"))
    }

    /// Reads words with single spaces between them; `None` when one is not known, or there is none.
    pub fn parse(text: &str) -> Option<Self> {
        text.split(' ').map(word).collect::<Option<BTreeSet<_>>>().map(Self)
    }

    /// What a scope grants.
    pub fn of(scope: &Scope) -> Self {
        Self(pairs().filter(|(resource, verb)| scope.grants(*resource, *verb)).collect())
    }

    /// Whether a scope grants every word.
    pub fn is_within(&self, scope: &Scope) -> bool {
        self.0.iter().all(|(resource, verb)| scope.grants(*resource, *verb))
    }

    /// A scope that grants nothing but what it granted before and the words say; whatever else
    /// narrows it stays.
    pub fn narrow(&self, scope: &Scope) -> Scope {
        scope.narrowed_to(&Scope::of(self.0.iter().copied()))
    }
}

impl std::fmt::Display for ScopeWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<String> = self.0.iter().map(|(resource, verb)| format!("{resource}:{verb}")).collect();
        f.write_str(&words.join(" "))
    }
}

fn pairs() -> impl Iterator<Item = (ResourceKind, Verb)> {
    ResourceKind::ALL.into_iter().flat_map(|resource| Verb::ALL.into_iter().map(move |verb| (resource, verb)))
}

fn word(text: &str) -> Option<(ResourceKind, Verb)> {
    let (resource, verb) = text.split_once(':')?;
    pairs().find(|(one, other)| one.as_str() == resource && other.as_str() == verb)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_read_back_and_unknown_ones_do_not() {
        let words = ScopeWords::parse("groups:update users:read users:read").unwrap();
        assert_eq!(words.to_string(), "users:read groups:update");
        assert_eq!(ScopeWords::all().count(), 8);
        for text in [
            "",
            " ",
            "users",
            "users:",
            "Users:read",
            "users:read ",
            "users:*",
            "admin",
            "users:read\tx",
            "*",
        ] {
            assert_eq!(ScopeWords::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_else_narrows_a_scope_stays() {
        let mut scope = Scope::full_directory();
        scope.source_networks = crate::scopes::parse_networks("192.0.2.0/24").unwrap();
        scope.grant_mut(ResourceKind::Users).filter = Some("active eq true".to_owned());
        scope.grant_mut(ResourceKind::Groups).filter = Some("displayName sw \"a\"".to_owned());
        let narrow = ScopeWords::parse("users:read").unwrap().narrow(&scope);
        assert!(narrow.is_within(&scope) && !scope.is_within(&narrow));
        assert_eq!(narrow.source_networks, scope.source_networks);
        for kind in ResourceKind::ALL {
            assert_eq!(narrow.filter(kind), scope.filter(kind));
        }
        assert!(narrow.grants(ResourceKind::Users, Verb::Read));
        assert!(!narrow.grants_any(ResourceKind::Groups));
    }

    proptest! {
        #[test]
        fn a_narrowed_scope_never_grants_more(key in 0_u8..=255, asked in 1_u8..=255) {
            let set = |bits: u8| pairs().enumerate().filter(move |(at, _)| bits >> at & 1 == 1).map(|(_, pair)| pair);
            let scope = Scope::of(set(key));
            let words = ScopeWords(set(asked).collect());
            let narrow = words.narrow(&scope);
            for (resource, verb) in pairs() {
                let said = words.0.contains(&(resource, verb));
                prop_assert_eq!(narrow.grants(resource, verb), said && scope.grants(resource, verb));
            }
            prop_assert_eq!(words.is_within(&scope), asked & key == asked);
            prop_assert_eq!(ScopeWords::parse(&words.to_string()), Some(words));
        }
    }
}
