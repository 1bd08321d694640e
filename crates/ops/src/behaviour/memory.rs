//! What this node keeps of keys and federations that it has seen.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{
    FederationId, HOUR_MS, KeyId, Millis,
    behaviour::{Answer, Observation, Profile, Rules, Suspicion, Watch},
    federations::{Federation, Slug},
};
use store::behaviours::Written;

/// The most keys that are kept at once.
const KEYS: usize = 2_048;

/// What is not used for so long is let go of once it is written.
const IDLE_MS: Millis = HOUR_MS;

/// How long a count of users and groups holds.
const COUNTED_MS: Millis = 2 * 60_000;

/// The most findings that wait.
const DUE: usize = 1_000;

const MINUTE_MS: Millis = 60_000;

/// The memory of a node.
#[derive(Default)]
pub(crate) struct Runtime {
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    federations: BTreeMap<FederationId, OfFederation>,
    keys: BTreeMap<KeyId, OfKey>,
    /// Keys that nobody issued, in the minute that runs, by the slug of a federation.
    unknown: BTreeMap<String, u32>,
    unknown_minute: i64,
    due: Vec<Due>,
}

struct OfFederation {
    slug: Slug,
    rules: Rules,
    learned: Learned,
    counted_ms: Millis,
    population: u32,
}

struct OfKey {
    federation_id: FederationId,
    learned: Learned,
    used_ms: Millis,
}

#[derive(Default)]
struct Learned {
    watch: Watch,
    /// Judged with already, and not written yet.
    owed: Profile,
    /// What to begin with when nothing is kept.
    start: Profile,
    /// The version of what is kept, as it was last read or written here; 0 for nothing.
    version: i64,
}

/// What became of an observation.
pub(super) enum Noted {
    /// It is as expected.
    Quiet,
    /// Nothing is known of this key here yet.
    Unknown,
    /// Something is not as expected.
    Suspicious(Vec<Suspicion>),
}

/// A finding to be committed.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub federation_id: FederationId,
    pub key_id: KeyId,
    pub source: Option<String>,
    pub agent: Option<String>,
    pub suspicion: Suspicion,
}

/// What is to be written of one key or federation.
pub(super) struct Owed {
    pub federation_id: FederationId,
    pub key_id: Option<KeyId>,
    pub fresh: Profile,
    pub start: Profile,
    pub rules: Rules,
}

impl Learned {
    fn new((base, version): (Profile, i64)) -> Self {
        Self { watch: Watch::new(base.clone()), start: base, owed: Profile::default(), version }
    }

    /// Takes over what all nodes together have seen. What was taken here and not written yet stays in what is judged
    /// by.
    fn take_over(&mut self, (mut base, version): (Profile, i64), rules: &Rules, now_ms: Millis) {
        base.merge(&self.owed.clone(), rules.learning, now_ms);
        self.watch.base = base;
        self.version = version;
    }

    fn take(&mut self, rules: &Rules, now_ms: Millis) -> Option<Profile> {
        let fresh = self.watch.take(rules, now_ms);
        let mut owed = std::mem::take(&mut self.owed);
        owed.merge(&fresh, rules.learning, now_ms);
        (!owed.is_empty()).then_some(owed)
    }

    fn give_back(&mut self, fresh: &Profile, rules: &Rules, now_ms: Millis) {
        self.owed.merge(fresh, rules.learning, now_ms);
    }
}

impl Runtime {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request and judges it.
    pub(super) fn note(&self, federation_id: &FederationId, key_id: &KeyId, seen: &Observation<'_>) -> Noted {
        let mut memory = self.lock();
        let Memory { federations, keys, .. } = &mut *memory;
        let (Some(federation), Some(key)) = (federations.get_mut(federation_id), keys.get_mut(key_id)) else {
            return Noted::Unknown;
        };
        key.used_ms = seen.at_ms;
        federation.learned.watch.note(seen, &federation.rules);
        let found = key.learned.watch.observe(seen, &federation.rules);
        if found.is_empty() { Noted::Quiet } else { Noted::Suspicious(found) }
    }

    /// Keeps what was read of a key and of its federation, unless somebody else was faster.
    pub(super) fn learn(
        &self,
        federation: &Federation,
        key_id: &KeyId,
        (whole, mut own): ((Profile, i64), (Profile, i64)),
        population: u32,
        now_ms: Millis,
    ) {
        let mut memory = self.lock();
        let known = memory.federations.entry(federation.id.clone()).or_insert_with(|| OfFederation {
            slug: federation.slug.clone(),
            rules: federation.behaviour,
            learned: Learned::new(whole),
            counted_ms: now_ms,
            population,
        });
        known.rules = federation.behaviour;
        known.population = population;
        known.learned.watch.base.population = population;
        own.0.population = population;
        if memory.keys.len() >= KEYS {
            let oldest = memory.keys.iter().filter(|(_, key)| key.learned.is_written());
            let oldest = oldest.min_by_key(|(_, key)| key.used_ms).map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                memory.keys.remove(&oldest);
            }
        }
        memory.keys.entry(key_id.clone()).or_insert_with(|| OfKey {
            federation_id: federation.id.clone(),
            learned: Learned::new(own),
            used_ms: now_ms,
        });
    }

    /// Counts a key that nobody issued; the federation, the limit and the count when there are too many.
    pub(super) fn unknown_key(&self, slug: &str, now_ms: Millis) -> Option<(Option<FederationId>, u32, u32)> {
        let mut memory = self.lock();
        let minute = now_ms.div_euclid(MINUTE_MS);
        if memory.unknown_minute != minute {
            memory.unknown.clear();
            memory.unknown_minute = minute;
        }
        let known = memory.federations.iter().find(|(_, federation)| federation.slug.as_str() == slug);
        let (federation_id, rule) = match known {
            Some((id, federation)) => (Some(id.clone()), federation.rules.a14),
            None => (None, Rules::default().a14),
        };
        // What is not a base of ours is counted as one.
        let place = if federation_id.is_some() { slug } else { "" };
        let count = memory.unknown.entry(place.to_owned()).or_default();
        *count = count.saturating_add(1);
        let count = *count;
        // The record of each would cost more than it tells: the first, and then each time it doubles.
        let is_told = count == rule.per_minute || (count > rule.per_minute && count.is_power_of_two());
        (is_told && rule.answer != Answer::Off).then_some((federation_id, rule.per_minute, count))
    }

    /// Keeps a finding that could not be written.
    pub(super) fn owe(&self, due: Due) {
        let mut memory = self.lock();
        if memory.due.len() < DUE {
            memory.due.push(due);
        }
    }

    /// The findings that wait.
    pub(super) fn due(&self) -> Vec<Due> {
        std::mem::take(&mut self.lock().due)
    }

    /// Whether anything is kept.
    pub(super) fn knows_any(&self) -> bool {
        !self.lock().federations.is_empty()
    }

    /// What is to be written.
    pub(super) fn take(&self, now_ms: Millis) -> Vec<Owed> {
        let mut memory = self.lock();
        let Memory { federations, keys, .. } = &mut *memory;
        let mut owed = Vec::new();
        for (id, federation) in federations.iter_mut() {
            let rules = federation.rules;
            if let Some(fresh) = federation.learned.take(&rules, now_ms) {
                let start = federation.learned.start.clone();
                owed.push(Owed { federation_id: id.clone(), key_id: None, fresh, start, rules });
            }
        }
        for (id, key) in keys.iter_mut() {
            let rules = federations.get(&key.federation_id).map_or_else(Rules::default, |known| known.rules);
            if let Some(fresh) = key.learned.take(&rules, now_ms) {
                let (federation_id, start) = (key.federation_id.clone(), key.learned.start.clone());
                owed.push(Owed { federation_id, key_id: Some(id.clone()), fresh, start, rules });
            }
        }
        keys.retain(|_, key| now_ms - key.used_ms < IDLE_MS || !key.learned.is_written());
        owed
    }

    /// Takes over what all nodes together have seen.
    pub(super) fn written(&self, owed: &[Owed], merged: Vec<(Profile, i64)>, now_ms: Millis) {
        let mut memory = self.lock();
        for (owed, merged) in owed.iter().zip(merged) {
            memory.take_over((&owed.federation_id, owed.key_id.as_ref()), merged, now_ms);
        }
    }

    /// Which of these are kept here as they were before.
    pub(super) fn behind(&self, written: Vec<Written>) -> Vec<Written> {
        let memory = self.lock();
        let is_behind = |one: &Written| {
            let learned = match &one.key_id {
                None => memory.federations.get(&one.federation_id).map(|known| &known.learned),
                Some(id) => memory.keys.get(id).map(|key| &key.learned),
            };
            learned.is_some_and(|learned| learned.version < one.version)
        };
        written.into_iter().filter(is_behind).collect()
    }

    /// Takes over what another node wrote.
    pub(super) fn caught_up(
        &self,
        of: (&FederationId, Option<&KeyId>),
        kept: (Profile, i64),
        now_ms: Millis,
    ) {
        self.lock().take_over(of, kept, now_ms);
    }

    /// Keeps for the next time what could not be written.
    pub(super) fn give_back<'a>(&self, owed: impl Iterator<Item = &'a Owed>, now_ms: Millis) {
        let mut memory = self.lock();
        for owed in owed {
            if let Some(learned) = memory.learned(owed) {
                learned.give_back(&owed.fresh, &owed.rules, now_ms);
            }
        }
    }

    /// Takes over the rules of federations; those whose users and groups are to be counted again.
    pub(super) fn follow(&self, federations: &[Federation], now_ms: Millis) -> Vec<FederationId> {
        let mut memory = self.lock();
        let mut due = Vec::new();
        for federation in federations {
            if let Some(known) = memory.federations.get_mut(&federation.id) {
                known.rules = federation.behaviour;
                if now_ms - known.counted_ms >= COUNTED_MS {
                    due.push(federation.id.clone());
                }
            }
        }
        due
    }

    /// Takes over how many users and groups a federation has.
    pub(super) fn counted(&self, federation_id: &FederationId, population: u32, now_ms: Millis) {
        let mut memory = self.lock();
        if let Some(known) = memory.federations.get_mut(federation_id) {
            (known.population, known.counted_ms) = (population, now_ms);
            known.learned.watch.base.population = population;
        }
        for key in memory.keys.values_mut().filter(|key| key.federation_id == *federation_id) {
            key.learned.watch.base.population = population;
        }
    }

    /// What is kept here of a federation, or of a key: what was written with what was not.
    pub(super) fn seen(&self, federation_id: &FederationId, key_id: Option<&KeyId>) -> Option<Profile> {
        let memory = self.lock();
        let learned = match key_id {
            None => &memory.federations.get(federation_id)?.learned,
            Some(id) => &memory.keys.get(id)?.learned,
        };
        let mut profile = learned.watch.base.clone();
        let now_ms = learned.watch.fresh.last_ms.or(profile.last_ms)?;
        profile.merge(&learned.watch.fresh, Rules::default().learning, now_ms);
        Some(profile)
    }

    /// Takes over rules that were changed on this node.
    pub(super) fn changed(&self, federation: &Federation) {
        if let Some(known) = self.lock().federations.get_mut(&federation.id) {
            known.rules = federation.behaviour;
        }
    }
}

impl Memory {
    fn take_over(
        &mut self,
        (federation_id, key_id): (&FederationId, Option<&KeyId>),
        (mut profile, version): (Profile, i64),
        now_ms: Millis,
    ) {
        let Some(known) = self.federations.get_mut(federation_id) else { return };
        if known.population > 0 {
            profile.population = known.population;
        }
        let rules = known.rules;
        let learned = match key_id {
            None => Some(&mut known.learned),
            Some(id) => self.keys.get_mut(id).map(|key| &mut key.learned),
        };
        if let Some(learned) = learned {
            learned.take_over((profile, version), &rules, now_ms);
        }
    }

    fn learned(&mut self, owed: &Owed) -> Option<&mut Learned> {
        match &owed.key_id {
            None => self.federations.get_mut(&owed.federation_id).map(|known| &mut known.learned),
            Some(id) => self.keys.get_mut(id).map(|key| &mut key.learned),
        }
    }
}

impl Learned {
    fn is_written(&self) -> bool {
        self.owed.is_empty() && self.watch.fresh.is_empty()
    }
}
