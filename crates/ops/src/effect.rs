//! The one door of every change of a directory.
//!
//! Whoever changes a user or a group says inside its unit, before anything is written, what the change
//! comes to: an [`Effect`]. [`guard`] holds it against the scope of the key and against the brakes; a
//! change that passed is kept in the journal by [`crate::journal::write`] in the same unit.
//!
//! A change that a brake holds is not an error of its unit: the unit commits what is known of it and
//! nothing of the change itself ([`Held::stop`]). Its request is told so after the commit ([`told`]).

use domain::{Millis, ResourceId, audit::AuditEvent, scopes::Verb};
use scim::{Resource, ResourceType};
use store::{Change, Conn, groups::GroupRow, users::UserRow};

use crate::{Cx, Error, ScimClient, brakes, scim_client::Asked, scoped};

/// Seconds after which a provider may come back with a held operation.
pub(crate) const HELD_RETRY_S: u32 = 900;

/// A change of one user or group as it is about to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect<'a> {
    /// Create, update or delete.
    pub verb: Verb,
    /// User or group.
    pub kind: ResourceType,
    /// The resource.
    pub id: &'a ResourceId,
    /// `userName` or `displayName`: the new one, or the last one of what is deleted.
    pub name: &'a str,
    /// The resource before, without `id`, `meta`, `groups` and `members`; `None` for what is created.
    pub before: Option<&'a Resource>,
    /// The resource after, likewise; `None` for what is deleted.
    pub after: Option<&'a Resource>,
    /// The top-level attributes that differ, sorted.
    pub attributes: &'a [String],
    /// The ids of those who join the group.
    pub joining: &'a [String],
    /// The ids of those who leave the group; of a deleted group, all of its members.
    pub leaving: &'a [String],
    /// The ids of the groups that a deleted user or group is directly in.
    pub belonged: &'a [String],
    /// What the row was; of what is created, what it becomes.
    pub row: RowFacts<'a>,
}

/// What the row of a resource says beside its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowFacts<'a> {
    /// The key that made it.
    pub made_by: &'a str,
    /// Its version before the change; 1 of what is created.
    pub version: i64,
    /// When it was created.
    pub created_ms: Millis,
    /// When it was last changed before.
    pub modified_ms: Millis,
    /// The text of the row: what is created or deleted, as JSON.
    pub body: &'a str,
}

impl<'a> From<&'a UserRow> for RowFacts<'a> {
    fn from(row: &'a UserRow) -> Self {
        let UserRow { made_by, version, created_ms, modified_ms, body, .. } = row;
        Self { made_by, version: *version, created_ms: *created_ms, modified_ms: *modified_ms, body }
    }
}

impl<'a> From<&'a GroupRow> for RowFacts<'a> {
    fn from(row: &'a GroupRow) -> Self {
        let GroupRow { made_by, version, created_ms, modified_ms, body, .. } = row;
        Self { made_by, version: *version, created_ms: *created_ms, modified_ms: *modified_ms, body }
    }
}

/// A change that a brake holds: what is told, and the records of holding it.
#[derive(Debug)]
pub(crate) struct Held {
    /// What the provider reads, with the id of the case.
    pub message: String,
    /// What the audit log tells.
    pub events: Vec<AuditEvent>,
}

/// What a unit gives that may be held: its value, or what the provider is told.
pub(crate) type OrHeld<T> = Result<T, String>;

impl Held {
    /// Ends the unit: what is known of the change is committed, nothing of the change itself.
    pub fn stop<T>(self) -> Change<OrHeld<T>> {
        Change::nothing(Err(self.message)).with_events(self.events)
    }
}

/// The value of a unit once it is committed.
///
/// # Errors
/// Throttled when a brake holds the change.
pub(crate) fn told<T>(made: OrHeld<T>) -> Result<T, Error> {
    made.map_err(|message| Error::Throttled { message, retry_after_s: HELD_RETRY_S })
}

/// Decides a change inside its unit: the scope of the key first, then the brakes. `Some` when a brake
/// holds it.
///
/// # Errors
/// Forbidden by the scope, or because what it would change is protected; Throttled by a ceiling of the
/// scope.
pub(crate) async fn guard(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    asked: &Asked,
    effect: &Effect<'_>,
) -> Result<Option<Held>, Error> {
    scoped::check(cx, conn, effect).await?;
    brakes::check(cx, conn, asked, effect).await
}

/// The top-level attributes of a resource that is created, sorted.
pub(crate) fn attributes_of(resource: &Resource) -> Vec<String> {
    let names = resource.as_value().as_object().into_iter().flat_map(|object| object.keys());
    names.filter(|name| *name != "schemas").cloned().collect()
}
