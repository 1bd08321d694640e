//! The form of an attestation.

use ops::compliance::attestations::Sign;

use super::Values;

/// Reads `/compliance/attestations/new`.
pub fn sign(values: &Values) -> Sign {
    Sign {
        period: values.text("period"),
        text: values.text("text"),
        seen: values.text("seen"),
        is_confirmed: values.text("confirmed") == "yes",
    }
}
