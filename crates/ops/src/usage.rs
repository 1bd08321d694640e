//! Usage records: reading and searching them, sealing them, forgetting the old ones.

pub mod live;
pub mod seals;
pub mod search;

pub use search::{Page, search};

use domain::{
    HOUR_MS, KeyId, Millis,
    admins::{Admin, Right},
    federations::Slug,
    usage::UsageRecord,
};

use crate::{Cx, Error, federations::find};

/// The most records of one list.
const MOST: i64 = 500;

/// The last requests of a key, newest first.
///
/// # Errors
/// NotFound when there is no such key that the viewer may see.
pub async fn of_key(cx: &Cx<Admin>, id: &KeyId, limit: i64) -> Result<Vec<UsageRecord>, Error> {
    let mut reader = cx.read().await?;
    let found = store::keys::with_federation(&mut reader.conn(), id).await?;
    let (stored, federation) = found.ok_or(Error::NotFound("key"))?;
    if !cx.actor.role.may(Right::Read, Some(&federation.slug)) {
        return Err(Error::NotFound("key"));
    }
    Ok(store::usage::of_key(&mut reader.conn(), &stored.key.federation_id, id, limit.clamp(1, MOST)).await?)
}

/// The last requests to a federation, newest first.
///
/// # Errors
/// NotFound when there is no such federation that the viewer may see.
pub async fn of_federation(cx: &Cx<Admin>, slug: &Slug, limit: i64) -> Result<Vec<UsageRecord>, Error> {
    let mut reader = cx.read().await?;
    let federation = find(cx, &mut reader.conn(), slug).await?;
    Ok(store::usage::of_federation(&mut reader.conn(), &federation.id, limit.clamp(1, MOST)).await?)
}

/// How many requests presented a key in each of the last `hours` hours, oldest first; the last one
/// is the hour that has begun.
///
/// # Errors
/// NotFound when there is no such key that the viewer may see.
pub async fn hours_of_key(cx: &Cx<Admin>, id: &KeyId, hours: i64) -> Result<Vec<(Millis, i64)>, Error> {
    let mut reader = cx.read().await?;
    let found = store::keys::with_federation(&mut reader.conn(), id).await?;
    let (stored, federation) = found.ok_or(Error::NotFound("key"))?;
    if !cx.actor.role.may(Right::Read, Some(&federation.slug)) {
        return Err(Error::NotFound("key"));
    }
    let first = cx.now_ms() / HOUR_MS - hours + 1;
    let key = &stored.key;
    let found =
        store::usage::hours_of_key(&mut reader.conn(), &key.federation_id, &key.id, first * HOUR_MS).await?;
    let count = |hour: i64| found.iter().find(|(at, _)| *at == hour).map_or(0, |(_, count)| *count);
    Ok((first..first + hours).map(|hour| (hour * HOUR_MS, count(hour))).collect())
}
