//! The frame of a page: rail, breadcrumb, heading, sentence, actions; and the page of a failure.

use std::pin::Pin;

use domain::admins::{Admin, Right, Role};
use leptos::prelude::*;
use leptos_meta::Title;
use ops::Cx;

use crate::{
    error::{UiError, UiErrorKind},
    islands::{
        palette::{Entry, Palette},
        shortcuts::Shortcuts,
    },
    ssr,
    ui::{
        callout::Callout,
        icon::Icon,
        status::Shape,
        still::{IntoAny, waiting},
    },
    words,
};

/// The entries of the rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What needs somebody today.
    Overview,
    /// The providers.
    Federations,
    /// Their keys.
    Keys,
    /// Keys that take over from others.
    Rotation,
    /// What is not as it should be.
    Findings,
    /// Compromises, and how they were answered.
    Cases,
    /// What keys did.
    Usage,
    /// Who did what.
    Audit,
    /// How federations stand against their policies, for managers and auditors.
    Compliance,
    /// What holds for the installation.
    Settings,
    /// A page that belongs to none of them.
    Elsewhere,
}

const RAIL: [(Section, &str, &str, &str); 10] = [
    (Section::Overview, "/", "Overview", "gauge"),
    (Section::Federations, "/federations", "Federations", "network"),
    (Section::Keys, "/keys", "Keys", "key"),
    (Section::Rotation, "/rotation", "Rotation", "refresh-cw"),
    (Section::Findings, "/findings", "Findings", "triangle-alert"),
    (Section::Cases, "/cases", "Cases", "shield-alert"),
    (Section::Usage, "/usage", "Usage", "activity"),
    (Section::Audit, "/audit", "Audit", "scroll-text"),
    (Section::Compliance, "/compliance", "Compliance", "shield-check"),
    (Section::Settings, "/settings", "Settings", "sliders-horizontal"),
];

/// Where `g` and a letter lead.
const GO: [(&str, &str, &str); 9] = [
    ("o", "/", "Overview"),
    ("f", "/federations", "Federations"),
    ("k", "/keys", "Keys"),
    ("r", "/rotation", "Rotation"),
    ("l", "/usage/live", "Live usage"),
    ("a", "/findings", "Findings"),
    ("c", "/cases", "Cases"),
    ("u", "/audit", "Audit"),
    ("s", "/settings", "Settings"),
];

/// What the other keys do.
const KEYS: [(&str, &str); 5] = [
    ("?", "This list"),
    ("/", "Search on this page"),
    ("c", "The main action of this page"),
    ("j", "The next row"),
    ("k", "The row before"),
];

/// What stands above the content of a page.
pub struct Head {
    title: String,
    crumbs: Vec<(String, String)>,
    lead: Option<AnyView>,
    actions: Option<AnyView>,
}

impl Head {
    /// A heading, also the title of the document.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), crumbs: Vec::new(), lead: None, actions: None }
    }

    /// A page above this one.
    pub fn crumb(mut self, href: impl Into<String>, label: impl Into<String>) -> Self {
        self.crumbs.push((href.into(), label.into()));
        self
    }

    /// One sentence under the heading.
    pub fn lead(mut self, lead: impl IntoView + 'static) -> Self {
        self.lead = Some(lead.into_any());
        self
    }

    /// What can be done here; the primary action last.
    pub fn actions(mut self, actions: impl IntoView + 'static) -> Self {
        self.actions = Some(actions.into_any());
        self
    }
}

/// Loads a page and frames it; what cannot be loaded becomes the page of its failure, with its
/// status. Runs once: the future is awaited while the page is rendered.
pub fn page<F>(section: Section, content: F) -> AnyView
where
    F: Future<Output = Result<(Head, AnyView), UiError>> + Send + 'static,
{
    framed(section, Box::pin(content))
}

type Content = Pin<Box<dyn Future<Output = Result<(Head, AnyView), UiError>> + Send>>;

// One type for all pages.
fn framed(section: Section, content: Content) -> AnyView {
    waiting(Suspend::new(async move {
        match content.await {
            Ok((head, body)) => frame(section, head, body),
            Err(error) => failure(section, &error),
        }
    }))
}

/// A page with the rail beside it.
pub fn frame(section: Section, head: Head, body: AnyView) -> AnyView {
    let crumbs = (!head.crumbs.is_empty()).then(|| {
        let links = head.crumbs.into_iter().map(|(href, label)| {
            view! {
                <li>
                    <a href=href>{label}</a>
                </li>
            }
        });
        view! {
            <nav class="crumbs" aria-label="Breadcrumb">
                <ol class="crumb-list">
                    {links.collect_view()} <li aria-current="page">{head.title.clone()}</li>
                </ol>
            </nav>
        }
    });
    view! {
        <Title text=words::escaped(&format!("{} · Keyward", head.title)) />
        <a class="skip" href="#main">
            "Skip to content"
        </a>
        <div class="app">
            {rail(section)} <main id="main" tabindex="-1">
                {crumbs} <header class="page-h">
                    <div>
                        <h1>{head.title}</h1>
                        {head.lead.map(|lead| view! { <p class="muted">{lead}</p> })}
                    </div>
                    {head.actions.map(|actions| view! { <div class="actions">{actions}</div> })}
                </header>
                {body}
                <footer class="page-f">
                    <span>"Keyward " {ssr::page().version}</span>
                    <span>"Times are UTC."</span>
                </footer>
            </main>
        </div>
    }
    .into_any()
}

fn rail(section: Section) -> AnyView {
    let links = RAIL.map(|(entry, href, label, icon)| {
        view! {
            <li>
                <a href=href aria-current=(entry == section).then_some("page")>
                    <Icon name=icon />
                    {label}
                </a>
            </li>
        }
    });
    view! {
        <header class="side">
            <div class="brand">
                <a href="/">
                    <Icon name="key" />
                    "Keyward"
                </a>
                <button class="btn sm menu-btn" type="button" popovertarget="menu">
                    <Icon name="menu" />
                    "Menu"
                </button>
            </div>
            <div class="menu" id="menu" popover="auto">
                <Palette entries=palette_entries()>
                    <Icon name="search" />
                </Palette>
                <Shortcuts>{shortcuts()}</Shortcuts>
                <nav aria-label="Main">
                    <ul class="nav">{links.collect_view()}</ul>
                </nav>
                {use_context::<Cx<Admin>>().map(|cx| account(cx.actor()))}
            </div>
        </header>
    }
    .into_any()
}

/// The list of keys, in the dialog that `?` opens.
fn shortcuts() -> AnyView {
    let go = GO.map(|(letter, href, label)| {
        view! {
            <dt>
                <kbd>"g"</kbd>
                " "
                <kbd>{letter}</kbd>
            </dt>
            <dd>
                <a href=href data-go=letter>
                    {label}
                </a>
            </dd>
        }
    });
    let keys = KEYS.map(|(key, what)| {
        view! {
            <dt>
                <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
        }
    });
    view! {
        <h2 id="shortcuts">"Keyboard shortcuts"</h2>
        <dl class="props">
            <dt>
                <kbd>"Ctrl"</kbd>
                " "
                <kbd>"K"</kbd>
            </dt>
            <dd>"Find a page, federation, key or person"</dd>
            {keys.collect_view()}
            {go.collect_view()}
        </dl>
    }
    .into_any()
}

fn account(admin: &Admin) -> AnyView {
    view! {
        <div class="account">
            <strong>{admin.name.clone()}</strong>
            <span class="muted">{role_word(admin)}</span>
            <form method="post" action="/auth/sign-out">
                <button class="btn sm wide">
                    <Icon name="log-out" />
                    "Sign out"
                </button>
            </form>
        </div>
    }
    .into_any()
}

fn role_word(admin: &Admin) -> String {
    match &admin.role {
        Role::Admin => "Admin".to_owned(),
        Role::Manager => "Manager, reads everything".to_owned(),
        Role::Operator(own) => {
            let names: Vec<&str> = own.iter().map(domain::federations::Slug::as_str).collect();
            format!("Operator of {}", names.join(", "))
        }
    }
}

/// The pages, and what the person may begin.
fn palette_entries() -> Vec<Entry> {
    let pages = RAIL.map(|(_, href, label, _)| Entry::new(label, "Page", href));
    let may_register =
        use_context::<Cx<Admin>>().is_some_and(|cx| cx.actor().role.may(Right::RegisterFederation, None));
    let actions = [
        ssr::issuing_blocked().is_none().then(|| Entry::new("Issue key", "Action", "/keys/new")),
        may_register.then(|| Entry::new("Register federation", "Action", "/federations/new")),
        Some(Entry::new("Live usage", "Page", "/usage/live")),
    ];
    pages.into_iter().chain(actions.into_iter().flatten()).collect()
}

/// The page of a failure: what happened, what to do, the id to find it by.
pub fn failure(section: Section, error: &UiError) -> AnyView {
    if error.kind == UiErrorKind::SignedOut {
        leptos_axum::redirect("/sign-in");
    } else {
        ssr::set_status(error.kind.status());
    }
    let (title, next) = match error.kind {
        UiErrorKind::SignedOut => ("You are not signed in", "Sign in, then come back to this page."),
        UiErrorKind::Forbidden => ("You may not see this", "Ask an admin of this installation for the role."),
        UiErrorKind::NotFound => (
            "There is nothing here",
            "It may have another address, or belong to a federation that you do not run.",
        ),
        UiErrorKind::Refused => ("This cannot be done", "Open the page again and repeat the change."),
        UiErrorKind::Busy => ("This is on hold", "Come back in a few minutes."),
        UiErrorKind::Unavailable | UiErrorKind::Unreachable => {
            ("We cannot reach the database", "Nothing was changed. Reload in a few seconds.")
        }
        UiErrorKind::Internal => {
            ("This page has failed", "Nothing was changed. The log of this server says more.")
        }
    };
    let shape = match error.kind {
        UiErrorKind::SignedOut | UiErrorKind::Forbidden | UiErrorKind::NotFound | UiErrorKind::Busy => {
            Shape::Look
        }
        UiErrorKind::Refused
        | UiErrorKind::Unavailable
        | UiErrorKind::Unreachable
        | UiErrorKind::Internal => Shape::Broken,
    };
    let request = error.request_id.clone().map(|id| {
        view! {
            <p class="small muted">
                "Request " <code>{id}</code>
            </p>
        }
    });
    let body = view! {
        <Callout shape verdict=error.message.clone()>
            <p>{next}</p>
            {request}
        </Callout>
        <p>
            <a href="/">"Go to the overview"</a>
        </p>
    };
    frame(section, Head::new(title), body.into_any())
}
