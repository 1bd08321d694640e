//! An open installation: database, vault, clock, chance and settings.

use std::sync::Arc;

use domain::{
    KeyId, RequestId, Secret,
    audit::{Action, AuditEvent},
    ids::IdChance,
    keys::SecretKind,
};
use serde_json::json;
use store::{Change, Conn, Store, Target};

use crate::{
    Actor, Clock, Cx, Entropy, Error, RequestInfo, System,
    extensions::KnownSchemas,
    unit::detail,
    vault::{MasterKey, Vault},
};

/// What operations need to know of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Scheme, host and port under which Keyward is reached, without a slash at the end.
    pub public_url: String,
    /// Whether the usage records of reads are synced before they are answered.
    pub strict_reads: bool,
    /// For how many days usage records are kept.
    pub usage_retention_days: i64,
    /// For how many days the journal of changes is kept, which is how long they can be taken back.
    pub journal_retention_days: i64,
}

/// Everything that operations share.
pub struct Keyward {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) settings: Settings,
    /// The name of this process among the nodes, made anew at each start.
    pub(crate) node: String,
    pub(crate) schemas: KnownSchemas,
    pub(crate) journal: crate::journal::Runtime,
    pub(crate) behaviour: crate::behaviour::Runtime,
    pub(crate) gateway: crate::gateway::Runtime,
    pub(crate) rotation: crate::rotations::scheduler::Runtime,
    pub(crate) deliveries: crate::deliveries::Runtime,
    pub(crate) notify: crate::notify::Runtime,
    pub(crate) audit: crate::audit::checkpoint::Runtime,
    pub(crate) streams: crate::streams::Runtime,
    pub(crate) configuration: crate::configuration::Runtime,
}

/// Why an installation does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database belongs to another master key.
    #[error(
        "this database belongs to master key {expected}, the configured master key is {found}; nothing was changed"
    )]
    WrongMasterKey {
        /// The id that the database names.
        expected: String,
        /// The id of the configured key.
        found: String,
    },
    /// The master key was refused.
    #[error("{0}")]
    MasterKey(String),
    /// Another process has the database file.
    #[error("the database is in use by another process of Keyward; nothing was changed")]
    InUse,
    /// The database did not open.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Its first record could not be written.
    #[error(transparent)]
    Record(#[from] Error),
}

impl Keyward {
    /// Opens a migrated database, and binds it to the master key when it is new.
    ///
    /// # Errors
    /// [`OpenError`]; a database of another master key is not touched.
    pub async fn open(
        target: Target,
        master_key: &MasterKey,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        settings: Settings,
    ) -> Result<Arc<Self>, OpenError> {
        let vault = Vault::new(master_key).map_err(OpenError::MasterKey)?;
        let store = Store::open(target).await?;
        let mut chance = IdChance::default();
        entropy.fill(&mut chance);
        let keyward = Arc::new(Self {
            store,
            vault,
            node: RequestId::new(clock.now_ms(), chance).digits().to_owned(),
            clock,
            entropy,
            settings,
            schemas: KnownSchemas::default(),
            journal: crate::journal::Runtime::default(),
            behaviour: crate::behaviour::Runtime::default(),
            gateway: crate::gateway::Runtime::default(),
            rotation: crate::rotations::scheduler::Runtime::default(),
            deliveries: crate::deliveries::Runtime::default(),
            notify: crate::notify::Runtime::default(),
            audit: crate::audit::checkpoint::Runtime::default(),
            streams: crate::streams::Runtime::default(),
            configuration: crate::configuration::Runtime::default(),
        });
        if let Err(error) = keyward.bind().await {
            keyward.store.close().await;
            return Err(error);
        }
        Ok(keyward)
    }

    async fn bind(self: &Arc<Self>) -> Result<(), OpenError> {
        let found = self.vault.master_key_id().to_owned();
        let bound = store::installation::master_key_id(&mut self.store.read().await?.conn()).await?;
        if let Some(expected) = bound.as_ref().filter(|bound| **bound != found) {
            return Err(OpenError::WrongMasterKey { expected: expected.clone(), found });
        }
        if !self.store.claim().await? {
            return Err(OpenError::InUse);
        }
        if bound.is_some() {
            return Ok(());
        }
        let cx = self.system_cx("installation");
        let event = AuditEvent {
            target: Some(found.clone()),
            detail: detail(&json!({ "master_key_id": found })),
            ..cx.event(Action::InstallationCreated)
        };
        let created_ms = event.at_ms;
        self.commit(async move |conn: &mut Conn<'_>| {
            store::installation::insert(conn, &found, created_ms).await?;
            Ok(Change::new((), event.clone()))
        })
        .await?;
        Ok(())
    }

    /// The context of a part of Keyward itself.
    pub(crate) fn system_cx(self: &Arc<Self>, part: &'static str) -> Cx<System> {
        Cx { keyward: Arc::clone(self), actor: System { part }, request: self.request_info() }
    }

    /// A request that came from no network.
    pub fn request_info(&self) -> RequestInfo {
        RequestInfo {
            id: RequestId::new(self.clock.now_ms(), self.id_chance()),
            source: None,
            user_agent: None,
            arrived_ms: self.clock.now_ms(),
            arrived_us: self.clock.monotonic_us(),
        }
    }

    /// Chance for one id.
    pub(crate) fn id_chance(&self) -> IdChance {
        let mut chance = IdChance::default();
        self.entropy.fill(&mut chance);
        chance
    }

    /// A new secret text that belongs to a key.
    pub(crate) fn new_secret(&self, kind: SecretKind, id: &KeyId) -> Secret {
        let mut chance = zeroize::Zeroizing::new([0; 32]);
        self.entropy.fill(chance.as_mut());
        domain::keys::compose_as(kind, id, &chance)
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The source of chance.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The SCIM base URL of a federation.
    pub fn base_url(&self, slug: &domain::federations::Slug) -> String {
        format!("{}/scim/{slug}/v2", self.settings.public_url)
    }

    /// Finishes what waits and closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

/// Records that a node has started.
pub async fn record_start(keyward: &Arc<Keyward>, version: &str) -> Result<(), Error> {
    let cx = keyward.system_cx("start");
    let event = AuditEvent { target: Some(format!("version {version}")), ..cx.event(Action::NodeStarted) };
    keyward.commit(async move |_: &mut Conn<'_>| Ok(Change::new((), event.clone()))).await
}

/// Whether the database answers.
pub async fn ready(keyward: &Keyward) -> Result<(), Error> {
    let mut reader = keyward.store.read().await?;
    store::audit::head(&mut reader.conn()).await?;
    Ok(())
}

impl<A: Actor> Cx<A> {
    /// A connection for reading.
    pub(crate) async fn read(&self) -> Result<store::Reader, Error> {
        Ok(self.keyward.store.read().await?)
    }
}
