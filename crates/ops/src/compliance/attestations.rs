//! Signing the state of a period, and reading what was signed.
//!
//! What is signed is the state at the moment of signing, frozen whole. Its digest is in the audit record that is
//! committed with it; [`open`] computes it again, and says when it differs.

use std::collections::BTreeMap;

use domain::{
    AttestationId, FederationId, Millis,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    compliance::{
        Counted, Period,
        attestation::{
            Differences, FORM, FrozenException, FrozenFederation, FrozenKey, Statement, compare, digest,
            proposed_text,
        },
    },
    federations::check_text,
};
use serde_json::{Value, json};
pub use store::attestations::Brief;
use store::{Change, Conn};

use super::{Row, Survey};
use crate::{Actor, Cx, Error, unit::detail};

/// The longest statement, in characters.
const LONGEST_TEXT: usize = 2_000;

/// How many attestations a list shows.
pub const PAGE: i64 = 50;

/// What is about to be signed.
#[derive(Debug, Clone)]
pub struct Draft {
    /// For which period.
    pub period: Period,
    /// Whether it goes on: then the statement is about it so far.
    pub is_running: bool,
    /// How many federations stand how.
    pub counted: Counted,
    /// The words to start from.
    pub text: String,
    /// Every federation as it would be frozen.
    pub federations: Vec<FrozenFederation>,
    /// The digest of these: who signs names what they saw.
    pub seen: String,
    /// Those that were signed for the same period.
    pub before: Vec<Brief>,
}

/// Something that was signed.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What a list shows of it.
    pub brief: Brief,
    /// What was signed; none when the kept text is none that this version wrote.
    pub statement: Option<Statement>,
    /// Whether it is as it was signed.
    pub proof: Proof,
    /// The one that was signed before.
    pub previous: Option<AttestationId>,
    /// What is different from that.
    pub differences: Option<Differences>,
}

/// Whether an attestation is as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The digest is the one in the audit record with this number.
    Whole(i64),
    /// The digest is another than in the audit record with this number.
    Changed(i64),
    /// There is no audit record of the signing.
    Unrecorded,
}

/// Who may read what was signed reads everything: it holds every federation.
fn check_read(cx: &Cx<Admin>) -> Result<(), Error> {
    if cx.actor.role.may(Right::ReadInstallation, None) {
        return Ok(());
    }
    Err(Error::Forbidden(
        "only admins and managers see what was signed for the whole installation".to_owned(),
    ))
}

/// A federation as it is frozen; `rotated` is how many of its keys were given a successor in the period.
fn frozen(row: &Row, rotated: i64) -> FrozenFederation {
    let federation = &row.federation;
    let key = |key: &domain::keys::Key| FrozenKey {
        id: key.id.clone(),
        name: key.name.clone(),
        issued_ms: key.life.issued_ms,
        limit_ms: key.life.expires_ms.min(key.life.issued_ms + row.limits.max_age_ms),
        full_directory: row.full_directory.contains(&key.id),
        unused: row.unused.contains(&key.id),
    };
    let exception = |one: &domain::rotations::policy::PolicyException| FrozenException {
        id: one.id.clone(),
        key_id: one.key_id.clone(),
        owner: one.owner.clone(),
        reason: one.reason.clone(),
        ends_ms: one.ends_ms,
    };
    FrozenFederation {
        id: federation.id.clone(),
        slug: federation.slug.to_string(),
        name: federation.name.clone(),
        vendor: federation.vendor.as_str().to_owned(),
        owners: federation.owners.clone(),
        status: row.assessed.status,
        max_age_days: federation.policy.max_age_days,
        keys: row.keys.iter().map(key).collect(),
        exceptions: row.exceptions.iter().map(exception).collect(),
        findings: row.findings,
        rotated,
        recovered_ms: row.recovered_ms,
    }
}

/// Every federation as it is frozen, in the order of their ids.
pub(super) fn all_frozen(survey: &Survey, period: &Period) -> Vec<FrozenFederation> {
    let mut rotated: BTreeMap<&FederationId, i64> = BTreeMap::new();
    for key in &survey.keys {
        if key.predecessor_id.is_some() && period.holds(key.life.issued_ms) {
            *rotated.entry(&key.federation_id).or_default() += 1;
        }
    }
    let count = |row: &Row| rotated.get(&row.federation.id).copied().unwrap_or_default();
    let mut frozen: Vec<FrozenFederation> = survey.rows.iter().map(|row| frozen(row, count(row))).collect();
    frozen.sort_by(|a, b| a.id.cmp(&b.id));
    frozen
}

/// What a person sees of the federations that they sign for, in one number.
fn seen(federations: &[FrozenFederation]) -> Result<String, Error> {
    // Findings come and go by the minute, and are not what is attested.
    let calm: Vec<FrozenFederation> =
        federations.iter().map(|one| FrozenFederation { findings: 0, ..one.clone() }).collect();
    let value = serde_json::to_value(calm).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(digest(domain::compliance::attestation::canonical(&value)))
}

fn begun(period: &str, now_ms: Millis) -> Result<Period, Error> {
    let period = Period::parse(period)?;
    if period.is_ahead(now_ms) {
        return Err(Error::invalid("period", format!("{} has not begun", period.label)));
    }
    Ok(period)
}

/// What would be signed for a period now.
///
/// # Errors
/// Invalid for a period that has not begun; Forbidden for who may not sign.
pub async fn draft(cx: &Cx<Admin>, period: &str) -> Result<Draft, Error> {
    if !cx.actor.role.may(Right::Attest, None) {
        return Err(Error::Forbidden("only admins and managers sign the state of a period".to_owned()));
    }
    let period = begun(period, cx.now_ms())?;
    let survey = Survey::read(cx).await?;
    let federations = all_frozen(&survey, &period);
    let before = store::attestations::of_period(&mut cx.read().await?.conn(), &period.label, PAGE).await?;
    Ok(Draft {
        is_running: period.is_running(survey.now_ms),
        counted: survey.counted,
        text: proposed_text(&period, survey.counted),
        seen: seen(&federations)?,
        federations,
        before,
        period,
    })
}

/// What is signed.
#[derive(Debug, Clone)]
pub struct Sign {
    /// The period.
    pub period: String,
    /// In these words.
    pub text: String,
    /// The digest of what was seen.
    pub seen: String,
    /// That the person said so, beside pressing the button.
    pub is_confirmed: bool,
}

/// Signs the state of a period for good.
///
/// # Errors
/// Invalid; Stale when the state is another than the one that was seen; Forbidden.
pub async fn sign(cx: &Cx<Admin>, sign: Sign) -> Result<AttestationId, Error> {
    let event = cx.event(Action::AttestationSigned);
    if !cx.actor.role.may(Right::Attest, None) {
        let event = AuditEvent { target: Some(sign.period.clone()), ..event };
        return cx.forbid(event, "only admins and managers sign the state of a period".to_owned()).await;
    }
    let mut faults = Vec::new();
    let period = match begun(&sign.period, cx.now_ms()) {
        Ok(period) => Some(period),
        Err(Error::Invalid(more)) => {
            faults.extend(more);
            None
        }
        Err(error) => return Err(error),
    };
    let text = check_text("text", &sign.text, LONGEST_TEXT).map_err(|fault| faults.push(fault)).ok();
    if text.as_ref().is_some_and(|text| text.chars().count() < 10) {
        faults.push(domain::Invalid::new("text", "say what you attest in at least 10 characters"));
    }
    if !sign.is_confirmed {
        faults.push(domain::Invalid::new("confirmed", "say that you have looked at what you sign"));
    }
    let (Some(period), Some(text), true) = (period, text, faults.is_empty()) else {
        return Err(Error::Invalid(faults));
    };
    let survey = Survey::read(cx).await?;
    let federations = all_frozen(&survey, &period);
    if seen(&federations)? != sign.seen {
        return Err(Error::Stale("the state that you sign"));
    }
    let checkpoint = store::checkpoints::last(&mut cx.read().await?.conn()).await?;
    let statement = Statement {
        form: FORM,
        id: AttestationId::new(event.at_ms, cx.keyward.id_chance()),
        signed_ms: event.at_ms,
        signed_by: cx.actor.name.clone(),
        signer: cx.actor.as_ref().id,
        text,
        counted: survey.counted,
        federations,
        checkpoint: checkpoint.map(|checkpoint| checkpoint.note),
        period,
    };
    let body = statement.canonical().map_err(|error| Error::Internal(error.to_string()))?;
    let brief = Brief {
        id: statement.id.clone(),
        label: statement.period.label.clone(),
        signed_ms: statement.signed_ms,
        signed_by: statement.signed_by.clone(),
        counted: statement.counted,
        hash: digest(&body),
    };
    let event = AuditEvent {
        target: Some(brief.id.to_string()),
        detail: detail(&json!({
            "period": brief.label, "sha256": brief.hash, "inside": brief.counted.inside,
            "excepted": brief.counted.excepted, "of": brief.counted.of,
        })),
        ..event
    };
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::attestations::insert(conn, &brief, &body).await?;
            Ok(Change::new(brief.id.clone(), event.clone()))
        })
        .await
}

/// What was signed, the last first, from a place on.
///
/// # Errors
/// Forbidden but for admins and managers.
pub async fn list(cx: &Cx<Admin>, before: Option<&AttestationId>) -> Result<Vec<Brief>, Error> {
    check_read(cx)?;
    Ok(store::attestations::list(&mut cx.read().await?.conn(), before, PAGE).await?)
}

/// One attestation, compared with its digest in the audit log and with the one before it.
///
/// # Errors
/// NotFound; Forbidden but for admins and managers.
pub async fn open(cx: &Cx<Admin>, id: &AttestationId) -> Result<Signed, Error> {
    check_read(cx)?;
    let mut reader = cx.read().await?;
    let conn = &mut reader.conn();
    let (brief, body) = store::attestations::by_id(conn, id).await?.ok_or(Error::NotFound("attestation"))?;
    let proof = prove(conn, &brief, &body).await?;
    let previous = store::attestations::before(conn, id).await?;
    let statement = Statement::read(&body);
    let earlier = match &previous {
        Some(previous) => store::attestations::by_id(conn, previous).await?,
        None => None,
    };
    let earlier = earlier.and_then(|(_, body)| Statement::read(&body));
    let differences = earlier.zip(statement.as_ref()).map(|(earlier, now)| compare(&earlier, now));
    Ok(Signed { brief, statement, proof, previous, differences })
}

/// Whether a kept text is what was signed: its digest, every column beside it, and the audit record.
async fn prove(conn: &mut Conn<'_>, brief: &Brief, body: &str) -> Result<Proof, Error> {
    let Some((seq, detail)) = store::attestations::record(conn, &brief.id).await? else {
        return Ok(Proof::Unrecorded);
    };
    let recorded: Option<Value> = serde_json::from_str(&detail).ok();
    let recorded = recorded.as_ref().and_then(|detail| detail.get("sha256")?.as_str());
    let hash = digest(body);
    let says_the_same = Statement::read(body).is_some_and(|statement| {
        let Brief { id, label, signed_ms, signed_by, counted, hash: _ } = brief;
        (statement.id, statement.period.label, statement.signed_ms, statement.signed_by, statement.counted)
            == (id.clone(), label.clone(), *signed_ms, signed_by.clone(), *counted)
    });
    let is_whole = recorded == Some(hash.as_str()) && brief.hash == hash && says_the_same;
    Ok(if is_whole { Proof::Whole(seq) } else { Proof::Changed(seq) })
}
