//! The box around a secret that is shown once.

use leptos::prelude::*;

/// Watches over the secret that stands in it: says “Not copied yet” until it is, and asks once
/// before the page is left without it. The text itself is server-rendered HTML, never a property.
///
/// Inside, `#secret` is the field and `#copy-secret` the button; what has the class
/// `when-not-copied` or `when-copied` is shown accordingly.
#[island]
pub fn SecretBox(
    /// The callouts, the field and the button.
    children: Children,
) -> impl IntoView {
    let (copied, set_copied) = signal(false);
    let (by_hand, set_by_hand) = signal(false);
    #[cfg(feature = "hydrate")]
    {
        use leptos::ev;
        let guard = window_event_listener(ev::beforeunload, move |event| {
            if !copied.get_untracked() {
                event.prevent_default();
            }
        });
        on_cleanup(move || guard.remove());
    }
    let click = move |event: leptos::ev::MouseEvent| {
        #[cfg(feature = "hydrate")]
        {
            use wasm_bindgen::JsCast as _;
            let inside = event
                .target()
                .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
                .and_then(|element| element.closest("#copy-secret").ok().flatten());
            if inside.is_some() {
                super::browser::copy("secret", move |done| {
                    set_copied.set(done);
                    set_by_hand.set(!done);
                });
            }
        }
        #[cfg(not(feature = "hydrate"))]
        let _ = (event, set_by_hand);
    };
    view! {
        <div
            class="secret-box"
            class:copied=copied
            on:click=click
            on:copy=move |_| set_copied.set(true)
        >
            {children()}
            <p role="status" class="small muted" hidden=move || !by_hand.get() || copied.get()>
                "This browser gives no clipboard to plain http. The key is selected: press Ctrl+C."
            </p>
        </div>
    }
}
