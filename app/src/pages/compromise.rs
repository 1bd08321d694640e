//! Reporting a compromise, with what it will do and to whom; and laying out a canary.

use domain::{
    keys::KeyState,
    rotations::{Half, Stage, Step},
};
use leptos::prelude::*;
use ops::compromise::Consequences;

use crate::{
    api,
    error::{UiError, UiErrorKind},
    ssr::{now_ms, param},
    ui::{
        callout::Callout,
        form::{Form, field},
        page::{Head, Section, page},
        status::Shape,
        still::IntoAny,
        time::relative,
    },
    words,
};

/// The form that reports a compromise.
#[component]
pub fn ReportCompromise() -> impl IntoView {
    page(Section::Keys, async {
        let data = api::telling::consequences(&param("id")).await?;
        if !data.view.may_manage {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let form = Form::current();
        let key = &data.view.key;
        let path = format!("/keys/{}", key.id);
        let head = Head::new(format!("Report the compromise of {}", key.name))
            .crumb("/keys", "Keys")
            .crumb(path.clone(), key.name.clone())
            .lead("One action: the key is stopped, replaced, the new one is brought, and a case is opened.");
        let stops = [
            ("hold", "Hold it: 503, the provider waits and comes back. Recommended"),
            ("revoke", "Revoke it: 401, for good"),
        ];
        let stops = stops.map(|(value, label)| (value.to_owned(), label.to_owned())).to_vec();
        let body = view! {
            {in_use(&data)}
            <section class="card" aria-labelledby="what">
                <h2 id="what">"What happens"</h2>
                <ol class="path">{steps(&data).into_iter().map(|step| view! { <li>{step}</li> }).collect_view()}</ol>
            </section>
            <form class="card form" method="post" action=format!("{path}/compromise")>
                {form.summary()}
                {form.select(field("stop", "Stop the key").default("hold"), stops)}
                {form
                    .input(
                        field("reason", "How you know")
                            .hint("Kept in the case and in the audit log: found in a public repository, laptop stolen."),
                        "text",
                    )}
                {form
                    .input(
                        field("leaked", "Out since")
                            .optional()
                            .hint("UTC, as far as you know: 2026-11-23 20:30. The case measures from it."),
                        "text",
                    )}
                <div class="actions">
                    <button class="btn danger">{format!("Stop and replace {}", key.name)}</button>
                    <a class="btn ghost" href=path.clone()>
                        "Keep key"
                    </a>
                </div>
            </form>
        };
        Ok((head, body.into_any()))
    })
}

fn in_use(data: &Consequences) -> AnyView {
    let key = &data.view.key;
    let provider = words::provider(data.view.federation.vendor);
    if let Some(case) = &data.case {
        let (href, title) = (format!("/cases/{}", case.id), case.title.clone());
        return view! {
            <Callout shape=Shape::Look verdict="A case is open.">
                <p>"What you report is added to " <a href=href>{title}</a> "."</p>
            </Callout>
        }
        .into_any();
    }
    match (data.view.state, key.life.last_used_ms) {
        (KeyState::Revoked | KeyState::Retired | KeyState::Expired, _) => view! {
            <Callout shape=Shape::Ended verdict="It opens nothing any more.">
                <p>"The case is opened all the same, and whoever presents it from now on is a finding."</p>
            </Callout>
        }
        .into_any(),
        (_, Some(at)) => {
            let verdict = format!("Used {}.", relative(at, now_ms()));
            let text = format!("{provider} works with it: it waits until the new key is there.");
            view! {
                <Callout shape=Shape::Broken verdict>
                    <p>{text}</p>
                </Callout>
            }
            .into_any()
        }
        (_, None) => view! {
            <Callout shape=Shape::Unknown verdict="Never used.">
                <p>"Nobody has provisioned with it, so nothing stops."</p>
            </Callout>
        }
        .into_any(),
    }
}

/// What becomes of both keys of an open rotation, and of the provider.
fn in_rotation(name: &str, provider: &str, stage: Stage, half: Half) -> String {
    let is_silent = stage.step() == Some(Step::Draining);
    let is_proven = is_silent || stage.step() == Some(Step::InUse);
    match (half, is_proven, is_silent) {
        (Half::Old, false, _) => format!(
            "A rotation of it is open, and its successor has done no work yet: the successor is brought at once, and \
             {provider} waits until it has it."
        ),
        (Half::Old, true, false) => format!(
            "Its successor works already. Whatever of {provider} still uses {name} is stopped until it moves over."
        ),
        (Half::Old, true, true) => format!(
            "Its successor has taken over and {name} has fallen silent: it is revoked for good even when you choose to \
             hold it. {provider} goes on with the successor."
        ),
        (Half::New, _, false) => format!(
            "{name} is a successor that has not taken over: it is revoked for good, even when you choose to hold it, and \
             whatever of {provider} works with it gets 401. The key before it goes on, and another successor is made."
        ),
        (Half::New, _, true) => format!(
            "{name} has taken over: the key before it is retired, {name} is stopped as you choose, and a successor of \
             its own is made. {provider} waits until it has that one."
        ),
    }
}

/// What happens, and to whom, in its order.
fn steps(data: &Consequences) -> Vec<String> {
    let key = &data.view.key;
    let federation = &data.view.federation;
    let provider = words::provider(federation.vendor);
    let mut steps = Vec::new();
    // The other key of a rotation decides what becomes of this one, whatever is chosen below.
    let goes_back = matches!(&data.rotation, Some((_, Half::New)));
    if data.view.state.is_accepted() && !key.canary && !goes_back {
        steps.push(format!(
            "{} is stopped at once, on every node within a second. Held, {provider} gets 503 with Retry-After and \
             nothing is lost; revoked, it gets 401. {}",
            key.name,
            words::after_401(federation.vendor)
        ));
    }
    match (data.no_successor, &data.rotation) {
        (Some(why), _) => steps.push(format!("No new key is made: {why}.")),
        (None, Some((rotation, half))) => {
            steps.push(in_rotation(&key.name, provider, rotation.stage, *half));
        }
        (None, None) => {
            steps.push(format!("A new key with the same rights is made for {}.", federation.name));
        }
    }
    if data.replaces {
        steps.push(match (data.targets.as_slice(), data.people.as_slice()) {
            ([first, ..], _) => format!("It is brought to {first} now, and the consumer is started."),
            ([], []) => {
                "There is no delivery target and nobody can be told by mail: make a hand-over link on the page of the \
                 case."
                    .to_owned()
            }
            ([], people) => format!("A hand-over link goes to {}: there is no delivery target.", people.join(", ")),
        });
        steps.push(format!("The case waits for the first good request of {provider} with the new key."));
    }
    steps.push("The owners and every channel are told.".to_owned());
    steps
}

/// The form that issues a canary.
#[component]
pub fn NewCanary() -> impl IntoView {
    page(Section::Federations, async {
        let (view, _) = api::federations::schemas(&param("slug")).await?;
        if !view.may_manage_keys {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let federation = &view.federation;
        let form = Form::current();
        let path = format!("/federations/{}", federation.slug);
        let head = Head::new(format!("Lay out a canary for {}", federation.name))
            .crumb("/federations", "Federations")
            .crumb(path.clone(), federation.name.clone())
            .lead("A canary looks like a key and opens nothing. Nobody has a reason to use it: its first use is a critical finding and a case.");
        let body = view! {
            <form class="card form" method="post" action=format!("{path}/canary")>
                {form.summary()}
                {form.input(field("name", "Name").hint("As a real key would be called."), "text")}
                {form
                    .input(
                        field("place", "Where it will lie")
                            .hint("Told when it is used: the wiki page, the vault path, the repository."),
                        "text",
                    )}
                <div class="actions">
                    <button class="btn primary">"Issue canary"</button>
                    <a class="btn ghost" href=path.clone()>
                        "Back to the federation"
                    </a>
                </div>
            </form>
        };
        Ok((head, body.into_any()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preview_says_what_becomes_of_each_key_and_of_the_provider() {
        let check = |step, half, expect: &str| {
            for stage in [Stage::Open(step), Stage::Held(step)] {
                let text = in_rotation("okta-2", "Okta", stage, half);
                assert!(text.contains(expect) && text.contains("Okta"), "{step:?} {half:?}: {text}");
            }
        };
        for step in [Step::Issued, Step::Delivered, Step::Tested] {
            check(step, Half::Old, "brought at once");
            check(step, Half::New, "The key before it goes on");
        }
        check(Step::InUse, Half::Old, "stopped until it moves over");
        check(Step::InUse, Half::New, "The key before it goes on");
        check(Step::Draining, Half::Old, "revoked for good even when you choose to hold");
        check(Step::Draining, Half::New, "the key before it is retired");
    }
}
