//! Telling when something goes wrong: a successor that cannot be begun, mail that is not there, floods, slow
//! receivers, and lists that are longer than their page.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, Weak},
};

use domain::{
    CaseId, FederationId, KeyId, Secret,
    admins::Role,
    cases::{CaseKind, Moment},
    findings::{Rule, Severity},
    keys::KeyState,
};
use ops::{
    Error, Keyward, cases,
    compromise::{
        self, Compromise, Stop,
        canary::{self, NewCanary},
        leaks::{Found, leaked},
    },
    findings::{self, NewFinding, Wanted},
    hand_offs, keys, notify,
    ports::{Mail, Notify, NotifyFault, Refusal, Refusals, WebhookCall},
    scim_client,
    testing::{self, TestClock},
};
use store::{Conn, Store, testing::run_sql};

use crate::{
    support::{House, asked, houses},
    telling::{desk, person, told},
};

async fn leak(house: &House, secret: &Secret) {
    let found = Found { text: secret.expose(), url: "https://git.example.com/a", source: "commit" };
    assert!(leaked(&house.keyward, &house.keyward.request_info(), &found).await.unwrap());
}

async fn report(house: &House, key: &KeyId) -> domain::cases::Case {
    let report = Compromise { stop: Stop::Hold, reason: "seen".to_owned(), leaked_ms: None };
    compromise::report(&house.admin(), key, report).await.unwrap()
}

async fn open_of(house: &House, rule: Rule) -> Vec<(Severity, i64)> {
    let wanted = Wanted { rule: Some(rule), ..Wanted::default() };
    let found = findings::list(&house.admin(), &wanted).await.unwrap();
    found.iter().map(|view| (view.finding.severity, view.finding.count)).collect()
}

async fn recorded(house: &House, line: &str) -> usize {
    house.log().await.iter().filter(|own| own.starts_with(line)).count()
}

#[tokio::test]
async fn a_key_is_held_although_its_successor_cannot_be_begun_and_the_case_says_what_failed() {
    for house in houses().await {
        let federation = house.federation("base").await;
        let (key, secret) = house.key(&federation, "base").await;
        run_sql(&house.database.target, "ALTER TABLE deliveries RENAME TO lost".to_owned()).await;
        leak(&house, &secret).await;
        run_sql(&house.database.target, "ALTER TABLE lost RENAME TO deliveries".to_owned()).await;
        let view = keys::open(&house.admin(), &key).await.unwrap();
        assert_eq!((view.state, view.key.successor_id), (KeyState::Held, None));
        let case = cases::list(&house.admin()).await.unwrap().remove(0);
        assert_eq!(case.case.kind, CaseKind::Leak);
        let note = case.moments.iter().find(|moment| moment.moment == Moment::Note).expect("a note");
        assert!(note.text.starts_with("No new key could be made: "), "{note:?}");
        assert_eq!(open_of(&house, Rule::LeakReported).await, [(Severity::Critical, 1)]);
        // Reported once more, it is replaced.
        assert_eq!(report(&house, &key).await.id, case.case.id);
        assert!(keys::open(&house.admin(), &key).await.unwrap().key.successor_id.is_some());
        house.close().await;
    }
}

#[tokio::test]
async fn a_leak_of_either_key_of_a_rotation_is_one_case_of_its_kind_about_that_key() {
    for house in houses().await {
        let federation = house.federation("base").await;
        let (old, old_secret) = house.key(&federation, "base").await;
        let issued = keys::rotate(&house.admin(), &old, Default::default()).await.unwrap();
        let (new, new_secret) = (issued.key.id, issued.secret.unwrap());
        leak(&house, &old_secret).await;
        house.clock.advance(60_000);
        leak(&house, &new_secret).await;
        let all = cases::list(&house.admin()).await.unwrap();
        let kinds: BTreeMap<&KeyId, CaseKind> =
            all.iter().map(|view| (&view.case.key_id, view.case.kind)).collect();
        assert_eq!(all.len(), 2, "{kinds:?}");
        assert_eq!(kinds, BTreeMap::from([(&old, CaseKind::Leak), (&new, CaseKind::Leak)]));
        house.close().await;
    }
}

/// Tells nobody by mail.
struct NoMail;

impl Notify for NoMail {
    fn has_mail(&self) -> bool {
        false
    }

    fn admits(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn mail<'a>(&'a self, _: &'a Mail) -> Pin<Box<dyn Future<Output = Result<(), NotifyFault>> + Send + 'a>> {
        Box::pin(async { Err(NotifyFault { text: "mail is not set up".to_owned(), is_final: true }) })
    }

    fn webhook<'a>(
        &'a self,
        _: &'a WebhookCall,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyFault>> + Send + 'a>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn a_link_that_another_process_made_is_mailed_by_the_one_that_tells() {
    for house in houses().await {
        let federation = house.federation("base").await;
        let (key, _) = house.key(&federation, "base").await;
        // As the command line does: nobody is told from here.
        report(&house, &key).await;
        let desk = desk(&house);
        let mails = told(&house, &desk).await;
        assert_eq!(mails.iter().filter(|(_, _, text)| text.contains("/hand-over/")).count(), 1, "{mails:?}");
        house.close().await;
    }
}

#[tokio::test]
async fn without_mail_a_waiting_hand_over_is_a_finding_at_once() {
    for house in houses().await {
        let federation = house.federation("base").await;
        let (key, _) = house.key(&federation, "base").await;
        let (other, _) = house.key(&federation, "other").await;
        // Made where it is not known whether mail is set up.
        report(&house, &key).await;
        assert_eq!(open_of(&house, Rule::HandOffWaits).await, []);
        house.keyward.connect_notifier(Arc::new(NoMail));
        notify::run(&house.keyward, "node").await.unwrap();
        assert_eq!(open_of(&house, Rule::HandOffWaits).await, [(Severity::Medium, 1)]);
        // Made where it is known.
        report(&house, &other).await;
        assert_eq!(open_of(&house, Rule::HandOffWaits).await.len(), 2);
        let successor = keys::open(&house.admin(), &other).await.unwrap().key.successor_id.unwrap();
        let made = hand_offs::make_for(&house.admin(), &successor, "ana@example.com").await.unwrap();
        assert!(!made.is_mailed);
        notify::run(&house.keyward, "node").await.unwrap();
        assert_eq!(open_of(&house, Rule::HandOffWaits).await.len(), 1, "the maker passes it on");
        house.close().await;
    }
}

#[tokio::test]
async fn a_finding_that_grows_worse_is_told_once_more_and_one_that_goes_on_is_not() {
    for house in houses().await {
        let desk = desk(&house);
        let federation = house.federation("base").await;
        let store = Store::open(house.database.target.clone()).await.unwrap();
        let mut counts = Vec::new();
        for severity in [Severity::Low, Severity::Medium, Severity::Medium, Severity::High, Severity::High] {
            house.clock.advance(61_000);
            let (new, now_ms) = {
                let cx = house.admin();
                let new = NewFinding::new(
                    &house.keyward,
                    Some(&federation.id),
                    Rule::DeliveryFailed,
                    "x",
                    "a",
                    "b",
                );
                (new.severity(severity), cx.now_ms())
            };
            let raise = async move |conn: &mut Conn<'_>| {
                findings::raise(conn, &new, now_ms).await.expect("it is raised");
                Ok(())
            };
            store.committer().upkeep(raise).await.unwrap();
            counts.push(told(&house, &desk).await.len());
        }
        assert_eq!(counts, [0, 1, 0, 1, 0]);
        store.close().await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_hold_of_the_key_or_of_its_rotation_stops_the_hand_over() {
    for house in houses().await {
        let federation = house.federation("base").await;
        let (key, _) = house.key(&federation, "base").await;
        let case = report(&house, &key).await;
        let successor = keys::open(&house.admin(), &key).await.unwrap().key.successor_id.unwrap();
        let link = hand_offs::make_for(&house.admin(), &successor, "ana@example.com").await.unwrap();
        let token = link.link.expose().rsplit('/').next().unwrap();
        let ana = person(&house, Role::Admin, "ana@example.com");
        let rotation = cases::open(&house.admin(), &case.id).await.unwrap().case.rotation_id.unwrap();
        let refused = async |what: &str| {
            let before = recorded(&house, "hand-off.opened refused").await;
            let error = hand_offs::open(&ana, token).await.err().expect(what);
            assert!(matches!(&error, Error::Conflict(text) if text.contains("held")), "{what}: {error}");
            assert_eq!(recorded(&house, "hand-off.opened refused").await, before + 1, "{what}");
            let made = hand_offs::make_for(&house.admin(), &successor, "ana@example.com").await;
            assert!(matches!(made.err(), Some(Error::Conflict(_))), "{what}");
        };
        keys::hold(&house.admin(), &successor, "not yet").await.unwrap();
        refused("the key is held").await;
        keys::release(&house.admin(), &successor).await.unwrap();
        ops::rotations::hold(&house.admin(), &rotation, "not yet").await.unwrap();
        refused("the rotation is held").await;
        ops::rotations::release(&house.admin(), &rotation).await.unwrap();
        assert_eq!(hand_offs::open(&ana, token).await.unwrap().key.id, successor);
        house.close().await;
    }
}

/// Whoever is refused was refused too often before.
struct Throttled;

impl Refusals for Throttled {
    fn refused(&self, _: Option<IpAddr>) -> Refusal {
        Refusal::TooMany { retry_after_s: 60, summary: None }
    }
}

#[tokio::test]
async fn a_flood_of_reports_or_of_canaries_counts_in_its_finding_and_is_recorded_once_a_minute() {
    for house in houses().await {
        let federation = house.federation("base").await;
        let (_, secret) = house.key(&federation, "base").await;
        for minute in 1..=2 {
            for _ in 0..20 {
                leak(&house, &secret).await;
            }
            assert_eq!(recorded(&house, "key.compromised done").await, minute);
            house.clock.advance(60_000);
        }
        assert_eq!(open_of(&house, Rule::LeakReported).await, [(Severity::Critical, 40)]);
        let new = NewCanary {
            federation: federation.slug.clone(),
            name: "backup".to_owned(),
            place: "the old wiki".to_owned(),
        };
        let canary = canary::issue(&house.admin(), new).await.unwrap().secret.unwrap();
        for minute in 1..=2 {
            for _ in 0..20 {
                let (request, text) = (house.keyward.request_info(), Some(canary.expose()));
                let asked = asked("GET", "Users");
                let base = "base";
                let answer = scim_client::authenticate_within(
                    &house.keyward,
                    &request,
                    base,
                    text,
                    &asked,
                    &Throttled,
                );
                assert!(matches!(answer.await.err(), Some(Error::Throttled { .. })));
            }
            assert_eq!(recorded(&house, "key.refused refused backup").await, minute);
            house.clock.advance(60_000);
        }
        assert_eq!(open_of(&house, Rule::CanaryUsed).await, [(Severity::Critical, 40)]);
        house.close().await;
    }
}

/// A mail server that takes its time, while another node looks for work.
struct Slow {
    clock: Arc<TestClock>,
    keyward: Weak<Keyward>,
    got: Mutex<Vec<String>>,
    stolen: Mutex<usize>,
}

impl Notify for Slow {
    fn has_mail(&self) -> bool {
        true
    }

    fn admits(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn mail<'a>(
        &'a self,
        mail: &'a Mail,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyFault>> + Send + 'a>> {
        Box::pin(async move {
            self.clock.advance(6_000);
            self.got.lock().unwrap().push(mail.to.join(","));
            let keyward = self.keyward.upgrade().expect("it is open");
            let other = Box::pin(notify::run(&keyward, "other")).await.unwrap();
            *self.stolen.lock().unwrap() += usize::from(other.is_some());
            Ok(())
        })
    }

    fn webhook<'a>(
        &'a self,
        _: &'a WebhookCall,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyFault>> + Send + 'a>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn however_long_it_takes_nobody_is_told_twice_by_two_nodes() {
    for house in houses().await {
        for number in 0..27 {
            let mut new = crate::support::new_federation(&format!("f{number}"));
            new.owners = format!("owner{number}@example.com");
            let federation = ops::federations::register(&house.admin(), new).await.unwrap();
            let (key, secret) = house.key(&federation, "key").await;
            keys::revoke(&house.admin(), &key, "").await.unwrap();
            house.present(federation.slug.as_str(), Some(secret.expose())).await.err().unwrap();
        }
        let slow = Arc::new(Slow {
            clock: Arc::clone(&house.clock),
            keyward: Arc::downgrade(&house.keyward),
            got: Mutex::default(),
            stolen: Mutex::default(),
        });
        house.keyward.connect_notifier(Arc::clone(&slow) as Arc<dyn Notify>);
        notify::run(&house.keyward, "node").await.unwrap();
        let mut got = slow.got.lock().unwrap().clone();
        assert_eq!(got.len(), 27, "{got:?}");
        got.sort();
        got.dedup();
        assert_eq!((got.len(), *slow.stolen.lock().unwrap()), (27, 0));
        house.close().await;
    }
}

#[tokio::test]
async fn whoever_sees_one_federation_sees_its_case_behind_two_hundred_of_another() {
    for house in houses().await {
        let own = house.federation("own").await;
        let (key, _) = house.key(&own, "own").await;
        let case = report(&house, &key).await;
        let other = house.federation("other").await;
        let (others, _) = house.key(&other, "other").await;
        let mut rows = String::new();
        for number in 0..210_u8 {
            let id = CaseId::new(testing::START_MS + 1, [number; 10]);
            let comma = if number == 0 { "" } else { "," };
            let federation: &FederationId = &other.id;
            write!(
                rows,
                "{comma} ('{federation}', '{id}', 'leak', '{others}', 't', 'x', {}, '', 1)",
                i64::MAX - 1
            )
            .unwrap();
        }
        let columns = "federation_id, id, kind, key_id, title, opened_by, opened_ms, summary, version";
        run_sql(&house.database.target, format!("INSERT INTO cases ({columns}) VALUES {rows}")).await;
        let operator = house.person(Role::Operator(vec![own.slug.clone()]));
        let seen: Vec<CaseId> =
            cases::list(&operator).await.unwrap().into_iter().map(|view| view.case.id).collect();
        assert_eq!(seen, std::slice::from_ref(&case.id));
        assert_eq!(cases::open(&operator, &case.id).await.unwrap().case.id, case.id);
        assert_eq!(cases::list(&house.admin()).await.unwrap().len(), 200);
        house.close().await;
    }
}
