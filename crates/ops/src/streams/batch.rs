//! The next records of a stream, from its place.

use std::collections::BTreeMap;

use domain::{
    FederationId, Millis,
    exports::{
        Format,
        stream::{self, Carried, Lost, Streamed},
    },
    usage::UsageRecord,
};
use store::{Conn, Reader, streams::StreamPlace};

use crate::Error;

/// The most bytes of one batch, but for a single record that is larger.
const BYTES: usize = 512 * 1024;

/// The next batch, and the place behind it.
pub(super) struct Due {
    pub(super) records: Vec<Streamed>,
    /// What the one record of the batch says to be lost.
    pub(super) lost: Option<Lost>,
    /// The place, and how many records of the next seal.
    pub(super) to: (i64, i64),
}

/// The place behind everything that is there.
pub(super) async fn end(conn: &mut Conn<'_>, carried: Carried) -> Result<i64, Error> {
    Ok(match carried {
        Carried::Audit => store::audit::head(conn).await?.seq,
        Carried::Usage => store::seals::last(conn).await?,
    })
}

/// What comes next; `None` when nothing does.
pub(super) async fn next(
    reader: &mut Reader,
    carried: Carried,
    place: &StreamPlace,
    format: Format,
    now_ms: Millis,
    most: usize,
) -> Result<Option<Due>, Error> {
    // Held still: retention may be at work.
    let mut view = reader.view().await?;
    let conn = &mut view.conn();
    match carried {
        Carried::Audit => audit(conn, place, format, most).await,
        Carried::Usage => usage(conn, place, format, now_ms, most).await,
    }
}

/// Federations by their short names.
async fn names(conn: &mut Conn<'_>) -> Result<BTreeMap<FederationId, String>, Error> {
    let federations = store::federations::list(conn).await?;
    Ok(federations.into_iter().map(|one| (one.id, one.slug.to_string())).collect())
}

fn name<'a>(names: &'a BTreeMap<FederationId, String>, id: Option<&FederationId>) -> Option<&'a str> {
    id.and_then(|id| names.get(id)).map(String::as_str)
}

async fn audit(
    conn: &mut Conn<'_>,
    place: &StreamPlace,
    format: Format,
    most: usize,
) -> Result<Option<Due>, Error> {
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let found = store::audit::after(conn, place.place, limit).await?;
    if found.is_empty() {
        return Ok(None);
    }
    let names = names(conn).await?;
    let (mut records, mut bytes, mut last) = (Vec::new(), 0, place.place);
    for record in &found {
        let one = stream::audit(record, name(&names, record.event.federation_id.as_ref()), format);
        bytes += one.json.len();
        if bytes > BYTES && !records.is_empty() {
            break;
        }
        records.push(one);
        last = record.seq;
    }
    Ok(Some(Due { records, lost: None, to: (last, 0) }))
}

async fn usage(
    conn: &mut Conn<'_>,
    place: &StreamPlace,
    format: Format,
    now_ms: Millis,
    most: usize,
) -> Result<Option<Due>, Error> {
    let next = store::seals::after(conn, place.place, 1).await?.pop();
    let until = next.as_ref().map_or(i64::MAX, |seal| seal.id);
    if let Some(gone) = store::seals::gone(conn, place.place, until).await? {
        let lost = Lost {
            first_seal: gone.first,
            last_seal: gone.last,
            from_ms: gone.from_ms,
            to_ms: gone.to_ms,
            // Of the first one some may have been sent.
            records: gone.records - place.part,
        };
        let records = vec![stream::gap(&lost, now_ms, format)];
        return Ok(Some(Due { records, lost: Some(lost), to: (gone.last, 0) }));
    }
    let Some(seal) = next else { return Ok(None) };
    let all = of_seal(conn, seal.id).await?;
    let names = names(conn).await?;
    let taken = usize::try_from(place.part).unwrap_or(0);
    let (mut records, mut bytes) = (Vec::new(), 0);
    for (at, record) in all.iter().enumerate().skip(taken).take(most) {
        let federation = name(&names, record.federation_id.as_ref());
        let one = stream::usage(record, seal.id, at + 1, federation, format);
        bytes += one.json.len();
        if bytes > BYTES && !records.is_empty() {
            break;
        }
        records.push(one);
    }
    let part = taken + records.len();
    let to = if part >= all.len() { (seal.id, 0) } else { (place.place, i64::try_from(part).unwrap_or(0)) };
    Ok(Some(Due { records, lost: None, to }))
}

/// The records of a seal by their time: the same order however often it is read.
async fn of_seal(conn: &mut Conn<'_>, seal: i64) -> Result<Vec<UsageRecord>, Error> {
    let rows = store::seals::rows(conn, seal, None, i64::MAX).await?;
    let mut records = Vec::new();
    for row in &rows {
        records.extend(store::seals::unpack(row)?);
    }
    records.sort_by(|one, other| (one.at_ms, &one.request_id).cmp(&(other.at_ms, &other.request_id)));
    Ok(records)
}
