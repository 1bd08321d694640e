//! For the bench: the rows of provisioned users, written as fast as one connection can.
//!
//! The same statements as the committer's, in groups that are committed and synced together; no queue, no keys, no
//! rights, no HTTP. It shows what the database costs, and so what is left to Keyward.

use domain::{
    FederationId, KeyId, RequestId, ResourceId,
    audit::{Action, ActorKind, ActorRef, AuditEvent, Outcome},
    federations::{Federation, FederationStatus, RotationPolicy, Slug, Vendor},
    usage::{Decision, UsageRecord},
};

use crate::{
    Error, Target, audit, committer, directory::Reindex, federations, usage::Plan, users, users::UserRow,
};

/// Writes groups of users with their usage and audit records while `goes_on`; how many users.
///
/// # Errors
/// When the database does not take them.
pub async fn write(target: &Target, group: usize, goes_on: impl Fn() -> bool) -> Result<u64, Error> {
    let mut link = target.connect().await?;
    let at_ms = 1_800_000_000_000;
    let federation = federation(at_ms);
    let known = federations::by_slug(&mut link.conn(), &federation.slug).await?;
    let (federation_id, is_new) = known.map_or((federation.id.clone(), true), |known| (known.id, false));
    if is_new {
        federations::insert(&mut link.conn(), &federation).await?;
    }
    let head = audit::head(&mut link.conn()).await?.seq;
    let mut number = u64::try_from(head).unwrap_or(0);
    let mut written = 0;
    while goes_on() {
        let mut conn = link.conn();
        committer::execute(&mut conn, "BEGIN").await?;
        let (mut events, mut uses) = (Vec::with_capacity(group), Vec::with_capacity(group));
        for _ in 0..group {
            number += 1;
            let user = user(number, at_ms);
            let body = serde_json::from_str(&user.body).map_err(|error| Error::Corrupt(error.to_string()))?;
            users::insert(&mut conn, &federation_id, &user, &Reindex::created(&body), "raw").await?;
            uses.push(usage(number, at_ms, &federation_id, &user));
            events.push(event(at_ms, &federation_id, &user));
        }
        Plan::of(&uses)?.write(&mut conn).await?;
        audit::append(&mut conn, events).await?;
        committer::execute(&mut conn, "COMMIT").await?;
        written += group as u64;
    }
    link.close().await;
    Ok(written)
}

fn chance(number: u64) -> [u8; 10] {
    let mut chance = [0; 10];
    for (byte, value) in chance.iter_mut().zip(number.to_be_bytes()) {
        *byte = value;
    }
    chance
}

/// Time in the ids goes on with their number, as it does in a server.
fn made_ms(number: u64, at_ms: i64) -> i64 {
    at_ms + i64::try_from(number / 16).unwrap_or(0)
}

fn federation(at_ms: i64) -> Federation {
    Federation {
        id: FederationId::new(at_ms, [1; 10]),
        slug: Slug::parse("raw").expect("raw is a slug"),
        name: "Raw".to_owned(),
        vendor: Vendor::Other,
        status: FederationStatus::Live,
        owners: Vec::new(),
        notes: String::new(),
        policy: RotationPolicy::default(),
        scim: domain::federations::ScimSettings::default(),
        target: domain::federations::FederationTarget::Embedded,
        version: 1,
        created_ms: at_ms,
        updated_ms: at_ms,
    }
}

fn user(number: u64, at_ms: i64) -> UserRow {
    let name = format!("r{number}");
    let at_ms = made_ms(number, at_ms);
    UserRow {
        id: ResourceId::new(at_ms, chance(number)),
        user_name: format!("{name}@example.com"),
        external_id: Some(name.clone()),
        active: true,
        body: format!(
            "{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"{name}@example.com\",\
             \"externalId\":\"{name}\",\"name\":{{\"givenName\":\"Ada\",\"familyName\":\"{name}\"}},\
             \"displayName\":\"Ada {name}\",\"active\":true,\
             \"emails\":[{{\"value\":\"{name}@example.com\",\"type\":\"work\",\"primary\":true}}]}}"
        ),
        version: 1,
        created_ms: at_ms,
        modified_ms: at_ms,
    }
}

fn usage(number: u64, at_ms: i64, federation_id: &FederationId, user: &UserRow) -> UsageRecord {
    UsageRecord {
        request_id: RequestId::new(made_ms(number, at_ms), chance(number)),
        at_ms,
        federation_id: Some(federation_id.clone()),
        key_id: KeyId::new(at_ms, [1; 10]),
        method: "POST".to_owned(),
        resource_type: "Users".to_owned(),
        resource_id: Some(user.id.to_string()),
        status: 201,
        decision: Decision::Allowed,
        reason: None,
        duration_us: 1_000,
        source: Some("127.0.0.1".to_owned()),
        user_agent: None,
        tolerated: Vec::new(),
    }
}

fn event(at_ms: i64, federation_id: &FederationId, user: &UserRow) -> AuditEvent {
    AuditEvent {
        at_ms,
        actor: ActorRef { kind: ActorKind::Key, id: "key".to_owned(), name: "load".to_owned() },
        action: Action::UserCreated,
        outcome: Outcome::Done,
        reason: None,
        federation_id: Some(federation_id.clone()),
        key_id: Some(KeyId::new(at_ms, [1; 10])),
        target: Some(user.user_name.clone()),
        source: Some("127.0.0.1".to_owned()),
        request_id: user.id.to_string(),
        detail: format!("{{\"id\":\"{}\",\"externalId\":\"x\",\"active\":true}}", user.id),
    }
}
