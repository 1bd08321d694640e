//! What the scope of a key says of a request beyond its verb.
//!
//! - [`attributes`]: what is shown, what may be asked about, and what a change may write;
//! - [`sight`]: which resources are there for a key;
//! - [`ceilings`]: how often something may be done in an hour;
//! - [`issue`]: whether a scope that is about to be given to a key can be kept;
//! - [`upstream`]: the same where an upstream keeps the resources.
//!
//! A resource that a key may not see is told like one that is not there, and an attribute that it may not
//! read is refused before anything is looked up: neither the answer nor its time tells more.

pub(crate) mod attributes;
pub(crate) mod ceilings;
pub(crate) mod issue;
pub(crate) mod sight;
pub(crate) mod upstream;

use domain::scopes::{ResourceKind, Scope, Verb};
use scim::ResourceType;
use store::Conn;

use self::sight::Sight;
use crate::{Cx, Error, ScimClient, effect::Effect};

/// A resource type, as scopes call it.
pub(crate) const fn resource_kind(kind: ResourceType) -> ResourceKind {
    match kind {
        ResourceType::User => ResourceKind::Users,
        ResourceType::Group => ResourceKind::Groups,
    }
}

/// A resource type, as the protocol calls it.
pub(crate) const fn resource_type(kind: ResourceKind) -> ResourceType {
    match kind {
        ResourceKind::Users => ResourceType::User,
        ResourceKind::Groups => ResourceType::Group,
    }
}

/// Whether answers with resources of a type are this key's own, and not those that everybody gets.
pub(crate) fn answers_differ(scope: &Scope, kind: ResourceType) -> bool {
    // Users show their groups, groups their members.
    scope.readable(resource_kind(kind)).is_some()
        || ResourceKind::ALL.into_iter().any(|kind| scope.hides(kind))
}

/// Decides a change by every dimension of the key's scope.
///
/// # Errors
/// Forbidden, with the dimension; NotFound for what is not there for the key; Throttled by a ceiling.
pub(crate) async fn check(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    effect: &Effect<'_>,
) -> Result<(), Error> {
    let (scope, kind) = (&cx.actor.scope, effect.kind);
    let resource = resource_kind(kind);
    let (before, after) =
        (effect.before.map(scim::Resource::as_value), effect.after.map(scim::Resource::as_value));
    if scope.restricts_writing(resource) && effect.verb != Verb::Delete {
        attributes::check_written(scope, cx.schemas().of(kind), before, after)?;
        let moves = !effect.joining.is_empty() || !effect.leaving.is_empty();
        if moves && !scope.may_write(resource, "members") {
            return Err(attributes::not_written("members"));
        }
    }
    if scope.hides(resource) {
        check_created(scope, kind, effect.verb)?;
        if let Some(sight) = Sight::of(cx, conn, kind).await? {
            let of = cx.schemas().of(kind);
            if let Some(before) = before
                && !sight.admits(of, effect.id.as_str(), effect.row.made_by, before)?
            {
                return Err(not_there(kind));
            }
            if let Some(after) = after {
                sight.check_after(of, after)?;
            }
        }
    }
    ceilings::count(cx, conn, resource, effect.verb).await
}

/// With named groups none is created.
pub(crate) fn check_created(scope: &Scope, kind: ResourceType, verb: Verb) -> Result<(), Error> {
    if kind == ResourceType::Group && verb == Verb::Create && scope.groups.is_some() {
        return Err(Error::Forbidden(
            "this key may not create groups: its scope names those that it may touch".to_owned(),
        ));
    }
    Ok(())
}

/// What is not there for a key.
pub(crate) const fn not_there(kind: ResourceType) -> Error {
    match kind {
        ResourceType::User => Error::NotFound("user"),
        ResourceType::Group => Error::NotFound("group"),
    }
}

impl Cx<ScimClient> {
    /// The body of an answer, cut down to what the key may read.
    pub fn readable(&self, kind: ResourceType, body: serde_json::Value) -> serde_json::Value {
        match self.actor.scope.readable(resource_kind(kind)) {
            Some(set) => attributes::pruned(set, self.schemas().of(kind), body),
            None => body,
        }
    }

    /// Refuses to show attributes by name that the key may not read.
    ///
    /// # Errors
    /// Forbidden.
    pub async fn allow_selection(
        &self,
        asked: &crate::scim_client::Asked,
        kind: ResourceType,
        selection: &scim::Selection,
    ) -> Result<(), Error> {
        let of = self.schemas().of(kind);
        let action = match kind {
            ResourceType::User => domain::audit::Action::UserRead,
            ResourceType::Group => domain::audit::Action::GroupRead,
        };
        let allowed = attributes::check_selection(&self.actor.scope, of, selection);
        if allowed.is_ok() { Ok(()) } else { Box::pin(self.changed(asked, action, allowed)).await }
    }
}
