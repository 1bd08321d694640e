//! The users of a federation, and its groups.

use leptos::prelude::*;
use ops::journal::{
    ResourceType,
    browse::{By, List, Row, Wanted},
};

use crate::{
    api,
    ssr::{now_ms, param, query},
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

/// The users of a federation.
#[component]
pub fn Users() -> impl IntoView {
    shown(ResourceType::User)
}

/// The groups of a federation.
#[component]
pub fn Groups() -> impl IntoView {
    shown(ResourceType::Group)
}

fn folder(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::User => "users",
        ResourceType::Group => "groups",
    }
}

fn noun(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::User => "user",
        ResourceType::Group => "group",
    }
}

fn wanted() -> Wanted {
    // No name holds the character between name and id.
    let after = query("after").and_then(|text| {
        let (id, name) = text.split_once(' ')?;
        Some((name.to_owned(), id.to_owned()))
    });
    Wanted {
        text: query("text").unwrap_or_default(),
        by: query("by").as_deref().and_then(By::parse).unwrap_or_default(),
        inactive: query("inactive").as_deref() == Some("yes"),
        after,
    }
}

fn shown(kind: ResourceType) -> impl IntoView {
    page(Section::Federations, async move {
        let wanted = wanted();
        let list = api::journal::list(&param("slug"), kind, &wanted).await?;
        let path = format!("/federations/{}", list.federation.slug);
        let (this, other) = match kind {
            ResourceType::User => ("Users", ("groups", "Show groups")),
            ResourceType::Group => ("Groups", ("users", "Show users")),
        };
        let head = Head::new(this)
            .crumb("/federations", "Federations")
            .crumb(path.clone(), list.federation.name.clone())
            .lead(format!(
                "What {} has pushed. Each has its history.",
                words::provider(list.federation.vendor)
            ))
            .actions(view! {
                <LinkButton href=format!("{path}/{}", other.0) label=other.1 />
                <LinkButton href=format!("{path}/blast") label="Blast radius" icon="search" />
            });
        let body = view! {
            {elsewhere(&list)}
            <section class="card flush" aria-label=this>
                {search(kind, &wanted, &path)}
                <header>
                    <h2>{words::count(list.total, noun(kind))}</h2>
                </header>
                {table(kind, &list, &wanted, &path)}
            </section>
        };
        Ok((head, body.into_any()))
    })
}

/// Users and groups at an upstream are looked at there.
fn elsewhere(list: &List) -> Option<AnyView> {
    (!list.is_here).then(|| {
        view! {
            <Callout shape=Shape::Unknown verdict="Kept by the service behind this federation.">
                <p>
                    "Keyward keeps no list of them; what was changed through it stands in the blast radius."
                </p>
            </Callout>
        }
        .into_any()
    })
}

fn search(kind: ResourceType, wanted: &Wanted, path: &str) -> AnyView {
    let options = By::ALL
        .into_iter()
        .filter(|by| kind == ResourceType::User || *by != By::Email)
        .map(|by| {
            view! {
                <option value=by.as_str() selected=by == wanted.by>
                    {by.label()}
                </option>
            }
        })
        .collect_view();
    let inactive = (kind == ResourceType::User).then(|| {
        view! {
            <label class="check">
                <input type="checkbox" name="inactive" value="yes" checked=wanted.inactive />
                " Only inactive"
            </label>
        }
    });
    view! {
        <form class="toolbar" method="get" action=format!("{path}/{}", folder(kind)) role="search">
            <div class="field">
                <label for="by">"Look in"</label>
                <select id="by" name="by">
                    {options}
                </select>
            </div>
            <div class="field">
                <label for="text">"Search for"</label>
                <input type="search" id="text" name="text" value=wanted.text.clone() autocomplete="off" spellcheck="false" />
            </div>
            {inactive}
            <button class="btn">"Search"</button>
        </form>
    }
    .into_any()
}

fn table(kind: ResourceType, list: &List, wanted: &Wanted, path: &str) -> AnyView {
    if list.rows.is_empty() {
        let is_searched = !wanted.text.trim().is_empty() || wanted.inactive || wanted.after.is_some();
        let (title, text) = if is_searched {
            (
                "Nothing fits the search",
                "Look for the beginning of a name, or for a whole e-mail address, external id or id.",
            )
        } else {
            ("Nothing yet", "What the provider pushes is listed here, with the key that made it.")
        };
        return view! { <Empty title text /> }.into_any();
    }
    let now = now_ms();
    let rows = list.rows.iter().map(|row| line(kind, row, path, now)).collect_view();
    let (second, third) = match kind {
        ResourceType::User => (Some("E-mail"), Some("State")),
        ResourceType::Group => (None, None),
    };
    let column = |label: &'static str| view! { <th scope="col">{label}</th> };
    let next = list.next.as_ref().map(|(name, id)| {
        let after = words::encode(&format!("{id} {name}"));
        let inactive = if wanted.inactive { "&inactive=yes" } else { "" };
        let text = words::encode(&wanted.text);
        let href =
            format!("{path}/{}?by={}&text={text}{inactive}&after={after}", folder(kind), wanted.by.as_str());
        view! {
            <p class="pad">
                <a href=href>"Next page"</a>
            </p>
        }
    });
    let label = format!("Table of {}", folder(kind));
    view! {
        <div class="tw" tabindex="0" role="region" aria-label=label>
            <table class="t cards">
                <caption class="sr">"In order of name"</caption>
                <thead>
                    <tr>{column("Name")} {second.map(column)} {third.map(column)} {column("Made by")} {column("Changed")}</tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        {next}
    }
    .into_any()
}

fn line(kind: ResourceType, row: &Row, path: &str, now: domain::Millis) -> AnyView {
    let href = format!("{path}/{}/{}", folder(kind), row.id);
    let label = (!row.label.is_empty() && row.label != row.name)
        .then(|| view! { <span class="sub">{row.label.clone()}</span> });
    let of_user = (kind == ResourceType::User).then(|| {
        let (shape, word) = if row.active { (Shape::Good, "Active") } else { (Shape::Ended, "Inactive") };
        let email = if row.email.is_empty() { "None".to_owned() } else { row.email.clone() };
        view! {
            <td data-l="E-mail" class="break">
                {email}
            </td>
            <td data-l="State" class="s">
                <Status shape word />
            </td>
        }
    });
    view! {
        <tr>
            <th scope="row" class="break">
                <a href=href>{row.name.clone()}</a>
                {label}
            </th>
            {of_user}
            <td data-l="Made by">
                <a href=format!("/keys/{}", row.made_by)>"Key"</a>
            </td>
            <td data-l="Changed">
                <Ago at=row.modified_ms now />
            </td>
        </tr>
    }
    .into_any()
}
