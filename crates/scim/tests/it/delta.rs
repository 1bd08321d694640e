//! The short form of a PATCH of members says the same as the PATCH.

use std::collections::BTreeSet;

use proptest::prelude::*;
use scim::{
    Op, Reading, Resource, ResourceType,
    patch::{MemberDelta, apply, from_value, member_delta, member_delta_with, touches_members},
};
use serde_json::{Value, json};

use crate::{GROUP, USER};

fn operations(operations: Value) -> Vec<Op> {
    from_value(json!({"Operations": operations})).expect("operations")
}

fn delta(given: Value) -> Option<(Vec<String>, Vec<String>)> {
    member_delta(&operations(given)).map(|MemberDelta { add, remove }| (add, remove))
}

fn ids(resource: &Resource) -> BTreeSet<String> {
    resource.members().map(|member| member.value).collect()
}

#[test]
fn every_form_that_names_members_is_understood() {
    let both = |add: &[&str], remove: &[&str]| {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Some((owned(add), owned(remove)))
    };
    let core = format!("{GROUP}:members");
    for (given, expect) in [
        (
            json!([{"op": "add", "path": "members", "value": [{"value": "a"}, {"value": "b"}]}]),
            both(&["a", "b"], &[]),
        ),
        (
            json!([{"op": "Add", "path": "Members", "value": {"value": "a", "display": "A"}}]),
            both(&["a"], &[]),
        ),
        (json!([{"op": "add", "path": core, "value": "a"}]), both(&["a"], &[])),
        (json!([{"op": "add", "value": {"members": [{"$ref": null, "value": "a"}]}}]), both(&["a"], &[])),
        (json!([{"op": "remove", "path": "members[value eq \"a\"]"}]), both(&[], &["a"])),
        (
            json!([{"op": "remove", "path": "members[value eq \"a\" or value eq \"b\"]"}]),
            both(&[], &["a", "b"]),
        ),
        (
            json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "a"}]}]),
            both(&[], &["a"]),
        ),
        (json!([{"op": "remove", "path": "members", "value": []}]), both(&[], &[])),
        (
            json!([
                {"op": "remove", "path": "members[value eq \"a\"]"},
                {"op": "add", "path": "members", "value": [{"value": "b"}, {"value": "a"}]},
                {"op": "remove", "path": "members", "value": [{"value": "b"}]},
            ]),
            both(&["a"], &["b"]),
        ),
    ] {
        assert_eq!(delta(given.clone()), expect, "{given}");
    }
}

#[test]
fn what_does_more_than_that_is_left_to_the_full_apply() {
    for given in [
        json!([{"op": "replace", "path": "members", "value": [{"value": "a"}]}]),
        json!([{"op": "replace", "value": {"id": "g", "displayName": "G"}}]),
        json!([{"op": "remove", "path": "members"}]),
        json!([{"op": "add", "value": {"members": ["a"], "displayName": "G"}}]),
        json!([{"op": "add", "path": "members", "value": ["a"]}, {"op": "add", "path": "externalId", "value": "x"}]),
        json!([{"op": "remove", "path": "members[type eq \"User\"]"}]),
        json!([{"op": "remove", "path": "members[value eq \"a\" and type eq \"User\"]"}]),
        json!([{"op": "remove", "path": "members[value sw \"a\"]"}]),
        json!([{"op": "add", "path": "members[value eq \"a\"].display", "value": "A"}]),
        json!([{"op": "remove", "path": "members.display"}]),
        // What is refused is refused by `apply`, with its reason.
        json!([{"op": "add", "path": "members", "value": [{"display": "A"}]}]),
        json!([{"op": "add", "path": "members", "value": [{"value": 5}]}]),
        json!([{"op": "add", "path": "members", "value": [""]}]),
        json!([{"op": "add", "path": format!("{USER}:members"), "value": null}]),
    ] {
        assert_eq!(delta(given.clone()), None, "{given}");
    }
}

#[test]
fn strict_mode_leaves_its_refusal_to_the_full_apply() {
    let bare = operations(json!([{"op": "add", "path": "members", "value": ["a"]}]));
    let mut lenient = Reading::lenient();
    assert!(member_delta_with(&bare, &mut lenient).is_some());
    assert_eq!(lenient.seen.words(), ["bare-reference"]);
    assert_eq!(member_delta_with(&bare, &mut Reading::strict()), None);
}

#[test]
fn only_operations_on_members_need_the_members() {
    let touches = |given: Value| touches_members(&operations(given));
    for given in [
        json!([{"op": "add", "path": "members", "value": ["a"]}]),
        json!([{"op": "remove", "path": "MEMBERS[value eq \"a\"]"}]),
        json!([{"op": "add", "path": "members.display", "value": "A"}]),
        json!([{"op": "replace", "value": {"displayName": "G", "Members": []}}]),
        json!([{"op": "replace", "value": {"members[value eq \"a\"].display": "A"}}]),
        json!([{"op": "replace", "value": {GROUP: {"members": []}}}]),
        json!([{"op": "add", "path": GROUP, "value": {"displayName": "G"}}]),
        json!([{"op": "add", "path": format!("{GROUP}:members"), "value": ["a"]}]),
        json!([{"op": "replace", "path": "displayName", "value": "G"}, {"op": "remove", "path": "members"}]),
    ] {
        assert!(touches(given.clone()), "{given}");
    }
    for given in [
        json!([{"op": "replace", "value": {"id": "g", "displayName": "G"}}]),
        json!([{"op": "replace", "path": "displayName", "value": "members"}]),
        json!([{"op": "remove", "path": "externalId"}]),
        json!([{"op": "replace", "path": "urn:example:hr:1:members", "value": []}]),
    ] {
        assert!(!touches(given.clone()), "{given}");
    }
}

/// Operations on few ids, so that they meet.
fn operation() -> impl Strategy<Value = Value> {
    let id = || prop::sample::select(vec!["a", "b", "c", "d", "e"]);
    let list = prop::collection::vec(
        id().prop_flat_map(|id| {
            prop::sample::select(vec![
                json!({"value": id}),
                json!({"Value": id, "display": "D", "$ref": null}),
                json!(id),
                json!({"value": id, "type": "User"}),
                json!({"value": id, "unknown": [1]}),
            ])
        }),
        0..4,
    );
    prop_oneof![
        4 => (prop::sample::select(vec!["add", "Remove"]), list.clone()).prop_map(|(op, list)| {
            json!({"op": op, "path": "members", "value": list})
        }),
        2 => list.prop_map(|list| json!({"op": "Add", "value": {"members": list}})),
        3 => id().prop_map(|id| json!({"op": "remove", "path": format!("members[value eq \"{id}\"]")})),
        1 => (id(), id()).prop_map(|(a, b)| {
            json!({"op": "remove", "path": format!("members[value eq \"{a}\" or value eq \"{b}\"]")})
        }),
        2 => id().prop_map(|id| json!({"op": "add", "path": "members", "value": {"value": id}})),
        1 => id().prop_map(|id| json!({"op": "replace", "path": "members", "value": [{"value": id}]})),
        1 => Just(json!({"op": "replace", "path": "displayName", "value": "other"})),
        1 => Just(json!({"op": "add", "path": "members", "value": [{"display": "nobody"}]})),
    ]
}

proptest! {
    #[test]
    fn a_delta_does_what_the_patch_does(
        before in prop::collection::btree_set(prop::sample::select(vec!["a", "b", "c", "x"]), 0..4),
        given in prop::collection::vec(operation(), 1..6),
    ) {
        let operations = operations(Value::Array(given));
        let members: Vec<Value> = before.iter().map(|id| json!({"value": id})).collect();
        let group = json!({"displayName": "g", "members": members});
        let before = Resource::from_value(ResourceType::Group, group).expect("a group");
        let Some(delta) = member_delta(&operations) else { return Ok(()) };
        let after = apply(ResourceType::Group, &before, &operations).expect("a delta is legal").resource;
        let mut expect = ids(&before);
        for id in &delta.remove {
            expect.remove(id);
        }
        expect.extend(delta.add.iter().cloned());
        prop_assert_eq!(ids(&after), expect);
        prop_assert_eq!(after.display_name(), before.display_name());
    }

    #[test]
    fn what_does_not_touch_members_leaves_them(given in prop::collection::vec(operation(), 1..6)) {
        let operations = operations(Value::Array(given));
        if !touches_members(&operations) {
            let with = json!({"displayName": "g", "members": [{"value": "a"}]});
            let with = Resource::from_value(ResourceType::Group, with).expect("a group");
            let mut without = with.clone();
            let kept = without.take_members();
            let after = apply(ResourceType::Group, &with, &operations).map(|patched| patched.resource);
            let apart = apply(ResourceType::Group, &without, &operations).map(|patched| {
                let mut resource = patched.resource;
                resource.set_members(kept);
                resource
            });
            prop_assert_eq!(after, apart);
        }
    }
}
