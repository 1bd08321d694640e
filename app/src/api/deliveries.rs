//! What the pages of deliveries load.

use domain::{TargetId, deliveries::Target, federations::Slug};
use ops::deliveries::DeliveryPage;

use crate::{error::UiError, ssr::admin_cx};

/// Where a federation's keys are brought, and what became of it.
///
/// # Errors
/// See [`ops::deliveries::view`]; a slug that cannot be one is not found.
pub async fn page(slug: &str) -> Result<DeliveryPage, UiError> {
    let slug = Slug::parse(slug).map_err(|_| UiError::not_found("federation"))?;
    Ok(ops::deliveries::view(&admin_cx()?, &slug).await?)
}

/// One target among those of its federation.
///
/// # Errors
/// See [`page`]; an id that none of them has is not found.
pub async fn target(slug: &str, id: &str) -> Result<(DeliveryPage, Target), UiError> {
    let page = page(slug).await?;
    let id = TargetId::parse(id);
    let target = page.targets.iter().find(|target| Some(&target.id) == id.as_ref()).cloned();
    target.map(|target| (page, target)).ok_or_else(|| UiError::not_found("delivery target"))
}
