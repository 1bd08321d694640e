//! What needs somebody today.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    DAY_MS, FederationId, KeyId, Millis,
    admins::{Admin, Right},
    audit::ChainHead,
    federations::{Federation, FederationStatus, RotationPolicy},
    findings::{Rule, Severity},
    keys::{KeyState, Proof},
    rotations::{Stage, Step},
};
use store::keys::briefs::Brief;

use crate::{
    Cx, Error,
    federations::{FederationView, with_keys},
    findings::{self, FindingView, Wanted},
    keys::{KeyView, attention_of, views_of},
    rotations::{self, RotationView},
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
    /// Findings that came first in it.
    pub findings: i64,
}

/// The overview of what the viewer may see.
pub async fn open(cx: &Cx<Admin>) -> Result<Overview, Error> {
    let now_ms = cx.now_ms();
    let (views, mut keys) = with_keys(cx).await?;
    let open: Vec<&FederationView> =
        views.iter().filter(|view| view.federation.status != FederationStatus::Archived).collect();
    let rotations = rotations::open_views(cx).await?;
    let urgent = Wanted { least: Some(Severity::High), ..Wanted::default() };
    let findings = findings::list(cx, &urgent).await?;
    let mut reader = cx.read().await?;
    let federations: BTreeMap<FederationId, &Federation> =
        open.iter().map(|view| (view.federation.id.clone(), &view.federation)).collect();
    let seen: BTreeSet<FederationId> = federations.keys().cloned().collect();
    // A canary is no key that anybody works with.
    keys.retain(|key| !key.canary && seen.contains(&key.federation_id));
    let policy = |key: &Brief| federations.get(&key.federation_id).map(|federation| federation.policy);
    keys.sort_by_cached_key(|key| policy(key).map(|policy| attention_of(key, policy, now_ms)));

    let accepted: Vec<&Brief> = keys.iter().filter(|key| key.life.state(now_ms).is_accepted()).collect();
    let over_age = |key: &Brief| policy(key).is_some_and(|policy| key.life.is_over_age(policy, now_ms));
    let inside = accepted.iter().filter(|key| !over_age(key)).count();
    let mut next = accepted.clone();
    next.sort_by_key(|key| key.life.planned_end_ms());
    let next: Vec<KeyId> = next.into_iter().take(5).map(|key| key.id.clone()).collect();

    let mut by_federation: BTreeMap<&FederationId, i64> = BTreeMap::new();
    for key in accepted.iter().filter(|key| key.proof == Proof::Static) {
        *by_federation.entry(&key.federation_id).or_default() += 1;
    }
    let mut static_keys: Vec<(Federation, i64)> = open
        .iter()
        .filter_map(|view| Some((view.federation.clone(), *by_federation.get(&view.federation.id)?)))
        .collect();
    static_keys.sort_by_key(|(_, keys)| std::cmp::Reverse(*keys));
    let needs = ranked(&open, &keys, &policy, rotations, findings, now_ms);
    let shown = needs.iter().filter_map(Wants::key).chain(&next);
    let shown = views_of(cx, &mut reader, &shown.collect::<Vec<_>>(), &federations).await?;
    let sees_all = cx.actor.role.may(Right::ReadInstallation, None);
    let audit = if sees_all { Some(store::audit::head(&mut reader.conn()).await?) } else { None };
    drop(reader);
    let hours = crate::usage::search::hours(cx, None, now_ms, HOURS).await?;
    let last_24h = || hours.iter().rev().take(24);
    Ok(Overview {
        federations: count(open.len()),
        accepted_keys: count(accepted.len()),
        inside_policy: count(inside),
        requests_24h: last_24h().map(|hour| hour.allowed + hour.denied + hour.refused).sum(),
        denied_24h: last_24h().map(|hour| hour.denied + hour.refused).sum(),
        needs: needs.into_iter().filter_map(|wants| wants.shown(&shown)).collect(),
        ending: next.iter().filter_map(|id| shown.get(id)).cloned().collect(),
        static_keys,
        audit,
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
        | Rule::StreamBehind
        | Rule::StreamGap
        | Rule::MassRemoval
        | Rule::GroupEmptied
        | Rule::ProtectedChange
        | Rule::MassRewrite
        | Rule::PrivilegedAdd
        | Rule::NewIdentity
        | Rule::NewNetwork
        | Rule::NewAgent
        | Rule::TwoNetworks
        | Rule::ManyDenials
        | Rule::DormantKey
        | Rule::UnusedKey
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

/// A need whose key has not been read in full yet.
enum Wants {
    /// Something about a key.
    Key(Makes, KeyId),
    /// Something that has been read.
    Read(Box<Need>),
}

impl Wants {
    fn key(&self) -> Option<&KeyId> {
        match self {
            Self::Key(_, id) => Some(id),
            Self::Read(_) => None,
        }
    }

    fn shown(self, keys: &BTreeMap<KeyId, KeyView>) -> Option<Need> {
        match self {
            Self::Key(need, id) => keys.get(&id).cloned().map(need),
            Self::Read(need) => Some(*need),
        }
    }
}

/// What needs somebody, the most urgent first.
fn ranked(
    federations: &[&FederationView],
    keys: &[Brief],
    policy: &impl Fn(&Brief) -> Option<RotationPolicy>,
    rotations: Vec<RotationView>,
    findings: Vec<FindingView>,
    now_ms: Millis,
) -> Vec<Wants> {
    let mut ranked: Vec<(u8, Wants)> = Vec::new();
    let read = |need: Need| Wants::Read(Box::new(need));
    for view in findings.into_iter().filter(|view| !is_told_elsewhere(view.finding.rule)) {
        let rank = if view.finding.severity == Severity::Critical { 0 } else { 2 };
        ranked.push((rank, read(Need::Finding(Box::new(view)))));
    }
    for view in rotations.into_iter().filter(waits_for_a_person) {
        ranked.push((4, read(Need::Rotation(Box::new(view)))));
    }
    let mut ended = BTreeSet::new();
    for key in keys {
        let Some((rank, need)) = need_of(key, policy(key), now_ms) else { continue };
        if key.life.state(now_ms) == KeyState::Expired {
            ended.insert(&key.federation_id);
        }
        ranked.push((rank, Wants::Key(need, key.id.clone())));
    }
    for view in federations {
        match view.federation.status {
            FederationStatus::Paused => ranked.push((6, read(Need::Paused((*view).clone())))),
            // That its key has expired says it already.
            FederationStatus::Live if view.accepted_keys == 0 && !ended.contains(&view.federation.id) => {
                ranked.push((7, read(Need::NoKey((*view).clone()))));
            }
            FederationStatus::Live | FederationStatus::Archived => {}
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.truncate(NEEDS);
    ranked.into_iter().map(|(_, wants)| wants).collect()
}

/// What a need is made of its key by.
type Makes = fn(KeyView) -> Need;

/// What a key needs a person for, and how urgent that is.
fn need_of(key: &Brief, policy: Option<RotationPolicy>, now_ms: Millis) -> Option<(u8, Makes)> {
    let policy = policy?;
    let life = &key.life;
    let is_orphan = !key.has_successor;
    let is_new = now_ms - life.issued_ms <= DAY_MS;
    match life.state(now_ms) {
        // An expired key that another has taken over from by hand is history, not a need.
        KeyState::Expired if is_orphan && now_ms - life.ends_ms() < 30 * DAY_MS => Some((1, Need::Ended)),
        KeyState::Held => Some((5, Need::Held)),
        KeyState::Unused | KeyState::InUse if life.ends_soon(policy, now_ms) => Some((3, Need::EndsSoon)),
        KeyState::Unused | KeyState::InUse if is_orphan && life.is_over_age(policy, now_ms) => {
            Some((4, Need::OverAge))
        }
        // The rotation of a successor says how it stands.
        KeyState::Unused if is_orphan && !key.has_predecessor && !is_new => Some((8, Need::NeverUsed)),
        KeyState::Unused
        | KeyState::InUse
        | KeyState::Retiring
        | KeyState::Expired
        | KeyState::Retired
        | KeyState::Revoked => None,
    }
}
