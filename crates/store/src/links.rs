//! Links: what a resource at an upstream is called here, whose it is, and how it last looked.

use std::collections::BTreeMap;

use domain::{FederationId, Millis, ResourceId, upstreams::LinkState};
use scim::ResourceType;
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

/// Ids in one statement.
const IDS: usize = 500;

macro_rules! columns {
    () => {
        "resource_type, id, upstream_id, external_id, name_lower, upstream_version, state, body, made_by,
        created_ms, modified_ms"
    };
}

statements! {
    INSERT = "INSERT INTO upstream_links (federation_id, resource_type, id, upstream_id, external_id, name_lower, live_name,
        upstream_version, state, body, made_by, created_ms, modified_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    // Two pages may see the same one at the same time.
    SEE = "INSERT INTO upstream_links (federation_id, resource_type, id, upstream_id, external_id, name_lower, live_name,
        upstream_version, state, body, made_by, created_ms, modified_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'foreign', '', '', $9, $9)
        ON CONFLICT (federation_id, resource_type, upstream_id) DO NOTHING";
    UPDATE = "UPDATE upstream_links SET upstream_id = $4, external_id = $5, name_lower = $6, live_name = $7,
        upstream_version = $8, state = $9, body = $10, made_by = $11, modified_ms = $12
        WHERE federation_id = $1 AND resource_type = $2 AND id = $3";
    DELETE = "DELETE FROM upstream_links WHERE federation_id = $1 AND resource_type = $2 AND id = $3";
    BY_ID = concat!("SELECT ", columns!(), " FROM upstream_links
        WHERE federation_id = $1 AND resource_type = $2 AND id = $3");
    BY_UPSTREAM_ID = concat!("SELECT ", columns!(), " FROM upstream_links
        WHERE federation_id = $1 AND resource_type = $2 AND upstream_id = $3");
    BY_LIVE_NAME = concat!("SELECT ", columns!(), " FROM upstream_links
        WHERE federation_id = $1 AND resource_type = $2 AND live_name = $3");
    BY_STATE = concat!("SELECT ", columns!(), " FROM upstream_links
        WHERE federation_id = $1 AND state = $2 ORDER BY id LIMIT $3");
    COUNT = "SELECT resource_type, state, COUNT(*) AS count FROM upstream_links
        WHERE federation_id = $1 GROUP BY resource_type, state";
}

/// A resource at an upstream, and what it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// User or group.
    pub kind: ResourceType,
    /// Its id here.
    pub id: ResourceId,
    /// Its id there; none while it is not known whether it came into being.
    pub upstream_id: Option<String>,
    /// `externalId`, as the upstream shows it.
    pub external_id: Option<String>,
    /// `userName` or `displayName`, folded.
    pub name_lower: String,
    /// `meta.version`, as the upstream shows it.
    pub upstream_version: Option<String>,
    /// Whose it is.
    pub state: LinkState,
    /// The resource as the upstream last showed it, JSON; empty when it was only seen.
    pub body: String,
    /// The key that made or adopted it; empty for a foreign one.
    pub made_by: String,
    /// When it was made or first seen.
    pub created_ms: Millis,
    /// When the row was last written.
    pub modified_ms: Millis,
}

impl Link {
    /// Names that no two resources of a federation have while they are its own.
    fn live_name(&self) -> String {
        if self.state.is_ours() {
            self.name_lower.clone()
        } else {
            format!("{} {}", self.name_lower, self.id)
        }
    }
}

#[derive(FromRow)]
struct Row {
    resource_type: String,
    id: String,
    upstream_id: Option<String>,
    external_id: Option<String>,
    name_lower: String,
    upstream_version: Option<String>,
    state: String,
    body: String,
    made_by: String,
    created_ms: i64,
    modified_ms: i64,
}

impl TryFrom<Row> for Link {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("link {}: {what}", row.id));
        Ok(Self {
            kind: ResourceType::from_name(&row.resource_type).ok_or_else(|| corrupt("type"))?,
            id: ResourceId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            state: LinkState::parse(&row.state).ok_or_else(|| corrupt("state"))?,
            upstream_id: row.upstream_id,
            external_id: row.external_id,
            name_lower: row.name_lower,
            upstream_version: row.upstream_version,
            body: row.body,
            made_by: row.made_by,
            created_ms: row.created_ms,
            modified_ms: row.modified_ms,
        })
    }
}

/// Adds a link. Where names need not be unique, the id keeps two of the same name apart.
///
/// # Errors
/// [`Error::Conflict`] when one of the same name, or to the same resource, is there.
pub async fn insert(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    link: &Link,
    is_unique: bool,
) -> Result<(), Error> {
    let live_name = if is_unique { link.live_name() } else { format!("{} {}", link.name_lower, link.id) };
    let inserted = on_db!(conn, db => sqlx::query(INSERT)
        .bind(federation_id.as_str())
        .bind(link.kind.name())
        .bind(link.id.as_str())
        .bind(&link.upstream_id)
        .bind(&link.external_id)
        .bind(&link.name_lower)
        .bind(&live_name)
        .bind(&link.upstream_version)
        .bind(link.state.as_str())
        .bind(&link.body)
        .bind(&link.made_by)
        .bind(link.created_ms)
        .bind(link.modified_ms)
        .execute(db).await.map(drop));
    inserted.map_err(|error| {
        Error::from(error).or_conflict(|| format!("{:?} is taken in this federation", link.name_lower))
    })
}

/// Notes resources that were seen at the upstream and are nobody's here; those that are known stay
/// as they are.
pub async fn see(conn: &mut Conn<'_>, federation_id: &FederationId, links: &[Link]) -> Result<(), Error> {
    for link in links {
        on_db!(&mut *conn, db => sqlx::query(SEE)
            .bind(federation_id.as_str())
            .bind(link.kind.name())
            .bind(link.id.as_str())
            .bind(&link.upstream_id)
            .bind(&link.external_id)
            .bind(&link.name_lower)
            .bind(link.live_name())
            .bind(&link.upstream_version)
            .bind(link.created_ms)
            .execute(db).await.map(drop))?;
    }
    Ok(())
}

/// Writes a link as it is now. Where another of the federation's own has its name already (the
/// upstream allowed it, or ours is old), the id keeps them apart.
pub async fn update(conn: &mut Conn<'_>, federation_id: &FederationId, link: &Link) -> Result<(), Error> {
    let mut live_name = link.live_name();
    let other = by_live_name(conn, federation_id, link.kind, &live_name).await?;
    if other.is_some_and(|other| other.id != link.id) {
        live_name = format!("{} {}", link.name_lower, link.id);
    }
    on_db!(conn, db => sqlx::query(UPDATE)
        .bind(federation_id.as_str())
        .bind(link.kind.name())
        .bind(link.id.as_str())
        .bind(&link.upstream_id)
        .bind(&link.external_id)
        .bind(&link.name_lower)
        .bind(&live_name)
        .bind(&link.upstream_version)
        .bind(link.state.as_str())
        .bind(&link.body)
        .bind(&link.made_by)
        .bind(link.modified_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Takes away the link of a resource that never came into being.
pub async fn delete(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    kind: ResourceType,
    id: &ResourceId,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(DELETE)
        .bind(federation_id.as_str()).bind(kind.name()).bind(id.as_str()).execute(db).await.map(drop))?;
    Ok(())
}

async fn one(
    conn: &mut Conn<'_>,
    statement: &'static str,
    federation_id: &FederationId,
    kind: ResourceType,
    value: &str,
) -> Result<Option<Link>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(statement)
        .bind(federation_id.as_str()).bind(kind.name()).bind(value).fetch_optional(db).await)?;
    row.map(Link::try_from).transpose()
}

/// The link with an id of ours.
pub async fn by_id(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    kind: ResourceType,
    id: &str,
) -> Result<Option<Link>, Error> {
    one(conn, BY_ID, federation_id, kind, id).await
}

/// The link to a resource at the upstream.
pub async fn by_upstream_id(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    kind: ResourceType,
    upstream_id: &str,
) -> Result<Option<Link>, Error> {
    one(conn, BY_UPSTREAM_ID, federation_id, kind, upstream_id).await
}

/// The federation's own resource with a folded name.
pub async fn by_live_name(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    kind: ResourceType,
    name_lower: &str,
) -> Result<Option<Link>, Error> {
    one(conn, BY_LIVE_NAME, federation_id, kind, name_lower).await
}

/// The links in a state, in order of creation.
pub async fn in_state(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    state: LinkState,
    limit: i64,
) -> Result<Vec<Link>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(BY_STATE)
        .bind(federation_id.as_str()).bind(state.as_str()).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(Link::try_from).collect()
}

#[derive(FromRow)]
struct CountRow {
    resource_type: String,
    state: String,
    count: i64,
}

/// How many links of each type and state there are.
pub async fn counts(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
) -> Result<Vec<(ResourceType, LinkState, i64)>, Error> {
    let rows: Vec<CountRow> = on_db!(conn, db => sqlx::query_as(COUNT)
        .bind(federation_id.as_str()).fetch_all(db).await)?;
    let count = |row: CountRow| {
        let kind = ResourceType::from_name(&row.resource_type);
        match (kind, LinkState::parse(&row.state)) {
            (Some(kind), Some(state)) => Ok((kind, state, row.count)),
            (Some(_) | None, _) => Err(Error::Corrupt("a count of links".to_owned())),
        }
    };
    rows.into_iter().map(count).collect()
}

#[derive(FromRow)]
struct PairRow {
    resource_type: String,
    id: String,
    upstream_id: Option<String>,
}

/// Which column of a pair is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The ids here are given.
    Ours,
    /// The ids there are given.
    Theirs,
}

/// The other ids of some, of both types: a pair of type and id to the other one.
pub async fn translate(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    side: Side,
    ids: &[&str],
) -> Result<BTreeMap<(ResourceType, String), String>, Error> {
    let column = match side {
        Side::Ours => " AND id IN (",
        Side::Theirs => " AND upstream_id IN (",
    };
    let mut found = BTreeMap::new();
    for ids in ids.chunks(IDS) {
        let rows: Vec<PairRow> = on_db!(&mut *conn, db => {
            let mut sql = sqlx::QueryBuilder::new(
                "SELECT resource_type, id, upstream_id FROM upstream_links WHERE federation_id = ",
            );
            sql.push_bind(federation_id.as_str()).push(" AND resource_type IN ('User', 'Group')").push(column);
            let mut list = sql.separated(", ");
            for id in ids {
                list.push_bind(*id);
            }
            sql.push(")").build_query_as().fetch_all(db).await
        })?;
        for row in rows {
            let kind = ResourceType::from_name(&row.resource_type);
            let kind = kind.ok_or_else(|| Error::Corrupt(format!("link {}: type", row.id)))?;
            let Some(upstream_id) = row.upstream_id else { continue };
            match side {
                Side::Ours => found.insert((kind, row.id), upstream_id),
                Side::Theirs => found.insert((kind, upstream_id), row.id),
            };
        }
    }
    Ok(found)
}
