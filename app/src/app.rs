//! The document around every page, and the table of pages.

use leptos::{hydration::HydrationScripts, prelude::*};
use leptos_meta::{MetaTags, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{FlatRoutes, Route, Router},
    path,
};

use crate::{
    pages::{
        audit::{Audit, AuditEntry},
        behaviour::Behaviour,
        blast::BlastRadius,
        brakes::{AllowIdentity, Brakes, HeldOperations, MarkResource, PlanWindow},
        cases::{Case, Cases},
        compliance::{Attestation, Attestations, Compliance, Evidence, SignAttestation},
        compromise::{NewCanary, ReportCompromise},
        directory::{Group, Groups, User, Users},
        federations::{
            AddDeliveryTarget, Delivery, EditDeliveryTarget, EditFederation, EditSchemas, EditTarget,
            Federation, Federations, NewFederation, SetUpFederation,
        },
        findings::Findings,
        hand_off::{HandOver, MakeHandOver},
        keys::{ChangeClient, HoldKey, IssueKey, Key, Keys, NarrowKey, RevokeKey, RotateKey, TightenKey},
        not_found::NotFound,
        overview::Overview,
        rotation::{ActOnRotation, Board, DefaultPolicy, FederationPolicy, Rotation},
        settings::{Channels, Settings, ShownOncePage},
        sign_in::SignIn,
        undo::{Undo, UndoPlan},
        usage::{LiveUsagePage, Usage, UsageRequest},
    },
    ssr,
};

/// The HTML document; `site_pkg_dir` names the folder of the bundle.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    let pkg = options.site_pkg_dir.to_string();
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                <meta name="description" content="Keyward manages provisioning keys" />
                <meta name="robots" content="noindex" />
                <link
                    rel="preload"
                    href=format!("/{pkg}/geist.woff2")
                    r#as="font"
                    r#type="font/woff2"
                    crossorigin="anonymous"
                />
                <link rel="stylesheet" href=format!("/{pkg}/keyward.css") />
                <link rel="icon" href="/favicon.svg" r#type="image/svg+xml" />
                <HydrationScripts options islands=true />
                <MetaTags />
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}

/// The pages. Each is rendered whole before it is sent.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <Router>
            <FlatRoutes fallback=NotFound>
                <Route path=path!("/") view=Overview ssr=SsrMode::Async />
                <Route path=path!("/sign-in") view=SignIn ssr=SsrMode::Async />
                <Route path=path!("/federations") view=Federations ssr=SsrMode::Async />
                <Route path=path!("/federations/new") view=NewFederation ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug") view=Federation ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/edit") view=EditFederation ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/setup") view=SetUpFederation ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/schemas") view=EditSchemas ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/target") view=EditTarget ssr=SsrMode::Async />
                <Route path=path!("/keys") view=Keys ssr=SsrMode::Async />
                <Route path=path!("/keys/new") view=IssueKey ssr=SsrMode::Async />
                <Route path=path!("/keys/:id") view=Key ssr=SsrMode::Async />
                <Route path=path!("/keys/:id/rotate") view=RotateKey ssr=SsrMode::Async />
                <Route path=path!("/keys/:id/client") view=ChangeClient ssr=SsrMode::Async />
                <Route path=path!("/keys/:id/hold") view=HoldKey ssr=SsrMode::Async />
                <Route path=path!("/keys/:id/scope") view=NarrowKey ssr=SsrMode::Async />
                <Route path=path!("/keys/:id/tighten") view=TightenKey ssr=SsrMode::Async />
                <Route path=path!("/keys/:id/revoke") view=RevokeKey ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/delivery") view=Delivery ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/delivery/new") view=AddDeliveryTarget ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/delivery/:id") view=EditDeliveryTarget ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/rotation") view=FederationPolicy ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/users") view=Users ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/users/:id") view=User ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/groups") view=Groups ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/groups/:id") view=Group ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/blast") view=BlastRadius ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/undo") view=UndoPlan ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/undo/:id") view=Undo ssr=SsrMode::Async />
                <Route path=path!("/rotation") view=Board ssr=SsrMode::Async />
                <Route path=path!("/rotation/:id") view=Rotation ssr=SsrMode::Async />
                <Route path=path!("/rotation/:id/:act") view=ActOnRotation ssr=SsrMode::Async />
                <Route path=path!("/settings/rotation") view=DefaultPolicy ssr=SsrMode::Async />
                <Route path=path!("/keys/:id/compromise") view=ReportCompromise ssr=SsrMode::Async />
                <Route path=path!("/keys/:id/hand-over") view=MakeHandOver ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/canary") view=NewCanary ssr=SsrMode::Async />
                <Route path=path!("/findings") view=Findings ssr=SsrMode::Async />
                <Route path=path!("/cases") view=Cases ssr=SsrMode::Async />
                <Route path=path!("/cases/:id") view=Case ssr=SsrMode::Async />
                <Route path=path!("/cases/:id/held") view=HeldOperations ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/behaviour") view=Behaviour ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/brakes") view=Brakes ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/brakes/window") view=PlanWindow ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/brakes/mark") view=MarkResource ssr=SsrMode::Async />
                <Route path=path!("/federations/:slug/brakes/allow") view=AllowIdentity ssr=SsrMode::Async />
                <Route path=path!("/compliance") view=Compliance ssr=SsrMode::Async />
                <Route path=path!("/compliance/evidence") view=Evidence ssr=SsrMode::Async />
                <Route path=path!("/compliance/attestations") view=Attestations ssr=SsrMode::Async />
                <Route path=path!("/compliance/attestations/new") view=SignAttestation ssr=SsrMode::Async />
                <Route path=path!("/compliance/attestations/:id") view=Attestation ssr=SsrMode::Async />
                <Route path=path!("/settings") view=Settings ssr=SsrMode::Async />
                <Route path=path!("/settings/channels") view=Channels ssr=SsrMode::Async />
                <Route path=path!("/hand-over/:token") view=HandOver ssr=SsrMode::Async />
                <Route path=path!("/shown-once") view=ShownOncePage ssr=SsrMode::Async />
                <Route path=path!("/usage") view=Usage ssr=SsrMode::Async />
                <Route path=path!("/usage/live") view=LiveUsagePage ssr=SsrMode::Async />
                <Route path=path!("/usage/requests/:id") view=UsageRequest ssr=SsrMode::Async />
                <Route path=path!("/audit") view=Audit ssr=SsrMode::Async />
                <Route path=path!("/audit/:seq") view=AuditEntry ssr=SsrMode::Async />
            </FlatRoutes>
        </Router>
    }
}

/// The path of a file in the bundle.
pub(crate) fn asset(name: &str) -> String {
    format!("/pkg/{}/{name}", ssr::page().bundle)
}
