//! The audit log: appended by the committer, read by everybody, changed by nobody.

use domain::{
    FederationId, KeyId, Millis,
    audit::{Action, ActorKind, ActorRef, AuditEvent, AuditRecord, ChainHead, Outcome, entry::Entry},
};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "seq, at_ms, actor_kind, actor_id, actor_name, action, outcome, reason, federation_id, key_id, target,
        source, request_id, detail, prev_hash, hash"
    };
}

// Each list begins at an index of its own and narrows by the rest; $1 is the place to begin before.
macro_rules! list {
    ($index:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM audit_records WHERE ",
            $index,
            " seq < $1 AND seq > $10
            AND (CAST($2 AS TEXT) IS NULL OR federation_id = $2)
            AND (CAST($3 AS TEXT) IS NULL OR key_id = $3)
            AND (CAST($4 AS TEXT) IS NULL OR actor_id = $4)
            AND (CAST($5 AS TEXT) IS NULL OR action = $5)
            AND (CAST($6 AS TEXT) IS NULL OR outcome = $6)
            AND (CAST($7 AS BIGINT) IS NULL OR at_ms >= $7)
            AND (CAST($8 AS BIGINT) IS NULL OR at_ms < $8)
            ORDER BY seq DESC LIMIT $9"
        )
    };
}

/// Rows of one statement: each statement is a trip to the database, on SQLite to its thread. Few
/// lengths, so that few texts are prepared.
const ROWS: usize = 8;

/// Rows of one statement of a large batch.
const MANY: usize = 64;

/// The beginning of a statement that inserts [`ROWS`] or [`MANY`] rows at once.
const INSERT_MANY: &str = concat!("INSERT INTO audit_records (", columns!(), ") ");

statements! {
    // Holds the head until the end of the batch, on Postgres against other nodes.
    LOCK_HEAD = "UPDATE audit_head SET seq = seq WHERE name = 'main' RETURNING seq, hash";
    MOVE_HEAD = "UPDATE audit_head SET seq = $1, hash = $2 WHERE name = 'main'";
    HEAD = "SELECT seq, hash FROM audit_head WHERE name = 'main'";
    INSERT = concat!("INSERT INTO audit_records (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)");
    LIST = list!("");
    LIST_BY_KEY = list!("key_id = $3 AND");
    LIST_BY_FEDERATION = list!("federation_id = $2 AND");
    LIST_BY_ACTOR = list!("actor_id = $4 AND");
    // What no index holds is frequent, and so found near the end of the log. The texts are those of the indexes.
    LIST_BY_ACTION = list!("action = $5 AND action NOT IN ('user.created', 'user.updated', 'group.updated') AND");
    LIST_BY_OUTCOME = list!("outcome = $6 AND outcome <> 'done' AND");
    AFTER = concat!("SELECT ", columns!(), " FROM audit_records WHERE seq > $1 ORDER BY seq LIMIT $2");
    FEDERATIONS_BETWEEN = "SELECT DISTINCT federation_id FROM audit_records WHERE seq > $1 AND seq <= $2";
    // Of a key and of all that it replaced, however many: from one of them to the one before.
    ISSUERS = "WITH RECURSIVE line (id, predecessor_id) AS (
        SELECT id, predecessor_id FROM provisioning_keys WHERE federation_id = $1 AND id = $2
        UNION SELECT k.id, k.predecessor_id FROM line CROSS JOIN provisioning_keys k
        WHERE k.federation_id = $1 AND k.id = line.predecessor_id)
        SELECT DISTINCT a.actor_id FROM line CROSS JOIN audit_records a WHERE a.key_id = line.id
        AND a.actor_kind = 'admin' AND a.outcome = 'done'
        AND a.action IN ('key.issued', 'key.rotated', 'key.client-changed', 'hand-off.opened')";
    HAS_EXPORTED = "SELECT seq FROM audit_records WHERE actor_id = $1 AND actor_kind = 'admin' AND outcome = 'done'
        AND action IN ('records.exported', 'audit.exported') ORDER BY seq LIMIT 1";
    BY_SEQ = concat!("SELECT ", columns!(), " FROM audit_records WHERE seq = $1");
    // From one person to the next in their index, however many records each has; by the name that each had last.
    ACTORS = "WITH RECURSIVE people (id) AS (
        SELECT MIN(actor_id) FROM audit_records WHERE actor_kind = 'admin'
        UNION ALL SELECT (SELECT MIN(a.actor_id) FROM audit_records a WHERE a.actor_kind = 'admin' AND a.actor_id > people.id)
        FROM people WHERE people.id IS NOT NULL)
        SELECT id, (SELECT a.actor_name FROM audit_records a WHERE a.actor_id = people.id AND a.actor_kind = 'admin'
            ORDER BY a.seq DESC LIMIT 1) AS name
        FROM people WHERE id IS NOT NULL ORDER BY name LIMIT 200";
    TIME_OF = "SELECT at_ms FROM audit_records WHERE seq = $1";
}

/// A record in columns.
#[derive(FromRow)]
pub(crate) struct Row {
    seq: i64,
    at_ms: i64,
    actor_kind: String,
    actor_id: String,
    actor_name: String,
    action: String,
    outcome: String,
    reason: Option<String>,
    federation_id: Option<String>,
    key_id: Option<String>,
    target: Option<String>,
    source: Option<String>,
    request_id: String,
    detail: String,
    prev_hash: String,
    hash: String,
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        Self {
            seq: row.seq,
            at_ms: row.at_ms,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            actor_name: row.actor_name,
            action: row.action,
            outcome: row.outcome,
            reason: row.reason,
            federation_id: row.federation_id,
            key_id: row.key_id,
            target: row.target,
            source: row.source,
            request_id: row.request_id,
            detail: row.detail,
            prev_hash: row.prev_hash,
            hash: row.hash,
        }
    }
}

impl TryFrom<Row> for AuditRecord {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("audit record {}: {what}", row.seq));
        let event = AuditEvent {
            at_ms: row.at_ms,
            actor: ActorRef {
                kind: ActorKind::parse(&row.actor_kind).ok_or_else(|| corrupt("actor"))?,
                id: row.actor_id,
                name: row.actor_name,
            },
            action: Action::parse(&row.action).ok_or_else(|| corrupt("action"))?,
            outcome: Outcome::parse(&row.outcome).ok_or_else(|| corrupt("outcome"))?,
            federation_id: match &row.federation_id {
                Some(id) => Some(FederationId::parse(id).ok_or_else(|| corrupt("federation"))?),
                None => None,
            },
            key_id: match &row.key_id {
                Some(id) => Some(KeyId::parse(id).ok_or_else(|| corrupt("key"))?),
                None => None,
            },
            reason: row.reason,
            target: row.target,
            source: row.source,
            request_id: row.request_id,
            detail: row.detail,
        };
        Ok(Self { seq: row.seq, event, prev_hash: row.prev_hash, hash: row.hash })
    }
}

#[derive(FromRow)]
struct HeadRow {
    seq: i64,
    hash: String,
}

impl From<HeadRow> for ChainHead {
    fn from(row: HeadRow) -> Self {
        Self { seq: row.seq, hash: row.hash }
    }
}

/// Appends events to the chain; the committer does, last in its transaction. The record before them
/// and the head that they make; `None` for no events.
pub(crate) async fn append(
    conn: &mut Conn<'_>,
    events: Vec<AuditEvent>,
) -> Result<Option<(i64, ChainHead)>, Error> {
    if events.is_empty() {
        return Ok(None);
    }
    let row: HeadRow = on_db!(&mut *conn, db => sqlx::query_as(LOCK_HEAD).fetch_one(db).await)?;
    let mut head = ChainHead::from(row);
    let before = head.seq;
    let records: Vec<AuditRecord> = events.into_iter().map(|event| head.append(event)).collect();
    let (large, rest) = records.as_chunks::<MANY>();
    for chunk in large {
        insert_many(conn, chunk).await?;
    }
    let (chunks, rest) = rest.as_chunks::<ROWS>();
    for chunk in chunks {
        insert_many(conn, chunk).await?;
    }
    for record in rest {
        insert(conn, record).await?;
    }
    on_db!(conn, db => sqlx::query(MOVE_HEAD).bind(head.seq).bind(&head.hash).execute(db).await.map(drop))?;
    Ok(Some((before, head)))
}

async fn insert_many(conn: &mut Conn<'_>, records: &[AuditRecord]) -> Result<(), Error> {
    on_db!(conn, db => {
        let mut sql = sqlx::QueryBuilder::new(INSERT_MANY);
        sql.push_values(records, |mut row, AuditRecord { seq, event, prev_hash, hash }| {
            row.push_bind(seq)
                .push_bind(event.at_ms)
                .push_bind(event.actor.kind.as_str())
                .push_bind(&event.actor.id)
                .push_bind(&event.actor.name)
                .push_bind(event.action.as_str())
                .push_bind(event.outcome.as_str())
                .push_bind(&event.reason)
                .push_bind(event.federation_id.as_ref().map(FederationId::as_str))
                .push_bind(event.key_id.as_ref().map(KeyId::as_str))
                .push_bind(&event.target)
                .push_bind(&event.source)
                .push_bind(&event.request_id)
                .push_bind(&event.detail)
                .push_bind(prev_hash)
                .push_bind(hash);
        });
        sql.build().execute(db).await.map(drop)
    })?;
    Ok(())
}

async fn insert(conn: &mut Conn<'_>, record: &AuditRecord) -> Result<(), Error> {
    let event = &record.event;
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(record.seq)
        .bind(event.at_ms)
        .bind(event.actor.kind.as_str())
        .bind(&event.actor.id)
        .bind(&event.actor.name)
        .bind(event.action.as_str())
        .bind(event.outcome.as_str())
        .bind(&event.reason)
        .bind(event.federation_id.as_ref().map(FederationId::as_str))
        .bind(event.key_id.as_ref().map(KeyId::as_str))
        .bind(&event.target)
        .bind(&event.source)
        .bind(&event.request_id)
        .bind(&event.detail)
        .bind(&record.prev_hash)
        .bind(&record.hash)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// The end of the chain.
pub async fn head(conn: &mut Conn<'_>) -> Result<ChainHead, Error> {
    let row: HeadRow = on_db!(conn, db => sqlx::query_as(HEAD).fetch_one(db).await)?;
    Ok(row.into())
}

/// The federations that the records after one and up to another name; `None` for records that name
/// none.
pub(crate) async fn federations_between(
    conn: &mut Conn<'_>,
    after: i64,
    last: i64,
) -> Result<Vec<Option<String>>, Error> {
    Ok(
        on_db!(conn, db => sqlx::query_scalar(FEDERATIONS_BETWEEN).bind(after).bind(last).fetch_all(db).await)?,
    )
}

/// Which records to list; every field narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditSelection {
    /// Of one federation.
    pub federation_id: Option<FederationId>,
    /// Of one key.
    pub key_id: Option<KeyId>,
    /// By one actor, by its id.
    pub actor_id: Option<String>,
    /// Of one action.
    pub action: Option<Action>,
    /// Of one outcome.
    pub outcome: Option<Outcome>,
    /// From this time on.
    pub from_ms: Option<Millis>,
    /// Before this time.
    pub to_ms: Option<Millis>,
    /// Behind this place.
    pub after: i64,
}

/// Actions of which there are so many that no index holds them.
const FREQUENT: [Action; 3] = [Action::UserCreated, Action::UserUpdated, Action::GroupUpdated];

/// Lists records before a place, newest first.
pub async fn list(
    conn: &mut Conn<'_>,
    selection: &AuditSelection,
    before: i64,
    limit: i64,
) -> Result<Vec<AuditRecord>, Error> {
    let sql = match selection {
        AuditSelection { key_id: Some(_), .. } => LIST_BY_KEY,
        AuditSelection { federation_id: Some(_), .. } => LIST_BY_FEDERATION,
        AuditSelection { actor_id: Some(_), .. } => LIST_BY_ACTOR,
        AuditSelection { action: Some(action), .. } if !FREQUENT.contains(action) => LIST_BY_ACTION,
        AuditSelection { outcome: Some(Outcome::Refused), .. } => LIST_BY_OUTCOME,
        AuditSelection { .. } => LIST,
    };
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(sql)
        .bind(before)
        .bind(selection.federation_id.as_ref().map(FederationId::as_str))
        .bind(selection.key_id.as_ref().map(KeyId::as_str))
        .bind(selection.actor_id.as_deref())
        .bind(selection.action.map(Action::as_str))
        .bind(selection.outcome.map(Outcome::as_str))
        .bind(selection.from_ms)
        .bind(selection.to_ms)
        .bind(limit)
        .bind(selection.after)
        .fetch_all(db).await)?;
    rows.into_iter().map(AuditRecord::try_from).collect()
}

/// The last place whose record was written before a time, as far as the log is in order of time: found by halving.
/// Clocks may be set back, so callers leave room.
pub async fn place_before(conn: &mut Conn<'_>, at_ms: Millis) -> Result<i64, Error> {
    let (mut low, mut high) = (0, head(conn).await?.seq);
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<Millis> =
            on_db!(&mut *conn, db => sqlx::query_scalar(TIME_OF).bind(middle + 1).fetch_optional(db).await)?;
        if found.is_some_and(|found| found < at_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Records after a place, oldest first: the walk.
pub async fn after(conn: &mut Conn<'_>, seq: i64, limit: i64) -> Result<Vec<AuditRecord>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(AFTER).bind(seq).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(AuditRecord::try_from).collect()
}

/// Who issued a key or one that it replaced, rotated it, said how it proves itself or took it over: issuer and subject
/// of each person.
pub async fn issuers(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    key_id: &KeyId,
) -> Result<Vec<String>, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(ISSUERS)
        .bind(federation_id.as_str()).bind(key_id.as_str()).fetch_all(db).await)?)
}

/// Whether a person has ever exported records.
pub async fn has_exported(conn: &mut Conn<'_>, actor_id: &str) -> Result<bool, Error> {
    let seq: Option<i64> =
        on_db!(conn, db => sqlx::query_scalar(HAS_EXPORTED).bind(actor_id).fetch_optional(db).await)?;
    Ok(seq.is_some())
}

/// One record.
pub async fn by_seq(conn: &mut Conn<'_>, seq: i64) -> Result<Option<AuditRecord>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(BY_SEQ).bind(seq).fetch_optional(db).await)?;
    row.map(AuditRecord::try_from).transpose()
}

#[derive(FromRow)]
struct Person {
    id: String,
    name: String,
}

/// The people who stand in the log, for a filter.
pub async fn actors(conn: &mut Conn<'_>) -> Result<Vec<ActorRef>, Error> {
    let people: Vec<Person> = on_db!(conn, db => sqlx::query_as(ACTORS).fetch_all(db).await)?;
    let person = |Person { id, name }| ActorRef { kind: ActorKind::Admin, id, name };
    Ok(people.into_iter().map(person).collect())
}
