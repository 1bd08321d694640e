//! Revoking a key: what fails next, and what does not.

use domain::{HOUR_MS, Millis};
use leptos::prelude::*;

use crate::{
    api::{self, keys::KeyPage},
    error::{UiError, UiErrorKind},
    ssr::{now_ms, param},
    ui::{
        callout::Callout,
        form::{Form, field},
        page::{Head, Section, page},
        status::Shape,
        still::IntoAny,
        time::{Ago, relative},
    },
    words,
};

/// The form that ends a key at once.
#[component]
pub fn RevokeKey() -> impl IntoView {
    page(Section::Keys, async {
        let data = api::keys::page(&param("id")).await?;
        if !data.view.may_manage {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        if !data.view.state.is_accepted() {
            return Err(UiError::new(UiErrorKind::Refused, "This key has ended already."));
        }
        let (now, form, key) = (now_ms(), Form::current(), &data.view.key);
        let path = format!("/keys/{}", key.id);
        let head = Head::new(format!("Revoke {}", key.name))
            .crumb("/keys", "Keys")
            .crumb(path.clone(), key.name.clone())
            .lead("It ends at once and for good. There is no way back but a new key.");
        let used = key.life.last_used_ms.map(|at| view! { <Ago at now /> });
        let never = key.life.last_used_ms.is_none().then_some("Never");
        let pause = format!("/federations/{}", data.view.federation.slug);
        let body = view! {
            {consequence(&data, now)}
            <form class="card form" method="post" action=format!("{path}/revoke")>
                {form.summary()}
                <dl class="props">
                    <dt>"Key"</dt>
                    <dd>
                        {key.name.clone()} " " <code>{words::ends_with(&key.last_four)}</code> " of "
                        {data.view.federation.name.clone()}
                    </dd>
                    <dt>"Last used"</dt>
                    <dd>{used} {never}</dd>
                    <dt>"Last hour"</dt>
                    <dd>{in_last_hour(&data, now)}</dd>
                </dl>
                {form
                    .input(
                        field("reason", "Why")
                            .hint("Kept in the audit log: leaked, provider switched off, issued by mistake."),
                        "text",
                    )}
                <div class="actions">
                    <button class="btn danger">{format!("Revoke {} now", key.name)}</button>
                    <a class="btn ghost" href=path.clone()>
                        "Keep key"
                    </a>
                </div>
                <p class="muted small">
                    "To stop it for a while only, " <a href=pause>"pause the federation"</a>
                    ": the provider gets 503 and tries again."
                </p>
            </form>
        };
        Ok((head, body.into_any()))
    })
}

fn in_last_hour(data: &KeyPage, now: Millis) -> String {
    let recent = data.requests.iter().filter(|record| now - record.at_ms < HOUR_MS).count();
    // The page loads the last few requests only.
    let more = if recent == data.requests.len() && recent > 0 { " or more" } else { "" };
    format!("{}{more}", words::count(i64::try_from(recent).unwrap_or(i64::MAX), "request"))
}

/// What happens to provisioning, judged by what is in use.
fn consequence(data: &KeyPage, now: Millis) -> AnyView {
    let vendor = data.view.federation.vendor;
    let provider = words::provider(vendor);
    let taken_over = data.successor.as_ref().filter(|view| view.key.life.first_used_ms.is_some());
    let last = data.view.key.life.last_used_ms;
    match (taken_over, last) {
        (Some(successor), _) => {
            let text = format!(
                "Its successor {} is in use. Whoever still sends the old key gets 401.",
                successor.key.name
            );
            view! {
                <Callout shape=Shape::Good verdict="Provisioning goes on.">
                    <p>{text}</p>
                </Callout>
            }
            .into_any()
        }
        (None, Some(at)) => {
            let verdict = format!("Used {}.", relative(at, now));
            view! {
                <Callout shape=Shape::Broken verdict>
                    <p>{format!("{provider} gets 401 from now on. {}", words::after_401(vendor))}</p>
                </Callout>
            }
            .into_any()
        }
        (None, None) => view! {
            <Callout shape=Shape::Unknown verdict="Never used.">
                <p>"Nobody has provisioned with it, so nothing stops."</p>
            </Callout>
        }
        .into_any(),
    }
}
