//! Rotating a key: a successor, and a time in which both are accepted.

use domain::{
    DAY_MS, HOUR_MS,
    keys::{Life, Proof},
};
use leptos::prelude::*;

use crate::{
    api,
    error::{UiError, UiErrorKind},
    forms::ShownKey,
    pages::keys::secret,
    ssr::{now_ms, page as page_context, param},
    ui::{
        callout::Callout,
        form::{Form, field},
        page::{Head, Section, page},
        status::Shape,
        time::{Exact, relative},
    },
    words,
};

/// The form; after it was accepted, the one page that shows the secret.
#[component]
pub fn RotateKey() -> impl IntoView {
    if let Some(shown) = use_context::<ShownKey>() {
        return secret::shown(shown).into_any();
    }
    page(Section::Keys, async {
        let view = api::keys::open(&param("id")).await?;
        if !view.may_manage {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let (now, form, key, policy) = (now_ms(), Form::current(), &view.key, view.federation.policy);
        let path = format!("/keys/{}", key.id);
        let retires_ms = now + policy.overlap_hours * HOUR_MS;
        let old_end = Life { retires_ms: Some(retires_ms), ..key.life }.ends_ms();
        let new_end = now + policy.max_age_days * DAY_MS;
        let provider = words::provider(view.federation.vendor);
        let old = format!("{} {}", key.name, words::ends_with(&key.last_four));
        let is_accepted = view.state.is_accepted();
        let verdict = if is_accepted { "Both keys will work." } else { "The new key takes over at once." };
        let fate = if is_accepted {
            view! {
                <p>
                    {format!("{old} stays accepted beside its successor until ")} <Exact at=old_end />
                    {format!(", {}.", relative(old_end, now))}
                </p>
            }
            .into_any()
        } else {
            view! { <p>{format!("{old} has ended already.")}</p> }.into_any()
        };
        let last = match key.life.last_used_ms {
            Some(at) => format!("{provider} used the old key {}.", relative(at, now)),
            None => format!("{provider} has never used the old key."),
        };
        let head = Head::new(format!("Rotate {}", key.name))
            .crumb("/keys", "Keys")
            .crumb(path.clone(), key.name.clone())
            .lead(format!("{}; the old one ends by itself.", successor(key.proof, &view.federation.name)));
        let button = match key.proof {
            Proof::Static => "Rotate and show the new key",
            Proof::Assertion => "Rotate and show the new client",
            Proof::Secret => "Rotate and show the new secret",
        };
        let body = view! {
            <Callout shape=Shape::Moving verdict>
                {fate} <p>"The successor ends " <Exact at=new_end /> "."</p> <p class="muted">{last}</p>
            </Callout>
            <form class="card form" method="post" action=format!("{path}/rotate")>
                {form.summary()}
                <input
                    type="hidden"
                    name="idempotency_token"
                    value=form.value("idempotency_token", &page_context().token)
                />
                <div class="fields-row">
                    {form
                        .number(
                            field("overlap_hours", "Overlap, hours")
                                .default(policy.overlap_hours)
                                .hint("Long enough to paste the new key, and for one cycle of the provider."),
                            1,
                            720,
                        )}
                    {form
                        .number(
                            field("lifetime_days", "Lifetime, days")
                                .default(policy.max_age_days)
                                .hint(format!("At most {} by policy.", policy.max_age_days)),
                            1,
                            policy.max_age_days,
                        )}
                </div>
                <p class="muted small">"The times above are those of the policy; other numbers move them."</p>
                <div class="actions">
                    <button class="btn primary">{button}</button>
                    <a class="btn ghost" href=path.clone()>
                        "Cancel"
                    </a>
                </div>
            </form>
        };
        Ok((head, body.into_any()))
    })
    .into_any()
}

/// What the successor is.
fn successor(proof: Proof, federation: &str) -> String {
    match proof {
        Proof::Static => format!("A new key for {federation} with the same scope"),
        Proof::Assertion => {
            format!("A new client id for {federation} with the same public keys and scope")
        }
        Proof::Secret => format!("A new client id and secret for {federation} with the same scope"),
    }
}
