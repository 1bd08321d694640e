//! What the page of expected behaviour loads.

use domain::federations::Slug;
use ops::behaviour::BehaviourView;

use crate::{error::UiError, ssr::admin_cx};

/// What is expected of a federation.
///
/// # Errors
/// See [`ops::behaviour::view`].
pub async fn view(slug: &str) -> Result<BehaviourView, UiError> {
    let slug = Slug::parse(slug).map_err(|_| UiError::not_found("federation"))?;
    Ok(ops::behaviour::view(&admin_cx()?, &slug).await?)
}
