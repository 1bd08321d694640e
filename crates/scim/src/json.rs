//! Reading JSON bodies within limits.
//!
//! The depth is measured on the bytes before anything is built, so that a hostile body costs one pass.
//! A name that stands twice in an object is refused: readers differ in which of the two they believe
//! (RFC 8259 4), and one that signs or filters may have believed the other. A new limit is one more
//! constant and its check in [`parse`].

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::{
    error::ScimError,
    tolerance::{Reading, Tolerance},
};

/// How deeply arrays and objects of a body may nest.
pub const MAX_DEPTH: usize = 64;

/// Reads a body that must be a JSON object.
///
/// # Errors
/// `invalidSyntax` when it is not JSON, not an object, or nested deeper than [`MAX_DEPTH`].
pub(crate) fn parse(body: &[u8]) -> Result<Map<String, Value>, ScimError> {
    read(body, &mut Reading::lenient())
}

/// As [`parse`], and notes what is tolerated.
///
/// # Errors
/// As [`parse`], and in strict mode for a byte order mark.
pub(crate) fn read(body: &[u8], reading: &mut Reading) -> Result<Map<String, Value>, ScimError> {
    // Some .NET clients begin the body with a byte order mark.
    let body = match body.strip_prefix(b"\xEF\xBB\xBF") {
        Some(body) => {
            reading.note(Tolerance::ByteOrderMark, "the body")?;
            body
        }
        None => body,
    };
    if depth_of_bytes(body) > MAX_DEPTH {
        return Err(too_deep());
    }
    let Unique(value) = serde_json::from_slice(body)
        .map_err(|err| ScimError::invalid_syntax(format!("the body is not JSON: {err}")))?;
    as_object(value)
}

/// A value whose objects hold every name once. The recursion is as deep as the bytes, which were
/// measured before.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, Unique>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("'{name}' stands twice in an object")));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// Takes a value that must be an object within the limits.
///
/// # Errors
/// As [`parse`].
pub(crate) fn object(value: Value) -> Result<Map<String, Value>, ScimError> {
    if is_too_deep(&value) {
        return Err(too_deep());
    }
    as_object(value)
}

fn as_object(value: Value) -> Result<Map<String, Value>, ScimError> {
    match value {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(ScimError::invalid_syntax(format!("the body must be a JSON object, not {}", noun(&value))))
        }
    }
}

fn too_deep() -> ScimError {
    ScimError::invalid_syntax(format!("the body is nested deeper than {MAX_DEPTH} levels"))
}

/// What a message calls a value.
pub(crate) fn noun(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn depth_of_bytes(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn is_too_deep(value: &Value) -> bool {
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        match value {
            Value::Array(_) | Value::Object(_) if depth > MAX_DEPTH => return true,
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(object) => open.extend(object.values().map(|item| (item, depth + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
    }

    #[test]
    fn the_deepest_legal_body_passes_and_one_more_is_refused() {
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        let err = parse(nested(MAX_DEPTH + 1).as_bytes()).expect_err("too deep");
        assert!(err.detail.contains("64"), "{}", err.detail);
        let value: Value = serde_json::from_str(&nested(MAX_DEPTH)).expect("JSON");
        assert!(object(value).is_ok());
        let value: Value = serde_json::from_str(&nested(MAX_DEPTH + 1)).expect("JSON");
        assert!(object(value).is_err());
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        let body = format!(r#"{{"a":"{}\"{}"}}"#, "[".repeat(100), "{".repeat(100));
        assert!(parse(body.as_bytes()).is_ok());
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        for body in ["", "[]", "null", "1", "\"a\"", "{", "{\"a\":}", "{} {}"] {
            let err = parse(body.as_bytes()).expect_err(body);
            assert_eq!(err.scim_type, Some(crate::ScimType::InvalidSyntax), "{body}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        for body in [r#"{"a":1,"a":1}"#, r#"{"a":[{"b":1,"c":2,"\u0062":3}]}"#] {
            let err = parse(body.as_bytes()).expect_err(body);
            assert_eq!(err.scim_type, Some(crate::ScimType::InvalidSyntax), "{body}");
            assert!(err.detail.contains("stands twice"), "{err}");
        }
        assert!(parse(br#"{"a":{"b":1},"b":{"b":1}}"#).is_ok());
    }

    #[test]
    fn every_value_is_read_as_serde_json_reads_it() {
        let body = r#"{"a":[null,true,-1,18446744073709551615,0.5,1e3,-0,"\ud83d\ude00",{},[],"x"]}"#;
        let expect: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(parse(body.as_bytes()).map(Value::Object), Ok(expect));
        for body in [r#"{"a":1e400}"#, r#"{"a":"\ud83d"}"#, r#"{"a":01}"#, "{\"a\":\"\u{1}\"}"] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert!(parse("\u{feff}{}".as_bytes()).is_ok());
    }
}
