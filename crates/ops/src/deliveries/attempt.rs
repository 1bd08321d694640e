//! One attempt: what is due is claimed, every step is taken outside of any unit, and what might be repeated is
//! written down before it is done.

use std::sync::Arc;

use domain::{
    DeliveryId, FederationId, Millis,
    audit::{Action, AuditEvent},
    deliveries::{DeliveryState, DeliveryStep, FailureKind, Holds, Report, StepOutcome, Target},
    federations::{Federation, FederationStatus},
    keys::Key,
};
use serde_json::json;
use store::{
    Change, Conn,
    deliveries::{StoredDelivery, StoredTarget},
    keys::StoredKey,
};

use super::{credential_of, outcome, pin, secret_of};
use crate::{
    Cx, Error, Keyward, System,
    ports::{Deliver, DeliveryJob, Parcel, StepDone, StepFault},
    unit::detail,
};

/// How long whoever has claimed a delivery may be at it, in milliseconds: longer than all of its steps take.
pub const CLAIM_MS: Millis = 300_000;

/// The most deliveries that one look finds.
const LOOK: i64 = 64;

/// Everything that an attempt is about.
pub(super) struct Attempt {
    pub(super) cx: Cx<System>,
    pub(super) stored: StoredDelivery,
    /// None when it was removed since.
    pub(super) target: Option<StoredTarget>,
    pub(super) federation: Federation,
    pub(super) key: Key,
    /// What the row said before this attempt.
    before: Report,
    /// What it will say.
    pub(super) report: Report,
}

/// Deliveries whose time has come.
///
/// # Errors
/// When the database does not answer.
pub async fn due(keyward: &Arc<Keyward>) -> Result<Vec<(FederationId, DeliveryId)>, Error> {
    let mut reader = keyward.store.read().await?;
    Ok(store::deliveries::due(&mut reader.conn(), keyward.clock.now_ms(), LOOK).await?)
}

/// Brings everything that is due, one after the other; how many deliveries were attempted. A server brings a few at
/// once, as its task says.
///
/// # Errors
/// The first failure of the database.
#[cfg(feature = "testing")]
pub async fn run(keyward: &Arc<Keyward>) -> Result<usize, Error> {
    let mut attempted = 0;
    for (federation_id, id) in due(keyward).await? {
        attempted += usize::from(bring(keyward, &federation_id, &id).await?);
    }
    Ok(attempted)
}

/// Attempts one delivery; false when it was not due any more, or somebody else has it.
///
/// # Errors
/// When the database does not answer; whatever the target does is an outcome.
pub async fn bring(
    keyward: &Arc<Keyward>,
    federation_id: &FederationId,
    id: &DeliveryId,
) -> Result<bool, Error> {
    let Some(mut attempt) = Attempt::read(keyward, federation_id, id).await? else { return Ok(false) };
    if !attempt.key.life.state(attempt.cx.now_ms()).is_accepted()
        || attempt.federation.status == FederationStatus::Archived
    {
        return outcome::give_up(attempt).await;
    }
    let Some(step) = (match attempt.stored.delivery.state {
        DeliveryState::Waiting | DeliveryState::UnderWay => Some(DeliveryStep::Write),
        DeliveryState::Delivered => Some(DeliveryStep::Promote),
        DeliveryState::Failed
        | DeliveryState::GivenUp
        | DeliveryState::Promoted
        | DeliveryState::Cancelled => None,
    }) else {
        return Ok(false);
    };
    if !attempt.claim(step).await? {
        return Ok(false);
    }
    let result = match attempt.job(step) {
        Err(fault) => {
            // Nothing was asked of anybody.
            attempt.report.begun = attempt.before.begun;
            attempt.note_fault(DeliveryStep::Validate, &fault);
            Err(fault)
        }
        Ok((port, job)) => match step {
            DeliveryStep::Promote => attempt.take(port.as_ref(), &job, DeliveryStep::Promote).await.map(drop),
            DeliveryStep::Validate | DeliveryStep::Write | DeliveryStep::Kick | DeliveryStep::ReadBack => {
                attempt.steps(port.as_ref(), &job).await?
            }
        },
    };
    match result {
        Ok(()) => outcome::done(attempt, step).await,
        Err(fault) => outcome::failed(attempt, step, &fault).await,
    }
}

/// Why a secret that lies in a stage is not made the current one by Keyward any more.
fn unmoved(what: &str, place: &str) -> String {
    format!(
        "the target was {what} before {place} made the new key the current one, and consumers that read the current \
         one there get the old key: move it there, and finish the rotation"
    )
}

impl Attempt {
    async fn read(
        keyward: &Arc<Keyward>,
        federation_id: &FederationId,
        id: &DeliveryId,
    ) -> Result<Option<Self>, Error> {
        let cx = keyward.system_cx("delivery");
        let mut reader = keyward.store.read().await?;
        let stored = store::deliveries::by_id(&mut reader.conn(), federation_id, id).await?;
        let Some(stored) = stored.filter(|stored| {
            let delivery = &stored.delivery;
            delivery.ended_ms.is_none() && delivery.target_id.is_some() && delivery.due_ms <= cx.now_ms()
        }) else {
            return Ok(None);
        };
        let found = store::keys::with_federation(&mut reader.conn(), &stored.delivery.key_id).await?;
        let Some((StoredKey { key, .. }, federation)) = found else {
            return Err(Error::Internal(format!("delivery {id}: its key is not there")));
        };
        let targets = store::deliveries::targets(&mut reader.conn(), federation_id).await?;
        let target =
            targets.into_iter().find(|target| Some(&target.target.id) == stored.delivery.target_id.as_ref());
        let before = stored.delivery.report.clone();
        let report = before.anew(cx.now_ms());
        Ok(Some(Self { cx, stored, target, federation, key, before, report }))
    }

    /// The name of the target, for people to read.
    pub(super) fn target_name(&self) -> &str {
        self.target.as_ref().map_or("a target that was removed", |stored| stored.target.name.as_str())
    }

    pub(super) fn event(&self, action: Action, told: &serde_json::Value) -> AuditEvent {
        let delivery = &self.stored.delivery;
        AuditEvent {
            federation_id: Some(delivery.federation_id.clone()),
            key_id: Some(delivery.key_id.clone()),
            target: Some(self.target_name().to_owned()),
            detail: detail(told),
            ..self.cx.event(action)
        }
    }

    /// What every record of a delivery says.
    pub(super) fn told(&self, step: DeliveryStep) -> serde_json::Value {
        let delivery = &self.stored.delivery;
        let connector = self.target.as_ref().map(|stored| stored.target.settings.connector());
        json!({
            "delivery": delivery.id, "rotation": delivery.rotation_id, "connector": connector,
            "attempt": delivery.attempts, "step": step,
        })
    }

    /// Takes the delivery for this process, and puts on record that it begins; false when somebody else was
    /// faster, or it was taken back.
    async fn claim(&mut self, step: DeliveryStep) -> Result<bool, Error> {
        let delivery = &mut self.stored.delivery;
        delivery.attempts += 1;
        if step == DeliveryStep::Write {
            delivery.state = DeliveryState::UnderWay;
            // Whatever happens from here on, the next one looks first.
            self.report.begun = self.report.begun.or(Some(DeliveryStep::Write));
            let target = self.target.as_ref().map(|stored| &stored.target.settings);
            if !self.before.may_have_left()
                && let Some(settings) = target
            {
                self.report.staged_at = settings.waits_for_proof().then(|| settings.place());
            }
        } else {
            // How it got there stays to be read beside what is still to be done.
            let steps = self.before.steps.iter().filter(|done| done.step != step);
            self.report.steps = steps.cloned().collect();
        }
        self.write_down(step).await
    }

    /// Writes down how far it has come, and what comes next.
    async fn write_down(&mut self, step: DeliveryStep) -> Result<bool, Error> {
        let delivery = &mut self.stored.delivery;
        delivery.due_ms = self.cx.now_ms() + CLAIM_MS;
        delivery.report = self.report.clone();
        let event = self.event(Action::DeliveryAsked, &self.told(step));
        let stored = self.stored.clone();
        let written = self
            .cx
            .keyward
            .commit(async move |conn: &mut Conn<'_>| {
                store::deliveries::write(conn, &stored).await?;
                Ok(Change::new((), event.clone()))
            })
            .await;
        match written {
            Ok(()) => {
                self.stored.delivery.version += 1;
                Ok(true)
            }
            Err(Error::Stale(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The way to the target and what goes there, when it is the one that was approved, and for the last step
    /// the one that has the secret.
    fn job(&self, step: DeliveryStep) -> Result<(Arc<dyn Deliver>, DeliveryJob), StepFault> {
        let fault =
            |kind, sentence: &str| StepFault { kind, sentence: sentence.to_owned(), retry_after_s: None };
        let keyward = &self.cx.keyward;
        let staged_at =
            self.stored.delivery.report.staged_at.as_ref().filter(|_| step == DeliveryStep::Promote);
        let Some(stored) = &self.target else {
            let sentence = match staged_at {
                Some(place) => &unmoved("removed", place),
                None => "the target was removed",
            };
            return Err(fault(FailureKind::Unsupported, sentence));
        };
        if let Some(place) = staged_at.filter(|place| **place != stored.target.settings.place()) {
            return Err(fault(FailureKind::Unsupported, &unmoved("changed", place)));
        }
        if pin(keyward, &stored.target) != stored.target.pinned {
            let sentence = "the target is not the one that was approved: it was changed without an approval, and \
                            nothing was sent. Open it, check it, and save it to approve it";
            return Err(fault(FailureKind::Distrusted, sentence));
        }
        let Some(port) = keyward.deliveries.port.get().map(Arc::clone) else {
            return Err(fault(FailureKind::Weather, "this node makes no deliveries"));
        };
        let sealed = |error: Error| fault(FailureKind::Refused, &error.to_string());
        let credential = credential_of(keyward, stored).map_err(sealed)?;
        let secret = if self.stored.sealed.is_empty() {
            None
        } else {
            Some(secret_of(keyward, &self.stored).map_err(sealed)?)
        };
        let delivery = &self.stored.delivery;
        let parcel = Parcel {
            federation: self.federation.slug.clone(),
            base_url: keyward.base_url(&self.federation.slug),
            delivery_id: Some(delivery.id.clone()),
            rotation_id: Some(delivery.rotation_id.clone()),
            key_id: Some(delivery.key_id.clone()),
            last_four: self.key.last_four.clone(),
            made_ms: delivery.made_ms,
            secret,
        };
        let Target { id, settings, version, .. } = stored.target.clone();
        Ok((port, DeliveryJob { target_id: id, version, settings, credential, parcel }))
    }

    fn note_fault(&mut self, step: DeliveryStep, fault: &StepFault) {
        self.report.note(step, StepOutcome::Failed, &fault.sentence, self.cx.now_ms());
        self.report.failure = Some(fault.kind);
    }

    fn skip(&mut self, step: DeliveryStep, sentence: &str) {
        self.report.note(step, StepOutcome::Skipped, sentence, self.cx.now_ms());
    }

    /// Takes one step, and notes what became of it.
    async fn take(
        &mut self,
        port: &dyn Deliver,
        job: &DeliveryJob,
        step: DeliveryStep,
    ) -> Result<StepDone, StepFault> {
        let taken = port.step(step, job).await;
        match &taken {
            Ok(done) => {
                self.report.note(step, StepOutcome::Done, &done.sentence, self.cx.now_ms());
                if done.public_key.is_some() {
                    self.report.public_key.clone_from(&done.public_key);
                }
            }
            Err(fault) => self.note_fault(step, fault),
        }
        taken
    }

    /// The steps of bringing, in their order. The outer error is of the database.
    async fn steps(&mut self, port: &dyn Deliver, job: &DeliveryJob) -> Result<Result<(), StepFault>, Error> {
        let mut seen = None;
        // What an attempt before this one did, or may have done, is looked at first.
        if self.before.written || self.before.begun.is_some() {
            match self.take(port, job, DeliveryStep::ReadBack).await {
                Ok(done) => seen = Some(done),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        let is_there = match seen.as_ref().map(|done| done.holds) {
            Some(Holds::Yes) => true,
            // It takes and does not show; what went out went out.
            Some(Holds::CannotTell) => self.before.written,
            Some(Holds::No) | None => false,
        };
        if is_there {
            self.report.written = true;
            self.report.begun = None;
            self.skip(DeliveryStep::Write, "it is there already");
        } else {
            self.report.written = false;
            if let Err(fault) = self.write(port, job).await {
                return Ok(Err(fault));
            }
            seen = None;
        }
        if job.settings.connector().has_kick() {
            match self.kick(port, job, seen.as_ref()).await? {
                Ok(kicked) if kicked => seen = None,
                Ok(_) => {}
                Err(fault) => return Ok(Err(fault)),
            }
        }
        let done = match seen {
            Some(done) => done,
            None => match self.take(port, job, DeliveryStep::ReadBack).await {
                Ok(done) => done,
                Err(fault) => return Ok(Err(fault)),
            },
        };
        if job.settings.connector().has_kick() && done.wants_kick {
            // It was started once and takes its time, or somebody has to look at it there.
            let fault =
                StepFault { kind: FailureKind::Weather, sentence: done.sentence, retry_after_s: None };
            self.note_fault(DeliveryStep::ReadBack, &fault);
            return Ok(Err(fault));
        }
        Ok(match done.holds {
            Holds::Yes | Holds::CannotTell => Ok(()),
            Holds::No => {
                let sentence =
                    format!("read back, and it is not the key that was written: {}", done.sentence);
                let fault = StepFault { kind: FailureKind::Unclear, sentence, retry_after_s: None };
                self.note_fault(DeliveryStep::ReadBack, &fault);
                Err(fault)
            }
        })
    }

    async fn write(&mut self, port: &dyn Deliver, job: &DeliveryJob) -> Result<(), StepFault> {
        if let Err(fault) = self.take(port, job, DeliveryStep::Validate).await {
            // Nothing was changed there.
            self.report.begun = None;
            return Err(fault);
        }
        match self.take(port, job, DeliveryStep::Write).await {
            Ok(_) => {
                self.report.written = true;
                self.report.begun = None;
                Ok(())
            }
            Err(fault) => {
                self.report.begun = (fault.kind == FailureKind::Unclear).then_some(DeliveryStep::Write);
                Err(fault)
            }
        }
    }

    /// Tells the consumer to look, once for each secret that went out; whether it was told now.
    async fn kick(
        &mut self,
        port: &dyn Deliver,
        job: &DeliveryJob,
        seen: Option<&StepDone>,
    ) -> Result<Result<bool, StepFault>, Error> {
        if self.report.kicked {
            self.skip(DeliveryStep::Kick, "it was started before, and is started once");
            return Ok(Ok(false));
        }
        // A start of which nobody knows whether it came: the consumer was looked at, and says whether it runs.
        if self.before.begun == Some(DeliveryStep::Kick)
            && let Some(seen) = seen
            && !seen.wants_kick
        {
            self.report.kicked = true;
            self.skip(DeliveryStep::Kick, "it runs already");
            return Ok(Ok(false));
        }
        self.report.begun = Some(DeliveryStep::Kick);
        if !self.write_down(DeliveryStep::Kick).await? {
            let sentence = "it was taken back in the meantime".to_owned();
            let fault = StepFault { kind: FailureKind::Unclear, sentence, retry_after_s: None };
            self.note_fault(DeliveryStep::Kick, &fault);
            return Ok(Err(fault));
        }
        Ok(match self.take(port, job, DeliveryStep::Kick).await {
            Ok(_) => {
                self.report.begun = None;
                self.report.kicked = true;
                Ok(true)
            }
            Err(fault) => {
                if fault.kind != FailureKind::Unclear {
                    self.report.begun = None;
                }
                Err(fault)
            }
        })
    }
}
