//! Attestations, and the few records of all that the past of a policy is computed from.

use domain::{AttestationId, FederationId, Millis, compliance::Counted};
use sqlx::FromRow;

use crate::{Conn, Error, db::on_db, statements::statements};

statements! {
    INSERT = "INSERT INTO attestations (id, label, signed_ms, signed_by, inside, excepted, counted, body, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    BY_ID = "SELECT id, label, signed_ms, signed_by, inside, excepted, counted, hash, body FROM attestations
        WHERE id = $1";
    LIST = "SELECT id, label, signed_ms, signed_by, inside, excepted, counted, hash FROM attestations
        WHERE id < $1 ORDER BY id DESC LIMIT $2";
    OF_PERIOD = "SELECT id, label, signed_ms, signed_by, inside, excepted, counted, hash FROM attestations
        WHERE label = $1 ORDER BY id LIMIT $2";
    BEFORE = "SELECT id FROM attestations WHERE id < $1 ORDER BY id DESC LIMIT 1";
    // The conditions on the action are those of the index.
    RECORD = "SELECT seq, detail FROM audit_records WHERE action = 'attestation.signed' AND target = $1
        AND outcome = 'done' ORDER BY seq LIMIT 1";
    POLICIES = "SELECT federation_id, at_ms, detail FROM audit_records
        WHERE action IN ('policy.set', 'federation.edited') AND outcome = 'done' AND federation_id IS NOT NULL
        AND at_ms > $1 ORDER BY seq";
}

#[derive(FromRow)]
struct Row {
    id: String,
    label: String,
    signed_ms: i64,
    signed_by: String,
    inside: i64,
    excepted: i64,
    counted: i64,
    hash: String,
}

#[derive(FromRow)]
struct WholeRow {
    #[sqlx(flatten)]
    row: Row,
    body: String,
}

/// What a list shows of an attestation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Its id.
    pub id: AttestationId,
    /// The label of its period.
    pub label: String,
    /// When it was signed.
    pub signed_ms: Millis,
    /// By whom.
    pub signed_by: String,
    /// How many federations stood how.
    pub counted: Counted,
    /// The digest of its body.
    pub hash: String,
}

impl TryFrom<Row> for Brief {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let id = AttestationId::parse(&row.id);
        Ok(Self {
            id: id.ok_or_else(|| Error::Corrupt(format!("attestation {}: id", row.id)))?,
            label: row.label,
            signed_ms: row.signed_ms,
            signed_by: row.signed_by,
            counted: Counted { inside: row.inside, excepted: row.excepted, of: row.counted },
            hash: row.hash,
        })
    }
}

/// Keeps an attestation for good.
pub async fn insert(conn: &mut Conn<'_>, brief: &Brief, body: &str) -> Result<(), Error> {
    on_db!(conn, db => sqlx::query(INSERT)
        .bind(brief.id.as_str())
        .bind(&brief.label)
        .bind(brief.signed_ms)
        .bind(&brief.signed_by)
        .bind(brief.counted.inside)
        .bind(brief.counted.excepted)
        .bind(brief.counted.of)
        .bind(body)
        .bind(&brief.hash)
        .execute(db).await.map(drop))?;
    Ok(())
}

/// One attestation with its body.
pub async fn by_id(conn: &mut Conn<'_>, id: &AttestationId) -> Result<Option<(Brief, String)>, Error> {
    let row: Option<WholeRow> =
        on_db!(conn, db => sqlx::query_as(BY_ID).bind(id.as_str()).fetch_optional(db).await)?;
    row.map(|row| Ok((row.row.try_into()?, row.body))).transpose()
}

/// Attestations signed before one, or of all, the last first.
pub async fn list(
    conn: &mut Conn<'_>,
    before: Option<&AttestationId>,
    limit: i64,
) -> Result<Vec<Brief>, Error> {
    // No id sorts after this.
    let before = before.map_or("att_~", AttestationId::as_str);
    let rows: Vec<Row> =
        on_db!(conn, db => sqlx::query_as(LIST).bind(before).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(Brief::try_from).collect()
}

/// The attestations for a period, the first first.
pub async fn of_period(conn: &mut Conn<'_>, label: &str, limit: i64) -> Result<Vec<Brief>, Error> {
    let rows: Vec<Row> =
        on_db!(conn, db => sqlx::query_as(OF_PERIOD).bind(label).bind(limit).fetch_all(db).await)?;
    rows.into_iter().map(Brief::try_from).collect()
}

/// The one that was signed before another.
pub async fn before(conn: &mut Conn<'_>, id: &AttestationId) -> Result<Option<AttestationId>, Error> {
    let found: Option<String> =
        on_db!(conn, db => sqlx::query_scalar(BEFORE).bind(id.as_str()).fetch_optional(db).await)?;
    Ok(found.as_deref().and_then(AttestationId::parse))
}

/// The audit record of a signing: its place and its detail.
pub async fn record(conn: &mut Conn<'_>, id: &AttestationId) -> Result<Option<(i64, String)>, Error> {
    Ok(on_db!(conn, db => sqlx::query_as(RECORD).bind(id.as_str()).fetch_optional(db).await)?)
}

/// A change of the policy of a federation, as its audit record tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    /// Of which federation.
    pub federation_id: FederationId,
    /// When.
    pub at_ms: Millis,
    /// What was before and after, as JSON.
    pub detail: String,
}

/// The changes of federations and their policies since a moment, the first first.
pub async fn policy_changes(conn: &mut Conn<'_>, since_ms: Millis) -> Result<Vec<PolicyChange>, Error> {
    let rows: Vec<(String, i64, String)> =
        on_db!(conn, db => sqlx::query_as(POLICIES).bind(since_ms).fetch_all(db).await)?;
    let change = |(id, at_ms, detail): (String, i64, String)| {
        Some(PolicyChange { federation_id: FederationId::parse(&id)?, at_ms, detail })
    };
    Ok(rows.into_iter().filter_map(change).collect())
}
