//! What a list holds: rows made resources, and what is kept beside them.

use std::collections::HashMap;

use domain::ResourceId;
use scim::{
    AttrPath, Filter, GroupRef, Member, Meta, Related, Resource, ResourceType, ScimError, Selection, Type,
    fold_case,
};
use serde_json::Value;
use store::{
    Conn,
    directory::{Order, Place, Term, Window},
    groups::GroupRow,
    users::UserRow,
};

use super::MAX_MEMBERS;
use crate::{
    Cx, Error, ScimClient,
    directory::stored_resource,
    groups::{self, Group},
    scoped::sight,
    users::{self, User},
};

/// A resource of either type.
#[derive(Debug, Clone)]
pub enum Found {
    /// A user.
    User(User),
    /// A group.
    Group(Group),
}

impl Found {
    /// Its type.
    pub fn kind(&self) -> ResourceType {
        match self {
            Self::User(_) => ResourceType::User,
            Self::Group(_) => ResourceType::Group,
        }
    }

    /// Its id.
    pub fn id(&self) -> &ResourceId {
        match self {
            Self::User(user) => &user.id,
            Self::Group(group) => &group.id,
        }
    }

    /// The resource, without what is kept beside it.
    pub(crate) fn resource(&self) -> &Resource {
        match self {
            Self::User(user) => &user.resource,
            Self::Group(group) => &group.resource,
        }
    }

    /// Its version, which the ETag shows.
    pub fn version(&self) -> i64 {
        match self {
            Self::User(user) => user.version,
            Self::Group(group) => group.version,
        }
    }

    /// Its address. `base` is that of the federation, without a slash at its end.
    pub fn location(&self, base: &str) -> String {
        format!("{base}{}/{}", self.kind().endpoint(), self.id())
    }

    /// The body of an answer, through the schemas of its federation.
    pub fn render(&self, of: Type<'_>, base: &str, selection: &Selection) -> Value {
        let location = &self.location(base);
        match self {
            Self::User(User { id, resource, version, created_ms, modified_ms, groups, .. }) => {
                let meta = Meta {
                    id: id.as_str(),
                    created_ms: *created_ms,
                    modified_ms: *modified_ms,
                    version: *version,
                    location,
                };
                scim::render_with(of, resource, &meta, &Related { groups, members: &[] }, selection)
            }
            Self::Group(Group { id, resource, version, created_ms, modified_ms, members, .. }) => {
                let meta = Meta {
                    id: id.as_str(),
                    created_ms: *created_ms,
                    modified_ms: *modified_ms,
                    version: *version,
                    location,
                };
                scim::render_with(of, resource, &meta, &Related { groups: &[], members }, selection)
            }
        }
    }

    /// How many members it shows.
    pub fn members(&self) -> usize {
        match self {
            Self::User(_) => 0,
            Self::Group(group) => group.members.len(),
        }
    }
}

/// A row of either type, not read yet: what is answered from memory needs no more.
#[derive(Debug)]
pub(super) enum Row {
    User(UserRow),
    Group(GroupRow),
}

impl Row {
    pub(super) fn id(&self) -> &ResourceId {
        match self {
            Self::User(row) => &row.id,
            Self::Group(row) => &row.id,
        }
    }

    pub(super) fn version(&self) -> i64 {
        match self {
            Self::User(row) => row.version,
            Self::Group(row) => row.version,
        }
    }

    /// Where it stands in an order.
    pub(super) fn place(&self, order: Order) -> Place {
        let id = self.id().to_string();
        let (name, modified_ms) = match self {
            Self::User(row) => (&row.user_name, row.modified_ms),
            Self::Group(row) => (&row.display_name, row.modified_ms),
        };
        match order {
            Order::Id => Place::Id(id),
            Order::Name => Place::Name(fold_case(name), id),
            Order::Modified => Place::Modified(modified_ms, id),
        }
    }

    /// Reads the resource, without what is kept beside it.
    pub(super) fn open(self) -> Result<Found, Error> {
        Ok(match self {
            Self::User(row) => Found::User(User {
                resource: stored_resource(ResourceType::User, &row.body)?,
                id: row.id,
                made_by: row.made_by,
                version: row.version,
                created_ms: row.created_ms,
                modified_ms: row.modified_ms,
                groups: Vec::new(),
            }),
            Self::Group(row) => Found::Group(Group {
                resource: stored_resource(ResourceType::Group, &row.body)?,
                id: row.id,
                made_by: row.made_by,
                version: row.version,
                created_ms: row.created_ms,
                modified_ms: row.modified_ms,
                members: Vec::new(),
            }),
        })
    }
}

/// One page of the resources of a type, without what is kept beside them.
pub(crate) async fn read_rows(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    of: Type<'_>,
    terms: &[Term],
    window: &Window,
) -> Result<Vec<Found>, Error> {
    rows(cx, conn, of, terms, window).await?.into_iter().map(Row::open).collect()
}

/// One page of the rows of a type.
pub(super) async fn rows(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    of: Type<'_>,
    terms: &[Term],
    window: &Window,
) -> Result<Vec<Row>, Error> {
    let federation_id = cx.federation_id();
    Ok(match of.kind {
        ResourceType::User => {
            let rows = store::users::page(conn, federation_id, terms, window).await?;
            rows.into_iter().map(Row::User).collect()
        }
        ResourceType::Group => {
            let rows = store::groups::page(conn, federation_id, terms, window).await?;
            rows.into_iter().map(Row::Group).collect()
        }
    })
}

/// How many rows of a type there are.
pub(super) async fn count_rows(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    kind: ResourceType,
    terms: &[Term],
) -> Result<u64, Error> {
    let count = match kind {
        ResourceType::User => store::users::count(conn, cx.federation_id(), terms).await?,
        ResourceType::Group => store::groups::count(conn, cx.federation_id(), terms).await?,
    };
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The resources with these ids, in their order; those that are gone are left out.
pub(super) async fn by_ids(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    of: Type<'_>,
    ids: &[String],
) -> Result<Vec<Found>, Error> {
    let mut found: HashMap<String, Found> = HashMap::with_capacity(ids.len());
    for some in ids.chunks(200) {
        let window = Window { limit: i64::try_from(some.len()).unwrap_or(i64::MAX), ..Window::default() };
        for row in rows(cx, conn, of, &[Term::Id(some.to_vec())], &window).await? {
            found.insert(row.id().to_string(), row.open()?);
        }
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// What is kept beside resources and costs a query: the groups of users and the members of groups.
pub(super) struct Relations {
    groups: bool,
    members: bool,
    /// How many members may still be read.
    members_left: usize,
}

impl Relations {
    /// What an answer shows.
    pub(super) fn of_selection(selection: &Selection) -> Self {
        Self {
            groups: selection.wants(ResourceType::User, "groups"),
            members: selection.wants(ResourceType::Group, "members"),
            members_left: MAX_MEMBERS,
        }
    }

    /// Whether the members of groups are read.
    pub(super) fn has_members(&self) -> bool {
        self.members
    }

    /// What a filter looks at.
    pub(super) fn of_filter(of: Type<'_>, filter: Option<&Filter>) -> Self {
        let mut relations = Self { groups: false, members: false, members_left: MAX_MEMBERS };
        if let Some(filter) = filter {
            relations.also_filter(of, filter);
        }
        relations
    }

    /// What a path names, too.
    pub(super) fn also(&mut self, of: Type<'_>, path: &AttrPath) {
        let resolved = path.resolve(of).filter(|resolved| resolved.extension.is_none());
        let name = resolved.as_ref().map(|resolved| resolved.attribute.name.as_ref());
        self.groups |= name == Some("groups");
        self.members |= name == Some("members");
    }

    fn also_filter(&mut self, of: Type<'_>, filter: &Filter) {
        match filter {
            Filter::Compare { path, .. } | Filter::Present(path) | Filter::Value { path, .. } => {
                self.also(of, path);
            }
            Filter::And(parts) | Filter::Or(parts) => {
                for part in parts {
                    self.also_filter(of, part);
                }
            }
            Filter::Not(inner) => self.also_filter(of, inner),
        }
    }

    /// Reads it for the resources of one type, by one query for many.
    ///
    /// # Errors
    /// 400 `tooMany` when several groups have more members in all than one answer may hold. A single
    /// group is given whole, as it is by its id.
    pub(super) async fn attach(
        &mut self,
        cx: &Cx<ScimClient>,
        conn: &mut Conn<'_>,
        kind: ResourceType,
        found: &mut [Found],
    ) -> Result<(), Error> {
        match kind {
            ResourceType::User if self.groups => attach_groups(cx, conn, found).await,
            ResourceType::Group if self.members => self.attach_members(cx, conn, found).await,
            ResourceType::User | ResourceType::Group => Ok(()),
        }
    }

    async fn attach_members(
        &mut self,
        cx: &Cx<ScimClient>,
        conn: &mut Conn<'_>,
        found: &mut [Found],
    ) -> Result<(), Error> {
        let ids: Vec<ResourceId> = ids_of(found, ResourceType::Group);
        let ids: Vec<&ResourceId> = ids.iter().collect();
        let federation_id = cx.federation_id();
        let rows = if ids.len() == 1 {
            store::groups::members(conn, federation_id, &ids).await?
        } else {
            let limit = i64::try_from(self.members_left).unwrap_or(i64::MAX).saturating_add(1);
            let rows = store::groups::members_up_to(conn, federation_id, &ids, limit).await?;
            self.members_left = self.members_left.checked_sub(rows.len()).ok_or_else(too_many_members)?;
            rows
        };
        let named =
            rows.iter().map(|row| (ResourceType::from_name(&row.member_kind), row.member_id.as_str()));
        let seen = sight::visible_members(cx, conn, named).await?;
        let mut members: HashMap<String, Vec<Member>> = HashMap::new();
        let is_seen = |id: &str| seen.as_ref().is_none_or(|seen| seen.contains(id));
        for row in rows.into_iter().filter(|row| is_seen(&row.member_id)) {
            members.entry(row.group_id.clone()).or_default().push(groups::member(row));
        }
        for resource in found {
            if let Found::Group(group) = resource {
                group.members = members.remove(group.id.as_str()).unwrap_or_default();
            }
        }
        Ok(())
    }
}

async fn attach_groups(cx: &Cx<ScimClient>, conn: &mut Conn<'_>, found: &mut [Found]) -> Result<(), Error> {
    let ids: Vec<ResourceId> = ids_of(found, ResourceType::User);
    let mut groups: HashMap<String, Vec<GroupRef>> =
        users::belongings(cx, conn, &ids.iter().collect::<Vec<_>>()).await?;
    for resource in found {
        if let Found::User(user) = resource {
            user.groups = groups.remove(user.id.as_str()).unwrap_or_default();
        }
    }
    Ok(())
}

fn ids_of(found: &[Found], kind: ResourceType) -> Vec<ResourceId> {
    found.iter().filter(|resource| resource.kind() == kind).map(|resource| resource.id().clone()).collect()
}

pub(super) fn too_many_members() -> Error {
    ScimError::too_many(format!(
        "the groups of this page have more than {MAX_MEMBERS} members in all: ask with \
         excludedAttributes=members, for fewer groups by count, or for each group by its id"
    ))
    .into()
}
