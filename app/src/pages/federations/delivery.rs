//! Where the keys of a federation are brought: its targets in order, each with its last result, and what was
//! delivered.

use domain::{
    Millis,
    deliveries::{Connector, DeliveryState, FailureKind, Report, StepOutcome, Target},
};
use leptos::prelude::*;
use ops::deliveries::{DeliveryPage, Row};

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
        time::Ago,
    },
    words,
};

/// The targets of a federation and its deliveries.
#[component]
pub fn Delivery() -> impl IntoView {
    page(Section::Federations, async {
        let view = api::deliveries::page(&param("slug")).await?;
        let now = now_ms();
        let path = format!("/federations/{}", view.federation.slug);
        let head = Head::new(format!("Delivery of {}", view.federation.name))
            .crumb("/federations", "Federations")
            .crumb(path.clone(), view.federation.name.clone())
            .lead("When a key is rotated, its successor is brought to the first target that takes it.");
        // What testing, moving or removing was refused for.
        let refused = Form::current().summary();
        let base = format!("{path}/delivery");
        let body = view! {
            {refused}
            {verdict(&view)}
            {targets(&base, &view, now)}
            {offers(&base, &view)}
            {history(&view, now)}
        };
        Ok((head, body.into_any()))
    })
}

/// How the next successor gets to its consumer, in a sentence.
fn verdict(view: &DeliveryPage) -> AnyView {
    let Some(first) = view.targets.first() else {
        return view! {
            <Callout shape=Shape::Look verdict="By hand.">
                <p>
                    "There is no target: each owner with a mail address gets a link that opens once, and brings the key to the provider. A target does it without anybody."
                </p>
            </Callout>
        }
        .into_any();
    };
    let (shape, title, text) = match &first.last_result {
        None => (
            Shape::Unknown,
            "Not tested yet.",
            format!("Test {} before a rotation needs it: nothing is written by a test.", first.name),
        ),
        Some(report) if report.is_good() => {
            (Shape::Good, "Ready.", format!("The next successor goes to {} by itself.", first.name))
        }
        Some(report) => {
            (Shape::Broken, "The first target does not take a key.", words::sentence(report.sentence()))
        }
    };
    let next = (view.targets.len() > 1 && shape == Shape::Broken).then(|| {
        view! { <p>"The next target has its turn when the first one cannot take a key at all. The old key goes on until the new one works."</p> }
    });
    view! {
        <Callout shape verdict=title>
            <p>{text}</p>
            {next}
        </Callout>
    }
    .into_any()
}

fn targets(base: &str, view: &DeliveryPage, now: Millis) -> Option<AnyView> {
    if view.targets.is_empty() {
        return None;
    }
    let count = view.targets.len();
    let cards = view
        .targets
        .iter()
        .enumerate()
        .map(|(place, target)| card(base, view, target, (place, count), now))
        .collect_view();
    Some(
        view! {
            <section aria-labelledby="targets" class="targets">
                <h2 id="targets">"Targets, in the order in which they are tried"</h2>
                <ol class="plain">{cards}</ol>
            </section>
        }
        .into_any(),
    )
}

fn card(
    base: &str,
    view: &DeliveryPage,
    target: &Target,
    (place, count): (usize, usize),
    now: Millis,
) -> AnyView {
    let path = format!("{base}/{}", target.id);
    let connector = target.settings.connector();
    let title = format!("{}. {}", place + 1, target.name);
    let heading = format!("target-{}", place + 1);
    let may_set = || (!view.may_set).then(|| words::NEEDS_OPERATOR.to_owned());
    let may_run = || (!view.may_run).then(|| words::NEEDS_OPERATOR.to_owned());
    let moves = (view.may_run && count > 1).then(|| {
        let earlier = (place > 0).then(|| {
            view! { <PostButton action=format!("{path}/earlier") label="Try earlier" /> }
        });
        let later = (place + 1 < count).then(|| {
            view! { <PostButton action=format!("{path}/later") label="Try later" /> }
        });
        view! {
            {earlier}
            {later}
        }
    });
    let pinned = if target.settings.trust.public_key.is_empty() {
        "Any certificate that is trusted"
    } else {
        "Approved public keys only"
    };
    view! {
        <li class="card">
            <header class="row">
                <h3 id=heading>{title}</h3>
                {state(target, now)}
            </header>
            <dl class="props">
                <dt>"Connector"</dt>
                <dd>{connector.label()}</dd>
                <dt>"Place"</dt>
                <dd>
                    <code class="wrap">{target.settings.place()}</code>
                </dd>
                <dt>"Certificate"</dt>
                <dd>{pinned}</dd>
                <dt>"Approved"</dt>
                <dd>{format!("by {} ", target.approved_by)} <Ago at=target.approved_ms now /></dd>
            </dl>
            {target.last_result.as_ref().map(|report| steps(report, &target.name))}
            <div class="actions">
                <PostButton action=format!("{path}/test") label="Test it" blocked=may_run() />
                <LinkButton href=path.clone() label="Edit target" icon="pencil" blocked=may_set() />
                {moves}
                {view
                    .may_set
                    .then(|| {
                        view! {
                            <details class="more">
                                <summary>"Remove"</summary>
                                <p class="muted">
                                    "Its credential is forgotten. What is on its way there goes to the next target."
                                </p>
                                <PostButton action=format!("{path}/remove") label="Remove target" danger=true />
                            </details>
                        }
                    })}
            </div>
        </li>
    }
    .into_any()
}

fn state(target: &Target, now: Millis) -> AnyView {
    let Some(report) = &target.last_result else {
        return view! { <Status shape=Shape::Unknown word="Not tested yet" /> }.into_any();
    };
    let (shape, word) = match report.failure {
        None => (Shape::Good, "Works"),
        Some(FailureKind::Weather | FailureKind::Unclear) => (Shape::Look, "Does not answer well"),
        Some(FailureKind::Refused) => (Shape::Broken, "Refuses"),
        Some(FailureKind::Unsupported) => (Shape::Broken, "Takes no key"),
        Some(FailureKind::Distrusted) => (Shape::Broken, "Not the one approved"),
    };
    view! {
        <span>
            <Status shape word />
            " "
            <Ago at=report.at_ms now />
        </span>
    }
    .into_any()
}

/// What became of each step, the last time.
fn steps(report: &Report, name: &str) -> AnyView {
    let rows = report
        .steps
        .iter()
        .map(|step| {
            let (shape, word) = match step.outcome {
                StepOutcome::Done => (Shape::Good, "Done"),
                StepOutcome::Skipped => (Shape::Ended, "Nothing to do"),
                StepOutcome::Failed => (Shape::Broken, "Failed"),
            };
            view! {
                <tr>
                    <th scope="row">{step.step.label()}</th>
                    <td data-l="Outcome">
                        <Status shape word />
                    </td>
                    <td data-l="What came">{words::sentence(&step.sentence)}</td>
                </tr>
            }
        })
        .collect_view();
    let shown = report.public_key.clone().map(|public_key| {
        view! {
            <p class="muted small">
                "Public key of its certificate: " <code class="wrap">{public_key}</code>
                " Edit the target to approve no other."
            </p>
        }
    });
    view! {
        <div class="tw" tabindex="0" role="region" aria-label=format!("Last result of {name}")>
            <table class="t cards">
                <thead>
                    <tr>
                        <th scope="col">"Step"</th>
                        <th scope="col">"Outcome"</th>
                        <th scope="col">"What came"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        {shown}
    }
    .into_any()
}

/// What can be added.
fn offers(base: &str, view: &DeliveryPage) -> Option<AnyView> {
    if !view.may_set {
        return None;
    }
    let rows = Connector::ALL
        .into_iter()
        .map(|connector| {
            let href = format!("{base}/new?connector={}", connector.as_str());
            view! {
                <li>
                    <a href=href>{connector.label()}</a>
                    <span class="sub">{connector.summary()}</span>
                </li>
            }
        })
        .collect_view();
    let is_first = view.targets.is_empty();
    Some(
        view! {
            <section class="card" aria-labelledby="add">
                <h2 id="add">{if is_first { "Add a target" } else { "Add another target" }}</h2>
                <ul class="plain choices">{rows}</ul>
            </section>
        }
        .into_any(),
    )
}

fn history(view: &DeliveryPage, now: Millis) -> AnyView {
    let body = if view.deliveries.is_empty() {
        view! {
            <Empty
                title="Nothing was delivered yet"
                text="Each rotation leaves a row here: which key went where, when, and how often it was tried."
            />
        }
        .into_any()
    } else {
        let rows = view.deliveries.iter().map(|row| entry(row, now)).collect_view();
        view! {
            <div class="tw" tabindex="0" role="region" aria-label="Table of deliveries">
                <table class="t cards">
                    <thead>
                        <tr>
                            <th scope="col">"Key"</th>
                            <th scope="col">"To"</th>
                            <th scope="col">"State"</th>
                            <th scope="col">"What came"</th>
                            <th scope="col">"Begun"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        }
        .into_any()
    };
    view! {
        <section class="card flush" aria-labelledby="deliveries">
            <header>
                <h2 id="deliveries">"Deliveries"</h2>
            </header>
            {body}
        </section>
    }
    .into_any()
}

/// What state a delivery is in, for people.
fn of_delivery(state: DeliveryState) -> Shape {
    match state {
        DeliveryState::Waiting | DeliveryState::UnderWay => Shape::Moving,
        DeliveryState::Delivered | DeliveryState::Promoted => Shape::Good,
        DeliveryState::Failed => Shape::Broken,
        DeliveryState::GivenUp | DeliveryState::Cancelled => Shape::Ended,
    }
}

fn entry(row: &Row, now: Millis) -> AnyView {
    let delivery = &row.delivery;
    let to = match (&row.target_name, &delivery.target_id) {
        (Some(name), _) => name.clone(),
        (None, Some(_)) => "A target that was removed".to_owned(),
        (None, None) => "A person, by link".to_owned(),
    };
    let again = (delivery.state == DeliveryState::Waiting && delivery.attempts > 0).then(|| {
        view! {
            <span class="sub">
                {words::count(delivery.attempts, "attempt")} "; again " <Ago at=delivery.due_ms.max(now + 1_000) now />
            </span>
        }
    });
    let sentence = delivery.report.sentence();
    let sentence = if sentence.is_empty() { "Not tried yet.".to_owned() } else { words::sentence(sentence) };
    let sentence = if delivery.target_id.is_none() { String::new() } else { sentence };
    view! {
        <tr>
            <th scope="row">
                <a href=format!("/keys/{}", delivery.key_id)>{row.key_name.clone()}</a>
            </th>
            <td data-l="To">{to}</td>
            <td data-l="State">
                <Status shape=of_delivery(delivery.state) word=delivery.state.label() />
                {again}
            </td>
            <td data-l="What came">{sentence}</td>
            <td data-l="Begun">
                <Ago at=delivery.made_ms now />
            </td>
        </tr>
    }
    .into_any()
}
