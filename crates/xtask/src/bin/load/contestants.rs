//! Who takes part: servers in processes of their own, and what is asked of them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::Outcome;
use crate::client::Client;
use crate::keyward::free_port;
use crate::meter::{self, Load, Run, Target};
use crate::peers::{Peer, USERS};
use crate::work::Work;

/// A server in a process of its own.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Server {
    /// Answers every request with the bytes of a file.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn bare(body: &Path) -> Outcome<Self> {
        Self::own(&["bare", "--body"], Some(body)).await
    }

    /// Answers with one SELECT on a file.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn select(database: &Path) -> Outcome<Self> {
        Self::own(&["select", "--database"], Some(database)).await
    }

    /// A SCIM service with users in memory and nothing else.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn upstream() -> Outcome<Self> {
        Self::own(&["upstream"], None).await
    }

    async fn own(verb: &[&str], path: Option<&Path>) -> Outcome<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(verb).args(path).args(["--port", &port.to_string()]);
        Self::start(command, port, None).await
    }

    /// Starts a program that listens on `port`; what it writes goes to `log`.
    ///
    /// # Errors
    /// When it does not listen within half a minute.
    pub async fn start(mut command: Command, port: u16, log: Option<&Path>) -> Outcome<Self> {
        if let Some(log) = log {
            let log = File::create(log)?;
            command.stdout(log.try_clone()?).stderr(log);
        }
        let mut server = Self { child: command.stdin(Stdio::null()).spawn()?, port };
        for _ in 0..3_000 {
            if Client::connect(port, "").await.is_ok() {
                return Ok(server);
            }
            if server.child.try_wait()?.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let said = log.and_then(|log| std::fs::read_to_string(log).ok()).unwrap_or_default();
        Err(format!("{} did not start: {said}", command.get_program().to_string_lossy()).into())
    }

    /// It, to be asked.
    pub fn target(&self) -> Target {
        Target { port: self.port, pid: self.child.id(), bearer: "kwd_none".to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a contestant does in its turn.
pub enum Doing {
    /// It is asked over HTTP; several at the same time share the connections.
    Asked(Vec<Target>, Work, u32),
    /// It writes so many rows in one commit, with a library that is loaded before all others.
    Writes(usize, Option<PathBuf>),
    /// A peer that is started for this turn, with nothing in it, takes new users.
    Fresh(Peer, u32),
}

/// A contestant of the rounds.
pub struct Contestant {
    /// What it is called in the figures.
    pub name: String,
    doing: Doing,
    /// What came of its turns.
    pub runs: Vec<Run>,
}

impl Contestant {
    /// One that has not run yet.
    pub fn new(name: impl Into<String>, doing: Doing) -> Self {
        Self { name: name.into(), doing, runs: Vec::new() }
    }

    /// Takes its turn of so many seconds.
    ///
    /// # Errors
    /// When an answer was an error: a fast error never counts.
    pub async fn turn(&self, folder: &Path, seconds: u32, has_wrk: bool) -> Outcome<Run> {
        let scratch = has_wrk.then_some(folder);
        let run = match &self.doing {
            Doing::Asked(targets, work, connections) => {
                let load = Load { connections: *connections, seconds };
                meter::run(targets, work, load, scratch).await?
            }
            Doing::Writes(group, library) => written(folder, *group, seconds, library.as_deref())?,
            Doing::Fresh(peer, connections) => {
                let server = peer.start(folder).await?;
                let load = Load { connections: *connections, seconds };
                let run =
                    meter::run(&[server.target()], &Work::Create(USERS.to_owned()), load, scratch).await?;
                peer.check_grown(server.port).await?;
                run
            }
        };
        if run.failures > 0 {
            return Err(format!("{}: {} answers were errors", self.name, run.failures).into());
        }
        Ok(run)
    }
}

fn written(folder: &Path, group: usize, seconds: u32, library: Option<&Path>) -> Outcome<Run> {
    let database = folder.join(format!("raw-{group}.db"));
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(library) = library {
        command.env("LD_PRELOAD", library);
    }
    command.args(["raw", "--group", &group.to_string(), "--seconds", &seconds.to_string()]);
    let output = command.arg("--database").arg(database).output()?;
    let said: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("the raw writer failed: {}", String::from_utf8_lossy(&output.stdout)))?;
    let number = |name: &str| said[name].as_f64().unwrap_or(0.0);
    Ok(Run { per_second: number("per_second"), cpu_us: number("cpu_us"), ..Run::default() })
}
