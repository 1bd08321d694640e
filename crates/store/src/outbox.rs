//! The outbox: what must leave later is written in the unit that causes it.
//!
//! A row is sent at least once: claimed by moving its due time ahead, done when the receiver has
//! it, tried again otherwise.

use domain::Millis;
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    CLAIM = "UPDATE outbox SET attempts = attempts + 1, due_ms = $3
        WHERE (federation_id, id) IN (SELECT federation_id, id FROM outbox
            WHERE kind = $4 AND done_ms IS NULL AND due_ms <= $1 ORDER BY due_ms, id LIMIT $2)
        AND done_ms IS NULL AND due_ms <= $1
        RETURNING federation_id, id, kind, payload, attempts";
    DONE = "UPDATE outbox SET done_ms = $3, payload = '', last_error = NULL WHERE federation_id = $1 AND id = $2";
    GIVEN_UP = "UPDATE outbox SET done_ms = $3, payload = '', last_error = $4 WHERE federation_id = $1 AND id = $2";
    INSERT_ONCE = "INSERT INTO outbox (federation_id, id, kind, payload, due_ms) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (federation_id, id) DO NOTHING";
    RENEW = "UPDATE outbox SET due_ms = $3 WHERE kind = $1 AND due_ms = $2 AND done_ms IS NULL";
    FORGET = "DELETE FROM outbox WHERE kind = $1 AND done_ms < $2";
    FAILED = "UPDATE outbox SET due_ms = $3, last_error = $4 WHERE federation_id = $1 AND id = $2 AND done_ms IS NULL";
}

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OutboxRow {
    /// Whose it is.
    pub federation_id: String,
    /// Its id, in order of time.
    pub id: String,
    /// What it is; decides who sends it.
    pub kind: String,
    /// What to send; sealed when it holds a secret. Emptied once sent.
    pub payload: String,
    /// How often it was claimed.
    pub attempts: i64,
}

/// Puts something into the outbox, to be sent at `due_ms` or later, once for an id; false when it is or was
/// there.
pub async fn insert_once(conn: &mut Conn<'_>, row: &OutboxRow, due_ms: Millis) -> Result<bool, Error> {
    let rows = on_db!(conn, db => sqlx::query(INSERT_ONCE)
        .bind(&row.federation_id)
        .bind(&row.id)
        .bind(&row.kind)
        .bind(&row.payload)
        .bind(due_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// Claims what is due of a kind until `until_ms`; who does not finish by then gives others their turn.
pub async fn claim(
    conn: &mut Conn<'_>,
    kind: &str,
    now_ms: Millis,
    until_ms: Millis,
    limit: i64,
) -> Result<Vec<OutboxRow>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(CLAIM)
        .bind(now_ms).bind(limit).bind(until_ms).bind(kind).fetch_all(db).await)?)
}

/// It was received; its payload is forgotten.
pub async fn done(conn: &mut Conn<'_>, row: &OutboxRow, at_ms: Millis) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(DONE)
        .bind(&row.federation_id).bind(&row.id).bind(at_ms).execute(db).await.map(drop))?;
    Ok(())
}

/// It was not received; try again at `due_ms`.
pub async fn failed(conn: &mut Conn<'_>, row: &OutboxRow, due_ms: Millis, error: &str) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(FAILED)
        .bind(&row.federation_id).bind(&row.id).bind(due_ms).bind(error).execute(db).await.map(drop))?;
    Ok(())
}

/// It will not be tried again; why is kept, its payload is not.
pub async fn give_up(conn: &mut Conn<'_>, row: &OutboxRow, at_ms: Millis, error: &str) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(GIVEN_UP)
        .bind(&row.federation_id).bind(&row.id).bind(at_ms).bind(error).execute(db).await.map(drop))?;
    Ok(())
}

/// Renews a claim: what is not done of what was claimed until `until_ms` is claimed until `next_ms`.
pub async fn renew(conn: &mut Conn<'_>, kind: &str, until_ms: Millis, next_ms: Millis) -> Result<u64, Error> {
    Ok(on_db!(conn, db => sqlx::query(RENEW)
        .bind(kind).bind(until_ms).bind(next_ms).execute(db).await.map(|done| done.rows_affected()))?)
}

/// Forgets what was done with before a time.
pub async fn forget(conn: &mut Conn<'_>, kind: &str, before_ms: Millis) -> Result<u64, Error> {
    Ok(on_db!(conn, db => sqlx::query(FORGET)
        .bind(kind).bind(before_ms).execute(db).await.map(|done| done.rows_affected()))?)
}
