//! What the pages of federations load.

use domain::{
    ResourceId,
    admins::Admin,
    federations::{Federation, Slug},
    usage::{Decision, UsageRecord},
};
use ops::{
    Cx, behaviour::Rhythm, extensions::ExtensionView, federations::FederationView,
    gateway::target::TargetView, journal::ResourceType, keys::KeyView, overview::HourCount,
};

use crate::{error::UiError, ssr::admin_cx};

/// How many requests the page of a federation shows.
const REQUESTS: i64 = 10;

/// How many hours the strip of a federation shows.
const HOURS: i64 = 14 * 24;

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
    /// When it was heard last, and how long it may be silent.
    pub rhythm: Rhythm,
    /// The requests of the last fortnight by hour.
    pub hours: Vec<HourCount>,
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
    let rhythm = ops::behaviour::rhythm(&cx, &slug).await?;
    let hours = ops::usage::search::hours(&cx, Some(&slug), cx.now_ms(), HOURS).await?;
    Ok(FederationPage { view, keys, requests, target, schemas, rhythm, hours })
}

/// How many of the last requests the set-up page looks through for the first work.
const LOOKED_AT: i64 = 200;

/// The page that leads to the first request.
pub struct SetUpPage {
    /// The federation.
    pub view: FederationView,
    /// Its keys, what needs attention first.
    pub keys: Vec<KeyView>,
    /// Its last requests, newest first.
    pub requests: Vec<UsageRecord>,
    /// The oldest write among them, and the name of what it wrote when that is known.
    pub first_write: Option<(UsageRecord, Option<String>)>,
}

/// One federation on its way to the first request.
///
/// # Errors
/// See [`open`].
pub async fn setup(slug: &str) -> Result<SetUpPage, UiError> {
    let (cx, slug) = (admin_cx()?, parse(slug)?);
    let view = ops::federations::open(&cx, &slug).await?;
    let filter = ops::keys::KeyFilter { federation: Some(slug.clone()), ..Default::default() };
    let keys = ops::keys::list(&cx, &filter).await?;
    let requests = ops::usage::of_federation(&cx, &slug, LOOKED_AT).await?;
    let is_write = |record: &&UsageRecord| {
        record.decision == Decision::Allowed && record.status < 300 && record.method != "GET"
    };
    let first_write = match requests.iter().rev().find(is_write) {
        Some(record) => Some((record.clone(), name_of(&cx, &slug, record).await)),
        None => None,
    };
    Ok(SetUpPage { view, keys, requests, first_write })
}

/// The name of what a request wrote, when it is kept here.
async fn name_of(cx: &Cx<Admin>, slug: &Slug, record: &UsageRecord) -> Option<String> {
    let kind = ResourceType::from_endpoint(&record.resource_type)?;
    let id = ResourceId::parse(record.resource_id.as_deref()?)?;
    let one = ops::journal::browse::one(cx, slug, kind, &id, "").await.ok()?;
    one.now.map(|now| now.row.name)
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
