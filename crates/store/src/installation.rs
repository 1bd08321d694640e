//! The one row that binds a database to its master key.

use domain::Millis;

use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    INSERT = "INSERT INTO installation (name, master_key_id, created_ms) VALUES ('main', $1, $2)";
    MASTER_KEY_ID = "SELECT master_key_id FROM installation WHERE name = 'main'";
    COUNT_SYNC = "UPDATE installation SET synced = synced + 1 WHERE name = 'main'";
}

/// Binds a new database to a master key.
///
/// # Errors
/// [`Error::Conflict`] when it is bound already.
pub async fn insert(conn: &mut Conn<'_>, master_key_id: &str, created_ms: Millis) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT).bind(master_key_id).bind(created_ms).execute(db).await.map(drop))?;
    Ok(())
}

/// The id of the master key that the database is bound to; `None` when it is new.
pub async fn master_key_id(conn: &mut Conn<'_>) -> Result<Option<String>, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(MASTER_KEY_ID).fetch_optional(db).await)?)
}

/// Writes something small, so that its sync takes along what was written without one.
pub(crate) async fn count_sync(conn: &mut Conn<'_>) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(COUNT_SYNC).execute(db).await.map(drop))?;
    Ok(())
}
