//! Findings: raising them where something is seen, settling them where it is over, closing them by a
//! person.
//!
//! [`raise`] and [`settle`] run inside the unit of whatever saw it, so that the finding, its cause and the
//! note to tell people are one commit; the audit record is that of the unit. What no request causes is
//! looked for by [`sweep`].

mod sweep;

pub mod mutes;

use std::collections::BTreeMap;

use domain::{
    CaseId, FederationId, FindingId, KeyId, Millis, RotationId,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    federations::{Federation, Slug, check_reason},
    findings::{Detail, Finding, FindingFilter, Rule, Severity, mutes::Mute},
};
use serde_json::json;
use store::{Change, Conn, findings::Closing};

pub(crate) use sweep::about;
pub use sweep::sweep;

use crate::{Cx, Error, Keyward, notify, unit::detail};

/// The most findings of a list.
pub const LIST_LIMIT: i64 = 500;

/// What was seen.
#[derive(Debug, Clone)]
pub struct NewFinding {
    id: FindingId,
    federation_id: Option<FederationId>,
    rule: Rule,
    severity: Severity,
    subject: String,
    key_id: Option<KeyId>,
    rotation_id: Option<RotationId>,
    case_id: Option<CaseId>,
    detail: Detail,
}

impl NewFinding {
    /// A finding of a rule about a subject, with what was expected and what came, each in a sentence.
    pub fn new(
        keyward: &Keyward,
        federation_id: Option<&FederationId>,
        rule: Rule,
        subject: &str,
        expected: impl Into<String>,
        came: impl Into<String>,
    ) -> Self {
        Self {
            id: FindingId::new(keyward.clock.now_ms(), keyward.id_chance()),
            federation_id: federation_id.cloned(),
            rule,
            severity: rule.severity(),
            subject: subject.to_owned(),
            key_id: None,
            rotation_id: None,
            case_id: None,
            detail: Detail { expected: expected.into(), came: came.into(), ..Detail::default() },
        }
    }

    /// What it is of.
    pub(crate) const fn rule(&self) -> Rule {
        self.rule
    }

    /// What came.
    pub(crate) fn came(&self) -> &str {
        &self.detail.came
    }

    /// About a key.
    #[must_use]
    pub fn of_key(mut self, id: &KeyId) -> Self {
        self.key_id = Some(id.clone());
        self
    }

    /// About a rotation.
    #[must_use]
    pub fn of_rotation(mut self, id: &RotationId) -> Self {
        self.rotation_id = Some(id.clone());
        self
    }

    /// In a case.
    #[must_use]
    pub fn in_case(mut self, id: &CaseId) -> Self {
        self.case_id = Some(id.clone());
        self
    }

    /// Milder or worse than its rule.
    #[must_use]
    pub const fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// From a network address, by a user agent.
    #[must_use]
    pub fn from_network(mut self, source: Option<String>, agent: Option<String>) -> Self {
        self.detail.source = source;
        self.detail.agent = agent;
        self
    }

    /// At a rung of a ladder: each rung is told once.
    #[must_use]
    pub const fn at_rung(mut self, days: i64) -> Self {
        self.detail.rung = Some(days);
        self
    }
}

/// Raises a finding in the unit that saw it, or counts the one that is open. Who is to be told is told
/// once for a finding, once more for each rung, and once more when it grows worse.
///
/// # Errors
/// When the database refuses.
pub async fn raise(conn: &mut Conn<'_>, new: &NewFinding, now_ms: Millis) -> Result<Finding, Error> {
    let (federation_id, subject) = (new.federation_id.as_ref(), new.subject.as_str());
    let before = store::findings::live(conn, federation_id, new.rule, subject).await?;
    let raised = store::findings::raise(
        conn,
        &Finding {
            id: new.id.clone(),
            federation_id: new.federation_id.clone(),
            rule: new.rule,
            severity: new.severity,
            subject: new.subject.clone(),
            key_id: new.key_id.clone(),
            rotation_id: new.rotation_id.clone(),
            case_id: new.case_id.clone(),
            detail: new.detail.clone(),
            count: 1,
            first_ms: now_ms,
            last_ms: now_ms,
            closed_ms: None,
            closed_by: None,
            closed_reason: None,
            version: 1,
        },
    )
    .await?;
    let is_worse = before.is_none_or(|before| before.severity < raised.severity);
    let is_told = raised.severity >= Severity::Medium && is_worse;
    if (is_told || raised.detail.rung.is_some())
        && !store::mutes::holds(conn, federation_id, new.rule, subject, now_ms).await?
    {
        notify::note_finding(conn, &raised, now_ms).await?;
    }
    Ok(raised)
}

/// A minute, in which what comes over and over is recorded once.
const MINUTE_MS: Millis = 60_000;

/// Whether an open finding was counted in this minute of the clock already. Whoever could fill the audit log by
/// repeating themselves asks for it before [`raise`]: one record a minute stands for all, and the finding counts.
pub(crate) async fn is_recorded(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    rule: Rule,
    subject: &str,
    now_ms: Millis,
) -> Result<bool, Error> {
    let open = store::findings::live(conn, federation_id, rule, subject).await?;
    Ok(open.is_some_and(|open| open.last_ms.div_euclid(MINUTE_MS) == now_ms.div_euclid(MINUTE_MS)))
}

/// Ends the open finding of a rule about a subject, in the unit that saw that it is over. Nothing happens
/// when there is none.
///
/// # Errors
/// When the database refuses.
pub async fn settle(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    rule: Rule,
    subject: &str,
    reason: &str,
    now_ms: Millis,
) -> Result<bool, Error> {
    let closing = Closing { at_ms: now_ms, by: "Keyward", reason };
    Ok(store::findings::settle(conn, federation_id, rule, subject, closing).await?)
}

/// A finding with what is around it.
#[derive(Debug, Clone)]
pub struct FindingView {
    /// The finding.
    pub finding: Finding,
    /// Its federation.
    pub federation: Option<Federation>,
    /// The name of its key.
    pub key_name: Option<String>,
    /// Whether the viewer may close it.
    pub may_close: bool,
    /// The mute because of which nobody is told of it, while it holds.
    pub muted: Option<Mute>,
}

/// What a person looks for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// At least so bad.
    pub least: Option<Severity>,
    /// Of one rule.
    pub rule: Option<Rule>,
    /// Of one federation.
    pub federation: Option<Slug>,
    /// Of one key.
    pub key_id: Option<KeyId>,
    /// Closed ones instead of open ones.
    pub closed: bool,
    /// Muted ones only; without it, none of them among the open ones.
    pub muted: bool,
}

/// The findings that the viewer may see, the worst first.
///
/// # Errors
/// NotFound for a federation that the viewer may not see.
pub async fn list(cx: &Cx<Admin>, wanted: &Wanted) -> Result<Vec<FindingView>, Error> {
    list_up_to(cx, wanted, LIST_LIMIT).await
}

/// As [`list`], up to another number of them in each federation.
pub(crate) async fn list_up_to(
    cx: &Cx<Admin>,
    wanted: &Wanted,
    most: i64,
) -> Result<Vec<FindingView>, Error> {
    let mut reader = cx.read().await?;
    let federations = crate::federations::visible(cx, &mut reader).await?;
    let mut filter = FindingFilter {
        least: wanted.least,
        rule: wanted.rule,
        key_id: wanted.key_id.clone(),
        closed: wanted.closed,
        federation_id: None,
    };
    let scopes: Vec<Option<FederationId>> = match &wanted.federation {
        Some(slug) => {
            let found = federations.iter().find(|federation| federation.slug == *slug);
            vec![Some(found.ok_or(Error::NotFound("federation"))?.id.clone())]
        }
        None if cx.actor.role.may(Right::ReadInstallation, None) => vec![None],
        None => federations.iter().map(|federation| Some(federation.id.clone())).collect(),
    };
    let mut found = Vec::new();
    for scope in scopes {
        filter.federation_id = scope;
        found.extend(store::findings::list(&mut reader.conn(), &filter, most).await?);
    }
    found.sort_by_key(|finding| std::cmp::Reverse((finding.severity, finding.last_ms)));
    let federations: BTreeMap<FederationId, Federation> =
        federations.into_iter().map(|federation| (federation.id.clone(), federation)).collect();
    let ids: Vec<&KeyId> = found.iter().filter_map(|finding| finding.key_id.as_ref()).collect();
    let names = store::keys::briefs::names(&mut reader.conn(), &ids).await?;
    let mutes = store::mutes::list(&mut reader.conn(), cx.now_ms()).await?;
    let mute_of = |finding: &Finding| {
        let holds = |mute: &&Mute| {
            mute.holds(finding.federation_id.as_ref(), finding.rule, &finding.subject, cx.now_ms())
        };
        mutes.iter().find(holds).cloned()
    };
    Ok(found
        .into_iter()
        .map(|finding| (mute_of(&finding), finding))
        .filter(|(mute, _)| wanted.closed || mute.is_some() == wanted.muted)
        .map(|(muted, finding)| {
            let federation = finding.federation_id.as_ref().and_then(|id| federations.get(id)).cloned();
            let slug = federation.as_ref().map(|federation| &federation.slug);
            FindingView {
                key_name: finding.key_id.as_ref().and_then(|id| names.get(id)).cloned(),
                may_close: may_close(cx, slug),
                muted,
                federation,
                finding,
            }
        })
        .collect())
}

/// How many findings are open that the viewer may see, and the worst of them.
///
/// # Errors
/// When the database does not answer.
pub async fn open_count(cx: &Cx<Admin>) -> Result<(i64, Option<Severity>), Error> {
    let mut reader = cx.read().await?;
    let counts = store::findings::count_open(&mut reader.conn()).await?;
    let visible = crate::federations::visible(cx, &mut reader).await?;
    let sees_all = cx.actor.role.may(Right::ReadInstallation, None);
    let is_seen = |id: &Option<FederationId>| {
        sees_all || id.as_ref().is_some_and(|id| visible.iter().any(|federation| federation.id == *id))
    };
    let seen = counts.into_iter().filter(|(id, _, _)| is_seen(id));
    Ok(seen.fold((0, None), |(sum, worst), (_, severity, count)| (sum + count, worst.max(Some(severity)))))
}

/// Closes a finding; why is kept.
///
/// # Errors
/// Invalid without a reason; NotFound; Forbidden; Conflict when it is closed already. That it came again
/// meanwhile is no reason against it: what comes each second could never be closed.
pub async fn close(
    cx: &Cx<Admin>,
    federation: Option<&Slug>,
    id: &FindingId,
    reason: &str,
) -> Result<Finding, Error> {
    let reason = check_reason(reason);
    let federation = if let Some(slug) = federation {
        // Who may not see the federation is told so by it already.
        let found = crate::federations::allowed(cx, slug, Right::RunFederation, Action::FindingClosed).await;
        Some(found.map_err(|error| {
            if matches!(error, Error::NotFound(_)) { Error::NotFound("finding") } else { error }
        })?)
    } else {
        if !cx.actor.role.may(Right::RegisterFederation, None) {
            let event = AuditEvent { target: Some(id.to_string()), ..cx.event(Action::FindingClosed) };
            let refused = cx.forbid(event, "only an admin may close it".to_owned()).await;
            let may_see = cx.actor.role.may(Right::ReadInstallation, None);
            return if may_see { refused } else { refused.map_err(hidden) };
        }
        None
    };
    let federation_id = federation.as_ref().map(|federation| &federation.id);
    let found = store::findings::by_id(&mut cx.read().await?.conn(), federation_id, id).await?;
    let found = found.ok_or(Error::NotFound("finding"))?;
    let reason = reason?;
    let closed_already = || Error::Conflict("this finding is closed already".to_owned());
    if !found.is_open() {
        return Err(closed_already());
    }
    let event = AuditEvent {
        federation_id: found.federation_id.clone(),
        key_id: found.key_id.clone(),
        target: Some(found.rule.title().to_owned()),
        detail: detail(&json!({
            "finding": found.id, "rule": found.rule, "severity": found.severity, "count": found.count, "reason": reason,
        })),
        ..cx.event(Action::FindingClosed)
    };
    let (by, at_ms) = (cx.actor.name.clone(), cx.now_ms());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let closing = Closing { at_ms, by: &by, reason: &reason };
            let closed =
                store::findings::close(conn, found.federation_id.as_ref(), &found.id, closing).await?;
            Ok(Change::new(closed.ok_or_else(closed_already)?, event.clone()))
        })
        .await
}

fn may_close(cx: &Cx<Admin>, federation: Option<&Slug>) -> bool {
    match federation {
        Some(slug) => cx.actor.role.may(Right::RunFederation, Some(slug)),
        None => cx.actor.role.may(Right::RegisterFederation, None),
    }
}

/// A finding that may not be seen is told like one that is not there.
fn hidden(error: Error) -> Error {
    if matches!(error, Error::Forbidden(_) | Error::NotFound(_)) { Error::NotFound("finding") } else { error }
}
