//! Operations that a brake holds. While one is live, the unique index on its print makes the same operation
//! one row, however often it comes.

use domain::{
    CaseId, FederationId, HeldId, KeyId, Millis,
    brakes::{Brake, HeldOperation, HeldState, Image},
    scopes::Verb,
};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "federation_id, id, case_id, number, brake, state, fingerprint, verb, resource_type, resource_id, name, image,
        subject, key_id, request_id, source, agent, count, first_ms, last_ms, decided_ms, decided_by, reason, done_ms"
    };
}

statements! {
    INSERT = concat!("INSERT INTO held_operations (", columns!(), ", live_print) VALUES ($1, $2, $3, $4, $5, $6, $7, $8,
        $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $7)");
    LIVE = concat!("SELECT ", columns!(), " FROM held_operations WHERE federation_id = $1 AND live_print = $2");
    CAME_AGAIN = "UPDATE held_operations SET count = count + 1, last_ms = $3 WHERE federation_id = $1 AND id = $2";
    // Those that are recognised keep their print, and those that have ended give it free.
    DECIDE = "UPDATE held_operations SET state = $4, decided_ms = $5, decided_by = $6, reason = $7
        WHERE federation_id = $1 AND case_id = $2 AND state = 'held' AND number <= $3";
    END = "UPDATE held_operations SET state = $3, live_print = fingerprint || ' ' || id, done_ms = $4
        WHERE federation_id = $1 AND id = $2";
    SET_STATE = "UPDATE held_operations SET state = $3, decided_ms = $4, reason = $5 WHERE federation_id = $1 AND id = $2
        AND state = 'held'";
    OF_CASE = concat!("SELECT ", columns!(), " FROM held_operations WHERE federation_id = $1 AND case_id = $2
        AND number > $3 ORDER BY number LIMIT $4");
    PENDING = "SELECT number, id, fingerprint, first_ms FROM held_operations WHERE federation_id = $1 AND case_id = $2
        AND state = 'held' AND number <= $3 ORDER BY number";
    PENDING_OF_BRAKE = concat!("SELECT ", columns!(), " FROM held_operations WHERE federation_id = $1 AND brake = $2
        AND state IN ('held', 'approved', 'rejected', 'expired') ORDER BY number");
    COUNTS = "SELECT state, CAST(COUNT(*) AS BIGINT), CAST(MAX(number) AS BIGINT) FROM held_operations
        WHERE federation_id = $1 AND case_id = $2 GROUP BY state";
    KEYS_OF = "SELECT DISTINCT key_id FROM held_operations WHERE federation_id = $1 AND case_id = $2 AND state = 'held'
        AND number <= $3";
    COUNT_LIVE = "SELECT CAST(COUNT(*) AS BIGINT) FROM held_operations WHERE federation_id = $1
        AND state IN ('held', 'approved', 'rejected', 'expired')";
    FEDERATIONS = "SELECT DISTINCT federation_id FROM held_operations
        WHERE state IN ('held', 'approved', 'rejected', 'expired')";
    DUE = concat!("SELECT ", columns!(), " FROM held_operations WHERE federation_id = $1
        AND state IN ('held', 'approved', 'rejected', 'expired') AND last_ms <= $2 ORDER BY last_ms, id LIMIT $3");
    OLD = concat!("SELECT ", columns!(), " FROM held_operations WHERE federation_id = $1 AND state IN ('held', 'approved')
        AND ((state = 'held' AND first_ms <= $2) OR (state = 'approved' AND decided_ms <= $2)) ORDER BY number LIMIT $3");
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    case_id: String,
    number: i64,
    brake: String,
    state: String,
    fingerprint: String,
    verb: String,
    resource_type: String,
    resource_id: String,
    name: String,
    image: String,
    subject: String,
    key_id: String,
    request_id: String,
    source: Option<String>,
    agent: Option<String>,
    count: i64,
    first_ms: i64,
    last_ms: i64,
    decided_ms: Option<i64>,
    decided_by: Option<String>,
    reason: String,
    done_ms: Option<i64>,
}

impl TryFrom<Row> for HeldOperation {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("held operation {}: {what}", row.id));
        let verb = Verb::ALL.into_iter().find(|verb| verb.as_str() == row.verb);
        Ok(Self {
            federation_id: FederationId::parse(&row.federation_id).ok_or_else(|| corrupt("federation"))?,
            id: HeldId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            case_id: CaseId::parse(&row.case_id).ok_or_else(|| corrupt("case"))?,
            number: row.number,
            brake: Brake::parse(&row.brake).ok_or_else(|| corrupt("brake"))?,
            state: HeldState::parse(&row.state).ok_or_else(|| corrupt("state"))?,
            verb: verb.ok_or_else(|| corrupt("verb"))?,
            image: serde_json::from_str::<Image>(&row.image).map_err(|_| corrupt("image"))?,
            key_id: KeyId::parse(&row.key_id).ok_or_else(|| corrupt("key"))?,
            fingerprint: row.fingerprint,
            resource_type: row.resource_type,
            resource_id: row.resource_id,
            name: row.name,
            subject: row.subject,
            request_id: row.request_id,
            source: row.source,
            agent: row.agent,
            count: row.count,
            first_ms: row.first_ms,
            last_ms: row.last_ms,
            decided_ms: row.decided_ms,
            decided_by: row.decided_by,
            reason: row.reason,
            done_ms: row.done_ms,
        })
    }
}

fn all(rows: Vec<Row>) -> Result<Vec<HeldOperation>, Error> {
    rows.into_iter().map(HeldOperation::try_from).collect()
}

/// Holds an operation.
pub async fn insert(conn: &mut Conn<'_>, held: &HeldOperation) -> Result<(), Error> {
    let image = serde_json::to_string(&held.image).map_err(|error| Error::Corrupt(error.to_string()))?;
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(held.federation_id.as_str())
        .bind(held.id.as_str())
        .bind(held.case_id.as_str())
        .bind(held.number)
        .bind(held.brake.as_str())
        .bind(held.state.as_str())
        .bind(&held.fingerprint)
        .bind(held.verb.as_str())
        .bind(&held.resource_type)
        .bind(&held.resource_id)
        .bind(&held.name)
        .bind(&image)
        .bind(&held.subject)
        .bind(held.key_id.as_str())
        .bind(&held.request_id)
        .bind(&held.source)
        .bind(&held.agent)
        .bind(held.count)
        .bind(held.first_ms)
        .bind(held.last_ms)
        .bind(held.decided_ms)
        .bind(&held.decided_by)
        .bind(&held.reason)
        .bind(held.done_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// The operation that is recognised by a print.
pub async fn live(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    fingerprint: &str,
) -> Result<Option<HeldOperation>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(LIVE)
        .bind(federation_id.as_str()).bind(fingerprint).fetch_optional(db).await)?;
    row.map(HeldOperation::try_from).transpose()
}

/// Counts that an operation came again.
pub async fn came_again(conn: &mut Conn<'_>, held: &HeldOperation, at_ms: Millis) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(CAME_AGAIN)
        .bind(held.federation_id.as_str()).bind(held.id.as_str()).bind(at_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// A decision of a person.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    /// Approved or rejected.
    pub state: HeldState,
    /// When.
    pub at_ms: Millis,
    /// By whom.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// Decides what is held in a case up to a number; how many there were.
pub async fn decide(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    case_id: &CaseId,
    until: i64,
    decision: Decision<'_>,
) -> Result<u64, Error> {
    Ok(on_db!(conn, db => sqlx::query(DECIDE)
        .bind(federation_id.as_str())
        .bind(case_id.as_str())
        .bind(until)
        .bind(decision.state.as_str())
        .bind(decision.at_ms)
        .bind(decision.by)
        .bind(decision.reason)
        .execute(db).await.map(|done| done.rows_affected()))?)
}

/// Ends an operation: the same one that comes again is a new one.
pub async fn end(
    conn: &mut Conn<'_>,
    held: &HeldOperation,
    state: HeldState,
    done_ms: Option<Millis>,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(END)
        .bind(held.federation_id.as_str()).bind(held.id.as_str()).bind(state.as_str()).bind(done_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Notes that nobody decided.
pub async fn expire(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    id: &HeldId,
    at_ms: Millis,
    reason: &str,
) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(SET_STATE)
        .bind(federation_id.as_str()).bind(id.as_str())
        .bind(HeldState::Expired.as_str()).bind(at_ms).bind(reason)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// The operations of a case after a number, in their order.
pub async fn of_case(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    case_id: &CaseId,
    after: i64,
    limit: i64,
) -> Result<Vec<HeldOperation>, Error> {
    all(on_db!(conn, db => sqlx::query_as(OF_CASE)
        .bind(federation_id.as_str()).bind(case_id.as_str()).bind(after).bind(limit)
        .fetch_all(db).await)?)
}

/// One line of the list that is approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its number.
    pub number: i64,
    /// Its id.
    pub id: HeldId,
    /// What it is recognised by.
    pub fingerprint: String,
    /// When it came first.
    pub first_ms: Millis,
}

/// What waits in a case, up to a number, without its images.
pub async fn pending(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    case_id: &CaseId,
    until: i64,
) -> Result<Vec<Pending>, Error> {
    let rows: Vec<(i64, String, String, i64)> = on_db!(conn, db => sqlx::query_as(PENDING)
        .bind(federation_id.as_str()).bind(case_id.as_str()).bind(until).fetch_all(db).await)?;
    rows.into_iter()
        .map(|(number, id, fingerprint, first_ms)| {
            let id = HeldId::parse(&id).ok_or_else(|| Error::Corrupt(format!("held operation {id}")))?;
            Ok(Pending { number, id, fingerprint, first_ms })
        })
        .collect()
}

/// What a brake of a federation holds or remembers.
pub async fn live_of_brake(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    brake: Brake,
) -> Result<Vec<HeldOperation>, Error> {
    all(on_db!(conn, db => sqlx::query_as(PENDING_OF_BRAKE)
        .bind(federation_id.as_str()).bind(brake.as_str()).fetch_all(db).await)?)
}

/// How many operations of a case are in each state, and the highest number among them.
pub async fn counts(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    case_id: &CaseId,
) -> Result<Vec<(HeldState, i64, i64)>, Error> {
    let rows: Vec<(String, i64, i64)> = on_db!(conn, db => sqlx::query_as(COUNTS)
        .bind(federation_id.as_str()).bind(case_id.as_str()).fetch_all(db).await)?;
    rows.into_iter()
        .map(|(word, count, last)| {
            let state = HeldState::parse(&word)
                .ok_or_else(|| Error::Corrupt(format!("held operations of {case_id}: {word}")))?;
            Ok((state, count, last))
        })
        .collect()
}

/// The keys that asked for what waits in a case.
pub async fn keys_of(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    case_id: &CaseId,
    until: i64,
) -> Result<Vec<KeyId>, Error> {
    let rows: Vec<String> = on_db!(conn, db => sqlx::query_scalar(KEYS_OF)
        .bind(federation_id.as_str()).bind(case_id.as_str()).bind(until).fetch_all(db).await)?;
    Ok(rows.iter().filter_map(|id| KeyId::parse(id)).collect())
}

/// How many operations of a federation are held or remembered.
pub async fn count_live(conn: &mut Conn<'_>, federation_id: &FederationId) -> Result<i64, Error> {
    Ok(on_db!(conn, db => sqlx::query_scalar(COUNT_LIVE).bind(federation_id.as_str()).fetch_one(db).await)?)
}

/// The federations of which something is held or remembered.
pub async fn federations(conn: &mut Conn<'_>) -> Result<Vec<FederationId>, Error> {
    let rows: Vec<String> = on_db!(conn, db => sqlx::query_scalar(FEDERATIONS).fetch_all(db).await)?;
    Ok(rows.iter().filter_map(|id| FederationId::parse(id)).collect())
}

/// Live operations of a federation that did not come since a moment.
pub async fn silent_since(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    at_ms: Millis,
    limit: i64,
) -> Result<Vec<HeldOperation>, Error> {
    all(on_db!(conn, db => sqlx::query_as(DUE)
        .bind(federation_id.as_str()).bind(at_ms).bind(limit).fetch_all(db).await)?)
}

/// Operations of a federation that were held, or approved, at or before a moment and still are.
pub async fn waiting_since(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    at_ms: Millis,
    limit: i64,
) -> Result<Vec<HeldOperation>, Error> {
    all(on_db!(conn, db => sqlx::query_as(OLD)
        .bind(federation_id.as_str()).bind(at_ms).bind(limit).fetch_all(db).await)?)
}
