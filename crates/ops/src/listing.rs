//! Lists and searches of the embedded directory (RFC 7644 3.4.2 and 3.4.3, RFC 9865).
//!
//! Every filter of the standard is answered, by plan and truth: [`plan`] turns the parts of a filter
//! that an index serves into terms of the statement; whatever else a filter says is decided by
//! [`scim::matches`] on the resource as it would be answered. When the terms say all of it, the
//! database counts and pages. When they do not, the rows that they leave are walked in batches, up to
//! [`MAX_EXAMINED`] of them; beyond that the request is refused with `tooMany`, so that no filter
//! ever costs a whole federation. The same holds for an order that no index has.

mod cursor;
mod found;
mod plan;
mod ready;

use domain::{audit::Action, usage::ListSeen};
use scim::{Filter, ListQuery, ResourceType, ScimError, Selection, Sort, SortKey, SortOrder, Type};
use serde_json::Value;
use store::{
    Conn, Reader, View,
    directory::{Order, Place, Term, Window},
};

#[cfg(feature = "testing")]
pub(crate) use self::cursor::same as same_cursor;
pub use self::found::Found;
pub(crate) use self::found::read_rows;
pub use self::ready::{Made, Page, list as list_ready};
use self::{
    cursor::{Cursor, Position},
    found::{Relations, Row, by_ids, count_rows, rows},
    plan::{Hidden, Plan},
};
pub use crate::cursors::TIMEOUT_MS as CURSOR_TIMEOUT_MS;
use crate::{
    Cx, Error, ScimClient, cursors,
    scim_client::Asked,
    scoped::{attributes, ceilings, resource_kind, sight, sight::Sight},
};

/// How many resources a filter or an order without an index may look at.
pub const MAX_EXAMINED: usize = 10_000;

/// How many members the groups of one page may have in all.
pub const MAX_MEMBERS: usize = 100_000;

/// How many rows are walked at once.
const BATCH: usize = 200;

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// How many match in all.
    pub total: u64,
    /// The first of this page, counted from 1; none when it was asked for by cursor.
    pub start_index: Option<u64>,
    /// Those of this page.
    pub found: Vec<Found>,
    /// Where the next page begins (RFC 9865); none on the last.
    pub next_cursor: Option<String>,
}

/// What a list asked for and found, for its usage record.
pub(crate) fn seen(query: &ListQuery, given: usize) -> ListSeen {
    let given = u64::try_from(given).unwrap_or(u64::MAX);
    ListSeen { is_filtered: query.filter.is_some(), wanted: query.count, given }
}

/// A page of the users or of the groups.
///
/// # Errors
/// 400 as the query says: `invalidFilter`, `tooMany`, `invalidCursor`, `expiredCursor`,
/// `invalidCount`; Forbidden by the scope.
pub async fn list(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    query: &ListQuery,
) -> Result<Listed, Error> {
    let found = async {
        ceilings::admit_read(cx, resource_kind(kind)).await?;
        search(cx, query, &[kind]).await
    };
    cx.listed(asked, read_action(kind), found.await, |page| seen(query, page.found.len())).await
}

/// A page of everything that the key may read: the users, then the groups (RFC 7644 3.4.2.1). An
/// order holds within each.
///
/// # Errors
/// As [`list`]; Forbidden when the key may read neither.
pub async fn everything(cx: &Cx<ScimClient>, asked: &Asked, query: &ListQuery) -> Result<Listed, Error> {
    let found = async {
        let mut kinds = Vec::new();
        let mut refusal = None;
        for kind in ResourceType::ALL {
            match ceilings::admit_read(cx, resource_kind(kind)).await {
                Ok(()) => kinds.push(kind),
                Err(error @ Error::Forbidden(_)) => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        match refusal {
            Some(refusal) if kinds.is_empty() => Err(refusal),
            Some(_) | None => search(cx, query, &kinds).await,
        }
    };
    cx.listed(asked, Action::UserRead, found.await, |page| seen(query, page.found.len())).await
}

fn read_action(kind: ResourceType) -> Action {
    match kind {
        ResourceType::User => Action::UserRead,
        ResourceType::Group => Action::GroupRead,
    }
}

async fn search(cx: &Cx<ScimClient>, query: &ListQuery, kinds: &[ResourceType]) -> Result<Listed, Error> {
    for kind in kinds {
        attributes::check_query(&cx.actor.scope, cx.schemas().of(*kind), query)?;
    }
    let resumed = match query.cursor.as_deref() {
        None | Some("") => None,
        Some(text) => Some(Cursor::open(cx, kinds, query, text)?),
    };
    let is_paged_by_cursor = query.cursor.is_some();
    let mut skip = if is_paged_by_cursor { 0 } else { query.start_index.saturating_sub(1) };
    let mut limit = usize::try_from(query.count.min(scim::list::MAX_COUNT)).unwrap_or(0);
    // Later pages repeat what the first one counted: they cost a page, however many there are.
    let known_total = resumed.as_ref().map(|cursor| cursor.total);
    let (first_kind, mut position) = match resumed {
        Some(Cursor { kind, position, .. }) => (Some(kind), position),
        None => (None, Position::Start),
    };
    let kinds_left = kinds.iter().copied().skip_while(|kind| first_kind.is_some_and(|first| first != *kind));
    // What is asked of the memory is asked before a reader is taken: asking may need one.
    let counts = Counts::of(cx, query, kinds).await?;
    let mut relations = Relations::of_selection(&query.selection);
    let mut reader = cx.read().await?;
    let mut seen = Seen::of(&mut reader, kinds, &relations).await?;
    let mut conn = seen.conn();
    let (mut total, mut found, mut next) = (0, Vec::new(), None);
    for kind in kinds_left {
        let wanted = Wanted { position, skip, limit, needs_total: known_total.is_none() || limit == 0 };
        let sight = Sight::of(cx, &mut conn, kind).await?;
        let shelf = Shelf { cx, of: cx.schemas().of(kind), query, sight, count: counts.known(kind) };
        let part = shelf.read(&mut conn, wanted).await?;
        let begins_here = wanted_nothing_before(limit, query.count) && part.total > 0;
        (position, skip) = (Position::Start, skip.saturating_sub(part.total));
        total += part.total;
        limit = limit.saturating_sub(part.found.len());
        found.extend(part.found);
        if next.is_none() {
            next = match part.next {
                Some(position) => Some((kind, position)),
                // The page ended exactly where the type before did.
                None if begins_here => Some((kind, Position::Start)),
                None => None,
            };
        }
        if known_total.is_some() && next.is_some() {
            break;
        }
    }
    let total = known_total.unwrap_or(total);
    let next_cursor = match next {
        Some((kind, position)) if is_paged_by_cursor && query.count > 0 => {
            Some(Cursor { kind, position, total }.seal(cx, kinds, query)?)
        }
        Some(_) | None => None,
    };
    for kind in kinds {
        relations.attach(cx, &mut conn, *kind, &mut found).await?;
    }
    Ok(Listed { total, start_index: (!is_paged_by_cursor).then_some(query.start_index), found, next_cursor })
}

/// The database as a list sees it: groups and their members as of one moment.
enum Seen<'r> {
    Moving(&'r mut Reader),
    Still(View<'r>),
}

impl<'r> Seen<'r> {
    async fn of(
        reader: &'r mut Reader,
        kinds: &[ResourceType],
        relations: &Relations,
    ) -> Result<Self, Error> {
        let has_members = kinds.contains(&ResourceType::Group) && relations.has_members();
        Ok(if has_members { Self::Still(reader.view().await?) } else { Self::Moving(reader) })
    }

    fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Moving(reader) => reader.conn(),
            Self::Still(view) => view.conn(),
        }
    }
}

/// Whether the page was full before this part of it was read.
fn wanted_nothing_before(limit: usize, count: u64) -> bool {
    limit == 0 && count > 0
}

/// Which part of a list of one type is wanted.
#[derive(Debug, Clone)]
struct Wanted {
    position: Position,
    /// How many to leave out.
    skip: u64,
    /// How many at most.
    limit: usize,
    needs_total: bool,
}

/// What was found of one type.
#[derive(Default)]
struct Part {
    /// How many match in all; 0 when it was not wanted.
    total: u64,
    found: Vec<Found>,
    /// Where the next page goes on, when there is more.
    next: Option<Position>,
}

/// The same of what an index finds, not read yet.
struct Indexed {
    total: u64,
    rows: Vec<Row>,
    next: Option<Position>,
}

/// How many there are in all of each type, where that is known.
#[derive(Default)]
struct Counts(Vec<(ResourceType, u64)>);

impl Counts {
    /// A filter leaves some, whose number is not known.
    async fn of(cx: &Cx<ScimClient>, query: &ListQuery, kinds: &[ResourceType]) -> Result<Self, Error> {
        if query.filter.is_some() {
            return Ok(Self::default());
        }
        let fresh = cx.keyward.store.fresh().await?;
        let known = |kind: &ResourceType| Some((*kind, ready::known_count(cx, fresh, *kind)?));
        Ok(Self(kinds.iter().filter_map(known).collect()))
    }

    fn known(&self, kind: ResourceType) -> Option<u64> {
        self.0.iter().find(|(other, _)| *other == kind).map(|(_, count)| *count)
    }
}

/// The resources of one type, for one query.
struct Shelf<'a> {
    cx: &'a Cx<ScimClient>,
    of: Type<'a>,
    query: &'a ListQuery,
    /// What of them is there for the key, when that is not everything.
    sight: Option<Sight>,
    /// How many there are in all, when that is known.
    count: Option<u64>,
}

/// How the resources are to be ordered.
enum Ordering<'a> {
    /// An index has it.
    Indexed(Order, bool),
    /// None has.
    InMemory(&'a Sort),
}

impl Shelf<'_> {
    async fn read(&self, conn: &mut Conn<'_>, wanted: Wanted) -> Result<Part, Error> {
        let hidden = if sight::hides_any(self.cx) { Hidden::Some } else { Hidden::Nothing };
        let plan = match &self.sight {
            None => plan::plan(self.of, self.query.filter.as_ref(), hidden)?,
            Some(sight) => {
                let filter = sight.narrowed(self.query.filter.as_ref());
                let mut plan = plan::plan(self.of, filter.as_ref(), hidden)?;
                plan.terms.extend(sight.terms());
                plan
            }
        };
        match (self.ordering(&plan.terms), &plan.rest) {
            (Ordering::Indexed(order, is_descending), None) => {
                self.by_index(conn, &plan.terms, order, is_descending, wanted).await
            }
            (Ordering::Indexed(order, is_descending), Some(rest)) => {
                self.by_walk(conn, &plan.terms, rest, order, is_descending, wanted).await
            }
            (Ordering::InMemory(sort), _) => self.sorted(conn, &plan, sort, wanted).await,
        }
    }

    fn ordering(&self, terms: &[Term]) -> Ordering<'_> {
        let Some(sort) = &self.query.sort else {
            // RFC 7644 3.4.2.4 wants a stable order and leaves it to us which.
            let own = terms.iter().find_map(Term::own_order).unwrap_or_default();
            return Ordering::Indexed(own, false);
        };
        let is_descending = match sort.order {
            SortOrder::Ascending => false,
            SortOrder::Descending => true,
        };
        let order = match (self.of.kind, sort.by.canonical(self.of).as_deref()) {
            // What the type does not have is equal everywhere: the ids decide.
            (_, None | Some("id" | "meta.created")) => Order::Id,
            (_, Some("meta.lastModified")) => Order::Modified,
            (ResourceType::User, Some("userName")) | (ResourceType::Group, Some("displayName")) => {
                Order::Name
            }
            (_, Some(_)) => return Ordering::InMemory(sort),
        };
        Ordering::Indexed(order, is_descending)
    }

    /// The terms say all of the filter and an index has the order: the database counts and pages.
    async fn by_index(
        &self,
        conn: &mut Conn<'_>,
        terms: &[Term],
        order: Order,
        is_descending: bool,
        wanted: Wanted,
    ) -> Result<Part, Error> {
        let Indexed { total, rows, next } = self.indexed(conn, terms, order, is_descending, &wanted).await?;
        Ok(Part { total, found: rows.into_iter().map(Row::open).collect::<Result<_, _>>()?, next })
    }

    async fn indexed(
        &self,
        conn: &mut Conn<'_>,
        terms: &[Term],
        order: Order,
        is_descending: bool,
        wanted: &Wanted,
    ) -> Result<Indexed, Error> {
        let (limit, skip) = (i64::try_from(wanted.limit).unwrap_or(i64::MAX), wanted.skip);
        let after = wanted.position.place()?;
        let mut found = Vec::new();
        if wanted.limit > 0 {
            // One more than wanted tells whether there is more, and mostly how many there are.
            let window = Window {
                order,
                is_descending,
                after,
                limit: limit.saturating_add(1),
                offset: i64::try_from(skip).unwrap_or(i64::MAX),
            };
            found = rows(self.cx, conn, self.of, terms, &window).await?;
        }
        let has_more = found.len() > wanted.limit;
        found.truncate(wanted.limit);
        let is_all_seen = wanted.limit > 0 && !has_more && (skip == 0 || !found.is_empty());
        let total = match (wanted.needs_total, &wanted.position) {
            (false, _) => 0,
            (true, Position::Start) if is_all_seen => {
                skip.saturating_add(u64::try_from(found.len()).unwrap_or(u64::MAX))
            }
            (true, _) => self.total(conn, terms).await?,
        };
        let last = found.last().filter(|_| has_more);
        let next = last.map(|last| Position::After(last.place(order)));
        Ok(Indexed { total, rows: found, next })
    }

    /// How many are all of `terms`: all of a type are counted once, until one comes or goes.
    async fn total(&self, conn: &mut Conn<'_>, terms: &[Term]) -> Result<u64, Error> {
        let Self { cx, of, count, .. } = self;
        match count.filter(|_| terms.is_empty()) {
            Some(count) => Ok(count),
            None if terms.is_empty() => ready::count(cx, conn, of.kind).await,
            None => count_rows(cx, conn, of.kind, terms).await,
        }
    }

    /// The terms leave something to decide: their rows are walked in an order that an index has.
    async fn by_walk(
        &self,
        conn: &mut Conn<'_>,
        terms: &[Term],
        rest: &Filter,
        order: Order,
        is_descending: bool,
        wanted: Wanted,
    ) -> Result<Part, Error> {
        let mut walk = Walk::new(self, Some(rest), order, is_descending, wanted.position.place()?);
        let (mut total, mut found, mut next) = (0, Vec::new(), None);
        while let Some(batch) = walk.next(conn, terms).await? {
            for (resource, _, place) in batch {
                if total >= wanted.skip && found.len() <= wanted.limit {
                    if found.len() < wanted.limit {
                        next = Some(Position::After(place));
                    }
                    found.push(resource);
                }
                total += 1;
            }
            if !wanted.needs_total && found.len() > wanted.limit {
                break;
            }
        }
        let has_more = found.len() > wanted.limit;
        found.truncate(wanted.limit);
        Ok(Part { total, found, next: next.filter(|_| has_more) })
    }

    /// No index has the order: what matches is ordered here, by the one value that is kept of it.
    async fn sorted(
        &self,
        conn: &mut Conn<'_>,
        plan: &Plan,
        sort: &Sort,
        wanted: Wanted,
    ) -> Result<Part, Error> {
        let mut walk = Walk::new(self, plan.rest.as_ref(), Order::Id, false, None);
        walk.also_looks_at(sort);
        let mut keyed: Vec<(SortKey, String)> = Vec::new();
        while let Some(batch) = walk.next(conn, &plan.terms).await? {
            for (resource, body, _) in batch {
                keyed.push((sort.key(self.of, &body), resource.id().to_string()));
            }
        }
        let ids_in_order = |a: &str, b: &str| match sort.order {
            SortOrder::Ascending => a.cmp(b),
            SortOrder::Descending => b.cmp(a),
        };
        keyed.sort_by(|(a, a_id), (b, b_id)| sort.compare_keys(a, b).then_with(|| ids_in_order(a_id, b_id)));
        let ids: Vec<String> = keyed.into_iter().map(|(_, id)| id).collect();
        let total = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        let begin = match &wanted.position {
            Position::Start => usize::try_from(wanted.skip).unwrap_or(usize::MAX),
            // A resource that is gone or has moved keeps its place by number.
            Position::Sorted { id, index } => match ids.iter().position(|other| other == id) {
                Some(place) => place + 1,
                None => usize::try_from(*index).unwrap_or(usize::MAX),
            },
            Position::After(_) => return Err(cursors::invalid().into()),
        };
        let end = begin.saturating_add(wanted.limit);
        let page = ids.get(begin.min(ids.len())..end.min(ids.len())).unwrap_or_default();
        let found = by_ids(self.cx, conn, self.of, page).await?;
        let next = page
            .last()
            .filter(|_| end < ids.len())
            .map(|id| Position::Sorted { id: id.clone(), index: u64::try_from(end).unwrap_or(u64::MAX) });
        Ok(Part { total, found, next })
    }

    fn too_many(&self) -> Error {
        let (types, indexed) = match self.of.kind {
            ResourceType::User => (
                "users",
                "id, userName (eq, sw), externalId, emails.value, employeeNumber, active, meta.created and \
                 meta.lastModified",
            ),
            ResourceType::Group => (
                "groups",
                "id, displayName (eq, sw), externalId, members.value, meta.created and meta.lastModified",
            ),
        };
        ScimError::too_many(format!(
            "this would look at more than {MAX_EXAMINED} {types}, which is the limit for filters and orders \
             without an index; narrow it by and with one of {indexed}"
        ))
        .into()
    }
}

/// Goes over the rows that the terms leave, and gives those that match.
struct Walk<'a> {
    shelf: &'a Shelf<'a>,
    rest: Option<&'a Filter>,
    relations: Relations,
    base: String,
    window: Window,
    examined: usize,
    is_done: bool,
}

impl<'a> Walk<'a> {
    fn new(
        shelf: &'a Shelf<'a>,
        rest: Option<&'a Filter>,
        order: Order,
        is_descending: bool,
        after: Option<Place>,
    ) -> Self {
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        Self {
            shelf,
            rest,
            relations: Relations::of_filter(shelf.of, rest),
            base: shelf.cx.keyward.base_url(&shelf.cx.actor.federation.slug),
            window: Window { order, is_descending, after, limit, offset: 0 },
            examined: 0,
            is_done: false,
        }
    }

    fn also_looks_at(&mut self, sort: &Sort) {
        self.relations.also(self.shelf.of, &sort.by);
    }

    /// The next resources that match, each with its body and its place; none at the end.
    async fn next(
        &mut self,
        conn: &mut Conn<'_>,
        terms: &[Term],
    ) -> Result<Option<Vec<(Found, Value, Place)>>, Error> {
        if self.is_done {
            return Ok(None);
        }
        let Shelf { cx, of, .. } = *self.shelf;
        let rows = rows(cx, conn, of, terms, &self.window).await?;
        self.examined += rows.len();
        if self.examined > MAX_EXAMINED {
            return Err(self.shelf.too_many());
        }
        self.is_done = rows.len() < BATCH;
        let places: Vec<Place> = rows.iter().map(|row| row.place(self.window.order)).collect();
        if let Some(last) = places.last() {
            self.window.after = Some(last.clone());
        }
        let mut found = rows.into_iter().map(Row::open).collect::<Result<Vec<_>, _>>()?;
        self.relations.attach(cx, conn, of.kind, &mut found).await?;
        let mut matching = Vec::new();
        for (resource, place) in found.into_iter().zip(places) {
            let body = resource.render(of, &self.base, &Selection::Default);
            if self.rest.map_or(Ok(true), |rest| scim::matches(rest, of, &body))? {
                matching.push((resource, body, place));
            }
        }
        Ok(Some(matching))
    }
}
