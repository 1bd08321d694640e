//! Somebody with the password of the database changes the log: the walk names the first bad record
//! (T-AUD-01, T-AUD-02).

use domain::{
    admins::Role,
    audit::{AuditRecord, ChainFault, ChainHead},
    federations::Slug,
    scopes::Scope,
};
use ops::audit::{Verdict, verify_store};
use store::{
    Store,
    testing::{databases, run_sql},
};

use crate::{
    house::{new_federation, new_key},
    process::Place,
};

const DROP_TRIGGERS_SQLITE: &str =
    "DROP TRIGGER audit_records_no_update; DROP TRIGGER audit_records_no_delete;
    DROP TRIGGER audit_head_stays";
const DROP_TRIGGERS_POSTGRES: &str = "DROP TRIGGER audit_records_no_update ON audit_records;
    DROP TRIGGER audit_records_no_truncate ON audit_records; DROP TRIGGER audit_head_stays ON audit_head";

/// A log, its copy, and a store that reads it.
struct Scene {
    place: Place,
    store: Store,
    records: Vec<AuditRecord>,
}

impl Scene {
    async fn on(database: store::testing::TestDatabase) -> Self {
        let place = Place::on(database);
        let keyward = place.open().await;
        let admin = ops::testing::cx(&keyward, Role::Admin);
        for slug in ["okta", "entra"] {
            ops::federations::register(&admin, new_federation(slug)).await.unwrap();
            for name in ["a", "b", "c"] {
                let new = new_key(&Slug::parse(slug).unwrap(), name, Scope::full_directory());
                let key = ops::keys::issue(&admin, new).await.unwrap().key;
                ops::keys::revoke(&admin, &key.id, "for the test").await.unwrap();
            }
        }
        keyward.close().await;
        let drop_triggers = match place.database.engine {
            store::Engine::Sqlite => DROP_TRIGGERS_SQLITE,
            store::Engine::Postgres => DROP_TRIGGERS_POSTGRES,
        };
        let keep = "CREATE TABLE kept AS SELECT * FROM audit_records; CREATE TABLE kept_head AS SELECT * FROM audit_head";
        run_sql(&place.database.target, format!("{drop_triggers}; {keep}")).await;
        let store = Store::open(place.database.target.clone()).await.unwrap();
        let records = store::audit::after(&mut store.read().await.unwrap().conn(), 0, 100).await.unwrap();
        assert_eq!(records.len(), 15);
        Self { place, store, records }
    }

    async fn run(&self, sql: &str) {
        run_sql(&self.place.database.target, sql.to_owned()).await;
    }

    /// Runs the tampering, verifies, and puts everything back.
    async fn verdict_after(&self, sql: &str) -> Verdict {
        self.run(sql).await;
        let verdict = verify_store(&self.store).await.unwrap();
        self.restore().await;
        verdict
    }

    async fn restore(&self) {
        let restore = "DELETE FROM audit_records; INSERT INTO audit_records SELECT * FROM kept;
            DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM kept_head";
        self.run(restore).await;
    }

    async fn check(&self, sql: &str, expect: ChainFault) {
        let verdict = self.verdict_after(sql).await;
        assert_eq!(verdict, Verdict::Broken(expect), "{:?}: {sql}", self.place.database.engine);
    }

    async fn close(self) {
        assert!(
            matches!(verify_store(&self.store).await.unwrap(), Verdict::Whole(_)),
            "everything was put back"
        );
        self.store.close().await;
    }
}

/// SQL that writes a record in the place of another.
fn overwrite(record: &AuditRecord) -> String {
    let event = &record.event;
    format!(
        "UPDATE audit_records SET target = {}, prev_hash = '{}', hash = '{}' WHERE seq = {}",
        event.target.as_ref().map_or("NULL".to_owned(), |text| format!("'{text}'")),
        record.prev_hash,
        record.hash,
        record.seq
    )
}

/// The records from `seq` on with another target for the first, hashed anew up to the end.
fn forged_from(records: &[AuditRecord], seq: i64) -> Vec<AuditRecord> {
    let index = usize::try_from(seq - 1).unwrap();
    let mut head = ChainHead { seq: seq - 1, hash: records[index].prev_hash.clone() };
    let events = records[index..].iter().map(|record| record.event.clone());
    let events = events.enumerate().map(|(number, mut event)| {
        if number == 0 {
            event.target = Some("somebody else".to_owned());
        }
        event
    });
    events.map(|event| head.append(event)).collect()
}

#[tokio::test]
async fn every_column_of_a_record_is_held() {
    for database in databases().await {
        let scene = Scene::on(database).await;
        for seq in [1, 7, 15] {
            for change in [
                "at_ms = at_ms + 1",
                "actor_kind = 'visitor'",
                "actor_id = actor_id || 'x'",
                "actor_name = ''",
                "action = 'admin.signed-out'",
                "outcome = 'refused'",
                "reason = ''",
                "reason = 'because'",
                "federation_id = 'fed_0000000000000000000000'",
                "key_id = 'key_0000000000000000000000'",
                "target = NULL",
                "target = target || ' '",
                "source = '192.0.2.1'",
                "request_id = 'req_0000000000000000000000'",
                "detail = '{}'",
                "hash = '0000000000000000000000000000000000000000000000000000000000000000'",
                "hash = upper(hash)",
            ] {
                let sql = format!("UPDATE audit_records SET {change} WHERE seq = {seq}");
                scene.check(&sql, ChainFault::Content { seq }).await;
            }
            let link = "prev_hash = 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff'";
            scene
                .check(
                    &format!("UPDATE audit_records SET {link} WHERE seq = {seq}"),
                    ChainFault::Link { seq },
                )
                .await;
            for change in [
                "actor_kind = 'ghost'",
                "action = 'x'",
                "outcome = 'x'",
                "federation_id = 'x'",
                "key_id = ''",
            ] {
                let verdict = scene
                    .verdict_after(&format!("UPDATE audit_records SET {change} WHERE seq = {seq}"))
                    .await;
                let Verdict::Unreadable(told) = &verdict else { panic!("{change}: {verdict:?}") };
                assert!(told.contains(&format!("audit record {seq}:")), "{change}: {told}");
            }
        }
        scene.close().await;
    }
}

#[tokio::test]
async fn records_that_are_taken_out_swapped_or_put_in_are_found() {
    for database in databases().await {
        let scene = Scene::on(database).await;
        let delete = |seqs: &str| format!("DELETE FROM audit_records WHERE seq {seqs}");
        scene.check(&delete("= 1"), ChainFault::Gap { expected: 1, found: 2 }).await;
        scene.check(&delete("= 7"), ChainFault::Gap { expected: 7, found: 8 }).await;
        scene.check(&delete("BETWEEN 3 AND 9"), ChainFault::Gap { expected: 3, found: 10 }).await;
        scene.check(&delete("= 15"), ChainFault::End { expected: 15, found: 14 }).await;
        scene.check(&delete("> 5"), ChainFault::End { expected: 15, found: 5 }).await;
        scene.check(&delete("> 0"), ChainFault::End { expected: 15, found: 0 }).await;

        let swap =
            "UPDATE audit_records SET seq = -1 WHERE seq = 7; UPDATE audit_records SET seq = 7 WHERE seq = 8;
            UPDATE audit_records SET seq = 8 WHERE seq = -1";
        scene.check(swap, ChainFault::Link { seq: 7 }).await;
        let close_the_gap = "DELETE FROM audit_records WHERE seq = 7;
            UPDATE audit_records SET seq = -seq WHERE seq > 7; UPDATE audit_records SET seq = -seq - 1 WHERE seq < 0;
            UPDATE audit_head SET seq = 14";
        scene.check(close_the_gap, ChainFault::Link { seq: 7 }).await;
        let insert = |seq: &str| {
            format!(
                "INSERT INTO audit_records SELECT {seq}, at_ms, actor_kind, actor_id, actor_name, action, outcome, reason,
                federation_id, key_id, target, source, request_id, detail, prev_hash, hash FROM kept WHERE seq = 7"
            )
        };
        scene.check(&insert("16"), ChainFault::Link { seq: 16 }).await;
        scene.check(&insert("99"), ChainFault::Gap { expected: 16, found: 99 }).await;
        scene
            .check(
                &format!("DELETE FROM audit_records WHERE seq = 9; {}", insert("9")),
                ChainFault::Link { seq: 9 },
            )
            .await;
        // What stands before the first place is part of the log, too.
        let verdict = scene.verdict_after(&insert("0")).await;
        assert_eq!(
            verdict,
            Verdict::Broken(ChainFault::Gap { expected: 1, found: 0 }),
            "a record at place 0"
        );
        scene.close().await;
    }
}

#[tokio::test]
async fn who_can_hash_is_found_at_the_next_record_or_at_the_head() {
    for database in databases().await {
        let scene = Scene::on(database).await;
        let one = &forged_from(&scene.records, 7)[0];
        scene.check(&overwrite(one), ChainFault::Link { seq: 8 }).await;
        let last = &forged_from(&scene.records, 15)[0];
        scene.check(&overwrite(last), ChainFault::Head { seq: 15 }).await;
        let rest: Vec<String> = forged_from(&scene.records, 7).iter().map(overwrite).collect();
        scene.check(&rest.join("; "), ChainFault::Head { seq: 15 }).await;

        // The tail after record 9, cut off with the head: nothing inside the database can tell. The program
        // must not claim more than it knows.
        let cut = format!(
            "DELETE FROM audit_records WHERE seq > 9; UPDATE audit_head SET seq = 9, hash = '{}'",
            scene.records[8].hash
        );
        scene.run(&cut).await;
        assert!(matches!(
            verify_store(&scene.store).await.unwrap(),
            Verdict::Whole(ChainHead { seq: 9, .. })
        ));
        let told = String::from_utf8(scene.place.run(&["audit", "verify"]).await.stdout).unwrap();
        assert!(told.contains("The chain is whole: 9 records"), "{told}");
        assert!(told.contains("Nothing outside of this database vouches for the head"), "{told}");
        scene.store.close().await;
    }
}

#[tokio::test]
async fn a_hundred_random_changes_are_all_found_where_they_are() {
    for database in databases().await {
        let scene = Scene::on(database).await;
        let mut state = 42_u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % limit
        };
        for _ in 0..100 {
            let seq = i64::try_from(below(15) + 1).unwrap();
            let column =
                ["actor_id", "actor_name", "target", "request_id", "detail", "hash", "prev_hash"][below(7)];
            let place = below(10) + 1;
            let letter = char::from_digit(u32::try_from(below(26)).unwrap() + 10, 36).unwrap();
            // One character more, somewhere.
            let sql = format!(
                "UPDATE audit_records SET {column} = substr({column}, 1, {place}) || '{letter}' || substr({column}, {}) \
                 WHERE seq = {seq}",
                place + 1
            );
            let expect =
                if column == "prev_hash" { ChainFault::Link { seq } } else { ChainFault::Content { seq } };
            scene.check(&sql, expect).await;
        }
        scene.close().await;
    }
}

#[tokio::test]
async fn the_program_names_the_first_bad_record_and_ends_with_1() {
    for database in databases().await {
        let scene = Scene::on(database).await;
        let whole = scene.place.run(&["audit", "verify"]).await;
        assert_eq!(whole.status.code(), Some(0), "{}", String::from_utf8_lossy(&whole.stderr));
        assert!(String::from_utf8_lossy(&whole.stdout).starts_with("The chain is whole: 15 records"));
        for (sql, words) in [
            (
                "UPDATE audit_records SET actor_name = 'x' WHERE seq IN (7, 9)",
                "record 7 is not as it was written",
            ),
            ("DELETE FROM audit_records WHERE seq = 4", "record 4 is missing"),
            ("DELETE FROM audit_head", "the audit chain was not verified"),
            ("DROP TABLE audit_records", "truncation: the log ends at record 0"),
        ] {
            scene.restore().await;
            scene.run(sql).await;
            let broken = scene.place.run(&["audit", "verify"]).await;
            let told = String::from_utf8_lossy(&broken.stderr).into_owned();
            assert_eq!(broken.status.code(), Some(1), "{told}");
            assert!(told.contains(words), "{sql}: {told}");
            assert!(broken.stdout.is_empty());
        }
        scene.store.close().await;
    }
}
