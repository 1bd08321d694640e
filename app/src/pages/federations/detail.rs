//! One federation: status, base URL, keys, requests, policy, and what ends it.

use domain::{
    Millis,
    federations::{Federation as Entity, FederationStatus, FederationTarget, Slug},
    keys::Proof,
};
use leptos::prelude::*;
use ops::{federations::FederationView, gateway::target::TargetView, keys::KeyView};

use crate::{
    api::{self, federations::FederationPage},
    islands::copy::CopyButton,
    ssr::{now_ms, param},
    ui::{
        button::{LinkButton, PostButton},
        callout::{Callout, Empty},
        form::Form,
        icon::Icon,
        keys::KeysTable,
        page::{Head, Section, page},
        requests::RequestsTable,
        rhythm::rhythm_strip,
        status::Shape,
        still::IntoAny,
        time::{Ago, relative},
    },
    words,
};

/// One provider, everything.
#[component]
pub fn Federation() -> impl IntoView {
    page(Section::Federations, async {
        let FederationPage { view, keys, requests, target, schemas, rhythm, hours } =
            api::federations::page(&param("slug")).await?;
        let now = now_ms();
        let federation = &view.federation;
        let path = format!("/federations/{}", federation.slug);
        let archived = federation.status == FederationStatus::Archived;
        let head = Head::new(federation.name.clone())
            .crumb("/federations", "Federations")
            .lead(format!("{} pushes users and groups to this base URL.", words::provider(federation.vendor)))
            .actions(view! {
                <LinkButton href=format!("{path}/rotation") label="Rotation policy" icon="refresh-cw" />
                <LinkButton href=format!("{path}/delivery") label="Delivery" icon="send" />
                <LinkButton href=format!("{path}/brakes") label="Brakes" icon="shield-alert" />
                <LinkButton href=format!("{path}/behaviour") label="Behaviour" icon="activity" />
                <LinkButton
                    href=format!("{path}/edit")
                    label="Edit federation"
                    icon="pencil"
                    blocked=blocked(view.may_run, archived)
                />
                <LinkButton
                    href=format!("/keys/new?federation={}", federation.slug)
                    label="Issue key"
                    icon="plus"
                    primary=true
                    blocked=blocked(view.may_manage_keys, archived)
                />
            });
        let still_static = still_static(&keys, &federation.slug);
        let keys = if keys.is_empty() {
            view! {
                <Empty
                    title="No keys yet"
                    text="A key lets the provider write to this federation, and nothing else. Its secret is shown once."
                />
            }
            .into_any()
        } else {
            view! { <KeysTable caption=format!("Keys of {}", federation.name) keys now /> }.into_any()
        };
        let canary = view.may_manage_keys.then(|| {
            let href = format!("/federations/{}/canary", federation.slug);
            view! { <a href=href>"Lay out a canary"</a> }
        });
        // What pausing, resuming or archiving was refused for.
        let refused = Form::current().summary();
        let body = view! {
            {refused}
            {verdict(&view, &target, now)}
            <div class="grid">
                <section class="w8 card" aria-labelledby="connect">
                    <h2 id="connect">"Connect"</h2>
                    <dl class="props">
                        <dt>"SCIM base URL"</dt>
                        <dd class="with-copy">
                            <code id="base-url">{view.base_url.clone()}</code>
                            <CopyButton target="base-url".to_owned() label="Copy base URL".to_owned()>
                                <Icon name="copy" />
                            </CopyButton>
                        </dd>
                        <dt>"Where to paste"</dt>
                        <dd>
                            {words::paste_guide(federation.vendor)} " "
                            <a href=format!("{path}/setup")>"Set-up guide and connection test"</a>
                        </dd>
                        {directory(&view)}
                    </dl>
                </section>
                {facts(federation, now)}
            </div>
            {super::target::card(federation, &target, now)}
            {super::schemas::card(federation, &schemas, view.may_run)}
            <section class="card flush" aria-labelledby="keys">
                <header>
                    <h2 id="keys">"Keys"</h2>
                    {canary}
                    <a href=format!("/keys?federation={}", federation.slug)>"In the list of keys"</a>
                </header>
                {still_static} {keys}
            </section>
            <section class="card" aria-labelledby="rhythm">
                <header>
                    <h2 id="rhythm">"When it is heard"</h2>
                    <a href=format!("{path}/behaviour")>"Expected behaviour"</a>
                </header>
                {rhythm_strip(&hours, &rhythm, now)}
            </section>
            <section class="card flush" aria-labelledby="requests">
                <header>
                    <h2 id="requests">"Last requests"</h2>
                </header>
                <RequestsTable requests now />
            </section>
            {run(&view)}
        };
        Ok((head, body.into_any()))
    })
}

/// How many accepted keys go with each request, when some do.
fn still_static(keys: &[KeyView], slug: &Slug) -> Option<AnyView> {
    let accepted = || keys.iter().filter(|view| view.state.is_accepted());
    let count = accepted().filter(|view| view.key.proof == Proof::Static).count();
    let text = format!("{count} of {} accepted", accepted().count());
    (count > 0).then(|| {
        view! {
            <p class="muted small pad">
                {text} " are "
                <a href=format!("/keys?federation={slug}&proof=static&state=accepted")>"static keys"</a>
                "."
            </p>
        }
        .into_any()
    })
}

fn blocked(may: bool, archived: bool) -> Option<String> {
    if archived {
        Some("It is archived.".to_owned())
    } else {
        (!may).then(|| words::NEEDS_OPERATOR.to_owned())
    }
}

/// What the directory holds, where it is embedded; the card of the target says it otherwise.
fn directory(view: &FederationView) -> AnyView {
    let path = format!("/federations/{}", view.federation.slug);
    let held = match view.federation.target {
        FederationTarget::Upstream => "At the service behind it".to_owned(),
        FederationTarget::Embedded => format!(
            "{} and {}, embedded in Keyward",
            words::count(view.users, "user"),
            words::count(view.groups, "group"),
        ),
    };
    view! {
        <dt>"Directory"</dt>
        <dd>
            {held} ": " <a href=format!("{path}/users")>"users"</a> ", "
            <a href=format!("{path}/groups")>"groups"</a> ", "
            <a href=format!("{path}/blast")>"every change"</a>
        </dd>
    }
    .into_any()
}

/// The state in a sentence.
fn verdict(view: &FederationView, target: &TargetView, now: Millis) -> AnyView {
    let provider = words::provider(view.federation.vendor);
    let (shape, verdict, text) = match view.federation.status {
        FederationStatus::Archived => (
            Shape::Ended,
            "Archived.",
            "Its keys open nothing any more and it takes no change. It is kept for the records.".to_owned(),
        ),
        FederationStatus::Paused => (
            Shape::Held,
            "Paused.",
            format!(
                "{provider} gets 503 with Retry-After, keeps its changes and tries again. Nothing is lost by a pause of hours."
            ),
        ),
        FederationStatus::Live if view.accepted_keys == 0 => (
            Shape::Look,
            "No key.",
            "Nothing can be provisioned until a key is issued and pasted.".to_owned(),
        ),
        FederationStatus::Live if let Some((shape, what)) = super::target::trouble(target) => {
            (shape, "Live, but its target is in trouble.", format!("{what} See Target below."))
        }
        FederationStatus::Live => match view.last_request_ms {
            Some(at) => (
                Shape::Good,
                "Live.",
                format!(
                    "The last accepted request came {}. {} accepted.",
                    relative(at, now),
                    accepted(view.accepted_keys)
                ),
            ),
            None => (
                Shape::Unknown,
                "No request yet.",
                format!("{} accepted; {provider} has sent nothing so far.", accepted(view.accepted_keys)),
            ),
        },
    };
    view! {
        <Callout shape verdict>
            <p>{text}</p>
        </Callout>
    }
    .into_any()
}

fn accepted(keys: i64) -> String {
    format!("{} {}", words::count(keys, "key"), if keys == 1 { "is" } else { "are" })
}

fn facts(federation: &Entity, now: Millis) -> AnyView {
    let policy = federation.policy;
    let notes = (!federation.notes.is_empty()).then(|| {
        view! {
            <dt>"Notes"</dt>
            <dd>{federation.notes.clone()}</dd>
        }
    });
    view! {
        <section class="w4 card" aria-labelledby="facts">
            <h2 id="facts">"Facts"</h2>
            <dl class="props">
                <dt>"Provider"</dt>
                <dd>{federation.vendor.label()}</dd>
                <dt>"Owners"</dt>
                <dd>{federation.owners.join(", ")}</dd>
                <dt>"Policy"</dt>
                <dd>
                    {format!(
                        "Keys live at most {} days, an overlap should last {} h, people are warned {} days before the end",
                        policy.max_age_days,
                        policy.overlap_hours,
                        policy.warn_days,
                    )}
                </dd>
                <dt>"Registered"</dt>
                <dd>
                    <Ago at=federation.created_ms now />
                </dd>
                {notes}
                <dt>"Records"</dt>
                <dd>
                    <a href=format!("/audit?federation={}", federation.slug)>"Audit log of this federation"</a>
                </dd>
            </dl>
        </section>
    }
    .into_any()
}

/// Pausing is taken back by one click; archiving is not, so it stands behind a disclosure.
fn run(view: &FederationView) -> Option<AnyView> {
    let federation = &view.federation;
    let path = format!("/federations/{}", federation.slug);
    let provider = words::provider(federation.vendor);
    let (title, text, action) = match federation.status {
        FederationStatus::Archived => return None,
        FederationStatus::Live => (
            "Pause",
            format!(
                "{provider} gets 503 with Retry-After at once and tries again later. Keys stay as they are."
            ),
            view! {
                <PostButton
                    action=format!("{path}/pause")
                    label="Pause federation"
                    icon="pause"
                    blocked=blocked(view.may_run, false)
                />
            }
            .into_any(),
        ),
        FederationStatus::Paused => (
            "Resume",
            format!("{provider} is answered again from its next try."),
            view! {
                <PostButton
                    action=format!("{path}/resume")
                    label="Resume federation"
                    icon="play"
                    blocked=blocked(view.may_run, false)
                />
            }
            .into_any(),
        ),
    };
    let archive = format!("Archive {}", federation.name);
    let admin_only = (!view.may_archive).then(|| words::NEEDS_ADMIN.to_owned());
    let consequence = format!(
        "Its {} open nothing from then on, {provider} gets 401, and this cannot be taken back. Users, groups and records are kept.",
        words::count(view.accepted_keys, "accepted key")
    );
    Some(
        view! {
            <section class="card" aria-labelledby="run">
                <h2 id="run">{title}</h2>
                <p class="muted">{text}</p>
                <div class="actions">{action}</div>
                <details class="more">
                    <summary>"Archive this federation"</summary>
                    <p>{consequence}</p>
                    <div class="actions">
                        <PostButton
                            action=format!("{path}/archive")
                            label=archive
                            danger=true
                            blocked=admin_only
                        />
                    </div>
                </details>
            </section>
        }
        .into_any(),
    )
}
