//! Copying a text that stands on the page.

use leptos::prelude::*;

/// A button that copies the text of the element `target`. It says “Copied” only once the browser
/// has done it; where there is no clipboard it selects the text and says how to go on.
#[island]
pub fn CopyButton(
    /// The id of the element that holds the text.
    target: String,
    /// Verb and object: `Copy base URL`.
    label: String,
    /// The symbol.
    children: Children,
) -> impl IntoView {
    let (done, set_done) = signal(None::<bool>);
    let said = move || match done.get() {
        None => "",
        Some(true) => "Copied",
        Some(false) => "Press Ctrl+C",
    };
    let word = move || if done.get().is_some() { said().to_owned() } else { label.clone() };
    let click = move |_| {
        #[cfg(feature = "hydrate")]
        super::browser::copy(&target, move |copied| {
            set_done.set(Some(copied));
            set_timeout(move || set_done.set(None), std::time::Duration::from_secs(4));
        });
        #[cfg(not(feature = "hydrate"))]
        let _ = (&target, set_done);
    };
    view! {
        <button class="btn sm needs-script" type="button" on:click=click>
            {children()}
            <span>{word}</span>
        </button>
        // Beside the button, whose name it would swallow inside.
        <span role="status" class="sr">
            {said}
        </span>
    }
}
