//! Who does something, carried into a unit.

use domain::{
    Millis,
    audit::{Action, ActorKind, ActorRef, AuditEvent, Outcome},
    keys::Key,
};

use crate::{Actor, Cx, Keyward};

/// Who does something, from where, without what else a context holds: it goes into a unit.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    actor: ActorRef,
    source: Option<String>,
    request_id: String,
}

impl Author {
    /// Who acts in a context.
    pub(crate) fn of<A: Actor>(cx: &Cx<A>) -> Self {
        Self {
            actor: cx.actor.as_ref(),
            source: cx.request.source.map(|address| address.to_string()),
            request_id: cx.request.id.to_string(),
        }
    }

    /// A part of Keyward itself.
    pub(crate) fn system(keyward: &Keyward, part: &str) -> Self {
        let actor = ActorRef { kind: ActorKind::System, id: part.to_owned(), name: "Keyward".to_owned() };
        Self { actor, source: None, request_id: keyward.request_info().id.to_string() }
    }

    /// Somebody who is not signed in and whom nobody knows but by what they brought.
    pub(crate) fn visitor(request: &crate::RequestInfo, name: &str) -> Self {
        let actor = ActorRef { kind: ActorKind::Visitor, id: String::new(), name: name.to_owned() };
        let source = request.source.map(|address| address.to_string());
        Self { actor, source, request_id: request.id.to_string() }
    }

    /// Whether it is a part of Keyward itself.
    pub(crate) fn is_system(&self) -> bool {
        self.actor.kind == ActorKind::System
    }

    /// The name that people read.
    pub(crate) fn name(&self) -> &str {
        &self.actor.name
    }

    /// An audit event about no key.
    pub(crate) fn plain(&self, action: Action, now_ms: Millis) -> AuditEvent {
        AuditEvent {
            at_ms: now_ms,
            actor: self.actor.clone(),
            action,
            outcome: Outcome::Done,
            reason: None,
            federation_id: None,
            key_id: None,
            target: None,
            source: self.source.clone(),
            request_id: self.request_id.clone(),
            detail: "{}".to_owned(),
        }
    }

    /// An audit event about a key.
    pub(crate) fn event(&self, action: Action, key: &Key, now_ms: Millis, detail: String) -> AuditEvent {
        AuditEvent {
            federation_id: Some(key.federation_id.clone()),
            key_id: Some(key.id.clone()),
            target: Some(key.name.clone()),
            detail,
            ..self.plain(action, now_ms)
        }
    }
}
