//! Users of the embedded directory. Every statement names the federation.

use domain::{FederationId, Millis, ResourceId};
use sqlx::FromRow;

use crate::{
    Conn, Error,
    cache::touch::Touch,
    db::on_db,
    directory::{self, Reindex, Term, Window},
    statements::statements,
};

macro_rules! columns {
    () => {
        "id, user_name, external_id, active, body, made_by, version, created_ms, modified_ms"
    };
}

statements! {
    INSERT = "INSERT INTO scim_users (federation_id, id, user_name, user_name_lower, external_id, active, body, made_by,
        version, created_ms, modified_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9)";
    REVIVE = "INSERT INTO scim_users (federation_id, id, user_name, user_name_lower, external_id, active, body, made_by,
        version, created_ms, modified_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    // Out of the way of another of the same unit; no name holds the character before the id.
    PARK = "UPDATE scim_users SET user_name_lower = $3 WHERE federation_id = $1 AND id = $2";
    UPDATE = "UPDATE scim_users SET user_name = $4, user_name_lower = $5, external_id = $6, active = $7, body = $8,
        modified_ms = $9, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3 RETURNING version";
    DELETE = "DELETE FROM scim_users WHERE federation_id = $1 AND id = $2 AND version = $3";
    BY_ID = concat!("SELECT ", columns!(), " FROM scim_users WHERE federation_id = $1 AND id = $2");
    // One look into the index for each federation, whatever the planner thinks of it.
    NAMED = "SELECT u.federation_id, u.id, u.user_name FROM federations f CROSS JOIN scim_users u
        WHERE u.federation_id = f.id AND u.user_name_lower >= $1 AND u.user_name_lower < $2 LIMIT $3";
}

/// A user as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Made by the server.
    pub id: ResourceId,
    /// `userName`, unique in the federation ignoring case.
    pub user_name: String,
    /// `externalId`, the client's own.
    pub external_id: Option<String>,
    /// `active`.
    pub active: bool,
    /// The resource as JSON, without `id`, `meta` and `groups`.
    pub body: String,
    /// The key that made it.
    pub made_by: String,
    /// Counts its changes; the ETag.
    pub version: i64,
    /// When it was created.
    pub created_ms: Millis,
    /// When it was last changed.
    pub modified_ms: Millis,
}

#[derive(FromRow)]
struct Row {
    id: String,
    user_name: String,
    external_id: Option<String>,
    active: i64,
    body: String,
    made_by: String,
    version: i64,
    created_ms: i64,
    modified_ms: i64,
}

impl TryFrom<Row> for UserRow {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let id = ResourceId::parse(&row.id).ok_or_else(|| Error::Corrupt(format!("user {}", row.id)))?;
        Ok(Self {
            id,
            user_name: row.user_name,
            external_id: row.external_id,
            active: row.active != 0,
            body: row.body,
            made_by: row.made_by,
            version: row.version,
            created_ms: row.created_ms,
            modified_ms: row.modified_ms,
        })
    }
}

fn taken(user: &UserRow) -> impl FnOnce() -> String {
    let user_name = user.user_name.clone();
    move || format!("userName {user_name:?} is taken in this federation")
}

/// Adds a user and what it is looked up by.
///
/// # Errors
/// [`Error::Conflict`] when its `userName` is taken.
pub async fn insert(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    user: &UserRow,
    reindex: &Reindex,
) -> Result<(), Error> {
    let inserted = on_db!(&mut *conn, db => sqlx::query(INSERT)
        .bind(federation_id.as_str())
        .bind(user.id.as_str())
        .bind(&user.user_name)
        .bind(scim::fold_case(&user.user_name))
        .bind(&user.external_id)
        .bind(i64::from(user.active))
        .bind(&user.body)
        .bind(&user.made_by)
        .bind(user.created_ms)
        .execute(db).await.map(drop));
    inserted.map_err(|error| Error::from(error).or_conflict(taken(user)))?;
    conn.touch(Touch::User(federation_id, user.id.as_str()));
    conn.touch(Touch::Users(federation_id));
    reindex.write(conn, federation_id, &user.id).await
}

/// Adds a user that was there before, with the version and the times that it says.
///
/// # Errors
/// [`Error::Conflict`] when its `userName` is taken.
pub async fn revive(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    user: &UserRow,
    reindex: &Reindex,
) -> Result<(), Error> {
    let inserted = on_db!(&mut *conn, db => sqlx::query(REVIVE)
        .bind(federation_id.as_str())
        .bind(user.id.as_str())
        .bind(&user.user_name)
        .bind(scim::fold_case(&user.user_name))
        .bind(&user.external_id)
        .bind(i64::from(user.active))
        .bind(&user.body)
        .bind(&user.made_by)
        .bind(user.version)
        .bind(user.created_ms)
        .bind(user.modified_ms)
        .execute(db).await.map(drop));
    inserted.map_err(|error| Error::from(error).or_conflict(taken(user)))?;
    conn.touch(Touch::User(federation_id, user.id.as_str()));
    conn.touch(Touch::Users(federation_id));
    reindex.write(conn, federation_id, &user.id).await
}

/// Lets go of the name of a user that gets another one later in the same unit, so that two can change names.
pub async fn park(conn: &mut Conn<'_>, federation_id: &FederationId, id: &ResourceId) -> Result<(), Error> {
    on_db!(&mut *conn, db => sqlx::query(PARK)
        .bind(federation_id.as_str()).bind(id.as_str()).bind(format!("\u{1}{id}"))
        .execute(db).await.map(drop))?;
    conn.touch(Touch::User(federation_id, id.as_str()));
    Ok(())
}

/// Writes a user that was read at `user.version`, and what it is looked up by where that changed; the
/// new version.
///
/// # Errors
/// [`Error::Conflict`] when its `userName` is taken, [`Error::Stale`] when it was changed since.
pub async fn update(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    user: &UserRow,
    reindex: &Reindex,
) -> Result<i64, Error> {
    let version: Result<Option<i64>, sqlx::Error> = on_db!(&mut *conn, db => sqlx::query_scalar(UPDATE)
        .bind(federation_id.as_str())
        .bind(user.id.as_str())
        .bind(user.version)
        .bind(&user.user_name)
        .bind(scim::fold_case(&user.user_name))
        .bind(&user.external_id)
        .bind(i64::from(user.active))
        .bind(&user.body)
        .bind(user.modified_ms)
        .fetch_optional(db).await);
    let version =
        version.map_err(|error| Error::from(error).or_conflict(taken(user)))?.ok_or(Error::Stale)?;
    conn.touch(Touch::User(federation_id, user.id.as_str()));
    reindex.write(conn, federation_id, &user.id).await?;
    Ok(version)
}

/// Deletes a user as it was read; what it is looked up by goes with it.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub async fn delete(conn: &mut Conn<'_>, federation_id: &FederationId, user: &UserRow) -> Result<(), Error> {
    let rows = on_db!(&mut *conn, db => sqlx::query(DELETE)
        .bind(federation_id.as_str()).bind(user.id.as_str()).bind(user.version)
        .execute(db).await.map(|done| done.rows_affected()))?;
    conn.touch(Touch::User(federation_id, user.id.as_str()));
    conn.touch(Touch::Users(federation_id));
    conn.touch(Touch::UserName(federation_id, &scim::fold_case(&user.user_name)));
    if let Some(external_id) = &user.external_id {
        conn.touch(Touch::UserExternalId(federation_id, external_id));
    }
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// One user of a federation.
pub async fn by_id(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &ResourceId,
) -> Result<Option<UserRow>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(BY_ID)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(UserRow::try_from).transpose()
}

/// One page of the users that are all of `terms`.
pub async fn page(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    terms: &[Term],
    window: &Window,
) -> Result<Vec<UserRow>, Error> {
    let rows: Vec<Row> =
        directory::page(directory::USERS, columns!(), federation_id, terms, window).fetch_all(conn).await?;
    rows.into_iter().map(UserRow::try_from).collect()
}

/// How many users are all of `terms`.
pub async fn count(conn: &mut Conn<'_>, federation_id: &FederationId, terms: &[Term]) -> Result<i64, Error> {
    directory::count(directory::USERS, federation_id, terms).fetch_number(conn).await
}

/// How the database would read a page, and how it would count.
#[cfg(feature = "testing")]
pub async fn explain(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    terms: &[Term],
    window: &Window,
) -> Result<[Vec<String>; 2], Error> {
    let page = directory::page(directory::USERS, columns!(), federation_id, terms, window);
    let count = directory::count(directory::USERS, federation_id, terms);
    Ok([page.explain(conn).await?, count.explain(conn).await?])
}

/// The users of every federation whose `userName` begins with this, folded; in no order.
pub async fn named(
    conn: &mut Conn<'_>,
    prefix: &str,
    limit: i64,
) -> Result<Vec<(FederationId, ResourceId, String)>, Error> {
    let end = directory::after_prefix(prefix).unwrap_or_else(|| char::MAX.to_string());
    let rows: Vec<(String, String, String)> = on_db!(conn, db => sqlx::query_as(NAMED)
        .bind(prefix).bind(&end).bind(limit).fetch_all(db).await)?;
    rows.into_iter()
        .map(|(federation, id, name)| {
            let federation = FederationId::parse(&federation)
                .ok_or_else(|| Error::Corrupt(format!("federation {federation}")))?;
            let id = ResourceId::parse(&id).ok_or_else(|| Error::Corrupt(format!("user {id}")))?;
            Ok((federation, id, name))
        })
        .collect()
}
