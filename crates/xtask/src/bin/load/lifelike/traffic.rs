//! What providers asked, and what the audit log says of it.

use domain::{
    FederationId, KeyId, Millis, RequestId,
    audit::{Action, ActorKind, ActorRef, AuditEvent, Outcome as Came},
    usage::{Decision, Facts, UsageRecord},
};

use super::{Filler, House, SPREAD_MS, directory::somebody};
use crate::Outcome;

/// The most requests of one synchronisation; the least is a tenth of it.
const BURST: u64 = 70;

/// Synchronisations between two commits.
const COMMITTED: usize = 500;

/// Records that are appended at once.
const APPENDED: usize = 8_192;

/// A provider that comes to look and to write.
struct Burst {
    at_ms: Millis,
    house: usize,
    key: KeyId,
    requests: u32,
}

/// Writes the usage records: each key that was used comes at least twice, and the rest is chance; in order of time.
pub async fn usage(filler: &mut Filler, houses: &[House]) -> Outcome {
    let mut bursts = bursts(filler, houses);
    bursts.sort_by(|one, other| (one.at_ms, &one.key).cmp(&(other.at_ms, &other.key)));
    for (number, burst) in bursts.iter().enumerate() {
        let records = records(filler, &houses[burst.house], burst);
        filler.bulk.usage(&records).await?;
        if number % COMMITTED == COMMITTED - 1 {
            filler.step().await?;
        }
    }
    filler.step().await
}

fn bursts(filler: &mut Filler, houses: &[House]) -> Vec<Burst> {
    let mut keys = Vec::new();
    for (house, of) in houses.iter().enumerate() {
        for (key, from_ms, to_ms) in &of.used {
            let from_ms = (*from_ms).max(filler.begins_ms());
            if from_ms < *to_ms {
                keys.push((house, key, from_ms, *to_ms));
            }
        }
    }
    let mut bursts: Vec<Burst> = Vec::new();
    if keys.is_empty() {
        return bursts;
    }
    let mut left = filler.sizes.usage_records;
    let mut number = 0;
    while left > 0 {
        let (house, key, from_ms, to_ms) = if number < 2 * keys.len() {
            keys[number % keys.len()]
        } else {
            keys[filler.chance.place(keys.len())]
        };
        // The last time of a key that works is not long ago.
        let is_last = number < keys.len();
        let at_ms = if is_last {
            filler.between((to_ms - SPREAD_MS).max(from_ms), to_ms)
        } else {
            filler.between(from_ms, to_ms)
        };
        let requests = u32::try_from(BURST / 10 + filler.chance.below(BURST)).unwrap_or(1).min(left);
        left -= requests;
        number += 1;
        bursts.push(Burst { at_ms, house, key: key.clone(), requests });
    }
    bursts
}

fn records(filler: &mut Filler, house: &House, burst: &Burst) -> Vec<UsageRecord> {
    let mut at_ms = burst.at_ms;
    (0..burst.requests)
        .map(|_| {
            at_ms += filler.chance.below(40).cast_signed();
            let person = if house.people.is_empty() {
                None
            } else {
                Some(house.people[filler.chance.place(house.people.len())].0.clone())
            };
            let (method, resource_type, status, decision, reason) = match filler.chance.below(1_000) {
                0..550 => ("GET", "Users", 200, Decision::Allowed, None),
                550..650 => ("GET", "Groups", 200, Decision::Allowed, None),
                650..700 => ("POST", "Users", 201, Decision::Allowed, None),
                700..930 => ("PATCH", "Users", 200, Decision::Allowed, None),
                930..970 => ("PATCH", "Groups", 204, Decision::Allowed, None),
                970..980 => ("DELETE", "Users", 204, Decision::Allowed, None),
                980..988 => ("GET", "Users", 404, Decision::Allowed, None),
                988..997 => {
                    ("DELETE", "Groups", 403, Decision::Denied, Some("this key may not delete groups"))
                }
                997..999 => ("POST", "Users", 409, Decision::Allowed, None),
                _ => ("GET", "Users", 503, Decision::Allowed, Some("the database did not answer")),
            };
            let is_write = method != "GET" && status < 300;
            UsageRecord {
                request_id: RequestId::new(at_ms, filler.chance.id()),
                at_ms,
                federation_id: Some(house.id.clone()),
                key_id: burst.key.clone(),
                method: method.to_owned(),
                resource_type: resource_type.to_owned(),
                resource_id: person,
                status,
                decision,
                reason: reason.map(str::to_owned),
                duration_us: latency(filler),
                source: Some(house.source.clone()),
                user_agent: Some(house.agent.to_owned()),
                tolerated: Vec::new(),
                is_work: is_write,
                attributes: if is_write { vec!["title".to_owned()] } else { Vec::new() },
                facts: Facts::default(),
            }
        })
        .collect()
}

/// Most requests take some hundred microseconds, and a few a hundred times as long.
fn latency(filler: &mut Filler) -> i64 {
    let mut micros = 200 + filler.chance.below(900);
    if filler.chance.percent(4) {
        micros += filler.chance.below(40_000);
    }
    micros.cast_signed()
}

/// Appends the audit records: what keys did, and among it what people and Keyward did.
pub async fn audit(filler: &mut Filler, houses: &[House]) -> Outcome {
    let count = i64::from(filler.sizes.audit_records);
    let (from_ms, until_ms) = (filler.begins_ms(), filler.until_ms);
    let mut events = Vec::with_capacity(APPENDED);
    for number in 0..count {
        let at_ms = from_ms + (until_ms - from_ms) * number / count.max(1);
        events.push(event(filler, houses, at_ms));
        if events.len() == APPENDED {
            filler.bulk.append(std::mem::take(&mut events)).await?;
            filler.step().await?;
        }
    }
    filler.bulk.append(events).await?;
    filler.step().await
}

fn event(filler: &mut Filler, houses: &[House], at_ms: Millis) -> AuditEvent {
    let request_id = RequestId::new(at_ms, filler.chance.id()).to_string();
    let lot = filler.chance.below(1_000);
    let (house, key, person) = match somebody(filler, houses, at_ms) {
        Some((house, key, person)) => (Some(house), KeyId::parse(&key), person),
        None => (houses.first(), None, (String::new(), "the directory".to_owned())),
    };
    let federation: Option<FederationId> = house.map(|house| house.id.clone());
    let blank = AuditEvent {
        at_ms,
        actor: ActorRef { kind: ActorKind::System, id: "keyward".to_owned(), name: "Keyward".to_owned() },
        action: Action::FindingClosed,
        outcome: Came::Done,
        reason: None,
        federation_id: federation,
        key_id: key.clone(),
        target: Some(person.1.clone()),
        source: house.map(|house| house.source.clone()),
        request_id,
        detail: "{}".to_owned(),
    };
    if lot < 960
        && let Some(key) = &key
    {
        let name = house.map(|house| house.name.clone()).unwrap_or_default();
        let (action, outcome) = match lot {
            0..60 => (Action::UserCreated, Came::Done),
            60..800 => (Action::UserUpdated, Came::Done),
            800..930 => (Action::GroupUpdated, Came::Done),
            930..950 => (Action::UserDeleted, Came::Done),
            _ => (Action::GroupDeleted, Came::Refused),
        };
        return AuditEvent {
            actor: ActorRef { kind: ActorKind::Key, id: key.to_string(), name },
            action,
            outcome,
            reason: (outcome == Came::Refused).then(|| "this key may not delete groups".to_owned()),
            detail: format!("{{\"id\":\"{}\",\"changed\":[\"title\"]}}", person.0),
            ..blank
        };
    }
    if lot.is_multiple_of(2) {
        let action = filler.chance.of(&[Action::FindingRaised, Action::FindingClosed, Action::KeyRetired]);
        return AuditEvent { action, source: None, ..blank };
    }
    let number = filler.chance.below(40);
    let action = filler.chance.of(&[
        Action::KeyIssued,
        Action::KeyRotated,
        Action::FederationEdited,
        Action::PolicySet,
        Action::FindingClosed,
        Action::KeyRevoked,
    ]);
    let id = format!("https://idp.example.com\u{20}person-{number}");
    AuditEvent {
        actor: ActorRef { kind: ActorKind::Admin, id, name: format!("Operator {number}") },
        action,
        source: Some("203.0.113.7".to_owned()),
        ..blank
    }
}
