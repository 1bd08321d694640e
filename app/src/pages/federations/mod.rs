//! Federations: the list, one of them, the forms that register and edit.

mod delivery;
mod delivery_target;
mod detail;
mod form;
mod schemas;
mod setup;
mod target;
mod target_form;

use domain::{Millis, admins::Right, federations::Vendor};
use leptos::prelude::*;
use ops::federations::FederationView;

pub use self::{
    delivery::Delivery,
    delivery_target::{AddDeliveryTarget, EditDeliveryTarget},
    detail::Federation,
    form::{EditFederation, NewFederation},
    schemas::EditSchemas,
    setup::SetUpFederation,
    target_form::EditTarget,
};
use crate::{
    api,
    ssr::{admin_cx, now_ms},
    ui::{
        button::LinkButton,
        callout::Empty,
        page::{Head, Section, page},
        status::{Status, of_federation},
        still::IntoAny,
        time::Ago,
    },
    words,
};

/// Every provider that may push users here.
#[component]
pub fn Federations() -> impl IntoView {
    page(Section::Federations, async {
        let views = api::federations::list().await?;
        let may_register = admin_cx()?.actor().role.may(Right::RegisterFederation, None);
        let blocked = (!may_register).then(|| words::NEEDS_ADMIN.to_owned());
        let register = move || {
            let blocked = blocked.clone();
            view! {
                <LinkButton
                    href="/federations/new"
                    label="Register federation"
                    icon="plus"
                    primary=true
                    blocked=blocked
                />
            }
        };
        let head = Head::new("Federations")
            .lead("A federation is one identity provider that may push users here, under its own base URL.");
        if views.is_empty() {
            let body = view! {
                <section class="card flush">
                    <Empty
                        title="No federations yet"
                        text="Register the provider that you use first. It gets a base URL and a rotation policy; then you issue its key."
                    >
                        {register()}
                    </Empty>
                    {may_register.then(tiles)}
                </section>
            };
            return Ok((head, body.into_any()));
        }
        Ok((head.actions(register()), table(&views, now_ms())))
    })
}

/// The providers to begin with: each leads to the form with its own guide.
fn tiles() -> AnyView {
    let items = Vendor::ALL
        .iter()
        .map(|vendor| {
            view! {
                <li>
                    <a href=format!("/federations/new?vendor={}", vendor.as_str())>{vendor.label()}</a>
                </li>
            }
        })
        .collect_view();
    view! {
        <div class="pad">
            <h2>"Begin with your provider"</h2>
            <ul class="choices">{items}</ul>
        </div>
    }
    .into_any()
}

fn table(views: &[FederationView], now: Millis) -> AnyView {
    let rows = views.iter().map(|view| row(view, now)).collect_view();
    view! {
        <section class="card flush" aria-label="Federations">
            <div class="tw" tabindex="0" role="region" aria-label="Table of federations">
                <table class="t cards">
                    <caption class="sr">"Federations in order of registration, archived last"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Federation"</th>
                            <th scope="col">"Status"</th>
                            <th scope="col">"Provider"</th>
                            <th scope="col">"Last request"</th>
                            <th scope="col" class="num">
                                "Keys"
                            </th>
                            <th scope="col" class="num">
                                "Users"
                            </th>
                            <th scope="col" class="num">
                                "Groups"
                            </th>
                            <th scope="col">"Policy"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </section>
    }
    .into_any()
}

fn row(view: &FederationView, now: Millis) -> impl IntoView + use<> {
    let federation = &view.federation;
    let (shape, word) = of_federation(view);
    let last = view.last_request_ms.map(|at| view! { <Ago at now /> });
    let never = view.last_request_ms.is_none().then_some("Never");
    let policy =
        format!("{} days, overlap {} h", federation.policy.max_age_days, federation.policy.overlap_hours);
    view! {
        <tr>
            <th scope="row">
                <a href=format!("/federations/{}", federation.slug)>{federation.name.clone()}</a>
                <span class="sub mono">{federation.slug.to_string()}</span>
            </th>
            <td class="s" data-l="Status">
                <Status shape word />
            </td>
            <td data-l="Provider">{federation.vendor.label()}</td>
            <td data-l="Last request">{last} {never}</td>
            <td data-l="Keys" class="num">
                {words::number(view.accepted_keys)}
            </td>
            <td data-l="Users" class="num">
                {words::number(view.users)}
            </td>
            <td data-l="Groups" class="num">
                {words::number(view.groups)}
            </td>
            <td data-l="Policy">{policy}</td>
        </tr>
    }
}
