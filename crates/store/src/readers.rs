//! Connections that only read a SQLite file.
//!
//! A pool of a database server asks each connection that comes back whether it still lives, and
//! that question is a trip to the connection's thread, as expensive as a query. A file does not go
//! away, so here a connection is taken, used and put back, and nothing more.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::Error;

/// How many read at the same time.
const PLACES: usize = 8;

/// How long a reader waits for its place.
const PATIENCE: Duration = Duration::from_secs(10);

/// Readers of one file.
pub(crate) struct Readers {
    options: SqliteConnectOptions,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
}

impl Readers {
    /// Opens a first connection, so that a file that cannot be read is found at once.
    pub(crate) async fn open(options: SqliteConnectOptions) -> Result<Self, Error> {
        let options = options.pragma("query_only", "on");
        let first = options.connect().await?;
        let idle = Arc::new(Mutex::new(vec![first]));
        Ok(Self { options, places: Arc::new(Semaphore::new(PLACES)), idle })
    }

    /// Takes a connection.
    pub(crate) async fn take(&self) -> Result<SqliteReader, Error> {
        let place = timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        let closed = || Error::Unavailable("the database is being closed".to_owned());
        let place =
            place.map_err(|_| Error::Unavailable("no reader is free".to_owned()))?.map_err(|_| closed())?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(SqliteReader { connection: Some(connection), idle: Arc::clone(&self.idle), _place: place })
    }

    /// Closes the connections that are not in use, and lets nobody take one any more.
    pub(crate) async fn close(&self) {
        self.places.close();
        let idle = mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            // A connection that cannot be closed in order is closed by the drop.
            let _ = connection.close().await;
        }
    }
}

/// A connection that goes back when it is dropped.
pub struct SqliteReader {
    /// Always there until the drop.
    connection: Option<SqliteConnection>,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
    _place: OwnedSemaphorePermit,
}

impl SqliteReader {
    /// The connection.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("it is taken out by the drop alone")
    }
}

impl Drop for SqliteReader {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
