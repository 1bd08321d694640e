//! From a new federation to its first request: a key, its place at the provider, and a connection test that fills
//! in by itself.

use domain::{
    federations::FederationStatus,
    guides,
    usage::{Decision, UsageRecord},
};
use leptos::prelude::*;
use ops::keys::KeyView;

use crate::{
    api::{self, federations::SetUpPage},
    islands::live::Live,
    ssr::param,
    ui::{
        button::LinkButton,
        callout::Callout,
        guide,
        keys::KeyLink,
        page::{Head, Section, page},
        status::{Shape, drawing},
        still::IntoAny,
        time::{clock, exact},
    },
    words,
};

/// The part that keeps itself up to date.
const PART: &str = "connection";

/// The way to the first request, step by step.
#[component]
pub fn SetUpFederation() -> impl IntoView {
    page(Section::Federations, async {
        let data = api::federations::setup(&param("slug")).await?;
        let federation = &data.view.federation;
        let path = format!("/federations/{}", federation.slug);
        let provider = words::provider(federation.vendor);
        let head = Head::new(format!("Connect {}", federation.name))
            .crumb("/federations", "Federations")
            .crumb(path.clone(), federation.name.clone())
            .lead("A key, its place at the provider, the first request. Leaving is fine: this page is where you left it.");
        let key_place = "The key, as it was copied when it was shown";
        let guide = guide::guide(federation.vendor, &data.view.base_url, key_place);
        let in_provider = if provider == "The provider" { "the provider" } else { provider };
        let here = format!("{path}/setup");
        let body = view! {
            {key_step(&data, &path)}
            <div class="grid">
                <section class="w8 card" aria-labelledby="paste">
                    <h2 id="paste">{format!("2. Paste into {in_provider}")}</h2>
                    {guide}
                </section>
                <section class="w4 card" aria-labelledby="test">
                    <h2 id="test">"3. Connection"</h2>
                    <Live part=PART.to_owned() every=2>
                        <div class="form" id=PART aria-live="polite">
                            {connection(&data)}
                        </div>
                    </Live>
                    <noscript>
                        <p>
                            <a href=here>"Look again"</a>
                            ": this browser runs no script."
                        </p>
                    </noscript>
                    <div class="actions">
                        <LinkButton href=path.clone() label="Done" />
                    </div>
                </section>
            </div>
        };
        Ok((head, body.into_any()))
    })
}

/// The key that the provider is to present.
fn key_step(data: &SetUpPage, path: &str) -> AnyView {
    let federation = &data.view.federation;
    let accepted: Vec<&KeyView> =
        data.keys.iter().filter(|view| view.state.is_accepted() && !view.key.canary).collect();
    let is_archived = federation.status == FederationStatus::Archived;
    let blocked = if is_archived {
        Some("It is archived.".to_owned())
    } else {
        (!data.view.may_manage_keys).then(|| words::NEEDS_OPERATOR.to_owned())
    };
    let href = format!("/keys/new?federation={}", federation.slug);
    let text = if accepted.is_empty() {
        view! {
            <p>{guides::of(federation.vendor).scope}</p>
            <p class="muted">"It is shown once, with the same guide beside it. Have the provider's screen open."</p>
        }
        .into_any()
    } else {
        let rows = accepted
            .iter()
            .map(|view| {
                view! {
                    <li>
                        <KeyLink key=&view.key />
                    </li>
                }
            })
            .collect_view();
        let lost = view! {
            <p class="muted">
                "A key cannot be shown again. One that was not copied is replaced: issue another here, then "
                <a href=format!("{path}#keys")>"revoke the first"</a> "."
            </p>
        };
        view! {
            <ul class="plain">{rows}</ul>
            {lost}
        }
        .into_any()
    };
    let is_first = accepted.is_empty();
    view! {
        <section class="card" aria-labelledby="key">
            <h2 id="key">"1. Key"</h2>
            {text}
            <div class="actions">
                <LinkButton href label="Issue key" icon="plus" primary=is_first blocked=blocked />
            </div>
        </section>
    }
    .into_any()
}

/// A step of the trace: how it stands, and what shows it.
struct Step {
    shape: Shape,
    name: &'static str,
    evidence: String,
}

/// How far the requests have come, and what to do next.
fn connection(data: &SetUpPage) -> AnyView {
    let steps = trace(&data.requests);
    let provider = words::provider(data.view.federation.vendor);
    let is_connected = steps.iter().all(|step| step.shape == Shape::Good);
    let (shape, verdict, text) = match &data.first_write {
        Some((record, name)) => (Shape::Good, "Connected.", work(record, name.as_deref(), provider)),
        None if is_connected => (
            Shape::Moving,
            "The test passed.",
            format!(
                "It proves that {provider} has the key, not that it works with it: waiting for the first write."
            ),
        ),
        None if data.requests.is_empty() => (
            Shape::Moving,
            "Waiting.",
            format!(
                "Nothing has come with a key of this federation. If {provider} says 401 and nothing appears here, the key was not pasted whole."
            ),
        ),
        None => (
            Shape::Look,
            "Not yet.",
            "A request came and was not answered as it wished: see below.".to_owned(),
        ),
    };
    let items = steps
        .into_iter()
        .map(|step| {
            let class = match step.shape {
                Shape::Good => "done",
                Shape::Moving => "now",
                Shape::Look | Shape::Broken => "stopped",
                Shape::Held | Shape::Unknown | Shape::Ended => "",
            };
            view! {
                <li class=class>
                    {drawing(step.shape)} <div>
                        <h3>{step.name}</h3>
                        <p class="muted small break">{step.evidence}</p>
                    </div>
                </li>
            }
        })
        .collect_view();
    let last = data.first_write.is_none().then(|| {
        view! { <p class="muted small">{guide::first(data.view.federation.vendor)}</p> }
    });
    view! {
        <Callout shape verdict>
            <p>{text}</p>
        </Callout>
        <ol class="steps">{items}</ol>
        {last}
    }
    .into_any()
}

/// `Okta created lena@acme.example at 2026-11-23 20:58:11Z.`
fn work(record: &UsageRecord, name: Option<&str>, provider: &str) -> String {
    let verb = match record.method.as_str() {
        "POST" => "created",
        "DELETE" => "deleted",
        _ => "changed",
    };
    let noun = match record.resource_type.as_str() {
        "Users" => "a user",
        "Groups" => "a group",
        other => other,
    };
    let what = name.map_or_else(|| noun.to_owned(), str::to_owned);
    format!("{} {verb} {what} at {}.", words::capital(provider), exact(record.at_ms))
}

/// Reached us, key known, scope allows, answered: each with the newest request that shows it, or with the newest that
/// came as far and no further.
fn trace(requests: &[UsageRecord]) -> Vec<Step> {
    type Passes = fn(&UsageRecord) -> bool;
    let stages: [(&'static str, Passes); 4] = [
        ("Reached us", |_| true),
        ("Key known", |record| record.decision != Decision::Refused),
        ("Scope allows", |record| record.decision == Decision::Allowed),
        ("Answered", |record| record.decision == Decision::Allowed && record.status < 400),
    ];
    let mut steps = Vec::new();
    let mut before: Option<&UsageRecord> = requests.first();
    let mut is_open = true;
    for (name, passes) in stages {
        let shown = requests.iter().find(|record| passes(record));
        let step = match (shown, before, is_open) {
            (Some(record), _, _) => Step { shape: Shape::Good, name, evidence: said(record) },
            (None, Some(record), true) => {
                Step { shape: Shape::Look, name, evidence: format!("{} {}", said(record), next(name)) }
            }
            (None, None, true) => {
                Step { shape: Shape::Moving, name, evidence: "Waiting for a request.".to_owned() }
            }
            (None, _, false) => Step { shape: Shape::Unknown, name, evidence: "Later.".to_owned() },
        };
        is_open = is_open && step.shape == Shape::Good;
        before = shown.or(before);
        steps.push(step);
    }
    steps
}

/// `20:41:07Z GET Users, 200, from 198.51.100.7.`
fn said(record: &UsageRecord) -> String {
    let source = record.source.as_ref().map(|source| format!(", from {source}")).unwrap_or_default();
    let reason = record.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let (method, resource) = (&record.method, &record.resource_type);
    format!("{} {method} {resource}, {}{reason}{source}.", clock(record.at_ms), record.status)
}

/// What to do about a step that stands.
const fn next(step: &str) -> &'static str {
    match step.as_bytes() {
        b"Key known" => "Paste the key again, or issue another.",
        b"Scope allows" => "Issue a key with a wider scope, or change what the provider sends.",
        _ => "The provider asked for something that is not there or not understood.",
    }
}

#[cfg(test)]
mod tests {
    use domain::{KeyId, RequestId, usage::Facts};

    use super::*;

    fn record(decision: Decision, status: u16) -> UsageRecord {
        UsageRecord {
            request_id: RequestId::new(1, [1; 10]),
            at_ms: 0,
            federation_id: None,
            key_id: KeyId::new(1, [1; 10]),
            method: "GET".to_owned(),
            resource_type: "Users".to_owned(),
            resource_id: None,
            status,
            decision,
            reason: None,
            duration_us: 1,
            source: Some("198.51.100.7".to_owned()),
            user_agent: None,
            tolerated: Vec::new(),
            is_work: false,
            attributes: Vec::new(),
            facts: Facts::default(),
        }
    }

    fn shapes(requests: &[UsageRecord]) -> Vec<Shape> {
        trace(requests).into_iter().map(|step| step.shape).collect()
    }

    #[test]
    fn a_trace_stops_where_the_best_request_stopped() {
        use Shape::{Good, Look, Moving, Unknown};
        assert_eq!(shapes(&[]), [Moving, Unknown, Unknown, Unknown]);
        let refused = record(Decision::Refused, 401);
        assert_eq!(shapes(std::slice::from_ref(&refused)), [Good, Look, Unknown, Unknown]);
        let denied = record(Decision::Denied, 403);
        assert_eq!(shapes(&[refused.clone(), denied]), [Good, Good, Look, Unknown]);
        let failed = record(Decision::Allowed, 400);
        assert_eq!(shapes(std::slice::from_ref(&failed)), [Good, Good, Good, Look]);
        assert_eq!(shapes(&[refused, record(Decision::Allowed, 200)]), [Good; 4]);
    }

    #[test]
    fn the_first_work_is_named() {
        let mut made = record(Decision::Allowed, 201);
        made.method = "POST".to_owned();
        let text = work(&made, Some("mia.lang"), "Okta");
        assert_eq!(text, "Okta created mia.lang at 1970-01-01 00:00:00Z.");
        assert_eq!(work(&made, None, "The provider"), "The provider created a user at 1970-01-01 00:00:00Z.");
    }
}
