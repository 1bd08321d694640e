//! What providers send, made what the schema says: lenient in, strict out.
//!
//! Every lenience is here, in one place: string booleans, single values where an array is expected,
//! bare ids where a pointer is expected, blanks that mean "unassigned". One more is one more arm in
//! [`single`], with a test and the provider that needs it; it must never turn into a silent loss.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::{
    error::ScimError,
    instant,
    json::noun,
    schema::{Attribute, Kind, Mutability, ResourceType},
    tolerance::{Reading, Tolerance},
};

/// The value of an attribute in its normal form; none when it is unassigned (RFC 7643 2.5).
///
/// # Errors
/// `invalidValue` naming `path` and what was expected.
pub(crate) fn attribute(
    attribute: &Attribute,
    value: Value,
    path: &str,
    reading: &mut Reading,
) -> Result<Option<Value>, ScimError> {
    if attribute.multi_valued {
        let elements = elements(attribute, value, path, reading)?;
        return Ok((!elements.is_empty()).then_some(Value::Array(elements)));
    }
    single(attribute, value, path, reading)
}

/// The values of a multi-valued attribute, without blanks and duplicates.
///
/// # Errors
/// `invalidValue` for a wrong type, a second primary value or a pointer without its id.
pub(crate) fn elements(
    attribute: &Attribute,
    value: Value,
    path: &str,
    reading: &mut Reading,
) -> Result<Vec<Value>, ScimError> {
    let items = match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        // Rippling sends a single object, Entra's reference code a bare string.
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            reading.note(Tolerance::SingleForList, path)?;
            vec![value]
        }
    };
    let mut seen = HashSet::with_capacity(items.len());
    let mut elements = Vec::with_capacity(items.len());
    let mut has_primary = false;
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        if item.is_null() {
            reading.note(Tolerance::BlankValue, &path)?;
            continue;
        }
        let Some(element) = single(attribute, item, &path, reading)? else {
            if attribute.is_pointer() {
                // Dropping a member that cannot be understood would be a silent loss.
                return Err(ScimError::invalid_value(format!("{path}.value: expected the id of a resource")));
            }
            continue;
        };
        if is_primary(&element) && std::mem::replace(&mut has_primary, true) {
            return Err(ScimError::invalid_value(format!(
                "{path}.primary: at most one value may be primary"
            )));
        }
        if seen.insert(identity(attribute, &element)) {
            elements.push(element);
        }
    }
    Ok(elements)
}

/// One value of an attribute; none when it is unassigned.
///
/// # Errors
/// `invalidValue` for a wrong type.
pub(crate) fn single(
    attribute: &Attribute,
    value: Value,
    path: &str,
    reading: &mut Reading,
) -> Result<Option<Value>, ScimError> {
    match (attribute.kind, value) {
        (_, Value::Null) => Ok(None),
        // An empty URI, instant or certificate is what a template writes for "none".
        (Kind::DateTime | Kind::Reference | Kind::Binary | Kind::Complex, Value::String(text))
            if text.is_empty() =>
        {
            reading.note(Tolerance::BlankValue, path)?;
            Ok(None)
        }
        (Kind::String | Kind::Reference, Value::String(text)) => string(text, path).map(Some),
        (Kind::DateTime, Value::String(text)) => {
            if instant::parse(&text).is_none() {
                return Err(expected(attribute, &Value::String(text), path));
            }
            instant::note(&text, path, reading)?;
            string(text, path).map(Some)
        }
        (Kind::Binary, Value::String(text)) => {
            if !is_base64(&text) {
                reading.note(Tolerance::NotBase64, path)?;
            }
            string(text, path).map(Some)
        }
        (Kind::Boolean, Value::Bool(value)) => Ok(Some(Value::Bool(value))),
        // Entra's default PATCH says "False".
        (Kind::Boolean, Value::String(text)) => match boolean(&text) {
            Some(value) => {
                reading.note(Tolerance::StringBoolean, path)?;
                Ok(Some(Value::Bool(value)))
            }
            None => Err(expected(attribute, &Value::String(text), path)),
        },
        (Kind::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => {
            Ok(Some(Value::Number(number)))
        }
        (Kind::Decimal, Value::Number(number)) => Ok(Some(Value::Number(number))),
        (Kind::Complex, Value::Object(object)) => complex(attribute, object, path, reading),
        // Entra sends the id of the manager bare.
        (Kind::Complex, Value::String(text)) if attribute.is_pointer() => {
            reading.note(Tolerance::BareReference, path)?;
            Ok(Some(Value::Object(Map::from_iter([("value".to_owned(), string(text, path)?)]))))
        }
        (Kind::Complex, Value::Array(mut items)) if !attribute.multi_valued && items.len() < 2 => {
            // RFC 7643 2.5 knows the empty array for multi-valued attributes alone.
            let tolerance = if items.is_empty() { Tolerance::BlankValue } else { Tolerance::ListForSingle };
            reading.note(tolerance, path)?;
            match items.pop() {
                Some(Value::Object(object)) => complex(attribute, object, path, reading),
                Some(Value::Null) | None => Ok(None),
                Some(item) => Err(expected(attribute, &item, path)),
            }
        }
        (
            Kind::String
            | Kind::Boolean
            | Kind::Decimal
            | Kind::Integer
            | Kind::DateTime
            | Kind::Reference
            | Kind::Binary
            | Kind::Complex,
            value,
        ) => Err(expected(attribute, &value, path)),
    }
}

/// Base64 of either alphabet, with or without padding and breaks (RFC 4648, RFC 7643 2.3.6).
fn is_base64(text: &str) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let body: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digits = body.iter().take_while(|byte| is_digit(byte)).count();
    let padding = body.len() - digits;
    body.iter().skip(digits).all(|byte| *byte == b'=')
        && digits % 4 != 1
        && match padding {
            0 => true,
            1 | 2 => (digits + padding).is_multiple_of(4),
            _ => false,
        }
}

/// `true` and `false` in any case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn string(text: String, path: &str) -> Result<Value, ScimError> {
    // No database of ours stores U+0000 in text.
    if text.contains('\0') {
        return Err(ScimError::invalid_value(format!("{path}: a string may not hold the character U+0000")));
    }
    Ok(Value::String(text))
}

fn expected(attribute: &Attribute, value: &Value, path: &str) -> ScimError {
    ScimError::invalid_value(format!("{path}: expected {}, not {}", attribute.kind.noun(), noun(value)))
}

/// Keeps a value under its canonical name. Names are the same in any case (RFC 7643 2.1), so two
/// spellings of one name are two values for it, and which one is meant nobody knows.
///
/// # Errors
/// `invalidSyntax` when there is one already.
pub(crate) fn insert_once(
    parts: &mut Map<String, Value>,
    name: &str,
    value: Value,
    place: &str,
) -> Result<(), ScimError> {
    match parts.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(ScimError::invalid_syntax(format!("{place}: is there twice, in two spellings"))),
    }
}

fn complex(
    attribute: &Attribute,
    object: Map<String, Value>,
    path: &str,
    reading: &mut Reading,
) -> Result<Option<Value>, ScimError> {
    let mut parts = Map::new();
    let is_empty = object.is_empty();
    for (name, value) in object {
        let Some(sub) = attribute.sub_attribute(&name) else {
            reading.note(Tolerance::UnknownAttribute, &format!("{path}.{name}"))?;
            continue;
        };
        if matches!(sub.mutability, Mutability::ReadOnly | Mutability::WriteOnly) {
            continue;
        }
        let path = format!("{path}.{}", sub.name);
        match self::attribute(sub, value, &path, reading)? {
            Some(Value::String(text)) if sub.name == "type" && points_at_types(attribute, sub) => {
                // The type of a member is one of ours or nothing: the id says which it is.
                match sub.canonical_values.iter().find(|known| known.eq_ignore_ascii_case(&text)) {
                    Some(known) => insert_once(&mut parts, &sub.name, Value::from(known), &path)?,
                    None => reading.note(Tolerance::MemberType, &path)?,
                }
            }
            Some(value) => insert_once(&mut parts, &sub.name, value, &path)?,
            None => {}
        }
    }
    if is_blank(attribute, &parts) {
        if is_empty || !parts.is_empty() {
            reading.note(Tolerance::BlankValue, path)?;
        }
        return Ok(None);
    }
    Ok(Some(Value::Object(parts)))
}

/// Whether the `type` of a pointer names one of our resource types, as that of a member does.
fn points_at_types(attribute: &Attribute, label: &Attribute) -> bool {
    attribute.is_pointer()
        && !label.canonical_values.is_empty()
        && label.canonical_values.iter().all(|word| ResourceType::from_name(word).is_some())
}

/// Whether an object says nothing: a pointer without an id, a value that is empty, or nothing but
/// labels. Templates of providers write these for "no such value".
pub(crate) fn is_blank(attribute: &Attribute, parts: &Map<String, Value>) -> bool {
    if attribute.sub_attribute("value").is_some() {
        match parts.get("value") {
            Some(value) if is_empty(value) => return true,
            None if attribute.is_pointer() => return true,
            Some(_) | None => {}
        }
    }
    parts.iter().all(|(name, value)| matches!(name.as_str(), "type" | "primary") || is_empty(value))
}

fn is_empty(value: &Value) -> bool {
    value.as_str().is_some_and(str::is_empty)
}

/// Whether an element of a multi-valued attribute is the primary one.
pub(crate) fn is_primary(element: &Value) -> bool {
    element.get("primary").and_then(Value::as_bool) == Some(true)
}

/// What makes two elements the same: the id for pointers, everything for the rest.
pub(crate) fn identity(attribute: &Attribute, element: &Value) -> String {
    match element.get("value").and_then(Value::as_str) {
        Some(id) if attribute.is_pointer() => id.to_owned(),
        Some(_) | None => element.to_string(),
    }
}
