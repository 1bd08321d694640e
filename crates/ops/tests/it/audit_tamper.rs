//! The database's superuser changes the log in every way there is, a thousand times and once more a thousand on each database: with an
//! anchor every one is found, with its class and its place (T-AUD-01, T-AUD-02).
//!
//! Each tampering is a transaction that is rolled back, so that the next one finds the log as it was.

use domain::audit::{
    entry::Entry,
    verify::{Class, Fault, Trust},
};
use futures::future::join_all;
use ops::{
    audit::{checkpoint, examine::examine},
    testing,
};
use store::{Engine, checkpoints, testing::Scratch};

use crate::support::{House, houses};

/// How many tamperings one test does.
const TIMES: usize = 1_000;

/// How many records lie between two checkpoints.
const EVERY: usize = 16;

/// What is true of records between two checkpoints.
struct Scene {
    scratch: Scratch,
    entries: Vec<Entry>,
    trust: Trust,
    is_sqlite: bool,
    chance: u64,
}

/// What was done, and what must be said of it.
struct Tampering {
    what: &'static str,
    sql: String,
    classes: &'static [Class],
    /// A record that lies in the place.
    place: i64,
    lost: Option<i64>,
}

fn tampering(what: &'static str, classes: &'static [Class], place: i64, sql: String) -> Tampering {
    Tampering { what, sql, classes, place, lost: None }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn or_null(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), quoted)
}

fn insert(entry: &Entry) -> String {
    format!(
        "INSERT INTO audit_records (seq, at_ms, actor_kind, actor_id, actor_name, action, outcome, reason, federation_id,
        key_id, target, source, request_id, detail, prev_hash, hash)
        VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
        entry.seq,
        entry.at_ms,
        quoted(&entry.actor_kind),
        quoted(&entry.actor_id),
        quoted(&entry.actor_name),
        quoted(&entry.action),
        quoted(&entry.outcome),
        or_null(entry.reason.as_deref()),
        or_null(entry.federation_id.as_deref()),
        or_null(entry.key_id.as_deref()),
        or_null(entry.target.as_deref()),
        or_null(entry.source.as_deref()),
        quoted(&entry.request_id),
        quoted(&entry.detail),
        quoted(&entry.prev_hash),
        quoted(&entry.hash)
    )
}

fn head(seq: i64, hash: &str) -> String {
    format!("UPDATE audit_head SET seq = {seq}, hash = '{hash}'")
}

impl Scene {
    async fn on(house: &House, chance: u64) -> Self {
        let visitor = testing::visitor(&house.keyward);
        let mut notes = String::new();
        for _ in 0..6 {
            let written = join_all((0..EVERY).map(|_| ops::admins::refuse_sign_in(&visitor, "state"))).await;
            assert!(written.iter().all(Result::is_ok));
            checkpoint::sign_now(&house.keyward).await.unwrap();
            notes.push_str(
                &ops::audit::anchors::standing(&house.admin()).await.unwrap().unwrap().last.unwrap().note,
            );
        }
        let mut trust = Trust::new(vec![house.keyward.audit_key().unwrap()]);
        trust.add_anchor("the anchor", &notes);
        let mut scratch = Scratch::open(&house.database.target).await;
        let entries = checkpoints::entries(&mut scratch.conn(), 0, 1_000).await.unwrap();
        Self { scratch, entries, trust, is_sqlite: house.database.engine == Engine::Sqlite, chance }
    }

    fn below(&mut self, limit: i64) -> i64 {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.chance >> 33).unwrap() % limit
    }

    fn count(&self) -> i64 {
        i64::try_from(self.entries.len()).unwrap()
    }

    fn at(&self, seq: i64) -> &Entry {
        &self.entries[usize::try_from(seq - 1).unwrap()]
    }

    /// Records from `seq` on, another target in the first, hashed anew.
    fn recomputed(&self, seq: i64) -> Vec<Entry> {
        let mut prev = self.at(seq).prev_hash.clone();
        let from = self.entries[usize::try_from(seq - 1).unwrap()..].iter().enumerate();
        from.map(|(number, entry)| {
            let mut entry = Entry { prev_hash: prev.clone(), ..entry.clone() };
            if number == 0 {
                entry.target = Some("somebody else".to_owned());
            }
            entry.hash = domain::hex(&entry.computed());
            prev.clone_from(&entry.hash);
            entry
        })
        .collect()
    }

    fn replace(entries: &[Entry]) -> String {
        let from = entries[0].seq;
        let inserts: Vec<String> = entries.iter().map(insert).collect();
        format!("DELETE FROM audit_records WHERE seq >= {from}; {}", inserts.join("; "))
    }

    /// SQL without which no two rows stand in one place.
    fn without_key(&self) -> &'static str {
        if self.is_sqlite {
            "CREATE TABLE loose AS SELECT * FROM audit_records; DROP TABLE audit_records;
            ALTER TABLE loose RENAME TO audit_records"
        } else {
            "ALTER TABLE audit_records DROP CONSTRAINT audit_records_pkey"
        }
    }

    fn next(&mut self) -> Tampering {
        let count = self.count();
        let seq = self.below(count) + 1;
        match self.below(12) {
            0..=2 => self.column(seq),
            3 => {
                let mut entry = self.at(seq).clone();
                entry.target = Some("somebody else".to_owned());
                entry.hash = domain::hex(&entry.computed());
                let sql = format!("DELETE FROM audit_records WHERE seq = {seq}; {}", insert(&entry));
                tampering("edit and hash", &[Class::Edit, Class::Forgery], seq, sql)
            }
            4 => {
                let first = if self.below(4) == 0 { 1 } else { seq.min(count - 1) };
                let last = (first + self.below(5)).min(count - 1);
                let sql = format!("DELETE FROM audit_records WHERE seq BETWEEN {first} AND {last}");
                let lost = Some(last - first + 1);
                Tampering { lost, ..tampering("delete", &[Class::Deletion], first, sql) }
            }
            5 => {
                let other = seq % count + 1;
                let other = if self.below(2) == 0 { other } else { self.below(count) + 1 };
                let (a, b) = if seq == other {
                    (seq.min(count - 1), seq.min(count - 1) + 1)
                } else {
                    (seq.min(other), seq.max(other))
                };
                let sql = format!(
                    "UPDATE audit_records SET seq = -1 WHERE seq = {a}; UPDATE audit_records SET seq = {a} WHERE seq = {b};
                    UPDATE audit_records SET seq = {b} WHERE seq = -1"
                );
                tampering("swap", &[Class::Reorder], a, sql)
            }
            6 => self.forged_insert(seq),
            7 => {
                let mut copy = self.at(seq).clone();
                if self.below(2) == 0 {
                    "{\"a\":1}".clone_into(&mut copy.detail);
                }
                let sql = format!("{}; {}", self.without_key(), insert(&copy));
                // Which of the two comes first is the database's to say.
                tampering("duplicate", &[Class::Insertion, Class::Edit], seq, sql)
            }
            8 => {
                let by = if self.below(2) == 0 { 1 } else { -86_400_000 };
                let sql = format!("UPDATE audit_records SET at_ms = at_ms + {by} WHERE seq >= {seq}");
                tampering("times", &[Class::Edit], seq, sql)
            }
            9 => {
                let forged = self.recomputed(seq);
                let mut sql = Self::replace(&forged);
                if self.below(2) == 0 {
                    sql = format!("{sql}; {}", head(count, &forged.last().unwrap().hash));
                }
                tampering("recompute", &[Class::Forgery], seq, sql)
            }
            10 => self.cut(seq),
            _ => self.whole(),
        }
    }

    fn column(&mut self, seq: i64) -> Tampering {
        let changes = [
            "at_ms = at_ms + 1",
            "actor_kind = 'ghost'",
            "actor_id = actor_id || 'x'",
            "actor_name = ''",
            "action = 'no.such'",
            "outcome = 'done' || outcome",
            "reason = reason || '.'",
            "federation_id = ''",
            "key_id = 'key_x'",
            "target = coalesce(target, '') || 'x'",
            "source = '192.0.2.1'",
            "request_id = ''",
            "detail = detail || ' '",
            "hash = upper(hash) || 'x'",
            "prev_hash = 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff'",
        ];
        let change = changes[usize::try_from(self.below(15)).unwrap()];
        // What has no reason is given one.
        let change =
            if change.starts_with("reason") { "reason = coalesce(reason, '') || '.'" } else { change };
        let sql = format!("UPDATE audit_records SET {change} WHERE seq = {seq}");
        tampering("column", &[Class::Edit], seq, sql)
    }

    fn forged_insert(&mut self, seq: i64) -> Tampering {
        let count = self.count();
        let is_end = self.below(3) == 0;
        let (seq, prev) = if is_end {
            (count + 1, self.at(count).hash.clone())
        } else {
            (seq, self.at(seq).prev_hash.clone())
        };
        let mut forged =
            Entry { seq, prev_hash: prev, target: Some("nobody".to_owned()), ..self.at(1).clone() };
        forged.hash = domain::hex(&forged.computed());
        let mut sql = String::new();
        if !is_end {
            sql = format!(
                "UPDATE audit_records SET seq = -seq WHERE seq >= {seq}; UPDATE audit_records SET seq = 1 - seq WHERE seq < 0; "
            );
        }
        // Where a checkpoint stands, the tree is wrong before the chain is.
        tampering("insert", &[Class::Insertion, Class::Forgery], seq, sql + &insert(&forged))
    }

    fn cut(&mut self, seq: i64) -> Tampering {
        let count = self.count();
        let left = match self.below(4) {
            0 => count - 1,
            1 => 0,
            _ => seq - 1,
        };
        let mut sql = format!("DELETE FROM audit_records WHERE seq > {left}");
        let mut class: &[Class] = &[Class::Truncation];
        if self.below(2) == 0 && left > 0 {
            let hash = &self.at(left).hash;
            sql = format!("{sql}; DELETE FROM checkpoints WHERE size > {left}; {}", head(left, hash));
            class = &[Class::Rollback];
        }
        Tampering { lost: Some(count - left), ..tampering("cut", class, left + 1, sql) }
    }

    fn whole(&mut self) -> Tampering {
        let count = self.count();
        if self.below(3) == 0 {
            let lost = Some(count);
            let sql = "DROP TABLE audit_records".to_owned();
            return Tampering { lost, ..tampering("drop", &[Class::Truncation], 1, sql) };
        }
        let mut prev = domain::audit::GENESIS.to_owned();
        let forged: Vec<Entry> = self
            .entries
            .iter()
            .map(|entry| {
                let mut entry =
                    Entry { prev_hash: prev.clone(), actor_name: "Another".to_owned(), ..entry.clone() };
                entry.hash = domain::hex(&entry.computed());
                prev.clone_from(&entry.hash);
                entry
            })
            .collect();
        let keep = usize::try_from(20 + self.below(count - 20)).unwrap();
        let forged = &forged[..keep];
        let last = forged.last().unwrap();
        let sql =
            format!("DELETE FROM checkpoints; {}; {}", Self::replace(forged), head(last.seq, &last.hash));
        tampering("another", &[Class::Replaced], 1, sql)
    }

    async fn fault_after(&mut self, sql: &str, trust: &Trust) -> Option<Fault> {
        let drop = if self.is_sqlite {
            "DROP TRIGGER audit_records_no_update; DROP TRIGGER audit_records_no_delete; DROP TRIGGER audit_head_stays;
            DROP TRIGGER checkpoints_no_update; DROP TRIGGER checkpoints_no_delete"
        } else {
            "DROP TRIGGER audit_records_no_update ON audit_records; DROP TRIGGER audit_head_stays ON audit_head;
            DROP TRIGGER checkpoints_no_update ON checkpoints"
        };
        self.scratch.run(format!("BEGIN; {drop}; {sql}")).await;
        let report = examine(&mut self.scratch.conn(), trust).await.unwrap();
        self.scratch.run("ROLLBACK".to_owned()).await;
        report.fault
    }
}

async fn a_thousand(house: House, chance: u64) {
    let mut scene = Scene::on(&house, chance).await;
    let trust = scene.trust.clone();
    assert_eq!(scene.fault_after("SELECT 1", &trust).await, None, "nothing was changed");
    let mut kinds = std::collections::BTreeMap::<&str, usize>::new();
    for number in 0..TIMES {
        let Tampering { what, sql, classes, place, lost } = scene.next();
        let fault = scene.fault_after(&sql, &trust).await;
        let fault = fault.unwrap_or_else(|| panic!("{number}: {what} at {place} was not found: {sql}"));
        let told = &fault.told;
        assert!(
            classes.contains(&fault.class),
            "{number}: {what} at {place} is none of {classes:?}: {told}: {sql}"
        );
        assert!((fault.from..=fault.to).contains(&place), "{number}: {what} at {place}: {told}");
        // A forged stretch is no longer than the way between two checkpoints.
        let is_near = fault.to - fault.from < i64::try_from(EVERY).unwrap() + 1;
        let is_place = matches!(fault.class, Class::Edit | Class::Forgery | Class::Insertion);
        assert!(is_near || !is_place, "{number}: {what} at {place}: {told}");
        if let Some(lost) = lost {
            assert_eq!(fault.lost, lost, "{number}: {what} at {place}: {told}");
        }
        *kinds.entry(what).or_default() += 1;
    }
    assert_eq!(kinds.len(), 11, "every kind came: {kinds:?}");
    assert!(kinds.values().all(|times| *times > 10), "{kinds:?}");
    assert_eq!(scene.fault_after("SELECT 1", &trust).await, None, "everything is as it was");
    scene.scratch.close().await;
    house.close().await;
}

#[tokio::test]
async fn a_thousand_tamperings_with_sqlite_are_all_found_where_they_are() {
    for house in houses().await.into_iter().filter(|house| house.database.engine == Engine::Sqlite) {
        a_thousand(house, 42).await;
    }
}

#[tokio::test]
async fn another_thousand_tamperings_with_sqlite_are_all_found_where_they_are() {
    for house in houses().await.into_iter().filter(|house| house.database.engine == Engine::Sqlite) {
        a_thousand(house, 4_711).await;
    }
}

#[tokio::test]
async fn a_thousand_tamperings_with_postgres_are_all_found_where_they_are() {
    for house in houses().await.into_iter().filter(|house| house.database.engine == Engine::Postgres) {
        a_thousand(house, 42).await;
    }
}

#[tokio::test]
async fn another_thousand_tamperings_with_postgres_are_all_found_where_they_are() {
    for house in houses().await.into_iter().filter(|house| house.database.engine == Engine::Postgres) {
        a_thousand(house, 4_711).await;
    }
}

#[tokio::test]
async fn without_an_anchor_a_rollback_shows_as_unanchored_and_never_as_verified() {
    for house in houses().await {
        let mut scene = Scene::on(&house, 42).await;
        let keys = Trust::new(scene.trust.keys().to_vec());
        let hash = scene.at(40).hash.clone();
        let sql = format!(
            "DELETE FROM audit_records WHERE seq > 40; DELETE FROM checkpoints WHERE size > 40; {}",
            head(40, &hash)
        );
        let fault = scene.fault_after(&sql, &scene.trust.clone()).await.unwrap();
        assert_eq!(fault.class, Class::Rollback);
        assert_eq!(scene.fault_after(&sql, &keys).await, None, "nothing inside the database can tell");
        let report = examine(&mut scene.scratch.conn(), &keys).await.unwrap();
        assert!(report.words().contains("Unanchored since record 1"), "{}", report.words());
        assert!(!report.words().to_lowercase().contains("verified"), "{}", report.words());
        scene.scratch.close().await;
        house.close().await;
    }
}
