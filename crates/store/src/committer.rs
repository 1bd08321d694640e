//! The committer: durable before answered, at the price of one sync for many.
//!
//! Every change on a node goes through one committer, which has a thread and a connection of its
//! own. It takes the units that wait, runs them inside one transaction, writes the usage records,
//! appends the audit events to the chain, commits once, and only then answers them all. A unit that
//! fails takes nobody with it: its batch is run again with a savepoint around each unit, and so are
//! those that follow for a while, because failures seldom come alone. If the commit fails, all of
//! its units are told so, and nothing has happened.
//!
//! A batch with a change is synced before its answers leave. A batch of reads' usage records only
//! is written before its answers leave and synced within [`SYNC_WITHIN`]; it survives the death of
//! the process at once and a power cut after that time.

mod batch;

#[cfg(feature = "bench")]
pub(crate) use batch::execute;

use std::{
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use domain::{audit::AuditEvent, usage::UsageRecord};
use futures::future::LocalBoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::{Conn, Engine, Error, Retry, Target, cache::Cache, cache::head::Head, feed::Feed};

/// The longest time a usage record waits for its sync.
pub const SYNC_WITHIN: Duration = Duration::from_millis(50);

/// The most units in one transaction.
const BATCH: usize = 256;

/// The most units that wait before callers do.
const QUEUE: usize = 4_096;

/// What a unit did: a value for the caller, and the records that are committed with it.
pub struct Change<T> {
    value: T,
    events: Vec<AuditEvent>,
    usage: Option<Arc<UsageRecord>>,
}

impl<T> Change<T> {
    /// A change and its audit event.
    pub fn new(value: T, event: AuditEvent) -> Self {
        Self { value, events: vec![event], usage: None }
    }

    /// The unit found that nothing had to be changed.
    pub fn nothing(value: T) -> Self {
        Self { value, events: Vec::new(), usage: None }
    }

    /// Adds audit events of what the change brought with it.
    #[must_use]
    pub fn with_events(mut self, events: impl IntoIterator<Item = AuditEvent>) -> Self {
        self.events.extend(events);
        self
    }

    /// Adds the usage record of the request that asked for the change.
    #[must_use]
    pub fn with_usage(mut self, record: UsageRecord) -> Self {
        self.usage = Some(Arc::new(record));
        self
    }

    /// Gives the caller the usage record beside the value.
    #[must_use]
    pub fn showing_usage(self) -> Change<(T, Option<Arc<UsageRecord>>)> {
        let Self { value, events, usage } = self;
        Change { value: (value, usage.clone()), events, usage }
    }
}

/// What a unit leaves for the batch once it has run.
struct Records {
    events: Vec<AuditEvent>,
    usage: Option<Arc<UsageRecord>>,
}

enum Ran {
    Done(Box<Records>),
    Failed,
    Again,
}

/// What the committer shares with the readers.
struct Shared {
    cache: Arc<Cache>,
    head: Option<Arc<Head>>,
    feed: Arc<Feed>,
}

/// A unit that waits, whatever its types.
trait Unit: Send {
    /// Whether its batch must be synced before the answer.
    fn is_change(&self) -> bool;
    /// The record of a unit that is nothing else: it cannot fail on its own, and needs no savepoint.
    fn only_usage(&self) -> Option<Arc<UsageRecord>>;
    fn run<'a>(&'a mut self, conn: &'a mut Conn<'_>) -> LocalBoxFuture<'a, Ran>;
    /// Answers the caller: the transaction was committed, or why not.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

struct Work<F, T, E> {
    run: F,
    is_change: bool,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Unit for Work<F, T, E>
where
    F: AsyncFn(&mut Conn<'_>) -> Result<Change<T>, E> + Send,
    T: Send,
    E: From<Error> + Retry + Send,
{
    fn is_change(&self) -> bool {
        self.is_change
    }

    fn only_usage(&self) -> Option<Arc<UsageRecord>> {
        None
    }

    fn run<'a>(&'a mut self, conn: &'a mut Conn<'_>) -> LocalBoxFuture<'a, Ran> {
        Box::pin(async move {
            match (self.run)(conn).await {
                Ok(Change { value, events, usage }) => {
                    self.result = Some(Ok(value));
                    Ran::Done(Box::new(Records { events, usage }))
                }
                Err(error) if error.is_retry() => Ran::Again,
                Err(error) => {
                    self.result = Some(Err(error));
                    Ran::Failed
                }
            }
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        let result = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::Serialization.into()),
            // A unit that failed on its own may have seen what was undone with the batch.
            (Err(error), _) => Err(error.into()),
        };
        // The caller may have gone; what was committed stays committed.
        let _ = self.reply.send(result);
    }
}

/// A usage record and nothing else.
struct Use {
    record: Arc<UsageRecord>,
    is_strict: bool,
    reply: oneshot::Sender<Result<(), Error>>,
}

impl Unit for Use {
    fn is_change(&self) -> bool {
        self.is_strict
    }

    fn only_usage(&self) -> Option<Arc<UsageRecord>> {
        // Kept for the case that the batch has to be run again.
        Some(Arc::clone(&self.record))
    }

    fn run<'a>(&'a mut self, _conn: &'a mut Conn<'_>) -> LocalBoxFuture<'a, Ran> {
        Box::pin(async { Ran::Failed })
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        // The caller may have gone; what was committed stays committed.
        let _ = self.reply.send(committed);
    }
}

/// The one way for changes. Cheap to share.
pub struct Committer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Unit>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    /// Starts the thread and opens its connection.
    pub(crate) async fn start(
        target: Target,
        cache: Arc<Cache>,
        head: Option<Arc<Head>>,
        feed: Arc<Feed>,
    ) -> Result<Self, Error> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (ready, opened) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                runtime.enable_time();
                if target.engine() == Engine::Postgres {
                    // SQLite has a thread of its own and no sockets; without them waiting is cheaper.
                    runtime.enable_io();
                }
                let runtime = match runtime.build() {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        let _ = ready
                            .send(Err(Error::Unavailable(format!("the committer has no runtime: {error}"))));
                        return;
                    }
                };
                runtime.block_on(batch::serve(target, Shared { cache, head, feed }, receiver, ready));
            })
            .map_err(|error| Error::Unavailable(format!("the committer has no thread: {error}")))?;
        opened.await.map_err(|_| Error::Unavailable("the committer ended at its start".to_owned()))??;
        Ok(Self { queue: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Runs a change; its audit events and usage record are committed with it, or nothing is.
    ///
    /// The unit may be run more than once (SQLSTATE 40001, another unit that failed), and must do
    /// nothing but use the connection.
    ///
    /// # Errors
    /// The unit's own, or [`Error::Unavailable`] when the commit failed: then nothing has happened.
    pub async fn commit<T, E, F>(&self, unit: F) -> Result<T, E>
    where
        F: AsyncFn(&mut Conn<'_>) -> Result<Change<T>, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Retry + Send + 'static,
    {
        self.submit(unit, true).await
    }

    /// Writes the usage record of a request that changed nothing. `is_strict` syncs it first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it could not be written.
    pub async fn record_usage(
        &self,
        record: impl Into<Arc<UsageRecord>>,
        is_strict: bool,
    ) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Box::new(Use { record: record.into(), is_strict, reply })).await?;
        answer.await.map_err(|_| closed())?
    }

    /// Runs upkeep that no audit record speaks of: sessions, leases, the state of the outbox.
    ///
    /// # Errors
    /// The unit's own, or [`Error::Unavailable`].
    pub async fn upkeep<T, F>(&self, unit: F) -> Result<T, Error>
    where
        F: AsyncFn(&mut Conn<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        self.submit(async move |conn: &mut Conn<'_>| Ok(Change::nothing(unit(conn).await?)), true).await
    }

    /// Finishes what waits, syncs, and ends the thread. Later units are refused.
    pub async fn close(&self) {
        drop(self.queue.lock().ok().and_then(|mut queue| queue.take()));
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            // A panic of the thread has already refused its callers.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    async fn submit<T, E, F>(&self, run: F, is_change: bool) -> Result<T, E>
    where
        F: AsyncFn(&mut Conn<'_>) -> Result<Change<T>, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Retry + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Box::new(Work { run, is_change, result: None, reply })).await?;
        answer.await.map_err(|_| closed())?
    }

    async fn enqueue(&self, unit: Box<dyn Unit>) -> Result<(), Error> {
        let queue = self.queue.lock().ok().and_then(|queue| queue.clone()).ok_or_else(closed)?;
        queue.send(unit).await.map_err(|_| closed())
    }
}

fn closed() -> Error {
    Error::Unavailable("the database is being closed".to_owned())
}
