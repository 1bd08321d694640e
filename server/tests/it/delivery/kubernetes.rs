//! Kubernetes: reading and patching one Secret, as the API reference says.

use std::sync::{Arc, Mutex};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::deliveries::{Connector, DeliveryStep, FailureKind, Holds};
use serde_json::{Value, json};

use super::{Asked, CREDENTIAL, KEY, Reply, Service, job, say, settings, take, tested, way};

const PATH: &str = "/api/v1/namespaces/apps/secrets/scim";

struct ApiServer {
    secret: Mutex<Value>,
    may_patch: bool,
}

fn status(code: u16, reason: &str) -> Reply {
    say(
        code,
        json!({ "kind": "Status", "status": "Failure", "reason": reason, "message": format!("{reason} {KEY}") }),
    )
}

impl ApiServer {
    fn answer(&self, asked: &Asked) -> Reply {
        if asked.header("authorization") != format!("Bearer {CREDENTIAL}") {
            return status(401, "Unauthorized");
        }
        let mut secret = self.secret.lock().unwrap();
        let (method, path) = asked.line.split_once(' ').unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if path != PATH {
            return status(404, "NotFound");
        }
        match method {
            "GET" => say(200, &*secret),
            "PATCH" => {
                assert_eq!(asked.header("content-type"), "application/merge-patch+json");
                assert!(query.contains("fieldManager=keyward"));
                if !self.may_patch {
                    return status(403, "Forbidden");
                }
                let patch = asked.json();
                if patch["metadata"]["resourceVersion"] != secret["metadata"]["resourceVersion"] {
                    return status(409, "Conflict");
                }
                let mut patched = secret.clone();
                for (name, value) in patch["data"].as_object().into_iter().flatten() {
                    patched["data"][name] = value.clone();
                }
                if !query.contains("dryRun=All") {
                    patched["metadata"]["resourceVersion"] = json!("101");
                    *secret = patched.clone();
                }
                say(200, patched)
            }
            method => panic!("{method} is not needed"),
        }
    }
}

async fn server(may_patch: bool, immutable: bool) -> (Arc<ApiServer>, Service) {
    let secret = json!({
        "kind": "Secret", "apiVersion": "v1", "type": "Opaque", "immutable": immutable,
        "metadata": { "name": "scim", "namespace": "apps", "resourceVersion": "100" },
        "data": { "other": BASE64_STANDARD.encode("stays") },
    });
    let server = Arc::new(ApiServer { secret: Mutex::new(secret), may_patch });
    let inner = Arc::clone(&server);
    (server, Service::start(move |asked| inner.answer(asked)).await)
}

fn target(service: &Service) -> domain::deliveries::Settings {
    let fields =
        [("server", service.base.as_str()), ("namespace", "apps"), ("name", "scim"), ("key", "token")];
    settings(Connector::Kubernetes, &fields)
}

#[tokio::test]
async fn one_entry_is_written_and_the_others_stay() {
    let (server, service) = server(true, false).await;
    let (way, job) = (way(), job(target(&service)));
    for step in [DeliveryStep::Validate, DeliveryStep::Write] {
        take(&way, &job, step).await.unwrap();
    }
    let done = take(&way, &job, DeliveryStep::ReadBack).await.unwrap();
    assert_eq!(done.holds, Holds::Yes, "{}", done.sentence);
    let secret = server.secret.lock().unwrap().clone();
    assert_eq!(secret["data"]["token"], BASE64_STANDARD.encode(KEY));
    assert_eq!(secret["data"]["other"], BASE64_STANDARD.encode("stays"));
}

#[tokio::test]
async fn a_test_changes_nothing_and_finds_out_what_is_allowed() {
    for (may_patch, immutable, expect) in
        [(true, false, None), (false, false, Some("right")), (true, true, Some("immutable"))]
    {
        let (server, service) = server(may_patch, immutable).await;
        let before = server.secret.lock().unwrap().clone();
        let tested = take(&way(), &tested(job(target(&service))), DeliveryStep::Validate).await;
        match expect {
            None => drop(tested.unwrap()),
            Some(word) => {
                let fault = tested.unwrap_err();
                assert_eq!(fault.kind, FailureKind::Refused);
                assert!(fault.sentence.contains(word), "{}", fault.sentence);
            }
        }
        assert_eq!(*server.secret.lock().unwrap(), before);
    }
}

#[tokio::test]
async fn a_token_that_ended_is_a_refusal() {
    let (_, service) = server(true, false).await;
    let mut job = job(target(&service));
    job.credential = domain::Secret::new("another-token".to_owned());
    let fault = take(&way(), &job, DeliveryStep::Validate).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Refused);
    assert!(fault.sentence.contains("401"), "{}", fault.sentence);
}
