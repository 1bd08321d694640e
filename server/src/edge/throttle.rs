//! How often: requests of a key, requests without an accepted key, and how many of a key at once.
//!
//! Whoever presents an accepted key is never refused for what others sent from the same address;
//! requests without one cost a look-up, and beyond the limit no record. The first that is too much
//! in a minute is told in the records, the rest are counted in the metrics. What is remembered is
//! bounded: addresses that have rested are forgotten, and when there are too many all the same, the
//! rest share one allowance.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use domain::{KeyId, Millis};
use governor::{Quota, RateLimiter, nanos::Nanos, state::keyed::HashMapStateStore};
use ops::ports::{Clock, Refusal, Refusals};

use super::accept::household;
use crate::config::Limits;

/// Addresses that are told apart; more share one allowance.
const ADDRESSES: usize = 65_536;

/// After so many refusals, what has rested is forgotten.
const TIDY_EVERY: u32 = 1_024;

/// Requests of one key that are answered at the same time: a quarter of the places for SCIM.
pub const AT_ONCE: usize = 256;

/// How often a limit that is passed again and again is told.
const TOLD_EVERY_MS: Millis = 60_000;

/// The name of the figure.
pub(super) const THROTTLED: &str = "keyward_requests_throttled_total";

/// How often is too often. Zero switches a limit off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Requests of one key in a second, for long.
    pub key_per_second: u32,
    /// Requests of one key at once, after a rest.
    pub key_burst: u32,
    /// Requests without an accepted key from one address (IPv6: one /64) in a minute, for long.
    pub refused_per_minute: u32,
    /// The same at once, after a rest.
    pub refused_burst: u32,
}

impl From<&Limits> for Rates {
    fn from(limits: &Limits) -> Self {
        Self {
            key_per_second: limits.key_requests_per_second,
            key_burst: limits.key_burst,
            refused_per_minute: limits.refused_per_minute,
            refused_burst: limits.refused_burst,
        }
    }
}

/// The limits of this process. Cheap to clone.
#[derive(Clone)]
pub struct Throttle(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    rates: Rates,
    keys: Option<Limiter<KeyId>>,
    addresses: Option<Limiter<Option<IpAddr>>>,
    /// Requests of each key that are being answered.
    at_once: Mutex<HashMap<KeyId, usize>>,
    told_keys: Mutex<HashMap<KeyId, Told>>,
    told_addresses: Mutex<HashMap<Option<IpAddr>, Told>>,
    refusals: AtomicU32,
}

type Limiter<K> =
    RateLimiter<K, HashMapStateStore<K>, Monotonic, governor::middleware::NoOpMiddleware<Nanos>>;

/// When a limit was last told, and what has been refused since.
#[derive(Default)]
struct Told {
    at_ms: Option<Millis>,
    since: u64,
}

impl Told {
    /// Counts one more; their number when it is time to tell it.
    fn count(&mut self, now_ms: Millis) -> Option<u64> {
        self.since += 1;
        if self.at_ms.is_some_and(|at_ms| now_ms - at_ms < TOLD_EVERY_MS) {
            return None;
        }
        self.at_ms = Some(now_ms);
        Some(std::mem::take(&mut self.since))
    }
}

/// The clock of operations, for the limiter.
#[derive(Clone)]
struct Monotonic(Arc<dyn Clock>);

impl governor::clock::Clock for Monotonic {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let us = u64::try_from(self.0.monotonic_us()).unwrap_or(0);
        Nanos::new(us.saturating_mul(1_000))
    }
}

/// A request that came too soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSoon {
    /// Seconds after which the next one is answered.
    pub retry_after_s: u32,
    /// Whether this one is told in the records.
    pub is_told: bool,
}

/// A place of a key among its requests at once; given back when it is dropped.
pub struct Place {
    throttle: Throttle,
    key: KeyId,
}

impl Throttle {
    /// The limits of a process.
    pub fn new(clock: Arc<dyn Clock>, rates: Rates) -> Self {
        let at = |number: u32, burst: u32, of: fn(NonZeroU32) -> Quota| {
            let number = NonZeroU32::new(number)?;
            Some(of(number).allow_burst(NonZeroU32::new(burst).unwrap_or(number)))
        };
        let time = Monotonic(Arc::clone(&clock));
        Self(Arc::new(Inner {
            keys: at(rates.key_per_second, rates.key_burst, Quota::per_second)
                .map(|quota| RateLimiter::hashmap_with_clock(quota, time.clone())),
            addresses: at(rates.refused_per_minute, rates.refused_burst, Quota::per_minute)
                .map(|quota| RateLimiter::hashmap_with_clock(quota, time.clone())),
            clock,
            rates,
            at_once: Mutex::default(),
            told_keys: Mutex::default(),
            told_addresses: Mutex::default(),
            refusals: AtomicU32::new(0),
        }))
    }

    /// No limit on how often.
    pub fn off(clock: Arc<dyn Clock>) -> Self {
        let none = Rates { key_per_second: 0, key_burst: 0, refused_per_minute: 0, refused_burst: 0 };
        Self::new(clock, none)
    }

    /// One more request of an accepted key.
    ///
    /// # Errors
    /// When it came too soon, or too many of this key are being answered.
    pub fn enter(&self, key: &KeyId) -> Result<Place, TooSoon> {
        if let Some(keys) = &self.0.keys
            && let Err(not_until) = keys.check_key(key)
        {
            let wait = not_until.wait_time_from(governor::clock::Clock::now(keys.clock()));
            return Err(self.too_soon(key, seconds(wait)));
        }
        let mut at_once = lock(&self.0.at_once);
        let count = at_once.entry(key.clone()).or_insert(0);
        if *count >= AT_ONCE {
            drop(at_once);
            return Err(self.too_soon(key, 1));
        }
        *count += 1;
        drop(at_once);
        Ok(Place { throttle: self.clone(), key: key.clone() })
    }

    fn too_soon(&self, key: &KeyId, retry_after_s: u32) -> TooSoon {
        metrics::counter!(THROTTLED, "limit" => "key").increment(1);
        let mut told = lock(&self.0.told_keys);
        let is_told = told.entry(key.clone()).or_default().count(self.0.clock.now_ms()).is_some();
        TooSoon { retry_after_s, is_told }
    }

    /// The limit on requests of a key, in words.
    pub fn key_limit(&self) -> String {
        let Rates { key_per_second, key_burst, .. } = self.0.rates;
        format!(
            "too many requests of this key: {key_per_second} a second are answered, {key_burst} after a rest, \
             {AT_ONCE} at once"
        )
    }

    /// How many addresses are remembered.
    pub fn remembered(&self) -> usize {
        self.0.addresses.as_ref().map_or(0, RateLimiter::len)
    }

    /// Forgets what has rested: a key or an address that has its whole allowance again.
    fn tidy(&self) {
        let now_ms = self.0.clock.now_ms();
        let is_fresh = |told: &Told| told.at_ms.is_some_and(|at_ms| now_ms - at_ms < TOLD_EVERY_MS);
        if let Some(addresses) = &self.0.addresses {
            addresses.retain_recent();
            addresses.shrink_to_fit();
        }
        if let Some(keys) = &self.0.keys {
            keys.retain_recent();
        }
        lock(&self.0.told_addresses).retain(|_, told| is_fresh(told));
        lock(&self.0.told_keys).retain(|_, told| is_fresh(told));
    }
}

impl Refusals for Throttle {
    fn refused(&self, source: Option<IpAddr>) -> Refusal {
        let Some(addresses) = &self.0.addresses else { return Refusal::Recorded };
        if self.0.refusals.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.tidy();
        }
        // Too many to tell apart: whoever comes now shares the allowance of the unknown address.
        let source = source.map(household).filter(|_| addresses.len() < ADDRESSES);
        let Err(not_until) = addresses.check_key(&source) else { return Refusal::Recorded };
        metrics::counter!(THROTTLED, "limit" => "refused").increment(1);
        let wait = not_until.wait_time_from(governor::clock::Clock::now(addresses.clock()));
        let mut told = lock(&self.0.told_addresses);
        let summary = told.entry(source).or_default().count(self.0.clock.now_ms());
        Refusal::TooMany { retry_after_s: seconds(wait), summary }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut at_once = lock(&self.throttle.0.at_once);
        if let Some(count) = at_once.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                at_once.remove(&self.key);
            }
        }
    }
}

/// Whole seconds, one at least: Okta reads no fractions.
fn seconds(wait: Duration) -> u32 {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ops::testing::TestClock;

    use super::*;

    const RATES: Rates = Rates { key_per_second: 10, key_burst: 20, refused_per_minute: 6, refused_burst: 4 };

    fn throttle() -> (Arc<TestClock>, Throttle) {
        let clock = Arc::new(TestClock::default());
        (Arc::clone(&clock), Throttle::new(clock, RATES))
    }

    fn key(number: u8) -> KeyId {
        KeyId::new(1, [number; 10])
    }

    #[test]
    fn a_key_has_its_burst_and_then_its_rate_and_others_have_theirs() {
        let (clock, throttle) = throttle();
        for _ in 0..20 {
            assert!(throttle.enter(&key(1)).is_ok());
        }
        assert_eq!(throttle.enter(&key(1)).err(), Some(TooSoon { retry_after_s: 1, is_told: true }));
        assert_eq!(throttle.enter(&key(1)).err(), Some(TooSoon { retry_after_s: 1, is_told: false }));
        assert!(throttle.enter(&key(2)).is_ok());
        clock.advance(1_000);
        let taken = (0..30).filter(|_| throttle.enter(&key(1)).is_ok()).count();
        assert_eq!(taken, 10);
        clock.advance(60_000);
        let taken = (0..20).filter(|_| throttle.enter(&key(1)).is_ok()).count();
        assert_eq!(taken, 20, "no more than the burst, however long the rest");
        assert_eq!(throttle.enter(&key(1)).err(), Some(TooSoon { retry_after_s: 1, is_told: true }));
    }

    #[test]
    fn a_key_holds_so_many_places_and_gives_them_back() {
        let throttle = Throttle::off(Arc::new(TestClock::default()));
        let mut places: Vec<Place> = (0..AT_ONCE).map(|_| throttle.enter(&key(1)).ok().unwrap()).collect();
        assert!(throttle.enter(&key(1)).is_err());
        assert!(throttle.enter(&key(2)).is_ok());
        places.pop();
        assert!(throttle.enter(&key(1)).is_ok());
        drop(places);
        assert!(lock(&throttle.0.at_once).is_empty());
    }

    #[test]
    fn an_address_is_refused_without_a_record_after_its_burst_and_told_once_a_minute() {
        let (clock, throttle) = throttle();
        let source = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        for _ in 0..4 {
            assert_eq!(throttle.refused(source), Refusal::Recorded);
        }
        assert_eq!(throttle.refused(source), Refusal::TooMany { retry_after_s: 10, summary: Some(1) });
        for _ in 0..7 {
            assert_eq!(throttle.refused(source), Refusal::TooMany { retry_after_s: 10, summary: None });
        }
        clock.advance(1_000);
        assert_eq!(throttle.refused(source), Refusal::TooMany { retry_after_s: 9, summary: None });
        clock.advance(60_000);
        let answers: Vec<Refusal> = (0..6).map(|_| throttle.refused(source)).collect();
        let recorded = answers.iter().filter(|answer| **answer == Refusal::Recorded).count();
        assert_eq!(recorded, 4);
        // The eight that nobody told, and this one.
        assert!(answers.contains(&Refusal::TooMany { retry_after_s: 10, summary: Some(9) }), "{answers:?}");
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let (_, throttle) = throttle();
        let of = |last: u16| Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last)));
        for last in 0..4 {
            assert_eq!(throttle.refused(of(last)), Refusal::Recorded);
        }
        assert!(matches!(throttle.refused(of(9)), Refusal::TooMany { .. }));
    }

    #[test]
    fn memory_is_bounded_and_rested_addresses_are_forgotten() {
        let (clock, throttle) = throttle();
        let of = |number: u32| Some(IpAddr::V4(Ipv4Addr::from(number)));
        let many = u32::try_from(ADDRESSES).unwrap() + 5_000;
        for number in 0..many {
            throttle.refused(of(number));
        }
        assert!(throttle.remembered() <= ADDRESSES + 1, "{}", throttle.remembered());
        clock.advance(3_600_000);
        for number in 0..TIDY_EVERY {
            throttle.refused(of(number));
        }
        assert!(throttle.remembered() <= TIDY_EVERY as usize + 1, "{}", throttle.remembered());
    }
}
