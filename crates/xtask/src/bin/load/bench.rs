//! `bench`: bare handler, authenticated GET, durable POST; in turn, round after round.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::keyward::{Keyward, free_port, user};
use crate::meter::{self, Load, Run, Target, Work};
use crate::report::{self, Figure};
use crate::{Outcome, say};

/// What `cargo xtask bench` hands over.
#[derive(clap::Args)]
pub struct Args {
    /// The binary to measure
    #[arg(long)]
    keyward: PathBuf,
    /// How often each contestant runs
    #[arg(long)]
    rounds: u32,
    /// Seconds of each run
    #[arg(long)]
    seconds: u32,
    /// Open connections
    #[arg(long)]
    connections: u32,
    /// Users in the database
    #[arg(long)]
    users: u32,
    /// The page that the result is appended to
    #[arg(long)]
    write: Option<PathBuf>,
}

/// A contestant of the rounds.
struct Contestant {
    name: &'static str,
    target: Target,
    work: Work,
    runs: Vec<Run>,
}

/// Prepares, warms up, runs the rounds, prints and writes the table.
///
/// # Errors
/// When a contestant does not start, or an answer is not what it should be: a fast error never counts.
pub async fn bench(args: Args) -> Outcome {
    let mut keyward = Keyward::prepare(&args.keyward, "bench").await?;
    keyward.start().await?;
    say(&format!("  {} users are provisioned", args.users));
    let paths = provision(&keyward, args.users).await?;
    let sample = check(&keyward, &paths).await?;

    let body = keyward.folder().join("answer.json");
    std::fs::write(&body, &sample)?;
    let bare = Bare::start(&body).await?;
    let has_wrk = Command::new("wrk").arg("--version").output().is_ok();
    let scratch = has_wrk.then(|| keyward.folder().to_path_buf());
    say(&format!(
        "  load by {}; the answer has {} bytes",
        if has_wrk { "wrk" } else { "connections of our own" },
        sample.len()
    ));

    let ours = |paths: Vec<String>| Target {
        port: keyward.port,
        pid: keyward.pid(),
        bearer: keyward.key.clone(),
        paths,
    };
    let handler = || Target {
        port: bare.port,
        pid: bare.child.id(),
        bearer: keyward.key.clone(),
        paths: vec!["/".into()],
    };
    let users = vec![format!("{}/Users", keyward.base)];
    let mut contestants = [
        Contestant { name: "bare GET", target: handler(), work: Work::Read, runs: Vec::new() },
        Contestant {
            name: "keyward GET by id",
            target: ours(paths.clone()),
            work: Work::Read,
            runs: Vec::new(),
        },
        Contestant { name: "bare POST", target: handler(), work: Work::Create, runs: Vec::new() },
        Contestant { name: "keyward POST", target: ours(users), work: Work::Create, runs: Vec::new() },
    ];
    let load = Load { connections: args.connections, seconds: args.seconds };
    for round in 0..=args.rounds {
        for contestant in &mut contestants {
            let run = meter::run(&contestant.target, contestant.work, load, scratch.as_deref()).await?;
            if run.failures > 0 {
                let log = keyward.log();
                return Err(
                    format!("{}: {} answers were errors\n{log}", contestant.name, run.failures).into()
                );
            }
            // Round 0 is the warm-up.
            if round > 0 {
                contestant.runs.push(run);
            }
        }
        check(&keyward, &paths).await?;
        let rates: Vec<String> = contestants
            .iter()
            .filter_map(|c| Some(format!("{} {:.0}/s", c.name, c.runs.last()?.per_second)))
            .collect();
        say(&format!("  round {round} of {}: {}", args.rounds, rates.join(", ")));
    }

    let [bare_get, get, bare_post, post] = contestants.map(|contestant| contestant.runs);
    let figures = [
        Figure { name: "authenticated GET by id / bare", target: Some(0.70), ours: get, base: bare_get },
        Figure { name: "durable POST / bare", target: None, ours: post, base: bare_post },
    ];
    let table = report::table(&figures);
    say(&format!("\n{table}"));
    if let Some(page) = &args.write {
        let command = format!(
            "cargo xtask bench --rounds {} --seconds {} --connections {} --users {}",
            args.rounds, args.seconds, args.connections, args.users
        );
        report::append(page, &table, &command)?;
        say(&format!("  appended to {}", page.display()));
    }
    Ok(())
}

/// Creates the users and returns the path of each.
async fn provision(keyward: &Keyward, users: u32) -> Outcome<Vec<String>> {
    let mut workers = Vec::new();
    for worker in 0..16 {
        let mut client = keyward.client().await?;
        let base = keyward.base.clone();
        workers.push(tokio::spawn(async move {
            let mut paths = Vec::new();
            for number in (worker..users).step_by(16) {
                let answer =
                    client.send("POST", &format!("{base}/Users"), &user(&format!("u{number}"))).await?;
                if answer.status != 201 {
                    return Err(format!(
                        "POST /Users: {} {}",
                        answer.status,
                        String::from_utf8_lossy(&answer.body)
                    )
                    .into());
                }
                let made: Value = serde_json::from_slice(&answer.body)?;
                paths.push(format!("{base}/Users/{}", made["id"].as_str().ok_or("a user without an id")?));
            }
            Outcome::Ok(paths)
        }));
    }
    let mut paths = Vec::new();
    for worker in workers {
        paths.extend(worker.await??);
    }
    Ok(paths)
}

/// Looks at a sample of answers as a client would, and returns the last body.
async fn check(keyward: &Keyward, paths: &[String]) -> Outcome<Vec<u8>> {
    let mut client = keyward.client().await?;
    let mut last = Vec::new();
    for path in paths.iter().step_by(paths.len() / 10 + 1) {
        let answer = client.send("GET", path, "").await?;
        let user: Value = serde_json::from_slice(&answer.body)?;
        let id = path.rsplit('/').next().unwrap_or_default();
        if answer.status != 200 || user["id"] != id || user["active"] != true {
            return Err(format!("GET {path}: {} {user}", answer.status).into());
        }
        last = answer.body;
    }
    let mut stranger = Client::connect(keyward.port, "").await?;
    let refused = stranger.send("GET", &paths[0], "").await?.status;
    if refused == 401 {
        Ok(last)
    } else {
        Err(format!("a request without a key was answered {refused}").into())
    }
}

/// The bare handler, in a process of its own.
struct Bare {
    child: Child,
    port: u16,
}

impl Bare {
    async fn start(body: &std::path::Path) -> Outcome<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", "--port", &port.to_string(), "--body"]).arg(body);
        let bare = Self { child: command.stdin(Stdio::null()).spawn()?, port };
        for _ in 0..500 {
            if Client::connect(port, "").await.is_ok() {
                return Ok(bare);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("the bare handler did not start".into())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
