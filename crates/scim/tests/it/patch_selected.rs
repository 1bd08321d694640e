//! PATCH of the values that a filter selects: what is replaced, what is kept, what is made.

use scim::{ResourceType, ScimType};
use serde_json::{Value, json};

use crate::{
    USER,
    patch::{check, check_on, group, refuse, refuse_on},
};

#[test]
fn replace_with_a_filter_replaces_the_selected_values() {
    check(
        json!({"op": "replace", "path": "emails[type eq \"work\"].value", "value": "n@x"}),
        json!({"emails": [{"value": "n@x", "type": "work", "primary": true}, {"value": "h@x", "type": "home"}]}),
    );
    check(
        json!({"op": "replace", "path": "emails[type eq \"WORK\"]", "value": {"value": "n@x"}}),
        json!({"emails": [{"value": "n@x", "type": "work", "primary": true}, {"value": "h@x", "type": "home"}]}),
    );
    check(
        json!({"op": "replace", "path": "emails[type eq \"work\"]", "value": {"value": "n@x", "primary": false}}),
        json!({"emails": [{"value": "n@x", "type": "work", "primary": false}, {"value": "h@x", "type": "home"}]}),
    );
    check(
        json!({"op": "replace", "path": "emails[value ew \"@x\"]", "value": {"value": "n@x"}}),
        json!({"emails": [{"value": "n@x", "primary": true}]}),
    );
    check(
        json!({"op": "replace", "path": "emails[type eq \"work\"]", "value": null}),
        json!({"emails": [{"value": "h@x", "type": "home"}]}),
    );
}

#[test]
fn a_replacement_that_says_nothing_of_the_value_keeps_it() {
    // By the letter of RFC 7644 3.5.2.3 the address would be gone, and nothing but its mark left.
    let of_work = |value: Value| json!({"op": "replace", "path": "emails[type eq \"work\"]", "value": value});
    let home = json!({"value": "h@x", "type": "home"});
    for (value, after) in [
        (json!({"display": "D"}), json!({"value": "w@x", "type": "work", "primary": true, "display": "D"})),
        (json!({"Primary": "False"}), json!({"value": "w@x", "type": "work", "primary": false})),
        (json!({"primary": null}), json!({"value": "w@x", "type": "work"})),
        (json!({"type": "other"}), json!({"value": "w@x", "type": "other", "primary": true})),
        (json!({"colour": "red"}), json!({"value": "w@x", "type": "work", "primary": true})),
    ] {
        check(of_work(value), json!({"emails": [after, home]}));
    }
    check(
        json!({"op": "replace", "path": "emails[type eq \"home\"]", "value": {"primary": true}}),
        json!({"emails": [
            {"value": "w@x", "type": "work", "primary": false},
            {"value": "h@x", "type": "home", "primary": true},
        ]}),
    );
    check(
        json!({"op": "replace", "path": "emails[value ew \"@x\"]", "value": {"display": "D"}}),
        json!({"emails": [
            {"value": "w@x", "type": "work", "primary": true, "display": "D"},
            {"value": "h@x", "type": "home", "display": "D"},
        ]}),
    );
    // What says that there is no value takes it away.
    for value in
        [json!({"value": ""}), json!({"value": null}), json!({"type": "work", "value": ""}), json!({})]
    {
        check(of_work(value), json!({"emails": [home]}));
    }
    refuse(
        json!({"op": "replace", "path": "emails[value pr]", "value": {"primary": true}}),
        ScimType::InvalidValue,
    );
    refuse(of_work(json!({"primary": true, "PRIMARY": false})), ScimType::InvalidSyntax);
    refuse(of_work(json!({"primary": "perhaps"})), ScimType::InvalidValue);
}

#[test]
fn an_address_is_replaced_whole_or_labelled() {
    let before = json!({"schemas": [USER], "active": true, "userName": "u", "addresses": [
        {"type": "work", "streetAddress": "1 Old St", "region": "R", "primary": true},
    ]});
    let of_work =
        |value: Value| json!({"op": "replace", "path": "addresses[type eq \"work\"]", "value": value});
    for (value, after) in [
        // Another street in the old region is an address that there is not.
        (
            json!({"streetAddress": "2 New St"}),
            json!({"type": "work", "streetAddress": "2 New St", "primary": true}),
        ),
        (
            json!({"primary": false}),
            json!({"type": "work", "streetAddress": "1 Old St", "region": "R", "primary": false}),
        ),
    ] {
        check_on(ResourceType::User, &before, of_work(value), json!({"addresses": [after]}));
    }
}

#[test]
fn a_value_that_does_not_exist_is_made_only_where_its_filter_would_select_it() {
    check(
        json!({"op": "replace", "path": "roles[value eq \"r1\"].display", "value": "R"}),
        json!({"roles": [{"value": "r1", "display": "R"}]}),
    );
    check(
        json!({"op": "add", "path": "roles[value eq \"r1\"].value", "value": "R1"}),
        json!({"roles": [{"value": "R1"}]}),
    );
    // "b" for "a" where there is no "a": a role that nobody meant to give.
    for op in ["add", "replace"] {
        refuse(json!({"op": op, "path": "roles[value eq \"a\"].value", "value": "b"}), ScimType::NoTarget);
        refuse(
            json!({"op": op, "path": "phoneNumbers[type eq \"mobile\"].type", "value": "work"}),
            ScimType::NoTarget,
        );
    }
}

#[test]
fn replace_with_a_filter_that_selects_nothing_has_no_target() {
    refuse(
        json!({"op": "replace", "path": "emails[type eq \"other\"]", "value": {"primary": true}}),
        ScimType::NoTarget,
    );
    refuse(
        json!({"op": "replace", "path": "emails[type eq \"other\"]", "value": {"value": "x"}}),
        ScimType::NoTarget,
    );
    refuse(
        json!({"op": "replace", "path": "emails[value sw \"z\"].value", "value": "x"}),
        ScimType::NoTarget,
    );
    refuse(
        json!({"op": "replace", "path": "emails[colour eq \"red\"].value", "value": "x"}),
        ScimType::NoTarget,
    );
    refuse_on(
        ResourceType::Group,
        &group(),
        json!({"op": "replace", "path": "members[value eq \"z\"].type", "value": "User"}),
        ScimType::NoTarget,
    );
}

// Remove.
