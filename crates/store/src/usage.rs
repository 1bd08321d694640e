//! Usage records, packed: one row for the records of one key in one batch of the committer.
//!
//! A row of its own with its indexes for each request costs more than the request. So the records
//! of a batch are written as one text for each key, in order of arrival, beside the newest id among
//! them. Lists go from the newest batch to older ones until no older one can hold what is missing:
//! batches may overlap in time. Counts by the hour are kept beside them.

pub mod search;

mod marks;

use std::{collections::BTreeMap, fmt::Write as _, sync::LazyLock};

use domain::{
    FederationId, HOUR_MS, KeyId, Millis, RequestId,
    ids::IdChance,
    usage::{Decision, UsageRecord, filter::UsageFilter, seal::SealedRow},
};
use serde::Deserialize;
use sqlx::FromRow;

use crate::{
    Conn, Error,
    db::{Raw, on_db},
    keys::{self, Tolerated, Uses, bind_uses},
    statements::{WANTED, statements},
};

/// Binds what [`INSERT`] takes, in its order.
macro_rules! bind_packet {
    ($query:expr, $row:expr) => {
        $query
            .bind($row.federation)
            .bind($row.key)
            .bind($row.last)
            .bind($row.first)
            .bind($row.first_ms)
            .bind($row.last_ms)
            .bind($row.count)
            .bind(&$row.records)
            .bind($row.marks)
    };
}

statements! {
    // A request that is recorded twice must not take the batch of others with it: both records are kept.
    // What is sealed is not touched again: there the late record makes a row of its own.
    INSERT = "INSERT INTO usage_batches (federation_id, key_id, last_request_id, seal, first_request_id, first_ms,
        last_ms, count, records, marks) VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (federation_id, key_id, last_request_id, seal) DO UPDATE SET
        first_request_id = CASE WHEN excluded.first_request_id < usage_batches.first_request_id
            THEN excluded.first_request_id ELSE usage_batches.first_request_id END,
        first_ms = CASE WHEN excluded.first_ms < usage_batches.first_ms
            THEN excluded.first_ms ELSE usage_batches.first_ms END,
        last_ms = CASE WHEN excluded.last_ms > usage_batches.last_ms
            THEN excluded.last_ms ELSE usage_batches.last_ms END,
        count = usage_batches.count + excluded.count, marks = usage_batches.marks | excluded.marks,
        records = substr(usage_batches.records, 1, length(usage_batches.records) - 1) || ','
            || substr(excluded.records, 2)";
    COUNT_HOUR = "INSERT INTO usage_hours (hour, federation_id, decision, count) VALUES ($1, $2, $3, $4)
        ON CONFLICT (hour, federation_id, decision) DO UPDATE SET count = usage_hours.count + excluded.count";
    // One row for so long a stretch, however many requests: a burst must not hide what was before it. A text
    // within a record has its quotes escaped, so the word with quotes around it is the decision.
    ACTIVE = "SELECT MIN(first_ms) AS first_ms, MAX(last_ms) AS last_ms FROM usage_batches
        WHERE federation_id = $1 AND key_id = $2 AND last_request_id >= $3 AND records LIKE '%,\"allowed\",%'
        GROUP BY last_ms / $4 ORDER BY 1";
    BY_HOUR = "SELECT federation_id, hour, decision, count FROM usage_hours WHERE hour >= $1";
    BY_HOUR_OF = "SELECT federation_id, hour, decision, count FROM usage_hours WHERE hour >= $1 AND federation_id = $2";
    BY_HOUR_OF_ALL = "SELECT '' AS federation_id, hour, decision, CAST(SUM(count) AS BIGINT) AS count FROM usage_hours
        WHERE hour >= $1 GROUP BY hour, decision";
    // A batch is written within a moment: its requests count to the hour of the last of them.
    HOURS_OF_KEY = "SELECT last_ms / 3600000 AS hour, CAST(SUM(count) AS BIGINT) AS count FROM usage_batches
        WHERE federation_id = $1 AND key_id = $2 AND last_request_id >= $3 GROUP BY last_ms / 3600000
        ORDER BY hour";
}

/// The most keys of one statement.
const KEYS: usize = 200;

/// After every request id.
const NEWEST: &str = "s";

/// A record as it is packed: request, time, method, type, resource, status, decision, reason,
/// duration, source, user agent, what was tolerated; 1 for real work, when it was. Newer fields go to the
/// end, and older records end before them.
type Packed<'a> = (
    &'a str,
    Millis,
    &'a str,
    &'a str,
    Option<&'a str>,
    u16,
    &'a str,
    Option<&'a str>,
    i64,
    Option<&'a str>,
    Option<&'a str>,
    &'a [String],
    u8,
    &'a [String],
);

/// The same, read. A list is read into a struct field by field.
#[derive(Deserialize)]
struct Unpacked {
    request_id: String,
    at_ms: Millis,
    method: String,
    resource_type: String,
    resource_id: Option<String>,
    status: u16,
    decision: String,
    reason: Option<String>,
    duration_us: i64,
    source: Option<String>,
    user_agent: Option<String>,
    tolerated: Vec<String>,
    #[serde(default)]
    is_work: u8,
    #[serde(default)]
    attributes: Vec<String>,
}

fn pack(record: &UsageRecord) -> Packed<'_> {
    (
        record.request_id.as_str(),
        record.at_ms,
        &record.method,
        &record.resource_type,
        record.resource_id.as_deref(),
        record.status,
        record.decision.as_str(),
        record.reason.as_deref(),
        record.duration_us,
        record.source.as_deref(),
        record.user_agent.as_deref(),
        &record.tolerated,
        u8::from(record.is_work),
        &record.attributes,
    )
}

#[derive(FromRow)]
pub(crate) struct Batch {
    federation_id: String,
    key_id: String,
    last_request_id: String,
    records: String,
}

impl Batch {
    pub(crate) fn unpack(&self) -> Result<Vec<UsageRecord>, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("usage batch {}: {what}", self.last_request_id));
        let federation_id = match self.federation_id.as_str() {
            "" => None,
            id => Some(FederationId::parse(id).ok_or_else(|| corrupt("federation"))?),
        };
        let key_id = KeyId::parse(&self.key_id).ok_or_else(|| corrupt("key"))?;
        let records: Vec<Unpacked> = serde_json::from_str(&self.records).map_err(|_| corrupt("records"))?;
        let record = |read: Unpacked| {
            Ok(UsageRecord {
                request_id: RequestId::parse(&read.request_id).ok_or_else(|| corrupt("request"))?,
                federation_id: federation_id.clone(),
                key_id: key_id.clone(),
                decision: Decision::parse(&read.decision).ok_or_else(|| corrupt("decision"))?,
                at_ms: read.at_ms,
                method: read.method,
                resource_type: read.resource_type,
                resource_id: read.resource_id,
                status: read.status,
                reason: read.reason,
                duration_us: read.duration_us,
                source: read.source,
                user_agent: read.user_agent,
                tolerated: read.tolerated,
                is_work: read.is_work != 0,
                facts: domain::usage::Facts::default(),
                attributes: read.attributes,
            })
        };
        records.into_iter().map(record).collect()
    }
}

/// The records of a sealed row.
pub(crate) fn unpack(row: &SealedRow) -> Result<Vec<UsageRecord>, Error> {
    let batch = Batch {
        federation_id: row.federation_id.clone(),
        key_id: row.key_id.clone(),
        last_request_id: row.last_request_id.clone(),
        records: row.records.clone(),
    };
    batch.unpack()
}

/// What the records of a batch of the committer come to, before anything of it is written.
pub(crate) struct Plan<'a> {
    batches: Vec<Packet<'a>>,
    hours: Vec<(i64, &'a str, &'a str, i64)>,
    keys: Vec<Uses<'a>>,
    tolerated: BTreeMap<(&'a FederationId, &'a KeyId, &'a str), Tolerated>,
}

/// A row of `usage_batches`.
struct Packet<'a> {
    federation: &'a str,
    key: &'a str,
    last: &'a str,
    first: &'a str,
    first_ms: Millis,
    last_ms: Millis,
    count: i64,
    records: String,
    marks: i64,
}

impl<'a> Plan<'a> {
    /// Sorts records by key, hour and word.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a record is no JSON, which no record is.
    pub(crate) fn of(records: impl IntoIterator<Item = &'a UsageRecord>) -> Result<Self, Error> {
        let mut by_key: BTreeMap<(&str, &str), Vec<&UsageRecord>> = BTreeMap::new();
        let mut hours: BTreeMap<(i64, &str, &str), i64> = BTreeMap::new();
        let mut keys: BTreeMap<(&FederationId, &KeyId), Uses<'_>> = BTreeMap::new();
        let mut tolerated = BTreeMap::new();
        for record in records {
            let federation = record.federation_id.as_ref().map_or("", FederationId::as_str);
            by_key.entry((federation, record.key_id.as_str())).or_default().push(record);
            *hours.entry((record.at_ms / HOUR_MS, federation, record.decision.as_str())).or_default() += 1;
            let Some(federation_id) = &record.federation_id else { continue };
            let key_id = &record.key_id;
            for word in &record.tolerated {
                let seen = tolerated.entry((federation_id, key_id, word.as_str())).or_insert(Tolerated {
                    count: 0,
                    first_ms: record.at_ms,
                    last_ms: record.at_ms,
                });
                seen.count += 1;
                seen.first_ms = seen.first_ms.min(record.at_ms);
                seen.last_ms = seen.last_ms.max(record.at_ms);
            }
            if record.decision == Decision::Allowed {
                let none = Uses {
                    federation_id,
                    key_id,
                    count: 0,
                    last: record,
                    tested_ms: None,
                    first_work_ms: None,
                    last_work_ms: None,
                };
                let uses = keys.entry((federation_id, key_id)).or_insert(none);
                uses.count += 1;
                let at_ms = Some(record.at_ms);
                if record.is_work {
                    uses.first_work_ms = [uses.first_work_ms, at_ms].into_iter().flatten().min();
                    uses.last_work_ms = uses.last_work_ms.max(at_ms);
                } else if (200..300).contains(&record.status) {
                    uses.tested_ms = uses.tested_ms.max(at_ms);
                }
                if record.at_ms >= uses.last.at_ms {
                    uses.last = record;
                }
            }
        }
        let packets =
            by_key.into_iter().map(|((federation, key), records)| packet(federation, key, &records));
        Ok(Self {
            batches: packets.collect::<Result<_, _>>()?,
            hours: hours
                .into_iter()
                .map(|((hour, federation, decision), count)| (hour, federation, decision, count))
                .collect(),
            keys: keys.into_values().collect(),
            tolerated,
        })
    }

    /// Writes it inside a transaction.
    pub(crate) async fn write(&self, conn: &mut Conn<'_>) -> Result<(), Error> {
        let (mut batches, mut keys) = (self.batches.as_slice(), self.keys.as_slice());
        if let Raw::Sqlite(connection) = &mut conn.raw {
            let (chunks, rest) = batches.as_chunks::<TOGETHER>();
            for chunk in chunks {
                let query = sqlx::query(sqlx::AssertSqlSafe(BATCHES.as_str()));
                let query = chunk.iter().fold(query, |query, row| bind_packet!(query, row));
                query.execute(&mut **connection).await?;
            }
            batches = rest;
            let (chunks, rest) = keys.as_chunks::<TOGETHER>();
            for chunk in chunks {
                let query = sqlx::query(sqlx::AssertSqlSafe(MARKS.as_str()));
                let query = chunk.iter().fold(query, |query, uses| bind_uses!(query, uses));
                query.execute(&mut **connection).await?;
            }
            keys = rest;
        }
        for row in batches {
            on_db!(&mut *conn, db => bind_packet!(sqlx::query(INSERT), row).execute(db).await.map(drop))?;
        }
        for (hour, federation, decision, count) in &self.hours {
            on_db!(&mut *conn, db => sqlx::query(COUNT_HOUR)
                .bind(hour).bind(federation).bind(decision).bind(count).execute(db).await.map(drop))?;
        }
        for uses in keys {
            keys::mark_used(conn, uses).await?;
        }
        for ((federation_id, key_id, word), seen) in &self.tolerated {
            keys::count_tolerated(conn, federation_id, key_id, word, *seen).await?;
        }
        Ok(())
    }

    /// Writes it as a transaction of its own, in one trip to the thread of SQLite, when it is of the
    /// usual kind: accepted requests of one key in one hour. False when it is not, and nothing is
    /// written.
    pub(crate) async fn write_at_once(&self, conn: &mut Conn<'_>) -> Result<bool, Error> {
        let ([row], [(hour, federation, decision, count)], [uses]) =
            (self.batches.as_slice(), self.hours.as_slice(), self.keys.as_slice())
        else {
            return Ok(false);
        };
        let Raw::Sqlite(connection) = &mut conn.raw else { return Ok(false) };
        if !self.tolerated.is_empty() {
            return Ok(false);
        }
        let query = bind_packet!(sqlx::query(sqlx::AssertSqlSafe(AT_ONCE.as_str())), row)
            .bind(hour)
            .bind(federation)
            .bind(decision)
            .bind(count);
        bind_uses!(query, uses).execute(&mut **connection).await?;
        Ok(true)
    }
}

/// How many keys SQLite takes in one trip to its thread.
const TOGETHER: usize = 8;

/// The batches of so many keys.
static BATCHES: LazyLock<String> = LazyLock::new(|| together(INSERT, 9));

/// The marks of so many keys.
static MARKS: LazyLock<String> = LazyLock::new(|| together(keys::MARKING_USED, 9));

fn together(sql: &str, binds: usize) -> String {
    (0..TOGETHER).map(|place| renumbered(sql, place * binds)).collect::<Vec<_>>().join("; ")
}

/// The statements of [`Plan::write`] for one key, as one text for SQLite: it takes several at once,
/// with one row of binds for all of them.
static AT_ONCE: LazyLock<String> = LazyLock::new(|| {
    let (hour, used) = (renumbered(COUNT_HOUR, 9), renumbered(keys::MARKING_USED, 13));
    format!("BEGIN IMMEDIATE; {INSERT}; {hour}; {used}; COMMIT")
});

/// A statement whose binds begin after `by`.
fn renumbered(sql: &str, by: usize) -> String {
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        let (number, rest) = part.split_at(digits);
        let number: usize = number.parse().unwrap_or(0);
        // Writing to a String cannot fail.
        let _ = write!(text, "${}{rest}", number + by);
    }
    text
}

fn packet<'a>(federation: &'a str, key: &'a str, records: &[&'a UsageRecord]) -> Result<Packet<'a>, Error> {
    let ids = || records.iter().map(|record| record.request_id.as_str());
    let times = || records.iter().map(|record| record.at_ms);
    let packed: Vec<Packed<'_>> = records.iter().map(|record| pack(record)).collect();
    Ok(Packet {
        federation,
        key,
        last: ids().max().unwrap_or_default(),
        first: ids().min().unwrap_or_default(),
        first_ms: times().min().unwrap_or_default(),
        last_ms: times().max().unwrap_or_default(),
        count: i64::try_from(records.len()).unwrap_or(i64::MAX),
        marks: records.iter().fold(0, |marks, record| marks | marks::of(record)),
        records: serde_json::to_string(&packed).map_err(|error| Error::Corrupt(error.to_string()))?,
    })
}

/// The last requests of a key, newest first.
pub async fn of_key(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
    limit: i64,
) -> Result<Vec<UsageRecord>, Error> {
    newest(conn, federation_id, Some(key_id), limit).await
}

/// The last requests to a federation, newest first.
pub async fn of_federation(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    limit: i64,
) -> Result<Vec<UsageRecord>, Error> {
    newest(conn, federation_id, None, limit).await
}

/// The newest records, however many rows have to be read for them.
async fn newest(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: Option<&KeyId>,
    limit: i64,
) -> Result<Vec<UsageRecord>, Error> {
    let limit = usize::try_from(limit).unwrap_or(0);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let filter = UsageFilter { key_id: key_id.cloned(), ..UsageFilter::default() };
    let budget = search::Budget { rows: usize::MAX, records: usize::MAX };
    let of = [Some(federation_id.clone())];
    Ok(search::page(conn, &of, &filter, None, limit, budget).await?.records)
}

/// When a key was let in since a moment: the first and the last request of each stretch of `stretch_ms`.
pub async fn active(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
    since_ms: Millis,
    stretch_ms: Millis,
) -> Result<Vec<(Millis, Millis)>, Error> {
    let first = RequestId::new(since_ms, IdChance::default());
    Ok(on_db!(conn, db => sqlx::query_as(ACTIVE)
        .bind(federation_id.as_str())
        .bind(key_id.as_str())
        .bind(first.as_str())
        .bind(stretch_ms)
        .fetch_all(db).await)?)
}

/// As [`active`], of several keys at once, by key.
pub async fn active_of(
    conn: &mut Conn<'_>,
    keys: &[(&FederationId, &KeyId)],
    since_ms: Millis,
    stretch_ms: Millis,
) -> Result<BTreeMap<KeyId, Vec<(Millis, Millis)>>, Error> {
    let first = search::floor(since_ms);
    let mut stretches: BTreeMap<KeyId, Vec<(Millis, Millis)>> = BTreeMap::new();
    for keys in keys.chunks(KEYS) {
        let rows: Vec<(String, Millis, Millis)> = on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(WANTED);
            sql.push_values(keys, |mut row, (federation_id, key_id)| {
                row.push_bind(federation_id.as_str()).push_bind(key_id.as_str());
            });
            sql.push(
                ") SELECT key_id, MIN(first_ms), MAX(last_ms) FROM wanted CROSS JOIN usage_batches
                WHERE federation_id = of_federation AND key_id = of_id AND last_request_id >= ",
            );
            sql.push_bind(first.as_str());
            // What a row holds is in its marks; of an older row nobody knows.
            sql.push(" AND CASE WHEN marks = -1 THEN records LIKE '%,\"allowed\",%' ELSE (marks & ");
            sql.push_bind(marks::decision(Decision::Allowed)).push(") <> 0 END GROUP BY federation_id, key_id, last_ms / ");
            sql.push_bind(stretch_ms).push(" ORDER BY 2");
            sql.build_query_as().fetch_all(db).await
        })?;
        for (key, first_ms, last_ms) in rows {
            let id = KeyId::parse(&key).ok_or_else(|| Error::Corrupt(format!("usage of key {key}")))?;
            stretches.entry(id).or_default().push((first_ms, last_ms));
        }
    }
    Ok(stretches)
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

/// Counts requests by hour, federation and decision, from the hour that holds `since_ms`.
pub async fn by_hour(conn: &mut Conn<'_>, since_ms: Millis) -> Result<Vec<HourCount>, Error> {
    let hour = since_ms / HOUR_MS;
    counted(on_db!(conn, db => sqlx::query_as(BY_HOUR).bind(hour).fetch_all(db).await)?)
}

/// As [`by_hour`], of one federation.
pub async fn by_hour_of(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    since_ms: Millis,
) -> Result<Vec<HourCount>, Error> {
    let (hour, id) = (since_ms / HOUR_MS, federation_id.as_str());
    counted(on_db!(conn, db => sqlx::query_as(BY_HOUR_OF).bind(hour).bind(id).fetch_all(db).await)?)
}

/// As [`by_hour`], of all together: no count names a federation.
pub async fn by_hour_of_all(conn: &mut Conn<'_>, since_ms: Millis) -> Result<Vec<HourCount>, Error> {
    let hour = since_ms / HOUR_MS;
    counted(on_db!(conn, db => sqlx::query_as(BY_HOUR_OF_ALL).bind(hour).fetch_all(db).await)?)
}

fn counted(rows: Vec<HourRow>) -> Result<Vec<HourCount>, Error> {
    rows.into_iter()
        .map(|row| {
            let decision = Decision::parse(&row.decision)
                .ok_or_else(|| Error::Corrupt(format!("usage decision {:?}", row.decision)))?;
            let federation_id = FederationId::parse(&row.federation_id);
            Ok(HourCount { federation_id, hour: row.hour, decision, count: row.count })
        })
        .collect()
}

#[derive(FromRow)]
struct KeyHour {
    hour: i64,
    count: i64,
}

/// How many requests presented a key, by hours since 1970, from `since_ms`; hours without any are
/// left out.
pub async fn hours_of_key(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
    since_ms: Millis,
) -> Result<Vec<(i64, i64)>, Error> {
    let first = RequestId::new(since_ms, IdChance::default());
    let rows: Vec<KeyHour> = on_db!(conn, db => sqlx::query_as(HOURS_OF_KEY)
        .bind(federation_id.as_str())
        .bind(key_id.as_str())
        .bind(first.as_str())
        .fetch_all(db).await)?;
    Ok(rows.into_iter().map(|row| (row.hour, row.count)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_numbered_anew() {
        assert_eq!(renumbered("a = $1, b = $12 + $2", 8), "a = $9, b = $20 + $10");
        assert_eq!(renumbered("nothing", 8), "nothing");
        assert!(AT_ONCE.contains("$22") && !AT_ONCE.contains("$23"));
    }
}
