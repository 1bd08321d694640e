//! What needs somebody today.

use std::collections::BTreeSet;

use domain::{
    DAY_MS, FederationId, HOUR_MS, Millis,
    admins::{Admin, Right},
    audit::ChainHead,
    federations::{Federation, FederationStatus},
    findings::{Rule, Severity},
    keys::{KeyState, Proof},
    rotations::{Stage, Step},
    usage::Decision,
};

use crate::{
    Cx, Error,
    federations::{FederationView, list as list_federations},
    findings::{self, FindingView, Wanted},
    keys::{KeyView, attention, of_federations},
    rotations::{self, BoardFilter, RotationView},
};

/// The most needs that are shown.
const NEEDS: usize = 20;

/// How many hours the chart shows.
const HOURS: i64 = 48;

/// The first page.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Federations that are not archived.
    pub federations: i64,
    /// Keys that are accepted now.
    pub accepted_keys: i64,
    /// Accepted keys that are not older than their policy allows.
    pub inside_policy: i64,
    /// Requests in the last 24 hours that presented a key.
    pub requests_24h: i64,
    /// Those of them that were denied or refused.
    pub denied_24h: i64,
    /// What needs somebody, the most urgent first; at most 20.
    pub needs: Vec<Need>,
    /// The last 48 hours, oldest first.
    pub hours: Vec<HourCount>,
    /// The accepted keys that end next; at most 5.
    pub ending: Vec<KeyView>,
    /// The federations whose accepted keys are static, and how many are; the most first.
    pub static_keys: Vec<(Federation, i64)>,
    /// The end of the audit chain; `None` for who may not read the whole of it.
    pub audit: Option<ChainHead>,
}

/// Something that needs somebody.
#[derive(Debug, Clone)]
pub enum Need {
    /// A key has expired and nothing replaces it.
    Ended(KeyView),
    /// A key ends within the warning time and has no successor.
    EndsSoon(KeyView),
    /// Something is not as it should be, and a person should look today.
    Finding(Box<FindingView>),
    /// A rotation does not go on by itself.
    Rotation(Box<RotationView>),
    /// A key is held.
    Held(KeyView),
    /// A key is older than its policy allows, and has no successor.
    OverAge(KeyView),
    /// A federation is paused.
    Paused(FederationView),
    /// A live federation has no accepted key.
    NoKey(FederationView),
    /// A key was issued more than a day ago and never used.
    NeverUsed(KeyView),
}

/// Requests of one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourCount {
    /// When the hour began.
    pub start_ms: Millis,
    /// Accepted and allowed.
    pub allowed: i64,
    /// Accepted and denied.
    pub denied: i64,
    /// Not accepted.
    pub refused: i64,
}

/// The overview of what the viewer may see.
pub async fn open(cx: &Cx<Admin>) -> Result<Overview, Error> {
    let now_ms = cx.now_ms();
    let views = list_federations(cx).await?;
    let open: Vec<&FederationView> =
        views.iter().filter(|view| view.federation.status != FederationStatus::Archived).collect();
    let rotations = rotations::board(cx, &BoardFilter::default()).await?.open;
    let urgent = Wanted { least: Some(Severity::High), ..Wanted::default() };
    let findings = findings::list(cx, &urgent).await?;
    let mut reader = cx.read().await?;
    let federations: Vec<Federation> = open.iter().map(|view| view.federation.clone()).collect();
    let seen: BTreeSet<FederationId> = federations.iter().map(|federation| federation.id.clone()).collect();
    let mut keys = of_federations(cx, &mut reader, federations).await?;
    // A canary is no key that anybody works with.
    keys.retain(|view| !view.key.canary);
    keys.sort_by_key(attention);

    let accepted: Vec<&KeyView> = keys.iter().filter(|view| view.state.is_accepted()).collect();
    let inside = accepted.iter().filter(|view| !view.over_age).count();
    let mut ending: Vec<KeyView> = accepted.iter().map(|view| (*view).clone()).collect();
    ending.sort_by_key(|view| view.key.life.planned_end_ms());
    ending.truncate(5);

    let mut static_keys: Vec<(Federation, i64)> = open
        .iter()
        .map(|view| {
            let is_static =
                |key: &&&KeyView| key.key.proof == Proof::Static && key.federation.id == view.federation.id;
            (view.federation.clone(), count(accepted.iter().filter(is_static).count()))
        })
        .filter(|(_, keys)| *keys > 0)
        .collect();
    static_keys.sort_by_key(|(_, keys)| std::cmp::Reverse(*keys));

    let first_hour = now_ms / HOUR_MS - HOURS + 1;
    let mut hours: Vec<HourCount> = (first_hour..first_hour + HOURS)
        .map(|hour| HourCount { start_ms: hour * HOUR_MS, allowed: 0, denied: 0, refused: 0 })
        .collect();
    let sees_all = cx.actor.role.may(Right::ReadInstallation, None);
    for count in store::usage::by_hour(&mut reader.conn(), first_hour * HOUR_MS).await? {
        if !count.federation_id.as_ref().map_or(sees_all, |id| seen.contains(id)) {
            continue;
        }
        let place = usize::try_from(count.hour - first_hour).ok();
        if let Some(hour) = place.and_then(|place| hours.get_mut(place)) {
            match count.decision {
                Decision::Allowed => hour.allowed += count.count,
                Decision::Denied => hour.denied += count.count,
                Decision::Refused => hour.refused += count.count,
            }
        }
    }
    let last_24h = || hours.iter().rev().take(24);
    Ok(Overview {
        federations: count(open.len()),
        accepted_keys: count(accepted.len()),
        inside_policy: count(inside),
        requests_24h: last_24h().map(|hour| hour.allowed + hour.denied + hour.refused).sum(),
        denied_24h: last_24h().map(|hour| hour.denied + hour.refused).sum(),
        needs: needs(&open, &keys, rotations, findings, now_ms),
        ending,
        static_keys,
        audit: if sees_all { Some(store::audit::head(&mut reader.conn()).await?) } else { None },
        hours,
    })
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The findings that keys and rotations do not say by themselves already.
fn is_told_elsewhere(rule: Rule) -> bool {
    match rule {
        Rule::Expired | Rule::EndsSoon | Rule::OverAge | Rule::NoProof | Rule::StillUsed => true,
        Rule::TwoHolders
        | Rule::EndedKeyUsed
        | Rule::DeliveryFailed
        | Rule::HandOffWaits
        | Rule::ClockJumped
        | Rule::ChannelFailed
        | Rule::CanaryUsed
        | Rule::LeakReported
        | Rule::AuditBroken
        | Rule::AuditRolledBack
        | Rule::CheckpointOverdue
        | Rule::AnchorFailed
        | Rule::MassRemoval
        | Rule::GroupEmptied
        | Rule::MassRewrite
        | Rule::PrivilegedAdd
        | Rule::NewIdentity
        | Rule::NewNetwork
        | Rule::NewAgent
        | Rule::TwoNetworks
        | Rule::ManyDenials
        | Rule::DormantKey
        | Rule::OffSchedule
        | Rule::Silence
        | Rule::ManyFailures
        | Rule::Enumeration
        | Rule::CreateBurst
        | Rule::UnknownKeys
        | Rule::CanaryResource
        | Rule::NewAttribute
        | Rule::AdminPlane => false,
    }
}

/// Whether a rotation waits for a person: its overlap is over, somebody stopped it, or somebody has to hand
/// the key over.
fn waits_for_a_person(view: &RotationView) -> bool {
    match view.rotation.stage {
        Stage::Stalled(_) | Stage::Held(_) => true,
        Stage::Open(Step::Issued) => {
            view.deliveries.first().is_some_and(|brought| brought.delivery.target_id.is_none())
        }
        Stage::Open(Step::Delivered | Step::Tested | Step::InUse | Step::Draining)
        | Stage::Retired
        | Stage::RolledBack
        | Stage::Revoked => false,
    }
}

fn needs(
    federations: &[&FederationView],
    keys: &[KeyView],
    rotations: Vec<RotationView>,
    findings: Vec<FindingView>,
    now_ms: Millis,
) -> Vec<Need> {
    let mut ranked: Vec<(u8, Need)> = Vec::new();
    for view in findings.into_iter().filter(|view| !is_told_elsewhere(view.finding.rule)) {
        let rank = if view.finding.severity == Severity::Critical { 0 } else { 2 };
        ranked.push((rank, Need::Finding(Box::new(view))));
    }
    for view in rotations.into_iter().filter(waits_for_a_person) {
        ranked.push((4, Need::Rotation(Box::new(view))));
    }
    for view in keys {
        let is_orphan = view.key.successor_id.is_none();
        match view.state {
            // An expired key that another has taken over from by hand is history, not a need.
            KeyState::Expired if is_orphan && now_ms - view.key.life.ends_ms() < 30 * DAY_MS => {
                ranked.push((1, Need::Ended(view.clone())));
            }
            KeyState::Held => ranked.push((5, Need::Held(view.clone()))),
            KeyState::Unused | KeyState::InUse if view.ends_soon => {
                ranked.push((3, Need::EndsSoon(view.clone())));
            }
            KeyState::Unused | KeyState::InUse if view.over_age && is_orphan => {
                ranked.push((4, Need::OverAge(view.clone())));
            }
            KeyState::Unused
                if is_orphan && !is_successor(view) && now_ms - view.key.life.issued_ms > DAY_MS =>
            {
                ranked.push((8, Need::NeverUsed(view.clone())));
            }
            KeyState::Unused
            | KeyState::InUse
            | KeyState::Retiring
            | KeyState::Expired
            | KeyState::Retired
            | KeyState::Revoked => {}
        }
    }
    for view in federations {
        match view.federation.status {
            FederationStatus::Paused => ranked.push((6, Need::Paused((*view).clone()))),
            // That its key has expired says it already.
            FederationStatus::Live if view.accepted_keys == 0 && !has_ended(&ranked, view) => {
                ranked.push((7, Need::NoKey((*view).clone())));
            }
            FederationStatus::Live | FederationStatus::Archived => {}
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.truncate(NEEDS);
    ranked.into_iter().map(|(_, need)| need).collect()
}

fn has_ended(ranked: &[(u8, Need)], view: &FederationView) -> bool {
    ranked.iter().any(|(_, need)| matches!(need, Need::Ended(key) if key.federation.id == view.federation.id))
}

/// Whether its rotation says how it stands.
fn is_successor(view: &KeyView) -> bool {
    view.key.predecessor_id.is_some()
}
