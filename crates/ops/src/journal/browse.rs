//! The directory of a federation for people: its users and groups, looked up by what an index holds.

use domain::{
    ResourceId,
    admins::Admin,
    federations::{Federation, FederationTarget, Slug},
};
use scim::ResourceType;
use serde_json::Value;
use store::{
    directory::{Lookup, Order, Place, Term, UserTerm, Window},
    groups::{GroupRow, MemberRow, Membership},
    users::UserRow,
};

use crate::{Cx, Error, federations::find};

/// How many resources or members one page has.
pub const PAGE: i64 = 50;

/// What a list is narrowed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// The beginning of `userName` or `displayName`.
    #[default]
    Name,
    /// An e-mail address.
    Email,
    /// `externalId`.
    ExternalId,
    /// The id.
    Id,
}

impl By {
    /// Every way, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Name, Self::Email, Self::ExternalId, Self::Id];

    /// The word in the address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Email => "email",
            Self::ExternalId => "external-id",
            Self::Id => "id",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Name => "Name begins with",
            Self::Email => "E-mail is",
            Self::ExternalId => "External id is",
            Self::Id => "Id is",
        }
    }

    /// Reads the word of [`By::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.as_str() == text)
    }
}

/// Which users or groups are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What is looked for; everything when empty.
    pub text: String,
    /// In what.
    pub by: By,
    /// Only users who are not active.
    pub inactive: bool,
    /// After this folded name and id.
    pub after: Option<(String, String)>,
}

/// A user or group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// `userName` or `displayName`.
    pub name: String,
    /// `displayName` of a user, when there is one.
    pub label: String,
    /// The first e-mail address.
    pub email: String,
    /// Whether a user is active.
    pub active: bool,
    /// The key that made it.
    pub made_by: String,
    /// When it was last changed.
    pub modified_ms: domain::Millis,
}

/// A page of the users or groups of a federation.
#[derive(Debug, Clone)]
pub struct List {
    /// Whose.
    pub federation: Federation,
    /// In order of name.
    pub rows: Vec<Row>,
    /// Where the next page begins: a folded name and an id.
    pub next: Option<(String, String)>,
    /// How many there are in all, without the search.
    pub total: i64,
    /// Whether the directory is kept here.
    pub is_here: bool,
}

/// A page of the users or groups.
///
/// # Errors
/// NotFound when there is no such federation that the viewer may see.
pub async fn list(cx: &Cx<Admin>, slug: &Slug, kind: ResourceType, wanted: &Wanted) -> Result<List, Error> {
    let mut reader = cx.read().await?;
    let federation = find(cx, &mut reader.conn(), slug).await?;
    let is_here = federation.target == FederationTarget::Embedded;
    let Some(terms) = terms(kind, wanted) else {
        return Ok(List { federation, rows: Vec::new(), next: None, total: 0, is_here });
    };
    let after = wanted.after.clone().map(|(name, id)| Place::Name(name, id));
    let window = Window { order: Order::Name, after, limit: PAGE + 1, ..Window::default() };
    let conn = &mut reader.conn();
    let (rows, total) = match kind {
        ResourceType::User => {
            let rows = store::users::page(conn, &federation.id, &terms, &window).await?;
            let total = store::users::count(conn, &federation.id, &[]).await?;
            (rows.into_iter().map(user_row).collect::<Vec<_>>(), total)
        }
        ResourceType::Group => {
            let rows = store::groups::page(conn, &federation.id, &terms, &window).await?;
            let total = store::groups::count(conn, &federation.id, &[]).await?;
            (rows.into_iter().map(group_row).collect(), total)
        }
    };
    let mut rows = rows;
    let has_more = i64::try_from(rows.len()).is_ok_and(|count| count > PAGE);
    if has_more {
        rows.pop();
    }
    let next = rows.last().filter(|_| has_more).map(|row| (scim::fold_case(&row.name), row.id.clone()));
    Ok(List { federation, rows, next, total, is_here })
}

/// The terms of a search; `None` for what nothing can have.
fn terms(kind: ResourceType, wanted: &Wanted) -> Option<Vec<Term>> {
    let text = wanted.text.trim();
    let mut terms = Vec::new();
    if !text.is_empty() {
        terms.push(match (wanted.by, kind) {
            (By::Name, _) => Term::NamePrefix(scim::fold_case(text)),
            (By::ExternalId, _) => Term::ExternalId(vec![text.to_owned()]),
            (By::Id, _) => Term::Id(vec![text.to_owned()]),
            (By::Email, ResourceType::User) => {
                Term::User(UserTerm::Value(Lookup::Email, vec![Lookup::key(text).0]))
            }
            (By::Email, ResourceType::Group) => return None,
        });
    }
    if wanted.inactive && kind == ResourceType::User {
        terms.push(Term::User(UserTerm::Active(false)));
    }
    Some(terms)
}

fn user_row(row: UserRow) -> Row {
    let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    Row {
        id: row.id.to_string(),
        label: text("/displayName"),
        email: text("/emails/0/value"),
        name: row.user_name,
        active: row.active,
        made_by: row.made_by,
        modified_ms: row.modified_ms,
    }
}

fn group_row(row: GroupRow) -> Row {
    Row {
        id: row.id.to_string(),
        name: row.display_name,
        label: String::new(),
        email: String::new(),
        active: true,
        made_by: row.made_by,
        modified_ms: row.modified_ms,
    }
}

/// A user or group as it is now.
#[derive(Debug, Clone)]
pub struct One {
    /// Whose.
    pub federation: Federation,
    /// User or group.
    pub kind: ResourceType,
    /// What is known of it; none when it is not there any more, or kept at an upstream.
    pub now: Option<Now>,
}

/// The present of a user or group.
#[derive(Debug, Clone)]
pub struct Now {
    /// What a list shows.
    pub row: Row,
    /// The resource, as it is stored.
    pub body: Value,
    /// Its version.
    pub version: i64,
    /// When it was created.
    pub created_ms: domain::Millis,
    /// The groups that it is directly in.
    pub groups: Vec<Membership>,
    /// A page of the members of a group.
    pub members: Vec<MemberRow>,
    /// Where the next page of members begins.
    pub next_member: Option<String>,
}

/// One user or group, with a page of its members after an id.
///
/// # Errors
/// NotFound when there is no such federation that the viewer may see, or never was such a resource there.
pub async fn one(
    cx: &Cx<Admin>,
    slug: &Slug,
    kind: ResourceType,
    id: &ResourceId,
    after: &str,
) -> Result<One, Error> {
    let mut reader = cx.read().await?;
    let federation = find(cx, &mut reader.conn(), slug).await?;
    let conn = &mut reader.conn();
    let found = match kind {
        ResourceType::User => store::users::by_id(conn, &federation.id, id).await?.map(|row| {
            let facts = (row.version, row.created_ms, row.body.clone());
            (user_row(row), facts)
        }),
        ResourceType::Group => store::groups::by_id(conn, &federation.id, id).await?.map(|row| {
            let facts = (row.version, row.created_ms, row.body.clone());
            (group_row(row), facts)
        }),
    };
    let Some((row, (version, created_ms, body))) = found else {
        let past = store::journal::of_resource(conn, &federation.id, id, None, 1).await?;
        let was_there = past.iter().any(|entry| super::type_of(entry.kind) == kind);
        return if was_there {
            Ok(One { federation, kind, now: None })
        } else {
            Err(Error::NotFound("resource"))
        };
    };
    let groups = store::groups::groups_of(conn, &federation.id, &[id]).await?;
    let mut members = match kind {
        ResourceType::User => Vec::new(),
        ResourceType::Group => store::members::page(conn, &federation.id, id, after, PAGE + 1).await?,
    };
    let has_more = i64::try_from(members.len()).is_ok_and(|count| count > PAGE);
    if has_more {
        members.pop();
    }
    let next_member = members.last().filter(|_| has_more).map(|member| member.member_id.clone());
    let body = serde_json::from_str(&body).unwrap_or_default();
    let now = Now { row, body, version, created_ms, groups, members, next_member };
    Ok(One { federation, kind, now: Some(now) })
}
