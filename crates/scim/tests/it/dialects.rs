//! The recordings in `tests/dialects`, replayed against the directory in memory.
//!
//! The README there says what a recording is. Another replayer, over HTTP, reads the same files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::directory::{Directory, Request};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects")
}

fn recordings() -> Vec<(String, Value)> {
    let mut found: Vec<(String, Value)> = fs::read_dir(folder())
        .expect("the folder of the recordings")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a file");
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let value = serde_json::from_str(&text).unwrap_or_else(|err| panic!("{name}: {err}"));
            (name, value)
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

/// What was captured so far.
type Captured = BTreeMap<String, String>;

/// Puts what was captured in the place of `{{name}}`.
fn fill(text: &str, captured: &Captured) -> String {
    let mut filled = text.to_owned();
    for (name, value) in captured {
        filled = filled.replace(&format!("{{{{{name}}}}}"), value);
    }
    assert!(!filled.contains("{{") || filled == "{{any}}", "'{filled}' names what was not captured");
    filled
}

fn fill_value(value: &Value, captured: &Captured) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text, captured)),
        Value::Array(items) => items.iter().map(|item| fill_value(item, captured)).collect(),
        Value::Object(object) => {
            object.iter().map(|(name, value)| (name.clone(), fill_value(value, captured))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Why `found` is not what is expected; none when it is.
///
/// Objects may have more members; arrays have as many elements, in any order; null is "not there".
fn difference(expected: &Value, found: Option<&Value>, place: &str) -> Option<String> {
    match (expected, found) {
        (Value::Null, None | Some(Value::Null)) => None,
        (Value::String(any), Some(value)) if any == "{{any}}" && !value.is_null() => None,
        (Value::Object(members), Some(Value::Object(found))) => members
            .iter()
            .find_map(|(name, expected)| difference(expected, found.get(name), &format!("{place}/{name}"))),
        (Value::Array(items), Some(Value::Array(found))) => {
            let mut left: Vec<&Value> = found.iter().collect();
            for item in items {
                let Some(index) = left.iter().position(|found| difference(item, Some(found), "").is_none())
                else {
                    return Some(format!("{place}: no {item} in {found:?}"));
                };
                left.swap_remove(index);
            }
            left.first().map(|more| format!("{place}: {more} was not expected"))
        }
        (expected, Some(found)) if expected == found => None,
        (expected, found) => Some(format!("{place}: expected {expected}, found {found:?}")),
    }
}

/// Sends one request and checks its answer.
fn exchange(directory: &mut Directory, exchange: &Value, captured: &mut Captured, place: &str) {
    let asked = &exchange["request"];
    let text = |name: &str| fill(asked[name].as_str().unwrap_or_default(), captured);
    let headers = asked["headers"].as_object().into_iter().flatten();
    let headers =
        headers.map(|(name, value)| (name.clone(), fill(value.as_str().expect("a header"), captured)));
    let request = Request {
        method: text("method"),
        path: text("path"),
        query: text("query"),
        headers: headers.collect(),
        body: asked
            .get("body")
            .map(|body| fill_value(body, captured).to_string().into_bytes())
            .unwrap_or_default(),
    };
    let answer = directory.answer(&request);
    let expect = &exchange["expect"];
    let body = answer.value();
    assert_eq!(Some(u64::from(answer.status)), expect["status"].as_u64(), "{place}: {body}");
    if let Some(expected) = expect.get("body") {
        let difference = difference(&fill_value(expected, captured), Some(&body), "");
        assert_eq!(difference, None, "{place}: {body}");
    }
    if !answer.body.is_empty() {
        let media_type = answer.header("content-type").unwrap_or_default();
        assert!(media_type.starts_with("application/scim+json"), "{place}: {media_type}");
    }
    for (name, pointer) in expect["capture"].as_object().into_iter().flatten() {
        let pointer = pointer.as_str().expect("a pointer");
        let value = body.pointer(pointer).and_then(Value::as_str);
        let value = value.unwrap_or_else(|| panic!("{place}: nothing at {pointer} in {body}"));
        captured.insert(name.clone(), value.to_owned());
    }
}

/// Replays a recording; answers with the words of what was tolerated.
fn replay(name: &str, recording: &Value) -> Value {
    let mut directory = Directory::default();
    let mut captured = Captured::new();
    for (index, recorded) in recording["exchanges"].as_array().expect("exchanges").iter().enumerate() {
        let title = recorded["title"].as_str().unwrap_or_default();
        exchange(&mut directory, recorded, &mut captured, &format!("{name}, exchange {index} ({title})"));
    }
    let tolerated = json!(directory.reading.seen.words());
    for endpoint in ["users", "groups"] {
        let path = if endpoint == "users" { "/Users?count=1000" } else { "/Groups?count=1000" };
        let found = directory.answer(&Request::new("GET", path)).value();
        let expected = fill_value(&recording["directory"][endpoint], &captured);
        let difference = difference(&expected, found.get("Resources"), "");
        assert_eq!(difference, None, "{name}: the {endpoint} afterwards: {found}");
    }
    tolerated
}

#[test]
fn every_recording_leaves_the_expected_directory_and_is_tolerated_as_it_says() {
    let recordings = recordings();
    assert!(recordings.len() >= 19, "{} recordings", recordings.len());
    let tolerated = recordings.iter().map(|(name, recording)| (name, replay(name, recording)));
    let others: BTreeMap<_, _> = recordings
        .iter()
        .zip(tolerated)
        .filter(|((_, recording), (_, found))| recording.get("tolerated") != Some(found))
        .map(|(_, (name, found))| (name, found))
        .collect();
    assert!(others.is_empty(), "other things were tolerated: {}", json!(others));
}

#[test]
fn every_recording_has_the_form_that_the_readme_describes() {
    let keys =
        |value: &Value| value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let check = |value: &Value, allowed: &[&str], place: &str| {
        let keys: BTreeSet<String> = keys(value);
        let unknown: Vec<_> = keys.iter().filter(|key| !allowed.contains(&key.as_str())).collect();
        assert!(unknown.is_empty(), "{place}: {unknown:?}");
    };
    for (name, recording) in recordings() {
        check(
            &recording,
            &["name", "client", "source", "unconfirmed", "exchanges", "directory", "tolerated"],
            &name,
        );
        for text in ["name", "client", "source"] {
            assert!(recording[text].as_str().is_some_and(|text| !text.is_empty()), "{name}: {text}");
        }
        check(&recording["directory"], &["users", "groups"], &name);
        for exchange in recording["exchanges"].as_array().expect("exchanges") {
            check(exchange, &["title", "request", "expect"], &name);
            check(&exchange["request"], &["method", "path", "query", "headers", "body"], &name);
            check(&exchange["expect"], &["status", "body", "capture"], &name);
        }
    }
}

#[test]
fn a_difference_is_a_difference() {
    let check = |expected: Value, found: Value, is_same: bool| {
        assert_eq!(difference(&expected, Some(&found), "").is_none(), is_same, "{expected} {found}");
    };
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    check(json(r#"{"a": 1}"#), json(r#"{"a": 1, "b": 2}"#), true);
    check(json(r#"{"a": null}"#), json(r#"{"b": 2}"#), true);
    check(json(r#"{"a": "{{any}}"}"#), json(r#"{"a": [1]}"#), true);
    check(json("[1, 2]"), json("[2, 1]"), true);
    check(json(r#"{"a": 1}"#), json(r#"{"a": 2}"#), false);
    check(json(r#"{"a": null}"#), json(r#"{"a": 2}"#), false);
    check(json(r#"{"a": "{{any}}"}"#), json("{}"), false);
    check(json("[1]"), json("[1, 2]"), false);
    check(json("[1, 1]"), json("[1]"), false);
}
