//! The table of statuses, and what must hold of every past.

use proptest::prelude::*;

use super::*;
use crate::ExceptionId;

const LIMITS: Limits = Limits { max_age_ms: 90 * DAY_MS, rotate_before_ms: 14 * DAY_MS };

fn key(number: u8, issued_day: i64, days: i64) -> KeyPast {
    KeyPast {
        id: KeyId::new(1, [number; 10]),
        issued_ms: issued_day * DAY_MS,
        expires_ms: (issued_day + days) * DAY_MS,
        ended_ms: None,
        successor_ms: None,
        overlap_ms: None,
        held_ms: None,
        first_used_ms: Some(issued_day * DAY_MS),
        is_successor: false,
    }
}

fn exception(key: Option<u8>, from_day: i64, to_day: i64) -> PolicyException {
    PolicyException {
        id: ExceptionId::new(1, [1; 10]),
        federation_id: FederationId::new(1, [1; 10]),
        key_id: key.map(|number| KeyId::new(1, [number; 10])),
        owner: "legal".to_owned(),
        reason: "contract".to_owned(),
        made_by: "a".to_owned(),
        made_ms: from_day * DAY_MS,
        ends_ms: to_day * DAY_MS,
        ended_ms: None,
        ended_by: None,
    }
}

#[track_caller]
fn check(keys: &[KeyPast], exceptions: &[PolicyException], day: i64, expect: Status) {
    assert_eq!(assess(keys, exceptions, LIMITS, day * DAY_MS).status, expect, "on day {day} of {keys:?}");
}

#[test]
fn a_first_key_goes_from_never_rotated_over_due_to_overdue() {
    let keys = [key(1, 10, 90)];
    check(&keys, &[], 9, Status::NoKeys);
    check(&keys, &[], 10, Status::NeverRotated);
    check(&keys, &[], 85, Status::NeverRotated);
    check(&keys, &[], 86, Status::Due);
    check(&keys, &[], 99, Status::Due);
    // It has ended, was in use, and nothing replaces it.
    check(&keys, &[], 100, Status::Overdue);
    check(&keys, &[], 129, Status::Overdue);
    check(&keys, &[], 130, Status::NoKeys);
}

#[test]
fn a_key_that_nobody_used_cuts_nobody_off_when_it_ends() {
    let keys = [KeyPast { first_used_ms: None, ..key(1, 0, 90) }];
    check(&keys, &[], 89, Status::Due);
    check(&keys, &[], 90, Status::NoKeys);
}

#[test]
fn a_policy_that_became_stricter_makes_accepted_keys_overdue() {
    let keys = [key(1, 0, 365)];
    check(&keys, &[], 89, Status::Due);
    check(&keys, &[], 90, Status::Overdue);
    let assessed = assess(&keys, &[], LIMITS, 100 * DAY_MS);
    assert_eq!((assessed.accepted, assessed.oldest_ms), (1, Some(0)));
    assert_eq!(assessed.limit_ms, Some(90 * DAY_MS));
}

#[test]
fn a_rotation_brings_a_due_key_back_inside_and_an_overlap_that_goes_on_does_not_last_for_ever() {
    let old = KeyPast { successor_ms: Some(80 * DAY_MS), overlap_ms: Some(80 * DAY_MS), ..key(1, 0, 90) };
    let new = KeyPast { is_successor: true, ..key(2, 80, 90) };
    let keys = [old.clone(), new.clone()];
    check(&keys, &[], 79, Status::Due);
    check(&keys, &[], 80, Status::InPolicy);
    check(&keys, &[], 89, Status::InPolicy);
    // The overlap keeps it accepted; that does not make it younger.
    check(&keys, &[], 90, Status::Overdue);
    let retired = [KeyPast { ended_ms: Some(85 * DAY_MS), ..old.clone() }, new.clone()];
    check(&retired, &[], 90, Status::InPolicy);
    // A successor that came after the end of the old key.
    let late = [
        KeyPast { successor_ms: Some(95 * DAY_MS), ..key(1, 0, 90) },
        KeyPast { is_successor: true, ..key(2, 95, 90) },
    ];
    check(&late, &[], 94, Status::Overdue);
    check(&late, &[], 95, Status::InPolicy);
}

#[test]
fn what_ended_at_once_is_no_longer_held_against_anybody() {
    let revoked = KeyPast { ended_ms: Some(50 * DAY_MS), ..key(1, 0, 90) };
    check(std::slice::from_ref(&revoked), &[], 49, Status::NeverRotated);
    check(std::slice::from_ref(&revoked), &[], 50, Status::NoKeys);
    check(&[revoked], &[], 95, Status::NoKeys);
    let held = KeyPast { held_ms: Some(60 * DAY_MS), ..key(1, 0, 90) };
    // Held it stays accepted beyond its time, and too old.
    check(&[held], &[], 150, Status::Overdue);
}

#[test]
fn an_exception_keeps_what_would_be_due_or_overdue_and_nothing_else() {
    let keys = [key(1, 0, 365)];
    let kept = [exception(None, 50, 200)];
    check(&keys, &kept, 60, Status::NeverRotated);
    check(&keys, &kept, 80, Status::Excepted);
    check(&keys, &kept, 100, Status::Excepted);
    assert_eq!(assess(&keys, &kept, LIMITS, 100 * DAY_MS).excepted_until_ms, Some(200 * DAY_MS));
    check(&keys, &kept, 200, Status::Overdue);
    check(&keys, &[exception(None, 101, 200)], 100, Status::Overdue);
    check(&keys, &[exception(Some(2), 50, 200)], 100, Status::Overdue);
    check(&keys, &[exception(Some(1), 50, 200)], 100, Status::Excepted);
    let ended = PolicyException { ended_ms: Some(90 * DAY_MS), ..exception(None, 50, 200) };
    check(&keys, std::slice::from_ref(&ended), 89, Status::Excepted);
    check(&keys, &[ended], 90, Status::Overdue);
    // One key of two.
    let two = [key(1, 0, 365), key(2, 0, 365)];
    check(&two, &[exception(Some(1), 50, 200)], 100, Status::Overdue);
    check(&two, &[exception(Some(1), 50, 200), exception(Some(2), 50, 150)], 100, Status::Excepted);
    let both = [exception(Some(1), 50, 200), exception(Some(2), 50, 150)];
    assert_eq!(assess(&two, &both, LIMITS, 100 * DAY_MS).excepted_until_ms, Some(150 * DAY_MS));
}

#[test]
fn every_status_has_its_word_and_its_place() {
    for status in Status::ALL {
        assert_eq!(Status::parse(status.as_str()), Some(status));
        assert!(!status.is_inside() || status.is_counted());
    }
    assert!(Status::ALL.is_sorted());
    assert_eq!(Status::parse("fine"), None);
    let inside: Vec<&str> =
        Status::ALL.into_iter().filter(|status| status.is_inside()).map(Status::as_str).collect();
    assert_eq!(inside, ["due", "never-rotated", "in-policy"]);
}

#[test]
fn the_verdict_counts_what_can_be_counted() {
    let verdict = |inside, excepted, of| Counted { inside, excepted, of }.verdict();
    assert_eq!(verdict(41, 0, 43), "41 of 43 federations inside policy");
    assert_eq!(verdict(41, 2, 43), "41 of 43 federations inside policy, 2 outside by exception");
    assert_eq!(verdict(0, 1, 1), "0 of 1 federation inside policy, 1 outside by exception");
    assert_eq!(verdict(0, 0, 0), "No federation has a key to be held against a policy");
    assert_eq!(Counted { inside: 999, excepted: 0, of: 1000 }.percent(), Some(99), "99.9 is not all");
    assert_eq!(Counted::default().percent(), None);
}

fn past(keys: Vec<KeyPast>) -> Past {
    Past {
        id: FederationId::new(1, [1; 10]),
        created_ms: 0,
        archived_ms: None,
        keys,
        exceptions: Vec::new(),
        limits: LIMITS,
        before: Vec::new(),
    }
}

#[test]
fn the_trend_goes_back_a_year_and_has_no_number_where_there_is_no_record() {
    let now_ms = Period::parse("2026-11").unwrap().from_ms + 10 * DAY_MS;
    let issued_day = Period::parse("2026-06").unwrap().from_ms / DAY_MS;
    let points = trend(&[past(vec![key(1, issued_day, 365)])], now_ms);
    let told: Vec<(&str, i64, i64)> =
        points.iter().map(|point| (point.month.as_str(), point.counted.inside, point.counted.of)).collect();
    let expect = [
        ("2025-12", 0, 0),
        ("2026-01", 0, 0),
        ("2026-02", 0, 0),
        ("2026-03", 0, 0),
        ("2026-04", 0, 0),
        ("2026-05", 0, 0),
        ("2026-06", 1, 1),
        ("2026-07", 1, 1),
        ("2026-08", 0, 1),
        ("2026-09", 0, 1),
        ("2026-10", 0, 1),
        ("2026-11", 0, 1),
    ];
    assert_eq!(told, expect);
    assert_eq!(points.last().map(|point| point.at_ms), Some(now_ms));
    assert_eq!(known_since_ms(&[past(vec![key(1, issued_day, 365)])]), Some(issued_day * DAY_MS));
}

#[test]
fn each_month_is_held_against_the_policy_of_its_time() {
    let mut one = past(vec![key(1, 0, 365)]);
    // 180 days until day 120, then 90.
    one.before = vec![(120 * DAY_MS, 180 * DAY_MS)];
    let status = |one: &Past, day: i64| one.at(day * DAY_MS).map(|assessed| assessed.status);
    assert_eq!(status(&one, 100), Some(Status::NeverRotated));
    assert_eq!(status(&one, 119), Some(Status::NeverRotated));
    assert_eq!(status(&one, 120), Some(Status::Overdue));
    one.archived_ms = Some(200 * DAY_MS);
    assert_eq!((status(&one, 199), status(&one, 200)), (Some(Status::Overdue), None));
    one.created_ms = 5 * DAY_MS;
    assert_eq!(status(&one, 4), None);
}

fn any_key() -> impl Strategy<Value = KeyPast> {
    let moment = || proptest::option::of(0..400_i64);
    (0..4_u8, 0..300_i64, 1..365_i64, moment(), moment(), any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(number, issued, days, ended, successor, overlaps, used, is_successor)| {
            let later = |moment: Option<i64>| moment.map(|day| (issued + day) * DAY_MS);
            let successor_ms = later(successor);
            KeyPast {
                ended_ms: later(ended),
                successor_ms,
                overlap_ms: successor_ms.filter(|_| overlaps),
                first_used_ms: used.then_some(issued * DAY_MS),
                is_successor,
                ..key(number, issued, days)
            }
        })
}

proptest! {
    /// The rules again, said the long way round.
    #[test]
    fn the_status_is_what_the_rules_say(
        keys in proptest::collection::vec(any_key(), 0..5),
        promises in proptest::collection::vec((proptest::option::of(0..4_u8), 0..300_i64, 1..200_i64), 0..3),
        day in 0..700_i64,
    ) {
        let exceptions: Vec<PolicyException> =
            promises.iter().map(|(key, from, days)| exception(*key, *from, from + days)).collect();
        let at_ms = day * DAY_MS;
        let is_kept = |key: &KeyPast| exceptions.iter().any(|one| {
            (one.key_id.is_none() || one.key_id.as_ref() == Some(&key.id))
                && (one.made_ms..one.ends_ms).contains(&at_ms)
        });
        let has = |moment: Option<Millis>| moment.is_some_and(|moment| moment <= at_ms);
        let there: Vec<&KeyPast> =
            keys.iter().filter(|key| key.issued_ms <= at_ms && !has(key.ended_ms)).collect();
        let accepted = |key: &KeyPast| at_ms < key.expires_ms || has(key.overlap_ms);
        let cut_off = |key: &KeyPast| !accepted(key) && has(key.first_used_ms) && !has(key.successor_ms)
            && at_ms < key.expires_ms + 30 * DAY_MS;
        let too_old = |key: &KeyPast| cut_off(key)
            || accepted(key) && (at_ms >= key.issued_ms + 90 * DAY_MS || at_ms >= key.expires_ms);
        let is_due = |key: &KeyPast| accepted(key) && !too_old(key) && !has(key.successor_ms)
            && at_ms >= key.expires_ms.min(key.issued_ms + 90 * DAY_MS) - 14 * DAY_MS;
        let expect = if there.iter().any(|key| too_old(key) && !is_kept(key)) {
            Status::Overdue
        } else if there.iter().any(|key| is_due(key) && !is_kept(key)) {
            Status::Due
        } else if there.iter().any(|key| too_old(key) || is_due(key)) {
            Status::Excepted
        } else if !there.iter().any(|key| accepted(key) || cut_off(key)) {
            Status::NoKeys
        } else if keys.iter().any(|key| key.is_successor && key.issued_ms <= at_ms) {
            Status::InPolicy
        } else {
            Status::NeverRotated
        };
        let assessed = assess(&keys, &exceptions, LIMITS, at_ms);
        prop_assert_eq!(assessed.status, expect);
        prop_assert_eq!(assessed.accepted, there.iter().filter(|key| accepted(key)).count());
    }

    #[test]
    fn the_last_point_of_the_trend_is_the_verdict_of_now(
        of in proptest::collection::vec(proptest::collection::vec(any_key(), 0..4), 0..6),
        day in 400..700_i64,
    ) {
        let pasts: Vec<Past> = of.into_iter().map(past).collect();
        let mut counted = Counted::default();
        for past in &pasts {
            counted.add(assess(&past.keys, &[], LIMITS, day * DAY_MS).status);
        }
        let points = trend(&pasts, day * DAY_MS);
        prop_assert_eq!(points.len(), TREND_MONTHS);
        prop_assert_eq!(points.last().map(|point| point.counted), Some(counted));
        prop_assert!(points.iter().all(|point| point.counted.inside + point.counted.excepted <= point.counted.of));
    }
}
