//! Which attributes an answer holds: `attributes` and `excludedAttributes` (RFC 7644 3.9).
//!
//! Names that mean nothing for a resource type are ignored, as RFC 7644 3.4.2.5 leaves them to us and
//! clients list attributes of other servers. What is always returned stays.

use serde_json::{Map, Value};

use crate::{
    attr::{AttrPath, known_schema},
    error::ScimError,
    schema::{Attribute, COMMON, ResourceType, Returned, Schema},
};

/// What a client wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    /// Everything that is returned by default.
    #[default]
    Default,
    /// `attributes`: these, and what is always returned.
    Only(Vec<String>),
    /// `excludedAttributes`: everything but these.
    Except(Vec<String>),
}

/// What one name of a list means for a resource type.
enum Target {
    /// The whole of a schema.
    Schema(&'static Schema),
    /// An attribute, or one of its sub-attributes.
    Attribute {
        extension: Option<&'static Schema>,
        attribute: &'static Attribute,
        sub: Option<&'static Attribute>,
    },
}

impl Selection {
    /// Reads the two parameters: comma lists; an empty one restricts nothing.
    ///
    /// # Errors
    /// `invalidValue` when both are given (RFC 7644 3.9).
    pub fn parse(attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, ScimError> {
        Self::from_lists(attributes.map(split).unwrap_or_default(), excluded.map(split).unwrap_or_default())
    }

    /// As [`Selection::parse`], from the lists of a search body.
    ///
    /// # Errors
    /// As [`Selection::parse`].
    pub fn from_lists(attributes: Vec<String>, excluded: Vec<String>) -> Result<Self, ScimError> {
        match (attributes.is_empty(), excluded.is_empty()) {
            (true, true) => Ok(Self::Default),
            (false, true) => Ok(Self::Only(attributes)),
            (true, false) => Ok(Self::Except(excluded)),
            (false, false) => Err(ScimError::invalid_value(
                "attributes and excludedAttributes exclude each other: give one of them",
            )),
        }
    }

    /// Whether some of an attribute is wanted, so that a caller can spare itself the work.
    ///
    /// `name` is canonical, such as `members`.
    pub fn wants(&self, kind: ResourceType, name: &str) -> bool {
        let is_it = |target: &Target| match target {
            Target::Schema(schema) => {
                std::ptr::eq(*schema, kind.schema()) && schema.attribute(name).is_some()
            }
            Target::Attribute { extension, attribute, .. } => extension.is_none() && attribute.name == name,
        };
        match self {
            Self::Default => true,
            Self::Only(names) => targets(kind, names).any(|target| is_it(&target)),
            Self::Except(names) => !targets(kind, names)
                .any(|target| is_it(&target) && !matches!(target, Target::Attribute { sub: Some(_), .. })),
        }
    }

    /// Cuts a body down to what is wanted.
    pub fn apply(&self, kind: ResourceType, body: Value) -> Value {
        let Value::Object(body) = body else { return body };
        Value::Object(match self {
            Self::Default => body,
            Self::Only(names) => without_empty(only(kind, names, body)),
            Self::Except(names) => without_empty(except(kind, names, body)),
        })
    }
}

/// Drops what the cut left empty: an object without parts is unassigned (RFC 7643 2.5).
fn without_empty(body: Map<String, Value>) -> Map<String, Value> {
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    let whole = |value: Value| match value {
        Value::Array(items) => Value::Array(items.into_iter().filter(|item| !is_empty(item)).collect()),
        Value::Object(parts) => {
            Value::Object(parts.into_iter().filter(|(_, part)| !is_empty(part)).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    };
    body.into_iter().map(|(name, value)| (name, whole(value))).filter(|(_, value)| !is_empty(value)).collect()
}

/// Splits at commas that are outside brackets and quotes: Entra's reference code asks for
/// `emails[type eq "work"]`.
fn split(list: &str) -> Vec<String> {
    let (mut names, mut name, mut depth, mut in_string) = (Vec::new(), String::new(), 0_usize, false);
    for c in list.chars() {
        match c {
            '"' => in_string = !in_string,
            '[' if !in_string => depth += 1,
            ']' if !in_string => depth = depth.saturating_sub(1),
            ',' if !in_string && depth == 0 => names.push(std::mem::take(&mut name)),
            _ => {}
        }
        if c != ',' || in_string || depth > 0 {
            name.push(c);
        }
    }
    names.push(name);
    names.into_iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

fn targets(kind: ResourceType, names: &[String]) -> impl Iterator<Item = Target> + '_ {
    names.iter().filter_map(move |name| target(kind, name))
}

fn target(kind: ResourceType, name: &str) -> Option<Target> {
    if let Some(schema) = known_schema(name) {
        return Some(Target::Schema(schema));
    }
    // A filter in the list selects the attribute as a whole: RFC 7644 3.10 knows no filter here.
    let name = match (name.find('['), name.rfind(']')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", name.get(..open)?, name.get(close + 1..)?)
        }
        (Some(_) | None, _) => name.to_owned(),
    };
    let resolved = AttrPath::parse(&name)?.resolve(kind)?;
    Some(Target::Attribute {
        extension: resolved.extension,
        attribute: resolved.attribute,
        sub: resolved.sub,
    })
}

fn is_always_returned(name: &str) -> bool {
    COMMON.iter().any(|attribute| attribute.returned == Returned::Always && attribute.name == name)
}

fn only(kind: ResourceType, names: &[String], body: Map<String, Value>) -> Map<String, Value> {
    let mut kept: Map<String, Value> = Map::new();
    for target in targets(kind, names) {
        match target {
            Target::Schema(schema) if std::ptr::eq(schema, kind.schema()) => {
                for attribute in schema.attributes {
                    copy(&body, &mut kept, attribute, None);
                }
            }
            Target::Schema(extension) => {
                if let Some(value) = body.get(extension.id) {
                    kept.insert(extension.id.to_owned(), value.clone());
                }
            }
            Target::Attribute { extension: None, attribute, sub } => copy(&body, &mut kept, attribute, sub),
            Target::Attribute { extension: Some(extension), attribute, sub } => {
                if let Some(Value::Object(from)) = body.get(extension.id) {
                    let mut parts = match kept.remove(extension.id) {
                        Some(Value::Object(parts)) => parts,
                        Some(_) | None => Map::new(),
                    };
                    copy(from, &mut parts, attribute, sub);
                    if !parts.is_empty() {
                        kept.insert(extension.id.to_owned(), Value::Object(parts));
                    }
                }
            }
        }
    }
    for (name, value) in body {
        if is_always_returned(&name) {
            kept.insert(name, value);
        }
    }
    kept
}

/// Copies an attribute, or one sub-attribute of it, beside what is copied already.
fn copy(
    from: &Map<String, Value>,
    to: &mut Map<String, Value>,
    attribute: &Attribute,
    sub: Option<&Attribute>,
) {
    let Some(value) = from.get(attribute.name) else { return };
    let Some(sub) = sub else {
        to.insert(attribute.name.to_owned(), value.clone());
        return;
    };
    match value {
        Value::Array(elements) => {
            // One slot for each element, so that several sub-attributes of one element meet again.
            let slots = to
                .entry(attribute.name)
                .or_insert_with(|| elements.iter().map(|_| Value::Object(Map::new())).collect());
            for (slot, element) in slots.as_array_mut().into_iter().flatten().zip(elements) {
                if let (Some(slot), Some(part)) = (slot.as_object_mut(), element.get(sub.name)) {
                    slot.insert(sub.name.to_owned(), part.clone());
                }
            }
        }
        Value::Object(parts) => {
            if let Some(part) = parts.get(sub.name)
                && let Value::Object(slot) =
                    to.entry(attribute.name).or_insert_with(|| Value::Object(Map::new()))
            {
                slot.insert(sub.name.to_owned(), part.clone());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn except(kind: ResourceType, names: &[String], mut body: Map<String, Value>) -> Map<String, Value> {
    for target in targets(kind, names) {
        match target {
            Target::Schema(schema) if std::ptr::eq(schema, kind.schema()) => {
                for attribute in schema.attributes {
                    body.remove(attribute.name);
                }
            }
            Target::Schema(extension) => {
                body.remove(extension.id);
            }
            Target::Attribute { attribute, .. } if attribute.returned == Returned::Always => {}
            Target::Attribute { extension: None, attribute, sub } => cut(&mut body, attribute, sub),
            Target::Attribute { extension: Some(extension), attribute, sub } => {
                if let Some(Value::Object(parts)) = body.get_mut(extension.id) {
                    cut(parts, attribute, sub);
                }
            }
        }
    }
    body
}

fn cut(body: &mut Map<String, Value>, attribute: &Attribute, sub: Option<&Attribute>) {
    let Some(sub) = sub else {
        body.remove(attribute.name);
        return;
    };
    match body.get_mut(attribute.name) {
        Some(Value::Array(elements)) => {
            for element in elements.iter_mut().filter_map(Value::as_object_mut) {
                element.remove(sub.name);
            }
        }
        Some(Value::Object(parts)) => {
            parts.remove(sub.name);
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
    }
}
