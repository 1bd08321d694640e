//! Deciding what is held: a second person approves exactly the list that was read, once, or rejects it.

use domain::{
    CaseId, Millis,
    admins::{Admin, RECENT_MS, Right, is_recent},
    audit::{Action, AuditEvent, Outcome},
    brakes::{Brake, DECIDE_MS, HeldOperation, HeldState, list_hash},
    cases::{Case, CaseKind, CaseMoment, Moment},
    federations::{Federation, check_reason},
    keys::Key,
};
use serde_json::json;
use store::{Change, Conn, Reader, held::Decision};

use crate::{Actor, Cx, Error, behaviour, cases, federations, findings, unit::detail};

/// The most operations of a page.
const PAGE: i64 = 100;

/// The most ids that an audit record lists.
const TOLD: usize = 50;

/// What a person decides.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Approved, or rejected.
    pub approves: bool,
    /// The number of the last operation of the list that was read.
    pub until: i64,
    /// The hash of that list.
    pub hash: String,
    /// Why.
    pub reason: String,
    /// When whoever decides last proved at the provider who they are.
    pub proven_ms: Millis,
}

/// The brake part of a case.
#[derive(Debug, Clone)]
pub struct BrakeCase {
    /// What holds.
    pub brake: Brake,
    /// The federation.
    pub federation: Federation,
    /// How many operations are in each state.
    pub counts: Vec<(HeldState, i64)>,
    /// A page of them, in their order.
    pub operations: Vec<HeldOperation>,
    /// After which number the next page begins.
    pub next: Option<i64>,
    /// How many wait for a decision.
    pub pending: i64,
    /// The number of the last that waits.
    pub until: i64,
    /// The hash of the list that waits.
    pub hash: String,
    /// When the first of them expires.
    pub expires_ms: Option<Millis>,
    /// Why the viewer may not approve; `None` when they may.
    pub blocked: Option<String>,
    /// Whether the viewer may reject.
    pub may_reject: bool,
}

/// What is held in a case, after a number.
///
/// # Errors
/// NotFound when there is no such case, none that the viewer may see, or none of a brake.
pub async fn of_case(cx: &Cx<Admin>, id: &CaseId, after: i64) -> Result<BrakeCase, Error> {
    let mut reader = cx.read().await?;
    let (case, key, federation) = find(&mut reader.conn(), id).await?;
    if !cx.actor.role.may(Right::Read, Some(&federation.slug)) {
        return Err(Error::NotFound("case"));
    }
    let of = &case.federation_id;
    let mut operations = store::held::of_case(&mut reader.conn(), of, id, after, PAGE + 1).await?;
    let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let next = (operations.len() > page).then(|| operations.truncate(page));
    let next = next.and_then(|()| operations.last().map(|held| held.number));
    let now_ms = cx.now_ms();
    let mut pending = store::held::pending(&mut reader.conn(), of, id, i64::MAX).await?;
    pending.retain(|held| now_ms - held.first_ms < DECIDE_MS);
    let until = pending.last().map_or(0, |held| held.number);
    let counts = store::held::counts(&mut reader.conn(), of, id).await?;
    let brake = match operations.first() {
        Some(held) => held.brake,
        None => store::held::of_case(&mut reader.conn(), of, id, 0, 1)
            .await?
            .first()
            .map(|held| held.brake)
            .ok_or(Error::NotFound("case"))?,
    };
    let may = cx.actor.role.may(Right::Approve, Some(&federation.slug));
    let blocked = if !may {
        Some("Needs the role admin or manager.".to_owned())
    } else if is_owner(cx, &mut reader, &case, &key, until).await? {
        Some(OWNER.to_owned())
    } else {
        None
    };
    Ok(BrakeCase {
        brake,
        counts: counts.into_iter().map(|(state, count, _)| (state, count)).collect(),
        operations,
        next,
        until,
        hash: hash_of(id, &pending),
        expires_ms: pending.iter().map(|held| held.first_ms + DECIDE_MS).min(),
        pending: i64::try_from(pending.len()).unwrap_or(i64::MAX),
        blocked,
        may_reject: may,
        federation,
    })
}

const OWNER: &str = "you issued or took over a key that asked for this: somebody else has to approve it";

async fn find(conn: &mut Conn<'_>, id: &CaseId) -> Result<(Case, Key, Federation), Error> {
    let case = store::cases::by_id(conn, id).await?.filter(|case| case.kind == CaseKind::Brake);
    let case = case.ok_or(Error::NotFound("case"))?;
    let found = store::keys::with_federation(conn, &case.key_id).await?;
    let (stored, federation) = found.ok_or(Error::NotFound("case"))?;
    Ok((case, stored.key, federation))
}

/// Whether the viewer issued, rotated or took over a key that asked, or one of its predecessors, or opened the
/// case.
async fn is_owner(
    cx: &Cx<Admin>,
    reader: &mut Reader,
    case: &Case,
    first: &Key,
    until: i64,
) -> Result<bool, Error> {
    let own = cx.actor.as_ref();
    if case.opened_by == own.name {
        return Ok(true);
    }
    let mut keys = store::held::keys_of(&mut reader.conn(), &case.federation_id, &case.id, until).await?;
    keys.push(first.id.clone());
    keys.sort_unstable();
    keys.dedup();
    for id in keys {
        // However often the key was rotated: whoever issued the first of its line still counts.
        if store::audit::issuers(&mut reader.conn(), &case.federation_id, &id).await?.contains(&own.id) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn hash_of(case_id: &CaseId, pending: &[store::held::Pending]) -> String {
    list_hash(case_id, pending.iter().map(|held| (held.number, &held.id, held.fingerprint.as_str())))
}

/// Decides what waits in a case up to a number; how many operations that were.
///
/// # Errors
/// Invalid without a reason; Forbidden for whoever issued a key that asked, and for a role that may not;
/// Unauthenticated for an approval by somebody whose sign-in is too long ago;
/// Conflict when nothing waits; Stale when the list is not the one that was read; NotFound.
pub async fn decide(cx: &Cx<Admin>, id: &CaseId, verdict: Verdict) -> Result<i64, Error> {
    let action = if verdict.approves { Action::HeldApproved } else { Action::HeldRejected };
    let mut reader = cx.read().await?;
    let (case, key, federation) = match find(&mut reader.conn(), id).await {
        Ok(found) => found,
        Err(Error::NotFound(what)) => {
            drop(reader);
            let event = AuditEvent { target: Some(id.to_string()), ..cx.event(action) };
            cx.keyward.record_refusal(event, "there is no such case").await?;
            return Err(Error::NotFound(what));
        }
        Err(error) => return Err(error),
    };
    let allowed = federations::allowed(cx, &federation.slug, Right::Approve, action).await;
    allowed.map_err(
        |error| {
            if matches!(error, Error::NotFound(_)) { Error::NotFound("case") } else { error }
        },
    )?;
    let event = AuditEvent {
        federation_id: Some(case.federation_id.clone()),
        key_id: Some(case.key_id.clone()),
        target: Some(case.title.clone()),
        ..cx.event(action)
    };
    if verdict.approves && is_owner(cx, &mut reader, &case, &key, verdict.until).await? {
        drop(reader);
        return Box::pin(own_approval(cx, &federation, event)).await;
    }
    drop(reader);
    if verdict.approves && !is_recent(verdict.proven_ms, cx.now_ms()) {
        let text = format!(
            "approving needs a sign-in of the last {} minutes: sign in again, and what was typed is still here",
            RECENT_MS / 60_000
        );
        cx.keyward.record_refusal(event, &text).await?;
        return Err(Error::Unauthenticated(text));
    }
    let reason = check_reason(&verdict.reason)?;
    let own = cx.clone();
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let decision = Decided { cx: &own, case: &case, verdict: &verdict, reason: &reason };
            decision.carry_out(conn, event.clone()).await
        })
        .await
}

/// A20: whoever asked tried to agree. Refused, recorded, and a finding.
async fn own_approval(cx: &Cx<Admin>, federation: &Federation, event: AuditEvent) -> Result<i64, Error> {
    let event = AuditEvent { outcome: Outcome::Refused, reason: Some(OWNER.to_owned()), ..event };
    let (own, federation) = (cx.clone(), federation.clone());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let came = format!("{} tried to approve what a key of their own had asked for.", own.actor.name);
            let expected = "What is held is approved by somebody who did not issue the key.";
            let finding = behaviour::weakened(&own.keyward, &federation, "own approval", expected, came);
            findings::raise(conn, &finding, own.now_ms()).await?;
            Ok(Change::new((), event.clone()))
        })
        .await?;
    Err(Error::Forbidden(OWNER.to_owned()))
}

struct Decided<'a> {
    cx: &'a Cx<Admin>,
    case: &'a Case,
    verdict: &'a Verdict,
    reason: &'a str,
}

impl Decided<'_> {
    async fn carry_out(&self, conn: &mut Conn<'_>, event: AuditEvent) -> Result<Change<i64>, Error> {
        let Self { cx, case, verdict, reason } = self;
        let (of, now_ms) = (&case.federation_id, cx.now_ms());
        // Nothing is held or passes meanwhile.
        store::brakes::lock(conn, of, "{}").await?;
        let mut pending = store::held::pending(conn, of, &case.id, verdict.until).await?;
        for late in pending.iter().filter(|held| now_ms - held.first_ms >= DECIDE_MS) {
            store::held::expire(conn, of, &late.id, now_ms, super::sweep::NOBODY).await?;
        }
        pending.retain(|held| now_ms - held.first_ms < DECIDE_MS);
        if pending.is_empty() {
            return Err(Error::Conflict("nothing waits for a decision in this case any more".to_owned()));
        }
        let hash = hash_of(&case.id, &pending);
        if hash != verdict.hash {
            return Err(Error::Stale("the list of held operations"));
        }
        let by = cx.actor.name.as_str();
        let state = if verdict.approves { HeldState::Approved } else { HeldState::Rejected };
        let decision = Decision { state, at_ms: now_ms, by, reason };
        let decided = store::held::decide(conn, of, &case.id, verdict.until, decision).await?;
        let count = i64::try_from(pending.len()).unwrap_or(i64::MAX);
        if i64::try_from(decided) != Ok(count) {
            return Err(Error::Stale("the list of held operations"));
        }
        let word = if verdict.approves { "approved" } else { "rejected" };
        let text = format!("{by} {word} {count} held operations: {reason}");
        let mark = |moment| CaseMoment { moment, at_ms: now_ms, made_by: by.to_owned(), text: text.clone() };
        if !cases::write(conn, case, &mark(Moment::T3)).await? {
            cases::write(conn, case, &mark(Moment::Note)).await?;
        }
        if store::held::pending(conn, of, &case.id, i64::MAX).await?.is_empty()
            && let Some(first) = store::held::of_case(conn, of, &case.id, 0, 1).await?.first()
        {
            let why = format!("{by} {word} what was held");
            findings::settle(conn, Some(of), first.brake.rule(), case.id.as_str(), &why, now_ms).await?;
        }
        let ids: Vec<&str> = pending.iter().take(TOLD).map(|held| held.id.as_str()).collect();
        let told = detail(&json!({
            "case": case.id, "hash": hash, "until": verdict.until, "count": count, "reason": reason, "operations": ids,
        }));
        Ok(Change::new(count, AuditEvent { detail: told, ..event }))
    }
}
