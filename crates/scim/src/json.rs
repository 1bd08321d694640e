//! Reading JSON bodies within limits.
//!
//! The depth is measured on the bytes before anything is built, so that a hostile body costs one pass.
//! A new limit is one more constant and its check in [`parse`].

use serde_json::{Map, Value};

use crate::error::ScimError;

/// How deeply arrays and objects of a body may nest.
pub const MAX_DEPTH: usize = 64;

/// Reads a body that must be a JSON object.
///
/// # Errors
/// `invalidSyntax` when it is not JSON, not an object, or nested deeper than [`MAX_DEPTH`].
pub(crate) fn parse(body: &[u8]) -> Result<Map<String, Value>, ScimError> {
    // Some .NET clients begin the body with a byte order mark.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if depth_of_bytes(body) > MAX_DEPTH {
        return Err(too_deep());
    }
    let value = serde_json::from_slice(body)
        .map_err(|err| ScimError::invalid_syntax(format!("the body is not JSON: {err}")))?;
    as_object(value)
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
    fn a_byte_order_mark_is_skipped() {
        assert!(parse("\u{feff}{}".as_bytes()).is_ok());
    }
}
