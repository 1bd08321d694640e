//! What a request wants of a group: of its attributes, and of its members, apart from each other.
//!
//! A group may have more members than any request should read. Operations that name the members
//! that join and leave become a [`Members::Delta`]; only what looks at the members that are there,
//! such as `members[display eq "x"]`, needs them all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::scopes::ResourceKind;
use scim::{
    CompareOp, CompareValue, Filter, Op, PatchPath, Reading, Resource, ResourceType, ScimError, Tolerance,
    Tolerances, Verb,
};
use serde_json::{Map, Value};

use crate::{
    Cx, ScimClient,
    directory::{Becomes, Edit},
};

/// What a request wants of a group.
#[derive(Clone)]
pub(super) struct Wanted {
    /// Of its attributes; `None` when it says nothing about them.
    pub edit: Option<Arc<Edit>>,
    /// Of its members.
    pub members: Members,
    /// What was understood of these although no standard says so.
    pub tolerated: Tolerances,
}

/// What a request wants of the members of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Members {
    /// Nothing.
    Untouched,
    /// That these join and those leave, whoever else is in it.
    Delta { joining: Vec<String>, leaving: Vec<String> },
    /// That these are in it and nobody else.
    Exactly(BTreeSet<String>),
    /// What the edit makes of those that are in it.
    Computed,
}

impl Wanted {
    /// PUT.
    pub fn replace(cx: &Cx<ScimClient>, mut resource: Resource) -> Self {
        let members: BTreeSet<String> =
            resource.take_members().into_iter().map(|member| member.value).collect();
        let edit = Some(Arc::new(Edit::of(cx, Becomes::This(resource))));
        // What may not be written and is not mentioned stays.
        let stays = members.is_empty() && !cx.actor.scope.may_write(ResourceKind::Groups, "members");
        let members = if stays { Members::Untouched } else { Members::Exactly(members) };
        Self { edit, members, tolerated: Tolerances::NONE }
    }

    /// PATCH.
    ///
    /// # Errors
    /// In strict mode for a form of a member that no standard has.
    pub fn patch(cx: &Cx<ScimClient>, operations: Vec<Op>) -> Result<Self, ScimError> {
        let (rest, members, tolerated) = apart(operations, cx.actor.federation.scim.strict)?;
        let edit = (!rest.is_empty()).then(|| Arc::new(Edit::of(cx, Becomes::Patched(rest))));
        Ok(Self { edit, members, tolerated })
    }
}

/// Takes operations apart: those on attributes, what they want of the members, and what was
/// tolerated of that.
fn apart(operations: Vec<Op>, strict: bool) -> Result<(Vec<Op>, Members, Tolerances), ScimError> {
    let mut reading = Reading::new(strict);
    let mut named = Named::default();
    let mut rest = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        match part(operation) {
            Some(Part::Others) => rest.push(operation.clone()),
            Some(Part::Members(verb, ids, met)) => {
                note(&mut reading, met, index)?;
                named.apply(verb, ids);
            }
            Some(Part::Both(verb, ids, met, others)) => {
                note(&mut reading, met, index)?;
                named.apply(verb, ids);
                rest.push(*others);
            }
            None => return Ok((operations, Members::Computed, Tolerances::NONE)),
        }
    }
    Ok((rest, named.into_members(), reading.seen))
}

fn note(reading: &mut Reading, met: Tolerances, index: usize) -> Result<(), ScimError> {
    met.iter().try_for_each(|tolerance| reading.note(tolerance, &format!("Operations[{index}]: members")))
}

/// The members that operations have named so far.
#[derive(Default)]
struct Named {
    /// Whether those from before are gone.
    is_reset: bool,
    /// Whether each is in it afterwards.
    stays: BTreeMap<String, bool>,
}

impl Named {
    fn apply(&mut self, verb: Verb, ids: Vec<String>) {
        if verb == Verb::Replace {
            self.is_reset = true;
            self.stays.clear();
        }
        self.stays.extend(ids.into_iter().map(|id| (id, verb != Verb::Remove)));
    }

    fn into_members(self) -> Members {
        let (joining, leaving): (Vec<_>, Vec<_>) = self.stays.into_iter().partition(|(_, stays)| *stays);
        let joining = joining.into_iter().map(|(id, _)| id);
        if self.is_reset {
            return Members::Exactly(joining.collect());
        }
        let (joining, leaving) =
            (joining.collect::<Vec<_>>(), leaving.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
        if joining.is_empty() && leaving.is_empty() {
            Members::Untouched
        } else {
            Members::Delta { joining, leaving }
        }
    }
}

/// What one operation is about.
enum Part {
    /// Attributes only.
    Others,
    /// Members only.
    Members(Verb, Vec<String>, Tolerances),
    /// An object without a path that names members beside other attributes.
    Both(Verb, Vec<String>, Tolerances, Box<Op>),
}

/// Takes an operation apart; `None` when it has to see the members that are there, or says about
/// them what is no list of ids, so that the engine has to judge it.
fn part(operation: &Op) -> Option<Part> {
    let Op { verb, path, value } = operation;
    match path {
        Some(PatchPath::Attribute { attr, filter }) if attr.name.eq_ignore_ascii_case("members") => {
            if !attr.is("members") {
                return None;
            }
            match (verb, filter) {
                (Verb::Remove, None) if value.as_ref().is_none_or(Value::is_null) => {
                    Some(Part::Members(Verb::Replace, Vec::new(), Tolerances::NONE))
                }
                (_, None) => {
                    let (ids, met) = ids(value.as_ref()?)?;
                    Some(Part::Members(*verb, ids, met))
                }
                (
                    Verb::Remove,
                    Some(Filter::Compare { path, op: CompareOp::Eq, value: CompareValue::String(id) }),
                ) if path.is("value") && value.as_ref().is_none_or(Value::is_null) => {
                    Some(Part::Members(Verb::Remove, vec![id.clone()], Tolerances::NONE))
                }
                (Verb::Add | Verb::Remove | Verb::Replace, Some(_)) => None,
            }
        }
        Some(PatchPath::Attribute { .. }) => Some(Part::Others),
        Some(PatchPath::Schema(_)) | None => match value {
            Some(Value::Object(object)) => part_of_object(operation, object),
            _ => Some(Part::Others),
        },
    }
}

fn part_of_object(operation: &Op, object: &Map<String, Value>) -> Option<Part> {
    let mut named = object.iter().filter(|(name, _)| names_members(name));
    let Some((name, value)) = named.next() else { return Some(Part::Others) };
    // A name with a URN, a dot or a bracket, and a second one: the engine knows.
    if named.next().is_some() || !name.eq_ignore_ascii_case("members") || operation.path.is_some() {
        return None;
    }
    let (ids, met) = ids(value)?;
    let others: Map<String, Value> =
        object.iter().filter(|(other, _)| *other != name).map(|(n, v)| (n.clone(), v.clone())).collect();
    if others.is_empty() {
        return Some(Part::Members(operation.verb, ids, met));
    }
    let others = Op { value: Some(Value::Object(others)), ..operation.clone() };
    Some(Part::Both(operation.verb, ids, met, Box::new(others)))
}

fn names_members(name: &str) -> bool {
    name.to_ascii_lowercase().contains("members")
}

/// The ids in a value, in any of the forms that providers write; `None` when it is something else.
fn ids(value: &Value) -> Option<(Vec<String>, Tolerances)> {
    let mut met = Tolerances::NONE;
    let mut ids = Vec::new();
    let items = match value {
        Value::Null => &[],
        Value::Array(items) => items.as_slice(),
        Value::Object(_) | Value::String(_) => {
            met.insert(Tolerance::SingleForList);
            std::slice::from_ref(value)
        }
        Value::Bool(_) | Value::Number(_) => return None,
    };
    for item in items.iter().filter(|item| !item.is_null()) {
        ids.push(id(item, &mut met)?.to_owned());
    }
    Some((ids, met))
}

fn id<'a>(value: &'a Value, met: &mut Tolerances) -> Option<&'a str> {
    let text = match value {
        Value::String(text) => {
            met.insert(Tolerance::BareReference);
            text.as_str()
        }
        Value::Object(parts) => {
            let (mut found, mut kind) = (None, None);
            for (name, value) in parts {
                if name.eq_ignore_ascii_case("value") && found.replace(value).is_some() {
                    return None;
                }
                if name.eq_ignore_ascii_case("type") {
                    kind = value.as_str();
                }
            }
            if kind.is_some_and(|kind| {
                ResourceType::ALL.iter().all(|own| !own.name().eq_ignore_ascii_case(kind))
            }) {
                met.insert(Tolerance::MemberType);
            }
            found?.as_str()?
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return None,
    };
    (!text.is_empty() && !text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "it is written on the spot")]
    fn check(operations: Value, members: &Members, has_edit: bool) {
        let body =
            json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
        let read = scim::patch::from_value(body.clone()).expect("a PATCH");
        let (rest, found, _) = apart(read, false).expect("lenient");
        assert_eq!(&found, members, "{body}");
        assert_eq!(!rest.is_empty(), has_edit, "{body}");
    }

    fn delta(joining: &[&str], leaving: &[&str]) -> Members {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Members::Delta { joining: owned(joining), leaving: owned(leaving) }
    }

    fn exactly(ids: &[&str]) -> Members {
        Members::Exactly(ids.iter().map(|id| (*id).to_owned()).collect())
    }

    #[test]
    fn named_members_are_a_delta_whatever_the_provider_calls_them() {
        check(
            json!([{"op": "add", "path": "members", "value": [{"value": "a"}]}]),
            &delta(&["a"], &[]),
            false,
        );
        check(json!([{"op": "Add", "path": "Members", "value": {"value": "a"}}]), &delta(&["a"], &[]), false);
        check(json!([{"op": "add", "path": "members", "value": "a"}]), &delta(&["a"], &[]), false);
        check(json!([{"op": "add", "value": {"members": [{"value": "a"}]}}]), &delta(&["a"], &[]), false);
        check(
            json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "a"}]}]),
            &delta(&[], &["a"]),
            false,
        );
        check(json!([{"op": "remove", "path": "members[value eq \"a\"]"}]), &delta(&[], &["a"]), false);
        check(
            json!([{"op": "remove", "path": "urn:ietf:params:scim:schemas:core:2.0:Group:members[value eq \"a\"]"}]),
            &delta(&[], &["a"]),
            false,
        );
        check(json!([{"op": "remove", "path": "members", "value": []}]), &Members::Untouched, false);
    }

    #[test]
    fn what_is_tolerated_of_a_member_is_noted_and_refused_in_strict_mode() {
        for (value, expect) in [
            (json!([{"value": "a", "type": "User", "display": "A"}]), &[][..]),
            (json!(["a"]), &["bare-reference"]),
            (json!({"value": "a"}), &["single-for-list"]),
            (json!([{"value": "a", "type": "Person"}]), &["member-type"]),
        ] {
            let operations = json!([{"op": "add", "path": "members", "value": value}]);
            let body = json!({ "Operations": operations });
            let read = || scim::patch::from_value(body.clone()).expect("a PATCH");
            assert_eq!(apart(read(), false).expect("lenient").2.words(), expect);
            let strict = apart(read(), true).map(drop).map_err(|refusal| refusal.status);
            assert_eq!(strict, if expect.is_empty() { Ok(()) } else { Err(400) }, "{body}");
        }
    }

    #[test]
    fn the_last_word_about_a_member_counts() {
        check(
            json!([
                {"op": "add", "path": "members", "value": [{"value": "a"}, {"value": "b"}]},
                {"op": "remove", "path": "members[value eq \"a\"]"},
                {"op": "remove", "path": "members[value eq \"c\"]"},
                {"op": "add", "path": "members", "value": [{"value": "c"}]},
            ]),
            &delta(&["b", "c"], &["a"]),
            false,
        );
        check(
            json!([
                {"op": "add", "path": "members", "value": [{"value": "a"}]},
                {"op": "replace", "path": "members", "value": [{"value": "b"}]},
                {"op": "add", "path": "members", "value": [{"value": "c"}]},
                {"op": "remove", "path": "members[value eq \"b\"]"},
            ]),
            &exactly(&["c"]),
            false,
        );
    }

    #[test]
    fn a_list_in_the_place_of_all_is_exact() {
        check(json!([{"op": "replace", "path": "members", "value": []}]), &exactly(&[]), false);
        check(json!([{"op": "replace", "value": {"members": [{"value": "a"}]}}]), &exactly(&["a"]), false);
        check(json!([{"op": "remove", "path": "members"}]), &exactly(&[]), false);
    }

    #[test]
    fn other_attributes_stay_apart() {
        check(json!([{"op": "replace", "path": "displayName", "value": "x"}]), &Members::Untouched, true);
        check(
            json!([{"op": "replace", "value": {"id": "1", "displayName": "x"}}]),
            &Members::Untouched,
            true,
        );
        check(
            json!([{"op": "replace", "value": {"displayName": "x", "members": [{"value": "a"}]}}]),
            &exactly(&["a"]),
            true,
        );
    }

    #[test]
    fn what_must_see_the_members_is_left_to_the_engine() {
        for operation in [
            json!({"op": "remove", "path": "members[display eq \"a\"]"}),
            json!({"op": "remove", "path": "members[value sw \"a\"]"}),
            json!({"op": "add", "path": "members", "value": [{"display": "no id"}]}),
            json!({"op": "add", "path": "members", "value": [{"value": ""}]}),
            json!({"op": "add", "path": "members", "value": 1}),
            json!({"op": "replace", "path": "members.value", "value": "a"}),
            json!({"op": "replace", "value": {"members.value": "a"}}),
            json!({"op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:Group", "value": {"members": []}}),
        ] {
            check(json!([operation]), &Members::Computed, true);
        }
    }
}
