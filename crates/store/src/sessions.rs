//! Dashboard sessions, sealed; found by the SHA-256 of their id, so that the database opens none.

use domain::Millis;
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    SAVE = "INSERT INTO sessions (id_hash, sealed, data_key, version, expires_ms) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (id_hash) DO UPDATE SET sealed = excluded.sealed, data_key = excluded.data_key,
        version = excluded.version, expires_ms = excluded.expires_ms";
    LOAD = "SELECT sealed, data_key, version, expires_ms FROM sessions WHERE id_hash = $1";
    DELETE = "DELETE FROM sessions WHERE id_hash = $1";
    FORGET = "DELETE FROM sessions WHERE expires_ms < $1";
}

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct SealedSession {
    /// The sealed content, base64.
    pub sealed: String,
    /// Its sealed data key, base64.
    pub data_key: String,
    /// Counts its saves; part of what the seal is bound to.
    pub version: i64,
    /// When it ends.
    pub expires_ms: Millis,
}

/// Saves a session under the hash of its id.
pub async fn save(conn: &mut Conn<'_>, id_hash: &str, session: &SealedSession) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(SAVE)
        .bind(id_hash)
        .bind(&session.sealed)
        .bind(&session.data_key)
        .bind(session.version)
        .bind(session.expires_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// The session with the hash of its id.
pub async fn load(conn: &mut Conn<'_>, id_hash: &str) -> Result<Option<SealedSession>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(LOAD).bind(id_hash).fetch_optional(db).await)?)
}

/// Ends a session.
pub async fn delete(conn: &mut Conn<'_>, id_hash: &str) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(DELETE).bind(id_hash).execute(db).await.map(drop))?;
    Ok(())
}

/// Forgets the sessions that ended before a time.
pub async fn forget(conn: &mut Conn<'_>, before_ms: Millis) -> Result<u64, Error> {
    Ok(
        on_db!(conn, db => sqlx::query(FORGET).bind(before_ms).execute(db).await.map(|done| done.rows_affected()))?,
    )
}
