//! The journal: what every change of a directory replaced, and what follows from knowing it.
//!
//! [`write`] keeps a change in the unit that makes it, with one statement. From the rows come the blast
//! radius of a key, an address or a window of time ([`blast`]), the history of a user or group
//! ([`history`]), and the taking back of changes ([`undo`]).

pub mod blast;
pub mod browse;
pub mod history;
pub mod undo;
pub(crate) mod upstream;

mod write;

use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use domain::{
    CaseId, IdChance, JournalId, KeyId, Millis,
    admins::{Admin, Right},
    cases::{Moment, at},
    federations::{Federation, Slug},
    journal::Selection,
    scopes::ResourceKind,
};
pub use scim::ResourceType;

pub(crate) use self::write::{Author, author, record, write};
use crate::{Cx, Error, Keyward, rfc3339};

/// Makes ids in the order of the changes, also of those of one millisecond.
#[derive(Default)]
pub(crate) struct Runtime(Mutex<(Millis, u32)>);

/// How many ids of one millisecond are in order: 18 bits.
const PER_MS: u32 = 1 << 18;

impl Keyward {
    /// The id of the next change.
    pub(crate) fn journal_id(&self) -> JournalId {
        let now_ms = self.clock.now_ms();
        let (at_ms, count) = {
            // What a poisoned lock holds is whole.
            let mut last = self.journal.0.lock().unwrap_or_else(PoisonError::into_inner);
            *last = match *last {
                (last_ms, _) if last_ms < now_ms => (now_ms, 0),
                (last_ms, count) if count + 1 < PER_MS => (last_ms, count + 1),
                (last_ms, _) => (last_ms + 1, 0),
            };
            *last
        };
        JournalId::new(at_ms, in_order(count, self.id_chance()))
    }
}

/// Chance whose first free bits count: an id keeps four of the first byte, and six of the third.
fn in_order(count: u32, mut chance: IdChance) -> IdChance {
    let [_, top, middle, low] = (count << 2).to_be_bytes();
    // Twenty bits stand in three bytes, the last two of them free.
    let [first, second, third, ..] = &mut chance;
    *first = top;
    *second = middle;
    *third = (low >> 2) & 0x3F;
    chance
}

/// The type of a resource in the words of the protocol.
pub(crate) fn type_of(kind: ResourceKind) -> ResourceType {
    match kind {
        ResourceKind::Users => ResourceType::User,
        ResourceKind::Groups => ResourceType::Group,
    }
}

/// The changes that a case is about: those of its key, from the first sign on.
///
/// # Errors
/// NotFound when there is no such case that the viewer may see.
pub async fn of_case(cx: &Cx<Admin>, id: &CaseId) -> Result<(Slug, Selection), Error> {
    let view = crate::cases::open(cx, id).await?;
    let from_ms = [Moment::T0, Moment::T1].into_iter().filter_map(|mark| at(&view.moments, mark)).min();
    Ok((view.federation.slug, Selection { from_ms, ..Selection::of_key(view.case.key_id) }))
}

/// A key with those before and after it: one consumer.
///
/// # Errors
/// NotFound when there is no such key that the viewer may see.
pub async fn key_line(cx: &Cx<Admin>, id: &KeyId) -> Result<Vec<KeyId>, Error> {
    let mut reader = cx.read().await?;
    let found = store::keys::with_federation(&mut reader.conn(), id).await?;
    let (stored, federation) = found.ok_or(Error::NotFound("key"))?;
    if !cx.actor.role.may(Right::Read, Some(&federation.slug)) {
        return Err(Error::NotFound("key"));
    }
    let keys = store::keys::of_federation(&mut reader.conn(), &federation.id).await?;
    let mut line = vec![stored.key.id.clone()];
    let mut next = stored.key.successor_id;
    while let Some(id) = next.take().filter(|id| !line.contains(id)) {
        next = keys.iter().find(|key| key.id == id).and_then(|key| key.successor_id.clone());
        line.push(id);
    }
    let before =
        |id: &KeyId| keys.iter().find(|key| key.successor_id.as_ref() == Some(id)).map(|key| key.id.clone());
    let mut first = before(id);
    while let Some(id) = first.take().filter(|id| !line.contains(id)) {
        first = before(&id);
        line.insert(0, id);
    }
    Ok(line)
}

/// A selection in words.
pub(crate) async fn title(
    cx: &Cx<Admin>,
    federation: &Federation,
    selection: &Selection,
) -> Result<String, Error> {
    let mut names = Vec::new();
    if !selection.keys.is_empty() {
        let keys = store::keys::of_federation(&mut cx.read().await?.conn(), &federation.id).await?;
        let known = |id: &KeyId| {
            keys.iter().find(|key| key.id == *id).map_or_else(|| id.to_string(), |key| key.name.clone())
        };
        names = selection.keys.iter().map(known).collect();
    }
    // Writing to a String cannot fail.
    let mut words = match selection {
        Selection { entry: Some(_), .. } => "One change".to_owned(),
        Selection { undo: Some(_), .. } => "What an undo did".to_owned(),
        _ => "Every change".to_owned(),
    };
    if let Some(attribute) = &selection.attribute {
        let _ = write!(words, " of {attribute}");
    }
    if let Some(id) = &selection.resource {
        let _ = write!(words, " of {id}");
    }
    if !names.is_empty() {
        let _ = write!(words, " by {}", names.join(", "));
    }
    if let Some(network) = &selection.network {
        let _ = write!(words, " from {network}");
    }
    if let Some(from_ms) = selection.from_ms {
        let _ = write!(words, " since {}", rfc3339(from_ms));
    }
    if let Some(until_ms) = selection.until_ms {
        let _ = write!(words, " until {}", rfc3339(until_ms));
    }
    Ok(words)
}

/// Forgets what is older than the journal is kept.
pub(crate) async fn forget(conn: &mut store::Conn<'_>, before_ms: Millis) -> Result<u64, store::Error> {
    let mut count = 0;
    for federation in store::federations::list(conn).await? {
        count += store::journal::forget(conn, &federation.id, before_ms).await?;
        count += store::undos::forget(conn, &federation.id, before_ms).await?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_millisecond_are_in_the_order_of_their_count() {
        let ids: Vec<JournalId> = [0, 1, 63, 64, 65, 4_095, 4_096, 65_535, 65_536, PER_MS - 1]
            .map(|count| JournalId::new(1_700_000_000_000, in_order(count, [255; 10])))
            .into();
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(ids.last() < Some(&JournalId::new(1_700_000_000_001, in_order(0, [0; 10]))));
    }
}
