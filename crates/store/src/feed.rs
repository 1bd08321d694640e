//! Usage records as they come: what this node has committed, and what other nodes say they have.
//!
//! The committer hands over what it has written once its callers have their answers. While nobody has
//! watched yet, nothing is kept. Then the last records stay in a ring, each with a number, so that who
//! was away for a moment goes on where they were. On Postgres a node tells the others that something
//! came, at most a few times a second, by NOTIFY with the first and last id; they read the rows.

use std::{
    collections::{HashSet, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use domain::usage::UsageRecord;
use sqlx::postgres::PgListener;
use tokio::sync::watch;

use crate::{
    Conn, Error, Target,
    db::{Link, on_db},
    statements::statements,
    usage::Batch,
};

statements! {
    // Sealed or not: a node that could not ask for a while is told what was sealed meanwhile, too. The newest rows, when
    // there are more than are read at once: nobody watches to see the past.
    SINCE = "SELECT federation_id, key_id, last_request_id, records FROM usage_batches
        WHERE last_request_id >= $1 AND last_request_id <= $2 ORDER BY last_request_id DESC LIMIT $3";
}

/// How many records are kept for who watches.
const KEPT: usize = 4_096;

/// The channel of Postgres.
const CHANNEL: &str = "keyward_usage";

/// The most rows that are read at once from what other nodes wrote.
const ROWS: i64 = 1_024;

/// What the nodes have committed.
pub struct Feed {
    /// Whether anybody has watched since the start.
    is_wanted: AtomicBool,
    watchers: AtomicUsize,
    ring: Mutex<Ring>,
    /// The number of the newest record.
    newest: watch::Sender<u64>,
    is_over: AtomicBool,
    /// Whether other nodes are told.
    is_shared: bool,
}

#[derive(Default)]
struct Ring {
    /// The number of the first record that is kept.
    first: u64,
    records: VecDeque<(u64, Arc<UsageRecord>)>,
    /// Fingerprints of the records that are kept: other nodes' rows are read with our own among them.
    known: HashSet<u64>,
    /// The ids of what was committed since other nodes were told.
    untold: Option<(String, String)>,
}

impl Feed {
    pub(crate) fn new(is_shared: bool) -> Self {
        Self {
            is_wanted: AtomicBool::new(false),
            watchers: AtomicUsize::new(0),
            ring: Mutex::new(Ring::default()),
            newest: watch::Sender::new(0),
            is_over: AtomicBool::new(false),
            is_shared,
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what this node has committed.
    pub(crate) fn publish(&self, records: Vec<Arc<UsageRecord>>) {
        let is_wanted = self.is_wanted.load(Ordering::Acquire);
        if records.is_empty() || !(is_wanted || self.is_shared) {
            return;
        }
        let mut ring = self.ring();
        if self.is_shared {
            for record in &records {
                let id = record.request_id.as_str();
                match &mut ring.untold {
                    None => ring.untold = Some((id.to_owned(), id.to_owned())),
                    Some((first, _)) if id < first.as_str() => id.clone_into(first),
                    Some((_, last)) if id > last.as_str() => id.clone_into(last),
                    Some(_) => {}
                }
            }
        }
        if is_wanted {
            self.keep(&mut ring, records);
        }
    }

    fn keep(&self, ring: &mut Ring, records: impl IntoIterator<Item = Arc<UsageRecord>>) {
        let mut newest = *self.newest.borrow();
        let before = newest;
        for record in records {
            if !ring.known.insert(fingerprint(&record)) {
                continue;
            }
            newest += 1;
            ring.records.push_back((newest, record));
            if ring.records.len() > KEPT
                && let Some((number, oldest)) = ring.records.pop_front()
            {
                ring.first = number + 1;
                ring.known.remove(&fingerprint(&oldest));
            }
        }
        if newest != before {
            self.newest.send_replace(newest);
        }
    }

    /// Where the feed stands now. From here on it is kept.
    pub fn position(&self) -> u64 {
        let mut ring = self.ring();
        if !self.is_wanted.swap(true, Ordering::AcqRel) {
            ring.first = *self.newest.borrow() + 1;
        }
        *self.newest.borrow()
    }

    /// Watches from now on.
    pub fn watch(self: &Arc<Self>) -> Watch {
        let at = self.position();
        self.watchers.fetch_add(1, Ordering::AcqRel);
        Watch { feed: Arc::clone(self), newest: self.newest.subscribe(), at }
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Acquire)
    }

    /// Ends every watch.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.newest.send_modify(|_| {});
    }

    /// Takes rows that other nodes have written, between two ids; how many were not known.
    ///
    /// # Errors
    /// When the database does not answer, or holds what is no record.
    pub async fn take_in(&self, conn: &mut Conn<'_>, first: &str, last: &str) -> Result<u64, Error> {
        let rows: Vec<Batch> = on_db!(conn, db => sqlx::query_as(SINCE)
            .bind(first).bind(last).bind(ROWS).fetch_all(db).await)?;
        let mut records = Vec::new();
        for row in rows.iter().rev() {
            records.extend(row.unpack()?.into_iter().map(Arc::new));
        }
        let mut ring = self.ring();
        let before = *self.newest.borrow();
        self.keep(&mut ring, records);
        Ok(*self.newest.borrow() - before)
    }

    /// The ids of what other nodes were not told of yet; from now on they were.
    fn take_untold(&self) -> Option<(String, String)> {
        self.ring().untold.take()
    }
}

/// What tells records apart: an operation of a bulk has the id of its request.
fn fingerprint(record: &UsageRecord) -> u64 {
    let mut hasher = DefaultHasher::new();
    (record.request_id.as_str(), &record.method, &record.resource_type, &record.resource_id)
        .hash(&mut hasher);
    (record.status, record.duration_us).hash(&mut hasher);
    hasher.finish()
}

/// Somebody who watches.
pub struct Watch {
    feed: Arc<Feed>,
    newest: watch::Receiver<u64>,
    at: u64,
}

/// What came since the last look.
#[derive(Debug, Default)]
pub struct Came {
    /// The records, each with its number.
    pub records: Vec<(u64, Arc<UsageRecord>)>,
    /// How many are not kept any more.
    pub missed: u64,
}

impl Watch {
    /// Goes on after a number; false when what came after it is not kept any more.
    pub fn resume(&mut self, after: u64) -> bool {
        let ring = self.feed.ring();
        let is_kept = after + 1 >= ring.first && after <= *self.feed.newest.borrow();
        if is_kept {
            self.at = after;
        }
        is_kept
    }

    /// The number of the last record that was looked at.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Waits for something to come; false when the feed is over.
    pub async fn wait(&mut self) -> bool {
        let at = self.at;
        let feed = &self.feed;
        let is_over = || feed.is_over.load(Ordering::Acquire);
        let waited = self.newest.wait_for(|newest| *newest > at || is_over()).await;
        waited.is_ok() && !is_over()
    }

    /// What has come, `most` at once.
    pub fn take(&mut self, most: usize) -> Came {
        let ring = self.feed.ring();
        let missed = ring.first.saturating_sub(self.at + 1);
        let from = self.at.max(ring.first.saturating_sub(1));
        let place = ring.records.partition_point(|(number, _)| *number <= from);
        let records: Vec<_> = ring.records.iter().skip(place).take(most).cloned().collect();
        drop(ring);
        self.at = records.last().map_or(from, |(number, _)| *number);
        Came { records, missed }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.feed.watchers.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The wire between the nodes of a Postgres database: two connections of its own.
pub struct Wire {
    listener: PgListener,
    link: Link,
    node: String,
}

/// What another node said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The first id of what it committed.
    pub first: String,
    /// The last.
    pub last: String,
}

impl Wire {
    /// Connects; `None` for SQLite, which has one node.
    pub(crate) async fn connect(target: &Target, node: &str) -> Result<Option<Self>, Error> {
        let Target::Postgres(options) = target else { return Ok(None) };
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with((**options).clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        // A lost connection is given back, and the whole wire is made anew: see `next`.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Some(Self { listener, link: target.connect().await?, node: node.to_owned() }))
    }

    /// Tells other nodes what this one has committed since.
    ///
    /// # Errors
    /// When the database does not answer; then connect anew.
    pub async fn tell(&mut self, feed: &Feed) -> Result<bool, Error> {
        let Some((first, last)) = feed.take_untold() else { return Ok(false) };
        let payload = format!("{} {first} {last}", self.node);
        on_db!(self.link.conn(), db => sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL).bind(payload).execute(db).await.map(drop))?;
        Ok(true)
    }

    /// The next thing that another node says. Who waits for something else as well may drop this while it waits:
    /// it only reads, and what was read of a message stays in the buffer of the connection. `PgListener::recv`
    /// would connect anew inside, and be dropped half-way by every other thing that comes meanwhile: with a
    /// database that takes longer to connect to than that, it would never hear again.
    ///
    /// # Errors
    /// When the connection was lost; then connect anew.
    pub async fn next(&mut self) -> Result<Told, Error> {
        loop {
            let Some(said) = self.listener.try_recv().await? else {
                return Err(Error::Absent("the connection that listens was lost".to_owned()));
            };
            let mut words = said.payload().split(' ');
            if let (Some(node), Some(first), Some(last), None) =
                (words.next(), words.next(), words.next(), words.next())
                && node != self.node
            {
                return Ok(Told { first: first.to_owned(), last: last.to_owned() });
            }
        }
    }
}
