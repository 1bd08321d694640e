//! Paths of PATCH operations and of attributes: no text panics; what is read prints as text that reads as
//! the same path.

use scim::{AttrPath, PatchPath, ResourceType};

/// See the top of this file.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(path) = PatchPath::parse(text) {
        let printed = path.to_string();
        match PatchPath::parse(&printed) {
            Ok(again) => assert_eq!(again, path, "{printed}"),
            Err(err) => assert!(printed.len() > scim::filter::MAX_BYTES, "{printed}: {err}"),
        }
    }
    if let Some(path) = AttrPath::parse(text) {
        assert_eq!(path.to_string(), text);
        for kind in ResourceType::ALL {
            // The canonical name means the same attribute.
            if let Some(canonical) = path.canonical(kind) {
                assert!(path.is(&canonical), "{text} {canonical}");
                let again = AttrPath::parse(&canonical).and_then(|path| path.canonical(kind));
                assert_eq!(again.as_deref(), Some(canonical.as_str()));
            }
        }
    }
}
