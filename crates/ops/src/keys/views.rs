//! Keys as people see them.

use std::collections::BTreeMap;

use domain::{
    FederationId, KeyId, Millis,
    admins::{Admin, Right},
    federations::{Federation, FederationStatus, RotationPolicy, Slug},
    keys::{Key, KeyState, Life, Proof},
};
use store::keys::briefs::Brief;

use crate::{Cx, Error, federations::visible};

/// A key and what is known around it.
#[derive(Debug, Clone)]
pub struct KeyView {
    /// The key.
    pub key: Key,
    /// Its federation.
    pub federation: Federation,
    /// The SCIM base URL.
    pub base_url: String,
    /// Its state now.
    pub state: KeyState,
    /// Whether it ends within the warning time of its policy, without a successor.
    pub ends_soon: bool,
    /// Whether it is older than its policy allows.
    pub over_age: bool,
    /// Whether the viewer may rotate and revoke it.
    pub may_manage: bool,
}

/// Which keys to list; every field narrows.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    /// Of one federation.
    pub federation: Option<Slug>,
    /// Only keys that are accepted now.
    pub accepted_only: bool,
    /// In one state.
    pub state: Option<KeyState>,
    /// Whose holders prove themselves so.
    pub proof: Option<Proof>,
    /// Part of the name, the last four, the issuer or the federation's name, ignoring case.
    pub text: Option<String>,
}

/// The keys that the viewer may see; what needs attention first, then the next to end.
pub async fn list(cx: &Cx<Admin>, filter: &KeyFilter) -> Result<Vec<KeyView>, Error> {
    let mut reader = cx.read().await?;
    let mut federations = visible(cx, &mut reader).await?;
    let keys = if let Some(slug) = &filter.federation {
        federations.retain(|federation| federation.slug == *slug);
        let Some(federation) = federations.first() else { return Ok(Vec::new()) };
        store::keys::of_federation(&mut reader.conn(), &federation.id).await?
    } else {
        store::keys::list(&mut reader.conn()).await?
    };
    let by_id: BTreeMap<FederationId, Federation> =
        federations.into_iter().map(|federation| (federation.id.clone(), federation)).collect();
    let mut views: Vec<KeyView> = keys
        .into_iter()
        .filter_map(|key| by_id.get(&key.federation_id).map(|federation| view_of(cx, key, federation)))
        .collect();
    views.retain(|view| matches(filter, view));
    views.sort_by_key(attention);
    Ok(views)
}

/// What was understood of the requests of a key although no standard says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tolerated {
    /// How "this provider …" ends.
    pub sentence: &'static str,
    /// How many requests.
    pub count: i64,
    /// The first of them.
    pub first_ms: Millis,
    /// The last of them.
    pub last_ms: Millis,
}

/// What was tolerated of a key, the most frequent first.
///
/// # Errors
/// NotFound when there is no such key, or none that the viewer may see.
pub async fn tolerances(cx: &Cx<Admin>, id: &KeyId) -> Result<Vec<Tolerated>, Error> {
    let view = open(cx, id).await?;
    let mut reader = cx.read().await?;
    let found = store::keys::tolerances(&mut reader.conn(), &view.federation.id, id).await?;
    // A word that this version does not know any more says nothing to anybody.
    let tolerated = found.into_iter().filter_map(|(word, seen)| {
        let sentence = scim::Tolerance::from_word(&word)?.sentence();
        Some(Tolerated { sentence, count: seen.count, first_ms: seen.first_ms, last_ms: seen.last_ms })
    });
    let mut tolerated: Vec<Tolerated> = tolerated.collect();
    tolerated.sort_by_key(|seen| std::cmp::Reverse(seen.count));
    Ok(tolerated)
}

/// One key.
///
/// # Errors
/// NotFound when there is none, or none that the viewer may see.
pub async fn open(cx: &Cx<Admin>, id: &KeyId) -> Result<KeyView, Error> {
    let mut reader = cx.read().await?;
    let found = store::keys::with_federation(&mut reader.conn(), id).await?;
    let (stored, federation) = found.ok_or(Error::NotFound("key"))?;
    if !cx.actor.role.may(Right::Read, Some(&federation.slug)) {
        return Err(Error::NotFound("key"));
    }
    Ok(view_of(cx, stored.key, &federation))
}

fn matches(filter: &KeyFilter, view: &KeyView) -> bool {
    let key = &view.key;
    let fields = [&key.name, &key.last_four, &key.issued_by, &view.federation.name];
    leaves(filter, &view.federation.slug, view.state, key.proof, fields)
}

/// Whether a filter leaves a key of which this is known.
pub(super) fn leaves(
    filter: &KeyFilter,
    slug: &Slug,
    state: KeyState,
    proof: Proof,
    fields: [&String; 4],
) -> bool {
    let of_federation = filter.federation.as_ref().is_none_or(|wanted| wanted == slug);
    let accepted = !filter.accepted_only || state.is_accepted();
    let in_state = filter.state.is_none_or(|wanted| wanted == state);
    let proven = filter.proof.is_none_or(|wanted| wanted == proof);
    let text = filter.text.as_deref().unwrap_or_default().trim().to_lowercase();
    let is_named = || fields.into_iter().any(|field| field.to_lowercase().contains(&text));
    of_federation && accepted && in_state && proven && (text.is_empty() || is_named())
}

/// The keys with these ids, as people see them; those of other federations are left out.
pub(crate) async fn views_of(
    cx: &Cx<Admin>,
    reader: &mut store::Reader,
    ids: &[&KeyId],
    federations: &BTreeMap<FederationId, &Federation>,
) -> Result<BTreeMap<KeyId, KeyView>, Error> {
    let keys = store::keys::briefs::of_ids(&mut reader.conn(), ids).await?;
    let views = keys.into_iter().filter_map(|(id, key)| {
        let federation = federations.get(&key.federation_id)?;
        Some((id, view_of(cx, key, federation)))
    });
    Ok(views.collect())
}

fn view_of(cx: &Cx<Admin>, key: Key, federation: &Federation) -> KeyView {
    let now_ms = cx.now_ms();
    let is_open = federation.status != FederationStatus::Archived;
    KeyView {
        base_url: cx.keyward.base_url(&federation.slug),
        state: key.life.state(now_ms),
        ends_soon: key.life.ends_soon(federation.policy, now_ms),
        over_age: !key.canary && key.life.is_over_age(federation.policy, now_ms),
        may_manage: is_open && cx.actor.role.may(Right::ManageKeys, Some(&federation.slug)),
        federation: federation.clone(),
        key,
    }
}

/// The order of attention: expired without a successor, over age, ending soon, in overlap, living,
/// ended; within each the next to end, ended ones the last to end first.
fn attention(view: &KeyView) -> (u8, Millis) {
    rank(&view.key.life, view.state, view.key.successor_id.is_some(), view.over_age, view.ends_soon)
}

/// As [`attention`], of a key that was read short.
pub(crate) fn attention_of(key: &Brief, policy: RotationPolicy, now_ms: Millis) -> (u8, Millis) {
    let over_age = !key.canary && key.life.is_over_age(policy, now_ms);
    let ends_soon = key.life.ends_soon(policy, now_ms);
    rank(&key.life, key.life.state(now_ms), key.has_successor, over_age, ends_soon)
}

fn rank(life: &Life, state: KeyState, has_successor: bool, over_age: bool, ends_soon: bool) -> (u8, Millis) {
    let ends_ms = life.planned_end_ms();
    match state {
        KeyState::Held => (0, ends_ms),
        KeyState::Expired if !has_successor => (0, -ends_ms),
        KeyState::Unused | KeyState::InUse if over_age => (1, ends_ms),
        KeyState::Unused | KeyState::InUse if ends_soon => (2, ends_ms),
        KeyState::Retiring => (3, ends_ms),
        KeyState::Unused | KeyState::InUse => (4, ends_ms),
        KeyState::Expired | KeyState::Retired | KeyState::Revoked => (5, -ends_ms),
    }
}
