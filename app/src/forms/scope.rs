//! The scope builder: everything that narrows a key, read from its fields and written into them.

use std::collections::BTreeSet;

use domain::{
    Invalid,
    rotations::policy::parse_windows,
    scopes::{Ceiling, Provenance, ResourceKind, Scope, Verb, parse_networks},
};
use ops::tighten::When;

use super::{Values, grant_value};
use crate::words;

/// The fields of one resource type.
pub struct Fields {
    /// The attributes that may be read.
    pub read: &'static str,
    /// The attributes that may be written.
    pub write: &'static str,
    /// The filter.
    pub filter: &'static str,
    /// The ceiling of each verb.
    pub ceilings: [(Verb, &'static str); 4],
}

/// The fields of a resource type, as the rules name them in their faults.
pub const fn fields(kind: ResourceKind) -> Fields {
    match kind {
        ResourceKind::Users => Fields {
            read: "users-read-attributes",
            write: "users-write-attributes",
            filter: "users-filter",
            ceilings: [
                (Verb::Read, "users-read-per-hour"),
                (Verb::Create, "users-create-per-hour"),
                (Verb::Update, "users-update-per-hour"),
                (Verb::Delete, "users-delete-per-hour"),
            ],
        },
        ResourceKind::Groups => Fields {
            read: "groups-read-attributes",
            write: "groups-write-attributes",
            filter: "groups-filter",
            ceilings: [
                (Verb::Read, "groups-read-per-hour"),
                (Verb::Create, "groups-create-per-hour"),
                (Verb::Update, "groups-update-per-hour"),
                (Verb::Delete, "groups-delete-per-hour"),
            ],
        },
    }
}

/// Reads the ticked verbs.
pub fn verbs(values: &Values) -> Scope {
    let chosen = values.all("grant");
    Scope::of(words::all_grants().filter(|(kind, verb)| chosen.contains(&grant_value(*kind, *verb))))
}

/// Adds to a scope of verbs what the other fields say. An empty field narrows nothing.
///
/// # Errors
/// One [`Invalid`] for each field that cannot be read.
pub fn narrowed(values: &Values, mut scope: Scope) -> Result<Scope, Vec<Invalid>> {
    let mut faults = Vec::new();
    for kind in ResourceKind::ALL {
        let Fields { read, write, filter, ceilings } = fields(kind);
        let (read, written) = (names(values, read), names(values, write));
        let filter = Some(values.text(filter)).filter(|text| !text.is_empty());
        if read.is_some() || written.is_some() || filter.is_some() {
            let grant = scope.grant_mut(kind);
            (grant.read_attributes, grant.write_attributes, grant.filter) = (read, written, filter);
        }
        for (verb, field) in ceilings {
            if let Some(number) = values.optional_number(field, &mut faults) {
                match u32::try_from(number) {
                    Ok(per_hour) => scope.ceilings.push(Ceiling { resource: kind, verb, per_hour }),
                    Err(_) => {
                        faults.push(Invalid::new(field, format!("{number} is not a number of operations")));
                    }
                }
            }
        }
    }
    scope.groups = names(values, "groups");
    if values.text("provenance") == Provenance::KeyLine.as_str() {
        scope.provenance = Provenance::KeyLine;
    }
    match parse_networks(&values.text("source_networks")) {
        Ok(networks) => scope.source_networks = networks,
        Err(fault) => faults.push(fault),
    }
    match parse_windows(&values.text("hours")) {
        Ok(windows) => scope.hours = windows,
        Err(fault) => faults.push(Invalid { field: "hours".to_owned(), ..fault }),
    }
    faults.extend(scope.faults().into_iter().filter(|fault| !faults.contains(fault)).collect::<Vec<_>>());
    if faults.is_empty() { Ok(scope) } else { Err(faults) }
}

fn names(values: &Values, field: &str) -> Option<BTreeSet<String>> {
    let text = values.text(field);
    let names: BTreeSet<String> = text
        .split(|character: char| character.is_whitespace() || character == ',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    (!names.is_empty()).then_some(names)
}

/// A narrower scope for a key, from `/keys/{id}/scope` or `/keys/{id}/tighten`.
#[derive(Debug)]
pub struct Narrowing {
    /// The version of the key that was seen.
    pub version: i64,
    /// The scope.
    pub scope: Scope,
    /// From when on.
    pub when: When,
}

/// Reads a narrower scope: the fields of the builder, or a proposal as it was shown.
///
/// # Errors
/// One [`Invalid`] for each field that cannot be read.
pub fn narrowing(values: &Values) -> Result<Narrowing, Vec<Invalid>> {
    let mut faults = Vec::new();
    let version = values.whole_number("version", &mut faults);
    let when = match values.text("when").as_str() {
        "now" => Some(When::Now),
        "next" => Some(When::NextRotation),
        _ => {
            faults.push(Invalid::new("when", "choose when it holds: now, or from the next rotation on"));
            None
        }
    };
    let proposal = values.text("proposal");
    let scope = if proposal.is_empty() {
        narrowed(values, verbs(values))
    } else {
        serde_json::from_str(&proposal)
            .map_err(|_| vec![Invalid::new("scope", "this proposal cannot be read")])
    };
    match (scope, when) {
        (Ok(scope), Some(when)) if faults.is_empty() => Ok(Narrowing { version, scope, when }),
        (Ok(_), _) => Err(faults),
        (Err(more), _) => Err(faults.into_iter().chain(more).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        Values::parse(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn every_field_of_the_builder_narrows() {
        let form = values(&[
            ("version", "3"),
            ("when", "next"),
            ("grant", "users-read"),
            ("grant", "users-update"),
            ("users-read-attributes", "userName, active\nemails"),
            ("users-write-attributes", "active"),
            ("users-filter", " active eq true "),
            ("users-update-per-hour", "50"),
            ("groups", "g1 g2"),
            ("provenance", "key-line"),
            ("source_networks", "192.0.2.0/24"),
            ("hours", "mon-fri 08:00-17:00"),
        ]);
        let Narrowing { version, scope, when } = narrowing(&form).unwrap();
        assert_eq!((version, when), (3, When::NextRotation));
        assert_eq!(scope.in_words().len(), 9);
        assert_eq!(scope.filter(ResourceKind::Users), Some("active eq true"));
        assert_eq!(scope.readable(ResourceKind::Users).unwrap().len(), 3);
        assert_eq!(scope.ceiling(ResourceKind::Users, Verb::Update), Some(50));
        let proposal = serde_json::to_string(&scope).unwrap();
        let again =
            narrowing(&values(&[("version", "3"), ("when", "now"), ("proposal", &proposal)])).unwrap();
        assert_eq!((again.scope, again.when), (scope, When::Now));
    }

    #[test]
    fn fields_are_named_as_the_rules_name_them() {
        for kind in ResourceKind::ALL {
            assert_eq!(fields(kind).filter, domain::scopes::filter_field(kind));
            for (verb, field) in fields(kind).ceilings {
                assert_eq!(field, domain::scopes::ceiling_field(kind, verb));
            }
        }
    }

    #[test]
    fn every_field_that_cannot_be_read_is_named() {
        let form = values(&[
            ("version", "1"),
            ("grant", "users-read"),
            ("users-read-per-hour", "-1"),
            ("source_networks", "home"),
            ("hours", "sometimes"),
        ]);
        let fields: Vec<String> =
            narrowing(&form).unwrap_err().into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["when", "users-read-per-hour", "source_networks", "hours"]);
        assert_eq!(
            narrowing(&values(&[("when", "now"), ("version", "1"), ("proposal", "{")])).unwrap_err().len(),
            1
        );
    }
}
