//! Seals: what makes usage records tamper-evident.
//!
//! A timer takes the packed rows that have no seal, computes their digest, and writes an audit record
//! with it in the unit that marks the rows. So whoever edits, deletes or inserts usage records has to
//! forge the audit log as well. Requests take no part in it; what is younger than the last round stands
//! without a seal for some seconds.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    Millis,
    audit::{Action, AuditEvent, AuditRecord},
    usage::seal::Digest,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Change, Conn, Store, seals::Seal};

use crate::{Error, Keyward, unit::detail};

/// The lease of this work.
const LEASE: &str = "usage-seals";

/// How long the lease holds.
const LEASE_MS: Millis = 90_000;

/// How old the newest request of a row is before it is sealed.
const SETTLED_MS: Millis = 5_000;

/// The most rows of one seal.
const ROWS: i64 = 1_024;

/// The most records of one seal, but for its last row.
const RECORDS: i64 = 4_000;

/// The most seals of one round.
const SEALS: usize = 200;

/// How many rows are read at once to be verified.
const PAGE: i64 = 128;

/// Seals what waits, when this node has the lease; how many seals were made, `None` while another node works.
///
/// # Errors
/// When the database does not answer.
pub async fn seal(keyward: &Arc<Keyward>, node: &str) -> Result<Option<usize>, Error> {
    let now_ms = keyward.clock.now_ms();
    let name = node.to_owned();
    let take = async move |conn: &mut Conn<'_>| {
        store::leases::take(conn, LEASE, &name, now_ms, now_ms + LEASE_MS).await
    };
    let Some(fence) = keyward.store.committer().upkeep(take).await? else { return Ok(None) };
    let mut made = 0;
    while made < SEALS && one(keyward, fence).await? {
        made += 1;
    }
    Ok(Some(made))
}

/// Makes one seal; false when nothing waits.
async fn one(keyward: &Arc<Keyward>, fence: i64) -> Result<bool, Error> {
    let event = keyward.system_cx("usage").event(Action::UsageSealed);
    let before_ms = event.at_ms - SETTLED_MS;
    keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::leases::check(conn, LEASE, fence).await?;
            let id = store::seals::last(conn).await? + 1;
            let rows = store::seals::claim(conn, id, before_ms, ROWS, RECORDS).await?;
            if rows.is_empty() {
                return Ok(Change::nothing(false));
            }
            let mut digest = Digest::new(id);
            for row in &rows {
                digest.row(row);
            }
            let seal = Seal {
                id,
                at_ms: event.at_ms,
                from_ms: rows.iter().map(|row| row.first_ms).min().unwrap_or_default(),
                to_ms: rows.iter().map(|row| row.last_ms).max().unwrap_or_default(),
                batches: digest.rows(),
                records: rows.iter().map(|row| row.count).sum(),
                digest: digest.finish(),
            };
            store::seals::insert(conn, &seal).await?;
            let event = AuditEvent {
                target: Some(format!("seal {id}")),
                detail: detail(&json!(Sealed::of(&seal))),
                ..event.clone()
            };
            Ok(Change::new(true, event))
        })
        .await
}

/// The detail of an audit record about a seal.
#[derive(Serialize, Deserialize)]
struct Sealed {
    seal: i64,
    from: Millis,
    to: Millis,
    rows: i64,
    records: i64,
    digest: String,
}

impl Sealed {
    fn of(seal: &Seal) -> Self {
        Self {
            seal: seal.id,
            from: seal.from_ms,
            to: seal.to_ms,
            rows: seal.batches,
            records: seal.records,
            digest: seal.digest.clone(),
        }
    }
}

/// What is wrong with the records of a seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// Rows are gone.
    Deleted {
        /// How many.
        rows: i64,
    },
    /// There are more rows than were sealed.
    Inserted {
        /// How many.
        rows: i64,
    },
    /// The rows are not as they were sealed.
    Edited,
    /// Rows name a seal that the audit log does not know.
    Unknown,
    /// The audit log names the seal twice, or says of it what cannot be read.
    Twice,
    /// They were removed by the rule of retention, and some are there again.
    Returned {
        /// How many.
        rows: i64,
    },
}

/// A fault, with its seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The number of the seal.
    pub seal: i64,
    /// From when the records of the seal are.
    pub from_ms: Millis,
    /// Until when.
    pub to_ms: Millis,
    /// The audit record that holds its digest; `None` when there is none.
    pub audit_seq: Option<i64>,
    /// What is wrong.
    pub wrong: Wrong,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seal = self.seal;
        match &self.wrong {
            Wrong::Deleted { rows } => write!(f, "usage seal {seal}: {rows} rows of records were deleted"),
            Wrong::Inserted { rows } => write!(f, "usage seal {seal}: {rows} rows of records were inserted"),
            Wrong::Edited => write!(f, "usage seal {seal}: records are not as they were sealed"),
            Wrong::Unknown => {
                write!(f, "usage seal {seal}: records name it, and the audit log does not know it")
            }
            Wrong::Twice => write!(f, "usage seal {seal}: the audit log names it twice, or not readably"),
            Wrong::Returned { rows } => {
                write!(f, "usage seal {seal}: it was forgotten, and {rows} rows name it again")
            }
        }?;
        if let Some(seq) = self.audit_seq { write!(f, " (audit record {seq})") } else { Ok(()) }
    }
}

/// What a verification of all seals found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many seals are whole.
    pub whole: i64,
    /// How many records they hold.
    pub records: i64,
    /// How many seals were forgotten by the rule of retention.
    pub forgotten: i64,
    /// How many rows have no seal yet, which nothing vouches for.
    pub unsealed_rows: i64,
    /// How many records are in them.
    pub unsealed_records: i64,
    /// Everything that is wrong, in the order of seals; the first thousand.
    pub faults: Vec<Fault>,
}

/// How many faults are named at most.
const MOST_FAULTS: usize = 1_000;

/// Checks every seal against the usage records. That the audit records are genuine is for the walk of the audit
/// log to say. The database may be in use meanwhile.
///
/// # Errors
/// When the database does not answer.
pub async fn verify(store: &Store) -> Result<Verified, Error> {
    let mut reader = store.read().await?;
    // Held still: retention may be at work.
    let mut view = reader.view().await?;
    let conn = &mut view.conn();
    let mut found = Verified::default();
    let forgotten = forgotten(conn).await?;
    let mut seen: BTreeSet<i64> = BTreeSet::new();
    let mut after = i64::MIN;
    loop {
        let records = store::seals::of_log(conn, Action::UsageSealed, after).await?;
        let Some(last) = records.last() else { break };
        after = last.seq;
        for record in &records {
            let sealed = serde_json::from_str::<Sealed>(&record.event.detail).ok();
            let Some(sealed) = sealed else {
                let fault =
                    Fault { seal: 0, from_ms: 0, to_ms: 0, audit_seq: Some(record.seq), wrong: Wrong::Twice };
                found.faults.push(fault);
                continue;
            };
            let is_first = seen.insert(sealed.seal);
            let wrong = if is_first {
                judge(conn, &sealed, forgotten.contains(&sealed.seal)).await?
            } else {
                Some(Wrong::Twice)
            };
            match wrong {
                Some(wrong) => found.faults.push(Fault {
                    seal: sealed.seal,
                    from_ms: sealed.from,
                    to_ms: sealed.to,
                    audit_seq: Some(record.seq),
                    wrong,
                }),
                None if forgotten.contains(&sealed.seal) => found.forgotten += 1,
                None => {
                    found.whole += 1;
                    found.records += sealed.records;
                }
            }
            if found.faults.len() >= MOST_FAULTS {
                return Ok(found);
            }
        }
    }
    // Below zero is no seal either.
    let mut number = i64::MIN;
    while let Some(next) = store::seals::next_number(conn, number).await? {
        number = next;
        if next != 0 && !seen.contains(&next) && found.faults.len() < MOST_FAULTS {
            found.faults.push(Fault {
                seal: next,
                from_ms: 0,
                to_ms: 0,
                audit_seq: None,
                wrong: Wrong::Unknown,
            });
        }
    }
    found.faults.sort_by_key(|fault| fault.seal);
    (found.unsealed_rows, found.unsealed_records) = store::seals::unsealed(conn).await?;
    Ok(found)
}

/// Compares the rows of a seal with what the audit log says of them.
async fn judge(conn: &mut Conn<'_>, sealed: &Sealed, is_forgotten: bool) -> Result<Option<Wrong>, Error> {
    let mut digest = Digest::new(sealed.seal);
    let mut last = None;
    loop {
        let rows = store::seals::rows(conn, sealed.seal, last.as_ref(), PAGE).await?;
        for row in &rows {
            digest.row(row);
        }
        match rows.into_iter().last() {
            Some(row) => last = Some(row),
            None => break,
        }
    }
    let rows = digest.rows();
    Ok(match rows - sealed.rows {
        _ if is_forgotten => (rows > 0).then_some(Wrong::Returned { rows }),
        0 => (digest.finish() != sealed.digest).then_some(Wrong::Edited),
        more @ 1.. => Some(Wrong::Inserted { rows: more }),
        fewer => Some(Wrong::Deleted { rows: -fewer }),
    })
}

/// The detail of an audit record about what was forgotten.
#[derive(Serialize, Deserialize)]
struct Forgotten {
    seals: Vec<i64>,
    from: Millis,
    to: Millis,
    records: i64,
    rows: u64,
}

async fn forgotten(conn: &mut Conn<'_>) -> Result<BTreeSet<i64>, Error> {
    let mut seals = BTreeSet::new();
    let mut after = i64::MIN;
    loop {
        let records: Vec<AuditRecord> = store::seals::of_log(conn, Action::UsageForgotten, after).await?;
        let Some(last) = records.last() else { return Ok(seals) };
        after = last.seq;
        for record in &records {
            if let Ok(forgotten) = serde_json::from_str::<Forgotten>(&record.event.detail) {
                seals.extend(forgotten.seals);
            }
        }
    }
}

/// How many seals one step forgets.
const FORGOTTEN_AT_ONCE: i64 = 16;

/// How many steps one round has.
const STEPS: usize = 16;

/// Forgets sealed stretches that are older than is kept and that no stream waits for, step by step; how many
/// records went.
///
/// # Errors
/// When the database does not answer, or the lease of `check` was lost.
pub(crate) async fn forget(keyward: &Arc<Keyward>, check: (&'static str, i64)) -> Result<i64, Error> {
    let keep_ms = keyward.settings.usage_retention_days.saturating_mul(domain::DAY_MS);
    let mut went = 0;
    for _ in 0..STEPS {
        let event = keyward.system_cx("usage").event(Action::UsageForgotten);
        let (own, before_ms) = (Arc::clone(keyward), event.at_ms - keep_ms);
        let step = async move |conn: &mut Conn<'_>| {
            store::leases::check(conn, check.0, check.1).await?;
            let hold = crate::streams::hold(&own, conn, before_ms).await?;
            let seals = store::seals::oldest(conn, before_ms, hold, FORGOTTEN_AT_ONCE).await?;
            let (Some(first), Some(last)) = (seals.first(), seals.last()) else {
                return Ok::<_, Error>(Change::nothing(0));
            };
            let (from, to) = (first.from_ms, last.to_ms);
            let mut rows = 0;
            for seal in &seals {
                rows += store::seals::forget(conn, seal.id, event.at_ms).await?;
            }
            let records = seals.iter().map(|seal| seal.records).sum();
            let ids: Vec<i64> = seals.iter().map(|seal| seal.id).collect();
            let event = AuditEvent {
                target: Some(format!("{} seals", ids.len())),
                detail: detail(&json!(Forgotten { seals: ids, from, to, records, rows })),
                ..event.clone()
            };
            Ok(Change::new(records, event))
        };
        let records: i64 = keyward.commit(step).await?;
        if records == 0 {
            break;
        }
        went += records;
    }
    Ok(went)
}
