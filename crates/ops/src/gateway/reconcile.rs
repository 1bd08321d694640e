//! Finding out what became of a call: the process died, the connection broke, the answer made no
//! sense.
//!
//! A look decides, never a second try. What is found is believed at once. That nothing is found is
//! believed once the call is older than any call may take. An account that is found is ours when its
//! `externalId` is the one that was sent, or, where either has none, when it came into being after
//! the call was written down; otherwise it is somebody else's, and an admin decides.

use std::collections::BTreeMap;

use domain::{
    KeyId, Millis, RequestId,
    audit::{Action, ActorKind, AuditEvent},
    federations::{Federation, FederationTarget},
    upstreams::{CallState, CallVerb, LinkState},
};
use scim::{Filter, ResourceType};
use serde_json::{Value, json};
use store::{
    Change, Conn,
    calls::Call,
    links::{self, Link},
    undos::Undo,
};

use super::{
    Gate,
    job::{gone, refresh},
    locked,
    told::Told,
    translate,
};
use crate::{
    Actor, Cx, Error, Keyward, System,
    journal::{self, Author},
};

/// The lease of this work.
const LEASE: &str = "gateway";

/// How long the lease holds, in milliseconds: not much longer than a round, so that the node that
/// comes after one that died need not wait.
const LEASE_MS: i64 = 15_000;

/// Calls of one federation in one round.
const ROUND: i64 = 100;

/// How much the clocks of an upstream and ours may differ, in milliseconds.
const SKEW_MS: Millis = 120_000;

/// Added to the longest time that a call may take, in milliseconds.
const MARGIN_MS: Millis = 1_000;

/// How long settled calls are kept, in milliseconds.
const KEPT_MS: Millis = 30 * domain::DAY_MS;

/// Whether it is known now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It is.
    Settled,
    /// Not yet.
    Open,
}

/// What was found, in the words of the audit record.
struct Verdict {
    outcome: &'static str,
    link: Option<Link>,
    states: Vec<(String, CallState)>,
}

/// Finds out what became of the calls to one resource.
pub(super) async fn settle<A>(cx: &Cx<A>, gate: &Gate, link: Link, calls: &[Call]) -> Result<Found, Error>
where
    A: Actor + Clone + Send + Sync + 'static,
{
    let now_ms = cx.now_ms();
    let is_old = |call: &Call| now_ms - call.intended_ms >= gate.upstream.limits.timeout_ms + MARGIN_MS;
    {
        let under_way = locked(&cx.keyward.gateway.under_way);
        // Another node may be making it at this moment.
        let is_made_now = |call: &Call| {
            under_way.contains(&call.id) || (call.state == CallState::Intended && !is_old(call))
        };
        if calls.iter().any(is_made_now) {
            return Ok(Found::Open);
        }
    }
    let verdict = match link.upstream_id.clone() {
        None => created(cx, gate, &link, calls, calls.iter().all(is_old)).await?,
        Some(upstream_id) => changed(cx, gate, &link, calls, &upstream_id).await?,
    };
    let Some(verdict) = verdict else { return Ok(Found::Open) };
    write(cx, gate, link, verdict, calls).await?;
    Ok(Found::Settled)
}

/// Whether a resource came into being.
async fn created<A: Actor>(
    cx: &Cx<A>,
    gate: &Gate,
    link: &Link,
    calls: &[Call],
    are_old: bool,
) -> Result<Option<Verdict>, Error> {
    let sought: Value = serde_json::from_str(&link.body).unwrap_or_default();
    let name = translate::name_of(link.kind, &sought);
    let external_id = sought.get("externalId").and_then(Value::as_str);
    let Ok(found) = gate.look_up(&cx.keyward, link.kind, &name, external_id).await else { return Ok(None) };
    let all = |state| calls.iter().map(|call| (call.id.clone(), state)).collect();
    let since_ms = calls.iter().map(|call| call.intended_ms).min().unwrap_or(link.created_ms);
    let mut is_another = false;
    for resource in found {
        let Some(upstream_id) = translate::id_of(&resource) else { continue };
        let mut reader = cx.read().await?;
        let federation_id = &gate.upstream.federation_id;
        let known = links::by_upstream_id(&mut reader.conn(), federation_id, link.kind, &upstream_id).await?;
        drop(reader);
        if known.is_none() && is_ours(link.kind, &resource, external_id, since_ms) {
            let mut link = Link { upstream_id: Some(upstream_id), state: LinkState::Live, ..link.clone() };
            refresh(link.kind, &mut link, &resource, cx.now_ms());
            return Ok(Some(Verdict { outcome: "created", link: Some(link), states: all(CallState::Done) }));
        }
        is_another = true;
    }
    // What is not there yet may still come.
    if !is_another && !are_old {
        return Ok(None);
    }
    let outcome = if is_another { "another was there before" } else { "not created" };
    Ok(Some(Verdict { outcome, link: None, states: all(CallState::Failed) }))
}

fn is_ours(kind: ResourceType, resource: &Value, external_id: Option<&str>, since_ms: Millis) -> bool {
    let theirs = resource.get("externalId").and_then(Value::as_str);
    if let (Some(ours), Some(theirs)) = (external_id, theirs) {
        return ours == theirs;
    }
    let since = scim::timestamp(since_ms - SKEW_MS);
    let filter = Filter::parse(&format!("meta.created ge \"{since}\""));
    filter.is_ok_and(|filter| scim::matches(&filter, kind, resource).unwrap_or(false))
}

/// What became of changes of a resource that is there.
async fn changed<A: Actor>(
    cx: &Cx<A>,
    gate: &Gate,
    link: &Link,
    calls: &[Call],
    upstream_id: &str,
) -> Result<Option<Verdict>, Error> {
    match gate.read(&cx.keyward, link.kind, upstream_id).await {
        Told::Fine { body: Some(resource), .. } => {
            let before: Value = serde_json::from_str(&link.body).unwrap_or_default();
            let is_as_before = without_meta(before) == without_meta(resource.clone());
            let state = |call: &Call| match call.verb {
                CallVerb::Delete => CallState::Failed,
                CallVerb::Replace | CallVerb::Patch if is_as_before => CallState::Failed,
                CallVerb::Create | CallVerb::Replace | CallVerb::Patch => CallState::Done,
            };
            let states = calls.iter().map(|call| (call.id.clone(), state(call))).collect();
            let mut link = link.clone();
            refresh(link.kind, &mut link, &resource, cx.now_ms());
            let outcome = if is_as_before { "as it was" } else { "changed" };
            Ok(Some(Verdict { outcome, link: Some(link), states }))
        }
        Told::Refused { status: 404, .. } => {
            let state = |call: &Call| match call.verb {
                CallVerb::Delete => CallState::Done,
                CallVerb::Create | CallVerb::Replace | CallVerb::Patch => CallState::Failed,
            };
            let states = calls.iter().map(|call| (call.id.clone(), state(call))).collect();
            Ok(Some(Verdict { outcome: "gone", link: Some(gone(link.clone(), cx.now_ms())), states }))
        }
        Told::Fine { .. }
        | Told::Refused { .. }
        | Told::Throttled(_)
        | Told::Denied(_)
        | Told::NotSent { .. }
        | Told::Unclear(_) => Ok(None),
    }
}

fn without_meta(mut resource: Value) -> Value {
    if let Value::Object(parts) = &mut resource {
        parts.remove("meta");
        parts.remove("password");
    }
    resource
}

async fn write<A>(cx: &Cx<A>, gate: &Gate, link: Link, verdict: Verdict, calls: &[Call]) -> Result<(), Error>
where
    A: Actor + Clone + Send + Sync + 'static,
{
    let Verdict { outcome, link: fresh, states } = verdict;
    let is_done = |call: &&Call| states.iter().any(|(id, state)| *id == call.id && *state == CallState::Done);
    let made = calls.iter().rev().find(is_done).cloned();
    let (key_name, undo) = match &made {
        Some(call) => (key_name(cx, call).await?, undo_of(cx, gate, call).await?),
        None => (String::new(), None),
    };
    let keyward = std::sync::Arc::clone(&cx.keyward);
    let calls: Vec<&str> = states.iter().map(|(id, _)| id.as_str()).collect();
    let upstream_id = fresh.as_ref().and_then(|link| link.upstream_id.clone());
    let told = json!({ "id": link.id, "upstream_id": upstream_id, "outcome": outcome, "calls": calls });
    let event = event(cx, gate, &link, &told);
    let (federation_id, now_ms) = (gate.upstream.federation_id.clone(), cx.now_ms());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            for (id, state) in &states {
                store::calls::settle(conn, &federation_id, id, *state, outcome, now_ms).await?;
            }
            match &fresh {
                Some(fresh) => {
                    if let Some(call) = &made {
                        let by_key = Author {
                            request_id: &call.request_id,
                            key_id: Some(&call.key_id),
                            actor: (ActorKind::Key, "", &key_name),
                            source: None,
                            undo_of: None,
                        };
                        let author = undo.as_ref().map_or(by_key, journal::undo::author);
                        journal::upstream::change(&keyward, conn, &federation_id, author, fresh).await?;
                    }
                    links::update(conn, &federation_id, fresh).await?;
                }
                None => links::delete(conn, &federation_id, link.kind, &link.id).await?,
            }
            Ok(Change::new((), event.clone()))
        })
        .await
}

/// The name of the key through which a call was made.
async fn key_name<A: Actor>(cx: &Cx<A>, call: &Call) -> Result<String, Error> {
    let Some(id) = KeyId::parse(&call.key_id) else { return Ok(String::new()) };
    let found = store::keys::by_id(&mut cx.read().await?.conn(), &id).await?;
    Ok(found.map(|stored| stored.key.name).unwrap_or_default())
}

/// The taking back that a call belongs to.
async fn undo_of<A: Actor>(cx: &Cx<A>, gate: &Gate, call: &Call) -> Result<Option<Undo>, Error> {
    let Some(id) = &call.undo_id else { return Ok(None) };
    Ok(store::undos::by_id(&mut cx.read().await?.conn(), &gate.upstream.federation_id, id).await?)
}

fn event<A: Actor>(cx: &Cx<A>, gate: &Gate, link: &Link, detail: &Value) -> AuditEvent {
    AuditEvent {
        federation_id: Some(gate.upstream.federation_id.clone()),
        target: Some(link.name_lower.clone()),
        detail: detail.to_string(),
        ..cx.event(Action::UpstreamReconciled)
    }
}

/// Notes that a resource is not at the upstream any more.
pub(super) async fn is_gone<A>(cx: &Cx<A>, gate: &Gate, link: Link) -> Result<(), Error>
where
    A: Actor + Clone + Send + Sync + 'static,
{
    let fresh = gone(link.clone(), cx.now_ms());
    let federation_id = gate.upstream.federation_id.clone();
    if !link.state.is_ours() {
        let note = async move |conn: &mut Conn<'_>| links::update(conn, &federation_id, &fresh).await;
        return Ok(cx.keyward.store.committer().upkeep(note).await?);
    }
    let told = json!({ "id": link.id, "upstream_id": link.upstream_id, "outcome": "gone" });
    let event = event(cx, gate, &link, &told);
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            links::update(conn, &federation_id, &fresh).await?;
            Ok(Change::new((), event.clone()))
        })
        .await
}

/// Looks into every call that is open, when this node has the lease; how many resources are settled
/// now, `None` while another node works. Where nothing is open, nothing is written.
pub async fn run(keyward: &std::sync::Arc<Keyward>, node: &str) -> Result<Option<usize>, Error> {
    let cx = keyward.system_cx("gateway");
    let federations = with_open_calls(&cx).await?;
    if federations.is_empty() {
        return Ok(Some(0));
    }
    let (holder, now_ms) = (node.to_owned(), keyward.clock.now_ms());
    let take = async move |conn: &mut Conn<'_>| {
        store::leases::take(conn, LEASE, &holder, now_ms, now_ms + LEASE_MS).await
    };
    if keyward.store.committer().upkeep(take).await?.is_none() {
        return Ok(None);
    }
    let mut settled = 0;
    for federation in federations {
        // One upstream that cannot be opened does not keep the others waiting.
        match round(&cx, &federation).await {
            Ok(count) => settled += count,
            Err(error) => {
                tracing::warn!(federation = %federation.slug, %error, "open calls were not looked into");
            }
        }
    }
    Ok(Some(settled))
}

async fn with_open_calls(cx: &Cx<System>) -> Result<Vec<Federation>, Error> {
    let mut reader = cx.read().await?;
    let upstreams = store::upstreams::list(&mut reader.conn()).await?;
    let mut open = Vec::new();
    for stored in upstreams {
        let federation_id = stored.upstream.federation_id;
        if store::calls::count_unsettled(&mut reader.conn(), &federation_id).await? > 0 {
            open.push(federation_id);
        }
    }
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let mut federations = store::federations::list(&mut reader.conn()).await?;
    federations.retain(|federation| {
        federation.target == FederationTarget::Upstream && open.contains(&federation.id)
    });
    Ok(federations)
}

async fn round(cx: &Cx<System>, federation: &Federation) -> Result<usize, Error> {
    let mut reader = cx.read().await?;
    let mut calls = Vec::new();
    for state in [CallState::Intended, CallState::Unknown] {
        calls.extend(store::calls::in_state(&mut reader.conn(), &federation.id, state, ROUND).await?);
    }
    drop(reader);
    let gate = cx.gate(federation).await?;
    let mut resources: BTreeMap<_, Vec<Call>> = BTreeMap::new();
    for call in calls {
        resources.entry((call.kind, call.resource_id.clone())).or_default().push(call);
    }
    let mut settled = 0;
    for ((kind, id), calls) in resources {
        let mut reader = cx.read().await?;
        let link = links::by_id(&mut reader.conn(), &federation.id, kind, id.as_str()).await?;
        drop(reader);
        let Some(link) = link else {
            abandon(cx, federation, calls).await?;
            continue;
        };
        if settle(cx, &gate, link, &calls).await? == Found::Settled {
            settled += 1;
        }
    }
    Ok(settled)
}

/// Calls to a resource that is not linked any more are over.
async fn abandon(cx: &Cx<System>, federation: &Federation, calls: Vec<Call>) -> Result<(), Error> {
    let (federation_id, now_ms) = (federation.id.clone(), cx.now_ms());
    let over = async move |conn: &mut Conn<'_>| {
        for call in &calls {
            store::calls::settle(conn, &federation_id, &call.id, CallState::Failed, "no link", now_ms)
                .await?;
        }
        Ok(())
    };
    Ok(cx.keyward.store.committer().upkeep(over).await?)
}

/// Forgets settled calls that are older than [`KEPT_MS`]; how many.
pub(crate) async fn forget(conn: &mut Conn<'_>, now_ms: Millis) -> Result<u64, store::Error> {
    let before = RequestId::new((now_ms - KEPT_MS).max(0), Default::default());
    let mut count = 0;
    for stored in store::upstreams::list(conn).await? {
        count += store::calls::forget(conn, &stored.upstream.federation_id, before.as_str()).await?;
    }
    Ok(count)
}
