//! Reading the audit log, and proving it whole.

pub mod anchors;
pub mod checkpoint;
pub mod examine;
pub mod export;
pub mod proof;

use domain::{
    DAY_MS, KeyId, Millis,
    admins::{Admin, Right},
    audit::{
        Action, ActorRef, AuditEvent, AuditRecord, ChainFault, ChainHead, ChainWalk, Outcome,
        note::VerifierKey,
    },
    federations::{Federation, Slug},
};
use store::{Change, Conn, audit::AuditSelection};

use crate::{
    Actor, Cx, Error, Keyward,
    federations::{find, visible},
    vault::{MasterKey, Vault},
};

/// The most records of one page.
const PAGE: i64 = 200;

/// Which records to list; every field narrows.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of one federation.
    pub federation: Option<Slug>,
    /// Of one key.
    pub key: Option<KeyId>,
    /// By one actor, by its id.
    pub actor: Option<String>,
    /// Of one action.
    pub action: Option<Action>,
    /// Of one outcome.
    pub outcome: Option<Outcome>,
    /// From this time on.
    pub from_ms: Option<Millis>,
    /// Before this time.
    pub to_ms: Option<Millis>,
}

/// One page of the timeline.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// Newest first.
    pub records: Vec<AuditRecord>,
    /// The place to go on before; `None` at the end.
    pub next: Option<i64>,
}

/// A page of the records that the viewer may see, newest first, before a place.
///
/// # Errors
/// NotFound when the filter names a federation that the viewer may not see.
pub async fn list(
    cx: &Cx<Admin>,
    filter: &AuditFilter,
    before: Option<i64>,
    limit: i64,
) -> Result<AuditPage, Error> {
    let limit = limit.clamp(1, PAGE);
    let before = before.unwrap_or(i64::MAX);
    let mut reader = cx.read().await?;
    let mut selection = AuditSelection {
        federation_id: None,
        key_id: filter.key.clone(),
        actor_id: filter.actor.clone(),
        action: filter.action,
        outcome: filter.outcome,
        from_ms: filter.from_ms,
        to_ms: filter.to_ms,
        after: 0,
    };
    // What is far from the wanted time is not looked at. A clock may have been set back, so there is room.
    let mut before = before;
    if let Some(to_ms) = filter.to_ms {
        let last = store::audit::place_before(&mut reader.conn(), to_ms + DAY_MS).await?;
        before = before.min(last + 1);
    }
    if let Some(from_ms) = filter.from_ms {
        selection.after = store::audit::place_before(&mut reader.conn(), from_ms - DAY_MS).await?;
    }
    let mut records = Vec::new();
    if let Some(slug) = &filter.federation {
        selection.federation_id = Some(find(cx, &mut reader.conn(), slug).await?.id);
        records = store::audit::list(&mut reader.conn(), &selection, before, limit + 1).await?;
    } else if cx.actor.role.may(Right::ReadInstallation, None) {
        records = store::audit::list(&mut reader.conn(), &selection, before, limit + 1).await?;
    } else {
        // Who sees some federations only sees the merge of their records.
        for federation in visible(cx, &mut reader).await? {
            selection.federation_id = Some(federation.id);
            records.extend(store::audit::list(&mut reader.conn(), &selection, before, limit + 1).await?);
        }
        records.sort_by_key(|record| -record.seq);
    }
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = records.len() > page;
    records.truncate(page);
    let next = records.last().filter(|_| has_more).map(|record| record.seq);
    Ok(AuditPage { records, next })
}

/// One record.
///
/// # Errors
/// NotFound when there is none, or none that the viewer may see.
pub async fn open(cx: &Cx<Admin>, seq: i64) -> Result<AuditRecord, Error> {
    let mut reader = cx.read().await?;
    let record =
        store::audit::by_seq(&mut reader.conn(), seq).await?.ok_or(Error::NotFound("audit record"))?;
    if cx.actor.role.may(Right::ReadInstallation, None) {
        return Ok(record);
    }
    let seen = visible(cx, &mut reader).await?;
    let own = record
        .event
        .federation_id
        .as_ref()
        .is_some_and(|id| seen.iter().any(|federation| federation.id == *id));
    if own { Ok(record) } else { Err(Error::NotFound("audit record")) }
}

/// The key that checkpoints of an installation are verified with; without a name of its log it is named after
/// the master key.
///
/// # Errors
/// A sentence when the master key or the name is refused.
pub fn key_of(master_key: &MasterKey, origin: Option<&str>) -> Result<VerifierKey, String> {
    let vault = Vault::new(master_key)?;
    let named = format!("keyward/{}", vault.master_key_id());
    VerifierKey::new(origin.unwrap_or(&named), vault.checkpoint_key()).map_err(|fault| fault.to_string())
}

/// The end of the chain; `None` for who may not read the whole of it.
pub async fn head(cx: &Cx<Admin>) -> Result<Option<ChainHead>, Error> {
    if !cx.actor.role.may(Right::ReadInstallation, None) {
        return Ok(None);
    }
    Ok(Some(store::audit::head(&mut cx.read().await?.conn()).await?))
}

/// The people who stand in the log, for a filter.
pub async fn actors(cx: &Cx<Admin>) -> Result<Vec<ActorRef>, Error> {
    if !cx.actor.role.may(Right::ReadInstallation, None) {
        return Ok(Vec::new());
    }
    Ok(store::audit::actors(&mut cx.read().await?.conn()).await?)
}

/// Leaves a record that somebody is about to read what is sensitive: an export, a search for one person. It is
/// called before anything is read, so that without the record nothing is.
///
/// # Errors
/// Unavailable when the record cannot be written: then nothing may be shown.
pub async fn sensitive_read<A: Actor>(
    cx: &Cx<A>,
    action: Action,
    federation: Option<&Federation>,
    detail: &serde_json::Value,
) -> Result<(), Error> {
    let event = AuditEvent {
        federation_id: federation.map(|federation| federation.id.clone()),
        target: federation.map(|federation| federation.name.clone()),
        detail: crate::unit::detail(detail),
        ..cx.event(action)
    };
    cx.keyward.commit(async move |_: &mut Conn<'_>| Ok(Change::new((), event.clone()))).await
}

/// How a verification ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The chain is whole up to this head. Nothing outside the database vouches for the head.
    Whole(ChainHead),
    /// The first fault.
    Broken(ChainFault),
    /// A record cannot be read at all.
    Unreadable(String),
}

/// Walks the whole chain.
pub async fn verify(keyward: &Keyward) -> Result<Verdict, Error> {
    verify_store(&keyward.store).await
}

/// Walks the whole chain of a database that need not be opened with its master key.
pub async fn verify_store(store: &store::Store) -> Result<Verdict, Error> {
    let mut reader = store.read().await?;
    let mut walk = ChainWalk::default();
    // A record before the first place is as much a forgery as any other.
    let mut seq = i64::MIN;
    let mut head = None;
    loop {
        let records = match store::audit::after(&mut reader.conn(), seq, 1_000).await {
            Ok(records) => records,
            Err(store::Error::Corrupt(text)) => return Ok(Verdict::Unreadable(text)),
            Err(error) => return Err(error.into()),
        };
        for record in &records {
            if let Err(fault) = walk.step(record) {
                return Ok(Verdict::Broken(fault));
            }
            seq = record.seq;
        }
        if !records.is_empty() {
            head = None;
            continue;
        }
        // The head is read at the end of the log. When it is ahead, records have come since, or
        // the end was cut off: one more look tells which.
        if let Some(known) = head {
            return Ok(verdict(walk.finish(&known)));
        }
        let found = store::audit::head(&mut reader.conn()).await?;
        if found.seq <= seq {
            return Ok(verdict(walk.finish(&found)));
        }
        head = Some(found);
    }
}

fn verdict(walked: Result<ChainHead, ChainFault>) -> Verdict {
    match walked {
        Ok(head) => Verdict::Whole(head),
        Err(fault) => Verdict::Broken(fault),
    }
}
