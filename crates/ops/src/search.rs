//! Finding a federation or a key by a few letters.

use domain::admins::Admin;

use crate::{
    Cx, Error,
    federations::visible,
    keys::{attention, of_federations},
};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HitKind {
    /// A federation.
    Federation,
    /// A key.
    Key,
}

/// One hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What it is.
    pub kind: HitKind,
    /// Its name.
    pub title: String,
    /// What tells it from others of the same name.
    pub detail: String,
    /// Its page.
    pub path: String,
}

/// The federations and keys whose name, slug or last four hold the text, ignoring case.
pub async fn find(cx: &Cx<Admin>, text: &str, limit: i64) -> Result<Vec<Hit>, Error> {
    let text = text.trim().to_lowercase();
    let limit = usize::try_from(limit.clamp(1, 50)).unwrap_or(50);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = cx.read().await?;
    let federations = visible(cx, &mut reader).await?;
    let holds = |fields: &[&str]| fields.iter().any(|field| field.to_lowercase().contains(&text));
    let mut hits: Vec<Hit> = federations
        .iter()
        .filter(|federation| holds(&[&federation.name, federation.slug.as_str(), federation.vendor.label()]))
        .map(|federation| Hit {
            kind: HitKind::Federation,
            title: federation.name.clone(),
            detail: federation.vendor.label().to_owned(),
            path: format!("/federations/{}", federation.slug),
        })
        .collect();
    let mut keys = of_federations(cx, &mut reader, federations).await?;
    keys.sort_by_key(attention);
    hits.extend(
        keys.iter().filter(|view| holds(&[&view.key.name, &view.key.last_four, view.key.id.as_str()])).map(
            |view| Hit {
                kind: HitKind::Key,
                title: view.key.name.clone(),
                detail: format!(
                    "{} · …{} · {}",
                    view.federation.name,
                    view.key.last_four,
                    view.state.label()
                ),
                path: format!("/keys/{}", view.key.id),
            },
        ),
    );
    hits.truncate(limit);
    Ok(hits)
}
