//! Changes of members without the members: what a PATCH of a large group really says.
//!
//! A group of 100,000 members takes a PATCH of one without being read. [`member_delta`] answers when
//! all that a PATCH does is to add and remove members by their ids; anything else, and anything that
//! [`apply`](super::apply) would refuse, is left to it.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::{
    attr::AttrPath,
    coerce,
    filter::{CompareOp, CompareValue, Filter},
    path::PatchPath,
    schema::{Attribute, GROUP},
    tolerance::Reading,
};

use super::{Op, Verb};

/// The members that a PATCH adds and removes: no id is in both, and none is there twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberDelta {
    /// The ids of those that are members afterwards.
    pub add: Vec<String>,
    /// The ids of those that are not.
    pub remove: Vec<String>,
}

/// What a PATCH of a group does to its members, when that is all that it does: each operation adds
/// members, or removes members that it names. Of several operations on one id the last one counts.
pub fn member_delta(operations: &[Op]) -> Option<MemberDelta> {
    member_delta_with(operations, &mut Reading::lenient())
}

/// As [`member_delta`], and notes what is tolerated. None also where strict mode refuses something:
/// [`apply_with`](super::apply_with) then says what.
pub fn member_delta_with(operations: &[Op], reading: &mut Reading) -> Option<MemberDelta> {
    let members = GROUP.attribute("members")?;
    let mut own = *reading;
    let mut ids = Vec::new();
    let mut is_added: HashMap<String, bool> = HashMap::new();
    for operation in operations {
        for id in named_members(operation, members, &mut own)? {
            if is_added.insert(id.clone(), operation.verb == Verb::Add).is_none() {
                ids.push(id);
            }
        }
    }
    *reading = own;
    let (add, remove) = ids.into_iter().partition(|id| is_added.get(id) == Some(&true));
    Some(MemberDelta { add, remove })
}

/// The ids that an operation adds or removes; none when it does something else.
fn named_members(operation: &Op, members: &Attribute, reading: &mut Reading) -> Option<Vec<String>> {
    let value = match (operation.verb, &operation.path, &operation.value) {
        (Verb::Add | Verb::Remove, Some(path), Some(value)) if is_members(path) && !value.is_null() => value,
        // A path-less `add` of nothing but members.
        (Verb::Add, None, Some(Value::Object(object))) => only_members(object)?,
        (
            Verb::Remove,
            Some(PatchPath::Attribute { attr, filter: Some(filter) }),
            None | Some(Value::Null),
        ) if attr.is("members") => return filtered_members(filter),
        (Verb::Add | Verb::Remove | Verb::Replace, _, _) => return None,
    };
    let elements = coerce::elements(members, value.clone(), "members", reading).ok()?;
    let ids = elements.iter().map(|element| element.get("value").and_then(Value::as_str).map(str::to_owned));
    ids.collect()
}

fn is_members(path: &PatchPath) -> bool {
    match path {
        PatchPath::Attribute { attr, filter: None } => attr.is("members"),
        PatchPath::Attribute { .. } | PatchPath::Schema(_) => false,
    }
}

fn only_members(object: &Map<String, Value>) -> Option<&Value> {
    let mut entries = object.iter();
    let (name, value) = entries.next()?;
    // With its URN or a dot it is `apply` that knows what is tolerated.
    (name.eq_ignore_ascii_case("members") && entries.next().is_none() && !value.is_null()).then_some(value)
}

/// `value eq "…"`, or an `or` of nothing else.
fn filtered_members(filter: &Filter) -> Option<Vec<String>> {
    let parts = match filter {
        Filter::Or(parts) => parts.as_slice(),
        Filter::Compare { .. }
        | Filter::Present(_)
        | Filter::And(_)
        | Filter::Not(_)
        | Filter::Value { .. } => std::slice::from_ref(filter),
    };
    let ids = parts.iter().map(|part| match part {
        Filter::Compare { path, op: CompareOp::Eq, value: CompareValue::String(id) }
            if path.is("value") && !id.is_empty() =>
        {
            Some(id.clone())
        }
        Filter::Compare { .. }
        | Filter::Present(_)
        | Filter::And(_)
        | Filter::Or(_)
        | Filter::Not(_)
        | Filter::Value { .. } => None,
    });
    ids.collect()
}

/// Whether any operation reads or changes members, so that they must be there for
/// [`apply`](super::apply). In doubt they must.
pub fn touches_members(operations: &[Op]) -> bool {
    operations.iter().any(|operation| match (&operation.path, &operation.value) {
        (Some(path), _) => leads_to_members(path),
        (None, Some(Value::Object(object))) => object.keys().any(|name| {
            PatchPath::parse(name).map_or_else(|_| name.contains('['), |path| leads_to_members(&path))
        }),
        (None, _) => false,
    })
}

fn leads_to_members(path: &PatchPath) -> bool {
    match path {
        PatchPath::Schema(urn) => GROUP.is(urn),
        PatchPath::Attribute { attr: AttrPath { schema, name, .. }, .. } => {
            name.eq_ignore_ascii_case("members") && schema.as_deref().is_none_or(|urn| GROUP.is(urn))
        }
    }
}
