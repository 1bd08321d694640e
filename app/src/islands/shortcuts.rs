//! Single keys: `g` and a letter for a place, `/`, `?`, `c`, `j` and `k`.

use leptos::{html, prelude::*};

/// The button that opens the list of keys, the list, and the switch that turns single keys off.
///
/// The children are the list, drawn by the server. A link in it with `data-go` is where `g` and that letter lead. No key
/// fires inside a field or a dialog; what was switched off stays off in this browser.
#[island]
pub fn Shortcuts(
    /// The list.
    children: Children,
) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    let (is_on, set_on) = signal(true);
    #[cfg(feature = "hydrate")]
    watch::start(dialog, is_on, set_on);
    let show = move |_| {
        #[cfg(feature = "hydrate")]
        watch::show(dialog);
    };
    let switch = move |event| {
        let is_on = event_target_checked(&event);
        set_on.set(is_on);
        #[cfg(feature = "hydrate")]
        watch::keep(is_on);
    };
    view! {
        <button class="find needs-script" type="button" aria-haspopup="dialog" on:click=show>
            "Shortcuts "
            <kbd>"?"</kbd>
        </button>
        <dialog class="shortcuts" aria-labelledby="shortcuts" node_ref=dialog>
            {children()}
            <label class="check">
                <input type="checkbox" prop:checked=is_on on:change=switch />
                "Single keys do something in this browser"
            </label>
            <form method="dialog">
                <button class="btn">"Close"</button>
            </form>
        </dialog>
    }
}

#[cfg(feature = "hydrate")]
mod watch {
    use leptos::{ev, html, prelude::*};
    use wasm_bindgen::JsCast as _;
    use web_sys::{Element, HtmlElement};

    use crate::islands::browser;

    /// Where the browser keeps that they are off.
    const KEPT: &str = "keyward-single-keys";

    /// What `j` and `k` go through.
    const ROWS: &str = "main tbody th a, main li h3 a";

    pub(super) fn start(dialog: NodeRef<html::Dialog>, is_on: ReadSignal<bool>, set_on: WriteSignal<bool>) {
        let storage = window().local_storage().ok().flatten();
        let kept = storage.and_then(|storage| storage.get_item(KEPT).ok().flatten());
        set_on.set(kept.as_deref() != Some("off"));
        let after_g = StoredValue::new(false);
        let listener = window_event_listener(ev::keydown, move |event| {
            let is_chord = event.ctrl_key() || event.meta_key() || event.alt_key() || event.is_composing();
            let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
            let is_inside = target.is_some_and(|element| {
                element.closest("input, textarea, select, dialog").ok().flatten().is_some()
            });
            if is_chord || is_inside || !is_on.get_untracked() {
                return;
            }
            let key = event.key();
            let was_g = after_g.get_value();
            after_g.set_value(key == "g" && !was_g);
            let is_done = match key.as_str() {
                letter if was_g => follow(&format!("[data-go=\"{}\"]", letter.escape_default())),
                "?" => show(dialog),
                "/" => focus("main input[type=search], main .toolbar input"),
                "c" => follow("main .page-h a.primary"),
                "j" => step(1),
                "k" => step(-1),
                _ => false,
            };
            if is_done {
                event.prevent_default();
            }
        });
        on_cleanup(move || listener.remove());
    }

    pub(super) fn show(dialog: NodeRef<html::Dialog>) -> bool {
        dialog.get_untracked().is_some_and(|dialog| dialog.open() || dialog.show_modal().is_ok())
    }

    pub(super) fn keep(is_on: bool) {
        if let Ok(Some(storage)) = window().local_storage() {
            let _ = storage.set_item(KEPT, if is_on { "on" } else { "off" });
        }
    }

    fn find(selector: &str) -> Option<Element> {
        document().query_selector(selector).ok().flatten()
    }

    fn follow(selector: &str) -> bool {
        let href = find(selector).and_then(|link| link.get_attribute("href"));
        href.inspect(|href| browser::go(href)).is_some()
    }

    fn focus(selector: &str) -> bool {
        let field = find(selector).and_then(|field| field.dyn_into::<HtmlElement>().ok());
        field.is_some_and(|field| field.focus().is_ok())
    }

    /// The next link of the list, or the one before; the first when none has the focus.
    fn step(by: i32) -> bool {
        let Ok(rows) = document().query_selector_all(ROWS) else { return false };
        let rows: Vec<HtmlElement> =
            (0..rows.length()).filter_map(|at| rows.get(at)?.dyn_into::<HtmlElement>().ok()).collect();
        let active = document().active_element();
        let here = active.and_then(|active| rows.iter().position(|row| **row == active));
        let next = match here {
            Some(at) if by < 0 => at.checked_sub(1),
            Some(at) => Some(at + 1),
            None => Some(0),
        };
        next.and_then(|at| rows.get(at)).is_some_and(|row| row.focus().is_ok())
    }
}
