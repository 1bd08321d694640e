//! Users of the embedded directory, as a provisioning key handles them (RFC 7644 3.3–3.6).

use std::collections::BTreeMap;

use domain::{
    Millis, ResourceId,
    audit::Action,
    scopes::{ResourceKind, Verb},
    usage::Decision,
};
use scim::{CompareValue, Filter, GroupRef, Op, Resource, ResourceType, ScimError};
use serde_json::{Value, json};
use store::{
    Change, Conn,
    groups::Membership,
    users::{UserRow, UserSelection},
};

use crate::{Cx, Error, ScimClient, scim_client::Asked};

/// The most bytes of a name or external id, in lower case.
const LONGEST: usize = 1_000;

/// A user, and what an answer shows beside it.
#[derive(Debug, Clone)]
pub struct User {
    /// Made by the server.
    pub id: ResourceId,
    /// The resource, without `id`, `meta` and `groups`.
    pub resource: Resource,
    /// Counts its changes; the ETag.
    pub version: i64,
    /// When it was created.
    pub created_ms: Millis,
    /// When it was last changed.
    pub modified_ms: Millis,
    /// The groups that it is directly in.
    pub groups: Vec<GroupRef>,
}

/// One page of a list, and how many there are in all.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// How many match.
    pub total: u64,
    /// Those of this page.
    pub resources: Vec<T>,
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
            version: 1,
            created_ms: now_ms,
            modified_ms: now_ms,
            groups: Vec::new(),
        };
        let row = row_of(&user)?;
        let told = json!({ "id": user.id, "externalId": row.external_id, "active": row.active });
        let event = cx.directory_event(Action::UserCreated, &row.user_name, &told);
        let usage = cx.usage(asked, Some(user.id.as_str()), 201, Decision::Allowed, None);
        let own = cx.clone();
        cx.keyward
            .commit(async move |conn: &mut Conn<'_>| {
                own.still_accepted(conn).await?;
                let made_by = own.actor.key_id.as_str();
                store::users::insert(conn, own.federation_id(), &row, made_by).await.map_err(uniqueness)?;
                Ok(Change::new(user.clone(), event.clone()).with_usage(usage.clone()))
            })
            .await
    };
    cx.changed(asked, Action::UserCreated, made.await).await
}

/// One user.
///
/// # Errors
/// NotFound; Forbidden by the scope.
pub async fn get(cx: &Cx<ScimClient>, asked: &Asked, id: &str) -> Result<User, Error> {
    let found = async {
        cx.admit(Verb::Read, ResourceKind::Users)?;
        let mut reader = cx.read().await?;
        load(cx, &mut reader.conn(), id).await
    };
    cx.answered(asked, Action::UserRead, found.await).await
}

/// A page of the users that match a filter: an `eq` of `userName`, `externalId`, `id` or `active`,
/// or several joined by `and`.
///
/// # Errors
/// 400 invalidFilter for another filter; Forbidden by the scope.
pub async fn list(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    filter: Option<&Filter>,
    start_index: u64,
    count: u64,
) -> Result<Page<User>, Error> {
    let found = async {
        cx.admit(Verb::Read, ResourceKind::Users)?;
        let Some(selection) = select(filter)? else { return Ok(Page { total: 0, resources: Vec::new() }) };
        let (limit, offset) = window(start_index, count);
        let mut reader = cx.read().await?;
        let (total, rows) =
            store::users::list(&mut reader.conn(), cx.federation_id(), &selection, limit, offset).await?;
        let resources = with_groups(cx, &mut reader.conn(), rows).await?;
        Ok(Page { total: u64::try_from(total).unwrap_or(0), resources })
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
    let change = move |_: &Resource| Ok(resource.clone());
    let made = update(cx, asked, id, if_match, change).await;
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
    let change = move |before: &Resource| {
        scim::patch::apply(ResourceType::User, before, &operations).map(|patched| patched.resource)
    };
    let made = update(cx, asked, id, if_match, change).await;
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
        let (own, id) = (cx.clone(), id.to_owned());
        cx.keyward
            .commit(async move |conn: &mut Conn<'_>| {
                own.still_accepted(conn).await?;
                let row = find(&own, conn, &id).await?;
                check_version(if_match.as_deref(), row.version)?;
                let left = store::groups::groups_of(conn, own.federation_id(), &[&row.id]).await?;
                let left: Vec<String> = left.into_iter().map(|group| group.display_name).collect();
                let told = json!({
                    "id": row.id, "externalId": row.external_id, "active": row.active, "groups_left": left,
                });
                let event = own.directory_event(Action::UserDeleted, &row.user_name, &told);
                store::groups::leave_all(conn, own.federation_id(), &row.id, own.now_ms()).await?;
                store::users::delete(conn, own.federation_id(), &row).await.map_err(again)?;
                Ok(Change::new((), event).with_usage(usage.clone()))
            })
            .await
    };
    cx.changed(asked, Action::UserDeleted, made.await).await
}

async fn update<F>(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    id: &str,
    if_match: IfMatch,
    change: F,
) -> Result<User, Error>
where
    F: Fn(&Resource) -> Result<Resource, ScimError> + Send + 'static,
{
    cx.admit(Verb::Update, ResourceKind::Users)?;
    let usage = cx.usage(asked, None, 200, Decision::Allowed, None);
    let (own, id) = (cx.clone(), id.to_owned());
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            own.still_accepted(conn).await?;
            let row = find(&own, conn, &id).await?;
            check_version(if_match.as_deref(), row.version)?;
            let before = only(with_groups(&own, conn, vec![row]).await?)?;
            let resource = change(&before.resource)?;
            let changed = changed_attributes(&before.resource, &resource);
            if changed.is_empty() {
                return Ok(Change::nothing(before).with_usage(usage.clone()));
            }
            let mut after = User { resource, modified_ms: own.now_ms(), ..before };
            let row = row_of(&after)?;
            after.version = store::users::update(conn, own.federation_id(), &row)
                .await
                .map_err(again)
                .map_err(uniqueness)?;
            let told = json!({ "id": row.id, "attributes": changed, "active": row.active });
            let event = own.directory_event(Action::UserUpdated, &row.user_name, &told);
            Ok(Change::new(after, event).with_usage(usage.clone()))
        })
        .await
}

async fn find(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, id: &str) -> Result<UserRow, Error> {
    let id = ResourceId::parse(id).ok_or(Error::NotFound("user"))?;
    store::users::by_id(conn, cx.federation_id(), &id).await?.ok_or(Error::NotFound("user"))
}

async fn load(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, id: &str) -> Result<User, Error> {
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
    let memberships = store::groups::groups_of(conn, cx.federation_id(), &ids).await?;
    let mut groups: BTreeMap<String, Vec<GroupRef>> = BTreeMap::new();
    for Membership { member_id, id, display_name } in memberships {
        let group = GroupRef { value: id, display: Some(display_name), is_direct: true };
        groups.entry(member_id).or_default().push(group);
    }
    rows.into_iter()
        .map(|row| {
            Ok(User {
                resource: stored_resource(ResourceType::User, &row.body)?,
                groups: groups.remove(row.id.as_str()).unwrap_or_default(),
                id: row.id,
                version: row.version,
                created_ms: row.created_ms,
                modified_ms: row.modified_ms,
            })
        })
        .collect()
}

/// The one of one.
pub(crate) fn only<T>(found: Vec<T>) -> Result<T, Error> {
    found.into_iter().next().ok_or_else(|| Error::Internal("a row became none".to_owned()))
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
        version: user.version,
        created_ms: user.created_ms,
        modified_ms: user.modified_ms,
    })
}

/// Refuses what no index holds: Postgres takes rows of 2,704 bytes.
pub(crate) fn check_length(attribute: &str, text: &str) -> Result<(), Error> {
    let length = scim::fold_case(text).len();
    if length <= LONGEST {
        return Ok(());
    }
    Err(ScimError::invalid_value(format!("{attribute}: at most {LONGEST} bytes are allowed, not {length}"))
        .into())
}

/// The selection of a filter; `None` when nothing can match it.
fn select(filter: Option<&Filter>) -> Result<Option<UserSelection>, Error> {
    let mut selection = UserSelection::default();
    for (path, value) in equalities(filter, ResourceType::User)? {
        let text = value.as_str().map(str::to_owned);
        if path.is("userName") {
            if !narrow(&mut selection.user_name_lower, text.as_deref().map(scim::fold_case)) {
                return Ok(None);
            }
        } else if path.is("externalId") {
            if !narrow(&mut selection.external_id, text) {
                return Ok(None);
            }
        } else if path.is("id") {
            if !narrow(&mut selection.id, text) {
                return Ok(None);
            }
        } else if path.is("active") {
            let CompareValue::Boolean(active) = value else { return Ok(None) };
            if !narrow(&mut selection.active, Some(active)) {
                return Ok(None);
            }
        } else {
            return Err(unsupported("userName, externalId, id and active"));
        }
    }
    Ok(Some(selection))
}

/// Narrows a selection; false when it contradicts what was asked before, or is no value at all.
pub(crate) fn narrow<T: PartialEq>(field: &mut Option<T>, value: Option<T>) -> bool {
    match (&field, value) {
        (_, None) => false,
        (Some(before), Some(value)) => *before == value,
        (None, Some(value)) => {
            *field = Some(value);
            true
        }
    }
}

/// The comparisons of a filter that is one `eq` or several joined by `and`.
pub(crate) fn equalities(
    filter: Option<&Filter>,
    kind: ResourceType,
) -> Result<Vec<(scim::AttrPath, CompareValue)>, Error> {
    let Some(filter) = filter else { return Ok(Vec::new()) };
    filter.check(kind)?;
    filter.equalities().ok_or_else(|| unsupported("single attributes, joined by and,"))
}

pub(crate) fn unsupported(what: &str) -> Error {
    ScimError::invalid_filter(format!("only eq of {what} is supported by this version")).into()
}

/// Page and offset of an index-based page (RFC 7644 3.4.2.4).
pub(crate) fn window(start_index: u64, count: u64) -> (i64, i64) {
    let limit = i64::try_from(count.min(scim::list::MAX_COUNT)).unwrap_or(0);
    (limit, i64::try_from(start_index.saturating_sub(1)).unwrap_or(i64::MAX))
}

/// A stored resource, read back.
pub(crate) fn stored_resource(kind: ResourceType, body: &str) -> Result<Resource, Error> {
    let value: Value =
        serde_json::from_str(body).map_err(|error| Error::Internal(format!("a stored resource: {error}")))?;
    Ok(Resource::from_stored(kind, value))
}

/// The names of the top-level attributes that differ.
pub(crate) fn changed_attributes(before: &Resource, after: &Resource) -> Vec<String> {
    let empty = serde_json::Map::new();
    let before = before.as_value().as_object().unwrap_or(&empty);
    let after = after.as_value().as_object().unwrap_or(&empty);
    let mut names: Vec<String> = before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The versions that an `If-Match` names (RFC 9110 13.1.1); `None` for no condition.
pub type IfMatch = Option<Vec<i64>>;

/// Refuses a change whose `If-Match` names other versions (RFC 7644 3.14).
pub(crate) fn check_version(if_match: Option<&[i64]>, version: i64) -> Result<(), Error> {
    match if_match {
        Some(seen) if !seen.contains(&version) => Err(ScimError::precondition_failed(format!(
            "the resource has version {}, If-Match named another",
            scim::etag(version)
        ))
        .into()),
        Some(_) | None => Ok(()),
    }
}

/// A row that another node changed between reading and writing: the unit runs again.
pub(crate) fn again(error: store::Error) -> store::Error {
    match error {
        store::Error::Stale => store::Error::Serialization,
        store::Error::Conflict(_)
        | store::Error::Serialization
        | store::Error::Unavailable(_)
        | store::Error::Absent(_)
        | store::Error::Newer(_)
        | store::Error::Refused(_)
        | store::Error::Corrupt(_) => error,
    }
}

/// A taken name, in the protocol's words.
pub(crate) fn uniqueness(error: store::Error) -> Error {
    match error {
        store::Error::Conflict(what) => ScimError::uniqueness(what).into(),
        store::Error::Stale
        | store::Error::Serialization
        | store::Error::Unavailable(_)
        | store::Error::Absent(_)
        | store::Error::Newer(_)
        | store::Error::Refused(_)
        | store::Error::Corrupt(_) => error.into(),
    }
}
