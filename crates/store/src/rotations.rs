//! Rotations: a key, its successor, and how far it has come.

use domain::{
    FederationId, KeyId, RotationId,
    federations::Federation,
    keys::Life,
    rotations::{Cause, Rotation, Stage},
};
use sqlx::FromRow;

use crate::{
    Conn, Error,
    db::on_db,
    federations::{JoinedRow, joined_columns},
    statements::statements,
};

macro_rules! columns {
    () => {
        "federation_id, id, old_key_id, new_key_id, step, condition, cause, begun_by, begun_ms, since_ms,
        deadline_ms, extended, moments, note, ended_ms, version"
    };
}

/// The moments of a key beside another's.
macro_rules! life_columns {
    ($k:literal) => {
        concat!(
            $k,
            ".issued_ms AS ",
            $k,
            "_issued_ms, ",
            $k,
            ".expires_ms AS ",
            $k,
            "_expires_ms, ",
            $k,
            ".retires_ms AS ",
            $k,
            "_retires_ms, ",
            $k,
            ".retired_ms AS ",
            $k,
            "_retired_ms, ",
            $k,
            ".revoked_ms AS ",
            $k,
            "_revoked_ms, ",
            $k,
            ".held_ms AS ",
            $k,
            "_held_ms, ",
            $k,
            ".first_used_ms AS ",
            $k,
            "_first_used_ms, ",
            $k,
            ".last_used_ms AS ",
            $k,
            "_last_used_ms, ",
            $k,
            ".tested_ms AS ",
            $k,
            "_tested_ms, ",
            $k,
            ".first_work_ms AS ",
            $k,
            "_first_work_ms, ",
            $k,
            ".last_work_ms AS ",
            $k,
            "_last_work_ms"
        )
    };
}

statements! {
    INSERT = concat!("INSERT INTO rotations (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)");
    UPDATE = "UPDATE rotations SET step = $4, condition = $5, since_ms = $6, deadline_ms = $7, extended = $8,
        moments = $9, note = $10, ended_ms = $11, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3";
    BY_ID = concat!("SELECT ", columns!(), " FROM rotations WHERE id = $1");
    OPEN_AFTER = concat!("SELECT r.federation_id, r.id, r.old_key_id, r.new_key_id, r.step, r.condition, r.cause,
        r.begun_by, r.begun_ms, r.since_ms, r.deadline_ms, r.extended, r.moments, r.note, r.ended_ms, r.version, ",
        life_columns!("o"), ", ", life_columns!("n"), ", ", joined_columns!(),
        " FROM rotations r JOIN federations f ON f.id = r.federation_id
        JOIN provisioning_keys o ON o.federation_id = r.federation_id AND o.id = r.old_key_id
        JOIN provisioning_keys n ON n.federation_id = r.federation_id AND n.id = r.new_key_id
        WHERE r.condition IN ('open', 'stalled', 'held')
            AND (r.federation_id > $1 OR (r.federation_id = $1 AND r.id > $2))
        ORDER BY r.federation_id, r.id LIMIT $3");
    OPEN_OF = concat!("SELECT ", columns!(), " FROM rotations
        WHERE federation_id = $1 AND condition IN ('open', 'stalled', 'held') ORDER BY id");
    OF_OLD_KEY = concat!("SELECT ", columns!(), " FROM rotations
        WHERE federation_id = $1 AND old_key_id = $2 ORDER BY id DESC LIMIT 1");
    OF_NEW_KEY = concat!("SELECT ", columns!(), " FROM rotations
        WHERE federation_id = $1 AND new_key_id = $2 ORDER BY id DESC LIMIT 1");
    OF_FEDERATION = concat!("SELECT ", columns!(), " FROM rotations WHERE federation_id = $1 ORDER BY id DESC LIMIT $2");
    ENDED = concat!("SELECT ", columns!(), " FROM rotations WHERE ended_ms >= $1 AND ended_ms <= $2
        AND (ended_ms < $2 OR (ended_ms = $2 AND id < $3)) ORDER BY ended_ms DESC, id DESC LIMIT $4");
    LAST_BEGUN = "SELECT MAX(begun_ms) FROM rotations WHERE federation_id = $1 AND cause <> 'compromise'";
    COUNT_OPEN = "SELECT step, condition, COUNT(*) FROM rotations WHERE condition IN ('open', 'stalled', 'held')
        GROUP BY step, condition";
    OPEN_BY_VENDOR = "SELECT f.vendor, COUNT(*) FROM rotations r JOIN federations f ON f.id = r.federation_id
        WHERE r.condition = 'open' AND r.cause IN ('policy', 'expiry') GROUP BY f.vendor";
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    old_key_id: String,
    new_key_id: String,
    step: String,
    condition: String,
    cause: String,
    begun_by: String,
    begun_ms: i64,
    since_ms: i64,
    deadline_ms: i64,
    extended: i64,
    moments: String,
    note: String,
    ended_ms: Option<i64>,
    version: i64,
}

impl TryFrom<Row> for Rotation {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("rotation {}: {what}", row.id));
        Ok(Self {
            id: RotationId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            federation_id: FederationId::parse(&row.federation_id).ok_or_else(|| corrupt("federation"))?,
            old_key_id: KeyId::parse(&row.old_key_id).ok_or_else(|| corrupt("old key"))?,
            new_key_id: KeyId::parse(&row.new_key_id).ok_or_else(|| corrupt("new key"))?,
            stage: Stage::parse(&row.step, &row.condition).ok_or_else(|| corrupt("stage"))?,
            cause: Cause::parse(&row.cause).ok_or_else(|| corrupt("cause"))?,
            moments: serde_json::from_str(&row.moments).map_err(|_| corrupt("moments"))?,
            begun_by: row.begun_by,
            begun_ms: row.begun_ms,
            since_ms: row.since_ms,
            deadline_ms: row.deadline_ms,
            extended: row.extended,
            note: row.note,
            ended_ms: row.ended_ms,
            version: row.version,
        })
    }
}

fn all(rows: Vec<Row>) -> Result<Vec<Rotation>, Error> {
    rows.into_iter().map(Rotation::try_from).collect()
}

fn moments_text(rotation: &Rotation) -> String {
    serde_json::json!(rotation.moments).to_string()
}

/// Adds a rotation.
///
/// # Errors
/// [`Error::Conflict`] when the key has an open one.
pub async fn insert(conn: &mut Conn<'_>, rotation: &Rotation) -> Result<(), Error> {
    let moments = moments_text(rotation);
    let (step, condition) = rotation.stage.words();
    let inserted = on_db!(conn, db => sqlx::query(INSERT)
        .bind(rotation.federation_id.as_str())
        .bind(rotation.id.as_str())
        .bind(rotation.old_key_id.as_str())
        .bind(rotation.new_key_id.as_str())
        .bind(step)
        .bind(condition)
        .bind(rotation.cause.as_str())
        .bind(&rotation.begun_by)
        .bind(rotation.begun_ms)
        .bind(rotation.since_ms)
        .bind(rotation.deadline_ms)
        .bind(rotation.extended)
        .bind(&moments)
        .bind(&rotation.note)
        .bind(rotation.ended_ms)
        .bind(rotation.version)
        .execute(db).await.map(drop));
    inserted.map_err(|error| {
        Error::from(error).or_conflict(|| format!("{} is being rotated already", rotation.old_key_id))
    })
}

/// Writes a rotation that was read at `rotation.version`.
///
/// # Errors
/// [`Error::Stale`] when it has another version by now.
pub async fn update(conn: &mut Conn<'_>, rotation: &Rotation) -> Result<(), Error> {
    let moments = moments_text(rotation);
    let (step, condition) = rotation.stage.words();
    let rows = on_db!(conn, db => sqlx::query(UPDATE)
        .bind(rotation.federation_id.as_str())
        .bind(rotation.id.as_str())
        .bind(rotation.version)
        .bind(step)
        .bind(condition)
        .bind(rotation.since_ms)
        .bind(rotation.deadline_ms)
        .bind(rotation.extended)
        .bind(&moments)
        .bind(&rotation.note)
        .bind(rotation.ended_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// The rotation with an id, whatever its federation.
pub async fn by_id(conn: &mut Conn<'_>, id: &RotationId) -> Result<Option<Rotation>, Error> {
    let row: Option<Row> =
        on_db!(conn, db => sqlx::query_as(BY_ID).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(Rotation::try_from).transpose()
}

#[expect(clippy::struct_field_names, reason = "the aliases of the columns")]
#[derive(FromRow)]
struct OldLife {
    o_issued_ms: i64,
    o_expires_ms: i64,
    o_retires_ms: Option<i64>,
    o_retired_ms: Option<i64>,
    o_revoked_ms: Option<i64>,
    o_held_ms: Option<i64>,
    o_first_used_ms: Option<i64>,
    o_last_used_ms: Option<i64>,
    o_tested_ms: Option<i64>,
    o_first_work_ms: Option<i64>,
    o_last_work_ms: Option<i64>,
}

#[expect(clippy::struct_field_names, reason = "the aliases of the columns")]
#[derive(FromRow)]
struct NewLife {
    n_issued_ms: i64,
    n_expires_ms: i64,
    n_retires_ms: Option<i64>,
    n_retired_ms: Option<i64>,
    n_revoked_ms: Option<i64>,
    n_held_ms: Option<i64>,
    n_first_used_ms: Option<i64>,
    n_last_used_ms: Option<i64>,
    n_tested_ms: Option<i64>,
    n_first_work_ms: Option<i64>,
    n_last_work_ms: Option<i64>,
}

#[derive(FromRow)]
struct LiveRow {
    #[sqlx(flatten)]
    rotation: Row,
    #[sqlx(flatten)]
    old: OldLife,
    #[sqlx(flatten)]
    new: NewLife,
    #[sqlx(flatten)]
    federation: JoinedRow,
}

/// An open rotation with what decides about it.
#[derive(Debug, Clone)]
pub struct Live {
    /// The rotation.
    pub rotation: Rotation,
    /// The life of its old key.
    pub old: Life,
    /// The life of its new key.
    pub new: Life,
    /// The federation of both.
    pub federation: Federation,
}

impl TryFrom<LiveRow> for Live {
    type Error = Error;

    fn try_from(LiveRow { rotation, old, new, federation }: LiveRow) -> Result<Self, Error> {
        Ok(Self {
            rotation: rotation.try_into()?,
            old: Life {
                issued_ms: old.o_issued_ms,
                expires_ms: old.o_expires_ms,
                retires_ms: old.o_retires_ms,
                retired_ms: old.o_retired_ms,
                revoked_ms: old.o_revoked_ms,
                held_ms: old.o_held_ms,
                first_used_ms: old.o_first_used_ms,
                last_used_ms: old.o_last_used_ms,
                tested_ms: old.o_tested_ms,
                first_work_ms: old.o_first_work_ms,
                last_work_ms: old.o_last_work_ms,
            },
            new: Life {
                issued_ms: new.n_issued_ms,
                expires_ms: new.n_expires_ms,
                retires_ms: new.n_retires_ms,
                retired_ms: new.n_retired_ms,
                revoked_ms: new.n_revoked_ms,
                held_ms: new.n_held_ms,
                first_used_ms: new.n_first_used_ms,
                last_used_ms: new.n_last_used_ms,
                tested_ms: new.n_tested_ms,
                first_work_ms: new.n_first_work_ms,
                last_work_ms: new.n_last_work_ms,
            },
            federation: federation.try_into()?,
        })
    }
}

/// Open rotations after one, in order of federation and id; from the beginning when there is none.
pub async fn open_after(
    conn: &mut Conn<'_>,
    after: Option<(&FederationId, &RotationId)>,
    limit: i64,
) -> Result<Vec<Live>, Error> {
    let (federation_id, id) =
        after.map_or(("", ""), |(federation_id, id)| (federation_id.as_str(), id.as_str()));
    let rows: Vec<LiveRow> = on_db!(conn, db => sqlx::query_as(OPEN_AFTER)
        .bind(federation_id).bind(id).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(Live::try_from).collect()
}

/// The open rotations of a federation, in order of their beginning.
pub async fn open_of(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Vec<Rotation>, Error> {
    let rows: Vec<Row> =
        on_db!(conn, db => sqlx::query_as(OPEN_OF).bind(federation_id.as_str()).fetch_all(db).await)?;
    all(rows)
}

/// The last rotations of a federation, open or ended, newest first.
pub async fn of_federation(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    limit: i64,
) -> Result<Vec<Rotation>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(OF_FEDERATION)
        .bind(federation_id.as_str()).bind(limit).fetch_all(db).await)?;
    all(rows)
}

/// The last rotation that replaces a key, open or ended.
pub async fn of_old_key(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
) -> Result<Option<Rotation>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(OF_OLD_KEY)
        .bind(federation_id.as_str()).bind(key_id.as_str()).fetch_optional(db).await)?;
    row.map(Rotation::try_from).transpose()
}

/// The rotation that a key came from.
pub async fn of_new_key(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
) -> Result<Option<Rotation>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(OF_NEW_KEY)
        .bind(federation_id.as_str()).bind(key_id.as_str()).fetch_optional(db).await)?;
    row.map(Rotation::try_from).transpose()
}

/// Rotations that have ended since a moment, the last first; those that come after `last` in that order, when
/// there is one.
pub async fn ended_since(
    conn: &mut Conn<'_>,
    since_ms: i64,
    last: Option<(i64, &RotationId)>,
    limit: i64,
) -> Result<Vec<Rotation>, Error> {
    let (before_ms, id) = last.map_or((i64::MAX, ""), |(at_ms, id)| (at_ms, id.as_str()));
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(ENDED)
        .bind(since_ms).bind(before_ms).bind(id).bind(limit).fetch_all(db).await)?;
    all(rows)
}

/// When the last rotation of a federation began, answers to a compromise aside.
pub async fn last_begun(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Option<i64>, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(LAST_BEGUN).bind(federation_id.as_str()).fetch_one(db).await)?)
}

/// How many rotations are open at each stage.
pub async fn count_open(conn: &mut Conn<'_>) -> Result<Vec<(Stage, i64)>, Error> {
    let rows: Vec<(String, String, i64)> =
        on_db!(conn, db => sqlx::query_as(COUNT_OPEN).fetch_all(db).await)?;
    let stage = |(step, condition, count): (String, String, i64)| {
        let stage = Stage::parse(&step, &condition);
        stage.map(|stage| (stage, count)).ok_or_else(|| Error::Corrupt(format!("rotation stage {step:?}")))
    };
    rows.into_iter().map(stage).collect()
}

/// How many rotations that began by themselves are under way for each vendor, by its word: what has stalled or
/// is held takes no place from others.
pub async fn open_by_vendor(conn: &mut Conn<'_>) -> Result<Vec<(String, i64)>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(OPEN_BY_VENDOR).fetch_all(db).await)?)
}
