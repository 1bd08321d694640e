//! Writers at the same time, against the program itself on each database: whatever they get is what some order of them,
//! one after the other, would have given (T-SCIM-09; RFC 7644 3.14).

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use serde_json::{Value, json};
use store::testing::databases;

use crate::process::{Place, Running, http_client};

const WRITERS: usize = 8;

/// A client of the program with a key for everything.
#[derive(Clone)]
struct Writer {
    http: reqwest::Client,
    base: String,
    key: String,
}

/// Status, ETag and body.
#[derive(Debug)]
struct Told {
    status: u16,
    version: i64,
    body: Value,
}

impl Writer {
    async fn send(&self, method: &str, path: &str, if_match: Option<i64>, body: Value) -> Told {
        let method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key);
        if let Some(version) = if_match {
            request = request.header("if-match", format!("W/\"{version}\""));
        }
        if !body.is_null() {
            request = request.header("content-type", "application/scim+json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let etag = answer.headers().get("etag").map_or("", |value| value.to_str().unwrap()).to_owned();
        let version = etag.trim_start_matches("W/").trim_matches('"').parse().unwrap_or(0);
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        Told { status, version, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }

    async fn patch(&self, path: &str, if_match: Option<i64>, operation: Value) -> Told {
        self.send("PATCH", path, if_match, json!({ "Operations": [operation] })).await
    }

    async fn create(&self, kind: &str, body: Value) -> String {
        let told = self.send("POST", kind, None, body).await;
        assert_eq!(told.status, 201, "{}", told.body);
        told.body["id"].as_str().unwrap().to_owned()
    }
}

async fn started(place: &Place) -> (Running, Writer) {
    let key = place.with_key("okta").await;
    let running = place.start("info").await;
    let writer = Writer { http: http_client(), base: running.url("/scim/okta/v2"), key };
    (running, writer)
}

fn count(told: &[Told], status: u16) -> usize {
    told.iter().filter(|told| told.status == status).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writers_with_one_etag_one_wins_and_no_step_is_lost() {
    for database in databases().await {
        let place = Place::on(database);
        let (running, writer) = started(&place).await;
        let path = format!(
            "/Users/{}",
            writer.create("/Users", json!({ "userName": "counter", "title": "0" })).await
        );
        for round in 1..=10 {
            let changes = (0..WRITERS).map(|number| {
                let title = json!(format!("round {round} writer {number}"));
                writer.patch(&path, Some(round), json!({ "op": "replace", "path": "title", "value": title }))
            });
            let told = join_all(changes).await;
            assert_eq!((count(&told, 200), count(&told, 412)), (1, WRITERS - 1), "round {round}");
            let winner = told.iter().find(|told| told.status == 200).unwrap();
            let now = writer.send("GET", &path, None, Value::Null).await;
            assert_eq!((now.version, &now.body), (round + 1, &winner.body));
        }
        writer.patch(&path, None, json!({ "op": "replace", "path": "title", "value": "0" })).await;
        // Each writer counts up until it has done so five times; who was not the first reads again.
        let counting = (0..WRITERS).map(|_| {
            let (writer, path) = (writer.clone(), path.clone());
            async move {
                let mut done = 0;
                while done < 5 {
                    let seen = writer.send("GET", &path, None, Value::Null).await;
                    let next = seen.body["title"].as_str().unwrap().parse::<u32>().unwrap() + 1;
                    let step = json!({ "op": "replace", "path": "title", "value": next.to_string() });
                    match writer.patch(&path, Some(seen.version), step).await.status {
                        200 => done += 1,
                        412 => {}
                        other => panic!("{other}"),
                    }
                }
            }
        });
        join_all(counting).await;
        let now = writer.send("GET", &path, None, Value::Null).await;
        assert_eq!(now.body["title"], json!((WRITERS * 5).to_string()), "{:?}", place.database.engine);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writers_with_one_user_name_one_wins() {
    for database in databases().await {
        let place = Place::on(database);
        let (running, writer) = started(&place).await;
        let mut others = Vec::new();
        for number in 0..WRITERS {
            others.push(writer.create("/Users", json!({ "userName": format!("other{number}") })).await);
        }
        for round in 0..10 {
            let cased = |number: usize| {
                if number.is_multiple_of(2) { format!("ROUND{round}") } else { format!("round{round}") }
            };
            // Some create it, some take it by PUT, some by PATCH.
            let changes = others.iter().enumerate().map(|(number, id)| {
                let (writer, name) = (writer.clone(), cased(number));
                async move {
                    match number % 4 {
                        0 | 1 => writer.send("POST", "/Users", None, json!({ "userName": name })).await,
                        2 => {
                            writer
                                .send("PUT", &format!("/Users/{id}"), None, json!({ "userName": name }))
                                .await
                        }
                        _ => {
                            let take = json!({ "op": "replace", "path": "userName", "value": name });
                            writer.patch(&format!("/Users/{id}"), None, take).await
                        }
                    }
                }
            });
            let told = join_all(changes).await;
            let won = count(&told, 201) + count(&told, 200);
            assert_eq!(
                (won, count(&told, 409)),
                (1, WRITERS - 1),
                "round {round}, {:?}",
                place.database.engine
            );
            let query = format!("/Users?filter=userName%20eq%20%22round{round}%22");
            let found = writer.send("GET", &query, None, Value::Null).await.body;
            assert_eq!(found["totalResults"], json!(1), "{found}");
        }
        let groups = join_all(
            (0..WRITERS).map(|_| writer.send("POST", "/Groups", None, json!({ "displayName": "Staff" }))),
        )
        .await;
        assert_eq!((count(&groups, 201), count(&groups, 409)), (1, WRITERS - 1));
        running.stop().await;
    }
}

/// What a writer did to the members of a group.
#[derive(Debug, Clone)]
enum Step {
    Add(BTreeSet<usize>),
    Remove(usize),
    Replace(BTreeSet<usize>),
}

impl Step {
    fn of(writer: usize, number: usize) -> Self {
        let pick = |by: usize| (writer * 7 + number * by) % 12;
        match (writer + number) % 5 {
            0 | 1 => Self::Add([pick(3), pick(5)].into()),
            2 | 3 => Self::Remove(pick(5)),
            _ => Self::Replace([pick(2), pick(3), pick(7)].into()),
        }
    }

    fn operation(&self, ids: &[String]) -> Value {
        let values = |set: &BTreeSet<usize>| -> Value {
            set.iter().map(|index| json!({ "value": ids[*index] })).collect()
        };
        match self {
            Self::Add(set) => json!({ "op": "add", "path": "members", "value": values(set) }),
            Self::Remove(index) => {
                json!({ "op": "remove", "path": format!("members[value eq \"{}\"]", ids[*index]) })
            }
            Self::Replace(set) => json!({ "op": "replace", "path": "members", "value": values(set) }),
        }
    }

    /// The members after it.
    fn after(&self, members: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut members = members.clone();
        match self {
            Self::Add(set) => members.extend(set),
            Self::Remove(index) => drop(members.remove(index)),
            Self::Replace(set) => members.clone_from(set),
        }
        members
    }
}

/// The members at each version, if there is an order of the steps that ends with these: at each version one step made
/// the change, and the others of that version changed nothing.
fn serial_order(
    by_version: &BTreeMap<i64, Vec<&Step>>,
    last: i64,
    states: Vec<BTreeSet<usize>>,
    end: &BTreeSet<usize>,
) -> Option<Vec<BTreeSet<usize>>> {
    let version = i64::try_from(states.len()).unwrap();
    let before = states.last().unwrap();
    let changes_nothing = |state: &BTreeSet<usize>| {
        by_version.get(&version).into_iter().flatten().all(|step| step.after(state) == *state)
    };
    if version == 1 && !changes_nothing(before) {
        return None;
    }
    if version == last {
        return (before == end).then_some(states);
    }
    let mut tried = Vec::new();
    for step in by_version.get(&(version + 1)).into_iter().flatten() {
        let after = step.after(before);
        if after == *before || tried.contains(&after) {
            continue;
        }
        let others = by_version[&(version + 1)].iter();
        if others.into_iter().all(|other| other.after(&after) == after) {
            let mut states = states.clone();
            states.push(after.clone());
            if let Some(order) = serial_order(by_version, last, states, end) {
                return Some(order);
            }
        }
        tried.push(after);
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_after_a_race_are_those_of_a_serial_order() {
    for database in databases().await {
        let place = Place::on(database);
        let (running, writer) = started(&place).await;
        let mut ids = Vec::new();
        for number in 0..12 {
            ids.push(writer.create("/Users", json!({ "userName": format!("user{number}") })).await);
        }
        let path = format!("/Groups/{}", writer.create("/Groups", json!({ "displayName": "Staff" })).await);
        let members_of = |body: &Value| -> BTreeSet<usize> {
            let members = body["members"].as_array().into_iter().flatten();
            members.map(|member| ids.iter().position(|id| member["value"] == json!(id)).unwrap()).collect()
        };
        let writers = (0..WRITERS).map(|number| {
            let (writer, path, ids) = (writer.clone(), path.clone(), ids.clone());
            async move {
                let mut done = Vec::new();
                for step in (0..25).map(|step| Step::of(number, step)) {
                    let told = writer.patch(&path, None, step.operation(&ids)).await;
                    assert_eq!(told.status, 200, "{step:?}: {}", told.body);
                    done.push((told, step));
                }
                done
            }
        });
        let mut all: Vec<(Told, Step)> = join_all(writers).await.into_iter().flatten().collect();
        // A change counts the version up; what changes nothing shows the version that it found.
        all.sort_by_key(|(told, _)| told.version);
        let mut by_version: BTreeMap<i64, Vec<&Step>> = BTreeMap::new();
        for (told, step) in &all {
            by_version.entry(told.version).or_default().push(step);
        }
        let now = writer.send("GET", &path, None, Value::Null).await;
        let last = now.version;
        let states = serial_order(&by_version, last, vec![BTreeSet::new()], &members_of(&now.body));
        let states = states
            .unwrap_or_else(|| panic!("no order of {by_version:?} ends with {:?}", members_of(&now.body)));
        // The members in an answer may be newer than its version, never older.
        for (told, step) in &all {
            let since = usize::try_from(told.version - 1).unwrap();
            assert!(states[since..].contains(&members_of(&told.body)), "version {}, {step:?}", told.version);
        }
        running.stop().await;
    }
}
