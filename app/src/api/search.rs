//! What the command palette asks.

use leptos::{prelude::*, server_fn::codec::GetUrl};
use serde::{Deserialize, Serialize};

use crate::error::UiError;

/// Something that was found: its words and its page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Its name.
    pub title: String,
    /// What tells it from others.
    pub detail: String,
    /// Its page.
    pub href: String,
}

/// Federations and keys whose name, slug or last four hold the text, and people whose name begins with it; at most 12.
#[server(endpoint = "search", input = GetUrl)]
pub async fn search(text: String) -> Result<Vec<Hit>, UiError> {
    let found = async { Ok(ops::search::find(&crate::ssr::admin_cx()?, &text, 12).await?) };
    let hits = found.await.inspect_err(crate::ssr::answer_with)?;
    Ok(hits.into_iter().map(|hit| Hit { title: hit.title, detail: hit.detail, href: hit.path }).collect())
}
