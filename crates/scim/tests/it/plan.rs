//! What a filter says about indexes: never less than it means.

use proptest::prelude::*;
use scim::{
    AttrPath, Extension, Filter, ResourceType, Schemas, Type,
    filter::{Prefix, Range, Term},
    fold_case, matches,
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::ENT;

const HR: &str = "urn:example:params:scim:schemas:extension:hr:2.0:User";

fn schemas() -> Schemas {
    let form = json!({
        "id": HR,
        "name": "HR",
        "attributes": [
            {"name": "badge", "type": "string", "caseExact": true},
            {"name": "level", "type": "integer", "multiValued": true},
            {"name": "desks", "type": "complex", "multiValued": true, "subAttributes": [
                {"name": "value", "type": "string"}, {"name": "floor", "type": "integer"},
            ]},
        ],
    });
    let extension = Extension::parse(ResourceType::User, &form.to_string()).expect("an extension");
    Schemas::with_extensions(vec![extension]).expect("one extension")
}

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|err| panic!("{text}: {err}"))
}

fn equality(kind: ResourceType, text: &str) -> Option<(String, Vec<Term>)> {
    filter(text).as_equality(schemas().of(kind)).map(|equality| (equality.path, equality.values))
}

fn text(text: &str) -> Term {
    Term::Text(text.to_owned())
}

#[test]
fn what_providers_ask_for_is_an_equality() {
    for (given, path, values) in [
        ("USERNAME eq \"Ünder@X\"", "userName", vec![text("ünder@x")]),
        ("externalId eq \"Abc\"", "externalId", vec![text("Abc")]),
        ("id eq \"1\"", "id", vec![text("1")]),
        ("active eq True", "active", vec![Term::Boolean(true)]),
        ("emails eq \"A@b\"", "emails.value", vec![text("a@b")]),
        ("emails.value eq \"A@b\"", "emails.value", vec![text("a@b")]),
        ("emails[value eq \"A@b\"]", "emails.value", vec![text("a@b")]),
        ("emails[type eq \"work\"].value eq \"A@b\"", "emails.value", vec![text("a@b")]),
        ("emails[type eq \"work\" and value eq \"A@b\"]", "emails.value", vec![text("a@b")]),
        ("emails[type eq \"work\"]", "emails.type", vec![text("work")]),
        (
            "userName eq \"a\" or userName eq \"B\" or (userName eq \"c\" and active eq true)",
            "userName",
            vec![text("a"), text("b"), text("c")],
        ),
        ("emails[value eq \"a\" or value eq \"b\"]", "emails.value", vec![text("a"), text("b")]),
        (
            "emails.value eq \"a\" or emails[type eq \"x\"].value eq \"b\"",
            "emails.value",
            vec![text("a"), text("b")],
        ),
    ] {
        assert_eq!(equality(ResourceType::User, given), Some((path.to_owned(), values)), "{given}");
    }
    let employee = format!("{ENT}:employeeNumber");
    assert_eq!(
        equality(ResourceType::User, &format!("{} eq \"A1\"", employee.to_uppercase())),
        Some((employee, vec![text("a1")]))
    );
    let (badge, level) = (format!("{HR}:badge"), format!("{HR}:level"));
    assert_eq!(equality(ResourceType::User, &format!("{badge} eq \"A1\"")), Some((badge, vec![text("A1")])));
    assert_eq!(
        equality(ResourceType::User, &format!("{level} eq 3")),
        Some((level, vec![Term::Number(3.0)]))
    );
    for given in ["members.value eq \"u\"", "members eq \"u\"", "members[value eq \"u\"]"] {
        assert_eq!(
            equality(ResourceType::Group, given),
            Some(("members.value".to_owned(), vec![text("u")])),
            "{given}"
        );
    }
}

#[test]
fn what_is_wider_than_one_attribute_is_none() {
    for given in [
        "userName ne \"a\"",
        "not (userName eq \"a\")",
        "userName eq \"a\" or title eq \"b\"",
        "userName eq \"a\" or title pr",
        "title eq null",
        "nothing eq \"a\"",
        "meta.created eq \"2020-01-01T00:00:00Z\"",
        "members.value eq \"u\"",
        "name eq \"a\"",
        "password eq \"a\"",
        "emails[not (value eq \"a\")]",
    ] {
        assert_eq!(equality(ResourceType::User, given), None, "{given}");
    }
}

#[test]
fn a_start_is_folded_as_it_is_compared() {
    let start = |given: &str| filter(given).as_starts_with(ResourceType::User);
    let prefix = |path: &str, prefix: &str| Some(Prefix { path: path.to_owned(), prefix: prefix.to_owned() });
    assert_eq!(start("userName sw \"Jo\""), prefix("userName", "jo"));
    assert_eq!(start("externalId sw \"Jo\""), prefix("externalId", "Jo"));
    assert_eq!(start("emails[value sw \"Jo\"]"), prefix("emails.value", "jo"));
    assert_eq!(start("emails sw \"Jo\""), prefix("emails.value", "jo"));
    for given in
        ["userName co \"a\"", "userName eq \"a\"", "meta.created sw \"2020\"", "not (userName sw \"a\")"]
    {
        assert_eq!(start(given), None, "{given}");
    }
}

#[test]
fn instants_are_bounds_that_are_wide_enough() {
    let range = |given: &str| filter(given).as_range(ResourceType::User);
    let bounds = |from_ms, to_ms| Some(Range { path: "meta.lastModified".to_owned(), from_ms, to_ms });
    let at = "1970-01-01T00:00:01.0005Z";
    for op in ["gt", "ge"] {
        assert_eq!(range(&format!("meta.lastmodified {op} \"{at}\"")), bounds(Some(1000), None));
    }
    for op in ["lt", "le"] {
        assert_eq!(range(&format!("meta.lastmodified {op} \"{at}\"")), bounds(None, Some(1001)));
    }
    assert_eq!(range(&format!("meta.lastmodified eq \"{at}\"")), bounds(Some(1000), Some(1001)));
    assert_eq!(range("meta.lastmodified eq \"1970-01-01T00:00:01Z\""), bounds(Some(1000), Some(1000)));
    assert_eq!(range("meta.lastmodified lt \"1969-12-31T23:59:59.9999Z\""), bounds(None, Some(0)));
    for given in
        ["meta.lastModified ne \"2020-01-01T00:00:00Z\"", "userName gt \"a\"", "meta.lastModified gt \"x\""]
    {
        assert_eq!(range(given), None, "{given}");
    }
}

#[test]
fn conjuncts_are_flat() {
    let texts = |given: &str| filter(given).conjuncts().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        texts("userName eq \"a\" and (active eq true and (title pr or title eq null))"),
        ["userName eq \"a\"", "active eq true", "title pr or title eq null"]
    );
    assert_eq!(texts("title pr or active eq true"), ["title pr or active eq true"]);
    let nested =
        Filter::And(vec![Filter::And(vec![filter("title pr"), filter("active eq true")]), filter("id pr")]);
    assert_eq!(nested.conjuncts().len(), 3);
}

/// Every value at the end of a canonical path.
fn values<'a>(of: Type<'_>, body: &'a Value, path: &str) -> (Vec<&'a Value>, bool) {
    let resolved = AttrPath::parse(path).and_then(|path| path.resolve(of)).expect("a canonical path");
    let holder = resolved.extension.map_or(Some(body), |extension| body.get(extension.id.as_ref()));
    let value = holder.and_then(|holder| holder.get(resolved.attribute.name.as_ref()));
    let elements: Vec<&Value> = match value {
        Some(Value::Array(elements)) => elements.iter().collect(),
        Some(value) => vec![value],
        None => Vec::new(),
    };
    let parts = elements.into_iter().filter_map(|element| match resolved.sub {
        Some(sub) => element.get(sub.name.as_ref()),
        None => Some(element),
    });
    (parts.collect(), resolved.leaf().case_exact)
}

fn as_compared(value: &Value, case_exact: bool) -> Term {
    match value {
        Value::String(text) if case_exact => Term::Text(text.clone()),
        Value::String(text) => Term::Text(fold_case(text)),
        Value::Bool(value) => Term::Boolean(*value),
        Value::Number(number) => Term::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::Null | Value::Array(_) | Value::Object(_) => panic!("{value} is compared with nothing"),
    }
}

/// Whether the body is inside everything that the conjuncts of a filter describe.
fn is_inside(of: Type<'_>, filter: &Filter, body: &Value) -> Result<(), String> {
    for part in filter.conjuncts() {
        if let Some(equality) = part.as_equality(of) {
            let (found, case_exact) = values(of, body, &equality.path);
            if !found.iter().any(|value| equality.values.contains(&as_compared(value, case_exact))) {
                return Err(format!("{equality:?}"));
            }
        }
        if let Some(start) = part.as_starts_with(of) {
            let (found, case_exact) = values(of, body, &start.path);
            let starts = |value: &&Value| {
                as_compared(value, case_exact).as_str().is_some_and(|text| text.starts_with(&start.prefix))
            };
            if !found.iter().any(starts) {
                return Err(format!("{start:?}"));
            }
        }
        if let Some(range) = part.as_range(of) {
            let (found, _) = values(of, body, &range.path);
            let lies = |value: &&Value| {
                let instant = value.as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
                let ms = instant.map(|instant| instant.unix_timestamp_nanos().div_euclid(1_000_000));
                ms.is_some_and(|ms| {
                    range.from_ms.is_none_or(|from| ms >= i128::from(from))
                        && range.to_ms.is_none_or(|to| ms <= i128::from(to))
                })
            };
            if !found.iter().any(lies) {
                return Err(format!("{range:?}"));
            }
        }
    }
    Ok(())
}

fn word() -> prop::sample::Select<&'static str> {
    prop::sample::select(vec!["a", "A", "ab", "é", "e\u{301}", "E\u{301}b", "1", ""])
}

fn instant() -> prop::sample::Select<&'static str> {
    prop::sample::select(vec![
        "1970-01-01T00:00:00.999Z",
        "1970-01-01T00:00:01Z",
        "1970-01-01T00:00:01.001Z",
        "1970-01-01T02:00:01.0005+02:00",
        "1969-12-31T23:59:59.9999Z",
    ])
}

fn term() -> impl Strategy<Value = String> {
    let level = format!("{HR}:level");
    let text_path = prop::sample::select(vec![
        "userName".to_owned(),
        "externalId".to_owned(),
        "title".to_owned(),
        "emails".to_owned(),
        "emails.value".to_owned(),
        "emails.type".to_owned(),
        "members.value".to_owned(),
        "displayName".to_owned(),
        format!("{ENT}:employeeNumber"),
        format!("{HR}:badge"),
        format!("{HR}:desks"),
    ]);
    let text_op = prop::sample::select(vec!["eq", "eq", "eq", "sw", "sw", "co", "ne", "gt", "le"]);
    let order = prop::sample::select(vec!["eq", "gt", "ge", "lt", "le", "ne"]);
    let inner = (prop::sample::select(vec!["value", "type"]), text_op.clone(), word())
        .prop_map(|(name, op, word)| format!("{name} {op} {}", json!(word)));
    let brackets = (inner.clone(), prop::sample::select(vec![" and ", " or "]), inner.clone());
    prop_oneof![
        5 => (text_path, text_op.clone(), word()).prop_map(|(path, op, word)| format!("{path} {op} {}", json!(word))),
        1 => prop::sample::select(vec!["active eq true", "active ne false", "title eq null", "emails pr"])
            .prop_map(str::to_owned),
        2 => (prop::sample::select(vec!["meta.created", "meta.lastModified"]), order.clone(), instant())
            .prop_map(|(path, op, at)| format!("{path} {op} \"{at}\"")),
        1 => (order, 0..3).prop_map(move |(op, number)| format!("{level} {op} {number}")),
        2 => brackets.prop_map(|(a, join, b)| format!("emails[{a}{join}{b}]")),
        1 => (inner, text_op, word()).prop_map(|(a, op, word)| format!("emails[{a}].value {op} {}", json!(word))),
    ]
}

fn any_filter() -> impl Strategy<Value = String> {
    term().prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" and ")),
            3 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.join(" or ")),
            2 => inner.clone().prop_map(|inner| format!("({inner})")),
            1 => inner.prop_map(|inner| format!("not ({inner})")),
        ]
    })
}

fn body() -> impl Strategy<Value = Value> {
    let email = (word(), prop::sample::select(vec!["a", "A", "work"]))
        .prop_map(|(value, label)| json!({"value": value, "type": label}));
    let names = (word(), word(), word(), any::<bool>());
    let more = (
        prop::collection::vec(email, 0..3),
        prop::collection::vec(0..3, 0..3),
        word(),
        word(),
        instant(),
        instant(),
    );
    (names, more).prop_map(
        |((user_name, external_id, title, active), (emails, level, badge, number, created, modified))| {
            json!({
                "userName": user_name, "externalId": external_id, "title": title, "active": active,
                "displayName": title,
                "emails": emails,
                "members": [{"value": badge}],
                "meta": {"created": created, "lastModified": modified},
                ENT: {"employeeNumber": number},
                HR: {"badge": badge, "level": level, "desks": [{"value": number}]},
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_meets_a_filter_is_inside_its_plan(text in any_filter(), bodies in prop::collection::vec(body(), 1..6)) {
        let Ok(filter) = Filter::parse(&text) else { return Ok(()) };
        let schemas = schemas();
        for of in schemas.types() {
            for body in &bodies {
                if matches(&filter, of, body) == Ok(true) {
                    let inside = is_inside(of, &filter, body);
                    prop_assert!(inside.is_ok(), "{text}: {body} is outside {}", inside.unwrap_err());
                }
            }
        }
    }
}
