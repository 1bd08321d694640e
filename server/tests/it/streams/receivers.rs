//! Receivers that keep what they are sent, and misbehave as they are told.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, routing::post};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpListener,
    sync::{Notify, Semaphore},
    time::timeout,
};
use url::Url;

use crate::process::PATIENCE;

pub const SIGNING: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What a receiver does with what comes.
#[derive(Clone, Copy)]
enum Manner {
    /// Keeps it and says so.
    Accepts,
    /// Keeps nothing.
    Refuses(u16),
    /// Keeps it and says that it did not.
    Forgets(u16),
    /// Refuses what is larger.
    AtMost(usize),
}

/// One call that was kept.
#[derive(Clone)]
pub struct Call {
    pub id: String,
    pub media_type: String,
    pub ids: Vec<String>,
    records: Vec<Value>,
}

/// A webhook that believes only what is signed.
#[derive(Clone)]
pub struct Hook {
    pub url: Url,
    manner: Arc<Mutex<Manner>>,
    calls: Arc<Mutex<Vec<Call>>>,
    asked: Arc<Mutex<usize>>,
    came: Arc<Notify>,
    /// Calls are answered one for each permit, when there is a gate.
    gate: Arc<Mutex<Option<Arc<Semaphore>>>>,
}

fn id_of(record: &Value) -> String {
    let id = record["id"].as_str().or_else(|| record["metadata"]["uid"].as_str());
    id.expect("every record has an id").to_owned()
}

impl Hook {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hook = Self {
            url: format!("http://{}/records", listener.local_addr().unwrap()).parse().unwrap(),
            manner: Arc::new(Mutex::new(Manner::Accepts)),
            calls: Arc::default(),
            asked: Arc::default(),
            came: Arc::default(),
            gate: Arc::default(),
        };
        let router = Router::new().route("/records", post(Self::take)).with_state(hook.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        hook
    }

    async fn take(State(hook): State<Self>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let at: i64 = header("webhook-timestamp").parse().unwrap();
        // The checker compares with the time of this machine, which may be another: the signature is what counts.
        let signed = Webhook::new(SIGNING).unwrap().sign(&header("webhook-id"), at, &body).unwrap();
        if signed != header("webhook-signature") {
            return StatusCode::UNAUTHORIZED;
        }
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.ends_with('\n'));
        let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        *hook.asked.lock().unwrap() += 1;
        let call = Call {
            id: header("webhook-id"),
            media_type: header("content-type"),
            ids: records.iter().map(id_of).collect(),
            records,
        };
        let manner = *hook.manner.lock().unwrap();
        let (keeps, status) = match manner {
            Manner::Refuses(status) => (false, status),
            Manner::Forgets(status) => (true, status),
            Manner::AtMost(most) if call.ids.len() > most => (false, 413),
            Manner::Accepts | Manner::AtMost(_) => (true, 204),
        };
        if keeps {
            hook.calls.lock().unwrap().push(call);
        }
        hook.came.notify_waiters();
        let gate = hook.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        StatusCode::from_u16(status).unwrap()
    }

    fn behaves(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn accepts(&self) {
        self.behaves(Manner::Accepts);
    }

    pub fn refuses(&self, status: u16) {
        self.behaves(Manner::Refuses(status));
    }

    pub fn forgets(&self, status: u16) {
        self.behaves(Manner::Forgets(status));
    }

    pub fn takes_at_most(&self, records: usize) {
        self.behaves(Manner::AtMost(records));
    }

    /// From now on calls wait for a permit before they are answered.
    pub fn gated(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    pub fn ungated(&self) {
        *self.gate.lock().unwrap() = None;
    }

    /// How often it was called.
    pub fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// The ids of what it kept, as it came.
    pub fn ids(&self) -> Vec<String> {
        self.calls().into_iter().flat_map(|call| call.ids).collect()
    }

    pub fn records(&self) -> Vec<Value> {
        self.calls().into_iter().flat_map(|call| call.records).collect()
    }

    /// Waits until something holds of it; calls that come are looked at, no clock is.
    pub async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let waited = async {
            loop {
                let came = self.came.notified();
                tokio::pin!(came);
                came.as_mut().enable();
                if holds(self) {
                    return;
                }
                came.await;
            }
        };
        assert!(timeout(PATIENCE, waited).await.is_ok(), "{:?}", self.ids());
    }
}

/// Reads one message by octet counting; `None` at the end.
pub async fn message(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut length = String::new();
    loop {
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        match byte[0] {
            b' ' => break,
            digit => length.push(char::from(digit)),
        }
    }
    let mut text = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut text).await.ok()?;
    Some(String::from_utf8(text).unwrap())
}

/// The record in a message of RFC 5424.
pub fn record(message: &str) -> Value {
    let (_, json) = message.split_once("] ").unwrap();
    serde_json::from_str(json).unwrap()
}

pub fn id(message: &str) -> String {
    id_of(&record(message))
}

/// A log host over TCP that takes what comes, or dies after so many messages.
#[derive(Clone)]
pub struct LogHost {
    pub target: String,
    pub messages: Arc<Mutex<Vec<String>>>,
    pub dies_after: Arc<Mutex<Option<usize>>>,
}

impl LogHost {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Self {
            target: format!("tcp://{}", listener.local_addr().unwrap()),
            messages: Arc::default(),
            dies_after: Arc::default(),
        };
        let own = host.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let dies_after = *own.dies_after.lock().unwrap();
                let mut count = 0;
                while dies_after.is_none_or(|most| count < most) {
                    let Some(text) = message(&mut stream).await else { break };
                    own.messages.lock().unwrap().push(text);
                    count += 1;
                }
                // What was not read is gone with it.
                drop(stream);
            }
        });
        host
    }

    pub fn ids(&self) -> Vec<String> {
        self.messages.lock().unwrap().iter().map(|text| id(text)).collect()
    }
}
