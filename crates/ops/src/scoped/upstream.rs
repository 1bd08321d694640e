//! The scope of a key where an upstream keeps the resources: over what the upstream returns.
//!
//! What cannot be enforced there is refused with the scope as a whole: `Scope::not_kept_upstream`.

use scim::{ResourceType, Type};
use serde_json::Value;

use super::{check_created, not_there, resource_kind, sight};
use crate::{Cx, Error, ScimClient};

use domain::scopes::{ResourceKind, Scope, Verb};

/// Refuses what is not there for the key, and takes out of the rest what is hidden beside it. `body` has ids
/// of ours.
///
/// # Errors
/// NotFound.
pub(crate) fn see(cx: &Cx<ScimClient>, kind: ResourceType, body: &mut Value) -> Result<(), Error> {
    let scope = &cx.actor.scope;
    if scope.hides(resource_kind(kind)) && !sees(cx, kind, body)? {
        return Err(not_there(kind));
    }
    hide_related(scope, kind, body);
    Ok(())
}

/// Whether a resource, in ids of ours, is there for the key.
fn sees(cx: &Cx<ScimClient>, kind: ResourceType, body: &Value) -> Result<bool, Error> {
    if kind == ResourceType::Group
        && let Some(groups) = &cx.actor.scope.groups
        && !body.get("id").and_then(Value::as_str).is_some_and(|id| groups.contains(id))
    {
        return Ok(false);
    }
    match sight::filter_of(cx, kind)? {
        Some(filter) => Ok(scim::matches(&filter, cx.schemas().of(kind), body)?),
        None => Ok(true),
    }
}

/// With named groups, others show nowhere.
pub(crate) fn hide_related(scope: &Scope, kind: ResourceType, body: &mut Value) {
    let Some(groups) = &scope.groups else { return };
    let value = |item: &Value| item.get("value").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, is_group): (&str, fn(&Value) -> bool) = match kind {
        ResourceType::User => ("groups", |_| true),
        ResourceType::Group => ("members", is_group_member),
    };
    let Some(parts) = body.as_object_mut() else { return };
    if let Some(Value::Array(items)) = parts.get_mut(name) {
        items.retain(|item| !is_group(item) || groups.contains(&value(item)));
        if items.is_empty() {
            parts.remove(name);
        }
    }
}

/// Whether a member says that it is a group.
pub(crate) fn is_group_member(member: &Value) -> bool {
    let text = |name: &str| member.get(name).and_then(Value::as_str).unwrap_or_default();
    text("type").eq_ignore_ascii_case("Group") || text("$ref").contains("/Groups/")
}

/// Decides a creation by what is to be created.
///
/// # Errors
/// Forbidden.
pub(crate) fn check_new(cx: &Cx<ScimClient>, of: Type<'_>, body: &Value) -> Result<(), Error> {
    let scope = &cx.actor.scope;
    check_created(scope, of.kind, Verb::Create)?;
    if scope.restricts_writing(resource_kind(of.kind)) {
        super::attributes::check_written(scope, of, None, Some(body))?;
    }
    check_after(cx, of, body)
}

/// Refuses a change that takes a resource out of what the key sees.
///
/// # Errors
/// Forbidden, with the filter.
pub(crate) fn check_after(cx: &Cx<ScimClient>, of: Type<'_>, after: &Value) -> Result<(), Error> {
    match sight::filter_of(cx, of.kind)? {
        Some(filter) if !scim::matches(&filter, of, after)? => Err(sight::outside(of.kind, &filter)),
        Some(_) | None => Ok(()),
    }
}

/// Whether a change has to see the resource as it is before it is sent.
pub(crate) fn looks_before(scope: &Scope, resource: ResourceKind) -> bool {
    scope.hides(resource) || scope.restricts_writing(resource)
}
