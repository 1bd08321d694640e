//! Cases and the marks on their clocks. A mark is written once, whoever comes second.

use std::collections::BTreeMap;

use domain::{
    CaseId, FederationId, KeyId, Millis, RotationId,
    cases::{Case, CaseKind, CaseMoment, Moment},
};
use sqlx::FromRow;

use crate::{
    Conn, Error,
    db::on_db,
    statements::{WANTED, statements},
};

macro_rules! columns {
    () => {
        "federation_id, id, kind, key_id, rotation_id, title, opened_by, opened_ms, closed_ms, closed_by, summary, version"
    };
}

/// The most cases of one statement.
const AT_ONCE: usize = 200;

const MOMENTS_OF: &str = ") SELECT case_id, moment, at_ms, made_by, text FROM wanted CROSS JOIN case_moments
    WHERE federation_id = of_federation AND case_id = of_id ORDER BY at_ms, id";

statements! {
    INSERT = "INSERT INTO cases (federation_id, id, kind, key_id, rotation_id, title, opened_by, opened_ms, summary,
        version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', 1)";
    // An id names one case of all federations: a look into the primary key for each of these.
    BY_ID = concat!("SELECT ", columns!(), " FROM cases
        WHERE federation_id IN (SELECT id FROM federations) AND id = $1");
    OPEN_OF_KEY = concat!("SELECT ", columns!(), " FROM cases
        WHERE federation_id = $1 AND key_id = $2 AND closed_ms IS NULL AND kind <> 'brake' ORDER BY id LIMIT 1");
    OF_ROTATION = concat!("SELECT ", columns!(), " FROM cases
        WHERE federation_id = $1 AND rotation_id = $2 AND closed_ms IS NULL ORDER BY id LIMIT 1");
    LIST = concat!("SELECT ", columns!(), " FROM cases WHERE (CAST($1 AS TEXT) IS NULL OR federation_id = $1)
        ORDER BY CASE WHEN closed_ms IS NULL THEN 0 ELSE 1 END, opened_ms DESC, id DESC LIMIT $2");
    COUNT_OPEN = "SELECT federation_id, CAST(COUNT(*) AS BIGINT) FROM cases WHERE closed_ms IS NULL GROUP BY federation_id";
    ANSWERED = "SELECT federation_id, CAST(MAX(closed_ms) AS BIGINT) FROM cases
        WHERE closed_ms IS NOT NULL AND kind <> 'brake' GROUP BY federation_id";
    OF_PERIOD = "SELECT CAST(COALESCE(SUM(CASE WHEN opened_ms >= $1 AND opened_ms < $2 THEN 1 ELSE 0 END), 0) AS BIGINT),
        CAST(COALESCE(SUM(CASE WHEN closed_ms >= $1 AND closed_ms < $2 THEN 1 ELSE 0 END), 0) AS BIGINT),
        CAST(MAX(CASE WHEN closed_ms >= $1 AND closed_ms < $2 THEN closed_ms - opened_ms END) AS BIGINT)
        FROM cases WHERE kind <> 'brake'";
    SET_ROTATION = "UPDATE cases SET rotation_id = $3, version = version + 1 WHERE federation_id = $1 AND id = $2";
    CLOSE = "UPDATE cases SET closed_ms = $4, closed_by = $5, summary = $6, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3 AND closed_ms IS NULL";
    INSERT_MOMENT = "INSERT INTO case_moments (federation_id, case_id, moment, id, at_ms, made_by, text)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (federation_id, case_id, id) DO NOTHING";
    MOMENTS = "SELECT moment, at_ms, made_by, text FROM case_moments WHERE federation_id = $1 AND case_id = $2
        ORDER BY at_ms, id";
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    kind: String,
    key_id: String,
    rotation_id: Option<String>,
    title: String,
    opened_by: String,
    opened_ms: i64,
    closed_ms: Option<i64>,
    closed_by: Option<String>,
    summary: String,
    version: i64,
}

impl TryFrom<Row> for Case {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("case {}: {what}", row.id));
        Ok(Self {
            id: CaseId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            federation_id: FederationId::parse(&row.federation_id).ok_or_else(|| corrupt("federation"))?,
            kind: CaseKind::parse(&row.kind).ok_or_else(|| corrupt("kind"))?,
            key_id: KeyId::parse(&row.key_id).ok_or_else(|| corrupt("key"))?,
            rotation_id: row.rotation_id.as_deref().and_then(RotationId::parse),
            title: row.title,
            opened_by: row.opened_by,
            opened_ms: row.opened_ms,
            closed_ms: row.closed_ms,
            closed_by: row.closed_by,
            summary: row.summary,
            version: row.version,
        })
    }
}

/// Adds a case.
pub async fn insert(conn: &mut Conn<'_>, case: &Case) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(case.federation_id.as_str())
        .bind(case.id.as_str())
        .bind(case.kind.as_str())
        .bind(case.key_id.as_str())
        .bind(case.rotation_id.as_ref().map(RotationId::as_str))
        .bind(&case.title)
        .bind(&case.opened_by)
        .bind(case.opened_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// One case.
pub async fn by_id(conn: &mut Conn<'_>, id: &CaseId) -> Result<Option<Case>, Error> {
    let row: Option<Row> =
        on_db!(conn, db => sqlx::query_as(BY_ID).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(Case::try_from).transpose()
}

/// The open case of a key in wrong hands.
pub async fn open_of_key(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
) -> Result<Option<Case>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(OPEN_OF_KEY)
        .bind(federation_id.as_str()).bind(key_id.as_str()).fetch_optional(db).await)?;
    row.map(Case::try_from).transpose()
}

/// The open case that a rotation answers.
pub async fn of_rotation(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    rotation_id: &RotationId,
) -> Result<Option<Case>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(OF_ROTATION)
        .bind(federation_id.as_str()).bind(rotation_id.as_str()).fetch_optional(db).await)?;
    row.map(Case::try_from).transpose()
}

/// Cases of one federation or of all, open ones first and of these the latest.
pub async fn list(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    limit: i64,
) -> Result<Vec<Case>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(LIST)
        .bind(federation_id.map(FederationId::as_str)).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(Case::try_from).collect()
}

/// How many cases are open, by federation.
pub async fn count_open(conn: &mut Conn<'_>) -> Result<Vec<(FederationId, i64)>, Error> {
    let rows: Vec<(String, i64)> = on_db!(conn, db => sqlx::query_as(COUNT_OPEN).fetch_all(db).await)?;
    Ok(rows.into_iter().filter_map(|(id, count)| Some((FederationId::parse(&id)?, count))).collect())
}

/// When the last compromise of each federation was closed.
pub async fn answered(conn: &mut Conn<'_>) -> Result<Vec<(FederationId, Millis)>, Error> {
    let rows: Vec<(String, i64)> = on_db!(conn, db => sqlx::query_as(ANSWERED).fetch_all(db).await)?;
    Ok(rows.into_iter().filter_map(|(id, at_ms)| Some((FederationId::parse(&id)?, at_ms))).collect())
}

/// How many compromises were opened in a stretch of time, how many were closed, and the longest time from
/// opening to closing one of the latter.
pub async fn of_period(
    conn: &mut Conn<'_>,
    from_ms: Millis,
    to_ms: Millis,
) -> Result<(i64, i64, Option<Millis>), Error> {
    Ok(on_db!(conn, db => sqlx::query_as(OF_PERIOD).bind(from_ms).bind(to_ms).fetch_one(db).await)?)
}

/// Says which rotation answers a case.
pub async fn set_rotation(conn: &mut Conn<'_>, case: &Case, rotation_id: &RotationId) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(SET_ROTATION)
        .bind(case.federation_id.as_str()).bind(case.id.as_str()).bind(rotation_id.as_str())
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Closes a case as it was seen.
///
/// # Errors
/// [`Error::Stale`] when it was changed since, or is closed.
pub async fn close(
    conn: &mut Conn<'_>,
    case: &Case,
    at_ms: Millis,
    by: &str,
    summary: &str,
) -> Result<(), Error> {
    let rows = on_db!(conn, db => sqlx::query(CLOSE)
        .bind(case.federation_id.as_str())
        .bind(case.id.as_str())
        .bind(case.version)
        .bind(at_ms)
        .bind(by)
        .bind(summary)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// Writes a moment under an id of its own; false when there is one.
pub async fn insert_moment(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    case_id: &CaseId,
    id: &str,
    moment: &CaseMoment,
) -> Result<bool, Error> {
    let rows = on_db!(conn, db => sqlx::query(INSERT_MOMENT)
        .bind(federation_id.as_str())
        .bind(case_id.as_str())
        .bind(moment.moment.as_str())
        .bind(id)
        .bind(moment.at_ms)
        .bind(&moment.made_by)
        .bind(&moment.text)
        .execute(db).await.map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// The moments of several cases, each in order of time, by the id of the case.
pub async fn moments_of(
    conn: &mut Conn<'_>,
    cases: &[(&FederationId, &CaseId)],
) -> Result<BTreeMap<CaseId, Vec<CaseMoment>>, Error> {
    let mut moments: BTreeMap<CaseId, Vec<CaseMoment>> = BTreeMap::new();
    for cases in cases.chunks(AT_ONCE) {
        let rows: Vec<(String, String, i64, String, String)> = on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(WANTED);
            sql.push_values(cases, |mut row, (federation_id, case_id)| {
                row.push_bind(federation_id.as_str()).push_bind(case_id.as_str());
            });
            sql.push(MOMENTS_OF);
            sql.build_query_as().fetch_all(db).await
        })?;
        for (case_id, word, at_ms, made_by, text) in rows {
            let corrupt = || Error::Corrupt(format!("case {case_id}: moment {word}"));
            let id = CaseId::parse(&case_id).ok_or_else(corrupt)?;
            let moment = Moment::parse(&word).ok_or_else(corrupt)?;
            moments.entry(id).or_default().push(CaseMoment { moment, at_ms, made_by, text });
        }
    }
    Ok(moments)
}

/// The moments of a case in order of time.
pub async fn moments(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    case_id: &CaseId,
) -> Result<Vec<CaseMoment>, Error> {
    let rows: Vec<(String, i64, String, String)> = on_db!(conn, db => sqlx::query_as(MOMENTS)
        .bind(federation_id.as_str()).bind(case_id.as_str()).fetch_all(db).await)?;
    rows.into_iter()
        .map(|(word, at_ms, made_by, text)| {
            let moment = Moment::parse(&word)
                .ok_or_else(|| Error::Corrupt(format!("case {case_id}: moment {word}")))?;
            Ok(CaseMoment { moment, at_ms, made_by, text })
        })
        .collect()
}
