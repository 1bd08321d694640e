//! How records leave for other systems: JSON, CSV cells, OCSF.
//!
//! Pure: from a record to a value or a row of texts. Streams and files are made of these.

pub mod ocsf;
pub mod stream;

use serde_json::{Map, Value, json};

use crate::{
    Millis,
    audit::AuditRecord,
    findings::{Finding, mutes::Mute},
    usage::UsageRecord,
};

/// The forms of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated, for spreadsheets.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// One OCSF event a line.
    Ocsf,
}

impl Format {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Jsonl, Self::Ocsf];

    /// The word in addresses and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Ocsf => "ocsf",
        }
    }

    /// Reads the word of [`Format::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == text)
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Jsonl | Self::Ocsf => "application/jsonl; charset=utf-8",
        }
    }

    /// The ending of a file.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Ocsf => "ocsf.jsonl",
        }
    }
}

/// The most characters of a cell: what spreadsheets take.
const CELL: usize = 32_767;

/// Makes a text a cell that no spreadsheet takes for a formula: what begins with a sign of one, also in its
/// full-width form or behind blanks, gets a `'` before it.
pub fn cell(text: &str) -> String {
    let begins = |character: char| {
        matches!(
            character,
            '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠' | '|' | '%'
        )
    };
    let first = text.chars().next();
    let visible = text.trim_start_matches([' ', '\u{a0}', '\u{3000}', '\u{feff}', '\u{200b}']).chars().next();
    let is_formula = first.is_some_and(begins) || visible.is_some_and(begins);
    let cut: String = text.chars().take(CELL - 1).collect();
    if is_formula { format!("'{cut}") } else { cut }
}

/// A time as RFC 3339 in UTC.
pub fn rfc3339(at_ms: Millis) -> String {
    let (days, rest) = (at_ms.div_euclid(86_400_000), at_ms.rem_euclid(86_400_000));
    // The calendar in eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// A usage record as JSON; the federation by its short name.
pub fn usage_json(record: &UsageRecord, federation: Option<&str>) -> Value {
    json!({
        "kind": "usage",
        "request_id": record.request_id,
        "time": rfc3339(record.at_ms),
        "at_ms": record.at_ms,
        "federation_id": record.federation_id,
        "federation": federation,
        "key_id": record.key_id,
        "method": record.method,
        "type": record.resource_type,
        "resource_id": record.resource_id,
        "attributes": record.attributes,
        "status": record.status,
        "decision": record.decision,
        "reason": record.reason,
        "duration_us": record.duration_us,
        "source": record.source,
        "user_agent": record.user_agent,
        "tolerated": record.tolerated,
        "is_work": record.is_work,
    })
}

/// An audit record as JSON.
pub fn audit_json(record: &AuditRecord, federation: Option<&str>) -> Value {
    let event = &record.event;
    json!({
        "kind": "audit",
        "seq": record.seq,
        "time": rfc3339(event.at_ms),
        "at_ms": event.at_ms,
        "actor": { "kind": event.actor.kind, "id": event.actor.id, "name": event.actor.name },
        "action": event.action,
        "outcome": event.outcome,
        "reason": event.reason,
        "federation_id": event.federation_id,
        "federation": federation,
        "key_id": event.key_id,
        "target": event.target,
        "source": event.source,
        "request_id": event.request_id,
        "detail": serde_json::from_str::<Value>(&event.detail).unwrap_or_else(|_| event.detail.clone().into()),
        "prev_hash": record.prev_hash,
        "hash": record.hash,
    })
}

/// A finding as JSON.
pub fn finding_json(finding: &Finding, federation: Option<&str>, muted: Option<&Mute>) -> Value {
    json!({
        "kind": "finding",
        "id": finding.id,
        "federation_id": finding.federation_id,
        "federation": federation,
        "rule": finding.rule,
        "title": finding.rule.title(),
        "severity": finding.severity,
        "subject": finding.subject,
        "key_id": finding.key_id,
        "rotation_id": finding.rotation_id,
        "case_id": finding.case_id,
        "expected": finding.detail.expected,
        "came": finding.detail.came,
        "why": finding.rule.why(),
        "source": finding.detail.source,
        "agent": finding.detail.agent,
        "count": finding.count,
        "first": rfc3339(finding.first_ms),
        "last": rfc3339(finding.last_ms),
        "closed": finding.closed_ms.map(rfc3339),
        "closed_by": finding.closed_by,
        "closed_reason": finding.closed_reason,
        "muted_until": muted.map(|mute| rfc3339(mute.ends_ms)),
    })
}

/// The columns of usage records as CSV.
pub const USAGE_COLUMNS: &[&str] = &[
    "time",
    "request_id",
    "federation",
    "key_id",
    "method",
    "type",
    "resource_id",
    "attributes",
    "status",
    "decision",
    "reason",
    "duration_us",
    "source",
    "user_agent",
    "is_work",
];

/// The columns of audit records as CSV.
pub const AUDIT_COLUMNS: &[&str] = &[
    "seq",
    "time",
    "actor.kind",
    "actor.id",
    "actor.name",
    "action",
    "outcome",
    "reason",
    "federation",
    "key_id",
    "target",
    "source",
    "request_id",
    "detail",
    "hash",
];

/// The columns of findings as CSV.
pub const FINDING_COLUMNS: &[&str] = &[
    "id",
    "federation",
    "rule",
    "title",
    "severity",
    "subject",
    "key_id",
    "case_id",
    "expected",
    "came",
    "source",
    "agent",
    "count",
    "first",
    "last",
    "closed",
    "closed_by",
    "closed_reason",
    "muted_until",
];

/// The row of a JSON record under some columns; each cell is guarded.
pub fn row(record: &Value, columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| cell(&text(lookup(record, column)))).collect()
}

fn lookup<'a>(record: &'a Value, column: &str) -> &'a Value {
    column.split('.').fold(record, |value, name| value.get(name).unwrap_or(&Value::Null))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// Leaves out what is null or empty: OCSF has no null.
pub(crate) fn compact(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept: Map<String, Value> = fields
                .into_iter()
                .map(|(name, value)| (name, compact(value)))
                .filter(|(_, value)| {
                    !matches!(value, Value::Null) && value.as_array().is_none_or(|list| !list.is_empty())
                })
                .collect();
            Value::Object(kept)
        }
        Value::Array(values) => Value::Array(values.into_iter().map(compact).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for text in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "＝1",
            "＋1",
            "－1",
            "＠x",
            " =1",
            "\u{feff}=1",
            "\u{3000}＝1",
            "=cmd|' /C calc'!A0",
            "%0a=1",
        ] {
            assert_eq!(cell(text), format!("'{text}"), "{text:?}");
        }
        for text in ["", "a=1", "1-1", "Okta SCIM Client 1.0", "2026-01-01", "'=1", "é"] {
            assert_eq!(cell(text), text);
        }
        assert_eq!(cell(&"x".repeat(40_000)).len(), CELL - 1);
        assert_eq!(cell(&format!("={}", "x".repeat(40_000))).len(), CELL);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_769_868_306_007, "2026-01-31T14:05:06.007Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ];
        for (at_ms, text) in cases {
            assert_eq!(rfc3339(at_ms), text);
        }
    }

    #[test]
    fn a_row_has_every_column_and_guards_each() {
        let record = json!({ "a": "=1", "b": null, "c": ["x", "y"], "d": { "e": 5 }, "f": true });
        assert_eq!(row(&record, &["a", "b", "c", "d.e", "f", "g"]), ["'=1", "", "x y", "5", "true", ""]);
    }
}
