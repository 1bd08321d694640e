//! Upstreams of federations. The secret with which Keyward signs in there is sealed.

use domain::{
    FederationId,
    upstreams::{Limits, Quirks, Tested, Upstream},
};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "federation_id, base_url, sign_in, sealed, data_key, seal_version, trusted_ca, quirks, timeout_ms,
        concurrency, version, updated_ms, last_test"
    };
}

statements! {
    INSERT = "INSERT INTO upstreams (federation_id, base_url, sign_in, sealed, data_key, seal_version, trusted_ca, quirks,
        timeout_ms, concurrency, version, updated_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11)";
    UPDATE = "UPDATE upstreams SET base_url = $3, sign_in = $4, sealed = $5, data_key = $6, seal_version = $7,
        trusted_ca = $8, quirks = $9, timeout_ms = $10, concurrency = $11, updated_ms = $12, version = version + 1
        WHERE federation_id = $1 AND version = $2";
    DELETE = "DELETE FROM upstreams WHERE federation_id = $1";
    OF_FEDERATION = concat!("SELECT ", columns!(), " FROM upstreams WHERE federation_id = $1");
    LIST = concat!("SELECT ", columns!(), " FROM upstreams ORDER BY federation_id");
    SET_LAST_TEST = "UPDATE upstreams SET last_test = $2 WHERE federation_id = $1";
    SET_LAST_PROBE = "UPDATE upstreams SET last_probe = $2 WHERE federation_id = $1";
    LAST_PROBE = "SELECT last_probe FROM upstreams WHERE federation_id = $1";
}

/// An upstream with its sealed secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUpstream {
    /// The upstream.
    pub upstream: Upstream,
    /// The sealed secret, base64.
    pub sealed: String,
    /// Its sealed data key, base64.
    pub data_key: String,
    /// The version that the seal is bound to.
    pub seal_version: i64,
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    base_url: String,
    sign_in: String,
    sealed: String,
    data_key: String,
    seal_version: i64,
    trusted_ca: Option<String>,
    quirks: String,
    timeout_ms: i64,
    concurrency: i64,
    version: i64,
    updated_ms: i64,
    last_test: Option<String>,
}

impl TryFrom<Row> for StoredUpstream {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("upstream of {}: {what}", row.federation_id));
        let last_test: Option<Tested> = row
            .last_test
            .as_deref()
            .map(|text| serde_json::from_str(text).map_err(|_| corrupt("last test")))
            .transpose()?;
        let quirks: Quirks = serde_json::from_str(&row.quirks).map_err(|_| corrupt("quirks"))?;
        Ok(Self {
            upstream: Upstream {
                federation_id: FederationId::parse(&row.federation_id)
                    .ok_or_else(|| corrupt("federation"))?,
                sign_in: serde_json::from_str(&row.sign_in).map_err(|_| corrupt("sign-in"))?,
                base_url: row.base_url,
                trusted_ca: row.trusted_ca,
                quirks,
                limits: Limits { timeout_ms: row.timeout_ms, concurrency: row.concurrency },
                version: row.version,
                updated_ms: row.updated_ms,
                last_test,
            },
            sealed: row.sealed,
            data_key: row.data_key,
            seal_version: row.seal_version,
        })
    }
}

/// Adds the upstream of a federation.
///
/// # Errors
/// [`Error::Conflict`] when it has one.
pub async fn insert(conn: &mut Conn<'_>, stored: &StoredUpstream) -> Result<(), Error> {
    let upstream = &stored.upstream;
    let (sign_in, quirks) = texts(upstream);
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(upstream.federation_id.as_str())
        .bind(&upstream.base_url)
        .bind(&sign_in)
        .bind(&stored.sealed)
        .bind(&stored.data_key)
        .bind(stored.seal_version)
        .bind(&upstream.trusted_ca)
        .bind(&quirks)
        .bind(upstream.limits.timeout_ms)
        .bind(upstream.limits.concurrency)
        .bind(upstream.updated_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Writes an upstream that was read at `upstream.version`.
///
/// # Errors
/// [`Error::Stale`] when it has another version by now.
pub async fn update(conn: &mut Conn<'_>, stored: &StoredUpstream) -> Result<(), Error> {
    let upstream = &stored.upstream;
    let (sign_in, quirks) = texts(upstream);
    let rows = on_db!(conn, db => sqlx::query(UPDATE)
        .bind(upstream.federation_id.as_str())
        .bind(upstream.version)
        .bind(&upstream.base_url)
        .bind(&sign_in)
        .bind(&stored.sealed)
        .bind(&stored.data_key)
        .bind(stored.seal_version)
        .bind(&upstream.trusted_ca)
        .bind(&quirks)
        .bind(upstream.limits.timeout_ms)
        .bind(upstream.limits.concurrency)
        .bind(upstream.updated_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

fn texts(upstream: &Upstream) -> (String, String) {
    (serde_json::json!(upstream.sign_in).to_string(), serde_json::json!(upstream.quirks).to_string())
}

/// Takes the upstream away from a federation.
pub async fn delete(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(DELETE).bind(federation_id.as_str()).execute(db).await.map(drop))?;
    Ok(())
}

/// The upstream of a federation.
pub async fn of_federation(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
) -> Result<Option<StoredUpstream>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(OF_FEDERATION)
        .bind(federation_id.as_str()).fetch_optional(db).await)?;
    row.map(StoredUpstream::try_from).transpose()
}

/// Every upstream.
pub async fn list(conn: &mut Conn<'_>) -> Result<Vec<StoredUpstream>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(LIST).fetch_all(db).await)?;
    rows.into_iter().map(StoredUpstream::try_from).collect()
}

/// Keeps the outcome of a test of the connection.
pub async fn set_last_test(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    tested: &Tested,
) -> Result<(), Error> {
    let text = serde_json::json!(tested).to_string();
    on_db!(conn, db => sqlx::query(SET_LAST_TEST)
        .bind(federation_id.as_str()).bind(&text).execute(db).await.map(drop))?;
    Ok(())
}

/// Keeps the report of a probe, as JSON.
pub async fn set_last_probe(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    report: &str,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(SET_LAST_PROBE)
        .bind(federation_id.as_str()).bind(report).execute(db).await.map(drop))?;
    Ok(())
}

/// The report of the last probe, as JSON.
pub async fn last_probe(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<Option<String>, Error> {
    let found: Option<Option<String>> = on_db!(conn, db => sqlx::query_scalar(LAST_PROBE)
        .bind(federation_id.as_str()).fetch_optional(db).await)?;
    Ok(found.flatten())
}
