//! What a provider sends that no standard has.

use domain::Millis;
use leptos::prelude::*;
use ops::keys::Tolerated;

use crate::{
    ui::{callout::Empty, still::IntoAny, time::Ago},
    words,
};

/// What was understood of a key's requests although no standard says so, the most frequent first.
#[component]
pub fn ToleratedTable(
    /// The most frequent first.
    tolerated: Vec<Tolerated>,
    /// Whether the key was ever used.
    is_used: bool,
    /// The time of the page.
    now: Millis,
) -> impl IntoView {
    if tolerated.is_empty() {
        let text = if is_used {
            "Every request so far was as RFC 7643 and RFC 7644 have it. What a provider does in its own way is \
             counted here, so that you can see why another server may refuse it."
        } else {
            "Nothing came yet. What a provider does in its own way, and not as RFC 7643 and RFC 7644 have it, is \
             counted here."
        };
        let title = if is_used { "By the standard" } else { "No request yet" };
        return view! { <Empty title text /> }.into_any();
    }
    let rows = tolerated.into_iter().map(|seen| row(&seen, now)).collect_view();
    view! {
        <div class="tw" tabindex="0" role="region" aria-label="Table of what this provider sends">
            <table class="t cards">
                <caption class="sr">"What was understood although no standard has it, the most frequent first"</caption>
                <thead>
                    <tr>
                        <th scope="col">"This provider"</th>
                        <th scope="col" class="num">
                            "Requests"
                        </th>
                        <th scope="col">"First"</th>
                        <th scope="col">"Last"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(seen: &Tolerated, now: Millis) -> impl IntoView + use<> {
    view! {
        <tr>
            <th scope="row">{words::sentence(seen.sentence)}</th>
            <td data-l="Requests" class="num">
                {seen.count}
            </td>
            <td data-l="First">
                <Ago at=seen.first_ms now />
            </td>
            <td data-l="Last">
                <Ago at=seen.last_ms now />
            </td>
        </tr>
    }
}
