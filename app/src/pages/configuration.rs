//! What the configuration has decided: read here, changed there.

use leptos::prelude::*;
use ops::configuration::{Configuration, Decided};

use crate::{
    ssr,
    ui::{callout::Callout, status::Shape, still::IntoAny},
};

/// A card of settings: its id, its heading, what it is about, and the tables and keys that it shows.
struct Card {
    id: &'static str,
    title: &'static str,
    lead: &'static str,
    keys: &'static [&'static str],
}

const CARDS: [Card; 7] = [
    Card {
        id: "sign-in",
        title: "Sign-in",
        lead: "Who is asked who somebody is, and how long the answer holds.",
        keys: &["oidc.", "session."],
    },
    Card {
        id: "roles",
        title: "Roles",
        lead: "Which value of the roles claim makes which role. Somebody signs in again to get another.",
        keys: &["roles."],
    },
    Card {
        id: "kept",
        title: "Retention",
        lead: "For how long is kept what keys did, and what it replaced. The audit log is kept for ever.",
        keys: &["usage.", "journal."],
    },
    Card {
        id: "anchors",
        title: "Audit anchors",
        lead: "Where checkpoints of the audit log are kept outside of the database.",
        keys: &["audit."],
    },
    Card {
        id: "stream",
        title: "Stream settings",
        lead: "Which records leave for other systems as they come, and how long they wait for one that is away.",
        keys: &["stream."],
    },
    Card {
        id: "outside",
        title: "Calls to the outside",
        lead: "Where upstreams and targets may be, and how mail leaves.",
        keys: &["egress.", "mail.", "leaks."],
    },
    Card {
        id: "server",
        title: "Server",
        lead: "Address, storage and what a client may take.",
        keys: &[
            "public_url",
            "listen",
            "metrics_listen",
            "data_dir",
            "database_url",
            "master_key",
            "trusted_proxies",
            "limits.",
            "log.",
        ],
    },
];

/// The cards, and what this installation is.
pub fn cards(configuration: &Configuration) -> AnyView {
    let note = if configuration.settings.is_empty() {
        view! {
            <Callout shape=Shape::Unknown verdict="Nothing is configured.">
                <p>
                    "This is a throw-away instance. An installation of your own says here what was decided where: "
                    <code>"keyward config show"</code> " prints the same."
                </p>
            </Callout>
        }
        .into_any()
    } else {
        view! {
            <p class="muted">
                "What stands below is decided by the configuration and changed there, followed by a restart. "
                <code>"keyward config show"</code> " prints the same; secrets are never shown."
            </p>
        }
        .into_any()
    };
    let cards = CARDS.iter().filter_map(|one| card(one, &configuration.settings)).collect_view();
    view! {
        {note}
        <div class="grid">{cards} {about(configuration)}</div>
    }
    .into_any()
}

fn card(card: &Card, settings: &[Decided]) -> Option<AnyView> {
    let is_of = |setting: &&Decided| {
        card.keys.iter().any(|key| {
            setting.key == *key
                || (key.ends_with('.') && setting.key.starts_with(key))
                || setting.key.strip_suffix("_file") == Some(key)
        })
    };
    let rows: Vec<AnyView> = settings.iter().filter(is_of).map(row).collect();
    let id = format!("set-{}", card.id);
    let named = id.clone();
    (!rows.is_empty()).then(|| {
        view! {
            <section class="w6 card" aria-labelledby=named>
                <h2 id=id>{card.title}</h2>
                <p class="muted">{card.lead}</p>
                <dl class="props">{rows}</dl>
            </section>
        }
        .into_any()
    })
}

fn row(setting: &Decided) -> AnyView {
    let value = if setting.value == "not set" {
        view! { <span class="muted">"Not set"</span> }.into_any()
    } else {
        view! { <code class="wrap">{setting.value.clone()}</code> }.into_any()
    };
    let source = (!setting.source.is_empty())
        .then(|| view! { <span class="muted small">{format!(" from {}", setting.source)}</span> });
    view! {
        <dt>
            <code class="wrap">{setting.key.clone()}</code>
        </dt>
        <dd>{value} {source}</dd>
    }
    .into_any()
}

fn about(configuration: &Configuration) -> AnyView {
    view! {
        <section class="w6 card" aria-labelledby="about">
            <h2 id="about">"About"</h2>
            <dl class="props">
                <dt>"Version"</dt>
                <dd>{format!("Keyward {}", ssr::page().version)}</dd>
                <dt>"Database"</dt>
                <dd>{format!("{}. It answered this page.", configuration.database)}</dd>
                <dt>"Health"</dt>
                <dd>
                    <a href="/readyz">"Ready"</a>
                    " and "
                    <a href="/healthz">"alive"</a>
                    ", as a load balancer asks"
                </dd>
                <dt>"Licence"</dt>
                <dd>"Apache-2.0. Fonts: Geist and Geist Mono (OFL-1.1). Icons: Lucide (ISC)."</dd>
            </dl>
        </section>
    }
    .into_any()
}
