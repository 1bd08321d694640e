//! Which attributes an answer holds: `attributes` and `excludedAttributes` (RFC 7644 3.9).
//!
//! Names that mean nothing for a resource type are ignored, as RFC 7644 3.4.2.5 leaves them to us and
//! clients list attributes of other servers. What is always returned stays.

use serde_json::{Map, Value};

use crate::{
    attr::AttrPath,
    error::ScimError,
    extension::Extension,
    schema::{Attribute, COMMON, Returned, Schema},
    schemas::Type,
    tolerance::{Reading, Tolerance},
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
enum Target<'a> {
    /// The whole of a schema.
    Schema(&'a Schema),
    /// An attribute, or one of its sub-attributes.
    Attribute { extension: Option<&'a Schema>, attribute: &'a Attribute, sub: Option<&'a Attribute> },
}

impl Selection {
    /// Reads the two parameters: comma lists; an empty one restricts nothing.
    ///
    /// # Errors
    /// `invalidValue` when both are given (RFC 7644 3.9).
    pub fn parse(attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, ScimError> {
        Self::read(attributes, excluded, &mut Reading::lenient())
    }

    /// As [`Selection::parse`], and notes what is tolerated.
    ///
    /// # Errors
    /// As [`Selection::parse`], and in strict mode for a filter in a list.
    pub fn read(
        attributes: Option<&str>,
        excluded: Option<&str>,
        reading: &mut Reading,
    ) -> Result<Self, ScimError> {
        for (name, list) in [("attributes", attributes), ("excludedAttributes", excluded)] {
            if list.is_some_and(|list| list.contains('[')) {
                reading.note(Tolerance::FilterInAttributes, name)?;
            }
        }
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
    pub fn wants<'a>(&self, of: impl Into<Type<'a>>, name: &str) -> bool {
        let of = of.into();
        let is_it = |target: &Target<'_>| match target {
            Target::Schema(schema) => schema.is(&of.schema().id) && schema.attribute(name).is_some(),
            Target::Attribute { extension, attribute, .. } => extension.is_none() && attribute.name == name,
        };
        match self {
            Self::Default => true,
            Self::Only(names) => targets(of, names).any(|target| is_it(&target)),
            Self::Except(names) => !targets(of, names)
                .any(|target| is_it(&target) && !matches!(target, Target::Attribute { sub: Some(_), .. })),
        }
    }

    /// Cuts a body down to what is wanted, and to what its schemas let out.
    pub fn apply<'a>(&self, of: impl Into<Type<'a>>, body: Value) -> Value {
        let of = of.into();
        let Value::Object(body) = body else { return body };
        let mut body = match self {
            Self::Default => body,
            Self::Only(names) => only(of, names, body),
            Self::Except(names) => except(of, names, body),
        };
        let has_rules = withhold(of, self, &mut body);
        let is_cut = has_rules || *self != Self::Default;
        Value::Object(if is_cut { without_empty(body) } else { body })
    }
}

/// Takes out of the extensions what is never returned, and what is returned on request only and was not
/// asked for by its name. Answers whether any extension has such rules.
fn withhold(of: Type<'_>, selection: &Selection, body: &mut Map<String, Value>) -> bool {
    let asked: Vec<Target<'_>> = match selection {
        Selection::Only(names) => targets(of, names).collect(),
        Selection::Default | Selection::Except(_) => Vec::new(),
    };
    let mut has_rules = false;
    for extension in of.own_extensions().filter(|extension| extension.has_rules_of_return()) {
        let schema = extension.schema();
        let Some(Value::Object(parts)) = body.get_mut(schema.id.as_ref()) else { continue };
        has_rules = true;
        let is_asked = |attribute: &Attribute, sub: Option<&Attribute>| {
            asked.iter().any(|target| match target {
                Target::Schema(_) => false,
                Target::Attribute { extension: from, attribute: named, sub: named_sub } => {
                    from.is_some_and(|from| from.is(&schema.id))
                        && *named == attribute
                        && (sub.is_none() || *named_sub == sub)
                }
            })
        };
        let stays = |attribute: &Attribute, sub: Option<&Attribute>| match sub.unwrap_or(attribute).returned {
            Returned::Always | Returned::Default => true,
            Returned::Never => false,
            Returned::Request => is_asked(attribute, sub),
        };
        for attribute in schema.attributes.iter() {
            if !stays(attribute, None) {
                parts.remove(attribute.name.as_ref());
                continue;
            }
            for sub in attribute.sub_attributes.iter().filter(|sub| !stays(attribute, Some(sub))) {
                cut(parts, attribute, Some(sub));
            }
        }
    }
    has_rules
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

fn targets<'a>(of: Type<'a>, names: &[String]) -> impl Iterator<Item = Target<'a>> {
    names.iter().filter_map(move |name| target(of, name))
}

fn target<'a>(of: Type<'a>, name: &str) -> Option<Target<'a>> {
    if let Some(schema) = of.named(name) {
        return Some(Target::Schema(schema));
    }
    // A filter in the list selects the attribute as a whole: RFC 7644 3.10 knows no filter here.
    let name = match (name.find('['), name.rfind(']')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", name.get(..open)?, name.get(close + 1..)?)
        }
        (Some(_) | None, _) => name.to_owned(),
    };
    let resolved = AttrPath::parse(&name)?.resolve(of)?;
    Some(Target::Attribute {
        extension: resolved.extension,
        attribute: resolved.attribute,
        sub: resolved.sub,
    })
}

fn is_always_returned(name: &str) -> bool {
    COMMON.iter().any(|attribute| attribute.returned == Returned::Always && attribute.name == name)
}

/// The attributes of extensions that stand in every answer.
fn always_returned(of: Type<'_>) -> impl Iterator<Item = (&Schema, &Attribute)> {
    of.own_extensions().filter(|extension| extension.has_rules_of_return()).map(Extension::schema).flat_map(
        |schema| {
            let always = schema.attributes.iter().filter(|attribute| attribute.returned == Returned::Always);
            always.map(move |attribute| (schema, attribute))
        },
    )
}

fn only(of: Type<'_>, names: &[String], body: Map<String, Value>) -> Map<String, Value> {
    let mut kept: Map<String, Value> = Map::new();
    for target in targets(of, names) {
        match target {
            Target::Schema(schema) if schema.is(&of.schema().id) => {
                for attribute in schema.attributes.iter() {
                    copy(&body, &mut kept, attribute, None);
                }
            }
            Target::Schema(extension) => {
                if let Some(value) = body.get(extension.id.as_ref()) {
                    kept.insert(extension.id.to_string(), value.clone());
                }
            }
            Target::Attribute { extension: None, attribute, sub } => copy(&body, &mut kept, attribute, sub),
            Target::Attribute { extension: Some(extension), attribute, sub } => {
                copy_of_extension(&body, &mut kept, extension, attribute, sub);
            }
        }
    }
    for (extension, attribute) in always_returned(of) {
        copy_of_extension(&body, &mut kept, extension, attribute, None);
    }
    for (name, value) in body {
        if is_always_returned(&name) {
            kept.insert(name, value);
        }
    }
    kept
}

fn copy_of_extension(
    body: &Map<String, Value>,
    kept: &mut Map<String, Value>,
    extension: &Schema,
    attribute: &Attribute,
    sub: Option<&Attribute>,
) {
    let Some(Value::Object(from)) = body.get(extension.id.as_ref()) else { return };
    let mut parts = match kept.remove(extension.id.as_ref()) {
        Some(Value::Object(parts)) => parts,
        Some(_) | None => Map::new(),
    };
    copy(from, &mut parts, attribute, sub);
    if !parts.is_empty() {
        kept.insert(extension.id.to_string(), Value::Object(parts));
    }
}

/// Copies an attribute, or one sub-attribute of it, beside what is copied already.
fn copy(
    from: &Map<String, Value>,
    to: &mut Map<String, Value>,
    attribute: &Attribute,
    sub: Option<&Attribute>,
) {
    let Some(value) = from.get(attribute.name.as_ref()) else { return };
    let Some(sub) = sub else {
        to.insert(attribute.name.to_string(), value.clone());
        return;
    };
    match value {
        Value::Array(elements) => {
            // One slot for each element, so that several sub-attributes of one element meet again.
            let slots = to
                .entry(attribute.name.as_ref())
                .or_insert_with(|| elements.iter().map(|_| Value::Object(Map::new())).collect());
            for (slot, element) in slots.as_array_mut().into_iter().flatten().zip(elements) {
                if let (Some(slot), Some(part)) = (slot.as_object_mut(), element.get(sub.name.as_ref())) {
                    slot.insert(sub.name.to_string(), part.clone());
                }
            }
        }
        Value::Object(parts) => {
            if let Some(part) = parts.get(sub.name.as_ref())
                && let Value::Object(slot) =
                    to.entry(attribute.name.as_ref()).or_insert_with(|| Value::Object(Map::new()))
            {
                slot.insert(sub.name.to_string(), part.clone());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn except(of: Type<'_>, names: &[String], mut body: Map<String, Value>) -> Map<String, Value> {
    for target in targets(of, names) {
        match target {
            Target::Schema(schema) if schema.is(&of.schema().id) => {
                for attribute in schema.attributes.iter() {
                    body.remove(attribute.name.as_ref());
                }
            }
            Target::Schema(extension) => {
                if let Some(Value::Object(parts)) = body.get_mut(extension.id.as_ref()) {
                    parts.retain(|name, _| {
                        extension
                            .attribute(name)
                            .is_some_and(|attribute| attribute.returned == Returned::Always)
                    });
                }
            }
            Target::Attribute { attribute, sub, .. }
                if sub.unwrap_or(attribute).returned == Returned::Always => {}
            Target::Attribute { extension: None, attribute, sub } => cut(&mut body, attribute, sub),
            Target::Attribute { extension: Some(extension), attribute, sub } => {
                if let Some(Value::Object(parts)) = body.get_mut(extension.id.as_ref()) {
                    cut(parts, attribute, sub);
                }
            }
        }
    }
    body
}

fn cut(body: &mut Map<String, Value>, attribute: &Attribute, sub: Option<&Attribute>) {
    let Some(sub) = sub else {
        body.remove(attribute.name.as_ref());
        return;
    };
    match body.get_mut(attribute.name.as_ref()) {
        Some(Value::Array(elements)) => {
            for element in elements.iter_mut().filter_map(Value::as_object_mut) {
                element.remove(sub.name.as_ref());
            }
        }
        Some(Value::Object(parts)) => {
            parts.remove(sub.name.as_ref());
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
    }
}
