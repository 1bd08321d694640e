//! One transaction for the units that wait.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, pin::Pin, time::Duration};

use domain::{
    FederationId, KeyId,
    audit::AuditEvent,
    usage::{Decision, UsageRecord},
};
use futures::FutureExt;
use tokio::{sync::mpsc, sync::oneshot, time};

use super::{BATCH, Ran, Records, SYNC_WITHIN, Unit};
use crate::{
    Conn, Engine, Error, Target, audit,
    db::{Link, on_db},
    installation, keys, usage,
};

/// How often a batch that the database refused for the sake of another is run again.
const ATTEMPTS: u32 = 10;

/// How long a database may take for a batch before its callers are told that it does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves units until every sender is gone.
pub(super) async fn serve(
    target: Target,
    mut queue: mpsc::Receiver<Box<dyn Unit>>,
    ready: oneshot::Sender<Result<(), Error>>,
) {
    let mut writer = Writer { engine: target.engine(), target, link: None, unsynced: None, full: true };
    let opened = writer.link().await.map(drop);
    let is_open = opened.is_ok();
    if ready.send(opened).is_err() || !is_open {
        return;
    }
    let mut units = Vec::with_capacity(BATCH);
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
    link: Option<Link>,
    /// Ends when the first record that was committed without a sync must be synced.
    unsynced: Option<Pin<Box<time::Sleep>>>,
    /// SQLite's present `synchronous`.
    full: bool,
}

impl Writer {
    async fn link(&mut self) -> Result<&mut Link, Error> {
        let link = if let Some(link) = self.link.take() {
            link
        } else {
            self.full = true;
            self.target.connect().await?
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
                outcome => break outcome,
            }
        };
        match &outcome {
            // A synced commit takes all before it along.
            Ok(()) if is_change => self.unsynced = None,
            Ok(()) => {
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
    }

    async fn attempt(&mut self, units: &mut [Box<dyn Unit>], is_change: bool) -> Result<(), Error> {
        let engine = self.engine;
        if engine == Engine::Sqlite && self.full != is_change {
            let pragma = if is_change { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            let link = self.link().await?;
            execute(&mut link.conn(), pragma).await?;
            self.full = is_change;
        }
        let link = self.link().await?;
        let mut conn = link.conn();
        let conn = &mut conn;
        execute(conn, if engine == Engine::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" }).await?;
        let worked = transaction(conn, engine, units, is_change).await;
        match worked {
            Ok(()) => execute(conn, "COMMIT").await,
            Err(error) => {
                execute(conn, "ROLLBACK").await?;
                Err(error)
            }
        }
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

async fn execute(conn: &mut Conn<'_>, sql: &'static str) -> Result<(), Error> {
    on_db!(conn, db => sqlx::raw_sql(sql).execute(db).await.map(drop))?;
    Ok(())
}

async fn transaction(
    conn: &mut Conn<'_>,
    engine: Engine,
    units: &mut [Box<dyn Unit>],
    is_change: bool,
) -> Result<(), Error> {
    if engine == Engine::Postgres && !is_change {
        execute(conn, "SET LOCAL synchronous_commit = off").await?;
    }
    let mut events: Vec<AuditEvent> = Vec::new();
    let mut uses: Vec<UsageRecord> = Vec::new();
    for unit in units {
        if let Some(record) = unit.only_usage() {
            uses.push(record);
            continue;
        }
        execute(conn, "SAVEPOINT unit").await?;
        // A unit that panics must not take the committer with it; its batch is undone.
        let ran = AssertUnwindSafe(unit.run(conn)).catch_unwind().await;
        match ran.map_err(|_| Error::Unavailable("a unit of the batch panicked".to_owned()))? {
            Ran::Done(records) => {
                let Records { events: own, usage } = *records;
                execute(conn, "RELEASE SAVEPOINT unit").await?;
                events.extend(own);
                uses.extend(usage);
            }
            Ran::Failed => execute(conn, "ROLLBACK TO SAVEPOINT unit").await?,
            Ran::Again => return Err(Error::Serialization),
        }
    }
    write_usage(conn, &uses).await?;
    audit::append(conn, events).await
}

/// Writes usage records, and what they say about their keys: first use, last use, count.
async fn write_usage(conn: &mut Conn<'_>, uses: &[UsageRecord]) -> Result<(), Error> {
    let mut by_key: BTreeMap<(&FederationId, &KeyId), (i64, &UsageRecord)> = BTreeMap::new();
    usage::insert(conn, uses).await?;
    for record in uses {
        if let (Decision::Allowed, Some(federation_id)) = (record.decision, &record.federation_id) {
            let entry = by_key.entry((federation_id, &record.key_id)).or_insert((0, record));
            entry.0 += 1;
            if record.at_ms >= entry.1.at_ms {
                entry.1 = record;
            }
        }
    }
    for ((federation_id, key_id), (count, last)) in by_key {
        keys::mark_used(conn, federation_id, key_id, count, last.at_ms, last.source.as_deref()).await?;
    }
    Ok(())
}
