//! Public keys that clients publish at an address: fetched when needed, and kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as SyncMutex, PoisonError},
};

use domain::{
    DAY_MS, Millis,
    oauth::{Jwks, Refusal},
};
use tokio::sync::Mutex;

use crate::ports::FetchJwks;

/// How often the keys of one address may be fetched, whoever asks.
const EVERY_MS: Millis = 30_000;

/// How long keys count as the present ones. A key that was withdrawn proves nobody after it.
const FRESH_MS: Millis = 300_000;

/// How long keys are believed that cannot be fetched again.
const KEPT_MS: Millis = DAY_MS;

/// The keys of every address that was asked for, on this node.
pub struct ClientKeys {
    source: Arc<dyn FetchJwks>,
    known: SyncMutex<HashMap<String, Arc<Mutex<Known>>>>,
}

/// The keys of one address; its lock is held while fetching, so that many who ask cause one fetch.
#[derive(Default)]
struct Known {
    keys: Option<Arc<Jwks>>,
    fetched_ms: Millis,
    tried_ms: Option<Millis>,
}

impl ClientKeys {
    /// Nothing is fetched yet.
    pub fn new(source: Arc<dyn FetchJwks>) -> Self {
        Self { source, known: SyncMutex::default() }
    }

    /// The keys at an address, fetched if they must be. With `seen`, newer ones than those: a
    /// signature was by none of them, and the client may have a new key since.
    ///
    /// # Errors
    /// [`Refusal`] when there are none that may be believed; with `seen`, none that are newer.
    pub(super) async fn at(
        &self,
        uri: &str,
        seen: Option<&Arc<Jwks>>,
        now_ms: Millis,
    ) -> Result<Arc<Jwks>, Refusal> {
        let slot = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(uri.to_owned()).or_default())
        };
        let mut known = slot.lock().await;
        let is_new = |keys: &&Arc<Jwks>| seen.is_none_or(|seen| !Arc::ptr_eq(seen, keys));
        if within(known.fetched_ms, FRESH_MS, now_ms)
            && let Some(keys) = known.keys.as_ref().filter(is_new)
        {
            return Ok(Arc::clone(keys));
        }
        if !known.tried_ms.is_some_and(|at_ms| within(at_ms, EVERY_MS, now_ms)) {
            known.tried_ms = Some(now_ms);
            let found = match self.source.fetch(uri).await {
                Ok(bytes) => Jwks::fetched(&bytes).map_err(|refusal| refusal.to_string()),
                Err(reason) => Err(reason),
            };
            match found {
                Ok(keys) => {
                    let keys = Arc::new(keys);
                    known.keys = Some(Arc::clone(&keys));
                    known.fetched_ms = now_ms;
                    return Ok(keys);
                }
                Err(reason) => tracing::warn!(uri, reason, "the keys of an OAuth client cannot be fetched"),
            }
        }
        let kept = known.keys.as_ref().filter(is_new).filter(|_| within(known.fetched_ms, KEPT_MS, now_ms));
        kept.cloned().ok_or(match seen {
            Some(_) => Refusal("the assertion is signed by no key of the client"),
            None => Refusal("the keys of the client cannot be fetched"),
        })
    }
}

/// Whether `now_ms` is less than `length_ms` after `at_ms`. A clock that was set back makes it
/// false, so that nobody waits for a moment that will not come.
fn within(at_ms: Millis, length_ms: Millis, now_ms: Millis) -> bool {
    (0..length_ms).contains(&(now_ms - at_ms))
}
