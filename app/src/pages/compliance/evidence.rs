//! The evidence for a period: what the records show, by control, to print and to take along.

use domain::compliance::evidence::{Control, Line, NO_RECORD, Pack};
use leptos::prelude::*;
use ops::compliance::evidence::Form as FileForm;

use super::{attestation::table, picker};
use crate::{
    api,
    ssr::{now_ms, query},
    ui::{
        callout::Callout,
        page::{Head, Section, page},
        status::Shape,
        still::IntoAny,
        time::Exact,
        trend::Trend,
    },
    words,
};

/// The page of the pack.
#[component]
pub fn Evidence() -> impl IntoView {
    page(Section::Compliance, async {
        let pack = api::compliance::evidence(query("period")).await?;
        let head = Head::new(format!("Evidence for {}", pack.period.label))
            .crumb("/compliance", "Compliance")
            .lead("What the records show, by control. Nothing here says that a control is met.")
            .actions(downloads(&pack));
        let body = view! {
            {picker("/compliance/evidence", &pack.period, now_ms())} {summary(&pack)} {controls(&pack)}
            <section class="card" aria-labelledby="trend">
                <h2 id="trend">"Inside policy, last 12 months"</h2>
                <Trend points=pack.trend.clone() />
            </section>
            {table(&pack.federations)} {signed(&pack)} {checkpoint(&pack)}
        };
        Ok((head, body.into_any()))
    })
}

fn downloads(pack: &Pack) -> impl IntoView + use<> {
    let label = pack.period.label.clone();
    FileForm::ALL
        .map(|form| {
            let href = format!("/exports/evidence?period={label}&format={}", form.as_str());
            let class = if form == FileForm::Pdf { "btn primary" } else { "btn" };
            view! {
                <a class=class href=href rel="external" download="">
                    {format!("Download {}", form.as_str().to_uppercase())}
                </a>
            }
        })
        .collect_view()
}

fn summary(pack: &Pack) -> AnyView {
    let shape = match pack.facts.counted.percent() {
        Some(100) => Shape::Good,
        Some(_) => Shape::Look,
        None => Shape::Unknown,
    };
    let (made, from, to) = (pack.made_ms, pack.period.from_ms, pack.period.to_ms);
    let (installation, by) = (pack.installation.clone(), format!(" by {}.", pack.made_by));
    view! {
        <Callout shape verdict=pack.verdict.clone()>
            <p>
                {installation} ", made " <Exact at=made /> {by}
            </p>
            <p>
                "Numbers of a state are those of that moment. Numbers of the period count from " <Exact at=from />
                " to " <Exact at=to /> "."
            </p>
        </Callout>
    }
    .into_any()
}

fn controls(pack: &Pack) -> AnyView {
    let mut sections = Vec::new();
    let mut framework = String::new();
    for control in &pack.controls {
        let is_new = control.framework != framework;
        framework.clone_from(&control.framework);
        sections.push(control_card(control, is_new));
    }
    sections.collect_view().into_any()
}

fn control_card(control: &Control, is_first: bool) -> AnyView {
    let id = format!("c-{}", control.id.replace('.', "-").to_lowercase());
    let rows = control.lines.iter().map(line).collect_view();
    let title = format!("{}: {}", control.id, control.title);
    view! {
        {is_first.then(|| view! { <h2 class="framework">{control.framework.clone()}</h2> })}
        <section class="card flush" aria-labelledby=id.clone()>
            <header>
                <h3 id=id.clone()>{title.clone()}</h3>
            </header>
            <div class="tw" tabindex="0" role="region" aria-label=format!("Table for {}", control.id)>
                <table class="t told">
                    <caption class="sr">{format!("What the records show of {title}")}</caption>
                    <thead>
                        <tr>
                            <th scope="col">"What"</th>
                            <th scope="col">"What the records show"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </section>
    }
    .into_any()
}

fn line(line: &Line) -> impl IntoView + use<> {
    let value = match &line.value {
        Some(value) => {
            let label = format!("{value}: {}", line.what);
            view! {
                <a href=line.link.clone() aria-label=label>
                    {value.clone()}
                </a>
            }
            .into_any()
        }
        None => view! { <span class="muted">{NO_RECORD}</span> }.into_any(),
    };
    view! {
        <tr>
            <th scope="row">{line.what.clone()}</th>
            <td>{value}</td>
        </tr>
    }
}

fn signed(pack: &Pack) -> AnyView {
    let items = pack
        .attestations
        .iter()
        .map(|one| {
            view! {
                <li>
                    <a href=format!("/compliance/attestations/{}", one.id)>{one.signed_by.clone()}</a>
                    ", "
                    <Exact at=one.signed_ms />
                    ", SHA-256 "
                    <code class="break">{one.sha256.clone()}</code>
                </li>
            }
        })
        .collect_view();
    let content = if pack.attestations.is_empty() {
        view! { <p class="muted">{NO_RECORD}</p> }.into_any()
    } else {
        view! { <ul class="plain">{items}</ul> }.into_any()
    };
    view! {
        <section class="card" aria-labelledby="signed">
            <h2 id="signed">{format!("Signed for {}", pack.period.label)}</h2>
            {content}
        </section>
    }
    .into_any()
}

fn checkpoint(pack: &Pack) -> AnyView {
    let note = pack.checkpoint.clone().unwrap_or_else(|| format!("{NO_RECORD}\n"));
    let size = pack.facts.checkpoint.map(|(size, _)| {
        format!("It covers {} records of {}.", words::number(size), words::number(pack.facts.audit_records))
    });
    view! {
        <section class="card" aria-labelledby="checkpoint">
            <h2 id="checkpoint">"Signed checkpoint of the audit log"</h2>
            <pre class="code" tabindex="0" role="region" aria-label="Signed checkpoint">
                {note}
            </pre>
            <p class="small muted">
                {size} " Its signature is verified with " <code class="break">{pack.checkpoint_key.clone()}</code> "."
            </p>
        </section>
    }
    .into_any()
}
