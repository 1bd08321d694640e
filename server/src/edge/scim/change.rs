//! Changing users and groups: from a request, or from an operation of a Bulk request, to one
//! operation of `ops`.

use axum::{
    body::{Bytes, to_bytes},
    extract::Request,
    response::Response,
};
use domain::scopes::{ResourceKind, Verb};
use http::{HeaderMap, Method, StatusCode, header};
use ops::{
    Cx, Error, ScimClient,
    groups::{self, Changed, Shown},
    listing::Found,
    scim_client::Asked,
    users,
};
use scim::{Reading, Resource, ResourceType, ScimError, Selection, Type};
use serde_json::Value;

use super::{
    answer::{empty, problem},
    refuse,
    resources::show,
};

/// A change that a client may ask for.
pub(super) enum Change {
    Create(Resource),
    Replace(String, Resource),
    Patch(String, Vec<scim::Op>),
    Delete(String),
}

/// What became of it.
pub(super) enum Outcome {
    /// It is shown.
    Shown(Box<Found>),
    /// It has this version now and more members than an answer shows.
    TooLarge(i64),
    /// It was deleted.
    Gone,
}

impl Outcome {
    fn of(changed: Changed) -> Self {
        match changed {
            Changed::Group(group) => Self::Shown(Box::new(Found::Group(*group))),
            Changed::TooLargeToShow { version, .. } => Self::TooLarge(version),
        }
    }
}

/// A change that may be made, as it was read.
pub(super) struct Intake {
    pub(super) change: Change,
    /// The request, with what was tolerated while it was read.
    pub(super) asked: Asked,
    /// What the answer is to show.
    pub(super) selection: Selection,
}

impl Intake {
    /// The status of an answer that shows something.
    pub(super) fn status(&self) -> u16 {
        if matches!(self.change, Change::Create(_)) { 201 } else { 200 }
    }
}

/// Takes in a POST, PUT, PATCH or DELETE, whoever keeps the resource; `id` is that of the path.
///
/// # Errors
/// The answer to a request that is refused, which is on record then.
pub(super) async fn take_in(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    id: Option<&str>,
    request: Request,
) -> Result<Intake, Response> {
    let selection = match scim::query_selection(request.uri().query().unwrap_or_default()) {
        Ok(selection) => selection,
        Err(error) => return Err(refuse(cx, asked, error).await),
    };
    // The scope decides before a body is read that would be thrown away.
    let verb = match *request.method() {
        Method::POST => Verb::Create,
        Method::DELETE => Verb::Delete,
        _ => Verb::Update,
    };
    cx.allow(asked, verb, resource_kind(kind)).await.map_err(|error| problem(&error))?;
    cx.allow_selection(asked, kind, &selection).await.map_err(|error| problem(&error))?;
    let mut reading = reading(cx);
    let read = read(cx, kind, id, request, &mut reading).await;
    let asked = tolerating(asked, reading);
    match read {
        Ok(change) => Ok(Intake { change, asked, selection }),
        Err(error) => Err(refuse(cx, &asked, error).await),
    }
}

/// A change of a resource that is kept here.
pub(super) async fn change(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    id: Option<&str>,
    request: Request,
) -> Response {
    let if_match = versions(request.headers(), header::IF_MATCH);
    let taken = match take_in(cx, asked, kind, id, request).await {
        Ok(taken) => taken,
        Err(answer) => return answer,
    };
    let status = taken.status();
    let Intake { change, asked, selection } = taken;
    match perform(cx, &asked, kind, if_match, change, shown(&selection)).await {
        Ok(Outcome::Shown(found)) => show(cx, &found, status, &selection),
        Ok(Outcome::TooLarge(version)) => empty(StatusCode::NO_CONTENT, Some(version)),
        Ok(Outcome::Gone) => empty(StatusCode::NO_CONTENT, None),
        Err(error) => problem(&error),
    }
}

/// Reads what a client asks to change.
async fn read(
    cx: &Cx<ScimClient>,
    kind: ResourceType,
    id: Option<&str>,
    request: Request,
    reading: &mut Reading,
) -> Result<Change, ScimError> {
    let of = cx.schemas().of(kind);
    let method = request.method().clone();
    match (method, id) {
        (Method::DELETE, Some(id)) => Ok(Change::Delete(id.to_owned())),
        (Method::PATCH, Some(id)) => Ok(Change::Patch(id.to_owned(), read_patch(request, reading).await?)),
        (_, Some(id)) => Ok(Change::Replace(id.to_owned(), read_replace(of, id, request, reading).await?)),
        (_, None) => Ok(Change::Create(Resource::read(of, &body(request).await?, reading)?)),
    }
}

/// The body of a PUT on this id.
async fn read_replace(
    of: Type<'_>,
    id: &str,
    request: Request,
    reading: &mut Reading,
) -> Result<Resource, ScimError> {
    let bytes = body(request).await?;
    check_id(&serde_json::from_slice(&bytes).unwrap_or_default(), id)?;
    Resource::read(of, &bytes, reading)
}

/// The body of a PATCH.
async fn read_patch(request: Request, reading: &mut Reading) -> Result<Vec<scim::Op>, ScimError> {
    scim::patch::read(&body(request).await?, reading)
}

/// How the federation of a client wants requests to be read.
pub(super) fn reading(cx: &Cx<ScimClient>) -> Reading {
    Reading::new(cx.actor().federation.scim.strict)
}

/// Calls the operation of a change.
pub(super) async fn perform(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    kind: ResourceType,
    if_match: Option<Vec<i64>>,
    change: Change,
    shown: Shown,
) -> Result<Outcome, Error> {
    let user = |user| Outcome::Shown(Box::new(Found::User(user)));
    match (kind, change) {
        (ResourceType::User, Change::Create(wanted)) => users::create(cx, asked, wanted).await.map(user),
        (ResourceType::User, Change::Replace(id, wanted)) => {
            users::replace(cx, asked, &id, if_match, wanted).await.map(user)
        }
        (ResourceType::User, Change::Patch(id, operations)) => {
            users::patch(cx, asked, &id, if_match, operations).await.map(user)
        }
        (ResourceType::User, Change::Delete(id)) => {
            users::delete(cx, asked, &id, if_match).await.map(|()| Outcome::Gone)
        }
        (ResourceType::Group, Change::Create(wanted)) => {
            let made = groups::create(cx, asked, wanted, shown).await;
            made.map(|group| Outcome::Shown(Box::new(Found::Group(group))))
        }
        (ResourceType::Group, Change::Replace(id, wanted)) => {
            groups::replace(cx, asked, &id, if_match, wanted, shown).await.map(Outcome::of)
        }
        (ResourceType::Group, Change::Patch(id, operations)) => {
            groups::patch(cx, asked, &id, if_match, operations, shown).await.map(Outcome::of)
        }
        (ResourceType::Group, Change::Delete(id)) => {
            groups::delete(cx, asked, &id, if_match).await.map(|()| Outcome::Gone)
        }
    }
}

/// The id of the path decides; another one in the body is a client that mixes two resources up.
pub(super) fn check_id(body: &Value, id: &str) -> Result<(), ScimError> {
    let ids = body.as_object().into_iter().flatten().filter(|(name, _)| name.eq_ignore_ascii_case("id"));
    if ids.filter_map(|(_, value)| value.as_str()).any(|named| named != id) {
        return Err(ScimError::mutability("id in the body is not the id in the path"));
    }
    Ok(())
}

/// What the answer to a change shows of members.
fn shown(selection: &Selection) -> Shown {
    match selection {
        Selection::Default => Shown::ByDefault,
        Selection::Only(_) | Selection::Except(_) => {
            if selection.wants(ResourceType::Group, "members") {
                Shown::Members
            } else {
                Shown::NoMembers
            }
        }
    }
}

/// A request with what was tolerated while it was read.
pub(super) fn tolerating(asked: &Asked, reading: Reading) -> Asked {
    let mut asked = asked.clone();
    for word in reading.seen.words() {
        if !asked.tolerated.contains(&word) {
            asked.tolerated.push(word);
        }
    }
    asked
}

pub(super) fn resource_kind(kind: ResourceType) -> ResourceKind {
    match kind {
        ResourceType::User => ResourceKind::Users,
        ResourceType::Group => ResourceKind::Groups,
    }
}

/// The body of a request, once its media type is one of the two (RFC 7644 3.1).
pub(super) async fn body(request: Request) -> Result<Bytes, ScimError> {
    let media_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    if let Some(media_type) = media_type {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let is_json = ["application/scim+json", "application/json"]
            .iter()
            .any(|json| essence.eq_ignore_ascii_case(json));
        if !is_json {
            return Err(ScimError::new(415, "application/scim+json was expected"));
        }
    }
    // What is packed is not unpacked: a small body could become a large one.
    let codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    if codings.any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Err(ScimError::new(415, "a body without Content-Encoding was expected"));
    }
    // Size and time are limited by the layer outside, which answers 413 and 408 by itself.
    let bytes = to_bytes(request.into_body(), usize::MAX)
        .await
        .map_err(|_| ScimError::invalid_syntax("the body ended before it was whole"))?;
    if domain::keys::is_in(&String::from_utf8_lossy(&bytes)) {
        return Err(ScimError::invalid_value(
            "a key was sent in the body; send it in the Authorization header only",
        ));
    }
    Ok(bytes)
}

/// The versions that a conditional header lists (RFC 9110 13.1); `None` for no condition or `*`.
pub(super) fn versions(headers: &HeaderMap, name: header::HeaderName) -> Option<Vec<i64>> {
    versions_in(headers.get(name)?.to_str().unwrap_or_default())
}

/// The same for a text. What is no version of ours is a version that no resource has.
pub(super) fn versions_in(text: &str) -> Option<Vec<i64>> {
    let version = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').parse().unwrap_or(-1);
    (text.trim() != "*").then(|| text.split(',').map(version).collect())
}
