//! Checkpoints: each second, on one node of all, whether one is due; and how far anchors have come.
//!
//! Nothing here is in the way of a request: the committer writes records and knows nothing of the tree. What is
//! signed was walked before, so that a log that somebody has changed since its last checkpoint is not signed but
//! told of. A checkpoint leaves no audit record: it would be a record that waits for a checkpoint.

use std::sync::{Arc, OnceLock};

use domain::{
    Millis,
    audit::{
        Action, AuditEvent,
        checkpoint::{Checkpoint, RECORDS, WAIT_MS},
        merkle::{self, Frontier, Hash, Place, Stretch},
        note::{VerifierKey, signed},
    },
    findings::Rule,
    hex,
};
use serde_json::json;
use store::{Change, Conn, checkpoints::CheckpointRow};
use tokio::sync::Mutex;

use crate::{
    Error, Keyward,
    findings::{self, NewFinding},
    ports::Anchor,
    unit::detail,
};

/// The lease of this work.
pub(super) const LEASE: &str = "checkpoint";

/// How long the lease holds, and how much of it must be left.
const LEASE_MS: Millis = 15_000;
const LEFT_MS: Millis = 8_000;

/// The most records that one round signs: the first checkpoint of an old log comes in pieces.
const AT_ONCE: i64 = 20_000;

/// How many records are read at once.
const PAGE: i64 = 1_000;

/// How long records may wait without a checkpoint before it is told.
const OVERDUE_MS: Millis = 2 * WAIT_MS;

/// How long a log that does not fit is left alone before it is looked at again.
const AGAIN_MS: Millis = 60_000;

/// What the findings of this work are about.
pub(super) const SUBJECT: &str = "audit log";

/// What is configured at the start, and what the work keeps in memory; the latter can be lost.
#[derive(Default)]
pub(crate) struct Runtime {
    pub(super) origin: OnceLock<String>,
    pub(super) anchors: OnceLock<Vec<Arc<dyn Anchor>>>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The fence of the lease and when it ends, while this node has it.
    lease: Option<(i64, Millis)>,
    tree: Option<Tree>,
    /// Since when nothing could be signed.
    failing_ms: Option<Millis>,
    /// When to look again at what does not fit.
    not_before_ms: Millis,
    /// Whether no finding of this work can be open.
    is_clear: bool,
}

/// The log up to its last checkpoint.
#[derive(Clone)]
struct Tree {
    frontier: Frontier,
    last: Hash,
    at_ms: Millis,
}

/// What a round did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Round {
    /// How many records the new checkpoint covers, when there is one.
    pub signed: Option<i64>,
    /// What is wrong with the log, when something is.
    pub broken: Option<String>,
}

enum Failure {
    Broken(String),
    Other(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

impl Keyward {
    /// Names the log. The first name counts; without one it is `keyward/` and the id of the master key.
    pub fn name_audit_log(&self, origin: String) {
        // The first is the one that was configured.
        let _ = self.audit.origin.set(origin);
    }

    /// Connects the anchors. They come from the configuration at the start; a second list is refused, and no
    /// route leads here.
    pub fn connect_anchors(&self, anchors: Vec<Arc<dyn Anchor>>) {
        // The first is the one that was configured.
        let _ = self.audit.anchors.set(anchors);
    }

    /// The name of the log, which is also that of its key.
    pub fn audit_origin(&self) -> String {
        self.audit.origin.get().cloned().unwrap_or_else(|| format!("keyward/{}", self.vault.master_key_id()))
    }

    /// The key that checkpoints are verified with.
    ///
    /// # Errors
    /// Internal when the name of the log cannot be that of a key, which its setting refuses.
    pub fn audit_key(&self) -> Result<VerifierKey, Error> {
        VerifierKey::new(&self.audit_origin(), self.vault.checkpoint_key())
            .map_err(|fault| Error::Internal(fault.to_string()))
    }

    pub(crate) fn anchors(&self) -> &[Arc<dyn Anchor>] {
        self.audit.anchors.get().map_or(&[], Vec::as_slice)
    }
}

/// Signs a checkpoint when one is due, when this node has the lease; `None` while another node works.
///
/// # Errors
/// When the database does not answer.
pub async fn round(keyward: &Arc<Keyward>) -> Result<Option<Round>, Error> {
    sign(keyward, false).await
}

/// Signs a checkpoint over every record that is there.
///
/// # Errors
/// As [`round`].
pub async fn sign_now(keyward: &Arc<Keyward>) -> Result<Option<Round>, Error> {
    let mut signed = sign(keyward, true).await?;
    // A log of many records is signed in pieces.
    while let Some(round) = &signed
        && round.signed.is_some()
    {
        let more = sign(keyward, true).await?;
        if more.as_ref().is_none_or(|more| more.signed.is_none()) {
            break;
        }
        signed = more;
    }
    Ok(signed)
}

/// Gives the lease back, so that another node need not wait for its end.
///
/// # Errors
/// When the database does not answer.
pub async fn release(keyward: &Keyward) -> Result<(), Error> {
    let Some((fence, _)) = keyward.audit.memory.lock().await.lease.take() else { return Ok(()) };
    let node = keyward.node.clone();
    let give_back = async move |conn: &mut Conn<'_>| store::leases::release(conn, LEASE, &node, fence).await;
    Ok(keyward.store.committer().upkeep(give_back).await?)
}

/// The fence of the lease, when this node has it.
pub(super) async fn fence(keyward: &Keyward) -> Option<i64> {
    let now_ms = keyward.clock.now_ms();
    keyward.audit.memory.lock().await.lease.filter(|(_, ends_ms)| *ends_ms > now_ms).map(|(fence, _)| fence)
}

async fn sign(keyward: &Arc<Keyward>, is_now: bool) -> Result<Option<Round>, Error> {
    let mut memory = keyward.audit.memory.lock().await;
    let now_ms = keyward.clock.now_ms();
    let Some(fence) = take_lease(keyward, &mut memory, now_ms).await? else { return Ok(None) };
    // The clock may have been set back meanwhile.
    if !is_now
        && (now_ms..=now_ms + AGAIN_MS).contains(&memory.not_before_ms)
        && memory.not_before_ms > now_ms
    {
        return Ok(Some(Round::default()));
    }
    match work(keyward, &mut memory, fence, now_ms, is_now).await {
        Ok(signed) => {
            memory.failing_ms = None;
            if !memory.is_clear {
                for rule in [Rule::AuditBroken, Rule::CheckpointOverdue] {
                    settle(keyward, rule, SUBJECT, "the log fits again, and is signed").await?;
                }
                memory.is_clear = true;
            }
            Ok(Some(Round { signed, broken: None }))
        }
        Err(Failure::Broken(text)) => {
            memory.tree = None;
            memory.is_clear = false;
            memory.not_before_ms = now_ms + AGAIN_MS;
            tracing::error!(text, "the audit log does not fit its last checkpoint; it is not signed");
            let expected = "Every record since the last checkpoint continues the one before it.";
            raise(keyward, Rule::AuditBroken, SUBJECT, expected, &format!("{text}.")).await?;
            Ok(Some(Round { signed: None, broken: Some(text) }))
        }
        Err(Failure::Other(error)) => {
            memory.tree = None;
            let since = *memory.failing_ms.get_or_insert(now_ms);
            if matches!(error, Error::Stale(_)) || matches!(error, Error::Unavailable(store::Error::Stale)) {
                memory.lease = None;
            }
            if now_ms - since >= OVERDUE_MS {
                memory.is_clear = false;
                let expected = "A checkpoint is signed within a minute of each record.";
                let came = format!("Nothing could be signed for {} s: {error}.", (now_ms - since) / 1_000);
                raise(keyward, Rule::CheckpointOverdue, SUBJECT, expected, &came).await?;
            }
            Err(error)
        }
    }
}

async fn take_lease(keyward: &Keyward, memory: &mut Memory, now_ms: Millis) -> Result<Option<i64>, Error> {
    if let Some((fence, ends_ms)) = memory.lease
        && (LEFT_MS..=LEASE_MS).contains(&(ends_ms - now_ms))
    {
        return Ok(Some(fence));
    }
    let holder = keyward.node.clone();
    let take = async move |conn: &mut Conn<'_>| {
        store::leases::take(conn, LEASE, &holder, now_ms, now_ms + LEASE_MS).await
    };
    let fence = keyward.store.committer().upkeep(take).await?;
    // What another node has signed meanwhile is not in this memory.
    if memory.lease.map(|(known, _)| known) != fence {
        memory.tree = None;
    }
    memory.lease = fence.map(|fence| (fence, now_ms + LEASE_MS));
    Ok(fence)
}

async fn work(
    keyward: &Keyward,
    memory: &mut Memory,
    fence: i64,
    now_ms: Millis,
    is_now: bool,
) -> Result<Option<i64>, Failure> {
    let mut reader = keyward.store.read().await?;
    let head = store::audit::head(&mut reader.conn()).await?;
    let tree = match memory.tree.take() {
        Some(tree) => tree,
        None => load(keyward, &mut reader.conn()).await?,
    };
    let size = size_of(&tree.frontier);
    let new = head.seq - size;
    if new < 0 {
        let text = format!("the log ends at record {}, and the last checkpoint is over {size}", head.seq);
        return Err(Failure::Broken(text));
    }
    let is_due = new >= RECORDS || !(0..WAIT_MS).contains(&(now_ms - tree.at_ms)) || is_now;
    if new == 0 || !is_due {
        memory.tree = Some(tree);
        return Ok(None);
    }
    let (tree, nodes) = grow(&mut reader.conn(), tree, head.seq.min(size + AT_ONCE)).await?;
    let tree = Tree { at_ms: now_ms, ..tree };
    let size = size_of(&tree.frontier);
    let root = tree.frontier.root();
    let checkpoint = Checkpoint { origin: keyward.audit_origin(), size: tree.frontier.size(), root };
    let text = checkpoint.text();
    let note = signed(&text, &keyward.audit_key()?, &keyward.vault.sign_checkpoint(&text));
    let row = CheckpointRow { size, root: hex(&root), at_ms: now_ms, note };
    drop(reader);
    let keep = async move |conn: &mut Conn<'_>| {
        store::leases::check(conn, LEASE, fence).await?;
        store::checkpoints::insert_nodes(conn, &nodes).await?;
        store::checkpoints::insert(conn, &row).await
    };
    keyward.store.committer().upkeep(keep).await?;
    memory.tree = Some(tree);
    Ok(Some(size))
}

/// The tree up to the last checkpoint, which must be ours and fit.
async fn load(keyward: &Keyward, conn: &mut Conn<'_>) -> Result<Tree, Failure> {
    let Some(row) = store::checkpoints::last(conn).await? else {
        return Ok(Tree { frontier: Frontier::default(), last: [0; 32], at_ms: 0 });
    };
    let size = u64::try_from(row.size).unwrap_or_default();
    let opened = Checkpoint::open(&row.note, &[keyward.audit_key()?]);
    let is_ours = opened.is_ok_and(|(checkpoint, is_signed)| {
        // Under another name it was signed before the name was changed.
        (is_signed || checkpoint.origin != keyward.audit_origin())
            && (checkpoint.size, hex(&checkpoint.root)) == (size, row.root.clone())
    });
    if !is_ours {
        return Err(Failure::Broken(format!("the checkpoint over {size} records is not signed by this key")));
    }
    let places = Stretch::whole(size).places();
    let stretches: Vec<Stretch> = places.into_iter().map(stretch_of).collect();
    let gone = || Failure::Broken(format!("of the {size} records of the last checkpoint some are missing"));
    let roots = store::checkpoints::hashes(conn, &stretches).await?.ok_or_else(gone)?;
    let frontier = Frontier::of(size, roots).ok_or_else(gone)?;
    if hex(&frontier.root()) != row.root {
        let text = format!("the {size} records of the last checkpoint are not those that it was signed over");
        return Err(Failure::Broken(text));
    }
    let last = store::checkpoints::entries(conn, row.size, 1).await?;
    let last =
        last.first().filter(|entry| entry.seq == row.size).and_then(|entry| merkle::parse(&entry.hash));
    Ok(Tree { frontier, last: last.ok_or_else(gone)?, at_ms: row.at_ms })
}

fn stretch_of(Place { level, index }: Place) -> Stretch {
    Stretch { from: index << level, to: (index + 1) << level }
}

/// Walks the records up to a place, and adds them.
async fn grow(
    conn: &mut Conn<'_>,
    mut tree: Tree,
    until: i64,
) -> Result<(Tree, Vec<(Place, Hash)>), Failure> {
    let mut nodes = Vec::new();
    loop {
        let next = size_of(&tree.frontier) + 1;
        if next > until {
            return Ok((tree, nodes));
        }
        let entries = store::checkpoints::entries(conn, next, PAGE.min(until - next + 1)).await?;
        if entries.is_empty() {
            return Err(Failure::Broken(format!("record {next} is missing")));
        }
        for entry in entries {
            let expected = size_of(&tree.frontier) + 1;
            if entry.seq != expected {
                return Err(Failure::Broken(format!(
                    "record {expected} is missing: the next is {}",
                    entry.seq
                )));
            }
            if merkle::parse(&entry.prev_hash) != Some(tree.last) {
                let text = format!("record {expected} does not continue record {}", expected - 1);
                return Err(Failure::Broken(text));
            }
            let Some(hash) = entry.sound() else {
                return Err(Failure::Broken(format!("record {expected} is not as it was written")));
            };
            tree.last = hash;
            tree.frontier.push_seen(merkle::leaf(&hash), |place, hash| {
                if place.level > 0 && place.level.is_multiple_of(store::checkpoints::TILE) {
                    nodes.push((place, *hash));
                }
            });
        }
    }
}

fn size_of(frontier: &Frontier) -> i64 {
    i64::try_from(frontier.size()).unwrap_or(i64::MAX)
}

/// Raises a finding of the installation, unless it is open.
pub(super) async fn raise(
    keyward: &Arc<Keyward>,
    rule: Rule,
    subject: &str,
    expected: &str,
    came: &str,
) -> Result<(), Error> {
    let mut reader = keyward.store.read().await?;
    if store::findings::live(&mut reader.conn(), None, rule, subject).await?.is_some() {
        return Ok(());
    }
    drop(reader);
    let cx = keyward.system_cx("audit");
    let new = NewFinding::new(keyward, None, rule, subject, expected, came);
    let event = findings::about(&cx, &new);
    let now_ms = cx.now_ms();
    let unit = async move |conn: &mut Conn<'_>| {
        findings::raise(conn, &new, now_ms).await?;
        Ok(Change::new((), event.clone()))
    };
    keyward.commit(unit).await
}

/// Closes the finding of the installation that is over, when it is open.
pub(super) async fn settle(
    keyward: &Arc<Keyward>,
    rule: Rule,
    subject: &str,
    reason: &'static str,
) -> Result<(), Error> {
    let mut reader = keyward.store.read().await?;
    if store::findings::live(&mut reader.conn(), None, rule, subject).await?.is_none() {
        return Ok(());
    }
    drop(reader);
    let cx = keyward.system_cx("audit");
    let event = AuditEvent {
        target: Some(rule.title().to_owned()),
        detail: detail(&json!({ "rule": rule, "subject": subject, "reason": reason })),
        ..cx.event(Action::FindingClosed)
    };
    let (subject, now_ms) = (subject.to_owned(), cx.now_ms());
    let unit = async move |conn: &mut Conn<'_>| {
        findings::settle(conn, None, rule, &subject, reason, now_ms).await?;
        Ok(Change::new((), event.clone()))
    };
    keyward.commit(unit).await
}
