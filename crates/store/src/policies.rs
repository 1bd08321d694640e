//! What holds for the whole installation, and exceptions from policies.

use domain::{ExceptionId, FederationId, KeyId, Millis, rotations::policy::PolicyException};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "federation_id, id, key_id, owner, reason, made_by, made_ms, ends_ms, ended_ms, ended_by"
    };
}

statements! {
    SETTING = "SELECT body, version FROM installation_settings WHERE name = $1";
    NEW_SETTING = "INSERT INTO installation_settings (name, body, version, updated_ms) VALUES ($1, $2, 1, $3)
        ON CONFLICT (name) DO NOTHING";
    SET_SETTING = "UPDATE installation_settings SET body = $3, version = version + 1, updated_ms = $4
        WHERE name = $1 AND version = $2";
    INSERT = concat!("INSERT INTO policy_exceptions (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    OPEN = concat!("SELECT ", columns!(), " FROM policy_exceptions WHERE ended_ms IS NULL AND ends_ms > $1
        ORDER BY federation_id, id");
    SINCE = concat!("SELECT ", columns!(), " FROM policy_exceptions WHERE ends_ms > $1 ORDER BY federation_id, id");
    OF_FEDERATION = concat!("SELECT ", columns!(), " FROM policy_exceptions WHERE federation_id = $1 ORDER BY id DESC LIMIT 200");
    END = "UPDATE policy_exceptions SET ended_ms = $3, ended_by = $4
        WHERE federation_id = $1 AND id = $2 AND ended_ms IS NULL AND ends_ms > $3";
}

/// A setting of the installation, with its version; the default at version 0 while it was never set.
pub async fn setting<T: DeserializeOwned + Default>(
    conn: &mut Conn<'_>,
    name: &str,
) -> Result<(T, i64), Error> {
    let row: Option<(String, i64)> =
        on_db!(conn, db => sqlx::query_as(SETTING).bind(name).fetch_optional(db).await)?;
    let Some((body, version)) = row else { return Ok((T::default(), 0)) };
    let value = serde_json::from_str(&body).map_err(|_| Error::Corrupt(format!("setting {name}")))?;
    Ok((value, version))
}

/// Writes a setting that was read at `version`.
///
/// # Errors
/// [`Error::Stale`] when it has another version by now.
pub async fn set<T: Serialize>(
    conn: &mut Conn<'_>,
    name: &str,
    version: i64,
    value: &T,
    at_ms: Millis,
) -> Result<(), Error> {
    let body = serde_json::to_string(value).map_err(|error| Error::Corrupt(error.to_string()))?;
    let rows = if version == 0 {
        on_db!(conn, db => sqlx::query(NEW_SETTING)
            .bind(name).bind(&body).bind(at_ms).execute(db).await.map(|done| done.rows_affected()))?
    } else {
        on_db!(conn, db => sqlx::query(SET_SETTING)
            .bind(name).bind(version).bind(&body).bind(at_ms).execute(db).await.map(|done| done.rows_affected()))?
    };
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    key_id: Option<String>,
    owner: String,
    reason: String,
    made_by: String,
    made_ms: i64,
    ends_ms: i64,
    ended_ms: Option<i64>,
    ended_by: Option<String>,
}

impl TryFrom<Row> for PolicyException {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("exception {}: {what}", row.id));
        let key_id = row.key_id.as_deref().map(|id| KeyId::parse(id).ok_or_else(|| corrupt("key")));
        Ok(Self {
            id: ExceptionId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            federation_id: FederationId::parse(&row.federation_id).ok_or_else(|| corrupt("federation"))?,
            key_id: key_id.transpose()?,
            owner: row.owner,
            reason: row.reason,
            made_by: row.made_by,
            made_ms: row.made_ms,
            ends_ms: row.ends_ms,
            ended_ms: row.ended_ms,
            ended_by: row.ended_by,
        })
    }
}

/// Adds an exception.
pub async fn insert(conn: &mut Conn<'_>, exception: &PolicyException) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(exception.federation_id.as_str())
        .bind(exception.id.as_str())
        .bind(exception.key_id.as_ref().map(KeyId::as_str))
        .bind(&exception.owner)
        .bind(&exception.reason)
        .bind(&exception.made_by)
        .bind(exception.made_ms)
        .bind(exception.ends_ms)
        .bind(exception.ended_ms)
        .bind(&exception.ended_by)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Ends an exception before its time.
///
/// # Errors
/// [`Error::Stale`] when it has ended already.
pub async fn end(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &ExceptionId,
    at_ms: Millis,
    by: &str,
) -> Result<(), Error> {
    let rows = on_db!(conn, db => sqlx::query(END)
        .bind(federation_id.as_str()).bind(id.as_str()).bind(at_ms).bind(by)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// Every exception that holds at a moment.
pub async fn open(conn: &mut Conn<'_>, now_ms: Millis) -> Result<Vec<PolicyException>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(OPEN).bind(now_ms).fetch_all(db).await)?;
    rows.into_iter().map(PolicyException::try_from).collect()
}

/// Every exception that was to end after a moment, whether or not it has ended before.
pub async fn ending_after(conn: &mut Conn<'_>, since_ms: Millis) -> Result<Vec<PolicyException>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(SINCE).bind(since_ms).fetch_all(db).await)?;
    rows.into_iter().map(PolicyException::try_from).collect()
}

/// The exceptions of a federation, newest first.
pub async fn of_federation(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
) -> Result<Vec<PolicyException>, Error> {
    let rows: Vec<Row> =
        on_db!(conn, db => sqlx::query_as(OF_FEDERATION).bind(federation_id.as_str()).fetch_all(db).await)?;
    rows.into_iter().map(PolicyException::try_from).collect()
}
