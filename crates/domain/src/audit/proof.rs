//! The proof that one record is in the log, as C2SP has it (<https://c2sp.org/tlog-proof>): a text file.
//!
//! `extra` carries the record as JSON. Nothing of it is trusted: its hash is computed from its fields, and must
//! lead to the root of the signed checkpoint at the end of the file.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::{
    checkpoint::Checkpoint,
    entry::Entry,
    merkle::{self, Hash},
    note::VerifierKey,
};

const FORM: &str = "c2sp.org/tlog-proof@v1";

/// A record, its path to the root, and the checkpoint of that root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordProof {
    /// The record.
    pub entry: Entry,
    /// The path from its leaf up.
    pub path: Vec<Hash>,
    /// The signed note of the checkpoint.
    pub note: String,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// It is none.
    #[error("it is not a proof of a record: a file of the form c2sp.org/tlog-proof@v1 was expected")]
    Form,
    /// The record is not as it was written.
    #[error("the record is not as it was written: its content does not fit its hash")]
    Record,
    /// The signature of the checkpoint is not of the key.
    #[error("the checkpoint is not signed by the key")]
    Signature,
    /// The path leads elsewhere.
    #[error("the path does not lead from the record to the root of the checkpoint")]
    Path,
}

/// What a proof proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Whether a key was there that signed it.
    pub is_signed: bool,
}

impl RecordProof {
    /// Reads the text.
    ///
    /// # Errors
    /// [`ProofFault::Form`].
    pub fn parse(text: &str) -> Result<Self, ProofFault> {
        let (head, note) = text.split_once("\n\n").ok_or(ProofFault::Form)?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FORM) {
            return Err(ProofFault::Form);
        }
        let form = |text: Option<&str>, prefix: &str| -> Result<String, ProofFault> {
            Ok(text.and_then(|text| text.strip_prefix(prefix)).ok_or(ProofFault::Form)?.to_owned())
        };
        let extra = BASE64.decode(form(lines.next(), "extra ")?).map_err(|_| ProofFault::Form)?;
        let entry: Entry = serde_json::from_slice(&extra).map_err(|_| ProofFault::Form)?;
        let index: i64 = form(lines.next(), "index ")?.parse().map_err(|_| ProofFault::Form)?;
        if index.checked_add(1) != Some(entry.seq) || index < 0 {
            return Err(ProofFault::Form);
        }
        let hash = |line: &str| BASE64.decode(line).ok().and_then(|bytes| Hash::try_from(bytes).ok());
        let path = lines.map(hash).collect::<Option<Vec<Hash>>>().ok_or(ProofFault::Form)?;
        Ok(Self { entry, path, note: note.to_owned() })
    }

    /// Its text.
    pub fn text(&self) -> String {
        // An entry is texts and numbers, which are always JSON.
        let extra = serde_json::to_vec(&self.entry).unwrap_or_default();
        let mut path = String::new();
        for hash in &self.path {
            path.push_str(&BASE64.encode(hash));
            path.push('\n');
        }
        format!("{FORM}\nextra {}\nindex {}\n{path}\n{}", BASE64.encode(extra), self.entry.seq - 1, self.note)
    }

    /// Follows the path.
    ///
    /// # Errors
    /// [`ProofFault`].
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Proven, ProofFault> {
        let leaf = self.entry.leaf().ok_or(ProofFault::Record)?;
        let opened = Checkpoint::open(&self.note, keys).map_err(|_| ProofFault::Signature)?;
        let (checkpoint, is_signed) = opened;
        if !keys.is_empty() && !is_signed {
            return Err(ProofFault::Signature);
        }
        let index = u64::try_from(self.entry.seq - 1).map_err(|_| ProofFault::Form)?;
        if merkle::is_included(&leaf, index, checkpoint.size, &self.path, &checkpoint.root) {
            Ok(Proven { checkpoint, is_signed })
        } else {
            Err(ProofFault::Path)
        }
    }
}
