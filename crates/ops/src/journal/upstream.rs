//! The journal of a directory that is kept at an upstream: the shadow before, and what was told after.

use std::collections::BTreeSet;

use domain::{FederationId, scopes::Verb, upstreams::LinkState};
use scim::{Resource, ResourceType};
use serde_json::Value;
use store::{
    Conn,
    links::{self, Link, Side},
};

use super::{Author, record};
use crate::{
    Error, Keyward,
    directory::changed_attributes,
    effect::{Effect, RowFacts, attributes_of},
};

/// A shadow, without what is the server's, and the members in ids of theirs.
struct Shadow {
    resource: Resource,
    members: BTreeSet<String>,
    /// The groups that it was in, as the upstream last said.
    groups: BTreeSet<String>,
}

impl Shadow {
    fn of(link: &Link) -> Self {
        let mut body: Value = serde_json::from_str(&link.body).unwrap_or_default();
        let (mut members, mut groups) = (BTreeSet::new(), BTreeSet::new());
        match &mut body {
            Value::Object(parts) => {
                members = ids(parts.remove("members"));
                groups = ids(parts.remove("groups"));
                for name in ["id", "meta", "password"] {
                    parts.remove(name);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                body = Value::Object(serde_json::Map::new());
            }
        }
        Self { resource: Resource::from_stored(link.kind, body), members, groups }
    }

    fn name(&self) -> Option<&str> {
        match self.resource.kind() {
            ResourceType::User => self.resource.user_name(),
            ResourceType::Group => self.resource.display_name(),
        }
    }
}

/// The values of members or groups.
fn ids(items: Option<Value>) -> BTreeSet<String> {
    let Some(Value::Array(items)) = items else { return BTreeSet::new() };
    let id = |item: &Value| match item.get("value")? {
        Value::String(id) => Some(id.clone()),
        // Some services count.
        Value::Number(id) => Some(id.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    items.iter().filter_map(id).collect()
}

/// Keeps a change that an upstream has made, before its link is written: what the link says in the database
/// is what was known of the resource before.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn change(
    keyward: &Keyward,
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    author: Author<'_>,
    link: &Link,
) -> Result<(), Error> {
    let old = links::by_id(conn, federation_id, link.kind, link.id.as_str()).await?;
    let was_there =
        old.as_ref().is_some_and(|old| old.state != LinkState::Unknown && old.state != LinkState::Gone);
    let verb = match (was_there, link.state) {
        (true, LinkState::Gone) => Verb::Delete,
        (false, LinkState::Gone) => return Ok(()),
        (true, _) => Verb::Update,
        (false, _) => Verb::Create,
    };
    let before = old.as_ref().filter(|_| was_there).map(Shadow::of);
    let after = (verb != Verb::Delete).then(|| Shadow::of(link));
    let attributes = match (&before, &after) {
        (Some(before), Some(after)) => changed_attributes(&before.resource, &after.resource),
        (Some(one), None) | (None, Some(one)) => attributes_of(&one.resource),
        (None, None) => return Ok(()),
    };
    let none = BTreeSet::new();
    let were = before.as_ref().map_or(&none, |shadow| &shadow.members);
    let are = after.as_ref().map_or(&none, |shadow| &shadow.members);
    // Who is deleted leaves them.
    let left = before.as_ref().filter(|_| verb == Verb::Delete).map_or(&none, |shadow| &shadow.groups);
    let theirs: Vec<&str> = were.symmetric_difference(are).chain(left).map(String::as_str).collect();
    let ours = links::translate(conn, federation_id, Side::Theirs, &theirs).await?;
    let member = |id: &String| {
        let of = |kind| ours.get(&(kind, id.clone())).cloned();
        of(ResourceType::User).or_else(|| of(ResourceType::Group))
    };
    let joining: Vec<String> = are.difference(were).filter_map(member).collect();
    let leaving: Vec<String> = were.difference(are).filter_map(member).collect();
    let group = |id: &String| ours.get(&(ResourceType::Group, id.clone())).cloned();
    let belonged: Vec<String> = left.iter().filter_map(group).collect();
    if verb == Verb::Update && attributes.is_empty() && joining.is_empty() && leaving.is_empty() {
        return Ok(());
    }
    let shown = after.as_ref().or(before.as_ref());
    let body = shown.map(|shadow| shadow.resource.as_value().to_string()).unwrap_or_default();
    let name = shown.and_then(Shadow::name).unwrap_or(&link.name_lower).to_owned();
    let effect = Effect {
        verb,
        kind: link.kind,
        id: &link.id,
        name: &name,
        before: before.as_ref().map(|shadow| &shadow.resource),
        after: after.as_ref().map(|shadow| &shadow.resource),
        attributes: &attributes,
        joining: &joining,
        leaving: &leaving,
        belonged: &belonged,
        row: RowFacts {
            made_by: &link.made_by,
            // An upstream has no versions that count: what is equal goes by time. What comes back comes after
            // its deletion.
            version: if verb == Verb::Create && author.undo_of.is_some() { 2 } else { 1 },
            created_ms: link.created_ms,
            modified_ms: link.modified_ms,
            body: &body,
        },
    };
    record(keyward, conn, federation_id, author, &effect).await
}
