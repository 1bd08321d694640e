//! Where a federation keeps its users and groups: the card on its page, and the form behind it.

use domain::{
    Millis,
    federations::Federation,
    upstreams::{Limits, Quirks, SignIn},
};
use leptos::prelude::*;
use ops::gateway::{
    breaker::BreakerState,
    probe::Kept,
    target::{TargetView, UpstreamView, Waiting},
};

use crate::{
    api,
    error::{UiError, UiErrorKind},
    ssr::param,
    ui::{
        button::{LinkButton, PostButton},
        form::{Form, field},
        page::{Head, Section, page},
        status::{Shape, Status},
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
            {facts(upstream, now)}
            <div class="actions">
                <PostButton action=format!("{path}/test") label="Test connection" blocked=may_not() />
                <PostButton action=format!("{path}/probe") label="Probe" blocked=may_not() />
                {change("Change target")}
            </div>
            <p class="hint">
                "A test signs in and reads. A probe also creates users and groups of its own there, sends what providers send, and deletes them again."
            </p>
            {upstream.last_probe.as_deref().and_then(Kept::read).map(|kept| report(&path, target, upstream, &kept, now))}
        </section>
        {waiting(&path, target, &upstream.waiting, now)}
    }
    .into_any()
}

fn facts(view: &UpstreamView, now: Millis) -> AnyView {
    let upstream = &view.upstream;
    let (shape, word) = match view.breaker {
        BreakerState::Closed => (Shape::Good, "Calls are sent"),
        BreakerState::Open => (Shape::Broken, "Nothing is sent for 30 seconds: the last calls failed"),
        BreakerState::HalfOpen => (Shape::Moving, "The next call finds out"),
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
            let shape = if test.worked { Shape::Good } else { Shape::Broken };
            view! {
                <Status shape word=words::sentence(&test.note) />
                " "
                <Ago at=test.at_ms now />
            }
            .into_any()
        }
        None => view! { <Status shape=Shape::Unknown word="Not tested yet" /> }.into_any(),
    };
    let open = if view.open_calls == 0 {
        "None".to_owned()
    } else {
        format!(
            "{}: it is not known what became of them; looked into every few seconds",
            words::count(view.open_calls, "call")
        )
    };
    view! {
        <dl class="props">
            <dt>"Service"</dt>
            <dd>
                <code>{upstream.base_url.clone()}</code>
            </dd>
            <dt>"Signs in with"</dt>
            <dd>{upstream.sign_in.label()}</dd>
            <dt>"Connection"</dt>
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
            <dt>"Open calls"</dt>
            <dd>{open}</dd>
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

/// What the last probe found, and what it proposes.
fn report(path: &str, target: &TargetView, upstream: &UpstreamView, kept: &Kept, now: Millis) -> AnyView {
    let [passed, tolerated, skipped, failed] = kept.counts;
    let findings = kept
        .findings
        .iter()
        .map(|[verdict, title, detail]| {
            let shape = if verdict == "failed" { Shape::Broken } else { Shape::Look };
            let text = words::sentence(&format!("{title}: {detail}"));
            view! {
                <li>
                    <Status shape word=text />
                </li>
            }
        })
        .collect_view();
    let proposed: Vec<&str> = Quirks::ALL
        .iter()
        .filter(|quirk| (quirk.is_on)(&kept.quirks) && !(quirk.is_on)(&upstream.upstream.quirks))
        .map(|quirk| quirk.label)
        .collect();
    let apply = (!proposed.is_empty()).then(|| {
        let blocked = (!target.may_set).then(|| words::NEEDS_ADMIN.to_owned());
        view! {
            <p>{format!("It can be made up for: {}.", proposed.join("; "))}</p>
            <div class="actions">
                <PostButton action=format!("{path}/quirks") label="Apply" blocked=blocked />
            </div>
        }
    });
    let left = (!kept.left_behind.is_empty()).then(|| {
        view! { <p>{format!("Could not be deleted again: {}.", kept.left_behind.join(", "))}</p> }
    });
    view! {
        <h3>"Last probe"</h3>
        <p>
            {format!("{passed} passed, {tolerated} made up for, {skipped} not tried, {failed} failed, ")}
            <Ago at=kept.at_ms now />
            "."
        </p>
        <ul class="plain">{findings}</ul>
        {apply}
        {left}
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
                    <td data-l="externalId there">{account.external_id.clone().unwrap_or_default()}</td>
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
                    "They were at the service before, and the provider wants to change them. Approve those that are the same people and groups: the provider then takes them over."
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

/// The form behind the card.
#[component]
pub fn EditTarget() -> impl IntoView {
    page(Section::Federations, async {
        let (federation, target) = api::federations::target(&param("slug")).await?;
        if !target.may_set {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_ADMIN));
        }
        let form = Form::current();
        let path = format!("/federations/{}", federation.slug);
        let head = Head::new(format!("Target of {}", federation.name))
            .crumb("/federations", "Federations")
            .crumb(path.clone(), federation.name.clone())
            .lead("Requests are authenticated, judged and recorded here, then forwarded to another SCIM service.");
        let embedded = target.upstream.as_ref().map(|_| back(&path, &federation));
        let body = view! {
            <form class="card form" method="post" action=format!("{path}/target")>
                {form.summary()}
                <input
                    type="hidden"
                    name="version"
                    value=form.value("version", &federation.version.to_string())
                />
                {fields(&form, target.upstream.as_ref())}
                <div class="actions">
                    <button class="btn primary">"Forward to this service"</button>
                    <a class="btn ghost" href=path.clone()>
                        "Cancel"
                    </a>
                </div>
            </form>
            {embedded}
        };
        Ok((head, body.into_any()))
    })
}

fn back(path: &str, federation: &Federation) -> AnyView {
    view! {
        <form class="card" method="post" action=format!("{path}/target/embedded")>
            <h2>"Keep users and groups here instead"</h2>
            <p class="muted">
                "The credential is forgotten. Possible while this federation has no user and no group at the service."
            </p>
            <input type="hidden" name="version" value=federation.version.to_string() />
            <div class="actions">
                <button class="btn danger">"Keep them here"</button>
            </div>
        </form>
    }
    .into_any()
}

fn fields(form: &Form, view: Option<&UpstreamView>) -> AnyView {
    let upstream = view.map(|view| &view.upstream);
    let sign_in = upstream.map(|upstream| &upstream.sign_in);
    let (mut user, mut token_url, mut client_id, mut scope) = <(String, String, String, String)>::default();
    match sign_in {
        Some(SignIn::Basic { user: name }) => user.clone_from(name),
        Some(SignIn::Oauth { token_url: url, client_id: client, scope: wanted }) => {
            token_url.clone_from(url);
            client_id.clone_from(client);
            scope.clone_from(wanted);
        }
        Some(SignIn::Bearer | SignIn::MutualTls) | None => {}
    }
    let kinds = [
        ("bearer", "Bearer token"),
        ("basic", "User name and password"),
        ("oauth", "OAuth client credentials"),
        ("mutual-tls", "Client certificate"),
    ];
    let kinds = kinds.into_iter().map(|(word, label)| (word.to_owned(), label.to_owned())).collect();
    let kept = if upstream.is_some() {
        "Left empty, the one that is there is kept, as long as address and way of signing in stay."
    } else {
        "It is sealed, and shown to nobody again."
    };
    let limits = upstream.map_or_else(Limits::default, |upstream| upstream.limits);
    let quirks = upstream.map(|upstream| upstream.quirks).unwrap_or_default();
    view! {
        {form
            .input(
                field("base_url", "SCIM base URL of the service")
                    .default(upstream.map(|upstream| upstream.base_url.clone()).unwrap_or_default())
                    .hint("Such as https://scim.example.com/v2, without /Users."),
                "url",
            )}
        {form
            .select(
                field("sign_in", "How Keyward signs in there")
                    .default(sign_in.map_or("bearer", SignIn::as_str))
                    .hint("The fields that this way does not need are ignored."),
                kinds,
            )}
        {form
            .input(
                field("secret", "Token, password or client secret").hint(kept).optional(),
                "password",
            )}
        {form.input(field("user", "User name").default(user).optional(), "text")}
        {form
            .input(
                field("token_url", "Token URL")
                    .default(token_url)
                    .hint("For OAuth: where Keyward gets its tokens (client credentials).")
                    .optional(),
                "url",
            )}
        <div class="fields-row">
            {form.input(field("client_id", "Client id").default(client_id).optional(), "text")}
            {form.input(field("scope", "OAuth scope").default(scope).optional(), "text")}
        </div>
        {form
            .area(
                field("secret_pem", "Client certificate and key")
                    .hint("For a client certificate: the chain and its private key, in PEM.")
                    .optional(),
                3,
            )}
        {form
            .area(
                field("trusted_ca", "Trusted certificates")
                    .default(upstream.and_then(|upstream| upstream.trusted_ca.clone()).unwrap_or_default())
                    .hint("In PEM, for a service whose certificate is from an authority of your own.")
                    .optional(),
                2,
            )}
        <fieldset class="field">
            <legend>"Limits"</legend>
            <div class="fields-row">
                {form.number(field("timeout_ms", "Longest call, ms").default(limits.timeout_ms), 500, 120_000)}
                {form.number(field("concurrency", "Calls at once").default(limits.concurrency), 1, 256)}
            </div>
        </fieldset>
        {switches(form, quirks)}
    }
    .into_any()
}

fn switches(form: &Form, quirks: Quirks) -> AnyView {
    let switches = Quirks::ALL
        .iter()
        .map(|quirk| {
            let checked = form.is_ticked("quirk", quirk.word, (quirk.is_on)(&quirks));
            view! {
                <label class="opt">
                    <input type="checkbox" name="quirk" value=quirk.word checked=checked />
                    <span>
                        <strong>{quirk.label}</strong>
                        <span class="hint">{quirk.hint}</span>
                    </span>
                </label>
            }
        })
        .collect_view();
    view! {
        <fieldset class="field">
            <legend>"What is peculiar about it"</legend>
            {switches}
            <span class="hint">"A probe finds out, and proposes what to tick."</span>
        </fieldset>
    }
    .into_any()
}
