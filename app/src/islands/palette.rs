//! The command palette: Ctrl+K or Cmd+K, a few letters, Enter.

use leptos::{ev, html, prelude::*};
use serde::{Deserialize, Serialize};

/// A line of the palette.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is called.
    pub title: String,
    /// What kind of thing it is.
    pub detail: String,
    /// Where it leads.
    pub href: String,
}

impl Entry {
    /// A line.
    #[cfg(feature = "ssr")]
    pub fn new(title: &str, detail: &str, href: &str) -> Self {
        Self { title: title.to_owned(), detail: detail.to_owned(), href: href.to_owned() }
    }

    fn holds(&self, text: &str) -> bool {
        self.title.to_lowercase().contains(text)
    }
}

/// The button of the rail and the dialog that it opens: pages and actions first, then what the
/// server finds.
#[island]
pub fn Palette(
    /// Pages and actions.
    entries: Vec<Entry>,
    /// The symbol of the button.
    children: Children,
) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    let input = NodeRef::<html::Input>::new();
    let (shown, set_shown) = signal(Vec::<Entry>::new());
    let (chosen, set_chosen) = signal(0_usize);

    let own = StoredValue::new(entries);
    // What the page offers itself comes first.
    let here = StoredValue::new(Vec::<Entry>::new());
    let look = move |text: String| {
        let text = text.trim().to_lowercase();
        set_chosen.set(0);
        let fit = |entries: &Vec<Entry>| -> Vec<Entry> {
            entries.iter().filter(|entry| entry.holds(&text)).cloned().collect()
        };
        let mut found = here.with_value(fit);
        found.extend(own.with_value(fit));
        set_shown.set(found);
        #[cfg(feature = "hydrate")]
        ask(text, input, set_shown);
    };
    let open = move || {
        #[cfg(feature = "hydrate")]
        here.set_value(
            super::browser::page_actions()
                .into_iter()
                .map(|(title, href)| Entry { title, detail: "On this page".to_owned(), href })
                .collect(),
        );
        look(String::new());
        #[cfg(feature = "hydrate")]
        show(dialog, input);
    };
    let go = move |index: usize| {
        #[cfg(feature = "hydrate")]
        if let Some(entry) = shown.with_untracked(|shown| shown.get(index).cloned()) {
            super::browser::go(&entry.href);
        }
        #[cfg(not(feature = "hydrate"))]
        let _ = (index, dialog);
    };
    let keys = move |event: ev::KeyboardEvent| {
        let last = shown.with_untracked(Vec::len).saturating_sub(1);
        match event.key().as_str() {
            "ArrowDown" => set_chosen.update(|at| *at = if *at >= last { 0 } else { *at + 1 }),
            "ArrowUp" => set_chosen.update(|at| *at = at.checked_sub(1).unwrap_or(last)),
            "Enter" => go(chosen.get_untracked()),
            _ => return,
        }
        event.prevent_default();
        #[cfg(feature = "hydrate")]
        super::browser::reveal(&option_id(chosen.get_untracked()));
    };
    #[cfg(feature = "hydrate")]
    {
        let listener = window_event_listener(ev::keydown, move |event| {
            if (event.ctrl_key() || event.meta_key()) && event.key().eq_ignore_ascii_case("k") {
                event.prevent_default();
                open();
            }
        });
        on_cleanup(move || listener.remove());
    }

    view! {
        <button class="find needs-script" type="button" aria-haspopup="dialog" on:click=move |_| open()>
            {children()}
            "Find "
            <kbd>"Ctrl K"</kbd>
        </button>
        <dialog class="palette" aria-label="Find a page, federation, key or person" node_ref=dialog>
            <input
                type="text"
                role="combobox"
                aria-label="Find"
                aria-expanded="true"
                aria-controls="palette-list"
                aria-activedescendant=move || option_id(chosen.get())
                placeholder="Page, federation, key, last four or person"
                autocomplete="off"
                spellcheck="false"
                node_ref=input
                on:input=move |event| look(event_target_value(&event))
                on:keydown=keys
            />
            <ul id="palette-list" role="listbox" aria-label="Found">
                {move || options(shown.get(), chosen, go)}
            </ul>
            <p role="status">
                {move || match shown.with(Vec::len) {
                    0 => "Nothing found.".to_owned(),
                    1 => "1 found.".to_owned(),
                    more => format!("{more} found."),
                }}
            </p>
        </dialog>
    }
}

fn options(
    shown: Vec<Entry>,
    chosen: ReadSignal<usize>,
    go: impl Fn(usize) + Copy + Send + Sync + 'static,
) -> impl IntoView {
    shown
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            view! {
                <li
                    role="option"
                    id=option_id(index)
                    aria-selected=move || (chosen.get() == index).to_string()
                    on:click=move |_| go(index)
                >
                    {entry.title}
                    " "
                    <span>{entry.detail}</span>
                </li>
            }
        })
        .collect_view()
}

fn option_id(index: usize) -> String {
    format!("palette-{index}")
}

#[cfg(feature = "hydrate")]
fn show(dialog: NodeRef<html::Dialog>, input: NodeRef<html::Input>) {
    if let (Some(dialog), Some(input)) = (dialog.get_untracked(), input.get_untracked()) {
        if !dialog.open() {
            let _ = dialog.show_modal();
        }
        input.set_value("");
        super::browser::focus(&input);
    }
}

/// Asks the server once the typing has paused, and drops an answer that is overtaken.
#[cfg(feature = "hydrate")]
fn ask(text: String, input: NodeRef<html::Input>, set_shown: WriteSignal<Vec<Entry>>) {
    use std::time::Duration;

    use leptos::task::spawn_local;

    use crate::api::search::search;

    if text.is_empty() {
        return;
    }
    let is_current = move |text: &str| {
        input.get_untracked().is_some_and(|input| input.value().trim().to_lowercase() == text)
    };
    set_timeout(
        move || {
            if !is_current(&text) {
                return;
            }
            spawn_local(async move {
                if let Ok(hits) = search(text.clone()).await
                    && is_current(&text)
                {
                    set_shown.update(|shown| {
                        shown.extend(hits.into_iter().map(|hit| Entry {
                            title: hit.title,
                            detail: hit.detail,
                            href: hit.href,
                        }));
                    });
                }
            });
        },
        Duration::from_millis(120),
    );
}
