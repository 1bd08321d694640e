//! A user or a group in its normal form.
//!
//! Parse, do not validate: a [`Resource`] holds canonical names, values of the right type, nothing that
//! the schemas do not know, nothing that is read-only and never a password. What was lenient about the
//! request is gone when one exists. A new rule for what comes in belongs to `coerce` when it is about a
//! value, to [`Resource::from_value`] when it is about the whole.

use serde_json::{Map, Value};

use crate::{
    coerce,
    error::ScimError,
    json,
    member::{self, Member},
    schema::{Attribute, Mutability, ResourceType, Schema, common_attribute},
};

/// A user or a group as a client may set it: without `id`, `meta` and `groups`, which are the server's.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    kind: ResourceType,
    /// Always an object.
    value: Value,
}

impl Resource {
    /// Reads the body of a POST or a PUT.
    ///
    /// # Errors
    /// `invalidSyntax` when the body is no JSON object or nested too deeply; `invalidValue` for a value
    /// of the wrong type, a missing required attribute or a second primary value. The detail names the
    /// attribute and what was expected.
    pub fn parse(kind: ResourceType, body: &[u8]) -> Result<Self, ScimError> {
        Self::from_object(kind, json::parse(body)?)
    }

    /// Reads a value that came inside another body, as the `data` of a bulk operation does.
    ///
    /// # Errors
    /// As [`Resource::parse`].
    pub fn from_value(kind: ResourceType, value: Value) -> Result<Self, ScimError> {
        Self::from_object(kind, json::object(value)?)
    }

    /// Takes back what [`Resource::as_value`] gave, without checking it again.
    pub fn from_stored(kind: ResourceType, value: Value) -> Self {
        let value = if value.is_object() { value } else { Value::Object(Map::new()) };
        Self { kind, value }
    }

    fn from_object(kind: ResourceType, object: Map<String, Value>) -> Result<Self, ScimError> {
        let mut attributes = Map::new();
        for (name, value) in object {
            if let Some(extension) = kind.extensions().iter().find(|extension| extension.is(&name)) {
                read_extension(extension, value, &mut attributes)?;
            } else if let Some(attribute) = common_attribute(&name).or_else(|| kind.schema().attribute(&name))
                && is_writable(attribute)
                && let Some(value) = coerce::attribute(attribute, value, attribute.name)?
            {
                attributes.insert(attribute.name.to_owned(), value);
            }
            // Everything else is dropped in silence: unknown names and URNs (RFC 7644 3.1 lets us), what
            // is read-only (RFC 7644 3.3) and the password.
        }
        if kind == ResourceType::User {
            attributes.entry("active").or_insert(Value::Bool(true));
        }
        Self::finish(kind, attributes)
    }

    /// Checks the whole and writes `schemas` anew (RFC 7643 3: the core schema and the extensions used).
    ///
    /// # Errors
    /// `invalidValue` when a required attribute is missing.
    pub(crate) fn finish(kind: ResourceType, mut attributes: Map<String, Value>) -> Result<Self, ScimError> {
        for attribute in kind.schema().attributes.iter().filter(|attribute| attribute.required) {
            let is_given = match attributes.get(attribute.name) {
                Some(Value::String(text)) => !text.trim().is_empty(),
                Some(_) => true,
                None => false,
            };
            if !is_given {
                return Err(ScimError::invalid_value(format!(
                    "{}: required, and expected {} that is not empty",
                    attribute.name,
                    attribute.kind.noun()
                )));
            }
        }
        let extensions = kind.extensions().iter().filter(|extension| attributes.contains_key(extension.id));
        let schemas = std::iter::once(kind.schema().id).chain(extensions.map(|extension| extension.id));
        let schemas: Value = schemas.map(Value::from).collect();
        attributes.insert("schemas".to_owned(), schemas);
        Ok(Self { kind, value: Value::Object(attributes) })
    }

    /// The type.
    pub fn kind(&self) -> ResourceType {
        self.kind
    }

    /// `userName`; every user has one.
    pub fn user_name(&self) -> Option<&str> {
        self.text("userName")
    }

    /// `displayName`; every group has one.
    pub fn display_name(&self) -> Option<&str> {
        self.text("displayName")
    }

    /// `externalId`: what the provisioning client calls it.
    pub fn external_id(&self) -> Option<&str> {
        self.text("externalId")
    }

    /// `active`; true when nothing is said, and for groups.
    pub fn active(&self) -> bool {
        self.value.get("active").and_then(Value::as_bool).unwrap_or(true)
    }

    /// The members of a group, in their order.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.value
            .get("members")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Member::from_value)
    }

    /// Takes the members out, for a store that keeps them in a table of their own.
    pub fn take_members(&mut self) -> Vec<Member> {
        let members = self.members().collect();
        if let Value::Object(attributes) = &mut self.value {
            attributes.remove("members");
        }
        members
    }

    /// Puts the members back.
    pub fn set_members(&mut self, members: Vec<Member>) {
        if let Value::Object(attributes) = &mut self.value {
            if members.is_empty() {
                attributes.remove("members");
            } else {
                let members = members.into_iter().map(member::into_value).collect();
                attributes.insert("members".to_owned(), members);
            }
        }
    }

    /// The normal form, as it is stored: an object with canonical names.
    pub fn as_value(&self) -> &Value {
        &self.value
    }

    /// The normal form, owned.
    pub fn into_value(self) -> Value {
        self.value
    }

    /// The attributes of the normal form.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&String, &Value)> + '_ {
        self.value.as_object().into_iter().flatten()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.value.get(name).and_then(Value::as_str)
    }
}

/// Whether a client sets it and it is kept: read-only ones are the server's, write-only ones (the
/// password) are never stored.
pub(crate) fn is_writable(attribute: &Attribute) -> bool {
    match attribute.mutability {
        Mutability::ReadWrite | Mutability::Immutable => true,
        Mutability::ReadOnly | Mutability::WriteOnly => false,
    }
}

fn read_extension(
    extension: &'static Schema,
    value: Value,
    attributes: &mut Map<String, Value>,
) -> Result<(), ScimError> {
    let object = match value {
        Value::Object(object) => object,
        Value::Null => return Ok(()),
        Value::Array(items) if items.is_empty() => return Ok(()),
        Value::String(text) if text.is_empty() => return Ok(()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(ScimError::invalid_value(format!(
                "{}: expected an object, not {}",
                extension.id,
                json::noun(&value)
            )));
        }
    };
    let mut parts = Map::new();
    for (name, value) in object {
        if let Some(attribute) = extension.attribute(&name)
            && is_writable(attribute)
            && let Some(value) =
                coerce::attribute(attribute, value, &format!("{}:{}", extension.id, attribute.name))?
        {
            parts.insert(attribute.name.to_owned(), value);
        }
    }
    if !parts.is_empty() {
        attributes.insert(extension.id.to_owned(), Value::Object(parts));
    }
    Ok(())
}
