//! What the pages of rotation load.

use domain::{
    Millis, RotationId,
    federations::{Federation, FederationStatus, Slug},
    rotations::policy::{Effective, RotationDefaults},
};
use ops::{
    keys::{KeyFilter, KeyView},
    policies::PolicyView,
    rotations::{Board, BoardFilter, RotationView},
};

use crate::{error::UiError, ssr::admin_cx};

/// How many hours the lanes show.
const HOURS: i64 = 48;

/// The page of one rotation.
pub struct RotationPage {
    /// The rotation and what is known around it.
    pub view: RotationView,
    /// The requests of the new key by hour.
    pub new_hours: Vec<(Millis, i64)>,
    /// The requests of the old key by hour.
    pub old_hours: Vec<(Millis, i64)>,
}

/// One rotation with the requests of both keys.
///
/// # Errors
/// See [`ops::rotations::open`]; an id that cannot be one is not found.
pub async fn page(id: &str) -> Result<RotationPage, UiError> {
    let cx = admin_cx()?;
    let view = open(id).await?;
    let new_hours = ops::usage::hours_of_key(&cx, &view.rotation.new_key_id, HOURS).await?;
    let old_hours = ops::usage::hours_of_key(&cx, &view.rotation.old_key_id, HOURS).await?;
    Ok(RotationPage { view, new_hours, old_hours })
}

/// One rotation.
///
/// # Errors
/// See [`page`].
pub async fn open(id: &str) -> Result<RotationView, UiError> {
    let id = RotationId::parse(id).ok_or_else(|| UiError::not_found("rotation"))?;
    Ok(ops::rotations::open(&admin_cx()?, &id).await?)
}

/// Everything about rotation that the reader may see.
///
/// # Errors
/// See [`ops::rotations::board`]; a federation that cannot be one narrows nothing.
pub async fn board(federation: Option<&str>) -> Result<Board, UiError> {
    let federation = federation.and_then(|slug| Slug::parse(slug).ok());
    Ok(ops::rotations::board(&admin_cx()?, &BoardFilter { federation }).await?)
}

/// The page of a federation's policy.
pub struct PolicyPage {
    /// The policy.
    pub view: PolicyView,
    /// The keys of the federation.
    pub keys: Vec<KeyView>,
    /// The federations that may be the other half of a pair.
    pub others: Vec<Federation>,
}

/// The policy of a federation.
///
/// # Errors
/// See [`ops::policies::effective`]; a slug that cannot be one is not found.
pub async fn policy(slug: &str) -> Result<PolicyPage, UiError> {
    let cx = admin_cx()?;
    let slug = Slug::parse(slug).map_err(|_| UiError::not_found("federation"))?;
    let view = ops::policies::effective(&cx, &slug).await?;
    let filter = KeyFilter { federation: Some(slug.clone()), ..KeyFilter::default() };
    let keys = ops::keys::list(&cx, &filter).await?;
    let others = ops::federations::list(&cx)
        .await?
        .into_iter()
        .map(|view| view.federation)
        .filter(|other| other.slug != slug && other.status != FederationStatus::Archived)
        .collect();
    Ok(PolicyPage { view, keys, others })
}

/// The page of the installation's policy.
pub struct DefaultsPage {
    /// What holds.
    pub defaults: RotationDefaults,
    /// Its version.
    pub version: i64,
}

/// What holds where a federation says nothing.
///
/// # Errors
/// See [`ops::policies::defaults`].
pub async fn defaults() -> Result<DefaultsPage, UiError> {
    let (defaults, version) = ops::policies::defaults(&admin_cx()?).await?;
    Ok(DefaultsPage { defaults, version })
}

/// The page that rotates a key.
pub struct RotatePage {
    /// The key.
    pub view: KeyView,
    /// The policy that holds.
    pub effective: Effective,
    /// The names of the targets that take its successor, the first first.
    pub targets: Vec<String>,
}

/// A key that is to be rotated.
///
/// # Errors
/// See [`ops::keys::open`].
pub async fn rotate(id: &str) -> Result<RotatePage, UiError> {
    let cx = admin_cx()?;
    let view = crate::api::keys::open(id).await?;
    let slug = &view.federation.slug;
    let effective = ops::policies::effective(&cx, slug).await?.effective;
    let targets =
        ops::deliveries::view(&cx, slug).await?.targets.into_iter().map(|target| target.name).collect();
    Ok(RotatePage { view, effective, targets })
}
