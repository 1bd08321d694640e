//! What is expected of federations and keys: every request is held against it, what is learned is shared by
//! the nodes, and who is silent is looked for.
//!
//! Each usage record that was written is seen once, by [`Keyward::observe`], after its commit and before its
//! answer. What is suspicious is committed there: a finding with its audit record and, where the rule says so,
//! the hold of the key. When that commit fails the request is answered all the same, and [`flush`] tries again.

mod memory;
mod rules;
mod silence;
mod view;

use std::sync::Arc;

use domain::{
    FederationId, KeyId, Millis,
    audit::{Action, AuditEvent},
    behaviour::{Observation, Operation, Outcome, Profile, Rules, Suspicion},
    findings::Rule,
    usage::{Decision, UsageRecord},
};
use scim::Resource;
use serde_json::json;
use store::{
    Change, Conn, Engine,
    behaviours::{StoredProfile, Written},
};

pub(crate) use self::memory::Runtime;
use self::memory::{Due, Noted, Owed};
pub(crate) use self::rules::{exported, weakened, widened, widened_later};
pub use self::{
    rules::{EditRules, set, set_fields},
    silence::sweep,
    view::{BehaviourView, KeyBehaviour, Rhythm, rhythm, view},
};
use crate::{
    Error, Keyward, RequestInfo,
    findings::{self, NewFinding},
    keys::hold_in_unit,
    rotations::Author,
    unit::detail,
};

/// The most profiles in one unit: each is up to 64 KiB.
const UNIT: usize = 16;

/// The rules of a federation.
///
/// # Errors
/// NotFound when there is no such federation.
pub async fn rules(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Rules, Error> {
    store::behaviours::rules(conn, federation_id).await?.ok_or(Error::NotFound("federation"))
}

/// Whether a change deactivates a user.
pub(crate) fn deactivates(before: &Resource, after: &Resource) -> bool {
    let is_active = |resource: &Resource| {
        resource.as_value().get("active").and_then(serde_json::Value::as_bool).unwrap_or(true)
    };
    is_active(before) && !is_active(after)
}

/// A usage record as the rules see it; `None` for what says nothing about a key of ours.
fn observation(record: &UsageRecord) -> Option<Observation<'_>> {
    let outcome = match (record.decision, record.status) {
        // A paused federation, a held key, a brake, a limit.
        (_, 429 | 503) => Outcome::Stopped,
        (Decision::Allowed, _) => Outcome::Answered,
        (Decision::Denied, _) | (Decision::Refused, 404) => Outcome::Denied,
        (Decision::Refused, _) => return None,
    };
    let is_resource = matches!(record.resource_type.as_str(), "Users" | "Groups");
    let facts = &record.facts;
    let operation = match record.method.as_str() {
        _ if facts.list.is_some() => Operation::List,
        "POST" if is_resource => Operation::Create,
        "PUT" | "PATCH" if facts.deactivates => Operation::Deactivate,
        "PUT" | "PATCH" if is_resource => Operation::Update,
        "DELETE" if is_resource => Operation::Delete,
        "GET" if is_resource && record.resource_id.is_some() => Operation::Read,
        _ => Operation::Other,
    };
    let source = record.source.as_deref().and_then(|text| text.parse().ok());
    let list = facts.list;
    Some(Observation {
        outcome,
        attributes: &record.attributes,
        left: facts.left,
        given: list.map_or(0, |list| u32::try_from(list.given).unwrap_or(u32::MAX)),
        is_filtered: list.is_some_and(|list| list.is_filtered),
        is_canary: facts.is_canary,
        ..Observation::new(record.at_ms, operation, &record.resource_type, record.status)
            .from(source, record.user_agent.as_deref())
    })
}

impl Keyward {
    /// Sees a usage record that was written. Nothing that goes wrong here changes the answer.
    pub(crate) async fn observe(&self, record: &UsageRecord) {
        if store::recording::is_off() {
            return;
        }
        let Some(federation_id) = &record.federation_id else { return };
        let Some(seen) = observation(record) else { return };
        match self.behaviour.note(federation_id, &record.key_id, &seen) {
            Noted::Quiet => {}
            noted @ (Noted::Unknown | Noted::Suspicious(_)) => {
                Box::pin(self.look_closer(federation_id, record, &seen, noted)).await;
            }
        }
    }

    async fn look_closer(
        &self,
        federation_id: &FederationId,
        record: &UsageRecord,
        seen: &Observation<'_>,
        noted: Noted,
    ) {
        let suspicions = match noted {
            Noted::Quiet => return,
            Noted::Suspicious(found) => found,
            Noted::Unknown => {
                if let Err(error) = self.learn_of(federation_id, &record.key_id).await {
                    tracing::warn!(%error, key = %record.key_id, "what is expected of a key could not be read");
                    return;
                }
                match self.behaviour.note(federation_id, &record.key_id, seen) {
                    Noted::Suspicious(found) => found,
                    Noted::Quiet | Noted::Unknown => return,
                }
            }
        };
        for suspicion in suspicions {
            let due = Due {
                federation_id: federation_id.clone(),
                key_id: record.key_id.clone(),
                source: record.source.clone(),
                agent: record.user_agent.clone(),
                suspicion,
            };
            if let Err(error) = self.suspect(&due).await {
                tracing::warn!(%error, rule = due.suspicion.rule.as_str(), "a finding waits to be written");
                self.behaviour.owe(due);
            }
        }
    }

    /// Reads what was learned of a key and of its federation.
    async fn learn_of(&self, federation_id: &FederationId, key_id: &KeyId) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        let mut reader = self.store.read().await?;
        let conn = &mut reader.conn();
        let Some((stored, federation)) = store::keys::with_federation(conn, key_id).await? else {
            return Ok(());
        };
        let whole = store::behaviours::profile(conn, federation_id, None).await?;
        let own = match store::behaviours::profile(conn, federation_id, Some(key_id)).await? {
            Some(own) => (read(&own), own.version),
            // A successor is expected to do what its predecessor did.
            None => match &stored.key.predecessor_id {
                Some(id) => {
                    let before = store::behaviours::profile(conn, federation_id, Some(id)).await?;
                    (before.map_or_else(Profile::default, |before| read(&before).inherited()), 0)
                }
                None => (Profile::default(), 0),
            },
        };
        let counts = store::federations::counts(conn, Some(federation_id)).await?;
        let population = counts.get(federation_id.as_str()).map_or(0, |counts| counts.users + counts.groups);
        drop(reader);
        let whole = whole.map_or_else(|| (Profile::default(), 0), |whole| (read(&whole), whole.version));
        let population = u32::try_from(population).unwrap_or(u32::MAX);
        self.behaviour.learn(&federation, key_id, (whole, own), population, now_ms);
        Ok(())
    }

    /// Commits what is suspicious: the finding, its audit record, and the hold.
    async fn suspect(&self, due: &Due) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        let Due { federation_id, key_id, suspicion, .. } = due.clone();
        let author = Author::system(self, "behaviour");
        let Suspicion { rule, severity, expected, came, holds } = suspicion;
        let finding = NewFinding::new(self, Some(&federation_id), rule, key_id.as_str(), expected, came)
            .severity(severity)
            .of_key(&key_id)
            .from_network(due.source.clone(), due.agent.clone());
        let event = raised(&author, &finding, &federation_id, Some(&key_id), now_ms);
        let unit = async move |conn: &mut Conn<'_>| {
            findings::raise(conn, &finding, now_ms).await?;
            let mut change = Change::new((), event.clone());
            if holds
                && let Some(stored) = store::keys::by_id(conn, &key_id).await?
                && stored.key.life.state(now_ms).opens()
            {
                let reason = format!("{}: {}", rule.title(), finding.came());
                let (_, held) = hold_in_unit(conn, &author, stored.key, &reason, now_ms).await?;
                change = change.with_events([held]);
            }
            Ok(change)
        };
        self.commit_unseen(unit).await
    }
}

/// The audit event of a finding that Keyward raised by itself.
fn raised(
    author: &Author,
    finding: &NewFinding,
    federation_id: &FederationId,
    key_id: Option<&KeyId>,
    now_ms: Millis,
) -> AuditEvent {
    AuditEvent {
        federation_id: Some(federation_id.clone()),
        key_id: key_id.cloned(),
        target: Some(finding.rule().title().to_owned()),
        detail: detail(&json!({ "rule": finding.rule(), "came": finding.came() })),
        ..author.plain(Action::FindingRaised, now_ms)
    }
}

/// A profile as it was kept; one that cannot be read is learned anew.
fn read(stored: &StoredProfile) -> Profile {
    serde_json::from_str(&stored.profile).unwrap_or_else(|error| {
        tracing::warn!(%error, federation = %stored.federation_id, "a profile cannot be read and is learned anew");
        Profile::default()
    })
}

/// A14: a key that nobody issued was presented at the base of `slug`; the finding when there were too many
/// within the minute.
pub(crate) fn unknown_key(keyward: &Keyward, slug: &str, request: &RequestInfo) -> Option<NewFinding> {
    let now_ms = keyward.clock.now_ms();
    let (federation_id, limit, count) = keyward.behaviour.unknown_key(slug, now_ms)?;
    let place = federation_id.as_ref().map_or("unknown bases", |_| slug);
    let source = request.source.map(|address| address.to_string());
    Some(
        NewFinding::new(
            keyward,
            federation_id.as_ref(),
            Rule::UnknownKeys,
            "unknown-keys",
            format!("Fewer than {limit} a minute at {place}."),
            format!(
                "{count} within a minute, the last from {}.",
                source.as_deref().unwrap_or("an unknown address")
            ),
        )
        .from_network(source, request.user_agent.clone()),
    )
}

/// Writes what this node has seen since it last did, reads what the others have, and raises what could not be
/// raised; how many profiles were written. Every node does it every few seconds.
///
/// # Errors
/// When the database refuses; what was seen is kept for the next time.
pub async fn flush(keyward: &Arc<Keyward>) -> Result<usize, Error> {
    let now_ms = keyward.clock.now_ms();
    let mut waiting = keyward.behaviour.due().into_iter();
    while let Some(due) = waiting.next() {
        if let Err(error) = keyward.suspect(&due).await {
            keyward.behaviour.owe(due);
            // Those behind it were not tried: they wait as it does.
            waiting.for_each(|due| keyward.behaviour.owe(due));
            return Err(error);
        }
    }
    let owed = keyward.behaviour.take(now_ms);
    let mut written = 0;
    let mut rest = owed.into_iter().peekable();
    while rest.peek().is_some() {
        let part: Arc<Vec<Owed>> = Arc::new(rest.by_ref().take(UNIT).collect());
        let own = Arc::clone(&part);
        let merged = keyward
            .store
            .committer()
            .upkeep(async move |conn: &mut Conn<'_>| {
                let mut merged = Vec::with_capacity(own.len());
                for owed in own.iter() {
                    merged.push(write(conn, owed, now_ms).await?);
                }
                Ok(merged)
            })
            .await;
        match merged {
            Ok(merged) => {
                written += merged.len();
                keyward.behaviour.written(&part, merged, now_ms);
            }
            Err(error) => {
                keyward.behaviour.give_back(part.iter().chain(&rest.collect::<Vec<_>>()), now_ms);
                return Err(error.into());
            }
        }
    }
    Box::pin(catch_up(keyward)).await?;
    Box::pin(refresh(keyward)).await?;
    Ok(written)
}

/// How far back is looked for what other nodes wrote: several of their turns, and clocks that differ.
const LOOK_BACK_MS: Millis = 5 * 60_000;

/// Reads what other nodes wrote of what is kept here: a node that has nothing to write itself judges by it too.
async fn catch_up(keyward: &Arc<Keyward>) -> Result<(), Error> {
    // A file has one process that writes.
    if keyward.store.engine() == Engine::Sqlite || !keyward.behaviour.knows_any() {
        return Ok(());
    }
    let now_ms = keyward.clock.now_ms();
    let mut reader = keyward.store.read().await?;
    let written = store::behaviours::written(&mut reader.conn(), now_ms - LOOK_BACK_MS).await?;
    for Written { federation_id, key_id, .. } in keyward.behaviour.behind(written) {
        let kept = store::behaviours::profile(&mut reader.conn(), &federation_id, key_id.as_ref()).await?;
        if let Some(kept) = kept {
            let of = (&federation_id, key_id.as_ref());
            keyward.behaviour.caught_up(of, (read(&kept), kept.version), now_ms);
        }
    }
    Ok(())
}

/// Adds what one node saw to what is kept; both together.
async fn write(conn: &mut Conn<'_>, owed: &Owed, now_ms: Millis) -> Result<(Profile, i64), store::Error> {
    let kept = store::behaviours::profile(conn, &owed.federation_id, owed.key_id.as_ref()).await?;
    let mut profile = match &kept {
        Some(kept) => read(kept),
        None => owed.start.clone(),
    };
    profile.merge(&owed.fresh, owed.rules.learning, now_ms);
    let text = serde_json::to_string(&profile).map_err(|error| store::Error::Corrupt(error.to_string()))?;
    let row = StoredProfile {
        federation_id: owed.federation_id.clone(),
        key_id: owed.key_id.clone(),
        profile: text,
        version: kept.map_or(0, |kept| kept.version),
        updated_ms: now_ms,
    };
    // Another node was faster: the batch runs again and reads what it wrote.
    store::behaviours::write(conn, &row).await.map_err(crate::directory::again)?;
    Ok((profile, row.version + 1))
}

/// Reads the rules as they stand, and now and then how many users and groups there are.
async fn refresh(keyward: &Arc<Keyward>) -> Result<(), Error> {
    let now_ms = keyward.clock.now_ms();
    if !keyward.behaviour.knows_any() {
        return Ok(());
    }
    let mut reader = keyward.store.read().await?;
    let federations = store::federations::list(&mut reader.conn()).await?;
    let due = keyward.behaviour.follow(&federations, now_ms);
    for federation_id in due {
        let counts = store::federations::counts(&mut reader.conn(), Some(&federation_id)).await?;
        let population = counts.get(federation_id.as_str()).map_or(0, |counts| counts.users + counts.groups);
        let population = u32::try_from(population).unwrap_or(u32::MAX);
        keyward.behaviour.counted(&federation_id, population, now_ms);
    }
    Ok(())
}
