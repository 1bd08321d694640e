//! What the scope of a key lets through, dimension by dimension, in the embedded directory.

use std::{collections::BTreeSet, sync::Arc};

use domain::{
    rotations::policy::Window,
    scopes::{Ceiling, Provenance, ResourceKind, Scope, Verb},
};
use ops::{
    Cx, Error, ScimClient,
    groups::{self, Shown},
    keys::Rotate,
    listing, users,
};
use scim::{Filter, ListQuery, ResourceType, Sort, SortOrder};
use serde_json::{Value, json};

use crate::{
    cache::{close_others, nodes, present},
    support::{House, Pusher, asked, houses, listed, resource},
};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn status(error: &Error) -> u16 {
    ops::scim_client::status_of(error)
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn patch(operations: Value) -> Vec<scim::Op> {
    scim::patch::from_value(json!({ "Operations": operations })).unwrap()
}

fn mia(name: &str, department: &str) -> scim::Resource {
    resource(
        ResourceType::User,
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
            "userName": name, "title": "Lead", "active": true,
            "name": { "familyName": "Berg", "givenName": "Mia" }, ENTERPRISE: { "department": department },
        }),
    )
}

async fn create(pusher: &Pusher<'_>, user: scim::Resource) -> Result<String, Error> {
    users::create(&pusher.cx().await, &asked("POST", "Users"), user).await.map(|user| user.id.to_string())
}

async fn group(pusher: &Pusher<'_>, name: &str, members: &[&str]) -> Result<String, Error> {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    let group = resource(ResourceType::Group, json!({ "displayName": name, "members": members }));
    let made = groups::create(&pusher.cx().await, &asked("POST", "Groups"), group, Shown::ByDefault).await;
    made.map(|group| group.id.to_string())
}

async fn change(pusher: &Pusher<'_>, id: &str, operation: Value) -> Result<u64, Error> {
    let (cx, ops) = (pusher.cx().await, patch(json!([operation])));
    let patched = users::patch(&cx, &asked("PATCH", "Users"), id, None, ops).await?;
    Ok(patched.version.unsigned_abs())
}

async fn members(pusher: &Pusher<'_>, id: &str) -> Vec<String> {
    let group = groups::get(&pusher.cx().await, &asked("GET", "Groups"), id).await.unwrap();
    group.members.into_iter().map(|member| member.value).collect()
}

fn shown(cx: &Cx<ScimClient>, user: users::User) -> Value {
    let found = listing::Found::User(user);
    let of = cx.schemas().of(ResourceType::User);
    cx.readable(ResourceType::User, found.render(of, "https://base", &scim::Selection::Default))
}

#[tokio::test]
async fn answers_hold_what_may_be_read_and_questions_about_the_rest_are_refused_alike() {
    for house in houses().await {
        let all = house.pusher("okta").await;
        let id = create(&all, mia("mia", "D1")).await.unwrap();
        let mut scope = Scope::full_directory();
        scope.grant_mut(ResourceKind::Users).read_attributes =
            Some(set(&["USERNAME", "name.familyName", &format!("{ENTERPRISE}:department")]));
        let narrow = house.pusher_of(&all.federation, "narrow", scope).await;
        let cx = narrow.cx().await;
        let body = shown(&cx, users::get(&cx, &asked("GET", "Users"), &id).await.unwrap());
        let mut names: Vec<&String> = body.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["id", "meta", "name", "schemas", ENTERPRISE, "userName"]);
        assert_eq!(body["name"], json!({ "familyName": "Berg" }));

        // Whatever is asked for, what matches and what does not are told the same.
        for (hit, miss) in [
            ("title eq \"Lead\"", "title eq \"Boss\""),
            ("userName eq \"mia\" and title sw \"L\"", "userName eq \"mia\" and title sw \"X\""),
            ("name.givenName pr", "not (name.givenName pr)"),
            ("schemas eq \"urn:ietf:params:scim:schemas:core:2.0:User\"", "schemas eq \"urn:x\""),
        ] {
            let mut told = Vec::new();
            for filter in [hit, miss] {
                let error =
                    listed(&narrow.cx().await, ResourceType::User, Some(filter), 10).await.unwrap_err();
                told.push((status(&error), error.to_string()));
            }
            assert_eq!(told[0], told[1], "{hit}");
            assert_eq!(told[0].0, 403);
        }
        let sort = Sort { by: scim::AttrPath::parse("title").unwrap(), order: SortOrder::Ascending };
        let query = ListQuery { sort: Some(sort), ..ListQuery::default() };
        let sorted =
            listing::list(&narrow.cx().await, &asked("GET", "Users"), ResourceType::User, &query).await;
        assert_eq!(status(&sorted.unwrap_err()), 403);
        for path in ["title", "phoneNumbers[type eq \"work\"].value"] {
            for value in ["Lead", "Boss"] {
                let operation = json!({ "op": "replace", "path": path, "value": value });
                let error = change(&narrow, &id, operation).await.unwrap_err();
                assert!(
                    matches!(&error, Error::Forbidden(text) if text.starts_with("this key may not")),
                    "{error}"
                );
            }
        }
        // A PUT leaves what it cannot see.
        let put = resource(ResourceType::User, json!({ "userName": "mia2", "name": { "familyName": "B" } }));
        users::replace(&narrow.cx().await, &asked("PUT", "Users"), &id, None, put).await.unwrap();
        let whole = users::get(&all.cx().await, &asked("GET", "Users"), &id).await.unwrap();
        let body = whole.resource.as_value();
        assert_eq!((&body["title"], &body["userName"]), (&json!("Lead"), &json!("mia2")));
        assert_eq!(body["name"], json!({ "familyName": "B", "givenName": "Mia" }));
        let put = resource(ResourceType::User, json!({ "userName": "mia2", "title": "Lead" }));
        let error =
            users::replace(&narrow.cx().await, &asked("PUT", "Users"), &id, None, put).await.unwrap_err();
        assert_eq!(error.to_string(), "this key may not write title");
        house.close().await;
    }
}

#[tokio::test]
async fn a_change_writes_what_it_may_and_is_refused_with_the_attribute() {
    for house in houses().await {
        let all = house.pusher("okta").await;
        let id = create(&all, mia("mia", "D1")).await.unwrap();
        let mut scope = Scope::full_directory();
        scope.grant_mut(ResourceKind::Users).write_attributes = Some(set(&["active", "name.familyName"]));
        scope.grant_mut(ResourceKind::Groups).write_attributes = Some(set(&["members"]));
        let narrow = house.pusher_of(&all.federation, "narrow", scope).await;
        let replace = |path: &str, value: Value| json!({ "op": "replace", "path": path, "value": value });
        change(&narrow, &id, replace("active", json!(false))).await.unwrap();
        change(&narrow, &id, replace("name", json!({ "familyName": "C", "givenName": "Mia" })))
            .await
            .unwrap();
        for (path, value, named) in [
            ("title", json!("Boss"), "title"),
            ("name.givenName", json!("X"), "name.givenName"),
            (&format!("{ENTERPRISE}:department"), json!("D2"), "department"),
        ] {
            let error = change(&narrow, &id, replace(path, value)).await.unwrap_err();
            assert_eq!(status(&error), 403);
            assert!(error.to_string().ends_with(named), "{error}");
        }
        let created = create(&narrow, mia("new", "D1")).await.unwrap_err();
        assert_eq!(status(&created), 403, "{created}");
        let team = group(&all, "Team", &[]).await.unwrap();
        let add = patch(json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]));
        let cx = narrow.cx().await;
        groups::patch(&cx, &asked("PATCH", "Groups"), &team, None, add, Shown::ByDefault).await.unwrap();
        let rename = patch(json!([{ "op": "replace", "path": "displayName", "value": "X" }]));
        let cx = narrow.cx().await;
        let error =
            groups::patch(&cx, &asked("PATCH", "Groups"), &team, None, rename, Shown::ByDefault).await;
        assert_eq!(error.unwrap_err().to_string(), "this key may not write displayName");
        assert_eq!(members(&all, &team).await, [id]);
        house.close().await;
    }
}

#[tokio::test]
async fn what_does_not_match_the_filter_is_not_there_and_cannot_become_so() {
    for house in houses().await {
        let all = house.pusher("okta").await;
        let (mine, other) =
            (create(&all, mia("mia", "D1")).await.unwrap(), create(&all, mia("leo", "D2")).await.unwrap());
        let team = group(&all, "Team", &[&mine, &other]).await.unwrap();
        for filter in [format!("{ENTERPRISE}:department eq \"d1\""), "userName sw \"m\"".to_owned()] {
            let mut scope = Scope::full_directory();
            scope.grant_mut(ResourceKind::Users).filter = Some(filter.clone());
            let name = format!("narrow {}", filter.len());
            let narrow = house.pusher_of(&all.federation, &name, scope).await;
            // By its id, in lists, as a member, in the filter of groups: one rule.
            let error = users::get(&narrow.cx().await, &asked("GET", "Users"), &other).await.unwrap_err();
            assert_eq!(status(&error), 404);
            for query in [None, Some("active eq true"), Some("userName pr"), Some("title eq \"Lead\"")] {
                let page = listed(&narrow.cx().await, ResourceType::User, query, 10).await.unwrap();
                assert_eq!((page.total, page.found.len()), (1, 1), "{filter} {query:?}");
                assert_eq!(page.found[0].id().as_str(), mine);
            }
            assert_eq!(members(&narrow, &team).await, std::slice::from_ref(&mine));
            let by = |id: &str| format!("members.value eq \"{id}\"");
            for (id, expect) in [(&mine, 1), (&other, 0)] {
                let page = listed(&narrow.cx().await, ResourceType::Group, Some(&by(id)), 10).await.unwrap();
                assert_eq!(page.total, expect, "{filter}");
            }
            // Nor is it changed, deleted, taken in or thrown out.
            let off = json!({ "op": "replace", "path": "active", "value": false });
            assert_eq!(status(&change(&narrow, &other, off).await.unwrap_err()), 404);
            let gone = users::delete(&narrow.cx().await, &asked("DELETE", "Users"), &other, None).await;
            assert_eq!(status(&gone.unwrap_err()), 404);
            let add = json!([{ "op": "add", "path": "members", "value": [{ "value": other }] }]);
            let cx = narrow.cx().await;
            let taken =
                groups::patch(&cx, &asked("PATCH", "Groups"), &team, None, patch(add), Shown::ByDefault)
                    .await;
            assert_eq!(status(&taken.unwrap_err()), 400);
            let empty = json!([{ "op": "replace", "path": "members", "value": [] }]);
            let cx = narrow.cx().await;
            groups::patch(&cx, &asked("PATCH", "Groups"), &team, None, patch(empty), Shown::ByDefault)
                .await
                .unwrap();
            assert_eq!(members(&all, &team).await, std::slice::from_ref(&other));
            let back = json!([{ "op": "add", "path": "members", "value": [{ "value": mine }] }]);
            let cx = narrow.cx().await;
            groups::patch(&cx, &asked("PATCH", "Groups"), &team, None, patch(back), Shown::ByDefault)
                .await
                .unwrap();
            // A change must not lead out, nor a creation begin outside.
            let out = if filter.contains("department") {
                json!({ "op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "D2" })
            } else {
                json!({ "op": "replace", "path": "userName", "value": "leo2" })
            };
            let error = change(&narrow, &mine, out).await.unwrap_err();
            assert_eq!(status(&error), 403);
            assert!(error.to_string().contains("before and after"), "{error}");
            assert_eq!(status(&create(&narrow, mia("xenia", "D2")).await.unwrap_err()), 403);
            let made = create(&narrow, mia(&format!("m{}", filter.len()), "D1")).await.unwrap();
            users::delete(&narrow.cx().await, &asked("DELETE", "Users"), &made, None).await.unwrap();
        }
        house.close().await;
    }
}

#[tokio::test]
async fn only_named_groups_are_seen_and_touched_and_none_is_created() {
    for house in houses().await {
        let all = house.pusher("okta").await;
        let id = create(&all, mia("mia", "D1")).await.unwrap();
        let (one, two) =
            (group(&all, "One", &[&id]).await.unwrap(), group(&all, "Two", &[&id]).await.unwrap());
        let scope = Scope { groups: Some(set(&[&one])), ..Scope::full_directory() };
        let narrow = house.pusher_of(&all.federation, "narrow", scope).await;
        let page = listed(&narrow.cx().await, ResourceType::Group, None, 10).await.unwrap();
        assert_eq!((page.total, page.found[0].id().as_str()), (1, one.as_str()));
        let user = users::get(&narrow.cx().await, &asked("GET", "Users"), &id).await.unwrap();
        assert_eq!(user.groups.iter().map(|group| group.value.as_str()).collect::<Vec<_>>(), [&one]);
        for (filter, expect) in [(&one, 1), (&two, 0)] {
            let filter = format!("groups.value eq \"{filter}\"");
            let page = listed(&narrow.cx().await, ResourceType::User, Some(&filter), 10).await.unwrap();
            assert_eq!(page.total, expect);
        }
        let got = groups::get(&narrow.cx().await, &asked("GET", "Groups"), &two).await.unwrap_err();
        assert_eq!(status(&got), 404);
        let rename = || patch(json!([{ "op": "replace", "path": "displayName", "value": "X" }]));
        let cx = narrow.cx().await;
        let changed =
            groups::patch(&cx, &asked("PATCH", "Groups"), &two, None, rename(), Shown::ByDefault).await;
        assert_eq!(status(&changed.unwrap_err()), 404);
        let cx = narrow.cx().await;
        groups::patch(&cx, &asked("PATCH", "Groups"), &one, None, rename(), Shown::ByDefault).await.unwrap();
        assert_eq!(status(&group(&narrow, "Three", &[]).await.unwrap_err()), 403);
        let gone = groups::delete(&narrow.cx().await, &asked("DELETE", "Groups"), &two, None).await;
        assert_eq!(status(&gone.unwrap_err()), 404);
        house.close().await;
    }
}

#[tokio::test]
async fn a_line_of_keys_sees_and_counts_what_it_made_and_nothing_else() {
    for house in houses().await {
        let all = house.pusher("okta").await;
        let foreign = create(&all, mia("mia", "D1")).await.unwrap();
        let mut scope = Scope { provenance: Provenance::KeyLine, ..Scope::full_directory() };
        scope.ceilings = vec![Ceiling { resource: ResourceKind::Users, verb: Verb::Create, per_hour: 3 }];
        let (key_id, secret) = house.scoped(&all.federation, "own", scope).await;
        let cx = || house.client(&all.federation, &secret);
        let make = async |cx: Cx<ScimClient>, name: &str| {
            users::create(&cx, &asked("POST", "Users"), mia(name, "D")).await
        };
        let own = make(cx().await, "own").await.unwrap().id;
        assert_eq!(listed(&cx().await, ResourceType::User, None, 10).await.unwrap().total, 1);
        let got = users::get(&cx().await, &asked("GET", "Users"), &foreign).await.unwrap_err();
        assert_eq!(status(&got), 404);

        // The successor has what its predecessor made, and the rest of its hour.
        let next = ops::keys::rotate(&house.admin(), &key_id, Rotate::default()).await.unwrap();
        let next_secret = next.secret.unwrap();
        let later = || house.client(&all.federation, &next_secret);
        assert_eq!(users::get(&later().await, &asked("GET", "Users"), own.as_str()).await.unwrap().id, own);
        make(later().await, "b").await.unwrap();
        house.clock.advance(10 * 60_000);
        make(cx().await, "c").await.unwrap();
        let full = make(later().await, "d").await.unwrap_err();
        assert!(matches!(full, Error::Throttled { retry_after_s: 3_060, .. }), "{full:?}");
        assert!(matches!(make(cx().await, "d").await, Err(Error::Throttled { .. })));
        house.clock.advance(51 * 60_000);
        make(later().await, "d").await.unwrap();
        assert_eq!(listed(&cx().await, ResourceType::User, None, 10).await.unwrap().total, 2);
        assert_eq!(listed(&later().await, ResourceType::User, None, 10).await.unwrap().total, 4);
        house.close().await;
    }
}

/// Two ceilings, from two nodes on Postgres: exactly as many are made as they say.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_hour_has_more_than_its_ceiling_however_many_ask_at_once_on_two_nodes() {
    for house in houses().await {
        let all = house.pusher("okta").await;
        let nodes = nodes(&house).await;
        let is_postgres = house.database.engine == store::Engine::Postgres;
        assert_eq!(nodes.len(), if is_postgres { 2 } else { 1 });
        let mut scope = Scope::full_directory();
        let of = |verb, per_hour| Ceiling { resource: ResourceKind::Users, verb, per_hour };
        scope.ceilings = vec![of(Verb::Create, 7), of(Verb::Read, 5)];
        let (_, secret) = house.scoped(&all.federation, "narrow", scope).await;
        let secret = Arc::new(secret);
        let mut running = Vec::new();
        for n in 0..64 {
            let (node, secret) = (Arc::clone(&nodes[n % nodes.len()]), Arc::clone(&secret));
            running.push(tokio::spawn(async move {
                let cx = present(&node, "okta", secret.expose()).await?;
                if n % 4 < 2 {
                    users::create(&cx, &asked("POST", "Users"), mia(&format!("u{n}"), "D"))
                        .await
                        .map(|_| true)
                } else {
                    listed(&cx, ResourceType::User, None, 1).await.map(|_| false)
                }
            }));
        }
        let (mut made, mut read, mut late) = (0, 0, 0);
        for one in running {
            match one.await.unwrap() {
                Ok(true) => made += 1,
                Ok(false) => read += 1,
                Err(Error::Throttled { retry_after_s, .. }) => {
                    assert!((3_600..=3_660).contains(&retry_after_s), "{retry_after_s}");
                    late += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!((made, read, late), (7, 5, 52));
        assert_eq!(listed(&all.cx().await, ResourceType::User, None, 1).await.unwrap().total, 7);
        close_others(nodes).await;
        house.close().await;
    }
}

#[tokio::test]
async fn outside_its_hours_a_key_is_denied_and_that_is_on_record() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        // The tests begin on a Thursday at midnight.
        let hours = vec![Window::parse("thu 01:00-02:00").unwrap()];
        let scope = Scope { hours, ..Scope::full_directory() };
        let (id, secret) = house.scoped(&federation, "day", scope).await;
        let error = house.present("okta", Some(secret.expose())).await.map(drop).unwrap_err();
        assert!(matches!(&error, Error::Forbidden(text) if text.contains("thu 01:00-02:00")), "{error:?}");
        let records = ops::usage::of_key(&house.admin(), &id, 5).await.unwrap();
        assert_eq!((records[0].status, records[0].decision), (403, domain::usage::Decision::Denied));
        assert!(records[0].reason.as_ref().unwrap().contains("not be used at this time"));
        house.clock.advance(60 * 60_000);
        house.present("okta", Some(secret.expose())).await.unwrap();
        house.close().await;
    }
}

#[tokio::test]
async fn a_scope_that_cannot_be_kept_is_refused_at_issue_with_its_fields() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let issue = async |house: &House, scope: Scope| {
            let new = crate::support::new_key(&federation.slug, "a", scope);
            match ops::keys::issue(&house.admin(), new).await {
                Err(Error::Invalid(faults)) => {
                    faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
                }
                Ok(_) => Vec::new(),
                Err(error) => panic!("{error:?}"),
            }
        };
        let mut scope = Scope { groups: Some(set(&["nobody"])), ..Scope::full_directory() };
        scope.grant_mut(ResourceKind::Users).read_attributes = Some(set(&["shoeSize"]));
        scope.grant_mut(ResourceKind::Users).filter = Some("userName eq".to_owned());
        scope.grant_mut(ResourceKind::Groups).filter = Some("members pr".to_owned());
        scope.ceilings = vec![Ceiling { resource: ResourceKind::Users, verb: Verb::Read, per_hour: 0 }];
        assert_eq!(
            issue(&house, scope).await,
            ["users-read-attributes", "users-filter", "groups-filter", "users-read-per-hour", "groups"]
        );
        assert_eq!(issue(&house, Scope::full_directory()).await, Vec::<String>::new());
        house.close().await;
    }
}

#[tokio::test]
async fn a_filtered_list_is_the_truth_for_random_filters() {
    for house in houses().await {
        let all = house.pusher("okta").await;
        for n in 0..30 {
            let user = json!({
                "userName": format!("u{n:02}"), "title": if n % 2 == 0 { "Lead" } else { "Dev" }, "active": n % 3 == 0,
                "emails": [{ "value": format!("u{n}@example.com") }], "externalId": format!("x{}", n % 5),
            });
            create(&all, resource(ResourceType::User, user)).await.unwrap();
        }
        let everyone = listed(&all.cx().await, ResourceType::User, None, 100).await.unwrap().found;
        let filters = [
            "userName sw \"u1\"",
            "title eq \"lead\"",
            "active eq true",
            "externalId eq \"x3\"",
            "emails.value eq \"u7@example.com\"",
            "not (title pr)",
            "userName gt \"u20\" or active eq false",
        ];
        for (index, scoped) in filters.iter().enumerate() {
            let mut scope = Scope::full_directory();
            scope.grant_mut(ResourceKind::Users).filter = Some((*scoped).to_owned());
            let narrow = house.pusher_of(&all.federation, &format!("narrow-{index}"), scope).await;
            for asked_for in [None, Some(filters[(index + 3) % filters.len()]), Some("userName pr")] {
                let page = listed(&narrow.cx().await, ResourceType::User, asked_for, 100).await.unwrap();
                let holds = |text: &str, body: &Value| {
                    scim::matches(&Filter::parse(text).unwrap(), ResourceType::User, body).unwrap()
                };
                let expect: Vec<&str> = everyone
                    .iter()
                    .filter(|user| {
                        let of = ResourceType::User.into();
                        let body = user.render(of, "https://base", &scim::Selection::Default);
                        holds(scoped, &body) && asked_for.is_none_or(|text| holds(text, &body))
                    })
                    .map(|user| user.id().as_str())
                    .collect();
                let mut found: Vec<&str> = page.found.iter().map(|user| user.id().as_str()).collect();
                found.sort_unstable();
                assert_eq!(found, expect, "{scoped} {asked_for:?}");
                assert_eq!(page.total, expect.len() as u64, "{scoped} {asked_for:?}");
            }
        }
        house.close().await;
    }
}
