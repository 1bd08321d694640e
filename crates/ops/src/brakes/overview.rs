//! The brakes of a federation at a glance: what is spent of each limit, planned work, marks, what was learned.

use domain::{
    HOUR_MS,
    admins::{Admin, Right},
    brakes::{Brake, Learned, Ledger, Limits, Mark, Window, rewrite_limit},
    cases::{Case, CaseKind},
    federations::{Federation, FederationStatus, Slug},
};

use super::decide::unreadable;
use crate::{Cx, Error};

/// The most windows of the page.
const WINDOWS: i64 = 20;

/// What is spent of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// What was counted.
    pub counted: i64,
    /// What passes.
    pub limit: i64,
}

/// The brakes of a federation.
#[derive(Debug, Clone)]
pub struct BrakesView {
    /// The federation.
    pub federation: Federation,
    /// Active users, as they were last counted; `None` before anything was.
    pub active: Option<i64>,
    /// R1 in 60 minutes.
    pub hour: Spent,
    /// R1 in 24 hours.
    pub day: Spent,
    /// R4 in 60 minutes.
    pub rewrites: Spent,
    /// R2: from so many members on, more than so many percent.
    pub emptying: (i64, i64),
    /// Maintenance windows, the latest first.
    pub windows: Vec<Window>,
    /// Marked users and groups, the latest first.
    pub marks: Vec<Mark>,
    /// Mail domains and kinds of externalId.
    pub learned: Vec<Learned>,
    /// The open cases of brakes.
    pub cases: Vec<Case>,
    /// Whether the viewer may plan work.
    pub may_plan: bool,
    /// Whether the viewer may agree to planned work of others, and allow domains.
    pub may_approve: bool,
    /// Whether the viewer may mark users and groups.
    pub may_mark: bool,
    /// The viewer's issuer and subject: nobody agrees to their own plan.
    pub viewer_id: String,
}

/// The brakes of a federation.
///
/// # Errors
/// NotFound when there is no such federation, or none that the viewer may see.
pub async fn overview(cx: &Cx<Admin>, slug: &Slug) -> Result<BrakesView, Error> {
    let mut reader = cx.read().await?;
    let federation = crate::federations::find(cx, &mut reader.conn(), slug).await?;
    let (id, now_ms) = (&federation.id, cx.now_ms());
    let guards = store::protected::guards(&mut reader.conn(), id).await?;
    let rules = guards.rules;
    let text = store::brakes::read(&mut reader.conn(), id).await?;
    let ledger: Ledger = match &text {
        Some(text) => serde_json::from_str(text).map_err(unreadable)?,
        None => Ledger::new(federation.created_ms),
    };
    let Limits { hour, day } = ledger.limits(&rules.r1);
    let (rewritten, _) = store::brakes::rewritten(&mut reader.conn(), id, "", now_ms - HOUR_MS).await?;
    let is_open = federation.status != FederationStatus::Archived;
    let may = |right| is_open && cx.actor.role.may(right, Some(slug));
    let mut open = Vec::new();
    for case_id in Brake::ALL.iter().filter_map(|brake| ledger.cases.get(brake)) {
        let case = store::cases::by_id(&mut reader.conn(), case_id).await?;
        open.extend(case.filter(|case| case.closed_ms.is_none() && case.kind == CaseKind::Brake));
    }
    Ok(BrakesView {
        active: (ledger.counted_ms > 0).then_some(ledger.active),
        hour: Spent { counted: ledger.in_hour(now_ms), limit: hour },
        day: Spent { counted: ledger.in_day(now_ms), limit: day },
        rewrites: Spent { counted: rewritten, limit: rewrite_limit(&rules.r4, ledger.users) },
        emptying: (i64::from(rules.r2.least_members), i64::from(rules.r2.share)),
        windows: store::windows::list(&mut reader.conn(), id, WINDOWS).await?,
        marks: store::protected::marks(&mut reader.conn(), id).await?,
        learned: store::protected::learned(&mut reader.conn(), id).await?,
        cases: open,
        may_plan: may(Right::RunFederation),
        may_approve: may(Right::Approve),
        may_mark: may(Right::RegisterFederation),
        viewer_id: crate::Actor::as_ref(&cx.actor).id,
        federation,
    })
}
