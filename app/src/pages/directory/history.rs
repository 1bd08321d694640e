//! Changes as a timeline: who did what with which key, with the values before and after.

use std::collections::BTreeMap;

use domain::{
    Millis,
    audit::ActorKind,
    federations::Slug,
    journal::{ChangeKind, Entry},
    scopes::ResourceKind,
};
use leptos::prelude::*;
use serde_json::Value;

use crate::{
    ui::{
        status::{Shape, drawing},
        still::IntoAny,
        time::{exact, iso, relative},
    },
    words,
};

/// The most characters of a value.
const LONGEST: usize = 300;

/// The most members that a change lists.
const MEMBERS: usize = 20;

/// A value, as short as it can be said.
pub(crate) fn value(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    let short: String = text.chars().take(LONGEST).collect();
    format!("{short}…")
}

/// Where a resource has its page.
pub(crate) fn address(slug: &Slug, kind: ResourceKind, id: &str) -> String {
    format!("/federations/{slug}/{kind}/{id}")
}

/// What changes show beside themselves.
pub(crate) struct Around<'a> {
    /// Whose directory.
    pub slug: &'a Slug,
    /// The time of the page.
    pub now: Millis,
    /// Whether the viewer may take one back.
    pub may_undo: bool,
    /// Whether the resource is named, on pages of more than one.
    pub names_resource: bool,
    /// Names of members, where they are known.
    pub names: &'a BTreeMap<String, String>,
}

/// Changes, as they come.
pub(crate) fn changes(entries: &[Entry], around: &Around<'_>) -> AnyView {
    let items = entries.iter().map(|entry| change(entry, around)).collect_view();
    view! { <ol class="steps changes">{items}</ol> }.into_any()
}

fn change(entry: &Entry, around: &Around<'_>) -> AnyView {
    let shape = match entry.change {
        ChangeKind::Create => Shape::Good,
        ChangeKind::Update => Shape::Moving,
        ChangeKind::Delete => Shape::Ended,
    };
    let (noun, slug) = (noun(entry.kind), around.slug);
    let what = if around.names_resource {
        let href = address(slug, entry.kind, entry.resource_id.as_str());
        view! {
            {format!("{noun} ")} <a href=href>{entry.name.clone()}</a>
            {format!(" {}", entry.change.label())}
        }
        .into_any()
    } else {
        format!("{noun} {}", entry.change.label()).into_any()
    };
    let who = match (&entry.key_id, entry.actor.kind) {
        (Some(id), _) => {
            let name = if entry.actor.name.is_empty() { id.to_string() } else { entry.actor.name.clone() };
            view! { "key " <a href=format!("/keys/{id}")>{name}</a> }.into_any()
        }
        (None, ActorKind::Admin | ActorKind::System | ActorKind::Visitor | ActorKind::Key) => {
            entry.actor.name.clone().into_any()
        }
    };
    let source = entry.source.clone().map(|source| format!(" from {source}"));
    let taken_back = entry.undo_of.as_ref().map(|id| {
        view! {
            ", in an "
            <a href=format!("/federations/{slug}/undo/{id}")>"undo"</a>
        }
    });
    let undo = around.may_undo.then(|| {
        let href = format!("/federations/{slug}/undo?change={}", entry.id);
        let label = format!("Undo this change of {}", entry.name);
        view! {
            ", "
            <a href=href aria-label=label>
                "undo this"
            </a>
        }
    });
    view! {
        <li>
            {drawing(shape)} <div>
                <h3>{what}</h3>
                <p class="muted small">
                    <time datetime=iso(entry.at_ms) title=exact(entry.at_ms)>
                        {relative(entry.at_ms, around.now)}
                    </time>
                    " by "
                    {who}
                    {source}
                    {taken_back}
                    {undo}
                </p>
                {values(entry)}
                {members(entry, around)}
            </div>
        </li>
    }
    .into_any()
}

pub(crate) fn noun(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Users => "User",
        ResourceKind::Groups => "Group",
    }
}

/// The attributes, before and after; all of them of what was created or deleted stand behind a disclosure.
fn values(entry: &Entry) -> Option<AnyView> {
    let names: Vec<&str> = entry
        .attributes()
        .into_iter()
        .filter(|name| entry.was.contains_key(*name) || entry.became.contains_key(*name))
        .collect();
    if names.is_empty() {
        return None;
    }
    let rows = names
        .iter()
        .map(|name| {
            view! {
                <tr>
                    <th scope="row" class="break">
                        {(*name).to_owned()}
                    </th>
                    <td data-l="Before" class="break">
                        {value(entry.was.get(*name))}
                    </td>
                    <td data-l="After" class="break">
                        {value(entry.became.get(*name))}
                    </td>
                </tr>
            }
        })
        .collect_view();
    let label = format!("Values of {}", entry.name);
    let table = view! {
        <div class="tw" tabindex="0" role="region" aria-label=label>
            <table class="t cards">
                <thead>
                    <tr>
                        <th scope="col">"Attribute"</th>
                        <th scope="col">"Before"</th>
                        <th scope="col">"After"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    };
    let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
    Some(match entry.change {
        ChangeKind::Update => table.into_any(),
        ChangeKind::Create | ChangeKind::Delete => view! {
            <details class="more">
                <summary>{words::count(count, "attribute")}</summary>
                {table}
            </details>
        }
        .into_any(),
    })
}

fn members(entry: &Entry, around: &Around<'_>) -> Option<AnyView> {
    let parts = [
        ("joined", &entry.members.joined, "member"),
        ("left", &entry.members.left, "member"),
        ("was in", &entry.members.groups, "group"),
    ];
    let lines = parts
        .into_iter()
        .filter(|(_, ids, _)| !ids.is_empty())
        .map(|(verb, ids, noun)| {
            let name = |id: &String| around.names.get(id).cloned().unwrap_or_else(|| id.clone());
            let some: Vec<String> = ids.iter().take(MEMBERS).map(name).collect();
            let more = if ids.len() > MEMBERS {
                format!(" and {} more", ids.len() - MEMBERS)
            } else {
                String::new()
            };
            let count = words::count(i64::try_from(ids.len()).unwrap_or(i64::MAX), noun);
            let begin = if verb == "was in" { format!("Was in {count}") } else { format!("{count} {verb}") };
            view! { <p class="small break">{format!("{begin}: {}{more}", some.join(", "))}</p> }
        })
        .collect_view();
    (!entry.members.is_empty()).then(|| lines.into_any())
}
