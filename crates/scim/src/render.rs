//! The body of an answer: a resource with what the server knows about it.
//!
//! Out goes exactly what the RFC says: `id`, `schemas`, `meta`, `User.groups`, `$ref` of members and
//! manager. Another thing that only the server knows is one more field of [`Related`].

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::{
    member::{GroupRef, Member, into_value},
    resource::Resource,
    schema::{ENTERPRISE_USER, ResourceType},
    schemas::Type,
    select::Selection,
};

/// What the server knows about a resource (RFC 7643 3.1).
#[derive(Debug, Clone, Copy)]
pub struct Meta<'a> {
    /// The id.
    pub id: &'a str,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was changed last, in milliseconds since 1970.
    pub modified_ms: i64,
    /// The version that its entity tag shows.
    pub version: i64,
    /// Its absolute URI, which ends in the endpoint and the id. References to others are built from it.
    pub location: &'a str,
}

/// What is kept beside the resource.
#[derive(Debug, Clone, Copy, Default)]
pub struct Related<'a> {
    /// The groups that a user belongs to.
    pub groups: &'a [GroupRef],
    /// The members of a group, when they are not in the resource itself.
    pub members: &'a [Member],
}

/// The body of an answer.
pub fn render(resource: &Resource, meta: &Meta<'_>, related: &Related<'_>, selection: &Selection) -> Value {
    render_with(resource.kind(), resource, meta, related, selection)
}

/// The body of an answer, as the schemas of a federation let it out. What belongs to a schema that the
/// federation does not have any more stays inside.
pub fn render_with<'a>(
    of: impl Into<Type<'a>>,
    resource: &Resource,
    meta: &Meta<'_>,
    related: &Related<'_>,
    selection: &Selection,
) -> Value {
    let of = of.into();
    let kind = of.kind;
    let base = base_of(meta.location, kind, meta.id);
    let mut body = Map::new();
    let mut is_forgotten = false;
    for (name, value) in resource.attributes() {
        if name.contains(':') && of.extension(name).is_none() {
            is_forgotten = true;
            continue;
        }
        // Large groups are mostly asked for without their members: do not copy what is thrown away.
        if name != "members" || selection.wants(of, "members") {
            body.insert(name.clone(), value.clone());
        }
    }
    if let (true, Some(Value::Array(urns))) = (is_forgotten, body.get_mut("schemas")) {
        urns.retain(|urn| urn.as_str().is_some_and(|urn| of.named(urn).is_some()));
    }
    body.insert("id".to_owned(), Value::from(meta.id));
    body.insert(
        "meta".to_owned(),
        json!({
            "resourceType": kind.name(),
            "created": timestamp(meta.created_ms),
            "lastModified": timestamp(meta.modified_ms),
            "location": meta.location,
            "version": etag(meta.version),
        }),
    );
    match kind {
        ResourceType::User => {
            if !related.groups.is_empty() && selection.wants(of, "groups") {
                let groups = related.groups.iter().map(|group| group_value(group, base)).collect();
                body.insert("groups".to_owned(), groups);
            }
            refer_manager(&mut body, base);
        }
        ResourceType::Group => {
            if selection.wants(of, "members") {
                add_members(&mut body, related.members, base);
            }
        }
    }
    selection.apply(of, Value::Object(body))
}

/// The base of the federation, cut from the location of one of its resources.
fn base_of<'a>(location: &'a str, kind: ResourceType, id: &str) -> Option<&'a str> {
    location.strip_suffix(id)?.strip_suffix('/')?.strip_suffix(kind.endpoint())
}

fn uri(base: &str, kind: ResourceType, id: &str) -> Value {
    Value::String(format!("{base}{}/{id}", kind.endpoint()))
}

fn group_value(group: &GroupRef, base: Option<&str>) -> Value {
    let mut parts = Map::new();
    parts.insert("value".to_owned(), Value::from(group.value.as_str()));
    parts.insert("type".to_owned(), Value::from(if group.is_direct { "direct" } else { "indirect" }));
    if let Some(display) = &group.display {
        parts.insert("display".to_owned(), Value::from(display.as_str()));
    }
    if let Some(base) = base {
        parts.insert("$ref".to_owned(), uri(base, ResourceType::Group, &group.value));
    }
    Value::Object(parts)
}

fn add_members(body: &mut Map<String, Value>, kept_beside: &[Member], base: Option<&str>) {
    if !kept_beside.is_empty()
        && let Value::Array(members) =
            body.entry("members").or_insert_with(|| Value::Array(Vec::with_capacity(kept_beside.len())))
    {
        members.extend(kept_beside.iter().cloned().map(into_value));
    }
    let Some(Value::Array(members)) = body.get_mut("members") else { return };
    for member in members.iter_mut().filter_map(Value::as_object_mut) {
        let kind = member.get("type").and_then(Value::as_str).and_then(ResourceType::from_name);
        let id = member.get("value").and_then(Value::as_str);
        if let (Some(base), Some(id)) = (base, id) {
            let uri = uri(base, kind.unwrap_or(ResourceType::User), id);
            member.insert("$ref".to_owned(), uri);
        }
    }
}

fn refer_manager(body: &mut Map<String, Value>, base: Option<&str>) {
    let manager =
        body.get_mut(ENTERPRISE_USER.id.as_ref()).and_then(|extension| extension.get_mut("manager"));
    if let (Some(Value::Object(manager)), Some(base)) = (manager, base)
        && !manager.contains_key("$ref")
        && let Some(id) = manager.get("value").and_then(Value::as_str)
    {
        let uri = uri(base, ResourceType::User, id);
        manager.insert("$ref".to_owned(), uri);
    }
}

/// The entity tag of a version: `W/"3"`, the same in `meta.version` and in the header (RFC 7644 3.14).
pub fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// An instant in the form of RFC 3339, in UTC and with milliseconds.
///
/// `ms` counts from 1970; what lies beyond the year 9999 is shown as 1970, as no answer can hold it.
pub fn timestamp(ms: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|instant| instant.format(TIMESTAMP).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00.000Z".to_owned())
}
