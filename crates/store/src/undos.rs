//! Changes that are taken back: the confirmed plan in units, and how far it has come.

use domain::{CaseId, FederationId, Millis, UndoId, journal::Selection};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "id, selection, title, plan_hash, case_id, made_by, made_ms, units, ended_ms, made_by_id, request_id,
        source"
    };
}

macro_rules! unit_columns {
    () => {
        "position, body, tries, due_ms"
    };
}

statements! {
    INSERT = "INSERT INTO undos (federation_id, id, selection, title, plan_hash, case_id, made_by, made_ms, units,
        made_by_id, request_id, source)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    BY_ID = concat!("SELECT ", columns!(), " FROM undos WHERE federation_id = $1 AND id = $2");
    LIST = concat!("SELECT ", columns!(), " FROM undos WHERE federation_id = $1 ORDER BY id DESC LIMIT $2");
    END = "UPDATE undos SET ended_ms = $3 WHERE federation_id = $1 AND id = $2 AND ended_ms IS NULL";
    INSERT_UNIT = "INSERT INTO undo_units (federation_id, undo_id, position, body, report) VALUES ($1, $2, $3, $4, '')";
    NEXT_UNIT = concat!("SELECT ", unit_columns!(), " FROM undo_units
        WHERE federation_id = $1 AND undo_id = $2 AND done_ms IS NULL ORDER BY position LIMIT 1");
    DUE_UNIT = concat!("SELECT ", unit_columns!(), " FROM undo_units
        WHERE federation_id = $1 AND undo_id = $2 AND position > $3 AND done_ms IS NULL AND due_ms <= $4
        ORDER BY position LIMIT 1");
    CLAIM = "UPDATE undo_units SET due_ms = $5
        WHERE federation_id = $1 AND undo_id = $2 AND position = $3 AND done_ms IS NULL AND due_ms <= $4";
    WAIT = "UPDATE undo_units SET due_ms = $4, waits = $5, tries = tries + 1
        WHERE federation_id = $1 AND undo_id = $2 AND position = $3 AND done_ms IS NULL";
    HURRY = "UPDATE undo_units SET due_ms = 0
        WHERE federation_id = $1 AND undo_id = $2 AND done_ms IS NULL AND waits <> '' AND due_ms > 0";
    LEFT = "SELECT COUNT(*) FROM undo_units WHERE federation_id = $1 AND undo_id = $2 AND done_ms IS NULL";
    OPEN = "SELECT federation_id, id FROM undos WHERE ended_ms IS NULL AND EXISTS
        (SELECT 1 FROM undo_units WHERE undo_units.federation_id = undos.federation_id
        AND undo_units.undo_id = undos.id AND undo_units.done_ms IS NULL AND undo_units.due_ms <= $1)
        ORDER BY federation_id, id LIMIT $2";
    // The body has done its work; what it said is in the journal.
    UNIT_DONE = "UPDATE undo_units SET done_ms = $4, report = $5, body = '', waits = ''
        WHERE federation_id = $1 AND undo_id = $2 AND position = $3 AND done_ms IS NULL";
    REPORTS = "SELECT done_ms, report, waits FROM undo_units WHERE federation_id = $1 AND undo_id = $2 ORDER BY position";
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
    /// Who confirmed it, by issuer and subject; empty for what an older version wrote.
    pub made_by_id: String,
    /// In which request.
    pub request_id: String,
    /// From where.
    pub source: Option<String>,
}

/// A unit that is still to be done.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OpenUnit {
    /// Its place in the plan.
    pub position: i64,
    /// What is to be done.
    pub body: String,
    /// How often it was tried in vain.
    pub tries: i64,
    /// From when on it may be taken up.
    pub due_ms: Millis,
}

/// How a unit stands.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct UnitState {
    /// When it was done.
    pub done_ms: Option<Millis>,
    /// What came of it, once it is done.
    pub report: String,
    /// What it waits for, when it was tried in vain.
    pub waits: String,
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
    made_by_id: String,
    request_id: String,
    source: Option<String>,
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
            made_by_id: row.made_by_id,
            request_id: row.request_id,
            source: row.source,
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
        .bind(&undo.made_by_id)
        .bind(&undo.request_id)
        .bind(&undo.source)
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

/// The first unit that is still to be done.
pub async fn next_unit(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &UndoId,
) -> Result<Option<OpenUnit>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(NEXT_UNIT)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_optional(db).await)?)
}

/// The first unit after a place that may be taken up now.
pub async fn due_unit(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &UndoId,
    after: i64,
    now_ms: Millis,
) -> Result<Option<OpenUnit>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(DUE_UNIT)
        .bind(federation_id.as_str()).bind(id.as_str()).bind(after).bind(now_ms)
        .fetch_optional(db).await)?)
}

/// Takes a unit up until a moment; false when it is done, or somebody else has it.
pub async fn claim(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &UndoId,
    position: i64,
    (now_ms, until_ms): (Millis, Millis),
) -> Result<bool, Error> {
    let rows = on_db!(conn, db => sqlx::query(CLAIM)
        .bind(federation_id.as_str()).bind(id.as_str()).bind(position).bind(now_ms).bind(until_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// Puts a unit off that was tried in vain.
pub async fn wait(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &UndoId,
    position: i64,
    due_ms: Millis,
    waits: &str,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(WAIT)
        .bind(federation_id.as_str()).bind(id.as_str()).bind(position).bind(due_ms).bind(waits)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Lets what waits be taken up at once.
pub async fn hurry(conn: &mut Conn<'_>, federation_id: &FederationId, id: &UndoId) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(HURRY)
        .bind(federation_id.as_str()).bind(id.as_str()).execute(db).await.map(drop))?;
    Ok(())
}

/// How many units are still to be done.
pub async fn left(conn: &mut Conn<'_>, federation_id: &FederationId, id: &UndoId) -> Result<i64, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(LEFT)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_one(db).await)?)
}

/// Those of every federation that have a unit to be taken up now.
pub async fn open(
    conn: &mut Conn<'_>,
    now_ms: Millis,
    limit: i64,
) -> Result<Vec<(FederationId, UndoId)>, Error> {
    let rows: Vec<(String, String)> =
        on_db!(conn, db => sqlx::query_as(OPEN).bind(now_ms).bind(limit).fetch_all(db).await)?;
    let read = |(federation, id): (String, String)| {
        FederationId::parse(&federation)
            .zip(UndoId::parse(&id))
            .ok_or_else(|| Error::Corrupt(format!("undo {id}: id")))
    };
    rows.into_iter().map(read).collect()
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

/// How each unit stands, in order.
pub async fn units(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &UndoId,
) -> Result<Vec<UnitState>, Error> {
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
