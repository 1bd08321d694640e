//! Older records, appended when the end of the timeline comes into view.

use leptos::{html, prelude::*};

/// Follows the link “Older records” by itself: fetches the page that it leads to and moves its days
/// to the end of this one. Without script the link is a link.
///
/// The child is the link, `#older`; the days are in `#days`, each with its `data-day`.
#[island]
pub fn Older(
    /// The link.
    children: Children,
) -> impl IntoView {
    let root = NodeRef::<html::Div>::new();
    let (said, set_said) = signal(String::new());
    #[cfg(feature = "hydrate")]
    let click = watch::start(root, set_said);
    #[cfg(not(feature = "hydrate"))]
    let click = move |_: leptos::ev::MouseEvent| {
        let _ = set_said;
    };
    view! {
        <div class="older" node_ref=root on:click=click>
            {children()}
            <span role="status" class="muted small">
                {said}
            </span>
        </div>
    }
}

#[cfg(feature = "hydrate")]
mod watch {
    use leptos::{ev, html, prelude::*, task::spawn_local};
    use wasm_bindgen::{JsCast as _, prelude::Closure};
    use web_sys::{
        Document, DomParser, Element, IntersectionObserver, IntersectionObserverEntry,
        IntersectionObserverInit, SupportedType,
    };

    use crate::islands::browser;

    /// How many pages are fetched without being asked for, so that the end of the page can be
    /// reached; after that the link is clicked.
    const UNASKED: u32 = 10;

    #[derive(Clone, Copy)]
    struct Loader {
        busy: StoredValue<bool>,
        failed: StoredValue<bool>,
        say: WriteSignal<String>,
    }

    /// Watches the end of the timeline; gives the handler of clicks on it.
    pub(super) fn start(
        root: NodeRef<html::Div>,
        say: WriteSignal<String>,
    ) -> impl Fn(ev::MouseEvent) + Copy + 'static {
        let loader = Loader { busy: StoredValue::new(false), failed: StoredValue::new(false), say };
        let unasked = StoredValue::new(0_u32);
        Effect::new(move || {
            let Some(root) = root.get() else { return };
            let seen = Closure::<dyn Fn(js_sys::Array)>::new(move |entries: js_sys::Array| {
                let visible = entries
                    .iter()
                    .filter_map(|entry| entry.dyn_into::<IntersectionObserverEntry>().ok())
                    .any(|entry| entry.is_intersecting());
                if visible && unasked.get_value() < UNASKED && !loader.failed.get_value() {
                    unasked.update_value(|count| *count += 1);
                    loader.load();
                }
            });
            let options = IntersectionObserverInit::new();
            options.set_root_margin("600px");
            if let Ok(observer) =
                IntersectionObserver::new_with_options(seen.as_ref().unchecked_ref(), &options)
            {
                observer.observe(&root);
            }
            // The page keeps it as long as it lives.
            seen.forget();
        });
        move |event| {
            let on_link = event
                .target()
                .and_then(|target| target.dyn_into::<Element>().ok())
                .is_some_and(|element| element.id() == "older");
            // After a failure the link is a link again.
            if on_link && !loader.failed.get_value() {
                event.prevent_default();
                loader.load();
            }
        }
    }

    impl Loader {
        fn load(self) {
            let Some(link) = browser::by_id("older") else { return };
            let Some(href) = link.get_attribute("href") else { return };
            if self.busy.get_value() {
                return;
            }
            self.busy.set_value(true);
            spawn_local(async move {
                if let Some(count) = append(&link, &href).await {
                    self.say.set(format!("{count} more records shown."));
                } else {
                    self.failed.set_value(true);
                    self.say.set("They could not be fetched. Follow the link to see them.".to_owned());
                }
                self.busy.set_value(false);
            });
        }
    }

    async fn append(link: &Element, href: &str) -> Option<usize> {
        let text = browser::fetch_text(href).await?;
        let page = DomParser::new().ok()?.parse_from_string(&text, SupportedType::TextHtml).ok()?;
        let days = browser::by_id("days")?;
        let mut count = 0;
        for day in elements(&page, "#days > .day") {
            count += children(&day, "li").len();
            let key = day.get_attribute("data-day").unwrap_or_default();
            let same = days.query_selector(&format!("[data-day=\"{key}\"] > ol")).ok().flatten();
            match same {
                Some(list) => {
                    for entry in children(&day, "li") {
                        list.append_child(&entry).ok()?;
                    }
                }
                None => {
                    days.append_child(&day).ok()?;
                }
            }
        }
        match page.get_element_by_id("older").and_then(|older| older.get_attribute("href")) {
            Some(next) => link.set_attribute("href", &next).ok()?,
            None => link.remove(),
        }
        Some(count)
    }

    fn elements(page: &Document, selector: &str) -> Vec<Element> {
        page.query_selector_all(selector).map(|list| collect(&list)).unwrap_or_default()
    }

    fn children(of: &Element, selector: &str) -> Vec<Element> {
        of.query_selector_all(selector).map(|list| collect(&list)).unwrap_or_default()
    }

    fn collect(list: &web_sys::NodeList) -> Vec<Element> {
        (0..list.length()).filter_map(|at| list.item(at)?.dyn_into().ok()).collect()
    }
}
