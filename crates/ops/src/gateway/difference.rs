//! What a PUT says, told as a PATCH, for an upstream that knows no PUT: what differs between the
//! resource as it is there and as it should be.
//!
//! Only what the schemas know and a client may set is compared, as in a PUT of ours: what an upstream
//! keeps beside the schemas stays. What the provider leaves out is taken away, but for true and false:
//! the standard leaves their default to the server (RFC 7644 3.5.1), and nobody is let in again because
//! `active` was not said.

use scim::{Attribute, Kind, Mutability, Schema, Type, schema::COMMON};
use serde_json::{Map, Value, json};

use super::patch;

/// The operations that bring a resource from how it is to how it is wanted; none when it is so.
/// `by_values` names removed members in the value instead of a filter.
pub(super) fn difference(of: Type<'_>, now: &Value, wanted: &Value, by_values: bool) -> Vec<Value> {
    let mut ops = Vec::new();
    let core = COMMON.iter().chain(of.schema().attributes.iter());
    for attribute in core.filter(|attribute| attribute.mutability != Mutability::ReadOnly) {
        let name = attribute.name.as_ref();
        let (before, after) = (part(now, name), part(wanted, name));
        if name == "members" && attribute.multi_valued {
            members(before, after, by_values, &mut ops);
        } else if attribute.kind == Kind::Complex && !attribute.multi_valued {
            complex(attribute, before, after, &mut ops);
        } else {
            whole(attribute, name, before, after, &mut ops);
        }
    }
    for extension in of.extensions() {
        extended(extension, part(now, &extension.id), part(wanted, &extension.id), &mut ops);
    }
    ops
}

/// A part by its name in any case (RFC 7643 2.1), unless it is empty.
fn part<'v>(resource: &'v Value, name: &str) -> Option<&'v Value> {
    let found = resource.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).filter(|value| !is_nothing(value))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn whole(
    attribute: &Attribute,
    path: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    ops: &mut Vec<Value>,
) {
    match (before, after) {
        (None, Some(value)) => ops.push(json!({ "op": "add", "path": path, "value": value })),
        (Some(_), None) if attribute.kind != Kind::Boolean && !attribute.required => {
            ops.push(json!({ "op": "remove", "path": path }));
        }
        (Some(before), Some(after)) if !is_same(attribute, before, after) => {
            ops.push(json!({ "op": "replace", "path": path, "value": after }));
        }
        (Some(_) | None, _) => {}
    }
}

/// A replacement of an object is understood as one of what it names (RFC 7644 3.5.2.3), so its parts
/// are compared one by one.
fn complex(attribute: &Attribute, before: Option<&Value>, after: Option<&Value>, ops: &mut Vec<Value>) {
    let (Some(before), Some(after)) = (before, after) else {
        return whole(attribute, &attribute.name, before, after, ops);
    };
    for sub in attribute.sub_attributes.iter().filter(|sub| sub.mutability != Mutability::ReadOnly) {
        let path = format!("{}.{}", attribute.name, sub.name);
        whole(sub, &path, part(before, &sub.name), part(after, &sub.name), ops);
    }
}

fn extended(extension: &Schema, before: Option<&Value>, after: Option<&Value>, ops: &mut Vec<Value>) {
    let of = |holder: Option<&'_ Value>, name: &str| holder.and_then(|holder| part(holder, name).cloned());
    for attribute in extension.attributes.iter().filter(|own| own.mutability != Mutability::ReadOnly) {
        let path = format!("{}:{}", extension.id, attribute.name);
        let (before, after) = (of(before, &attribute.name), of(after, &attribute.name));
        whole(attribute, &path, before.as_ref(), after.as_ref(), ops);
    }
}

fn members(before: Option<&Value>, after: Option<&Value>, by_values: bool, ops: &mut Vec<Value>) {
    let (before, after) = (ids_of(before), ids_of(after));
    let gone: Vec<String> = before.iter().filter(|id| !after.contains(*id)).cloned().collect();
    let come: Vec<Value> =
        after.iter().filter(|id| !before.contains(*id)).map(|id| json!({ "value": id })).collect();
    if after.is_empty() && !gone.is_empty() {
        ops.push(json!({ "op": "remove", "path": "members" }));
    } else {
        ops.extend(patch::removals(gone, by_values));
    }
    if !come.is_empty() {
        ops.push(json!({ "op": "add", "path": "members", "value": come }));
    }
}

fn ids_of(members: Option<&Value>) -> std::collections::BTreeSet<String> {
    let members = members.and_then(Value::as_array).into_iter().flatten();
    let id = |member: &Value| match member.get("value")? {
        Value::String(id) => Some(id.clone()),
        // Some services count.
        Value::Number(id) => Some(id.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    members.filter_map(id).collect()
}

/// Whether two values are the same to a client: the order of several does not count, nor does what the
/// server adds.
fn is_same(attribute: &Attribute, before: &Value, after: &Value) -> bool {
    let all = |value: &Value| {
        let items = match value {
            Value::Array(items) => items.clone(),
            one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                vec![one.clone()]
            }
        };
        let mut items: Vec<String> =
            items.into_iter().map(|item| settable(attribute, item).to_string()).collect();
        items.sort_unstable();
        items
    };
    all(before) == all(after)
}

/// The parts of a value that a client sets, in one order.
fn settable(attribute: &Attribute, value: Value) -> Value {
    let Value::Object(parts) = value else { return value };
    let is_set = |name: &str, value: &Value| {
        let sub = attribute.sub_attribute(name);
        let is_secondary = name.eq_ignore_ascii_case("primary") && value == &Value::Bool(false);
        let is_ours = !name.starts_with('$') && sub.is_some_and(|sub| sub.mutability != Mutability::ReadOnly);
        is_ours && !is_secondary && !value.is_null()
    };
    let mut kept: Vec<(String, Value)> =
        parts.into_iter().filter(|(name, value)| is_set(name, value)).collect();
    kept.sort_by(|(a, _), (b, _)| a.cmp(b));
    Value::Object(kept.into_iter().collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use scim::ResourceType;

    use super::*;

    const ENT: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn check(kind: ResourceType, now: &Value, wanted: &Value, expect: &Value) {
        assert_eq!(&json!(difference(kind.into(), now, wanted, false)), expect);
    }

    #[test]
    fn what_is_as_it_should_be_needs_no_operation() {
        let now = json!({
            "id": "7", "userName": "mia", "active": true, "shoeSize": 38, "meta": { "version": "1" },
            "groups": [{ "value": "9" }], "emails": [
                { "value": "a@x", "type": "work", "primary": true }, { "value": "b@x", "primary": false },
            ],
            ENT: { "manager": { "value": "8", "displayName": "Tom", "$ref": "https://up/Users/8" } },
        });
        let wanted = json!({
            "id": "7", "userName": "mia",
            "emails": [{ "value": "b@x" }, { "primary": true, "type": "work", "value": "a@x" }],
            ENT: { "manager": { "value": "8" } },
        });
        check(ResourceType::User, &now, &wanted, &json!([]));
    }

    #[test]
    fn what_differs_is_added_replaced_and_removed() {
        let now = json!({
            "userName": "mia", "externalId": "x", "title": "Lead", "active": true,
            "name": { "givenName": "Mia", "middleName": "B" }, "emails": [{ "value": "a@x" }],
            ENT: { "department": "D", "costCenter": "C" },
        });
        let wanted = json!({
            "userName": "mia2", "externalId": "x", "nickName": "M", "active": false,
            "name": { "givenName": "Mia", "familyName": "Berg" }, ENT: { "department": "E" },
        });
        let ops = difference(ResourceType::User.into(), &now, &wanted, false);
        let ops: Vec<String> = ops
            .iter()
            .map(|op| {
                let value = op.get("value").map(Value::to_string).unwrap_or_default();
                format!("{} {} {value}", op["op"].as_str().unwrap(), op["path"].as_str().unwrap())
            })
            .collect();
        assert_eq!(
            ops,
            [
                "replace userName \"mia2\"".to_owned(),
                "add name.familyName \"Berg\"".to_owned(),
                "remove name.middleName ".to_owned(),
                "add nickName \"M\"".to_owned(),
                "remove title ".to_owned(),
                "replace active false".to_owned(),
                "remove emails ".to_owned(),
                format!("remove {ENT}:costCenter "),
                format!("replace {ENT}:department \"E\""),
            ]
        );
    }

    #[test]
    fn members_come_and_go_one_by_one() {
        let group = |ids: &[&str]| {
            let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id, "type": "User" })).collect();
            json!({ "displayName": "Team", "members": members })
        };
        check(
            ResourceType::Group,
            &group(&["1", "2"]),
            &group(&["2", "3"]),
            &json!([
                { "op": "remove", "path": "members[value eq \"1\"]" },
                { "op": "add", "path": "members", "value": [{ "value": "3" }] },
            ]),
        );
        check(
            ResourceType::Group,
            &group(&["1"]),
            &group(&[]),
            &json!([{ "op": "remove", "path": "members" }]),
        );
        let ops = difference(ResourceType::Group.into(), &group(&["1", "2", "3"]), &group(&["3"]), true);
        assert_eq!(
            json!(ops),
            json!([{ "op": "remove", "path": "members", "value": [{ "value": "1" }, { "value": "2" }] }])
        );
    }
}
