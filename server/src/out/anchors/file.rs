//! A file that notes are appended to: one after the other, an empty line between them, on disk before it counts.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Mutex, PoisonError},
};

use domain::audit::checkpoint::{Checkpoint, found_in};
use ops::ports::{Anchor, Anchoring};

/// How much of the end of the file tells its last checkpoint.
const TAIL: u64 = 64 * 1024;

/// An append-only file.
pub struct FileAnchor {
    path: PathBuf,
    /// The size of the last whole note in it.
    last: Mutex<i64>,
}

impl FileAnchor {
    /// Opens the file, or makes it, closed to other users.
    ///
    /// # Errors
    /// A sentence when it cannot be read and written.
    pub fn open(path: PathBuf) -> Result<Self, String> {
        let told = |error: io::Error| format!("the anchor file {} cannot be used: {error}", path.display());
        let mut file = writable(&path).map_err(told)?;
        let tail = tail_of(&mut file).map_err(told)?;
        let last = found_in(&tail).iter().rev().find_map(|note| Checkpoint::open(note, &[]).ok());
        let last = last.map_or(0, |(checkpoint, _)| i64::try_from(checkpoint.size).unwrap_or(i64::MAX));
        if !tail.is_empty() && !tail.ends_with("\n\n") {
            // A power cut in the middle of a note: what comes next begins on a line of its own.
            file.write_all(b"\n\n").and_then(|()| file.sync_data()).map_err(told)?;
        }
        Ok(Self { path, last: Mutex::new(last) })
    }

    fn append(path: &Path, note: &str) -> io::Result<()> {
        let mut file = writable(path)?;
        let is_new = file.metadata()?.len() == 0;
        // One write: who reads meanwhile sees the whole note or nothing of it.
        file.write_all(format!("{note}\n").as_bytes())?;
        file.sync_data()?;
        if is_new && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

/// The end of an anchor file: what its last checkpoints are read from.
///
/// # Errors
/// When it cannot be read.
pub fn tail(path: &Path) -> io::Result<String> {
    tail_of(&mut File::open(path)?)
}

fn tail_of(file: &mut File) -> io::Result<String> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}

fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

impl Anchor for FileAnchor {
    fn name(&self) -> &'static str {
        "file"
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn last(&self) -> Option<i64> {
        Some(*self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell<'a>(
        &'a self,
        checkpoint: &'a Anchoring,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            let (path, note) = (self.path.clone(), checkpoint.note.clone());
            let written = tokio::task::spawn_blocking(move || Self::append(&path, &note)).await;
            written
                .map_err(|error| error.to_string())?
                .map_err(|error| format!("the file could not be written: {error}"))?;
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = checkpoint.size;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn anchoring(size: i64) -> Anchoring {
        let text = format!("keyward/test\n{size}\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n");
        let note = format!("{text}\n— keyward/test AAAAAAAA\n");
        Anchoring { size, root: String::new(), at_ms: 0, note }
    }

    #[tokio::test]
    async fn notes_are_appended_and_a_new_start_goes_on_behind_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor");
        let anchor = FileAnchor::open(path.clone()).unwrap();
        assert_eq!(anchor.last(), Some(0));
        for size in [3, 7] {
            anchor.tell(&anchoring(size)).await.unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(found_in(&text), [anchoring(3).note, anchoring(7).note]);
        assert_eq!(FileAnchor::open(path).unwrap().last(), Some(7));
    }

    #[tokio::test]
    async fn a_note_that_was_torn_is_followed_by_whole_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor");
        let whole = format!("{}\n", anchoring(3).note);
        let torn = &anchoring(7).note[..60];
        std::fs::write(&path, format!("{whole}{torn}")).unwrap();
        let anchor = FileAnchor::open(path.clone()).unwrap();
        assert_eq!(anchor.last(), Some(3), "the torn one does not count, and comes again");
        anchor.tell(&anchoring(7)).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let sizes: Vec<u64> = found_in(&text)
            .iter()
            .filter_map(|note| Checkpoint::open(note, &[]).ok())
            .map(|(checkpoint, _)| checkpoint.size)
            .collect();
        assert_eq!(sizes, [3, 7]);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_no_anchor() {
        assert!(FileAnchor::open(PathBuf::from("/nowhere/anchor")).is_err());
    }
}
