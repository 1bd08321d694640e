//! Keys for which the policy does not hold for a while: who answers for it, why, until when.

use domain::{Millis, rotations::policy::PolicyException};
use leptos::prelude::*;

use crate::{
    api::rotation::PolicyPage,
    ui::{
        form::{Form, field},
        status::{Shape, Status},
        still::IntoAny,
        time::{Ago, Exact},
    },
};

/// The card on the page of a policy.
pub fn card(data: &PolicyPage, now: Millis) -> AnyView {
    let list = if data.view.exceptions.is_empty() {
        view! { <p class="muted pad">"The policy holds for every key of this federation."</p> }.into_any()
    } else {
        table(data, now)
    };
    view! {
        <section class="card flush" aria-labelledby="exceptions">
            <header>
                <h2 id="exceptions">"Exceptions"</h2>
            </header>
            {list} {data.view.may_edit.then(|| make(data))}
        </section>
    }
    .into_any()
}

fn table(data: &PolicyPage, now: Millis) -> AnyView {
    let rows = data.view.exceptions.iter().map(|exception| row(data, exception, now)).collect_view();
    view! {
        <div class="tw" tabindex="0" role="region" aria-label="Table of exceptions">
            <table class="t cards">
                <caption class="sr">"Exceptions from the rotation policy"</caption>
                <thead>
                    <tr>
                        <th scope="col">"For"</th>
                        <th scope="col">"State"</th>
                        <th scope="col">"Why"</th>
                        <th scope="col">"Owner"</th>
                        <th scope="col">"Made"</th>
                        <th scope="col">"Ends"</th>
                        <th scope="col">"Action"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(data: &PolicyPage, exception: &PolicyException, now: Millis) -> impl IntoView + use<> {
    let name = match &exception.key_id {
        None => "Every key".to_owned(),
        Some(id) => {
            let known = data.keys.iter().find(|view| view.key.id == *id);
            known.map_or_else(|| id.to_string(), |view| view.key.name.clone())
        }
    };
    let is_open = exception.is_open(now);
    let (shape, word) = if is_open { (Shape::Held, "Exempt") } else { (Shape::Ended, "Ended") };
    let action =
        format!("/federations/{}/rotation/exceptions/{}/end", data.view.federation.slug, exception.id);
    let button = (is_open && data.view.may_edit).then(|| {
        view! {
            <form method="post" action=action>
                <button class="btn sm" aria-label=format!("End the exception for {name}")>
                    "End"
                </button>
            </form>
        }
    });
    view! {
        <tr>
            <th scope="row">{name}</th>
            <td class="s" data-l="State">
                <Status shape word />
            </td>
            <td data-l="Why">
                <span class="break">{exception.reason.clone()}</span>
            </td>
            <td data-l="Owner">
                <span class="break">{exception.owner.clone()}</span>
            </td>
            <td data-l="Made">
                <span>{exception.made_by.clone()} " " <Ago at=exception.made_ms now /></span>
            </td>
            <td data-l="Ends">
                <Exact at=exception.ended_ms.unwrap_or(exception.ends_ms) />
            </td>
            <td data-l="Action">{button}</td>
        </tr>
    }
}

fn make(data: &PolicyPage) -> AnyView {
    let form = Form::with_field("ends");
    let keys = std::iter::once((String::new(), "Every key of this federation".to_owned()))
        .chain(
            data.keys
                .iter()
                .filter(|view| view.state.is_accepted())
                .map(|view| (view.key.id.to_string(), view.key.name.clone())),
        )
        .collect();
    view! {
        <form
            class="pad form"
            method="post"
            action=format!("/federations/{}/rotation/exceptions", data.view.federation.slug)
        >
            <h3>"Make an exception"</h3>
            {form.summary()}
            <div class="fields-row">
                {form.select(field("key", "For").optional(), keys)}
                {form.input(field("owner", "Who answers for it"), "text")}
                {form.input(field("ends", "Last day"), "date")}
            </div>
            {form.input(field("reason", "Why").hint("Shown on the board and kept in the audit log."), "text")}
            <div class="actions">
                <button class="btn">"Make exception"</button>
            </div>
        </form>
    }
    .into_any()
}
