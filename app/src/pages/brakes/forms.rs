//! Planning work, marking a user or group, allowing a mail domain.

use leptos::prelude::*;
use ops::brakes::BrakesView;

use crate::{
    api,
    error::{UiError, UiErrorKind},
    ssr::{now_ms, param, query},
    ui::{
        form::{Form, field},
        page::{Head, Section, page},
        still::IntoAny,
        time::{clock, day_key},
    },
    words,
};

const WHY: &str = "Stays in the audit log, with your name.";

/// The page that each of these forms belongs to.
fn path(view: &BrakesView) -> String {
    format!("/federations/{}/brakes", view.federation.slug)
}

fn head(view: &BrakesView, title: &'static str) -> Head {
    Head::new(title)
        .crumb("/federations", "Federations")
        .crumb(format!("/federations/{}", view.federation.slug), view.federation.name.clone())
        .crumb(path(view), "Brakes")
}

/// The button that does it, and the way back.
fn actions(verb: &'static str, path: String) -> AnyView {
    view! {
        <div class="actions">
            <button class="btn primary">{verb}</button>
            <a class="btn" href=path>
                "Cancel"
            </a>
        </div>
    }
    .into_any()
}

fn choices<const N: usize>(kinds: [(&str, &str); N]) -> Vec<(String, String)> {
    kinds.map(|(value, label)| (value.to_owned(), label.to_owned())).to_vec()
}

/// The form that plans work.
#[component]
pub fn PlanWindow() -> impl IntoView {
    page(Section::Federations, async {
        let view = api::brakes::overview(&param("slug")).await?;
        if !view.may_plan {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let (form, now) = (Form::current(), now_ms());
        let path = path(&view);
        let head = head(&view, "Plan a maintenance window").lead(
                "In its time it raises the limits of R1, R2 and R4 to its ceiling. It does nothing before a second person agrees, ends by itself, and is 24 hours long at most.",
            );
        let at = |at_ms| format!("{} {}", day_key(at_ms), clock_of(at_ms));
        let action = format!("{path}/window");
        let body = view! {
            <form class="card form" method="post" action=action>
                {form.summary()}
                {form
                    .number(
                        field("ceiling", "Operations")
                            .hint("How many deactivations, deletions, emptied groups and rewritten users it lets through.")
                            .default("50"),
                        1,
                        domain::brakes::MOST_CEILING,
                    )}
                {form
                    .input(field("begins", "Begins").hint("UTC, such as 2026-11-23 20:30.").default(at(now)), "text")}
                {form
                    .input(
                        field("ends", "Ends").hint("UTC, within 24 hours of its beginning.").default(at(now + 4 * domain::HOUR_MS)),
                        "text",
                    )}
                {form.input(field("reason", "What is done in it").hint(WHY), "text")}
                {actions("Plan window", path)}
            </form>
        };
        Ok((head, body.into_any()))
    })
}

/// `20:30`.
fn clock_of(at_ms: domain::Millis) -> String {
    let text = clock(at_ms);
    let found = text.split_whitespace().find(|word| word.contains(':')).unwrap_or("00:00");
    found.chars().take(5).collect()
}

/// The form that marks a user or group.
#[component]
pub fn MarkResource() -> impl IntoView {
    page(Section::Federations, async {
        let view = api::brakes::overview(&param("slug")).await?;
        if !view.may_mark {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_ADMIN));
        }
        let form = Form::current();
        let path = path(&view);
        let head = head(&view, "Mark a user or group")
            .lead("A mark takes effect with the next request of the provider.");
        let kinds = [
            ("protected", "Protected: no key changes it, its memberships or its members"),
            ("privileged", "Privileged group: every addition is told, and held at an unusual hour"),
            ("canary", "Canary: nobody has a reason to touch it, and whoever does is told of"),
        ];
        let kinds = choices(kinds);
        let action = format!("{path}/mark");
        let body = view! {
            <form class="card form" method="post" action=action>
                {form.summary()}
                {form
                    .input(
                        field("resource", "User or group")
                            .hint("Its id, userName or displayName.")
                            .default(query("resource").unwrap_or_default()),
                        "text",
                    )} {form.select(field("kind", "Mark").default("protected"), kinds)}
                {form.input(field("reason", "Why").hint(WHY), "text")}
                {actions("Mark it", path)}
            </form>
        };
        Ok((head, body.into_any()))
    })
}

/// The form that allows a mail domain or a kind of externalId.
#[component]
pub fn AllowIdentity() -> impl IntoView {
    page(Section::Federations, async {
        let view = api::brakes::overview(&param("slug")).await?;
        if !view.may_approve {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_APPROVER));
        }
        let form = Form::current();
        let path = path(&view);
        let head = head(&view, "Allow a mail domain or kind of id")
            .lead("What is held for it alone passes when the provider sends it again.");
        let kinds = [("domain", "Mail domain"), ("shape", "Kind of externalId")];
        let kinds = choices(kinds);
        let action = format!("{path}/allow");
        let body = view! {
            <form class="card form" method="post" action=action>
                {form.summary()}
                {form
                    .select(
                        field("kind", "What").default(query("kind").unwrap_or_else(|| "domain".to_owned())),
                        kinds,
                    )}
                {form
                    .input(
                        field("value", "Domain, or kind of id")
                            .hint("example.com; or uuid, number, mail, dn, alphanumeric, text.")
                            .default(query("value").unwrap_or_default()),
                        "text",
                    )} {form.input(field("reason", "Why").hint(WHY), "text")}
                {actions("Allow it", path)}
            </form>
        };
        Ok((head, body.into_any()))
    })
}
