//! How the secret of the successor was brought: each delivery and what became of its steps.

use domain::{
    Millis,
    deliveries::{Delivery, DeliveryState, StepOutcome},
};
use leptos::prelude::*;

use crate::{
    api::rotation::RotationPage,
    ui::{
        status::{Shape, Status},
        still::IntoAny,
        time::{Ago, relative},
    },
    words,
};

/// The card on the page of a rotation.
pub fn card(data: &RotationPage, now: Millis) -> AnyView {
    let slug = &data.view.federation.slug;
    let list = if data.view.deliveries.is_empty() {
        view! {
            <p>
                "Shown to " {data.view.rotation.begun_by.clone()} " when it was issued. "
                <span class="muted">"Nothing else brings it."</span>
            </p>
        }
        .into_any()
    } else {
        let items = data
            .view
            .deliveries
            .iter()
            .map(|row| item(&row.delivery, row.target.as_deref(), now))
            .collect_view();
        view! { <ol class="deliveries">{items}</ol> }.into_any()
    };
    view! {
        <section class="card" aria-labelledby="deliveries">
            <header>
                <h2 id="deliveries">"Delivery"</h2>
                <a href=format!("/federations/{slug}/delivery")>"Delivery of this federation"</a>
            </header>
            {list}
        </section>
    }
    .into_any()
}

fn of_state(state: DeliveryState) -> Shape {
    match state {
        DeliveryState::Waiting | DeliveryState::UnderWay => Shape::Moving,
        DeliveryState::Delivered | DeliveryState::Promoted => Shape::Good,
        DeliveryState::Failed | DeliveryState::GivenUp => Shape::Broken,
        DeliveryState::Cancelled => Shape::Ended,
    }
}

fn item(delivery: &Delivery, target: Option<&str>, now: Millis) -> impl IntoView + use<> {
    let name = target.map_or_else(|| "Hand-off to a person".to_owned(), str::to_owned);
    let attempts = match (delivery.attempts, delivery.state.is_open()) {
        (0, _) => None,
        (tries, true) => Some(format!(
            "{}; next {}.",
            words::count(tries, "attempt"),
            if delivery.due_ms > now { relative(delivery.due_ms, now) } else { "at once".to_owned() }
        )),
        (tries, false) => Some(format!("{}.", words::count(tries, "attempt"))),
    };
    let steps = delivery
        .report
        .steps
        .iter()
        .map(|step| {
            let shape = match step.outcome {
                StepOutcome::Done => Shape::Good,
                StepOutcome::Skipped => Shape::Unknown,
                StepOutcome::Failed => Shape::Broken,
            };
            view! {
                <li>
                    <Status shape word=step.step.label() />
                    <span class="break">{words::sentence(&step.sentence)}</span>
                    <span class="muted small">
                        <Ago at=step.at_ms now />
                    </span>
                </li>
            }
        })
        .collect_view();
    view! {
        <li>
            <p class="delivery">
                <strong>{name}</strong>
                <Status shape=of_state(delivery.state) word=delivery.state.label() />
                <span class="muted small">{attempts} " Made " <Ago at=delivery.made_ms now /> "."</span>
            </p>
            <ol class="delivery-steps">{steps}</ol>
        </li>
    }
}
