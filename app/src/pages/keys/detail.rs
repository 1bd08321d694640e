//! One key: who holds it, what may it do, is it used now, when does it end.

use domain::{
    Millis,
    keys::{KeyState, Proof},
};
use leptos::prelude::*;
use ops::keys::KeyView;

use crate::{
    api::{
        self,
        keys::{KeyPage, SHOWN, describe},
    },
    islands::waiting::Waiting,
    pages::{keys::secret::waiting_states, rotation::headline},
    ssr::{now_ms, param},
    ui::{
        button::{LinkButton, PostButton},
        keys::{KeyLink, age},
        latency::latency,
        oauth,
        page::{Head, Section, page},
        requests::RequestsTable,
        status::{Status, of_key},
        still::IntoAny,
        time::{Ago, Exact, relative},
        tolerated::ToleratedTable,
    },
    words,
};

/// The page of a key.
#[component]
pub fn Key() -> impl IntoView {
    page(Section::Keys, async {
        let data = api::keys::page(&param("id")).await?;
        let now = now_ms();
        let KeyPage { view, requests, .. } = &data;
        let key = &view.key;
        let path = format!("/keys/{}", key.id);
        let (shape, word) = of_key(view, now);
        let head = Head::new(key.name.clone())
            .crumb("/keys", "Keys")
            .lead(view! {
                <code>{words::ends_with(&key.last_four)}</code>
                " of "
                <a href=format!("/federations/{}", view.federation.slug)>{view.federation.name.clone()}</a>
            })
            .actions(view! {
                <LinkButton
                    href=format!("/federations/{}/blast?key={}", view.federation.slug, view.key.id)
                    label="Blast radius"
                    icon="search"
                />
                <LinkButton
                    href=format!("{path}/compromise")
                    label="Report compromise"
                    icon="shield-alert"
                    blocked=compromise_blocked(view)
                />
                {hold(view, &path)}
                <LinkButton href=format!("{path}/revoke") label="Revoke key" icon="ban" blocked=revoke_blocked(view) />
                <LinkButton
                    href=format!("{path}/rotate")
                    label="Rotate key"
                    icon="refresh-cw"
                    primary=true
                    blocked=rotate_blocked(view)
                />
            });
        let waits = key.life.first_work_ms.is_none() && view.state.opens();
        let waiting = waits.then(|| {
            let first = describe(view, requests, now);
            view! {
                <section class="card" aria-label="First work">
                    <Waiting key=key.id.to_string() first>
                        {waiting_states()}
                    </Waiting>
                    {(!key.proof.is_oauth())
                        .then(|| view! { <p class="muted small">{words::paste_guide(view.federation.vendor)}</p> })}
                </section>
            }
        });
        let body = view! {
            <section class="card" aria-label="This key in four answers">
                <Status shape word />
                <dl class="answers">
                    <div>
                        <dt>"Who holds it?"</dt>
                        <dd>{holder(view, now)}</dd>
                    </div>
                    <div>
                        <dt>"What may it do?"</dt>
                        <dd>{power(view)}</dd>
                    </div>
                    <div>
                        <dt>"Is it used now?"</dt>
                        <dd>{usage(view, now)}</dd>
                    </div>
                    <div>
                        <dt>"When does it end?"</dt>
                        <dd>{ending(view, now)}</dd>
                    </div>
                </dl>
            </section>
            {waiting}
            {client(&data)}
            {line(&data, now)}
            <section class="card flush" aria-labelledby="requests">
                <header>
                    <h2 id="requests">"Last requests"</h2>
                    <a href=format!("/audit?key={}", key.id)>"Audit log of this key"</a>
                </header>
                <RequestsTable requests=requests.iter().take(SHOWN).cloned().collect() now />
            </section>
            {latency(requests).map(|drawn| view! {
                <section class="card" aria-labelledby="latency">
                    <header>
                        <h2 id="latency">"Latency"</h2>
                    </header>
                    {drawn}
                </section>
            })}
            <section class="card flush" aria-labelledby="tolerated">
                <header>
                    <h2 id="tolerated">"What this provider sends"</h2>
                </header>
                <ToleratedTable tolerated=data.tolerated.clone() is_used=key.life.first_used_ms.is_some() now />
            </section>
        };
        Ok((head, body.into_any()))
    })
}

/// Hold it, or release it.
fn hold(view: &KeyView, path: &str) -> AnyView {
    let not_allowed = (!view.may_manage).then(|| words::NEEDS_OPERATOR.to_owned());
    if view.state == KeyState::Held {
        return view! {
            <PostButton action=format!("{path}/release") label="Release key" icon="play" blocked=not_allowed />
        }
        .into_any();
    }
    let blocked = if view.state.is_accepted() { not_allowed } else { Some("It has ended.".to_owned()) };
    view! { <LinkButton href=format!("{path}/hold") label="Hold key" icon="pause" blocked /> }.into_any()
}

fn compromise_blocked(view: &KeyView) -> Option<String> {
    (!view.may_manage).then(|| words::NEEDS_OPERATOR.to_owned())
}

fn revoke_blocked(view: &KeyView) -> Option<String> {
    if view.state.is_accepted() {
        (!view.may_manage).then(|| words::NEEDS_OPERATOR.to_owned())
    } else {
        Some("It has ended.".to_owned())
    }
}

fn rotate_blocked(view: &KeyView) -> Option<String> {
    match view.state {
        KeyState::Revoked | KeyState::Retired => Some("It has ended. Issue a new key.".to_owned()),
        _ if view.key.successor_id.is_some() => Some("It has a successor.".to_owned()),
        KeyState::Unused | KeyState::InUse | KeyState::Held | KeyState::Expired | KeyState::Retiring => {
            (!view.may_manage).then(|| words::NEEDS_OPERATOR.to_owned())
        }
    }
}

fn holder(view: &KeyView, now: Millis) -> impl IntoView + use<> {
    let key = &view.key;
    view! {
        <span>
            {format!("{}, for {}. Issued by {} ", view.federation.vendor.label(), view.federation.name, key.issued_by)}
            <Ago at=key.life.issued_ms now />
            "."
        </span>
        <span class="muted small">{format!("{}. {}", key.proof.label(), words::proof(key.proof))}</span>
        <span class="muted small">{format!("Owners: {}", view.federation.owners.join(", "))}</span>
    }
}

/// How an OAuth client asks for tokens, and by which keys it is known.
fn client(data: &KeyPage) -> Option<AnyView> {
    let (view, client) = (&data.view, data.client.as_ref()?);
    let key = &view.key;
    let change = (key.proof == Proof::Assertion).then(|| {
        let ended = (!view.state.is_accepted()).then(|| "It has ended.".to_owned());
        let blocked = ended.or_else(|| (!view.may_manage).then(|| words::NEEDS_OPERATOR.to_owned()));
        view! {
            <div class="actions">
                <LinkButton href=format!("/keys/{}/client", key.id) label="Change public keys" icon="pencil" blocked />
            </div>
        }
    });
    let keys = (key.proof == Proof::Assertion).then(|| oauth::public_keys(client));
    Some(
        view! {
            <section class="card" aria-labelledby="client">
                <h2 id="client">"OAuth client"</h2>
                <dl class="props">
                    {oauth::facts(key, client)} {keys} <dt>"Live tokens"</dt>
                    <dd>{words::number(client.live_tokens)}</dd>
                </dl>
                <details class="more">
                    <summary>"How to ask for a token"</summary>
                    {oauth::example(key, client)}
                </details>
                {change}
            </section>
        }
        .into_any(),
    )
}

fn power(view: &KeyView) -> impl IntoView + use<> {
    let key = &view.key;
    let narrow = (view.may_manage && view.state.is_accepted() && key.successor_id.is_none()).then(|| {
        let path = format!("/keys/{}", key.id);
        view! {
            <span class="small">
                <a href=format!("{path}/tighten")>"Tighten to what is used"</a>
                " · "
                <a href=format!("{path}/scope")>"Narrow by hand"</a>
            </span>
        }
    });
    let next = key.next_scope.as_ref().map(|next| super::scope::next(&key.scope, next));
    let cannot = words::phrases(&key.scope, false);
    let cannot = if cannot.is_empty() {
        "The full directory.".to_owned()
    } else {
        format!("It cannot {}.", cannot.join(", "))
    };
    let from = if key.scope.source_networks.is_empty() { "From anywhere." } else { "" };
    let why = key
        .justification
        .clone()
        .map(|text| view! { <span class="muted small">{format!("Why: {text}")}</span> });
    view! {
        {super::scope::phrases(&key.scope)}
        <span class="muted small">{format!("{cannot} {from}")}</span>
        {why}
        {narrow}
        {next}
    }
}

fn usage(view: &KeyView, now: Millis) -> impl IntoView + use<> {
    let key = &view.key;
    let Some(last) = key.life.last_used_ms else {
        return view! { <span>"Never used."</span> }.into_any();
    };
    let work = match (key.life.last_work_ms, key.life.tested_ms) {
        (Some(at), _) => view! {
            <span class="muted small">"Last real work " <Ago at now /> "."</span>
        }
        .into_any(),
        (None, Some(at)) => view! {
            <span class="muted small">"Tested " <Ago at now /> ", and no work was done with it yet."</span>
        }
        .into_any(),
        (None, None) => view! { <span class="muted small">"No work was done with it yet."</span> }.into_any(),
    };
    let from = key.last_used_source.clone().map(|source| format!(" from {source}")).unwrap_or_default();
    let first = key.life.first_used_ms.map(|at| {
        view! {
            <span class="muted small">
                {format!("{} accepted since ", words::count(key.uses, "request"))} <Exact at=at />
            </span>
        }
    });
    view! {
        <span>
            "Last used " <Ago at=last now /> {from} "."
        </span>
        {work}
        {first}
    }
    .into_any()
}

fn ending(view: &KeyView, now: Millis) -> impl IntoView + use<> {
    let life = &view.key.life;
    let at = life.planned_end_ms();
    let verb = match (life.ends_ms() == Millis::MAX, at > now) {
        (true, true) => "Its overlap should be over by ",
        (true, false) => "Its overlap should have been over by ",
        (false, true) => "Ends ",
        (false, false) => "Ended ",
    };
    let by = match view.state {
        KeyState::Revoked => {
            format!("Revoked by {}.", view.key.revoked_by.as_deref().unwrap_or("somebody"))
        }
        KeyState::Retiring => "It works until its successor has taken over; no clock ends it.".to_owned(),
        KeyState::Held => format!(
            "Held by {}: {}. It gets 503 and is asked to come back.",
            view.key.held_by.as_deref().unwrap_or("somebody"),
            view.key.held_reason.as_deref().unwrap_or("no reason was kept").trim_end_matches('.')
        ),
        KeyState::Retired => "Its successor took over.".to_owned(),
        KeyState::Expired => "Its time was over.".to_owned(),
        KeyState::Unused | KeyState::InUse => format!("Age {}.", age(view, now)),
    };
    view! {
        <span>{verb} <Exact at=at /> {format!(", {}.", relative(at, now))}</span>
        <span class="muted small">{by}</span>
    }
}

/// The keys before and after it.
fn line(data: &KeyPage, now: Millis) -> Option<AnyView> {
    let part = |label: &'static str, view: &KeyView| {
        let (shape, word) = of_key(view, now);
        view! {
            <dt>{label}</dt>
            <dd>
                <KeyLink key=&view.key />
                " "
                <Status shape word />
            </dd>
        }
    };
    if data.predecessor.is_none() && data.successor.is_none() {
        return None;
    }
    let before = data.predecessor.as_ref().map(|view| part("It replaces", view));
    let after = data.successor.as_ref().map(|view| part("Replaced by", view));
    let rotation = data.rotation.as_ref().map(|view| {
        let (shape, word) = headline(view);
        view! {
            <dt>"How it stands"</dt>
            <dd>
                <Status shape word=word.trim_end_matches('.').to_owned() />
                " "
                <a href=format!("/rotation/{}", view.rotation.id)>"Open rotation"</a>
            </dd>
        }
    });
    Some(
        view! {
            <section class="card" aria-labelledby="line">
                <h2 id="line">"Rotation"</h2>
                <dl class="props">{rotation} {before} {after}</dl>
            </section>
        }
        .into_any(),
    )
}
