//! Lists and searches at an upstream (RFC 7644 3.4.2 and 3.4.3, RFC 9865).
//!
//! What the upstream does is passed on, with ids of theirs. What it does not do is done here, within
//! bounds: an order that it does not know, a filter where it has none, cursors over `startIndex`, and
//! the list of every type. That means reading all that is left; beyond [`MAX_WALKED`] resources or
//! [`MAX_WEIGHT`] bytes the request is refused with `tooMany`.

use std::collections::BTreeSet;

use scim::{
    CompareOp, CompareValue, Filter, ListQuery, ListResponse, ResourceType, ScimError, ScimType, Sort,
    SortOrder, Type,
};
use serde_json::Value;

use super::{
    Gate,
    cursor::{Cursor, Place},
    job::Job,
    offers::Offers,
    told,
    told::Told,
    translate,
};
use crate::{
    Cx, Error, Keyward, ScimClient,
    cursors::invalid,
    scim_client::Asked,
    scoped::{attributes, resource_kind, sight, upstream},
};

/// How many resources a filter or an order that the upstream does not have may look at.
const MAX_WALKED: u64 = 10_000;

/// How much of them may be kept at once, in bytes.
const MAX_WEIGHT: usize = 64 << 20;

/// Resources in one page of a walk.
const WALK_PAGE: u64 = 200;

/// What is asked of a walk over a type.
pub(super) struct Walk<'w> {
    pub(super) kind: ResourceType,
    /// The filter that the upstream decides, in its ids.
    pub(super) filter: Option<&'w str>,
    pub(super) without_members: bool,
    /// How many resources may be looked at.
    pub(super) most: u64,
}

impl Gate {
    /// Goes over a type page by page, and keeps what fits.
    pub(super) async fn walk(
        &self,
        keyward: &Keyward,
        walk: &Walk<'_>,
        fits: impl Fn(&Value) -> Result<bool, ScimError> + Send + Sync,
    ) -> Result<Vec<Value>, Told> {
        let (mut kept, mut seen, mut weight, mut firsts) = (Vec::new(), 0_u64, 0, BTreeSet::new());
        loop {
            let path = Ask { start: Some(seen + 1), count: WALK_PAGE, ..Ask::of(walk) }.path();
            let (body, _) = self.call(keyward, Self::get(path)).await.body()?;
            let (total, found) = told::page(body)?;
            let Some(first) = found.first() else { return Ok(kept) };
            if !firsts.insert(translate::id_of(first)) {
                let reason = "it gives the same page again, whatever startIndex says";
                return Err(Told::Unclear(reason.to_owned()));
            }
            seen += found.len() as u64;
            if total.max(seen) > walk.most {
                return Err(too_many(walk));
            }
            for resource in found {
                if fits(&resource).map_err(Told::from)? {
                    weight += weight_of(&resource);
                    kept.push(resource);
                }
            }
            if weight > MAX_WEIGHT {
                return Err(too_many(walk));
            }
            if seen >= total {
                return Ok(kept);
            }
        }
    }
}

fn too_many(walk: &Walk<'_>) -> Told {
    Told::Refused {
        status: 400,
        scim_type: Some(ScimType::TooMany),
        detail: format!(
            "the service behind this federation does not filter or sort this by itself, and there are more than \
             {} {} to look at; narrow it by a filter, or ask without an order",
            walk.most,
            walk.kind.endpoint().trim_start_matches('/').to_lowercase()
        ),
    }
}

/// About how many bytes a value takes.
fn weight_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 24 + text.len(),
        Value::Array(items) => 24 + items.iter().map(weight_of).sum::<usize>(),
        Value::Object(parts) => {
            24 + parts.iter().map(|(name, part)| 24 + name.len() + weight_of(part)).sum::<usize>()
        }
    }
}

/// One page, as it is asked for.
struct Ask<'q> {
    kind: ResourceType,
    start: Option<u64>,
    cursor: Option<&'q str>,
    count: u64,
    filter: Option<&'q str>,
    sort: Option<&'q Sort>,
    without_members: bool,
}

impl<'q> Ask<'q> {
    fn of(walk: &Walk<'q>) -> Self {
        let Walk { kind, filter, without_members, .. } = *walk;
        Self { kind, filter, without_members, start: None, cursor: None, count: 0, sort: None }
    }

    fn path(&self) -> String {
        let mut query = vec![format!("count={}", self.count)];
        query.extend(self.start.map(|start| format!("startIndex={start}")));
        query.extend(self.cursor.map(|cursor| format!("cursor={}", translate::encode(cursor))));
        query.extend(self.filter.map(|filter| format!("filter={}", translate::encode(filter))));
        if let Some(sort) = self.sort {
            let order = match sort.order {
                SortOrder::Ascending => "ascending",
                SortOrder::Descending => "descending",
            };
            query.push(format!("sortBy={}", translate::encode(&sort.by.to_string())));
            query.push(format!("sortOrder={order}"));
        }
        if self.without_members {
            query.push("excludedAttributes=members".to_owned());
        }
        format!("{}?{}", self.kind.endpoint(), query.join("&"))
    }
}

/// What was found of one type.
#[derive(Default)]
struct Part {
    /// How many match in all.
    total: u64,
    /// In ids of ours.
    resources: Vec<Value>,
    /// Where the next page goes on, when there is more.
    next: Option<Place>,
}

/// Which part of a list of one type is wanted.
struct Wanted {
    place: Place,
    /// How many to leave out.
    skip: u64,
    /// How many at most.
    limit: usize,
    /// It is the only type: an upstream's cursor keeps the number of a page, which changes where a page
    /// goes on with the next type.
    is_alone: bool,
}

/// A page of one type, or of several one after the other.
pub(super) async fn search(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kinds: &[ResourceType],
    query: &ListQuery,
) -> Result<ListResponse, Error> {
    let resumed = match query.cursor.as_deref() {
        None | Some("") => None,
        Some(text) => Some(Cursor::open(cx, kinds, query, text)?),
    };
    let is_by_cursor = query.cursor.is_some();
    let mut skip = if is_by_cursor { 0 } else { query.start_index.saturating_sub(1) };
    let mut limit = usize::try_from(query.count.min(scim::list::MAX_COUNT)).unwrap_or(0);
    let known_total = resumed.as_ref().map(|cursor| cursor.total);
    let (first, mut place) = match resumed {
        Some(Cursor { kind, place, .. }) => (Some(kind), place),
        None => (None, Place::Start),
    };
    for kind in kinds {
        attributes::check_query(&cx.actor.scope, cx.schemas().of(*kind), query)?;
        check_hidden(cx, cx.schemas().of(*kind), query)?;
    }
    let (mut total, mut resources, mut next) = (0, Vec::new(), None);
    let Some(kind) = kinds.first() else { return Ok(ListResponse::default()) };
    let any = Job::new(cx, asked, *kind).await?;
    for kind in kinds.iter().copied().skip_while(|kind| first.is_some_and(|first| first != *kind)) {
        let of = cx.schemas().of(kind);
        let has_none = kinds.len() > 1 && query.filter.as_ref().is_some_and(|filter| is_never(filter, of));
        let part = if has_none {
            Part::default()
        } else {
            let job = Job { kind, ..any.clone() };
            Box::pin(job.part(of, query, Wanted { place, skip, limit, is_alone: kinds.len() == 1 })).await?
        };
        let begins_here = limit == 0 && query.count > 0 && part.total > 0;
        (place, skip) = (Place::Start, skip.saturating_sub(part.total));
        total += part.total;
        limit = limit.saturating_sub(part.resources.len());
        resources.extend(part.resources.into_iter().map(|mut resource| {
            upstream::hide_related(&cx.actor.scope, kind, &mut resource);
            cx.readable(kind, query.selection.apply(of, resource))
        }));
        if next.is_none() {
            // The page may have ended exactly where the type before did.
            next = part.next.or(begins_here.then_some(Place::Start)).map(|place| (kind, place));
        }
        if known_total.is_some() && next.is_some() {
            break;
        }
    }
    let total = known_total.unwrap_or(total);
    let next_cursor = match next {
        Some((kind, place)) if is_by_cursor && query.count > 0 => {
            Some(Cursor { kind, place, total }.seal(cx, kinds, query)?)
        }
        Some(_) | None => None,
    };
    Ok(ListResponse {
        total_results: total,
        start_index: (!is_by_cursor).then_some(query.start_index),
        resources,
        next_cursor,
        previous_cursor: None,
    })
}

/// Whether no resource of a type can match: the filter wants a value of an attribute that the type does
/// not have (RFC 7644 3.4.2.1).
fn is_never(filter: &Filter, of: Type<'_>) -> bool {
    filter.conjuncts().into_iter().any(|part| match part {
        Filter::Compare { path, op: CompareOp::Eq, value }
            if path.is("meta.resourceType") && value.as_str().is_some() =>
        {
            value.as_str().is_some_and(|name| !name.eq_ignore_ascii_case(of.kind.name()))
        }
        Filter::Compare { op: CompareOp::Ne, .. }
        | Filter::Compare { value: CompareValue::Null, .. }
        | Filter::And(_)
        | Filter::Or(_)
        | Filter::Not(_) => false,
        Filter::Compare { path, .. } | Filter::Present(path) | Filter::Value { path, .. } => {
            path.resolve(of).is_none()
        }
    })
}

impl Job {
    async fn part(&self, of: Type<'_>, query: &ListQuery, wanted: Wanted) -> Result<Part, Error> {
        let is_narrowed = self.cx.actor.scope.hides(resource_kind(self.kind));
        let narrowed =
            sight::conjunction(query.filter.as_ref(), sight::filter_of(&self.cx, self.kind)?.as_ref());
        let mut filter = narrowed.as_ref().map(Filter::to_string);
        if let Some(text) = &mut filter {
            let mut ids = BTreeSet::new();
            translate::quoted_ids(text, &mut ids);
            *text = translate::outward_text(text, &self.gate.outward(&self.cx.keyward, &ids).await?);
        }
        let offers = if query.sort.is_some() || query.cursor.is_some() {
            match self.gate.offers(&self.cx.keyward).await {
                Ok(offers) => offers,
                Err(told) => return self.fail(told, &[]).await,
            }
        } else {
            Offers::default()
        };
        let filters_here = self.gate.upstream.quirks.no_filter && filter.is_some();
        let sorts_here = query.sort.as_ref().is_some_and(|sort| !offers.sort || is_by_id(sort, of));
        // What the key may not see is left out here, whatever the upstream says.
        let found = if filters_here || sorts_here || is_narrowed {
            self.by_walk(of, query, filter.as_deref(), wanted).await?
        } else {
            self.by_page(of, query, filter.as_deref(), offers, wanted).await?
        };
        let (mut part, is_ours) = match found {
            Ok(found) => found,
            // "None" in the words of some services.
            Err(Told::Refused { status: 404, .. }) => return Ok(Part::default()),
            Err(told) => return self.fail(told, &[]).await,
        };
        if !is_ours {
            self.gate.inward(&self.cx.keyward, self.kind, &mut part.resources, None).await?;
        }
        Ok(part)
    }

    /// The ids there of the only groups that the key sees.
    async fn named_groups(&self) -> Result<Option<BTreeSet<String>>, Error> {
        match &self.cx.actor.scope.groups {
            Some(groups) if self.kind == ResourceType::Group => {
                let outward = self.gate.outward(&self.cx.keyward, groups).await?;
                Ok(Some(outward.into_values().collect()))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Large groups are mostly asked for without their members.
    fn without_members(&self, of: Type<'_>, query: &ListQuery, decides_here: bool) -> bool {
        let filter = query.filter.as_ref().map(Filter::to_string).unwrap_or_default();
        let sort = query.sort.as_ref().map(|sort| sort.by.to_string()).unwrap_or_default();
        let is_looked_at =
            decides_here && [filter, sort].iter().any(|text| text.to_ascii_lowercase().contains("members"));
        let is_wanted = query.selection.wants(of, "members") || is_looked_at;
        self.kind == ResourceType::Group && !is_wanted && !self.gate.upstream.quirks.no_excluded_attributes
    }

    /// The upstream finds, orders and pages.
    async fn by_page(
        &self,
        of: Type<'_>,
        query: &ListQuery,
        filter: Option<&str>,
        offers: Offers,
        wanted: Wanted,
    ) -> Result<Result<(Part, bool), Told>, Error> {
        let is_by_cursor = query.cursor.is_some();
        let theirs = match &wanted.place {
            Place::Theirs(cursor) => Some(cursor.clone()),
            Place::Start if is_by_cursor && wanted.is_alone && offers.cursor => Some(String::new()),
            Place::Start | Place::Index(_) => None,
            Place::After { .. } => return Err(invalid().into()),
        };
        let start = match wanted.place {
            Place::Index(index) => index,
            Place::Start | Place::Theirs(_) | Place::After { .. } => wanted.skip.saturating_add(1),
        };
        let path = Ask {
            kind: self.kind,
            start: theirs.is_none().then_some(start),
            cursor: theirs.as_deref(),
            count: wanted.limit as u64,
            filter,
            sort: query.sort.as_ref(),
            without_members: self.without_members(of, query, false),
        }
        .path();
        let body = match self.gate.call(&self.cx.keyward, Gate::get(path)).await.body() {
            Ok((body, _)) => body,
            Err(told) => return Ok(Err(told)),
        };
        let next_cursor = body.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
        let (total, mut resources) = match told::page(body) {
            Ok(page) => page,
            Err(told) => return Ok(Err(told)),
        };
        if theirs.is_none() {
            // Some do not page, and give all of it whatever was asked for.
            if start > 1 && resources.len() as u64 >= total {
                resources.drain(..resources.len().min(usize::try_from(start - 1).unwrap_or(usize::MAX)));
            }
            resources.truncate(wanted.limit);
        }
        let end = start.saturating_add(resources.len() as u64);
        let next = if theirs.is_some() {
            next_cursor.filter(|cursor| !cursor.is_empty()).map(Place::Theirs)
        } else {
            (!resources.is_empty() && end <= total).then_some(Place::Index(end))
        };
        Ok(Ok((Part { total, resources, next }, false)))
    }

    /// All that is left is read, and found, ordered and paged here.
    async fn by_walk(
        &self,
        of: Type<'_>,
        query: &ListQuery,
        filter: Option<&str>,
        wanted: Wanted,
    ) -> Result<Result<(Part, bool), Told>, Error> {
        let has_no_filter = self.gate.upstream.quirks.no_filter;
        let is_narrowed = self.cx.actor.scope.hides(resource_kind(self.kind));
        let named = self.named_groups().await?;
        let decides = match filter {
            Some(text) if has_no_filter || is_narrowed => Some(Filter::parse(text)?),
            Some(_) | None => None,
        };
        let walk = Walk {
            kind: self.kind,
            filter: filter.filter(|_| !has_no_filter),
            without_members: self.without_members(of, query, true),
            most: MAX_WALKED,
        };
        let fits = |resource: &Value| {
            if let Some(named) = &named {
                let id = translate::id_of(resource).unwrap_or_default();
                if !named.contains(&id) {
                    return Ok(false);
                }
                let mut seen = resource.clone();
                hide_members(&mut seen, named);
                return decides.as_ref().map_or(Ok(true), |filter| scim::matches(filter, of, &seen));
            }
            decides.as_ref().map_or(Ok(true), |filter| scim::matches(filter, of, resource))
        };
        let mut all = match self.gate.walk(&self.cx.keyward, &walk, fits).await {
            Ok(all) => all,
            Err(told) => return Ok(Err(told)),
        };
        let by_id = query.sort.as_ref().is_some_and(|sort| is_by_id(sort, of));
        if by_id {
            // An order of their ids is none of ours.
            self.gate.inward(&self.cx.keyward, self.kind, &mut all, None).await?;
        }
        if let Some(sort) = &query.sort {
            in_order(sort, of, &mut all);
        }
        let id = |resource: &Value| translate::id_of(resource).unwrap_or_default();
        let total = all.len() as u64;
        let begin = match &wanted.place {
            Place::Start => usize::try_from(wanted.skip).unwrap_or(usize::MAX),
            // A resource that is gone keeps its place by number.
            Place::After { id: last, index } => match all.iter().position(|other| id(other) == *last) {
                Some(place) => place + 1,
                None => usize::try_from(*index).unwrap_or(usize::MAX),
            },
            Place::Index(_) | Place::Theirs(_) => return Err(invalid().into()),
        };
        let end = begin.saturating_add(wanted.limit);
        let has_more = end < all.len();
        let resources: Vec<Value> = all.into_iter().skip(begin).take(wanted.limit).collect();
        let last = resources.last().filter(|_| has_more);
        let next = last.map(|last| Place::After { id: id(last), index: end as u64 });
        Ok(Ok((Part { total, resources, next }, by_id)))
    }
}

/// With named groups, which groups a user is in is decided by what the key sees of them, and not by an
/// upstream that knows of all.
fn check_hidden(cx: &Cx<ScimClient>, of: Type<'_>, query: &ListQuery) -> Result<(), Error> {
    let hides = of.kind == ResourceType::User && cx.actor.scope.groups.is_some();
    let text = query.filter.as_ref().map(Filter::to_string).unwrap_or_default();
    let sort = query.sort.as_ref().map(|sort| sort.by.to_string()).unwrap_or_default();
    if hides && [text, sort].iter().any(|text| text.to_ascii_lowercase().contains("groups")) {
        return Err(Error::Forbidden(
            "this key may not ask an upstream about the groups of users".to_owned(),
        ));
    }
    Ok(())
}

/// Takes other groups out of the members of a group of theirs.
fn hide_members(group: &mut Value, named: &BTreeSet<String>) {
    if let Some(Value::Array(members)) = group.get_mut("members") {
        members.retain(|member| {
            let id = member.get("value").and_then(Value::as_str).unwrap_or_default();
            !upstream::is_group_member(member) || named.contains(id)
        });
    }
}

fn is_by_id(sort: &Sort, of: Type<'_>) -> bool {
    sort.by.canonical(of).as_deref() == Some("id")
}

fn in_order(sort: &Sort, of: Type<'_>, resources: &mut Vec<Value>) {
    let mut keyed: Vec<_> = std::mem::take(resources)
        .into_iter()
        .map(|resource| (sort.key(of, &resource), translate::id_of(&resource), resource))
        .collect();
    keyed.sort_by(|(a, a_id, _), (b, b_id, _)| {
        let ids = match sort.order {
            SortOrder::Ascending => a_id.cmp(b_id),
            SortOrder::Descending => b_id.cmp(a_id),
        };
        sort.compare_keys(a, b).then(ids)
    });
    resources.extend(keyed.into_iter().map(|(_, _, resource)| resource));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_without_the_attribute_has_nothing_that_matches() {
        let check = |filter: &str, users: bool, groups: bool| {
            let filter = Filter::parse(filter).unwrap();
            let found = ResourceType::ALL.map(|kind| !is_never(&filter, kind.into()));
            assert_eq!(found, [users, groups], "{filter}");
        };
        check("userName eq \"mia\"", true, false);
        check("displayName eq \"Team\"", true, true);
        check("members.value eq \"7\" and displayName sw \"T\"", false, true);
        check("meta.resourceType eq \"Group\"", false, true);
        check("not (userName pr)", true, true);
        check("userName ne \"mia\"", true, true);
        check("userName eq \"a\" or displayName eq \"b\"", true, true);
        check("emails[type eq \"work\"]", true, false);
    }

    #[test]
    fn a_page_is_asked_for_in_the_words_of_the_standard() {
        let sort =
            Sort { by: scim::AttrPath::parse("name.familyName").unwrap(), order: SortOrder::Descending };
        let ask = Ask {
            kind: ResourceType::Group,
            start: Some(11),
            cursor: None,
            count: 5,
            filter: Some("displayName sw \"a&b\""),
            sort: Some(&sort),
            without_members: true,
        };
        assert_eq!(
            ask.path(),
            "/Groups?count=5&startIndex=11&filter=displayName%20sw%20%22a%26b%22&sortBy=name.familyName\
             &sortOrder=descending&excludedAttributes=members"
        );
    }
}
