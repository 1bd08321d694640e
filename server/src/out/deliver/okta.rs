//! The provisioning connection of an application in Okta. Only some applications take a key this way; of the others
//! Okta answers 200 with the status UNKNOWN.

use domain::deliveries::{DeliveryStep, FailureKind, settings::OktaConnection};
use http::Method;
use ops::ports::{StepDone, StepFault};
use serde_json::{Value, json};

use super::{
    Way, done, fault,
    line::{Answer, headers},
    told::Told,
};

pub(super) async fn step(
    way: &Way<'_>,
    okta: &OktaConnection,
    step: DeliveryStep,
) -> Result<StepDone, StepFault> {
    match step {
        DeliveryStep::Validate => validate(way, okta).await.map_err(Answer::weather),
        DeliveryStep::Write => write(way, okta).await,
        DeliveryStep::ReadBack => read_back(way, okta).await.map_err(Answer::weather),
        DeliveryStep::Kick | DeliveryStep::Promote => Ok(done("there is nothing to do")),
    }
}

/// The status of the connection.
async fn ask(
    way: &Way<'_>,
    okta: &OktaConnection,
    (method, query, what): (Method, &str, &str),
    body: Option<Told>,
) -> Result<String, StepFault> {
    let url = format!("{}/api/v1/apps/{}/connections/default{query}", okta.org_url, okta.app_id);
    let token = zeroize::Zeroizing::new(format!("SSWS {}", way.job.credential.expose()));
    let mut pairs = vec![("accept", "application/json"), ("authorization", token.as_str())];
    if body.is_some() {
        pairs.push(("content-type", "application/json"));
    }
    let body = body.map(|body| body.bytes()).unwrap_or_default();
    let answer = way.line.send(method, &url, headers(&pairs)?, body).await?;
    if !(200..300).contains(&answer.status) {
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = told.get("errorCode").and_then(Value::as_str).unwrap_or("no reason");
        return Err(answer.refusal(what, &way.word(code)));
    }
    let told = answer.json(what)?;
    let status = told.get("status").and_then(Value::as_str);
    let status =
        status.ok_or_else(|| fault(FailureKind::Unclear, format!("{what} is answered without a status")))?;
    Ok(way.word(status))
}

fn unsupported() -> StepFault {
    let sentence = "Okta answers UNKNOWN: it takes no key for this application this way";
    fault(FailureKind::Unsupported, sentence)
}

async fn validate(way: &Way<'_>, okta: &OktaConnection) -> Result<StepDone, StepFault> {
    let status = ask(way, okta, (Method::GET, "", "reading the connection"), None).await?;
    Ok(done(format!("signed in; the connection of the application is {status}")))
}

async fn write(way: &Way<'_>, okta: &OktaConnection) -> Result<StepDone, StepFault> {
    let body = Told::new(json!({ "profile": { "authScheme": "TOKEN", "token": way.secret()? } }));
    let what = "giving Okta the new key";
    match ask(way, okta, (Method::POST, "?activate=TRUE", what), Some(body)).await?.as_str() {
        "ENABLED" => Ok(done("Okta took the new key, tried it, and enabled the connection")),
        // The key has gone out: Okta may keep it, whatever it says of the connection. It is looked at next.
        "UNKNOWN" => Err(fault(FailureKind::Unclear, "Okta was given the key and answers UNKNOWN")),
        status => Err(fault(
            FailureKind::Unclear,
            format!("Okta was given the key, and the connection is {status}"),
        )),
    }
}

async fn read_back(way: &Way<'_>, okta: &OktaConnection) -> Result<StepDone, StepFault> {
    match ask(way, okta, (Method::GET, "", "reading the connection"), None).await?.as_str() {
        "UNKNOWN" => Err(unsupported()),
        "ENABLED" => Ok(done("the connection is enabled; Okta does not show the key that it has")),
        status if way.job.parcel.secret.is_none() => Ok(done(format!("the connection is {status}"))),
        status => Err(fault(FailureKind::Weather, format!("the connection is {status}"))),
    }
}
