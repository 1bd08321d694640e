//! How often something was done with the keys of one line, for the ceilings of scopes.
//!
//! A line has one row for each thing that it counts, with the minutes of the last hour as one text: the
//! row is locked by being written, so that two nodes count one after the other, and nothing has to be
//! tidied away.

use domain::{FederationId, KeyId};

use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    // Written before it is read: from here to the commit nobody else counts with it.
    TAKE = "INSERT INTO scope_counters (federation_id, line_id, resource, verb, minutes, uses)
        VALUES ($1, $2, $3, $4, '[]', 1) ON CONFLICT (federation_id, line_id, resource, verb) DO UPDATE
        SET uses = scope_counters.uses + 1 RETURNING minutes";
    WRITE = "UPDATE scope_counters SET minutes = $5
        WHERE federation_id = $1 AND line_id = $2 AND resource = $3 AND verb = $4";
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// The federation of the line.
    pub federation_id: &'a FederationId,
    /// The first key of the line.
    pub line_id: &'a KeyId,
    /// The word of the resource type.
    pub resource: &'a str,
    /// The word of the verb.
    pub verb: &'a str,
}

/// Takes a counter for this transaction: how often it was used in which minutes since 1970, oldest first.
pub async fn take(conn: &mut Conn<'_>, counted: Counted<'_>) -> Result<Vec<(i64, i64)>, Error> {
    let Counted { federation_id, line_id, resource, verb } = counted;
    let minutes: String = on_db!(conn, db => sqlx::query_scalar(TAKE)
        .bind(federation_id.as_str()).bind(line_id.as_str()).bind(resource).bind(verb)
        .fetch_one(db).await)?;
    serde_json::from_str(&minutes).map_err(|error| Error::Corrupt(format!("counter of {line_id}: {error}")))
}

/// Writes a counter that was taken.
pub async fn write(conn: &mut Conn<'_>, counted: Counted<'_>, minutes: &[(i64, i64)]) -> Result<(), Error> {
    let Counted { federation_id, line_id, resource, verb } = counted;
    let minutes = serde_json::to_string(minutes).map_err(|error| Error::Corrupt(error.to_string()))?;
    on_db!(conn, db => sqlx::query(WRITE)
        .bind(federation_id.as_str()).bind(line_id.as_str()).bind(resource).bind(verb).bind(&minutes)
        .execute(db).await.map(drop))?;
    Ok(())
}
