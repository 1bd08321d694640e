//! The program itself, on a database that was prepared in this process.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{admins::Role, federations::Slug, scopes::Scope};
use http::Request;
use ops::{Keyward, Settings, testing, vault::MasterKey};
use server::{
    edge::session::SessionPolicy,
    out::http::install_crypto,
    tasks::clock::{OsEntropy, SystemClock},
};
use store::{Engine, testing::TestDatabase};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};
use tower::ServiceExt as _;

use crate::house::{Answer, door, new_federation, new_key};

/// The master key of the installations here, in base64.
pub const MASTER_KEY: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0Vniavbzu3h8uPUw=";

/// Nothing here takes so long on a machine that works.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// An installation and its folder.
pub struct Place {
    pub database: TestDatabase,
    pub folder: TempDir,
}

impl Place {
    pub fn on(database: TestDatabase) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { database, folder };
        place.write_master_key(MASTER_KEY);
        place
    }

    /// Its folder, in which the program runs.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn write_master_key(&self, key: &str) {
        let path = self.folder.path().join("master.key");
        fs::write(&path, format!("{key}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Opens the installation in this process, to prepare it or to look at it.
    pub async fn open(&self) -> Arc<Keyward> {
        store::migrate(&self.database.target).await.unwrap();
        let bytes: [u8; 32] = BASE64_STANDARD.decode(MASTER_KEY).unwrap().try_into().unwrap();
        let settings = Settings {
            public_url: "http://127.0.0.1:1".to_owned(),
            strict_reads: false,
            usage_retention_days: 400,
            journal_retention_days: 400,
        };
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        let target = self.database.target.clone();
        let opened = Keyward::open(target, &MasterKey::new(bytes), clock, entropy, settings).await;
        opened.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Registers a federation and issues a key for everything.
    pub async fn with_key(&self, slug: &str) -> String {
        let keyward = self.open().await;
        let admin = testing::cx(&keyward, Role::Admin);
        ops::federations::register(&admin, new_federation(slug)).await.unwrap();
        let new = new_key(&Slug::parse(slug).unwrap(), "everything", Scope::full_directory());
        let key = ops::keys::issue(&admin, new).await.unwrap().secret.unwrap().expose().to_owned();
        self.plan(&keyward, slug).await;
        keyward.close().await;
        key
    }

    /// Has a rule of a federation tell instead of hold.
    pub async fn tolerating(&self, slug: &str, rule: &str) {
        let keyward = self.open().await;
        let (admin, slug) = (testing::cx(&keyward, Role::Admin), Slug::parse(slug).unwrap());
        let version = ops::federations::open(&admin, &slug).await.unwrap().federation.version;
        let fields = [(rule.to_owned(), "alert".to_owned())];
        let reason = "the test does nothing else".to_owned();
        ops::behaviour::set_fields(&admin, &slug, &fields, reason, version).await.unwrap();
        keyward.close().await;
    }

    /// Lets a federation remove as many as a test likes: planned work, agreed by a second person.
    async fn plan(&self, keyward: &Arc<Keyward>, slug: &str) {
        let (admin, slug) = (testing::cx(keyward, Role::Admin), Slug::parse(slug).unwrap());
        let now_ms = admin.now_ms();
        let new = ops::brakes::NewWindow {
            ceiling: 100_000,
            begins_ms: now_ms,
            ends_ms: now_ms + domain::DAY_MS,
            reason: "the test removes many".to_owned(),
        };
        let window = ops::brakes::plan(&admin, &slug, new).await.unwrap();
        ops::brakes::agree(&testing::cx(keyward, Role::Manager), &slug, &window.id).await.unwrap();
    }

    /// The cookie of an admin who has signed in.
    pub async fn cookie(&self) -> String {
        self.cookie_of(testing::person(Role::Admin)).await
    }

    /// The cookie of somebody who has signed in.
    pub async fn cookie_of(&self, admin: domain::admins::Admin) -> String {
        let keyward = self.open().await;
        let mut request = Request::get("/").body(Body::empty()).unwrap();
        request.extensions_mut().insert(admin);
        let entered = door(&keyward, SessionPolicy::new(false)).oneshot(request).await.unwrap();
        let cookie = Answer::of(entered).await.header("set-cookie").split(';').next().unwrap().to_owned();
        keyward.close().await;
        cookie
    }

    /// The program with arguments, its settings in the environment.
    pub fn command(&self, address: SocketAddr, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyward"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("KEYWARD_PUBLIC_URL", format!("http://{address}"))
            .env("KEYWARD_LISTEN", address.to_string())
            .env("KEYWARD_MASTER_KEY_FILE", self.folder.path().join("master.key"))
            .env("KEYWARD_DATABASE_URL", &self.database.url)
            .env("KEYWARD_OIDC__ISSUER", "https://id.example.com")
            .env("KEYWARD_OIDC__CLIENT_ID", "keyward")
            .env("KEYWARD_ROLES__ADMIN", "keyward-admins")
            // A test is faster than any provider.
            .env("KEYWARD_LIMITS__KEY_REQUESTS_PER_SECOND", "0")
            .env("KEYWARD_EGRESS__ALLOW", "http://127.0.0.0/8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        timeout(PATIENCE, self.command(free_address(), arguments).output()).await.unwrap().unwrap()
    }

    /// Starts the server and waits until it says that it is ready.
    pub async fn start(&self, level: &str) -> Running {
        let mut running = Self::spawn(self.serving(level));
        running.told("\"message\":\"ready\"").await;
        running
    }

    /// Starts the server so that it logs no request and brakes nobody, and waits until it answers that it is ready.
    pub async fn start_unbraked(&self) -> Running {
        let (address, mut command) = self.serving("warn");
        command
            .env("KEYWARD_LIMITS__KEY_REQUESTS_PER_SECOND", "0")
            .env("KEYWARD_LIMITS__REFUSED_PER_MINUTE", "0");
        let running = Self::spawn((address, command));
        let (http, url) = (http_client(), running.url("/readyz"));
        let ready = async {
            while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(timeout(PATIENCE, ready).await, Ok(()), "{}", running.log());
        running
    }

    fn serving(&self, level: &str) -> (SocketAddr, Command) {
        let address = free_address();
        (address, self.command(address, &["serve", "--log-level", level]))
    }

    fn spawn((address, mut command): (SocketAddr, Command)) -> Running {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::unbounded_channel();
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
                // Nobody may listen any more; the log is kept all the same.
                let _ = sender.send(line);
            }
        });
        Running { child, address, log, lines }
    }
}

/// An address on which nobody listens at this moment, and that no other test of this run is given:
/// below the ports that the kernel hands out by itself, and apart for each process.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (std::process::id() * 31 + turn) % 20_000;
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A server that runs.
pub struct Running {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Running {
    /// Waits until the log holds a line with these words.
    pub async fn told(&mut self, words: &str) {
        let told = async {
            while let Some(line) = self.lines.recv().await {
                if line.contains(words) {
                    return true;
                }
            }
            false
        };
        let told = timeout(PATIENCE, told).await;
        assert_eq!(told, Ok(true), "{words} was not logged: {}", self.log());
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Ends it as a power cut ends a process: SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to end: SIGTERM.
    pub async fn terminate(&self) {
        let command = format!("kill -TERM {}", self.id());
        let status = Command::new("sh").arg("-c").arg(command).status().await.unwrap();
        assert!(status.success());
    }

    /// Waits for its end, and for the end of its log.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        while self.lines.recv().await.is_some() {}
        status
    }

    /// Asks it to end and asserts that it does so in order.
    pub async fn stop(mut self) {
        self.terminate().await;
        let status = self.ended().await;
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

/// A client with connections of its own, straight to the server.
pub fn http_client() -> reqwest::Client {
    install_crypto();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    client.timeout(PATIENCE).build().unwrap()
}

/// The file of a SQLite database.
pub fn sqlite_file(database: &TestDatabase) -> PathBuf {
    PathBuf::from(database.url.strip_prefix("sqlite:").unwrap())
}

/// Every byte that a database keeps: SQLite's files, or a dump of Postgres.
pub fn database_bytes(database: &TestDatabase) -> Vec<u8> {
    match database.engine {
        Engine::Sqlite => {
            let file = sqlite_file(database);
            let entries = fs::read_dir(file.parent().unwrap()).unwrap();
            entries.flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
        }
        Engine::Postgres => {
            // The parameters of the address are those of another library.
            let url = database.url.split('?').next().unwrap();
            let output = std::process::Command::new("pg_dump").arg(url).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            // Newer releases write a line that is another one in each dump.
            let text = String::from_utf8(output.stdout).unwrap();
            let steady = text.lines().filter(|line| !line.contains("restrict"));
            steady.collect::<Vec<_>>().join("\n").into_bytes()
        }
    }
}
