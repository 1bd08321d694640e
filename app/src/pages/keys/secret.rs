//! The one page that shows the secret of a key, after it was issued or rotated. A client that signs
//! has none: its page shows what to set it up with.
//!
//! Rendered as the answer of the form itself, never stored by a browser or proxy. The secret is
//! written into one field of this page and into nothing that is serialised.

use domain::keys::{Key, Proof};
use leptos::prelude::*;
use ops::{
    keys::{Issued, KeyView},
    oauth::ClientView,
};

use crate::{
    api::{self, keys::describe},
    forms::ShownKey,
    islands::{copy::CopyButton, secret::SecretBox, waiting::Waiting},
    ssr::now_ms,
    ui::{
        button::LinkButton,
        callout::Callout,
        guide,
        icon::Icon,
        oauth,
        page::{Head, Section, page},
        status::{Shape, Status},
        still::IntoAny,
        time::Exact,
    },
    words,
};

/// The answer to a form that made a key.
pub fn shown(shown: ShownKey) -> impl IntoView {
    page(Section::Keys, async move {
        let issued = shown.0;
        let key = &issued.key;
        // The secret is nowhere else: nothing that may fail stands between it and the page.
        let view = KeyView {
            key: key.clone(),
            federation: issued.federation.clone(),
            base_url: issued.base_url.clone(),
            state: key.life.state(now_ms()),
            ends_soon: false,
            over_age: false,
            may_manage: true,
        };
        let old = match &key.predecessor_id {
            Some(id) => api::keys::open(id.as_str()).await.ok().map(|view| view.key),
            None => None,
        };
        let href = format!("/keys/{}", key.id);
        let head = Head::new(format!("Your new key {}", key.name)).crumb("/keys", "Keys").lead(format!(
            "For {}. You will recognise it by its last four: {}.",
            issued.federation.name, key.last_four
        ));
        // What a client is set up with stands on its own page too.
        let client = api::keys::client(&key.id).await.ok().flatten();
        let first = describe(&view, &[], now_ms());
        let curl = try_it(&issued);
        let base_url = &issued.base_url;
        let guide = if key.proof.is_oauth() {
            client_place(base_url)
        } else {
            guide::guide(issued.federation.vendor, base_url, "The key above")
        };
        let setup = format!("/federations/{}/setup", issued.federation.slug);
        let body = view! {
            {secret_section(&issued)}
            {client.map(|client| client_section(key, &client))}
            <section class="card" aria-labelledby="paste-title">
                <h2 id="paste-title">"Hand it over"</h2>
                {guide}
                <dl class="props">
                    <dt>"Ends"</dt>
                    <dd>
                        <Exact at=key.life.expires_ms />
                    </dd>
                    <dt>"Try it"</dt>
                    <dd>
                        <pre class="code" tabindex="0" role="region" aria-label="Command that tries it">
                            <code>{curl}</code>
                        </pre>
                    </dd>
                </dl>
                {old.as_ref().map(overlap)}
                <Waiting key=key.id.to_string() first>
                    {waiting_states()}
                </Waiting>
                <div class="actions">
                    <LinkButton href=setup label="Watch the connection" />
                    <LinkButton href label="Done" primary=true />
                </div>
            </section>
        };
        Ok((head, body.into_any()))
    })
}

/// Where a client finds the directory; how it signs stands above.
fn client_place(base_url: &str) -> AnyView {
    view! {
        <p>"Set the client up with what stands above, and with this base URL."</p>
        <dl class="props">
            <dt>"SCIM base URL"</dt>
            <dd class="with-copy">
                <code id="base-url">{base_url.to_owned()}</code>
                <CopyButton target="base-url".to_owned() label="Copy base URL".to_owned()>
                    <Icon name="copy" />
                </CopyButton>
            </dd>
        </dl>
    }
    .into_any()
}

fn try_it(issued: &Issued) -> String {
    let variable = if issued.key.proof.is_oauth() { "$TOKEN" } else { "$KEY" };
    format!("curl -H \"Authorization: Bearer {variable}\" \\\n  \"{}/Users?count=1\"", issued.base_url)
}

/// The secret; nothing for a client that signs.
fn secret_section(issued: &Issued) -> Option<AnyView> {
    let (title, noun) = match issued.key.proof {
        Proof::Static => ("The key", "key"),
        Proof::Secret => ("The client secret", "secret"),
        Proof::Assertion => return None,
    };
    let secret = match &issued.secret {
        Some(secret) => secret_box(secret.expose().to_owned(), noun),
        None => replayed(noun),
    };
    Some(
        view! {
            <section class="card" aria-labelledby="secret-title">
                <h2 id="secret-title">{title}</h2>
                {secret}
            </section>
        }
        .into_any(),
    )
}

fn client_section(key: &Key, client: &ClientView) -> AnyView {
    view! {
        <section class="card" aria-labelledby="client-title">
            <h2 id="client-title">"Ask for a token"</h2>
            <dl class="props">{oauth::facts(key, client)}</dl>
            {oauth::example(key, client)}
        </section>
    }
    .into_any()
}

pub(crate) fn secret_box(secret: String, noun: &'static str) -> AnyView {
    view! {
        <SecretBox>
            <div role="status">
                <div class="when-not-copied">
                    <Callout shape=Shape::Look verdict="Not copied yet.">
                        <p>
                            {format!("This is the only time that it is shown. Keyward keeps a keyed hash, not the {noun}.")}
                        </p>
                    </Callout>
                </div>
                <div class="when-copied">
                    <Callout shape=Shape::Good verdict="Copied.">
                        <p>"Paste it into the provider now. It cannot be shown again."</p>
                    </Callout>
                </div>
            </div>
            <div class="secret">
                <textarea
                    id="secret"
                    aria-label="Secret key, shown once"
                    readonly
                    rows="2"
                    spellcheck="false"
                    autocomplete="off"
                >
                    {secret}
                </textarea>
                <button class="btn needs-script" type="button" id="copy-secret">
                    <Icon name="copy" />
                    {format!("Copy {noun}")}
                </button>
            </div>
        </SecretBox>
    }
    .into_any()
}

fn replayed(noun: &'static str) -> AnyView {
    let text = format!(
        "This form was already answered, and the {noun} was shown then. It cannot be shown again. If it was not copied, revoke this key and issue another."
    );
    view! {
        <Callout shape=Shape::Look verdict="Shown before.">
            <p>{text}</p>
        </Callout>
    }
    .into_any()
}

fn overlap(old: &Key) -> impl IntoView + use<> {
    let name = format!("{} {}", old.name, words::ends_with(&old.last_four));
    view! {
        <p>
            {name} " works beside it until it has fallen silent. Nothing ends by a clock; by "
            <Exact at=old.life.planned_end_ms() /> " it should be over."
        </p>
    }
}

/// What the panel that waits shows, by how far the key has come.
pub(crate) fn waiting_states() -> impl IntoView {
    view! {
        <span class="when-waiting">
            <Status shape=Shape::Moving word="Waiting" />
        </span>
        <span class="when-tested">
            <Status shape=Shape::Moving word="Tested" />
        </span>
        <span class="when-used">
            <Status shape=Shape::Good word="In use" />
        </span>
    }
}
