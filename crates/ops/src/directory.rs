//! What users and groups have in common, and how a change is made beside the committer.
//!
//! A PATCH or a PUT is computed on the task of its request, from a row that a reader gave, and is
//! then committed with the version that it saw: whatever a client sends, nobody else waits for it.
//! When somebody was faster, the row is read and the change is computed again. After
//! [`ATTEMPTS`] a cheap one is computed inside its unit, where nobody can be faster any more.

use std::sync::Arc;

use domain::scopes::Scope;
use scim::{Op, Reading, Resource, ResourceType, Schemas, ScimError, Tolerances};
use serde_json::Value;

use crate::{
    Cx, Error, Keyward, ScimClient,
    scim_client::Asked,
    scoped::{attributes, resource_kind},
};

/// The most bytes of a name or external id, in lower case.
const LONGEST: usize = 1_000;

/// The most names or ids that an audit record lists.
pub(crate) const TOLD: usize = 20;

/// How often a change is computed outside of its unit before it is computed inside.
pub(crate) const ATTEMPTS: usize = 4;

/// How often a change is tried that takes so long to compute that no unit may do it.
pub(crate) const PATIENT_ATTEMPTS: usize = 25;

/// What a change may take inside a unit, where others wait for it, in microseconds.
const CHEAP_US: i64 = 5_000;

/// From this much stored text, or this many operations, a change is computed on a thread where
/// nothing waits for it.
const LARGE_BODY: usize = 64 * 1024;
const LARGE_PATCH: usize = 50;

/// The versions that an `If-Match` names (RFC 9110 13.1.1); `None` for no condition.
pub type IfMatch = Option<Vec<i64>>;

/// What a client wants a resource to become, and how strictly it is read.
pub(crate) struct Edit {
    pub becomes: Becomes,
    /// Whether what no RFC allows is refused.
    pub strict: bool,
    /// Those of the federation.
    pub schemas: Arc<Schemas>,
    /// That of the key.
    pub scope: Arc<Scope>,
}

/// What a client wants a resource to become.
pub(crate) enum Becomes {
    /// PUT.
    This(Resource),
    /// PATCH.
    Patched(Vec<Op>),
}

/// What became of a resource.
pub(crate) struct Edited {
    pub resource: Resource,
    /// What was understood although no standard says so.
    pub tolerated: Tolerances,
    /// How long that took.
    pub took_us: i64,
}

impl Edit {
    /// What a client of a federation wants.
    pub fn of(cx: &Cx<ScimClient>, becomes: Becomes) -> Self {
        let ScimClient { federation, schemas, scope, .. } = &cx.actor;
        let (schemas, scope) = (Arc::clone(schemas), Arc::clone(scope));
        Self { becomes, strict: federation.scim.strict, schemas, scope }
    }

    /// Refuses what names an attribute that the key may not read, before anything is looked up.
    ///
    /// # Errors
    /// Forbidden, with the attribute.
    pub fn check(&self, kind: ResourceType) -> Result<(), Error> {
        let of = self.schemas.of(kind);
        match &self.becomes {
            Becomes::This(wanted) => attributes::check_body(&self.scope, wanted.as_value(), of),
            Becomes::Patched(operations) => attributes::check_operations(&self.scope, of, operations),
        }
    }

    /// The resource after the change, and what was tolerated.
    pub fn apply(&self, kind: ResourceType, before: &Resource) -> Result<(Resource, Tolerances), ScimError> {
        let of = self.schemas.of(kind);
        match &self.becomes {
            Becomes::This(wanted) => {
                let mut after = wanted.clone().replacing(of, before)?;
                if self.scope.restricts_writing(resource_kind(kind)) {
                    after = attributes::preserved(&self.scope, of, before, after);
                }
                Ok((after, Tolerances::NONE))
            }
            Becomes::Patched(operations) => {
                let mut reading = Reading::new(self.strict);
                let patched = scim::patch::apply_with(of, before, operations, &mut reading)?;
                Ok((patched.resource, reading.seen))
            }
        }
    }

    /// The resource after the change, computed where it delays nobody. `size` is what the resource
    /// takes as text.
    pub async fn compute(
        self: &Arc<Self>,
        keyward: &Keyward,
        kind: ResourceType,
        before: Resource,
        size: usize,
    ) -> Result<Edited, Error> {
        let began_us = keyward.clock.monotonic_us();
        let (resource, tolerated) = if self.is_large(size) {
            let edit = Arc::clone(self);
            tokio::task::spawn_blocking(move || edit.apply(kind, &before))
                .await
                .map_err(|error| Error::Internal(format!("a change was not computed: {error}")))??
        } else {
            self.apply(kind, &before)?
        };
        Ok(Edited { resource, tolerated, took_us: keyward.clock.monotonic_us() - began_us })
    }

    fn is_large(&self, size: usize) -> bool {
        match &self.becomes {
            Becomes::This(_) => false,
            Becomes::Patched(operations) => size >= LARGE_BODY || operations.len() >= LARGE_PATCH,
        }
    }
}

/// A request with what was tolerated of it in addition.
pub(crate) fn with_tolerated(asked: &Asked, tolerated: Tolerances) -> Asked {
    let mut asked = asked.clone();
    for word in tolerated.words() {
        if !asked.tolerated.contains(&word) {
            asked.tolerated.push(word);
        }
    }
    asked
}

/// How a change goes on when somebody was faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read and compute again.
    Outside,
    /// Compute inside the unit.
    Inside,
}

/// Decides how a change goes on that was overtaken `overtaken` times and took `took_us`.
///
/// # Errors
/// Throttled when it takes too long for a unit and others are faster every time.
pub(crate) fn next(overtaken: usize, took_us: i64) -> Result<Next, Error> {
    if overtaken < ATTEMPTS {
        Ok(Next::Outside)
    } else if took_us < CHEAP_US {
        Ok(Next::Inside)
    } else if overtaken < PATIENT_ATTEMPTS {
        Ok(Next::Outside)
    } else {
        Err(Error::Throttled {
            message: "the resource is changed by others faster than this change can be computed".to_owned(),
            retry_after_s: 1,
        })
    }
}

/// Refuses a change whose `If-Match` names other versions (RFC 7644 3.14).
pub(crate) fn check_version(if_match: Option<&[i64]>, version: i64) -> Result<(), Error> {
    match if_match {
        Some(seen) if !seen.contains(&version) => Err(ScimError::precondition_failed(format!(
            "the resource has version {}, If-Match named another",
            scim::etag(version)
        ))
        .into()),
        Some(_) | None => Ok(()),
    }
}

/// Refuses what no index holds: Postgres takes rows of 2,704 bytes.
pub(crate) fn check_length(attribute: &str, text: &str) -> Result<(), Error> {
    let length = scim::fold_case(text).len();
    if length <= LONGEST {
        return Ok(());
    }
    Err(ScimError::invalid_value(format!("{attribute}: at most {LONGEST} bytes are allowed, not {length}"))
        .into())
}

/// The one of one.
pub(crate) fn only<T>(found: Vec<T>) -> Result<T, Error> {
    found.into_iter().next().ok_or_else(|| Error::Internal("a row became none".to_owned()))
}

/// A stored resource, read back.
pub(crate) fn stored_resource(kind: ResourceType, body: &str) -> Result<Resource, Error> {
    let value: Value =
        serde_json::from_str(body).map_err(|error| Error::Internal(format!("a stored resource: {error}")))?;
    Ok(Resource::from_stored(kind, value))
}

/// The names of the top-level attributes that differ.
pub(crate) fn changed_attributes(before: &Resource, after: &Resource) -> Vec<String> {
    let empty = serde_json::Map::new();
    let before = before.as_value().as_object().unwrap_or(&empty);
    let after = after.as_value().as_object().unwrap_or(&empty);
    let mut names: Vec<String> = before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}

/// A row that another node changed between reading and writing: the unit runs again.
pub(crate) fn again(error: store::Error) -> store::Error {
    match error {
        store::Error::Stale => store::Error::Serialization,
        store::Error::Conflict(_)
        | store::Error::Serialization
        | store::Error::Unavailable(_)
        | store::Error::Absent(_)
        | store::Error::Newer(_)
        | store::Error::Refused(_)
        | store::Error::Corrupt(_) => error,
    }
}

/// A taken name, in the protocol's words.
pub(crate) fn uniqueness(error: store::Error) -> Error {
    match error {
        store::Error::Conflict(what) => ScimError::uniqueness(what).into(),
        store::Error::Stale
        | store::Error::Serialization
        | store::Error::Unavailable(_)
        | store::Error::Absent(_)
        | store::Error::Newer(_)
        | store::Error::Refused(_)
        | store::Error::Corrupt(_) => error.into(),
    }
}
