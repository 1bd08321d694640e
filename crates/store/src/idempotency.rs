//! Idempotency tokens of issues and rotations, kept for a day.

use domain::{KeyId, Millis};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    INSERT = "INSERT INTO idempotency (actor, token, fingerprint, key_id, created_ms) VALUES ($1, $2, $3, $4, $5)";
    FIND = "SELECT fingerprint, key_id FROM idempotency WHERE actor = $1 AND token = $2";
    FORGET = "DELETE FROM idempotency WHERE created_ms < $1";
}

/// What a token was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// A digest of the request.
    pub fingerprint: String,
    /// The key that was issued.
    pub key_id: KeyId,
}

#[derive(FromRow)]
struct Row {
    fingerprint: String,
    key_id: String,
}

/// Remembers what a token was used for.
///
/// # Errors
/// [`Error::Conflict`] when the actor has used it.
pub async fn insert(
    conn: &mut Conn<'_>,
    actor: &str,
    token: &str,
    used: &Used,
    at_ms: Millis,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(actor)
        .bind(token)
        .bind(&used.fingerprint)
        .bind(used.key_id.as_str())
        .bind(at_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// What the actor has used a token for.
pub async fn find(conn: &mut Conn<'_>, actor: &str, token: &str) -> Result<Option<Used>, Error> {
    let row: Option<Row> =
        on_db!(conn, db => sqlx::query_as(FIND).bind(actor).bind(token).fetch_optional(db).await)?;
    row.map(|row| {
        let key_id = KeyId::parse(&row.key_id)
            .ok_or_else(|| Error::Corrupt(format!("idempotency of {}", row.key_id)))?;
        Ok(Used { fingerprint: row.fingerprint, key_id })
    })
    .transpose()
}

/// Forgets the tokens used before a time.
pub async fn forget(conn: &mut Conn<'_>, before_ms: Millis) -> Result<u64, Error> {
    Ok(
        on_db!(conn, db => sqlx::query(FORGET).bind(before_ms).execute(db).await.map(|done| done.rows_affected()))?,
    )
}
