//! Scopes as they decide and are checked.

use proptest::prelude::*;

use super::*;

#[test]
fn what_is_not_granted_is_refused() {
    let scope = Scope::of([(ResourceKind::Users, Verb::Read)]);
    assert_eq!(scope.admits(Verb::Read, ResourceKind::Users, None), Ok(()));
    assert_eq!(
        scope.admits(Verb::Delete, ResourceKind::Users, None).unwrap_err().to_string(),
        "this key may not delete users"
    );
    assert!(scope.admits(Verb::Read, ResourceKind::Groups, None).is_err());
}

#[test]
fn what_cannot_be_enforced_at_an_upstream_is_named() {
    let scope = Scope::full_directory;
    assert_eq!(scope().not_kept_upstream(), None);
    let filter = || Some("userName sw \"a\"".to_owned());
    let mut users = scope();
    users.grant_mut(ResourceKind::Users).filter = filter();
    assert_eq!(users.not_kept_upstream(), Some("a filter on users beside groups"));
    let mut alone = Scope::of([(ResourceKind::Users, Verb::Read)]);
    alone.grant_mut(ResourceKind::Users).filter = filter();
    assert_eq!(alone.not_kept_upstream(), None);
    let mut groups = scope();
    groups.grant_mut(ResourceKind::Groups).filter = filter();
    assert_eq!(groups.not_kept_upstream(), Some("a filter on groups"));
    let own = Scope { provenance: Provenance::KeyLine, ..scope() };
    assert_eq!(own.not_kept_upstream(), Some("provenance"));
}

#[test]
fn what_may_not_be_read_may_not_be_written() {
    let mut scope = Scope::full_directory();
    let grant = scope.grant_mut(ResourceKind::Users);
    grant.read_attributes = Some(["userName".to_owned(), "name.familyName".to_owned()].into());
    for (path, expect) in [("userName", true), ("name.familyName", true), ("name", false), ("title", false)] {
        assert_eq!(scope.may_write(ResourceKind::Users, path), expect, "{path}");
        assert!(scope.may_write(ResourceKind::Groups, path), "{path}");
    }
    scope.grant_mut(ResourceKind::Users).write_attributes = Some(["title".to_owned()].into());
    assert!(
        !scope.may_write(ResourceKind::Users, "title") && !scope.may_write(ResourceKind::Users, "userName")
    );
}

#[test]
fn hours_are_those_of_the_windows() {
    let mut scope = Scope::full_directory();
    scope.hours = vec![Window::parse("mon-fri 08:00-17:00 +01:00").unwrap()];
    // 2026-01-05 was a Monday.
    let at = |day: i64, minute: i64| 1_767_571_200_000 + (day * 1_440 + minute) * 60_000;
    for (day, minute, expect) in
        [(0, 419, false), (0, 420, true), (0, 959, true), (0, 960, false), (4, 500, true), (5, 500, false)]
    {
        assert_eq!(scope.admits_time(at(day, minute)).is_ok(), expect, "{day} {minute}");
    }
    let refusal = scope.admits_time(at(6, 0)).unwrap_err().to_string();
    assert_eq!(refusal, "this key may not be used at this time, only mon,tue,wed,thu,fri 08:00-17:00 +01:00");
}

#[test]
fn every_fault_is_named_with_its_field() {
    let mut scope = Scope::of([(ResourceKind::Users, Verb::Create)]);
    let grant = scope.grant_mut(ResourceKind::Users);
    grant.read_attributes = Some(BTreeSet::new());
    grant.filter = Some("x".repeat(LONGEST_FILTER + 1));
    scope.groups = Some(BTreeSet::new());
    let create = |per_hour| Ceiling { resource: ResourceKind::Users, verb: Verb::Create, per_hour };
    scope.ceilings = vec![create(0), create(1)];
    let fields: Vec<String> = scope.faults().into_iter().map(|fault| fault.field).collect();
    assert_eq!(
        fields,
        ["users-read-attributes", "users-filter", "groups", "users-create-per-hour", "users-create-per-hour"]
    );
    assert!(scope.check().is_err());
}

#[test]
fn a_network_narrows_and_mapped_addresses_count_as_what_they_map() {
    let mut scope = Scope::full_directory();
    scope.source_networks = parse_networks("192.0.2.0/24, 2001:db8::/32").unwrap();
    let admits = |text: &str| scope.admits_source(Some(text.parse().unwrap())).is_ok();
    assert!(admits("192.0.2.7"));
    assert!(admits("::ffff:192.0.2.7"));
    assert!(admits("2001:db8::1"));
    assert!(!admits("198.51.100.7"));
    assert!(scope.admits_source(None).is_err());
}

#[test]
fn an_unknown_field_in_a_stored_scope_is_refused() {
    for text in [r#"{"grants":[],"only_on_sundays":true}"#, r#"{"grants":[],"hours":["sometimes"]}"#] {
        assert!(serde_json::from_str::<Scope>(text).is_err(), "{text}");
    }
}

#[test]
fn scope_reads_back_from_its_json() {
    let scope = Scope::full_directory();
    let text = serde_json::to_string(&scope).unwrap();
    assert_eq!(serde_json::from_str::<Scope>(&text).unwrap(), scope);
    assert!(scope.is_full_directory());
    assert_eq!(
        scope.in_words(),
        ["read, create, update, delete users", "read, create, update, delete groups"]
    );
}

proptest! {
    #[test]
    fn fewer_grants_never_allow_more(bits in 0_u8..=255, mask in 0_u8..=255) {
        let build = |bits: u8| {
            Scope::of(ResourceKind::ALL.into_iter().enumerate().flat_map(|(r, kind)| {
                Verb::ALL.into_iter().enumerate().filter_map(move |(v, verb)| {
                    (bits >> (r * 4 + v) & 1 == 1).then_some((kind, verb))
                })
            }))
        };
        let (wide, narrow) = (build(bits), build(bits & mask));
        for kind in ResourceKind::ALL {
            for verb in Verb::ALL {
                if narrow.admits(verb, kind, None).is_ok() {
                    prop_assert!(wide.admits(verb, kind, None).is_ok());
                }
            }
        }
    }
}
