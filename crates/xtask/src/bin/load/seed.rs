//! Groups, provisioned over HTTP as providers do it, and the ids in answers.

use serde_json::Value;

use crate::Outcome;
use crate::keyward::Keyward;

/// Creates a group of these users and returns its path.
///
/// # Errors
/// When it is not created.
pub async fn group(keyward: &Keyward, name: &str, members: &[&str]) -> Outcome<String> {
    let mut client = keyward.client().await?;
    let body = format!(
        "{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:Group\"],\"displayName\":\"{name}\"}}"
    );
    let answer = client.send("POST", &format!("{}/Groups", keyward.base), &body).await?;
    let path = format!("{}/Groups/{}", keyward.base, id_of(answer.status, &answer.body)?);
    for part in members.chunks(1_000) {
        let values: Vec<String> = part.iter().map(|id| format!("{{\"value\":\"{id}\"}}")).collect();
        let body = format!(
            "{{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":[{{\"op\":\"add\",\
             \"path\":\"members\",\"value\":[{}]}}]}}",
            values.join(",")
        );
        let answer = client.send("PATCH", &path, &body).await?;
        if !(200..300).contains(&answer.status) {
            return Err(format!("members of {name}: {}", String::from_utf8_lossy(&answer.body)).into());
        }
    }
    Ok(path)
}

/// The id at the end of a path.
pub fn id_in(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The id in the answer to a POST.
///
/// # Errors
/// When nothing was created.
pub fn id_of(status: u16, body: &[u8]) -> Outcome<String> {
    let made: Value = serde_json::from_slice(body)?;
    match made["id"].as_str() {
        Some(id) if status == 201 => Ok(id.to_owned()),
        _ => Err(format!("POST: {status} {made}").into()),
    }
}
