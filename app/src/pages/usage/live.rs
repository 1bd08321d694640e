//! The live stream: the last requests, and what comes.

use leptos::prelude::*;

use super::{address, blast_radius, decision_options, federation_options, method_options, select};
use crate::{
    api,
    islands::feed::Feed,
    ssr::{now_ms, query},
    ui::{
        button::LinkButton,
        page::{Head, Section, page},
        requests::RequestsTable,
        still::IntoAny,
    },
};

/// Requests as they come. Without script, the last ones, and a link that asks again.
#[component]
pub fn LiveUsagePage() -> impl IntoView {
    page(Section::Usage, async {
        let data = api::usage::live_page().await?;
        let here = address("/usage/live", &data.filter, &[]);
        let stream = address("/live/usage", &data.filter, &[]);
        let head = Head::new("Live usage")
            .crumb("/usage", "Usage")
            .lead("Requests appear within a second of their answer, from every node.")
            .actions(view! {
                {blast_radius(&data.filter, &data.records, &data.known)
                    .map(|href| view! { <LinkButton href label="Blast radius" icon="search" /> })}
                <LinkButton href=address("/usage", &data.filter, &[]) label="Search" />
            });
        let body = view! {
            <section class="card flush" aria-label="Live requests">
                <form class="toolbar" method="get" action="/usage/live" role="search" aria-label="Filter the stream">
                    {select("federation", "Federation", federation_options(&data.known), query("federation"))}
                    {select("decision", "Decision", decision_options(), query("decision"))}
                    {select("method", "Method", method_options(), query("method"))}
                    <button class="btn">"Apply filter"</button>
                    <a class="btn ghost" href="/usage/live">
                        "Clear filter"
                    </a>
                </form>
                <noscript>
                    <p class="pad">
                        <a href=here>"Refresh"</a>
                        " to see what came since: this browser runs no script."
                    </p>
                </noscript>
                <Feed stream position=data.position.clone()>
                    <div id="feed">
                        <RequestsTable requests=data.records.clone() now=now_ms() known=data.known.clone() />
                    </div>
                </Feed>
            </section>
        };
        Ok((head, body.into_any()))
    })
}
