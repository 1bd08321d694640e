//! Channels on which people are told. The secret that signs a webhook is sealed.

use domain::{
    ChannelId,
    channels::{Channel, ChannelKind, LastResult},
};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "id, kind, name, settings, sealed, data_key, seal_version, last_result, version, updated_ms"
    };
}

statements! {
    INSERT = "INSERT INTO channels (id, kind, name, settings, sealed, data_key, seal_version, version, updated_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8)";
    DELETE = "DELETE FROM channels WHERE id = $1";
    BY_ID = concat!("SELECT ", columns!(), " FROM channels WHERE id = $1");
    LIST = concat!("SELECT ", columns!(), " FROM channels ORDER BY id");
    SET_LAST_RESULT = "UPDATE channels SET last_result = $2 WHERE id = $1";
}

/// A channel with its sealed secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChannel {
    /// The channel.
    pub channel: Channel,
    /// The secret that signs, sealed; empty for mail.
    pub sealed: String,
    /// Its sealed data key.
    pub data_key: String,
    /// The version that the seal is bound to.
    pub seal_version: i64,
}

#[derive(FromRow)]
struct Row {
    id: String,
    kind: String,
    name: String,
    settings: String,
    sealed: String,
    data_key: String,
    seal_version: i64,
    last_result: Option<String>,
    version: i64,
    updated_ms: i64,
}

impl TryFrom<Row> for StoredChannel {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("channel {}: {what}", row.id));
        let last_result = row.last_result.as_deref().map(serde_json::from_str).transpose();
        let channel = Channel {
            id: ChannelId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            kind: ChannelKind::parse(&row.kind).ok_or_else(|| corrupt("kind"))?,
            settings: serde_json::from_str(&row.settings).map_err(|_| corrupt("settings"))?,
            last_result: last_result.map_err(|_| corrupt("last result"))?,
            name: row.name,
            version: row.version,
            updated_ms: row.updated_ms,
        };
        Ok(Self { channel, sealed: row.sealed, data_key: row.data_key, seal_version: row.seal_version })
    }
}

fn settings(channel: &Channel) -> Result<String, Error> {
    serde_json::to_string(&channel.settings).map_err(|error| Error::Corrupt(error.to_string()))
}

/// Adds a channel.
pub async fn insert(conn: &mut Conn<'_>, stored: &StoredChannel) -> Result<(), Error> {
    let settings = settings(&stored.channel)?;
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(stored.channel.id.as_str())
        .bind(stored.channel.kind.as_str())
        .bind(&stored.channel.name)
        .bind(&settings)
        .bind(&stored.sealed)
        .bind(&stored.data_key)
        .bind(stored.seal_version)
        .bind(stored.channel.updated_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Takes a channel away; false when there is none.
pub async fn delete(conn: &mut Conn<'_>, id: &ChannelId) -> Result<bool, Error> {
    let rows = on_db!(conn, db => sqlx::query(DELETE).bind(id.as_str())
        .execute(db).await.map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// One channel.
pub async fn by_id(conn: &mut Conn<'_>, id: &ChannelId) -> Result<Option<StoredChannel>, Error> {
    let row: Option<Row> =
        on_db!(conn, db => sqlx::query_as(BY_ID).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(StoredChannel::try_from).transpose()
}

/// Every channel.
pub async fn list(conn: &mut Conn<'_>) -> Result<Vec<StoredChannel>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(LIST).fetch_all(db).await)?;
    rows.into_iter().map(StoredChannel::try_from).collect()
}

/// Keeps what became of the last message.
pub async fn set_last_result(conn: &mut Conn<'_>, id: &ChannelId, result: &LastResult) -> Result<(), Error> {
    let text = serde_json::to_string(result).map_err(|error| Error::Corrupt(error.to_string()))?;
    on_db!(conn, db => sqlx::query(SET_LAST_RESULT).bind(id.as_str()).bind(&text).execute(db).await.map(drop))?;
    Ok(())
}
