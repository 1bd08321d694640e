//! The life of an extension: used by every verb, shown as its schema lets it out, taken away.

use std::cmp::Ordering;

use scim::{
    AttrPath, Extension, Filter, ListQuery, Meta, Reading, Related, Resource, ResourceType, Schemas,
    ScimError, ScimType, Selection, Sort, SortOrder, matches, patch, render_with,
};
use serde_json::{Value, json};

use crate::USER;

pub(crate) const HR: &str = "urn:example:params:scim:schemas:extension:hr:2.0:User";
pub(crate) const BASE: &str = "https://h/scim/acme/v2";

pub(crate) fn form() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": HR,
        "name": "HR",
        "description": "What human resources know",
        "attributes": [
            {"name": "badge", "type": "string", "description": "A badge", "required": true, "caseExact": true,
             "mutability": "immutable", "returned": "always"},
            {"name": "level", "type": "integer"},
            {"name": "share", "type": "decimal", "multiValued": true},
            {"name": "hired", "type": "dateTime"},
            {"name": "key", "type": "binary", "returned": "request"},
            {"name": "pages", "type": "reference", "multiValued": true, "referenceTypes": ["external", "User"]},
            {"name": "remote", "type": "boolean"},
            {"name": "pin", "type": "string", "mutability": "writeOnly", "returned": "never"},
            {"name": "rating", "type": "string", "returned": "never"},
            {"name": "grade", "type": "string", "mutability": "readOnly"},
            {"name": "desks", "type": "complex", "multiValued": true, "subAttributes": [
                {"name": "value", "type": "string", "required": true},
                {"name": "type", "type": "string", "canonicalValues": ["home", "office"]},
                {"name": "primary", "type": "boolean"},
                {"name": "floor", "type": "integer", "returned": "request"},
            ]},
            {"name": "contract", "type": "complex", "subAttributes": [
                {"name": "number", "type": "string", "mutability": "immutable"},
                {"name": "hours", "type": "integer"},
            ]},
        ],
    })
}

pub(crate) fn schemas() -> Schemas {
    let extension = Extension::parse(ResourceType::User, &form().to_string()).expect("an extension");
    Schemas::with_extensions(vec![extension]).expect("one extension")
}

/// A user that uses every attribute.
fn whole() -> Value {
    json!({
        "schemas": [USER, HR],
        "userName": "u",
        HR: {
            "badge": "B1", "level": 3, "share": [0.5, 2], "hired": "2020-01-31T08:00:00Z", "key": "AQID",
            "pages": ["https://h/a", "https://h/b"], "remote": true, "pin": "1234", "rating": "good",
            "grade": "ours to say", "desks": [{"value": "4.2", "type": "office", "floor": 4, "primary": true}],
            "contract": {"number": "C1", "hours": 40},
        },
    })
}

fn read(body: Value) -> Result<Resource, ScimError> {
    Resource::from_value(schemas().of(ResourceType::User), body)
}

fn user() -> Resource {
    read(whole()).expect("a user")
}

fn of_hr(resource: &Resource) -> Value {
    resource.as_value().get(HR).cloned().unwrap_or_default()
}

fn patched(operations: Value) -> Result<Resource, ScimError> {
    let operations = patch::from_value(json!({"Operations": operations})).expect("operations");
    patch::apply(schemas().of(ResourceType::User), &user(), &operations).map(|patched| patched.resource)
}

fn shown(selection: &Selection) -> Value {
    let location = format!("{BASE}/Users/1");
    let meta = Meta { id: "1", created_ms: 0, modified_ms: 0, version: 1, location: &location };
    render_with(schemas().of(ResourceType::User), &user(), &meta, &Related::default(), selection)
}

#[test]
fn post_keeps_what_a_client_may_set() {
    let user = user();
    assert_eq!(
        of_hr(&user),
        json!({
            "badge": "B1", "level": 3, "share": [0.5, 2], "hired": "2020-01-31T08:00:00Z", "key": "AQID",
            "pages": ["https://h/a", "https://h/b"], "remote": true, "rating": "good",
            "desks": [{"value": "4.2", "type": "office", "floor": 4, "primary": true}],
            "contract": {"number": "C1", "hours": 40},
        }),
        "neither the writeOnly pin nor the readOnly grade"
    );
    assert_eq!(user.as_value()["schemas"], json!([USER, HR]));
    // Without the extension its URN means nothing.
    let standard = Resource::from_value(ResourceType::User, whole()).expect("a user");
    assert_eq!(standard.as_value().get(HR), None);
    let mut reading = Reading::strict();
    assert!(Resource::read_value(schemas().of(ResourceType::User), whole(), &mut reading).is_ok());
    assert!(Resource::read_value(ResourceType::User, whole(), &mut Reading::strict()).is_err());
}

#[test]
fn values_of_another_type_are_refused() {
    for (name, value) in [
        ("badge", json!(1)),
        ("level", json!("3")),
        ("level", json!(3.5)),
        ("share", json!(["a"])),
        ("hired", json!("yesterday")),
        ("hired", json!(2020)),
        ("key", json!(5)),
        ("pages", json!([{"value": "https://h"}])),
        ("remote", json!("perhaps")),
        ("desks", json!([{"value": "1", "primary": true}, {"value": "2", "primary": true}])),
        ("desks", json!("4.2")),
        ("contract", json!([{"hours": 1}, {"hours": 2}])),
    ] {
        let mut body = whole();
        body[HR][name] = value.clone();
        let err = read(body).expect_err(name);
        assert_eq!(err.scim_type, Some(ScimType::InvalidValue), "{name} {value}");
        assert!(err.detail.starts_with(&format!("{HR}:{name}")), "{err}");
    }
}

#[test]
fn what_is_required_is_required_where_the_extension_is_used() {
    assert!(read(json!({"userName": "u"})).is_ok());
    let err = read(json!({"userName": "u", HR: {"level": 1}})).expect_err("no badge");
    assert!(err.detail.starts_with(&format!("{HR}:badge: required")), "{err}");
    let err =
        read(json!({"userName": "u", HR: {"badge": "b", "desks": [{"floor": 1}]}})).expect_err("no value");
    assert!(err.detail.starts_with(&format!("{HR}:desks.value: required")), "{err}");
    let err = patched(json!([{"op": "remove", "path": format!("{HR}:badge")}])).expect_err("required");
    assert_eq!(err.scim_type, Some(ScimType::Mutability));
}

#[test]
fn put_keeps_what_is_immutable() {
    let schemas = schemas();
    let of = schemas.of(ResourceType::User);
    let put = |body: Value| Resource::from_value(of, body).and_then(|wanted| wanted.replacing(of, &user()));
    assert_eq!(put(whole()), Ok(user()));
    let left_out = json!({"userName": "u", HR: {"badge": "B1", "level": 4}});
    assert_eq!(
        of_hr(&put(left_out).expect("the contract number stays")),
        json!({"badge": "B1", "level": 4, "contract": {"number": "C1"}})
    );
    // The whole extension left out: what is immutable stays, the rest goes.
    let gone = put(json!({"userName": "u"})).expect("a user");
    assert_eq!(of_hr(&gone), json!({"badge": "B1", "contract": {"number": "C1"}}));
    assert_eq!(gone.as_value()["schemas"], json!([USER, HR]));
    for (badge, number) in [("B2", "C1"), ("B1", "C2"), ("b1", "C1")] {
        let body = json!({"userName": "u", HR: {"badge": badge, "contract": {"number": number}}});
        assert_eq!(put(body).expect_err(badge).scim_type, Some(ScimType::Mutability));
    }
    // Members of a group are immutable one by one; the list is not.
    let group = |members: Value| {
        Resource::from_value(ResourceType::Group, json!({"displayName": "g", "members": members}))
            .expect("a group")
    };
    let (old, new) = (group(json!([{"value": "a", "display": "A"}])), group(json!([{"value": "b"}])));
    assert_eq!(new.clone().replacing(ResourceType::Group, &old), Ok(new));
}

#[test]
fn patch_reaches_every_attribute() {
    let path = |name: &str| format!("{HR}:{name}");
    for (operation, name, expect) in [
        (json!({"op": "replace", "path": path("level"), "value": 4}), "level", json!(4)),
        (json!({"op": "remove", "path": path("level")}), "level", json!(null)),
        (json!({"op": "add", "path": path("share"), "value": [3.25, 2]}), "share", json!([0.5, 2, 3.25])),
        (json!({"op": "remove", "path": path("share"), "value": [2]}), "share", json!([0.5])),
        (
            json!({"op": "add", "path": path("pages"), "value": ["https://h/c"]}),
            "pages",
            json!(["https://h/a", "https://h/b", "https://h/c"]),
        ),
        (json!({"op": "replace", "path": path("REMOTE"), "value": "False"}), "remote", json!(false)),
        (
            json!({"op": "replace", "path": path("contract.hours"), "value": 20}),
            "contract",
            json!({"number": "C1", "hours": 20}),
        ),
        (
            json!({"op": "replace", "path": path("desks[type eq \"office\"].floor"), "value": 5}),
            "desks",
            json!([{"value": "4.2", "type": "office", "floor": 5, "primary": true}]),
        ),
        (json!({"op": "remove", "path": path("desks[floor gt 3]")}), "desks", json!(null)),
        (json!({"op": "replace", "value": {path("level"): 5}}), "level", json!(5)),
        (
            json!({"op": "replace", "value": {path("contract.hours"): 10}}),
            "contract",
            json!({"number": "C1", "hours": 10}),
        ),
        (json!({"op": "replace", "value": {HR: {"level": 6}}}), "level", json!(6)),
        (
            json!({"op": "add", "path": HR, "value": {"level": 7, "contract.hours": 8}}),
            "contract",
            json!({"number": "C1", "hours": 8}),
        ),
        (json!({"op": "add", "path": path("badge"), "value": "B1"}), "badge", json!("B1")),
        (json!({"op": "add", "path": path("pin"), "value": "99"}), "pin", json!(null)),
        (json!({"op": "replace", "value": {HR: {"grade": "A"}}}), "grade", json!(null)),
    ] {
        let after = patched(json!([operation])).unwrap_or_else(|err| panic!("{operation}: {err}"));
        assert_eq!(of_hr(&after)[name], expect, "{operation}");
    }
}

#[test]
fn patch_refuses_what_is_immutable_read_only_or_unknown() {
    let path = |name: &str| format!("{HR}:{name}");
    for (operation, scim_type) in [
        (json!({"op": "replace", "path": path("badge"), "value": "B2"}), ScimType::Mutability),
        (json!({"op": "replace", "value": {HR: {"badge": "B2"}}}), ScimType::Mutability),
        (json!({"op": "remove", "path": path("contract.number")}), ScimType::Mutability),
        (json!({"op": "remove", "path": HR}), ScimType::Mutability),
        (json!({"op": "replace", "path": path("grade"), "value": "A"}), ScimType::Mutability),
        (json!({"op": "replace", "path": path("nothing"), "value": "A"}), ScimType::InvalidPath),
        (json!({"op": "replace", "path": path("desks.depth"), "value": 1}), ScimType::InvalidPath),
        (json!({"op": "replace", "path": path("level"), "value": "four"}), ScimType::InvalidValue),
        (json!({"op": "remove", "path": path("desks[floor co 3]")}), ScimType::InvalidFilter),
        (json!({"op": "remove", "path": "urn:example:other:1"}), ScimType::InvalidPath),
    ] {
        assert_eq!(
            patched(json!([operation])).expect_err("refused").scim_type,
            Some(scim_type),
            "{operation}"
        );
    }
}

#[test]
fn filters_and_orders_know_its_types() {
    let schemas = schemas();
    let of = schemas.of(ResourceType::User);
    let body = user().into_value();
    for (text, expect) in [
        ("badge eq \"B1\"", true),
        ("badge eq \"b1\"", false),
        ("level ge 3", true),
        ("level lt 3", false),
        ("level eq 3.0", true),
        ("level eq 9007199254740993", false),
        ("share eq 2.0", true),
        ("hired gt \"2020-01-31T09:59:00+02:00\"", true),
        ("hired gt \"2020-01-31T10:00:00+02:00\"", false),
        ("pages ew \"/B\"", true),
        ("remote eq true", true),
        ("grade pr", false),
        ("desks.floor eq 4", true),
        ("desks eq \"4.2\"", true),
        ("desks[floor eq 4 and type eq \"OFFICE\"]", true),
        ("desks[floor eq 4 and type eq \"home\"]", false),
        ("contract.hours gt 39.5", true),
    ] {
        let filter = Filter::parse(&format!("{HR}:{text}")).expect(text);
        assert_eq!(filter.check(of), Ok(()), "{text}");
        assert_eq!(matches(&filter, of, &body), Ok(expect), "{text}");
        // Elsewhere the same names have no value.
        assert_eq!(matches(&filter, ResourceType::Group, &body), Ok(false), "{text}");
    }
    for text in
        ["rating eq \"good\"", "pin pr", "remote gt true", "level co 3", "key gt \"A\"", "contract eq \"C1\""]
    {
        let filter = Filter::parse(&format!("{HR}:{text}")).expect(text);
        assert_eq!(filter.check(of).expect_err(text).scim_type, Some(ScimType::InvalidFilter), "{text}");
    }
    let other = json!({HR: {"badge": "A9", "level": 10, "share": [-1], "hired": "2019-01-01T00:00:00Z"}});
    for (name, expect) in [
        ("badge", Ordering::Greater),
        ("level", Ordering::Less),
        ("share", Ordering::Greater),
        ("hired", Ordering::Greater),
        ("remote", Ordering::Less),
        ("grade", Ordering::Equal),
    ] {
        let by = AttrPath::parse(&format!("{HR}:{name}")).expect(name);
        let sort = Sort { by, order: SortOrder::Ascending };
        assert_eq!(sort.compare(of, &body, &other), expect, "{name}");
    }
    let query = format!("filter={HR}:level%20eq%203&sortBy={HR}:badge&attributes={HR}:badge");
    assert!(ListQuery::read(of, &query, &mut Reading::strict()).is_ok());
    assert!(ListQuery::read_root(&schemas, &query, &mut Reading::strict()).is_ok());
}

#[test]
fn large_numbers_are_told_apart() {
    let schemas = schemas();
    let of = schemas.of(ResourceType::User);
    let body = json!({HR: {"level": 9_007_199_254_740_992_i64}});
    let filter = |text: &str| Filter::parse(&format!("{HR}:level {text}")).expect(text);
    assert_eq!(matches(&filter("eq 9007199254740993"), of, &body), Ok(false));
    assert_eq!(matches(&filter("lt 9007199254740993"), of, &body), Ok(true));
    assert_eq!(matches(&filter("eq 9007199254740992"), of, &body), Ok(true));
}

#[test]
fn answers_hold_what_the_schema_lets_out() {
    let only = |names: &[&str]| Selection::Only(names.iter().map(|name| (*name).to_owned()).collect());
    let except = |names: &[&str]| Selection::Except(names.iter().map(|name| (*name).to_owned()).collect());
    let path = |name: &str| format!("{HR}:{name}");

    let usual = shown(&Selection::Default);
    assert_eq!(usual["schemas"], json!([USER, HR]));
    assert_eq!(
        usual[HR],
        json!({
            "badge": "B1", "level": 3, "share": [0.5, 2], "hired": "2020-01-31T08:00:00Z",
            "pages": ["https://h/a", "https://h/b"], "remote": true,
            "desks": [{"value": "4.2", "type": "office", "primary": true}],
            "contract": {"number": "C1", "hours": 40},
        }),
        "without what is returned on request (key, desks.floor) or never (rating)"
    );
    assert_eq!(shown(&only(&["userName"]))[HR], json!({"badge": "B1"}), "always is always");
    assert_eq!(shown(&only(&[&path("key")]))[HR], json!({"badge": "B1", "key": "AQID"}));
    assert_eq!(shown(&only(&[&path("rating")]))[HR], json!({"badge": "B1"}), "never is never");
    assert_eq!(
        shown(&only(&[&path("desks.floor"), &path("desks.type")]))[HR],
        json!({"badge": "B1", "desks": [{"type": "office", "floor": 4}]})
    );
    assert_eq!(
        shown(&only(&[&path("desks")]))[HR],
        json!({"badge": "B1", "desks": [{"value": "4.2", "type": "office", "primary": true}]})
    );
    assert_eq!(shown(&only(&[HR]))[HR], usual[HR]);
    assert_eq!(shown(&except(&[HR]))[HR], json!({"badge": "B1"}));
    let less = shown(&except(&[&path("level"), &path("badge"), &path("contract.hours")]));
    assert_eq!((&less[HR]["level"], &less[HR]["badge"]), (&json!(null), &json!("B1")));
    assert_eq!(less[HR]["contract"], json!({"number": "C1"}));
}

#[test]
fn an_extension_that_is_taken_away_is_not_shown() {
    let location = format!("{BASE}/Users/1");
    let meta = Meta { id: "1", created_ms: 0, modified_ms: 0, version: 1, location: &location };
    let stored = Resource::from_stored(ResourceType::User, user().into_value());
    let body = scim::render(&stored, &meta, &Related::default(), &Selection::Default);
    assert_eq!(body.get(HR), None);
    assert_eq!(body["schemas"], json!([USER]));
    // Nothing is lost: with the extension it is there again.
    assert_eq!(of_hr(&stored), of_hr(&user()));
}
