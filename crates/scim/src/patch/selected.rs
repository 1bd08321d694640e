//! Operations on what a filter selects: `emails[type eq "work"]`, and a part of it behind a dot.
//!
//! The standard puts what is given in the place of what was selected (RFC 7644 3.5.2.3), and fails where
//! nothing was. Two things are understood beside it, because a provider that sends them means no loss: an
//! object that says nothing of the value itself is set on it part by part, and a part of a value that does
//! not exist makes that value when the filter says what it is.

use serde_json::{Map, Value};

use crate::{
    coerce::{self, is_primary},
    error::ScimError,
    filter::{Filter, matches_element},
    schema::{Attribute, Mutability},
    tolerance::{Reading, Tolerance},
};

use super::{
    Verb,
    values::{Part, Parts, Work, clear_other_primaries, put_elements, remove_at, set, set_on, take_elements},
};

/// `attr[filter]` and `attr[filter].sub`.
pub(super) fn filtered(
    work: Work<'_>,
    holder: &mut Parts,
    filter: &Filter,
    sub: Option<&Attribute>,
    value: Option<Value>,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let Work { verb, attribute, path } = work;
    let mut elements = take_elements(holder, attribute);
    let mut selected = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        if matches_element(filter, attribute, element)? {
            selected.push(index);
        }
    }
    match (verb, sub) {
        (Verb::Remove, None) => remove_at(&mut elements, &selected),
        (Verb::Replace, None) if selected.is_empty() && is_partial(attribute, value.as_ref()) => {
            return Err(no_target(attribute, filter));
        }
        (Verb::Add | Verb::Replace, None)
            if !selected.is_empty() && is_partial(attribute, value.as_ref()) =>
        {
            if verb == Verb::Replace {
                // RFC 7644 3.5.2.3 puts the object in the place of the value. By that letter an address
                // that is to be the primary one would be gone.
                reading.note(Tolerance::PartialReplacement, path)?;
            }
            let given = match value {
                Some(Value::Object(given)) => given,
                Some(_) | None => Map::new(),
            };
            let given = parts_of(work, given, reading)?;
            set_on(work, &mut elements, selected, &given, reading)?;
        }
        (Verb::Replace, None) => {
            let given = coerce::single(attribute, value.unwrap_or(Value::Null), path, reading)?;
            replace_at(&mut elements, &selected, attribute, filter, given)?;
        }
        (Verb::Add, None) => {
            let value = value.unwrap_or(Value::Null);
            let Some(Value::Object(given)) = coerce::single(attribute, value, path, reading)? else {
                put_elements(holder, attribute, elements);
                return Ok(());
            };
            let selected = or_created(work, &mut elements, selected, filter, None, reading)?;
            let given = parts_of(work, given, reading)?;
            set_on(work, &mut elements, selected, &given, reading)?;
        }
        (Verb::Remove, Some(sub)) => set_on(work, &mut elements, selected, &[(sub, None)], reading)?,
        (Verb::Add | Verb::Replace, Some(sub)) => {
            let is_unassignment = match &value {
                None | Some(Value::Null) => true,
                Some(Value::String(text)) => text.is_empty() && sub.name == "value",
                Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => false,
            };
            // Entra sets `phoneNumbers[type eq "mobile"].value` on users that have no such number.
            let selected = if selected.is_empty() && is_unassignment {
                selected
            } else {
                or_created(
                    work,
                    &mut elements,
                    selected,
                    filter,
                    value.as_ref().map(|value| (sub, value)),
                    reading,
                )?
            };
            set_on(work, &mut elements, selected, &[(sub, value)], reading)?;
        }
    }
    put_elements(holder, attribute, elements);
    Ok(())
}

/// Whether an object that is to be put over a selected value says nothing of the value itself: no
/// `value`, or nothing but labels where there is none, as in an address.
fn is_partial(attribute: &Attribute, given: Option<&Value>) -> bool {
    let Some(Value::Object(given)) = given else { return false };
    let is_named = |name: &str, among: &[&str]| among.iter().any(|other| name.eq_ignore_ascii_case(other));
    if given.is_empty() || attribute.is_pointer() {
        return false;
    }
    if attribute.sub_attribute("value").is_some() {
        return !given.keys().any(|name| is_named(name, &["value"]));
    }
    given.keys().all(|name| is_named(name, &["type", "primary", "display"]))
}

/// The parts that a client may set of those that an object names.
fn parts_of<'a>(work: Work<'a>, given: Parts, reading: &mut Reading) -> Result<Vec<Part<'a>>, ScimError> {
    let mut parts: Vec<Part<'_>> = Vec::with_capacity(given.len());
    for (name, value) in given {
        match work.attribute.sub_attribute(&name) {
            Some(sub) if sub.mutability == Mutability::ReadOnly => {}
            Some(sub) if parts.iter().any(|(other, _)| other.name == sub.name) => {
                let place = format!("{}.{}", work.path, sub.name);
                return Err(ScimError::invalid_syntax(format!("{place}: is there twice, in two spellings")));
            }
            Some(sub) => parts.push((sub, Some(value))),
            None => reading.note(Tolerance::UnknownAttribute, &format!("{}.{name}", work.path))?,
        }
    }
    Ok(parts)
}

/// The selected places, or that of a new element of which the filter says what it is: all of its
/// comparisons are `eq`. When one part of it is to be set, it must still be what the filter says: "b" by
/// `roles[value eq "a"].value`, where there is no "a", would be a role that nobody meant to give.
fn or_created(
    work: Work<'_>,
    elements: &mut Vec<Value>,
    selected: Vec<usize>,
    filter: &Filter,
    part: Option<(&Attribute, &Value)>,
    reading: &mut Reading,
) -> Result<Vec<usize>, ScimError> {
    if !selected.is_empty() {
        return Ok(selected);
    }
    let attribute = work.attribute;
    let pinned = pinned_parts(attribute, filter)?.filter(|_| !attribute.is_pointer());
    let pinned = pinned.ok_or_else(|| no_target(attribute, filter))?;
    if let Some((sub, value)) = part {
        let mut made = pinned.clone();
        set(work, &mut made, sub, Some(value.clone()), &mut Reading::lenient())?;
        if !matches_element(filter, attribute, &Value::Object(made))? {
            return Err(no_target(attribute, filter));
        }
    }
    reading.note(Tolerance::ValuePathUpsert, work.path)?;
    elements.push(Value::Object(pinned));
    Ok(vec![elements.len() - 1])
}

fn no_target(attribute: &Attribute, filter: &Filter) -> ScimError {
    ScimError::no_target(format!("path: '{}[{filter}]' selects no value", attribute.name))
}

/// What an element must be to meet a filter that is a conjunction of `eq`.
fn pinned_parts(attribute: &Attribute, filter: &Filter) -> Result<Option<Parts>, ScimError> {
    let Some(pairs) = filter.equalities() else { return Ok(None) };
    let mut parts = Map::new();
    for (path, value) in pairs {
        let Some(sub) = attribute.sub_attribute(&path.name) else { return Ok(None) };
        let place = format!("{}.{}", attribute.name, sub.name);
        // How the filter writes the value was noted when the filter was checked.
        if let Some(value) = coerce::attribute(sub, value.to_value(), &place, &mut Reading::lenient())? {
            parts.insert(sub.name.to_string(), value);
        }
    }
    Ok(Some(parts))
}

fn replace_at(
    elements: &mut Vec<Value>,
    selected: &[usize],
    attribute: &Attribute,
    filter: &Filter,
    given: Option<Value>,
) -> Result<(), ScimError> {
    let Some(given) = given else {
        remove_at(elements, selected);
        return Ok(());
    };
    // RFC 7644 3.5.2.3: a replacement whose filter selects nothing fails.
    let Some((&first, others)) = selected.split_first() else { return Err(no_target(attribute, filter)) };
    let Some(element) = elements.get_mut(first) else { return Ok(()) };
    // A value without the label that it was selected by keeps it: losing it would be a silent loss.
    let mut parts = pinned_parts(attribute, filter)?.unwrap_or_default();
    for (name, part) in &mut parts {
        if let Some(before) = element.get(name) {
            *part = before.clone();
        }
    }
    if is_primary(element) {
        // And it stays the primary one unless the client says otherwise.
        parts.insert("primary".to_owned(), Value::Bool(true));
    }
    if let Value::Object(given) = given {
        parts.extend(given);
    }
    let is_new_primary = parts.get("primary") == Some(&Value::Bool(true));
    *element = Value::Object(parts);
    clear_other_primaries(elements, is_new_primary.then_some(first));
    // All that were selected become the same value, which is there once.
    remove_at(elements, others);
    Ok(())
}
