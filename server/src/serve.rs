//! Assembly: from a configuration to a running server, and the commands that need a database.

pub mod audit;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use domain::Millis;
use ops::{
    Keyward, OpenError, Settings,
    configuration::Decided,
    ports::{Clock, Entropy, FetchJwks},
    vault::MasterKey,
};
use store::Target;
use url::Url;

use crate::{
    cli::{DemoOptions, Exit, print},
    config::{
        self, Config, ConfigProblem, DatabaseKind, Listeners, MasterKeyBytes, PublicUrl, TrustedProxies,
        UsageReads,
    },
    control::socket::{self, Socket},
    demo::{self, clock::DemoClock, provider::DemoProvider, receiver::Receiver},
    edge::{
        accept::{AcceptLimits, Stop, StopSignal, serve_on, stop_pair},
        assets,
        health::{self, Readiness},
        leaks::{self, ReporterKey},
        metrics::{self, Metrics},
        oauth,
        oidc::{
            OidcEdge,
            settings::{OidcSettings, RoleMap},
        },
        pages::Pages,
        scim,
        session::{self, SessionPolicy},
        shell::Shell,
    },
    out::{
        anchors::AuditSettings,
        deliver::DeliverHttp,
        egress::{Allowed, Egress, PORTS},
        http::{OidcHttp, install_crypto},
        jwks::JwksHttp,
        mail::{MailSettings, SmtpMail},
        notify::Notifier,
        streams as receivers,
        upstream::UpstreamHttp,
    },
    tasks::{
        behaviour, checkpoint,
        clock::{OsEntropy, SystemClock},
        delivery, gateway, notify, rotation,
        signals::EndSignals,
        streams, undo, upkeep, usage,
    },
};

/// How long the database may take to come up at the start.
const DATABASE_PATIENCE: Duration = Duration::from_secs(30);

/// Runs the server until it is told to stop.
///
/// # Errors
/// What kept it from starting, or from running on.
pub async fn run(mut config: Config) -> Result<(), Exit> {
    #[cfg(feature = "bench")]
    config::bench::obey()?;
    let listeners = config.bind().await?;
    config.make_data_dir()?;
    let keyward = open_as_configured(&config).await?;
    audit::prepare(&keyward, std::mem::take(&mut config.audit), &config.egress).await?;
    let host = Url::parse(config.public_url.origin()).ok();
    let host = host.as_ref().and_then(Url::host_str).unwrap_or_default();
    let connected = receivers::of(std::mem::take(&mut config.streams), &config.egress, host);
    if let Some(connected) = connected.map_err(Exit::failed)? {
        keyward.connect_streams(connected);
    }
    let control = open_control(&config);
    let oidc = oidc_settings(&config)?;
    let policy = SessionPolicy {
        idle_ms: millis(config.session.idle),
        absolute_ms: millis(config.session.absolute),
        secure: config.public_url.is_https(),
    };
    let house = House {
        keyward,
        public_url: config.public_url,
        proxies: config.trusted_proxies,
        limits: config.limits,
        oidc,
        policy,
        egress: config.egress,
        mail: config.mail,
        reporter_key: config.reporter_key,
        control,
    };
    let (signal, stop) = stop_pair();
    house.serve(listeners, signal, stop).await
}

/// Opens the installation of a configuration, as the server does.
///
/// # Errors
/// The database does not open, or belongs to another master key.
pub(crate) async fn open_as_configured(config: &Config) -> Result<Arc<Keyward>, Exit> {
    let settings = Settings {
        public_url: config.public_url.origin().to_owned(),
        strict_reads: config.usage_reads == UsageReads::Strict,
        usage_retention_days: config.usage_retention_days,
        journal_retention_days: config.journal_retention_days,
    };
    let keyward = open(target(config)?, &config.master_key, settings, &config.source("master_key")).await?;
    if let Some(origin) = &config.audit.origin {
        keyward.name_audit_log(origin.clone());
    }
    keyward.show_settings(config.origins.iter().map(decided).collect());
    Ok(keyward)
}

/// A setting, for people to read.
fn decided(origin: &config::Origin) -> Decided {
    let config::Origin { key, value, source } = origin.clone();
    Decided { key: key.to_owned(), value, source }
}

/// The socket for the command line. On Postgres the command line opens the database itself; and a server
/// without the socket serves all the same.
fn open_control(config: &Config) -> Option<Socket> {
    if config.database_kind == DatabaseKind::Postgres {
        return None;
    }
    let opened = Socket::open(&config.data_dir);
    opened
        .inspect_err(|error| {
            let path = socket::path_in(&config.data_dir);
            tracing::warn!(%error, path = %path.display(), "the command line cannot reach this server");
        })
        .ok()
}

/// Runs a throw-away instance with lifelike data: its own identity provider for people, and
/// simulated ones that provision with real keys.
///
/// # Errors
/// What kept it from starting, or from running on.
pub async fn demo(options: DemoOptions) -> Result<(), Exit> {
    let failed = |error: &dyn std::fmt::Display| Exit::failed(format!("the demo did not start: {error}"));
    let main = config::bind("listen", "flag --listen".to_owned(), options.listen).await?;
    let address = main.local_addr().map_err(|error| failed(&error))?;
    let public_url = PublicUrl::of_loopback(address);
    let folder = DemoFolder::make(options.data_dir).map_err(|error| failed(&error))?;
    let settings = Settings {
        public_url: public_url.origin().to_owned(),
        strict_reads: false,
        usage_retention_days: 400,
        journal_retention_days: 400,
    };
    let master_key = MasterKeyBytes::generate(&OsEntropy);
    master_key.write_new(&folder.path.join("master.key")).map_err(|error| failed(&error))?;
    let target = Target::sqlite(folder.path.join("keyward.db"));
    let clock = Arc::new(DemoClock::default());
    let keyward =
        open_with(target, &master_key, settings, "the demo's folder", Arc::clone(&clock) as _).await?;
    let anchored = AuditSettings { file: Some(folder.path.join("audit.anchor")), ..AuditSettings::default() };
    audit::prepare(&keyward, anchored, &Egress::default()).await?;
    let (signal, stop) = stop_pair();

    let own = Url::parse(public_url.origin()).map_err(|error| failed(&error))?;
    let mut provider_stop = stop.clone();
    let provider = DemoProvider::start(
        SocketAddr::new(address.ip(), 0),
        &own,
        Arc::clone(keyward.clock()),
        Arc::clone(keyward.entropy()),
        async move { provider_stop.wait().await },
    )
    .await
    .map_err(|error| failed(&error))?;
    let mut receiver_stop = stop.clone();
    let receiver = Receiver::start(
        SocketAddr::new(address.ip(), 0),
        Arc::clone(keyward.clock()),
        keyward.entropy().as_ref(),
        async move { receiver_stop.wait().await },
    )
    .await
    .map_err(|error| failed(&error))?;
    let issuer = provider.issuer().as_str().trim_end_matches('/').to_owned();
    let cx = demo::admin_cx(&keyward, &issuer);
    let cast =
        demo::seed(&cx, &receiver, |by_ms| clock.stand_back(by_ms)).await.map_err(|error| failed(&error))?;

    let policy = SessionPolicy::new(false);
    let house = House {
        keyward,
        proxies: TrustedProxies::default(),
        limits: config::Limits::default(),
        oidc: provider.settings(),
        policy,
        public_url,
        // The demo's own base is on this machine.
        egress: loopback_only(),
        mail: None,
        reporter_key: None,
        control: None,
    };
    print(&format!(
        "\n  Keyward is at {}\n  Sign in as Ana Ferreira to see everything. Ctrl-C ends it.{kept}\n\n",
        house.public_url.origin(),
        kept = if folder.is_temporary { " Nothing is kept." } else { "" },
    ))?;
    let (pushing, pushers) = tokio::sync::watch::channel(false);
    for push in cast.pushes {
        tokio::spawn(demo::push::run(push, pushers.clone()));
    }
    tokio::spawn(demo::again::run(Arc::clone(&house.keyward), issuer, cast.by_itself, pushers.clone()));
    let served = house.serve(Listeners { main, metrics: None }, signal, stop).await;
    pushing.send_replace(true);
    served
}

/// Brings the database to the newest schema.
///
/// # Errors
/// The database does not answer, or is newer than this program.
pub async fn migrate(config: Config) -> Result<(), Exit> {
    config.make_data_dir()?;
    let count = migrated(&target(&config)?).await?;
    print(&format!("The database has the newest schema, number {count}.\n"))
}

/// An open installation and everything that is served around it.
struct House {
    keyward: Arc<Keyward>,
    public_url: PublicUrl,
    proxies: TrustedProxies,
    limits: config::Limits,
    oidc: OidcSettings,
    policy: SessionPolicy,
    egress: Egress,
    mail: Option<MailSettings>,
    reporter_key: Option<ReporterKey>,
    /// For the command line.
    control: Option<Socket>,
}

impl House {
    async fn serve(self, listeners: Listeners, signal: StopSignal, stop: Stop) -> Result<(), Exit> {
        let Self { keyward, public_url, proxies, limits, oidc, policy, egress, mail, reporter_key, control } =
            self;
        let upstreams = UpstreamHttp::new(egress.clone(), Arc::clone(keyward.clock()));
        keyward.connect_upstreams(Arc::new(upstreams));
        let targets =
            DeliverHttp::new(egress.clone(), Arc::clone(keyward.clock()), Arc::clone(keyward.entropy()));
        keyward.connect_deliveries(Arc::new(targets));
        let shell = Shell::new(
            &public_url,
            proxies.clone(),
            &limits,
            Arc::clone(keyward.clock()),
            Arc::clone(keyward.entropy()),
        );
        let readiness = readiness(&keyward);
        let smtp = mail.as_ref().map(SmtpMail::new).transpose().map_err(Exit::failed)?;
        keyward.connect_notifier(Arc::new(Notifier::new(egress.clone(), smtp).map_err(Exit::failed)?));
        let router = router_with(&keyward, &shell, oidc, policy, readiness.clone(), egress, reporter_key)?;
        let record = ops::installation::record_start(&keyward, env!("CARGO_PKG_VERSION")).await;
        record.map_err(|error| Exit::failed(format!("the start could not be recorded: {error}")))?;

        let accept = AcceptLimits::new(&limits, proxies);
        tokio::spawn(upkeep::run(Arc::clone(&keyward), stop.clone()));
        tokio::spawn(usage::seal(Arc::clone(&keyward), stop.clone()));
        tokio::spawn(usage::relay(Arc::clone(&keyward), stop.clone()));
        tokio::spawn(gateway::run(Arc::clone(&keyward), stop.clone()));
        tokio::spawn(undo::run(Arc::clone(&keyward), stop.clone()));
        tokio::spawn(notify::run(Arc::clone(&keyward), stop.clone()));
        tokio::spawn(behaviour::run(Arc::clone(&keyward), stop.clone()));
        tokio::spawn(delivery::run(Arc::clone(&keyward), stop.clone()));
        tokio::spawn(rotation::run(Arc::clone(&keyward), stop.clone()));
        tokio::spawn(checkpoint::run(Arc::clone(&keyward), stop.clone()));
        tokio::spawn(checkpoint::anchor(Arc::clone(&keyward), stop.clone()));
        streams::spawn(&keyward, &stop);
        if let Some(control) = control {
            tokio::spawn(control.serve(Arc::clone(&keyward), stop.clone()));
        }
        if let Some(listener) = listeners.metrics {
            let counted = Metrics::install().map_err(Exit::failed)?;
            tokio::spawn(metrics::upkeep(counted.clone(), stop.clone()));
            tokio::spawn(metrics::serve(
                listener,
                counted,
                shell.headers.clone(),
                accept.clone(),
                stop.clone(),
            ));
        }
        let ends = EndSignals::listen()
            .map_err(|error| Exit::failed(format!("signals cannot be listened to: {error}")))?;
        tokio::spawn(async move {
            let name = ends.asked().await;
            tracing::info!(signal = name, "stopping");
            readiness.drain();
            signal.stop();
        });
        tracing::info!(address = public_url.origin(), "ready");
        let cut = serve_on(listeners.main, router, accept, stop).await;
        behaviour::finish(&keyward).await;
        checkpoint::finish(&keyward).await;
        keyward.close().await;
        tracing::info!(cut_connections = cut, "stopped");
        Ok(())
    }
}

/// Every route, inside the shell.
///
/// # Errors
/// When the settings of sign-in cannot be used.
pub fn router(
    keyward: &Arc<Keyward>,
    shell: &Shell,
    oidc: OidcSettings,
    policy: SessionPolicy,
    readiness: Readiness,
    egress: Egress,
) -> Result<Router, Exit> {
    router_with(keyward, shell, oidc, policy, readiness, egress, None)
}

/// As [`router`]; with a key only leak reports that are signed by it are taken.
///
/// # Errors
/// When the settings of sign-in cannot be used.
pub fn router_with(
    keyward: &Arc<Keyward>,
    shell: &Shell,
    oidc: OidcSettings,
    policy: SessionPolicy,
    readiness: Readiness,
    egress: Egress,
    reporter_key: Option<ReporterKey>,
) -> Result<Router, Exit> {
    install_crypto();
    let unusable = |error: &dyn std::fmt::Display| Exit::failed(format!("sign-in cannot be set up: {error}"));
    let issuer = Url::parse(&oidc.issuer).map_err(|error| unusable(&error))?;
    let http = OidcHttp::new(&issuer).map_err(|error| unusable(&error))?;
    let jwks = JwksHttp::new(egress)
        .map_err(|error| Exit::failed(format!("the keys of OAuth clients cannot be fetched: {error}")))?;
    let edge = OidcEdge::new(oidc, Arc::clone(keyward), http, policy).map_err(|error| unusable(&error))?;
    let dashboard = Router::new()
        .merge(edge.router())
        .fallback_service(Pages::new(Arc::clone(keyward), edge).routes())
        .layer(session::layer(Arc::clone(keyward), policy));
    let router = open_routes(keyward, readiness, reporter_key, Arc::new(jwks)).fallback_service(dashboard);
    Ok(shell.around_scim(scim::Scim::new(Arc::clone(keyward)), router))
}

/// The routes that no session opens: health, files, leak reports, tokens. Beside them there are those of
/// [`OidcEdge::router`], of [`Pages::guarded`], and what [`scim::PATHS`] names; a route goes into one of these,
/// where the tests that walk every route find it.
pub fn open_routes(
    keyward: &Arc<Keyward>,
    readiness: Readiness,
    reporter_key: Option<ReporterKey>,
    jwks: Arc<dyn FetchJwks>,
) -> Router {
    Router::new()
        .merge(health::routes(readiness))
        .merge(assets::routes())
        .merge(leaks::routes(Arc::clone(keyward), reporter_key))
        .merge(oauth::routes(Arc::clone(keyward), jwks))
}

fn readiness(keyward: &Arc<Keyward>) -> Readiness {
    let keyward = Arc::clone(keyward);
    Readiness::new(Arc::new(move || {
        let keyward = Arc::clone(&keyward);
        Box::pin(async move {
            ops::installation::ready(&keyward).await.map_err(|error| {
                tracing::warn!(error = ?error, "not ready");
                "the database does not answer".to_owned()
            })
        })
    }))
}

async fn open(
    target: Target,
    master_key: &MasterKeyBytes,
    settings: Settings,
    source: &str,
) -> Result<Arc<Keyward>, Exit> {
    open_with(target, master_key, settings, source, Arc::new(SystemClock)).await
}

async fn open_with(
    target: Target,
    master_key: &MasterKeyBytes,
    settings: Settings,
    source: &str,
    clock: Arc<dyn Clock>,
) -> Result<Arc<Keyward>, Exit> {
    migrated(&target).await?;
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let master_key = MasterKey::new(*master_key.expose());
    Keyward::open(target, &master_key, clock, entropy, settings).await.map_err(|error| match error {
        OpenError::WrongMasterKey { expected, found } => Exit::from(ConfigProblem {
            key: "master_key".to_owned(),
            source: source.to_owned(),
            found: Some(found),
            expected: format!("the master key with the id {expected}, to which this database belongs"),
            fix: "use that key; nothing was changed".to_owned(),
        }),
        OpenError::MasterKey(text) => Exit::failed(text),
        OpenError::InUse => Exit::failed(error.to_string()),
        OpenError::Store(error) => Exit::failed(format!("the database cannot be opened: {error}")),
        OpenError::Record(error) => Exit::failed(format!("the database cannot be written: {error}")),
    })
}

/// Migrates; a database that does not answer yet is waited for.
async fn migrated(target: &Target) -> Result<usize, Exit> {
    let mut waited = Duration::ZERO;
    loop {
        match store::migrate(target).await {
            Ok(count) => return Ok(count),
            Err(error) if waited < DATABASE_PATIENCE && error.is_absence() => {
                tracing::warn!(%error, "the database does not answer yet");
                tokio::time::sleep(Duration::from_secs(1)).await;
                waited += Duration::from_secs(1);
            }
            Err(error) => return Err(Exit::failed(format!("the database cannot be prepared: {error}"))),
        }
    }
}

/// The database of a configuration.
///
/// # Errors
/// Its address cannot be read.
pub(crate) fn target(config: &Config) -> Result<Target, Exit> {
    Target::parse(config.database_url.expose()).map_err(|expected| {
        Exit::from(ConfigProblem {
            key: "database_url".to_owned(),
            source: config.source("database_url"),
            found: None,
            expected,
            fix: "correct it".to_owned(),
        })
    })
}

fn oidc_settings(config: &Config) -> Result<OidcSettings, Exit> {
    let at = |path: &str| {
        Url::parse(&format!("{}{path}", config.public_url.origin()))
            .map_err(|error| Exit::failed(format!("the public URL cannot be extended: {error}")))
    };
    let issuer = Url::parse(&config.oidc.issuer)
        .map_err(|error| Exit::failed(format!("the issuer cannot be read: {error}")))?;
    Ok(OidcSettings {
        issuer: config.oidc.issuer.clone(),
        client_id: config.oidc.client_id.clone(),
        client_secret: config
            .oidc
            .client_secret
            .as_ref()
            .map(|secret| domain::Secret::new(secret.expose().to_owned())),
        redirect_uri: at("/auth/callback")?,
        scopes: config.oidc.scopes.clone(),
        roles_claim: config.oidc.roles_claim.clone(),
        roles: RoleMap {
            admin: config.roles.admin.clone(),
            manager: config.roles.manager.clone(),
            operator: config.roles.operator.clone(),
        },
        post_logout_redirect: at("/sign-in")?,
        provider_name: issuer.host_str().unwrap_or("the identity provider").to_owned(),
    })
}

/// For the demo: upstreams on this machine, over plain http.
fn loopback_only() -> Egress {
    let allowed = ["http://127.0.0.0/8", "http://[::1]"].iter().filter_map(|text| Allowed::parse(text).ok());
    Egress::new(allowed.collect(), PORTS.to_vec())
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// Where a demo keeps its data; a temporary folder goes with it.
struct DemoFolder {
    path: PathBuf,
    is_temporary: bool,
}

impl DemoFolder {
    fn make(wanted: Option<PathBuf>) -> std::io::Result<Self> {
        let is_temporary = wanted.is_none();
        let path = wanted
            .unwrap_or_else(|| std::env::temp_dir().join(format!("keyward-demo-{}", std::process::id())));
        std::fs::create_dir_all(&path)?;
        if std::fs::read_dir(&path)?.next().is_some() {
            let text = format!("{} is not empty: name a new folder", path.display());
            return Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, text));
        }
        Ok(Self { path, is_temporary })
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        if self.is_temporary {
            // What cannot be removed is the operating system's to remove.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
