//! From bytes to a [`Request`].

use serde_json::{Map, Value};

use crate::{
    error::ScimError,
    json,
    schema::ResourceType,
    tolerance::{Reading, Tolerance},
};

use super::{BULK_REQUEST_URN, Job, Limits, Method, Operation, REFERENCE, Request, Target};

/// Reads a bulk request.
///
/// # Errors
/// 413 when it is larger than the limits, with the limit in the detail (RFC 7644 3.7.4);
/// `invalidSyntax` when it is no JSON object, names other schemas than its own, or holds anything but
/// objects with a method as operations; `invalidValue` when it holds none, or for a `failOnErrors` that
/// is no number. What is wrong with one operation stands in its [`Operation::job`].
pub fn parse(body: &[u8], limits: &Limits) -> Result<Request, ScimError> {
    read(body, limits, &mut Reading::lenient())
}

/// As [`parse`], and notes what is tolerated.
///
/// # Errors
/// As [`parse`], and in strict mode for each [`Tolerance`] of the request as a whole; one of an operation
/// fails that operation.
pub fn read(body: &[u8], limits: &Limits, reading: &mut Reading) -> Result<Request, ScimError> {
    if body.len() > limits.max_payload_bytes {
        return Err(ScimError::too_large(format!(
            "the body has {} bytes; a bulk request may have {} (maxPayloadSize)",
            body.len(),
            limits.max_payload_bytes
        )));
    }
    let mut body = json::read(body, reading)?;
    check_schemas(take(&mut body, "schemas").as_ref(), reading)?;
    let fail_on_errors = fail_on_errors(take(&mut body, "failOnErrors"))?;
    let operations = match take(&mut body, "Operations") {
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
    if operations.is_empty() {
        return Err(ScimError::invalid_value("Operations: expected one operation or more"));
    }
    if operations.len() > limits.max_operations {
        return Err(ScimError::too_large(format!(
            "{} operations; a bulk request may have {} (maxOperations)",
            operations.len(),
            limits.max_operations
        )));
    }
    let operations =
        operations.into_iter().enumerate().map(|(index, value)| operation(index, value, reading));
    let mut operations: Vec<Operation> = operations.collect::<Result<_, _>>()?;
    refuse_shared_names(&mut operations);
    Ok(Request { fail_on_errors, operations })
}

/// Missing `schemas` are forgiven as everywhere; those of another message are a mix-up.
fn check_schemas(schemas: Option<&Value>, reading: &mut Reading) -> Result<(), ScimError> {
    let is_ours =
        |value: &Value| value.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(BULK_REQUEST_URN));
    match schemas {
        None | Some(Value::Null) => reading.note(Tolerance::MissingSchemas, "schemas"),
        Some(Value::Array(urns)) if urns.is_empty() => reading.note(Tolerance::MissingSchemas, "schemas"),
        Some(Value::Array(urns)) if urns.iter().any(is_ours) => Ok(()),
        Some(value) if is_ours(value) => reading.note(Tolerance::SingleForList, "schemas"),
        Some(_) => Err(ScimError::invalid_syntax(format!("schemas: expected {BULK_REQUEST_URN}"))),
    }
}

/// "The number of errors that the service provider will accept before the operation is terminated": the
/// example of RFC 7644 3.7.3 ends at the first error with 1. 0, which SCIM-SDK can send, is read as 1.
fn fail_on_errors(value: Option<Value>) -> Result<Option<u64>, ScimError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) if number.is_u64() => Ok(number.as_u64().map(|count| count.max(1))),
        Some(
            other @ (Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_)),
        ) => Err(ScimError::invalid_value(format!(
            "failOnErrors: expected a whole number that is not negative, not {other}"
        ))),
    }
}

fn operation(index: usize, value: Value, reading: &mut Reading) -> Result<Operation, ScimError> {
    let Value::Object(mut object) = value else {
        let noun = json::noun(&value);
        return Err(ScimError::invalid_syntax(format!(
            "Operations[{index}]: expected an object, not {noun}"
        )));
    };
    // The answer to an operation repeats its method, so one without cannot be answered by itself.
    let Some(Value::String(method)) = take(&mut object, "method") else {
        return Err(ScimError::invalid_syntax(format!(
            "Operations[{index}].method: expected POST, PUT, PATCH or DELETE"
        )));
    };
    let method = method.trim().to_ascii_uppercase();
    let bulk_id = text(&mut object, "bulkId");
    let version = text(&mut object, "version");
    let job = job(&method, &bulk_id, object, reading);
    Ok(Operation { method, bulk_id: bulk_id.ok().flatten(), version: version.ok().flatten(), job })
}

fn job(
    method: &str,
    bulk_id: &Result<Option<String>, ScimError>,
    mut object: Map<String, Value>,
    reading: &mut Reading,
) -> Result<Job, ScimError> {
    let method = Method::from_word(method).ok_or_else(|| {
        ScimError::method_not_allowed(format!("method: expected POST, PUT, PATCH or DELETE, not '{method}'"))
    })?;
    let bulk_id = bulk_id.clone()?;
    let path = text(&mut object, "path")?.ok_or_else(|| ScimError::invalid_value("path: missing"))?;
    let (kind, target) = target(&path)?;
    match (method, &target) {
        (Method::Post, Some(_)) => {
            return Err(ScimError::method_not_allowed(format!(
                "path: POST expects an endpoint such as {}, not '{path}'",
                kind.endpoint()
            )));
        }
        (Method::Put | Method::Patch | Method::Delete, None) => {
            return Err(ScimError::method_not_allowed(format!(
                "path: {} expects a resource such as {}/{{id}}, not '{path}'",
                method.as_str(),
                kind.endpoint()
            )));
        }
        (Method::Post, None) if bulk_id.is_none() => {
            return Err(ScimError::invalid_value("bulkId: required when the method is POST"));
        }
        (Method::Post | Method::Put | Method::Patch | Method::Delete, _) => {}
    }
    let data = match method {
        Method::Delete => None,
        Method::Post | Method::Put | Method::Patch => {
            Some(Value::Object(data(take(&mut object, "data"), reading)?))
        }
    };
    Ok(Job { method, kind, target, data })
}

/// The body of an operation. Clients built on SCIM-SDK write it as a string of JSON.
fn data(value: Option<Value>, reading: &mut Reading) -> Result<Map<String, Value>, ScimError> {
    let in_data = |mut err: ScimError| {
        err.detail.insert_str(0, "data: ");
        err
    };
    match value {
        Some(Value::Object(object)) => Ok(object),
        Some(Value::String(text)) => {
            reading.note(Tolerance::BulkDataText, "data")?;
            json::read(text.as_bytes(), reading).map_err(in_data)
        }
        None | Some(Value::Null) => Err(ScimError::invalid_value("data: required for POST, PUT and PATCH")),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_))) => {
            Err(ScimError::invalid_syntax(format!("data: expected an object, not {}", json::noun(&other))))
        }
    }
}

/// `/Users`, `/Groups/{id}`, `Users/bulkId:{name}`, with or without a slash at either end.
fn target(path: &str) -> Result<(ResourceType, Option<Target>), ScimError> {
    let inner = path.trim();
    let inner = inner.strip_prefix('/').unwrap_or(inner);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let (endpoint, id) = match inner.split_once('/') {
        Some((endpoint, id)) => (endpoint, Some(id)),
        None => (inner, None),
    };
    let kind = ResourceType::from_endpoint(endpoint)
        .ok_or_else(|| ScimError::not_found(format!("path: there is no endpoint '{path}'")))?;
    let Some(id) = id else { return Ok((kind, None)) };
    if let Some(name) = id.strip_prefix(REFERENCE).filter(|name| !name.is_empty()) {
        return Ok((kind, Some(Target::Created(name.to_owned()))));
    }
    if id.is_empty() || id.contains(['/', '?', '#', '\0']) || id.starts_with(REFERENCE) {
        return Err(ScimError::invalid_value(format!(
            "path: expected {}/{{id}}, not '{path}'",
            kind.endpoint()
        )));
    }
    Ok((kind, Some(Target::Id(id.to_owned()))))
}

/// RFC 7644 3.7: a `bulkId` is "unique within a bulk request". When two resources share one, a reference
/// to it could give the rights of one to the other: none of them is created.
fn refuse_shared_names(operations: &mut [Operation]) {
    let is_post = |operation: &Operation| operation.method == Method::Post.as_str();
    let mut counts = std::collections::HashMap::<String, usize>::new();
    for operation in operations.iter().filter(|operation| is_post(operation)) {
        if let Some(name) = &operation.bulk_id {
            *counts.entry(name.clone()).or_default() += 1;
        }
    }
    for operation in operations.iter_mut().filter(|operation| is_post(operation)) {
        if let Some(name) = &operation.bulk_id
            && counts.get(name).is_some_and(|count| *count > 1)
            && operation.job.is_ok()
        {
            operation.job = Err(ScimError::invalid_value(format!(
                "bulkId: '{name}' is the name of more than one POST of this request"
            )));
        }
    }
}

/// A member that must be a string; none when it is missing, null or empty.
fn text(object: &mut Map<String, Value>, name: &str) -> Result<Option<String>, ScimError> {
    match take(object, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            Err(ScimError::invalid_value(format!("{name}: expected a string, not {}", json::noun(&other))))
        }
    }
}

/// Takes a member of an object, whatever the case of its name.
fn take(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let key = object.keys().find(|key| key.eq_ignore_ascii_case(name))?.clone();
    object.remove(&key)
}
