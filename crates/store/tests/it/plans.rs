//! How both databases would run each list: by the index that its term or its order is there for,
//! and never by looking at every row.

use std::fmt::Write as _;

use domain::{FederationId, ResourceId};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use store::{
    Conn, Engine, Error, Store,
    directory::{GroupTerm, Lookup, Order, Place, Span, Term, UserTerm, Window},
    groups, testing, users,
};

/// Rows of the federation that is asked about, and of another one beside it.
const OWN: u32 = 2_000;
const OTHERS: u32 = 20_000;

struct Plan {
    page: String,
    count: String,
}

/// A store whose tables are large enough for a planner to care.
async fn filled(database: &testing::TestDatabase) -> (Store, FederationId) {
    store::migrate(&database.target).await.unwrap();
    let [own, other] = [1, 2].map(|number| FederationId::new(number, [0; 10]));
    let mut sql = String::new();
    for (federation, slug, rows) in [(&own, "own", OWN), (&other, "other", OTHERS)] {
        write!(
            sql,
            "INSERT INTO federations (id, slug, name, vendor, status, owners, notes, max_age_days, overlap_hours,
                warn_days, version, created_ms, updated_ms)
            VALUES ('{federation}', '{slug}', '{slug}', 'okta', 'live', '[]', '', 90, 72, 14, 1, 0, 0);"
        )
        .unwrap();
        let numbers = format!(
            "WITH RECURSIVE n (i, id) AS (
                SELECT 1, '00000001-0000-7000-8000-000000000001'
                UNION ALL SELECT i + 1, substr(CAST(100000001 + i AS TEXT), 2) || '-0000-7000-8000-' ||
                    substr(CAST(1000000000001 + i AS TEXT), 2) FROM n WHERE i < {rows})"
        );
        write!(
            sql,
            "INSERT INTO scim_users (federation_id, id, user_name, user_name_lower, external_id, active, body, made_by,
                version, created_ms, modified_ms)
            {numbers} SELECT '{federation}', id, 'U' || i, 'u' || i, 'x' || i, CASE WHEN i % 50 = 0 THEN 0 ELSE 1 END,
                '{{}}', '', 1, i, i FROM n;
            INSERT INTO scim_groups (federation_id, id, display_name, display_name_lower, display_name_unique, external_id,
                body, made_by, version, created_ms, modified_ms)
            {numbers} SELECT '{federation}', id, 'G' || i, 'g' || i, 'g' || i, 'x' || i, '{{}}', '', 1, i, i FROM n;
            INSERT INTO scim_user_values (federation_id, attribute, value, user_id)
            {numbers} SELECT '{federation}', 'emails.value', 'e' || i, id FROM n;
            INSERT INTO scim_user_values (federation_id, attribute, value, user_id)
            {numbers} SELECT '{federation}', 'employeeNumber', 'e' || i, id FROM n;
            INSERT INTO scim_group_members (federation_id, group_id, member_id, member_kind)
            {numbers} SELECT '{federation}', id, id, 'User' FROM n;"
        )
        .unwrap();
    }
    if database.engine == Engine::Postgres {
        sql.push_str("ANALYZE;");
    }
    testing::run_sql(&database.target, sql).await;
    (Store::open(database.target.clone()).await.unwrap(), own)
}

/// How users or groups are explained.
#[derive(Clone, Copy, PartialEq)]
enum Table {
    Users,
    Groups,
}

async fn explain(
    conn: &mut Conn<'_>,
    federation: &FederationId,
    table: Table,
    terms: &[Term],
    window: &Window,
) -> Result<Plan, Error> {
    let [page, count] = match table {
        Table::Users => users::explain(conn, federation, terms, window).await?,
        Table::Groups => groups::explain(conn, federation, terms, window).await?,
    };
    Ok(Plan { page: page.join("\n"), count: count.join("\n") })
}

/// Asserts that a plan uses an index by a column, and looks at no table as a whole.
fn assert_uses(engine: Engine, plan: &str, index: &str, column: &str, what: &str) {
    let is_scan = |line: &str| match engine {
        // A subquery is scanned after it was searched for; the tables have names that begin so.
        Engine::Sqlite => {
            line.starts_with("SCAN scim") || line.starts_with("SCAN v") || line.starts_with("SCAN m")
        }
        Engine::Postgres => line.contains("Seq Scan"),
    };
    assert!(!plan.lines().any(is_scan), "{what} looks at every row:\n{plan}");
    // A primary key has no name of ours.
    let index = match (engine, index.strip_suffix("_pkey")) {
        (Engine::Sqlite, Some(table)) => format!("sqlite_autoindex_{table}_1"),
        (Engine::Sqlite | Engine::Postgres, _) => index.to_owned(),
    };
    let uses_it = |line: &str| match engine {
        Engine::Sqlite => line.contains(&format!("INDEX {index} (")) && line.contains(column),
        Engine::Postgres => line.contains("Index Cond") && line.contains(column),
    };
    assert!(
        plan.contains(&index) && plan.lines().any(uses_it),
        "{what} does not use {index} by {column}:\n{plan}"
    );
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn every_term_is_served_by_its_index() {
    let id = || texts(&["00000007-0000-7000-8000-000000000007"]);
    let span = |from_ms, to_ms| Span { from_ms: Some(from_ms), to_ms: Some(to_ms) };
    let value = |lookup| Term::User(UserTerm::Value(lookup, texts(&["e7"])));
    let (users, groups) = (Table::Users, Table::Groups);
    let cases = [
        (users, Term::Id(id()), "scim_users_pkey", "id"),
        (users, Term::ExternalId(texts(&["x7"])), "scim_users_external_id", "external_id"),
        (users, Term::Name(texts(&["u7"])), "scim_users_user_name", "user_name_lower"),
        (users, Term::Name(texts(&["u7", "u8", "u9"])), "scim_users_user_name", "user_name_lower"),
        (users, Term::NamePrefix("u77".to_owned()), "scim_users_user_name", "user_name_lower"),
        (users, Term::Modified(span(7, 9)), "scim_users_modified", "modified_ms"),
        (users, Term::Created(span(1 << 16, 5 << 16)), "scim_users_pkey", "id"),
        (users, Term::User(UserTerm::Active(false)), "scim_users_inactive", "federation_id"),
        (users, value(Lookup::Email), "scim_user_values_pkey", "value"),
        (users, value(Lookup::EmployeeNumber), "scim_user_values_pkey", "value"),
        (groups, Term::Id(id()), "scim_groups_pkey", "id"),
        (groups, Term::ExternalId(texts(&["x7"])), "scim_groups_external_id", "external_id"),
        (groups, Term::Name(texts(&["g7"])), "scim_groups_display_name", "display_name_lower"),
        (groups, Term::NamePrefix("g77".to_owned()), "scim_groups_display_name", "display_name_lower"),
        (groups, Term::Modified(span(7, 9)), "scim_groups_modified", "modified_ms"),
        (groups, Term::Created(span(1 << 16, 5 << 16)), "scim_groups_pkey", "id"),
        (groups, Term::Group(GroupTerm::Member(id())), "scim_group_members_member", "member_id"),
    ];
    for database in testing::databases().await {
        let (store, federation) = filled(&database).await;
        let mut reader = store.read().await.unwrap();
        for (table, term, index, column) in &cases {
            let terms = std::slice::from_ref(term);
            let window =
                Window { order: term.own_order().unwrap_or_default(), limit: 101, ..Window::default() };
            let plan = explain(&mut reader.conn(), &federation, *table, terms, &window).await.unwrap();
            let what = format!("{:?} {term:?}", database.engine);
            assert_uses(database.engine, &plan.page, index, column, &format!("{what}, a page"));
            assert_uses(database.engine, &plan.count, index, column, &format!("{what}, the count"));
        }
        // Who is active is mostly everybody: a page of them is a page.
        let window = Window { limit: 101, ..Window::default() };
        let active = [Term::User(UserTerm::Active(true))];
        let plan = explain(&mut reader.conn(), &federation, users, &active, &window).await.unwrap();
        assert_uses(
            database.engine,
            &plan.page,
            "scim_users_pkey",
            "federation_id",
            "a page of active users",
        );
        drop(reader);
        store.close().await;
    }
}

#[tokio::test]
async fn every_order_goes_on_where_it_stopped_without_sorting() {
    let id = || "00000500-0000-7000-8000-000000000500".to_owned();
    let cases = [
        (Table::Users, Order::Id, Place::Id(id()), "scim_users_pkey", "id"),
        (
            Table::Users,
            Order::Name,
            Place::Name("u500".to_owned(), id()),
            "scim_users_user_name",
            "user_name_lower",
        ),
        (Table::Users, Order::Modified, Place::Modified(500, id()), "scim_users_modified", "modified_ms"),
        (Table::Groups, Order::Id, Place::Id(id()), "scim_groups_pkey", "id"),
        (
            Table::Groups,
            Order::Name,
            Place::Name("g500".to_owned(), id()),
            "scim_groups_display_name",
            "display_name_lower",
        ),
        (Table::Groups, Order::Modified, Place::Modified(500, id()), "scim_groups_modified", "modified_ms"),
    ];
    for database in testing::databases().await {
        let (store, federation) = filled(&database).await;
        let mut reader = store.read().await.unwrap();
        for (table, order, place, index, column) in &cases {
            for is_descending in [false, true] {
                let window = Window {
                    order: *order,
                    is_descending,
                    after: Some(place.clone()),
                    limit: 101,
                    offset: 0,
                };
                let plan = explain(&mut reader.conn(), &federation, *table, &[], &window).await.unwrap();
                let what = format!("{:?} {order:?} descending {is_descending}", database.engine);
                assert_uses(database.engine, &plan.page, index, column, &what);
                let is_sorted = plan.page.contains("TEMP B-TREE") || plan.page.contains("Sort");
                assert!(!is_sorted, "{what} sorts:\n{}", plan.page);
            }
        }
        drop(reader);
        store.close().await;
    }
}

#[tokio::test]
async fn the_groups_of_users_are_found_by_their_members() {
    for database in testing::databases().await {
        let (store, federation) = filled(&database).await;
        let mut reader = store.read().await.unwrap();
        let id = ResourceId::parse("00000007-0000-7000-8000-000000000007").unwrap();
        let plan =
            groups::explain_belongings(&mut reader.conn(), &federation, &[&id]).await.unwrap().join("\n");
        assert_uses(database.engine, &plan, "scim_group_members_member", "member_id", "the groups of a user");
        drop(reader);
        store.close().await;
    }
}

#[tokio::test]
async fn no_statement_of_the_directory_walks_a_federation() {
    let database = testing::sqlite();
    store::migrate(&database.target).await.unwrap();
    let mut connection = SqliteConnection::connect(&database.url).await.unwrap();
    let mut looked_at = 0;
    for (module, name, sql) in store::all_statements() {
        if !["users", "groups", "members"].contains(&module) {
            continue;
        }
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let walks = |line: &String| line.starts_with("SCAN scim") || line.ends_with("(federation_id=?)");
        assert!(!plan.iter().any(walks), "{module}::{name} walks a federation:\n{}", plan.join("\n"));
        looked_at += 1;
    }
    assert!(looked_at >= 15, "only {looked_at} statements");
}

#[tokio::test]
async fn a_rotation_is_found_by_its_id_and_the_last_that_ended_by_their_time() {
    let database = testing::sqlite();
    store::migrate(&database.target).await.unwrap();
    let mut connection = SqliteConnection::connect(&database.url).await.unwrap();
    for (name, index) in [
        ("BY_ID", "INDEX rotations_id (id=?)"),
        ("ENDED", "INDEX rotations_ended (ended_ms>? AND ended_ms<?)"),
    ] {
        let mut all = store::all_statements().into_iter();
        let (_, _, sql) = all.find(|(module, of, _)| (*module, *of) == ("rotations", name)).unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index) && !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}

#[tokio::test]
async fn what_is_due_is_looked_for_by_its_time_across_federations() {
    let database = testing::sqlite();
    store::migrate(&database.target).await.unwrap();
    let mut connection = SqliteConnection::connect(&database.url).await.unwrap();
    let (_, _, sql) = store::all_statements()
        .into_iter()
        .find(|(module, name, _)| (*module, *name) == ("deliveries", "DUE"))
        .unwrap();
    let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("INDEX deliveries_due (due_ms<?)"), "{plan}");
    assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
}

#[tokio::test]
async fn long_lists_of_the_installation_have_indexes_of_what_is_rare() {
    let database = testing::sqlite();
    store::migrate(&database.target).await.unwrap();
    let mut connection = SqliteConnection::connect(&database.url).await.unwrap();
    for (module, name, index) in [
        ("audit", "LIST_BY_ACTION", "INDEX audit_records_action (action=? AND seq>? AND seq<?)"),
        ("audit", "LIST_BY_OUTCOME", "INDEX audit_records_outcome (outcome=? AND seq>? AND seq<?)"),
        ("audit", "ACTORS", "INDEX audit_records_people (actor_id>?)"),
        ("usage_search", "OF_ALL", "INDEX usage_batches_recent (last_request_id>? AND last_request_id<?)"),
        (
            "usage_search",
            "OF_REQUEST_OF_ALL",
            "INDEX usage_batches_recent (last_request_id>? AND last_request_id<?)",
        ),
        ("findings", "LIST_OPEN", "INDEX findings_open (closed_ms=?)"),
    ] {
        let mut all = store::all_statements().into_iter();
        let (_, _, sql) = all.find(|(of, named, _)| (*of, *named) == (module, name)).unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let plan = plan.join("\n");
        // Nothing walks the table; the walk over the people is that over the rows of the recursion.
        let walks = plan.lines().any(|line| line.starts_with("SCAN") && !line.contains("people"));
        assert!(plan.contains(index) && !walks, "{module} {name}: {plan}");
    }
}
