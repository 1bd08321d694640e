//! One transaction for the units that wait.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::{
    audit::{AuditEvent, ChainHead},
    usage::UsageRecord,
};
use futures::FutureExt;
use tokio::{sync::mpsc, sync::oneshot, time};

use super::{BATCH, Ran, Records, SYNC_WITHIN, Shared, Unit};
use crate::{
    Cache, Conn, Engine, Error, Target, audit,
    cache::{head::Head, touch::Touched},
    db::{Link, on_db},
    installation,
    journal::{self, Waiting},
    recording,
    usage::Plan,
};

/// How often a batch that the database refused for the sake of another is run again.
const ATTEMPTS: u32 = 10;

/// How long a database may take for a batch before its callers are told that it does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a batch that is smaller than the one before waits for more.
const LINGER: Duration = Duration::from_micros(100);

/// How many batches run with savepoints after a unit has failed.
const CAREFUL: u32 = 16;

/// Serves units until every sender is gone.
pub(super) async fn serve(
    target: Target,
    shared: Shared,
    mut queue: mpsc::Receiver<Box<dyn Unit>>,
    ready: oneshot::Sender<Result<(), Error>>,
) {
    let mut writer = Writer {
        engine: target.engine(),
        target,
        shared,
        link: None,
        unsynced: None,
        full: true,
        careful: 0,
        written: Arc::default(),
        uses: Vec::new(),
    };
    let opened = writer.link().await.map(drop);
    let is_open = opened.is_ok();
    if ready.send(opened).is_err() || !is_open {
        return;
    }
    let mut units = Vec::with_capacity(BATCH);
    let mut before = 0;
    loop {
        let received = match &mut writer.unsynced {
            None => queue.recv_many(&mut units, BATCH).await,
            // The first record that waits decides, however many come after it.
            Some(due) => tokio::select! {
                biased;
                () = due => {
                    writer.sync().await;
                    continue;
                }
                received = queue.recv_many(&mut units, BATCH) => received,
            },
        };
        if received == 0 {
            break;
        }
        if received < before {
            // Those whom the last batch answered are asking again: a batch costs the same for all of
            // them as for the first of them. This thread has nothing else to do.
            std::thread::sleep(LINGER);
            while units.len() < BATCH
                && let Ok(unit) = queue.try_recv()
            {
                units.push(unit);
            }
        }
        before = units.len();
        let batch = std::mem::replace(&mut units, Vec::with_capacity(BATCH));
        writer.run(batch).await;
    }
    if writer.unsynced.is_some() {
        writer.sync().await;
    }
    if let Some(link) = writer.link.take() {
        link.close().await;
    }
}

struct Writer {
    engine: Engine,
    target: Target,
    shared: Shared,
    link: Option<Link>,
    /// Ends when the first record that was committed without a sync must be synced.
    unsynced: Option<Pin<Box<time::Sleep>>>,
    /// SQLite's present `synchronous`.
    full: bool,
    /// How many more batches run with savepoints.
    careful: u32,
    /// The tables that SQLite has written, as bits of [`crate::cache::touch::tables`].
    written: Arc<AtomicU32>,
    /// The usage records of the batch that was committed last.
    uses: Vec<Arc<UsageRecord>>,
}

/// How a transaction ended before its COMMIT.
enum Worked {
    /// Everything is written; the record before the batch's own, the head that they make, and the usage records.
    Whole(Option<(i64, ChainHead)>, Vec<Arc<UsageRecord>>),
    /// The only unit failed: to be undone, and nothing else.
    Nothing,
    /// One of several units failed and had no savepoint: to be undone, and run again with them.
    Undo,
}

/// What became of a batch.
enum Tried {
    Committed,
    /// Its only unit failed.
    Nothing,
    /// It has to be run with savepoints.
    Undone,
}

impl Writer {
    async fn link(&mut self) -> Result<&mut Link, Error> {
        let link = if let Some(link) = self.link.take() {
            link
        } else {
            self.full = true;
            let mut link = self.target.connect().await?;
            link.watch_tables(Arc::clone(&self.written)).await?;
            link
        };
        Ok(self.link.insert(link))
    }

    async fn run(&mut self, mut units: Vec<Box<dyn Unit>>) {
        let is_change = units.iter().any(|unit| unit.is_change());
        let mut attempt = 0;
        let outcome = loop {
            attempt += 1;
            let tried = time::timeout(PATIENCE, self.attempt(&mut units, is_change)).await;
            let silent = || Error::Unavailable(format!("no answer within {} s", PATIENCE.as_secs()));
            match tried.unwrap_or_else(|_| Err(silent())) {
                Err(Error::Serialization) if attempt < ATTEMPTS => {
                    time::sleep(Duration::from_millis(u64::from(attempt * attempt))).await;
                }
                Ok(Tried::Undone) => self.careful = CAREFUL,
                Ok(Tried::Committed) => {
                    self.careful = self.careful.saturating_sub(1);
                    break Ok(true);
                }
                Ok(Tried::Nothing) => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        match &outcome {
            Ok(false) => {}
            // A synced commit takes all before it along.
            Ok(true) if is_change => self.unsynced = None,
            Ok(true) => {
                self.unsynced.get_or_insert_with(|| Box::pin(time::sleep(SYNC_WITHIN)));
            }
            Err(error) => {
                tracing::error!(%error, units = units.len(), "a batch was not committed");
                // Whatever state the connection is in, the next batch begins on a new one.
                self.link = None;
            }
        }
        let failure = outcome.err().map(|error| match error {
            Error::Serialization => "refused again and again for the sake of other transactions".to_owned(),
            Error::Conflict(text) | Error::Unavailable(text) | Error::Absent(text) | Error::Corrupt(text) => {
                text
            }
            Error::Stale | Error::Newer(_) | Error::Refused(_) => error.to_string(),
        });
        for unit in units {
            unit.answer(failure.clone().map_or(Ok(()), |text| Err(Error::Unavailable(text))));
        }
        let uses = std::mem::take(&mut self.uses);
        if failure.is_none() {
            self.shared.feed.publish(uses);
        }
    }

    async fn attempt(&mut self, units: &mut [Box<dyn Unit>], is_change: bool) -> Result<Tried, Error> {
        let engine = self.engine;
        if engine == Engine::Sqlite && self.full != is_change {
            let pragma = if is_change { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            let link = self.link().await?;
            execute(&mut link.conn(), pragma).await?;
            self.full = is_change;
        }
        if engine == Engine::Sqlite && self.only_uses(units).await? {
            return Ok(Tried::Committed);
        }
        let Shared { cache, head, .. } = &self.shared;
        let (cache, head) = (Arc::clone(cache), head.clone());
        let written = Arc::clone(&self.written);
        let has_savepoints = self.careful > 0;
        let link = self.link().await?;
        let (mut touched, mut changes) = (Touched::default(), Waiting::default());
        let begin = match engine {
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres if is_change => "BEGIN",
            Engine::Postgres => "BEGIN; SET LOCAL synchronous_commit = off",
        };
        execute(&mut link.conn(), begin).await?;
        cache.decided();
        written.store(0, Ordering::SeqCst);
        let mut conn = link.writing(&cache, &mut touched, &mut changes);
        let worked = transaction(&mut conn, units, has_savepoints, &written).await;
        match worked {
            Ok(Worked::Whole(made, uses)) => {
                let closing = Closing::begin(&cache, head.as_deref(), &touched, made);
                execute(&mut link.conn(), "COMMIT").await?;
                closing.committed();
                self.uses = uses;
                Ok(Tried::Committed)
            }
            Ok(Worked::Nothing) => {
                execute(&mut link.conn(), "ROLLBACK").await?;
                Ok(Tried::Nothing)
            }
            Ok(Worked::Undo) => {
                execute(&mut link.conn(), "ROLLBACK").await?;
                Ok(Tried::Undone)
            }
            Err(error) => {
                execute(&mut link.conn(), "ROLLBACK").await?;
                Err(error)
            }
        }
    }

    /// Writes a batch of usage records of one key in one trip to the thread of SQLite; false when it
    /// is another batch, and nothing is written.
    async fn only_uses(&mut self, units: &[Box<dyn Unit>]) -> Result<bool, Error> {
        let uses: Option<Vec<Arc<UsageRecord>>> = units.iter().map(|unit| unit.only_usage()).collect();
        let Some(uses) = uses else { return Ok(false) };
        let plan = Plan::of(uses.iter().map(Arc::as_ref))?;
        let link = self.link().await?;
        let written = plan.write_at_once(&mut link.conn()).await;
        match written {
            Ok(true) => {
                self.shared.cache.decided();
                self.uses = uses;
            }
            Ok(false) => {}
            Err(_) => {
                // Wherever it stopped, nothing of it stays; it may have stopped before its BEGIN.
                let _ = execute(&mut link.conn(), "ROLLBACK").await;
            }
        }
        written
    }

    /// Forces to disk what was committed without a sync: a synced commit takes all before it along.
    async fn sync(&mut self) {
        let engine = self.engine;
        let synced = async {
            let link = self.link().await?;
            if engine == Engine::Sqlite {
                execute(&mut link.conn(), "PRAGMA synchronous = FULL").await?;
            }
            installation::count_sync(&mut link.conn()).await
        };
        match synced.await {
            Ok(()) => {
                self.full = true;
                self.unsynced = None;
            }
            Err(error) => {
                tracing::error!(%error, "usage records could not be synced");
                self.link = None;
                self.unsynced = Some(Box::pin(time::sleep(SYNC_WITHIN)));
            }
        }
    }
}

/// The moment of a COMMIT, as the cache sees it: marks are set from before it to after it.
struct Closing<'a> {
    cache: &'a Cache,
    head: Option<&'a Head>,
    touched: &'a Touched,
    is_committed: bool,
}

impl<'a> Closing<'a> {
    fn begin(
        cache: &'a Cache,
        head: Option<&'a Head>,
        touched: &'a Touched,
        made: Option<(i64, ChainHead)>,
    ) -> Self {
        cache.begin(touched.slots());
        if touched.is_everything() {
            cache.doubt();
        }
        if let (Some(head), Some((before, made))) = (head, made) {
            head.pending(before, made);
        }
        Self { cache, head, touched, is_committed: false }
    }

    fn committed(mut self) {
        self.is_committed = true;
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if !self.is_committed {
            // An error, or no answer in time: it may still be carried out.
            self.cache.doubt();
        }
        self.cache.end(self.touched.slots());
        if self.is_committed && self.touched.is_everything() {
            self.cache.decided();
        }
        match self.head {
            Some(head) if self.is_committed => head.confirm(),
            Some(head) => head.dismiss(),
            None => {}
        }
    }
}

pub(crate) async fn execute(conn: &mut Conn<'_>, sql: &'static str) -> Result<(), Error> {
    on_db!(conn, db => sqlx::raw_sql(sql).execute(db).await.map(drop))?;
    Ok(())
}

async fn transaction(
    conn: &mut Conn<'_>,
    units: &mut [Box<dyn Unit>],
    has_savepoints: bool,
    written: &AtomicU32,
) -> Result<Worked, Error> {
    let is_alone = units.len() == 1;
    let mut events: Vec<AuditEvent> = Vec::new();
    let mut uses: Vec<Arc<UsageRecord>> = Vec::new();
    for unit in units {
        if let Some(record) = unit.only_usage() {
            uses.push(record);
            continue;
        }
        if has_savepoints {
            // What the units before have done stays, whatever becomes of this one.
            journal::write_waiting(conn).await?;
            execute(conn, "SAVEPOINT unit").await?;
        }
        // A unit that panics must not take the committer with it; its batch is undone.
        let ran = AssertUnwindSafe(unit.run(conn)).catch_unwind().await;
        match ran.map_err(|_| Error::Unavailable("a unit of the batch panicked".to_owned()))? {
            Ran::Done(records) => {
                let Records { events: own, usage } = *records;
                if has_savepoints {
                    execute(conn, "RELEASE SAVEPOINT unit").await?;
                }
                events.extend(own);
                uses.extend(usage);
            }
            Ran::Failed if has_savepoints => {
                journal::forget_waiting(conn);
                execute(conn, "ROLLBACK TO SAVEPOINT unit").await?;
            }
            Ran::Failed if is_alone => return Ok(Worked::Nothing),
            Ran::Failed => return Ok(Worked::Undo),
            Ran::Again => return Err(Error::Serialization),
        }
    }
    journal::write_waiting(conn).await?;
    conn.check_touched(written.load(Ordering::SeqCst))?;
    if recording::is_off() {
        return Ok(Worked::Whole(None, Vec::new()));
    }
    Plan::of(uses.iter().map(Arc::as_ref))?.write(conn).await?;
    Ok(Worked::Whole(audit::append(conn, events).await?, uses))
}
