//! What is kept in memory: never older than what was answered, and gone with the change that ends it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
};

use ops::{
    Cx, Entropy as _, Error, Keyward, OpenError, ScimClient, groups, ready, scim_client, testing, users,
};
use scim::ResourceType;
use serde_json::json;
use store::Engine;

use crate::support::{House, asked, extension, houses, resource};

/// The nodes of a house: itself, and on Postgres another one.
pub async fn nodes(house: &House) -> Vec<Arc<Keyward>> {
    let mut nodes = vec![Arc::clone(&house.keyward)];
    if house.database.engine == Engine::Postgres {
        let chance = Arc::new(testing::TestEntropy::default());
        // No node makes the ids of another.
        chance.fill(&mut vec![0; 8_000_000]);
        let (target, clock) = (house.database.target.clone(), Arc::clone(&house.clock));
        let other = Keyward::open(target, &testing::master_key(), clock, chance, testing::settings()).await;
        nodes.push(other.unwrap());
    }
    nodes
}

pub async fn present(node: &Arc<Keyward>, slug: &str, bearer: &str) -> Result<Cx<ScimClient>, Error> {
    let request = node.request_info();
    scim_client::authenticate(node, &request, slug, Some(bearer), &asked("GET", "Users")).await
}

pub async fn close_others(nodes: Vec<Arc<Keyward>>) {
    for node in nodes.into_iter().skip(1) {
        node.close().await;
    }
}

fn user(name: &str, display: &str) -> scim::Resource {
    resource(ResourceType::User, json!({ "userName": name, "displayName": display }))
}

/// The version of a user, read as the edge reads it.
async fn version(cx: &Cx<ScimClient>, id: &str) -> i64 {
    *ready::user(cx, &asked("GET", "Users"), id, |user| (user.version, 8)).await.unwrap()
}

#[tokio::test]
async fn no_reader_sees_an_older_version_after_a_newer_one_was_answered() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "k").await;
        let nodes = nodes(&house).await;
        let cx = house.client(&federation, &secret).await;
        let id = users::create(&cx, &asked("POST", "Users"), user("ada", "0")).await.unwrap().id.to_string();
        // The newest version that anybody was answered.
        let answered = Arc::new(AtomicI64::new(1));
        let over = Arc::new(AtomicBool::new(false));
        let hits = Arc::new(AtomicU32::new(0));
        let mut readers = Vec::new();
        for number in 0..6 {
            let node = &nodes[number % nodes.len()];
            let cx = present(node, "okta", secret.expose()).await.unwrap();
            let (id, answered, over, hits) =
                (id.clone(), Arc::clone(&answered), Arc::clone(&over), Arc::clone(&hits));
            readers.push(tokio::spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    let least = answered.load(Ordering::SeqCst);
                    let seen = if number == 5 {
                        // One of them never asks the memory.
                        users::get(&cx, &asked("GET", "Users"), &id).await.unwrap().version
                    } else {
                        let mut made = false;
                        let make = |user: users::User| {
                            made = true;
                            (user.version, 8)
                        };
                        let seen = *ready::user(&cx, &asked("GET", "Users"), &id, make).await.unwrap();
                        hits.fetch_add(u32::from(!made), Ordering::SeqCst);
                        seen
                    };
                    assert!(seen >= least, "version {seen} after {least} was answered");
                    answered.fetch_max(seen, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            }));
        }
        let writers = (0..2).map(|number| {
            let (node, answered, id, secret) = (
                Arc::clone(&nodes[number % nodes.len()]),
                Arc::clone(&answered),
                id.clone(),
                secret.expose().to_owned(),
            );
            tokio::spawn(async move {
                let cx = present(&node, "okta", &secret).await.unwrap();
                for change in 0..60 {
                    let wanted = user("ada", &format!("{number} {change}"));
                    let made = users::replace(&cx, &asked("PUT", "Users"), &id, None, wanted).await.unwrap();
                    answered.fetch_max(made.version, Ordering::SeqCst);
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        over.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.await.unwrap();
        }
        assert_eq!(version(&cx, &id).await, 121);
        assert!(hits.load(Ordering::SeqCst) > 0, "nothing was ever answered from memory");
        close_others(nodes).await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_user_is_made_once_until_something_that_it_shows_changes() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "k").await;
        let nodes = nodes(&house).await;
        // Changes are made by the last node, answers are given by the first.
        let writer = present(nodes.last().unwrap(), "okta", secret.expose()).await.unwrap();
        let id =
            users::create(&writer, &asked("POST", "Users"), user("ada", "Ada")).await.unwrap().id.to_string();
        let makes = AtomicU32::new(0);
        let shown = async || {
            let make = |user: users::User| {
                makes.fetch_add(1, Ordering::SeqCst);
                let groups: Vec<String> = user.groups.into_iter().filter_map(|group| group.display).collect();
                let name = user.resource.as_value()["displayName"].as_str().unwrap_or_default().to_owned();
                (format!("{name} {groups:?}"), 100)
            };
            let cx = house.client(&federation, &secret).await;
            let shown = ready::user(&cx, &asked("GET", "Users"), &id, make).await.unwrap();
            let again = ready::user(&cx, &asked("GET", "Users"), &id, |_| (String::new(), 0)).await.unwrap();
            assert_eq!(shown, again);
            shown.to_string()
        };
        assert_eq!(shown().await, "Ada []");
        let group = json!({ "displayName": "Staff", "members": [{ "value": id }] });
        let made = groups::create(
            &writer,
            &asked("POST", "Groups"),
            resource(ResourceType::Group, group),
            groups::Shown::Members,
        )
        .await;
        let group = made.unwrap().id.to_string();
        assert_eq!(shown().await, "Ada [\"Staff\"]");
        let renamed =
            resource(ResourceType::Group, json!({ "displayName": "Crew", "members": [{ "value": id }] }));
        groups::replace(&writer, &asked("PUT", "Groups"), &group, None, renamed, groups::Shown::Members)
            .await
            .unwrap();
        assert_eq!(shown().await, "Ada [\"Crew\"]");
        users::replace(&writer, &asked("PUT", "Users"), &id, None, user("ada", "Ada L")).await.unwrap();
        assert_eq!(shown().await, "Ada L [\"Crew\"]");
        let empty = resource(ResourceType::Group, json!({ "displayName": "Crew" }));
        groups::replace(&writer, &asked("PUT", "Groups"), &group, None, empty, groups::Shown::Members)
            .await
            .unwrap();
        assert_eq!(shown().await, "Ada L []");
        let full =
            resource(ResourceType::Group, json!({ "displayName": "Crew", "members": [{ "value": id }] }));
        groups::replace(&writer, &asked("PUT", "Groups"), &group, None, full, groups::Shown::Members)
            .await
            .unwrap();
        assert_eq!(shown().await, "Ada L [\"Crew\"]");
        groups::delete(&writer, &asked("DELETE", "Groups"), &group, None).await.unwrap();
        assert_eq!(shown().await, "Ada L []");
        assert_eq!(makes.load(Ordering::SeqCst), 7, "each state is made once");
        users::delete(&writer, &asked("DELETE", "Users"), &id, None).await.unwrap();
        let cx = house.client(&federation, &secret).await;
        let gone = ready::user(&cx, &asked("GET", "Users"), &id, |_| ((), 0)).await;
        assert!(matches!(gone, Err(Error::NotFound(_))), "{:?}", gone.err());
        close_others(nodes).await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_group_shows_the_present_names_of_its_members() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "k").await;
        let nodes = nodes(&house).await;
        let writer = present(nodes.last().unwrap(), "okta", secret.expose()).await.unwrap();
        let cx = house.client(&federation, &secret).await;
        let id =
            users::create(&writer, &asked("POST", "Users"), user("ada", "Ada")).await.unwrap().id.to_string();
        let group = json!({ "displayName": "Staff", "members": [{ "value": id }] });
        let made = groups::create(
            &writer,
            &asked("POST", "Groups"),
            resource(ResourceType::Group, group),
            groups::Shown::Members,
        )
        .await;
        let group = made.unwrap().id.to_string();
        let shown = async || {
            let make = |group: groups::Group| {
                let names: Vec<String> =
                    group.members.into_iter().filter_map(|member| member.display).collect();
                (names.join(", "), 100)
            };
            ready::group(&cx, &asked("GET", "Groups"), &group, make).await.unwrap().to_string()
        };
        assert_eq!((shown().await, shown().await), ("ada".to_owned(), "ada".to_owned()));
        users::replace(&writer, &asked("PUT", "Users"), &id, None, user("ada.l", "Ada")).await.unwrap();
        assert_eq!(shown().await, "ada.l");
        users::delete(&writer, &asked("DELETE", "Users"), &id, None).await.unwrap();
        assert_eq!(shown().await, "");
        close_others(nodes).await;
        house.close().await;
    }
}

#[tokio::test]
async fn what_a_slow_request_makes_with_settings_that_have_changed_is_given_to_nobody_else() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "k").await;
        let writer = house.client(&federation, &secret).await;
        let id =
            users::create(&writer, &asked("POST", "Users"), user("ada", "Ada")).await.unwrap().id.to_string();
        // Accepted before the schema came, and slow: what it makes shows nothing of the schema.
        let slow = house.client(&federation, &secret).await;
        ops::extensions::register(&house.admin(), &federation.slug, extension("badges")).await.unwrap();
        let urn = "urn:example:params:scim:schemas:badges:2.0:User";
        let has_schema = |cx: &Cx<ScimClient>| scim::discovery::schema_of(cx.schemas(), "", urn).is_some();
        let user = async |cx: &Cx<ScimClient>| {
            *ready::user(cx, &asked("GET", "Users"), &id, |_| (has_schema(cx), 1)).await.unwrap()
        };
        let document = async |cx: &Cx<ScimClient>| {
            *ready::document(cx, "Schemas", || (has_schema(cx), 1)).await.unwrap()
        };
        assert_eq!((user(&slow).await, document(&slow).await), (false, false));
        let next = house.client(&federation, &secret).await;
        assert_eq!((user(&next).await, document(&next).await), (true, true));
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_kept_of_one_federation_is_not_there_for_another() {
    for house in houses().await {
        let (one, two) = (house.federation("one").await, house.federation("two").await);
        let (_, first) = house.key(&one, "k").await;
        let (_, second) = house.key(&two, "k").await;
        let (first, second) = (house.client(&one, &first).await, house.client(&two, &second).await);
        let made = users::create(&first, &asked("POST", "Users"), user("ada", "Ada")).await.unwrap();
        assert_eq!(version(&first, made.id.as_str()).await, 1);
        let other =
            ready::user(&second, &asked("GET", "Users"), made.id.as_str(), |user| (user.version, 8)).await;
        assert!(matches!(other, Err(Error::NotFound(_))), "{:?}", other.err());
        house.close().await;
    }
}

#[tokio::test]
async fn a_key_that_was_revoked_or_whose_federation_was_closed_opens_nothing_from_the_next_request_on() {
    for house in houses().await {
        let nodes = nodes(&house).await;
        let admin = testing::cx(nodes.last().unwrap(), domain::admins::Role::Admin);
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "k").await;
        let (_, other) = house.key(&federation, "other").await;
        for key in [&secret, &other, &secret, &other] {
            house.client(&federation, key).await;
        }
        ops::keys::revoke(&admin, &id, "").await.unwrap();
        let refused = house.present("okta", Some(secret.expose())).await.err().unwrap();
        assert!(matches!(refused, Error::Unauthenticated(_)), "{refused:?}");
        house.client(&federation, &other).await;
        let answer = async || {
            let answer = house.present("okta", Some(other.expose())).await;
            answer.map_or_else(|error| format!("{:?}", error.kind()), |_| "in".to_owned())
        };
        ops::federations::pause(&admin, &federation.slug).await.unwrap();
        assert_eq!(answer().await, "Held");
        ops::federations::resume(&admin, &federation.slug).await.unwrap();
        assert_eq!(answer().await, "in");
        ops::federations::archive(&admin, &federation.slug).await.unwrap();
        assert_eq!(answer().await, "Unauthenticated");
        close_others(nodes).await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_kept_key_still_ends_by_itself() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "k").await;
        house.client(&federation, &secret).await;
        house.client(&federation, &secret).await;
        house.clock.advance(90 * domain::DAY_MS);
        let refused = house.present("okta", Some(secret.expose())).await.err().unwrap();
        assert!(matches!(refused, Error::Unauthenticated(_)), "{refused:?}");
        house.close().await;
    }
}

#[tokio::test]
async fn a_change_under_way_ends_with_the_key_that_asked_for_it() {
    for house in houses().await {
        let nodes = nodes(&house).await;
        let admin = testing::cx(nodes.last().unwrap(), domain::admins::Role::Admin);
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "k").await;
        // Accepted twice, so that the second time it came from memory.
        house.client(&federation, &secret).await;
        let cx = house.client(&federation, &secret).await;
        users::create(&cx, &asked("POST", "Users"), user("before", "")).await.unwrap();
        ops::keys::revoke(&admin, &id, "").await.unwrap();
        let refused = users::create(&cx, &asked("POST", "Users"), user("after", "")).await.err().unwrap();
        assert!(matches!(refused, Error::Unauthenticated(_)), "{refused:?}");
        close_others(nodes).await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_file_has_one_process_that_writes() {
    for house in houses().await {
        if house.database.engine != Engine::Sqlite {
            continue;
        }
        let again = async || {
            let (clock, chance) =
                (Arc::new(testing::TestClock::default()), Arc::new(testing::TestEntropy::default()));
            let target = house.database.target.clone();
            Keyward::open(target, &testing::master_key(), clock, chance, testing::settings()).await
        };
        let refused = again().await.err();
        assert!(matches!(refused, Some(OpenError::InUse)), "{refused:?}");
        house.keyward.close().await;
        again().await.unwrap().close().await;
    }
}
