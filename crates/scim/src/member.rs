//! Members of groups, and groups of users.
//!
//! A store keeps memberships in a table of their own; this is the form in which they travel. A new
//! column of that table is one more field of [`Member`].

use serde_json::{Map, Value};

use crate::schema::ResourceType;

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// The id of the user or group.
    pub value: String,
    /// Its name for people, which the server gives.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::Resource;

    #[test]
    fn members_survive_being_taken_and_put_back() {
        let mut resource = Resource::from_value(
            ResourceType::Group,
            json!({"displayName": "g", "members": [{"value": "a", "display": "A", "type": "user"}, "b"]}),
        )
        .expect("a group");
        let before = resource.clone();
        let mut members = resource.take_members();
        assert_eq!(members.len(), 2);
        let kinds: Vec<_> = members.iter().map(|member| member.kind).collect();
        assert_eq!(kinds, [Some(ResourceType::User), None]);
        assert!(members.iter().all(|member| member.display.is_none()), "its name is the server's to say");
        assert_eq!(resource.members().count(), 0);
        resource.set_members(members.clone());
        assert_eq!(resource, before);
        for member in &mut members {
            member.display = Some("today".to_owned());
        }
        resource.set_members(members.clone());
        assert_eq!(resource.take_members(), members);
    }
}
