//! The laws, walked over every operation: each change leaves its record, and without the record
//! there is no change.

use std::collections::BTreeSet;

use domain::{
    admins::Role,
    audit::Action,
    scopes::{ResourceKind, Scope, Verb},
};
use ops::{Error, admins::SignIn, federations::EditFederation, groups, keys::Rotate, testing, users};
use scim::ResourceType;
use serde_json::json;

use crate::{
    signer::{Desk, Signer, given, jwks, refused as no_token},
    support::{House, asked, extension, houses, listed, new_federation, new_key, resource},
};

fn sign_in(role: Option<Role>) -> SignIn {
    SignIn {
        issuer: "https://idp.test".to_owned(),
        subject: "s".to_owned(),
        name: "Somebody".to_owned(),
        email: None,
        role,
        claim_values: vec!["a".to_owned()],
    }
}

/// Does everything that can be done, once. Each step says its action and whether it worked.
async fn everything(house: &House, old: &Signer) -> Vec<(Action, Result<(), Error>)> {
    let cx = house.admin();
    let visitor = testing::visitor(&house.keyward);
    let scope = Scope::full_directory();
    let mut done = vec![
        (Action::NodeStarted, ops::installation::record_start(&house.keyward, "test").await),
        (Action::AdminSignedIn, ops::admins::sign_in(&visitor, sign_in(Some(Role::Admin))).await.map(drop)),
        (Action::AdminSignInRefused, ops::admins::refuse_sign_in(&visitor, "state").await),
        (Action::AdminSignedOut, ops::admins::sign_out(&cx).await),
        (
            Action::FederationRegistered,
            ops::federations::register(&cx, new_federation("law")).await.map(drop),
        ),
    ];
    let slug = domain::federations::Slug::parse("base").unwrap();
    let federation = ops::federations::open(&cx, &slug).await.unwrap().federation;
    let edit = EditFederation {
        version: federation.version,
        name: "Edited".to_owned(),
        vendor: "okta".to_owned(),
        owners: "a".to_owned(),
        notes: String::new(),
        max_age_days: 90,
        overlap_hours: 72,
        warn_days: 14,
        scim: None,
    };
    done.push((Action::FederationEdited, ops::federations::edit(&cx, &slug, edit).await.map(drop)));
    done.push((Action::AuditExported, ops::audit::export::begin(&cx, None, None).await.map(drop)));
    let federation = ops::federations::open(&cx, &slug).await.unwrap().federation;
    let rules = domain::behaviour::Rules {
        r1: domain::behaviour::Removals { most: 400, ..Default::default() },
        ..federation.behaviour
    };
    let edit = ops::behaviour::EditRules { rules, reason: String::new(), version: federation.version };
    done.push((Action::BehaviourSet, ops::behaviour::set(&cx, &slug, edit).await.map(drop)));
    done.push((Action::FederationPaused, ops::federations::pause(&cx, &slug).await.map(drop)));
    let paused = ops::federations::resume(&cx, &slug).await;
    let was_paused = !matches!(paused, Err(Error::Conflict(_)));
    done.push((Action::FederationResumed, if was_paused { paused.map(drop) } else { refused() }));
    let registered = ops::extensions::register(&cx, &slug, extension("law")).await;
    done.push((Action::ExtensionRegistered, registered.map(drop)));
    let removed = ops::extensions::remove(&cx, &slug, "URN:example:params:scim:schemas:base:2.0:User").await;
    done.push((Action::ExtensionRemoved, removed));
    done.push((Action::KeyIssued, ops::keys::issue(&cx, new_key(&slug, "law", scope)).await.map(drop)));
    let views = ops::keys::list(&cx, &Default::default()).await.unwrap();
    let base = views.iter().find(|view| view.key.name == "base").unwrap().key.id.clone();
    let narrow = |version, when| {
        let scope = Scope::of([(ResourceKind::Users, Verb::Read)]);
        ops::tighten::narrow(&cx, &base, version, scope, when)
    };
    let version = views.iter().find(|view| view.key.name == "base").unwrap().key.version;
    let next = narrow(version, ops::tighten::When::NextRotation).await;
    let version = next.as_ref().map_or(version, |key| key.version);
    done.push((Action::KeyNextScopeSet, next.map(drop)));
    done.push((Action::KeyNarrowed, narrow(version, ops::tighten::When::Now).await.map(drop)));
    let extra = views.iter().find(|view| view.key.name == "extra").unwrap().key.id.clone();
    done.push((Action::KeyRotated, ops::keys::rotate(&cx, &base, Rotate::default()).await.map(drop)));
    done.push((Action::KeyRevoked, ops::keys::revoke(&cx, &extra, "").await.map(drop)));
    let unknown = domain::keys::compose(&domain::KeyId::new(1, [1; 10]), &[1; 32]);
    let presented = house.present("base", Some(unknown.expose())).await;
    let presented = match presented.err().unwrap() {
        Error::Unauthenticated(_) => Ok(()),
        error => Err(error),
    };
    done.push((Action::KeyRefused, presented));
    let client = views.iter().find(|view| view.key.name == "client").unwrap().key.clone();
    let signer = Signer::new("new");
    let change = ops::oauth::ChangeClient {
        version: client.version,
        client: ops::oauth::NewClient::PublicKeys(jwks(&[old, &signer])),
    };
    done.push((Action::KeyClientChanged, ops::oauth::change(&cx, &client.id, change).await.map(drop)));
    let desk = Desk::new();
    let token = desk.ask(house, old.assertion(house, &client.id), None).await;
    done.push((Action::TokenIssued, given(token)));
    let token = desk.ask(house, Signer::new("thief").assertion(house, &client.id), None).await;
    done.push((Action::TokenRefused, no_token(token)));
    done
}

/// A step that could not even be tried, because the one before it was refused.
fn refused() -> Result<(), Error> {
    Err(Error::Unavailable(store::Error::Stale))
}

async fn directory(house: &House, ([key, blind], _): &Prepared) -> Vec<(Action, Result<(), Error>)> {
    let slug = domain::federations::Slug::parse("base").unwrap();
    let federation = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
    let cx = || house.client(&federation, key);
    let denied = |read: Result<(), Error>| match read {
        Err(Error::Forbidden(_)) => Ok(()),
        other => other,
    };
    let user = |name: &str| resource(ResourceType::User, json!({ "userName": name }));
    let group = |name: &str| resource(ResourceType::Group, json!({ "displayName": name }));
    let all = listed(&cx().await, ResourceType::User, None, 10).await;
    let id =
        all.ok().and_then(|page| page.found.first().map(|found| found.id().to_string())).unwrap_or_default();
    let all = listed(&cx().await, ResourceType::Group, None, 10).await;
    let group_id =
        all.ok().and_then(|page| page.found.first().map(|found| found.id().to_string())).unwrap_or_default();
    vec![
        (
            Action::UserCreated,
            users::create(&cx().await, &asked("POST", "Users"), user("new")).await.map(drop),
        ),
        (
            Action::UserUpdated,
            users::replace(&cx().await, &asked("PUT", "Users"), &id, None, user("other")).await.map(drop),
        ),
        (Action::UserDeleted, users::delete(&cx().await, &asked("DELETE", "Users"), &id, None).await),
        (
            Action::GroupCreated,
            groups::create(&cx().await, &asked("POST", "Groups"), group("new"), groups::Shown::Members)
                .await
                .map(drop),
        ),
        (
            Action::GroupUpdated,
            groups::replace(
                &cx().await,
                &asked("PUT", "Groups"),
                &group_id,
                None,
                group("other"),
                groups::Shown::Members,
            )
            .await
            .map(drop),
        ),
        (
            Action::GroupDeleted,
            groups::delete(&cx().await, &asked("DELETE", "Groups"), &group_id, None).await,
        ),
        (
            Action::UserRead,
            denied(
                users::get(&house.client(&federation, blind).await, &asked("GET", "Users"), &id)
                    .await
                    .map(drop),
            ),
        ),
        (
            Action::GroupRead,
            denied(
                groups::get(&house.client(&federation, blind).await, &asked("GET", "Groups"), &id)
                    .await
                    .map(drop),
            ),
        ),
    ]
}

/// The keys `pushing` and `blind`, and what signs for `client`.
type Prepared = ([domain::Secret; 2], Signer);

/// A federation `base` with the keys `base`, `extra`, `pushing`, `blind` and `client`, a user and a
/// group.
async fn prepared(house: &House) -> Prepared {
    let federation = house.federation("base").await;
    ops::extensions::register(&house.admin(), &federation.slug, extension("base")).await.unwrap();
    house.key(&federation, "base").await;
    house.scoped(&federation, "extra", Scope::of([(ResourceKind::Users, Verb::Read)])).await;
    let (_, secret) = house.key(&federation, "pushing").await;
    let cx = || house.client(&federation, &secret);
    let user = resource(ResourceType::User, json!({ "userName": "first" }));
    let group = resource(ResourceType::Group, json!({ "displayName": "first" }));
    users::create(&cx().await, &asked("POST", "Users"), user).await.unwrap();
    groups::create(&cx().await, &asked("POST", "Groups"), group, groups::Shown::Members).await.unwrap();
    let (_, blind) =
        house.scoped(&federation, "blind", Scope::of([(ResourceKind::Users, Verb::Create)])).await;
    let signer = Signer::new("old");
    let client = ops::oauth::NewClient::PublicKeys(jwks(&[&signer]));
    let new = new_key(&federation.slug, "client", Scope::full_directory());
    ops::keys::issue_client(&house.admin(), new, client).await.unwrap();
    ([secret, blind], signer)
}

#[tokio::test]
async fn every_change_leaves_its_audit_record() {
    for house in houses().await {
        let keys = prepared(&house).await;
        let gate = crate::gateway::prepared(&house).await;
        let told = crate::telling_steps::prepared(&house).await;
        let targets = Box::pin(crate::deliveries::prepared(&house)).await;
        let turns = crate::rotation_steps::prepared(&house).await;
        let brakes = crate::brakes_review::prepared(&house).await;
        let used = crate::usage::prepared(&house).await;
        let journal = crate::journal::prepared(&house).await;
        let mut seen: BTreeSet<&str> = BTreeSet::from([Action::InstallationCreated.as_str()]);
        let before = house.log().await.len();
        let mut steps = everything(&house, &keys.1).await;
        steps.extend(directory(&house, &keys).await);
        steps.extend(crate::gateway::steps(&house, &gate).await);
        steps.extend(crate::telling_steps::steps(&house, &told).await);
        steps.extend(crate::usage::steps(&house, &used).await);
        steps.extend(Box::pin(crate::deliveries::steps(&house, &targets)).await);
        steps.extend(crate::rotation_steps::steps(&house, &turns).await);
        steps.extend(crate::journal::steps(&house, &journal).await);
        steps.extend(crate::brakes_review::steps(&house, &brakes).await);
        steps.extend(crate::compliance::steps(&house).await);
        let archived =
            ops::federations::archive(&house.admin(), &domain::federations::Slug::parse("base").unwrap())
                .await;
        steps.push((Action::FederationArchived, archived.map(drop)));
        // The rotation that was under way there is withdrawn in the same unit, with a record of its own.
        steps.push((Action::KeyRevoked, Ok(())));
        let log = house.log().await;
        assert_eq!(log.len() - before, steps.len(), "one record for each step: {log:#?}");
        for ((action, result), line) in steps.iter().zip(&log[before..]) {
            result.as_ref().unwrap_or_else(|error| panic!("{}: {error}", action.as_str()));
            assert!(line.starts_with(action.as_str()), "{line} is not {}", action.as_str());
            seen.insert(action.as_str());
        }
        let all: BTreeSet<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(seen, all, "an action that no step walks");
        house.close().await;
    }
}

#[tokio::test]
async fn without_its_audit_record_no_change_happens() {
    for house in houses().await {
        let keys = prepared(&house).await;
        let gate = crate::gateway::prepared(&house).await;
        let told = crate::telling_steps::prepared(&house).await;
        let targets = Box::pin(crate::deliveries::prepared(&house)).await;
        let turns = crate::rotation_steps::prepared(&house).await;
        let brakes = crate::brakes_review::prepared(&house).await;
        let used = crate::usage::prepared(&house).await;
        let journal = crate::journal::prepared(&house).await;
        let slug = domain::federations::Slug::parse("base").unwrap();
        let before = state(&house, &slug).await;
        testing::break_audit(&house.keyward).await;
        let mut steps = everything(&house, &keys.1).await;
        steps.extend(directory(&house, &keys).await);
        steps.extend(crate::gateway::steps(&house, &gate).await);
        steps.extend(crate::telling_steps::steps(&house, &told).await);
        steps.extend(crate::usage::steps(&house, &used).await);
        steps.extend(Box::pin(crate::deliveries::steps(&house, &targets)).await);
        steps.extend(crate::rotation_steps::steps(&house, &turns).await);
        steps.extend(crate::journal::steps(&house, &journal).await);
        steps.extend(crate::brakes_review::steps(&house, &brakes).await);
        steps.extend(crate::compliance::steps(&house).await);
        let archived = ops::federations::archive(&house.admin(), &slug).await;
        steps.push((Action::FederationArchived, archived.map(drop)));
        let walked: BTreeSet<&str> = steps.iter().map(|(action, _)| action.as_str()).collect();
        assert_eq!(walked.len(), Action::ALL.len() - 1);
        for (action, result) in &steps {
            assert!(matches!(result, Err(Error::Unavailable(_))), "{}: {result:?}", action.as_str());
        }
        assert_eq!(state(&house, &slug).await, before);
        house.keyward.close().await;
    }
}

/// What the changes of this file would have changed.
async fn state(house: &House, slug: &domain::federations::Slug) -> String {
    let cx = house.admin();
    let federations = ops::federations::list(&cx).await.unwrap();
    let keys = ops::keys::list(&cx, &Default::default()).await.unwrap();
    let view = ops::federations::open(&cx, slug).await.unwrap();
    let lives: Vec<String> = keys
        .iter()
        .map(|view| format!("{} {:?} {:?}", view.key.name, view.state, view.key.successor_id))
        .collect();
    format!(
        "{} {:?} {} {} {} {lives:?}",
        federations.len(),
        view.federation.status,
        view.federation.version,
        view.users,
        view.groups
    )
}
