//! What a timer does on one node of all: forgetting what has ended.

use std::sync::Arc;

use domain::DAY_MS;
use store::Conn;

use crate::{Error, Keyward};

/// The lease of this work.
const LEASE: &str = "upkeep";

/// How long the lease holds, in milliseconds.
const LEASE_MS: i64 = 120_000;

/// How long mutes that have ended are shown.
const MUTES_MS: i64 = 90 * DAY_MS;

/// Forgets ended sessions, day-old idempotency tokens and what OAuth has no use for any more, when this node has the lease; how many
/// rows went, `None` while another node works.
pub async fn run(keyward: &Arc<Keyward>, node: &str) -> Result<Option<u64>, Error> {
    let now_ms = keyward.clock.now_ms();
    let (own, node) = (Arc::clone(keyward), node.to_owned());
    let run = async move |conn: &mut Conn<'_>| {
        let Some(fence) = store::leases::take(conn, LEASE, &node, now_ms, now_ms + LEASE_MS).await? else {
            return Ok(None);
        };
        store::leases::check(conn, LEASE, fence).await?;
        let sessions = store::sessions::forget(conn, now_ms).await?;
        let tokens = store::idempotency::forget(conn, now_ms - DAY_MS).await?;
        // Assertions are remembered for as long as a clock that is behind would take them.
        let oauth = store::oauth::forget(conn, now_ms - domain::oauth::assertion::SKEW_MS).await?;
        let calls = crate::gateway::reconcile::forget(conn, now_ms).await?;
        let kept_ms = own.settings.journal_retention_days.saturating_mul(DAY_MS);
        let changes = crate::journal::forget(conn, now_ms.saturating_sub(kept_ms)).await?;
        let mutes = store::mutes::forget(conn, now_ms - MUTES_MS).await?;
        Ok(Some((fence, sessions + tokens + oauth + calls + changes + mutes)))
    };
    let Some((fence, rows)) = keyward.store.committer().upkeep(run).await? else { return Ok(None) };
    // In units of their own, each with its audit record.
    let records = crate::usage::seals::forget(keyward, (LEASE, fence)).await?;
    Ok(Some(rows + u64::try_from(records).unwrap_or(0)))
}
