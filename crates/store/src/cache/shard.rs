//! One part of the cache: a map, and an order in which values go when there is no room.
//!
//! The order is first in, first out with a second chance: a value that was asked for since it was
//! last considered stays and goes to the end.

use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use domain::FederationId;

use super::{Kind, Proof, touch::MarkKind};

/// Room for a federation's digits and an id of 41 bytes.
const ID_BYTES: usize = 64;

/// What an entry weighs besides its value: itself, its place in the map, its place in the order.
const OVERHEAD: usize = 2 * size_of::<Id>() + size_of::<Entry>() + 64;

/// What a value or a mark is about: kind, federation and id, without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id([u8; ID_BYTES]);

impl Id {
    /// `None` for an id that is too long to be one of ours.
    pub fn new(kind: Kind, federation_id: Option<&FederationId>, id: &str) -> Option<Self> {
        match kind {
            Kind::Key => Self::of(1, federation_id, id),
            Kind::User => Self::of(2, federation_id, id),
            Kind::Group => Self::of(3, federation_id, id),
            Kind::Users => Self::of_text(4, federation_id, id),
            Kind::Groups => Self::of_text(5, federation_id, id),
            Kind::Document => Self::of(6, federation_id, id),
        }
    }

    /// The id of a mark that is not a row.
    pub(crate) fn of_mark(kind: MarkKind, federation_id: &FederationId, id: &str) -> Self {
        let kind = match kind {
            MarkKind::Settings => 101,
            MarkKind::Nesting => 102,
            MarkKind::Names => 103,
            MarkKind::GroupName => 104,
            MarkKind::Users => 105,
            MarkKind::Groups => 106,
            MarkKind::UserName => 107,
            MarkKind::UserExternalId => 108,
        };
        Self::of_text(kind, Some(federation_id), id).unwrap_or(Self([kind; ID_BYTES]))
    }

    /// The same for texts of any length. Long ones that begin alike may share an id: two marks may,
    /// and what is kept by a text says which.
    fn of_text(kind: u8, federation_id: Option<&FederationId>, text: &str) -> Option<Self> {
        if text.len() <= TEXT_BYTES {
            return Self::of(kind, federation_id, text);
        }
        let mut id = Self::of(kind, federation_id, text.get(..text.floor_char_boundary(TEXT_BYTES / 2))?)?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let (_, last) = id.0.split_last_chunk_mut::<8>()?;
        *last = hasher.finish().to_le_bytes();
        Some(id)
    }

    fn of(kind: u8, federation_id: Option<&FederationId>, id: &str) -> Option<Self> {
        let mut bytes = [0; ID_BYTES];
        let (first, rest) = bytes.split_first_mut()?;
        *first = kind;
        let (federation, place) = rest.split_at_mut(FEDERATION_DIGITS);
        if let Some(federation_id) = federation_id {
            federation.copy_from_slice(federation_id.digits().as_bytes().get(..FEDERATION_DIGITS)?);
        }
        place.get_mut(..id.len())?.copy_from_slice(id.as_bytes());
        Some(Self(bytes))
    }

    /// A number that ids spread over.
    pub(crate) fn spread(&self) -> usize {
        let (words, _) = self.0.as_chunks::<8>();
        let mix =
            |sum: u64, word: &[u8; 8]| (sum ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // The high bits of a product depend on all that was multiplied; 32 of them fit everywhere.
        usize::try_from(words.iter().fold(0, mix) >> 32).unwrap_or(0)
    }
}

/// The digits of a federation's id behind its prefix.
const FEDERATION_DIGITS: usize = 22;

/// What is left for an id.
const TEXT_BYTES: usize = ID_BYTES - 1 - FEDERATION_DIGITS;

/// A kept value.
pub(crate) struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    proof: Proof,
    weight: usize,
    /// Tells this entry from an earlier one of the same id in the order.
    stamp: u64,
    was_asked_for: bool,
}

impl Entry {
    pub(crate) fn new(value: Arc<dyn Any + Send + Sync>, proof: Proof, bytes: usize) -> Self {
        Self { value, proof, weight: bytes + OVERHEAD, stamp: 0, was_asked_for: false }
    }
}

pub(crate) struct Shard {
    entries: HashMap<Id, Entry>,
    order: VecDeque<(Id, u64)>,
    weight: usize,
    budget: usize,
    stamps: u64,
}

impl Shard {
    pub(crate) fn new(budget: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), weight: 0, budget, stamps: 0 }
    }

    /// A value whose proof `holds`.
    pub(crate) fn get(
        &mut self,
        id: &Id,
        holds: impl FnOnce(&Proof) -> bool,
    ) -> Option<(&Arc<dyn Any + Send + Sync>, &Proof)> {
        let entry = self.entries.get_mut(id).filter(|entry| holds(&entry.proof))?;
        entry.was_asked_for = true;
        Some((&entry.value, &entry.proof))
    }

    pub(crate) fn insert(&mut self, id: Id, mut entry: Entry) {
        // One value must not make all others go.
        if entry.weight > self.budget / 8 {
            return;
        }
        self.stamps += 1;
        entry.stamp = self.stamps;
        self.weight += entry.weight;
        self.order.push_back((id, entry.stamp));
        if let Some(before) = self.entries.insert(id, entry) {
            self.weight -= before.weight;
        }
        while self.weight > self.budget || self.order.len() > 2 * self.entries.len() + 16 {
            let Some((id, stamp)) = self.order.pop_front() else { break };
            let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.stamp == stamp) else {
                continue;
            };
            if entry.was_asked_for || self.weight <= self.budget {
                entry.was_asked_for = self.weight <= self.budget && entry.was_asked_for;
                self.order.push_back((id, stamp));
            } else if let Some(gone) = self.entries.remove(&id) {
                self.weight -= gone.weight;
            }
        }
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.weight)
    }
}
