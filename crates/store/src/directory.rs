//! Lists of users and groups: what narrows them, in which order, from where.
//!
//! A list is one statement that is composed here, of fixed parts and binds: every [`Term`] names the
//! index that serves it, and all of them hold together. Whatever no index serves is not here: the
//! caller walks the rows and decides for itself. `crates/store/tests/it/plans.rs` asks both databases
//! how they would run each term and each order. A new term is one more variant, its `push`, a row of
//! that test, and its conjunct in `ops::listing`.

mod sql;
mod values;

use domain::{FederationId, Millis, ResourceId};

pub(crate) use self::sql::{Bind, Sql};
pub use self::values::{Lookup, Reindex};

/// What every row of a list must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// One of these ids. The primary key serves it.
    Id(Vec<String>),
    /// One of these `externalId`s.
    ExternalId(Vec<String>),
    /// One of these names, folded: `userName` of users, `displayName` of groups.
    Name(Vec<String>),
    /// A name that begins with this text, folded.
    NamePrefix(String),
    /// Changed last within this time.
    Modified(Span),
    /// Created within this time. Ids begin with it, so the primary key serves it.
    Created(Span),
    /// Made by one of these keys. No index has it: it is read off the rows that are walked anyway, so that
    /// nobody pays for it but the keys that see only what they made.
    MadeBy(Vec<String>),
    /// Something that only users are.
    User(UserTerm),
    /// Something that only groups are.
    Group(GroupTerm),
}

/// What only users are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserTerm {
    /// `active` has this value. An index holds those for whom it is false; the others are most.
    Active(bool),
    /// One of these values of an attribute, as [`Lookup::key`] makes them.
    Value(Lookup, Vec<String>),
}

/// What only groups are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupTerm {
    /// One of these is a member.
    Member(Vec<String>),
}

/// A time from and until, both included; open where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Not before.
    pub from_ms: Option<Millis>,
    /// Not after.
    pub to_ms: Option<Millis>,
}

/// An order that an index has; equal ones come in the order of their ids, in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By id, which is the order of creation.
    #[default]
    Id,
    /// By name, folded.
    Name,
    /// By the time of the last change.
    Modified,
}

/// A row's place in an order, from which the list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In [`Order::Id`].
    Id(String),
    /// In [`Order::Name`]: the folded name and the id.
    Name(String, String),
    /// In [`Order::Modified`]: the time and the id.
    Modified(Millis, String),
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window {
    /// In which order.
    pub order: Order,
    /// Largest first.
    pub is_descending: bool,
    /// After this row; its order must be [`Window::order`].
    pub after: Option<Place>,
    /// How many at most.
    pub limit: i64,
    /// How many to leave out before the first.
    pub offset: i64,
}

/// A table of resources.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    /// Its name.
    name: &'static str,
    /// The column of the folded name.
    folded_name: &'static str,
    /// The same as an expression, which no index has.
    folded_name_expression: &'static str,
    /// Whether a name is a row's alone; then nothing else has to order rows of one name.
    has_unique_names: bool,
}

pub(crate) const USERS: Table = Table {
    name: "scim_users",
    folded_name: "user_name_lower",
    folded_name_expression: "(user_name_lower || '')",
    has_unique_names: true,
};
pub(crate) const GROUPS: Table = Table {
    name: "scim_groups",
    folded_name: "display_name_lower",
    folded_name_expression: "(display_name_lower || '')",
    has_unique_names: false,
};

/// The statement of one page.
pub(crate) fn page(
    table: Table,
    columns: &str,
    federation_id: &FederationId,
    terms: &[Term],
    window: &Window,
) -> Sql {
    let mut sql = Sql::new(federation_id);
    sql.push("SELECT ").push(columns);
    matching(&mut sql, table, terms);
    let (above, direction) = if window.is_descending { (" < ", " DESC") } else { (" > ", "") };
    let columns = Columns::of(table, terms);
    if let Some(place) = &window.after {
        columns.push_after(&mut sql, above, place);
    }
    for (index, column) in columns.in_order(window.order).iter().enumerate() {
        sql.push(if index == 0 { " ORDER BY " } else { ", " }).push(column).push(direction);
    }
    sql.push(" LIMIT ").bind(window.limit).push(" OFFSET ").bind(window.offset);
    sql
}

/// The statement that counts.
pub(crate) fn count(table: Table, federation_id: &FederationId, terms: &[Term]) -> Sql {
    let mut sql = Sql::new(federation_id);
    sql.push("SELECT COUNT(*)");
    matching(&mut sql, table, terms);
    sql
}

/// The columns that rows are ordered by.
struct Columns {
    id: &'static str,
    name: &'static str,
    modified: &'static str,
    has_unique_names: bool,
}

impl Columns {
    /// Where a term leaves few rows, they are to be found by its index and then sorted. A database that
    /// knows nothing of the values would rather walk the whole federation in the order that is asked
    /// for; an expression has no index to walk.
    fn of(table: Table, terms: &[Term]) -> Self {
        let Table { has_unique_names, .. } = table;
        if terms.iter().any(Term::leaves_few) {
            let name = table.folded_name_expression;
            Self { id: "(id || '')", name, modified: "(modified_ms + 0)", has_unique_names }
        } else {
            Self { id: "id", name: table.folded_name, modified: "modified_ms", has_unique_names }
        }
    }

    fn in_order(&self, order: Order) -> Vec<&'static str> {
        match order {
            Order::Id => vec![self.id],
            Order::Name if self.has_unique_names => vec![self.name],
            Order::Name => vec![self.name, self.id],
            Order::Modified => vec![self.modified, self.id],
        }
    }

    fn push_after(&self, sql: &mut Sql, above: &str, place: &Place) {
        let mut pair = |column: &str, value: Bind, id: &str| {
            sql.push(" AND (").push(column).push(", ").push(self.id).push(")").push(above).push("(");
            sql.bind(value).push(", ").bind(id).push(")");
        };
        match place {
            Place::Name(name, id) if !self.has_unique_names => pair(self.name, name.as_str().into(), id),
            Place::Modified(at_ms, id) => pair(self.modified, (*at_ms).into(), id),
            Place::Name(name, _) => {
                sql.push(" AND ").push(self.name).push(above).bind(name.as_str());
            }
            Place::Id(id) => {
                sql.push(" AND ").push(self.id).push(above).bind(id.as_str());
            }
        }
    }
}

fn matching(sql: &mut Sql, table: Table, terms: &[Term]) {
    sql.push(" FROM ").push(table.name).push(" WHERE federation_id = $1");
    for term in terms {
        term.push(sql, table);
    }
}

impl Term {
    /// Whether it looks values up, so that mostly few rows have them.
    fn leaves_few(&self) -> bool {
        match self {
            Self::Id(_)
            | Self::ExternalId(_)
            | Self::Name(_)
            | Self::User(UserTerm::Value(..))
            | Self::Group(GroupTerm::Member(_)) => true,
            Self::NamePrefix(_)
            | Self::Modified(_)
            | Self::Created(_)
            | Self::MadeBy(_)
            | Self::User(UserTerm::Active(_)) => false,
        }
    }

    /// The order that its index has, for when none was asked for: then a range of it needs no sorting.
    pub fn own_order(&self) -> Option<Order> {
        match self {
            Self::NamePrefix(_) => Some(Order::Name),
            Self::Modified(_) => Some(Order::Modified),
            Self::Id(_)
            | Self::ExternalId(_)
            | Self::Name(_)
            | Self::Created(_)
            | Self::MadeBy(_)
            | Self::User(_)
            | Self::Group(_) => None,
        }
    }

    fn push(&self, sql: &mut Sql, table: Table) {
        match self {
            Self::Id(ids) => sql.push(" AND id").bind_any(ids),
            Self::ExternalId(ids) => sql.push(" AND external_id").bind_any(ids),
            Self::Name(names) => sql.push(" AND ").push(table.folded_name).bind_any(names),
            Self::NamePrefix(prefix) => push_prefix(sql, table.folded_name, prefix),
            Self::Modified(Span { from_ms, to_ms }) => {
                if let Some(from_ms) = from_ms {
                    sql.push(" AND modified_ms >= ").bind(*from_ms);
                }
                if let Some(to_ms) = to_ms {
                    sql.push(" AND modified_ms <= ").bind(*to_ms);
                }
                sql
            }
            Self::Created(Span { from_ms, to_ms }) => {
                if let Some(from_ms) = from_ms {
                    sql.push(" AND id >= ").bind(ResourceId::floor(*from_ms));
                }
                if let Some(to_ms) = to_ms {
                    sql.push(" AND id < ").bind(ResourceId::floor(to_ms.saturating_add(1)));
                }
                sql
            }
            Self::MadeBy(keys) => sql.push(" AND made_by").bind_any(keys),
            // Written as numbers, so that the partial index is seen to fit.
            Self::User(UserTerm::Active(false)) => sql.push(" AND active = 0"),
            Self::User(UserTerm::Active(true)) => {
                // The column says true when nothing was said; the attribute may be absent for all that.
                sql.push(" AND active = 1 AND id NOT IN (");
                push_values(sql, Lookup::Absent, &[Lookup::ACTIVE.to_owned()]);
                sql.push(")")
            }
            Self::User(UserTerm::Value(lookup, keys)) => {
                sql.push(" AND id IN (");
                push_values(sql, *lookup, keys);
                sql.push(")")
            }
            Self::Group(GroupTerm::Member(ids)) => {
                sql.push(
                    " AND id IN (SELECT m.group_id FROM scim_group_members m
                    WHERE m.federation_id = $1 AND m.member_id",
                );
                sql.bind_any(ids).push(")")
            }
        };
    }
}

fn push_values(sql: &mut Sql, lookup: Lookup, keys: &[String]) {
    sql.push("SELECT v.user_id FROM scim_user_values v WHERE v.federation_id = $1 AND v.attribute = ");
    sql.bind(lookup.as_str()).push(" AND v.value").bind_any(keys);
}

/// A range instead of LIKE: an index serves it, and `%` and `_` mean themselves.
fn push_prefix<'s>(sql: &'s mut Sql, column: &str, prefix: &str) -> &'s mut Sql {
    sql.push(" AND ").push(column).push(" >= ").bind(prefix);
    if let Some(end) = after_prefix(prefix) {
        sql.push(" AND ").push(column).push(" < ").bind(end);
    }
    sql
}

/// The first text that comes after every text with this prefix; none when there is no such one. Both
/// databases compare bytes of UTF-8, whose order is that of the characters.
pub(crate) fn after_prefix(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            // Surrogates are no characters.
            '\u{D7FF}' => Some('\u{E000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_one_begins() {
        let check = |prefix: &str, expect: Option<&str>| {
            assert_eq!(after_prefix(prefix).as_deref(), expect, "{prefix:?}");
        };
        check("ab", Some("ac"));
        check("a%", Some("a&"));
        check("a\u{7f}", Some("a\u{80}"));
        check("a\u{D7FF}", Some("a\u{E000}"));
        check("a\u{10FFFF}", Some("b"));
        check("\u{10FFFF}", None);
        check("", None);
    }
}
