//! A part of a page that keeps itself up to date.

use leptos::prelude::*;

/// Fetches the page again every few seconds and puts the part with the id `part` in the place of
/// the one that is shown. It waits while somebody works in it: the focus is inside, or something is
/// unfolded. Without script, the page is as it was when it was asked for.
#[island]
pub fn Live(
    /// The id of the part.
    part: String,
    /// How often, in seconds.
    every: u32,
    /// The part.
    children: Children,
) -> impl IntoView {
    let (lost, set_lost) = signal(false);
    #[cfg(feature = "hydrate")]
    watch::start(part, every, set_lost);
    #[cfg(not(feature = "hydrate"))]
    let _ = (part, every, set_lost);
    view! {
        {children()}
        <p role="status" class="small muted" hidden=move || !lost.get()>
            {move || lost.get().then_some("Connection lost. This page tries again by itself.")}
        </p>
    }
}

#[cfg(feature = "hydrate")]
mod watch {
    use std::time::Duration;

    use leptos::{prelude::*, task::spawn_local};
    use web_sys::{DomParser, SupportedType};

    use crate::islands::browser;

    pub(super) fn start(part: String, every: u32, set_lost: WriteSignal<bool>) {
        let tick = move || {
            if !is_at_rest(&part) {
                return;
            }
            let part = part.clone();
            spawn_local(async move {
                let renewed = renew(&part).await;
                set_lost.set(!renewed);
            });
        };
        if let Ok(handle) = set_interval_with_handle(tick, Duration::from_secs(u64::from(every))) {
            on_cleanup(move || handle.clear());
        }
    }

    /// Whether nobody works in the part and somebody can see it.
    fn is_at_rest(part: &str) -> bool {
        let Some(element) = browser::by_id(part) else { return false };
        let has_focus = element.matches(":focus-within").unwrap_or(false);
        let is_unfolded = element.query_selector("details[open]").ok().flatten().is_some();
        !has_focus && !is_unfolded && !document().hidden()
    }

    async fn renew(part: &str) -> bool {
        let Ok(href) = window().location().href() else { return false };
        let Some(text) = browser::fetch_text(&href).await else { return false };
        let page =
            DomParser::new().and_then(|parser| parser.parse_from_string(&text, SupportedType::TextHtml));
        let fresh = page.ok().and_then(|page| page.get_element_by_id(part));
        let Some(fresh) = fresh else { return false };
        // Somebody may have come in meanwhile.
        if is_at_rest(part)
            && let Some(shown) = browser::by_id(part)
            && shown.inner_html() != fresh.inner_html()
        {
            shown.set_inner_html(&fresh.inner_html());
        }
        true
    }
}
