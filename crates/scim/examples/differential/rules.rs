//! What the oracles do otherwise, and which section decides. A rule looks at a case and both answers, never at a number.

use scim::{
    CompareOp::{self, Co, Eq, Ew, Ne, Sw},
    CompareValue, Filter, ResourceType,
};
use serde_json::Value;

/// Every oracle with the kind of case that it answers.
pub const ORACLES: [(&str, &str); 5] = [
    ("scim2-models", "filters"),
    ("scim2-parse-filter", "filters"),
    ("scim2-filter-parser", "filters"),
    ("scim2-models", "patches"),
    ("scim-patch", "patches"),
];

/// Two answers to one question.
pub struct Pair {
    /// Of this crate.
    pub ours: Value,
    /// Of the oracle.
    pub theirs: Value,
}

/// A reason, and when it holds.
type Rule = (&'static str, &'static str, &'static str, fn(&Value, &Pair) -> bool);

const RULES: &[Rule] = &[
    (
        "scim2-models",
        "filters",
        "refuses to compare an e-mail address with what is none; RFC 7643 4.1.2 has a text there",
        |case, pair| {
            is_refused(&pair.theirs)
                && has_term(case, |path, op, value| {
                    ["emails", "emails.value"].contains(&path)
                        && !matches!(op, Co | Sw | Ew)
                        && !value.as_str().is_some_and(|text| text.trim_matches('@').contains('@'))
                })
        },
    ),
    (
        "scim2-models",
        "filters",
        "ne of many values means that none is equal, eq null that one is without; RFC 7644 3.4.2.2 is met by any value",
        |case, _| {
            has_term(case, |path, op, value| {
                is_of_many(path) && (matches!(op, Ne) || matches!(op, Eq) && *value == CompareValue::Null)
            })
        },
    ),
    (
        "scim2-models",
        "filters",
        "lets a password be asked for; RFC 7643 9.2 and RFC 7644 7.5.2 keep it from being found out",
        |case, pair| is_refused(&pair.ours) && mentions(case, "password"),
    ),
    (
        "scim2-models",
        "filters",
        "compares an object that has no value of its own; RFC 7644 3.4.2.2 wants a sub-attribute named",
        |case, pair| is_refused(&pair.ours) && has_term(case, |path, _, _| path == "name"),
    ),
    (
        "scim2-models",
        "filters",
        "has an order, or a part, of null; RFC 7644 3.4.2.2 has none",
        |case, pair| {
            is_refused(&pair.ours)
                && has_term(case, |_, op, value| *value == CompareValue::Null && !matches!(op, Eq | Ne))
        },
    ),
    (
        "scim2-parse-filter",
        "filters",
        "knows no types: what RFC 7644 3.4.2.2, table 3, refuses is compared as text",
        |case, pair| {
            is_refused(&pair.ours)
                && parsed(case).is_some_and(|filter| filter.check(ResourceType::User).is_err())
        },
    ),
    (
        "scim2-parse-filter",
        "filters",
        "an attribute without a value meets nothing, not even ne or null; RFC 7643 2.5 makes null and absent one",
        |case, _| has_term(case, |_, op, value| matches!(op, Ne) || *value == CompareValue::Null),
    ),
    (
        "scim2-parse-filter",
        "filters",
        "compares instants as text; RFC 7644 3.4.2.2 compares them in time",
        |case, _| {
            has_term(case, |path, _, value| {
                path.starts_with("meta.") && !value.as_str().is_some_and(|text| text.contains(".000"))
            })
        },
    ),
    (
        "scim2-parse-filter",
        "filters",
        "an attribute that is named without its value is an object; RFC 7643 2.4 means the value",
        |case, _| has_term(case, |path, _, _| path == "emails"),
    ),
    (
        "scim2-parse-filter",
        "filters",
        "knows a URN as a name only; RFC 7644 3.10 lets a core attribute have one",
        |case, _| mentions(case, "core:2.0:user:"),
    ),
    (
        "scim2-parse-filter",
        "filters",
        "what is in brackets is met by several values together; RFC 7644 3.4.2.2 wants one value that meets all of it",
        |case, _| parsed(case).is_some_and(|filter| has_logic_in_brackets(&filter)),
    ),
    (
        "scim2-parse-filter",
        "filters",
        "reads not without brackets; RFC 7644 3.4.2.2, figure 1, has them",
        |case, pair| is_refused(&pair.ours) && mentions(case, "not title"),
    ),
    (
        "scim2-filter-parser",
        "filters",
        "reads and and or from left to right; RFC 7644 3.4.2.2 binds and first",
        |case, _| mentions(case, " and ") && mentions(case, " or "),
    ),
    (
        "scim2-filter-parser",
        "filters",
        "knows no escapes in a text; RFC 7644 3.4.2.2 takes texts from JSON",
        |case, _| mentions(case, "\\"),
    ),
    (
        "scim2-models",
        "patches",
        "makes a value of its filter where none is selected; RFC 7644 3.5.2.3 has a failure with noTarget there",
        |case, pair| pair.ours.is_string() && has_op(case, |op| op["op"] == "replace" && selects_whole(op)),
    ),
    (
        "scim2-models",
        "patches",
        "merges a new value into a selected one; RFC 7644 3.5.2.3 puts it in its place",
        |case, _| {
            has_op(case, |op| {
                op["op"] == "replace" && selects_whole(op) && op["value"].get("value").is_some()
            })
        },
    ),
    (
        "scim2-models",
        "patches",
        "adds a value of the same type and value again; RFC 7643 2.4 has each pair once",
        |_, pair| repeats_a_pair(&pair.theirs),
    ),
    (
        "scim2-models",
        "patches",
        "takes a replacement without a value for a removal; RFC 7644 3.5.2.3 puts a value in the place of another",
        |case, pair| {
            pair.ours.is_string() && has_op(case, |op| op["op"] == "replace" && op.get("value").is_none())
        },
    ),
    (
        "scim2-models",
        "patches",
        "has another word for an operation that is none; RFC 7644 3.12, table 9, calls a body of the wrong form invalidSyntax",
        |case, pair| pair.theirs == "invalidValue" && has_op(case, |op| op["op"] == "move"),
    ),
    (
        "scim2-models",
        "patches",
        "takes two texts for one that differ in their case alone; RFC 7644 3.5.2.1 adds what is not there yet",
        |_, pair| differ_in_case(&pair.ours),
    ),
    (
        "scim2-models",
        "patches",
        "calls a new value that its filter would not select invalidValue; RFC 7644 3.5.2.3 has noTarget where nothing is selected",
        |case, pair| {
            (&pair.ours, &pair.theirs) == (&Value::from("noTarget"), &Value::from("invalidValue"))
                && has_op(case, |op| path_of(op).contains("[value eq ") && path_of(op).ends_with("].value"))
        },
    ),
    (
        "scim-patch",
        "patches",
        "takes a replacement without a value; RFC 7644 3.5.2.3 puts a value in the place of another",
        |case, pair| {
            pair.ours.is_string() && has_op(case, |op| op["op"] == "replace" && op.get("value").is_none())
        },
    ),
    (
        "scim-patch",
        "patches",
        "selects by text as it is; RFC 7643 2.2 takes the case out unless caseExact says otherwise",
        |case, _| has_op(case, |op| path_of(op).contains("[value eq ")),
    ),
    (
        "scim-patch",
        "patches",
        "refuses to remove what is not there; RFC 7644 3.5.2.2 says nothing of a failure",
        |case, pair| {
            pair.theirs.is_string() && has_op(case, |op| op["op"] == "remove" && path_of(op).contains('['))
        },
    ),
    (
        "scim-patch",
        "patches",
        "has one word for a malformed path and a malformed body; RFC 7644 3.12, table 9, has two",
        |case, pair| pair.theirs == "invalidSyntax" && has_op(case, |op| path_of(op).ends_with(" eq")),
    ),
    (
        "scim-patch",
        "patches",
        "adds a value of the same type and value again; RFC 7643 2.4 has each pair once",
        |_, pair| repeats_a_pair(&pair.theirs),
    ),
    (
        "scim-patch",
        "patches",
        "knows no schema: what RFC 7643 makes required, read-only, of a type or unknown, is all the same to it",
        |case, pair| pair.ours.is_string() && has_op(case, is_against_the_schema),
    ),
    (
        "scim-patch",
        "patches",
        "calls it invalidSyntax when nothing is selected; RFC 7644 3.5.2.3 has noTarget",
        |case, pair| {
            pair.theirs == "invalidSyntax" && has_op(case, |op| op["op"] == "replace" && selects_whole(op))
        },
    ),
    (
        "scim-patch",
        "patches",
        "merges a new value into a selected one; RFC 7644 3.5.2.3 puts it in its place",
        |case, _| {
            has_op(case, |op| {
                op["op"] == "replace" && selects_whole(op) && op["value"].get("value").is_some()
            })
        },
    ),
    (
        "scim-patch",
        "patches",
        "keeps the old primary value beside the new one; RFC 7644 3.5.2 clears it",
        |case, _| has_op(case, |op| op["value"].to_string().contains("\"primary\":true")),
    ),
    (
        "scim-patch",
        "patches",
        "replaces a complex attribute whole when no path is given; RFC 7644 3.5.2.1 and 3.5.2.3 set the sub-attributes that are named",
        |case, _| has_op(case, |op| op["path"].is_null() && op["value"].get("name").is_some()),
    ),
];

/// The tree of the filter of a case.
fn parsed(case: &Value) -> Option<Filter> {
    Filter::parse(case["filter"].as_str()?).ok()
}

/// Whether one comparison is of this kind; its path in lower case, with that of the brackets around it.
fn has_term(case: &Value, is: impl Fn(&str, CompareOp, &CompareValue) -> bool + Copy) -> bool {
    fn walk(
        filter: &Filter,
        parent: &str,
        is: impl Fn(&str, CompareOp, &CompareValue) -> bool + Copy,
    ) -> bool {
        match filter {
            Filter::Compare { path, op, value } => is(&format!("{parent}{path}").to_lowercase(), *op, value),
            Filter::Present(_) => false,
            Filter::And(parts) | Filter::Or(parts) => parts.iter().any(|part| walk(part, parent, is)),
            Filter::Not(inner) => walk(inner, parent, is),
            Filter::Value { path, filter } => walk(filter, &format!("{path}."), is),
        }
    }
    parsed(case).is_some_and(|filter| walk(&filter, "", is))
}

/// Whether a path names one of several values.
fn is_of_many(path: &str) -> bool {
    ["emails", "phonenumbers", "roles", "addresses"].iter().any(|name| path.starts_with(name))
}

/// Whether there is an `and` or a `not` in the brackets of a value path.
fn has_logic_in_brackets(filter: &Filter) -> bool {
    fn has_logic(filter: &Filter) -> bool {
        match filter {
            Filter::And(_) | Filter::Not(_) => true,
            Filter::Or(parts) => parts.iter().any(has_logic),
            Filter::Compare { .. } | Filter::Present(_) | Filter::Value { .. } => false,
        }
    }
    match filter {
        Filter::Compare { .. } | Filter::Present(_) => false,
        Filter::And(parts) | Filter::Or(parts) => parts.iter().any(has_logic_in_brackets),
        Filter::Not(inner) => has_logic_in_brackets(inner),
        Filter::Value { filter, .. } => has_logic(filter),
    }
}

/// Whether one operation is of this kind.
fn has_op(case: &Value, is: impl Fn(&Value) -> bool) -> bool {
    case["operations"].as_array().into_iter().flatten().any(is)
}

fn path_of(operation: &Value) -> &str {
    operation["path"].as_str().unwrap_or_default()
}

/// The multi-valued attributes of a resource.
fn lists(resource: &Value) -> impl Iterator<Item = &Vec<Value>> {
    resource.as_object().into_iter().flat_map(|members| members.values()).filter_map(Value::as_array)
}

/// Whether a resource has two values with the same type and value in one attribute.
fn repeats_a_pair(resource: &Value) -> bool {
    lists(resource).any(|list| {
        let pairs: Vec<_> = list.iter().map(|value| (&value["type"], &value["value"])).collect();
        pairs.iter().enumerate().any(|(index, pair)| pairs[..index].contains(pair))
    })
}

/// Whether a resource has two values in one attribute that are the same but for their case.
fn differ_in_case(resource: &Value) -> bool {
    lists(resource).any(|list| {
        let texts: Vec<_> =
            list.iter().map(|value| (&value["type"], value["value"].to_string().to_lowercase())).collect();
        texts.iter().enumerate().any(|(index, text)| texts[..index].contains(text))
    })
}

/// `emails[type eq "work"]`, without a sub-attribute behind it.
fn selects_whole(operation: &Value) -> bool {
    path_of(operation).ends_with(']')
}

fn is_against_the_schema(operation: &Value) -> bool {
    let path = path_of(operation);
    ["planet", "name.planet", "id"].contains(&path)
        || operation["value"] == "perhaps"
        || operation["op"] == "remove" && ["userName", "displayName"].contains(&path)
}

/// Whether a filter has this text, in any case.
fn mentions(case: &Value, text: &str) -> bool {
    case["filter"].as_str().is_some_and(|filter| filter.to_lowercase().contains(text))
}

fn is_refused(answer: &Value) -> bool {
    answer == "invalidFilter"
}

/// The reasons for one oracle.
pub fn of<'a>(oracle: &'a str, subject: &'a str) -> impl Iterator<Item = &'static str> + 'a {
    RULES.iter().filter(move |rule| rule.0 == oracle && rule.1 == subject).map(|rule| rule.2)
}

/// The reason for a difference, if there is one.
pub fn explanation(oracle: &str, subject: &str, case: &Value, pair: &Pair) -> Option<&'static str> {
    RULES.iter().find(|rule| rule.0 == oracle && rule.1 == subject && rule.3(case, pair)).map(|rule| rule.2)
}

/// The answers of both to one line.
pub fn pairs(oracle: &str, subject: &str, case: &Value, answer: &Value) -> Vec<Pair> {
    let pair = |ours: Value, theirs: Value| Pair { ours, theirs };
    match (oracle, subject) {
        // A tree, or nothing for what it does not read.
        ("scim2-filter-parser", _) => vec![pair(case["tree"].clone(), answer.clone())],
        (_, "filters") => {
            let list = |value: &Value| value.as_array().cloned();
            match (list(&case["ours"]), list(answer)) {
                (Some(ours), Some(theirs)) => {
                    ours.into_iter().zip(theirs).map(|(ours, theirs)| pair(ours, theirs)).collect()
                }
                _ => vec![pair(case["ours"].clone(), answer.clone())],
            }
        }
        _ => {
            // Of two faults in one request either may be named.
            let is_single = case["operations"].as_array().is_some_and(|operations| operations.len() == 1);
            let result = |answer: &Value| {
                let word = &answer["error"];
                if word.is_null() {
                    comparable(&answer["resource"])
                } else if is_single {
                    word.clone()
                } else {
                    Value::from("refused")
                }
            };
            vec![pair(result(&case["ours"]), result(answer))]
        }
    }
}

/// A resource without what says nothing: `schemas`, the order of values (RFC 7643 2.4), `primary` that is false, what
/// is null or empty (RFC 7643 2.5).
fn comparable(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(comparable).filter(|item| !item.is_null()).collect();
            items.sort_by_key(ToString::to_string);
            if items.is_empty() { Value::Null } else { Value::Array(items) }
        }
        Value::Object(members) => {
            let members: serde_json::Map<String, Value> = members
                .iter()
                .filter(|(name, value)| {
                    *name != "schemas" && !(*name == "primary" && **value == Value::Bool(false))
                })
                .map(|(name, value)| (name.clone(), comparable(value)))
                .filter(|(_, value)| !value.is_null())
                .collect();
            if members.is_empty() { Value::Null } else { Value::Object(members) }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A case as a person reads it.
pub fn shown(case: &Value) -> String {
    match case.get("filter") {
        Some(filter) => filter.to_string(),
        None => format!("{} of {}", case["operations"], case["resource"]),
    }
}
