//! The protected groups at an upstream that somebody stands in who is about to be deleted there.
//!
//! What is kept of a user or group need not say in which groups it is: many services say it of no group at all. So the
//! protected groups are asked, which are few, and only before a deletion.

use domain::brakes::MarkKind;
use scim::ResourceType;
use serde_json::Value;
use store::links::Link;

use super::{job::Job, told::Told};
use crate::Error;

impl Job {
    /// The ids of the protected groups that a resource is directly in.
    ///
    /// # Errors
    /// When the upstream does not show the members of one: who cannot be told to be outside is not deleted.
    pub(super) async fn protected_around(&self, link: &Link) -> Result<Vec<String>, Error> {
        let Some(own) = link.upstream_id.as_deref() else { return Ok(Vec::new()) };
        let (federation_id, kind) = (self.cx.federation_id(), ResourceType::Group);
        let mut reader = self.cx.read().await?;
        let mut groups = Vec::new();
        for mark in store::protected::marks(&mut reader.conn(), federation_id).await? {
            if mark.kind == MarkKind::Protected && mark.resource_type == kind.name() {
                let id = mark.resource_id.as_str();
                groups.extend(store::links::by_id(&mut reader.conn(), federation_id, kind, id).await?);
            }
        }
        drop(reader);
        let mut around = Vec::new();
        for group in groups.into_iter().filter(|group| group.id != link.id) {
            let kept: Value = serde_json::from_str(&group.body).unwrap_or_default();
            let seen = match (has_member(&kept, own), &group.upstream_id) {
                (Some(has), _) => has,
                (None, None) => false,
                (None, Some(id)) => match self.gate.read(&self.cx.keyward, kind, id).await.body() {
                    // One that shows no members now has none.
                    Ok((now, _)) => has_member(&now, own).unwrap_or(false),
                    Err(Told::Refused { status: 404, .. }) => false,
                    Err(told) => return self.fail(told, &[]).await,
                },
            };
            if seen {
                around.push(group.id.to_string());
            }
        }
        Ok(around)
    }
}

/// Whether a group has a member, in ids of the upstream; `None` when it does not say whom it has.
fn has_member(group: &Value, id: &str) -> Option<bool> {
    let members = group.get("members")?.as_array()?;
    Some(members.iter().any(|member| member.get("value").and_then(Value::as_str) == Some(id)))
}
