//! Users of the embedded directory, as a provisioning key handles them (RFC 7644 3.3–3.6).

use std::{collections::HashMap, sync::Arc};

use domain::{
    Millis, ResourceId,
    audit::{Action, AuditEvent},
    scopes::{ResourceKind, Verb},
    usage::{Decision, UsageRecord},
};
use scim::{GroupRef, Op, Resource, ResourceType, ScimError};
use serde_json::json;
use store::{Change, Conn, directory::Reindex, groups::Belonging, users::UserRow};

pub use crate::directory::IfMatch;
use crate::{
    Cx, Error, ScimClient,
    directory::{
        Becomes, Edit, Next, TOLD, again, changed_attributes, check_length, check_version, next, only,
        stored_resource, uniqueness, with_tolerated,
    },
    effect::{self, Effect, RowFacts, attributes_of},
    journal,
    scim_client::Asked,
    scoped::{ceilings, sight, sight::Sight},
};

/// A user, and what an answer shows beside it.
#[derive(Debug, Clone)]
pub struct User {
    /// Made by the server.
    pub id: ResourceId,
    /// The resource, without `id`, `meta` and `groups`.
    pub resource: Resource,
    /// The key that made it.
    pub made_by: String,
    /// Counts its changes; the ETag.
    pub version: i64,
    /// When it was created.
    pub created_ms: Millis,
    /// When it was last changed.
    pub modified_ms: Millis,
    /// The groups that it is in, directly or through other groups.
    pub groups: Vec<GroupRef>,
}

/// Creates a user.
///
/// # Errors
/// 409 uniqueness when the `userName` is taken, whoever has it; Forbidden by the scope.
pub async fn create(cx: &Cx<ScimClient>, asked: &Asked, resource: Resource) -> Result<User, Error> {
    let made = async {
        cx.admit(Verb::Create, ResourceKind::Users)?;
        let now_ms = cx.now_ms();
        let user = User {
            id: ResourceId::new(now_ms, cx.keyward.id_chance()),
            resource,
            made_by: cx.actor.key_id.to_string(),
            version: 1,
            created_ms: now_ms,
            modified_ms: now_ms,
            groups: Vec::new(),
        };
        let row = row_of(&user)?;
        let reindex = Reindex::created(user.resource.as_value());
        let told = json!({ "id": user.id, "externalId": row.external_id, "active": row.active });
        let event = cx.directory_event(Action::UserCreated, &row.user_name, &told);
        let attributes = attributes_of(&user.resource);
        let usage = cx.usage(asked, Some(user.id.as_str()), 201, Decision::Allowed, None);
        let usage = usage.writing(&attributes);
        let (own, asked) = (cx.clone(), asked.clone());
        let made = cx
            .keyward
            .commit(async move |conn: &mut Conn<'_>| {
                own.still_accepted(conn).await?;
                let effect = Effect {
                    verb: Verb::Create,
                    kind: ResourceType::User,
                    id: &user.id,
                    name: &row.user_name,
                    before: None,
                    after: Some(&user.resource),
                    attributes: &attributes,
                    joining: &[],
                    leaving: &[],
                    belonged: &[],
                    row: RowFacts::from(&row),
                };
                if let Some(held) = effect::guard(&own, conn, &asked, &effect).await? {
                    return Ok(held.stop());
                }
                store::users::insert(conn, own.federation_id(), &row, &reindex).await.map_err(uniqueness)?;
                journal::write(&own, conn, &asked, &effect).await?;
                Ok(Change::new(Ok(user.clone()), event.clone()).with_usage(usage.clone()))
            })
            .await?;
        effect::told(made)
    };
    cx.changed(asked, Action::UserCreated, made.await).await
}

/// One user.
///
/// # Errors
/// NotFound; Forbidden by the scope.
pub async fn get(cx: &Cx<ScimClient>, asked: &Asked, id: &str) -> Result<User, Error> {
    let found = async {
        ceilings::admit_read(cx, ResourceKind::Users).await?;
        let mut reader = cx.read().await?;
        load(cx, &mut reader.conn(), id).await
    };
    cx.answered(asked, Action::UserRead, found.await).await
}

/// Replaces a user (RFC 7644 3.5.1). `if_match` holds the versions that the client accepts.
///
/// # Errors
/// NotFound; 409 uniqueness; 412 when it has another version; Forbidden by the scope.
pub async fn replace(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    id: &str,
    if_match: IfMatch,
    resource: Resource,
) -> Result<User, Error> {
    let made = update(cx, asked, id, if_match, Becomes::This(resource)).await;
    cx.changed(asked, Action::UserUpdated, made).await
}

/// Applies a PATCH (RFC 7644 3.5.2): all of it or nothing; what changes nothing leaves
/// `lastModified` alone.
///
/// # Errors
/// As the PATCH says; NotFound; 409 uniqueness; 412; Forbidden by the scope.
pub async fn patch(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    id: &str,
    if_match: IfMatch,
    operations: Vec<Op>,
) -> Result<User, Error> {
    let made = update(cx, asked, id, if_match, Becomes::Patched(operations)).await;
    cx.changed(asked, Action::UserUpdated, made).await
}

/// Deletes a user and takes it out of its groups.
///
/// # Errors
/// NotFound; 412; Forbidden by the scope.
pub async fn delete(cx: &Cx<ScimClient>, asked: &Asked, id: &str, if_match: IfMatch) -> Result<(), Error> {
    let made = async {
        cx.admit(Verb::Delete, ResourceKind::Users)?;
        let usage = cx.usage(asked, None, 204, Decision::Allowed, None);
        let (own, id, asked) = (cx.clone(), id.to_owned(), asked.clone());
        let made = cx
            .keyward
            .commit(async move |conn: &mut Conn<'_>| {
                own.still_accepted(conn).await?;
                let row = find(&own, conn, &id).await?;
                check_version(if_match.as_deref(), row.version)?;
                let left = store::groups::groups_of(conn, own.federation_id(), &[&row.id]).await?;
                let count = left.len();
                let (belonged, names): (Vec<String>, Vec<String>) =
                    left.into_iter().map(|group| (group.id, group.display_name)).unzip();
                let before = stored_resource(ResourceType::User, &row.body)?;
                let attributes = attributes_of(&before);
                let effect = Effect {
                    verb: Verb::Delete,
                    kind: ResourceType::User,
                    id: &row.id,
                    name: &row.user_name,
                    before: Some(&before),
                    after: None,
                    attributes: &attributes,
                    joining: &[],
                    leaving: &[],
                    belonged: &belonged,
                    row: RowFacts::from(&row),
                };
                if let Some(held) = effect::guard(&own, conn, &asked, &effect).await? {
                    return Ok(held.stop());
                }
                let left = names.get(..TOLD).unwrap_or(&names);
                let told = json!({
                    "id": row.id, "externalId": row.external_id, "active": row.active,
                    "groups_left": left, "groups_left_count": count,
                });
                let event = own.directory_event(Action::UserDeleted, &row.user_name, &told);
                // The row first: on Postgres no other node takes it into a group from here on.
                store::users::delete(conn, own.federation_id(), &row).await.map_err(again)?;
                store::groups::leave_all(conn, own.federation_id(), &row.id, own.now_ms()).await?;
                journal::write(&own, conn, &asked, &effect).await?;
                Ok(Change::new(Ok(()), event).with_usage(usage.clone()))
            })
            .await?;
        effect::told(made)
    };
    cx.changed(asked, Action::UserDeleted, made.await).await
}

/// Changes a user; see [`crate::directory`] for where that is computed.
async fn update(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    id: &str,
    if_match: IfMatch,
    becomes: Becomes,
) -> Result<User, Error> {
    cx.admit(Verb::Update, ResourceKind::Users)?;
    let edit = Arc::new(Edit::of(cx, becomes));
    edit.check(ResourceType::User)?;
    let mut overtaken = 0;
    loop {
        let mut reader = cx.read().await?;
        let row = find(cx, &mut reader.conn(), id).await?;
        check_version(if_match.as_deref(), row.version)?;
        let size = row.body.len();
        let before = only(with_groups(cx, &mut reader.conn(), vec![row]).await?)?;
        // No reader waits while a change is computed.
        drop(reader);
        let kind = ResourceType::User;
        let edited = edit.compute(&cx.keyward, kind, before.resource.clone(), size).await?;
        let asked = &with_tolerated(asked, edited.tolerated);
        if changed_attributes(&before.resource, &edited.resource).is_empty() {
            cx.record(asked, None, 200, Decision::Allowed, None).await?;
            return Ok(before);
        }
        match commit(cx, asked, before, edited.resource).await {
            Err(Error::Stale(_)) => {
                overtaken += 1;
                if next(overtaken, edited.took_us)? == Next::Inside {
                    return update_inside(cx, asked, id, if_match, edit).await;
                }
            }
            other => return other,
        }
    }
}

/// Commits a change that was computed outside.
///
/// # Errors
/// Stale when the user was changed or deleted since it was read.
async fn commit(cx: &Cx<ScimClient>, asked: &Asked, before: User, resource: Resource) -> Result<User, Error> {
    let update = Update::of(cx, before, resource)?;
    let usage = update.usage(cx.usage(asked, None, 200, Decision::Allowed, None));
    let (own, asked) = (cx.clone(), asked.clone());
    let made = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            own.still_accepted(conn).await?;
            let effect = update.effect();
            if let Some(held) = effect::guard(&own, conn, &asked, &effect).await? {
                return Ok(held.stop());
            }
            let version = store::users::update(conn, own.federation_id(), &update.row, &update.reindex).await;
            let version = version.map_err(uniqueness)?;
            journal::write(&own, conn, &asked, &effect).await?;
            let after = User { version, ..update.after.clone() };
            Ok(Change::new(Ok(after), update.event.clone()).with_usage(usage.clone()))
        })
        .await?;
    effect::told(made)
}

/// Reads, computes and writes in one unit: nobody is faster there.
async fn update_inside(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    id: &str,
    if_match: IfMatch,
    edit: Arc<Edit>,
) -> Result<User, Error> {
    let (own, asked, id) = (cx.clone(), asked.clone(), id.to_owned());
    let made = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            own.still_accepted(conn).await?;
            let row = find(&own, conn, &id).await?;
            check_version(if_match.as_deref(), row.version)?;
            let before = only(with_groups(&own, conn, vec![row]).await?)?;
            let (resource, tolerated) = edit.apply(ResourceType::User, &before.resource)?;
            let asked = with_tolerated(&asked, tolerated);
            let usage = own.usage(&asked, None, 200, Decision::Allowed, None);
            if changed_attributes(&before.resource, &resource).is_empty() {
                return Ok(Change::nothing(Ok(before)).with_usage(usage));
            }
            let update = Update::of(&own, before, resource)?;
            let effect = update.effect();
            if let Some(held) = effect::guard(&own, conn, &asked, &effect).await? {
                return Ok(held.stop());
            }
            // Another node may still be: then the batch runs again.
            let version = store::users::update(conn, own.federation_id(), &update.row, &update.reindex).await;
            let version = version.map_err(again).map_err(uniqueness)?;
            journal::write(&own, conn, &asked, &effect).await?;
            let usage = update.usage(usage);
            let Update { after, event, .. } = update;
            Ok(Change::new(Ok(User { version, ..after }), event).with_usage(usage))
        })
        .await?;
    effect::told(made)
}

/// What is written of a change.
struct Update {
    before: Resource,
    /// The user after it, still with the version before.
    after: User,
    attributes: Vec<String>,
    row: UserRow,
    reindex: Reindex,
    event: AuditEvent,
    modified_ms: Millis,
}

impl Update {
    fn of(cx: &Cx<ScimClient>, before: User, resource: Resource) -> Result<Self, Error> {
        let attributes = changed_attributes(&before.resource, &resource);
        let reindex = Reindex::between(before.resource.as_value(), resource.as_value());
        let modified_ms = before.modified_ms;
        let mut after = User { modified_ms: cx.now_ms(), ..before };
        let before = std::mem::replace(&mut after.resource, resource);
        let row = row_of(&after)?;
        let told = json!({ "id": row.id, "attributes": attributes, "active": row.active });
        let event = cx.directory_event(Action::UserUpdated, &row.user_name, &told);
        Ok(Self { before, after, attributes, row, reindex, event, modified_ms })
    }

    /// The usage record of the request that asked for it.
    fn usage(&self, mut record: UsageRecord) -> UsageRecord {
        record.facts.deactivates = crate::behaviour::deactivates(&self.before, &self.after.resource);
        record.writing(&self.attributes)
    }

    fn effect(&self) -> Effect<'_> {
        Effect {
            verb: Verb::Update,
            kind: ResourceType::User,
            id: &self.after.id,
            name: &self.row.user_name,
            before: Some(&self.before),
            after: Some(&self.after.resource),
            attributes: &self.attributes,
            joining: &[],
            leaving: &[],
            belonged: &[],
            row: RowFacts { modified_ms: self.modified_ms, ..RowFacts::from(&self.row) },
        }
    }
}

async fn find(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, id: &str) -> Result<UserRow, Error> {
    let id = ResourceId::parse(id).ok_or(Error::NotFound("user"))?;
    let row = store::users::by_id(conn, cx.federation_id(), &id).await?.ok_or(Error::NotFound("user"))?;
    if let Some(sight) = Sight::of(cx, conn, ResourceType::User).await? {
        let resource = stored_resource(ResourceType::User, &row.body)?;
        let of = cx.schemas().of(ResourceType::User);
        if !sight.admits(of, row.id.as_str(), &row.made_by, resource.as_value())? {
            return Err(Error::NotFound("user"));
        }
    }
    Ok(row)
}

pub(crate) async fn load(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, id: &str) -> Result<User, Error> {
    let row = find(cx, conn, id).await?;
    only(with_groups(cx, conn, vec![row]).await?)
}

/// Users with the groups that they are in, by one query for many.
async fn with_groups(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    rows: Vec<UserRow>,
) -> Result<Vec<User>, Error> {
    let ids: Vec<&ResourceId> = rows.iter().map(|row| &row.id).collect();
    let mut groups = belongings(cx, conn, &ids).await?;
    rows.into_iter()
        .map(|row| {
            Ok(User {
                resource: stored_resource(ResourceType::User, &row.body)?,
                groups: groups.remove(row.id.as_str()).unwrap_or_default(),
                id: row.id,
                made_by: row.made_by,
                version: row.version,
                created_ms: row.created_ms,
                modified_ms: row.modified_ms,
            })
        })
        .collect()
}

/// The groups that some users are in, directly or through other groups, by the ids of the users.
pub(crate) async fn belongings(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    users: &[&ResourceId],
) -> Result<HashMap<String, Vec<GroupRef>>, Error> {
    let mut groups: HashMap<String, Vec<GroupRef>> = HashMap::new();
    let mut rows = store::groups::belongings(conn, cx.federation_id(), users).await?;
    if cx.actor.scope.hides(ResourceKind::Groups) {
        let ids = rows.iter().map(|row| row.id.clone()).collect();
        if let Some(seen) = sight::visible(cx, conn, ResourceType::Group, &ids).await? {
            rows.retain(|row| seen.contains(&row.id));
        }
    }
    for row in rows {
        let Belonging { member_id, id, display_name, indirect } = row;
        let group = GroupRef { value: id, display: Some(display_name), is_direct: indirect == 0 };
        groups.entry(member_id).or_default().push(group);
    }
    Ok(groups)
}

fn row_of(user: &User) -> Result<UserRow, Error> {
    let user_name = user
        .resource
        .user_name()
        .ok_or_else(|| ScimError::invalid_value("userName is required and not empty"))?;
    check_length("userName", user_name)?;
    check_length("externalId", user.resource.external_id().unwrap_or_default())?;
    Ok(UserRow {
        id: user.id.clone(),
        user_name: user_name.to_owned(),
        external_id: user.resource.external_id().map(str::to_owned),
        active: user.resource.active(),
        body: user.resource.as_value().to_string(),
        made_by: user.made_by.clone(),
        version: user.version,
        created_ms: user.created_ms,
        modified_ms: user.modified_ms,
    })
}
