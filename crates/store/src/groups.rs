//! Groups of the embedded directory, and who is in them. Every statement names the federation.

use domain::{FederationId, Millis, ResourceId};
use sqlx::FromRow;

use crate::{
    Conn, Error,
    cache::touch::Touch,
    db::{Raw, on_db},
    directory::{self, Term, Window},
    members,
    statements::statements,
};

macro_rules! columns {
    () => {
        "id, display_name, external_id, body, made_by, version, created_ms, modified_ms"
    };
}

/// The most ids of one statement.
const IDS: usize = 200;

/// [`BY_ID`] for Postgres, where two nodes may write; SQLite has one writer and no such words. Others may
/// take the group in meanwhile: two that are taken into each other do not wait for each other.
const BY_ID_LOCKED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM scim_groups WHERE federation_id = $1 AND id = $2 FOR NO KEY UPDATE"
);

/// For Postgres: nobody takes the group in from here on.
const KEPT_OUT: &str = "SELECT 1 FROM scim_groups WHERE federation_id = $1 AND id = $2 FOR UPDATE";

/// Reads the members of some groups, whose ids stand behind it.
const MEMBERS: &str =
    "SELECT m.group_id, m.member_id, m.member_kind, COALESCE(u.user_name, g.display_name) AS display
    FROM scim_group_members m
    LEFT JOIN scim_users u ON u.federation_id = m.federation_id AND u.id = m.member_id
    LEFT JOIN scim_groups g ON g.federation_id = m.federation_id AND g.id = m.member_id
    WHERE m.federation_id = $1 AND m.group_id";

/// Reads the groups that some users are in, whose ids stand behind it.
const GROUPS_OF: &str = "SELECT m.member_id, g.id, g.display_name FROM scim_group_members m
    JOIN scim_groups g ON g.federation_id = m.federation_id AND g.id = m.group_id
    WHERE m.federation_id = $1 AND m.member_id";

statements! {
    INSERT = "INSERT INTO scim_groups (federation_id, id, display_name, display_name_lower, display_name_unique,
        external_id, body, made_by, version, created_ms, modified_ms) VALUES ($1, $2, $3, $4, $9, $5, $6, $7, 1, $8, $8)";
    REVIVE = "INSERT INTO scim_groups (federation_id, id, display_name, display_name_lower, display_name_unique,
        external_id, body, made_by, version, created_ms, modified_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    // Out of the way of another of the same unit; no name holds the character before the id.
    PARK = "UPDATE scim_groups SET display_name_unique = $3, display_name_lower = $3 WHERE federation_id = $1 AND id = $2";
    // A name that stays keeps its place, whatever the policy was when it was given.
    UPDATE = "UPDATE scim_groups SET display_name = $4, display_name_lower = $5,
        display_name_unique = CASE WHEN display_name_lower = $5 THEN display_name_unique ELSE $9 END,
        external_id = $6, body = $7, modified_ms = $8, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3 RETURNING version";
    TOUCH = "UPDATE scim_groups SET version = version + 1, modified_ms = $3
        WHERE federation_id = $1 AND id = $2 AND (CAST($4 AS BIGINT) IS NULL OR version = $4) RETURNING version";
    // Groups from a time without the policy have names that the unique index does not see.
    NAMESAKE = "SELECT id FROM scim_groups WHERE federation_id = $1 AND display_name_lower = $2 AND id <> $3
        AND NOT EXISTS (SELECT 1 FROM scim_groups own
            WHERE own.federation_id = $1 AND own.id = $3 AND own.display_name_lower = $2) LIMIT 1";
    DELETE = "DELETE FROM scim_groups WHERE federation_id = $1 AND id = $2 AND version = $3";
    BY_ID = concat!("SELECT ", columns!(), " FROM scim_groups WHERE federation_id = $1 AND id = $2");
    TOUCH_GROUPS_OF = "UPDATE scim_groups SET version = version + 1, modified_ms = $3 WHERE federation_id = $1 AND id IN
        (SELECT group_id FROM scim_group_members WHERE federation_id = $1 AND member_id = $2)";
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
    display_name: String,
    external_id: Option<String>,
    body: String,
    made_by: String,
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
            made_by: row.made_by,
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

/// Whether two groups of the federation may have one name, ignoring case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// They may not.
    Unique,
    /// They may.
    Shared,
}

impl Naming {
    /// What the unique index compares: no name holds the character before the id.
    fn key_of(self, group: &GroupRow) -> String {
        let folded = scim::fold_case(&group.display_name);
        match self {
            Self::Unique => folded,
            Self::Shared => format!("{folded}\u{1}{}", group.id),
        }
    }
}

/// Refuses a new name that another group has.
async fn check_name(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group: &GroupRow,
    naming: Naming,
) -> Result<(), Error> {
    if naming == Naming::Shared {
        return Ok(());
    }
    let namesake: Option<String> = on_db!(conn, db => sqlx::query_scalar(NAMESAKE)
        .bind(federation_id.as_str()).bind(scim::fold_case(&group.display_name)).bind(group.id.as_str())
        .fetch_optional(db).await)?;
    if namesake.is_some() { Err(Error::Conflict(taken(group)())) } else { Ok(()) }
}

fn taken(group: &GroupRow) -> impl FnOnce() -> String {
    let display_name = group.display_name.clone();
    move || format!("displayName {display_name:?} is taken in this federation")
}

/// Adds a group.
///
/// # Errors
/// [`Error::Conflict`] when its `displayName` is taken.
pub async fn insert(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group: &GroupRow,
    naming: Naming,
) -> Result<(), Error> {
    check_name(conn, federation_id, group, naming).await?;
    conn.touch(Touch::Group(federation_id, group.id.as_str()));
    let inserted = on_db!(conn, db => sqlx::query(INSERT)
        .bind(federation_id.as_str())
        .bind(group.id.as_str())
        .bind(&group.display_name)
        .bind(scim::fold_case(&group.display_name))
        .bind(&group.external_id)
        .bind(&group.body)
        .bind(&group.made_by)
        .bind(group.created_ms)
        .bind(naming.key_of(group))
        .execute(db).await.map(drop));
    inserted.map_err(|error| Error::from(error).or_conflict(taken(group)))
}

/// Adds a group that was there before, with the version and the times that it says, and without members.
///
/// # Errors
/// [`Error::Conflict`] when its `displayName` is taken.
pub async fn revive(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group: &GroupRow,
    naming: Naming,
) -> Result<(), Error> {
    check_name(conn, federation_id, group, naming).await?;
    conn.touch(Touch::Group(federation_id, group.id.as_str()));
    conn.touch(Touch::Nesting(federation_id));
    let inserted = on_db!(conn, db => sqlx::query(REVIVE)
        .bind(federation_id.as_str())
        .bind(group.id.as_str())
        .bind(&group.display_name)
        .bind(scim::fold_case(&group.display_name))
        .bind(naming.key_of(group))
        .bind(&group.external_id)
        .bind(&group.body)
        .bind(&group.made_by)
        .bind(group.version)
        .bind(group.created_ms)
        .bind(group.modified_ms)
        .execute(db).await.map(drop));
    inserted.map_err(|error| Error::from(error).or_conflict(taken(group)))
}

/// Lets go of the name of a group that gets another one later in the same unit.
pub async fn park(conn: &mut Conn<'_>, federation_id: &FederationId, id: &ResourceId) -> Result<(), Error> {
    conn.touch(Touch::Group(federation_id, id.as_str()));
    on_db!(conn, db => sqlx::query(PARK)
        .bind(federation_id.as_str()).bind(id.as_str()).bind(format!("\u{1}{id}"))
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Writes a group that was read at `group.version`; the new version.
///
/// # Errors
/// [`Error::Conflict`] when its `displayName` is taken, [`Error::Stale`] when it was changed since.
pub async fn update(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group: &GroupRow,
    naming: Naming,
) -> Result<i64, Error> {
    check_name(conn, federation_id, group, naming).await?;
    conn.touch(Touch::Group(federation_id, group.id.as_str()));
    let version: Result<Option<i64>, sqlx::Error> = on_db!(conn, db => sqlx::query_scalar(UPDATE)
        .bind(federation_id.as_str())
        .bind(group.id.as_str())
        .bind(group.version)
        .bind(&group.display_name)
        .bind(scim::fold_case(&group.display_name))
        .bind(&group.external_id)
        .bind(&group.body)
        .bind(group.modified_ms)
        .bind(naming.key_of(group))
        .fetch_optional(db).await);
    version.map_err(|error| Error::from(error).or_conflict(taken(group)))?.ok_or(Error::Stale)
}

/// Counts a change of a group's members; the new version. `seen` is the version that it must have.
///
/// # Errors
/// [`Error::Stale`] when it has another version, or is gone.
pub async fn touch(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group_id: &ResourceId,
    seen: Option<i64>,
    at_ms: Millis,
) -> Result<i64, Error> {
    conn.touch(Touch::GroupVersion(federation_id, group_id.as_str()));
    let version: Option<i64> = on_db!(conn, db => sqlx::query_scalar(TOUCH)
        .bind(federation_id.as_str()).bind(group_id.as_str()).bind(at_ms).bind(seen)
        .fetch_optional(db).await)?;
    version.ok_or(Error::Stale)
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
    conn.touch(Touch::Group(federation_id, group.id.as_str()));
    conn.touch(Touch::Nesting(federation_id));
    // The row first: from here on no other node adds to it, or adds it to another.
    match conn.raw {
        Raw::Sqlite(_) => {}
        Raw::Postgres(_) => on_db!(&mut *conn, db => sqlx::query(KEPT_OUT)
            .bind(federation_id.as_str()).bind(group.id.as_str()).execute(db).await.map(drop))?,
    }
    let version = touch(conn, federation_id, &group.id, Some(group.version), at_ms).await?;
    // Its own members before: one of them may be itself.
    members::remove_all(conn, federation_id, &group.id).await?;
    leave_all(conn, federation_id, &group.id, at_ms).await?;
    let rows = on_db!(conn, db => sqlx::query(DELETE)
        .bind(federation_id.as_str()).bind(group.id.as_str()).bind(version)
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

/// The same, to be changed in this transaction: on Postgres no other node changes it before the
/// commit.
pub async fn for_change(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &ResourceId,
) -> Result<Option<GroupRow>, Error> {
    let sql = match conn.raw {
        Raw::Sqlite(_) => BY_ID,
        Raw::Postgres(_) => BY_ID_LOCKED,
    };
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(sql)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(GroupRow::try_from).transpose()
}

/// One page of the groups that are all of `terms`.
pub async fn page(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    terms: &[Term],
    window: &Window,
) -> Result<Vec<GroupRow>, Error> {
    let rows: Vec<Row> =
        directory::page(directory::GROUPS, columns!(), federation_id, terms, window).fetch_all(conn).await?;
    rows.into_iter().map(GroupRow::try_from).collect()
}

/// How many groups are all of `terms`.
pub async fn count(conn: &mut Conn<'_>, federation_id: &FederationId, terms: &[Term]) -> Result<i64, Error> {
    directory::count(directory::GROUPS, federation_id, terms).fetch_number(conn).await
}

/// How the database would read a page, and how it would count.
#[cfg(feature = "testing")]
pub async fn explain(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    terms: &[Term],
    window: &Window,
) -> Result<[Vec<String>; 2], Error> {
    let page = directory::page(directory::GROUPS, columns!(), federation_id, terms, window);
    let count = directory::count(directory::GROUPS, federation_id, terms);
    Ok([page.explain(conn).await?, count.explain(conn).await?])
}

/// The members of some groups, in order of group and member.
pub async fn members(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    groups: &[&ResourceId],
) -> Result<Vec<MemberRow>, Error> {
    read_members(conn, federation_id, groups, None).await
}

/// As [`members`], but at most `limit` of them in all.
pub async fn members_up_to(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    groups: &[&ResourceId],
    limit: i64,
) -> Result<Vec<MemberRow>, Error> {
    read_members(conn, federation_id, groups, Some(limit)).await
}

async fn read_members(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    groups: &[&ResourceId],
    limit: Option<i64>,
) -> Result<Vec<MemberRow>, Error> {
    let mut found: Vec<MemberRow> = Vec::new();
    for ids in groups.chunks(IDS) {
        let mut sql = directory::Sql::new(federation_id);
        sql.push(MEMBERS).bind_any(&texts(ids)).push(" ORDER BY m.group_id, m.member_id");
        if let Some(limit) = limit {
            let left = limit.saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
            if left <= 0 {
                break;
            }
            sql.push(" LIMIT ").bind(left);
        }
        found.extend(sql.fetch_all::<MemberRow>(conn).await?);
    }
    Ok(found)
}

fn texts<'a>(ids: &[&'a ResourceId]) -> Vec<&'a str> {
    ids.iter().map(|id| id.as_str()).collect()
}

/// A group that somebody is in, directly or through other groups.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Belonging {
    /// Who is in it.
    pub member_id: String,
    /// The group's id.
    pub id: String,
    /// The group's name.
    pub display_name: String,
    /// 0 when it is so directly, 1 when only through other groups.
    pub indirect: i64,
}

/// The groups that some users are in, directly or through other groups, in order of user and group.
///
/// Groups may hold each other in a circle. A membership is followed once, and once more as an indirect
/// one, so that a circle ends, and a user costs no more than twice the groups of the federation.
pub async fn belongings(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    users: &[&ResourceId],
) -> Result<Vec<Belonging>, Error> {
    let mut found = Vec::new();
    for ids in users.chunks(IDS) {
        found.extend(belongings_sql(federation_id, ids).fetch_all::<Belonging>(&mut *conn).await?);
    }
    Ok(found)
}

fn belongings_sql(federation_id: &FederationId, users: &[&ResourceId]) -> directory::Sql {
    let mut sql = directory::Sql::new(federation_id);
    sql.push(
        "WITH RECURSIVE up (member_id, group_id, indirect) AS (
        SELECT member_id, group_id, CAST(0 AS BIGINT) FROM scim_group_members
        WHERE federation_id = $1 AND member_id",
    );
    sql.bind_any(&texts(users)).push(
        // CROSS JOIN keeps SQLite from beginning with every group of the federation.
        " UNION SELECT up.member_id, m.group_id, CAST(1 AS BIGINT) FROM up
        CROSS JOIN scim_group_members m WHERE m.federation_id = $1 AND m.member_id = up.group_id)
        SELECT up.member_id, g.id, g.display_name, MIN(up.indirect) AS indirect FROM up
        CROSS JOIN scim_groups g WHERE g.federation_id = $1 AND g.id = up.group_id
        GROUP BY up.member_id, g.id, g.display_name ORDER BY up.member_id, g.id",
    );
    sql
}

/// How the database would find the groups of some users.
#[cfg(feature = "testing")]
pub async fn explain_belongings(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    users: &[&ResourceId],
) -> Result<Vec<String>, Error> {
    belongings_sql(federation_id, users).explain(conn).await
}

/// The groups that some users or groups are directly in, in order of member and group.
pub async fn groups_of(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    members: &[&ResourceId],
) -> Result<Vec<Membership>, Error> {
    let mut found = Vec::new();
    for ids in members.chunks(IDS) {
        let mut sql = directory::Sql::new(federation_id);
        sql.push(GROUPS_OF).bind_any(&texts(ids)).push(" ORDER BY m.member_id, g.id");
        found.extend(sql.fetch_all::<Membership>(&mut *conn).await?);
    }
    Ok(found)
}

/// Takes a user or group out of every group that it is in; those groups have changed by that.
pub async fn leave_all(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    member_id: &ResourceId,
    at_ms: Millis,
) -> Result<(), Error> {
    conn.touch(Touch::MemberOfAll(federation_id, member_id.as_str()));
    on_db!(&mut *conn, db => sqlx::query(TOUCH_GROUPS_OF)
        .bind(federation_id.as_str()).bind(member_id.as_str()).bind(at_ms).execute(db).await.map(drop))?;
    on_db!(conn, db => sqlx::query(LEAVE_ALL)
        .bind(federation_id.as_str()).bind(member_id.as_str()).execute(db).await.map(drop))?;
    Ok(())
}
