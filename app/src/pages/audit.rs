//! The audit timeline, and one record of it.

mod proof;

use domain::audit::{Action, ActorRef, Outcome};
use leptos::prelude::*;
use ops::audit::AuditFilter;

use crate::{
    api::{
        self,
        audit::{AuditPage, EntryPage, filter},
    },
    islands::older::Older,
    ssr::{now_ms, param, query},
    ui::{
        button::LinkButton,
        callout::Empty,
        page::{Head, Section, page},
        status::Status,
        still::IntoAny,
        time::Exact,
        timeline::{self, Known, days},
    },
    words,
};

/// Who did what, newest first, by day. The filter is the address.
#[component]
pub fn Audit() -> impl IntoView {
    page(Section::Audit, async {
        let filter = filter();
        let before = query("before").and_then(|text| text.parse().ok());
        let data = api::audit::list(&filter, before).await?;
        let head = Head::new("Audit log")
            .lead("Every change and every refused attempt, in a chain of hashes. Nothing is ever changed or removed.");
        let list = if data.records.is_empty() {
            view! {
                <Empty title="No record fits the filter" text="The log is never empty: its first record is the start of this installation.">
                    <LinkButton href="/audit" label="Show all records" />
                </Empty>
            }
            .into_any()
        } else {
            days(&data.records, &data.known, now_ms())
        };
        let older = data.next.map(|next| {
            view! {
                <Older>
                    <a class="btn sm" id="older" href=address(Some(next))>
                        "Older records"
                    </a>
                </Older>
            }
        });
        let newest =
            before.map(|_| view! { <LinkButton href=address(None) label="Newest records" small=true /> });
        let body = view! {
            {proof::standing(&data, now_ms())}
            <section class="card flush" aria-label="Timeline">
                {filter_form(&filter, &data)} {newest.map(|link| view! { <div class="pad">{link}</div> })} {list} {older}
            </section>
        };
        Ok((head, body.into_any()))
    })
}

const FILTERS: [&str; 7] = ["federation", "key", "actor", "action", "outcome", "from", "to"];

/// This page with the same filter, before another place.
fn address(before: Option<i64>) -> String {
    let mut pairs: Vec<(&str, String)> =
        FILTERS.into_iter().filter_map(|name| Some((name, query(name)?))).collect();
    if let Some(before) = before {
        pairs.push(("before", before.to_string()));
    }
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={}", words::encode(value))).collect();
    if pairs.is_empty() { "/audit".to_owned() } else { format!("/audit?{}", pairs.join("&")) }
}

fn choices(options: Vec<(String, String)>, chosen: Option<String>) -> impl IntoView {
    options
        .into_iter()
        .map(|(value, label)| {
            let selected = chosen.as_ref() == Some(&value);
            view! {
                <option value=value selected=selected>
                    {label}
                </option>
            }
        })
        .collect_view()
}

fn filter_form(filter: &AuditFilter, data: &AuditPage) -> impl IntoView + use<> {
    let federations = data.known.values().map(|one| (one.slug.to_string(), one.name.clone())).collect();
    let actors = actor_options(&data.actors, filter.actor.as_deref());
    let actions =
        Action::ALL.iter().map(|action| (action.as_str().to_owned(), action.as_str().to_owned())).collect();
    let outcomes = [Outcome::Done, Outcome::Refused]
        .map(|outcome| (outcome.as_str().to_owned(), timeline::outcome(outcome).1.to_owned()))
        .to_vec();
    let key = filter.key.as_ref().map(|key| {
        view! {
            <div class="field grow">
                <label for="key">"Key"</label>
                <input id="key" name="key" value=key.to_string() spellcheck="false" autocomplete="off" />
            </div>
        }
    });
    view! {
        <form class="toolbar" method="get" action="/audit" role="search" aria-label="Filter records">
            {select("federation", "Federation", federations, query("federation"))}
            {select("actor", "Who", actors, filter.actor.clone())}
            {select("action", "What", actions, query("action"))}
            {select("outcome", "Outcome", outcomes, query("outcome"))}
            <div class="field">
                <label for="from">"From"</label>
                <input id="from" name="from" type="date" value=query("from") />
            </div>
            <div class="field">
                <label for="to">"To"</label>
                <input id="to" name="to" type="date" value=query("to") />
            </div>
            {key}
            <button class="btn">"Apply filter"</button>
            <a class="btn ghost" href="/audit">
                "Clear filter"
            </a>
        </form>
    }
}

fn select(
    name: &'static str,
    label: &'static str,
    options: Vec<(String, String)>,
    chosen: Option<String>,
) -> impl IntoView {
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <select id=name name=name>
                <option value="">"All"</option>
                {choices(options, chosen)}
            </select>
        </div>
    }
}

/// The people of the log, and the one of the address when it is none of them.
fn actor_options(actors: &[ActorRef], chosen: Option<&str>) -> Vec<(String, String)> {
    let mut options: Vec<(String, String)> =
        actors.iter().map(|actor| (actor.id.clone(), actor.name.clone())).collect();
    if let Some(id) = chosen
        && !options.iter().any(|(known, _)| known == id)
    {
        options.push((id.to_owned(), id.to_owned()));
    }
    options
}

/// One record, whole.
#[component]
pub fn AuditEntry() -> impl IntoView {
    page(Section::Audit, async {
        let EntryPage { record, known, last, proof, fault } = api::audit::open(&param("seq")).await?;
        let event = &record.event;
        let head = Head::new(format!("Record {}", words::number(record.seq)))
            .crumb("/audit", "Audit log")
            .lead(format!(
                "{} {} {}",
                timeline::actor(&record),
                event.action.label(),
                event.target.clone().unwrap_or_default()
            ))
            .actions(neighbours(record.seq, last));
        let (shape, word) = timeline::outcome(event.outcome);
        let detail = pretty(&event.detail);
        let body = view! {
            <section class="card" aria-labelledby="record">
                <h2 id="record">"Record"</h2>
                <dl class="props">
                    <dt>"Time"</dt>
                    <dd>
                        <Exact at=event.at_ms />
                    </dd>
                    <dt>"Who"</dt>
                    <dd>
                        {timeline::actor(&record)} " "
                        <span class="muted">{format!("{} {}", event.actor.kind.as_str(), event.actor.id)}</span> " "
                        <a href=format!("/audit?actor={}", words::encode(&event.actor.id))>"All of theirs"</a>
                    </dd>
                    <dt>"What"</dt>
                    <dd>{event.action.label()} " " <code>{event.action.as_str()}</code></dd>
                    <dt>"Outcome"</dt>
                    <dd>
                        <Status shape word />
                        {event.reason.clone().map(|reason| format!(" {reason}"))}
                    </dd>
                    {place(&record, &known)}
                    <dt>"Source"</dt>
                    <dd>{event.source.clone().unwrap_or_else(|| "No data".to_owned())}</dd>
                    <dt>"Request"</dt>
                    <dd>
                        <code>{event.request_id.clone()}</code>
                    </dd>
                </dl>
            </section>
            <section class="card" aria-labelledby="detail">
                <h2 id="detail">"Detail"</h2>
                <pre class="code" tabindex="0" role="region" aria-label="Detail as JSON">
                    <code>{detail}</code>
                </pre>
            </section>
            {proof::of_record(record.seq, proof.as_ref(), fault.as_deref())}
            <section class="card" aria-labelledby="chain">
                <h2 id="chain">"Place in the chain"</h2>
                <dl class="props">
                    <dt>"Place"</dt>
                    <dd>{words::number(record.seq)}</dd>
                    <dt>"Hash"</dt>
                    <dd>
                        <code>{record.hash.clone()}</code>
                    </dd>
                    <dt>"Hash before"</dt>
                    <dd>
                        <code>{record.prev_hash.clone()}</code>
                    </dd>
                </dl>
            </section>
        };
        Ok((head, body.into_any()))
    })
}

/// Links along the chain, for those who may read all of it.
fn neighbours(seq: i64, last: Option<i64>) -> impl IntoView {
    let link = |seq: i64, label: &'static str| view! { <LinkButton href=format!("/audit/{seq}") label /> };
    let before = last.filter(|_| seq > 1).map(|_| link(seq - 1, "Record before"));
    let after = last.filter(|last| seq < *last).map(|_| link(seq + 1, "Record after"));
    view! {
        {before}
        {after}
    }
}

fn place(record: &domain::audit::AuditRecord, known: &Known) -> impl IntoView + use<> {
    let event = &record.event;
    let federation = event.federation_id.as_ref().map(|id| {
        let name = match known.get(id) {
            Some(one) => {
                view! { <a href=format!("/federations/{}", one.slug)>{one.name.clone()}</a> }.into_any()
            }
            None => view! { <code>{id.to_string()}</code> }.into_any(),
        };
        view! {
            <dt>"Federation"</dt>
            <dd>{name}</dd>
        }
    });
    let key = event.key_id.as_ref().map(|id| {
        view! {
            <dt>"Key"</dt>
            <dd>
                <a href=format!("/keys/{id}")>{id.to_string()}</a>
            </dd>
        }
    });
    view! {
        {federation}
        {key}
    }
}

/// JSON with line breaks; what is none is shown as it is.
fn pretty(detail: &str) -> String {
    serde_json::from_str::<serde_json::Value>(detail)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| detail.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_of_the_address_stays_to_choose() {
        assert_eq!(actor_options(&[], Some("x")), [("x".to_owned(), "x".to_owned())]);
        assert!(actor_options(&[], None).is_empty());
    }

    #[test]
    fn detail_that_is_no_json_is_shown_as_it_is() {
        assert_eq!(pretty("{\"a\":1}"), "{\n  \"a\": 1\n}");
        assert_eq!(pretty("not json"), "not json");
    }
}
