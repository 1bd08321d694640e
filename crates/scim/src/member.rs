//! Members of groups, groups of users, and the difference between two member lists.
//!
//! A store keeps memberships in a table of their own; this is the form in which they travel. A new
//! column of that table is one more field of [`Member`].

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::{resource::Resource, schema::ResourceType};

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// The id of the user or group.
    pub value: String,
    /// The name for people that the client gave.
    pub display: Option<String>,
    /// What the client says it is; the store knows better.
    pub kind: Option<ResourceType>,
}

impl Member {
    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        let text = |name| value.get(name).and_then(Value::as_str);
        Some(Self {
            value: text("value")?.to_owned(),
            display: text("display").map(str::to_owned),
            kind: text("type").and_then(ResourceType::from_name),
        })
    }
}

pub(crate) fn into_value(member: Member) -> Value {
    let mut parts = Map::from_iter([("value".to_owned(), Value::String(member.value))]);
    if let Some(display) = member.display {
        parts.insert("display".to_owned(), Value::String(display));
    }
    if let Some(kind) = member.kind {
        parts.insert("type".to_owned(), Value::from(kind.name()));
    }
    Value::Object(parts)
}

/// A group that a user belongs to, as `User.groups` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupRef {
    /// The id of the group.
    pub value: String,
    /// The name of the group.
    pub display: Option<String>,
    /// Whether the user is a member itself, not through another group.
    pub is_direct: bool,
}

/// Who came and who went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberDelta {
    /// Members that are new, in the order of the new list.
    pub added: Vec<Member>,
    /// Members that are gone, in the order of the old list.
    pub removed: Vec<Member>,
}

impl MemberDelta {
    /// Whether nobody came and nobody went.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// The difference between the members of two states of a group; a member is its id.
pub fn member_changes(before: &Resource, after: &Resource) -> MemberDelta {
    let old: HashMap<String, Member> =
        before.members().map(|member| (member.value.clone(), member)).collect();
    let new: HashSet<String> = after.members().map(|member| member.value).collect();
    MemberDelta {
        added: after.members().filter(|member| !old.contains_key(&member.value)).collect(),
        removed: before.members().filter(|member| !new.contains(&member.value)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(ids: &[&str]) -> Resource {
        let members: Vec<_> = ids.iter().map(|id| json!({"value": id})).collect();
        Resource::from_value(ResourceType::Group, json!({"displayName": "g", "members": members}))
            .expect("a group")
    }

    #[test]
    fn delta_names_who_came_and_who_went() {
        let delta = member_changes(&group(&["a", "b", "c"]), &group(&["d", "c", "a"]));
        assert_eq!(delta.added.iter().map(|m| m.value.as_str()).collect::<Vec<_>>(), ["d"]);
        assert_eq!(delta.removed.iter().map(|m| m.value.as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(member_changes(&group(&["a", "b"]), &group(&["b", "a"])).is_empty());
    }

    #[test]
    fn members_survive_being_taken_and_put_back() {
        let mut resource = Resource::from_value(
            ResourceType::Group,
            json!({"displayName": "g", "members": [{"value": "a", "display": "A", "type": "user"}, "b"]}),
        )
        .expect("a group");
        let before = resource.clone();
        let members = resource.take_members();
        assert_eq!(members.len(), 2);
        assert_eq!(members.first().and_then(|m| m.kind), Some(ResourceType::User));
        assert_eq!(resource.members().count(), 0);
        resource.set_members(members);
        assert_eq!(resource, before);
    }
}
