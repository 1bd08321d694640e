//! `/Schemas` against the tables of RFC 7643 8.7.1.
//!
//! The characteristics of the standard stand in `rfc7643_8_7_1.txt`, one attribute a line, in the order
//! of the standard. Where this server says something else, it stands in [`OUR_OWN`] with the reason.

use std::collections::BTreeMap;

use scim::discovery;
use serde_json::Value;

const STANDARD: &str = include_str!("rfc7643_8_7_1.txt");

/// What is not as in the tables, and why.
const OUR_OWN: [(&str, &str, &str); 3] = [
    (
        "Group displayName",
        "string single required caseInexact readWrite default none",
        "RFC 7643 4.2 requires it, and so does the server; the table of 8.7.1 says otherwise",
    ),
    (
        "Group members.display",
        "string single optional caseInexact readOnly default none",
        "a default sub-attribute of 2.4 that 8.4 shows; the server shows the name that a member has today",
    ),
    (
        "User addresses.primary",
        "boolean single optional - readWrite default -",
        "a default sub-attribute of 2.4 that 8.2 shows and Entra sends",
    ),
];

fn lines(schema: &str, attributes: &Value, prefix: &str, out: &mut BTreeMap<String, String>) {
    for attribute in attributes.as_array().into_iter().flatten() {
        let word = |name: &str| attribute.get(name).and_then(Value::as_str).map(str::to_owned);
        let flag = |name: &str, yes: &str, no: &str| match attribute.get(name).and_then(Value::as_bool) {
            Some(true) => yes.to_owned(),
            Some(false) => no.to_owned(),
            None => "-".to_owned(),
        };
        let name = format!("{prefix}{}", word("name").unwrap_or_default());
        let mut line = [
            word("type").unwrap_or_default(),
            flag("multiValued", "multi", "single"),
            flag("required", "required", "optional"),
            flag("caseExact", "caseExact", "caseInexact"),
            word("mutability").unwrap_or_default(),
            word("returned").unwrap_or_default(),
            word("uniqueness").unwrap_or_else(|| "-".to_owned()),
        ]
        .join(" ");
        for list in ["canonicalValues", "referenceTypes"] {
            let words = attribute.get(list).and_then(Value::as_array);
            for word in words.into_iter().flatten().filter_map(Value::as_str) {
                line.push(' ');
                line.push_str(word);
            }
        }
        out.insert(format!("{schema} {name}"), line);
        lines(schema, &attribute["subAttributes"], &format!("{name}."), out);
    }
}

#[test]
fn schemas_have_the_characteristics_of_the_standard() {
    let mut served = BTreeMap::new();
    let list = discovery::schemas("https://h/v2");
    for schema in list["Resources"].as_array().into_iter().flatten() {
        lines(schema["name"].as_str().expect("a name"), &schema["attributes"], "", &mut served);
    }
    let mut expect: BTreeMap<String, String> = STANDARD
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = [words.next(), words.next()].map(Option::unwrap_or_default).join(" ");
            (name, words.collect::<Vec<_>>().join(" "))
        })
        .collect();
    assert_eq!(expect.len(), 80, "the table is whole");
    for (name, line, reason) in OUR_OWN {
        assert_ne!(
            expect.insert(name.to_owned(), line.to_owned()).as_deref(),
            Some(line),
            "{name}: {reason}"
        );
    }
    assert_eq!(served, expect);
}
