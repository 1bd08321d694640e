//! Maintenance windows: planned by one person, agreed to by another, ended by the time or by a person.

use domain::{
    WindowId,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    brakes::{NewWindow, Window, WindowState},
    federations::{Federation, Slug},
};
use serde_json::json;
use store::{Change, Conn};

use crate::{
    Actor, Cx, Error,
    federations::{about, allowed},
    unit::detail,
};

/// Writes planned work down. It raises no limit before somebody else agrees.
///
/// # Errors
/// Invalid with every field that cannot be accepted; NotFound; Forbidden.
pub async fn plan(cx: &Cx<Admin>, slug: &Slug, new: NewWindow) -> Result<Window, Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::WindowPlanned).await?;
    let now_ms = cx.now_ms();
    let reason = new.check(now_ms)?;
    let own = cx.actor.as_ref();
    let window = Window {
        federation_id: federation.id.clone(),
        id: WindowId::new(now_ms, cx.keyward.id_chance()),
        ceiling: new.ceiling,
        used: 0,
        begins_ms: new.begins_ms,
        ends_ms: new.ends_ms,
        reason,
        made_by: own.name,
        made_by_id: own.id,
        made_ms: now_ms,
        agreed_by: None,
        agreed_ms: None,
        ended_ms: None,
        ended_by: None,
        version: 1,
    };
    let event = event(cx, Action::WindowPlanned, &federation, &window);
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::windows::insert(conn, &window).await?;
            Ok(Change::new(window.clone(), event.clone()))
        })
        .await
}

fn event(cx: &Cx<Admin>, action: Action, federation: &Federation, window: &Window) -> AuditEvent {
    let told = json!({
        "window": window.id, "ceiling": window.ceiling, "used": window.used, "begins_ms": window.begins_ms,
        "ends_ms": window.ends_ms, "reason": window.reason, "planned_by": window.made_by,
    });
    AuditEvent { detail: detail(&told), ..about(cx, action, federation) }
}

async fn find(cx: &Cx<Admin>, federation: &Federation, id: &WindowId) -> Result<Window, Error> {
    let mut reader = cx.read().await?;
    let found = store::windows::by_id(&mut reader.conn(), &federation.id, id).await?;
    found.ok_or(Error::NotFound("maintenance window"))
}

/// Agrees to planned work as a second person. From then on, in its time, it raises the limits of R1, R2 and R4 to
/// its ceiling.
///
/// # Errors
/// Forbidden for whoever planned it, and for a role that may not; Conflict when it is agreed to or over; NotFound.
pub async fn agree(cx: &Cx<Admin>, slug: &Slug, id: &WindowId) -> Result<Window, Error> {
    let federation = allowed(cx, slug, Right::Approve, Action::WindowAgreed).await?;
    let window = find(cx, &federation, id).await?;
    let (own, now_ms) = (cx.actor.as_ref(), cx.now_ms());
    let event = event(cx, Action::WindowAgreed, &federation, &window);
    if window.made_by_id == own.id {
        return cx.forbid(event, "you planned it: somebody else has to agree".to_owned()).await;
    }
    match window.state(now_ms) {
        WindowState::Planned => {}
        WindowState::Agreed | WindowState::Open => {
            return Err(Error::Conflict("somebody has agreed to it already".to_owned()));
        }
        WindowState::Ended => return Err(Error::Conflict("this window is over".to_owned())),
    }
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::windows::agree(conn, &window, &own.name, now_ms).await?;
            let agreed = Window {
                agreed_by: Some(own.name.clone()),
                agreed_ms: Some(now_ms),
                version: window.version + 1,
                ..window.clone()
            };
            Ok(Change::new(agreed, event.clone()))
        })
        .await
}

/// Ends a window before its time.
///
/// # Errors
/// Conflict when it is over; NotFound; Forbidden.
pub async fn end(cx: &Cx<Admin>, slug: &Slug, id: &WindowId) -> Result<Window, Error> {
    // Taking back what raises a limit needs less than raising it.
    let right =
        if cx.actor.role.may(Right::Approve, Some(slug)) { Right::Approve } else { Right::RunFederation };
    let federation = allowed(cx, slug, right, Action::WindowEnded).await?;
    let window = find(cx, &federation, id).await?;
    let (name, now_ms) = (cx.actor.name.clone(), cx.now_ms());
    if window.state(now_ms) == WindowState::Ended {
        return Err(Error::Conflict("this window is over".to_owned()));
    }
    let event = event(cx, Action::WindowEnded, &federation, &window);
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::windows::end(conn, &window, &name, now_ms).await?;
            let ended = Window {
                ended_by: Some(name.clone()),
                ended_ms: Some(now_ms),
                version: window.version + 1,
                ..window.clone()
            };
            Ok(Change::new(ended, event.clone()))
        })
        .await
}
