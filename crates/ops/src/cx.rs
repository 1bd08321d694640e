//! Who does something, from where, and with what at hand: the first argument of every operation.
//!
//! The actor is in the type. An operation that wants a `Cx<Admin>` cannot be called with the
//! `Cx<ScimClient>` of a provisioning key:
//!
//! ```compile_fail,E0308
//! async fn a_key_that_issues_keys(cx: &ops::Cx<ops::ScimClient>, new: ops::keys::NewKey) {
//!     let _ = ops::keys::issue(cx, new).await;
//! }
//! ```

use std::{
    net::IpAddr,
    sync::{Arc, atomic::AtomicBool},
};

use domain::{
    KeyId, Millis, RequestId,
    admins::Admin,
    audit::{Action, ActorKind, ActorRef, AuditEvent, Outcome},
    brakes::Guards,
    federations::Federation,
    scopes::Scope,
};
use store::cache::Proof;

use crate::Keyward;

/// The request that an operation belongs to.
#[derive(Debug, Clone)]
pub struct RequestInfo {
    /// Its id.
    pub id: RequestId,
    /// Where it came from, through trusted proxies only.
    pub source: Option<IpAddr>,
    /// The user agent, cleaned by [`domain::usage::clean_user_agent`].
    pub user_agent: Option<String>,
    /// When it arrived.
    pub arrived_ms: Millis,
    /// When it arrived, on [`crate::Clock::monotonic_us`].
    pub arrived_us: i64,
}

/// Context of an operation: who, from where, and with what.
#[derive(Clone)]
pub struct Cx<A> {
    pub(crate) keyward: Arc<Keyward>,
    pub(crate) actor: A,
    pub(crate) request: RequestInfo,
}

impl<A: Actor> Cx<A> {
    /// Makes a context. Only the places that prove who somebody is may call it; clippy's
    /// `disallowed-methods` holds everybody else off.
    pub fn new(keyward: Arc<Keyward>, actor: A, request: RequestInfo) -> Self {
        Self { keyward, actor, request }
    }

    /// Who acts.
    pub fn actor(&self) -> &A {
        &self.actor
    }

    /// The request.
    pub fn request(&self) -> &RequestInfo {
        &self.request
    }

    /// Everything that operations share.
    pub fn keyward(&self) -> &Keyward {
        &self.keyward
    }

    /// The same, to be kept beyond this context.
    pub fn shared(&self) -> &Arc<Keyward> {
        &self.keyward
    }

    /// The time now.
    pub fn now_ms(&self) -> Millis {
        self.keyward.clock.now_ms()
    }

    /// An audit event of this actor and request, done now.
    pub(crate) fn event(&self, action: Action) -> AuditEvent {
        AuditEvent {
            at_ms: self.now_ms(),
            actor: self.actor.as_ref(),
            action,
            outcome: Outcome::Done,
            reason: None,
            federation_id: None,
            key_id: None,
            target: None,
            source: self.request.source.map(|address| address.to_string()),
            request_id: self.request.id.to_string(),
            detail: "{}".to_owned(),
        }
    }
}

/// Somebody or something that acts.
pub trait Actor {
    /// How records name it.
    fn as_ref(&self) -> ActorRef;
}

impl Actor for Admin {
    fn as_ref(&self) -> ActorRef {
        ActorRef {
            kind: ActorKind::Admin,
            id: format!("{} {}", self.issuer, self.subject),
            name: self.name.clone(),
        }
    }
}

/// An identity provider, proven by its key.
#[derive(Debug, Clone)]
pub struct ScimClient {
    /// The federation of the key.
    pub federation: Arc<Federation>,
    /// The key.
    pub key_id: KeyId,
    /// The key's name.
    pub key_name: Arc<str>,
    /// The key's version when it was accepted.
    pub key_version: i64,
    /// When the key ends, or the token that was presented for it.
    pub ends_ms: Millis,
    /// The keyed hash of the token, when one was presented.
    pub token_hash: Option<String>,
    /// What the key may do.
    pub scope: Arc<Scope>,
    /// What its federation's users and groups look like.
    pub schemas: Arc<scim::Schemas>,
    /// What is marked in its federation, and what was learned of it.
    pub guards: Arc<Guards>,
    /// Whether the unit that is running found key, federation and guards as they stand here.
    pub as_seen: Arc<AtomicBool>,
    /// That key and federation were as they stand here; `None` when nobody vouches for it.
    pub proof: Option<Proof>,
}

impl Actor for ScimClient {
    fn as_ref(&self) -> ActorRef {
        ActorRef { kind: ActorKind::Key, id: self.key_id.to_string(), name: self.key_name.to_string() }
    }
}

/// Somebody who has not been let in yet.
#[derive(Debug, Clone)]
pub struct Visitor;

impl Actor for Visitor {
    fn as_ref(&self) -> ActorRef {
        ActorRef { kind: ActorKind::Visitor, id: String::new(), name: "Visitor".to_owned() }
    }
}

/// Keyward itself: start-up and timers.
#[derive(Debug, Clone)]
pub struct System {
    /// Which part, such as `start` or `expiry`.
    pub part: &'static str,
}

impl Actor for System {
    fn as_ref(&self) -> ActorRef {
        ActorRef { kind: ActorKind::System, id: self.part.to_owned(), name: "Keyward".to_owned() }
    }
}
