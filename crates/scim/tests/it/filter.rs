//! Filters: syntax, limits, meaning.

use std::thread;

use scim::{
    AttrPath, CompareOp, CompareValue, Filter, ResourceType, ScimType,
    filter::{MAX_BYTES, MAX_DEPTH, MAX_TERMS},
    matches,
};
use serde_json::{Value, json};

use crate::ENT;

fn user() -> Value {
    json!({
        "schemas": [crate::USER, ENT],
        "id": "2819c223",
        "externalId": "Ext-1",
        "userName": "Bjensen@Example.com",
        "displayName": "Barbara Jensen",
        "name": {"familyName": "Jensen", "givenName": "Barbara"},
        "active": true,
        "title": "100%_\"x\"",
        "emails": [
            {"value": "bjensen@work.com", "type": "work", "primary": true},
            {"value": "babs@home.org", "type": "home"},
        ],
        "roles": [{"value": "admin"}],
        "groups": [{"value": "g1", "display": "Staff"}],
        "x509Certificates": [{"value": "MIIB"}],
        ENT: {"employeeNumber": "701984", "manager": {"value": "m1"}},
        "meta": {
            "resourceType": "User",
            "created": "2020-01-23T04:56:22.000Z",
            "lastModified": "2021-05-13T04:42:34.123Z",
        },
    })
}

fn refused(text: &str) -> String {
    match Filter::parse(text).and_then(|filter| filter.check(ResourceType::User)) {
        Ok(()) => panic!("accepted: {text}"),
        Err(err) => {
            assert_eq!(err.scim_type, Some(ScimType::InvalidFilter), "{text}");
            assert_eq!(err.status, 400, "{text}");
            err.detail
        }
    }
}

fn check(text: &str, expect: bool) {
    let filter = Filter::parse(text).unwrap_or_else(|err| panic!("{text}: {err}"));
    filter.check(ResourceType::User).unwrap_or_else(|err| panic!("{text}: {err}"));
    let result = matches(&filter, ResourceType::User, &user()).unwrap_or_else(|err| panic!("{text}: {err}"));
    assert_eq!(result, expect, "{text}");
    // What is printed means the same.
    let printed = filter.to_string();
    assert_eq!(Filter::parse(&printed).as_ref(), Ok(&filter), "{text} printed as {printed}");
}

#[test]
fn every_operator_means_what_the_standard_says() {
    check(r#"userName eq "bjensen@example.com""#, true);
    check(r#"userName eq "other""#, false);
    check(r#"userName ne "other""#, true);
    check(r#"userName ne "BJENSEN@example.com""#, false);
    check(r#"userName co "JENSEN""#, true);
    check(r#"userName sw "bj""#, true);
    check(r#"userName sw "jensen""#, false);
    check(r#"userName ew ".COM""#, true);
    check(r#"userName gt "a""#, true);
    check(r#"userName ge "bjensen@example.com""#, true);
    check(r#"userName lt "a""#, false);
    check(r#"userName le "bjensen@example.com""#, true);
    check("title pr", true);
    check("nickName pr", false);
    check("name pr", true);
    check("emails pr", true);
    check("phoneNumbers pr", false);
}

#[test]
fn names_operators_and_urns_are_case_insensitive() {
    check(r#"USERNAME EQ "bjensen@example.com""#, true);
    check(r#"DisplayName Sw "barb" AND ActiVe eq true"#, true);
    check("urn:ietf:params:scim:schemas:core:2.0:USER:userName Pr", true);
    check(&format!(r#"{}:employeenumber eq "701984""#, ENT.to_uppercase()), true);
    check(&format!(r#"{ENT}:manager.value eq "m1""#), true);
    check(&format!(r#"{ENT}:manager eq "m1""#), true);
}

#[test]
fn case_exact_attributes_are_compared_as_they_are() {
    check(r#"externalId eq "Ext-1""#, true);
    check(r#"externalId eq "ext-1""#, false);
    check(r#"id eq "2819c223""#, true);
    check(r#"id eq "2819C223""#, false);
}

#[test]
fn and_binds_closer_than_or_and_not_closer_than_and() {
    check("userName pr or nickName pr and nickName pr", true);
    check("(userName pr or nickName pr) and nickName pr", false);
    check("not (nickName pr) and userName pr", true);
    check("not (nickName pr or userName pr)", false);
    check("nickName pr or not(nickName pr)", true);
    check("not (not (not (nickName pr)))", true);
}

#[test]
fn one_value_of_a_multi_valued_attribute_is_enough() {
    check(r#"emails.value eq "babs@home.org""#, true);
    check(r#"emails eq "babs@home.org""#, true);
    check(r#"emails co "home""#, true);
    check(r#"emails.type eq "work" and emails.value co "home""#, true);
    check(r#"groups.value eq "g1""#, true);
    check(r#"roles.value ne "admin""#, false);
    check(r#"emails.value ne "babs@home.org""#, true);
}

#[test]
fn value_path_wants_one_value_that_meets_it_whole() {
    check(r#"emails[type eq "work" and value co "@work.com"]"#, true);
    check(r#"emails[type eq "work" and value co "home"]"#, false);
    check(r#"emails[type eq "work"] and emails[type eq "home"]"#, true);
    check(r#"emails[not (type eq "work")]"#, true);
    check(r#"emails[type eq "other"]"#, false);
    check(r#"phoneNumbers[type eq "work"]"#, false);
    check(r#"emails[primary eq "True"]"#, true);
}

#[test]
fn entra_sub_attribute_after_the_bracket_is_understood() {
    check(r#"emails[type eq "work"].value eq "BJENSEN@work.com""#, true);
    check(r#"emails[type eq "work"].value eq "babs@home.org""#, false);
    check(r#"emails[type eq "home" or type eq "work"].value sw "babs""#, true);
    check(r#"emails[type eq "work"].display pr"#, false);
    let filter = Filter::parse(r#"emails[type eq "work"].value eq "a""#).expect("a filter");
    assert_eq!(filter.to_string(), r#"emails[type eq "work" and value eq "a"]"#);
}

#[test]
fn values_without_quotes_are_understood() {
    check("userName sw B", true);
    check("active eq TRUE", true);
    check("active eq \"true\"", true);
    check("meta.Created gt 2015-10-10T14:38:21.8617979-07:00", true);
    check(&format!("{ENT}:employeeNumber eq 701984"), true);
    check("(ActiVe eq true) and meta.lastmodified ge \"2021-05-13T04:42:34Z\"", true);
}

#[test]
fn instants_are_compared_as_instants() {
    check(r#"meta.created eq "2020-01-22T23:56:22-05:00""#, true);
    check(r#"meta.created lt "2020-01-23T04:56:22.0000001Z""#, true);
    check(r#"meta.lastModified gt "2021-05-13T04:42:34.122Z""#, true);
    check(r#"meta.created ge "2020-01-23""#, true);
    // The plus of a zone that was not percent-encoded arrives as a space.
    check(r#"meta.created eq "2020-01-23T05:56:22 01:00""#, true);
    check(r#"meta.created sw "2020-01""#, true);
    refused(r#"meta.created gt "yesterday""#);
}

#[test]
fn null_means_no_value() {
    check("nickName eq null", true);
    check("userName eq null", false);
    check("userName ne null", true);
    check("nickName ne null", false);
    check(r#"nickName ne "x""#, true);
    refused("userName gt null");
}

#[test]
fn unknown_attribute_has_no_value() {
    check(r#"shoeSize eq "42""#, false);
    check("shoeSize pr", false);
    check("not (shoeSize pr)", true);
    check(r#"employeeNumber eq "701984""#, false);
    check(r#"emails.colour eq "red""#, false);
    check(r#"emails[colour eq "red"]"#, false);
    check(r#"members.value eq "x""#, false);
}

#[test]
fn strings_are_json_strings() {
    check(r#"title eq "100%_\"x\"""#, true);
    check(r#"title co "%_""#, true);
    check(r#"title eq "100__\"x\"""#, false);
    check(r#"userName co "\u0062jensen""#, true);
    check(r#"displayName eq "a) or (b""#, false);
    refused(r#"userName eq "a"#);
    refused(r#"userName eq "\x""#);
    refused("userName eq \"a\nb\"");
    refused(r#"userName eq "a\u0000b""#);
}

#[test]
fn examples_of_the_standard_are_understood() {
    for text in [
        r#"userName eq "bjensen""#,
        r#"name.familyName co "O'Malley""#,
        r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
        r#"title pr and userType eq "Employee""#,
        r#"title pr or userType eq "Intern""#,
        r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#,
        r#"userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")"#,
        r#"userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")"#,
        r#"userType eq "Employee" and (emails.type eq "work")"#,
        r#"userType eq "Employee" and emails[type eq "work" and value co "@example.com"]"#,
        r#"emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
    ] {
        let filter = Filter::parse(text).expect(text);
        assert_eq!(filter.check(ResourceType::User), Ok(()), "{text}");
    }
    check(&format!("schemas eq \"{ENT}\""), true);
    check("schemas eq \"urn:example:none\"", false);
}

#[test]
fn unknown_operator_is_refused() {
    let detail = refused(r#"userName like "b""#);
    assert!(detail.contains("like"), "{detail}");
    refused(r#"userName = "b""#);
    refused(r#"userName "b""#);
}

#[test]
fn bad_syntax_is_refused() {
    for text in [
        "",
        "   ",
        "userName",
        "userName eq",
        "eq",
        "\"a\" eq userName",
        "userName eq \"a\" and",
        "and",
        "userName eq \"a\" userName",
        "(userName pr",
        "userName pr)",
        "()",
        "not userName pr",
        "not ()",
        "emails[type eq \"work\"",
        "emails[]",
        "emails[type eq \"work\")",
        "(emails[type eq \"work\")]",
        "emails.value[type eq \"a\"]",
        "emails[type eq \"work\"].",
        "emails[type eq \"work\"].value",
        "emails[type eq \"work\"].a.b eq \"x\"",
        "emails[emails[type pr]]",
        "[type pr]",
        "userName eq (a)",
        "userName eq and",
        "a..b pr",
        "user name pr",
        "userName eq \"a\" or or userName pr",
        "userName pr pr",
        "emails[type pr] .value eq \"a\"",
        "1a pr",
        "userName eq \"a\" xor userName pr",
        "])(",
    ] {
        refused(text);
    }
}

#[test]
fn order_on_booleans_and_certificates_is_refused() {
    for op in ["gt", "ge", "lt", "le", "co", "sw", "ew"] {
        refused(&format!("active {op} true"));
    }
    for op in ["gt", "ge", "lt", "le"] {
        refused(&format!("x509Certificates.value {op} \"a\""));
        refused(&format!("x509Certificates {op} \"a\""));
    }
    check(r#"x509Certificates.value eq "MIIB""#, true);
}

#[test]
fn values_of_another_type_are_refused() {
    refused(r#"active eq "maybe""#);
    refused("active eq 1");
    refused("meta.created gt 5");
    refused(r#"name eq "Barbara""#);
    refused("emails[primary gt true]");
}

#[test]
fn password_cannot_be_filtered() {
    refused(r#"password eq "secret""#);
    refused(r#"password sw "s""#);
    refused("password pr");
    refused(r#"userName eq "x" and not (password pr)"#);
}

#[test]
fn faults_are_found_in_memory_too() {
    let filter = Filter::parse("active gt true").expect("syntax is fine");
    let err = matches(&filter, ResourceType::User, &user()).expect_err("no order on booleans");
    assert_eq!(err.scim_type, Some(ScimType::InvalidFilter));
}

#[test]
fn groups_have_attributes_of_their_own() {
    let group = json!({"id": "g", "displayName": "Staff", "members": [{"value": "u1"}, {"value": "u2"}]});
    for (text, expect) in [
        (r#"members.value eq "u2""#, true),
        (r#"members eq "u1""#, true),
        (r#"members[value eq "u3"]"#, false),
        (r#"displayName eq "STAFF""#, true),
        (r#"userName eq "x""#, false),
    ] {
        let filter = Filter::parse(text).expect(text);
        assert_eq!(matches(&filter, ResourceType::Group, &group), Ok(expect), "{text}");
    }
}

#[test]
fn the_longest_legal_filter_passes_and_one_more_byte_is_refused() {
    let of_length = |length: usize| format!("userName eq \"{}\"", "a".repeat(length - 14));
    assert_eq!(of_length(MAX_BYTES).len(), MAX_BYTES);
    assert!(Filter::parse(&of_length(MAX_BYTES)).is_ok());
    assert!(refused(&of_length(MAX_BYTES + 1)).contains("8192"));
}

#[test]
fn the_deepest_legal_filter_passes_and_one_more_level_is_refused() {
    let groups = |n: usize| format!("{}title pr{}", "(".repeat(n), ")".repeat(n));
    let negations = |n: usize| format!("{}title pr{}", "not (".repeat(n), ")".repeat(n));
    let brackets = |n: usize| format!("{}emails[type pr]{}", "(".repeat(n - 1), ")".repeat(n - 1));
    for text in [groups(MAX_DEPTH), negations(MAX_DEPTH), brackets(MAX_DEPTH)] {
        assert!(Filter::parse(&text).is_ok(), "{text}");
    }
    for text in [groups(MAX_DEPTH + 1), negations(MAX_DEPTH + 1), brackets(MAX_DEPTH + 1)] {
        assert!(refused(&text).contains("32"), "{text}");
    }
    // Levels that are closed again do not count.
    let wide = vec!["(title pr)"; MAX_DEPTH + 1].join(" or ");
    assert!(Filter::parse(&wide).is_ok());
}

#[test]
fn the_widest_legal_filter_passes_and_one_more_term_is_refused() {
    let of_terms = |n: usize| vec!["title pr"; n].join(" and ");
    assert!(Filter::parse(&of_terms(MAX_TERMS)).is_ok());
    assert!(refused(&of_terms(MAX_TERMS + 1)).contains("100"));
    // The sub-attribute after a bracket is a term as well.
    let inner = vec!["type pr"; MAX_TERMS].join(" or ");
    assert!(Filter::parse(&format!("emails[{inner}]")).is_ok());
    refused(&format!("emails[{inner}].value eq \"a\""));
}

/// As deep, as wide and as long as the limits allow, with a change of kind on every level.
fn worst() -> String {
    let mut text = "emails[type pr or value pr]".to_owned();
    for level in 0..MAX_DEPTH - 1 {
        text = match level % 2 {
            0 => format!("not (title pr and {text} or title eq \"a\")"),
            _ => format!("(title pr or {text} and title eq \"b\")"),
        };
    }
    text
}

#[test]
fn the_worst_legal_filter_lives_on_a_small_stack() {
    let run = || {
        let text = worst();
        let filter = Filter::parse(&text).expect("within the limits");
        filter.check(ResourceType::User).expect("names and types are right");
        matches(&filter, ResourceType::User, &user()).expect("can be evaluated");
        let copy = Filter::parse(&filter.to_string()).expect("prints within the limits");
        assert_eq!(copy, filter);
        drop(filter);
        for text in ["(".repeat(MAX_BYTES), "not (".repeat(1000), "a[".repeat(1000), "a and ".repeat(1000)] {
            assert!(Filter::parse(&text).is_err());
        }
    };
    let thread = thread::Builder::new().stack_size(256 * 1024).spawn(run).expect("a thread");
    thread.join().expect("no overflow");
}

#[test]
fn equalities_are_found_only_when_there_is_nothing_else() {
    let of = |text: &str| {
        let filter = Filter::parse(text).expect(text);
        filter
            .equalities()
            .map(|pairs| pairs.iter().map(|(path, value)| format!("{path}={value}")).collect::<Vec<_>>())
    };
    let some = |pairs: &[&str]| Some(pairs.iter().map(|pair| (*pair).to_owned()).collect::<Vec<_>>());
    assert_eq!(of(r#"userName eq "a""#), some(&[r#"userName="a""#]));
    assert_eq!(of(r#"(userName eq "a")"#), some(&[r#"userName="a""#]));
    assert_eq!(of(r#"userName eq "a" and active eq true"#), some(&[r#"userName="a""#, "active=true"]));
    assert_eq!(
        of(r#"userName eq "a" and (active eq true and title eq "x")"#),
        some(&[r#"userName="a""#, "active=true", r#"title="x""#])
    );
    for text in [
        r#"userName eq "a" or active eq true"#,
        r#"userName co "a""#,
        r#"userName eq "a" and title pr"#,
        r#"not (userName eq "a")"#,
        r#"emails[type eq "work"]"#,
    ] {
        assert_eq!(of(text), None, "{text}");
    }
}

#[test]
fn tree_is_canonical() {
    let term = |name: &str| Filter::Present(AttrPath::parse(name).expect(name));
    assert_eq!(
        Filter::parse("((a pr and (b pr and c pr))) or (d pr or e pr)"),
        Ok(Filter::Or(vec![Filter::And(vec![term("a"), term("b"), term("c")]), term("d"), term("e")]))
    );
    assert_eq!(
        Filter::parse("a eq 1.5"),
        Ok(Filter::Compare {
            path: AttrPath::parse("a").expect("a"),
            op: CompareOp::Eq,
            value: CompareValue::Number(serde_json::Number::from_f64(1.5).expect("finite")),
        })
    );
}
