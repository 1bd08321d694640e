//! OAuth clients as people set them up: where to ask, what to send, by which keys.

use domain::{
    keys::{Key, Proof},
    oauth::ScopeWords,
};
use leptos::prelude::*;

use crate::ui::still::IntoAny;
use ops::oauth::{ClientKey, ClientView};

use crate::{islands::copy::CopyButton, ui::icon::Icon, words};

/// The facts that a client is set up with, to be copied.
pub fn facts(key: &Key, client: &ClientView) -> AnyView {
    let row = |id: &'static str, term: &'static str, value: String| {
        view! {
            <dt>{term}</dt>
            <dd class="with-copy">
                <code id=id>{value}</code>
                <CopyButton target=id.to_owned() label=format!("Copy {}", term.to_lowercase())>
                    <Icon name="copy" />
                </CopyButton>
            </dd>
        }
    };
    let audience =
        (key.proof == Proof::Assertion).then(|| row("audience", "Audience", client.issuer.clone()));
    view! {
        {row("client-id", "Client id", key.id.to_string())}
        {row("token-url", "Token URL", client.token_endpoint.clone())}
        {audience}
        <dt>"Scope"</dt>
        <dd>
            <code>{ScopeWords::of(&key.scope).to_string()}</code>
            <span class="muted small">" or fewer of them, or no parameter"</span>
        </dd>
        <dt>"Tokens"</dt>
        <dd>{format!("{} each; a new one is asked for when one ends", words::count(client.token_minutes, "minute"))}</dd>
    }
    .into_any()
}

/// A command that asks for a token, and what its assertion says.
pub fn example(key: &Key, client: &ClientView) -> AnyView {
    let (id, url, issuer) = (&key.id, &client.token_endpoint, &client.issuer);
    let curl = match key.proof {
        Proof::Secret => {
            format!("curl \"{url}\" \\\n  -u \"{id}:$SECRET\" \\\n  -d grant_type=client_credentials")
        }
        Proof::Static | Proof::Assertion => format!(
            "curl \"{url}\" \\\n  -d grant_type=client_credentials \\\n  \
             -d client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \\\n  \
             -d client_assertion=\"$ASSERTION\""
        ),
    };
    let claims = (key.proof == Proof::Assertion).then(|| {
        let text = format!(
            "{{\n  \"iss\": \"{id}\",\n  \"sub\": \"{id}\",\n  \"aud\": \"{issuer}\",\n  \"jti\": \"…\",\n  \
             \"iat\": …,\n  \"exp\": …\n}}"
        );
        view! {
            <p>
                "The assertion is a JWT with these claims, signed with RS256, PS256, ES256 or EdDSA. Its jti is new each time; it ends at most 5 minutes ahead."
            </p>
            <pre class="code" tabindex="0" role="region" aria-label="Claims of the assertion">
                <code>{text}</code>
            </pre>
        }
    });
    view! {
        {claims}
        <pre class="code" tabindex="0" role="region" aria-label="Command that asks for a token">
            <code>{curl}</code>
        </pre>
    }
    .into_any()
}

/// The public keys of a client, or where they are.
pub fn public_keys(client: &ClientView) -> AnyView {
    if let Some(uri) = &client.jwks_uri {
        return view! {
            <dt>"Public keys"</dt>
            <dd>
                "At "
                <code>{uri.clone()}</code>
                <span class="muted small">", fetched when needed, believed for 24 hours while it does not answer"</span>
            </dd>
        }
        .into_any();
    }
    let items = client
        .keys
        .iter()
        .map(|ClientKey { kid, label, thumbprint }| {
            let kid = kid.clone().map(|kid| format!(", kid {kid}")).unwrap_or_default();
            view! {
                <li>
                    {format!("{label}{kid}")} " "
                    <code class="muted small">{thumbprint.clone()}</code>
                </li>
            }
        })
        .collect_view();
    view! {
        <dt>"Public keys"</dt>
        <dd>
            <ul class="plain">{items}</ul>
        </dd>
    }
    .into_any()
}
