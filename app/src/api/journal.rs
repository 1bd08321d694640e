//! What the pages of the directory, of blast radii and of undos load.

use domain::{Invalid, JournalId, ResourceId, UndoId, federations::Slug};
use leptos::prelude::With;
use leptos_router::hooks::use_query_map;
use ops::journal::{
    ResourceType,
    blast::{self, Blast},
    browse::{self, List, One, Wanted},
    history::{self, History},
    undo::{self, Plan, Undo, View},
};

use crate::{
    error::UiError,
    forms::journal::{Chosen, narrowed, wish},
    ssr::{admin_cx, query},
};

fn parse(slug: &str) -> Result<Slug, UiError> {
    Slug::parse(slug).map_err(|_| UiError::not_found("federation"))
}

/// A page of the users or groups of a federation.
///
/// # Errors
/// See [`browse::list`].
pub async fn list(slug: &str, kind: ResourceType, wanted: &Wanted) -> Result<List, UiError> {
    Ok(browse::list(&admin_cx()?, &parse(slug)?, kind, wanted).await?)
}

/// One user or group, and a page of its history.
///
/// # Errors
/// See [`browse::one`].
pub async fn one(slug: &str, kind: ResourceType, id: &str) -> Result<(One, History), UiError> {
    let (cx, slug) = (admin_cx()?, parse(slug)?);
    let id = ResourceId::parse(id).ok_or_else(|| UiError::not_found("resource"))?;
    let after = query("after").unwrap_or_default();
    let before = query("before").and_then(|id| JournalId::parse(&id));
    let one = browse::one(&cx, &slug, kind, &id, &after).await?;
    Ok((one, history::of(&cx, &slug, &id, before.as_ref()).await?))
}

/// A blast radius, the keys to choose from, and what was taken back before.
pub struct BlastPage {
    /// What was done.
    pub blast: Blast,
    /// What the address says.
    pub chosen: Chosen,
    /// What of it could not be read.
    pub faults: Vec<Invalid>,
    /// The keys of the federation.
    pub keys: Vec<ops::keys::KeyView>,
    /// What was taken back before.
    pub undos: Vec<Undo>,
}

/// The blast radius of what the address says.
///
/// # Errors
/// See [`blast::radius`] and [`narrowed`].
pub async fn blast(slug: &str) -> Result<BlastPage, UiError> {
    let (cx, slug) = (admin_cx()?, parse(slug)?);
    // Who may not see the federation learns nothing of its cases and keys.
    ops::federations::open(&cx, &slug).await?;
    let (chosen, faults) = narrowed(&cx, &slug, query).await?;
    let after = query("after").and_then(|id| JournalId::parse(&id));
    let filter = ops::keys::KeyFilter { federation: Some(slug.clone()), ..Default::default() };
    Ok(BlastPage {
        blast: blast::radius(&cx, &slug, &chosen.selection, after.as_ref()).await?,
        keys: ops::keys::list(&cx, &filter).await?,
        undos: undo::list(&cx, &slug).await?,
        chosen,
        faults,
    })
}

/// The dry run of what the address says, and the address without what it is taken back over.
///
/// # Errors
/// See [`undo::plan`] and [`crate::forms::journal::chosen`].
pub async fn plan(slug: &str) -> Result<(Plan, String), UiError> {
    let (cx, slug) = (admin_cx()?, parse(slug)?);
    ops::federations::open(&cx, &slug).await?;
    let over = use_query_map().with(|map| map.get_all("over").unwrap_or_default());
    let (wish, query) = wish(&cx, &slug, query, over).await?;
    Ok((undo::plan(&cx, &slug, &wish).await?, query))
}

/// One taking back.
///
/// # Errors
/// See [`undo::open`].
pub async fn undo(slug: &str, id: &str) -> Result<View, UiError> {
    let id = UndoId::parse(id).ok_or_else(|| UiError::not_found("undo"))?;
    Ok(undo::open(&admin_cx()?, &parse(slug)?, &id).await?)
}
