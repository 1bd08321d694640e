//! The identity provider's side: who a presented key is, and what becomes of its requests.
//!
//! Every request that presented a key of the right form leaves a usage record before it is
//! answered: with the change that it made, or by itself. Refusals also leave an audit record.
//! Unknown, expired and revoked keys look the same from outside.

use std::sync::Arc;

use domain::{
    FederationId, KeyId,
    audit::{Action, ActorKind, ActorRef, AuditEvent, Outcome},
    federations::{Federation, FederationStatus},
    keys,
    scopes::{ResourceKind, Verb},
    usage::{Decision, UsageRecord, clean},
};
use store::{Change, Conn, keys::StoredKey};

use crate::{Actor, Cx, Error, Keyward, RequestInfo, ScimClient};

/// Seconds after which a provider may come back to a paused federation.
const PAUSED_RETRY_S: u32 = 300;

/// A hash that no key has: SHA-256 digits all zero.
const NO_HASH: &str = domain::audit::GENESIS;

/// What a SCIM request asks for, as its usage record tells it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// HTTP method.
    pub method: String,
    /// `Users`, `Groups`, or the discovery endpoint.
    pub resource_type: String,
    /// The resource that the path names.
    pub resource_id: Option<String>,
    /// What was understood of it although no standard says so.
    pub tolerated: Vec<String>,
}

fn not_accepted() -> Error {
    Error::Unauthenticated("the bearer token is missing, unknown or no longer valid".to_owned())
}

fn paused() -> Error {
    Error::Held {
        message: "this federation is paused; nothing is lost, come back later".to_owned(),
        retry_after_s: PAUSED_RETRY_S,
    }
}

/// Finds out whose key was presented at the base of a federation.
///
/// # Errors
/// Unauthenticated for no key, and alike for unknown, expired and revoked ones; Forbidden from
/// outside the key's networks; NotFound on another federation's base; Held while it is paused.
pub async fn authenticate(
    keyward: &Arc<Keyward>,
    request: &RequestInfo,
    slug: &str,
    bearer: Option<&str>,
    asked: &Asked,
) -> Result<Cx<ScimClient>, Error> {
    // Form and checksum before any look-up: what is not a key costs the database nothing.
    let presented = bearer.and_then(|text| keys::parse(text).ok()).ok_or_else(not_accepted)?;
    let mut reader = keyward.store.read().await?;
    let stored = store::keys::with_federation(&mut reader.conn(), &presented.id).await?;
    drop(reader);
    let gate = Gate { keyward, request, asked, key_id: &presented.id };
    // An unknown id costs the same as a known one.
    let hash = stored.as_ref().map_or(NO_HASH, |(stored, _)| stored.hash.as_str());
    let fits = keyward.vault.is_hash_of(presented.text, hash);
    let Some((StoredKey { key, .. }, federation)) = stored.filter(|_| fits) else {
        return gate.refuse(None, Decision::Refused, "unknown key", not_accepted()).await;
    };
    let of = Some((&federation, key.name.as_str()));
    let state = key.life.state(keyward.clock.now_ms());
    if !state.is_accepted() {
        let reason = format!("key is {}", state.label().to_lowercase());
        return gate.refuse(of, Decision::Refused, &reason, not_accepted()).await;
    }
    if federation.status == FederationStatus::Archived {
        return gate.refuse(of, Decision::Refused, "federation is archived", not_accepted()).await;
    }
    if federation.slug.as_str() != slug {
        let reason = format!("key of {} presented at {:?}", federation.slug, clean(slug, 100));
        return gate.refuse(of, Decision::Refused, &reason, Error::NotFound("resource")).await;
    }
    if let Err(refusal) = key.scope.admits_source(request.source) {
        let error = Error::Forbidden(refusal.to_string());
        return gate.refuse(of, Decision::Denied, &refusal.to_string(), error).await;
    }
    let cx = Cx {
        keyward: Arc::clone(keyward),
        actor: ScimClient {
            federation,
            key_id: key.id,
            key_name: key.name,
            key_version: key.version,
            ends_ms: key.life.ends_ms(),
            scope: key.scope,
        },
        request: request.clone(),
    };
    if cx.actor.federation.status == FederationStatus::Paused {
        cx.record(asked, None, 503, Decision::Denied, Some("federation is paused")).await?;
        return Err(paused());
    }
    Ok(cx)
}

/// A request whose key does not open.
struct Gate<'a> {
    keyward: &'a Arc<Keyward>,
    request: &'a RequestInfo,
    asked: &'a Asked,
    key_id: &'a KeyId,
}

impl Gate<'_> {
    async fn refuse<T>(
        &self,
        of: Option<(&Federation, &str)>,
        decision: Decision,
        reason: &str,
        error: Error,
    ) -> Result<T, Error> {
        let federation_id = of.map(|(federation, _)| federation.id.clone());
        let usage = usage_record(
            self.keyward,
            self.request,
            self.asked,
            (federation_id.clone(), self.key_id.clone()),
            None,
            (status_of(&error), decision),
            Some(reason),
        );
        let cx = Cx {
            keyward: Arc::clone(self.keyward),
            actor: Presented {
                key_id: self.key_id.clone(),
                name: of.map_or("unknown", |(_, name)| name).to_owned(),
            },
            request: self.request.clone(),
        };
        let event = AuditEvent {
            outcome: Outcome::Refused,
            reason: Some(reason.to_owned()),
            federation_id,
            // The key is named only when it is one of ours.
            key_id: of.map(|_| self.key_id.clone()),
            target: of.map(|(_, name)| name.to_owned()),
            ..cx.event(Action::KeyRefused)
        };
        let record =
            async move |_: &mut Conn<'_>| Ok(Change::new((), event.clone()).with_usage(usage.clone()));
        self.keyward.commit(record).await?;
        Err(error)
    }
}

/// A key that was presented and proves nothing.
struct Presented {
    key_id: KeyId,
    name: String,
}

impl Actor for Presented {
    fn as_ref(&self) -> ActorRef {
        ActorRef { kind: ActorKind::Key, id: self.key_id.to_string(), name: self.name.clone() }
    }
}

impl Cx<ScimClient> {
    /// Decides an operation by the key's scope.
    pub(crate) fn admit(&self, verb: Verb, resource: ResourceKind) -> Result<(), Error> {
        let refusal = self.actor.scope.admits(verb, resource, self.request.source);
        refusal.map_err(|refusal| Error::Forbidden(refusal.to_string()))
    }

    /// The first line of every unit of a provisioning key: it was accepted before the body was
    /// read, which may be long ago. What was revoked, paused or archived since changes nothing any
    /// more.
    pub(crate) async fn still_accepted(&self, conn: &mut Conn<'_>) -> Result<(), Error> {
        let ScimClient { federation, key_id, key_version, ends_ms, .. } = &self.actor;
        let is_as_seen =
            store::keys::is_as_seen(conn, &federation.id, key_id, *key_version, federation.version).await?;
        if is_as_seen && self.now_ms() < *ends_ms {
            return Ok(());
        }
        let found = store::keys::with_federation(conn, key_id).await?;
        let Some((StoredKey { key, .. }, federation)) = found else { return Err(not_accepted()) };
        match federation.status {
            _ if !key.life.state(self.now_ms()).is_accepted() => Err(not_accepted()),
            FederationStatus::Live => Ok(()),
            FederationStatus::Paused => Err(paused()),
            FederationStatus::Archived => Err(not_accepted()),
        }
    }

    /// The federation that every row of this client belongs to.
    pub(crate) fn federation_id(&self) -> &FederationId {
        &self.actor.federation.id
    }

    /// An audit event of a change in the directory.
    pub(crate) fn directory_event(
        &self,
        action: Action,
        target: &str,
        detail: &serde_json::Value,
    ) -> AuditEvent {
        AuditEvent {
            federation_id: Some(self.federation_id().clone()),
            key_id: Some(self.actor.key_id.clone()),
            target: Some(target.to_owned()),
            detail: detail.to_string(),
            ..self.event(action)
        }
    }

    /// The usage record of this request.
    pub(crate) fn usage(
        &self,
        asked: &Asked,
        resource_id: Option<&str>,
        status: u16,
        decision: Decision,
        reason: Option<&str>,
    ) -> UsageRecord {
        let key = (Some(self.federation_id().clone()), self.actor.key_id.clone());
        usage_record(&self.keyward, &self.request, asked, key, resource_id, (status, decision), reason)
    }

    /// Writes the usage record of a request that changed nothing.
    pub(crate) async fn record(
        &self,
        asked: &Asked,
        resource_id: Option<&str>,
        status: u16,
        decision: Decision,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let record = self.usage(asked, resource_id, status, decision, reason);
        let strict = self.keyward.settings.strict_reads;
        Ok(self.keyward.store.committer().record_usage(record, strict).await?)
    }

    /// Gives the answer of a read, once its usage record is written.
    pub(crate) async fn answered<T>(
        &self,
        asked: &Asked,
        action: Action,
        found: Result<T, Error>,
    ) -> Result<T, Error> {
        if found.is_ok() {
            self.record(asked, None, 200, Decision::Allowed, None).await?;
        }
        self.changed(asked, action, found).await
    }

    /// Gives the answer of a change: when it was made, its records are committed with it; when it
    /// was not, they are written now. What the scope denied also leaves an audit record.
    pub(crate) async fn changed<T>(
        &self,
        asked: &Asked,
        action: Action,
        made: Result<T, Error>,
    ) -> Result<T, Error> {
        let error = match made {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Error::Forbidden(reason) = &error else { return self.failed(asked, error).await };
        let usage = self.usage(asked, None, 403, Decision::Denied, Some(reason));
        let target = clean(asked.resource_id.as_deref().unwrap_or_default(), 100);
        let event = AuditEvent {
            outcome: Outcome::Refused,
            reason: Some(reason.clone()),
            ..self.directory_event(action, &target, &serde_json::json!({}))
        };
        let record =
            async move |_: &mut Conn<'_>| Ok(Change::new((), event.clone()).with_usage(usage.clone()));
        self.keyward.commit(record).await?;
        Err(error)
    }

    /// Records a request that failed.
    async fn failed<T>(&self, asked: &Asked, error: Error) -> Result<T, Error> {
        let decision = match error {
            Error::Held { .. } | Error::Forbidden(_) => Decision::Denied,
            Error::Unauthenticated(_) => Decision::Refused,
            Error::Invalid(_)
            | Error::NotFound(_)
            | Error::Conflict(_)
            | Error::Stale(_)
            | Error::Scim(_)
            | Error::Unavailable(_)
            | Error::Internal(_) => Decision::Allowed,
        };
        self.record(asked, None, status_of(&error), decision, Some(&error.to_string())).await?;
        Err(error)
    }

    /// Records a request to a discovery endpoint, which every accepted key may read.
    pub async fn discovered(&self, asked: &Asked) -> Result<(), Error> {
        self.record(asked, None, 200, Decision::Allowed, None).await
    }

    /// Records a request that the edge refused before an operation saw it: a body that cannot be
    /// read, a method that does not exist.
    pub async fn refused_at_edge(&self, asked: &Asked, status: u16, reason: &str) -> Result<(), Error> {
        self.record(asked, None, status, Decision::Allowed, Some(reason)).await
    }
}

fn usage_record(
    keyward: &Keyward,
    request: &RequestInfo,
    asked: &Asked,
    (federation_id, key_id): (Option<FederationId>, KeyId),
    resource_id: Option<&str>,
    (status, decision): (u16, Decision),
    reason: Option<&str>,
) -> UsageRecord {
    UsageRecord {
        request_id: request.id.clone(),
        at_ms: request.arrived_ms,
        federation_id,
        key_id,
        method: clean(&asked.method, 20),
        resource_type: clean(&asked.resource_type, 40),
        resource_id: resource_id.or(asked.resource_id.as_deref()).map(|id| clean(id, 100)),
        status,
        decision,
        reason: reason.map(|reason| clean(reason, 300)),
        duration_us: keyward.clock.monotonic_us() - request.arrived_us,
        source: request.source.map(|address| address.to_string()),
        user_agent: request.user_agent.clone(),
        tolerated: asked.tolerated.clone(),
    }
}

/// The status that the SCIM edge gives an error; the usage record is written before the edge
/// answers.
pub fn status_of(error: &Error) -> u16 {
    match error {
        Error::Invalid(_) => 400,
        Error::Unauthenticated(_) => 401,
        Error::Forbidden(_) => 403,
        Error::NotFound(_) => 404,
        Error::Conflict(_) => 409,
        Error::Stale(_) => 412,
        Error::Scim(error) => error.status,
        Error::Held { .. } | Error::Unavailable(_) => 503,
        Error::Internal(_) => 500,
    }
}
