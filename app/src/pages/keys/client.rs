//! Other public keys for an OAuth client: a new one beside the old, then the old one away.

use domain::keys::Proof;
use leptos::prelude::*;

use crate::{
    api,
    error::{UiError, UiErrorKind},
    ssr::param,
    ui::{
        callout::Callout,
        form::{Form, field},
        page::{Head, Section, page},
        status::Shape,
        still::IntoAny,
    },
    words,
};

/// The form that changes the public keys of a client.
#[component]
pub fn ChangeClient() -> impl IntoView {
    page(Section::Keys, async {
        let view = api::keys::open(&param("id")).await?;
        if !view.may_manage {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let key = &view.key;
        let client = api::keys::client(&key.id).await?.filter(|_| key.proof == Proof::Assertion);
        let Some(client) = client else {
            let text = "This key does not prove itself by a signed assertion, so it has no public keys.";
            return Err(UiError::new(UiErrorKind::Refused, text));
        };
        if !view.state.is_accepted() {
            return Err(UiError::new(UiErrorKind::Refused, "This key has ended already."));
        }
        let (form, path) = (Form::current(), format!("/keys/{}", key.id));
        let head = Head::new(format!("Public keys of {}", key.name))
            .crumb("/keys", "Keys")
            .crumb(path.clone(), key.name.clone())
            .lead("To replace a key: add the new one beside it, let the client sign with it, then take the old one away.");
        let tokens = words::count(client.live_tokens, "live token");
        let body = view! {
            <Callout shape=Shape::Moving verdict="It holds at once.">
                <p>
                    {format!(
                        "There are {tokens} now. Those that were proven by a public key that is not here any more end with the change; the others go on.",
                    )}
                </p>
            </Callout>
            <form class="card form" method="post" action=format!("{path}/client")>
                {form.summary()}
                <input type="hidden" name="version" value=form.value("version", &key.version.to_string()) />
                {form
                    .area(
                        field("public_keys", "Public keys")
                            .default(&client.jwks)
                            .hint("A JWKS, a JWK or PEM. Public halves only.")
                            .optional(),
                        10,
                    )}
                {form
                    .input(
                        field("jwks_uri", "Or the address of a JWKS")
                            .default(client.jwks_uri.clone().unwrap_or_default())
                            .hint("https, on the public internet. Leave one of the two fields empty.")
                            .optional(),
                        "text",
                    )}
                <div class="actions">
                    <button class="btn primary">"Save public keys"</button>
                    <a class="btn ghost" href=path.clone()>
                        "Cancel"
                    </a>
                </div>
            </form>
        };
        Ok((head, body.into_any()))
    })
}
