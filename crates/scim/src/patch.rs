//! PATCH (RFC 7644 3.5.2): reading the operations and applying them to a resource.
//!
//! All or nothing: [`apply`] works on a copy. What providers really send is understood; where each
//! lenience comes from is said beside it. A new verb is one more variant of [`Verb`]; how values are
//! added, replaced and removed lives in `values`.

mod apply;
mod delta;
mod selected;
mod values;

use serde_json::{Map, Value};

use crate::{
    error::ScimError,
    json,
    path::PatchPath,
    resource::Resource,
    tolerance::{Reading, Tolerance},
};

pub use self::{
    apply::{apply, apply_with},
    delta::{MemberDelta, member_delta, member_delta_with, touches_members},
};

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
    read(body, &mut Reading::lenient())
}

/// As [`parse`], and notes what is tolerated.
///
/// # Errors
/// As [`parse`], and in strict mode for each [`Tolerance`].
pub fn read(body: &[u8], reading: &mut Reading) -> Result<Vec<Op>, ScimError> {
    from_object(json::read(body, reading)?, reading)
}

/// Reads a PATCH request that came inside another body, as the `data` of a bulk operation does.
///
/// # Errors
/// As [`parse`].
pub fn from_value(value: Value) -> Result<Vec<Op>, ScimError> {
    read_value(value, &mut Reading::lenient())
}

/// As [`from_value`], and notes what is tolerated.
///
/// # Errors
/// As [`read`].
pub fn read_value(value: Value, reading: &mut Reading) -> Result<Vec<Op>, ScimError> {
    from_object(json::object(value)?, reading)
}

fn from_object(mut body: Map<String, Value>, reading: &mut Reading) -> Result<Vec<Op>, ScimError> {
    // scimgateway sends no `schemas`; others send `operations`.
    let operations = match take(&mut body, "Operations", reading)? {
        Some(Value::Array(operations)) => operations,
        Some(operation @ Value::Object(_)) => {
            reading.note(Tolerance::SingleForList, "Operations")?;
            vec![operation]
        }
        Some(other) => {
            let noun = json::noun(&other);
            return Err(ScimError::invalid_syntax(format!("Operations: expected an array, not {noun}")));
        }
        None => return Err(ScimError::invalid_syntax("Operations: missing")),
    };
    let is_named = |urns: &Value| {
        let mut urns = urns.as_array().into_iter().flatten().filter_map(Value::as_str);
        urns.any(|urn| urn.eq_ignore_ascii_case(PATCH_URN))
    };
    if !take(&mut body, "schemas", reading)?.is_some_and(|urns| is_named(&urns)) {
        reading.note(Tolerance::MissingSchemas, "schemas")?;
    }
    if operations.is_empty() {
        return Err(ScimError::invalid_value("Operations: expected one operation or more"));
    }
    if operations.len() > MAX_OPERATIONS {
        return Err(ScimError::too_many(format!("Operations: more than {MAX_OPERATIONS} in one request")));
    }
    let read = |(index, operation)| read_operation(index, operation, reading);
    operations.into_iter().enumerate().map(read).collect()
}

fn read_operation(index: usize, operation: Value, reading: &mut Reading) -> Result<Op, ScimError> {
    let Value::Object(mut operation) = operation else {
        let noun = json::noun(&operation);
        return Err(ScimError::invalid_syntax(format!(
            "Operations[{index}]: expected an object, not {noun}"
        )));
    };
    let mut take = |name| take(&mut operation, name, reading).map_err(|err| at(index, err));
    let (op, path, value) = (take("op")?, take("path")?, take("value")?);
    let verb = match op {
        Some(Value::String(word)) => {
            let verb = Verb::from_word(&word).ok_or_else(|| {
                ScimError::invalid_syntax(format!(
                    "Operations[{index}].op: expected add, remove or replace, not '{word}'"
                ))
            })?;
            if word != verb.as_str() {
                reading.note(Tolerance::OpCase, &format!("Operations[{index}].op"))?;
            }
            verb
        }
        Some(_) | None => {
            return Err(ScimError::invalid_syntax(format!(
                "Operations[{index}].op: expected add, remove or replace"
            )));
        }
    };
    let path = match path {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.trim().is_empty() => {
            reading.note(Tolerance::EmptyPath, &format!("Operations[{index}].path"))?;
            None
        }
        Some(Value::String(text)) => Some(PatchPath::read(&text, reading).map_err(|err| at(index, err))?),
        Some(other) => {
            let noun = json::noun(&other);
            return Err(ScimError::invalid_path(format!(
                "Operations[{index}].path: expected a string, not {noun}"
            )));
        }
    };
    match verb {
        // RFC 7644 3.5.2.2.
        Verb::Remove if path.is_none() => {
            return Err(ScimError::no_target(format!("Operations[{index}]: remove needs a path")));
        }
        Verb::Remove => {
            if value.as_ref().is_some_and(|value| !value.is_null()) {
                reading.note(Tolerance::RemoveWithValues, &format!("Operations[{index}].value"))?;
            }
        }
        Verb::Add | Verb::Replace if value.is_none() => {
            return Err(ScimError::invalid_value(format!("Operations[{index}].value: missing")));
        }
        Verb::Add | Verb::Replace => {}
    }
    Ok(Op { verb, path, value })
}

/// Says which operation a refusal is about.
fn at(index: usize, mut err: ScimError) -> ScimError {
    err.detail.insert_str(0, &format!("Operations[{index}]: "));
    err
}

/// Takes a member of an object, whatever the case of its name.
fn take(
    object: &mut Map<String, Value>,
    name: &str,
    reading: &mut Reading,
) -> Result<Option<Value>, ScimError> {
    if let Some(value) = object.remove(name) {
        return Ok(Some(value));
    }
    let Some(key) = object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned() else {
        return Ok(None);
    };
    reading.note(Tolerance::PatchNames, &key)?;
    Ok(object.remove(&key))
}
