//! The journal: what is asked of it is found by an index, however many changes there are.

use std::fmt::Write as _;

use domain::{FederationId, JournalId, KeyId, ResourceId, UndoId, journal::Selection};
use store::{Engine, Store, journal, testing};

/// Changes of the federation that is asked about, and of another one.
const ROWS: u32 = 20_000;

async fn filled(database: &testing::TestDatabase) -> (Store, FederationId) {
    store::migrate(&database.target).await.unwrap();
    let [own, other] = [1, 2].map(|number| FederationId::new(number, [0; 10]));
    let mut sql = String::new();
    for federation in [&own, &other] {
        write!(
            sql,
            "INSERT INTO journal (federation_id, id, at_ms, request_id, key_id, actor_kind, actor_id, actor_name,
                resource_type, resource_id, name, change, version, undo_of)
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
            SELECT '{federation}', 'jrn_' || substr(CAST(100000000 + i AS TEXT), 1, 9) || '0000000000000', i, '',
                'key' || (i % 50), 'key', '', '', 'User', 'user' || (i % 5000), '', 'update', i,
                CASE WHEN i % 100 = 0 THEN 'undo' || i END FROM n;"
        )
        .unwrap();
    }
    if database.engine == Engine::Postgres {
        sql.push_str("ANALYZE;");
    }
    testing::run_sql(&database.target, sql).await;
    (Store::open(database.target.clone()).await.unwrap(), own)
}

#[tokio::test]
async fn what_is_asked_of_the_journal_is_found_by_an_index() {
    for database in testing::databases().await {
        let (store, federation) = filled(&database).await;
        let mut reader = store.read().await.unwrap();
        let key = |number: u8| KeyId::new(1, [number; 10]);
        let everything = Selection::default();
        let cases = [
            (everything.clone(), "journal_pkey", "autoindex_journal_1"),
            (
                Selection { from_ms: Some(5), until_ms: Some(9), ..everything.clone() },
                "journal_pkey",
                "autoindex_journal_1",
            ),
            (
                Selection { entry: Some(JournalId::new(1, [0; 10])), ..everything.clone() },
                "journal_pkey",
                "autoindex_journal_1",
            ),
            (Selection::of_key(key(1)), "journal_key", "journal_key"),
            (Selection { keys: vec![key(1), key(2)], ..everything.clone() }, "journal_key", "journal_key"),
            (
                Selection { undo: Some(UndoId::new(1, [0; 10])), ..everything.clone() },
                "journal_undo",
                "journal_undo",
            ),
            (
                Selection { resource: Some(ResourceId::new(1, [0; 10])), ..everything },
                "journal_resource",
                "journal_resource",
            ),
        ];
        for (selection, postgres, sqlite) in cases {
            let lines =
                journal::explain(&mut reader.conn(), &federation, &selection).await.unwrap().join("\n");
            let index = if database.engine == Engine::Postgres { postgres } else { sqlite };
            assert!(lines.contains(index), "{selection:?}: {lines}");
            assert!(!lines.contains("Seq Scan") && !lines.contains("SCAN journal"), "{selection:?}: {lines}");
        }
        drop(reader);
        store.close().await;
    }
}
