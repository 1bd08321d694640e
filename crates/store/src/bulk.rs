//! For the seed of a large database: one connection that writes rows in transactions of its own, with the functions
//! that the product writes them with. Nothing else may be at the database meanwhile.

use domain::{audit::AuditEvent, usage::UsageRecord};

use crate::{
    Conn, Error, Target, audit, committer,
    db::{Link, Raw},
    usage::Plan,
};

/// A connection that fills a database.
pub struct Bulk {
    link: Link,
    is_sqlite: bool,
}

impl Bulk {
    /// Connects. Who loses power meanwhile fills another database.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn open(target: &Target) -> Result<Self, Error> {
        let mut link = target.connect().await?;
        let is_sqlite = matches!(link.conn().raw, Raw::Sqlite(_));
        let words: &[&'static str] = if is_sqlite {
            &["PRAGMA synchronous = OFF", "PRAGMA cache_size = -131072"]
        } else {
            &["SET synchronous_commit = off"]
        };
        for word in words {
            committer::execute(&mut link.conn(), word).await?;
        }
        Ok(Self { link, is_sqlite })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn begin(&mut self) -> Result<(), Error> {
        committer::execute(&mut self.link.conn(), "BEGIN").await
    }

    /// Where rows are written.
    pub fn conn(&mut self) -> Conn<'_> {
        self.link.conn()
    }

    /// Writes the records of one batch of requests, packed as the committer packs them, with the counts of their
    /// hours and the last use of their keys.
    ///
    /// # Errors
    /// When the database does not take them.
    pub async fn usage(&mut self, records: &[UsageRecord]) -> Result<(), Error> {
        Plan::of(records)?.write(&mut self.link.conn()).await
    }

    /// Appends events to the audit chain.
    ///
    /// # Errors
    /// When the database does not take them.
    pub async fn append(&mut self, events: Vec<AuditEvent>) -> Result<(), Error> {
        audit::append(&mut self.link.conn(), events).await.map(drop)
    }

    /// Commits.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn commit(&mut self) -> Result<(), Error> {
        committer::execute(&mut self.link.conn(), "COMMIT").await
    }

    /// Tells the planner what is there, and closes.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn close(mut self) -> Result<(), Error> {
        let word = if self.is_sqlite { "PRAGMA wal_checkpoint(TRUNCATE)" } else { "ANALYZE" };
        committer::execute(&mut self.link.conn(), word).await?;
        self.link.close().await;
        Ok(())
    }
}
