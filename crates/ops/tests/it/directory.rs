//! The embedded directory through a key.

use domain::{
    scopes::{ResourceKind, Scope, Verb},
    usage::Decision,
};
use ops::{
    Error,
    groups::{self, Shown},
    users,
};
use scim::ResourceType;
use serde_json::json;

use crate::support::{asked, houses, listed, resource};

fn user(name: &str) -> scim::Resource {
    resource(
        ResourceType::User,
        json!({ "userName": name, "externalId": format!("x-{name}"), "active": true }),
    )
}

fn status(error: &Error) -> u16 {
    ops::scim_client::status_of(error)
}

fn patch(operations: serde_json::Value) -> Vec<scim::Op> {
    scim::patch::from_value(json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations
    }))
    .unwrap()
}

#[tokio::test]
async fn a_user_is_created_read_found_replaced_patched_and_deleted() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "a").await;
        let cx = house.client(&federation, &secret).await;
        let made = users::create(&cx, &asked("POST", "Users"), user("Mia")).await.unwrap();
        let id = made.id.as_str();
        let next = || async { house.client(&federation, &secret).await };
        assert_eq!(users::get(&next().await, &asked("GET", "Users"), id).await.unwrap().version, 1);

        for (text, expect) in [
            (r#"userName eq "mIA""#, 1),
            (r#"externalId eq "x-Mia""#, 1),
            (r#"externalId eq "X-mia""#, 0),
            (r#"userName eq "mia" and active eq true"#, 1),
            (r#"userName eq "mia" and active eq false"#, 0),
            (r#"userName eq "nobody""#, 0),
        ] {
            let page = listed(&next().await, ResourceType::User, Some(text), 10).await.unwrap();
            assert_eq!((page.total, page.found.len()), (expect, usize::try_from(expect).unwrap()), "{text}");
        }

        house.clock.advance(1_000);
        let off = patch(json!([{ "op": "Replace", "path": "active", "value": "False" }]));
        let patched =
            users::patch(&next().await, &asked("PATCH", "Users"), id, None, off.clone()).await.unwrap();
        assert_eq!((patched.version, patched.resource.active()), (2, false));
        assert!(patched.modified_ms > patched.created_ms);
        house.clock.advance(1_000);
        let again = users::patch(&next().await, &asked("PATCH", "Users"), id, None, off).await.unwrap();
        assert_eq!((again.version, again.modified_ms), (2, patched.modified_ms), "nothing changed");

        let stale = users::replace(&next().await, &asked("PUT", "Users"), id, Some(vec![1]), user("Mia"))
            .await
            .unwrap_err();
        assert_eq!(status(&stale), 412);
        let replaced = users::replace(&next().await, &asked("PUT", "Users"), id, Some(vec![2]), user("Mia2"))
            .await
            .unwrap();
        assert_eq!((replaced.version, replaced.resource.user_name()), (3, Some("Mia2")));

        users::delete(&next().await, &asked("DELETE", "Users"), id, None).await.unwrap();
        for gone in [
            users::get(&next().await, &asked("GET", "Users"), id).await.map(drop),
            users::delete(&next().await, &asked("DELETE", "Users"), id, None).await,
        ] {
            assert_eq!(status(&gone.unwrap_err()), 404);
        }
        users::create(&next().await, &asked("POST", "Users"), user("Mia2")).await.unwrap();
        assert_eq!(
            house.log().await[3..],
            [
                "user.created done Mia",
                "user.updated done Mia",
                "user.updated done Mia2",
                "user.deleted done Mia2",
                "user.created done Mia2"
            ]
        );
        house.close().await;
    }
}

#[tokio::test]
async fn a_user_name_is_unique_in_its_federation_and_free_in_another() {
    for house in houses().await {
        let (one, two) = (house.federation("one").await, house.federation("two").await);
        let (_, key_one) = house.key(&one, "a").await;
        let (_, key_two) = house.key(&two, "a").await;
        let post = asked("POST", "Users");
        let made = users::create(&house.client(&one, &key_one).await, &post, user("mia")).await.unwrap();
        let taken = users::create(&house.client(&one, &key_one).await, &post, user("MIA")).await.unwrap_err();
        assert_eq!(status(&taken), 409);
        assert!(taken.to_string().contains("MIA"), "{taken}");
        users::create(&house.client(&two, &key_two).await, &post, user("mia")).await.unwrap();
        // The other federation's id is as unknown as one that never was.
        for id in [made.id.as_str(), "1", "0", "-1", "admin", "", "\0", &"9".repeat(4096)] {
            let foreign = house.client(&two, &key_two).await;
            let missing = users::get(&foreign, &asked("GET", "Users"), id).await;
            assert!(matches!(&missing, Err(Error::NotFound(_))), "{id}: {missing:?}");
            let foreign = house.client(&two, &key_two).await;
            let deleted = users::delete(&foreign, &asked("DELETE", "Users"), id, None).await;
            assert!(matches!(deleted, Err(Error::NotFound(_))), "{id}: {deleted:?}");
        }
        house.close().await;
    }
}

#[expect(clippy::too_many_lines, reason = "one line for each verb and type")]
#[tokio::test]
async fn the_scope_decides_every_verb_on_every_type() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        for kind in ResourceKind::ALL {
            for verb in Verb::ALL {
                let name = format!("{kind}-{verb}");
                let (_, secret) = house.scoped(&federation, &name, Scope::of([(kind, verb)])).await;
                let cx = || house.client(&federation, &secret);
                let missing = "019b76da-a800-7000-8000-000000000000";
                let group = resource(ResourceType::Group, json!({ "displayName": name }));
                let answers = [
                    (
                        ResourceKind::Users,
                        Verb::Create,
                        users::create(&cx().await, &asked("POST", "Users"), user(&name)).await.map(drop),
                    ),
                    (
                        ResourceKind::Users,
                        Verb::Read,
                        users::get(&cx().await, &asked("GET", "Users"), missing).await.map(drop),
                    ),
                    (
                        ResourceKind::Users,
                        Verb::Read,
                        listed(&cx().await, ResourceType::User, None, 1).await.map(drop),
                    ),
                    (
                        ResourceKind::Users,
                        Verb::Update,
                        users::replace(&cx().await, &asked("PUT", "Users"), missing, None, user("x"))
                            .await
                            .map(drop),
                    ),
                    (
                        ResourceKind::Users,
                        Verb::Update,
                        users::patch(&cx().await, &asked("PATCH", "Users"), missing, None, Vec::new())
                            .await
                            .map(drop),
                    ),
                    (
                        ResourceKind::Users,
                        Verb::Delete,
                        users::delete(&cx().await, &asked("DELETE", "Users"), missing, None).await,
                    ),
                    (
                        ResourceKind::Groups,
                        Verb::Create,
                        groups::create(&cx().await, &asked("POST", "Groups"), group.clone(), Shown::Members)
                            .await
                            .map(drop),
                    ),
                    (
                        ResourceKind::Groups,
                        Verb::Read,
                        groups::get(&cx().await, &asked("GET", "Groups"), missing).await.map(drop),
                    ),
                    (
                        ResourceKind::Groups,
                        Verb::Read,
                        listed(&cx().await, ResourceType::Group, None, 1).await.map(drop),
                    ),
                    (
                        ResourceKind::Groups,
                        Verb::Update,
                        groups::replace(
                            &cx().await,
                            &asked("PUT", "Groups"),
                            missing,
                            None,
                            group,
                            Shown::Members,
                        )
                        .await
                        .map(drop),
                    ),
                    (
                        ResourceKind::Groups,
                        Verb::Update,
                        groups::patch(
                            &cx().await,
                            &asked("PATCH", "Groups"),
                            missing,
                            None,
                            Vec::new(),
                            Shown::Members,
                        )
                        .await
                        .map(drop),
                    ),
                    (
                        ResourceKind::Groups,
                        Verb::Delete,
                        groups::delete(&cx().await, &asked("DELETE", "Groups"), missing, None).await,
                    ),
                ];
                for (asked_kind, asked_verb, answer) in answers {
                    let forbidden = matches!(answer, Err(Error::Forbidden(_)));
                    assert_eq!(
                        forbidden,
                        (asked_kind, asked_verb) != (kind, verb),
                        "{name}: {asked_verb} {asked_kind}"
                    );
                }
            }
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_denied_change_leaves_a_usage_record_and_an_audit_record() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (id, secret) =
            house.scoped(&federation, "a", Scope::of([(ResourceKind::Users, Verb::Read)])).await;
        let cx = house.client(&federation, &secret).await;
        let denied = users::create(&cx, &asked("POST", "Users"), user("mia")).await.unwrap_err();
        assert_eq!(denied.to_string(), "this key may not create users");
        let uses = ops::usage::of_key(&house.admin(), &id, 10).await.unwrap();
        assert_eq!((uses[0].status, uses[0].decision), (403, Decision::Denied));
        assert_eq!(uses[0].reason.as_deref(), Some("this key may not create users"));
        // The second record is of the finding: a verb that the key never had is a trial (A4).
        let log = house.log().await;
        assert_eq!(
            log[log.len() - 2..],
            ["user.created refused ", "finding.raised done A key tries what it may not"]
        );
        house.close().await;
    }
}

#[tokio::test]
async fn members_join_and_leave_and_a_foreign_one_is_refused() {
    for house in houses().await {
        let (federation, other) = (house.federation("okta").await, house.federation("other").await);
        let (_, secret) = house.key(&federation, "a").await;
        let (_, other_secret) = house.key(&other, "a").await;
        let cx = || house.client(&federation, &secret);
        let post = asked("POST", "Users");
        let mia = users::create(&cx().await, &post, user("mia")).await.unwrap();
        let tom = users::create(&cx().await, &post, user("tom")).await.unwrap();
        let foreign =
            users::create(&house.client(&other, &other_secret).await, &post, user("eve")).await.unwrap();

        let group = resource(
            ResourceType::Group,
            json!({ "displayName": "Finance", "members": [{ "value": mia.id }] }),
        );
        let made =
            groups::create(&cx().await, &asked("POST", "Groups"), group, Shown::Members).await.unwrap();
        assert_eq!(made.members.len(), 1);
        let id = made.id.as_str();
        let add = patch(json!([{ "op": "add", "path": "members", "value": [{ "value": tom.id }] }]));
        let joined =
            groups::patch(&cx().await, &asked("PATCH", "Groups"), id, None, add.clone(), Shown::Members)
                .await
                .unwrap()
                .group()
                .unwrap();
        assert_eq!((joined.version, joined.members.len()), (2, 2));
        let again = groups::patch(&cx().await, &asked("PATCH", "Groups"), id, None, add, Shown::Members)
            .await
            .unwrap()
            .group()
            .unwrap();
        assert_eq!(again.version, 2, "nobody joined");
        let seen = users::get(&cx().await, &asked("GET", "Users"), tom.id.as_str()).await.unwrap();
        assert_eq!(seen.groups.iter().map(|group| group.value.as_str()).collect::<Vec<_>>(), [id]);

        for stranger in [foreign.id.to_string(), "nobody".to_owned()] {
            let add = patch(json!([{ "op": "add", "path": "members", "value": [{ "value": stranger }] }]));
            let refused =
                groups::patch(&cx().await, &asked("PATCH", "Groups"), id, None, add, Shown::Members)
                    .await
                    .unwrap_err();
            assert_eq!(status(&refused), 400, "{refused}");
        }
        let entra = patch(json!([{ "op": "Remove", "path": "members", "value": [{ "value": mia.id }] }]));
        let left = groups::patch(&cx().await, &asked("PATCH", "Groups"), id, None, entra, Shown::Members)
            .await
            .unwrap()
            .group()
            .unwrap();
        assert_eq!(
            left.members.iter().map(|member| member.value.as_str()).collect::<Vec<_>>(),
            [tom.id.as_str()]
        );
        users::delete(&cx().await, &asked("DELETE", "Users"), tom.id.as_str(), None).await.unwrap();
        assert!(groups::get(&cx().await, &asked("GET", "Groups"), id).await.unwrap().members.is_empty());
        groups::delete(&cx().await, &asked("DELETE", "Groups"), id, None).await.unwrap();
        assert_eq!(status(&groups::get(&cx().await, &asked("GET", "Groups"), id).await.unwrap_err()), 404);
        house.close().await;
    }
}

#[tokio::test]
async fn many_writers_of_one_group_lose_nothing() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "a").await;
        let group = resource(ResourceType::Group, json!({ "displayName": "All" }));
        let made = groups::create(
            &house.client(&federation, &secret).await,
            &asked("POST", "Groups"),
            group,
            Shown::Members,
        )
        .await
        .unwrap();
        let mut writers = Vec::new();
        for number in 0..40 {
            let cx = house.client(&federation, &secret).await;
            let joiner =
                users::create(&cx, &asked("POST", "Users"), user(&format!("u{number}"))).await.unwrap();
            let (cx, id) = (house.client(&federation, &secret).await, made.id.to_string());
            writers.push(tokio::spawn(async move {
                let add =
                    patch(json!([{ "op": "add", "path": "members", "value": [{ "value": joiner.id }] }]));
                groups::patch(&cx, &asked("PATCH", "Groups"), &id, None, add, Shown::Members).await.map(drop)
            }));
        }
        for writer in writers {
            writer.await.unwrap().unwrap();
        }
        let cx = house.client(&federation, &secret).await;
        let whole = groups::get(&cx, &asked("GET", "Groups"), made.id.as_str()).await.unwrap();
        assert_eq!((whole.members.len(), whole.version), (40, 41));
        house.close().await;
    }
}

#[tokio::test]
async fn what_was_revoked_or_paused_after_the_gate_changes_nothing_any_more() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "a").await;
        let passed = house.client(&federation, &secret).await;
        // Within a millisecond the order of records is chance.
        house.clock.advance(1);
        let late = house.client(&federation, &secret).await;
        ops::federations::pause(&house.admin(), &federation.slug).await.unwrap();
        let held = users::create(&passed, &asked("POST", "Users"), user("mia")).await.unwrap_err();
        assert_eq!(status(&held), 503);
        ops::federations::resume(&house.admin(), &federation.slug).await.unwrap();
        ops::keys::revoke(&house.admin(), &id, "leaked").await.unwrap();
        let refused = users::create(&late, &asked("POST", "Users"), user("mia")).await.unwrap_err();
        assert_eq!(status(&refused), 401);
        assert_eq!(ops::federations::open(&house.admin(), &federation.slug).await.unwrap().users, 0);
        let uses = ops::usage::of_key(&house.admin(), &id, 10).await.unwrap();
        let decisions: Vec<Decision> = uses.iter().map(|record| record.decision).collect();
        assert_eq!(decisions, [Decision::Refused, Decision::Denied]);
        house.close().await;
    }
}

#[tokio::test]
async fn a_deleted_user_changes_the_groups_that_it_leaves() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "a").await;
        let cx = || house.client(&federation, &secret);
        let mia = users::create(&cx().await, &asked("POST", "Users"), user("mia")).await.unwrap();
        let group = resource(
            ResourceType::Group,
            json!({ "displayName": "Staff", "members": [{ "value": mia.id }] }),
        );
        let made =
            groups::create(&cx().await, &asked("POST", "Groups"), group, Shown::Members).await.unwrap();
        house.clock.advance(1_000);
        users::delete(&cx().await, &asked("DELETE", "Users"), mia.id.as_str(), None).await.unwrap();
        let left = groups::get(&cx().await, &asked("GET", "Groups"), made.id.as_str()).await.unwrap();
        assert!(left.members.is_empty());
        assert_eq!((left.version, left.modified_ms), (2, made.modified_ms + 1_000));
        let page = ops::audit::list(&house.admin(), &Default::default(), None, 1).await.unwrap();
        assert!(page.records[0].event.detail.contains(r#""groups_left":["Staff"]"#), "{:?}", page.records[0]);
        house.close().await;
    }
}
