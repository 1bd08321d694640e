//! Settings: what holds for the installation; and the channels on which people are told.

use domain::{
    Millis,
    channels::{Channel, ChannelKind},
    findings::Severity,
};
use leptos::prelude::*;
use ops::channels::Channels as Data;

use crate::{
    api,
    forms::ShownOnce,
    islands::secret::SecretBox,
    ssr::now_ms,
    ui::{
        button::{LinkButton, PostButton},
        callout::{Callout, Empty},
        form::{Form, field},
        icon::Icon,
        page::{Head, Section, page},
        status::{Shape, Status},
        still::IntoAny,
        time::Ago,
    },
    words,
};

/// What can be set for the whole installation.
#[component]
pub fn Settings() -> impl IntoView {
    page(Section::Settings, async {
        let data = api::telling::channels().await?;
        let configuration = api::telling::configuration()?;
        let streams = api::telling::streams().await?;
        let failing = data.channels.iter().filter(|channel| fault(channel).is_some()).count();
        let told = match (data.channels.len(), failing) {
            (0, _) => "No channel yet: findings and cases are told on these pages only.".to_owned(),
            (all, 0) => format!("{}.", words::count(i64::try_from(all).unwrap_or(0), "channel")),
            (all, failing) => format!("{failing} of {all} channels fail."),
        };
        let head = Head::new("Settings").lead("What holds for every federation.");
        let body = view! {
            <div class="grid">
                <section class="w6 card" aria-labelledby="channels">
                    <h2 id="channels">"Channels"</h2>
                    <p>"Mail and webhooks on which findings, expiries and cases are told."</p>
                    <p class="muted">{told}</p>
                    <div class="actions">
                        <LinkButton href="/settings/channels" label="Open channels" />
                    </div>
                </section>
                <section class="w6 card" aria-labelledby="rotation">
                    <h2 id="rotation">"Rotation"</h2>
                    <p>"What a federation does not say itself: silence, windows, how many at once."</p>
                    <div class="actions">
                        <LinkButton href="/settings/rotation" label="Open rotation defaults" />
                    </div>
                </section>
            </div>
            {streams.map(|streams| super::streams::card(&streams, now_ms()))}
            {super::configuration::cards(&configuration)}
        };
        Ok((head, body.into_any()))
    })
}

fn fault(channel: &Channel) -> Option<&str> {
    channel.last_result.as_ref()?.fault.as_deref()
}

/// The channels, and the form that adds one.
#[component]
pub fn Channels() -> impl IntoView {
    page(Section::Settings, async {
        let data = api::telling::channels().await?;
        let now = now_ms();
        let head = Head::new("Channels").crumb("/settings", "Settings").lead(
            "Owners of a federation are told by mail when an owner is a mail address. A channel gets what concerns every federation.",
        );
        let list = if data.channels.is_empty() {
            view! {
                <Empty
                    title="No channel yet"
                    text="A channel is a list of mail addresses, or a webhook that is signed as Standard Webhooks says. A channel that fails is itself a finding."
                />
            }
            .into_any()
        } else {
            view! {
                <ul class="findings">
                    {data.channels.iter().map(|channel| channel_row(channel, data.may_change, now)).collect_view()}
                </ul>
            }
            .into_any()
        };
        let body = view! {
            <section class="card flush" aria-label="Channels">
                <header>
                    <h2>{words::count(i64::try_from(data.channels.len()).unwrap_or(0), "channel")}</h2>
                </header>
                {list}
            </section>
            {add(&data)}
        };
        Ok((head, body.into_any()))
    })
}

fn channel_row(channel: &Channel, may_change: bool, now: Millis) -> AnyView {
    let (shape, word) = match &channel.last_result {
        None => (Shape::Unknown, "Never used"),
        Some(result) if result.fault.is_some() => (Shape::Broken, "Fails"),
        Some(_) => (Shape::Good, "Works"),
    };
    let to = match channel.kind {
        ChannelKind::Mail => channel.settings.to.join(", "),
        ChannelKind::Webhook => channel.settings.url.clone(),
    };
    let last = channel.last_result.as_ref().map(|result| {
        let what = match &result.fault {
            Some(fault) => words::sentence(fault),
            None => "It arrived.".to_owned(),
        };
        view! {
            <dt>"Last message"</dt>
            <dd>
                <Ago at=result.at_ms now />
                {format!(". {what}")}
            </dd>
        }
    });
    let blocked = (!may_change).then(|| words::NEEDS_ADMIN.to_owned());
    let path = format!("/settings/channels/{}", channel.id);
    let remove = may_change.then(|| {
        view! {
            <details class="more">
                <summary>"Remove it"</summary>
                <p>"Nothing is told on it any more; what waits for it is given up."</p>
                <form method="post" action=format!("{path}/remove")>
                    <button class="btn danger sm">{format!("Remove {}", channel.name)}</button>
                </form>
            </details>
        }
    });
    view! {
        <li>
            <div class="finding-h">
                <Status shape word />
                <h3>{channel.name.clone()}</h3>
                <span class="muted small">{channel.kind.label()}</span>
            </div>
            <dl class="props">
                <dt>"To"</dt>
                <dd>{to}</dd>
                <dt>"Tells"</dt>
                <dd>{format!("{} and worse, the expiry ladder, cases", channel.settings.least.label())}</dd>
                {last}
            </dl>
            <div class="actions">
                <PostButton action=format!("{path}/test") label="Send a test" blocked=blocked /> {remove}
            </div>
        </li>
    }
    .into_any()
}

fn add(data: &Data) -> Option<AnyView> {
    if !data.may_change {
        return None;
    }
    let form = Form::with_field("kind");
    let kinds = ChannelKind::ALL.map(|kind| (kind.as_str().to_owned(), kind.label().to_owned())).to_vec();
    let severities = [Severity::Medium, Severity::High, Severity::Critical]
        .map(|severity| (severity.as_str().to_owned(), format!("{} and worse", severity.label())))
        .to_vec();
    let no_mail = (!data.can_mail).then(|| {
        view! {
            <Callout shape=Shape::Look verdict="No mail is set up.">
                <p>
                    "Owners and mail channels are told nothing until the configuration names a mail server: "
                    <code>"mail.host"</code> " and " <code>"mail.from"</code> "."
                </p>
            </Callout>
        }
    });
    Some(
        view! {
            <form class="card form" method="post" action="/settings/channels" aria-labelledby="add">
                <h2 id="add">"Add a channel"</h2>
                {form.summary()}
                {no_mail}
                <div class="fields-row">
                    {form.input(field("name", "Name"), "text")}
                    {form.select(
                        field("kind", "Kind").default(if data.can_mail { "mail" } else { "webhook" }),
                        kinds,
                    )}
                    {form.select(field("least", "Tells").default("medium"), severities)}
                </div>
                {form.area(field("to", "Mail addresses").optional().hint("For mail: one a line, 20 at most."), 2)}
                {form
                    .input(
                        field("url", "Webhook address")
                            .optional()
                            .hint(
                                "For a webhook: a public https address, or one that egress.allow names. Its signing secret is made by Keyward and shown once.",
                            ),
                        "url",
                    )}
                <div class="actions">
                    <button class="btn primary">"Add channel"</button>
                </div>
            </form>
        }
        .into_any(),
    )
}

/// A signing secret, a hand-over link or a canary, shown once as the answer of the form that made it.
#[component]
pub fn ShownOncePage() -> impl IntoView {
    page(Section::Elsewhere, async {
        let Some(ShownOnce(once)) = use_context::<ShownOnce>() else {
            return Err(crate::error::UiError::not_found("page"));
        };
        let head = Head::new(once.title.clone()).lead(once.lead.clone());
        let body = view! {
            <section class="card" aria-label=once.title.clone()>
                {secret_box(once.secret.expose().to_owned())} <div class="actions">
                    <LinkButton href=once.back.clone() label="Done" primary=true />
                </div>
            </section>
        };
        Ok((head, body.into_any()))
    })
}

fn secret_box(secret: String) -> AnyView {
    view! {
        <SecretBox>
            <div role="status">
                <div class="when-not-copied">
                    <Callout shape=Shape::Look verdict="Not copied yet.">
                        <p>"This is the only time that it is shown."</p>
                    </Callout>
                </div>
                <div class="when-copied">
                    <Callout shape=Shape::Good verdict="Copied.">
                        <p>"It cannot be shown again."</p>
                    </Callout>
                </div>
            </div>
            <div class="secret">
                <textarea
                    id="secret"
                    aria-label="Shown once"
                    readonly
                    rows="2"
                    spellcheck="false"
                    autocomplete="off"
                >
                    {secret}
                </textarea>
                <button class="btn needs-script" type="button" id="copy-secret">
                    <Icon name="copy" />
                    "Copy it"
                </button>
            </div>
        </SecretBox>
    }
    .into_any()
}
