//! The journal: what every change of a directory replaced.
//!
//! An [`Entry`] is one change of one user or group: the attributes that differ, before and after, and who
//! joined and left. From entries come the blast radius (what was done, [`Entry::harm`]), histories, and what
//! taking changes back comes to ([`trail`]).

pub mod selection;
pub mod trail;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::selection::Selection;
use crate::{
    FederationId, JournalId, KeyId, Millis, ResourceId, UndoId, audit::ActorRef, scopes::ResourceKind,
};

/// Some attributes of a resource by their names.
pub type Image = Map<String, Value>;

/// What happened to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It came into being.
    Create,
    /// It was changed, or its members were.
    Update,
    /// It was deleted.
    Delete,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Delete];

    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "changed",
            Self::Delete => "deleted",
        }
    }

    /// Reads the word of [`ChangeKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Ids beside the attributes of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memberships {
    /// Those who joined the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<String>,
    /// Those who left it; of a deleted group, all of its members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// The groups that a deleted user or group was directly in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

impl Memberships {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty() && self.groups.is_empty()
    }
}

/// What the row of a deleted resource said beside its attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The key that made it.
    pub made_by: String,
    /// When it was created.
    pub created_ms: Millis,
    /// When it was last changed.
    pub modified_ms: Millis,
}

/// One change of one user or group.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whose directory.
    pub federation_id: FederationId,
    /// Its id, in order of time.
    pub id: JournalId,
    /// When.
    pub at_ms: Millis,
    /// The request that it was part of.
    pub request_id: String,
    /// Who.
    pub actor: ActorRef,
    /// The key that was presented, when one was.
    pub key_id: Option<KeyId>,
    /// From where.
    pub source: Option<String>,
    /// User or group.
    pub kind: ResourceKind,
    /// Which.
    pub resource_id: ResourceId,
    /// Its `userName` or `displayName` at that time.
    pub name: String,
    /// What happened to it.
    pub change: ChangeKind,
    /// The version that it had before; 0 of what was created.
    pub version: i64,
    /// The attributes that differ, as they were; all of them of what was deleted.
    pub was: Image,
    /// The same, as they became; all of them of what was created.
    pub became: Image,
    /// Who joined and left.
    pub members: Memberships,
    /// The rest of the row of what was deleted.
    pub facts: Option<Facts>,
    /// The taking back that it belongs to.
    pub undo_of: Option<UndoId>,
}

/// The word for memberships among attributes.
pub const MEMBERS: &str = "members";

impl Entry {
    /// The attributes that it changed, [`MEMBERS`] among them; `schemas` goes without saying.
    pub fn attributes(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .was
            .keys()
            .chain(self.became.keys())
            .map(String::as_str)
            .filter(|name| *name != "schemas")
            .collect();
        names.sort_unstable();
        names.dedup();
        if !(self.members.joined.is_empty() && self.members.left.is_empty()) {
            names.push(MEMBERS);
        }
        names
    }

    /// Whether it took somebody's access away by `active`.
    pub fn deactivates(&self) -> bool {
        let is_off = |image: &Image| image.get("active") == Some(&Value::Bool(false));
        self.change == ChangeKind::Update && is_off(&self.became) && !is_off(&self.was)
    }

    /// How much harm it may have done, as a weight to sort by: what was deleted, who lost access or was
    /// renamed, who joined; then everything else.
    pub fn harm(&self) -> u64 {
        let count = |ids: &[String]| u64::try_from(ids.len()).unwrap_or(u64::MAX);
        let members = count(&self.members.left)
            .saturating_mul(10)
            .saturating_add(count(&self.members.joined).saturating_mul(5))
            .saturating_add(count(&self.members.groups).saturating_mul(10));
        let own = match self.change {
            ChangeKind::Delete => 100,
            ChangeKind::Create => 5,
            ChangeKind::Update => {
                let active = if self.deactivates() { 50 } else { 0 };
                let attributes =
                    self.was.keys().chain(self.became.keys().filter(|name| !self.was.contains_key(*name)));
                attributes.map(|name| weight(name)).fold(active, u64::saturating_add)
            }
        };
        members.saturating_add(own)
    }
}

/// The weight of a changed attribute: by these a person is found, told and signed in.
fn weight(attribute: &str) -> u64 {
    match attribute {
        "emails" => 40,
        "userName" | "displayName" | "externalId" | "phoneNumbers" | "roles" | "entitlements" => 30,
        "schemas" | "active" => 0,
        _ => 3,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::ActorKind;

    /// An update of a user by a key with this number.
    pub(crate) fn entry(number: u8, key: u8, was: Value, became: Value) -> Entry {
        let image = |value: Value| value.as_object().cloned().unwrap_or_default();
        let key_id = KeyId::new(1, [key; 10]);
        Entry {
            federation_id: FederationId::new(1, [1; 10]),
            id: JournalId::new(i64::from(number), [0; 10]),
            at_ms: i64::from(number),
            request_id: String::new(),
            actor: ActorRef { kind: ActorKind::Key, id: key_id.to_string(), name: format!("key {key}") },
            key_id: Some(key_id),
            source: Some("192.0.2.7".to_owned()),
            kind: ResourceKind::Users,
            resource_id: ResourceId::new(1, [3; 10]),
            name: "ada".to_owned(),
            change: ChangeKind::Update,
            version: i64::from(number),
            was: image(was),
            became: image(became),
            members: Memberships::default(),
            facts: None,
            undo_of: None,
        }
    }

    #[test]
    fn deleting_outweighs_deactivating_and_that_outweighs_a_title() {
        let title = entry(1, 1, json!({ "title": "a" }), json!({ "title": "b" }));
        let off = entry(1, 1, json!({ "active": true }), json!({ "active": false }));
        let gone = Entry { change: ChangeKind::Delete, ..entry(1, 1, json!({ "userName": "a" }), json!({})) };
        assert!(gone.harm() > off.harm() && off.harm() > title.harm());
        assert!(off.deactivates() && !title.deactivates());
        let back = entry(1, 1, json!({ "active": false }), json!({ "active": true }));
        assert!(!back.deactivates());
    }

    #[test]
    fn the_attributes_of_a_change_are_named_once_and_members_among_them() {
        let mut changed =
            entry(1, 1, json!({ "title": 1, "schemas": [] }), json!({ "title": 2, "active": true }));
        assert_eq!(changed.attributes(), ["active", "title"]);
        changed.members.left.push("x".to_owned());
        assert_eq!(changed.attributes(), ["active", "title", "members"]);
    }

    #[test]
    fn words_are_read_back() {
        for kind in ChangeKind::ALL {
            assert_eq!(ChangeKind::parse(kind.as_str()), Some(kind));
        }
    }
}
