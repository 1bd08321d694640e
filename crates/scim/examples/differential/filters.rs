//! Filters by the grammar of RFC 7644 3.4.2.2, a tenth of them with something that the standard refuses.

use scim::{CompareValue, Filter, ResourceType, matches};
use serde_json::{Value, json};

use crate::{
    chance::Chance,
    people::{MAILS, TYPES, WORDS},
};

/// What an attribute holds, as far as a comparison cares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Text that is compared without its case.
    Text,
    /// Text that is compared as it is.
    Exact,
    Boolean,
    Instant,
}

const ATTRIBUTES: [(&str, Holds); 22] = [
    ("userName", Holds::Text),
    ("displayName", Holds::Text),
    ("nickName", Holds::Text),
    ("title", Holds::Text),
    ("userType", Holds::Text),
    ("locale", Holds::Text),
    ("externalId", Holds::Exact),
    ("id", Holds::Exact),
    ("active", Holds::Boolean),
    ("name.givenName", Holds::Text),
    ("name.familyName", Holds::Text),
    ("emails.value", Holds::Text),
    ("emails.type", Holds::Text),
    ("emails.primary", Holds::Boolean),
    ("phoneNumbers.value", Holds::Text),
    ("roles.value", Holds::Text),
    ("addresses.locality", Holds::Text),
    ("meta.created", Holds::Instant),
    ("meta.lastModified", Holds::Instant),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", Holds::Text),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber", Holds::Text),
    ("urn:ietf:params:scim:schemas:core:2.0:User:title", Holds::Text),
];

const ELEMENTS: [(&str, Holds); 4] =
    [("value", Holds::Text), ("type", Holds::Text), ("primary", Holds::Boolean), ("display", Holds::Text)];

const TEXT_OPS: [&str; 9] = ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"];
const ORDER_OPS: [&str; 6] = ["eq", "ne", "gt", "ge", "lt", "le"];

/// A filter, and what this crate says of it: a list of truths, one for each person, or a keyword.
pub fn case(chance: &mut Chance, people: &[Value]) -> Value {
    let text = expression(chance, 3, &ATTRIBUTES, true);
    let (ours, tree, folded) = match Filter::parse(&text) {
        Err(error) => (keyword(&error), Value::Null, text.clone()),
        Ok(filter) => {
            let folded = fold(&filter, "").to_string();
            let found: Result<Vec<bool>, _> = filter.check(ResourceType::User).and_then(|()| {
                people.iter().map(|person| matches(&filter, ResourceType::User, person)).collect()
            });
            let answer = found.map_or_else(|error| keyword(&error), |found| json!(found));
            (answer, tree_of(&filter), folded)
        }
    };
    json!({ "filter": text, "folded": folded, "ours": ours, "tree": tree })
}

fn keyword(error: &scim::ScimError) -> Value {
    json!(error.scim_type.map_or_else(|| error.status.to_string(), |word| word.as_str().to_owned()))
}

fn expression(chance: &mut Chance, depth: usize, attributes: &[(&str, Holds)], outside: bool) -> String {
    let inner = |chance: &mut Chance| expression(chance, depth - 1, attributes, outside);
    match if depth == 0 { 9 } else { chance.below(12) } {
        0 | 1 => format!("{} {} {}", inner(chance), chance.one_of(&["and", "AND", "And"]), inner(chance)),
        2 | 3 => format!("{} {} {}", inner(chance), chance.one_of(&["or", "OR"]), inner(chance)),
        4 => format!("{} ({})", chance.one_of(&["not", "NOT", "Not"]), inner(chance)),
        5 => format!("({})", inner(chance)),
        6 | 7 if outside => {
            let name = chance.one_of(&["emails", "phoneNumbers", "roles", "Emails"]);
            format!("{name}[{}]", expression(chance, depth - 1, &ELEMENTS, false))
        }
        _ => term(chance, attributes, outside),
    }
}

fn term(chance: &mut Chance, attributes: &[(&str, Holds)], outside: bool) -> String {
    if outside && chance.percent(3) {
        return chance
            .one_of(&[
                "planet eq \"earth\"",
                "planet pr",
                "password eq \"x\"",
                "name eq \"ada\"",
                "emails co \"ADA\"",
                "emails eq \"a@b.org\"",
                "title xx \"ada\"",
                "title eq",
                "title \"ada\"",
                "(title pr",
                "title pr)",
                "emails[type eq \"work\"",
                "active gt true",
                "active co \"t\"",
                "not title pr",
                "title eq ada\"",
                "",
            ])
            .to_owned();
    }
    let (name, holds) = attributes[chance.below(attributes.len())];
    let name = respelled(chance, name);
    if chance.percent(15) {
        return format!("{name} {}", chance.one_of(&["pr", "PR", "Pr"]));
    }
    let (ops, value) = match holds {
        Holds::Text | Holds::Exact => (&TEXT_OPS[..], text_value(chance)),
        Holds::Boolean => (
            if chance.percent(95) { &TEXT_OPS[..2] } else { &TEXT_OPS[..] },
            chance.one_of(&["true", "false"]).to_owned(),
        ),
        Holds::Instant => (&ORDER_OPS[..], instant(chance)),
    };
    let op = chance.one_of(ops);
    let value = if chance.percent(2) { "null".to_owned() } else { value };
    let op = if chance.percent(10) { op.to_uppercase() } else { op.to_owned() };
    format!("{name} {op} {value}")
}

/// Names have no case (RFC 7643 2.1).
fn respelled(chance: &mut Chance, name: &str) -> String {
    match chance.below(20) {
        0 => name.to_uppercase(),
        1 => name.to_lowercase(),
        _ => name.to_owned(),
    }
}

fn text_value(chance: &mut Chance) -> String {
    let text = match chance.below(10) {
        0..=3 => chance.one_of(&WORDS).to_owned(),
        4 | 5 => chance.one_of(&MAILS).to_owned(),
        6 => chance.one_of(&TYPES).to_owned(),
        7 => chance.one_of(&["Id-0", "Id-3", "id-3", "+1", "+", "@", "da"]).to_owned(),
        8 => chance.one_of(&["ADA@EXAMPLE.COM", "ada0", "ADA3", "Grace1", "a", "z"]).to_owned(),
        _ => chance.one_of(&["a\\b", "a\"b", "[x]", "(", " and ", "100%", "_"]).to_owned(),
    };
    Value::from(text).to_string()
}

fn instant(chance: &mut Chance) -> String {
    let day = 14 + chance.below(7);
    let text = match chance.below(5) {
        0 => format!("2023-11-{day}T22:13:20.000Z"),
        1 => format!("2023-11-{day}T22:13:20Z"),
        2 => format!("2023-11-{day}T23:13:20+01:00"),
        3 => format!("2023-11-{day}T22:13:19.9999999Z"),
        _ => format!("2023-11-{day}T00:00:00Z"),
    };
    Value::from(text).to_string()
}

/// The filter with the case taken out of what is compared without it; an oracle that knows no schema reads this.
fn fold(filter: &Filter, parent: &str) -> Filter {
    match filter {
        Filter::Compare { path, op, value } => {
            let full = if parent.is_empty() { path.to_string() } else { format!("{parent}.{path}") };
            let value = match value {
                CompareValue::String(text) if !is_exact(&full) => CompareValue::String(scim::fold_case(text)),
                CompareValue::String(_)
                | CompareValue::Boolean(_)
                | CompareValue::Number(_)
                | CompareValue::Null => value.clone(),
            };
            Filter::Compare { path: path.clone(), op: *op, value }
        }
        Filter::Present(path) => Filter::Present(path.clone()),
        Filter::And(parts) => Filter::And(parts.iter().map(|part| fold(part, parent)).collect()),
        Filter::Or(parts) => Filter::Or(parts.iter().map(|part| fold(part, parent)).collect()),
        Filter::Not(inner) => Filter::Not(Box::new(fold(inner, parent))),
        Filter::Value { path, filter } => {
            Filter::Value { path: path.clone(), filter: Box::new(fold(filter, &path.to_string())) }
        }
    }
}

fn is_exact(path: &str) -> bool {
    let name = path.to_lowercase();
    ["externalid", "id", "meta.created", "meta.lastmodified"].contains(&name.as_str())
}

/// A person with the case taken out of what is compared without it.
pub fn fold_person(person: &Value) -> Value {
    fn folded(value: &Value) -> Value {
        match value {
            Value::String(text) => Value::from(scim::fold_case(text)),
            Value::Array(items) => items.iter().map(folded).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), folded(value))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
    let mut out = serde_json::Map::new();
    for (name, value) in person.as_object().into_iter().flatten() {
        let keep = ["externalId", "id", "meta", "schemas"].contains(&name.as_str());
        out.insert(name.clone(), if keep { value.clone() } else { folded(value) });
    }
    Value::Object(out)
}

/// The tree in a form that another parser can give as well: `["and", …]`, `["eq", "userName", "a"]`.
fn tree_of(filter: &Filter) -> Value {
    match filter {
        Filter::Compare { path, op, value } => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            json!([op.as_str(), path.to_string().to_lowercase(), text])
        }
        Filter::Present(path) => json!(["pr", path.to_string().to_lowercase()]),
        Filter::And(parts) => list("and", parts),
        Filter::Or(parts) => list("or", parts),
        Filter::Not(inner) => json!(["not", tree_of(inner)]),
        Filter::Value { path, filter } => json!(["[]", path.to_string().to_lowercase(), tree_of(filter)]),
    }
}

fn list(word: &str, parts: &[Filter]) -> Value {
    std::iter::once(json!(word)).chain(parts.iter().map(tree_of)).collect()
}
