//! The board: what is under way, what is due, what is exempt, and what happens by itself next.

use domain::{
    Millis,
    rotations::{Stage, Step},
};
use leptos::prelude::*;
use ops::rotations::{Board as Data, ClockView, DueKey, Planned, RotationView, Wait};

use super::verdict::{Act, begun_by, evidence, headline, is_held, is_stalled, may_hand_off, next, pill};
use crate::{
    api,
    islands::live::Live,
    ssr::{now_ms, query},
    ui::{
        button::{LinkButton, PostButton},
        callout::{Callout, Empty},
        keys::KeyLink,
        lifespan::{Lifespan, Span},
        page::{Head, Section, page},
        status::{Shape, Status},
        still::IntoAny,
        time::{Ago, Exact, exact, relative},
        track::Track,
    },
    words,
};

/// How many keys of a group are shown at once; the rest is one click away.
const SHOWN: usize = 50;

/// Every live rotation, and every key against the limit of its policy.
#[component]
pub fn Board() -> impl IntoView {
    page(Section::Rotation, async {
        let mut data = api::rotation::board(query("federation").as_deref()).await?;
        // A successor that has not taken over yet stands with its rotation.
        let successors: Vec<_> = data.open.iter().map(|view| view.new.id.clone()).collect();
        for shelf in [&mut data.overdue, &mut data.this_week, &mut data.later, &mut data.exempt] {
            shelf.retain(|due| !successors.contains(&due.key.id));
        }
        let now = now_ms();
        let head = Head::new("Rotation").lead(lead(&data)).actions(view! {
            <LinkButton href="/settings/rotation" label="Installation policy" icon="sliders-horizontal" />
        });
        let has_keys = !(data.overdue.is_empty() && data.this_week.is_empty() && data.later.is_empty());
        let body = view! {
            <Live part="board".to_owned() every=5>
                <div id="board" class="stack">
                    {clock(&data.clock, now)} {by_hand(&data)} {under_way(&data, now)}
                    {due("overdue", "Overdue", "Older than their policy allows, or ended without a successor.", &data.overdue, now)}
                    {due("week", "Due this week", "They end, or their rotation begins, within seven days.", &data.this_week, now)}
                    {plan(&data.plan, has_keys, now)} {due("later", "Later", "Well within their limits.", &data.later, now)}
                    {due("exempt", "Exempt", "An exception holds, or nobody has ever used the key.", &data.exempt, now)}
                    {ended(&data.ended, now)}
                </div>
            </Live>
        };
        Ok((head, body.into_any()))
    })
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn lead(data: &Data) -> String {
    format!(
        "{} in progress, {} overdue, {} due this week.",
        words::number(count(data.open.len())),
        words::number(count(data.overdue.len())),
        words::number(count(data.this_week.len()))
    )
}

/// The clock has jumped: nothing happens by itself until somebody agrees.
fn clock(clock: &ClockView, now: Millis) -> Option<AnyView> {
    let jump = clock.jump?;
    let blocked = (!clock.may_agree).then(|| words::NEEDS_ADMIN.to_owned());
    let text = format!(
        "Before it was {}, then {}. Nothing begins and nothing retires by itself until a person, or a second source of the time, agrees. It is {} now by this clock.",
        exact(jump.from_ms),
        exact(jump.to_ms),
        exact(now)
    );
    Some(
        view! {
            <Callout shape=Shape::Look verdict="The clock has jumped.">
                <p>{text}</p>
                <div class="actions">
                    <PostButton action="/rotation/clock" label="The time is right" blocked />
                </div>
            </Callout>
        }
        .into_any(),
    )
}

/// No policy rotates anything: what that means, and the way out.
fn by_hand(data: &Data) -> Option<AnyView> {
    let groups = [&data.overdue, &data.this_week, &data.later];
    let mut keys = groups.into_iter().flatten().peekable();
    keys.peek()?;
    let is_by_hand = keys.all(|due| due.waits == Some(Wait::ByHand));
    (is_by_hand && data.open.is_empty()).then(|| {
        view! {
            <section class="card flush">
                <Empty
                    title="No policy rotates keys yet"
                    text="Keys are watched, and rotated by hand. With a policy Keyward begins in time by itself, brings the successor to its consumer, and retires the old key when it has fallen silent."
                >
                    <LinkButton href="/settings/rotation" label="Set a policy for all" primary=true />
                    <LinkButton href="/federations" label="Or for one federation" />
                </Empty>
            </section>
        }
        .into_any()
    })
}

/// How many stand at each step, then each of them.
fn under_way(data: &Data, now: Millis) -> AnyView {
    let open = &data.open;
    if open.is_empty() {
        return view! {
            <section class="card" aria-labelledby="progress">
                <h2 id="progress">"In progress"</h2>
                <p class="muted">
                    "No rotation is under way. One begins when a key is due by its policy, or when somebody rotates a key."
                </p>
            </section>
        }
        .into_any();
    }
    let pipeline = Step::ALL
        .into_iter()
        .map(|step| {
            let at = open.iter().filter(|view| view.rotation.stage.step() == Some(step)).count();
            view! {
                <li class=(at > 0).then_some("some")>
                    <strong>{words::number(count(at))}</strong>
                    <span>{step.label()}</span>
                </li>
            }
        })
        .collect_view();
    let items = open.iter().map(|view| item(view, now)).collect_view();
    view! {
        <ol class="pipeline" aria-label="Rotations by step">
            {pipeline}
        </ol>
        <section class="card flush" aria-labelledby="progress">
            <header>
                <h2 id="progress">"In progress " <span class="muted">{open.len()}</span></h2>
            </header>
            <ul class="rotations">{items}</ul>
        </section>
    }
    .into_any()
}

fn item(view: &RotationView, now: Millis) -> impl IntoView + use<> {
    let RotationView { rotation, federation, old, new, .. } = view;
    let stage = rotation.stage;
    let (shape, word) = pill(stage);
    let class = match (is_stalled(stage), is_held(stage)) {
        (true, _) => "stalled",
        (_, true) => "held",
        (false, false) => "",
    };
    let (_, verdict) = headline(view);
    let path = format!("/rotation/{}", rotation.id);
    let pair = format!(
        "{} {} to {} {}",
        old.name,
        words::ends_with(&old.last_four),
        new.name,
        words::ends_with(&new.last_four)
    );
    let next = next(view, now).map(|text| view! { <p class="muted">{text}</p> });
    view! {
        <li class=class>
            <div>
                <h3>
                    <a href=path.clone()>{federation.name.clone()}</a>
                </h3>
                <p class="pair">{pair}</p>
            </div>
            <Status shape word />
            <Track stage />
            <div class="said">
                <p>
                    <strong>{verdict}</strong>
                    " "
                    {evidence(view, now)}
                </p>
                {next}
                <p class="muted">
                    "At this step since " <Ago at=rotation.since_ms now />
                    {format!(", begun {} ", begun_by(rotation))} <Ago at=rotation.begun_ms now /> "."
                </p>
            </div>
            {actions(view, &path)}
        </li>
    }
}

/// What can be done with it; each leads to a page that says what will happen.
fn actions(view: &RotationView, path: &str) -> Option<AnyView> {
    if !view.may_act {
        return None;
    }
    let stage = view.rotation.stage;
    let name = format!("{}, {}", view.federation.name, view.old.name);
    let link = |href: String, label: &'static str| {
        view! {
            <a class="btn sm" href=href aria-label=format!("{label}: {name}")>
                {label}
            </a>
        }
    };
    let acts = Act::ALL
        .into_iter()
        .filter(|act| act.is_possible(stage))
        .map(|act| link(format!("{path}/{}", act.as_str()), act.label()))
        .collect_view();
    let hand_off =
        may_hand_off(stage).then(|| link(format!("/keys/{}/hand-over", view.new.id), "New hand-off"));
    Some(view! { <div class="actions">{hand_off} {acts}</div> }.into_any())
}

/// A group of keys with their lifespans.
fn due(
    id: &'static str,
    title: &'static str,
    text: &'static str,
    keys: &[DueKey],
    now: Millis,
) -> Option<AnyView> {
    if keys.is_empty() {
        return None;
    }
    let rows = keys.iter().take(SHOWN).map(|due| row(due, now)).collect_view();
    let rest = keys.len().saturating_sub(SHOWN);
    let rest = (rest > 0).then(|| {
        view! {
            <p class="muted pad">
                {format!("And {} more: ", words::number(count(rest)))} <a href="/keys?state=accepted">"all keys"</a> "."
            </p>
        }
    });
    Some(
        view! {
            <section class="card flush" aria-labelledby=id>
                <header>
                    <div>
                        <h2 id=id>{title} " " <span class="muted">{keys.len()}</span></h2>
                        <p class="muted small">{text}</p>
                    </div>
                </header>
                <div class="tw" tabindex="0" role="region" aria-label=format!("Table of keys: {title}")>
                    <table class="t cards due">
                        <caption class="sr">{format!("{title}, the first to end first")}</caption>
                        <thead>
                            <tr>
                                <th scope="col">"Key"</th>
                                <th scope="col">"Age"</th>
                                <th scope="col">"What happens next"</th>
                                <th scope="col">"Ends"</th>
                                <th scope="col">"Action"</th>
                            </tr>
                        </thead>
                        <tbody>{rows}</tbody>
                    </table>
                </div>
                {rest}
            </section>
        }
        .into_any(),
    )
}

fn row(due: &DueKey, now: Millis) -> impl IntoView + use<> {
    let (key, federation) = (&due.key, &due.federation);
    let span = span(due, now);
    let ends = due.ends_ms;
    let verb = if ends > now { "" } else { "ended " };
    let action = if due.may_act && due.key.successor_id.is_none() {
        view! {
            <a class="btn sm" href=format!("/keys/{}/rotate", key.id) aria-label=format!("Rotate {}", key.name)>
                "Rotate"
            </a>
        }
        .into_any()
    } else {
        view! { <a href=format!("/keys/{}", key.id)>"Open"</a> }.into_any()
    };
    view! {
        <tr>
            <th scope="row">
                <KeyLink key />
                <span class="sub">{federation.name.clone()}</span>
            </th>
            <td data-l="Age">
                <Lifespan id=key.id.to_string() span />
            </td>
            <td data-l="Next">
                <span class="break">{what_next(due, now)}</span>
            </td>
            <td data-l="Ends">
                <span>{verb} <Ago at=ends now /></span>
            </td>
            <td data-l="Action" class="s">
                {action}
            </td>
        </tr>
    }
}

fn span(due: &DueKey, now: Millis) -> Span {
    let issued = due.key.life.issued_ms;
    let limit = (due.ends_ms - issued).max(1);
    let begins = due.due.map_or(limit, |due| due.at_ms - issued);
    Span { age: now - issued, due: begins.min(limit), limit, end: None }
}

fn what_next(due: &DueKey, now: Millis) -> String {
    match (&due.exception, due.waits, due.due) {
        (Some(exception), ..) => format!(
            "Exempt until {}, {} answers for it: {}",
            exact(exception.ends_ms),
            exception.owner,
            words::sentence(&exception.reason)
        ),
        (None, Some(wait), _) => wait.sentence().to_owned(),
        (None, None, Some(due)) if due.at_ms > now => {
            format!("Its rotation begins {}.", relative(due.at_ms, now))
        }
        (None, None, Some(_)) => "Its rotation begins any moment.".to_owned(),
        (None, None, None) => "No policy rotates it.".to_owned(),
    }
}

/// What happens by itself, the next first.
fn plan(plan: &[Planned], has_keys: bool, now: Millis) -> Option<AnyView> {
    if plan.is_empty() && !has_keys {
        return None;
    }
    let items = plan
        .iter()
        .take(20)
        .map(|planned| {
            let (key, federation) = (&planned.key, &planned.federation);
            let when = if planned.at_ms > now {
                view! { <Exact at=planned.at_ms /> }.into_any()
            } else {
                "Any moment".into_any()
            };
            let rotation = planned.rotation_id.as_ref().map(|id| {
                view! {
                    " "
                    <a href=format!("/rotation/{id}")>"Rotation"</a>
                }
            });
            view! {
                <li>
                    <span>{when}</span>
                    <span>
                        <KeyLink key /> {format!(" of {} {}.", federation.name, planned.what.sentence())} {rotation}
                    </span>
                </li>
            }
        })
        .collect_view();
    let body = if plan.is_empty() {
        view! { <p class="muted pad">"Nothing: no rotation is under way, and no policy begins one."</p> }
            .into_any()
    } else {
        view! { <ol class="plan">{items}</ol> }.into_any()
    };
    Some(
        view! {
            <section class="card flush" aria-labelledby="plan">
                <header>
                    <h2 id="plan">"What happens by itself next"</h2>
                </header>
                {body}
            </section>
        }
        .into_any(),
    )
}

/// What has ended in the last seven days.
fn ended(ended: &[RotationView], now: Millis) -> Option<AnyView> {
    if ended.is_empty() {
        return None;
    }
    let items = ended
        .iter()
        .map(|view| {
            let (shape, word) = pill(view.rotation.stage);
            let note = match view.rotation.stage {
                Stage::Retired => format!(" took over from {}.", view.old.name),
                Stage::RolledBack => format!(" was withdrawn; {} goes on.", view.old.name),
                Stage::Revoked => format!(" goes on; {} was revoked.", view.old.name),
                Stage::Open(_) | Stage::Stalled(_) | Stage::Held(_) => String::new(),
            };
            view! {
                <li>
                    <Status shape word />
                    <div>
                        <a href=format!("/rotation/{}", view.rotation.id)>{view.federation.name.clone()}</a>
                        {format!(": {}{note}", view.new.name)}
                    </div>
                    <span class="muted small">
                        {view.rotation.ended_ms.map(|at| view! { <Ago at now /> })}
                    </span>
                </li>
            }
        })
        .collect_view();
    Some(
        view! {
            <section class="card flush" aria-labelledby="ended">
                <header>
                    <h2 id="ended">"Ended in the last seven days"</h2>
                </header>
                <ul class="tasks">{items}</ul>
            </section>
        }
        .into_any(),
    )
}
