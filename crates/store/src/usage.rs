//! Usage records.

use domain::{
    FederationId, KeyId, Millis, RequestId,
    usage::{Decision, UsageRecord},
};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "federation_id, request_id, at_ms, key_id, method, resource_type, resource_id, status, decision, reason,
        duration_us, source, user_agent"
    };
}

/// Rows of one statement: each statement is a trip to the database, on SQLite to its thread.
const ROWS: usize = 8;

/// The beginning of a statement that inserts [`ROWS`] rows at once.
const INSERT_MANY: &str = concat!("INSERT INTO usage_records (", columns!(), ") ");

statements! {
    INSERT = concat!("INSERT INTO usage_records (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)");
    OF_KEY = concat!("SELECT ", columns!(), " FROM usage_records
        WHERE federation_id = $1 AND key_id = $2 ORDER BY request_id DESC LIMIT $3");
    OF_FEDERATION = concat!("SELECT ", columns!(), " FROM usage_records
        WHERE federation_id = $1 ORDER BY request_id DESC LIMIT $2");
    BY_HOUR = "SELECT federation_id, at_ms / 3600000 AS hour, decision, COUNT(*) AS count FROM usage_records
        WHERE at_ms >= $1 GROUP BY federation_id, at_ms / 3600000, decision";
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    request_id: String,
    at_ms: i64,
    key_id: String,
    method: String,
    resource_type: String,
    resource_id: Option<String>,
    status: i64,
    decision: String,
    reason: Option<String>,
    duration_us: i64,
    source: Option<String>,
    user_agent: Option<String>,
}

impl TryFrom<Row> for UsageRecord {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("usage record {}: {what}", row.request_id));
        Ok(Self {
            request_id: RequestId::parse(&row.request_id).ok_or_else(|| corrupt("request"))?,
            federation_id: match row.federation_id.as_str() {
                "" => None,
                id => Some(FederationId::parse(id).ok_or_else(|| corrupt("federation"))?),
            },
            key_id: KeyId::parse(&row.key_id).ok_or_else(|| corrupt("key"))?,
            status: u16::try_from(row.status).map_err(|_| corrupt("status"))?,
            decision: Decision::parse(&row.decision).ok_or_else(|| corrupt("decision"))?,
            at_ms: row.at_ms,
            method: row.method,
            resource_type: row.resource_type,
            resource_id: row.resource_id,
            reason: row.reason,
            duration_us: row.duration_us,
            source: row.source,
            user_agent: row.user_agent,
            tolerated: Vec::new(),
        })
    }
}

/// Adds the records of a batch; the committer does.
pub(crate) async fn insert(conn: &mut Conn<'_>, records: &[UsageRecord]) -> Result<(), Error> {
    let (chunks, rest) = records.as_chunks::<ROWS>();
    for chunk in chunks {
        on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(INSERT_MANY);
            sql.push_values(chunk, |mut row, record| {
                row.push_bind(record.federation_id.as_ref().map_or("", FederationId::as_str))
                    .push_bind(record.request_id.as_str())
                    .push_bind(record.at_ms)
                    .push_bind(record.key_id.as_str())
                    .push_bind(&record.method)
                    .push_bind(&record.resource_type)
                    .push_bind(&record.resource_id)
                    .push_bind(i64::from(record.status))
                    .push_bind(record.decision.as_str())
                    .push_bind(&record.reason)
                    .push_bind(record.duration_us)
                    .push_bind(&record.source)
                    .push_bind(&record.user_agent);
            });
            sql.build().execute(db).await.map(drop)
        })?;
    }
    for record in rest {
        insert_one(conn, record).await?;
    }
    Ok(())
}

async fn insert_one(conn: &mut Conn<'_>, record: &UsageRecord) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(record.federation_id.as_ref().map_or("", FederationId::as_str))
        .bind(record.request_id.as_str())
        .bind(record.at_ms)
        .bind(record.key_id.as_str())
        .bind(&record.method)
        .bind(&record.resource_type)
        .bind(&record.resource_id)
        .bind(i64::from(record.status))
        .bind(record.decision.as_str())
        .bind(&record.reason)
        .bind(record.duration_us)
        .bind(&record.source)
        .bind(&record.user_agent)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// The last requests of a key, newest first.
pub async fn of_key(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
    limit: i64,
) -> Result<Vec<UsageRecord>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(OF_KEY)
        .bind(federation_id.as_str()).bind(key_id.as_str()).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(UsageRecord::try_from).collect()
}

/// The last requests to a federation, newest first.
pub async fn of_federation(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    limit: i64,
) -> Result<Vec<UsageRecord>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(OF_FEDERATION)
        .bind(federation_id.as_str()).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(UsageRecord::try_from).collect()
}

/// Requests of one hour, federation and decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourCount {
    /// The federation; `None` for keys that belong to none.
    pub federation_id: Option<FederationId>,
    /// Hours since 1970.
    pub hour: i64,
    /// What was decided.
    pub decision: Decision,
    /// How many.
    pub count: i64,
}

#[derive(FromRow)]
struct HourRow {
    federation_id: String,
    hour: i64,
    decision: String,
    count: i64,
}

/// Counts requests since a time, by hour, federation and decision.
pub async fn by_hour(conn: &mut Conn<'_>, since_ms: Millis) -> Result<Vec<HourCount>, Error> {
    let rows: Vec<HourRow> = on_db!(conn, db => sqlx::query_as(BY_HOUR).bind(since_ms).fetch_all(db).await)?;
    rows.into_iter()
        .map(|row| {
            let decision = Decision::parse(&row.decision)
                .ok_or_else(|| Error::Corrupt(format!("usage decision {:?}", row.decision)))?;
            let federation_id = FederationId::parse(&row.federation_id);
            Ok(HourCount { federation_id, hour: row.hour, decision, count: row.count })
        })
        .collect()
}
