//! Issuing a key: for what, what it may do, how long, and in words what that means.
//!
//! The summary beside the form, the free choice of verbs and the fields of a client are moved by `style/scope.css` alone,
//! so that they live without script: ids and `data-` names here are its selectors.

use domain::{
    federations::Federation,
    keys::Proof,
    scopes::{ResourceKind, Scope, Verb},
};
use leptos::prelude::*;
use ops::federations::FederationView;

use crate::{
    api,
    error::{UiError, UiErrorKind},
    forms::{ShownKey, Template, grant_value},
    pages::keys::{scope::narrowing, secret},
    ssr::{page as page_context, query},
    ui::{
        button::LinkButton,
        callout::Empty,
        form::{Form, field},
        page::{Head, Section, page},
        still::IntoAny,
    },
    words,
};

/// The form; after it was accepted, the one page that shows the secret.
#[component]
pub fn IssueKey() -> impl IntoView {
    if let Some(shown) = use_context::<ShownKey>() {
        return secret::shown(shown).into_any();
    }
    page(Section::Keys, async {
        let form = Form::current();
        let views = api::keys::may_issue_for().await?;
        let chosen = query("federation").unwrap_or_else(|| form.value("federation", ""));
        let view = views.iter().find(|view| view.federation.slug.as_str() == chosen);
        let only = views.first().filter(|_| views.len() == 1 && chosen.is_empty());
        let head = Head::new("Issue key").crumb("/keys", "Keys");
        match view.or(only) {
            Some(view) => Ok((
                head.lead(format!("For {}. Nothing is created before you confirm.", view.federation.name)),
                issue_form(&form, view),
            )),
            None if views.is_empty() => {
                if api::federations::list().await?.is_empty() {
                    Ok((head, no_federation()))
                } else {
                    Err(UiError::new(UiErrorKind::Forbidden, "Needs the role admin or operator."))
                }
            }
            None => Ok((head.lead("For which federation?"), choose(&views))),
        }
    })
    .into_any()
}

fn no_federation() -> AnyView {
    view! {
        <section class="card flush">
            <Empty title="No federation yet" text="A key opens one federation. Register the provider first.">
                <LinkButton href="/federations/new" label="Register federation" icon="plus" primary=true />
            </Empty>
        </section>
    }
    .into_any()
}

/// The policy and the guide depend on the federation, so it is chosen before the form.
fn choose(views: &[FederationView]) -> AnyView {
    let options = views
        .iter()
        .enumerate()
        .map(|(index, view)| {
            let federation = &view.federation;
            let hint = format!(
                "{}, keys live at most {} days, {} now",
                federation.vendor.label(),
                federation.policy.max_age_days,
                words::count(view.accepted_keys, "accepted key")
            );
            view! {
                <label class="opt">
                    <input type="radio" name="federation" value=federation.slug.to_string() checked=index == 0 />
                    <span>
                        <strong>{federation.name.clone()}</strong>
                        <span class="hint">{hint}</span>
                    </span>
                </label>
            }
        })
        .collect_view();
    view! {
        <form class="card form" method="get" action="/keys/new">
            <fieldset class="field">
                <legend>"Federation"</legend>
                {options}
            </fieldset>
            <div class="actions">
                <button class="btn primary">"Continue"</button>
                <a class="btn ghost" href="/keys">
                    "Cancel"
                </a>
            </div>
        </form>
    }
    .into_any()
}

fn issue_form(form: &Form, view: &FederationView) -> AnyView {
    let federation = &view.federation;
    let slug = federation.slug.to_string();
    let most = federation.policy.max_age_days;
    let lifetime = field("lifetime_days", "Lifetime, days")
        .default(most)
        .hint(format!("The policy of {} allows at most {most}.", federation.name));
    let justification = field("justification", "Why the full directory")
        .hint("Kept with the key and in the audit log. At least 10 characters.")
        .needed_when_shown();
    view! {
        <form class="grid issue" method="post" action=format!("/keys/new?federation={slug}")>
            <div class="w8 card form">
                {form.summary()}
                <input type="hidden" name="federation" value=slug.clone() />
                <input
                    type="hidden"
                    name="idempotency_token"
                    value=form.value("idempotency_token", &page_context().token)
                />
                {form
                    .input(
                        field("name", "Name")
                            .default(format!("{slug}-{}", view.accepted_keys + 1))
                            .hint("Shown in lists, logs and the audit log."),
                        "text",
                    )}
                {proof_fields(form, federation)}
                {scope_fields(form, federation.vendor.label())}
                <div class="justification">{form.area(justification, 2)}</div>
                {narrowing(form, &Scope::of([]))}
                {form.number(lifetime, 1, most)}
                <div class="actions">
                    <button class="btn primary">"Issue key"</button>
                    <a class="btn ghost" href=format!("/federations/{slug}")>
                        "Cancel"
                    </a>
                </div>
            </div>
            {summary(view)}
        </form>
    }
    .into_any()
}

/// How it proves itself. A secret is offered where the federation allows one.
fn proof_fields(form: &Form, federation: &Federation) -> AnyView {
    let offered = |proof: &Proof| *proof != Proof::Secret || federation.scim.oauth_secrets;
    let options = Proof::ALL.into_iter().filter(offered).map(|proof| {
        let (word, checked) =
            (proof.as_str(), form.is_ticked("proof", proof.as_str(), proof == Proof::Static));
        let title = match proof {
            Proof::Static => "Static key",
            Proof::Assertion => "OAuth client, signed assertion",
            Proof::Secret => "OAuth client, secret",
        };
        view! {
            <label class="opt">
                <input type="radio" name="proof" value=word id=format!("proof-{word}") checked=checked />
                <span>
                    <strong>{title}</strong>
                    <span class="hint">{words::proof(proof)}</span>
                </span>
            </label>
        }
    });
    let keys = field("public_keys", "Public keys")
        .hint("A JWKS, a JWK or PEM: RSA of 2048 bits or more, P-256 or Ed25519. Public halves only.")
        .optional();
    let uri = field("jwks_uri", "Or the address of a JWKS")
        .hint("https, on the public internet. Leave one of the two fields empty.")
        .optional();
    view! {
        <fieldset class="field" id="proof">
            <legend>"How does it prove itself?"</legend>
            {options.collect_view()}
            {form.group_fault("proof")}
        </fieldset>
        <div class="assertion">{form.area(keys, 5)} {form.input(uri, "text")}</div>
    }
    .into_any()
}

fn scope_fields(form: &Form, provider: &'static str) -> AnyView {
    let options = [
        ("read-write", format!("Recommended for {provider}"), "Read and write users and groups. No delete."),
        ("read-only", "Read only".to_owned(), "For audit tools and exports."),
        (
            "full-directory",
            "Full directory".to_owned(),
            "Read, write and delete everything. Asks for a justification.",
        ),
        ("custom", "Custom".to_owned(), "Choose verbs for users and for groups."),
    ]
    .map(|(value, title, hint)| {
        let checked = form.is_ticked("scope", value, value == Template::ReadWrite.as_str());
        view! {
            <label class="opt">
                <input type="radio" name="scope" value=value id=format!("scope-{value}") checked=checked />
                <span>
                    <strong>{title}</strong>
                    <span class="hint">{hint}</span>
                </span>
            </label>
        }
    });
    let verbs = ResourceKind::ALL.map(|kind| verb_row(form, kind));
    view! {
        <fieldset class="field" id="scope">
            <legend>"What may it do?"</legend>
            {options.collect_view()}
            {form.group_fault("scope")}
        </fieldset>
        <fieldset class="field verbs-field">
            <legend>"Verbs"</legend>
            <div class="verbs">{verbs.collect_view()}</div>
        </fieldset>
    }
    .into_any()
}

fn verb_row(form: &Form, kind: ResourceKind) -> AnyView {
    let boxes = Verb::ALL.map(|verb| {
        let value = grant_value(kind, verb);
        let checked = form.is_ticked("grant", &value, verb == Verb::Read);
        view! {
            <label class="check">
                <input type="checkbox" name="grant" value=value.clone() id=value checked=checked />
                {verb.as_str()}
                <span class="sr">{format!(" {kind}")}</span>
            </label>
        }
    });
    let title = match kind {
        ResourceKind::Users => "Users",
        ResourceKind::Groups => "Groups",
    };
    view! {
        <div>
            <strong aria-hidden="true">{title}</strong>
            {boxes.collect_view()}
        </div>
    }
    .into_any()
}

/// What each choice means; the style sheet shows the one that is chosen.
fn summary(view: &FederationView) -> AnyView {
    let templates = Template::ALL.map(|template| {
        let scope = template.scope();
        part(template.as_str(), &words::phrases(&scope, true), &words::phrases(&scope, false))
    });
    let every = || {
        words::all_grants()
            .map(|(kind, verb)| {
                let name = grant_value(kind, verb);
                view! { <li data-grant=name>{words::grant(kind, verb)}</li> }
            })
            .collect_view()
    };
    let (will, cannot) = (every(), every());
    let leaked = format!(
        "If it leaked today: {} and {} of {} are within its reach, as far as its scope goes.",
        words::count(view.users, "user"),
        words::count(view.groups, "group"),
        view.federation.name
    );
    view! {
        <aside class="w4 card summary" aria-labelledby="summary-title">
            <h2 id="summary-title">{format!("In {}", view.federation.name)}</h2>
            {templates.collect_view()}
            <div data-template="custom">
                <div class="will">
                    <h3>"This key will"</h3>
                    <ul>{will}</ul>
                </div>
                <div class="cannot">
                    <h3>"It cannot"</h3>
                    <ul>{cannot}</ul>
                </div>
            </div>
            <p class="muted small">{leaked}</p>
        </aside>
    }
    .into_any()
}

fn part(name: &'static str, will: &[&'static str], cannot: &[&'static str]) -> AnyView {
    let list =
        |phrases: &[&'static str]| phrases.iter().map(|phrase| view! { <li>{*phrase}</li> }).collect_view();
    let cannot = if cannot.is_empty() {
        view! { <ul><li>"touch any other federation"</li></ul> }.into_any()
    } else {
        view! {
            <ul>
                {list(cannot)} <li>"touch any other federation"</li>
            </ul>
        }
        .into_any()
    };
    view! {
        <div data-template=name>
            <div>
                <h3>"This key will"</h3>
                <ul>{list(will)}</ul>
            </div>
            <div>
                <h3>"It cannot"</h3>
                {cannot}
            </div>
        </div>
    }
    .into_any()
}
