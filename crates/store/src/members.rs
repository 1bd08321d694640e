//! Who joins and who leaves a group: memberships as sets, so that a change costs what it changes
//! and never what the group holds. Every statement names the federation.
//!
//! SQLite has one writer. On Postgres two nodes may write at once, so what a membership relies on
//! is locked until the commit: who joins cannot be deleted meanwhile. That is the one place where the
//! text differs: SQLite knows no `FOR KEY SHARE` and needs none.
//!
//! Groups may hold each other in a circle; whoever follows memberships sees each group once
//! ([`crate::groups::belongings`]).

use std::collections::HashSet;

use domain::{FederationId, ResourceId};

use crate::{
    Conn, Error,
    cache::touch::Touch,
    db::{Raw, on_db},
    directory::Sql,
    statements::statements,
};

/// The most ids of one statement.
const IDS: usize = 200;

/// Who is in a group: `User` or `Group`.
pub type Kind = &'static str;

const ADD: &str = "INSERT INTO scim_group_members (federation_id, group_id, member_id, member_kind) ";

statements! {
    IDS_OF = "SELECT member_id FROM scim_group_members WHERE federation_id = $1 AND group_id = $2 ORDER BY member_id";
    COUNT_UP_TO = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM scim_group_members
        WHERE federation_id = $1 AND group_id = $2 LIMIT $3) AS found";
    PAGE = "SELECT m.group_id, m.member_id, m.member_kind, COALESCE(u.user_name, g.display_name) AS display
        FROM scim_group_members m
        LEFT JOIN scim_users u ON u.federation_id = m.federation_id AND u.id = m.member_id
        LEFT JOIN scim_groups g ON g.federation_id = m.federation_id AND g.id = m.member_id
        WHERE m.federation_id = $1 AND m.group_id = $2 AND m.member_id > $3 ORDER BY m.member_id LIMIT $4";
    REMOVE_ALL = "DELETE FROM scim_group_members WHERE federation_id = $1 AND group_id = $2";
}

/// How many members a group has, counted up to `limit`, so that it never costs more than that.
pub async fn count_up_to(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group_id: &ResourceId,
    limit: i64,
) -> Result<i64, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(COUNT_UP_TO)
        .bind(federation_id.as_str()).bind(group_id.as_str()).bind(limit).fetch_one(db).await)?)
}

/// The ids of every member of a group, in their order.
pub async fn ids_of(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group_id: &ResourceId,
) -> Result<Vec<String>, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(IDS_OF)
        .bind(federation_id.as_str()).bind(group_id.as_str()).fetch_all(db).await)?)
}

/// Which of these ids are members of a group.
pub async fn present(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group_id: &ResourceId,
    ids: &[&str],
) -> Result<HashSet<String>, Error> {
    let mut found = HashSet::with_capacity(ids.len());
    for ids in ids.chunks(IDS) {
        let mut sql = Sql::new(federation_id);
        sql.push("SELECT member_id FROM scim_group_members WHERE federation_id = $1 AND group_id = ");
        sql.bind(group_id.as_str()).push(" AND member_id").bind_any(ids);
        let rows: Vec<(String,)> = sql.fetch_all(conn).await?;
        found.extend(rows.into_iter().map(|(id,)| id));
    }
    Ok(found)
}

/// What these ids are here; an id that is neither a user nor a group of the federation is missing.
///
/// On Postgres nobody deletes them before the commit.
pub async fn kinds(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    ids: &[&str],
) -> Result<Vec<(String, Kind)>, Error> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(IDS) {
        let users =
            kept(conn, federation_id, "SELECT id FROM scim_users WHERE federation_id = $1 AND id", ids)
                .await?;
        let known: HashSet<&str> = users.iter().map(String::as_str).collect();
        let rest: Vec<&str> = ids.iter().copied().filter(|id| !known.contains(id)).collect();
        let groups =
            kept(conn, federation_id, "SELECT id FROM scim_groups WHERE federation_id = $1 AND id", &rest)
                .await?;
        found.extend(users.into_iter().map(|id| (id, "User")));
        found.extend(groups.into_iter().map(|id| (id, "Group")));
    }
    Ok(found)
}

/// The names of those of these ids that are users or groups here, in no order.
pub async fn names(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    ids: &[&str],
) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(IDS) {
        for select in [
            "SELECT id, user_name FROM scim_users WHERE federation_id = $1 AND id",
            "SELECT id, display_name FROM scim_groups WHERE federation_id = $1 AND id",
        ] {
            let mut sql = Sql::new(federation_id);
            sql.push(select).bind_any(ids);
            let rows: Vec<(String, String)> = sql.fetch_all(&mut *conn).await?;
            found.extend(rows);
        }
    }
    Ok(found)
}

/// A page of the members of a group after an id, in the order of their ids, with what they are and their names.
pub async fn page(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group_id: &ResourceId,
    after: &str,
    limit: i64,
) -> Result<Vec<crate::groups::MemberRow>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(PAGE)
        .bind(federation_id.as_str()).bind(group_id.as_str()).bind(after).bind(limit).fetch_all(db).await)?)
}

/// Which of these ids a statement finds, kept from being deleted.
async fn kept(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    select: &'static str,
    ids: &[&str],
) -> Result<Vec<String>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let lock = match conn.raw {
        Raw::Sqlite(_) => "",
        Raw::Postgres(_) => " FOR KEY SHARE",
    };
    let mut sql = Sql::new(federation_id);
    sql.push(select).bind_any(ids).push(" ORDER BY id").push(lock);
    let rows: Vec<(String,)> = sql.fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Adds members; how many were not there yet.
pub async fn add(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group_id: &ResourceId,
    joining: &[(String, Kind)],
) -> Result<u64, Error> {
    let mut added = 0;
    for rows in joining.chunks(IDS) {
        added += on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(ADD);
            sql.push_values(rows, |mut row, (id, kind)| {
                row.push_bind(federation_id.as_str()).push_bind(group_id.as_str());
                row.push_bind(id.as_str()).push_bind(*kind);
            });
            sql.push(" ON CONFLICT (federation_id, group_id, member_id) DO NOTHING");
            sql.build().execute(db).await.map(|done| done.rows_affected())
        })?;
        for (id, kind) in rows {
            conn.touch(Touch::Member(federation_id, group_id.as_str(), id));
            if *kind == "Group" {
                conn.touch(Touch::Nesting(federation_id));
            }
        }
    }
    Ok(added)
}

/// Removes members; how many were there.
pub async fn remove(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group_id: &ResourceId,
    leaving: &[&str],
) -> Result<u64, Error> {
    let mut removed = 0;
    for ids in leaving.chunks(IDS) {
        let mut sql = Sql::new(federation_id);
        sql.push("DELETE FROM scim_group_members WHERE federation_id = $1 AND group_id = ");
        sql.bind(group_id.as_str()).push(" AND member_id").bind_any(ids);
        sql.push(" RETURNING member_id, member_kind");
        let rows: Vec<(String, String)> = sql.fetch_all(conn).await?;
        removed += rows.len() as u64;
        for (id, kind) in &rows {
            conn.touch(Touch::Member(federation_id, group_id.as_str(), id));
            if kind == "Group" {
                conn.touch(Touch::Nesting(federation_id));
            }
        }
    }
    Ok(removed)
}

/// Removes every member; how many there were.
pub async fn remove_all(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group_id: &ResourceId,
) -> Result<u64, Error> {
    let removed = on_db!(&mut *conn, db => sqlx::query(REMOVE_ALL)
        .bind(federation_id.as_str()).bind(group_id.as_str())
        .execute(db).await.map(|done| done.rows_affected()))?;
    if removed > 0 {
        // Whoever they were: they are not read for this.
        conn.touch(Touch::Nesting(federation_id));
    }
    Ok(removed)
}
