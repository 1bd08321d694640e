//! Schemas of a federation's own: the card on its page, and the page where they are pasted and
//! removed.

use domain::federations::{Federation, FederationStatus};
use leptos::prelude::*;
use ops::extensions::ExtensionView;

use crate::{
    api,
    error::{UiError, UiErrorKind},
    ssr::param,
    ui::{
        button::LinkButton,
        form::{Form, field},
        page::{Head, Section, page},
        still::IntoAny,
    },
    words,
};

/// The card on the page of a federation.
pub fn card(federation: &Federation, schemas: &[ExtensionView], may_run: bool) -> AnyView {
    let blocked = match federation.status {
        FederationStatus::Archived => Some("It is archived.".to_owned()),
        FederationStatus::Live | FederationStatus::Paused => {
            (!may_run).then(|| words::NEEDS_OPERATOR.to_owned())
        }
    };
    let listed = if schemas.is_empty() {
        view! {
            <p class="muted">
                "Users and groups have the attributes of the standard and of its enterprise extension. A schema adds attributes of your own."
            </p>
        }
        .into_any()
    } else {
        view! { <dl class="props">{schemas.iter().map(entry).collect_view()}</dl> }.into_any()
    };
    view! {
        <section class="card" aria-labelledby="schemas">
            <h2 id="schemas">"Schemas"</h2>
            {listed}
            <div class="actions">
                <LinkButton
                    href=format!("/federations/{}/schemas", federation.slug)
                    label="Change schemas"
                    icon="pencil"
                    blocked=blocked
                />
            </div>
        </section>
    }
    .into_any()
}

fn entry(schema: &ExtensionView) -> AnyView {
    view! {
        <dt>{format!("{} ({})", schema.name, schema.kind.name())}</dt>
        <dd>
            <code>{schema.urn.clone()}</code>
            " with "
            {schema.attributes.join(", ")}
        </dd>
    }
    .into_any()
}

/// The page where schemas are pasted and removed.
#[component]
pub fn EditSchemas() -> impl IntoView {
    page(Section::Federations, async {
        let (view, schemas) = api::federations::schemas(&param("slug")).await?;
        if !view.may_run {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let federation = view.federation;
        let path = format!("/federations/{}", federation.slug);
        let form = Form::current();
        let head = Head::new(format!("Schemas of {}", federation.name))
            .crumb("/federations", "Federations")
            .crumb(path.clone(), federation.name.clone())
            .lead("What a schema names can be sent, kept, filtered and sorted by from the next request on, and is shown in /Schemas and /ResourceTypes.");
        let types = ["User", "Group"].map(|kind| (kind.to_owned(), format!("{kind}s"))).to_vec();
        let json = field("json", "Schema")
            .hint("The JSON of RFC 7643, section 7: id (a URN), name, description, attributes. A schema with the same id is replaced.");
        let body = view! {
            {schemas.iter().enumerate().map(|(place, schema)| registered(&path, place, schema)).collect_view()}
            <form class="card form" method="post" action=format!("{path}/schemas")>
                {form.summary()}
                {form.select(field("resource_type", "Extends").default("User"), types)}
                {form.area(json, 16)}
                <div class="actions">
                    <button class="btn primary">"Register schema"</button>
                    <a class="btn ghost" href=path.clone()>
                        "Back to the federation"
                    </a>
                </div>
            </form>
        };
        Ok((head, body.into_any()))
    })
}

/// Removing hides what is stored, so it stands behind a disclosure that says so.
fn registered(path: &str, place: usize, schema: &ExtensionView) -> AnyView {
    view! {
        <section class="card" aria-labelledby=format!("schema-{place}")>
            <h2 id=format!("schema-{place}")>{schema.name.clone()}</h2>
            {(!schema.description.is_empty()).then(|| view! { <p class="muted">{schema.description.clone()}</p> })}
            <dl class="props">{entry(schema)}</dl>
            <details class="more">
                <summary>"Show the JSON"</summary>
                <pre class="code" tabindex="0" role="region" aria-label=format!("JSON of {}", schema.name)>
                    {schema.json.clone()}
                </pre>
            </details>
            <details class="more">
                <summary>"Remove this schema"</summary>
                <p>
                    "What users and groups have of it stays stored, but is not shown any more and cannot be filtered by, until a schema with this id is registered again. A provider that goes on sending it is not refused: it is dropped."
                </p>
                <form method="post" action=format!("{path}/schemas/remove")>
                    <input type="hidden" name="urn" value=schema.urn.clone() />
                    <div class="actions">
                        <button class="btn danger">{format!("Remove {}", schema.name)}</button>
                    </div>
                </form>
            </details>
        </section>
    }
    .into_any()
}
