//! Icons: symbols of one sprite in the bundle. Never alone without a word.

use leptos::prelude::*;

use crate::app::asset;

/// The symbol `name` of `style/icons.svg`.
#[component]
pub fn Icon(
    /// The id of the symbol.
    name: &'static str,
) -> impl IntoView {
    let symbol = format!("<use href=\"{}#{name}\"/>", asset("icons.svg"));
    view! { <svg class="i" viewBox="0 0 24 24" aria-hidden="true" inner_html=symbol></svg> }
}
