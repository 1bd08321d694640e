//! A Keyward of the load's own: a temporary folder, a free port, a federation `bench` with one key.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::client::Client;
use crate::installation::{self, IssuedKey, Place, Wanted};
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
    /// Keys of the same kind, the first among them.
    pub keys: Vec<IssuedKey>,
    database: Option<String>,
    master_key: String,
    preload: Option<PathBuf>,
    leaves_records: bool,
}

/// How an installation is to be.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// The folder that its folder is made in; that of the system when there is none.
    pub scratch: Option<&'a Path>,
    /// An empty database of the caller's; SQLite in its folder when there is none.
    pub database: Option<&'a str>,
    /// Users `u0`, `u1`, … that are in it from the beginning.
    pub users: u32,
    /// What else is in it.
    pub wanted: Wanted<'a>,
    /// A library that is loaded before all others.
    pub preload: Option<&'a Path>,
    /// Whether requests leave records; a build for benches can do without.
    pub leaves_records: bool,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        let wanted = Wanted::default();
        Self { scratch: None, database: None, users: 0, wanted, preload: None, leaves_records: true }
    }
}

impl Keyward {
    /// Makes the folder, the master key, the configuration, the database and the key.
    pub async fn prepare(binary: &Path, name: &str) -> Outcome<Self> {
        Self::prepare_with(binary, name, Plan::default()).await
    }

    /// As [`Keyward::prepare`], with more in it.
    pub async fn prepare_with(binary: &Path, name: &str, plan: Plan<'_>) -> Outcome<Self> {
        let Plan { scratch, database, users, wanted, preload, leaves_records } = plan;
        let temporary = std::env::temp_dir();
        let scratch = scratch.unwrap_or(&temporary);
        let folder = scratch.join(format!("keyward-{name}-{}", std::process::id()));
        let data = folder.join("data");
        std::fs::create_dir_all(&data)?;
        let file = data.join("keyward.db");
        let mut keyward = Self {
            binary: binary.into(),
            folder,
            running: None,
            port: free_port()?,
            base: "/scim/bench/v2".to_owned(),
            key: String::new(),
            keys: Vec::new(),
            database: database.map(str::to_owned),
            master_key: installation::master_key(),
            preload: preload.map(Path::to_path_buf),
            leaves_records,
        };
        if users > 0 && database.is_none() {
            let (kept, master_key) = installation::kept(scratch, users).await?;
            std::fs::copy(kept, &file)?;
            keyward.master_key = master_key;
        }
        keyward.configure()?;
        let place = keyward.place()?;
        keyward.keys = installation::make(&place, wanted).await?;
        keyward.key.clone_from(&keyward.keys[0].secret);
        if users > 0 && database.is_some() {
            installation::fill(&place.target, users).await?;
        }
        Ok(keyward)
    }

    /// Its database and its master key.
    ///
    /// # Errors
    /// When the address of the database cannot be read.
    pub fn place(&self) -> Outcome<Place> {
        let target = match &self.database {
            Some(url) => store::Target::parse(url)?,
            None => store::Target::sqlite(self.folder.join("data/keyward.db")),
        };
        Ok(Place { target, master_key: self.master_key.clone() })
    }

    /// Another node of the same installation, which must be on Postgres.
    pub fn beside(&self) -> Outcome<Self> {
        let mut folder = self.folder.clone().into_os_string();
        folder.push("-beside");
        let folder = PathBuf::from(folder);
        std::fs::create_dir_all(folder.join("data"))?;
        let node = Self {
            binary: self.binary.clone(),
            folder,
            running: None,
            port: free_port()?,
            base: self.base.clone(),
            key: self.key.clone(),
            keys: self.keys.clone(),
            database: self.database.clone(),
            master_key: self.master_key.clone(),
            preload: None,
            leaves_records: self.leaves_records,
        };
        node.configure()?;
        Ok(node)
    }

    fn configure(&self) -> Outcome {
        let address =
            self.database.as_ref().map_or_else(String::new, |url| format!("database_url = \"{url}\"\n"));
        let settings = format!(
            "public_url = \"http://127.0.0.1:{port}\"\nlisten = \"127.0.0.1:{port}\"\ndata_dir = \"{data}\"\n{address}\n\
             [oidc]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"keyward\"\n\n\
             [roles]\nadmin = [\"nobody\"]\n\n[log]\nlevel = \"warn\"\n\n\
             [egress]\nallow = [\"http://127.0.0.1\"]\n\n\
             [limits]\nconnections = 4096\nconnections_per_address = 4096\nkey_requests_per_second = 0\n",
            port = self.port,
            data = self.folder.join("data").display(),
        );
        Ok(std::fs::write(self.config(), settings)?)
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
            if let Some(child) = &mut self.running
                && child.try_wait()?.is_some()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
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

    /// Starts a command of it, which must end by itself; what it says goes to the log.
    ///
    /// # Errors
    /// When it does not start.
    pub fn spawn(&self, args: &[&str]) -> Outcome<Child> {
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        let mut command = self.command();
        command.args(args).arg("--config").arg(self.config()).stdin(Stdio::null());
        Ok(command.stdout(log.try_clone()?).stderr(log).spawn()?)
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
        if !self.leaves_records {
            command.env("KEYWARD_BENCH_WITHOUT", "records");
        }
        if let Some(library) = &self.preload {
            command.env("LD_PRELOAD", library);
        }
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
