//! A Secret of Kubernetes: one entry of its data, by a merge patch (RFC 7386) that holds only while nobody else has
//! changed the Secret.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::deliveries::{DeliveryStep, FailureKind, settings::Kubernetes};
use http::Method;
use ops::ports::{StepDone, StepFault};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Way, done, fault, is_same,
    line::{Answer, headers},
    told::Told,
};

pub(super) async fn step(
    way: &Way<'_>,
    kubernetes: &Kubernetes,
    step: DeliveryStep,
) -> Result<StepDone, StepFault> {
    match step {
        DeliveryStep::Validate => validate(way, kubernetes).await.map_err(Answer::weather),
        DeliveryStep::Write => write(way, kubernetes).await,
        DeliveryStep::ReadBack => read_back(way, kubernetes).await.map_err(Answer::weather),
        DeliveryStep::Kick | DeliveryStep::Promote => Ok(done("there is nothing to do")),
    }
}

struct Found {
    resource_version: String,
    value: Option<Zeroizing<String>>,
}

async fn call(
    way: &Way<'_>,
    kubernetes: &Kubernetes,
    (method, query, what): (Method, &str, &str),
    body: Option<Told>,
) -> Result<Told, StepFault> {
    let Kubernetes { server, namespace, name, .. } = kubernetes;
    let url = format!("{server}/api/v1/namespaces/{namespace}/secrets/{name}{query}");
    let bearer = Zeroizing::new(format!("Bearer {}", way.job.credential.expose()));
    let mut pairs = vec![("accept", "application/json"), ("authorization", bearer.as_str())];
    if body.is_some() {
        pairs.push(("content-type", "application/merge-patch+json"));
    }
    let body = body.map(|body| body.bytes()).unwrap_or_default();
    let answer = way.line.send(method, &url, headers(&pairs)?, body).await?;
    answer.good(what)?.json(what)
}

fn read(kubernetes: &Kubernetes, told: &Value) -> Result<Found, StepFault> {
    let text = |pointer: &str| told.pointer(pointer).and_then(Value::as_str);
    if text("/kind") != Some("Secret") || text("/metadata/name") != Some(kubernetes.name.as_str()) {
        return Err(fault(FailureKind::Unclear, "what is answered is not the Secret"));
    }
    if told.get("immutable").and_then(Value::as_bool) == Some(true) {
        return Err(fault(FailureKind::Refused, "the Secret is immutable"));
    }
    let Some(resource_version) = text("/metadata/resourceVersion") else {
        return Err(fault(FailureKind::Unclear, "the Secret has no resourceVersion"));
    };
    let value = told.get("data").and_then(|data| data.get(&kubernetes.key)).and_then(Value::as_str);
    let value = value
        .map(|value| BASE64_STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok()))
        .map(|value| Zeroizing::new(value.unwrap_or_default()));
    Ok(Found { resource_version: resource_version.to_owned(), value })
}

async fn found(way: &Way<'_>, kubernetes: &Kubernetes) -> Result<Found, StepFault> {
    let told = call(way, kubernetes, (Method::GET, "", "reading the Secret"), None).await;
    let told = told.map_err(Answer::weather)?;
    read(kubernetes, &told).map_err(Answer::weather)
}

/// Reads it, and lets the server decide a patch that changes nothing and is not kept.
async fn validate(way: &Way<'_>, kubernetes: &Kubernetes) -> Result<StepDone, StepFault> {
    let found = found(way, kubernetes).await?;
    let same = json!({ "metadata": { "resourceVersion": found.resource_version } });
    let same = Told::new(same);
    let dry = "?dryRun=All&fieldManager=keyward";
    call(way, kubernetes, (Method::PATCH, dry, "a trial of changing the Secret"), Some(same)).await?;
    let entry = if found.value.is_some() { "has" } else { "does not have" };
    Ok(done(format!("the Secret may be changed, and {entry} the entry {}", kubernetes.key)))
}

async fn write(way: &Way<'_>, kubernetes: &Kubernetes) -> Result<StepDone, StepFault> {
    let secret = way.secret()?;
    let found = found(way, kubernetes).await?;
    if found.value.as_ref().is_some_and(|value| is_same(value, secret)) {
        return Ok(done("the Secret has it already"));
    }
    let mut data = Told::new(json!({}));
    data.set(&kubernetes.key, &Zeroizing::new(BASE64_STANDARD.encode(secret)));
    let patch = json!({ "metadata": { "resourceVersion": found.resource_version }, "data": *data });
    let patch = Told::new(patch);
    let query = "?fieldManager=keyward";
    let told = call(way, kubernetes, (Method::PATCH, query, "changing the Secret"), Some(patch)).await?;
    let written = read(kubernetes, &told)?;
    Ok(done(format!("written; the Secret is at resourceVersion {}", way.word(&written.resource_version))))
}

async fn read_back(way: &Way<'_>, kubernetes: &Kubernetes) -> Result<StepDone, StepFault> {
    let found = found(way, kubernetes).await?;
    Ok(way.compared(found.value.as_ref().map(|value| value.as_str()), &format!("entry {}", kubernetes.key)))
}
