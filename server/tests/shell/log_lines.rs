//! One event, one line.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use axum::body::Body;
use http::{HeaderValue, Request};
use server::{
    config::{LogFormat, LogLevel},
    logging,
};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{ask, get_request, routes, shell};

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Memory {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

const HOSTILE: &str = "a\r\nINFO forged\n\u{1b}[31mred\u{0}\u{7}\u{9b}2J\u{7f}\u{85}\u{2028}\u{2029}\u{202e}drow\u{2066}\u{200b}\u{e0041}é日";

#[test]
fn a_hostile_value_stays_on_its_line_and_shows_what_it_is() {
    for format in [LogFormat::Json, LogFormat::Text] {
        let memory = Memory::default();
        let subscriber = logging::subscriber(format, LogLevel::Info, memory.clone());
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!(target: "server", "request", path = HOSTILE).entered();
            tracing::warn!(target: "server", value = HOSTILE, debug = ?HOSTILE, "{HOSTILE}");
            tracing::info!(target: "server", "second");
        });
        let text = memory.text();
        assert_eq!(text.lines().count(), 2, "{text}");
        let body = text.replace('\n', "");
        let unsafe_ones =
            |c: &char| c.is_control() || "\u{2028}\u{2029}\u{202e}\u{2066}\u{200b}\u{e0041}".contains(*c);
        assert_eq!(body.chars().find(unsafe_ones), None, "{text}");
        assert!(text.contains("é日"), "{text}");
    }
}

#[test]
fn json_reads_back_as_it_was() {
    let memory = Memory::default();
    let subscriber = logging::subscriber(LogFormat::Json, LogLevel::Info, memory.clone());
    tracing::subscriber::with_default(
        subscriber,
        || tracing::warn!(target: "server", value = HOSTILE, "text"),
    );
    let event: serde_json::Value = serde_json::from_str(&memory.text()).unwrap();
    assert_eq!(event["value"], HOSTILE);
    assert_eq!(event["level"], "WARN");
    assert_eq!(event["message"], "text");
}

#[test]
fn what_is_less_important_than_the_level_is_left_out() {
    let memory = Memory::default();
    let subscriber = logging::subscriber(LogFormat::Json, LogLevel::Warn, memory.clone());
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(target: "server", "quiet");
        tracing::info!(target: "some_library", "quiet");
        tracing::warn!(target: "some_library", "loud");
    });
    assert_eq!(memory.text().lines().count(), 1);
}

#[tokio::test]
async fn a_request_is_logged_once_with_its_id_and_without_its_secrets() {
    let memory = Memory::default();
    let subscriber = logging::subscriber(LogFormat::Json, LogLevel::Info, memory.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    let router = shell(&[]).around(routes());
    let request = Request::post("/scim/okta/v2/Users?code=s3cret-query")
        .header("authorization", "Bearer kwd_s3cret-key")
        .header("cookie", "s3cret-cookie")
        .header(
            "user-agent",
            HeaderValue::from_bytes(b"agent\x1b").unwrap_or(HeaderValue::from_static("agent")),
        )
        .body(Body::from("s3cret-body"))
        .unwrap();
    let answer = ask(&router, request).await;
    drop(guard);
    let text = memory.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    let event: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(event["status"], 200);
    assert_eq!(event["spans"][0]["request_id"], answer.header("x-request-id"));
    assert_eq!(event["spans"][0]["path"], "/scim/okta/v2/Users");
    assert!(!text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn probes_do_not_bury_the_log() {
    let memory = Memory::default();
    let subscriber = logging::subscriber(LogFormat::Json, LogLevel::Info, memory.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    ask(&shell(&[]).around(routes()), get_request("/healthz")).await;
    drop(guard);
    assert_eq!(memory.text(), "");
}
