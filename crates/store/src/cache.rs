//! What is read again and again, kept in memory and never stale.
//!
//! Every value is kept with a *moment* and the *marks* that it depends on. A mark stands for a row,
//! or for something that many values show (the names of a federation's users, say). A change sets
//! its marks before its COMMIT and moves them to a new moment after it, before anybody is answered:
//!
//! * a value is given out only while none of its marks is set or has moved past its moment;
//! * a reader takes its moment before it reads, so what it read before a commit is never kept past
//!   it, and once a newer value can be seen in the database the older one is given out no more.
//!
//! Marks are slots that rows share by their hash: two rows that meet in one slot cost a read too
//! many, never a stale one. What the writing functions of this crate touch is collected by the
//! connection that they write on ([`crate::Conn`]); on SQLite the committer hears from the database
//! itself which tables were written, and when a function forgot to say so, everything is let go.
//!
//! SQLite has this process as its only writer ([`crate::Store::claim`] sees to it). Postgres has
//! other nodes: see [`head`].
//!
//! To keep something more: a variant of [`Kind`], and in [`touch`] what a change of it touches.

pub(crate) mod head;
mod shard;
pub(crate) mod touch;

use std::{
    any::Any,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use domain::FederationId;

pub use self::shard::Id;
use self::shard::{Entry, Shard};
pub use self::touch::Mark;

/// How many marks there are; rows share them by their hash.
const MARKS: usize = 1 << 16;

/// How many parts, so that readers seldom wait for each other.
const SHARDS: usize = 16;

/// What all values may weigh together, in bytes.
pub const BUDGET: usize = 64 * 1024 * 1024;

/// Set in a mark while a change of it is being committed.
const IN_FLIGHT: u64 = 1 << 63;

/// The kinds of things that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A key with its federation, by the key's id.
    Key,
    /// A user as it is answered, with the groups that it is in.
    User,
    /// A group as it is answered, with its members.
    Group,
    /// Which users a question has for its answer, by its text. What is kept says which text that is:
    /// long ones may share a place.
    Users,
    /// Which groups.
    Groups,
    /// A document about a federation, by its name.
    Document,
}

/// Values in memory, and what makes them go.
pub struct Cache {
    shards: Box<[Mutex<Shard>]>,
    marks: Box<[AtomicU64]>,
    hasher: RandomState,
    /// The present moment; every finished change begins a new one.
    now: AtomicU64,
    /// Values from before this moment are void.
    floor: AtomicU64,
    /// Off until the database is claimed.
    on: AtomicBool,
    /// Set while nobody knows whether a commit took place.
    in_doubt: AtomicBool,
}

/// When a reader began, and for what: what it read may be kept if nothing changed since.
#[derive(Debug, Clone)]
pub struct Ticket {
    id: Id,
    moment: u64,
}

/// When a reader began, before it knows what it will find.
#[derive(Debug, Clone, Copy)]
pub struct Moment(Option<u64>);

impl Moment {
    /// The ticket for one of the things that it found; `None` when that cannot be kept.
    pub fn ticket(self, kind: Kind, federation_id: Option<&FederationId>, id: &str) -> Option<Ticket> {
        Some(Ticket { id: Id::new(kind, federation_id, id)?, moment: self.0? })
    }
}

/// The values that are as new as the database was at one moment, or newer.
#[derive(Clone, Copy)]
pub struct Fresh<'c>(&'c Cache);

impl Fresh<'_> {
    /// A value that holds now.
    pub fn find<T: Send + Sync + 'static>(
        &self,
        kind: Kind,
        federation_id: Option<&FederationId>,
        id: &str,
    ) -> Option<Arc<T>> {
        self.get(&Id::new(kind, federation_id, id)?)
    }

    /// The same by its place.
    pub fn get<T: Send + Sync + 'static>(&self, id: &Id) -> Option<Arc<T>> {
        let Self(cache) = self;
        let mut shard = cache.lock(id);
        let (value, _) = shard.get(id, |proof| cache.holds(proof))?;
        Arc::clone(value).downcast().ok()
    }

    /// A value that holds now, with its proof.
    pub fn find_proven<T: Send + Sync + 'static>(
        &self,
        kind: Kind,
        federation_id: Option<&FederationId>,
        id: &str,
    ) -> Option<(Arc<T>, Proof)> {
        self.0.find(kind, federation_id, id)
    }

    /// Whether what was proven still holds.
    pub fn holds(&self, proof: &Proof) -> bool {
        self.0.holds(proof)
    }
}

/// That a value held when it was given out, to be asked again later.
#[derive(Debug, Clone)]
pub struct Proof {
    moment: u64,
    marks: Arc<[u32]>,
}

impl Cache {
    /// An empty cache that is off, of `budget` bytes.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(budget / SHARDS))).collect(),
            marks: (0..MARKS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            now: AtomicU64::new(1),
            floor: AtomicU64::new(0),
            on: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
        }
    }

    /// Begins to keep values: this process is known to learn of every change.
    pub(crate) fn switch_on(&self) {
        self.on.store(true, Ordering::SeqCst);
    }

    /// A value that holds at this moment, with its proof. On Postgres, [`crate::Store::cached`] asks
    /// for the changes of other nodes first.
    pub(crate) fn find<T: Send + Sync + 'static>(
        &self,
        kind: Kind,
        federation_id: Option<&FederationId>,
        id: &str,
    ) -> Option<(Arc<T>, Proof)> {
        if !self.on.load(Ordering::Relaxed) {
            return None;
        }
        let id = Id::new(kind, federation_id, id)?;
        let mut shard = self.lock(&id);
        let (value, proof) = shard.get(&id, |proof| self.holds(proof))?;
        Some((Arc::clone(value).downcast().ok()?, proof.clone()))
    }

    /// The values as they are at this moment. On Postgres, [`crate::Store::fresh`] asks for the changes
    /// of other nodes first.
    pub(crate) fn fresh(&self) -> Fresh<'_> {
        Fresh(self)
    }

    /// To be taken before reading what is to be kept, when it is not known before what that is. `given`
    /// proves what the reader brings along, from before: when that does not hold any more, nothing that
    /// is made with it can be kept.
    pub fn moment(&self, given: Option<&Proof>) -> Moment {
        let moment = self.now.load(Ordering::SeqCst);
        let is_good = self.on.load(Ordering::Relaxed) && given.is_some_and(|proof| self.holds(proof));
        Moment(is_good.then_some(moment))
    }

    /// To be taken before reading what is to be kept; `None` when it cannot be kept.
    pub fn ticket(&self, kind: Kind, federation_id: Option<&FederationId>, id: &str) -> Option<Ticket> {
        let moment = Moment(self.on.load(Ordering::Relaxed).then(|| self.now.load(Ordering::SeqCst)));
        moment.ticket(kind, federation_id, id)
    }

    /// Keeps a value of about `bytes` that was read after `ticket` was taken, unless something that it
    /// depends on has changed since: its own row, and what `marks` name. The proof that it held.
    pub fn keep<T: Send + Sync + 'static>(
        &self,
        Ticket { id, moment }: Ticket,
        marks: &[Mark<'_>],
        value: Arc<T>,
        bytes: usize,
    ) -> Option<Proof> {
        let own = std::iter::once(self.slot(&id));
        let marks: Arc<[u32]> = own.chain(marks.iter().map(|mark| self.slot(&mark.id()))).collect();
        let proof = Proof { moment, marks };
        if !self.holds(&proof) {
            return None;
        }
        let weight = bytes + proof.marks.len() * size_of::<u32>();
        self.lock(&id).insert(id, Entry::new(value as Arc<dyn Any + Send + Sync>, proof.clone(), weight));
        Some(proof)
    }

    /// Whether what was proven still holds.
    pub(crate) fn holds(&self, proof: &Proof) -> bool {
        if self.in_doubt.load(Ordering::SeqCst) || proof.moment < self.floor.load(Ordering::SeqCst) {
            return false;
        }
        // A mark in flight is larger than every moment.
        proof.marks.iter().all(|slot| self.mark(*slot).load(Ordering::SeqCst) <= proof.moment)
    }

    /// Sets marks before the COMMIT that changes what they stand for.
    pub(crate) fn begin(&self, slots: &[u32]) {
        for slot in slots {
            self.mark(*slot).fetch_or(IN_FLIGHT, Ordering::SeqCst);
        }
    }

    /// Moves marks to a new moment after the COMMIT.
    pub(crate) fn end(&self, slots: &[u32]) {
        if slots.is_empty() {
            return;
        }
        let moment = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        for slot in slots {
            let moved = |mark: u64| Some((mark & !IN_FLIGHT).max(moment));
            // The closure always gives a value.
            let _ = self.mark(*slot).fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved);
        }
    }

    /// Lets go of what a mark stands for: somebody else has changed it.
    pub(crate) fn forget(&self, mark: &Mark<'_>) {
        let moment = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.mark(self.slot(&mark.id())).fetch_max(moment, Ordering::SeqCst);
    }

    /// Lets go of everything.
    pub(crate) fn clear(&self) {
        let moment = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.floor.fetch_max(moment, Ordering::SeqCst);
    }

    /// Nobody knows whether a commit took place: nothing is given out until the next transaction
    /// has begun, for which the database must have decided.
    pub(crate) fn doubt(&self) {
        self.in_doubt.store(true, Ordering::SeqCst);
    }

    /// A transaction has begun: whatever was in doubt is decided.
    pub(crate) fn decided(&self) {
        if self.in_doubt.load(Ordering::SeqCst) {
            self.clear();
            self.in_doubt.store(false, Ordering::SeqCst);
        }
    }

    /// The slot of a mark.
    pub(crate) fn slot(&self, id: &Id) -> u32 {
        // The mask keeps it below 2^16.
        u32::try_from(self.hasher.hash_one(id) & (MARKS as u64 - 1)).unwrap_or(0)
    }

    /// How much is kept: values, and bytes.
    pub fn size(&self) -> (usize, usize) {
        let sizes =
            self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).size());
        sizes.fold((0, 0), |(values, bytes), (more, weight)| (values + more, bytes + weight))
    }

    fn mark(&self, slot: u32) -> &AtomicU64 {
        &self.marks[slot as usize & (MARKS - 1)]
    }

    fn lock(&self, id: &Id) -> std::sync::MutexGuard<'_, Shard> {
        let shard = &self.shards[id.spread() % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proof {
    /// The marks that it rests on.
    pub(crate) fn marks(&self) -> &[u32] {
        &self.marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on() -> Cache {
        let cache = Cache::new(BUDGET);
        cache.switch_on();
        cache
    }

    fn keep(cache: &Cache, id: &str, value: u32) -> Option<Proof> {
        let ticket = cache.ticket(Kind::User, None, id).unwrap();
        cache.keep(ticket, &[], Arc::new(value), 100)
    }

    fn find(cache: &Cache, id: &str) -> Option<u32> {
        cache.find::<u32>(Kind::User, None, id).map(|(value, _)| *value)
    }

    fn slots(cache: &Cache, id: &str) -> [u32; 1] {
        [cache.slot(&Id::new(Kind::User, None, id).unwrap())]
    }

    #[test]
    fn what_was_read_before_a_commit_is_not_kept_past_it() {
        let cache = on();
        let slots = slots(&cache, "a");
        let early = cache.ticket(Kind::User, None, "a").unwrap();
        keep(&cache, "a", 1).unwrap();
        assert_eq!(find(&cache, "a"), Some(1));
        cache.begin(&slots);
        assert_eq!(find(&cache, "a"), None, "the new value may be seen in the database already");
        let during = cache.ticket(Kind::User, None, "a").unwrap();
        assert!(keep(&cache, "a", 1).is_none());
        cache.end(&slots);
        for late in [early, during] {
            assert!(cache.keep(late, &[], Arc::new(1_u32), 100).is_none());
        }
        assert_eq!(find(&cache, "a"), None);
        keep(&cache, "a", 2).unwrap();
        assert_eq!(find(&cache, "a"), Some(2));
    }

    #[test]
    fn a_foreign_change_during_a_commit_does_not_end_it() {
        let cache = on();
        let federation = FederationId::new(1, [1; 10]);
        let mark = Mark::Settings(&federation);
        let slots = [cache.slot(&mark.id())];
        cache.begin(&slots);
        cache.forget(&mark);
        let ticket = cache.ticket(Kind::User, None, "a").unwrap();
        assert!(cache.keep(ticket, &[Mark::Settings(&federation)], Arc::new(1_u32), 1).is_none());
        cache.end(&slots);
        let ticket = cache.ticket(Kind::User, None, "a").unwrap();
        assert!(cache.keep(ticket, &[Mark::Settings(&federation)], Arc::new(1_u32), 1).is_some());
    }

    #[test]
    fn in_doubt_nothing_is_given_out_and_afterwards_nothing_old() {
        let cache = on();
        let proof = keep(&cache, "a", 1).unwrap();
        cache.doubt();
        assert_eq!(find(&cache, "a"), None);
        assert!(keep(&cache, "b", 1).is_none());
        cache.decided();
        assert_eq!(find(&cache, "a"), None);
        assert!(!cache.holds(&proof));
        keep(&cache, "a", 2).unwrap();
        assert_eq!(find(&cache, "a"), Some(2));
    }

    #[test]
    fn off_it_keeps_nothing() {
        let cache = Cache::new(BUDGET);
        assert!(cache.ticket(Kind::User, None, "a").is_none());
        assert_eq!(find(&cache, "a"), None);
    }

    #[test]
    fn kinds_and_federations_are_apart() {
        let cache = on();
        let [one, two] = [1, 2].map(|n| FederationId::new(1, [n; 10]));
        let ticket = cache.ticket(Kind::User, Some(&one), "a").unwrap();
        cache.keep(ticket, &[], Arc::new(1_u32), 1).unwrap();
        assert!(cache.find::<u32>(Kind::User, Some(&one), "a").is_some());
        assert!(cache.find::<u32>(Kind::User, Some(&two), "a").is_none());
        assert!(cache.find::<u32>(Kind::Group, Some(&one), "a").is_none());
        assert!(cache.find::<u32>(Kind::User, None, "a").is_none());
    }

    #[test]
    fn however_much_is_put_in_the_budget_holds() {
        let budget = 1024 * 1024;
        let cache = Cache::new(budget);
        cache.switch_on();
        for number in 0..20_000 {
            let ticket = cache.ticket(Kind::User, None, &format!("u{number}")).unwrap();
            cache.keep(ticket, &[], Arc::new(number), 1 + number % 3_000).unwrap();
            let (values, bytes) = cache.size();
            assert!(bytes <= budget, "{bytes} bytes in {values} values");
        }
        let (values, bytes) = cache.size();
        assert!(values > 100 && bytes > budget / 2, "{values} values of {bytes} bytes");
        // What is larger than its part is not kept at all, and makes nothing go.
        let ticket = cache.ticket(Kind::User, None, "giant").unwrap();
        cache.keep(ticket, &[], Arc::new(0_usize), budget);
        assert!(cache.find::<usize>(Kind::User, None, "giant").is_none());
        assert_eq!(cache.size(), (values, bytes));
    }

    #[test]
    fn what_is_asked_for_outlives_what_is_not() {
        let cache = Cache::new(64 * 1024);
        cache.switch_on();
        keep(&cache, "often", 7).unwrap();
        for number in 0..5_000 {
            keep(&cache, &format!("once {number}"), number);
            assert_eq!(find(&cache, "often"), Some(7), "after {number}");
        }
    }
}
