//! A9: who has fallen silent, looked for by one node of all.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    FederationId,
    audit::{Action, AuditEvent},
    behaviour::silence,
    federations::FederationStatus,
    findings::{Finding, Rule},
};
use serde_json::json;
use store::{Change, Conn};

use super::{raised, read};
use crate::{
    Error, Keyward,
    findings::{self, NewFinding},
    rotations::Author,
    unit::detail,
};

/// The lease under which one node works.
const LEASE: &str = "behaviour";

/// How long it holds, in milliseconds.
const LEASE_MS: i64 = 120_000;

/// The subject of the finding.
const SUBJECT: &str = "federation";

/// Looks at every live federation, and forgets what was learned of keys that nobody used for a year; how many
/// findings were raised or settled, `None` while another node works.
///
/// # Errors
/// When the database does not answer.
pub async fn sweep(keyward: &Arc<Keyward>, node: &str) -> Result<Option<usize>, Error> {
    let now_ms = keyward.clock.now_ms();
    let holder = node.to_owned();
    let fence = keyward
        .store
        .committer()
        .upkeep(async move |conn: &mut Conn<'_>| {
            store::leases::take(conn, LEASE, &holder, now_ms, now_ms + LEASE_MS).await
        })
        .await?;
    if fence.is_none() {
        return Ok(None);
    }
    let mut reader = keyward.store.read().await?;
    let federations = store::federations::list(&mut reader.conn()).await?;
    let open = store::findings::live_of_rule(&mut reader.conn(), Rule::Silence).await?;
    let open: BTreeMap<Option<FederationId>, Finding> =
        open.into_iter().map(|finding| (finding.federation_id.clone(), finding)).collect();
    let mut done = 0;
    let mut steps = Vec::new();
    for federation in federations {
        let profile = store::behaviours::profile(&mut reader.conn(), &federation.id, None).await?;
        let Some(profile) = profile.as_ref().map(read) else { continue };
        let told = open.get(&Some(federation.id.clone()));
        let found = match federation.status {
            FederationStatus::Live => silence(&profile, &federation.behaviour, federation.vendor, now_ms),
            // Its silence is ours.
            FederationStatus::Paused | FederationStatus::Archived => None,
        };
        match (found, told) {
            (Some(found), told) if told.is_none_or(|told| told.severity < found.severity) => {
                let finding = NewFinding::new(
                    keyward,
                    Some(&federation.id),
                    Rule::Silence,
                    SUBJECT,
                    found.expected,
                    found.came,
                );
                steps.push((federation.id, Some(finding.severity(found.severity))));
            }
            (None, Some(_)) => steps.push((federation.id, None)),
            (Some(_) | None, _) => {}
        }
    }
    drop(reader);
    for (federation_id, finding) in steps {
        carry_out(keyward, federation_id, finding).await?;
        done += 1;
    }
    Ok(Some(done))
}

async fn carry_out(
    keyward: &Arc<Keyward>,
    federation_id: FederationId,
    finding: Option<NewFinding>,
) -> Result<(), Error> {
    let now_ms = keyward.clock.now_ms();
    let author = Author::system(keyward, "behaviour");
    if let Some(finding) = finding {
        let event = raised(&author, &finding, &federation_id, None, now_ms);
        let unit = async move |conn: &mut Conn<'_>| {
            findings::raise(conn, &finding, now_ms).await?;
            Ok(Change::new((), event.clone()))
        };
        return keyward.commit(unit).await;
    }
    let reason = "It talks again, or is not expected to.";
    let event = AuditEvent {
        federation_id: Some(federation_id.clone()),
        target: Some(Rule::Silence.title().to_owned()),
        detail: detail(&json!({ "rule": Rule::Silence, "reason": reason })),
        ..author.plain(Action::FindingClosed, now_ms)
    };
    let unit = async move |conn: &mut Conn<'_>| {
        let settled = findings::settle(conn, Some(&federation_id), Rule::Silence, SUBJECT, reason, now_ms);
        Ok(if settled.await? { Change::new((), event.clone()) } else { Change::nothing(()) })
    };
    keyward.commit(unit).await
}
