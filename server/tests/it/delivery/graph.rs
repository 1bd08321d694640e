//! Microsoft Graph: synchronization jobs of an enterprise application, as the v1.0 reference says.

use std::sync::{Arc, Mutex};

use domain::deliveries::{Connector, DeliveryStep, FailureKind, Holds};
use serde_json::{Value, json};

use super::{Asked, CREDENTIAL, KEY, Reply, Service, job, say, settings, take, tested, way};

const TOKEN: &str = "a-token-of-an-hour";
const JOBS: &str = "/v1.0/servicePrincipals/principal/synchronization/jobs/scim.1";
const SECRETS: &str = "/v1.0/servicePrincipals/principal/synchronization/secrets";

#[derive(Default)]
struct Tenant {
    status: Mutex<Value>,
    /// What the next request but for a token is answered.
    next: Mutex<Option<Reply>>,
    starts: Mutex<u32>,
}

fn graph_error(status: u16, code: &str) -> Reply {
    say(status, json!({ "error": { "code": code, "message": format!("about {KEY}"), "innerError": {} } }))
}

impl Tenant {
    fn answer(&self, asked: &Asked, base: &str) -> Reply {
        if asked.line == "POST /tenant/oauth2/v2.0/token" {
            let form: std::collections::BTreeMap<String, String> =
                serde_urlencoded::from_bytes(&asked.body).unwrap();
            assert_eq!(form["grant_type"], "client_credentials");
            assert_eq!(form["client_id"], "client");
            assert_eq!(form["scope"], format!("{base}/.default"));
            if form["client_secret"] != CREDENTIAL {
                return say(
                    401,
                    json!({ "error": "invalid_client", "error_description": form["client_secret"] }),
                );
            }
            return say(200, json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN }));
        }
        assert_eq!(asked.header("authorization"), format!("Bearer {TOKEN}"));
        if let Some(reply) = self.next.lock().unwrap().take() {
            return reply;
        }
        let pair = json!([
            { "key": "BaseAddress", "value": "https://keyward.test/scim/own/v2" },
            { "key": "SecretToken", "value": KEY },
        ]);
        match asked.line.split_once(' ').unwrap() {
            ("GET", JOBS) => say(
                200,
                json!({
                    "id": "scim.1", "templateId": "customappsso", "schedule": { "state": "Active", "interval": "PT40M" },
                    "status": *self.status.lock().unwrap(),
                }),
            ),
            ("POST", path) if path == format!("{JOBS}/validateCredentials") => {
                assert_eq!(asked.json(), json!({ "useSavedCredentials": false, "credentials": pair }));
                say(204, "")
            }
            ("PUT", SECRETS) => {
                assert_eq!(asked.json(), json!({ "value": pair }));
                say(204, "")
            }
            ("POST", path) if path == format!("{JOBS}/start") => {
                assert!(asked.body.is_empty());
                *self.starts.lock().unwrap() += 1;
                say(204, "")
            }
            (method, path) => panic!("{method} {path} is not in the reference"),
        }
    }
}

/// A tenant whose job has a status.
async fn tenant(status: Value) -> (Arc<Tenant>, Service) {
    let tenant = Arc::new(Tenant { status: Mutex::new(status), ..Tenant::default() });
    let base: Arc<Mutex<String>> = Arc::default();
    let (inner, known) = (Arc::clone(&tenant), Arc::clone(&base));
    let service = Service::start(move |asked| inner.answer(asked, &known.lock().unwrap())).await;
    base.lock().unwrap().clone_from(&service.base);
    (tenant, service)
}

fn target(service: &Service) -> domain::deliveries::Settings {
    settings(
        Connector::EntraGraph,
        &[
            ("tenant_id", "tenant"),
            ("client_id", "client"),
            ("service_principal_id", "principal"),
            ("job_id", "scim.1"),
            ("graph_url", &service.base),
            ("login_url", &service.base),
        ],
    )
}

fn active() -> Value {
    json!({ "code": "Active", "quarantine": null })
}

#[tokio::test]
async fn the_job_gets_base_url_and_key_and_is_started() {
    let (tenant, service) = tenant(active()).await;
    let (way, job) = (way(), job(target(&service)));
    for step in [DeliveryStep::Validate, DeliveryStep::Write, DeliveryStep::Kick, DeliveryStep::ReadBack] {
        let done = take(&way, &job, step).await.unwrap();
        assert_eq!((done.holds, done.wants_kick), (Holds::CannotTell, false));
    }
    let asked: Vec<String> = service.lines().into_iter().filter(|line| !line.contains("/token")).collect();
    assert_eq!(
        asked,
        [
            format!("GET {JOBS}"),
            format!("POST {JOBS}/validateCredentials"),
            format!("PUT {SECRETS}"),
            format!("GET {JOBS}"),
            format!("POST {JOBS}/start"),
            format!("GET {JOBS}"),
        ]
    );
    assert_eq!(*tenant.starts.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_test_reads_the_job_and_nothing_more() {
    let (_, service) = tenant(active()).await;
    let (way, job) = (way(), tested(job(target(&service))));
    for step in [DeliveryStep::Validate, DeliveryStep::ReadBack] {
        take(&way, &job, step).await.unwrap();
    }
    assert!(service.lines().iter().all(|line| line.contains("/token") || *line == format!("GET {JOBS}")));
}

#[tokio::test]
async fn the_reason_of_a_quarantine_is_read_back() {
    let quarantine = json!({
        "code": "Quarantine",
        "quarantine": { "reason": "EncounteredQuarantineException", "nextAttempt": "2026-01-01T06:00:00Z" },
    });
    let (_, service) = tenant(quarantine).await;
    let done = take(&way(), &job(target(&service)), DeliveryStep::ReadBack).await.unwrap();
    assert!(done.wants_kick);
    assert_eq!(done.sentence, "the job is in quarantine: EncounteredQuarantineException");
}

#[tokio::test]
async fn a_job_that_a_person_paused_is_not_started() {
    let (tenant, service) = tenant(json!({ "code": "Paused" })).await;
    let done = take(&way(), &job(target(&service)), DeliveryStep::Kick).await.unwrap();
    assert!(done.sentence.contains("paused"), "{}", done.sentence);
    assert_eq!(*tenant.starts.lock().unwrap(), 0);
}

#[tokio::test]
async fn refusals_of_graph_are_told_with_their_code_and_without_their_words() {
    let (tenant, service) = tenant(active()).await;
    let (way, job) = (way(), job(target(&service)));
    let check = async |reply: Reply, step, kind, word: &str, retry_after_s| {
        *tenant.next.lock().unwrap() = Some(reply);
        let fault = take(&way, &job, step).await.unwrap_err();
        assert_eq!((fault.kind, fault.retry_after_s), (kind, retry_after_s), "{}", fault.sentence);
        assert!(fault.sentence.contains(word), "{}", fault.sentence);
    };
    let denied = || graph_error(403, "Authorization_RequestDenied");
    check(denied(), DeliveryStep::Validate, FailureKind::Refused, "Authorization_RequestDenied", None).await;
    check(denied(), DeliveryStep::Write, FailureKind::Refused, "lacks a right", None).await;
    let ended = graph_error(401, "InvalidAuthenticationToken");
    check(ended, DeliveryStep::Write, FailureKind::Refused, "InvalidAuthenticationToken", None).await;
    let (status, _, body) = graph_error(429, "TooManyRequests");
    let busy = (status, vec![("retry-after", "37".to_owned())], body);
    check(busy, DeliveryStep::Write, FailureKind::Weather, "patience", Some(37)).await;
    // A write of which nobody knows, and a read that changed nothing.
    let trouble = || graph_error(503, "ServiceUnavailable");
    check(trouble(), DeliveryStep::Write, FailureKind::Unclear, "trouble", None).await;
    check(trouble(), DeliveryStep::ReadBack, FailureKind::Weather, "trouble", None).await;
    let lie = say(200, json!({ "id": "another" }));
    check(lie, DeliveryStep::ReadBack, FailureKind::Weather, "not the job", None).await;
}

#[tokio::test]
async fn a_client_secret_that_ended_is_a_refusal() {
    let (_, service) = tenant(active()).await;
    let mut job = job(target(&service));
    job.credential = domain::Secret::new("another-client-secret".to_owned());
    let fault = take(&way(), &job, DeliveryStep::Validate).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Refused);
    assert!(fault.sentence.contains("invalid_client"), "{}", fault.sentence);
    assert!(!fault.sentence.contains("another-client-secret"));
}
