//! The brakes of one federation.

use domain::{
    Millis,
    brakes::{Learned, LearnedKind, Mark, Window, WindowState},
};
use leptos::prelude::*;
use ops::brakes::{BrakesView, Spent};

use crate::{
    api,
    ssr::{now_ms, param},
    ui::{
        button::{LinkButton, PostButton},
        callout::{Callout, Empty},
        form::Form,
        page::{Head, Section, page},
        status::{Shape, Status},
        still::IntoAny,
        time::{Ago, exact},
    },
    words,
};

/// What is spent, what is held, what is planned, what is marked.
#[component]
pub fn Brakes() -> impl IntoView {
    page(Section::Federations, async {
        let view = api::brakes::overview(&param("slug")).await?;
        let now = now_ms();
        let path = format!("/federations/{}", view.federation.slug);
        let head = Head::new(format!("Brakes of {}", view.federation.name))
            .crumb("/federations", "Federations")
            .crumb(path.clone(), view.federation.name.clone())
            .lead("What is past a limit is held for approval: nothing of it is done, and the rest of the traffic flows.");
        let path = format!("{path}/brakes");
        let body = view! {
            {Form::current().summary()} {held(&view)} {open_window(&view, now)} {limits(&view)} {windows(&view, &path, now)}
            {marks(&view, &path, now)} {learned(&view, &path, now)}
        };
        Ok((head, body.into_any()))
    })
}

fn held(view: &BrakesView) -> Option<AnyView> {
    if view.cases.is_empty() {
        return None;
    }
    let links = view
        .cases
        .iter()
        .map(|case| {
            view! {
                <li>
                    <a href=format!("/cases/{}/held", case.id)>{case.title.clone()}</a>
                </li>
            }
        })
        .collect_view();
    let verdict = words::count(i64::try_from(view.cases.len()).unwrap_or(i64::MAX), "open case");
    Some(
        view! {
            <Callout shape=Shape::Held verdict>
                <ul>{links}</ul>
            </Callout>
        }
        .into_any(),
    )
}

fn open_window(view: &BrakesView, now: Millis) -> Option<AnyView> {
    let window = view.windows.iter().find(|window| window.state(now) == WindowState::Open)?;
    let text = format!(
        "Until {} the limits are raised to {} ({} used): {}.",
        exact(window.ends_ms),
        words::count(window.ceiling, "operation"),
        words::number(window.used),
        window.reason
    );
    Some(
        view! {
            <Callout shape=Shape::Look verdict="A maintenance window is open.">
                <p>{text}</p>
            </Callout>
        }
        .into_any(),
    )
}

fn limits(view: &BrakesView) -> AnyView {
    let row = |code: &'static str, what: String, span: &'static str, spent: Spent| {
        let shape = if spent.counted >= spent.limit { Shape::Held } else { Shape::Good };
        let word = if spent.counted >= spent.limit { "At its limit" } else { "Free" };
        view! {
            <tr>
                <th scope="row" data-l="Brake">
                    {code}
                </th>
                <td data-l="What">{what}</td>
                <td data-l="In">{span}</td>
                <td class="num" data-l="Counted">
                    {words::number(spent.counted)}
                </td>
                <td class="num" data-l="Limit">
                    {words::number(spent.limit)}
                </td>
                <td class="s" data-l="State">
                    <Status shape word />
                </td>
            </tr>
        }
    };
    let removals = || "Users deactivated, deleted, or taken from privileged groups".to_owned();
    let rewrites = "Users with another name, mail address or externalId".to_owned();
    let (least, share) = view.emptying;
    let population = match view.active {
        Some(active) => format!("{}, counted at most once an hour.", words::count(active, "active user")),
        None => "Nothing was counted yet.".to_owned(),
    };
    view! {
        <section class="card flush" aria-labelledby="limits">
            <header>
                <h2 id="limits">"Limits"</h2>
                <span class="muted">{population}</span>
            </header>
            <div class="tw" tabindex="0" role="region" aria-label="Table of limits">
                <table class="t cards">
                    <caption class="sr">"What is spent of each limit"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Brake"</th>
                            <th scope="col">"What"</th>
                            <th scope="col">"In"</th>
                            <th scope="col" class="num">
                                "Counted"
                            </th>
                            <th scope="col" class="num">
                                "Limit"
                            </th>
                            <th scope="col">"State"</th>
                        </tr>
                    </thead>
                    <tbody>
                        {row("R1", removals(), "60 minutes", view.hour)} {row("R1", removals(), "24 hours", view.day)}
                        {row("R4", rewrites, "60 minutes", view.rewrites)}
                    </tbody>
                </table>
            </div>
        </section>
        <p class="muted small">
            {format!(
                "R2 holds one request that takes more than {share} % of a group of {least} or more members, or deletes it. R3 refuses whatever would change what is protected below.",
            )}
        </p>
    }
    .into_any()
}

fn windows(view: &BrakesView, path: &str, now: Millis) -> AnyView {
    let blocked = (!view.may_plan).then(|| words::NEEDS_OPERATOR.to_owned());
    let list = if view.windows.is_empty() {
        view! {
            <Empty
                title="No planned work"
                text="Before a lay-off or a migration, plan a window with a ceiling and an end, and let a second person agree."
            />
        }
        .into_any()
    } else {
        let rows = view.windows.iter().map(|window| window_row(view, window, path, now)).collect_view();
        view! {
            <div class="tw" tabindex="0" role="region" aria-label="Table of maintenance windows">
                <table class="t cards">
                    <caption class="sr">"Maintenance windows, the latest first"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"What is done"</th>
                            <th scope="col">"State"</th>
                            <th scope="col">"From"</th>
                            <th scope="col">"Until"</th>
                            <th scope="col" class="num">
                                "Used"
                            </th>
                            <th scope="col">"People"</th>
                            <th scope="col">
                                <span class="sr">"Actions"</span>
                            </th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        }
        .into_any()
    };
    let add = (format!("{path}/window"), "Plan a window", blocked);
    section("windows", "Maintenance windows", add, list)
}

/// A part of the page: its heading, the button that adds to it, and what there is.
fn section(
    id: &'static str,
    title: &'static str,
    (href, label, blocked): (String, &'static str, Option<String>),
    list: AnyView,
) -> AnyView {
    view! {
        <section class="card flush" aria-labelledby=id>
            <header>
                <h2 id=id>{title}</h2>
                <LinkButton href label icon="plus" small=true blocked=blocked />
            </header>
            {list}
        </section>
    }
    .into_any()
}

fn window_row(view: &BrakesView, window: &Window, path: &str, now: Millis) -> AnyView {
    let state = window.state(now);
    let shape = match state {
        WindowState::Planned => Shape::Moving,
        WindowState::Agreed => Shape::Good,
        WindowState::Open => Shape::Look,
        WindowState::Ended => Shape::Ended,
    };
    let people = match &window.agreed_by {
        Some(agreed) => format!("{} planned it, {agreed} agreed", window.made_by),
        None => format!("{} planned it", window.made_by),
    };
    let is_own = window.made_by_id == view.viewer_id;
    let agree = (state == WindowState::Planned && view.may_approve && !is_own)
        .then(|| view! { <PostButton action=format!("{path}/window/{}/agree", window.id) label="Agree" /> });
    let may_end = view.may_plan || view.may_approve;
    let end = (state != WindowState::Ended && may_end).then(
        || view! { <PostButton action=format!("{path}/window/{}/end", window.id) label="End" danger=true /> },
    );
    view! {
        <tr>
            <th scope="row" data-l="What is done">
                {window.reason.clone()}
            </th>
            <td class="s" data-l="State">
                <Status shape word=state.label() />
            </td>
            <td data-l="From">{exact(window.begins_ms)}</td>
            <td data-l="Until">{exact(window.ends_ms)}</td>
            <td class="num" data-l="Used">
                {format!("{} of {}", words::number(window.used), words::number(window.ceiling))}
            </td>
            <td data-l="People">{people}</td>
            <td>
                <div class="actions">{agree} {end}</div>
            </td>
        </tr>
    }
    .into_any()
}

fn marks(view: &BrakesView, path: &str, now: Millis) -> AnyView {
    let blocked = (!view.may_mark).then(|| words::NEEDS_ADMIN.to_owned());
    let list = if view.marks.is_empty() {
        view! {
            <Empty
                title="Nothing is marked"
                text="Protect the accounts that must never go, mark the groups that give privilege, and lay out canaries."
            />
        }
        .into_any()
    } else {
        let rows = view.marks.iter().map(|mark| mark_row(view, mark, path, now)).collect_view();
        view! { <ul class="findings">{rows}</ul> }.into_any()
    };
    let add = (format!("{path}/mark"), "Mark a user or group", blocked);
    section("marks", "Protected, privileged and canary", add, list)
}

fn mark_row(view: &BrakesView, mark: &Mark, path: &str, now: Millis) -> AnyView {
    let shape = match mark.kind {
        domain::brakes::MarkKind::Protected => Shape::Held,
        domain::brakes::MarkKind::Privileged | domain::brakes::MarkKind::Canary => Shape::Look,
    };
    let label = format!("why-{}", mark.resource_id);
    let remove = view.may_mark.then(|| {
        view! {
            <details class="more">
                <summary>"Take the mark away"</summary>
                <form method="post" action=format!("{path}/mark/{}/remove", mark.resource_id) class="inline">
                    <div class="field">
                        <label for=label.clone()>"Why it needs no mark any more"</label>
                        <input type="text" id=label name="reason" required minlength="3" maxlength="500" autocomplete="off" />
                    </div>
                    <button class="btn sm">"Take it away"</button>
                </form>
            </details>
        }
    });
    view! {
        <li>
            <div class="finding-h">
                <Status shape word=mark.kind.label() />
                <h3>{mark.name.clone()}</h3>
                <span class="muted small">{mark.resource_type.clone()}</span>
            </div>
            <dl class="props">
                <dt>"Why"</dt>
                <dd>{mark.reason.clone()}</dd>
                <dt>"Marked"</dt>
                <dd>
                    {mark.marked_by.clone()} ", " <Ago at=mark.marked_ms now />
                </dd>
                <dt>"Id"</dt>
                <dd>
                    <code>{mark.resource_id.to_string()}</code>
                </dd>
            </dl>
            {remove}
        </li>
    }
    .into_any()
}

fn learned(view: &BrakesView, path: &str, now: Millis) -> AnyView {
    let blocked = (!view.may_approve).then(|| words::NEEDS_APPROVER.to_owned());
    let all = |kind: LearnedKind, name: &'static str| {
        let items = view.learned.iter().filter(|learned| learned.kind == kind);
        let items = items.map(|learned| learned_item(learned, now)).collect::<Vec<_>>();
        let none = items.is_empty().then_some("None yet");
        view! {
            <dt>{name}</dt>
            <dd>{none} <ul>{items}</ul></dd>
        }
    };
    view! {
        <section class="card" aria-labelledby="learned">
            <header>
                <h2 id="learned">"Known domains and ids"</h2>
                <LinkButton href=format!("{path}/allow") label="Allow another" icon="plus" small=true blocked=blocked />
            </header>
            <p class="muted small">
                "Learned in the first 14 days, and until three syncs were seen. After that an operation that brings another one is held (A13)."
            </p>
            <dl class="props">
                {all(LearnedKind::Domain, "Mail domains")} {all(LearnedKind::Shape, "Kinds of externalId")}
            </dl>
        </section>
    }
    .into_any()
}

fn learned_item(learned: &Learned, now: Millis) -> AnyView {
    let by = match (&learned.allowed_by, learned.since_ms) {
        (Some(by), at) => Some(
            view! { <span class="muted small">" allowed by " {by.clone()} " " <Ago at now /></span> }
                .into_any(),
        ),
        (None, 0) => None,
        (None, at) => Some(view! { <span class="muted small">" learned " <Ago at now /></span> }.into_any()),
    };
    view! {
        <li>
            <code>{learned.value.clone()}</code>
            {by}
        </li>
    }
    .into_any()
}
