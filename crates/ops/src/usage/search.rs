//! Searching usage records: a page at a time, newest first, within what the viewer may see.

use std::collections::BTreeSet;

use domain::{
    FederationId, HOUR_MS, Invalid, Millis, RequestId,
    admins::{Admin, Right},
    audit::Action,
    federations::Federation,
    usage::{Decision, UsageRecord, filter::UsageFilter},
};
use serde_json::json;
use store::usage::search::{Budget, Place};

use crate::{
    Cx, Error,
    federations::{find, visible},
    overview::HourCount,
};

/// The most records of one page.
pub const MOST: usize = 500;

/// How much one page may look at: then it says that it stopped, and where to go on.
const BUDGET: Budget = Budget { rows: 8_000, records: 40_000 };

/// The most hours of one chart.
const HOURS: i64 = 24 * 31;

/// A page of records.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Newest first.
    pub records: Vec<UsageRecord>,
    /// Where to go on; `None` when there is nothing older.
    pub next: Option<String>,
    /// Whether it ended because it had looked at as much as one page may: there may be more.
    pub is_cut: bool,
}

/// Finds records, newest first. Who looks for what was done with one person's account is recorded before anything
/// is read.
///
/// # Errors
/// Invalid for a cursor that is none, NotFound for a federation or person that the viewer may not see.
pub async fn search(
    cx: &Cx<Admin>,
    filter: &UsageFilter,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page, Error> {
    let place = cursor.map(read_cursor).transpose()?;
    let mut filter = filter.clone();
    let federations = scope(cx, &mut filter).await?;
    page_of(cx, &federations, &filter, place, limit).await
}

/// The part of [`search`] behind its rights: the next page of what is being exported, too.
pub(crate) async fn page_of(
    cx: &Cx<Admin>,
    federations: &[Option<FederationId>],
    filter: &UsageFilter,
    place: Option<Place>,
    limit: usize,
) -> Result<Page, Error> {
    let mut reader = cx.read().await?;
    if let Some(id) = &filter.request_id {
        let conn = &mut reader.conn();
        let mut records = match federations {
            [federation] => store::usage::search::of_request(conn, federation.as_ref(), id).await?,
            _ => store::usage::search::of_request_of_all(conn, id).await?,
        };
        records.retain(|record| filter.matches(record) && federations.contains(&record.federation_id));
        return Ok(Page { records, next: None, is_cut: false });
    }
    let limit = limit.clamp(1, MOST);
    let conn = &mut reader.conn();
    let found = store::usage::search::page(conn, federations, filter, place.as_ref(), limit, BUDGET).await?;
    Ok(Page { records: found.records, next: found.next.map(|place| written(&place)), is_cut: found.is_cut })
}

/// Which federations are searched (`None`: what presented a key of none), and the id of the person who is looked
/// for. A search for a person is recorded here.
pub(crate) async fn scope(
    cx: &Cx<Admin>,
    filter: &mut UsageFilter,
) -> Result<Vec<Option<FederationId>>, Error> {
    let named = match &filter.federation {
        Some(slug) => Some(find(cx, &mut cx.read().await?.conn(), slug).await?),
        None => None,
    };
    if filter.is_personal() {
        personal(cx, named.as_ref(), filter).await?;
    }
    let mut reader = cx.read().await?;
    if let (Some(name), Some(federation)) = (&filter.person, &named) {
        let id = store::usage::search::person(&mut reader.conn(), &federation.id, name).await?;
        let id = id.ok_or(Error::NotFound("user of this name"))?;
        if filter.resource_id.as_ref().is_some_and(|wanted| *wanted != id) {
            return Err(Invalid::new("person", "it has another id than resource says").into());
        }
        filter.resource_id = Some(id);
    }
    if let Some(federation) = named {
        return Ok(vec![Some(federation.id)]);
    }
    let visible = visible(cx, &mut reader).await?;
    let sees_all = cx.actor.role.may(Right::ReadInstallation, None);
    if let Some(key_id) = &filter.key_id {
        let found = store::keys::with_federation(&mut reader.conn(), key_id).await?;
        return match found {
            Some((_, federation)) => {
                let is_visible = visible.iter().any(|one| one.id == federation.id);
                Ok(is_visible.then_some(Some(federation.id)).into_iter().collect())
            }
            None => Ok(sees_all.then_some(None).into_iter().collect()),
        };
    }
    let mut federations: Vec<Option<FederationId>> =
        visible.into_iter().map(|federation| Some(federation.id)).collect();
    if sees_all {
        federations.push(None);
    }
    Ok(federations)
}

async fn personal(
    cx: &Cx<Admin>,
    federation: Option<&Federation>,
    filter: &UsageFilter,
) -> Result<(), Error> {
    let detail = json!({ "filter": as_object(filter) });
    crate::audit::sensitive_read(cx, Action::UsageSearched, federation, &detail).await
}

/// A filter as JSON, by its parameters.
pub(crate) fn as_object(filter: &UsageFilter) -> serde_json::Map<String, serde_json::Value> {
    filter.parameters().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// The records of one request, which the viewer may see; several when it had several operations.
///
/// # Errors
/// When the database does not answer.
pub async fn of_request(cx: &Cx<Admin>, id: &RequestId) -> Result<Vec<UsageRecord>, Error> {
    let mut filter = UsageFilter { request_id: Some(id.clone()), ..UsageFilter::default() };
    let federations = scope(cx, &mut filter).await?;
    Ok(page_of(cx, &federations, &filter, None, MOST).await?.records)
}

/// How many audit records are looked at for those of one request.
const AROUND: i64 = 2_000;

/// The audit records of one request that the viewer may see, oldest first. The log is in the order of time but for
/// moments, so its place is found by halving.
///
/// # Errors
/// When the database does not answer.
pub async fn audit_of_request(
    cx: &Cx<Admin>,
    id: &RequestId,
) -> Result<Vec<domain::audit::AuditRecord>, Error> {
    let mut reader = cx.read().await?;
    let seen = visible(cx, &mut reader).await?;
    let sees_all = cx.actor.role.may(Right::ReadInstallation, None);
    let from_ms = id.made_ms() - 60_000;
    let low = store::audit::place_before(&mut reader.conn(), from_ms).await?;
    let mut records = store::audit::after(&mut reader.conn(), low, AROUND).await?;
    records.retain(|record| {
        let federation = record.event.federation_id.as_ref();
        let is_seen = sees_all || federation.is_some_and(|id| seen.iter().any(|one| one.id == *id));
        record.event.request_id == id.as_str() && is_seen
    });
    Ok(records)
}

/// Requests by hour of one federation or of all that the viewer may see, oldest first; the last hour is the one that
/// holds `until_ms`.
///
/// # Errors
/// NotFound for a federation that the viewer may not see.
pub async fn hours(
    cx: &Cx<Admin>,
    federation: Option<&domain::federations::Slug>,
    until_ms: Millis,
    hours: i64,
) -> Result<Vec<HourCount>, Error> {
    let hours = hours.clamp(1, HOURS);
    let first = until_ms / HOUR_MS - hours + 1;
    let mut found: Vec<HourCount> = (first..first + hours)
        .map(|hour| HourCount { start_ms: hour * HOUR_MS, allowed: 0, denied: 0, refused: 0, findings: 0 })
        .collect();
    for count in counted(cx, federation, first * HOUR_MS).await? {
        let place = usize::try_from(count.hour - first).ok();
        let hour = place.and_then(|place| found.get_mut(place));
        let Some(hour) = hour else { continue };
        match count.decision {
            Decision::Allowed => hour.allowed += count.count,
            Decision::Denied => hour.denied += count.count,
            Decision::Refused => hour.refused += count.count,
        }
    }
    for (hour, count) in noticed(cx, federation, first * HOUR_MS).await? {
        let place = usize::try_from(hour - first).ok();
        if let Some(hour) = place.and_then(|place| found.get_mut(place)) {
            hour.findings += count;
        }
    }
    Ok(found)
}

/// How many findings came first in each hour, of one federation or of all that the viewer may see.
async fn noticed(
    cx: &Cx<Admin>,
    federation: Option<&domain::federations::Slug>,
    since_ms: Millis,
) -> Result<Vec<(i64, i64)>, Error> {
    let mut reader = cx.read().await?;
    if let Some(slug) = federation {
        let id = find(cx, &mut reader.conn(), slug).await?.id;
        return Ok(store::findings::by_hour(&mut reader.conn(), Some(&id), since_ms).await?);
    }
    if cx.actor.role.may(Right::ReadInstallation, None) {
        return Ok(store::findings::by_hour(&mut reader.conn(), None, since_ms).await?);
    }
    let mut hours = Vec::new();
    for federation in visible(cx, &mut reader).await? {
        hours.extend(store::findings::by_hour(&mut reader.conn(), Some(&federation.id), since_ms).await?);
    }
    Ok(hours)
}

/// The counts of one federation or of all that the viewer may see.
pub(crate) async fn counted(
    cx: &Cx<Admin>,
    federation: Option<&domain::federations::Slug>,
    since_ms: Millis,
) -> Result<Vec<store::usage::HourCount>, Error> {
    let mut reader = cx.read().await?;
    if let Some(slug) = federation {
        let id = find(cx, &mut reader.conn(), slug).await?.id;
        return Ok(store::usage::by_hour_of(&mut reader.conn(), &id, since_ms).await?);
    }
    if cx.actor.role.may(Right::ReadInstallation, None) {
        return Ok(store::usage::by_hour_of_all(&mut reader.conn(), since_ms).await?);
    }
    let seen: BTreeSet<FederationId> =
        visible(cx, &mut reader).await?.into_iter().map(|federation| federation.id).collect();
    let mut counts = store::usage::by_hour(&mut reader.conn(), since_ms).await?;
    counts.retain(|count| count.federation_id.as_ref().is_some_and(|id| seen.contains(id)));
    Ok(counts)
}

/// The short names of the federations that the viewer may see.
///
/// # Errors
/// When the database does not answer.
pub async fn names(cx: &Cx<Admin>) -> Result<std::collections::BTreeMap<FederationId, String>, Error> {
    let found = visible(cx, &mut cx.read().await?).await?;
    Ok(found.into_iter().map(|one| (one.id, one.slug.to_string())).collect())
}

/// A place as text.
fn written(place: &Place) -> String {
    format!("{}.{}", place.before, place.start)
}

/// Reads a cursor.
///
/// # Errors
/// Invalid on `cursor`.
pub(crate) fn read_cursor(text: &str) -> Result<Place, Error> {
    let is_id = |text: &str| {
        let id = text.strip_suffix('~').unwrap_or(text);
        text == "s" || RequestId::parse(id).is_some()
    };
    match text.split_once('.') {
        Some((before, start)) if is_id(before) && is_id(start) => {
            Ok(Place { before: before.to_owned(), start: start.to_owned() })
        }
        _ => Err(Invalid::new("cursor", "this is no cursor of an earlier answer").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let id = |number| RequestId::new(number, [1; 10]).to_string();
        for place in [
            Place::newest(),
            Place { before: id(1), start: id(2) },
            Place { before: format!("{}~", id(1)), start: id(1) },
        ] {
            assert_eq!(read_cursor(&written(&place)).unwrap(), place);
        }
        for text in ["", ".", "s", "x.s", "s.x", "s.s.s", "req_1.req_2"] {
            assert!(read_cursor(text).is_err(), "{text}");
        }
    }
}
