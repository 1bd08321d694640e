//! Groups of the embedded directory, as a provisioning key handles them (RFC 7644 3.3–3.6).
//!
//! Members stand in a table of their own; the stored resource has none. What a request wants of the
//! members is kept apart from the rest (`wanted`) and written as what joins and what leaves
//! (`write`), so that its cost does not grow with the group.

mod wanted;
mod write;

use std::collections::BTreeMap;

use domain::{
    Millis, ResourceId,
    audit::Action,
    scopes::{ResourceKind, Verb},
    usage::Decision,
};
use scim::{Member, Op, Resource, ResourceType, ScimError};
use serde_json::json;
use store::{
    Change, Conn,
    groups::{GroupRow, MemberRow, Naming},
};

use self::wanted::Wanted;
use crate::{
    Cx, Error, ScimClient,
    directory::{IfMatch, again, check_length, check_version, only, stored_resource, uniqueness},
    effect::{self, Effect, RowFacts, attributes_of},
    journal,
    scim_client::Asked,
    scoped::{attributes, ceilings, sight, sight::Sight},
};

/// The most members that one request may add and remove. A body of 1 MiB names about as many.
pub const MEMBERS_PER_REQUEST: usize = 20_000;

/// The most members that the answer to a change shows unless they were asked for.
pub const MEMBERS_SHOWN: usize = 1_000;

/// A group, and who is in it.
#[derive(Debug, Clone)]
pub struct Group {
    /// Made by the server.
    pub id: ResourceId,
    /// The resource, without `id`, `meta` and `members`.
    pub resource: Resource,
    /// Its members.
    pub members: Vec<Member>,
    /// The key that made it.
    pub made_by: String,
    /// Counts its changes; the ETag.
    pub version: i64,
    /// When it was created.
    pub created_ms: Millis,
    /// When it was last changed.
    pub modified_ms: Millis,
}

/// What the answer to a change shows of the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Nothing was asked for: all of them, and no body at all above [`MEMBERS_SHOWN`].
    ByDefault,
    /// They were asked for.
    Members,
    /// They were asked not to be there.
    NoMembers,
}

/// What is answered to a change.
#[derive(Debug, Clone)]
pub enum Changed {
    /// The group.
    Group(Box<Group>),
    /// Only its version: it has more than [`MEMBERS_SHOWN`] members (RFC 7644 3.5.2 allows 204).
    TooLargeToShow {
        /// The group.
        id: ResourceId,
        /// Its version.
        version: i64,
    },
}

impl Changed {
    /// The group, when it is shown.
    pub fn group(self) -> Option<Group> {
        match self {
            Self::Group(group) => Some(*group),
            Self::TooLargeToShow { .. } => None,
        }
    }
}

/// Creates a group.
///
/// # Errors
/// 409 uniqueness when the `displayName` is taken and names are unique; 400 when a member is not of
/// this federation; Forbidden by the scope.
pub async fn create(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    mut resource: Resource,
    shown: Shown,
) -> Result<Group, Error> {
    let made = async {
        cx.admit(Verb::Create, ResourceKind::Groups)?;
        let now_ms = cx.now_ms();
        let mut joining: Vec<String> =
            resource.take_members().into_iter().map(|member| member.value).collect();
        joining.sort();
        joining.dedup();
        write::check_count(joining.len())?;
        let mut group = Group {
            id: ResourceId::new(now_ms, cx.keyward.id_chance()),
            resource,
            members: Vec::new(),
            made_by: cx.actor.key_id.to_string(),
            version: 1,
            created_ms: now_ms,
            modified_ms: now_ms,
        };
        let row = row_of(&group)?;
        let mut attributes = attributes_of(&group.resource);
        if !joining.is_empty() {
            attributes.push("members".to_owned());
        }
        let usage = cx.usage(asked, Some(group.id.as_str()), 201, Decision::Allowed, None);
        let usage = usage.writing(&attributes);
        let told = json!({
            "id": group.id, "externalId": row.external_id,
            "members_added": joining.len(), "added": write::told(&joining),
        });
        let event = cx.directory_event(Action::GroupCreated, &row.display_name, &told);
        let (own, asked, resource) = (cx.clone(), asked.clone(), group.resource.clone());
        let made = cx
            .keyward
            .commit(async move |conn: &mut Conn<'_>| {
                own.still_accepted(conn).await?;
                let effect = Effect {
                    verb: Verb::Create,
                    kind: ResourceType::Group,
                    id: &row.id,
                    name: &row.display_name,
                    before: None,
                    after: Some(&resource),
                    attributes: &attributes,
                    joining: &joining,
                    leaving: &[],
                    belonged: &[],
                    row: RowFacts::from(&row),
                };
                if let Some(held) = effect::guard(&own, conn, &asked, &effect).await? {
                    return Ok(held.stop());
                }
                let federation_id = own.federation_id();
                let inserted = store::groups::insert(conn, federation_id, &row, naming(&own)).await;
                inserted.map_err(uniqueness)?;
                let kinds = write::kinds(&own, conn, &joining).await?;
                store::members::add(conn, federation_id, &row.id, &kinds).await?;
                journal::write(&own, conn, &asked, &effect).await?;
                Ok(Change::new(Ok(()), event.clone()).with_usage(usage.clone()))
            })
            .await?;
        effect::told(made)?;
        if shown != Shown::NoMembers {
            group.members = members_of(cx, &mut cx.read().await?.conn(), &group.id).await?;
        }
        Ok(group)
    };
    cx.changed(asked, Action::GroupCreated, made.await).await
}

/// One group.
///
/// # Errors
/// NotFound; Forbidden by the scope.
pub async fn get(cx: &Cx<ScimClient>, asked: &Asked, id: &str) -> Result<Group, Error> {
    let found = async {
        ceilings::admit_read(cx, ResourceKind::Groups).await?;
        load(cx, &mut cx.read().await?.view().await?.conn(), id).await
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
    shown: Shown,
) -> Result<Changed, Error> {
    let made = async {
        let of = cx.schemas().of(ResourceType::Group);
        attributes::check_body(&cx.actor.scope, resource.as_value(), of)?;
        let wanted = Wanted::replace(cx, resource);
        write::update(cx, asked, id, if_match, wanted, shown).await
    };
    let made = made.await;
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
    shown: Shown,
) -> Result<Changed, Error> {
    let made = async {
        let of = cx.schemas().of(ResourceType::Group);
        attributes::check_operations(&cx.actor.scope, of, &operations)?;
        let wanted = Wanted::patch(cx, operations)?;
        write::update(cx, asked, id, if_match, wanted, shown).await
    };
    let made = made.await;
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
        let (own, id, asked) = (cx.clone(), id.to_owned(), asked.clone());
        let made = cx
            .keyward
            .commit(async move |conn: &mut Conn<'_>| {
                own.still_accepted(conn).await?;
                let row = find(&own, conn, &id).await?;
                check_version(if_match.as_deref(), row.version)?;
                let before = stored_resource(ResourceType::Group, &row.body)?;
                let attributes = attributes_of(&before);
                let leaving = store::members::ids_of(conn, own.federation_id(), &row.id).await?;
                let belonged = store::groups::groups_of(conn, own.federation_id(), &[&row.id]).await?;
                let belonged: Vec<String> = belonged.into_iter().map(|group| group.id).collect();
                let effect = Effect {
                    verb: Verb::Delete,
                    kind: ResourceType::Group,
                    id: &row.id,
                    name: &row.display_name,
                    before: Some(&before),
                    after: None,
                    attributes: &attributes,
                    joining: &[],
                    leaving: &leaving,
                    belonged: &belonged,
                    row: RowFacts::from(&row),
                };
                if let Some(held) = effect::guard(&own, conn, &asked, &effect).await? {
                    return Ok(held.stop());
                }
                let told = json!({ "id": row.id, "externalId": row.external_id });
                let event = own.directory_event(Action::GroupDeleted, &row.display_name, &told);
                store::groups::delete(conn, own.federation_id(), &row, own.now_ms()).await.map_err(again)?;
                journal::write(&own, conn, &asked, &effect).await?;
                Ok(Change::new(Ok(()), event).with_usage(usage.clone()))
            })
            .await?;
        effect::told(made)
    };
    cx.changed(asked, Action::GroupDeleted, made.await).await
}

/// Whether two groups of the federation may have one name.
fn naming(cx: &Cx<ScimClient>) -> Naming {
    if cx.actor.federation.scim.unique_group_names { Naming::Unique } else { Naming::Shared }
}

async fn find(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, id: &str) -> Result<GroupRow, Error> {
    let id = ResourceId::parse(id).ok_or(Error::NotFound("group"))?;
    let row = store::groups::by_id(conn, cx.federation_id(), &id).await?.ok_or(Error::NotFound("group"))?;
    check_seen(cx, conn, &row).await?;
    Ok(row)
}

/// Refuses a group that is not there for the key.
async fn check_seen(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, row: &GroupRow) -> Result<(), Error> {
    if let Some(sight) = Sight::of(cx, conn, ResourceType::Group).await? {
        let resource = stored_resource(ResourceType::Group, &row.body)?;
        let of = cx.schemas().of(ResourceType::Group);
        if !sight.admits(of, row.id.as_str(), &row.made_by, resource.as_value())? {
            return Err(Error::NotFound("group"));
        }
    }
    Ok(())
}

pub(crate) async fn load(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, id: &str) -> Result<Group, Error> {
    let row = find(cx, conn, id).await?;
    only(with_members(cx, conn, vec![row], true).await?)
}

async fn members_of(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, id: &ResourceId) -> Result<Vec<Member>, Error> {
    let rows = store::groups::members(conn, cx.federation_id(), &[id]).await?;
    Ok(seen(cx, conn, rows).await?.into_iter().map(member).collect())
}

/// Those members that are there for the key.
async fn seen(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    mut rows: Vec<MemberRow>,
) -> Result<Vec<MemberRow>, Error> {
    let named = rows.iter().map(|row| (ResourceType::from_name(&row.member_kind), row.member_id.as_str()));
    if let Some(seen) = sight::visible_members(cx, conn, named).await? {
        rows.retain(|row| seen.contains(&row.member_id));
    }
    Ok(rows)
}

pub(crate) fn member(row: MemberRow) -> Member {
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
        let rows = store::groups::members(conn, cx.federation_id(), &ids).await?;
        for row in seen(cx, conn, rows).await? {
            members.entry(row.group_id.clone()).or_default().push(member(row));
        }
    }
    rows.into_iter()
        .map(|row| {
            Ok(Group {
                resource: stored_resource(ResourceType::Group, &row.body)?,
                members: members.remove(row.id.as_str()).unwrap_or_default(),
                id: row.id,
                made_by: row.made_by,
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
        made_by: group.made_by.clone(),
        version: group.version,
        created_ms: group.created_ms,
        modified_ms: group.modified_ms,
    })
}
