//! A Keyward of the load's own: a temporary folder, a free port, a federation `bench` with one key.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

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
}

impl Keyward {
    /// Makes the folder, the master key, the configuration, the database and the key.
    pub fn prepare(binary: &Path, name: &str) -> Outcome<Self> {
        let folder = std::env::temp_dir().join(format!("keyward-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let mut keyward = Self {
            binary: binary.into(),
            folder,
            running: None,
            port,
            base: String::new(),
            key: String::new(),
        };
        let master_key = keyward.read(&["master-key", "generate"])?;
        let settings = format!(
            "public_url = \"http://127.0.0.1:{port}\"\nlisten = \"127.0.0.1:{port}\"\ndata_dir = \"{data}\"\n\
             master_key = \"{master_key}\"\n\n[oidc]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"keyward\"\n\n\
             [roles]\nadmin = [\"nobody\"]\n\n[log]\nlevel = \"warn\"\n\n\
             [limits]\nconnections = 4096\nconnections_per_address = 4096\n",
            data = keyward.folder.join("data").display(),
            master_key = master_key.trim(),
        );
        std::fs::write(keyward.config(), settings)?;
        let config = keyward.config().display().to_string();
        let made: Value = serde_json::from_str(&keyward.read(&["bench-key", "--config", &config])?)?;
        let base = made["base_url"].as_str().ok_or("bench-key printed no base_url")?;
        // Only the path counts: the port is ours.
        keyward.base = base.split('/').skip(3).fold(String::new(), |path, part| path + "/" + part);
        made["key"].as_str().ok_or("bench-key printed no key")?.clone_into(&mut keyward.key);
        Ok(keyward)
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
