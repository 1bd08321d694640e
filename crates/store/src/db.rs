//! Opening a database, and connections that are one or the other.

use std::{
    fs::OpenOptions,
    io::ErrorKind,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, PgConnection, Pool, Postgres, SqliteConnection,
    migrate::{MigrateError, Migrator},
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    Committer, Error,
    readers::{Readers, SqliteReader},
};

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// How long SQLite waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

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
        match self {
            Self::Sqlite(connection) => Conn::Sqlite(connection),
            Self::Postgres(connection) => Conn::Postgres(connection),
        }
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
pub enum Conn<'c> {
    /// To SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// To Postgres.
    Postgres(&'c mut PgConnection),
}

/// Runs one body on either database: `on_db!(conn, db => sqlx::query(SQL).execute(db).await)`.
macro_rules! on_db {
    ($conn:expr, $db:ident => $body:expr) => {
        match $conn {
            $crate::Conn::Sqlite(connection) => {
                let $db = &mut **connection;
                $body
            }
            $crate::Conn::Postgres(connection) => {
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
        match self {
            Self::Sqlite(reader) => Conn::Sqlite(reader.connection()),
            Self::Postgres(connection) => Conn::Postgres(connection),
        }
    }
}

enum Pools {
    Sqlite(Box<Readers>),
    Postgres(Pool<Postgres>),
}

/// An open database: a pool of readers, and the committer.
pub struct Store {
    readers: Pools,
    committer: Committer,
}

impl Store {
    /// Opens a migrated database.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be opened.
    pub async fn open(target: Target) -> Result<Self, Error> {
        let committer = Committer::start(target.clone()).await?;
        let readers = match target {
            Target::Sqlite(options) => Pools::Sqlite(Box::new(Readers::open(*options).await?)),
            Target::Postgres(options) => Pools::Postgres(
                PgPoolOptions::new()
                    .max_connections(16)
                    .acquire_timeout(Duration::from_secs(10))
                    .connect_with(*options)
                    .await?,
            ),
        };
        Ok(Self { readers, committer })
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

/// Makes the file of a new database so that only its owner may read it; the files beside it take
/// its mode.
fn make_private(path: &Path) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::Unavailable(format!("{}: {error}", path.display()))),
    }
}
