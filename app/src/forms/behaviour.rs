//! The form of the rules of a federation.

use domain::{Invalid, behaviour::Rules};

use super::Values;

/// What it sends: fields of rules by their names, why, and the version that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFields {
    /// Fields and their texts.
    pub fields: Vec<(String, String)>,
    /// Why.
    pub reason: String,
    /// The version of the federation.
    pub version: i64,
}

/// Reads `/federations/{slug}/behaviour`.
///
/// # Errors
/// [`Invalid`] on `version`.
pub fn rules(values: &Values) -> Result<RuleFields, Vec<Invalid>> {
    let mut faults = Vec::new();
    let version = values.whole_number("version", &mut faults);
    let rules = Rules::default();
    let numbers = rules.numbers().into_iter().map(|number| number.field);
    let known = numbers.chain(rules.switches().into_iter().map(|switch| switch.field));
    let sent = known.filter(|field| values.0.contains_key(*field));
    let fields = sent.map(|field| (field.to_owned(), values.text(field))).collect();
    if faults.is_empty() {
        Ok(RuleFields { fields, reason: values.text("reason"), version })
    } else {
        Err(faults)
    }
}
