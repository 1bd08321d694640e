//! Filters (RFC 7644 3.4.2.2): the tree, its limits and what it means.
//!
//! The tree is canonical: no conjunction directly inside a conjunction, none with a single part. A
//! value path with a sub-attribute behind it, `emails[type eq "work"].value eq "a"`, which Entra sends
//! and the grammar does not know, is one more comparison inside the brackets, because that is what it
//! means. A new operator is one more variant of [`CompareOp`], its word in `as_str` and its arm in
//! `eval`.

mod eval;
mod lexer;
mod parser;
pub mod plan;

use std::fmt;

use serde_json::{Number, Value};

use crate::{attr::AttrPath, error::ScimError, schemas::Type, tolerance::Reading};

pub(crate) use self::eval::{check_element, matches_element};
pub use self::{
    eval::matches,
    plan::{Equality, Prefix, Range, Term},
};

/// How long a filter may be, in bytes.
pub const MAX_BYTES: usize = 8 * 1024;

/// How many parentheses and brackets may be open at once.
pub const MAX_DEPTH: usize = 32;

/// How many comparisons a filter may hold.
pub const MAX_TERMS: usize = 100;

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// `path op value`.
    Compare {
        /// What is compared.
        path: AttrPath,
        /// How.
        op: CompareOp,
        /// With what.
        value: CompareValue,
    },
    /// `path pr`: it has a value.
    Present(AttrPath),
    /// All of these; two or more.
    And(Vec<Filter>),
    /// One of these; two or more.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// `path[filter]`: one value of the attribute meets the whole filter.
    Value {
        /// The multi-valued attribute.
        path: AttrPath,
        /// What one of its values must meet; its paths name sub-attributes.
        filter: Box<Filter>,
    },
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Contains.
    Co,
    /// Starts with.
    Sw,
    /// Ends with.
    Ew,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Ge,
    /// Less than.
    Lt,
    /// Less than or equal.
    Le,
}

impl CompareOp {
    /// Every operator.
    pub const ALL: [Self; 9] =
        [Self::Eq, Self::Ne, Self::Co, Self::Sw, Self::Ew, Self::Gt, Self::Ge, Self::Lt, Self::Le];

    /// The word in a filter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Co => "co",
            Self::Sw => "sw",
            Self::Ew => "ew",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        }
    }

    /// The operator with this word, in any case.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str().eq_ignore_ascii_case(word))
    }
}

/// The value on the right of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CompareValue {
    /// A string, or a bare word that is none of the others.
    String(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// `null`.
    Null,
}

impl CompareValue {
    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Boolean(_) | Self::Number(_) | Self::Null => None,
        }
    }

    /// The value as JSON.
    pub fn to_value(&self) -> Value {
        match self {
            Self::String(text) => Value::String(text.clone()),
            Self::Boolean(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Null => Value::Null,
        }
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// `invalidFilter` when the syntax is not that of RFC 7644 3.4.2.2, or a limit ([`MAX_BYTES`],
    /// [`MAX_DEPTH`], [`MAX_TERMS`]) is exceeded; the detail names the place or the limit.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        Self::read(text, &mut Reading::lenient())
    }

    /// As [`Filter::parse`], and notes what is tolerated.
    ///
    /// # Errors
    /// As [`Filter::parse`], and in strict mode for what the grammar does not have.
    pub fn read(text: &str, reading: &mut Reading) -> Result<Self, ScimError> {
        parser::parse(text, true, reading)
    }

    /// Reads what stands inside the brackets of a value path, where no second pair may stand.
    ///
    /// # Errors
    /// As [`Filter::read`].
    pub(crate) fn read_inner(text: &str, reading: &mut Reading) -> Result<Self, ScimError> {
        parser::parse(text, false, reading)
    }

    /// Checks that every comparison is one that the attributes of a resource type allow.
    ///
    /// Names that mean nothing are allowed: they have no value (RFC 7644 3.4.2.1). A caller that turns a
    /// filter into a query checks it first; [`matches()`] finds the same faults, but only where it looks.
    ///
    /// # Errors
    /// `invalidFilter` for an order on booleans or certificates, a value of another type, an object
    /// without a value of its own, and the password.
    pub fn check<'a>(&self, of: impl Into<Type<'a>>) -> Result<(), ScimError> {
        self.check_with(of, &mut Reading::lenient())
    }

    /// As [`Filter::check`], and notes what is tolerated.
    ///
    /// # Errors
    /// As [`Filter::check`], and in strict mode for a value that is not written as its type is.
    pub fn check_with<'a>(&self, of: impl Into<Type<'a>>, reading: &mut Reading) -> Result<(), ScimError> {
        eval::check(self, of.into(), reading)
    }

    /// The comparisons, when the filter is one `eq` or a conjunction of nothing but `eq`: what most
    /// providers send, and what an index answers.
    pub fn equalities(&self) -> Option<Vec<(AttrPath, CompareValue)>> {
        match self {
            Self::Compare { path, op: CompareOp::Eq, value } => Some(vec![(path.clone(), value.clone())]),
            Self::And(parts) => {
                let mut pairs = Vec::with_capacity(parts.len());
                for part in parts {
                    let Self::Compare { path, op: CompareOp::Eq, value } = part else { return None };
                    pairs.push((path.clone(), value.clone()));
                }
                Some(pairs)
            }
            Self::Compare { .. } | Self::Present(_) | Self::Or(_) | Self::Not(_) | Self::Value { .. } => None,
        }
    }
}

impl fmt::Display for CompareOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for CompareValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_value())
    }
}

/// Writes a filter that reads back as the same tree.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare { path, op, value } => write!(f, "{path} {op} {value}"),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::And(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    let separator = if index == 0 { "" } else { " and " };
                    match part {
                        Self::Or(_) => write!(f, "{separator}({part})")?,
                        Self::Compare { .. }
                        | Self::Present(_)
                        | Self::And(_)
                        | Self::Not(_)
                        | Self::Value { .. } => write!(f, "{separator}{part}")?,
                    }
                }
                Ok(())
            }
            Self::Or(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    let separator = if index == 0 { "" } else { " or " };
                    write!(f, "{separator}{part}")?;
                }
                Ok(())
            }
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Value { path, filter } => write!(f, "{path}[{filter}]"),
        }
    }
}
