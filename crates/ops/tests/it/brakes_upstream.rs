//! Brakes and protection where another service keeps the users and groups: they hold as they do here.

use ops::{
    Cx, Error, ScimClient,
    brakes::{self, NewMark},
    gateway::requests,
};
use scim::ResourceType;
use serde_json::{Value, json};

use crate::{
    brakes::{check_held, held, ops_of},
    support::{asked, houses, resource},
};

async fn make(cx: &Cx<ScimClient>, kind: ResourceType, value: Value) -> String {
    let endpoint = kind.endpoint().trim_start_matches('/');
    let made = requests::create(cx, &asked("POST", endpoint), resource(kind, value)).await.unwrap();
    made.body["id"].as_str().unwrap().to_owned()
}

async fn change(cx: &Cx<ScimClient>, id: &str, operations: Value) -> Result<(), Error> {
    let at = (ResourceType::Group, id);
    requests::patch(cx, &asked("PATCH", "Groups"), at, None, ops_of(operations)).await.map(drop)
}

async fn delete(cx: &Cx<ScimClient>, kind: ResourceType, id: &str) -> Result<(), Error> {
    let endpoint = kind.endpoint().trim_start_matches('/');
    requests::delete(cx, &asked("DELETE", endpoint), kind, id, None).await
}

#[tokio::test]
async fn nobody_takes_from_a_protected_group_at_an_upstream_by_deleting_what_is_in_it() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "a").await;
        let cx = async || house.client(&federation, &secret).await;
        let mut users = Vec::new();
        for name in ["root", "inside", "outside"] {
            users.push(make(&cx().await, ResourceType::User, json!({ "userName": name })).await);
        }
        let member = |ids: &[&String]| ids.iter().map(|id| json!({ "value": id })).collect::<Vec<_>>();
        let group = async |name: &str, members: Vec<Value>| {
            let value = json!({ "displayName": name, "members": members });
            make(&cx().await, ResourceType::Group, value).await
        };
        let nested = group("nested", member(&[&users[1]])).await;
        let free = group("free", member(&[&users[2]])).await;
        let admins = group("admins", member(&[&users[0], &nested])).await;
        let new =
            NewMark { resource: admins.clone(), kind: "protected".to_owned(), reason: "root".to_owned() };
        brakes::mark(&house.admin(), &federation.slug, new).await.unwrap();
        let names = memory.names();
        memory.called();
        let remove = json!([{ "op": "remove", "path": format!("members[value eq \"{nested}\"]") }]);
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": free }] }]);
        let out = json!([{ "op": "remove", "path": "members" }]);
        let made = [
            // The group itself, by each verb.
            change(&cx().await, &admins, remove).await,
            change(&cx().await, &admins, add).await,
            change(&cx().await, &admins, out).await,
            delete(&cx().await, ResourceType::Group, &admins).await,
            // What is in it: a group, and a user.
            delete(&cx().await, ResourceType::Group, &nested).await,
            delete(&cx().await, ResourceType::User, &users[0]).await,
        ];
        for (number, made) in made.iter().enumerate() {
            assert!(matches!(made, Err(Error::Protected(_))), "{number}: {made:?}");
        }
        let calls = memory.called();
        assert!(calls.iter().all(|call| call.starts_with("Get")), "nothing was changed there: {calls:?}");
        assert_eq!(memory.names(), names);
        let wanted = ops::findings::Wanted {
            rule: Some(domain::findings::Rule::ProtectedChange),
            ..ops::findings::Wanted::default()
        };
        let found = ops::findings::list(&house.admin(), &wanted).await.unwrap();
        assert_eq!((found.len(), found[0].finding.count), (1, 6), "one finding of the key counts up");
        // Who is in no protected group goes, and so does who is only in a group inside of it.
        delete(&cx().await, ResourceType::User, &users[2]).await.unwrap();
        delete(&cx().await, ResourceType::User, &users[1]).await.unwrap();
        delete(&cx().await, ResourceType::Group, &free).await.unwrap();
        house.close().await;
    }
}

#[tokio::test]
async fn at_an_upstream_the_eleventh_removal_is_held_before_anybody_is_asked_there() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "a").await;
        let cx = || house.client(&federation, &secret);
        let mut ids = Vec::new();
        for number in 0..20 {
            let new = resource(ResourceType::User, json!({ "userName": format!("u{number}") }));
            let made = requests::create(&cx().await, &asked("POST", "Users"), new).await.unwrap();
            ids.push(made.body["id"].as_str().unwrap().to_owned());
        }
        let members: Vec<Value> = ids[8..].iter().map(|id| json!({ "value": id })).collect();
        let create = async |name: &str, members: &[Value]| {
            let new = resource(ResourceType::Group, json!({ "displayName": name, "members": members }));
            let made = requests::create(&cx().await, &asked("POST", "Groups"), new).await.unwrap();
            made.body["id"].as_str().unwrap().to_owned()
        };
        let (small, large) = (create("small", &members[..2]).await, create("large", &members).await);
        let remove = async |number: usize| {
            let asked = asked("DELETE", "Users");
            requests::delete(&cx().await, &asked, ResourceType::User, &ids[number], None).await
        };
        for number in 0..8 {
            remove(number).await.unwrap();
        }
        for id in &ids[8..10] {
            let off = ops_of(json!([{ "op": "replace", "path": "active", "value": false }]));
            let (kind, asked) = (ResourceType::User, asked("PATCH", "Users"));
            requests::patch(&cx().await, &asked, (kind, id), None, off).await.unwrap();
        }
        memory.called();
        let case = check_held(remove(10).await);
        assert!(memory.called().is_empty(), "nobody is asked");
        assert_eq!(held(&house, &case).await[0].image.before["userName"], "u10");
        // A group that would be emptied, and one that is protected.
        let put = |name: &str, members: &[Value]| {
            resource(ResourceType::Group, json!({ "displayName": name, "members": members }))
        };
        let asked_put = asked("PUT", "Groups");
        let emptied = requests::replace(&cx().await, &asked_put, &large, None, put("large", &[])).await;
        check_held(emptied.map(drop));
        let (own, asked_delete) = (cx().await, asked("DELETE", "Groups"));
        let deleted = requests::delete(&own, &asked_delete, ResourceType::Group, &large, None).await;
        check_held(deleted);
        let calls = memory.called();
        assert!(calls.iter().all(|call| call.starts_with("Get")), "nothing was changed there: {calls:?}");
        let new =
            NewMark { resource: small.clone(), kind: "protected".to_owned(), reason: "root".to_owned() };
        brakes::mark(&house.admin(), &federation.slug, new).await.unwrap();
        let renamed = requests::replace(&cx().await, &asked_put, &small, None, put("x", &members[..2])).await;
        assert!(matches!(renamed, Err(Error::Protected(_))), "{renamed:?}");
        house.close().await;
    }
}
