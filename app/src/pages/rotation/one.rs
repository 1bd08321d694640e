//! One rotation: how it stands and why, the requests of both keys, its steps, its deliveries.

use domain::{
    Millis,
    rotations::{Moments, Rotation as Turn, Stage, Step, evidence::Verdict},
};
use leptos::prelude::*;
use ops::rotations::RotationView;

use super::{
    deliveries,
    verdict::{Act, begun_by, evidence, headline, may_hand_off, next},
};
use crate::{
    api::{self, rotation::RotationPage},
    islands::live::Live,
    ssr::{now_ms, param},
    ui::{
        button::LinkButton,
        callout::Callout,
        keys::KeyLink,
        lanes::{Lane, Lanes, Mark},
        page::{Head, Section, page},
        status::{Shape, drawing},
        still::IntoAny,
        time::{Ago, Exact, span},
    },
    words,
};

/// The page of a rotation.
#[component]
pub fn Rotation() -> impl IntoView {
    page(Section::Rotation, async {
        let data = api::rotation::page(&param("id")).await?;
        let (view, now) = (&data.view, now_ms());
        let RotationView { rotation, federation, old, .. } = view;
        let head =
            Head::new(format!("Rotation of {}", old.name)).crumb("/rotation", "Rotation").lead(lead(view));
        let (shape, verdict) = headline(view);
        let (said, next) = (evidence(view, now), next(view, now));
        let rhythm = format!(
            "{} is expected every {}: {}.",
            words::capital(words::provider(federation.vendor)),
            span(view.cadence.gap_ms),
            view.cadence.basis_sentence()
        );
        let parts = view! {
            <Callout shape verdict>
                <p>{said}</p>
                {next.map(|text| view! { <p class="muted">{text}</p> })}
            </Callout>
            {actions(view)}
            <div class="grid">
                <section class="w8 card" aria-labelledby="proof">
                    <h2 id="proof">"Proof of use, last 48 h"</h2>
                    {lanes(&data)}
                    <p class="muted small">{rhythm}</p>
                </section>
                <section class="w4 card" aria-labelledby="progress">
                    <h2 id="progress">"Progress"</h2>
                    {steps(view)}
                </section>
            </div>
            {deliveries::card(&data, now)}
            <section class="card" aria-labelledby="keys">
                <h2 id="keys">"Keys"</h2>
                {keys(view, now)}
            </section>
        }
        .into_any();
        let (of_old, of_new) =
            (format!("/audit?key={}", rotation.old_key_id), format!("/audit?key={}", rotation.new_key_id));
        let body = view! {
            <Live part="rotation".to_owned() every=5>
                <div id="rotation" class="stack">
                    {parts}
                </div>
            </Live>
            <p class="muted small">
                <a href=of_old>"Audit log of the old key"</a>
                ", "
                <a href=of_new>"of the new key"</a>
            </p>
        };
        Ok((head, body.into_any()))
    })
}

fn lead(view: &RotationView) -> AnyView {
    let RotationView { rotation, federation, .. } = view;
    let fate = if rotation.stage.has_ended() {
        String::new()
    } else {
        " Both keys work until the old one has fallen silent.".to_owned()
    };
    view! {
        <a href=format!("/federations/{}", federation.slug)>{federation.name.clone()}</a>
        {format!(". Begun {}", begun_by(rotation))}
        ", "
        <Exact at=rotation.begun_ms />
        "."
        {fate}
    }
    .into_any()
}

/// What can be done with it now; the primary one last.
fn actions(view: &RotationView) -> Option<AnyView> {
    let (id, stage) = (&view.rotation.id, view.rotation.stage);
    let blocked = (!view.may_act).then(|| words::NEEDS_OPERATOR.to_owned());
    let possible: Vec<Act> = Act::ALL.into_iter().rev().filter(|act| act.is_possible(stage)).collect();
    let last = possible.last().copied();
    let buttons = possible
        .into_iter()
        .map(|act| {
            let is_safe = matches!(view.verdict, Verdict::Draining { .. });
            let is_primary = Some(act) == last && (act == Act::Release || act == Act::Finish && is_safe);
            view! {
                <LinkButton
                    href=format!("/rotation/{id}/{}", act.as_str())
                    label=act.label()
                    primary=is_primary
                    blocked=blocked.clone()
                />
            }
        })
        .collect_view();
    let hand_off = may_hand_off(stage).then(|| {
        view! { <LinkButton href=format!("/keys/{}/hand-over", view.new.id) label="New hand-off" icon="send" blocked=blocked.clone() /> }
    });
    (!stage.has_ended()).then(|| view! { <div class="actions">{hand_off} {buttons}</div> }.into_any())
}

fn lanes(data: &RotationPage) -> AnyView {
    let RotationView { old, new, .. } = &data.view;
    let moments = |pairs: &[(Mark, Option<Millis>)]| -> Vec<(Mark, Millis)> {
        pairs.iter().filter_map(|(mark, at)| Some((*mark, (*at)?))).collect()
    };
    let new_lane = Lane {
        word: "new",
        last_four: new.last_four.clone(),
        hours: data.new_hours.clone(),
        marks: moments(&[
            (Mark::Issued, Some(new.life.issued_ms)),
            (Mark::Tested, new.life.tested_ms),
            (Mark::FirstWork, new.life.first_work_ms),
        ]),
    };
    let old_lane = Lane {
        word: "old",
        last_four: old.last_four.clone(),
        hours: data.old_hours.clone(),
        marks: moments(&[(Mark::LastUse, old.life.last_used_ms), (Mark::Retired, old.life.retired_ms)]),
    };
    view! { <Lanes new=new_lane old=old_lane /> }.into_any()
}

/// One step as it is told: what, when, how it is known.
struct Told {
    title: &'static str,
    at: Option<Millis>,
    detail: String,
    is_done: bool,
}

/// The steps that are behind it, the one that is now, and those to come.
fn steps(view: &RotationView) -> AnyView {
    let Turn { stage, begun_ms, moments, .. } = &view.rotation;
    let told = tell(view, *begun_ms, moments);
    let now = told.iter().position(|step| !step.is_done);
    let has_ended = stage.has_ended();
    let items = told
        .into_iter()
        .enumerate()
        .map(|(index, step)| {
            let (class, shape, said) = if step.is_done {
                ("done", Shape::Good, "Done: ")
            } else if has_ended {
                ("", Shape::Ended, "Did not happen: ")
            } else if Some(index) == now {
                ("now", Shape::Moving, "Now: ")
            } else {
                ("", Shape::Unknown, "To come: ")
            };
            let at = step.at.map(|at| view! { <span class="small"><Exact at /></span> });
            view! {
                <li class=class>
                    {drawing(shape)} <div>
                        <h3>
                            <span class="sr">{said}</span>
                            {step.title}
                        </h3>
                        {at}
                        <span class="muted small">{step.detail}</span>
                    </div>
                </li>
            }
        })
        .collect_view();
    view! { <ol class="steps">{items}</ol> }.into_any()
}

fn tell(view: &RotationView, begun_ms: Millis, moments: &Moments) -> Vec<Told> {
    let RotationView { rotation, new, old, .. } = view;
    let stage = rotation.stage;
    let reached = |step: Step| stage.step().is_some_and(|at| at >= step);
    let used_ms = new.life.first_work_ms.or(moments.used_ms);
    let is_used = reached(Step::InUse) || used_ms.is_some();
    let retired = stage == Stage::Retired;
    let silent = match (is_used, old.life.last_used_ms) {
        (false, _) => "Counts from the first work of the new key on.".to_owned(),
        (true, None) => "The old key was never used.".to_owned(),
        (true, Some(_)) if retired || reached(Step::Draining) => came_back(moments.returns),
        (true, Some(_)) => "Still used.".to_owned(),
    };
    vec![
        Told {
            title: "New key issued",
            at: Some(begun_ms),
            detail: words::sentence(&begun_by(rotation)),
            is_done: true,
        },
        Told {
            title: "Delivered",
            at: moments.delivered_ms,
            detail: view.delivered_by(),
            is_done: moments.delivered_ms.is_some() || reached(Step::Delivered) || is_used,
        },
        Told {
            title: "Tested",
            at: new.life.tested_ms,
            detail: match (new.life.tested_ms, is_used) {
                (None, true) => "No test was seen: it went to work at once.".to_owned(),
                (_, _) => "A connection test; it does not count as use.".to_owned(),
            },
            is_done: new.life.tested_ms.is_some() || is_used,
        },
        Told {
            title: "In use",
            at: used_ms,
            detail: "The first real work with the new key.".to_owned(),
            is_done: is_used,
        },
        Told {
            title: "Old key silent",
            at: moments.silent_ms,
            detail: silent,
            is_done: retired || reached(Step::Draining),
        },
        Told {
            title: "Old key retired",
            at: old.life.retired_ms,
            detail: "By itself, when the silence is long enough.".to_owned(),
            is_done: retired,
        },
    ]
}

fn came_back(returns: i64) -> String {
    match returns {
        0 => "It has not come back.".to_owned(),
        1 => "It came back once.".to_owned(),
        more => format!("It came back {} times.", words::number(more)),
    }
}

fn keys(view: &RotationView, now: Millis) -> AnyView {
    let part = |label: &'static str, key: &domain::keys::Key| {
        let used = match key.life.last_used_ms {
            Some(at) => {
                let from =
                    key.last_used_source.clone().map(|source| format!(" from {source}")).unwrap_or_default();
                let by = key.last_used_agent.clone().map(|agent| format!(" by {agent}")).unwrap_or_default();
                view! {
                    "last used "
                    <Ago at now />
                    {by}
                    {from}
                }
                .into_any()
            }
            None => "never used".into_any(),
        };
        view! {
            <dt>{label}</dt>
            <dd>
                <KeyLink key />
                ", "
                {used}
            </dd>
        }
    };
    view! { <dl class="props">{part("New", &view.new)} {part("Old", &view.old)}</dl> }.into_any()
}
