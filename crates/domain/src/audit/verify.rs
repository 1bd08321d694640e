//! The walk over a log: the chain, and the tree against every checkpoint that somebody vouches for.
//!
//! [`Examiner`] takes the records one by one, in their order, and looks one ahead: what is wrong with a record
//! often shows in the next. It stops at the first fault and names its class and its place. Checkpoints that an
//! anchor kept outside decide; those that stand beside the log are worth their signature, and can be removed by
//! whoever removes records. Without an anchor nothing is verified, and [`Report::words`] says so.

mod blame;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::{
    HashText,
    checkpoint::{Checkpoint, found_in},
    entry::Entry,
    merkle::{self, Frontier, Hash},
    note::VerifierKey,
};
use crate::{Millis, hex};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A record is not as it was written.
    Edit,
    /// Records are missing in the middle.
    Deletion,
    /// Records stand in each other's places.
    Reorder,
    /// A record was put in, or stands there twice.
    Insertion,
    /// The end is missing.
    Truncation,
    /// Records were written anew, with hashes that fit each other.
    Forgery,
    /// The whole log is as it was earlier.
    Rollback,
    /// The whole log is another one.
    Replaced,
}

impl Class {
    /// The word that people and programs read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Deletion => "deletion",
            Self::Reorder => "reorder",
            Self::Insertion => "insertion",
            Self::Truncation => "truncation",
            Self::Forgery => "forgery",
            Self::Rollback => "rollback",
            Self::Replaced => "replacement",
        }
    }
}

/// The first fault of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub class: Class,
    /// The first record that may not be as it was.
    pub from: i64,
    /// The last of them.
    pub to: i64,
    /// How many records are lost.
    pub lost: i64,
    /// The whole of it in words.
    pub told: String,
}

/// A checkpoint that was kept outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    pub size: u64,
    pub root: Hash,
    /// Who kept it.
    pub by: String,
}

/// Whom a verifier believes: keys, and anchors.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    keys: Vec<VerifierKey>,
    points: Vec<Point>,
    ignored: usize,
}

impl Trust {
    /// Believes what these keys have signed.
    pub fn new(keys: Vec<VerifierKey>) -> Self {
        Self { keys, points: Vec::new(), ignored: 0 }
    }

    /// The keys.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// Whether no anchor says anything.
    pub fn is_unanchored(&self) -> bool {
        self.points.is_empty()
    }

    /// How many notes of anchors were left aside: no key of ours signed them.
    pub const fn ignored(&self) -> usize {
        self.ignored
    }

    /// Adds what an anchor kept. With keys, notes that none of them signed are left aside.
    pub fn add_anchor(&mut self, by: &str, text: &str) {
        for note in found_in(text) {
            match Checkpoint::open(&note, &self.keys) {
                Ok((checkpoint, is_signed)) if is_signed || self.keys.is_empty() => {
                    self.points.push(Point {
                        size: checkpoint.size,
                        root: checkpoint.root,
                        by: by.to_owned(),
                    });
                }
                Ok(_) | Err(_) => self.ignored += 1,
            }
        }
        self.points.sort_by_key(|point| point.size);
    }

    fn has_signed(&self, note: &str) -> bool {
        !self.keys.is_empty() && Checkpoint::open(note, &self.keys).is_ok_and(|(_, is_signed)| is_signed)
    }
}

/// How far an anchor vouches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchored {
    /// For how many records.
    pub size: i64,
    /// Who.
    pub by: String,
    /// When the last of them happened, as it says.
    pub at_ms: Millis,
}

/// How a log ends, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealed {
    /// A database: its head, and how many rows it counts.
    Head {
        /// The place of the last record.
        seq: i64,
        /// Its hash.
        hash: HashText,
        /// How many rows there are.
        rows: i64,
    },
    /// The last line of a file.
    End {
        /// The place of the last record.
        to: i64,
        /// How many records the log had when the file was made.
        head: i64,
        /// The hash of the last record.
        hash: HashText,
        /// The root over all records up to it; `None` when it is no hash.
        root: Option<Hash>,
    },
    /// A file without its last line.
    Torn {
        /// The place of the last record, as the first line says.
        to: i64,
    },
}

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The first record of the walk.
    pub first: i64,
    /// The last record that fits.
    pub last: i64,
    /// Its hash.
    pub hash: HashText,
    /// The root over all records up to it.
    pub root: HashText,
    /// The largest checkpoint beside the log that fits and that a key has signed.
    pub signed: Option<i64>,
    /// How far an anchor vouches.
    pub anchored: Option<Anchored>,
    /// Notes of anchors that no key has signed.
    pub ignored: usize,
    /// The first fault.
    pub fault: Option<Fault>,
}

impl Report {
    /// The first record for which nobody outside vouches; `None` when there is none.
    pub fn unanchored_since(&self) -> Option<i64> {
        let since = self.anchored.as_ref().map_or(self.first, |anchored| anchored.size + 1);
        (since <= self.last || self.anchored.is_none()).then_some(since)
    }

    /// What a person reads: never that more was verified than was.
    pub fn words(&self) -> String {
        if let Some(fault) = &self.fault {
            return fault.told.clone();
        }
        let count = self.last - self.first + 1;
        let mut words = vec![if self.first == 1 {
            format!("The chain is whole: {count} records, head {}.", self.hash)
        } else {
            format!(
                "The chain is whole from record {} to {}: {count} records, head {}.",
                self.first, self.last, self.hash
            )
        }];
        words.push(format!("Root over {} records: {}.", self.last, self.root));
        if let Some(signed) = self.signed {
            words.push(format!(
                "The checkpoint over {signed} records beside the log is signed by the key and fits."
            ));
        }
        if self.ignored > 0 {
            words.push(format!(
                "{} notes of the anchors are not signed by the key and were left aside.",
                self.ignored
            ));
        }
        match (&self.anchored, self.unanchored_since()) {
            (Some(Anchored { size, by, .. }), None) => {
                words.push(format!("Verified: {by} vouches for all {size} records."));
            }
            (Some(Anchored { size, by, .. }), Some(since)) => words.push(format!(
                "Verified up to record {size}, for which {by} vouches. Unanchored since record {since}: nothing outside \
                 of this database vouches for the last {} records.",
                self.last - size
            )),
            (None, since) => words.push(format!(
                "Unanchored since record {}. Nothing outside of this database vouches for the head: compare it with one \
                 that you kept, or name an anchor.",
                since.unwrap_or(self.first)
            )),
        }
        words.join("\n")
    }
}

/// Where the walk stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stop {
    /// Another place was expected.
    Gap { expected: i64 },
    /// It does not continue the one before.
    Link,
    /// It is not what its hash says.
    Content,
    /// The root is another one than that of a checkpoint.
    Root { size: i64, by: Option<String>, note: Option<String> },
}

/// Walks a log.
pub struct Examiner<'t> {
    trust: &'t Trust,
    first: i64,
    frontier: Frontier,
    /// The hash of the last record that fits.
    last: Hash,
    /// The last record that fits.
    before: Option<Entry>,
    /// The next to be judged.
    now: Option<Entry>,
    /// The next after that, once the walk has stopped.
    next: Option<Entry>,
    /// How many of the anchors' checkpoints were compared.
    compared: usize,
    /// Checkpoints beside the log that were not reached yet.
    beside: BTreeMap<u64, Vec<String>>,
    /// The largest size at which a root fitted.
    fits: i64,
    anchored: Option<Anchored>,
    /// The last checkpoint beside the log that fitted.
    signed: Option<(i64, String)>,
    stop: Option<Stop>,
}

impl<'t> Examiner<'t> {
    /// From the first record on.
    pub fn new(trust: &'t Trust) -> Self {
        Self::after(Frontier::default(), &[0; 32], trust)
    }

    /// After the records of a tree, the last of which has a hash.
    pub fn after(frontier: Frontier, last: &Hash, trust: &'t Trust) -> Self {
        let size = frontier.size();
        let mut examiner = Self {
            trust,
            first: place(size) + 1,
            compared: trust.points.partition_point(|point| point.size < size),
            frontier,
            last: *last,
            before: None,
            now: None,
            next: None,
            beside: BTreeMap::new(),
            fits: place(size),
            anchored: None,
            signed: None,
            stop: None,
        };
        // What stands before a part is checked as well, when somebody vouches for just that.
        if size > 0 {
            examiner.compare(0);
        }
        examiner
    }

    /// Takes the next record; true when the walk has stopped at a fault.
    pub fn push(&mut self, entry: Entry) -> bool {
        if self.stop.is_some() {
            return true;
        }
        if let Some(now) = self.now.take() {
            match self.judge(&now) {
                Ok(()) => self.before = Some(now),
                Err(stop) => {
                    (self.now, self.next, self.stop) = (Some(now), Some(entry), Some(stop));
                    return true;
                }
            }
        }
        self.now = Some(entry);
        false
    }

    /// Takes a checkpoint that stands beside the log.
    pub fn beside(&mut self, note: &str) {
        if let Ok((checkpoint, _)) = Checkpoint::open(note, &[]) {
            self.beside.entry(checkpoint.size).or_default().push(note.to_owned());
        }
    }

    /// The last record that was taken.
    pub fn reached(&self) -> Option<&Entry> {
        self.now.as_ref()
    }

    fn judge(&mut self, now: &Entry) -> Result<(), Stop> {
        let expected = place(self.frontier.size()) + 1;
        if now.seq != expected {
            return Err(Stop::Gap { expected });
        }
        if merkle::parse(&now.prev_hash) != Some(self.last) {
            return Err(Stop::Link);
        }
        let hash = now.sound().ok_or(Stop::Content)?;
        self.frontier.push(merkle::leaf(&hash));
        self.last = hash;
        match self.compare(now.at_ms) {
            Some(stop) => Err(stop),
            None => Ok(()),
        }
    }

    /// Compares the root with the checkpoints of this size.
    fn compare(&mut self, at_ms: Millis) -> Option<Stop> {
        let size = self.frontier.size();
        let trust = self.trust;
        let points = trust.points.get(self.compared..).unwrap_or_default();
        let points = points.iter().take_while(|point| point.size <= size);
        let here = self.beside.remove(&size).unwrap_or_default();
        let mut points = points.peekable();
        if points.peek().is_none() && here.is_empty() {
            return None;
        }
        let root = self.frontier.root();
        for point in points {
            self.compared += 1;
            if point.size != size {
                continue;
            }
            if point.root != root {
                // A checkpoint beside the log says whether it is another log altogether.
                self.beside.insert(size, here);
                return Some(Stop::Root { size: place(size), by: Some(point.by.clone()), note: None });
            }
            self.anchored = Some(Anchored { size: place(size), by: point.by.clone(), at_ms });
        }
        for note in here {
            let fits = Checkpoint::open(&note, &[]).is_ok_and(|(checkpoint, _)| checkpoint.root == root);
            if !fits {
                return Some(Stop::Root { size: place(size), by: None, note: Some(note) });
            }
            self.signed = Some((place(size), note));
        }
        self.fits = place(size);
        None
    }

    /// Ends the walk.
    pub fn finish(mut self, sealed: &Sealed) -> Report {
        if self.stop.is_none()
            && let Some(now) = self.now.take()
        {
            match self.judge(&now) {
                Ok(()) => self.before = Some(now),
                Err(stop) => (self.now, self.stop) = (Some(now), Some(stop)),
            }
        }
        let fault = self.fault(sealed);
        let signed =
            self.signed.as_ref().filter(|(_, note)| self.trust.has_signed(note)).map(|(size, _)| *size);
        Report {
            first: self.first,
            last: place(self.frontier.size()),
            hash: hex(&self.last),
            root: hex(&self.frontier.root()),
            signed,
            anchored: self.anchored,
            ignored: self.trust.ignored,
            fault,
        }
    }
}

/// A number of records as a place in the log.
fn place(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
