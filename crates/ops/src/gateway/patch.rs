//! A PATCH on its way out: in the exact words of RFC 7644 3.5.2, whatever the provider's dialect
//! was, and in pieces where the upstream takes no more.

use domain::upstreams::Quirks;
use scim::{AttrPath, CompareOp, Filter, Op, PatchPath, Resource, ResourceType, ScimError, Type, Verb};
use serde_json::{Map, Value, json};

/// The most members in one request to an upstream that counts them.
pub(super) const MEMBER_CHUNK: usize = 100;

/// The operations of requests that together are one PATCH; each request is one list.
pub(super) type Requests = Vec<Vec<Value>>;

/// Writes the operations anew: lower-case verbs, a path for each attribute, values of the right
/// type, removals of members in the way that the upstream knows. With `member_chunks`, no request
/// touches more than [`MEMBER_CHUNK`] members.
///
/// # Errors
/// `invalidValue` for a replacement of more members than the upstream takes at once.
pub(super) fn rewrite(of: Type<'_>, ops: Vec<Op>, quirks: Quirks) -> Result<Requests, ScimError> {
    let mut rewritten = Vec::new();
    for Op { verb, path, value } in ops {
        if let Some(path) = path {
            with_path(of, verb, &path.to_string(), value, quirks.member_values, &mut rewritten);
            continue;
        }
        // RFC 7644 3.5.2.1: an object of attributes. Entra's has dotted names and names with a URN.
        let Some(Value::Object(parts)) = value else { continue };
        for (name, value) in parts {
            let is_servers = ["id", "schemas", "meta"].iter().any(|own| name.eq_ignore_ascii_case(own));
            if !is_servers {
                with_path(of, verb, &name, Some(value), quirks.member_values, &mut rewritten);
            }
        }
    }
    requests(rewritten, quirks)
}

/// Operations in requests that the upstream takes.
///
/// # Errors
/// As [`rewrite`].
pub(super) fn requests(ops: Vec<Value>, quirks: Quirks) -> Result<Requests, ScimError> {
    if quirks.member_chunks { chunked(ops) } else { Ok(vec![ops]) }
}

fn with_path(
    of: Type<'_>,
    verb: Verb,
    path: &str,
    value: Option<Value>,
    by_values: bool,
    out: &mut Vec<Value>,
) {
    let (attribute, rest) = path.split_at(path.find('[').unwrap_or(path.len()));
    let resolved =
        AttrPath::parse(attribute).and_then(|parsed| parsed.canonical(of).map(|name| (parsed, name)));
    let (is_boolean, name) = match &resolved {
        Some((parsed, name)) => (is_boolean(of, parsed, rest), name.as_str()),
        None => (false, attribute),
    };
    let path = format!("{name}{rest}");
    let is_members = name == "members" && rest.is_empty();
    match (verb, value) {
        // `remove` of members with values removes those (Entra, authentik).
        (Verb::Remove, Some(value)) if is_members => {
            out.extend(removals(one_or_more(value).into_iter().filter_map(member_id).collect(), by_values));
        }
        (Verb::Remove, _) => out.push(json!({ "op": "remove", "path": path })),
        (Verb::Add | Verb::Replace, value) => {
            let value = value.unwrap_or(Value::Null);
            let is_nothing = match &value {
                Value::Null => true,
                Value::String(text) => text.is_empty() && name.ends_with(":manager"),
                Value::Object(parts) => {
                    name.ends_with(":manager") && parts.get("value").and_then(Value::as_str) == Some("")
                }
                Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
            };
            if is_nothing {
                out.push(json!({ "op": "remove", "path": path }));
                return;
            }
            let value = if is_members {
                let members = one_or_more(value).into_iter().map(member).collect();
                Value::Array(members)
            } else if is_boolean {
                boolean(value)
            } else if name.ends_with(":manager") && value.is_string() {
                json!({ "value": value })
            } else {
                value
            };
            out.push(json!({ "op": verb.as_str(), "path": path, "value": value }));
        }
    }
}

/// Whether what a path names is true or false.
fn is_boolean(of: Type<'_>, attribute: &AttrPath, rest: &str) -> bool {
    let named = match rest.rsplit_once("].") {
        Some((_, sub)) => AttrPath { sub: Some(sub.to_owned()), ..attribute.clone() },
        None => attribute.clone(),
    };
    named.resolve(of).is_some_and(|resolved| resolved.leaf().kind == scim::Kind::Boolean)
}

fn boolean(value: Value) -> Value {
    match value.as_str() {
        Some(text) if text.eq_ignore_ascii_case("true") => Value::Bool(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Value::Bool(false),
        Some(_) | None => value,
    }
}

fn one_or_more(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        one @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => vec![one],
    }
}

/// A member as an object; Entra's reference code sends bare ids, and null references.
fn member(value: Value) -> Value {
    match value {
        Value::String(id) => json!({ "value": id }),
        Value::Object(parts) => {
            parts.into_iter().filter(|(_, part)| !part.is_null()).collect::<Map<_, _>>().into()
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => other,
    }
}

fn member_id(value: Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id),
        Value::Object(mut parts) => match parts.remove("value") {
            Some(Value::String(id)) => Some(id),
            Some(_) | None => None,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

fn member_path(id: &str) -> String {
    format!("members[value eq {}]", Value::from(id))
}

/// The operations that remove some members: one for each by a filter in the path (RFC 7644 3.5.2.2),
/// or one with a list of values.
pub(super) fn removals(ids: Vec<String>, by_values: bool) -> Vec<Value> {
    if !by_values {
        return ids.iter().map(|id| json!({ "op": "remove", "path": member_path(id) })).collect();
    }
    let values: Vec<Value> = ids.into_iter().map(|id| json!({ "value": id })).collect();
    // Without a value all members would go.
    if values.is_empty() {
        return Vec::new();
    }
    vec![json!({ "op": "remove", "path": "members", "value": values })]
}

/// The filter of an operation that removes the members it selects.
fn removes_selected(op: &Op) -> Option<&Filter> {
    match (&op.verb, &op.path) {
        (Verb::Remove, Some(PatchPath::Attribute { attr, filter: Some(filter) })) if attr.is("members") => {
            Some(filter)
        }
        (Verb::Add | Verb::Remove | Verb::Replace, _) => None,
    }
}

/// The ids that a filter on members names, when it names nothing else.
fn named_ids(filter: &Filter) -> Option<Vec<&str>> {
    match filter {
        Filter::Compare { path, op: CompareOp::Eq, value } if path.is("value") => {
            value.as_str().map(|id| vec![id])
        }
        Filter::Or(parts) => parts.iter().map(named_ids).collect::<Option<Vec<_>>>().map(|ids| ids.concat()),
        Filter::Compare { .. }
        | Filter::Present(_)
        | Filter::And(_)
        | Filter::Not(_)
        | Filter::Value { .. } => None,
    }
}

/// Whether one has to look who is a member to say by name who is removed.
pub(super) fn needs_members(ops: &[Op]) -> bool {
    ops.iter().filter_map(removes_selected).any(|filter| named_ids(filter).is_none())
}

/// Turns removals by a filter into removals by name. `now` is the group as it is, where
/// [`needs_members`] asks for it.
///
/// # Errors
/// `invalidFilter` for one that cannot be evaluated.
pub(super) fn by_values(ops: Vec<Op>, now: &Value) -> Result<Vec<Op>, ScimError> {
    let mut named = Vec::with_capacity(ops.len());
    for op in ops {
        let Some(filter) = removes_selected(&op) else {
            named.push(op);
            continue;
        };
        let ids: Vec<Value> = match named_ids(filter) {
            Some(ids) => ids.into_iter().map(|id| json!({ "value": id })).collect(),
            None => selected(filter, now)?,
        };
        // Nobody is selected, and nobody is to be removed (RFC 7644 3.5.2.2 has no error for it).
        if !ids.is_empty() {
            named.push(Op { path: Some(PatchPath::parse("members")?), value: Some(ids.into()), ..op });
        }
    }
    Ok(named)
}

fn selected(filter: &Filter, group: &Value) -> Result<Vec<Value>, ScimError> {
    let path = AttrPath { schema: None, name: "members".to_owned(), sub: None };
    let filter = Filter::Value { path, filter: Box::new(filter.clone()) };
    let mut ids = Vec::new();
    for member in group.get("members").and_then(Value::as_array).into_iter().flatten() {
        let alone = json!({ "members": [member] });
        if scim::matches(&filter, ResourceType::Group, &alone)? {
            ids.extend(member.get("value").map(|id| json!({ "value": id })));
        }
    }
    Ok(ids)
}

/// Cuts operations so that no request touches more members than the upstream takes.
fn chunked(ops: Vec<Value>) -> Result<Requests, ScimError> {
    let mut requests: Requests = vec![Vec::new()];
    let mut room = MEMBER_CHUNK;
    for op in ops {
        let path = op.get("path").and_then(Value::as_str).unwrap_or_default();
        if !path.starts_with("members") {
            push(&mut requests, op);
            continue;
        }
        let verb = op.get("op").cloned().unwrap_or_default();
        let Some(Value::Array(members)) = op.get("value") else {
            if room == 0 {
                requests.push(Vec::new());
                room = MEMBER_CHUNK;
            }
            room -= 1;
            push(&mut requests, op);
            continue;
        };
        if verb == "replace" && members.len() > MEMBER_CHUNK {
            return Err(ScimError::invalid_value(format!(
                "members: this service takes {MEMBER_CHUNK} members in one request; add and remove them instead of \
                 replacing all"
            )));
        }
        let mut rest = members.as_slice();
        loop {
            if room < rest.len().min(MEMBER_CHUNK) && (verb == "replace" || room == 0) {
                requests.push(Vec::new());
                room = MEMBER_CHUNK;
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            room -= now.len();
            push(&mut requests, json!({ "op": verb, "path": "members", "value": now }));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
    }
    requests.retain(|request| !request.is_empty());
    Ok(requests)
}

fn push(requests: &mut Requests, op: Value) {
    if let Some(last) = requests.last_mut() {
        last.push(op);
    }
}

/// A resource that is about to be created, and the members that do not fit into the first request.
pub(super) fn member_chunks(mut resource: Value, is_counted: bool) -> (Value, Vec<Vec<Value>>) {
    let mut later = Vec::new();
    if is_counted
        && let Some(Value::Array(members)) = resource.get_mut("members")
        && members.len() > MEMBER_CHUNK
    {
        later = members.split_off(MEMBER_CHUNK).chunks(MEMBER_CHUNK).map(<[Value]>::to_vec).collect();
    }
    (resource, later)
}

/// The body of one request.
pub(super) fn body(ops: &[Value]) -> Value {
    json!({ "schemas": [scim::patch::PATCH_URN], "Operations": ops })
}

/// What a PUT sends for an upstream that knows no PATCH: the resource as it is there, changed here.
/// What the schemas do not know stays.
///
/// # Errors
/// As [`scim::patch::apply`].
pub(super) fn applied(of: Type<'_>, now: &Value, ops: &[Op]) -> Result<Value, ScimError> {
    let before = Resource::from_value(of, now.clone())?;
    let after = scim::patch::apply(of, &before, ops)?.resource;
    Ok(with_unknown(of, after.into_value(), now))
}

/// Adds what an upstream keeps beside the schemas to a resource that is about to replace it.
pub(super) fn with_unknown(of: Type<'_>, mut resource: Value, now: &Value) -> Value {
    let (Value::Object(wanted), Value::Object(present)) = (&mut resource, now) else { return resource };
    let is_unknown = |name: &str| {
        name != "schemas"
            && name != "password"
            && of.named(name).is_none()
            && AttrPath::parse(name).is_none_or(|path| path.resolve(of).is_none())
    };
    let mut kept = Vec::new();
    for (name, value) in present {
        if !wanted.contains_key(name) && is_unknown(name) {
            wanted.insert(name.clone(), value.clone());
            if name.starts_with("urn:") {
                kept.push(Value::from(name.as_str()));
            }
        }
    }
    if let Some(Value::Array(schemas)) = wanted.get_mut("schemas") {
        kept.retain(|urn| !schemas.contains(urn));
        schemas.extend(kept);
    }
    resource
}

#[cfg(test)]
mod tests {
    use scim::ResourceType;

    use super::*;

    fn ops(operations: Value) -> Vec<Op> {
        let body = Value::from_iter([("Operations", operations)]);
        scim::patch::from_value(body).unwrap()
    }

    fn check(kind: ResourceType, operations: Value, expect: &Value) {
        let requests = rewrite(kind.into(), ops(operations), Quirks::default()).unwrap();
        assert_eq!(&json!(requests), expect);
    }

    #[test]
    fn what_entra_and_okta_send_leaves_as_the_rfc_says() {
        const ENT: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        check(
            ResourceType::User,
            json!([
                { "op": "Replace", "path": "active", "value": "False" },
                { "op": "Add", "path": "emails[type eq \"work\"].primary", "value": "True" },
                { "op": "Add", "path": format!("{ENT}:manager"), "value": "m" },
                { "op": "Replace", "path": format!("{ENT}:manager"), "value": { "value": "" } },
            ]),
            &json!([[
                { "op": "replace", "path": "active", "value": false },
                { "op": "add", "path": "emails[type eq \"work\"].primary", "value": true },
                { "op": "add", "path": format!("{ENT}:manager"), "value": { "value": "m" } },
                { "op": "remove", "path": format!("{ENT}:manager") },
            ]]),
        );
        check(
            ResourceType::Group,
            json!([
                { "op": "replace", "value": { "id": "g", "displayName": "N" } },
                { "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": "a" }, { "value": "b" }] },
                { "op": "Add", "path": "members", "value": { "$ref": null, "value": "c" } },
            ]),
            &json!([[
                { "op": "replace", "path": "displayName", "value": "N" },
                { "op": "remove", "path": "members[value eq \"a\"]" },
                { "op": "remove", "path": "members[value eq \"b\"]" },
                { "op": "add", "path": "members", "value": [{ "value": "c" }] },
            ]]),
        );
    }

    #[test]
    fn no_request_touches_more_members_than_the_upstream_takes() {
        let members: Vec<Value> = (0..250).map(|n| json!({ "value": n.to_string() })).collect();
        let operations = json!([
            { "op": "replace", "path": "displayName", "value": "N" },
            { "op": "add", "path": "members", "value": members },
            { "op": "remove", "path": "members", "value": members },
        ]);
        let chunks = Quirks::of_words(["member-chunks"]);
        let requests = rewrite(ResourceType::Group.into(), ops(operations), chunks).unwrap();
        let touched: Vec<usize> = requests
            .iter()
            .map(|request| {
                let touches = |op: &Value| {
                    let members = op["value"].as_array().map(Vec::len);
                    members.unwrap_or(usize::from(op["path"] != "displayName"))
                };
                request.iter().map(touches).sum()
            })
            .collect();
        assert_eq!(touched, [100, 100, 100, 100, 100]);
        let many: Vec<Value> = (0..101).map(|n| json!({ "value": n.to_string() })).collect();
        let replace = ops(json!([{ "op": "replace", "path": "members", "value": many }]));
        assert!(rewrite(ResourceType::Group.into(), replace, chunks).is_err());
    }

    #[test]
    fn who_is_removed_is_named_where_no_filter_is_understood() {
        let quirks = Quirks::of_words(["member-values", "member-chunks"]);
        let members: Vec<Value> =
            (0..120).map(|n| json!({ "value": n.to_string(), "type": "User" })).collect();
        let now = json!({ "displayName": "Team", "members": members });
        let send = |operations: Value| {
            let ops = by_values(ops(operations), &now).unwrap();
            json!(rewrite(ResourceType::Group.into(), ops, quirks).unwrap())
        };
        let one_of = json!([{ "op": "remove", "path": "members[value eq \"7\" or value eq \"8\"]" }]);
        assert!(!needs_members(&ops(one_of.clone())));
        let named =
            json!([[{ "op": "remove", "path": "members", "value": [{ "value": "7" }, { "value": "8" }] }]]);
        assert_eq!(send(one_of), named);
        let listed = json!([{ "op": "Remove", "path": "members", "value": [{ "value": "7" }, "8"] }]);
        assert_eq!(send(listed), named);
        // Who that is, the group tells; and never all because nobody was found.
        let typed = json!([{ "op": "remove", "path": "members[type eq \"User\"]" }]);
        assert!(needs_members(&ops(typed.clone())));
        let sent = send(typed);
        let counts: Vec<usize> =
            sent.as_array().unwrap().iter().map(|r| r[0]["value"].as_array().unwrap().len()).collect();
        assert_eq!(counts, [100, 20]);
        assert_eq!(send(json!([{ "op": "remove", "path": "members[type eq \"Group\"]" }])), json!([]));
        let all = json!([{ "op": "remove", "path": "members" }]);
        assert_eq!(send(all), json!([[{ "op": "remove", "path": "members" }]]));
    }

    #[test]
    fn a_put_keeps_what_the_schemas_do_not_know() {
        let now = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:example:more"], "id": "7",
            "userName": "mia", "title": "Lead", "shoeSize": 38, "urn:example:more": { "desk": 4 },
        });
        let change = ops(json!([{ "op": "remove", "path": "title" }]));
        let put = applied(ResourceType::User.into(), &now, &change).unwrap();
        assert_eq!(put["shoeSize"], 38);
        assert_eq!(put["urn:example:more"]["desk"], 4);
        assert_eq!(put["schemas"][1], "urn:example:more");
        assert!(put.get("title").is_none() && put.get("id").is_none());
    }
}
