//! A hundred thousand requests that began as good ones (T-FUZ-02, T-DOS-03).
//!
//! Eight connections send what a provider sends, with something wrong about it: see `mutate`. Whatever it is, it is
//! answered, and not with a failure of ours; what is refused is refused in SCIM JSON, with the keyword where the
//! standard has one, and changes nothing. Afterwards the directory and the audit chain are whole and the process is
//! as large as before. The seed is in every failure, so that it comes again.

mod mutate;
mod seeds;
mod wire;

use std::time::Duration;

use serde_json::{Value, json};
use store::{Engine, testing::databases};
use tokio::time::{Instant, timeout};

use self::{
    mutate::{Expected, Mutated, mutate},
    seeds::{Chance, Own, Seed},
    wire::{Reply, Wire},
};
use crate::process::{Place, Running, http_client};

const SEED: u64 = 7_643;
const WORKERS: u64 = 8;
/// No answer takes so long on a machine that works.
const PATIENCE: Duration = Duration::from_mins(1);
/// What one in a hundred may take here, beside other tests in a build without optimisation. The target of a release
/// build alone on its machine is 20 ms.
const P99: Duration = Duration::from_secs(1);
/// How much the process may grow while a hundred thousand requests go through it.
const GROWTH_KIB: u64 = 96 * 1024;

/// What one worker saw.
#[derive(Default)]
struct Seen {
    wrong: Vec<String>,
    took: Vec<(Duration, &'static str)>,
    statuses: std::collections::BTreeMap<u16, u64>,
}

#[expect(clippy::print_stderr, reason = "the figures of a run stand beside its failure")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_mutated_requests_are_answered_and_leave_the_directory_whole() {
    let databases = databases().await;
    let is_alone = databases.len() == 1;
    for database in databases {
        // Most of what is tried here is decided before a database is asked.
        let each = match database.engine {
            Engine::Sqlite if is_alone => 12_500,
            Engine::Sqlite => 10_000,
            Engine::Postgres => 2_500,
        };
        let engine = database.engine;
        let place = Place::on(database);
        let key = place.with_key("okta").await;
        place.tolerating("okta", "a4.answer").await;
        let running = place.start_unbraked().await;
        let mut workers = Vec::new();
        for worker in 0..WORKERS {
            let own = seeds::own(&running.url("/scim/okta/v2"), &key, worker).await;
            workers.push((worker, own));
        }
        let before = resident_kib(&running);
        let handles: Vec<_> = workers
            .into_iter()
            .map(|(worker, own)| tokio::spawn(work(running.address, key.clone(), worker, own, each)))
            .collect();
        let mut all = Seen::default();
        for handle in handles {
            let seen = handle.await.unwrap();
            all.wrong.extend(seen.wrong);
            all.took.extend(seen.took);
            for (status, count) in seen.statuses {
                *all.statuses.entry(status).or_default() += count;
            }
        }
        all.took.sort_unstable();
        let after = resident_kib(&running);
        let (slowest, kind) = *all.took.last().unwrap();
        let p99 = all.took[all.took.len() * 99 / 100].0;
        eprintln!(
            "{engine:?}: {} requests, statuses {:?}, p99 {p99:?}, slowest {slowest:?} ({kind}), {before} KiB before, {after} KiB after",
            all.took.len(),
            all.statuses
        );
        assert!(
            all.wrong.is_empty(),
            "seed {SEED}, {engine:?}: {} wrong\n{}",
            all.wrong.len(),
            all.wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
        );
        assert!(all.statuses.contains_key(&200) && all.statuses.contains_key(&400), "{:?}", all.statuses);
        assert!(!all.statuses.contains_key(&429), "a brake took requests away: {:?}", all.statuses);
        assert!(p99 < P99, "seed {SEED}, {engine:?}: one in a hundred took {p99:?}");
        assert!(after < before + GROWTH_KIB, "seed {SEED}, {engine:?}: {before} KiB grew to {after} KiB");
        assert_directory_is_whole(&running, &key).await;
        running.stop().await;
        let verified = place.run(&["audit", "verify"]).await;
        assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

#[expect(clippy::disallowed_methods, reason = "the time until the answer is one of the claims")]
async fn work(address: std::net::SocketAddr, key: String, worker: u64, own: Own, count: u32) -> Seen {
    let mut chance = Chance::new(SEED * 1_000 + worker);
    let mut seen = Seen::default();
    let mut wire = Wire::new(address);
    for number in 0..count {
        let seed = seeds::seed(&mut chance, &own, &key, worker, number);
        let mutated = mutate(&mut chance, seed);
        // Nobody else changes the worker's user: now and then it is looked at before and after.
        let before = if number % 32 == 0 { Some(own_user(&mut wire, &key, &own).await) } else { None };
        let started = Instant::now();
        let reply = timeout(PATIENCE, wire.send(&mutated.bytes, mutated.is_head)).await;
        seen.took.push((started.elapsed(), mutated.kind));
        let fault = match &reply {
            Err(_) => Some("no answer".to_owned()),
            Ok(Err(error)) => Some(error.to_string()),
            Ok(Ok(reply)) => {
                *seen.statuses.entry(reply.status).or_default() += 1;
                fault(reply, &mutated)
            }
        };
        let mut faults: Vec<String> = fault.into_iter().collect();
        if !faults.is_empty() {
            wire.close();
        }
        if let (Some(before), Ok(Ok(reply))) = (before, &reply)
            && reply.status >= 400
        {
            let after = own_user(&mut wire, &key, &own).await;
            if after != before {
                faults.push(format!("refused with {}, and {before} became {after}", reply.status));
            }
        }
        for fault in faults {
            if seen.wrong.len() < 10 {
                let kind = mutated.kind;
                seen.wrong
                    .push(format!("worker {worker}, request {number}, {kind}: {fault}\n{}", mutated.shown()));
            }
        }
    }
    seen
}

/// The worker's user, or null when it has deleted it.
async fn own_user(wire: &mut Wire, key: &str, own: &Own) -> Value {
    let seed = Seed::get(format!("/scim/okta/v2/Users/{}", own.user), key);
    let reply = wire.send(&seed.bytes(), false).await.unwrap();
    if reply.status == 404 { Value::Null } else { reply.json().unwrap() }
}

/// What is wrong with an answer.
fn fault(reply: &Reply, mutated: &Mutated) -> Option<String> {
    let said = || format!("{} {:.300}", reply.status, String::from_utf8_lossy(&reply.body));
    if reply.status >= 500 && !(reply.status == 501 && mutated.may_be_unknown()) {
        return Some(format!("a failure of ours: {}", said()));
    }
    let mut keyword = None;
    if reply.status >= 400 && !mutated.is_head {
        if mutated.is_no_http && reply.body.is_empty() {
            return None;
        }
        let Some(body) = reply.json() else { return Some(format!("no JSON: {}", said())) };
        let is_error = body["schemas"] == json!(["urn:ietf:params:scim:api:messages:2.0:Error"]);
        if !is_error || body["status"] != json!(reply.status.to_string()) || !body["detail"].is_string() {
            return Some(format!("no SCIM error: {}", said()));
        }
        if !reply.header("content-type").starts_with("application/scim+json") {
            return Some(format!("another media type: {}", reply.header("content-type")));
        }
        keyword = body["scimType"].as_str().map(str::to_owned);
    }
    match mutated.expected {
        Expected::Anything => None,
        Expected::Refused => (reply.status < 400).then(|| format!("not refused: {}", said())),
        Expected::Keyword(expected) => (reply.status != 400 || keyword.as_deref() != Some(expected))
            .then(|| format!("not 400 {expected}: {}", said())),
    }
}

/// Everybody can be read, every name is there once, and both sides of a membership say the same.
async fn assert_directory_is_whole(running: &Running, key: &str) {
    let http = http_client();
    let list = async |kind: &str| -> Vec<Value> {
        let mut found = Vec::new();
        loop {
            let url = running.url(&format!("/scim/okta/v2/{kind}?count=1000&startIndex={}", found.len() + 1));
            let answer = http.get(url).bearer_auth(key).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let page: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            let resources = page["Resources"].as_array().cloned().unwrap_or_default();
            let total = usize::try_from(page["totalResults"].as_u64().unwrap()).unwrap();
            found.extend(resources);
            if found.len() >= total {
                return found;
            }
        }
    };
    let (users, groups) = (list("Users").await, list("Groups").await);
    let id = |resource: &Value| resource["id"].as_str().unwrap().to_owned();
    let mut names: Vec<String> =
        users.iter().map(|user| scim::fold_case(user["userName"].as_str().unwrap())).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "a name is there twice");
    let mut by_groups = Vec::new();
    for group in &groups {
        for member in group["members"].as_array().into_iter().flatten() {
            let value = member["value"].as_str().unwrap().to_owned();
            let is_there = users.iter().chain(&groups).any(|resource| resource["id"] == member["value"]);
            assert!(is_there, "{} has a member that is nobody: {value}", id(group));
            if users.iter().any(|user| user["id"] == member["value"]) {
                by_groups.push((id(group), value));
            }
        }
    }
    let mut by_users = Vec::new();
    for user in &users {
        for group in
            user["groups"].as_array().into_iter().flatten().filter(|group| group["type"] != "indirect")
        {
            by_users.push((group["value"].as_str().unwrap().to_owned(), id(user)));
        }
    }
    by_groups.sort();
    by_users.sort();
    assert_eq!(by_groups, by_users, "both sides of a membership");
}

/// How much memory the process has, in KiB.
fn resident_kib(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
