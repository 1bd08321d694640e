//! Configuration: defaults, file, environment and flags become one [`Config`], or a list of
//! everything that is wrong.
//!
//! Order, each over the one before: default, `keyward.toml` (or the file that `--config` or
//! `KEYWARD_CONFIG` names), environment (`KEYWARD_OIDC__ISSUER` is `oidc.issuer`), flags. What is
//! not a setting is refused, because a mistyped name is a protection that is not there. To add a
//! setting, add a row to [`settings::SETTINGS`] and read it in `rules`.

pub mod master_key;
pub mod problem;
pub mod proxies;
pub mod public_url;
pub mod settings;

#[cfg(feature = "bench")]
pub mod bench;
mod layers;
mod reader;
mod rules;
mod show;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use domain::{Secret, federations::Slug};
use tokio::net::TcpListener;

use crate::{
    edge::leaks::ReporterKey,
    out::{anchors::AuditSettings, egress::Egress, mail::MailSettings, streams::StreamsConfig},
};

pub use layers::Sources;
pub use master_key::MasterKeyBytes;
pub use problem::{ConfigProblem, ConfigProblems};
pub use proxies::TrustedProxies;
pub use public_url::PublicUrl;
pub use show::{Origin, example, table};

/// Exit code of a configuration that cannot be used: `EX_CONFIG` of sysexits.h.
pub const EXIT_CODE: u8 = 78;

/// A configuration that can be used. It holds secrets and has no Debug.
pub struct Config {
    /// Where browsers and identity providers find Keyward.
    pub public_url: PublicUrl,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where metrics are answered, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// The folder of the SQLite database.
    pub data_dir: PathBuf,
    /// `sqlite:…` or `postgres://…`; may hold a password.
    pub database_url: Secret,
    /// Which of the two.
    pub database_kind: DatabaseKind,
    /// Seals the secrets in the database.
    pub master_key: MasterKeyBytes,
    /// Whose `X-Forwarded-For` is read.
    pub trusted_proxies: TrustedProxies,
    /// How admins sign in.
    pub oidc: Oidc,
    /// Which claim value makes which role.
    pub roles: Roles,
    /// How records of reads are kept.
    pub usage_reads: UsageReads,
    /// How many days usage records are kept.
    pub usage_retention_days: i64,
    /// How many days the journal of changes is kept.
    pub journal_retention_days: i64,
    /// How the audit log is proven.
    pub audit: AuditSettings,
    /// Where records go as they come.
    pub streams: StreamsConfig,
    /// Where upstreams of federations may be.
    pub egress: Egress,
    /// What is logged, and how.
    pub logging: Logging,
    /// What a client may take.
    pub limits: Limits,
    /// How long an admin stays signed in.
    pub session: Session,
    /// The mail server, when there is one.
    pub mail: Option<MailSettings>,
    /// The key that reports of leaks are signed with, when they must be.
    pub reporter_key: Option<ReporterKey>,
    /// Every setting, its value as it may be shown, and where it came from.
    pub origins: Vec<Origin>,
}

/// The databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

/// How admins sign in.
pub struct Oidc {
    /// Exactly as the provider says it; a slash at its end counts.
    pub issuer: String,
    /// The client.
    pub client_id: String,
    /// Its secret; none for a public client.
    pub client_secret: Option<Secret>,
    /// What is asked for; has `openid`.
    pub scopes: Vec<String>,
    /// The claim that decides the role.
    pub roles_claim: String,
}

/// Claim value → the federations that its bearer operates.
pub type Operators = BTreeMap<String, Vec<Slug>>;

/// Which claim value makes which role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles {
    /// Admins; at least one value.
    pub admin: Vec<String>,
    /// Managers.
    pub manager: Vec<String>,
    /// Operators.
    pub operator: Operators,
}

/// How records of reads are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageReads {
    /// Synced within 50 ms.
    Batched,
    /// Synced before the answer leaves.
    Strict,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logging {
    /// None: text on a terminal, JSON otherwise.
    pub format: Option<LogFormat>,
    /// The least important events that are logged.
    pub level: LogLevel,
}

/// How an event is written: on one line in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For programs.
    Json,
    /// For people.
    Text,
}

/// How important an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something was not done.
    Error,
    /// Somebody should look.
    Warn,
    /// Every request.
    Info,
    /// How it came to an answer.
    Debug,
    /// Everything.
    Trace,
}

/// What a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Time for the headers of a request.
    pub header_timeout: Duration,
    /// Connections open at once.
    pub connections: usize,
    /// Of them, from one address.
    pub connections_per_address: usize,
    /// Requests of one key in a second, for long; 0 for no limit.
    pub key_requests_per_second: u32,
    /// The same at once, after a rest.
    pub key_burst: u32,
    /// Requests without an accepted key from one address in a minute, for long; 0 for no limit.
    pub refused_per_minute: u32,
    /// The same at once, after a rest.
    pub refused_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            header_timeout: Duration::from_secs(10),
            connections: 4096,
            connections_per_address: 256,
            key_requests_per_second: 200,
            key_burst: 2_000,
            refused_per_minute: 20,
            refused_burst: 100,
        }
    }
}

/// How long an admin stays signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Without a request.
    pub idle: Duration,
    /// In any case.
    pub absolute: Duration,
}

impl Default for Session {
    fn default() -> Self {
        Self { idle: Duration::from_mins(30), absolute: Duration::from_hours(12) }
    }
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every setting that cannot be used, at once.
    pub fn load(sources: &Sources) -> Result<Self, ConfigProblems> {
        let mut reader = reader::Reader::new(layers::read(sources));
        match rules::build(&mut reader) {
            Some(config) => Ok(Self { origins: show::origins(&reader), ..config }),
            None => Err(ConfigProblems(reader.problems)),
        }
    }

    /// Where the value of a setting came from; for a secret also where its `…_file` twin did.
    pub fn source(&self, key: &str) -> String {
        let twin = format!("{key}_file");
        let set = self.origins.iter().filter(|origin| !origin.source.is_empty());
        let own = set.clone().find(|origin| origin.key == key);
        let found = own.or_else(|| set.clone().find(|origin| origin.key == twin));
        found.map_or_else(String::new, |origin| origin.source.clone())
    }

    /// Makes the data folder, closed to other users, when it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn make_data_dir(&self) -> Result<(), ConfigProblem> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt as _;
            builder.mode(0o700);
        }
        builder
            .create(&self.data_dir)
            .map_err(|error| rules::unmakeable(self.source("data_dir"), &self.data_dir, &error))
    }

    /// Listens on the addresses of the configuration.
    ///
    /// # Errors
    /// An address is in use, not of this machine, or not allowed to this user.
    pub async fn bind(&self) -> Result<Listeners, ConfigProblems> {
        let main = bind("listen", self.source("listen"), self.listen).await;
        let metrics = match self.metrics_listen {
            Some(address) => bind("metrics_listen", self.source("metrics_listen"), address).await.map(Some),
            None => Ok(None),
        };
        match (main, metrics) {
            (Ok(main), Ok(metrics)) => Ok(Listeners { main, metrics }),
            (main, metrics) => {
                Err(ConfigProblems(main.err().into_iter().chain(metrics.err()).collect::<Vec<_>>()))
            }
        }
    }
}

/// Open sockets.
#[derive(Debug)]
pub struct Listeners {
    /// For everything.
    pub main: TcpListener,
    /// For metrics, if they are on.
    pub metrics: Option<TcpListener>,
}

/// Listens on one address; `key` and `source` are named when that cannot be done.
///
/// # Errors
/// The address is in use, not of this machine, or not allowed to this user.
pub async fn bind(key: &str, source: String, address: SocketAddr) -> Result<TcpListener, ConfigProblem> {
    TcpListener::bind(address).await.map_err(|error| rules::unusable(key, source, address, &error))
}

/// Reads the address of a demo, which must be loopback.
///
/// # Errors
/// It is not an address, or not loopback: the identity provider of the demo lets everybody in.
pub fn demo_address(text: &str) -> Result<SocketAddr, ConfigProblem> {
    rules::demo_address(text)
}
