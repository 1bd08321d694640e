//! The process dies in the middle of the work: nothing that was acknowledged is lost (T-DUR-01).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use domain::{
    admins::Role,
    audit::{Action, Outcome},
};
use ops::audit::AuditFilter;
use serde_json::{Value, json};
use store::{Engine, testing::databases};
use tokio::sync::watch;

use crate::process::{Place, Running, http_client};

const CONNECTIONS: usize = 4;

/// What the client was told about a user.
#[derive(Debug, Clone, Default)]
struct Entry {
    version: i64,
    is_deleted: bool,
    /// A deletion was asked for and not answered.
    is_in_doubt: bool,
}

/// What was acknowledged, kept outside of the process that dies.
type Ledger = Arc<Mutex<BTreeMap<String, Entry>>>;

fn version_of(user: &Value) -> i64 {
    let etag = user["meta"]["version"].as_str().unwrap();
    etag.trim_start_matches("W/").trim_matches('"').parse().unwrap()
}

/// Pushes users over one connection until it breaks.
async fn push(url: String, key: String, name: String, ledger: Ledger, counted: watch::Sender<usize>) {
    let client = http_client();
    let note = |id: &str, change: &dyn Fn(&mut Entry)| {
        change(ledger.lock().unwrap().entry(id.to_owned()).or_default());
    };
    let count = || counted.send_modify(|count| *count += 1);
    for number in 0.. {
        let body = json!({ "userName": format!("{name}-{number}"), "active": true });
        let Ok(answer) = client.post(&url).bearer_auth(&key).body(body.to_string()).send().await else {
            return;
        };
        assert_eq!(answer.status(), 201);
        let Ok(user) = answer.bytes().await else { return };
        let user: Value = serde_json::from_slice(&user).unwrap();
        let id = user["id"].as_str().unwrap().to_owned();
        note(&id, &|entry| entry.version = 1);
        count();
        for title in ["Lead", "Head"] {
            let operations = json!({ "Operations": [{ "op": "replace", "path": "title", "value": title }] });
            let request = client.patch(format!("{url}/{id}")).bearer_auth(&key).body(operations.to_string());
            let Ok(answer) = request.send().await else { return };
            assert_eq!(answer.status(), 200);
            let Ok(user) = answer.bytes().await else { return };
            let version = version_of(&serde_json::from_slice(&user).unwrap());
            note(&id, &|entry| entry.version = version);
            count();
        }
        if number % 3 == 2 {
            note(&id, &|entry| entry.is_in_doubt = true);
            let Ok(answer) = client.delete(format!("{url}/{id}")).bearer_auth(&key).send().await else {
                return;
            };
            assert_eq!(answer.status(), 204);
            note(&id, &|entry| entry.is_deleted = true);
            count();
        }
    }
}

/// Every user that is there, by its id, with its version.
async fn users(running: &Running, key: &str) -> BTreeMap<String, i64> {
    let client = http_client();
    let mut found = BTreeMap::new();
    loop {
        let url = running.url(&format!("/scim/okta/v2/Users?startIndex={}&count=1000", found.len() + 1));
        let answer = client.get(url).bearer_auth(key).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let page: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let Some(resources) = page.get("Resources").and_then(Value::as_array) else { break };
        if resources.is_empty() {
            break;
        }
        let total = usize::try_from(page["totalResults"].as_u64().unwrap()).unwrap();
        found
            .extend(resources.iter().map(|user| (user["id"].as_str().unwrap().to_owned(), version_of(user))));
        if found.len() >= total {
            break;
        }
    }
    found
}

/// Invariant I1: every acknowledged write is readable with the acknowledged version or a later one.
fn assert_nothing_lost(ledger: &Ledger, users: &BTreeMap<String, i64>, what: &str) {
    for (id, entry) in ledger.lock().unwrap().iter() {
        match users.get(id) {
            Some(version) => {
                assert!(!entry.is_deleted, "{what}: {id} was deleted and is back");
                assert!(*version >= entry.version, "{what}: {id} has version {version}, {entry:?}");
            }
            None => assert!(entry.is_deleted || entry.is_in_doubt, "{what}: {id} is lost, {entry:?}"),
        }
    }
}

/// Invariant I2: no row without its records, no record without its row.
async fn assert_rows_and_records_agree(place: &Place, users: &BTreeMap<String, i64>) {
    let keyward = place.open().await;
    let admin = ops::testing::cx(&keyward, Role::Admin);
    let (mut created, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    let mut updates = BTreeMap::<String, i64>::new();
    let mut before = None;
    loop {
        let page = ops::audit::list(&admin, &AuditFilter::default(), before, 200).await.unwrap();
        for event in page.records.into_iter().map(|record| record.event) {
            let detail: Value = serde_json::from_str(&event.detail).unwrap();
            let id = detail["id"].as_str().unwrap_or_default().to_owned();
            if event.outcome != Outcome::Done {
                continue;
            }
            if event.action == Action::UserCreated {
                assert!(created.insert(id), "created twice");
            } else if event.action == Action::UserDeleted {
                assert!(deleted.insert(id), "deleted twice");
            } else if event.action == Action::UserUpdated {
                *updates.entry(id).or_default() += 1;
            }
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    for (id, version) in users {
        assert!(created.contains(id) && !deleted.contains(id), "{id} is there without its record");
        assert_eq!(*version, 1 + updates.get(id).copied().unwrap_or_default(), "the changes of {id}");
    }
    for id in &created {
        assert!(users.contains_key(id) || deleted.contains(id), "{id} is on record and is not there");
    }
    keyward.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_minus_nine_loses_no_acknowledged_write() {
    for database in databases().await {
        let rounds = match database.engine {
            Engine::Sqlite => 20,
            Engine::Postgres => 5,
        };
        let place = Place::on(database);
        let key = place.with_key("okta").await;
        let ledger = Ledger::default();
        for round in 0..rounds {
            let what = format!("{:?}, round {round}", place.database.engine);
            let running = place.start("info").await;
            let there = users(&running, &key).await;
            assert_nothing_lost(&ledger, &there, &what);
            let (counted, mut count) = watch::channel(0);
            let pushers: Vec<_> = (0..CONNECTIONS)
                .map(|number| {
                    let name = format!("r{round}-c{number}");
                    let url = running.url("/scim/okta/v2/Users");
                    tokio::spawn(push(url, key.clone(), name, Arc::clone(&ledger), counted.clone()))
                })
                .collect();
            // A moment that is another one in each round, with writes under way on every connection.
            let moment = 3 + round * 11 % 37;
            count.wait_for(|count| *count >= moment).await.unwrap();
            running.kill().await;
            for pusher in pushers {
                pusher.await.unwrap();
            }
        }
        let running = place.start("info").await;
        let there = users(&running, &key).await;
        assert_nothing_lost(&ledger, &there, "at the end");
        assert!(ledger.lock().unwrap().len() >= rounds, "there was something to lose");
        running.stop().await;

        let verified = place.run(&["audit", "verify"]).await;
        let told = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
        assert!(told.starts_with("The chain is whole: "), "{told}");
        assert_rows_and_records_agree(&place, &there).await;
    }
}
