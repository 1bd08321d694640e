//! Groups of the embedded directory, and who is in them. Every statement names the federation.

use domain::{FederationId, Millis, ResourceId};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "id, display_name, external_id, body, version, created_ms, modified_ms"
    };
}

macro_rules! matching {
    ($index:literal) => {
        concat!(
            " FROM scim_groups WHERE federation_id = $1 ",
            $index,
            " AND (CAST($2 AS TEXT) IS NULL OR display_name_lower = $2)
            AND (CAST($3 AS TEXT) IS NULL OR external_id = $3)
            AND (CAST($4 AS TEXT) IS NULL OR id = $4)"
        )
    };
}

/// The most ids of one statement.
const IDS: usize = 200;

/// Beginning and end of a statement that reads the members of some groups; the ids stand between.
const MEMBERS: [&str; 2] = [
    "SELECT m.group_id, m.member_id, m.member_kind, COALESCE(u.user_name, g.display_name) AS display
    FROM scim_group_members m
    LEFT JOIN scim_users u ON u.federation_id = m.federation_id AND u.id = m.member_id
    LEFT JOIN scim_groups g ON g.federation_id = m.federation_id AND g.id = m.member_id
    WHERE m.federation_id = ",
    " ORDER BY m.group_id, m.member_id",
];

/// Beginning and end of a statement that reads the groups that some users are in.
const GROUPS_OF: [&str; 2] = [
    "SELECT m.member_id, g.id, g.display_name FROM scim_group_members m
    JOIN scim_groups g ON g.federation_id = m.federation_id AND g.id = m.group_id
    WHERE m.federation_id = ",
    " ORDER BY m.member_id, g.id",
];

statements! {
    INSERT = "INSERT INTO scim_groups (federation_id, id, display_name, display_name_lower, display_name_unique,
        external_id, body, made_by, version, created_ms, modified_ms) VALUES ($1, $2, $3, $4, $4, $5, $6, $7, 1, $8, $8)";
    UPDATE = "UPDATE scim_groups SET display_name = $4, display_name_lower = $5, display_name_unique = $5, external_id = $6, body = $7,
        modified_ms = $8, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3 RETURNING version";
    DELETE = "DELETE FROM scim_groups WHERE federation_id = $1 AND id = $2 AND version = $3";
    BY_ID = concat!("SELECT ", columns!(), " FROM scim_groups WHERE federation_id = $1 AND id = $2");
    LIST = concat!("SELECT ", columns!(), matching!(""), " ORDER BY id LIMIT $5 OFFSET $6");
    LIST_BY_DISPLAY_NAME = concat!("SELECT ", columns!(), matching!("AND display_name_lower = $2"), " ORDER BY id LIMIT $5 OFFSET $6");
    LIST_BY_EXTERNAL_ID = concat!("SELECT ", columns!(), matching!("AND external_id = $3"), " ORDER BY id LIMIT $5 OFFSET $6");
    LIST_BY_ID = concat!("SELECT ", columns!(), matching!("AND id = $4"), " ORDER BY id LIMIT $5 OFFSET $6");
    COUNT = concat!("SELECT COUNT(*)", matching!(""));
    COUNT_BY_DISPLAY_NAME = concat!("SELECT COUNT(*)", matching!("AND display_name_lower = $2"));
    COUNT_BY_EXTERNAL_ID = concat!("SELECT COUNT(*)", matching!("AND external_id = $3"));
    COUNT_BY_ID = concat!("SELECT COUNT(*)", matching!("AND id = $4"));
    TOUCH_GROUPS_OF = "UPDATE scim_groups SET version = version + 1, modified_ms = $3 WHERE federation_id = $1 AND id IN
        (SELECT group_id FROM scim_group_members WHERE federation_id = $1 AND member_id = $2)";
    ADD_MEMBER = "INSERT INTO scim_group_members (federation_id, group_id, member_id, member_kind)
        VALUES ($1, $2, $3, $4) ON CONFLICT (federation_id, group_id, member_id) DO NOTHING";
    REMOVE_MEMBER = "DELETE FROM scim_group_members WHERE federation_id = $1 AND group_id = $2 AND member_id = $3";
    REMOVE_ALL_MEMBERS = "DELETE FROM scim_group_members WHERE federation_id = $1 AND group_id = $2";
    LEAVE_ALL = "DELETE FROM scim_group_members WHERE federation_id = $1 AND member_id = $2";
}

/// A group as it is stored, without its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Made by the server.
    pub id: ResourceId,
    /// `displayName`, unique in the federation ignoring case.
    pub display_name: String,
    /// `externalId`, the client's own.
    pub external_id: Option<String>,
    /// The resource as JSON, without `id`, `meta` and `members`.
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
    display_name: String,
    external_id: Option<String>,
    body: String,
    version: i64,
    created_ms: i64,
    modified_ms: i64,
}

impl TryFrom<Row> for GroupRow {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let id = ResourceId::parse(&row.id).ok_or_else(|| Error::Corrupt(format!("group {}", row.id)))?;
        Ok(Self {
            id,
            display_name: row.display_name,
            external_id: row.external_id,
            body: row.body,
            version: row.version,
            created_ms: row.created_ms,
            modified_ms: row.modified_ms,
        })
    }
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct MemberRow {
    /// The group.
    pub group_id: String,
    /// The id of a user or a group of the same federation.
    pub member_id: String,
    /// `User` or `Group`.
    pub member_kind: String,
    /// Its present name.
    pub display: Option<String>,
}

/// A group that somebody is in.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Membership {
    /// Who is in it.
    pub member_id: String,
    /// The group's id.
    pub id: String,
    /// The group's name.
    pub display_name: String,
}

fn taken(group: &GroupRow) -> impl FnOnce() -> String {
    let display_name = group.display_name.clone();
    move || format!("displayName {display_name:?} is taken in this federation")
}

/// Adds a group, made by a key.
///
/// # Errors
/// [`Error::Conflict`] when its `displayName` is taken.
pub async fn insert(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group: &GroupRow,
    made_by: &str,
) -> Result<(), Error> {
    let inserted = on_db!(conn, db => sqlx::query(INSERT)
        .bind(federation_id.as_str())
        .bind(group.id.as_str())
        .bind(&group.display_name)
        .bind(scim::fold_case(&group.display_name))
        .bind(&group.external_id)
        .bind(&group.body)
        .bind(made_by)
        .bind(group.created_ms)
        .execute(db).await.map(drop));
    inserted.map_err(|error| Error::from(error).or_conflict(taken(group)))
}

/// Writes a group that was read at `group.version`; the new version.
///
/// # Errors
/// [`Error::Conflict`] when its `displayName` is taken, [`Error::Stale`] when it was changed since.
pub async fn update(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group: &GroupRow,
) -> Result<i64, Error> {
    let version: Result<Option<i64>, sqlx::Error> = on_db!(conn, db => sqlx::query_scalar(UPDATE)
        .bind(federation_id.as_str())
        .bind(group.id.as_str())
        .bind(group.version)
        .bind(&group.display_name)
        .bind(scim::fold_case(&group.display_name))
        .bind(&group.external_id)
        .bind(&group.body)
        .bind(group.modified_ms)
        .fetch_optional(db).await);
    version.map_err(|error| Error::from(error).or_conflict(taken(group)))?.ok_or(Error::Stale)
}

/// Deletes a group as it was read, its memberships in other groups and its own members.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub async fn delete(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group: &GroupRow,
    at_ms: Millis,
) -> Result<(), Error> {
    leave_all(&mut *conn, federation_id, &group.id, at_ms).await?;
    on_db!(&mut *conn, db => sqlx::query(REMOVE_ALL_MEMBERS)
        .bind(federation_id.as_str()).bind(group.id.as_str()).execute(db).await.map(drop))?;
    let rows = on_db!(conn, db => sqlx::query(DELETE)
        .bind(federation_id.as_str()).bind(group.id.as_str()).bind(group.version)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// One group of a federation.
pub async fn by_id(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &ResourceId,
) -> Result<Option<GroupRow>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(BY_ID)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(GroupRow::try_from).transpose()
}

/// Which groups to list; every field narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupSelection {
    /// `displayName`, folded.
    pub display_name_lower: Option<String>,
    /// `externalId`, exact.
    pub external_id: Option<String>,
    /// `id`.
    pub id: Option<String>,
}

/// How many groups match, and one page of them in order of creation.
pub async fn list(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    selection: &GroupSelection,
    limit: i64,
    offset: i64,
) -> Result<(i64, Vec<GroupRow>), Error> {
    let (count, list) = match selection {
        GroupSelection { id: Some(_), .. } => (COUNT_BY_ID, LIST_BY_ID),
        GroupSelection { display_name_lower: Some(_), .. } => (COUNT_BY_DISPLAY_NAME, LIST_BY_DISPLAY_NAME),
        GroupSelection { external_id: Some(_), .. } => (COUNT_BY_EXTERNAL_ID, LIST_BY_EXTERNAL_ID),
        GroupSelection { .. } => (COUNT, LIST),
    };
    let total: i64 = on_db!(&mut *conn, db => sqlx::query_scalar(count)
        .bind(federation_id.as_str())
        .bind(selection.display_name_lower.as_deref())
        .bind(selection.external_id.as_deref())
        .bind(selection.id.as_deref())
        .fetch_one(db).await)?;
    if limit == 0 || total <= offset {
        return Ok((total, Vec::new()));
    }
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(list)
        .bind(federation_id.as_str())
        .bind(selection.display_name_lower.as_deref())
        .bind(selection.external_id.as_deref())
        .bind(selection.id.as_deref())
        .bind(limit)
        .bind(offset)
        .fetch_all(db).await)?;
    Ok((total, rows.into_iter().map(GroupRow::try_from).collect::<Result<_, _>>()?))
}

/// The members of some groups, in order of group and member.
pub async fn members(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    groups: &[&ResourceId],
) -> Result<Vec<MemberRow>, Error> {
    let [begin, end] = MEMBERS;
    let mut found = Vec::new();
    for ids in groups.chunks(IDS) {
        found.extend(on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(begin);
            sql.push_bind(federation_id.as_str()).push(" AND m.group_id IN (");
            let mut list = sql.separated(", ");
            for id in ids {
                list.push_bind(id.as_str());
            }
            sql.push(")").push(end).build_query_as().fetch_all(db).await
        })?);
    }
    Ok(found)
}

/// The groups that some users or groups are directly in, in order of member and group.
pub async fn groups_of(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    members: &[&ResourceId],
) -> Result<Vec<Membership>, Error> {
    let [begin, end] = GROUPS_OF;
    let mut found = Vec::new();
    for ids in members.chunks(IDS) {
        found.extend(on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(begin);
            sql.push_bind(federation_id.as_str()).push(" AND m.member_id IN (");
            let mut list = sql.separated(", ");
            for id in ids {
                list.push_bind(id.as_str());
            }
            sql.push(")").push(end).build_query_as().fetch_all(db).await
        })?);
    }
    Ok(found)
}

/// Adds a member; adding it again changes nothing.
pub async fn add_member(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group_id: &ResourceId,
    member_id: &str,
    member_kind: &str,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(ADD_MEMBER)
        .bind(federation_id.as_str()).bind(group_id.as_str()).bind(member_id).bind(member_kind)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Removes a member.
pub async fn remove_member(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group_id: &ResourceId,
    member_id: &str,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(REMOVE_MEMBER)
        .bind(federation_id.as_str()).bind(group_id.as_str()).bind(member_id).execute(db).await.map(drop))?;
    Ok(())
}

/// Takes a user or group out of every group that it is in; those groups have changed by that.
pub async fn leave_all(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    member_id: &ResourceId,
    at_ms: Millis,
) -> Result<(), Error> {
    on_db!(&mut *conn, db => sqlx::query(TOUCH_GROUPS_OF)
        .bind(federation_id.as_str()).bind(member_id.as_str()).bind(at_ms).execute(db).await.map(drop))?;
    on_db!(conn, db => sqlx::query(LEAVE_ALL)
        .bind(federation_id.as_str()).bind(member_id.as_str()).execute(db).await.map(drop))?;
    Ok(())
}
