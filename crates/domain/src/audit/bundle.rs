//! A part of the log in a file: JSON Lines, which anybody can read and check without this program.
//!
//! `docs/audit-format.md` is its description. The first line says which log it is of and what stands before the
//! first record: its hash, and the roots of the complete subtrees over the records before, so that the tree
//! goes on from there. Records follow in their order, each checkpoint behind the record that is its last, and a
//! last line that says where the file ends.

use serde::{Deserialize, Serialize};

use super::{
    HashText,
    entry::Entry,
    merkle::{self, Frontier, Hash},
    note::VerifierKey,
    verify::{Examiner, Report, Sealed, Trust},
};
use crate::{Millis, hex};

/// The name of the format.
pub const FORMAT: &str = "keyward-audit-bundle-v1";

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// The first.
    Header(Header),
    /// A record.
    Record(Box<Entry>),
    /// A checkpoint over all records before it.
    Checkpoint(Signed),
    /// The last.
    End(End),
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// The name of the log.
    pub origin: String,
    /// The key that its checkpoints are signed with, as the log itself says it: compare it with one that you
    /// were given by another way.
    pub key: String,
    /// The first record.
    pub from: i64,
    /// The last record.
    pub to: i64,
    /// How many records the log had when the file was made.
    pub head: i64,
    /// When it was made.
    pub made_ms: Millis,
    /// The hash of the record before the first.
    pub prev_hash: HashText,
    /// The roots of the complete subtrees over the records before the first, the largest first.
    pub subtrees: Vec<HashText>,
}

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// When it was signed, as the log says.
    pub at_ms: Millis,
    /// The note.
    pub note: String,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many records stand in the file.
    pub records: i64,
    /// The hash of the last one.
    pub hash: HashText,
    /// The root of the tree over all records up to it, those before the file included.
    pub root: HashText,
}

/// Why a file is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleFault {
    /// A line is none of a bundle.
    #[error("line {0} cannot be read as a line of a bundle")]
    Line(usize),
    /// Another format.
    #[error("the first line is not the header of {FORMAT}")]
    Header,
    /// It could not be read.
    #[error("{0}")]
    Read(String),
}

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its first line.
    pub header: Header,
    /// Whether the key of the header is one of those that were given.
    pub is_known_key: bool,
    /// What became of the walk.
    pub report: Report,
}

/// Checks a bundle line by line.
///
/// # Errors
/// [`BundleFault`] when it is none; what is wrong with the log is in the report.
pub fn check(
    mut lines: impl Iterator<Item = Result<String, String>>,
    trust: &Trust,
) -> Result<Checked, BundleFault> {
    let first = lines.next().ok_or(BundleFault::Header)?.map_err(BundleFault::Read)?;
    let Ok(Line::Header(header)) = serde_json::from_str(&first) else { return Err(BundleFault::Header) };
    let before = frontier(&header).ok_or(BundleFault::Header)?;
    if header.format != FORMAT {
        return Err(BundleFault::Header);
    }
    let is_known_key = VerifierKey::parse(&header.key).is_ok_and(|key| trust.keys().contains(&key));
    let last = merkle::parse(&header.prev_hash).ok_or(BundleFault::Header)?;
    let mut examiner = Examiner::after(before, &last, trust);
    let mut end = None;
    for (number, line) in lines.enumerate() {
        let line = line.map_err(BundleFault::Read)?;
        let parsed: Line = serde_json::from_str(&line).map_err(|_| BundleFault::Line(number + 2))?;
        match parsed {
            _ if end.is_some() => return Err(BundleFault::Line(number + 2)),
            Line::Header(_) => return Err(BundleFault::Line(number + 2)),
            Line::Record(entry) => {
                if examiner.push(*entry) {
                    break;
                }
            }
            Line::Checkpoint(signed) => examiner.beside(&signed.note),
            Line::End(found) => end = Some(found),
        }
    }
    let ended = end.map_or(Sealed::Torn { to: header.to }, |end| Sealed::End {
        to: header.from - 1 + end.records,
        head: header.head,
        hash: end.hash,
        root: merkle::parse(&end.root),
    });
    Ok(Checked { report: examiner.finish(&ended), is_known_key, header })
}

fn frontier(header: &Header) -> Option<Frontier> {
    let roots = header.subtrees.iter().map(|text| merkle::parse(text)).collect::<Option<Vec<Hash>>>()?;
    Frontier::of(u64::try_from(header.from - 1).ok()?, roots)
}

impl End {
    /// The end of a bundle with so many records, the last of which has a hash.
    pub fn of(records: i64, hash: HashText, root: &Hash) -> Self {
        Self { records, hash, root: hex(root) }
    }
}

/// A line of the file, with its newline.
pub fn line(line: &Line) -> String {
    // Texts and numbers are always JSON.
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}
