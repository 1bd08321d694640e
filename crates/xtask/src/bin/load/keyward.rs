//! A Keyward of the load's own: a temporary folder, a free port, a federation `bench` with one key.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use domain::admins::{Admin, Role};
use domain::scopes::Scope;
use ops::federations::NewFederation;
use ops::keys::NewKey;
use ops::vault::MasterKey;
use ops::{Clock, Cx, Entropy, Keyward as Installation, Settings};

use sha2::{Digest, Sha256};

use crate::client::Client;
use crate::{Outcome, now};

/// A prepared installation; it runs between [`Keyward::start`] and [`Keyward::kill`].
pub struct Keyward {
    binary: PathBuf,
    folder: PathBuf,
    running: Option<Child>,
    /// Where it listens.
    pub port: u16,
    /// The path of the federation's SCIM base.
    pub base: String,
    /// A key that may do all in that federation.
    pub key: String,
    master_key: String,
}

impl Keyward {
    /// Makes the folder, the master key, the configuration, the database and the key.
    pub async fn prepare(binary: &Path, name: &str) -> Outcome<Self> {
        Self::prepare_on(binary, name, None).await
    }

    /// As [`Keyward::prepare`], on an empty database of the caller's.
    pub async fn prepare_on(binary: &Path, name: &str, database: Option<&str>) -> Outcome<Self> {
        Self::prepare_with(binary, name, database, 0).await
    }

    /// As [`Keyward::prepare_on`], with so many keys more.
    pub async fn prepare_with(
        binary: &Path,
        name: &str,
        database: Option<&str>,
        more_keys: u32,
    ) -> Outcome<Self> {
        let folder = std::env::temp_dir().join(format!("keyward-{name}-{}", std::process::id()));
        let data = folder.join("data");
        std::fs::create_dir_all(&data)?;
        let port = free_port()?;
        let mut chance = [0; 32];
        Random.fill(&mut chance);
        // The digest is as random as what it is of, and knows how to write itself in hexadecimal.
        let master_key = Sha256::digest(chance);
        let hex = format!("{master_key:x}");
        let address = database.map_or_else(String::new, |url| format!("database_url = \"{url}\"\n"));
        let settings = format!(
            "public_url = \"http://127.0.0.1:{port}\"\nlisten = \"127.0.0.1:{port}\"\ndata_dir = \"{data}\"\n{address}\n\
             [oidc]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"keyward\"\n\n\
             [roles]\nadmin = [\"nobody\"]\n\n[log]\nlevel = \"warn\"\n\n\
             [limits]\nconnections = 4096\nconnections_per_address = 4096\nkey_requests_per_second = 0\n",
            data = data.display(),
        );
        std::fs::write(folder.join("keyward.toml"), settings)?;
        let target = match database {
            Some(url) => store::Target::parse(url)?,
            None => store::Target::sqlite(data.join("keyward.db")),
        };
        let key = first_key(target, &MasterKey::new(master_key.into()), more_keys).await?;
        let base = "/scim/bench/v2".to_owned();
        Ok(Self { binary: binary.into(), folder, running: None, port, base, key, master_key: hex })
    }

    /// Starts it and waits until it says that it is ready.
    pub async fn start(&mut self) -> Outcome {
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        let config = self.config();
        let mut command = self.command();
        command.args(["serve", "--config"]).arg(config).stdin(Stdio::null());
        self.running = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        let since = now();
        while since.elapsed() < Duration::from_secs(30) {
            if let Ok(mut client) = Client::connect(self.port, "").await
                && client.send("GET", "/readyz", "").await.is_ok_and(|answer| answer.status == 200)
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("keyward did not become ready:\n{}", self.log()).into())
    }

    /// The process, while it runs.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().map_or(0, Child::id)
    }

    /// Signal 9, and waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Whether the audit chain is whole, and what was said of it.
    pub fn audit_verify(&self) -> Outcome<String> {
        let config = self.config().display().to_string();
        self.read(&["audit", "verify", "--config", &config])
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A new connection with the key.
    pub async fn client(&self) -> std::io::Result<Client> {
        Client::connect(self.port, &self.key).await
    }

    fn config(&self) -> PathBuf {
        self.folder.join("keyward.toml")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.folder);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KEYWARD_")) {
            command.env_remove(name);
        }
        command.env("KEYWARD_MASTER_KEY", &self.master_key);
        command
    }

    fn read(&self, args: &[&str]) -> Outcome<String> {
        let output = self.command().args(args).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("`keyward {}` ended with {}: {said}", args.join(" "), output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Registers the federation `bench` in a new database and issues a key for all of it.
async fn first_key(target: store::Target, master_key: &MasterKey, more: u32) -> Outcome<String> {
    store::migrate(&target).await?;
    let settings = Settings { public_url: "http://127.0.0.1".to_owned(), strict_reads: false };
    let keyward = Installation::open(target, master_key, Arc::new(Now), Arc::new(Random), settings).await?;
    let admin = Admin {
        issuer: "load".to_owned(),
        subject: "load".to_owned(),
        name: "Load".to_owned(),
        email: None,
        role: Role::Admin,
    };
    #[expect(clippy::disallowed_methods, reason = "the load owns the database that it measures")]
    let cx = Cx::new(Arc::clone(&keyward), admin, keyward.request_info());
    let federation = NewFederation {
        slug: "bench".to_owned(),
        name: "Bench".to_owned(),
        vendor: "other".to_owned(),
        owners: "bench".to_owned(),
        notes: String::new(),
        max_age_days: 90,
        overlap_hours: 72,
        warn_days: 14,
    };
    let federation = ops::federations::register(&cx, federation).await?;
    let key = NewKey {
        federation: federation.slug,
        name: "load".to_owned(),
        scope: Scope::full_directory(),
        lifetime_days: 1,
        justification: "the load may do everything".to_owned(),
        idempotency_token: String::new(),
    };
    let others = (0..more).map(|number| {
        let (cx, key) = (cx.clone(), NewKey { name: format!("other {number}"), ..key.clone() });
        tokio::spawn(async move { ops::keys::issue(&cx, key).await.map(drop) })
    });
    for other in others.collect::<Vec<_>>() {
        other.await??;
    }
    let secret = ops::keys::issue(&cx, key).await?.secret.ok_or("the key was issued before")?;
    keyward.close().await;
    Ok(secret.expose().to_owned())
}

struct Now;

impl Clock for Now {
    #[expect(clippy::disallowed_methods, reason = "the load has no clock but the machine's")]
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic_us(&self) -> i64 {
        self.now_ms() * 1_000
    }
}

struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(bytes));
        read.expect("Linux has /dev/urandom");
    }
}

impl Drop for Keyward {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port of 127.0.0.1 that nobody uses at this moment.
pub fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A user as an identity provider sends it.
pub fn user(name: &str) -> String {
    format!(
        "{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"{name}@example.com\",\
         \"externalId\":\"{name}\",\"name\":{{\"givenName\":\"Ada\",\"familyName\":\"{name}\"}},\
         \"displayName\":\"Ada {name}\",\"active\":true,\
         \"emails\":[{{\"value\":\"{name}@example.com\",\"type\":\"work\",\"primary\":true}}]}}"
    )
}
