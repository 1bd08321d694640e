//! Records on their way to another system: each with an id that stays the same however often it is sent, and a
//! record that says what was lost.

use serde_json::{Value, json};

use super::{Format, audit_json, ocsf, rfc3339, usage_json};
use crate::{
    Millis,
    audit::{AuditRecord, Outcome},
    usage::{Decision, UsageRecord},
};

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Carried {
    /// The audit log.
    Audit,
    /// Usage records.
    Usage,
}

impl Carried {
    /// Everything that a stream can carry.
    pub const ALL: [Self; 2] = [Self::Audit, Self::Usage];

    /// The word in settings and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Usage => "usage",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Audit => "Audit records",
            Self::Usage => "Usage records",
        }
    }

    /// Reads the word of [`Carried::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|carried| carried.as_str() == text)
    }
}

/// What one record on its way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something that was done.
    Audit,
    /// A request.
    Usage,
    /// Usage records that retention removed before they were sent.
    Gap,
}

impl Kind {
    /// The word in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Usage => "usage",
            Self::Gap => "gap",
        }
    }
}

/// A record on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streamed {
    /// Stays the same however often it is sent, and no other record has it.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// When it happened.
    pub at_ms: Millis,
    /// Whether something was refused or lost.
    pub is_warning: bool,
    /// The record on one line.
    pub json: String,
}

/// Seals of usage records that were removed before a stream had sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The first of them.
    pub first_seal: i64,
    /// The last of them.
    pub last_seal: i64,
    /// The time of the oldest record in them.
    pub from_ms: Millis,
    /// The time of the newest.
    pub to_ms: Millis,
    /// How many records were not sent.
    pub records: i64,
}

impl Lost {
    /// What was lost, in words.
    pub fn words(&self) -> String {
        let seals = if self.first_seal == self.last_seal {
            format!("seal {}", self.first_seal)
        } else {
            format!("seals {} to {}", self.first_seal, self.last_seal)
        };
        format!(
            "{} usage records from {} to {} ({seals})",
            self.records,
            rfc3339(self.from_ms),
            rfc3339(self.to_ms)
        )
    }
}

/// An audit record on its way.
pub fn audit(record: &AuditRecord, federation: Option<&str>, format: Format) -> Streamed {
    let id = format!("audit-{}", record.seq);
    let value = match format {
        Format::Ocsf => ocsf::audit(record, federation),
        Format::Csv | Format::Jsonl => audit_json(record, federation),
    };
    Streamed {
        json: with_id(value, &id, format),
        id,
        kind: Kind::Audit,
        at_ms: record.event.at_ms,
        is_warning: record.event.outcome != Outcome::Done,
    }
}

/// The usage record of a place in a seal on its way; places count from 1.
pub fn usage(
    record: &UsageRecord,
    seal: i64,
    place: usize,
    federation: Option<&str>,
    format: Format,
) -> Streamed {
    let id = format!("usage-{seal}-{place}");
    let value = match format {
        Format::Ocsf => ocsf::usage(record, federation),
        Format::Csv | Format::Jsonl => usage_json(record, federation),
    };
    Streamed {
        json: with_id(value, &id, format),
        id,
        kind: Kind::Usage,
        at_ms: record.at_ms,
        is_warning: record.decision != Decision::Allowed,
    }
}

/// The record that says what was lost.
pub fn gap(lost: &Lost, at_ms: Millis, format: Format) -> Streamed {
    let id = format!("gap-usage-{}-{}", lost.first_seal, lost.last_seal);
    let detail = json!({
        "first_seal": lost.first_seal,
        "last_seal": lost.last_seal,
        "from": rfc3339(lost.from_ms),
        "from_ms": lost.from_ms,
        "to": rfc3339(lost.to_ms),
        "to_ms": lost.to_ms,
        "records": lost.records,
    });
    let message = format!("{} were removed before they were sent", lost.words());
    let mut value = match format {
        // What belongs to no class of the schema is a base event.
        Format::Ocsf => json!({
            "activity_id": 99,
            "activity_name": "Records lost",
            "category_uid": 0,
            "category_name": "Uncategorized",
            "class_uid": 0,
            "class_name": "Base Event",
            "type_uid": 99,
            "time": at_ms,
            "severity_id": 4,
            "message": message,
            "metadata": {
                "version": ocsf::VERSION,
                "product": { "name": "Keyward", "vendor_name": "Keyward" },
            },
            "unmapped": detail,
        }),
        Format::Csv | Format::Jsonl => json!({
            "kind": "gap",
            "what": "usage",
            "time": rfc3339(at_ms),
            "at_ms": at_ms,
            "message": message,
        }),
    };
    if let (Format::Jsonl, Some(fields), Value::Object(detail)) = (format, value.as_object_mut(), detail) {
        fields.extend(detail);
    }
    Streamed { json: with_id(value, &id, format), id, kind: Kind::Gap, at_ms, is_warning: true }
}

/// The id is where a reader of the format looks for it.
fn with_id(mut value: Value, id: &str, format: Format) -> String {
    let fields = match format {
        Format::Ocsf => value.get_mut("metadata").and_then(Value::as_object_mut).map(|meta| (meta, "uid")),
        Format::Csv | Format::Jsonl => value.as_object_mut().map(|fields| (fields, "id")),
    };
    if let Some((fields, name)) = fields {
        fields.insert(name.to_owned(), id.into());
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_names_its_range_in_every_format_on_one_line() {
        let lost = Lost { first_seal: 5, last_seal: 9, from_ms: 0, to_ms: 1_000, records: 71 };
        for format in [Format::Jsonl, Format::Ocsf] {
            let sent = gap(&lost, 2_000, format);
            assert!(!sent.json.contains('\n') && sent.is_warning);
            let value: Value = serde_json::from_str(&sent.json).unwrap();
            let (id, detail) = match format {
                Format::Ocsf => (&value["metadata"]["uid"], &value["unmapped"]),
                Format::Csv | Format::Jsonl => (&value["id"], &value),
            };
            assert_eq!((id.as_str(), sent.id.as_str()), (Some("gap-usage-5-9"), "gap-usage-5-9"));
            assert_eq!((&detail["first_seal"], &detail["last_seal"]), (&json!(5), &json!(9)));
            assert_eq!((&detail["records"], &detail["to_ms"]), (&json!(71), &json!(1_000)));
        }
        assert!(lost.words().starts_with("71 usage records from 1970-01-01T00:00:00.000Z to"));
    }
}
