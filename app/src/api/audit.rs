//! What the audit timeline loads.

use domain::{
    KeyId, Millis,
    audit::{Action, ActorRef, AuditRecord, ChainHead, Outcome},
    federations::Slug,
};
use ops::audit::{AuditFilter, anchors::Standing, proof::Proof};

use crate::{
    error::UiError,
    ssr::{admin_cx, query},
    ui::{time, timeline::Known},
};

/// How many records a page of the timeline shows.
const RECORDS: i64 = 50;

/// One page of the timeline.
pub struct AuditPage {
    /// Newest first.
    pub records: Vec<AuditRecord>,
    /// The place to go on before; `None` at the end.
    pub next: Option<i64>,
    /// The end of the chain, for those who may read the whole of it.
    pub head: Option<ChainHead>,
    /// What proves it, for the same.
    pub standing: Option<Standing>,
    /// The federations that the reader may see.
    pub known: Known,
    /// The people to choose from in the filter.
    pub actors: Vec<ActorRef>,
}

/// Reads the filter from the address; what cannot be read does not narrow.
pub fn filter() -> AuditFilter {
    AuditFilter {
        federation: query("federation").and_then(|text| Slug::parse(&text).ok()),
        key: query("key").and_then(|text| KeyId::parse(text.trim())),
        actor: query("actor"),
        action: query("action").and_then(|text| Action::parse(&text)),
        outcome: query("outcome").and_then(|text| Outcome::parse(&text)),
        from_ms: query("from").and_then(|text| time::start_of_day(&text)),
        to_ms: query("to").and_then(|text| time::start_of_day(&text)).map(day_after),
    }
}

// The field says the last day that is still wanted.
fn day_after(start_ms: Millis) -> Millis {
    start_ms + domain::DAY_MS
}

/// A page of records before a place.
///
/// # Errors
/// See [`ops::audit::list`].
pub async fn list(filter: &AuditFilter, before: Option<i64>) -> Result<AuditPage, UiError> {
    let cx = admin_cx()?;
    let page = ops::audit::list(&cx, filter, before, RECORDS).await?;
    let head = ops::audit::head(&cx).await?;
    let standing = ops::audit::anchors::standing(&cx).await?;
    let actors = ops::audit::actors(&cx).await?;
    Ok(AuditPage { records: page.records, next: page.next, head, standing, known: known().await?, actors })
}

/// The page of one record.
pub struct EntryPage {
    /// The record.
    pub record: AuditRecord,
    /// The federations that the reader may see.
    pub known: Known,
    /// The last place, for those who may read the whole chain from record to record.
    pub last: Option<i64>,
    /// What proves it; none while no checkpoint is over it.
    pub proof: Option<Proof>,
    /// Why it cannot be proven.
    pub fault: Option<String>,
}

/// One record.
///
/// # Errors
/// See [`ops::audit::open`]; a place that is no number is not found.
pub async fn open(seq: &str) -> Result<EntryPage, UiError> {
    let cx = admin_cx()?;
    let seq = seq.parse().map_err(|_| UiError::not_found("audit record"))?;
    let record = ops::audit::open(&cx, seq).await?;
    let last = ops::audit::head(&cx).await?.map(|head| head.seq);
    let (proof, fault) = match ops::audit::proof::prove(&cx, seq).await {
        Ok(proof) => (proof, None),
        // The record is shown all the same.
        Err(ops::Error::Conflict(text)) => (None, Some(text)),
        Err(error) => return Err(error.into()),
    };
    Ok(EntryPage { record, known: known().await?, last, proof, fault })
}

async fn known() -> Result<Known, UiError> {
    let seen = ops::federations::seen(&admin_cx()?).await?;
    Ok(seen.into_iter().map(|federation| (federation.id.clone(), federation)).collect())
}
