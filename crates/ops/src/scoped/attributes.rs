//! Attributes: what an answer shows, what may be asked about, what a change may write.
//!
//! Whatever names an attribute that the key may not read is refused by that name alone, before anything
//! is looked up: a filter that matches and one that does not get the same answer. A PUT leaves what the key
//! may not write as it is where it does not mention it: the provider cannot send back what it was never
//! shown.

use std::collections::BTreeSet;

use domain::scopes::{
    Scope,
    attributes::{covers, covers_part},
};
use scim::{AttrPath, Filter, ListQuery, Op, PatchPath, Resource, Selection, Type};
use serde_json::{Map, Value};

use super::resource_kind;
use crate::Error;

/// What every answer has, whatever may be read.
const ALWAYS: [&str; 3] = ["schemas", "id", "meta"];

pub(crate) fn not_written(path: &str) -> Error {
    Error::Forbidden(format!("this key may not write {path}"))
}

fn not_read(path: &str) -> Error {
    Error::Forbidden(format!("this key may not read {path}"))
}

/// A name within another: attributes of an extension come after a colon, sub-attributes after a dot.
fn within(of: Type<'_>, path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else if of.extension(path).is_some() {
        format!("{path}:{name}")
    } else {
        format!("{path}.{name}")
    }
}

/// A body without what may not be read.
pub(crate) fn pruned(set: &BTreeSet<String>, of: Type<'_>, body: Value) -> Value {
    let Value::Object(parts) = body else { return body };
    let mut kept = Map::new();
    let mut schemas = None;
    for (name, value) in parts {
        if name == "schemas" {
            schemas = Some(value);
        } else if ALWAYS.contains(&name.as_str()) {
            kept.insert(name, value);
        } else if let Some(value) = readable(set, of, &name, value) {
            kept.insert(name, value);
        }
    }
    if let Some(mut schemas) = schemas {
        // The URN of an extension says that it has a value.
        if let Value::Array(urns) = &mut schemas {
            urns.retain(|urn| {
                let urn = urn.as_str().unwrap_or_default();
                of.extension(urn).is_none() || kept.contains_key(urn)
            });
        }
        kept.insert("schemas".to_owned(), schemas);
    }
    Value::Object(kept)
}

fn readable(set: &BTreeSet<String>, of: Type<'_>, path: &str, value: Value) -> Option<Value> {
    if covers(set, path) {
        return Some(value);
    }
    if !covers_part(set, path) {
        return None;
    }
    match value {
        Value::Object(parts) => {
            let part = |(name, value): (String, Value)| {
                let kept = readable(set, of, &within(of, path, &name), value)?;
                Some((name, kept))
            };
            let parts: Map<String, Value> = parts.into_iter().filter_map(part).collect();
            (!parts.is_empty()).then_some(Value::Object(parts))
        }
        Value::Array(items) => {
            let items: Vec<Value> =
                items.into_iter().filter_map(|item| readable(set, of, path, item)).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The attributes in which two bodies differ, sub-attributes by their own names.
pub(crate) fn differing(of: Type<'_>, before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    differ(of, "", before, after, &mut found);
    found
}

fn differ(of: Type<'_>, path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<String>) {
    let said = |value: Option<&'_ Value>| value.is_some_and(|value| !value.is_null());
    if before == after || (!said(before) && !said(after)) {
        return;
    }
    let parts = |value: Option<&'_ Value>| match value {
        Some(Value::Object(parts)) => Some(parts.clone()),
        None | Some(Value::Null) => Some(Map::new()),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => None,
    };
    let (Some(old), Some(new)) = (parts(before), parts(after)) else {
        found.push(path.to_owned());
        return;
    };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        if path.is_empty() && ALWAYS.contains(&name.as_str()) {
            continue;
        }
        differ(of, &within(of, path, name), old.get(name), new.get(name), found);
    }
}

/// Refuses a change that writes what the key may not write.
///
/// # Errors
/// Forbidden, with the attribute.
pub(crate) fn check_written(
    scope: &Scope,
    of: Type<'_>,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Result<(), Error> {
    let resource = resource_kind(of.kind);
    // Who creates without a word about it creates an active user: that is the server's word.
    let is_default = |path: &str| before.is_none() && is_default_active(path, after);
    let is_fault = |path: &String| !scope.may_write(resource, path) && !is_default(path);
    match differing(of, before, after).into_iter().find(is_fault) {
        Some(path) => Err(not_written(&path)),
        None => Ok(()),
    }
}

/// Whether this is `active` with the value that it gets when nobody says anything.
fn is_default_active(path: &str, body: Option<&Value>) -> bool {
    path == "active" && body.and_then(|body| body.get("active")) == Some(&Value::Bool(true))
}

/// `active` as it was, where it may not be written and was perhaps not mentioned.
fn keep_active(scope: &Scope, of: Type<'_>, before: &Map<String, Value>, after: &mut Map<String, Value>) {
    let is_default = after.get("active") == Some(&Value::Bool(true));
    if !is_default || scope.may_write(resource_kind(of.kind), "active") {
        return;
    }
    match before.get("active") {
        Some(active) => {
            after.insert("active".to_owned(), active.clone());
        }
        None => {
            after.remove("active");
        }
    }
}

/// What becomes of a PUT: what may not be written and is not mentioned stays.
pub(crate) fn preserved(scope: &Scope, of: Type<'_>, before: &Resource, after: Resource) -> Resource {
    let mut value = after.into_value();
    if let (Value::Object(old), Value::Object(new)) = (before.as_value(), &mut value) {
        keep(scope, of, "", old, new);
        keep_active(scope, of, old, new);
        let extensions: Vec<String> =
            new.keys().filter(|name| of.extension(name).is_some()).cloned().collect();
        if let Some(Value::Array(urns)) = new.get_mut("schemas") {
            for urn in extensions {
                if !urns.iter().any(|other| other.as_str() == Some(&urn)) {
                    urns.push(Value::from(urn));
                }
            }
        }
    }
    Resource::from_stored(of, value)
}

/// The same of a body that is not a resource of ours.
pub(crate) fn preserved_body(scope: &Scope, of: Type<'_>, before: &Value, after: &mut Value) {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        keep(scope, of, "", old, new);
        keep_active(scope, of, old, new);
    }
}

fn keep(
    scope: &Scope,
    of: Type<'_>,
    path: &str,
    before: &Map<String, Value>,
    after: &mut Map<String, Value>,
) {
    let resource = resource_kind(of.kind);
    for (name, old) in before {
        let here = within(of, path, name);
        if (path.is_empty() && ALWAYS.contains(&name.as_str())) || scope.may_write(resource, &here) {
            continue;
        }
        match (after.get_mut(name), old) {
            (Some(Value::Object(new)), Value::Object(old)) => keep(scope, of, &here, old, new),
            (Some(_), _) => {}
            (None, Value::Object(old)) => {
                let mut kept = Map::new();
                keep(scope, of, &here, old, &mut kept);
                if !kept.is_empty() {
                    after.insert(name.clone(), Value::Object(kept));
                }
            }
            (None, old) => {
                after.insert(name.clone(), old.clone());
            }
        }
    }
}

/// Refuses a body that mentions what the key may not read: whether that is refused must not depend on what
/// is stored.
///
/// # Errors
/// Forbidden, with the attribute.
pub(crate) fn check_body(scope: &Scope, body: &Value, of: Type<'_>) -> Result<(), Error> {
    let resource = resource_kind(of.kind);
    if scope.readable(resource).is_none() {
        return Ok(());
    }
    let is_fault = |path: &String| !scope.may_read(resource, path) && !is_default_active(path, Some(body));
    match differing(of, None, Some(body)).into_iter().find(is_fault) {
        Some(path) => Err(not_written(&path)),
        None => Ok(()),
    }
}

/// Refuses a query about what the key may not read.
///
/// # Errors
/// Forbidden, with the attribute.
pub(crate) fn check_query(scope: &Scope, of: Type<'_>, query: &ListQuery) -> Result<(), Error> {
    if scope.readable(resource_kind(of.kind)).is_none() {
        return Ok(());
    }
    if let Some(filter) = &query.filter {
        check_filter(scope, of, filter)?;
    }
    if let Some(sort) = &query.sort {
        check_path(scope, of, &sort.by)?;
    }
    check_selection(scope, of, &query.selection)
}

fn check_filter(scope: &Scope, of: Type<'_>, filter: &Filter) -> Result<(), Error> {
    match filter {
        Filter::Compare { path, .. } | Filter::Present(path) => check_path(scope, of, path),
        Filter::And(parts) | Filter::Or(parts) => {
            parts.iter().try_for_each(|part| check_filter(scope, of, part))
        }
        Filter::Not(inner) => check_filter(scope, of, inner),
        Filter::Value { path, filter } => check_elements(scope, of, path, filter),
    }
}

/// The sub-attributes that a filter in brackets names.
fn check_elements(scope: &Scope, of: Type<'_>, path: &AttrPath, filter: &Filter) -> Result<(), Error> {
    let mut names = Vec::new();
    sub_names(filter, &mut names);
    check_path(scope, of, path)?;
    names.into_iter().try_for_each(|sub| check_path(scope, of, &AttrPath { sub: Some(sub), ..path.clone() }))
}

fn sub_names(filter: &Filter, names: &mut Vec<String>) {
    match filter {
        Filter::Compare { path, .. } | Filter::Present(path) => names.push(path.name.clone()),
        Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| sub_names(part, names)),
        Filter::Not(inner) => sub_names(inner, names),
        Filter::Value { path, filter } => {
            names.push(path.name.clone());
            sub_names(filter, names);
        }
    }
}

/// A path that a question is about. What names nothing has no value that could be told.
fn check_path(scope: &Scope, of: Type<'_>, path: &AttrPath) -> Result<(), Error> {
    let Some(name) = path.canonical(of) else { return Ok(()) };
    if name == "id"
        || name == "meta"
        || name.starts_with("meta.")
        || scope.may_read(resource_kind(of.kind), &name)
    {
        return Ok(());
    }
    Err(not_read(&name))
}

/// Refuses a list of attributes that names what the key may not read.
///
/// # Errors
/// Forbidden, with the attribute.
pub(crate) fn check_selection(scope: &Scope, of: Type<'_>, selection: &Selection) -> Result<(), Error> {
    let Selection::Only(names) = selection else { return Ok(()) };
    let Some(set) = scope.readable(resource_kind(of.kind)) else { return Ok(()) };
    for name in names {
        if of.schema().is(name) {
            continue;
        }
        let bare = name.split('[').next().unwrap_or_default();
        let named = match of.extension(name) {
            Some(extension) => Some(extension.id.to_string()),
            None => AttrPath::parse(bare).and_then(|path| path.canonical(of)),
        };
        let Some(path) = named else { continue };
        let is_open = ALWAYS.iter().any(|open| path == *open) || path.starts_with("meta.");
        if !is_open && !covers(set, &path) && !covers_part(set, &path) {
            return Err(not_read(&path));
        }
    }
    Ok(())
}

/// Refuses operations on what the key may not read: whether they change something would tell what it is.
///
/// # Errors
/// Forbidden, with the attribute.
pub(crate) fn check_operations(scope: &Scope, of: Type<'_>, operations: &[Op]) -> Result<(), Error> {
    let resource = resource_kind(of.kind);
    if scope.readable(resource).is_none() {
        return Ok(());
    }
    each_named(of, operations, &mut |path| {
        if scope.may_read(resource, path) { Ok(()) } else { Err(not_written(path)) }
    })?;
    operations.iter().try_for_each(|op| match &op.path {
        Some(PatchPath::Attribute { attr, filter: Some(filter) }) => check_elements(scope, of, attr, filter),
        Some(PatchPath::Attribute { .. } | PatchPath::Schema(_)) | None => Ok(()),
    })
}

/// Refuses operations that name what the key may not write, whatever they come to.
///
/// # Errors
/// Forbidden, with the attribute.
pub(crate) fn check_named(scope: &Scope, of: Type<'_>, operations: &[Op]) -> Result<(), Error> {
    let resource = resource_kind(of.kind);
    if !scope.restricts_writing(resource) {
        return Ok(());
    }
    each_named(of, operations, &mut |path| {
        if scope.may_write(resource, path) { Ok(()) } else { Err(not_written(path)) }
    })
}

/// Whether operations name one of some attributes, or something in it.
pub(crate) fn names_any(of: Type<'_>, operations: &[Op], attributes: &[&str]) -> bool {
    let mut is_named = false;
    let mut seen = |path: &str| {
        let within = |attribute: &str| {
            path.strip_prefix(attribute).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        is_named |= attributes.iter().any(|attribute| within(attribute));
        Ok(())
    };
    // What sees them refuses none of them.
    let seen = each_named(of, operations, &mut seen).is_ok();
    seen && is_named
}

/// Gives the paths that operations name, as exactly as they say.
fn each_named(
    of: Type<'_>,
    operations: &[Op],
    seen: &mut impl FnMut(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    for op in operations {
        match &op.path {
            Some(PatchPath::Attribute { attr, .. }) => {
                // A URN reads as an attribute as long as nobody says that it is that of a schema.
                let text = attr.to_string();
                match of.extension(&text) {
                    Some(extension) => named_in(of, &extension.id, op.value.as_ref(), seen)?,
                    None => {
                        if let Some(path) = attr.canonical(of) {
                            named_in(of, &path, op.value.as_ref(), seen)?;
                        }
                    }
                }
            }
            Some(PatchPath::Schema(urn)) if of.schema().is(urn) => named_by_key(of, op.value.as_ref(), seen)?,
            Some(PatchPath::Schema(urn)) => {
                let urn = of.extension(urn).map_or(urn.as_str(), |extension| &extension.id);
                named_in(of, urn, op.value.as_ref(), seen)?;
            }
            None => named_by_key(of, op.value.as_ref(), seen)?,
        }
    }
    Ok(())
}

/// An object without a path names attributes by its keys.
fn named_by_key(
    of: Type<'_>,
    value: Option<&Value>,
    seen: &mut impl FnMut(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    for (name, value) in value.and_then(Value::as_object).into_iter().flatten() {
        let bare = name.split('[').next().unwrap_or_default();
        let path = match of.extension(bare) {
            Some(extension) => Some(extension.id.to_string()),
            None => AttrPath::parse(bare).and_then(|path| path.canonical(of)),
        };
        if let Some(path) = path.filter(|path| !ALWAYS.contains(&path.as_str())) {
            named_in(of, &path, Some(value), seen)?;
        }
    }
    Ok(())
}

/// A path with an object for its value names what is in the object; without one, all of it.
fn named_in(
    of: Type<'_>,
    path: &str,
    value: Option<&Value>,
    seen: &mut impl FnMut(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    match value {
        Some(Value::Object(parts)) if !parts.is_empty() => {
            for (name, value) in parts {
                let inner = within(of, path, name);
                let inner = AttrPath::parse(&inner).and_then(|path| path.canonical(of)).unwrap_or(inner);
                named_in(of, &inner, Some(value), seen)?;
            }
            Ok(())
        }
        Some(_) | None => seen(path),
    }
}

#[cfg(test)]
mod tests {
    use domain::scopes::{ResourceKind, Verb};
    use scim::ResourceType;
    use serde_json::json;

    use super::*;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn of() -> Type<'static> {
        ResourceType::User.into()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn scope(read: &[&str]) -> Scope {
        let mut scope = Scope::of([(ResourceKind::Users, Verb::Read), (ResourceKind::Users, Verb::Update)]);
        scope.grant_mut(ResourceKind::Users).read_attributes = Some(set(read));
        scope
    }

    #[test]
    fn an_answer_has_what_may_be_read_and_what_every_answer_has() {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
            "id": "1", "meta": { "version": "1" }, "userName": "mia", "title": "Lead",
            "name": { "familyName": "Berg", "givenName": "Mia" },
            ENTERPRISE: { "department": "D", "employeeNumber": "7" },
        });
        let check = |names: &[&str], expect: Value| {
            assert_eq!(pruned(&set(names), of(), body.clone()), expect, "{names:?}");
        };
        let core = json!(["urn:ietf:params:scim:schemas:core:2.0:User"]);
        check(&["title"], json!({ "schemas": core, "id": "1", "meta": { "version": "1" }, "title": "Lead" }));
        check(
            &["name.familyName", &format!("{ENTERPRISE}:department")],
            json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE], "id": "1",
                "meta": { "version": "1" }, "name": { "familyName": "Berg" }, ENTERPRISE: { "department": "D" },
            }),
        );
        check(&["displayName"], json!({ "schemas": core, "id": "1", "meta": { "version": "1" } }));
    }

    #[test]
    fn what_differs_is_named_as_exactly_as_it_is() {
        let before = json!({ "schemas": [], "name": { "familyName": "A", "givenName": "B" }, "emails": [{ "value": "a" }] });
        let after = json!({ "name": { "familyName": "C", "givenName": "B" }, "emails": [], ENTERPRISE: { "manager": { "value": "1" } } });
        assert_eq!(
            differing(of(), Some(&before), Some(&after)),
            ["emails", "name.familyName", &format!("{ENTERPRISE}:manager.value")]
        );
        assert_eq!(differing(of(), Some(&before), Some(&before)), Vec::<String>::new());
        assert_eq!(differing(of(), None, Some(&json!({ "title": null, "active": true }))), ["active"]);
    }

    #[test]
    fn a_put_leaves_what_it_may_not_write_and_does_not_mention() {
        let mut scope = scope(&["userName", "name.familyName"]);
        let resource = |value: Value| Resource::from_stored(of(), value);
        let before = resource(json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE], "userName": "a", "title": "T",
            "name": { "familyName": "A", "givenName": "B" }, ENTERPRISE: { "department": "D" },
        }));
        let put = |scope: &Scope, value: Value| preserved(scope, of(), &before, resource(value)).into_value();
        let schemas = json!(["urn:ietf:params:scim:schemas:core:2.0:User"]);
        let after =
            put(&scope, json!({ "schemas": schemas, "userName": "b", "name": { "familyName": "C" } }));
        assert_eq!(
            (&after["title"], &after["name"]),
            (&json!("T"), &json!({ "familyName": "C", "givenName": "B" }))
        );
        assert_eq!(
            (&after[ENTERPRISE]["department"], &after["schemas"][1]),
            (&json!("D"), &json!(ENTERPRISE))
        );
        assert_eq!(differing(of(), Some(before.as_value()), Some(&after)), ["name.familyName", "userName"]);
        // What it may write and leaves out goes.
        let after = put(&scope, json!({ "schemas": schemas, "userName": "a" }));
        assert_eq!(after["name"], json!({ "givenName": "B" }));
        scope.grant_mut(ResourceKind::Users).read_attributes = None;
        assert_eq!(put(&scope, json!({ "userName": "b" })), json!({ "userName": "b" }));
    }

    #[test]
    fn every_way_to_name_what_may_not_be_read_is_refused_and_nothing_else() {
        let scope = scope(&["userName", "emails", "name.familyName"]);
        let query =
            |filter: &str| ListQuery { filter: Some(Filter::parse(filter).unwrap()), ..ListQuery::default() };
        let asks = |filter: &str| check_query(&scope, of(), &query(filter)).is_ok();
        for filter in [
            "title eq \"x\"",
            "userName eq \"a\" and title pr",
            "not (TITLE pr)",
            "name.givenName sw \"a\"",
            "name pr",
            "phoneNumbers[type eq \"work\"]",
            "groups.value eq \"1\"",
            "schemas eq \"x\"",
            "urn:ietf:params:scim:schemas:core:2.0:User:title pr",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department pr",
        ] {
            assert!(!asks(filter), "{filter}");
        }
        for filter in [
            "userName eq \"a\"",
            "emails[type eq \"work\"]",
            "emails.value co \"a\"",
            "name.familyName pr",
            "id eq \"1\"",
            "meta.lastModified gt \"2026-01-01T00:00:00Z\"",
            "nothing eq \"1\"",
        ] {
            assert!(asks(filter), "{filter}");
        }
        let patch = |operations: Value| {
            let ops = scim::patch::from_value(json!({ "Operations": operations })).unwrap();
            check_operations(&scope, of(), &ops).is_ok()
        };
        for (operation, expect) in [
            (json!({ "op": "replace", "path": "title", "value": "x" }), false),
            (json!({ "op": "remove", "path": "name" }), false),
            (json!({ "op": "add", "path": "name", "value": { "familyName": "x" } }), true),
            (json!({ "op": "add", "path": "name", "value": { "givenName": "x" } }), false),
            (json!({ "op": "replace", "path": "emails[type eq \"work\"].value", "value": "a@b" }), true),
            (json!({ "op": "remove", "path": "phoneNumbers[value eq \"1\"]" }), false),
            (json!({ "op": "replace", "value": { "userName": "a", "title": "x" } }), false),
            (json!({ "op": "replace", "value": { "id": "1", "name.familyName": "x" } }), true),
            (json!({ "op": "replace", "value": { "name.givenName": "x" } }), false),
            (json!({ "op": "add", "path": ENTERPRISE, "value": { "department": "x" } }), false),
            (json!({ "op": "add", "value": { ENTERPRISE: { "department": "x" } } }), false),
            (json!({ "op": "add", "value": { format!("{ENTERPRISE}:department"): "x" } }), false),
        ] {
            assert_eq!(patch(json!([operation])), expect, "{operation}");
        }
    }
}
