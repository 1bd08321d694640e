//! AWS Secrets Manager: the key becomes AWSPENDING under a version id that is the delivery's own, so that the same
//! delivery never makes two; AWSCURRENT moves to it on proof of use.

use aws_lc_rs::digest;
use domain::{
    deliveries::{
        DeliveryStep, FailureKind, Holds,
        settings::{AwsCurrent, AwsSecretsManager},
    },
    hex,
};
use http::Method;
use ops::ports::{StepDone, StepFault};
use serde_json::{Map, Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::{
    Way, done, fault,
    line::{Answer, headers},
    seen,
    sigv4::{Signed, Signer, date},
    told::Told,
};

const PENDING: &str = "AWSPENDING";
const CURRENT: &str = "AWSCURRENT";

pub(super) async fn step(
    way: &Way<'_>,
    aws: &AwsSecretsManager,
    step: DeliveryStep,
) -> Result<StepDone, StepFault> {
    match step {
        DeliveryStep::Validate => validate(way, aws).await.map_err(Answer::weather),
        DeliveryStep::Write => write(way, aws).await,
        DeliveryStep::ReadBack => read_back(way, aws).await.map_err(Answer::weather),
        DeliveryStep::Promote => promote(way, aws).await,
        DeliveryStep::Kick => Ok(done("there is nothing to start")),
    }
}

/// What AWS says that it could not do.
struct Refusal {
    code: String,
    fault: StepFault,
}

/// Asks for one thing.
async fn ask(
    way: &Way<'_>,
    aws: &AwsSecretsManager,
    operation: &'static str,
    body: Value,
) -> Result<Result<Told, Refusal>, StepFault> {
    let base = aws.url();
    let url = Url::parse(&base)
        .map_err(|_| fault(FailureKind::Refused, "its address is not one that can be called"))?;
    let host = match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    let (body, at) = (Told::new(body).bytes(), date(way.clock.now_ms()));
    let target = format!("secretsmanager.{operation}");
    let signed = [
        ("content-type", "application/x-amz-json-1.1"),
        ("host", host.as_str()),
        ("x-amz-date", at.as_str()),
        ("x-amz-target", target.as_str()),
    ];
    let signer = Signer {
        access_key_id: &aws.access_key_id,
        secret: way.job.credential.expose(),
        region: aws.region(),
        service: "secretsmanager",
    };
    let request = Signed { method: "POST", path: url.path(), query: "", headers: &signed, body: &body };
    let authorization = signer.authorization(&request, &at);
    let headers = headers(&[
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-date", &at),
        ("x-amz-target", &target),
        ("authorization", &authorization),
    ])?;
    let answer = way.line.send(Method::POST, &base, headers, body).await?;
    if answer.status == 200 {
        return answer.json(operation).map(Ok);
    }
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = told.get("__type").and_then(Value::as_str).unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default().to_owned();
    let mut fault = answer.refusal(operation, &way.word(&code));
    // Most of what AWS refuses is a 400; the code says what it is.
    fault.kind = match code.as_str() {
        "ThrottlingException" | "RequestThrottledException" | "LimitExceededException" => {
            FailureKind::Weather
        }
        _ => fault.kind,
    };
    Ok(Err(Refusal { code, fault }))
}

async fn must(
    way: &Way<'_>,
    aws: &AwsSecretsManager,
    operation: &'static str,
    body: Value,
) -> Result<Told, StepFault> {
    ask(way, aws, operation, body).await?.map_err(|refusal| refusal.fault)
}

/// The version that this delivery makes.
fn version(way: &Way<'_>) -> Option<String> {
    let id = way.job.parcel.delivery_id.as_ref()?;
    let digest = hex(digest::digest(&digest::SHA256, id.as_str().as_bytes()).as_ref());
    digest.get(..32).map(str::to_owned)
}

fn own_version(way: &Way<'_>) -> Result<String, StepFault> {
    version(way).ok_or_else(|| fault(FailureKind::Refused, "a test writes nothing"))
}

async fn described(way: &Way<'_>, aws: &AwsSecretsManager) -> Result<Told, StepFault> {
    let described = must(way, aws, "DescribeSecret", json!({ "SecretId": aws.arn })).await?;
    if described.get("ARN").and_then(Value::as_str) != Some(aws.arn.as_str()) {
        let sentence = "the secret that answers has another ARN than the one that was approved";
        return Err(fault(FailureKind::Distrusted, sentence));
    }
    if described.get("DeletedDate").is_some_and(|date| !date.is_null()) {
        return Err(fault(FailureKind::Refused, "the secret is marked for deletion"));
    }
    Ok(described)
}

/// The versions that have a stage.
fn holders(described: &Value, stage: &str) -> Vec<String> {
    let stages = described.get("VersionIdsToStages").and_then(Value::as_object);
    let has = |value: &Value| {
        value.as_array().is_some_and(|stages| stages.iter().any(|found| found.as_str() == Some(stage)))
    };
    stages
        .map(|stages| stages.iter().filter(|(_, value)| has(value)).map(|(id, _)| id.clone()).collect())
        .unwrap_or_default()
}

async fn validate(way: &Way<'_>, aws: &AwsSecretsManager) -> Result<StepDone, StepFault> {
    let described = described(way, aws).await?;
    let count = described.get("VersionIdsToStages").and_then(Value::as_object).map_or(0, Map::len);
    Ok(done(format!("the secret is there, with {count} versions in stages")))
}

/// The text of the secret: the key, or the JSON that is there with the key in its field.
async fn text(way: &Way<'_>, aws: &AwsSecretsManager) -> Result<Zeroizing<String>, StepFault> {
    let secret = way.secret()?;
    if aws.field.is_empty() {
        return Ok(Zeroizing::new(secret.to_owned()));
    }
    let fields = match value(way, aws, json!({ "SecretId": aws.arn, "VersionStage": CURRENT })).await? {
        None => Map::new(),
        Some(text) => serde_json::from_str(&text).map_err(|_| {
            fault(FailureKind::Refused, "the secret is no JSON object, and a field of it is to be set")
        })?,
    };
    let mut fields = Told::new(Value::Object(fields));
    fields.set(&aws.field, secret);
    let text = std::str::from_utf8(&fields.bytes()).map(|text| Zeroizing::new(text.to_owned()));
    text.map_err(|_| fault(FailureKind::Refused, "the secret is no text"))
}

/// The text of a version; none when there is no such version.
async fn value(
    way: &Way<'_>,
    aws: &AwsSecretsManager,
    body: Value,
) -> Result<Option<Zeroizing<String>>, StepFault> {
    match ask(way, aws, "GetSecretValue", body).await? {
        Ok(found) => {
            let text = found.get("SecretString").and_then(Value::as_str);
            let text = text.ok_or_else(|| {
                fault(FailureKind::Unclear, "GetSecretValue is answered without a SecretString")
            });
            text.map(|text| Some(Zeroizing::new(text.to_owned())))
        }
        Err(refusal) if refusal.code == "ResourceNotFoundException" => Ok(None),
        Err(refusal) => Err(refusal.fault),
    }
}

async fn write(way: &Way<'_>, aws: &AwsSecretsManager) -> Result<StepDone, StepFault> {
    let version = own_version(way)?;
    let text = text(way, aws).await.map_err(Answer::weather)?;
    let stage = match aws.current {
        AwsCurrent::OnProof => PENDING,
        AwsCurrent::AtOnce => CURRENT,
    };
    let body = json!({
        "SecretId": aws.arn, "ClientRequestToken": version, "SecretString": *text, "VersionStages": [stage],
    });
    match ask(way, aws, "PutSecretValue", body).await? {
        Ok(_) => Ok(done(format!("written as {stage}"))),
        // The version is there with another text: another field was changed since. The read-back decides.
        Err(refusal) if refusal.code == "ResourceExistsException" => {
            Ok(done("this version was written before"))
        }
        Err(refusal) => Err(refusal.fault),
    }
}

/// The key in the text of a version.
fn key_in(aws: &AwsSecretsManager, text: Zeroizing<String>) -> Option<Zeroizing<String>> {
    if aws.field.is_empty() {
        return Some(text);
    }
    let fields = Told::new(serde_json::from_str(&text).ok()?);
    fields.get(&aws.field).and_then(Value::as_str).map(|found| Zeroizing::new(found.to_owned()))
}

async fn read_back(way: &Way<'_>, aws: &AwsSecretsManager) -> Result<StepDone, StepFault> {
    let Some(version) = version(way) else {
        let current = value(way, aws, json!({ "SecretId": aws.arn, "VersionStage": CURRENT })).await?;
        let found = current.and_then(|text| key_in(aws, text));
        return Ok(way.compared(found.as_ref().map(|found| found.as_str()), CURRENT));
    };
    let described = described(way, aws).await?;
    let found = value(way, aws, json!({ "SecretId": aws.arn, "VersionId": version })).await?;
    let found = found.and_then(|text| key_in(aws, text));
    let compared = way.compared(found.as_ref().map(|found| found.as_str()), "the new version");
    let is_staged = [PENDING, CURRENT].iter().any(|stage| holders(&described, stage).contains(&version));
    if compared.holds == Holds::Yes && !is_staged {
        return Ok(seen(Holds::No, "the version is there and in no stage: another one was written since"));
    }
    Ok(compared)
}

async fn promote(way: &Way<'_>, aws: &AwsSecretsManager) -> Result<StepDone, StepFault> {
    let version = own_version(way)?;
    let before = described(way, aws).await.map_err(Answer::weather)?;
    let current = holders(&before, CURRENT);
    if !current.contains(&version) {
        let mut body = json!({ "SecretId": aws.arn, "VersionStage": CURRENT, "MoveToVersionId": version });
        if let Some(old) = current.first() {
            body["RemoveFromVersionId"] = json!(old);
        }
        must(way, aws, "UpdateSecretVersionStage", body).await?;
    }
    if holders(&before, PENDING).contains(&version) {
        let body = json!({ "SecretId": aws.arn, "VersionStage": PENDING, "RemoveFromVersionId": version });
        must(way, aws, "UpdateSecretVersionStage", body).await?;
    }
    let after = described(way, aws).await.map_err(Answer::weather)?;
    if holders(&after, CURRENT) == [version] {
        Ok(done("AWSCURRENT is the new key"))
    } else {
        Err(fault(FailureKind::Unclear, "AWSCURRENT was moved, and is another version"))
    }
}
