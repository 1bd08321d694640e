//! Whose turn it is to be rotated, what a person's word stops, and what an end cuts short.

use domain::{
    DAY_MS, HOUR_MS, KeyId, Secret,
    admins::Role,
    federations::{Federation, RotationPolicy},
    findings::Rule,
    keys::KeyState,
    rotations::{
        Stage, Step,
        policy::{RotationDefaults, RotationRules},
    },
};
use ops::{
    Error,
    compromise::{self, Compromise, Stop},
    federations, findings,
    policies::{self, EditPolicy, NewException, Proposal},
    rotations::{self, BoardFilter},
};

use crate::{
    rotations::{automatic, raised, rotated, round, rules, seen, set_policy, state, work},
    support::{House, houses},
};

/// A federation with a key that was used.
async fn used(house: &House, slug: &str) -> (Federation, KeyId, Secret) {
    let federation = house.federation(slug).await;
    let (id, secret) = house.key(&federation, slug).await;
    work(house, &federation, &secret).await.unwrap();
    house.clock.advance(1_000);
    (federation, id, secret)
}

async fn most_open(house: &House, max_open_per_vendor: i64) {
    let (defaults, version) = policies::defaults(&house.admin()).await.unwrap();
    let defaults = RotationDefaults { max_open_per_vendor, ..defaults };
    policies::edit_defaults(&house.admin(), version, defaults).await.unwrap();
}

/// The keys whose rotation has begun and not ended.
async fn under_way(house: &House) -> Vec<String> {
    let board = rotations::board(&house.admin(), &BoardFilter::default()).await.unwrap();
    let mut names: Vec<String> = board.open.into_iter().map(|view| view.old.name).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn what_has_stalled_takes_no_place_and_a_key_near_its_end_needs_none() {
    for house in houses().await {
        let (aa, ..) = used(&house, "aa").await;
        let (bb, ..) = used(&house, "bb").await;
        let (cc, ..) = used(&house, "cc").await;
        house.clock.advance(77 * DAY_MS);
        most_open(&house, 1).await;
        for federation in [&aa, &cc] {
            rules(&house, federation, automatic()).await;
        }
        // The overlap of bb lasts until after the end of cc.
        let long = RotationPolicy { overlap_hours: 720, ..RotationPolicy::default() };
        set_policy(&house, &bb, long, automatic()).await.unwrap();
        assert_eq!(round(&house).await.begun, 1);
        house.clock.advance(10_000);
        assert_eq!(round(&house).await.begun, 0, "the place is taken");
        assert_eq!(under_way(&house).await, ["aa"]);
        house.clock.advance(73 * HOUR_MS);
        round(&house).await;
        house.clock.advance(10_000);
        round(&house).await;
        assert_eq!(under_way(&house).await, ["aa", "bb"], "aa has stalled");
        // 80, 81 and 82 days after they were issued; at 83 the last week of cc has begun.
        for _ in 0..2 {
            house.clock.advance(DAY_MS);
            assert_eq!(round(&house).await.begun, 0);
        }
        house.clock.advance(DAY_MS);
        assert_eq!(round(&house).await.begun, 1);
        assert_eq!(under_way(&house).await, ["aa", "bb", "cc"]);
        house.close().await;
    }
}

#[tokio::test]
async fn what_cannot_begin_leaves_its_place_to_the_next() {
    for house in houses().await {
        let (aa, ..) = used(&house, "aa").await;
        let (bb, ..) = used(&house, "bb").await;
        let (zz, id, _) = used(&house, "zz").await;
        house.clock.advance(77 * DAY_MS);
        most_open(&house, 1).await;
        rotated(&house, &id).await;
        rules(&house, &aa, RotationRules { pair: Some(zz.slug.clone()), ..automatic() }).await;
        rules(&house, &bb, automatic()).await;
        assert_eq!(round(&house).await.begun, 1);
        assert_eq!(under_way(&house).await, ["bb", "zz"], "aa is due first, and zz has its turn");
        house.close().await;
    }
}

#[tokio::test]
async fn a_half_of_a_pair_waits_for_the_one_that_named_it_until_its_own_end_is_near() {
    for house in houses().await {
        let (aa, ..) = used(&house, "aa").await;
        house.clock.advance(DAY_MS);
        let (bb, ..) = used(&house, "bb").await;
        house.clock.advance(75 * DAY_MS + 12 * HOUR_MS);
        rules(&house, &aa, RotationRules { pair: Some(bb.slug.clone()), ..automatic() }).await;
        rules(&house, &bb, automatic()).await;
        assert_eq!(round(&house).await.begun, 1);
        // From the next day on bb is due as well; the rotation of aa gets nowhere. 83 and a half days.
        for _ in 0..7 {
            house.clock.advance(DAY_MS);
            assert_eq!(round(&house).await.begun, 0);
        }
        assert_eq!(under_way(&house).await, ["aa"]);
        house.clock.advance(DAY_MS);
        assert_eq!(round(&house).await.begun, 1, "it would end unrotated");
        assert_eq!(under_way(&house).await, ["aa", "bb"]);
        house.close().await;
    }
}

#[tokio::test]
async fn what_a_person_rolled_back_is_left_alone_until_an_exception_has_ended_or_the_end_is_near() {
    for house in houses().await {
        let admin = house.admin();
        let (federation, old, _) = used(&house, "okta").await;
        house.clock.advance(77 * DAY_MS);
        rules(&house, &federation, automatic()).await;
        assert_eq!(round(&house).await.begun, 1);
        let roll_back = async || {
            let id = seen(&house, &old).await.rotation.id;
            rotations::roll_back(&admin, &id, "the consumer is not ready").await.unwrap();
        };
        roll_back().await;
        for _ in 0..3 {
            house.clock.advance(10_000);
            assert_eq!(round(&house).await.begun, 0, "a person's word is not undone");
        }
        let exception = NewException {
            key_id: Some(old.clone()),
            owner: "Mia".to_owned(),
            reason: "the consumer is moved first".to_owned(),
            ends_ms: ops::Clock::now_ms(&*house.clock) + DAY_MS,
        };
        policies::except(&admin, &federation.slug, exception).await.unwrap();
        house.clock.advance(12 * HOUR_MS);
        assert_eq!(round(&house).await.begun, 0);
        house.clock.advance(13 * HOUR_MS);
        assert_eq!(round(&house).await.begun, 1, "the exception is over");
        house.clock.advance(HOUR_MS);
        roll_back().await;
        // 78 days and a bit: nobody says anything, and the key must not end.
        for _ in 0..4 {
            house.clock.advance(DAY_MS);
            assert_eq!(round(&house).await.begun, 0);
        }
        house.clock.advance(DAY_MS);
        assert_eq!(round(&house).await.begun, 1);
        house.close().await;
    }
}

#[tokio::test]
async fn a_federation_that_is_archived_leaves_no_rotation_under_way() {
    for house in houses().await {
        let admin = house.admin();
        let federation = house.federation("okta").await;
        let mut turned = Vec::new();
        for (name, is_proven, is_held) in [
            ("proven", true, false),
            ("held", true, true),
            ("issued", false, false),
            ("stopped", false, true),
        ] {
            let (old, _) = house.key(&federation, name).await;
            let (new, secret) = rotated(&house, &old).await;
            if is_proven {
                work(&house, &federation, &secret).await.unwrap();
                round(&house).await;
            }
            let id = seen(&house, &old).await.rotation.id;
            if is_held {
                rotations::hold(&admin, &id, "a freeze").await.unwrap();
            }
            turned.push((id, new, is_proven));
        }
        federations::archive(&admin, &federation.slug).await.unwrap();
        for (id, new, is_proven) in turned {
            let rotation = rotations::open(&admin, &id).await.unwrap().rotation;
            let (stage, expect) = if is_proven {
                (Stage::Retired, KeyState::InUse)
            } else {
                (Stage::RolledBack, KeyState::Revoked)
            };
            assert_eq!((rotation.stage, state(&house, &new).await), (stage, expect));
            assert!(rotation.ended_ms.is_some());
        }
        assert!(under_way(&house).await.is_empty());
        house.clock.advance(1_000);
        let after = round(&house).await;
        assert_eq!((after.looked_at, after.failed), (0, 0));
        house.close().await;
    }
}

#[tokio::test]
async fn a_key_beyond_its_time_without_a_successor_is_a_finding() {
    for house in houses().await {
        let (_, old, _) = used(&house, "okta").await;
        house.clock.advance(89 * DAY_MS);
        rotated(&house, &old).await;
        house.clock.advance(2 * DAY_MS);
        findings::sweep(&house.keyward).await.unwrap();
        assert!(raised(&house, Rule::OverAge).await.is_empty(), "its successor is under way");
        let id = seen(&house, &old).await.rotation.id;
        rotations::roll_back(&house.admin(), &id, "a mistake").await.unwrap();
        assert_eq!(state(&house, &old).await, KeyState::Retiring, "nobody is cut off");
        findings::sweep(&house.keyward).await.unwrap();
        let found = raised(&house, Rule::OverAge).await;
        assert_eq!(found.len(), 1);
        assert!(found[0].detail.came.contains("beyond its own end"), "{:?}", found[0].detail);
        house.close().await;
    }
}

#[tokio::test]
async fn a_policy_that_would_retire_most_old_keys_at_once_is_refused_whatever_else_is_open() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let mut secrets = Vec::new();
        for name in ["a", "b", "c"] {
            let (id, _) = house.key(&federation, name).await;
            secrets.push(rotated(&house, &id).await.1);
        }
        let (unproven, _) = house.key(&federation, "d").await;
        rotated(&house, &unproven).await;
        for secret in &secrets {
            work(&house, &federation, secret).await.unwrap();
        }
        round(&house).await;
        for _ in 0..24 {
            house.clock.advance(HOUR_MS);
            round(&house).await;
        }
        let hasty = RotationRules {
            silence_cycles: Some(1),
            least_silence_minutes: Some(1),
            ..RotationRules::default()
        };
        let refused = set_policy(&house, &federation, RotationPolicy::default(), hasty).await;
        let Err(Error::Conflict(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains("all 3 old keys"), "{text}");
        house.close().await;
    }
}

#[tokio::test]
async fn what_ends_elsewhere_takes_no_place_on_the_board_of_an_operator() {
    for house in houses().await {
        let admin = house.admin();
        let (own, id, _) = used(&house, "own").await;
        let (_, other, _) = used(&house, "other").await;
        for (key, times) in [(&id, 1), (&other, 101)] {
            for _ in 0..times {
                rotated(&house, key).await;
                let rotation = rotations::of_key(&admin, key).await.unwrap().unwrap().rotation;
                rotations::roll_back(&admin, &rotation.id, "a mistake").await.unwrap();
                house.clock.advance(1_000);
            }
        }
        let operator = house.person(Role::Operator(vec![own.slug.clone()]));
        let board = rotations::board(&operator, &BoardFilter::default()).await.unwrap();
        assert_eq!(board.ended.iter().map(|view| view.old.id.clone()).collect::<Vec<_>>(), [id]);
        assert_eq!(rotations::board(&admin, &BoardFilter::default()).await.unwrap().ended.len(), 100);
        house.close().await;
    }
}

#[tokio::test]
async fn a_pair_does_not_tell_whether_a_federation_is_there_that_may_not_be_seen() {
    for house in houses().await {
        let (own, foreign) = (house.federation("own").await, house.federation("foreign").await);
        let operator = house.person(Role::Operator(vec![own.slug.clone()]));
        let propose = |pair: &domain::federations::Slug| {
            let rules = RotationRules { pair: Some(pair.clone()), ..RotationRules::default() };
            let edit = EditPolicy { version: own.version, policy: RotationPolicy::default(), rules };
            Proposal::Federation(own.slug.clone(), edit)
        };
        let absent = domain::federations::Slug::parse("absent").unwrap();
        let told = |answer: Result<policies::Preview, Error>| match answer {
            Err(Error::Invalid(faults)) => faults[0].message.replace("absent", "foreign"),
            other => panic!("{other:?}"),
        };
        let of_absent = told(policies::preview(&operator, &propose(&absent)).await);
        assert_eq!(told(policies::preview(&operator, &propose(&foreign.slug)).await), of_absent);
        assert!(policies::preview(&house.admin(), &propose(&foreign.slug)).await.is_ok());
        // What an admin has set there already stays.
        let paired = RotationRules { pair: Some(foreign.slug.clone()), ..RotationRules::default() };
        rules(&house, &own, paired).await;
        assert!(policies::preview(&operator, &propose(&foreign.slug)).await.is_ok());
        house.close().await;
    }
}

#[tokio::test]
async fn a_compromise_while_both_keys_are_in_use_cuts_off_nobody_who_has_the_other_one() {
    for house in houses().await {
        let admin = house.admin();
        let report =
            || Compromise { stop: Stop::Hold, reason: "found in a wiki".to_owned(), leaked_ms: None };
        let (federation, old, old_secret) = used(&house, "old").await;
        let (new, secret) = rotated(&house, &old).await;
        work(&house, &federation, &secret).await.unwrap();
        work(&house, &federation, &old_secret).await.unwrap();
        round(&house).await;
        compromise::report(&admin, &old, report()).await.unwrap();
        for _ in 0..3 {
            house.clock.advance(1_000);
            round(&house).await;
            // 503, so that what has not moved waits and tries again.
            assert_eq!(state(&house, &old).await, KeyState::Held);
        }
        assert_eq!(seen(&house, &old).await.rotation.stage, Stage::Open(Step::InUse));
        assert_eq!(state(&house, &new).await, KeyState::InUse);

        let (federation, old, old_secret) = used(&house, "new").await;
        let (new, secret) = rotated(&house, &old).await;
        work(&house, &federation, &secret).await.unwrap();
        work(&house, &federation, &old_secret).await.unwrap();
        round(&house).await;
        house.clock.advance(1_000);
        compromise::report(&admin, &new, report()).await.unwrap();
        assert_eq!(state(&house, &new).await, KeyState::Revoked);
        work(&house, &federation, &old_secret).await.unwrap();
        let again = rotations::of_key(&admin, &old).await.unwrap().unwrap();
        assert!(!again.rotation.stage.has_ended() && again.new.id != new, "the old key gets another one");
        house.close().await;
    }
}
