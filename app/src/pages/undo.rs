//! Taking changes back: the dry run with its confirmation, and how far one has come.

use domain::federations::FederationTarget;
use leptos::prelude::*;
use ops::journal::{
    ResourceType,
    undo::{Counts, Doing, Item, Line, MemberLine, Note, Plan, Verdict, View},
};

use super::directory::value;
use crate::{
    api,
    forms::journal::FIELDS,
    islands::live::Live,
    ssr::{now_ms, param, query},
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

/// The most resources that the page of a plan lists.
const ITEMS: usize = 200;

/// The most members that it lists of one group.
const MEMBERS: usize = 30;

/// The dry run.
#[component]
pub fn UndoPlan() -> impl IntoView {
    page(Section::Federations, async {
        let (plan, asked) = api::journal::plan(&param("slug")).await?;
        let path = format!("/federations/{}", plan.federation.slug);
        let head = Head::new("Plan an undo")
            .crumb("/federations", "Federations")
            .crumb(path.clone(), plan.federation.name.clone())
            .crumb(format!("{path}/blast?{asked}"), "Blast radius")
            .lead(format!("{}. Nothing is changed by looking.", plan.title));
        let body = view! {
            {Form::with_field("plan").summary()}
            {verdict(&plan)}
            {confirm(&plan, &path, &asked)}
            {items(&plan, &path)}
        };
        Ok((head, body.into_any()))
    })
}

fn count(value: u64, noun: &str) -> String {
    words::count(i64::try_from(value).unwrap_or(i64::MAX), noun)
}

fn verdict(plan: &Plan) -> AnyView {
    let Counts { restored, skipped, cannot } = plan.counts;
    let verb =
        |number: u64, one: &str, more: &str| if number == 1 { one.to_owned() } else { more.to_owned() };
    let text = format!(
        "Of {}: {} {} back, {skipped} {} left alone because somebody else has changed it since, {cannot} cannot come back.",
        count(plan.changes, "change"),
        count(restored, "value"),
        verb(restored, "comes", "come"),
        verb(skipped, "is", "are"),
    );
    let (shape, title) = match (restored, skipped + cannot) {
        (0, 0) => (Shape::Good, "There is nothing to take back."),
        (0, _) => (Shape::Look, "Nothing would come back."),
        (_, 0) => (Shape::Good, "Everything comes back."),
        (_, _) => (Shape::Look, "Not everything comes back."),
    };
    let is_theirs = plan.federation.target == FederationTarget::Upstream;
    let theirs = is_theirs.then(|| {
        view! {
            <p class="muted">
                "The users and groups are kept by another service. Each of them is looked at there before it is touched, and comes back by a call of its own."
            </p>
        }
    });
    view! {
        <Callout shape verdict=title>
            <p>{text}</p>
        </Callout>
        {theirs}
    }
    .into_any()
}

fn hidden(name: &'static str, value: String) -> AnyView {
    view! { <input type="hidden" name=name value=value /> }.into_any()
}

/// What is asked for, in fields; one form looks again, the other confirms.
fn confirm(plan: &Plan, path: &str, asked: &str) -> AnyView {
    let fields = || FIELDS.iter().filter_map(|name| Some(hidden(name, query(name)?))).collect_view();
    let over = plan.wish.over.iter().map(|id| hidden("over", id.clone())).collect_view();
    let over_all = plan.wish.over_all.then(|| hidden("over_all", "yes".to_owned()));
    let look_again =
        (plan.counts.skipped > 0 || plan.wish.over_all || !plan.wish.over.is_empty()).then(|| {
            let (label, field) = if plan.wish.over_all || !plan.wish.over.is_empty() {
                ("Leave later changes alone", None)
            } else {
                ("Take later changes back as well", Some(hidden("over_all", "yes".to_owned())))
            };
            view! {
                <form method="get" action=format!("{path}/undo")>
                    {fields()} {field} <button class="btn">{label}</button>
                </form>
            }
        });
    let is_something = plan.counts.restored > 0;
    let apply = match (plan.may_apply, is_something) {
        (_, false) => None,
        (false, true) => Some(
            view! {
                <PostButton
                    action=format!("{path}/undo")
                    label="Take back exactly this"
                    danger=true
                    blocked=Some(words::NEEDS_OPERATOR.to_owned())
                />
            }
            .into_any(),
        ),
        (true, true) => Some(
            view! {
                <form method="post" action=format!("{path}/undo")>
                    {fields()} {over} {over_all} {hidden("plan", plan.hash.clone())}
                    <button class="btn danger">"Take back exactly this"</button>
                </form>
            }
            .into_any(),
        ),
    };
    view! {
        <section class="card" aria-labelledby="confirm">
            <h2 id="confirm">"Confirm"</h2>
            <p class="muted">
                "What is confirmed is this plan and no other: when the directory changes before, you are shown the new one. An undo is a change like any other, with its records, and can be undone."
            </p>
            <div class="actions">
                <LinkButton href=format!("{path}/blast?{asked}") label="Back to the blast radius" />
                {look_again}
                {apply}
            </div>
        </section>
    }
    .into_any()
}

fn items(plan: &Plan, path: &str) -> AnyView {
    if plan.items.is_empty() {
        return view! {
            <section class="card" aria-label="Resources">
                <Empty title="Nothing differs" text="What these changes did is not there any more." />
            </section>
        }
        .into_any();
    }
    let more = plan.items.len().saturating_sub(ITEMS);
    let more =
        (more > 0).then(|| view! { <p class="muted small">{format!("and {more} more resources")}</p> });
    let list = plan.items.iter().take(ITEMS).map(|item| one(item, plan, path)).collect_view();
    view! {
        <section class="card" aria-labelledby="items">
            <h2 id="items">"What would become of each"</h2>
            <ol class="steps changes">{list}</ol>
            {more}
        </section>
    }
    .into_any()
}

fn status(verdict: &Verdict) -> AnyView {
    match verdict {
        Verdict::Restored => view! { <Status shape=Shape::Good word="Comes back" /> }.into_any(),
        Verdict::Skipped(by) => {
            let when = if by.at_ms > 0 { format!(" {}", exact(by.at_ms)) } else { String::new() };
            view! {
                <Status shape=Shape::Held word="Left alone" />
                <span class="sub">{format!("changed since by {}{when}", by.name)}</span>
            }
            .into_any()
        }
        Verdict::Cannot(reason) => view! {
            <Status shape=Shape::Look word="Cannot" />
            <span class="sub">{reason.clone()}</span>
        }
        .into_any(),
    }
}

fn one(item: &Item, plan: &Plan, path: &str) -> AnyView {
    let (folder, noun) = match item.kind {
        ResourceType::User => ("users", "User"),
        ResourceType::Group => ("groups", "Group"),
    };
    let doing = match item.doing {
        Doing::Revive => " comes back with its id",
        Doing::Remove => " was created and goes",
        Doing::Change => "",
    };
    let whole = (item.doing != Doing::Change).then(|| status(&item.verdict));
    let is_skipped = |verdict: &Verdict| matches!(verdict, Verdict::Skipped(_));
    let has_skipped = is_skipped(&item.verdict)
        || item.lines.iter().any(|line| is_skipped(&line.verdict))
        || item.members.iter().any(|line| is_skipped(&line.verdict));
    let over = has_skipped.then(|| {
        let mut pairs: Vec<String> = FIELDS
            .iter()
            .filter_map(|name| Some(format!("{name}={}", words::encode(&query(name)?))))
            .collect();
        pairs.extend(plan.wish.over.iter().chain([&item.id]).map(|id| format!("over={id}")));
        let label = format!("Take later changes back as well: {}", item.name);
        view! {
            <p class="small">
                <a href=format!("{path}/undo?{}", pairs.join("&")) aria-label=label>
                    "Take later changes back as well"
                </a>
            </p>
        }
    });
    view! {
        <li>
            <span></span>
            <div>
                <h3>
                    {format!("{noun} ")} <a href=format!("{path}/{folder}/{}", item.id)>{item.name.clone()}</a>
                    {doing}
                </h3>
                {whole}
                {lines(item)}
                {members(&item.members)}
                {over}
            </div>
        </li>
    }
    .into_any()
}

fn lines(item: &Item) -> Option<AnyView> {
    if item.lines.is_empty() || item.doing == Doing::Remove {
        return None;
    }
    let row = |line: &Line| {
        view! {
            <tr>
                <th scope="row" class="break">
                    {line.attribute.clone()}
                </th>
                <td data-l="Now" class="break">
                    {value(line.now.as_ref())}
                </td>
                <td data-l="Then" class="break">
                    {value(line.then.as_ref())}
                </td>
                <td data-l="Verdict" class="s">
                    <span>{status(&line.verdict)}</span>
                </td>
            </tr>
        }
    };
    let rows = item.lines.iter().map(row).collect_view();
    let label = format!("Values of {}", item.name);
    let table = view! {
        <div class="tw" tabindex="0" role="region" aria-label=label>
            <table class="t cards">
                <thead>
                    <tr>
                        <th scope="col">"Attribute"</th>
                        <th scope="col">"Now"</th>
                        <th scope="col">"Then"</th>
                        <th scope="col">"Verdict"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    };
    Some(match item.doing {
        Doing::Change => table.into_any(),
        Doing::Revive | Doing::Remove => view! {
            <details class="more">
                <summary>{count(u64::try_from(item.lines.len()).unwrap_or(u64::MAX), "attribute")}</summary>
                {table}
            </details>
        }
        .into_any(),
    })
}

fn members(members: &[MemberLine]) -> Option<AnyView> {
    if members.is_empty() {
        return None;
    }
    let number = |joins: bool| {
        let is_it = |line: &&MemberLine| line.joins == joins && line.verdict == Verdict::Restored;
        u64::try_from(members.iter().filter(is_it).count()).unwrap_or(u64::MAX)
    };
    let name = |line: &MemberLine| if line.name.is_empty() { line.id.clone() } else { line.name.clone() };
    let group = |joins: bool, verb: &str| {
        let names: Vec<String> = members
            .iter()
            .filter(|line| line.joins == joins && line.verdict == Verdict::Restored)
            .take(MEMBERS)
            .map(name)
            .collect();
        let total = number(joins);
        let more = usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (total > 0).then(|| {
            view! { <p class="small break">{format!("{} {verb}: {}{more}", count(total, "member"), names.join(", "))}</p> }
        })
    };
    let others: Vec<&MemberLine> = members.iter().filter(|line| line.verdict != Verdict::Restored).collect();
    let left = others
        .iter()
        .take(MEMBERS)
        .map(|line| {
            view! {
                <li class="small">
                    {format!("{}: ", name(line))} {status(&line.verdict)}
                </li>
            }
        })
        .collect_view();
    let more = others.len().saturating_sub(MEMBERS);
    let more = (more > 0).then(|| view! { <p class="muted small">{format!("and {more} more members")}</p> });
    let others = (!others.is_empty()).then(|| view! { <ul class="plain">{left}</ul> });
    Some(
        view! {
            {group(true, "join again")}
            {group(false, "leave again")}
            {others}
            {more}
        }
        .into_any(),
    )
}

/// One taking back.
#[component]
pub fn Undo() -> impl IntoView {
    page(Section::Federations, async {
        let view = api::journal::undo(&param("slug"), &param("id")).await?;
        let path = format!("/federations/{}", view.federation.slug);
        let now = now_ms();
        let ended = view.undo.ended_ms.is_some();
        let again = (ended && view.may_run).then(|| {
            view! { <LinkButton href=format!("{path}/undo?undo={}", view.undo.id) label="Undo this undo" icon="refresh-cw" /> }
        });
        let case = view
            .undo
            .case_id
            .as_ref()
            .map(|id| view! { <LinkButton href=format!("/cases/{id}") label="Open the case" /> });
        let head = Head::new("Undo")
            .crumb("/federations", "Federations")
            .crumb(path.clone(), view.federation.name.clone())
            .crumb(format!("{path}/blast"), "Blast radius")
            .lead(format!("{}. Confirmed by {}.", view.undo.title, view.undo.made_by))
            .actions(view! {
                {case}
                <LinkButton href=format!("{path}/blast?undo={}", view.undo.id) label="What it changed" />
                {again}
            });
        let body = view! {
            {Form::current().summary()}
            {whole_progress(&view, &path)}
            <section class="card" aria-labelledby="facts">
                <h2 id="facts">"Facts"</h2>
                <dl class="props">
                    <dt>"Begun"</dt>
                    <dd>
                        <Ago at=view.undo.made_ms now />
                    </dd>
                    <dt>"Plan"</dt>
                    <dd class="break">
                        <code>{view.undo.plan_hash.clone()}</code>
                    </dd>
                </dl>
            </section>
        };
        Ok((head, body.into_any()))
    })
}

/// How far it has come; as long as it goes on, kept up to date.
fn whole_progress(view: &View, path: &str) -> AnyView {
    let parts = view! {
        <div id="undo">{progress(view, path)} {waiting(view)} {report(view, path)} {did(view)}</div>
    }
    .into_any();
    if view.undo.ended_ms.is_some() {
        return parts;
    }
    view! {
        <Live part="undo".to_owned() every=3>
            {parts}
        </Live>
    }
    .into_any()
}

fn progress(view: &View, path: &str) -> AnyView {
    let done = format!(
        "{} of {} done: {} brought back, changed or removed, {} moved.",
        view.done,
        words::count(view.undo.units, "unit"),
        count(view.report.resources, "resource"),
        count(view.report.members, "membership"),
    );
    if view.undo.ended_ms.is_some() {
        let (shape, title) = if view.report.not_done == 0 {
            (Shape::Good, "Done.")
        } else {
            (Shape::Look, "Done, but for what was changed in between.")
        };
        return view! {
            <Callout shape verdict=title>
                <p>{done}</p>
            </Callout>
        }
        .into_any();
    }
    let here = format!("{path}/undo/{}", view.undo.id);
    let (units, so_far) = (view.undo.units.to_string(), view.done.to_string());
    let go_on = view.may_run.then(|| view! { <PostButton action=here.clone() label="Go on with it now" /> });
    view! {
        <Callout shape=Shape::Moving verdict="It goes on.">
            <p>{done} " It needs no open page; what is done stays done."</p>
            <progress max=units value=so_far aria-label="Units done"></progress>
        </Callout>
        <div class="actions">
            <LinkButton href=here.clone() label="Look again" icon="refresh-cw" />
            {go_on}
        </div>
    }
    .into_any()
}

fn notes(notes: &[Note]) -> AnyView {
    let line = |note: &Note| view! { <li>{format!("{}: {}", note.name, note.text)}</li> };
    view! { <ul class="plain">{notes.iter().map(line).collect_view()}</ul> }.into_any()
}

/// What was tried and waits.
fn waiting(view: &View) -> Option<AnyView> {
    if view.waiting.is_empty() || view.undo.ended_ms.is_some() {
        return None;
    }
    Some(
        view! {
            <section class="card" aria-labelledby="waiting">
                <h2 id="waiting">"Waiting"</h2>
                <p class="muted">"It is tried again by itself, for a day at a service that does not answer."</p>
                {notes(&view.waiting)}
            </section>
        }
        .into_any(),
    )
}

/// What was done to each, at an upstream.
fn did(view: &View) -> Option<AnyView> {
    if view.report.did.is_empty() {
        return None;
    }
    Some(
        view! {
            <section class="card" aria-labelledby="done">
                <h2 id="done">"What was done at the service"</h2>
                {notes(&view.report.did)}
            </section>
        }
        .into_any(),
    )
}

fn report(view: &View, path: &str) -> Option<AnyView> {
    if view.report.notes.is_empty() {
        return None;
    }
    Some(
        view! {
            <section class="card" aria-labelledby="not-done">
                <h2 id="not-done">{format!("{} not done", words::number(i64::try_from(view.report.not_done).unwrap_or(i64::MAX)))}</h2>
                {notes(&view.report.notes)}
                <p>
                    <a href=format!("{path}/undo?{}", again(view))>"Plan what is left anew"</a>
                </p>
            </section>
        }
        .into_any(),
    )
}

/// The same choice of changes, as an address.
fn again(view: &View) -> String {
    let chosen = &view.undo.selection;
    let mut pairs = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            pairs.push(format!("{name}={}", words::encode(&value)));
        }
    };
    add("key", chosen.keys.first().map(ToString::to_string));
    add("line", (chosen.keys.len() > 1).then(|| "yes".to_owned()));
    add("source", chosen.network.map(|network| network.to_string()));
    add("from", chosen.from_ms.map(|at| at.to_string()));
    add("until", chosen.until_ms.map(|at| at.to_string()));
    add("attribute", chosen.attribute.clone());
    add("resource", chosen.resource.as_ref().map(ToString::to_string));
    add("undo", chosen.undo.as_ref().map(ToString::to_string));
    add("change", chosen.entry.as_ref().map(ToString::to_string));
    pairs.join("&")
}
