//! `keyward probe`: what a SCIM service will choke on, in the terminal.

use std::{path::PathBuf, sync::Arc};

use domain::{FederationId, RequestId, Secret, federations::Slug, ids::IdChance, upstreams::SignIn};
use ops::{
    gateway::probe,
    ports::{Clock, Destination, Entropy, Upstream},
    vault::MasterKey,
};
use store::Store;

use crate::{
    cli::{Exit, print},
    config::Config,
    out::{
        egress::{Allowed, Egress},
        upstream::UpstreamHttp,
    },
    serve,
    tasks::clock::{OsEntropy, SystemClock},
};

/// How long one call may take, in milliseconds.
const TIMEOUT_MS: u64 = 30_000;

/// What a person at a terminal may probe: whatever this machine reaches, but for the addresses that
/// hand out credentials.
const REACHABLE: &[&str] = &["http://0.0.0.0/1", "http://128.0.0.0/1", "http://::/1", "http://8000::/1"];

/// Probes a service by its address and a token.
///
/// # Errors
/// The token cannot be read, the service cannot be called, or something failed.
pub async fn of_url(url: String, token_file: PathBuf, only_quirks: bool) -> Result<(), Exit> {
    let token = std::fs::read_to_string(&token_file)
        .map_err(|error| Exit::failed(format!("{}: {error}", token_file.display())))?;
    let base_url = domain::upstreams::check_url("url", &url)
        .map_err(|fault| Exit::failed(format!("--url {url:?}: {}", fault.message)))?;
    let allowed = REACHABLE.iter().filter_map(|text| Allowed::parse(text).ok());
    let egress = Egress::new(allowed.collect(), Vec::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let port: Arc<dyn Upstream> = Arc::new(UpstreamHttp::new(egress, Arc::clone(&clock)));
    port.admits(&base_url).map_err(|sentence| Exit::failed(format!("{base_url}: {sentence}")))?;
    let destination = Arc::new(Destination {
        federation_id: FederationId::new(clock.now_ms(), chance()),
        version: 1,
        base_url,
        sign_in: SignIn::Bearer,
        secret: Secret::new(token.trim().to_owned()),
        trusted_ca: None,
        timeout_ms: TIMEOUT_MS,
    });
    let tag = format!("keyward{}", RequestId::new(clock.now_ms(), chance()).digits().to_lowercase());
    tell(&probe::run(port, destination, &tag).await, only_quirks)
}

/// Probes the upstream of a federation with its own credential.
///
/// # Errors
/// As [`of_url`], and when the installation does not open or the federation has no upstream.
pub async fn of_federation(config: Config, slug: String, only_quirks: bool) -> Result<(), Exit> {
    let slug =
        Slug::parse(&slug).map_err(|fault| Exit::failed(format!("--federation: {}", fault.message)))?;
    let failed = |sentence: String| Exit::failed(format!("{slug} was not probed: {sentence}"));
    let store = Store::open(serve::target(&config)?).await.map_err(|error| failed(error.to_string()))?;
    let master_key = MasterKey::new(*config.master_key.expose());
    let destination = probe::destination(&store, &master_key, &slug).await;
    store.close().await;
    let destination = destination.map_err(failed)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let port: Arc<dyn Upstream> = Arc::new(UpstreamHttp::new(config.egress, Arc::clone(&clock)));
    let tag = format!("keyward{}", RequestId::new(clock.now_ms(), chance()).digits().to_lowercase());
    tell(&probe::run(port, destination, &tag).await, only_quirks)
}

fn tell(report: &scim::probe::Report, only_quirks: bool) -> Result<(), Exit> {
    if only_quirks {
        return print(&format!("{}\n", serde_json::json!(report.quirks)));
    }
    print(&format!("{report}\n"))?;
    let quirks = probe::quirks_of(&report.quirks);
    let labels: Vec<&str> = domain::upstreams::Quirks::ALL
        .iter()
        .filter(|quirk| (quirk.is_on)(&quirks))
        .map(|quirk| quirk.label)
        .collect();
    if !labels.is_empty() {
        print(&format!("To be ticked in the form of the target: {}.\n", labels.join("; ")))?;
    }
    if report.is_ready() { Ok(()) } else { Err(Exit::failed("Something failed; see above.")) }
}

fn chance() -> IdChance {
    let mut chance = IdChance::default();
    OsEntropy.fill(&mut chance);
    chance
}
