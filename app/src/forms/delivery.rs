//! Reading the form of a delivery target.

use domain::{Invalid, Secret, TargetId};
use ops::deliveries::NewTarget;

use super::Values;

/// Reads `/federations/{slug}/delivery/new` and `/federations/{slug}/delivery/{id}`. The credential is taken
/// out of the values, so that no page shows it again.
///
/// # Errors
/// [`Invalid`] for a version that is none.
pub fn target(values: &mut Values, id: Option<TargetId>) -> Result<NewTarget, Vec<Invalid>> {
    let mut faults = Vec::new();
    let typed = values.0.remove("credential").unwrap_or_default();
    let credential = Secret::new(typed.into_iter().next().unwrap_or_default());
    let version = match &id {
        Some(_) => values.whole_number("version", &mut faults),
        None => 0,
    };
    let fields = values.0.keys().map(|name| (name.clone(), values.text(name))).collect();
    let new = NewTarget {
        id,
        version,
        connector: values.text("connector"),
        name: values.text("name"),
        fields,
        credential,
    };
    if faults.is_empty() { Ok(new) } else { Err(faults) }
}
