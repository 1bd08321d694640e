//! Taking over a key: what a link is, the key once it is opened, and the form that makes a link.

use domain::hand_offs::{HandOff, LinkState};
use leptos::prelude::*;
use ops::{hand_offs::LinkView, keys::KeyView};

use crate::{
    api::{self, keys::Activity},
    error::{UiError, UiErrorKind},
    forms::ShownKey,
    islands::{copy::CopyButton, waiting::Waiting},
    pages::keys::secret::{secret_box, waiting_states},
    ssr::{now_ms, param},
    ui::{
        button::LinkButton,
        callout::Callout,
        form::{Form, field},
        guide,
        icon::Icon,
        page::{Head, Section, page},
        status::{Shape, Status},
        still::IntoAny,
        time::{Ago, exact},
    },
    words,
};

/// The page behind a link. It shows what the link is; only its form opens it.
#[component]
pub fn HandOver() -> impl IntoView {
    if let Some(shown) = use_context::<ShownKey>() {
        return opened(shown).into_any();
    }
    page(Section::Elsewhere, async {
        let token = param("token");
        let view = api::telling::link(&token).await?;
        let head = Head::new(format!("Take over a key of {}", view.federation.name)).lead(
            "A new key was made for your provider, and you are asked to bring it there. Nothing is shown before you press the button.",
        );
        let body = view! {
            {standing(&view)}
            <section class="card" aria-labelledby="what">
                <h2 id="what">"What it is"</h2>
                <dl class="props">
                    <dt>"Key"</dt>
                    <dd>{view.key.name.clone()} " " <code>{words::ends_with(&view.key.last_four)}</code></dd>
                    <dt>"For"</dt>
                    <dd>{view.hand_off.person.clone()}</dd>
                    <dt>"Made"</dt>
                    <dd>
                        <Ago at=view.hand_off.made_ms now=now_ms() />
                    </dd>
                    <dt>"Opens until"</dt>
                    <dd>{exact(view.hand_off.expires_ms)}</dd>
                </dl>
                <h3>"Where it goes"</h3>
                {guide::way(view.federation.vendor)}
                {button(&view, &token)}
            </section>
        };
        Ok((head, body.into_any()))
    })
    .into_any()
}

/// What can be done with the link, said before anything else.
fn standing(view: &LinkView) -> Option<AnyView> {
    let form = Form::current();
    if let Some(summary) = form.summary() {
        return Some(summary);
    }
    if !view.is_own {
        let text = format!("Sign in as {} to open it.", view.hand_off.person);
        return Some(
            view! {
                <Callout shape=Shape::Look verdict="This link is for another person.">
                    <p>{text}</p>
                </Callout>
            }
            .into_any(),
        );
    }
    let text = words::sentence(view.state.refusal()?);
    let ask = match view.state {
        LinkState::Opened => {
            "If you did not copy the key, ask for another rotation. If it was not you who opened it, report a compromise."
        }
        LinkState::Late | LinkState::Over | LinkState::Waiting => "Ask whoever sent you here for a new link.",
    };
    Some(
        view! {
            <Callout shape=Shape::Ended verdict=view.state.label()>
                <p>{text} " " {ask}</p>
            </Callout>
        }
        .into_any(),
    )
}

fn button(view: &LinkView, token: &str) -> Option<AnyView> {
    if !view.is_own || view.state != LinkState::Waiting {
        return None;
    }
    Some(
        view! {
            <form method="post" action=format!("/hand-over/{token}")>
                <div class="actions">
                    <button class="btn primary">"Show the key, once"</button>
                </div>
                <p class="muted small">
                    "Have the screen of your provider open first. The link is worth nothing afterwards."
                </p>
            </form>
        }
        .into_any(),
    )
}

/// The answer to the form: the key, where it goes, and the wait for its first use.
fn opened(shown: ShownKey) -> impl IntoView {
    page(Section::Elsewhere, async move {
        let issued = shown.0;
        let (key, federation) = (&issued.key, &issued.federation);
        let head = Head::new(format!("{} for {}", key.name, federation.name)).lead(format!(
            "Paste it now, then leave this page open: it says when {} uses it.",
            words::provider(federation.vendor)
        ));
        let first = api::keys::activity(key.id.as_str()).await.unwrap_or_else(|_| Activity {
            tested: false,
            used: false,
            sentence: "Waiting for the first request.".to_owned(),
        });
        let secret = issued.secret.as_ref().map(|secret| secret_box(secret.expose().to_owned(), "key"));
        let body = view! {
            <section class="card" aria-labelledby="secret-title">
                <h2 id="secret-title">"The key"</h2>
                {secret}
            </section>
            <section class="card" aria-labelledby="way">
                <h2 id="way">"Bring it to the provider"</h2>
                {guide::way(federation.vendor)}
                <dl class="props">
                    <dt>"SCIM base URL"</dt>
                    <dd class="with-copy">
                        <code id="base-url">{issued.base_url.clone()}</code>
                        <CopyButton target="base-url".to_owned() label="Copy base URL".to_owned()>
                            <Icon name="copy" />
                        </CopyButton>
                    </dd>
                </dl>
                <p class="muted small">
                    "Nothing else is left to do here: the task closes itself with the first real request."
                </p>
                <Waiting key=key.id.to_string() first>
                    {waiting_states()}
                </Waiting>
                <div class="actions">
                    <LinkButton href=format!("/keys/{}", key.id) label="Done" primary=true />
                </div>
            </section>
        };
        Ok((head, body.into_any()))
    })
}

/// The form that makes a link for a person.
#[component]
pub fn MakeHandOver() -> impl IntoView {
    page(Section::Keys, async {
        let (view, hand_offs) = api::telling::hand_overs(&param("id")).await?;
        if !view.may_manage {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let form = Form::current();
        let path = format!("/keys/{}", view.key.id);
        let head = Head::new(format!("Hand over {}", view.key.name))
            .crumb("/keys", "Keys")
            .crumb(path.clone(), view.key.name.clone())
            .lead("A link shows the key once, to one person, after sign-in, within 24 hours. A new link ends the ones before it.");
        let person =
            view.federation.owners.iter().find(|owner| owner.contains('@')).cloned().unwrap_or_default();
        let body = view! {
            <form class="card form" method="post" action=format!("{path}/hand-over")>
                {form.summary()}
                {form
                    .input(
                        field("person", "Mail address of the person")
                            .default(person)
                            .hint(
                                "As the identity provider gives it at sign-in. The person needs the role admin, or operator of this federation.",
                            ),
                        "email",
                    )}
                <div class="actions">
                    <button class="btn primary">"Make hand-over link"</button>
                    <a class="btn ghost" href=path.clone()>
                        "Back to the key"
                    </a>
                </div>
            </form>
            {history(&view, &hand_offs)}
        };
        Ok((head, body.into_any()))
    })
}

fn history(view: &KeyView, hand_offs: &[HandOff]) -> Option<AnyView> {
    let now = now_ms();
    let named: Vec<&HandOff> = hand_offs.iter().filter(|hand_off| !hand_off.person.is_empty()).collect();
    if named.is_empty() {
        return None;
    }
    let rows = named
        .into_iter()
        .map(|hand_off| {
            let state = hand_off.state(now);
            let shape = match state {
                LinkState::Waiting => Shape::Moving,
                LinkState::Opened => Shape::Good,
                LinkState::Late => Shape::Look,
                LinkState::Over => Shape::Ended,
            };
            let opened = hand_off.opened_by.clone().map(|by| format!(" by {by}"));
            view! {
                <li>
                    <Status shape word=state.label() />
                    <div>
                        {hand_off.person.clone()} {opened} <span class="muted">", made " <Ago at=hand_off.made_ms now /></span>
                    </div>
                </li>
            }
        })
        .collect_view();
    Some(
        view! {
            <section class="card flush" aria-labelledby="links">
                <header>
                    <h2 id="links">{format!("Links for {}", view.key.name)}</h2>
                </header>
                <ul class="tasks">{rows}</ul>
            </section>
        }
        .into_any(),
    )
}
