//! Evidence: what the records show for a period, mapped to the controls that auditors ask about.
//!
//! A control has facts, and a fact has a value from the records or none. Where there is none the pack says so:
//! nothing here claims that a control is met. To add a control, add a row to [`CONTROLS`]; to add a fact, a
//! variant of [`Fact`], its words and its value.

use serde::{Deserialize, Serialize};

use super::{Counted, Period, Point, attestation::FrozenFederation};
use crate::{AttestationId, HOUR_MS, Millis, exports::rfc3339};

/// What is said where there is no record.
pub const NO_RECORD: &str = "No record shows this";

/// One thing that the records may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// How many federations are inside policy.
    InsidePolicy,
    /// How many are overdue.
    Overdue,
    /// How many have never been rotated.
    NeverRotated,
    /// How many name an owner.
    Owned,
    /// How old the oldest accepted key is.
    OldestKey,
    /// How many keys were issued in the period.
    KeysIssued,
    /// How many of them replaced another.
    KeysRotated,
    /// How many were retired after their successor had taken over.
    KeysRetired,
    /// How many were revoked.
    KeysRevoked,
    /// How many exceptions are open.
    ExceptionsOpen,
    /// How many were made in the period.
    ExceptionsMade,
    /// How many accepted keys have the full directory.
    FullDirectory,
    /// How many accepted keys did no work for 30 days.
    Unused,
    /// How many findings are open.
    FindingsOpen,
    /// How many were raised in the period.
    FindingsRaised,
    /// How many were closed in the period.
    FindingsClosed,
    /// How many compromises were opened in the period.
    CasesOpened,
    /// How many were closed.
    CasesClosed,
    /// The longest time from opening to closing one.
    SlowestRecovery,
    /// How many rehearsals of a compromise there were.
    Rehearsals,
    /// How many records the audit log has.
    AuditRecords,
    /// The last signed checkpoint of it.
    Checkpoint,
    /// How many places outside keep checkpoints.
    Anchors,
    /// How many statements were signed for the period.
    Attestations,
}

impl Fact {
    /// What it is, to stand before its value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::InsidePolicy => "Federations inside their rotation policy",
            Self::Overdue => "Federations with a key beyond its limit and no exception",
            Self::NeverRotated => "Federations of which no key was ever replaced",
            Self::Owned => "Federations with a named owner",
            Self::OldestKey => "Age of the oldest accepted key",
            Self::KeysIssued => "Keys issued in the period",
            Self::KeysRotated => "Keys replaced by a successor in the period",
            Self::KeysRetired => "Keys retired in the period",
            Self::KeysRevoked => "Keys revoked in the period",
            Self::ExceptionsOpen => "Open exceptions, each with owner, reason and end",
            Self::ExceptionsMade => "Exceptions made in the period",
            Self::FullDirectory => "Accepted keys with the full directory",
            Self::Unused => "Accepted keys without work for 30 days",
            Self::FindingsOpen => "Open findings",
            Self::FindingsRaised => "Findings raised in the period",
            Self::FindingsClosed => "Findings closed in the period",
            Self::CasesOpened => "Compromises opened in the period",
            Self::CasesClosed => "Compromises answered and closed in the period",
            Self::SlowestRecovery => "Longest time from opening to closing one",
            Self::Rehearsals => "Rehearsals of a compromise in the period",
            Self::AuditRecords => "Records in the hash chain of the audit log",
            Self::Checkpoint => "Last signed checkpoint over the audit log",
            Self::Anchors => "Places outside that keep checkpoints",
            Self::Attestations => "Statements signed for the period",
        }
    }

    /// The page that shows the records.
    pub const fn page(self) -> &'static str {
        match self {
            Self::InsidePolicy => "/compliance",
            Self::Overdue => "/compliance?status=overdue",
            Self::NeverRotated => "/compliance?status=never-rotated",
            Self::Owned => "/federations",
            Self::OldestKey | Self::FullDirectory | Self::Unused => "/keys",
            Self::KeysIssued => "/audit?action=key.issued",
            Self::KeysRotated | Self::KeysRetired => "/rotation",
            Self::KeysRevoked => "/audit?action=key.revoked",
            Self::ExceptionsOpen => "/compliance#exceptions",
            Self::ExceptionsMade => "/audit?action=exception.made",
            Self::FindingsOpen | Self::FindingsRaised => "/findings",
            Self::FindingsClosed => "/findings?state=closed",
            Self::CasesOpened | Self::CasesClosed | Self::SlowestRecovery | Self::Rehearsals => "/cases",
            Self::AuditRecords | Self::Checkpoint | Self::Anchors => "/audit",
            Self::Attestations => "/compliance/attestations",
        }
    }
}

/// A control of a framework and the facts that speak to it.
pub struct ControlRow {
    /// The framework.
    pub framework: &'static str,
    /// The control, as the framework numbers it.
    pub id: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// What the records can say about it.
    pub facts: &'static [Fact],
}

const NIST: &str = "NIST SP 800-53 Rev. 5";
const ISO: &str = "ISO/IEC 27001:2022";
const SOC: &str = "SOC 2";
const PCI: &str = "PCI DSS 4.0.1";

/// Every control that is spoken to.
pub const CONTROLS: &[ControlRow] = &[
    ControlRow {
        framework: NIST,
        id: "IA-5",
        title: "Authenticator management",
        facts: &[
            Fact::InsidePolicy,
            Fact::Overdue,
            Fact::NeverRotated,
            Fact::OldestKey,
            Fact::KeysIssued,
            Fact::KeysRotated,
            Fact::KeysRetired,
            Fact::KeysRevoked,
            Fact::ExceptionsOpen,
        ],
    },
    ControlRow {
        framework: NIST,
        id: "AC-2",
        title: "Account management",
        facts: &[Fact::Owned, Fact::FullDirectory, Fact::Unused, Fact::KeysRevoked, Fact::Attestations],
    },
    ControlRow {
        framework: NIST,
        id: "AU-9",
        title: "Protection of audit information",
        facts: &[Fact::AuditRecords, Fact::Checkpoint, Fact::Anchors],
    },
    ControlRow {
        framework: NIST,
        id: "AU-10",
        title: "Non-repudiation",
        facts: &[Fact::AuditRecords, Fact::Checkpoint, Fact::Attestations],
    },
    ControlRow {
        framework: NIST,
        id: "IR-3",
        title: "Incident response testing",
        facts: &[Fact::Rehearsals, Fact::CasesOpened, Fact::CasesClosed, Fact::SlowestRecovery],
    },
    ControlRow {
        framework: ISO,
        id: "A.5.17",
        title: "Authentication information",
        facts: &[
            Fact::InsidePolicy,
            Fact::OldestKey,
            Fact::KeysIssued,
            Fact::KeysRotated,
            Fact::ExceptionsOpen,
            Fact::ExceptionsMade,
        ],
    },
    ControlRow {
        framework: ISO,
        id: "A.8.15",
        title: "Logging",
        facts: &[
            Fact::AuditRecords,
            Fact::Checkpoint,
            Fact::Anchors,
            Fact::FindingsOpen,
            Fact::FindingsRaised,
            Fact::FindingsClosed,
        ],
    },
    ControlRow {
        framework: ISO,
        id: "A.8.24",
        title: "Use of cryptography",
        facts: &[
            Fact::InsidePolicy,
            Fact::OldestKey,
            Fact::KeysRotated,
            Fact::KeysRetired,
            Fact::KeysRevoked,
        ],
    },
    ControlRow {
        framework: SOC,
        id: "CC6.1",
        title: "Logical access security",
        facts: &[Fact::InsidePolicy, Fact::Overdue, Fact::FullDirectory, Fact::ExceptionsOpen],
    },
    ControlRow {
        framework: SOC,
        id: "CC6.2",
        title: "Issue and removal of credentials",
        facts: &[Fact::KeysIssued, Fact::KeysRetired, Fact::KeysRevoked, Fact::Owned],
    },
    ControlRow {
        framework: SOC,
        id: "CC6.3",
        title: "Least privilege and its review",
        facts: &[Fact::FullDirectory, Fact::Unused, Fact::Attestations],
    },
    ControlRow {
        framework: PCI,
        id: "8.6.3",
        title: "Secrets of application and system accounts are changed in time and on suspicion",
        facts: &[
            Fact::InsidePolicy,
            Fact::Overdue,
            Fact::OldestKey,
            Fact::KeysRotated,
            Fact::CasesOpened,
            Fact::CasesClosed,
            Fact::ExceptionsOpen,
        ],
    },
];

/// What the records say, counted. A number is 0 when they say that there was none, and absent when they say
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// How many federations stand how, now.
    pub counted: Counted,
    /// How many are not archived.
    pub federations: i64,
    /// How many of these name an owner.
    pub owned: i64,
    /// How many are overdue.
    pub overdue: i64,
    /// How many have never been rotated.
    pub never_rotated: i64,
    /// The age of the oldest accepted key.
    pub oldest_age_ms: Option<Millis>,
    /// Keys issued in the period.
    pub keys_issued: i64,
    /// Keys that were given a successor in the period.
    pub keys_rotated: i64,
    /// Keys retired in the period.
    pub keys_retired: i64,
    /// Keys revoked in the period.
    pub keys_revoked: i64,
    /// Open exceptions.
    pub exceptions_open: i64,
    /// Exceptions made in the period.
    pub exceptions_made: i64,
    /// Accepted keys.
    pub keys_accepted: i64,
    /// Those with the full directory.
    pub full_directory: i64,
    /// Those without work for 30 days.
    pub unused: i64,
    /// Open findings.
    pub findings_open: i64,
    /// Findings raised in the period.
    pub findings_raised: i64,
    /// Findings closed in the period.
    pub findings_closed: i64,
    /// Compromises opened in the period.
    pub cases_opened: i64,
    /// Compromises closed in the period.
    pub cases_closed: i64,
    /// The longest time from opening to closing one that was closed in the period.
    pub slowest_recovery_ms: Option<Millis>,
    /// The length of the audit log.
    pub audit_records: i64,
    /// Over how many records the last checkpoint is, and when it was signed.
    pub checkpoint: Option<(i64, Millis)>,
    /// How many anchors are configured.
    pub anchors: i64,
    /// Statements signed for the period.
    pub attestations: i64,
}

/// A length of time in whole days, or hours below two days.
fn span(length_ms: Millis) -> String {
    let hours = length_ms / HOUR_MS;
    if hours < 48 { format!("{hours} h") } else { format!("{} days", hours / 24) }
}

impl Facts {
    /// What the records say of a fact; `None` when they say nothing.
    pub fn value(&self, fact: Fact) -> Option<String> {
        let of = |count: i64, whole: i64| (whole > 0).then(|| format!("{count} of {whole}"));
        match fact {
            Fact::InsidePolicy => of(self.counted.inside, self.counted.of),
            Fact::Overdue => of(self.overdue, self.counted.of),
            Fact::NeverRotated => of(self.never_rotated, self.counted.of),
            Fact::Owned => of(self.owned, self.federations),
            Fact::OldestKey => self.oldest_age_ms.map(span),
            Fact::KeysIssued => Some(self.keys_issued.to_string()),
            Fact::KeysRotated => Some(self.keys_rotated.to_string()),
            Fact::KeysRetired => Some(self.keys_retired.to_string()),
            Fact::KeysRevoked => Some(self.keys_revoked.to_string()),
            Fact::ExceptionsOpen => Some(self.exceptions_open.to_string()),
            Fact::ExceptionsMade => Some(self.exceptions_made.to_string()),
            Fact::FullDirectory => of(self.full_directory, self.keys_accepted),
            Fact::Unused => of(self.unused, self.keys_accepted),
            Fact::FindingsOpen => Some(self.findings_open.to_string()),
            Fact::FindingsRaised => Some(self.findings_raised.to_string()),
            Fact::FindingsClosed => Some(self.findings_closed.to_string()),
            Fact::CasesOpened => Some(self.cases_opened.to_string()),
            Fact::CasesClosed => Some(self.cases_closed.to_string()),
            Fact::SlowestRecovery => self.slowest_recovery_ms.map(span),
            // There are none in this version: nothing records one.
            Fact::Rehearsals => None,
            Fact::AuditRecords => Some(self.audit_records.to_string()),
            Fact::Checkpoint => {
                self.checkpoint.map(|(size, at_ms)| format!("over {size} records, {}", rfc3339(at_ms)))
            }
            Fact::Anchors => (self.anchors > 0).then(|| self.anchors.to_string()),
            Fact::Attestations => (self.attestations > 0).then(|| self.attestations.to_string()),
        }
    }

    /// Every control with what the records say.
    pub fn controls(&self) -> Vec<Control> {
        let line = |fact: &Fact| Line {
            fact: *fact,
            what: fact.label().to_owned(),
            value: self.value(*fact),
            link: fact.page().to_owned(),
        };
        CONTROLS
            .iter()
            .map(|row| Control {
                framework: row.framework.to_owned(),
                id: row.id.to_owned(),
                title: row.title.to_owned(),
                lines: row.facts.iter().map(line).collect(),
            })
            .collect()
    }
}

/// A fact of a control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Which.
    pub fact: Fact,
    /// In words.
    pub what: String,
    /// What the records say; none when they say nothing.
    pub value: Option<String>,
    /// Where they are seen.
    pub link: String,
}

impl Line {
    /// The value, or that there is none.
    pub fn said(&self) -> &str {
        self.value.as_deref().unwrap_or(NO_RECORD)
    }
}

/// A control and what the records show of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The framework.
    pub framework: String,
    /// As the framework numbers it.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// What the records show.
    pub lines: Vec<Line>,
}

/// A statement that was signed for the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Which.
    pub id: AttestationId,
    /// When.
    pub signed_ms: Millis,
    /// By whom.
    pub signed_by: String,
    /// Its SHA-256, as it stands in the audit log.
    pub sha256: String,
}

/// The form of [`Pack`].
pub const FORM: i64 = 1;

/// Everything that is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// [`FORM`].
    pub form: i64,
    /// The installation, by its address.
    pub installation: String,
    /// The period.
    pub period: Period,
    /// When it was made.
    pub made_ms: Millis,
    /// By whom.
    pub made_by: String,
    /// The verdict of that moment.
    pub verdict: String,
    /// What the records say, counted.
    pub facts: Facts,
    /// The same by control.
    pub controls: Vec<Control>,
    /// The share inside policy by month.
    pub trend: Vec<Point>,
    /// Every federation.
    pub federations: Vec<FrozenFederation>,
    /// The statements that were signed for the period.
    pub attestations: Vec<Signed>,
    /// The last signed checkpoint of the audit log.
    pub checkpoint: Option<String>,
    /// The key that its signature is verified with.
    pub checkpoint_key: String,
}

/// The columns of the file.
pub const COLUMNS: &[&str] = &["part", "framework", "control", "federation", "what", "value", "link"];

/// The pack as rows under [`COLUMNS`], unguarded.
pub fn rows(pack: &Pack) -> Vec<[String; 7]> {
    let mut rows = Vec::new();
    let mut push =
        |part: &str, framework: &str, control: &str, of: &str, what: &str, value: &str, link: &str| {
            rows.push([part, framework, control, of, what, value, link].map(str::to_owned));
        };
    for (what, value) in [
        ("installation", pack.installation.clone()),
        ("period", pack.period.label.clone()),
        ("period begins", rfc3339(pack.period.from_ms)),
        ("period ends", rfc3339(pack.period.to_ms)),
        ("made", rfc3339(pack.made_ms)),
        ("made by", pack.made_by.clone()),
        ("verdict", pack.verdict.clone()),
    ] {
        push("pack", "", "", "", what, &value, "");
    }
    for control in &pack.controls {
        let id = format!("{} {}", control.id, control.title);
        for line in &control.lines {
            push("control", &control.framework, &id, "", &line.what, line.said(), &line.link);
        }
    }
    for point in &pack.trend {
        let Counted { inside, of, .. } = point.counted;
        let value = if of == 0 { NO_RECORD.to_owned() } else { format!("{inside} of {of}") };
        push("trend", "", "", "", &format!("inside policy at the end of {}", point.month), &value, "");
    }
    for one in &pack.federations {
        let link = format!("/federations/{}", one.slug);
        let count = |test: fn(&super::attestation::FrozenKey) -> bool| {
            one.keys.iter().filter(|key| test(key)).count().to_string()
        };
        let recovered = one.recovered_ms.map_or_else(|| NO_RECORD.to_owned(), rfc3339);
        for (what, value) in [
            ("name", one.name.clone()),
            ("status", one.status.as_str().to_owned()),
            ("owners", one.owners.join("; ")),
            ("longest life of a key, days", one.max_age_days.to_string()),
            ("accepted keys", one.keys.len().to_string()),
            ("keys with the full directory", count(|key| key.full_directory)),
            ("keys without work for 30 days", count(|key| key.unused)),
            ("keys replaced in the period", one.rotated.to_string()),
            ("open findings", one.findings.to_string()),
            ("last compromise answered", recovered),
        ] {
            push("federation", "", "", &one.slug, what, &value, &link);
        }
        for key in &one.keys {
            let value = format!("issued {}, limit {}", rfc3339(key.issued_ms), rfc3339(key.limit_ms));
            push("key", "", "", &one.slug, &key.name, &value, &format!("/keys/{}", key.id));
        }
        for exception in &one.exceptions {
            let value =
                format!("{}, until {}: {}", exception.owner, rfc3339(exception.ends_ms), exception.reason);
            push("exception", "", "", &one.slug, exception.id.as_str(), &value, &format!("{link}/rotation"));
        }
    }
    for signed in &pack.attestations {
        let value =
            format!("{} by {}, SHA-256 {}", rfc3339(signed.signed_ms), signed.signed_by, signed.sha256);
        let link = format!("/compliance/attestations/{}", signed.id);
        push("attestation", "", "", "", signed.id.as_str(), &value, &link);
    }
    let note = pack.checkpoint.as_deref().unwrap_or(NO_RECORD);
    push("checkpoint", "", "", "", "signed checkpoint of the audit log", note, "/audit");
    push("checkpoint", "", "", "", "key that verifies it", &pack.checkpoint_key, "");
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn where_no_record_shows_something_that_is_said() {
        let nothing = Facts::default();
        for fact in [Fact::InsidePolicy, Fact::OldestKey, Fact::Rehearsals, Fact::Checkpoint, Fact::Anchors] {
            assert_eq!(nothing.value(fact), None, "{fact:?}");
        }
        assert_eq!(
            nothing.value(Fact::KeysIssued).as_deref(),
            Some("0"),
            "a record shows that there was none"
        );
        let lines: Vec<Line> = nothing.controls().into_iter().flat_map(|control| control.lines).collect();
        assert!(lines.iter().any(|line| line.said() == NO_RECORD));
        let facts = Facts {
            counted: Counted { inside: 41, excepted: 1, of: 43 },
            oldest_age_ms: Some(47 * HOUR_MS),
            slowest_recovery_ms: Some(72 * HOUR_MS),
            ..nothing
        };
        assert_eq!(facts.value(Fact::InsidePolicy).as_deref(), Some("41 of 43"));
        assert_eq!(facts.value(Fact::OldestKey).as_deref(), Some("47 h"));
        assert_eq!(facts.value(Fact::SlowestRecovery).as_deref(), Some("3 days"));
        // Nothing counts rehearsals yet, whatever else is known.
        assert_eq!(facts.value(Fact::Rehearsals), None);
    }

    #[test]
    fn the_controls_that_were_asked_for_are_there_once_each() {
        let ids: Vec<(&str, &str)> = CONTROLS.iter().map(|row| (row.framework, row.id)).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        for wanted in [
            (NIST, "IA-5"),
            (NIST, "AC-2"),
            (NIST, "AU-9"),
            (NIST, "AU-10"),
            (NIST, "IR-3"),
            (ISO, "A.5.17"),
            (ISO, "A.8.15"),
            (ISO, "A.8.24"),
            (SOC, "CC6.1"),
            (PCI, "8.6.3"),
        ] {
            assert!(ids.contains(&wanted), "{wanted:?}");
        }
        assert!(CONTROLS.iter().all(|row| !row.facts.is_empty()));
    }
}
