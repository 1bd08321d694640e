//! Users and groups that an admin marked, and what was learned of a federation's users. Both are kept in
//! memory with the keys of the federation, so whoever writes them says so.

use domain::{
    FederationId, Millis, ResourceId,
    brakes::{Guards, Learned, LearnedKind, Mark, MarkKind},
};
use sqlx::FromRow;

use crate::{Conn, Error, cache::touch::Touch, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "federation_id, resource_id, resource_type, name, kind, reason, marked_by, marked_ms"
    };
}

statements! {
    VERSION = "SELECT version FROM brake_guards WHERE federation_id = $1";
    MOVE = "INSERT INTO brake_guards (federation_id, version) VALUES ($1, 1)
        ON CONFLICT (federation_id) DO UPDATE SET version = brake_guards.version + 1";
    KINDS = "SELECT resource_id, kind FROM protected_resources WHERE federation_id = $1";
    MARKS = concat!("SELECT ", columns!(), " FROM protected_resources WHERE federation_id = $1
        ORDER BY marked_ms DESC, resource_id");
    BY_ID = concat!("SELECT ", columns!(), " FROM protected_resources WHERE federation_id = $1 AND resource_id = $2");
    COUNT = "SELECT CAST(COUNT(*) AS BIGINT) FROM protected_resources WHERE federation_id = $1";
    SET = concat!("INSERT INTO protected_resources (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (federation_id, resource_id) DO UPDATE SET name = excluded.name, kind = excluded.kind,
        reason = excluded.reason, marked_by = excluded.marked_by, marked_ms = excluded.marked_ms");
    REMOVE = "DELETE FROM protected_resources WHERE federation_id = $1 AND resource_id = $2";
    KNOWN = "SELECT kind, value FROM brake_learned WHERE federation_id = $1";
    LEARNED = "SELECT kind, value, since_ms, allowed_by FROM brake_learned WHERE federation_id = $1 ORDER BY kind, value";
    LEARN = "INSERT INTO brake_learned (federation_id, kind, value, since_ms, allowed_by) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (federation_id, kind, value) DO NOTHING";
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    resource_id: String,
    resource_type: String,
    name: String,
    kind: String,
    reason: String,
    marked_by: String,
    marked_ms: i64,
}

impl TryFrom<Row> for Mark {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("mark of {}: {what}", row.resource_id));
        Ok(Self {
            federation_id: FederationId::parse(&row.federation_id).ok_or_else(|| corrupt("federation"))?,
            resource_id: ResourceId::parse(&row.resource_id).ok_or_else(|| corrupt("resource"))?,
            kind: MarkKind::parse(&row.kind).ok_or_else(|| corrupt("kind"))?,
            resource_type: row.resource_type,
            name: row.name,
            reason: row.reason,
            marked_by: row.marked_by,
            marked_ms: row.marked_ms,
        })
    }
}

fn learned_kind(word: &str) -> Result<LearnedKind, Error> {
    LearnedKind::parse(word).ok_or_else(|| Error::Corrupt(format!("learned: {word}")))
}

/// What every change of a federation's directory is held against.
pub async fn guards(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Guards, Error> {
    let id = federation_id.as_str();
    let version: Option<i64> =
        on_db!(conn, db => sqlx::query_scalar(VERSION).bind(id).fetch_optional(db).await)?;
    let marks: Vec<(String, String)> =
        on_db!(conn, db => sqlx::query_as(KINDS).bind(id).fetch_all(db).await)?;
    let known: Vec<(String, String)> =
        on_db!(conn, db => sqlx::query_as(KNOWN).bind(id).fetch_all(db).await)?;
    let marks: Vec<(String, MarkKind)> = marks
        .into_iter()
        .map(|(id, kind)| {
            let kind = MarkKind::parse(&kind).ok_or_else(|| Error::Corrupt(format!("mark of {id}")))?;
            Ok((id, kind))
        })
        .collect::<Result<_, Error>>()?;
    let known: Vec<(LearnedKind, String)> = known
        .into_iter()
        .map(|(kind, value)| Ok((learned_kind(&kind)?, value)))
        .collect::<Result<_, Error>>()?;
    let rules = crate::behaviours::rules(conn, federation_id).await?.unwrap_or_default();
    Ok(Guards::new(version.unwrap_or(0), rules, marks, known))
}

/// Notes that something of the guards was changed: marks, what was learned, or rules.
pub async fn moved(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<(), Error> {
    on_db!(&mut *conn, db => sqlx::query(MOVE).bind(federation_id.as_str()).execute(db).await.map(drop))?;
    conn.touch(Touch::Federation(federation_id));
    Ok(())
}

/// The marks of a federation, the latest first.
pub async fn marks(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Vec<Mark>, Error> {
    let rows: Vec<Row> =
        on_db!(conn, db => sqlx::query_as(MARKS).bind(federation_id.as_str()).fetch_all(db).await)?;
    rows.into_iter().map(Mark::try_from).collect()
}

/// The mark of a user or group.
pub async fn mark(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    resource_id: &ResourceId,
) -> Result<Option<Mark>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(BY_ID)
        .bind(federation_id.as_str()).bind(resource_id.as_str()).fetch_optional(db).await)?;
    row.map(Mark::try_from).transpose()
}

/// How many marks a federation has.
pub async fn count(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<i64, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(COUNT).bind(federation_id.as_str()).fetch_one(db).await)?)
}

/// Marks a user or group, in the place of a mark that it had.
pub async fn set(conn: &mut Conn<'_>, mark: &Mark) -> Result<(), Error> {
    on_db!(&mut *conn, db => sqlx::query(SET)
        .bind(mark.federation_id.as_str())
        .bind(mark.resource_id.as_str())
        .bind(&mark.resource_type)
        .bind(&mark.name)
        .bind(mark.kind.as_str())
        .bind(&mark.reason)
        .bind(&mark.marked_by)
        .bind(mark.marked_ms)
        .execute(db).await.map(drop))?;
    moved(conn, &mark.federation_id).await
}

/// Takes a mark away; false when there is none.
pub async fn remove(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    resource_id: &ResourceId,
) -> Result<bool, Error> {
    let rows = on_db!(&mut *conn, db => sqlx::query(REMOVE)
        .bind(federation_id.as_str()).bind(resource_id.as_str())
        .execute(db).await.map(|done| done.rows_affected()))?;
    moved(conn, federation_id).await?;
    Ok(rows == 1)
}

/// What was learned of a federation.
pub async fn learned(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Vec<Learned>, Error> {
    let rows: Vec<(String, String, i64, Option<String>)> =
        on_db!(conn, db => sqlx::query_as(LEARNED).bind(federation_id.as_str()).fetch_all(db).await)?;
    rows.into_iter()
        .map(|(kind, value, since_ms, allowed_by)| {
            Ok(Learned { kind: learned_kind(&kind)?, value, since_ms, allowed_by })
        })
        .collect()
}

/// Learns values, or allows them; false when all of them are known.
pub async fn learn(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    values: &[(LearnedKind, &str)],
    at_ms: Millis,
    allowed_by: Option<&str>,
) -> Result<bool, Error> {
    let mut learned = 0;
    for (kind, value) in values {
        learned += on_db!(&mut *conn, db => sqlx::query(LEARN)
            .bind(federation_id.as_str())
            .bind(kind.as_str())
            .bind(*value)
            .bind(at_ms)
            .bind(allowed_by)
            .execute(db).await.map(|done| done.rows_affected()))?;
    }
    moved(conn, federation_id).await?;
    Ok(learned > 0)
}
