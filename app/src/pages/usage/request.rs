//! One request: its usage records, what it changed, what it left in the audit log, and findings about its key.

use domain::{HOUR_MS, usage::UsageRecord};
use leptos::prelude::*;

use super::super::directory::{Around, changes};
use crate::{
    api::{self, usage::RequestPage},
    ssr::{now_ms, param},
    ui::{
        callout::Empty,
        page::{Head, Section, page},
        requests::duration,
        status::{self, Status},
        still::IntoAny,
        time::Exact,
        timeline::days,
    },
    words,
};

/// Everything that is kept of one request.
#[component]
pub fn UsageRequest() -> impl IntoView {
    page(Section::Usage, async {
        let data = api::usage::request(&param("id")).await?;
        let head =
            Head::new("Request").crumb("/usage", "Usage").lead(view! { <code>{data.id.to_string()}</code> });
        let records = data.records.iter().map(|record| card(record, &data)).collect_view();
        let none = data.records.is_empty().then(|| {
            view! {
                <section class="card">
                    <Empty
                        title="No usage record"
                        text="It presented no key, or its usage record is older than is kept. What it did stands in the audit log."
                    />
                </section>
            }
        });
        let audit = if data.audit.is_empty() {
            view! { <p class="pad muted">"It changed nothing, and nothing of it had to be recorded."</p> }
                .into_any()
        } else {
            days(&data.audit, &data.known, now_ms())
        };
        let body = view! {
            {records}
            {none}
            {journal(&data)}
            <section class="card flush" aria-labelledby="audit">
                <header>
                    <h2 id="audit">"In the audit log"</h2>
                </header>
                {audit}
            </section>
            {findings(&data)}
        };
        Ok((head, body.into_any()))
    })
}

fn card(record: &UsageRecord, data: &RequestPage) -> AnyView {
    let (shape, word) = status::of_request(record);
    let federation = record.federation_id.as_ref().and_then(|id| data.known.get(id));
    let of = match federation {
        Some(one) => view! { <a href=format!("/federations/{}", one.slug)>{one.name.clone()}</a> }.into_any(),
        None => view! { "None" }.into_any(),
    };
    let around = federation.map(|one| {
        let from = record.at_ms - record.at_ms.rem_euclid(HOUR_MS);
        let hour = format!("from={from}&until={}", from + HOUR_MS - 1);
        let href = format!("/federations/{}/blast?key={}&{hour}", one.slug, record.key_id);
        view! {
            <dt>"Around it"</dt>
            <dd>
                <a href=href>"Everything that the key changed in this hour"</a>
            </dd>
        }
    });
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "No data".to_owned());
    let list = |words: &[String]| if words.is_empty() { "None".to_owned() } else { words.join(", ") };
    let resource = record.resource_id.clone().map(|id| {
        let href = format!("/usage?resource={}", words::encode(&id));
        view! {
            <dt>"Resource"</dt>
            <dd>
                <a href=href>
                    <code>{id}</code>
                </a>
            </dd>
        }
    });
    view! {
        <section class="card" aria-label="Usage record">
            <h2>{format!("{} {}", record.method, record.resource_type)}</h2>
            <dl class="props">
                <dt>"Answer"</dt>
                <dd>
                    <Status shape word />
                    {record.reason.clone().map(|reason| format!(" {reason}"))}
                </dd>
                <dt>"Time"</dt>
                <dd>
                    <Exact at=record.at_ms />
                </dd>
                <dt>"Federation"</dt>
                <dd>{of}</dd>
                <dt>"Key"</dt>
                <dd>
                    <a href=format!("/keys/{}", record.key_id)>
                        <code>{record.key_id.to_string()}</code>
                    </a>
                </dd>
                {resource}
                <dt>"Attributes written"</dt>
                <dd>{list(&record.attributes)}</dd>
                <dt>"Took"</dt>
                <dd>{duration(record.duration_us)}</dd>
                <dt>"Source"</dt>
                <dd>{text(&record.source)}</dd>
                <dt>"User agent"</dt>
                <dd class="break">{text(&record.user_agent)}</dd>
                <dt>"Tolerated"</dt>
                <dd>{list(&record.tolerated)}</dd>
                <dt>"Real work"</dt>
                <dd>{if record.is_work { "Yes" } else { "No" }}</dd>
                {around}
            </dl>
        </section>
    }
    .into_any()
}

/// What it changed, with the values before and after.
fn journal(data: &RequestPage) -> AnyView {
    let lists = data
        .journal
        .iter()
        .map(|history| {
            let around = Around {
                slug: &history.federation.slug,
                now: now_ms(),
                may_undo: history.may_undo,
                names_resource: true,
                names: &history.names,
            };
            changes(&history.entries, &around)
        })
        .collect_view();
    // The operations of a bulk have ids of their own, and what they changed stands there.
    let bulk = data.records.iter().find(|record| record.resource_type == "Bulk");
    let none = match bulk {
        _ if !data.journal.is_empty() => None,
        Some(record) => {
            let until = record.at_ms + record.duration_us / 1_000 + 1_000;
            let href = format!("/usage?key={}&from={}&to={until}", record.key_id, record.at_ms);
            Some(
                view! {
                    <p>
                        "Each of its operations is a request of its own: " <a href=href>"those of the key around it"</a>
                        "."
                    </p>
                }
                .into_any(),
            )
        }
        None => Some(
            view! {
                <p class="muted">"It changed no user and no group, or what it replaced is older than is kept."</p>
            }
            .into_any(),
        ),
    };
    view! {
        <section class="card" aria-labelledby="journal">
            <h2 id="journal">"In the journal"</h2>
            {none}
            {lists}
        </section>
    }
    .into_any()
}

fn findings(data: &RequestPage) -> Option<AnyView> {
    if data.findings.is_empty() {
        return None;
    }
    let items = data
        .findings
        .iter()
        .map(|view| {
            view! {
                <li>
                    <a href=format!("/findings#{}", view.finding.id)>{view.finding.rule.title()}</a>
                    ": "
                    {view.finding.detail.came.clone()}
                </li>
            }
        })
        .collect_view();
    Some(
        view! {
            <section class="card" aria-labelledby="findings">
                <h2 id="findings">"Open findings about its key"</h2>
                <ul>{items}</ul>
            </section>
        }
        .into_any(),
    )
}
