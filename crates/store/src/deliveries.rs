//! Targets of deliveries, and deliveries. Credentials and secrets are sealed.

use domain::{
    DeliveryId, FederationId, KeyId, Millis, RotationId, TargetId,
    deliveries::{Delivery, DeliveryState, Report, Target},
};
use sqlx::FromRow;

use crate::{
    Conn, Error,
    db::on_db,
    statements::{WANTED, statements},
};

macro_rules! target_columns {
    () => {
        "federation_id, id, position, connector, name, settings, sealed, data_key, seal_version, pinned, approved_by,
        approved_ms, last_result, version"
    };
}

macro_rules! columns {
    () => {
        "federation_id, id, rotation_id, key_id, target_id, state, attempts, due_ms, sealed, data_key, report, made_ms,
        ended_ms, version"
    };
}

/// The most rotations of one statement.
const AT_ONCE: usize = 200;

const OF_ROTATIONS: &str = concat!(
    ") SELECT ",
    columns!(),
    ", (SELECT t.name FROM delivery_targets t WHERE t.federation_id = deliveries.federation_id
    AND t.id = deliveries.target_id) AS target_name FROM wanted CROSS JOIN deliveries
    WHERE federation_id = of_federation AND rotation_id = of_id ORDER BY id"
);

statements! {
    INSERT_TARGET = "INSERT INTO delivery_targets (federation_id, id, position, connector, name, settings, sealed, data_key,
        seal_version, pinned, approved_by, approved_ms, version)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1)";
    UPDATE_TARGET = "UPDATE delivery_targets SET connector = $4, name = $5, settings = $6, sealed = $7, data_key = $8,
        seal_version = $9, pinned = $10, approved_by = $11, approved_ms = $12, last_result = NULL, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3";
    DELETE_TARGET = "DELETE FROM delivery_targets WHERE federation_id = $1 AND id = $2 AND version = $3";
    TARGETS = concat!("SELECT ", target_columns!(), " FROM delivery_targets WHERE federation_id = $1 ORDER BY position");
    // Through places that no target has, because a place is taken once.
    AWAY = "UPDATE delivery_targets SET position = -position WHERE federation_id = $1";
    PLACE = "UPDATE delivery_targets SET position = $3 WHERE federation_id = $1 AND id = $2";
    SET_LAST_RESULT = "UPDATE delivery_targets SET last_result = $4
        WHERE federation_id = $1 AND id = $2 AND version = $3";

    INSERT = "INSERT INTO deliveries (federation_id, id, rotation_id, key_id, target_id, state, attempts, due_ms, sealed,
        data_key, report, made_ms, ended_ms, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1)";
    WRITE = "UPDATE deliveries SET state = $4, attempts = $5, due_ms = $6, sealed = $7, data_key = $8, report = $9,
        ended_ms = $10, version = version + 1 WHERE federation_id = $1 AND id = $2 AND version = $3";
    DUE = "SELECT d.federation_id, d.id FROM deliveries d WHERE d.ended_ms IS NULL AND d.due_ms <= $1
        AND d.target_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM rotations r WHERE r.federation_id = d.federation_id AND r.id = d.rotation_id
            AND r.condition = 'held')
        ORDER BY d.due_ms LIMIT $2";
    // After the last time: one that has arrived and for which no time comes has nothing to do.
    PROMOTIONS_DUE = "SELECT COUNT(*) FROM deliveries WHERE federation_id = $1 AND rotation_id = $2
        AND ended_ms IS NULL AND state = $3 AND target_id IS NOT NULL AND due_ms < $4";
    BY_ID = concat!("SELECT ", columns!(), " FROM deliveries WHERE federation_id = $1 AND id = $2");
    OF_ROTATION = concat!("SELECT ", columns!(), " FROM deliveries WHERE federation_id = $1 AND rotation_id = $2
        ORDER BY id");
    OF_FEDERATION = concat!("SELECT ", columns!(), " FROM deliveries WHERE federation_id = $1 ORDER BY id DESC LIMIT $2");
}

/// A target with its sealed credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTarget {
    /// The target.
    pub target: Target,
    /// The sealed credential, base64.
    pub sealed: String,
    /// Its sealed data key, base64.
    pub data_key: String,
    /// The version that the seal is bound to.
    pub seal_version: i64,
}

/// A delivery with its sealed secret; both texts are empty once the secret has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    /// The delivery.
    pub delivery: Delivery,
    /// The sealed secret, base64.
    pub sealed: String,
    /// Its sealed data key, base64.
    pub data_key: String,
}

#[derive(FromRow)]
struct TargetRow {
    federation_id: String,
    id: String,
    position: i64,
    connector: String,
    name: String,
    settings: String,
    sealed: String,
    data_key: String,
    seal_version: i64,
    pinned: String,
    approved_by: String,
    approved_ms: i64,
    last_result: Option<String>,
    version: i64,
}

impl TryFrom<TargetRow> for StoredTarget {
    type Error = Error;

    fn try_from(row: TargetRow) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("delivery target {}: {what}", row.id));
        let settings: domain::deliveries::Settings =
            serde_json::from_str(&row.settings).map_err(|_| corrupt("settings"))?;
        if settings.connector().as_str() != row.connector {
            return Err(corrupt("connector"));
        }
        let last_result: Option<Report> = row
            .last_result
            .as_deref()
            .map(|text| serde_json::from_str(text).map_err(|_| corrupt("last result")))
            .transpose()?;
        Ok(Self {
            target: Target {
                federation_id: FederationId::parse(&row.federation_id)
                    .ok_or_else(|| corrupt("federation"))?,
                id: TargetId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
                position: row.position,
                name: row.name,
                settings,
                pinned: row.pinned,
                approved_by: row.approved_by,
                approved_ms: row.approved_ms,
                last_result,
                version: row.version,
            },
            sealed: row.sealed,
            data_key: row.data_key,
            seal_version: row.seal_version,
        })
    }
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    rotation_id: String,
    key_id: String,
    target_id: Option<String>,
    state: String,
    attempts: i64,
    due_ms: i64,
    sealed: String,
    data_key: String,
    report: String,
    made_ms: i64,
    ended_ms: Option<i64>,
    version: i64,
}

#[derive(FromRow)]
struct NamedRow {
    #[sqlx(flatten)]
    delivery: Row,
    target_name: Option<String>,
}

impl TryFrom<Row> for StoredDelivery {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("delivery {}: {what}", row.id));
        let target_id = row.target_id.as_deref();
        Ok(Self {
            delivery: Delivery {
                federation_id: FederationId::parse(&row.federation_id)
                    .ok_or_else(|| corrupt("federation"))?,
                id: DeliveryId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
                rotation_id: RotationId::parse(&row.rotation_id).ok_or_else(|| corrupt("rotation"))?,
                key_id: KeyId::parse(&row.key_id).ok_or_else(|| corrupt("key"))?,
                target_id: target_id
                    .map(|id| TargetId::parse(id).ok_or_else(|| corrupt("target")))
                    .transpose()?,
                state: DeliveryState::parse(&row.state).ok_or_else(|| corrupt("state"))?,
                attempts: row.attempts,
                due_ms: row.due_ms,
                report: serde_json::from_str(&row.report).map_err(|_| corrupt("report"))?,
                made_ms: row.made_ms,
                ended_ms: row.ended_ms,
                version: row.version,
            },
            sealed: row.sealed,
            data_key: row.data_key,
        })
    }
}

/// Adds a target at its place.
///
/// # Errors
/// [`Error::Conflict`] when the place is taken.
pub async fn insert_target(conn: &mut Conn<'_>, stored: &StoredTarget) -> Result<(), Error> {
    let target = &stored.target;
    let settings = serde_json::json!(target.settings).to_string();
    let inserted = on_db!(conn, db => sqlx::query(INSERT_TARGET)
        .bind(target.federation_id.as_str())
        .bind(target.id.as_str())
        .bind(target.position)
        .bind(target.settings.connector().as_str())
        .bind(&target.name)
        .bind(&settings)
        .bind(&stored.sealed)
        .bind(&stored.data_key)
        .bind(stored.seal_version)
        .bind(&target.pinned)
        .bind(&target.approved_by)
        .bind(target.approved_ms)
        .execute(db).await.map(drop));
    inserted.map_err(|error| {
        Error::from(error).or_conflict(|| "another target was added in the meantime; try again".to_owned())
    })
}

/// Writes a target that was read at `target.version`; its place and last result aside.
///
/// # Errors
/// [`Error::Stale`] when it has another version by now.
pub async fn update_target(conn: &mut Conn<'_>, stored: &StoredTarget) -> Result<(), Error> {
    let target = &stored.target;
    let settings = serde_json::json!(target.settings).to_string();
    let rows = on_db!(conn, db => sqlx::query(UPDATE_TARGET)
        .bind(target.federation_id.as_str())
        .bind(target.id.as_str())
        .bind(target.version)
        .bind(target.settings.connector().as_str())
        .bind(&target.name)
        .bind(&settings)
        .bind(&stored.sealed)
        .bind(&stored.data_key)
        .bind(stored.seal_version)
        .bind(&target.pinned)
        .bind(&target.approved_by)
        .bind(target.approved_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// Removes a target, and its credential with it.
///
/// # Errors
/// [`Error::Stale`] when it has another version by now.
pub async fn delete_target(conn: &mut Conn<'_>, target: &Target) -> Result<(), Error> {
    let rows = on_db!(conn, db => sqlx::query(DELETE_TARGET)
        .bind(target.federation_id.as_str())
        .bind(target.id.as_str())
        .bind(target.version)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// The targets of a federation, the first one first.
pub async fn targets(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Vec<StoredTarget>, Error> {
    let rows: Vec<TargetRow> = on_db!(conn, db => sqlx::query_as(TARGETS)
        .bind(federation_id.as_str()).fetch_all(db).await)?;
    rows.into_iter().map(StoredTarget::try_from).collect()
}

/// Gives the targets of a federation the places 1, 2, 3 … in this order.
pub async fn place_targets(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    order: &[TargetId],
) -> Result<(), Error> {
    on_db!(&mut *conn, db => sqlx::query(AWAY).bind(federation_id.as_str()).execute(db).await.map(drop))?;
    for (position, id) in (1_i64..).zip(order) {
        on_db!(&mut *conn, db => sqlx::query(PLACE)
            .bind(federation_id.as_str()).bind(id.as_str()).bind(position).execute(db).await.map(drop))?;
    }
    Ok(())
}

/// Keeps what became of the last delivery to a target, or of its last test, if it is still the same one.
pub async fn set_last_result(conn: &mut Conn<'_>, target: &Target, report: &Report) -> Result<(), Error> {
    let report = serde_json::json!(report).to_string();
    on_db!(conn, db => sqlx::query(SET_LAST_RESULT)
        .bind(target.federation_id.as_str())
        .bind(target.id.as_str())
        .bind(target.version)
        .bind(&report)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Adds a delivery.
pub async fn insert(conn: &mut Conn<'_>, stored: &StoredDelivery) -> Result<(), Error> {
    let delivery = &stored.delivery;
    let report = serde_json::json!(delivery.report).to_string();
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(delivery.federation_id.as_str())
        .bind(delivery.id.as_str())
        .bind(delivery.rotation_id.as_str())
        .bind(delivery.key_id.as_str())
        .bind(delivery.target_id.as_ref().map(TargetId::as_str))
        .bind(delivery.state.as_str())
        .bind(delivery.attempts)
        .bind(delivery.due_ms)
        .bind(&stored.sealed)
        .bind(&stored.data_key)
        .bind(&report)
        .bind(delivery.made_ms)
        .bind(delivery.ended_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Writes a delivery that was read at `delivery.version`: state, attempts, time, secret, report, end.
///
/// # Errors
/// [`Error::Stale`] when it has another version by now: somebody else is at it.
pub async fn write(conn: &mut Conn<'_>, stored: &StoredDelivery) -> Result<(), Error> {
    let delivery = &stored.delivery;
    let report = serde_json::json!(delivery.report).to_string();
    let rows = on_db!(conn, db => sqlx::query(WRITE)
        .bind(delivery.federation_id.as_str())
        .bind(delivery.id.as_str())
        .bind(delivery.version)
        .bind(delivery.state.as_str())
        .bind(delivery.attempts)
        .bind(delivery.due_ms)
        .bind(&stored.sealed)
        .bind(&stored.data_key)
        .bind(&report)
        .bind(delivery.ended_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// Deliveries whose time has come, the oldest first; none of a rotation that is held, and none that a
/// person carries.
pub async fn due(
    conn: &mut Conn<'_>,
    now_ms: Millis,
    limit: i64,
) -> Result<Vec<(FederationId, DeliveryId)>, Error> {
    let rows: Vec<(String, String)> =
        on_db!(conn, db => sqlx::query_as(DUE).bind(now_ms).bind(limit).fetch_all(db).await)?;
    rows.into_iter()
        .map(|(federation_id, id)| {
            let found = FederationId::parse(&federation_id).zip(DeliveryId::parse(&id));
            found.ok_or_else(|| Error::Corrupt(format!("delivery {id}: id")))
        })
        .collect()
}

/// How many deliveries of a rotation have arrived and have something to do at their target before `never_ms`.
pub async fn promotions_due(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    rotation_id: &RotationId,
    never_ms: Millis,
) -> Result<i64, Error> {
    let (count,): (i64,) = on_db!(conn, db => sqlx::query_as(PROMOTIONS_DUE)
        .bind(federation_id.as_str())
        .bind(rotation_id.as_str())
        .bind(DeliveryState::Delivered.as_str())
        .bind(never_ms)
        .fetch_one(db).await)?;
    Ok(count)
}

/// One delivery.
pub async fn by_id(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &DeliveryId,
) -> Result<Option<StoredDelivery>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(BY_ID)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(StoredDelivery::try_from).transpose()
}

/// The deliveries of a rotation, the oldest first.
pub async fn of_rotation(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    rotation_id: &RotationId,
) -> Result<Vec<StoredDelivery>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(OF_ROTATION)
        .bind(federation_id.as_str()).bind(rotation_id.as_str()).fetch_all(db).await)?;
    rows.into_iter().map(StoredDelivery::try_from).collect()
}

/// The deliveries of several rotations, each with the name of its target, the oldest first.
pub async fn of_rotations(
    conn: &mut Conn<'_>,
    rotations: &[(&FederationId, &RotationId)],
) -> Result<Vec<(Delivery, Option<String>)>, Error> {
    let mut found = Vec::new();
    for rotations in rotations.chunks(AT_ONCE) {
        let rows: Vec<NamedRow> = on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(WANTED);
            sql.push_values(rotations, |mut row, (federation_id, rotation_id)| {
                row.push_bind(federation_id.as_str()).push_bind(rotation_id.as_str());
            });
            sql.push(OF_ROTATIONS);
            sql.build_query_as().fetch_all(db).await
        })?;
        for NamedRow { delivery, target_name } in rows {
            found.push((StoredDelivery::try_from(delivery)?.delivery, target_name));
        }
    }
    Ok(found)
}

/// The last deliveries of a federation, the newest first.
pub async fn of_federation(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    limit: i64,
) -> Result<Vec<Delivery>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(OF_FEDERATION)
        .bind(federation_id.as_str()).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(|row| StoredDelivery::try_from(row).map(|stored| stored.delivery)).collect()
}
