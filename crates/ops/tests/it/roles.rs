//! Who may do what: every operation of a person, for every role.

use domain::{
    admins::Role,
    federations::Slug,
    scopes::{ResourceKind, Scope, Verb},
};
use ops::{Error, federations::EditFederation, keys::Rotate};

use crate::support::{House, extension, houses, new_federation, new_key};

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Forbidden,
    Hidden,
}

fn answer<T>(result: Result<T, Error>) -> Answer {
    match result {
        Ok(_) => Answer::Done,
        Err(Error::Forbidden(_)) => Answer::Forbidden,
        Err(Error::NotFound(_)) => Answer::Hidden,
        Err(error) => panic!("{error}"),
    }
}

/// The answers to every operation on the federation `own`, in a fixed order.
async fn answers(house: &House, role: Role, own: &Slug, serial: &str) -> Vec<Answer> {
    let cx = house.person(role);
    let scope = Scope::of([(ResourceKind::Users, Verb::Read)]);
    let federation = ops::federations::open(&house.admin(), own).await.unwrap().federation;
    let (first, _) = house.scoped(&federation, &format!("{serial}-a"), scope.clone()).await;
    let (second, _) = house.scoped(&federation, &format!("{serial}-b"), scope.clone()).await;
    let edit = EditFederation {
        version: federation.version,
        name: format!("Name {serial}"),
        vendor: "okta".to_owned(),
        owners: "a".to_owned(),
        notes: String::new(),
        max_age_days: 90,
        overlap_hours: 72,
        warn_days: 14,
        scim: None,
    };
    vec![
        answer(ops::federations::open(&cx, own).await),
        answer(ops::keys::open(&cx, &first).await),
        answer(ops::usage::of_key(&cx, &first, 10).await),
        answer(ops::usage::of_federation(&cx, own, 10).await),
        answer(
            ops::audit::list(
                &cx,
                &ops::audit::AuditFilter { federation: Some(own.clone()), ..Default::default() },
                None,
                10,
            )
            .await,
        ),
        answer(ops::extensions::list(&cx, own).await),
        answer(ops::federations::edit(&cx, own, edit).await),
        answer(ops::extensions::register(&cx, own, extension(serial)).await),
        answer(
            ops::extensions::remove(&cx, own, &format!("urn:example:params:scim:schemas:{serial}:2.0:User"))
                .await,
        ),
        answer(ops::federations::pause(&cx, own).await),
        answer(
            if ops::federations::open(&house.admin(), own).await.unwrap().federation.status.as_str()
                == "paused"
            {
                ops::federations::resume(&cx, own).await
            } else {
                ops::federations::pause(&cx, own).await
            },
        ),
        answer(ops::keys::issue(&cx, new_key(own, &format!("{serial}-c"), scope)).await),
        answer(ops::keys::rotate(&cx, &first, Rotate::default()).await),
        answer(ops::keys::revoke(&cx, &second, "").await),
        answer(ops::federations::register(&cx, new_federation(&format!("new-{serial}"))).await),
    ]
}

#[tokio::test]
async fn every_operation_for_every_role() {
    use Answer::{Done, Forbidden, Hidden};
    for house in houses().await {
        let own = house.federation("own").await.slug;
        let operator = || Role::Operator(vec![own.clone()]);
        let stranger = || Role::Operator(vec![Slug::parse("elsewhere").unwrap()]);
        let all = |answer: fn() -> Answer, count: usize| (0..count).map(|_| answer()).collect::<Vec<_>>();

        assert_eq!(answers(&house, Role::Admin, &own, "admin").await, all(|| Done, 15));
        let mut expect = all(|| Done, 14);
        expect.push(Forbidden);
        assert_eq!(answers(&house, operator(), &own, "operator").await, expect);
        let mut expect = all(|| Done, 6);
        expect.extend(all(|| Forbidden, 9));
        assert_eq!(answers(&house, Role::Manager, &own, "manager").await, expect);
        let mut expect = all(|| Hidden, 14);
        expect.push(Forbidden);
        assert_eq!(answers(&house, stranger(), &own, "stranger").await, expect);
        house.close().await;
    }
}

#[tokio::test]
async fn refused_attempts_are_recorded_and_change_nothing() {
    for house in houses().await {
        let own = house.federation("own").await;
        let before = house.log().await.len();
        let manager = house.person(Role::Manager);
        assert_eq!(answer(ops::federations::pause(&manager, &own.slug).await), Answer::Forbidden);
        assert_eq!(
            answer(ops::federations::register(&manager, new_federation("x")).await),
            Answer::Forbidden
        );
        let log = house.log().await;
        assert_eq!(
            log[before..],
            ["federation.paused refused Federation own", "federation.registered refused Federation x"]
        );
        assert_eq!(ops::federations::open(&manager, &own.slug).await.unwrap().federation.version, 1);
        house.close().await;
    }
}

#[tokio::test]
async fn an_operator_sees_the_records_of_own_federations_only() {
    for house in houses().await {
        let own = house.federation("own").await;
        let other = house.federation("other").await;
        house.key(&own, "own-key").await;
        house.key(&other, "other-key").await;
        let operator = house.person(Role::Operator(vec![own.slug.clone()]));
        let page = ops::audit::list(&operator, &Default::default(), None, 100).await.unwrap();
        assert_eq!(page.records.len(), 2);
        assert!(page.records.iter().all(|record| record.event.federation_id.as_ref() == Some(&own.id)));
        // Record 1 is the installation, 3 the other federation.
        for seq in [1, 3] {
            assert_eq!(answer(ops::audit::open(&operator, seq).await), Answer::Hidden);
        }
        assert_eq!(ops::federations::list(&operator).await.unwrap().len(), 1);
        assert_eq!(ops::keys::list(&operator, &Default::default()).await.unwrap().len(), 1);
        assert!(ops::search::find(&operator, "other", 10).await.unwrap().is_empty());
        house.close().await;
    }
}

#[tokio::test]
async fn the_timeline_pages_without_gap_or_repeat() {
    for house in houses().await {
        for number in 0..7 {
            house.federation(&format!("f{number}")).await;
        }
        let cx = house.admin();
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = ops::audit::list(&cx, &Default::default(), before, 3).await.unwrap();
            seen.extend(page.records.iter().map(|record| record.seq));
            match page.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, [8, 7, 6, 5, 4, 3, 2, 1]);
        house.close().await;
    }
}

#[tokio::test]
async fn what_may_not_be_seen_is_hidden_and_the_attempt_is_recorded() {
    for house in houses().await {
        let federation = house.federation("own").await;
        let (id, _) = house.key(&federation, "a").await;
        let stranger = house.person(Role::Operator(vec![Slug::parse("elsewhere").unwrap()]));
        let before = house.log().await.len();
        let hidden = ops::keys::revoke(&stranger, &id, "").await.unwrap_err();
        let missing = domain::KeyId::new(1, [9; 10]);
        let missing = ops::keys::revoke(&stranger, &missing, "").await.unwrap_err();
        assert_eq!(hidden.to_string(), missing.to_string());
        let federation = ops::federations::pause(&stranger, &federation.slug).await.unwrap_err();
        assert_eq!(federation.to_string(), "there is no such federation");
        assert_eq!(
            house.log().await[before..],
            ["key.revoked refused Federation own", "federation.paused refused Federation own"]
        );
        house.close().await;
    }
}

#[tokio::test]
async fn a_refused_registration_keeps_no_text_that_no_record_should_hold() {
    for house in houses().await {
        let key = domain::keys::compose(&domain::KeyId::new(1, [1; 10]), &[1; 32]);
        let name = format!("a\0b {} {}", key.expose(), "x".repeat(10_000));
        let new = ops::federations::NewFederation { name, ..new_federation("x") };
        let refused = ops::federations::register(&house.person(Role::Manager), new).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
        let last = house.log().await.pop().unwrap();
        assert!(last.starts_with("federation.registered refused ab kwd_… xxx"), "{last}");
        assert!(last.len() < 150);
        house.close().await;
    }
}
