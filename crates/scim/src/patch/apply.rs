//! Applying operations: which attribute an operation is about, and whether it may be touched.
//!
//! A path that a client wrote is held to: what it names must exist and be writable. Names inside a
//! value without a path are forgiven as in a POST: unknown and read-only ones are dropped.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::{
    attr::{AttrPath, Resolved},
    error::ScimError,
    filter::{CompareOp, CompareValue, Filter, check_element},
    json::noun,
    path::PatchPath,
    resource::{Resource, is_writable},
    schema::{Kind, Mutability, Schema},
    schemas::Type,
    tolerance::{Reading, Tolerance},
};

use super::{Op, Patched, Verb, at, selected, values};

type Attributes = Map<String, Value>;

/// Applies the operations in their order, all or none.
///
/// # Errors
/// `invalidPath` for a path that names nothing; `mutability` for a path to what is read-only, for a
/// change of what is immutable and for the removal of what is required; `noTarget` for a replacement
/// whose filter selects nothing; `invalidFilter` for a filter that cannot be evaluated; `invalidValue`
/// for a value of the wrong type. The detail begins with the operation.
pub fn apply<'a>(
    of: impl Into<Type<'a>>,
    resource: &Resource,
    operations: &[Op],
) -> Result<Patched, ScimError> {
    apply_with(of, resource, operations, &mut Reading::lenient())
}

/// As [`apply`], and notes what is tolerated.
///
/// # Errors
/// As [`apply`], and in strict mode for each [`Tolerance`].
pub fn apply_with<'a>(
    of: impl Into<Type<'a>>,
    resource: &Resource,
    operations: &[Op],
    reading: &mut Reading,
) -> Result<Patched, ScimError> {
    let of = of.into();
    let mut attributes: Attributes =
        resource.attributes().map(|(name, value)| (name.clone(), value.clone())).collect();
    for (index, operation) in merge_runs(operations, reading)? {
        apply_one(of, &mut attributes, &operation, reading).map_err(|err| at(index, err))?;
    }
    let patched = Resource::finish(of, attributes)?;
    let changed = patched != *resource;
    Ok(Patched { resource: patched, changed })
}

fn apply_one(
    of: Type<'_>,
    attributes: &mut Attributes,
    operation: &Op,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let value = operation.value.clone();
    let Some(path) = &operation.path else {
        let value = value.unwrap_or(Value::Null);
        let Value::Object(object) = value else {
            let noun = noun(&value);
            return Err(ScimError::invalid_value(format!(
                "value: expected an object without a path, not {noun}"
            )));
        };
        return apply_object(of, attributes, operation.verb, object, reading);
    };
    if let Some(schema) = path.schema(of) {
        return apply_schema(of, attributes, operation.verb, schema, value, reading);
    }
    let PatchPath::Attribute { attr, filter } = path else {
        return Err(ScimError::invalid_path(format!("path: '{path}' is not a schema of {}", of.kind)));
    };
    let resolved = attr.resolve(of).ok_or_else(|| {
        ScimError::invalid_path(format!("path: '{attr}' is not an attribute of {}", of.kind))
    })?;
    if is_schemas(&resolved) && operation.verb != Verb::Remove {
        // `schemas` follows from the attributes; clients that add an extension say it as well.
        return reading.note(Tolerance::SchemasInPatch, "path");
    }
    for attribute in [Some(resolved.attribute), resolved.sub].into_iter().flatten() {
        if attribute.mutability == Mutability::ReadOnly {
            return Err(ScimError::mutability(format!("path: '{attr}' is readOnly")));
        }
    }
    apply_attribute(attributes, operation.verb, &resolved, filter.as_ref(), value, reading)
}

fn is_schemas(resolved: &Resolved<'_>) -> bool {
    resolved.extension.is_none() && resolved.attribute.name == "schemas"
}

/// A value without a path: each member is an operation of its own (RFC 7644 3.5.2.1). Entra writes
/// dotted names and names with a URN.
fn apply_object(
    of: Type<'_>,
    attributes: &mut Attributes,
    verb: Verb,
    object: Map<String, Value>,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    for (name, value) in object {
        let path = match PatchPath::read(&name, reading) {
            Ok(path) => path,
            // A filter that cannot be read is meant for something that we know: dropping it is a loss.
            Err(err) if name.contains('[') => return Err(err),
            Err(_) => {
                reading.note(Tolerance::UnknownAttribute, &name)?;
                continue;
            }
        };
        if let Some(schema) = path.schema(of) {
            if schema.is(&of.schema().id) {
                reading.note(Tolerance::UrnName, &name)?;
            }
            apply_schema(of, attributes, verb, schema, Some(value), reading)?;
            continue;
        }
        let named = match &path {
            PatchPath::Attribute { attr, filter } => {
                attr.resolve(of).map(|resolved| (attr, filter.as_ref(), resolved))
            }
            PatchPath::Schema(_) => None,
        };
        let Some((attr, filter, resolved)) = named else {
            reading.note(Tolerance::UnknownAttribute, &name)?;
            continue;
        };
        if attr.schema.is_some() {
            reading.note(Tolerance::UrnName, &name)?;
        }
        if attr.sub.is_some() || filter.is_some() {
            reading.note(Tolerance::DottedName, &name)?;
        }
        apply_named(attributes, verb, &resolved, filter, value, reading)?;
    }
    Ok(())
}

/// An attribute that a value names. What is read-only there is not an order to change it: Okta repeats
/// the `id`; authentik sends the whole group back.
fn apply_named(
    attributes: &mut Attributes,
    verb: Verb,
    resolved: &Resolved<'_>,
    filter: Option<&Filter>,
    value: Value,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let is_read_only = [Some(resolved.attribute), resolved.sub]
        .into_iter()
        .flatten()
        .any(|attribute| attribute.mutability == Mutability::ReadOnly);
    if is_read_only {
        if is_schemas(resolved) {
            // A whole resource says its schemas too.
            return Ok(());
        }
        let is_id = resolved.extension.is_none() && resolved.attribute.name == "id";
        let tolerance = if is_id { Tolerance::IdInPatch } else { Tolerance::ReadOnlyInPatch };
        return reading.note(tolerance, &resolved.canonical());
    }
    apply_attribute(attributes, verb, resolved, filter, Some(value), reading)
}

/// The URN of a schema as a path or a name.
fn apply_schema(
    of: Type<'_>,
    attributes: &mut Attributes,
    verb: Verb,
    schema: &Schema,
    value: Option<Value>,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let is_core = schema.is(&of.schema().id);
    match (verb, value) {
        (Verb::Remove, _) | (Verb::Replace, Some(Value::Null)) if is_core => {
            Err(ScimError::mutability(format!("path: '{}' cannot be removed as a whole", schema.id)))
        }
        (Verb::Remove, _) | (Verb::Replace, Some(Value::Null)) => {
            let holds_immutable = attributes
                .get(schema.id.as_ref())
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter_map(|(name, _)| schema.attribute(name))
                .find(|attribute| attribute.mutability == Mutability::Immutable);
            if let Some(attribute) = holds_immutable {
                return Err(ScimError::mutability(format!("{}:{}: immutable", schema.id, attribute.name)));
            }
            attributes.remove(schema.id.as_ref());
            Ok(())
        }
        (Verb::Add, Some(Value::Null)) => Ok(()),
        (Verb::Add | Verb::Replace, Some(Value::Object(object))) => {
            for (name, value) in object {
                let attr = AttrPath::parse(&name).map(|attr| AttrPath {
                    schema: if is_core { attr.schema } else { Some(schema.id.to_string()) },
                    ..attr
                });
                let Some(resolved) = attr.as_ref().and_then(|attr| attr.resolve(of)) else {
                    reading.note(Tolerance::UnknownAttribute, &format!("{}:{name}", schema.id))?;
                    continue;
                };
                if resolved.sub.is_some() {
                    reading.note(Tolerance::DottedName, &name)?;
                }
                apply_named(attributes, verb, &resolved, None, value, reading)?;
            }
            Ok(())
        }
        (Verb::Add | Verb::Replace, value) => {
            let noun = value.as_ref().map_or("nothing", noun);
            Err(ScimError::invalid_value(format!("{}: expected an object, not {noun}", schema.id)))
        }
    }
}

/// One operation on one attribute.
fn apply_attribute(
    attributes: &mut Attributes,
    verb: Verb,
    resolved: &Resolved<'_>,
    filter: Option<&Filter>,
    value: Option<Value>,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let attribute = resolved.attribute;
    let path = &resolved.canonical();
    if !is_writable(attribute) {
        // What is only written is taken and dropped: the password.
        return reading.note(Tolerance::PasswordSent, path);
    }
    let is_removal = verb == Verb::Remove;
    if is_removal && attribute.required && resolved.sub.is_none() {
        return Err(ScimError::mutability(format!("path: '{path}' is required and cannot be removed")));
    }
    if let Some(filter) = filter {
        if !attribute.multi_valued || attribute.kind != Kind::Complex {
            return Err(ScimError::invalid_path(format!("path: '{path}' has no values to filter")));
        }
        check_element(filter, attribute, reading)?;
    }
    let work = values::Work { verb, attribute, path };
    let mut parts = Map::new();
    let holder = match resolved.extension {
        Some(extension) => {
            if let Some(Value::Object(before)) = attributes.remove(extension.id.as_ref()) {
                parts = before;
            }
            &mut parts
        }
        None => &mut *attributes,
    };
    // RFC 7643 7: what is immutable is set once.
    let is_immutable = attribute.mutability == Mutability::Immutable;
    let before = if is_immutable { holder.get(attribute.name.as_ref()).cloned() } else { None };
    match (filter, resolved.sub) {
        (Some(filter), sub) => selected::filtered(work, holder, filter, sub, value, reading),
        (None, Some(sub)) => values::sub_attribute(work, holder, sub, value, reading),
        (None, None) if attribute.multi_valued => values::all(work, holder, value, reading),
        (None, None) => values::one(work, holder, value, reading),
    }?;
    if before.is_some() && holder.get(attribute.name.as_ref()) != before.as_ref() {
        return Err(ScimError::mutability(format!("{path}: immutable")));
    }
    if let (Some(extension), false) = (resolved.extension, parts.is_empty()) {
        attributes.insert(extension.id.to_string(), Value::Object(parts));
    }
    Ok(())
}

/// Joins neighbouring operations that add or remove members: authentik sends one operation for each,
/// and a walk through a large group for each of a thousand would be slow. Answers each operation with
/// the index of the first one it stands for.
///
/// # Errors
/// In strict mode for a single value in the place of a list.
fn merge_runs<'a>(
    operations: &'a [Op],
    reading: &mut Reading,
) -> Result<Vec<(usize, Cow<'a, Op>)>, ScimError> {
    let mut merged: Vec<(usize, Cow<'_, Op>)> = Vec::with_capacity(operations.len());
    let mut is_run = false;
    for (index, operation) in operations.iter().enumerate() {
        let Some(mut members) = member_values(operation) else {
            merged.push((index, Cow::Borrowed(operation)));
            is_run = false;
            continue;
        };
        if matches!(operation.value, Some(Value::Object(_) | Value::String(_))) {
            reading.note(Tolerance::SingleForList, "members").map_err(|err| at(index, err))?;
        }
        if is_run
            && let Some((_, Cow::Owned(Op { verb, value: Some(Value::Array(before)), .. }))) =
                merged.last_mut()
            && *verb == operation.verb
        {
            before.append(&mut members);
        } else {
            let value = Some(Value::Array(members));
            merged.push((index, Cow::Owned(Op { verb: operation.verb, path: Some(members_path()), value })));
        }
        is_run = true;
    }
    Ok(merged)
}

fn members_path() -> PatchPath {
    let attr = AttrPath { schema: None, name: "members".to_owned(), sub: None };
    PatchPath::Attribute { attr, filter: None }
}

/// The members that an operation adds or removes, when it is of that plain form: `add` or `remove` on
/// `members` with values, or `remove` on `members[value eq "…"]`.
fn member_values(operation: &Op) -> Option<Vec<Value>> {
    let Some(PatchPath::Attribute { attr, filter }) = &operation.path else { return None };
    if !attr.is("members") {
        return None;
    }
    match (operation.verb, filter, &operation.value) {
        (Verb::Add | Verb::Remove, None, Some(Value::Array(items))) => Some(items.clone()),
        (Verb::Add | Verb::Remove, None, Some(item @ (Value::Object(_) | Value::String(_)))) => {
            Some(vec![item.clone()])
        }
        (
            Verb::Remove,
            Some(Filter::Compare { path, op: CompareOp::Eq, value: CompareValue::String(id) }),
            None | Some(Value::Null),
        ) if path.is("value") => Some(vec![json!({ "value": id })]),
        (Verb::Add | Verb::Remove | Verb::Replace, _, _) => None,
    }
}
