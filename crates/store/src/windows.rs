//! Maintenance windows. What one lets through is counted in its row, behind the lock of the ledger.

use domain::{FederationId, Millis, WindowId, brakes::Window};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "federation_id, id, ceiling, used, begins_ms, ends_ms, reason, made_by, made_by_id, made_ms, agreed_by, agreed_ms,
        ended_ms, ended_by, version"
    };
}

statements! {
    INSERT = "INSERT INTO maintenance_windows (federation_id, id, ceiling, used, begins_ms, ends_ms, reason, made_by,
        made_by_id, made_ms, version) VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $9, 1)";
    OPEN = concat!("SELECT ", columns!(), " FROM maintenance_windows WHERE federation_id = $1 AND ends_ms > $2
        AND begins_ms <= $2 AND agreed_ms IS NOT NULL AND ended_ms IS NULL ORDER BY ends_ms, id");
    LIST = concat!("SELECT ", columns!(), " FROM maintenance_windows WHERE federation_id = $1
        ORDER BY ends_ms DESC, id DESC LIMIT $2");
    BY_ID = concat!("SELECT ", columns!(), " FROM maintenance_windows WHERE federation_id = $1 AND id = $2");
    USE = "UPDATE maintenance_windows SET used = used + $3 WHERE federation_id = $1 AND id = $2";
    AGREE = "UPDATE maintenance_windows SET agreed_by = $4, agreed_ms = $5, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3 AND agreed_ms IS NULL AND ended_ms IS NULL";
    END = "UPDATE maintenance_windows SET ended_by = $4, ended_ms = $5, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3 AND ended_ms IS NULL";
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    ceiling: i64,
    used: i64,
    begins_ms: i64,
    ends_ms: i64,
    reason: String,
    made_by: String,
    made_by_id: String,
    made_ms: i64,
    agreed_by: Option<String>,
    agreed_ms: Option<i64>,
    ended_ms: Option<i64>,
    ended_by: Option<String>,
    version: i64,
}

impl TryFrom<Row> for Window {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("maintenance window {}: {what}", row.id));
        Ok(Self {
            federation_id: FederationId::parse(&row.federation_id).ok_or_else(|| corrupt("federation"))?,
            id: WindowId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            ceiling: row.ceiling,
            used: row.used,
            begins_ms: row.begins_ms,
            ends_ms: row.ends_ms,
            reason: row.reason,
            made_by: row.made_by,
            made_by_id: row.made_by_id,
            made_ms: row.made_ms,
            agreed_by: row.agreed_by,
            agreed_ms: row.agreed_ms,
            ended_ms: row.ended_ms,
            ended_by: row.ended_by,
            version: row.version,
        })
    }
}

/// Adds a window.
pub async fn insert(conn: &mut Conn<'_>, window: &Window) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(window.federation_id.as_str())
        .bind(window.id.as_str())
        .bind(window.ceiling)
        .bind(window.begins_ms)
        .bind(window.ends_ms)
        .bind(&window.reason)
        .bind(&window.made_by)
        .bind(&window.made_by_id)
        .bind(window.made_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// The windows of a federation that are open at a moment, the first to end first.
pub async fn open(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    now_ms: Millis,
) -> Result<Vec<Window>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(OPEN)
        .bind(federation_id.as_str()).bind(now_ms).fetch_all(db).await)?;
    rows.into_iter().map(Window::try_from).collect()
}

/// The windows of a federation, the latest first.
pub async fn list(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    limit: i64,
) -> Result<Vec<Window>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(LIST)
        .bind(federation_id.as_str()).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(Window::try_from).collect()
}

/// One window.
pub async fn by_id(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &WindowId,
) -> Result<Option<Window>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(BY_ID)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(Window::try_from).transpose()
}

/// Counts what a window lets through.
pub async fn use_up(conn: &mut Conn<'_>, window: &Window, operations: i64) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(USE)
        .bind(window.federation_id.as_str()).bind(window.id.as_str()).bind(operations)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Notes that a second person agreed to a window as it was seen.
///
/// # Errors
/// [`Error::Stale`] when it was agreed to or ended since.
pub async fn agree(conn: &mut Conn<'_>, window: &Window, by: &str, at_ms: Millis) -> Result<(), Error> {
    let rows = on_db!(conn, db => sqlx::query(AGREE)
        .bind(window.federation_id.as_str()).bind(window.id.as_str()).bind(window.version).bind(by).bind(at_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// Ends a window as it was seen.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub async fn end(conn: &mut Conn<'_>, window: &Window, by: &str, at_ms: Millis) -> Result<(), Error> {
    let rows = on_db!(conn, db => sqlx::query(END)
        .bind(window.federation_id.as_str()).bind(window.id.as_str()).bind(window.version).bind(by).bind(at_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}
