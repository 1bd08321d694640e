//! From a claim to a role.

use std::collections::BTreeSet;

use domain::admins::Role;
use serde_json::{Map, Value};

use super::settings::RoleMap;

/// The values of the roles claim; `None` when the claims do not have it.
///
/// The path is tried as a name first, because names such as `https://example.com/roles` have dots
/// in them, then as a JSON pointer (RFC 6901) when it begins with `/`, then as a dotted path. A text
/// is one value; of an array, the texts are. Anything else holds no value.
pub fn values(claims: &Map<String, Value>, path: &str) -> Option<Vec<String>> {
    Some(match find(claims, path)? {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    })
}

fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    if let Some(pointer) = path.strip_prefix('/') {
        let (first, rest) = pointer.split_once('/').unwrap_or((pointer, ""));
        let value = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
        return if rest.is_empty() { Some(value) } else { value.pointer(&format!("/{rest}")) };
    }
    let mut steps = path.split('.');
    let first = claims.get(steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(step))
}

/// The role that the values give; `None` when no value is mapped.
pub fn role(map: &RoleMap, values: &[String]) -> Option<Role> {
    if values.iter().any(|value| map.admin.contains(value)) {
        return Some(Role::Admin);
    }
    if values.iter().any(|value| map.manager.contains(value)) {
        return Some(Role::Manager);
    }
    let federations: BTreeSet<_> =
        values.iter().filter_map(|value| map.operator.get(value)).flatten().cloned().collect();
    (!federations.is_empty()).then(|| Role::Operator(federations.into_iter().collect()))
}

/// Every value that gives a role, for the page that tells somebody what is missing.
pub fn expected(map: &RoleMap) -> Vec<String> {
    let all: BTreeSet<_> = map.admin.iter().chain(&map.manager).chain(map.operator.keys()).collect();
    all.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use domain::federations::Slug;
    use serde_json::json;

    use super::*;

    fn check(claims: Value, path: &str, expect: Option<&[&str]>) {
        let Value::Object(claims) = claims else { unreachable!("the test gives an object") };
        let expect = expect.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(values(&claims, path), expect, "{path}");
    }

    #[test]
    fn the_claim_is_found_by_name_path_or_pointer() {
        check(json!({"groups": ["a", "b"]}), "groups", Some(&["a", "b"]));
        check(json!({"groups": "a"}), "groups", Some(&["a"]));
        check(json!({"groups": "a b,c"}), "groups", Some(&["a b,c"]));
        check(json!({"realm_access": {"roles": ["a"]}}), "realm_access.roles", Some(&["a"]));
        check(json!({"realm_access": {"roles": ["a"]}}), "/realm_access/roles", Some(&["a"]));
        check(json!({"https://example.com/roles": ["a"]}), "https://example.com/roles", Some(&["a"]));
        check(json!({"a/b": {"c": "x"}}), "/a~1b/c", Some(&["x"]));
        check(json!({"groups": [1, "a", null, {"b": "c"}]}), "groups", Some(&["a"]));
        check(json!({"groups": true}), "groups", Some(&[]));
        check(json!({"groups": {"a": "b"}}), "groups", Some(&[]));
        check(json!({}), "groups", None);
        check(json!({"realm_access": "roles"}), "realm_access.roles", None);
    }

    #[test]
    fn the_widest_role_wins_and_operators_add_up() {
        let slug = |text: &str| Slug::parse(text).unwrap();
        let map = RoleMap {
            admin: vec!["root".into()],
            manager: vec!["boss".into()],
            operator: [
                ("okta".to_owned(), vec![slug("okta-production"), slug("okta-test")]),
                ("hr".to_owned(), vec![slug("workday"), slug("okta-test")]),
                ("none".to_owned(), vec![]),
            ]
            .into(),
        };
        let role = |values: &[&str]| role(&map, &values.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(role(&["okta", "boss", "root"]), Some(Role::Admin));
        assert_eq!(role(&["okta", "boss"]), Some(Role::Manager));
        assert_eq!(
            role(&["hr", "okta", "other"]),
            Some(Role::Operator(vec![slug("okta-production"), slug("okta-test"), slug("workday")]))
        );
        assert_eq!(role(&["none"]), None);
        assert_eq!(role(&["Root", "root ", "ROOT"]), None);
        assert_eq!(role(&[]), None);
        assert_eq!(expected(&map), ["boss", "hr", "none", "okta", "root"]);
    }
}
