//! The socket through which the command line reaches a server that has the database.
//!
//! On SQLite one process writes, so while a server runs the command line cannot open the database
//! itself. The server listens on `keyward.sock` in its data folder: mode 0600, and it looks at the
//! uid of whoever calls. One connection carries one question and one answer, each one line of JSON.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ops::Keyward;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

use super::{
    Answer, Ask, Question, Refused, carry_out,
    person::{Person, own_uid},
};
use crate::edge::accept::Stop;

/// The most bytes of a question or an answer.
const LINE: u64 = 4 * 1024 * 1024;

/// How long a question may take on its way, and an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// How many are served at once.
const AT_ONCE: usize = 8;

/// Where the socket of a data folder is.
pub fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("keyward.sock")
}

/// The open socket of a server.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens in a data folder. What a process that died left there is replaced: whoever has the
    /// database is the only one who may listen.
    ///
    /// # Errors
    /// The folder cannot be written, or its path is too long for a socket.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = path_in(data_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        // Until this is done, the uid of a caller is what keeps others out.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves until the server stops.
    pub async fn serve(self, keyward: Arc<Keyward>, mut stop: Stop) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let accepted = tokio::select! {
                () = stop.wait() => break,
                accepted = self.listener.accept() => accepted,
            };
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            match accepted {
                Ok((stream, _)) => {
                    let keyward = Arc::clone(&keyward);
                    tokio::spawn(async move {
                        if let Err(error) = Box::pin(answer(&keyward, stream)).await {
                            tracing::debug!(%error, "the command line went away");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket could not accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What cannot be removed is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn answer(keyward: &Arc<Keyward>, mut stream: UnixStream) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != own_uid() && uid != 0 {
        tracing::warn!(uid, "the control socket was opened by another user and closed");
        let text = "only the user that runs Keyward, and root, may use its control socket";
        let refused: Result<Answer, Refused> = Err(Refused::new("forbidden", text));
        return write(&mut stream, &refused).await;
    }
    let question: Question = read(&mut stream).await?;
    // Root may say for whom it stands, as `sudo` does.
    let person = Person::of_uid(question.uid.filter(|_| uid == 0).unwrap_or(uid));
    let said = Box::pin(carry_out(&person.cx(keyward), question.ask)).await;
    write(&mut stream, &said).await
}

/// Asks the server of a data folder; `None` when nobody listens there.
///
/// # Errors
/// The server went away before it answered, so that nobody knows whether it did what was asked.
pub async fn ask(data_dir: &Path, person: &Person, ask: &Ask) -> io::Result<Option<Result<Answer, Refused>>> {
    let mut stream = match UnixStream::connect(path_in(data_dir)).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    write(&mut stream, &Question { uid: Some(person.uid()), ask: ask.clone() }).await?;
    read(&mut stream).await.map(Some)
}

async fn write(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = zeroize::Zeroizing::new(serde_json::to_vec(value)?);
    line.push(b'\n');
    timeout(PATIENCE, stream.write_all(&line)).await?
}

async fn read<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
    let mut line = zeroize::Zeroizing::new(Vec::new());
    let mut reader = BufReader::new(stream.take(LINE));
    timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await??;
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended early"));
    }
    Ok(serde_json::from_slice(&line)?)
}
