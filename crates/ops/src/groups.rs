//! Groups of the embedded directory, as a provisioning key handles them (RFC 7644 3.3–3.6).
//!
//! Members stand in a table of their own; the stored resource has none.

use std::collections::BTreeMap;

use domain::{
    Millis, ResourceId,
    audit::Action,
    scopes::{ResourceKind, Verb},
    usage::Decision,
};
use scim::{Filter, Member, Op, Resource, ResourceType, ScimError};
use serde_json::json;
use store::{
    Change, Conn,
    groups::{GroupRow, GroupSelection, MemberRow},
};

use crate::{
    Cx, Error, ScimClient,
    scim_client::Asked,
    users::{
        IfMatch, Page, again, changed_attributes, check_length, check_version, equalities, narrow, only,
        stored_resource, uniqueness, unsupported, window,
    },
};

/// The most members that one request may add or remove.
const MEMBERS_PER_REQUEST: usize = 10_000;

/// A group, and who is in it.
#[derive(Debug, Clone)]
pub struct Group {
    /// Made by the server.
    pub id: ResourceId,
    /// The resource, without `id`, `meta` and `members`.
    pub resource: Resource,
    /// Its members.
    pub members: Vec<Member>,
    /// Counts its changes; the ETag.
    pub version: i64,
    /// When it was created.
    pub created_ms: Millis,
    /// When it was last changed.
    pub modified_ms: Millis,
}

/// Creates a group.
///
/// # Errors
/// 409 uniqueness when the `displayName` is taken; 400 when a member is not of this federation;
/// Forbidden by the scope.
pub async fn create(cx: &Cx<ScimClient>, asked: &Asked, mut resource: Resource) -> Result<Group, Error> {
    let made = async {
        cx.admit(Verb::Create, ResourceKind::Groups)?;
        let now_ms = cx.now_ms();
        let wanted = resource.take_members();
        let group = Group {
            id: ResourceId::new(now_ms, cx.keyward.id_chance()),
            resource,
            members: Vec::new(),
            version: 1,
            created_ms: now_ms,
            modified_ms: now_ms,
        };
        let row = row_of(&group)?;
        let usage = cx.usage(asked, Some(group.id.as_str()), 201, Decision::Allowed, None);
        let own = cx.clone();
        cx.keyward
            .commit(async move |conn: &mut Conn<'_>| {
                own.still_accepted(conn).await?;
                let federation_id = own.federation_id();
                let made_by = own.actor.key_id.as_str();
                store::groups::insert(conn, federation_id, &row, made_by).await.map_err(uniqueness)?;
                let (added, _) = write_members(&own, conn, &group.id, &[], &wanted).await?;
                let members = members_of(&own, conn, &group.id).await?;
                let told = json!({ "id": group.id, "externalId": row.external_id, "members_added": added });
                let event = own.directory_event(Action::GroupCreated, &row.display_name, &told);
                Ok(Change::new(Group { members, ..group.clone() }, event).with_usage(usage.clone()))
            })
            .await
    };
    cx.changed(asked, Action::GroupCreated, made.await).await
}

/// One group.
///
/// # Errors
/// NotFound; Forbidden by the scope.
pub async fn get(cx: &Cx<ScimClient>, asked: &Asked, id: &str) -> Result<Group, Error> {
    let found = async {
        cx.admit(Verb::Read, ResourceKind::Groups)?;
        let mut reader = cx.read().await?;
        let row = find(cx, &mut reader.conn(), id).await?;
        only(with_members(cx, &mut reader.conn(), vec![row], true).await?)
    };
    cx.answered(asked, Action::GroupRead, found.await).await
}

/// A page of the groups that match a filter: an `eq` of `displayName`, `externalId` or `id`, or
/// several joined by `and`. `wants_members` saves reading members that no answer shows.
///
/// # Errors
/// 400 invalidFilter for another filter; Forbidden by the scope.
pub async fn list(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    filter: Option<&Filter>,
    start_index: u64,
    count: u64,
    wants_members: bool,
) -> Result<Page<Group>, Error> {
    let found = async {
        cx.admit(Verb::Read, ResourceKind::Groups)?;
        let Some(selection) = select(filter)? else { return Ok(Page { total: 0, resources: Vec::new() }) };
        let (limit, offset) = window(start_index, count);
        let mut reader = cx.read().await?;
        let (total, rows) =
            store::groups::list(&mut reader.conn(), cx.federation_id(), &selection, limit, offset).await?;
        let resources = with_members(cx, &mut reader.conn(), rows, wants_members).await?;
        Ok(Page { total: u64::try_from(total).unwrap_or(0), resources })
    };
    cx.answered(asked, Action::GroupRead, found.await).await
}

/// Replaces a group with its members. `if_match` holds the versions that the client accepts.
///
/// # Errors
/// NotFound; 409 uniqueness; 412; 400 when a member is not of this federation; Forbidden.
pub async fn replace(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    id: &str,
    if_match: IfMatch,
    resource: Resource,
) -> Result<Group, Error> {
    let change = move |_: &Resource| Ok(resource.clone());
    let made = update(cx, asked, id, if_match, change).await;
    cx.changed(asked, Action::GroupUpdated, made).await
}

/// Applies a PATCH: all of it or nothing.
///
/// # Errors
/// As the PATCH says; NotFound; 409 uniqueness; 412; 400 for a foreign member; Forbidden.
pub async fn patch(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    id: &str,
    if_match: IfMatch,
    operations: Vec<Op>,
) -> Result<Group, Error> {
    let change = move |before: &Resource| {
        scim::patch::apply(ResourceType::Group, before, &operations).map(|patched| patched.resource)
    };
    let made = update(cx, asked, id, if_match, change).await;
    cx.changed(asked, Action::GroupUpdated, made).await
}

/// Deletes a group; its members stay.
///
/// # Errors
/// NotFound; 412; Forbidden by the scope.
pub async fn delete(cx: &Cx<ScimClient>, asked: &Asked, id: &str, if_match: IfMatch) -> Result<(), Error> {
    let made = async {
        cx.admit(Verb::Delete, ResourceKind::Groups)?;
        let usage = cx.usage(asked, None, 204, Decision::Allowed, None);
        let (own, id) = (cx.clone(), id.to_owned());
        cx.keyward
            .commit(async move |conn: &mut Conn<'_>| {
                own.still_accepted(conn).await?;
                let row = find(&own, conn, &id).await?;
                check_version(if_match.as_deref(), row.version)?;
                let told = json!({ "id": row.id, "externalId": row.external_id });
                let event = own.directory_event(Action::GroupDeleted, &row.display_name, &told);
                store::groups::delete(conn, own.federation_id(), &row, own.now_ms()).await.map_err(again)?;
                Ok(Change::new((), event).with_usage(usage.clone()))
            })
            .await
    };
    cx.changed(asked, Action::GroupDeleted, made.await).await
}

async fn update<F>(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    id: &str,
    if_match: IfMatch,
    change: F,
) -> Result<Group, Error>
where
    F: Fn(&Resource) -> Result<Resource, ScimError> + Send + 'static,
{
    cx.admit(Verb::Update, ResourceKind::Groups)?;
    let usage = cx.usage(asked, None, 200, Decision::Allowed, None);
    let (own, id) = (cx.clone(), id.to_owned());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            own.still_accepted(conn).await?;
            let row = find(&own, conn, &id).await?;
            check_version(if_match.as_deref(), row.version)?;
            let before = only(with_members(&own, conn, vec![row], true).await?)?;
            let mut whole = before.resource.clone();
            whole.set_members(before.members.clone());
            let mut resource = change(&whole)?;
            let wanted = resource.take_members();
            let (added, removed) = write_members(&own, conn, &before.id, &before.members, &wanted).await?;
            let changed = changed_attributes(&before.resource, &resource);
            if changed.is_empty() && added == 0 && removed == 0 {
                return Ok(Change::nothing(before).with_usage(usage.clone()));
            }
            let mut after = Group { resource, modified_ms: own.now_ms(), ..before };
            let row = row_of(&after)?;
            after.version = store::groups::update(conn, own.federation_id(), &row)
                .await
                .map_err(again)
                .map_err(uniqueness)?;
            after.members = members_of(&own, conn, &after.id).await?;
            let told = json!({
                "id": row.id, "attributes": changed, "members_added": added, "members_removed": removed,
            });
            let event = own.directory_event(Action::GroupUpdated, &row.display_name, &told);
            Ok(Change::new(after, event).with_usage(usage.clone()))
        })
        .await
}

/// Brings the members from one list to another; how many were added and removed.
async fn write_members(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    group_id: &ResourceId,
    before: &[Member],
    wanted: &[Member],
) -> Result<(usize, usize), Error> {
    let ids = |members: &[Member]| -> std::collections::BTreeSet<String> {
        members.iter().map(|member| member.value.clone()).collect()
    };
    let (old, new) = (ids(before), ids(wanted));
    let added: Vec<&String> = new.difference(&old).collect();
    let removed: Vec<&String> = old.difference(&new).collect();
    if added.len() + removed.len() > MEMBERS_PER_REQUEST {
        return Err(ScimError::too_many(format!(
            "at most {MEMBERS_PER_REQUEST} members may change in one request"
        ))
        .into());
    }
    for id in &added {
        let kind = member_kind(cx, conn, group_id, id).await?;
        store::groups::add_member(conn, cx.federation_id(), group_id, id, kind).await?;
    }
    for id in &removed {
        store::groups::remove_member(conn, cx.federation_id(), group_id, id).await?;
    }
    Ok((added.len(), removed.len()))
}

/// What a new member is: only users and other groups of the same federation may join.
async fn member_kind(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    group_id: &ResourceId,
    id: &str,
) -> Result<&'static str, Error> {
    if let Some(id) = ResourceId::parse(id).filter(|id| id != group_id) {
        if store::users::by_id(conn, cx.federation_id(), &id).await?.is_some() {
            return Ok("User");
        }
        if store::groups::by_id(conn, cx.federation_id(), &id).await?.is_some() {
            return Ok("Group");
        }
    }
    Err(ScimError::invalid_value(format!("members: {id:?} is not the id of a user or another group here"))
        .into())
}

async fn find(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, id: &str) -> Result<GroupRow, Error> {
    let id = ResourceId::parse(id).ok_or(Error::NotFound("group"))?;
    store::groups::by_id(conn, cx.federation_id(), &id).await?.ok_or(Error::NotFound("group"))
}

async fn members_of(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, id: &ResourceId) -> Result<Vec<Member>, Error> {
    let rows = store::groups::members(conn, cx.federation_id(), &[id]).await?;
    Ok(rows.into_iter().map(member).collect())
}

fn member(row: MemberRow) -> Member {
    Member { kind: ResourceType::from_name(&row.member_kind), value: row.member_id, display: row.display }
}

/// Groups with their members, by one query for many.
async fn with_members(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    rows: Vec<GroupRow>,
    wants_members: bool,
) -> Result<Vec<Group>, Error> {
    let mut members: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    if wants_members {
        let ids: Vec<&ResourceId> = rows.iter().map(|row| &row.id).collect();
        for row in store::groups::members(conn, cx.federation_id(), &ids).await? {
            members.entry(row.group_id.clone()).or_default().push(member(row));
        }
    }
    rows.into_iter()
        .map(|row| {
            Ok(Group {
                resource: stored_resource(ResourceType::Group, &row.body)?,
                members: members.remove(row.id.as_str()).unwrap_or_default(),
                id: row.id,
                version: row.version,
                created_ms: row.created_ms,
                modified_ms: row.modified_ms,
            })
        })
        .collect()
}

fn row_of(group: &Group) -> Result<GroupRow, Error> {
    let display_name = group
        .resource
        .display_name()
        .ok_or_else(|| ScimError::invalid_value("displayName is required and not empty"))?;
    check_length("displayName", display_name)?;
    check_length("externalId", group.resource.external_id().unwrap_or_default())?;
    Ok(GroupRow {
        id: group.id.clone(),
        display_name: display_name.to_owned(),
        external_id: group.resource.external_id().map(str::to_owned),
        body: group.resource.as_value().to_string(),
        version: group.version,
        created_ms: group.created_ms,
        modified_ms: group.modified_ms,
    })
}

/// The selection of a filter; `None` when nothing can match it.
fn select(filter: Option<&Filter>) -> Result<Option<GroupSelection>, Error> {
    let mut selection = GroupSelection::default();
    for (path, value) in equalities(filter, ResourceType::Group)? {
        let text = value.as_str().map(str::to_owned);
        let fits = if path.is("displayName") {
            narrow(&mut selection.display_name_lower, text.as_deref().map(scim::fold_case))
        } else if path.is("externalId") {
            narrow(&mut selection.external_id, text)
        } else if path.is("id") {
            narrow(&mut selection.id, text)
        } else {
            return Err(unsupported("displayName, externalId and id"));
        };
        if !fits {
            return Ok(None);
        }
    }
    Ok(Some(selection))
}
