//! Registering an extension: what is read, what is refused, and what discovery shows of it.

use proptest::prelude::*;
use scim::{AttrPath, Extension, Resource, ResourceType, Schemas, ScimError, ScimType, discovery, patch};
use serde_json::{Value, json};

use crate::{
    ENT, USER,
    extension::{BASE, HR, form, schemas},
};

fn refused(change: impl FnOnce(&mut Value)) -> ScimError {
    let mut form = form();
    change(&mut form);
    Extension::parse(ResourceType::User, &form.to_string()).expect_err(&form.to_string())
}

#[test]
fn it_reads_back_what_it_writes() {
    let extension = Extension::parse(ResourceType::User, &form().to_string()).expect("an extension");
    assert_eq!(Extension::parse(ResourceType::User, &extension.to_json().to_string()), Ok(extension.clone()));
    assert_eq!((extension.urn(), extension.kind()), (HR, ResourceType::User));
}

#[test]
fn discovery_shows_it_with_its_characteristics() {
    let schemas = schemas();
    let list = discovery::schemas_of(&schemas, BASE);
    assert_eq!(list["totalResults"], json!(4));
    let shown = discovery::schema_of(&schemas, BASE, &HR.to_uppercase()).expect("the schema");
    assert_eq!(shown["meta"]["location"], json!(format!("{BASE}/Schemas/{HR}")));
    assert_eq!((&shown["name"], &shown["description"]), (&json!("HR"), &json!("What human resources know")));
    assert_eq!(
        shown["attributes"][0],
        json!({
            "name": "badge", "type": "string", "multiValued": false, "description": "A badge", "required": true,
            "caseExact": true, "mutability": "immutable", "returned": "always", "uniqueness": "none",
        })
    );
    for (given, shown) in form()["attributes"]
        .as_array()
        .expect("some")
        .iter()
        .zip(shown["attributes"].as_array().expect("some"))
    {
        for (name, value) in
            given.as_object().expect("an object").iter().filter(|(name, _)| *name != "subAttributes")
        {
            assert_eq!(shown.get(name), Some(value), "{given}");
        }
    }
    let user = discovery::resource_type_of(&schemas, BASE, "User").expect("the type");
    assert_eq!(
        user["schemaExtensions"],
        json!([{"schema": ENT, "required": false}, {"schema": HR, "required": false}])
    );
    let group = discovery::resource_type_of(&schemas, BASE, "Group").expect("the type");
    assert_eq!(group["schemaExtensions"], json!([]));
    assert_eq!(discovery::resource_types_of(&schemas, BASE)["totalResults"], json!(2));
    // Other federations do not have it.
    assert_eq!(discovery::schema(BASE, HR), None);
}

#[test]
fn what_cannot_be_kept_is_refused_with_the_reason() {
    let attribute = |index: usize, name: &'static str, value: Value| {
        refused(move |form| form["attributes"][index][name] = value)
    };
    for (err, place) in [
        (attribute(0, "uniqueness", json!("server")), "attribute 'badge'.uniqueness: values of an extension"),
        (attribute(0, "type", json!("text")), "attribute 'badge'.type: expected one of string, boolean"),
        (
            attribute(0, "required", json!("yes")),
            "attribute 'badge'.required: expected true or false, not a string",
        ),
        (attribute(1, "name", json!("1st")), "attributes[1].name: expected a letter"),
        (attribute(1, "name", json!("a.b")), "attributes[1].name: expected a letter"),
        (attribute(1, "name", json!("$ref")), "attributes[1].name: '$ref' can only name a sub-attribute"),
        (attribute(1, "name", json!("BADGE")), "attributes[1].name: 'BADGE' is there twice"),
        (attribute(1, "name", json!(null)), "attributes[1].name: expected a name, not nothing"),
        (
            attribute(1, "referenceTypes", json!(["User"])),
            "attribute 'level'.referenceTypes: only a reference",
        ),
        (
            attribute(1, "subAttributes", json!([{"name": "a"}])),
            "attribute 'level'.subAttributes: only a complex",
        ),
        (
            attribute(1, "canonicalValues", json!([1])),
            "attribute 'level'.canonicalValues: expected an array of nothing but strings",
        ),
        (attribute(7, "returned", json!("default")), "attribute 'pin'.returned: what is writeOnly"),
        (attribute(7, "required", json!(true)), "attribute 'pin'.required: what is writeOnly"),
        (attribute(9, "required", json!(true)), "attribute 'grade'.required: a client cannot give"),
        (
            attribute(10, "subAttributes", json!([])),
            "attribute 'desks'.subAttributes: expected one sub-attribute or more",
        ),
        (
            attribute(
                10,
                "subAttributes",
                json!([{"name": "deep", "type": "complex", "subAttributes": [{"name": "a"}]}]),
            ),
            "attribute 'deep'.type: a sub-attribute cannot have sub-attributes",
        ),
        (refused(|form| form["attributes"] = json!([])), "attributes: expected one attribute or more"),
        (refused(|form| form["attributes"] = json!({})), "attributes: expected an array of attributes"),
        (refused(|form| form["id"] = json!(null)), "id: expected a URN, not nothing"),
    ] {
        assert!(err.detail.starts_with(place), "{err} instead of {place}");
        assert_eq!(err.scim_type, Some(ScimType::InvalidValue), "{err}");
    }
}

#[test]
fn its_urn_is_a_urn_of_its_own() {
    for urn in [
        "",
        "hr",
        "https://h/hr",
        "urn:",
        "urn:x",
        "urn:example",
        "urn:example:",
        "urn:example:a b",
        "urn:example:ü",
        "urn:example:a\"b",
        "urn:example:a[b]",
        "urn:-x:a",
        "urn:example:hr:",
        USER,
        ENT,
        "URN:IETF:params:scim:schemas:core:2.0:user",
        "urn:ietf:params:scim:schemas:core:2.0:User:name",
    ] {
        let err = refused(|form| form["id"] = json!(urn));
        assert!(err.detail.starts_with("id: "), "{urn}: {err}");
    }
    for urn in [
        "urn:example:hr",
        "URN:ietf:params:scim:schemas:extension:hr:2.0:User",
        "urn:a1:hr:2.0",
        "urn:example:a.b",
    ] {
        let mut form = form();
        form["id"] = json!(urn);
        let extension = Extension::parse(ResourceType::User, &form.to_string()).expect(urn);
        let schemas = Schemas::with_extensions(vec![extension.clone()]).expect(urn);
        let of = schemas.of(ResourceType::User);
        let path = AttrPath::parse(&format!("{urn}:desks.floor")).expect(urn);
        assert_eq!(path.canonical(of), Some(format!("{urn}:desks.floor")));
        // Alone it stands for the whole.
        let operations = patch::from_value(json!({"Operations": [
            {"op": "add", "path": urn, "value": {"badge": "B"}},
            {"op": "replace", "value": {urn: {"level": 1}}},
        ]}));
        let before = Resource::from_value(of, json!({"userName": "u"})).expect("a user");
        let after = patch::apply(of, &before, &operations.expect(urn)).expect(urn).resource;
        assert_eq!(after.as_value()[urn], json!({"badge": "B", "level": 1}));
        assert_eq!(after.as_value()["schemas"], json!([USER, urn]));
        let removal = patch::from_value(json!({"Operations": [{"op": "add", "path": urn, "value": null}]}));
        assert!(!patch::apply(of, &after, &removal.expect(urn)).expect(urn).changed);
        assert_eq!(
            Schemas::with_extensions(vec![extension.clone(), extension]).expect_err(urn).scim_type,
            Some(ScimType::Uniqueness)
        );
    }
}

#[test]
fn a_urn_that_is_also_a_path_is_refused() {
    let make = |urn: &str| {
        let form = json!({"id": urn, "attributes": [{"name": "level"}]});
        Extension::parse(ResourceType::User, &form.to_string()).expect(urn)
    };
    let err = Schemas::with_extensions(vec![make("urn:example:hr:level"), make("urn:example:hr")]);
    assert!(err.expect_err("ambiguous").detail.contains("path of an attribute"));
    assert!(Schemas::with_extensions(vec![make("urn:example:hr:other"), make("urn:example:hr")]).is_ok());
}

#[test]
fn its_limits_are_the_limits_that_are_said() {
    let many = |count: usize| {
        let attributes: Vec<_> = (0..count).map(|index| json!({"name": format!("a{index}")})).collect();
        Extension::parse(ResourceType::User, &json!({"id": HR, "attributes": attributes}).to_string())
    };
    assert!(many(200).is_ok());
    let err = many(201).expect_err("too many");
    assert_eq!(err.scim_type, Some(ScimType::TooMany));
    assert!(err.detail.contains("200"), "{err}");

    let subs: Vec<_> = (0..199).map(|index| json!({"name": format!("s{index}")})).collect();
    let with_subs = |more: Value| {
        let mut attributes = vec![json!({"name": "c", "type": "complex", "subAttributes": subs})];
        attributes.extend(more.as_array().into_iter().flatten().cloned());
        Extension::parse(ResourceType::User, &json!({"id": HR, "attributes": attributes}).to_string())
    };
    assert!(with_subs(json!([])).is_ok());
    assert!(with_subs(json!([{"name": "d"}])).is_err());

    let sized = |length: usize| {
        let form = json!({"id": HR, "attributes": [{"name": "a"}], "description": ""}).to_string();
        let padding = " ".repeat(length - form.len());
        Extension::parse(ResourceType::User, &format!("{form}{padding}"))
    };
    assert!(sized(65_536).is_ok());
    assert_eq!(sized(65_537).expect_err("too long").status, 413);

    let make = |index: usize| {
        let form = json!({"id": format!("urn:example:e{index}"), "attributes": [{"name": "a"}]});
        Extension::parse(ResourceType::User, &form.to_string()).expect("an extension")
    };
    assert!(Schemas::with_extensions((0..32).map(make).collect()).is_ok());
    assert!(Schemas::with_extensions((0..33).map(make).collect()).is_err());
}

/// Forms that are nearly right.
fn form_like() -> impl Strategy<Value = Value> {
    let odd = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(1),
        json!("x"),
        json!([]),
        json!(["a", 1]),
        json!({"name": "a"}),
    ]);
    let name =
        prop::sample::select(vec!["a", "A", "b-1", "$ref", "value", "type", "1a", "", "ü", "schemas", "id"]);
    let kind = prop::sample::select(vec![
        "string",
        "boolean",
        "decimal",
        "integer",
        "DATETIME",
        "reference",
        "binary",
        "complex",
        "x",
    ]);
    let characteristic = (
        prop::sample::select(vec![
            "multiValued",
            "required",
            "caseExact",
            "mutability",
            "returned",
            "uniqueness",
            "canonicalValues",
            "referenceTypes",
            "subAttributes",
            "description",
        ]),
        prop_oneof![
            odd.clone(),
            prop::sample::select(vec![
                "readOnly",
                "immutable",
                "writeOnly",
                "never",
                "request",
                "always",
                "none"
            ])
            .prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
        ],
    );
    let attribute =
        (name, kind, prop::collection::vec(characteristic, 0..3)).prop_map(|(name, kind, more)| {
            let mut attribute = json!({"name": name, "type": kind});
            for (name, value) in more {
                attribute[name] = value;
            }
            attribute
        });
    let attribute = attribute.prop_recursive(2, 12, 4, |inner| {
        (inner.clone(), prop::collection::vec(inner, 0..4)).prop_map(|(mut attribute, subs)| {
            attribute["type"] = json!("complex");
            attribute["subAttributes"] = json!(subs);
            attribute
        })
    });
    let urn = prop::sample::select(vec!["urn:example:a", "urn:example:a:2.0:User", USER, "x", "urn:"]);
    (urn, prop::collection::vec(prop_oneof![9 => attribute, 1 => odd], 0..5))
        .prop_map(|(urn, attributes)| json!({"id": urn, "attributes": attributes}))
}

proptest! {
    #[test]
    fn a_form_is_refused_or_reads_back_as_it_was(form in form_like(), value in form_like()) {
        let Ok(extension) = Extension::parse(ResourceType::User, &form.to_string()) else { return Ok(()) };
        let again = Extension::parse(ResourceType::User, &extension.to_json().to_string());
        prop_assert_eq!(again, Ok(extension.clone()));
        // Whatever comes for it, what is kept is a fixed point.
        let urn = extension.urn().to_owned();
        let schemas = Schemas::with_extensions(vec![extension]).expect("one extension");
        let of = schemas.of(ResourceType::User);
        if let Ok(resource) = Resource::from_value(of, json!({"userName": "u", urn: value})) {
            let again = Resource::from_value(of, resource.as_value().clone());
            prop_assert_eq!(again, Ok(resource));
        }
    }

    #[test]
    fn text_that_is_no_form_is_refused(text in any::<String>()) {
        prop_assert!(Extension::parse(ResourceType::Group, &text).is_err());
    }
}
