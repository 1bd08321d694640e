//! The audit log proves itself: checkpoints, anchors, proofs, exports.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
};

use domain::{
    admins::Role,
    audit::{
        Action, ActorKind, AuditRecord, Outcome, bundle,
        checkpoint::Checkpoint,
        verify::{Class, Report, Trust},
    },
    findings::Rule,
};
use futures::future::join_all;
use ops::{
    Error, Keyward,
    audit::{
        AuditFilter,
        anchors::{self, Compared},
        checkpoint::{self, Round},
        examine::examine_store,
        export::{self, Writer},
        proof,
    },
    ports::{Anchor, Anchoring},
    testing,
};
use store::{Engine, Store, testing::run_sql};

use crate::support::{House, houses};

/// So many records more.
async fn write(keyward: &Arc<Keyward>, count: usize) {
    let visitor = testing::visitor(keyward);
    let written = join_all((0..count).map(|_| ops::admins::refuse_sign_in(&visitor, "state"))).await;
    assert!(written.iter().all(Result::is_ok));
}

async fn round(house: &House) -> Option<i64> {
    checkpoint::round(&house.keyward).await.unwrap().unwrap().signed
}

async fn head(house: &House) -> i64 {
    ops::audit::head(&house.admin()).await.unwrap().unwrap().seq
}

async fn report(house: &House, trust: &Trust) -> Report {
    let store = Store::open(house.database.target.clone()).await.unwrap();
    let report = examine_store(&store, trust).await.unwrap();
    store.close().await;
    report
}

async fn open_rules(house: &House) -> Vec<Rule> {
    let found = ops::findings::list(&house.admin(), &Default::default()).await.unwrap();
    let mut rules: Vec<Rule> = found.into_iter().map(|view| view.finding.rule).collect();
    rules.sort();
    rules
}

/// An anchor that a test takes away and gives back.
#[derive(Default)]
struct Kept {
    notes: Mutex<Vec<(i64, String)>>,
    is_away: Mutex<bool>,
}

struct Handle(Arc<Kept>);

impl Anchor for Handle {
    fn name(&self) -> &'static str {
        "box"
    }

    fn place(&self) -> String {
        "a box".to_owned()
    }

    fn last(&self) -> Option<i64> {
        None
    }

    fn tell<'a>(
        &'a self,
        checkpoint: &'a Anchoring,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            if *self.0.is_away.lock().unwrap() {
                return Err("it is away".to_owned());
            }
            self.0.notes.lock().unwrap().push((checkpoint.size, checkpoint.note.clone()));
            Ok(())
        })
    }
}

impl Kept {
    fn text(&self) -> String {
        self.notes.lock().unwrap().iter().map(|(_, note)| note.clone()).collect()
    }

    fn sizes(&self) -> Vec<i64> {
        self.notes.lock().unwrap().iter().map(|(size, _)| *size).collect()
    }
}

fn anchored(house: &House) -> Arc<Kept> {
    let kept = Arc::new(Kept::default());
    house.keyward.connect_anchors(vec![Arc::new(Handle(Arc::clone(&kept)))]);
    kept
}

#[tokio::test]
async fn a_checkpoint_comes_with_sixty_four_records_or_after_a_minute_and_never_for_nothing() {
    for house in houses().await {
        let first = head(&house).await;
        assert_eq!(round(&house).await, Some(first), "the first is due at once");
        assert_eq!(round(&house).await, None, "nothing is new");
        write(&house.keyward, 63).await;
        assert_eq!(round(&house).await, None);
        write(&house.keyward, 1).await;
        assert_eq!(round(&house).await, Some(first + 64));
        write(&house.keyward, 1).await;
        house.clock.advance(59_999);
        assert_eq!(round(&house).await, None);
        house.clock.advance(1);
        assert_eq!(round(&house).await, Some(first + 65));
        house.clock.advance(600_000);
        assert_eq!(round(&house).await, None, "silence needs no checkpoint");
        write(&house.keyward, 1).await;
        let signed = checkpoint::sign_now(&house.keyward).await.unwrap().unwrap();
        assert_eq!(signed, Round { signed: Some(first + 66), broken: None });
        let key = house.keyward.audit_key().unwrap();
        let report = report(&house, &Trust::new(vec![key])).await;
        assert_eq!((report.fault, report.signed, report.anchored), (None, Some(first + 66), None));
        house.close().await;
    }
}

#[tokio::test]
async fn of_two_nodes_one_signs_and_the_other_goes_on_from_there() {
    for house in houses().await.into_iter().filter(|house| house.database.engine == Engine::Postgres) {
        // Nodes are named by the time and by chance, and chance is the same in every test.
        house.clock.advance(1);
        let other = testing::open(house.database.target.clone(), Arc::clone(&house.clock)).await;
        write(&house.keyward, 70).await;
        let first = round(&house).await.unwrap();
        assert_eq!(checkpoint::round(&other).await.unwrap(), None, "the other node works");
        write(&other, 300).await;
        checkpoint::release(&house.keyward).await.unwrap();
        let second = checkpoint::round(&other).await.unwrap().unwrap().signed.unwrap();
        assert_eq!(second, first + 300);
        assert_eq!(checkpoint::round(&house.keyward).await.unwrap(), None);
        let report = report(&house, &Trust::new(vec![house.keyward.audit_key().unwrap()])).await;
        assert_eq!((report.fault, report.signed), (None, Some(second)));
        other.close().await;
        house.close().await;
    }
}

#[tokio::test]
async fn every_record_has_a_proof_that_holds_without_the_database() {
    for house in houses().await {
        round(&house).await;
        // More than one tile, and a tree that is not full.
        write(&house.keyward, 300).await;
        round(&house).await;
        write(&house.keyward, 290).await;
        let size = round(&house).await.unwrap();
        let keys = [house.keyward.audit_key().unwrap()];
        for seq in (1..=size).step_by(7).chain([1, 256, 257, 512, 513, size]) {
            let proof = proof::prove(&house.admin(), seq).await.unwrap().unwrap();
            let again = domain::audit::proof::RecordProof::parse(&proof.proof.text()).unwrap();
            assert_eq!(again.entry.seq, seq);
            let proven = again.verify(&keys).unwrap();
            assert!(proven.is_signed && proven.checkpoint.size >= u64::try_from(seq).unwrap());
        }
        write(&house.keyward, 1).await;
        assert_eq!(
            proof::prove(&house.admin(), size + 1).await.unwrap(),
            None,
            "no checkpoint is over it yet"
        );
        let nobody = proof::prove(&house.admin(), size + 100).await;
        assert!(matches!(nobody, Err(Error::NotFound(_))), "{nobody:?}");
        let operator = testing::cx(&house.keyward, Role::Operator(Vec::new()));
        let hidden = proof::prove(&operator, 1).await;
        assert!(matches!(hidden, Err(Error::NotFound(_))), "{hidden:?}");
        house.close().await;
    }
}

#[tokio::test]
async fn an_anchor_gets_every_checkpoint_in_order_and_catches_up_without_a_gap() {
    for house in houses().await {
        let kept = anchored(&house);
        let mut signed = vec![round(&house).await.unwrap()];
        assert_eq!(anchors::tell(&house.keyward).await.unwrap(), 1);
        *kept.is_away.lock().unwrap() = true;
        for _ in 0..4 {
            write(&house.keyward, 64).await;
            signed.push(round(&house).await.unwrap());
            assert_eq!(anchors::tell(&house.keyward).await.unwrap(), 0);
            house.clock.advance(14_000);
        }
        let standing = anchors::standing(&house.admin()).await.unwrap().unwrap();
        let row = &standing.anchors[0].row;
        assert_eq!((row.size, row.error.as_deref()), (signed[0], Some("it is away")));
        assert_eq!(standing.anchored().unwrap().0, signed[0], "nothing is anchored that was not told");
        assert!(!open_rules(&house).await.contains(&Rule::AnchorFailed), "not within a minute");
        house.clock.advance(60_000);
        round(&house).await;
        anchors::tell(&house.keyward).await.unwrap();
        assert!(open_rules(&house).await.contains(&Rule::AnchorFailed));
        house.clock.advance(300_000);
        signed.extend(round(&house).await);
        anchors::tell(&house.keyward).await.unwrap();
        let told = house.log().await.iter().filter(|line| line.starts_with("finding.raised")).count();
        assert_eq!(told, 1, "one record, however often it fails");

        *kept.is_away.lock().unwrap() = false;
        house.clock.advance(300_000);
        signed.extend(round(&house).await);
        anchors::tell(&house.keyward).await.unwrap();
        assert_eq!(kept.sizes(), signed, "in order, none missing, none twice");
        assert!(!open_rules(&house).await.contains(&Rule::AnchorFailed), "it is over");
        let mut trust = Trust::new(vec![house.keyward.audit_key().unwrap()]);
        trust.add_anchor("the box", &kept.text());
        let report = report(&house, &trust).await;
        assert_eq!(report.fault, None);
        assert_eq!(report.anchored.unwrap().size, *signed.last().unwrap());
        house.close().await;
    }
}

fn unlocked(house: &House, sql: &str) -> String {
    let drop = match house.database.engine {
        Engine::Sqlite => {
            "DROP TRIGGER audit_records_no_update; DROP TRIGGER audit_records_no_delete; DROP TRIGGER audit_head_stays;
            DROP TRIGGER checkpoints_no_update; DROP TRIGGER checkpoints_no_delete"
        }
        Engine::Postgres => {
            "DROP TRIGGER audit_records_no_update ON audit_records; DROP TRIGGER audit_head_stays ON audit_head;
            DROP TRIGGER checkpoints_no_update ON checkpoints"
        }
    };
    format!("{drop}; {sql}")
}

#[tokio::test]
async fn a_log_that_was_changed_since_its_last_checkpoint_is_not_signed_but_told_of() {
    for house in houses().await {
        let signed = round(&house).await.unwrap();
        write(&house.keyward, 70).await;
        let sql = format!("UPDATE audit_records SET actor_name = 'x' WHERE seq = {}", signed + 5);
        run_sql(&house.database.target, unlocked(&house, &sql)).await;
        let broken = checkpoint::round(&house.keyward).await.unwrap().unwrap();
        assert_eq!(broken.signed, None);
        assert_eq!(broken.broken.unwrap(), format!("record {} is not as it was written", signed + 5));
        assert_eq!(open_rules(&house).await, [Rule::AuditBroken]);
        // It is left alone for a minute, and looked at again.
        house.clock.advance(61_000);
        assert!(checkpoint::round(&house.keyward).await.unwrap().unwrap().broken.is_some());
        let found = ops::findings::list(&house.admin(), &Default::default()).await.unwrap();
        assert_eq!(found.len(), 1, "one finding");
        house.keyward.close().await;
    }
}

#[tokio::test]
async fn what_lies_before_the_last_checkpoint_is_looked_at_when_a_node_takes_over() {
    for house in houses().await {
        write(&house.keyward, 10).await;
        round(&house).await.unwrap();
        checkpoint::release(&house.keyward).await.unwrap();
        let sql = "UPDATE audit_records SET hash = prev_hash WHERE seq = 4";
        run_sql(&house.database.target, unlocked(&house, sql)).await;
        house.clock.advance(60_000);
        let broken = checkpoint::round(&house.keyward).await.unwrap().unwrap().broken.unwrap();
        assert!(broken.contains("are not those that it was signed over"), "{broken}");
        house.keyward.close().await;
    }
}

#[tokio::test]
async fn an_anchor_that_has_seen_more_than_there_is_knows_of_a_rollback() {
    for house in houses().await {
        let kept = anchored(&house);
        write(&house.keyward, 70).await;
        let size = round(&house).await.unwrap();
        anchors::tell(&house.keyward).await.unwrap();
        let compared = anchors::compare(&house.keyward, &kept.text()).await.unwrap();
        assert_eq!(compared, Compared::Fits { size, ignored: 0 });
        let strange = kept.text().replace("keyward/mk_", "keyward/nk_");
        let strange = anchors::compare(&house.keyward, &strange).await.unwrap();
        assert_eq!(strange, Compared::Fits { size: 0, ignored: 1 });

        let back =
            "DELETE FROM audit_records WHERE seq > 30; DELETE FROM checkpoints; DELETE FROM audit_nodes;
            UPDATE audit_head SET seq = 30, hash = (SELECT hash FROM audit_records WHERE seq = 30)";
        run_sql(&house.database.target, unlocked(&house, back)).await;
        let compared = anchors::compare(&house.keyward, &kept.text()).await.unwrap();
        assert_eq!(compared, Compared::Rollback { size, head: 30 });
        let mut trust = Trust::new(vec![house.keyward.audit_key().unwrap()]);
        trust.add_anchor("the box", &kept.text());
        let fault = report(&house, &trust).await.fault.unwrap();
        assert_eq!((fault.class, fault.from, fault.lost), (Class::Rollback, 31, size - 30), "{}", fault.told);

        // It goes on from less; the anchor that was told more says so, and is told how it goes on.
        checkpoint::release(&house.keyward).await.unwrap();
        house.clock.advance(60_000);
        let less = checkpoint::round(&house.keyward).await.unwrap().unwrap().signed.unwrap();
        anchors::tell(&house.keyward).await.unwrap();
        assert_eq!((less, kept.sizes()), (30, vec![size, 30]));
        assert_eq!(open_rules(&house).await, [Rule::AuditRolledBack]);
        house.keyward.close().await;
    }
}

#[tokio::test]
async fn an_export_proves_itself_and_is_on_record_before_anything_leaves() {
    for house in houses().await {
        round(&house).await;
        write(&house.keyward, 300).await;
        round(&house).await;
        let trust = Trust::new(vec![house.keyward.audit_key().unwrap()]);
        let whole = exported(&house, None, None).await;
        let checked = bundle::check(whole.iter().map(|line| Ok(line.clone())), &trust).unwrap();
        assert_eq!((checked.report.fault.as_ref(), checked.is_known_key), (None, true));
        assert_eq!(
            checked.report.signed,
            Some(checked.header.to),
            "the last checkpoint is over the export too"
        );
        let last = house.log().await.pop().unwrap();
        assert!(last.starts_with("audit.exported done"), "{last}");
        for (from, to) in [(1, 1), (2, 40), (257, 300), (300, 301)] {
            let part = exported(&house, Some(from), Some(to)).await;
            let checked = bundle::check(part.iter().map(|line| Ok(line.clone())), &trust).unwrap();
            assert_eq!(checked.report.fault, None, "{from} to {to}");
            assert_eq!((checked.report.first, checked.report.last), (from, to));
        }
        for (from, to) in [(Some(0), None), (Some(9_999), None), (Some(9), Some(8)), (None, Some(9_999))] {
            let refused = export::begin(&house.admin(), from, to).await;
            assert!(matches!(refused, Err(Error::Invalid(_))), "{from:?} {to:?}: {refused:?}");
        }
        let operator = testing::cx(&house.keyward, Role::Operator(Vec::new()));
        assert!(matches!(export::begin(&operator, None, None).await, Err(Error::Forbidden(_))));
        testing::break_audit(&house.keyward).await;
        let refused = export::begin(&house.admin(), None, None).await;
        assert!(
            matches!(refused, Err(Error::Unavailable(_))),
            "without its record nothing leaves: {refused:?}"
        );
        house.keyward.close().await;
    }
}

async fn exported(house: &House, from: Option<i64>, to: Option<i64>) -> Vec<String> {
    let export = export::begin(&house.admin(), from, to).await.unwrap();
    let mut writer = Writer::new(export);
    let mut text = String::new();
    while let Some(lines) = export::next(&house.keyward, &mut writer).await.unwrap() {
        text.push_str(&lines);
    }
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_log_is_named_once_and_its_key_goes_with_the_name() {
    for house in houses().await {
        let by_master_key = house.keyward.audit_key().unwrap();
        assert!(by_master_key.name().starts_with("keyward/mk_"), "{by_master_key}");
        let same = ops::audit::key_of(&testing::master_key(), None).unwrap();
        assert_eq!(same, by_master_key);
        house.keyward.name_audit_log("keyward.test/audit".to_owned());
        house.keyward.name_audit_log("another".to_owned());
        let named = house.keyward.audit_key().unwrap();
        assert_eq!(named.name(), "keyward.test/audit");
        write(&house.keyward, 1).await;
        round(&house).await.unwrap();
        let standing = anchors::standing(&house.admin()).await.unwrap().unwrap();
        let (checkpoint, is_signed) = Checkpoint::open(&standing.last.unwrap().note, &[named]).unwrap();
        assert_eq!((checkpoint.origin.as_str(), is_signed), ("keyward.test/audit", true));
        house.close().await;
    }
}

#[tokio::test]
async fn every_filter_of_the_log_leaves_what_looking_at_each_record_would() {
    for house in houses().await {
        let cx = house.admin();
        for number in 0..6 {
            let federation = house.federation(&format!("house-{number}")).await;
            let (id, _) = house.key(&federation, "a key").await;
            write(&house.keyward, 3).await;
            house.clock.advance(domain::DAY_MS);
            ops::keys::revoke(&cx, &id, "").await.unwrap();
        }
        let all = ops::audit::list(&cx, &AuditFilter::default(), None, 200).await.unwrap().records;
        let first = all.last().unwrap();
        let middle_ms = all[all.len() / 2].event.at_ms;
        let some = all.iter().find(|record| record.event.federation_id.is_some()).unwrap();
        let filters = [
            AuditFilter { action: Some(Action::KeyRevoked), ..AuditFilter::default() },
            AuditFilter { action: Some(Action::UserUpdated), ..AuditFilter::default() },
            AuditFilter { outcome: Some(Outcome::Refused), ..AuditFilter::default() },
            AuditFilter { outcome: Some(Outcome::Done), ..AuditFilter::default() },
            AuditFilter { from_ms: Some(middle_ms), ..AuditFilter::default() },
            AuditFilter { to_ms: Some(middle_ms), ..AuditFilter::default() },
            AuditFilter {
                from_ms: Some(first.event.at_ms),
                to_ms: Some(middle_ms),
                ..AuditFilter::default()
            },
            AuditFilter {
                action: Some(Action::KeyIssued),
                from_ms: Some(middle_ms),
                actor: Some(some.event.actor.id.clone()),
                ..AuditFilter::default()
            },
        ];
        for filter in filters {
            let event = |record: &AuditRecord| record.event.clone();
            let expected: Vec<_> = all
                .iter()
                .map(event)
                .filter(|event| filter.action.is_none_or(|action| action == event.action))
                .filter(|event| filter.outcome.is_none_or(|outcome| outcome == event.outcome))
                .filter(|event| filter.actor.as_ref().is_none_or(|actor| *actor == event.actor.id))
                .filter(|event| filter.from_ms.is_none_or(|from_ms| event.at_ms >= from_ms))
                .filter(|event| filter.to_ms.is_none_or(|to_ms| event.at_ms < to_ms))
                .collect();
            let found = ops::audit::list(&cx, &filter, None, 200).await.unwrap().records;
            assert_eq!(found.iter().map(event).collect::<Vec<_>>(), expected, "{filter:?}");
        }
        let mut people: Vec<_> = all
            .iter()
            .filter(|record| record.event.actor.kind == ActorKind::Admin)
            .map(|record| record.event.actor.id.clone())
            .collect();
        people.sort();
        people.dedup();
        let mut actors: Vec<_> =
            ops::audit::actors(&cx).await.unwrap().into_iter().map(|actor| actor.id).collect();
        actors.sort();
        assert_eq!(actors, people);
        house.close().await;
    }
}
