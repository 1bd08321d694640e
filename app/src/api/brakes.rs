//! What the pages of brakes load.

use domain::{CaseId, federations::Slug};
use ops::{
    brakes::{BrakeCase, BrakesView},
    cases::CaseView,
};

use crate::{error::UiError, ssr::admin_cx};

/// The brakes of a federation.
///
/// # Errors
/// See [`ops::brakes::overview`].
pub async fn overview(slug: &str) -> Result<BrakesView, UiError> {
    let slug = Slug::parse(slug).map_err(|_| UiError::not_found("federation"))?;
    Ok(ops::brakes::overview(&admin_cx()?, &slug).await?)
}

/// A case and what is held in it, after a number.
///
/// # Errors
/// See [`ops::brakes::of_case`]; an id that cannot be one is not found.
pub async fn held(id: &str, after: i64) -> Result<(CaseView, BrakeCase), UiError> {
    let (cx, id) = (admin_cx()?, CaseId::parse(id).ok_or_else(|| UiError::not_found("case"))?);
    let case = ops::cases::open(&cx, &id).await?;
    Ok((case, ops::brakes::of_case(&cx, &id, after).await?))
}
