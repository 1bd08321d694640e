//! Calls to upstreams, from the intent to the outcome.
//!
//! A call is written down before it is made. One whose outcome is not known stays so until somebody
//! has looked: the process may have died in between.

use domain::{
    FederationId, Millis, ResourceId, UndoId,
    upstreams::{CallState, CallVerb},
};
use scim::ResourceType;
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "id, key_id, request_id, verb, resource_type, resource_id, payload_hash, state, attempts, note, intended_ms,
        undo_id"
    };
}

statements! {
    INSERT = "INSERT INTO upstream_calls (federation_id, id, key_id, request_id, verb, resource_type, resource_id,
        payload_hash, state, attempts, note, intended_ms, undo_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    SETTLE = "UPDATE upstream_calls SET state = $3, note = $4, settled_ms = $5, attempts = attempts + 1
        WHERE federation_id = $1 AND id = $2 AND state IN ('intended', 'unknown')";
    UNSETTLED = concat!("SELECT ", columns!(), " FROM upstream_calls
        WHERE federation_id = $1 AND state = $2 ORDER BY id LIMIT $3");
    UNSETTLED_OF = concat!("SELECT ", columns!(), " FROM upstream_calls
        WHERE federation_id = $1 AND resource_id = $2 AND state IN ('intended', 'unknown') ORDER BY id");
    COUNT_UNSETTLED = "SELECT COUNT(*) FROM upstream_calls WHERE federation_id = $1 AND state IN ('intended', 'unknown')";
    FORGET = "DELETE FROM upstream_calls WHERE federation_id = $1 AND state IN ('done', 'failed') AND id < $2";
}

/// A call to an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its id, in order of time: the id of the request that asked for it.
    pub id: String,
    /// The key through which it was asked; empty when it takes something back.
    pub key_id: String,
    /// The request.
    pub request_id: String,
    /// What it does.
    pub verb: CallVerb,
    /// To users or groups.
    pub kind: ResourceType,
    /// To which resource, by its id here.
    pub resource_id: ResourceId,
    /// SHA-256 of what was sent, hexadecimal.
    pub payload_hash: String,
    /// How far it has come.
    pub state: CallState,
    /// How often its state was looked into.
    pub attempts: i64,
    /// What was found.
    pub note: String,
    /// When it was written down.
    pub intended_ms: Millis,
    /// The taking back that it belongs to.
    pub undo_id: Option<UndoId>,
}

#[derive(FromRow)]
struct Row {
    id: String,
    key_id: String,
    request_id: String,
    verb: String,
    resource_type: String,
    resource_id: String,
    payload_hash: String,
    state: String,
    attempts: i64,
    note: String,
    intended_ms: i64,
    undo_id: Option<String>,
}

impl TryFrom<Row> for Call {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("call {}: {what}", row.id));
        let undo_id = match row.undo_id.as_deref() {
            Some(id) => Some(UndoId::parse(id).ok_or_else(|| corrupt("undo"))?),
            None => None,
        };
        Ok(Self {
            undo_id,
            verb: CallVerb::parse(&row.verb).ok_or_else(|| corrupt("verb"))?,
            kind: ResourceType::from_name(&row.resource_type).ok_or_else(|| corrupt("type"))?,
            resource_id: ResourceId::parse(&row.resource_id).ok_or_else(|| corrupt("resource"))?,
            state: CallState::parse(&row.state).ok_or_else(|| corrupt("state"))?,
            id: row.id,
            key_id: row.key_id,
            request_id: row.request_id,
            payload_hash: row.payload_hash,
            attempts: row.attempts,
            note: row.note,
            intended_ms: row.intended_ms,
        })
    }
}

/// Writes a call down.
pub async fn insert(conn: &mut Conn<'_>, federation_id: &FederationId, call: &Call) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(federation_id.as_str())
        .bind(&call.id)
        .bind(&call.key_id)
        .bind(&call.request_id)
        .bind(call.verb.as_str())
        .bind(call.kind.name())
        .bind(call.resource_id.as_str())
        .bind(&call.payload_hash)
        .bind(call.state.as_str())
        .bind(call.attempts)
        .bind(&call.note)
        .bind(call.intended_ms)
        .bind(call.undo_id.as_ref().map(UndoId::as_str))
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Notes what became of a call; false when that was known already.
pub async fn settle(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &str,
    state: CallState,
    note: &str,
    at_ms: Millis,
) -> Result<bool, Error> {
    let rows = on_db!(conn, db => sqlx::query(SETTLE)
        .bind(federation_id.as_str()).bind(id).bind(state.as_str()).bind(note).bind(at_ms)
        .execute(db).await.map(|done| done.rows_affected()))?;
    Ok(rows == 1)
}

/// The oldest calls of a federation in a state.
pub async fn in_state(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    state: CallState,
    limit: i64,
) -> Result<Vec<Call>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(UNSETTLED)
        .bind(federation_id.as_str()).bind(state.as_str()).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(Call::try_from).collect()
}

/// The calls to one resource of which it is not known what became of them.
pub async fn unsettled_of(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    resource_id: &ResourceId,
) -> Result<Vec<Call>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(UNSETTLED_OF)
        .bind(federation_id.as_str()).bind(resource_id.as_str()).fetch_all(db).await)?;
    rows.into_iter().map(Call::try_from).collect()
}

/// How many calls of a federation are not known to be done or failed.
pub async fn count_unsettled(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<i64, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(COUNT_UNSETTLED)
        .bind(federation_id.as_str()).fetch_one(db).await)?)
}

/// Forgets settled calls with an id before `before`; ids are in order of time.
pub async fn forget(conn: &mut Conn<'_>, federation_id: &FederationId, before: &str) -> Result<u64, Error> {
    Ok(on_db!(conn, db => sqlx::query(FORGET)
        .bind(federation_id.as_str()).bind(before).execute(db).await.map(|done| done.rows_affected()))?)
}
