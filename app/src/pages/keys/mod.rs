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

use domain::{
    federations::Federation,
    keys::{KeyState, Proof},
};
use leptos::prelude::*;
use ops::keys::{AGES, KeyFilter, List, Sort};

pub use self::{
    client::ChangeClient, detail::Key, hold::HoldKey, issue::IssueKey, revoke::RevokeKey, rotate::RotateKey,
    scope::NarrowKey, tighten::TightenKey,
};
use crate::{
    api,
    ssr::{issuing_blocked, now_ms, query},
    ui::{
        bars::{Bar, BarList, Fill, Part},
        button::LinkButton,
        callout::Empty,
        keys::KeysTable,
        page::{Head, Section, page},
        still::IntoAny,
    },
    words,
};

/// Keys, what needs attention first, a page at a time. Filter, order and place are the address.
#[component]
pub fn Keys() -> impl IntoView {
    page(Section::Keys, async {
        let (data, filter, sort) = api::keys::list().await?;
        let is_filtered = address(&filter, Sort::default()) != "/keys";
        let head = Head::new("Keys")
            .lead("A key lets one identity provider write to one federation. Only a keyed hash of it is kept, so it cannot be shown again.")
            .actions(view! { <LinkButton href="/keys/new" label="Issue key" icon="plus" primary=true blocked=issuing_blocked() /> });
        let List { keys, next, total, ages } = data.page;
        let count = words::count(total, "key");
        let caption = format!("Keys: {}", sort.label());
        let list = match (keys.is_empty(), is_filtered || total > 0) {
            (false, _) => view! { <KeysTable caption keys now=now_ms() with_federation=true /> }.into_any(),
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
        let place = query("after").is_some();
        let body = view! {
            {(!place).then(|| ages_of(ages))}
            <section class="card flush" aria-label="Keys">
                {toolbar(&data.federations, &filter, sort, count)} {list}
                {pager(&address(&filter, sort), next.as_deref(), place)}
            </section>
        };
        Ok((head, body.into_any()))
    })
}

/// The address of a list.
fn address(filter: &KeyFilter, sort: Sort) -> String {
    let state = match filter.state {
        Some(state) => Some(state.as_str().to_owned()),
        None => filter.accepted_only.then(|| "accepted".to_owned()),
    };
    let fields = [
        ("federation", filter.federation.as_ref().map(ToString::to_string)),
        ("state", state),
        ("proof", filter.proof.map(|proof| proof.as_str().to_owned())),
        ("q", filter.text.clone()),
        ("sort", (sort != Sort::default()).then(|| sort.as_str().to_owned())),
    ];
    words::address("/keys", fields)
}

/// The way to the keys after these, and back to the first.
fn pager(list: &str, next: Option<&str>, is_later: bool) -> Option<AnyView> {
    let join = if list.contains('?') { '&' } else { '?' };
    let first = is_later.then(|| view! { <LinkButton href=list.to_owned() label="First page" /> });
    let next = next.map(|next| {
        view! { <LinkButton href=format!("{list}{join}after={next}") label="Next page" /> }
    });
    (first.is_some() || next.is_some()).then(|| {
        view! { <nav class="actions pad" aria-label="Pages of keys">{first} {next}</nav> }.into_any()
    })
}

/// How old the accepted keys of the list are.
fn ages_of(ages: [(i64, i64); AGES.len()]) -> Option<AnyView> {
    if ages.iter().all(|(inside, beyond)| inside + beyond == 0) {
        return None;
    }
    let bars = AGES
        .into_iter()
        .zip(AGES.into_iter().skip(1).map(Some).chain([None]))
        .zip(ages)
        .map(|((from, to), (inside, beyond))| Bar {
            label: match to {
                Some(to) => format!("{from} to {} days", to - 1),
                None => format!("{from} days and more"),
            },
            href: None,
            parts: vec![inside, beyond],
        })
        .collect();
    Some(
        view! {
            <section class="card" aria-labelledby="ages">
                <header>
                    <h2 id="ages">"Age of accepted keys"</h2>
                </header>
                <BarList
                    id="ages"
                    title="Accepted keys by age"
                    unit="key"
                    head="Age"
                    parts=vec![
                        Part { word: "inside their policy", fill: Fill::Good },
                        Part { word: "older than it allows", fill: Fill::Bad },
                    ]
                    bars
                />
            </section>
        }
        .into_any(),
    )
}

fn toolbar(
    federations: &[Federation],
    chosen: &KeyFilter,
    chosen_sort: Sort,
    count: String,
) -> impl IntoView + use<> {
    let option = |value: String, label: String, selected: bool| {
        view! {
            <option value=value selected=selected>
                {label}
            </option>
        }
    };
    let federations = federations
        .iter()
        .map(|federation| {
            let is_chosen = chosen.federation.as_ref() == Some(&federation.slug);
            option(federation.slug.to_string(), federation.name.clone(), is_chosen)
        })
        .collect_view();
    let states = KeyState::ALL
        .into_iter()
        .map(|state| option(state.as_str().to_owned(), state.label().to_owned(), chosen.state == Some(state)))
        .collect_view();
    let proofs = Proof::ALL
        .into_iter()
        .map(|proof| option(proof.as_str().to_owned(), proof.label().to_owned(), chosen.proof == Some(proof)))
        .collect_view();
    let sorts = Sort::ALL
        .into_iter()
        .map(|sort| option(sort.as_str().to_owned(), sort.label().to_owned(), chosen_sort == sort))
        .collect_view();
    view! {
        <form class="toolbar" method="get" action="/keys" role="search" aria-label="Filter keys">
            <div class="field grow">
                <label for="q">"Search"</label>
                <input id="q" type="search" name="q" value=chosen.text.clone() placeholder="Name, last four, issuer" />
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
                    {option("accepted".to_owned(), "Accepted now".to_owned(), chosen.accepted_only)}
                    {states}
                </select>
            </div>
            <div class="field">
                <label for="proof">"Proof"</label>
                <select id="proof" name="proof">
                    <option value="">"Any"</option>
                    {proofs}
                </select>
            </div>
            <div class="field">
                <label for="sort">"Order"</label>
                <select id="sort" name="sort">
                    {sorts}
                </select>
            </div>
            <button class="btn">"Apply filter"</button>
            <span class="muted small end">{count}</span>
        </form>
    }
}
