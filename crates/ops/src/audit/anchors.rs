//! Anchors: places outside that keep checkpoints. Each has its own place in the row of checkpoints, is told
//! every one of them in order, and is tried again with growing pauses until it has caught up. At the start an
//! anchor that can be read is compared with the database: one that has seen more than there is knows of a
//! rollback.

use std::sync::Arc;

use domain::{
    Millis,
    admins::{Admin, Right},
    audit::{
        checkpoint::{Checkpoint, found_in},
        merkle::Stretch,
    },
    findings::Rule,
    hex,
};
use futures::future::join_all;
use store::{
    Conn,
    checkpoints::{AnchorRow, CheckpointRow},
};

use super::checkpoint::{LEASE, SUBJECT, fence, raise, settle};
use crate::{
    Cx, Error, Keyward,
    ports::{Anchor, Anchoring},
};

/// How many checkpoints one anchor is told in one round.
const AT_ONCE: i64 = 64;

/// The longest pause between two tries.
const PAUSE_MS: Millis = 300_000;

/// How long an anchor may fail before it is told.
const FAILING_MS: Millis = 60_000;

/// Tells every anchor what it does not have, on the node that signs; how many checkpoints arrived.
///
/// # Errors
/// When the database does not answer; what an anchor says is kept beside its place.
pub async fn tell(keyward: &Arc<Keyward>) -> Result<usize, Error> {
    if keyward.anchors().is_empty() {
        return Ok(0);
    }
    let Some(fence) = fence(keyward).await else { return Ok(0) };
    let told =
        join_all(keyward.anchors().iter().map(|anchor| tell_one(keyward, anchor.as_ref(), fence))).await;
    let mut sum = 0;
    for one in told {
        sum += one?;
    }
    Ok(sum)
}

async fn tell_one(keyward: &Arc<Keyward>, anchor: &dyn Anchor, fence: i64) -> Result<usize, Error> {
    let now_ms = keyward.clock.now_ms();
    let name = anchor.name();
    let mut reader = keyward.store.read().await?;
    let Some(last) = store::checkpoints::last(&mut reader.conn()).await? else { return Ok(0) };
    let known = store::checkpoints::anchor(&mut reader.conn(), name).await?;
    let is_new = known.is_none();
    let mut row = known.unwrap_or_else(|| AnchorRow { name: name.to_owned(), ..AnchorRow::default() });
    // Who can tell by itself is believed: a new file catches up.
    let kept = anchor.last().unwrap_or(row.size);
    let is_ahead = kept > last.size;
    // Behind a rollback that was agreed to, the log goes on from less: the anchor sees where.
    let place = if is_ahead { last.size - 1 } else { kept };
    // The clock may have been set back meanwhile.
    let waits = row.tries > 0 && (1..=PAUSE_MS).contains(&(row.next_ms - now_ms));
    if waits || (place >= last.size && row.size == place && row.error.is_none() && !is_new) {
        return Ok(0);
    }
    let due = store::checkpoints::after(&mut reader.conn(), place, AT_ONCE).await?;
    drop(reader);
    if is_ahead {
        let compared = Compared::Rollback { size: kept, head: last.size };
        tell_of_rollback(keyward, &format!("The anchor {name}"), &compared).await?;
    }
    let was_failing = row.failing_ms.is_some();
    row.size = place;
    let (mut told, mut failed) = (0, None);
    for checkpoint in due {
        match anchor.tell(&anchoring(&checkpoint)).await {
            Ok(()) => {
                (row.size, row.told_ms) = (checkpoint.size, Some(now_ms));
                told += 1;
            }
            Err(text) => {
                failed = Some(text);
                break;
            }
        }
    }
    if let Some(text) = failed {
        row.tries += 1;
        row.next_ms = now_ms + (1_000 << row.tries.clamp(0, 9)).min(PAUSE_MS);
        row.failing_ms.get_or_insert(now_ms);
        tracing::warn!(anchor = name, text, tries = row.tries, "an anchor was not told a checkpoint");
        row.error = Some(text);
    } else {
        (row.tries, row.next_ms, row.failing_ms, row.error) = (0, 0, None, None);
    }
    let (failing_ms, error, size) = (row.failing_ms, row.error.clone(), row.size);
    let keep = async move |conn: &mut Conn<'_>| {
        store::leases::check(conn, LEASE, fence).await?;
        store::checkpoints::set_anchor(conn, &row).await
    };
    keyward.store.committer().upkeep(keep).await?;
    match (failing_ms, error) {
        (Some(since), Some(error)) if now_ms - since >= FAILING_MS => {
            let expected = "Each checkpoint reaches the anchor within a minute.";
            let came = format!("It has checkpoints up to record {size} and is not told more: {error}.");
            raise(keyward, Rule::AnchorFailed, name, expected, &came).await?;
        }
        (None, _) if was_failing => {
            settle(keyward, Rule::AnchorFailed, name, "the anchor has caught up").await?;
        }
        (Some(_) | None, _) => {}
    }
    Ok(told)
}

fn anchoring(row: &CheckpointRow) -> Anchoring {
    Anchoring { size: row.size, root: row.root.clone(), at_ms: row.at_ms, note: row.note.clone() }
}

/// What an anchor that can be read says of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// It fits, as far as it goes; so many of its notes are not signed by this key.
    Fits {
        /// How many records it vouches for.
        size: i64,
        /// Notes that were left aside.
        ignored: usize,
    },
    /// It has seen more records than there are.
    Rollback {
        /// How many it vouches for.
        size: i64,
        /// How many there are.
        head: i64,
    },
    /// It has seen other records.
    Fork {
        /// Up to which record.
        size: i64,
    },
}

/// Compares what an anchor kept with the database. Only the last checkpoint is looked at, and the tree as it is
/// kept: that takes milliseconds. `keyward audit verify` walks everything.
///
/// # Errors
/// When the database does not answer.
pub async fn compare(keyward: &Keyward, text: &str) -> Result<Compared, Error> {
    let key = [keyward.audit_key()?];
    let mut ignored = 0;
    let mut far: Option<Checkpoint> = None;
    // The last one counts: behind a rollback that was agreed to, the log goes on from less.
    for note in found_in(text).iter().rev() {
        match Checkpoint::open(note, &key) {
            Ok((checkpoint, true)) => {
                far = Some(checkpoint);
                break;
            }
            Ok((_, false)) | Err(_) => ignored += 1,
        }
    }
    let Some(far) = far else { return Ok(Compared::Fits { size: 0, ignored }) };
    let size = i64::try_from(far.size).unwrap_or(i64::MAX);
    let mut reader = keyward.store.read().await?;
    let head = store::audit::head(&mut reader.conn()).await?;
    if size > head.seq {
        return Ok(Compared::Rollback { size, head: head.seq });
    }
    let kept = store::checkpoints::over(&mut reader.conn(), size).await?.filter(|row| row.size == size);
    let root = if let Some(row) = kept {
        Some(row.root)
    } else {
        let whole = [Stretch::whole(far.size)];
        let roots = store::checkpoints::hashes(&mut reader.conn(), &whole).await?;
        roots.and_then(|roots| roots.first().map(|root| hex(root)))
    };
    // What the tree does not reach yet is compared by the walk.
    let is_other = root.is_some_and(|root| root != hex(&far.root));
    Ok(if is_other { Compared::Fork { size } } else { Compared::Fits { size, ignored } })
}

/// Tells people that an anchor knows more than the database.
///
/// # Errors
/// When the finding cannot be recorded.
pub async fn tell_of_rollback(keyward: &Arc<Keyward>, by: &str, compared: &Compared) -> Result<(), Error> {
    let came = match compared {
        Compared::Fits { .. } => return Ok(()),
        Compared::Rollback { size, head } => {
            format!(
                "{by} vouches for {size} records, and the log has {head}: {} records are lost.",
                size - head
            )
        }
        Compared::Fork { size } => format!("The first {size} records are not those that {by} vouches for."),
    };
    raise(
        keyward,
        Rule::AuditRolledBack,
        SUBJECT,
        "The log has every record that an anchor vouches for.",
        &came,
    )
    .await
}

/// An anchor as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorView {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// How far it has come.
    pub row: AnchorRow,
}

/// What proves the log, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The name of the log.
    pub origin: String,
    /// The key of its verifiers.
    pub key: String,
    /// The last checkpoint.
    pub last: Option<CheckpointRow>,
    /// The anchors.
    pub anchors: Vec<AnchorView>,
}

impl Standing {
    /// How far an anchor vouches: the size, and when it was told.
    pub fn anchored(&self) -> Option<(i64, Millis)> {
        let told = self.anchors.iter().filter_map(|anchor| Some((anchor.row.size, anchor.row.told_ms?)));
        told.max()
    }
}

/// How the log is proven; `None` for who may not read the whole of it.
///
/// # Errors
/// When the database does not answer.
pub async fn standing(cx: &Cx<Admin>) -> Result<Option<Standing>, Error> {
    if !cx.actor.role.may(Right::ReadInstallation, None) {
        return Ok(None);
    }
    let mut reader = cx.read().await?;
    let last = store::checkpoints::last(&mut reader.conn()).await?;
    let mut anchors = Vec::new();
    for anchor in cx.keyward.anchors() {
        let row = store::checkpoints::anchor(&mut reader.conn(), anchor.name()).await?;
        let row = row.unwrap_or_else(|| AnchorRow { name: anchor.name().to_owned(), ..AnchorRow::default() });
        anchors.push(AnchorView { name: anchor.name().to_owned(), place: anchor.place(), row });
    }
    Ok(Some(Standing {
        origin: cx.keyward.audit_origin(),
        key: cx.keyward.audit_key()?.to_string(),
        last,
        anchors,
    }))
}
