//! Provisioning keys. The secret is not here: only its keyed hash.

use domain::{
    FederationId, KeyId, Millis,
    federations::Federation,
    keys::{Key, Life, Proof},
    scopes::Scope,
    usage::UsageRecord,
};
use sqlx::FromRow;

use crate::{
    Conn, Error,
    cache::touch::Touch,
    db::on_db,
    federations::{JoinedRow, joined_columns},
    statements::statements,
};

macro_rules! columns {
    () => {
        "federation_id, id, name, hash, last_four, scope, justification, issued_by, issued_ms, expires_ms,
        retires_ms, revoked_ms, revoked_by, predecessor_id, successor_id, first_used_ms, last_used_ms,
        last_used_source, uses, version, proof, retired_ms, held_ms, held_by, held_reason, canary, tested_ms,
        first_work_ms, last_work_ms, last_used_agent, next_scope"
    };
}

pub mod briefs;

statements! {
    INSERT = "INSERT INTO provisioning_keys (federation_id, id, name, live_name, hash, last_four, scope,
        justification, issued_by, issued_ms, expires_ms, predecessor_id, version, proof, canary)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    BY_ID = concat!("SELECT ", columns!(), " FROM provisioning_keys WHERE id = $1");
    WITH_FEDERATION = concat!("SELECT k.federation_id, k.id, k.name, k.hash, k.last_four, k.scope, k.justification,
        k.issued_by, k.issued_ms, k.expires_ms, k.retires_ms, k.revoked_ms, k.revoked_by, k.predecessor_id,
        k.successor_id, k.first_used_ms, k.last_used_ms, k.last_used_source, k.uses, k.version, k.proof,
        k.retired_ms, k.held_ms, k.held_by, k.held_reason, k.canary, k.tested_ms, k.first_work_ms, k.last_work_ms,
        k.last_used_agent, k.next_scope, ", joined_columns!(),
        " FROM provisioning_keys k JOIN federations f ON f.id = k.federation_id WHERE k.id = $1");
    IS_AS_SEEN = "SELECT k.version FROM provisioning_keys k JOIN federations f ON f.id = k.federation_id
        WHERE k.federation_id = $1 AND k.id = $2 AND k.version = $3 AND f.version = $4";
    IS_GUARDED_AS_SEEN = "SELECT k.version FROM provisioning_keys k JOIN federations f ON f.id = k.federation_id
        WHERE k.federation_id = $1 AND k.id = $2 AND k.version = $3 AND f.version = $4
        AND COALESCE((SELECT g.version FROM brake_guards g WHERE g.federation_id = $1), 0) = $5";
    OF_FEDERATION = concat!("SELECT ", columns!(), " FROM provisioning_keys WHERE federation_id = $1 ORDER BY id");
    LIST = concat!("SELECT ", columns!(), " FROM provisioning_keys ORDER BY federation_id, id");
    STANDING = concat!("SELECT ", columns!(), " FROM provisioning_keys WHERE successor_id IS NULL AND revoked_ms IS NULL
        AND retired_ms IS NULL AND canary = 0");
    SUCCEED = "UPDATE provisioning_keys SET successor_id = $4, retires_ms = $5, live_name = $6, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3";
    REVOKE = "UPDATE provisioning_keys SET revoked_ms = $4, revoked_by = $5, live_name = $6, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3";
    EXTEND = "UPDATE provisioning_keys SET retires_ms = $4, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3";
    RETIRE = "UPDATE provisioning_keys SET retired_ms = $4, live_name = $5, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3";
    // The name comes back unless another key has it by now.
    RESTORE = "UPDATE provisioning_keys SET successor_id = NULL, retires_ms = $4, version = version + 1,
        live_name = CASE WHEN EXISTS (SELECT 1 FROM provisioning_keys other
            WHERE other.federation_id = $1 AND other.live_name = $5) THEN live_name ELSE $5 END
        WHERE federation_id = $1 AND id = $2 AND version = $3";
    HOLD = "UPDATE provisioning_keys SET held_ms = $4, held_by = $5, held_reason = $6, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3";
    RESCOPE = "UPDATE provisioning_keys SET scope = $4, justification = $5, next_scope = $6, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND version = $3";
    // The key and those before it; CROSS JOIN keeps SQLite from beginning with every key of the federation.
    LINE = "WITH RECURSIVE line (id, predecessor_id, place) AS (
        SELECT id, predecessor_id, CAST(0 AS BIGINT) FROM provisioning_keys WHERE federation_id = $1 AND id = $2
        UNION SELECT k.id, k.predecessor_id, line.place + 1 FROM line CROSS JOIN provisioning_keys k
        WHERE k.federation_id = $1 AND k.id = line.predecessor_id)
        SELECT id FROM line ORDER BY place";
    NAMED = concat!("SELECT ", columns!(), " FROM provisioning_keys WHERE federation_id = $1 AND live_name = $2");
    NEW_CLIENT = "UPDATE provisioning_keys SET version = version + 1 WHERE federation_id = $1 AND id = $2 AND version = $3";
    FREE_NAME = "UPDATE provisioning_keys SET live_name = $3 WHERE federation_id = $1 AND id = $2";
    COUNT_TOLERATED = "INSERT INTO key_tolerances (federation_id, key_id, word, count, first_ms, last_ms)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (federation_id, key_id, word) DO UPDATE
        SET count = key_tolerances.count + excluded.count, last_ms = excluded.last_ms";
    TOLERANCES = "SELECT word, count, first_ms, last_ms FROM key_tolerances WHERE federation_id = $1 AND key_id = $2
        ORDER BY word";
    // Two nodes, or a clock that was set back, may write an older use after a newer one: nothing goes back.
    MARK_USED = "UPDATE provisioning_keys SET uses = uses + $3,
        last_used_ms = CASE WHEN last_used_ms > $4 THEN last_used_ms ELSE $4 END,
        last_used_source = CASE WHEN last_used_ms > $4 THEN last_used_source ELSE $5 END,
        last_used_agent = CASE WHEN last_used_ms > $4 THEN last_used_agent ELSE $6 END,
        first_used_ms = COALESCE(first_used_ms, $4),
        tested_ms = CASE WHEN tested_ms > $7 THEN tested_ms ELSE COALESCE($7, tested_ms) END,
        first_work_ms = COALESCE(first_work_ms, $8),
        last_work_ms = CASE WHEN last_work_ms > $9 THEN last_work_ms ELSE COALESCE($9, last_work_ms) END
        WHERE federation_id = $1 AND id = $2";
}

/// For a batch that is written at once.
pub(crate) const MARKING_USED: &str = MARK_USED;

/// A key with its keyed hash.
pub struct StoredKey {
    /// The key.
    pub key: Key,
    /// HMAC-SHA-256 of the key or client secret under the pepper, in hexadecimal; zeros when there
    /// is neither.
    pub hash: String,
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    name: String,
    hash: String,
    last_four: String,
    scope: String,
    justification: Option<String>,
    issued_by: String,
    issued_ms: i64,
    expires_ms: i64,
    retires_ms: Option<i64>,
    revoked_ms: Option<i64>,
    revoked_by: Option<String>,
    predecessor_id: Option<String>,
    successor_id: Option<String>,
    first_used_ms: Option<i64>,
    last_used_ms: Option<i64>,
    last_used_source: Option<String>,
    uses: i64,
    version: i64,
    proof: String,
    retired_ms: Option<i64>,
    held_ms: Option<i64>,
    held_by: Option<String>,
    held_reason: Option<String>,
    canary: i64,
    tested_ms: Option<i64>,
    first_work_ms: Option<i64>,
    last_work_ms: Option<i64>,
    last_used_agent: Option<String>,
    next_scope: Option<String>,
}

impl TryFrom<Row> for StoredKey {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("key {}: {what}", row.id));
        let relative = |id: &Option<String>, what: &str| {
            id.as_deref().map(|id| KeyId::parse(id).ok_or_else(|| corrupt(what))).transpose()
        };
        let key = Key {
            id: KeyId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            federation_id: FederationId::parse(&row.federation_id).ok_or_else(|| corrupt("federation"))?,
            scope: serde_json::from_str(&row.scope).map_err(|_| corrupt("scope"))?,
            next_scope: row
                .next_scope
                .as_deref()
                .map(serde_json::from_str)
                .transpose()
                .map_err(|_| corrupt("next scope"))?,
            predecessor_id: relative(&row.predecessor_id, "predecessor")?,
            successor_id: relative(&row.successor_id, "successor")?,
            name: row.name,
            last_four: row.last_four,
            proof: Proof::parse(&row.proof).ok_or_else(|| corrupt("proof"))?,
            justification: row.justification,
            life: Life {
                issued_ms: row.issued_ms,
                expires_ms: row.expires_ms,
                retires_ms: row.retires_ms,
                retired_ms: row.retired_ms,
                revoked_ms: row.revoked_ms,
                held_ms: row.held_ms,
                first_used_ms: row.first_used_ms,
                last_used_ms: row.last_used_ms,
                tested_ms: row.tested_ms,
                first_work_ms: row.first_work_ms,
                last_work_ms: row.last_work_ms,
            },
            issued_by: row.issued_by,
            revoked_by: row.revoked_by,
            held_by: row.held_by,
            held_reason: row.held_reason,
            last_used_source: row.last_used_source,
            last_used_agent: row.last_used_agent,
            canary: row.canary != 0,
            uses: row.uses,
            version: row.version,
        };
        Ok(Self { key, hash: row.hash })
    }
}

/// The name of a key that no longer stands in the way of a new key of the same name.
fn freed_name(name: &str, id: &KeyId) -> String {
    format!("{} {id}", name.to_lowercase())
}

/// Adds a key.
///
/// # Errors
/// [`Error::Conflict`] when an accepted key of the federation has its name.
pub async fn insert(conn: &mut Conn<'_>, stored: &StoredKey) -> Result<(), Error> {
    let key = &stored.key;
    conn.touch(Touch::Key(&key.id));
    let scope = serde_json::to_string(&key.scope).map_err(|error| Error::Corrupt(error.to_string()))?;
    let inserted = on_db!(conn, db => sqlx::query(INSERT)
        .bind(key.federation_id.as_str())
        .bind(key.id.as_str())
        .bind(&key.name)
        .bind(key.name.to_lowercase())
        .bind(&stored.hash)
        .bind(&key.last_four)
        .bind(&scope)
        .bind(&key.justification)
        .bind(&key.issued_by)
        .bind(key.life.issued_ms)
        .bind(key.life.expires_ms)
        .bind(key.predecessor_id.as_ref().map(KeyId::as_str))
        .bind(key.version)
        .bind(key.proof.as_str())
        .bind(i64::from(key.canary))
        .execute(db).await.map(drop));
    inserted.map_err(|error| {
        Error::from(error)
            .or_conflict(|| format!("a live key of this federation is named {:?} already", key.name))
    })
}

#[derive(FromRow)]
struct WithFederation {
    #[sqlx(flatten)]
    key: Row,
    #[sqlx(flatten)]
    federation: JoinedRow,
}

/// The key with an id, and its federation: the one look-up of a presented key.
pub async fn with_federation(
    conn: &mut Conn<'_>,
    id: &KeyId,
) -> Result<Option<(StoredKey, Federation)>, Error> {
    let row: Option<WithFederation> =
        on_db!(conn, db => sqlx::query_as(WITH_FEDERATION).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(|row| Ok((row.key.try_into()?, row.federation.try_into()?))).transpose()
}

/// Whether a key and its federation still have the versions that were seen: neither was revoked,
/// rotated, paused, archived or edited since. One number of one row, as it stands before each change.
pub async fn is_as_seen(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &KeyId,
    version: i64,
    federation_version: i64,
) -> Result<bool, Error> {
    let found: Option<i64> = on_db!(conn, db => sqlx::query_scalar(IS_AS_SEEN)
        .bind(federation_id.as_str())
        .bind(id.as_str())
        .bind(version)
        .bind(federation_version)
        .fetch_optional(db).await)?;
    Ok(found.is_some())
}

/// As [`is_as_seen`], and whether the guards of the federation ([`crate::protected::guards`]) have the
/// version that was seen.
pub async fn is_guarded_as_seen(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &KeyId,
    version: i64,
    federation_version: i64,
    guards_version: i64,
) -> Result<bool, Error> {
    let found: Option<i64> = on_db!(conn, db => sqlx::query_scalar(IS_GUARDED_AS_SEEN)
        .bind(federation_id.as_str())
        .bind(id.as_str())
        .bind(version)
        .bind(federation_version)
        .bind(guards_version)
        .fetch_optional(db).await)?;
    Ok(found.is_some())
}

/// The key with an id, whatever its federation.
pub async fn by_id(conn: &mut Conn<'_>, id: &KeyId) -> Result<Option<StoredKey>, Error> {
    let row: Option<Row> =
        on_db!(conn, db => sqlx::query_as(BY_ID).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(StoredKey::try_from).transpose()
}

/// The keys of a federation, in order of issue.
pub async fn of_federation(conn: &mut Conn<'_>, id: &FederationId) -> Result<Vec<Key>, Error> {
    let rows: Vec<Row> =
        on_db!(conn, db => sqlx::query_as(OF_FEDERATION).bind(id.as_str()).fetch_all(db).await)?;
    rows.into_iter().map(|row| StoredKey::try_from(row).map(|stored| stored.key)).collect()
}

/// Every key.
pub async fn list(conn: &mut Conn<'_>) -> Result<Vec<Key>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(LIST).fetch_all(db).await)?;
    rows.into_iter().map(|row| StoredKey::try_from(row).map(|stored| stored.key)).collect()
}

/// Every key that stands for itself: nothing replaces it and nobody has ended it. In no order.
pub async fn standing(conn: &mut Conn<'_>) -> Result<Vec<Key>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(STANDING).fetch_all(db).await)?;
    rows.into_iter().map(|row| StoredKey::try_from(row).map(|stored| stored.key)).collect()
}

/// Gives a key, as it was read, a successor, and says by when their overlap should be over: `None` for
/// one that has expired, which gets no overlap. Frees its name for the successor.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub async fn succeed(
    conn: &mut Conn<'_>,
    key: &Key,
    successor: &KeyId,
    retires_ms: Option<Millis>,
) -> Result<(), Error> {
    conn.touch(Touch::Key(&key.id));
    let rows = on_db!(conn, db => sqlx::query(SUCCEED)
        .bind(key.federation_id.as_str())
        .bind(key.id.as_str())
        .bind(key.version)
        .bind(successor.as_str())
        .bind(retires_ms)
        .bind(freed_name(&key.name, &key.id))
        .execute(db).await.map(|done| done.rows_affected()))?;
    one(rows)
}

/// Says anew by when the overlap of a key, as it was read, should be over; `None` when it has none.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub async fn extend(conn: &mut Conn<'_>, key: &Key, retires_ms: Option<Millis>) -> Result<(), Error> {
    conn.touch(Touch::Key(&key.id));
    let rows = on_db!(conn, db => sqlx::query(EXTEND)
        .bind(key.federation_id.as_str())
        .bind(key.id.as_str())
        .bind(key.version)
        .bind(retires_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    one(rows)
}

/// Retires a key as it was read: its successor has taken over.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub async fn retire(conn: &mut Conn<'_>, key: &Key, at_ms: Millis) -> Result<(), Error> {
    conn.touch(Touch::Key(&key.id));
    let rows = on_db!(conn, db => sqlx::query(RETIRE)
        .bind(key.federation_id.as_str())
        .bind(key.id.as_str())
        .bind(key.version)
        .bind(at_ms)
        .bind(freed_name(&key.name, &key.id))
        .execute(db).await.map(|done| done.rows_affected()))?;
    one(rows)
}

/// Lets a key, as it was read, stand by itself again: it has no successor. `retires_ms` keeps one
/// accepted whose own time is over.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub async fn restore(conn: &mut Conn<'_>, key: &Key, retires_ms: Option<Millis>) -> Result<(), Error> {
    conn.touch(Touch::Key(&key.id));
    let rows = on_db!(conn, db => sqlx::query(RESTORE)
        .bind(key.federation_id.as_str())
        .bind(key.id.as_str())
        .bind(key.version)
        .bind(retires_ms)
        .bind(key.name.to_lowercase())
        .execute(db).await.map(|done| done.rows_affected()))?;
    one(rows)
}

/// Who holds a key, since when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Since when.
    pub at_ms: Millis,
    /// The name of who does.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Holds a key as it was read, or releases it.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub async fn hold(conn: &mut Conn<'_>, key: &Key, hold: Option<&Hold>) -> Result<(), Error> {
    conn.touch(Touch::Key(&key.id));
    let rows = on_db!(conn, db => sqlx::query(HOLD)
        .bind(key.federation_id.as_str())
        .bind(key.id.as_str())
        .bind(key.version)
        .bind(hold.map(|hold| hold.at_ms))
        .bind(hold.map(|hold| hold.by.as_str()))
        .bind(hold.map(|hold| hold.reason.as_str()))
        .execute(db).await.map(|done| done.rows_affected()))?;
    one(rows)
}

/// Writes what a key, as it was read, may do from now on, and what its successor will.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub async fn rescope(conn: &mut Conn<'_>, before: &Key, after: &Key) -> Result<(), Error> {
    conn.touch(Touch::Key(&before.id));
    let text =
        |scope: &Scope| serde_json::to_string(scope).map_err(|error| Error::Corrupt(error.to_string()));
    let (scope, next) = (text(&after.scope)?, after.next_scope.as_ref().map(text).transpose()?);
    let rows = on_db!(conn, db => sqlx::query(RESCOPE)
        .bind(before.federation_id.as_str())
        .bind(before.id.as_str())
        .bind(before.version)
        .bind(&scope)
        .bind(&after.justification)
        .bind(&next)
        .execute(db).await.map(|done| done.rows_affected()))?;
    one(rows)
}

/// A key and those that it replaces, one after the other: the last one began the line.
pub async fn line(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &KeyId,
) -> Result<Vec<KeyId>, Error> {
    let ids: Vec<String> = on_db!(conn, db => sqlx::query_scalar(LINE)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_all(db).await)?;
    let read = |id: String| KeyId::parse(&id).ok_or_else(|| Error::Corrupt(format!("key {id}")));
    ids.into_iter().map(read).collect()
}

/// The key of a federation that holds a name, whether or not it has ended.
pub async fn named(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    name: &str,
) -> Result<Option<Key>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(NAMED)
        .bind(federation_id.as_str()).bind(name.to_lowercase()).fetch_optional(db).await)?;
    row.map(|row| StoredKey::try_from(row).map(|stored| stored.key)).transpose()
}

fn one(rows: u64) -> Result<(), Error> {
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// Revokes a key as it was read, and frees its name.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub async fn revoke(conn: &mut Conn<'_>, key: &Key, at_ms: Millis, by: &str) -> Result<(), Error> {
    conn.touch(Touch::Key(&key.id));
    let rows = on_db!(conn, db => sqlx::query(REVOKE)
        .bind(key.federation_id.as_str())
        .bind(key.id.as_str())
        .bind(key.version)
        .bind(at_ms)
        .bind(by)
        .bind(freed_name(&key.name, &key.id))
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// Counts a change of the OAuth client of a key, as it was read.
///
/// # Errors
/// [`Error::Stale`] when it was changed since.
pub(crate) async fn new_client(conn: &mut Conn<'_>, key: &Key) -> Result<(), Error> {
    conn.touch(Touch::Key(&key.id));
    let rows = on_db!(conn, db => sqlx::query(NEW_CLIENT)
        .bind(key.federation_id.as_str())
        .bind(key.id.as_str())
        .bind(key.version)
        .execute(db).await.map(|done| done.rows_affected()))?;
    if rows == 1 { Ok(()) } else { Err(Error::Stale) }
}

/// Frees the name of a key that has ended by itself.
pub async fn free_name(conn: &mut Conn<'_>, key: &Key) -> Result<(), Error> {
    conn.touch(Touch::Key(&key.id));
    on_db!(conn, db => sqlx::query(FREE_NAME)
        .bind(key.federation_id.as_str())
        .bind(key.id.as_str())
        .bind(freed_name(&key.name, &key.id))
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Accepted requests of one key that are counted together.
pub(crate) struct Uses<'a> {
    pub federation_id: &'a FederationId,
    pub key_id: &'a KeyId,
    pub count: i64,
    /// The last of them.
    pub last: &'a UsageRecord,
    /// The last of them that was a connection test.
    pub tested_ms: Option<Millis>,
    /// The first of them that was real work.
    pub first_work_ms: Option<Millis>,
    /// The last of them that was.
    pub last_work_ms: Option<Millis>,
}

/// Binds what [`MARKING_USED`] takes, in its order.
macro_rules! bind_uses {
    ($query:expr, $uses:expr) => {
        $query
            .bind($uses.federation_id.as_str())
            .bind($uses.key_id.as_str())
            .bind($uses.count)
            .bind($uses.last.at_ms)
            .bind($uses.last.source.as_deref())
            .bind($uses.last.user_agent.as_deref())
            .bind($uses.tested_ms)
            .bind($uses.first_work_ms)
            .bind($uses.last_work_ms)
    };
}
pub(crate) use bind_uses;

/// Counts accepted requests of a key.
pub(crate) async fn mark_used(conn: &mut Conn<'_>, uses: &Uses<'_>) -> Result<(), Error> {
    on_db!(conn, db => bind_uses!(sqlx::query(MARK_USED), uses).execute(db).await.map(drop))?;
    Ok(())
}

/// How often something was tolerated of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerated {
    /// How many requests.
    pub count: i64,
    /// The first of them.
    pub first_ms: Millis,
    /// The last of them.
    pub last_ms: Millis,
}

/// Counts what was tolerated of a key.
pub(crate) async fn count_tolerated(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &KeyId,
    word: &str,
    seen: Tolerated,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(COUNT_TOLERATED)
        .bind(federation_id.as_str())
        .bind(id.as_str())
        .bind(word)
        .bind(seen.count)
        .bind(seen.first_ms)
        .bind(seen.last_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

#[derive(FromRow)]
struct ToleratedRow {
    word: String,
    count: i64,
    first_ms: i64,
    last_ms: i64,
}

/// What was tolerated of a key, by word.
pub async fn tolerances(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &KeyId,
) -> Result<Vec<(String, Tolerated)>, Error> {
    let rows: Vec<ToleratedRow> = on_db!(conn, db => sqlx::query_as(TOLERANCES)
        .bind(federation_id.as_str()).bind(id.as_str()).fetch_all(db).await)?;
    let seen = |row: ToleratedRow| {
        (row.word, Tolerated { count: row.count, first_ms: row.first_ms, last_ms: row.last_ms })
    };
    Ok(rows.into_iter().map(seen).collect())
}
