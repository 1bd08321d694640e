//! What an admin sets, tests, moves and removes: where the successors of a federation's keys are brought.
//!
//! A credential is typed in once and shown never again. It stays with the place that it was typed in for:
//! another place wants it anew. Setting a target approves it: what says where the secret goes is pinned.

use std::collections::BTreeMap;

use domain::{
    Invalid, KeyId, Secret, TargetId,
    admins::{Admin, Right},
    audit::{Action, AuditEvent, Outcome},
    deliveries::{Connector, Delivery, DeliveryStep, Report, Settings, StepOutcome, TARGETS_LIMIT, Target},
    federations::{Federation, FederationStatus, Slug, check_name},
};
use serde_json::json;
use store::{Change, Conn, deliveries::StoredTarget};

use super::{credential_of, credential_place, pin};
use crate::{
    Cx, Error,
    federations::{about, allowed, find},
    ports::{DeliveryJob, Parcel},
    unit::detail,
    vault::Sealed,
};

/// Deliveries that a page shows.
const SHOWN: i64 = 50;

/// A target, as a form brings it. It holds a secret and has no Debug.
pub struct NewTarget {
    /// Which one is changed; none to add one at the end.
    pub id: Option<TargetId>,
    /// The version that was seen when the change was made up.
    pub version: i64,
    /// The word of the connector.
    pub connector: String,
    /// The name that people read.
    pub name: String,
    /// The fields of the connector, and `trusted_ca`, `public_key` and `pin_shown`: the public keys that a test
    /// showed, when whoever approves takes them for those of the target.
    pub fields: BTreeMap<String, String>,
    /// The credential; empty to keep the one that is there.
    pub credential: Secret,
}

/// Which way a target moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// It is tried before the one that was before it.
    Earlier,
    /// It is tried after the one that was after it.
    Later,
}

/// A delivery, with the names of what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The delivery.
    pub delivery: Delivery,
    /// The name of the key.
    pub key_name: String,
    /// The name of the target; none for a hand-off, and of one that was removed.
    pub target_name: Option<String>,
}

/// Where a federation's keys are brought, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The federation.
    pub federation: Federation,
    /// Its targets, the first one first.
    pub targets: Vec<Target>,
    /// The last deliveries, the newest first.
    pub deliveries: Vec<Row>,
    /// Whether the viewer may add, change and remove targets.
    pub may_set: bool,
    /// Whether the viewer may test and move them.
    pub may_run: bool,
}

/// The targets and deliveries of a federation.
///
/// # Errors
/// NotFound when the viewer may not see it.
pub async fn view(cx: &Cx<Admin>, slug: &Slug) -> Result<DeliveryPage, Error> {
    let mut reader = cx.read().await?;
    let federation = find(cx, &mut reader.conn(), slug).await?;
    let targets: Vec<Target> = store::deliveries::targets(&mut reader.conn(), &federation.id)
        .await?
        .into_iter()
        .map(|stored| stored.target)
        .collect();
    let deliveries = store::deliveries::of_federation(&mut reader.conn(), &federation.id, SHOWN).await?;
    let keys = store::keys::of_federation(&mut reader.conn(), &federation.id).await?;
    let name_of = |id: &KeyId| keys.iter().find(|key| key.id == *id).map(|key| key.name.clone());
    let deliveries = deliveries.into_iter().map(|delivery| Row {
        key_name: name_of(&delivery.key_id).unwrap_or_default(),
        target_name: delivery
            .target_id
            .as_ref()
            .and_then(|id| targets.iter().find(|target| target.id == *id))
            .map(|target| target.name.clone()),
        delivery,
    });
    let deliveries = deliveries.collect();
    let is_open = federation.status != FederationStatus::Archived;
    let may = |right| is_open && cx.actor.role.may(right, Some(slug));
    Ok(DeliveryPage {
        may_set: may(Right::ManageKeys),
        may_run: may(Right::RunFederation),
        federation,
        targets,
        deliveries,
    })
}

async fn stored_of(cx: &Cx<Admin>, federation: &Federation) -> Result<Vec<StoredTarget>, Error> {
    Ok(store::deliveries::targets(&mut cx.read().await?.conn(), &federation.id).await?)
}

fn chosen(targets: Vec<StoredTarget>, id: &TargetId) -> Result<StoredTarget, Error> {
    targets.into_iter().find(|stored| stored.target.id == *id).ok_or(Error::NotFound("delivery target"))
}

/// Whether whatever `after` trusts with a credential was trusted with it `before`: the same place, and at most
/// fewer certificates.
fn is_within(before: &Settings, after: &Settings) -> bool {
    let (trusts, keeps) = (&before.trust, &after.trust);
    before.connection == after.connection
        && trusts.trusted_ca == keeps.trusted_ca
        && (trusts.public_key.is_empty() || trusts.public_key == keeps.public_key)
}

fn checked(
    cx: &Cx<Admin>,
    new: &NewTarget,
    others: &[StoredTarget],
    before: Option<&StoredTarget>,
) -> Result<(String, Settings), Error> {
    let mut faults = Vec::new();
    let name = check_name("name", &new.name).map_err(|fault| faults.push(fault)).ok();
    let is_taken = name.as_ref().is_some_and(|name| {
        others.iter().any(|other| {
            Some(&other.target.id) != new.id.as_ref() && other.target.name.eq_ignore_ascii_case(name)
        })
    });
    if is_taken {
        faults.push(Invalid::new("name", "another target of this federation has this name"));
    }
    let Some(connector) = Connector::parse(&new.connector) else {
        faults.push(Invalid::new("connector", "choose how the key is brought"));
        return Err(Error::Invalid(faults));
    };
    let text = |field: &str| {
        let given = |field: &str| new.fields.get(field).cloned().unwrap_or_default();
        let shown = Some(given("pin_shown")).filter(|shown| field == "public_key" && !shown.is_empty());
        shown.unwrap_or_else(|| given(field))
    };
    let settings = Settings::read(connector, text).map_err(|more| faults.extend(more)).ok();
    let credential = new.credential.expose().trim();
    if let Some(settings) = &settings {
        if let Some(Err(more)) = cx.keyward.deliveries.port.get().map(|port| port.admits(settings)) {
            faults.extend(more);
        }
        let is_same_place = before.is_some_and(|before| is_within(&before.target.settings, settings));
        if !credential.is_empty() {
            faults.extend(settings.check_credential(credential).err());
        } else if !is_same_place {
            // A credential that was typed in for one place is not sent to another.
            faults.push(Invalid::new("credential", "type in the credential for this place"));
        }
    }
    match (name, settings) {
        (Some(name), Some(settings)) if faults.is_empty() => Ok((name, settings)),
        _ => Err(Error::Invalid(faults)),
    }
}

/// Adds a target at the end, or changes one; either approves where the secret goes.
///
/// # Errors
/// Invalid with every fault; Conflict with too many; Stale; Forbidden; NotFound.
pub async fn set(cx: &Cx<Admin>, slug: &Slug, new: NewTarget) -> Result<Target, Error> {
    let federation = allowed(cx, slug, Right::ManageKeys, Action::DeliveryTargetSet).await?;
    let targets = stored_of(cx, &federation).await?;
    let before = new.id.as_ref().map(|id| chosen(targets.clone(), id)).transpose()?;
    let (name, settings) = checked(cx, &new, &targets, before.as_ref())?;
    if before.is_none() && targets.len() >= TARGETS_LIMIT {
        let text = format!("{} has {TARGETS_LIMIT} delivery targets; remove one first", federation.name);
        return Err(Error::Conflict(text));
    }
    if before.as_ref().is_some_and(|before| before.target.version != new.version) {
        return Err(Error::Stale("this delivery target"));
    }
    let now_ms = cx.now_ms();
    let id = new.id.clone().unwrap_or_else(|| TargetId::new(now_ms, cx.keyward.id_chance()));
    let version = before.as_ref().map_or(0, |before| before.target.version);
    let credential = new.credential.expose().trim();
    let kept = before.as_ref().filter(|_| credential.is_empty());
    let (sealed, seal_version) = if let Some(kept) = kept {
        let sealed = Sealed { text: kept.sealed.clone(), data_key: kept.data_key.clone() };
        (sealed, kept.seal_version)
    } else {
        let place = credential_place(&id, version + 1);
        let sealed = cx.keyward.vault.seal(cx.keyward.entropy.as_ref(), place, credential.as_bytes());
        (sealed.map_err(Error::Internal)?, version + 1)
    };
    let last = targets.iter().map(|stored| stored.target.position).max().unwrap_or_default();
    let mut target = Target {
        federation_id: federation.id.clone(),
        position: before.as_ref().map_or(last + 1, |before| before.target.position),
        id,
        name,
        settings,
        pinned: String::new(),
        approved_by: cx.actor.name.clone(),
        approved_ms: now_ms,
        last_result: None,
        version,
    };
    target.pinned = pin(&cx.keyward, &target);
    let event = AuditEvent {
        target: Some(target.name.clone()),
        detail: detail(&json!({
            "connector": target.settings.connector(), "place": target.settings.place(),
            "digest": target.settings.digest(), "certificate_pinned": !target.settings.trust.public_key.is_empty(),
            "before": before.as_ref().map(|before| before.target.settings.place()),
            "credential": if credential.is_empty() { "kept" } else { "set" },
        })),
        ..about(cx, Action::DeliveryTargetSet, &federation)
    };
    let is_new = before.is_none();
    let stored = StoredTarget { target, sealed: sealed.text, data_key: sealed.data_key, seal_version };
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            if is_new {
                store::deliveries::insert_target(conn, &stored).await?;
            } else {
                store::deliveries::update_target(conn, &stored).await?;
            }
            let target = Target { version: stored.target.version + 1, ..stored.target.clone() };
            Ok(Change::new(target, event.clone()))
        })
        .await
}

/// Removes a target, and its credential with it. What is on its way there goes to the next one.
///
/// # Errors
/// Stale; Forbidden; NotFound.
pub async fn remove(cx: &Cx<Admin>, slug: &Slug, id: &TargetId) -> Result<(), Error> {
    let federation = allowed(cx, slug, Right::ManageKeys, Action::DeliveryTargetRemoved).await?;
    let targets = stored_of(cx, &federation).await?;
    let order: Vec<TargetId> =
        targets.iter().map(|stored| stored.target.id.clone()).filter(|other| other != id).collect();
    let target = chosen(targets, id)?.target;
    let event = AuditEvent {
        target: Some(target.name.clone()),
        detail: detail(&json!({
            "connector": target.settings.connector(), "place": target.settings.place(),
        })),
        ..about(cx, Action::DeliveryTargetRemoved, &federation)
    };
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::deliveries::delete_target(conn, &target).await?;
            store::deliveries::place_targets(conn, &federation.id, &order).await?;
            Ok(Change::new((), event.clone()))
        })
        .await
}

/// Changes the order in which targets are tried.
///
/// # Errors
/// Conflict when it is at the end already; Forbidden; NotFound.
pub async fn move_target(cx: &Cx<Admin>, slug: &Slug, id: &TargetId, way: Move) -> Result<(), Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::DeliveryTargetMoved).await?;
    let event = about(cx, Action::DeliveryTargetMoved, &federation);
    let id = id.clone();
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let targets = store::deliveries::targets(conn, &federation.id).await?;
            let mut order: Vec<TargetId> = targets.iter().map(|stored| stored.target.id.clone()).collect();
            let place = order.iter().position(|other| *other == id);
            let place = place.ok_or(Error::NotFound("delivery target"))?;
            let name = targets.get(place).map(|stored| stored.target.name.clone()).unwrap_or_default();
            let other = match way {
                Move::Earlier => place.checked_sub(1),
                Move::Later => Some(place + 1).filter(|other| *other < order.len()),
            };
            let Some(other) = other else {
                return Err(Error::Conflict(format!("{name} cannot be moved any further")));
            };
            order.swap(place, other);
            store::deliveries::place_targets(conn, &federation.id, &order).await?;
            let event = AuditEvent {
                target: Some(name),
                detail: detail(&json!({ "place": other + 1 })),
                ..event.clone()
            };
            Ok(Change::new((), event))
        })
        .await
}

/// Tests a target: validate and read back, without a secret, so that nothing is written there.
///
/// # Errors
/// Forbidden; NotFound; Unavailable when this node makes no deliveries. What the target answers is in the
/// report.
pub async fn test(cx: &Cx<Admin>, slug: &Slug, id: &TargetId) -> Result<Report, Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::DeliveryTargetTested).await?;
    let stored = chosen(stored_of(cx, &federation).await?, id)?;
    let target = stored.target.clone();
    let mut report = Report { at_ms: cx.now_ms(), ..Report::default() };
    if pin(&cx.keyward, &target) == target.pinned {
        let Some(port) = cx.keyward.deliveries.port.get() else {
            return Err(Error::Conflict("this node makes no deliveries".to_owned()));
        };
        let job = DeliveryJob {
            target_id: target.id.clone(),
            version: target.version,
            settings: target.settings.clone(),
            credential: credential_of(&cx.keyward, &stored)?,
            parcel: Parcel {
                federation: federation.slug.clone(),
                base_url: cx.keyward.base_url(&federation.slug),
                delivery_id: None,
                rotation_id: None,
                key_id: None,
                last_four: String::new(),
                made_ms: cx.now_ms(),
                secret: None,
            },
        };
        for step in [DeliveryStep::Validate, DeliveryStep::ReadBack] {
            match port.step(step, &job).await {
                Ok(done) => {
                    report.note(step, StepOutcome::Done, &done.sentence, cx.now_ms());
                    report.public_key = done.public_key.or(report.public_key);
                }
                Err(fault) => {
                    report.note(step, StepOutcome::Failed, &fault.sentence, cx.now_ms());
                    report.failure = Some(fault.kind);
                    break;
                }
            }
        }
    } else {
        let sentence = "it was changed without an approval; nothing was sent. Save it to approve it";
        report.note(DeliveryStep::Validate, StepOutcome::Failed, sentence, cx.now_ms());
        report.failure = Some(domain::deliveries::FailureKind::Distrusted);
    }
    let event = AuditEvent {
        target: Some(target.name.clone()),
        outcome: Outcome::Done,
        detail: detail(&json!({ "worked": report.is_good(), "note": report.sentence() })),
        ..about(cx, Action::DeliveryTargetTested, &federation)
    };
    let kept = report.clone();
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::deliveries::set_last_result(conn, &target, &kept).await?;
            Ok(Change::new((), event.clone()))
        })
        .await?;
    Ok(report)
}
