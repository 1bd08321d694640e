//! Canary keys: of the right form, with no right at all, laid out where only somebody who reads what is not
//! theirs finds them. One that is used is refused like an unknown key; that it was used is a critical finding
//! and a case.

use std::sync::Arc;

use domain::{
    KeyId, Millis,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    cases::{CaseKind, Moment},
    federations::{Slug, check_name, check_text},
    findings::Rule,
    keys::Key,
    scopes::{ResourceKind, Scope, Verb},
};
use serde_json::json;
use store::{Change, Conn};

use crate::{
    Cx, Error, Keyward, RequestInfo,
    cases::{self, NewCase},
    federations::{about, allowed},
    findings::{self, NewFinding},
    keys::{
        Issued,
        draft::{self, Draft, Wanted},
    },
    oauth::Registered,
    unit::detail,
};

/// How long a canary sings, in days: longer than anything real.
const LIFETIME_DAYS: i64 = 3_650;

/// A canary to be laid out.
#[derive(Debug, Clone)]
pub struct NewCanary {
    /// For which federation.
    pub federation: Slug,
    /// The name that people read.
    pub name: String,
    /// Where it will lie.
    pub place: String,
}

/// Issues a canary; its text is shown once, like that of any key.
///
/// # Errors
/// Invalid; Conflict when a live key has the name; NotFound; Forbidden.
pub async fn issue(cx: &Cx<Admin>, new: NewCanary) -> Result<Issued, Error> {
    let federation = allowed(cx, &new.federation, Right::ManageKeys, Action::KeyIssued).await?;
    let mut faults = Vec::new();
    let name = check_name("name", &new.name).map_err(|fault| faults.push(fault));
    let place = check_text("place", &new.place, 300).map_err(|fault| faults.push(fault));
    if place.as_ref().is_ok_and(String::is_empty) {
        faults.push(domain::Invalid::new("place", "say where it will lie: it tells where somebody has read"));
    }
    let (Ok(name), Ok(place), true) = (name, place, faults.is_empty()) else {
        return Err(Error::Invalid(faults));
    };
    let wanted = Wanted {
        federation_id: federation.id.clone(),
        name,
        // A key has a scope; this one never gets as far as being asked for it.
        scope: Scope::of([(ResourceKind::Users, Verb::Read)]),
        lifetime_days: LIFETIME_DAYS,
        justification: String::new(),
        predecessor_id: None,
        registered: Registered::Static,
        issued_by: cx.actor.name.clone(),
    };
    let mut draft = Draft::compose(&cx.keyward, wanted, cx.now_ms());
    draft.key.canary = true;
    draft.key.justification = Some(place.clone());
    let event = AuditEvent {
        key_id: Some(draft.key.id.clone()),
        target: Some(draft.key.name.clone()),
        detail: detail(&json!({ "canary": true, "place": place, "last_four": draft.key.last_four })),
        ..about(cx, Action::KeyIssued, &federation)
    };
    let now_ms = cx.now_ms();
    let Draft { key, hash, secret, .. } = draft;
    let key = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let key = draft::write(conn, &key, &hash, None, false, now_ms).await?;
            Ok(Change::new(key, event.clone()))
        })
        .await?;
    let base_url = cx.keyward.base_url(&federation.slug);
    Ok(Issued { key, federation, base_url, secret })
}

/// Raises that a canary was used, in the unit that records its refusal; whether that was recorded within this
/// minute already.
pub(crate) async fn used(
    conn: &mut Conn<'_>,
    keyward: &Arc<Keyward>,
    key_id: &KeyId,
    request: &RequestInfo,
    now_ms: Millis,
) -> Result<bool, Error> {
    let Some(stored) = store::keys::by_id(conn, key_id).await? else { return Ok(false) };
    let key: Key = stored.key;
    let (federation_id, rule) = (Some(&key.federation_id), Rule::CanaryUsed);
    let is_recorded = findings::is_recorded(conn, federation_id, rule, key.id.as_str(), now_ms).await?;
    let source =
        request.source.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
    let place = key.justification.as_deref().unwrap_or("a place that was not named");
    let new = NewCase::new(keyward, &key, CaseKind::Canary, "Keyward")
        .with(Moment::T1, now_ms, format!("A request from {source} presented it."))
        .with(Moment::T2, now_ms, format!("Keyward knew it by its being a canary, laid out in {place}."));
    let case = cases::open_in(conn, &new, now_ms).await?;
    let finding = NewFinding::new(
        keyward,
        federation_id,
        rule,
        key.id.as_str(),
        format!("{} lies in {place}, and nobody presents it.", key.name),
        format!("{source} presented it."),
    )
    .of_key(&key.id)
    .in_case(&case.id)
    .from_network(request.source.map(|address| address.to_string()), request.user_agent.clone());
    findings::raise(conn, &finding, now_ms).await?;
    Ok(is_recorded)
}

/// Raises that a key was used that has ended, in the unit that records its refusal.
pub(crate) async fn ended_key_used(
    conn: &mut Conn<'_>,
    keyward: &Arc<Keyward>,
    key_id: &KeyId,
    request: &RequestInfo,
    now_ms: Millis,
) -> Result<(), Error> {
    let Some(stored) = store::keys::by_id(conn, key_id).await? else { return Ok(()) };
    let key = stored.key;
    let state = key.life.state(now_ms).label().to_lowercase();
    let source =
        request.source.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
    let finding = NewFinding::new(
        keyward,
        Some(&key.federation_id),
        Rule::EndedKeyUsed,
        key.id.as_str(),
        format!("{} is {state}, and nobody presents it any more.", key.name),
        format!("{source} presented it."),
    )
    .of_key(&key.id)
    .from_network(request.source.map(|address| address.to_string()), request.user_agent.clone());
    findings::raise(conn, &finding, now_ms).await?;
    Ok(())
}
