//! `chaos`: signal 9 at random moments while users are provisioned; nothing that was answered may be missing.
//!
//! The clients keep a ledger of what was acknowledged. What was sent but not answered may be there or not; what was
//! answered must be there, with the values that were answered.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::keyward::{Keyward, user};
use crate::{Outcome, say};

/// What `cargo xtask chaos` hands over.
#[derive(clap::Args)]
pub struct Args {
    /// The binary to kill
    #[arg(long)]
    keyward: PathBuf,
    /// How often
    #[arg(long)]
    kills: u32,
    /// The seed of the moments
    #[arg(long)]
    seed: Option<u64>,
}

/// What is known of a user whose creation was acknowledged.
#[derive(Clone)]
struct Known {
    user_name: String,
    /// `None` while a change is on its way that was never answered.
    active: Option<bool>,
    exists: Option<bool>,
}

type Ledger = Arc<Mutex<BTreeMap<String, Known>>>;

const CONNECTIONS: u32 = 8;

/// Kills, restarts, checks; at the end checks everything and the audit chain.
///
/// # Errors
/// When an acknowledged write is missing or wrong, or the chain is broken.
pub async fn chaos(args: Args) -> Outcome {
    let seed = args.seed.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
    say(&format!("  {} kills with --seed {seed}", args.kills));
    let mut chance = Chance(seed | 1);
    let mut keyward = Keyward::prepare(&args.keyward, "chaos").await?;
    let ledger = Ledger::default();
    keyward.start().await?;
    for kill in 1..=args.kills {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|worker| {
                let (base, key, port) = (keyward.base.clone(), keyward.key.clone(), keyward.port);
                tokio::spawn(work(port, key, base, format!("k{kill}w{worker}"), Arc::clone(&ledger)))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(20 + chance.below(600))).await;
        keyward.kill();
        for worker in workers {
            worker.await?;
        }
        keyward.start().await?;
        // All of this round, and of the rounds before every tenth time: what is old and whole stays so.
        let checked = check(&keyward, &ledger, (kill % 10 != 0).then_some(kill)).await?;
        if kill % 10 == 0 {
            say(&format!("  {kill} kills: {checked} acknowledged users are as they were acknowledged"));
        }
    }
    let checked = check(&keyward, &ledger, None).await?;
    keyward.kill();
    let verdict = keyward.audit_verify()?;
    say(&format!("  {} kills, {checked} acknowledged users: none is missing or wrong", args.kills));
    say(&format!("  keyward audit verify: {}", verdict.trim()));
    Ok(())
}

/// Creates, changes and deletes users until the connection breaks.
async fn work(port: u16, key: String, base: String, name: String, ledger: Ledger) {
    let Ok(mut client) = crate::client::Client::connect(port, &key).await else { return };
    for number in 0.. {
        let user_name = format!("{name}n{number}");
        let created = client.send("POST", &format!("{base}/Users"), &user(&user_name)).await;
        let Some(id) =
            created.ok().filter(|answer| answer.status == 201).and_then(|answer| id_of(&answer.body))
        else {
            return;
        };
        let path = format!("{base}/Users/{id}");
        let note = |active, exists| {
            let known = Known { user_name: format!("{user_name}@example.com"), active, exists };
            ledger.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), known);
        };
        note(Some(true), Some(true));
        if number % 3 == 1 {
            note(None, Some(true));
            if !client
                .send("PATCH", &path, DEACTIVATE)
                .await
                .is_ok_and(|answer| (200..300).contains(&answer.status))
            {
                return;
            }
            note(Some(false), Some(true));
        }
        if number % 5 == 4 {
            note(None, None);
            if !client.send("DELETE", &path, "").await.is_ok_and(|answer| answer.status == 204) {
                return;
            }
            note(None, Some(false));
        }
    }
}

const DEACTIVATE: &str = "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\
                          \"Operations\":[{\"op\":\"replace\",\"path\":\"active\",\"value\":false}]}";

/// Compares the server with the ledger; with a round, only the users of that round.
async fn check(keyward: &Keyward, ledger: &Ledger, round: Option<u32>) -> Outcome<usize> {
    let known = ledger.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut client = keyward.client().await?;
    let prefix = round.map_or_else(String::new, |round| format!("k{round}w"));
    let mut checked = 0;
    for (id, known) in known.iter().filter(|(_, known)| known.user_name.starts_with(&prefix)) {
        let answer = client.send("GET", &format!("{}/Users/{id}", keyward.base), "").await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let there = answer.status == 200;
        let right = match known.exists {
            Some(false) => answer.status == 404,
            Some(true) => there && body["userName"] == known.user_name && is_as_known(&body, known),
            None => answer.status == 404 || (there && body["userName"] == known.user_name),
        };
        if !right {
            let expected = format!("exists {:?}, active {:?}", known.exists, known.active);
            return Err(format!(
                "{} ({id}): acknowledged {expected}, found {} {body}",
                known.user_name, answer.status
            )
            .into());
        }
        checked += 1;
    }
    Ok(checked)
}

fn is_as_known(body: &Value, known: &Known) -> bool {
    known.active.is_none_or(|active| body["active"] == active)
}

fn id_of(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Value>(body).ok()?["id"].as_str().map(str::to_owned)
}

/// xorshift64: enough for moments, and repeatable.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
