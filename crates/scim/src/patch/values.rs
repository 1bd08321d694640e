//! How values are added, replaced and removed (RFC 7644 3.5.2.1 to 3.5.2.3).
//!
//! One function for each form of path: [`one`] for a single-valued attribute, [`all`] for a multi-valued
//! one, [`sub_attribute`] behind a dot; the one for brackets is in `selected`. None of them looks at names:
//! what is special follows from the schema.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::{
    coerce::{self, identity, is_blank, is_primary},
    error::ScimError,
    schema::{Attribute, Kind, Mutability},
    tolerance::{Reading, Tolerance},
};

use super::Verb;

pub(super) type Parts = Map<String, Value>;

/// One part of an object, and what it becomes.
pub(super) type Part<'a> = (&'a Attribute, Option<Value>);

/// What is done to which attribute.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) verb: Verb,
    pub(super) attribute: &'a Attribute,
    /// The canonical path, for messages.
    pub(super) path: &'a str,
}

/// `attr`, single-valued.
pub(super) fn one(
    work: Work<'_>,
    holder: &mut Parts,
    value: Option<Value>,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let Work { verb, attribute, path } = work;
    let value = match (verb, value) {
        (Verb::Remove, _) | (Verb::Replace, None) => {
            holder.remove(attribute.name.as_ref());
            return Ok(());
        }
        (Verb::Add, None) => return Ok(()),
        (Verb::Add | Verb::Replace, Some(value)) => value,
    };
    // The parts of an object are replaced one by one (RFC 7644 3.5.2.3), so that null parts are read
    // before the normal form drops them.
    if let (Kind::Complex, Value::Object(given)) = (attribute.kind, &value) {
        let given = given.clone();
        return merge(work, holder, given, reading);
    }
    match coerce::attribute(attribute, value, path, reading)? {
        Some(Value::Object(given)) => merge(work, holder, given, reading),
        Some(value) => {
            holder.insert(attribute.name.to_string(), value);
            Ok(())
        }
        None => {
            if verb == Verb::Replace {
                holder.remove(attribute.name.as_ref());
            }
            Ok(())
        }
    }
}

/// Writes the parts of an object over those of a single-valued attribute.
fn merge(work: Work<'_>, holder: &mut Parts, given: Parts, reading: &mut Reading) -> Result<(), ScimError> {
    let Work { attribute, path, .. } = work;
    let mut parts = take_object(holder, attribute);
    for (name, value) in given {
        match attribute.sub_attribute(&name) {
            Some(sub) if sub.mutability == Mutability::ReadOnly => {}
            Some(sub) => set(work, &mut parts, sub, Some(value), reading)?,
            None => reading.note(Tolerance::UnknownAttribute, &format!("{path}.{name}"))?,
        }
    }
    put_object(work, holder, parts, reading)
}

/// Puts an object back unless it says nothing: Entra's validator clears the manager with
/// `{"value": ""}`.
fn put_object(
    work: Work<'_>,
    holder: &mut Parts,
    parts: Parts,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    if !is_blank(work.attribute, &parts) {
        holder.insert(work.attribute.name.to_string(), Value::Object(parts));
        return Ok(());
    }
    if work.verb != Verb::Remove && parts.values().any(|part| part.as_str() == Some("")) {
        reading.note(Tolerance::BlankValue, work.path)?;
    }
    Ok(())
}

/// Sets or removes one part of an object.
pub(super) fn set(
    work: Work<'_>,
    parts: &mut Parts,
    sub: &Attribute,
    value: Option<Value>,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let Work { verb, attribute, .. } = work;
    if sub.mutability == Mutability::WriteOnly {
        return Ok(());
    }
    let path = format!("{}.{}", attribute.name, sub.name);
    let value = match (verb, value) {
        (Verb::Remove, _) | (_, None) => None,
        (Verb::Add | Verb::Replace, Some(value)) => coerce::attribute(sub, value, &path, reading)?,
    };
    let name = sub.name.as_ref();
    let before = parts.get(name);
    if verb == Verb::Add && value.is_none() || before == value.as_ref() {
        return Ok(());
    }
    if sub.mutability == Mutability::Immutable && before.is_some() {
        return Err(ScimError::mutability(format!("{path}: immutable")));
    }
    if name == "value" && attribute.is_pointer() {
        // The reference belongs to the id that goes.
        parts.remove("$ref");
    }
    match value {
        Some(value) => {
            parts.insert(name.to_owned(), value);
        }
        None => {
            parts.remove(name);
        }
    }
    Ok(())
}

/// `attr`, multi-valued.
pub(super) fn all(
    work: Work<'_>,
    holder: &mut Parts,
    value: Option<Value>,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let Work { verb, attribute, path } = work;
    let value = match (verb, value) {
        (Verb::Remove, None | Some(Value::Null)) => {
            holder.remove(attribute.name.as_ref());
            return Ok(());
        }
        (_, value) => value.unwrap_or(Value::Null),
    };
    let given = coerce::elements(attribute, value, path, reading)?;
    let mut elements = take_elements(holder, attribute);
    match verb {
        Verb::Add => add(&mut elements, attribute, given),
        Verb::Replace => elements = replace(elements, attribute, given),
        // Entra names the members to remove in the value. RFC 7644 knows no value here; taking it as
        // "remove all" would empty the group.
        Verb::Remove => remove_listed(&mut elements, attribute, &given),
    }
    put_elements(holder, attribute, elements);
    Ok(())
}

/// Appends what is not there yet. The same value of the same type is one value (RFC 7643 2.4).
fn add(elements: &mut Vec<Value>, attribute: &Attribute, given: Vec<Value>) {
    let mut places: HashMap<String, usize> =
        elements.iter().enumerate().map(|(index, element)| (place(attribute, element), index)).collect();
    let mut new_primary = None;
    for element in given {
        let key = place(attribute, &element);
        let index = places.get(&key).copied().unwrap_or(elements.len());
        if is_primary(&element) {
            new_primary = Some(index);
        }
        match (elements.get_mut(index), element) {
            (Some(_), _) if attribute.is_pointer() => {}
            (Some(Value::Object(parts)), Value::Object(more)) => parts.extend(more),
            (Some(before), element) => *before = element,
            (None, element) => {
                elements.push(element);
                places.insert(key, index);
            }
        }
    }
    clear_other_primaries(elements, new_primary);
}

/// What makes an added element the same as one that is there.
fn place(attribute: &Attribute, element: &Value) -> String {
    match element.get("value").and_then(Value::as_str) {
        Some(value) if !attribute.is_pointer() => {
            format!("{}\0{value}", element.get("type").and_then(Value::as_str).unwrap_or_default())
        }
        Some(_) | None => identity(attribute, element),
    }
}

/// Puts the given elements in the place of all. What stays keeps its form and, when nothing comes or
/// goes, its order, so that a full push of the same members is no change.
fn replace(elements: Vec<Value>, attribute: &Attribute, given: Vec<Value>) -> Vec<Value> {
    let mut before: HashMap<String, Value> =
        elements.iter().map(|element| (identity(attribute, element), element.clone())).collect();
    if elements.len() == given.len()
        && given.iter().all(|element| before.contains_key(&identity(attribute, element)))
    {
        return elements;
    }
    given
        .into_iter()
        .map(|element| before.remove(&identity(attribute, &element)).unwrap_or(element))
        .collect()
}

/// Removes the elements that have all the parts of a listed one; pointers are told by their id alone.
fn remove_listed(elements: &mut Vec<Value>, attribute: &Attribute, listed: &[Value]) {
    if attribute.is_pointer() {
        let ids: HashSet<String> = listed.iter().map(|element| identity(attribute, element)).collect();
        elements.retain(|element| !ids.contains(&identity(attribute, element)));
        return;
    }
    elements.retain(|element| !listed.iter().any(|listed| has_all_parts(element, listed)));
}

fn has_all_parts(element: &Value, listed: &Value) -> bool {
    match listed {
        Value::Object(parts) => parts.iter().all(|(name, value)| element.get(name) == Some(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            element == listed
        }
    }
}

/// `attr.sub`.
pub(super) fn sub_attribute(
    work: Work<'_>,
    holder: &mut Parts,
    sub: &Attribute,
    value: Option<Value>,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let Work { verb, attribute, path } = work;
    if attribute.multi_valued {
        let mut elements = take_elements(holder, attribute);
        if verb != Verb::Remove && elements.len() > 1 {
            return Err(ScimError::invalid_path(format!(
                "path: '{path}' has more than one value; choose with a filter"
            )));
        }
        if verb != Verb::Remove && elements.is_empty() {
            reading.note(Tolerance::ValuePathUpsert, path)?;
            elements.push(Value::Object(Map::new()));
        }
        let selected = (0..elements.len()).collect();
        set_on(work, &mut elements, selected, &[(sub, value)], reading)?;
        put_elements(holder, attribute, elements);
        return Ok(());
    }
    let mut parts = take_object(holder, attribute);
    set(work, &mut parts, sub, value, reading)?;
    put_object(work, holder, parts, reading)
}

/// Sets or removes parts of the selected elements. An element of which nothing but labels is left goes.
pub(super) fn set_on(
    work: Work<'_>,
    elements: &mut Vec<Value>,
    selected: Vec<usize>,
    given: &[Part<'_>],
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let attribute = work.attribute;
    let is_emptied = given.iter().any(|(_, value)| value.as_ref().and_then(Value::as_str) == Some(""));
    let sets_primary = given.iter().any(|(sub, _)| sub.name == "primary");
    let mut blank = Vec::new();
    let mut new_primary = None;
    for index in selected {
        let Some(Value::Object(parts)) = elements.get_mut(index) else { continue };
        for (sub, value) in given {
            set(work, parts, sub, value.clone(), reading)?;
        }
        if is_blank(attribute, parts) {
            if is_emptied {
                reading.note(Tolerance::BlankValue, work.path)?;
            }
            blank.push(index);
        }
        if sets_primary && parts.get("primary") == Some(&Value::Bool(true)) {
            if new_primary.is_some() {
                return Err(ScimError::invalid_value(format!(
                    "{}.primary: at most one value may be primary",
                    attribute.name
                )));
            }
            new_primary = Some(index);
        }
    }
    clear_other_primaries(elements, new_primary);
    remove_at(elements, &blank);
    Ok(())
}

/// RFC 7644 3.5.2: a new primary value takes the mark from the old one.
pub(super) fn clear_other_primaries(elements: &mut [Value], new_primary: Option<usize>) {
    let Some(new_primary) = new_primary else { return };
    for (index, element) in elements.iter_mut().enumerate() {
        if index != new_primary
            && is_primary(element)
            && let Value::Object(parts) = element
        {
            parts.insert("primary".to_owned(), Value::Bool(false));
        }
    }
}

/// Removes the elements at ascending places.
pub(super) fn remove_at(elements: &mut Vec<Value>, places: &[usize]) {
    let mut index = 0;
    elements.retain(|_| {
        let stays = places.binary_search(&index).is_err();
        index += 1;
        stays
    });
}

fn take_object(holder: &mut Parts, attribute: &Attribute) -> Parts {
    match holder.remove(attribute.name.as_ref()) {
        Some(Value::Object(parts)) => parts,
        Some(_) | None => Map::new(),
    }
}

pub(super) fn take_elements(holder: &mut Parts, attribute: &Attribute) -> Vec<Value> {
    match holder.remove(attribute.name.as_ref()) {
        Some(Value::Array(elements)) => elements,
        Some(element @ (Value::Object(_) | Value::String(_))) => vec![element],
        Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => Vec::new(),
    }
}

pub(super) fn put_elements(holder: &mut Parts, attribute: &Attribute, elements: Vec<Value>) {
    if !elements.is_empty() {
        holder.insert(attribute.name.to_string(), Value::Array(elements));
    }
}
