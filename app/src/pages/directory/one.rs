//! One user or group: what it is now, and how it came to be so.

use leptos::prelude::*;
use ops::journal::{
    ResourceType,
    browse::{Now, One},
    history::History,
};

use super::history::{Around, changes, value};
use crate::{
    api,
    ssr::{now_ms, param},
    ui::{
        button::LinkButton,
        callout::{Callout, Empty},
        page::{Head, Section, page},
        status::{Shape, Status},
        still::IntoAny,
        time::Ago,
    },
    words,
};

/// One user.
#[component]
pub fn User() -> impl IntoView {
    shown(ResourceType::User)
}

/// One group.
#[component]
pub fn Group() -> impl IntoView {
    shown(ResourceType::Group)
}

fn shown(kind: ResourceType) -> impl IntoView {
    page(Section::Federations, async move {
        let (one, history) = api::journal::one(&param("slug"), kind, &param("id")).await?;
        let now = now_ms();
        let id = param("id");
        let path = format!("/federations/{}", one.federation.slug);
        let last = history.entries.first().map(|entry| entry.name.clone());
        let name = one.now.as_ref().map(|now| now.row.name.clone()).or(last).unwrap_or_else(|| id.clone());
        let (folder, label) = match kind {
            ResourceType::User => ("users", "Users"),
            ResourceType::Group => ("groups", "Groups"),
        };
        let undo = history.may_undo.then(|| {
            view! { <LinkButton href=format!("{path}/undo?resource={id}") label="Undo all its changes" /> }
        });
        let head = Head::new(name)
            .crumb("/federations", "Federations")
            .crumb(path.clone(), one.federation.name.clone())
            .crumb(format!("{path}/{folder}"), label)
            .actions(view! {
                <LinkButton href=format!("{path}/brakes?mark={id}") label="Protect" />
                {undo}
            });
        let body = view! {
            {present(&one, &path, now)}
            <section class="card" aria-labelledby="history">
                <h2 id="history">"History"</h2>
                {past(&history, &path, folder, &id, now)}
            </section>
        };
        Ok((head, body.into_any()))
    })
}

fn present(one: &One, path: &str, now: domain::Millis) -> AnyView {
    let Some(found) = &one.now else {
        return view! {
            <Callout shape=Shape::Ended verdict="It is not here now.">
                <p>"It was deleted, or is kept by the service behind this federation. Its history stays."</p>
            </Callout>
        }
        .into_any();
    };
    let state = (one.kind == ResourceType::User).then(|| {
        let (shape, word) =
            if found.row.active { (Shape::Good, "Active") } else { (Shape::Ended, "Inactive") };
        view! {
            <dt>"State"</dt>
            <dd>
                <Status shape word />
            </dd>
        }
    });
    let groups = (!found.groups.is_empty()).then(|| {
        let links = found
            .groups
            .iter()
            .map(|group| {
                view! {
                    <li>
                        <a href=format!("{path}/groups/{}", group.id)>{group.display_name.clone()}</a>
                    </li>
                }
            })
            .collect_view();
        view! {
            <dt>"Directly in"</dt>
            <dd>
                <ul class="plain">{links}</ul>
            </dd>
        }
    });
    view! {
        <div class="grid">
            <section class="w8 card flush" aria-labelledby="attributes">
                <header>
                    <h2 id="attributes">"Attributes"</h2>
                </header>
                {attributes(found)}
            </section>
            <section class="w4 card" aria-labelledby="facts">
                <h2 id="facts">"Facts"</h2>
                <dl class="props">
                    {state} <dt>"Id"</dt>
                    <dd class="break">
                        <code>{found.row.id.clone()}</code>
                    </dd>
                    <dt>"Version"</dt>
                    <dd>{found.version}</dd>
                    <dt>"Created"</dt>
                    <dd>
                        <Ago at=found.created_ms now />
                    </dd>
                    <dt>"Changed"</dt>
                    <dd>
                        <Ago at=found.row.modified_ms now />
                    </dd>
                    <dt>"Made by"</dt>
                    <dd>
                        <a href=format!("/keys/{}", found.row.made_by)>"Open the key"</a>
                    </dd>
                    {groups}
                </dl>
            </section>
        </div>
        {members(one.kind, found, path)}
    }
    .into_any()
}

fn attributes(found: &Now) -> AnyView {
    let rows = found
        .body
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "schemas")
        .map(|(name, held)| {
            view! {
                <tr>
                    <th scope="row" class="break">
                        {name.clone()}
                    </th>
                    <td data-l="Value" class="break">
                        {value(Some(held))}
                    </td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="tw" tabindex="0" role="region" aria-label="Table of attributes">
            <table class="t cards">
                <thead>
                    <tr>
                        <th scope="col">"Attribute"</th>
                        <th scope="col">"Value"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn members(kind: ResourceType, found: &Now, path: &str) -> Option<AnyView> {
    if kind == ResourceType::User {
        return None;
    }
    let list = if found.members.is_empty() {
        view! { <Empty title="No members" text="Nobody is in this group." /> }.into_any()
    } else {
        let items = found
            .members
            .iter()
            .map(|member| {
                let folder = if member.member_kind == "Group" { "groups" } else { "users" };
                let name = member.display.clone().unwrap_or_else(|| member.member_id.clone());
                view! {
                    <li>
                        <a href=format!("{path}/{folder}/{}", member.member_id)>{name}</a>
                    </li>
                }
            })
            .collect_view();
        view! { <ul class="plain columns pad">{items}</ul> }.into_any()
    };
    let next = found.next_member.as_ref().map(|id| {
        view! {
            <p class="pad">
                <a href=format!("{path}/groups/{}?after={id}", found.row.id)>"More members"</a>
            </p>
        }
    });
    let count = i64::try_from(found.members.len()).unwrap_or(i64::MAX);
    let title = match found.next_member {
        Some(_) => format!("The next {}", words::count(count, "member")),
        None => words::count(count, "member"),
    };
    Some(
        view! {
            <section class="card flush" aria-labelledby="members">
                <header>
                    <h2 id="members">{title}</h2>
                </header>
                {list}
                {next}
            </section>
        }
        .into_any(),
    )
}

fn past(history: &History, path: &str, folder: &str, id: &str, now: domain::Millis) -> AnyView {
    if history.entries.is_empty() {
        return view! {
            <Empty
                title="Nothing is in the journal"
                text="It was made before the journal began, or its changes are older than the journal is kept."
            />
        }
        .into_any();
    }
    let around = Around {
        slug: &history.federation.slug,
        now,
        may_undo: history.may_undo,
        names_resource: false,
        names: &history.names,
    };
    let older = history.older.as_ref().map(|before| {
        view! {
            <p>
                <a href=format!("{path}/{folder}/{id}?before={before}")>"Older changes"</a>
            </p>
        }
    });
    view! {
        {changes(&history.entries, &around)}
        {older}
    }
    .into_any()
}
