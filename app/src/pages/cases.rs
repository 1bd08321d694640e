//! Cases: the list, and the page of one with its running clock.

use domain::{
    Millis,
    cases::{Case as DomainCase, CaseKind, CaseMoment, Moment, at, between},
    hand_offs::LinkState,
    keys::KeyState,
};
use leptos::prelude::*;
use ops::cases::CaseView;

use crate::{
    api,
    ssr::{now_ms, param},
    ui::{
        button::{LinkButton, PostButton},
        callout::{Callout, Empty},
        form::{Form, field},
        page::{Head, Section, page},
        status::{Shape, Status, drawing},
        still::IntoAny,
        time::{Ago, clock, exact, iso, span},
    },
    words,
};

/// Every case, open ones first.
#[component]
pub fn Cases() -> impl IntoView {
    page(Section::Cases, async {
        let cases = api::telling::cases().await?;
        let now = now_ms();
        let head = Head::new("Cases").lead(
            "A case is a key in wrong hands, from the first sign to the first good request with its successor, or what a brake holds until somebody decides. Report a key on its page.",
        );
        let list = if cases.is_empty() {
            view! {
                <Empty
                    title="No case yet"
                    text="Open a key and choose “Report compromise”: it is held, replaced, the new key is brought, and the clock of its case begins."
                >
                    <LinkButton href="/keys" label="Show keys" />
                </Empty>
            }
            .into_any()
        } else {
            let rows = cases.iter().map(|view| row(view, now)).collect_view();
            view! {
                <div class="tw" tabindex="0" role="region" aria-label="Table of cases">
                <table class="t cards">
                    <caption class="sr">"Cases, open ones first"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Case"</th>
                            <th scope="col">"State"</th>
                            <th scope="col">"Federation"</th>
                            <th scope="col">"Opened"</th>
                            <th scope="col">"Decision to first good request"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
                </div>
            }
            .into_any()
        };
        let open = cases.iter().filter(|view| view.case.closed_ms.is_none()).count();
        let open = i64::try_from(open).unwrap_or(i64::MAX);
        let body = view! {
            <section class="card flush" aria-label="Cases">
                <header>
                    <h2>{words::count(open, "open case")}</h2>
                </header>
                {list}
            </section>
        };
        Ok((head, body.into_any()))
    })
}

fn state(view: &CaseView) -> (Shape, &'static str) {
    if view.case.closed_ms.is_some() {
        return (Shape::Ended, "Closed");
    }
    if at(&view.moments, Moment::T8).is_some() {
        return (Shape::Good, "Answered");
    }
    match view.waits_for {
        Some(Moment::T3) => (Shape::Held, "Waits for approval"),
        Some(Moment::T4) => (Shape::Broken, "Key still opens"),
        Some(Moment::T11) | None => (Shape::Look, "Open"),
        Some(_) => (Shape::Moving, "Being replaced"),
    }
}

fn row(view: &CaseView, now: Millis) -> AnyView {
    let (shape, word) = state(view);
    let took = between(&view.moments, Moment::T3, Moment::T8).map_or_else(|| "Not yet".to_owned(), span);
    view! {
        <tr>
            <th scope="row" data-l="Case">
                <a href=format!("/cases/{}", view.case.id)>{view.case.title.clone()}</a>
            </th>
            <td class="s" data-l="State">
                <Status shape word />
            </td>
            <td data-l="Federation">{view.federation.name.clone()}</td>
            <td data-l="Opened">
                <Ago at=view.case.opened_ms now />
            </td>
            <td data-l="Decision to first good request">{took}</td>
        </tr>
    }
    .into_any()
}

/// One case.
#[component]
pub fn Case() -> impl IntoView {
    page(Section::Cases, async {
        let view = api::telling::case(&param("id")).await?;
        let now = now_ms();
        let lead = format!(
            "{} of {}. Opened by {} {}.",
            view.case.kind.label(),
            view.federation.name,
            view.case.opened_by,
            exact(view.case.opened_ms)
        );
        let head = Head::new(view.case.title.clone()).crumb("/cases", "Cases").lead(lead);
        let body = view! {
            {verdict(&view, now)}
            <div class="grid">
                <section class="w8 card" aria-labelledby="clock">
                    <header>
                        <h2 id="clock">"Clock"</h2>
                        {running(&view.case, now)}
                    </header>
                    {timeline(&view)}
                    {note_form(&view)}
                </section>
                <div class="w4 stack">
                    {figures(&view, now)} {keys(&view, now)}
                </div>
            </div>
            {closing(&view)}
        };
        Ok((head, body.into_any()))
    })
}

fn running(case: &DomainCase, now: Millis) -> AnyView {
    let (word, until) = match case.closed_ms {
        Some(at) => ("Took", at),
        None => ("Running for", now),
    };
    view! { <span class="muted">{format!("{word} {}", span(until - case.opened_ms))}</span> }.into_any()
}

/// What it waits for, in a sentence.
fn verdict(view: &CaseView, now: Millis) -> AnyView {
    let provider = words::provider(view.federation.vendor);
    let key = &view.key;
    let new = view.successor.as_ref();
    let callout = |shape: Shape, verdict: &str, text: String| {
        let verdict = verdict.to_owned();
        view! {
            <Callout shape verdict>
                <p>{text}</p>
            </Callout>
        }
        .into_any()
    };
    if view.case.kind == CaseKind::Brake && view.waits_for.is_some() {
        return brake(view);
    }
    match view.waits_for {
        None => callout(Shape::Ended, "Closed.", view.case.summary.clone()),
        Some(Moment::T4) => callout(
            Shape::Broken,
            "The key still opens.",
            format!(
                "{} is {}. Hold or revoke it first.",
                key.name,
                key.life.state(now).label().to_lowercase()
            ),
        ),
        Some(Moment::T5) => {
            callout(Shape::Moving, "Waiting for a successor.", "No new key was issued yet.".to_owned())
        }
        Some(Moment::T6) => {
            let person =
                view.hand_offs.iter().rev().find(|hand_off| hand_off.state(now) == LinkState::Waiting);
            let text = match person {
                Some(hand_off) => {
                    format!("{} has a hand-over link that nobody has opened yet.", hand_off.person)
                }
                None => "The new key is on its way to the provider.".to_owned(),
            };
            callout(Shape::Moving, "Waiting for the delivery.", text)
        }
        Some(Moment::T8) => callout(
            Shape::Moving,
            "Waiting for the first good request.",
            format!(
                "{provider} has {}. The case is answered when it has done real work with it.",
                new.map_or("the new key", |key| key.name.as_str())
            ),
        ),
        Some(_) if at(&view.moments, Moment::T8).is_some() => callout(
            Shape::Good,
            "Answered.",
            format!("{provider} works with the new key. Close the case with what was learned."),
        ),
        Some(_) => callout(
            Shape::Look,
            "Contained.",
            format!("{} opens nothing now. Close the case with what was learned.", key.name),
        ),
    }
}

/// What a brake holds, and where it is decided.
fn brake(view: &CaseView) -> AnyView {
    let (shape, verdict) = match view.waits_for {
        Some(Moment::T3) => (Shape::Held, "Waiting for a decision."),
        Some(_) | None => (Shape::Look, "Decided."),
    };
    let text = match view.waits_for {
        Some(Moment::T3) => {
            "A brake holds operations of the provider: nothing of them was done, and the rest of its traffic flows. Look at the list, then approve or reject it."
        }
        Some(_) | None => {
            "What comes next to the same brake joins this case. Close it with what was learned."
        }
    };
    let href = format!("/cases/{}/held", view.case.id);
    view! {
        <Callout shape verdict>
            <p>{text}</p>
            <div class="actions">
                <LinkButton href=href label="Show held operations" icon="pause" />
            </div>
        </Callout>
    }
    .into_any()
}

/// The marks in their order, and the time from each to the next.
fn timeline(view: &CaseView) -> AnyView {
    let moments = &view.moments;
    let items = moments
        .iter()
        .enumerate()
        .map(|(index, moment)| {
            let after = index
                .checked_sub(1)
                .and_then(|before| moments.get(before))
                .map(|before| moment.at_ms - before.at_ms)
                .filter(|gap| *gap > 0)
                .map(|gap| format!("after {}", span(gap)));
            mark(moment, after)
        })
        .collect_view();
    let waits = view.waits_for.filter(|_| view.case.closed_ms.is_none()).map(|waited| {
        view! {
            <li class="now">
                {drawing(Shape::Moving)} <div>
                    <h3>
                        <span class="sr">"Next: "</span>
                        {waited.label()}
                    </h3>
                    <p class="muted small">"Waited for"</p>
                </div>
            </li>
        }
    });
    view! { <ol class="steps">{items} {waits}</ol> }.into_any()
}

fn mark(moment: &CaseMoment, after: Option<String>) -> AnyView {
    let shape = if moment.moment.is_mark() { Shape::Good } else { Shape::Unknown };
    let class = if moment.moment.is_mark() { "done" } else { "" };
    let word = if moment.moment.is_mark() {
        format!("{} {}", moment.moment.as_str().to_uppercase(), moment.moment.label())
    } else {
        format!("Note by {}", moment.made_by)
    };
    view! {
        <li class=class>
            {drawing(shape)} <div>
                <h3>{word}</h3>
                <p>{moment.text.clone()}</p>
                <p class="muted small">
                    <time datetime=iso(moment.at_ms) title=exact(moment.at_ms)>
                        {exact(moment.at_ms)}
                    </time>
                    {after.map(|after| format!(", {after}"))}
                </p>
            </div>
        </li>
    }
    .into_any()
}

/// The times that an auditor asks for.
fn figures(view: &CaseView, now: Millis) -> AnyView {
    let figure = |name: &'static str, from: Moment, until: Moment| {
        let value = match (between(&view.moments, from, until), at(&view.moments, from)) {
            (Some(0), _) => "at once".to_owned(),
            (Some(length), _) => span(length),
            (None, Some(began)) if view.case.closed_ms.is_none() => format!("running, {}", span(now - began)),
            (None, _) => "No data".to_owned(),
        };
        view! {
            <dt>{name}</dt>
            <dd>{value}</dd>
        }
    };
    view! {
        <section class="card" aria-labelledby="figures">
            <h2 id="figures">"Times"</h2>
            <dl class="props">
                {figure("To contain", Moment::T3, Moment::T4)} {figure("To deliver", Moment::T3, Moment::T6)}
                {figure("To first good request", Moment::T3, Moment::T8)}
                {figure("Exposed", Moment::T0, Moment::T4)}
            </dl>
        </section>
    }
    .into_any()
}

/// Both keys, and what can be done about them.
fn keys(view: &CaseView, now: Millis) -> AnyView {
    let old = &view.key;
    let id = &view.case.id;
    let is_open = view.case.closed_ms.is_none();
    let may = is_open && view.may_act;
    let state = old.life.state(now);
    let hold = (may && state.opens() && !old.canary)
        .then(|| view! { <LinkButton href=format!("/keys/{}/hold", old.id) label="Hold key" icon="pause" small=true /> });
    let revoke = (may && state.is_accepted() && !old.canary).then(
        || view! { <PostButton action=format!("/cases/{id}/revoke") label="Revoke key now" danger=true /> },
    );
    let hand_over = view.successor.as_ref().filter(|new| may && new.life.first_work_ms.is_none()).map(|new| {
        view! { <LinkButton href=format!("/keys/{}/hand-over", new.id) label="Make a hand-over link" small=true /> }
    });
    let successor = view.successor.as_ref().map(|new| {
        let used = match new.life.first_work_ms {
            Some(at) => format!("works since {}", clock(at)),
            None if new.life.tested_ms.is_some() => "was tested, and has done no work yet".to_owned(),
            None => "was never used".to_owned(),
        };
        view! {
            <dt>"New key"</dt>
            <dd>
                <a href=format!("/keys/{}", new.id)>{new.name.clone()}</a>
                {format!(" {used}")}
            </dd>
        }
    });
    let rotation = view.case.rotation_id.as_ref().map(|id| {
        view! {
            <dt>"Rotation"</dt>
            <dd>
                <a href=format!("/rotation/{id}")>"Open"</a>
            </dd>
        }
    });
    let role = if view.case.kind == CaseKind::Brake { "Asked by" } else { "In wrong hands" };
    let blast = view! {
        <LinkButton
            href=format!("/federations/{}/blast?case={id}", view.federation.slug)
            label="What did the key do?"
            icon="search"
            small=true
        />
    };
    let held = (state == KeyState::Held)
        .then(|| view! { <p class="muted small">"Held: the provider gets 503 with Retry-After and comes back. Revoke it once the new key works, or when nobody can have it."</p> });
    view! {
        <section class="card" aria-labelledby="case-keys">
            <h2 id="case-keys">"Keys"</h2>
            <dl class="props">
                <dt>{role}</dt>
                <dd>
                    <a href=format!("/keys/{}", old.id)>{old.name.clone()}</a>
                    {format!(" {} is {}", words::ends_with(&old.last_four), state.label().to_lowercase())}
                </dd>
                {successor} {rotation} <dt>"Findings"</dt>
                <dd>
                    <a href=format!(
                        "/findings?federation={}",
                        view.federation.slug,
                    )>
                        {words::count(view.findings, "open finding")}
                    </a>
                </dd>
            </dl>
            {held}
            <div class="actions">{blast} {hold} {hand_over} {revoke}</div>
        </section>
    }
    .into_any()
}

fn note_form(view: &CaseView) -> Option<AnyView> {
    if view.case.closed_ms.is_some() || !view.may_act {
        return None;
    }
    let form = Form::with_field("note");
    Some(
        view! {
            <details class="more" open=form.summary().is_some()>
                <summary>"Add a note"</summary>
                <form class="form" method="post" action=format!("/cases/{}/note", view.case.id)>
                    {form.summary()}
                    {form.area(field("note", "What happened").hint("Stays with the case, with your name."), 3)}
                    <div class="actions">
                        <button class="btn">"Add note"</button>
                    </div>
                </form>
            </details>
        }
        .into_any(),
    )
}

fn closing(view: &CaseView) -> Option<AnyView> {
    if view.case.closed_ms.is_some() || !view.may_act {
        return None;
    }
    let form = Form::with_field("summary");
    Some(
        view! {
            <section class="card" aria-labelledby="closing">
                <h2 id="closing">"Close the case"</h2>
                <form class="form" method="post" action=format!("/cases/{}/close", view.case.id)>
                    {form.summary()}
                    <input type="hidden" name="version" value=view.case.version.to_string() />
                    {form
                        .area(
                            field("summary", "What happened and what was learned")
                                .hint("At least 10 characters. The owners are told."),
                            4,
                        )}
                    <div class="actions">
                        <button class="btn primary">"Close case"</button>
                    </div>
                </form>
            </section>
        }
        .into_any(),
    )
}
