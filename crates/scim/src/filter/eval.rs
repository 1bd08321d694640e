//! What a filter means for a resource in memory.
//!
//! A multi-valued attribute meets a comparison when one of its values does; an attribute without a
//! value meets only `ne` and `eq null`. The right side is brought to the type of the attribute once
//! ([`Operand`]); a new data type is one more variant there.
//!
//! The recursion follows the tree, whose depth the parser bounds.

use std::borrow::Cow;

use serde_json::{Number, Value};
use time::OffsetDateTime;

use crate::{
    attr::{AttrPath, Resolved, fold_case},
    coerce,
    error::ScimError,
    instant,
    schema::{Attribute, Kind, Returned},
    schemas::Type,
    tolerance::{Reading, Tolerance},
};

use super::{CompareOp, CompareValue, Filter};

/// Whether a resource meets a filter.
///
/// `resource` is the body that `render` gives with everything in it, so that `id`, `meta` and `groups`
/// can be filtered too.
///
/// # Errors
/// `invalidFilter` as [`Filter::check`], for the comparisons that were looked at.
pub fn matches<'a>(filter: &Filter, of: impl Into<Type<'a>>, resource: &Value) -> Result<bool, ScimError> {
    evaluate(filter, Scope::Resource(of.into()), Some(resource))
}

/// Whether one value of a multi-valued attribute meets a filter on its sub-attributes.
pub(crate) fn matches_element(
    filter: &Filter,
    attribute: &Attribute,
    element: &Value,
) -> Result<bool, ScimError> {
    evaluate(filter, Scope::Element(attribute), Some(element))
}

/// As [`Filter::check_with`].
pub(super) fn check(filter: &Filter, of: Type<'_>, reading: &mut Reading) -> Result<(), ScimError> {
    check_in(filter, Scope::Resource(of), reading)
}

/// As [`Filter::check_with`], for a filter on the sub-attributes of an attribute.
pub(crate) fn check_element(
    filter: &Filter,
    attribute: &Attribute,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    check_in(filter, Scope::Element(attribute), reading)
}

/// What the names of a filter are looked up in.
#[derive(Clone, Copy)]
pub(super) enum Scope<'a> {
    /// A resource.
    Resource(Type<'a>),
    /// One value of this attribute.
    Element(&'a Attribute),
}

impl<'a> Scope<'a> {
    pub(super) fn resolve(self, path: &AttrPath) -> Option<Resolved<'a>> {
        match self {
            Self::Resource(of) => path.resolve(of),
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

fn check_in(filter: &Filter, scope: Scope<'_>, reading: &mut Reading) -> Result<(), ScimError> {
    match filter {
        Filter::Compare { path, op, value } => match scope.resolve(path) {
            Some(resolved) => {
                let leaf = comparable(&resolved, path)?;
                Operand::new(leaf, *op, value, path)?;
                note_operand(leaf, value, path, reading)
            }
            None => Ok(()),
        },
        Filter::Present(path) => scope.resolve(path).map_or(Ok(()), |resolved| readable(&resolved, path)),
        Filter::And(parts) | Filter::Or(parts) => {
            parts.iter().try_for_each(|part| check_in(part, scope, reading))
        }
        Filter::Not(inner) => check_in(inner, scope, reading),
        Filter::Value { path, filter } => match scope.resolve(path) {
            Some(resolved) => check_in(filter, Scope::Element(resolved.attribute), reading),
            None => Ok(()),
        },
    }
}

/// Notes a value that is not written as its type is.
fn note_operand(
    leaf: &Attribute,
    value: &CompareValue,
    path: &AttrPath,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let place = || format!("filter: '{path}'");
    match value {
        CompareValue::String(_) if leaf.kind == Kind::Boolean => {
            reading.note(Tolerance::StringBoolean, &place())
        }
        CompareValue::String(text) if leaf.kind == Kind::DateTime && instant::parse(text).is_some() => {
            instant::note(text, &place(), reading)
        }
        CompareValue::Boolean(_) | CompareValue::Number(_)
            if !matches!(leaf.kind, Kind::Boolean | Kind::Integer | Kind::Decimal) =>
        {
            reading.note(Tolerance::UnquotedFilterValue, &place())
        }
        CompareValue::String(_) | CompareValue::Boolean(_) | CompareValue::Number(_) | CompareValue::Null => {
            Ok(())
        }
    }
}

fn evaluate(filter: &Filter, scope: Scope<'_>, holder: Option<&Value>) -> Result<bool, ScimError> {
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
    scope: Scope<'_>,
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
pub(super) fn comparable<'a>(resolved: &Resolved<'a>, path: &AttrPath) -> Result<&'a Attribute, ScimError> {
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
fn readable(resolved: &Resolved<'_>, path: &AttrPath) -> Result<(), ScimError> {
    if resolved.leaf().returned == Returned::Never {
        return Err(ScimError::invalid_filter(format!("filter: '{path}' cannot be filtered")));
    }
    Ok(())
}

/// Every value at the end of the path, nulls left out.
fn values<'a, 'v>(
    resolved: &Resolved<'a>,
    sub: Option<&'a Attribute>,
    holder: Option<&'v Value>,
) -> impl Iterator<Item = &'v Value> + use<'a, 'v> {
    let holder = match resolved.extension {
        Some(extension) => holder.and_then(|holder| holder.get(extension.id.as_ref())),
        None => holder,
    };
    let value = holder.and_then(|holder| holder.get(resolved.attribute.name.as_ref()));
    let (list, one) = match value {
        Some(Value::Array(items)) => (items.as_slice(), None),
        Some(value) => (&[][..], Some(value)),
        None => (&[][..], None),
    };
    list.iter()
        .chain(one)
        .filter_map(move |value| match sub {
            Some(sub) => value.get(sub.name.as_ref()),
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
pub(super) enum Operand {
    /// Text that is compared as it is.
    Exact(String),
    /// Text that is folded, and so are the values.
    Folded(String),
    /// A boolean.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// An instant.
    Instant(OffsetDateTime),
    /// Nothing.
    Null,
}

impl Operand {
    pub(super) fn new(
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
                CompareValue::Number(number) => Ok(Self::Number(number.clone())),
                CompareValue::String(_) | CompareValue::Boolean(_) | CompareValue::Null => {
                    Err(refuse_value())
                }
            },
            Kind::DateTime if is_equality || is_order => {
                value.as_str().and_then(instant::parse).map(Self::Instant).ok_or_else(refuse_value)
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
            Self::Number(operand) => value.as_number().is_some_and(|value| order_numbers(op, value, operand)),
            Self::Instant(operand) => {
                value.as_str().and_then(instant::parse).is_some_and(|value| order(op, &value, operand))
            }
            // Nulls are left out before: every value that is here differs from null.
            Self::Null => op == CompareOp::Ne,
        }
    }
}

/// Whole numbers are compared as such: a fraction of 64 bits cannot tell large ones apart.
fn order_numbers(op: CompareOp, value: &Number, operand: &Number) -> bool {
    match (value.as_i128(), operand.as_i128()) {
        (Some(value), Some(operand)) => order(op, &value, &operand),
        (Some(_) | None, _) => match (value.as_f64(), operand.as_f64()) {
            (Some(value), Some(operand)) => order(op, &value, &operand),
            (Some(_) | None, _) => false,
        },
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
