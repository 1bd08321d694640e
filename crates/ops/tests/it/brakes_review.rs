//! What is held is decided by a second person, for exactly the list that was read, once; planned work raises
//! limits and ends.

use domain::{
    CaseId, DAY_MS, HOUR_MS,
    admins::{Admin, RECENT_MS, Role},
    audit::Action,
    brakes::{HeldState, Window},
    federations::Slug,
    findings::Rule,
    scopes::Scope,
};
use ops::{
    Cx, Error,
    brakes::{self, NewMark, NewWindow, Verdict},
    cases,
    findings::{self, Wanted},
    keys,
};
use serde_json::json;
use store::testing::run_sql;

use crate::{
    brakes::{change_group, check_held, deactivate, delete, group, held, people, second, user},
    support::{House, Pusher, houses, new_key},
};

async fn verdict(cx: &Cx<Admin>, case: &str, approves: bool) -> Verdict {
    let read = brakes::of_case(cx, &CaseId::parse(case).unwrap(), 0).await.unwrap();
    let proven_ms = cx.now_ms();
    Verdict { approves, until: read.until, hash: read.hash, reason: "looked at it".to_owned(), proven_ms }
}

/// A federation whose brake holds three deletions of thirty users.
async fn three_held(pusher: &Pusher<'_>) -> (Vec<String>, String) {
    let ids = people(pusher, 30).await;
    for id in &ids[..10] {
        deactivate(&pusher.cx().await, id).await.unwrap();
    }
    let mut case = String::new();
    for id in &ids[10..13] {
        case = check_held(delete(&pusher.cx().await, id).await);
    }
    (ids, case)
}

#[tokio::test]
async fn what_a_second_person_approves_passes_once_and_nothing_else_does() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let (ids, case) = three_held(&pusher).await;
        let id = CaseId::parse(&case).unwrap();
        // The admin of the tests issued the key.
        let own = verdict(&house.admin(), &case, true).await;
        let before = house.log().await.len();
        let refused = brakes::decide(&house.admin(), &id, own.clone()).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
        assert!(house.log().await[before..][0].starts_with("held.approved refused"));
        let wanted = Wanted { rule: Some(Rule::AdminPlane), ..Wanted::default() };
        let told = findings::list(&house.admin(), &wanted).await.unwrap();
        assert!(told.iter().any(|view| view.finding.subject == "own approval"), "A20 tells it");
        assert!(brakes::of_case(&house.admin(), &id, 0).await.unwrap().blocked.is_some());
        let operator = house.person(Role::Operator(vec![pusher.federation.slug.clone()]));
        let refused = brakes::decide(&operator, &id, own.clone()).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
        let stranger = house.person(Role::Operator(vec![Slug::parse("elsewhere").unwrap()]));
        let hidden = brakes::decide(&stranger, &id, own.clone()).await;
        assert!(matches!(hidden, Err(Error::NotFound("case"))), "{hidden:?}");
        // Held after the list was read: it is not covered.
        check_held(delete(&pusher.cx().await, &ids[13]).await);
        let other = Verdict { hash: "0".repeat(64), ..own.clone() };
        let stale = brakes::decide(&second(&house), &id, other).await;
        assert!(matches!(stale, Err(Error::Stale(_))), "{stale:?}");
        let manager = house.person(Role::Manager);
        assert_eq!(brakes::decide(&manager, &id, own.clone()).await.unwrap(), 3);
        let again = brakes::decide(&second(&house), &id, own).await;
        assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
        for id in &ids[10..13] {
            delete(&pusher.cx().await, id).await.unwrap();
        }
        check_held(delete(&pusher.cx().await, &ids[13]).await);
        // What is approved is that deletion, not another change of the user, and it was done once.
        check_held(delete(&pusher.cx().await, &ids[14]).await);
        let states: Vec<HeldState> = held(&house, &case).await.iter().map(|held| held.state).collect();
        assert_eq!(
            states,
            [HeldState::Done, HeldState::Done, HeldState::Done, HeldState::Held, HeldState::Held]
        );
        // It did not count against the brake: the day is over, and ten are let through again.
        house.clock.advance(25 * HOUR_MS);
        for id in &ids[15..25] {
            deactivate(&pusher.cx().await, id).await.unwrap();
        }
        check_held(deactivate(&pusher.cx().await, &ids[25]).await);
        house.close().await;
    }
}

#[tokio::test]
async fn who_issued_a_key_does_not_approve_for_its_successors_however_many_there_were() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (first, secret) = house.key(&federation, "everything").await;
        let cx = house.client(&federation, &secret).await;
        let mut ids = Vec::new();
        for number in 0..12 {
            ids.push(user(&cx, &format!("u{number}")).await.unwrap());
        }
        // The line of a key that was rotated 24 times by somebody else.
        let (mut before, mut last) = (first, secret);
        for number in 0..24 {
            let new = new_key(&federation.slug, &format!("everything {number}"), Scope::full_directory());
            let issued = keys::issue(&second(&house), new).await.unwrap();
            let sql = format!(
                "UPDATE provisioning_keys SET predecessor_id = '{before}' WHERE id = '{}'",
                issued.key.id
            );
            run_sql(&house.database.target, sql).await;
            (before, last) = (issued.key.id, issued.secret.unwrap());
        }
        let secret = last;
        for id in &ids[..10] {
            deactivate(&house.client(&federation, &secret).await, id).await.unwrap();
        }
        let case = check_held(deactivate(&house.client(&federation, &secret).await, &ids[10]).await);
        let id = CaseId::parse(&case).unwrap();
        // The admin of the tests issued the first of them, and the second person rotated it each time.
        for person in [house.admin(), second(&house)] {
            let own = verdict(&person, &case, true).await;
            let refused = brakes::decide(&person, &id, own).await;
            assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
        }
        let manager = house.person(Role::Manager);
        assert_eq!(brakes::decide(&manager, &id, verdict(&manager, &case, true).await).await.unwrap(), 1);
        house.close().await;
    }
}

#[tokio::test]
async fn an_approval_wants_a_recent_sign_in_and_a_rejection_does_not() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let (_, case) = three_held(&pusher).await;
        let id = CaseId::parse(&case).unwrap();
        let manager = house.person(Role::Manager);
        house.clock.advance(HOUR_MS);
        for proven_ms in [0, manager.now_ms() - RECENT_MS, manager.now_ms() + HOUR_MS] {
            let old = Verdict { proven_ms, ..verdict(&manager, &case, true).await };
            let before = house.log().await.len();
            let refused = brakes::decide(&manager, &id, old).await;
            assert!(matches!(refused, Err(Error::Unauthenticated(_))), "{refused:?}");
            assert!(house.log().await[before..][0].starts_with("held.approved refused"), "it is on record");
        }
        assert!(held(&house, &case).await.iter().all(|held| held.state == HeldState::Held));
        let proven_ms = manager.now_ms() - RECENT_MS + 1;
        let fresh = Verdict { proven_ms, ..verdict(&manager, &case, true).await };
        assert_eq!(brakes::decide(&manager, &id, fresh).await.unwrap(), 3);
        let others = people_of(&pusher, 40..41).await;
        check_held(delete(&pusher.cx().await, &others[0]).await);
        let no = Verdict { proven_ms: 0, ..verdict(&manager, &case, false).await };
        assert_eq!(brakes::decide(&manager, &id, no).await.unwrap(), 1);
        house.close().await;
    }
}

/// Users of some numbers, by their ids.
async fn people_of(pusher: &Pusher<'_>, numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in numbers {
        ids.push(user(&pusher.cx().await, &format!("u{number}")).await.unwrap());
    }
    ids
}

#[tokio::test]
async fn what_was_approved_passes_once_and_is_held_when_it_comes_a_second_time() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 12).await;
        let ten = group(&pusher.cx().await, "ten", &ids[..10]).await.unwrap();
        let all = json!([{ "op": "remove", "path": "members" }]);
        let back: Vec<_> = ids[..10].iter().map(|id| json!({ "value": id })).collect();
        let back = json!([{ "op": "add", "path": "members", "value": back }]);
        let case = check_held(change_group(&pusher.cx().await, &ten, all.clone()).await);
        let approval = verdict(&second(&house), &case, true).await;
        brakes::decide(&second(&house), &CaseId::parse(&case).unwrap(), approval).await.unwrap();
        change_group(&pusher.cx().await, &ten, all.clone()).await.unwrap();
        change_group(&pusher.cx().await, &ten, back).await.unwrap();
        assert_eq!(check_held(change_group(&pusher.cx().await, &ten, all).await), case);
        house.close().await;
    }
}

#[tokio::test]
async fn what_was_rejected_is_remembered_until_its_source_stops() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let (ids, case) = three_held(&pusher).await;
        let id = CaseId::parse(&case).unwrap();
        // Whoever issued the key may say no.
        let no = verdict(&house.admin(), &case, false).await;
        assert_eq!(brakes::decide(&house.admin(), &id, no).await.unwrap(), 3);
        // The limit is free again, and it is refused all the same, each time anew for a day.
        for _ in 0..3 {
            house.clock.advance(20 * HOUR_MS);
            check_held(delete(&pusher.cx().await, &ids[10]).await);
        }
        assert_eq!(brakes::sweep(&house.keyward).await.unwrap(), 2, "the two that did not come");
        house.clock.advance(DAY_MS);
        assert_eq!(brakes::sweep(&house.keyward).await.unwrap(), 1);
        delete(&pusher.cx().await, &ids[10]).await.unwrap();
        house.close().await;
    }
}

#[tokio::test]
async fn what_nobody_decides_expires_as_rejected_after_a_day() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let (ids, case) = three_held(&pusher).await;
        let id = CaseId::parse(&case).unwrap();
        house.clock.advance(DAY_MS - 1);
        assert_eq!(brakes::sweep(&house.keyward).await.unwrap(), 0);
        let read = verdict(&second(&house), &case, true).await;
        house.clock.advance(1);
        let late = brakes::decide(&second(&house), &id, read).await;
        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        check_held(delete(&pusher.cx().await, &ids[10]).await);
        let before = house.log().await.len();
        assert_eq!(brakes::sweep(&house.keyward).await.unwrap(), 3);
        assert!(house.log().await[before..][0].starts_with("held.expired done"));
        let states: Vec<HeldState> = held(&house, &case).await.iter().map(|held| held.state).collect();
        assert_eq!(states, [HeldState::Expired, HeldState::Expired, HeldState::Expired]);
        // The case can be closed now.
        let view = cases::open(&house.admin(), &id).await.unwrap();
        cases::close(&house.admin(), &id, view.case.version, "A mistake over there.").await.unwrap();
        house.close().await;
    }
}

#[tokio::test]
async fn a_case_with_something_held_does_not_close_and_the_next_trip_opens_another() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let (ids, case) = three_held(&pusher).await;
        let id = CaseId::parse(&case).unwrap();
        let close = async || {
            let view = cases::open(&house.admin(), &id).await.unwrap();
            cases::close(&house.admin(), &id, view.case.version, "Looked into it.").await
        };
        assert!(matches!(close().await, Err(Error::Conflict(_))));
        let no = verdict(&house.admin(), &case, false).await;
        brakes::decide(&house.admin(), &id, no).await.unwrap();
        close().await.unwrap();
        assert_ne!(check_held(delete(&pusher.cx().await, &ids[20]).await), case);
        house.close().await;
    }
}

fn window(house: &House, ceiling: i64) -> NewWindow {
    let now_ms = house.admin().now_ms();
    NewWindow { ceiling, begins_ms: now_ms, ends_ms: now_ms + 2 * HOUR_MS, reason: "a lay-off".to_owned() }
}

async fn planned(house: &House, pusher: &Pusher<'_>, ceiling: i64) -> Window {
    brakes::plan(&house.admin(), &pusher.federation.slug, window(house, ceiling)).await.unwrap()
}

#[tokio::test]
async fn a_window_lets_its_ceiling_through_once_a_second_person_agrees_and_ends_by_itself() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 40).await;
        let slug = &pusher.federation.slug;
        let window = planned(&house, &pusher, 15).await;
        for id in &ids[..10] {
            deactivate(&pusher.cx().await, id).await.unwrap();
        }
        check_held(deactivate(&pusher.cx().await, &ids[39]).await);
        let own = brakes::agree(&house.admin(), slug, &window.id).await;
        assert!(matches!(own, Err(Error::Forbidden(_))), "{own:?}");
        let operator = house.person(Role::Operator(vec![slug.clone()]));
        assert!(matches!(brakes::agree(&operator, slug, &window.id).await, Err(Error::Forbidden(_))));
        brakes::agree(&house.person(Role::Manager), slug, &window.id).await.unwrap();
        for id in &ids[10..25] {
            deactivate(&pusher.cx().await, id).await.unwrap();
        }
        check_held(deactivate(&pusher.cx().await, &ids[25]).await);
        let used = brakes::overview(&house.admin(), slug).await.unwrap().windows[0].used;
        assert_eq!(used, 15);
        house.clock.advance(2 * HOUR_MS);
        // What was planned does not count afterwards; what was not counts for a day.
        check_held(deactivate(&pusher.cx().await, &ids[26]).await);
        house.clock.advance(DAY_MS);
        deactivate(&pusher.cx().await, &ids[27]).await.unwrap();
        let another = planned(&house, &pusher, 100).await;
        brakes::agree(&second(&house), slug, &another.id).await.unwrap();
        let ended = brakes::end(&operator, slug, &another.id).await.unwrap();
        assert_eq!(ended.state(house.admin().now_ms()), domain::brakes::WindowState::Ended);
        house.close().await;
    }
}

#[tokio::test]
async fn planned_work_empties_a_group_and_leaves_what_was_planned_in_the_log() {
    for house in houses().await {
        let pusher = house.pusher("okta").await;
        let ids = people(&pusher, 12).await;
        let ten = group(&pusher.cx().await, "ten", &ids[..10]).await.unwrap();
        let window = planned(&house, &pusher, 1).await;
        brakes::agree(&second(&house), &pusher.federation.slug, &window.id).await.unwrap();
        let all = json!([{ "op": "remove", "path": "members" }]);
        change_group(&pusher.cx().await, &ten, all).await.unwrap();
        let other = group(&pusher.cx().await, "other", &ids[..10]).await.unwrap();
        let all = json!([{ "op": "remove", "path": "members" }]);
        check_held(change_group(&pusher.cx().await, &other, all).await);
        let log = house.log().await;
        for words in ["window.planned done", "window.agreed done"] {
            assert!(log.iter().any(|line| line.starts_with(words)), "{log:?}");
        }
        house.close().await;
    }
}

/// A federation `braked` with everything that the steps need.
pub struct Prepared {
    slug: Slug,
    pusher: (domain::federations::Federation, domain::Secret),
    ids: Vec<String>,
    cases: [CaseId; 2],
    ten: String,
    windows: [domain::WindowId; 2],
}

/// Prepares what [`steps`] does things to.
pub async fn prepared(house: &House) -> Prepared {
    let federation = house.federation("braked").await;
    let (_, secret) = house.key(&federation, "braked-1").await;
    let pusher = house.client(&federation, &secret);
    let mut ids = vec![user(&pusher.await, "b0").await.unwrap()];
    for number in 1..12 {
        let cx = house.client(&federation, &secret).await;
        ids.push(user(&cx, &format!("b{number}")).await.unwrap());
    }
    let cx = || house.client(&federation, &secret);
    let ten = group(&cx().await, "ten", &ids[..10]).await.unwrap();
    for id in &ids[..10] {
        deactivate(&cx().await, id).await.unwrap();
    }
    let removals = check_held(deactivate(&cx().await, &ids[10]).await);
    let all = json!([{ "op": "remove", "path": "members" }]);
    let emptied = check_held(change_group(&cx().await, &ten, all).await);
    let plan = async || brakes::plan(&house.admin(), &federation.slug, window(house, 5)).await.unwrap().id;
    let windows = [plan().await, plan().await];
    let mark = NewMark { resource: ids[9].clone(), kind: "canary".to_owned(), reason: "bait".to_owned() };
    brakes::mark(&house.admin(), &federation.slug, mark).await.unwrap();
    Prepared {
        slug: federation.slug.clone(),
        ids,
        cases: [&removals, &emptied].map(|case| CaseId::parse(case).unwrap()),
        ten,
        windows,
        pusher: (federation, secret),
    }
}

/// Does everything that brakes put on record, once.
pub async fn steps(house: &House, prepared: &Prepared) -> Vec<(Action, Result<(), Error>)> {
    let Prepared { slug, pusher: (federation, secret), ids, cases, ten, windows, .. } = prepared;
    let (admin, other) = (house.admin(), second(house));
    let told = |made: Result<(), Error>| match made {
        Err(Error::Throttled { .. }) => Ok(()),
        made => made,
    };
    let read = async |case: &CaseId, approves| {
        let read = brakes::of_case(&other, case, 0).await.unwrap();
        let (reason, proven_ms) = ("looked".to_owned(), other.now_ms());
        Verdict { approves, until: read.until, hash: read.hash, reason, proven_ms }
    };
    let (yes, no) = (read(&cases[0], true).await, read(&cases[1], false).await);
    let mark = NewMark { resource: ten.clone(), kind: "privileged".to_owned(), reason: "root".to_owned() };
    let held = deactivate(&house.client(federation, secret).await, &ids[11]).await;
    let mut done = vec![
        (Action::OperationHeld, told(held)),
        (Action::HeldApproved, brakes::decide(&other, &cases[0], yes).await.map(drop)),
        (Action::HeldRejected, brakes::decide(&other, &cases[1], no).await.map(drop)),
        (Action::WindowPlanned, brakes::plan(&admin, slug, window(house, 5)).await.map(drop)),
        (Action::WindowAgreed, brakes::agree(&other, slug, &windows[0]).await.map(drop)),
        (Action::WindowEnded, brakes::end(&admin, slug, &windows[1]).await.map(drop)),
        (Action::ResourceMarked, brakes::mark(&admin, slug, mark).await.map(drop)),
        (Action::ResourceUnmarked, brakes::unmark(&admin, slug, &ids[9], "over").await),
        (Action::IdentityAllowed, brakes::allow(&admin, slug, "domain", "partner.example", "a merger").await),
    ];
    // Last: it lets a day pass.
    house.clock.advance(DAY_MS);
    done.push((Action::HeldExpired, brakes::sweep(&house.keyward).await.map(drop)));
    done
}
