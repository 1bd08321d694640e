//! What is written of a resource that comes back.

use domain::{ResourceId, journal::Image};
use scim::Resource;
use serde_json::Value;
use store::users::UserRow;

use crate::Error;

/// A user's row, as a resource says; the rest as it was.
pub(super) fn user_row(id: &ResourceId, resource: &Resource, row: &UserRow) -> Result<UserRow, Error> {
    let value = resource.as_value();
    if !value.is_object() {
        return Err(Error::Internal(format!("{id} is no object")));
    }
    Ok(UserRow {
        user_name: resource.user_name().unwrap_or(&row.user_name).to_owned(),
        external_id: resource.external_id().map(str::to_owned),
        active: resource.active(),
        body: value.to_string(),
        ..row.clone()
    })
}

/// An extension that is there is named among the schemas.
pub(crate) fn name_extensions(body: &mut Image) {
    let urns: Vec<String> = body.keys().filter(|name| name.contains(':')).cloned().collect();
    let Some(Value::Array(schemas)) = body.get_mut("schemas") else { return };
    for urn in urns {
        let is_named = |named: &Value| named.as_str().is_some_and(|named| named.eq_ignore_ascii_case(&urn));
        if !schemas.iter().any(is_named) {
            schemas.push(Value::String(urn));
        }
    }
}
