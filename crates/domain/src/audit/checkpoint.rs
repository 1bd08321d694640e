//! Checkpoints: how large the log was and what its root was, in the form of C2SP
//! (<https://c2sp.org/tlog-checkpoint>), signed as a [`note`](super::note).
//!
//! Three lines: the origin, which names this log among all others, the number of records, the root in base64.
//! [`found_in`] reads them from whatever kept them: a file of notes, lines of syslog, bodies of webhooks.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::{
    merkle::Hash,
    note::{Note, NoteFault, VerifierKey},
};

/// How many new records a checkpoint waits for at most.
pub const RECORDS: i64 = 64;

/// How long a record waits for a checkpoint at most, in milliseconds.
pub const WAIT_MS: i64 = 60_000;

/// The size of a log and its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// How many records.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root))
    }

    /// Reads the text of a note. More lines are extensions, and say nothing to us.
    ///
    /// # Errors
    /// [`NoteFault::Form`].
    pub fn parse(text: &str) -> Result<Self, NoteFault> {
        let mut lines = text.strip_suffix('\n').ok_or(NoteFault::Form)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteFault::Form);
        };
        if origin.is_empty() || lines.any(str::is_empty) || (size.starts_with('0') && size != "0") {
            return Err(NoteFault::Form);
        }
        if !size.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NoteFault::Form);
        }
        let root = BASE64.decode(root).map_err(|_| NoteFault::Form)?;
        Ok(Self {
            origin: origin.to_owned(),
            size: size.parse().map_err(|_| NoteFault::Form)?,
            root: root.try_into().map_err(|_| NoteFault::Form)?,
        })
    }

    /// Reads a signed note and says whether one of the keys signed it.
    ///
    /// # Errors
    /// [`NoteFault`]: it is none, or a signature that names a key is not of it.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<(Self, bool), NoteFault> {
        let note = Note::parse(note)?;
        let checkpoint = Self::parse(note.text())?;
        let mut is_signed = false;
        for key in keys.iter().filter(|key| key.name() == checkpoint.origin) {
            is_signed |= note.is_signed_by(key)?;
        }
        Ok((checkpoint, is_signed))
    }
}

/// The notes in what an anchor kept: notes one after the other; lines with `note="BASE64"` or `note=BASE64`, as
/// syslog has them; lines of JSON with a member `note`, as webhooks have them.
pub fn found_in(text: &str) -> Vec<String> {
    let mut notes = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut is_signing = false;
    for line in text.lines() {
        let is_signature = line.starts_with("— ");
        if is_signing && !is_signature {
            notes.push(lines_of(&open));
            open.clear();
            is_signing = false;
        }
        if let Some(note) = on_one_line(line) {
            notes.push(note);
            open.clear();
        } else if is_signature && !open.is_empty() {
            if !is_signing {
                // The text of a checkpoint has no empty line: what stands before it was torn.
                let text = open.strip_suffix(&[""]).unwrap_or(&open);
                let torn = text.iter().rposition(|line| line.is_empty()).map_or(0, |empty| empty + 1);
                open.drain(..torn);
            }
            is_signing = true;
            open.push(line);
        } else if !(line.is_empty() && open.is_empty()) {
            open.push(line);
            // Nothing that is one has so many lines before its signatures.
            if open.len() > 32 {
                open.remove(0);
            }
        }
    }
    if is_signing {
        notes.push(lines_of(&open));
    }
    notes
}

fn lines_of(lines: &[&str]) -> String {
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn on_one_line(line: &str) -> Option<String> {
    let line = line.trim();
    if line.starts_with('{') {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        let inner = value.get("checkpoint").or_else(|| value.get("data")).unwrap_or(&value);
        return inner.get("note")?.as_str().map(str::to_owned);
    }
    let (_, rest) = line.split_once("note=")?;
    let rest = rest.trim_start_matches('"');
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c))).unwrap_or(rest.len());
    let bytes = BASE64.decode(rest.get(..end)?).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::note::signed;

    // The example of the specification.
    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    const NOTE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_written_byte_for_byte() {
        let (checkpoint, is_signed) = Checkpoint::open(NOTE, &[]).unwrap();
        assert_eq!((checkpoint.size, is_signed), (20_852_163, false), "nobody's key, nobody's word");
        assert_eq!(checkpoint.text(), TEXT);
        let extended = Checkpoint::parse(&format!("{TEXT}extension\n")).unwrap();
        assert_eq!(extended, checkpoint);
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        for text in [
            "",
            "a\n1\n",
            "a\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "a\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "a\n+1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "a\n1\nCsUYapGGPo4=\n",
            "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
            "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nx\n",
        ] {
            assert_eq!(Checkpoint::parse(text), Err(NoteFault::Form), "{text:?}");
        }
    }

    #[test]
    fn notes_are_found_in_whatever_kept_them() {
        let key = VerifierKey::new("a", [1; 32]).unwrap();
        let other = signed("a\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n", &key, &[3; 64]);
        let file = format!("{NOTE}\n{other}\n{NOTE}");
        assert_eq!(found_in(&file), [NOTE, &other, NOTE]);
        assert_eq!(found_in(&format!("{NOTE}{other}")), [NOTE, &other], "without empty lines between them");
        let syslog = format!(
            "<109>1 2026-01-01T00:00:00Z - keyward - checkpoint - checkpoint size=7 note={}\n<109>1 - other\n",
            BASE64.encode(&other)
        );
        assert_eq!(found_in(&syslog), [other.as_str()]);
        let webhook = format!(
            "{}\n{}\n",
            serde_json::json!({ "type": "audit.checkpoint", "data": { "size": 7, "note": other } }),
            serde_json::json!({ "note": NOTE })
        );
        assert_eq!(found_in(&webhook), [other.as_str(), NOTE]);
        let torn = &file[..file.len() - 30];
        assert_eq!(found_in(torn).len(), 3, "the torn one is no note, and is told apart by who reads it");
        assert!(Checkpoint::open(&found_in(torn)[2], &[]).is_err());
        assert_eq!(found_in(""), Vec::<String>::new());
    }
}
