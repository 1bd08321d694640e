//! Users and groups with few values, so that filters meet them and operations touch them.

use scim::{Meta, Related, Resource, ResourceType, Selection, render};
use serde_json::{Map, Value, json};

use crate::chance::Chance;

/// How many users the filters are put to.
pub const COUNT: usize = 6;

/// The enterprise extension.
pub const ENT: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Texts that are shared by many attributes, in one case and another.
pub const WORDS: [&str; 8] = ["ada", "Ada", "ADA LOVELACE", "adam", "Grace", "straße", "x", "lead"];
/// Addresses of mail.
pub const MAILS: [&str; 5] =
    ["ada@example.com", "ADA@example.com", "grace@example.org", "a@b.org", "Ada.L@example.com"];
/// Types of multi-valued attributes.
pub const TYPES: [&str; 4] = ["work", "home", "other", "mobile"];

/// The body of a user as a client sends it.
pub fn user(chance: &mut Chance) -> Value {
    let mut user = Map::new();
    user.insert("userName".to_owned(), json!(format!("{}{}", chance.one_of(&WORDS), chance.below(9))));
    for name in ["displayName", "nickName", "title", "userType", "locale", "externalId"] {
        if chance.percent(55) {
            user.insert(name.to_owned(), json!(chance.one_of(&WORDS)));
        }
    }
    if chance.percent(80) {
        user.insert("active".to_owned(), json!(chance.percent(60)));
    }
    if chance.percent(70) {
        let mut name = Map::new();
        for part in ["givenName", "familyName", "formatted"] {
            if chance.percent(60) {
                name.insert(part.to_owned(), json!(chance.one_of(&WORDS)));
            }
        }
        if !name.is_empty() {
            user.insert("name".to_owned(), Value::Object(name));
        }
    }
    for (name, values) in [("emails", &MAILS[..]), ("phoneNumbers", &["+1", "+2"]), ("roles", &WORDS[..])] {
        let values = values_of(chance, values);
        if !values.is_empty() {
            user.insert(name.to_owned(), Value::Array(values));
        }
    }
    if chance.percent(50) {
        let mut addresses =
            vec![json!({ "type": "work", "locality": chance.one_of(&WORDS), "country": "DE" })];
        if chance.percent(40) {
            addresses.push(json!({ "type": "home", "streetAddress": chance.one_of(&WORDS) }));
        }
        user.insert("addresses".to_owned(), Value::Array(addresses));
    }
    if chance.percent(55) {
        let mut extension = Map::new();
        for part in ["employeeNumber", "department", "costCenter"] {
            if chance.percent(60) {
                extension.insert(part.to_owned(), json!(chance.one_of(&WORDS)));
            }
        }
        if chance.percent(40) {
            extension.insert("manager".to_owned(), json!({ "value": chance.one_of(&["m1", "m2"]) }));
        }
        if !extension.is_empty() {
            user.insert(ENT.to_owned(), Value::Object(extension));
        }
    }
    Value::Object(user)
}

/// Up to three values with types, all different, one of them primary or none.
fn values_of(chance: &mut Chance, texts: &[&str]) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    let mut has_primary = false;
    for _ in 0..chance.below(4) {
        let mut value = json!({ "value": chance.one_of(texts) });
        if chance.percent(85) {
            value["type"] = json!(chance.one_of(&TYPES));
        }
        if chance.percent(25) {
            value["display"] = json!(chance.one_of(&WORDS));
        }
        if !has_primary && chance.percent(35) {
            value["primary"] = json!(true);
            has_primary = true;
        }
        let is_new =
            values.iter().all(|other| other["value"] != value["value"] || other["type"] != value["type"]);
        if is_new {
            values.push(value);
        }
    }
    values
}

/// The body of a group as a client sends it.
pub fn group(chance: &mut Chance) -> Value {
    let mut members = Vec::new();
    for id in ["u1", "u2", "u3", "u4"] {
        if chance.percent(50) {
            members.push(json!({ "value": id, "type": "User" }));
        }
    }
    let mut group = json!({ "displayName": chance.one_of(&WORDS) });
    if !members.is_empty() {
        group["members"] = Value::Array(members);
    }
    if chance.percent(50) {
        group["externalId"] = json!(chance.one_of(&WORDS));
    }
    group
}

/// A user as it is answered, with everything in it.
pub fn rendered(chance: &mut Chance, number: usize) -> Value {
    let resource = Resource::from_value(ResourceType::User, user(chance))
        .expect("the users here are users of the standard");
    let created_ms = 1_700_000_000_000 + i64::try_from(number).unwrap_or(0) * 86_400_000;
    let id = format!("Id-{number}");
    let location = format!("https://scim.example/v2/Users/{id}");
    let meta =
        Meta { id: &id, created_ms, modified_ms: created_ms + 3_600_500, version: 1, location: &location };
    render(&resource, &meta, &Related { groups: &[], members: &[] }, &Selection::default())
}
