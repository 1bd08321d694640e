//! PATCH as providers really send it.

use std::collections::HashSet;

use scim::{Resource, ResourceType, ScimType, patch};
use serde_json::{Value, json};

use crate::{ENT, GROUP, USER};

fn apply(kind: ResourceType, before: Value, body: Value) -> (Value, bool) {
    let text = body.to_string();
    let before = Resource::from_value(kind, before).expect("a resource");
    let operations = patch::parse(text.as_bytes()).unwrap_or_else(|err| panic!("{text}: {err}"));
    let patched = patch::apply(kind, &before, &operations).unwrap_or_else(|err| panic!("{text}: {err}"));
    (patched.resource.into_value(), patched.changed)
}

fn user() -> Value {
    json!({
        "userName": "u", "displayName": "A", "active": true,
        "emails": [{"type": "work", "value": "old@x", "primary": true}],
        ENT: {"manager": {"value": "m"}},
    })
}

/// What the operations make of a user, in these attributes.
fn check_user(body: Value, expect: &[(&str, Value)]) {
    let (after, changed) = apply(ResourceType::User, user(), body);
    for (pointer, value) in expect {
        assert_eq!(after.pointer(pointer).unwrap_or(&Value::Null), value, "{pointer}");
    }
    assert!(changed);
}

fn check_members(before: &[&str], body: Value, expect: &[&str]) {
    let (after, changed) =
        apply(ResourceType::Group, json!({"displayName": "g", "externalId": "e", "members": before}), body);
    let after = Resource::from_stored(ResourceType::Group, after);
    let ids: Vec<_> = after.members().map(|member| member.value).collect();
    assert_eq!(ids, expect);
    assert_eq!(changed, before != expect);
    assert_eq!((after.display_name(), after.external_id()), (Some("g"), Some("e")));
}

#[test]
fn entra_default_form() {
    check_user(
        json!({"schemas": [patch::PATCH_URN], "Operations": [
            {"op": "Replace", "path": "displayName", "value": "B"},
            {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "new@x"},
            {"op": "Replace", "path": "name.givenName", "value": "K"},
            {"op": "Replace", "path": "externalId", "value": "E"},
            {"op": "Replace", "path": "active", "value": "False"},
            {"op": "Add", "path": "nickName", "value": "N"},
            {"op": "Replace", "path": format!("{ENT}:employeeNumber"), "value": "A"},
            {"op": "Add", "path": format!("{ENT}:manager"), "value": "boss"},
        ]}),
        &[
            ("/displayName", json!("B")),
            ("/emails", json!([{"type": "work", "value": "new@x", "primary": true}])),
            ("/name/givenName", json!("K")),
            ("/externalId", json!("E")),
            ("/active", json!(false)),
            ("/nickName", json!("N")),
            (&format!("/{ENT}"), json!({"employeeNumber": "A", "manager": {"value": "boss"}})),
        ],
    );
}

#[test]
fn entra_compliant_form() {
    check_user(
        json!({"schemas": [patch::PATCH_URN], "Operations": [{"op": "replace", "value": {
            "displayName": "B",
            "name.givenName": "K",
            "name.familyName": "U",
            "emails[type eq \"work\"].value": "new@x",
            "active": false,
            "unknown.thing": 1,
            (format!("{ENT}:employeeNumber")): "A",
            (format!("{ENT}:manager")): "boss",
        }}]}),
        &[
            ("/displayName", json!("B")),
            ("/name", json!({"givenName": "K", "familyName": "U"})),
            ("/emails/0/value", json!("new@x")),
            ("/active", json!(false)),
            (&format!("/{ENT}"), json!({"employeeNumber": "A", "manager": {"value": "boss"}})),
            ("/unknown.thing", Value::Null),
        ],
    );
}

#[test]
fn entra_value_path_creates_what_is_not_there() {
    for op in ["Add", "Replace", "add", "replace"] {
        check_user(
            json!({"Operations": [
                {"op": op, "path": "phoneNumbers[type eq \"mobile\"].value", "value": "1"},
                {"op": op, "path": "addresses[type eq \"work\"].streetAddress", "value": "S"},
                {"op": op, "path": "addresses[type eq \"work\"].country", "value": "C"},
                {"op": op, "path": "roles[primary eq \"True\"].value", "value": "R"},
                {"op": op, "path": "emails[type eq \"home\" and primary eq false].value", "value": "h@x"},
            ]}),
            &[
                ("/phoneNumbers", json!([{"type": "mobile", "value": "1"}])),
                ("/addresses", json!([{"type": "work", "streetAddress": "S", "country": "C"}])),
                ("/roles", json!([{"primary": true, "value": "R"}])),
                ("/emails/1", json!({"type": "home", "primary": false, "value": "h@x"})),
                ("/emails/0/primary", json!(true)),
            ],
        );
    }
    // Nothing is created to hold nothing.
    for value in [json!(null), json!("")] {
        let body = json!({"Operations": [{"op": "Replace", "path": "phoneNumbers[type eq \"fax\"].value", "value": value}]});
        let (_, changed) = apply(ResourceType::User, user(), body);
        assert!(!changed);
    }
}

#[test]
fn entra_clears_the_manager_in_two_ways() {
    for operation in [
        json!({"op": "Remove", "path": format!("{ENT}:manager")}),
        json!({"op": "Remove", "path": format!("{ENT}:manager"), "value": "m"}),
        json!({"op": "replace", "path": format!("{ENT}:manager"), "value": {"value": ""}}),
        json!({"op": "replace", "path": format!("{ENT}:manager"), "value": ""}),
        json!({"op": "replace", "path": format!("{ENT}:manager"), "value": null}),
        json!({"op": "replace", "path": format!("{ENT}:manager.value"), "value": ""}),
        json!({"op": "replace", "value": {ENT: {"manager": {"value": null}}}}),
    ] {
        check_user(
            json!({"Operations": [operation]}),
            &[(&format!("/{ENT}"), Value::Null), ("/schemas", json!([USER]))],
        );
    }
}

#[test]
fn a_new_manager_loses_the_reference_to_the_old_one() {
    let before = json!({"userName": "u", ENT: {"manager": {"value": "m", "$ref": "../Users/m"}}});
    let body = json!({"Operations": [{"op": "Replace", "path": format!("{ENT}:manager"), "value": "n"}]});
    let (after, _) = apply(ResourceType::User, before, body);
    assert_eq!(after.pointer(&format!("/{ENT}/manager")), Some(&json!({"value": "n"})));
}

#[test]
fn entra_members() {
    check_members(
        &["a"],
        json!({"Operations": [{"op": "Add", "path": "members", "value": [{"$ref": null, "value": "b"}]}]}),
        &["a", "b"],
    );
    check_members(
        &["a", "b"],
        json!({"Operations": [{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "a"}]}]}),
        &["b"],
    );
    check_members(
        &["a", "b"],
        json!({"Operations": [{"op": "remove", "path": "members[value eq \"a\"]"}]}),
        &["b"],
    );
    check_members(
        &[],
        json!({"Operations": [{"op": "Add", "path": "members", "value": "string id 1"}]}),
        &["string id 1"],
    );
}

#[test]
fn okta_deactivates_without_a_path() {
    check_user(
        json!({"schemas": [patch::PATCH_URN], "Operations": [{"op": "replace", "value": {"active": false}}]}),
        &[("/active", json!(false)), ("/displayName", json!("A"))],
    );
}

#[test]
fn okta_password_is_dropped() {
    for operation in [
        json!({"op": "replace", "value": {"password": "secret"}}),
        json!({"op": "replace", "path": "password", "value": "secret"}),
    ] {
        let (after, changed) = apply(ResourceType::User, user(), json!({"Operations": [operation]}));
        assert!(!changed);
        assert!(!after.to_string().contains("secret"));
    }
}

#[test]
fn okta_repeats_the_id_of_the_group() {
    let body = json!({"schemas": [patch::PATCH_URN], "Operations": [
        {"op": "replace", "value": {"id": "GID", "displayName": "g"}},
    ]});
    check_members(&["a"], body, &["a"]);
}

#[test]
fn okta_members() {
    check_members(
        &["a"],
        json!({"schemas": [patch::PATCH_URN], "Operations": [
            {"op": "remove", "path": "members[value eq \"a\"]"},
            {"op": "add", "path": "members", "value": [{"value": "b", "display": "u@x"}]},
        ]}),
        &["b"],
    );
    check_members(
        &["a", "b"],
        json!({"Operations": [{"op": "replace", "path": "members", "value": [{"value": "b"}, {"value": "c"}]}]}),
        &["b", "c"],
    );
    check_members(&["a"], json!({"Operations": [{"op": "replace", "path": "members", "value": []}]}), &[]);
    check_members(
        &["a"],
        json!({"Operations": [{"op": "replace", "value": {"members": [{"value": "c"}]}}]}),
        &["c"],
    );
}

#[test]
fn authentik_members_one_operation_each() {
    let operation = |op: &str, id: &str| json!({"op": op, "path": "members", "value": [{"value": id}]});
    check_members(
        &["a"],
        json!({"Operations": [operation("add", "b"), operation("add", "c"), operation("remove", "a"), operation("add", "b")]}),
        &["b", "c"],
    );
}

#[test]
fn authentik_rename_keeps_the_members() {
    let (after, changed) = apply(
        ResourceType::Group,
        json!({"displayName": "g", "members": ["a", "b"]}),
        json!({"Operations": [{"op": "replace", "value": {
            "id": "x", "schemas": [GROUP], "externalId": "e", "displayName": "h",
        }}]}),
    );
    assert!(changed);
    assert_eq!(
        after,
        json!({
            "schemas": [GROUP], "externalId": "e", "displayName": "h",
            "members": [{"value": "a"}, {"value": "b"}],
        })
    );
}

#[test]
fn scimgateway_without_schemas() {
    check_user(
        json!({"Operations": [{"op": "replace", "value": {"active": false, "emails": [{"value": "n@x"}]}}]}),
        &[("/active", json!(false)), ("/emails", json!([{"value": "n@x"}]))],
    );
}

#[test]
fn rauthy_null_is_removal() {
    let (after, changed) = apply(
        ResourceType::Group,
        json!({"displayName": "g", "externalId": "e"}),
        json!({"Operations": [{"op": "replace", "value": {"externalId": null}}]}),
    );
    assert!(changed);
    assert_eq!(after, json!({"schemas": [GROUP], "displayName": "g"}));
}

#[test]
fn rippling_single_member_object() {
    check_members(
        &["a"],
        json!({"Operations": [{"op": "add", "path": "members", "value": {"value": "b"}}]}),
        &["a", "b"],
    );
}

#[test]
fn extension_as_an_object_without_a_path() {
    check_user(
        json!({"Operations": [{"op": "add", "value": {"schemas": [USER, ENT], ENT: {"Department": "d"}}}]}),
        &[(&format!("/{ENT}"), json!({"department": "d", "manager": {"value": "m"}}))],
    );
}

#[test]
fn malformed_filter_in_a_key_is_no_silent_loss() {
    let before = Resource::from_value(ResourceType::User, user()).expect("a user");
    let body = json!({"Operations": [{"op": "replace", "value": {"emails[type eq].value": "x"}}]});
    let operations = patch::from_value(body).expect("read");
    let err = patch::apply(ResourceType::User, &before, &operations).expect_err("malformed");
    assert_eq!(err.scim_type, Some(ScimType::InvalidFilter));
}

#[test]
fn a_thousand_members_one_by_one_in_a_large_group_are_quick() {
    let members: Vec<_> = (0..20_000).map(|n| json!({"value": format!("user-{n}")})).collect();
    let before = Resource::from_value(ResourceType::Group, json!({"displayName": "g", "members": members}))
        .expect("a group");
    let operations: Vec<_> = (0..1_000)
        .map(|n| match n % 1_000 {
            0..500 => json!({"op": "add", "path": "members", "value": [{"value": format!("new-{n}")}]}),
            _ => json!({"op": "remove", "path": format!("members[value eq \"user-{n}\"]")}),
        })
        .collect();
    let operations = patch::from_value(json!({"Operations": operations})).expect("read");
    let patched = patch::apply(ResourceType::Group, &before, &operations).expect("applied");
    let ids = |group: &Resource| -> HashSet<String> { group.members().map(|member| member.value).collect() };
    let (before, after) = (ids(&before), ids(&patched.resource));
    assert_eq!((after.difference(&before).count(), before.difference(&after).count()), (500, 500));
}
