//! Hand-offs: links for one person. The text in the link is not here, only its keyed hash; the key that it
//! shows is sealed, and wiped when the link is opened or over.

use domain::{DeliveryId, FederationId, HandOffId, KeyId, Millis, RotationId, hand_offs::HandOff};
use sqlx::FromRow;

use crate::{
    Conn, Error,
    db::on_db,
    statements::{WANTED, statements},
};

macro_rules! columns {
    () => {
        "federation_id, id, delivery_id, rotation_id, key_id, person, sealed, data_key, made_ms, expires_ms, opened_ms,
        opened_by, closed_ms, version"
    };
}

/// The most rotations of one statement.
const AT_ONCE: usize = 200;

const OF_ROTATIONS: &str = concat!(
    ") SELECT ",
    columns!(),
    " FROM wanted CROSS JOIN hand_offs
    WHERE federation_id = of_federation AND rotation_id = of_id ORDER BY id"
);

statements! {
    INSERT = "INSERT INTO hand_offs (federation_id, id, delivery_id, rotation_id, key_id, person, token_hash, sealed,
        data_key, made_ms, expires_ms, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1)";
    BY_TOKEN = concat!("SELECT ", columns!(), " FROM hand_offs WHERE token_hash = $1");
    BY_ID = concat!("SELECT ", columns!(), " FROM hand_offs WHERE federation_id = $1 AND id = $2");
    OF_ROTATION = concat!("SELECT ", columns!(), " FROM hand_offs WHERE federation_id = $1 AND rotation_id = $2 ORDER BY id");
    OF_KEY = concat!("SELECT ", columns!(), " FROM hand_offs WHERE federation_id = $1 AND key_id = $2 ORDER BY id");
    OPEN = "UPDATE hand_offs SET opened_ms = $4, opened_by = $5, sealed = '', data_key = '', version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3 AND opened_ms IS NULL AND closed_ms IS NULL";
    CLOSE_UNOPENED = "UPDATE hand_offs SET closed_ms = $3, sealed = '', data_key = '', version = version + 1
        WHERE federation_id = $1 AND rotation_id = $2 AND opened_ms IS NULL AND closed_ms IS NULL";
    CLOSE_OPENED = "UPDATE hand_offs SET closed_ms = $3, version = version + 1
        WHERE federation_id = $1 AND rotation_id = $2 AND opened_ms IS NOT NULL AND closed_ms IS NULL";
    LIVE = concat!("SELECT ", columns!(), " FROM hand_offs WHERE closed_ms IS NULL ORDER BY federation_id, id");
}

/// A hand-off with its sealed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHandOff {
    /// The hand-off.
    pub hand_off: HandOff,
    /// The key, sealed; empty once it was shown or is over.
    pub sealed: String,
    /// Its sealed data key.
    pub data_key: String,
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    delivery_id: String,
    rotation_id: String,
    key_id: String,
    person: String,
    sealed: String,
    data_key: String,
    made_ms: i64,
    expires_ms: i64,
    opened_ms: Option<i64>,
    opened_by: Option<String>,
    closed_ms: Option<i64>,
    version: i64,
}

impl TryFrom<Row> for StoredHandOff {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("hand-off {}: {what}", row.id));
        let hand_off = HandOff {
            id: HandOffId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            federation_id: FederationId::parse(&row.federation_id).ok_or_else(|| corrupt("federation"))?,
            delivery_id: DeliveryId::parse(&row.delivery_id).ok_or_else(|| corrupt("delivery"))?,
            rotation_id: RotationId::parse(&row.rotation_id).ok_or_else(|| corrupt("rotation"))?,
            key_id: KeyId::parse(&row.key_id).ok_or_else(|| corrupt("key"))?,
            person: row.person,
            made_ms: row.made_ms,
            expires_ms: row.expires_ms,
            opened_ms: row.opened_ms,
            opened_by: row.opened_by,
            closed_ms: row.closed_ms,
            version: row.version,
        };
        Ok(Self { hand_off, sealed: row.sealed, data_key: row.data_key })
    }
}

/// Adds a hand-off under the keyed hash of its link's text.
pub async fn insert(conn: &mut Conn<'_>, stored: &StoredHandOff, token_hash: &str) -> Result<(), Error> {
    let hand_off = &stored.hand_off;
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(hand_off.federation_id.as_str())
        .bind(hand_off.id.as_str())
        .bind(hand_off.delivery_id.as_str())
        .bind(hand_off.rotation_id.as_str())
        .bind(hand_off.key_id.as_str())
        .bind(&hand_off.person)
        .bind(token_hash)
        .bind(&stored.sealed)
        .bind(&stored.data_key)
        .bind(hand_off.made_ms)
        .bind(hand_off.expires_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// The hand-off whose link has a text with this keyed hash.
pub async fn by_token(conn: &mut Conn<'_>, token_hash: &str) -> Result<Option<StoredHandOff>, Error> {
    let row: Option<Row> =
        on_db!(conn, db => sqlx::query_as(BY_TOKEN).bind(token_hash).fetch_optional(db).await)?;
    row.map(StoredHandOff::try_from).transpose()
}

/// One hand-off.
pub async fn by_id(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &HandOffId,
) -> Result<Option<StoredHandOff>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(BY_ID)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(StoredHandOff::try_from).transpose()
}

/// The hand-offs of a rotation, the oldest first.
pub async fn of_rotation(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    rotation_id: &RotationId,
) -> Result<Vec<StoredHandOff>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(OF_ROTATION)
        .bind(federation_id.as_str()).bind(rotation_id.as_str()).fetch_all(db).await)?;
    rows.into_iter().map(StoredHandOff::try_from).collect()
}

/// The hand-offs of several rotations, the oldest first.
pub async fn of_rotations(
    conn: &mut Conn<'_>,
    rotations: &[(&FederationId, &RotationId)],
) -> Result<Vec<HandOff>, Error> {
    let mut found = Vec::new();
    for rotations in rotations.chunks(AT_ONCE) {
        let rows: Vec<Row> = on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(WANTED);
            sql.push_values(rotations, |mut row, (federation_id, rotation_id)| {
                row.push_bind(federation_id.as_str()).push_bind(rotation_id.as_str());
            });
            sql.push(OF_ROTATIONS);
            sql.build_query_as().fetch_all(db).await
        })?;
        for row in rows {
            found.push(StoredHandOff::try_from(row)?.hand_off);
        }
    }
    Ok(found)
}

/// The hand-offs of a key, the oldest first.
pub async fn of_key(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
) -> Result<Vec<StoredHandOff>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(OF_KEY)
        .bind(federation_id.as_str()).bind(key_id.as_str()).fetch_all(db).await)?;
    rows.into_iter().map(StoredHandOff::try_from).collect()
}

/// Every hand-off that is not over.
pub async fn live(conn: &mut Conn<'_>) -> Result<Vec<StoredHandOff>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(LIVE).fetch_all(db).await)?;
    rows.into_iter().map(StoredHandOff::try_from).collect()
}

/// Opens a hand-off as it was seen and wipes its key; false when somebody else came first.
pub async fn open(conn: &mut Conn<'_>, hand_off: &HandOff, at_ms: Millis, by: &str) -> Result<bool, Error> {
    let rows = on_db!(conn, db => sqlx::query(OPEN)
        .bind(hand_off.federation_id.as_str())
        .bind(hand_off.id.as_str())
        .bind(hand_off.version)
        .bind(at_ms)
        .bind(by)
        .execute(db).await.map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// Ends the links of a rotation that nobody opened, and wipes their keys; how many there were.
pub async fn close_unopened(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    rotation_id: &RotationId,
    at_ms: Millis,
) -> Result<u64, Error> {
    Ok(on_db!(conn, db => sqlx::query(CLOSE_UNOPENED)
        .bind(federation_id.as_str()).bind(rotation_id.as_str()).bind(at_ms)
        .execute(db).await.map(|done| done.rows_affected()))?)
}

/// Ends every hand-off of a rotation, opened or not; how many there were.
pub async fn close(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    rotation_id: &RotationId,
    at_ms: Millis,
) -> Result<u64, Error> {
    let unopened = close_unopened(conn, federation_id, rotation_id, at_ms).await?;
    let opened = on_db!(conn, db => sqlx::query(CLOSE_OPENED)
        .bind(federation_id.as_str()).bind(rotation_id.as_str()).bind(at_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    Ok(unopened + opened)
}
