//! Rotating a key: a successor beside it, until the old one has fallen silent. No clock ends a key.

use domain::{
    HOUR_MS, Millis,
    keys::{KeyState, Proof},
    rotations::policy::{Effective, OnDeadline},
};
use leptos::prelude::*;
use ops::keys::KeyView;

use crate::{
    api::{self, rotation::RotatePage},
    error::{UiError, UiErrorKind},
    forms::ShownKey,
    pages::keys::{scope, secret},
    ssr::{now_ms, page as page_context, param},
    ui::{
        callout::Callout,
        form::{Form, field},
        page::{Head, Section, page},
        status::Shape,
        still::IntoAny,
        time::{Exact, relative, span},
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
        let data = api::rotation::rotate(&param("id")).await?;
        let view = &data.view;
        if !view.may_manage {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let (now, form, key, policy) = (now_ms(), Form::current(), &view.key, view.federation.policy);
        let path = format!("/keys/{}", key.id);
        let head = Head::new(format!("Rotate {}", key.name))
            .crumb("/keys", "Keys")
            .crumb(path.clone(), key.name.clone())
            .lead(format!("{}.", successor(key.proof, &view.federation.name, key.next_scope.is_some())));
        let body = view! {
            {what_happens(view, &data.effective, now)}
            {what_it_may(view)}
            <form class="card form" method="post" action=format!("{path}/rotate")>
                {form.summary()}
                <input
                    type="hidden"
                    name="idempotency_token"
                    value=form.value("idempotency_token", &page_context().token)
                />
                {(key.proof != Proof::Assertion).then(|| way(&form, &data))}
                <div class="fields-row">
                    {form
                        .number(
                            field("overlap_hours", "Overlap should last, hours")
                                .default(policy.overlap_hours)
                                .hint("Then the owners are told. No key ends by it."),
                            1,
                            720,
                        )}
                    {form
                        .number(
                            field("lifetime_days", "Lifetime of the successor, days")
                                .default(policy.max_age_days)
                                .hint(format!("At most {} by policy.", policy.max_age_days)),
                            1,
                            policy.max_age_days,
                        )}
                </div>
                <div class="actions">
                    <button class="btn primary">{button(key.proof)}</button>
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

fn button(proof: Proof) -> &'static str {
    match proof {
        Proof::Static => "Rotate key",
        Proof::Assertion => "Rotate and show the new client",
        Proof::Secret => "Rotate client",
    }
}

/// Both keys work until the old one is silent; what the deadline means; who uses the old one now.
fn what_happens(view: &KeyView, policy: &Effective, now: Millis) -> AnyView {
    let key = &view.key;
    let provider = words::provider(view.federation.vendor);
    let old = format!("{} {}", key.name, words::ends_with(&key.last_four));
    let last = match key.life.last_used_ms {
        Some(at) => format!("{provider} used the old key {}.", relative(at, now)),
        None => format!("{provider} has never used the old key."),
    };
    if view.state == KeyState::Expired {
        return view! {
            <Callout shape=Shape::Moving verdict="The new key takes over at once.">
                <p>{format!("{old} has ended already.")}</p>
                <p class="muted">{last}</p>
            </Callout>
        }
        .into_any();
    }
    let until = format!(
        "{old} is retired when its successor has done real work and it has been silent for {} of the provider, at least {}. No clock ends it.",
        words::count(policy.silence_cycles, "cycle"),
        span(policy.least_silence_ms)
    );
    let deadline = match policy.on_deadline {
        OnDeadline::Extend => " it should be over; else the overlap goes on, and the owners are told.",
        OnDeadline::Retire => " the policy retires it all the same, once the successor was delivered.",
    };
    let by = now + view.federation.policy.overlap_hours * HOUR_MS;
    view! {
        <Callout shape=Shape::Moving verdict="Both keys will work.">
            <p>{until}</p>
            <p>"By " <Exact at=by /> {deadline}</p>
            <p class="muted">{last}</p>
        </Callout>
    }
    .into_any()
}

/// What the successor may do, where that was set to be less than what the key may.
fn what_it_may(view: &KeyView) -> Option<AnyView> {
    let (now, next) = (&view.key.scope, view.key.next_scope.as_ref()?);
    let path = format!("/keys/{}/tighten", view.key.id);
    Some(
        view! {
            <section class="card flush" aria-labelledby="narrower">
                <header>
                    <h2 id="narrower">"What the successor may no longer do"</h2>
                    <a href=path>"What is used"</a>
                </header>
                {scope::differences(&now.differences(next))}
            </section>
            <section class="card" aria-labelledby="allowed">
                <h2 id="allowed">"It will be allowed to"</h2>
                {scope::phrases(next)}
            </section>
        }
        .into_any(),
    )
}

/// How the secret gets to the consumer.
fn way(form: &Form, data: &RotatePage) -> AnyView {
    let provider = words::provider(data.view.federation.vendor);
    let has_target = !data.targets.is_empty();
    let hint = if has_target {
        format!("To {}, as this federation is set up.", data.targets.join(", then "))
    } else {
        format!("A link for one of the owners: {}.", data.view.federation.owners.join(", "))
    };
    let label = if has_target { "Deliver it" } else { "Hand it over" };
    let chosen = form.value("deliver", if has_target { "yes" } else { "no" });
    let option = |value: &'static str, label: String, hint: String| {
        let checked = chosen == value;
        view! {
            <label class="opt">
                <input type="radio" name="deliver" value=value checked=checked />
                <span>
                    <strong>{label}</strong>
                    <span class="hint">{hint}</span>
                </span>
            </label>
        }
    };
    view! {
        <fieldset class="field">
            <legend>{format!("How {} gets the new key", in_sentence(provider))}</legend>
            {option("no", "Show it to me, once".to_owned(), "You paste it into the provider.".to_owned())}
            {option("yes", label.to_owned(), hint)}
        </fieldset>
    }
    .into_any()
}

/// “The provider” inside a sentence.
fn in_sentence(provider: &str) -> String {
    if provider == "The provider" { "the provider".to_owned() } else { provider.to_owned() }
}

/// What the successor is.
fn successor(proof: Proof, federation: &str, is_narrower: bool) -> String {
    let scope = if is_narrower { "a narrower scope" } else { "the same scope" };
    match proof {
        Proof::Static => format!("A new key for {federation} with {scope}"),
        Proof::Assertion => format!("A new client id for {federation} with the same public keys and {scope}"),
        Proof::Secret => format!("A new client id and secret for {federation} with {scope}"),
    }
}
