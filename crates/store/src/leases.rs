//! Leases: of all nodes, one works. Each new holder gets a higher fence.

use domain::Millis;

use crate::{
    Conn, Error,
    db::{Raw, on_db},
    statements::statements,
};

statements! {
    // Renews one's own lease, takes an expired one, or makes a new one; another's living one stays, unless it
    // ends later than any lease of now could: then its holder's clock ran ahead.
    TAKE = "INSERT INTO leases (name, holder, fence, expires_ms) VALUES ($1, $2, 1, $4)
        ON CONFLICT (name) DO UPDATE SET
            fence = CASE WHEN leases.holder = $2 THEN leases.fence ELSE leases.fence + 1 END,
            holder = $2, expires_ms = $4
        WHERE leases.holder = $2 OR leases.expires_ms <= $3 OR leases.expires_ms > $5
        RETURNING fence";
    FENCE = "SELECT fence FROM leases WHERE name = $1";
    RELEASE = "UPDATE leases SET expires_ms = 0 WHERE name = $1 AND holder = $2 AND fence = $3";
}

/// How many times its length a lease may reach into the future: clocks of nodes differ by a little.
const REACH: Millis = 4;

/// Takes or renews a lease; its fence, or `None` while another holds it.
pub async fn take(
    conn: &mut Conn<'_>,
    name: &str,
    holder: &str,
    now_ms: Millis,
    expires_ms: Millis,
) -> Result<Option<i64>, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(TAKE)
        .bind(name).bind(holder).bind(now_ms).bind(expires_ms)
        .bind(now_ms + REACH * (expires_ms - now_ms)).fetch_optional(db).await)?)
}

/// Refuses to go on when somebody else has taken the lease since: the first line of a leased unit.
///
/// # Errors
/// [`Error::Stale`] when the fence is not the lease's any more.
pub async fn check(conn: &mut Conn<'_>, name: &str, fence: i64) -> Result<(), Error> {
    let present: Option<i64> =
        on_db!(conn, db => sqlx::query_scalar(FENCE).bind(name).fetch_optional(db).await)?;
    if present == Some(fence) { Ok(()) } else { Err(Error::Stale) }
}

/// Gives a lease back, so that another node need not wait for its end.
pub async fn release(conn: &mut Conn<'_>, name: &str, holder: &str, fence: i64) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(RELEASE).bind(name).bind(holder).bind(fence).execute(db).await.map(drop))?;
    Ok(())
}

/// What a database that is another machine takes the time to be; `None` for SQLite, whose time is this one's.
pub async fn foreign_time(conn: &mut Conn<'_>) -> Result<Option<Millis>, Error> {
    match &mut conn.raw {
        Raw::Sqlite(_) => Ok(None),
        Raw::Postgres(connection) => {
            let sql = "SELECT CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT)";
            Ok(Some(sqlx::query_scalar(sql).fetch_one(&mut **connection).await?))
        }
    }
}
