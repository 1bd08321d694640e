//! Keys: the list, one of them, and the forms that issue, rotate and revoke.

mod client;
mod detail;
mod hold;
mod issue;
mod revoke;
mod rotate;
pub(crate) mod scope;
pub(crate) mod secret;
mod tighten;

use domain::keys::Proof;
use leptos::prelude::*;
use ops::federations::FederationView;

pub use self::{
    client::ChangeClient, detail::Key, hold::HoldKey, issue::IssueKey, revoke::RevokeKey, rotate::RotateKey,
    scope::NarrowKey, tighten::TightenKey,
};
use crate::{
    api,
    ssr::{issuing_blocked, now_ms, query},
    ui::{
        button::LinkButton,
        callout::Empty,
        keys::KeysTable,
        page::{Head, Section, page},
        still::IntoAny,
    },
    words,
};

/// Every key, what needs attention first. The filter is the address.
#[component]
pub fn Keys() -> impl IntoView {
    page(Section::Keys, async {
        let (federation, text) = (query("federation"), query("q"));
        let accepted_only = query("state").as_deref() == Some("accepted");
        let proof = query("proof").and_then(|word| Proof::parse(&word));
        let data = api::keys::list(federation.as_deref(), text.clone(), accepted_only, proof).await?;
        let is_filtered = federation.is_some() || text.is_some() || accepted_only || proof.is_some();
        let head = Head::new("Keys")
            .lead("A key lets one identity provider write to one federation. Only a keyed hash of it is kept, so it cannot be shown again.")
            .actions(view! { <LinkButton href="/keys/new" label="Issue key" icon="plus" primary=true blocked=issuing_blocked() /> });
        let count = words::count(i64::try_from(data.keys.len()).unwrap_or(i64::MAX), "key");
        let list = match (data.keys.is_empty(), is_filtered) {
            (false, _) => view! {
                <KeysTable caption="Keys, what needs attention first" keys=data.keys now=now_ms() with_federation=true />
            }
            .into_any(),
            (true, true) => view! {
                <Empty title="No key fits the filter" text="Widen the filter, or look at all keys.">
                    <LinkButton href="/keys" label="Show all keys" />
                </Empty>
            }
            .into_any(),
            (true, false) => view! {
                <Empty
                    title="No keys yet"
                    text="A key is issued for one federation, with a scope and an end. It is shown once, to be pasted into the provider."
                >
                    {issuing_blocked().is_none().then(|| view! { <LinkButton href="/keys/new" label="Issue the first key" /> })}
                </Empty>
            }
            .into_any(),
        };
        let body = view! {
            <section class="card flush" aria-label="Keys">
                {filter(&data.federations, federation.as_deref(), text, accepted_only, proof, count)} {list}
            </section>
        };
        Ok((head, body.into_any()))
    })
}

fn filter(
    federations: &[FederationView],
    chosen: Option<&str>,
    text: Option<String>,
    accepted_only: bool,
    chosen_proof: Option<Proof>,
    count: String,
) -> impl IntoView + use<> {
    let federations = federations
        .iter()
        .map(|view| {
            let slug = view.federation.slug.to_string();
            let selected = chosen == Some(slug.as_str());
            view! {
                <option value=slug selected=selected>
                    {view.federation.name.clone()}
                </option>
            }
        })
        .collect_view();
    let proofs = Proof::ALL
        .into_iter()
        .map(|proof| {
            view! {
                <option value=proof.as_str() selected=chosen_proof == Some(proof)>
                    {proof.label()}
                </option>
            }
        })
        .collect_view();
    view! {
        <form class="toolbar" method="get" action="/keys" role="search" aria-label="Filter keys">
            <div class="field grow">
                <label for="q">"Search"</label>
                <input id="q" type="search" name="q" value=text placeholder="Name, last four, issuer" />
            </div>
            <div class="field">
                <label for="federation">"Federation"</label>
                <select id="federation" name="federation">
                    <option value="">"All"</option>
                    {federations}
                </select>
            </div>
            <div class="field">
                <label for="state">"State"</label>
                <select id="state" name="state">
                    <option value="">"Any"</option>
                    <option value="accepted" selected=accepted_only>
                        "Accepted now"
                    </option>
                </select>
            </div>
            <div class="field">
                <label for="proof">"Proof"</label>
                <select id="proof" name="proof">
                    <option value="">"Any"</option>
                    {proofs}
                </select>
            </div>
            <button class="btn">"Apply filter"</button>
            <span class="muted small end">{count}</span>
        </form>
    }
}
