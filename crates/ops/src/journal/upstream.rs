//! The journal of a directory that is kept at an upstream: the shadow before, and what was told after.

use std::collections::{BTreeMap, BTreeSet};

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
}

impl Shadow {
    fn of(link: &Link) -> Self {
        let mut body: Value = serde_json::from_str(&link.body).unwrap_or_default();
        let mut members = BTreeSet::new();
        match &mut body {
            Value::Object(parts) => {
                for name in ["id", "meta", "groups", "password"] {
                    parts.remove(name);
                }
                if let Some(Value::Array(found)) = parts.remove("members") {
                    let id = |member: &Value| member.get("value").and_then(Value::as_str).map(str::to_owned);
                    members.extend(found.iter().filter_map(id));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                body = Value::Object(serde_json::Map::new());
            }
        }
        Self { resource: Resource::from_stored(link.kind, body), members }
    }

    fn name(&self) -> Option<&str> {
        match self.resource.kind() {
            ResourceType::User => self.resource.user_name(),
            ResourceType::Group => self.resource.display_name(),
        }
    }
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
    let theirs: Vec<&str> = were.symmetric_difference(are).map(String::as_str).collect();
    let ours: BTreeMap<String, String> = links::translate(conn, federation_id, Side::Theirs, &theirs)
        .await?
        .into_iter()
        .map(|((_, theirs), ours)| (theirs, ours))
        .collect();
    let translated = |ids: Vec<&String>| -> Vec<String> {
        ids.into_iter().filter_map(|id| ours.get(id).cloned()).collect()
    };
    let joining = translated(are.difference(were).collect());
    let leaving = translated(were.difference(are).collect());
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
        belonged: &[],
        row: RowFacts {
            made_by: &link.made_by,
            version: 1,
            created_ms: link.created_ms,
            modified_ms: link.modified_ms,
            body: &body,
        },
    };
    record(keyward, conn, federation_id, author, &effect).await
}
