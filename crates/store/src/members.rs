//! Who joins and who leaves a group: memberships as sets, so that a change costs what it changes
//! and never what the group holds. Every statement names the federation.
//!
//! SQLite has one writer. On Postgres two nodes may write at once, so what a membership relies on
//! is locked until the commit: a user that joins cannot be deleted meanwhile, and two memberships
//! that would close a circle together wait for each other. That is the one place where the text
//! differs: SQLite knows no `FOR SHARE` and needs none.

use std::collections::{BTreeSet, HashSet};

use domain::{FederationId, ResourceId};

use crate::{
    Conn, Error,
    cache::touch::Touch,
    db::{Raw, on_db},
    statements::statements,
};

/// The most ids of one statement.
const IDS: usize = 200;

/// The most groups above a group that are looked at for a circle.
pub const MAX_ABOVE: usize = 10_000;

/// Who is in a group: `User` or `Group`.
pub type Kind = &'static str;

const PRESENT: &str = "SELECT member_id FROM scim_group_members WHERE federation_id = ";
const USERS: &str = "SELECT id FROM scim_users WHERE federation_id = ";
const GROUPS: &str = "SELECT id FROM scim_groups WHERE federation_id = ";
const ABOVE: &str = "SELECT g.id FROM scim_group_members m
    JOIN scim_groups g ON g.federation_id = m.federation_id AND g.id = m.group_id
    WHERE m.federation_id = ";
const ADD: &str = "INSERT INTO scim_group_members (federation_id, group_id, member_id, member_kind) ";
const REMOVE: &str = "DELETE FROM scim_group_members WHERE federation_id = ";

statements! {
    IDS_OF = "SELECT member_id FROM scim_group_members WHERE federation_id = $1 AND group_id = $2 ORDER BY member_id";
    COUNT_UP_TO = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM scim_group_members
        WHERE federation_id = $1 AND group_id = $2 LIMIT $3) AS found";
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
        let rows: Vec<String> = on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(PRESENT);
            sql.push_bind(federation_id.as_str()).push(" AND group_id = ").push_bind(group_id.as_str());
            sql.push(" AND member_id IN (");
            let mut list = sql.separated(", ");
            for id in ids {
                list.push_bind(*id);
            }
            sql.push(")").build_query_scalar().fetch_all(db).await
        })?;
        found.extend(rows);
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
        let users = some_of(conn, federation_id, USERS, " FOR KEY SHARE", ids).await?;
        let known: HashSet<&str> = users.iter().map(String::as_str).collect();
        let rest: Vec<&str> = ids.iter().copied().filter(|id| !known.contains(id)).collect();
        // Groups are taken for oneself: two nodes that nest them into each other wait here.
        let groups = some_of(conn, federation_id, GROUPS, " FOR UPDATE", &rest).await?;
        found.extend(users.into_iter().map(|id| (id, "User")));
        found.extend(groups.into_iter().map(|id| (id, "Group")));
    }
    Ok(found)
}

async fn some_of(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    select: &'static str,
    lock: &'static str,
    ids: &[&str],
) -> Result<Vec<String>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let lock = on_postgres(conn, lock);
    Ok(on_db!(conn, db => {
        let mut sql = sqlx::QueryBuilder::new(select);
        sql.push_bind(federation_id.as_str()).push(" AND id IN (");
        let mut list = sql.separated(", ");
        for id in ids {
            list.push_bind(*id);
        }
        sql.push(") ORDER BY id").push(lock).build_query_scalar().fetch_all(db).await
    })?)
}

fn on_postgres(conn: &Conn<'_>, text: &'static str) -> &'static str {
    match conn.raw {
        Raw::Sqlite(_) => "",
        Raw::Postgres(_) => text,
    }
}

/// The first of these groups that `group_id` is in, directly or through other groups, or that is
/// it itself: as its member it would close a circle.
///
/// # Errors
/// [`Error::Refused`] above [`MAX_ABOVE`] groups.
pub async fn closes_circle<'a>(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    group_id: &ResourceId,
    joining: &[&'a str],
) -> Result<Option<&'a str>, Error> {
    let mut seen = BTreeSet::from([group_id.to_string()]);
    let mut level = vec![group_id.to_string()];
    let lock = on_postgres(conn, " FOR SHARE OF g");
    loop {
        if let Some(found) = joining.iter().copied().find(|id| level.iter().any(|above| above == id)) {
            return Ok(Some(found));
        }
        if seen.len() > MAX_ABOVE {
            return Err(Error::Refused(format!("the group is in more than {MAX_ABOVE} others")));
        }
        let mut next = Vec::new();
        for ids in level.chunks(IDS) {
            let rows: Vec<String> = on_db!(&mut *conn, db => {
                let mut sql = sqlx::QueryBuilder::new(ABOVE);
                sql.push_bind(federation_id.as_str()).push(" AND m.member_id IN (");
                let mut list = sql.separated(", ");
                for id in ids {
                    list.push_bind(id.as_str());
                }
                sql.push(") ORDER BY g.id").push(lock).build_query_scalar().fetch_all(db).await
            })?;
            next.extend(rows.into_iter().filter(|id| seen.insert(id.clone())));
        }
        if next.is_empty() {
            return Ok(None);
        }
        level = next;
    }
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
        let rows: Vec<(String, String)> = on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(REMOVE);
            sql.push_bind(federation_id.as_str()).push(" AND group_id = ").push_bind(group_id.as_str());
            sql.push(" AND member_id IN (");
            let mut list = sql.separated(", ");
            for id in ids {
                list.push_bind(*id);
            }
            sql.push(") RETURNING member_id, member_kind").build_query_as().fetch_all(db).await
        })?;
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
