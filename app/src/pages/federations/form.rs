//! Registering a federation, and editing one.

use domain::{
    admins::Right,
    federations::{Federation, RotationPolicy, ScimSettings, TOKEN_MINUTES, Vendor},
};
use leptos::prelude::*;

use crate::{
    api,
    error::{UiError, UiErrorKind},
    ssr::{admin_cx, param, query},
    ui::{
        form::{Form, field},
        page::{Head, Section, page},
        still::IntoAny,
    },
    words,
};

/// The form of a new federation.
#[component]
pub fn NewFederation() -> impl IntoView {
    page(Section::Federations, async {
        if !admin_cx()?.actor().role.may(Right::RegisterFederation, None) {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_ADMIN));
        }
        let form = Form::current();
        let head = Head::new("Register federation")
            .crumb("/federations", "Federations")
            .lead("It gets its own base URL and directory. Nothing is pushed before you issue a key.");
        let slug = form.input(
            field("slug", "Slug")
                .hint("The segment of its base URL, such as okta-production. It never changes. Left empty, it is made from the name.")
                .optional(),
            "text",
        );
        let body = view! {
            <form class="card form" method="post" action="/federations/new">
                {form.summary()}
                {form.input(field("name", "Name").hint("What people call it: Okta production."), "text")}
                {slug}
                {fields(&form, None)}
                <div class="actions">
                    <button class="btn primary">"Register federation"</button>
                    <a class="btn ghost" href="/federations">
                        "Cancel"
                    </a>
                </div>
            </form>
        };
        Ok((head, body.into_any()))
    })
}

/// The form of a federation that exists.
#[component]
pub fn EditFederation() -> impl IntoView {
    page(Section::Federations, async {
        let view = api::federations::open(&param("slug")).await?;
        if !view.may_run {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let federation = view.federation;
        let form = Form::current();
        let path = format!("/federations/{}", federation.slug);
        let head = Head::new(format!("Edit {}", federation.name))
            .crumb("/federations", "Federations")
            .crumb(path.clone(), federation.name.clone())
            .lead("A new policy holds for keys issued from then on; keys that exist keep their end.");
        let body = view! {
            <form class="card form" method="post" action=format!("{path}/edit")>
                {form.summary()}
                <input type="hidden" name="version" value=form.value("version", &federation.version.to_string()) />
                {form.input(field("name", "Name").default(&federation.name), "text")}
                {fields(&form, Some(&federation))}
                {switches(&form, federation.scim)}
                <div class="actions">
                    <button class="btn primary">"Save changes"</button>
                    <a class="btn ghost" href=path.clone()>
                        "Cancel"
                    </a>
                </div>
            </form>
        };
        Ok((head, body.into_any()))
    })
}

/// What both forms ask for; a federation gives its values, else the usual ones are offered.
fn fields(form: &Form, federation: Option<&Federation>) -> AnyView {
    let policy = federation.map_or_else(RotationPolicy::default, |federation| federation.policy);
    let owners = federation.map(|federation| federation.owners.join("\n")).unwrap_or_default();
    let notes = federation.map(|federation| federation.notes.clone()).unwrap_or_default();
    let asked = query("vendor").and_then(|word| Vendor::parse(&word).ok()).unwrap_or(Vendor::Okta);
    let vendor = federation.map_or(asked, |federation| federation.vendor);
    let vendors =
        Vendor::ALL.iter().map(|vendor| (vendor.as_str().to_owned(), vendor.label().to_owned())).collect();
    view! {
        {form
            .select(
                field("vendor", "Provider")
                    .default(vendor.as_str())
                    .hint("Decides the guide for pasting, and what is said about its retries."),
                vendors,
            )}
        {form
            .area(
                field("owners", "Owners")
                    .default(owners)
                    .hint("Who is asked when it needs a decision. One name or address a line."),
                2,
            )}
        <fieldset class="field">
            <legend>"Rotation policy"</legend>
            <div class="fields-row">
                {form.number(field("max_age_days", "Maximum age, days").default(policy.max_age_days), 1, 365)}
                {form.number(field("overlap_hours", "Overlap, hours").default(policy.overlap_hours), 1, 720)}
                {form.number(field("warn_days", "Warn before, days").default(policy.warn_days), 1, 90)}
            </div>
            <span class="hint">
                "No key lives longer than the maximum age. In a rotation both keys work until the old one has fallen silent; the overlap says when people are told that it takes longer."
            </span>
        </fieldset>
        {form.area(field("notes", "Notes").default(notes).optional(), 3)}
    }
    .into_any()
}

/// How the SCIM endpoint behaves.
fn switches(form: &Form, scim: ScimSettings) -> AnyView {
    let switch = |word: &'static str, is_on: bool, label: &'static str, hint: &'static str| {
        let checked = form.is_ticked("scim", word, is_on);
        view! {
            <label class="opt">
                <input type="checkbox" name="scim" value=word checked=checked />
                <span>
                    <strong>{label}</strong>
                    <span class="hint">{hint}</span>
                </span>
            </label>
        }
    };
    view! {
        <fieldset class="field">
            <legend>"SCIM endpoint"</legend>
            <input type="hidden" name="scim_shown" value="yes" />
            {switch(
                "strict",
                scim.strict,
                "Strict: refuse what no RFC allows",
                "Off, what providers really send is understood, and each key's page says what that was.",
            )}
            {switch(
                "unique-group-names",
                scim.unique_group_names,
                "Group names are unique",
                "A second group of the same name is refused with 409. Entra's validator expects it.",
            )}
            {switch(
                "etag",
                scim.etag,
                "Say that ETags are supported",
                "They are sent always. Turn it off for a client that sends an If-Match of its own making.",
            )}
            {switch(
                "oauth-secrets",
                scim.oauth_secrets,
                "OAuth clients may use a secret",
                "Off, a client proves itself with a signed assertion only (private_key_jwt).",
            )}
            {form
                .number(
                    field("token_minutes", "OAuth tokens live, minutes")
                        .default(scim.token_minutes)
                        .hint("Of tokens that are given out from then on. None lives longer than its key."),
                    *TOKEN_MINUTES.start(),
                    *TOKEN_MINUTES.end(),
                )}
        </fieldset>
    }
    .into_any()
}
