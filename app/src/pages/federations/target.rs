//! Where a federation keeps its users and groups: the cards on its page.

use domain::{
    Millis,
    federations::Federation,
    upstreams::{CallVerb, Quirks, Trouble},
};
use leptos::prelude::*;
use ops::gateway::{
    breaker::BreakerState,
    probe::Kept,
    target::{OpenCall, TargetView, UpstreamView, Waiting},
};

use crate::{
    ui::{
        button::{LinkButton, PostButton},
        callout::Callout,
        status::{Shape, Status},
        still::IntoAny,
        time::Ago,
    },
    words,
};

/// The card on the page of a federation.
pub fn card(federation: &Federation, target: &TargetView, now: Millis) -> AnyView {
    let path = format!("/federations/{}/target", federation.slug);
    let change = |label: &'static str| {
        let blocked = (!target.may_set).then(|| words::NEEDS_ADMIN.to_owned());
        view! { <LinkButton href=path.clone() label=label icon="pencil" blocked=blocked /> }
    };
    let Some(upstream) = &target.upstream else {
        return view! {
            <section class="card" aria-labelledby="target">
                <h2 id="target">"Target"</h2>
                <p class="muted">
                    "Keyward keeps the users and groups itself. While there are none, this federation can forward to another SCIM service instead."
                </p>
                <div class="actions">{change("Forward to a service")}</div>
            </section>
        }
        .into_any();
    };
    let may_not = || (!target.may_run).then(|| words::NEEDS_OPERATOR.to_owned());
    view! {
        <section class="card" aria-labelledby="target">
            <h2 id="target">"Target"</h2>
            {verdict(&path, target, upstream, now)} {facts(upstream, now)}
            <div class="actions">
                <PostButton action=format!("{path}/test") label="Test connection" blocked=may_not() />
                <PostButton action=format!("{path}/probe") label="Probe" blocked=may_not() />
                {change("Change target")}
            </div>
            <p class="hint">
                "A test signs in and reads. A probe also creates users and groups of its own there, sends what providers send, and deletes them again."
            </p>
        </section>
        {waiting(&path, target, &upstream.waiting, now)}
        {open_calls(upstream, now)}
        {upstream.last_probe.as_deref().and_then(Kept::read).map(|kept| report(&path, target, upstream, &kept, now))}
    }
    .into_any()
}

/// What is the matter with a target, in a few words; nothing where nothing is.
pub fn trouble(target: &TargetView) -> Option<(Shape, &'static str)> {
    let view = target.upstream.as_ref()?;
    let test = view.upstream.last_test.as_ref().filter(|test| !test.worked);
    match test.map(|test| test.trouble) {
        Some(Some(Trouble::Credential)) => return Some((Shape::Broken, "Its credential is refused.")),
        Some(Some(Trouble::Certificate)) => return Some((Shape::Broken, "Its certificate is not trusted.")),
        Some(Some(Trouble::Unreachable | Trouble::Answer) | None) | None => {}
    }
    match (view.breaker, test.map(|test| test.trouble)) {
        (BreakerState::Open, _) => Some((Shape::Broken, "Nothing is sent: its last calls failed.")),
        (BreakerState::HalfOpen, _) => Some((Shape::Moving, "The next call finds out whether it is back.")),
        (BreakerState::Closed, Some(Some(Trouble::Unreachable))) => {
            Some((Shape::Broken, "It cannot be reached."))
        }
        (BreakerState::Closed, Some(_)) => {
            Some((Shape::Broken, "It does not answer as a SCIM service does."))
        }
        (BreakerState::Closed, None) => None,
    }
}

/// What is the matter, what providers notice of it, and what to do.
fn verdict(path: &str, target: &TargetView, view: &UpstreamView, now: Millis) -> Option<AnyView> {
    let test = view.upstream.last_test.as_ref();
    let found = test.filter(|test| !test.worked);
    let Some((shape, title)) = trouble(target) else {
        return test.is_none().then(|| {
            view! {
                <Callout shape=Shape::Unknown verdict="Not tested yet.">
                    <p>"Test the connection, then probe the service, before the provider pushes to it."</p>
                </Callout>
            }
            .into_any()
        });
    };
    let is_by_calls = matches!(view.breaker, BreakerState::Open | BreakerState::HalfOpen);
    let (what, at) = match (found, &view.last_failure) {
        (Some(test), _) if !is_by_calls || is_ours(test.trouble) => {
            (Some(test.note.clone()), Some(test.at_ms))
        }
        (_, Some((at, note))) => (Some(note.clone()), Some(*at)),
        (Some(_) | None, None) => (None, None),
    };
    let what = what.map(|what| {
        view! {
            <p>
                {words::sentence(bare(&what))} " " {at.map(|at| view! { <Ago at now /> })}
            </p>
        }
    });
    let advice = match found.and_then(|test| test.trouble) {
        Some(Trouble::Credential) => {
            "Enter a credential that the service accepts under Change target, then test the connection again."
        }
        Some(Trouble::Certificate) => {
            "If it is from an authority of your own, add the certificate of that authority under Change target, Trusted certificates. If it is not, somebody else answers at that address."
        }
        _ if is_by_calls => {
            "For 30 seconds nothing is sent, then one call finds out. See that the service is up; Test connection asks it at once."
        }
        Some(Trouble::Unreachable) => {
            "Check the address under Change target, and that the service is up. A private address has to be opened in egress.allow."
        }
        Some(Trouble::Answer) | None => {
            "Check the SCIM base URL under Change target: it ends before /Users, often with /v2."
        }
    };
    let edit = target.may_set.then(|| view! { <p><a href=path.to_owned()>"Change target"</a></p> });
    Some(
        view! {
            <Callout shape verdict=title>
                {what}
                <p>"The provider is told to come back, and keeps its changes."</p>
                <p>{advice}</p>
                {edit}
            </Callout>
        }
        .into_any(),
    )
}

/// What came of a call, without the word that says what it means for the records.
fn bare(note: &str) -> &str {
    note.strip_prefix("unclear: ").or_else(|| note.strip_prefix("not sent: ")).unwrap_or(note)
}

/// Whether it is ours to mend, whatever the calls say.
fn is_ours(trouble: Option<Trouble>) -> bool {
    match trouble {
        Some(Trouble::Credential | Trouble::Certificate) => true,
        Some(Trouble::Unreachable | Trouble::Answer) | None => false,
    }
}

fn facts(view: &UpstreamView, now: Millis) -> AnyView {
    let upstream = &view.upstream;
    let (shape, word) = match view.breaker {
        BreakerState::Closed => (Shape::Good, "Sent"),
        BreakerState::Open => (Shape::Broken, "Held back"),
        BreakerState::HalfOpen => (Shape::Moving, "One at a time"),
    };
    let quirks: Vec<&str> =
        Quirks::ALL.iter().filter(|quirk| (quirk.is_on)(&upstream.quirks)).map(|quirk| quirk.label).collect();
    let quirks = (!quirks.is_empty()).then(|| {
        view! {
            <dt>"Made up for"</dt>
            <dd>{quirks.join("; ")}</dd>
        }
    });
    let test = match &upstream.last_test {
        Some(test) => {
            let (shape, word) = if test.worked { (Shape::Good, "Worked") } else { (Shape::Broken, "Failed") };
            view! {
                <Status shape word />
                " "
                <Ago at=test.at_ms now />
                // What failed stands above.
                {test.worked.then(|| view! { <p class="muted">{words::sentence(&test.note)}</p> })}
            }
            .into_any()
        }
        None => view! { <Status shape=Shape::Unknown word="Not tested yet" /> }.into_any(),
    };
    view! {
        <dl class="props">
            <dt>"Service"</dt>
            <dd>
                <code>{upstream.base_url.clone()}</code>
            </dd>
            <dt>"Signs in with"</dt>
            <dd>{upstream.sign_in.label()}</dd>
            <dt>"Calls"</dt>
            <dd>
                <Status shape word />
            </dd>
            <dt>"Last test"</dt>
            <dd>{test}</dd>
            <dt>"Users and groups"</dt>
            <dd>
                {format!(
                    "{} and {} of this federation",
                    words::count(view.users, "user"),
                    words::count(view.groups, "group"),
                )}
            </dd>
            <dt>"Limits"</dt>
            <dd>
                {format!(
                    "{} at once, {} ms each",
                    words::count(upstream.limits.concurrency, "call"),
                    words::number(upstream.limits.timeout_ms),
                )}
            </dd>
            {quirks}
        </dl>
    }
    .into_any()
}

/// Calls that were made or begun, and of which nobody knows whether the service did them.
fn open_calls(view: &UpstreamView, now: Millis) -> Option<AnyView> {
    if view.open_calls == 0 {
        return None;
    }
    let rows = view
        .open
        .iter()
        .map(|OpenCall { verb, kind, name, since_ms, note }| {
            let verb = match verb {
                CallVerb::Create => "Create",
                CallVerb::Replace | CallVerb::Patch => "Change",
                CallVerb::Delete => "Delete",
            };
            let what = format!("{verb} {} {name}", kind.name().to_lowercase());
            let note = if note.is_empty() { "under way".to_owned() } else { note.clone() };
            view! {
                <tr>
                    <th scope="row">{what}</th>
                    <td data-l="What came">{words::sentence(bare(&note))}</td>
                    <td data-l="Asked for">
                        <Ago at=*since_ms now />
                    </td>
                </tr>
            }
        })
        .collect_view();
    Some(
        view! {
            <section class="card flush" aria-labelledby="open">
                <header>
                    <h2 id="open">{format!("{} of which nobody knows", words::count(view.open_calls, "call"))}</h2>
                </header>
                <p class="muted pad">
                    "The service may have done them or not. Keyward looks every few seconds and settles them by itself, without asking for anything twice. Until then changes of the same user or group are told to come back. While the service fails, they stay here: see that it is up."
                </p>
                <div class="tw" tabindex="0" role="region" aria-label="Table of open calls">
                    <table class="t cards">
                        <thead>
                            <tr>
                                <th scope="col">"Call"</th>
                                <th scope="col">"What came"</th>
                                <th scope="col">"Asked for"</th>
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

/// The checks of a probe that failed, or those that came out otherwise.
fn checks(kept: &Kept, wants_failed: bool, label: &'static str) -> Option<AnyView> {
    let wanted = kept.findings.iter().filter(|[verdict, ..]| (verdict == "failed") == wants_failed);
    let rows: Vec<_> = wanted
        .map(|[_, title, detail]| {
            view! {
                <tr>
                    <th scope="row">{title.clone()}</th>
                    <td data-l="What came">{words::sentence(detail)}</td>
                </tr>
            }
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let table = view! {
        <div class="tw" tabindex="0" role="region" aria-label=label>
            <table class="t told">
                <thead>
                    <tr>
                        <th scope="col">"What should be so"</th>
                        <th scope="col">"What came"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    };
    Some(table.into_any())
}

/// What the last probe found, and what it proposes.
fn report(path: &str, target: &TargetView, upstream: &UpstreamView, kept: &Kept, now: Millis) -> AnyView {
    let [passed, tolerated, skipped, failed] = kept.counts;
    let proposed: Vec<_> = Quirks::ALL
        .iter()
        .filter(|quirk| (quirk.is_on)(&kept.quirks) && !(quirk.is_on)(&upstream.upstream.quirks))
        .map(|quirk| {
            view! {
                <li>
                    <strong>{quirk.label}</strong>
                    ". "
                    {quirk.hint}
                </li>
            }
        })
        .collect();
    let apply = (!proposed.is_empty()).then(|| {
        let blocked = (!target.may_set).then(|| words::NEEDS_ADMIN.to_owned());
        let action = format!("{path}/quirks");
        view! {
            <div class="pad">
                <Callout shape=Shape::Look verdict="Keyward can make up for some of it.">
                    <ul class="plain">{proposed}</ul>
                    <div class="actions">
                        <PostButton action label="Apply" blocked=blocked />
                    </div>
                </Callout>
            </div>
        }
    });
    let left = (!kept.left_behind.is_empty()).then(|| {
        let text = format!("Delete it there by hand: {}.", kept.left_behind.join(", "));
        view! {
            <div class="pad">
                <Callout shape=Shape::Look verdict="Not everything could be deleted again.">
                    <p>{text}</p>
                </Callout>
            </div>
        }
    });
    let (shape, word) = match failed {
        0 => (Shape::Good, "Ready".to_owned()),
        failed => (Shape::Broken, format!("{failed} failed")),
    };
    let failures = (failed > 0).then(|| {
        view! {
            <p class="muted pad">
                "These will go wrong when the provider sends them. Ask whoever runs the service, or do without what needs them."
            </p>
            {checks(kept, true, "Table of checks that failed")}
        }
    });
    let others = (tolerated > 0).then(|| {
        view! {
            <details class="more pad">
                <summary>{format!("{tolerated} otherwise than the standard, and harmless")}</summary>
                {checks(kept, false, "Table of checks that were tolerated")}
            </details>
        }
    });
    view! {
        <section class="card flush" aria-labelledby="probe">
            <header>
                <h2 id="probe">"Last probe"</h2>
                <span>
                    <Status shape word />
                    " "
                    <Ago at=kept.at_ms now />
                </span>
            </header>
            <p class="pad">
                {format!("{passed} passed, {tolerated} tolerated, {skipped} not tried, {failed} failed.")}
            </p>
            {apply}
            {left}
            {failures}
            {others}
        </section>
    }
    .into_any()
}

/// Accounts that are at the service already, and that an admin has to give to the federation.
fn waiting(path: &str, target: &TargetView, waiting: &[Waiting], now: Millis) -> Option<AnyView> {
    if waiting.is_empty() {
        return None;
    }
    let rows = waiting
        .iter()
        .map(|account| {
            let action = format!("{path}/approve");
            let label = format!("Approve {}", account.name);
            let button = if target.may_run {
                view! {
                    <form method="post" action=action>
                        <input type="hidden" name="type" value=account.kind.name() />
                        <input type="hidden" name="id" value=account.id.to_string() />
                        <button class="btn sm" aria-label=label>
                            "Approve"
                        </button>
                    </form>
                }
                .into_any()
            } else {
                words::NEEDS_OPERATOR.into_any()
            };
            view! {
                <tr>
                    <th scope="row">{account.name.clone()}</th>
                    <td data-l="Type">{account.kind.name()}</td>
                    <td data-l="Id there" class="mono">
                        {account.upstream_id.clone()}
                    </td>
                    <td data-l="externalId there">{account.external_id.clone().unwrap_or_else(|| "none".to_owned())}</td>
                    <td data-l="Asked for">
                        <Ago at=account.since_ms now />
                    </td>
                    <td data-l="Decision">{button}</td>
                </tr>
            }
        })
        .collect_view();
    Some(
        view! {
            <section class="card flush" aria-labelledby="waiting">
                <header>
                    <h2 id="waiting">"Waiting for approval"</h2>
                </header>
                <p class="muted pad">
                    "They were at the service before, and the provider wants to change them. Approve those that are the same people and groups: the provider then takes them over at its next try. If one is somebody else, leave it; the provider gets 409 until the name is changed on one side."
                </p>
                <div class="tw" tabindex="0" role="region" aria-label="Table of accounts that wait">
                    <table class="t cards">
                        <thead>
                            <tr>
                                <th scope="col">"Name"</th>
                                <th scope="col">"Type"</th>
                                <th scope="col">"Id there"</th>
                                <th scope="col">"externalId there"</th>
                                <th scope="col">"Asked for"</th>
                                <th scope="col">"Decision"</th>
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
