//! The recordings of `crates/scim/tests/dialects`, replayed over HTTP on each database.
//!
//! Each recording gets a federation of its own, so that they also say that nothing of one is seen by another. The form
//! of a recording, and when an answer fits, are in the README beside them.

use std::{collections::BTreeMap, fs, path::PathBuf};

use axum::body::Body;
use serde_json::Value;

use crate::house::{Answer, Client, houses};

fn recordings() -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/scim/tests/dialects");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let recording =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), recording)
    };
    files.into_iter().map(read).collect()
}

#[tokio::test]
async fn every_dialect_gets_what_it_expects_over_http() {
    let recordings = recordings();
    assert!(recordings.len() >= 15, "only {} recordings", recordings.len());
    let mut wrong = Vec::new();
    for house in houses().await {
        for (name, recording) in &recordings {
            let client = house.client(name).await;
            let faults = replay(&client, recording).await;
            let engine = house.database.engine;
            wrong.extend(faults.into_iter().map(|fault| format!("{engine:?}, {name}: {fault}")));
        }
        house.close().await;
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

async fn replay(client: &Client<'_>, recording: &Value) -> Vec<String> {
    let mut captured = BTreeMap::new();
    let mut faults = Vec::new();
    for exchange in recording["exchanges"].as_array().unwrap() {
        client.house.clock.advance(1);
        let title = exchange["title"].as_str().unwrap();
        let (request, expect) = (&exchange["request"], &exchange["expect"]);
        let answer = send(client, request, &captured).await;
        if expect["status"] != answer.status {
            faults.push(format!(
                "{title}: {} instead of {}: {:.300}",
                answer.status, expect["status"], answer.body
            ));
            // What follows depends on it.
            return faults;
        }
        let body = if answer.body.is_empty() {
            Value::Null
        } else {
            let media_type = answer.header("content-type");
            if !media_type.starts_with("application/scim+json") {
                faults.push(format!("{title}: {media_type}"));
            }
            answer.json()
        };
        if let Some(expected) = expect.get("body")
            && let Err(fault) = fits(&filled(expected, &captured), &body, "")
        {
            faults.push(format!("{title}: {fault} in {body}"));
        }
        for (name, pointer) in expect["capture"].as_object().into_iter().flatten() {
            let value = body.pointer(pointer.as_str().unwrap()).and_then(Value::as_str).map(str::to_owned);
            let Some(value) = value else {
                faults.push(format!("{title}: nothing at {pointer} in {body}"));
                return faults;
            };
            captured.insert(name.clone(), value);
        }
    }
    for (kind, expected) in
        [("Users", &recording["directory"]["users"]), ("Groups", &recording["directory"]["groups"])]
    {
        let list = client.get(&format!("/{kind}?count=1000")).await.json();
        let found = list.get("Resources").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
        if let Err(fault) = fits(&filled(expected, &captured), &found, "") {
            faults.push(format!("the {kind} afterwards: {fault} in {found}"));
        }
    }
    faults
}

async fn send(client: &Client<'_>, request: &Value, captured: &BTreeMap<String, String>) -> Answer {
    let text = |value: &Value| fill(value.as_str().unwrap_or_default(), captured);
    let mut path = text(&request["path"]);
    if let Some(query) = request.get("query") {
        path = format!("{path}?{}", text(query));
    }
    let headers: Vec<(String, String)> = request["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.to_lowercase(), text(value)))
        .collect();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body =
        request.get("body").map_or_else(Body::empty, |body| Body::from(filled(body, captured).to_string()));
    client.send(request["method"].as_str().unwrap(), &path, &headers, body).await
}

/// A text with what was captured in the place of `{{name}}`.
fn fill(text: &str, captured: &BTreeMap<String, String>) -> String {
    captured
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

/// A value with what was captured in each of its texts.
fn filled(value: &Value, captured: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::from(fill(text, captured)),
        Value::Array(items) => items.iter().map(|item| filled(item, captured)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (fill(name, captured), filled(value, captured))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Whether an answer has all that is expected of it.
fn fits(expected: &Value, found: &Value, at: &str) -> Result<(), String> {
    match (expected, found) {
        (Value::String(any), found) if any == "{{any}}" && !found.is_null() => Ok(()),
        (Value::Object(members), Value::Object(_)) => members.iter().try_for_each(|(name, expected)| {
            fits(expected, found.get(name).unwrap_or(&Value::Null), &format!("{at}/{name}"))
        }),
        (Value::Array(expected), Value::Array(found)) => {
            if expected.len() != found.len() {
                return Err(format!("{at}: {} elements instead of {}", found.len(), expected.len()));
            }
            if pairs(expected, &mut found.iter().collect::<Vec<_>>()) {
                Ok(())
            } else {
                Err(format!("{at}: not the elements {}", Value::Array(expected.clone())))
            }
        }
        // An empty list and none are one (RFC 7643 2.5).
        (Value::Array(expected), Value::Null) if expected.is_empty() => Ok(()),
        (expected, found) if expected == found => Ok(()),
        (expected, found) => Err(format!("{at}: {found} instead of {expected}")),
    }
}

/// Whether each expected element has an element of its own.
fn pairs(expected: &[Value], found: &mut Vec<&Value>) -> bool {
    let Some((first, rest)) = expected.split_first() else { return true };
    (0..found.len()).any(|index| {
        if fits(first, found[index], "").is_err() {
            return false;
        }
        let taken = found.remove(index);
        let is_whole = pairs(rest, found);
        found.insert(index, taken);
        is_whole
    })
}
