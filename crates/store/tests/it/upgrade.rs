//! What a migration does with rows that are there.

use domain::{
    FederationId, KeyId,
    keys::KeyState,
    rotations::{Cause, Stage, Step},
};
use store::{Engine, Store, testing};

/// The migrations before rotation, and that one.
const SQLITE: [&str; 6] = [
    include_str!("../../../../migrations/sqlite/0001_house.sql"),
    include_str!("../../../../migrations/sqlite/0002_directory.sql"),
    include_str!("../../../../migrations/sqlite/0003_usage.sql"),
    include_str!("../../../../migrations/sqlite/0004_gateway.sql"),
    include_str!("../../../../migrations/sqlite/0005_oauth.sql"),
    include_str!("../../../../migrations/sqlite/0006_rotation.sql"),
];
const POSTGRES: [&str; 6] = [
    include_str!("../../../../migrations/postgres/0001_house.sql"),
    include_str!("../../../../migrations/postgres/0002_directory.sql"),
    include_str!("../../../../migrations/postgres/0003_usage.sql"),
    include_str!("../../../../migrations/postgres/0004_gateway.sql"),
    include_str!("../../../../migrations/postgres/0005_oauth.sql"),
    include_str!("../../../../migrations/postgres/0006_rotation.sql"),
];

/// The later ones that add to what this test reads.
const SQLITE_LATER: [&str; 2] = [
    include_str!("../../../../migrations/sqlite/0009_scopes.sql"),
    include_str!("../../../../migrations/sqlite/0010_behaviours.sql"),
];
const POSTGRES_LATER: [&str; 2] = [
    include_str!("../../../../migrations/postgres/0009_scopes.sql"),
    include_str!("../../../../migrations/postgres/0010_behaviours.sql"),
];

/// 2100-01-01: after any day on which this test runs.
const LATER_MS: i64 = 4_102_444_800_000;

/// 2001-09-09: before any.
const PAST_MS: i64 = 1_000_000_000_000;

fn key(number: u8) -> KeyId {
    KeyId::new(PAST_MS, [number; 10])
}

/// A key, its end, the end of its overlap, its successor, and its first use.
fn row(
    federation: &FederationId,
    number: u8,
    expires_ms: i64,
    overlap: Option<(i64, u8)>,
    first_used_ms: Option<i64>,
) -> String {
    let text = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
    let successor = text(overlap.map(|(_, number)| format!("'{}'", key(number))));
    let retires = text(overlap.map(|(at, _)| at.to_string()));
    let used = text(first_used_ms.map(|at| at.to_string()));
    let scope = serde_json::json!(domain::scopes::Scope::full_directory());
    format!(
        "INSERT INTO provisioning_keys (federation_id, id, name, live_name, hash, last_four, scope, issued_by, issued_ms,
            expires_ms, retires_ms, successor_id, first_used_ms, last_used_ms, version, proof)
        VALUES ('{federation}', '{}', 'key {number}', 'key {number}', '00', 'abcd',
            '{scope}', 'Ada', {PAST_MS}, {expires_ms}, {retires}, {successor}, {used}, {used}, 1, 'static');\n",
        key(number)
    )
}

#[tokio::test]
async fn overlaps_that_are_under_way_become_rotations_and_no_key_wakes_up() {
    for database in testing::databases().await {
        let [before @ .., rotation] = match database.engine {
            Engine::Sqlite => SQLITE,
            Engine::Postgres => POSTGRES,
        };
        if let Some(path) = database.url.strip_prefix("sqlite:") {
            std::fs::File::create(path).unwrap();
        }
        for sql in before {
            testing::run_sql(&database.target, sql.to_owned()).await;
        }
        let federation = FederationId::new(PAST_MS, [9; 10]);
        let mut rows = format!(
            "INSERT INTO federations (id, slug, name, vendor, status, owners, notes, max_age_days, overlap_hours, warn_days,
                version, created_ms, updated_ms) VALUES ('{federation}', 'okta', 'Okta', 'okta', 'live', '[\"a\"]', '', 90, 72,
                14, 1, {PAST_MS}, {PAST_MS});\n"
        );
        // 1 → 2: under way, the successor unused. 3 → 4: under way, used. 5 → 6: over. 7 → 8: over, and 7 had
        // expired before. 10 → 11: expired before the end of its overlap.
        rows += &row(&federation, 1, LATER_MS, Some((LATER_MS, 2)), Some(PAST_MS));
        rows += &row(&federation, 2, LATER_MS, None, None);
        rows += &row(&federation, 3, LATER_MS, Some((LATER_MS, 4)), Some(PAST_MS));
        rows += &row(&federation, 4, LATER_MS, None, Some(PAST_MS + 5));
        rows += &row(&federation, 5, LATER_MS, Some((PAST_MS + 9, 6)), Some(PAST_MS));
        rows += &row(&federation, 6, LATER_MS, None, Some(PAST_MS));
        rows += &row(&federation, 7, PAST_MS + 1, Some((PAST_MS + 9, 8)), Some(PAST_MS));
        rows += &row(&federation, 8, LATER_MS, None, None);
        rows += &row(&federation, 10, PAST_MS + 1, Some((LATER_MS, 11)), Some(PAST_MS));
        rows += &row(&federation, 11, LATER_MS, None, None);
        testing::run_sql(&database.target, rows).await;
        testing::run_sql(&database.target, rotation.to_owned()).await;
        let later = match database.engine {
            Engine::Sqlite => SQLITE_LATER,
            Engine::Postgres => POSTGRES_LATER,
        };
        for migration in later {
            testing::run_sql(&database.target, migration.to_owned()).await;
        }

        let store = Store::open(database.target.clone()).await.unwrap();
        let mut reader = store.read().await.unwrap();
        let now_ms = PAST_MS + 1_000_000;
        let keys = store::keys::list(&mut reader.conn()).await.unwrap();
        let state = |number| {
            let id = key(number);
            keys.iter().find(|key| key.id == id).unwrap().life.state(now_ms)
        };
        assert_eq!((state(1), state(2)), (KeyState::Retiring, KeyState::Unused));
        assert_eq!((state(3), state(4)), (KeyState::Retiring, KeyState::InUse));
        assert_eq!((state(5), state(6)), (KeyState::Retired, KeyState::InUse));
        for ended in [7, 10] {
            assert!(!state(ended).is_accepted(), "key {ended} opens nothing: {:?}", state(ended));
        }
        let open = store::rotations::open_after(&mut reader.conn(), None, 10).await.unwrap();
        let mut told: Vec<_> = open
            .iter()
            .map(|live| {
                (live.rotation.old_key_id.clone(), live.rotation.new_key_id.clone(), live.rotation.stage)
            })
            .collect();
        told.sort_by(|one, other| one.0.cmp(&other.0));
        let expected =
            [(key(1), key(2), Stage::Open(Step::Delivered)), (key(3), key(4), Stage::Open(Step::InUse))];
        assert_eq!(told, expected);
        assert!(
            open.iter()
                .all(|live| live.rotation.cause == Cause::ByHand && live.rotation.deadline_ms == LATER_MS)
        );
        drop(reader);
        store.close().await;
    }
}
