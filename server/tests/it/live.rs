//! The live stream of usage records over HTTP: `GET /live/usage`, on one node and between two.

mod nodes;

use axum::body::Body;
use domain::{admins::Role, federations::Slug, scopes::Scope};
use futures::future::join_all;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use server::edge::accept::Peer;
use tower::ServiceExt as _;

use crate::house::{Answer, Browser, Client, House, house, houses};

/// What a stream says at a time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    /// Empty for a record.
    pub name: String,
    pub data: String,
}

impl Event {
    /// Reads one event as browsers do (HTML, 9.2.6).
    fn read(text: &str) -> Self {
        let mut event = Self::default();
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("id", value)) => value.clone_into(&mut event.id),
                Some(("event", value)) => value.clone_into(&mut event.name),
                Some(("data", value)) => value.clone_into(&mut event.data),
                Some(("retry", _)) => {}
                _ => panic!("{line:?} is no line of a stream"),
            }
        }
        event
    }

    pub fn record(&self) -> Value {
        assert_eq!(self.name, "", "{self:?} is no record");
        serde_json::from_str(&self.data).unwrap()
    }
}

/// Cuts the first event off a text, when it is there whole.
pub fn next_of(text: &mut String) -> Option<Event> {
    let (event, rest) = text.split_once("\n\n")?;
    let (event, rest) = (event.to_owned(), rest.to_owned());
    *text = rest;
    // The first part says only how long to wait before coming back.
    if event.starts_with("retry: ") && !event.contains('\n') {
        return next_of(text);
    }
    Some(Event::read(&event))
}

/// Somebody who watches, in this process.
struct Watcher {
    body: Body,
    text: String,
}

impl Watcher {
    async fn ask(browser: &Browser<'_>, query: &str, headers: &[(&str, &str)]) -> http::Response<Body> {
        let mut request = Request::get(format!("/live/usage{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &browser.cookie {
            request = request.header("cookie", cookie);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer("192.0.2.7:4711".parse().unwrap()));
        browser.house.router.clone().oneshot(request).await.unwrap()
    }

    async fn open(browser: &Browser<'_>, query: &str, headers: &[(&str, &str)]) -> Self {
        let answer = Self::ask(browser, query, headers).await;
        let head = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(answer.status(), 200);
        assert_eq!(head("content-type").as_deref(), Some("text/event-stream"));
        assert_eq!(head("cache-control").as_deref(), Some("no-store"));
        let mut watcher = Self { body: answer.into_body(), text: String::new() };
        let first = watcher.next().await.unwrap();
        assert_eq!(first.name, "beat", "it says at once that it is there: {first:?}");
        watcher
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = next_of(&mut self.text) {
                return Some(event);
            }
            let frame = self.body.frame().await?.unwrap();
            self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    /// The next event that is no beat.
    async fn told(&mut self) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.name != "beat" {
                return event;
            }
        }
    }

    /// The ids of requests that come next.
    async fn requests(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.told().await.record()["request_id"].as_str().unwrap().to_owned());
        }
        ids
    }
}

fn id_of(answer: &Answer) -> String {
    answer.header("x-request-id").to_owned()
}

async fn operator<'a>(house: &'a House, slug: &str) -> Browser<'a> {
    house.signed_in(Role::Operator(vec![Slug::parse(slug).unwrap()])).await
}

/// A client of another federation.
async fn second<'a>(house: &'a House, slug: &str) -> Client<'a> {
    house.federation(slug).await;
    let (_, key) = house.key(slug, "second", Scope::full_directory()).await;
    Client { house, base: format!("/scim/{slug}/v2"), key }
}

#[tokio::test]
async fn a_request_is_in_the_stream_before_the_next_beat_as_the_search_has_it() {
    for house in houses().await {
        let client = house.client("okta").await;
        let admin = house.signed_in(Role::Admin).await;
        let mut watcher = Watcher::open(&admin, "", &[]).await;
        let mut asked = Vec::new();
        for answer in [
            client.post("/Users", &serde_json::json!({ "userName": "ada" })).await,
            client.get("/Users").await,
        ] {
            asked.push(id_of(&answer));
        }
        let mut told = Vec::new();
        for id in &asked {
            let event = watcher.next().await.unwrap();
            assert_eq!((event.name.as_str(), &event.record()["request_id"]), ("", &Value::from(id.as_str())));
            assert!(!event.id.is_empty(), "who was away goes on after it");
            told.push(event.record());
        }
        let searched = admin.get("/api/usage").await.json();
        told.reverse();
        assert_eq!(searched["records"].as_array().unwrap()[..2], told);
        house.close().await;
    }
}

#[tokio::test]
async fn who_was_away_goes_on_where_it_stopped_on_the_same_node() {
    let house = house().await;
    let client = house.client("okta").await;
    let admin = house.signed_in(Role::Admin).await;
    let mut watcher = Watcher::open(&admin, "", &[]).await;
    client.get("/Users").await;
    let seen = watcher.told().await.id;
    drop(watcher);
    let missed = [id_of(&client.get("/Users").await), id_of(&client.get("/Groups").await)];
    // A browser sends the header; a page that begins, the parameter.
    for (query, headers) in [
        (String::new(), vec![("last-event-id", seen.as_str())]),
        (format!("?last={seen}"), vec![]),
        (format!("?last={seen}"), vec![("last-event-id", "")]),
    ] {
        let mut watcher = Watcher::open(&admin, &query, &headers).await;
        assert_eq!(watcher.requests(2).await, missed, "{query} {headers:?}");
    }
    for last in ["nonsense", "a.b.c", "n.1.req_1", "n.1.req_0123456789012345678901.x"] {
        let answer = Answer::of(Watcher::ask(&admin, &format!("?last={last}"), &[]).await).await;
        assert_eq!((answer.status, &answer.json()["error"]["parameter"]), (400, &"last".into()), "{last}");
    }
    house.close().await;
}

#[tokio::test]
async fn who_comes_from_another_node_is_told_what_the_database_has_since() {
    for house in houses().await {
        let client = house.client("okta").await;
        let admin = house.signed_in(Role::Admin).await;
        let mut watcher = Watcher::open(&admin, "", &[]).await;
        let before = id_of(&client.get("/Users").await);
        let seen = watcher.told().await.id;
        drop(watcher);
        house.clock.advance(5_000);
        let missed = [id_of(&client.get("/Users").await), id_of(&client.get("/Groups").await)];
        let (_, elsewhere) = seen.split_once('.').unwrap();
        let mut watcher = Watcher::open(&admin, &format!("?last=elsewhere.{elsewhere}"), &[]).await;
        // What lies so near may have been written late: it is told once more, and never left out.
        assert_eq!(watcher.requests(3).await, [vec![before], missed.to_vec()].concat());
        let new = id_of(&client.get("/Users").await);
        assert_eq!(watcher.requests(1).await, [new], "and goes on as it comes");
        house.close().await;
    }
}

#[tokio::test]
async fn what_came_too_fast_is_counted_and_not_hidden() {
    const KEPT: usize = 4_096;
    const MORE: usize = 40;
    let house = house().await;
    let client = house.client("okta").await;
    let admin = house.signed_in(Role::Admin).await;
    let mut watcher = Watcher::open(&admin, "", &[]).await;
    let mut left = KEPT + MORE;
    while left > 0 {
        let at_once = left.min(64);
        let asked = join_all((0..at_once).map(|_| client.get("/ResourceTypes"))).await;
        assert!(asked.iter().all(|answer| answer.status == 200));
        left -= at_once;
    }
    let first = watcher.told().await;
    assert_eq!((first.name.as_str(), first.data.as_str()), ("missed", MORE.to_string().as_str()));
    let mut told = watcher.requests(KEPT).await;
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), KEPT, "each of those that were kept, once");
    let last = id_of(&client.get("/Users").await);
    assert_eq!(watcher.requests(1).await, [last]);
    house.close().await;
}

#[tokio::test]
async fn the_stream_ends_with_the_session_and_says_so() {
    let house = house().await;
    let client = house.client("okta").await;
    let leaving = house.signed_in(Role::Admin).await;
    let staying = house.signed_in(Role::Admin).await;
    let mut watcher = Watcher::open(&leaving, "", &[]).await;
    let mut other = Watcher::open(&staying, "", &[]).await;
    assert_eq!(leaving.post("/auth/sign-out", &[]).await.status, 303);
    let ended = watcher.told().await;
    assert_eq!((ended.name.as_str(), ended.data.as_str()), ("ended", "signed out"));
    assert_eq!(watcher.next().await, None);
    let id = id_of(&client.get("/Users").await);
    assert_eq!(other.requests(1).await, [id], "another session of the same person goes on");
    house.close().await;
}

#[tokio::test]
async fn each_sees_what_they_may_and_what_they_asked_for() {
    for house in houses().await {
        let own = house.client("own").await;
        let other = second(&house, "other").await;
        let theirs = operator(&house, "other").await;
        for (browser, query, status) in [
            (&theirs, "?federation=own", 404),
            (&theirs, "?federation=nobody", 404),
            (&theirs, "?status=none", 400),
            (&theirs, "?resource=abc", 400),
            (&theirs, "?from=2026-01-01", 400),
            (&theirs, "?status=2xx&status=4xx", 400),
            (&house.stranger(), "", 303),
        ] {
            let answer = Answer::of(Watcher::ask(browser, query, &[]).await).await;
            assert_eq!(answer.status, status, "{query}");
            let name = query.trim_start_matches('?').split('=').next().unwrap();
            if status == 400 {
                assert_eq!(answer.json()["error"]["parameter"], name, "{query}");
            }
        }
        let mut watcher = Watcher::open(&theirs, "", &[]).await;
        let admin = house.signed_in(Role::Admin).await;
        let mut refused = Watcher::open(&admin, "?status=4xx&federation=own", &[]).await;
        own.get("/Users").await;
        let missing = id_of(&own.get("/Users/nobody").await);
        other.get("/Users/nobody").await;
        let wanted = id_of(&other.get("/Groups").await);
        let told = watcher.requests(2).await;
        assert_eq!(told[1], wanted, "nothing of another federation came between");
        assert_eq!(refused.requests(1).await, [missing]);
        house.close().await;
    }
}
