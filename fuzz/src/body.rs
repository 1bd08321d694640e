//! Bodies of users and groups: nothing panics; what is read is a fixed point of reading; what is rendered
//! reads as the same resource; strict mode accepts no more than lenient mode and means the same.

use scim::{Meta, Reading, Related, Resource, ResourceType, Selection, render};

/// See the top of this file.
pub fn check(bytes: &[u8]) {
    for kind in ResourceType::ALL {
        let strict = Resource::read(kind, bytes, &mut Reading::strict());
        let Ok(resource) = Resource::parse(kind, bytes) else {
            assert!(strict.is_err());
            continue;
        };
        if let Ok(strict) = strict {
            assert_eq!(strict, resource);
        }
        assert_eq!(resource.as_value().get("password"), None);
        let again = Resource::from_value(kind, resource.as_value().clone());
        assert_eq!(again.as_ref(), Ok(&resource));
        let location = format!("https://h/v2{}/1", kind.endpoint());
        let meta = Meta { id: "1", created_ms: 0, modified_ms: 1, version: 1, location: &location };
        let rendered = render(&resource, &meta, &Related::default(), &Selection::Default);
        let body = rendered.to_string();
        let read = Resource::parse(kind, body.as_bytes()).expect("what is answered can be sent back");
        // References are made by the server; the ids that they go with are the client's.
        assert_eq!(without_references(&read), without_references(&resource), "{body}");
    }
}

fn without_references(resource: &Resource) -> serde_json::Value {
    let mut value = resource.as_value().clone();
    let mut open = vec![&mut value];
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Object(object) => {
                object.remove("$ref");
                open.extend(object.values_mut());
            }
            serde_json::Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    value
}
