//! Registering and running federations.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    FederationId, Millis,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    federations::{
        Federation, FederationStatus, FederationTarget, RotationPolicy, ScimSettings, Slug, Vendor,
        check_name, check_text, parse_owners,
    },
    keys::Life,
};
use serde_json::json;
use store::{Change, Conn, federations::Counts, keys::briefs::Brief};

use crate::{Actor, Cx, Error, rotations::Author, unit::detail};

/// A federation to be registered, as a form or the API brings it.
#[derive(Debug, Clone, Default)]
pub struct NewFederation {
    /// The segment of the SCIM base URL; proposed from the name when empty.
    pub slug: String,
    /// The name that people read.
    pub name: String,
    /// The word of the vendor.
    pub vendor: String,
    /// Owners, by lines or commas.
    pub owners: String,
    /// Free text.
    pub notes: String,
    /// The longest life of a key, in days.
    pub max_age_days: i64,
    /// How long old and new key are both accepted, in hours.
    pub overlap_hours: i64,
    /// How long before its end a key warns, in days.
    pub warn_days: i64,
}

/// What may be changed of a federation.
#[derive(Debug, Clone, Default)]
pub struct EditFederation {
    /// The version that was seen when the change was made up.
    pub version: i64,
    /// The name that people read.
    pub name: String,
    /// The word of the vendor.
    pub vendor: String,
    /// Owners, by lines or commas.
    pub owners: String,
    /// Free text.
    pub notes: String,
    /// The longest life of a key, in days.
    pub max_age_days: i64,
    /// How long old and new key are both accepted, in hours.
    pub overlap_hours: i64,
    /// How long before its end a key warns, in days.
    pub warn_days: i64,
    /// How its SCIM endpoint behaves; as it is when nothing is said.
    pub scim: Option<ScimSettings>,
}

/// A federation and what is known around it.
#[derive(Debug, Clone)]
pub struct FederationView {
    /// The federation.
    pub federation: Federation,
    /// Its SCIM base URL.
    pub base_url: String,
    /// Keys that are accepted now.
    pub accepted_keys: i64,
    /// Users in its directory.
    pub users: i64,
    /// Groups in its directory.
    pub groups: i64,
    /// Its last accepted request.
    pub last_request_ms: Option<Millis>,
    /// Whether the viewer may edit, pause and resume it.
    pub may_run: bool,
    /// Whether the viewer may issue, rotate and revoke its keys.
    pub may_manage_keys: bool,
    /// Whether the viewer may archive it.
    pub may_archive: bool,
}

struct Checked {
    name: String,
    vendor: Vendor,
    owners: Vec<String>,
    notes: String,
    policy: RotationPolicy,
}

fn check(
    name: &str,
    vendor: &str,
    owners: &str,
    notes: &str,
    policy: RotationPolicy,
) -> Result<Checked, Error> {
    let mut faults = Vec::new();
    let name = check_name("name", name).map_err(|fault| faults.push(fault));
    let vendor = Vendor::parse(vendor).map_err(|fault| faults.push(fault));
    let owners = parse_owners(owners).map_err(|fault| faults.push(fault));
    let notes = check_text("notes", notes, 4_000).map_err(|fault| faults.push(fault));
    let policy = policy.check().map_err(|more| faults.extend(more));
    match (name, vendor, owners, notes, policy) {
        (Ok(name), Ok(vendor), Ok(owners), Ok(notes), Ok(policy)) => {
            Ok(Checked { name, vendor, owners, notes, policy })
        }
        _ => Err(Error::Invalid(faults)),
    }
}

/// Registers a federation with the embedded directory as its target.
///
/// # Errors
/// Invalid with every fault; Conflict when the slug is taken; Forbidden but for admins.
pub async fn register(cx: &Cx<Admin>, new: NewFederation) -> Result<Federation, Error> {
    if !cx.actor.role.may(Right::RegisterFederation, None) {
        let event = AuditEvent { target: Some(new.name), ..cx.event(Action::FederationRegistered) };
        return cx.forbid(event, "only an admin may register a federation".to_owned()).await;
    }
    let policy = RotationPolicy {
        max_age_days: new.max_age_days,
        overlap_hours: new.overlap_hours,
        warn_days: new.warn_days,
    };
    let slug = match new.slug.trim() {
        "" => Slug::propose(&new.name)
            .ok_or_else(|| domain::Invalid::new("slug", "none can be made from this name; write one")),
        text => Slug::parse(text),
    };
    let checked = check(&new.name, &new.vendor, &new.owners, &new.notes, policy);
    let (slug, checked) = match (slug, checked) {
        (Ok(slug), Ok(checked)) => (slug, checked),
        (Err(fault), Err(Error::Invalid(mut faults))) => {
            faults.insert(0, fault);
            return Err(Error::Invalid(faults));
        }
        (Err(fault), _) => return Err(fault.into()),
        (_, Err(error)) => return Err(error),
    };
    let now_ms = cx.now_ms();
    let federation = Federation {
        id: FederationId::new(now_ms, cx.keyward.id_chance()),
        slug,
        name: checked.name,
        vendor: checked.vendor,
        status: FederationStatus::Live,
        owners: checked.owners,
        notes: checked.notes,
        policy: checked.policy,
        rotation: domain::rotations::policy::RotationRules::default(),
        target: FederationTarget::Embedded,
        scim: ScimSettings::default(),
        behaviour: domain::behaviour::Rules::default(),
        version: 1,
        created_ms: now_ms,
        updated_ms: now_ms,
    };
    let event = AuditEvent {
        detail: detail(&json!({
            "slug": federation.slug, "vendor": federation.vendor, "owners": federation.owners,
            "policy": federation.policy, "target": "embedded directory",
        })),
        ..about(cx, Action::FederationRegistered, &federation)
    };
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::federations::insert(conn, &federation).await?;
            Ok(Change::new(federation.clone(), event.clone()))
        })
        .await
}

/// The federations that the viewer may see; archived ones last.
pub async fn list(cx: &Cx<Admin>) -> Result<Vec<FederationView>, Error> {
    Ok(with_keys(cx).await?.0)
}

/// As [`list`], and every key of these federations, short.
pub(crate) async fn with_keys(cx: &Cx<Admin>) -> Result<(Vec<FederationView>, Vec<Brief>), Error> {
    let mut reader = cx.read().await?;
    let federations = visible(cx, &mut reader).await?;
    let counts = store::federations::counts(&mut reader.conn(), None).await?;
    let mut briefs = store::keys::briefs::list(&mut reader.conn()).await?;
    let seen: BTreeSet<&FederationId> = federations.iter().map(|federation| &federation.id).collect();
    briefs.retain(|key| seen.contains(&key.federation_id));
    let mut keys: BTreeMap<FederationId, Vec<Life>> = BTreeMap::new();
    for key in &briefs {
        keys.entry(key.federation_id.clone()).or_default().push(key.life);
    }
    let mut views: Vec<FederationView> = federations
        .into_iter()
        .map(|federation| {
            let counts = counts.get(federation.id.as_str()).copied().unwrap_or_default();
            let keys = keys.remove(&federation.id).unwrap_or_default();
            view(cx, federation, counts, &keys)
        })
        .collect();
    views.sort_by_key(|view| view.federation.status == FederationStatus::Archived);
    Ok((views, briefs))
}

/// The federations that the viewer may see, without what is known around them: for whoever needs their names.
///
/// # Errors
/// When the database does not answer.
pub async fn seen(cx: &Cx<Admin>) -> Result<Vec<Federation>, Error> {
    visible(cx, &mut cx.read().await?).await
}

/// One federation.
///
/// # Errors
/// NotFound when there is none, or none that the viewer may see.
pub async fn open(cx: &Cx<Admin>, slug: &Slug) -> Result<FederationView, Error> {
    let mut reader = cx.read().await?;
    let federation = find(cx, &mut reader.conn(), slug).await?;
    let counts = store::federations::counts(&mut reader.conn(), Some(&federation.id)).await?;
    let counts = counts.get(federation.id.as_str()).copied().unwrap_or_default();
    let keys = store::keys::of_federation(&mut reader.conn(), &federation.id).await?;
    let lives: Vec<Life> = keys.into_iter().map(|key| key.life).collect();
    Ok(view(cx, federation, counts, &lives))
}

/// Changes name, vendor, owners, notes and policy. Keys that live keep their end.
///
/// # Errors
/// Invalid; Stale when it was changed since `version`; Conflict when archived; Forbidden; NotFound.
pub async fn edit(cx: &Cx<Admin>, slug: &Slug, edit: EditFederation) -> Result<Federation, Error> {
    let policy = RotationPolicy {
        max_age_days: edit.max_age_days,
        overlap_hours: edit.overlap_hours,
        warn_days: edit.warn_days,
    };
    let before = allowed(cx, slug, Right::RunFederation, Action::FederationEdited).await?;
    let checked = check(&edit.name, &edit.vendor, &edit.owners, &edit.notes, policy)?;
    let scim = edit.scim.unwrap_or(before.scim).check()?;
    if before.version != edit.version {
        return Err(Error::Stale("this federation"));
    }
    let after = Federation {
        name: checked.name,
        vendor: checked.vendor,
        owners: checked.owners,
        notes: checked.notes,
        policy: checked.policy,
        scim,
        ..before.clone()
    };
    let mut changes = serde_json::Map::new();
    let mut compare = |field: &str, old: serde_json::Value, new: serde_json::Value| {
        if old != new {
            changes.insert(field.to_owned(), json!({ "before": old, "after": new }));
        }
    };
    compare("name", json!(before.name), json!(after.name));
    compare("vendor", json!(before.vendor), json!(after.vendor));
    compare("owners", json!(before.owners), json!(after.owners));
    compare("notes", json!(before.notes), json!(after.notes));
    compare("policy", json!(before.policy), json!(after.policy));
    compare("scim", json!(before.scim), json!(after.scim));
    if changes.is_empty() {
        return Ok(before);
    }
    let event = AuditEvent {
        detail: detail(&json!({ "changes": changes })),
        ..about(cx, Action::FederationEdited, &after)
    };
    write(cx, after, event).await
}

/// Pauses a federation: its SCIM base answers 503 with Retry-After from now on.
///
/// # Errors
/// Conflict when it is not live; Forbidden; NotFound.
pub async fn pause(cx: &Cx<Admin>, slug: &Slug) -> Result<Federation, Error> {
    set_status(cx, slug, Right::RunFederation, Action::FederationPaused, FederationStatus::Paused).await
}

/// Resumes a paused federation.
///
/// # Errors
/// Conflict when it is not paused; Forbidden; NotFound.
pub async fn resume(cx: &Cx<Admin>, slug: &Slug) -> Result<Federation, Error> {
    set_status(cx, slug, Right::RunFederation, Action::FederationResumed, FederationStatus::Live).await
}

/// Closes a federation for good: its keys open nothing any more; its records stay.
///
/// # Errors
/// Conflict when it is archived already; Forbidden but for admins; NotFound.
pub async fn archive(cx: &Cx<Admin>, slug: &Slug) -> Result<Federation, Error> {
    set_status(cx, slug, Right::RegisterFederation, Action::FederationArchived, FederationStatus::Archived)
        .await
}

async fn set_status(
    cx: &Cx<Admin>,
    slug: &Slug,
    right: Right,
    action: Action,
    status: FederationStatus,
) -> Result<Federation, Error> {
    let before = allowed(cx, slug, right, action).await?;
    if before.status == status {
        return Err(Error::Conflict(format!("{} is {} already", before.name, status.as_str())));
    }
    let event = AuditEvent {
        detail: detail(&json!({ "before": before.status, "after": status })),
        ..about(cx, action, &before)
    };
    write(cx, Federation { status, ..before }, event).await
}

async fn write(cx: &Cx<Admin>, federation: Federation, event: AuditEvent) -> Result<Federation, Error> {
    let federation = Federation { updated_ms: cx.now_ms(), ..federation };
    let is_resumed = event.action == Action::FederationResumed;
    let is_archived = event.action == Action::FederationArchived;
    let (author, own) = (Author::of(cx), cx.keyward.clone());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::federations::update(conn, &federation).await?;
            let mut ended = Vec::new();
            if is_archived {
                let now_ms = federation.updated_ms;
                ended = crate::rotations::closed(conn, &own, &author, &federation.id, now_ms).await?;
            }
            if is_resumed {
                crate::rotations::resumed(conn, &federation.id, federation.updated_ms).await?;
            }
            let written = Federation { version: federation.version + 1, ..federation.clone() };
            Ok(Change::new(written, event.clone()).with_events(ended))
        })
        .await
}

/// The federation, when the viewer has the right and it is not archived; else the refusal is
/// recorded.
pub(crate) async fn allowed(
    cx: &Cx<Admin>,
    slug: &Slug,
    right: Right,
    action: Action,
) -> Result<Federation, Error> {
    let found = store::federations::by_slug(&mut cx.read().await?.conn(), slug).await?;
    let federation = found.ok_or(Error::NotFound("federation"))?;
    if !cx.actor.role.may(right, Some(&federation.slug)) {
        let role = cx.actor.role.as_str();
        let event = about(cx, action, &federation);
        let refused = cx.forbid(event, format!("the role {role} does not allow this")).await;
        // Who may not even see it learns nothing from the answer; the attempt is recorded.
        return if cx.actor.role.may(Right::Read, Some(slug)) { refused } else { refused.map_err(hidden) };
    }
    if federation.status == FederationStatus::Archived {
        return Err(Error::Conflict(format!("{} is archived and takes no change", federation.name)));
    }
    Ok(federation)
}

/// A refusal, told like a thing that is not there; any other failure as it is.
pub(crate) fn hidden(error: Error) -> Error {
    if matches!(error, Error::Forbidden(_)) { Error::NotFound("federation") } else { error }
}

/// An audit event about a federation.
pub(crate) fn about<A: Actor>(cx: &Cx<A>, action: Action, federation: &Federation) -> AuditEvent {
    AuditEvent {
        federation_id: Some(federation.id.clone()),
        target: Some(federation.name.clone()),
        ..cx.event(action)
    }
}

/// The federation with a slug, when the viewer may see it.
pub(crate) async fn find(cx: &Cx<Admin>, conn: &mut Conn<'_>, slug: &Slug) -> Result<Federation, Error> {
    if !cx.actor.role.may(Right::Read, Some(slug)) {
        return Err(Error::NotFound("federation"));
    }
    store::federations::by_slug(conn, slug).await?.ok_or(Error::NotFound("federation"))
}

/// The federations that the viewer may see, in order of registration.
pub(crate) async fn visible(cx: &Cx<Admin>, reader: &mut store::Reader) -> Result<Vec<Federation>, Error> {
    let mut federations = store::federations::list(&mut reader.conn()).await?;
    federations.retain(|federation| cx.actor.role.may(Right::Read, Some(&federation.slug)));
    Ok(federations)
}

fn view(cx: &Cx<Admin>, federation: Federation, counts: Counts, keys: &[Life]) -> FederationView {
    let now_ms = cx.now_ms();
    let accepted = keys.iter().filter(|life| life.state(now_ms).is_accepted()).count();
    let is_open = federation.status != FederationStatus::Archived;
    let may = |right| is_open && cx.actor.role.may(right, Some(&federation.slug));
    FederationView {
        base_url: cx.keyward.base_url(&federation.slug),
        accepted_keys: i64::try_from(accepted).unwrap_or(i64::MAX),
        users: counts.users,
        groups: counts.groups,
        last_request_ms: keys.iter().filter_map(|life| life.last_used_ms).max(),
        may_run: may(Right::RunFederation),
        may_manage_keys: may(Right::ManageKeys),
        may_archive: may(Right::RegisterFederation),
        federation,
    }
}
