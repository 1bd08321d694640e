//! A Postgres of the tests' own: a cluster in a temporary folder, on a free port of the loopback address.
//!
//! Nothing of it is durable (`fsync=off`); it is stopped and removed when the value is dropped.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::out::{During, Failure, Outcome, step};
use crate::sh;

/// A running cluster.
pub struct Postgres {
    server: Child,
    folder: PathBuf,
    url: String,
}

/// Postgres refuses to run as root: the account that it runs as then.
#[derive(Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Makes a cluster and waits until it answers.
    ///
    /// # Errors
    /// When Postgres is not installed, or the cluster cannot be made or started.
    pub fn start() -> Outcome<Self> {
        step("start a Postgres for the tests", || {
            let programs = programs()?;
            let account = if sh::is_root() { Some(account()?) } else { None };
            let folder = std::env::temp_dir().join(format!("keyward-postgres-{}", std::process::id()));
            std::fs::create_dir_all(&folder).during(format_args!("make {}", folder.display()))?;
            if let Some(Account { uid, gid }) = account {
                std::os::unix::fs::chown(&folder, Some(uid), Some(gid))
                    .during(format_args!("give {} to postgres", folder.display()))?;
            }
            let data = folder.join("data");
            let mut initdb = as_account(&programs.join("initdb"), account, &folder);
            initdb.args([
                "--username=keyward",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "--pgdata",
            ]);
            sh::read(initdb.arg(&data))?;

            let port = free_port()?;
            let mut postgres = as_account(&programs.join("postgres"), account, &folder);
            postgres.arg("-D").arg(&data).arg("-k").arg(&folder).arg("-p").arg(port.to_string());
            let settings =
                ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "max_connections=400"];
            for setting in settings {
                postgres.arg("-c").arg(setting);
            }
            let log = std::fs::File::create(folder.join("log")).during("make the log of Postgres")?;
            let server = postgres.stdin(Stdio::null()).stderr(log).stdout(Stdio::null()).spawn();
            let url = format!("postgres://keyward@127.0.0.1:{port}/postgres");
            let mut cluster = Self { server: server.during("start postgres")?, folder, url };
            cluster.wait_until_ready(&programs, port)?;
            Ok(cluster)
        })
    }

    /// Where it is: a database URL of a superuser, so that tests can make databases of their own.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn wait_until_ready(&mut self, programs: &Path, port: u16) -> Outcome {
        for _ in 0..300 {
            let mut ready = Command::new(programs.join("pg_isready"));
            ready.args(["--quiet", "--host", "127.0.0.1", "--port", &port.to_string()]);
            if sh::succeeds(&mut ready) {
                return Ok(());
            }
            if !matches!(self.server.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(Failure::new(format!("Postgres did not start:\n{log}")))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is a fast stop; SIGKILL would leave its children.
        sh::succeeds(Command::new("kill").arg("-INT").arg(self.server.id().to_string()));
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Makes an empty database on the server at `url` and returns its URL.
pub fn database(url: &str, name: &str) -> Outcome<String> {
    let mut psql = Command::new(programs()?.join("psql"));
    psql.args(["--quiet", "--no-psqlrc", "--dbname", url, "--command", &format!("CREATE DATABASE {name}")]);
    sh::run(&mut psql)?;
    let (server, _) = url.rsplit_once('/').unwrap_or((url, ""));
    Ok(format!("{server}/{name}"))
}

/// The folder of the newest installed server programs: Debian keeps them off the path.
fn programs() -> Outcome<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest =
        debian.map(|entry| entry.path()).filter(|path| path.join("bin/initdb").is_file()).max_by_key(version);
    if let Some(newest) = newest {
        return Ok(newest.join("bin"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .ok_or_else(|| {
            Failure::new("Postgres is not installed: no initdb in /usr/lib/postgresql or on the path")
                .cure("install your system's postgresql package, or set KEYWARD_TEST_POSTGRES=postgres://…")
        })
}

fn as_account(program: &Path, account: Option<Account>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    command
}

fn account() -> Outcome<Account> {
    let id = |flag: &str| -> Outcome<u32> {
        sh::read(sh::program("id").args([flag, "postgres"]))?
            .trim()
            .parse()
            .during("read the id of user postgres")
    };
    let cure = "Postgres refuses to run as root: make a user `postgres`, or run this as another user";
    Ok(Account { uid: id("-u").map_err(|failure| failure.cure(cure))?, gid: id("-g")? })
}

fn free_port() -> Outcome<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).during("find a free port")?;
    Ok(listener.local_addr().during("find a free port")?.port())
}
