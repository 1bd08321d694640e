//! Which resources are there for a key: those that match the filter of its scope, that its line has made,
//! and that are among its named groups, as far as the scope says so.
//!
//! The same rule holds wherever a resource shows: by its id, in lists and their filters, as a member of a
//! group, as a group of a user, and for whoever wants to change it.

use std::collections::{BTreeSet, HashSet};

use domain::scopes::Provenance;
use scim::{Filter, ResourceType, Type};
use serde_json::Value;
use store::{
    Conn,
    directory::{Term, Window},
};

use super::resource_kind;
use crate::{Cx, Error, ScimClient, listing};

/// What a key sees of one type, where that is not everything.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    kind: ResourceType,
    filter: Option<Filter>,
    /// The keys of the line.
    made_by: Option<Vec<String>>,
    /// The ids of the named groups.
    ids: Option<BTreeSet<String>>,
}

impl Sight {
    /// What a key sees of a type; none when that is everything.
    pub(crate) async fn of(
        cx: &Cx<ScimClient>,
        conn: &mut Conn<'_>,
        kind: ResourceType,
    ) -> Result<Option<Self>, Error> {
        let (scope, resource) = (&cx.actor.scope, resource_kind(kind));
        if !scope.hides(resource) {
            return Ok(None);
        }
        let made_by = match scope.provenance {
            Provenance::Federation => None,
            Provenance::KeyLine => {
                let line = store::keys::line(conn, cx.federation_id(), &cx.actor.key_id).await?;
                Some(line.into_iter().map(|id| id.to_string()).collect())
            }
        };
        let ids = scope.groups.clone().filter(|_| kind == ResourceType::Group);
        Ok(Some(Self { kind, filter: filter_of(cx, kind)?, made_by, ids }))
    }

    /// Whether a resource is there.
    ///
    /// # Errors
    /// When the filter of the scope cannot be asked of it.
    pub(crate) fn admits(&self, of: Type<'_>, id: &str, made_by: &str, body: &Value) -> Result<bool, Error> {
        Ok(self.ids.as_ref().is_none_or(|ids| ids.contains(id))
            && self.made_by.as_ref().is_none_or(|line| line.iter().any(|key| key == made_by))
            && self.matches(of, body)?)
    }

    fn matches(&self, of: Type<'_>, body: &Value) -> Result<bool, Error> {
        match &self.filter {
            Some(filter) => Ok(scim::matches(filter, of, body)?),
            None => Ok(true),
        }
    }

    /// Refuses a change that takes a resource out of what the key sees.
    ///
    /// # Errors
    /// Forbidden, with the filter.
    pub(crate) fn check_after(&self, of: Type<'_>, after: &Value) -> Result<(), Error> {
        match &self.filter {
            Some(filter) if !scim::matches(filter, of, after)? => Err(outside(self.kind, filter)),
            Some(_) | None => Ok(()),
        }
    }

    /// What of it an index, or the row, decides.
    pub(crate) fn terms(&self) -> Vec<Term> {
        let line = self.made_by.clone().map(Term::MadeBy);
        let ids = self.ids.as_ref().map(|ids| Term::Id(ids.iter().cloned().collect()));
        [ids, line].into_iter().flatten().collect()
    }

    /// A filter that leaves what both leave.
    pub(crate) fn narrowed(&self, filter: Option<&Filter>) -> Option<Filter> {
        conjunction(filter, self.filter.as_ref())
    }
}

/// A change that would take a resource out of what the key sees.
pub(crate) fn outside(kind: ResourceType, filter: &Filter) -> Error {
    let noun = kind.name().to_lowercase();
    Error::Forbidden(format!(
        "this key may only touch a {noun} that matches {filter}, before and after the change"
    ))
}

/// The filter of the scope on a type.
pub(crate) fn filter_of(cx: &Cx<ScimClient>, kind: ResourceType) -> Result<Option<Filter>, Error> {
    let Some(text) = cx.actor.scope.filter(resource_kind(kind)) else { return Ok(None) };
    Filter::parse(text)
        .map(Some)
        .map_err(|_| Error::Forbidden("the filter of this key's scope cannot be read any more".to_owned()))
}

/// A filter that leaves what both leave, in one row, so that each part may be served by an index.
pub(crate) fn conjunction(one: Option<&Filter>, other: Option<&Filter>) -> Option<Filter> {
    let parts: Vec<Filter> =
        [one, other].into_iter().flatten().flat_map(Filter::conjuncts).cloned().collect();
    if parts.len() > 1 { Some(Filter::And(parts)) } else { parts.into_iter().next() }
}

/// Which of these ids are there for a key; none when all of them are.
pub(crate) async fn visible(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    kind: ResourceType,
    ids: &BTreeSet<String>,
) -> Result<Option<HashSet<String>>, Error> {
    let Some(sight) = Sight::of(cx, conn, kind).await? else { return Ok(None) };
    let mut wanted: Vec<String> = ids.iter().cloned().collect();
    if let Some(named) = &sight.ids {
        wanted.retain(|id| named.contains(id));
        if sight.made_by.is_none() && sight.filter.is_none() {
            return Ok(Some(wanted.into_iter().collect()));
        }
    }
    let of = cx.schemas().of(kind);
    let mut found = HashSet::with_capacity(wanted.len());
    for some in wanted.chunks(200) {
        let window = Window { limit: i64::try_from(some.len()).unwrap_or(i64::MAX), ..Window::default() };
        let mut terms = sight.terms();
        terms.retain(|term| !matches!(term, Term::Id(_)));
        terms.push(Term::Id(some.to_vec()));
        for resource in listing::read_rows(cx, conn, of, &terms, &window).await? {
            if sight.matches(of, resource.resource().as_value())? {
                found.insert(resource.id().to_string());
            }
        }
    }
    Ok(Some(found))
}

/// The users and groups among members that are there for a key, by their ids; none when all of them are.
pub(crate) async fn visible_members<'m>(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    members: impl Iterator<Item = (Option<ResourceType>, &'m str)>,
) -> Result<Option<HashSet<String>>, Error> {
    let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
    if !hides_any(cx) {
        return Ok(None);
    }
    for (kind, id) in members {
        let of_kind = if kind == Some(ResourceType::Group) { &mut groups } else { &mut users };
        of_kind.insert(id.to_owned());
    }
    let mut all = HashSet::new();
    for (kind, ids) in [(ResourceType::User, users), (ResourceType::Group, groups)] {
        match visible(cx, conn, kind, &ids).await? {
            Some(found) => all.extend(found),
            None => all.extend(ids),
        }
    }
    Ok(Some(all))
}

/// Whether anything is hidden from a key.
pub(crate) fn hides_any(cx: &Cx<ScimClient>) -> bool {
    domain::scopes::ResourceKind::ALL.into_iter().any(|kind| cx.actor.scope.hides(kind))
}
