//! Random scopes against random requests.

use std::net::{IpAddr, Ipv4Addr};

use proptest::{collection::vec, option, prelude::*, sample::subsequence};

use super::*;
use crate::{Millis, scopes::parse_networks};

const ATTRIBUTES: [&str; 6] =
    ["userName", "name", "name.familyName", "name.givenName", "emails", "urn:x:User:y"];
const PARTS: [&str; 4] = ["active eq true", "title pr", "a pr or b pr", "not (x pr)"];
const NETWORKS: [&str; 5] = ["10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "192.0.2.0/24", "192.0.2.7/32"];
const HOURS: [&str; 5] = [
    "daily 00:00-24:00",
    "daily 08:00-17:00",
    "mon-fri 09:00-12:00",
    "sat 22:00-02:00",
    "mon 10:00-13:00 +01:00",
];

fn some_of(names: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    subsequence(names, 1..=names.len()).prop_map(|some| some.into_iter().map(str::to_owned).collect())
}

fn grant(resource: ResourceKind) -> impl Strategy<Value = Grant> {
    let verbs = subsequence(Verb::ALL.as_slice(), 0..=4);
    let attributes = || option::of(some_of(&ATTRIBUTES));
    let filter = option::of(subsequence(PARTS.as_slice(), 1..=4));
    (verbs, attributes(), attributes(), filter).prop_map(move |(verbs, read, write, filter)| Grant {
        resource,
        verbs: verbs.into_iter().collect(),
        read_attributes: read,
        write_attributes: write,
        filter: filter.map(|parts| {
            parts.into_iter().fold(String::new(), |all, part| {
                if all.is_empty() { part.to_owned() } else { filters::both(&all, part) }
            })
        }),
    })
}

fn scope() -> impl Strategy<Value = Scope> {
    let ceiling = (0_usize..2, 0_usize..4, 1_u32..4).prop_map(|(kind, verb, per_hour)| Ceiling {
        resource: ResourceKind::ALL[kind],
        verb: Verb::ALL[verb],
        per_hour,
    });
    (
        grant(ResourceKind::Users),
        grant(ResourceKind::Groups),
        option::of(some_of(&["g1", "g2", "g3"])),
        any::<bool>(),
        vec(ceiling, 0..3),
        subsequence(NETWORKS.as_slice(), 0..=3),
        subsequence(HOURS.as_slice(), 0..=2),
    )
        .prop_map(|(users, groups, named, is_own, ceilings, networks, hours)| Scope {
            grants: vec![users, groups],
            groups: named,
            provenance: if is_own { Provenance::KeyLine } else { Provenance::Federation },
            ceilings,
            source_networks: parse_networks(&networks.join(",")).unwrap(),
            hours: hours.into_iter().map(|text| Window::parse(text).unwrap()).collect(),
        })
}

/// A request, and a resource as far as the scope knows such things.
#[derive(Debug, Clone)]
struct Asked {
    resource: ResourceKind,
    verb: Verb,
    source: IpAddr,
    at_ms: Millis,
    reads: BTreeSet<String>,
    writes: BTreeSet<String>,
    /// The parts of filters that the resource matches.
    matches: BTreeSet<String>,
    group: String,
    is_own: bool,
    /// How many there were in the last hour.
    count: u32,
}

fn asked() -> impl Strategy<Value = Asked> {
    let matches =
        subsequence(PARTS.as_slice(), 2..=4).prop_map(|parts| parts.into_iter().map(str::to_owned).collect());
    let sources = [[10, 1, 1, 5], [10, 1, 2, 5], [10, 9, 9, 9], [192, 0, 2, 7], [192, 0, 2, 8]];
    (
        (0_usize..2, 0_usize..4, 0_usize..5, 0_i64..10_080),
        (some_of(&ATTRIBUTES), some_of(&ATTRIBUTES), matches),
        (0_usize..3, any::<bool>(), 0_u32..4),
    )
        .prop_map(
            move |((kind, verb, source, minute), (reads, writes, matches), (group, is_own, count))| Asked {
                resource: ResourceKind::ALL[kind],
                verb: Verb::ALL[verb],
                source: IpAddr::V4(Ipv4Addr::from(sources[source])),
                at_ms: 1_767_571_200_000 + minute * 60_000,
                reads: reads.into_iter().take(1).collect(),
                writes: writes.into_iter().take(1).collect(),
                matches,
                group: ["g1", "g2", "g3"][group].to_owned(),
                is_own,
                count,
            },
        )
}

/// What the directory would decide, dimension by dimension.
fn admits(scope: &Scope, asked: &Asked) -> bool {
    let Asked { resource, verb, .. } = *asked;
    let writes = matches!(verb, Verb::Create | Verb::Update);
    scope.admits(verb, resource, Some(asked.source)).is_ok()
        && scope.admits_time(asked.at_ms).is_ok()
        && asked.reads.iter().all(|path| scope.may_read(resource, path))
        && (!writes || asked.writes.iter().all(|path| scope.may_write(resource, path)))
        && scope.filter(resource).is_none_or(|filter| filters::parts(filter).is_subset(&asked.matches))
        && (resource == ResourceKind::Users
            || scope.groups.as_ref().is_none_or(|set| set.contains(&asked.group)))
        && (scope.provenance == Provenance::Federation || asked.is_own)
        && scope.ceiling(resource, verb).is_none_or(|most| asked.count < most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn whatever_a_narrower_scope_admits_the_wider_one_admits(
        wide in scope(), other in scope(), requests in vec(asked(), 20)
    ) {
        let narrow = wide.narrowed_to(&other);
        prop_assert!(narrow.is_within(&wide) && narrow.is_within(&other), "{narrow:?}");
        for asked in &requests {
            if admits(&narrow, asked) {
                prop_assert!(admits(&wide, asked) && admits(&other, asked), "{asked:?}");
            }
            // Where one scope can say both, it loses nothing.
            if admits(&wide, asked) && admits(&other, asked) && are_hours_comparable(&wide, &other) {
                prop_assert!(admits(&narrow, asked), "{narrow:?} {asked:?}");
            }
        }
    }

    #[test]
    fn two_scopes_of_which_one_is_within_the_other_admit_in_that_order(
        one in scope(), two in scope(), requests in vec(asked(), 20)
    ) {
        prop_assert!(one.is_within(&one));
        if one.is_within(&two) {
            for asked in &requests {
                prop_assert!(!admits(&one, asked) || admits(&two, asked), "{asked:?}");
            }
        }
    }

    #[test]
    fn narrowing_one_dimension_never_allows_more(
        wide in scope(), other in scope(), dimension in 0_usize..9, requests in vec(asked(), 20)
    ) {
        let mut narrow = wide.clone();
        let common = wide.narrowed_to(&other);
        match dimension {
            0 => narrow.groups = common.groups,
            1 => narrow.provenance = common.provenance,
            2 => narrow.ceilings = common.ceilings,
            // An empty list would be anywhere, and always: the first of it is kept.
            3 => match narrow.source_networks.len() {
                0 => narrow.source_networks = parse_networks("192.0.2.7").unwrap(),
                _ => narrow.source_networks.truncate(1),
            },
            4 => match narrow.hours.len() {
                0 => narrow.hours = vec![Window::parse("mon 10:00-10:01").unwrap()],
                _ => narrow.hours.truncate(1),
            },
            5 => narrow.grants.iter_mut().for_each(|grant| { grant.verbs.pop_last(); }),
            6 => for grant in &mut narrow.grants {
                let name = BTreeSet::from(["name.familyName".to_owned()]);
                grant.read_attributes = attributes::common(grant.read_attributes.as_ref(), Some(&name));
            },
            7 => for grant in &mut narrow.grants {
                let name = BTreeSet::from(["userName".to_owned()]);
                grant.write_attributes = attributes::common(grant.write_attributes.as_ref(), Some(&name));
            },
            _ => for grant in &mut narrow.grants {
                grant.filter = Some(match &grant.filter {
                    Some(filter) => filters::both(filter, "title pr"),
                    None => "title pr".to_owned(),
                });
            },
        }
        for asked in &requests {
            prop_assert!(!admits(&narrow, asked) || admits(&wide, asked), "{dimension} {asked:?}");
        }
    }
}

fn are_hours_comparable(one: &Scope, other: &Scope) -> bool {
    are_hours_within(&one.hours, &other.hours) || are_hours_within(&other.hours, &one.hours)
}

#[test]
fn each_dimension_decides_who_is_within_whom() {
    let full = Scope::full_directory;
    let check = |change: fn(&mut Scope)| {
        let mut narrow = full();
        change(&mut narrow);
        assert!(narrow.is_within(&full()), "{narrow:?}");
        assert!(!full().is_within(&narrow), "{narrow:?}");
    };
    check(|scope| {
        scope.grant_mut(ResourceKind::Users).verbs.remove(&Verb::Delete);
    });
    check(|scope| scope.grant_mut(ResourceKind::Users).read_attributes = Some(["active".to_owned()].into()));
    check(|scope| {
        scope.grant_mut(ResourceKind::Groups).write_attributes = Some(["members".to_owned()].into());
    });
    check(|scope| scope.grant_mut(ResourceKind::Users).filter = Some("active eq true".to_owned()));
    check(|scope| scope.groups = Some(["g".to_owned()].into()));
    check(|scope| scope.provenance = Provenance::KeyLine);
    check(|scope| {
        scope.ceilings = vec![Ceiling { resource: ResourceKind::Users, verb: Verb::Delete, per_hour: 1 }];
    });
    check(|scope| scope.source_networks = parse_networks("192.0.2.0/24").unwrap());
    check(|scope| scope.hours = vec![Window::parse("mon-fri 08:00-17:00").unwrap()]);
    // A week written in two ways is one week.
    let always = Scope { hours: vec![Window::parse("daily 00:00-24:00 +05:00").unwrap()], ..full() };
    assert!(always.is_within(&full()));
    let days = |text| Scope { hours: vec![Window::parse(text).unwrap()], ..full() };
    assert!(days("mon 22:00-02:00").is_within(&days("mon 23:00-03:00 +01:00")));
    assert!(!days("mon 22:00-02:00").is_within(&days("mon 22:00-24:00")));
}
