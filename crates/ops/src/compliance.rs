//! Compliance: every federation against its policy, the statements that people sign about it, and the pack that
//! is handed to an auditor.
//!
//! Everything of a page is read in a fixed number of queries, however many federations there are, and computed
//! by [`domain::compliance`]. Nothing is kept: the past is in the records of keys, rotations, exceptions and
//! policies.

pub mod attestations;
pub mod evidence;

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    DAY_MS, FederationId, KeyId, Millis,
    admins::{Admin, Right},
    compliance::{Assessed, Counted, KeyPast, Limits, Past, Point, Status, UNUSED_MS, known_since_ms, trend},
    federations::{Federation, FederationStatus, RotationPolicy, Vendor},
    keys::Key,
    rotations::policy::PolicyException,
};
use serde_json::Value;

use crate::{Cx, Error};

/// How many federations a page shows.
pub const PAGE: usize = 50;

/// How far the trend looks back, with room for the longest of months.
const LOOK_BACK_MS: Millis = 372 * DAY_MS;

/// A federation on the board.
#[derive(Debug, Clone)]
pub struct Row {
    /// The federation.
    pub federation: Federation,
    /// How it stands.
    pub assessed: Assessed,
    /// What its policy asks.
    pub limits: Limits,
    /// Its accepted keys, the oldest first.
    pub keys: Vec<Key>,
    /// Those of them with the full directory.
    pub full_directory: Vec<KeyId>,
    /// Those of them that are older than 30 days or so and did no work for as long.
    pub unused: Vec<KeyId>,
    /// How many of its findings are open.
    pub findings: i64,
    /// When a compromise was last answered to the end. Rehearsals are not recorded yet.
    pub recovered_ms: Option<Millis>,
    /// Its exceptions that are open, the first to end first.
    pub exceptions: Vec<PolicyException>,
}

impl Row {
    fn place(&self) -> Place {
        // What has no limit comes after what has one.
        let limit_ms = self.assessed.limit_ms.unwrap_or(Millis::MAX);
        (self.assessed.status, limit_ms, self.federation.slug.to_string())
    }
}

/// The place of a federation in the order of attention.
type Place = (Status, Millis, String);

/// What is looked for; every field narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of one status.
    pub status: Option<Status>,
    /// Of one vendor.
    pub vendor: Option<Vendor>,
    /// Of one owner, by name.
    pub owner: Option<String>,
    /// With this in name, short name or the name of an owner, whatever its case.
    pub text: Option<String>,
}

impl Filter {
    fn admits(&self, row: &Row) -> bool {
        let federation = &row.federation;
        let has_text = |text: &String| {
            let text = text.trim().to_lowercase();
            federation.name.to_lowercase().contains(&text)
                || federation.slug.as_str().contains(&text)
                || federation.owners.iter().any(|owner| owner.to_lowercase().contains(&text))
        };
        self.status.is_none_or(|status| row.assessed.status == status)
            && self.vendor.is_none_or(|vendor| federation.vendor == vendor)
            && self.owner.as_ref().is_none_or(|owner| federation.owners.contains(owner))
            && self.text.as_ref().is_none_or(has_text)
    }
}

/// The board.
#[derive(Debug, Clone)]
pub struct Board {
    /// A page of what fits the filter, what needs somebody first.
    pub rows: Vec<Row>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// How many fit the filter.
    pub found: usize,
    /// How many of all that the viewer may see stand how.
    pub counted: Counted,
    /// The same by status, in the order of attention.
    pub by_status: Vec<(Status, usize)>,
    /// The last twelve months.
    pub trend: Vec<Point>,
    /// Since when there are records.
    pub since_ms: Option<Millis>,
    /// Every open exception with its federation, the first to end first.
    pub exceptions: Vec<(Federation, PolicyException)>,
    /// The owners of all, for a filter.
    pub owners: Vec<String>,
    /// Whether the viewer may sign the state of a period.
    pub may_attest: bool,
    /// Whether the viewer may read what others signed, and take the evidence along.
    pub may_hand_over: bool,
}

/// Everything that a board, a statement and a pack are made of.
pub(crate) struct Survey {
    /// In the order of attention.
    pub rows: Vec<Row>,
    /// Every federation, archived ones too.
    pub pasts: Vec<Past>,
    /// Every key that is no canary, of every federation.
    pub keys: Vec<Key>,
    pub counted: Counted,
    pub now_ms: Millis,
}

impl Survey {
    /// Everything that the viewer may see, in a fixed number of queries.
    pub async fn read(cx: &Cx<Admin>) -> Result<Self, Error> {
        let now_ms = cx.now_ms();
        let mut reader = cx.read().await?;
        let federations = crate::federations::visible(cx, &mut reader).await?;
        let conn = &mut reader.conn();
        let (defaults, _) = crate::policies::defaults_in(conn).await?;
        let seen: BTreeSet<&FederationId> = federations.iter().map(|federation| &federation.id).collect();
        let mut keys = store::keys::list(conn).await?;
        keys.retain(|key| !key.canary && seen.contains(&key.federation_id));
        let mut exceptions = grouped(store::policies::ending_after(conn, 0).await?, |exception| {
            exception.federation_id.clone()
        });
        let mut changes =
            grouped(store::attestations::policy_changes(conn, now_ms - LOOK_BACK_MS).await?, |change| {
                change.federation_id.clone()
            });
        let mut findings: BTreeMap<FederationId, i64> = BTreeMap::new();
        for (federation_id, _, count) in store::findings::count_open(conn).await? {
            if let Some(id) = federation_id {
                *findings.entry(id).or_default() += count;
            }
        }
        let recovered: BTreeMap<FederationId, Millis> =
            store::cases::answered(conn).await?.into_iter().collect();
        drop(reader);

        let issued: BTreeMap<&KeyId, Millis> = keys.iter().map(|key| (&key.id, key.life.issued_ms)).collect();
        let mut pasts_of: BTreeMap<FederationId, Vec<KeyPast>> = BTreeMap::new();
        let mut keys_of: BTreeMap<FederationId, Vec<Key>> = BTreeMap::new();
        for key in &keys {
            let successor_ms = key.successor_id.as_ref().and_then(|id| issued.get(id)).copied();
            pasts_of.entry(key.federation_id.clone()).or_default().push(KeyPast::of(key, successor_ms));
            if key.life.state(now_ms).is_accepted() {
                keys_of.entry(key.federation_id.clone()).or_default().push(key.clone());
            }
        }
        let (mut rows, mut pasts, mut counted) = (Vec::new(), Vec::new(), Counted::default());
        for federation in federations {
            let id = federation.id.clone();
            let effective = federation.rotation.effective(federation.policy, &defaults);
            let limits =
                Limits { max_age_ms: effective.max_age_ms, rotate_before_ms: effective.rotate_before_ms };
            let is_archived = federation.status == FederationStatus::Archived;
            let past = Past {
                id: id.clone(),
                created_ms: federation.created_ms,
                // What is archived takes no change after that.
                archived_ms: is_archived.then_some(federation.updated_ms),
                keys: pasts_of.remove(&id).unwrap_or_default(),
                exceptions: exceptions.remove(&id).unwrap_or_default(),
                limits,
                before: policies_before(&changes.remove(&id).unwrap_or_default()),
            };
            if let Some(assessed) = past.at(now_ms).filter(|_| !is_archived) {
                counted.add(assessed.status);
                let mut own = keys_of.remove(&id).unwrap_or_default();
                own.sort_by(|a, b| (a.life.issued_ms, &a.id).cmp(&(b.life.issued_ms, &b.id)));
                let mut open: Vec<PolicyException> =
                    past.exceptions.iter().filter(|one| one.is_open(now_ms)).cloned().collect();
                open.sort_by(|a, b| (a.ends_ms, &a.id).cmp(&(b.ends_ms, &b.id)));
                rows.push(Row {
                    full_directory: ids(&own, |key| key.scope.is_full_directory()),
                    unused: ids(&own, |key| is_unused(key, now_ms)),
                    findings: findings.get(&id).copied().unwrap_or_default(),
                    recovered_ms: recovered.get(&id).copied(),
                    exceptions: open,
                    keys: own,
                    limits,
                    assessed,
                    federation,
                });
            }
            pasts.push(past);
        }
        rows.sort_by_cached_key(Row::place);
        Ok(Self { rows, pasts, keys, counted, now_ms })
    }
}

fn grouped<T>(all: Vec<T>, of: impl Fn(&T) -> FederationId) -> BTreeMap<FederationId, Vec<T>> {
    let mut groups: BTreeMap<FederationId, Vec<T>> = BTreeMap::new();
    for one in all {
        groups.entry(of(&one)).or_default().push(one);
    }
    groups
}

fn ids(keys: &[Key], test: impl Fn(&Key) -> bool) -> Vec<KeyId> {
    keys.iter().filter(|key| test(key)).map(|key| key.id.clone()).collect()
}

/// Whether an accepted key did no work for so long that somebody should ask what it is for.
pub(crate) fn is_unused(key: &Key, now_ms: Millis) -> bool {
    now_ms - key.life.last_work_ms.unwrap_or(key.life.issued_ms) > UNUSED_MS
}

/// What the policy of a federation was before each of its changes: until when, and the longest life of a key.
fn policies_before(changes: &[store::attestations::PolicyChange]) -> Vec<(Millis, Millis)> {
    let read = |change: &store::attestations::PolicyChange| {
        let detail: Value = serde_json::from_str(&change.detail).ok()?;
        // `policy.set` tells both policies, `federation.edited` what was changed, when it was.
        let before = detail.pointer("/before/policy").or_else(|| detail.pointer("/changes/policy/before"))?;
        let policy: RotationPolicy = serde_json::from_value(before.clone()).ok()?;
        Some((change.at_ms, policy.max_age_ms()))
    };
    changes.iter().filter_map(read).collect()
}

/// The place that a cursor names.
fn read_cursor(text: &str) -> Result<Place, Error> {
    let read = || {
        let (status, rest) = text.split_once('.')?;
        let (limit_ms, slug) = rest.split_once('.')?;
        Some((Status::parse(status)?, limit_ms.parse().ok()?, slug.to_owned()))
    };
    read().ok_or_else(|| Error::invalid("after", "this is no place on the board"))
}

/// Every federation that the viewer may see against its policy: those that fit a filter, from a place on.
///
/// # Errors
/// Invalid for a cursor that is none.
pub async fn board(cx: &Cx<Admin>, filter: &Filter, after: Option<&str>) -> Result<Board, Error> {
    let after = after.map(read_cursor).transpose()?;
    let survey = Survey::read(cx).await?;
    let trend = trend(&survey.pasts, survey.now_ms);
    let since_ms = known_since_ms(&survey.pasts);
    let count = |status| survey.rows.iter().filter(|row| row.assessed.status == status).count();
    let by_status = Status::ALL.into_iter().map(|status| (status, count(status))).collect();
    let owners: BTreeSet<&String> = survey.rows.iter().flat_map(|row| &row.federation.owners).collect();
    let owners = owners.into_iter().cloned().collect();
    let mut exceptions: Vec<(Federation, PolicyException)> = survey
        .rows
        .iter()
        .flat_map(|row| row.exceptions.iter().map(|one| (row.federation.clone(), one.clone())))
        .collect();
    exceptions.sort_by_key(|(_, one)| (one.ends_ms, one.id.clone()));
    let counted = survey.counted;
    let mut rows: Vec<Row> = survey.rows.into_iter().filter(|row| filter.admits(row)).collect();
    let found = rows.len();
    if let Some(after) = after {
        rows.retain(|row| row.place() > after);
    }
    let has_more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let next = rows.last().filter(|_| has_more).map(|row| {
        let (status, limit_ms, slug) = row.place();
        format!("{}.{limit_ms}.{slug}", status.as_str())
    });
    Ok(Board {
        rows,
        next,
        found,
        counted,
        by_status,
        trend,
        since_ms,
        exceptions,
        owners,
        may_attest: cx.actor.role.may(Right::Attest, None),
        may_hand_over: cx.actor.role.may(Right::ReadInstallation, None),
    })
}
