//! Ids on their way out and in: what is called one thing here is called another there.
//!
//! Out, an id of ours is found by its form (no other text of a request is the id of a link) and put
//! wherever it stands. In, the ids of an upstream may be as short as `1`, so only the places that
//! hold an id by the schema are translated: `id`, `members`, `groups`, `manager`, `$ref`, `meta`.

use std::collections::{BTreeMap, BTreeSet};

use domain::ResourceId;
use scim::ResourceType;
use serde_json::{Map, Value};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Ids of ours to ids of theirs.
pub(super) type Outward = BTreeMap<String, String>;

/// Ids of theirs, by type, to ids of ours.
pub(super) type Inward = BTreeMap<(ResourceType, String), String>;

/// Collects the texts of a value that have the form of an id of ours.
pub(super) fn ids_in(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            if ResourceId::parse(text).is_some() {
                found.insert(text.clone());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| ids_in(item, found)),
        Value::Object(parts) => parts.values().for_each(|part| ids_in(part, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Puts ids of theirs in the place of ours, and drops `$ref`, which the upstream makes itself.
/// `externalId` is the provider's own and stays.
pub(super) fn outward(value: &mut Value, ids: &Outward) {
    match value {
        Value::String(text) => {
            if let Some(theirs) = ids.get(text) {
                text.clone_from(theirs);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| outward(item, ids)),
        Value::Object(parts) => {
            parts.remove("$ref");
            for (name, part) in parts.iter_mut() {
                if name != "externalId" {
                    outward(part, ids);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The ids of ours that stand in quotes in a filter or path.
pub(super) fn quoted_ids(text: &str, found: &mut BTreeSet<String>) {
    found.extend(text.split('"').filter(|part| ResourceId::parse(part).is_some()).map(str::to_owned));
}

/// Puts ids of theirs in the place of quoted ids of ours.
pub(super) fn outward_text(text: &str, ids: &Outward) -> String {
    let mut text = text.to_owned();
    for (ours, theirs) in ids {
        let quoted = format!("\"{ours}\"");
        if text.contains(&quoted) {
            text = text.replace(&quoted, &Value::from(theirs.as_str()).to_string());
        }
    }
    text
}

/// An id of theirs that a resource mentions; the type where it says one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mention {
    pub kind: ResourceType,
    /// Whether the type was said, and not assumed.
    pub is_certain: bool,
    pub upstream_id: String,
    pub name: String,
    pub external_id: Option<String>,
}

/// The id of a resource of theirs.
pub(super) fn id_of(resource: &Value) -> Option<String> {
    match resource.get("id")? {
        Value::String(id) => Some(id.clone()).filter(|id| is_usable_id(id)),
        // Some services count.
        Value::Number(id) => Some(id.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether an id can stand in a path without meaning another one.
fn is_usable_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 1_000 && id != "." && id != ".." && !id.chars().any(char::is_control)
}

/// `userName` or `displayName`.
pub(super) fn name_of(kind: ResourceType, resource: &Value) -> String {
    let name = match kind {
        ResourceType::User => "userName",
        ResourceType::Group => "displayName",
    };
    resource.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// `externalId`.
pub(super) fn external_id_of(resource: &Value) -> Option<String> {
    resource.get("externalId").and_then(Value::as_str).map(|text| clip(text).to_owned())
}

/// `meta.version`.
pub(super) fn version_of(resource: &Value) -> Option<String> {
    let version = resource.get("meta")?.get("version")?.as_str()?;
    Some(clip(version).to_owned())
}

/// Whether a condition lets an entity tag pass, weakly (RFC 9110 8.8.3.2).
pub(super) fn is_same_tag(wanted: &str, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    wanted.trim() == "*" || bare(wanted) == bare(tag)
}

/// No index takes more.
pub(super) fn clip(text: &str) -> &str {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 900).last();
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// What a resource of theirs mentions: itself first.
pub(super) fn mentions(kind: ResourceType, resource: &Value) -> Vec<Mention> {
    let mut found = Vec::new();
    if let Some(upstream_id) = id_of(resource) {
        let (name, external_id) = (name_of(kind, resource), external_id_of(resource));
        found.push(Mention { kind, is_certain: true, upstream_id, name, external_id });
    }
    for member in items(resource, "members") {
        let (kind, is_certain) = kind_of_member(member);
        found.extend(mention(member, kind, is_certain));
    }
    for group in items(resource, "groups") {
        found.extend(mention(group, ResourceType::Group, true));
    }
    if let Some(manager) = resource.get(ENTERPRISE).and_then(|extension| extension.get("manager")) {
        found.extend(mention(manager, ResourceType::User, true));
    }
    found
}

fn items<'v>(resource: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    resource.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn mention(value: &Value, kind: ResourceType, is_certain: bool) -> Option<Mention> {
    let upstream_id = match value.get("value")? {
        Value::String(id) => Some(id.clone()).filter(|id| is_usable_id(id)),
        Value::Number(id) => Some(id.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }?;
    Some(Mention { kind, is_certain, upstream_id, name: String::new(), external_id: None })
}

fn kind_of_member(member: &Value) -> (ResourceType, bool) {
    if let Some(kind) = member.get("type").and_then(Value::as_str).and_then(ResourceType::from_name) {
        return (kind, true);
    }
    match member.get("$ref").and_then(Value::as_str) {
        Some(uri) if uri.contains("/Groups/") => (ResourceType::Group, true),
        Some(uri) if uri.contains("/Users/") => (ResourceType::User, true),
        Some(_) | None => (ResourceType::User, false),
    }
}

/// Rewrites a resource of theirs into ours: ids, locations and references under our base. What the
/// schemas do not know stays, but for addresses of the upstream. False when it has no id of a link.
pub(super) fn inward(
    kind: ResourceType,
    resource: &mut Value,
    ids: &Inward,
    base: &str,
    their_base: &str,
) -> bool {
    let Some(id) = id_of(resource).and_then(|id| ids.get(&(kind, id)).cloned()) else { return false };
    let Value::Object(parts) = resource else { return false };
    // RFC 7643 7: never returned, whatever a service says.
    parts.remove("password");
    for name in ["members", "groups"] {
        let Some(Value::Array(items)) = parts.get_mut(name) else { continue };
        for item in items {
            let (kind, is_certain) =
                if name == "groups" { (ResourceType::Group, true) } else { kind_of_member(item) };
            refer(item, kind, is_certain, ids, base);
        }
    }
    if let Some(manager) = parts.get_mut(ENTERPRISE).and_then(|extension| extension.get_mut("manager")) {
        refer(manager, ResourceType::User, true, ids, base);
    }
    let location = format!("{base}{}/{id}", kind.endpoint());
    parts.insert("id".to_owned(), Value::from(id));
    let meta = parts.entry("meta").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(meta) = meta {
        meta.insert("location".to_owned(), Value::from(location));
        meta.insert("resourceType".to_owned(), Value::from(kind.name()));
    }
    hide(resource, their_base);
    true
}

fn refer(item: &mut Value, kind: ResourceType, is_certain: bool, ids: &Inward, base: &str) {
    let Some(Mention { upstream_id, .. }) = mention(item, kind, is_certain) else { return };
    let Value::Object(parts) = item else { return };
    let other = if kind == ResourceType::User { ResourceType::Group } else { ResourceType::User };
    let kinds = if is_certain { vec![kind] } else { vec![kind, other] };
    parts.remove("$ref");
    let found = kinds.into_iter().find_map(|kind| Some((kind, ids.get(&(kind, upstream_id.clone()))?)));
    if let Some((kind, ours)) = found {
        parts.insert("value".to_owned(), Value::from(ours.as_str()));
        parts.insert("$ref".to_owned(), Value::from(format!("{base}{}/{ours}", kind.endpoint())));
    }
}

/// Drops the texts that are addresses of the upstream: nobody here can use them.
fn hide(value: &mut Value, their_base: &str) {
    let is_theirs = |value: &Value| value.as_str().is_some_and(|text| text.starts_with(their_base));
    match value {
        Value::Array(items) => {
            items.retain(|item| !is_theirs(item));
            for item in items {
                hide(item, their_base);
            }
        }
        Value::Object(parts) => {
            parts.retain(|_, part| !is_theirs(part));
            parts.values_mut().for_each(|part| hide(part, their_base));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Encodes one segment of a path or one value of a query: everything but unreserved characters
/// (RFC 3986 2.3).
pub(super) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OURS: &str = "01900000-0000-7000-8000-000000000001";
    const GROUP: &str = "01900000-0000-7000-8000-000000000002";

    #[test]
    fn ids_of_ours_leave_as_theirs_and_references_stay_behind() {
        let ids = Outward::from([(OURS.to_owned(), "7".to_owned())]);
        let mut value = json!({
            "externalId": OURS, "members": [{ "value": OURS, "$ref": "https://k/Users/x" }, { "value": "other" }],
        });
        outward(&mut value, &ids);
        assert_eq!(value, json!({ "externalId": OURS, "members": [{ "value": "7" }, { "value": "other" }] }));
        let path = format!("members[value eq \"{OURS}\"]");
        assert_eq!(outward_text(&path, &ids), "members[value eq \"7\"]");
        let mut found = BTreeSet::new();
        quoted_ids(&path, &mut found);
        assert_eq!(found, BTreeSet::from([OURS.to_owned()]));
    }

    #[test]
    fn a_resource_of_theirs_shows_no_address_of_theirs() {
        let ids = Inward::from([
            ((ResourceType::User, "7".to_owned()), OURS.to_owned()),
            ((ResourceType::Group, "7".to_owned()), GROUP.to_owned()),
        ]);
        let mut user = json!({
            "id": "7", "userName": "mia", "password": "x", "avatar": "https://up/v2/pics/7", "shoeSize": 38,
            "groups": [{ "value": "7", "$ref": "https://up/v2/Groups/7" }],
            "meta": { "location": "https://up/v2/Users/7", "version": "W/\"1\"" },
            ENTERPRISE: { "manager": { "value": "8", "$ref": "https://up/v2/Users/8" } },
        });
        assert!(inward(ResourceType::User, &mut user, &ids, "https://k/v2", "https://up/v2"));
        assert_eq!(
            user,
            json!({
                "id": OURS, "userName": "mia", "shoeSize": 38,
                "groups": [{ "value": GROUP, "$ref": format!("https://k/v2/Groups/{GROUP}") }],
                "meta": {
                    "location": format!("https://k/v2/Users/{OURS}"), "resourceType": "User", "version": "W/\"1\"",
                },
                ENTERPRISE: { "manager": { "value": "8" } },
            })
        );
        let mut stranger = json!({ "id": "9" });
        assert!(!inward(ResourceType::User, &mut stranger, &ids, "https://k/v2", "https://up/v2"));
    }

    #[test]
    fn ids_that_would_mean_another_path_are_none() {
        for id in ["", ".", "..", "a\nb"] {
            assert_eq!(id_of(&json!({ "id": id })), None, "{id:?}");
        }
        assert_eq!(id_of(&json!({ "id": 7 })).as_deref(), Some("7"));
        assert_eq!(encode("a/b c?é"), "a%2Fb%20c%3F%C3%A9");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(clip("é"), "é");
        assert_eq!(clip(&"é".repeat(1_000)).len(), 900);
    }
}
