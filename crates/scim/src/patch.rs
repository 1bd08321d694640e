//! PATCH (RFC 7644 3.5.2): reading the operations and applying them to a resource.
//!
//! All or nothing: [`apply`] works on a copy. What providers really send is understood; where each
//! lenience comes from is said beside it. A new verb is one more variant of [`Verb`]; how values are
//! added, replaced and removed lives in `values`.

mod apply;
mod values;

use serde_json::{Map, Value};

use crate::{error::ScimError, json, path::PatchPath, resource::Resource};

pub use self::apply::apply;

/// How many operations one request may hold.
pub const MAX_OPERATIONS: usize = 1_000;

/// The URN of a PATCH request.
pub const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Adds values, or sets one.
    Add,
    /// Removes values.
    Remove,
    /// Puts values in the place of others.
    Replace,
}

impl Verb {
    /// The word in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Replace => "replace",
        }
    }

    /// The verb with this word, in any case: Entra writes `Add`.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Add, Self::Remove, Self::Replace]
            .into_iter()
            .find(|verb| verb.as_str().eq_ignore_ascii_case(word))
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// What it does.
    pub verb: Verb,
    /// Where; none for the resource as a whole.
    pub path: Option<PatchPath>,
    /// With what.
    pub value: Option<Value>,
}

/// The result of a PATCH.
#[derive(Debug, Clone, PartialEq)]
pub struct Patched {
    /// The resource as it is now.
    pub resource: Resource,
    /// Whether that differs from before. When it does not, `meta.lastModified` stays (RFC 7644 3.5.2.1).
    pub changed: bool,
}

/// Reads the body of a PATCH request.
///
/// # Errors
/// `invalidSyntax` when the body or an operation has not the shape of RFC 7644 3.5.2; `tooMany` above
/// [`MAX_OPERATIONS`]; `invalidPath` and `invalidFilter` for a malformed path; `invalidValue` for `add`
/// and `replace` without a value; `noTarget` for `remove` without a path.
pub fn parse(body: &[u8]) -> Result<Vec<Op>, ScimError> {
    from_object(json::parse(body)?)
}

/// Reads a PATCH request that came inside another body, as the `data` of a bulk operation does.
///
/// # Errors
/// As [`parse`].
pub fn from_value(value: Value) -> Result<Vec<Op>, ScimError> {
    from_object(json::object(value)?)
}

fn from_object(mut body: Map<String, Value>) -> Result<Vec<Op>, ScimError> {
    // scimgateway sends no `schemas`; others send `operations`.
    let operations = match take(&mut body, "Operations") {
        Some(Value::Array(operations)) => operations,
        Some(operation @ Value::Object(_)) => vec![operation],
        Some(other) => {
            let noun = json::noun(&other);
            return Err(ScimError::invalid_syntax(format!("Operations: expected an array, not {noun}")));
        }
        None => return Err(ScimError::invalid_syntax("Operations: missing")),
    };
    if operations.is_empty() {
        return Err(ScimError::invalid_value("Operations: expected one operation or more"));
    }
    if operations.len() > MAX_OPERATIONS {
        return Err(ScimError::too_many(format!("Operations: more than {MAX_OPERATIONS} in one request")));
    }
    operations.into_iter().enumerate().map(|(index, operation)| read(index, operation)).collect()
}

fn read(index: usize, operation: Value) -> Result<Op, ScimError> {
    let Value::Object(mut operation) = operation else {
        let noun = json::noun(&operation);
        return Err(ScimError::invalid_syntax(format!(
            "Operations[{index}]: expected an object, not {noun}"
        )));
    };
    let verb = match take(&mut operation, "op") {
        Some(Value::String(word)) => Verb::from_word(&word).ok_or_else(|| {
            ScimError::invalid_syntax(format!(
                "Operations[{index}].op: expected add, remove or replace, not '{word}'"
            ))
        })?,
        Some(_) | None => {
            return Err(ScimError::invalid_syntax(format!(
                "Operations[{index}].op: expected add, remove or replace"
            )));
        }
    };
    let path = match take(&mut operation, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => Some(PatchPath::parse(&text).map_err(|err| at(index, err))?),
        Some(other) => {
            let noun = json::noun(&other);
            return Err(ScimError::invalid_path(format!(
                "Operations[{index}].path: expected a string, not {noun}"
            )));
        }
    };
    let value = take(&mut operation, "value");
    match verb {
        // RFC 7644 3.5.2.2.
        Verb::Remove if path.is_none() => {
            Err(ScimError::no_target(format!("Operations[{index}]: remove needs a path")))
        }
        Verb::Add | Verb::Replace if value.is_none() => {
            Err(ScimError::invalid_value(format!("Operations[{index}].value: missing")))
        }
        Verb::Add | Verb::Remove | Verb::Replace => Ok(Op { verb, path, value }),
    }
}

/// Says which operation a refusal is about.
fn at(index: usize, mut err: ScimError) -> ScimError {
    err.detail.insert_str(0, &format!("Operations[{index}]: "));
    err
}

/// Takes a member of an object, whatever the case of its name.
fn take(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let key = object.keys().find(|key| key.eq_ignore_ascii_case(name))?.clone();
    object.remove(&key)
}
