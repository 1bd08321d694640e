//! PATCH: a document and operations, with a zero byte between them. Nothing panics; what comes out is in
//! normal form; the same replacement twice is the same as once; a change that is none says so.

use scim::{Reading, Resource, ResourceType, Verb, patch};

/// See the top of this file.
pub fn check(bytes: &[u8]) {
    let Some(cut) = bytes.iter().position(|byte| *byte == 0) else { return };
    let (document, operations) = bytes.split_at(cut);
    let Ok(operations) = patch::parse(operations.get(1..).unwrap_or_default()) else { return };
    for kind in ResourceType::ALL {
        let Ok(before) = Resource::parse(kind, document) else { continue };
        let Ok(patched) = patch::apply(kind, &before, &operations) else { continue };
        assert_eq!(patched.changed, patched.resource != before);
        is_normal(&patched.resource);
        // What strict mode lets through has the same result.
        let mut strict = Reading::strict();
        if let Ok(other) = patch::apply_with(kind, &before, &operations, &mut strict) {
            assert_eq!(other, patched);
        }
        if let [operation] = operations.as_slice()
            && operation.verb == Verb::Replace
            && let Ok(twice) = patch::apply(kind, &patched.resource, &operations)
        {
            assert_eq!(twice.resource, patched.resource, "{before:?} {operation:?}");
        }
    }
}

/// It parses as what it is, but for `active`, which is true when nothing is said.
fn is_normal(resource: &Resource) {
    let value = resource.as_value();
    assert_eq!(value.get("password"), None);
    assert_eq!(value.get("id"), None);
    let again = Resource::from_value(resource.kind(), value.clone()).expect("what a PATCH leaves is legal");
    let mut again = again.into_value();
    if let (None, Some(object)) = (value.get("active"), again.as_object_mut()) {
        object.remove("active");
    }
    assert_eq!(&again, value);
}
