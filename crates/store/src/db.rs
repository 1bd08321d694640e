//! Opening a database, and connections that are one or the other.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::FederationId;
use sqlx::{
    ConnectOptions, Connection, PgConnection, Pool, Postgres, Sqlite, SqliteConnection, Transaction,
    migrate::{MigrateError, Migrator},
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteOperation, SqliteSynchronous},
};

use crate::{
    Committer, Error, audit,
    cache::{
        self, Cache, Fresh, Proof,
        head::Head,
        touch::{Touch, Touched, tables},
    },
    feed::{Feed, Wire},
    journal::Waiting,
    readers::{Readers, SqliteReader},
};

pub(crate) static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// How long SQLite waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long Postgres may take to say what other nodes have changed; then nothing is given from memory.
const UNSEEN: Duration = Duration::from_secs(5);

/// How long a connection to Postgres rests before it is asked whether it still lives.
const RESTED: Duration = Duration::from_secs(5);

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// SQLite, inside.
    Sqlite,
    /// Postgres, beside.
    Postgres,
}

/// Where the database is.
#[derive(Debug, Clone)]
pub enum Target {
    /// A file.
    Sqlite(Box<SqliteConnectOptions>),
    /// A server.
    Postgres(Box<PgConnectOptions>),
}

impl Target {
    /// A SQLite file; [`migrate`] makes it, closed to other users.
    pub fn sqlite(path: PathBuf) -> Self {
        Self::Sqlite(Box::new(
            SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(false)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(BUSY_TIMEOUT)
                .disable_statement_logging(),
        ))
    }

    /// Reads `sqlite:PATH` or `postgres://…`.
    ///
    /// # Errors
    /// A sentence that says what was expected; never the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            return Ok(Self::sqlite(PathBuf::from(path)));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url)
                .map_err(|error| format!("not a Postgres address: {error}"))?
                .application_name("keyward")
                .disable_statement_logging();
            return Ok(Self::Postgres(Box::new(options)));
        }
        Err("sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE was expected".to_owned())
    }

    /// Which database it is.
    pub fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    pub(crate) async fn connect(&self) -> Result<Link, Error> {
        Ok(match self {
            Self::Sqlite(options) => Link::Sqlite(Box::new(options.connect().await?)),
            Self::Postgres(options) => Link::Postgres(Box::new(options.connect().await?)),
        })
    }
}

/// A connection of one's own.
pub(crate) enum Link {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

impl Link {
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        Conn { raw: self.raw(), touched: None, changes: None }
    }

    /// A connection that keeps account of what is written on it, and the changes for the journal until
    /// they are written together.
    pub(crate) fn writing<'c>(
        &'c mut self,
        cache: &'c Cache,
        touched: &'c mut Touched,
        changes: &'c mut Waiting,
    ) -> Conn<'c> {
        Conn { raw: self.raw(), touched: Some((cache, touched)), changes: Some(changes) }
    }

    fn raw(&mut self) -> Raw<'_> {
        match self {
            Self::Sqlite(connection) => Raw::Sqlite(connection),
            Self::Postgres(connection) => Raw::Postgres(connection),
        }
    }

    /// Lets SQLite note in `written` which tables it writes on this connection. Postgres has no such
    /// thing; the functions that write are the same.
    pub(crate) async fn watch_tables(&mut self, written: Arc<AtomicU32>) -> Result<(), Error> {
        if let Self::Sqlite(connection) = self {
            connection.lock_handle().await?.set_update_hook(move |change| {
                let is_row = !matches!(change.operation, SqliteOperation::Update);
                let bits = tables::bits(change.table, is_row);
                if bits != 0 {
                    written.fetch_or(bits, Ordering::SeqCst);
                }
            });
        }
        Ok(())
    }

    pub(crate) async fn close(self) {
        // A connection that cannot be closed in order is closed by the drop.
        let _ = match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        };
    }
}

/// A borrowed connection to either database; every function of a noun takes one.
pub struct Conn<'c> {
    pub(crate) raw: Raw<'c>,
    touched: Option<(&'c Cache, &'c mut Touched)>,
    /// Changes that are written before the COMMIT, or before somebody reads the journal.
    pub(crate) changes: Option<&'c mut Waiting>,
}

/// The two databases.
pub(crate) enum Raw<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Conn<'_> {
    /// Every function that writes what [`Cache`] keeps says here what it touches.
    pub(crate) fn touch(&mut self, touch: Touch<'_>) {
        if let Some((cache, touched)) = &mut self.touched {
            touched.add(cache, touch);
        }
    }

    /// Compares what was said to be touched with the tables that the database says were written, as
    /// bits of [`tables`]. When something was forgotten, everything goes.
    ///
    /// # Errors
    /// Where defects are looked for: in builds with debug assertions the batch is refused.
    pub(crate) fn check_touched(&mut self, written: u32) -> Result<(), Error> {
        let Some((_, touched)) = &mut self.touched else { return Ok(()) };
        let missing = touched.missing(written);
        if missing == 0 {
            return Ok(());
        }
        touched.everything();
        tracing::error!(missing, "a change did not say what it touches");
        if cfg!(debug_assertions) {
            let names = tables::names(missing);
            return Err(Error::Unavailable(format!(
                "a function of `store` writes {names}, of which values are kept, and does not call `Conn::touch`"
            )));
        }
        Ok(())
    }

    /// Whether what was proven when a value was given out still holds on this connection, earlier
    /// units of its batch included. False says that nobody knows without asking: on Postgres another
    /// node may have changed it.
    pub fn still_holds(&self, proof: &Proof) -> bool {
        match (&self.raw, &self.touched) {
            (Raw::Sqlite(_), Some((cache, touched))) => {
                cache.holds(proof) && !touched.has_any_of(proof.marks())
            }
            (Raw::Sqlite(_), None) | (Raw::Postgres(_), _) => false,
        }
    }
}

/// Runs one body on either database: `on_db!(conn, db => sqlx::query(SQL).execute(db).await)`.
macro_rules! on_db {
    ($conn:expr, $db:ident => $body:expr) => {
        match &mut ($conn).raw {
            $crate::db::Raw::Sqlite(connection) => {
                let $db = &mut **connection;
                $body
            }
            $crate::db::Raw::Postgres(connection) => {
                let $db = &mut **connection;
                $body
            }
        }
    };
}
pub(crate) use on_db;

/// A connection taken from the pool of readers; it never waits for the committer.
pub enum Reader {
    /// To SQLite.
    Sqlite(SqliteReader),
    /// To Postgres.
    Postgres(PoolConnection<Postgres>),
}

impl Reader {
    /// The connection.
    pub fn conn(&mut self) -> Conn<'_> {
        let raw = match self {
            Self::Sqlite(reader) => Raw::Sqlite(reader.connection()),
            Self::Postgres(connection) => Raw::Postgres(connection),
        };
        Conn { raw, touched: None, changes: None }
    }

    /// Holds the database still: what is read by several statements is as of one moment. It costs one
    /// trip more, and ends when it is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database does not answer.
    pub async fn view(&mut self) -> Result<View<'_>, Error> {
        const POSTGRES: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        Ok(match self {
            Self::Sqlite(reader) => View::Sqlite(reader.connection().begin().await?),
            Self::Postgres(connection) => View::Postgres(connection.begin_with(POSTGRES).await?),
        })
    }
}

/// A database that is held still for one reader.
pub enum View<'r> {
    /// SQLite: what is seen is decided by the first statement.
    Sqlite(Transaction<'r, Sqlite>),
    /// Postgres.
    Postgres(Transaction<'r, Postgres>),
}

impl View<'_> {
    /// The connection.
    pub fn conn(&mut self) -> Conn<'_> {
        let raw = match self {
            Self::Sqlite(transaction) => Raw::Sqlite(transaction),
            Self::Postgres(transaction) => Raw::Postgres(transaction),
        };
        Conn { raw, touched: None, changes: None }
    }
}

enum Pools {
    Sqlite(Box<Readers>),
    Postgres(Pool<Postgres>),
}

/// An open database: a pool of readers, the committer, and what is kept of what was read.
pub struct Store {
    readers: Pools,
    committer: Committer,
    cache: Arc<Cache>,
    /// On Postgres, where other nodes commit too.
    head: Option<Arc<Head>>,
    feed: Arc<Feed>,
    target: Target,
    file: Option<PathBuf>,
    /// The lock on the file, while it is claimed.
    claimed: Mutex<Option<File>>,
}

impl Store {
    /// Which database it is.
    pub fn engine(&self) -> Engine {
        self.target.engine()
    }

    /// Opens a migrated database.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be opened.
    pub async fn open(target: Target) -> Result<Self, Error> {
        let cache = Arc::new(Cache::new(cache::BUDGET));
        let head = (target.engine() == Engine::Postgres).then(|| Arc::new(Head::new()));
        let feed = Arc::new(Feed::new(target.engine() == Engine::Postgres));
        let (cached, told) = (Arc::clone(&cache), Arc::clone(&feed));
        let committer = Committer::start(target.clone(), cached, head.clone(), told).await?;
        let other = target.clone();
        let (readers, file) = match target {
            Target::Sqlite(options) => {
                let file = options.get_filename().to_path_buf();
                (Pools::Sqlite(Box::new(Readers::open(*options).await?)), Some(file))
            }
            Target::Postgres(options) => {
                let pool = PgPoolOptions::new()
                    .max_connections(16)
                    .acquire_timeout(Duration::from_secs(10))
                    // Asking whether it lives is a trip of its own: only what rested long is asked.
                    .test_before_acquire(false)
                    .before_acquire(|connection, rest| {
                        Box::pin(async move {
                            if rest.idle_for < RESTED {
                                return Ok(true);
                            }
                            connection.ping().await.map(|()| true)
                        })
                    })
                    .connect_with(*options)
                    .await?;
                (Pools::Postgres(pool), None)
            }
        };
        Ok(Self { readers, committer, cache, head, feed, target: other, file, claimed: Mutex::new(None) })
    }

    /// Claims the database for this process, and begins to keep what is read. A SQLite file has one
    /// process that writes, until [`Store::close`]; a Postgres database may have many nodes. False
    /// when another process has the file.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the lock cannot be made, or Postgres does not answer.
    pub async fn claim(&self) -> Result<bool, Error> {
        if let Some(file) = &self.file {
            let Some(lock) = lock(file)? else { return Ok(false) };
            *self.claimed.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        }
        if let Some(head) = &self.head {
            head.start(&audit::head(&mut self.read().await?.conn()).await?);
        }
        self.cache.switch_on();
        Ok(true)
    }

    /// What is kept of what was read.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// A kept value that is as new as the database, with its proof; `None` when it has to be read.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when Postgres does not say whether other nodes changed something.
    pub async fn cached<T: Send + Sync + 'static>(
        &self,
        kind: cache::Kind,
        federation_id: Option<&FederationId>,
        id: &str,
    ) -> Result<Option<(Arc<T>, Proof)>, Error> {
        Ok(self.fresh().await?.find_proven(kind, federation_id, id))
    }

    /// What is kept and is as new as the database is now: for several values by one question.
    ///
    /// # Errors
    /// As [`Store::cached`].
    pub async fn fresh(&self) -> Result<Fresh<'_>, Error> {
        if let Some(head) = &self.head {
            // Whoever does not see the database does not know what was revoked meanwhile.
            let asked = tokio::time::timeout(UNSEEN, head.refresh(self)).await;
            asked.map_err(|_| Error::Unavailable(format!("not seen for {} s", UNSEEN.as_secs())))??;
        }
        Ok(self.cache.fresh())
    }

    /// Takes a reader.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none is free within ten seconds.
    pub async fn read(&self) -> Result<Reader, Error> {
        Ok(match &self.readers {
            Pools::Sqlite(readers) => Reader::Sqlite(readers.take().await?),
            Pools::Postgres(pool) => Reader::Postgres(pool.acquire().await?),
        })
    }

    /// Usage records as they come.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The wire to the other nodes of a Postgres database, of which this one has a name; `None` for SQLite.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be connected.
    pub async fn wire(&self, node: &str) -> Result<Option<Wire>, Error> {
        Wire::connect(&self.target, node).await
    }

    /// The way for every change.
    pub fn committer(&self) -> &Committer {
        &self.committer
    }

    /// Finishes what waits, syncs it, and closes every connection.
    pub async fn close(&self) {
        self.committer.close().await;
        match &self.readers {
            Pools::Sqlite(readers) => readers.close().await,
            Pools::Postgres(pool) => pool.close().await,
        }
        // The next process may have the file.
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Brings a database to the newest schema; returns its number.
///
/// # Errors
/// [`Error::Unavailable`] when it cannot be opened or a migration fails, [`Error::Newer`] when its
/// schema is newer than this program.
pub async fn migrate(target: &Target) -> Result<usize, Error> {
    let migrations = match target.engine() {
        Engine::Sqlite => &SQLITE_MIGRATIONS,
        Engine::Postgres => &POSTGRES_MIGRATIONS,
    };
    if let Target::Sqlite(options) = target {
        make_private(options.get_filename())?;
    }
    let mut link = target.connect().await?;
    let ran = on_db!(&mut link.conn(), db => migrations.run(db).await);
    link.close().await;
    match ran {
        Ok(()) => Ok(migrations.iter().count()),
        Err(MigrateError::VersionMissing(number)) => Err(Error::Newer(number)),
        Err(error) => Err(Error::Unavailable(format!("migration: {error}"))),
    }
}

/// Locks a database file by a file beside it, until the lock is dropped or the process has ended;
/// `None` when another process did.
fn lock(database: &Path) -> Result<Option<File>, Error> {
    let mut name = database.as_os_str().to_owned();
    name.push("-lock");
    let path = PathBuf::from(name);
    let file = private().create(true).truncate(false).open(&path);
    let unavailable = |error: io::Error| Error::Unavailable(format!("{}: {error}", path.display()));
    let file = file.map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

/// Opens files for writing that only their owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Makes the file of a new database so that only its owner may read it; the files beside it take
/// its mode.
fn make_private(path: &Path) -> Result<(), Error> {
    match private().create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::Unavailable(format!("{}: {error}", path.display()))),
    }
}
