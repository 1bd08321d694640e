//! Cases: opened by a compromise, a leak or a canary; their clock; closed by a person.
//!
//! [`open_in`] and [`moment`] run inside the unit of whatever happened.

use std::collections::BTreeMap;

use domain::{
    CaseId, FederationId, KeyId, Millis, RotationId,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    cases::{self, Case, CaseKind, CaseMoment, Moment},
    federations::{Federation, check_text},
    findings::FindingFilter,
    keys::Key,
};
use serde_json::json;
use store::{Change, Conn};

use crate::{Cx, Error, Keyward, notify, unit::detail};

/// The most cases of a list.
const LIST_LIMIT: i64 = 200;

/// A case to be opened.
#[derive(Debug, Clone)]
pub struct NewCase {
    /// Its id, when it becomes one of its own.
    pub id: CaseId,
    /// Whose key it was.
    pub federation_id: FederationId,
    /// How it began.
    pub kind: CaseKind,
    /// The key in wrong hands.
    pub key_id: KeyId,
    /// The rotation that replaces it, when there is one already.
    pub rotation_id: Option<RotationId>,
    /// What people read.
    pub title: String,
    /// Who opened it.
    pub opened_by: String,
    /// The marks that are known.
    pub moments: Vec<CaseMoment>,
}

impl NewCase {
    /// A case about a key.
    pub fn new(keyward: &Keyward, key: &Key, kind: CaseKind, opened_by: &str) -> Self {
        let title = match kind {
            CaseKind::Compromise => format!("Compromise of {}", key.name),
            CaseKind::Leak => format!("{} was found outside", key.name),
            CaseKind::Canary => format!("Canary {} was used", key.name),
            CaseKind::Brake => format!("What {} wants is held", key.name),
        };
        Self {
            id: CaseId::new(keyward.clock.now_ms(), keyward.id_chance()),
            federation_id: key.federation_id.clone(),
            kind,
            key_id: key.id.clone(),
            rotation_id: None,
            title,
            opened_by: opened_by.to_owned(),
            moments: Vec::new(),
        }
    }

    /// With a mark.
    #[must_use]
    pub fn with(mut self, moment: Moment, at_ms: Millis, text: impl Into<String>) -> Self {
        let made_by = self.opened_by.clone();
        self.moments.push(CaseMoment { moment, at_ms, made_by, text: text.into() });
        self
    }
}

/// Opens a case in the unit that needs it. A key has one open case: who reports it again adds the marks that
/// are missing to that one.
///
/// # Errors
/// When the database refuses.
pub async fn open_in(conn: &mut Conn<'_>, new: &NewCase, now_ms: Millis) -> Result<Case, Error> {
    let case = if let Some(case) = store::cases::open_of_key(conn, &new.federation_id, &new.key_id).await? {
        case
    } else {
        insert(conn, new, now_ms).await?
    };
    for moment in &new.moments {
        write(conn, &case, moment).await?;
    }
    if let Some(rotation_id) = &new.rotation_id {
        return answered_by(conn, case, rotation_id).await;
    }
    Ok(case)
}

/// Opens the case of a brake. Whoever holds something joins it to the open one that the ledger names.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn open_brake(conn: &mut Conn<'_>, new: &NewCase, now_ms: Millis) -> Result<Case, Error> {
    let case = insert(conn, new, now_ms).await?;
    for moment in &new.moments {
        write(conn, &case, moment).await?;
    }
    Ok(case)
}

async fn insert(conn: &mut Conn<'_>, new: &NewCase, now_ms: Millis) -> Result<Case, Error> {
    let case = Case {
        id: new.id.clone(),
        federation_id: new.federation_id.clone(),
        kind: new.kind,
        key_id: new.key_id.clone(),
        rotation_id: new.rotation_id.clone(),
        title: new.title.clone(),
        opened_by: new.opened_by.clone(),
        opened_ms: now_ms,
        closed_ms: None,
        closed_by: None,
        summary: String::new(),
        version: 1,
    };
    store::cases::insert(conn, &case).await?;
    notify::note_case(conn, &case, notify::CaseNews::Opened, now_ms).await?;
    Ok(case)
}

/// Says which rotation answers a case.
///
/// # Errors
/// When the database refuses.
pub async fn answered_by(conn: &mut Conn<'_>, case: Case, rotation_id: &RotationId) -> Result<Case, Error> {
    if case.rotation_id.as_ref() == Some(rotation_id) {
        return Ok(case);
    }
    store::cases::set_rotation(conn, &case, rotation_id).await?;
    Ok(Case { rotation_id: Some(rotation_id.clone()), version: case.version + 1, ..case })
}

/// Writes a mark on the clock of the open case that a rotation answers. Nothing happens when there is none,
/// or when the mark is there.
///
/// # Errors
/// When the database refuses.
pub async fn moment(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    rotation_id: &RotationId,
    moment: Moment,
    at_ms: Millis,
    text: &str,
) -> Result<(), Error> {
    let Some(case) = store::cases::of_rotation(conn, federation_id, rotation_id).await? else {
        return Ok(());
    };
    let mark = CaseMoment { moment, at_ms, made_by: "Keyward".to_owned(), text: text.to_owned() };
    if write(conn, &case, &mark).await? && moment == Moment::T8 {
        notify::note_case(conn, &case, notify::CaseNews::Answered, at_ms).await?;
    }
    Ok(())
}

pub(crate) async fn write(conn: &mut Conn<'_>, case: &Case, moment: &CaseMoment) -> Result<bool, Error> {
    // A mark is its own id, so that it is there once; notes are in order of time.
    let id = if moment.moment.is_mark() {
        moment.moment.as_str().to_owned()
    } else {
        let known = store::cases::moments(conn, &case.federation_id, &case.id).await?;
        format!("note-{:013}-{:03}", moment.at_ms, known.len())
    };
    Ok(store::cases::insert_moment(conn, &case.federation_id, &case.id, &id, moment).await?)
}

/// A case with what is around it.
#[derive(Debug, Clone)]
pub struct CaseView {
    /// The case.
    pub case: Case,
    /// Its federation.
    pub federation: Federation,
    /// The key in wrong hands.
    pub key: Key,
    /// Its successor.
    pub successor: Option<Key>,
    /// The marks and notes, in order of time.
    pub moments: Vec<CaseMoment>,
    /// What it waits for.
    pub waits_for: Option<Moment>,
    /// How many findings belong to the key and are open.
    pub findings: i64,
    /// The hand-offs of its rotation.
    pub hand_offs: Vec<domain::hand_offs::HandOff>,
    /// Whether the viewer may act on it.
    pub may_act: bool,
}

/// The cases that the viewer may see, open ones first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(cx: &Cx<Admin>) -> Result<Vec<CaseView>, Error> {
    let mut reader = cx.read().await?;
    let visible = crate::federations::visible(cx, &mut reader).await?;
    // The limit comes after the filter: whoever sees one federation sees all of its cases that fit.
    let mut cases = Vec::new();
    if cx.actor.role.may(Right::ReadInstallation, None) {
        cases = store::cases::list(&mut reader.conn(), None, LIST_LIMIT).await?;
    } else {
        for federation in &visible {
            cases.extend(store::cases::list(&mut reader.conn(), Some(&federation.id), LIST_LIMIT).await?);
        }
        cases.sort_by_key(|case| (case.closed_ms.is_some(), std::cmp::Reverse(case.opened_ms)));
        cases.truncate(usize::try_from(LIST_LIMIT).unwrap_or(usize::MAX));
    }
    views(cx, &mut reader.conn(), cases, visible).await
}

/// Cases with what is around them, in a few questions for all.
async fn views(
    cx: &Cx<Admin>,
    conn: &mut Conn<'_>,
    cases: Vec<Case>,
    visible: Vec<Federation>,
) -> Result<Vec<CaseView>, Error> {
    let federations: BTreeMap<FederationId, Federation> =
        visible.into_iter().map(|federation| (federation.id.clone(), federation)).collect();
    let findings = store::findings::open_by_key(conn).await?;
    let ids: Vec<&KeyId> = cases.iter().map(|case| &case.key_id).collect();
    let keys = store::keys::briefs::of_ids(conn, &ids).await?;
    let ids: Vec<&KeyId> = keys.values().filter_map(|key| key.successor_id.as_ref()).collect();
    let successors = store::keys::briefs::of_ids(conn, &ids).await?;
    let ids: Vec<_> = cases.iter().map(|case| (&case.federation_id, &case.id)).collect();
    let mut moments = store::cases::moments_of(conn, &ids).await?;
    let ids: Vec<_> =
        cases.iter().filter_map(|case| Some((&case.federation_id, case.rotation_id.as_ref()?))).collect();
    let hand_offs = store::hand_offs::of_rotations(conn, &ids).await?;
    let mut views = Vec::with_capacity(cases.len());
    for case in cases {
        let (Some(key), Some(federation)) = (keys.get(&case.key_id), federations.get(&case.federation_id))
        else {
            continue;
        };
        let moments = moments.remove(&case.id).unwrap_or_default();
        views.push(CaseView {
            waits_for: cases::waits_for(&case, &moments),
            may_act: cx.actor.role.may(Right::ManageKeys, Some(&federation.slug)),
            hand_offs: hand_offs
                .iter()
                .filter(|hand_off| Some(&hand_off.rotation_id) == case.rotation_id.as_ref())
                .cloned()
                .collect(),
            successor: key.successor_id.as_ref().and_then(|id| successors.get(id)).cloned(),
            findings: findings.get(&case.key_id).copied().unwrap_or_default(),
            key: key.clone(),
            federation: federation.clone(),
            moments,
            case,
        });
    }
    Ok(views)
}

/// How many cases are open that the viewer may see.
///
/// # Errors
/// When the database does not answer.
pub async fn open_count(cx: &Cx<Admin>) -> Result<i64, Error> {
    let mut reader = cx.read().await?;
    let counts = store::cases::count_open(&mut reader.conn()).await?;
    let visible = crate::federations::visible(cx, &mut reader).await?;
    let is_seen = |id: &FederationId| visible.iter().any(|federation| federation.id == *id);
    Ok(counts.into_iter().filter(|(id, _)| is_seen(id)).map(|(_, count)| count).sum())
}

/// One case.
///
/// # Errors
/// NotFound when there is none, or none that the viewer may see.
pub async fn open(cx: &Cx<Admin>, id: &CaseId) -> Result<CaseView, Error> {
    let mut reader = cx.read().await?;
    let case = store::cases::by_id(&mut reader.conn(), id).await?.ok_or(Error::NotFound("case"))?;
    let findings = store::findings::open_by_key(&mut reader.conn()).await?;
    drop(reader);
    view(cx, case, &findings).await
}

async fn view(cx: &Cx<Admin>, case: Case, findings: &BTreeMap<KeyId, i64>) -> Result<CaseView, Error> {
    let mut reader = cx.read().await?;
    let found = store::keys::with_federation(&mut reader.conn(), &case.key_id).await?;
    let (stored, federation) = found.ok_or(Error::NotFound("case"))?;
    if !cx.actor.role.may(Right::Read, Some(&federation.slug)) {
        return Err(Error::NotFound("case"));
    }
    let moments = store::cases::moments(&mut reader.conn(), &case.federation_id, &case.id).await?;
    let successor = match &stored.key.successor_id {
        Some(id) => store::keys::by_id(&mut reader.conn(), id).await?.map(|stored| stored.key),
        None => None,
    };
    let findings = findings.get(&case.key_id).copied().unwrap_or_default();
    let hand_offs = match &case.rotation_id {
        Some(id) => store::hand_offs::of_rotation(&mut reader.conn(), &case.federation_id, id).await?,
        None => Vec::new(),
    };
    Ok(CaseView {
        waits_for: cases::waits_for(&case, &moments),
        may_act: cx.actor.role.may(Right::ManageKeys, Some(&federation.slug)),
        hand_offs: hand_offs.into_iter().map(|stored| stored.hand_off).collect(),
        key: stored.key,
        case,
        federation,
        successor,
        moments,
        findings,
    })
}

/// A case that the viewer may act on; else the refusal is recorded.
pub(crate) async fn managed(
    cx: &Cx<Admin>,
    id: &CaseId,
    action: Action,
) -> Result<(Case, Key, Federation), Error> {
    let case = store::cases::by_id(&mut cx.read().await?.conn(), id).await?;
    let case = case.ok_or(Error::NotFound("case"))?;
    let managed = crate::keys::managed(cx, &case.key_id, action).await;
    let (key, federation) = managed
        .map_err(|error| if matches!(error, Error::NotFound(_)) { Error::NotFound("case") } else { error })?;
    Ok((case, key, federation))
}

/// Adds a note to an open case.
///
/// # Errors
/// Invalid when it is empty or too long; Conflict when the case is closed; NotFound; Forbidden.
pub async fn note(cx: &Cx<Admin>, id: &CaseId, text: &str) -> Result<(), Error> {
    let (case, key, _) = managed(cx, id, Action::CaseNoted).await?;
    let text = check_text("note", text, 1_000)?;
    if text.is_empty() {
        return Err(Error::invalid("note", "write what happened"));
    }
    check_open(&case)?;
    let note = CaseMoment { moment: Moment::Note, at_ms: cx.now_ms(), made_by: cx.actor.name.clone(), text };
    let event = AuditEvent {
        federation_id: Some(case.federation_id.clone()),
        key_id: Some(key.id),
        target: Some(case.title.clone()),
        detail: detail(&json!({ "case": case.id, "note": note.text })),
        ..cx.event(Action::CaseNoted)
    };
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            write(conn, &case, &note).await?;
            Ok(Change::new((), event.clone()))
        })
        .await
}

/// Revokes the key of a case, which was held so far.
///
/// # Errors
/// Conflict when it has ended already; NotFound; Forbidden.
pub async fn revoke_key(cx: &Cx<Admin>, id: &CaseId) -> Result<Key, Error> {
    let (case, key, _) = managed(cx, id, Action::KeyRevoked).await?;
    crate::keys::revoke(cx, &key.id, &format!("in wrong hands, case {}", case.id)).await
}

/// Closes a case with what was learned. Findings of the case close with it.
///
/// # Errors
/// Invalid without a summary; Conflict when it is closed, or while the old key still opens; Stale; NotFound;
/// Forbidden.
pub async fn close(cx: &Cx<Admin>, id: &CaseId, version: i64, summary: &str) -> Result<Case, Error> {
    let (case, key, _) = managed(cx, id, Action::CaseClosed).await?;
    let summary = check_text("summary", summary, 4_000)?;
    if summary.chars().count() < 10 {
        return Err(Error::invalid(
            "summary",
            "say in at least 10 characters what happened and what was learned",
        ));
    }
    check_open(&case)?;
    if case.version != version {
        return Err(Error::Stale("this case"));
    }
    let now_ms = cx.now_ms();
    let is_brake = case.kind == CaseKind::Brake;
    if !is_brake && key.life.state(now_ms).opens() && !key.canary {
        return Err(Error::Conflict(format!(
            "{} still opens: hold or revoke it before the case is closed",
            key.name
        )));
    }
    let by = cx.actor.name.clone();
    let last = CaseMoment { moment: Moment::T11, at_ms: now_ms, made_by: by.clone(), text: summary.clone() };
    let event = AuditEvent {
        federation_id: Some(case.federation_id.clone()),
        key_id: Some(key.id),
        target: Some(case.title.clone()),
        detail: detail(&json!({ "case": case.id, "kind": case.kind, "summary": summary })),
        ..cx.event(Action::CaseClosed)
    };
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            if is_brake {
                let pending = store::held::pending(conn, &case.federation_id, &case.id, i64::MAX).await?;
                if !pending.is_empty() {
                    let text = "held operations wait for a decision: approve or reject them first";
                    return Err(Error::Conflict(text.to_owned()));
                }
            }
            store::cases::close(conn, &case, now_ms, &by, &summary).await?;
            write(conn, &case, &last).await?;
            let federation_id = Some(&case.federation_id);
            let filter = FindingFilter {
                federation_id: federation_id.cloned(),
                key_id: Some(case.key_id.clone()),
                ..FindingFilter::default()
            };
            for finding in store::findings::list(conn, &filter, 500).await? {
                if finding.case_id.as_ref() == Some(&case.id) {
                    let closing =
                        store::findings::Closing { at_ms: now_ms, by: &by, reason: "its case was closed" };
                    store::findings::close(conn, federation_id, &finding.id, closing).await?;
                }
            }
            notify::note_case(conn, &case, notify::CaseNews::Closed, now_ms).await?;
            let closed = Case {
                closed_ms: Some(now_ms),
                closed_by: Some(by.clone()),
                summary: summary.clone(),
                version: case.version + 1,
                ..case.clone()
            };
            Ok(Change::new(closed, event.clone()))
        })
        .await
}

pub(crate) fn check_open(case: &Case) -> Result<(), Error> {
    if case.closed_ms.is_some() {
        return Err(Error::Conflict("this case is closed".to_owned()));
    }
    Ok(())
}
