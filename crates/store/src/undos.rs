//! Changes that are taken back: the confirmed plan in units, and how far it has come.

use domain::{CaseId, FederationId, Millis, UndoId, journal::Selection};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "id, selection, title, plan_hash, case_id, made_by, made_ms, units, ended_ms"
    };
}

statements! {
    INSERT = "INSERT INTO undos (federation_id, id, selection, title, plan_hash, case_id, made_by, made_ms, units)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    BY_ID = concat!("SELECT ", columns!(), " FROM undos WHERE federation_id = $1 AND id = $2");
    LIST = concat!("SELECT ", columns!(), " FROM undos WHERE federation_id = $1 ORDER BY id DESC LIMIT $2");
    END = "UPDATE undos SET ended_ms = $3 WHERE federation_id = $1 AND id = $2 AND ended_ms IS NULL";
    INSERT_UNIT = "INSERT INTO undo_units (federation_id, undo_id, position, body, report) VALUES ($1, $2, $3, $4, '')";
    NEXT_UNIT = "SELECT position, body FROM undo_units
        WHERE federation_id = $1 AND undo_id = $2 AND done_ms IS NULL ORDER BY position LIMIT 1";
    // The body has done its work; what it said is in the journal.
    UNIT_DONE = "UPDATE undo_units SET done_ms = $4, report = $5, body = ''
        WHERE federation_id = $1 AND undo_id = $2 AND position = $3 AND done_ms IS NULL";
    REPORTS = "SELECT done_ms, report FROM undo_units WHERE federation_id = $1 AND undo_id = $2 ORDER BY position";
    FORGET_UNITS = "DELETE FROM undo_units WHERE federation_id = $1 AND undo_id IN
        (SELECT id FROM undos WHERE federation_id = $1 AND made_ms < $2)";
    FORGET = "DELETE FROM undos WHERE federation_id = $1 AND made_ms < $2";
}

/// A taking back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// Its id.
    pub id: UndoId,
    /// What was chosen.
    pub selection: Selection,
    /// The same in words.
    pub title: String,
    /// The digest of the plan that was confirmed.
    pub plan_hash: String,
    /// The case that it belongs to.
    pub case_id: Option<CaseId>,
    /// Who confirmed it.
    pub made_by: String,
    /// When.
    pub made_ms: Millis,
    /// How many units it has.
    pub units: i64,
    /// When the last of them was done.
    pub ended_ms: Option<Millis>,
}

#[derive(FromRow)]
struct Row {
    id: String,
    selection: String,
    title: String,
    plan_hash: String,
    case_id: Option<String>,
    made_by: String,
    made_ms: i64,
    units: i64,
    ended_ms: Option<i64>,
}

impl TryFrom<Row> for Undo {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("undo {}: {what}", row.id));
        Ok(Self {
            id: UndoId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            selection: serde_json::from_str(&row.selection).map_err(|_| corrupt("selection"))?,
            case_id: row.case_id.as_deref().and_then(CaseId::parse),
            title: row.title,
            plan_hash: row.plan_hash,
            made_by: row.made_by,
            made_ms: row.made_ms,
            units: row.units,
            ended_ms: row.ended_ms,
        })
    }
}

/// Writes a confirmed plan with its units.
pub async fn insert(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    undo: &Undo,
    units: &[String],
) -> Result<(), Error> {
    let selection =
        serde_json::to_string(&undo.selection).map_err(|error| Error::Corrupt(error.to_string()))?;
    on_db!(&mut *conn, db => sqlx::query(INSERT)
        .bind(federation_id.as_str())
        .bind(undo.id.as_str())
        .bind(&selection)
        .bind(&undo.title)
        .bind(&undo.plan_hash)
        .bind(undo.case_id.as_ref().map(CaseId::as_str))
        .bind(&undo.made_by)
        .bind(undo.made_ms)
        .bind(undo.units)
        .execute(db).await.map(drop))?;
    for (position, body) in (0_i64..).zip(units) {
        on_db!(&mut *conn, db => sqlx::query(INSERT_UNIT)
            .bind(federation_id.as_str()).bind(undo.id.as_str()).bind(position).bind(body)
            .execute(db).await.map(drop))?;
    }
    Ok(())
}

/// One taking back.
pub async fn by_id(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &UndoId,
) -> Result<Option<Undo>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(BY_ID)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(Undo::try_from).transpose()
}

/// Those of a federation, newest first.
pub async fn list(conn: &mut Conn<'_>, federation_id: &FederationId, limit: i64) -> Result<Vec<Undo>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(LIST)
        .bind(federation_id.as_str()).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(Undo::try_from).collect()
}

/// The first unit that is still to be done: its position and what is to be done.
pub async fn next_unit(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &UndoId,
) -> Result<Option<(i64, String)>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(NEXT_UNIT)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_optional(db).await)?)
}

/// Notes that a unit is done.
///
/// # Errors
/// [`Error::Stale`] when another node was faster.
pub async fn unit_done(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &UndoId,
    position: i64,
    at_ms: Millis,
    report: &str,
) -> Result<(), Error> {
    let rows = on_db!(conn, db => sqlx::query(UNIT_DONE)
        .bind(federation_id.as_str())
        .bind(id.as_str())
        .bind(position)
        .bind(at_ms)
        .bind(report)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// Notes that the last unit is done.
pub async fn end(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &UndoId,
    at_ms: Millis,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(END)
        .bind(federation_id.as_str()).bind(id.as_str()).bind(at_ms).execute(db).await.map(drop))?;
    Ok(())
}

/// When each unit was done, and its report, in order.
pub async fn reports(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &UndoId,
) -> Result<Vec<(Option<Millis>, String)>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(REPORTS)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_all(db).await)?)
}

/// Forgets those that were made before a moment.
pub async fn forget(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    before_ms: Millis,
) -> Result<u64, Error> {
    let mut rows = 0;
    for sql in [FORGET_UNITS, FORGET] {
        rows += on_db!(&mut *conn, db => sqlx::query(sql)
            .bind(federation_id.as_str()).bind(before_ms)
            .execute(db).await.map(|done| done.rows_affected()))?;
    }
    Ok(rows)
}
