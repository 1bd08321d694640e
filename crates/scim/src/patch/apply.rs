//! Applying operations: which attribute an operation is about, and whether it may be touched.
//!
//! A path that a client wrote is held to: what it names must exist and be writable. Names inside a
//! value without a path are forgiven as in a POST: unknown and read-only ones are dropped.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{
    attr::{AttrPath, Resolved, known_schema},
    error::ScimError,
    filter::{CompareOp, CompareValue, Filter, check_element},
    json::noun,
    path::PatchPath,
    resource::{Resource, is_writable},
    schema::{Kind, Mutability, ResourceType, Schema},
};

use super::{Op, Patched, Verb, at, values};

type Attributes = Map<String, Value>;

/// Applies the operations in their order, all or none.
///
/// # Errors
/// `invalidPath` for a path that names nothing; `mutability` for a path to what is read-only, for a
/// change of what is immutable and for the removal of what is required; `noTarget` for a replacement
/// whose filter selects nothing; `invalidFilter` for a filter that cannot be evaluated; `invalidValue`
/// for a value of the wrong type. The detail begins with the operation.
pub fn apply(kind: ResourceType, resource: &Resource, operations: &[Op]) -> Result<Patched, ScimError> {
    let mut attributes: Attributes =
        resource.attributes().map(|(name, value)| (name.clone(), value.clone())).collect();
    for (index, operation) in merge_runs(operations) {
        apply_one(kind, &mut attributes, &operation).map_err(|err| at(index, err))?;
    }
    let patched = Resource::finish(kind, attributes)?;
    let changed = patched != *resource;
    Ok(Patched { resource: patched, changed })
}

fn apply_one(kind: ResourceType, attributes: &mut Attributes, operation: &Op) -> Result<(), ScimError> {
    let value = operation.value.clone();
    match &operation.path {
        None => {
            let value = value.unwrap_or(Value::Null);
            let Value::Object(object) = value else {
                let noun = noun(&value);
                return Err(ScimError::invalid_value(format!(
                    "value: expected an object without a path, not {noun}"
                )));
            };
            apply_object(kind, attributes, operation.verb, object)
        }
        Some(PatchPath::Schema(schema)) => apply_schema(kind, attributes, operation.verb, schema, value),
        Some(PatchPath::Attribute { attr, filter }) => {
            let resolved = attr.resolve(kind).ok_or_else(|| {
                ScimError::invalid_path(format!("path: '{attr}' is not an attribute of {kind}"))
            })?;
            if is_schemas(&resolved) && operation.verb != Verb::Remove {
                // `schemas` follows from the attributes; clients that add an extension say it as well.
                return Ok(());
            }
            for attribute in [Some(resolved.attribute), resolved.sub].into_iter().flatten() {
                if attribute.mutability == Mutability::ReadOnly {
                    return Err(ScimError::mutability(format!("path: '{attr}' is readOnly")));
                }
            }
            apply_attribute(attributes, operation.verb, &resolved, filter.as_ref(), value)
        }
    }
}

fn is_schemas(resolved: &Resolved) -> bool {
    resolved.extension.is_none() && resolved.attribute.name == "schemas"
}

/// A value without a path: each member is an operation of its own (RFC 7644 3.5.2.1). Entra writes
/// dotted names and names with a URN.
fn apply_object(
    kind: ResourceType,
    attributes: &mut Attributes,
    verb: Verb,
    object: Map<String, Value>,
) -> Result<(), ScimError> {
    for (name, value) in object {
        match PatchPath::parse(&name) {
            Ok(PatchPath::Schema(schema)) if is_schema_of(kind, schema) => {
                apply_schema(kind, attributes, verb, schema, Some(value))?;
            }
            Ok(PatchPath::Attribute { attr, filter }) => {
                // Okta repeats the `id`; authentik sends the whole group back.
                if let Some(resolved) = attr.resolve(kind)
                    && is_writable(resolved.attribute)
                    && resolved.sub.is_none_or(is_writable)
                {
                    apply_attribute(attributes, verb, &resolved, filter.as_ref(), Some(value))?;
                }
            }
            // A filter that cannot be read is meant for something that we know: dropping it is a loss.
            Err(err) if name.contains('[') => return Err(err),
            Ok(PatchPath::Schema(_)) | Err(_) => {}
        }
    }
    Ok(())
}

fn is_schema_of(kind: ResourceType, schema: &Schema) -> bool {
    kind.schema().is(schema.id) || kind.extensions().iter().any(|extension| extension.is(schema.id))
}

/// The URN of a schema as a path or a name.
fn apply_schema(
    kind: ResourceType,
    attributes: &mut Attributes,
    verb: Verb,
    schema: &'static Schema,
    value: Option<Value>,
) -> Result<(), ScimError> {
    if !is_schema_of(kind, schema) {
        return Err(ScimError::invalid_path(format!("path: '{}' is not a schema of {kind}", schema.id)));
    }
    let is_core = kind.schema().is(schema.id);
    match (verb, value) {
        (Verb::Remove, _) | (Verb::Replace, Some(Value::Null)) if is_core => {
            Err(ScimError::mutability(format!("path: '{}' cannot be removed as a whole", schema.id)))
        }
        (Verb::Remove, _) | (Verb::Replace, Some(Value::Null)) => {
            attributes.remove(schema.id);
            Ok(())
        }
        (Verb::Add, Some(Value::Null)) => Ok(()),
        (Verb::Add | Verb::Replace, Some(Value::Object(object))) => {
            let prefix = known_schema(schema.id).filter(|_| !is_core);
            for (name, value) in object {
                let attr = AttrPath::parse(&name).map(|attr| AttrPath {
                    schema: prefix.map_or(attr.schema, |schema| Some(schema.id.to_owned())),
                    ..attr
                });
                if let Some(resolved) = attr.and_then(|attr| attr.resolve(kind))
                    && is_writable(resolved.attribute)
                    && resolved.sub.is_none_or(is_writable)
                {
                    apply_attribute(attributes, verb, &resolved, None, Some(value))?;
                }
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
    resolved: &Resolved,
    filter: Option<&Filter>,
    value: Option<Value>,
) -> Result<(), ScimError> {
    let attribute = resolved.attribute;
    if attribute.mutability == Mutability::WriteOnly {
        // The password is taken and dropped.
        return Ok(());
    }
    let path = values::path_of(resolved);
    let is_removal = verb == Verb::Remove;
    if is_removal && attribute.required && resolved.sub.is_none() {
        return Err(ScimError::mutability(format!("path: '{path}' is required and cannot be removed")));
    }
    if let Some(filter) = filter {
        if !attribute.multi_valued || attribute.kind != Kind::Complex {
            return Err(ScimError::invalid_path(format!("path: '{path}' has no values to filter")));
        }
        check_element(filter, attribute)?;
    }
    let work = |holder: &mut Attributes| match (filter, resolved.sub) {
        (Some(filter), sub) => values::filtered(holder, verb, attribute, filter, sub, value, &path),
        (None, Some(sub)) => values::sub_attribute(holder, verb, attribute, sub, value, &path),
        (None, None) if attribute.multi_valued => values::all(holder, verb, attribute, value, &path),
        (None, None) => values::one(holder, verb, attribute, value, &path),
    };
    let Some(extension) = resolved.extension else { return work(attributes) };
    let mut parts = match attributes.remove(extension.id) {
        Some(Value::Object(parts)) => parts,
        Some(_) | None => Map::new(),
    };
    work(&mut parts)?;
    if !parts.is_empty() {
        attributes.insert(extension.id.to_owned(), Value::Object(parts));
    }
    Ok(())
}

/// Joins neighbouring operations that add or remove members: authentik sends one operation for each,
/// and a walk through a large group for each of a thousand would be slow. Answers each operation with
/// the index of the first one it stands for.
fn merge_runs(operations: &[Op]) -> Vec<(usize, Cow<'_, Op>)> {
    let mut merged: Vec<(usize, Cow<'_, Op>)> = Vec::with_capacity(operations.len());
    let mut is_run = false;
    for (index, operation) in operations.iter().enumerate() {
        let Some(mut members) = member_values(operation) else {
            merged.push((index, Cow::Borrowed(operation)));
            is_run = false;
            continue;
        };
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
    merged
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
        ) if path.is("value") => Some(vec![Value::String(id.clone())]),
        (Verb::Add | Verb::Remove | Verb::Replace, _, _) => None,
    }
}
