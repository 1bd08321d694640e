//! Exports: what a page shows, to take along. A page at a time, so that no export is held in memory.
//!
//! Who exports what is recorded before the first record is read, and how many it were once all were given. That
//! somebody exports for the first time is a finding (A20).

use std::collections::BTreeMap;

use domain::{
    FederationId, Invalid,
    admins::Admin,
    audit::{Action, AuditEvent},
    exports::{
        AUDIT_COLUMNS, FINDING_COLUMNS, Format, USAGE_COLUMNS, audit_json, finding_json, ocsf, row,
        usage_json,
    },
    federations::{Federation, Slug},
    usage::filter::UsageFilter,
};
use serde_json::{Value, json};
use store::{Change, Conn, usage::search::Place};

use crate::{
    Cx, Error,
    audit::AuditFilter,
    behaviour,
    findings::Wanted,
    unit::detail,
    usage::search::{MOST, as_object, page_of, read_cursor, scope},
};

/// The most records of one export: then it says that it stopped.
pub const LIMIT: u64 = 1_000_000;

/// The most findings of one export, in each federation: they are read at once.
const FINDINGS: i64 = 50_000;

/// What is exported.
#[derive(Debug, Clone)]
pub enum What {
    /// Usage records.
    Usage(UsageFilter),
    /// Audit records.
    Audit(AuditFilter),
    /// Findings.
    Findings(Wanted),
}

impl What {
    /// The word in addresses and records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::Audit(_) => "audit",
            Self::Findings(_) => "findings",
        }
    }

    /// The one federation that it is of.
    const fn federation(&self) -> Option<&Slug> {
        match self {
            Self::Usage(filter) => filter.federation.as_ref(),
            Self::Audit(filter) => filter.federation.as_ref(),
            Self::Findings(wanted) => wanted.federation.as_ref(),
        }
    }

    fn described(&self) -> Value {
        match self {
            Self::Usage(filter) => Value::Object(as_object(filter)),
            Self::Audit(filter) => json!({
                "federation": filter.federation.as_ref().map(ToString::to_string),
                "key": filter.key, "actor": filter.actor, "action": filter.action, "outcome": filter.outcome,
                "from_ms": filter.from_ms, "to_ms": filter.to_ms,
            }),
            Self::Findings(wanted) => json!({
                "federation": wanted.federation.as_ref().map(ToString::to_string), "rule": wanted.rule,
                "severity": wanted.least, "key": wanted.key_id, "closed": wanted.closed, "muted": wanted.muted,
            }),
        }
    }
}

/// An export under way.
pub struct Export {
    cx: Cx<Admin>,
    what: What,
    format: Format,
    names: BTreeMap<FederationId, String>,
    federations: Vec<Option<FederationId>>,
    /// The one federation that it is of.
    of: Option<Federation>,
    place: Option<Place>,
    before: Option<i64>,
    count: u64,
    /// Whether there was more than one export gives.
    is_cut: bool,
    has_begun: bool,
    is_over: bool,
}

/// Begins an export, and records it.
///
/// # Errors
/// NotFound for a federation that the viewer may not see; Unavailable when it cannot be recorded: then nothing
/// is read.
pub async fn begin(cx: &Cx<Admin>, what: What, format: Format) -> Result<Export, Error> {
    let (mut what, mut federations) = (what, Vec::new());
    // Who may not see what is named learns so before anything is recorded as begun.
    match &mut what {
        What::Usage(filter) => federations = scope(cx, filter).await?,
        What::Audit(filter) => drop(crate::audit::list(cx, filter, None, 1).await?),
        What::Findings(wanted) => {
            if let Some(slug) = &wanted.federation {
                drop(crate::federations::find(cx, &mut cx.read().await?.conn(), slug).await?);
            }
        }
    }
    let visible = crate::federations::visible(cx, &mut cx.read().await?).await?;
    let named = what.federation();
    let of = visible.iter().find(|one| named.is_some_and(|slug| one.slug == *slug)).cloned();
    let names = visible.into_iter().map(|one| (one.id, one.slug.to_string())).collect();
    let export = Export {
        cx: cx.clone(),
        what,
        format,
        names,
        federations,
        of,
        place: None,
        before: None,
        count: 0,
        is_cut: false,
        has_begun: false,
        is_over: false,
    };
    export.record(None).await?;
    Ok(export)
}

impl Export {
    async fn record(&self, count: Option<u64>) -> Result<(), Error> {
        let event = AuditEvent {
            target: Some(format!("{} as {}", self.what.as_str(), self.format.as_str())),
            detail: detail(&json!({
                "what": self.what.as_str(), "format": self.format.as_str(), "filter": self.what.described(),
                "count": count, "is_cut": self.is_cut,
            })),
            ..self.cx.event(Action::RecordsExported)
        };
        let (own, of, what, now_ms) =
            (self.cx.clone(), self.of.clone(), self.what.as_str(), self.cx.now_ms());
        let unit = async move |conn: &mut Conn<'_>| {
            behaviour::exported(conn, &own, of.as_ref(), &format!("{what} records"), now_ms).await?;
            Ok(Change::new((), event.clone()))
        };
        self.cx.keyward.commit(unit).await
    }

    /// The next part of the file; `None` when it is whole.
    ///
    /// # Errors
    /// When the database does not answer: the file is not whole then.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if self.is_over {
                return Ok(None);
            }
            let records = self.page().await?;
            self.count += u64::try_from(records.len()).unwrap_or(0);
            if self.count >= LIMIT && !self.is_over {
                (self.is_over, self.is_cut) = (true, true);
            }
            let bytes = self.written(&records)?;
            if self.is_over {
                self.record(Some(self.count)).await?;
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    fn name(&self, id: Option<&FederationId>) -> Option<&str> {
        id.and_then(|id| self.names.get(id)).map(String::as_str)
    }

    /// The next records as JSON, or as OCSF.
    async fn page(&mut self) -> Result<Vec<Value>, Error> {
        let is_ocsf = self.format == Format::Ocsf;
        match &self.what {
            What::Usage(filter) => {
                let place = self.place.take();
                let page = page_of(&self.cx, &self.federations, filter, place, MOST).await?;
                let next = page.next.as_deref().map(read_cursor).transpose()?;
                let values = page
                    .records
                    .iter()
                    .map(|record| {
                        let name = self.name(record.federation_id.as_ref());
                        if is_ocsf { ocsf::usage(record, name) } else { usage_json(record, name) }
                    })
                    .collect();
                self.is_over = next.is_none();
                self.place = next;
                Ok(values)
            }
            What::Audit(filter) => {
                let page = crate::audit::list(&self.cx, filter, self.before, 200).await?;
                let values = page
                    .records
                    .iter()
                    .map(|record| {
                        let name = self.name(record.event.federation_id.as_ref());
                        if is_ocsf { ocsf::audit(record, name) } else { audit_json(record, name) }
                    })
                    .collect();
                self.is_over = page.next.is_none();
                self.before = page.next;
                Ok(values)
            }
            What::Findings(wanted) => {
                let found = crate::findings::list_up_to(&self.cx, wanted, FINDINGS).await?;
                self.is_over = true;
                self.is_cut = i64::try_from(found.len()).is_ok_and(|count| count >= FINDINGS);
                Ok(found
                    .iter()
                    .map(|view| {
                        let name = self.name(view.finding.federation_id.as_ref());
                        if is_ocsf {
                            ocsf::finding(&view.finding, name)
                        } else {
                            finding_json(&view.finding, name, view.muted.as_ref())
                        }
                    })
                    .collect())
            }
        }
    }

    fn written(&mut self, records: &[Value]) -> Result<Vec<u8>, Error> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        match self.format {
            Format::Jsonl | Format::Ocsf => {
                let mut bytes = Vec::new();
                for record in records {
                    bytes.extend_from_slice(record.to_string().as_bytes());
                    bytes.push(b'\n');
                }
                Ok(bytes)
            }
            Format::Csv => {
                let columns = match &self.what {
                    What::Usage(_) => USAGE_COLUMNS,
                    What::Audit(_) => AUDIT_COLUMNS,
                    What::Findings(_) => FINDING_COLUMNS,
                };
                let mut writer =
                    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
                let failed = |error: &dyn std::fmt::Display| Error::Internal(format!("CSV: {error}"));
                if is_first {
                    writer.write_record(columns).map_err(|error| failed(&error))?;
                }
                for record in records {
                    writer.write_record(row(record, columns)).map_err(|error| failed(&error))?;
                }
                writer.into_inner().map_err(|error| failed(&error))
            }
        }
    }
}

/// Reads the word of a form.
///
/// # Errors
/// Invalid on `format`.
pub fn format(text: &str) -> Result<Format, Error> {
    let format = Format::parse(text);
    format.ok_or_else(|| Invalid::new("format", format!("{text:?} is not csv, jsonl or ocsf")).into())
}
