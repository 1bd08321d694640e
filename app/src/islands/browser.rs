//! The few things that islands ask of the browser.

use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Element, HtmlElement, HtmlInputElement, HtmlTextAreaElement, Response};

/// The element of an id.
pub fn by_id(id: &str) -> Option<Element> {
    document().get_element_by_id(id)
}

/// The text of a field, else of an element.
fn text_of(element: &Element) -> String {
    if let Some(area) = element.dyn_ref::<HtmlTextAreaElement>() {
        area.value()
    } else {
        element.text_content().unwrap_or_default()
    }
}

/// Copies the text of an element, then says whether the browser did it. Where there is no
/// clipboard (plain http), the text is selected, so that Ctrl+C takes it.
pub fn copy(id: &str, then: impl Fn(bool) + 'static) {
    let Some(element) = by_id(id) else { return };
    let text = text_of(&element);
    // `navigator.clipboard` is undefined outside secure contexts, whatever its type says.
    let clipboard = js_sys::Reflect::get(&window().navigator(), &JsValue::from_str("clipboard"));
    if !clipboard.is_ok_and(|clipboard| clipboard.is_object()) {
        select(&element);
        then(false);
        return;
    }
    let promise = window().navigator().clipboard().write_text(&text);
    spawn_local(async move {
        let done = JsFuture::from(promise).await.is_ok();
        if !done {
            select(&element);
        }
        then(done);
    });
}

fn select(element: &Element) {
    if let Some(area) = element.dyn_ref::<HtmlTextAreaElement>() {
        let _ = area.focus();
        area.select();
    } else if let Ok(Some(selection)) = window().get_selection() {
        let _ = selection.select_all_children(element);
    }
}

/// Goes to a page.
pub fn go(href: &str) {
    let _ = window().location().assign(href);
}

/// Puts the focus on an element.
pub fn focus(element: &HtmlInputElement) {
    let _ = element.focus();
    element.select();
}

/// Brings an element of a list into view.
pub fn reveal(id: &str) {
    if let Some(element) = by_id(id).and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
        element.scroll_into_view_with_bool(false);
    }
}

/// The links that the page offers beside its heading: what they say and where they lead.
pub fn page_actions() -> Vec<(String, String)> {
    let Ok(links) = document().query_selector_all("main .page-h .actions a[href]") else { return Vec::new() };
    (0..links.length())
        .filter_map(|at| {
            let link = links.get(at)?.dyn_into::<Element>().ok()?;
            Some((link.text_content()?.trim().to_owned(), link.get_attribute("href")?))
        })
        .collect()
}

/// The text of a page of ours.
pub async fn fetch_text(href: &str) -> Option<String> {
    let answer = JsFuture::from(window().fetch_with_str(href)).await.ok()?;
    let answer: Response = answer.dyn_into().ok()?;
    if !answer.ok() {
        return None;
    }
    JsFuture::from(answer.text().ok()?).await.ok()?.as_string()
}
