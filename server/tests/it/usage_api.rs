//! Usage by API and as files: `GET /api/usage` and `GET /exports/{usage,audit,findings}`.

use std::{collections::BTreeSet, net::SocketAddr};

use axum::body::Body;
use domain::{
    KeyId,
    admins::Role,
    exports::{AUDIT_COLUMNS, FINDING_COLUMNS, USAGE_COLUMNS},
    federations::Slug,
    scopes::{ResourceKind, Scope, Verb},
    usage::filter::PARAMETERS,
};
use http::{Request, header::AUTHORIZATION};
use serde_json::{Value, json};
use server::edge::accept::Peer;
use tower::ServiceExt as _;

use crate::house::{Answer, Browser, House, NOBODY, houses};

/// A user agent that a spreadsheet would run.
const FORMULA: &str = "=HYPERLINK(\"https://evil.test\",\"a, b\")";

/// What was asked: two federations, two keys of the first, and requests that differ in everything.
struct Scene {
    key: KeyId,
    /// Ada, who is gone.
    user: String,
    /// Bob, who is there.
    bob: String,
}

/// One request of a provider.
struct Ask<'a> {
    house: &'a House,
    key: &'a str,
    source: &'a str,
    agent: &'a str,
}

impl Ask<'_> {
    async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/scim/{path}"))
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .header("user-agent", self.agent)
            .header("content-type", "application/scim+json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let mut request = request.body(body).unwrap();
        let peer: SocketAddr = format!("{}:4711", self.source).parse().unwrap();
        request.extensions_mut().insert(Peer(peer));
        Answer::of(self.house.router.clone().oneshot(request).await.unwrap()).await
    }
}

async fn scene(house: &House) -> Scene {
    house.federation("okta").await;
    house.federation("entra").await;
    let (key, full) = house.key("okta", "full", Scope::full_directory()).await;
    let reading = Scope::of([(ResourceKind::Users, Verb::Read)]);
    let (ended, reader) = house.key("okta", "reader", reading).await;
    let (_, entra) = house.key("entra", "entra", Scope::full_directory()).await;
    let full = Ask { house, key: &full, source: "192.0.2.7", agent: "Okta SCIM Client 1.0" };
    let reader = Ask { house, key: &reader, source: "198.51.100.9", agent: "script/2" };
    let entra = Ask { house, key: &entra, source: "203.0.113.5", agent: FORMULA };
    let ada = json!({ "userName": "ada", "displayName": "Ada", "title": "a" });
    let made = full.send("POST", "okta/v2/Users", ada).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let user = made.id();
    let bob = full.send("POST", "okta/v2/Users", json!({ "userName": "bob" })).await.id();
    let (one, another) = (format!("okta/v2/Users/{user}"), format!("okta/v2/Users/{bob}"));
    let missing = format!("okta/v2/Users/{NOBODY}");
    house.clock.advance(60_000);
    let patch = json!({ "Operations": [{ "op": "replace", "path": "title", "value": "b" }] });
    for (ask, method, path, body, status) in [
        (&full, "PATCH", one.as_str(), patch.clone(), 200),
        (&full, "PUT", one.as_str(), json!({ "userName": "ada", "title": "c" }), 200),
        (&full, "GET", one.as_str(), Value::Null, 200),
        (&full, "GET", another.as_str(), Value::Null, 200),
        (&full, "GET", missing.as_str(), Value::Null, 404),
        (&reader, "GET", "okta/v2/Users", Value::Null, 200),
        (&reader, "PATCH", one.as_str(), patch, 403),
        (&reader, "GET", "okta/v2/Schemas", Value::Null, 200),
        (&entra, "POST", "entra/v2/Groups", json!({ "displayName": "all" }), 201),
        (&entra, "GET", "entra/v2/Groups", Value::Null, 200),
    ] {
        let answer = ask.send(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    }
    house.clock.advance(26 * domain::HOUR_MS);
    ops::keys::revoke(&house.admin(), &ended, "over").await.unwrap();
    assert_eq!(reader.send("GET", "okta/v2/Users", Value::Null).await.status, 401);
    assert_eq!(full.send("DELETE", &one, Value::Null).await.status, 204);
    // Many in one moment, so that a page ends within it.
    for _ in 0..12 {
        assert_eq!(full.send("GET", "okta/v2/Groups", Value::Null).await.status, 200);
    }
    Scene { key, user, bob }
}

async fn found(browser: &Browser<'_>, query: &str) -> Vec<Value> {
    let answer = browser.get(&format!("/api/usage{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    assert_eq!(answer.header("content-type"), "application/json", "{query}");
    let body = answer.json();
    assert_eq!(body["next"], Value::Null, "{query}: one page holds it");
    body["records"].as_array().unwrap().clone()
}

/// The rows of a file, each record a line of JSON.
fn lines(answer: &Answer) -> Vec<Value> {
    answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A way to narrow, and what it leaves.
struct Case {
    name: &'static str,
    value: String,
    more: &'static str,
    leaves: Box<dyn Fn(&Value) -> bool>,
}

fn case(name: &'static str, value: impl Into<String>, leaves: impl Fn(&Value) -> bool + 'static) -> Case {
    Case { name, value: value.into(), more: "", leaves: Box::new(leaves) }
}

/// At least one case for every parameter.
fn cases(scene: &Scene, some: &Value) -> Vec<Case> {
    let is = |name: &'static str, value: Value| move |record: &Value| record[name] == value;
    let (key, user, bob) = (scene.key.to_string(), scene.user.clone(), scene.bob.clone());
    let request = some["request_id"].as_str().unwrap().to_owned();
    let time = some["at_ms"].as_i64().unwrap();
    let at = |record: &Value| record["at_ms"].as_i64().unwrap();
    let status = |record: &Value| record["status"].as_i64().unwrap();
    let written = |name: &'static str| {
        move |record: &Value| record["attributes"].as_array().unwrap().iter().any(|one| one == name)
    };
    vec![
        case("federation", "okta", is("federation", "okta".into())),
        case("key", key.clone(), is("key_id", key.into())),
        case("from", time.to_string(), move |record| at(record) >= time),
        case("to", time.to_string(), move |record| at(record) < time),
        case("to", "2026-01-01", move |record| at(record) < 1_767_225_600_000 + domain::DAY_MS),
        case("method", "patch", is("method", "PATCH".into())),
        case("type", "Users", is("type", "Users".into())),
        case("resource", user.clone(), is("resource_id", user.clone().into())),
        Case { more: "&federation=okta", ..case("person", "bob", is("resource_id", bob.into())) },
        case("status", "404", is("status", 404.into())),
        case("status", "4xx", move |record| status(record) / 100 == 4),
        case("decision", "refused", is("decision", "refused".into())),
        case("decision", "denied", is("decision", "denied".into())),
        case("source", "198.51.100.0/24", is("source", "198.51.100.9".into())),
        case("source", "203.0.113.5", is("source", "203.0.113.5".into())),
        case("agent", "okta scim", is("user_agent", "Okta SCIM Client 1.0".into())),
        case("attribute", "TITLE", written("title")),
        case("request", request.clone(), is("request_id", request.into())),
        case("work", "no", is("is_work", false.into())),
    ]
}

#[tokio::test]
async fn every_parameter_leaves_what_it_says_in_the_answer_and_in_the_file() {
    for house in houses().await {
        let scene = scene(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        let all = found(&admin, "?limit=500").await;
        assert!(all.len() > 20, "{}", all.len());
        let ids: Vec<&str> = all.iter().map(|record| record["request_id"].as_str().unwrap()).collect();
        assert!(ids.is_sorted_by(|newer, older| newer > older), "newest first, each once");
        let missing = all.iter().find(|record| record["status"] == 404).unwrap();
        let cases = cases(&scene, missing);
        let walked: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
        let known: BTreeSet<&str> = PARAMETERS.into_iter().collect();
        assert_eq!(walked, known, "every parameter has a case");
        for Case { name, value, more, leaves } in cases {
            let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let query = format!("{name}={value}{more}");
            let told = found(&admin, &format!("?limit=500&{query}")).await;
            let wanted: Vec<Value> = all.iter().filter(|record| leaves(record)).cloned().collect();
            assert_eq!(told, wanted, "{:?} {query}", house.database.engine);
            assert!((1..all.len()).contains(&told.len()), "{query} narrows");
            let file = admin.get(&format!("/exports/usage?format=jsonl&{query}")).await;
            assert_eq!((file.status, lines(&file)), (200, told), "{query}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_cursor_leads_to_the_end_without_a_gap_or_a_repetition() {
    for house in houses().await {
        scene(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        for filter in ["", "&method=GET", "&federation=okta", "&status=2xx&type=Groups", "&from=2026-01-02"] {
            let all = found(&admin, &format!("?limit=500{filter}")).await;
            for limit in [1, 3, 7] {
                let (mut walked, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
                loop {
                    let page = admin.get(&format!("/api/usage?limit={limit}{filter}&cursor={cursor}")).await;
                    assert_eq!(page.status, 200, "{filter}: {}", page.body);
                    let page = page.json();
                    assert_eq!(page["stopped_early"], false, "{filter}");
                    let records = page["records"].as_array().unwrap();
                    assert!(records.len() <= limit, "{filter}");
                    walked.extend(records.clone());
                    pages += 1;
                    match page["next"].as_str() {
                        Some(next) => next.clone_into(&mut cursor),
                        None => break,
                    }
                }
                assert_eq!(walked, all, "{:?} {limit}{filter}", house.database.engine);
                assert!(pages >= all.len().div_ceil(limit), "{pages} pages{filter}");
            }
        }
        house.close().await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    for house in houses().await {
        scene(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        let long = format!("agent={}", "x".repeat(257));
        let of_filter = [
            ("federation=Not+A+Slug", "federation"),
            ("key=x", "key"),
            ("from=yesterday", "from"),
            ("to=2026-02-30", "to"),
            ("from=2026-01-02&to=2026-01-01", "to"),
            ("method=TRACE", "method"),
            ("person=ada", "person"),
            ("status=6xx", "status"),
            ("decision=maybe", "decision"),
            ("source=here", "source"),
            ("request=1", "request"),
            ("work=perhaps", "work"),
            ("nothing=1", "nothing"),
            ("status=404&status=404", "status"),
            ("agent=a%00b", "agent"),
            (long.as_str(), "agent"),
        ];
        let of_answer = [
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("limit=x", "limit"),
            ("limit=-1", "limit"),
            ("cursor=x", "cursor"),
            ("cursor=s.x", "cursor"),
            ("format=csv", "format"),
        ];
        let of_file = [("format=pdf", "format"), ("cursor=s.s", "cursor"), ("limit=5", "limit")];
        let of_audit = [
            ("action=nothing", "action"),
            ("outcome=maybe", "outcome"),
            ("key=x", "key"),
            ("from=x", "from"),
            ("federation=A+B", "federation"),
            ("status=404", "status"),
        ];
        let of_findings = [
            ("rule=nothing", "rule"),
            ("severity=mild", "severity"),
            ("state=none", "state"),
            ("from=2026-01-01", "from"),
        ];
        let with = |path: &'static str, cases: &[(&str, &'static str)]| -> Vec<(String, &'static str)> {
            cases.iter().map(|(query, name)| (format!("{path}?{query}"), *name)).collect()
        };
        let all = [
            with("/api/usage", &of_filter),
            with("/api/usage", &of_answer),
            with("/exports/usage", &of_filter),
            with("/exports/usage", &of_file),
            with("/exports/audit", &of_audit),
            with("/exports/findings", &of_findings),
        ];
        let before = house.log().await;
        for (path, name) in all.concat() {
            let answer = admin.get(&path).await;
            assert_eq!(answer.status, 400, "{path}: {}", answer.body);
            let error = &answer.json()["error"];
            assert_eq!(error["parameter"], name, "{path}");
            assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        }
        assert_eq!(house.log().await, before, "nothing was exported");
        house.close().await;
    }
}

/// Reads a file as RFC 4180 says.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => cell.extend(characters.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => assert_eq!(characters.peek(), Some(&'\n'), "lines end with CRLF"),
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !is_quoted, "the file is whole");
    rows
}

/// How many records each kind has.
async fn counts(browser: &Browser<'_>) -> [(&'static str, &'static [&'static str], usize); 3] {
    let mut found =
        [("usage", USAGE_COLUMNS, 0), ("audit", AUDIT_COLUMNS, 0), ("findings", FINDING_COLUMNS, 0)];
    for (what, _, count) in &mut found {
        let file = browser.get(&format!("/exports/{what}?format=jsonl")).await;
        assert_eq!(file.status, 200, "{what}: {}", file.body);
        *count = lines(&file).len();
        assert!(*count > 0, "{what}");
    }
    found
}

#[tokio::test]
async fn a_spreadsheet_gets_every_record_and_runs_none() {
    for house in houses().await {
        scene(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        for (what, columns, _) in counts(&admin).await {
            // The exports themselves leave audit records: both files are of what was before them.
            let until = if what == "findings" { "" } else { "&to=2026-01-02T02:00" };
            let file = admin.get(&format!("/exports/{what}?format=csv{until}")).await;
            let same = lines(&admin.get(&format!("/exports/{what}?format=jsonl{until}")).await);
            assert_eq!(file.header("content-type"), "text/csv; charset=utf-8; header=present", "{what}");
            let name = format!("attachment; filename=\"keyward-{what}.csv\"");
            assert_eq!(
                (file.header("content-disposition"), file.header("cache-control")),
                (name.as_str(), "no-store")
            );
            let rows = cells(&file.body);
            assert_eq!(rows[0], columns, "{what}");
            assert_eq!(rows.len(), same.len() + 1, "{what}");
            let place = |name: &str| columns.iter().position(|column| *column == name).unwrap();
            for (row, record) in rows[1..].iter().zip(&same) {
                assert_eq!(row.len(), columns.len(), "{what}: {row:?}");
                for cell in row {
                    assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{what}: {cell}");
                }
                if what == "usage" {
                    let id = record["request_id"].as_str().unwrap();
                    assert_eq!(row[place("request_id")], id);
                    let agent = record["user_agent"].as_str().unwrap();
                    let guarded = if agent == FORMULA { format!("'{agent}") } else { agent.to_owned() };
                    assert_eq!(row[place("user_agent")], guarded);
                }
            }
            let guarded = rows.iter().flatten().any(|cell| cell.starts_with("'="));
            assert!(guarded || what != "usage", "the formula is in the file, as a text");
        }
        // The word of the parameter may be left away.
        let bare = admin.get("/exports/usage").await;
        assert!(bare.header("content-type").starts_with("text/csv"));
        house.close().await;
    }
}

/// Whether something is said to be nothing: OCSF leaves it out.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(has_null),
        Value::Object(values) => values.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[tokio::test]
async fn an_ocsf_file_holds_an_event_of_its_class_for_each_record() {
    for house in houses().await {
        scene(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        for (what, _, _) in counts(&admin).await {
            let until = if what == "findings" { "" } else { "&to=2026-01-02T02:00" };
            let file = admin.get(&format!("/exports/{what}?format=ocsf{until}")).await;
            let same = lines(&admin.get(&format!("/exports/{what}?format=jsonl{until}")).await);
            assert_eq!(file.header("content-type"), "application/jsonl; charset=utf-8", "{what}");
            let name = format!("attachment; filename=\"keyward-{what}.ocsf.jsonl\"");
            assert_eq!(file.header("content-disposition"), name);
            let events = lines(&file);
            assert_eq!(events.len(), same.len(), "{what}");
            for (event, record) in events.iter().zip(&same) {
                // OCSF 1.3.0, the base event: these are required, and type_uid is made of two of them.
                let number = |name: &str| {
                    event[name].as_i64().unwrap_or_else(|| panic!("{name} is no number in {event}"))
                };
                let (class, activity) = (number("class_uid"), number("activity_id"));
                let classes: &[i64] = match what {
                    "usage" => &[6003],
                    "audit" => &[3001, 3004],
                    _ => &[2004],
                };
                assert!(classes.contains(&class), "{event}");
                assert_eq!(number("category_uid"), class / 1_000, "{event}");
                assert_eq!(number("type_uid"), class * 100 + activity, "{event}");
                assert!((0..=6).contains(&number("severity_id")), "{event}");
                assert!([0, 1, 2, 3, 4, 5, 6, 99].contains(&number("status_id")), "{event}");
                assert_eq!(event["metadata"]["version"], "1.3.0", "{event}");
                assert!(event["metadata"]["product"]["vendor_name"].is_string(), "{event}");
                assert!(!has_null(event), "{event}");
                let objects: &[&str] = match class {
                    6003 => &["actor", "api", "src_endpoint", "http_request"],
                    3001 => &["actor", "user"],
                    3004 => &["actor", "entity"],
                    _ => &["finding_info"],
                };
                assert!(objects.iter().all(|name| event[name].is_object()), "{event}");
                if what == "usage" {
                    assert_eq!(event["time"], record["at_ms"]);
                    assert_eq!(event["metadata"]["uid"], record["request_id"]);
                    assert_eq!(event["http_response"]["code"], record["status"]);
                }
                if what == "audit" {
                    assert_eq!(event["unmapped"]["seq"], record["seq"]);
                }
            }
        }
        house.close().await;
    }
}

#[tokio::test]
async fn who_may_not_see_a_federation_exports_nothing_of_it() {
    for house in houses().await {
        scene(&house).await;
        let operator = |slug: &str| Role::Operator(vec![Slug::parse(slug).unwrap()]);
        let browsers = [
            house.signed_in(Role::Manager).await,
            house.signed_in(operator("okta")).await,
            house.signed_in(operator("entra")).await,
        ];
        let before = house.log().await.len();
        for what in ["usage", "audit", "findings"] {
            for format in ["csv", "jsonl", "ocsf"] {
                let path = format!("/exports/{what}?format={format}&federation=okta");
                for (browser, status) in browsers.iter().zip([200, 200, 404]) {
                    let answer = browser.get(&path).await;
                    assert_eq!(answer.status, status, "{path}: {}", answer.body);
                }
                assert_eq!(house.stranger().get(&path).await.status, 303, "{path}");
            }
            // Without a name it is what they may see.
            let theirs = browsers[2].get(&format!("/exports/{what}?format=jsonl")).await;
            for record in lines(&theirs) {
                assert_eq!(record["federation"], "entra", "{what}: {record}");
            }
        }
        let theirs = found(&browsers[2], "?limit=500").await;
        assert!(!theirs.is_empty() && theirs.iter().all(|record| record["federation"] == "entra"));
        assert_eq!(browsers[2].get("/api/usage?federation=okta").await.status, 404);
        let exported = |line: &&String| line.starts_with("records.exported");
        let told = house.log().await.split_off(before);
        assert_eq!(told.iter().filter(exported).count(), 2 * (3 * 3 * 2 + 3), "{told:?}");
        house.close().await;
    }
}

#[tokio::test]
async fn each_export_is_on_record_with_what_and_how_many_and_there_is_none_without() {
    for house in houses().await {
        let scene = scene(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        for what in ["usage", "audit", "findings"] {
            let file = admin.get(&format!("/exports/{what}?format=jsonl&federation=okta")).await;
            let filter = ops::audit::AuditFilter {
                action: Some(domain::audit::Action::RecordsExported),
                ..ops::audit::AuditFilter::default()
            };
            let page = ops::audit::list(&house.admin(), &filter, None, 2).await.unwrap();
            let details: Vec<Value> = page
                .records
                .iter()
                .map(|record| serde_json::from_str(&record.event.detail).unwrap())
                .collect();
            let [end, begin] = details.as_slice() else { panic!("{details:?}") };
            assert_eq!(
                (&begin["what"], &begin["format"], &begin["count"]),
                (&what.into(), &"jsonl".into(), &Value::Null)
            );
            assert_eq!(begin["filter"]["federation"], "okta", "{what}");
            assert_eq!(end["count"], lines(&file).len(), "{what}");
            assert_eq!(page.records[0].event.actor.name, "The admin");
        }
        ops::testing::break_audit(&house.keyward).await;
        for path in [
            "/exports/usage".to_owned(),
            "/exports/audit".to_owned(),
            "/exports/findings?format=ocsf".to_owned(),
            format!("/api/usage?resource={}", scene.user),
        ] {
            let answer = admin.get(&path).await;
            assert_eq!(answer.status, 503, "{path}: {}", answer.body);
            assert_eq!(answer.header("content-disposition"), "", "{path}");
            assert!(answer.json()["error"]["message"].is_string(), "{path}");
            assert!(
                !answer.body.contains("req_") && !answer.body.contains("key_"),
                "{path}: {}",
                answer.body
            );
        }
        house.keyward.close().await;
    }
}
