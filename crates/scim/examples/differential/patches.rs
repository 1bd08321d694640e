//! PATCH requests by RFC 7644 3.5.2, a tenth of them with something that the standard refuses.

use scim::{Resource, ResourceType, patch};
use serde_json::{Value, json};

use crate::{
    chance::Chance,
    people::{self, ENT, MAILS, TYPES, WORDS},
};

/// A resource, a request, and what this crate makes of them: the resource afterwards, or a keyword.
pub fn case(chance: &mut Chance) -> Value {
    let (kind, body) = if chance.percent(75) {
        (ResourceType::User, people::user(chance))
    } else {
        (ResourceType::Group, people::group(chance))
    };
    let resource =
        Resource::from_value(kind, body).expect("the resources here are resources of the standard");
    let count = 1 + chance.below(3);
    let operations: Vec<Value> = (0..count)
        .map(|_| if kind == ResourceType::User { of_user(chance) } else { of_group(chance) })
        .collect();
    let request = json!({ "schemas": [patch::PATCH_URN], "Operations": operations });
    let patched =
        patch::from_value(request).and_then(|operations| patch::apply(kind, &resource, &operations));
    let ours = match patched {
        Ok(patched) => json!({ "resource": patched.resource.as_value(), "changed": patched.changed }),
        Err(error) => {
            json!({ "error": error.scim_type.map_or_else(|| error.status.to_string(), |word| word.as_str().to_owned()) })
        }
    };
    json!({ "kind": kind.to_string(), "resource": resource.as_value(), "operations": operations, "ours": ours })
}

fn of_user(chance: &mut Chance) -> Value {
    match chance.below(20) {
        0..=3 => single(chance),
        4 | 5 => complex(chance),
        6..=8 => whole_list(chance),
        9..=12 => selected(chance),
        13 | 14 => json!({ "op": verb(chance), "value": several(chance) }),
        15 | 16 => extension(chance),
        17 | 18 => json!({ "op": "remove", "path": removable(chance) }),
        _ => refused(chance),
    }
}

fn verb(chance: &mut Chance) -> &'static str {
    chance.one_of(&["add", "replace"])
}

fn word(chance: &mut Chance) -> Value {
    json!(chance.one_of(&WORDS))
}

/// An attribute with one value.
fn single(chance: &mut Chance) -> Value {
    let path = chance.one_of(&[
        "title",
        "displayName",
        "nickName",
        "userType",
        "externalId",
        "active",
        "userName",
        "locale",
    ]);
    let value = if path == "active" { json!(chance.percent(50)) } else { word(chance) };
    json!({ "op": verb(chance), "path": path, "value": value })
}

/// `name`, as a whole or by its parts.
fn complex(chance: &mut Chance) -> Value {
    if chance.percent(50) {
        return json!({ "op": verb(chance), "path": chance.one_of(&["name.givenName", "name.familyName"]), "value": word(chance) });
    }
    let value = json!({ chance.one_of(&["givenName", "familyName", "formatted"]): word(chance) });
    json!({ "op": verb(chance), "path": "name", "value": value })
}

fn element(chance: &mut Chance, list: &str) -> Value {
    let text = match list {
        "emails" => chance.one_of(&MAILS),
        "phoneNumbers" => chance.one_of(&["+1", "+2", "+3"]),
        _ => chance.one_of(&WORDS),
    };
    let mut element = json!({ "value": text, "type": chance.one_of(&TYPES) });
    if chance.percent(25) {
        element["primary"] = json!(true);
    }
    element
}

fn list(chance: &mut Chance) -> &'static str {
    chance.one_of(&["emails", "phoneNumbers", "roles"])
}

/// A multi-valued attribute without a selection.
fn whole_list(chance: &mut Chance) -> Value {
    let name = list(chance);
    let mut values: Vec<Value> = (0..=chance.below(2)).map(|_| element(chance, name)).collect();
    // Two values may not both be primary (RFC 7643 2.4), nor be the same twice.
    for value in values.iter_mut().skip(1).filter_map(Value::as_object_mut) {
        value.remove("primary");
    }
    values.dedup_by(|a, b| a["value"] == b["value"] && a["type"] == b["type"]);
    json!({ "op": verb(chance), "path": name, "value": values })
}

/// Values of a multi-valued attribute that a filter selects.
fn selected(chance: &mut Chance) -> Value {
    let name = list(chance);
    let selection = match chance.below(4) {
        0 => format!(
            "{name}[value eq \"{}\"]",
            if name == "phoneNumbers" { "+1" } else { chance.one_of(&MAILS) }
        ),
        1 => format!("{name}[type eq \"{}\" and value pr]", chance.one_of(&TYPES)),
        _ => format!("{name}[type eq \"{}\"]", chance.one_of(&TYPES)),
    };
    match chance.below(6) {
        0 => json!({ "op": "remove", "path": selection }),
        1 => json!({ "op": "remove", "path": format!("{selection}.display") }),
        2 => json!({ "op": verb(chance), "path": format!("{selection}.display"), "value": word(chance) }),
        // What says nothing of the value itself.
        3 => {
            let value = if chance.percent(50) {
                json!({ "display": word(chance) })
            } else {
                json!({ "primary": true })
            };
            json!({ "op": "replace", "path": selection, "value": value })
        }
        4 => json!({ "op": "replace", "path": selection, "value": element(chance, name) }),
        _ => {
            json!({ "op": "replace", "path": format!("{selection}.value"), "value": element(chance, name)["value"] })
        }
    }
}

/// What stands in a value without a path.
fn several(chance: &mut Chance) -> Value {
    let mut value = json!({ chance.one_of(&["title", "displayName", "nickName"]): word(chance) });
    if chance.percent(40) {
        value["active"] = json!(chance.percent(50));
    }
    if chance.percent(30) {
        value["name"] = json!({ "givenName": word(chance) });
    }
    if chance.percent(30) {
        let name = list(chance);
        value[name] = json!([element(chance, name)]);
    }
    value
}

fn extension(chance: &mut Chance) -> Value {
    match chance.below(5) {
        0 => json!({ "op": "remove", "path": format!("{ENT}:department") }),
        1 => {
            json!({ "op": verb(chance), "path": format!("{ENT}:manager"), "value": { "value": chance.one_of(&["m1", "m2"]) } })
        }
        2 => {
            json!({ "op": verb(chance), "path": format!("{ENT}:manager.value"), "value": chance.one_of(&["m1", "m2"]) })
        }
        _ => {
            json!({ "op": verb(chance), "path": format!("{ENT}:{}", chance.one_of(&["department", "costCenter"])), "value": word(chance) })
        }
    }
}

fn removable(chance: &mut Chance) -> &'static str {
    chance.one_of(&[
        "title",
        "displayName",
        "nickName",
        "active",
        "externalId",
        "name",
        "name.givenName",
        "emails",
        "roles",
    ])
}

fn refused(chance: &mut Chance) -> Value {
    match chance.below(9) {
        0 => json!({ "op": "remove" }),
        1 => json!({ "op": "remove", "path": "userName" }),
        2 => json!({ "op": "replace", "path": "id", "value": "other" }),
        3 => json!({ "op": "add", "path": "planet", "value": "earth" }),
        4 => json!({ "op": "replace", "path": "name.planet", "value": "earth" }),
        5 => json!({ "op": "replace", "path": "emails[type eq", "value": "x" }),
        6 => json!({ "op": "replace", "path": "active", "value": "perhaps" }),
        7 => json!({ "op": "move", "path": "title", "value": "x" }),
        _ => json!({ "op": "replace", "path": "title" }),
    }
}

fn of_group(chance: &mut Chance) -> Value {
    let id = |chance: &mut Chance| chance.one_of(&["u1", "u2", "u3", "u4", "u5"]);
    match chance.below(10) {
        0..=2 => {
            let mut members = vec![json!({ "value": id(chance), "type": "User" })];
            let second = json!({ "value": id(chance), "type": "User" });
            if second != members[0] {
                members.push(second);
            }
            json!({ "op": verb(chance), "path": "members", "value": members })
        }
        3 | 4 => json!({ "op": "add", "path": "members", "value": [{ "value": id(chance), "type": "User" }] }),
        5 | 6 => json!({ "op": "remove", "path": format!("members[value eq \"{}\"]", id(chance)) }),
        7 => json!({ "op": verb(chance), "path": "displayName", "value": word(chance) }),
        8 => json!({ "op": "remove", "path": chance.one_of(&["members", "externalId"]) }),
        _ => chance
            .one_of(&[
                &json!({ "op": "remove", "path": "displayName" }),
                &json!({ "op": "replace", "path": "members[value eq \"nobody\"]", "value": { "value": "u1" } }),
                &json!({ "op": "remove" }),
            ])
            .clone(),
    }
}
