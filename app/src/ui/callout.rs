//! A verdict: shape, two bold words, a sentence, at most one action.

use leptos::prelude::*;

use crate::ui::{
    status::{Shape, drawing},
    still::Inside,
};

/// A verdict on what the page shows.
#[component]
pub fn Callout(
    /// Decides shape and colour.
    shape: Shape,
    /// The verdict, in a few words.
    #[prop(into)]
    verdict: String,
    /// The evidence.
    children: Inside,
) -> impl IntoView {
    view! {
        <div class=format!("callout {}", shape.tone())>
            {drawing(shape)} <div>
                <strong>{verdict}</strong>
                {children.view()}
            </div>
        </div>
    }
}

/// What a list says when there is nothing in it: what it would hold, and what to do.
#[component]
pub fn Empty(
    /// `No keys yet`.
    #[prop(into)]
    title: String,
    /// What the thing is, and why there is none.
    #[prop(into)]
    text: String,
    /// One button.
    #[prop(optional)]
    children: Option<Inside>,
) -> impl IntoView {
    view! {
        <div class="empty in-card">
            <strong>{title}</strong>
            <p class="muted">{text}</p>
            {children.map(|children| view! { <div class="actions">{children.view()}</div> })}
        </div>
    }
}
