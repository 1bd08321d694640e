//! What the server says about itself.

use scim::{Bulk, Cursor, Features, discovery};
use serde_json::{Value, json};

use crate::{ENT, GROUP, USER};

const BASE: &str = "https://h/scim/acme/v2";

fn attribute<'a>(attributes: &'a Value, name: &str) -> &'a Value {
    let found = attributes.as_array().into_iter().flatten().find(|a| a.get("name") == Some(&json!(name)));
    found.unwrap_or_else(|| panic!("no attribute {name}"))
}

#[test]
fn schemas_are_a_list_with_every_schema() {
    let list = discovery::schemas(BASE);
    assert_eq!(list.pointer("/totalResults"), Some(&json!(3)));
    assert_eq!(list.pointer("/itemsPerPage"), Some(&json!(3)));
    let ids: Vec<_> =
        list["Resources"].as_array().into_iter().flatten().map(|schema| schema["id"].clone()).collect();
    assert_eq!(ids, [json!(USER), json!(GROUP), json!(ENT)]);
    assert!(!list.to_string().contains("null"));
}

#[test]
fn attributes_have_the_characteristics_of_the_standard() {
    let user = discovery::schema(BASE, &USER.to_uppercase()).expect("the core schema");
    let user_name = attribute(&user["attributes"], "userName");
    assert_eq!(
        user_name,
        &json!({
            "name": "userName",
            "type": "string",
            "multiValued": false,
            "description": user_name["description"],
            "required": true,
            "caseExact": false,
            "mutability": "readWrite",
            "returned": "default",
            "uniqueness": "server",
        })
    );
    let active = attribute(&user["attributes"], "active");
    assert_eq!(
        active,
        &json!({
            "name": "active",
            "type": "boolean",
            "multiValued": false,
            "description": active["description"],
            "required": false,
            "mutability": "readWrite",
            "returned": "default",
        })
    );
    let password = attribute(&user["attributes"], "password");
    assert_eq!((&password["mutability"], &password["returned"]), (&json!("writeOnly"), &json!("never")));
    let emails = attribute(&user["attributes"], "emails");
    assert_eq!(emails["multiValued"], json!(true));
    assert_eq!(
        attribute(&emails["subAttributes"], "type")["canonicalValues"],
        json!(["work", "home", "other"])
    );
    let photos = attribute(&user["attributes"], "photos");
    assert_eq!(attribute(&photos["subAttributes"], "value")["referenceTypes"], json!(["external"]));
    assert_eq!(attribute(&user["attributes"], "groups")["mutability"], json!("readOnly"));

    let group = discovery::schema(BASE, GROUP).expect("the core schema");
    let members = attribute(&group["attributes"], "members");
    assert_eq!(attribute(&members["subAttributes"], "value")["mutability"], json!("immutable"));
    assert_eq!(attribute(&members["subAttributes"], "$ref")["referenceTypes"], json!(["User", "Group"]));

    let enterprise = discovery::schema(BASE, ENT).expect("the extension");
    let manager = attribute(&enterprise["attributes"], "manager");
    assert_eq!(attribute(&manager["subAttributes"], "displayName")["mutability"], json!("readOnly"));
    assert_eq!(enterprise["meta"]["location"], json!(format!("{BASE}/Schemas/{ENT}")));

    assert_eq!(discovery::schema(BASE, "urn:example:none"), None);
}

#[test]
fn resource_types_are_what_sail_point_reads() {
    assert_eq!(
        discovery::resource_type(BASE, "User"),
        Some(json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": "User",
            "name": "User",
            "endpoint": "/Users",
            "description": "User Account",
            "schema": USER,
            "schemaExtensions": [{"schema": ENT, "required": false}],
            "meta": {"resourceType": "ResourceType", "location": format!("{BASE}/ResourceTypes/User")},
        }))
    );
    let list = discovery::resource_types(BASE);
    assert_eq!(list.pointer("/totalResults"), Some(&json!(2)));
    assert_eq!(list.pointer("/Resources/1/id"), Some(&json!("Group")));
    assert_eq!(discovery::resource_type(BASE, "Device"), None);
}

#[test]
fn only_what_works_is_advertised() {
    let little = discovery::service_provider_config(
        BASE,
        &Features { patch: false, etag: false, ..Features::default() },
    );
    for feature in ["patch", "bulk", "changePassword", "sort", "etag"] {
        assert_eq!(little[feature]["supported"], json!(false), "{feature}");
    }
    assert_eq!(little["filter"], json!({"supported": true, "maxResults": 1000}));
    assert_eq!(little["bulk"]["maxOperations"], json!(1000));
    assert_eq!(little.get("pagination"), None);
    assert_eq!(little.get("documentationUri"), None);

    let much = Features {
        patch: true,
        bulk: Some(Bulk { max_operations: 100, max_payload_size: 1_048_576 }),
        filter_max_results: 500,
        sort: true,
        etag: true,
        change_password: true,
        cursor: Some(Cursor { timeout_seconds: 3600 }),
        documentation_uri: Some("https://h/docs".to_owned()),
    };
    let much = discovery::service_provider_config(BASE, &much);
    for feature in ["patch", "bulk", "changePassword", "sort", "etag"] {
        assert_eq!(much[feature]["supported"], json!(true), "{feature}");
    }
    assert_eq!(much["bulk"], json!({"supported": true, "maxOperations": 100, "maxPayloadSize": 1_048_576}));
    assert_eq!(
        much["pagination"],
        json!({
            "cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": 200,
            "maxPageSize": 1000, "cursorTimeout": 3600,
        })
    );
    assert_eq!(much["documentationUri"], json!("https://h/docs"));
    assert_eq!(much["authenticationSchemes"][0]["type"], json!("oauthbearertoken"));
}
