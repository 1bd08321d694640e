//! What is counted for the brakes. Whoever counts locks the ledger of the federation until the commit, so
//! that two nodes count one after the other; nobody else touches it.

use domain::{FederationId, Millis};

use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    // The row is written, so that on Postgres it is locked, and read in the same statement.
    LOCK = "INSERT INTO brake_ledgers (federation_id, body, version) VALUES ($1, $2, 1)
        ON CONFLICT (federation_id) DO UPDATE SET version = brake_ledgers.version + 1 RETURNING body";
    SAVE = "UPDATE brake_ledgers SET body = $2 WHERE federation_id = $1";
    READ = "SELECT body FROM brake_ledgers WHERE federation_id = $1";
    USERS = "SELECT CAST(COUNT(*) AS BIGINT) FROM scim_users WHERE federation_id = $1";
    INACTIVE = "SELECT CAST(COUNT(*) AS BIGINT) FROM scim_users WHERE federation_id = $1 AND active = 0";
    LINKED = "SELECT CAST(COUNT(*) AS BIGINT) FROM upstream_links WHERE federation_id = $1 AND resource_type = 'User'
        AND state = 'live'";
    REWRITTEN = "SELECT CAST(COUNT(*) AS BIGINT), CAST(COALESCE(SUM(CASE WHEN user_id = $3 THEN 1 ELSE 0 END), 0) AS BIGINT)
        FROM brake_rewrites WHERE federation_id = $1 AND at_ms > $2";
    REWRITE = "INSERT INTO brake_rewrites (federation_id, user_id, at_ms) VALUES ($1, $2, $3)
        ON CONFLICT (federation_id, user_id) DO UPDATE SET at_ms = excluded.at_ms";
    FORGET = "DELETE FROM brake_rewrites WHERE federation_id = $1 AND at_ms <= $2";
    HOURS = "SELECT DISTINCT hour FROM usage_hours WHERE hour >= $2 AND hour <= $3 AND federation_id = $1
        AND decision = 'allowed' ORDER BY hour";
}

/// Locks the ledger of a federation and reads it; `new` is what it is when there is none.
pub async fn lock(conn: &mut Conn<'_>, federation_id: &FederationId, new: &str) -> Result<String, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(LOCK)
        .bind(federation_id.as_str()).bind(new).fetch_one(db).await)?)
}

/// Writes the ledger that was locked.
pub async fn save(conn: &mut Conn<'_>, federation_id: &FederationId, body: &str) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(SAVE)
        .bind(federation_id.as_str()).bind(body).execute(db).await.map(drop))?;
    Ok(())
}

/// The ledger as it stands, for people to read.
pub async fn read(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Option<String>, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(READ)
        .bind(federation_id.as_str()).fetch_optional(db).await)?)
}

/// The active users of the embedded directory, and all of them.
pub async fn population(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<(i64, i64), Error> {
    let users: i64 = on_db!(conn, db => sqlx::query_scalar(USERS)
        .bind(federation_id.as_str()).fetch_one(db).await)?;
    let inactive: i64 = on_db!(conn, db => sqlx::query_scalar(INACTIVE)
        .bind(federation_id.as_str()).fetch_one(db).await)?;
    Ok((users - inactive, users))
}

/// The users of a federation that stand at an upstream.
pub async fn linked(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<i64, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(LINKED)
        .bind(federation_id.as_str()).fetch_one(db).await)?)
}

/// How many users were rewritten after a moment, and whether this one is among them.
pub async fn rewritten(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    user_id: &str,
    after_ms: Millis,
) -> Result<(i64, bool), Error> {
    let (count, own): (i64, i64) = on_db!(conn, db => sqlx::query_as(REWRITTEN)
        .bind(federation_id.as_str()).bind(after_ms).bind(user_id).fetch_one(db).await)?;
    Ok((count, own > 0))
}

/// Notes that a user is rewritten.
pub async fn rewrite(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    user_id: &str,
    at_ms: Millis,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(REWRITE)
        .bind(federation_id.as_str()).bind(user_id).bind(at_ms).execute(db).await.map(drop))?;
    Ok(())
}

/// Forgets rewrites up to a moment.
pub async fn forget(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    until_ms: Millis,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(FORGET)
        .bind(federation_id.as_str()).bind(until_ms).execute(db).await.map(drop))?;
    Ok(())
}

/// The hours, counted from 1970, in which a federation asked for something that it got.
pub async fn hours(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    from: i64,
    until: i64,
) -> Result<Vec<i64>, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(HOURS)
        .bind(federation_id.as_str()).bind(from).bind(until).fetch_all(db).await)?)
}
