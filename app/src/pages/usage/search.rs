//! The search: filter, chart by the hour, table.

use leptos::prelude::*;

use super::{
    address, blast_radius, decision_options, federation_options, field, method_options, pair, select,
};
use crate::{
    api::{self, usage::UsagePage},
    ssr::{now_ms, query},
    ui::{
        button::LinkButton,
        callout::{Callout, Empty},
        chart::RequestsChart,
        page::{Head, Section, page},
        requests::RequestsTable,
        status::Shape,
        still::IntoAny,
    },
};

/// What keys did, newest first. The filter is the address.
#[component]
pub fn Usage() -> impl IntoView {
    page(Section::Usage, async {
        let cursor = query("cursor");
        let data = api::usage::list(cursor.as_deref()).await?;
        let filter = &data.filter;
        let head = Head::new("Usage")
            .lead("Every request that presented a key: what it asked for, what was decided, and why.")
            .actions(view! {
                {blast_radius(filter, &data.page.records, &data.known)
                    .map(|href| view! { <LinkButton href label="Blast radius" icon="search" /> })}
                <LinkButton href=address("/usage/live", filter, &[]) label="Watch live" />
            });
        let fault = data.fault.as_ref().map(|fault| {
            view! {
                <Callout shape=Shape::Look verdict=format!("{}: {}", fault.field, fault.message)>
                    <p>"This part of the filter was left out."</p>
                </Callout>
            }
        });
        let body = view! {
            {fault}
            <section class="card" aria-labelledby="by-hour">
                <h2 id="by-hour">"Requests by hour"</h2>
                <RequestsChart hours=data.hours.clone() />
            </section>
            <section class="card flush" aria-label="Requests">
                {form(&data)} {list(&data)} {more(&data, cursor.is_some())} {exports(&data)}
            </section>
        };
        Ok((head, body.into_any()))
    })
}

fn list(data: &UsagePage) -> AnyView {
    if data.page.records.is_empty() && !data.filter.parameters().is_empty() {
        let text = if data.page.is_cut {
            "None among those that were looked at so far. Go on to older ones, or narrow the time."
        } else {
            "Widen the filter, or look at all requests."
        };
        return view! {
            <Empty title="No request fits the filter" text=text>
                <LinkButton href="/usage" label="Show all requests" />
            </Empty>
        }
        .into_any();
    }
    view! { <RequestsTable requests=data.page.records.clone() now=now_ms() known=data.known.clone() /> }
        .into_any()
}

fn more(data: &UsagePage, is_older: bool) -> impl IntoView + use<> {
    let older = data.page.next.as_ref().map(|next| {
        let href = address("/usage", &data.filter, &[("cursor", next)]);
        let label = if data.page.is_cut { "Search older requests" } else { "Older requests" };
        view! { <LinkButton href label small=true /> }
    });
    let newest = is_older.then(|| {
        view! { <LinkButton href=address("/usage", &data.filter, &[]) label="Newest requests" small=true /> }
    });
    let cut = data.page.is_cut.then(|| {
        view! {
            <p class="small muted">
                "The search stopped here: it had looked at as much as one page may. Older requests may fit as well."
            </p>
        }
    });
    (older.is_some() || newest.is_some()).then(|| {
        view! {
            <div class="pad">
                {cut} <div class="actions">{newest} {older}</div>
            </div>
        }
    })
}

fn exports(data: &UsagePage) -> impl IntoView + use<> {
    let link = |format: &'static str, label: &'static str| {
        let href = address("/exports/usage", &data.filter, &[("format", format)]);
        view! {
            <a class="btn sm ghost" href=href rel="external" download="">
                {label}
            </a>
        }
    };
    view! {
        <div class="pad actions">
            {link("csv", "Export CSV")} {link("jsonl", "Export JSON Lines")} {link("ocsf", "Export OCSF")}
        </div>
    }
}

fn form(data: &UsagePage) -> impl IntoView + use<> {
    let text = |name: &str| query(name);
    let statuses = ["2xx", "3xx", "4xx", "5xx"].map(|class| pair(class, class)).to_vec();
    let work = vec![pair("yes", "Real work"), pair("no", "Tests and failures")];
    let types = ["Users", "Groups"].map(|name| pair(name, name)).to_vec();
    let status = text("status");
    let mut statuses = statuses;
    if let Some(status) = &status
        && !statuses.iter().any(|(value, _)| value == status)
    {
        statuses.push(pair(status, status));
    }
    let is_narrow = ["key", "type", "resource", "person", "source", "agent", "attribute", "request", "work"]
        .iter()
        .any(|name| query(name).is_some());
    let date = |name: &'static str, label: &'static str| {
        view! {
            <div class="field">
                <label for=name>{label}</label>
                <input id=name name=name type="date" value=query(name) />
            </div>
        }
    };
    view! {
        <form class="toolbar" method="get" action="/usage" role="search" aria-label="Filter requests">
            {select("federation", "Federation", federation_options(&data.known), text("federation"))}
            {select("decision", "Decision", decision_options(), text("decision"))}
            {select("status", "Status", statuses, status)} {select("method", "Method", method_options(), text("method"))}
            {date("from", "From")} {date("to", "To")}
            <details class="more" open=is_narrow>
                <summary>"More filters"</summary>
                <div class="toolbar">
                    {select("type", "Type", types, text("type"))} {select("work", "Work", work, text("work"))}
                    {field("key", "Key id", text("key"), "key_…")}
                    {field("resource", "Resource id", text("resource"), "")}
                    {field("person", "User name", text("person"), "of the federation")}
                    {field("source", "Source network", text("source"), "192.0.2.0/24")}
                    {field("agent", "User agent has", text("agent"), "")}
                    {field("attribute", "Attribute written", text("attribute"), "emails")}
                    {field("request", "Request id", text("request"), "req_…")}
                </div>
                <p class="small muted">"A search for a resource or a user is recorded in the audit log."</p>
            </details>
            <button class="btn">"Apply filter"</button>
            <a class="btn ghost" href="/usage">
                "Clear filter"
            </a>
        </form>
    }
}
