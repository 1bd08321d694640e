//! The first page: what needs somebody today, then numbers.

use domain::{Millis, federations::Slug, findings::Severity};
use leptos::prelude::*;
use ops::{
    keys::KeyView,
    overview::{Need, Overview as Data},
};

use crate::{
    api,
    pages::rotation::{evidence as evidence_of, pill},
    ssr::{issuing_blocked, now_ms},
    ui::{
        button::LinkButton,
        chart::RequestsChart,
        keys::{KeyLink, age, end},
        page::{Head, Section, page},
        status::{Shape, Status, drawing},
        still::IntoAny,
        time::{Ago, relative},
    },
    words,
};

/// What needs you, four numbers, the last 48 hours, what ends next.
#[component]
pub fn Overview() -> impl IntoView {
    page(Section::Overview, async {
        let data = api::overview::open().await?;
        let now = now_ms();
        let head = Head::new("Overview")
            .lead(format!(
                "{}, {}.",
                words::count(data.federations, "federation"),
                words::count(data.accepted_keys, "accepted key")
            ))
            .actions(view! { <LinkButton href="/keys/new" label="Issue key" icon="plus" primary=true blocked=issuing_blocked() /> });
        let top = if is_first_run(&data) { first_run(&data) } else { needs(&data.needs, now) };
        let body = view! {
            {top}
            {numbers(&data)}
            {static_keys(&data)}
            <div class="grid">
                <section class="w8 card" aria-labelledby="requests">
                    <header>
                        <h2 id="requests">"Provisioning requests, 48 h"</h2>
                    </header>
                    <RequestsChart hours=data.hours.clone() />
                </section>
                <section class="w4 card" aria-labelledby="ending">
                    <header>
                        <h2 id="ending">"Next to end"</h2>
                        <a href="/keys">"All keys"</a>
                    </header>
                    {ending(&data.ending, now)}
                    <p class="muted small">
                        <a href="/audit">"Audit log"</a>
                        {data.audit.as_ref().map(|head| format!(": {}.", words::count(head.seq, "record")))}
                    </p>
                </section>
            </div>
        };
        Ok((head, body.into_any()))
    })
}

/// Nothing was ever provisioned: the way to the first request takes the place of the needs.
fn is_first_run(data: &Data) -> bool {
    let quiet = data.hours.iter().all(|hour| hour.allowed + hour.denied + hour.refused == 0);
    let unused = data.ending.iter().all(|view| view.key.life.first_used_ms.is_none());
    let begins = data.needs.iter().all(|need| match need {
        Need::NoKey(_) | Need::NeverUsed(_) => true,
        Need::Ended(_)
        | Need::EndsSoon(_)
        | Need::OverAge(_)
        | Need::Finding(_)
        | Need::Rotation(_)
        | Need::Held(_)
        | Need::Paused(_) => false,
    });
    quiet && unused && begins
}

fn first_run(data: &Data) -> AnyView {
    let has_federation = data.federations > 0;
    let has_key = data.accepted_keys > 0;
    let setup = begun(data).map(|slug| format!("/federations/{slug}/setup"));
    let issue = setup.clone().unwrap_or_else(|| "/keys/new".to_owned());
    let steps = [
        (true, "Signed in", "Who else may sign in is decided by claims of the provider.", None),
        (
            has_federation,
            "Register a federation",
            "A federation is one identity provider that may push users here.",
            Some(("/federations/new".to_owned(), "Register federation")),
        ),
        (
            has_key,
            "Issue its first key",
            "A key lets the provider write to this federation, and nothing else.",
            has_federation.then_some((issue, "Go on with the set-up")),
        ),
        (
            false,
            "See the first request",
            "Paste base URL and key into the provider. This page changes with the first request.",
            setup.map(|href| (href, "Open the set-up guide")),
        ),
        (
            false,
            "Let keys rotate by themselves",
            "Add where a federation's keys are delivered, and switch automatic rotation on.",
            None,
        ),
    ];
    let now = steps.iter().position(|step| !step.0).unwrap_or(0);
    let items = steps
        .into_iter()
        .enumerate()
        .map(|(index, (done, title, text, action))| {
            let (class, shape, state) = if done {
                ("done", Shape::Good, "Done: ")
            } else if index == now {
                ("now", Shape::Moving, "Next: ")
            } else {
                ("", Shape::Unknown, "Later: ")
            };
            let action = action
                .filter(|_| index == now)
                .map(|(href, label)| view! { <LinkButton href label primary=true /> });
            view! {
                <li class=class>
                    {drawing(shape)} <div>
                        <h3>
                            <span class="sr">{state}</span>
                            {title}
                        </h3>
                        <p class="muted">{text}</p>
                        {action}
                    </div>
                </li>
            }
        })
        .collect_view();
    view! {
        <section class="card" aria-labelledby="first">
            <h2 id="first">"From here to the first request"</h2>
            <ol class="steps">{items}</ol>
        </section>
    }
    .into_any()
}

/// The federation that was begun with.
fn begun(data: &Data) -> Option<&Slug> {
    let named = data.needs.iter().find_map(|need| match need {
        Need::NoKey(view) => Some(&view.federation.slug),
        Need::NeverUsed(view) => Some(&view.federation.slug),
        Need::Ended(_)
        | Need::EndsSoon(_)
        | Need::OverAge(_)
        | Need::Finding(_)
        | Need::Rotation(_)
        | Need::Held(_)
        | Need::Paused(_) => None,
    });
    named.or_else(|| data.ending.first().map(|view| &view.federation.slug))
}

/// At how many needs the list ends.
const LISTED: usize = 20;

fn needs(needs: &[Need], now: Millis) -> AnyView {
    if needs.is_empty() {
        return view! {
            <section class="card" aria-labelledby="needs">
                <h2 id="needs">"Needs you"</h2>
                <p>
                    <Status shape=Shape::Good word="Nothing" />
                    " No key ends soon, none has ended without a successor, every federation has a key."
                </p>
            </section>
        }
        .into_any();
    }
    let items = needs.iter().map(|need| need_row(need, now)).collect_view();
    let rest = (needs.len() >= LISTED).then(|| {
        view! {
            <p class="pad muted small">
                "The 20 most urgent are listed. The rest: " <a href="/findings">"findings"</a> ", "
                <a href="/rotation">"rotation board"</a> ", " <a href="/keys">"keys"</a> "."
            </p>
        }
    });
    view! {
        <section class="card flush" aria-labelledby="needs">
            <header>
                <h2 id="needs">"Needs you " <span class="muted">{needs.len()}</span></h2>
                <span class="muted small">"A line goes when its reason goes."</span>
            </header>
            <ul class="tasks">{items}</ul>
            {rest}
        </section>
    }
    .into_any()
}

/// State, evidence in one sentence, one button.
fn need_row(need: &Need, now: Millis) -> AnyView {
    let row = |shape: Shape, word: String, evidence: AnyView, href: String, label: String| {
        view! {
            <li>
                <Status shape word />
                <div>{evidence}</div>
                <LinkButton href label small=true />
            </li>
        }
        .into_any()
    };
    match need {
        Need::Ended(view) => {
            let text =
                format!(" and nothing replaces it. {} gets 401.", words::provider(view.federation.vendor));
            let evidence =
                about(view, view! { " ended " <Ago at=view.key.life.ends_ms() now /> {text} }.into_any());
            row(Shape::Broken, "Expired".to_owned(), evidence, rotate(view), "Rotate key".to_owned())
        }
        Need::EndsSoon(view) => {
            let shape =
                if view.key.life.expires_ms - now <= domain::DAY_MS { Shape::Broken } else { Shape::Look };
            let word = format!("Ends {}", relative(view.key.life.expires_ms, now));
            let evidence = about(view, view! { " has no successor. " {last_use(view, now)} }.into_any());
            row(shape, word, evidence, rotate(view), "Rotate key".to_owned())
        }
        Need::Finding(view) => {
            let finding = &view.finding;
            let shape = if finding.severity == Severity::Critical { Shape::Broken } else { Shape::Look };
            let about =
                view.key_name.clone().or_else(|| view.federation.as_ref().map(|one| one.name.clone()));
            let about = about.map(|name| format!("{name}: ")).unwrap_or_default();
            let evidence = view! { {about} {finding.rule.title()} ". " {finding.detail.came.clone()} };
            let href = match (&finding.case_id, &finding.rotation_id) {
                (Some(case), _) => format!("/cases/{case}"),
                (None, Some(rotation)) => format!("/rotation/{rotation}"),
                (None, None) => "/findings".to_owned(),
            };
            let label = match (&finding.case_id, &finding.rotation_id) {
                (Some(_), _) => "Open case",
                (None, Some(_)) => "Open rotation",
                (None, None) => "Open findings",
            };
            row(shape, finding.severity.label().to_owned(), evidence.into_any(), href, label.to_owned())
        }
        Need::Rotation(view) => {
            let (shape, word) = pill(view.rotation.stage);
            let text =
                format!(" to {} of {}: {}", view.new.name, view.federation.name, evidence_of(view, now));
            let evidence = view! {
                <KeyLink key=&view.old />
                {text}
            };
            let href = format!("/rotation/{}", view.rotation.id);
            row(shape, word, evidence.into_any(), href, "Open rotation".to_owned())
        }
        Need::Held(view) => {
            let reason = view.key.held_reason.clone().unwrap_or_default();
            let by = view.key.held_by.clone().unwrap_or_else(|| "somebody".to_owned());
            let text = format!(" is answered 503. Held by {by}: {}", words::sentence(&reason));
            let evidence = about(view, text.into_any());
            let href = format!("/keys/{}", view.key.id);
            row(Shape::Held, "Held".to_owned(), evidence, href, "Open key".to_owned())
        }
        Need::OverAge(view) => {
            let text = format!(" is older than its policy allows: {}. ", age(view, now));
            let evidence = about(view, view! { {text} {last_use(view, now)} }.into_any());
            row(Shape::Look, "Over age".to_owned(), evidence, rotate(view), "Rotate key".to_owned())
        }
        Need::Paused(view) => {
            let href = format!("/federations/{}", view.federation.slug);
            let evidence = view! {
                <a href=href.clone()>{view.federation.name.clone()}</a>
                " answers 503 with Retry-After until somebody resumes it."
            };
            row(Shape::Held, "Paused".to_owned(), evidence.into_any(), href, "Open federation".to_owned())
        }
        Need::NoKey(view) => {
            let evidence = view! {
                <a href=format!("/federations/{}", view.federation.slug)>{view.federation.name.clone()}</a>
                " has no accepted key, so nothing can be provisioned."
            };
            let href = format!("/keys/new?federation={}", view.federation.slug);
            row(Shape::Look, "No key".to_owned(), evidence.into_any(), href, "Issue key".to_owned())
        }
        Need::NeverUsed(view) => {
            let evidence = about(
                view,
                view! { " was issued " <Ago at=view.key.life.issued_ms now /> " and no request has come with it." }
                    .into_any(),
            );
            let href = format!("/keys/{}", view.key.id);
            row(Shape::Unknown, "Never used".to_owned(), evidence, href, "Open key".to_owned())
        }
    }
}

fn about(view: &KeyView, evidence: AnyView) -> AnyView {
    view! {
        <KeyLink key=&view.key />
        {format!(" of {}", view.federation.name)}
        {evidence}
    }
    .into_any()
}

fn last_use(view: &KeyView, now: Millis) -> String {
    view.key.life.last_used_ms.map_or_else(
        || "It was never used.".to_owned(),
        |at| format!("It was last used {}.", relative(at, now)),
    )
}

fn rotate(view: &KeyView) -> String {
    format!("/keys/{}/rotate", view.key.id)
}

fn numbers(data: &Data) -> AnyView {
    let outside = data.accepted_keys - data.inside_policy;
    let outside = if outside == 0 {
        "none older than its policy allows".to_owned()
    } else {
        format!("{} older than its policy allows", words::number(outside))
    };
    let share = if data.requests_24h == 0 {
        "no request came".to_owned()
    } else {
        format!("{} % of all", words::number(data.denied_24h * 100 / data.requests_24h))
    };
    let stats = [
        (
            "Keys inside policy",
            format!("{} of {}", words::number(data.inside_policy), words::number(data.accepted_keys)),
            outside,
        ),
        ("Requests, 24 h", words::number(data.requests_24h), "that presented a key".to_owned()),
        ("Denied or refused, 24 h", words::number(data.denied_24h), share),
        ("Federations", words::number(data.federations), "archived ones not counted".to_owned()),
    ]
    .map(|(name, value, delta)| {
        view! {
            <div class="w3 card stat">
                <dt>{name}</dt>
                <dd>{value}</dd>
                <dd class="delta">{delta}</dd>
            </div>
        }
    });
    view! { <dl class="grid">{stats.collect_view()}</dl> }.into_any()
}

fn ending(keys: &[KeyView], now: Millis) -> AnyView {
    if keys.is_empty() {
        return view! { <p class="muted">"No key is accepted now."</p> }.into_any();
    }
    let items = keys
        .iter()
        .map(|view| {
            view! {
                <dt>{end(view, now)}</dt>
                <dd>
                    <KeyLink key=&view.key />
                    " "
                    <span class="muted small">{view.federation.name.clone()}</span>
                </dd>
            }
        })
        .collect_view();
    view! { <dl class="props">{items}</dl> }.into_any()
}

/// Who still uses a static key, when somebody does.
fn static_keys(data: &Data) -> Option<AnyView> {
    if data.static_keys.is_empty() {
        return None;
    }
    let keys: i64 = data.static_keys.iter().map(|(_, count)| count).sum();
    let items = data
        .static_keys
        .iter()
        .map(|(federation, count)| {
            let href = format!("/keys?federation={}&proof=static&state=accepted", federation.slug);
            view! {
                <li>
                    <a href=href>{federation.name.clone()}</a>
                    " "
                    <span class="muted small">{words::count(*count, "key")}</span>
                </li>
            }
        })
        .collect_view();
    let sentence = format!(
        "{} of {} go with each request. An OAuth client signs instead, and its tokens live minutes.",
        words::number(keys),
        words::count(data.accepted_keys, "accepted key")
    );
    Some(
        view! {
            <section class="card" aria-labelledby="static">
                <header>
                    <h2 id="static">"Still static keys"</h2>
                    <a href="/keys?proof=static&state=accepted">"List them"</a>
                </header>
                <p>{sentence}</p>
                <ul class="plain columns">{items}</ul>
            </section>
        }
        .into_any(),
    )
}
