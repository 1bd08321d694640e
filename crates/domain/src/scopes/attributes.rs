//! Sets of attribute names: what a name in them stands for.
//!
//! Names are in the spelling of the schemas: `emails`, `name.familyName`, `urn:…:User:department`,
//! `urn:…:User:manager.value`, and the URN of an extension, which stands for all of it. A name covers
//! itself and what is in it.

use std::collections::BTreeSet;

/// Whether a set of attributes has one, or what it is in.
pub fn covers(set: &BTreeSet<String>, path: &str) -> bool {
    let (attribute, schema) = holders(path);
    [Some(path), attribute, schema].into_iter().flatten().any(|name| set.contains(name))
}

/// Whether something in an attribute is in the set, though the attribute as a whole is not.
pub fn covers_part(set: &BTreeSet<String>, path: &str) -> bool {
    set.iter().any(|name| {
        name.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', ':'])) && name.len() > path.len()
    })
}

/// What an attribute is in: the attribute of a sub-attribute, and the extension of either.
fn holders(path: &str) -> (Option<&str>, Option<&str>) {
    let colon = path.rfind(':');
    // The numbers of a URN have dots as well: a sub-attribute comes after the last colon.
    let name = colon.map_or(0, |colon| colon + 1);
    let dot = path.get(name..).and_then(|rest| rest.find('.'));
    (dot.and_then(|dot| path.get(..name + dot)), colon.and_then(|colon| path.get(..colon)))
}

/// The attributes that two sets both have; `None` is all.
pub fn common(one: Option<&BTreeSet<String>>, other: Option<&BTreeSet<String>>) -> Option<BTreeSet<String>> {
    match (one, other) {
        (None, None) => None,
        (Some(set), None) | (None, Some(set)) => Some(set.clone()),
        (Some(one), Some(other)) => {
            let of = |set: &BTreeSet<String>, within: &BTreeSet<String>| {
                set.iter().filter(|name| covers(within, name)).cloned().collect::<Vec<_>>()
            };
            Some(of(one, other).into_iter().chain(of(other, one)).collect())
        }
    }
}

/// Whether one set has no attribute that the other does not have; `None` is all.
pub fn is_within(one: Option<&BTreeSet<String>>, wider: Option<&BTreeSet<String>>) -> bool {
    match (one, wider) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(one), Some(wider)) => one.iter().all(|name| covers(wider, name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_name_covers_itself_and_what_is_in_it() {
        let check = |names: &[&str], path: &str, expect: bool| {
            assert_eq!(covers(&set(names), path), expect, "{names:?} {path}");
        };
        check(&["name"], "name", true);
        check(&["name"], "name.familyName", true);
        check(&["name.familyName"], "name", false);
        check(&["name.familyName"], "name.familyName", true);
        check(&["name"], "nameless", false);
        let department = format!("{ENTERPRISE}:department");
        check(&[ENTERPRISE], &department, true);
        check(&[ENTERPRISE], &format!("{ENTERPRISE}:manager.value"), true);
        check(&[&department], &department, true);
        check(&[&department], ENTERPRISE, false);
        check(&["urn:ietf:params:scim:schemas:extension:enterprise:2"], &department, false);
        assert!(
            covers_part(&set(&["name.familyName"]), "name") && covers_part(&set(&[&department]), ENTERPRISE)
        );
        assert!(!covers_part(&set(&["names"]), "name") && !covers_part(&set(&["name"]), "name"));
    }

    #[test]
    fn what_two_have_in_common_is_the_narrower_name_of_each() {
        let one = set(&["name", "emails", &format!("{ENTERPRISE}:department")]);
        let other = set(&["name.familyName", ENTERPRISE, "title"]);
        let both = common(Some(&one), Some(&other));
        assert_eq!(both, Some(set(&["name.familyName", &format!("{ENTERPRISE}:department")])));
        assert!(is_within(both.as_ref(), Some(&one)) && is_within(both.as_ref(), Some(&other)));
        assert!(!is_within(None, Some(&one)) && is_within(None, None));
    }
}
