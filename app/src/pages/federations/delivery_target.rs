//! One delivery target: the form that adds it, and the one that changes it.

use domain::deliveries::{Connector, Settings, Target, fields::Field};
use leptos::prelude::*;
use ops::deliveries::DeliveryPage;

use crate::{
    api,
    error::{UiError, UiErrorKind},
    ssr::{param, query},
    ui::{
        form::{Form, field},
        page::{Head, Section, page},
        still::IntoAny,
    },
    words,
};

/// Adds a target of the connector that the address names.
#[component]
pub fn AddDeliveryTarget() -> impl IntoView {
    page(Section::Federations, async {
        let view = api::deliveries::page(&param("slug")).await?;
        let form = Form::current();
        let word = form.value("connector", &query("connector").unwrap_or_default());
        let connector = Connector::parse(&word).ok_or_else(|| UiError::not_found("way of bringing a key"))?;
        content(&view, &form, connector, None)
    })
}

/// Changes a target.
#[component]
pub fn EditDeliveryTarget() -> impl IntoView {
    page(Section::Federations, async {
        let (view, target) = api::deliveries::target(&param("slug"), &param("id")).await?;
        content(&view, &Form::current(), target.settings.connector(), Some(&target))
    })
}

fn content(
    view: &DeliveryPage,
    form: &Form,
    connector: Connector,
    target: Option<&Target>,
) -> Result<(Head, AnyView), UiError> {
    if !view.may_set {
        // Whoever may see it and not set it; an archived federation takes no change either.
        return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
    }
    let path = format!("/federations/{}", view.federation.slug);
    let list = format!("{path}/delivery");
    let title = match target {
        Some(target) => target.name.clone(),
        None => connector.label().to_owned(),
    };
    let head = Head::new(title)
        .crumb("/federations", "Federations")
        .crumb(path, view.federation.name.clone())
        .crumb(list.clone(), "Delivery")
        .lead(connector.summary());
    let action = match target {
        Some(target) => format!("{list}/{}", target.id),
        None => format!("{list}/new"),
    };
    let version = target.map(|target| {
        view! {
            <input
                type="hidden"
                name="version"
                value=form.value("version", &target.version.to_string())
            />
        }
    });
    let settings = target.map(|target| &target.settings);
    let label = if target.is_some() { "Save and approve" } else { "Add and approve" };
    let body = view! {
        <form class="card form" method="post" action=action>
            {form.summary()}
            <input type="hidden" name="connector" value=connector.as_str() />
            {version}
            {form
                .input(
                    field("name", "Name")
                        .default(target.map_or(connector.label(), |target| target.name.as_str()))
                        .hint("As people read it in the list and in findings."),
                    "text",
                )}
            {connector.fields().iter().map(|one| control(form, one, settings)).collect_view()}
            {credential(form, connector, target.is_some())}
            {trust(form, target)}
            <div class="needs">
                <strong>"What it needs"</strong>
                <p>{connector.privilege()}</p>
            </div>
            <p class="hint">
                "Saving approves where the key goes. If that is changed in any other way, nothing is sent there."
            </p>
            <div class="actions">
                <button class="btn primary">{label}</button>
                <a class="btn ghost" href=list>
                    "Cancel"
                </a>
            </div>
        </form>
    };
    Ok((head, body.into_any()))
}

fn control(form: &Form, one: &Field, settings: Option<&Settings>) -> AnyView {
    let value = settings.map_or_else(|| one.preset.to_owned(), |settings| settings.text(one.name));
    let described = field(one.name, one.label).default(value).hint(one.hint);
    if !one.choices.is_empty() {
        let choices = one.choices.iter().map(|(word, label)| ((*word).to_owned(), (*label).to_owned()));
        return form.select(described, choices.collect());
    }
    let described = if one.is_optional { described.optional() } else { described };
    if one.name == "receiver_key" {
        return form.area(described, 3);
    }
    let kind = if one.is_url() { "url" } else { "text" };
    form.input(described, kind)
}

fn credential(form: &Form, connector: Connector, is_there: bool) -> AnyView {
    let kept = if is_there {
        " Left empty, the one that is there is kept, as long as the place stays the same."
    } else {
        " It is sealed, and shown to nobody again."
    };
    let hint = format!("{}{kept}", connector.credential_hint());
    let described = field("credential", connector.credential_label()).hint(hint);
    form.input(if is_there { described.optional() } else { described }, "password")
}

fn trust(form: &Form, target: Option<&Target>) -> AnyView {
    let settings = target.map(|target| &target.settings);
    let text = |name: &str| settings.map(|settings| settings.text(name)).unwrap_or_default();
    // What the last test or delivery showed, to be approved as it is read here.
    let shown =
        target.and_then(|target| target.last_result.as_ref()).and_then(|report| report.public_key.clone());
    let shown = shown.filter(|shown| *shown != text("public_key"));
    let is_open = shown.is_some()
        || ["trusted_ca", "public_key"].iter().any(|name| !form.value(name, &text(name)).is_empty());
    let offer = shown.map(|shown| {
        let checked = form.is_ticked("pin_shown", &shown, false);
        view! {
            <label class="opt">
                <input type="checkbox" name="pin_shown" value=shown.clone() checked=checked />
                <span>
                    <strong>"Approve what the last test showed, and no other"</strong>
                    <code class="wrap hint">{shown}</code>
                </span>
            </label>
        }
    });
    view! {
        <details class="more" open=is_open>
            <summary>"Certificate"</summary>
            {offer}
            {form
                .input(
                    field("public_key", "Public key of the certificate")
                        .default(text("public_key"))
                        .hint(
                            "Each host and the SHA-256 of its key, as a test shows them; for one host the key alone will do. Nothing is sent to a host whose certificate has another key. For services whose certificate keeps its key, not for the large clouds.",
                        )
                        .optional(),
                    "text",
                )}
            {form
                .area(
                    field("trusted_ca", "Trusted certificates")
                        .default(text("trusted_ca"))
                        .hint("In PEM, beside those of the operating system: for an authority of your own.")
                        .optional(),
                    4,
                )}
        </details>
    }
    .into_any()
}
