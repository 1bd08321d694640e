//! Seals: the digest of a stretch of usage records, which the audit log keeps.
//!
//! It covers every column of every row, each with its length, in a fixed order, and the number of the
//! seal. So no two different stretches have the same bytes, and a row cannot move from one to another.

use sha2::{Digest as _, Sha256};

use crate::{Millis, audit::HashText, hex};

/// A row of usage records as it is sealed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedRow {
    /// The federation; empty for keys of none.
    pub federation_id: String,
    /// The key.
    pub key_id: String,
    /// The newest request among its records.
    pub last_request_id: String,
    /// The oldest.
    pub first_request_id: String,
    /// When the oldest came.
    pub first_ms: Millis,
    /// When the newest came.
    pub last_ms: Millis,
    /// How many records.
    pub count: i64,
    /// What they hold, in bits.
    pub marks: i64,
    /// The records.
    pub records: String,
}

/// The digest of the rows of one seal.
pub struct Digest {
    hasher: Sha256,
    rows: i64,
}

impl Digest {
    /// Of no row yet.
    pub fn new(seal: i64) -> Self {
        let mut digest = Self { hasher: Sha256::new(), rows: 0 };
        digest.field("keyward-usage-v1");
        digest.field(&seal.to_string());
        digest
    }

    /// Adds a row. Rows come in the order of federation, key and newest request.
    pub fn row(&mut self, row: &SealedRow) {
        self.rows += 1;
        self.field(&row.federation_id);
        self.field(&row.key_id);
        self.field(&row.last_request_id);
        self.field(&row.first_request_id);
        self.field(&row.first_ms.to_string());
        self.field(&row.last_ms.to_string());
        self.field(&row.count.to_string());
        self.field(&row.marks.to_string());
        self.field(&row.records);
    }

    /// How many rows were added.
    pub const fn rows(&self) -> i64 {
        self.rows
    }

    /// 64 hexadecimal digits.
    pub fn finish(self) -> HashText {
        hex(&self.hasher.finalize())
    }

    fn field(&mut self, text: &str) {
        self.hasher.update((text.len() as u64).to_be_bytes());
        self.hasher.update(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: i64) -> SealedRow {
        SealedRow {
            federation_id: "fed_a".to_owned(),
            key_id: "key_b".to_owned(),
            last_request_id: format!("req_{number}"),
            first_request_id: format!("req_{number}"),
            first_ms: number,
            last_ms: number,
            count: 1,
            marks: 1,
            records: "[]".to_owned(),
        }
    }

    fn of(seal: i64, rows: &[SealedRow]) -> HashText {
        let mut digest = Digest::new(seal);
        for row in rows {
            digest.row(row);
        }
        digest.finish()
    }

    #[test]
    fn every_column_every_row_and_the_number_of_the_seal_count() {
        type Change = fn(&mut SealedRow);
        let changes: [Change; 9] = [
            |r| r.federation_id.push('x'),
            |r| r.key_id.push('x'),
            |r| r.last_request_id.push('x'),
            |r| r.first_request_id.push('x'),
            |r| r.first_ms += 1,
            |r| r.last_ms += 1,
            |r| r.count += 1,
            |r| r.marks += 1,
            |r| r.records.push(' '),
        ];
        let rows = [row(1), row(2)];
        let mut seen =
            std::collections::BTreeSet::from([of(1, &rows), of(2, &rows), of(1, &rows[..1]), of(1, &[])]);
        for change in changes {
            let mut rows = rows.clone();
            change(&mut rows[1]);
            seen.insert(of(1, &rows));
        }
        assert_eq!(seen.len(), 4 + changes.len());
    }

    #[test]
    fn a_text_cannot_move_to_its_neighbour() {
        let one = SealedRow { federation_id: "ab".to_owned(), key_id: "c".to_owned(), ..row(1) };
        let other = SealedRow { federation_id: "a".to_owned(), key_id: "bc".to_owned(), ..row(1) };
        assert_ne!(of(1, &[one]), of(1, &[other]));
    }
}
