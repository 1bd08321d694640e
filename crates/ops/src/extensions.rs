//! Schemas that an admin registers for a federation (RFC 7643 3.3 and 7): users and groups may then
//! have their attributes, and `/Schemas` and `/ResourceTypes` name them.
//!
//! Registering a URN again replaces its schema. Neither that nor removing one touches what is
//! stored: values of attributes that no schema names any more stay, are not shown and cannot be
//! asked for, and are there again when the schema is. Every change is a change of the federation,
//! whose version tells what was read of its schemas from what is new.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{
    FederationId, Invalid,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    federations::{Federation, Slug},
};
use scim::{Extension, ResourceType, Schemas};
use serde_json::json;
use store::{Change, Conn, extensions::ExtensionRow};

use crate::{
    Cx, Error, Keyward, ScimClient,
    federations::{about, allowed, find},
    unit::detail,
};

/// A schema to be registered, as a form brings it.
#[derive(Debug, Clone, Default)]
pub struct NewExtension {
    /// `User` or `Group`.
    pub resource_type: String,
    /// The schema as RFC 7643 7 writes it.
    pub json: String,
}

/// A registered schema, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionView {
    /// Its URN.
    pub urn: String,
    /// Its name.
    pub name: String,
    /// What it says about itself.
    pub description: String,
    /// The type that it extends.
    pub kind: ResourceType,
    /// The names of its attributes.
    pub attributes: Vec<String>,
    /// It, as RFC 7643 7 writes it.
    pub json: String,
}

/// The schemas that were registered for a federation, in order of registration.
///
/// # Errors
/// NotFound when there is no such federation, or none that the viewer may see.
pub async fn list(cx: &Cx<Admin>, slug: &Slug) -> Result<Vec<ExtensionView>, Error> {
    let mut reader = cx.read().await?;
    let federation = find(cx, &mut reader.conn(), slug).await?;
    let rows = store::extensions::list(&mut reader.conn(), &federation.id).await?;
    let extensions = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(extensions.iter().map(view).collect())
}

/// Registers a schema, or replaces the one with its URN.
///
/// # Errors
/// Invalid on `json` saying what of it cannot be kept, on `resource_type` when it is neither;
/// Conflict when the federation is archived; Stale when it is changed at the same time; Forbidden;
/// NotFound.
pub async fn register(cx: &Cx<Admin>, slug: &Slug, new: NewExtension) -> Result<ExtensionView, Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::ExtensionRegistered).await?;
    let kind = ResourceType::from_name(new.resource_type.trim())
        .ok_or_else(|| Invalid::new("resource_type", "choose what it extends: User or Group"))?;
    let extension = Extension::parse(kind, &new.json).map_err(|error| Invalid::new("json", error.detail))?;
    let row = ExtensionRow {
        urn_lower: extension.urn().to_ascii_lowercase(),
        resource_type: kind.name().to_owned(),
        body: extension.to_json().to_string(),
        created_ms: cx.now_ms(),
    };
    let event = AuditEvent {
        detail: detail(&json!({
            "urn": extension.urn(), "resource_type": kind.name(), "schema": extension.to_json(),
        })),
        ..about(cx, Action::ExtensionRegistered, &federation)
    };
    let registered = view(&extension);
    let federation = Federation { updated_ms: cx.now_ms(), ..federation };
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            store::federations::update(conn, &federation).await?;
            store::extensions::upsert(conn, &federation.id, &row).await?;
            // All of them together: two may get in each other's way.
            let rows = store::extensions::list(conn, &federation.id).await?;
            let extensions = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            Schemas::with_extensions(extensions).map_err(|error| Invalid::new("json", error.detail))?;
            Ok(Change::new(registered.clone(), event.clone()))
        })
        .await
}

/// Removes a schema. What users and groups have of it stays stored and is not shown any more.
///
/// # Errors
/// NotFound when there is no such schema or federation; Conflict when that is archived; Stale when
/// it is changed at the same time; Forbidden.
pub async fn remove(cx: &Cx<Admin>, slug: &Slug, urn: &str) -> Result<(), Error> {
    let federation = allowed(cx, slug, Right::RunFederation, Action::ExtensionRemoved).await?;
    let urn_lower = urn.trim().to_ascii_lowercase();
    let event = AuditEvent {
        detail: detail(&json!({ "urn": domain::usage::clean(urn.trim(), 300) })),
        ..about(cx, Action::ExtensionRemoved, &federation)
    };
    let federation = Federation { updated_ms: cx.now_ms(), ..federation };
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            if !store::extensions::delete(conn, &federation.id, &urn_lower).await? {
                return Err(Error::NotFound("schema"));
            }
            store::federations::update(conn, &federation).await?;
            Ok(Change::new((), event.clone()))
        })
        .await
}

fn read(row: &ExtensionRow) -> Result<Extension, Error> {
    let kind = ResourceType::from_name(&row.resource_type);
    let extension = kind.and_then(|kind| Extension::parse(kind, &row.body).ok());
    extension.ok_or_else(|| Error::Internal(format!("the stored schema {} cannot be read", row.urn_lower)))
}

fn view(extension: &Extension) -> ExtensionView {
    let schema = extension.schema();
    ExtensionView {
        urn: extension.urn().to_owned(),
        name: schema.name.to_string(),
        description: schema.description.to_string(),
        kind: extension.kind(),
        attributes: schema.attributes.iter().map(|attribute| attribute.name.to_string()).collect(),
        json: serde_json::to_string_pretty(&extension.to_json()).unwrap_or_default(),
    }
}

/// The schemas of each federation as they were at its version. One that has registered none costs
/// nothing but its name.
#[derive(Default)]
pub(crate) struct KnownSchemas(Mutex<HashMap<FederationId, (i64, Arc<Schemas>)>>);

impl Keyward {
    /// The schemas of a federation, read once for each of its versions.
    pub(crate) async fn schemas_of(
        &self,
        conn: &mut Conn<'_>,
        federation: &Federation,
    ) -> Result<Arc<Schemas>, Error> {
        let known = &self.schemas.0;
        let found = known.lock().unwrap_or_else(PoisonError::into_inner).get(&federation.id).cloned();
        if let Some((version, schemas)) = found
            && version == federation.version
        {
            return Ok(schemas);
        }
        let rows = store::extensions::list(conn, &federation.id).await?;
        let extensions = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let schemas = Schemas::with_extensions(extensions)
            .map_err(|error| Error::Internal(format!("the schemas of {}: {error}", federation.slug)))?;
        let schemas = Arc::new(schemas);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_newer = known.get(&federation.id).is_none_or(|(version, _)| *version < federation.version);
        if is_newer {
            known.insert(federation.id.clone(), (federation.version, Arc::clone(&schemas)));
        }
        Ok(schemas)
    }
}

impl Cx<ScimClient> {
    /// The schemas that the federation of this client is seen through.
    pub fn schemas(&self) -> &Schemas {
        &self.actor.schemas
    }
}
