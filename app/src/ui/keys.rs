//! Keys as people recognise them, and the table of them.

use domain::{DAY_MS, Millis, keys::Key};
use leptos::prelude::*;
use ops::keys::KeyView;

use crate::{
    ui::{
        status::{self, Status},
        still::IntoAny,
        time::Ago,
    },
    words,
};

/// Name and last four of a key, with a link to its page.
#[component]
pub fn KeyLink<'a>(
    /// The key.
    key: &'a Key,
) -> impl IntoView + use<> {
    let href = format!("/keys/{}", key.id);
    view! {
        <a href=href>{key.name.clone()}</a>
        " "
        <code class="muted small">{words::ends_with(&key.last_four)}</code>
    }
}

/// What a key may do, short.
#[component]
pub fn ScopeTags<'a>(
    /// The key.
    key: &'a Key,
) -> impl IntoView + use<> {
    let tags = key
        .scope
        .grants
        .iter()
        .filter(|grant| !grant.verbs.is_empty())
        .map(|grant| view! { <span class="tag">{words::tag(grant)}</span> })
        .collect_view();
    view! { <span class="tags">{tags}</span> }
}

/// When a key ends, or that it has. An overlap has no end of its own: only a time by which it should
/// be over.
pub fn end(view: &KeyView, now_ms: Millis) -> AnyView {
    let life = &view.key.life;
    let ends_ms = life.planned_end_ms();
    let word = match (life.ends_ms() == Millis::MAX, ends_ms > now_ms) {
        (true, true) => "should be over ",
        (true, false) => "should have been over ",
        (false, true) => "",
        (false, false) => "ended ",
    };
    view! {
        {word}
        <Ago at=ends_ms now=now_ms />
    }
    .into_any()
}

/// Keys in a table; cards on a phone.
#[component]
pub fn KeysTable(
    /// What it holds, for those who do not see it.
    #[prop(into)]
    caption: String,
    /// In the order shown.
    keys: Vec<KeyView>,
    /// The time of the page.
    now: Millis,
    /// Say the federation under the name.
    #[prop(optional)]
    with_federation: bool,
) -> impl IntoView {
    let label = caption.clone();
    let rows = keys.iter().map(|view| row(view, now, with_federation)).collect_view();
    view! {
        <div class="tw" tabindex="0" role="region" aria-label=label>
            <table class="t cards">
                <caption class="sr">{caption}</caption>
                <thead>
                    <tr>
                        <th scope="col">"Key"</th>
                        <th scope="col" aria-sort="other">
                            "Status"
                        </th>
                        <th scope="col">"Proof"</th>
                        <th scope="col">"May do"</th>
                        <th scope="col">"Last used"</th>
                        <th scope="col">"Ends"</th>
                        <th scope="col" class="num">
                            "Age"
                        </th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
}

fn row(view: &KeyView, now: Millis, with_federation: bool) -> impl IntoView + use<> {
    let (shape, word) = status::of_key(view, now);
    let key = &view.key;
    let federation = with_federation.then(|| {
        view! { <span class="sub">{view.federation.name.clone()}</span> }
    });
    let last_used = key.life.last_used_ms.map(|at| view! { <Ago at now /> });
    let never = key.life.last_used_ms.is_none().then_some("Never");
    view! {
        <tr>
            <th scope="row">
                <KeyLink key />
                {federation}
            </th>
            <td class="s" data-l="Status">
                <Status shape word />
            </td>
            <td data-l="Proof">{key.proof.label()}</td>
            <td data-l="May do">
                <ScopeTags key />
            </td>
            <td data-l="Last used">{last_used} {never}</td>
            <td data-l="Ends">
                <span>{end(view, now)}</span>
            </td>
            <td data-l="Age" class="num">
                {age(view, now)}
            </td>
        </tr>
    }
}

/// `3 of 90 days`; nothing to say once a key has ended.
pub fn age(view: &KeyView, now_ms: Millis) -> String {
    if view.state.is_accepted() {
        let days = (now_ms - view.key.life.issued_ms) / DAY_MS;
        format!("{days} of {} days", view.federation.policy.max_age_days)
    } else {
        "Ended".to_owned()
    }
}
