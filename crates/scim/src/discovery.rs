//! What the server says about itself (RFC 7643 5 to 7, RFC 7644 4).
//!
//! Only what the [`Features`] say is advertised. A new feature is one more field there and its line in
//! [`service_provider_config`].

use serde_json::{Map, Value, json};

use crate::{
    list::{DEFAULT_COUNT, ListResponse, MAX_COUNT},
    patch::MAX_OPERATIONS,
    schema::{Attribute, Kind, ResourceType, Schema},
    schemas::{Schemas, Type},
};

const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
const RESOURCE_TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const CONFIG_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// What a federation's server can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of RFC 7643 5, none excludes another")]
pub struct Features {
    /// PATCH.
    pub patch: bool,
    /// Bulk; none when it is not served.
    pub bulk: Option<Bulk>,
    /// How many resources a filtered page holds at most.
    pub filter_max_results: u64,
    /// `sortBy`.
    pub sort: bool,
    /// Entity tags and `If-Match`.
    pub etag: bool,
    /// Changing the password.
    pub change_password: bool,
    /// Paging by cursor; none when it is not served.
    pub cursor: Option<Cursor>,
    /// Where people read about the server.
    pub documentation_uri: Option<String>,
}

/// The limits of bulk requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bulk {
    /// How many operations one request may hold.
    pub max_operations: u64,
    /// How large its body may be, in bytes.
    pub max_payload_size: u64,
}

/// Paging by cursor (RFC 9865).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// How long a cursor is good for, in seconds.
    pub timeout_seconds: u64,
}

impl Default for Features {
    /// PATCH, filters and entity tags, as a federation begins.
    fn default() -> Self {
        Self {
            patch: true,
            bulk: None,
            filter_max_results: MAX_COUNT,
            sort: false,
            etag: true,
            change_password: false,
            cursor: None,
            documentation_uri: None,
        }
    }
}

fn list(resources: Vec<Value>) -> Value {
    let total_results = u64::try_from(resources.len()).unwrap_or(u64::MAX);
    ListResponse { total_results, start_index: Some(1), resources, ..ListResponse::default() }.into_json()
}

/// `/Schemas`. `base` is the absolute base of the federation, without a slash at its end.
pub fn schemas(base: &str) -> Value {
    schemas_of(Schemas::standard(), base)
}

/// `/Schemas` of a federation with extensions of its own.
pub fn schemas_of(schemas: &Schemas, base: &str) -> Value {
    list(schemas.all().map(|schema| schema_json(base, schema)).collect())
}

/// `/Schemas/{urn}`; none when there is no such schema.
pub fn schema(base: &str, urn: &str) -> Option<Value> {
    schema_of(Schemas::standard(), base, urn)
}

/// `/Schemas/{urn}` of a federation with extensions of its own; none when there is no such schema.
pub fn schema_of(schemas: &Schemas, base: &str, urn: &str) -> Option<Value> {
    schemas.named(urn).map(|schema| schema_json(base, schema))
}

/// `/ResourceTypes`.
pub fn resource_types(base: &str) -> Value {
    resource_types_of(Schemas::standard(), base)
}

/// `/ResourceTypes` of a federation with extensions of its own.
pub fn resource_types_of(schemas: &Schemas, base: &str) -> Value {
    list(schemas.types().map(|of| resource_type_json(base, of)).collect())
}

/// `/ResourceTypes/{id}`; none when there is no such type.
pub fn resource_type(base: &str, id: &str) -> Option<Value> {
    resource_type_of(Schemas::standard(), base, id)
}

/// `/ResourceTypes/{id}` of a federation with extensions of its own; none when there is no such type.
pub fn resource_type_of(schemas: &Schemas, base: &str, id: &str) -> Option<Value> {
    ResourceType::from_name(id).map(|kind| resource_type_json(base, schemas.of(kind)))
}

/// `/ServiceProviderConfig`.
pub fn service_provider_config(base: &str, features: &Features) -> Value {
    let bulk = match features.bulk {
        Some(bulk) => json!({
            "supported": true,
            "maxOperations": bulk.max_operations,
            "maxPayloadSize": bulk.max_payload_size,
        }),
        // authentik cuts its PATCH requests by this number whether bulk is supported or not, and takes 0
        // for "no limit": say the limit that PATCH has.
        None => json!({ "supported": false, "maxOperations": MAX_OPERATIONS, "maxPayloadSize": 0 }),
    };
    let mut config = json!({
        "schemas": [CONFIG_URN],
        "patch": { "supported": features.patch },
        "bulk": bulk,
        "filter": { "supported": true, "maxResults": features.filter_max_results },
        "changePassword": { "supported": features.change_password },
        "sort": { "supported": features.sort },
        "etag": { "supported": features.etag },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A provisioning key in the Authorization header",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    });
    if let Some(object) = config.as_object_mut() {
        if let Some(uri) = &features.documentation_uri {
            object.insert("documentationUri".to_owned(), Value::from(uri.as_str()));
        }
        if let Some(cursor) = features.cursor {
            // RFC 9865 4.
            let pagination = json!({
                "cursor": true,
                "index": true,
                "defaultPaginationMethod": "index",
                "defaultPageSize": DEFAULT_COUNT,
                "maxPageSize": MAX_COUNT,
                "cursorTimeout": cursor.timeout_seconds,
            });
            object.insert("pagination".to_owned(), pagination);
        }
    }
    config
}

fn resource_type_json(base: &str, of: Type<'_>) -> Value {
    let Type { kind, .. } = of;
    // A resource may do without any of them, even where an attribute of one is required.
    let extensions: Vec<_> =
        of.extensions().map(|extension| json!({ "schema": extension.id, "required": false })).collect();
    json!({
        "schemas": [RESOURCE_TYPE_URN],
        "id": kind.name(),
        "name": kind.name(),
        "endpoint": kind.endpoint(),
        "description": kind.description(),
        "schema": of.schema().id,
        "schemaExtensions": extensions,
        "meta": {
            "resourceType": "ResourceType",
            "location": format!("{base}/ResourceTypes/{}", kind.name()),
        },
    })
}

fn schema_json(base: &str, schema: &Schema) -> Value {
    let mut form = schema_form(schema);
    if let Some(object) = form.as_object_mut() {
        let meta = json!({
            "resourceType": "Schema",
            "location": format!("{base}/Schemas/{}", schema.id),
        });
        object.insert("meta".to_owned(), meta);
    }
    form
}

/// A schema in the form of RFC 7643 7, without what depends on where it is served.
pub(crate) fn schema_form(schema: &Schema) -> Value {
    json!({
        "schemas": [SCHEMA_URN],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": schema.attributes.iter().map(attribute_json).collect::<Vec<_>>(),
    })
}

/// RFC 7643 7: `caseExact` and `uniqueness` say nothing about booleans and objects and are left out
/// there, as in 8.7.1.
fn attribute_json(attribute: &Attribute) -> Value {
    let mut object = Map::new();
    let mut set = |name: &str, value: Value| object.insert(name.to_owned(), value);
    set("name", Value::from(attribute.name.as_ref()));
    set("type", Value::from(attribute.kind.as_str()));
    set("multiValued", Value::from(attribute.multi_valued));
    set("description", Value::from(attribute.description.as_ref()));
    set("required", Value::from(attribute.required));
    set("mutability", Value::from(attribute.mutability.as_str()));
    set("returned", Value::from(attribute.returned.as_str()));
    if !matches!(attribute.kind, Kind::Boolean | Kind::Complex) {
        set("caseExact", Value::from(attribute.case_exact));
        set("uniqueness", Value::from(attribute.uniqueness.as_str()));
    }
    if !attribute.canonical_values.is_empty() {
        set("canonicalValues", attribute.canonical_values.iter().collect());
    }
    if !attribute.reference_types.is_empty() {
        set("referenceTypes", attribute.reference_types.iter().collect());
    }
    if !attribute.sub_attributes.is_empty() {
        set("subAttributes", attribute.sub_attributes.iter().map(attribute_json).collect());
    }
    Value::Object(object)
}
