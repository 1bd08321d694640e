//! What the first page loads.

use ops::overview::Overview;

use crate::{error::UiError, ssr::admin_cx};

/// The overview of what the reader may see.
///
/// # Errors
/// See [`ops::overview::open`].
pub async fn open() -> Result<Overview, UiError> {
    Ok(ops::overview::open(&admin_cx()?).await?)
}
