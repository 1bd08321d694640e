//! The blast radius: everything that a key, an address or a window of time did.

use std::{collections::BTreeMap, fmt::Write as _};

use domain::{KeyId, scopes::ResourceKind};
use leptos::prelude::*;
use ops::journal::blast::{Blast, Hit};

use super::directory::{Around, address, changes, noun};
use crate::{
    api::{self, journal::BlastPage},
    forms::{Submitted, Values, journal},
    ssr::{now_ms, param, query},
    ui::{
        button::{LinkButton, PostButton},
        callout::{Callout, Empty},
        form::{Form, field},
        page::{Head, Section, page},
        status::Shape,
        still::IntoAny,
        time::{Ago, exact},
    },
    words,
};

/// The most bars of one drawing.
const BARS: usize = 12;

/// What was done, counted, drawn and listed.
#[component]
pub fn BlastRadius() -> impl IntoView {
    page(Section::Federations, async {
        let data = api::journal::blast(&param("slug")).await?;
        let blast = &data.blast;
        let now = now_ms();
        let path = format!("/federations/{}", blast.federation.slug);
        let asked = &data.chosen.query;
        let undo = (blast.may_undo && blast.changes > 0).then(|| {
            view! { <LinkButton href=format!("{path}/undo?{asked}") label="Plan an undo" icon="refresh-cw" primary=true /> }
        });
        let known = data.chosen.case.as_ref().filter(|_| blast.may_undo).map(|id| {
            view! { <PostButton action=format!("/cases/{id}/blast") label="The blast radius is known" /> }
        });
        let head = Head::new("Blast radius")
            .crumb("/federations", "Federations")
            .crumb(path.clone(), blast.federation.name.clone())
            .lead(format!("{}.", blast.title))
            .actions(view! {
                {known}
                {undo}
            });
        let form = choice(&data);
        let body = view! {
            {form.summary()}
            {verdict(blast)}
            {narrow(&data, &path, &form)}
            {drawn(blast)}
            {worst(blast)}
            {listed(blast, &path, asked, now)}
            {before(&data, &path, now)}
        };
        Ok((head, body.into_any()))
    })
}

fn count(value: u64, noun: &str) -> String {
    words::count(i64::try_from(value).unwrap_or(i64::MAX), noun)
}

fn verdict(blast: &Blast) -> AnyView {
    let Some((first, last)) = blast.span else {
        return view! {
            <Callout shape=Shape::Good verdict="Nothing was changed.">
                <p>"No change in the journal fits. Reads leave no trace here; see the requests of the key."</p>
            </Callout>
        }
        .into_any();
    };
    let kinds: Vec<String> = blast
        .by_kind
        .iter()
        .map(|(kind, change, number)| {
            format!("{} {}", count(*number, &noun(*kind).to_lowercase()), change.label())
        })
        .collect();
    let mut more = String::new();
    if blast.deactivated > 0 {
        // Writing to a String cannot fail.
        let _ = write!(more, " {} deactivated.", count(blast.deactivated, "user"));
    }
    let (joined, left) = blast.memberships;
    if joined + left > 0 {
        let _ =
            write!(more, " {} added, {} removed.", count(joined, "membership"), count(left, "membership"));
    }
    let least = if blast.is_partial { "At least " } else { "" };
    let title =
        format!("{least}{} of {}.", count(blast.changes, "change"), count(blast.resources, "resource"));
    view! {
        <Callout shape=Shape::Look verdict=title>
            <p>
                {format!("{}.{more} First {}, last {}.", kinds.join(", "), exact(first), exact(last))}
            </p>
        </Callout>
    }
    .into_any()
}

/// What was typed into the form that came back, else what the address says.
fn choice(data: &BlastPage) -> Form {
    let posted = Form::current();
    if posted.has_faults() || data.faults.is_empty() {
        return posted;
    }
    let pairs = journal::FIELDS.iter().filter_map(|name| Some(((*name).to_owned(), query(name)?)));
    Form::of(Submitted::faulty(Values::parse(pairs), data.faults.clone()))
}

/// What the page is about can be said anew.
fn narrow(data: &BlastPage, path: &str, form: &Form) -> AnyView {
    let selection = &data.blast.selection;
    let chosen = query("key");
    let keys = data
        .keys
        .iter()
        .map(|view| {
            let id: &KeyId = &view.key.id;
            view! {
                <option value=id.to_string() selected=chosen.as_deref() == Some(id.as_str())>
                    {format!("{} {}", view.key.name, words::ends_with(&view.key.last_four))}
                </option>
            }
        })
        .collect_view();
    let input = |name: &'static str, label: &'static str, value: String| {
        form.input(field(name, label).default(value).needed_when_shown(), "text")
    };
    let is_line = query("line").as_deref() == Some("yes");
    let resource = selection
        .resource
        .as_ref()
        .map(|id| view! { <input type="hidden" name="resource" value=id.to_string() /> });
    let undo =
        selection.undo.as_ref().map(|id| view! { <input type="hidden" name="undo" value=id.to_string() /> });
    let case = data
        .chosen
        .case
        .as_ref()
        .map(|id| view! { <input type="hidden" name="case" value=id.to_string() /> });
    view! {
        <section class="card flush" id="selection" aria-label="Choice of changes">
            <form class="toolbar" method="get" action=format!("{path}/blast") role="search" aria-label="Choose changes">
                {resource} {undo} {case} <div class="field">
                    <label for="key">"Key"</label>
                    <select id="key" name="key">
                        <option value="">"Any"</option>
                        {keys}
                    </select>
                </div>
                <label class="check">
                    <input type="checkbox" name="line" value="yes" checked=is_line />
                    " With predecessors and successors"
                </label>
                {input("source", "From address or network", query("source").unwrap_or_default())}
                {input("from", "Not before", journal::shown(selection.from_ms))}
                {input("until", "Not after", journal::shown(selection.until_ms))}
                {input("attribute", "Attribute", selection.attribute.clone().unwrap_or_default())}
                <button class="btn">"Show"</button>
            </form>
        </section>
    }
    .into_any()
}

/// Bars, sorted; the numbers stand beside them, so that the drawing is for the eye alone.
fn bars(title: &'static str, id: &'static str, rows: &[(String, u64)]) -> Option<AnyView> {
    let most = rows.iter().map(|(_, number)| *number).max().filter(|most| *most > 0)?;
    let lines = rows
        .iter()
        .take(BARS)
        .map(|(label, number)| {
            // A count that is not zero is always seen.
            let width = (number.saturating_mul(100) / most).max(1);
            let bar = format!(r#"<rect class="bar-allowed" width="{width}" height="8"/>"#);
            view! {
                <tr>
                    <th scope="row" class="break">
                        {label.clone()}
                    </th>
                    <td class="bar">
                        <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" inner_html=bar></svg>
                    </td>
                    <td class="num">{words::number(i64::try_from(*number).unwrap_or(i64::MAX))}</td>
                </tr>
            }
        })
        .collect_view();
    let more = rows.len().saturating_sub(BARS);
    let more = (more > 0).then(|| view! { <p class="muted small pad">{format!("and {more} more")}</p> });
    Some(
        view! {
            <section class="card flush" aria-labelledby=id>
                <header>
                    <h2 id=id>{title}</h2>
                </header>
                <table class="t bars">
                    <caption class="sr">{format!("{title}, the most first")}</caption>
                    <thead class="sr">
                        <tr>
                            <th scope="col">"What"</th>
                            <th scope="col">"Drawn"</th>
                            <th scope="col">"Changes"</th>
                        </tr>
                    </thead>
                    <tbody>{lines}</tbody>
                </table>
                {more}
            </section>
        }
        .into_any(),
    )
}

fn drawn(blast: &Blast) -> Option<AnyView> {
    if blast.changes == 0 {
        return None;
    }
    let mut kinds: Vec<(String, u64)> = blast
        .by_kind
        .iter()
        .map(|(kind, change, number)| (format!("{kind} {}", change.label()), *number))
        .collect();
    let (joined, left) = blast.memberships;
    for (label, number) in [("memberships removed", left), ("memberships added", joined)] {
        if number > 0 {
            kinds.push((label.to_owned(), number));
        }
    }
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.1));
    Some(
        view! {
            <div class="stack">
                {bars("What happened", "by-kind", &kinds)}
                {bars("Attributes changed", "by-attribute", &blast.by_attribute)}
            </div>
        }
        .into_any(),
    )
}

fn worst(blast: &Blast) -> Option<AnyView> {
    if blast.hits.is_empty() {
        return None;
    }
    let rows = blast.hits.iter().map(|hit| hit_row(hit, blast)).collect_view();
    let shown = u64::try_from(blast.hits.len()).unwrap_or(u64::MAX);
    let title = if shown < blast.resources {
        format!(
            "The {shown} hit hardest of {}",
            words::number(i64::try_from(blast.resources).unwrap_or(i64::MAX))
        )
    } else {
        "Hit hardest first".to_owned()
    };
    Some(
        view! {
            <section class="card flush" aria-labelledby="worst">
                <header>
                    <h2 id="worst">{title}</h2>
                </header>
                <div class="tw" tabindex="0" role="region" aria-label="Table of resources">
                    <table class="t cards">
                        <caption class="sr">"Users and groups, hit hardest first"</caption>
                        <thead>
                            <tr>
                                <th scope="col">"Name"</th>
                                <th scope="col">"Type"</th>
                                <th scope="col">"Last"</th>
                                <th scope="col" class="num">
                                    "Changes"
                                </th>
                            </tr>
                        </thead>
                        <tbody>{rows}</tbody>
                    </table>
                </div>
            </section>
        }
        .into_any(),
    )
}

fn hit_row(hit: &Hit, blast: &Blast) -> AnyView {
    let kind: ResourceKind = hit.kind;
    view! {
        <tr>
            <th scope="row" class="break">
                <a href=address(&blast.federation.slug, kind, &hit.id)>{hit.name.clone()}</a>
            </th>
            <td data-l="Type">{noun(kind)}</td>
            <td data-l="Last">{hit.last.label()}</td>
            <td data-l="Changes" class="num">
                {words::number(i64::try_from(hit.changes).unwrap_or(i64::MAX))}
            </td>
        </tr>
    }
    .into_any()
}

fn listed(blast: &Blast, path: &str, asked: &str, now: domain::Millis) -> AnyView {
    if blast.entries.is_empty() {
        return view! {
            <section class="card" aria-label="Changes">
                <Empty title="No change to list" text="Choose another key, address or window of time above." />
            </section>
        }
        .into_any();
    }
    let names = BTreeMap::new();
    let around = Around {
        slug: &blast.federation.slug,
        now,
        may_undo: blast.may_undo,
        names_resource: true,
        names: &names,
    };
    let next = blast.next.as_ref().map(|after| {
        view! {
            <p>
                <a href=format!("{path}/blast?{asked}&after={after}#changes")>"Next changes"</a>
            </p>
        }
    });
    view! {
        <section class="card" aria-labelledby="changes">
            <h2 id="changes">"Changes, in order of time"</h2>
            {changes(&blast.entries, &around)}
            {next}
        </section>
    }
    .into_any()
}

/// What was taken back before.
fn before(data: &BlastPage, path: &str, now: domain::Millis) -> Option<AnyView> {
    if data.undos.is_empty() {
        return None;
    }
    let items = data
        .undos
        .iter()
        .map(|undo| {
            let state = if undo.ended_ms.is_some() { "done" } else { "not finished" };
            view! {
                <li>
                    <a href=format!("{path}/undo/{}", undo.id)>{undo.title.clone()}</a>
                    {format!(", by {}, ", undo.made_by)}
                    <Ago at=undo.made_ms now />
                    {format!(", {state}")}
                </li>
            }
        })
        .collect_view();
    Some(
        view! {
            <section class="card" aria-labelledby="undos">
                <h2 id="undos">"Taken back before"</h2>
                <ul class="plain">{items}</ul>
            </section>
        }
        .into_any(),
    )
}
