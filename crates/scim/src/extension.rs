//! A schema that an admin registers for a federation (RFC 7643 3.3 and 7).
//!
//! It is read from the JSON form of `/Schemas` and rendered back with the same characteristics. What the
//! server could not keep is refused with the reason, never accepted and ignored: a client that reads
//! `/Schemas` may rely on what stands there.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{
    attr::is_name,
    discovery,
    error::ScimError,
    json::{self, noun},
    schema::{Attribute, Kind, Mutability, ResourceType, Returned, SCHEMAS, Schema, Uniqueness, Words},
};

/// How long the JSON of an extension may be, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// How many attributes an extension may have, with its sub-attributes.
pub const MAX_ATTRIBUTES: usize = 200;

/// How many extensions a federation may register.
pub const MAX_EXTENSIONS: usize = 32;

/// How long a URN may be, in bytes.
const MAX_URN: usize = 255;

/// A schema that extends a resource type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    kind: ResourceType,
    schema: Schema,
    /// Whether an attribute is returned otherwise than by default, so that answers must be cut.
    has_rules_of_return: bool,
}

impl Extension {
    /// Reads the JSON form of RFC 7643 7.
    ///
    /// # Errors
    /// `tooLarge` (413) above [`MAX_BYTES`]; `invalidSyntax` for what is no JSON object; `tooMany` above
    /// [`MAX_ATTRIBUTES`]; `invalidValue` naming the attribute and what was expected, for everything
    /// that is malformed, contradicts itself, or could not be kept.
    pub fn parse(kind: ResourceType, text: &str) -> Result<Self, ScimError> {
        if text.len() > MAX_BYTES {
            return Err(ScimError::too_large(format!("a schema has at most {MAX_BYTES} bytes")));
        }
        let object = Form { object: json::parse(text.as_bytes())?, place: String::new() };
        let id = object.text("id")?.ok_or_else(|| object.wants("id", "a URN"))?;
        check_urn(&id)?;
        let name = object.text("name")?.unwrap_or_else(|| last_segment(&id).to_owned());
        let description = object.text("description")?.unwrap_or_default();
        let mut reader = Reader { attributes: 0, has_rules_of_return: false };
        let attributes = reader.list(&object, "attributes", true)?;
        if attributes.is_empty() {
            return Err(object.wants("attributes", "one attribute or more"));
        }
        let schema = Schema {
            id: Cow::Owned(id),
            name: Cow::Owned(name),
            description: Cow::Owned(description),
            attributes: Cow::Owned(attributes),
        };
        Ok(Self { kind, schema, has_rules_of_return: reader.has_rules_of_return })
    }

    /// The resource type that it extends.
    pub const fn kind(&self) -> ResourceType {
        self.kind
    }

    /// The schema.
    pub const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The URN.
    pub fn urn(&self) -> &str {
        &self.schema.id
    }

    /// The JSON form, which [`Extension::parse`] reads back: what a store keeps.
    pub fn to_json(&self) -> Value {
        discovery::schema_form(&self.schema)
    }

    pub(crate) const fn has_rules_of_return(&self) -> bool {
        self.has_rules_of_return
    }
}

/// RFC 8141: `urn:`, a namespace, a colon, and what names the schema in it; printable ASCII that no path
/// gives a meaning of its own.
fn check_urn(urn: &str) -> Result<(), ScimError> {
    let malformed = |why: &str| Err(ScimError::invalid_value(format!("id: '{urn}' {why}")));
    if urn.len() > MAX_URN {
        return malformed("is longer than 255 bytes");
    }
    let mut parts = urn.splitn(3, ':');
    let (scheme, namespace, rest) = (parts.next(), parts.next(), parts.next());
    let is_namespace = |text: &str| {
        (2..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    let is_rest = |text: &str| {
        !text.is_empty()
            && !text.ends_with(':')
            && !text.starts_with('/')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'*+;=:@/%".contains(&byte))
    };
    if !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn"))
        || !namespace.is_some_and(is_namespace)
        || !rest.is_some_and(is_rest)
    {
        return malformed("is not a URN such as urn:example:params:scim:schemas:extension:hr:2.0:User");
    }
    for schema in SCHEMAS {
        let head = urn.get(..schema.id.len());
        if head.is_some_and(|head| schema.is(head))
            && urn.get(schema.id.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        {
            return malformed("belongs to a schema of the standard");
        }
    }
    Ok(())
}

fn last_segment(urn: &str) -> &str {
    urn.rsplit(':').next().unwrap_or(urn)
}

/// An object of the form, and where it stands.
struct Form {
    object: Map<String, Value>,
    place: String,
}

impl Form {
    /// The member with this name in any case.
    fn get(&self, name: &str) -> Option<&Value> {
        let exact = self.object.get(name);
        let any_case = || self.object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        exact.or_else(|| any_case().map(|(_, value)| value)).filter(|value| !value.is_null())
    }

    fn place_of(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    fn wants(&self, name: &str, expected: &str) -> ScimError {
        let found = self.get(name).map_or("nothing", noun);
        ScimError::invalid_value(format!("{}: expected {expected}, not {found}", self.place_of(name)))
    }

    fn text(&self, name: &str) -> Result<Option<String>, ScimError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.contains('\0') => Ok(Some(text.clone())),
            Some(_) => Err(self.wants(name, "a string")),
        }
    }

    fn boolean(&self, name: &str) -> Result<bool, ScimError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.wants(name, "true or false")),
        }
    }

    fn words(&self, name: &str) -> Result<Words, ScimError> {
        let Some(value) = self.get(name) else { return Ok(Words::NONE) };
        let Value::Array(items) = value else { return Err(self.wants(name, "an array of strings")) };
        let words =
            items.iter().map(|item| item.as_str().filter(|text| !text.contains('\0')).map(str::to_owned));
        let words: Option<Vec<String>> = words.collect();
        let words = words.ok_or_else(|| self.wants(name, "an array of nothing but strings"))?;
        Ok(if words.is_empty() { Words::NONE } else { Words::Own(words) })
    }

    /// One of the words of a characteristic; the first one when nothing is said.
    fn choice<T: Copy>(&self, name: &str, choices: &[(T, &'static str)], usual: T) -> Result<T, ScimError> {
        let Some(given) = self.text(name)? else { return Ok(usual) };
        let found = choices.iter().find(|(_, word)| word.eq_ignore_ascii_case(&given));
        found.map(|(value, _)| *value).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(_, word)| *word).collect();
            ScimError::invalid_value(format!(
                "{}: expected one of {}, not '{given}'",
                self.place_of(name),
                words.join(", ")
            ))
        })
    }
}

/// Reads attributes and counts them.
struct Reader {
    attributes: usize,
    has_rules_of_return: bool,
}

impl Reader {
    fn list(&mut self, form: &Form, name: &str, is_top: bool) -> Result<Vec<Attribute>, ScimError> {
        let items = match form.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(form.wants(name, "an array of attributes")),
        };
        let mut attributes: Vec<Attribute> = Vec::with_capacity(items.len().min(MAX_ATTRIBUTES));
        for (index, item) in items.iter().enumerate() {
            let place = format!("{}[{index}]", form.place_of(name));
            let Value::Object(object) = item else {
                return Err(ScimError::invalid_value(format!(
                    "{place}: expected an object, not {}",
                    noun(item)
                )));
            };
            self.attributes += 1;
            if self.attributes > MAX_ATTRIBUTES {
                return Err(ScimError::too_many(format!(
                    "attributes: more than {MAX_ATTRIBUTES} with their sub-attributes"
                )));
            }
            let attribute = self.attribute(&Form { object: object.clone(), place: place.clone() }, is_top)?;
            if attributes.iter().any(|other| other.name.eq_ignore_ascii_case(&attribute.name)) {
                return Err(ScimError::invalid_value(format!(
                    "{place}.name: '{}' is there twice",
                    attribute.name
                )));
            }
            attributes.push(attribute);
        }
        Ok(attributes)
    }

    fn attribute(&mut self, form: &Form, is_top: bool) -> Result<Attribute, ScimError> {
        let name = form.text("name")?.ok_or_else(|| form.wants("name", "a name"))?;
        if !is_name(&name) || name.len() > 100 {
            return Err(ScimError::invalid_value(format!(
                "{}: expected a letter, then letters, digits, '-' and '_', not '{name}'",
                form.place_of("name")
            )));
        }
        if is_top && name.starts_with('$') {
            return Err(ScimError::invalid_value(format!(
                "{}: '{name}' can only name a sub-attribute",
                form.place_of("name")
            )));
        }
        // From here on the name says more than the number.
        let form = &Form { object: form.object.clone(), place: format!("attribute '{name}'") };
        let kind = form.choice("type", &Kind::ALL.map(|kind| (kind, kind.as_str())), Kind::String)?;
        let description = form.text("description")?.unwrap_or_default();
        let mut attribute = Attribute::new(Cow::Owned(name), kind, Cow::Owned(description));
        attribute.multi_valued = form.boolean("multiValued")?;
        attribute.required = form.boolean("required")?;
        // It says nothing about booleans and objects, and `/Schemas` does not show it there.
        attribute.case_exact = form.boolean("caseExact")? && !matches!(kind, Kind::Boolean | Kind::Complex);
        attribute.mutability = form.choice(
            "mutability",
            &Mutability::ALL.map(|word| (word, word.as_str())),
            Mutability::ReadWrite,
        )?;
        let usual =
            if attribute.mutability == Mutability::WriteOnly { Returned::Never } else { Returned::Default };
        attribute.returned =
            form.choice("returned", &Returned::ALL.map(|word| (word, word.as_str())), usual)?;
        attribute.uniqueness =
            form.choice("uniqueness", &Uniqueness::ALL.map(|word| (word, word.as_str())), Uniqueness::None)?;
        attribute.canonical_values = form.words("canonicalValues")?;
        attribute.reference_types = form.words("referenceTypes")?;
        if kind == Kind::Complex {
            if !is_top {
                return Err(
                    form.wants_not("type", "a sub-attribute cannot have sub-attributes (RFC 7643 2.3.8)")
                );
            }
            let subs = self.list(form, "subAttributes", false)?;
            if subs.is_empty() {
                return Err(form.wants("subAttributes", "one sub-attribute or more"));
            }
            attribute.sub_attributes = Cow::Owned(subs);
        } else if form.get("subAttributes").is_some_and(|subs| subs != &Value::Array(Vec::new())) {
            return Err(form.wants_not("subAttributes", "only a complex attribute has them"));
        }
        self.check(form, &attribute)?;
        Ok(attribute)
    }

    /// Refuses what contradicts itself, and what this server cannot keep.
    fn check(&mut self, form: &Form, attribute: &Attribute) -> Result<(), ScimError> {
        if attribute.uniqueness != Uniqueness::None {
            return Err(form.wants_not("uniqueness", "values of an extension are not kept unique; say none"));
        }
        match attribute.mutability {
            Mutability::WriteOnly => {
                if attribute.returned != Returned::Never {
                    return Err(form.wants_not("returned", "what is writeOnly is never returned; say never"));
                }
                if attribute.required {
                    return Err(
                        form.wants_not("required", "what is writeOnly is not kept, so it cannot be required")
                    );
                }
            }
            Mutability::ReadOnly if attribute.required => {
                return Err(form.wants_not("required", "a client cannot give what is readOnly"));
            }
            Mutability::ReadOnly | Mutability::ReadWrite | Mutability::Immutable => {}
        }
        if !attribute.reference_types.is_empty() && attribute.kind != Kind::Reference {
            return Err(form.wants_not("referenceTypes", "only a reference has them"));
        }
        if attribute.returned != Returned::Default {
            self.has_rules_of_return = true;
        }
        Ok(())
    }
}

impl Form {
    /// A characteristic that is well-formed and cannot be had.
    fn wants_not(&self, name: &str, why: &str) -> ScimError {
        ScimError::invalid_value(format!("{}: {why}", self.place_of(name)))
    }
}
