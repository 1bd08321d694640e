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
    schemas::Type,
    tolerance::{Reading, Tolerance},
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
    pub fn parse<'a>(of: impl Into<Type<'a>>, body: &[u8]) -> Result<Self, ScimError> {
        Self::read(of, body, &mut Reading::lenient())
    }

    /// As [`Resource::parse`], and notes what is tolerated.
    ///
    /// # Errors
    /// As [`Resource::parse`], and in strict mode for each [`Tolerance`].
    pub fn read<'a>(of: impl Into<Type<'a>>, body: &[u8], reading: &mut Reading) -> Result<Self, ScimError> {
        Self::from_object(of.into(), json::read(body, reading)?, reading)
    }

    /// Reads a value that came inside another body, as the `data` of a bulk operation does.
    ///
    /// # Errors
    /// As [`Resource::parse`].
    pub fn from_value<'a>(of: impl Into<Type<'a>>, value: Value) -> Result<Self, ScimError> {
        Self::read_value(of, value, &mut Reading::lenient())
    }

    /// As [`Resource::from_value`], and notes what is tolerated.
    ///
    /// # Errors
    /// As [`Resource::read`].
    pub fn read_value<'a>(
        of: impl Into<Type<'a>>,
        value: Value,
        reading: &mut Reading,
    ) -> Result<Self, ScimError> {
        Self::from_object(of.into(), json::object(value)?, reading)
    }

    /// Takes back what [`Resource::as_value`] gave, without checking it again.
    pub fn from_stored<'a>(of: impl Into<Type<'a>>, value: Value) -> Self {
        let value = if value.is_object() { value } else { Value::Object(Map::new()) };
        Self { kind: of.into().kind, value }
    }

    fn from_object(
        of: Type<'_>,
        object: Map<String, Value>,
        reading: &mut Reading,
    ) -> Result<Self, ScimError> {
        let mut attributes = Map::new();
        let mut listed = None;
        for (name, value) in object {
            if let Some(extension) = of.extension(&name) {
                read_extension(extension, value, &mut attributes, reading)?;
                continue;
            }
            let Some(attribute) = common_attribute(&name).or_else(|| of.schema().attribute(&name)) else {
                // RFC 7644 3.1 lets us: unknown names and URNs are dropped.
                reading.note(Tolerance::UnknownAttribute, &name)?;
                continue;
            };
            if attribute.name == "schemas" {
                listed = Some(value);
            } else if is_writable(attribute) {
                if let Some(value) = coerce::attribute(attribute, value, &attribute.name, reading)? {
                    coerce::insert_once(&mut attributes, &attribute.name, value, &attribute.name)?;
                }
            } else if attribute.mutability == Mutability::WriteOnly && !value.is_null() {
                reading.note(Tolerance::PasswordSent, &attribute.name)?;
            }
            // What is read-only is the server's: ignored (RFC 7644 3.3).
        }
        check_listed(of, listed, &attributes, reading)?;
        if of.kind == ResourceType::User {
            attributes.entry("active").or_insert(Value::Bool(true));
        }
        Self::finish(of, attributes)
    }

    /// Checks the whole and writes `schemas` anew (RFC 7643 3: the core schema and the extensions used).
    ///
    /// # Errors
    /// `invalidValue` when a required attribute is missing, of an extension only where it is used.
    pub(crate) fn finish(of: Type<'_>, mut attributes: Map<String, Value>) -> Result<Self, ScimError> {
        check_required(&of.schema().attributes, &attributes, "")?;
        let mut schemas = vec![Value::from(of.schema().id.as_ref())];
        for extension in of.extensions() {
            if let Some(Value::Object(parts)) = attributes.get(extension.id.as_ref()) {
                check_required(&extension.attributes, parts, &format!("{}:", extension.id))?;
                schemas.push(Value::from(extension.id.as_ref()));
            }
        }
        attributes.insert("schemas".to_owned(), Value::Array(schemas));
        Ok(Self { kind: of.kind, value: Value::Object(attributes) })
    }

    /// What a PUT of this over `before` leaves (RFC 7644 3.5.1): what is immutable and has a value keeps
    /// it.
    ///
    /// # Errors
    /// `mutability` when it gives another value for what is immutable.
    pub fn replacing<'a>(mut self, of: impl Into<Type<'a>>, before: &Self) -> Result<Self, ScimError> {
        let of = of.into();
        for schema in std::iter::once(of.schema()).chain(of.extensions()) {
            let is_core = schema.is(&of.schema().id);
            let holder = |value: &'_ Value| {
                if is_core { Some(value.clone()) } else { value.get(schema.id.as_ref()).cloned() }
            };
            if !schema.attributes.iter().any(has_immutable_part) {
                continue;
            }
            let Some(Value::Object(old)) = holder(&before.value) else { continue };
            let mut new = match holder(&self.value) {
                Some(Value::Object(new)) => new,
                Some(_) | None => Map::new(),
            };
            let prefix = if is_core { String::new() } else { format!("{}:", schema.id) };
            keep_immutable(&schema.attributes, &old, &mut new, &prefix)?;
            if is_core {
                self.value = Value::Object(new);
            } else if let (Value::Object(attributes), false) = (&mut self.value, new.is_empty()) {
                attributes.insert(schema.id.to_string(), Value::Object(new));
            }
        }
        match self.value {
            Value::Object(attributes) => Self::finish(of, attributes),
            value
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Ok(Self { kind: of.kind, value })
            }
        }
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

/// Whether the attribute is immutable, or a single-valued object with an immutable part. The parts of a
/// multi-valued attribute, such as a member's, go with their value and come with another one.
fn has_immutable_part(attribute: &Attribute) -> bool {
    let is_immutable = |attribute: &Attribute| attribute.mutability == Mutability::Immutable;
    is_immutable(attribute) || !attribute.multi_valued && attribute.sub_attributes.iter().any(is_immutable)
}

fn keep_immutable(
    attributes: &[Attribute],
    old: &Map<String, Value>,
    new: &mut Map<String, Value>,
    prefix: &str,
) -> Result<(), ScimError> {
    for attribute in attributes.iter().filter(|attribute| has_immutable_part(attribute)) {
        let name = attribute.name.as_ref();
        let Some(before) = old.get(name) else { continue };
        if attribute.mutability != Mutability::Immutable {
            let Value::Object(old) = before else { continue };
            let mut parts = match new.remove(name) {
                Some(Value::Object(parts)) => parts,
                Some(_) | None => Map::new(),
            };
            keep_immutable(&attribute.sub_attributes, old, &mut parts, &format!("{prefix}{name}."))?;
            if !parts.is_empty() {
                new.insert(name.to_owned(), Value::Object(parts));
            }
            continue;
        }
        match new.get(name) {
            None => {
                new.insert(name.to_owned(), before.clone());
            }
            Some(value) if value == before => {}
            Some(_) => {
                return Err(ScimError::mutability(format!(
                    "{prefix}{name}: immutable, and has another value"
                )));
            }
        }
    }
    Ok(())
}

fn check_required(
    attributes: &[Attribute],
    holder: &Map<String, Value>,
    prefix: &str,
) -> Result<(), ScimError> {
    for attribute in attributes {
        let value = holder.get(attribute.name.as_ref());
        let is_given = match value {
            Some(Value::String(text)) => !text.trim().is_empty(),
            Some(_) => true,
            None => false,
        };
        if attribute.required && !is_given {
            return Err(ScimError::invalid_value(format!(
                "{prefix}{}: required, and expected {} that is not empty",
                attribute.name,
                attribute.kind.noun()
            )));
        }
        if !attribute.sub_attributes.iter().any(|sub| sub.required) {
            continue;
        }
        let prefix = format!("{prefix}{}.", attribute.name);
        match value {
            Some(Value::Object(parts)) => check_required(&attribute.sub_attributes, parts, &prefix)?,
            Some(Value::Array(elements)) => {
                for parts in elements.iter().filter_map(Value::as_object) {
                    check_required(&attribute.sub_attributes, parts, &prefix)?;
                }
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
        }
    }
    Ok(())
}

/// The URNs of SCIM 1.1, which templates of OneLogin write.
const SCIM_1_URNS: [&str; 2] = ["urn:scim:schemas:core:1.0", "urn:scim:schemas:extension:enterprise:1.0"];

/// `schemas` lists the core schema and the extensions that the body uses, and nothing else
/// (RFC 7643 3). An extension that is listed and not used is fine.
fn check_listed(
    of: Type<'_>,
    listed: Option<Value>,
    attributes: &Map<String, Value>,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let urns = match listed {
        Some(Value::Array(urns)) => urns,
        Some(urn @ Value::String(_)) => {
            reading.note(Tolerance::SingleForList, "schemas")?;
            vec![urn]
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    };
    let lists = |urn: &str| urns.iter().filter_map(Value::as_str).any(|text| text.eq_ignore_ascii_case(urn));
    let is_scim_1 = |urn: &str| SCIM_1_URNS.iter().any(|old| old.eq_ignore_ascii_case(urn));
    let mut speaks_scim_1 = false;
    for (index, urn) in urns.iter().enumerate() {
        let urn = urn.as_str().unwrap_or_default();
        if is_scim_1(urn) {
            speaks_scim_1 = true;
            reading.note(Tolerance::Scim11Schemas, &format!("schemas[{index}]"))?;
        } else if of.named(urn).is_none() {
            reading.note(Tolerance::ForeignSchemas, &format!("schemas[{index}]"))?;
        }
    }
    if !speaks_scim_1 {
        let used = of.extensions().filter(|extension| attributes.contains_key(extension.id.as_ref()));
        for schema in std::iter::once(of.schema()).chain(used) {
            if !lists(&schema.id) {
                reading.note(Tolerance::MissingSchemas, "schemas")?;
            }
        }
    }
    Ok(())
}

fn read_extension(
    extension: &Schema,
    value: Value,
    attributes: &mut Map<String, Value>,
    reading: &mut Reading,
) -> Result<(), ScimError> {
    let object = match value {
        Value::Object(object) => object,
        Value::Null => return Ok(()),
        Value::Array(items) if items.is_empty() => {
            return reading.note(Tolerance::BlankValue, &extension.id);
        }
        Value::String(text) if text.is_empty() => {
            return reading.note(Tolerance::BlankValue, &extension.id);
        }
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
        let Some(attribute) = extension.attribute(&name) else {
            reading.note(Tolerance::UnknownAttribute, &format!("{}:{name}", extension.id))?;
            continue;
        };
        if is_writable(attribute)
            && let Some(value) =
                coerce::attribute(attribute, value, &format!("{}:{}", extension.id, attribute.name), reading)?
        {
            let place = format!("{}:{}", extension.id, attribute.name);
            coerce::insert_once(&mut parts, &attribute.name, value, &place)?;
        }
    }
    if !parts.is_empty() {
        coerce::insert_once(attributes, &extension.id, Value::Object(parts), &extension.id)?;
    }
    Ok(())
}
