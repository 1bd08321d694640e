//! Microsoft Entra ID through Microsoft Graph: base URL and key of a provisioning job, and one start of it.
//!
//! Graph never shows a key that it was given: what is read back is whether the job runs, and why it does not.

use domain::deliveries::{DeliveryStep, FailureKind, settings::EntraGraph};
use http::Method;
use ops::ports::{StepDone, StepFault};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Way, done, fault,
    line::{Answer, headers},
    told::Told,
};

pub(super) async fn step(
    way: &Way<'_>,
    entra: &EntraGraph,
    step: DeliveryStep,
) -> Result<StepDone, StepFault> {
    match step {
        DeliveryStep::Validate => validate(way, entra).await.map_err(Answer::weather),
        DeliveryStep::Write => write(way, entra).await,
        DeliveryStep::Kick => kick(way, entra).await,
        DeliveryStep::ReadBack => read_back(way, entra).await.map_err(Answer::weather),
        DeliveryStep::Promote => Ok(done("there is nothing to do")),
    }
}

/// Client credentials (RFC 6749 4.4), as the Microsoft identity platform takes them.
async fn token(way: &Way<'_>, entra: &EntraGraph) -> Result<Zeroizing<String>, StepFault> {
    let url = format!("{}/{}/oauth2/v2.0/token", entra.login_url, entra.tenant_id);
    let scope = format!("{}/.default", entra.graph_url);
    let form = serde_urlencoded::to_string([
        ("grant_type", "client_credentials"),
        ("client_id", &entra.client_id),
        ("client_secret", way.job.credential.expose()),
        ("scope", &scope),
    ]);
    let form = form.map_err(|_| fault(FailureKind::Refused, "the credential cannot stand in a form"))?;
    let headers = headers(&[("content-type", "application/x-www-form-urlencoded")])?;
    let answer = way.line.send(Method::POST, &url, headers, Zeroizing::new(form.into_bytes())).await;
    let answer = answer.map_err(Answer::weather)?;
    if answer.status != 200 {
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = told.get("error").and_then(Value::as_str).unwrap_or("no reason");
        let mut fault = Answer::weather(answer.refusal("the sign-in", &way.word(code)));
        if matches!(code, "invalid_client" | "unauthorized_client" | "invalid_request") {
            fault.kind = FailureKind::Refused;
        }
        return Err(fault);
    }
    let told = answer.json("the sign-in").map_err(Answer::weather)?;
    let token = told.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
    token
        .map(|token| Zeroizing::new(token.to_owned()))
        .ok_or_else(|| fault(FailureKind::Weather, "the sign-in gives no token"))
}

/// Asks Graph; `path` begins below the enterprise application's synchronization.
async fn ask(
    way: &Way<'_>,
    entra: &EntraGraph,
    (method, path, what): (Method, &str, &str),
    body: Option<&Told>,
) -> Result<Answer, StepFault> {
    let token = token(way, entra).await?;
    let bearer = Zeroizing::new(format!("Bearer {}", token.as_str()));
    let mut pairs = vec![("accept", "application/json"), ("authorization", bearer.as_str())];
    if body.is_some() {
        pairs.push(("content-type", "application/json"));
    }
    let url = format!(
        "{}/v1.0/servicePrincipals/{}/synchronization/{path}",
        entra.graph_url, entra.service_principal_id
    );
    let body = body.map(Told::bytes).unwrap_or_default();
    let answer = way.line.send(method, &url, headers(&pairs)?, body).await?;
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = told.pointer("/error/code").and_then(Value::as_str).unwrap_or("no reason");
    Err(answer.refusal(what, &way.word(code)))
}

/// How the job does.
struct Job {
    code: String,
    reason: Option<String>,
}

async fn job(way: &Way<'_>, entra: &EntraGraph) -> Result<Job, StepFault> {
    let path = format!("jobs/{}", entra.job_id);
    let what = "reading the job";
    let answer = ask(way, entra, (Method::GET, &path, what), None).await.map_err(Answer::weather)?;
    let told = answer.json(what).map_err(Answer::weather)?;
    if told.get("id").and_then(Value::as_str) != Some(entra.job_id.as_str()) {
        return Err(fault(FailureKind::Weather, "what is answered is not the job"));
    }
    let Some(code) = told.pointer("/status/code").and_then(Value::as_str) else {
        return Err(fault(FailureKind::Weather, "the job has no status"));
    };
    let reason = told.pointer("/status/quarantine/reason").and_then(Value::as_str);
    Ok(Job { code: way.word(code), reason: reason.map(|reason| way.word(reason)) })
}

fn credentials(way: &Way<'_>) -> Result<Told, StepFault> {
    Ok(Told::new(json!([
        { "key": "BaseAddress", "value": way.job.parcel.base_url },
        { "key": "SecretToken", "value": way.secret()? },
    ])))
}

/// Whether the job is there, and whether Entra gets in with the new key; a test has none.
async fn validate(way: &Way<'_>, entra: &EntraGraph) -> Result<StepDone, StepFault> {
    let job = job(way, entra).await?;
    if way.job.parcel.secret.is_none() {
        return Ok(done(format!("signed in; the job is {}", job.code)));
    }
    let path = format!("jobs/{}/validateCredentials", entra.job_id);
    let body = Told::new(json!({ "useSavedCredentials": false, "credentials": *credentials(way)? }));
    ask(way, entra, (Method::POST, &path, "Entra's test of the new key"), Some(&body)).await?;
    Ok(done(format!("Entra gets in with the new key; the job is {}", job.code)))
}

async fn write(way: &Way<'_>, entra: &EntraGraph) -> Result<StepDone, StepFault> {
    let body = Told::new(json!({ "value": *credentials(way)? }));
    ask(way, entra, (Method::PUT, "secrets", "giving Entra the new key"), Some(&body)).await?;
    Ok(done("Entra took the base URL and the new key"))
}

/// Starts the job, which also ends its quarantine. One that a person has paused stays so.
async fn kick(way: &Way<'_>, entra: &EntraGraph) -> Result<StepDone, StepFault> {
    let before = job(way, entra).await?;
    if before.code == "Paused" {
        return Ok(done("the job is paused in Entra and stays so; whoever paused it starts it"));
    }
    let path = format!("jobs/{}/start", entra.job_id);
    ask(way, entra, (Method::POST, &path, "starting the job"), None).await?;
    Ok(done(format!("the job was started; it was {}", before.code)))
}

async fn read_back(way: &Way<'_>, entra: &EntraGraph) -> Result<StepDone, StepFault> {
    let Job { code, reason } = job(way, entra).await?;
    let wants_kick = !matches!(code.as_str(), "Active" | "Paused");
    let sentence = match reason.filter(|_| code == "Quarantine") {
        Some(reason) => format!("the job is in quarantine: {reason}"),
        None => format!("the job is {code}; Entra does not show the key that it has"),
    };
    Ok(StepDone { wants_kick, ..done(sentence) })
}
