//! What is changed at an upstream is in the journal, with the shadow before and what was told after.

use domain::{ResourceId, journal::ChangeKind};
use ops::{
    gateway::requests,
    journal::{blast, history, undo},
};
use scim::ResourceType;
use serde_json::json;

use super::{KIND, create, id_of};
use crate::{
    journal::by,
    support::{asked, houses, resource},
    upstream::Mishap,
};

#[tokio::test]
async fn a_change_at_an_upstream_is_in_the_journal_and_a_plan_takes_it_back() {
    for house in houses().await {
        let (federation, _memory) = house.upstream("gate").await;
        let (key_id, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        let id = id_of(&create(&cx().await, "Mia").await.unwrap());
        let patch = json!({ "Operations": [{ "op": "replace", "path": "active", "value": false }] });
        let patch = scim::patch::from_value(patch).unwrap();
        let asks = asked("PATCH", "Users");
        requests::patch(&cx().await, &asks, (KIND, &id), None, patch).await.unwrap();
        let group =
            resource(ResourceType::Group, json!({ "displayName": "Team", "members": [{ "value": id }] }));
        let group = requests::create(&cx().await, &asked("POST", "Groups"), group).await.unwrap();
        let group = id_of(&group);

        let of = async |id: &str| {
            let id = ResourceId::parse(id).unwrap();
            history::of(&house.admin(), &federation.slug, &id, None).await.unwrap().entries
        };
        let past = of(&id).await;
        let [changed, created] = past.as_slice() else { panic!("{past:#?}") };
        assert_eq!((created.change, changed.change), (ChangeKind::Create, ChangeKind::Update));
        assert_eq!(created.became["userName"], "Mia");
        assert!(!created.became.contains_key("meta") && !created.became.contains_key("id"));
        assert_eq!(
            (changed.was.get("active"), changed.became.get("active")),
            (Some(&json!(true)), Some(&json!(false)))
        );
        assert_eq!((&changed.key_id, changed.actor.name.as_str()), (&Some(key_id.clone()), "pushing"));
        // In ids of ours.
        assert_eq!(of(&group).await[0].members.joined, std::slice::from_ref(&id));

        let slug = &federation.slug;
        let plan = undo::plan(&house.admin(), slug, &by(&key_id)).await.unwrap();
        assert!(plan.may_apply && plan.counts.restored > 0, "{:#?}", plan.items);
        assert_eq!((plan.counts.skipped, plan.counts.cannot), (0, 0), "{:#?}", plan.items);

        requests::delete(&cx().await, &asked("DELETE", "Users"), KIND, &id, None).await.unwrap();
        let last = of(&id).await.remove(0);
        assert_eq!((last.change, &last.was["userName"]), (ChangeKind::Delete, &json!("Mia")));
        house.close().await;
    }
}

#[tokio::test]
async fn what_was_found_out_later_is_in_the_journal_once_under_the_key_that_asked() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (key_id, secret) = house.key(&federation, "pushing").await;
        memory.next(Mishap::DoneSilent);
        create(&house.client(&federation, &secret).await, "mia").await.unwrap_err();
        let done = async || {
            let blast = blast::radius(&house.admin(), &federation.slug, &by(&key_id).selection, None).await;
            blast.unwrap().entries
        };
        assert!(done().await.is_empty(), "nobody knows yet");
        create(&house.client(&federation, &secret).await, "mia").await.unwrap();
        let entries = done().await;
        let [created] = entries.as_slice() else { panic!("{entries:#?}") };
        assert_eq!((created.change, created.actor.name.as_str()), (ChangeKind::Create, "pushing"));
        house.close().await;
    }
}
