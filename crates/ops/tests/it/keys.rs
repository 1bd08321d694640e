//! Issuing, rotating and revoking.

use domain::{
    DAY_MS, HOUR_MS,
    federations::Slug,
    keys::KeyState,
    scopes::{ResourceKind, Scope, Verb},
};
use ops::{
    Error,
    keys::{KeyFilter, KeyView, Rotate, Sort, issue, list, open, page, revoke, rotate},
};

use crate::support::{House, houses, new_key};

fn reader() -> Scope {
    Scope::of([(ResourceKind::Users, Verb::Read)])
}

async fn accepts(house: &House, slug: &str, key: &str) -> bool {
    house.present(slug, Some(key)).await.is_ok()
}

#[tokio::test]
async fn a_rotation_accepts_both_keys_however_long_it_takes() {
    for house in houses().await {
        let cx = house.admin();
        let federation = house.federation("okta").await;
        let (old_id, old) = house.key(&federation, "okta-1").await;
        let issued = rotate(&cx, &old_id, Rotate::default()).await.unwrap();
        assert_eq!(issued.key.name, "okta-2");
        assert_eq!(issued.key.predecessor_id, Some(old_id.clone()));
        let new = issued.secret.unwrap();
        let view = open(&cx, &old_id).await.unwrap();
        assert_eq!(view.state, KeyState::Retiring);
        assert_eq!(view.key.successor_id, Some(issued.key.id.clone()));
        assert!(accepts(&house, "okta", old.expose()).await && accepts(&house, "okta", new.expose()).await);

        let again = rotate(&cx, &old_id, Rotate::default()).await.err().unwrap();
        assert!(matches!(&again, Error::Conflict(text) if text.contains(issued.key.id.as_str())), "{again}");

        // The overlap should be over, and nobody has seen the successor at work: nothing ends.
        for hours in [72, 300, 80 * 24] {
            house.clock.advance(hours * HOUR_MS);
            assert!(accepts(&house, "okta", old.expose()).await, "after {hours} hours more");
        }
        assert_eq!(open(&cx, &old_id).await.unwrap().state, KeyState::Retiring);
        assert_eq!(view.key.life.ends_ms(), domain::Millis::MAX);
        house.close().await;
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_stays_so() {
    for house in houses().await {
        let cx = house.admin();
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "okta-1").await;
        assert!(accepts(&house, "okta", secret.expose()).await);
        let revoked = revoke(&cx, &id, "leaked").await.unwrap();
        assert_eq!(revoked.revoked_by.as_deref(), Some("The admin"));
        assert!(!accepts(&house, "okta", secret.expose()).await);
        let again = revoke(&cx, &id, "").await;
        assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
        let rotated = rotate(&cx, &id, Rotate::default()).await.err();
        assert!(matches!(rotated, Some(Error::Conflict(_))), "{rotated:?}");
        house.close().await;
    }
}

#[tokio::test]
async fn an_expired_key_is_refused_and_can_be_rotated() {
    for house in houses().await {
        let cx = house.admin();
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "okta-1").await;
        house.clock.advance(90 * DAY_MS);
        assert!(!accepts(&house, "okta", secret.expose()).await);
        let issued = rotate(&cx, &id, Rotate::default()).await.unwrap();
        assert!(accepts(&house, "okta", issued.secret.unwrap().expose()).await);
        assert!(!accepts(&house, "okta", secret.expose()).await);
        assert_eq!(open(&cx, &id).await.unwrap().state, KeyState::Expired);
        house.close().await;
    }
}

#[tokio::test]
async fn a_repeated_request_makes_one_key_and_shows_its_secret_once() {
    for house in houses().await {
        let cx = house.admin();
        let federation = house.federation("okta").await;
        let mut new = new_key(&federation.slug, "okta-1", reader());
        new.idempotency_token = "token".to_owned();
        let first = issue(&cx, new.clone()).await.unwrap();
        let second = issue(&cx, new.clone()).await.unwrap();
        assert_eq!(first.key.id, second.key.id);
        assert!(first.secret.is_some() && second.secret.is_none());
        let other = ops::keys::NewKey { name: "okta-2".to_owned(), ..new };
        assert!(matches!(issue(&cx, other).await.err(), Some(Error::Conflict(_))));

        let turn = Rotate { idempotency_token: "turn".to_owned(), ..Rotate::default() };
        let first = rotate(&cx, &first.key.id, turn.clone())
            .await
            .map(|issued| (issued.key.id, issued.secret.is_some()));
        let second =
            rotate(&cx, &second.key.id, turn).await.map(|issued| (issued.key.id, issued.secret.is_some()));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.0, second.0);
        assert_eq!((first.1, second.1), (true, false));
        assert_eq!(list(&cx, &KeyFilter::default()).await.unwrap().len(), 2);
        house.close().await;
    }
}

#[tokio::test]
async fn eight_callers_rotate_one_key_and_one_wins() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (id, _secret) = house.key(&federation, "okta-1").await;
        let callers = (0..8).map(|_| {
            let (cx, id) = (house.admin(), id.clone());
            tokio::spawn(async move { rotate(&cx, &id, Rotate::default()).await.map(drop) })
        });
        let mut won = 0;
        for caller in callers.collect::<Vec<_>>() {
            match caller.await.unwrap() {
                Ok(()) => won += 1,
                Err(Error::Conflict(_) | Error::Stale(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(won, 1);
        assert_eq!(list(&house.admin(), &KeyFilter::default()).await.unwrap().len(), 2);
        house.close().await;
    }
}

#[tokio::test]
async fn bad_input_names_every_field_and_issues_nothing() {
    for house in houses().await {
        let cx = house.admin();
        let federation = house.federation("okta").await;
        let mut new = new_key(&federation.slug, " ", Scope::full_directory());
        new.lifetime_days = 91;
        new.justification = "short".to_owned();
        let Some(Error::Invalid(faults)) = issue(&cx, new).await.err() else { panic!("it was issued") };
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["name", "lifetime_days", "justification"]);
        let nothing = issue(&cx, new_key(&federation.slug, "a", Scope::of([]))).await.err();
        assert!(matches!(nothing, Some(Error::Invalid(_))), "{nothing:?}");
        let nowhere = issue(&cx, new_key(&Slug::parse("nowhere").unwrap(), "a", reader())).await.err();
        assert!(matches!(nowhere, Some(Error::NotFound(_))), "{nowhere:?}");
        assert!(list(&cx, &KeyFilter::default()).await.unwrap().is_empty());
        house.close().await;
    }
}

#[tokio::test]
async fn a_name_is_free_again_when_its_key_has_ended() {
    for house in houses().await {
        let cx = house.admin();
        let federation = house.federation("okta").await;
        let (id, _) = house.key(&federation, "okta").await;
        let taken = issue(&cx, new_key(&federation.slug, "OKTA", reader())).await.err();
        assert!(matches!(taken, Some(Error::Conflict(_))), "{taken:?}");
        revoke(&cx, &id, "").await.unwrap();
        let mut short = new_key(&federation.slug, "okta", reader());
        short.lifetime_days = 1;
        issue(&cx, short).await.unwrap();
        house.clock.advance(DAY_MS);
        issue(&cx, new_key(&federation.slug, "okta", reader())).await.unwrap();
        house.close().await;
    }
}

#[tokio::test]
async fn what_needs_attention_comes_first() {
    for house in houses().await {
        let cx = house.admin();
        let federation = house.federation("okta").await;
        for (name, days) in [("long", 90), ("soon", 10), ("gone", 1)] {
            let mut new = new_key(&federation.slug, name, reader());
            new.lifetime_days = days;
            issue(&cx, new).await.unwrap();
        }
        let (ended, _) = house.key(&federation, "ended").await;
        revoke(&cx, &ended, "").await.unwrap();
        house.clock.advance(DAY_MS);
        let names = |filter: KeyFilter| {
            let cx = cx.clone();
            async move {
                list(&cx, &filter).await.unwrap().into_iter().map(|view| view.key.name).collect::<Vec<_>>()
            }
        };
        assert_eq!(names(KeyFilter::default()).await, ["gone", "soon", "long", "ended"]);
        assert_eq!(names(KeyFilter { accepted_only: true, ..KeyFilter::default() }).await, ["soon", "long"]);
        assert_eq!(names(KeyFilter { text: Some("LON".to_owned()), ..KeyFilter::default() }).await, ["long"]);
        house.close().await;
    }
}

#[tokio::test]
async fn every_key_is_on_one_page_of_each_order_and_the_filter_counts_the_same() {
    for house in houses().await {
        let cx = house.admin();
        let (okta, entra) = (house.federation("okta").await, house.federation("entra").await);
        for number in 0..23 {
            let federation = if number % 3 == 0 { &entra } else { &okta };
            let mut new = new_key(&federation.slug, &format!("key {}", number * 7 % 23), reader());
            new.lifetime_days = 1 + number % 5 * 20;
            let issued = issue(&cx, new).await.unwrap();
            if number % 6 == 0 {
                revoke(&cx, &issued.key.id, "").await.unwrap();
            }
            house.clock.advance(HOUR_MS);
        }
        house.clock.advance(DAY_MS);
        for filter in [
            KeyFilter::default(),
            KeyFilter { federation: Some(okta.slug.clone()), ..KeyFilter::default() },
            KeyFilter { state: Some(KeyState::Revoked), ..KeyFilter::default() },
            KeyFilter { accepted_only: true, text: Some("KEY 1".to_owned()), ..KeyFilter::default() },
        ] {
            let expected = list(&cx, &filter).await.unwrap();
            for sort in Sort::ALL {
                let (mut seen, mut after) = (Vec::new(), None);
                loop {
                    let found = page(&cx, &filter, sort, after.as_deref(), 4).await.unwrap();
                    assert_eq!(found.total, i64::try_from(expected.len()).unwrap());
                    let accepted = expected.iter().filter(|view| view.state.is_accepted()).count();
                    let ages: i64 = found.ages.iter().map(|(inside, beyond)| inside + beyond).sum();
                    assert_eq!(ages, i64::try_from(accepted).unwrap());
                    seen.extend(found.keys);
                    after = found.next;
                    if after.is_none() {
                        break;
                    }
                }
                let sorted = |views: &[KeyView]| {
                    let mut ids: Vec<_> = views.iter().map(|view| view.key.id.clone()).collect();
                    ids.sort();
                    ids
                };
                assert_eq!(sorted(&seen), sorted(&expected), "{sort:?} of {filter:?}");
                match sort {
                    Sort::Attention => assert!(seen.iter().map(rank).is_sorted(), "{filter:?}"),
                    Sort::Name => assert!(seen.iter().map(|view| view.key.name.to_lowercase()).is_sorted()),
                    Sort::Age | Sort::Ends | Sort::Used => {}
                }
            }
        }
        house.close().await;
    }
}

/// Where `list` has a key.
fn rank(view: &KeyView) -> (bool, bool, bool) {
    let is_over = matches!(view.state, KeyState::Revoked | KeyState::Retired);
    (is_over, view.state != KeyState::Expired, !view.ends_soon && view.state != KeyState::Expired)
}

#[tokio::test]
async fn uses_are_counted_from_requests() {
    for house in houses().await {
        let cx = house.admin();
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "okta-1").await;
        assert_eq!(open(&cx, &id).await.unwrap().state, KeyState::Unused);
        let client = house.client(&federation, &secret).await;
        for _ in 0..3 {
            let client = house.client(&federation, &secret).await;
            crate::support::listed(&client, scim::ResourceType::User, None, 10).await.unwrap();
        }
        drop(client);
        let view = open(&cx, &id).await.unwrap();
        assert_eq!((view.state, view.key.uses), (KeyState::InUse, 3));
        assert_eq!(view.key.life.first_used_ms, view.key.life.last_used_ms);
        assert_eq!(ops::usage::of_key(&cx, &id, 10).await.unwrap().len(), 3);
        house.close().await;
    }
}
