//! Bodies of answers, whole and cut down.

use scim::{GroupRef, Member, Meta, Related, Resource, ResourceType, Selection, etag, render, timestamp};
use serde_json::{Value, json};

use crate::{ENT, GROUP, USER};

fn user() -> Resource {
    let body = json!({
        "userName": "u", "password": "secret", "externalId": "e",
        "name": {"givenName": "G", "familyName": "F"},
        "emails": [{"value": "a", "type": "work"}, {"value": "b", "type": "home"}],
        ENT: {"department": "d", "manager": {"value": "m"}},
    });
    Resource::from_value(ResourceType::User, body).expect("a user")
}

fn meta<'a>(id: &'a str, location: &'a str) -> Meta<'a> {
    Meta { id, created_ms: 1_579_755_382_000, modified_ms: 1_620_880_954_123, version: 3, location }
}

fn user_with(selection: &Selection) -> Value {
    let groups = [
        GroupRef { value: "g1".to_owned(), display: Some("Staff".to_owned()), is_direct: true },
        GroupRef { value: "g2".to_owned(), display: None, is_direct: false },
    ];
    let related = Related { groups: &groups, members: &[] };
    render(&user(), &meta("1", "https://h/scim/acme/v2/Users/1"), &related, selection)
}

#[test]
fn whole_user_is_what_the_standard_says() {
    assert_eq!(
        user_with(&Selection::Default),
        json!({
            "schemas": [USER, ENT],
            "id": "1",
            "externalId": "e",
            "userName": "u",
            "active": true,
            "name": {"givenName": "G", "familyName": "F"},
            "emails": [{"value": "a", "type": "work"}, {"value": "b", "type": "home"}],
            "groups": [
                {"value": "g1", "display": "Staff", "type": "direct", "$ref": "https://h/scim/acme/v2/Groups/g1"},
                {"value": "g2", "type": "indirect", "$ref": "https://h/scim/acme/v2/Groups/g2"},
            ],
            ENT: {
                "department": "d",
                "manager": {"value": "m", "$ref": "https://h/scim/acme/v2/Users/m"},
            },
            "meta": {
                "resourceType": "User",
                "created": "2020-01-23T04:56:22.000Z",
                "lastModified": "2021-05-13T04:42:34.123Z",
                "location": "https://h/scim/acme/v2/Users/1",
                "version": "W/\"3\"",
            },
        })
    );
}

#[test]
fn whole_group_has_its_members_wherever_they_are_kept() {
    let body = json!({"displayName": "g", "members": [{"value": "a", "type": "Group"}]});
    let mut group = Resource::from_value(ResourceType::Group, body).expect("a group");
    let location = "https://h/scim/acme/v2/Groups/1";
    let expect = json!([{"value": "a", "type": "Group", "$ref": "https://h/scim/acme/v2/Groups/a"}]);
    let whole = render(&group, &meta("1", location), &Related::default(), &Selection::Default);
    assert_eq!(whole.get("members"), Some(&expect));
    assert_eq!(whole.get("schemas"), Some(&json!([GROUP])));

    let members = group.take_members();
    let related = Related { groups: &[], members: &members };
    assert_eq!(render(&group, &meta("1", location), &related, &Selection::Default), whole);

    let without = Selection::parse(None, Some("members")).expect("a selection");
    let cut = render(&group, &meta("1", location), &related, &without);
    assert_eq!(cut.get("members"), None);
    assert_eq!(cut.get("displayName"), Some(&json!("g")));
}

#[test]
fn unknown_location_gives_no_references() {
    let members = [Member { value: "a".to_owned(), display: None, kind: None }];
    let group = Resource::from_value(ResourceType::Group, json!({"displayName": "g"})).expect("a group");
    let related = Related { groups: &[], members: &members };
    let body = render(&group, &meta("1", "elsewhere"), &related, &Selection::Default);
    assert_eq!(body.get("members"), Some(&json!([{"value": "a"}])));
}

/// What is left of a user besides `id` and `schemas`, which always stay.
fn check(attributes: Option<&str>, excluded: Option<&str>, expect: &[(&str, Value)]) {
    let selection = Selection::parse(attributes, excluded).expect("a selection");
    let mut body = user_with(&selection);
    let object = body.as_object_mut().expect("an object");
    assert_eq!(object.remove("id"), Some(json!("1")));
    assert_eq!(object.remove("schemas"), Some(json!([USER, ENT])));
    let expect: serde_json::Map<String, Value> =
        expect.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    assert_eq!(*object, expect, "{attributes:?} {excluded:?}");
}

#[test]
fn attributes_replace_the_default() {
    let only = |names: &str, expect: &[(&str, Value)]| check(Some(names), None, expect);
    only("userName", &[("userName", json!("u"))]);
    only("USERNAME , externalid", &[("userName", json!("u")), ("externalId", json!("e"))]);
    only("name.givenName", &[("name", json!({"givenName": "G"}))]);
    only("name.givenName,name.familyName", &[("name", json!({"givenName": "G", "familyName": "F"}))]);
    only("emails.value", &[("emails", json!([{"value": "a"}, {"value": "b"}]))]);
    only(
        "emails.type,emails.value",
        &[("emails", json!([{"value": "a", "type": "work"}, {"value": "b", "type": "home"}]))],
    );
    only(
        "emails.type,emails",
        &[("emails", json!([{"value": "a", "type": "work"}, {"value": "b", "type": "home"}]))],
    );
    only("emails[type eq \"work, or\"].value", &[("emails", json!([{"value": "a"}, {"value": "b"}]))]);
    only("urn:ietf:params:scim:schemas:core:2.0:User:userName", &[("userName", json!("u"))]);
    only(&format!("{ENT}:department"), &[(ENT, json!({"department": "d"}))]);
    only(
        &format!("{ENT}:manager.value,{ENT}:department"),
        &[(ENT, json!({"department": "d", "manager": {"value": "m"}}))],
    );
    only(
        ENT,
        &[(
            ENT,
            json!({"department": "d", "manager": {"value": "m", "$ref": "https://h/scim/acme/v2/Users/m"}}),
        )],
    );
    only("meta.version", &[("meta", json!({"version": "W/\"3\""}))]);
    only("groups.display", &[("groups", json!([{"display": "Staff"}]))]);
    only("shoeSize,a b", &[]);
    only("id", &[]);
    only("password", &[]);
}

#[test]
fn excluded_attributes_are_left_out() {
    let rest = [
        ("userName", json!("u")),
        ("active", json!(true)),
        ("externalId", json!("e")),
        ("name", json!({"givenName": "G", "familyName": "F"})),
    ];
    let except = |names: &str, expect: &[(&str, Value)]| {
        let names = format!("meta,groups,{ENT},{names}");
        check(None, Some(&names), &[&rest[..], expect].concat());
    };
    except("EMAILS,id,schemas", &[]);
    except("emails.type", &[("emails", json!([{"value": "a"}, {"value": "b"}]))]);
    check(
        None,
        Some(&format!("{USER},{ENT}:manager,meta")),
        &[("externalId", json!("e")), (ENT, json!({"department": "d"}))],
    );
}

#[test]
fn both_lists_at_once_are_refused_and_empty_ones_restrict_nothing() {
    assert!(Selection::parse(Some("a"), Some("b")).is_err());
    for (attributes, excluded) in [(None, None), (Some(""), None), (Some(" , "), Some("")), (None, Some(","))]
    {
        assert_eq!(Selection::parse(attributes, excluded), Ok(Selection::Default));
    }
    assert!(Selection::parse(Some(""), Some("emails")).is_ok());
}

#[test]
fn selection_says_what_need_not_be_read() {
    let wants = |attributes: Option<&str>, excluded: Option<&str>| {
        Selection::parse(attributes, excluded).expect("a selection").wants(ResourceType::Group, "members")
    };
    assert!(wants(None, None));
    assert!(!wants(None, Some("Members")));
    assert!(wants(None, Some("members.display")));
    assert!(!wants(Some("id,displayName"), None));
    assert!(wants(Some("members.value"), None));
    assert!(wants(Some(GROUP), None));
    assert!(!wants(None, Some(GROUP)));
}

#[test]
fn tags_and_instants_have_their_form() {
    assert_eq!(etag(12), "W/\"12\"");
    assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(timestamp(-1), "1969-12-31T23:59:59.999Z");
    assert_eq!(timestamp(1_767_323_045_678), "2026-01-02T03:04:05.678Z");
    assert_eq!(timestamp(i64::MAX), "1970-01-01T00:00:00.000Z");
}
