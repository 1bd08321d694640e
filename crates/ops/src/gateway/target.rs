//! Where a federation keeps its users and groups: what an admin sets, tests and approves.
//!
//! The credential of an upstream is typed in once and shown never again. It stays with the address
//! that it was typed in for: another address wants it anew.

use domain::{
    DAY_MS, Invalid, Millis, ResourceId, Secret,
    admins::{Admin, Right},
    audit::{Action, AuditEvent, Outcome},
    federations::{Federation, FederationTarget, Slug},
    upstreams::{
        CallState, CallVerb, Limits, LinkState, Quirks, SignIn, Tested, Trouble, Upstream, check_url,
    },
};
use scim::ResourceType;
use serde_json::json;
use store::{Change, Conn, upstreams::StoredUpstream};

pub use super::connection::{UNTRUSTED, test};
use super::{Gate, breaker::BreakerState, locked, place, probe::Kept};
use crate::{
    Actor, Cx, Error,
    federations::{about, allowed, find},
    unit::detail,
    vault::Sealed,
};

/// The longest credential, in bytes: a certificate chain and a key.
const LONGEST_SECRET: usize = 40_000;

/// How often at most it is recorded that an upstream refuses our credential, in milliseconds.
const DENIED_EVERY_MS: Millis = DAY_MS / 24;

/// Accounts that wait for an admin and are shown at once.
const WAITING_SHOWN: i64 = 50;

/// Open calls that are shown at once.
const OPEN_SHOWN: i64 = 20;

/// An upstream, as a form brings it. It holds a secret and has no Debug.
pub struct NewUpstream {
    /// The version of the federation that was seen when the change was made up.
    pub version: i64,
    /// The SCIM base of the service.
    pub base_url: String,
    /// The word of how Keyward signs in.
    pub sign_in: String,
    /// For a user name and password.
    pub user: String,
    /// For OAuth.
    pub token_url: String,
    /// For OAuth.
    pub client_id: String,
    /// For OAuth.
    pub scope: String,
    /// The credential; empty to keep the one that is there.
    pub secret: Secret,
    /// Certificates in PEM that are trusted beside those of the operating system.
    pub trusted_ca: String,
    /// Words of peculiarities.
    pub quirks: Vec<String>,
    /// What a call may take.
    pub limits: Limits,
}

/// An account that waits for an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// User or group.
    pub kind: ResourceType,
    /// Its id here.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Its id at the upstream.
    pub upstream_id: String,
    /// `externalId`, as the upstream shows it.
    pub external_id: Option<String>,
    /// Since when.
    pub since_ms: Millis,
}

/// A call of which it is not known what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCall {
    /// What it does.
    pub verb: CallVerb,
    /// To a user or a group.
    pub kind: ResourceType,
    /// Its name; empty when there is no link to it any more.
    pub name: String,
    /// When it was written down.
    pub since_ms: Millis,
    /// Why nobody knows; empty while it is under way.
    pub note: String,
}

/// An upstream, and how it does.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamView {
    /// The upstream.
    pub upstream: Upstream,
    /// Whether calls are sent.
    pub breaker: BreakerState,
    /// When the last call failed on this node, and why; none since the start or the last change.
    pub last_failure: Option<(Millis, String)>,
    /// The oldest calls of which it is not known what became of them.
    pub open: Vec<OpenCall>,
    /// Calls of which it is not known what became of them.
    pub open_calls: i64,
    /// Users that are this federation's.
    pub users: i64,
    /// Groups that are this federation's.
    pub groups: i64,
    /// Accounts that wait for an admin.
    pub waiting: Vec<Waiting>,
    /// The report of the last probe, as JSON.
    pub last_probe: Option<String>,
}

/// Where a federation keeps its users and groups.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetView {
    /// The upstream; none for the embedded directory.
    pub upstream: Option<UpstreamView>,
    /// Whether the viewer may set it.
    pub may_set: bool,
    /// Whether the viewer may test it and approve adoptions.
    pub may_run: bool,
}

/// The target of a federation.
///
/// # Errors
/// NotFound when the viewer may not see it.
pub async fn view(cx: &Cx<Admin>, slug: &Slug) -> Result<TargetView, Error> {
    let mut reader = cx.read().await?;
    let federation = find(cx, &mut reader.conn(), slug).await?;
    let is_open = federation.status != domain::federations::FederationStatus::Archived;
    let may = |right| is_open && cx.actor.role.may(right, Some(slug));
    let (may_set, may_run) = (may(Right::RegisterFederation), may(Right::RunFederation));
    if federation.target == FederationTarget::Embedded {
        return Ok(TargetView { upstream: None, may_set, may_run });
    }
    let stored = store::upstreams::of_federation(&mut reader.conn(), &federation.id).await?;
    let Some(StoredUpstream { upstream, .. }) = stored else {
        return Ok(TargetView { upstream: None, may_set, may_run });
    };
    let counts = store::links::counts(&mut reader.conn(), &federation.id).await?;
    let count = |wanted| {
        counts.iter().filter(|(kind, state, _)| *kind == wanted && state.is_ours()).map(|(.., n)| n).sum()
    };
    let waiting =
        store::links::in_state(&mut reader.conn(), &federation.id, LinkState::Waiting, WAITING_SHOWN).await?;
    let open_calls = store::calls::count_unsettled(&mut reader.conn(), &federation.id).await?;
    let open = open_of(&mut reader.conn(), &federation).await?;
    let last_probe = store::upstreams::last_probe(&mut reader.conn(), &federation.id).await?;
    let breaker = cx.keyward.gateway.bulkhead(&upstream).state(cx.keyward.clock.monotonic_us());
    let last_failure = locked(&cx.keyward.gateway.failures).get(&federation.id).cloned();
    let waiting = waiting.into_iter().map(|link| Waiting {
        kind: link.kind,
        id: link.id,
        name: link.name_lower,
        upstream_id: link.upstream_id.unwrap_or_default(),
        external_id: link.external_id,
        since_ms: link.modified_ms,
    });
    Ok(TargetView {
        upstream: Some(UpstreamView {
            breaker,
            last_failure,
            open,
            open_calls,
            users: count(ResourceType::User),
            groups: count(ResourceType::Group),
            waiting: waiting.collect(),
            last_probe,
            upstream,
        }),
        may_set,
        may_run,
    })
}

async fn open_of(conn: &mut Conn<'_>, federation: &Federation) -> Result<Vec<OpenCall>, Error> {
    let mut calls = Vec::new();
    for state in [CallState::Unknown, CallState::Intended] {
        calls.extend(store::calls::in_state(conn, &federation.id, state, OPEN_SHOWN).await?);
    }
    calls.truncate(usize::try_from(OPEN_SHOWN).unwrap_or_default());
    let mut open = Vec::with_capacity(calls.len());
    for call in calls {
        let link = store::links::by_id(conn, &federation.id, call.kind, call.resource_id.as_str()).await?;
        open.push(OpenCall {
            verb: call.verb,
            kind: call.kind,
            name: link.map(|link| link.name_lower).unwrap_or_default(),
            since_ms: call.intended_ms,
            note: call.note,
        });
    }
    Ok(open)
}

fn sign_in(new: &NewUpstream, faults: &mut Vec<Invalid>) -> Option<SignIn> {
    let needed = |field: &str, text: &str, faults: &mut Vec<Invalid>| {
        let text = text.trim();
        if text.is_empty() || text.len() > 500 || text.chars().any(char::is_control) {
            faults.push(Invalid::new(field, "1 to 500 characters are expected"));
        }
        text.to_owned()
    };
    match new.sign_in.as_str() {
        "bearer" => Some(SignIn::Bearer),
        "basic" => {
            let user = needed("user", &new.user, faults);
            if user.contains(':') {
                faults.push(Invalid::new("user", "a colon ends the user name (RFC 7617)"));
            }
            Some(SignIn::Basic { user })
        }
        "oauth" => {
            let token_url = check_url("token_url", &new.token_url).unwrap_or_else(|fault| {
                faults.push(fault);
                String::new()
            });
            let client_id = needed("client_id", &new.client_id, faults);
            let scope = new.scope.trim().to_owned();
            if scope.len() > 500 || scope.chars().any(char::is_control) {
                faults.push(Invalid::new("scope", "at most 500 characters are allowed"));
            }
            Some(SignIn::Oauth { token_url, client_id, scope })
        }
        "mutual-tls" => Some(SignIn::MutualTls),
        _ => {
            faults.push(Invalid::new("sign_in", "choose how Keyward signs in"));
            None
        }
    }
}

fn check_secret(sign_in: &SignIn, secret: &str) -> Result<(), Invalid> {
    let invalid = |message: &str| Err(Invalid::new("secret", message));
    if secret.len() > LONGEST_SECRET {
        return invalid("it is longer than any credential");
    }
    match sign_in {
        SignIn::Bearer if secret.contains(|c: char| !c.is_ascii_graphic()) => {
            invalid("a token has no spaces and no line breaks")
        }
        SignIn::Basic { .. } | SignIn::Oauth { .. } if secret.chars().any(char::is_control) => {
            invalid("it has a line break or another control character")
        }
        SignIn::MutualTls
            if !secret.contains("-----BEGIN CERTIFICATE-----") || !secret.contains("PRIVATE KEY-----") =>
        {
            invalid("the certificate chain and its key are expected, both in PEM")
        }
        SignIn::Bearer | SignIn::Basic { .. } | SignIn::Oauth { .. } | SignIn::MutualTls => Ok(()),
    }
}

/// An upstream that was checked.
struct Checked {
    base_url: String,
    sign_in: SignIn,
    limits: Limits,
    trusted_ca: Option<String>,
    quirks: Quirks,
}

fn checked(cx: &Cx<Admin>, new: &NewUpstream, stored: Option<&StoredUpstream>) -> Result<Checked, Error> {
    let mut faults = Vec::new();
    let base_url = check_url("base_url", &new.base_url).map_err(|fault| faults.push(fault)).ok();
    let sign_in = sign_in(new, &mut faults);
    let limits = new.limits.check().map_err(|more| faults.extend(more)).ok();
    let quirks = Quirks::of_words(new.quirks.iter().map(String::as_str));
    faults.extend(quirks.check().err());
    let secret = new.secret.expose().trim();
    if let Some(sign_in) = &sign_in
        && !secret.is_empty()
        && let Err(fault) = check_secret(sign_in, secret)
    {
        faults.push(fault);
    }
    if let Some(port) = cx.keyward.gateway.port.get() {
        let token_url = match &sign_in {
            Some(SignIn::Oauth { token_url, .. }) => Some(token_url.as_str()).filter(|url| !url.is_empty()),
            Some(SignIn::Bearer | SignIn::Basic { .. } | SignIn::MutualTls) | None => None,
        };
        for (field, url) in [("base_url", base_url.as_deref()), ("token_url", token_url)] {
            if let Some(Err(sentence)) = url.map(|url| port.admits(url)) {
                faults.push(Invalid::new(field, sentence));
            }
        }
    }
    let trusted_ca = Some(new.trusted_ca.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
    if trusted_ca
        .as_ref()
        .is_some_and(|text| !text.contains("BEGIN CERTIFICATE") || text.len() > LONGEST_SECRET)
    {
        faults.push(Invalid::new("trusted_ca", "certificates in PEM are expected"));
    }
    let is_same_place = stored.is_some_and(|stored| {
        Some(&stored.upstream.base_url) == base_url.as_ref()
            && Some(&stored.upstream.sign_in) == sign_in.as_ref()
    });
    // A credential that was typed in for one address is not sent to another.
    if secret.is_empty() && !is_same_place {
        faults.push(Invalid::new(
            "secret",
            "type in the credential for this address and this way of signing in",
        ));
    }
    match (base_url, sign_in, limits) {
        (Some(base_url), Some(sign_in), Some(limits)) if faults.is_empty() => {
            Ok(Checked { base_url, sign_in, limits, trusted_ca, quirks })
        }
        _ => Err(Error::Invalid(faults)),
    }
}

/// Makes an upstream the target of a federation, or changes the one that it is.
///
/// # Errors
/// Invalid with every fault; Conflict while the directory, or what the federation has at another
/// address, is not empty; Stale; Forbidden but for admins; NotFound.
pub async fn set_upstream(cx: &Cx<Admin>, slug: &Slug, new: NewUpstream) -> Result<Federation, Error> {
    let before = allowed(cx, slug, Right::RegisterFederation, Action::FederationTargetSet).await?;
    let stored = store::upstreams::of_federation(&mut cx.read().await?.conn(), &before.id).await?;
    let Checked { base_url, sign_in, limits, trusted_ca, quirks } = checked(cx, &new, stored.as_ref())?;
    let secret = new.secret.expose().trim();
    if before.version != new.version {
        return Err(Error::Stale("this federation"));
    }
    let now_ms = cx.now_ms();
    let moves = stored.as_ref().is_none_or(|stored| stored.upstream.base_url != base_url);
    let version = stored.as_ref().map_or(0, |stored| stored.upstream.version);
    let kept = stored.as_ref().filter(|_| secret.is_empty());
    let (sealed, seal_version) = if let Some(StoredUpstream { sealed, data_key, seal_version, .. }) = kept {
        (Sealed { text: sealed.clone(), data_key: data_key.clone() }, *seal_version)
    } else {
        let at = place(&before.id, version + 1);
        let sealed = cx.keyward.vault.seal(cx.keyward.entropy.as_ref(), at, secret.as_bytes());
        (sealed.map_err(Error::Internal)?, version + 1)
    };
    let event = AuditEvent {
        detail: detail(&json!({
            "target": "upstream", "base_url": base_url, "sign_in": sign_in.as_str(), "quirks": quirks.words(),
            "limits": limits, "credential": if secret.is_empty() { "kept" } else { "set" },
        })),
        ..about(cx, Action::FederationTargetSet, &before)
    };
    let is_new = stored.is_none();
    let last_test = stored.and_then(|stored| stored.upstream.last_test);
    let stored = StoredUpstream {
        upstream: Upstream {
            federation_id: before.id.clone(),
            base_url,
            sign_in,
            trusted_ca,
            quirks,
            limits,
            version,
            updated_ms: now_ms,
            last_test,
        },
        sealed: sealed.text,
        data_key: sealed.data_key,
        seal_version,
    };
    let after = Federation { target: FederationTarget::Upstream, updated_ms: now_ms, ..before };
    let federation_id = after.id.clone();
    let written = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            if moves {
                check_empty(conn, &after).await?;
            }
            if is_new {
                store::upstreams::insert(conn, &stored).await?;
            } else {
                store::upstreams::update(conn, &stored).await?;
            }
            store::federations::update(conn, &after).await?;
            Ok(Change::new(Federation { version: after.version + 1, ..after.clone() }, event.clone()))
        })
        .await?;
    cx.keyward.gateway.forget(&federation_id);
    Ok(written)
}

/// Adds what the last probe found to what is made up for.
///
/// # Errors
/// Conflict without an upstream or a probe, or when all of it is made up for; Forbidden but for
/// admins; NotFound.
pub async fn apply_quirks(cx: &Cx<Admin>, slug: &Slug) -> Result<Quirks, Error> {
    let federation = allowed(cx, slug, Right::RegisterFederation, Action::FederationTargetSet).await?;
    let mut reader = cx.read().await?;
    let stored = store::upstreams::of_federation(&mut reader.conn(), &federation.id).await?;
    let found = store::upstreams::last_probe(&mut reader.conn(), &federation.id).await?;
    drop(reader);
    let found = found.as_deref().and_then(Kept::read);
    let (Some(mut stored), Some(found)) = (stored, found) else {
        return Err(Error::Conflict(format!("the upstream of {} was not probed yet", federation.name)));
    };
    let before = stored.upstream.quirks;
    let quirks = before.and_found(found.quirks);
    if quirks == before {
        return Err(Error::Conflict("all of it is made up for already".to_owned()));
    }
    stored.upstream.quirks = quirks;
    stored.upstream.updated_ms = cx.now_ms();
    let event = AuditEvent {
        detail: detail(&json!({ "quirks": { "before": before.words(), "after": quirks.words() } })),
        ..about(cx, Action::FederationTargetSet, &federation)
    };
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::upstreams::update(conn, &stored).await?;
            Ok(Change::new((), event.clone()))
        })
        .await?;
    Ok(quirks)
}

/// Makes the embedded directory the target of a federation; the credential of its upstream is
/// forgotten.
///
/// # Errors
/// Conflict while the federation has something at its upstream, or has no upstream; Stale; Forbidden
/// but for admins; NotFound.
pub async fn set_embedded(cx: &Cx<Admin>, slug: &Slug, version: i64) -> Result<Federation, Error> {
    let before = allowed(cx, slug, Right::RegisterFederation, Action::FederationTargetSet).await?;
    if before.target == FederationTarget::Embedded {
        return Err(Error::Conflict(format!("{} keeps its users and groups here already", before.name)));
    }
    if before.version != version {
        return Err(Error::Stale("this federation"));
    }
    let event = AuditEvent {
        detail: detail(&json!({ "target": "embedded directory" })),
        ..about(cx, Action::FederationTargetSet, &before)
    };
    let after = Federation { target: FederationTarget::Embedded, updated_ms: cx.now_ms(), ..before };
    let federation_id = after.id.clone();
    let written = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            check_empty(conn, &after).await?;
            store::upstreams::delete(conn, &after.id).await?;
            store::federations::update(conn, &after).await?;
            Ok(Change::new(Federation { version: after.version + 1, ..after.clone() }, event.clone()))
        })
        .await?;
    cx.keyward.gateway.forget(&federation_id);
    Ok(written)
}

/// Refuses to move a federation that has something where it is: ids would mean nothing elsewhere.
async fn check_empty(conn: &mut Conn<'_>, federation: &Federation) -> Result<(), Error> {
    let counts = store::federations::counts(conn, Some(&federation.id)).await?;
    let counts = counts.get(federation.id.as_str()).copied().unwrap_or_default();
    let open = store::calls::count_unsettled(conn, &federation.id).await?;
    if counts.users + counts.groups + open > 0 {
        return Err(Error::Conflict(format!(
            "{} has {} users, {} groups and {open} calls of which nobody knows yet where it is: only an empty \
             federation can be moved; register another one for the other place",
            federation.name, counts.users, counts.groups
        )));
    }
    Ok(())
}

pub(super) async fn upstream_gate(cx: &Cx<Admin>, federation: &Federation) -> Result<Gate, Error> {
    if federation.target == FederationTarget::Embedded {
        return Err(Error::Conflict(format!("{} has no upstream", federation.name)));
    }
    cx.gate(federation).await
}

/// Gives an account at the upstream to the federation.
///
/// # Errors
/// Conflict when none of that id waits; Forbidden; NotFound.
pub async fn approve(cx: &Cx<Admin>, slug: &Slug, kind: ResourceType, id: &str) -> Result<(), Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::AdoptionApproved).await?;
    let event = about(cx, Action::AdoptionApproved, &federation);
    let (id, by, now_ms) = (id.to_owned(), cx.actor.as_ref().name, cx.now_ms());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let found = store::links::by_id(conn, &federation.id, kind, &id).await?;
            let mut link = found
                .filter(|link| link.state == LinkState::Waiting)
                .ok_or_else(|| Error::Conflict("this account does not wait for approval".to_owned()))?;
            link.state = LinkState::Live;
            link.made_by.clone_from(&by);
            link.modified_ms = now_ms;
            store::links::update(conn, &federation.id, &link).await?;
            let told = json!({
                "id": link.id, "upstream_id": link.upstream_id, "type": kind.name(), "externalId": link.external_id,
                "federation": federation.name,
            });
            let event = AuditEvent {
                target: Some(link.name_lower.clone()),
                detail: detail(&told),
                ..event.clone()
            };
            Ok(Change::new((), event))
        })
        .await
}

/// Puts on record, not too often, that an upstream does not accept our credential.
pub(super) async fn record_denied<A: Actor>(
    cx: &Cx<A>,
    gate: &Gate,
    federation: &Federation,
    status: u16,
) -> Result<(), Error> {
    let now_ms = cx.now_ms();
    {
        let mut refused = locked(&cx.keyward.gateway.refused_us);
        let last = refused.get(&federation.id).copied();
        if last.is_some_and(|last| now_ms - last < DENIED_EVERY_MS) {
            return Ok(());
        }
        refused.insert(federation.id.clone(), now_ms);
    }
    let note =
        format!("the upstream answers {status}: its credential was changed, has ended, or lacks a right");
    let event = AuditEvent {
        outcome: Outcome::Refused,
        reason: Some(note.clone()),
        federation_id: Some(federation.id.clone()),
        target: Some(federation.name.clone()),
        detail: detail(&json!({ "status": status, "base_url": gate.upstream.base_url })),
        ..cx.event(Action::UpstreamRefusedUs)
    };
    let (federation_id, tested) = (
        federation.id.clone(),
        Tested { at_ms: now_ms, worked: false, note, trouble: Some(Trouble::Credential) },
    );
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::upstreams::set_last_test(conn, &federation_id, &tested).await?;
            Ok(Change::new((), event.clone()))
        })
        .await
}
