//! What a brake holds in a case, with its before-image, and the decision.

use domain::{
    Millis,
    admins::RECENT_MS,
    brakes::{HeldOperation, HeldState, short_hash},
    scopes::Verb,
};
use leptos::prelude::*;
use ops::{brakes::BrakeCase, cases::CaseView};
use serde_json::Value;

use crate::{
    api,
    ssr::{is_proven_recently, now_ms, param, query},
    ui::{
        button::LinkButton,
        callout::{Callout, Empty},
        form::{Form, field},
        page::{Head, Section, page},
        status::{Shape, Status},
        still::IntoAny,
        time::{Ago, exact, relative},
    },
    words,
};

/// The list, page by page.
#[component]
pub fn HeldOperations() -> impl IntoView {
    page(Section::Cases, async {
        let after = query("after").and_then(|text| text.parse().ok()).unwrap_or(0);
        let (view, brake) = api::brakes::held(&param("id"), after).await?;
        let now = now_ms();
        let path = format!("/cases/{}", view.case.id);
        let head = Head::new("Held operations")
            .crumb("/cases", "Cases")
            .crumb(path.clone(), view.case.title.clone())
            .lead(format!(
                "{} ({}) holds them. Nothing of them was done; the provider is told 429 and comes back.",
                brake.brake.title(),
                brake.brake.code()
            ));
        let list = if brake.operations.is_empty() {
            view! { <Empty title="Nothing more" text="The list ends before this." /> }.into_any()
        } else {
            let rows = brake.operations.iter().map(|held| operation(&brake, held, now)).collect_view();
            view! { <ul class="findings">{rows}</ul> }.into_any()
        };
        let next = brake.next.map(|after| {
            view! {
                <div class="actions in-card">
                    <LinkButton href=format!("{path}/held?after={after}") label="Show the next" />
                </div>
            }
        });
        let body = view! {
            {verdict(&brake, now)} {decision(&view, &brake)}
            <section class="card flush" aria-labelledby="held">
                <header>
                    <h2 id="held">"Operations"</h2>
                    <span class="muted">{counts(&brake)}</span>
                </header>
                {list}
                {next}
            </section>
        };
        Ok((head, body.into_any()))
    })
}

/// `3 held, 2 done after approval`.
pub fn counts(brake: &BrakeCase) -> String {
    let words: Vec<String> = brake
        .counts
        .iter()
        .map(|(state, count)| format!("{} {}", words::number(*count), state.label().to_lowercase()))
        .collect();
    words.join(", ")
}

fn verdict(brake: &BrakeCase, now: Millis) -> AnyView {
    match brake.expires_ms {
        None => {
            let text = counts(brake);
            view! {
                <Callout shape=Shape::Good verdict="Nothing waits for a decision.">
                    <p>{text}</p>
                </Callout>
            }
            .into_any()
        }
        Some(at) => {
            let verdict = format!("{} for a decision.", wait(brake.pending));
            let text =
                format!("Without one they are rejected, the first {} ({}).", relative(at, now), exact(at));
            view! {
                <Callout shape=Shape::Held verdict>
                    <p>{text}</p>
                </Callout>
            }
            .into_any()
        }
    }
}

fn wait(count: i64) -> String {
    format!("{} {}", words::count(count, "operation"), if count == 1 { "waits" } else { "wait" })
}

/// The form: exactly this list, once.
fn decision(view: &CaseView, brake: &BrakeCase) -> Option<AnyView> {
    if brake.pending == 0 {
        return None;
    }
    if !brake.may_reject {
        let reason = brake.blocked.clone().map(|reason| words::sentence(&reason));
        return Some(view! { <p class="muted">{reason}</p> }.into_any());
    }
    let form = Form::with_field("verdict");
    // Somebody else may have sat down at this browser since.
    let again = (brake.blocked.is_none() && !is_proven_recently()).then(|| {
        let href =
            format!("/auth/start?again=1&next={}", words::encode(&format!("/cases/{}/held", view.case.id)));
        view! {
            <div class="actions">
                <span class="why">
                    {format!("Approving needs a sign-in of the last {} minutes.", RECENT_MS / 60_000)}
                </span>
                <a class="btn" href=href rel="external">
                    "Sign in again"
                </a>
            </div>
        }
    });
    let what = format!(
        "Approving lets what is on this list ({}) pass, each once, when the provider sends it again within 24 hours, and does not count it against the brake. What is held after the list was read is not covered. Rejecting refuses them for as long as the provider sends them.",
        words::count(brake.pending, "operation")
    );
    let approve = match &brake.blocked {
        None => view! {
            <button class="btn primary" name="verdict" value="approve">
                {format!("Approve {}", words::count(brake.pending, "operation"))}
            </button>
        }
        .into_any(),
        Some(reason) => view! {
            <button class="btn primary" type="button" aria-disabled="true" aria-describedby="why-approve">
                {format!("Approve {}", words::count(brake.pending, "operation"))}
            </button>
            <span class="why" id="why-approve">
                {words::sentence(reason)}
            </span>
        }
        .into_any(),
    };
    Some(
        view! {
            <section class="card" aria-labelledby="decision">
                <header>
                    <h2 id="decision">"Decide"</h2>
                    <span class="muted">"List " <code>{short_hash(&brake.hash).to_owned()}</code></span>
                </header>
                <p>{what}</p>
                <form class="form" method="post" action=format!("/cases/{}/held", view.case.id)>
                    {form.summary()} {again} <input type="hidden" name="until" value=brake.until.to_string() />
                    <input type="hidden" name="hash" value=brake.hash.clone() />
                    {form.input(field("reason", "Why").hint("Stays with the case and in the audit log."), "text")}
                    <div class="actions">
                        {approve} <button class="btn danger" name="verdict" value="reject">
                            "Reject them"
                        </button>
                    </div>
                </form>
            </section>
        }
        .into_any(),
    )
}

fn shape(state: HeldState) -> Shape {
    match state {
        HeldState::Held => Shape::Held,
        HeldState::Approved => Shape::Moving,
        HeldState::Rejected | HeldState::Expired => Shape::Broken,
        HeldState::Done => Shape::Good,
        HeldState::Lapsed | HeldState::Over => Shape::Ended,
    }
}

fn operation(brake: &BrakeCase, held: &HeldOperation, now: Millis) -> AnyView {
    let state = held.state_at(now);
    let verb = match held.verb {
        Verb::Create => "Create",
        Verb::Read => "Read",
        Verb::Update => "Change",
        Verb::Delete => "Delete",
    };
    let title = format!("{verb} {} {}", held.resource_type.to_lowercase(), held.name);
    let came = match held.count {
        1 => format!("Came once, {}.", relative(held.first_ms, now)),
        count => format!(
            "Came {} times, first {}, last {}.",
            words::number(count),
            relative(held.first_ms, now),
            relative(held.last_ms, now)
        ),
    };
    let from = held.source.clone().map(|source| {
        let agent = held.agent.as_ref().map(|agent| format!(", {agent}")).unwrap_or_default();
        view! {
            <dt>"From"</dt>
            <dd>
                <code>{source}</code>
                {agent}
            </dd>
        }
    });
    let decided = held.decided_ms.map(|at| {
        let by = held.decided_by.clone().unwrap_or_else(|| "Keyward".to_owned());
        view! {
            <dt>"Decided"</dt>
            <dd>
                {format!("{by}, ")} <Ago at now /> {format!(": {}", held.reason)}
            </dd>
        }
    });
    let allow = (state == HeldState::Held && brake.may_reject)
        .then(|| held.subject.lines().next().and_then(|line| line.split_once(' ')))
        .flatten()
        .map(|(kind, value)| {
            let (slug, asked) = (&brake.federation.slug, words::encode(value));
            let href = format!("/federations/{slug}/brakes/allow?kind={kind}&value={asked}");
            view! { <LinkButton href label=format!("Allow {value}") small=true /> }
        });
    view! {
        <li id=held.id.to_string()>
            <div class="finding-h">
                <Status shape=shape(state) word=state.label() />
                <h3>{title}</h3>
                <span class="muted small">{came}</span>
            </div>
            <dl class="props">
                <dt>"Held because"</dt>
                <dd>{words::sentence(&held.image.why)}</dd>
                {changes(held)} <dt>"Share"</dt>
                <dd>{share(held)}</dd>
                <dt>"Asked by"</dt>
                <dd>
                    <a href=format!("/keys/{}", held.key_id)>"the key"</a>
                    {format!(" in request {}", held.request_id)}
                </dd>
                {from} {decided}
            </dl>
            {before(held)} {after(held)} {allow}
        </li>
    }
    .into_any()
}

/// What would change: each attribute, now and then.
fn changes(held: &HeldOperation) -> AnyView {
    let image = &held.image;
    let after = image.after.as_object();
    let attributes = after
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "schemas")
        .map(|(name, value)| {
            let was = image.before.get(name).map_or_else(|| "nothing".to_owned(), short);
            let text = if held.verb == Verb::Create {
                short(value)
            } else {
                format!("{was} → {}", if value.is_null() { "nothing".to_owned() } else { short(value) })
            };
            view! {
                <dt>
                    <code>{name.clone()}</code>
                </dt>
                <dd>{text}</dd>
            }
        })
        .collect_view();
    let some = |ids: &[String], count: i64, word: &'static str| {
        (count > 0).then(|| {
            let shown = ids.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
            let more =
                if count > 10 { format!(" and {} more", words::number(count - 10)) } else { String::new() };
            view! {
                <dt>{word}</dt>
                <dd>
                    {words::count(count, "member")} ": " <code>{shown}</code> {more}
                </dd>
            }
        })
    };
    view! {
        {attributes} {some(&image.joining, image.joining_count, "Would join")}
        {some(&image.leaving, image.leaving_count, "Would leave")}
    }
    .into_any()
}

/// A value in one short line.
fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    if text.chars().count() <= 160 { text } else { text.chars().take(159).chain(['…']).collect() }
}

fn share(held: &HeldOperation) -> String {
    let image = &held.image;
    match (image.members, image.population) {
        (Some(members), _) if image.leaving_count > 0 => format!(
            "{} of {} members ({} %)",
            words::number(image.leaving_count),
            words::number(members),
            percent(image.leaving_count, members)
        ),
        (_, population) if population > 0 => format!(
            "number {} of {} active users ({} %)",
            words::number(image.counted + 1),
            words::number(population),
            percent(image.counted + 1, population)
        ),
        _ => "No data".to_owned(),
    }
}

fn percent(part: i64, whole: i64) -> String {
    if whole == 0 { "0".to_owned() } else { words::number((part * 100 + whole / 2) / whole) }
}

/// The resource as it is now.
fn before(held: &HeldOperation) -> Option<AnyView> {
    more("As it is now", &held.image.before)
}

/// All of what would be written: a line above has only the beginning of a long value.
fn after(held: &HeldOperation) -> Option<AnyView> {
    let image = &held.image;
    let mut parts = image.after.as_object().cloned().unwrap_or_default();
    let mut list = |name: &str, ids: &[String]| {
        if !ids.is_empty() {
            parts.insert(name.to_owned(), ids.into());
        }
    };
    list("(would join)", &image.joining);
    list("(would leave)", &image.leaving);
    let summary =
        if image.joining_count > count(&image.joining) || image.leaving_count > count(&image.leaving) {
            "As it would become, with the first members that are moved"
        } else {
            "As it would become"
        };
    if parts.is_empty() { None } else { more(summary, &Value::Object(parts)) }
}

fn count(ids: &[String]) -> i64 {
    i64::try_from(ids.len()).unwrap_or(i64::MAX)
}

fn more(summary: &'static str, value: &Value) -> Option<AnyView> {
    if value.is_null() {
        return None;
    }
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    Some(
        view! {
            <details class="more">
                <summary>{summary}</summary>
                <pre class="code" tabindex="0">{text}</pre>
            </details>
        }
        .into_any(),
    )
}
