//! Compliance: the board of all federations, what people signed about it, and the evidence for auditors.

mod attestation;
mod attestations;
mod board;
mod evidence;
mod sign;

use domain::compliance::{Counted, Period, Status as Standing};
use leptos::prelude::*;

pub use self::{
    attestation::Attestation, attestations::Attestations, board::Compliance, evidence::Evidence,
    sign::SignAttestation,
};
use crate::ui::{callout::Callout, status::Shape, still::IntoAny};

/// How a standing looks.
pub(super) const fn shape(standing: Standing) -> Shape {
    match standing {
        Standing::Overdue => Shape::Broken,
        Standing::Due => Shape::Look,
        Standing::Excepted => Shape::Held,
        Standing::NeverRotated => Shape::Unknown,
        Standing::NoKeys => Shape::Ended,
        Standing::InPolicy => Shape::Good,
    }
}

/// The verdict in a line.
pub(super) fn verdict(counted: Counted) -> AnyView {
    let shape = match counted.percent() {
        None => Shape::Unknown,
        Some(100) => Shape::Good,
        Some(_) if counted.inside + counted.excepted == counted.of => Shape::Held,
        Some(_) => Shape::Look,
    };
    let verdict = counted.verdict();
    view! {
        <Callout shape verdict>
            <p>
                "Inside policy means that no key is accepted beyond its limit. An exception is not inside: it says that the policy does not hold for a while."
            </p>
        </Callout>
    }
    .into_any()
}

/// The choice of a period, as a form that changes the address.
pub(super) fn picker(action: &'static str, chosen: &Period, now_ms: i64) -> AnyView {
    let mut offered = Period::offered(now_ms);
    if !offered.iter().any(|period| period.label == chosen.label) {
        offered.push(chosen.clone());
    }
    let options = offered
        .into_iter()
        .map(|period| {
            let selected = period.label == chosen.label;
            let label = if period.is_running(now_ms) {
                format!("{}, so far", period.label)
            } else {
                period.label.clone()
            };
            view! {
                <option value=period.label selected=selected>
                    {label}
                </option>
            }
        })
        .collect_view();
    view! {
        <form class="toolbar" method="get" action=action aria-label="Choose a period">
            <div class="field">
                <label for="period-choice">"Period"</label>
                <select id="period-choice" name="period">
                    {options}
                </select>
            </div>
            <button class="btn">"Show period"</button>
        </form>
    }
    .into_any()
}
