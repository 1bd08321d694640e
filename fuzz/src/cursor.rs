//! Cursors: the text that a client brings, and what an opened one holds. Nothing panics; what was not sealed
//! here does not open, nor does what was sealed for somebody else or was changed; what is read of an opened one
//! is written as it was read.

use std::sync::LazyLock;

use ops::{
    testing::{TestEntropy, master_key, same_cursor},
    vault::Vault,
};

static VAULT: LazyLock<Vault> = LazyLock::new(|| Vault::new(&master_key()).expect("keys can be derived"));

/// See the top of this file.
pub fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        // Nothing is sealed for this caller: the fuzzer learns by heart what it has seen sealed for others.
        assert!(VAULT.open_cursor("nobody", "q", text).is_err(), "opened what was never sealed: {text}");
    }
    if let Some(same) = same_cursor(bytes) {
        assert_eq!(same_cursor(same.as_bytes()).as_ref(), Some(&same));
    }
    let Some((&[at_low, at_high, other], plain)) = bytes.split_first_chunk::<3>() else { return };
    let sealed =
        VAULT.seal_cursor(&TestEntropy::default(), "f k", "q", plain).expect("a cursor can be sealed");
    assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{sealed}");
    let opened = VAULT.open_cursor("f k", "q", &sealed).expect("a sealed cursor opens");
    assert_eq!(opened.as_slice(), plain);
    assert!(VAULT.open_cursor("f l", "q", &sealed).is_err(), "opened for another caller");
    assert!(VAULT.open_cursor("f k", "r", &sealed).is_err(), "opened for another query");
    let place = usize::from(u16::from_le_bytes([at_low, at_high])) % sealed.len();
    let mut changed = sealed.as_bytes().to_vec();
    if let Some(byte) = changed.get_mut(place) {
        *byte = other;
    }
    if let Ok(changed) = String::from_utf8(changed)
        && changed != sealed
    {
        assert!(VAULT.open_cursor("f k", "q", &changed).is_err(), "opened what was changed: {changed}");
    }
}
