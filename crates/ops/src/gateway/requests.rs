//! What a provider asks of a federation with an upstream (RFC 7644 3.3–3.6).
//!
//! Changes run to their end whether the provider waits or not.

use domain::{audit::Action, scopes::Verb, upstreams::LinkState};
use scim::{ListQuery, ListResponse, Op, Resource, ResourceType, Type};
use serde_json::Value;
use tracing::Instrument as _;

pub use super::offers::{Offers, offers};
use super::{change::Wanted, job::Job, list};
use crate::{
    Cx, Error, ScimClient,
    listing::seen,
    scim_client::Asked,
    scoped::{attributes, ceilings, resource_kind, upstream},
};

/// A resource as it is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The whole resource, with ids and addresses of ours.
    pub body: Value,
    /// The upstream's entity tag.
    pub etag: Option<String>,
    /// Where it is here.
    pub location: String,
}

/// Reading, creating, updating and deleting, as records name them.
pub(super) const fn actions(kind: ResourceType) -> [Action; 4] {
    match kind {
        ResourceType::User => {
            [Action::UserRead, Action::UserCreated, Action::UserUpdated, Action::UserDeleted]
        }
        ResourceType::Group => {
            [Action::GroupRead, Action::GroupCreated, Action::GroupUpdated, Action::GroupDeleted]
        }
    }
}

/// What the key sees of a resource.
fn seen_by(cx: &Cx<ScimClient>, kind: ResourceType, mut shown: Shown) -> Result<Shown, Error> {
    upstream::see(cx, kind, &mut shown.body)?;
    Ok(shown)
}

/// Refuses a change that names what the key may not read or write, before anything is asked.
fn check_named(cx: &Cx<ScimClient>, kind: ResourceType, wanted: &Wanted) -> Result<(), Error> {
    let (scope, of) = (&cx.actor.scope, cx.schemas().of(kind));
    match wanted {
        Wanted::Replace(resource) => attributes::check_body(scope, resource.as_value(), of),
        Wanted::Patch(operations) => {
            attributes::check_operations(scope, of, operations)?;
            attributes::check_named(scope, of, operations)
        }
    }
}

/// Runs work to its end even when nobody waits for it any more.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let ended = tokio::spawn(work.in_current_span()).await;
    ended.unwrap_or_else(|error| Err(Error::Internal(format!("a call to an upstream: {error}"))))
}

/// Creates a resource at the upstream.
///
/// # Errors
/// 409 uniqueness when the name is taken, or belongs to an account that nobody gave to this
/// federation; what the upstream refuses; 503 and 429 when it is not known to be done; Forbidden by
/// the scope.
pub async fn create(cx: &Cx<ScimClient>, asked: &Asked, resource: Resource) -> Result<Shown, Error> {
    let kind = resource.kind();
    let [_, action, _, _] = actions(kind);
    let made = async {
        cx.admit(Verb::Create, resource_kind(kind))?;
        let of = cx.schemas().of(kind);
        upstream::check_new(cx, of, resource.as_value())?;
        let job = Job::new(cx, asked, kind).await?;
        to_its_end(async move { job.create(resource).await }).await.and_then(|shown| seen_by(cx, kind, shown))
    };
    cx.changed(asked, action, made.await).await
}

/// One resource.
///
/// # Errors
/// NotFound; 503 and 429 of the upstream; Forbidden by the scope.
pub async fn get(cx: &Cx<ScimClient>, asked: &Asked, kind: ResourceType, id: &str) -> Result<Shown, Error> {
    let [action, ..] = actions(kind);
    let found = async {
        ceilings::admit_read(cx, resource_kind(kind)).await?;
        let job = Job::new(cx, asked, kind).await?;
        let mut link = job.link(id).await?;
        if link.state == LinkState::Unknown {
            link = job.certain(link).await?;
        }
        job.read(&link).await.and_then(|shown| seen_by(cx, kind, shown))
    };
    cx.answered(asked, action, found.await).await
}

/// A page of resources, as the upstream lists them, or as they are found and ordered here.
///
/// # Errors
/// What the upstream refuses, an unsupported filter for one; `tooMany` where more would have to be read
/// than is allowed; `invalidCursor`, `expiredCursor`, `invalidCount`; 503 and 429; Forbidden by the scope.
pub async fn list(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    of: Type<'_>,
    query: &ListQuery,
) -> Result<ListResponse, Error> {
    let [action, ..] = actions(of.kind);
    let found = async {
        ceilings::admit_read(cx, resource_kind(of.kind)).await?;
        list::search(cx, asked, &[of.kind], query).await
    };
    cx.listed(asked, action, found.await, |page| seen(query, page.resources.len())).await
}

/// A page of everything that the key may read: the users, then the groups (RFC 7644 3.4.2.1). An
/// order holds within each.
///
/// # Errors
/// As [`list`]; Forbidden when the key may read neither.
pub async fn everything(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    query: &ListQuery,
) -> Result<ListResponse, Error> {
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
            Some(_) | None => list::search(cx, asked, &kinds, query).await,
        }
    };
    cx.listed(asked, Action::UserRead, found.await, |page| seen(query, page.resources.len())).await
}

/// Replaces a resource. `if_match` goes to the upstream as it came.
///
/// # Errors
/// NotFound; what the upstream refuses, 412 for one; 409 when nobody gave it to this federation;
/// 503 and 429; Forbidden by the scope.
pub async fn replace(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    id: &str,
    if_match: Option<String>,
    resource: Resource,
) -> Result<Shown, Error> {
    let kind = resource.kind();
    let change = Wanted::Replace(resource);
    Box::pin(change_one(cx, asked, (kind, id), if_match, change)).await
}

/// Changes a resource in part.
///
/// # Errors
/// As [`replace`].
pub async fn patch(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    (kind, id): (ResourceType, &str),
    if_match: Option<String>,
    operations: Vec<Op>,
) -> Result<Shown, Error> {
    Box::pin(change_one(cx, asked, (kind, id), if_match, Wanted::Patch(operations))).await
}

async fn change_one(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    (kind, id): (ResourceType, &str),
    if_match: Option<String>,
    wanted: Wanted,
) -> Result<Shown, Error> {
    let [_, _, action, _] = actions(kind);
    let made = async {
        cx.admit(Verb::Update, resource_kind(kind))?;
        check_named(cx, kind, &wanted)?;
        let job = Job::new(cx, asked, kind).await?;
        let id = id.to_owned();
        let shown = to_its_end(async move { job.change(&id, if_match, wanted).await }).await;
        shown.and_then(|shown| seen_by(cx, kind, shown))
    };
    cx.changed(asked, action, made.await).await
}

/// Deletes a resource at the upstream.
///
/// # Errors
/// As [`replace`].
pub async fn delete(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    id: &str,
    if_match: Option<String>,
) -> Result<(), Error> {
    let [_, _, _, action] = actions(kind);
    let made = async {
        cx.admit(Verb::Delete, resource_kind(kind))?;
        let job = Job::new(cx, asked, kind).await?;
        let id = id.to_owned();
        to_its_end(async move { job.delete(&id, if_match).await }).await
    };
    cx.changed(asked, action, made.await).await
}
