//! What is in the databases before anything is measured; provisioned over HTTP, as providers do it.

use serde_json::Value;

use crate::Outcome;
use crate::keyward::{Keyward, user};

/// Provisioning workers.
const WORKERS: u32 = 64;

/// Creates users `u0`, `u1`, … and returns the path of each.
///
/// # Errors
/// When one is not created.
pub async fn users(keyward: &Keyward, count: u32) -> Outcome<Vec<String>> {
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let mut client = keyward.client().await?;
        let base = keyward.base.clone();
        workers.push(tokio::spawn(async move {
            let mut paths = Vec::new();
            for number in (worker..count).step_by(WORKERS as usize) {
                let body = user(&format!("u{number}"));
                let answer = client.send("POST", &format!("{base}/Users"), &body).await?;
                paths.push(format!("{base}/Users/{}", id_of(answer.status, &answer.body)?));
            }
            Outcome::Ok(paths)
        }));
    }
    let mut paths = Vec::new();
    for worker in workers {
        paths.extend(worker.await??);
    }
    Ok(paths)
}

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

fn id_of(status: u16, body: &[u8]) -> Outcome<String> {
    let made: Value = serde_json::from_slice(body)?;
    match made["id"].as_str() {
        Some(id) if status == 201 => Ok(id.to_owned()),
        _ => Err(format!("POST: {status} {made}").into()),
    }
}
