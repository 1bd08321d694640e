//! The pack that is handed over: what the records show for a period, as a page and as files.
//!
//! A file is an export: who takes which along is recorded before it is made, and its digest once it is.

use domain::{
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    compliance::{
        Period, Status,
        attestation::{canonical, digest},
        evidence::{self, COLUMNS, FORM, Facts, Pack, Signed},
        pdf, trend,
    },
    exports::cell,
};
use serde_json::json;
use store::{Change, Conn};

use super::{Survey, attestations::all_frozen};
use crate::{Cx, Error, unit::detail};

/// The most statements of one pack.
const MOST_SIGNED: i64 = 200;

/// The forms of the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Rows for spreadsheets.
    Csv,
    /// The whole pack, canonical (RFC 8785).
    Json,
    /// To read and to print.
    Pdf,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Json, Self::Pdf];

    /// The word in addresses, and the ending of the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Pdf => "pdf",
        }
    }

    /// Reads the word of [`Form::as_str`].
    ///
    /// # Errors
    /// Invalid on `format`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|form| form.as_str() == text);
        found.ok_or_else(|| Error::invalid("format", format!("{text:?} is not csv, json or pdf")))
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/json",
            Self::Pdf => "application/pdf",
        }
    }
}

/// What the records show for a period.
///
/// # Errors
/// Invalid for a period that has not begun; Forbidden but for admins and managers.
pub async fn pack(cx: &Cx<Admin>, period: &str) -> Result<Pack, Error> {
    if !cx.actor.role.may(Right::ReadInstallation, None) {
        return Err(Error::Forbidden("only admins and managers see the whole installation".to_owned()));
    }
    let period = Period::parse(period)?;
    let survey = Survey::read(cx).await?;
    if period.is_ahead(survey.now_ms) {
        return Err(Error::invalid("period", format!("{} has not begun", period.label)));
    }
    let mut reader = cx.read().await?;
    let conn = &mut reader.conn();
    let (from_ms, to_ms) = (period.from_ms, period.to_ms);
    let (findings_raised, findings_closed) = store::findings::of_period(conn, from_ms, to_ms).await?;
    let findings_open = store::findings::count_open(conn).await?.iter().map(|(_, _, count)| count).sum();
    let (cases_opened, cases_closed, slowest_recovery_ms) =
        store::cases::of_period(conn, from_ms, to_ms).await?;
    let checkpoint = store::checkpoints::last(conn).await?;
    let head = store::audit::head(conn).await?;
    let signed = store::attestations::of_period(conn, &period.label, MOST_SIGNED).await?;
    drop(reader);

    let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let keys =
        |test: &dyn Fn(&domain::keys::Key) -> bool| whole(survey.keys.iter().filter(|key| test(key)).count());
    let in_period = |moment: Option<domain::Millis>| moment.is_some_and(|at_ms| period.holds(at_ms));
    let of_status =
        |status: Status| whole(survey.rows.iter().filter(|row| row.assessed.status == status).count());
    let sum = |of: &dyn Fn(&super::Row) -> usize| whole(survey.rows.iter().map(of).sum());
    let made = survey.pasts.iter().flat_map(|past| &past.exceptions);
    let facts = Facts {
        counted: survey.counted,
        federations: whole(survey.rows.len()),
        owned: sum(&|row| usize::from(!row.federation.owners.is_empty())),
        overdue: of_status(Status::Overdue),
        never_rotated: of_status(Status::NeverRotated),
        oldest_age_ms: survey
            .rows
            .iter()
            .filter_map(|row| row.assessed.oldest_ms)
            .min()
            .map(|issued_ms| survey.now_ms - issued_ms),
        keys_issued: keys(&|key| period.holds(key.life.issued_ms)),
        keys_rotated: keys(&|key| key.predecessor_id.is_some() && period.holds(key.life.issued_ms)),
        keys_retired: keys(&|key| in_period(key.life.retired_ms)),
        keys_revoked: keys(&|key| in_period(key.life.revoked_ms)),
        exceptions_open: sum(&|row| row.exceptions.len()),
        exceptions_made: whole(made.filter(|one| period.holds(one.made_ms)).count()),
        keys_accepted: sum(&|row| row.keys.len()),
        full_directory: sum(&|row| row.full_directory.len()),
        unused: sum(&|row| row.unused.len()),
        findings_open,
        findings_raised,
        findings_closed,
        cases_opened,
        cases_closed,
        slowest_recovery_ms,
        audit_records: head.seq,
        checkpoint: checkpoint.as_ref().map(|checkpoint| (checkpoint.size, checkpoint.at_ms)),
        anchors: whole(cx.keyward.anchors().len()),
        attestations: whole(signed.len()),
    };
    Ok(Pack {
        form: FORM,
        installation: cx.keyward.settings.public_url.clone(),
        made_ms: survey.now_ms,
        made_by: cx.actor.name.clone(),
        verdict: survey.counted.verdict(),
        controls: facts.controls(),
        facts,
        trend: trend(&survey.pasts, survey.now_ms),
        federations: all_frozen(&survey, &period),
        attestations: signed
            .into_iter()
            .map(|one| Signed {
                id: one.id,
                signed_ms: one.signed_ms,
                signed_by: one.signed_by,
                sha256: one.hash,
            })
            .collect(),
        checkpoint: checkpoint.map(|checkpoint| checkpoint.note),
        checkpoint_key: cx.keyward.audit_key()?.to_string(),
        period,
    })
}

/// The pack as a file, with its digest.
///
/// # Errors
/// As [`pack`]; Unavailable when it cannot be recorded: then nothing is given away.
pub async fn file(cx: &Cx<Admin>, period: &str, form: Form) -> Result<Vec<u8>, Error> {
    let pack = pack(cx, period).await?;
    record(cx, &pack, form, None).await?;
    let internal = |error: &dyn std::fmt::Display| Error::Internal(format!("evidence: {error}"));
    let value = serde_json::to_value(&pack).map_err(|error| internal(&error))?;
    let json = canonical(&value);
    let bytes = match form {
        Form::Json => json.into_bytes(),
        Form::Pdf => pdf::write(&pack, &digest(&json)),
        Form::Csv => {
            let mut writer =
                csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
            writer.write_record(COLUMNS).map_err(|error| internal(&error))?;
            for row in evidence::rows(&pack) {
                writer.write_record(row.iter().map(|text| cell(text))).map_err(|error| internal(&error))?;
            }
            writer.into_inner().map_err(|error| internal(&error))?
        }
    };
    record(cx, &pack, form, Some(&bytes)).await?;
    Ok(bytes)
}

async fn record(cx: &Cx<Admin>, pack: &Pack, form: Form, made: Option<&[u8]>) -> Result<(), Error> {
    let sha256 = made.map(digest);
    let event = AuditEvent {
        target: Some(format!("evidence as {}", form.as_str())),
        detail: detail(&json!({
            "what": "evidence", "format": form.as_str(), "period": pack.period.label, "sha256": sha256,
        })),
        ..cx.event(Action::RecordsExported)
    };
    cx.keyward.commit(async move |_: &mut Conn<'_>| Ok(Change::new((), event.clone()))).await
}
