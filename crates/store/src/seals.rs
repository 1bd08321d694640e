//! Seals of usage rows: marking rows, reading them again, forgetting whole stretches.

use domain::{
    Millis,
    audit::{Action, AuditRecord},
    usage::{UsageRecord, seal::SealedRow},
};
use sqlx::FromRow;

use crate::{Conn, Error, audit, db::on_db, statements::statements, usage};

macro_rules! columns {
    () => {
        "federation_id, key_id, last_request_id, first_request_id, first_ms, last_ms, count, marks, records"
    };
}

statements! {
    // Marks and reads in one statement, so that what is sealed is what was read. $2: until when; $3 rows and $4
    // records at most, and one row at least.
    CLAIM = concat!("UPDATE usage_batches SET seal = $1 WHERE seal = 0 AND (federation_id, key_id, last_request_id) IN (
            SELECT federation_id, key_id, last_request_id FROM (
                SELECT federation_id, key_id, last_request_id,
                    SUM(count) OVER (ORDER BY last_request_id, federation_id, key_id) - count AS before
                FROM (SELECT federation_id, key_id, last_request_id, count FROM usage_batches
                    WHERE seal = 0 AND last_request_id < $2
                    ORDER BY seal, last_request_id LIMIT $3) AS waiting
            ) AS counted WHERE before < $4)
        RETURNING ", columns!());
    INSERT = "INSERT INTO usage_seals (id, at_ms, from_ms, to_ms, batches, records, digest)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    LAST = "SELECT CAST(COALESCE(MAX(id), 0) AS BIGINT) FROM usage_seals";
    ROWS = concat!("SELECT ", columns!(), " FROM usage_batches WHERE seal = $1
        AND (federation_id, key_id, last_request_id) > ($2, $3, $4)
        ORDER BY federation_id, key_id, last_request_id LIMIT $5");
    NEXT_NUMBER = "SELECT MIN(seal) FROM usage_batches WHERE seal > $1";
    UNSEALED = "SELECT CAST(COUNT(*) AS BIGINT) AS batches, CAST(COALESCE(SUM(count), 0) AS BIGINT) AS records
        FROM usage_batches WHERE seal = 0";
    OF_LOG = "SELECT seq FROM audit_records WHERE seq > $1 AND action = $2 ORDER BY seq LIMIT 256";
    // $3: the last seal that nobody waits for; $4: from when on those after it are waited for.
    OLDEST = "SELECT id, at_ms, from_ms, to_ms, batches, records, digest FROM usage_seals
        WHERE forgotten_ms IS NULL AND to_ms < $1 AND (id <= $3 OR to_ms < $4) ORDER BY to_ms LIMIT $2";
    FORGET_ROWS = "DELETE FROM usage_batches WHERE seal = $1";
    FORGET = "UPDATE usage_seals SET forgotten_ms = $2 WHERE id = $1 AND forgotten_ms IS NULL";
    AFTER = "SELECT id, at_ms, from_ms, to_ms, batches, records, digest FROM usage_seals
        WHERE id > $1 AND forgotten_ms IS NULL ORDER BY id LIMIT $2";
    WAITING = "SELECT CAST(COALESCE(SUM(records), 0) AS BIGINT) AS records, CAST(COALESCE(MIN(from_ms), 0) AS BIGINT) AS from_ms
        FROM usage_seals WHERE id > $1 AND forgotten_ms IS NULL";
    // Those before the newest $2 records.
    BEYOND = "SELECT CAST(COALESCE(MAX(id), 0) AS BIGINT) FROM (
            SELECT id, SUM(records) OVER (ORDER BY id DESC) AS held FROM usage_seals
            WHERE id > $1 AND forgotten_ms IS NULL
        ) AS waiting WHERE held > $2";
    LOST = "SELECT CAST(COALESCE(MIN(id), 0) AS BIGINT) AS first, CAST(COALESCE(MAX(id), 0) AS BIGINT) AS last,
            CAST(COALESCE(MIN(from_ms), 0) AS BIGINT) AS from_ms, CAST(COALESCE(MAX(to_ms), 0) AS BIGINT) AS to_ms,
            CAST(COALESCE(SUM(records), 0) AS BIGINT) AS records
        FROM usage_seals WHERE id > $1 AND id < $2 AND forgotten_ms IS NOT NULL";
}

/// A seal, as the audit log has it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Seal {
    /// Its number: 1, 2, 3 …
    pub id: i64,
    /// When it was made.
    pub at_ms: Millis,
    /// The time of the oldest record.
    pub from_ms: Millis,
    /// The time of the newest.
    pub to_ms: Millis,
    /// How many rows.
    pub batches: i64,
    /// How many records.
    pub records: i64,
    /// The digest.
    pub digest: String,
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    key_id: String,
    last_request_id: String,
    first_request_id: String,
    first_ms: i64,
    last_ms: i64,
    count: i64,
    marks: i64,
    records: String,
}

impl From<Row> for SealedRow {
    fn from(row: Row) -> Self {
        Self {
            federation_id: row.federation_id,
            key_id: row.key_id,
            last_request_id: row.last_request_id,
            first_request_id: row.first_request_id,
            first_ms: row.first_ms,
            last_ms: row.last_ms,
            count: row.count,
            marks: row.marks,
            records: row.records,
        }
    }
}

/// Marks rows that have no seal and end before a time as those of one, in the order of their digest.
pub async fn claim(
    conn: &mut Conn<'_>,
    seal: i64,
    before_ms: Millis,
    rows: i64,
    records: i64,
) -> Result<Vec<SealedRow>, Error> {
    let claimed: Vec<Row> = on_db!(conn, db => sqlx::query_as(CLAIM)
        .bind(seal).bind(usage::search::floor(before_ms)).bind(rows).bind(records).fetch_all(db).await)?;
    let mut rows: Vec<SealedRow> = claimed.into_iter().map(SealedRow::from).collect();
    rows.sort_unstable();
    Ok(rows)
}

/// Keeps a seal.
pub async fn insert(conn: &mut Conn<'_>, seal: &Seal) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(seal.id).bind(seal.at_ms).bind(seal.from_ms).bind(seal.to_ms).bind(seal.batches)
        .bind(seal.records).bind(&seal.digest).execute(db).await.map(drop))?;
    Ok(())
}

/// The number of the last seal, 0 when there is none.
pub async fn last(conn: &mut Conn<'_>) -> Result<i64, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(LAST).fetch_one(db).await)?)
}

/// Rows of a seal in the order of its digest, after one.
pub async fn rows(
    conn: &mut Conn<'_>,
    seal: i64,
    after: Option<&SealedRow>,
    limit: i64,
) -> Result<Vec<SealedRow>, Error> {
    let (federation, key, last) = after.map_or(("", "", ""), |row| {
        (row.federation_id.as_str(), row.key_id.as_str(), row.last_request_id.as_str())
    });
    let found: Vec<Row> = on_db!(conn, db => sqlx::query_as(ROWS)
        .bind(seal).bind(federation).bind(key).bind(last).bind(limit).fetch_all(db).await)?;
    Ok(found.into_iter().map(SealedRow::from).collect())
}

/// The next seal that any row names after a number; rows may name what no seal is.
pub async fn next_number(conn: &mut Conn<'_>, after: i64) -> Result<Option<i64>, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar::<_, Option<i64>>(NEXT_NUMBER).bind(after).fetch_one(db).await)?)
}

#[derive(FromRow)]
struct Count {
    batches: i64,
    records: i64,
}

/// How many rows and records have no seal yet.
pub async fn unsealed(conn: &mut Conn<'_>) -> Result<(i64, i64), Error> {
    let Count { batches, records } = on_db!(conn, db => sqlx::query_as(UNSEALED).fetch_one(db).await)?;
    Ok((batches, records))
}

/// The records of the audit log about seals (or about what was forgotten) after a place, oldest first.
pub async fn of_log(conn: &mut Conn<'_>, action: Action, after: i64) -> Result<Vec<AuditRecord>, Error> {
    let places: Vec<i64> = on_db!(&mut *conn, db => sqlx::query_scalar(OF_LOG)
        .bind(after).bind(action.as_str()).fetch_all(db).await)?;
    let mut records = Vec::with_capacity(places.len());
    for seq in places {
        records.extend(audit::by_seq(conn, seq).await?);
    }
    Ok(records)
}

/// What of the seals may not be forgotten yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The last seal that nobody waits for.
    pub after: i64,
    /// Seals after it are kept while their newest record is not older.
    pub from_ms: Millis,
}

impl Hold {
    /// Nothing is held.
    pub const NONE: Self = Self { after: i64::MAX, from_ms: i64::MAX };
}

/// Seals of which every record is older than a time and that nothing holds, the oldest first.
pub async fn oldest(
    conn: &mut Conn<'_>,
    before_ms: Millis,
    hold: Hold,
    limit: i64,
) -> Result<Vec<Seal>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(OLDEST)
        .bind(before_ms).bind(limit).bind(hold.after).bind(hold.from_ms).fetch_all(db).await)?)
}

/// The last seal after a number that lies before the newest `records` records; 0 when there are fewer.
pub async fn beyond(conn: &mut Conn<'_>, after: i64, records: i64) -> Result<i64, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(BEYOND).bind(after).bind(records).fetch_one(db).await)?)
}

/// Seals between two numbers that were forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Gone {
    /// The first of them; 0 when there are none.
    pub first: i64,
    /// The last of them.
    pub last: i64,
    /// The time of their oldest record.
    pub from_ms: Millis,
    /// The time of their newest.
    pub to_ms: Millis,
    /// How many records they held.
    pub records: i64,
}

/// What was forgotten of the seals after one and before another.
pub async fn gone(conn: &mut Conn<'_>, after: i64, before: i64) -> Result<Option<Gone>, Error> {
    let gone: Gone = on_db!(conn, db => sqlx::query_as(LOST).bind(after).bind(before).fetch_one(db).await)?;
    Ok((gone.first > 0).then_some(gone))
}

/// Forgets the rows of a seal; how many.
pub async fn forget(conn: &mut Conn<'_>, seal: i64, now_ms: Millis) -> Result<u64, Error> {
    let rows = on_db!(&mut *conn, db => sqlx::query(FORGET_ROWS)
        .bind(seal).execute(db).await.map(|done| done.rows_affected()))?;
    on_db!(conn, db => sqlx::query(FORGET).bind(seal).bind(now_ms).execute(db).await.map(drop))?;
    Ok(rows)
}

/// Seals after a number whose rows are kept.
pub async fn after(conn: &mut Conn<'_>, seal: i64, limit: i64) -> Result<Vec<Seal>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(AFTER).bind(seal).bind(limit).fetch_all(db).await)?)
}

#[derive(FromRow)]
struct Waits {
    records: i64,
    from_ms: i64,
}

/// How many sealed records come after a seal, and the time of the oldest of them.
pub async fn waiting(conn: &mut Conn<'_>, seal: i64) -> Result<(i64, Millis), Error> {
    let Waits { records, from_ms } =
        on_db!(conn, db => sqlx::query_as(WAITING).bind(seal).fetch_one(db).await)?;
    Ok((records, from_ms))
}

/// The records of a sealed row.
pub fn unpack(row: &SealedRow) -> Result<Vec<UsageRecord>, Error> {
    usage::unpack(row)
}
