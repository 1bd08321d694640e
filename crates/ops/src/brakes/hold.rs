//! Holding an operation: its row, its case, its finding, its record; nothing of the operation itself.

use domain::{
    HeldId, Millis,
    audit::{Action, AuditEvent},
    brakes::{HeldOperation, HeldState, Image, Ledger, MOST_HELD},
    cases::{Case, CaseKind, Moment},
};
use serde_json::{Value, json};
use store::Conn;

use super::decide::{Trip, after_of};
use crate::{
    Cx, Error, ScimClient,
    cases::{self, NewCase},
    effect::{Effect, HELD_RETRY_S, Held},
    findings::{self, NewFinding},
    scim_client::Asked,
};

/// How many ids of those who join or leave are kept.
const KEPT: usize = 200;

/// An operation that is to be held.
pub(super) struct Hold<'a> {
    pub cx: &'a Cx<ScimClient>,
    pub asked: &'a Asked,
    pub effect: &'a Effect<'a>,
    pub print: &'a str,
    /// How many members its group has, when that was asked.
    pub members: Option<i64>,
    pub now_ms: Millis,
}

impl Hold<'_> {
    /// What the provider reads when the same operation comes again.
    pub fn again(held: &HeldOperation, now_ms: Millis) -> Held {
        let state = match held.state_at(now_ms) {
            HeldState::Rejected => "was rejected",
            HeldState::Expired => "was rejected, because nobody decided in time",
            HeldState::Held | HeldState::Approved | HeldState::Done | HeldState::Lapsed | HeldState::Over => {
                "waits for approval"
            }
        };
        let message = format!(
            "held by the brake {}, nothing was changed: {}. It {state} in case {}; come back in {} minutes",
            held.brake.code(),
            held.image.why,
            held.case_id,
            HELD_RETRY_S / 60
        );
        Held { message, events: Vec::new() }
    }

    /// Holds it.
    pub async fn carry_out(
        &self,
        conn: &mut Conn<'_>,
        ledger: &mut Ledger,
        trip: Trip,
    ) -> Result<Held, Error> {
        let case = self.case(conn, ledger, &trip).await?;
        if ledger.held >= MOST_HELD {
            let message = format!(
                "held by the brake {}, nothing was changed: more operations wait in case {} than it lists",
                trip.brake.code(),
                case.id
            );
            return Ok(Held { message, events: Vec::new() });
        }
        ledger.held += 1;
        ledger.last_held += 1;
        let held = self.operation(&case, ledger, trip);
        store::held::insert(conn, &held).await?;
        self.find(conn, &held, &case).await?;
        let event = self.event(&held);
        Ok(Held { events: vec![event], ..Self::again(&held, self.now_ms) })
    }

    /// The open case of the brake, or a new one.
    async fn case(&self, conn: &mut Conn<'_>, ledger: &mut Ledger, trip: &Trip) -> Result<Case, Error> {
        if let Some(id) = ledger.cases.get(&trip.brake)
            && let Some(case) = store::cases::by_id(conn, id).await?.filter(|case| case.closed_ms.is_none())
        {
            return Ok(case);
        }
        let (keyward, client) = (&self.cx.keyward, &self.cx.actor);
        let new = NewCase {
            id: domain::CaseId::new(self.now_ms, keyward.id_chance()),
            federation_id: client.federation.id.clone(),
            kind: CaseKind::Brake,
            key_id: client.key_id.clone(),
            rotation_id: None,
            title: format!("{}, {}", trip.brake.title(), client.federation.name),
            opened_by: "Keyward".to_owned(),
            moments: Vec::new(),
        };
        let text = format!("{} asked for more than {} lets through.", client.key_name, trip.brake.code());
        let case = cases::open_brake(conn, &new.with(Moment::T2, self.now_ms, text), self.now_ms).await?;
        ledger.cases.insert(trip.brake, case.id.clone());
        Ok(case)
    }

    fn operation(&self, case: &Case, ledger: &Ledger, trip: Trip) -> HeldOperation {
        let (cx, effect) = (self.cx, self.effect);
        let kept = |ids: &[String]| ids.get(..KEPT).unwrap_or(ids).to_vec();
        let count = |ids: &[String]| i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let image = Image {
            before: without_password(effect.before.map(|before| before.as_value().clone())),
            after: after_of(effect),
            joining: kept(effect.joining),
            joining_count: count(effect.joining),
            leaving: kept(effect.leaving),
            leaving_count: count(effect.leaving),
            members: self.members,
            population: ledger.active,
            counted: trip.counted,
            limit: trip.limit,
            expected: trip.expected,
            why: trip.why,
        };
        HeldOperation {
            federation_id: cx.federation_id().clone(),
            id: HeldId::new(self.now_ms, cx.keyward.id_chance()),
            case_id: case.id.clone(),
            number: ledger.last_held,
            brake: trip.brake,
            state: HeldState::Held,
            fingerprint: self.print.to_owned(),
            verb: effect.verb,
            resource_type: effect.kind.name().to_owned(),
            resource_id: effect.id.to_string(),
            name: effect.name.to_owned(),
            image,
            subject: trip.subject,
            key_id: cx.actor.key_id.clone(),
            request_id: self.asked.operation.as_ref().unwrap_or(&cx.request.id).to_string(),
            source: cx.request.source.map(|address| address.to_string()),
            agent: cx.request.user_agent.clone(),
            count: 1,
            first_ms: self.now_ms,
            last_ms: self.now_ms,
            decided_ms: None,
            decided_by: None,
            reason: String::new(),
            done_ms: None,
        }
    }

    async fn find(&self, conn: &mut Conn<'_>, held: &HeldOperation, case: &Case) -> Result<(), Error> {
        let came = format!("Held: {} {} {}: {}.", held.verb, held.resource_type, held.name, held.image.why);
        let finding = NewFinding::new(
            &self.cx.keyward,
            Some(&held.federation_id),
            held.brake.rule(),
            case.id.as_str(),
            held.image.expected.clone(),
            came,
        );
        let finding = finding.of_key(&held.key_id).in_case(&case.id);
        let finding = finding.from_network(held.source.clone(), held.agent.clone());
        findings::raise(conn, &finding, self.now_ms).await?;
        Ok(())
    }

    fn event(&self, held: &HeldOperation) -> AuditEvent {
        let told = json!({
            "held": held.id, "case": held.case_id, "brake": held.brake, "verb": held.verb, "type": held.resource_type,
            "id": held.resource_id, "why": held.image.why, "fingerprint": held.fingerprint,
        });
        self.cx.directory_event(Action::OperationHeld, &held.name, &told)
    }
}

fn without_password(value: Option<Value>) -> Value {
    let mut value = value.unwrap_or_default();
    if let Value::Object(parts) = &mut value {
        parts.remove("password");
    }
    value
}
