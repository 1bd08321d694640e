//! What the pages of usage load.

use domain::{
    Invalid, RequestId,
    audit::AuditRecord,
    usage::UsageRecord,
    usage::filter::{PARAMETERS, UsageFilter},
};
use ops::{
    findings::FindingView,
    journal::history::{self, History},
    overview::HourCount,
    usage::{Page, live, search, search::search as find},
};

use crate::{
    error::UiError,
    ssr::{admin_cx, query},
    ui::timeline::Known,
};

/// How many records a page shows.
const RECORDS: usize = 50;

/// How many hours the chart has.
pub const HOURS: i64 = 48;

/// The filter of the address; a parameter that cannot be read narrows nothing and is said.
pub fn filter() -> (UsageFilter, Option<Invalid>) {
    let pairs: Vec<(&str, String)> =
        PARAMETERS.into_iter().filter_map(|name| Some((name, query(name)?))).collect();
    match UsageFilter::parse(pairs.iter().map(|(name, value)| (*name, value.as_str()))) {
        Ok(filter) => (filter, None),
        Err(fault) => {
            let rest = pairs.iter().filter(|(name, _)| *name != fault.field);
            let filter = UsageFilter::parse(rest.map(|(name, value)| (*name, value.as_str())));
            (filter.unwrap_or_default(), Some(fault))
        }
    }
}

/// The page of the search.
pub struct UsagePage {
    /// The filter, as it was read.
    pub filter: UsageFilter,
    /// What of it could not be read.
    pub fault: Option<Invalid>,
    /// The records.
    pub page: Page,
    /// Requests by hour, of the federation of the filter or of all.
    pub hours: Vec<HourCount>,
    /// The federations that the reader may see.
    pub known: Known,
}

/// Searches.
///
/// # Errors
/// See [`ops::usage::search()`].
pub async fn list(cursor: Option<&str>) -> Result<UsagePage, UiError> {
    let cx = admin_cx()?;
    let (filter, fault) = filter();
    let page = find(&cx, &filter, cursor, RECORDS).await?;
    let until_ms = filter.to_ms.unwrap_or(i64::MAX).min(cx.now_ms());
    let hours = search::hours(&cx, filter.federation.as_ref(), until_ms, HOURS).await?;
    Ok(UsagePage { filter, fault, page, hours, known: known().await? })
}

/// The page of the live stream.
pub struct LivePage {
    /// What narrows it.
    pub filter: UsageFilter,
    /// The last records, newest first, as far as the page has been made.
    pub records: Vec<UsageRecord>,
    /// Where the stream goes on.
    pub position: String,
    /// The federations that the reader may see.
    pub known: Known,
}

/// The last records, and where the stream goes on.
///
/// # Errors
/// See [`ops::usage::search()`].
pub async fn live_page() -> Result<LivePage, UiError> {
    let cx = admin_cx()?;
    let (mut filter, _) = filter();
    let of_live = filter.parameters();
    let pairs = of_live.iter().filter(|(name, _)| live::PARAMETERS.contains(name));
    filter = UsageFilter::parse(pairs.map(|(name, value)| (*name, value.as_str()))).unwrap_or_default();
    // Before what is read: what comes meanwhile is shown by both, and known by its id.
    let position = live::position(cx.keyward());
    let page = find(&cx, &filter, None, RECORDS).await?;
    Ok(LivePage { filter, records: page.records, position, known: known().await? })
}

/// The page of one request.
pub struct RequestPage {
    /// Its id.
    pub id: RequestId,
    /// Its records: several when it had several operations.
    pub records: Vec<UsageRecord>,
    /// What it left in the audit log.
    pub audit: Vec<AuditRecord>,
    /// What it changed, by federation.
    pub journal: Vec<History>,
    /// Open findings about its keys.
    pub findings: Vec<FindingView>,
    /// The federations that the reader may see.
    pub known: Known,
}

/// One request.
///
/// # Errors
/// Not found when it left nothing that the reader may see.
pub async fn request(id: &str) -> Result<RequestPage, UiError> {
    let cx = admin_cx()?;
    let id = RequestId::parse(id).ok_or_else(|| UiError::not_found("request"))?;
    let records = search::of_request(&cx, &id).await?;
    let audit = search::audit_of_request(&cx, &id).await?;
    if records.is_empty() && audit.is_empty() {
        return Err(UiError::not_found("request"));
    }
    let journal = history::of_request(&cx, &id, &records).await?;
    let mut findings = Vec::new();
    let keys: std::collections::BTreeSet<_> = records.iter().map(|record| record.key_id.clone()).collect();
    for key in keys {
        let wanted = ops::findings::Wanted { key_id: Some(key), ..Default::default() };
        findings.extend(ops::findings::list(&cx, &wanted).await?);
    }
    Ok(RequestPage { id, records, audit, journal, findings, known: known().await? })
}

async fn known() -> Result<Known, UiError> {
    let seen = ops::federations::seen(&admin_cx()?).await?;
    Ok(seen.into_iter().map(|federation| (federation.id.clone(), federation)).collect())
}
