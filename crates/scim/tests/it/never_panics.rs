//! Arbitrary input: nothing panics, and what holds for the examples holds for all.

use proptest::prelude::*;
use scim::{
    AttrPath, Filter, ListQuery, Meta, PatchPath, Related, Resource, ResourceType, Selection, matches, patch,
    render,
};
use serde_json::{Map, Value, json};

use crate::{ENT, GROUP, USER};

/// Strings that look like filters more often than not.
fn filter_like() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "userName",
        "emails",
        "name.givenName",
        "active",
        "meta.created",
        "members",
        ENT,
        ":manager",
        "[",
        "]",
        "(",
        ")",
        " and ",
        " or ",
        " not ",
        "not (",
        " eq ",
        " co ",
        " pr",
        " gt ",
        "\"a\"",
        "\"\\\"",
        "\"",
        "true",
        "null",
        "1.5",
        ".",
        ".value",
        "type",
        " ",
        "\\",
        "ü",
        "\0",
        ",",
        "urn:",
        "$ref",
        "2020-01-01T00:00:00Z",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

/// Filters that are legal.
fn legal_filter() -> impl Strategy<Value = String> {
    let name =
        prop::sample::select(vec!["userName", "title", "emails.value", "name.givenName", "EXTERNALID", "x"]);
    let op = prop::sample::select(vec!["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "LE"]);
    let value = prop_oneof![
        "[^\0]{0,6}".prop_map(|text| Value::from(text).to_string()),
        any::<i32>().prop_map(|number| number.to_string()),
        Just("null".to_owned()),
        Just("true".to_owned()),
    ];
    let term = prop_oneof![
        (name.clone(), op, value).prop_map(|(name, op, value)| format!("{name} {op} {value}")),
        name.prop_map(|name| format!("{name} pr")),
        Just("emails[type eq \"work\" or not (value pr)].value sw \"a\"".to_owned()),
        Just("emails[type eq \"work\"]".to_owned()),
    ];
    term.prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.join(" and ")),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.join(" or ")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            inner.prop_map(|inner| format!("not ({inner})")),
        ]
    })
}

/// JSON with names that mean something more often than not.
fn json_like() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c\0]{0,3}".prop_map(Value::from),
        prop::sample::select(vec!["True", "false", "", "work", "2020-01-01"]).prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "userName",
        "displayName",
        "name",
        "givenName",
        "emails",
        "value",
        "type",
        "primary",
        "members",
        "active",
        "Active",
        "$ref",
        "manager",
        "schemas",
        "id",
        "meta",
        "groups",
        "password",
        "externalId",
        "title",
        ENT,
        USER,
        GROUP,
        "name.givenName",
        "emails[type eq \"work\"].value",
        "unknown",
        "department",
        "display",
        "roles",
    ]);
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8).prop_map(|members| {
                Value::Object(
                    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>(),
                )
            }),
        ]
    })
}

fn path_like() -> impl Strategy<Value = String> {
    prop_oneof![
        filter_like(),
        prop::sample::select(vec![
            "userName",
            "title",
            "name",
            "name.givenName",
            "emails",
            "emails.value",
            "emails[type eq \"work\"]",
            "emails[type eq \"work\"].value",
            "emails[value pr].primary",
            "members",
            "members[value eq \"a\"]",
            "members[type eq \"User\"].display",
            "active",
            "roles[primary eq true].value",
            "password",
            "schemas",
            ENT,
        ])
        .prop_map(str::to_owned),
        prop::sample::select(vec!["manager", "manager.value", "department", "manager.displayName"])
            .prop_map(|name| format!("{ENT}:{name}")),
    ]
}

fn kinds() -> impl Strategy<Value = ResourceType> {
    prop::sample::select(ResourceType::ALL.to_vec())
}

/// At most one primary value, no password, nothing unknown, and a fixed point of parsing.
fn is_normal(resource: &Resource) {
    let value = resource.as_value();
    assert_eq!(value.get("password"), None);
    assert_eq!(value.get("id"), None);
    for (name, attribute) in value.as_object().expect("an object") {
        let primaries =
            attribute.as_array().into_iter().flatten().filter(|e| e.get("primary") == Some(&json!(true)));
        assert!(primaries.count() < 2, "{name}");
    }
    let mut again = Resource::from_value(resource.kind(), value.clone()).expect("parses again").into_value();
    if value.get("active").is_none() {
        again.as_object_mut().expect("an object").remove("active");
    }
    assert_eq!(&again, value);
}

proptest! {
    #[test]
    fn filters_never_panic(text in prop_oneof![any::<String>(), filter_like()], kind in kinds(), body in json_like()) {
        if let Ok(filter) = Filter::parse(&text) {
            let checked = filter.check(kind);
            let matched = matches(&filter, kind, &body);
            prop_assert!(checked.is_err() || matched.is_ok(), "checked filters evaluate: {text}");
            prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
        }
    }

    #[test]
    fn filters_print_as_they_read(text in legal_filter()) {
        match Filter::parse(&text) {
            Ok(filter) => prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter)),
            // Only the limits stand in the way.
            Err(err) => prop_assert!(err.detail.contains("more than") || err.detail.contains("longer"), "{err}: {text}"),
        }
    }

    #[test]
    fn paths_never_panic(text in prop_oneof![any::<String>(), path_like()]) {
        if let Ok(path) = PatchPath::parse(&text) {
            prop_assert_eq!(PatchPath::parse(&path.to_string()), Ok(path));
        }
        if let Some(path) = AttrPath::parse(&text) {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn bytes_never_panic(bytes in any::<Vec<u8>>(), kind in kinds()) {
        let _ = Resource::parse(kind, &bytes);
        let _ = patch::parse(&bytes);
        let _ = ListQuery::from_search(Some(kind), &bytes);
    }

    #[test]
    fn queries_never_panic(raw in any::<String>(), list in filter_like(), kind in kinds(), body in json_like()) {
        let _ = ListQuery::parse(kind, &raw);
        let _ = ListQuery::parse(kind, &format!("filter={list}&attributes={list}"));
        for selection in [Selection::parse(Some(&list), None), Selection::parse(None, Some(&list))] {
            let selection = selection.expect("one list alone is fine");
            let _ = selection.apply(kind, body.clone());
        }
    }

    #[test]
    fn what_parses_is_normal_and_renders(body in json_like(), kind in kinds()) {
        let mut body = body;
        if let Some(object) = body.as_object_mut() {
            object.entry("userName").or_insert(json!("u"));
            object.entry("displayName").or_insert(json!("d"));
        }
        if let Ok(resource) = Resource::from_value(kind, body) {
            is_normal(&resource);
            let meta = Meta { id: "1", created_ms: 0, modified_ms: 0, version: 1, location: "https://h/v2/Users/1" };
            let rendered = render(&resource, &meta, &Related::default(), &Selection::Default);
            prop_assert_eq!(rendered.get("id"), Some(&json!("1")));
        }
    }

    #[test]
    fn what_a_patch_leaves_is_normal(
        kind in kinds(),
        start in json_like(),
        operations in prop::collection::vec(
            (prop::sample::select(vec!["add", "Replace", "remove"]), prop::option::of(path_like()), json_like()),
            1..6,
        ),
    ) {
        let mut start = start;
        if let Some(object) = start.as_object_mut() {
            object.insert("userName".to_owned(), json!("u"));
            object.insert("displayName".to_owned(), json!("d"));
        }
        let Ok(before) = Resource::from_value(kind, start) else { return Ok(()) };
        for (op, path, value) in operations {
            let Ok(operations) = patch::from_value(json!({"Operations": [{"op": op, "path": path, "value": value}]}))
            else { continue };
            if let Ok(patched) = patch::apply(kind, &before, &operations) {
                is_normal(&patched.resource);
                prop_assert_eq!(patched.changed, patched.resource != before);
            }
        }
    }
}
