//! Changes of other nodes.
//!
//! Every change of what is kept moves the head of the audit chain in the transaction that makes it,
//! so the head tells whether somebody else changed something: one number of one row, asked for
//! before a value is given out. Those who wait are served by one question, as commits are. When
//! the head has moved by more than this node's own commits, the records in between name the
//! federations whose values go.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{FederationId, audit::ChainHead};
use tokio::sync;

use super::{Cache, touch::Mark};
use crate::{Conn, Error, Store, audit};

/// The most foreign records that are read one by one; after more of them everything goes.
const MOST: i64 = 1_000;

/// The most commits of this node that are remembered while nobody asks.
const REMEMBERED: usize = 64;

/// What this node knows of the chain.
pub(crate) struct Head {
    known: Mutex<Known>,
    turn: sync::Mutex<()>,
    asked: AtomicU64,
    answered: AtomicU64,
}

#[derive(Default)]
struct Known {
    /// Everything up to this record is accounted for.
    seen: i64,
    /// Commits of this node after `seen`: the record before each, and its last.
    own: Vec<(i64, i64)>,
    /// The commit under way: the record before it, and the head that it makes.
    pending: Option<(i64, ChainHead)>,
}

impl Known {
    /// Moves on to a head, and tells which records up to there are not this node's.
    fn advance(&mut self, head: &ChainHead) -> Vec<(i64, i64)> {
        let mut own = mem::take(&mut self.own);
        // Its numbers may have gone to another node when it failed; the hash tells.
        if let Some((before, made)) = self.pending.as_ref().filter(|(_, made)| made == head) {
            own.push((*before, made.seq));
        }
        own.sort_unstable();
        let mut foreign = Vec::new();
        for (before, last) in own {
            if last > head.seq {
                self.own.push((before, last));
            } else if last > self.seen {
                if before > self.seen {
                    foreign.push((self.seen, before));
                }
                self.seen = last;
            }
        }
        if head.seq > self.seen {
            foreign.push((self.seen, head.seq));
            self.seen = head.seq;
        }
        foreign
    }

    fn confirm(&mut self) {
        let Some((before, made)) = self.pending.take() else { return };
        if before == self.seen {
            self.seen = made.seq;
        } else if made.seq > self.seen {
            self.own.push((before, made.seq));
            if self.own.len() > REMEMBERED {
                // Forgotten ones count as foreign: reads too many.
                self.own.remove(0);
            }
        }
    }
}

impl Head {
    /// Begins at a head; everything before it is accounted for.
    pub(crate) fn new() -> Self {
        Self {
            known: Mutex::default(),
            turn: sync::Mutex::default(),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    /// Begins at a head.
    pub(crate) fn start(&self, head: &ChainHead) {
        self.lock().seen = head.seq;
    }

    /// A commit of this node is about to move the head.
    pub(crate) fn pending(&self, before: i64, made: ChainHead) {
        self.lock().pending = Some((before, made));
    }

    /// It did.
    pub(crate) fn confirm(&self) {
        self.lock().confirm();
    }

    /// It did not, or nobody knows.
    pub(crate) fn dismiss(&self) {
        self.lock().pending = None;
    }

    /// Lets go of what other nodes have changed until now. Everybody who asked before the question
    /// was put is answered by it.
    pub(crate) async fn refresh(&self, store: &Store) -> Result<(), Error> {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let _turn = self.turn.lock().await;
        if self.answered.load(Ordering::SeqCst) >= ticket {
            return Ok(());
        }
        let all = self.asked.load(Ordering::SeqCst);
        let cache = store.cache();
        let mut reader = store.read().await?;
        let head = audit::head(&mut reader.conn()).await?;
        let foreign = self.lock().advance(&head);
        for (after, last) in foreign {
            let gone = Self::forget(cache, &mut reader.conn(), after, last).await;
            if let Err(error) = gone {
                // What cannot be read is not known to be unchanged.
                cache.clear();
                return Err(error);
            }
        }
        self.answered.store(all, Ordering::SeqCst);
        Ok(())
    }

    async fn forget(cache: &Cache, conn: &mut Conn<'_>, after: i64, last: i64) -> Result<(), Error> {
        if last - after > MOST {
            cache.clear();
            return Ok(());
        }
        for federation_id in audit::federations_between(conn, after, last).await? {
            match federation_id.as_deref().and_then(FederationId::parse) {
                // Every value of a federation depends on its settings.
                Some(federation_id) => cache.forget(&Mark::Settings(&federation_id)),
                None => cache.clear(),
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seq: i64, hash: &str) -> ChainHead {
        ChainHead { seq, hash: hash.to_owned() }
    }

    #[test]
    fn own_commits_are_not_foreign_and_all_others_are() {
        let mut known = Known { seen: 10, ..Known::default() };
        assert_eq!(known.advance(&head(10, "a")), []);
        known.pending = Some((10, head(12, "b")));
        assert_eq!(known.advance(&head(12, "b")), [], "seen before it was confirmed");
        known.confirm();
        assert_eq!((known.seen, known.own.len()), (12, 0));
        // Another node, this node, another node.
        known.pending = Some((15, head(18, "c")));
        known.confirm();
        assert_eq!(known.advance(&head(20, "d")), [(12, 15), (18, 20)]);
        assert_eq!((known.seen, known.own.len()), (20, 0));
    }

    #[test]
    fn a_commit_whose_numbers_went_to_another_node_is_foreign() {
        let mut known = Known { seen: 10, ..Known::default() };
        known.pending = Some((10, head(12, "ours")));
        assert_eq!(known.advance(&head(12, "theirs")), [(10, 12)]);
        known.pending = Some((12, head(13, "ours")));
        assert_eq!(known.advance(&head(14, "theirs")), [(12, 14)], "unconfirmed below the head");
    }

    #[test]
    fn an_earlier_head_takes_nothing_back() {
        let mut known = Known { seen: 10, ..Known::default() };
        known.pending = Some((10, head(12, "b")));
        known.confirm();
        assert_eq!(known.advance(&head(10, "a")), []);
        assert_eq!(known.seen, 12);
    }
}
