//! Who takes part: servers in processes of their own, and what is asked of them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::Outcome;
use crate::client::Client;
use crate::keyward::free_port;
use crate::meter::{self, Load, Run, Target};
use crate::work::Work;

/// A server of this program in a process of its own.
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
        Self::start(&["bare"], "--body", body).await
    }

    /// Answers with one SELECT on a file.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn select(database: &Path) -> Outcome<Self> {
        Self::start(&["select"], "--database", database).await
    }

    async fn start(verb: &[&str], option: &str, path: &Path) -> Outcome<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(verb).args(["--port", &port.to_string(), option]).arg(path);
        let server = Self { child: command.stdin(Stdio::null()).spawn()?, port };
        for _ in 0..500 {
            if Client::connect(port, "").await.is_ok() {
                return Ok(server);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("`{}` did not start", verb.join(" ")).into())
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
    /// It is asked over HTTP.
    Asked(Target, Work, Load),
    /// It writes so many rows in one commit, for so many seconds.
    Writes(usize, u32),
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

    /// Takes its turn.
    ///
    /// # Errors
    /// When an answer was an error: a fast error never counts.
    pub async fn turn(&self, folder: &Path, has_wrk: bool) -> Outcome<Run> {
        let run = match &self.doing {
            Doing::Asked(target, work, load) => {
                meter::run(target, work, *load, has_wrk.then_some(folder)).await?
            }
            Doing::Writes(group, seconds) => {
                let database = folder.join(format!("raw-{group}.db"));
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["raw", "--group", &group.to_string(), "--seconds", &seconds.to_string()]);
                let output = command.arg("--database").arg(database).output()?;
                let said: Value = serde_json::from_slice(&output.stdout).map_err(|_| {
                    format!("the raw writer failed: {}", String::from_utf8_lossy(&output.stdout))
                })?;
                let per_second = said["per_second"].as_f64().unwrap_or(0.0);
                Run { per_second, failures: 0, p50_ms: 0.0, p99_ms: 0.0, cpu_us: 0.0 }
            }
        };
        if run.failures > 0 {
            return Err(format!("{}: {} answers were errors", self.name, run.failures).into());
        }
        Ok(run)
    }
}
