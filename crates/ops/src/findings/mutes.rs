//! Muting findings: known, counted, and nobody is told of them for a while.

use domain::{
    MuteId,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    federations::{Federation, Slug},
    findings::{
        Rule,
        mutes::{Mute, check},
    },
};
use serde_json::json;
use store::{Change, Conn};

use super::{hidden, may_close};
use crate::{Cx, Error, unit::detail};

/// What is to be muted.
#[derive(Debug, Clone)]
pub struct NewMute {
    /// Of which federation; `None` for the installation and every federation.
    pub federation: Option<Slug>,
    /// Of which rule.
    pub rule: Rule,
    /// About which subject; `None` for every one.
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// For how many days.
    pub days: i64,
}

/// A mute with what is around it.
#[derive(Debug, Clone)]
pub struct MuteView {
    /// The mute.
    pub mute: Mute,
    /// Its federation.
    pub federation: Option<Federation>,
    /// Whether the viewer may end it.
    pub may_end: bool,
}

/// Mutes findings: they are counted, and nobody is told of them until it ends.
///
/// # Errors
/// Invalid without a reason or an end; NotFound; Forbidden.
pub async fn mute(cx: &Cx<Admin>, new: NewMute) -> Result<Mute, Error> {
    let checked = check(&new.reason, new.days, cx.now_ms());
    let federation = authorized(cx, new.federation.as_ref(), Action::FindingMuted).await?;
    let (reason, ends_ms) = checked?;
    let subject = new.subject.map(|subject| subject.trim().to_owned()).filter(|subject| !subject.is_empty());
    if subject.as_ref().is_some_and(|subject| subject.len() > 200) {
        return Err(Error::invalid("subject", "longer than 200 bytes"));
    }
    let mute = Mute {
        id: MuteId::new(cx.now_ms(), cx.keyward.id_chance()),
        federation_id: federation.as_ref().map(|federation| federation.id.clone()),
        rule: new.rule,
        subject,
        reason,
        made_by: cx.actor.name.clone(),
        made_ms: cx.now_ms(),
        ends_ms,
        ended_by: None,
    };
    let event = event(cx, Action::FindingMuted, &mute);
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::mutes::insert(conn, &mute).await?;
            Ok(Change::new(mute.clone(), event.clone()))
        })
        .await
}

/// Ends a mute before its time.
///
/// # Errors
/// NotFound; Forbidden; Conflict when it has ended already.
pub async fn unmute(cx: &Cx<Admin>, federation: Option<&Slug>, id: &MuteId) -> Result<Mute, Error> {
    let federation = authorized(cx, federation, Action::FindingUnmuted).await?;
    let federation_id = federation.map(|federation| federation.id);
    let found = store::mutes::by_id(&mut cx.read().await?.conn(), federation_id.as_ref(), id).await?;
    let found = found.ok_or(Error::NotFound("mute"))?;
    let event = event(cx, Action::FindingUnmuted, &found);
    let (id, by, now_ms) = (id.clone(), cx.actor.name.clone(), cx.now_ms());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let ended = store::mutes::end(conn, federation_id.as_ref(), &id, now_ms, &by).await?;
            let ended = ended.ok_or_else(|| Error::Conflict("this mute has ended already".to_owned()))?;
            Ok(Change::new(ended, event.clone()))
        })
        .await
}

/// The mutes that hold now and that the viewer may see, those that end first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(cx: &Cx<Admin>) -> Result<Vec<MuteView>, Error> {
    let mut reader = cx.read().await?;
    let federations = crate::federations::visible(cx, &mut reader).await?;
    let sees_all = cx.actor.role.may(Right::ReadInstallation, None);
    let mutes = store::mutes::list(&mut reader.conn(), cx.now_ms()).await?;
    Ok(mutes
        .into_iter()
        .filter_map(|mute| {
            let federation =
                federations.iter().find(|one| Some(&one.id) == mute.federation_id.as_ref()).cloned();
            let is_seen = federation.is_some() || (mute.federation_id.is_none() && sees_all);
            let may_end = may_close(cx, federation.as_ref().map(|federation| &federation.slug));
            is_seen.then_some(MuteView { mute, federation, may_end })
        })
        .collect())
}

async fn authorized(
    cx: &Cx<Admin>,
    federation: Option<&Slug>,
    action: Action,
) -> Result<Option<Federation>, Error> {
    if let Some(slug) = federation {
        return crate::federations::allowed(cx, slug, Right::RunFederation, action).await.map(Some);
    }
    if cx.actor.role.may(Right::RegisterFederation, None) {
        return Ok(None);
    }
    let refused = cx.forbid(cx.event(action), "only an admin may mute for all federations".to_owned()).await;
    if cx.actor.role.may(Right::ReadInstallation, None) { refused } else { refused.map_err(hidden) }
}

fn event(cx: &Cx<Admin>, action: Action, mute: &Mute) -> AuditEvent {
    AuditEvent {
        federation_id: mute.federation_id.clone(),
        target: Some(mute.rule.title().to_owned()),
        detail: detail(&json!({
            "mute": mute.id, "rule": mute.rule, "subject": mute.subject, "reason": mute.reason,
            "ends_ms": mute.ends_ms,
        })),
        ..cx.event(action)
    }
}
