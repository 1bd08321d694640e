//! What was signed, the last first.

use leptos::prelude::*;
use ops::compliance::attestations::{Brief, PAGE};

use crate::{
    api,
    ssr::query,
    ui::{
        button::LinkButton,
        callout::Empty,
        page::{Head, Section, page},
        still::IntoAny,
        time::Exact,
    },
};

/// The list.
#[component]
pub fn Attestations() -> impl IntoView {
    page(Section::Compliance, async {
        let before = query("before");
        let list = api::compliance::attestations(before.as_deref()).await?;
        let head = Head::new("Attestations")
            .crumb("/compliance", "Compliance")
            .lead("What somebody signed about the state of a period. It is frozen, and its digest is in the audit log.")
            .actions(view! { <LinkButton href="/compliance/attestations/new" label="Sign a period" primary=true /> });
        let is_full = i64::try_from(list.len()).is_ok_and(|count| count >= PAGE);
        let older = list.last().filter(|_| is_full).map(|last| {
            view! {
                <div class="pad">
                    <LinkButton
                        href=format!("/compliance/attestations?before={}", last.id)
                        label="Older attestations"
                        small=true
                    />
                </div>
            }
        });
        let content = if list.is_empty() {
            view! {
                <Empty
                    title="Nothing was signed yet"
                    text="An attestation says how every federation stood against its policy when a manager signed for a month or a quarter. It can be compared with the one before."
                >
                    <LinkButton href="/compliance/attestations/new" label="Sign the first period" />
                </Empty>
            }
            .into_any()
        } else {
            table(&list)
        };
        let body = view! {
            <section class="card flush" aria-label="Attestations">
                {content} {older}
            </section>
        };
        Ok((head, body.into_any()))
    })
}

fn table(list: &[Brief]) -> AnyView {
    let rows = list
        .iter()
        .map(|one| {
            let hash = one.hash.get(..12).unwrap_or_default().to_owned();
            view! {
                <tr>
                    <th scope="row">
                        <a href=format!("/compliance/attestations/{}", one.id)>{one.label.clone()}</a>
                    </th>
                    <td data-l="Verdict">{one.counted.verdict()}</td>
                    <td data-l="Signed by">
                        <span class="break">{one.signed_by.clone()}</span>
                    </td>
                    <td data-l="Signed">
                        <Exact at=one.signed_ms />
                    </td>
                    <td data-l="SHA-256">
                        <code title=one.hash.clone()>{hash} "…"</code>
                    </td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="tw" tabindex="0" role="region" aria-label="Table of attestations">
            <table class="t cards">
                <caption class="sr">"Attestations, the last first"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Period"</th>
                        <th scope="col">"Verdict"</th>
                        <th scope="col">"Signed by"</th>
                        <th scope="col">"Signed"</th>
                        <th scope="col">"SHA-256"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}
