//! Dashboard sessions, sealed; found by the SHA-256 of their id, so that the database opens none.

use domain::Millis;
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    INSERT = "INSERT INTO sessions (id_hash, sealed, data_key, version, expires_ms) VALUES ($1, $2, $3, $4, $5)";
    UPDATE = "UPDATE sessions SET sealed = $2, data_key = $3, version = $4, expires_ms = $5 WHERE id_hash = $1";
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

/// Adds a session under the hash of its id.
///
/// # Errors
/// [`Error::Conflict`] when there is one.
pub async fn insert(conn: &mut Conn<'_>, id_hash: &str, session: &SealedSession) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(id_hash)
        .bind(&session.sealed)
        .bind(&session.data_key)
        .bind(session.version)
        .bind(session.expires_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Saves a session that is there; false when it has been ended in the meantime, and stays so.
pub async fn update(conn: &mut Conn<'_>, id_hash: &str, session: &SealedSession) -> Result<bool, Error> {
    let rows = on_db!(conn, db => sqlx::query(UPDATE)
        .bind(id_hash)
        .bind(&session.sealed)
        .bind(&session.data_key)
        .bind(session.version)
        .bind(session.expires_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    Ok(rows == 1)
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
