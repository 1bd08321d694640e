//! Attestations: what a manager signs for a period, frozen, hashed and compared.
//!
//! A statement is kept as canonical JSON (RFC 8785): names in order, no blanks, whole numbers only. Its SHA-256
//! goes into the audit log when it is signed, so that whoever changes the kept text is found out by whoever reads
//! both. Nothing about it is kept anywhere else.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Counted, Period, Status};
use crate::{AttestationId, ExceptionId, FederationId, KeyId, Millis, hex};

/// The form of what is written here; it grows when a field changes its meaning.
pub const FORM: i64 = 1;

/// A key, as it was when the statement was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenKey {
    /// Which.
    pub id: KeyId,
    /// Its name.
    pub name: String,
    /// When it was issued.
    pub issued_ms: Millis,
    /// When it is, or was, too old by the policy.
    pub limit_ms: Millis,
    /// Whether it has the full directory.
    pub full_directory: bool,
    /// Whether it did no work for 30 days.
    pub unused: bool,
}

/// An exception that was open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenException {
    /// Which.
    pub id: ExceptionId,
    /// The key; none for every key of the federation.
    pub key_id: Option<KeyId>,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// When it ends by itself.
    pub ends_ms: Millis,
}

/// A federation, as it was when the statement was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenFederation {
    /// Which.
    pub id: FederationId,
    /// Its short name.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its vendor.
    pub vendor: String,
    /// Its owners.
    pub owners: Vec<String>,
    /// How it stood.
    pub status: Status,
    /// The longest life of a key by its policy, in days.
    pub max_age_days: i64,
    /// Its accepted keys.
    pub keys: Vec<FrozenKey>,
    /// Its open exceptions.
    pub exceptions: Vec<FrozenException>,
    /// How many findings were open.
    pub findings: i64,
    /// How many of its keys were given a successor in the period.
    pub rotated: i64,
    /// When a compromise was last answered to the end; none when never.
    pub recovered_ms: Option<Millis>,
}

/// What somebody signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// [`FORM`].
    pub form: i64,
    /// Its id.
    pub id: AttestationId,
    /// For which period.
    pub period: Period,
    /// When.
    pub signed_ms: Millis,
    /// The name of who signed.
    pub signed_by: String,
    /// Who that is: issuer and subject.
    pub signer: String,
    /// In whose words.
    pub text: String,
    /// How many federations stood how.
    pub counted: Counted,
    /// Every federation that was not archived, in the order of their ids.
    pub federations: Vec<FrozenFederation>,
    /// The last checkpoint of the audit log at that time, as a signed note.
    pub checkpoint: Option<String>,
}

/// Writes a value as RFC 8785 does. Numbers are whole here.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            // Names are ASCII, so their bytes sort like their UTF-16 units.
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            text.push('{');
            for (at, (name, value)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                let _ = write!(text, "{}:", Value::from(name.as_str()));
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write(value, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = write!(text, "{value}");
        }
    }
}

/// The canonical text of a JSON value without fractions.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// SHA-256 of a text or a file, in hexadecimal.
pub fn digest(of: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(of))
}

impl Statement {
    /// The statement as canonical JSON.
    ///
    /// # Errors
    /// None that a statement can have: its fields are texts, whole numbers and lists.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        Ok(canonical(&serde_json::to_value(self)?))
    }

    /// Reads what was kept. A text that is not the canonical one of what it says is none.
    pub fn read(text: &str) -> Option<Self> {
        let statement: Self = serde_json::from_str(text).ok()?;
        (statement.form == FORM && statement.canonical().ok()? == text).then_some(statement)
    }
}

/// The words that a signer starts from.
pub fn proposed_text(period: &Period, counted: Counted) -> String {
    format!(
        "I have looked at the state of all federations for {}. {}. To the best of my knowledge the exceptions named below are justified.",
        period.label,
        counted.verdict()
    )
}

/// A federation whose status is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Its short name.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// How it stood.
    pub before: Option<Status>,
    /// How it stands.
    pub after: Option<Status>,
}

/// An exception or a key that is in one statement and not in the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The short name of its federation.
    pub slug: String,
    /// The name of its federation.
    pub federation: String,
    /// The name of the key, or who answers for the exception and why.
    pub what: String,
}

/// What is different between two statements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Inside policy before, and now not.
    pub left: Vec<Moved>,
    /// Outside before, and now inside.
    pub came_back: Vec<Moved>,
    /// Of another status, on the same side of the policy.
    pub shifted: Vec<Moved>,
    /// Not there before, or no longer there.
    pub appeared: Vec<Moved>,
    /// Archived since.
    pub gone: Vec<Moved>,
    /// Exceptions that were not open before.
    pub new_exceptions: Vec<Named>,
    /// Exceptions that are open no longer.
    pub ended_exceptions: Vec<Named>,
    /// Keys that were accepted before and are not any more, or have come.
    pub new_keys: Vec<Named>,
    /// Keys that are accepted no longer.
    pub ended_keys: Vec<Named>,
}

impl Differences {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is different in a statement from the one before it. Federations of which only one knows are named once,
/// without their keys.
pub fn compare(before: &Statement, after: &Statement) -> Differences {
    let index = |statement: &Statement| -> BTreeMap<FederationId, FrozenFederation> {
        statement.federations.iter().map(|one| (one.id.clone(), one.clone())).collect()
    };
    let (old, new) = (index(before), index(after));
    let mut told = Differences::default();
    for (id, now) in &new {
        let moved = |before: Option<Status>| Moved {
            slug: now.slug.clone(),
            name: now.name.clone(),
            before,
            after: Some(now.status),
        };
        let Some(then) = old.get(id) else {
            told.appeared.push(moved(None));
            told.new_exceptions.extend(now.exceptions.iter().map(|one| named(now, excused(one))));
            continue;
        };
        if then.status != now.status {
            let shelf = match (then.status.is_inside(), now.status.is_inside()) {
                (true, false) => &mut told.left,
                (false, true) => &mut told.came_back,
                (true, true) | (false, false) => &mut told.shifted,
            };
            shelf.push(moved(Some(then.status)));
        }
        let has_exception =
            |of: &FrozenFederation, id: &ExceptionId| of.exceptions.iter().any(|one| one.id == *id);
        let has_key = |of: &FrozenFederation, id: &KeyId| of.keys.iter().any(|one| one.id == *id);
        for one in now.exceptions.iter().filter(|one| !has_exception(then, &one.id)) {
            told.new_exceptions.push(named(now, excused(one)));
        }
        for one in then.exceptions.iter().filter(|one| !has_exception(now, &one.id)) {
            told.ended_exceptions.push(named(now, excused(one)));
        }
        for one in now.keys.iter().filter(|one| !has_key(then, &one.id)) {
            told.new_keys.push(named(now, one.name.clone()));
        }
        for one in then.keys.iter().filter(|one| !has_key(now, &one.id)) {
            told.ended_keys.push(named(now, one.name.clone()));
        }
    }
    for (id, then) in &old {
        if !new.contains_key(id) {
            told.gone.push(Moved {
                slug: then.slug.clone(),
                name: then.name.clone(),
                before: Some(then.status),
                after: None,
            });
        }
    }
    told
}

fn named(of: &FrozenFederation, what: String) -> Named {
    Named { slug: of.slug.clone(), federation: of.name.clone(), what }
}

fn excused(exception: &FrozenException) -> String {
    format!("{}: {}", exception.owner, exception.reason)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn federation(number: u8, status: Status, keys: &[u8]) -> FrozenFederation {
        let key = |number: &u8| FrozenKey {
            id: KeyId::new(1, [*number; 10]),
            name: format!("key-{number}"),
            issued_ms: 1,
            limit_ms: 2,
            full_directory: false,
            unused: false,
        };
        FrozenFederation {
            id: FederationId::new(1, [number; 10]),
            slug: format!("f{number}"),
            name: format!("Federation {number}"),
            vendor: "okta".to_owned(),
            owners: vec!["a".to_owned()],
            status,
            max_age_days: 90,
            keys: keys.iter().map(key).collect(),
            exceptions: Vec::new(),
            findings: 0,
            rotated: 0,
            recovered_ms: None,
        }
    }

    fn statement(federations: Vec<FrozenFederation>) -> Statement {
        let mut counted = Counted::default();
        for one in &federations {
            counted.add(one.status);
        }
        Statement {
            form: FORM,
            id: AttestationId::new(5, [5; 10]),
            period: Period::parse("2026-Q4").unwrap(),
            signed_ms: 5,
            signed_by: "Mara".to_owned(),
            signer: "https://idp.test mara".to_owned(),
            text: "as \"said\"\n".to_owned(),
            counted,
            federations,
            checkpoint: None,
        }
    }

    #[test]
    fn the_canonical_text_has_its_names_in_order_and_no_blanks() {
        let value = json!({ "b": [1, { "z": null, "a": "é\n\u{1}" }], "a": -3, "aa": true });
        assert_eq!(canonical(&value), "{\"a\":-3,\"aa\":true,\"b\":[1,{\"a\":\"é\\n\\u0001\",\"z\":null}]}");
        // FIPS 180-2 B.1.
        assert_eq!(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_statement_reads_back_and_any_other_text_does_not() {
        let whole = statement(vec![federation(1, Status::InPolicy, &[1, 2])]);
        let text = whole.canonical().unwrap();
        assert_eq!(Statement::read(&text), Some(whole));
        for other in [
            text.replace("\"form\":1", "\"form\":2"),
            text.replace("{\"checkpoint\"", "{ \"checkpoint\""),
            text.replace("\"form\":1", "\"form\":1,\"form\":1"),
            text.replace("in-policy", "fine"),
            format!("{text}\n"),
            String::new(),
        ] {
            assert_eq!(Statement::read(&other), None, "{other}");
        }
    }

    #[test]
    fn every_change_of_a_statement_changes_its_hash() {
        let whole = statement(vec![federation(1, Status::InPolicy, &[1, 2])]);
        let hash = |statement: &Statement| digest(statement.canonical().unwrap());
        let mut others = vec![whole.clone(); 5];
        others[0].text.push('.');
        others[1].signed_by = "Somebody".to_owned();
        others[2].federations[0].status = Status::Overdue;
        others[3].federations[0].keys.pop();
        others[4].signed_ms += 1;
        for other in &others {
            assert_ne!(hash(other), hash(&whole));
        }
    }

    #[test]
    fn what_is_different_is_named_and_nothing_else() {
        let exception = FrozenException {
            id: ExceptionId::new(1, [9; 10]),
            key_id: None,
            owner: "legal".to_owned(),
            reason: "contract".to_owned(),
            ends_ms: 9,
        };
        let before = statement(vec![
            federation(1, Status::InPolicy, &[1]),
            federation(2, Status::Overdue, &[2]),
            federation(3, Status::Overdue, &[3]),
            federation(4, Status::InPolicy, &[4]),
            federation(5, Status::InPolicy, &[5]),
        ]);
        assert!(compare(&before, &before).is_empty());
        let mut held = federation(3, Status::Excepted, &[3]);
        held.exceptions.push(exception);
        let after = statement(vec![
            federation(1, Status::Overdue, &[1]),
            federation(2, Status::InPolicy, &[2, 20]),
            held,
            federation(5, Status::Due, &[50]),
            federation(6, Status::NoKeys, &[]),
        ]);
        let told = compare(&before, &after);
        let slugs = |moved: &[Moved]| moved.iter().map(|one| one.slug.clone()).collect::<Vec<_>>();
        let whats = |named: &[Named]| named.iter().map(|one| one.what.clone()).collect::<Vec<_>>();
        assert_eq!(slugs(&told.left), ["f1"]);
        assert_eq!(slugs(&told.came_back), ["f2"]);
        assert_eq!(slugs(&told.shifted), ["f3", "f5"]);
        assert_eq!((slugs(&told.appeared), slugs(&told.gone)), (vec!["f6".into()], vec!["f4".into()]));
        assert_eq!(whats(&told.new_exceptions), ["legal: contract"]);
        assert_eq!(whats(&told.new_keys), ["key-20", "key-50"]);
        assert_eq!(whats(&told.ended_keys), ["key-5"]);
        let back = compare(&after, &before);
        assert_eq!(whats(&back.ended_exceptions), ["legal: contract"]);
        assert_eq!((slugs(&back.left), slugs(&back.came_back)), (slugs(&told.came_back), slugs(&told.left)));
    }
}
