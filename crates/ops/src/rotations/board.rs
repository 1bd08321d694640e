//! What people see: every rotation that is under way, every key and when it is due, and what happens by
//! itself next.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    DAY_MS, FederationId, KeyId, Millis, RotationId,
    admins::{Admin, Right},
    deliveries::Delivery,
    federations::{Federation, FederationStatus, Slug},
    keys::{Key, KeyState, Proof},
    rotations::{
        Cause, Rotation, Stage,
        cadence::{self, Cadence},
        evidence::{self, Evidence, Verdict},
        policy::{Due, Effective, OnDeadline, PolicyException, RotationDefaults, due},
    },
};
use store::Conn;

use super::{
    clock::{self, ClockView},
    effects::Pair,
    may_act,
};
use crate::{Cx, Error, federations::visible};

/// The most rotations on the board.
const MOST: usize = 500;

/// How long an ended rotation stays on the board.
const ENDED_MS: Millis = 7 * DAY_MS;

/// The most ended ones on the board.
const MOST_ENDED: usize = 100;

/// How many ended ones are read at once.
const PAGE: i64 = 200;

/// What to show; every field narrows.
#[derive(Debug, Clone, Default)]
pub struct BoardFilter {
    /// Of one federation.
    pub federation: Option<Slug>,
}

/// A delivery with the name of its target.
#[derive(Debug, Clone)]
pub struct Brought {
    /// The delivery.
    pub delivery: Delivery,
    /// The name of the target; none for a hand-off, or when it is not there any more.
    pub target: Option<String>,
}

/// A rotation and what is known around it.
#[derive(Debug, Clone)]
pub struct RotationView {
    /// The rotation.
    pub rotation: Rotation,
    /// The federation of its keys.
    pub federation: Federation,
    /// The key that is replaced.
    pub old: Key,
    /// Its state now.
    pub old_state: KeyState,
    /// Its successor.
    pub new: Key,
    /// Its state now.
    pub new_state: KeyState,
    /// How it stands.
    pub verdict: Verdict,
    /// The rhythm of the consumer.
    pub cadence: Cadence,
    /// The policy that holds.
    pub effective: Effective,
    /// When something happens by itself next.
    pub next_ms: Option<Millis>,
    /// Whether the viewer may hold, release, finish and roll back.
    pub may_act: bool,
    /// How the secret was brought, the last first; empty when a person was shown it.
    pub deliveries: Vec<Brought>,
}

impl RotationView {
    /// Who or what brought the secret, in words.
    pub fn delivered_by(&self) -> String {
        match self.deliveries.iter().find(|brought| !brought.delivery.state.is_open()) {
            Some(Brought { target: Some(target), .. }) => format!("To {target}."),
            Some(Brought { target: None, .. }) => "Handed over to a person.".to_owned(),
            None if self.deliveries.is_empty() => format!("Shown to {}.", self.rotation.begun_by),
            None => "Under way.".to_owned(),
        }
    }
}

/// What holds the rotation of a key back that is due, or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Rotations begin by hand.
    ByHand,
    /// Nobody has ever used it.
    NeverUsed,
    /// It is held.
    KeyHeld,
    /// Its holder proves itself by a key pair, so there is no secret to bring.
    SignsItself,
    /// Its federation is paused.
    FederationPaused,
    /// It is the successor in a rotation that is under way.
    OwnRotation,
    /// An exception holds.
    Exception,
    /// As many rotations of its vendor are open as may be.
    MostOpen,
    /// The other half of its pair is or was rotated in this window.
    Pair,
    /// Its window is not open yet.
    Window,
}

impl Wait {
    /// One sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::ByHand => "Its policy leaves the beginning to a person.",
            Self::NeverUsed => "Nobody has ever used it, so nobody needs a successor.",
            Self::KeyHeld => "It is held.",
            Self::SignsItself => "Its client signs with a key of its own; there is no secret to bring.",
            Self::FederationPaused => "Its federation is paused.",
            Self::OwnRotation => "It has not taken over from the key before it yet.",
            Self::Exception => "An exception from the policy holds.",
            Self::MostOpen => "As many rotations of this vendor are open as may be.",
            Self::Pair => "The other half of its pair was rotated in this window.",
            Self::Window => "It waits for its window.",
        }
    }
}

/// A key against the limit of its policy.
#[derive(Debug, Clone)]
pub struct DueKey {
    /// The key.
    pub key: Key,
    /// Its federation.
    pub federation: Federation,
    /// Its state now.
    pub state: KeyState,
    /// When it ends, or is too old by its policy.
    pub ends_ms: Millis,
    /// When its rotation begins by itself; `None` when no policy rotates it.
    pub due: Option<Due>,
    /// What holds that back.
    pub waits: Option<Wait>,
    /// The exception that holds.
    pub exception: Option<PolicyException>,
    /// Whether the viewer may rotate it.
    pub may_act: bool,
}

/// What happens by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A rotation begins.
    Begin {
        /// Why.
        cause: Cause,
    },
    /// The old key is retired, if it stays silent.
    Retire,
    /// The overlap is extended and people are told, if there is no proof by then.
    Extend,
    /// The old key is retired without proof, because the policy says so.
    RetireAnyway,
}

impl What {
    /// What people read, to follow the name of the key.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Begin { .. } => "gets a successor",
            Self::Retire => "is retired, if it stays silent",
            Self::Extend => "has its overlap extended, if its successor is not in use by then",
            Self::RetireAnyway => "is retired, in use or not: its policy says so",
        }
    }
}

/// Something that will happen by itself.
#[derive(Debug, Clone)]
pub struct Planned {
    /// When, as it looks now.
    pub at_ms: Millis,
    /// What.
    pub what: What,
    /// Whose key it is.
    pub federation: Federation,
    /// The key that it happens to.
    pub key: Key,
    /// The rotation, when there is one already.
    pub rotation_id: Option<RotationId>,
}

/// Everything about rotation that the viewer may see.
#[derive(Debug, Clone)]
pub struct Board {
    /// What is under way, what needs a person first.
    pub open: Vec<RotationView>,
    /// What has ended in the last seven days, the last first.
    pub ended: Vec<RotationView>,
    /// Keys that have ended or are too old, and have no successor.
    pub overdue: Vec<DueKey>,
    /// Keys that end, or whose rotation begins, within seven days.
    pub this_week: Vec<DueKey>,
    /// All others.
    pub later: Vec<DueKey>,
    /// Keys for which an exception holds, and keys that nobody has ever used.
    pub exempt: Vec<DueKey>,
    /// What happens by itself, the next first.
    pub plan: Vec<Planned>,
    /// Whether the time is trusted.
    pub clock: ClockView,
}

/// What the views of one page have in common.
struct Around {
    defaults: RotationDefaults,
    clock: ClockView,
    now_ms: Millis,
}

impl Around {
    async fn read(cx: &Cx<Admin>, conn: &mut Conn<'_>) -> Result<Self, Error> {
        let (defaults, _) = crate::policies::defaults_in(conn).await?;
        Ok(Self { defaults, clock: clock::view(cx, conn).await?, now_ms: cx.now_ms() })
    }
}

/// Everything about rotation that the viewer may see.
///
/// # Errors
/// NotFound for a federation that the viewer may not see.
pub async fn board(cx: &Cx<Admin>, filter: &BoardFilter) -> Result<Board, Error> {
    let mut reader = cx.read().await?;
    let mut federations = visible(cx, &mut reader).await?;
    if let Some(slug) = &filter.federation {
        federations.retain(|federation| federation.slug == *slug);
        if federations.is_empty() {
            return Err(Error::NotFound("federation"));
        }
    }
    let conn = &mut reader.conn();
    let around = Around::read(cx, conn).await?;
    let federations: BTreeMap<FederationId, Federation> =
        federations.into_iter().map(|federation| (federation.id.clone(), federation)).collect();
    let mut open = open_of(cx, conn, &federations, &around).await?;
    let ended = ended_lately(conn, &federations, around.now_ms).await?;
    let ended = views(cx, conn, ended, &federations, &around).await?;
    let successors: BTreeSet<KeyId> = open.iter().map(|view| view.new.id.clone()).collect();
    let mut keys = due_keys(cx, conn, &federations, &around, &successors).await?;
    open.sort_by_key(|view| (rank(view), view.next_ms.unwrap_or(Millis::MAX)));
    let plan = planned(&open, &keys, &around);
    let mut board = Board {
        open,
        ended,
        overdue: Vec::new(),
        this_week: Vec::new(),
        later: Vec::new(),
        exempt: Vec::new(),
        plan,
        clock: around.clock,
    };
    keys.sort_by_key(|due| due.ends_ms);
    for due in keys {
        let begins_ms = due.due.filter(|_| due.waits.is_none()).map_or(due.ends_ms, |due| due.at_ms);
        let shelf = if matches!(due.waits, Some(Wait::Exception | Wait::NeverUsed)) {
            &mut board.exempt
        } else if due.ends_ms <= around.now_ms {
            &mut board.overdue
        } else if begins_ms.min(due.ends_ms) <= around.now_ms + 7 * DAY_MS {
            &mut board.this_week
        } else {
            &mut board.later
        };
        shelf.push(due);
    }
    Ok(board)
}

/// The rotations that are under way and that the viewer may see.
///
/// # Errors
/// When the database does not answer.
pub async fn open_views(cx: &Cx<Admin>) -> Result<Vec<RotationView>, Error> {
    let mut reader = cx.read().await?;
    let federations = visible(cx, &mut reader).await?;
    let federations = federations.into_iter().map(|federation| (federation.id.clone(), federation)).collect();
    let conn = &mut reader.conn();
    let around = Around::read(cx, conn).await?;
    open_of(cx, conn, &federations, &around).await
}

/// The rotations of these federations that are under way.
async fn open_of(
    cx: &Cx<Admin>,
    conn: &mut Conn<'_>,
    federations: &BTreeMap<FederationId, Federation>,
    around: &Around,
) -> Result<Vec<RotationView>, Error> {
    let mut open = Vec::new();
    let mut after: Option<(FederationId, RotationId)> = None;
    while open.len() < MOST {
        let page = store::rotations::open_after(conn, after.as_ref().map(|(f, id)| (f, id)), 500).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.rotation.federation_id.clone(), last.rotation.id.clone()));
        open.extend(page.into_iter().map(|live| live.rotation));
        open.retain(|rotation| federations.contains_key(&rotation.federation_id));
    }
    views(cx, conn, open, federations, around).await
}

/// The last rotations of these federations that have ended: whatever others there are takes no place from them.
async fn ended_lately(
    conn: &mut Conn<'_>,
    federations: &BTreeMap<FederationId, Federation>,
    now_ms: Millis,
) -> Result<Vec<Rotation>, Error> {
    let mut ended: Vec<Rotation> = Vec::new();
    let mut before: Option<(Millis, RotationId)> = None;
    while ended.len() < MOST_ENDED {
        let last = before.as_ref().map(|(at_ms, id)| (*at_ms, id));
        let page = store::rotations::ended_since(conn, now_ms - ENDED_MS, last, PAGE).await?;
        let Some(last) = page.last() else { break };
        before = Some((last.ended_ms.unwrap_or_default(), last.id.clone()));
        ended.extend(page.into_iter().filter(|rotation| federations.contains_key(&rotation.federation_id)));
    }
    ended.truncate(MOST_ENDED);
    Ok(ended)
}

/// What needs a person comes first.
fn rank(view: &RotationView) -> u8 {
    match (view.rotation.stage, view.verdict) {
        (_, Verdict::TwoHolders { .. }) => 0,
        (Stage::Stalled(_), _) => 1,
        (Stage::Held(_), _) => 2,
        (Stage::Open(_) | Stage::Retired | Stage::RolledBack | Stage::Revoked, _) => 3,
    }
}

/// The rotations of a federation, open ones first, then the last that have ended.
///
/// # Errors
/// NotFound.
pub async fn of_federation(cx: &Cx<Admin>, slug: &Slug, limit: i64) -> Result<Vec<RotationView>, Error> {
    let mut reader = cx.read().await?;
    let conn = &mut reader.conn();
    let federation = crate::federations::find(cx, conn, slug).await?;
    let around = Around::read(cx, conn).await?;
    let rotations = store::rotations::of_federation(conn, &federation.id, limit).await?;
    let mut views = views(cx, conn, rotations, &alone(federation), &around).await?;
    views.sort_by_key(|view| view.rotation.stage.has_ended());
    Ok(views)
}

/// The last rotation of a key, as the one that is replaced or, without one, as the successor.
///
/// # Errors
/// NotFound when there is no such key that the viewer may see.
pub async fn of_key(cx: &Cx<Admin>, id: &KeyId) -> Result<Option<RotationView>, Error> {
    let mut reader = cx.read().await?;
    let conn = &mut reader.conn();
    let found = store::keys::with_federation(conn, id).await?;
    let (_, federation) = found.ok_or(Error::NotFound("key"))?;
    if !cx.actor.role.may(Right::Read, Some(&federation.slug)) {
        return Err(Error::NotFound("key"));
    }
    let found = match store::rotations::of_old_key(conn, &federation.id, id).await? {
        Some(rotation) => Some(rotation),
        None => store::rotations::of_new_key(conn, &federation.id, id).await?,
    };
    let Some(rotation) = found else { return Ok(None) };
    let around = Around::read(cx, conn).await?;
    Ok(views(cx, conn, vec![rotation], &alone(federation), &around).await?.pop())
}

/// One rotation.
///
/// # Errors
/// NotFound when there is none, or none that the viewer may see.
pub async fn open(cx: &Cx<Admin>, id: &RotationId) -> Result<RotationView, Error> {
    let mut reader = cx.read().await?;
    let conn = &mut reader.conn();
    let pair = Pair::read(conn, id).await?;
    if !cx.actor.role.may(Right::Read, Some(&pair.federation.slug)) {
        return Err(Error::NotFound("rotation"));
    }
    let around = Around::read(cx, conn).await?;
    let views = views(cx, conn, vec![pair.rotation], &alone(pair.federation), &around).await?;
    views.into_iter().next().ok_or(Error::NotFound("rotation"))
}

fn alone(federation: Federation) -> BTreeMap<FederationId, Federation> {
    BTreeMap::from([(federation.id.clone(), federation)])
}

/// What happens by itself, the next first.
///
/// # Errors
/// When the database does not answer.
pub async fn plan(cx: &Cx<Admin>) -> Result<Vec<Planned>, Error> {
    Ok(board(cx, &BoardFilter::default()).await?.plan)
}

/// Rotations with what is around them, in a few questions for all.
async fn views(
    cx: &Cx<Admin>,
    conn: &mut Conn<'_>,
    rotations: Vec<Rotation>,
    federations: &BTreeMap<FederationId, Federation>,
    around: &Around,
) -> Result<Vec<RotationView>, Error> {
    let ids: Vec<&KeyId> =
        rotations.iter().flat_map(|rotation| [&rotation.old_key_id, &rotation.new_key_id]).collect();
    let keys = store::keys::briefs::of_ids(conn, &ids).await?;
    let ids: Vec<_> = rotations.iter().map(|rotation| (&rotation.federation_id, &rotation.id)).collect();
    let mut deliveries: BTreeMap<RotationId, Vec<Brought>> = BTreeMap::new();
    for (delivery, target) in store::deliveries::of_rotations(conn, &ids).await? {
        deliveries.entry(delivery.rotation_id.clone()).or_default().push(Brought { delivery, target });
    }
    let learned = rotations.iter().filter(|rotation| super::is_learned(rotation, around.now_ms));
    let ids: Vec<_> = learned
        .filter_map(|rotation| {
            let (old, new) = (keys.get(&rotation.old_key_id)?, keys.get(&rotation.new_key_id)?);
            Some(super::teachers(old, new).map(|id| (&rotation.federation_id, id)))
        })
        .flatten()
        .collect();
    let since_ms = around.now_ms - cadence::LEARNED_FROM_MS;
    let active = store::usage::active_of(conn, &ids, since_ms, cadence::STRETCH_MS).await?;
    let mut views = Vec::with_capacity(rotations.len());
    for rotation in rotations {
        let absent = || Error::Internal(format!("rotation {} has no key", rotation.id));
        let federation = federations.get(&rotation.federation_id).cloned().ok_or_else(absent)?;
        let old = keys.get(&rotation.old_key_id).cloned().ok_or_else(absent)?;
        let new = keys.get(&rotation.new_key_id).cloned().ok_or_else(absent)?;
        let known = super::known_cadence(&federation);
        let cadence = if super::is_learned(&rotation, around.now_ms) {
            let stretches = super::teachers(&old, &new).filter_map(|id| active.get(id)).flatten();
            cadence::learn(known, &stretches.copied().collect::<Vec<_>>())
        } else {
            known
        };
        let mut brought = deliveries.remove(&rotation.id).unwrap_or_default();
        brought.sort_by_key(|brought| std::cmp::Reverse(brought.delivery.made_ms));
        views.push(view(cx, Pair { rotation, federation, old, new }, cadence, brought, around));
    }
    Ok(views)
}

fn view(
    cx: &Cx<Admin>,
    pair: Pair,
    cadence: Cadence,
    deliveries: Vec<Brought>,
    around: &Around,
) -> RotationView {
    let now_ms = around.now_ms;
    let promotion_due = deliveries.iter().any(|brought| crate::deliveries::is_promotion(&brought.delivery));
    let Pair { rotation, federation, old, new } = pair;
    let effective = federation.rotation.effective(federation.policy, &around.defaults);
    let evidence = Evidence {
        old: &old.life,
        new: &new.life,
        cadence,
        is_live: federation.status == FederationStatus::Live,
        promotion_due,
        trusts_time: around.clock.jump.is_none(),
    };
    let (verdict, next_ms) = evidence::assess(&rotation, &evidence, &effective, now_ms);
    RotationView {
        verdict,
        cadence,
        next_ms,
        old_state: old.life.state(now_ms),
        new_state: new.life.state(now_ms),
        may_act: may_act(cx, &federation),
        effective,
        deliveries,
        rotation,
        federation,
        old,
        new,
    }
}

/// Every key that is or was accepted and has no successor, against its policy.
async fn due_keys(
    cx: &Cx<Admin>,
    conn: &mut Conn<'_>,
    federations: &BTreeMap<FederationId, Federation>,
    around: &Around,
    successors: &BTreeSet<KeyId>,
) -> Result<Vec<DueKey>, Error> {
    let now_ms = around.now_ms;
    let exceptions = store::policies::open(conn, now_ms).await?;
    let mut keys = Vec::new();
    for key in store::keys::standing(conn).await? {
        let Some(federation) = federations.get(&key.federation_id) else { continue };
        let state = key.life.state(now_ms);
        let is_recent = state == KeyState::Expired && now_ms - key.life.expires_ms < 30 * DAY_MS;
        if federation.status == FederationStatus::Archived
            || key.successor_id.is_some()
            || key.canary
            || !(state.is_accepted() || is_recent)
        {
            continue;
        }
        let effective = federation.rotation.effective(federation.policy, &around.defaults);
        let due = due(&key, &effective, now_ms);
        let exception = exceptions.iter().find(|exception| exception.covers(&key, now_ms)).cloned();
        let waits = if exception.is_some() {
            Some(Wait::Exception)
        } else if successors.contains(&key.id) {
            Some(Wait::OwnRotation)
        } else if !effective.automatic {
            Some(Wait::ByHand)
        } else if key.life.first_used_ms.is_none() {
            Some(Wait::NeverUsed)
        } else if key.proof == Proof::Assertion {
            Some(Wait::SignsItself)
        } else if state == KeyState::Held {
            Some(Wait::KeyHeld)
        } else if federation.status == FederationStatus::Paused {
            Some(Wait::FederationPaused)
        } else {
            None
        };
        let max_age_ms = federation.policy.max_age_ms();
        keys.push(DueKey {
            ends_ms: key.life.expires_ms.min(key.life.issued_ms + max_age_ms),
            state,
            due,
            waits,
            exception,
            may_act: may_act(cx, federation),
            federation: federation.clone(),
            key,
        });
    }
    Ok(keys)
}

fn planned(open: &[RotationView], keys: &[DueKey], around: &Around) -> Vec<Planned> {
    // While the time is in doubt nothing happens by itself.
    if around.clock.jump.is_some() {
        return Vec::new();
    }
    let moving = open.iter().filter_map(|view| {
        let what = match view.verdict {
            Verdict::Draining { .. } | Verdict::BothInUse | Verdict::TwoHolders { .. } => What::Retire,
            Verdict::WaitsForDelivery | Verdict::WaitsForTarget => What::Extend,
            Verdict::WaitsForUse { .. } => match view.effective.on_deadline {
                OnDeadline::Extend => What::Extend,
                OnDeadline::Retire => What::RetireAnyway,
            },
            Verdict::NotWatched
            | Verdict::TimeInDoubt
            | Verdict::Held
            | Verdict::Retired
            | Verdict::RolledBack
            | Verdict::Revoked => return None,
        };
        Some(Planned {
            at_ms: view.next_ms?,
            what,
            federation: view.federation.clone(),
            key: view.old.clone(),
            rotation_id: Some(view.rotation.id.clone()),
        })
    });
    let beginning = keys.iter().filter(|due| due.waits.is_none()).filter_map(|due| {
        let begins = due.due?;
        Some(Planned {
            at_ms: begins.at_ms,
            what: What::Begin { cause: begins.cause },
            federation: due.federation.clone(),
            key: due.key.clone(),
            rotation_id: None,
        })
    });
    let mut planned: Vec<Planned> = moving.chain(beginning).collect();
    planned.sort_by_key(|planned| planned.at_ms);
    planned
}
