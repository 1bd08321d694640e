//! For tests: a fresh database on each engine.

use std::{
    env,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use domain::usage::UsageRecord;
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};

use crate::{
    Conn, Engine, Error, Target,
    db::{Link, Raw, on_db},
};

/// The address of a Postgres server whose user may create databases. `cargo xtask test` starts one.
pub const POSTGRES_VARIABLE: &str = "KEYWARD_TEST_POSTGRES";

static COUNT: AtomicU64 = AtomicU64::new(0);

/// A database of one test's own. It goes when it is dropped: hundreds of them would fill a disk.
pub struct TestDatabase {
    /// Which database.
    pub engine: Engine,
    /// Where it is.
    pub target: Target,
    /// The same as text, for a configuration file.
    pub url: String,
    folder: Option<PathBuf>,
    /// The server that has it, and its name there.
    server: Option<(PgConnectOptions, String)>,
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // What cannot be removed is the operating system's to remove.
            let _ = std::fs::remove_dir_all(folder);
        }
        if let Some((options, name)) = self.server.take() {
            // The test's own runtime is about to end, or cannot be waited for here.
            let _ = std::thread::spawn(move || drop_database(&options, &name)).join();
        }
    }
}

/// Drops a database, whoever is still connected. One that cannot be dropped is left to the end of its server.
fn drop_database(options: &PgConnectOptions, name: &str) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let dropped = async {
        let mut connection = options.connect().await?;
        let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
        connection.close().await
    };
    let _: Result<(), sqlx::Error> = runtime.block_on(dropped);
}

impl TestDatabase {
    /// Another database with the same content. Nobody may be connected to this one.
    ///
    /// # Panics
    /// When the server or the file system does not do it.
    pub async fn copy(&self) -> Self {
        let Some((options, name)) = &self.server else {
            let copy = sqlite();
            let (Some(from), Some(to)) = (&self.folder, &copy.folder) else { return copy };
            for entry in std::fs::read_dir(from).expect("the folder of a test can be read") {
                let entry = entry.expect("the folder of a test can be read");
                std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a file can be copied");
            }
            return copy;
        };
        created(options.clone(), Some(name)).await
    }
}

/// A fresh SQLite database.
///
/// # Panics
/// When no folder can be made.
pub fn sqlite() -> TestDatabase {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("keyward-test-{}-{number}", process::id()));
    // A process that was killed may have left one of the same number.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
    let path = folder.join("keyward.db");
    TestDatabase {
        engine: Engine::Sqlite,
        url: format!("sqlite:{}", path.display()),
        target: Target::sqlite(path),
        folder: Some(folder),
        server: None,
    }
}

/// A fresh database on the Postgres server of [`POSTGRES_VARIABLE`]; `None` when it is not set.
///
/// # Panics
/// When it is set and the server does not do it.
pub async fn postgres() -> Option<TestDatabase> {
    let server = env::var(POSTGRES_VARIABLE).ok()?;
    let options: PgConnectOptions = server.parse().expect("the address of the Postgres server is one");
    Some(created(options, None).await)
}

/// A database of its own on a server: empty, or as another one is.
async fn created(options: PgConnectOptions, template: Option<&str>) -> TestDatabase {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("keyward_test_{}_{number}", process::id());
    let mut connection = options.connect().await.expect("the Postgres server answers");
    let template = template.map(|name| format!(" TEMPLATE {name}")).unwrap_or_default();
    for sql in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}{template}")] {
        let made = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await;
        made.expect("a database can be created");
    }
    connection.close().await.expect("the connection can be closed");
    let url = options.clone().database(&name).to_url_lossy().to_string();
    TestDatabase {
        engine: Engine::Postgres,
        target: Target::parse(&url).expect("the address was just made"),
        url,
        folder: None,
        server: Some((options, name)),
    }
}

/// A fresh database on every engine that is here: SQLite always, Postgres when
/// [`POSTGRES_VARIABLE`] is set.
pub async fn databases() -> Vec<TestDatabase> {
    let mut databases = vec![sqlite()];
    databases.extend(postgres().await);
    databases
}

/// The same SQLite database, on connections that tell `tracing` of every statement: target
/// `sqlx::query`, with the numbers of rows. Postgres stays as it is.
///
/// # Panics
/// Never: the levels are some.
pub fn logged(target: Target) -> Target {
    let level = |word: &str| word.parse().expect("a level");
    match target {
        Target::Sqlite(options) => {
            let options = options.log_statements(level("debug"));
            // Off for slow ones, and nothing is slow: else every one is.
            Target::Sqlite(Box::new(options.log_slow_statements(level("off"), Duration::from_hours(1))))
        }
        Target::Postgres(options) => Target::Postgres(options),
    }
}

/// Takes the place of the next audit record, so that none can be written any more.
pub async fn break_audit(conn: &mut Conn<'_>) -> Result<(), Error> {
    let sql = "INSERT INTO audit_records (seq, at_ms, actor_kind, actor_id, actor_name, action, outcome, request_id,
        detail, prev_hash, hash)
        SELECT seq + 1, 0, 'system', '', '', 'node.started', 'done', '', '{}', '', '' FROM audit_head";
    on_db!(conn, db => sqlx::raw_sql(sql).execute(db).await.map(drop))?;
    Ok(())
}

/// Writes usage records as the committer does at the end of a batch.
///
/// # Errors
/// When the database does not answer.
pub async fn write_usage(conn: &mut Conn<'_>, records: &[UsageRecord]) -> Result<(), Error> {
    crate::usage::Plan::of(records)?.write(conn).await
}

/// Has the database refuse every audit record, as a full disk or a wrong grant would, until [`mend_audit`].
///
/// # Errors
/// When the database does not answer.
pub async fn refuse_audit(conn: &mut Conn<'_>) -> Result<(), Error> {
    let sql = match conn.raw {
        Raw::Sqlite(_) => {
            "CREATE TRIGGER audit_refused BEFORE INSERT ON audit_records
            BEGIN SELECT RAISE(ABORT, 'the test refuses it'); END"
        }
        Raw::Postgres(_) => {
            "CREATE FUNCTION audit_refused() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'the test refuses it'; END $$;
            CREATE TRIGGER audit_refused BEFORE INSERT ON audit_records
            FOR EACH ROW EXECUTE FUNCTION audit_refused()"
        }
    };
    on_db!(conn, db => sqlx::raw_sql(sql).execute(db).await.map(drop))?;
    Ok(())
}

/// Ends [`refuse_audit`].
///
/// # Errors
/// When the database does not answer.
pub async fn mend_audit(conn: &mut Conn<'_>) -> Result<(), Error> {
    let sql = match conn.raw {
        Raw::Sqlite(_) => "DROP TRIGGER audit_refused",
        Raw::Postgres(_) => "DROP TRIGGER audit_refused ON audit_records; DROP FUNCTION audit_refused()",
    };
    on_db!(conn, db => sqlx::raw_sql(sql).execute(db).await.map(drop))?;
    Ok(())
}

/// Every row of every table but some, as text, in an order of its own.
///
/// # Errors
/// When the database does not answer.
pub async fn rows(conn: &mut Conn<'_>, but: &[&str]) -> Result<Vec<String>, Error> {
    let (tables, is_sqlite) = match conn.raw {
        Raw::Sqlite(_) => {
            let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'";
            (tables, true)
        }
        Raw::Postgres(_) => {
            ("SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema()", false)
        }
    };
    let mut tables: Vec<String> = on_db!(conn, db => sqlx::query_scalar(tables).fetch_all(db).await)?;
    tables.retain(|table| !but.contains(&table.as_str()));
    tables.sort();
    let mut selects = Vec::new();
    for table in tables {
        selects.push(if is_sqlite {
            let columns = "SELECT name FROM pragma_table_info($1)";
            let columns: Vec<String> =
                on_db!(conn, db => sqlx::query_scalar(columns).bind(&table).fetch_all(db).await)?;
            let quoted: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
            format!("SELECT '{table} ' || {} FROM {table}", quoted.join(" || ',' || "))
        } else {
            format!("SELECT '{table} ' || CAST(a_row AS TEXT) FROM {table} AS a_row")
        });
    }
    let sql = selects.join(" UNION ALL ");
    let mut rows: Vec<String> =
        on_db!(conn, db => sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(db).await)?;
    rows.sort();
    Ok(rows)
}

/// Runs any statements, as somebody with the password of the database can.
///
/// # Panics
/// When the database refuses them.
pub async fn run_sql(target: &Target, sql: String) {
    let mut link = target.connect().await.expect("the database of a test answers");
    let ran =
        on_db!(&mut link.conn(), db => sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(db).await.map(drop));
    link.close().await;
    ran.expect("the database of a test takes the statements");
}

/// A connection of one's own on which anything may be run, as somebody with the password of the database can:
/// between BEGIN and ROLLBACK nothing of it stays.
pub struct Scratch(Link);

impl Scratch {
    /// Connects.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn open(target: &Target) -> Self {
        Self(target.connect().await.expect("the database of a test answers"))
    }

    /// Runs any statements.
    ///
    /// # Panics
    /// When the database refuses them.
    pub async fn run(&mut self, sql: String) {
        let ran = on_db!(&mut self.0.conn(), db => sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(db).await.map(drop));
        assert!(ran.is_ok(), "{ran:?}: {sql}");
    }

    /// The connection.
    pub fn conn(&mut self) -> Conn<'_> {
        self.0.conn()
    }

    /// Closes it.
    pub async fn close(self) {
        self.0.close().await;
    }
}
