//! Schemas that an admin registered for a federation. Every statement names it.
//!
//! What is read of a federation's schemas is kept by its version, so whoever writes here changes the
//! federation in the same unit.

use domain::{FederationId, Millis};
use sqlx::FromRow;

use crate::{Conn, Error, cache::touch::Touch, db::on_db, statements::statements};

statements! {
    LIST = "SELECT urn_lower, resource_type, body, created_ms FROM scim_extensions WHERE federation_id = $1
        ORDER BY created_ms, urn_lower";
    UPSERT = "INSERT INTO scim_extensions (federation_id, urn_lower, resource_type, body, created_ms)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (federation_id, urn_lower)
        DO UPDATE SET resource_type = excluded.resource_type, body = excluded.body";
    DELETE = "DELETE FROM scim_extensions WHERE federation_id = $1 AND urn_lower = $2";
}

/// An extension as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ExtensionRow {
    /// The URN, in lower case.
    pub urn_lower: String,
    /// `User` or `Group`.
    pub resource_type: String,
    /// The schema as RFC 7643 7 writes it.
    pub body: String,
    /// When it was registered first.
    pub created_ms: Millis,
}

/// The extensions of a federation, in order of registration.
pub async fn list(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Vec<ExtensionRow>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(LIST).bind(federation_id.as_str()).fetch_all(db).await)?)
}

/// Adds an extension, or replaces the one with its URN.
pub async fn upsert(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    extension: &ExtensionRow,
) -> Result<(), Error> {
    on_db!(&mut *conn, db => sqlx::query(UPSERT)
        .bind(federation_id.as_str())
        .bind(&extension.urn_lower)
        .bind(&extension.resource_type)
        .bind(&extension.body)
        .bind(extension.created_ms)
        .execute(db).await.map(drop))?;
    conn.touch(Touch::Federation(federation_id));
    Ok(())
}

/// Removes an extension; whether there was one.
pub async fn delete(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    urn_lower: &str,
) -> Result<bool, Error> {
    let rows = on_db!(&mut *conn, db => sqlx::query(DELETE)
        .bind(federation_id.as_str()).bind(urn_lower).execute(db).await.map(|done| done.rows_affected()))?;
    conn.touch(Touch::Federation(federation_id));
    Ok(rows > 0)
}
