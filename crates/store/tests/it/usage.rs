//! Usage records: what was written reads back, in order, and what an older version wrote is still there.

use std::{path::Path, sync::Arc};

use domain::{
    FederationId, HOUR_MS, KeyId, RequestId,
    usage::{Decision, UsageRecord, filter::UsageFilter},
};
use sqlx::{Connection, PgConnection, SqliteConnection, migrate::Migrator};
use store::{
    Engine, Store,
    keys::Tolerated,
    testing,
    usage::search::{self, Budget},
};

/// More than there is.
const BUDGET: Budget = Budget { rows: 100_000, records: 100_000 };

async fn open(database: &testing::TestDatabase) -> Arc<Store> {
    store::migrate(&database.target).await.unwrap();
    Arc::new(Store::open(database.target.clone()).await.unwrap())
}

fn federation() -> FederationId {
    FederationId::new(1, [1; 10])
}

fn key(number: u8) -> KeyId {
    KeyId::new(1, [number; 10])
}

fn chance(number: i64) -> [u8; 10] {
    let mut chance = [0; 10];
    for (byte, value) in chance.iter_mut().zip(number.to_be_bytes()) {
        *byte = value;
    }
    chance
}

/// A record that differs from every other in every field that can.
fn record(number: i64) -> UsageRecord {
    let decision = match number % 3 {
        0 => Decision::Allowed,
        1 => Decision::Denied,
        _ => Decision::Refused,
    };
    let some = |text: String| (number % 2 == 0).then_some(text);
    UsageRecord {
        // Two requests in each millisecond; their ids differ by chance.
        request_id: RequestId::new(1_000 + number / 2, chance(number)),
        at_ms: 1_000 + number / 2,
        federation_id: (number % 7 != 0).then(federation),
        key_id: key(u8::try_from(number % 2).unwrap()),
        method: format!("M{number}"),
        resource_type: "Users \"quoted\" \u{1F600}\u{0}".replace('\0', "\\"),
        resource_id: some(format!("id {number}")),
        status: u16::try_from(100 + number % 500).unwrap(),
        decision,
        reason: some(format!("because [{number}]")),
        duration_us: number * 1_000_000_007,
        source: some(format!("2001:db8::{number}")),
        user_agent: some(format!("agent/{number}, \u{e9}")),
        tolerated: (0..number % 3).map(|word| format!("word-{word}")).collect(),
        is_work: number % 5 == 0,
        facts: domain::usage::Facts::default(),
        attributes: (0..number % 4).map(|name| format!("attribute-{name}")).collect(),
    }
}

fn newest_first(records: &[UsageRecord], wanted: impl Fn(&UsageRecord) -> bool) -> Vec<UsageRecord> {
    let mut found: Vec<UsageRecord> = records.iter().filter(|record| wanted(record)).cloned().collect();
    found.sort_by(|one, other| other.request_id.cmp(&one.request_id));
    found
}

#[tokio::test]
async fn what_was_written_in_any_batches_reads_back_newest_first() {
    for database in testing::databases().await {
        let store = open(&database).await;
        let records: Vec<UsageRecord> = (0..600).map(record).collect();
        // Old and new ones together, one by one and in bursts, so that batches overlap in time.
        let order: Vec<usize> = (0..600).map(|place| place * 227 % 600).collect();
        for burst in order.chunks(97) {
            let writes = burst.iter().map(|place| {
                let (store, record) = (Arc::clone(&store), records[*place].clone());
                tokio::spawn(async move { store.committer().record_usage(record, false).await })
            });
            for written in futures::future::join_all(writes).await {
                written.unwrap().unwrap();
            }
        }
        let mut reader = store.read().await.unwrap();
        let conn = &mut reader.conn();
        for number in [0, 1] {
            let all = newest_first(&records, |r| r.federation_id.is_some() && r.key_id == key(number));
            for limit in [0, 1, 2, 17, 255, 256, 257, 1_000] {
                let found = store::usage::of_key(conn, &federation(), &key(number), limit).await.unwrap();
                let expect: Vec<_> = all.iter().take(usize::try_from(limit).unwrap()).cloned().collect();
                assert_eq!(found, expect, "{:?}, limit {limit}", database.engine);
            }
        }
        let all = newest_first(&records, |r| r.federation_id.is_some());
        let found = store::usage::of_federation(conn, &federation(), 500).await.unwrap();
        assert_eq!(found, all[..500]);
        let counted = store::usage::by_hour(conn, 0).await.unwrap();
        assert_eq!(counted.iter().map(|hour| hour.count).sum::<i64>(), 600);
        let denied = counted.iter().filter(|hour| hour.decision == Decision::Denied);
        assert_eq!(denied.map(|hour| hour.count).sum::<i64>(), 200);
        drop(reader);
        store.close().await;
    }
}

#[tokio::test]
async fn hours_are_counted_apart_and_from_the_one_that_is_asked_for() {
    for database in testing::databases().await {
        let store = open(&database).await;
        for number in 0..12 {
            let at_ms = number / 4 * HOUR_MS + number;
            let record = UsageRecord { at_ms, ..record(number) };
            store.committer().record_usage(record, false).await.unwrap();
        }
        let mut reader = store.read().await.unwrap();
        let counted = store::usage::by_hour(&mut reader.conn(), HOUR_MS + 1).await.unwrap();
        let mut hours: Vec<(i64, i64)> = counted.iter().map(|hour| (hour.hour, hour.count)).collect();
        hours.sort_unstable();
        assert!(hours.iter().all(|(hour, _)| *hour >= 1));
        assert_eq!(hours.iter().map(|(_, count)| count).sum::<i64>(), 8);
        drop(reader);
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_tolerated_of_a_key_is_counted_by_word() {
    for database in testing::databases().await {
        let store = open(&database).await;
        let words = |at_ms, words: &[&str]| UsageRecord {
            request_id: RequestId::new(at_ms, chance(at_ms)),
            at_ms,
            federation_id: Some(federation()),
            key_id: key(1),
            tolerated: words.iter().map(|word| (*word).to_owned()).collect(),
            ..record(1)
        };
        for record in [words(10, &["a", "b"]), words(20, &["a"]), words(30, &[])] {
            store.committer().record_usage(record, false).await.unwrap();
        }
        let mut reader = store.read().await.unwrap();
        let found = store::keys::tolerances(&mut reader.conn(), &federation(), &key(1)).await.unwrap();
        let expect = [
            ("a".to_owned(), Tolerated { count: 2, first_ms: 10, last_ms: 20 }),
            ("b".to_owned(), Tolerated { count: 1, first_ms: 10, last_ms: 10 }),
        ];
        assert_eq!(found, expect);
        drop(reader);
        store.close().await;
    }
}

#[tokio::test]
async fn a_request_that_is_recorded_twice_keeps_both_records_and_hurts_nobody() {
    for database in testing::databases().await {
        let store = open(&database).await;
        let same =
            |status| UsageRecord { status, federation_id: Some(federation()), key_id: key(1), ..record(4) };
        let other = UsageRecord { federation_id: Some(federation()), key_id: key(1), ..record(2) };
        for record in [same(200), other.clone(), same(201), same(202)] {
            store.committer().record_usage(record, false).await.unwrap();
        }
        let mut reader = store.read().await.unwrap();
        let found = store::usage::of_key(&mut reader.conn(), &federation(), &key(1), 10).await.unwrap();
        let mut statuses: Vec<u16> = found[..3].iter().map(|record| record.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201, 202]);
        assert_eq!(found[3..], [other]);
        drop(reader);
        store.close().await;
    }
}

/// The migrations of an engine before the one that packs.
async fn older(engine: Engine) -> (Migrator, std::path::PathBuf) {
    let name = match engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
    };
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(name);
    let folder = std::env::temp_dir().join(format!("keyward-older-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(all).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        if file.as_str() < "0003" {
            std::fs::copy(&path, folder.join(file)).unwrap();
        }
    }
    (Migrator::new(folder.as_path()).await.unwrap(), folder)
}

#[tokio::test]
async fn records_of_the_older_schema_move() {
    for database in testing::databases().await {
        let (migrator, folder) = older(database.engine).await;
        let records: Vec<UsageRecord> = (0..900)
            .map(|number| UsageRecord {
                tolerated: Vec::new(),
                is_work: false,
                facts: domain::usage::Facts::default(),
                attributes: Vec::new(),
                ..record(number)
            })
            .collect();
        let insert =
            "INSERT INTO usage_records (federation_id, request_id, at_ms, key_id, method, resource_type,
            resource_id, status, decision, reason, duration_us, source, user_agent)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        macro_rules! fill {
            ($connection:expr) => {{
                let mut connection = $connection;
                migrator.run(&mut connection).await.unwrap();
                for r in &records {
                    let query = sqlx::query(insert)
                        .bind(r.federation_id.as_ref().map_or("", FederationId::as_str))
                        .bind(r.request_id.as_str())
                        .bind(r.at_ms)
                        .bind(r.key_id.as_str())
                        .bind(&r.method)
                        .bind(&r.resource_type)
                        .bind(&r.resource_id)
                        .bind(i64::from(r.status))
                        .bind(r.decision.as_str())
                        .bind(&r.reason)
                        .bind(r.duration_us)
                        .bind(&r.source)
                        .bind(&r.user_agent);
                    query.execute(&mut connection).await.unwrap();
                }
                connection.close().await.unwrap();
            }};
        }
        match database.engine {
            Engine::Sqlite => {
                let url = format!("{}?mode=rwc", database.url);
                fill!(SqliteConnection::connect(&url).await.unwrap());
            }
            Engine::Postgres => fill!(PgConnection::connect(&database.url).await.unwrap()),
        }
        std::fs::remove_dir_all(folder).unwrap();
        let store = open(&database).await;
        let mut reader = store.read().await.unwrap();
        let conn = &mut reader.conn();
        for number in [0, 1] {
            let all = newest_first(&records, |r| r.federation_id.is_some() && r.key_id == key(number));
            let found = store::usage::of_key(conn, &federation(), &key(number), 1_000).await.unwrap();
            assert_eq!(found, all, "{:?}", database.engine);
        }
        let counted = store::usage::by_hour(conn, 0).await.unwrap();
        assert_eq!(counted.iter().map(|hour| hour.count).sum::<i64>(), 900);
        let nobodys: i64 =
            counted.iter().filter(|hour| hour.federation_id.is_none()).map(|hour| hour.count).sum();
        assert_eq!(nobodys, 129);
        drop(reader);
        store.close().await;
    }
}

#[tokio::test]
async fn one_walk_over_many_federations_finds_what_a_walk_along_each_does() {
    for database in testing::databases().await {
        let store = open(&database).await;
        let ids: Vec<FederationId> =
            (1..=40).map(|number| FederationId::new(number, chance(number))).collect();
        let records: Vec<UsageRecord> = (0..700)
            .map(|number| UsageRecord {
                federation_id: usize::try_from(number * 31 % 41)
                    .ok()
                    .and_then(|place| ids.get(place))
                    .cloned(),
                ..record(number)
            })
            .collect();
        for burst in records.chunks(53) {
            let writes = burst.iter().map(|record| {
                let (store, record) = (Arc::clone(&store), record.clone());
                tokio::spawn(async move { store.committer().record_usage(record, false).await })
            });
            for written in futures::future::join_all(writes).await {
                written.unwrap().unwrap();
            }
        }
        let mut reader = store.read().await.unwrap();
        let conn = &mut reader.conn();
        let filters = [
            UsageFilter::default(),
            UsageFilter { decision: Some(Decision::Denied), ..UsageFilter::default() },
            UsageFilter { is_work: Some(true), from_ms: Some(1_050), ..UsageFilter::default() },
        ];
        let seen: Vec<Option<FederationId>> = ids.iter().take(30).cloned().map(Some).collect();
        for filter in &filters {
            let expected = newest_first(&records, |record| {
                seen.contains(&record.federation_id) && filter.matches(record)
            });
            let (mut found, mut place) = (Vec::new(), None);
            loop {
                let page = search::page(conn, &seen, filter, place.as_ref(), 7, BUDGET).await.unwrap();
                found.extend(page.records);
                place = page.next;
                if place.is_none() {
                    break;
                }
            }
            assert_eq!(found.len(), expected.len(), "{filter:?}");
            assert_eq!(found, expected, "{filter:?}");
        }
        let some = records.iter().find(|record| record.federation_id.is_some()).unwrap();
        let of_all = search::of_request_of_all(conn, &some.request_id).await.unwrap();
        assert_eq!(of_all, std::slice::from_ref(some));
        drop(reader);
        store.close().await;
    }
}
