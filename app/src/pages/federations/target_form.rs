//! The form that sets where a federation keeps its users and groups.

use domain::{
    federations::Federation,
    upstreams::{Limits, Quirks, SignIn},
};
use leptos::prelude::*;
use ops::gateway::target::UpstreamView;

use crate::{
    api,
    error::{UiError, UiErrorKind},
    ssr::param,
    ui::{
        form::{Form, field},
        page::{Head, Section, page},
        still::IntoAny,
    },
    words,
};

/// The form behind the card of the target.
#[component]
pub fn EditTarget() -> impl IntoView {
    page(Section::Federations, async {
        let (federation, target) = api::federations::target(&param("slug")).await?;
        if !target.may_set {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_ADMIN));
        }
        let form = Form::current();
        let path = format!("/federations/{}", federation.slug);
        let head = Head::new(format!("Target of {}", federation.name))
            .crumb("/federations", "Federations")
            .crumb(path.clone(), federation.name.clone())
            .lead("Requests are authenticated, judged and recorded here, then forwarded to another SCIM service.");
        let embedded = target.upstream.as_ref().map(|_| back(&path, &federation));
        let body = view! {
            <form class="card form" method="post" action=format!("{path}/target")>
                {form.summary()}
                <input
                    type="hidden"
                    name="version"
                    value=form.value("version", &federation.version.to_string())
                />
                {fields(&form, target.upstream.as_ref())}
                <div class="actions">
                    <button class="btn primary">"Forward to this service"</button>
                    <a class="btn ghost" href=path.clone()>
                        "Cancel"
                    </a>
                </div>
            </form>
            {embedded}
        };
        Ok((head, body.into_any()))
    })
}

fn back(path: &str, federation: &Federation) -> AnyView {
    view! {
        <form class="card" method="post" action=format!("{path}/target/embedded")>
            <h2>"Keep users and groups here instead"</h2>
            <p class="muted">
                "The credential is forgotten. Possible while this federation has no user and no group at the service."
            </p>
            <input type="hidden" name="version" value=federation.version.to_string() />
            <div class="actions">
                <button class="btn danger">"Keep them here"</button>
            </div>
        </form>
    }
    .into_any()
}

fn fields(form: &Form, view: Option<&UpstreamView>) -> AnyView {
    let upstream = view.map(|view| &view.upstream);
    let sign_in = upstream.map(|upstream| &upstream.sign_in);
    let (mut user, mut token_url, mut client_id, mut scope) = <(String, String, String, String)>::default();
    match sign_in {
        Some(SignIn::Basic { user: name }) => user.clone_from(name),
        Some(SignIn::Oauth { token_url: url, client_id: client, scope: wanted }) => {
            token_url.clone_from(url);
            client_id.clone_from(client);
            scope.clone_from(wanted);
        }
        Some(SignIn::Bearer | SignIn::MutualTls) | None => {}
    }
    let kinds = [
        ("bearer", "Bearer token"),
        ("basic", "User name and password"),
        ("oauth", "OAuth client credentials"),
        ("mutual-tls", "Client certificate"),
    ];
    let kinds = kinds.into_iter().map(|(word, label)| (word.to_owned(), label.to_owned())).collect();
    let kept = if upstream.is_some() {
        "Left empty, the one that is there is kept, as long as address and way of signing in stay."
    } else {
        "It is sealed, and shown to nobody again."
    };
    let limits = upstream.map_or_else(Limits::default, |upstream| upstream.limits);
    let quirks = upstream.map(|upstream| upstream.quirks).unwrap_or_default();
    view! {
        {form
            .input(
                field("base_url", "SCIM base URL of the service")
                    .default(upstream.map(|upstream| upstream.base_url.clone()).unwrap_or_default())
                    .hint("Such as https://scim.example.com/v2, without /Users."),
                "url",
            )}
        {form
            .select(
                field("sign_in", "How Keyward signs in there")
                    .default(sign_in.map_or("bearer", SignIn::as_str))
                    .hint("The credential is sealed, and never shown to the provider."),
                kinds,
            )}
        <div class="way" data-way="bearer basic oauth">
            {form
                .input(
                    field("secret", "Token, password or client secret").hint(kept).optional(),
                    "password",
                )}
        </div>
        <div class="way" data-way="basic">
            {form.input(field("user", "User name").default(user).needed_when_shown(), "text")}
        </div>
        <div class="way" data-way="oauth">
            {form
                .input(
                    field("token_url", "Token URL")
                        .default(token_url)
                        .hint("Where Keyward gets its tokens by client credentials.")
                        .needed_when_shown(),
                    "url",
                )}
            <div class="fields-row">
                {form.input(field("client_id", "Client id").default(client_id).needed_when_shown(), "text")}
                {form.input(field("scope", "OAuth scope").default(scope).optional(), "text")}
            </div>
        </div>
        <div class="way" data-way="mutual-tls">
            {form
                .area(
                    field("secret_pem", "Client certificate and key")
                        .hint("The chain and its private key, in PEM.")
                        .optional(),
                    3,
                )}
        </div>
        {form
            .area(
                field("trusted_ca", "Trusted certificates")
                    .default(upstream.and_then(|upstream| upstream.trusted_ca.clone()).unwrap_or_default())
                    .hint("In PEM, for a service whose certificate is from an authority of your own.")
                    .optional(),
                2,
            )}
        <fieldset class="field">
            <legend>"Limits"</legend>
            <div class="fields-row">
                {form.number(field("timeout_ms", "Longest call, ms").default(limits.timeout_ms), 500, 120_000)}
                {form.number(field("concurrency", "Calls at once").default(limits.concurrency), 1, 256)}
            </div>
        </fieldset>
        {switches(form, quirks)}
    }
    .into_any()
}

fn switches(form: &Form, quirks: Quirks) -> AnyView {
    let switches = Quirks::ALL
        .iter()
        .map(|quirk| {
            let checked = form.is_ticked("quirk", quirk.word, (quirk.is_on)(&quirks));
            view! {
                <label class="opt">
                    <input type="checkbox" name="quirk" value=quirk.word checked=checked />
                    <span>
                        <strong>{quirk.label}</strong>
                        <span class="hint">{quirk.hint}</span>
                    </span>
                </label>
            }
        })
        .collect_view();
    view! {
        <fieldset class="field">
            <legend>"What is peculiar about it"</legend>
            {form.group_fault("quirk")} {switches}
            <span class="hint">"A probe finds out, and proposes what to tick."</span>
        </fieldset>
    }
    .into_any()
}
