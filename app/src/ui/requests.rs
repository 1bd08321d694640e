//! The table of requests that presented a key.

use domain::{Millis, usage::UsageRecord};
use leptos::prelude::*;

use crate::ui::{
    callout::Empty,
    status::{self, Status},
    still::IntoAny,
    time::Ago,
    timeline::Known,
};

/// Requests, newest first; cards on a phone.
#[component]
pub fn RequestsTable(
    /// Newest first.
    requests: Vec<UsageRecord>,
    /// The time of the page.
    now: Millis,
    /// Federations to name in each row, where the table has those of several.
    #[prop(optional)]
    known: Known,
) -> impl IntoView {
    if requests.is_empty() {
        return view! {
            <Empty
                title="No request yet"
                text="Every request that presents a key is listed here: method, answer, source, and why it was denied."
            />
        }
        .into_any();
    }
    let rows = requests.iter().map(|record| row(record, now, &known)).collect_view();
    view! {
        <div class="tw" tabindex="0" role="region" aria-label="Table of requests">
            <table class="t cards requests">
                <caption class="sr">"Last requests, newest first"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Request"</th>
                        <th scope="col">"Answer"</th>
                        <th scope="col">"When"</th>
                        <th scope="col">"Source"</th>
                        <th scope="col" class="num">
                            "Time"
                        </th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(record: &UsageRecord, now: Millis, known: &Known) -> impl IntoView + use<> {
    let (shape, word) = status::of_request(record);
    let what = format!("{} {}", record.method, record.resource_type);
    let resource = record.resource_id.clone().map(|id| view! { <span class="sub mono">{id}</span> });
    let reason = record.reason.clone().map(|reason| view! { <span class="sub">{reason}</span> });
    let source = record.source.clone().unwrap_or_else(|| "No data".to_owned());
    let agent = record.user_agent.clone().map(|agent| view! { <span class="sub">{agent}</span> });
    let of = record.federation_id.as_ref().and_then(|id| known.get(id)).map(|one| {
        let href = format!("/usage?federation={}", one.slug);
        let key = format!("/usage?key={}", record.key_id);
        view! {
            <span class="sub">
                <a href=href>{one.name.clone()}</a>
                ", "
                <a href=key>"its key"</a>
            </span>
        }
    });
    let href = format!("/usage/requests/{}", record.request_id);
    let id = record.request_id.to_string();
    view! {
        <tr data-request=id>
            <th scope="row">
                <a href=href>{what}</a>
                {resource}
                {of}
            </th>
            <td class="s" data-l="Answer">
                <span>
                    <Status shape word />
                    {reason}
                </span>
            </td>
            <td data-l="When">
                <Ago at=record.at_ms now />
            </td>
            <td data-l="Source">
                <span class="break">{source} {agent}</span>
            </td>
            <td data-l="Time" class="num">
                {duration(record.duration_us)}
            </td>
        </tr>
    }
}

/// A duration with its unit.
pub fn duration(us: i64) -> String {
    if us < 1000 { format!("{us} µs") } else { format!("{}.{} ms", us / 1000, us % 1000 / 100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_its_unit() {
        assert_eq!([duration(480), duration(3_250), duration(12_000)], ["480 µs", "3.2 ms", "12.0 ms"]);
    }
}
