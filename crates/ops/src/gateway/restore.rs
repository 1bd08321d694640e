//! Taking changes back at an upstream: one resource, one look, at most one call.
//!
//! The resource is read as it is there now and compared with what the plan knew. What was changed there since
//! is left alone unless the plan says otherwise. Then it goes as every change does: the intent, which also takes
//! the unit up, the call, the outcome, which also ends the unit. A call of which nobody knows what became of it
//! is looked into before anything else is asked about that resource ([`super::reconcile`]), and a creation is
//! never asked for twice.

mod steps;

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    JournalId, RequestId, ResourceId,
    audit::{Action, AuditEvent},
    federations::Federation,
    journal::Entry,
    upstreams::{CallState, CallVerb, LinkState},
};
use futures::{StreamExt as _, stream};
use scim::{ResourceType, Schemas};
use serde_json::{Map, Value, json};
use store::{
    Change, Conn,
    calls::Call,
    links::{self, Link},
    undos::{OpenUnit, Undo},
};

use super::{
    Gate,
    job::{gone, refresh},
    reconcile, target,
    told::Told,
};
use crate::{
    Actor, Cx, Error,
    journal::{
        self,
        undo::{
            acts::Act,
            run::{Report, applied, done},
            told,
        },
    },
};

/// The most resources that a dry run looks at.
const LOOKED_AT: usize = 100;

/// How many of them at once.
const LOOKS: usize = 4;

/// How much longer than its calls may take a unit is taken up, in milliseconds.
const MARGIN_MS: i64 = 5_000;

/// What came of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// It is done, as far as it can be; the report says the rest.
    Settled,
    /// Somebody else has it.
    Taken,
    /// Another one of the plan has to go first.
    Blocked,
    /// The service did not do it now.
    Waits {
        /// Why.
        reason: String,
        /// Seconds.
        retry_after_s: u32,
        /// Whether every other resource would have to wait as well.
        would_all: bool,
    },
}

/// Whether two values say the same: the order of several does not count, nor does what is null or a reference.
pub(crate) fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    one.map(plain).unwrap_or_default() == other.map(plain).unwrap_or_default()
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(plain).collect();
            items.sort_by_cached_key(Value::to_string);
            if items.is_empty() { Value::Null } else { Value::Array(items) }
        }
        Value::Object(parts) => {
            let kept = parts.iter().filter(|(name, _)| *name != "$ref");
            let kept =
                kept.map(|(name, part)| (name.clone(), plain(part))).filter(|(_, part)| !part.is_null());
            let kept: Map<String, Value> = kept.collect();
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => one.clone(),
    }
}

/// A resource without what the server says of it by itself.
fn content(resource: &Value) -> Value {
    let mut resource = resource.clone();
    if let Value::Object(parts) = &mut resource {
        for name in ["meta", "groups", "password"] {
            parts.remove(name);
        }
    }
    resource
}

/// Looks how resources are at the upstream now, and notes it, so that a plan says what was changed there
/// without Keyward. What does not answer is left as it was last seen.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn look<A>(
    cx: &Cx<A>,
    federation: &Federation,
    about: BTreeSet<(ResourceType, String)>,
) -> Result<(), Error>
where
    A: Actor + Clone + Send + Sync + 'static,
{
    if about.len() > LOOKED_AT {
        return Ok(());
    }
    // Without a way there the plan says what was last seen.
    let gate = match cx.gate(federation).await {
        Ok(gate) => gate,
        Err(Error::Upstream { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut seen = Vec::new();
    let mut reader = cx.read().await?;
    for (kind, id) in about {
        let link = links::by_id(&mut reader.conn(), &federation.id, kind, &id).await?;
        let Some(link) = link.filter(|link| link.state == LinkState::Live) else { continue };
        if store::calls::unsettled_of(&mut reader.conn(), &federation.id, &link.id).await?.is_empty() {
            seen.push(link);
        }
    }
    drop(reader);
    let looks = seen.into_iter().map(|link| {
        let gate = &gate;
        async move {
            let upstream_id = link.upstream_id.clone().unwrap_or_default();
            let told = gate.read(&cx.keyward, link.kind, &upstream_id).await;
            (link, told)
        }
    });
    let mut looks = std::pin::pin!(stream::iter(looks).buffer_unordered(LOOKS));
    let mut fresh = Vec::new();
    while let Some((link, told)) = looks.next().await {
        match told {
            Told::Fine { body: Some(now), .. } => {
                let shadow: Value = serde_json::from_str(&link.body).unwrap_or_default();
                if !same(Some(&content(&shadow)), Some(&content(&now))) {
                    let mut seen = link.clone();
                    refresh(link.kind, &mut seen, &now, cx.now_ms());
                    fresh.push((link.body, seen));
                }
            }
            Told::Refused { status: 404, .. } => reconcile::is_gone(cx, &gate, link).await?,
            Told::Refused { .. } => {}
            // The others would not fare better.
            Told::Fine { .. }
            | Told::Throttled(_)
            | Told::Denied(_)
            | Told::NotSent { .. }
            | Told::Unclear(_) => break,
        }
    }
    if fresh.is_empty() {
        return Ok(());
    }
    let federation_id = federation.id.clone();
    let note = async move |conn: &mut Conn<'_>| {
        for (body, seen) in &fresh {
            let link = links::by_id(conn, &federation_id, seen.kind, seen.id.as_str()).await?;
            // What was written meanwhile is newer.
            if link.is_some_and(|link| link.body == *body && link.state == LinkState::Live) {
                links::update(conn, &federation_id, seen).await?;
            }
        }
        Ok(())
    };
    Ok(cx.keyward.store.committer().upkeep(note).await?)
}

/// Takes changes back at the upstream of one federation.
pub(crate) struct Restorer<'a, A> {
    cx: &'a Cx<A>,
    federation: &'a Arc<Federation>,
    undo: &'a Arc<Undo>,
    gate: Gate,
    schemas: Arc<Schemas>,
}

/// One unit that is under way.
struct Step<'a> {
    open: &'a OpenUnit,
    act: &'a Act,
    kind: ResourceType,
    id: ResourceId,
    /// What others have changed through Keyward since the plan was made.
    since: Vec<Entry>,
    /// Whether this undo has changed it already.
    is_begun: bool,
}

/// What becomes of the link when a call was not done.
enum Back {
    /// It says how the resource is.
    Is(Link),
    /// It was made for the call.
    Made(Link),
}

/// The end of a unit.
struct Ending {
    call: Option<(String, CallState, String)>,
    link: Option<Back>,
    /// What was done, when something was.
    event: Option<AuditEvent>,
    /// Who has joined the group again.
    joined: Vec<String>,
    report: Report,
}

impl<'a, A> Restorer<'a, A>
where
    A: Actor + Clone + Send + Sync + 'static,
{
    /// Finds the way to the upstream.
    pub async fn open(
        cx: &'a Cx<A>,
        federation: &'a Arc<Federation>,
        undo: &'a Arc<Undo>,
    ) -> Result<Self, Error> {
        let gate = cx.gate(federation).await?;
        let schemas = cx.keyward.schemas_of(&mut cx.read().await?.conn(), federation).await?;
        Ok(Self { cx, federation, undo, gate, schemas })
    }

    /// Does one unit, or finds out what became of it. With `is_late`, what would wait is given up.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn unit(
        &self,
        open: &OpenUnit,
        act: &Act,
        head: Option<&JournalId>,
        is_late: bool,
    ) -> Result<Came, Error> {
        let kind =
            match act {
                Act::Members { .. } => ResourceType::Group,
                Act::Remove { group, .. } | Act::Change { group, .. } | Act::Revive { group, .. } => {
                    if *group { ResourceType::Group } else { ResourceType::User }
                }
            };
        let id = ResourceId::parse(act.id());
        let id = id.ok_or_else(|| Error::Internal(format!("a plan names {}", act.id())))?;
        let mut step = Step { open, act, kind, id, since: Vec::new(), is_begun: false };
        let came = match self.try_unit(&mut step, head).await {
            Err(Error::Upstream { message, retry_after_s, .. }) => {
                Came::Waits { reason: message, retry_after_s, would_all: false }
            }
            Err(Error::Stale(_)) => Came::Taken,
            Err(Error::Conflict(text)) => return self.not_done(&step, text).await,
            Err(error @ Error::Unavailable(_)) => return Err(error),
            Err(error) => {
                tracing::warn!(undo = %self.undo.id, resource = act.id(), %error, "a resource was not taken back");
                Came::Waits { reason: error.to_string(), retry_after_s: 0, would_all: false }
            }
            Ok(came) => came,
        };
        match came {
            Came::Waits { reason, .. } if is_late => {
                self.not_done(&step, format!("the service did not do it within a day: {reason}")).await
            }
            came @ (Came::Settled | Came::Taken | Came::Blocked | Came::Waits { .. }) => Ok(came),
        }
    }

    async fn try_unit(&self, step: &mut Step<'_>, head: Option<&JournalId>) -> Result<Came, Error> {
        let (federation_id, keyward) = (&self.federation.id, &self.cx.keyward);
        let turn = format!("{federation_id} {} {}", step.kind, step.id);
        let _turn = keyward.turn(turn, self.gate.upstream.limits.timeout_ms).await?;
        let mut link = self.link(step).await?;
        if let Some(known) = &link {
            let mut reader = self.cx.read().await?;
            let calls = store::calls::unsettled_of(&mut reader.conn(), federation_id, &known.id).await?;
            drop(reader);
            if !calls.is_empty() {
                match reconcile::settle(self.cx, &self.gate, known.clone(), &calls).await? {
                    reconcile::Found::Settled => link = self.link(step).await?,
                    reconcile::Found::Open => return Ok(unknown()),
                }
            }
        }
        if let Some(head) = head {
            let mut reader = self.cx.read().await?;
            let ids = [step.id.as_str()];
            let mut entries = store::journal::since(&mut reader.conn(), federation_id, &ids, head).await?;
            drop(reader);
            entries.retain(|entry| entry.id != *head);
            let is_own = |entry: &Entry| entry.undo_of.as_ref() == Some(&self.undo.id);
            step.is_begun = entries.iter().any(is_own);
            entries.retain(|entry| !is_own(entry));
            step.since = entries;
        }
        let step = &*step;
        match step.act {
            Act::Remove { over, .. } => self.remove(step, link, *over).await,
            Act::Change { sets, over, .. } => self.change(step, link, sets, *over).await,
            Act::Members { joining, leaving, .. } => self.members(step, link, joining, leaving).await,
            Act::Revive { body, made_by, created_ms, .. } => {
                self.revive(step, link, body, (made_by, *created_ms)).await
            }
        }
    }

    async fn link(&self, step: &Step<'_>) -> Result<Option<Link>, Error> {
        let mut reader = self.cx.read().await?;
        Ok(links::by_id(&mut reader.conn(), &self.federation.id, step.kind, step.id.as_str()).await?)
    }

    /// Step one: the unit is taken up, and what is about to be asked is written down; the id of the call, or
    /// `None` when somebody else has the unit. `link` is how the resource is known to be.
    async fn intend(
        &self,
        step: &Step<'_>,
        (verb, hash): (CallVerb, String),
        link: &Link,
    ) -> Result<Option<String>, Error> {
        let now_ms = self.cx.now_ms();
        let call = Call {
            id: RequestId::new(now_ms, self.cx.keyward.id_chance()).to_string(),
            key_id: String::new(),
            request_id: self.undo.request_id.clone(),
            verb,
            kind: step.kind,
            resource_id: step.id.clone(),
            payload_hash: hash,
            state: CallState::Intended,
            attempts: 0,
            note: String::new(),
            intended_ms: now_ms,
            undo_id: Some(self.undo.id.clone()),
        };
        let more = json!({ "verb": verb.as_str(), "type": step.kind.name(), "sha256": call.payload_hash });
        let event = self.event(Action::UpstreamAsked, link, &more);
        let until_ms = now_ms + 2 * self.gate.upstream.limits.timeout_ms + MARGIN_MS;
        let (federation_id, undo_id, position) =
            (self.federation.id.clone(), self.undo.id.clone(), step.open.position);
        let (link, is_unique) = (link.clone(), self.has_unique_names(step.kind));
        let id = call.id.clone();
        let taken = self
            .cx
            .keyward
            .commit(async move |conn: &mut Conn<'_>| {
                let span = (now_ms, until_ms);
                if !store::undos::claim(conn, &federation_id, &undo_id, position, span).await? {
                    return Ok(Change::nothing(false));
                }
                let known = links::by_id(conn, &federation_id, link.kind, link.id.as_str()).await?;
                if known.is_some() {
                    links::update(conn, &federation_id, &link).await?;
                } else {
                    links::insert(conn, &federation_id, &link, is_unique).await?;
                }
                store::calls::insert(conn, &federation_id, &call).await?;
                Ok(Change::new(true, event.clone()))
            })
            .await?;
        Ok(taken.then_some(id))
    }

    /// Step three: the outcome, and the end of the unit.
    async fn end(&self, step: &Step<'_>, ending: Ending) -> Result<Came, Error> {
        let (own, federation, undo) = (self.cx.clone(), Arc::clone(self.federation), Arc::clone(self.undo));
        let (position, now_ms) = (step.open.position, self.cx.now_ms());
        let Ending { call, link, event, joined, report } = ending;
        let (id, name) = (step.id.clone(), step.act.name().to_owned());
        self.cx
            .keyward
            .commit(async move |conn: &mut Conn<'_>| {
                let federation_id = &federation.id;
                if let Some((id, state, note)) = &call {
                    store::calls::settle(conn, federation_id, id, *state, note, now_ms).await?;
                }
                match &link {
                    Some(Back::Is(link)) => {
                        if event.is_some() {
                            let author = journal::undo::author(&undo);
                            journal::upstream::change(&own.keyward, conn, federation_id, author, link)
                                .await?;
                        }
                        links::update(conn, federation_id, link).await?;
                    }
                    Some(Back::Made(link)) => links::delete(conn, federation_id, link.kind, &link.id).await?,
                    None => {}
                }
                let group = (&id, name.as_str());
                told::joined(&own.keyward, conn, &federation, &undo, group, &joined).await?;
                done(&own, conn, &federation, &undo, position, &report).await?;
                let applied = applied(&own, &federation, &undo, position, &report);
                Ok(Change::new(Came::Settled, applied).with_events(event.clone()))
            })
            .await
    }

    /// The end of a unit about which nothing was asked.
    async fn close(&self, step: &Step<'_>, report: Report) -> Result<Came, Error> {
        self.end(step, Ending { call: None, link: None, event: None, joined: Vec::new(), report }).await
    }

    async fn not_done(&self, step: &Step<'_>, text: impl Into<String>) -> Result<Came, Error> {
        let mut report = Report::default();
        report.note(step.act, text);
        self.close(step, report).await
    }

    /// What a call comes to that was not done, or of which nobody knows. `report` is what is to be told besides.
    async fn failed(
        &self,
        step: &Step<'_>,
        call_id: String,
        told: Told,
        back: Back,
        mut report: Report,
    ) -> Result<Came, Error> {
        if matches!(told, Told::Refused { .. }) {
            let note = told.note();
            let link = match (&told, back) {
                (Told::Refused { status: 404, .. }, Back::Is(link)) => Back::Is(gone(link, self.cx.now_ms())),
                (_, back) => back,
            };
            report.note(step.act, self.refusal(told));
            let call = Some((call_id, CallState::Failed, note));
            return self
                .end(step, Ending { call, link: Some(link), event: None, joined: Vec::new(), report })
                .await;
        }
        let is_unknown = matches!(told, Told::Unclear(_) | Told::Fine { .. });
        let state = if is_unknown { CallState::Unknown } else { CallState::Failed };
        let (federation_id, note, now_ms) = (self.federation.id.clone(), told.note(), self.cx.now_ms());
        let leave = async move |conn: &mut Conn<'_>| {
            store::calls::settle(conn, &federation_id, &call_id, state, &note, now_ms).await?;
            match &back {
                Back::Is(link) if !is_unknown => links::update(conn, &federation_id, link).await?,
                Back::Made(link) if !is_unknown => {
                    links::delete(conn, &federation_id, link.kind, &link.id).await?;
                }
                Back::Is(_) | Back::Made(_) => {}
            }
            Ok(Change::nothing(()))
        };
        self.cx.keyward.commit(leave).await?;
        self.waits(told).await
    }

    /// Why a service does not do something now.
    async fn waits(&self, told: Told) -> Result<Came, Error> {
        Ok(match told {
            Told::Denied(status) => {
                target::record_denied(self.cx, &self.gate, self.federation, status).await?;
                let reason = format!("the service refuses the credential of Keyward with {status}");
                Came::Waits { reason, retry_after_s: 60, would_all: true }
            }
            Told::Throttled(retry_after_s) => {
                let reason = "the service asks for patience".to_owned();
                Came::Waits { reason, retry_after_s, would_all: true }
            }
            Told::NotSent { reason, retry_after_s, may_try_again } => {
                let reason = format!("the service was not asked: {reason}");
                Came::Waits { reason, retry_after_s, would_all: !may_try_again }
            }
            Told::Unclear(_) | Told::Fine { .. } | Told::Refused { .. } => unknown(),
        })
    }

    /// What a service said to a call that it refused.
    fn refusal(&self, told: Told) -> String {
        let note = told.note();
        let error = told.into_error(&self.gate.upstream.base_url, &self.gate.base, &[]);
        format!("the service {note}: {error}")
    }

    fn has_unique_names(&self, kind: ResourceType) -> bool {
        kind == ResourceType::User || self.federation.scim.unique_group_names
    }

    fn event(&self, action: Action, link: &Link, more: &Value) -> AuditEvent {
        let mut told = json!({ "id": link.id, "upstream_id": link.upstream_id, "undo": self.undo.id });
        if let (Value::Object(told), Value::Object(more)) = (&mut told, more) {
            told.extend(more.clone());
        }
        AuditEvent {
            federation_id: Some(self.federation.id.clone()),
            target: Some(link.name_lower.clone()),
            detail: told.to_string(),
            ..self.cx.event(action)
        }
    }
}

fn unknown() -> Came {
    Came::Waits {
        reason: "it is not known yet whether the service did what it was asked".to_owned(),
        retry_after_s: 0,
        would_all: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_may_show_the_same_in_another_order_and_with_references() {
        let one = json!({ "emails": [{ "value": "a" }, { "value": "b" }], "title": null, "phones": [] });
        let other = json!({ "emails": [{ "value": "b", "$ref": "x" }, { "value": "a", "display": null }] });
        assert!(same(Some(&one), Some(&other)));
        assert!(same(None, Some(&json!([]))) && same(None, None));
        assert!(!same(Some(&json!(false)), None));
        assert!(!same(Some(&json!(["a"])), Some(&json!(["b"]))));
    }
}
