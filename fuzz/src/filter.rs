//! Filters: no text panics; what is read prints as text that reads as the same tree; what was checked is
//! evaluated without a fault.

use std::sync::LazyLock;

use scim::{Filter, ResourceType, matches};
use serde_json::{Value, json};

/// A resource with something for most comparisons.
static RESOURCE: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "id": "1", "externalId": "E", "userName": "Ann", "displayName": "a", "active": true, "title": "",
        "name": {"givenName": "G", "familyName": "ü"},
        "emails": [{"value": "a@b", "type": "work", "primary": true}, {"value": "c@d", "type": "home"}],
        "members": [{"value": "a"}, {"value": "b", "type": "Group"}],
        "meta": {"created": "2020-01-23T04:56:22.000Z", "lastModified": "2021-05-13T04:42:34.123Z"},
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"value": "m"}, "department": "d"},
    })
});

/// See the top of this file.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(filter) = Filter::parse(text) else { return };
    let printed = filter.to_string();
    match Filter::parse(&printed) {
        Ok(again) => assert_eq!(again, filter, "{printed}"),
        // Quotes around a bare word and escapes make it longer than what was written.
        Err(err) => assert!(printed.len() > scim::filter::MAX_BYTES, "{printed}: {err}"),
    }
    for kind in ResourceType::ALL {
        if filter.check(kind).is_ok() {
            assert!(matches(&filter, kind, &RESOURCE).is_ok(), "{printed}");
        }
    }
}
