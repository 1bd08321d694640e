//! Tightening a key to what is used: from the usage records of its last weeks, the smallest scope that would
//! have let all of it through, and what of the present scope falls away.
//!
//! - [`propose`] shows it with its evidence; nothing is changed.
//! - [`narrow`] gives a key a narrower scope: at once, or to its successor at the next rotation. Never a
//!   wider one: who needs more issues a key, and says why.

mod evidence;

use domain::{
    DAY_MS, Invalid, KeyId, Millis,
    admins::Admin,
    audit::Action,
    keys::Key,
    scopes::{Scope, words::Difference},
    usage::{Decision, filter::UsageFilter},
};
use serde_json::json;
use store::{Change, Conn, usage::search};

use self::evidence::Evidence;
pub use self::evidence::Seen;
use crate::{
    Cx, Error, behaviour,
    keys::{KeyView, managed},
    rotations::Author,
    scoped,
    unit::detail,
};

/// The days that a proposal may look back over.
pub const DAYS: std::ops::RangeInclusive<i64> = 14..=90;

/// The most requests that a proposal looks at, the newest ones.
pub const MOST_RECORDS: u64 = 2_000_000;

/// Requests in one page of a walk.
const PAGE: usize = 2_000;

/// What a key could be tightened to.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The key.
    pub view: KeyView,
    /// Over how many days was looked back.
    pub days: i64,
    /// The first and the last request that was looked at.
    pub seen_ms: Option<(Millis, Millis)>,
    /// How many requests were looked at.
    pub requests: u64,
    /// The smallest scope that would have let all of them through.
    pub scope: Scope,
    /// How it differs from what the key has.
    pub differences: Vec<Difference>,
    /// What each part rests on.
    pub evidence: Vec<Seen>,
    /// Why it must not be applied yet; none when it may.
    pub too_early: Option<String>,
}

/// When a narrower scope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once: requests that are under way are refused by it as well.
    Now,
    /// For the successor, from the next rotation on.
    NextRotation,
}

/// What a key could be tightened to, from the last `days` of it and of the keys that it replaced.
///
/// # Errors
/// Invalid for fewer than 14 days or more than 90; NotFound when the viewer may not see the key.
pub async fn propose(cx: &Cx<Admin>, id: &KeyId, days: i64) -> Result<Proposal, Error> {
    if !DAYS.contains(&days) {
        let text = format!("{} to {} days are possible, not {days}", DAYS.start(), DAYS.end());
        return Err(Error::invalid("days", text));
    }
    let view = crate::keys::open(cx, id).await?;
    let now_ms = cx.now_ms();
    let from_ms = now_ms - days * DAY_MS;
    let federation_id = &view.federation.id;
    let mut evidence = Evidence::default();
    let mut is_cut = false;
    let line = store::keys::line(&mut cx.read().await?.conn(), federation_id, id).await?;
    for key_id in line {
        let filter = UsageFilter {
            key_id: Some(key_id),
            from_ms: Some(from_ms),
            decision: Some(Decision::Allowed),
            ..UsageFilter::default()
        };
        let of = [Some(federation_id.clone())];
        let mut place = None;
        loop {
            let budget = search::Budget { rows: usize::MAX, records: usize::MAX };
            // Between two pages the reader is given back: others wait for one as well.
            let mut reader = cx.read().await?;
            let found = search::page(&mut reader.conn(), &of, &filter, place.as_ref(), PAGE, budget).await?;
            drop(reader);
            for record in &found.records {
                evidence.add(record);
            }
            is_cut |= evidence.requests >= MOST_RECORDS;
            place = found.next;
            if place.is_none() || is_cut {
                break;
            }
        }
        if is_cut {
            break;
        }
    }
    let scope = evidence.scope(&view.key.scope);
    let too_early = evidence.too_early(is_cut);
    let differences = view.key.scope.differences(&scope);
    let (requests, seen_ms) = (evidence.requests, evidence.seen_ms());
    Ok(Proposal {
        days,
        seen_ms,
        requests,
        differences,
        evidence: evidence.told(&view.key.scope),
        scope,
        too_early,
        view,
    })
}

/// Gives a key a narrower scope. `version` is that of the key as the change was made up.
///
/// # Errors
/// Invalid with every fault, and for a scope that allows what the key's does not; Conflict when the key has
/// ended; Stale when it was changed since; Forbidden; NotFound.
pub async fn narrow(
    cx: &Cx<Admin>,
    id: &KeyId,
    version: i64,
    scope: Scope,
    when: When,
) -> Result<Key, Error> {
    let action = match when {
        When::Now => Action::KeyNarrowed,
        When::NextRotation => Action::KeyNextScopeSet,
    };
    let (key, federation) = managed(cx, id, action).await?;
    let mut reader = cx.read().await?;
    let scope = scoped::issue::check(&cx.keyward, &mut reader.conn(), &federation, scope).await?;
    drop(reader);
    if key.version != version {
        return Err(Error::Stale("this key"));
    }
    if !scope.is_within(&key.scope) {
        return Err(Invalid::new(
            "scope",
            "this would allow what the key may not do now; a wider scope is given by issuing a key",
        )
        .into());
    }
    let now_ms = cx.now_ms();
    let (author, id, own) = (Author::of(cx), id.clone(), cx.clone());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let before = store::keys::by_id(conn, &id).await?.ok_or(Error::NotFound("key"))?.key;
            if before.version != version {
                return Err(Error::Stale("this key"));
            }
            let state = before.life.state(now_ms);
            if !state.is_accepted() || before.successor_id.is_some() {
                let text = if before.successor_id.is_some() {
                    format!("{} has a successor already: tighten that one", before.name)
                } else {
                    format!("{} has ended: {}", before.name, state.label().to_lowercase())
                };
                return Err(Error::Conflict(text));
            }
            let mut after = before.clone();
            match when {
                When::Now => {
                    after.scope = scope.clone();
                    // A successor that was to get less than this gets no more now.
                    after.next_scope = before.next_scope.as_ref().map(|next| next.narrowed_to(&scope));
                    if !scope.is_full_directory() {
                        after.justification = None;
                    }
                }
                When::NextRotation => {
                    behaviour::widened_later(conn, &own, &federation, &before, &scope, now_ms).await?;
                    after.next_scope = Some(scope.clone());
                }
            }
            store::keys::rescope(conn, &before, &after).await?;
            after.version += 1;
            let changes: Vec<_> = before
                .scope
                .differences(&scope)
                .into_iter()
                .map(|change| json!({ "what": change.dimension, "before": change.before, "after": change.after }))
                .collect();
            let told = detail(&json!({ "scope": scope, "changes": changes, "last_four": before.last_four }));
            let event = author.event(action, &before, now_ms, told);
            Ok(Change::new(after, event))
        })
        .await
}
