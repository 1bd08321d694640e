//! A page as it is answered: from memory while nothing that it shows has changed.
//!
//! Two things are kept. What is made of each resource is the same that [`crate::ready`] keeps for GET by
//! id. Which resources a question has for its answer is kept for those that are asked again and again:
//! a page of all of them in the order of their ids, and who has a `userName`, a `displayName` or an
//! `externalId`, nobody included.
//!
//! A page comes from memory when all of it is there, and when which resources it has still holds after
//! the last of them was taken: then it is what the database would have said at one moment. Otherwise it is
//! read, and only what is not there is made. A resource that was read is given from memory in the
//! version that was read, and in no other.

use std::sync::Arc;

use scim::{ListQuery, ResourceType};
use store::{
    Conn,
    cache::{Fresh, Id, Kind, Mark, Moment},
    directory::{Order, Place, Term},
};

use super::{
    Indexed, MAX_MEMBERS, Ordering, Seen, Shelf, Wanted,
    cursor::{Cursor, Position},
    found::{Found, Relations, Row, count_rows, too_many_members},
    plan,
    plan::Hidden,
    read_action, search, seen,
};
use crate::{
    Cx, Error, ScimClient, ready,
    scim_client::Asked,
    scoped::{self, ceilings, resource_kind},
};

/// The text under which the number of all is kept: no question has it.
const COUNT: &str = "count";

/// What an answer weighs besides its text and the places of its resources.
const ANSWER_BYTES: usize = 100;

/// The most resources with one value that are kept as an answer.
const MOST_NAMESAKES: usize = 16;

/// What is made of a resource.
pub trait Made: Send + Sync + 'static {
    /// The version of the resource.
    fn version(&self) -> i64;
    /// How many members it shows.
    fn members(&self) -> usize;
}

/// One page of what was made of resources.
#[derive(Debug)]
pub struct Page<T> {
    /// How many match in all.
    pub total: u64,
    /// The first of this page, counted from 1; none when it was asked for by cursor.
    pub start_index: Option<u64>,
    /// Those of this page.
    pub found: Vec<Arc<T>>,
    /// Where the next page begins (RFC 9865); none on the last.
    pub next_cursor: Option<String>,
}

/// As [`super::list`], as `make` answers each resource; `make` also says how many bytes that takes. For
/// queries that select no attributes: the same is given to everybody.
///
/// # Errors
/// As [`super::list`].
pub async fn list<T, F>(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    query: &ListQuery,
    make: F,
) -> Result<Page<T>, Error>
where
    T: Made,
    F: Fn(Found) -> (T, usize) + Send + Sync,
{
    let found = async {
        ceilings::admit_read(cx, resource_kind(kind)).await?;
        page(cx, kind, query, &make).await
    };
    cx.listed(asked, read_action(kind), found.await, |page| seen(query, page.found.len())).await
}

async fn page<T, F>(
    cx: &Cx<ScimClient>,
    kind: ResourceType,
    query: &ListQuery,
    make: &F,
) -> Result<Page<T>, Error>
where
    T: Made,
    F: Fn(Found) -> (T, usize) + Send + Sync,
{
    if scoped::answers_differ(&cx.actor.scope, kind) {
        // What everybody gets is not what this key gets.
        return Box::pin(made_of(cx, kind, query, make)).await;
    }
    let of = cx.schemas().of(kind);
    let resumed = match query.cursor.as_deref() {
        None | Some("") => None,
        Some(text) => Some(Cursor::open(cx, &[kind], query, text)?),
    };
    let plan = plan::plan(of, query.filter.as_ref(), Hidden::Nothing)?;
    let shelf = Shelf { cx, of, query, sight: None, count: None };
    let (Ordering::Indexed(order, is_descending), None) = (shelf.ordering(&plan.terms), &plan.rest) else {
        // What has to be looked at is made anyway.
        return Box::pin(made_of(cx, kind, query, make)).await;
    };
    let is_paged_by_cursor = query.cursor.is_some();
    let limit = usize::try_from(query.count.min(scim::list::MAX_COUNT)).unwrap_or(0);
    let known_total = resumed.as_ref().map(|cursor| cursor.total);
    let wanted = Wanted {
        position: resumed.map_or(Position::Start, |cursor| cursor.position),
        skip: if is_paged_by_cursor { 0 } else { query.start_index.saturating_sub(1) },
        limit,
        needs_total: known_total.is_none() || limit == 0,
    };
    let question = Question::of(kind, &plan.terms, order, is_descending, &wanted);
    let fresh = cx.keyward.store.fresh().await?;
    let remembered = question.as_ref().and_then(|question| question.remembered(cx, kind, fresh, &wanted));
    let part = if let Some(part) = remembered {
        part
    } else {
        let shelf = Shelf { count: known_count(cx, fresh, kind), ..shelf };
        let read = Read { shelf, terms: &plan.terms, order, is_descending, fresh };
        Box::pin(read.part(question.as_ref(), &wanted, make)).await?
    };
    if kind == ResourceType::Group
        && part.found.len() > 1
        && part.found.iter().map(|made| made.members()).sum::<usize>() > MAX_MEMBERS
    {
        return Err(too_many_members());
    }
    let total = known_total.unwrap_or(part.total);
    let next_cursor = match part.next {
        Some(position) if is_paged_by_cursor && query.count > 0 => {
            Some(Cursor { kind, position, total }.seal(cx, &[kind], query)?)
        }
        Some(_) | None => None,
    };
    let start_index = (!is_paged_by_cursor).then_some(query.start_index);
    Ok(Page { total, start_index, found: part.found, next_cursor })
}

/// A page that is searched for, of which nothing is kept.
async fn made_of<T, F>(
    cx: &Cx<ScimClient>,
    kind: ResourceType,
    query: &ListQuery,
    make: &F,
) -> Result<Page<T>, Error>
where
    F: Fn(Found) -> (T, usize) + Send + Sync,
{
    let listed = search(cx, query, &[kind]).await?;
    let found = listed.found.into_iter().map(|found| Arc::new(make(found).0)).collect();
    let (total, start_index, next_cursor) = (listed.total, listed.start_index, listed.next_cursor);
    Ok(Page { total, start_index, found, next_cursor })
}

/// One page of one type.
struct Part<T> {
    total: u64,
    found: Vec<Arc<T>>,
    next: Option<Position>,
}

/// A question whose answer is kept.
struct Question<'t> {
    text: String,
    about: About<'t>,
}

/// What an answer depends on.
enum About<'t> {
    /// Which resources of the type there are: a page of them.
    Page,
    /// What the groups are called.
    Groups,
    /// One resource, which is there as long as what was made of it is.
    Id(&'t str),
    /// Whose a folded `userName` is.
    UserName(&'t str),
    /// Whose an `externalId` of a user is.
    UserExternalId(&'t str),
}

/// Which resources a question has for its answer.
struct Answer {
    /// The question, because long ones may share a place.
    text: String,
    /// Where they are kept.
    places: Box<[Id]>,
    /// How many match in all, when that was wanted.
    total: Option<u64>,
    /// The last one, when there are more.
    last: Option<String>,
}

impl<'t> Question<'t> {
    fn of(
        kind: ResourceType,
        terms: &'t [Term],
        order: Order,
        is_descending: bool,
        wanted: &Wanted,
    ) -> Option<Self> {
        if wanted.limit == 0 {
            return None;
        }
        let (skip, limit) = (wanted.skip, wanted.limit);
        let is_begun = skip > 0 || wanted.position != Position::Start;
        let direction = if is_descending { '-' } else { '+' };
        let (text, about) = match terms {
            [] if order == Order::Id => {
                let after = match &wanted.position {
                    Position::Start => "",
                    Position::After(Place::Id(id)) => id,
                    Position::After(Place::Name(..) | Place::Modified(..)) | Position::Sorted { .. } => {
                        return None;
                    }
                };
                (format!("{direction}{skip}/{limit} {after}"), About::Page)
            }
            // Who has a value does not depend on the page, as long as all of them are on the first. The
            // other orders depend on more than the value.
            _ if is_begun || order != Order::Id => return None,
            [Term::Id(ids)] => (String::new(), About::Id(only(ids)?)),
            [Term::Name(names)] => {
                let name = only(names)?;
                let about = match kind {
                    ResourceType::User => About::UserName(name),
                    ResourceType::Group => About::Groups,
                };
                (format!("n{direction} {name}"), about)
            }
            [Term::ExternalId(ids)] => {
                let id = only(ids)?;
                let about = match kind {
                    ResourceType::User => About::UserExternalId(id),
                    ResourceType::Group => About::Groups,
                };
                (format!("x{direction} {id}"), about)
            }
            _ => return None,
        };
        Some(Self { text, about })
    }

    /// The whole of a page, if all of it is in memory.
    fn remembered<T: Made>(
        &self,
        cx: &Cx<ScimClient>,
        kind: ResourceType,
        fresh: Fresh<'_>,
        wanted: &Wanted,
    ) -> Option<Part<T>> {
        let federation_id = Some(cx.federation_id());
        if let About::Id(id) = self.about {
            let made = fresh.find(kind_of(kind), federation_id, id)?;
            return Some(Part { total: 1, found: vec![made], next: None });
        }
        let (answer, proof) = fresh.find_proven::<Answer>(kinds_of(kind), federation_id, &self.text)?;
        if answer.text != self.text || answer.places.len() > wanted.limit {
            return None;
        }
        let total = if wanted.needs_total { answer.total? } else { 0 };
        let found = answer.places.iter().map(|place| fresh.get(place)).collect::<Option<_>>()?;
        let next = answer.last.clone().map(|id| Position::After(Place::Id(id)));
        // Which resources they are has not changed since before the first of them was taken.
        fresh.holds(&proof).then_some(Part { total, found, next })
    }

    /// Keeps the answer that was read after `moment`, unless it has changed since.
    fn keep(&self, cx: &Cx<ScimClient>, kind: ResourceType, moment: Moment, wanted: &Wanted, read: &Indexed) {
        let federation_id = cx.federation_id();
        let (which, is_page) = match self.about {
            About::Id(_) => return,
            About::Page => (which_of(federation_id, kind), true),
            About::Groups => (Mark::Groups(federation_id), false),
            About::UserName(name) => (Mark::UserName(federation_id, name), false),
            About::UserExternalId(id) => (Mark::UserExternalId(federation_id, id), false),
        };
        if !is_page && (read.next.is_some() || read.rows.len() > MOST_NAMESAKES) {
            return;
        }
        let place = |row: &Row| Id::new(kind_of(kind), Some(federation_id), row.id().as_str());
        let Some(places) = read.rows.iter().map(place).collect::<Option<Box<[Id]>>>() else { return };
        let last = read.rows.last().filter(|_| read.next.is_some()).map(|row| row.id().to_string());
        let bytes = ANSWER_BYTES + self.text.len() + places.len() * size_of::<Id>();
        let total = wanted.needs_total.then_some(read.total);
        let answer = Answer { text: self.text.clone(), places, total, last };
        if let Some(ticket) = moment.ticket(kinds_of(kind), Some(federation_id), &self.text) {
            let marks = [Mark::Settings(federation_id), which];
            cx.keyward.store.cache().keep(ticket, &marks, Arc::new(answer), bytes);
        }
    }
}

fn only(values: &[String]) -> Option<&str> {
    let [value] = values else { return None };
    Some(value)
}

fn kind_of(kind: ResourceType) -> Kind {
    match kind {
        ResourceType::User => Kind::User,
        ResourceType::Group => Kind::Group,
    }
}

fn kinds_of(kind: ResourceType) -> Kind {
    match kind {
        ResourceType::User => Kind::Users,
        ResourceType::Group => Kind::Groups,
    }
}

fn which_of(federation_id: &domain::FederationId, kind: ResourceType) -> Mark<'_> {
    match kind {
        ResourceType::User => Mark::Users(federation_id),
        ResourceType::Group => Mark::Groups(federation_id),
    }
}

/// A page that is read from the database.
struct Read<'a> {
    shelf: Shelf<'a>,
    terms: &'a [Term],
    order: Order,
    is_descending: bool,
    fresh: Fresh<'a>,
}

impl Read<'_> {
    async fn part<T, F>(
        &self,
        question: Option<&Question<'_>>,
        wanted: &Wanted,
        make: &F,
    ) -> Result<Part<T>, Error>
    where
        T: Made,
        F: Fn(Found) -> (T, usize) + Send + Sync,
    {
        let Self { shelf, terms, order, is_descending, fresh } = self;
        let Shelf { cx, of, query, .. } = *shelf;
        let (federation_id, kind) = (cx.federation_id(), of.kind);
        let moment = ready::moment(cx);
        let mut reader = cx.read().await?;
        let mut seen = Seen::of(&mut reader, &[kind], &Relations::of_selection(&query.selection)).await?;
        let mut conn = seen.conn();
        let read = shelf.indexed(&mut conn, terms, *order, *is_descending, wanted).await?;
        if let Some(question) = question {
            question.keep(cx, kind, moment, wanted, &read);
        }
        let Indexed { total, rows, next } = read;
        let in_memory = |row: &Row| {
            let made = fresh.find::<T>(kind_of(kind), Some(federation_id), row.id().as_str())?;
            (made.version() == row.version()).then_some(made)
        };
        let mut found: Vec<Option<Arc<T>>> = rows.iter().map(in_memory).collect();
        // How many members a page may show is found out by reading them all.
        if kind == ResourceType::Group && found.iter().any(Option::is_none) {
            found.fill_with(|| None);
        }
        let missing = rows.into_iter().zip(&found).filter(|(_, made)| made.is_none());
        let mut missing = missing.map(|(row, _)| row.open()).collect::<Result<Vec<Found>, _>>()?;
        if !missing.is_empty() {
            let mut relations = Relations::of_selection(&query.selection);
            relations.attach(cx, &mut conn, kind, &mut missing).await?;
        }
        drop(seen);
        drop(reader);
        let mut made = missing.into_iter().map(|found| ready::kept(cx, moment, found, make));
        let found = found.into_iter().filter_map(|known| known.or_else(|| made.next())).collect();
        Ok(Part { total, found, next })
    }
}

/// The number of all of a type, when it is known.
pub(super) fn known_count(cx: &Cx<ScimClient>, fresh: Fresh<'_>, kind: ResourceType) -> Option<u64> {
    fresh.find::<u64>(kinds_of(kind), Some(cx.federation_id()), COUNT).map(|count| *count)
}

/// Counts all of a type, and keeps their number until one comes or goes.
pub(super) async fn count(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    kind: ResourceType,
) -> Result<u64, Error> {
    let (cache, federation_id) = (cx.keyward.store.cache(), cx.federation_id());
    let ticket = cache.ticket(kinds_of(kind), Some(federation_id), COUNT);
    let count = count_rows(cx, conn, kind, &[]).await?;
    if let Some(ticket) = ticket {
        let marks = [Mark::Settings(federation_id), which_of(federation_id, kind)];
        cache.keep(ticket, &marks, Arc::new(count), size_of::<u64>());
    }
    Ok(count)
}
