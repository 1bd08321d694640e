//! Federations.

use std::collections::BTreeMap;

use domain::{
    FederationId,
    federations::{Federation, FederationStatus, FederationTarget, RotationPolicy, Slug, Vendor},
};
use sqlx::FromRow;

use crate::{Conn, Error, cache::touch::Touch, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "id, slug, name, vendor, status, owners, notes, max_age_days, overlap_hours, warn_days, version, created_ms, updated_ms,
        target, scim, rotation, behaviour"
    };
}

statements! {
    INSERT = concat!("INSERT INTO federations (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)");
    UPDATE = "UPDATE federations SET name = $3, vendor = $4, status = $5, owners = $6, notes = $7,
        max_age_days = $8, overlap_hours = $9, warn_days = $10, updated_ms = $11, target = $12, scim = $13,
        rotation = $14, behaviour = $15, version = version + 1
        WHERE id = $1 AND version = $2";
    BY_SLUG = concat!("SELECT ", columns!(), " FROM federations WHERE slug = $1");
    LIST = concat!("SELECT ", columns!(), " FROM federations ORDER BY id");
    // A federation has its users and groups here or at its upstream, never both.
    USERS = "SELECT federation_id, COUNT(*) AS count FROM scim_users
        WHERE CAST($1 AS TEXT) IS NULL OR federation_id = $1 GROUP BY federation_id
        UNION ALL SELECT federation_id, COUNT(*) AS count FROM upstream_links
        WHERE (CAST($1 AS TEXT) IS NULL OR federation_id = $1) AND resource_type = 'User'
            AND state IN ('live', 'unknown') GROUP BY federation_id";
    GROUPS = "SELECT federation_id, COUNT(*) AS count FROM scim_groups
        WHERE CAST($1 AS TEXT) IS NULL OR federation_id = $1 GROUP BY federation_id
        UNION ALL SELECT federation_id, COUNT(*) AS count FROM upstream_links
        WHERE (CAST($1 AS TEXT) IS NULL OR federation_id = $1) AND resource_type = 'Group'
            AND state IN ('live', 'unknown') GROUP BY federation_id";
}

#[derive(FromRow)]
struct Row {
    id: String,
    slug: String,
    name: String,
    vendor: String,
    status: String,
    owners: String,
    notes: String,
    max_age_days: i64,
    overlap_hours: i64,
    warn_days: i64,
    version: i64,
    created_ms: i64,
    updated_ms: i64,
    target: String,
    scim: String,
    rotation: String,
    behaviour: String,
}

/// The columns of a federation `f` beside another table's.
macro_rules! joined_columns {
    () => {
        "f.id AS f_id, f.slug AS f_slug, f.name AS f_name, f.vendor AS f_vendor, f.status AS f_status,
        f.owners AS f_owners, f.notes AS f_notes, f.max_age_days AS f_max_age_days,
        f.overlap_hours AS f_overlap_hours, f.warn_days AS f_warn_days, f.version AS f_version,
        f.created_ms AS f_created_ms, f.updated_ms AS f_updated_ms,
        f.target AS f_target, f.scim AS f_scim, f.rotation AS f_rotation, f.behaviour AS f_behaviour"
    };
}
pub(crate) use joined_columns;

/// A federation read beside another table's row.
#[expect(clippy::struct_field_names, reason = "the aliases of the columns")]
#[derive(FromRow)]
pub(crate) struct JoinedRow {
    f_id: String,
    f_slug: String,
    f_name: String,
    f_vendor: String,
    f_status: String,
    f_owners: String,
    f_notes: String,
    f_max_age_days: i64,
    f_overlap_hours: i64,
    f_warn_days: i64,
    f_version: i64,
    f_created_ms: i64,
    f_updated_ms: i64,
    f_target: String,
    f_scim: String,
    f_rotation: String,
    f_behaviour: String,
}

impl TryFrom<JoinedRow> for Federation {
    type Error = Error;

    fn try_from(row: JoinedRow) -> Result<Self, Error> {
        Self::try_from(Row {
            id: row.f_id,
            slug: row.f_slug,
            name: row.f_name,
            vendor: row.f_vendor,
            status: row.f_status,
            owners: row.f_owners,
            notes: row.f_notes,
            max_age_days: row.f_max_age_days,
            overlap_hours: row.f_overlap_hours,
            warn_days: row.f_warn_days,
            version: row.f_version,
            created_ms: row.f_created_ms,
            updated_ms: row.f_updated_ms,
            target: row.f_target,
            scim: row.f_scim,
            rotation: row.f_rotation,
            behaviour: row.f_behaviour,
        })
    }
}

impl TryFrom<Row> for Federation {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("federation {}: {what}", row.id));
        Ok(Self {
            id: FederationId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            slug: Slug::parse(&row.slug).map_err(|_| corrupt("slug"))?,
            vendor: Vendor::parse(&row.vendor).map_err(|_| corrupt("vendor"))?,
            status: FederationStatus::parse(&row.status).ok_or_else(|| corrupt("status"))?,
            owners: serde_json::from_str(&row.owners).map_err(|_| corrupt("owners"))?,
            policy: RotationPolicy {
                max_age_days: row.max_age_days,
                overlap_hours: row.overlap_hours,
                warn_days: row.warn_days,
            },
            target: FederationTarget::parse(&row.target).ok_or_else(|| corrupt("target"))?,
            scim: serde_json::from_str(&row.scim).map_err(|_| corrupt("scim"))?,
            rotation: serde_json::from_str(&row.rotation).map_err(|_| corrupt("rotation"))?,
            behaviour: serde_json::from_str(&row.behaviour).map_err(|_| corrupt("behaviour"))?,
            name: row.name,
            notes: row.notes,
            version: row.version,
            created_ms: row.created_ms,
            updated_ms: row.updated_ms,
        })
    }
}

fn owners_text(federation: &Federation) -> String {
    serde_json::json!(federation.owners).to_string()
}

fn scim_text(federation: &Federation) -> String {
    serde_json::json!(federation.scim).to_string()
}

fn behaviour_text(federation: &Federation) -> String {
    serde_json::json!(federation.behaviour).to_string()
}

fn rotation_text(federation: &Federation) -> String {
    serde_json::json!(federation.rotation).to_string()
}

/// Adds a federation.
///
/// # Errors
/// [`Error::Conflict`] when its slug is taken.
pub async fn insert(conn: &mut Conn<'_>, federation: &Federation) -> Result<(), Error> {
    let (owners, scim, rotation) =
        (owners_text(federation), scim_text(federation), rotation_text(federation));
    let behaviour = behaviour_text(federation);
    conn.touch(Touch::Federation(&federation.id));
    let inserted = on_db!(conn, db => sqlx::query(INSERT)
        .bind(federation.id.as_str())
        .bind(federation.slug.as_str())
        .bind(&federation.name)
        .bind(federation.vendor.as_str())
        .bind(federation.status.as_str())
        .bind(&owners)
        .bind(&federation.notes)
        .bind(federation.policy.max_age_days)
        .bind(federation.policy.overlap_hours)
        .bind(federation.policy.warn_days)
        .bind(federation.version)
        .bind(federation.created_ms)
        .bind(federation.updated_ms)
        .bind(federation.target.as_str())
        .bind(&scim)
        .bind(&rotation)
        .bind(&behaviour)
        .execute(db).await.map(drop));
    inserted.map_err(|error| {
        Error::from(error).or_conflict(|| {
            format!("there is a federation with the slug {:?} already", federation.slug.as_str())
        })
    })
}

/// Writes a federation that was read at `federation.version`.
///
/// # Errors
/// [`Error::Stale`] when it has another version by now.
pub async fn update(conn: &mut Conn<'_>, federation: &Federation) -> Result<(), Error> {
    let (owners, scim, rotation) =
        (owners_text(federation), scim_text(federation), rotation_text(federation));
    let behaviour = behaviour_text(federation);
    conn.touch(Touch::Federation(&federation.id));
    let rows = on_db!(conn, db => sqlx::query(UPDATE)
        .bind(federation.id.as_str())
        .bind(federation.version)
        .bind(&federation.name)
        .bind(federation.vendor.as_str())
        .bind(federation.status.as_str())
        .bind(&owners)
        .bind(&federation.notes)
        .bind(federation.policy.max_age_days)
        .bind(federation.policy.overlap_hours)
        .bind(federation.policy.warn_days)
        .bind(federation.updated_ms)
        .bind(federation.target.as_str())
        .bind(&scim)
        .bind(&rotation)
        .bind(&behaviour)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// The federation with a slug.
pub async fn by_slug(conn: &mut Conn<'_>, slug: &Slug) -> Result<Option<Federation>, Error> {
    let row: Option<Row> =
        on_db!(conn, db => sqlx::query_as(BY_SLUG).bind(slug.as_str()).fetch_optional(db).await)?;
    row.map(Federation::try_from).transpose()
}

/// Every federation, in order of registration.
pub async fn list(conn: &mut Conn<'_>) -> Result<Vec<Federation>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(LIST).fetch_all(db).await)?;
    rows.into_iter().map(Federation::try_from).collect()
}

/// What a federation's directory holds, or what it has at its upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users.
    pub users: i64,
    /// Groups.
    pub groups: i64,
}

#[derive(FromRow)]
struct CountRow {
    federation_id: String,
    count: i64,
}

/// Counts what the directory of one federation, or of each, holds. One that holds nothing is not
/// among them.
pub async fn counts(
    conn: &mut Conn<'_>,
    only: Option<&FederationId>,
) -> Result<BTreeMap<String, Counts>, Error> {
    let only = only.map(FederationId::as_str);
    let users: Vec<CountRow> =
        on_db!(&mut *conn, db => sqlx::query_as(USERS).bind(only).fetch_all(db).await)?;
    let groups: Vec<CountRow> = on_db!(conn, db => sqlx::query_as(GROUPS).bind(only).fetch_all(db).await)?;
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for row in users {
        counts.entry(row.federation_id).or_default().users = row.count;
    }
    for row in groups {
        counts.entry(row.federation_id).or_default().groups = row.count;
    }
    Ok(counts)
}
