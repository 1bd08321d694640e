//! Findings. One statement raises or counts, so that two nodes that see the same make one finding.

use std::collections::BTreeMap;

use domain::{
    CaseId, FederationId, FindingId, KeyId, Millis, RotationId,
    findings::{Finding, FindingFilter, Rule, Severity},
};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "federation_id, id, rule, severity, subject, key_id, rotation_id, case_id, detail, count, first_ms, last_ms,
        closed_ms, closed_by, closed_reason, version"
    };
}

macro_rules! rank {
    ($column:literal) => {
        concat!(
            "CASE ",
            $column,
            " WHEN 'critical' THEN 3 WHEN 'high' THEN 2 WHEN 'medium' THEN 1 ELSE 0 END"
        )
    };
}

macro_rules! list {
    ($state:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM findings WHERE ",
            $state,
            " AND (CAST($1 AS TEXT) IS NULL OR federation_id = $1) AND (CAST($2 AS TEXT) IS NULL OR rule = $2)
            AND (CAST($3 AS TEXT) IS NULL OR key_id = $3) AND ",
            rank!("severity"),
            " >= CAST($4 AS BIGINT) ORDER BY ",
            rank!("severity"),
            " DESC, last_ms DESC, id DESC LIMIT $5"
        )
    };
}

statements! {
    RAISE = concat!("INSERT INTO findings (federation_id, id, rule, severity, subject, live_subject, key_id, rotation_id,
        case_id, detail, count, first_ms, last_ms, version)
        VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, 1, $10, $10, 1)
        ON CONFLICT (federation_id, rule, live_subject) DO UPDATE SET count = findings.count + 1,
            severity = excluded.severity, detail = excluded.detail, last_ms = excluded.last_ms,
            key_id = COALESCE(excluded.key_id, findings.key_id),
            rotation_id = COALESCE(excluded.rotation_id, findings.rotation_id),
            case_id = COALESCE(excluded.case_id, findings.case_id), version = findings.version + 1
        RETURNING ", columns!());
    SETTLE = "UPDATE findings SET closed_ms = $4, closed_by = $5, closed_reason = $6,
        live_subject = subject || ' ' || id, version = version + 1
        WHERE federation_id = $1 AND rule = $2 AND live_subject = $3 AND closed_ms IS NULL";
    CLOSE = concat!("UPDATE findings SET closed_ms = $3, closed_by = $4, closed_reason = $5,
        live_subject = subject || ' ' || id, version = version + 1
        WHERE federation_id = $1 AND id = $2 AND closed_ms IS NULL RETURNING ", columns!());
    BY_ID = concat!("SELECT ", columns!(), " FROM findings WHERE federation_id = $1 AND id = $2");
    LIVE = concat!("SELECT ", columns!(), " FROM findings WHERE federation_id = $1 AND rule = $2 AND live_subject = $3");
    LIST_OPEN = list!("closed_ms IS NULL");
    LIST_CLOSED = list!("closed_ms IS NOT NULL");
    COUNT_OPEN = "SELECT federation_id, severity, CAST(COUNT(*) AS BIGINT) FROM findings WHERE closed_ms IS NULL
        GROUP BY federation_id, severity";
    OF_PERIOD = "SELECT
        CAST(COALESCE(SUM(CASE WHEN first_ms >= $1 AND first_ms < $2 THEN 1 ELSE 0 END), 0) AS BIGINT),
        CAST(COALESCE(SUM(CASE WHEN closed_ms >= $1 AND closed_ms < $2 THEN 1 ELSE 0 END), 0) AS BIGINT)
        FROM findings";
    BY_HOUR = "SELECT first_ms / 3600000 AS hour, CAST(COUNT(*) AS BIGINT) FROM findings WHERE first_ms >= $1
        AND (CAST($2 AS TEXT) IS NULL OR federation_id = $2) GROUP BY first_ms / 3600000";
    OPEN_BY_KEY = "SELECT key_id, CAST(COUNT(*) AS BIGINT) FROM findings WHERE closed_ms IS NULL AND key_id IS NOT NULL
        GROUP BY key_id";
    LIVE_OF_RULE = concat!("SELECT ", columns!(), " FROM findings WHERE rule = $1 AND closed_ms IS NULL
        ORDER BY federation_id, id");
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    rule: String,
    severity: String,
    subject: String,
    key_id: Option<String>,
    rotation_id: Option<String>,
    case_id: Option<String>,
    detail: String,
    count: i64,
    first_ms: i64,
    last_ms: i64,
    closed_ms: Option<i64>,
    closed_by: Option<String>,
    closed_reason: Option<String>,
    version: i64,
}

impl TryFrom<Row> for Finding {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("finding {}: {what}", row.id));
        let federation_id = match row.federation_id.as_str() {
            "" => None,
            text => Some(FederationId::parse(text).ok_or_else(|| corrupt("federation"))?),
        };
        Ok(Self {
            id: FindingId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            rule: Rule::parse(&row.rule).ok_or_else(|| corrupt("rule"))?,
            severity: Severity::parse(&row.severity).ok_or_else(|| corrupt("severity"))?,
            detail: serde_json::from_str(&row.detail).map_err(|_| corrupt("detail"))?,
            key_id: row.key_id.as_deref().and_then(KeyId::parse),
            rotation_id: row.rotation_id.as_deref().and_then(RotationId::parse),
            case_id: row.case_id.as_deref().and_then(CaseId::parse),
            federation_id,
            subject: row.subject,
            count: row.count,
            first_ms: row.first_ms,
            last_ms: row.last_ms,
            closed_ms: row.closed_ms,
            closed_by: row.closed_by,
            closed_reason: row.closed_reason,
            version: row.version,
        })
    }
}

/// The word of a federation, or of the installation as a whole.
fn word(federation_id: Option<&FederationId>) -> &str {
    federation_id.map_or("", FederationId::as_str)
}

/// Writes a finding, or counts the open one of the same rule about the same subject. What is returned has
/// the id of the one that is open; its `count` is 1 when it is new.
pub async fn raise(conn: &mut Conn<'_>, finding: &Finding) -> Result<Finding, Error> {
    let detail = serde_json::to_string(&finding.detail).map_err(|error| Error::Corrupt(error.to_string()))?;
    let row: Row = on_db!(conn, db => sqlx::query_as(RAISE)
        .bind(word(finding.federation_id.as_ref()))
        .bind(finding.id.as_str())
        .bind(finding.rule.as_str())
        .bind(finding.severity.as_str())
        .bind(&finding.subject)
        .bind(finding.key_id.as_ref().map(KeyId::as_str))
        .bind(finding.rotation_id.as_ref().map(RotationId::as_str))
        .bind(finding.case_id.as_ref().map(CaseId::as_str))
        .bind(&detail)
        .bind(finding.last_ms)
        .fetch_one(db).await)?;
    row.try_into()
}

/// How a finding ends.
#[derive(Debug, Clone, Copy)]
pub struct Closing<'a> {
    /// When.
    pub at_ms: Millis,
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// Ends the open finding of a rule about a subject; false when there is none.
pub async fn settle(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    rule: Rule,
    subject: &str,
    closing: Closing<'_>,
) -> Result<bool, Error> {
    let rows = on_db!(conn, db => sqlx::query(SETTLE)
        .bind(word(federation_id))
        .bind(rule.as_str())
        .bind(subject)
        .bind(closing.at_ms)
        .bind(closing.by)
        .bind(closing.reason)
        .execute(db).await.map(|done| done.rows_affected()))?;
    Ok(rows > 0)
}

/// Ends a finding that is open, however often it came meanwhile; `None` when it has ended.
pub async fn close(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    id: &FindingId,
    closing: Closing<'_>,
) -> Result<Option<Finding>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(CLOSE)
        .bind(word(federation_id))
        .bind(id.as_str())
        .bind(closing.at_ms)
        .bind(closing.by)
        .bind(closing.reason)
        .fetch_optional(db).await)?;
    row.map(Finding::try_from).transpose()
}

/// One finding.
pub async fn by_id(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    id: &FindingId,
) -> Result<Option<Finding>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(BY_ID)
        .bind(word(federation_id)).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(Finding::try_from).transpose()
}

/// The open finding of a rule about a subject.
pub async fn live(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    rule: Rule,
    subject: &str,
) -> Result<Option<Finding>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(LIVE)
        .bind(word(federation_id)).bind(rule.as_str()).bind(subject).fetch_optional(db).await)?;
    row.map(Finding::try_from).transpose()
}

/// Every open finding of a rule.
pub async fn live_of_rule(conn: &mut Conn<'_>, rule: Rule) -> Result<Vec<Finding>, Error> {
    let rows: Vec<Row> =
        on_db!(conn, db => sqlx::query_as(LIVE_OF_RULE).bind(rule.as_str()).fetch_all(db).await)?;
    rows.into_iter().map(Finding::try_from).collect()
}

/// Findings that a filter leaves, the worst first and of these the latest.
pub async fn list(conn: &mut Conn<'_>, filter: &FindingFilter, limit: i64) -> Result<Vec<Finding>, Error> {
    let least = match filter.least {
        None | Some(Severity::Low) => 0_i64,
        Some(Severity::Medium) => 1,
        Some(Severity::High) => 2,
        Some(Severity::Critical) => 3,
    };
    let sql = if filter.closed { LIST_CLOSED } else { LIST_OPEN };
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(sql)
        .bind(filter.federation_id.as_ref().map(FederationId::as_str))
        .bind(filter.rule.map(Rule::as_str))
        .bind(filter.key_id.as_ref().map(KeyId::as_str))
        .bind(least)
        .bind(limit)
        .fetch_all(db).await)?;
    rows.into_iter().map(Finding::try_from).collect()
}

/// How many findings are open, by federation (`None` is the installation) and severity.
pub async fn count_open(conn: &mut Conn<'_>) -> Result<Vec<(Option<FederationId>, Severity, i64)>, Error> {
    let rows: Vec<(String, String, i64)> =
        on_db!(conn, db => sqlx::query_as(COUNT_OPEN).fetch_all(db).await)?;
    Ok(rows
        .into_iter()
        .filter_map(|(federation, severity, count)| {
            Some((FederationId::parse(&federation), Severity::parse(&severity)?, count))
        })
        .collect())
}

/// How many findings were raised in a stretch of time, and how many were closed.
pub async fn of_period(conn: &mut Conn<'_>, from_ms: Millis, to_ms: Millis) -> Result<(i64, i64), Error> {
    Ok(on_db!(conn, db => sqlx::query_as(OF_PERIOD).bind(from_ms).bind(to_ms).fetch_one(db).await)?)
}

/// How many findings came first, by hours since 1970, of one federation or of all; hours without any are left out.
pub async fn by_hour(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    since_ms: Millis,
) -> Result<Vec<(i64, i64)>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(BY_HOUR)
        .bind(since_ms).bind(federation_id.map(FederationId::as_str)).fetch_all(db).await)?)
}

/// How many findings are open, by the key that they are about.
pub async fn open_by_key(conn: &mut Conn<'_>) -> Result<BTreeMap<KeyId, i64>, Error> {
    let rows: Vec<(String, i64)> = on_db!(conn, db => sqlx::query_as(OPEN_BY_KEY).fetch_all(db).await)?;
    Ok(rows.into_iter().filter_map(|(id, count)| Some((KeyId::parse(&id)?, count))).collect())
}
