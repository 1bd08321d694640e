//! Queries of lists and bodies of searches: nothing panics; numbers stay within their range; strict mode
//! accepts no more than lenient mode and means the same.

use scim::{ListQuery, Reading, ResourceType, Selection, list::MAX_COUNT};
use serde_json::json;

/// See the top of this file.
pub fn check(bytes: &[u8]) {
    let body = json!({
        "userName": "u", "displayName": "d", "id": "1", "name": {"givenName": "G"},
        "emails": [{"value": "a", "type": "work"}], "schemas": ["x"],
    });
    for kind in ResourceType::ALL {
        if let Ok(text) = std::str::from_utf8(bytes) {
            let strict = ListQuery::read(kind, text, &mut Reading::strict());
            let lenient = ListQuery::parse(kind, text);
            match (strict, &lenient) {
                (Ok(strict), Ok(lenient)) => assert_eq!(strict, *lenient),
                (Ok(_), Err(err)) => panic!("strict mode accepts what lenient mode refuses: {err}"),
                (Err(_), _) => {}
            }
            if let Ok(query) = lenient {
                is_in_range(&query);
                let _ = query.selection.apply(kind, body.clone());
            }
            if let Ok(selection) = Selection::parse(Some(text), None) {
                let _ = selection.apply(kind, body.clone());
            }
        }
        if let Ok(query) = ListQuery::from_search(Some(kind), bytes) {
            is_in_range(&query);
        }
    }
    let _ = ListQuery::from_search(None, bytes);
}

fn is_in_range(query: &ListQuery) {
    assert!(query.start_index >= 1 && query.count <= MAX_COUNT);
}
