//! The gateway: what becomes of changes whose upstream does not behave.

mod journal;
mod lists;
mod scopes;
mod undo;

use domain::{
    admins::Role,
    federations::{FederationTarget, Slug},
    scopes::{ResourceKind, Scope, Verb},
    upstreams::Limits,
};
use ops::{
    Cx, Error, ScimClient,
    gateway::{breaker::BreakerState, reconcile, requests, target},
    scim_client::status_of,
};
use scim::{Filter, ListQuery, ResourceType};
use serde_json::json;

use crate::{
    support::{House, asked, houses, resource},
    upstream::{Mishap, SECRET, new_upstream},
};

const KIND: ResourceType = ResourceType::User;

fn user(name: &str) -> scim::Resource {
    resource(KIND, json!({ "userName": name, "externalId": format!("x-{name}") }))
}

fn anonymous(name: &str) -> scim::Resource {
    resource(KIND, json!({ "userName": name }))
}

async fn create(cx: &Cx<ScimClient>, name: &str) -> Result<requests::Shown, Error> {
    requests::create(cx, &asked("POST", "Users"), user(name)).await
}

fn id_of(shown: &requests::Shown) -> String {
    shown.body["id"].as_str().unwrap().to_owned()
}

async fn open_calls(house: &House, slug: &str) -> i64 {
    let view = target::view(&house.admin(), &Slug::parse(slug).unwrap()).await.unwrap();
    view.upstream.unwrap().open_calls
}

#[tokio::test]
async fn a_user_lives_at_the_upstream_under_ids_of_ours() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        let made = create(&cx().await, "Mia").await.unwrap();
        let id = id_of(&made);
        assert_ne!(id, "up-1");
        assert_eq!(made.location, format!("https://keyward.test/scim/gate/v2/Users/{id}"));
        assert_eq!(made.body["meta"]["location"], json!(made.location));

        let got = requests::get(&cx().await, &asked("GET", "Users"), KIND, &id).await.unwrap();
        assert_eq!(got.body["userName"], "Mia");
        let ops = scim::patch::from_value(json!({
            "Operations": [{ "op": "Replace", "path": "active", "value": "False" }]
        }));
        let patched = requests::patch(&cx().await, &asked("PATCH", "Users"), (KIND, &id), None, ops.unwrap())
            .await
            .unwrap();
        assert_eq!(patched.body["active"], json!(false));

        let group =
            resource(ResourceType::Group, json!({ "displayName": "Team", "members": [{ "value": id }] }));
        let group = requests::create(&cx().await, &asked("POST", "Groups"), group).await.unwrap();
        assert_eq!(group.body["members"][0]["value"], json!(id));
        assert_eq!(memory.resources.lock().unwrap()["up-2"].1["members"][0]["value"], "up-1");
        let stranger = resource(
            ResourceType::Group,
            json!({ "displayName": "Other", "members": [{ "value": "up-1" }] }),
        );
        let refused = requests::create(&cx().await, &asked("POST", "Groups"), stranger).await.unwrap_err();
        assert_eq!(status_of(&refused), 400, "an id of theirs is nobody here");

        let filter = Filter::parse(&format!("members.value eq \"{id}\"")).unwrap();
        let query = ListQuery { filter: Some(filter), ..ListQuery::default() };
        memory.called();
        let page = requests::list(&cx().await, &asked("GET", "Groups"), ResourceType::Group.into(), &query)
            .await
            .unwrap();
        assert_eq!((page.total_results, &page.resources[0]["id"]), (1, &group.body["id"]));
        assert!(memory.called()[0].contains("up-1"));

        requests::delete(&cx().await, &asked("DELETE", "Users"), KIND, &id, None).await.unwrap();
        let gone = requests::get(&cx().await, &asked("GET", "Users"), KIND, &id).await.unwrap_err();
        assert_eq!(status_of(&gone), 404);
        let log = house.log().await;
        let of = |word: &str| log.iter().filter(|line| line.starts_with(word)).count();
        assert_eq!(
            (of("upstream.asked done"), of("user.created done mia"), of("user.deleted done mia")),
            (4, 1, 1),
            "{log:#?}"
        );
        assert_eq!(open_calls(&house, "gate").await, 0);
        house.close().await;
    }
}

#[tokio::test]
async fn an_unknown_creation_is_looked_for_and_never_repeated() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        for (name, mishap) in [
            ("silent", Mishap::DoneSilent),
            ("broken", Mishap::DoneAnswer(500, "oops")),
            ("page", Mishap::DoneAnswer(200, "<html>")),
            ("nameless", Mishap::DoneAnswer(201, "{}")),
        ] {
            memory.next(mishap);
            let unknown = create(&cx().await, name).await.unwrap_err();
            assert!(matches!(unknown, Error::Upstream { status: 503, .. }), "{name}: {unknown:?}");
            assert_eq!(open_calls(&house, "gate").await, 1);
            // The provider tries again: the same request is answered with what it made.
            memory.called();
            let made = create(&cx().await, name).await.unwrap();
            assert_eq!(made.body["userName"], json!(name));
            assert!(!memory.called().iter().any(|call| call.starts_with("Post")), "{name}");
            assert_eq!(open_calls(&house, "gate").await, 0);
        }
        assert_eq!(memory.names(), ["silent", "broken", "page", "nameless"]);
        house.close().await;
    }
}

#[tokio::test]
async fn what_was_not_created_is_created_once_that_is_certain() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        memory.next(Mishap::Answer(500, "nothing done"));
        create(&cx().await, "mia").await.unwrap_err();
        // It may still be under way over there.
        let too_soon = create(&cx().await, "mia").await.unwrap_err();
        assert!(matches!(too_soon, Error::Upstream { status: 503, .. }), "{too_soon:?}");
        assert!(memory.names().is_empty());
        house.clock.advance(40_000);
        create(&cx().await, "mia").await.unwrap();
        assert_eq!(memory.names(), ["mia"]);
        house.close().await;
    }
}

#[tokio::test]
async fn the_timer_settles_what_nobody_asks_for_again() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        memory.next(Mishap::DoneSilent);
        create(&cx().await, "mia").await.unwrap_err();
        memory.next(Mishap::Answer(500, ""));
        create(&cx().await, "tom").await.unwrap_err();
        assert_eq!(open_calls(&house, "gate").await, 2);
        let settled = reconcile::run(&house.keyward, "node").await.unwrap();
        assert_eq!((settled, open_calls(&house, "gate").await), (Some(1), 1), "mia is there, tom may come");
        assert_eq!(reconcile::run(&house.keyward, "another").await.unwrap(), None, "one node works");
        house.clock.advance(40_000);
        assert_eq!(reconcile::run(&house.keyward, "another").await.unwrap(), Some(1));
        assert_eq!(open_calls(&house, "gate").await, 0);
        let view = target::view(&house.admin(), &Slug::parse("gate").unwrap()).await.unwrap();
        assert_eq!(view.upstream.unwrap().users, 1);
        house.close().await;
    }
}

#[tokio::test]
async fn an_unknown_deletion_and_change_are_looked_into() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        let id = id_of(&create(&cx().await, "mia").await.unwrap());
        memory.next(Mishap::DoneSilent);
        let unknown = requests::replace(&cx().await, &asked("PUT", "Users"), &id, None, user("mia2"))
            .await
            .unwrap_err();
        assert!(matches!(unknown, Error::Upstream { .. }), "{unknown:?}");
        let again =
            requests::replace(&cx().await, &asked("PUT", "Users"), &id, None, user("mia2")).await.unwrap();
        assert_eq!(again.body["userName"], "mia2");
        memory.next(Mishap::DoneSilent);
        requests::delete(&cx().await, &asked("DELETE", "Users"), KIND, &id, None).await.unwrap_err();
        assert_eq!(open_calls(&house, "gate").await, 1);
        let gone =
            requests::delete(&cx().await, &asked("DELETE", "Users"), KIND, &id, None).await.unwrap_err();
        assert_eq!(status_of(&gone), 404);
        assert_eq!(open_calls(&house, "gate").await, 0);
        house.close().await;
    }
}

#[tokio::test]
async fn an_account_that_was_there_is_adopted_by_its_external_id_or_by_an_admin_only() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        memory.put(KIND, "7", json!({ "userName": "mia", "externalId": "x-mia", "shoeSize": 38 }));
        memory.put(KIND, "8", json!({ "userName": "tom", "externalId": "another" }));
        memory.put(KIND, "9", json!({ "userName": "eva" }));
        let made = create(&cx().await, "mia").await.unwrap();
        assert_eq!((&made.body["shoeSize"], memory.names().len()), (&json!(38), 3), "what it had is kept");
        for _ in 0..2 {
            let refused = create(&cx().await, "tom").await.unwrap_err();
            assert_eq!(status_of(&refused), 409);
        }
        // Nobody gets it by its address either.
        let query =
            ListQuery { filter: Some(Filter::parse("userName eq \"eva\"").unwrap()), ..ListQuery::default() };
        let page = requests::list(&cx().await, &asked("GET", "Users"), KIND.into(), &query).await.unwrap();
        let eva = page.resources[0]["id"].as_str().unwrap().to_owned();
        let refused =
            requests::delete(&cx().await, &asked("DELETE", "Users"), KIND, &eva, None).await.unwrap_err();
        assert_eq!(status_of(&refused), 409);
        let refused = requests::replace(&cx().await, &asked("PUT", "Users"), &eva, None, user("eva"))
            .await
            .unwrap_err();
        assert_eq!(status_of(&refused), 409);
        assert_eq!(memory.names(), ["mia", "tom", "eva"]);

        let slug = Slug::parse("gate").unwrap();
        let waiting = target::view(&house.admin(), &slug).await.unwrap().upstream.unwrap().waiting;
        let mut names: Vec<&str> = waiting.iter().map(|waiting| waiting.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["eva", "tom"]);
        let manager = target::approve(&house.person(Role::Manager), &slug, KIND, &eva).await.unwrap_err();
        assert_eq!(status_of(&manager), 403);
        target::approve(&house.admin(), &slug, KIND, &eva).await.unwrap();
        requests::delete(&cx().await, &asked("DELETE", "Users"), KIND, &eva, None).await.unwrap();
        assert_eq!(memory.names(), ["mia", "tom"]);
        let log = house.log().await;
        assert_eq!(log.iter().filter(|line| line.starts_with("adoption.asked")).count(), 2, "{log:#?}");
        assert!(log.iter().any(|line| line == "adoption.approved done eva"));
        house.close().await;
    }
}

#[tokio::test]
async fn an_unknown_creation_does_not_take_an_account_that_was_there_before() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        let mia = json!({ "userName": "mia", "meta": { "created": "2020-01-01T00:00:00Z" } });
        memory.put(KIND, "7", mia);
        memory.next(Mishap::Answer(500, ""));
        requests::create(&cx().await, &asked("POST", "Users"), anonymous("mia")).await.unwrap_err();
        let refused =
            requests::create(&cx().await, &asked("POST", "Users"), anonymous("mia")).await.unwrap_err();
        assert_eq!(status_of(&refused), 409);
        assert_eq!(open_calls(&house, "gate").await, 0);
        house.close().await;
    }
}

#[tokio::test]
async fn what_the_upstream_refuses_is_told_and_what_it_thinks_of_us_is_not() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        for (status, body, expect) in [
            (400, r#"{"scimType":"invalidValue","detail":"no"}"#, 400),
            (413, "too large", 413),
            (401, "who are you", 503),
            (403, "not you", 503),
            (302, "elsewhere", 503),
            (429, "slowly", 429),
        ] {
            memory.next(Mishap::Answer(status, body));
            let refused = create(&cx().await, "mia").await.unwrap_err();
            assert_eq!(status_of(&refused), expect, "{status}: {refused:?}");
            assert_eq!(open_calls(&house, "gate").await, 0, "{status}");
        }
        memory.next(Mishap::Refused);
        assert_eq!(status_of(&create(&cx().await, "mia").await.unwrap_err()), 503);
        assert_eq!(memory.called().len(), 7, "no POST was tried twice");
        create(&cx().await, "mia").await.unwrap();
        let log = house.log().await;
        assert_eq!(log.iter().filter(|line| line.starts_with("upstream.refused-us")).count(), 1, "{log:#?}");
        house.close().await;
    }
}

#[tokio::test]
async fn the_scope_decides_before_the_upstream_is_asked() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let scope = Scope::of([(ResourceKind::Users, Verb::Read)]);
        let (_, secret) = house.scoped(&federation, "reading", scope).await;
        let cx = || house.client(&federation, &secret);
        assert_eq!(status_of(&create(&cx().await, "mia").await.unwrap_err()), 403);
        assert!(memory.called().is_empty());
        house.close().await;
    }
}

#[tokio::test]
async fn a_breaker_opens_and_closes_and_is_shown() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        for _ in 0..5 {
            memory.next(Mishap::Answer(500, ""));
            requests::list(&cx().await, &asked("GET", "Users"), KIND.into(), &ListQuery::default())
                .await
                .unwrap_err();
        }
        let slug = Slug::parse("gate").unwrap();
        let state = async || target::view(&house.admin(), &slug).await.unwrap().upstream.unwrap().breaker;
        assert_eq!(state().await, BreakerState::Open);
        memory.called();
        let turned_away = create(&cx().await, "mia").await.unwrap_err();
        assert!(
            matches!(turned_away, Error::Upstream { status: 503, retry_after_s: 30, .. }),
            "{turned_away:?}"
        );
        assert!(memory.called().is_empty());
        house.clock.advance(30_000);
        assert_eq!(state().await, BreakerState::HalfOpen);
        create(&cx().await, "mia").await.unwrap();
        assert_eq!(state().await, BreakerState::Closed);
        house.close().await;
    }
}

#[tokio::test]
async fn quirks_are_made_up_for() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let slug = Slug::parse("gate").unwrap();
        let mut new = new_upstream(federation.version);
        new.quirks = ["member-chunks", "no-patch", "no-filter"].map(str::to_owned).to_vec();
        target::set_upstream(&house.admin(), &slug, new).await.unwrap();
        let after = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
        let cx2 = || house.client(&after, &secret);
        let id = id_of(&create(&cx2().await, "mia").await.unwrap());
        create(&cx2().await, "tom").await.unwrap();
        memory.called();
        let ops =
            scim::patch::from_value(json!({ "Operations": [{ "op": "add", "value": { "title": "Lead" } }] }));
        let patched =
            requests::patch(&cx2().await, &asked("PATCH", "Users"), (KIND, &id), None, ops.unwrap())
                .await
                .unwrap();
        assert_eq!(patched.body["title"], "Lead");
        assert_eq!(memory.called(), ["Get /Users/up-1", "Put /Users/up-1"]);
        let query =
            ListQuery { filter: Some(Filter::parse("title eq \"lead\"").unwrap()), ..ListQuery::default() };
        let page = requests::list(&cx2().await, &asked("GET", "Users"), KIND.into(), &query).await.unwrap();
        assert_eq!((page.total_results, page.resources[0]["id"].as_str()), (1, Some(id.as_str())));
        assert!(memory.called().iter().all(|call| !call.contains("filter")));
        house.close().await;
    }
}

#[tokio::test]
async fn a_target_is_exchanged_only_while_it_is_empty() {
    for house in houses().await {
        let slug = Slug::parse("gate").unwrap();
        let (federation, memory) = house.upstream("gate").await;
        assert_eq!(federation.target, FederationTarget::Upstream);
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        create(&cx().await, "mia").await.unwrap();
        let refused = target::set_embedded(&house.admin(), &slug, federation.version).await.unwrap_err();
        assert!(matches!(refused, Error::Conflict(_)), "{refused:?}");
        let mut elsewhere = new_upstream(federation.version);
        elsewhere.base_url = "https://other.test/v2".to_owned();
        let refused = target::set_upstream(&house.admin(), &slug, elsewhere).await.unwrap_err();
        assert!(matches!(refused, Error::Conflict(_)), "{refused:?}");

        let embedded = house.federation("full").await;
        let (_, secret) = house.key(&embedded, "a").await;
        let embedded_cx = house.client(&embedded, &secret).await;
        ops::users::create(&embedded_cx, &asked("POST", "Users"), user("mia")).await.unwrap();
        let full = Slug::parse("full").unwrap();
        let refused =
            target::set_upstream(&house.admin(), &full, new_upstream(embedded.version)).await.unwrap_err();
        assert!(matches!(refused, Error::Conflict(_)), "{refused:?}");
        memory.called();
        house.close().await;
    }
}

#[tokio::test]
async fn a_credential_is_sealed_and_stays_with_its_address() {
    for house in houses().await {
        let slug = Slug::parse("gate").unwrap();
        let (federation, _) = house.upstream("gate").await;
        // Without a credential, what is there is kept; another address wants it anew.
        let mut same = new_upstream(federation.version);
        same.secret = domain::Secret::new(String::new());
        same.limits = Limits { timeout_ms: 1_000, concurrency: 2 };
        let federation = target::set_upstream(&house.admin(), &slug, same).await.unwrap();
        let mut elsewhere = new_upstream(federation.version);
        elsewhere.secret = domain::Secret::new(String::new());
        elsewhere.base_url = "https://thief.test/v2".to_owned();
        let Error::Invalid(faults) =
            target::set_upstream(&house.admin(), &slug, elsewhere).await.unwrap_err()
        else {
            panic!("it was taken along");
        };
        assert_eq!(faults[0].field, "secret");
        assert!(target::test(&house.admin(), &slug).await.unwrap().worked, "it still opens");
        let page = ops::audit::list(&house.admin(), &Default::default(), None, 200).await.unwrap();
        for record in page.records {
            assert!(!format!("{record:?}").contains(SECRET));
        }
        let faults = |change: &dyn Fn(&mut target::NewUpstream)| {
            let mut new = new_upstream(federation.version);
            change(&mut new);
            let (cx, slug) = (house.admin(), slug.clone());
            async move {
                match target::set_upstream(&cx, &slug, new).await {
                    Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
                    other => vec![format!("{other:?}")],
                }
            }
        };
        assert_eq!(faults(&|new| new.base_url = "http://up.test".to_owned()).await, ["base_url"]);
        assert_eq!(faults(&|new| new.sign_in = "guess".to_owned()).await, ["sign_in"]);
        assert_eq!(faults(&|new| new.sign_in = "mutual-tls".to_owned()).await, ["secret"]);
        assert_eq!(
            faults(&|new| {
                new.sign_in = "oauth".to_owned();
                new.limits.concurrency = 0;
            })
            .await,
            ["token_url", "client_id", "concurrency"]
        );
        house.close().await;
    }
}

#[tokio::test]
async fn without_audit_nothing_is_asked_of_the_upstream() {
    for house in houses().await {
        let (federation, memory) = house.upstream("gate").await;
        let (_, secret) = house.key(&federation, "pushing").await;
        let cx = || house.client(&federation, &secret);
        ops::testing::break_audit(&house.keyward).await;
        let refused = create(&cx().await, "mia").await.unwrap_err();
        assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
        assert_eq!(memory.names(), Vec::<String>::new());
        assert!(memory.called().is_empty(), "the intent comes before the call");
        house.keyward.close().await;
    }
}

/// A federation `gate` with an upstream, a call of which nobody knows, and an account that waits.
pub struct Prepared {
    memory: std::sync::Arc<crate::upstream::Memory>,
    secret: domain::Secret,
    waiting: String,
    foreign: String,
}

/// Prepares what [`steps`] does.
pub async fn prepared(house: &House) -> Prepared {
    let (federation, memory) = house.upstream("gate").await;
    let (_, secret) = house.key(&federation, "gate-1").await;
    let cx = || house.client(&federation, &secret);
    memory.put(KIND, "7", json!({ "userName": "waits" }));
    memory.put(KIND, "8", json!({ "userName": "foreign" }));
    create(&cx().await, "waits").await.unwrap_err();
    let page = requests::list(&cx().await, &asked("GET", "Users"), KIND.into(), &ListQuery::default())
        .await
        .unwrap();
    let id = |at: usize| page.resources[at]["id"].as_str().unwrap().to_owned();
    let (waiting, foreign) = (id(0), id(1));
    memory.next(Mishap::DoneSilent);
    create(&cx().await, "unknown").await.unwrap_err();
    Prepared { memory, secret, waiting, foreign }
}

/// Does everything that the gateway puts on record, once; each step leaves one record.
pub async fn steps(house: &House, prepared: &Prepared) -> Vec<(domain::audit::Action, Result<(), Error>)> {
    use domain::audit::Action;
    let slug = Slug::parse("gate").unwrap();
    let Prepared { memory, secret, waiting, foreign } = prepared;
    let admin = house.admin();
    let federation = ops::federations::open(&admin, &slug).await.unwrap().federation;
    let cx = || house.client(&federation, secret);
    let told = |made: Result<(), Error>, status: u16| match made {
        Err(error) if status_of(&error) == status && !matches!(error, Error::Unavailable(_)) => Ok(()),
        other => other,
    };
    let mut done = vec![
        (Action::UpstreamTested, target::test(&admin, &slug).await.map(drop)),
        (Action::UpstreamProbed, ops::gateway::probe::probe(&admin, &slug).await.map(drop)),
    ];
    // Another request than the one that is unknown: it is found, and taken.
    let again = requests::create(&cx().await, &asked("POST", "Users"), anonymous("unknown")).await;
    done.push((Action::UpstreamReconciled, told(again.map(drop), 409)));
    memory.next(Mishap::Answer(400, "{}"));
    done.push((Action::UpstreamAsked, told(create(&cx().await, "new").await.map(drop), 400)));
    memory.mishaps.lock().unwrap().clear();
    memory.next(Mishap::Answer(401, ""));
    let got = requests::get(&cx().await, &asked("GET", "Users"), KIND, foreign).await;
    done.push((Action::UpstreamRefusedUs, told(got.map(drop), 503)));
    let deleted = requests::delete(&cx().await, &asked("DELETE", "Users"), KIND, foreign, None).await;
    done.push((Action::AdoptionAsked, told(deleted, 409)));
    done.push((Action::AdoptionApproved, target::approve(&admin, &slug, KIND, waiting).await));
    let set = target::set_upstream(&admin, &slug, new_upstream(federation.version)).await;
    done.push((Action::FederationTargetSet, set.map(drop)));
    done
}
