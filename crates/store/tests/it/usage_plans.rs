//! Searching 200,000 usage records: the newest page and the last one are read by an index, whatever is asked for, and
//! what a row says of its records beside them keeps a search from reading those that hold nothing.

use domain::{
    FederationId, KeyId, RequestId,
    usage::{
        Decision, Facts, UsageRecord,
        filter::{PARAMETERS, UsageFilter},
    },
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use store::{
    Engine, Store,
    testing::{self, Scratch, TestDatabase},
    usage::search::{Budget, Found, Place, page},
};

const RECORDS: i64 = 200_000;

/// Records that the committer writes at once, over four keys.
const BATCH: i64 = 200;

/// 2026-01-01, and how far requests are apart.
const START_MS: i64 = 1_767_225_600_000;
const APART_MS: i64 = 100;

/// What one page may look at: every row, and the records of one in forty.
const BUDGET: Budget = Budget { rows: 8_000, records: 5_000 };

fn federation(number: u8) -> FederationId {
    FederationId::new(1, [number; 10])
}

/// Three keys of the first federation, one of the second.
fn key(number: i64) -> (FederationId, KeyId) {
    let number = u8::try_from(number % 4).unwrap();
    (federation(number / 3), KeyId::new(1, [number; 10]))
}

fn request(number: i64) -> RequestId {
    let mut chance = [0; 10];
    for (byte, value) in chance.iter_mut().zip(number.to_be_bytes()) {
        *byte = value;
    }
    RequestId::new(START_MS + number * APART_MS, chance)
}

/// Nearly all alike; seldom something else, and then all of it.
fn record(number: i64) -> UsageRecord {
    let (federation_id, key_id) = key(number);
    let is_rare = number % 20_001 == 0;
    UsageRecord {
        request_id: request(number),
        at_ms: START_MS + number * APART_MS,
        federation_id: Some(federation_id),
        key_id,
        method: if is_rare { "DELETE" } else { "GET" }.to_owned(),
        resource_type: if is_rare { "Groups" } else { "Users" }.to_owned(),
        resource_id: Some(if is_rare { "rare".to_owned() } else { format!("user-{}", number % 1_000) }),
        status: if is_rare { 403 } else { 200 },
        decision: if is_rare { Decision::Denied } else { Decision::Allowed },
        reason: None,
        duration_us: 700,
        source: Some(if is_rare { "192.0.2.1" } else { "198.51.100.7" }.to_owned()),
        user_agent: Some(if is_rare { "rare/1" } else { "Okta SCIM Client 1.0" }.to_owned()),
        tolerated: Vec::new(),
        is_work: is_rare,
        facts: Facts::default(),
        attributes: if is_rare { vec!["rare".to_owned()] } else { Vec::new() },
    }
}

async fn filled(database: &TestDatabase) -> Store {
    store::migrate(&database.target).await.unwrap();
    let mut scratch = Scratch::open(&database.target).await;
    scratch.run("BEGIN".to_owned()).await;
    for first in (0..RECORDS).step_by(usize::try_from(BATCH).unwrap()) {
        let records: Vec<UsageRecord> = (first..first + BATCH).map(record).collect();
        testing::write_usage(&mut scratch.conn(), &records).await.unwrap();
    }
    scratch.run("COMMIT".to_owned()).await;
    scratch.close().await;
    if database.engine == Engine::Postgres {
        testing::run_sql(&database.target, "ANALYZE".to_owned()).await;
    }
    Store::open(database.target.clone()).await.unwrap()
}

/// What a statement is asked with.
#[derive(Debug, Clone)]
enum Bind {
    Text(Option<String>),
    Number(i64),
}

fn text(text: impl Into<String>) -> Bind {
    Bind::Text(Some(text.into()))
}

/// How a database would run a statement, one line a step.
async fn explain(database: &TestDatabase, sql: &str, binds: &[Bind]) -> String {
    macro_rules! steps {
        ($connection:ty, $prefix:literal, $column:expr) => {{
            let mut connection = <$connection>::connect(&database.url).await.unwrap();
            let mut query = sqlx::query(AssertSqlSafe(format!("{} {sql}", $prefix)));
            for bind in binds {
                query = match bind {
                    Bind::Text(text) => query.bind(text.as_deref()),
                    Bind::Number(number) => query.bind(*number),
                };
            }
            let rows = query.fetch_all(&mut connection).await.unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.get($column)).collect();
            connection.close().await.unwrap();
            steps.join("\n")
        }};
    }
    match database.engine {
        Engine::Sqlite => steps!(SqliteConnection, "EXPLAIN QUERY PLAN", "detail"),
        Engine::Postgres => steps!(PgConnection, "EXPLAIN", 0),
    }
}

/// A statement of the store.
fn sql(module: &str, name: &str) -> &'static str {
    let found = store::all_statements().into_iter().find(|(of, is, _)| (*of, *is) == (module, name));
    found.unwrap_or_else(|| panic!("{module} has no {name}")).2
}

/// Asserts that a plan goes along an index by the id of requests and reads no table as a whole; nor, of many rows,
/// sorts all that it reads.
fn assert_walks(engine: Engine, plan: &str, index: &str, are_many: bool, what: &str) {
    let is_bad = |line: &str| match engine {
        Engine::Sqlite => {
            line.starts_with("SCAN usage") || (are_many && line.contains("TEMP B-TREE FOR ORDER BY"))
        }
        // An incremental sort has the order of the index already, and sorts what is alike in it.
        Engine::Postgres => {
            let step = line.trim_start_matches([' ', '-', '>']);
            step.starts_with("Seq Scan") || (are_many && step.starts_with("Sort  (cost"))
        }
    };
    assert!(!plan.lines().any(is_bad), "{engine:?} {what}:\n{plan}");
    // Of the indexes that have the ids of requests in their order, Postgres takes the one that its statistics of these
    // rows speak for. SQLite keeps none.
    let index = match (engine, index) {
        (Engine::Sqlite, "usage_batches_pkey") => "sqlite_autoindex_usage_batches_1",
        (Engine::Sqlite, index) => index,
        (Engine::Postgres, _) => "usage_batches_",
    };
    let goes_along = |line: &str| match engine {
        Engine::Sqlite => line.contains(index) && line.contains("last_request_id"),
        Engine::Postgres => line.contains("Index Cond") && line.contains("last_request_id"),
    };
    assert!(plan.contains(index) && plan.lines().any(goes_along), "{engine:?} {what}:\n{plan}");
}

/// Every statement of a search with what it is asked with for a place: the first page, the last one.
async fn check_plans(database: &TestDatabase, place: &Place, what: &str) {
    let own = federation(0);
    let rare = Some("%\"rare\"%".to_owned());
    for (least, marks, inside) in
        [("", 0, None), ("", 2, None), ("", 0, rare.clone()), (request(7).as_str(), 1 << 12, rare)]
    {
        let binds = |federation: Option<&FederationId>, key: Option<&KeyId>| {
            vec![
                Bind::Text(federation.map(ToString::to_string)),
                text(&place.start),
                text(&place.before),
                text(least),
                Bind::Number(marks),
                Bind::Text(inside.clone()),
                Bind::Text(key.map(ToString::to_string)),
                Bind::Number(32),
                Bind::Number(0),
            ]
        };
        let key = key(1).1;
        for (name, index, binds) in [
            ("OF_KEY", "usage_batches_pkey", binds(Some(&own), Some(&key))),
            ("OF_FEDERATION", "usage_batches_federation", binds(Some(&own), None)),
            ("OF_ALL", "usage_batches_recent", binds(None, None)),
        ] {
            let plan = explain(database, sql("usage_search", name), &binds).await;
            assert_walks(
                database.engine,
                &plan,
                index,
                place.start == "s",
                &format!("{name}, {what}, {least} {marks} {inside:?}"),
            );
        }
    }
}

#[tokio::test]
async fn the_first_page_and_the_last_are_read_by_an_index_whatever_is_asked_for() {
    for database in testing::databases().await {
        let store = filled(&database).await;
        check_plans(&database, &Place::newest(), "the first page").await;
        let last = Place { before: request(60).to_string(), start: request(199).to_string() };
        check_plans(&database, &last, "the last page").await;

        // One request, by its id alone; and what other nodes wrote a moment ago.
        let (id, late) = (request(100_000), request(100_000 + 9_000));
        let inside = format!("%\"{id}\"%");
        let own = federation(0);
        let binds = [text(own.as_str()), text(id.as_str()), text(late.as_str()), text(&inside)];
        let plan = explain(&database, sql("usage_search", "OF_REQUEST"), &binds).await;
        assert_walks(database.engine, &plan, "usage_batches_federation", false, "OF_REQUEST");
        let plan = explain(&database, sql("usage_search", "OF_REQUEST_OF_ALL"), &binds[1..]).await;
        assert_walks(database.engine, &plan, "usage_batches_recent", false, "OF_REQUEST_OF_ALL");
        let recent = request(RECORDS - 300);
        let binds = [text(recent.as_str()), text("s"), Bind::Number(1_024)];
        let plan = explain(&database, sql("feed", "SINCE"), &binds).await;
        assert_walks(database.engine, &plan, "usage_batches_recent", true, "SINCE");

        answers(&database, &store).await;
        store.close().await;
    }
}

/// What a page has to look at, by what is asked for.
enum Cost {
    /// Rows say what is in them: those without are passed by, and one page finds all.
    Passes,
    /// Only the records say it: a page looks at as many as it may, and says so.
    Reads,
}

/// A value of every parameter that leaves little, and what it costs.
fn cases() -> Vec<(&'static str, String, Cost)> {
    let until = START_MS + 10 * APART_MS;
    vec![
        ("federation", "second".to_owned(), Cost::Passes),
        ("key", key(0).1.to_string(), Cost::Passes),
        ("from", (START_MS + (RECORDS - 10) * APART_MS).to_string(), Cost::Passes),
        ("to", until.to_string(), Cost::Passes),
        ("method", "DELETE".to_owned(), Cost::Passes),
        ("type", "Groups".to_owned(), Cost::Passes),
        ("resource", "rare".to_owned(), Cost::Passes),
        // Who searches makes the id of the resource of it.
        ("person", "rare".to_owned(), Cost::Passes),
        ("status", "403".to_owned(), Cost::Passes),
        ("decision", "denied".to_owned(), Cost::Passes),
        ("source", "192.0.2.1".to_owned(), Cost::Reads),
        ("agent", "rare".to_owned(), Cost::Reads),
        ("attribute", "rare".to_owned(), Cost::Reads),
        ("request", request(20_001).to_string(), Cost::Passes),
        ("work", "yes".to_owned(), Cost::Passes),
    ]
}

async fn found(
    store: &Store,
    filter: &UsageFilter,
    of: &[Option<FederationId>],
    place: Option<&Place>,
    budget: Budget,
) -> Found {
    let mut reader = store.read().await.unwrap();
    page(&mut reader.conn(), of, filter, place, 50, budget).await.unwrap()
}

/// Walks pages to the end.
async fn walked(
    store: &Store,
    filter: &UsageFilter,
    of: &[Option<FederationId>],
) -> (Vec<UsageRecord>, usize) {
    let (mut records, mut place, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = found(store, filter, of, place.as_ref(), BUDGET).await;
        records.extend(page.records);
        pages += 1;
        match page.next {
            Some(next) => place = Some(next),
            None => return (records, pages),
        }
    }
}

async fn answers(database: &TestDatabase, store: &Store) {
    let walked_names: std::collections::BTreeSet<&str> = cases().iter().map(|(name, ..)| *name).collect();
    let known: std::collections::BTreeSet<&str> = PARAMETERS.into_iter().collect();
    assert_eq!(walked_names, known, "every parameter has a case");
    let both = [Some(federation(0)), Some(federation(1))];
    for (name, value, cost) in cases() {
        let what = format!("{:?} {name}={value}", database.engine);
        let (filter, of) = match name {
            "federation" => (UsageFilter::default(), &both[1..]),
            "person" => (UsageFilter { resource_id: Some(value), ..UsageFilter::default() }, &both[..]),
            _ => (UsageFilter::parse([(name, value.as_str())]).unwrap(), &both[..]),
        };
        let of_it = |record: &UsageRecord| filter.matches(record) && of.contains(&record.federation_id);
        let newest = (0..RECORDS).rev().map(record).filter(|record| of_it(record));
        match (name, cost) {
            // What leaves much: a page of it looks at what it gives and little more.
            ("federation" | "key", _) => {
                let page = found(store, &filter, of, None, BUDGET).await;
                assert_eq!(page.records, newest.take(50).collect::<Vec<_>>(), "{what}");
                assert!(!page.is_cut && page.next.is_some(), "{what}");
            }
            (_, Cost::Passes) => {
                let page = found(store, &filter, of, None, BUDGET).await;
                assert_eq!(page.records, newest.collect::<Vec<_>>(), "{what}");
                assert!(!page.is_cut && page.next.is_none(), "{what} in one page");
            }
            (_, Cost::Reads) => {
                let (records, pages) = walked(store, &filter, of).await;
                assert_eq!(records, newest.collect::<Vec<_>>(), "{what}");
                // Rows that lie across the end of a page are read twice.
                let bound = 2 * usize::try_from(RECORDS).unwrap().div_ceil(BUDGET.records);
                assert!((2..=bound).contains(&pages), "{what}: {pages} pages");
            }
        }
    }
    // The last page by its cursor: what is left, and nothing after it.
    let place = Place { before: request(30).to_string(), start: request(BATCH - 1).to_string() };
    let page =
        found(store, &UsageFilter::default(), &both, Some(&place), Budget { rows: 8, records: 400 }).await;
    assert_eq!(page.records, (0..30).rev().map(record).collect::<Vec<_>>(), "{:?}", database.engine);
    assert!(!page.is_cut && page.next.is_none(), "{:?}: {:?}", database.engine, page.next);
}
