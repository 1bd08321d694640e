//! Users of the embedded directory. Every statement names the federation.

use domain::{FederationId, Millis, ResourceId};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "id, user_name, external_id, active, body, version, created_ms, modified_ms"
    };
}

// Each pair begins at an index of its own and narrows by the rest.
macro_rules! matching {
    ($index:literal) => {
        concat!(
            " FROM scim_users WHERE federation_id = $1 ",
            $index,
            " AND (CAST($2 AS TEXT) IS NULL OR user_name_lower = $2)
            AND (CAST($3 AS TEXT) IS NULL OR external_id = $3)
            AND (CAST($4 AS TEXT) IS NULL OR id = $4)
            AND (CAST($5 AS BIGINT) IS NULL OR active = $5)"
        )
    };
}

statements! {
    INSERT = "INSERT INTO scim_users (federation_id, id, user_name, user_name_lower, external_id, active, body, made_by,
        version, created_ms, modified_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9)";
    UPDATE = "UPDATE scim_users SET user_name = $4, user_name_lower = $5, external_id = $6, active = $7, body = $8,
        modified_ms = $9, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3 RETURNING version";
    DELETE = "DELETE FROM scim_users WHERE federation_id = $1 AND id = $2 AND version = $3";
    BY_ID = concat!("SELECT ", columns!(), " FROM scim_users WHERE federation_id = $1 AND id = $2");
    LIST = concat!("SELECT ", columns!(), matching!(""), " ORDER BY id LIMIT $6 OFFSET $7");
    LIST_BY_USER_NAME = concat!("SELECT ", columns!(), matching!("AND user_name_lower = $2"), " ORDER BY id LIMIT $6 OFFSET $7");
    LIST_BY_EXTERNAL_ID = concat!("SELECT ", columns!(), matching!("AND external_id = $3"), " ORDER BY id LIMIT $6 OFFSET $7");
    LIST_BY_ID = concat!("SELECT ", columns!(), matching!("AND id = $4"), " ORDER BY id LIMIT $6 OFFSET $7");
    COUNT = concat!("SELECT COUNT(*)", matching!(""));
    COUNT_BY_USER_NAME = concat!("SELECT COUNT(*)", matching!("AND user_name_lower = $2"));
    COUNT_BY_EXTERNAL_ID = concat!("SELECT COUNT(*)", matching!("AND external_id = $3"));
    COUNT_BY_ID = concat!("SELECT COUNT(*)", matching!("AND id = $4"));
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

/// Adds a user, made by a key.
///
/// # Errors
/// [`Error::Conflict`] when its `userName` is taken.
pub async fn insert(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    user: &UserRow,
    made_by: &str,
) -> Result<(), Error> {
    let inserted = on_db!(conn, db => sqlx::query(INSERT)
        .bind(federation_id.as_str())
        .bind(user.id.as_str())
        .bind(&user.user_name)
        .bind(scim::fold_case(&user.user_name))
        .bind(&user.external_id)
        .bind(i64::from(user.active))
        .bind(&user.body)
        .bind(made_by)
        .bind(user.created_ms)
        .execute(db).await.map(drop));
    inserted.map_err(|error| Error::from(error).or_conflict(taken(user)))
}

/// Writes a user that was read at `user.version`; the new version.
///
/// # Errors
/// [`Error::Conflict`] when its `userName` is taken, [`Error::Stale`] when it was changed since.
pub async fn update(conn: &mut Conn<'_>, federation_id: &FederationId, user: &UserRow) -> Result<i64, Error> {
    let version: Result<Option<i64>, sqlx::Error> = on_db!(conn, db => sqlx::query_scalar(UPDATE)
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
    version.map_err(|error| Error::from(error).or_conflict(taken(user)))?.ok_or(Error::Stale)
}

/// Deletes a user as it was read.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub async fn delete(conn: &mut Conn<'_>, federation_id: &FederationId, user: &UserRow) -> Result<(), Error> {
    let rows = on_db!(conn, db => sqlx::query(DELETE)
        .bind(federation_id.as_str()).bind(user.id.as_str()).bind(user.version)
        .execute(db).await.map(|done| done.rows_affected()))?;
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

/// Which users to list; every field narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserSelection {
    /// `userName`, folded.
    pub user_name_lower: Option<String>,
    /// `externalId`, exact.
    pub external_id: Option<String>,
    /// `id`.
    pub id: Option<String>,
    /// `active`.
    pub active: Option<bool>,
}

/// How many users match, and one page of them in order of creation.
pub async fn list(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    selection: &UserSelection,
    limit: i64,
    offset: i64,
) -> Result<(i64, Vec<UserRow>), Error> {
    let (count, list) = match selection {
        UserSelection { id: Some(_), .. } => (COUNT_BY_ID, LIST_BY_ID),
        UserSelection { user_name_lower: Some(_), .. } => (COUNT_BY_USER_NAME, LIST_BY_USER_NAME),
        UserSelection { external_id: Some(_), .. } => (COUNT_BY_EXTERNAL_ID, LIST_BY_EXTERNAL_ID),
        UserSelection { .. } => (COUNT, LIST),
    };
    let active = selection.active.map(i64::from);
    let total: i64 = on_db!(&mut *conn, db => sqlx::query_scalar(count)
        .bind(federation_id.as_str())
        .bind(selection.user_name_lower.as_deref())
        .bind(selection.external_id.as_deref())
        .bind(selection.id.as_deref())
        .bind(active)
        .fetch_one(db).await)?;
    if limit == 0 || total <= offset {
        return Ok((total, Vec::new()));
    }
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(list)
        .bind(federation_id.as_str())
        .bind(selection.user_name_lower.as_deref())
        .bind(selection.external_id.as_deref())
        .bind(selection.id.as_deref())
        .bind(active)
        .bind(limit)
        .bind(offset)
        .fetch_all(db).await)?;
    Ok((total, rows.into_iter().map(UserRow::try_from).collect::<Result<_, _>>()?))
}
