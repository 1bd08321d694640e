//! The history of a user or group: who and which key did what, with the values before and after.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    FederationId, JournalId, KeyId, Millis, RequestId, ResourceId,
    admins::{Admin, Right},
    federations::{Federation, Slug},
    journal::{Entry, Selection},
    usage::UsageRecord,
};

use crate::{
    Cx, Error,
    federations::{find, visible},
};

/// How many changes one page of a history has.
pub const PAGE: i64 = 25;

/// How long a request may be under way before what it changes is written, and how far its id may be ahead of it.
const LATE_MS: Millis = 15 * 60_000;
const NEAR_MS: Millis = 1_000;

/// The most changes of the keys of a request that are looked at for its own, from the request on.
const AROUND: usize = 2_000;

/// The most ids of a change whose names are looked up.
const NAMED: usize = 20;

/// A page of a history.
#[derive(Debug, Clone)]
pub struct History {
    /// Whose directory.
    pub federation: Federation,
    /// The changes, newest first.
    pub entries: Vec<Entry>,
    /// Where the older ones begin.
    pub older: Option<JournalId>,
    /// The present names of those who joined and left, as far as they are told.
    pub names: BTreeMap<String, String>,
    /// Whether the viewer may take a change back.
    pub may_undo: bool,
}

/// The changes of one user or group, newest first, before a place.
///
/// # Errors
/// NotFound when there is no such federation that the viewer may see.
pub async fn of(
    cx: &Cx<Admin>,
    slug: &Slug,
    id: &ResourceId,
    before: Option<&JournalId>,
) -> Result<History, Error> {
    let mut reader = cx.read().await?;
    let federation = find(cx, &mut reader.conn(), slug).await?;
    let mut entries =
        store::journal::of_resource(&mut reader.conn(), &federation.id, id, before, PAGE + 1).await?;
    let has_older = i64::try_from(entries.len()).is_ok_and(|count| count > PAGE);
    if has_older {
        entries.pop();
    }
    let names = names_in(&mut reader.conn(), &federation, &entries).await?;
    Ok(History {
        older: entries.last().filter(|_| has_older).map(|entry| entry.id.clone()),
        may_undo: cx.actor.role.may(Right::RunFederation, Some(&federation.slug)),
        federation,
        entries,
        names,
    })
}

/// The changes that one request made, in order of time, by the records of its usage: of each federation in which it
/// changed something and that the viewer may see.
///
/// # Errors
/// When the database does not answer.
pub async fn of_request(
    cx: &Cx<Admin>,
    id: &RequestId,
    records: &[UsageRecord],
) -> Result<Vec<History>, Error> {
    let mut keys: BTreeMap<&FederationId, BTreeSet<&KeyId>> = BTreeMap::new();
    for record in records {
        if let Some(federation_id) = &record.federation_id {
            keys.entry(federation_id).or_default().insert(&record.key_id);
        }
    }
    let mut reader = cx.read().await?;
    let mut found = Vec::new();
    for federation in visible(cx, &mut reader).await? {
        let Some(keys) = keys.get(&federation.id) else { continue };
        let selection = Selection {
            keys: keys.iter().map(|id| (*id).clone()).collect(),
            from_ms: Some(id.made_ms() - NEAR_MS),
            until_ms: Some(id.made_ms() + LATE_MS),
            ..Selection::default()
        };
        let conn = &mut reader.conn();
        let (mut entries, _) = store::journal::page(conn, &federation.id, &selection, None, AROUND).await?;
        entries.retain(|entry| entry.request_id == id.as_str());
        if entries.is_empty() {
            continue;
        }
        let names = names_in(conn, &federation, &entries).await?;
        let may_undo = cx.actor.role.may(Right::RunFederation, Some(&federation.slug));
        found.push(History { older: None, may_undo, federation, entries, names });
    }
    Ok(found)
}

/// The names of those whom changes mention, some of each.
async fn names_in(
    conn: &mut store::Conn<'_>,
    federation: &Federation,
    entries: &[Entry],
) -> Result<BTreeMap<String, String>, Error> {
    let mut ids: Vec<&str> = entries
        .iter()
        .flat_map(|entry| {
            let some = |ids: &'_ [String]| ids.len().min(NAMED);
            let members = &entry.members;
            let parts = [&members.joined, &members.left, &members.groups];
            parts.map(|ids| ids.get(..some(ids)).unwrap_or_default()).into_iter().flatten()
        })
        .map(String::as_str)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(store::members::names(conn, &federation.id, &ids).await?.into_iter().collect())
}
