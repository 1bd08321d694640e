//! Refusing a request whose key does not open: with its records, and with a finding where it tells something.

use std::sync::Arc;

use domain::{
    KeyId,
    audit::{Action, ActorKind, ActorRef, AuditEvent, Outcome},
    federations::Federation,
    keys::KeyState,
    usage::{Decision, UsageRecord},
};
use store::{Change, Conn};

use super::{Asked, check_refusals, not_accepted, status_of, usage_record};
use crate::{
    Actor, Cx, Error, Keyward, RequestInfo, behaviour, compromise::canary, findings, ports::Refusals,
};

/// A request whose key does not open.
pub(super) struct Gate<'a> {
    pub(super) keyward: &'a Arc<Keyward>,
    pub(super) request: &'a RequestInfo,
    pub(super) slug: &'a str,
    pub(super) asked: &'a Asked,
    pub(super) key_id: &'a KeyId,
    pub(super) refusals: &'a dyn Refusals,
}

impl Gate<'_> {
    pub(super) async fn refuse<T>(
        &self,
        of: Option<(&Federation, &str)>,
        decision: Decision,
        reason: &str,
        error: Error,
    ) -> Result<T, Error> {
        check_refusals(self.keyward, self.request, self.refusals, Action::KeyRefused).await?;
        let (event, usage) = self.records(of, decision, reason, &error);
        let finding =
            if of.is_none() { behaviour::unknown_key(self.keyward, self.slug, self.request) } else { None };
        let now_ms = self.keyward.clock.now_ms();
        let record = async move |conn: &mut Conn<'_>| {
            if let Some(finding) = &finding {
                findings::raise(conn, finding, now_ms).await?;
            }
            Ok(Change::new((), event.clone()).with_usage(usage.clone()))
        };
        Box::pin(self.keyward.commit(record)).await?;
        Err(error)
    }

    /// What the audit log and the usage log say of a refusal.
    fn records(
        &self,
        of: Option<(&Federation, &str)>,
        decision: Decision,
        reason: &str,
        error: &Error,
    ) -> (AuditEvent, UsageRecord) {
        let federation_id = of.map(|(federation, _)| federation.id.clone());
        let usage = usage_record(
            self.keyward,
            self.request,
            self.asked,
            (federation_id.clone(), self.key_id.clone()),
            None,
            (status_of(error), decision),
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
        (event, usage)
    }

    /// Refuses the whole secret of a key that has ended: somebody still has it, which is a finding.
    pub(super) async fn ended<T>(
        &self,
        of: Option<(&Federation, &str)>,
        state: KeyState,
    ) -> Result<T, Error> {
        let (reason, error) = (format!("key is {}", state.label().to_lowercase()), not_accepted());
        check_refusals(self.keyward, self.request, self.refusals, Action::KeyRefused).await?;
        let (event, usage) = self.records(of, Decision::Refused, &reason, &error);
        let (keyward, key_id, request) =
            (Arc::clone(self.keyward), self.key_id.clone(), self.request.clone());
        // One whose time is over is told by the sweep: its provider still has it.
        let is_told = matches!(state, KeyState::Retired | KeyState::Revoked);
        let record = async move |conn: &mut Conn<'_>| {
            if is_told {
                let now_ms = keyward.clock.now_ms();
                canary::ended_key_used(conn, &keyward, &key_id, &request, now_ms).await?;
            }
            Ok(Change::new((), event.clone()).with_usage(usage.clone()))
        };
        self.keyward.commit(record).await?;
        Err(error)
    }

    /// Refuses a canary like an unknown key, and raises the alarm: however much was refused from the address
    /// before, this one counts. Past the limit of the address the log has one record of it a minute.
    pub(super) async fn canary<T>(&self, of: Option<(&Federation, &str)>) -> Result<T, Error> {
        let too_many =
            check_refusals(self.keyward, self.request, self.refusals, Action::KeyRefused).await.err();
        let is_flood = too_many.is_some();
        let error = too_many.unwrap_or_else(not_accepted);
        let (event, usage) = self.records(of, Decision::Refused, "canary key", &error);
        let (keyward, key_id, request) =
            (Arc::clone(self.keyward), self.key_id.clone(), self.request.clone());
        let record = async move |conn: &mut Conn<'_>| {
            let now_ms = keyward.clock.now_ms();
            let is_recorded = canary::used(conn, &keyward, &key_id, &request, now_ms).await?;
            if is_flood && is_recorded {
                return Ok(Change::nothing(()));
            }
            Ok(Change::new((), event.clone()).with_usage(usage.clone()))
        };
        self.keyward.commit(record).await?;
        Err(error)
    }
}

/// A key that was presented and proves nothing.
pub(crate) struct Presented {
    pub key_id: KeyId,
    pub name: String,
}

impl Actor for Presented {
    fn as_ref(&self) -> ActorRef {
        ActorRef { kind: ActorKind::Key, id: self.key_id.to_string(), name: self.name.clone() }
    }
}
