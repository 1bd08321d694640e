//! Vault and OpenBao: engine KV version 2, as its API documents say.

use std::sync::{Arc, Mutex};

use domain::deliveries::{Connector, DeliveryStep, FailureKind, Holds};
use serde_json::{Map, Value, json};

use super::{Asked, CREDENTIAL, KEY, Reply, Service, job, say, settings, take, tested, way};

const DATA: &str = "/v1/kv/data/teams/hr";

#[derive(Default)]
struct Engine {
    versions: Mutex<Vec<Map<String, Value>>>,
    /// Somebody else writes before the next write.
    rival: Mutex<bool>,
    capabilities: Mutex<Vec<&'static str>>,
}

impl Engine {
    fn answer(&self, asked: &Asked) -> Reply {
        assert_eq!(asked.header("x-vault-request"), "true");
        assert_eq!(asked.header("x-vault-namespace"), "team");
        if asked.line == "POST /v1/auth/approle/login" {
            let known = json!({ "role_id": "role", "secret_id": CREDENTIAL });
            return if asked.json() == known {
                say(200, json!({ "auth": { "client_token": "hvs.token", "lease_duration": 60 } }))
            } else {
                say(400, json!({ "errors": ["invalid role or secret ID"] }))
            };
        }
        if !["hvs.token", CREDENTIAL].contains(&asked.header("x-vault-token")) {
            return say(403, json!({ "errors": ["permission denied"] }));
        }
        let mut versions = self.versions.lock().unwrap();
        match asked.line.as_str() {
            "POST /v1/sys/capabilities-self" => {
                assert_eq!(asked.json(), json!({ "paths": ["kv/data/teams/hr"] }));
                let list = json!(*self.capabilities.lock().unwrap());
                say(200, json!({ "kv/data/teams/hr": list, "capabilities": list }))
            }
            line if line == format!("GET {DATA}") => match versions.last() {
                None => say(404, json!({ "errors": [] })),
                Some(fields) => say(
                    200,
                    json!({ "data": { "data": fields, "metadata": { "version": versions.len(), "destroyed": false } } }),
                ),
            },
            line if line == format!("POST {DATA}") => {
                if std::mem::take(&mut *self.rival.lock().unwrap()) {
                    versions.push(Map::new());
                }
                let body = asked.json();
                if body["options"]["cas"] != json!(versions.len()) {
                    let told = "check-and-set parameter did not match the current version";
                    return say(400, json!({ "errors": [told] }));
                }
                versions.push(body["data"].as_object().unwrap().clone());
                say(200, json!({ "data": { "version": versions.len(), "destroyed": false } }))
            }
            line => panic!("{line} is not in the documents"),
        }
    }
}

async fn engine() -> (Arc<Engine>, Service) {
    let engine = Arc::new(Engine::default());
    *engine.capabilities.lock().unwrap() = vec!["create", "read", "update"];
    let inner = Arc::clone(&engine);
    (engine, Service::start(move |asked| inner.answer(asked)).await)
}

fn target(service: &Service, more: &[(&str, &str)]) -> domain::deliveries::Settings {
    let base = [
        ("address", service.base.as_str()),
        ("namespace", "team"),
        ("mount", "kv"),
        ("path", "teams/hr"),
        ("field", "token"),
    ];
    let fields: Vec<_> = base.into_iter().chain(more.iter().copied()).collect();
    settings(Connector::Vault, &fields)
}

#[tokio::test]
async fn one_field_is_written_and_the_others_stay() {
    let (engine, service) = engine().await;
    let mut others = Map::new();
    others.insert("url".to_owned(), json!("https://scim.example.com"));
    others.insert("token".to_owned(), json!("old"));
    engine.versions.lock().unwrap().push(others);
    let (way, job) = (way(), job(target(&service, &[])));
    let before = take(&way, &job, DeliveryStep::ReadBack).await.unwrap();
    assert_eq!(before.holds, Holds::No);
    for step in [DeliveryStep::Validate, DeliveryStep::Write] {
        take(&way, &job, step).await.unwrap();
    }
    let after = take(&way, &job, DeliveryStep::ReadBack).await.unwrap();
    assert_eq!(after.holds, Holds::Yes, "{}", after.sentence);
    let versions = engine.versions.lock().unwrap().clone();
    assert_eq!(versions[1], *json!({ "url": "https://scim.example.com", "token": KEY }).as_object().unwrap());
}

#[tokio::test]
async fn the_same_write_again_makes_no_second_version() {
    let (engine, service) = engine().await;
    let (way, job) = (way(), job(target(&service, &[])));
    for _ in 0..3 {
        take(&way, &job, DeliveryStep::Write).await.unwrap();
    }
    assert_eq!(engine.versions.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_change_of_somebody_else_is_not_overwritten() {
    let (engine, service) = engine().await;
    *engine.rival.lock().unwrap() = true;
    let fault = take(&way(), &job(target(&service, &[])), DeliveryStep::Write).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Weather);
    assert_eq!(engine.versions.lock().unwrap().len(), 1, "only the rival's");
}

#[tokio::test]
async fn an_approle_is_exchanged_for_a_token() {
    let (engine, service) = engine().await;
    let role = [("sign_in", "approle"), ("role_id", "role"), ("approle_mount", "approle")];
    let (way, job) = (way(), job(target(&service, &role)));
    take(&way, &job, DeliveryStep::Write).await.unwrap();
    assert_eq!(engine.versions.lock().unwrap().len(), 1);
    assert_eq!(service.lines()[0], "POST /v1/auth/approle/login");
    let mut wrong = super::job(target(&service, &role));
    wrong.credential = domain::Secret::new("another-secret-id".to_owned());
    wrong.version = 2;
    let fault = take(&way, &wrong, DeliveryStep::Validate).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Refused);
}

#[tokio::test]
async fn a_policy_that_lacks_a_capability_is_told_before_anything_is_written() {
    let (engine, service) = engine().await;
    *engine.capabilities.lock().unwrap() = vec!["read"];
    let (way, job) = (way(), tested(job(target(&service, &[]))));
    let fault = take(&way, &job, DeliveryStep::Validate).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Refused);
    assert!(fault.sentence.contains("create, update"), "{}", fault.sentence);
    assert!(engine.versions.lock().unwrap().is_empty());
}
