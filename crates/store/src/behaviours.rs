//! What is expected: the rules of federations, and what was learned of them and of their keys.

use domain::{FederationId, KeyId, Millis, behaviour::Rules};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    RULES = "SELECT behaviour FROM federations WHERE id = $1";
    ONE = "SELECT federation_id, key_id, profile, version, updated_ms FROM behaviours
        WHERE federation_id = $1 AND key_id = $2";
    OF_FEDERATION = "SELECT federation_id, key_id, profile, version, updated_ms FROM behaviours
        WHERE federation_id = $1 ORDER BY key_id";
    INSERT = "INSERT INTO behaviours (federation_id, key_id, profile, version, updated_ms) VALUES ($1, $2, $3, 1, $4)
        ON CONFLICT (federation_id, key_id) DO NOTHING";
    UPDATE = "UPDATE behaviours SET profile = $4, updated_ms = $5, version = version + 1
        WHERE federation_id = $1 AND key_id = $2 AND version = $3";
    WRITTEN = "SELECT federation_id, key_id, version FROM behaviours WHERE updated_ms >= $1";
    FORGET = "DELETE FROM behaviours WHERE key_id <> '' AND updated_ms < $1";
}

/// A profile as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProfile {
    /// Of which federation.
    pub federation_id: FederationId,
    /// Of which key; `None` for the federation as a whole.
    pub key_id: Option<KeyId>,
    /// The profile, as JSON.
    pub profile: String,
    /// Counts its changes.
    pub version: i64,
    /// When it was last written.
    pub updated_ms: Millis,
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    key_id: String,
    profile: String,
    version: i64,
    updated_ms: i64,
}

impl TryFrom<Row> for StoredProfile {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("behaviour of {}: {what}", row.federation_id));
        Ok(Self {
            federation_id: FederationId::parse(&row.federation_id).ok_or_else(|| corrupt("federation"))?,
            key_id: match row.key_id.as_str() {
                "" => None,
                text => Some(KeyId::parse(text).ok_or_else(|| corrupt("key"))?),
            },
            profile: row.profile,
            version: row.version,
            updated_ms: row.updated_ms,
        })
    }
}

/// The word of a key, or of the federation as a whole.
fn word(key_id: Option<&KeyId>) -> &str {
    key_id.map_or("", KeyId::as_str)
}

/// The rules of a federation; `None` when there is no such federation.
pub async fn rules(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Option<Rules>, Error> {
    let text: Option<String> = on_db!(conn, db => sqlx::query_scalar(RULES)
        .bind(federation_id.as_str()).fetch_optional(db).await)?;
    text.map(|text| {
        serde_json::from_str(&text)
            .map_err(|_| Error::Corrupt(format!("federation {federation_id}: behaviour")))
    })
    .transpose()
}

/// One profile.
pub async fn profile(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: Option<&KeyId>,
) -> Result<Option<StoredProfile>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(ONE)
        .bind(federation_id.as_str()).bind(word(key_id)).fetch_optional(db).await)?;
    row.map(StoredProfile::try_from).transpose()
}

/// A profile that was written, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Of which federation.
    pub federation_id: FederationId,
    /// Of which key; `None` for the federation as a whole.
    pub key_id: Option<KeyId>,
    /// Its version.
    pub version: i64,
}

/// The profiles that any node wrote since a moment.
pub async fn written(conn: &mut Conn<'_>, since_ms: Millis) -> Result<Vec<Written>, Error> {
    let rows: Vec<(String, String, i64)> =
        on_db!(conn, db => sqlx::query_as(WRITTEN).bind(since_ms).fetch_all(db).await)?;
    let read = |(federation_id, key_id, version): (String, String, i64)| {
        let corrupt = || Error::Corrupt(format!("behaviour of {federation_id}"));
        Ok(Written {
            federation_id: FederationId::parse(&federation_id).ok_or_else(corrupt)?,
            key_id: match key_id.as_str() {
                "" => None,
                text => Some(KeyId::parse(text).ok_or_else(corrupt)?),
            },
            version,
        })
    };
    rows.into_iter().map(read).collect()
}

/// The profiles of a federation, its own first.
pub async fn profiles(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
) -> Result<Vec<StoredProfile>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(OF_FEDERATION)
        .bind(federation_id.as_str()).fetch_all(db).await)?;
    rows.into_iter().map(StoredProfile::try_from).collect()
}

/// Writes a profile over the version that was read, 0 when there was none.
///
/// # Errors
/// [`Error::Stale`] when it has another version by now.
pub async fn write(conn: &mut Conn<'_>, profile: &StoredProfile) -> Result<(), Error> {
    let StoredProfile { federation_id, key_id, profile, version, updated_ms } = profile;
    let key_id = word(key_id.as_ref());
    let rows = if *version == 0 {
        on_db!(conn, db => sqlx::query(INSERT)
            .bind(federation_id.as_str()).bind(key_id).bind(profile).bind(*updated_ms)
            .execute(db).await.map(|done| done.rows_affected()))?
    } else {
        on_db!(conn, db => sqlx::query(UPDATE)
            .bind(federation_id.as_str()).bind(key_id).bind(*version).bind(profile).bind(*updated_ms)
            .execute(db).await.map(|done| done.rows_affected()))?
    };
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// Forgets profiles of keys that nobody wrote since a moment; how many.
pub async fn forget(conn: &mut Conn<'_>, before_ms: Millis) -> Result<u64, Error> {
    Ok(on_db!(conn, db => sqlx::query(FORGET)
        .bind(before_ms).execute(db).await.map(|done| done.rows_affected()))?)
}
