//! Bodies of POST and PUT: lenient in, strict out.

use scim::{Resource, ResourceType, ScimType};
use serde_json::{Value, json};

use crate::{ENT, GROUP, USER};

fn parse(kind: ResourceType, body: Value) -> Value {
    let text = body.to_string();
    let from_bytes = Resource::parse(kind, text.as_bytes()).unwrap_or_else(|err| panic!("{text}: {err}"));
    assert_eq!(Resource::from_value(kind, body), Ok(from_bytes.clone()));
    // The normal form is a fixed point.
    assert_eq!(Resource::from_value(kind, from_bytes.as_value().clone()), Ok(from_bytes.clone()));
    assert_eq!(Resource::from_stored(kind, from_bytes.as_value().clone()), from_bytes);
    from_bytes.into_value()
}

/// A user with more attributes becomes this.
fn check_user(more: Value, expect: Value) {
    let with_name = |more: Value| {
        let mut body = json!({"userName": "u"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let mut expect = with_name(expect);
    let object = expect.as_object_mut().expect("an object");
    object.entry("active").or_insert(Value::Bool(true));
    let schemas = if object.contains_key(ENT) { json!([USER, ENT]) } else { json!([USER]) };
    object.insert("schemas".to_owned(), schemas);
    assert_eq!(parse(ResourceType::User, with_name(more)), expect);
}

fn refuse(kind: ResourceType, body: Value, path: &str) {
    let text = body.to_string();
    let err = Resource::from_value(kind, body).expect_err(&text);
    assert_eq!((err.status, err.scim_type), (400, Some(ScimType::InvalidValue)), "{text}: {err}");
    assert!(err.detail.starts_with(&format!("{path}: ")), "{text}: {err}");
}

fn refuse_user(more: Value, path: &str) {
    let mut body = json!({"userName": "u"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    refuse(ResourceType::User, body, path);
}

#[test]
fn entra_user_is_understood() {
    let body = json!({
        "schemas": [USER, ENT],
        "externalId": "0a21f0f2",
        "userName": "Test_User_ab6490ee",
        "active": true,
        "emails": [{"primary": true, "type": "work", "value": "a@testuser.com"}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "g f", "familyName": "f", "givenName": "g"},
        "roles": [],
    });
    assert_eq!(
        parse(ResourceType::User, body),
        json!({
            // The extension is listed but not used.
            "schemas": [USER],
            "externalId": "0a21f0f2",
            "userName": "Test_User_ab6490ee",
            "active": true,
            "emails": [{"primary": true, "type": "work", "value": "a@testuser.com"}],
            "name": {"formatted": "g f", "familyName": "f", "givenName": "g"},
        })
    );
}

#[test]
fn entra_group_with_a_foreign_schema_is_understood() {
    let body = json!({
        "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0",
        "displayName": "displayName",
        "meta": {"resourceType": "Group"},
    });
    assert_eq!(
        parse(ResourceType::Group, body),
        json!({"schemas": [GROUP], "externalId": "8aa1a0c0", "displayName": "displayName"})
    );
}

#[test]
fn entra_reference_code_with_odd_spelling_is_understood() {
    check_user(
        json!({"Active": "True", "EMAILS": [{"Primary": true, "Type": "work", "Value": "a"}], "adreses": [1]}),
        json!({"active": true, "emails": [{"primary": true, "type": "work", "value": "a"}]}),
    );
    let group = parse(ResourceType::Group, json!({"displayName": "g", "members": "string id 1"}));
    assert_eq!(group.get("members"), Some(&json!([{"value": "string id 1"}])));
}

#[test]
fn okta_user_is_understood() {
    let body = json!({
        "schemas": [USER],
        "userName": "test.user@okta.local",
        "name": {"givenName": "Test", "familyName": "User"},
        "emails": [{"primary": true, "value": "test.user@okta.local", "type": "work", "display": "x"}],
        "displayName": "Test User",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": true,
    });
    let user = parse(ResourceType::User, body);
    assert_eq!(user.get("password"), None);
    assert_eq!(user.get("groups"), None);
    assert_eq!(user.get("locale"), Some(&json!("en-US")));
    assert!(!user.to_string().contains("1mz050nq"));
}

#[test]
fn okta_put_with_read_only_parts_is_understood() {
    check_user(
        json!({
            "id": "23a35c27", "meta": {"resourceType": "User"}, "groups": [{"value": "g"}], "active": false,
            ENT: {"manager": {"value": "m", "displayName": "Boss"}},
        }),
        json!({"active": false, ENT: {"manager": {"value": "m"}}}),
    );
}

#[test]
fn scimgateway_nulls_and_empties_are_unassigned() {
    check_user(
        json!({
            "active": true, "password": null, "name": {"givenName": "G", "familyName": "W", "formatted": null},
            "title": "", "emails": [{"value": "a", "type": "work"}], "phoneNumbers": null, "entitlements": null,
        }),
        json!({
            "name": {"givenName": "G", "familyName": "W"}, "title": "",
            "emails": [{"value": "a", "type": "work"}],
        }),
    );
}

#[test]
fn one_login_template_is_understood() {
    check_user(
        json!({
            "schemas": ["urn:scim:schemas:core:1.0"],
            "name": {"givenName": "", "familyName": ""},
            "phoneNumbers": [{"type": "work", "value": ""}, {"type": "mobile", "value": "1"}],
            "addresses": [{"type": "work", "streetAddress": "", "locality": ""}],
            "profileUrl": "",
            ENT: {"manager": "", "department": "d"},
        }),
        json!({"phoneNumbers": [{"type": "mobile", "value": "1"}], ENT: {"department": "d"}}),
    );
}

#[test]
fn rauthy_custom_object_is_dropped() {
    check_user(json!({"custom": {"a": {"b": [1]}}, "urn:example:2.0:User": {"x": 1}}), json!({}));
}

#[test]
fn rippling_single_member_is_understood() {
    let group =
        parse(ResourceType::Group, json!({"displayName": "g", "members": {"value": "m", "$ref": null}}));
    assert_eq!(group.get("members"), Some(&json!([{"value": "m"}])));
}

#[test]
fn unassigned_is_null_empty_or_absent() {
    check_user(
        json!({"emails": null, "roles": [], "name": {}, "nickName": null, "photos": [null]}),
        json!({}),
    );
    check_user(json!({ENT: null}), json!({}));
    check_user(json!({ENT: {}}), json!({}));
    check_user(json!({ENT: {"manager": {"value": ""}}}), json!({}));
    check_user(json!({ENT: {"manager": {"value": null}}}), json!({}));
    check_user(json!({ENT: {"manager": {"displayName": "only"}}}), json!({}));
    check_user(json!({"name": ""}), json!({}));
}

#[test]
fn manager_may_be_a_bare_id() {
    let expect = json!({ENT: {"manager": {"value": "m"}}});
    check_user(json!({ENT: {"manager": "m"}}), expect.clone());
    check_user(json!({ENT.to_uppercase(): {"MANAGER": [{"value": "m"}]}}), expect);
}

#[test]
fn only_booleans_are_read_from_strings() {
    for (text, expect) in [("False", false), ("false", false), ("TRUE", true)] {
        check_user(json!({"active": text}), json!({"active": expect}));
    }
    check_user(json!({"title": "True"}), json!({"title": "True"}));
    for wrong in [json!("yes"), json!(1), json!("")] {
        refuse_user(json!({"active": wrong}), "active");
    }
}

#[test]
fn active_is_true_when_nothing_is_said() {
    let user = Resource::from_value(ResourceType::User, json!({"userName": "u"})).expect("a user");
    assert!(user.active());
    assert_eq!(user.as_value().get("active"), Some(&Value::Bool(true)));
    let group = Resource::from_value(ResourceType::Group, json!({"displayName": "g"})).expect("a group");
    assert_eq!(group.as_value().get("active"), None);
}

#[test]
fn wrong_types_are_refused_with_their_path() {
    refuse_user(json!({"title": 5}), "title");
    refuse_user(json!({"title": ["x"]}), "title");
    refuse_user(json!({"nickName": {"a": 1}}), "nickName");
    refuse_user(json!({"name": "Bob"}), "name");
    refuse_user(json!({"name": {"givenName": 1}}), "name.givenName");
    refuse_user(json!({"name": [{"givenName": "a"}, {"givenName": "b"}]}), "name");
    refuse_user(json!({"emails": "a@b"}), "emails[0]");
    refuse_user(json!({"emails": [{"value": "a"}, {"value": 7}]}), "emails[1].value");
    refuse_user(json!({"emails": [[{"value": "a"}]]}), "emails[0]");
    refuse_user(json!({"roles": [{"value": "a", "primary": "perhaps"}]}), "roles[0].primary");
    refuse_user(json!({ENT: "x"}), ENT);
    refuse_user(json!({ENT: {"department": true}}), &format!("{ENT}:department"));
    refuse_user(json!({ENT: {"manager": 5}}), &format!("{ENT}:manager"));
    refuse_user(json!({"externalId": 12}), "externalId");
    refuse_user(json!({"title": "a\u{0}b"}), "title");
}

#[test]
fn missing_required_attributes_are_refused() {
    for body in [json!({}), json!({"userName": null}), json!({"userName": ""}), json!({"userName": "  "})] {
        refuse(ResourceType::User, body, "userName");
    }
    for body in [json!({}), json!({"displayName": ""}), json!({"userName": "u"})] {
        refuse(ResourceType::Group, body, "displayName");
    }
    refuse(ResourceType::User, json!({"userName": 1}), "userName");
}

#[test]
fn a_member_without_an_id_is_refused() {
    for member in [json!({}), json!({"value": ""}), json!({"display": "x"}), json!("")] {
        refuse(ResourceType::Group, json!({"displayName": "g", "members": [member]}), "members[0].value");
    }
    refuse(ResourceType::Group, json!({"displayName": "g", "members": ["a", 5]}), "members[1]");
}

#[test]
fn a_second_primary_is_refused() {
    refuse_user(
        json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": "true"}]}),
        "emails[1].primary",
    );
    check_user(
        json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": false}]}),
        json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": false}]}),
    );
}

#[test]
fn duplicate_values_are_one_value() {
    let group = parse(
        ResourceType::Group,
        json!({"displayName": "g", "members": [{"value": "a", "display": "A"}, {"value": "a"}, "b", "b"]}),
    );
    // What a member is called is the server's to say.
    assert_eq!(group.get("members"), Some(&json!([{"value": "a"}, {"value": "b"}])));
    check_user(json!({"roles": [{"value": "a"}, {"value": "a"}]}), json!({"roles": [{"value": "a"}]}));
}

#[test]
fn schemas_name_the_core_and_what_is_used() {
    check_user(json!({"schemas": ["x", 5], ENT: {"division": "d"}}), json!({ENT: {"division": "d"}}));
    check_user(json!({"schemas": "nonsense"}), json!({}));
}

#[test]
fn a_name_that_is_there_twice_is_invalid_syntax() {
    for body in [
        r#"{"userName":"a","userName":"b"}"#,
        r#"{"userName":"a","USERNAME":"b"}"#,
        r#"{"userName":"a","name":{"givenName":"b","givenname":"c"}}"#,
        r#"{"userName":"a","emails":[{"value":"b","Value":"c"}]}"#,
    ] {
        let err = Resource::parse(ResourceType::User, body.as_bytes()).expect_err(body);
        assert_eq!((err.status, err.scim_type), (400, Some(ScimType::InvalidSyntax)), "{body}");
        assert!(err.detail.contains("twice"), "{err}");
    }
    let extension = json!({"userName": "a", ENT: {"division": "b", "Division": "c"}});
    assert!(Resource::from_value(ResourceType::User, extension).is_err());
    let extension = json!({"userName": "a", ENT: {"division": "b"}, ENT.to_uppercase(): {"division": "c"}});
    assert!(Resource::from_value(ResourceType::User, extension).is_err());
}

#[test]
fn a_body_that_is_no_object_is_invalid_syntax() {
    for body in ["", "[]", "\"a\"", "null", "{", "{'a':1}"] {
        let err = Resource::parse(ResourceType::User, body.as_bytes()).expect_err(body);
        assert_eq!((err.status, err.scim_type), (400, Some(ScimType::InvalidSyntax)), "{body}");
    }
    let err = Resource::parse(ResourceType::User, b"{\"userName\":\"\xff\"}").expect_err("not UTF-8");
    assert_eq!(err.scim_type, Some(ScimType::InvalidSyntax));
}

#[test]
fn accessors_read_the_normal_form() {
    let user = Resource::from_value(
        ResourceType::User,
        json!({"USERNAME": "u", "displayname": "U", "externalid": "e", "active": "false"}),
    )
    .expect("a user");
    assert_eq!(
        (user.user_name(), user.display_name(), user.external_id()),
        (Some("u"), Some("U"), Some("e"))
    );
    assert!(!user.active());
    assert_eq!(user.kind(), ResourceType::User);
    assert_eq!(user.members().count(), 0);
}
