//! What a filter means for a resource in memory.
//!
//! A multi-valued attribute meets a comparison when one of its values does; an attribute without a
//! value meets only `ne` and `eq null`. The right side is brought to the type of the attribute once
//! ([`Operand`]); a new data type is one more variant there.
//!
//! The recursion follows the tree, whose depth the parser bounds.

use std::borrow::Cow;

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    attr::{AttrPath, Resolved, fold_case},
    coerce,
    error::ScimError,
    schema::{Attribute, Kind, ResourceType, Returned},
};

use super::{CompareOp, CompareValue, Filter};

/// Whether a resource meets a filter.
///
/// `resource` is the body that `render` gives with everything in it, so that `id`, `meta` and `groups`
/// can be filtered too.
///
/// # Errors
/// `invalidFilter` as [`Filter::check`], for the comparisons that were looked at.
pub fn matches(filter: &Filter, kind: ResourceType, resource: &Value) -> Result<bool, ScimError> {
    evaluate(filter, Scope::Resource(kind), Some(resource))
}

/// Whether one value of a multi-valued attribute meets a filter on its sub-attributes.
pub(crate) fn matches_element(
    filter: &Filter,
    attribute: &'static Attribute,
    element: &Value,
) -> Result<bool, ScimError> {
    evaluate(filter, Scope::Element(attribute), Some(element))
}

/// As [`Filter::check`].
pub(super) fn check(filter: &Filter, kind: ResourceType) -> Result<(), ScimError> {
    check_in(filter, Scope::Resource(kind))
}

/// As [`Filter::check`], for a filter on the sub-attributes of an attribute.
pub(crate) fn check_element(filter: &Filter, attribute: &'static Attribute) -> Result<(), ScimError> {
    check_in(filter, Scope::Element(attribute))
}

/// What the names of a filter are looked up in.
#[derive(Clone, Copy)]
enum Scope {
    /// A resource.
    Resource(ResourceType),
    /// One value of this attribute.
    Element(&'static Attribute),
}

impl Scope {
    fn resolve(self, path: &AttrPath) -> Option<Resolved> {
        match self {
            Self::Resource(kind) => path.resolve(kind),
            Self::Element(attribute) => {
                if path.schema.is_some() || path.sub.is_some() {
                    return None;
                }
                let attribute = attribute.sub_attribute(&path.name)?;
                Some(Resolved { extension: None, attribute, sub: None })
            }
        }
    }
}

fn check_in(filter: &Filter, scope: Scope) -> Result<(), ScimError> {
    match filter {
        Filter::Compare { path, op, value } => match scope.resolve(path) {
            Some(resolved) => {
                let leaf = comparable(&resolved, path)?;
                Operand::new(leaf, *op, value, path).map(drop)
            }
            None => Ok(()),
        },
        Filter::Present(path) => scope.resolve(path).map_or(Ok(()), |resolved| readable(&resolved, path)),
        Filter::And(parts) | Filter::Or(parts) => parts.iter().try_for_each(|part| check_in(part, scope)),
        Filter::Not(inner) => check_in(inner, scope),
        Filter::Value { path, filter } => match scope.resolve(path) {
            Some(resolved) => check_in(filter, Scope::Element(resolved.attribute)),
            None => Ok(()),
        },
    }
}

fn evaluate(filter: &Filter, scope: Scope, holder: Option<&Value>) -> Result<bool, ScimError> {
    match filter {
        Filter::Compare { path, op, value } => compare(path, *op, value, scope, holder),
        Filter::Present(path) => {
            let Some(resolved) = scope.resolve(path) else { return Ok(false) };
            readable(&resolved, path)?;
            Ok(values(&resolved, resolved.sub, holder).any(is_present))
        }
        Filter::And(parts) => {
            for part in parts {
                if !evaluate(part, scope, holder)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Filter::Or(parts) => {
            for part in parts {
                if evaluate(part, scope, holder)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Filter::Not(inner) => evaluate(inner, scope, holder).map(|is_met| !is_met),
        Filter::Value { path, filter } => {
            let Some(resolved) = scope.resolve(path) else { return Ok(false) };
            for element in values(&resolved, None, holder) {
                if evaluate(filter, Scope::Element(resolved.attribute), Some(element))? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

fn compare(
    path: &AttrPath,
    op: CompareOp,
    value: &CompareValue,
    scope: Scope,
    holder: Option<&Value>,
) -> Result<bool, ScimError> {
    let is_absence = match (op, value) {
        (CompareOp::Eq, CompareValue::Null) => true,
        (CompareOp::Ne, value) => *value != CompareValue::Null,
        (
            CompareOp::Eq
            | CompareOp::Co
            | CompareOp::Sw
            | CompareOp::Ew
            | CompareOp::Gt
            | CompareOp::Ge
            | CompareOp::Lt
            | CompareOp::Le,
            _,
        ) => false,
    };
    // RFC 7644 3.4.2.1: an attribute that a resource does not have has no value.
    let Some(resolved) = scope.resolve(path) else { return Ok(is_absence) };
    let leaf = comparable(&resolved, path)?;
    let operand = Operand::new(leaf, op, value, path)?;
    // An object without a named sub-attribute stands for its `value` (RFC 7644 3.4.2.2).
    let sub = resolved.sub.or((!std::ptr::eq(leaf, resolved.attribute)).then_some(leaf));
    let mut is_absent = true;
    for value in values(&resolved, sub, holder) {
        is_absent = false;
        if operand.meets(op, value) {
            return Ok(true);
        }
    }
    Ok(is_absent && is_absence)
}

/// The attribute whose values are compared.
fn comparable(resolved: &Resolved, path: &AttrPath) -> Result<&'static Attribute, ScimError> {
    readable(resolved, path)?;
    let leaf = resolved.leaf();
    if leaf.kind != Kind::Complex {
        return Ok(leaf);
    }
    leaf.sub_attribute("value").ok_or_else(|| {
        ScimError::invalid_filter(format!("filter: '{path}' is an object: compare one of its sub-attributes"))
    })
}

/// RFC 7643 9.2: what is never returned must not be found out by asking either.
fn readable(resolved: &Resolved, path: &AttrPath) -> Result<(), ScimError> {
    if resolved.leaf().returned == Returned::Never {
        return Err(ScimError::invalid_filter(format!("filter: '{path}' cannot be filtered")));
    }
    Ok(())
}

/// Every value at the end of the path, nulls left out.
fn values<'a>(
    resolved: &Resolved,
    sub: Option<&'static Attribute>,
    holder: Option<&'a Value>,
) -> impl Iterator<Item = &'a Value> + use<'a> {
    let holder = match resolved.extension {
        Some(extension) => holder.and_then(|holder| holder.get(extension.id)),
        None => holder,
    };
    let value = holder.and_then(|holder| holder.get(resolved.attribute.name));
    let (list, one) = match value {
        Some(Value::Array(items)) => (items.as_slice(), None),
        Some(value) => (&[][..], Some(value)),
        None => (&[][..], None),
    };
    list.iter()
        .chain(one)
        .filter_map(move |value| match sub {
            Some(sub) => value.get(sub.name),
            None => Some(value),
        })
        .filter(|value| !value.is_null())
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => items.iter().any(is_present),
        Value::Object(parts) => parts.values().any(is_present),
    }
}

/// The right side of a comparison in the type of the attribute.
enum Operand {
    /// Text that is compared as it is.
    Exact(String),
    /// Text that is folded, and so are the values.
    Folded(String),
    /// A boolean.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// An instant.
    Instant(OffsetDateTime),
    /// Nothing.
    Null,
}

impl Operand {
    fn new(
        leaf: &Attribute,
        op: CompareOp,
        value: &CompareValue,
        path: &AttrPath,
    ) -> Result<Self, ScimError> {
        let is_order = match op {
            CompareOp::Gt | CompareOp::Ge | CompareOp::Lt | CompareOp::Le => true,
            CompareOp::Eq | CompareOp::Ne | CompareOp::Co | CompareOp::Sw | CompareOp::Ew => false,
        };
        let is_equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
        let refuse_op = || {
            Err(ScimError::invalid_filter(format!(
                "filter: '{path}' is {} and cannot be compared with '{op}'",
                leaf.kind.as_str()
            )))
        };
        let refuse_value = || {
            ScimError::invalid_filter(format!(
                "filter: '{path}' is compared with {}, not {value}",
                leaf.kind.noun()
            ))
        };
        if *value == CompareValue::Null {
            return if is_equality { Ok(Self::Null) } else { refuse_op() };
        }
        match leaf.kind {
            // RFC 7644 3.4.2.2, table 3: no order on booleans.
            Kind::Boolean if !is_equality => refuse_op(),
            Kind::Boolean => match value {
                CompareValue::Boolean(value) => Ok(Self::Boolean(*value)),
                CompareValue::String(text) => {
                    coerce::boolean(text).map(Self::Boolean).ok_or_else(refuse_value)
                }
                CompareValue::Number(_) | CompareValue::Null => Err(refuse_value()),
            },
            Kind::Integer | Kind::Decimal if !is_equality && !is_order => refuse_op(),
            Kind::Integer | Kind::Decimal => match value {
                CompareValue::Number(number) => number.as_f64().map(Self::Number).ok_or_else(refuse_value),
                CompareValue::String(_) | CompareValue::Boolean(_) | CompareValue::Null => {
                    Err(refuse_value())
                }
            },
            Kind::DateTime if is_equality || is_order => {
                value.as_str().and_then(parse_instant).map(Self::Instant).ok_or_else(refuse_value)
            }
            // Table 3 again: no order on binaries.
            Kind::Binary if is_order => refuse_op(),
            Kind::DateTime | Kind::Binary | Kind::String | Kind::Reference | Kind::Complex => {
                let text = match value {
                    CompareValue::String(text) => text.clone(),
                    // `employeeNumber eq 701984`: the word was meant as text.
                    CompareValue::Boolean(_) | CompareValue::Number(_) | CompareValue::Null => {
                        value.to_string()
                    }
                };
                Ok(if leaf.case_exact { Self::Exact(text) } else { Self::Folded(fold_case(&text)) })
            }
        }
    }

    fn meets(&self, op: CompareOp, value: &Value) -> bool {
        match self {
            Self::Exact(text) => value.as_str().is_some_and(|value| compare_text(op, value, text)),
            Self::Folded(text) => value.as_str().is_some_and(|value| compare_text(op, &folded(value), text)),
            Self::Boolean(operand) => value.as_bool().is_some_and(|value| order(op, &value, operand)),
            Self::Number(operand) => value.as_f64().is_some_and(|value| order(op, &value, operand)),
            Self::Instant(operand) => {
                value.as_str().and_then(parse_instant).is_some_and(|value| order(op, &value, operand))
            }
            // Nulls are left out before: every value that is here differs from null.
            Self::Null => op == CompareOp::Ne,
        }
    }
}

fn folded(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(fold_case(text))
    }
}

fn compare_text(op: CompareOp, value: &str, operand: &str) -> bool {
    match op {
        CompareOp::Co => value.contains(operand),
        CompareOp::Sw => value.starts_with(operand),
        CompareOp::Ew => value.ends_with(operand),
        CompareOp::Eq | CompareOp::Ne | CompareOp::Gt | CompareOp::Ge | CompareOp::Lt | CompareOp::Le => {
            order(op, value, operand)
        }
    }
}

fn order<T: PartialOrd + ?Sized>(op: CompareOp, value: &T, operand: &T) -> bool {
    match op {
        CompareOp::Eq => value == operand,
        CompareOp::Ne => value != operand,
        CompareOp::Gt => value > operand,
        CompareOp::Ge => value >= operand,
        CompareOp::Lt => value < operand,
        CompareOp::Le => value <= operand,
        CompareOp::Co | CompareOp::Sw | CompareOp::Ew => false,
    }
}

/// An instant as XML Schema writes it: any number of fraction digits, UTC when no zone is given. A
/// space before the zone is the `+` of a query that was not encoded.
pub(crate) fn parse_instant(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim().replace(' ', "+");
    OffsetDateTime::parse(&text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339))
        .or_else(|_| OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339))
        .ok()
}
