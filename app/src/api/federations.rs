//! What the pages of federations load.

use domain::{
    federations::{Federation, Slug},
    usage::UsageRecord,
};
use ops::{
    extensions::ExtensionView, federations::FederationView, gateway::target::TargetView, keys::KeyView,
};

use crate::{error::UiError, ssr::admin_cx};

/// How many requests the page of a federation shows.
const REQUESTS: i64 = 10;

/// The page of one federation.
pub struct FederationPage {
    /// The federation.
    pub view: FederationView,
    /// Its keys, what needs attention first.
    pub keys: Vec<KeyView>,
    /// Its last requests, newest first.
    pub requests: Vec<UsageRecord>,
    /// Where it keeps its users and groups.
    pub target: TargetView,
    /// The schemas that were registered for it.
    pub schemas: Vec<ExtensionView>,
}

/// Every federation that the reader may see, archived last.
///
/// # Errors
/// See [`ops::federations::list`].
pub async fn list() -> Result<Vec<FederationView>, UiError> {
    Ok(ops::federations::list(&admin_cx()?).await?)
}

/// One federation.
///
/// # Errors
/// See [`ops::federations::open`]; a slug that cannot be one is not found.
pub async fn open(slug: &str) -> Result<FederationView, UiError> {
    Ok(ops::federations::open(&admin_cx()?, &parse(slug)?).await?)
}

/// One federation with its keys and last requests.
///
/// # Errors
/// See [`open`].
pub async fn page(slug: &str) -> Result<FederationPage, UiError> {
    let (cx, slug) = (admin_cx()?, parse(slug)?);
    let view = ops::federations::open(&cx, &slug).await?;
    let filter = ops::keys::KeyFilter { federation: Some(slug.clone()), ..Default::default() };
    let keys = ops::keys::list(&cx, &filter).await?;
    let requests = ops::usage::of_federation(&cx, &slug, REQUESTS).await?;
    let target = ops::gateway::target::view(&cx, &slug).await?;
    let schemas = ops::extensions::list(&cx, &slug).await?;
    Ok(FederationPage { view, keys, requests, target, schemas })
}

/// Where a federation keeps its users and groups.
///
/// # Errors
/// See [`open`].
pub async fn target(slug: &str) -> Result<(Federation, TargetView), UiError> {
    let (cx, slug) = (admin_cx()?, parse(slug)?);
    let federation = ops::federations::open(&cx, &slug).await?.federation;
    Ok((federation, ops::gateway::target::view(&cx, &slug).await?))
}

/// A federation and the schemas that were registered for it.
///
/// # Errors
/// See [`open`].
pub async fn schemas(slug: &str) -> Result<(FederationView, Vec<ExtensionView>), UiError> {
    let (cx, slug) = (admin_cx()?, parse(slug)?);
    Ok((ops::federations::open(&cx, &slug).await?, ops::extensions::list(&cx, &slug).await?))
}

fn parse(slug: &str) -> Result<Slug, UiError> {
    Slug::parse(slug).map_err(|_| UiError::not_found("federation"))
}
