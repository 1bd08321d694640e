//! One change on its way to an upstream: intent, call, outcome, and what each leaves in the database.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    Millis, RequestId, ResourceId,
    audit::{Action, AuditEvent},
    hex,
    upstreams::{CallState, CallVerb, LinkState},
    usage::Decision,
};
use scim::{Op, ResourceType, ScimError};
use serde_json::{Value, json};
use store::{Change, Conn, calls::Call, links::Link};

use super::{Gate, planned::Planned, reconcile, requests::Shown, target, told, told::Told, translate};
use crate::{Cx, Error, ScimClient, effect, journal, scim_client::Asked};

/// One change on its way to an upstream.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) cx: Cx<ScimClient>,
    pub(super) asked: Asked,
    pub(super) gate: Arc<Gate>,
    pub(super) kind: ResourceType,
}

/// What was sent, for the record of the intent.
pub(super) struct Sent {
    pub(super) verb: CallVerb,
    pub(super) hash: String,
}

pub(super) fn hash_of(body: &Value) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.to_string().as_bytes()).as_ref())
}

/// How a call ends in the database.
pub(super) enum End {
    /// The link as it is now.
    Written(Link),
    /// It never came into being.
    Removed(Link),
    /// As it was.
    Same,
}

impl Job {
    pub(super) async fn new(cx: &Cx<ScimClient>, asked: &Asked, kind: ResourceType) -> Result<Self, Error> {
        let gate = Arc::new(cx.gate(&cx.actor.federation).await?);
        Ok(Self { cx: cx.clone(), asked: asked.clone(), gate, kind })
    }

    pub(super) fn now_ms(&self) -> Millis {
        self.cx.now_ms()
    }

    pub(super) fn unique_names(&self) -> bool {
        self.kind == ResourceType::User || self.cx.actor.federation.scim.unique_group_names
    }

    pub(super) async fn turn(&self, of: &str) -> Result<super::Turn<'_>, Error> {
        let key = format!("{} {} {of}", self.cx.federation_id(), self.kind);
        self.cx.keyward.turn(key, self.gate.upstream.limits.timeout_ms).await
    }

    pub(super) async fn link(&self, id: &str) -> Result<Link, Error> {
        let mut reader = self.cx.read().await?;
        let found = store::links::by_id(&mut reader.conn(), self.cx.federation_id(), self.kind, id).await?;
        found.filter(|link| link.state != LinkState::Gone).ok_or(Error::NotFound("resource"))
    }

    /// The link, once it is known what became of earlier calls to it.
    pub(super) async fn certain(&self, link: Link) -> Result<Link, Error> {
        let mut reader = self.cx.read().await?;
        let calls = store::calls::unsettled_of(&mut reader.conn(), self.cx.federation_id(), &link.id).await?;
        drop(reader);
        if calls.is_empty() {
            return Ok(link);
        }
        let id = link.id.to_string();
        match reconcile::settle(&self.cx, &self.gate, link, &calls).await? {
            reconcile::Found::Settled => self.link(&id).await,
            reconcile::Found::Open => Err(told::weather(
                "it is not known yet whether an earlier change was made; come back later",
                told::UNCLEAR_RETRY_S,
            )),
        }
    }

    /// What the provider is told of a call that was not done; what our credential was refused for
    /// is put on record.
    pub(super) async fn fail<T>(&self, told: Told, names: &[(&str, &str)]) -> Result<T, Error> {
        if let Told::Denied(status) = told {
            target::record_denied(&self.cx, &self.gate, &self.cx.actor.federation, status).await?;
        }
        Err(told.into_error(&self.gate.upstream.base_url, &self.gate.base, names))
    }

    pub(super) fn event(&self, action: Action, link: &Link, more: &Value) -> AuditEvent {
        let mut detail = json!({ "id": link.id, "upstream_id": link.upstream_id });
        if let (Value::Object(detail), Value::Object(more)) = (&mut detail, more) {
            detail.extend(more.clone());
        }
        self.cx.directory_event(action, &link.name_lower, &detail)
    }

    /// Step one: the intent, with its audit record, once the guard lets the change pass. `new` is a link that
    /// comes into being with it.
    pub(super) async fn intend(
        &self,
        link: &Link,
        sent: &Sent,
        new: bool,
        planned: Planned,
    ) -> Result<String, Error> {
        let call = Call {
            id: RequestId::new(self.now_ms(), self.cx.keyward.id_chance()).to_string(),
            key_id: self.cx.actor.key_id.to_string(),
            request_id: self.cx.request.id.to_string(),
            verb: sent.verb,
            kind: self.kind,
            resource_id: link.id.clone(),
            payload_hash: sent.hash.clone(),
            state: CallState::Intended,
            attempts: 0,
            note: String::new(),
            intended_ms: self.now_ms(),
            undo_id: None,
        };
        let event = self.event(
            Action::UpstreamAsked,
            link,
            &json!({ "verb": sent.verb.as_str(), "type": self.kind.name(), "sha256": sent.hash }),
        );
        let id = call.id.clone();
        let (job, link, is_unique) = (self.clone(), new.then(|| link.clone()), self.unique_names());
        let made = self
            .cx
            .keyward
            .commit(async move |conn: &mut Conn<'_>| {
                let own = &job.cx;
                own.still_accepted(conn).await?;
                if let Some(held) = job.guard(conn, &planned).await? {
                    return Ok(held.stop());
                }
                if let Some(link) = &link {
                    let federation_id = own.federation_id();
                    let other =
                        store::links::by_live_name(conn, federation_id, link.kind, &link.name_lower).await?;
                    let takes_name = is_unique || other.is_none();
                    store::links::insert(conn, federation_id, link, takes_name).await.map_err(taken)?;
                }
                store::calls::insert(conn, own.federation_id(), &call).await?;
                Ok(Change::new(Ok(()), event.clone()))
            })
            .await?;
        effect::told(made)?;
        Ok(id)
    }

    /// Step three: the outcome.
    pub(super) async fn conclude(
        &self,
        call_id: &str,
        (state, note): (CallState, String),
        end: End,
        done: Option<(AuditEvent, u16)>,
    ) -> Result<(), Error> {
        let done = done.map(|(event, status)| {
            let id = match &end {
                End::Written(link) | End::Removed(link) => Some(link.id.to_string()),
                End::Same => None,
            };
            (event, self.cx.usage(&self.asked, id.as_deref(), status, Decision::Allowed, None))
        });
        let (own, asked) = (self.cx.clone(), self.asked.clone());
        let (call_id, now_ms) = (call_id.to_owned(), self.now_ms());
        self.cx
            .keyward
            .commit(async move |conn: &mut Conn<'_>| {
                let federation_id = own.federation_id();
                store::calls::settle(conn, federation_id, &call_id, state, &note, now_ms).await?;
                match &end {
                    End::Written(link) => {
                        if done.is_some() {
                            let source = own.request.source.map(|address| address.to_string());
                            let author = journal::author(&own, &asked, source.as_deref());
                            journal::upstream::change(&own.keyward, conn, federation_id, author, link)
                                .await?;
                        }
                        store::links::update(conn, federation_id, link).await?;
                    }
                    End::Removed(link) => {
                        store::links::delete(conn, federation_id, link.kind, &link.id).await?;
                    }
                    End::Same => {}
                }
                Ok(match &done {
                    Some((event, usage)) => Change::new((), event.clone()).with_usage(usage.clone()),
                    None => Change::nothing(()),
                })
            })
            .await
    }

    /// Nobody knows whether it was done: the call stays open, and the provider comes back.
    pub(super) async fn open<T>(&self, call_id: &str, told: Told) -> Result<T, Error> {
        self.conclude(call_id, (CallState::Unknown, told.note()), End::Same, None).await?;
        self.fail(told, &[]).await
    }

    /// A change that was not done, or of which nobody knows.
    pub(super) async fn not_done<T>(&self, call_id: &str, link: &Link, told: Told) -> Result<T, Error> {
        let names = [(link.upstream_id.as_deref().unwrap_or_default(), link.id.as_str())];
        if matches!(told, Told::Unclear(_) | Told::Fine { .. }) {
            return self.open(call_id, told).await;
        }
        let end = if matches!(told, Told::Refused { status: 404, .. }) {
            End::Written(gone(link.clone(), self.now_ms()))
        } else {
            End::Same
        };
        self.conclude(call_id, (CallState::Failed, told.note()), end, None).await?;
        self.fail(told, &names).await
    }

    /// Notes how a resource looks at the upstream.
    pub(super) fn refresh(&self, link: &mut Link, resource: &Value) {
        refresh(self.kind, link, resource, self.now_ms());
    }

    /// A resource of theirs as ours.
    pub(super) async fn shown(
        &self,
        resource: Value,
        etag: Option<String>,
        known: Option<(&str, &ResourceId)>,
    ) -> Result<Shown, Error> {
        let etag = etag.or_else(|| translate::version_of(&resource));
        let mut resources = vec![resource];
        self.gate.inward(&self.cx.keyward, self.kind, &mut resources, known).await?;
        let body = resources.pop().ok_or_else(|| Error::Internal("a resource without an id".to_owned()))?;
        let location = body.pointer("/meta/location").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Shown { body, etag, location })
    }

    /// A body in ids of theirs.
    pub(super) async fn body(&self, mut body: Value) -> Result<Value, Error> {
        let mut ids = BTreeSet::new();
        translate::ids_in(&body, &mut ids);
        let outward = self.gate.outward(&self.cx.keyward, &ids).await?;
        if let Some(Value::Array(members)) = body.get("members") {
            check_members(members, &outward)?;
        }
        translate::outward(&mut body, &outward);
        Ok(body)
    }

    /// Operations in ids of theirs.
    pub(super) async fn outward_ops(&self, ops: Vec<Op>) -> Result<Vec<Op>, Error> {
        let mut ids = BTreeSet::new();
        for op in &ops {
            if let Some(value) = &op.value {
                translate::ids_in(value, &mut ids);
            }
            if let Some(path) = &op.path {
                translate::quoted_ids(&path.to_string(), &mut ids);
            }
        }
        let outward = self.gate.outward(&self.cx.keyward, &ids).await?;
        ops.into_iter()
            .map(|mut op| {
                if let Some(value) = &mut op.value {
                    let is_members = op.path.as_ref().is_some_and(|path| path.to_string() == "members");
                    if let Value::Array(members) = &*value
                        && is_members
                        && op.verb != scim::Verb::Remove
                    {
                        check_members(members, &outward)?;
                    }
                    translate::outward(value, &outward);
                }
                op.path = match op.path {
                    Some(path) => {
                        Some(scim::PatchPath::parse(&translate::outward_text(&path.to_string(), &outward))?)
                    }
                    None => None,
                };
                Ok(op)
            })
            .collect()
    }
}

/// Only what is known here may join: an id of nobody would be another's at the upstream.
fn check_members(members: &[Value], outward: &translate::Outward) -> Result<(), ScimError> {
    for member in members {
        let id = member.get("value").unwrap_or(member).as_str().unwrap_or_default();
        if !outward.contains_key(id) {
            return Err(ScimError::invalid_value(format!(
                "members: {id:?} is not the id of a user or another group here"
            )));
        }
    }
    Ok(())
}

fn taken(error: store::Error) -> Error {
    match error {
        store::Error::Conflict(what) => ScimError::uniqueness(what).into(),
        store::Error::Stale
        | store::Error::Serialization
        | store::Error::Unavailable(_)
        | store::Error::Absent(_)
        | store::Error::Newer(_)
        | store::Error::Refused(_)
        | store::Error::Corrupt(_) => error.into(),
    }
}

/// Notes how a resource looks at the upstream.
pub(super) fn refresh(kind: ResourceType, link: &mut Link, resource: &Value, now_ms: Millis) {
    let name = translate::name_of(kind, resource);
    if !name.is_empty() {
        translate::clip(&scim::fold_case(&name)).clone_into(&mut link.name_lower);
    }
    link.external_id = translate::external_id_of(resource).or_else(|| link.external_id.take());
    link.upstream_version = translate::version_of(resource);
    let mut kept = resource.clone();
    if let Value::Object(parts) = &mut kept {
        parts.remove("password");
    }
    link.body = kept.to_string();
    link.modified_ms = now_ms;
}

/// A link whose resource is no more; its id there may be given to another one.
pub(super) fn gone(link: Link, now_ms: Millis) -> Link {
    Link { state: LinkState::Gone, upstream_id: None, modified_ms: now_ms, ..link }
}
