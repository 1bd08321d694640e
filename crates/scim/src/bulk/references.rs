//! `bulkId:` references inside the body of an operation.
//!
//! A reference is a string that is nothing but `bulkId:` and a name, wherever it stands as a value.
//! Walks keep their own stack, so that no nesting reaches that of the thread.

use serde_json::{Map, Value};

use crate::schema::ResourceType;

use super::REFERENCE;

/// The schema that the manager of a user belongs to.
const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// The name in a reference.
fn name_in(text: &str) -> Option<&str> {
    text.strip_prefix(REFERENCE)
}

/// Calls `found` with every name that a value refers to, in no certain order.
pub(super) fn each<'a>(value: &'a Value, mut found: impl FnMut(&'a str)) {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => {
                if let Some(name) = name_in(text) {
                    found(name);
                }
            }
            Value::Array(items) => open.extend(items),
            Value::Object(object) => open.extend(object.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Whether a value refers to something for which `is_it` holds.
pub(super) fn any(value: &Value, is_it: impl Fn(&str) -> bool) -> bool {
    let mut found = false;
    each(value, |name| found = found || is_it(name));
    found
}

/// Puts ids in the place of references.
pub(super) fn replace<'a>(value: &mut Value, id_of: impl Fn(&str) -> Option<&'a str>) {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => {
                if let Some(id) = name_in(text).and_then(&id_of) {
                    *text = id.to_owned();
                }
            }
            Value::Array(items) => open.extend(items),
            Value::Object(object) => open.extend(object.values_mut()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The parts of a new resource that can come later: the members of a group, the manager of a user.
///
/// Calls `is_taken` with each; what it answers with true is taken out and given back.
pub(super) fn take_deferrable(
    kind: ResourceType,
    data: &mut Value,
    mut is_taken: impl FnMut(&Value) -> bool,
) -> Vec<Value> {
    let Value::Object(object) = data else { return Vec::new() };
    let (holder, name) = match kind {
        ResourceType::Group => (Some(object), "members"),
        ResourceType::User => {
            let extension = key_of(object, ENTERPRISE_URN);
            let extension = extension.and_then(|key| object.get_mut(&key)).and_then(Value::as_object_mut);
            (extension, "manager")
        }
    };
    let Some((holder, key)) = holder.and_then(|holder| key_of(holder, name).map(|key| (holder, key))) else {
        return Vec::new();
    };
    if let Some(Value::Array(items)) = holder.get_mut(&key) {
        let (taken, kept): (Vec<_>, Vec<_>) = std::mem::take(items).into_iter().partition(&mut is_taken);
        *items = kept;
        return taken;
    }
    if holder.get(&key).is_some_and(is_taken) {
        holder.remove(&key).into_iter().collect()
    } else {
        Vec::new()
    }
}

/// The key of an object that is this name in any case.
fn key_of(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()
}

/// The PATCH that adds what was taken out.
pub(super) fn completion(kind: ResourceType, mut parts: Vec<Value>) -> Value {
    let (path, value) = match kind {
        ResourceType::Group => ("members".to_owned(), Value::Array(parts)),
        ResourceType::User => (format!("{ENTERPRISE_URN}:manager"), parts.pop().unwrap_or(Value::Null)),
    };
    serde_json::json!({
        "schemas": [crate::patch::PATCH_URN],
        "Operations": [{"op": "add", "path": path, "value": value}],
    })
}
