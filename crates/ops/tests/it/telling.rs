//! Findings, cases, hand-offs, canaries, leak reports, and what people are told of them.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use domain::{
    DAY_MS, Millis,
    admins::{Admin, Role},
    cases::Moment,
    federations::{Federation, Slug},
    findings::{Rule, Severity},
    keys::KeyState,
    scopes::{ResourceKind, Scope, Verb},
};
use ops::{
    Cx, Error, cases,
    channels::{self, NewChannel},
    compromise::{
        self, Compromise, Stop,
        canary::{self, NewCanary},
        leaks::{Found, leaked},
    },
    findings::{self, Wanted},
    hand_offs, keys, notify,
    ports::{Mail, Notify, NotifyFault, WebhookCall},
    testing, users,
};
use scim::ResourceType;
use serde_json::{Value, json};

use crate::support::{House, asked, houses, resource};

/// What a recipient got: to, subject or kind, text.
pub type Got = (String, String, String);

/// Keeps what it is given, and fails for whoever is named.
#[derive(Default)]
pub struct Desk {
    got: Mutex<Vec<Got>>,
    failing: Mutex<Vec<String>>,
}

impl Desk {
    fn take(&self) -> Vec<Got> {
        std::mem::take(&mut *self.got.lock().unwrap())
    }

    fn fail(&self, who: &str) {
        self.failing.lock().unwrap().push(who.to_owned());
    }

    fn give(&self, to: &str, subject: &str, text: &str) -> Result<(), NotifyFault> {
        if self.failing.lock().unwrap().iter().any(|failing| to.contains(failing)) {
            return Err(NotifyFault { text: "it is down".to_owned(), is_final: false });
        }
        self.got.lock().unwrap().push((to.to_owned(), subject.to_owned(), text.to_owned()));
        Ok(())
    }
}

impl Notify for Desk {
    fn has_mail(&self) -> bool {
        true
    }

    fn admits(&self, url: &str) -> Result<(), String> {
        if url.starts_with("https://") { Ok(()) } else { Err("https is expected".to_owned()) }
    }

    fn mail<'a>(
        &'a self,
        mail: &'a Mail,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyFault>> + Send + 'a>> {
        Box::pin(async move { self.give(&mail.to.join(","), &mail.subject, mail.text.expose()) })
    }

    fn webhook<'a>(
        &'a self,
        call: &'a WebhookCall,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyFault>> + Send + 'a>> {
        Box::pin(async move { self.give(&call.url, &call.id, std::str::from_utf8(&call.body).unwrap()) })
    }
}

/// Connects a desk to a house.
pub fn desk(house: &House) -> Arc<Desk> {
    let desk = Arc::new(Desk::default());
    house.keyward.connect_notifier(Arc::clone(&desk) as Arc<dyn Notify>);
    desk
}

/// Sends everything that is due, and what was told.
pub async fn told(house: &House, desk: &Desk) -> Vec<Got> {
    notify::run(&house.keyward, "node").await.unwrap().expect("this node has the lease");
    desk.take()
}

async fn open_findings(house: &House) -> Vec<(Rule, Severity, i64)> {
    let found = findings::list(&house.admin(), &Wanted::default()).await.unwrap();
    found.iter().map(|view| (view.finding.rule, view.finding.severity, view.finding.count)).collect()
}

pub fn person(house: &House, role: Role, email: &str) -> Cx<Admin> {
    testing::cx_as(&house.keyward, Admin { email: Some(email.to_owned()), ..testing::person(role) })
}

pub async fn webhook(house: &House, name: &str) -> domain::channels::Channel {
    let new = NewChannel {
        kind: "webhook".to_owned(),
        name: name.to_owned(),
        url: format!("https://{name}.example.com/hook"),
        least: "medium".to_owned(),
        ..NewChannel::default()
    };
    let added = channels::add(&house.admin(), new).await.unwrap();
    assert!(added.secret.unwrap().expose().starts_with("whsec_"));
    added.channel
}

/// Does some real work with a key.
async fn work(house: &House, federation: &Federation, secret: &domain::Secret, name: &str) {
    let user = resource(ResourceType::User, json!({ "userName": name }));
    users::create(&house.client(federation, secret).await, &asked("POST", "Users"), user).await.unwrap();
}

#[tokio::test]
async fn a_key_that_ends_is_told_once_for_each_rung_and_settles_when_it_is_rotated() {
    for house in houses().await {
        let desk = desk(&house);
        let federation = house.federation("base").await;
        let (key, secret) = house.key(&federation, "base").await;
        let mut subjects = Vec::new();
        for day in 0..90 {
            if day == 40 {
                // One that nobody uses would be told for that.
                work(&house, &federation, &secret, "used").await;
            }
            // Whoever looks more often sees no more.
            findings::sweep(&house.keyward).await.unwrap();
            findings::sweep(&house.keyward).await.unwrap();
            for (to, subject, text) in told(&house, &desk).await {
                assert_eq!(to, "owner@example.com");
                assert!(text.contains("https://keyward.test/findings?federation=base#fnd_"), "{text}");
                subjects.push((day, subject));
            }
            house.clock.advance(DAY_MS);
        }
        let days: Vec<i64> = subjects.iter().map(|(day, _)| 90 - *day).collect();
        assert_eq!(days, [30, 14, 7, 3, 1], "{subjects:?}");
        assert!(subjects[0].1.contains("Low: A key ends soon"), "{subjects:?}");
        assert!(subjects[4].1.contains("High: A key ends soon"), "{subjects:?}");
        assert_eq!(open_findings(&house).await, [(Rule::EndsSoon, Severity::High, 5)]);
        keys::rotate(&house.admin(), &key, Default::default()).await.unwrap();
        findings::sweep(&house.keyward).await.unwrap();
        assert_eq!(open_findings(&house).await, []);
        house.close().await;
    }
}

#[tokio::test]
async fn a_compromise_stops_replaces_hands_over_and_counts_until_the_first_good_request() {
    for house in houses().await {
        let desk = desk(&house);
        let federation = house.federation("base").await;
        let (key, secret) = house.key(&federation, "base").await;
        work(&house, &federation, &secret, "before").await;
        house.clock.advance(60_000);
        let leaked_ms = testing::START_MS + 1_000;
        let report =
            Compromise { stop: Stop::Hold, reason: "found in a wiki".to_owned(), leaked_ms: Some(leaked_ms) };
        let case = compromise::report(&house.admin(), &key, report).await.unwrap();
        // Stopped at once: not 401, which would quarantine the provider.
        let held = house.present("base", Some(secret.expose())).await.err().unwrap();
        assert!(matches!(held, Error::Held { .. }), "{held}");
        let view = cases::open(&house.admin(), &case.id).await.unwrap();
        assert_eq!(view.waits_for, Some(Moment::T6));
        let marks: Vec<Moment> = view.moments.iter().map(|moment| moment.moment).collect();
        assert_eq!(marks, [Moment::T0, Moment::T2, Moment::T3, Moment::T4, Moment::T5]);
        assert_eq!(domain::cases::between(&view.moments, Moment::T0, Moment::T4), Some(59_000));
        let successor = view.successor.unwrap();
        // Without a target the owner gets the link by mail, and news of the case with it.
        let all = told(&house, &desk).await;
        let mail = all.iter().find(|(_, _, text)| text.contains("/hand-over/")).unwrap();
        assert_eq!(mail.0, "owner@example.com");
        assert!(mail.2.contains("Compromise of base"), "one digest: {all:?}");
        assert!(!mail.2.contains("kwd_"), "{}", mail.2);
        let token = mail.2.split("/hand-over/").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        let owner = person(&house, Role::Operator(vec![federation.slug.clone()]), "Owner@Example.com");
        house.clock.advance(30_000);
        let shown = hand_offs::open(&owner, &token).await.unwrap();
        assert_eq!(shown.key.id, successor.id);
        let new_secret = shown.secret.unwrap();
        house.clock.advance(30_000);
        work(&house, &federation, &new_secret, "after").await;
        reconcile(&house).await;
        let view = cases::open(&house.admin(), &case.id).await.unwrap();
        assert_eq!(domain::cases::between(&view.moments, Moment::T3, Moment::T8), Some(60_000));
        assert_eq!(view.waits_for, Some(Moment::T11));
        // The case closes once the key is stopped and somebody says what was learned.
        let short = cases::close(&house.admin(), &case.id, view.case.version, "ok").await.err().unwrap();
        assert!(matches!(short, Error::Invalid(_)), "{short}");
        let closed = cases::close(&house.admin(), &case.id, view.case.version, "The wiki page was removed.")
            .await
            .unwrap();
        assert!(closed.closed_ms.is_some());
        assert!(matches!(
            cases::note(&house.admin(), &case.id, "late").await.err().unwrap(),
            Error::Conflict(_)
        ));
        house.close().await;
    }
}

/// Lets the scheduler see what happened, as its timer does.
async fn reconcile(house: &House) {
    for _ in 0..5 {
        ops::rotations::scheduler::round(&house.keyward, "node").await.unwrap();
    }
    findings::sweep(&house.keyward).await.unwrap();
}

#[tokio::test]
async fn a_successor_that_is_in_wrong_hands_as_well_is_replaced_whatever_became_of_the_old_key() {
    for house in houses().await {
        for (name, stop) in [("held", Stop::Hold), ("revoked", Stop::Revoke)] {
            let federation = house.federation(name).await;
            let (key, _) = house.key(&federation, name).await;
            let report = || Compromise { stop, reason: "seen".to_owned(), leaked_ms: None };
            compromise::report(&house.admin(), &key, report()).await.unwrap();
            let first = keys::open(&house.admin(), &key).await.unwrap().key.successor_id.unwrap();
            let case = compromise::report(&house.admin(), &first, report()).await.unwrap();
            let second = keys::open(&house.admin(), &key).await.unwrap().key.successor_id.unwrap();
            assert_ne!(first, second, "{name}");
            assert_eq!(keys::open(&house.admin(), &first).await.unwrap().state, KeyState::Revoked, "{name}");
            assert_eq!(case.key_id, first, "each key has a case of its own");
            let link = hand_offs::make_for(&house.admin(), &second, "ana@example.com").await.unwrap();
            let role = Role::Operator(vec![federation.slug.clone()]);
            let token = link.link.expose().rsplit('/').next().unwrap();
            let shown = hand_offs::open(&person(&house, role, "ana@example.com"), token).await.unwrap();
            work(&house, &federation, &shown.secret.unwrap(), name).await;
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_compromise_of_a_key_that_cannot_be_replaced_says_why_and_is_a_case_all_the_same() {
    for house in houses().await {
        let federation = house.federation("base").await;
        let (key, _) = house.key(&federation, "base").await;
        keys::revoke(&house.admin(), &key, "gone").await.unwrap();
        let report = |stop| Compromise { stop, reason: "seen".to_owned(), leaked_ms: None };
        let case = compromise::report(&house.admin(), &key, report(Stop::Revoke)).await.unwrap();
        let again = compromise::report(&house.admin(), &key, report(Stop::Hold)).await.unwrap();
        assert_eq!(case.id, again.id, "a key has one open case");
        let future = Compromise { leaked_ms: Some(Millis::MAX), ..report(Stop::Hold) };
        assert!(matches!(
            compromise::report(&house.admin(), &key, future).await.err().unwrap(),
            Error::Invalid(_)
        ));
        let empty = Compromise { reason: "  ".to_owned(), ..report(Stop::Hold) };
        assert!(matches!(
            compromise::report(&house.admin(), &key, empty).await.err().unwrap(),
            Error::Invalid(_)
        ));
        house.close().await;
    }
}

#[tokio::test]
async fn a_hand_over_link_opens_once_for_its_person_within_a_day_and_for_nobody_else() {
    for house in houses().await {
        let desk = desk(&house);
        let federation = house.federation("base").await;
        let (key, _) = house.key(&federation, "base").await;
        let report = Compromise { stop: Stop::Hold, reason: "seen".to_owned(), leaked_ms: None };
        compromise::report(&house.admin(), &key, report).await.unwrap();
        let successor =
            keys::open(&house.admin(), &key).await.unwrap().key.successor_id.expect("a successor");
        let link = hand_offs::make_for(&house.admin(), &successor, "Ana@Example.com").await.unwrap();
        assert!(link.is_mailed);
        let token = link.link.expose().rsplit('/').next().unwrap().to_owned();
        // The link of the owner is over: this one took its place.
        let mails = told(&house, &desk).await;
        let first = mails
            .iter()
            .filter_map(|(_, _, text)| text.split("/hand-over/").nth(1))
            .map(|rest| rest.split_whitespace().next().unwrap().to_owned())
            .find(|other| *other != token)
            .expect("the owner's link");
        let own = Role::Operator(vec![federation.slug.clone()]);
        let owner = person(&house, own.clone(), "owner@example.com");
        assert!(matches!(hand_offs::open(&owner, &first).await.err().unwrap(), Error::Conflict(_)));
        // Looking opens nothing, however often.
        let ana = person(&house, own.clone(), "ana@example.com");
        for _ in 0..3 {
            let look = hand_offs::look(&ana, &token).await.unwrap();
            assert!(look.is_own && look.state == domain::hand_offs::LinkState::Waiting);
        }
        // Another person, whatever they may do; the person without the right; nobody at all.
        let admin = person(&house, Role::Admin, "root@example.com");
        assert!(matches!(hand_offs::open(&admin, &token).await.err().unwrap(), Error::Forbidden(_)));
        let nameless = house.admin();
        assert!(matches!(hand_offs::open(&nameless, &token).await.err().unwrap(), Error::Forbidden(_)));
        let manager = person(&house, Role::Manager, "ana@example.com");
        assert!(matches!(hand_offs::open(&manager, &token).await.err().unwrap(), Error::Forbidden(_)));
        let stranger = person(&house, Role::Operator(vec![Slug::parse("other").unwrap()]), "ana@example.com");
        assert!(matches!(hand_offs::open(&stranger, &token).await.err().unwrap(), Error::NotFound(_)));
        assert!(matches!(hand_offs::open(&ana, &"A".repeat(43)).await.err().unwrap(), Error::NotFound(_)));
        let before = house.log().await.len();
        let issued = hand_offs::open(&ana, &token).await.unwrap();
        assert_eq!(issued.key.id, successor);
        let twice = hand_offs::open(&ana, &token).await.err().unwrap();
        assert!(twice.to_string().contains("opens once"), "{twice}");
        let log = house.log().await;
        assert!(log[before..].iter().any(|line| line.starts_with("hand-off.opened done")), "{log:#?}");
        assert!(log.last().unwrap().starts_with("hand-off.opened refused"), "{log:#?}");
        assert_eq!(log.iter().filter(|line| line.starts_with("hand-off.opened refused")).count(), 7);
        // What was shown is gone: nobody makes another link of it.
        let gone = hand_offs::make_for(&house.admin(), &successor, "ana@example.com").await.err().unwrap();
        assert!(matches!(gone, Error::Conflict(_)), "{gone}");
        house.close().await;
    }
}

#[tokio::test]
async fn a_link_that_nobody_opens_is_late_and_a_finding_and_a_new_one_settles_it() {
    for house in houses().await {
        let desk = desk(&house);
        let federation = house.federation("base").await;
        let (key, _) = house.key(&federation, "base").await;
        let report = Compromise { stop: Stop::Hold, reason: "seen".to_owned(), leaked_ms: None };
        compromise::report(&house.admin(), &key, report).await.unwrap();
        let mails = told(&house, &desk).await;
        let token = mails
            .iter()
            .find_map(|(_, _, text)| text.split("/hand-over/").nth(1))
            .and_then(|rest| rest.split_whitespace().next())
            .unwrap()
            .to_owned();
        house.clock.advance(DAY_MS);
        let owner = person(&house, Role::Operator(vec![federation.slug.clone()]), "owner@example.com");
        let late = hand_offs::open(&owner, &token).await.err().unwrap();
        assert!(late.to_string().contains("older than 24 hours"), "{late}");
        findings::sweep(&house.keyward).await.unwrap();
        findings::sweep(&house.keyward).await.unwrap();
        let waits = |found: &[(Rule, Severity, i64)]| {
            found
                .iter()
                .filter(|(rule, _, _)| *rule == Rule::HandOffWaits)
                .map(|(_, _, count)| *count)
                .collect::<Vec<_>>()
        };
        assert_eq!(waits(&open_findings(&house).await), [1]);
        let successor = keys::open(&house.admin(), &key).await.unwrap().key.successor_id.unwrap();
        hand_offs::make_for(&house.admin(), &successor, "owner@example.com").await.unwrap();
        assert_eq!(waits(&open_findings(&house).await), Vec::<i64>::new());
        house.close().await;
    }
}

#[tokio::test]
async fn a_canary_is_refused_like_an_unknown_key_and_opens_one_case_however_often_it_is_used() {
    for house in houses().await {
        let desk = desk(&house);
        let federation = house.federation("base").await;
        let new = NewCanary {
            federation: federation.slug.clone(),
            name: "okta-backup".to_owned(),
            place: "the old wiki".to_owned(),
        };
        let issued = canary::issue(&house.admin(), new).await.unwrap();
        let secret = issued.secret.unwrap();
        let unknown = domain::keys::compose(&domain::KeyId::new(1, [1; 10]), &[1; 32]);
        let of_unknown = house.present("base", Some(unknown.expose())).await.err().unwrap();
        for _ in 0..3 {
            let of_canary = house.present("base", Some(secret.expose())).await.err().unwrap();
            assert!(matches!(of_canary, Error::Unauthenticated(_)));
            assert_eq!(of_canary.to_string(), of_unknown.to_string());
        }
        assert_eq!(open_findings(&house).await, [(Rule::CanaryUsed, Severity::Critical, 3)]);
        let all = cases::list(&house.admin()).await.unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].case.title, "Canary okta-backup was used");
        // Told at once, with the place and without the key.
        let mails = told(&house, &desk).await;
        assert_eq!(mails.len(), 1, "{mails:?}");
        assert!(
            mails[0].2.contains("the old wiki") && mails[0].2.contains("A canary key was used"),
            "{mails:?}"
        );
        assert!(!mails[0].2.contains("kwd_"));
        house.close().await;
    }
}

#[tokio::test]
async fn a_whole_key_in_a_leak_report_is_held_at_once_and_anything_else_changes_nothing() {
    for house in houses().await {
        let federation = house.federation("base").await;
        let (key, secret) = house.key(&federation, "base").await;
        let before = house.log().await.len();
        let report = async |text: &str| {
            let found = Found { text, url: "https://git.example.com/a/b", source: "commit" };
            leaked(&house.keyward, &house.keyward.request_info(), &found).await.unwrap()
        };
        let unknown = domain::keys::compose(&domain::KeyId::new(1, [1; 10]), &[1; 32]);
        // The id of a real key with other bits: whoever guesses learns nothing.
        let forged = domain::keys::compose(&key, &[7; 32]);
        for text in ["", "kwd_", "ghp_abc", unknown.expose(), forged.expose()] {
            assert!(!report(text).await, "{text}");
        }
        assert_eq!(house.log().await.len(), before, "nothing is left of it");
        assert!(report(secret.expose()).await);
        assert!(report(secret.expose()).await, "whoever reports it again is right again");
        let view = keys::open(&house.admin(), &key).await.unwrap();
        assert_eq!(view.state, KeyState::Held);
        assert!(view.key.successor_id.is_some());
        let found = findings::list(&house.admin(), &Wanted::default()).await.unwrap();
        let leak = found.iter().find(|view| view.finding.rule == Rule::LeakReported).unwrap();
        assert_eq!((leak.finding.severity, leak.finding.count), (Severity::Critical, 2));
        assert!(leak.finding.detail.came.contains("https://git.example.com/a/b"), "{leak:?}");
        let all = cases::list(&house.admin()).await.unwrap();
        assert_eq!(all.len(), 1);
        assert!(all[0].case.rotation_id.is_some());
        house.close().await;
    }
}

#[tokio::test]
async fn an_ended_key_that_is_presented_is_a_finding_with_address_and_agent() {
    for house in houses().await {
        let federation = house.federation("base").await;
        let (key, secret) = house.key(&federation, "base").await;
        keys::revoke(&house.admin(), &key, "").await.unwrap();
        for _ in 0..2 {
            house.present("base", Some(secret.expose())).await.err().unwrap();
        }
        // The id alone proves nothing.
        let forged = domain::keys::compose(&key, &[7; 32]);
        house.present("base", Some(forged.expose())).await.err().unwrap();
        assert_eq!(open_findings(&house).await, [(Rule::EndedKeyUsed, Severity::High, 2)]);
        house.close().await;
    }
}

#[tokio::test]
async fn many_findings_in_a_minute_are_one_digest_for_each_recipient() {
    for house in houses().await {
        let desk = desk(&house);
        webhook(&house, "one").await;
        let federation = house.federation("base").await;
        for count in 0..12 {
            let scope = Scope::of([(ResourceKind::Users, Verb::Read)]);
            let (key, secret) = house.scoped(&federation, &format!("key{count}"), scope).await;
            keys::revoke(&house.admin(), &key, "").await.unwrap();
            house.present("base", Some(secret.expose())).await.err().unwrap();
        }
        let all = told(&house, &desk).await;
        assert_eq!(all.len(), 2, "one mail, one webhook: {all:?}");
        for (to, subject, text) in &all {
            if to == "owner@example.com" {
                assert_eq!(subject, "[Keyward] 12 messages, the worst high");
                assert_eq!(text.matches("An ended key was used").count(), 12);
            } else {
                assert_eq!(to, "https://one.example.com/hook");
                let body: Value = serde_json::from_str(text).unwrap();
                assert_eq!(body["type"], "keyward.notice");
                assert_eq!(body["data"]["items"].as_array().unwrap().len(), 12);
            }
        }
        // One more within the minute waits for its turn; nothing is said twice.
        let (key, secret) = house.key(&federation, "late").await;
        keys::revoke(&house.admin(), &key, "").await.unwrap();
        house.present("base", Some(secret.expose())).await.err().unwrap();
        assert_eq!(told(&house, &desk).await.len(), 0);
        house.clock.advance(60_000);
        assert_eq!(told(&house, &desk).await.len(), 2);
        house.clock.advance(DAY_MS);
        assert_eq!(told(&house, &desk).await.len(), 0);
        house.close().await;
    }
}

#[tokio::test]
async fn a_channel_that_fails_is_a_finding_told_on_the_others_and_settles_when_it_works() {
    for house in houses().await {
        let desk = desk(&house);
        let broken = webhook(&house, "broken").await;
        webhook(&house, "well").await;
        desk.fail("broken");
        let federation = house.federation("base").await;
        let (key, secret) = house.key(&federation, "base").await;
        keys::revoke(&house.admin(), &key, "").await.unwrap();
        house.present("base", Some(secret.expose())).await.err().unwrap();
        let mut heard = Vec::new();
        for _ in 0..8 {
            heard.extend(told(&house, &desk).await);
            house.clock.advance(6 * 60_000);
        }
        let about: Vec<&Got> =
            heard.iter().filter(|(_, _, text)| text.contains("channel does not")).collect();
        assert!(about.iter().all(|(to, _, _)| to.contains("well")), "{about:?}");
        assert_eq!(about.len(), 1, "told once: {heard:?}");
        assert!(about[0].2.contains("broken: it is down"), "{about:?}");
        let all = channels::list(&house.admin()).await.unwrap().channels;
        let kept = all.iter().find(|channel| channel.id == broken.id).unwrap();
        assert_eq!(kept.last_result.as_ref().unwrap().fault.as_deref(), Some("it is down"));
        desk.failing.lock().unwrap().clear();
        let tested = channels::test(&house.admin(), &broken.id).await.unwrap();
        assert_eq!(tested.fault, None);
        let left: Vec<Rule> = open_findings(&house).await.iter().map(|(rule, _, _)| *rule).collect();
        assert_eq!(left, [Rule::EndedKeyUsed]);
        house.close().await;
    }
}

#[tokio::test]
async fn a_finding_is_closed_with_a_reason_by_whoever_runs_its_federation() {
    for house in houses().await {
        let federation = house.federation("base").await;
        let (key, secret) = house.key(&federation, "base").await;
        keys::revoke(&house.admin(), &key, "").await.unwrap();
        house.present("base", Some(secret.expose())).await.err().unwrap();
        let found = findings::list(&house.admin(), &Wanted::default()).await.unwrap().remove(0).finding;
        let close = async |role: Role, reason: &str| {
            let cx = testing::cx(&house.keyward, role);
            findings::close(&cx, Some(&federation.slug), &found.id, reason).await
        };
        let own = || Role::Operator(vec![federation.slug.clone()]);
        let other = Role::Operator(vec![Slug::parse("other").unwrap()]);
        assert!(matches!(close(Role::Manager, "known").await.err().unwrap(), Error::Forbidden(_)));
        assert!(matches!(close(other.clone(), "known").await.err().unwrap(), Error::NotFound(_)));
        assert!(matches!(close(own(), " ").await.err().unwrap(), Error::Invalid(_)));
        let seen = findings::list(&testing::cx(&house.keyward, other), &Wanted::default()).await.unwrap();
        assert!(seen.is_empty(), "who may not see a federation sees none of its findings");
        // What comes again and again between the look and the form is closed all the same.
        house.present("base", Some(secret.expose())).await.err().unwrap();
        let closed = close(own(), "a stale copy, switched off").await.unwrap();
        assert_eq!((closed.count, closed.version), (2, 3));
        assert_eq!(closed.closed_by.as_deref(), Some("The operator"));
        assert!(matches!(close(own(), "known").await.err().unwrap(), Error::Conflict(_)));
        // What comes again is a new finding.
        house.present("base", Some(secret.expose())).await.err().unwrap();
        assert_eq!(open_findings(&house).await, [(Rule::EndedKeyUsed, Severity::High, 1)]);
        let closed = Wanted { closed: true, ..Wanted::default() };
        assert_eq!(findings::list(&house.admin(), &closed).await.unwrap().len(), 1);
        house.close().await;
    }
}
