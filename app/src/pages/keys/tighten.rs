//! Tightening a key to what it is used for: the smallest scope that would have let everything through, the
//! difference in plain words, and what it rests on.

use leptos::prelude::*;
use ops::tighten::{Proposal, Seen};

use super::scope::{differences, phrases, when};
use crate::{
    api,
    error::{UiError, UiErrorKind},
    ssr::{now_ms, param, query},
    ui::{
        callout::Callout,
        form::Form,
        page::{Head, Section, page},
        status::Shape,
        still::IntoAny,
        time::{Exact, relative},
    },
    words,
};

/// The proposal, and the form that applies it.
#[component]
pub fn TightenKey() -> impl IntoView {
    page(Section::Keys, async {
        let days = query("days").and_then(|days| days.parse().ok()).unwrap_or(30);
        let proposal = api::keys::tighten(&param("id"), days).await?;
        if !proposal.view.may_manage {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let (key, form) = (&proposal.view.key, Form::current());
        let path = format!("/keys/{}", key.id);
        let head = Head::new(format!("Tighten {}", key.name))
            .crumb("/keys", "Keys")
            .crumb(path.clone(), key.name.clone())
            .lead("The smallest scope that would have let through everything that was done. Nothing changes before you confirm.");
        let requests = i64::try_from(proposal.requests).unwrap_or(i64::MAX);
        let span = match proposal.seen_ms {
            Some((first, last)) => view! {
                <p>
                    {format!("{} with it and the keys before it, from ", words::count(requests, "request"))}
                    <Exact at=first /> " to " <Exact at=last /> "."
                </p>
            }
            .into_any(),
            None => view! { <p>{format!("No request in the last {days} days.")}</p> }.into_any(),
        };
        let choice = [14_i64, 30, 90].map(|choice| {
            let current = (choice == days).then_some("true");
            view! { <a class="btn ghost" href=format!("{path}/tighten?days={choice}") aria-current=current>{format!("{choice} days")}</a> }
        });
        let body = view! {
            <section class="card" aria-labelledby="evidence">
                <h2 id="evidence">"What was used"</h2>
                {span}
                <div class="actions">{choice.collect_view()}</div>
            </section>
            <section class="card flush" aria-label="What was used, one by one">{evidence(&proposal)}</section>
            <section class="card" aria-labelledby="then">
                <h2 id="then">"It would then be allowed to"</h2>
                {phrases(&proposal.scope)}
            </section>
            {apply(&form, &proposal, &path)}
        };
        Ok((head, body.into_any()))
    })
}

fn apply(form: &Form, proposal: &Proposal, path: &str) -> AnyView {
    if proposal.differences.is_empty() {
        return view! {
            <Callout shape=Shape::Good verdict="It is as tight as its use.">
                <p>"All that it may do was done, as far as requests show it."</p>
            </Callout>
        }
        .into_any();
    }
    let difference = view! {
        <section class="card flush" aria-label="What changes">{differences(&proposal.differences)}</section>
    };
    if let Some(reason) = proposal.too_early.clone() {
        return view! {
            {difference}
            <Callout shape=Shape::Look verdict="Too early to apply.">
                <p>{reason}</p>
            </Callout>
        }
        .into_any();
    }
    let scope = serde_json::to_string(&proposal.scope).unwrap_or_default();
    view! {
        {difference}
        <form class="card form" method="post" action=format!("{path}/tighten")>
            {form.summary()} <input type="hidden" name="version" value=proposal.view.key.version.to_string() />
            <input type="hidden" name="proposal" value=scope /> {when(form)}
            <p class="muted small">
                "What was not done in that time is refused with 403, and the refusal is on record. Another scope by hand: "
                <a href=format!("{path}/scope")>"narrow it yourself"</a> "."
            </p>
            <div class="actions">
                <button class="btn primary">"Tighten key"</button>
                <a class="btn ghost" href=path.to_owned()>
                    "Leave it as it is"
                </a>
            </div>
        </form>
    }
    .into_any()
}

fn evidence(proposal: &Proposal) -> AnyView {
    let now = now_ms();
    let rows = proposal.evidence.iter().map(|Seen { what, count, last_ms }| {
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        let last = match last_ms {
            Some(at) => relative(*at, now),
            None => "not used: falls away".to_owned(),
        };
        view! {
            <tr>
                <th scope="row">{what.clone()}</th>
                <td class="num" data-l="Times">{words::number(count)}</td>
                <td data-l="Last">{last}</td>
            </tr>
        }
    });
    view! {
        <div class="tw">
            <table class="t told cards">
                <caption class="sr">"What was used"</caption>
                <thead>
                    <tr>
                        <th scope="col">"What"</th>
                        <th scope="col" class="num">"Times"</th>
                        <th scope="col">"Last"</th>
                    </tr>
                </thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}
