//! Queries, searches, pages and orders.

use std::cmp::Ordering;

use scim::{
    Filter, ListQuery, ListResponse, Reading, ResourceType, Schemas, ScimType, Selection, Sort, SortOrder,
    query_selection,
};
use serde_json::{Value, json};

fn query(raw: &str) -> ListQuery {
    ListQuery::parse(ResourceType::User, raw).unwrap_or_else(|err| panic!("{raw}: {err}"))
}

fn refuse(raw: &str, scim_type: ScimType) {
    let err = ListQuery::parse(ResourceType::User, raw).expect_err(raw);
    assert_eq!((err.status, err.scim_type), (400, Some(scim_type)), "{raw}: {err}");
}

#[test]
fn nothing_asked_is_the_first_page_of_everything() {
    let expect = ListQuery {
        filter: None,
        start_index: 1,
        count: 200,
        cursor: None,
        sort: None,
        selection: Selection::Default,
    };
    for raw in [
        "",
        "?",
        "&&",
        "filter=&attributes=&excludedAttributes=&count=&startIndex=&sortBy=",
        "aadOptscim062020",
        "x=1&=2",
    ] {
        assert_eq!(query(raw), expect, "{raw}");
    }
    assert_eq!(ListQuery::default(), expect);
}

#[test]
fn filters_of_providers_are_decoded() {
    let expect = Filter::parse(r#"userName eq "x@y z""#).expect("a filter");
    for raw in [
        "filter=userName%20eq%20%22x%40y%20z%22&startIndex=1&count=100",
        "filter=userName+eq+%22x@y+z%22",
        "?FILTER=userName eq \"x@y z\"",
        "aadOptscim062020&filter=userName+eq+%22x%40y+z%22&excludedAttributes=members",
    ] {
        assert_eq!(query(raw).filter.as_ref(), Some(&expect), "{raw}");
    }
    assert!(query("filter=meta.created gt \"2015-10-10T14:38:21+07:00\"").filter.is_some());
}

#[test]
fn bad_queries_are_refused() {
    refuse("filter=userName%20like%20%22x%22", ScimType::InvalidFilter);
    refuse("filter=active gt true", ScimType::InvalidFilter);
    refuse("filter=password pr", ScimType::InvalidFilter);
    refuse("count=many", ScimType::InvalidValue);
    refuse("startIndex=1.5", ScimType::InvalidValue);
    refuse("count=--1", ScimType::InvalidValue);
    refuse("sortBy=a b", ScimType::InvalidValue);
    refuse("sortBy=userName&sortOrder=up", ScimType::InvalidValue);
    refuse("attributes=userName&excludedAttributes=emails", ScimType::InvalidValue);
    refuse("filter=%ff", ScimType::InvalidValue);
}

#[test]
fn numbers_are_kept_within_their_range() {
    for (raw, start_index, count) in [
        ("startIndex=0&count=0", 1, 0),
        ("startindex=-5&COUNT=-1", 1, 0),
        ("startIndex=7&count=1000", 7, 1000),
        ("count=1001", 1, 1000),
        ("count=99999999999999999999999", 1, 1000),
        ("startIndex=99999999999999999999999", i64::MAX.unsigned_abs(), 200),
        ("startIndex=%201&count=5%20", 1, 5),
        ("count=1&count=2", 1, 1),
    ] {
        let query = query(raw);
        assert_eq!((query.start_index, query.count), (start_index, count), "{raw}");
    }
}

#[test]
fn half_escapes_are_taken_as_they_are() {
    let filter = query("filter=title co \"100%\"").filter.expect("a filter");
    assert_eq!(filter.to_string(), r#"title co "100%""#);
    let only = |names: &[&str]| Selection::Only(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(query("attributes=%4").selection, only(&["%4"]));
    assert_eq!(query("attributes=%zz%41").selection, only(&["%zzA"]));
}

#[test]
fn search_body_says_the_same_as_a_query() {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "attributes": ["displayName", "userName"],
        "filter": "displayName sw \"smith\"",
        "startIndex": 1,
        "count": 10,
        "sortBy": "userName",
        "sortOrder": "descending",
        "domain": null,
    });
    let search =
        ListQuery::from_search(Some(ResourceType::User), body.to_string().as_bytes()).expect("understood");
    assert_eq!(
        search,
        query(
            "attributes=displayName,userName&filter=displayName sw \"smith\"&count=10&sortBy=userName&sortOrder=descending"
        )
    );
    for body in ["[]", "", r#"{"count": "x"}"#, r#"{"attributes": [1]}"#, r#"{"filter": {}}"#] {
        assert!(ListQuery::from_search(Some(ResourceType::User), body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_search_of_the_root_is_one_of_every_type() {
    let filter = |text: &str| ListQuery::from_search(None, json!({"filter": text}).to_string().as_bytes());
    // What one type does not have has no value there (RFC 7644 3.4.2.1).
    for text in ["userName eq \"x\"", "members.value eq \"x\"", "nothing eq \"x\"", "displayName sw \"x\""] {
        assert!(filter(text).is_ok(), "{text}");
    }
    // What a type has must be comparable there.
    for text in ["name eq \"x\"", "active gt true", "password pr", "name ~ \"x\""] {
        assert_eq!(filter(text).expect_err(text).scim_type, Some(ScimType::InvalidFilter), "{text}");
    }
    let standard = Schemas::standard();
    let query = ListQuery::read_root(standard, "filter=userName%20eq%20%22x%22", &mut Reading::strict());
    assert!(query.expect("understood").filter.is_some());
    assert!(ListQuery::read_root(standard, "filter=active%20gt%20true", &mut Reading::lenient()).is_err());
}

#[test]
fn a_cursor_begins_empty_and_holds_what_a_uri_may() {
    assert_eq!(query("cursor").cursor.as_deref(), Some(""));
    assert_eq!(query("cursor=&count=10").cursor.as_deref(), Some(""));
    assert_eq!(query("cursor=aZ09-._~&count=10").cursor.as_deref(), Some("aZ09-._~"));
    for raw in ["cursor=a%20b", "cursor=a/b", "cursor=%C3%BC", "cursor=a=="] {
        refuse(raw, ScimType::InvalidCursor);
    }
}

#[test]
fn a_count_with_a_cursor_is_in_range_or_refused() {
    assert_eq!(query("cursor&count=1000").count, 1000);
    assert_eq!(query("cursor&count=0").count, 0);
    assert_eq!(query("cursor&count=-1").count, 0);
    assert_eq!(query("cursor").count, 200);
    refuse("cursor&count=1001", ScimType::InvalidCount);
    refuse("cursor=abc&count=many", ScimType::InvalidCount);
    // By index a count is lowered (RFC 7644 3.4.2.4).
    assert_eq!(query("count=1001").count, 1000);
}

#[test]
fn a_cursor_wins_over_an_index() {
    let both = query("cursor=abc&startIndex=5");
    assert_eq!((both.cursor.as_deref(), both.start_index), (Some("abc"), 1));
    let mut reading = Reading::strict();
    let err =
        ListQuery::read(ResourceType::User, "cursor=abc&startIndex=5", &mut reading).expect_err("strict");
    assert_eq!(err.scim_type, Some(ScimType::InvalidCursor));
    refuse("cursor=abc&startIndex=x", ScimType::InvalidValue);
}

#[test]
fn selection_alone_is_read_for_single_resources() {
    assert_eq!(
        query_selection("attributes=userName, emails.value"),
        Ok(Selection::Only(vec!["userName".to_owned(), "emails.value".to_owned()]))
    );
    assert_eq!(
        query_selection("excludedattributes=members"),
        Ok(Selection::Except(vec!["members".to_owned()]))
    );
    assert_eq!(query_selection("filter=nonsense ~"), Ok(Selection::Default));
}

#[test]
fn an_empty_page_is_a_list_all_the_same() {
    assert_eq!(
        ListResponse { start_index: Some(1), ..ListResponse::default() }.into_json(),
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": 0,
            "itemsPerPage": 0,
            "startIndex": 1,
            "Resources": [],
        })
    );
}

#[test]
fn a_page_counts_what_it_really_holds() {
    let response = ListResponse {
        total_results: 12,
        start_index: None,
        resources: vec![json!({"id": "a"}), json!({"id": "b"})],
        next_cursor: Some("n".to_owned()),
        previous_cursor: None,
    };
    assert_eq!(
        response.into_json(),
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": 12,
            "itemsPerPage": 2,
            "nextCursor": "n",
            "Resources": [{"id": "a"}, {"id": "b"}],
        })
    );
}

fn order(by: &str, order: SortOrder, mut users: Vec<Value>) -> Vec<String> {
    let sort = Sort { by: scim::AttrPath::parse(by).expect(by), order };
    users.sort_by(|a, b| sort.compare(ResourceType::User, a, b));
    users.iter().filter_map(|user| user.get("id").and_then(Value::as_str)).map(str::to_owned).collect()
}

#[test]
fn orders_follow_the_rules_of_the_attribute() {
    let users = vec![
        json!({"id": "a", "userName": "bob", "emails": [{"value": "z"}, {"value": "a", "primary": true}]}),
        json!({"id": "b", "userName": "Alice", "emails": [{"value": "b"}], "active": true}),
        json!({"id": "c", "userName": "carol", "active": false, "meta": {"created": "2020-01-01T00:00:00Z"}}),
    ];
    assert_eq!(order("userName", SortOrder::Ascending, users.clone()), ["b", "a", "c"]);
    assert_eq!(order("userName", SortOrder::Descending, users.clone()), ["c", "a", "b"]);
    assert_eq!(order("emails", SortOrder::Ascending, users.clone()), ["a", "b", "c"]);
    assert_eq!(order("emails.value", SortOrder::Descending, users.clone()), ["c", "b", "a"]);
    assert_eq!(order("active", SortOrder::Ascending, users.clone()), ["c", "b", "a"]);
    assert_eq!(order("meta.created", SortOrder::Ascending, users.clone()), ["c", "a", "b"]);
    assert_eq!(order("nonsense", SortOrder::Ascending, users), ["a", "b", "c"]);
    let by_id = Sort { by: scim::AttrPath::parse("id").expect("id"), order: SortOrder::Ascending };
    assert_eq!(by_id.compare(ResourceType::User, &json!({"id": "B"}), &json!({"id": "a"})), Ordering::Less);
}
