//! What narrows a key beyond its verbs: the fields of the scope builder, and the page that gives a key a
//! narrower scope.

use domain::scopes::{Provenance, ResourceKind, Scope, Verb, words::Difference};
use leptos::prelude::*;

use crate::{
    api,
    error::{UiError, UiErrorKind},
    forms::{
        grant_value,
        scope::{Fields, fields},
    },
    ssr::param,
    ui::{
        callout::Callout,
        form::{Form, field},
        page::{Head, Section, page},
        status::Shape,
        still::IntoAny,
    },
    words,
};

/// The form that gives a key a narrower scope.
#[component]
pub fn NarrowKey() -> impl IntoView {
    page(Section::Keys, async {
        let view = api::keys::open(&param("id")).await?;
        if !view.may_manage {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let (key, form) = (&view.key, Form::current());
        let path = format!("/keys/{}", key.id);
        let head = Head::new(format!("Narrow {}", key.name))
            .crumb("/keys", "Keys")
            .crumb(path.clone(), key.name.clone())
            .lead("A scope only gets narrower here. Whoever needs more issues another key.");
        let verbs = ResourceKind::ALL.map(|kind| {
            let boxes = Verb::ALL.into_iter().filter(|verb| key.scope.grants(kind, *verb)).map(|verb| {
                let value = grant_value(kind, verb);
                view! {
                    <label class="check">
                        <input type="checkbox" name="grant" value=value.clone() id=value.clone() checked=form.is_ticked("grant", &value, true) />
                        {verb.as_str()}
                        <span class="sr">{format!(" {kind}")}</span>
                    </label>
                }
            });
            let boxes = boxes.collect_view();
            view! {
                <div>
                    <strong aria-hidden="true">{title(kind)}</strong>
                    {boxes}
                </div>
            }
        });
        let body = view! {
            <section class="card" aria-labelledby="today">
                <h2 id="today">"This key may now"</h2>
                {phrases(&key.scope)}
            </section>
            <form class="card form" method="post" action=format!("{path}/scope")>
                {form.summary()} <input type="hidden" name="version" value=key.version.to_string() />
                <fieldset class="field" id="scope">
                    <legend>"Verbs that stay"</legend>
                    <div class="verbs">{verbs.collect_view()}</div>
                    {form.group_fault("scope")}
                </fieldset>
                {narrowing(&form, &key.scope)} {when(&form)}
                <div class="actions">
                    <button class="btn primary">"Narrow key"</button>
                    <a class="btn ghost" href=path.clone()>
                        "Leave it as it is"
                    </a>
                </div>
            </form>
        };
        Ok((head, body.into_any()))
    })
}

/// From when on a narrower scope holds.
pub fn when(form: &Form) -> AnyView {
    let options = [
        ("next", "From the next rotation on", "The successor gets it. This key stays as it is."),
        ("now", "Now", "The next request is decided by it. What it no longer allows gets 403."),
    ]
    .map(|(value, title, hint)| {
        view! {
            <label class="opt">
                <input type="radio" name="when" value=value id=format!("when-{value}") checked=form.is_ticked("when", value, value == "next") />
                <span>
                    <strong>{title}</strong>
                    <span class="hint">{hint}</span>
                </span>
            </label>
        }
    });
    view! {
        <fieldset class="field" id="when">
            <legend>"When?"</legend>
            {options.collect_view()}
            {form.group_fault("when")}
        </fieldset>
    }
    .into_any()
}

/// What a scope allows, one phrase a line.
pub fn phrases(scope: &Scope) -> AnyView {
    let lines = scope.in_words().into_iter().map(|phrase| view! { <li>{phrase}</li> }).collect_view();
    view! { <ul class="phrases">{lines}</ul> }.into_any()
}

/// How two scopes differ, as a table.
pub fn differences(differences: &[Difference]) -> AnyView {
    let rows = differences.iter().map(|one| {
        view! {
            <tr>
                <th scope="row">{one.dimension.clone()}</th>
                <td data-l="Now">{one.before.clone()}</td>
                <td data-l="Then">{one.after.clone()}</td>
            </tr>
        }
    });
    view! {
        <div class="tw">
            <table class="t told cards">
                <caption class="sr">"What changes"</caption>
                <thead>
                    <tr>
                        <th scope="col">"What"</th>
                        <th scope="col">"Now"</th>
                        <th scope="col">"Then"</th>
                    </tr>
                </thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

/// The fields that narrow, filled in from a scope; closed while they say nothing.
pub fn narrowing(form: &Form, scope: &Scope) -> AnyView {
    let kinds = ResourceKind::ALL.map(|kind| of_kind(form, scope, kind));
    let groups = scope.groups.iter().flatten().cloned().collect::<Vec<_>>().join("\n");
    let groups = field("groups", "Only these groups")
        .hint("Ids, one a line. Others are not there for the key, and it creates none.")
        .default(groups)
        .optional();
    let networks = field("source_networks", "Source networks")
        .hint("Only requests from these addresses are accepted, such as 192.0.2.0/24. One a line; empty is anywhere.")
        .default(lines(&scope.source_networks))
        .optional();
    let hours = field("hours", "Hours")
        .hint("Such as mon-fri 08:00-17:00 +01:00. One window a line; empty is always.")
        .default(lines(&scope.hours))
        .optional();
    let key_line = Provenance::KeyLine.as_str();
    let is_own = form.is_ticked("provenance", key_line, scope.provenance == Provenance::KeyLine);
    let is_open = form.has_faults() || scope.in_words().len() > scope.grants.len();
    view! {
        <details class="more narrow" open=is_open>
            <summary>"Narrow further: attributes, filters, groups, ceilings, networks, hours"</summary>
            {kinds.collect_view()} <fieldset class="field">
                <legend>"Which resources"</legend>
                <label class="check">
                    <input type="checkbox" name="provenance" value=key_line id="provenance" checked=is_own />
                    "Only what this key and those before it have made"
                </label>
                {form.area(groups, 2)}
            </fieldset>
            <fieldset class="field">
                <legend>"From where and when"</legend>
                {form.area(networks, 2)}
                {form.area(hours, 2)}
            </fieldset>
        </details>
    }
    .into_any()
}

fn of_kind(form: &Form, scope: &Scope, kind: ResourceKind) -> AnyView {
    let grant = scope.grant(kind);
    let list = |set: Option<&std::collections::BTreeSet<String>>| {
        set.into_iter().flatten().cloned().collect::<Vec<_>>().join(", ")
    };
    let Fields { read, write, filter, ceilings } = fields(kind);
    let (sees, writes, matches) = match kind {
        ResourceKind::Users => {
            ("Attributes of users it may see", "Attributes of users it may write", "Only users that match")
        }
        ResourceKind::Groups => {
            ("Attributes of groups it may see", "Attributes of groups it may write", "Only groups that match")
        }
    };
    let example = match kind {
        ResourceKind::Users => {
            "Such as userName, active, name.familyName, or the URN of an extension. Empty is all."
        }
        ResourceKind::Groups => "Such as displayName, members. Empty is all.",
    };
    let filter_example = match kind {
        ResourceKind::Users => {
            "A SCIM filter, such as userName ew \"@example.com\". What does not match is not there."
        }
        ResourceKind::Groups => {
            "A SCIM filter, such as displayName sw \"app-\". What does not match is not there."
        }
    };
    let read = field(read, sees)
        .hint(example)
        .default(list(grant.and_then(|grant| grant.read_attributes.as_ref())))
        .optional();
    let written = field(write, writes)
        .hint("Of those that it may see. Empty is all of them.")
        .default(list(grant.and_then(|grant| grant.write_attributes.as_ref())))
        .optional();
    let filter = field(filter, matches)
        .hint(filter_example)
        .default(scope.filter(kind).unwrap_or_default())
        .optional();
    let ceilings = ceilings.map(|(verb, name)| {
        let most = scope.ceiling(kind, verb).map(|most| most.to_string()).unwrap_or_default();
        let label = match verb {
            Verb::Read => "Read, most an hour",
            Verb::Create => "Create, most an hour",
            Verb::Update => "Update, most an hour",
            Verb::Delete => "Delete, most an hour",
        };
        form.number(
            field(name, label).default(most).optional(),
            1,
            i64::from(domain::scopes::HIGHEST_CEILING),
        )
    });
    view! {
        <fieldset class="field">
            <legend>{title(kind)}</legend>
            {form.area(read, 2)}
            {form.area(written, 2)}
            {form.input(filter, "text")}
            <div class="fields-row">{ceilings.collect_view()}</div>
        </fieldset>
    }
    .into_any()
}

/// What to say of a key whose successor gets another scope.
pub fn next(now: &Scope, next: &Scope) -> AnyView {
    let changes = differences(&now.differences(next));
    view! {
        <Callout shape=Shape::Moving verdict="Its successor gets a narrower scope.">
            {changes}
        </Callout>
    }
    .into_any()
}

const fn title(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Users => "Users",
        ResourceKind::Groups => "Groups",
    }
}

fn lines(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
