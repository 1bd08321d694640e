//! Getting in, or knowing why not.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::{
    ssr::{self, query},
    ui::{callout::Callout, icon::Icon, status::Shape},
    words,
};

/// The sign-in page: one button, and what went wrong last time.
#[component]
pub fn SignIn() -> impl IntoView {
    let page = ssr::page();
    let problem = query("error").map(|code| {
        let (verdict, next) = words::sign_in_problem(&code);
        let shape = if code == "no-role" { Shape::Look } else { Shape::Broken };
        let detail = page.signed_out_error.clone().map(|detail| view! { <p>{words::sentence(&detail)}</p> });
        view! {
            <Callout shape verdict>
                <p>{next}</p>
                {detail}
            </Callout>
        }
    });
    let start = query("next").map_or_else(
        || "/auth/start".to_owned(),
        |next| format!("/auth/start?next={}", words::encode(&next)),
    );
    view! {
        <Title text="Sign in · Keyward" />
        <a class="skip" href="#main">
            "Skip to content"
        </a>
        <main id="main" class="alone" tabindex="-1">
            <p class="brand">
                <Icon name="key" />
                "Keyward"
            </p>
            <h1>"Sign in"</h1>
            {problem}
            <a class="btn primary" href=start>
                {format!("Continue with {}", page.provider_name)}
            </a>
            <p class="muted small">
                "Keyward issues, rotates and revokes the keys by which identity providers push users. "
                "Who may sign in, and as what, is decided by claims of the provider."
            </p>
            <p class="muted small">"Keyward " {page.version}</p>
        </main>
    }
}
