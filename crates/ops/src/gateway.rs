//! The gateway: a federation whose users and groups are kept by an upstream SCIM service.
//!
//! A request is authenticated, judged and recorded as for the embedded directory. A change is then
//! three steps: the intent (a row and an audit record, synced), the call, the outcome (the link, the
//! audit record, the usage record). Whatever happens in between, the row says that something was
//! asked, and [`reconcile`] finds out what became of it: nothing is asked twice without looking.
//!
//! - [`requests`]: what a provider asks for; `translate`, `patch` and `difference`: in the upstream's words;
//! - `list`: lists and searches, with what the upstream does not do itself;
//! - [`reconcile`]: calls of which nobody knows what became of them;
//! - `restore`: taking changes back ([`crate::journal::undo`]);
//! - [`target`]: what an admin sets, tests and approves;
//! - [`breaker`]: one bad upstream costs the others nothing.

pub mod breaker;
pub mod probe;
pub mod reconcile;
pub mod requests;
pub(crate) mod restore;
pub mod target;

mod adoption;
mod around;
mod change;
mod connection;
mod create;
mod cursor;
mod difference;
mod job;
mod list;
mod offers;
mod patch;
mod planned;
mod read;
mod told;
mod translate;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use domain::{FederationId, Millis, ResourceId, Secret, upstreams::Upstream};
use scim::ResourceType;
use serde_json::Value;
use store::{Conn, links::Link, upstreams::StoredUpstream};

use self::{
    breaker::{Bulkhead, TurnedAway},
    list::Walk,
    offers::Offers,
    told::Told,
    translate::{Inward, Outward},
};
use crate::{
    Actor, Cx, Error, Keyward,
    ports::{self, Destination, Method, UpstreamRequest},
    vault::{Place, Sealed, Vault},
};

/// Resources that one answer may bring to light.
const NEW_LINKS: usize = 20_000;

/// Accounts among which one is looked for where the upstream does not filter.
const LOOKED_THROUGH: u64 = 100_000;

/// Rows in one unit, so that others get their turn.
const LINKS_PER_UNIT: usize = 200;

/// What the gateway keeps in memory.
#[derive(Default)]
pub(crate) struct Runtime {
    port: OnceLock<Arc<dyn ports::Upstream>>,
    bulkheads: Mutex<BTreeMap<FederationId, (i64, Arc<Bulkhead>)>>,
    /// Calls that this process is making.
    under_way: Mutex<BTreeSet<String>>,
    /// One change of a resource at a time.
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// What upstreams offer: the version of the upstream, and when it said so.
    offers: Mutex<BTreeMap<FederationId, (i64, Millis, Offers)>>,
    /// When a call last failed, and why.
    failures: Mutex<BTreeMap<FederationId, (Millis, String)>>,
    /// When it was last recorded that an upstream refuses our credential.
    refused_us: Mutex<BTreeMap<FederationId, Millis>>,
}

// What a poisoned lock holds is whole: nothing in here panics while it holds one.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runtime {
    fn bulkhead(&self, upstream: &Upstream) -> Arc<Bulkhead> {
        let concurrency = upstream.limits.concurrency;
        let fresh = || Arc::new(Bulkhead::new(usize::try_from(concurrency).unwrap_or(1)));
        let mut bulkheads = locked(&self.bulkheads);
        let (size, bulkhead) =
            bulkheads.entry(upstream.federation_id.clone()).or_insert_with(|| (concurrency, fresh()));
        if *size != concurrency {
            (*size, *bulkhead) = (concurrency, fresh());
        }
        Arc::clone(bulkhead)
    }

    /// Begins anew with an upstream that was changed.
    fn forget(&self, federation_id: &FederationId) {
        locked(&self.bulkheads).remove(federation_id);
        locked(&self.offers).remove(federation_id);
        locked(&self.failures).remove(federation_id);
        locked(&self.refused_us).remove(federation_id);
    }
}

impl Keyward {
    /// Gives the gateway its way out. Without one, every upstream is out of reach.
    pub fn connect_upstreams(&self, port: Arc<dyn ports::Upstream>) {
        // A second one is refused: the first is the one that was configured.
        let _ = self.gateway.port.set(port);
    }

    /// How many breakers are in which state: closed, open, half-open.
    pub fn breakers(&self) -> [(breaker::BreakerState, usize); 3] {
        use breaker::BreakerState::{Closed, HalfOpen, Open};
        let now_us = self.clock.monotonic_us();
        let states: Vec<_> =
            locked(&self.gateway.bulkheads).values().map(|(_, bulkhead)| bulkhead.state(now_us)).collect();
        [Closed, Open, HalfOpen].map(|state| (state, states.iter().filter(|found| **found == state).count()))
    }

    /// Waits for one's turn with a resource, not longer than a call may take.
    async fn turn(&self, key: String, timeout_ms: i64) -> Result<Turn<'_>, Error> {
        let lock = Arc::clone(locked(&self.gateway.turns).entry(key.clone()).or_default());
        let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or_default());
        let guard = tokio::time::timeout(patience, lock.lock_owned())
            .await
            .map_err(|_| told::weather("another change of this resource is under way; come back later", 5))?;
        Ok(Turn { runtime: &self.gateway, key, guard: Some(guard) })
    }
}

/// One's turn with a resource.
struct Turn<'r> {
    runtime: &'r Runtime,
    key: String,
    guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut turns = locked(&self.runtime.turns);
        if turns.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            turns.remove(&self.key);
        }
    }
}

/// Says that this process is making a call, until it is dropped.
struct UnderWay<'r>(&'r Runtime, String);

impl<'r> UnderWay<'r> {
    fn begin(runtime: &'r Runtime, call_id: &str) -> Self {
        locked(&runtime.under_way).insert(call_id.to_owned());
        Self(runtime, call_id.to_owned())
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        locked(&self.0.under_way).remove(&self.1);
    }
}

/// The way to the upstream of one federation.
struct Gate {
    upstream: Upstream,
    /// The base of the federation here.
    base: String,
    destination: Arc<Destination>,
    bulkhead: Arc<Bulkhead>,
    port: Arc<dyn ports::Upstream>,
}

pub(crate) fn place(federation_id: &FederationId, version: i64) -> Place<'_> {
    Place { table: "upstreams", id: federation_id.as_str(), column: "sealed", version }
}

/// Where to call, with the credential unsealed.
fn destination(vault: &Vault, stored: StoredUpstream) -> Result<Destination, String> {
    let StoredUpstream { upstream, sealed, data_key, seal_version } = stored;
    let at = place(&upstream.federation_id, seal_version);
    let opened = vault
        .open(at, &Sealed { text: sealed, data_key })
        .map_err(|error| format!("the credential of an upstream: {error}"))?;
    let secret =
        std::str::from_utf8(&opened).map_err(|_| "the credential of an upstream is no text".to_owned())?;
    Ok(Destination {
        secret: Secret::new(secret.to_owned()),
        timeout_ms: u64::try_from(upstream.limits.timeout_ms).unwrap_or(1),
        federation_id: upstream.federation_id,
        version: upstream.version,
        base_url: upstream.base_url,
        sign_in: upstream.sign_in,
        trusted_ca: upstream.trusted_ca,
    })
}

impl Gate {
    fn new(keyward: &Keyward, stored: StoredUpstream, base: String) -> Result<Self, Error> {
        let upstream = stored.upstream.clone();
        let destination = destination(&keyward.vault, stored).map_err(Error::Internal)?;
        let Some(port) = keyward.gateway.port.get().map(Arc::clone) else {
            return Err(told::weather("the service behind this federation is out of reach", 30));
        };
        Ok(Self {
            destination: Arc::new(destination),
            bulkhead: keyward.gateway.bulkhead(&upstream),
            upstream,
            base,
            port,
        })
    }

    /// Makes one call, through the breaker and the bulkhead. What was never sent and does the same
    /// however often it is done is tried a second time.
    async fn call(&self, keyward: &Keyward, request: UpstreamRequest) -> Told {
        let tries = if request.method == Method::Post { 1 } else { 2 };
        let mut told = Told::Unclear("no call was made".to_owned());
        for _ in 0..tries {
            told = self.call_once(keyward, request.clone()).await;
            if !matches!(told, Told::NotSent { may_try_again: true, .. }) {
                break;
            }
        }
        told
    }

    async fn call_once(&self, keyward: &Keyward, request: UpstreamRequest) -> Told {
        let leave = match self.bulkhead.enter(keyward.clock.monotonic_us()).await {
            Ok(leave) => leave,
            Err(TurnedAway::Open(retry_after_s)) => {
                let reason = "its breaker is open".to_owned();
                return Told::NotSent { reason, retry_after_s, may_try_again: false };
            }
            Err(TurnedAway::Full) => {
                let reason = "too many calls to it are under way".to_owned();
                return Told::NotSent { reason, retry_after_s: 2, may_try_again: false };
            }
        };
        let told = match self.port.exchange(&self.destination, request).await {
            Ok(answer) => told::read(answer),
            Err(fault) => Told::from(fault),
        };
        if told.is_failure() {
            let failure = (keyward.clock.now_ms(), told.note());
            locked(&keyward.gateway.failures).insert(self.upstream.federation_id.clone(), failure);
            leave.failed(keyward.clock.monotonic_us());
        } else {
            leave.came_back();
        }
        told
    }

    fn get(path: String) -> UpstreamRequest {
        UpstreamRequest { method: Method::Get, path, if_match: None, if_none_match: None, body: None }
    }

    fn path_of(kind: ResourceType, upstream_id: &str) -> String {
        format!("{}/{}", kind.endpoint(), translate::encode(upstream_id))
    }

    /// Reads one resource.
    async fn read(&self, keyward: &Keyward, kind: ResourceType, upstream_id: &str) -> Told {
        self.call(keyward, Self::get(Self::path_of(kind, upstream_id))).await.about(upstream_id)
    }

    /// The resources with a name or an external id, compared here: not every service filters.
    async fn look_up(
        &self,
        keyward: &Keyward,
        kind: ResourceType,
        name: &str,
        external_id: Option<&str>,
    ) -> Result<Vec<Value>, Told> {
        let folded = scim::fold_case(name);
        let fits = |resource: &Value| {
            translate::id_of(resource).is_some()
                && (scim::fold_case(&translate::name_of(kind, resource)) == folded
                    || external_id.is_some_and(|wanted| {
                        resource.get("externalId").and_then(Value::as_str) == Some(wanted)
                    }))
        };
        if self.upstream.quirks.no_filter {
            let walk = Walk { kind, filter: None, without_members: false, most: LOOKED_THROUGH };
            return self.walk(keyward, &walk, |resource| Ok(fits(resource))).await;
        }
        let attribute = if kind == ResourceType::User { "userName" } else { "displayName" };
        let mut filters = Vec::new();
        if let Some(external_id) = external_id {
            filters.push((format!("externalId eq {}", Value::from(external_id)), false));
        }
        filters.push((format!("{attribute} eq {}", Value::from(name)), true));
        for (filter, is_needed) in filters {
            let path = format!("{}?filter={}&count=10", kind.endpoint(), translate::encode(&filter));
            match self.call(keyward, Self::get(path)).await.body() {
                Ok((page, _)) => {
                    let (_, mut found) = told::page(page)?;
                    found.retain(fits);
                    if !found.is_empty() {
                        return Ok(found);
                    }
                }
                // Some know no filter on externalId; and 404 for "none" is an old habit.
                Err(Told::Refused { status: 404, .. }) => {}
                Err(Told::Refused { .. }) if !is_needed => {}
                Err(told) => return Err(told),
            }
        }
        Ok(Vec::new())
    }

    /// The ids of theirs for ids of ours.
    async fn outward(&self, keyward: &Keyward, ids: &BTreeSet<String>) -> Result<Outward, Error> {
        if ids.is_empty() {
            return Ok(Outward::new());
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut reader = keyward.store.read().await?;
        let federation_id = &self.upstream.federation_id;
        let found =
            store::links::translate(&mut reader.conn(), federation_id, store::links::Side::Ours, &ids)
                .await?;
        Ok(found.into_iter().map(|((_, ours), theirs)| (ours, theirs)).collect())
    }

    /// Rewrites resources of theirs into ours. What is seen for the first time gets an id here, and
    /// is nobody's. `known` is an id that is about to be written.
    async fn inward(
        &self,
        keyward: &Keyward,
        kind: ResourceType,
        resources: &mut Vec<Value>,
        known: Option<(&str, &ResourceId)>,
    ) -> Result<(), Error> {
        let mut mentions = BTreeMap::new();
        for resource in resources.iter() {
            for mention in translate::mentions(kind, resource) {
                let key = (mention.kind, mention.upstream_id.clone());
                // The resource itself says more about itself than others do.
                if mention.external_id.is_some() || !mention.name.is_empty() {
                    mentions.insert(key, mention);
                } else {
                    mentions.entry(key).or_insert(mention);
                }
            }
        }
        let mut ids = self.known(keyward, &mentions).await?;
        if let Some((theirs, ours)) = known {
            ids.insert((kind, theirs.to_owned()), ours.to_string());
        }
        let other = |kind| if kind == ResourceType::User { ResourceType::Group } else { ResourceType::User };
        mentions.retain(|(kind, id), mention| {
            let is_known = ids.contains_key(&(*kind, id.clone()))
                || (!mention.is_certain && ids.contains_key(&(other(*kind), id.clone())));
            !is_known
        });
        if !mentions.is_empty() {
            if mentions.len() > NEW_LINKS {
                let text = format!(
                    "the service behind this federation named more than {NEW_LINKS} new resources at once"
                );
                return Err(told::weather(&text, 60));
            }
            let now_ms = keyward.clock.now_ms();
            let links: Vec<Link> = mentions
                .values()
                .map(|mention| Link {
                    kind: mention.kind,
                    id: ResourceId::new(now_ms, keyward.id_chance()),
                    upstream_id: Some(mention.upstream_id.clone()),
                    external_id: mention.external_id.clone(),
                    name_lower: translate::clip(&scim::fold_case(&mention.name)).to_owned(),
                    upstream_version: None,
                    state: domain::upstreams::LinkState::Foreign,
                    body: String::new(),
                    made_by: String::new(),
                    created_ms: now_ms,
                    modified_ms: now_ms,
                })
                .collect();
            for links in links.chunks(LINKS_PER_UNIT) {
                let (federation_id, links) = (self.upstream.federation_id.clone(), links.to_vec());
                let see =
                    async move |conn: &mut Conn<'_>| store::links::see(conn, &federation_id, &links).await;
                keyward.store.committer().upkeep(see).await?;
            }
            ids.extend(self.known(keyward, &mentions).await?);
        }
        resources.retain_mut(|resource| {
            translate::inward(kind, resource, &ids, &self.base, &self.upstream.base_url)
        });
        Ok(())
    }

    async fn known(
        &self,
        keyward: &Keyward,
        mentions: &BTreeMap<(ResourceType, String), translate::Mention>,
    ) -> Result<Inward, Error> {
        let ids: BTreeSet<&str> = mentions.keys().map(|(_, id)| id.as_str()).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let mut reader = keyward.store.read().await?;
        let federation_id = &self.upstream.federation_id;
        let side = store::links::Side::Theirs;
        Ok(store::links::translate(&mut reader.conn(), federation_id, side, &ids).await?)
    }
}

impl<A: Actor> Cx<A> {
    /// The way to the upstream of a federation.
    async fn gate(&self, federation: &domain::federations::Federation) -> Result<Gate, Error> {
        let mut reader = self.read().await?;
        let stored = store::upstreams::of_federation(&mut reader.conn(), &federation.id).await?;
        drop(reader);
        let stored = stored.ok_or_else(|| {
            Error::Internal(format!("{} has an upstream as its target, and none is set", federation.slug))
        })?;
        Gate::new(&self.keyward, stored, self.keyward.base_url(&federation.slug))
    }
}
