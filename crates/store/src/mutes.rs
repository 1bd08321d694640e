//! Mutes of findings.

use domain::{
    FederationId, Millis, MuteId,
    findings::{Rule, mutes::Mute},
};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

macro_rules! columns {
    () => {
        "federation_id, id, rule, subject, reason, made_by, made_ms, ends_ms, ended_by"
    };
}

statements! {
    INSERT = concat!("INSERT INTO finding_mutes (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL)");
    // A mute of every federation or of this one, of every subject or of this one.
    HOLDS = "SELECT COUNT(*) FROM finding_mutes WHERE federation_id IN ('', $1) AND rule = $2
        AND subject IN ('', $3) AND ends_ms > $4";
    LIST = concat!("SELECT ", columns!(), " FROM finding_mutes WHERE ends_ms > $1 ORDER BY ends_ms, id LIMIT 500");
    BY_ID = concat!("SELECT ", columns!(), " FROM finding_mutes WHERE federation_id = $1 AND id = $2");
    END = concat!("UPDATE finding_mutes SET ends_ms = $3, ended_by = $4 WHERE federation_id = $1 AND id = $2
        AND ends_ms > $3 RETURNING ", columns!());
    FORGET = "DELETE FROM finding_mutes WHERE ends_ms < $1";
}

#[derive(FromRow)]
struct Row {
    federation_id: String,
    id: String,
    rule: String,
    subject: String,
    reason: String,
    made_by: String,
    made_ms: i64,
    ends_ms: i64,
    ended_by: Option<String>,
}

impl TryFrom<Row> for Mute {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("mute {}: {what}", row.id));
        Ok(Self {
            id: MuteId::parse(&row.id).ok_or_else(|| corrupt("id"))?,
            federation_id: match row.federation_id.as_str() {
                "" => None,
                id => Some(FederationId::parse(id).ok_or_else(|| corrupt("federation"))?),
            },
            rule: Rule::parse(&row.rule).ok_or_else(|| corrupt("rule"))?,
            subject: (!row.subject.is_empty()).then_some(row.subject),
            reason: row.reason,
            made_by: row.made_by,
            made_ms: row.made_ms,
            ends_ms: row.ends_ms,
            ended_by: row.ended_by,
        })
    }
}

fn word(federation_id: Option<&FederationId>) -> &str {
    federation_id.map_or("", FederationId::as_str)
}

/// Keeps a new mute.
pub async fn insert(conn: &mut Conn<'_>, mute: &Mute) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(word(mute.federation_id.as_ref()))
        .bind(mute.id.as_str())
        .bind(mute.rule.as_str())
        .bind(mute.subject.as_deref().unwrap_or_default())
        .bind(&mute.reason)
        .bind(&mute.made_by)
        .bind(mute.made_ms)
        .bind(mute.ends_ms)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// Whether a finding of a rule about a subject is muted now.
pub async fn holds(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    rule: Rule,
    subject: &str,
    now_ms: Millis,
) -> Result<bool, Error> {
    let count: i64 = on_db!(conn, db => sqlx::query_scalar(HOLDS)
        .bind(word(federation_id)).bind(rule.as_str()).bind(subject).bind(now_ms).fetch_one(db).await)?;
    Ok(count > 0)
}

/// Every mute that has not ended.
pub async fn list(conn: &mut Conn<'_>, now_ms: Millis) -> Result<Vec<Mute>, Error> {
    let rows: Vec<Row> = on_db!(conn, db => sqlx::query_as(LIST).bind(now_ms).fetch_all(db).await)?;
    rows.into_iter().map(Mute::try_from).collect()
}

/// One mute.
pub async fn by_id(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    id: &MuteId,
) -> Result<Option<Mute>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(BY_ID)
        .bind(word(federation_id)).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(Mute::try_from).transpose()
}

/// Ends a mute; `None` when it has ended.
pub async fn end(
    conn: &mut Conn<'_>,
    federation_id: Option<&FederationId>,
    id: &MuteId,
    now_ms: Millis,
    by: &str,
) -> Result<Option<Mute>, Error> {
    let row: Option<Row> = on_db!(conn, db => sqlx::query_as(END)
        .bind(word(federation_id)).bind(id.as_str()).bind(now_ms).bind(by).fetch_optional(db).await)?;
    row.map(Mute::try_from).transpose()
}

/// Forgets mutes that ended before a time: the audit log has them.
pub async fn forget(conn: &mut Conn<'_>, before_ms: Millis) -> Result<u64, Error> {
    Ok(on_db!(conn, db => sqlx::query(FORGET)
        .bind(before_ms).execute(db).await.map(|done| done.rows_affected()))?)
}
