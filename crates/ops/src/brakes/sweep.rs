//! What the time decides: held operations that nobody decided, approved ones that did not come again, rejected
//! ones whose source has stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    CaseId, FederationId, Millis,
    audit::{Action, AuditEvent},
    brakes::{DECIDE_MS, HeldOperation, HeldState, MEMORY_MS},
    cases::{Case, CaseMoment, Moment},
};
use serde_json::json;
use store::{Change, Conn};

use crate::{Cx, Error, Keyward, System, cases, findings, unit::detail};

/// The most operations of a federation in one unit.
const BATCH: i64 = 500;

/// Why what nobody decided is rejected.
pub(super) const NOBODY: &str = "nobody decided within 24 hours";

/// Ends what the time has ended; how many operations. May run as often as it likes, on any node.
///
/// # Errors
/// When the database does not answer.
pub async fn sweep(keyward: &Arc<Keyward>) -> Result<usize, Error> {
    let cx = keyward.system_cx("brakes");
    let federations = store::held::federations(&mut cx.read().await?.conn()).await?;
    let (mut done, mut failed) = (0, None);
    for id in federations {
        match of_one(&cx, id).await {
            Ok(ended) => done += ended,
            // What is wrong with one federation is not the others' loss.
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(done), Err)
}

async fn of_one(cx: &Cx<System>, id: FederationId) -> Result<usize, Error> {
    let mut reader = cx.read().await?;
    let now_ms = cx.now_ms();
    let (waiting, silent) = due(&mut reader.conn(), &id, now_ms).await?;
    drop(reader);
    if waiting.is_empty() && silent.is_empty() { Ok(0) } else { of_federation(cx, id, now_ms).await }
}

/// What is over by now: what waited too long, and what is only remembered and did not come again.
async fn due(
    conn: &mut Conn<'_>,
    id: &FederationId,
    now_ms: Millis,
) -> Result<(Vec<HeldOperation>, Vec<HeldOperation>), Error> {
    let waiting = store::held::waiting_since(conn, id, now_ms - DECIDE_MS, BATCH).await?;
    let mut silent = store::held::silent_since(conn, id, now_ms - MEMORY_MS, BATCH).await?;
    silent.retain(|held| matches!(held.state, HeldState::Rejected | HeldState::Expired));
    Ok((waiting, silent))
}

async fn of_federation(cx: &Cx<System>, id: FederationId, now_ms: Millis) -> Result<usize, Error> {
    let own = cx.clone();
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::brakes::lock(conn, &id, "{}").await?;
            let (waiting, silent) = due(conn, &id, now_ms).await?;
            let mut ended: BTreeMap<CaseId, Ended> = BTreeMap::new();
            for held in waiting.iter().chain(&silent) {
                let ended = ended.entry(held.case_id.clone()).or_default();
                match held.state {
                    HeldState::Held => {
                        store::held::expire(conn, &id, &held.id, now_ms, NOBODY).await?;
                        ended.expired.insert(held.brake);
                        ended.expired_count += 1;
                    }
                    HeldState::Approved => {
                        store::held::end(conn, held, HeldState::Lapsed, None).await?;
                        ended.lapsed += 1;
                    }
                    HeldState::Rejected
                    | HeldState::Expired
                    | HeldState::Done
                    | HeldState::Lapsed
                    | HeldState::Over => {
                        store::held::end(conn, held, HeldState::Over, None).await?;
                        ended.over += 1;
                    }
                }
            }
            let mut told = Vec::new();
            for (case_id, ended) in ended {
                let Some(case) = store::cases::by_id(conn, &case_id).await? else { continue };
                if ended.expired_count > 0 {
                    ended.tell(conn, &case, now_ms).await?;
                }
                told.push((case, ended));
            }
            let events = event(&own, &id, &told).into_iter();
            Ok(Change::nothing(waiting.len() + silent.len()).with_events(events))
        })
        .await
}

/// What ended in one case.
#[derive(Default)]
struct Ended {
    expired: BTreeSet<domain::brakes::Brake>,
    expired_count: i64,
    lapsed: i64,
    over: i64,
}

impl Ended {
    async fn tell(&self, conn: &mut Conn<'_>, case: &Case, now_ms: Millis) -> Result<(), Error> {
        let text = format!("{} held operations were rejected: {NOBODY}.", self.expired_count);
        let note = CaseMoment { moment: Moment::Note, at_ms: now_ms, made_by: "Keyward".to_owned(), text };
        cases::write(conn, case, &note).await?;
        let of = &case.federation_id;
        if store::held::pending(conn, of, &case.id, i64::MAX).await?.is_empty() {
            for brake in &self.expired {
                findings::settle(conn, Some(of), brake.rule(), case.id.as_str(), NOBODY, now_ms).await?;
            }
        }
        Ok(())
    }
}

/// One record for a federation, with its cases.
fn event(cx: &Cx<System>, id: &FederationId, told: &[(Case, Ended)]) -> Option<AuditEvent> {
    let (first, _) = told.first()?;
    let cases: Vec<_> = told
        .iter()
        .map(|(case, ended)| {
            json!({
                "case": case.id, "expired": ended.expired_count, "lapsed": ended.lapsed, "over": ended.over,
            })
        })
        .collect();
    Some(AuditEvent {
        federation_id: Some(id.clone()),
        key_id: Some(first.key_id.clone()),
        target: Some(first.title.clone()),
        detail: detail(&json!({ "cases": cases })),
        ..cx.event(Action::HeldExpired)
    })
}
