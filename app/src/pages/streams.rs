//! Where records go as they come: read here, configured at the start.

use domain::{Millis, exports::Format};
use leptos::prelude::*;
use ops::streams::{Lag, StreamView};

use crate::{
    ui::{
        status::{Shape, Status},
        still::IntoAny,
        time::Ago,
    },
    words,
};

/// The streams and how far each is behind.
pub fn card(streams: &[StreamView], now: Millis) -> AnyView {
    let body = if streams.is_empty() {
        view! {
            <p class="muted">
                "No stream is configured: records leave by exports only. A webhook or a log host is named in the configuration."
            </p>
        }
        .into_any()
    } else {
        let rows = streams.iter().flat_map(|stream| stream.lags.iter().map(move |lag| row(stream, lag, now)));
        table(rows.collect_view().into_any())
    };
    view! {
        <section class="card" aria-labelledby="streams">
            <h2 id="streams">"Streams"</h2>
            <p>"Where audit and usage records are sent as they come."</p>
            {body}
        </section>
    }
    .into_any()
}

fn table(rows: AnyView) -> AnyView {
    view! {
        <div class="tw" tabindex="0" role="region" aria-label="Table of streams">
            <table class="t cards">
                <caption class="sr">"Where records are sent as they come, and how far each stream is"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Stream"</th>
                        <th scope="col">"Where"</th>
                        <th scope="col">"State"</th>
                        <th scope="col" class="num">
                            "Sent up to"
                        </th>
                        <th scope="col" class="num">
                            "Waiting"
                        </th>
                        <th scope="col">"Last taken"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

/// What is said of a stream: how it goes.
fn state(lag: &Lag) -> (Shape, &'static str) {
    match (lag.has_begun, &lag.row.error, lag.records) {
        (false, _, _) => (Shape::Unknown, "Not begun yet"),
        (true, Some(_), _) => (Shape::Broken, "Fails"),
        (true, None, 0) => (Shape::Good, "Up to date"),
        (true, None, _) => (Shape::Moving, "Sending"),
    }
}

const fn form(format: Format) -> &'static str {
    match format {
        Format::Csv => "CSV",
        Format::Jsonl => "JSON Lines",
        Format::Ocsf => "OCSF",
    }
}

fn row(stream: &StreamView, lag: &Lag, now: Millis) -> AnyView {
    let (shape, word) = state(lag);
    let fault = lag.row.error.clone().map(|error| view! { <p class="muted">{words::sentence(&error)}</p> });
    let oldest = lag.oldest_ms.map(|at| view! { <span class="muted">" since " <Ago at now /></span> });
    let last =
        if lag.has_begun { view! { <Ago at=lag.row.at_ms now /> }.into_any() } else { "Never".into_any() };
    view! {
        <tr>
            <th scope="row">
                {words::capital(&stream.name)} <p class="muted">{lag.carried.label()} ", " {form(stream.format)}</p>
            </th>
            <td data-label="Where" class="break">
                <code>{stream.place.clone()}</code>
            </td>
            <td data-label="State">
                <Status shape word /> {fault}
            </td>
            <td data-label="Sent up to" class="num">
                {words::number(lag.row.place)}
            </td>
            <td data-label="Waiting" class="num">
                {words::number(lag.records)} {oldest}
            </td>
            <td data-label="Last taken">{last}</td>
        </tr>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use domain::exports::stream::Carried;

    use super::*;

    #[expect(clippy::default_trait_access, reason = "the type is of store, which pages do not know")]
    fn lag(has_begun: bool, records: i64, error: Option<&str>) -> Lag {
        let mut lag = Lag {
            carried: Carried::Audit,
            records,
            oldest_ms: (records > 0).then_some(1),
            row: Default::default(),
            has_begun,
        };
        lag.row.error = error.map(str::to_owned);
        lag
    }

    #[test]
    fn a_stream_that_fails_is_not_said_to_go_on() {
        let check = |lag, shape, word| {
            let (found, told) = state(&lag);
            assert!(found == shape && told == word, "{told}");
        };
        check(lag(false, 0, None), Shape::Unknown, "Not begun yet");
        check(lag(true, 0, None), Shape::Good, "Up to date");
        check(lag(true, 5, None), Shape::Moving, "Sending");
        check(lag(true, 5, Some("gone")), Shape::Broken, "Fails");
    }
}
