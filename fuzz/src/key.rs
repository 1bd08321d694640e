//! The text of a key: nothing panics; what is read is one whole key, and it is found in a text and masked.
//!
//! No chance finds a checksum, so a key is composed from the input, and one of its characters is changed.

use domain::{KeyId, keys};

/// See the top of this file.
pub fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_text(text);
    }
    let Some((chance, rest)) = bytes.split_first_chunk::<32>() else { return };
    let Some((id_chance, rest)) = rest.split_first_chunk::<10>() else { return };
    let Some((&[at_low, at_high, other], _)) = rest.split_first_chunk::<3>() else { return };
    let id = KeyId::new(1_767_225_600_000, *id_chance);
    let key = keys::compose(&id, chance);
    let key = key.expose();
    check_text(key);
    assert!(keys::parse(key).is_ok_and(|read| read.id == id), "a composed key is read");
    let place = usize::from(u16::from_le_bytes([at_low, at_high])) % key.len();
    let mut changed = key.as_bytes().to_vec();
    if let Some(byte) = changed.get_mut(place) {
        *byte = other;
    }
    if let Ok(changed) = String::from_utf8(changed)
        && changed != key
    {
        assert!(keys::parse(&changed).is_err(), "a key with one wrong character is refused");
    }
}

fn check_text(text: &str) {
    let masked = keys::masked(text);
    assert!(!keys::is_in(&masked), "{masked}");
    if let Ok(key) = keys::parse(text) {
        assert_eq!(key.text, text);
        assert!(text.starts_with(keys::KEY_PREFIX));
        assert!(keys::is_in(text));
        assert!(keys::is_in(&format!("é {text} {text}")));
    }
}
