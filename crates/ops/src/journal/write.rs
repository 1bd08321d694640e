//! One change, one row: what differs, without a copy of a body.

use domain::{
    FederationId, UndoId,
    audit::ActorKind,
    journal::{ChangeKind, Facts},
    scopes::Verb,
};
use scim::Resource;
use serde::{Serialize, Serializer};
use store::{Conn, journal::NewEntry};

use crate::{Cx, Error, Keyward, ScimClient, effect::Effect, scim_client::Asked};

/// Who makes a change, and in which request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Author<'a> {
    /// The request.
    pub request_id: &'a str,
    /// The key that was presented.
    pub key_id: Option<&'a str>,
    /// Kind, id and name; no id for a key.
    pub actor: (ActorKind, &'a str, &'a str),
    /// From where.
    pub source: Option<&'a str>,
    /// The taking back that it belongs to.
    pub undo_of: Option<&'a UndoId>,
}

/// Keeps a change, in the unit that makes it.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn write(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    asked: &Asked,
    effect: &Effect<'_>,
) -> Result<(), Error> {
    if store::recording::is_off() {
        return Ok(());
    }
    let source = cx.request.source.map(|address| address.to_string());
    record(&cx.keyward, conn, cx.federation_id(), author(cx, asked, source.as_deref()), effect).await
}

/// The key of a request as the author of a change.
pub(crate) fn author<'a>(cx: &'a Cx<ScimClient>, asked: &'a Asked, source: Option<&'a str>) -> Author<'a> {
    Author {
        request_id: asked.operation.as_ref().unwrap_or(&cx.request.id).as_str(),
        key_id: Some(cx.actor.key_id.as_str()),
        actor: (ActorKind::Key, "", &cx.actor.key_name),
        source,
        undo_of: None,
    }
}

/// Keeps a change of whoever made it.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn record(
    keyward: &Keyward,
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    author: Author<'_>,
    effect: &Effect<'_>,
) -> Result<(), Error> {
    let Effect { joining, leaving, belonged, row, .. } = effect;
    let members = (!(joining.is_empty() && leaving.is_empty() && belonged.is_empty()))
        .then(|| text(&Members { joined: joining, left: leaving, groups: belonged }))
        .transpose()?;
    let (mut was, mut became, mut facts) = (None, None, None);
    let (change, version) = match effect.verb {
        Verb::Create => (ChangeKind::Create, row.version - 1),
        Verb::Delete => {
            let made_by = row.made_by.to_owned();
            facts = Some(text(&Facts { made_by, created_ms: row.created_ms, modified_ms: row.modified_ms })?);
            (ChangeKind::Delete, row.version)
        }
        Verb::Read | Verb::Update => {
            if !effect.attributes.is_empty() {
                was = effect.before.map(|before| text(&Part(before, effect.attributes))).transpose()?;
                became = effect.after.map(|after| text(&Part(after, effect.attributes))).transpose()?;
            }
            (ChangeKind::Update, row.version)
        }
    };
    let whole = |is_it: bool| is_it.then_some(row.body);
    let id = keyward.journal_id();
    let entry = NewEntry {
        id: &id,
        at_ms: keyward.clock.now_ms(),
        request_id: author.request_id,
        key_id: author.key_id,
        actor: author.actor,
        source: author.source,
        resource_type: effect.kind.name(),
        resource_id: effect.id.as_str(),
        name: effect.name,
        change,
        version,
        was: was.as_deref().or(whole(change == ChangeKind::Delete)),
        became: became.as_deref().or(whole(change == ChangeKind::Create)),
        members: members.as_deref(),
        facts: facts.as_deref(),
        undo_of: author.undo_of.map(UndoId::as_str),
    };
    Ok(store::journal::insert(conn, federation_id, &entry).await?)
}

fn text(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|error| Error::Internal(format!("a change was not written: {error}")))
}

#[derive(Serialize)]
struct Members<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    joined: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    left: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
}

/// Some attributes of a resource, written without being copied.
struct Part<'a>(&'a Resource, &'a [String]);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(resource, names) = self;
        let parts = resource.as_value().as_object();
        serializer.collect_map(names.iter().filter_map(|name| Some((name, parts?.get(name)?))))
    }
}
