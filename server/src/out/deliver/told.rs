//! JSON with secrets in it, wiped from memory when dropped.

use std::{io, ops::Deref};

use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

/// What goes out or came in: secrets are among its texts. It has no Debug.
pub(super) struct Told(Value);

impl Told {
    pub(super) fn new(value: Value) -> Self {
        Self(value)
    }

    /// Sets a field of an object.
    pub(super) fn set(&mut self, field: &str, text: &str) {
        let Some(fields) = self.0.as_object_mut() else { return };
        if let Some(mut before) = fields.insert(field.to_owned(), Value::String(text.to_owned())) {
            wipe(&mut before);
        }
    }

    /// The bytes that go out, written once into a place of their length, so that none is left behind on the way.
    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut length = Length(0);
        // Texts, numbers and objects with text for names can always be written.
        let _ = serde_json::to_writer(&mut length, &self.0);
        let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
        let _ = serde_json::to_writer(&mut *bytes, &self.0);
        bytes
    }
}

impl Deref for Told {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Overwrites every text; those of the reader go no deeper than its limit of 128.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_is_wiped_and_the_bytes_are_written_once() {
        let mut told = Told::new(json!({ "a": ["one", { "b": "two" }], "n": 1 }));
        told.set("c", "three");
        let bytes = told.bytes();
        assert_eq!(bytes.capacity(), bytes.len());
        let text = std::str::from_utf8(&bytes).unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), *told);
        wipe(&mut told.0);
        assert_eq!(*told, json!({ "a": ["", { "b": "" }], "n": 1, "c": "" }));
    }
}
