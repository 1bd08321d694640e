//! What an attempt leads to: it is written down in one unit with its audit record, the finding, and whatever
//! comes next.

use std::sync::Arc;

use domain::{
    audit::{Action, AuditEvent},
    deliveries::{Delivery, DeliveryState, DeliveryStep, FailureKind, again_ms},
    findings::Severity,
};
use serde_json::json;
use store::{Change, Conn};

use super::{
    Cargo, NEVER_MS, arrived, attempt::Attempt, end, fresh, hand_over, raise, secret_of, settle, wipe,
};
use crate::{Error, ports::StepFault};

/// Attempts that come to nothing because of weather before it is more than that.
const CALM: i64 = 3;

/// The attempt is over. When the delivery was taken back in the meantime, that decides, and nothing is written.
fn written(result: Result<(), Error>) -> Result<bool, Error> {
    match result {
        Ok(()) | Err(Error::Stale(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The target has it, or was told what it had to be told.
pub(super) async fn done(mut attempt: Attempt, step: DeliveryStep) -> Result<bool, Error> {
    let now_ms = attempt.cx.now_ms();
    attempt.report.failure = None;
    attempt.report.begun = None;
    let is_promotion = step == DeliveryStep::Promote;
    let told = attempt.told(step);
    let event =
        attempt.event(if is_promotion { Action::DeliveryPromoted } else { Action::DeliveryMade }, &told);
    let Attempt { cx, mut stored, target, report, .. } = attempt;
    stored.delivery.report = report.clone();
    if is_promotion {
        end(&mut stored, DeliveryState::Promoted, now_ms);
    } else {
        stored.delivery.state = DeliveryState::Delivered;
        stored.delivery.due_ms = NEVER_MS;
        wipe(&mut stored);
    }
    let keyward = Arc::clone(&cx.keyward);
    let result = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::deliveries::write(conn, &stored).await?;
            if let Some(target) = &target {
                store::deliveries::set_last_result(conn, &target.target, &report).await?;
            }
            let delivery = &stored.delivery;
            settle(conn, &delivery.federation_id, &delivery.rotation_id, "the target has the key", now_ms)
                .await?;
            let mut more = Vec::new();
            if !is_promotion {
                more = arrived(conn, &keyward, &delivery.rotation_id, "Keyward", now_ms).await?;
            }
            Ok(Change::new((), event.clone()).with_events(more))
        })
        .await;
    written(result)
}

/// The target does not have it: later again, or the next target, or a person. The old key goes on.
pub(super) async fn failed(
    mut attempt: Attempt,
    step: DeliveryStep,
    fault: &StepFault,
) -> Result<bool, Error> {
    let now_ms = attempt.cx.now_ms();
    attempt.report.failure = Some(fault.kind);
    let mut told = attempt.told(step);
    told["failure"] = json!(fault.kind);
    let event = AuditEvent {
        reason: Some(attempt.report.sentence().to_owned()),
        ..attempt.event(Action::DeliveryFailed, &told)
    };
    let name = attempt.target_name().to_owned();
    let keyward = Arc::clone(&attempt.cx.keyward);
    let mut chance = [0; 1];
    keyward.entropy.fill(&mut chance);
    let Attempt { cx, mut stored, target, federation, report, .. } = attempt;
    let [chance] = chance;
    stored.delivery.report = report.clone();
    stored.delivery.due_ms = again_ms(now_ms, stored.delivery.attempts, fault.retry_after_s, chance);
    let is_bringing = step != DeliveryStep::Promote;
    if is_bringing {
        stored.delivery.state = DeliveryState::Waiting;
    }
    let leads_on = is_bringing && fault.kind.leads_on() && !stored.sealed.is_empty();
    // Opened before the unit, which may run again; resealed for whoever has the next turn.
    let secret = if leads_on { Some(secret_of(&keyward, &stored)?) } else { None };
    let severity = match fault.kind {
        FailureKind::Weather if stored.delivery.attempts < CALM => Severity::Low,
        FailureKind::Weather
        | FailureKind::Refused
        | FailureKind::Unsupported
        | FailureKind::Distrusted
        | FailureKind::Unclear => Severity::High,
    };
    let kind = fault.kind;
    let result = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let mut stored = stored.clone();
            let sentence = report.sentence();
            if !is_bringing && kind == FailureKind::Unsupported && has_ended(conn, &stored.delivery).await? {
                // A person has finished the rotation: there is nothing left to wait for.
                end(&mut stored, DeliveryState::Failed, now_ms);
                store::deliveries::write(conn, &stored).await?;
                return Ok(Change::new((), event.clone()));
            }
            raise(conn, &keyward, &stored.delivery, (&name, sentence, severity), now_ms).await?;
            if let Some(secret) = &secret {
                let delivery = stored.delivery.clone();
                let cargo = Cargo {
                    federation_id: &delivery.federation_id,
                    rotation_id: &delivery.rotation_id,
                    key_id: &delivery.key_id,
                    secret,
                };
                let others =
                    store::deliveries::of_rotation(conn, &delivery.federation_id, &delivery.rotation_id)
                        .await?;
                let tried = |id: &domain::TargetId| {
                    others.iter().any(|other| other.delivery.target_id.as_ref() == Some(id))
                };
                let targets = store::deliveries::targets(conn, &delivery.federation_id).await?;
                let next = targets.into_iter().find(|next| !tried(&next.target.id));
                if let Some(next) = next {
                    let next = fresh(&keyward, &cargo, Some(next.target.id), now_ms)?;
                    store::deliveries::insert(conn, &next).await?;
                    end(&mut stored, DeliveryState::Failed, now_ms);
                } else {
                    if !others.iter().any(|other| other.delivery.target_id.is_none()) {
                        hand_over(conn, &keyward, &federation, &cargo, now_ms).await?;
                    }
                    // What a person may mend by an approval is tried on beside the hand-off.
                    if kind == FailureKind::Unsupported {
                        end(&mut stored, DeliveryState::Failed, now_ms);
                    }
                }
            }
            store::deliveries::write(conn, &stored).await?;
            if let Some(target) = &target {
                store::deliveries::set_last_result(conn, &target.target, &report).await?;
            }
            Ok(Change::new((), event.clone()))
        })
        .await;
    written(result)
}

async fn has_ended(conn: &mut Conn<'_>, delivery: &Delivery) -> Result<bool, Error> {
    let rotation = store::rotations::by_id(conn, &delivery.rotation_id).await?;
    Ok(rotation.is_none_or(|rotation| rotation.stage.has_ended()))
}

/// The key has ended before it was brought: nobody needs its secret.
pub(super) async fn give_up(attempt: Attempt) -> Result<bool, Error> {
    let now_ms = attempt.cx.now_ms();
    let is_brought = attempt.stored.delivery.state == DeliveryState::Delivered;
    let event = AuditEvent {
        reason: Some("the key has ended, or its federation is archived".to_owned()),
        ..attempt.event(Action::DeliveryFailed, &attempt.told(DeliveryStep::Write))
    };
    let Attempt { cx, mut stored, .. } = attempt;
    end(&mut stored, if is_brought { DeliveryState::Cancelled } else { DeliveryState::GivenUp }, now_ms);
    let result = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::deliveries::write(conn, &stored).await?;
            let delivery = &stored.delivery;
            settle(conn, &delivery.federation_id, &delivery.rotation_id, "the key has ended", now_ms).await?;
            Ok(Change::new((), event.clone()))
        })
        .await;
    written(result)
}
