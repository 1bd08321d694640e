//! Tightening a key to what is used.

use domain::{
    DAY_MS, HOUR_MS,
    admins::Role,
    scopes::{ResourceKind, Scope, Verb},
};
use ops::{
    Cx, Error, ScimClient,
    groups::{self, Shown},
    keys::Rotate,
    tighten::{self, When},
    users,
};
use scim::ResourceType;
use serde_json::json;

use crate::support::{House, asked, houses, listed, resource};

/// A day of a provider that creates users, switches them off and lists them.
async fn day(cx: &impl AsyncFn() -> Cx<ScimClient>, n: usize) -> Result<(), Error> {
    let user = json!({ "userName": format!("u{n}"), "externalId": format!("x{n}"), "active": true });
    let made =
        users::create(&cx().await, &asked("POST", "Users"), resource(ResourceType::User, user)).await?;
    let off = json!({ "Operations": [{ "op": "replace", "path": "active", "value": false }] });
    let off = scim::patch::from_value(off).unwrap();
    users::patch(&cx().await, &asked("PATCH", "Users"), made.id.as_str(), None, off).await?;
    listed(&cx().await, ResourceType::User, Some(&format!("userName eq \"u{n}\"")), 10).await?;
    Ok(())
}

fn forbidden<T>(done: Result<T, Error>) {
    let error = done.map(drop).unwrap_err();
    assert!(matches!(error, Error::Forbidden(_)), "{error:?}");
}

async fn unused(house: &House, cx: &impl AsyncFn() -> Cx<ScimClient>, user: &str) {
    let _ = house;
    forbidden(users::delete(&cx().await, &asked("DELETE", "Users"), user, None).await);
    forbidden(listed(&cx().await, ResourceType::Group, None, 1).await);
    let title = json!({ "Operations": [{ "op": "replace", "path": "title", "value": "x" }] });
    let title = scim::patch::from_value(title).unwrap();
    forbidden(users::patch(&cx().await, &asked("PATCH", "Users"), user, None, title).await);
}

#[tokio::test]
async fn a_proposal_lets_the_same_traffic_through_and_nothing_that_was_not_used() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "wide").await;
        let cx = async || house.client(&federation, &secret).await;
        house.clock.advance(9 * HOUR_MS);
        for n in 0..15 {
            day(&cx, n).await.unwrap();
            house.clock.advance(DAY_MS);
            if n == 7 {
                let early = tighten::propose(&house.admin(), &id, 14).await.unwrap();
                assert!(early.too_early.unwrap().contains("7 days"));
            }
        }
        let proposal = tighten::propose(&house.admin(), &id, 30).await.unwrap();
        assert_eq!((proposal.requests, proposal.too_early.as_deref()), (45, None));
        let scope = proposal.scope.clone();
        assert!(scope.is_within(&Scope::full_directory()));
        let grant = scope.grant(ResourceKind::Users).unwrap();
        assert_eq!(grant.verbs, [Verb::Read, Verb::Create, Verb::Update].into());
        let written: Vec<&str> = grant.write_attributes.iter().flatten().map(String::as_str).collect();
        assert_eq!(written, ["active", "externalId", "userName"]);
        assert_eq!(grant.read_attributes, None, "no request shows what is read");
        assert!(!scope.grants_any(ResourceKind::Groups));
        let deleted = proposal.evidence.iter().find(|seen| seen.what == "delete users").unwrap();
        assert_eq!((deleted.count, deleted.last_ms), (0, None));
        assert_eq!(proposal.evidence.iter().find(|seen| seen.what == "create users").unwrap().count, 15);
        let dimensions: Vec<&str> = proposal.differences.iter().map(|one| one.dimension.as_str()).collect();
        assert_eq!(dimensions[..3], ["Users: verbs", "Users: attributes that are written", "Groups: verbs"]);

        let version = proposal.view.key.version;
        let narrow = |role, version, scope, when| {
            let (cx, id) = (house.person(role), id.clone());
            async move { tighten::narrow(&cx, &id, version, scope, when).await }
        };
        assert!(matches!(
            narrow(Role::Manager, version, scope.clone(), When::Now).await,
            Err(Error::Forbidden(_))
        ));
        assert!(matches!(
            narrow(Role::Admin, version + 1, scope.clone(), When::Now).await,
            Err(Error::Stale(_))
        ));

        // A request that was let in before is decided by what the key may do now.
        let before = cx().await;
        let set = narrow(Role::Admin, version, scope.clone(), When::NextRotation).await.unwrap();
        let now = narrow(Role::Admin, set.version, scope.clone(), When::Now).await.unwrap();
        let wider = narrow(Role::Admin, now.version, Scope::full_directory(), When::Now).await.unwrap_err();
        assert!(wider.to_string().contains("would allow what the key may not do"), "{wider}");
        let first = listed(&cx().await, ResourceType::User, None, 1).await.unwrap();
        let user = first.found[0].id().to_string();
        let late = users::delete(&before, &asked("DELETE", "Users"), &user, None).await.unwrap_err();
        assert!(matches!(late, Error::Held { retry_after_s: 1, .. }), "{late:?}");
        day(&cx, 100).await.unwrap();
        unused(&house, &cx, &user).await;

        let next = ops::keys::rotate(&house.admin(), &id, Rotate::default()).await.unwrap();
        assert_eq!((&next.key.scope, &next.key.next_scope), (&scope, &None));
        let next_secret = next.secret.unwrap();
        let next_cx = async || house.client(&federation, &next_secret).await;
        day(&next_cx, 101).await.unwrap();
        unused(&house, &next_cx, &user).await;
        let log = house.log().await;
        assert!(log.iter().any(|line| line.starts_with("key.narrowed done")), "{log:?}");
        assert!(log.iter().any(|line| line.starts_with("key.next-scope-set done")));
        house.close().await;
    }
}

#[tokio::test]
async fn groups_that_were_touched_by_name_are_named() {
    for house in houses().await {
        let all = house.pusher("okta").await;
        let group = resource(ResourceType::Group, json!({ "displayName": "Team" }));
        let team = groups::create(&all.cx().await, &asked("POST", "Groups"), group, Shown::ByDefault)
            .await
            .unwrap()
            .id;
        let (id, secret) = house.key(&all.federation, "wide").await;
        for n in 0..15 {
            let cx = house.client(&all.federation, &secret).await;
            let name = json!({ "Operations": [{ "op": "replace", "path": "displayName", "value": format!("T{n}") }] });
            let (ops, asked) = (scim::patch::from_value(name).unwrap(), asked("PATCH", "Groups"));
            let asked = ops::scim_client::Asked { resource_id: Some(team.to_string()), ..asked };
            groups::patch(&cx, &asked, team.as_str(), None, ops, Shown::ByDefault).await.unwrap();
            house.clock.advance(DAY_MS);
        }
        let proposal = tighten::propose(&house.admin(), &id, 20).await.unwrap();
        assert_eq!(proposal.scope.groups, Some([team.to_string()].into()));
        assert!(!proposal.scope.grants_any(ResourceKind::Users));
        house.close().await;
    }
}
