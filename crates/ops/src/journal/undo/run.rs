//! Carrying a confirmed plan out, unit by unit: at once when it is small, by the timer when it is not, and on
//! from where it stopped.
//!
//! In the directory that is kept here a unit is one commit, in the order of the plan. At an upstream it is one
//! resource ([`crate::gateway::restore`]); one that waits for the service keeps none of the others waiting.

use std::sync::Arc;

use domain::{
    FederationId, Millis, UndoId,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    cases::{CaseMoment, Moment},
    federations::{Federation, FederationTarget, Slug},
};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{
    Change, Conn,
    undos::{OpenUnit, Undo},
};
use tracing::Instrument as _;

use super::{
    Wish,
    acts::{Act, Unit},
    apply::Worker,
};
use crate::{
    Actor, Cx, Error, Keyward, cases,
    federations::{about, allowed},
    gateway::restore::{Came, Restorer},
    unit::detail,
};

/// The most notes of one report.
const NOTES: usize = 200;

/// An undo of so many units is carried out before the form that confirms it is answered.
pub const AT_ONCE: i64 = 3;

/// The lease of the timer.
const LEASE: &str = "undo";

/// How long it holds; a unit that two nodes take up is done by one of them all the same.
const LEASE_MS: Millis = 30_000;

/// How long one undo is worked at in one round.
const SLICE_MS: Millis = 10_000;

/// How many undos one round looks at, and how many of them at once.
const ROUND: i64 = 100;
const BESIDE: usize = 8;

/// How long a unit waits after it was tried in vain, by how often that was.
const PAUSES_MS: [Millis; 5] = [5_000, 15_000, 60_000, 300_000, 600_000];

/// So many in a row that wait say that the others would wait as well.
const IN_VAIN: u32 = 3;

/// How long an undo waits for an upstream.
const PATIENCE_MS: Millis = domain::DAY_MS;

/// What was done to a resource, or why it was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Of which resource.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Why.
    pub text: String,
}

impl Note {
    pub(crate) fn of(act: &Act, text: impl Into<String>) -> Self {
        Self { id: act.id().to_owned(), name: act.name().to_owned(), text: text.into() }
    }

    fn written(&self) -> String {
        // Texts are always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What came of units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How many users and groups came back, went or were changed.
    pub resources: u64,
    /// How many joined groups again or left them again.
    pub members: u64,
    /// What was not done, the first of it.
    pub notes: Vec<Note>,
    /// How much was not done.
    pub not_done: u64,
    /// At an upstream, what was done to each, the first of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub did: Vec<Note>,
}

impl Report {
    /// Adds what came of another unit.
    pub(super) fn add(&mut self, more: Self) {
        self.resources += more.resources;
        self.members += more.members;
        self.not_done += more.not_done;
        self.notes.extend(more.notes);
        self.notes.truncate(NOTES);
        self.did.extend(more.did);
        self.did.truncate(NOTES);
    }

    pub(crate) fn note(&mut self, act: &Act, text: impl Into<String>) {
        self.not_done += 1;
        if self.notes.len() < NOTES {
            self.notes.push(Note::of(act, text));
        }
    }
}

/// Confirms a plan, and carries it out at once when it is small; otherwise the timer does.
///
/// # Errors
/// As [`super::begin`].
pub async fn apply(cx: &Cx<Admin>, slug: &Slug, wish: &Wish, hash: &str) -> Result<UndoId, Error> {
    let id = super::begin(cx, slug, wish, hash).await?;
    if let Err(error) = small(cx, slug, &id).await {
        // Its page says how far it has come, and the timer goes on.
        tracing::warn!(undo = %id, %error, "an undo stopped in between");
    }
    Ok(id)
}

/// Lets what waits be tried at once, and carries out what is left when that is little; otherwise the timer
/// does.
///
/// # Errors
/// As [`run`].
pub async fn go_on(cx: &Cx<Admin>, slug: &Slug, id: &UndoId) -> Result<(), Error> {
    let (federation, _) = find(cx, slug, id).await?;
    let (federation_id, undo_id) = (federation.id.clone(), id.clone());
    let hurry = async move |conn: &mut Conn<'_>| store::undos::hurry(conn, &federation_id, &undo_id).await;
    cx.keyward.store.committer().upkeep(hurry).await?;
    small(cx, slug, id).await
}

/// Carries out what is left when that is little, to its end also when nobody waits for it any more.
async fn small(cx: &Cx<Admin>, slug: &Slug, id: &UndoId) -> Result<(), Error> {
    let (federation, _) = find(cx, slug, id).await?;
    let left = store::undos::left(&mut cx.read().await?.conn(), &federation.id, id).await?;
    if left > AT_ONCE {
        return Ok(());
    }
    let (own, slug, id) = (cx.clone(), slug.clone(), id.clone());
    let work = async move { run(&own, &slug, &id).await };
    let ended = tokio::spawn(work.in_current_span()).await;
    ended.unwrap_or_else(|error| Err(Error::Internal(format!("an undo: {error}"))))
}

async fn find(cx: &Cx<Admin>, slug: &Slug, id: &UndoId) -> Result<(Arc<Federation>, Arc<Undo>), Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::UndoApplied).await?;
    let found = store::undos::by_id(&mut cx.read().await?.conn(), &federation.id, id).await?;
    Ok((Arc::new(federation), Arc::new(found.ok_or(Error::NotFound("undo"))?)))
}

/// Carries out what is left of a confirmed plan, as far as that can be done now.
///
/// # Errors
/// Conflict when a name was taken in the moment of writing; NotFound; Forbidden. What is done stays done, and
/// another call goes on from there. What an upstream did not do at the moment is no error: it waits.
pub async fn run(cx: &Cx<Admin>, slug: &Slug, id: &UndoId) -> Result<(), Error> {
    let (federation, undo) = find(cx, slug, id).await?;
    if undo.ended_ms.is_some() {
        return Ok(());
    }
    match federation.target {
        FederationTarget::Embedded => while unit(cx, &federation, &undo).await? {},
        FederationTarget::Upstream => at_upstream(cx, &federation, &undo, Millis::MAX).await?,
    }
    Ok(())
}

/// What the timer does: goes on with every undo that has something to be done now, when this node has the
/// lease; how many it worked at, `None` while another node does. Where there is none, nothing is written.
///
/// # Errors
/// When the database does not answer.
pub async fn round(keyward: &Arc<Keyward>, node: &str) -> Result<Option<usize>, Error> {
    let cx = keyward.system_cx("undo");
    let now_ms = cx.now_ms();
    let open = store::undos::open(&mut cx.read().await?.conn(), now_ms, ROUND).await?;
    if open.is_empty() {
        return Ok(Some(0));
    }
    let holder = node.to_owned();
    let take = async move |conn: &mut Conn<'_>| {
        store::leases::take(conn, LEASE, &holder, now_ms, now_ms + LEASE_MS).await
    };
    if keyward.store.committer().upkeep(take).await?.is_none() {
        return Ok(None);
    }
    let federations = store::federations::list(&mut cx.read().await?.conn()).await?;
    let of = |id: &FederationId| federations.iter().find(|federation| federation.id == *id).cloned();
    let work = open.into_iter().filter_map(|(federation_id, id)| Some((of(&federation_id)?, id)));
    let work = work.map(|(federation, id)| {
        let cx = &cx;
        async move {
            // One that cannot go on keeps no other waiting.
            let slug = federation.slug.clone();
            if let Err(error) = slice(cx, Arc::new(federation), &id).await {
                tracing::warn!(federation = %slug, undo = %id, %error, "an undo stopped in between");
            }
        }
    });
    Ok(Some(stream::iter(work).buffer_unordered(BESIDE).count().await))
}

/// One undo, for as long as one round works at it.
async fn slice<A>(cx: &Cx<A>, federation: Arc<Federation>, id: &UndoId) -> Result<(), Error>
where
    A: Actor + Clone + Send + Sync + 'static,
{
    let until_ms = cx.now_ms() + SLICE_MS;
    let found = store::undos::by_id(&mut cx.read().await?.conn(), &federation.id, id).await?;
    let Some(undo) = found.filter(|undo| undo.ended_ms.is_none()).map(Arc::new) else { return Ok(()) };
    match federation.target {
        FederationTarget::Upstream => at_upstream(cx, &federation, &undo, until_ms).await,
        FederationTarget::Embedded => loop {
            let next = store::undos::next_unit(&mut cx.read().await?.conn(), &federation.id, id).await?;
            let Some(next) = next.filter(|next| next.due_ms <= cx.now_ms()) else { return Ok(()) };
            match unit(cx, &federation, &undo).await {
                Ok(true) if cx.now_ms() < until_ms => {}
                Ok(_) => return Ok(()),
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => {
                    let text = error.to_string();
                    let note = Note { id: String::new(), name: undo.title.clone(), text };
                    put_off(cx, &federation, id, &next, &note, 0).await?;
                    return Err(error);
                }
            }
        },
    }
}

/// Puts a unit off that was tried in vain.
async fn put_off<A: Actor>(
    cx: &Cx<A>,
    federation: &Federation,
    id: &UndoId,
    unit: &OpenUnit,
    note: &Note,
    least_ms: Millis,
) -> Result<(), Error> {
    let (federation_id, id, position) = (federation.id.clone(), id.clone(), unit.position);
    let due_ms = cx.now_ms() + pause_ms(unit.tries).max(least_ms);
    let text = note.written();
    let wait = async move |conn: &mut Conn<'_>| {
        store::undos::wait(conn, &federation_id, &id, position, due_ms, &text).await
    };
    Ok(cx.keyward.store.committer().upkeep(wait).await?)
}

fn pause_ms(tries: i64) -> Millis {
    let last = PAUSES_MS.len() - 1;
    let place = usize::try_from(tries).unwrap_or(last).min(last);
    PAUSES_MS.get(place).copied().unwrap_or_default()
}

fn read(id: &UndoId, body: &str) -> Result<Unit, Error> {
    serde_json::from_str(body).map_err(|error| Error::Internal(format!("a unit of {id}: {error}")))
}

/// What can be done at an upstream now.
async fn at_upstream<A>(
    cx: &Cx<A>,
    federation: &Arc<Federation>,
    undo: &Arc<Undo>,
    until_ms: Millis,
) -> Result<(), Error>
where
    A: Actor + Clone + Send + Sync + 'static,
{
    let restorer = match Restorer::open(cx, federation, undo).await {
        Ok(restorer) => restorer,
        Err(error) => {
            let first = due(cx, federation, undo, -1).await?;
            if let Some(unit) = first {
                let text = error.to_string();
                let note = Note { id: String::new(), name: undo.title.clone(), text };
                put_off(cx, federation, &undo.id, &unit, &note, 0).await?;
            }
            return Err(error);
        }
    };
    let (mut after, mut in_vain, mut is_blocked) = (-1, 0, false);
    while cx.now_ms() <= until_ms {
        let Some(unit) = due(cx, federation, undo, after).await? else {
            // What another one was in the way of may have a free way now.
            if !std::mem::take(&mut is_blocked) {
                return Ok(());
            }
            after = -1;
            continue;
        };
        after = unit.position;
        let Unit { head, acts } = read(&undo.id, &unit.body)?;
        let Some(act) = acts.first() else { continue };
        let is_late = cx.now_ms() - undo.made_ms > PATIENCE_MS;
        match restorer.unit(&unit, act, head.as_ref(), is_late).await? {
            Came::Settled => in_vain = 0,
            Came::Taken => {}
            Came::Blocked => is_blocked = true,
            Came::Waits { reason, retry_after_s, would_all } => {
                let note = Note::of(act, reason);
                put_off(cx, federation, &undo.id, &unit, &note, Millis::from(retry_after_s) * 1_000).await?;
                in_vain += 1;
                if would_all || in_vain >= IN_VAIN {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// The first unit after a place that may be taken up now.
async fn due<A: Actor>(
    cx: &Cx<A>,
    federation: &Federation,
    undo: &Undo,
    after: i64,
) -> Result<Option<OpenUnit>, Error> {
    let mut reader = cx.read().await?;
    let conn = &mut reader.conn();
    Ok(store::undos::due_unit(conn, &federation.id, &undo.id, after, cx.now_ms()).await?)
}

/// One unit of the directory that is kept here, in a commit of its own; whether there is another one.
async fn unit<A>(cx: &Cx<A>, federation: &Arc<Federation>, undo: &Arc<Undo>) -> Result<bool, Error>
where
    A: Actor + Clone + Send + Sync + 'static,
{
    let (own, federation, undo) = (cx.clone(), Arc::clone(federation), Arc::clone(undo));
    let made = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let next = store::undos::next_unit(conn, &federation.id, &undo.id).await?;
            let Some(OpenUnit { position, body, .. }) = next else { return Ok(Change::nothing(false)) };
            let unit = read(&undo.id, &body)?;
            let mut worker = Worker::of(&own.keyward, conn, &federation, &undo, &unit).await?;
            worker.carry_out(conn, &unit.acts).await?;
            let report = worker.report;
            let is_last = done(&own, conn, &federation, &undo, position, &report).await?;
            Ok(Change::new(!is_last, applied(&own, &federation, &undo, position, &report)))
        })
        .await;
    match made {
        // Somebody else was faster; nothing of it is written twice.
        Err(Error::Stale(_)) => Ok(true),
        made => made,
    }
}

/// Notes that a unit is done, in the commit that does it; whether it was the last one. Then the undo is at its
/// end, and its case is told.
///
/// # Errors
/// When somebody else has done it; nothing is written then.
pub(crate) async fn done<A: Actor>(
    cx: &Cx<A>,
    conn: &mut Conn<'_>,
    federation: &Federation,
    undo: &Undo,
    position: i64,
    report: &Report,
) -> Result<bool, Error> {
    let now_ms = cx.now_ms();
    let text = serde_json::to_string(report).unwrap_or_default();
    store::undos::unit_done(conn, &federation.id, &undo.id, position, now_ms, &text).await?;
    if store::undos::next_unit(conn, &federation.id, &undo.id).await?.is_some() {
        return Ok(false);
    }
    store::undos::end(conn, &federation.id, &undo.id, now_ms).await?;
    if let Some(case_id) = &undo.case_id
        && let Some(case) = store::cases::by_id(conn, case_id).await?
        && case.closed_ms.is_none()
    {
        let mark = CaseMoment {
            moment: Moment::T10,
            at_ms: now_ms,
            made_by: undo.made_by.clone(),
            text: format!("{} was taken back", undo.title),
        };
        cases::write(conn, &case, &mark).await?;
    }
    Ok(true)
}

/// The record of a unit that is done.
pub(crate) fn applied<A: Actor>(
    cx: &Cx<A>,
    federation: &Federation,
    undo: &Undo,
    position: i64,
    report: &Report,
) -> AuditEvent {
    AuditEvent {
        detail: detail(&json!({
            "undo": undo.id, "unit": position + 1, "resources": report.resources, "members": report.members,
            "not_done": report.not_done, "confirmed_by": undo.made_by,
        })),
        ..about(cx, Action::UndoApplied, federation)
    }
}
