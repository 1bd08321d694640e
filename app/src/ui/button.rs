//! Links and buttons that look like buttons. What may not be done is shown, with the reason.

use leptos::prelude::*;

use crate::ui::{icon::Icon, still::IntoAny};

/// A link that looks like a button.
#[component]
pub fn LinkButton(
    /// Where it leads.
    #[prop(into)]
    href: String,
    /// Verb and object.
    #[prop(into)]
    label: String,
    /// The one primary action of the page.
    #[prop(optional)]
    primary: bool,
    /// Small, for rows.
    #[prop(optional)]
    small: bool,
    /// A symbol before the words.
    #[prop(optional)]
    icon: Option<&'static str>,
    /// Why it may not be done; shown instead of the link.
    #[prop(optional_no_strip, into)]
    blocked: Option<String>,
) -> impl IntoView {
    let class = class_of(primary, small);
    match blocked {
        None => view! {
            <a class=class href=href>
                {icon.map(|name| view! { <Icon name /> })}
                {label}
            </a>
        }
        .into_any(),
        Some(reason) => blocked_button(class, label, reason),
    }
}

/// A form of one button that posts to `action`.
#[component]
pub fn PostButton(
    /// Where it posts.
    #[prop(into)]
    action: String,
    /// Verb and object.
    #[prop(into)]
    label: String,
    /// It ends something.
    #[prop(optional)]
    danger: bool,
    /// A symbol before the words.
    #[prop(optional)]
    icon: Option<&'static str>,
    /// Why it may not be done; shown instead of the form.
    #[prop(optional_no_strip, into)]
    blocked: Option<String>,
) -> impl IntoView {
    let class = if danger { "btn danger" } else { "btn" };
    match blocked {
        None => view! {
            <form method="post" action=action>
                <button class=class>{icon.map(|name| view! { <Icon name /> })} {label}</button>
            </form>
        }
        .into_any(),
        Some(reason) => blocked_button(class.to_owned(), label, reason),
    }
}

fn class_of(primary: bool, small: bool) -> String {
    let mut class = "btn".to_owned();
    if primary {
        class.push_str(" primary");
    }
    if small {
        class.push_str(" sm");
    }
    class
}

fn blocked_button(class: String, label: String, reason: String) -> AnyView {
    let id = format!("why-{}", label.to_lowercase().replace(' ', "-"));
    view! {
        <button class=class type="button" aria-disabled="true" aria-describedby=id.clone()>
            {label}
        </button>
        <span class="why" id=id>
            {reason}
        </span>
    }
    .into_any()
}
