//! Taking changes back: a dry run, then exactly that plan, in units, as changes of their own.
//!
//! [`plan`] follows every value that the chosen changes wrote ([`domain::journal::trail`]) and says what
//! would come back, what somebody else has changed since (left alone unless told), and what cannot come
//! back. [`begin`] makes the plan again, refuses when it is not the one that was confirmed, and writes it
//! down in units; [`run()`] and [`round`] carry them out one by one, here or at the upstream that keeps the
//! directory. Each unit looks again at what it changes, so that a crash in between leaves a plan that goes on,
//! and a change in between is left alone and told.

pub(crate) mod acts;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod told;

mod apply;
pub(crate) mod rows;
mod world;

use std::collections::BTreeSet;

use domain::{
    CaseId, Millis, UndoId,
    admins::{Admin, Right},
    audit::{Action, ActorKind, AuditEvent},
    cases::{CaseMoment, Moment},
    federations::{Federation, FederationTarget, Slug},
    journal::{Selection, trail::Since},
};
use scim::ResourceType;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
pub use store::undos::Undo;
use store::{Change, Conn};

pub use self::run::{AT_ONCE, Note, Report, apply, go_on, round, run};
use crate::{
    Actor as _, Cx, Error, cases,
    federations::{about, allowed, find},
    journal::Author,
    unit::detail,
};

/// The most changes that one plan takes back.
pub const MOST: usize = 20_000;

/// The most at an upstream, where each resource is a call of its own.
pub const MOST_AT_UPSTREAM: usize = 5_000;

/// How many of those that wait are told.
const WAITING: usize = 50;

/// What is to be taken back.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Which changes.
    pub selection: Selection,
    /// Also what somebody else has changed since.
    pub over_all: bool,
    /// Also what somebody else has changed since, of these resources.
    pub over: BTreeSet<String>,
    /// The case that it belongs to.
    pub case: Option<CaseId>,
}

/// What would become of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// It comes back.
    Restored,
    /// Somebody else has changed it since: left alone unless told.
    Skipped(By),
    /// It cannot come back, and why.
    Cannot(String),
}

/// Who has changed something since, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The name.
    pub name: String,
    /// When.
    pub at_ms: Millis,
}

impl From<&Since> for By {
    fn from(since: &Since) -> Self {
        Self { name: since.by.clone(), at_ms: since.at_ms }
    }
}

/// What happens to a resource as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Doing {
    /// It was deleted and comes back with its id.
    Revive,
    /// It was created and goes.
    Remove,
    /// It stays; values of it come back.
    Change,
}

/// An attribute, as it is and as it would be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Its name; inside an extension, with the URN before it.
    pub attribute: String,
    /// What it is now.
    pub now: Option<Value>,
    /// What it would be.
    pub then: Option<Value>,
    /// Whether it comes back.
    pub verdict: Verdict,
}

/// Somebody who would join a group again, or leave it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberLine {
    /// Who.
    pub id: String,
    /// The name, where it is known.
    pub name: String,
    /// Whether they join.
    pub joins: bool,
    /// Whether it comes back.
    pub verdict: Verdict,
}

/// What becomes of one user or group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// User or group.
    #[serde(serialize_with = "name_of")]
    pub kind: ResourceType,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// As a whole.
    pub doing: Doing,
    /// Whether that happens; of [`Doing::Change`] always restored, the lines say more.
    pub verdict: Verdict,
    /// Its attributes.
    pub lines: Vec<Line>,
    /// Its members.
    pub members: Vec<MemberLine>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn name_of<S: serde::Serializer>(kind: &ResourceType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

/// How much a plan holds of each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// What comes back: resources, values, memberships.
    pub restored: u64,
    /// What is left alone.
    pub skipped: u64,
    /// What cannot come back.
    pub cannot: u64,
}

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Restored => self.restored += 1,
            Verdict::Skipped(_) => self.skipped += 1,
            Verdict::Cannot(_) => self.cannot += 1,
        }
    }

    fn of(items: &[Item]) -> Self {
        let mut counts = Self::default();
        for item in items {
            if item.doing != Doing::Change {
                counts.add(&item.verdict);
            }
            item.lines.iter().for_each(|line| counts.add(&line.verdict));
            item.members.iter().for_each(|line| counts.add(&line.verdict));
        }
        counts
    }
}

/// A dry run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whose directory.
    pub federation: Federation,
    /// What was chosen, in words.
    pub title: String,
    /// What was chosen.
    pub wish: Wish,
    /// How many changes that is.
    pub changes: u64,
    /// What would become of each resource.
    pub items: Vec<Item>,
    /// How much of each verdict.
    pub counts: Counts,
    /// The digest that confirms it.
    pub hash: String,
    /// Whether the viewer may.
    pub may_apply: bool,
    acts: Vec<acts::Act>,
    head: Option<domain::JournalId>,
}

/// What taking the chosen changes back would do.
///
/// # Errors
/// Invalid when there are more than [`MOST`]; NotFound when there is no such federation that the viewer may
/// see.
pub async fn plan(cx: &Cx<Admin>, slug: &Slug, wish: &Wish) -> Result<Plan, Error> {
    let federation = find(cx, &mut cx.read().await?.conn(), slug).await?;
    plan::make(cx, federation, wish).await
}

/// Confirms a plan by its digest and writes it down; [`run()`] or [`round`] carries it out.
///
/// # Errors
/// Conflict when the directory is not as it was when the plan was shown, or when there is nothing to do;
/// Forbidden; NotFound.
pub async fn begin(cx: &Cx<Admin>, slug: &Slug, wish: &Wish, hash: &str) -> Result<UndoId, Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::UndoBegun).await?;
    let plan = plan::make(cx, federation, wish).await?;
    if plan.hash != hash.trim() {
        return Err(Error::Conflict(
            "the directory has changed since this plan was shown; look at the new one and confirm that"
                .to_owned(),
        ));
    }
    if plan.acts.is_empty() {
        return Err(Error::Conflict("there is nothing to take back".to_owned()));
    }
    let case = match &wish.case {
        Some(id) => Some(cases::managed(cx, id, Action::UndoBegun).await?.0),
        None => None,
    };
    let most = match plan.federation.target {
        FederationTarget::Embedded => acts::RESOURCES,
        FederationTarget::Upstream => acts::AT_UPSTREAM,
    };
    let units = acts::units(plan.acts, plan.head.as_ref(), most)?;
    let now_ms = cx.now_ms();
    let undo = Undo {
        id: UndoId::new(now_ms, cx.keyward.id_chance()),
        selection: wish.selection.clone(),
        title: plan.title,
        plan_hash: plan.hash,
        case_id: case.as_ref().map(|case| case.id.clone()),
        made_by: cx.actor.name.clone(),
        made_ms: now_ms,
        units: i64::try_from(units.len()).unwrap_or(i64::MAX),
        ended_ms: None,
        made_by_id: cx.actor.as_ref().id,
        request_id: cx.request.id.to_string(),
        source: cx.request.source.map(|address| address.to_string()),
    };
    let Counts { restored, skipped, cannot } = plan.counts;
    let event = AuditEvent {
        detail: detail(&json!({
            "undo": undo.id, "what": undo.title, "plan": undo.plan_hash, "units": undo.units,
            "changes": plan.changes, "restored": restored, "skipped": skipped, "cannot": cannot,
            "over_later_changes": wish.over_all || !wish.over.is_empty(),
        })),
        ..about(cx, Action::UndoBegun, &plan.federation)
    };
    let (federation_id, id, by) = (plan.federation.id, undo.id.clone(), cx.actor.name.clone());
    let changes = plan.changes;
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::undos::insert(conn, &federation_id, &undo, &units).await?;
            if let Some(case) = case.as_ref().filter(|case| case.closed_ms.is_none()) {
                // Who takes it back knows what it was.
                let text = format!("{changes} changes, as the plan of an undo shows them");
                let mark = CaseMoment { moment: Moment::T9, at_ms: now_ms, made_by: by.clone(), text };
                cases::write(conn, case, &mark).await?;
            }
            Ok(Change::new((), event.clone()))
        })
        .await?;
    Ok(id)
}

/// A taking back, as far as it has come.
#[derive(Debug, Clone)]
pub struct View {
    /// Whose directory.
    pub federation: Federation,
    /// It.
    pub undo: Undo,
    /// How many of its units are done.
    pub done: i64,
    /// What came of them together.
    pub report: Report,
    /// What was tried and waits, the first of it, and why.
    pub waiting: Vec<Note>,
    /// Whether the viewer may let it go on, or take it back in turn.
    pub may_run: bool,
}

/// One taking back.
///
/// # Errors
/// NotFound when there is none, or none that the viewer may see.
pub async fn open(cx: &Cx<Admin>, slug: &Slug, id: &UndoId) -> Result<View, Error> {
    let mut reader = cx.read().await?;
    let federation = find(cx, &mut reader.conn(), slug).await?;
    let undo =
        store::undos::by_id(&mut reader.conn(), &federation.id, id).await?.ok_or(Error::NotFound("undo"))?;
    let units = store::undos::units(&mut reader.conn(), &federation.id, id).await?;
    let done = units.iter().filter(|unit| unit.done_ms.is_some()).count();
    let mut report = Report::default();
    for unit in &units {
        report.add(serde_json::from_str(&unit.report).unwrap_or_default());
    }
    let waiting = units.iter().filter_map(|unit| serde_json::from_str(&unit.waits).ok()).take(WAITING);
    let waiting = waiting.collect();
    Ok(View {
        may_run: cx.actor.role.may(Right::RunFederation, Some(&federation.slug)),
        done: i64::try_from(done).unwrap_or(i64::MAX),
        federation,
        undo,
        report,
        waiting,
    })
}

/// Who makes the changes of a taking back: the person who confirmed it, whoever carries it out.
pub(crate) fn author(undo: &Undo) -> Author<'_> {
    Author {
        request_id: &undo.request_id,
        key_id: None,
        actor: (ActorKind::Admin, &undo.made_by_id, &undo.made_by),
        source: undo.source.as_deref(),
        undo_of: Some(&undo.id),
    }
}

/// The last that were made in a federation, newest first.
///
/// # Errors
/// NotFound when there is no such federation that the viewer may see.
pub async fn list(cx: &Cx<Admin>, slug: &Slug) -> Result<Vec<Undo>, Error> {
    let mut reader = cx.read().await?;
    let federation = find(cx, &mut reader.conn(), slug).await?;
    Ok(store::undos::list(&mut reader.conn(), &federation.id, 50).await?)
}
