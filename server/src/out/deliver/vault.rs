//! Vault and OpenBao, engine KV version 2: one field of a secret, written with check-and-set over what was read, so
//! that nobody's change is lost and the other fields stay.

use domain::deliveries::{
    DeliveryStep, FailureKind,
    settings::{Vault, VaultSignIn},
};
use http::{HeaderMap, Method};
use ops::ports::{StepDone, StepFault};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Way, done, fault, is_same,
    line::{Answer, headers},
    told::Told,
};

pub(super) async fn step(way: &Way<'_>, vault: &Vault, step: DeliveryStep) -> Result<StepDone, StepFault> {
    match step {
        DeliveryStep::Validate => validate(way, vault).await.map_err(Answer::weather),
        DeliveryStep::Write => write(way, vault).await,
        DeliveryStep::ReadBack => read_back(way, vault).await.map_err(Answer::weather),
        DeliveryStep::Kick | DeliveryStep::Promote => Ok(done("there is nothing to do")),
    }
}

fn url(vault: &Vault, path: &str) -> String {
    format!("{}/v1/{path}", vault.address)
}

fn data_path(vault: &Vault) -> String {
    format!("{}/data/{}", vault.mount, vault.path)
}

/// The token: the one that was set, or one for the AppRole.
async fn token(way: &Way<'_>, vault: &Vault) -> Result<Zeroizing<String>, StepFault> {
    let credential = way.job.credential.expose();
    match vault.sign_in {
        VaultSignIn::Token => Ok(Zeroizing::new(credential.to_owned())),
        VaultSignIn::Approle => {
            let url = url(vault, &format!("auth/{}/login", vault.approle_mount));
            let body = Told::new(json!({ "role_id": vault.role_id, "secret_id": credential })).bytes();
            let answer = way.line.send(Method::POST, &url, with(vault, None)?, body).await;
            let answer = answer.map_err(Answer::weather)?;
            if answer.status == 400 {
                // Vault says 400 of a secret id that it does not know.
                return Err(fault(FailureKind::Refused, "the AppRole is not accepted: role id or secret id"));
            }
            let told = answer.good("the sign-in").map_err(Answer::weather)?.json("the sign-in")?;
            let token = told.pointer("/auth/client_token").and_then(Value::as_str);
            let token = token.filter(|token| !token.is_empty());
            token
                .map(|token| Zeroizing::new(token.to_owned()))
                .ok_or_else(|| fault(FailureKind::Weather, "the sign-in gives no token"))
        }
    }
}

fn with(vault: &Vault, token: Option<&str>) -> Result<HeaderMap, StepFault> {
    let mut pairs = vec![("content-type", "application/json"), ("x-vault-request", "true")];
    pairs.extend(token.map(|token| ("x-vault-token", token)));
    if !vault.namespace.is_empty() {
        pairs.push(("x-vault-namespace", vault.namespace.as_str()));
    }
    headers(&pairs)
}

/// What is there now.
struct Found {
    version: i64,
    fields: Told,
}

async fn found(way: &Way<'_>, vault: &Vault, token: &str) -> Result<Found, StepFault> {
    let headers = with(vault, Some(token))?;
    let answer =
        way.line.send(Method::GET, &url(vault, &data_path(vault)), headers, Zeroizing::default()).await;
    let answer = answer.map_err(Answer::weather)?;
    // A secret that never was has no body; one whose last version was deleted has its metadata.
    let is_missing = answer.status == 404;
    let answer =
        if is_missing { answer } else { answer.good("reading the secret").map_err(Answer::weather)? };
    let told = if is_missing {
        Told::new(serde_json::from_slice(&answer.body).unwrap_or_default())
    } else {
        answer.json("reading the secret").map_err(Answer::weather)?
    };
    let version = told.pointer("/data/metadata/version").and_then(Value::as_i64);
    if is_missing {
        return Ok(Found { version: version.unwrap_or_default(), fields: Told::new(json!({})) });
    }
    let Some(version) = version else {
        let sentence = "the secret has no version: the mount is not an engine KV version 2";
        return Err(fault(FailureKind::Refused, sentence));
    };
    let fields = told.pointer("/data/data").and_then(Value::as_object).cloned().unwrap_or_default();
    let fields = Told::new(Value::Object(fields));
    Ok(Found { version, fields })
}

async fn validate(way: &Way<'_>, vault: &Vault) -> Result<StepDone, StepFault> {
    let token = token(way, vault).await?;
    let body = Told::new(json!({ "paths": [data_path(vault)] })).bytes();
    let headers = with(vault, Some(&token))?;
    let answer = way.line.send(Method::POST, &url(vault, "sys/capabilities-self"), headers, body).await?;
    // Who may not ask what it may do is found out by doing it.
    if answer.status == 200 {
        let told = answer.json("the question for capabilities")?;
        let path = data_path(vault);
        let list = told.get(&path).or_else(|| told.pointer("/data").and_then(|data| data.get(&path)));
        let list = list.or_else(|| told.get("capabilities")).and_then(Value::as_array);
        if let Some(list) = list {
            let has = |word: &str| list.iter().any(|found| found.as_str() == Some(word));
            let missing: Vec<&str> =
                ["create", "read", "update"].into_iter().filter(|word| !has(word) && !has("root")).collect();
            if !missing.is_empty() {
                let sentence = format!("the policy lacks {} on {}", missing.join(", "), data_path(vault));
                return Err(fault(FailureKind::Refused, sentence));
            }
        }
    }
    let found = found(way, vault, &token).await?;
    Ok(done(match found.version {
        0 => "signed in; the secret is not there yet".to_owned(),
        version => format!("signed in; the secret is at version {version}"),
    }))
}

async fn write(way: &Way<'_>, vault: &Vault) -> Result<StepDone, StepFault> {
    let secret = way.secret()?;
    let token = token(way, vault).await?;
    let Found { version, mut fields } = found(way, vault, &token).await?;
    if fields.get(&vault.field).and_then(Value::as_str).is_some_and(|found| is_same(found, secret)) {
        return Ok(done(format!("version {version} has it already")));
    }
    fields.set(&vault.field, secret);
    let body = Told::new(json!({ "options": { "cas": version }, "data": *fields })).bytes();
    let headers = with(vault, Some(&token))?;
    let answer = way.line.send(Method::POST, &url(vault, &data_path(vault)), headers, body).await?;
    if answer.status == 400 && String::from_utf8_lossy(&answer.body).contains("check-and-set") {
        return Err(fault(FailureKind::Weather, "somebody else wrote the secret at the same time"));
    }
    let told = answer.good("writing the secret")?.json("writing the secret")?;
    let Some(written) = told.pointer("/data/version").and_then(Value::as_i64) else {
        return Err(fault(FailureKind::Unclear, "writing the secret is answered without a version"));
    };
    Ok(done(format!("written as version {written}, over version {version}")))
}

async fn read_back(way: &Way<'_>, vault: &Vault) -> Result<StepDone, StepFault> {
    let token = token(way, vault).await?;
    let found = found(way, vault, &token).await?;
    let place = match found.version {
        0 => "the secret".to_owned(),
        version => format!("field {} of version {version}", vault.field),
    };
    Ok(way.compared(found.fields.get(&vault.field).and_then(Value::as_str), &place))
}
