//! PATCH as the standard has it: reading, the three verbs, paths, refusals, atomicity.

use scim::{
    PatchPath, Resource, ResourceType, ScimError, ScimType,
    patch::{self, MAX_OPERATIONS},
};
use serde_json::{Value, json};

use crate::{ENT, GROUP, USER};

/// A user with some of everything.
fn user() -> Value {
    json!({
        "schemas": [USER, ENT],
        "userName": "u",
        "active": true,
        "title": "T",
        "name": {"givenName": "G", "familyName": "F"},
        "emails": [
            {"value": "w@x", "type": "work", "primary": true},
            {"value": "h@x", "type": "home"},
        ],
        ENT: {"department": "d", "manager": {"value": "m"}},
    })
}

pub fn group() -> Value {
    json!({
        "schemas": [GROUP],
        "displayName": "g",
        "members": [{"value": "a"}, {"value": "b"}, {"value": "c"}],
    })
}

fn apply(kind: ResourceType, before: &Value, operations: Value) -> Result<(Value, bool), ScimError> {
    let operations = patch::from_value(json!({"schemas": [patch::PATCH_URN], "Operations": operations}))?;
    let resource = Resource::from_stored(kind, before.clone());
    let patched = patch::apply(kind, &resource, &operations)?;
    assert_eq!(patched.changed, patched.resource != resource);
    // What comes out is in normal form, but for `active`, which a client may remove.
    let again = Resource::from_value(kind, patched.resource.as_value().clone()).expect("still valid");
    if patched.resource.as_value().get("active").is_some() || kind == ResourceType::Group {
        assert_eq!(again, patched.resource);
    }
    Ok((patched.resource.into_value(), patched.changed))
}

/// The operation changes the attributes of `expect`, null meaning gone, and no others.
pub fn check_on(kind: ResourceType, before: &Value, operation: Value, expect: Value) {
    let text = operation.to_string();
    let (after, changed) =
        apply(kind, before, json!([operation])).unwrap_or_else(|err| panic!("{text}: {err}"));
    let mut wanted = before.clone();
    let object = wanted.as_object_mut().expect("an object");
    for (name, value) in expect.as_object().expect("an object") {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    assert_eq!(after, wanted, "{text}");
    assert_eq!(changed, after != *before, "{text}");
}

pub fn check(operation: Value, expect: Value) {
    check_on(ResourceType::User, &user(), operation, expect);
}

fn check_group(operation: Value, expect: Value) {
    check_on(ResourceType::Group, &group(), operation, expect);
}

pub fn refuse_on(kind: ResourceType, before: &Value, operation: Value, scim_type: ScimType) {
    let text = operation.to_string();
    let err = apply(kind, before, json!([operation])).expect_err(&text);
    assert_eq!((err.status, err.scim_type), (400, Some(scim_type)), "{text}: {err}");
    assert!(err.detail.contains("Operations[0]"), "{text}: {err}");
}

pub fn refuse(operation: Value, scim_type: ScimType) {
    refuse_on(ResourceType::User, &user(), operation, scim_type);
}

// Reading.

#[test]
fn request_of_another_shape_is_refused() {
    for (body, scim_type) in [
        (json!({}), ScimType::InvalidSyntax),
        (json!({"Operations": "x"}), ScimType::InvalidSyntax),
        (json!({"Operations": null}), ScimType::InvalidSyntax),
        (json!({"Operations": []}), ScimType::InvalidValue),
        (json!({"Operations": [1]}), ScimType::InvalidSyntax),
        (json!({"Operations": [{}]}), ScimType::InvalidSyntax),
        (json!({"Operations": [{"op": 1}]}), ScimType::InvalidSyntax),
        (json!({"Operations": [{"op": "move", "path": "title"}]}), ScimType::InvalidSyntax),
        (json!({"Operations": [{"op": "add", "path": "title"}]}), ScimType::InvalidValue),
        (json!({"Operations": [{"op": "replace"}]}), ScimType::InvalidValue),
        (json!({"Operations": [{"op": "add", "path": 5, "value": 1}]}), ScimType::InvalidPath),
        (json!({"Operations": [{"op": "remove"}]}), ScimType::NoTarget),
        (json!({"Operations": [{"op": "remove", "path": ""}]}), ScimType::NoTarget),
        (json!({"Operations": [{"op": "remove", "path": null, "value": {"title": 1}}]}), ScimType::NoTarget),
    ] {
        let text = body.to_string();
        let err = patch::parse(text.as_bytes()).expect_err(&text);
        assert_eq!((err.status, err.scim_type), (400, Some(scim_type)), "{text}: {err}");
    }
}

#[test]
fn spelling_of_the_request_does_not_matter() {
    for body in [
        json!({"Operations": [{"op": "Replace", "path": "Title", "value": "x"}]}),
        json!({"operations": [{"OP": "REPLACE", "Path": "TITLE", "Value": "x"}]}),
        json!({"schemas": ["urn:example:other"], "Operations": {"op": "replace", "path": "title", "value": "x"}}),
    ] {
        let operations = patch::from_value(body).expect("understood");
        let before = Resource::from_stored(ResourceType::User, user());
        let patched = patch::apply(ResourceType::User, &before, &operations).expect("applied");
        assert_eq!(patched.resource.as_value().get("title"), Some(&json!("x")));
    }
}

#[test]
fn as_many_operations_as_the_limit_pass_and_one_more_is_refused() {
    let of = |n: usize| {
        let operation = json!({"op": "replace", "path": "title", "value": "x"});
        patch::from_value(json!({"Operations": vec![operation; n]}))
    };
    assert_eq!(of(MAX_OPERATIONS).map(|operations| operations.len()), Ok(MAX_OPERATIONS));
    let err = of(MAX_OPERATIONS + 1).expect_err("too many");
    assert_eq!((err.status, err.scim_type), (400, Some(ScimType::TooMany)));
    assert!(err.detail.contains("1000"), "{err}");
}

#[test]
fn malformed_paths_are_refused() {
    for (path, scim_type) in [
        ("emails[", ScimType::InvalidPath),
        ("emails[type eq \"work\"", ScimType::InvalidPath),
        ("emails]", ScimType::InvalidPath),
        ("emails[type eq \"work\"]value", ScimType::InvalidPath),
        ("emails[type eq \"work\"].", ScimType::InvalidPath),
        ("emails[type eq \"work\"].a.b", ScimType::InvalidPath),
        ("emails.value[type eq \"work\"]", ScimType::InvalidPath),
        ("a b", ScimType::InvalidPath),
        (".title", ScimType::InvalidPath),
        ("name.a.b", ScimType::InvalidPath),
        ("emails[]", ScimType::InvalidFilter),
        ("emails[type like \"x\"]", ScimType::InvalidFilter),
        ("emails[a[b pr]]", ScimType::InvalidPath),
    ] {
        let err = PatchPath::parse(path).expect_err(path);
        assert_eq!(err.scim_type, Some(scim_type), "{path}: {err}");
    }
}

#[test]
fn paths_print_as_they_read() {
    for path in [
        "title",
        "name.givenName",
        "emails[type eq \"work\"]",
        "emails[type eq \"wo]rk\" and not (value pr)].value",
        ENT,
        &format!("{ENT}:manager.value"),
    ] {
        let parsed = PatchPath::parse(path).expect(path);
        assert_eq!(parsed.to_string(), path);
    }
}

// Add.

#[test]
fn add_sets_and_appends() {
    let add = |path: &str, value: Value| json!({"op": "add", "path": path, "value": value});
    check(add("title", json!("x")), json!({"title": "x"}));
    check(add("nickName", json!("n")), json!({"nickName": "n"}));
    check(
        add("name.middleName", json!("M")),
        json!({"name": {"givenName": "G", "familyName": "F", "middleName": "M"}}),
    );
    check(add("name", json!({"givenName": "N"})), json!({"name": {"givenName": "N", "familyName": "F"}}));
    check(add("roles", json!([{"value": "r"}])), json!({"roles": [{"value": "r"}]}));
    check(add("roles", json!({"value": "r"})), json!({"roles": [{"value": "r"}]}));
    check(
        add("emails", json!([{"value": "o@x", "type": "other"}])),
        json!({"emails": [
            {"value": "w@x", "type": "work", "primary": true},
            {"value": "h@x", "type": "home"},
            {"value": "o@x", "type": "other"},
        ]}),
    );
    check(
        add(&format!("{ENT}:division"), json!("v")),
        json!({ENT: {"department": "d", "division": "v", "manager": {"value": "m"}}}),
    );
    check(
        add(ENT, json!({"Division": "v"})),
        json!({ENT: {"department": "d", "division": "v", "manager": {"value": "m"}}}),
    );
    check(add(&format!("{USER}:title"), json!("x")), json!({"title": "x"}));
}

#[test]
fn add_of_what_is_there_changes_nothing() {
    for operation in [
        json!({"op": "add", "path": "title", "value": "T"}),
        json!({"op": "add", "path": "emails", "value": [{"value": "h@x", "type": "home"}]}),
        json!({"op": "add", "path": "emails", "value": [{"value": "w@x", "type": "work"}]}),
        json!({"op": "add", "path": "emails", "value": []}),
        json!({"op": "add", "path": "emails", "value": null}),
        json!({"op": "add", "path": "title", "value": null}),
        json!({"op": "add", "path": "name", "value": {"givenName": "G"}}),
        json!({"op": "add", "value": {"title": "T", "active": true}}),
        json!({"op": "add", "path": "schemas", "value": [ENT]}),
    ] {
        check(operation, json!({}));
    }
    for operation in [
        json!({"op": "add", "path": "members", "value": [{"value": "b"}, {"value": "a", "display": "other"}]}),
        json!({"op": "replace", "path": "members", "value": [{"value": "c"}, {"value": "b"}, {"value": "a"}]}),
        json!({"op": "replace", "path": "displayName", "value": "g"}),
        json!({"op": "remove", "path": "members[value eq \"nobody\"]"}),
        json!({"op": "remove", "path": "members", "value": [{"value": "nobody"}]}),
        json!({"op": "remove", "path": "members", "value": []}),
    ] {
        check_group(operation, json!({}));
    }
}

#[test]
fn new_primary_takes_the_mark_from_the_old_one() {
    let expect = |new: Value| {
        json!({"emails": [
            {"value": "w@x", "type": "work", "primary": false},
            {"value": "h@x", "type": "home"},
            new,
        ]})
    };
    let new = json!({"value": "o@x", "type": "other", "primary": true});
    check(json!({"op": "add", "path": "emails", "value": [new]}), expect(new.clone()));
    check(json!({"op": "add", "value": {"emails": new}}), expect(new));
    let moved = json!({"emails": [
        {"value": "w@x", "type": "work", "primary": false},
        {"value": "h@x", "type": "home", "primary": true},
    ]});
    check(
        json!({"op": "replace", "path": "emails[type eq \"home\"].primary", "value": "True"}),
        moved.clone(),
    );
    check(
        json!({"op": "add", "path": "emails", "value": [{"value": "h@x", "type": "home", "primary": true}]}),
        moved.clone(),
    );
    check(
        json!({"op": "replace", "path": "emails[type eq \"home\"]", "value": {"value": "h@x", "primary": true}}),
        moved,
    );
    refuse(
        json!({"op": "replace", "path": "emails[value pr].primary", "value": true}),
        ScimType::InvalidValue,
    );
    refuse(
        json!({"op": "add", "path": "roles", "value": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}),
        ScimType::InvalidValue,
    );
}

// Replace.

#[test]
fn replace_sets_adds_and_replaces_all_values() {
    let replace = |path: &str, value: Value| json!({"op": "replace", "path": path, "value": value});
    check(replace("title", json!("x")), json!({"title": "x"}));
    check(replace("nickName", json!("x")), json!({"nickName": "x"}));
    check(replace("name.familyName", json!("x")), json!({"name": {"givenName": "G", "familyName": "x"}}));
    check(
        replace("name", json!({"familyName": "x", "givenName": null})),
        json!({"name": {"familyName": "x"}}),
    );
    check(replace("emails", json!([{"value": "n"}])), json!({"emails": [{"value": "n"}]}));
    check(replace("emails", json!([])), json!({"emails": null}));
    check(replace("emails", json!(null)), json!({"emails": null}));
    check(replace("title", json!(null)), json!({"title": null}));
    check(replace("active", json!(false)), json!({"active": false}));
    check(
        replace(ENT, json!({"department": "n"})),
        json!({ENT: {"department": "n", "manager": {"value": "m"}}}),
    );
    check(replace(ENT, json!(null)), json!({ENT: null, "schemas": [USER]}));
    check(replace("roles.value", json!("r")), json!({"roles": [{"value": "r"}]}));
}

#[test]
fn remove_unassigns() {
    let remove = |path: &str| json!({"op": "remove", "path": path});
    check(remove("title"), json!({"title": null}));
    check(remove("nickName"), json!({}));
    check(remove("name.givenName"), json!({"name": {"familyName": "F"}}));
    check(remove("emails"), json!({"emails": null}));
    check(remove("emails[type eq \"work\"]"), json!({"emails": [{"value": "h@x", "type": "home"}]}));
    check(remove("emails[type eq \"work\"].value"), json!({"emails": [{"value": "h@x", "type": "home"}]}));
    check(remove("emails[value pr]"), json!({"emails": null}));
    check(
        remove("emails[type eq \"work\"].primary"),
        json!({"emails": [{"value": "w@x", "type": "work"}, {"value": "h@x", "type": "home"}]}),
    );
    check(remove(&format!("{ENT}:manager")), json!({ENT: {"department": "d"}}));
    check(remove(&format!("{ENT}:manager.value")), json!({ENT: {"department": "d"}}));
    check(remove(ENT), json!({ENT: null, "schemas": [USER]}));
    check(remove("active"), json!({"active": null}));
    check_group(remove("members"), json!({"members": null}));
    check_group(remove("members[value eq \"b\"]"), json!({"members": [{"value": "a"}, {"value": "c"}]}));
}

#[test]
fn remove_of_members_with_values_removes_those_only() {
    let expect = json!({"members": [{"value": "a"}, {"value": "c"}]});
    for value in [
        json!([{"value": "b"}]),
        json!([{"$ref": null, "value": "b"}]),
        json!({"value": "b"}),
        json!(["b"]),
        json!("b"),
        json!([{"value": "b", "display": "B"}, {"value": "nobody"}]),
    ] {
        check_group(json!({"op": "remove", "path": "members", "value": value}), expect.clone());
    }
    refuse_on(
        ResourceType::Group,
        &group(),
        json!({"op": "remove", "path": "members", "value": [{"display": "B"}]}),
        ScimType::InvalidValue,
    );
    check(
        json!({"op": "remove", "path": "emails", "value": [{"value": "w@x"}]}),
        json!({"emails": [{"value": "h@x", "type": "home"}]}),
    );
}

#[test]
fn remove_of_the_last_member_unassigns_the_members() {
    check_group(
        json!({"op": "remove", "path": "members", "value": [{"value": "a"}, {"value": "b"}, {"value": "c"}]}),
        json!({"members": null}),
    );
}

// Refusals.

#[test]
fn read_only_and_required_attributes_are_kept() {
    for operation in [
        json!({"op": "replace", "path": "id", "value": "x"}),
        json!({"op": "replace", "path": "meta.created", "value": "x"}),
        json!({"op": "add", "path": "groups", "value": [{"value": "g"}]}),
        json!({"op": "remove", "path": "groups"}),
        json!({"op": "remove", "path": "groups[value eq \"g\"]"}),
        json!({"op": "remove", "path": "schemas"}),
        json!({"op": "replace", "path": format!("{ENT}:manager.displayName"), "value": "x"}),
        json!({"op": "remove", "path": "userName"}),
        json!({"op": "remove", "path": USER}),
    ] {
        refuse(operation, ScimType::Mutability);
    }
    refuse_on(
        ResourceType::Group,
        &group(),
        json!({"op": "remove", "path": "displayName"}),
        ScimType::Mutability,
    );
    refuse_on(
        ResourceType::Group,
        &group(),
        json!({"op": "replace", "path": "members[value eq \"a\"].display", "value": "x"}),
        ScimType::Mutability,
    );
    refuse_on(
        ResourceType::Group,
        &group(),
        json!({"op": "replace", "path": "members[value eq \"a\"].value", "value": "z"}),
        ScimType::Mutability,
    );
}

#[test]
fn a_path_that_names_nothing_is_refused() {
    for path in [
        "shoeSize",
        "name.shoeSize",
        "emails[type eq \"work\"].shoeSize",
        "members",
        "urn:example:x:title",
        "title[value pr]",
        "name[givenName pr]",
        "employeeNumber",
    ] {
        for op in ["add", "replace", "remove"] {
            refuse(json!({"op": op, "path": path, "value": "x"}), ScimType::InvalidPath);
        }
    }
    // Which of the two addresses is meant?
    refuse(json!({"op": "replace", "path": "emails.value", "value": "x"}), ScimType::InvalidPath);
}

#[test]
fn wrong_types_are_refused() {
    for (path, value) in [
        ("title", json!(5)),
        ("active", json!("perhaps")),
        ("name", json!("Bob")),
        ("name.givenName", json!({})),
        ("emails", json!("a@b")),
        ("emails[type eq \"work\"].value", json!(true)),
        ("emails[type eq \"work\"]", json!("a@b")),
        ("emails[type eq \"other\"].value", json!([])),
    ] {
        refuse(json!({"op": "replace", "path": path, "value": value}), ScimType::InvalidValue);
    }
    refuse(json!({"op": "replace", "value": "x"}), ScimType::InvalidValue);
    refuse(json!({"op": "replace", "path": ENT, "value": "x"}), ScimType::InvalidValue);
    refuse(
        json!({"op": "add", "path": "emails[primary gt true].value", "value": "x"}),
        ScimType::InvalidFilter,
    );
}

#[test]
fn a_required_attribute_cannot_be_emptied() {
    for value in [json!(null), json!("")] {
        let operation = json!([{"op": "replace", "path": "userName", "value": value}]);
        let err = apply(ResourceType::User, &user(), operation).expect_err("required");
        assert_eq!(err.scim_type, Some(ScimType::InvalidValue));
    }
}

#[test]
fn a_failure_leaves_everything_as_it_was() {
    let operations = patch::from_value(json!({"Operations": [
        {"op": "replace", "path": "title", "value": "x"},
        {"op": "remove", "path": "emails"},
        {"op": "replace", "path": "id", "value": "x"},
    ]}))
    .expect("read");
    let before = Resource::from_stored(ResourceType::User, user());
    let copy = before.clone();
    let err = patch::apply(ResourceType::User, &before, &operations).expect_err("readOnly");
    assert!(err.detail.starts_with("Operations[2]: "), "{err}");
    assert_eq!(before, copy);
}

#[test]
fn operations_apply_in_their_order() {
    let (after, changed) = apply(
        ResourceType::User,
        &user(),
        json!([
            {"op": "remove", "path": "title"},
            {"op": "add", "path": "title", "value": "x"},
            {"op": "replace", "path": "title", "value": "T"},
        ]),
    )
    .expect("applied");
    assert_eq!((after, changed), (user(), false));
    let (after, _) = apply(
        ResourceType::Group,
        &group(),
        json!([
            {"op": "remove", "path": "members[value eq \"a\"]"},
            {"op": "remove", "path": "members", "value": [{"value": "b"}]},
            {"op": "add", "path": "members", "value": [{"value": "b"}]},
            {"op": "add", "path": "members", "value": {"value": "d"}},
            {"op": "remove", "path": "members", "value": "c"},
        ]),
    )
    .expect("applied");
    assert_eq!(after.get("members"), Some(&json!([{"value": "b"}, {"value": "d"}])));
}
