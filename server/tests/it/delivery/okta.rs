//! Okta: `POST /api/v1/apps/{appId}/connections/default?activate=TRUE`, as its API reference says.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::deliveries::{Connector, DeliveryStep, FailureKind, Holds};
use serde_json::json;

use super::{CREDENTIAL, KEY, Service, job, say, settings, take, tested, way};

const PATH: &str = "/api/v1/apps/0oa1/connections/default";

async fn okta(status: &'static str) -> Service {
    Service::start(move |asked| {
        if asked.header("authorization") != format!("SSWS {CREDENTIAL}") {
            return say(401, json!({ "errorCode": "E0000011", "errorSummary": "Invalid token provided" }));
        }
        if asked.line == format!("GET {PATH}") {
            return say(200, json!({ "authScheme": "TOKEN", "status": status }));
        }
        assert_eq!(asked.line, format!("POST {PATH}?activate=TRUE"));
        assert_eq!(asked.json(), json!({ "profile": { "authScheme": "TOKEN", "token": KEY } }));
        say(200, json!({ "authScheme": "TOKEN", "status": status }))
    })
    .await
}

fn target(base: &str) -> domain::deliveries::Settings {
    settings(Connector::OktaConnection, &[("org_url", base), ("app_id", "0oa1")])
}

#[tokio::test]
async fn an_application_that_takes_a_token_gets_it() {
    let okta = okta("ENABLED").await;
    let (way, job) = (way(), job(target(&okta.base)));
    for step in [DeliveryStep::Validate, DeliveryStep::Write, DeliveryStep::ReadBack] {
        let done = take(&way, &job, step).await.unwrap();
        assert_eq!(done.holds, Holds::CannotTell);
    }
    assert_eq!(
        okta.lines(),
        [format!("GET {PATH}"), format!("POST {PATH}?activate=TRUE"), format!("GET {PATH}")]
    );
    // A test writes nothing.
    let job = tested(job);
    for step in [DeliveryStep::Validate, DeliveryStep::ReadBack] {
        take(&way, &job, step).await.unwrap();
    }
    assert!(okta.lines().iter().all(|line| line.starts_with("GET ")));
}

#[tokio::test]
async fn unknown_in_a_200_is_a_failure_that_leads_to_the_next_target_when_it_was_looked_at() {
    let okta = okta("UNKNOWN").await;
    let (way, job) = (way(), job(target(&okta.base)));
    // The key has gone out, and Okta may keep it.
    let fault = take(&way, &job, DeliveryStep::Write).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Unclear, "{}", fault.sentence);
    let fault = take(&way, &job, DeliveryStep::ReadBack).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Unsupported);
    assert!(fault.kind.leads_on());
}

#[tokio::test]
async fn a_connection_that_is_not_enabled_is_no_delivery() {
    let okta = okta("DISABLED").await;
    let fault = take(&way(), &job(target(&okta.base)), DeliveryStep::Write).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Unclear, "it went out");
}

#[tokio::test]
async fn a_refused_token_and_too_many_requests_are_told_apart() {
    let is_busy = AtomicBool::new(false);
    let okta = Service::start(move |_| {
        if is_busy.swap(true, Ordering::SeqCst) {
            let at = ops::testing::START_MS / 1_000 + 90;
            return (
                429,
                vec![("x-rate-limit-reset", at.to_string())],
                json!({ "errorCode": "E0000047" }).to_string(),
            );
        }
        say(401, json!({ "errorCode": "E0000011" }))
    })
    .await;
    let (way, job) = (way(), job(target(&okta.base)));
    let refused = take(&way, &job, DeliveryStep::Validate).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(refused.sentence.contains("E0000011"), "{}", refused.sentence);
    let busy = take(&way, &job, DeliveryStep::Validate).await.unwrap_err();
    assert_eq!((busy.kind, busy.retry_after_s), (FailureKind::Weather, Some(90)));
}
