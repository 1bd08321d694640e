//! How far each stream to another system has come, and what it was told when it did not go on.

use domain::Millis;
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    FIND = "SELECT place, part, at_ms, tries, next_ms, failing_ms, error FROM stream_places
        WHERE sink = $1 AND what = $2";
    MOVE = "INSERT INTO stream_places (sink, what, place, part, at_ms, tries, next_ms, failing_ms, error)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (sink, what) DO UPDATE SET place = $3, part = $4, at_ms = $5, tries = $6, next_ms = $7,
            failing_ms = $8, error = $9";
}

/// A place in what a stream carries.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromRow)]
pub struct StreamPlace {
    /// The last audit record, or the last seal, of which everything was taken.
    pub place: i64,
    /// How many records of the next seal were taken.
    pub part: i64,
    /// When something was taken last, or when it began.
    pub at_ms: Millis,
    /// How often in a row it failed.
    pub tries: i64,
    /// When it is tried again.
    pub next_ms: Millis,
    /// Since when it fails.
    pub failing_ms: Option<Millis>,
    /// Why.
    pub error: Option<String>,
}

/// Where a stream stands; `None` when it has not begun.
pub async fn find(conn: &mut Conn<'_>, sink: &str, what: &str) -> Result<Option<StreamPlace>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(FIND).bind(sink).bind(what).fetch_optional(db).await)?)
}

/// Moves a stream on, or keeps why it did not go on.
pub async fn set(conn: &mut Conn<'_>, sink: &str, what: &str, to: &StreamPlace) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(MOVE)
        .bind(sink).bind(what).bind(to.place).bind(to.part).bind(to.at_ms).bind(to.tries).bind(to.next_ms)
        .bind(to.failing_ms).bind(&to.error).execute(db).await.map(drop))?;
    Ok(())
}
