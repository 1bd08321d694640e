//! Users and groups that an admin marked, and what was learned of a federation.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::MOST_LEARNED;
use crate::{FederationId, Invalid, Millis, ResourceId, behaviour::Rules, federations::check_reason};

/// What a mark says of a user or group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// No key changes it in any way (R3).
    Protected,
    /// A group that gives privilege: every addition is told (A5), removals count for R1.
    Privileged,
    /// Nobody has a reason to change it: whoever does is told of (A16).
    Canary,
}

impl MarkKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Protected, Self::Privileged, Self::Canary];

    /// The word in forms, API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Privileged => "privileged",
            Self::Canary => "canary",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Protected => "Protected",
            Self::Privileged => "Privileged",
            Self::Canary => "Canary",
        }
    }

    /// Reads the word of [`MarkKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A marked user or group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Of which federation.
    pub federation_id: FederationId,
    /// The user or group.
    pub resource_id: ResourceId,
    /// `User` or `Group`.
    pub resource_type: String,
    /// Its name when it was marked.
    pub name: String,
    /// What the mark says.
    pub kind: MarkKind,
    /// Why.
    pub reason: String,
    /// Who marked it.
    pub marked_by: String,
    /// When.
    pub marked_ms: Millis,
}

/// A mark that somebody wants to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMark {
    /// The id of the user or group.
    pub resource: String,
    /// The word of [`MarkKind::as_str`].
    pub kind: String,
    /// Why.
    pub reason: String,
}

impl NewMark {
    /// Reads kind and reason.
    ///
    /// # Errors
    /// One [`Invalid`] for each field.
    pub fn check(&self) -> Result<(MarkKind, String), Vec<Invalid>> {
        let mut faults = Vec::new();
        let kind = MarkKind::parse(&self.kind);
        if kind.is_none() {
            faults.push(Invalid::new("kind", "choose protected, privileged or canary"));
        }
        let reason = check_reason(&self.reason).map_err(|fault| faults.push(fault));
        match (kind, reason) {
            (Some(kind), Ok(reason)) if faults.is_empty() => Ok((kind, reason)),
            _ => Err(faults),
        }
    }
}

/// What A13 learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LearnedKind {
    /// A mail domain.
    Domain,
    /// A shape of externalId.
    Shape,
}

impl LearnedKind {
    /// The word in forms and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Shape => "shape",
        }
    }

    /// Reads the word of [`LearnedKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Domain, Self::Shape].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A mail domain or shape of externalId that a federation has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// Which of the two.
    pub kind: LearnedKind,
    /// It.
    pub value: String,
    /// Since when.
    pub since_ms: Millis,
    /// Who allowed it; `None` when it was learned.
    pub allowed_by: Option<String>,
}

/// What every change of a federation's directory is held against, without a question to the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guards {
    /// Counts their changes.
    pub version: i64,
    /// What its rules count from.
    pub rules: Rules,
    marks: BTreeMap<String, MarkKind>,
    domains: BTreeSet<String>,
    shapes: BTreeSet<String>,
    privileged: bool,
}

impl Guards {
    /// What the database says.
    pub fn new(
        version: i64,
        rules: Rules,
        marks: impl IntoIterator<Item = (String, MarkKind)>,
        learned: impl IntoIterator<Item = (LearnedKind, String)>,
    ) -> Self {
        let mut guards = Self { version, rules, marks: marks.into_iter().collect(), ..Self::default() };
        guards.privileged = guards.marks.values().any(|kind| *kind == MarkKind::Privileged);
        for (kind, value) in learned {
            match kind {
                LearnedKind::Domain => guards.domains.insert(value),
                LearnedKind::Shape => guards.shapes.insert(value),
            };
        }
        guards
    }

    /// With domains and shapes that are known.
    #[must_use]
    pub fn knowing<const D: usize, const S: usize>(mut self, domains: [&str; D], shapes: [&str; S]) -> Self {
        self.domains.extend(domains.map(str::to_owned));
        self.shapes.extend(shapes.map(str::to_owned));
        self
    }

    /// Whether anything is marked.
    pub fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Whether a group is marked as privileged.
    pub const fn has_privileged(&self) -> bool {
        self.privileged
    }

    /// How a user or group is marked.
    pub fn kind_of(&self, id: &str) -> Option<MarkKind> {
        if self.marks.is_empty() { None } else { self.marks.get(id).copied() }
    }

    /// The first of some ids that is protected.
    pub fn protected<'a>(&self, mut ids: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        ids.find(|id| self.kind_of(id) == Some(MarkKind::Protected))
    }

    /// Whether a mail domain needs no question.
    pub fn knows_domain(&self, domain: &str) -> bool {
        self.domains.contains(domain) || self.domains.len() >= MOST_LEARNED
    }

    /// Whether a shape of externalId needs no question.
    pub fn knows_shape(&self, shape: &str) -> bool {
        self.shapes.contains(shape)
    }

    /// What they weigh in memory, about.
    pub fn bytes(&self) -> usize {
        self.marks.len() * 80 + self.domains.len() * 60 + 200
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_tell_what_is_marked() {
        let marks = [("a".to_owned(), MarkKind::Protected), ("b".to_owned(), MarkKind::Privileged)];
        let guards = Guards::new(1, Rules::default(), marks, [(LearnedKind::Domain, "a.example".to_owned())]);
        assert!(guards.has_marks() && guards.has_privileged());
        assert_eq!(guards.protected(["x", "b", "a"].into_iter()), Some("a"));
        assert_eq!(guards.kind_of("b"), Some(MarkKind::Privileged));
        assert!(guards.knows_domain("a.example") && !guards.knows_domain("b.example"));
        assert_eq!(Guards::default().kind_of("a"), None);
    }

    #[test]
    fn a_mark_needs_a_kind_and_a_reason() {
        let new = |kind: &str, reason: &str| NewMark {
            resource: "x".to_owned(),
            kind: kind.to_owned(),
            reason: reason.to_owned(),
        };
        let fields = |new: NewMark| -> Vec<String> {
            new.check().unwrap_err().into_iter().map(|fault| fault.field).collect()
        };
        assert_eq!(fields(new("", "x")), ["kind", "reason"]);
        assert_eq!(new("canary", "bait").check(), Ok((MarkKind::Canary, "bait".to_owned())));
    }

    #[test]
    fn words_are_read_back() {
        for kind in MarkKind::ALL {
            assert_eq!(MarkKind::parse(kind.as_str()), Some(kind));
        }
        for kind in [LearnedKind::Domain, LearnedKind::Shape] {
            assert_eq!(LearnedKind::parse(kind.as_str()), Some(kind));
        }
    }
}
