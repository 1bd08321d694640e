//! What is expected of a federation: in words and small charts, with the rules that watch over it and the form
//! that sets them.

use std::fmt::Write as _;

use domain::{
    Millis,
    behaviour::{Answer, Metric, Patience, Profile, Rules, Seen},
};
use leptos::prelude::*;
use ops::behaviour::{BehaviourView, KeyBehaviour};

use crate::{
    api,
    ssr::param,
    ui::{
        form::{Form, field},
        page::{Head, Section, page},
        still::IntoAny,
        time,
    },
    words,
};

/// The days of a week as hours of the week begin with: 1970 began on a Thursday.
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// What the rules say, in the order of the documentation.
const RULES: [(&str, &str); 20] = [
    ("learning", "Learning"),
    ("r1", "R1: deactivations and deletions"),
    ("r2", "R2: a group is emptied"),
    ("r4", "R4: names and addresses are rewritten"),
    ("a1", "A1: a new network"),
    ("a2", "A2: a new program from a new network"),
    ("a3", "A3: two networks in turns"),
    ("a4", "A4: refusals"),
    ("a5", "A5: additions to privileged groups"),
    ("a7", "A7: a sleeping key wakes up"),
    ("a8", "A8: changes at an unusual hour"),
    ("a9", "A9: silence"),
    ("a10", "A10: failures"),
    ("a11", "A11: reading through the directory"),
    ("a12", "A12: a burst of new users"),
    ("a13", "A13: a new mail domain or kind of id"),
    ("a14", "A14: keys that nobody issued"),
    ("a16", "A16: a canary user or group"),
    ("a18", "A18: a new attribute, a password"),
    ("a20", "A20: protection made weaker"),
];

/// The page.
#[component]
pub fn Behaviour() -> impl IntoView {
    page(Section::Federations, async {
        let view = api::behaviour::view(&param("slug")).await?;
        let federation = &view.federation;
        let path = format!("/federations/{}", federation.slug);
        let head = Head::new("Expected behaviour")
            .crumb("/federations", "Federations")
            .crumb(path.clone(), federation.name.clone())
            .lead("Every request is held against what this federation and its keys usually do. What differs is a finding; some rules hold the key.");
        let body = view! {
            {expected(&view)}
            {found(&view)}
            {view.keys.iter().enumerate().map(|(place, key)| of_key(place, key, view.now_ms)).collect_view()}
            {rules_form(&view, &path)}
        };
        Ok((head, body.into_any()))
    })
}

fn minutes(ms: Millis) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0..120 => words::count(minutes, "minute"),
        120..2_880 => words::count(minutes / 60, "hour"),
        _ => words::count(minutes / 1_440, "day"),
    }
}

fn whole(value: impl TryInto<i64>) -> String {
    words::number(value.try_into().unwrap_or(i64::MAX))
}

/// In words, with the hours of the week.
fn expected(view: &BehaviourView) -> AnyView {
    let BehaviourView { profile, patience, federation, now_ms, .. } = view;
    let learned = learned_sentence(profile, &federation.behaviour, view.is_learned, *now_ms);
    let silence = if view.keys.iter().any(|key| key.patience.is_some()) {
        "Each key that is expected to speak is looked at by itself: see below.".to_owned()
    } else {
        silence(patience)
    };
    let last = profile.last_ms.map_or_else(|| "none yet".to_owned(), time::clock);
    view! {
        <section class="card" aria-labelledby="expected">
            <h2 id="expected">"The federation as a whole"</h2>
            <p>{learned}</p>
            <dl class="props">
                <dt>"Silence"</dt>
                <dd>{silence}</dd>
                <dt>"Last good request"</dt>
                <dd>{last}</dd>
                <dt>"Syncs seen"</dt>
                <dd>{whole(profile.syncs)}</dd>
                <dt>"Users and groups"</dt>
                <dd>{whole(profile.population)}</dd>
            </dl>
            {week(profile, "federation")}
        </section>
    }
    .into_any()
}

fn silence(patience: &Patience) -> String {
    format!(
        "{} without a good request is a finding: a long gap between its syncs is {}{}.",
        words::capital(&minutes(patience.limit_ms)),
        minutes(patience.gap_ms),
        if patience.is_learned { ", as was learned" } else { ", as its vendor publishes" }
    )
}

fn learned_sentence(profile: &Profile, rules: &Rules, is_learned: bool, now_ms: Millis) -> String {
    let Some(since_ms) = profile.since_ms else {
        return "Nothing was seen yet.".to_owned();
    };
    let days = words::count((now_ms - since_ms) / domain::DAY_MS, "day");
    let learning = rules.learning;
    if is_learned {
        format!("Learned from {days}: rules that compare with what is usual are at work.")
    } else {
        format!(
            "It is being learned: {days} and {} of the {} days and {} syncs that it takes. Rules with limits of their own are at work already.",
            words::count(i64::from(profile.syncs), "sync"),
            learning.days,
            learning.cycles
        )
    }
}

/// Requests by hour of the week: seven rows of 24, darker is more.
fn week(profile: &Profile, name: &str) -> AnyView {
    let most = (0..168).map(|hour| profile.hour(hour).0).max().unwrap_or(0);
    if most == 0 {
        return ().into_any();
    }
    let mut drawing = String::new();
    for hour in 0..168_u8 {
        let (requests, writes) = profile.hour(hour);
        let (x, y) = (u32::from(hour % 24) * 40, u32::from(hour / 24) * 28);
        let share = f64::from(requests) / f64::from(most);
        let _ = write!(drawing, r#"<rect x="{x}" y="{y}" width="38" height="26" class="cell-base"/>"#);
        if requests > 0 {
            let _ = write!(
                drawing,
                r#"<rect x="{x}" y="{y}" width="38" height="26" class="bar-allowed" fill-opacity="{:.2}"/>"#,
                0.15 + 0.85 * share
            );
        }
        if writes > 0 {
            let _ = write!(drawing, r#"<circle cx="{}" cy="{}" r="4" class="ink-hole"/>"#, x + 19, y + 13);
        }
    }
    let busiest = (0..168_u8).max_by_key(|hour| profile.hour(*hour).0).unwrap_or(0);
    let label = format!(
        "Requests by hour of the week, UTC. The busiest hour is {} {:02}:00 with {} requests.",
        DAYS[usize::from(busiest / 24)],
        busiest % 24,
        whole(most)
    );
    let rows = (0..7_u8)
        .map(|day| {
            let cells = (0..24_u8)
                .map(|hour| {
                    let (requests, writes) = profile.hour(day * 24 + hour);
                    view! { <td>{format!("{requests} / {writes}")}</td> }
                })
                .collect_view();
            view! { <tr><th scope="row">{DAYS[usize::from(day)]}</th>{cells}</tr> }
        })
        .collect_view();
    let hours = (0..24).map(|hour| view! { <th scope="col">{format!("{hour:02}")}</th> }).collect_view();
    let caption = format!("Requests / changes by hour of the week: {name}");
    view! {
        <figure class="chart">
            <svg viewBox="0 0 960 196" preserveAspectRatio="none" role="img" aria-label=label.clone() inner_html=drawing></svg>
            <figcaption>
                <p class="muted">
                    {label} " Rows are days from Thursday on, columns hours; a dot marks hours with changes."
                </p>
                <details class="more">
                    <summary>"Show as table"</summary>
                    <div class="tw" tabindex="0" role="region" aria-label=caption.clone()>
                        <table class="t">
                            <caption class="sr">{caption.clone()}</caption>
                            <thead>
                                <tr><th scope="col">"Day"</th>{hours}</tr>
                            </thead>
                            <tbody>{rows}</tbody>
                        </table>
                    </div>
                </details>
            </figcaption>
        </figure>
    }
    .into_any()
}

fn found(view: &BehaviourView) -> AnyView {
    let list = if view.findings.is_empty() {
        view! { <p class="muted">"Nothing is open: everything is as expected."</p> }.into_any()
    } else {
        let items = view
            .findings
            .iter()
            .map(|found| {
                let finding = &found.finding;
                view! {
                    <li>
                        <strong>{finding.rule.title()}</strong>
                        {format!(" ({}). ", finding.severity.label())}
                        {finding.detail.came.clone()}
                        " "
                        <span class="muted">{format!("Expected: {}", finding.detail.expected)}</span>
                    </li>
                }
            })
            .collect_view();
        view! { <ul>{items}</ul> }.into_any()
    };
    view! {
        <section class="card" aria-labelledby="found">
            <h2 id="found">"What was found"</h2>
            {list}
            <p>
                <a href=format!("/findings?federation={}", view.federation.slug)>"Findings of this federation"</a>
            </p>
        </section>
    }
    .into_any()
}

fn of_key(place: usize, key: &KeyBehaviour, now_ms: Millis) -> AnyView {
    let KeyBehaviour { key, profile, is_learned, patience } = key;
    let silent = patience.as_ref().map_or_else(|| "Nobody expects it to speak yet.".to_owned(), silence);
    let id = format!("key-{place}");
    let rows = Metric::ALL
        .into_iter()
        .filter(|metric| *metric != Metric::Denials)
        .map(|metric| {
            view! {
                <tr>
                    <th scope="row">{metric.label()}</th>
                    <td>{whole(profile.quantile(metric, 500, now_ms))}</td>
                    <td>{whole(profile.quantile(metric, 990, now_ms))}</td>
                    <td>{whole(profile.busy(metric))}</td>
                </tr>
            }
        })
        .collect_view();
    let names = |map: &std::collections::BTreeMap<String, Seen>| {
        let known: Vec<&str> =
            map.iter().filter(|(_, seen)| seen.is_known(now_ms)).map(|(name, _)| name.as_str()).collect();
        if known.is_empty() { "none yet".to_owned() } else { known.join(", ") }
    };
    let gap = profile.gap_ms(500).map_or_else(|| "not known yet".to_owned(), minutes);
    let caption = format!("What {} does in an hour", key.name);
    view! {
        <section class="card" aria-labelledby=id.clone()>
            <h2 id=id.clone()>
                <a href=format!("/keys/{}", key.id)>{key.name.clone()}</a>
            </h2>
            <p class="muted">
                {if *is_learned { "Known: what differs is a finding." } else { "Still being learned." }}
            </p>
            <dl class="props">
                <dt>"A sync every"</dt>
                <dd>{gap}</dd>
                <dt>"Silence"</dt>
                <dd>{silent}</dd>
                <dt>"Networks"</dt>
                <dd>{names(&profile.networks)}</dd>
                <dt>"Programs"</dt>
                <dd>{names(&profile.agents)}</dd>
                <dt>"Writes"</dt>
                <dd>{names(&profile.attributes)}</dd>
            </dl>
            <details class="more">
                <summary>"Volumes of an hour"</summary>
                <div class="tw" tabindex="0" role="region" aria-label=caption.clone()>
                    <table class="t">
                        <caption class="sr">{caption.clone()}</caption>
                        <thead>
                            <tr>
                                <th scope="col">"In an hour"</th>
                                <th scope="col">"Median"</th>
                                <th scope="col">"99th percentile"</th>
                                <th scope="col">"Busy hour of the rules"</th>
                            </tr>
                        </thead>
                        <tbody>{rows}</tbody>
                    </table>
                </div>
            </details>
            {week(profile, &key.name)}
        </section>
    }
    .into_any()
}

fn rules_form(view: &BehaviourView, path: &str) -> AnyView {
    let rules = view.federation.behaviour;
    let form = Form::current();
    let fields = RULES.into_iter().map(|(rule, title)| one_rule(&form, &rules, rule, title)).collect_view();
    let send = if view.may_set {
        view! {
            {form
                .input(
                    field("reason", "Why")
                        .hint("Needed when a rule becomes laxer. Stays in the audit log, with your name.")
                        .optional(),
                    "text",
                )}
            <div class="actions">
                <button class="btn primary">"Set the rules"</button>
                <a class="btn" href=path.to_owned()>
                    "Back to the federation"
                </a>
            </div>
        }
        .into_any()
    } else {
        view! { <p class="muted">{words::NEEDS_OPERATOR}</p> }.into_any()
    };
    view! {
        <form class="card form" method="post" action=format!("{path}/behaviour") aria-labelledby="rules">
            <h2 id="rules">"Rules"</h2>
            <p class="muted">
                "R1, R2 and R4 are brakes: they can be set higher, never off. What becomes laxer is itself a finding."
            </p>
            {form.summary()}
            <input type="hidden" name="version" value=view.federation.version />
            {fields}
            {send}
        </form>
    }
    .into_any()
}

fn one_rule(form: &Form, rules: &Rules, rule: &str, title: &str) -> AnyView {
    let is_own = |field: &str| field.split('.').next() == Some(rule);
    let switch = rules.switches().into_iter().find(|switch| is_own(switch.field)).map(|switch| {
        let options: Vec<(String, String)> = switch
            .allowed
            .iter()
            .map(|answer| (answer.as_str().to_owned(), answer.label().to_owned()))
            .collect();
        let default: Answer = switch.default;
        form.select(
            field(switch.field, "When it trips")
                .hint(format!("{} unless you choose otherwise.", default.label()))
                .default(switch.value.as_str()),
            options,
        )
    });
    let numbers = rules
        .numbers()
        .into_iter()
        .filter(|number| is_own(number.field))
        .map(|number| {
            let (low, high) = (number.allowed.start(), number.allowed.end());
            let hint = format!("{}; {low} to {high}, {} by default.", number.unit, number.default);
            form.number(
                field(number.field, number.label).hint(hint).default(number.value),
                i64::from(*low),
                i64::from(*high),
            )
        })
        .collect_view();
    view! {
        <fieldset class="rule">
            <legend>{title.to_owned()}</legend>
            {switch}
            {numbers}
        </fieldset>
    }
    .into_any()
}
