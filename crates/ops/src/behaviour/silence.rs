//! A9: who has fallen silent, looked for by one node of all.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    FederationId, KeyId, Millis,
    audit::{Action, AuditEvent},
    behaviour::{Profile, Suspicion, is_expected, silence},
    federations::{Federation, FederationStatus},
    findings::{Finding, Rule},
    keys::Key,
};
use serde_json::json;
use store::{Change, Conn, Reader};

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

/// The subject of the finding of a federation as a whole; that of a key is its id.
const SUBJECT: &str = "federation";

/// Looks at the keys of every live federation; how many findings were raised or settled, `None` while another node
/// works.
///
/// Each key that is expected to speak is looked at by itself, so that no other key hides its silence. A federation
/// of which no key is expected to speak yet is looked at as a whole.
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
    let mut open: BTreeMap<Option<FederationId>, BTreeMap<String, Finding>> = BTreeMap::new();
    for finding in store::findings::live_of_rule(&mut reader.conn(), Rule::Silence).await? {
        open.entry(finding.federation_id.clone()).or_default().insert(finding.subject.clone(), finding);
    }
    let mut steps = Vec::new();
    for federation in federations {
        let mut told = open.remove(&Some(federation.id.clone())).unwrap_or_default();
        let silent = match federation.status {
            FederationStatus::Live => silent(&mut reader, &federation, now_ms).await?,
            // Its silence is ours.
            FederationStatus::Paused | FederationStatus::Archived => Vec::new(),
        };
        for Silent { key_id, found } in silent {
            let subject = key_id.as_ref().map_or(SUBJECT, KeyId::as_str);
            if told.remove(subject).is_some_and(|told| told.severity >= found.severity) {
                continue;
            }
            let (of, rule) = (Some(&federation.id), Rule::Silence);
            let finding = NewFinding::new(keyward, of, rule, subject, found.expected, found.came)
                .severity(found.severity);
            let finding = match &key_id {
                Some(id) => finding.of_key(id),
                None => finding,
            };
            steps.push((federation.id.clone(), Step::Raise(Box::new(finding), key_id)));
        }
        steps.extend(told.into_keys().map(|subject| (federation.id.clone(), Step::Settle(subject))));
    }
    drop(reader);
    let done = steps.len();
    for (federation_id, step) in steps {
        carry_out(keyward, federation_id, step).await?;
    }
    Ok(Some(done))
}

/// What has fallen silent: a key, or a federation as a whole.
struct Silent {
    key_id: Option<KeyId>,
    found: Suspicion,
}

/// One thing to do.
enum Step {
    Raise(Box<NewFinding>, Option<KeyId>),
    /// The finding of this subject is over.
    Settle(String),
}

/// What of a federation has fallen silent.
async fn silent(reader: &mut Reader, federation: &Federation, now_ms: Millis) -> Result<Vec<Silent>, Error> {
    let kept = store::behaviours::profiles(&mut reader.conn(), &federation.id).await?;
    let keys = store::keys::of_federation(&mut reader.conn(), &federation.id).await?;
    let profile_of = |id: Option<&KeyId>| kept.iter().find(|kept| kept.key_id.as_ref() == id).map(read);
    let of = |profile: &Profile| silence(profile, &federation.behaviour, federation.vendor, now_ms);
    // One that has a successor falls silent as it should; one that is held waits for us.
    let speaks = |key: &&Key| !key.canary && key.successor_id.is_none() && key.life.state(now_ms).opens();
    let mut expected = Vec::new();
    for key in keys.iter().filter(speaks) {
        let profile = profile_of(Some(&key.id));
        expected.extend(
            profile
                .filter(|profile| is_expected(profile, &federation.behaviour, now_ms))
                .map(|profile| (key, profile)),
        );
    }
    if expected.is_empty() {
        let found = profile_of(None).as_ref().and_then(of);
        return Ok(found.map(|found| Silent { key_id: None, found }).into_iter().collect());
    }
    let silent = expected
        .into_iter()
        .filter_map(|(key, profile)| Some(Silent { key_id: Some(key.id.clone()), found: of(&profile)? }));
    Ok(silent.collect())
}

async fn carry_out(keyward: &Arc<Keyward>, federation_id: FederationId, step: Step) -> Result<(), Error> {
    let now_ms = keyward.clock.now_ms();
    let author = Author::system(keyward, "behaviour");
    let subject = match step {
        Step::Settle(subject) => subject,
        Step::Raise(finding, key_id) => {
            let event = raised(&author, &finding, &federation_id, key_id.as_ref(), now_ms);
            let unit = async move |conn: &mut Conn<'_>| {
                findings::raise(conn, &finding, now_ms).await?;
                Ok(Change::new((), event.clone()))
            };
            return keyward.commit(unit).await;
        }
    };
    let reason = "It talks again, or is not expected to.";
    let event = AuditEvent {
        federation_id: Some(federation_id.clone()),
        target: Some(Rule::Silence.title().to_owned()),
        detail: detail(&json!({ "rule": Rule::Silence, "subject": subject, "reason": reason })),
        ..author.plain(Action::FindingClosed, now_ms)
    };
    let unit = async move |conn: &mut Conn<'_>| {
        let settled = findings::settle(conn, Some(&federation_id), Rule::Silence, &subject, reason, now_ms);
        Ok(if settled.await? { Change::new((), event.clone()) } else { Change::nothing(()) })
    };
    keyward.commit(unit).await
}
