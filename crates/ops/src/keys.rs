//! Issuing, rotating and revoking provisioning keys, static ones and OAuth clients.
//!
//! The secret exists in the answer of [`issue`] and [`rotate`] and nowhere else: the database has
//! its keyed hash. A repeated request with the same idempotency token gets the same key without
//! its secret.

mod views;

use domain::{
    DAY_MS, Invalid, KeyId, Millis, Secret,
    admins::{Admin, Right},
    audit::{Action, AuditEvent, GENESIS},
    federations::{Federation, OVERLAP_HOURS, Slug, check_name, check_text},
    keys::{self, Key, KeyState, Life, Proof, SecretKind},
    scopes::Scope,
};
use serde_json::json;
use store::{Change, Conn, idempotency::Used, keys::StoredKey, oauth::StoredClient};

pub use views::{KeyFilter, KeyView, Tolerated, list, open, tolerances};
pub(crate) use views::{attention, of_federations};

use crate::{
    Cx, Error,
    federations::{about, allowed},
    oauth::{NewClient, Registered},
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
    let scope = new.scope.check().map_err(|fault| faults.push(fault));
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
    let draft = Draft::compose(
        cx,
        federation,
        Wanted {
            name,
            scope,
            lifetime_days: new.lifetime_days,
            justification,
            predecessor_id: None,
            registered,
        },
    );
    let event = AuditEvent {
        key_id: Some(draft.key.id.clone()),
        target: Some(draft.key.name.clone()),
        detail: draft.detail(),
        ..about(cx, Action::KeyIssued, &draft.federation)
    };
    commit(cx, draft, event, new.idempotency_token, fingerprint, None).await
}

/// Issues a successor; both keys are accepted until the overlap ends. An expired key can be
/// rotated: its successor takes over at once. The successor of an OAuth client is a client with an
/// id of its own: with the same public keys, or with a secret of its own.
///
/// # Errors
/// Invalid; Conflict when it has a successor, was revoked or retired, or has a secret that the
/// federation no longer allows; Forbidden; NotFound.
pub async fn rotate(cx: &Cx<Admin>, key_id: &KeyId, rotate: Rotate) -> Result<Issued, Error> {
    let (key, federation) = managed(cx, key_id, Action::KeyRotated).await?;
    let token = check_token(&rotate.idempotency_token)?;
    let overlap_hours = rotate.overlap_hours.unwrap_or(federation.policy.overlap_hours);
    let lifetime_days = rotate.lifetime_days.unwrap_or(federation.policy.max_age_days);
    let fingerprint = format!("rotate {key_id} {overlap_hours} {lifetime_days}");
    // A repeated request finds the key already rotated, by itself.
    if let Some(issued) = replay(cx, &federation, token.as_deref(), &fingerprint).await? {
        return Ok(issued);
    }
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
    if let Some(successor) = &key.successor_id {
        return Err(Error::Conflict(format!("{} has a successor already: {successor}", key.name)));
    }
    match key.life.state(now_ms) {
        KeyState::Unused | KeyState::InUse | KeyState::Expired => {}
        KeyState::Retiring | KeyState::Retired | KeyState::Revoked => {
            return Err(Error::Conflict(format!(
                "{} is {} and has no rotation any more; issue a new key",
                key.name,
                key.life.state(now_ms).label().to_lowercase()
            )));
        }
    }
    let retires_ms = now_ms + overlap_hours * domain::HOUR_MS;
    let wanted = Wanted {
        name: successor_name(&key.name),
        scope: key.scope.clone(),
        lifetime_days,
        justification: key.justification.clone().unwrap_or_default(),
        predecessor_id: Some(key.id.clone()),
        registered: crate::oauth::registered(cx, &key, &federation).await?,
    };
    let draft = Draft::compose(cx, federation, wanted);
    let ends_ms = Life { retires_ms: Some(retires_ms), ..key.life }.ends_ms();
    let event = AuditEvent {
        key_id: Some(key.id.clone()),
        target: Some(key.name.clone()),
        detail: detail(&json!({
            "successor": draft.key.id, "successor_name": draft.key.name, "successor_last_four": draft.key.last_four,
            "overlap_hours": overlap_hours, "old_key_ends_ms": ends_ms, "successor_expires_ms": draft.key.life.expires_ms,
        })),
        ..about(cx, Action::KeyRotated, &draft.federation)
    };
    commit(cx, draft, event, rotate.idempotency_token, fingerprint, Some((key, retires_ms))).await
}

/// Ends a key at once.
///
/// # Errors
/// Invalid when the reason is too long; Conflict when it has ended already; Forbidden; NotFound.
pub async fn revoke(cx: &Cx<Admin>, key_id: &KeyId, reason: &str) -> Result<Key, Error> {
    let (key, federation) = managed(cx, key_id, Action::KeyRevoked).await?;
    let reason = check_text("reason", reason, 500)?;
    let now_ms = cx.now_ms();
    let state = key.life.state(now_ms);
    if !state.is_accepted() {
        return Err(Error::Conflict(format!(
            "{} has ended already: {}",
            key.name,
            state.label().to_lowercase()
        )));
    }
    let event = AuditEvent {
        key_id: Some(key.id.clone()),
        target: Some(key.name.clone()),
        detail: detail(&json!({
            "reason": reason, "last_four": key.last_four, "state_before": state,
            "last_used_ms": key.life.last_used_ms, "uses": key.uses,
        })),
        ..about(cx, Action::KeyRevoked, &federation)
    };
    let by = cx.actor.name.clone();
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::keys::revoke(conn, &key, now_ms, &by).await?;
            let life = Life { revoked_ms: Some(now_ms), ..key.life };
            let revoked = Key { life, revoked_by: Some(by.clone()), version: key.version + 1, ..key.clone() };
            Ok(Change::new(revoked, event.clone()))
        })
        .await
}

/// What a key is to be.
struct Wanted {
    name: String,
    scope: Scope,
    lifetime_days: i64,
    justification: String,
    predecessor_id: Option<KeyId>,
    registered: Registered,
}

/// A key that is about to be.
struct Draft {
    key: Key,
    federation: Federation,
    /// That of no key when there is no secret.
    hash: String,
    secret: Option<Secret>,
    client: Option<StoredClient>,
}

impl Draft {
    fn compose(cx: &Cx<Admin>, federation: Federation, wanted: Wanted) -> Self {
        let Wanted { name, scope, lifetime_days, justification, predecessor_id, registered } = wanted;
        let now_ms = cx.now_ms();
        let id = KeyId::new(now_ms, cx.keyward.id_chance());
        let (proof, kind, client) = match registered {
            Registered::Static => (Proof::Static, Some(SecretKind::Key), None),
            Registered::Secret => (Proof::Secret, Some(SecretKind::ClientSecret), None),
            Registered::Keys(client) => (Proof::Assertion, None, Some(client)),
        };
        let secret = kind.map(|kind| cx.keyward.new_secret(kind, &id));
        let last_four = match &secret {
            Some(secret) => keys::last_four(secret),
            None => id.as_str().chars().skip(id.as_str().len() - 4).collect(),
        };
        let key = Key {
            id,
            federation_id: federation.id.clone(),
            name,
            last_four,
            proof,
            justification: scope.is_full_directory().then_some(justification),
            scope,
            life: Life {
                issued_ms: now_ms,
                expires_ms: now_ms + lifetime_days * DAY_MS,
                retires_ms: None,
                revoked_ms: None,
                first_used_ms: None,
                last_used_ms: None,
            },
            predecessor_id,
            successor_id: None,
            issued_by: cx.actor.name.clone(),
            revoked_by: None,
            last_used_source: None,
            uses: 0,
            version: 1,
        };
        // The one look at the secret besides showing it: its keyed hash.
        let hash = secret.as_ref().map(|secret| cx.keyward.vault.hash_key(secret.expose()));
        Self { key, federation, hash: hash.unwrap_or_else(|| GENESIS.to_owned()), secret, client }
    }

    fn detail(&self) -> String {
        let mut told = json!({
            "last_four": self.key.last_four, "scope": self.key.scope, "proof": self.key.proof,
            "expires_ms": self.key.life.expires_ms, "justification": self.key.justification,
        });
        if let Some(client) = &self.client {
            told["client"] = crate::oauth::told(client);
        }
        detail(&told)
    }
}

/// Writes a drafted key, its token and, when it succeeds another, the end of that one.
async fn commit(
    cx: &Cx<Admin>,
    draft: Draft,
    event: AuditEvent,
    token: String,
    fingerprint: String,
    succeeds: Option<(Key, Millis)>,
) -> Result<Issued, Error> {
    let token = check_token(&token)?;
    let actor = event.actor.id.clone();
    let now_ms = event.at_ms;
    let Draft { key, federation, hash, secret, client } = draft;
    let is_rotation = succeeds.is_some();
    let (key, is_new) = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let mut key = key.clone();
            let token = token.as_deref();
            if let Some(token) = token
                && let Some(used) = store::idempotency::find(conn, &actor, token).await?
            {
                return replayed(conn, used, &fingerprint).await.map(|key| Change::nothing((key, false)));
            }
            if let Some((old, retires_ms)) = &succeeds {
                store::keys::succeed(conn, old, &key.id, *retires_ms).await?;
            }
            let others = store::keys::of_federation(conn, &key.federation_id).await?;
            key.name = free_name(conn, &others, &key, now_ms, is_rotation).await?;
            store::keys::insert(conn, &StoredKey { key: key.clone(), hash: hash.clone() }).await?;
            if let Some(client) = &client {
                store::oauth::insert_client(conn, &key, client, now_ms).await?;
            }
            if let Some(token) = token {
                let used = Used { fingerprint: fingerprint.clone(), key_id: key.id.clone() };
                store::idempotency::insert(conn, &actor, token, &used, now_ms).await?;
            }
            Ok(Change::new((key, true), event.clone()))
        })
        .await?;
    let base_url = cx.keyward.base_url(&federation.slug);
    Ok(Issued { key, federation, base_url, secret: secret.filter(|_| is_new) })
}

/// Makes the name of a new key free where ended keys hold it; counts a successor's name on where
/// a living key does.
async fn free_name(
    conn: &mut Conn<'_>,
    others: &[Key],
    key: &Key,
    now_ms: Millis,
    may_count_on: bool,
) -> Result<String, Error> {
    let mut name = key.name.clone();
    loop {
        let same = |other: &&Key| other.name.to_lowercase() == name.to_lowercase();
        let is_taken = others.iter().filter(same).any(|other| other.life.state(now_ms).is_accepted());
        if is_taken && may_count_on {
            name = successor_name(&name);
            continue;
        }
        for ended in others.iter().filter(same).filter(|other| !other.life.state(now_ms).is_accepted()) {
            store::keys::free_name(conn, ended).await?;
        }
        return Ok(name);
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

async fn replay(
    cx: &Cx<Admin>,
    federation: &Federation,
    token: Option<&str>,
    fingerprint: &str,
) -> Result<Option<Issued>, Error> {
    let Some(token) = token else { return Ok(None) };
    let mut reader = cx.read().await?;
    let actor = cx.event(Action::KeyRotated).actor.id;
    let Some(used) = store::idempotency::find(&mut reader.conn(), &actor, token).await? else {
        return Ok(None);
    };
    let key = replayed(&mut reader.conn(), used, fingerprint).await?;
    let base_url = cx.keyward.base_url(&federation.slug);
    Ok(Some(Issued { key, federation: federation.clone(), base_url, secret: None }))
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

/// `okta` → `okta-2`, `okta-2` → `okta-3`; at most 80 characters.
fn successor_name(name: &str) -> String {
    let (stem, number) = match name.rsplit_once('-') {
        Some((stem, digits)) if !stem.is_empty() => match digits.parse::<u32>() {
            Ok(number) if number < u32::MAX => (stem, number + 1),
            Ok(_) | Err(_) => (name, 2),
        },
        Some(_) | None => (name, 2),
    };
    let suffix = format!("-{number}");
    let stem: String = stem.chars().take(80 - suffix.len()).collect();
    stem + &suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors_count_on() {
        let check = |name: &str, expect: &str| assert_eq!(successor_name(name), expect);
        check("okta", "okta-2");
        check("okta-2", "okta-3");
        check("okta-prod", "okta-prod-2");
        check("-7", "-7-2");
        check("okta-4294967295", "okta-4294967295-2");
        assert_eq!(successor_name(&"é".repeat(80)).chars().count(), 80);
    }
}
