//! The connectors against services of ours that do as the documents of each say, and that check what they are asked.

mod aws;
mod faults;
mod graph;
mod kubernetes;
mod okta;
mod pages;
mod tls;
mod vault;
mod webhook;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::Request, response::Response};
use domain::{
    DeliveryId, KeyId, RotationId, Secret, TargetId,
    deliveries::{Connector, DeliveryStep, Settings},
    federations::Slug,
};
use http::HeaderMap;
use ops::{
    ports::{Deliver as _, DeliveryJob, Parcel, StepDone, StepFault},
    testing::{TestClock, TestEntropy},
};
use serde_json::Value;
use server::out::{
    deliver::DeliverHttp,
    egress::{Allowed, Egress},
};

/// The key that is brought.
const KEY: &str = "kwd_test_0123456789abcdefghij_the-whole-secret";

/// With what Keyward signs in.
const CREDENTIAL: &str = "the-credential-of-the-target";

/// What a service was asked.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What it answers.
type Reply = (u16, Vec<(&'static str, String)>, String);

#[expect(clippy::needless_pass_by_value, reason = "what is said is written where it is said")]
fn say(status: u16, body: impl ToString) -> Reply {
    (status, Vec::new(), body.to_string())
}

/// A service on this machine.
struct Service {
    base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Service {
    async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&asked), Arc::new(answer));
        let handler = move |request: Request| {
            let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
            async move {
                let (parts, body) = request.into_parts();
                let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                let asked = Asked {
                    line: format!("{} {path}", parts.method),
                    headers: parts.headers,
                    body: body.to_vec(),
                };
                let (status, headers, body) = answer(&asked);
                kept.lock().unwrap().push(asked);
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                response.body(axum::body::Body::from(body)).unwrap()
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await.unwrap() });
        Self { base: format!("http://{address}"), asked }
    }

    /// Method and path of each request since the last look.
    fn lines(&self) -> Vec<String> {
        self.taken().into_iter().map(|asked| asked.line).collect()
    }

    fn taken(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// The way out, which reaches this machine and nothing else that is private.
fn way() -> DeliverHttp {
    let allowed = vec![Allowed::parse("http://127.0.0.0/8").unwrap()];
    let clock = Arc::new(TestClock::default());
    DeliverHttp::new(Egress::new(allowed, Vec::new()), clock, Arc::new(TestEntropy::default()))
        .with_patience(Duration::from_secs(10))
}

/// The settings of a connector: its presets, and these.
fn settings(connector: Connector, fields: &[(&str, &str)]) -> Settings {
    let mut form: BTreeMap<&str, &str> =
        connector.fields().iter().map(|field| (field.name, field.preset)).collect();
    form.extend(fields.iter().copied());
    Settings::read(connector, |field| form.get(field).copied().unwrap_or_default().to_owned()).unwrap()
}

fn job(settings: Settings) -> DeliveryJob {
    let made_ms = ops::testing::START_MS;
    DeliveryJob {
        target_id: TargetId::new(made_ms, [1; 10]),
        version: 1,
        settings,
        credential: Secret::new(CREDENTIAL.to_owned()),
        parcel: Parcel {
            federation: Slug::parse("own").unwrap(),
            base_url: "https://keyward.test/scim/own/v2".to_owned(),
            delivery_id: Some(DeliveryId::new(made_ms, [2; 10])),
            rotation_id: Some(RotationId::new(made_ms, [3; 10])),
            key_id: Some(KeyId::new(made_ms, [4; 10])),
            last_four: "cret".to_owned(),
            made_ms,
            secret: Some(Secret::new(KEY.to_owned())),
        },
    }
}

/// The same as a test of the target: without anything to bring.
fn tested(mut job: DeliveryJob) -> DeliveryJob {
    job.parcel.secret = None;
    job.parcel.delivery_id = None;
    job.parcel.last_four = String::new();
    job
}

async fn take(way: &DeliverHttp, job: &DeliveryJob, step: DeliveryStep) -> Result<StepDone, StepFault> {
    let taken = way.step(step, job).await;
    let told = match &taken {
        Ok(done) => done.sentence.clone(),
        Err(fault) => fault.sentence.clone(),
    };
    for secret in [KEY, CREDENTIAL] {
        assert!(!told.contains(secret), "{step:?} repeats a secret: {told}");
    }
    taken
}
