//! The identity provider's side: who a presented key is, and what becomes of its requests.
//!
//! Every request that presented a key of the right form leaves a usage record before it is
//! answered: with the change that it made, or by itself. Refusals also leave an audit record.
//! Unknown, expired and revoked keys look the same from outside.

mod gate;
mod known;

use std::sync::{Arc, atomic::Ordering};

use domain::{
    FederationId, KeyId, RequestId,
    audit::{Action, AuditEvent, Outcome},
    brakes::MarkKind,
    federations::{FederationStatus, FederationTarget},
    keys::{self, KeyState, SecretKind},
    scopes::{self, ResourceKind, Verb},
    usage::{Decision, Facts, ListSeen, UsageRecord, clean, is_work},
};
use store::{Change, Conn, keys::StoredKey};

pub(crate) use self::gate::Presented;
use self::{gate::Gate, known::known_key};
use crate::{
    Cx, Error, Keyward, RequestInfo, ScimClient, Visitor, brakes, findings, oauth,
    ports::{Refusal, Refusals, Unlimited},
    rotations::clock,
};

/// Seconds after which a provider may come back to a paused federation.
const PAUSED_RETRY_S: u32 = 300;

/// A digest that no key has.
const NO_DIGEST: [u8; 32] = [0; 32];

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
    /// The id of its usage record when it is one operation of many in a request.
    pub operation: Option<RequestId>,
}

fn not_accepted() -> Error {
    Error::Unauthenticated("the bearer token is missing, unknown or no longer valid".to_owned())
}

fn held() -> Error {
    Error::Held {
        message: "this key is held; nothing is lost, come back later".to_owned(),
        retry_after_s: PAUSED_RETRY_S,
    }
}

fn doubted() -> Error {
    Error::Held {
        message: "the time is in doubt; nothing is lost, come back later".to_owned(),
        retry_after_s: PAUSED_RETRY_S,
    }
}

/// Whether a key that has ended by time may not have: the clock has jumped, and nobody has agreed to it.
async fn is_in_doubt(keyward: &Keyward) -> Result<bool, Error> {
    clock::is_in_doubt(&mut keyward.store.read().await?.conn()).await
}

fn paused() -> Error {
    Error::Held {
        message: "this federation is paused; nothing is lost, come back later".to_owned(),
        retry_after_s: PAUSED_RETRY_S,
    }
}

/// Finds out whose key or access token was presented at the base of a federation.
///
/// # Errors
/// Unauthenticated for neither, and alike for unknown, expired and revoked ones; Forbidden from
/// outside the key's networks; NotFound on another federation's base; Held while it is paused.
pub async fn authenticate(
    keyward: &Arc<Keyward>,
    request: &RequestInfo,
    slug: &str,
    bearer: Option<&str>,
    asked: &Asked,
) -> Result<Cx<ScimClient>, Error> {
    authenticate_within(keyward, request, slug, bearer, asked, &Unlimited).await
}

/// As [`authenticate`], with a limit on how many refusals of one source are recorded one by one.
/// Whoever presents an accepted key is let in, however many others the source was refused with.
///
/// # Errors
/// As [`authenticate`]; Throttled beyond the limit.
pub async fn authenticate_within(
    keyward: &Arc<Keyward>,
    request: &RequestInfo,
    slug: &str,
    bearer: Option<&str>,
    asked: &Asked,
    refusals: &dyn Refusals,
) -> Result<Cx<ScimClient>, Error> {
    // Form and checksum before any look-up: what is not a key costs the database nothing.
    let Some(presented) = bearer.and_then(|text| keys::parse_bearer(text).ok()) else {
        check_refusals(keyward, request, refusals, Action::KeyRefused).await?;
        return Err(not_accepted());
    };
    let known = known_key(keyward, &presented.id).await?;
    let gate = Gate { keyward, request, slug, asked, key_id: &presented.id, refusals };
    // An unknown id costs the same as a known one.
    let digest = known.as_ref().map_or(&NO_DIGEST, |(key, _)| &key.digest);
    let mut fits = keyward.vault.is_digest_of(presented.text, digest);
    let mut token = None;
    if presented.kind == SecretKind::Token {
        let of = known.as_ref().map(|(key, _)| &key.federation.id);
        token = Box::pin(oauth::known_token(keyward, &presented, of)).await?;
        fits = token.is_some();
    }
    let Some((key, proof)) = known.filter(|_| fits) else {
        let reason = if presented.kind == SecretKind::Token { "unknown token" } else { "unknown key" };
        return gate.refuse(None, Decision::Refused, reason, not_accepted()).await;
    };
    let federation = &key.federation;
    let of = Some((&**federation, &*key.name));
    if key.canary {
        return Box::pin(gate.canary(of)).await;
    }
    let state = key.life.state(keyward.clock.now_ms());
    if state == KeyState::Expired && is_in_doubt(keyward).await? {
        return gate.refuse(of, Decision::Denied, "the time is in doubt", doubted()).await;
    }
    if !state.is_accepted() {
        return Box::pin(gate.ended(of, state)).await;
    }
    let (holder, secrets) = (key.holder, federation.scim.oauth_secrets);
    if let Some(reason) =
        token.as_ref().and_then(|token| token.refusal(holder, secrets, keyward.clock.now_ms()))
    {
        return gate.refuse(of, Decision::Refused, reason, not_accepted()).await;
    }
    if federation.status == FederationStatus::Archived {
        return gate.refuse(of, Decision::Refused, "federation is archived", not_accepted()).await;
    }
    if federation.slug.as_str() != slug {
        let reason = format!("key of {} presented at {:?}", federation.slug, clean(slug, 100));
        return gate.refuse(of, Decision::Refused, &reason, Error::NotFound("resource")).await;
    }
    let now_ms = keyward.clock.now_ms();
    let admitted = key.scope.admits_source(request.source).and_then(|()| key.scope.admits_time(now_ms));
    if let Err(refusal) = admitted {
        let error = Error::Forbidden(refusal.to_string());
        return gate.refuse(of, Decision::Denied, &refusal.to_string(), error).await;
    }
    let cx = Cx {
        keyward: Arc::clone(keyward),
        actor: ScimClient {
            federation: Arc::clone(federation),
            key_id: presented.id,
            key_name: Arc::clone(&key.name),
            key_version: key.version,
            ends_ms: token.as_ref().map_or(key.life.ends_ms(), |token| token.ends_ms(&key.life)),
            scope: match &token {
                Some(token) => token.narrow(&key.scope),
                None => Arc::clone(&key.scope),
            },
            token_hash: token.map(|token| token.hash),
            schemas: Arc::clone(&key.schemas),
            guards: Arc::clone(&key.guards),
            as_seen: Arc::default(),
            proof,
        },
        request: request.clone(),
    };
    if cx.actor.federation.status == FederationStatus::Paused {
        cx.record(asked, None, 503, Decision::Denied, Some("federation is paused")).await?;
        return Err(paused());
    }
    if state == KeyState::Held {
        cx.record(asked, None, 503, Decision::Denied, Some("key is held")).await?;
        return Err(held());
    }
    Ok(cx)
}

/// Counts one more refusal of somebody unknown: a request without an accepted key, a failed sign-in.
///
/// # Errors
/// Throttled when the source has had too many; that is recorded once a minute, with their number.
pub async fn check_refusals(
    keyward: &Arc<Keyward>,
    request: &RequestInfo,
    refusals: &dyn Refusals,
    action: Action,
) -> Result<(), Error> {
    let (retry_after_s, summary) = match refusals.refused(request.source) {
        Refusal::Recorded => return Ok(()),
        Refusal::TooMany { retry_after_s, summary } => (retry_after_s, summary),
    };
    if let Some(count) = summary {
        let cx = Cx { keyward: Arc::clone(keyward), actor: Visitor, request: request.clone() };
        let reason = format!(
            "too many refusals from this address: {count} not recorded one by one since the last record of this kind"
        );
        keyward.record_refusal(cx.event(action), &reason).await?;
    }
    Err(Error::Throttled {
        message: "too much was refused from this address; try again later".to_owned(),
        retry_after_s,
    })
}

impl Cx<ScimClient> {
    /// Decides an operation by the key's scope, as far as that is known before it is looked at.
    pub(crate) fn admit(&self, verb: Verb, resource: ResourceKind) -> Result<(), Error> {
        if self.actor.federation.target == FederationTarget::Upstream
            && let Some(dimension) = self.actor.scope.not_kept_upstream()
        {
            return Err(Error::Forbidden(scopes::Refusal::NotEnforced(dimension).to_string()));
        }
        let refusal = self.actor.scope.admits(verb, resource, self.request.source);
        refusal.map_err(|refusal| Error::Forbidden(refusal.to_string()))
    }

    /// One operation of a request that holds many. It gets a usage record with an id of its own: the
    /// one of the request belongs to the request.
    pub fn operation(&self, method: &str, resource_type: &str, resource_id: Option<&str>) -> Asked {
        Asked {
            method: method.to_owned(),
            resource_type: resource_type.to_owned(),
            resource_id: resource_id.map(|id| clean(id, 100)),
            tolerated: Vec::new(),
            operation: Some(RequestId::new(self.now_ms(), self.keyward.id_chance())),
        }
    }

    /// Decides a change by the key's scope before its body is read; what the scope denies is
    /// recorded.
    ///
    /// # Errors
    /// Forbidden by the scope.
    pub async fn allow(&self, asked: &Asked, verb: Verb, resource: ResourceKind) -> Result<(), Error> {
        let action = match (resource, verb) {
            (ResourceKind::Users, Verb::Create) => Action::UserCreated,
            (ResourceKind::Users, Verb::Read) => Action::UserRead,
            (ResourceKind::Users, Verb::Update) => Action::UserUpdated,
            (ResourceKind::Users, Verb::Delete) => Action::UserDeleted,
            (ResourceKind::Groups, Verb::Create) => Action::GroupCreated,
            (ResourceKind::Groups, Verb::Read) => Action::GroupRead,
            (ResourceKind::Groups, Verb::Update) => Action::GroupUpdated,
            (ResourceKind::Groups, Verb::Delete) => Action::GroupDeleted,
        };
        self.changed(asked, action, self.admit(verb, resource)).await
    }

    /// Refuses a request of an accepted key that comes too soon. `is_told` leaves a usage record: one
    /// for many, or the record would cost what the limit saves.
    pub async fn too_soon(&self, asked: &Asked, message: String, retry_after_s: u32, is_told: bool) -> Error {
        if is_told {
            let recorded = self.record(asked, None, 429, Decision::Denied, Some(&message)).await;
            if let Err(error) = recorded {
                return error;
            }
        }
        Error::Throttled { message, retry_after_s }
    }

    /// The first line of every unit of a provisioning key: it was accepted before the body was
    /// read, which may be long ago. What was revoked, paused or archived since changes nothing any
    /// more.
    pub(crate) async fn still_accepted(&self, conn: &mut Conn<'_>) -> Result<(), Error> {
        let ScimClient { federation, key_id, key_version, ends_ms, guards, as_seen, proof, .. } = &self.actor;
        let is_as_seen = proof.as_ref().is_some_and(|proof| conn.still_holds(proof))
            || store::keys::is_guarded_as_seen(
                conn,
                &federation.id,
                key_id,
                *key_version,
                federation.version,
                guards.version,
            )
            .await?;
        as_seen.store(is_as_seen, Ordering::Relaxed);
        if is_as_seen && self.now_ms() < *ends_ms {
            return Ok(());
        }
        let found = store::keys::with_federation(conn, key_id).await?;
        let Some((StoredKey { key, .. }, federation)) = found else { return Err(not_accepted()) };
        if let Some(hash) = &self.actor.token_hash {
            // The public key that proved it may have been taken away.
            let token = store::oauth::token(conn, &federation.id, key_id, hash).await?;
            if token.is_none() || self.now_ms() >= *ends_ms {
                return Err(not_accepted());
            }
        }
        if !self.actor.scope.is_within(&key.scope) {
            return Err(Error::Held {
                message: "the scope of this key has just become narrower; ask again".to_owned(),
                retry_after_s: 1,
            });
        }
        let state = key.life.state(self.now_ms());
        match federation.status {
            _ if state == KeyState::Expired && clock::is_in_doubt(conn).await? => Err(doubted()),
            _ if !state.is_accepted() => Err(not_accepted()),
            FederationStatus::Live if state == KeyState::Held => Err(held()),
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
        let mut record =
            usage_record(&self.keyward, &self.request, asked, key, resource_id, (status, decision), reason);
        record.facts.is_canary = record
            .resource_id
            .as_deref()
            .is_some_and(|id| self.actor.guards.kind_of(id) == Some(MarkKind::Canary));
        record
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
        if store::recording::is_off() {
            return Ok(());
        }
        self.write(self.usage(asked, resource_id, status, decision, reason)).await
    }

    async fn write(&self, record: UsageRecord) -> Result<(), Error> {
        if store::recording::is_off() {
            return Ok(());
        }
        let strict = self.keyward.settings.strict_reads;
        let record = Arc::new(record);
        self.keyward.store.committer().record_usage(Arc::clone(&record), strict).await?;
        self.keyward.observe(&record).await;
        Ok(())
    }

    /// Gives the answer of a list, once its usage record is written: what it asked for and found tells a
    /// connection test from work.
    pub(crate) async fn listed<T>(
        &self,
        asked: &Asked,
        action: Action,
        found: Result<T, Error>,
        seen: impl FnOnce(&T) -> ListSeen,
    ) -> Result<T, Error> {
        if let Ok(list) = &found
            && !store::recording::is_off()
        {
            let list = seen(list);
            let is_work = is_work(Decision::Allowed, 200, Some(list));
            let record = self.usage(asked, None, 200, Decision::Allowed, None);
            let facts = Facts { list: Some(list), ..record.facts };
            self.write(UsageRecord { is_work, facts, ..record }).await?;
        }
        self.changed(asked, action, found).await
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
    /// was not, they are written now. What the scope denied also leaves an audit record, and an attempt at what is
    /// protected a finding.
    pub(crate) async fn changed<T>(
        &self,
        asked: &Asked,
        action: Action,
        made: Result<T, Error>,
    ) -> Result<T, Error> {
        match made {
            Ok(value) => Ok(value),
            Err(error) => Box::pin(self.not_made(asked, action, error)).await,
        }
    }

    async fn not_made<T>(&self, asked: &Asked, action: Action, error: Error) -> Result<T, Error> {
        let (Error::Forbidden(reason) | Error::Protected(reason)) = &error else {
            return self.failed(asked, error).await;
        };
        let finding = matches!(error, Error::Protected(_)).then(|| brakes::attempted(self, reason));
        let usage = self.usage(asked, None, 403, Decision::Denied, Some(reason));
        let target = clean(asked.resource_id.as_deref().unwrap_or_default(), 100);
        let event = AuditEvent {
            outcome: Outcome::Refused,
            reason: Some(reason.clone()),
            ..self.directory_event(action, &target, &serde_json::json!({}))
        };
        let now_ms = self.now_ms();
        let record = async move |conn: &mut Conn<'_>| {
            if let Some(finding) = &finding {
                findings::raise(conn, finding, now_ms).await?;
            }
            Ok(Change::new((), event.clone()).with_usage(usage.clone()))
        };
        self.keyward.commit(record).await?;
        Err(error)
    }

    /// Records a request that failed.
    async fn failed<T>(&self, asked: &Asked, error: Error) -> Result<T, Error> {
        let decision = match error {
            Error::Held { .. } | Error::Throttled { .. } | Error::Forbidden(_) | Error::Protected(_) => {
                Decision::Denied
            }
            Error::Unauthenticated(_) => Decision::Refused,
            Error::Invalid(_)
            | Error::NotFound(_)
            | Error::Conflict(_)
            | Error::Stale(_)
            | Error::Scim(_)
            | Error::Upstream { .. }
            | Error::Unavailable(_)
            | Error::Internal(_) => Decision::Allowed,
        };
        self.record(asked, None, status_of(&error), decision, Some(&error.to_string())).await?;
        Err(error)
    }

    /// Records a request to a discovery endpoint, which every accepted key may read.
    pub async fn discovered(&self, asked: &Asked) -> Result<(), Error> {
        let record = self.usage(asked, None, 200, Decision::Allowed, None);
        self.write(UsageRecord { is_work: false, ..record }).await
    }

    /// Records a request that the edge refused before an operation saw it: a body that cannot be
    /// read, a method that does not exist.
    pub async fn refused_at_edge(&self, asked: &Asked, status: u16, reason: &str) -> Result<(), Error> {
        let record = self.usage(asked, None, status, Decision::Allowed, Some(reason));
        self.write(UsageRecord { is_work: false, ..record }).await
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
        request_id: asked.operation.as_ref().unwrap_or(&request.id).clone(),
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
        is_work: is_work(decision, status, None),
        facts: Facts::default(),
        attributes: Vec::new(),
    }
}

/// The status that the SCIM edge gives an error; the usage record is written before the edge
/// answers.
pub fn status_of(error: &Error) -> u16 {
    match error {
        Error::Invalid(_) => 400,
        Error::Unauthenticated(_) => 401,
        Error::Forbidden(_) | Error::Protected(_) => 403,
        Error::NotFound(_) => 404,
        Error::Conflict(_) => 409,
        Error::Stale(_) => 412,
        Error::Scim(error) => error.status,
        Error::Throttled { .. } => 429,
        Error::Upstream { status, .. } => *status,
        Error::Held { .. } | Error::Unavailable(_) => 503,
        Error::Internal(_) => 500,
    }
}
