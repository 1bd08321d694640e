//! What a filter says about indexed columns, for a store that narrows its candidates before it asks
//! [`matches`](super::matches()).
//!
//! A plan may be wider than the filter and is never narrower: every resource that meets the filter is
//! inside what each of its conjuncts describes here. So a store takes the [`Filter::conjuncts`] one by
//! one, turns those that fit an index into conditions, and leaves the rest to the evaluator.
//!
//! Text is given as the evaluator compares it: folded by [`fold_case`](crate::fold_case) unless the
//! attribute is case-exact. Another form of condition is one more method and one more row in the property
//! test.

use time::OffsetDateTime;

use crate::{
    attr::{AttrPath, Resolved},
    schema::{Attribute, Kind},
    schemas::Type,
};

use super::{
    CompareOp, CompareValue, Filter,
    eval::{Operand, Scope, comparable},
};

/// An attribute has one of these values.
#[derive(Debug, Clone, PartialEq)]
pub struct Equality {
    /// The canonical path of what is compared, down to the value: `userName`, `emails.value`,
    /// `members.value`, or an extension's with its URN.
    pub path: String,
    /// The values; one of them is met. Never empty.
    pub values: Vec<Term>,
}

impl Equality {
    /// The values, when all are text.
    pub fn texts(&self) -> Option<Vec<&str>> {
        self.values.iter().map(Term::as_str).collect()
    }
}

/// A value that an attribute equals.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// Text, folded unless the attribute is case-exact.
    Text(String),
    /// A boolean.
    Boolean(bool),
    /// A number.
    Number(f64),
}

impl Term {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Boolean(_) | Self::Number(_) => None,
        }
    }
}

/// The text of an attribute starts so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// The canonical path, as in [`Equality`].
    pub path: String,
    /// The start, folded unless the attribute is case-exact.
    pub prefix: String,
}

/// An instant lies between these bounds, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The canonical path, such as `meta.lastModified`.
    pub path: String,
    /// Not before this, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Not after this, in milliseconds since 1970.
    pub to_ms: Option<i64>,
}

impl Filter {
    /// The parts that must all be met: those of a conjunction, or the filter itself.
    pub fn conjuncts(&self) -> Vec<&Self> {
        match self {
            // The parser leaves no conjunction directly inside another; a tree from elsewhere may.
            Self::And(parts) => parts.iter().flat_map(Self::conjuncts).collect(),
            Self::Compare { .. } | Self::Present(_) | Self::Or(_) | Self::Not(_) | Self::Value { .. } => {
                vec![self]
            }
        }
    }

    /// The values of which an attribute must have one: of `eq`, of an `or` of `eq` on one attribute, and
    /// of the same behind brackets. Where brackets say several things, what they say of `value` counts.
    pub fn as_equality<'a>(&self, of: impl Into<Type<'a>>) -> Option<Equality> {
        let mut found = implied(self, Scope::Resource(of.into()), "");
        let best =
            found.iter().position(|equality| equality.path.rsplit('.').next() == Some("value")).unwrap_or(0);
        if found.is_empty() { None } else { Some(found.swap_remove(best)) }
    }

    /// How the text of an attribute must start: `sw`, with or without brackets.
    pub fn as_starts_with<'a>(&self, of: impl Into<Type<'a>>) -> Option<Prefix> {
        let (path, op, operand, leaf) = self.comparison(Scope::Resource(of.into()))?;
        let is_text = matches!(leaf.kind, Kind::String | Kind::Reference);
        match operand {
            Operand::Exact(prefix) | Operand::Folded(prefix) if op == CompareOp::Sw && is_text => {
                Some(Prefix { path, prefix })
            }
            Operand::Exact(_)
            | Operand::Folded(_)
            | Operand::Boolean(_)
            | Operand::Number(_)
            | Operand::Instant(_)
            | Operand::Null => None,
        }
    }

    /// Between which instants an attribute must lie: `eq`, `gt`, `ge`, `lt` and `le` of a date and time.
    ///
    /// A store that keeps milliseconds need not care about `gt` and `ge`: the bounds are included, and
    /// what lies between two milliseconds is rounded away from the range.
    pub fn as_range<'a>(&self, of: impl Into<Type<'a>>) -> Option<Range> {
        let (path, op, operand, _) = self.comparison(Scope::Resource(of.into()))?;
        let Operand::Instant(instant) = operand else { return None };
        let (floor_ms, ceil_ms) = (milliseconds(instant, 0)?, milliseconds(instant, 999_999)?);
        let (from_ms, to_ms) = match op {
            CompareOp::Eq => (Some(floor_ms), Some(ceil_ms)),
            CompareOp::Gt | CompareOp::Ge => (Some(floor_ms), None),
            CompareOp::Lt | CompareOp::Le => (None, Some(ceil_ms)),
            CompareOp::Ne | CompareOp::Co | CompareOp::Sw | CompareOp::Ew => return None,
        };
        Some(Range { path, from_ms, to_ms })
    }

    /// The one comparison that this is, or that stands alone in its brackets.
    fn comparison<'a>(&self, scope: Scope<'a>) -> Option<(String, CompareOp, Operand, &'a Attribute)> {
        match self {
            Self::Compare { path, op, value } => {
                let (resolved, leaf) = leaf_of(path, scope)?;
                let operand = Operand::new(leaf, *op, value, path).ok()?;
                Some((path_to(&resolved, leaf), *op, operand, leaf))
            }
            Self::Value { path, filter } => {
                let resolved = scope.resolve(path).filter(|resolved| resolved.sub.is_none())?;
                let (inner, op, operand, leaf) = filter.comparison(Scope::Element(resolved.attribute))?;
                Some((format!("{}.{inner}", resolved.canonical()), op, operand, leaf))
            }
            Self::Present(_) | Self::And(_) | Self::Or(_) | Self::Not(_) => None,
        }
    }
}

/// Every equality that must hold where the filter does. The recursion follows the tree, whose depth the
/// parser bounds.
fn implied(filter: &Filter, scope: Scope<'_>, prefix: &str) -> Vec<Equality> {
    match filter {
        Filter::Compare { path, op: CompareOp::Eq, value } => {
            equality(path, value, scope, prefix).into_iter().collect()
        }
        Filter::And(parts) => parts.iter().flat_map(|part| implied(part, scope, prefix)).collect(),
        Filter::Or(parts) => {
            let mut parts = parts.iter().map(|part| implied(part, scope, prefix));
            let first = parts.next().unwrap_or_default();
            parts.fold(first, |all, part| {
                let both = all.into_iter().filter_map(|mut equality| {
                    let other = part.iter().find(|other| other.path == equality.path)?;
                    for value in &other.values {
                        if !equality.values.contains(value) {
                            equality.values.push(value.clone());
                        }
                    }
                    Some(equality)
                });
                both.collect()
            })
        }
        Filter::Value { path, filter } => {
            let Some(resolved) = scope.resolve(path).filter(|resolved| resolved.sub.is_none()) else {
                return Vec::new();
            };
            let prefix = format!("{prefix}{}.", resolved.canonical());
            implied(filter, Scope::Element(resolved.attribute), &prefix)
        }
        Filter::Compare { .. } | Filter::Present(_) | Filter::Not(_) => Vec::new(),
    }
}

fn equality(path: &AttrPath, value: &CompareValue, scope: Scope<'_>, prefix: &str) -> Option<Equality> {
    let (resolved, leaf) = leaf_of(path, scope)?;
    let term = match Operand::new(leaf, CompareOp::Eq, value, path).ok()? {
        Operand::Exact(text) | Operand::Folded(text) => Term::Text(text),
        Operand::Boolean(value) => Term::Boolean(value),
        Operand::Number(number) => Term::Number(number.as_f64()?),
        // Instants are ranges; what equals null has no value to look for.
        Operand::Instant(_) | Operand::Null => return None,
    };
    Some(Equality { path: format!("{prefix}{}", path_to(&resolved, leaf)), values: vec![term] })
}

fn leaf_of<'a>(path: &AttrPath, scope: Scope<'a>) -> Option<(Resolved<'a>, &'a Attribute)> {
    let resolved = scope.resolve(path)?;
    let leaf = comparable(&resolved, path).ok()?;
    Some((resolved, leaf))
}

/// The canonical path down to the value: an object without a named sub-attribute stands for its `value`.
fn path_to(resolved: &Resolved<'_>, leaf: &Attribute) -> String {
    let path = resolved.canonical();
    if std::ptr::eq(resolved.leaf(), leaf) { path } else { format!("{path}.{}", leaf.name) }
}

fn milliseconds(instant: OffsetDateTime, add_ns: i128) -> Option<i64> {
    i64::try_from((instant.unix_timestamp_nanos() + add_ns).div_euclid(1_000_000)).ok()
}
