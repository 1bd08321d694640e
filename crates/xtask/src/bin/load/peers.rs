//! SCIM services that others made: each is started by a command, keeps what it has in memory, and is asked for the
//! same things as Keyward.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::Outcome;
use crate::client::{Answer, Client};
use crate::contestants::Server;
use crate::keyward::{free_port, user};

/// A peer, as `cargo xtask bench` describes it.
#[derive(Clone, Deserialize)]
pub struct Peer {
    /// Its name and version.
    pub name: String,
    /// What starts it; the port on 127.0.0.1 comes last.
    command: Vec<String>,
    /// How many times faster Keyward should be.
    pub target: f64,
}

/// Where the users of each are.
pub const USERS: &str = "/v2/Users";

/// Connections that fill it.
const WORKERS: u32 = 8;

impl Peer {
    /// Reads a description.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Starts it with nothing in it.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(&self, folder: &Path) -> Outcome<Server> {
        let port = free_port()?;
        let [program, args @ ..] = self.command.as_slice() else {
            return Err(format!("{} has no command", self.name).into());
        };
        let mut command = Command::new(program);
        command.args(args).arg(port.to_string());
        let log = folder.join(format!("{}.log", self.name.replace(' ', "-")));
        Server::start(command, port, Some(&log)).await
    }

    /// Creates `u0`, `u1`, … and returns the path of each, after a look at every answer that is going to be measured.
    ///
    /// # Errors
    /// When an answer is not what it should be.
    pub async fn fill(&self, port: u16, count: u32) -> Outcome<Vec<String>> {
        let mut workers = Vec::new();
        for worker in 0..WORKERS {
            let (peer, mut client) = (self.clone(), client(port).await?);
            workers.push(tokio::spawn(async move {
                let mut paths = Vec::new();
                for number in (worker..count).step_by(WORKERS as usize) {
                    let answer = client.send("POST", USERS, &user(&format!("u{number}"))).await?;
                    let made = peer.expect(&answer, 201, "POST")?;
                    let id = made["id"].as_str().ok_or("a user without an id")?;
                    paths.push(format!("{USERS}/{id}"));
                }
                Outcome::Ok(paths)
            }));
        }
        let mut paths = Vec::new();
        for worker in workers {
            paths.extend(worker.await??);
        }
        self.check(port, &paths, count).await?;
        Ok(paths)
    }

    /// Looks at one answer of each kind as a client would.
    ///
    /// # Errors
    /// When one is not what it should be.
    pub async fn check(&self, port: u16, paths: &[String], count: u32) -> Outcome {
        let last = paths.last().ok_or("a peer without users")?;
        let user = self.get(port, last).await?;
        let name = user["userName"].as_str().unwrap_or_default();
        let filter = format!("{USERS}?filter=userName%20eq%20%22{name}%22");
        let found = self.get(port, &filter).await?;
        if found["totalResults"] != 1 || found["Resources"][0]["id"] != user["id"] {
            return Err(format!("{}: {filter}: {found}", self.name).into());
        }
        let list = self.get(port, &format!("{USERS}?count=100")).await?;
        let shown = list["Resources"].as_array().map_or(0, Vec::len);
        if list["totalResults"] != count || shown != count.min(100) as usize {
            return Err(format!("{}: {} of {} users", self.name, shown, list["totalResults"]).into());
        }
        for title in ["Clerk", "Chief"] {
            let body = crate::work::change(title);
            let answer = client(port).await?.send("PATCH", last, &body).await?;
            if !(200..300).contains(&answer.status) {
                return Err(format!("{}: PATCH: {}", self.name, answer.status).into());
            }
            let user = self.get(port, last).await?;
            if user["title"] != title {
                return Err(format!("{}: PATCH left title at {}", self.name, user["title"]).into());
            }
        }
        Ok(())
    }

    /// Whether it has what it said that it took.
    ///
    /// # Errors
    /// When it has not.
    pub async fn check_grown(&self, port: u16) -> Outcome {
        let list = self.get(port, &format!("{USERS}?count=1")).await?;
        if list["totalResults"].as_u64().unwrap_or(0) > 0 {
            return Ok(());
        }
        Err(format!("{}: no user is there after the run: {list}", self.name).into())
    }

    /// A GET on a connection of its own: not every server keeps one open after every answer.
    async fn get(&self, port: u16, path: &str) -> Outcome<Value> {
        let answer = client(port).await?.send("GET", path, "").await?;
        self.expect(&answer, 200, path)
    }

    fn expect(&self, answer: &Answer, status: u16, what: &str) -> Outcome<Value> {
        if answer.status == status {
            return Ok(serde_json::from_slice(&answer.body)?);
        }
        let text = String::from_utf8_lossy(&answer.body);
        Err(format!("{}: {what}: {} {text}", self.name, answer.status).into())
    }
}

async fn client(port: u16) -> Outcome<Client> {
    Ok(Client::connect(port, "kwd_none").await?)
}
