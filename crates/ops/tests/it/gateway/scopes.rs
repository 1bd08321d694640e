//! The scope of a key where an upstream keeps the resources.

use domain::scopes::{Ceiling, Provenance, ResourceKind, Scope, Verb};
use ops::{Cx, Error, ScimClient, gateway::requests, scim_client::status_of};
use scim::{Filter, ListQuery, ResourceType};
use serde_json::{Value, json};

use super::{id_of, user};
use crate::support::{asked, houses, new_key, resource};

async fn patch(cx: &Cx<ScimClient>, id: &str, operation: Value) -> Result<requests::Shown, Error> {
    let ops = scim::patch::from_value(json!({ "Operations": [operation] })).unwrap();
    requests::patch(cx, &asked("PATCH", "Users"), (ResourceType::User, id), None, ops).await
}

async fn found(cx: &Cx<ScimClient>, kind: ResourceType, filter: Option<&str>) -> Vec<Value> {
    let filter = filter.map(|text| Filter::parse(text).unwrap());
    let query = ListQuery { filter, ..ListQuery::default() };
    let page = requests::list(cx, &asked("GET", "Users"), kind.into(), &query).await.unwrap();
    assert_eq!(page.total_results, page.resources.len() as u64);
    page.resources
}

#[tokio::test]
async fn a_filter_and_attributes_hold_over_what_the_upstream_returns() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let all = house.pusher_of(&federation, "all", Scope::full_directory()).await;
        let make = async |name: &str| {
            id_of(&requests::create(&all.cx().await, &asked("POST", "Users"), user(name)).await.unwrap())
        };
        let (mia, leo) = (make("mia").await, make("leo").await);
        let mut scope = Scope::of(Verb::ALL.map(|verb| (ResourceKind::Users, verb)));
        let grant = scope.grant_mut(ResourceKind::Users);
        grant.filter = Some("userName sw \"m\"".to_owned());
        grant.write_attributes = Some(["userName", "externalId", "active"].map(str::to_owned).into());
        scope.ceilings = vec![Ceiling { resource: ResourceKind::Users, verb: Verb::Create, per_hour: 1 }];
        let narrow = house.pusher_of(&federation, "narrow", scope).await;
        for (filter, expect) in [(None, 1), (Some("userName pr"), 1), (Some("userName eq \"leo\""), 0)] {
            assert_eq!(
                found(&narrow.cx().await, ResourceType::User, filter).await.len(),
                expect,
                "{filter:?}"
            );
        }
        let kind = ResourceType::User;
        requests::get(&narrow.cx().await, &asked("GET", "Users"), kind, &mia).await.unwrap();
        let hidden = requests::get(&narrow.cx().await, &asked("GET", "Users"), kind, &leo).await.unwrap_err();
        assert_eq!(status_of(&hidden), 404);

        // What is refused never leaves for the upstream.
        memory.called();
        let off = || json!({ "op": "replace", "path": "active", "value": false });
        for (id, operation, expect) in [
            (&leo, off(), 404),
            (&mia, json!({ "op": "replace", "path": "title", "value": "x" }), 403),
            (&mia, json!({ "op": "replace", "path": "userName", "value": "leo2" }), 403),
        ] {
            let refused = patch(&narrow.cx().await, id, operation).await.unwrap_err();
            assert_eq!(status_of(&refused), expect, "{refused:?}");
        }
        let gone = requests::delete(&narrow.cx().await, &asked("DELETE", "Users"), kind, &leo, None).await;
        assert_eq!(status_of(&gone.unwrap_err()), 404);
        let created = requests::create(&narrow.cx().await, &asked("POST", "Users"), user("leonie")).await;
        assert_eq!(status_of(&created.unwrap_err()), 403);
        let calls = memory.called();
        assert!(calls.iter().all(|call| call.contains("Get") || call.contains("GET")), "{calls:?}");

        patch(&narrow.cx().await, &mia, off()).await.unwrap();
        requests::create(&narrow.cx().await, &asked("POST", "Users"), user("max")).await.unwrap();
        let full = requests::create(&narrow.cx().await, &asked("POST", "Users"), user("moritz")).await;
        assert!(matches!(full, Err(Error::Throttled { .. })));
        assert_eq!(found(&all.cx().await, ResourceType::User, None).await.len(), 3);
        house.close().await;
    }
}

#[tokio::test]
async fn only_named_groups_show_at_an_upstream() {
    for house in houses().await {
        let (federation, _) = house.upstream("gate").await;
        let all = house.pusher_of(&federation, "all", Scope::full_directory()).await;
        let make = async |name: &str| {
            let group = resource(ResourceType::Group, json!({ "displayName": name }));
            id_of(&requests::create(&all.cx().await, &asked("POST", "Groups"), group).await.unwrap())
        };
        let (one, two) = (make("One").await, make("Two").await);
        let scope = Scope { groups: Some([one.clone()].into()), ..Scope::full_directory() };
        let narrow = house.pusher_of(&federation, "narrow", scope).await;
        let seen = found(&narrow.cx().await, ResourceType::Group, None).await;
        assert_eq!(seen.iter().map(|group| group["id"].as_str().unwrap()).collect::<Vec<_>>(), [&one]);
        let kind = ResourceType::Group;
        requests::get(&narrow.cx().await, &asked("GET", "Groups"), kind, &one).await.unwrap();
        let hidden =
            requests::get(&narrow.cx().await, &asked("GET", "Groups"), kind, &two).await.unwrap_err();
        assert_eq!(status_of(&hidden), 404);
        let gone = requests::delete(&narrow.cx().await, &asked("DELETE", "Groups"), kind, &two, None).await;
        assert_eq!(status_of(&gone.unwrap_err()), 404);
        let group = resource(ResourceType::Group, json!({ "displayName": "Three" }));
        let made = requests::create(&narrow.cx().await, &asked("POST", "Groups"), group).await.unwrap_err();
        assert_eq!(status_of(&made), 403);
        house.close().await;
    }
}

#[tokio::test]
async fn what_cannot_be_kept_at_an_upstream_is_refused_at_issue_and_at_use() {
    for house in houses().await {
        let (federation, _) = house.upstream("gate").await;
        let own = Scope { provenance: Provenance::KeyLine, ..Scope::full_directory() };
        let mut groups = Scope::full_directory();
        groups.grant_mut(ResourceKind::Groups).filter = Some("displayName sw \"a\"".to_owned());
        let mut users = Scope::full_directory();
        users.grant_mut(ResourceKind::Users).filter = Some("userName sw \"a\"".to_owned());
        for scope in [own.clone(), groups, users] {
            let issued = ops::keys::issue(&house.admin(), new_key(&federation.slug, "a", scope)).await;
            assert!(matches!(issued.map(drop), Err(Error::Invalid(faults)) if faults[0].field == "scope"));
        }
        // A key from the time before the upstream.
        let later = house.federation("later").await;
        let (_, secret) = house.scoped(&later, "own", own).await;
        let upstream = crate::upstream::new_upstream(later.version);
        ops::gateway::target::set_upstream(&house.admin(), &later.slug, upstream).await.unwrap();
        let cx = house.client(&later, &secret).await;
        let refused = requests::create(&cx, &asked("POST", "Users"), user("mia")).await.unwrap_err();
        assert!(
            refused.to_string().contains("provenance, which cannot be enforced at an upstream"),
            "{refused}"
        );
        house.close().await;
    }
}
