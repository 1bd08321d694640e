//! For the bench: the rows of provisioned users, written as fast as one connection can.
//!
//! [`write()`]: the same statements as the committer's, in groups that are committed and synced together; no queue, no
//! keys, no rights, no HTTP. It shows what the database costs, and so what is left to Keyward.
//!
//! [`fill`]: very many users at once, for what is measured with very many users. They leave no records.

use domain::{
    FederationId, KeyId, RequestId, ResourceId,
    audit::{Action, ActorKind, ActorRef, AuditEvent, Outcome},
    federations::{Federation, FederationStatus, RotationPolicy, Slug, Vendor},
    usage::{Decision, UsageRecord},
};

use crate::{
    Conn, Error, Target, audit, committer,
    db::{Raw, SQLITE_MIGRATIONS, on_db},
    directory::Reindex,
    federations,
    usage::Plan,
    users,
    users::UserRow,
};

/// When the users of [`fill`] were made: before whatever is made while something is measured.
const FILLED_MS: i64 = 1_700_000_000_000;

/// Rows of one statement of [`fill`].
const ROWS: u64 = 64;

/// Users of one commit of [`fill`].
const COMMITTED: u64 = 65_536;

const USERS: &str =
    "INSERT INTO scim_users (federation_id, id, user_name, user_name_lower, external_id, active, body,
    made_by, version, created_ms, modified_ms) ";
const VALUES: &str = "INSERT INTO scim_user_values (federation_id, attribute, value, user_id) ";

/// A word that is another one whenever the schema is.
pub fn schema() -> String {
    let bytes = SQLITE_MIGRATIONS.iter().flat_map(|migration| migration.checksum.iter());
    // FNV-1a: it need not be more than different.
    let hash = bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    });
    format!("{hash:016x}")
}

/// The id of the user `u{number}` of [`fill`].
pub fn id(number: u64) -> ResourceId {
    ResourceId::new(made_ms(number, FILLED_MS), chance(number))
}

/// Writes the users `u0`, `u1`, … into a federation that has none.
///
/// # Errors
/// When there is no such federation, or the database does not take them.
pub async fn fill(target: &Target, slug: &Slug, count: u64) -> Result<(), Error> {
    let mut link = target.connect().await?;
    let federation = federations::by_slug(&mut link.conn(), slug).await?;
    let federation = federation.ok_or_else(|| Error::Corrupt(format!("no federation {slug}")))?.id;
    let sqlite = matches!(link.conn().raw, Raw::Sqlite(_));
    let pragmas = |words: &'static [&'static str]| words.iter().filter(move |_| sqlite);
    // Who loses the file fills another one.
    for word in pragmas(&["PRAGMA synchronous = OFF", "PRAGMA cache_size = -262144"]) {
        committer::execute(&mut link.conn(), word).await?;
    }
    for from in (0..count).step_by(usize::try_from(COMMITTED).unwrap_or(1)) {
        let mut conn = link.conn();
        committer::execute(&mut conn, "BEGIN").await?;
        let until = count.min(from + COMMITTED);
        for row in (from..until).step_by(usize::try_from(ROWS).unwrap_or(1)) {
            let rows: Vec<UserRow> = (row..until.min(row + ROWS))
                .map(|number| UserRow { id: id(number), ..user(&format!("u{number}"), number, FILLED_MS) })
                .collect();
            insert(&mut conn, &federation, &rows).await?;
        }
        committer::execute(&mut conn, "COMMIT").await?;
    }
    for word in pragmas(&["PRAGMA wal_checkpoint(TRUNCATE)"]) {
        committer::execute(&mut link.conn(), word).await?;
    }
    link.close().await;
    Ok(())
}

async fn insert(conn: &mut Conn<'_>, federation: &FederationId, rows: &[UserRow]) -> Result<(), Error> {
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        let body = serde_json::from_str(&row.body).map_err(|error| Error::Corrupt(error.to_string()))?;
        values.extend(Reindex::created(&body).new_keys().iter().map(|key| (key.clone(), &row.id)));
    }
    on_db!(&mut *conn, db => {
        let mut sql = sqlx::QueryBuilder::new(USERS);
        sql.push_values(rows, |mut row, user| {
            row.push_bind(federation.as_str()).push_bind(user.id.as_str()).push_bind(user.user_name.as_str());
            row.push_bind(scim::fold_case(&user.user_name)).push_bind(user.external_id.as_deref());
            row.push_bind(i64::from(user.active)).push_bind(user.body.as_str()).push_bind("raw");
            row.push_bind(user.version).push_bind(user.created_ms).push_bind(user.modified_ms);
        });
        sql.build().execute(db).await.map(drop)
    })?;
    on_db!(conn, db => {
        let mut sql = sqlx::QueryBuilder::new(VALUES);
        sql.push_values(&values, |mut row, ((lookup, key), id)| {
            row.push_bind(federation.as_str()).push_bind(lookup.as_str());
            row.push_bind(key.as_str()).push_bind(id.as_str());
        });
        sql.build().execute(db).await.map(drop)
    })?;
    Ok(())
}

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
            let user = user(&format!("r{number}"), number, at_ms);
            let body = serde_json::from_str(&user.body).map_err(|error| Error::Corrupt(error.to_string()))?;
            users::insert(&mut conn, &federation_id, &user, &Reindex::created(&body)).await?;
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
        rotation: domain::rotations::policy::RotationRules::default(),
        scim: domain::federations::ScimSettings::default(),
        behaviour: domain::behaviour::Rules::default(),
        target: domain::federations::FederationTarget::Embedded,
        version: 1,
        created_ms: at_ms,
        updated_ms: at_ms,
    }
}

fn user(name: &str, number: u64, at_ms: i64) -> UserRow {
    let at_ms = made_ms(number, at_ms);
    UserRow {
        id: ResourceId::new(at_ms, chance(number)),
        user_name: format!("{name}@example.com"),
        external_id: Some(name.to_owned()),
        active: true,
        body: format!(
            "{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"{name}@example.com\",\
             \"externalId\":\"{name}\",\"name\":{{\"givenName\":\"Ada\",\"familyName\":\"{name}\"}},\
             \"displayName\":\"Ada {name}\",\"active\":true,\
             \"emails\":[{{\"value\":\"{name}@example.com\",\"type\":\"work\",\"primary\":true}}]}}"
        ),
        made_by: "raw".to_owned(),
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
        is_work: true,
        facts: domain::usage::Facts::default(),
        attributes: Vec::new(),
    }
}

/// The number of the last audit record.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn audit_records(target: &Target) -> Result<i64, Error> {
    let mut link = target.connect().await?;
    let head = audit::head(&mut link.conn()).await;
    link.close().await;
    Ok(head?.seq)
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
