//! One text for two databases: every statement prepares on both, and both schemas are the same.

use std::collections::BTreeMap;

use sqlx::{Connection, Executor, PgConnection, Row, SqlSafeStr, SqliteConnection};
use store::testing;

async fn sqlite() -> (testing::TestDatabase, SqliteConnection) {
    let database = testing::sqlite();
    store::migrate(&database.target).await.unwrap();
    let connection = SqliteConnection::connect(&database.url).await.unwrap();
    (database, connection)
}

async fn postgres() -> Option<(testing::TestDatabase, PgConnection)> {
    let database = testing::postgres().await?;
    store::migrate(&database.target).await.unwrap();
    let connection = PgConnection::connect(&database.url).await.unwrap();
    Some((database, connection))
}

#[tokio::test]
async fn every_statement_prepares_on_both_databases() {
    let (_folder, mut sqlite) = sqlite().await;
    let mut postgres = postgres().await;
    let statements = store::all_statements();
    assert!(statements.len() > 60, "only {} statements are listed", statements.len());
    for (module, name, sql) in statements {
        let prepared = (&mut sqlite).prepare(sql.into_sql_str()).await;
        assert!(prepared.is_ok(), "SQLite: {module}::{name}: {prepared:?}");
        if let Some((_, connection)) = &mut postgres {
            let prepared = (&mut *connection).prepare(sql.into_sql_str()).await;
            assert!(prepared.is_ok(), "Postgres: {module}::{name}: {prepared:?}");
        }
    }
}

/// Table and column to whether it is text or a number, and whether it may be null.
type Columns = BTreeMap<(String, String), (bool, bool)>;

#[tokio::test]
async fn both_schemas_have_the_same_columns() {
    let Some((_database, mut postgres)) = postgres().await else { return };
    let (_folder, mut sqlite) = sqlite().await;
    let rows = sqlx::query(
        "SELECT m.name, p.name, p.type, p.\"notnull\" FROM sqlite_schema m JOIN pragma_table_info(m.name) p
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE '_sqlx%'",
    )
    .fetch_all(&mut sqlite)
    .await
    .unwrap();
    let ours: Columns = rows
        .iter()
        .map(|row| {
            let (kind, not_null): (String, i64) = (row.get(2), row.get(3));
            assert!(kind == "TEXT" || kind == "BIGINT", "{kind} is outside the portable subset");
            ((row.get(0), row.get(1)), (kind == "TEXT", not_null == 1))
        })
        .collect();
    let rows = sqlx::query(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text, collation_name::text
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'",
    )
    .fetch_all(&mut postgres)
    .await
    .unwrap();
    let theirs: Columns = rows
        .iter()
        .map(|row| {
            let (kind, nullable): (String, String) = (row.get(2), row.get(3));
            let collation: Option<String> = row.get(4);
            assert!(kind == "text" || kind == "bigint", "{kind} is outside the portable subset");
            assert!(kind == "bigint" || collation.as_deref() == Some("C"), "text must be in SQLite's order");
            ((row.get(0), row.get(1)), (kind == "text", nullable == "NO"))
        })
        .collect();
    assert_eq!(ours, theirs);
    assert!(ours.len() > 100, "only {} columns were compared", ours.len());
}

#[tokio::test]
async fn audit_records_can_only_be_inserted() {
    let (_folder, mut sqlite) = sqlite().await;
    let mut postgres = postgres().await;
    let insert = "INSERT INTO audit_records (seq, at_ms, actor_kind, actor_id, actor_name, action, outcome,
        request_id, detail, prev_hash, hash) VALUES (1, 0, 'system', '', '', 'node.started', 'done', '', '{}', '', '')";
    let refused =
        ["UPDATE audit_records SET actor_name = 'x'", "DELETE FROM audit_records", "DELETE FROM audit_head"];
    sqlx::raw_sql(insert).execute(&mut sqlite).await.unwrap();
    for sql in refused {
        let error = sqlx::raw_sql(sql).execute(&mut sqlite).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
    if let Some((_, connection)) = &mut postgres {
        sqlx::raw_sql(insert).execute(&mut *connection).await.unwrap();
        for sql in refused.into_iter().chain(["TRUNCATE audit_records", "TRUNCATE audit_head"]) {
            let error = sqlx::raw_sql(sql).execute(&mut *connection).await.unwrap_err().to_string();
            assert!(error.contains("append-only"), "{sql}: {error}");
        }
    }
}

#[tokio::test]
async fn a_newer_schema_is_left_alone_and_a_new_file_is_private() {
    let (database, mut sqlite) = sqlite().await;
    let path = database.url.strip_prefix("sqlite:").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', true, x'00', 0)";
    sqlx::raw_sql(newer).execute(&mut sqlite).await.unwrap();
    let refused = store::migrate(&database.target).await;
    assert!(matches!(refused, Err(store::Error::Newer(9999))), "{refused:?}");
}
