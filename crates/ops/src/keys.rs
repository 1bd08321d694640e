//! Issuing, rotating and revoking provisioning keys, static ones and OAuth clients.
//!
//! The secret exists in the answer of [`issue`] and [`rotate`] and nowhere else: the database has
//! its keyed hash. A repeated request with the same idempotency token gets the same key without
//! its secret.

pub(crate) mod draft;
mod pages;
mod views;

use domain::{
    HOUR_MS, Invalid, KeyId, Secret,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    federations::{Federation, OVERLAP_HOURS, Slug, check_name, check_reason, check_text},
    keys::{Key, KeyState, Life},
    rotations::{Cause, Event, Half},
    scopes::Scope,
};
use serde_json::json;
use store::{Change, Conn, idempotency::Used, keys::Hold};

pub use pages::{AGES, List, Sort, page};
pub use views::{KeyFilter, KeyView, Tolerated, list, open, tolerances};
pub(crate) use views::{attention_of, views_of};

use self::draft::{Draft, Wanted};
use crate::{
    Cx, Error, behaviour,
    federations::{about, allowed},
    oauth::{NewClient, Registered},
    rotations::{
        Author,
        begin::{self, Begin},
        effects::{self, Happening, Pair},
        under_way,
    },
    scoped,
    unit::detail,
};

/// A key to be issued.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// For which federation.
    pub federation: Slug,
    /// The name that people read.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// How long it lives, in days; at most the policy's maximum.
    pub lifetime_days: i64,
    /// Why it needs the full directory; at least 10 characters when it has it.
    pub justification: String,
    /// Makes a repeated request harmless; empty for none.
    pub idempotency_token: String,
}

/// How a key is to be rotated.
#[derive(Debug, Clone, Default)]
pub struct Rotate {
    /// How long both keys are accepted, in hours; the policy's when absent.
    pub overlap_hours: Option<i64>,
    /// How long the successor lives, in days; the policy's maximum when absent.
    pub lifetime_days: Option<i64>,
    /// Makes a repeated request harmless; empty for none.
    pub idempotency_token: String,
    /// Whether the secret is brought to the consumer as the federation is set up, instead of being shown to
    /// whoever asks.
    pub deliver: bool,
}

/// An issued key; the only holder of its secret.
pub struct Issued {
    /// The key.
    pub key: Key,
    /// Its federation.
    pub federation: Federation,
    /// The SCIM base URL to paste beside it.
    pub base_url: String,
    /// The secret; `None` when this request was answered before and the secret was shown then, and
    /// for a client that signs, which has none.
    pub secret: Option<Secret>,
}

/// Issues a static key.
///
/// # Errors
/// Invalid with every fault; Conflict when a live key has the name or the token was used for
/// another request; Forbidden; NotFound.
pub async fn issue(cx: &Cx<Admin>, new: NewKey) -> Result<Issued, Error> {
    issue_as(cx, new, None).await
}

/// Issues a key whose holder is an OAuth client. Its id is the `client_id`.
///
/// # Errors
/// As [`issue`]; Invalid also for public keys or an address that cannot be used, and for a secret
/// where the federation does not allow one.
pub async fn issue_client(cx: &Cx<Admin>, new: NewKey, client: NewClient) -> Result<Issued, Error> {
    issue_as(cx, new, Some(client)).await
}

async fn issue_as(cx: &Cx<Admin>, new: NewKey, client: Option<NewClient>) -> Result<Issued, Error> {
    let federation = allowed(cx, &new.federation, Right::ManageKeys, Action::KeyIssued).await?;
    let mut faults = Vec::new();
    let registered = match client {
        None => Ok(Registered::Static),
        Some(client) => client.check(&federation).map_err(|fault| faults.push(fault)),
    };
    let name = check_name("name", &new.name).map_err(|fault| faults.push(fault));
    let mut reader = cx.read().await?;
    let scope = match scoped::issue::check(&cx.keyward, &mut reader.conn(), &federation, new.scope).await {
        Ok(scope) => Ok(scope),
        Err(Error::Invalid(more)) => {
            faults.extend(more);
            Err(())
        }
        Err(error) => return Err(error),
    };
    drop(reader);
    if let Err(fault) = check_lifetime(new.lifetime_days, &federation) {
        faults.push(fault);
    }
    let justification =
        check_text("justification", &new.justification, 1_000).map_err(|fault| faults.push(fault));
    if let (Ok(scope), Ok(text)) = (&scope, &justification)
        && scope.is_full_directory()
        && text.chars().count() < 10
    {
        faults.push(Invalid::new(
            "justification",
            "a key for the full directory needs a reason of at least 10 characters",
        ));
    }
    let (Ok(name), Ok(scope), Ok(justification), Ok(registered), true) =
        (name, scope, justification, registered, faults.is_empty())
    else {
        return Err(Error::Invalid(faults));
    };
    let fingerprint = format!(
        "issue {} {name} {} {} {}",
        federation.id,
        new.lifetime_days,
        json!(scope),
        registered.fingerprint()
    );
    let wanted = Wanted {
        federation_id: federation.id.clone(),
        name,
        scope,
        lifetime_days: new.lifetime_days,
        justification,
        predecessor_id: None,
        registered,
        issued_by: cx.actor.name.clone(),
    };
    let draft = Draft::compose(&cx.keyward, wanted, cx.now_ms());
    let event = AuditEvent {
        key_id: Some(draft.key.id.clone()),
        target: Some(draft.key.name.clone()),
        detail: draft.detail(),
        ..about(cx, Action::KeyIssued, &federation)
    };
    let token = check_token(&new.idempotency_token)?;
    let actor = event.actor.id.clone();
    let now_ms = event.at_ms;
    let Draft { key, hash, secret, client } = draft;
    let (own, of) = (cx.clone(), federation.clone());
    let (key, is_new) = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            if let Some(used) = used(conn, &actor, token.as_deref()).await? {
                return replayed(conn, used, &fingerprint).await.map(|key| Change::nothing((key, false)));
            }
            behaviour::widened(conn, &own, &of, &key, now_ms).await?;
            let key = draft::write(conn, &key, &hash, client.as_ref(), false, now_ms).await?;
            if let Some(token) = &token {
                let used = Used { fingerprint: fingerprint.clone(), key_id: key.id.clone() };
                store::idempotency::insert(conn, &actor, token, &used, now_ms).await?;
            }
            Ok(Change::new((key, true), event.clone()))
        })
        .await?;
    let base_url = cx.keyward.base_url(&federation.slug);
    Ok(Issued { key, federation, base_url, secret: secret.filter(|_| is_new) })
}

/// Issues a successor and shows its secret to whoever asks, who brings it to the consumer: a rotation that is
/// delivered; or has it brought as the federation is set up. Both keys are accepted until the successor has done real work and the old key is silent. An
/// expired key can be rotated: its successor takes over at once. The successor of an OAuth client is a
/// client with an id of its own: with the same public keys, or with a secret of its own.
///
/// # Errors
/// Invalid; Conflict when it has a successor, was revoked or retired, is itself a successor that has not taken
/// over, or has a secret that the federation no longer allows; Forbidden; NotFound.
pub async fn rotate(cx: &Cx<Admin>, key_id: &KeyId, rotate: Rotate) -> Result<Issued, Error> {
    let (_, federation) = managed(cx, key_id, Action::KeyRotated).await?;
    let token = check_token(&rotate.idempotency_token)?;
    let overlap_hours = rotate.overlap_hours.unwrap_or(federation.policy.overlap_hours);
    let lifetime_days = rotate.lifetime_days.unwrap_or(federation.policy.max_age_days);
    let is_shown = !rotate.deliver;
    let fingerprint = format!("rotate {key_id} {overlap_hours} {lifetime_days} {is_shown}");
    let mut faults = Vec::new();
    if !OVERLAP_HOURS.contains(&overlap_hours) {
        let (least, most) = (OVERLAP_HOURS.start(), OVERLAP_HOURS.end());
        let text = format!("{overlap_hours} is not {least} to {most} hours");
        faults.push(Invalid::new("overlap_hours", text));
    }
    if let Err(fault) = check_lifetime(lifetime_days, &federation) {
        faults.push(fault);
    }
    if !faults.is_empty() {
        return Err(Error::Invalid(faults));
    }
    let now_ms = cx.now_ms();
    let (author, id, own) = (Author::of(cx), key_id.clone(), cx.keyward.clone());
    let actor = cx.event(Action::KeyRotated).actor.id;
    let made = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            if let Some(used) = used(conn, &actor, token.as_deref()).await? {
                return replayed(conn, used, &fingerprint).await.map(|key| Change::nothing((key, None)));
            }
            let found = store::keys::with_federation(conn, &id).await?;
            let (stored, federation) = found.ok_or(Error::NotFound("key"))?;
            let begin = Begin {
                author: &author,
                federation: &federation,
                old: &stored.key,
                cause: Cause::ByHand,
                overlap_ms: overlap_hours * HOUR_MS,
                lifetime_days,
                is_shown,
                note: "",
            };
            let begun = begin::in_unit(conn, &own, &begin, now_ms).await?;
            if let Some(token) = &token {
                let used = Used { fingerprint: fingerprint.clone(), key_id: begun.key.id.clone() };
                store::idempotency::insert(conn, &actor, token, &used, now_ms).await?;
            }
            Ok(Change::new((begun.key, begun.secret), begun.event))
        })
        .await;
    let (key, secret) = match made {
        Ok(made) => made,
        Err(error) => return Err(overtaken(cx, key_id, error).await),
    };
    let base_url = cx.keyward.base_url(&federation.slug);
    Ok(Issued { key, federation, base_url, secret: secret.filter(|_| is_shown) })
}

/// Of those who rotate a key at once one wins; the others learn the successor that it has by now.
async fn overtaken(cx: &Cx<Admin>, key_id: &KeyId, error: Error) -> Error {
    if !matches!(error, Error::Stale(_) | Error::Conflict(_)) {
        return error;
    }
    let Ok(mut reader) = cx.read().await else { return error };
    match store::keys::by_id(&mut reader.conn(), key_id).await {
        Ok(Some(stored)) => match stored.key.successor_id {
            Some(successor) => {
                Error::Conflict(format!("{} has a successor already: {successor}", stored.key.name))
            }
            None => error,
        },
        Ok(None) | Err(_) => error,
    }
}

/// Ends a key at once. A rotation that it belongs to goes on without it, or is over.
///
/// # Errors
/// Invalid when the reason is too long; Conflict when it has ended already; Forbidden; NotFound.
pub async fn revoke(cx: &Cx<Admin>, key_id: &KeyId, reason: &str) -> Result<Key, Error> {
    managed(cx, key_id, Action::KeyRevoked).await?;
    let reason = check_text("reason", reason, 500)?;
    let now_ms = cx.now_ms();
    let (author, id, own) = (Author::of(cx), key_id.clone(), cx.keyward.clone());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let stored = store::keys::by_id(conn, &id).await?.ok_or(Error::NotFound("key"))?;
            revoke_in_unit(conn, &own, &author, stored.key, &reason, now_ms).await
        })
        .await
}

async fn revoke_in_unit(
    conn: &mut Conn<'_>,
    keyward: &crate::Keyward,
    author: &Author,
    key: Key,
    reason: &str,
    now_ms: domain::Millis,
) -> Result<Change<Key>, Error> {
    let state = key.life.state(now_ms);
    if !state.is_accepted() {
        return Err(Error::Conflict(format!(
            "{} has ended already: {}",
            key.name,
            state.label().to_lowercase()
        )));
    }
    let told = detail(&json!({
        "reason": reason, "last_four": key.last_four, "state_before": state,
        "last_used_ms": key.life.last_used_ms, "uses": key.uses,
    }));
    if let Some((rotation, half)) = under_way(conn, &key).await? {
        let mut pair = Pair::of(conn, rotation).await?;
        let happening = Happening { author, event: Event::Revoke { half }, note: reason };
        if let Some(mut events) = effects::apply(conn, keyward, &mut pair, &happening, now_ms).await? {
            let revoked = match half {
                Half::Old => pair.old,
                Half::New => pair.new,
            };
            if let Some(event) = events.first_mut() {
                event.detail = told;
            }
            return Ok(Change::nothing(revoked).with_events(events));
        }
    }
    store::keys::revoke(conn, &key, now_ms, author.name()).await?;
    let event = author.event(Action::KeyRevoked, &key, now_ms, told);
    let life = Life { revoked_ms: Some(now_ms), ..key.life };
    let by = author.name().to_owned();
    Ok(Change::new(Key { life, revoked_by: Some(by), version: key.version + 1, ..key }, event))
}

/// Freezes a key: its requests get 503 with Retry-After, and nothing of it is lost.
///
/// # Errors
/// Invalid without a reason; Conflict when it is held already or has ended; Forbidden; NotFound.
pub async fn hold(cx: &Cx<Admin>, key_id: &KeyId, reason: &str) -> Result<Key, Error> {
    managed(cx, key_id, Action::KeyHeld).await?;
    let reason = check_reason(reason)?;
    let now_ms = cx.now_ms();
    let (author, id) = (Author::of(cx), key_id.clone());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let stored = store::keys::by_id(conn, &id).await?.ok_or(Error::NotFound("key"))?;
            let (key, event) = hold_in_unit(conn, &author, stored.key, &reason, now_ms).await?;
            Ok(Change::new(key, event))
        })
        .await
}

/// Freezes a key as the unit has read it.
///
/// # Errors
/// Conflict when it is held already or has ended.
pub(crate) async fn hold_in_unit(
    conn: &mut Conn<'_>,
    author: &Author,
    key: Key,
    reason: &str,
    now_ms: domain::Millis,
) -> Result<(Key, AuditEvent), Error> {
    let state = key.life.state(now_ms);
    if !state.opens() {
        return Err(Error::Conflict(format!("{} is {} already", key.name, state.label().to_lowercase())));
    }
    let hold = Hold { at_ms: now_ms, by: author.name().to_owned(), reason: reason.to_owned() };
    store::keys::hold(conn, &key, Some(&hold)).await?;
    let told = detail(&json!({ "reason": reason, "last_four": key.last_four, "state_before": state }));
    let event = author.event(Action::KeyHeld, &key, now_ms, told);
    let life = Life { held_ms: Some(now_ms), ..key.life };
    let version = key.version + 1;
    Ok((Key { life, held_by: Some(hold.by), held_reason: Some(hold.reason), version, ..key }, event))
}

/// Lets a held key open again.
///
/// # Errors
/// Conflict when it is not held; Forbidden; NotFound.
pub async fn release(cx: &Cx<Admin>, key_id: &KeyId) -> Result<Key, Error> {
    managed(cx, key_id, Action::KeyReleased).await?;
    let now_ms = cx.now_ms();
    let (author, id) = (Author::of(cx), key_id.clone());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let key = store::keys::by_id(conn, &id).await?.ok_or(Error::NotFound("key"))?.key;
            if key.life.state(now_ms) != KeyState::Held {
                return Err(Error::Conflict(format!("{} is not held", key.name)));
            }
            store::keys::hold(conn, &key, None).await?;
            // While it was held its requests were not counted: its silence said nothing.
            if let Some((rotation, _)) = under_way(conn, &key).await? {
                crate::rotations::watch_from(conn, rotation, now_ms).await?;
            }
            let told = detail(&json!({ "held_ms": key.life.held_ms, "held_by": key.held_by }));
            let event = author.event(Action::KeyReleased, &key, now_ms, told);
            let life = Life { held_ms: None, ..key.life };
            let version = key.version + 1;
            Ok(Change::new(Key { life, held_by: None, held_reason: None, version, ..key }, event))
        })
        .await
}

async fn used(conn: &mut Conn<'_>, actor: &str, token: Option<&str>) -> Result<Option<Used>, Error> {
    match token {
        Some(token) => Ok(store::idempotency::find(conn, actor, token).await?),
        None => Ok(None),
    }
}

async fn replayed(conn: &mut Conn<'_>, used: Used, fingerprint: &str) -> Result<Key, Error> {
    if used.fingerprint != fingerprint {
        return Err(Error::Conflict(
            "this form was sent before with other values; open it again to issue another key".to_owned(),
        ));
    }
    let stored = store::keys::by_id(conn, &used.key_id).await?;
    stored.map(|stored| stored.key).ok_or(Error::NotFound("key"))
}

/// A key that the viewer may manage, and its federation; else the refusal is recorded.
pub(crate) async fn managed(
    cx: &Cx<Admin>,
    key_id: &KeyId,
    action: Action,
) -> Result<(Key, Federation), Error> {
    let mut reader = cx.read().await?;
    let found = store::keys::with_federation(&mut reader.conn(), key_id).await?;
    drop(reader);
    let (stored, federation) = found.ok_or(Error::NotFound("key"))?;
    let allowed = allowed(cx, &federation.slug, Right::ManageKeys, action).await;
    // A key that may not be seen is told like one that is not there.
    let federation = allowed
        .map_err(|error| if matches!(error, Error::NotFound(_)) { Error::NotFound("key") } else { error })?;
    Ok((stored.key, federation))
}

fn check_lifetime(days: i64, federation: &Federation) -> Result<(), Invalid> {
    let limit = federation.policy.max_age_days;
    if (1..=limit).contains(&days) {
        Ok(())
    } else {
        Err(Invalid::new(
            "lifetime_days",
            format!("{days} is not 1 to {limit} days, the policy of {}", federation.name),
        ))
    }
}

fn check_token(text: &str) -> Result<Option<String>, Error> {
    match text {
        "" => Ok(None),
        _ if text.len() <= 200 && text.bytes().all(|b| b.is_ascii_graphic()) => Ok(Some(text.to_owned())),
        _ => Err(Error::invalid("idempotency_token", "at most 200 printable ASCII characters were expected")),
    }
}
